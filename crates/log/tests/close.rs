//! An engine that was closed has nothing more to do with its directory.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_log::file::recorder::Recorder;
use firth_log::{Direct, Engine, Frame, LogId, Options};
use support::{batch, environment};

fn open(recorder: &Recorder) -> Engine {
    let options = Options {
        direct: Direct::Never,
        wal_bytes_max: Some(1024 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 4096,
        ..Options::default()
    };
    Engine::open(Arc::new(recorder.clone()), environment(), options).unwrap()
}

fn append_and_seal(engine: &Engine) {
    let appended = engine.append(Frame::batch(LogId::DEFINITIONS, batch(&["record"])));
    appended.unwrap().commit.wait().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(engine.cut()).unwrap();
}

/// The catalog's own code writes to its file when it gives it up, and the next engine may have written there meanwhile.
#[test]
fn an_engine_that_is_dropped_after_the_next_has_begun_writes_nothing() {
    let recorder = Recorder::new();
    let engines: Vec<Engine> = (0..3)
        .map(|_| {
            let engine = open(&recorder);
            append_and_seal(&engine);
            engine.close();
            engine
        })
        .collect();
    let left = recorder.image();
    let position = recorder.position();
    drop(engines);
    assert_eq!(recorder.position(), position, "operations after the end");
    let mut files = left.files();
    assert!(
        !files.any(|path| path.starts_with("catalog.")),
        "every catalog was read"
    );
}
