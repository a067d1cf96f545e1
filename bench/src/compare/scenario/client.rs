//! librdkafka as people use it: kcat sends a file of lines. Its own cost is part of the figure; that is why the raw driver exists.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, ensure};

use super::{Scenario, TOPIC};
use crate::{
    compare::{
        Comparison,
        figure::{Figure, Target},
        server::Server,
    },
    connection::Connection,
    process::Usage,
    recycled::Durability,
};

const LINES: u64 = 500_000;
const LINE_BYTES: usize = 1024;
const DISTINCT_LINES: u64 = 64;

impl Scenario {
    pub(super) fn client(&self, comparison: &Comparison, dir: &Path) -> Result<Vec<Figure>> {
        if !is_installed() {
            eprintln!("  kcat is not installed (Debian: apt-get install kcat)");
            return Ok(Vec::new());
        }
        let input = Input::create(&dir.join("lines"))?;
        let floor = comparison.start_floor(dir, Durability::Disk)?;
        let ideal = input.produce(&floor)?;
        floor.stop()?;
        let broker = comparison.start_broker(dir, Durability::Disk)?;
        let outcome = broker.as_ref().map(|broker| input.produce(broker)).transpose()?;
        broker.map_or(Ok(()), Server::stop)?;
        Ok(vec![
            self.figure(
                "msg/s",
                Some(ideal.records_per_s),
                outcome.map(|outcome| outcome.records_per_s),
                Target::None,
            ),
            self.figure(
                "server CPU s per million",
                Some(ideal.server_cpu_s_per_million),
                outcome.map(|outcome| outcome.server_cpu_s_per_million),
                Target::None,
            ),
        ])
    }
}

/// A file of [`LINES`] lines of [`LINE_BYTES`].
#[derive(Debug)]
struct Input {
    path: PathBuf,
}

#[derive(Debug, Clone, Copy)]
struct Outcome {
    records_per_s: f64,
    server_cpu_s_per_million: f64,
}

fn is_installed() -> bool {
    Command::new("kcat")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

impl Input {
    fn create(path: &Path) -> Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        let lines: Vec<Vec<u8>> = (0..DISTINCT_LINES).map(line).collect();
        for line in lines.iter().cycle().take(LINES as usize) {
            file.write_all(line)?;
        }
        file.flush()?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    fn produce(&self, server: &Server) -> Result<Outcome> {
        Connection::open(server.address)?.create_topic(TOPIC, 1, &[])?;
        let before = Usage::of(server.pid())?;
        let began = Instant::now();
        let mut kcat = Command::new("kcat");
        kcat.args([
            "-P",
            "-p",
            "0",
            "-X",
            "acks=all",
            "-X",
            "linger.ms=5",
            "-t",
            TOPIC,
        ]);
        kcat.args(["-b", &server.address.to_string(), "-l"])
            .arg(&self.path);
        let status = kcat.stdin(Stdio::null()).status()?;
        ensure!(status.success(), "kcat ended with {status}");
        let seconds = began.elapsed().as_secs_f64();
        let cpu_s = Usage::of(server.pid())?.since(before).cpu_s();
        Ok(Outcome {
            records_per_s: LINES as f64 / seconds,
            server_cpu_s_per_million: cpu_s / (LINES as f64 / 1e6),
        })
    }
}

/// Printable, and different in every line.
fn line(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut line: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'a' + (state >> 59) as u8 % 26
    })
    .take(LINE_BYTES)
    .collect();
    line.push(b'\n');
    line
}
