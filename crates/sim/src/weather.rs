//! What goes wrong around the engine while it works: calls fail, the disk is full or slow for a while, or the engine is told
//! to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use firth_log::file::Storage;
use firth_log::file::recorder::{Errno, Fault, Kind, Recorder};
use firth_log::{Engine, simulation};

use crate::random::Random;

/// The disk while nothing is wrong.
pub(crate) const TOTAL_BYTES: u64 = 1 << 30;

const KINDS: [Kind; 10] = [
    Kind::Open,
    Kind::List,
    Kind::CreateDir,
    Kind::Rename,
    Kind::Remove,
    Kind::SyncDir,
    Kind::Read,
    Kind::Write,
    Kind::SetLen,
    Kind::Sync,
];

/// A call that fails.
pub(crate) fn any_fault(random: &mut Random) -> Fault {
    let errors = [Errno::IO, Errno::NOSPC, Errno::INTR];
    let fault = Fault {
        forever: random.below(4) == 0,
        ..Fault::once(
            KINDS.get(random.below(20) as usize).copied(),
            1 + random.below(40),
            errors[random.below(3) as usize],
        )
    };
    match random.below(4) {
        // Of all calls few are writes and flushes of blocks.
        0 => Fault {
            kind: Some([Kind::Write, Kind::Sync][random.below(2) as usize]),
            nth: 1 + random.below(8),
            ..fault
        }
        .at("wal/"),
        _ => fault,
    }
}

pub(crate) struct Weather {
    pub(crate) engine: Engine,
    pub(crate) recorder: Recorder,
    pub(crate) random: Random,
}

impl Weather {
    /// Changes until the producers are done. In the end nothing is wrong any more.
    pub(crate) fn run(mut self, done: &AtomicBool) {
        while !done.load(Ordering::Relaxed) {
            self.pass(200);
            match self.random.below(10) {
                0..3 => {
                    let fault = any_fault(&mut self.random);
                    self.recorder.fail(fault);
                    self.pass(2000);
                }
                3..6 => self.fill(),
                6..9 => {
                    let path = ["", "wal/", "segments/", "catalog"][self.random.below(4) as usize];
                    let latency = Duration::from_millis(self.random.below(400));
                    self.recorder.slow(path, latency);
                    self.pass(2000);
                }
                _ if self.random.below(4) == 0 => self.engine.close(),
                _ => {}
            }
            self.recorder.clear_faults();
            self.recorder.set_total_bytes(TOTAL_BYTES);
        }
    }

    fn pass(&mut self, at_most_ms: u64) {
        simulation::pause(Duration::from_millis(self.random.below(at_most_ms)));
    }

    /// Leaves little or nothing free for a while.
    fn fill(&mut self) {
        if let Ok(space) = self.recorder.space() {
            let used_bytes = space.total_bytes - space.free_bytes;
            let left_bytes = self.random.below(256 * 1024);
            self.recorder.set_total_bytes(used_bytes + left_bytes);
            self.pass(4000);
        }
    }
}

/// Starts it, if there is to be any, and gives what ends it.
pub(crate) fn begin(weather: Option<Weather>) -> impl FnOnce() {
    let done = Arc::new(AtomicBool::new(false));
    let thread = weather.map(|weather| {
        let done = done.clone();
        simulation::spawn("weather".to_owned(), move || weather.run(&done))
    });
    move || {
        done.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = thread.map(simulation::JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}
