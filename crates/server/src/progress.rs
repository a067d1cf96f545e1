//! How far long work is, on standard error: one line that is redrawn in place where that is a terminal, else a line now and then.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use crate::environment::since_boot;

const BAR_CELLS: u64 = 30;
/// Between two lines where nothing can be redrawn. What is shorter says nothing.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Back to the beginning of the line, and it is empty.
const ERASE: &str = "\r\x1b[K";

pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    /// The percentage that is shown; absent where nothing is redrawn.
    shown: Option<u64>,
    /// When a line was printed, or the work began.
    said: Duration,
}

impl Progress {
    /// `total` is in whatever unit [`Progress::add`] counts.
    pub(crate) fn new(what: &'static str, total: u64) -> Progress {
        let mut progress = Progress {
            what,
            total,
            done: 0,
            shown: stderr().is_terminal().then_some(u64::MAX),
            said: since_boot(),
        };
        progress.show();
        progress
    }

    pub(crate) fn add(&mut self, done: u64) {
        self.done = self.done.saturating_add(done);
        self.show();
    }

    fn show(&mut self) {
        let percent = percent(self.done, self.total);
        if self.shown.is_some_and(|shown| shown != percent) {
            self.shown = Some(percent);
            // Whether anyone sees it changes nothing about the work.
            let _ = write!(stderr(), "{ERASE}{}", line(self.what, percent));
        }
        let now = since_boot();
        if self.shown.is_none() && now.saturating_sub(self.said) >= LINE_EVERY {
            self.said = now;
            let _ = writeln!(stderr(), "{}: {percent} %", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            erase();
        }
    }
}

/// Figures of work of which nobody knows how much there is.
pub(crate) struct Line {
    is_terminal: bool,
}

impl Line {
    pub(crate) fn new() -> Line {
        Line {
            is_terminal: stderr().is_terminal(),
        }
    }

    /// Replaces what is shown on a terminal, and is a line of its own elsewhere.
    pub(crate) fn say(&mut self, text: &str) {
        // Whether anyone sees it changes nothing about the work.
        let _ = match self.is_terminal {
            true => write!(stderr(), "{ERASE}{text}"),
            false => writeln!(stderr(), "{text}"),
        };
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        erase();
    }
}

/// Makes room for a line of the log, which the next redrawing follows.
pub(crate) fn erase() {
    if stderr().is_terminal() {
        let _ = write!(stderr(), "{ERASE}");
    }
}

/// Work of which nobody knew that there is more of it stays at 100.
fn percent(done: u64, total: u64) -> u64 {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    percent.min(100).try_into().unwrap_or(100)
}

fn line(what: &str, percent: u64) -> String {
    let bar: String = (0..BAR_CELLS)
        .map(|cell| {
            if cell * 100 < percent * BAR_CELLS {
                '#'
            } else {
                '.'
            }
        })
        .collect();
    format!("{what} [{bar}] {percent:3} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_the_part_that_is_done() {
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(5, 3), 100);
        assert_eq!(
            line("segments", 0),
            "segments [..............................]   0 %"
        );
        assert_eq!(
            line("segments", 50),
            "segments [###############...............]  50 %"
        );
        assert_eq!(
            line("segments", 100),
            "segments [##############################] 100 %"
        );
    }
}
