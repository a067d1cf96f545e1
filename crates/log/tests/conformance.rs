//! One suite for every kind of engine: what a log promises does not depend on where it lives.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]
#![allow(
    clippy::single_range_in_vec_init,
    reason = "the offsets of one batch are one range"
)]

mod support;

use std::sync::Arc;

use firth_log::file::recorder::Recorder;
use firth_log::{AppendError, Bounds, Change, Engine, Frame, Kind, LogId, Options, ReadError, Seek, Signal};
use support::{batch, environment, offsets, read_all, values};

/// Runs a test on every kind of engine.
fn each_engine(test: impl AsyncFn(Engine, LogId)) {
    let tiny = Options {
        cache_bytes: 0,
        segment_bytes: 1,
        wal_bytes_max: Some(1 << 20),
        ..Options::default()
    };
    let engines: [(&str, Engine); 4] = [
        ("memory", Engine::memory(environment(), Options::default())),
        (
            "disk",
            Engine::open(Arc::new(Recorder::new()), environment(), Options::default()).unwrap(),
        ),
        // Every block is sealed at once and nothing stays in memory, so reads come from segments.
        (
            "sealed",
            Engine::open(Arc::new(Recorder::new()), environment(), tiny.clone()).unwrap(),
        ),
        (
            "unsealed",
            Engine::open(
                Arc::new(Recorder::new()),
                environment(),
                Options {
                    segment_bytes: 1 << 30,
                    ..tiny
                },
            )
            .unwrap(),
        ),
    ];
    for (name, engine) in engines {
        println!("engine: {name}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let log = engine.allocate(1);
        engine
            .append(Frame::changes(vec![Change::Create {
                log,
                kind: Kind::Durable,
            }]))
            .unwrap()
            .commit
            .wait()
            .unwrap();
        runtime.block_on(test(engine.clone(), log));
        engine.close();
    }
}

fn append(engine: &Engine, log: LogId, values: &[&str]) -> i64 {
    let appended = engine.append(Frame::batch(log, batch(values))).unwrap();
    appended.commit.wait().unwrap();
    appended.placed[0].base_offset
}

#[test]
fn what_was_appended_is_read_in_order() {
    each_engine(async |engine, log| {
        for at in 0..50 {
            assert_eq!(
                append(&engine, log, &[&format!("a{at}"), &format!("b{at}")]),
                at * 2
            );
        }
        assert_eq!(engine.bounds(log), Some(Bounds { start: 0, end: 100 }));
        let expected: Vec<String> = (0..50)
            .flat_map(|at| [format!("a{at}"), format!("b{at}")])
            .collect();
        assert_eq!(values(&read_all(&engine, log, 0).await), expected);
    });
}

#[test]
fn a_read_begins_with_the_batch_that_contains_the_offset() {
    each_engine(async |engine, log| {
        append(&engine, log, &["0", "1", "2"]);
        append(&engine, log, &["3", "4"]);
        let read = engine.read(log, 1, 1).await.unwrap();
        assert_eq!(
            offsets(&read),
            [0..3],
            "one whole batch, although it is larger than asked for"
        );
        let read = engine.read(log, 4, 1 << 20).await.unwrap();
        assert_eq!(offsets(&read), [3..5]);
        let read = engine.read(log, 5, 1 << 20).await.unwrap();
        assert!(read.slices.is_empty());
        for outside in [-1, 6] {
            assert!(matches!(
                engine.read(log, outside, 1).await,
                Err(ReadError::OutOfRange(_))
            ));
        }
    });
}

#[test]
fn a_read_stays_within_its_bytes() {
    each_engine(async |engine, log| {
        for _ in 0..20 {
            append(&engine, log, &["0123456789"]);
        }
        let one = engine.read(log, 0, 1).await.unwrap().bytes;
        let read = engine.read(log, 3, one * 4 + one / 2).await.unwrap();
        assert!(read.bytes <= one * 4, "{} bytes", read.bytes);
        assert_eq!(offsets(&read)[0], 3..4);
    });
}

#[test]
fn a_frame_is_taken_whole_or_refused_whole() {
    each_engine(async |engine, log| {
        let unknown = engine.allocate(1);
        let mut frame = Frame::batch(log, batch(&["kept out"]));
        frame
            .appends
            .extend(Frame::batch(unknown, batch(&["nowhere"])).appends);
        assert_eq!(
            engine.append(frame).unwrap_err(),
            AppendError::UnknownLog(unknown)
        );
        assert_eq!(engine.bounds(log), Some(Bounds { start: 0, end: 0 }));

        let mut frame = Frame::changes(vec![Change::Create {
            log: unknown,
            kind: Kind::Durable,
        }]);
        frame.appends.extend(Frame::batch(log, batch(&["a"])).appends);
        frame
            .appends
            .extend(Frame::batch(unknown, batch(&["b", "c"])).appends);
        let appended = engine.append(frame).unwrap();
        assert_eq!(appended.placed.len(), 2);
        appended.commit.await.unwrap();
        assert_eq!(values(&read_all(&engine, unknown, 0).await), ["b", "c"]);
    });
}

#[test]
fn a_trim_moves_the_start_and_a_delete_ends_the_log() {
    each_engine(async |engine, log| {
        for at in 0..10 {
            append(&engine, log, &[&at.to_string()]);
        }
        let trim = Frame::changes(vec![Change::Trim { log, to: 4 }]);
        engine.append(trim).unwrap().commit.await.unwrap();
        assert_eq!(engine.bounds(log), Some(Bounds { start: 4, end: 10 }));
        assert!(matches!(
            engine.read(log, 3, 1).await,
            Err(ReadError::OutOfRange(_))
        ));
        assert_eq!(
            values(&read_all(&engine, log, 4).await),
            ["4", "5", "6", "7", "8", "9"]
        );
        let beyond = Frame::changes(vec![Change::Trim { log, to: 11 }]);
        assert!(matches!(
            engine.append(beyond),
            Err(AppendError::TrimOutOfRange { .. })
        ));

        engine
            .append(Frame::changes(vec![Change::Delete { log }]))
            .unwrap()
            .commit
            .await
            .unwrap();
        assert!(matches!(
            engine.read(log, 4, 1).await,
            Err(ReadError::UnknownLog(_))
        ));
        let refused = engine.append(Frame::batch(log, batch(&["late"])));
        assert_eq!(refused.unwrap_err(), AppendError::UnknownLog(log));
    });
}

#[test]
fn everything_can_be_trimmed_and_offsets_go_on() {
    each_engine(async |engine, log| {
        append(&engine, log, &["0", "1"]);
        engine
            .append(Frame::changes(vec![Change::Trim { log, to: 2 }]))
            .unwrap()
            .commit
            .await
            .unwrap();
        assert_eq!(engine.bounds(log), Some(Bounds { start: 2, end: 2 }));
        assert!(engine.read(log, 2, 1).await.unwrap().slices.is_empty());
        assert_eq!(append(&engine, log, &["2"]), 2);
    });
}

#[test]
fn a_batch_is_found_by_timestamp() {
    each_engine(async |engine, log| {
        for timestamp in [100, 200, 150, 300] {
            let frame = Frame::batch(log, support::batch_at(timestamp, &["x"]));
            engine.append(frame).unwrap().commit.await.unwrap();
        }
        let find = async |seek| {
            let batch = engine.find(log, seek).await.unwrap();
            batch.map(|batch| firth_batch::Header::decode(&batch).unwrap().base_offset)
        };
        assert_eq!(find(Seek::Timestamp(0)).await, Some(0));
        assert_eq!(find(Seek::Timestamp(100)).await, Some(0));
        assert_eq!(find(Seek::Timestamp(101)).await, Some(1));
        assert_eq!(find(Seek::Timestamp(201)).await, Some(3));
        assert_eq!(find(Seek::Timestamp(301)).await, None);
        assert_eq!(find(Seek::MaxTimestamp).await, Some(3));
        engine
            .append(Frame::changes(vec![Change::Trim { log, to: 1 }]))
            .unwrap()
            .commit
            .await
            .unwrap();
        assert_eq!(find(Seek::Timestamp(0)).await, Some(1));
    });
}

#[test]
fn a_producers_window_answers_retries_and_refuses_gaps() {
    each_engine(async |engine, log| {
        let append = |epoch, sequence, values: &[&str]| {
            let batch = support::batch_of(7, epoch, sequence, values);
            engine.append(Frame::batch(log, batch))
        };
        let first = append(0, 0, &["a", "b"]).unwrap();
        first.commit.await.unwrap();
        for at in 0..5 {
            let placed = append(0, 2 + at, &["c"]).unwrap().placed[0];
            assert_eq!((placed.base_offset, placed.duplicate), (2 + i64::from(at), false));
        }
        let retry = append(0, 2, &["c"]).unwrap();
        assert_eq!(
            (retry.placed[0].base_offset, retry.placed[0].duplicate),
            (2, true)
        );
        retry.commit.await.unwrap();
        let gap = append(0, 9, &["gap"]).unwrap_err();
        assert_eq!(
            gap,
            AppendError::OutOfOrderSequence {
                producer_id: 7,
                expected: 7,
                found: 9
            }
        );
        // The first batch has left the window of five.
        assert!(matches!(
            append(0, 0, &["a", "b"]),
            Err(AppendError::OutOfOrderSequence { .. })
        ));
        let late_epoch = append(1, 3, &["d"]).unwrap_err();
        assert_eq!(
            late_epoch,
            AppendError::OutOfOrderSequence {
                producer_id: 7,
                expected: 0,
                found: 3
            }
        );
        append(1, 0, &["d"]).unwrap().commit.await.unwrap();
        let stale = append(0, 7, &["e"]).unwrap_err();
        assert_eq!(
            stale,
            AppendError::StaleProducerEpoch {
                producer_id: 7,
                current: 1,
                found: 0
            }
        );
        assert_eq!(
            values(&read_all(&engine, log, 0).await),
            ["a", "b", "c", "c", "c", "c", "c", "d"]
        );
    });
}

#[test]
fn a_signal_tells_which_logs_changed() {
    each_engine(async |engine, log| {
        let other = engine.allocate(1);
        let create = Frame::changes(vec![Change::Create {
            log: other,
            kind: Kind::Durable,
        }]);
        engine.append(create).unwrap().commit.await.unwrap();
        let signal = Signal::new();
        assert_eq!(engine.watch(log, &signal, 10), Some(Bounds { start: 0, end: 0 }));
        engine.watch(other, &signal, 20);
        append(&engine, other, &["x"]);
        signal.raised().await;
        assert_eq!(signal.take(), [20]);
        append(&engine, log, &["x"]);
        append(&engine, other, &["y"]);
        let mut raised = Vec::new();
        while raised.len() < 2 {
            signal.raised().await;
            raised.extend(signal.take());
        }
        raised.sort_unstable();
        assert_eq!(raised, [10, 20]);
    });
}

#[test]
fn memory_logs_deliver_at_once() {
    each_engine(async |engine, _| {
        let log = engine.allocate(1);
        engine
            .append(Frame::changes(vec![Change::Create {
                log,
                kind: Kind::Memory,
            }]))
            .unwrap();
        let appended = engine.append(Frame::batch(log, batch(&["now"]))).unwrap();
        assert!(appended.commit.is_durable());
        assert_eq!(values(&read_all(&engine, log, 0).await), ["now"]);
        engine
            .append(Frame::changes(vec![Change::Delete { log }]))
            .unwrap();
        assert_eq!(engine.bounds(log), None);
    });
}

#[test]
fn concurrent_producers_get_dense_offsets() {
    each_engine(async |engine, log| {
        let producers = (0..4).map(|producer| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                let append = |at| append(&engine, log, &[&format!("{producer}-{at}")]);
                (0..100).map(append).collect::<Vec<i64>>()
            })
        });
        let producers: Vec<_> = producers.collect();
        let mut all = Vec::new();
        for offsets in producers.into_iter().map(|producer| producer.join().unwrap()) {
            assert!(offsets.is_sorted());
            all.extend(offsets);
        }
        all.sort_unstable();
        assert_eq!(all, (0..400).collect::<Vec<i64>>());
        assert_eq!(values(&read_all(&engine, log, 0).await).len(), 400);
    });
}
