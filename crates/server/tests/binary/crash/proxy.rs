//! Between a client and the broker: requests may come twice; replies late, twice or never.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;

use super::client::read_frame;

/// What becomes of a request and its reply.
pub(crate) enum Fault {
    None,
    /// The request comes to the broker twice; the replies have to be the same.
    DuplicateRequest,
    /// The reply comes to the client twice.
    DuplicateReply,
    /// The reply is lost, and the connection with it.
    DropReply,
    /// The reply, and those behind it, wait until the sender is dropped.
    DelayReply(Receiver<()>),
}

/// Listens until it is dropped. A connection ends when either side ends it.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

struct Shared {
    broker: SocketAddr,
    /// Of the requests to come, in order, whatever their connection.
    faults: VecDeque<Fault>,
    closed: bool,
}

impl Proxy {
    pub(crate) fn new(broker: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            broker,
            faults: VecDeque::new(),
            closed: false,
        };
        let shared = Arc::new((Mutex::new(shared), Condvar::new()));
        let proxy = Proxy {
            address,
            shared: shared.clone(),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (broker, closed) = {
                    let shared = shared.0.lock().unwrap();
                    (shared.broker, shared.closed)
                };
                if closed {
                    return;
                }
                // Without a broker the client sees its connection end.
                if let Ok(broker) = TcpStream::connect(broker) {
                    join(client, broker, shared.clone());
                }
            }
        });
        proxy
    }

    /// The broker was started again.
    pub(crate) fn goes_to(&self, broker: SocketAddr) {
        self.shared.0.lock().unwrap().broker = broker;
    }

    pub(crate) fn next(&self, fault: Fault) {
        self.shared.0.lock().unwrap().faults.push_back(fault);
    }

    /// Waits until every fault has met its request.
    pub(crate) fn wait_until_met(&self) {
        let (shared, changed) = &*self.shared;
        let shared = shared.lock().unwrap();
        drop(
            changed
                .wait_while(shared, |shared| !shared.faults.is_empty())
                .unwrap(),
        );
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.0.lock().unwrap().closed = true;
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn join(client: TcpStream, broker: TcpStream, shared: Arc<(Mutex<Shared>, Condvar)>) {
    client.set_nodelay(true).unwrap();
    broker.set_nodelay(true).unwrap();
    let (send, faults) = channel();
    let ends = [client.try_clone().unwrap(), broker.try_clone().unwrap()];
    let [client_end, broker_end] = [client.try_clone().unwrap(), broker.try_clone().unwrap()];
    std::thread::spawn(move || {
        let _ended = requests(client_end, broker_end, &shared, &send);
    });
    std::thread::spawn(move || {
        let _ended = replies(broker, client, &faults);
        ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
    });
}

fn requests(
    mut client: TcpStream,
    mut broker: TcpStream,
    (shared, changed): &(Mutex<Shared>, Condvar),
    send: &Sender<Fault>,
) -> io::Result<()> {
    loop {
        let request = read_frame(&mut client)?;
        let fault = shared.lock().unwrap().faults.pop_front().unwrap_or(Fault::None);
        changed.notify_all();
        let twice = matches!(fault, Fault::DuplicateRequest);
        let _ = send.send(fault);
        write_frame(&mut broker, &request)?;
        if twice {
            write_frame(&mut broker, &request)?;
        }
    }
}

fn replies(mut broker: TcpStream, mut client: TcpStream, faults: &Receiver<Fault>) -> io::Result<()> {
    while let Ok(fault) = faults.recv() {
        let reply = read_frame(&mut broker)?;
        match fault {
            Fault::None => {}
            Fault::DuplicateRequest => assert_eq!(read_frame(&mut broker)?, reply),
            Fault::DuplicateReply => write_frame(&mut client, &reply)?,
            Fault::DropReply => return Ok(()),
            Fault::DelayReply(released) => {
                let _ = released.recv();
            }
        }
        write_frame(&mut client, &reply)?;
    }
    Ok(())
}

fn write_frame(stream: &mut TcpStream, frame: &Bytes) -> io::Result<()> {
    let size = i32::try_from(frame.len()).unwrap();
    stream.write_all(&[&size.to_be_bytes()[..], frame].concat())
}
