//! The process under test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The promise for recovery, with a debug build on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// A process that does not end within this time is stuck.
const END_TIMEOUT: Duration = Duration::from_secs(60);
const BANNER_LINES: usize = 8;

pub(crate) fn firth(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firth"));
    command.current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

/// A directory that is kept, and named, when the test fails.
pub(crate) struct Directory {
    directory: Option<tempfile::TempDir>,
}

impl Directory {
    pub(crate) fn new() -> Directory {
        Directory {
            directory: Some(tempfile::tempdir().unwrap()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory
            .as_ref()
            .expect("it is taken when it is dropped")
            .path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take().filter(|_| std::thread::panicking()) {
            let kept: PathBuf = directory.keep();
            println!("the data directory is kept in {}", kept.display());
        }
    }
}

/// How to start `firth serve` on free ports. Its data are in `directory/data`.
#[derive(Clone)]
pub(crate) struct Start<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) flags: Vec<String>,
    /// Where Kafka clients connect.
    pub(crate) kafka: String,
    /// A program and its arguments that become this process, such as strace.
    pub(crate) through: Vec<String>,
}

impl<'a> Start<'a> {
    pub(crate) fn new(directory: &'a Path, flags: &[&str]) -> Start<'a> {
        Start {
            directory,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            kafka: "localhost:0".to_owned(),
            through: Vec::new(),
        }
    }

    /// With a WAL so small that it is sealed and recycled all the time.
    pub(crate) fn recycling(directory: &'a Path) -> Start<'a> {
        let flags = ["--wal-limit", "1MiB", "--retention-check-interval-ms", "100"];
        Start::new(directory, &flags)
    }

    /// Starts the process and waits until it answers. If it ends before that: how.
    pub(crate) fn start(self) -> Result<Broker, Ended> {
        let firth = env!("CARGO_BIN_EXE_firth");
        let mut words = self.through.iter().map(String::as_str).chain([firth]);
        let mut command = Command::new(words.next().expect("there is one at least"));
        command.args(words).env_clear().current_dir(self.directory);
        command.args(["serve", "--data", "data"]);
        command.args([
            "--kafka",
            &self.kafka,
            "--amqp",
            "localhost:0",
            "--http",
            "localhost:0",
        ]);
        command.args(&self.flags);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (log, printed) = (child.stderr.take().unwrap(), child.stdout.take().unwrap());
        let mut broker = Broker {
            child,
            log: Log::of(log),
            printed: lines(printed),
            banner: Vec::new(),
        };
        while broker.banner.len() < BANNER_LINES {
            match broker.printed.recv_timeout(START_TIMEOUT) {
                Ok(line) => broker.banner.push(line),
                Err(RecvTimeoutError::Disconnected) => return Err(broker.end()),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no banner within {} s", START_TIMEOUT.as_secs())
                }
            }
        }
        Ok(broker)
    }

    /// The same where nothing may go wrong.
    pub(crate) fn succeed(self) -> Broker {
        self.start()
            .unwrap_or_else(|ended| panic!("the broker does not start: {ended:?}"))
    }
}

/// A running broker, killed with the value.
pub(crate) struct Broker {
    child: Child,
    log: Log,
    printed: Receiver<String>,
    pub(crate) banner: Vec<String>,
}

/// How a process ended, what it had printed after the banner, and what it had logged.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) printed: String,
    pub(crate) log: String,
}

impl Broker {
    /// With the settings that everyone gets.
    pub(crate) fn start(directory: &Path) -> Broker {
        Broker::start_with(directory, &[])
    }

    pub(crate) fn start_with(directory: &Path, flags: &[&str]) -> Broker {
        Start::new(directory, flags).succeed()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The addresses of a listener, as the banner has them.
    pub(crate) fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let mut lines = self.banner.iter();
        let line = lines.find(|line| line.split(' ').next() == Some(name)).unwrap();
        let addresses = line[name.len()..].trim();
        if addresses == "off" {
            return Vec::new();
        }
        addresses
            .split(", ")
            .map(|address| address.parse().unwrap())
            .collect()
    }

    pub(crate) fn kafka(&self) -> SocketAddr {
        self.addresses("kafka")[0]
    }

    /// Runs a client command against this broker.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = firth(Path::new("/"));
        command
            .args(arguments)
            .env("FIRTH_SERVER", self.kafka().to_string())
            .stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Starts a client command that goes on until it is stopped.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> Following {
        let mut command = firth(Path::new("/"));
        command
            .args(arguments)
            .env("FIRTH_SERVER", self.kafka().to_string());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Following {
            printed: lines(child.stdout.take().unwrap()),
            log: lines(child.stderr.take().unwrap()),
            child,
        }
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

    /// In a version of HTTP in which a body comes as it is.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.addresses("http")[0]).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        // Its end closes standard error and standard output.
        let log = self.log.wait();
        let printed = self.printed.iter().map(|line| line + "\n").collect();
        Ended {
            status: self.child.wait().unwrap(),
            printed,
            log,
        }
    }

    pub(crate) fn kill(self) -> Ended {
        self.signal(Signal::KILL);
        self.end()
    }

    /// Stops it in order, and gives what it had logged.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let ended = self.end();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        ended.log
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the log of the broker:\n{}", self.log.text.lock().unwrap());
        }
    }
}

/// A command that goes on, killed with the value.
pub(crate) struct Following {
    child: Child,
    printed: Receiver<String>,
    log: Receiver<String>,
}

impl Following {
    /// The next lines that it prints.
    pub(crate) fn printed(&self, count: usize) -> Vec<String> {
        let next = || self.printed.recv_timeout(END_TIMEOUT).expect("it prints a line");
        (0..count).map(|_| next()).collect()
    }

    /// The next line that it says on standard error and in which `text` is.
    pub(crate) fn said(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(END_TIMEOUT);
            let line = line.unwrap_or_else(|_| panic!("it does not say {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Stops it as Ctrl+C does: how it ends, and what else it printed.
    pub(crate) fn interrupt(mut self) -> (Option<i32>, Vec<String>) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let rest = self.printed.iter().collect();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Standard error, read as it comes.
struct Log {
    text: Arc<Mutex<String>>,
    ended: Receiver<()>,
}

impl Log {
    fn of(stderr: impl Read + Send + 'static) -> Log {
        let text = Arc::new(Mutex::new(String::new()));
        let (end, ended) = channel();
        let gathered = text.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut text = gathered.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
            let _ = end.send(());
        });
        Log { text, ended }
    }

    fn wait(&mut self) -> String {
        self.ended.recv_timeout(END_TIMEOUT).expect("the process ends");
        self.text.lock().unwrap().clone()
    }
}

fn lines(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (send, received) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    received
}
