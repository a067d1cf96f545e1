//! Runs of which everything follows from a number. A seed that fails fails again: `FIRTH_SIM_SEED=N FIRTH_SIM_SEEDS=1`, or by
//! hand `cargo xtask sim --seeds 1 --from N`, which is also for thousands of them.

use std::sync::atomic::{AtomicU64, Ordering};

use firth_sim::{Broken, seed, seeds_per_test, simulate};

#[test]
fn the_same_seed_twice_gives_the_same_bytes() {
    let first = seed();
    for seed in first..first + 8 {
        let outcome = simulate(seed);
        assert_eq!(outcome, simulate(seed), "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_bytes() {
    let first = seed();
    let mut digests: Vec<u64> = (first..first + 6)
        .map(|seed| simulate(seed).unwrap_or_else(|broken| panic!("{broken}")).digest)
        .collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 6);
}

#[test]
fn whatever_the_order_and_the_weather_nothing_acknowledged_is_lost() {
    let first = seed();
    let seeds = seeds_per_test(60);
    let next = AtomicU64::new(first);
    let run = || {
        let mut broken = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return broken;
            }
            broken.extend(simulate(seed).err());
        }
    };
    let broken: Vec<Broken> = std::thread::scope(|scope| {
        let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(run)).collect();
        jobs.into_iter()
            .flat_map(|job| job.join().expect("a run that fails is an error"))
            .collect()
    });
    for broken in &broken {
        println!("{broken}");
    }
    assert!(
        broken.is_empty(),
        "{} of {seeds} seeds from {first}",
        broken.len()
    );
}
