use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::lock::lock;
use crate::sync::{AtomicU64, Condvar, Mutex, channel};

const STEPS_MAX: u64 = 10_000;

/// The order in which three threads came to a lock.
fn order(seed: u64) -> Vec<(usize, u64)> {
    let main = || {
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..3).map(|id| {
            let order = order.clone();
            spawn(format!("thread-{id}"), move || {
                for _ in 0..8 {
                    in_flight(None);
                    lock(&order).push((id, draw().expect("it is of a simulation")));
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("it ends"));
        std::mem::take(&mut *lock(&order))
    };
    run(seed, STEPS_MAX, main).expect("nothing is wrong with it")
}

#[test]
fn the_same_seed_gives_the_same_order_and_others_give_others() {
    let orders: Vec<_> = (0..40).map(order).collect();
    let again: Vec<_> = (0..40).map(order).collect();
    assert_eq!(orders, again);
    let mut others = orders;
    others.sort();
    others.dedup();
    assert!(others.len() > 30, "{} orders", others.len());
}

#[test]
fn a_deadlock_tells_who_waits_for_what() {
    let failure = (0..100).find_map(|seed| {
        let main = || {
            let (first, second) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
            let (a, b) = (first.clone(), second.clone());
            let other = spawn("other".to_owned(), move || {
                let _b = lock(&b);
                drop(lock(&a));
            });
            {
                let _a = lock(&first);
                drop(lock(&second));
            }
            other.join().expect("it ends");
        };
        run(seed, STEPS_MAX, main).err()
    });
    let Some(Failure::Deadlock(told)) = failure else {
        panic!("no seed of a hundred found it: {failure:?}");
    };
    assert!(told.contains("main waits for a lock at"), "{told}");
    assert!(told.contains("other waits for a lock at"), "{told}");
}

#[test]
fn an_update_that_is_lost_between_two_threads_is_found() {
    let sums: Vec<u64> = (0..50)
        .map(|seed| {
            let main = || {
                let sum = Arc::new(AtomicU64::new(0));
                let add = |sum: &AtomicU64| {
                    let before = sum.load(Ordering::Relaxed);
                    sum.store(before + 1, Ordering::Relaxed);
                };
                let shared = sum.clone();
                let other = spawn("other".to_owned(), move || add(&shared));
                add(&sum);
                other.join().expect("it ends");
                sum.load(Ordering::Relaxed)
            };
            run(seed, STEPS_MAX, main).expect("it ends")
        })
        .collect();
    assert!(sums.contains(&1) && sums.contains(&2), "{sums:?}");
}

#[test]
fn time_passes_where_nobody_can_go_on() {
    const HOUR: Duration = Duration::from_secs(3600);
    for seed in 0..20 {
        let main = || {
            let (mutex, condvar) = (Mutex::new(()), Condvar::new());
            let waited = condvar.wait_timeout_while(lock(&mutex), HOUR, |()| true);
            assert!(waited.expect("nobody panicked").1.timed_out());
            pause(HOUR);
            now()
        };
        let now = run(seed, STEPS_MAX, main).expect("it ends");
        assert_eq!(now, Some(2 * HOUR));
    }
}

#[test]
fn messages_wakers_and_ends_are_waited_for() {
    for seed in 0..50 {
        let main = || {
            let (sender, receiver) = channel();
            let notify = Arc::new(tokio::sync::Notify::new());
            let notified = notify.clone();
            let other = spawn("other".to_owned(), move || {
                let sum: u64 = receiver.into_iter().sum();
                notified.notify_one();
                sum
            });
            (1..=4).for_each(|number| sender.send(number).expect("it is received"));
            drop(sender);
            block_on(notify.notified());
            other.join().expect("it ends")
        };
        assert_eq!(run(seed, STEPS_MAX, main), Ok(10));
    }
}

#[test]
fn a_run_that_does_not_end_well_says_so() {
    let panics = run(1, STEPS_MAX, || panic!("{} is wrong", 7));
    assert_eq!(
        panics,
        Err(Failure::Panic {
            thread: "main".to_owned(),
            message: "7 is wrong".to_owned(),
        })
    );
    let endless = run(1, STEPS_MAX, || {
        loop {
            yield_now();
        }
    });
    assert!(matches!(endless, Err(Failure::Endless(_))));
    let left = run(1, STEPS_MAX, || {
        spawn("left".to_owned(), || pause(Duration::from_secs(1)));
    });
    let Err(Failure::Left(told)) = left else {
        panic!("{left:?}");
    };
    assert!(told.contains("left"), "{told}");
}
