//! The newest records of all partitions together, in the order of their times.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, Result};
use firth_kafka_codec::PartitionData;

use super::Output;
use crate::client::{Client, check};
use crate::records::Placed;
use crate::records::reading::{Position, fetch, visit};

/// Prints at most `last` records that are there, of positions that begin so many offsets before their ends.
pub(super) async fn print(
    client: &mut Client,
    positions: &mut [Position],
    last: usize,
    out: &mut Output,
) -> Result<()> {
    // The newest of each partition, as they are printed.
    let mut lines: Vec<(i64, Vec<u8>)> = Vec::new();
    for position in positions {
        let mut newest = VecDeque::new();
        while position.next < position.end {
            let one = std::slice::from_mut(position);
            for (_, data) in fetch(client, one).await? {
                let position = &mut one[0];
                check(data.error_code, None)
                    .with_context(|| format!("partition {} of {}", position.partition, position.topic))?;
                gather(&data, position, last, out, &mut newest)?;
            }
        }
        lines.extend(newest);
    }
    lines.sort_by_key(|(timestamp, _)| *timestamp);
    let skipped = lines.len().saturating_sub(last);
    for (_, line) in lines.into_iter().skip(skipped) {
        if out.left > 0 {
            out.left -= 1;
            out.bytes.extend(line);
        }
    }
    out.flush()
}

fn gather(
    data: &PartitionData,
    position: &mut Position,
    last: usize,
    out: &Output,
    newest: &mut VecDeque<(i64, Vec<u8>)>,
) -> Result<()> {
    let (topic, partition): (Arc<str>, i32) = (position.topic.clone(), position.partition);
    let end = position.end;
    visit(data, position, |record| {
        if record.offset >= end {
            return ControlFlow::Break(());
        }
        let placed = Placed {
            topic: &topic,
            partition,
            record,
        };
        let mut line = Vec::new();
        out.shape.print(placed, &mut line);
        newest.push_back((record.timestamp, line));
        if newest.len() > last {
            newest.pop_front();
        }
        ControlFlow::Continue(())
    })
}
