//! Validating any bytes as one batch, and reading its records: the header's count is kept, and what was read means the
//! same when it is built anew. Leaving records out of it leaves the others as they were.

use bytes::Bytes;
use firth_batch::{
    Batch, Builder, Compression, Error, HEADER_LEN, NO_TIMESTAMP, Record, RecordHeader, Records, Retained,
    crc32c, retain,
};

const LIMIT: usize = 256 * 1024;

pub fn run(bytes: &[u8]) {
    if let Ok(batch) = Batch::validate(Bytes::copy_from_slice(bytes)) {
        read(&batch);
    }
    // Hardly any mutation has a right checksum, so the records would hardly ever be reached without this.
    if let Ok(batch) = Batch::stored(repaired(bytes)) {
        read(&batch);
        leave_out(&batch);
        let stamped = batch.with_log_append_time(1_700_000_000_000);
        assert_eq!(Batch::stored(stamped.bytes().clone()).as_ref(), Ok(&stamped));
    }
}

fn leave_out(batch: &Batch) {
    let stays = |record: &Record<'_>| record.offset_delta % 3 != 1;
    match retain(batch, LIMIT, Some(1_900_000_000_000), stays) {
        Ok(Retained::Rewritten(after)) => {
            assert_eq!(Batch::stored(after.bytes().clone()).as_ref(), Ok(&after));
            assert_eq!(after.header().next_offset(), batch.header().next_offset());
            // Deltas from the horizon are longer than those from the first record.
            let (before, after) = (batch.records(LIMIT), after.records(2 * LIMIT));
            let (before, after) = (before.expect("it was read"), after.expect("it was written"));
            let before = before.iter().map(|record| record.expect("it was read"));
            let after = after.iter().map(|record| record.expect("it was written"));
            let content = |record: &Record<'_>| (record.offset, record.timestamp);
            assert!(
                before
                    .filter(stays)
                    .map(|record| content(&record))
                    .eq(after.map(|record| content(&record)))
            );
        }
        Ok(Retained::Nothing | Retained::Unchanged) | Err(_) => {}
    }
}

/// The bytes with the length, the magic and the checksum of one whole batch.
fn repaired(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= HEADER_LEN {
        let batch_length = i32::try_from(bytes.len() - 12).expect("a fuzzer's input is short");
        bytes[8..12].copy_from_slice(&batch_length.to_be_bytes());
        bytes[16] = 2;
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.into()
}

fn read(batch: &Batch) {
    let Ok(records) = batch.records(LIMIT) else { return };
    let Ok(found) = records.iter().collect::<Result<Vec<Record<'_>>, Error>>() else {
        return;
    };
    assert_eq!(
        found.len(),
        usize::try_from(batch.header().record_count).unwrap_or(0)
    );
    for record in &found {
        assert!(record.offset <= batch.header().last_offset());
        assert_eq!(
            record.headers.len(),
            record.headers.count(),
            "headers were checked when the record was read"
        );
    }
    if !found.is_empty() && found.iter().all(|record| record.timestamp >= NO_TIMESTAMP) {
        assert_same(&found, &rebuilt(&found));
    }
}

fn rebuilt(records: &[Record<'_>]) -> Records {
    let mut builder = Builder::new(Compression::None);
    for record in records {
        let headers: Vec<RecordHeader<'_>> = record.headers.collect();
        builder.push(record.timestamp, record.key, record.value, &headers);
    }
    let batch = Batch::validate(builder.build().into_bytes()).expect("a built batch is valid");
    batch.records(0).expect("a batch without compression opens")
}

fn assert_same(expected: &[Record<'_>], found: &Records) {
    let found: Vec<Record<'_>> = found
        .iter()
        .map(|record| record.expect("a built record is valid"))
        .collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.timestamp, expected.timestamp);
        assert_eq!((found.key, found.value), (expected.key, expected.value));
        assert!(found.headers.eq(expected.headers));
    }
}
