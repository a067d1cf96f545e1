//! The process is killed at random moments, again and again, on one directory (T1 of the reliability plan).

use super::load::{Load, Progress};
use super::random::Random;
use crate::broker::{Broker, Directory, Start};

const CYCLES: u64 = 20;
/// Batches that are acknowledged before the process is killed, at most.
const BATCHES_MAX: u64 = 3000;

#[test]
fn nothing_is_lost_doubled_or_changed_by_kill_9() {
    let mut random = Random::from_environment("kill -9");
    let directory = Directory::new();
    let mut broker = Start::recycling(directory.path()).succeed();
    let mut load = Load::new(&broker, &mut random);
    for cycle in 0..CYCLES {
        let batches = random.within(0..BATCHES_MAX);
        broker = killed_and_restarted(broker, &mut load, batches, &mut random, &directory);
        // Every few times what is open is closed, so that both short and long histories are met.
        if cycle % 4 == 3 {
            load.finish(broker.kafka());
            load.check(broker.kafka());
        }
    }
    load.finish(broker.kafka());
    load.check(broker.kafka());
    broker.stop();
    let broker = Start::recycling(directory.path()).succeed();
    load.check(broker.kafka());
    broker.stop();
}

fn killed_and_restarted(
    broker: Broker,
    load: &mut Load,
    batches: u64,
    random: &mut Random,
    directory: &Directory,
) -> Broker {
    let address = broker.kafka();
    let kill = |progress: &Progress| {
        progress.wait_for(batches);
        broker.kill();
        progress.enough();
    };
    // Deletions let segments die, so that removing them is among what is interrupted.
    if random.within(0..3) == 0 {
        load.run_deleting(address, |progress| progress.wait_for(batches / 2), kill);
    } else {
        load.run(address, kill);
    }
    let mut start = Start::recycling(directory.path());
    if random.within(0..3) == 0 {
        // It survives a crash of the process, which is all that happens here.
        start.flags.extend(["--durability".to_owned(), "os".to_owned()]);
    }
    let broker = start.succeed();
    load.check(broker.kafka());
    broker
}
