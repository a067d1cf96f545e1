//! A server that a comparison starts, and ends by its process id.

pub(crate) mod kafka;
pub(crate) mod rabbitmq;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{amqp, connection::Connection, process::Usage, recycled::Durability};

/// The ideal server writes its whole file before it listens.
const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);
const IDLE_FOR: Duration = Duration::from_secs(1);
/// Apache Kafka's controller writes a record of nothing twice a second.
const IDLE_BYTES: u64 = 64 << 10;
const IDLE_MAX: Duration = Duration::from_secs(60);
const STOP_POLL: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The process that serves, where `child` only waits for it.
    main: Option<u32>,
    epmd_port: Option<u16>,
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first answer.
    pub(crate) ready_after: Duration,
}

impl Server {
    pub(crate) fn ideal(file: &Path, durability: Durability) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("ideal")
            .arg("--file")
            .arg(file)
            .args(["--durability", durability.name()]);
        Self::start(command, file)
    }

    /// Settings that have a default in the broker go through its environment, so that a broker without them still starts, and
    /// without a limit of the WAL it chooses its own; `others` are names of variables and their values.
    pub(crate) fn broker(
        binary: &Path,
        data: &Path,
        durability: Durability,
        wal_limit_bytes: Option<u64>,
        others: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data").arg(data).args([
            "--kafka",
            "127.0.0.1:0",
            "--amqp",
            "off",
            "--http",
            "off",
        ]);
        command.env("FIRTH_DURABILITY", durability.name());
        if let Some(bytes) = wal_limit_bytes {
            command.env("FIRTH_WAL_LIMIT", bytes.to_string());
        }
        command.envs(others.iter().copied());
        Self::start(command, data)
    }

    fn start(mut command: Command, data: &Path) -> Result<Self> {
        let log = data.with_extension("log");
        command.stdout(Stdio::piped()).stderr(File::create(&log)?);
        Self::launch(command, &log, |child| {
            let stdout = child.stdout.take().context("the child has no standard output")?;
            let address = read_banner(stdout, "kafka")?;
            Connection::open(address)?.api_versions()?;
            Ok(address)
        })
    }

    /// The broker for clients of AMQP.
    pub(crate) fn queues(binary: &Path, data: &Path, durability: Durability) -> Result<Self> {
        let log = data.with_extension("log");
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--kafka", "127.0.0.1:0", "--amqp", "127.0.0.1:0", "--http", "off"])
            .env("FIRTH_DURABILITY", durability.name())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        Self::launch(command, &log, |child| {
            let stdout = child.stdout.take().context("the child has no standard output")?;
            let address = read_banner(stdout, "amqp")?;
            amqp::answers(address)?;
            Ok(address)
        })
    }

    /// `ready` returns when the server has answered; what it said before it failed to is in `log`.
    fn launch(
        mut command: Command,
        log: &Path,
        ready: impl FnOnce(&mut Child) -> Result<SocketAddr>,
    ) -> Result<Self> {
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        match ready(&mut child) {
            Ok(address) => Ok(Self {
                child,
                main: None,
                epmd_port: None,
                address,
                ready_after: began.elapsed(),
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                let said = std::fs::read_to_string(log).unwrap_or_default();
                Err(error.context(format!("{command:?} did not start: {said}")))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.main.unwrap_or_else(|| self.child.id())
    }

    /// Waits until the server writes next to nothing to its disk for [`IDLE_FOR`]: what is done in the background is done.
    pub(crate) fn wait_until_idle(&self) -> Result<()> {
        let began = Instant::now();
        let mut written = Usage::of(self.pid())?.written_bytes;
        let mut idle_since = Instant::now();
        while idle_since.elapsed() < IDLE_FOR {
            if began.elapsed() > IDLE_MAX {
                bail!("process {} still writes after {IDLE_MAX:?}", self.pid());
            }
            thread::sleep(STOP_POLL);
            let now = Usage::of(self.pid())?.written_bytes;
            if now > written + IDLE_BYTES {
                (written, idle_since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Asks the server to end, and insists if it does not.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(self.process(), Signal::TERM)?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > STOP_MAX {
                bail!("process {} ignores SIGTERM for {STOP_MAX:?}", self.pid());
            }
            thread::sleep(STOP_POLL);
        }
        Ok(())
    }

    /// kill -9.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.kill_main();
        self.child.kill()?;
        self.child.wait()?;
        self.end_epmd();
        Ok(())
    }

    fn kill_main(&mut self) {
        if let Some(pid) = self.main.take().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // It may have ended already.
            let _ended = kill_process(pid, Signal::KILL);
        }
    }

    fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    /// A comparison that fails leaves no server behind; one that has ended already is not there to be killed.
    fn drop(&mut self) {
        self.kill_main();
        let _ended = self.child.kill();
        let _status = self.child.wait();
        self.end_epmd();
    }
}

/// The first address on a line that names the protocol. What else the server says is read and dropped, so that it never blocks on it.
fn read_banner(stdout: ChildStdout, protocol: &'static str) -> Result<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("banner".to_owned()).spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = address_of(protocol, &line) {
                // Only the first one has a receiver.
                let _unread = sender.send(address);
            }
        }
    })?;
    receiver
        .recv_timeout(START_MAX)
        .with_context(|| format!("the server printed no address for {protocol}"))
}

fn address_of(protocol: &str, line: &str) -> Option<SocketAddr> {
    if !line.to_ascii_lowercase().contains(protocol) {
        return None;
    }
    let mut words = line.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '/' | '(' | ')'));
    words.find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_any_banner() {
        let expected = Some("127.0.0.1:9092".parse().unwrap());
        for line in [
            "kafka     127.0.0.1:9092",
            "  Kafka on 127.0.0.1:9092, [::1]:9092",
            "kafka://127.0.0.1:9092/",
        ] {
            assert_eq!(address_of("kafka", line), expected, "{line}");
        }
        assert_eq!(address_of("kafka", "http 127.0.0.1:15672"), None);
    }
}
