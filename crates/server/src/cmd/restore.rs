//! Makes a data directory of a backup, and checks it before it gets its name.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write, stdin, stdout};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use firth_admin::archive::{ArchivedFile, Manifest, Reader};
use firth_log::file::disk::Disk;
use firth_log::file::{Existence, Mode, Storage};
use firth_log::segment::{self, SegmentId};
use serde_json::json;

use super::doctor::{self, Holds};
use super::serve::LOCK_FILE;
use crate::date;
use crate::progress::Progress;

/// Behind the directory's name until it is whole.
const PARTIAL: &str = ".restoring";
const READ_BYTES: usize = 256 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backup, as `firth backup` wrote it; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The data directory to be made, which must not be there, or be empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Restore what can be read also where the backup was made of damaged data
    #[arg(long)]
    damaged: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    doctor::log_warnings();
    let shown = args.file.display();
    let input: Box<dyn Read> = match args.file.to_str() {
        Some("-") => Box::new(stdin().lock()),
        _ => Box::new(File::open(&args.file).with_context(|| format!("cannot open {shown}"))?),
    };
    let reader = Reader::open(BufReader::with_capacity(READ_BYTES, input), is_segment);
    let reader = reader.with_context(|| shown.to_string())?;
    check_target(&args.data)?;
    let partial = partial_of(&args.data)?;
    let manifest = reader.manifest().clone();
    let restored = unpack(reader, &partial).with_context(|| shown.to_string());
    let restored = restored.and_then(|damages| check(&partial, damages, args.damaged));
    let holds = restored.with_context(|| {
        format!(
            "nothing was restored; what was unpacked is in {}, which can be removed",
            partial.display()
        )
    })?;
    put_in_place(&partial, &args.data)?;
    print(args, &manifest, holds)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a backup may hold a file of this name.
pub(super) fn is_segment(name: &str) -> bool {
    let directory = name.strip_prefix(segment::DIRECTORY);
    let id = directory.and_then(|name| name.strip_prefix('/'));
    id.is_some_and(|id| SegmentId::parse(id).is_some())
}

/// What is there already is never mixed with a backup, nor replaced by one.
fn check_target(data: &Path) -> Result<()> {
    let shown = data.display();
    let metadata = match fs::symlink_metadata(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.with_context(|| format!("cannot look at {shown}"))?,
    };
    ensure!(
        metadata.is_dir(),
        "{shown} is no directory; name one that is not there yet"
    );
    let mut entries = fs::read_dir(data).with_context(|| format!("cannot read {shown}"))?;
    ensure!(
        entries.next().is_none(),
        "{shown} is not empty; name a directory that is not there yet, or move this one away"
    );
    let parent = fs::metadata(parent_of(data))?;
    ensure!(
        parent.dev() == metadata.dev(),
        "{shown} is a file system of its own; name a directory in it"
    );
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Where the backup is unpacked: beside the directory, so that one renaming puts it in its place.
fn partial_of(data: &Path) -> Result<PathBuf> {
    let name = data.file_name();
    let name = name.with_context(|| format!("{} has no name of its own", data.display()))?;
    let name: OsString = [name, PARTIAL.as_ref()].into_iter().collect();
    let partial = data.with_file_name(name);
    ensure!(
        fs::symlink_metadata(&partial).is_err(),
        "{} is there: a restore that did not finish left it; remove it first",
        partial.display()
    );
    Ok(partial)
}

/// Unpacks everything durably. Returns what was damaged when the backup was made.
fn unpack(mut reader: Reader<impl Read>, partial: &Path) -> Result<Vec<String>> {
    let disk = Disk::open(partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let _lock = disk.lock(LOCK_FILE)?;
    let bytes = reader.manifest().bytes();
    let free_bytes = disk.space()?.free_bytes;
    if free_bytes < bytes {
        bail!("it holds {bytes} bytes, and {free_bytes} are free on this file system");
    }
    disk.create_dir(segment::DIRECTORY)?;
    let mut progress = Progress::new("restoring", bytes);
    while let Some(ArchivedFile { name, .. }) = reader.next().cloned() {
        let file = disk.open(&name, Mode::Buffered, Existence::MustBeNew)?;
        let mut position = 0;
        reader.file(|piece| {
            file.write_at(piece, position)?;
            position += piece.len() as u64;
            progress.add(piece.len() as u64);
            Ok(())
        })?;
        file.sync()?;
    }
    disk.sync_dir(segment::DIRECTORY)?;
    disk.sync_dir("")?;
    Ok(reader.finish()?)
}

/// Looks at the new directory as a broker would meet it.
fn check(partial: &Path, damages: Vec<String>, accept_damage: bool) -> Result<Holds> {
    let report = super::block_on(doctor::examine(partial))?;
    let problems = report.problems();
    if problems.is_empty() || accept_damage {
        return Ok(report.holds());
    }
    for problem in damages.iter().chain(&problems) {
        eprintln!("PROBLEM {problem}");
    }
    bail!("the backup is as it was written, but what it was made of was damaged; --damaged restores the rest")
}

fn put_in_place(partial: &Path, data: &Path) -> Result<()> {
    let renamed = fs::rename(partial, data);
    renamed.with_context(|| format!("cannot rename {} to {}", partial.display(), data.display()))?;
    let parent = parent_of(data);
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    synced.with_context(|| format!("cannot flush {}", parent.display()))
}

fn print(args: &Args, manifest: &Manifest, holds: Holds) -> io::Result<()> {
    let data = args.data.display();
    let Holds {
        topics,
        partitions,
        records,
        bytes,
    } = holds;
    if args.json {
        let restored = json!({
            "data": data.to_string(),
            "cluster_id": manifest.cluster_id,
            "created_ms": manifest.created_ms,
            "topics": topics,
            "partitions": partitions,
            "records": records,
            "bytes": bytes,
        });
        return writeln!(stdout(), "{restored}");
    }
    writeln!(
        stdout(),
        "restored cluster {} as of {} into {data}: {topics} topics, {partitions} partitions, {records} records, {bytes} bytes\n\
         start it with: firth serve --data {data}",
        manifest.cluster_id,
        date::utc(manifest.created_ms),
    )
}
