//! The partitions that a consumer was assigned, read as far as all versions of the consumer protocol agree.
//!
//! ```text
//! version i16 | count i32 | (length i16 | topic | count i32 | partition i32*)* | ...     big-endian
//! ```

use std::collections::BTreeMap;

use bytes::Buf;

/// The protocol type of groups whose assignments are these.
pub(super) const CONSUMER: &str = "consumer";

pub(super) type Assignment = BTreeMap<String, Vec<i32>>;

/// Nothing where that is no assignment; a member that was not assigned anything has no bytes at all.
pub(super) fn assignment(mut bytes: &[u8]) -> Option<Assignment> {
    if bytes.is_empty() {
        return Some(Assignment::new());
    }
    bytes.try_get_i16().ok()?;
    let mut assigned = Assignment::new();
    for _ in 0..bytes.try_get_i32().ok()?.max(0) {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        let (topic, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let partitions: &mut Vec<i32> = assigned
            .entry(std::str::from_utf8(topic).ok()?.to_owned())
            .or_default();
        for _ in 0..bytes.try_get_i32().ok()?.max(0) {
            partitions.push(bytes.try_get_i32().ok()?);
        }
        partitions.sort_unstable();
    }
    Some(assigned)
}

/// As `a:0,1;b:2`.
pub(super) fn text(assigned: &Assignment) -> String {
    let of_topic = |(topic, partitions): (&String, &Vec<i32>)| {
        let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        format!("{topic}:{}", partitions.join(","))
    };
    match assigned.is_empty() {
        true => "-".to_owned(),
        false => assigned.iter().map(of_topic).collect::<Vec<_>>().join(";"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_whatever_follows() {
        let bytes = [
            &[0, 3, 0, 0, 0, 2, 0, 1][..],
            b"b",
            &[0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 1, 0, 2],
            b"aa",
            &[0, 0, 0, 0],
            &[0xff; 4],
        ]
        .concat();
        let assigned = assignment(&bytes).unwrap();
        assert_eq!(text(&assigned), "aa:;b:1,7");
        for length in 1..bytes.len() - 4 {
            assert_eq!(assignment(&bytes[..length]), None, "{length}");
        }
        assert_eq!(text(&assignment(&[]).unwrap()), "-");
        assert_eq!(assignment(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
    }
}
