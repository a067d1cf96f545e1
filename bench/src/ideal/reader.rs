//! The one thread that reads: it accepts connections and receives from all of them into the gathering block.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use anyhow::{Result, ensure};
use rustix::{
    buffer::spare_capacity,
    event::epoll,
    fd::OwnedFd,
    io::Errno,
    net::{RecvFlags, recv},
};

use super::{
    block::{Block, REQUEST_BYTES_MAX},
    lanes::Lanes,
    request::Topics,
};
use crate::{recycled::Lane, wire::frame_size};

const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 256;
/// What one receive takes at most: large enough that its cost is the copy, small enough that the copy is checked in the cache.
const RECEIVE_BYTES_MAX: usize = 256 << 10;
/// An unfinished request of more bytes is completed where it lies, a smaller one is moved to the next block.
const MOVED_BYTES_MAX: usize = 32 << 10;

pub(crate) struct Reader {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: HashMap<u64, Client>,
    next_id: u64,
    topics: Topics,
    lanes: Arc<Lanes>,
    /// With `--durability os` the reader writes and answers itself.
    inline: Option<Lane>,
}

struct Client {
    stream: Arc<TcpStream>,
    /// The front of a request whose rest has not arrived.
    unfinished: Vec<u8>,
    /// The block that this connection last had replies in, and their place in it.
    use_id: u64,
    place: usize,
}

impl Reader {
    pub(crate) fn new(
        listener: TcpListener,
        address: SocketAddr,
        lanes: Arc<Lanes>,
        inline: Option<Lane>,
    ) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            epoll::EventData::new_u64(LISTENER),
            epoll::EventFlags::IN,
        )?;
        let topics = Topics::new(address.ip().to_string(), address.port());
        Ok(Self {
            listener,
            epoll,
            connections: HashMap::new(),
            next_id: 0,
            topics,
            lanes,
            inline,
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    id => self.serve(id)?,
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        epoll::add(
            &self.epoll,
            &stream,
            epoll::EventData::new_u64(self.next_id),
            epoll::EventFlags::IN,
        )?;
        let client = Client {
            stream: Arc::new(stream),
            unfinished: Vec::new(),
            use_id: 0,
            place: 0,
        };
        self.connections.insert(self.next_id, client);
        self.next_id += 1;
        Ok(())
    }

    /// Receives once from a connection that has bytes, and ends it if that fails.
    fn serve(&mut self, id: u64) -> Result<()> {
        let Some(client) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let mut block = self.lanes.take_gathering();
        let served = client.receive(&mut block, &mut self.topics);
        if let Some(lane) = &self.inline {
            let offset = self.lanes.next_offset(block.length());
            lane.write(block.bytes(), offset)?;
            block.answer();
        }
        self.lanes.put_gathering(block);
        match served {
            Ok(true) => {}
            Ok(false) => drop(self.connections.remove(&id)),
            Err(error) => {
                eprintln!("connection {id}: {error:#}");
                self.connections.remove(&id);
            }
        }
        Ok(())
    }
}

impl Client {
    /// Returns whether the connection goes on.
    fn receive(&mut self, block: &mut Block, topics: &mut Topics) -> Result<bool> {
        if self.use_id != block.use_id {
            self.use_id = block.use_id;
            self.place = block.open_replies(&self.stream);
        }
        let (room, replies) = block.room_and_replies(self.place);
        let begun = self.unfinished.len();
        room[..begun].copy_from_slice(&self.unfinished);
        let limit = room.len().min(begun + RECEIVE_BYTES_MAX);
        let received = match recv(&*self.stream, &mut room[begun..limit], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Ok(false),
            Ok((_, received)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        self.unfinished.clear();
        let mut filled = begun + received;
        let mut at = 0;
        while let Some(size) = frame_size(&room[at..filled], REQUEST_BYTES_MAX)? {
            if filled - at < size {
                let fits = at + size <= room.len();
                if filled - at <= MOVED_BYTES_MAX || !fits {
                    break;
                }
                let (_, rest) = recv(&*self.stream, &mut room[filled..at + size], RecvFlags::WAITALL)?;
                ensure!(
                    filled + rest == at + size,
                    "the connection ended inside a request"
                );
                filled = at + size;
            }
            topics.answer(&room[at + 4..at + size], replies)?;
            at += size;
        }
        self.unfinished.extend_from_slice(&room[at..filled]);
        block.accept(at);
        Ok(true)
    }
}
