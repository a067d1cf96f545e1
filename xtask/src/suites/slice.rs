//! A part of all tests that have to pass, so that each run of CI takes its turn at some of them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::list::{Entry, List, Reason};

const SECONDS_A_DAY: u64 = 86_400;
/// What starting and ending a broker adds to each test.
const OVERHEAD_SECONDS: f64 = 0.3;

/// `2/5`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// From 1.
    pub(super) number: u64,
    pub(super) count: u64,
}

impl Slice {
    pub(super) fn parse(text: &str) -> Result<Slice> {
        let (number, count) = text.split_once('/').context("a slice is N/M or today/M")?;
        let count: u64 = count.parse().context("M of a slice is a number")?;
        ensure!(count > 0, "M of a slice is at least 1");
        let number = match number {
            "today" => today() % count + 1,
            number => number.parse().context("N of a slice is a number, or `today`")?,
        };
        ensure!((1..=count).contains(&number), "N of a slice is between 1 and M");
        Ok(Slice { number, count })
    }

    /// Leaves in the lists what has to pass and belongs to this slice. Slices are cut out of the lists one after the other, by
    /// the seconds that tests take: so most have tests of one suite, which alone is then fetched.
    pub(super) fn restrict(&self, lists: &mut [List]) {
        for list in &mut *lists {
            list.entries.retain(|entry| entry.reason == Reason::Passes);
        }
        let seconds = |entry: &Entry| entry.seconds.unwrap_or(1.0) + OVERHEAD_SECONDS;
        let total: f64 = lists.iter().flat_map(|list| &list.entries).map(seconds).sum();
        let share = total / self.count as f64;
        let mut before = 0.0;
        for list in lists {
            list.entries.retain(|entry| {
                let middle = before + seconds(entry) / 2.0;
                before += seconds(entry);
                let from = (self.number - 1) as f64 * share;
                from <= middle && middle < from + share
            });
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the day decides whose turn it is, and the output says which"
)]
fn today() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / SECONDS_A_DAY)
}

#[cfg(test)]
mod tests {
    use super::Slice;

    #[test]
    fn a_slice_is_one_of_those_there_are() {
        assert_eq!(Slice::parse("2/5").unwrap(), Slice { number: 2, count: 5 });
        assert!((1..=5).contains(&Slice::parse("today/5").unwrap().number));
        for text in ["0/5", "6/5", "5", "1/0", "x/5"] {
            assert!(Slice::parse(text).is_err(), "{text}");
        }
    }
}
