//! The topics that a consumer tells its group's leader, read as far as all versions of the consumer protocol agree.
//!
//! ```text
//! version i16 | count i32 | (length i16 | name)* | ...      big-endian, as everything of Kafka
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Buf;

/// None where that is no subscription.
pub(super) fn topics(mut metadata: &[u8]) -> Option<BTreeSet<Arc<str>>> {
    metadata.try_get_i16().ok()?;
    let count = metadata.try_get_i32().ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count.max(0) {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        let (name, rest) = metadata.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.into());
        metadata = rest;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_whatever_follows() {
        let metadata = [
            &[0, 3, 0, 0, 0, 2, 0, 1][..],
            b"a",
            &[0, 2],
            b"bc",
            b"what later versions have",
        ]
        .concat();
        let names = ["a", "bc"].map(Arc::from);
        assert_eq!(topics(&metadata), Some(BTreeSet::from(names)));
        for len in 0..11 {
            assert_eq!(topics(&metadata[..len]), None, "{len}");
        }
        assert_eq!(topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(topics(&[0, 0, 0, 0, 0, 1, 0xff, 0xff]), None);
    }
}
