//! Crash tests of the log engine: a workload runs on the recorder, and the engine is opened on the images that a power
//! failure could have left at any moment. Never shipped.
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
//!
//! What a recovered engine shows counts as acknowledged for the next crash ([`Model::of_present`]): readers saw it. What
//! it does not show stays gone.
//!
//! On a disk that damaged what it held ([`Model::survey`]), as it is, sealed, and opened again:
//! - Nothing is served that was not submitted.
//! - What is missing is refused by name, for who asks for it and for who reads on, and the engine counts it.
//!
//! Absent on purpose: clocks and sleeping. How many images are looked at is a number, `FIRTH_SIM_IMAGES`; the seed is
//! `FIRTH_SIM_SEED`.

mod check;
mod explore;
mod model;
mod random;
mod survey;
mod workload;

pub use check::Present;
pub use explore::{Explorer, Survivor, Violation, environment, images_per_test, seed};
pub use model::{FrameId, Model};
pub use random::Random;
pub use survey::Survey;
pub use workload::{Scale, Workload};
