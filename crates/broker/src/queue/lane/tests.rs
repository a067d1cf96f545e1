//! A lane against a list that says of each offset what it is, across restarts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Acquired,
    Settled,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    delivered: bool,
    returns: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Append(i64),
    Take(u64),
    /// Which of what is held, and how much of it.
    Settle(prop::sample::Index, u64),
    GiveBack {
        which: prop::sample::Index,
        delivered: bool,
    },
    Purge,
    Store,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![1..4i64, 1..3 * PAGE].prop_map(Step::Append),
        8 => prop_oneof![1..4u64, 1..6000u64].prop_map(Step::Take),
        8 => (any::<prop::sample::Index>(), prop_oneof![1..4u64, 1..6000u64]).prop_map(|(which, count)| Step::Settle(which, count)),
        4 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, delivered)| Step::GiveBack { which, delivered }),
        1 => Just(Step::Purge),
        2 => Just(Step::Store),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is settled of a page, and what was returned.
type Stored = (Vec<Range<i64>>, Vec<(i64, u32)>);

/// What the state log holds of the lane.
#[derive(Default)]
struct Disk {
    cursor: Option<Cursor>,
    pages: BTreeMap<i64, Stored>,
}

impl Disk {
    fn store(&mut self, lane: &mut Lane, is_last: bool) {
        lane.store(is_last, |change| match change {
            Change::Cursor(cursor) => self.cursor = Some(cursor),
            Change::Page {
                number,
                settled,
                returns,
            } => {
                let ranges = settled.map(|page| page.ranges(number)).unwrap_or_default();
                self.pages.insert(number, (ranges, returns));
            }
            Change::PageGone(number) => _ = self.pages.remove(&number),
        });
        assert!(!lane.is_changed());
        assert!(lane.stored_pages().eq(self.pages.keys().copied()));
    }

    fn open(&self, end: i64) -> Lane {
        let cursor = self.cursor.expect("stored before");
        let mut lane = Lane::replayed(3, cursor, 0..end);
        for (number, (settled, returns)) in &self.pages {
            lane.replay_page(*number, settled.clone(), returns.clone());
        }
        lane
    }
}

#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    held: Vec<Taken>,
    /// After that a lane may say of a message that it was delivered, and err.
    restarted: bool,
}

impl Model {
    fn end(&self) -> i64 {
        self.entries.len() as i64
    }

    fn append(&mut self, count: i64) {
        let entry = Entry {
            state: State::Ready,
            delivered: false,
            returns: 0,
        };
        self.entries.extend(vec![entry; count as usize]);
    }

    fn give_up(&mut self, which: prop::sample::Index) -> Option<Taken> {
        let index = (!self.held.is_empty()).then(|| which.index(self.held.len()))?;
        Some(self.held.swap_remove(index))
    }

    fn give_back(&mut self, offsets: Range<i64>, delivered: bool) {
        for entry in &mut self.entries[offsets.start as usize..offsets.end as usize] {
            entry.state = State::Ready;
            entry.delivered |= delivered;
            entry.returns += u32::from(delivered);
        }
    }

    fn purge(&mut self) {
        for entry in &mut self.entries {
            if entry.state == State::Ready {
                entry.state = State::Settled;
            }
        }
    }

    /// What was held was perhaps delivered, and is not counted.
    fn restart(&mut self) {
        self.restarted = true;
        for held in std::mem::take(&mut self.held) {
            for entry in &mut self.entries[held.offsets.start as usize..held.offsets.end as usize] {
                entry.state = State::Ready;
                entry.delivered = true;
            }
        }
    }

    fn count(&self, state: State) -> u64 {
        self.entries.iter().filter(|entry| entry.state == state).count() as u64
    }

    fn set(&mut self, offsets: Range<i64>, state: State) {
        for entry in &mut self.entries[offsets.start as usize..offsets.end as usize] {
            entry.state = state;
        }
    }

