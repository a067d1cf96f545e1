//! strace, which ends a process at a system call or makes the call fail.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::load::Load;
use crate::broker::{Broker, Ended, Start};

/// Batches that are acknowledged before a call that did not come is given up.
pub(crate) const BATCHES: u64 = 800;
/// Refusals after which a condition is taken to last.
const REFUSALS: u64 = 2000;

/// strace, where it is installed. It has to be where everything is checked before a change is taken.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join("strace"))
        .find(|file| file.is_file());
    if found.is_none() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "strace is not installed"
        );
        println!("SKIPPED: strace is not installed");
    }
    found
}

/// A broker that strace does something to. The calls are counted per thread, and the first that comes to it is met.
pub(crate) fn start<'a>(
    strace: &Path,
    directory: &'a Path,
    calls: &str,
    effect: &str,
    only: &[String],
) -> Start<'a> {
    // -D: what is started is the process itself, and strace only looks on.
    let mut through: Vec<String> = [&strace.display().to_string(), "-D", "-f", "-q", "-o", "/dev/null"]
        .map(str::to_owned)
        .into();
    through.extend(["-e".to_owned(), format!("trace={calls}")]);
    through.extend(["-e".to_owned(), format!("inject={calls}:{effect}")]);
    // No --seccomp-bpf, with which strace 6.1 injects no signal.
    for path in only {
        // A call names the path or a descriptor, whose path strace knows in full alone.
        let whole = directory.canonicalize().unwrap().join(path);
        let paths = [path.clone(), whole.display().to_string()];
        through.extend(paths.into_iter().flat_map(|path| ["-P".to_owned(), path]));
    }
    Start {
        through,
        ..Start::recycling(directory)
    }
}

/// Kills a running broker at the `nth` of some calls of one of its threads. What is returned ends with the broker, or when it
/// is killed.
pub(crate) fn kill_at(strace: &Path, broker: &Broker, thread: &str, calls: &str, nth: u64) -> Child {
    let tasks = PathBuf::from(format!("/proc/{}/task", broker.pid()));
    let is_it =
        |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == thread);
    let find = || {
        fs::read_dir(&tasks)
            .unwrap()
            .map(|task| task.unwrap().path())
            .find(is_it)
    };
    // A thread takes its name when it begins to run.
    let task = loop {
        if let Some(task) = find() {
            break task;
        }
        std::thread::yield_now();
    };
    let mut child = Command::new(strace)
        .args(["-q", "-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:signal=KILL:when={nth}")])
        .arg("-p")
        .arg(task.file_name().unwrap())
        .spawn()
        .unwrap();
    let is_traced = || {
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_none_or(|pid| pid.trim() != "0")
    };
    // A thread that comes to its call at once ends strace as well.
    while !is_traced() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child
}

/// Works on a broker until that ends, or has refused enough to show that it lasts. `None` where it does not end.
pub(crate) fn work_until_end_or_refused(broker: Broker, load: &mut Load) -> Option<Ended> {
    let mut ended = None;
    load.run(broker.kafka(), |progress| {
        let done = progress.wait_for_either(BATCHES, REFUSALS);
        progress.enough();
        ended = Some(match done {
            true => broker.kill(),
            false => broker.end(),
        });
    });
    ended.filter(|ended| ended.status.signal().is_none())
}

/// Works on a broker until that ends, and deletes records in between. `None` where it does not end within so many batches.
pub(crate) fn work_until_end(broker: Broker, load: &mut Load, batches: u64) -> Option<Ended> {
    let mut ended = false;
    load.run_deleting(
        broker.kafka(),
        |progress| progress.wait_for(BATCHES / 2),
        |progress| {
            ended = !progress.wait_for(batches);
            progress.enough();
        },
    );
    ended.then(|| broker.end())
}
