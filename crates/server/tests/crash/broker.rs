//! The process under test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The promise for recovery, with a debug build on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(5);
const END_TIMEOUT: Duration = Duration::from_secs(60);

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

/// How to start `firth serve`. Its data are in `directory/data`.
#[derive(Clone)]
pub(crate) struct Start<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) flags: Vec<String>,
    /// strace and its arguments, where the process runs under it.
    pub(crate) strace: Option<(PathBuf, Vec<String>)>,
}

impl<'a> Start<'a> {
    /// With a WAL so small that it is sealed and recycled all the time.
    pub(crate) fn new(directory: &'a Path) -> Start<'a> {
        let flags = ["--wal-limit", "1MiB", "--retention-check-interval-ms", "100"];
        Start {
            directory,
            flags: flags.map(str::to_owned).into(),
            strace: None,
        }
    }

    /// Starts the process and waits until it answers. If it ends before that: how.
    pub(crate) fn start(self) -> Result<Broker, Ended> {
        let firth = env!("CARGO_BIN_EXE_firth");
        let mut command = match &self.strace {
            None => Command::new(firth),
            Some((strace, arguments)) => {
                let mut command = Command::new(strace);
                // -D: what we started is the process itself, and strace only looks on.
                command
                    .args(["-D", "-f", "-q", "-o", "/dev/null"])
                    .args(arguments)
                    .arg(firth);
                command
            }
        };
        command.env_clear();
        command.args([
            "serve",
            "--data",
            "data",
            "--kafka",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--json",
        ]);
        command.args(&self.flags).current_dir(self.directory);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let banner = lines(child.stdout.take().unwrap());
        let mut broker = Broker {
            child,
            log,
            kafka: None,
        };
        match banner.recv_timeout(START_TIMEOUT) {
            Ok(line) => {
                broker.kafka = Some(address(&line));
                Ok(broker)
            }
            Err(RecvTimeoutError::Disconnected) => Err(broker.end()),
            Err(RecvTimeoutError::Timeout) => panic!("no banner within {} s", START_TIMEOUT.as_secs()),
        }
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
    kafka: Option<SocketAddr>,
}

/// How a process ended, and what it had logged.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

impl Broker {
    pub(crate) fn kafka(&self) -> SocketAddr {
        self.kafka.expect("a broker is given out when it answers")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        // Its end closes standard error.
        let log = self.log.wait();
        Ended {
            status: self.child.wait().unwrap(),
            log,
        }
    }

    pub(crate) fn kill(self) -> Ended {
        self.signal(Signal::KILL);
        self.end()
    }

    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let ended = self.end();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
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

/// Standard error, read as it comes.
struct Log {
    text: Arc<Mutex<String>>,
    lines: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl Log {
    fn of(stderr: impl std::io::Read + Send + 'static) -> Log {
        let text = Arc::new(Mutex::new(String::new()));
        let (end, ended) = channel();
        let gathered = text.clone();
        let lines = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut text = gathered.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
            let _ = end.send(());
        });
        Log {
            text,
            lines: Some(lines),
            ended,
        }
    }

    fn wait(&mut self) -> String {
        self.ended.recv_timeout(END_TIMEOUT).expect("the process ends");
        self.lines
            .take()
            .into_iter()
            .for_each(|lines| lines.join().unwrap());
        self.text.lock().unwrap().clone()
    }
}

fn lines(stdout: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, received) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    received
}

fn address(banner: &str) -> SocketAddr {
    let banner: serde_json::Value = serde_json::from_str(banner).unwrap();
    banner["kafka"][0].as_str().unwrap().parse().unwrap()
}
