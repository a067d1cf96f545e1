//! Walks through the images of a journal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firth_batch::{Builder, Compression};
use firth_log::file::recorder::{All, Chooser, Image, Journal, Nothing, Recorder, Seeded};
use firth_log::{Engine, Environment, Frame, LogId, Options, simulation};

use crate::check::Present;
use crate::model::{Acknowledged, Model};
use crate::survey::Survey;

/// What the clock says when a run begins.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// How long sealing may take. Only a failure takes as long.
const SEALED_MS_MAX: u64 = 60_000;

/// A recording and what was submitted while it was made.
pub struct Explorer {
    pub journal: Journal,
    pub model: Model,
    pub options: Options,
}

/// An image on which something does not hold.
#[derive(Debug)]
pub struct Violation {
    pub position: usize,
    pub chooser: String,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            position,
            chooser,
            what,
        } = self;
        write!(f, "position {position}, {chooser}: {what}")
    }
}

/// An engine that recovered from an image and holds what it should.
pub struct Survivor {
    pub engine: Engine,
    pub recorder: Recorder,
    pub present: Present,
}

/// A clock that stands still but in a simulation, and numbers that never repeat.
pub fn environment() -> Environment {
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    let random = || {
        let drawn = simulation::draw().unwrap_or_else(|| DRAWN.fetch_add(1, Ordering::Relaxed));
        u128::from(drawn)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_le_bytes()
    };
    Environment {
        wall_ms: Arc::new(|| START_MS + simulation::now().map_or(0, |now| now.as_millis() as i64)),
        random: Arc::new(random),
        on_failure: Arc::new(|_| {}),
    }
}

/// Images that each test looks at: `FIRTH_SIM_IMAGES`, else `default`.
pub fn images_per_test(default: usize) -> usize {
    number("FIRTH_SIM_IMAGES").map_or(default, |images| images as usize)
}

/// Runs of the simulation in a test: `FIRTH_SIM_SEEDS`, else `default`.
pub fn seeds_per_test(default: u64) -> u64 {
    number("FIRTH_SIM_SEEDS").unwrap_or(default)
}

/// `FIRTH_SIM_SEED`, else the same in each run. Printed, which is seen when the test fails.
pub fn seed() -> u64 {
    let seed = number("FIRTH_SIM_SEED").unwrap_or(1);
    println!("FIRTH_SIM_SEED={seed}");
    seed
}

/// What a variable of the environment says.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}

impl Explorer {
    /// The same run, as if it had been recorded in this way.
    pub fn without(&self, journal: Journal) -> Explorer {
        Explorer {
            journal,
            model: self.model.clone(),
            options: self.options.clone(),
        }
    }

    /// Checks about `images` images, spread over the journal: all that was issued, only what is durable, and random
    /// subsets and tears between these.
    pub fn run(&self, images: usize, seed: u64) -> Result<(), Violation> {
        self.each(images, seed, 0..=self.journal.len(), |survivor, _| {
            survivor.engine.close();
            Ok(())
        })
    }

    /// As `run`, within a range of positions, with something to do with each engine that survived.
    pub fn each(
        &self,
        images: usize,
        seed: u64,
        positions: std::ops::RangeInclusive<usize>,
        mut then: impl FnMut(Survivor, u64) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        const SEEDED: u64 = 3;
        let count = positions.end() - positions.start() + 1;
        let moments = (images / (2 + SEEDED as usize)).clamp(1, count);
        let mut replay = self.journal.replay();
        for moment in 0..moments {
            // Spread evenly, the last position among them.
            let position = positions.end() - (moments - 1 - moment) * count / moments;
            replay.advance_to(position);
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(position as u64 * 16);
            let seeded = (0..SEEDED).map(|nth| {
                let seed = seed.wrapping_add(nth);
                let chooser: Box<dyn Chooser> = Box::new(Seeded::new(seed));
                (format!("Seeded({seed})"), chooser)
            });
            let fixed: [(String, Box<dyn Chooser>); 2] = [
                ("All".into(), Box::new(All)),
                ("Nothing".into(), Box::new(Nothing)),
            ];
            for (name, mut chooser) in fixed.into_iter().chain(seeded) {
                let image = replay.image(&mut *chooser);
                let violation = |what| Violation {
                    position,
                    chooser: name.clone(),
                    what,
                };
                let survivor = self.open(image, position).map_err(violation)?;
                then(survivor, seed)?;
            }
        }
        Ok(())
    }

