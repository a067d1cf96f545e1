//! `cargo xtask apis`: writes `docs/kafka-apis.md` anew, and with `--kafka` first asks Apache Kafka which APIs it serves.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bench::{KAFKA, fetch_kafka};
use crate::root;

/// Of ApiVersions: the last before the one that a broker may refuse for the cluster that it names.
const VERSION: u8 = 4;
/// What it logs then.
const STARTED: &str = "Kafka Server started";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [kafka] if kafka == "--kafka" => record()?,
        _ => anyhow::bail!("cargo xtask apis takes --kafka and nothing else"),
    }
    let status = Command::new("cargo")
        .args(["test", "--quiet", "--package", "firth-kafka", "--test", "apis"])
        .env("UPDATE", "1")
        .current_dir(root())
        .status()?;
    ensure!(status.success(), "the table could not be written");
    Ok(())
}

/// Starts Apache Kafka, asks it, and keeps what it says.
fn record() -> Result<()> {
    let jars = fetch_kafka()?;
    let directory = root().join("target/kafka/apis");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let [clients, controllers] = free_ports()?;
    let properties = directory.join("server.properties");
    fs::write(&properties, configuration(&directory, clients, controllers))?;
    let properties = properties.display().to_string();
    let java = |arguments: &[&str]| {
        let mut command = Command::new("java");
        command.arg("-cp").arg(jars.join("*")).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let format = [
        "kafka.tools.StorageTool",
        "format",
        "-t",
        "AAAAAAAAAAAAAAAAAAAAAQ",
        "-c",
        &properties,
    ];
    ensure!(
        java(&format).status()?.success(),
        "Apache Kafka's storage cannot be formatted"
    );
    let mut kafka = Ended(
        java(&["kafka.Kafka", &properties])
            .stderr(Stdio::piped())
            .spawn()?,
    );
    wait_until_it_started(&mut kafka)?;
    let answer = ask(SocketAddr::from(([127, 0, 0, 1], clients)))?;
    let text = lines(&answer).context("the answer to ApiVersions cannot be read")?;
    drop(kafka);
    fs::write(
        root().join(format!("crates/kafka/tests/apis/apache-kafka-{KAFKA}.txt")),
        text,
    )?;
    Ok(())
}

/// A process that does not outlive the value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_ports() -> Result<[u16; 2]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok([
        listeners[0].local_addr()?.port(),
        listeners[1].local_addr()?.port(),
    ])
}

fn configuration(directory: &Path, clients: u16, controllers: u16) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controllers}\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controllers}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n",
        directory.join("data").display()
    )
}

fn wait_until_it_started(kafka: &mut Ended) -> Result<()> {
    let log = kafka.0.stderr.take().context("it has no standard error")?;
    for line in BufReader::new(log).lines() {
        if line?.contains(STARTED) {
            return Ok(());
        }
    }
    anyhow::bail!("Apache Kafka ended before it had started")
}

/// The answer to ApiVersions behind its correlation id.
fn ask(broker: SocketAddr) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // Key 18, version, correlation id 1, no client id, no tags, the names of a client and its version, no tags.
    let request = [0, 18, 0, VERSION, 0, 0, 0, 1, 0xff, 0xff, 0, 2, b'x', 2, b'1', 0];
    stream.write_all(&(request.len() as u32).to_be_bytes())?;
    stream.write_all(&request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame.split_off(4))
}

/// `api KEY MIN MAX`, then `supported` and `finalized` features. None if the bytes end too early.
fn lines(mut answer: &[u8]) -> Option<String> {
    let bytes = &mut answer;
    let mut text = String::new();
    let error_code = i16(bytes)?;
    let count = unsigned(bytes)?.checked_sub(1)?;
    for _ in 0..count {
        let (key, min, max) = (i16(bytes)?, i16(bytes)?, i16(bytes)?);
        unsigned(bytes)?;
        let _ = writeln!(text, "api {key} {min} {max}");
    }
    take(bytes, 4)?;
    for _ in 0..unsigned(bytes)? {
        let (tag, size) = (unsigned(bytes)?, unsigned(bytes)?);
        let mut field = take(bytes, size)?;
        let kind = match tag {
            0 => "supported",
            2 => "finalized",
            _ => continue,
        };
        let mut features = Vec::new();
        for _ in 0..unsigned(&mut field)?.checked_sub(1)? {
            let length = unsigned(&mut field)?.checked_sub(1)?;
            let name = String::from_utf8(take(&mut field, length)?.to_vec()).ok()?;
            let (first, second) = (i16(&mut field)?, i16(&mut field)?);
            unsigned(&mut field)?;
            features.push(format!(
                "{kind} {name} {} {}\n",
                first.min(second),
                first.max(second)
            ));
        }
        features.sort();
        text.extend(features);
    }
    (error_code == 0).then_some(text)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn i16(bytes: &mut &[u8]) -> Option<i16> {
    let taken = take(bytes, 2)?;
    Some(i16::from_be_bytes([taken[0], taken[1]]))
}

/// A number of variable length.
fn unsigned(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..28).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
