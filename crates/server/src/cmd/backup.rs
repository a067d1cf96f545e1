//! Copies what a broker holds at one moment into a file: from a broker that runs, or from the directory of one that does not.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use firth_admin::Backup;
use firth_admin::archive::{Manifest, Reader};
use firth_broker::{Broker, Config, Environment};
use firth_log::file::disk::Disk;
use serde_json::json;

use super::doctor;
use super::restore::is_segment;
use super::serve::LOCK_FILE;
use crate::http;
use crate::overlay::Overlay;
use crate::progress::Progress;
use crate::target::ProfileName;
use crate::{date, environment};

/// Behind the file's name until it is whole.
const PARTIAL: &str = ".partial";
/// What users stored is nobody else's to read.
const FILE_MODE: u32 = 0o600;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to be written, which must not be there; - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The broker to be backed up, by the address of its HTTP listener [default: the profile's, else http://localhost:15672]
    #[arg(long, value_name = "http://HOST:PORT", help_heading = "Server")]
    server: Option<String>,
    #[command(flatten)]
    profile: ProfileName,
    /// The data directory to be backed up instead, of a broker that does not run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "profile"])]
    data: Option<PathBuf>,
    /// Print JSON, to standard error where the backup goes to standard output
    #[arg(long)]
    json: bool,
}

/// A backup that was read to its end and is whole.
struct Done {
    manifest: Manifest,
    /// What was damaged before it was copied.
    damages: Vec<String>,
    bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let done = match args.file.to_str() {
        Some("-") => {
            ensure!(
                !stdout().is_terminal(),
                "a backup is not for a terminal; name a file"
            );
            take(args, &mut stdout().lock())?
        }
        _ => to_file(args)?,
    };
    print(args, &done)?;
    Ok(match done.damages.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The file gets its name when all of it is there, is what the broker sent, and is durable.
fn to_file(args: &Args) -> Result<Done> {
    let shown = args.file.display();
    let name = args.file.file_name();
    let name = name.with_context(|| format!("{shown} is no name of a file"))?;
    ensure!(
        fs::symlink_metadata(&args.file).is_err(),
        "{shown} is there already; a backup never replaces another one"
    );
    let partial: OsString = [name, PARTIAL.as_ref()].into_iter().collect();
    let partial = args.file.with_file_name(partial);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE);
    let file = options.open(&partial);
    let mut file = file.with_context(|| format!("cannot write {}", partial.display()))?;
    let done = take(args, &mut file).and_then(|done| {
        let durable = || {
            file.sync_all()?;
            fs::rename(&partial, &args.file)?;
            let parent = args.file.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        durable().with_context(|| format!("cannot finish {shown}"))?;
        Ok(done)
    });
    if done.is_err() {
        // What there is of it is of no use.
        let _ = fs::remove_file(&partial);
    }
    done
}

fn take(args: &Args, out: &mut impl Write) -> Result<Done> {
    match &args.data {
        Some(data) => from_directory(data, out),
        None => {
            let server = args.profile.http(args.server.as_deref())?;
            receive(http::get(&server, "/backup")?, out).with_context(|| server.clone())
        }
    }
}

/// Opens the directory as a broker would, without changing it: what is sealed for the backup is sealed in memory, which takes
/// as much of it as the WAL holds.
fn from_directory(data: &Path, out: &mut impl Write) -> Result<Done> {
    doctor::log_warnings();
    doctor::check_holds_data(data)?;
    let disk = Disk::look(data).with_context(|| format!("cannot open {}", data.display()))?;
    let _lock = disk.lock(LOCK_FILE).context(
        "only the directory of a broker that does not run can be read; of one that runs, take the backup with --server",
    )?;
    let engine = doctor::open(Arc::new(Overlay::new(disk)))?;
    let done = super::block_on(async {
        let environment = Environment {
            clock: environment::clock(),
            random: environment::random()?,
        };
        let broker = Broker::open(engine.clone(), Config::default(), environment).await?;
        let backup = Backup::begin(&engine, &broker).await;
        broker.shutdown().await;
        Ok(backup?)
    })
    .and_then(|backup| {
        let (reader, writer) = io::pipe()?;
        std::thread::scope(|scope| {
            let written = scope.spawn(move || backup.write(writer).map(drop));
            let received = receive(reader, out);
            // What it could not read leaves the archive cut off.
            match written.join() {
                Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
                Ok(_) => received,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    });
    engine.close();
    done
}

/// Reads an archive to its end and writes down what is read.
fn receive(input: impl Read, out: &mut impl Write) -> Result<Done> {
    let mut tee = Tee {
        input,
        out,
        bytes: 0,
        failure: None,
    };
    let received = check(&mut tee);
    match (tee.failure, received) {
        (Some(failure), _) => Err(failure).context("the backup cannot be written"),
        (None, Err(error)) => Err(error),
        (None, Ok((manifest, damages))) => Ok(Done {
            manifest,
            damages,
            bytes: tee.bytes,
        }),
    }
}

fn check(input: impl Read) -> Result<(Manifest, Vec<String>)> {
    let mut reader = Reader::open(input, is_segment)?;
    let manifest = reader.manifest().clone();
    let mut progress = Progress::new("receiving the backup", manifest.bytes());
    while reader.file(|piece| {
        progress.add(piece.len() as u64);
        Ok(())
    })? {}
    Ok((manifest, reader.finish()?))
}

struct Tee<'a, R, W> {
    input: R,
    out: &'a mut W,
    bytes: u64,
    failure: Option<io::Error>,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buf)?;
        if let Err(error) = self.out.write_all(&buf[..count]) {
            let kind = error.kind();
            self.failure = Some(error);
            return Err(kind.into());
        }
        self.bytes += count as u64;
        Ok(count)
    }
}

fn print(args: &Args, done: &Done) -> io::Result<()> {
    let file = args.file.display();
    let Done {
        manifest,
        damages,
        bytes,
    } = done;
    let mut text = String::new();
    if args.json {
        let summary = json!({
            "file": file.to_string(),
            "bytes": bytes,
            "segments": manifest.files.len(),
            "cluster_id": manifest.cluster_id,
            "created_ms": manifest.created_ms,
            "damages": damages,
        });
        text += &format!("{summary}\n");
    } else {
        for damage in damages {
            text += &format!("PROBLEM {damage}\n");
        }
        text += &format!(
            "backed up cluster {} as of {} to {file}: {} segments, {bytes} bytes\n",
            manifest.cluster_id,
            date::utc(manifest.created_ms),
            manifest.files.len(),
        );
        if !damages.is_empty() {
            text += "what is damaged was damaged before it was copied: keep older backups, and see `firth doctor`\n";
        }
    }
    match args.file.to_str() {
        Some("-") => write!(io::stderr(), "{text}"),
        _ => write!(stdout(), "{text}"),
    }
}
