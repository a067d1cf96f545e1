//! Calls to the disk that fail: nothing is acknowledged that is not durable, nothing hangs, and a start after that finds
//! all that was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use firth_log::file::recorder::{All, Errno, Fault, Image, Kind, Nothing, Recorder};
use firth_log::{Direct, Engine, Environment, Options};
use firth_sim::{Explorer, Model, Scale, Workload, environment, images_per_test, seed};

/// Longer than anything here takes: who is not done by then hangs.
const BOUND: Duration = Duration::from_secs(60);

/// A producer that waits as long waits for space.
const FULL_FOR_LONG: Duration = Duration::from_secs(2);

fn tiny(direct: Direct) -> Options {
    Options {
        direct,
        wal_bytes_max: Some(256 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 16 * 1024,
        cache_bytes: 16 * 1024,
        ..Options::default()
    }
}

const SCALE: Scale = Scale {
    producers: 1,
    steps: 25,
    in_flight: 0,
    batch_bytes: 500..4000,
    readers: 0,
    compacts: false,
};

/// What a process did until its end.
struct Run {
    explorer: Explorer,
    recorder: Recorder,
    /// How often the engine said that it cannot go on, and whether its gauge says so.
    failures: u64,
    is_failed: bool,
}

/// Opens the engine where `before` ends, lets producers work and closes it, all within a bound.
fn run(before: &Image, model: &Model, options: &Options, fault: Option<Fault>, seed: u64) -> Run {
    let (done, result) = mpsc::channel();
    let (before, model, options) = (before.clone(), model.clone(), options.clone());
    let described = format!("{fault:?}");
    std::thread::spawn(move || {
        let recorder = Recorder::from_image(before);
        recorder.set_total_bytes(1 << 30);
        if let Some(fault) = fault {
            recorder.fail(fault);
        }
        let failures = Arc::new(AtomicU64::new(0));
        let counted = failures.clone();
        let environment = Environment {
            on_failure: Arc::new(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
            ..environment()
        };
        let (model, is_failed) = match Engine::open(Arc::new(recorder.clone()), environment, options.clone())
        {
            Ok(engine) => {
                let model = work(&engine, &recorder, model, seed);
                engine.close();
                (model, engine.stats().failed == 1)
            }
            Err(_) => (model, false),
        };
        recorder.clear_faults();
        let explorer = Explorer {
            journal: recorder.journal(),
            model,
            options,
        };
        let failures = failures.load(Ordering::Relaxed);
        let _ = done.send(Run {
            explorer,
            recorder,
            failures,
            is_failed,
        });
    });
    match result.recv_timeout(BOUND) {
        Ok(run) => run,
        Err(error) => panic!("{described}: it hangs or has panicked: {error}"),
    }
}

/// Lets producers work. A frame that was taken before the disk was full waits for space, which a fault that stays never
/// gives; the end of the engine gives it up.
fn work(engine: &Engine, recorder: &Recorder, model: Model, seed: u64) -> Model {
    let (done, result) = mpsc::channel();
    let (worker, recorder) = (engine.clone(), recorder.clone());
    std::thread::spawn(move || done.send(Workload::new(worker, recorder, model).run(seed, &SCALE)));
    result.recv_timeout(FULL_FOR_LONG).unwrap_or_else(|_| {
        engine.close();
        result
            .recv_timeout(BOUND)
            .expect("the producers end with the engine")
    })
}

/// A directory with sealed and unsealed data, and what was submitted into it.
fn before(options: &Options, seed: u64) -> (Image, Model) {
    let run = run(&Image::default(), &Model::default(), options, None, seed);
    let position = run.explorer.journal.len();
    let survivor = run
        .explorer
        .open(run.recorder.image(), position)
        .unwrap_or_else(|what| panic!("without a fault: {what}"));
    survivor.engine.close();
    (
        survivor.recorder.image(),
        run.explorer.model.of_present(&survivor.present),
    )
}

#[test]
fn an_operation_that_fails_loses_nothing_acknowledged() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        let options = tiny(direct);
        let (image, model) = before(&options, seed);
        let whole = run(&image, &model, &options, None, seed);
        let operations = whole.recorder.operations(None);
        let errors = [Errno::IO, Errno::NOSPC, Errno::INTR];
        let runs = images_per_test(240) as u64;
        for nth in (1..=operations).step_by((operations * 2 / runs).max(1) as usize) {
            for forever in [false, true] {
                let error = errors[(nth % 3) as usize];
                // An error that stays is tried with the one operation too that has no other way out.
                let fault = Fault {
                    forever,
                    ..Fault::once(None, nth, error)
                };
                let described = format!("{direct:?}, {fault:?}");
                let run = run(&image, &model, &options, Some(fault), seed + nth);
                assert_eq!(run.failures, u64::from(run.is_failed), "{described}: told once");
                let position = run.explorer.journal.len();
                let ends = [
                    ("the process ended", run.recorder.image()),
                    (
                        "the power failed",
                        run.explorer.journal.image(position, &mut Nothing),
                    ),
                    ("the power failed", run.explorer.journal.image(position, &mut All)),
                ];
                for (end, image) in ends {
                    match run.explorer.open(image, position) {
                        Ok(survivor) => survivor.engine.close(),
                        Err(what) => panic!("{described}, {end}: {what}"),
                    }
                }
            }
        }
    }
}

/// Linux takes pages for clean whose flush failed. So a process that starts again reads what is not on the disk, and no
/// flush of its own puts it there.
#[test]
fn what_is_read_after_a_failed_flush_survives_the_next_power_failure() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        let options = tiny(direct);
        let (image, model) = before(&options, seed);
        let whole = run(&image, &model, &options, None, seed);
        let flushes = whole.recorder.operations(Some(Kind::Sync));
        for nth in (1..=flushes).step_by((flushes * 2 / images_per_test(80) as u64).max(1) as usize) {
            let fault = Fault::once(Kind::Sync, nth, Errno::IO);
            let first = run(&image, &model, &options, Some(fault), seed + nth);
            // The same recorder: its page cache is still there.
            let engine = match Engine::open(Arc::new(first.recorder.clone()), environment(), options.clone())
            {
                Ok(engine) => engine,
                Err(error) => panic!("flush {nth}: {error}"),
            };
            let position = first.recorder.position();
            let present = first
                .explorer
                .inspect(&engine, first.explorer.journal.len())
                .unwrap_or_else(|what| panic!("flush {nth}: {what}"));
            engine.close();
            let second = Explorer {
                journal: first.recorder.journal(),
                model: first.explorer.model.of_present(&present),
                options: options.clone(),
            };
            for position in [position, second.journal.len()] {
                match second.open(second.journal.image(position, &mut Nothing), position) {
                    Ok(survivor) => survivor.engine.close(),
                    Err(what) => panic!("{direct:?}, flush {nth}, position {position}: {what}"),
                }
            }
        }
    }
}
