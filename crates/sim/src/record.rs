//! A run of producers on a recorder, as the simulation schedules it: the same seed gives the same journal.

use std::sync::Arc;

use firth_log::file::recorder::Recorder;
use firth_log::{Engine, Options, simulation};

use crate::explore::{Explorer, environment};
use crate::model::Model;
use crate::workload::{Scale, Workload};

/// What the scheduler may take for a run. One that needs more does not end.
const STEPS_MAX: u64 = 5_000_000;

/// A run that ends in order, and `reopened` times is followed by a start at which nothing is done.
pub fn record(options: Options, scale: &Scale, seed: u64, reopened: usize) -> Explorer {
    let scale = scale.clone();
    let life = move || {
        let recorder = Recorder::new();
        let open = || Engine::open(Arc::new(recorder.clone()), environment(), options.clone());
        let engine = open().expect("it opens");
        let model = Workload::new(engine.clone(), recorder.clone(), Model::default()).run(seed, &scale);
        engine.close();
        let stats = engine.stats();
        assert!(stats.segments_written > 1, "{stats:?}");
        for _ in 0..reopened {
            open().expect("it opens again").close();
        }
        Explorer {
            journal: recorder.journal(),
            model,
            options,
        }
    };
    simulation::run(seed, STEPS_MAX, life).unwrap_or_else(|failure| panic!("{failure}"))
}
