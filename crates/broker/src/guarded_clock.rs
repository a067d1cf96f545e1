//! Wall time for what deletes by age: a clock that is set a year ahead by mistake must not delete everything, neither
//! while the broker runs nor when it starts on a machine whose clock is wrong.
//!
//! What is known of the time is kept in the definitions log, and between two looks it goes on with the monotonic clock,
//! which no mistake moves. A wall clock that differs from that by more than [`JUMP_MAX`] has jumped, or the broker was
//! stopped meanwhile. It is followed when it has stood for a hundredth of the difference, within [`STANDS_MIN`] and
//! [`STANDS_MAX`]: for ten minutes after an hour or a night, for almost four days after a year. Until then the earlier
//! of the two times counts, so that what is deleted late is all that a wrong clock, or a right one, can do. A clock that
//! is set right in the meantime is believed at once.

use std::time::Duration;

use crate::Clock;

/// How much the wall clock may differ from what is known before it is not believed.
const JUMP_MAX: Duration = Duration::from_secs(10 * 60);
/// A jump is followed after this part of it.
const STANDS_DIVISOR: i64 = 100;
const STANDS_MIN: Duration = Duration::from_secs(10 * 60);
const STANDS_MAX: Duration = Duration::from_secs(4 * 24 * 60 * 60);
/// What is known of the time is noted when it has gone on by so much.
const NOTED_EACH: Duration = Duration::from_secs(10 * 60);

#[derive(Debug)]
pub(crate) struct GuardedClock {
    known_ms: i64,
    /// When that was known.
    monotonic: Duration,
    jump: Option<Jump>,
    /// What the definitions log says.
    noted_ms: Option<i64>,
}

/// A difference that is not believed yet.
#[derive(Clone, Copy, Debug)]
struct Jump {
    since: Duration,
    difference_ms: i64,
}

impl Jump {
    /// How long the clock has to stand.
    fn stands_ms(&self) -> i64 {
        let part = self.difference_ms.saturating_abs() / STANDS_DIVISOR;
        part.clamp(millis(STANDS_MIN), millis(STANDS_MAX))
    }
}

impl GuardedClock {
    /// `noted_ms` is the last time that was noted, by this process or one before it.
    pub(crate) fn new(clock: &Clock, noted_ms: Option<i64>) -> GuardedClock {
        GuardedClock {
            known_ms: noted_ms.unwrap_or_else(|| clock.wall_ms()),
            monotonic: clock.monotonic(),
            jump: None,
            noted_ms,
        }
    }

    /// What the time is believed to be as of the last look.
    pub(crate) fn known_ms(&self) -> i64 {
        self.known_ms
    }

    /// The time below which nothing that is deleted by its age is in doubt.
    pub(crate) fn now_ms(&mut self, clock: &Clock) -> i64 {
        let (wall_ms, monotonic) = (clock.wall_ms(), clock.monotonic());
        let passed = monotonic.saturating_sub(self.monotonic);
        let expected_ms = self.known_ms.saturating_add(millis(passed));
        let difference_ms = wall_ms.saturating_sub(expected_ms);
        self.monotonic = monotonic;
        let Some(jump) = self.jump(difference_ms) else {
            if self.jump.take().is_some() {
                tracing::info!(wall_ms, "the clock is where it was expected again");
            }
            self.known_ms = wall_ms;
            return wall_ms;
        };
        if millis(monotonic.saturating_sub(jump.since)) >= jump.stands_ms() {
            tracing::warn!(
                wall_ms,
                expected_ms,
                "the clock stands where it jumped to, and is followed"
            );
            self.jump = None;
            self.known_ms = wall_ms;
            return wall_ms;
        }
        if self.jump.is_none_or(|known| known.since != jump.since) {
            tracing::warn!(
                wall_ms,
                expected_ms,
                followed_after_s = jump.stands_ms() / 1000,
                "the clock is not where it is expected: what is deleted by its age waits until it stands or is set right"
            );
        }
        self.jump = Some(jump);
        self.known_ms = expected_ms;
        wall_ms.min(expected_ms)
    }

    /// The jump that such a difference belongs to, if it is one.
    fn jump(&self, difference_ms: i64) -> Option<Jump> {
        let is_near = |a: i64, b: i64| a.saturating_sub(b).saturating_abs() <= millis(JUMP_MAX);
        if is_near(difference_ms, 0) {
            return None;
        }
        let same = self
            .jump
            .filter(|jump| is_near(jump.difference_ms, difference_ms));
        Some(same.unwrap_or(Jump {
            since: self.monotonic,
            difference_ms,
        }))
    }

