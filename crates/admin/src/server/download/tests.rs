use std::sync::Arc;
use std::time::Duration;

use firth_batch::{Builder, Compression};
use firth_log::file::recorder::Recorder;
use firth_log::{Engine, Frame, LogId, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::tests::{Running, environment, start_with};
use super::BackupSlot;
use crate::archive::Reader;

/// More than sockets keep for a client that does not read.
const VALUES: usize = 24;
const VALUE_BYTES: usize = 1 << 20;

/// A broker whose log of definitions, for want of any other, has some large values.
async fn start(backups: BackupSlot) -> (Running, Engine) {
    let options = Options {
        wal_bytes_max: Some(64 << 20),
        ..Options::default()
    };
    let engine = Engine::open(Arc::new(Recorder::new()), environment(), options).unwrap();
    let running = start_with(engine.clone(), backups).await;
    for _ in 0..VALUES {
        let mut builder = Builder::new(Compression::None);
        builder.push(0, None, Some(&vec![7; VALUE_BYTES]), &[]);
        let appended = engine.append(Frame::batch(LogId::DEFINITIONS, builder.build()));
        appended.unwrap().commit.await.unwrap();
    }
    (running, engine)
}

/// Asks for a backup, and reads no more than the status.
async fn ask(running: &Running) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream
        .write_all(b"GET /backup HTTP/1.0\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    (stream, String::from_utf8(status.to_vec()).unwrap())
}

async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A connection that is cut may be reset.
    let _ = stream.read_to_end(&mut read).await;
    read
}

fn check(answer: &[u8]) -> Result<Vec<String>, crate::archive::Error> {
    let at = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let reader = Reader::open(&answer[at + 4..], |name| name.starts_with("segments/"))?;
    assert!(reader.manifest().bytes() > (VALUES * VALUE_BYTES) as u64);
    reader.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_is_taken_at_a_time_and_whole() {
    let (running, _engine) = start(BackupSlot::default()).await;
    let (first, status) = ask(&running).await;
    assert_eq!(status, "HTTP/1.0 200");
    let refused = running.get("/backup").await;
    assert!(
        refused.starts_with("HTTP/1.1 503")
            && refused.ends_with("another backup is being taken; try again when it is done\n"),
        "{refused}"
    );
    assert_eq!(check(&rest(first).await).unwrap(), Vec::<String>::new());
    // The next one may be asked for as soon as this one is read.
    loop {
        let (next, status) = ask(&running).await;
        if status == "HTTP/1.0 200" {
            check(&rest(next).await).unwrap();
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_loses_its_backup() {
    let slot = BackupSlot {
        stall_max: Duration::from_millis(20),
        ..BackupSlot::default()
    };
    let (running, _engine) = start(slot).await;
    let (stalled, status) = ask(&running).await;
    assert_eq!(status, "HTTP/1.0 200");
    let mut next = ask(&running).await;
    while next.1 != "HTTP/1.0 200" {
        next = ask(&running).await;
    }
    let cut_off = rest(stalled).await;
    assert!(
        cut_off.len() < VALUES * VALUE_BYTES,
        "{} bytes were sent",
        cut_off.len()
    );
    drop(next);
}

#[tokio::test]
async fn no_backup_is_taken_where_nothing_can_be_sealed() {
    let engine = Engine::memory(environment(), Options::default());
    let running = start_with(engine, BackupSlot::default()).await;
    let refused = running.get("/backup").await;
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("no backup can be taken now: "),
        "{refused}"
    );
    running.health.fail("wal/3: input/output error");
    let refused = running.get("/backup").await;
    assert!(
        refused.ends_with("\r\n\r\nwal/3: input/output error\n"),
        "{refused}"
    );
}
