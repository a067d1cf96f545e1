//! librdkafka as people use it: kcat sends a file of lines, and reads them back. Its own cost is part of the figure; that is why
//! the raw driver exists.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, ensure};

use crate::{process::Usage, server::Server};

const LINES: u64 = 500_000;
const LINE_BYTES: usize = 1024;
const DISTINCT_LINES: u64 = 64;

/// A file of [`LINES`] lines of [`LINE_BYTES`].
#[derive(Debug)]
pub(crate) struct Input {
    path: PathBuf,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) records_per_s: f64,
    pub(crate) server_cpu_s_per_million: f64,
}

pub(crate) fn is_installed() -> bool {
    Command::new("kcat")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

impl Input {
    pub(crate) fn create(path: &Path) -> Result<Self> {
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

    /// To partition 0 of a topic that exists.
    pub(crate) fn produce(&self, server: &Server, topic: &str) -> Result<Outcome> {
        let mut kcat = kcat(server, topic, "-P");
        kcat.args(["-X", "acks=all", "-X", "linger.ms=5", "-l"])
            .arg(&self.path);
        measure(kcat, server, LINES)
    }
}

/// Reads partition 0 from its first record to its last, after `passes` calls of [`Input::produce`].
pub(crate) fn consume(server: &Server, topic: &str, passes: u64) -> Result<Outcome> {
    let mut kcat = kcat(server, topic, "-C");
    kcat.args(["-q", "-e", "-o", "beginning", "-c", &(passes * LINES).to_string()]);
    measure(kcat, server, passes * LINES)
}

fn kcat(server: &Server, topic: &str, mode: &str) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args([mode, "-b", &server.address.to_string(), "-t", topic, "-p", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    kcat
}

/// From the start of the process to its end.
fn measure(mut kcat: Command, server: &Server, records: u64) -> Result<Outcome> {
    let before = Usage::of(server.pid())?;
    let began = Instant::now();
    let status = kcat.status()?;
    ensure!(status.success(), "kcat ended with {status}");
    let seconds = began.elapsed().as_secs_f64();
    let cpu_s = Usage::of(server.pid())?.since(before).cpu_s();
    Ok(Outcome {
        records_per_s: records as f64 / seconds,
        server_cpu_s_per_million: cpu_s / (records as f64 / 1e6),
    })
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
