//! What a full disk takes from nobody.

use std::sync::Arc;
use std::time::Duration;

use firth_batch::{Batch, Builder, Compression};
use firth_log::file::recorder::{Errno, Fault, Kind, Recorder};
use firth_log::{Change, Engine, Frame, Kind as LogKind, LogId, Options, simulation};
use firth_sim::environment;

fn options() -> Options {
    Options {
        wal_bytes_max: Some(256 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 8 * 1024,
        cache_bytes: 0,
        ..Options::default()
    }
}

fn open(recorder: &Recorder) -> Engine {
    Engine::open(Arc::new(recorder.clone()), environment(), options()).expect("it opens")
}

fn batch(bytes: usize) -> Builder {
    let mut builder = Builder::new(Compression::None);
    builder.push(0, None, Some(&vec![7; bytes]), &[]);
    builder
}

fn append(engine: &Engine, log: LogId, batch: Batch) -> i64 {
    let appended = engine.append(Frame::batch(log, batch)).expect("it is taken");
    appended.commit.wait().expect("it is durable");
    appended.placed[0].base_offset
}

fn change(engine: &Engine, change: Change) {
    let appended = engine.append(Frame::changes(vec![change])).expect("it is taken");
    appended.commit.wait().expect("it is durable");
}

fn trim_all(engine: &Engine, log: LogId) {
    let to = engine.bounds(log).expect("the log is there").end;
    change(engine, Change::Trim { log, to });
}

/// Lets time pass until it is so. A machine that stalls ends a wait early, so there are many.
fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        simulation::pause(Duration::from_millis(100));
    }
    panic!("it is not so after 20 seconds");
}

/// The segment that alone holds a producer's window is not removed for its space, though no log keeps it.
#[test]
fn a_retry_is_known_after_a_crash_on_a_full_disk() {
    let main = || {
        let recorder = Recorder::new();
        let engine = open(&recorder);
        let [retried, other] = [(); 2].map(|()| engine.allocate(1));
        for log in [retried, other] {
            let kind = LogKind::Durable;
            change(&engine, Change::Create { log, kind });
        }
        let sent = batch(100).producer(77, 0, 0).build();
        append(&engine, retried, sent.clone());
        append(&engine, other, batch(10_000).build());
        wait_until(|| engine.stats().segments > 0);

        recorder.fail(Fault::forever(Kind::Open, 1, Errno::NOSPC).at("segments/"));
        append(&engine, other, batch(10_000).build());
        wait_until(|| engine.stats().disk_full == 1);
        trim_all(&engine, retried);
        trim_all(&engine, other);
        let tried = recorder.operations(Some(Kind::Open));
        wait_until(|| recorder.operations(Some(Kind::Open)) > tried + 5);
        let left = recorder.image();
        engine.close();

        let engine = open(&Recorder::from_image(left));
        let again = engine.append(Frame::batch(retried, sent)).expect("it is taken");
        engine.close();
        again.placed[0]
    };
    for seed in 0..10 {
        let again = simulation::run(seed, 1_000_000, main).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(again.duplicate && again.base_offset == 0, "{again:?}");
    }
}
