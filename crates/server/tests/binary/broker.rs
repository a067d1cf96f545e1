use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A process that does not end within this time is stuck.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `firth serve` on free ports, killed with the value.
pub(crate) struct Broker {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) banner: Vec<String>,
}

pub(crate) fn firth(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firth"));
    command.current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

impl Broker {
    /// Starts a broker with its data in `directory/data`, and waits for the banner.
    pub(crate) fn start(directory: &Path) -> Broker {
        Broker::start_with(directory, &[])
    }

    pub(crate) fn start_with(directory: &Path, flags: &[&str]) -> Broker {
        let mut command = firth(directory);
        command
            .args([
                "serve",
                "--data",
                "data",
                "--kafka",
                "localhost:0",
                "--http",
                "localhost:0",
            ])
            .args(flags);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut banner = Vec::new();
        while banner.len() < 6 {
            let mut line = String::new();
            assert_ne!(
                stdout.read_line(&mut line).unwrap(),
                0,
                "ended after {banner:?}: {:?}",
                child.wait()
            );
            banner.push(line.trim_end().to_owned());
        }
        Broker {
            child,
            stdout,
            banner,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The addresses of a listener, as the banner has them.
    pub(crate) fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let line = self
            .banner
            .iter()
            .find(|line| line.split(' ').next() == Some(name))
            .unwrap();
        let addresses = line[name.len()..].trim();
        if addresses == "off" {
            return Vec::new();
        }
        addresses
            .split(", ")
            .map(|address| address.parse().unwrap())
            .collect()
    }

    /// Runs a client command against this broker.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> Output {
        let server = self.addresses("kafka")[0].to_string();
        let mut command = firth(Path::new("/"));
        command
            .args(arguments)
            .env("FIRTH_SERVER", server)
            .stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The same, of a command that succeeds: what it printed.
    pub(crate) fn succeed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.command(arguments, input);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.addresses("http")[0]).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, and gives the exit status and what was printed after the banner.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let (send, ended) = std::sync::mpsc::channel();
        let pid = self.pid();
        let waiting = std::thread::spawn(move || {
            let mut rest = String::new();
            self.stdout.read_to_string(&mut rest).unwrap();
            let _ = send.send((self.child.wait().unwrap(), rest));
        });
        let outcome = ended
            .recv_timeout(END_TIMEOUT)
            .unwrap_or_else(|_| panic!("process {pid} does not end"));
        waiting.join().unwrap();
        outcome
    }

    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let (status, _) = self.end();
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
