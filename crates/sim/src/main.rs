//! Many runs of the simulation by hand: `cargo xtask sim --seeds 5000`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use firth_sim::{Broken, Outcome, simulate};

const USAGE: &str = "\
cargo xtask sim [--seeds N] [--from SEED] [--twice] [--all]
    --seeds N    how many runs; 1000
    --from SEED  the first of them; 1
    --twice      each seed twice, and both runs are to be the same byte by byte
    --all        go on when one has failed
FIRTH_SIM_OPERATIONS says how many entries of its journal are told of a run that failed.";

/// After so many runs it says how far it is.
const PROGRESS: u64 = 100;

struct Arguments {
    seeds: u64,
    from: u64,
    twice: bool,
    all: bool,
}

/// What all runs came to.
#[derive(Default)]
struct Sum {
    runs: u64,
    broken: Vec<u64>,
    outcome: Outcome,
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let next = AtomicU64::new(arguments.from);
    let sum = Mutex::new(Sum::default());
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&arguments, &next, &sum));
        }
    });
    let Sum {
        runs,
        broken,
        outcome,
    } = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{runs} seeds, {} of them broken: {outcome:?}", broken.len());
    match broken.iter().min() {
        None => ExitCode::SUCCESS,
        Some(seed) => {
            println!("to repeat the first: cargo xtask sim --seeds 1 --from {seed}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments, next: &AtomicU64, sum: &Mutex<Sum>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= arguments.from.saturating_add(arguments.seeds) {
            return;
        }
        let result = run(seed, arguments.twice);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.runs += 1;
        match result {
            Ok(outcome) => sum.outcome.add(&outcome),
            Err(broken) => {
                println!("{broken}\n");
                sum.broken.push(seed);
                if !arguments.all {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                }
            }
        }
        if sum.runs.is_multiple_of(PROGRESS) {
            println!(
                "{} of {} seeds, {} broken",
                sum.runs,
                arguments.seeds,
                sum.broken.len()
            );
        }
    }
}

fn run(seed: u64, twice: bool) -> Result<Outcome, Broken> {
    let outcome = simulate(seed)?;
    if twice {
        let again = simulate(seed)?;
        if again != outcome {
            let what = format!("it does not repeat: {outcome:?}, then {again:?}");
            return Err(Broken { seed, what });
        }
    }
    Ok(outcome)
}

fn parse(mut given: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments {
        seeds: 1000,
        from: 1,
        twice: false,
        all: false,
    };
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--seeds" => arguments.seeds = given.next()?.parse().ok()?,
            "--from" => arguments.from = given.next()?.parse().ok()?,
            "--twice" => arguments.twice = true,
            "--all" => arguments.all = true,
            _ => return None,
        }
    }
    Some(arguments)
}
