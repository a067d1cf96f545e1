//! A Firth for one test.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};

use super::{Address, Protocol};

/// Ended when the test is over, whatever came of it.
pub(super) struct Broker {
    pub(super) address: Address,
    process: Child,
    /// Kept open: what it still had to say would fail.
    _said: BufReader<ChildStdout>,
}

impl Broker {
    /// Starts it with its data and its log in `directory`, and waits until it says where it listens.
    pub(super) fn start(
        binary: &Path,
        protocol: Protocol,
        arguments: &[&str],
        directory: &Path,
    ) -> Result<Broker> {
        // The kernel ends it with the thread that started it, so that no run leaves a server behind.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(binary)
            .args(["serve", "--data"])
            .arg(directory.join("data"))
            .args(listeners(protocol))
            // Records of years ago, which some tests write, would expire between being written and being read.
            .args(["--retention-check-interval-ms", "86400000"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(directory.join("firth.log"))?)
            .spawn()
            .context("`setpriv` could not be started: it is in util-linux")?;
        let mut said = BufReader::new(process.stdout.take().context("its output is a pipe")?);
        let Some(address) = listening(said.by_ref(), protocol) else {
            let status = process.wait()?;
            bail!(
                "firth ended with {status} before it listened: see {}",
                directory.display()
            );
        };
        Ok(Broker {
            address,
            process,
            _said: said,
        })
    }

    /// Asks it to end, and says if it had ended before or does not end well.
    pub(super) fn stop(mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("firth ended with {status} while the test ran");
        }
        let status = Command::new("kill").arg(self.process.id().to_string()).status()?;
        ensure!(status.success(), "firth could not be asked to end");
        let status = self.process.wait()?;
        ensure!(status.success(), "firth ended with {status} after SIGTERM");
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // After `stop` there is nothing to end; else a test could not be run, and that is already being said.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The options by which it listens for the clients of one protocol alone.
fn listeners(protocol: Protocol) -> Vec<String> {
    let options = match protocol {
        // Clients may ask for either family of addresses, and it listens on both.
        Protocol::Kafka => ["localhost:0", "off", "off"].map(str::to_owned),
        Protocol::Amqp => ["off".to_owned(), own_loopback_address(), "127.0.0.1:0".to_owned()],
    };
    let flags = ["--kafka", "--amqp", "--http"].map(str::to_owned);
    flags
        .into_iter()
        .zip(options)
        .flat_map(|(flag, address)| [flag, address])
        .collect()
}

/// An address that no other test has, with the port that some tests take for granted.
fn own_loopback_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let (process, next, block) = (std::process::id() % 256, 2 + next % 250, 1 + (next / 250) % 250);
    format!("127.{block}.{process}.{next}:5672")
}

/// Where it listens, as soon as the banner has said so.
fn listening(said: &mut impl BufRead, protocol: Protocol) -> Option<Address> {
    let (mut client, mut http) = (None, String::new());
    for line in said.lines() {
        let line = line.ok()?;
        if let Some(address) = listener_address(&line, "http") {
            http = format!("http://{address}");
        }
        match protocol {
            Protocol::Kafka => {
                if let Some(address) = listener_address(&line, "kafka") {
                    client = Some(format!("localhost:{}", address.rsplit_once(':')?.1));
                }
            }
            Protocol::Amqp => client = client.or_else(|| listener_address(&line, "amqp")),
        }
        if let Some(client) = client
            .clone()
            .filter(|_| protocol == Protocol::Kafka || !http.is_empty())
        {
            return Some(Address { client, http });
        }
    }
    None
}

/// The first address in the banner's `kafka   127.0.0.1:9092, [::1]:9092`.
fn listener_address(line: &str, listener: &str) -> Option<String> {
    let addresses = line.strip_prefix(listener)?.strip_prefix(' ')?;
    Some(addresses.split(',').next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Protocol, listener_address, listening, own_loopback_address};

    #[test]
    fn addresses_are_read_from_the_banner() {
        let line = "kafka       127.0.0.1:44997, [::1]:44997";
        assert_eq!(listener_address(line, "kafka").unwrap(), "127.0.0.1:44997");
        assert_eq!(listener_address(line, "http"), None);
        let banner = "firth 0.1.0\namqp        127.1.2.3:5672\nhttp        127.0.0.1:44998\n";
        let address = listening(&mut banner.as_bytes(), Protocol::Amqp).unwrap();
        assert_eq!(
            (address.client.as_str(), address.http.as_str()),
            ("127.1.2.3:5672", "http://127.0.0.1:44998")
        );
    }

    #[test]
    fn every_test_has_its_own_address() {
        let (one, other) = (own_loopback_address(), own_loopback_address());
        assert!(one != other && one.starts_with("127.") && one.ends_with(":5672"));
        one.parse::<std::net::SocketAddr>().unwrap();
    }
}
