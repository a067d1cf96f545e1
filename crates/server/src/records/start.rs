//! Where reading begins.

use anyhow::{Context, Result, bail};
use firth_kafka_codec::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, Uuid};
use std::sync::Arc;

use super::reading::{Position, out_of_range};
use crate::client::Client;
use crate::date;
use crate::offsets::offsets;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Beginning,
    End,
    Offset(i64),
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// So many offsets of each partition before its end.
    Last(i64),
}

/// For clap.
pub(crate) fn start(text: &str) -> Result<Start> {
    let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
    match text {
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        _ => {
            let parsed = if let Some(time) = text.strip_prefix('@') {
                number(time)
                    .or_else(|| date::parse_utc(time))
                    .map(Start::Timestamp)
            } else if let Some(last) = text.strip_prefix('-') {
                number(last).map(Start::Last)
            } else {
                number(text).map(Start::Offset)
            };
            parsed.context(
                "must be beginning, end, an offset, - and how many records before the end, or @ and a time: \
                 milliseconds since 1970, or UTC as in @2026-01-31T12:00:00",
            )
        }
    }
}

/// A topic that is read.
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
}

impl Start {
    /// The position of each partition.
    pub(crate) async fn positions(
        self,
        client: &mut Client,
        topic: &Topic,
        partitions: &[i32],
    ) -> Result<Vec<Position>> {
        let name = &*topic.name;
        let ends = offsets(client, name, partitions, LATEST_TIMESTAMP).await?;
        let starts = match self {
            Start::End => ends.clone(),
            Start::Beginning => offsets(client, name, partitions, EARLIEST_TIMESTAMP).await?,
            Start::Timestamp(timestamp) => offsets(client, name, partitions, timestamp).await?,
            Start::Offset(offset) => {
                let firsts = offsets(client, name, partitions, EARLIEST_TIMESTAMP).await?;
                for (partition, (first, end)) in partitions.iter().zip(firsts.into_iter().zip(&ends)) {
                    if offset < first || offset > *end {
                        bail!(out_of_range(name, *partition, offset, first, *end));
                    }
                }
                vec![offset; partitions.len()]
            }
            Start::Last(count) => {
                let firsts = offsets(client, name, partitions, EARLIEST_TIMESTAMP).await?;
                let pairs = firsts.into_iter().zip(&ends);
                pairs
                    .map(|(first, end)| first.max(end.saturating_sub(count)))
                    .collect()
            }
        };
        let position = |((partition, start), end): ((&i32, i64), i64)| Position {
            topic: topic.name.clone(),
            topic_id: topic.id,
            partition: *partition,
            // After the last record's time, there is nothing but what is still to come.
            next: if start < 0 { end } else { start },
            end,
        };
        Ok(partitions.iter().zip(starts).zip(ends).map(position).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_start_from_is_a_word_an_offset_or_a_time() {
        for (text, expected) in [
            ("beginning", Start::Beginning),
            ("end", Start::End),
            ("17", Start::Offset(17)),
            ("-17", Start::Last(17)),
            ("@17", Start::Timestamp(17)),
            ("@1970-01-01T00:00:01", Start::Timestamp(1000)),
        ] {
            assert_eq!(start(text).unwrap(), expected);
        }
        for text in ["", "-", "--1", "@", "@-1", "start", "@yesterday"] {
            assert!(start(text).is_err(), "{text}");
        }
    }
}
