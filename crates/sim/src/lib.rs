//! Crash tests and simulation of the log engine: a workload runs on the recorder, and the engine is opened on the images that
//! a power failure could have left at any moment. Never shipped.
//!
//! ```text
//! workload ─> engine ─> recorder ─> journal ─> images ─> engine opens ─> check against the model
//!     └── submitted, acknowledged ──────────────────────────> model ──────────┘
//! ```
//!
//! What holds for every image ([`Model::check`]):
//! - Nothing acknowledged is lost: it is read at its offset with its bytes.
//! - Nothing is invented: whatever is read was submitted, at this offset.
//! - Offsets have no holes, and the high watermark covers what was acknowledged.
//! - A frame is there whole or not at all.
//! - A retry of a batch in its producer's window is answered with the original's offset.
//! - Acknowledged trims hold, deleted logs stay gone, and ids are not given out again.
//! - Nothing is taken for damaged.
//! - Of a log that is compacted each key's latest record is there, at its offset.
//!
//! What a recovered engine shows counts as acknowledged for the next crash ([`Model::of_present`]): readers saw it. What
//! it does not show stays gone.
//!
//! On a disk that damaged what it held ([`Model::survey`]), as it is, sealed, and opened again:
//! - Nothing is served that was not submitted.
//! - What is missing is refused by name, for who asks for it and for who reads on, and the engine counts it.
//!
//! In a simulation ([`simulate`]) one number says all: the options, what producers and readers do, which calls to the disk
//! fail or take long, when it is full, which thread goes on at each lock, where the power fails, and what is left on the disk
//! then. What a reader saw counts as acknowledged too. The same number gives the same journals byte by byte, and runs again
//! what failed. Crash tests and tests of damage record in the same way ([`record`]); in the rest of the tests the engine's
//! threads are the system's.
//!
//! Absent on purpose: sleeping. How many images are looked at is a number, `FIRTH_SIM_IMAGES`; how many runs of the simulation
//! there are is `FIRTH_SIM_SEEDS`; the seed, or the first of them, is `FIRTH_SIM_SEED`.

mod check;
mod explore;
mod keyed;
mod model;
mod random;
mod reader;
mod record;
mod simulate;
mod survey;
mod weather;
mod workload;

pub use check::Present;
pub use explore::{Explorer, Survivor, Violation, environment, images_per_test, seed, seeds_per_test};
pub use model::{FrameId, Model};
pub use random::Random;
pub use record::record;
pub use simulate::{Broken, Outcome, simulate};
pub use survey::Survey;
pub use workload::{Scale, Workload};
