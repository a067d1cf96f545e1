//! Apache Kafka as its quick start runs it: one node that is broker and controller (KRaft), formatted by its own tool. Settings
//! that are not named here are its defaults, which config/server.properties of its distribution repeats.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use super::{START_MAX, STOP_POLL, Server};
use crate::connection::Connection;

/// bin/kafka-run-class.sh, `KAFKA_JVM_PERFORMANCE_OPTS`: "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20
/// -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true".
const JVM_OPTIONS: [&str; 6] = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
/// What it says goes to a file that is shown if it does not start.
const LOGGING: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
/// Any 16 bytes in base64; one cluster never meets another.
const CLUSTER_ID: &str = "RmlydGhCZW5jaG1hcmtzMQ";

/// Where Apache Kafka is, and what it is given.
#[derive(Debug, Clone)]
pub(crate) struct Kafka {
    pub(crate) java: PathBuf,
    /// The directory of its jars.
    pub(crate) jars: PathBuf,
    /// As `-Xmx` takes it. bin/kafka-server-start.sh has `KAFKA_HEAP_OPTS="-Xmx1G -Xms1G"`.
    pub(crate) heap: String,
    /// `log.flush.interval.messages`; without it the kernel alone decides when something is on disk, which is the default.
    pub(crate) flush_messages: Option<u64>,
}

impl Kafka {
    fn command(&self, options: &[&str], class: &str) -> Command {
        let mut command = Command::new(&self.java);
        command
            .args(options)
            .arg(LOGGING)
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(class);
        command
    }

    fn properties(&self, data: &Path, broker: SocketAddr, controller: SocketAddr) -> String {
        let mut properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.bootstrap.servers={controller}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://{broker},CONTROLLER://{controller}\n\
             advertised.listeners=PLAINTEXT://{broker},CONTROLLER://{controller}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n",
            data.display()
        );
        if let Some(messages) = self.flush_messages {
            properties.push_str(&format!("log.flush.interval.messages={messages}\n"));
        }
        properties
    }

    fn format(&self, properties: &Path, log: &Path) -> Result<()> {
        let log_file = File::create(log)?;
        let status = self
            .command(&[], "kafka.tools.StorageTool")
            .args(["format", "--standalone", "-t", CLUSTER_ID, "-c"])
            .arg(properties)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .status()
            .with_context(|| format!("cannot start {}", self.java.display()))?;
        let said = fs::read_to_string(log).unwrap_or_default();
        ensure!(
            status.success(),
            "kafka.tools.StorageTool format: {status}: {said}"
        );
        Ok(())
    }
}

impl Server {
    /// In a directory of its own, `data`, which is formatted before the clock starts.
    pub(crate) fn kafka(kafka: &Kafka, data: &Path) -> Result<Self> {
        let log = data.with_extension("log");
        let properties = data.with_extension("properties");
        let (broker, controller) = free_addresses()?;
        fs::write(&properties, kafka.properties(data, broker, controller))?;
        kafka.format(&properties, &log)?;
        let heap = [format!("-Xmx{}", kafka.heap), format!("-Xms{}", kafka.heap)];
        let options: Vec<&str> = heap.iter().map(String::as_str).chain(JVM_OPTIONS).collect();
        let mut command = kafka.command(&options, "kafka.Kafka");
        let log_file = File::create(&log)?;
        command
            .arg(&properties)
            .stdout(log_file.try_clone()?)
            .stderr(log_file);
        Self::launch(command, &log, |child| answered(child, broker).map(|()| broker))
    }
}

/// It prints no address when it is ready, so it is asked until it answers.
fn answered(child: &mut Child, address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    loop {
        let error = match Connection::open(address).and_then(|mut connection| connection.api_versions()) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if let Some(status) = child.try_wait()? {
            bail!("the process ended with {status}");
        }
        if began.elapsed() > START_MAX {
            return Err(error.context(format!("no answer within {START_MAX:?}")));
        }
        thread::sleep(STOP_POLL);
    }
}

/// Kafka has to be told its ports. Both are held until both are known, so that they differ.
fn free_addresses() -> Result<(SocketAddr, SocketAddr)> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (broker, controller) = (listen()?, listen()?);
    Ok((broker.local_addr()?, controller.local_addr()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_flushed_one_is_told_to_flush() {
        let kafka = |flush_messages| Kafka {
            java: "java".into(),
            jars: "jars".into(),
            heap: "1G".to_owned(),
            flush_messages,
        };
        let (broker, controller) = free_addresses().unwrap();
        let properties = |flush| kafka(flush).properties(Path::new("/data"), broker, controller);
        assert!(!properties(None).contains("flush"));
        assert_eq!(
            properties(Some(1)).strip_prefix(&properties(None)),
            Some("log.flush.interval.messages=1\n")
        );
        assert!(properties(None).contains(&format!(
            "listeners=PLAINTEXT://{broker},CONTROLLER://{controller}\n"
        )));
    }
}
