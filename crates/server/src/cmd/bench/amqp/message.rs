//! What tells the messages of a run from others, and when they were due.

use std::time::Duration;

/// A mark of the run, and nanoseconds since the machine started.
pub(super) const HEAD_BYTES: usize = 16;

#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(pub(super) [u8; 8]);

impl Mark {
    /// Writes the head of a body that has room for it.
    pub(super) fn stamp(self, due: Duration, body: &mut [u8]) {
        let ns = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
        body[..8].copy_from_slice(&self.0);
        body[8..HEAD_BYTES].copy_from_slice(&ns.to_be_bytes());
    }

    /// When a message of this run was due.
    pub(super) fn due(self, body: &[u8]) -> Option<Duration> {
        let (mark, rest) = body.split_first_chunk::<8>()?;
        let ns = rest.first_chunk()?;
        (*mark == self.0).then(|| Duration::from_nanos(u64::from_be_bytes(*ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_another_run_is_none_of_this() {
        let (mark, mut body) = (Mark(*b"12345678"), vec![0; 100]);
        mark.stamp(Duration::from_nanos(7), &mut body);
        assert_eq!(mark.due(&body), Some(Duration::from_nanos(7)));
        assert_eq!(Mark(*b"87654321").due(&body), None);
        assert_eq!(mark.due(&body[..15]), None);
    }
}
