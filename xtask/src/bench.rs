//! `cargo xtask bench --vs kafka|rabbitmq`: what the comparison needs before it runs, built and fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::root;

/// The newest release; this is its only place.
pub(crate) const KAFKA: &str = "4.4.0";
/// The version whose API Kafka's jars are compiled against.
const SLF4J: &str = "1.7.36";
const MAVEN_COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// Builds the drivers and the broker for release, fetches Apache Kafka, and measures them by turns.
pub(crate) fn versus_kafka(arguments: &[String]) -> Result<()> {
    let jars = fetch_kafka()?;
    eprintln!("Apache Kafka {KAFKA}");
    versus("--kafka-jars", &jars, arguments)
}

/// Builds the drivers and the broker for release, and measures Firth and the RabbitMQ that Debian's package has installed.
pub(crate) fn versus_rabbitmq(arguments: &[String]) -> Result<()> {
    let installed = Path::new("/usr/lib/rabbitmq/lib");
    let versions =
        fs::read_dir(installed).context("RabbitMQ is not installed (apt-get install rabbitmq-server)")?;
    let version = versions.flatten().map(|entry| entry.path()).max();
    let sbin = version.context("RabbitMQ's package is empty")?.join("sbin");
    eprintln!("{}", sbin.display());
    versus("--rabbitmq", &sbin, arguments)
}

fn versus(flag: &str, opponent: &Path, arguments: &[String]) -> Result<()> {
    let packages = ["--package", "bench", "--package", "firth"];
    run(Command::new("cargo")
        .args(["build", "--release", "--locked"])
        .args(packages)
        // The binaries are taken from target/.
        .env_remove("CARGO_TARGET_DIR"))?;
    let release = root().join("target/release");
    run(Command::new(release.join("bench"))
        .arg("versus")
        .arg("--firth")
        .arg(release.join("firth"))
        .arg(flag)
        .arg(opponent)
        .args(arguments))
}

/// The directory of its jars, which is whole if it is there.
pub(crate) fn fetch_kafka() -> Result<PathBuf> {
    let kafka = root().join("target/kafka").join(KAFKA);
    let jars = kafka.join("jars");
    if jars.exists() {
        return Ok(jars);
    }
    let partial = kafka.join("jars.partial");
    fs::create_dir_all(&kafka)?;
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::write(kafka.join("pom.xml"), pom())?;
    run(Command::new("mvn")
        .args(["--quiet", "--batch-mode", MAVEN_COPY])
        .arg(output_directory(&partial))
        .current_dir(&kafka))?;
    fs::rename(&partial, &jars)?;
    Ok(jars)
}

fn output_directory(directory: &Path) -> String {
    format!("-DoutputDirectory={}", directory.display())
}

/// A project whose dependencies are the broker, and a logger that writes to standard error: the distribution of Kafka brings
/// one, its jars do not.
fn pom() -> String {
    let dependencies = [
        ("org.apache.kafka", "kafka_2.13", KAFKA),
        ("org.slf4j", "slf4j-simple", SLF4J),
    ]
    .map(|(group, artifact, version)| {
        format!(
            "    <dependency>\n      <groupId>{group}</groupId>\n      <artifactId>{artifact}</artifactId>\n      \
             <version>{version}</version>\n    </dependency>\n"
        )
    });
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>firth</groupId>\n  <artifactId>kafka</artifactId>\n  <version>0</version>\n  <dependencies>\n{}  \
         </dependencies>\n</project>\n",
        dependencies.concat()
    )
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    if command.get_current_dir().is_none() {
        command.current_dir(root());
    }
    let status = command
        .status()
        .with_context(|| format!("`{program}` could not be started: install it or put it on PATH"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}
