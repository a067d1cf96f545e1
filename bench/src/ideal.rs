//! `bench ideal`: the floor. A server that speaks Kafka's framing and does nothing but read, check the CRC, write by the fastest
//! durable method, and acknowledge in order. What it lacks is the point of it: there is no index, no read path, no recovery, no
//! retention and no limit; a real broker's figures are its ratio to these.
//!
//! The story of a request: the reader thread receives from every socket straight into the gathering block (the kernel's copy is
//! the only one), checks each request where it lies and encodes the reply beside it. A lane takes the block as soon as it is free,
//! writes it directly and durably, and sends the replies of all blocks up to the first that is not durable yet. While the lanes
//! write, the next block gathers: group commit without a timer. With `--durability os` the reader itself writes and answers.

mod block;
mod lanes;
mod reader;
mod request;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
};

use anyhow::{Result, ensure};

use self::{lanes::Lanes, reader::Reader};
use crate::recycled::{self, Durability, Lane};

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) file: PathBuf,
    pub(crate) file_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) lanes: usize,
    pub(crate) shape: Shape,
}

/// Holds the largest block.
const FILE_BYTES_MIN: u64 = 16 << 20;

/// How blocks are cut. The defaults are what measured fastest; see docs/benchmarks.md.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// A block that holds this much takes no further request.
    pub(crate) block_bytes_full: usize,
    /// While another lane writes, a block is taken from this size on.
    pub(crate) overlap_bytes_min: usize,
}

/// Serves until the process is ended.
pub(crate) fn run(settings: &Settings) -> Result<()> {
    ensure!(
        settings.file_bytes >= FILE_BYTES_MIN,
        "the file has at least {FILE_BYTES_MIN} bytes"
    );
    recycled::prepare(&settings.file, settings.file_bytes)?;
    let listener = TcpListener::bind(settings.listen)?;
    let address = listener.local_addr()?;
    println!("durability {}, kafka {address}", settings.durability.name());
    let lanes = Arc::new(Lanes::new(settings.file_bytes, settings.shape));
    let inline = match settings.durability {
        Durability::Os => Some(Lane::open(&settings.file, Durability::Os)?),
        Durability::Disk => {
            for index in 0..settings.lanes {
                start_lane(index, &lanes, settings)?;
            }
            None
        }
    };
    Reader::new(listener, address, lanes, inline)?.run()
}

fn start_lane(index: usize, lanes: &Arc<Lanes>, settings: &Settings) -> Result<()> {
    let lane = Lane::open(&settings.file, Durability::Disk)?;
    let lanes = Arc::clone(lanes);
    thread::Builder::new()
        .name(format!("lane-{index}"))
        .spawn(move || {
            // A failed flush is final: nothing after it may be acknowledged.
            if let Err(error) = lanes.run(&lane) {
                eprintln!("lane {index}: {error:#}");
                std::process::exit(1);
            }
        })?;
    Ok(())
}
