//! A file system of a size that a test chooses.

use std::process::Command;

#[derive(Clone, Copy, Debug)]
pub(crate) enum FileSystem {
    /// Takes and gives space at once, page by page.
    Tmpfs,
    /// An image over a loop device: blocks are allocated late, and some are kept for the system.
    Ext4,
}

/// Mounted below a temporary directory, until it is dropped. Whoever uses it has ended before.
pub(crate) struct Mount {
    directory: tempfile::TempDir,
}

impl Mount {
    /// `None`, and a line that says so, where this process may not mount.
    pub(crate) fn new(file_system: FileSystem, mib: u64) -> Option<Mount> {
        let directory = tempfile::tempdir().unwrap();
        let (at, image) = (directory.path().join("mount"), directory.path().join("image"));
        std::fs::create_dir(&at).unwrap();
        let (at, image_path) = (at.to_str().unwrap(), image.to_str().unwrap());
        let done = match file_system {
            FileSystem::Tmpfs => run(
                "mount",
                &["-t", "tmpfs", "-o", &format!("size={mib}m"), "firth-test", at],
            ),
            FileSystem::Ext4 => {
                let file = std::fs::File::create(&image).unwrap();
                file.set_len(mib << 20).unwrap();
                run("mkfs.ext4", &["-q", "-F", image_path])
                    .and_then(|()| run("mount", &["-o", "loop", image_path, at]))
            }
        };
        match done {
            Ok(()) => Some(Mount { directory }),
            Err(error) => {
                println!("SKIPPED: no file system of our own ({file_system:?}): {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("mount")
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        let space = rustix::fs::statvfs(self.path()).unwrap();
        space.f_bavail * space.f_frsize
    }

    /// Lets somebody else take what is free, but for so many bytes.
    pub(crate) fn leave_free(&self, bytes: u64) {
        let path = self.path().join("foreign");
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let mut file = file.unwrap();
        let zeroes = vec![1; 64 << 10];
        while self.free_bytes() > bytes {
            let over = usize::try_from(self.free_bytes().saturating_sub(bytes)).unwrap();
            // What is not written by now does not fit.
            if std::io::Write::write_all(&mut file, &zeroes[..over.min(zeroes.len())]).is_err()
                || file.sync_data().is_err()
            {
                return;
            }
        }
    }

    /// Somebody else gives back what he took.
    pub(crate) fn free_foreign(&self) {
        std::fs::remove_file(self.path().join("foreign")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let path = self.path();
        // Lazily: a process that was killed may not be gone altogether.
        if let Err(error) = run("umount", &["-l", path.to_str().unwrap_or_default()]) {
            println!("{} is left mounted: {error}", path.display());
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        // Programs for administrators are not in everyone's path.
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
