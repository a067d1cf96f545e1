//! A Firth for one test.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Ended when the test is over, whatever came of it.
pub(super) struct Broker {
    /// `localhost` and its port: clients may ask for either family of addresses, and it listens on both.
    pub(super) bootstrap: String,
    process: Child,
    /// Kept open: what it still had to say would fail.
    _said: BufReader<ChildStdout>,
}

impl Broker {
    /// Starts it with its data and its log in `directory`, and waits until it says where it listens.
    pub(super) fn start(binary: &Path, arguments: &[&str], directory: &Path) -> Result<Broker> {
        // The kernel ends it with the thread that started it, so that no run leaves a server behind.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(binary)
            .args([
                "serve",
                "--kafka",
                "localhost:0",
                "--amqp",
                "off",
                "--http",
                "off",
                "--data",
            ])
            .arg(directory.join("data"))
            // Records of years ago, which some tests write, would expire between being written and being read.
            .args(["--retention-check-interval-ms", "86400000"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(directory.join("firth.log"))?)
            .spawn()
            .context("`setpriv` could not be started: it is in util-linux")?;
        let mut said = BufReader::new(process.stdout.take().context("its output is a pipe")?);
        let port = said.by_ref().lines().find_map(|line| listener_port(&line.ok()?));
        let Some(port) = port else {
            let status = process.wait()?;
            bail!(
                "firth ended with {status} before it listened: see {}",
                directory.display()
            );
        };
        let bootstrap = format!("localhost:{port}");
        Ok(Broker {
            bootstrap,
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

/// The port in the banner's `kafka   127.0.0.1:9092, [::1]:9092`.
fn listener_port(line: &str) -> Option<u16> {
    let addresses = line.strip_prefix("kafka ")?;
    addresses
        .split(',')
        .next()?
        .trim()
        .rsplit_once(':')?
        .1
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::listener_port;

    #[test]
    fn the_port_is_read_from_the_banner() {
        assert_eq!(
            listener_port("kafka       127.0.0.1:44997, [::1]:44997"),
            Some(44997)
        );
        assert_eq!(listener_port("http        127.0.0.1:15672"), None);
    }
}
