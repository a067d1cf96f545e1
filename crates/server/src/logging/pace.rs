//! How many lines one place in the code may log. What clients do is logged, and they may do it a thousand times a second: nobody
//! is to fill a disk by it, nor to hide other lines among his.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;

/// Lines that one place may log at once.
const BURST: u32 = 1000;
/// Lines of it that are allowed again in a second.
const PER_SECOND: u32 = 20;

/// What is left to each place. There are as many as the code has.
#[derive(Default)]
pub(super) struct Pace {
    places: Mutex<HashMap<Identifier, Place>>,
}

struct Place {
    /// In lines, as of the time beside it.
    left: f64,
    at: Duration,
    left_out: u64,
}

impl Pace {
    /// Whether a line may be written, and how many of its place were not since the last that was.
    pub(super) fn admit(&self, place: Identifier, now: Duration) -> Option<u64> {
        // Each entry is whole whenever the lock is free.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(place).or_insert(Place {
            left: f64::from(BURST),
            at: now,
            left_out: 0,
        });
        let passed = now.saturating_sub(place.at).as_secs_f64();
        place.left = (place.left + passed * f64::from(PER_SECOND)).min(f64::from(BURST));
        place.at = now;
        if place.left < 1.0 {
            place.left_out += 1;
            return None;
        }
        place.left -= 1.0;
        Some(std::mem::take(&mut place.left_out))
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing::callsite::{Callsite, DefaultCallsite};
    use tracing::field::FieldSet;
    use tracing::metadata::{Kind, Metadata};

    use super::*;

    fn identifiers() -> [Identifier; 2] {
        static METADATA: [Metadata<'static>; 2] = [
            Metadata::new(
                "a",
                "a",
                Level::INFO,
                None,
                None,
                None,
                FieldSet::new(&[], Identifier(&FIRST)),
                Kind::EVENT,
            ),
            Metadata::new(
                "b",
                "b",
                Level::INFO,
                None,
                None,
                None,
                FieldSet::new(&[], Identifier(&SECOND)),
                Kind::EVENT,
            ),
        ];
        static FIRST: DefaultCallsite = DefaultCallsite::new(&METADATA[0]);
        static SECOND: DefaultCallsite = DefaultCallsite::new(&METADATA[1]);
        [FIRST.metadata().callsite(), SECOND.metadata().callsite()]
    }

    #[test]
    fn a_place_that_logs_too_much_is_slowed_and_no_other() {
        let (pace, [first, second]) = (Pace::default(), identifiers());
        let at = Duration::from_millis;
        for _ in 0..BURST {
            assert_eq!(pace.admit(first.clone(), at(0)), Some(0));
        }
        for ms in [0, 10, 20, 30, 40] {
            assert_eq!(pace.admit(first.clone(), at(ms)), None, "{ms}");
        }
        assert_eq!(pace.admit(second, at(40)), Some(0));
        assert_eq!(pace.admit(first.clone(), at(50)), Some(5));
        assert_eq!(pace.admit(first.clone(), at(50)), None);
        let passed = (0..2 * BURST).filter(|_| pace.admit(first.clone(), at(3_600_000)).is_some());
        assert_eq!(passed.count(), BURST as usize);
    }
}
