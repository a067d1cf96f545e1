//! A run of everything from one number: the options, the producers and readers, what goes wrong around them, the order in
//! which all threads go on, and the crashes between the lives of the engine.
//!
//! ```text
//! seed ─> life: engine opens, works, ends ─> crash images at some moments ─> each opens and is checked
//!           ^                                                   └── one of them
//!           └──────────────────────────────────────────────────────────┘
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firth_log::file::recorder::{All, Chooser, Image, Journal, Nothing, Recorder, Seeded};
use firth_log::{Direct, Durability, Engine, Environment, Options, simulation};

use crate::explore::{Explorer, Survivor, environment, number};
use crate::model::Model;
use crate::random::Random;
use crate::weather::{self, TOTAL_BYTES, Weather, any_fault};
use crate::workload::{Scale, Workload};

/// A run that takes more never ends.
const STEPS_MAX: u64 = 5_000_000;

const KIB: u64 = 1024;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of all journals and of what the disks held in the end.
    pub digest: u64,
    pub lives: u64,
    /// Entries in the journals.
    pub operations: usize,
    /// Crash images that were opened.
    pub images: usize,
    pub segments: u64,
    /// Segments that were made of others.
    pub rewrites: u64,
    /// Lives that ended with a flush that failed.
    pub failures: u64,
}

impl Outcome {
    /// Adds what another run came to.
    pub fn add(&mut self, other: &Outcome) {
        self.digest ^= other.digest;
        self.lives += other.lives;
        self.operations += other.operations;
        self.images += other.images;
        self.segments += other.segments;
        self.rewrites += other.rewrites;
        self.failures += other.failures;
    }
}

/// A seed with which something does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub seed: u64,
    pub what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// Runs what follows from the seed. The same seed gives the same outcome, byte by byte.
pub fn simulate(seed: u64) -> Result<Outcome, Broken> {
    // Known of a run that panicked too.
    let plan = Arc::new(Mutex::new(String::new()));
    let broken = |what: String| {
        let plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        Broken {
            seed,
            what: format!("{what}\n{plan}"),
        }
    };
    let told = plan.clone();
    let main = move || {
        let mut run = Run {
            random: Random::new(seed),
            digest: DefaultHasher::new(),
            outcome: Outcome::default(),
            plan: told,
        };
        run.live_and_die().map(|()| run.outcome)
    };
    simulation::run(seed, STEPS_MAX, main)
        .map_err(|failure| broken(failure.to_string()))?
        .map_err(broken)
}

/// The last that happened on the disk: `FIRTH_SIM_OPERATIONS` entries of the journal, else a few.
fn before(journal: &Journal, position: usize) -> String {
    let last = number("FIRTH_SIM_OPERATIONS").unwrap_or(16) as usize;
    let operations = journal.operations().iter().enumerate();
    let last = operations.take(position).skip(position.saturating_sub(last));
    last.map(|(at, operation)| format!("  {at}: {operation}\n"))
        .collect()
}

struct Run {
    random: Random,
    digest: DefaultHasher,
    outcome: Outcome,
    plan: Arc<Mutex<String>>,
}

/// What is drawn for one life.
#[derive(Debug)]
struct Life {
    options: Options,
    scale: Scale,
    seed: u64,
    is_stormy: bool,
    /// The first start already meets a fault.
    opens_with_fault: bool,
}

impl Run {
    fn live_and_die(&mut self) -> Result<(), String> {
        let (mut image, mut model) = (Image::default(), Model::default());
        for life in 0..1 + self.random.below(3) {
            let plan = self.plan();
            *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = format!("life {life}, {plan:?}");
            (image, model) = self.live(&plan, image, model)?;
            self.outcome.lives += 1;
        }
        image.digest().hash(&mut self.digest);
        self.outcome.digest = self.digest.finish();
        Ok(())
    }

    fn plan(&mut self) -> Life {
        let random = &mut self.random;
        let is_stormy = random.below(2) == 0;
        let mut one_of = |choices: &[u64]| choices[random.below(choices.len() as u64) as usize];
        let options = Options {
            direct: [Direct::Always, Direct::Never][one_of(&[0, 1]) as usize],
            durability: match one_of(&[0, 0, 0, 0, 0, 1]) {
                0 => Durability::Disk,
                _ => Durability::Os,
            },
            wal_bytes_max: Some(one_of(&[256, 256, 512, 2048]) * KIB),
            wal_file_bytes: 64 * KIB,
            segment_bytes: one_of(&[4, 8, 16, 32]) * KIB,
            merge_segments: one_of(&[0, 2, 2, 3, 8]) as usize,
            cache_bytes: (one_of(&[0, 8, 32, 256]) * KIB) as usize,
            // What the disk refuses to read in a storm would be damage to the scrub, and would be so afterwards.
            scrub_interval: match one_of(&[0, 0, 100, 10_000]) {
                0 => None,
                _ if is_stormy => None,
                interval_ms => Some(Duration::from_millis(interval_ms)),
            },
            ..Options::default()
        };
        let batch_bytes = one_of(&[300, 1000, 4000, 20_000]);
        let scale = Scale {
            producers: one_of(&[1, 2, 3, 4]),
            steps: one_of(&[3, 10, 20, 40, 40, 100]) as usize,
            in_flight: one_of(&[0, 1, 3, 10]) as usize,
            batch_bytes: 50..batch_bytes,
            readers: one_of(&[0, 1, 2]),
            compacts: one_of(&[0, 1]) == 0,
        };
        Life {
            options,
            scale,
            seed: self.random.draw(),
            is_stormy,
            opens_with_fault: self.random.below(8) == 0,
        }
    }

