//! What the engine says about itself is so from the first moment on.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_log::file::recorder::Recorder;
use firth_log::{Engine, Frame, LogId, Options};
use support::{batch, environment, until};

fn options() -> Options {
    Options {
        wal_bytes_max: Some(1024 * 1024),
        wal_file_bytes: 64 * 1024,
        ..Options::default()
    }
}

fn wal_bytes(recorder: &Recorder) -> u64 {
    let image = recorder.image();
    let files = image.files().filter(|path| path.starts_with("wal/"));
    files.map(|path| image.len(path).unwrap()).sum()
}

#[test]
fn the_bytes_of_wal_files_are_those_on_the_disk() {
    let recorder = Recorder::new();
    for opening in 0..2 {
        let engine = Engine::open(Arc::new(recorder.clone()), environment(), options()).unwrap();
        if opening > 0 {
            assert!(engine.stats().wal_bytes >= 2 * 64 * 1024);
        }
        let append = engine.append(Frame::batch(LogId::DEFINITIONS, batch(&["x"])));
        append.unwrap().commit.wait().unwrap();
        until("the file ahead is there", || {
            engine.stats().wal_bytes >= 2 * 64 * 1024 && engine.stats().wal_bytes == wal_bytes(&recorder)
        });
        assert_eq!(engine.stats().segments_written, 0);
        engine.close();
    }
}