    /// What is to be noted now, if anything.
    pub(crate) fn take_note(&mut self) -> Option<i64> {
        let is_due = self
            .noted_ms
            .is_none_or(|noted_ms| self.known_ms.abs_diff(noted_ms) >= millis(NOTED_EACH).unsigned_abs());
        is_due.then(|| *self.noted_ms.insert(self.known_ms))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;

    /// A machine whose wall clock can be set, and what its broker believes.
    struct Machine {
        wall_ms: Arc<AtomicI64>,
        monotonic_ms: Arc<AtomicU64>,
        clock: Clock,
        guarded: GuardedClock,
    }

    impl Machine {
        fn started(wall_ms: i64, noted_ms: Option<i64>) -> Machine {
            let wall = Arc::new(AtomicI64::new(wall_ms));
            // Any number: the monotonic clock begins where it likes.
            let monotonic = Arc::new(AtomicU64::new(12_345));
            let (of_wall, of_monotonic) = (wall.clone(), monotonic.clone());
            let clock = Clock::new(
                move || of_wall.load(Ordering::Relaxed),
                move || Duration::from_millis(of_monotonic.load(Ordering::Relaxed)),
            );
            Machine {
                guarded: GuardedClock::new(&clock, noted_ms),
                wall_ms: wall,
                monotonic_ms: monotonic,
                clock,
            }
        }

        fn jumps(&self, ms: i64) {
            self.wall_ms.fetch_add(ms, Ordering::Relaxed);
        }

        /// Looks once in a minute, and gives what is believed at the end.
        fn after(&mut self, ms: i64) -> i64 {
            let mut left = ms;
            while left > 0 {
                let step = left.min(MINUTE);
                self.jumps(step);
                self.monotonic_ms
                    .fetch_add(step.unsigned_abs(), Ordering::Relaxed);
                self.guarded.now_ms(&self.clock);
                left -= step;
            }
            self.guarded.now_ms(&self.clock)
        }
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        let mut machine = Machine::started(YEAR, None);
        assert_eq!(machine.after(0), YEAR);
        assert_eq!(machine.after(DAY), YEAR + DAY);
        for small in [9 * MINUTE, -3 * MINUTE, -9 * MINUTE] {
            let before = machine.after(0);
            machine.jumps(small);
            assert_eq!(machine.after(MINUTE), before + small + MINUTE);
        }
    }

    #[test]
    fn a_jump_forward_is_not_followed_before_it_has_stood() {
        for (jump, stands) in [
            (HOUR, 10 * MINUTE),
            (10 * DAY, 144 * MINUTE),
            (YEAR, YEAR / 100),
            (1000 * YEAR, 4 * DAY),
        ] {
            let mut machine = Machine::started(YEAR, None);
            machine.jumps(jump);
            assert_eq!(machine.after(0), YEAR);
            assert_eq!(machine.after(stands - MINUTE), YEAR + stands - MINUTE);
            assert_eq!(machine.after(MINUTE), YEAR + stands + jump);
            assert_eq!(machine.after(MINUTE), YEAR + stands + jump + MINUTE);
        }
    }

    #[test]
    fn a_clock_that_is_set_right_is_believed_at_once_and_the_next_jump_is_another() {
        let mut machine = Machine::started(YEAR, None);
        machine.jumps(YEAR);
        assert_eq!(machine.after(DAY), YEAR + DAY);
        machine.jumps(-YEAR + MINUTE);
        assert_eq!(machine.after(0), YEAR + DAY + MINUTE);
        machine.jumps(YEAR);
        assert_eq!(machine.after(3 * DAY), YEAR + 4 * DAY + MINUTE);
    }

    #[test]
    fn a_clock_that_goes_from_one_wrong_time_to_another_has_to_stand_anew() {
        let mut machine = Machine::started(YEAR, None);
        machine.jumps(YEAR);
        machine.after(3 * DAY);
        machine.jumps(YEAR);
        assert_eq!(machine.after(3 * DAY), YEAR + 6 * DAY);
    }

    #[test]
    fn a_clock_that_goes_back_deletes_less_and_forgets_nothing() {
        let mut machine = Machine::started(YEAR, None);
        machine.jumps(-HOUR);
        assert_eq!(machine.after(MINUTE), YEAR + MINUTE - HOUR);
        // It was corrected: this is no jump ahead.
        machine.jumps(HOUR);
        assert_eq!(machine.after(MINUTE), YEAR + 2 * MINUTE);
        machine.jumps(-HOUR);
        assert_eq!(machine.after(20 * MINUTE), YEAR + 22 * MINUTE - HOUR);
        // By now an hour back is what is known, and an hour ahead is a jump.
        machine.jumps(HOUR);
        assert_eq!(machine.after(MINUTE), YEAR + 23 * MINUTE - HOUR);
    }

    #[test]
    fn a_start_with_a_wrong_clock_is_a_jump_too() {
        let mut machine = Machine::started(2 * YEAR, Some(YEAR));
        assert_eq!(machine.after(3 * DAY), YEAR + 3 * DAY);
        // And so is the next one, whatever the clock said in between.
        let noted = machine.guarded.take_note().unwrap();
        assert_eq!(noted, YEAR + 3 * DAY);
        let mut machine = Machine::started(2 * YEAR + 4 * DAY, Some(noted));
        assert_eq!(machine.after(3 * DAY), YEAR + 6 * DAY);
        assert_eq!(machine.after(DAY), 2 * YEAR + 8 * DAY);
    }

    #[test]
    fn a_start_after_a_weekend_is_believed_within_the_hour() {
        let mut machine = Machine::started(YEAR + 3 * DAY, Some(YEAR));
        assert_eq!(machine.after(0), YEAR);
        assert_eq!(machine.after(HOUR), YEAR + 3 * DAY + HOUR);
    }

    #[test]
    fn a_machine_without_a_clock_of_its_own_waits_for_the_right_time() {
        let mut machine = Machine::started(0, Some(YEAR));
        assert_eq!(machine.after(MINUTE), MINUTE);
        machine.jumps(YEAR + 5 * MINUTE);
        assert_eq!(machine.after(MINUTE), YEAR + 7 * MINUTE);
    }

    #[test]
    fn what_is_known_is_noted_now_and_then() {
        let mut machine = Machine::started(YEAR, None);
        assert_eq!(machine.guarded.take_note(), Some(YEAR));
        machine.after(9 * MINUTE);
        assert_eq!(machine.guarded.take_note(), None);
        machine.after(MINUTE);
        assert_eq!(machine.guarded.take_note(), Some(YEAR + 10 * MINUTE));
        assert_eq!(machine.guarded.take_note(), None);
    }
}
