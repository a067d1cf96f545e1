//! Gathers what is written to a segment into large aligned pieces, and writes them while the next one gathers.

use std::io;
use std::sync::Arc;

use super::header::{HEADER_LEN, Header};
use crate::file::aligned::AlignedBuffer;
use crate::file::{ALIGNMENT, File};
use crate::sync::{JoinHandle, Receiver, Sender, channel, spawn};

/// What is written at once, in bytes.
const STAGING_BYTES: usize = 1024 * 1024;
/// Pieces that are written at once. One leaves the disk idle while the next piece is copied and checksummed.
const FLIGHTS: usize = 2;

pub(super) struct Staging {
    pub(super) file: Arc<dyn File>,
    buffer: AlignedBuffer,
    /// Of the first byte of `buffer` in the file; aligned.
    written_to: u64,
    flights: Flights,
}

impl Staging {
    pub(super) fn new(file: Arc<dyn File>) -> Staging {
        Staging {
            flights: Flights::new(&file),
            file,
            buffer: AlignedBuffer::with_capacity(STAGING_BYTES),
            written_to: HEADER_LEN as u64,
        }
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.written_to + self.buffer.len() as u64
    }

    pub(super) fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = STAGING_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == STAGING_BYTES {
                self.write_padded()?;
            }
        }
        Ok(())
    }

    /// Waits until everything that was put is written, padded with zeros, and gives the position behind it.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        self.write_padded()?;
        self.flights.land_all()?;
        Ok(self.written_to)
    }

    fn write_padded(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.buffer
            .resize_zeroed(self.buffer.len().next_multiple_of(ALIGNMENT));
        let position = self.written_to;
        self.written_to += self.buffer.len() as u64;
        let piece = std::mem::take(&mut self.buffer);
        self.buffer = self.flights.start(piece, position)?;
        Ok(())
    }

    /// Replaces the header block and makes everything written so far durable.
    pub(super) fn write_header(&mut self, header: Option<&Header>) -> io::Result<()> {
        assert!(
            self.buffer.is_empty() && self.flights.is_empty(),
            "what was gathered is written before the header"
        );
        self.buffer.resize_zeroed(HEADER_LEN);
        if let Some(header) = header {
            header.encode(self.buffer.as_mut_slice());
        }
        self.file.write_at(self.buffer.as_slice(), 0)?;
        self.buffer.clear();
        self.file.sync()
    }
}

/// Writes in flight, each on a thread of its own.
struct Flights {
    writers: Vec<Writer>,
    /// Indexes of writers without a write.
    idle: Vec<usize>,
    landed: Receiver<Landed>,
}

struct Landed {
    writer: usize,
    buffer: AlignedBuffer,
    result: io::Result<()>,
}

struct Writer {
    /// Gone when the thread is to end.
    pieces: Option<Sender<(AlignedBuffer, u64)>>,
    thread: Option<JoinHandle<()>>,
}

impl Flights {
    fn new(file: &Arc<dyn File>) -> Flights {
        let (report, landed) = channel();
        let writers = (0..FLIGHTS).map(|index| Writer::spawn(index, file.clone(), report.clone()));
        Flights {
            writers: writers.collect(),
            idle: (0..FLIGHTS).collect(),
            landed,
        }
    }

    fn is_empty(&self) -> bool {
        self.idle.len() == FLIGHTS
    }

    /// Starts a write as soon as there may be another, and gives an empty buffer for the next piece.
    fn start(&mut self, piece: AlignedBuffer, position: u64) -> io::Result<AlignedBuffer> {
        let empty = if self.idle.is_empty() {
            self.land()?
        } else {
            AlignedBuffer::with_capacity(STAGING_BYTES)
        };
        let writer = self.idle.pop().expect("a write has landed");
        let pieces = self.writers[writer].pieces.as_ref();
        pieces
            .expect("the channel is there until the writer is dropped")
            .send((piece, position))
            .expect("the thread ends after its channel");
        Ok(empty)
    }

    /// Waits for one write.
    fn land(&mut self) -> io::Result<AlignedBuffer> {
        let Landed {
            writer,
            mut buffer,
            result,
        } = self.landed.recv().expect("a write in flight is reported");
        self.idle.push(writer);
        buffer.clear();
        result.map(|()| buffer)
    }

    fn land_all(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        while !self.is_empty() {
            result = result.and(self.land().map(drop));
        }
        result
    }
}

impl Writer {
    fn spawn(index: usize, file: Arc<dyn File>, report: Sender<Landed>) -> Writer {
        let (pieces, incoming) = channel::<(AlignedBuffer, u64)>();
        let run = move || {
            for (buffer, position) in incoming {
                let result = file.write_at(buffer.as_slice(), position);
                // Nobody asks any more where the segment was given up.
                let _ = report.send(Landed {
                    writer: index,
                    buffer,
                    result,
                });
            }
        };
        let thread = spawn(format!("segment-{index}"), run);
        Writer {
            pieces: Some(pieces),
            thread: Some(thread),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            // It only writes; what went wrong was reported.
            let _ = thread.join();
        }
    }
}
