//! What is sent, encoded once.

use crate::{batch::Batch, protocol::produce_prefix};

#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) topic: &'a str,
    pub(crate) acks: i16,
    /// Requests in flight on each connection.
    pub(crate) depth: usize,
    /// They take turns; all are of the same shape.
    pub(crate) batches: &'a [Batch],
}

/// One connection's requests. A request's correlation id is its index, so the ring is sent again and again as it is.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) requests: Vec<Request>,
    /// How many partitions take turns.
    pub(crate) partitions: usize,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) prefix: Vec<u8>,
    pub(crate) partition: i32,
    /// The index of the batch that it carries.
    pub(crate) batch: usize,
}

impl<'a> Plan<'a> {
    /// One of them, for what all have in common.
    pub(crate) fn batch(&self) -> &'a Batch {
        &self.batches[0]
    }

    /// The requests of connection `index`: every `connections`-th partition, or one if there are fewer partitions than
    /// connections, repeated until a full pipeline holds no correlation id twice and each partition takes every batch.
    pub(crate) fn ring(&self, index: usize, connections: usize, partitions: i32) -> Ring {
        let own: Vec<i32> = if (partitions as usize) < connections {
            vec![index as i32 % partitions]
        } else {
            (index as i32..partitions).step_by(connections).collect()
        };
        let laps = (self.depth + 1).div_ceil(own.len()).max(self.batches.len());
        let targets = own.iter().cycle().take(own.len() * laps);
        let requests = targets.enumerate().map(|(id, &partition)| Request {
            prefix: produce_prefix(
                id as i32,
                self.topic,
                partition,
                self.acks,
                self.batch().bytes.len(),
            ),
            partition,
            batch: id / own.len() % self.batches.len(),
        });
        Ring {
            requests: requests.collect(),
            partitions: own.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(connections: usize, partitions: i32) -> Vec<Vec<i32>> {
        let batch = Batch::filled(10, 0, 0);
        let plan = Plan {
            topic: "t",
            acks: -1,
            depth: 3,
            batches: std::slice::from_ref(&batch),
        };
        let rings = (0..connections).map(|index| plan.ring(index, connections, partitions));
        rings
            .map(|ring| ring.requests.iter().map(|request| request.partition).collect())
            .collect()
    }

    #[test]
    fn every_partition_is_written_and_a_ring_is_longer_than_the_pipeline() {
        assert_eq!(targets(2, 5), [vec![0, 2, 4, 0, 2, 4], vec![1, 3, 1, 3]]);
        assert_eq!(targets(3, 2), [vec![0; 4], vec![1; 4], vec![0; 4]]);
    }
}