    /// Opens the engine on an image of `position` and checks it.
    pub fn open(&self, image: Image, position: usize) -> Result<Survivor, String> {
        let (engine, recorder) = self.recover(image)?;
        match self.inspect(&engine, position) {
            Ok(present) => Ok(Survivor {
                engine,
                recorder,
                present,
            }),
            Err(what) => {
                engine.close();
                Err(what)
            }
        }
    }

    /// Checks an engine that holds what there was at `position`.
    pub fn inspect(&self, engine: &Engine, position: usize) -> Result<Present, String> {
        let acknowledged = Acknowledged::before(&self.journal, position);
        wait(self.model.check(&acknowledged, engine))
    }

    /// Opens the engine on what the journal leaves in the end and a disk has damaged since, and looks for what was
    /// acknowledged: as it is, when all of it was sealed, and when it was opened again after that.
    pub fn survey(&self, damaged: Image) -> Result<Survey, String> {
        self.survey_again(damaged, None).map(|(survey, _)| survey)
    }

    /// As `survey`, of what an earlier one left, and with what this one leaves.
    pub fn survey_again(&self, damaged: Image, earlier: Option<&Survey>) -> Result<(Survey, Image), String> {
        let (engine, recorder) = self.recover(damaged)?;
        let found = self.survey_and_seal(&engine, earlier);
        engine.close();
        let found = found?;
        let (engine, recorder) = self.recover(recorder.image())?;
        let again = self.look_again(&engine, &found);
        engine.close();
        match again {
            Ok(()) => Ok((found, recorder.image())),
            Err(what) => Err(format!("when it was sealed and opened again: {what}")),
        }
    }

    fn survey_and_seal(&self, engine: &Engine, earlier: Option<&Survey>) -> Result<Survey, String> {
        let found = self.look(engine, earlier)?;
        self.seal(engine)?;
        self.look_again(engine, &found)
            .map_err(|what| format!("when it was sealed: {what}"))?;
        Ok(found)
    }

    fn look(&self, engine: &Engine, earlier: Option<&Survey>) -> Result<Survey, String> {
        let acknowledged = Acknowledged::before(&self.journal, self.journal.len());
        wait(self.model.survey(&acknowledged, engine, earlier))
    }

    /// Sealing and another opening change nothing of what was found.
    fn look_again(&self, engine: &Engine, found: &Survey) -> Result<(), String> {
        let again = self.look(engine, Some(found))?;
        match again == *found {
            true => Ok(()),
            false => Err(format!("there is {again:?} instead of {found:?}")),
        }
    }

    /// Seals all that there is, with a batch that is large enough for it.
    fn seal(&self, engine: &Engine) -> Result<(), String> {
        let mut builder = Builder::new(Compression::None);
        builder.push(0, None, Some(&vec![0; self.options.segment_bytes as usize]), &[]);
        let appended = engine.append(Frame::batch(LogId::DEFINITIONS, builder.build()));
        let appended = appended.map_err(|error| format!("nothing more is taken: {error}"))?;
        let committed = appended.commit.wait();
        committed.map_err(|error| format!("nothing more is durable: {error}"))?;
        // The bound is for failures alone.
        for _ in 0..SEALED_MS_MAX {
            if engine.stats().unsealed_bytes < self.options.segment_bytes {
                return Ok(());
            }
            match simulation::now() {
                Some(_) => simulation::pause(Duration::from_millis(1)),
                None => std::thread::park_timeout(Duration::from_millis(1)),
            }
        }
        Err("it is not sealed".into())
    }

    fn recover(&self, image: Image) -> Result<(Engine, Recorder), String> {
        let recorder = Recorder::from_image(image);
        let engine = Engine::open(Arc::new(recorder.clone()), environment(), self.options.clone())
            .map_err(|error| format!("the engine does not open: {error}"))?;
        Ok((engine, recorder))
    }
}

/// Waits for what may read on blocking threads.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    if simulation::now().is_some() {
        return simulation::block_on(future);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without drivers").block_on(future)
}