    /// One life on what the one before has left, and what a crash leaves of it.
    fn live(&mut self, life: &Life, before: Image, model: Model) -> Result<(Image, Model), String> {
        let recorder = Recorder::from_image(before);
        recorder.set_total_bytes(TOTAL_BYTES);
        if life.opens_with_fault {
            recorder.fail(any_fault(&mut self.random));
        }
        let failures = Arc::new(AtomicU64::new(0));
        let counted = failures.clone();
        let environment = Environment {
            on_failure: Arc::new(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
            ..environment()
        };
        let opened = Engine::open(Arc::new(recorder.clone()), environment, life.options.clone());
        // One that stays and says that the disk is full would be waited out for ever.
        recorder.clear_faults();
        let model = match opened {
            Ok(engine) => {
                let model = self.work(life, &engine, &recorder, model)?;
                let told = failures.load(Ordering::Relaxed);
                let stats = engine.stats();
                if told != stats.failed {
                    return Err(format!("it was told {told} times that it failed: {stats:?}"));
                }
                self.outcome.failures += stats.failed;
                self.outcome.segments += stats.segments_written;
                self.outcome.rewrites += stats.rewrites;
                model
            }
            Err(_) if life.opens_with_fault => model,
            Err(error) => return Err(format!("it does not open: {error}")),
        };
        let explorer = Explorer {
            journal: recorder.journal(),
            model,
            options: life.options.clone(),
        };
        self.outcome.operations += explorer.journal.len();
        explorer.journal.digest().hash(&mut self.digest);
        self.die(life, &explorer)
    }

    /// Lets the engine work until all have done their part, and ends it.
    fn work(
        &mut self,
        life: &Life,
        engine: &Engine,
        recorder: &Recorder,
        model: Model,
    ) -> Result<Model, String> {
        let weather = life.is_stormy.then(|| Weather {
            engine: engine.clone(),
            recorder: recorder.clone(),
            random: Random::new(!life.seed),
        });
        let end_weather = weather::begin(weather);
        let workload = Workload::new(engine.clone(), recorder.clone(), model);
        let model = workload.run(life.seed, &life.scale);
        end_weather();
        if !life.is_stormy && !life.opens_with_fault {
            // As long as it lives it shows all that was acknowledged too.
            let explorer = Explorer {
                journal: recorder.journal(),
                model: model.clone(),
                options: life.options.clone(),
            };
            let position = explorer.journal.len();
            explorer
                .inspect(engine, position)
                .map_err(|what| format!("before its end: {what}"))?;
        }
        engine.close();
        Ok(model)
    }

    /// Opens what is left at some moments, and gives what is left after one of them.
    fn die(&mut self, life: &Life, explorer: &Explorer) -> Result<(Image, Model), String> {
        const MOMENTS: u64 = 3;
        let end = explorer.journal.len();
        let mut positions: Vec<usize> = (1..MOMENTS)
            .map(|_| self.random.below(end as u64 + 1) as usize)
            .collect();
        positions.sort_unstable();
        positions.push(end);
        let goes_on_at = self.random.below(MOMENTS);
        let mut replay = explorer.journal.replay();
        let mut left = None;
        for (moment, position) in (0..).zip(positions) {
            replay.advance_to(position);
            let seed = self.random.draw();
            let (name, mut chooser) = self.chooser(life, seed);
            let survivor = explorer
                .open(replay.image(&mut *chooser), position)
                .map_err(|what| {
                    let before = before(&explorer.journal, position);
                    format!("a crash at {position} of {end} that leaves {name}: {what}\n{before}")
                })?;
            let Survivor {
                engine,
                recorder,
                present,
            } = survivor;
            engine.close();
            recorder.journal().digest().hash(&mut self.digest);
            self.outcome.images += 1;
            if moment == goes_on_at {
                left = Some((recorder.image(), explorer.model.of_present(&present)));
            }
        }
        left.ok_or_else(|| "there is a moment to go on at".to_owned())
    }

    /// What a crash leaves: of what is only given to the system, a crash of the process leaves all.
    fn chooser(&mut self, life: &Life, seed: u64) -> (&'static str, Box<dyn Chooser>) {
        match self.random.below(4) {
            _ if life.options.durability == Durability::Os => ("all", Box::new(All)),
            0 => ("all", Box::new(All)),
            1 => ("what is durable alone", Box::new(Nothing)),
            _ => ("some of it", Box::new(Seeded::new(seed))),
        }
    }
}
