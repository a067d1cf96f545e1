use firth_log::{AppendError, Change, Frame};

use crate::broker::Broker;
use crate::{ReadError, Topic};

impl Broker {
    /// Deletes the records below `before`, or all that can be read if it is None. Returns, once that is durable, the
    /// first offset that is kept; an offset that is deleted already changes nothing.
    ///
    /// # Errors
    /// `OutOfRange` for a negative offset, and for one beyond the records that can be read; `KeepsRecords` if the
    /// topic's cleanup policy is to compact alone.
    pub async fn delete_records(
        &self,
        topic: &Topic,
        partition: i32,
        before: Option<i64>,
    ) -> Result<i64, ReadError> {
        let log = topic.log(partition).ok_or(ReadError::UnknownPartition)?;
        if !topic.config.cleanup_policy.deletes() {
            return Err(ReadError::KeepsRecords);
        }
        let bounds = self.engine().bounds(log).ok_or(ReadError::UnknownPartition)?;
        let to = before.unwrap_or(bounds.end);
        if to < 0 || to > bounds.end {
            return Err(ReadError::OutOfRange(bounds));
        }
        if to > bounds.start {
            let trim = Change::Trim { log, to };
            let frame = Frame {
                changes: vec![trim],
                ..Frame::default()
            };
            let appended = self.engine().append(frame).map_err(|error| match error {
                AppendError::UnknownLog(_) => ReadError::UnknownPartition,
                AppendError::TrimOutOfRange { bounds, .. } => ReadError::OutOfRange(bounds),
                AppendError::Full => ReadError::Full,
                error => ReadError::Failed(error.to_string()),
            })?;
            appended
                .commit
                .await
                .map_err(|failed| ReadError::Failed(failed.to_string()))?;
        }
        let bounds = self.engine().bounds(log).ok_or(ReadError::UnknownPartition)?;
        Ok(bounds.start)
    }
}
