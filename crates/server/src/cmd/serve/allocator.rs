//! The allocator keeps what is freed for some seconds. On a large machine that saves page faults. On a small one it comes to
//! several times what is in use, and the kernel ends the process.
//!
//! It takes its settings from the environment, before the first line of the program runs. So the process replaces itself
//! by itself, once, with these settings: the same id, the same arguments, the same open files.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Above this there is room for what the allocator keeps.
const SMALL_BYTES: u64 = 1024 * 1024 * 1024;
/// Its name for the settings, and those with which everything goes back to the system when it is freed.
const SETTINGS: (&str, &str) = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,narenas:2");

/// Returns where there is nothing to do: on a large machine, and where the environment has such settings, be they ours or
/// the operator's.
pub(super) fn suit(total_bytes: u64) {
    if total_bytes > SMALL_BYTES || std::env::var_os(SETTINGS.0).is_some() {
        return;
    }
    let error = start_again();
    tracing::warn!(%error, "the allocator keeps its usual settings, which may take more memory than there is");
}

/// Returns only if it fails.
fn start_again() -> io::Error {
    match std::env::current_exe() {
        Ok(program) => {
            let arguments = std::env::args_os().skip(1);
            Command::new(program).args(arguments).envs([SETTINGS]).exec()
        }
        Err(error) => error,
    }
}