    fn take(&mut self, taken: Taken) {
        let first = self.entries.iter().position(|entry| entry.state == State::Ready);
        assert_eq!(first.map(|at| at as i64), Some(taken.offsets.start));
        for entry in &mut self.entries[taken.offsets.start as usize..taken.offsets.end as usize] {
            assert_eq!(entry.state, State::Ready);
            assert!(taken.redelivered || !entry.delivered);
            assert!(!taken.redelivered || entry.delivered || self.restarted);
            assert_eq!(taken.returns, entry.returns);
            entry.state = State::Acquired;
        }
        self.held.push(taken);
    }
}

struct Run {
    lane: Lane,
    disk: Disk,
    model: Model,
}

impl Run {
    fn new() -> Run {
        let mut lane = Lane::new(3, LogId(7));
        let mut disk = Disk::default();
        disk.store(&mut lane, false);
        Run {
            lane,
            disk,
            model: Model::default(),
        }
    }

    fn step(&mut self, step: Step) {
        let Run { lane, disk, model } = self;
        match step {
            Step::Append(count) => {
                model.append(count);
                lane.advance(model.end());
            }
            Step::Take(max) => match lane.peek(max).and_then(|_| lane.take(max)) {
                None => assert_eq!(model.count(State::Ready), 0),
                Some(taken) => {
                    assert!(taken.len() <= max);
                    model.take(taken);
                }
            },
            Step::Settle(which, count) => {
                let Some(held) = model.give_up(which) else { return };
                let (settled, rest) = held.split(count);
                model.held.extend(rest);
                lane.settle(settled.offsets.clone());
                model.set(settled.offsets, State::Settled);
            }
            Step::GiveBack { which, delivered } => {
                let Some(held) = model.give_up(which) else { return };
                lane.give_back(&held, delivered, true);
                model.give_back(held.offsets, delivered);
            }
            Step::Purge => {
                assert_eq!(lane.purge(), model.count(State::Ready));
                model.purge();
            }
            Step::Store => disk.store(lane, false),
            Step::Restart => {
                disk.store(lane, true);
                *lane = disk.open(model.end());
                model.restart();
            }
        }
    }

    fn check(&self) {
        let Run { lane, model, .. } = self;
        assert_eq!(lane.ready(), model.count(State::Ready));
        assert_eq!(lane.acquired(), model.count(State::Acquired));
        let pending: u64 = lane
            .pending(0..i64::MAX)
            .iter()
            .map(|range| range.end.min(lane.end()).abs_diff(range.start))
            .sum();
        assert_eq!(pending, lane.ready() + lane.acquired());
        let above = &model.entries[lane.low() as usize..];
        let settled = above.iter().filter(|entry| entry.state == State::Settled);
        assert_eq!(lane.settled(), settled.count() as u64);
        let head = model.entries.iter().position(|entry| entry.state == State::Ready);
        assert_eq!(lane.head(), head.map(|at| at as i64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_lane_is_what_the_list_says(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
            run.check();
        }
    }
}

#[test]
fn acknowledgements_in_order_store_a_cursor_alone() {
    let mut lane = Lane::new(0, LogId(7));
    lane.advance(100_000);
    while let Some(taken) = lane.take(100) {
        lane.settle(taken.offsets);
    }
    let mut changes = Vec::new();
    lane.store(true, |change| changes.push(format!("{change:?}")));
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(lane.trim(1), Some(100_000));
    assert_eq!(lane.trim(1), None);
}

#[test]
fn what_was_delivered_before_a_crash_is_delivered_as_that() {
    let mut lane = Lane::new(0, LogId(7));
    let mut disk = Disk::default();
    lane.advance(100_000);
    lane.take(10).unwrap();
    disk.store(&mut lane, false);
    // As much as between two times that the lane is stored.
    lane.take(400).unwrap();
    let mut lane = disk.open(100_000);
    let taken = lane.take(u64::MAX).unwrap();
    assert!(taken.redelivered && taken.len() >= 410, "{taken:?}");
    assert!(!lane.take(u64::MAX).unwrap().redelivered);
}
