//! Damaging a data directory as the bytes say, and opening it: whatever is left is served as it was written or not at all,
//! and the engine goes on. The directory is the golden one of format version 1 (crates/log/tests/golden).
//!
//! The bytes are edits of eight bytes each: what is done (modulo [`EDITS`]), to which file, where (u24, little-endian), and
//! three more bytes. An edit that forges checksums, or a value of the catalog, makes the directory say anything; then
//! nothing is said about what is served, but that it is served.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use firth_batch::{Batches, Builder, Compression};
use firth_log::catalog::{Catalog, Change};
use firth_log::file::recorder::{Image, Recorder};
use firth_log::fuzzing;
use firth_log::{Direct, Engine, Environment, Frame, LogId, OpenError, Options, ReadError};

use crate::{segment_open, wal_block};

const EDITS: u8 = 10;
const EDIT_BYTES: usize = 8;
/// More than this is no small damage any more, and takes long.
const EDITS_MAX: usize = 16;
const PAGE: u64 = 4096;
/// Logs that the directory has, had, or might have by what is forged into it.
const LOGS: std::ops::Range<u64> = 0..20;
/// A read of a log ends after so many, whatever the log says about itself.
const READS_MAX: usize = 200;

/// Batches by their log and base offset.
type Batch = (u64, i64);

struct Golden {
    image: Image,
    batches: BTreeMap<Batch, Vec<u8>>,
}

pub fn run(bytes: &[u8]) {
    static GOLDEN: OnceLock<Golden> = OnceLock::new();
    let golden = GOLDEN.get_or_init(Golden::read);
    let mut edited = Edited {
        image: golden.image.clone(),
        forged: false,
    };
    for edit in bytes.chunks_exact(EDIT_BYTES).take(EDITS_MAX) {
        edited.edit(edit);
    }
    let recorder = Recorder::from_image(edited.image);
    let known = (!edited.forged).then_some(&golden.batches);
    // What the first opening leaves has to be a directory too.
    for _ in 0..2 {
        let Some(engine) = open(&recorder) else { return };
        read(&engine, known);
        go_on(&engine);
        engine.close();
    }
}

impl Golden {
    fn read() -> Golden {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/log/tests/golden/v1");
        let mut image = Image::default();
        for directory in ["", "segments", "wal"] {
            let entries = fs::read_dir(root.join(directory)).expect("the golden directory is there");
            for entry in entries {
                let path = entry.expect("the golden directory can be read").path();
                if let (Ok(bytes), Ok(name)) = (fs::read(&path), path.strip_prefix(&root)) {
                    image.insert(&name.to_string_lossy(), &bytes);
                }
            }
        }
        let batches = written(&image);
        assert!(batches.len() > 10);
        Golden { image, batches }
    }
}

/// All that was ever appended: the WAL still has what was sealed, trimmed and deleted, and that may come back where the
/// record of it is lost.
fn written(image: &Image) -> BTreeMap<Batch, Vec<u8>> {
    let mut batches = BTreeMap::new();
    for path in image.files().filter(|path| path.starts_with("wal/")) {
        let bytes = image.read(path).unwrap_or_default();
        let blocks = bytes.chunks(PAGE as usize).scan(0, |at, page| {
            let start = *at;
            *at += page.len();
            Some(fuzzing::block(&bytes[start..]))
        });
        for slice in blocks.flatten().flat_map(|(_, slices)| slices) {
            for batch in Batches::new(slice.batches.expect("the golden directory is whole")) {
                let (header, bytes) = batch.expect("the golden directory is whole");
                batches.insert((slice.log.0, header.base_offset), bytes.to_vec());
            }
        }
    }
    batches
}

fn open(recorder: &Recorder) -> Option<Engine> {
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    let environment = Environment {
        wall_ms: Arc::new(|| 1_700_000_000_000),
        random: Arc::new(|| u128::from(DRAWN.fetch_add(1, Ordering::Relaxed)).to_le_bytes()),
        on_failure: Arc::new(|reason| panic!("nothing fails here: {reason}")),
    };
    let options = Options {
        direct: Direct::Never,
        wal_bytes_max: Some(1024 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 4096,
        cache_bytes: 0,
        ..Options::default()
    };
    match Engine::open(Arc::new(recorder.clone()), environment, options) {
        Ok(engine) => Some(engine),
        Err(OpenError::NewerFormat(_) | OpenError::Damaged(_)) => None,
        Err(OpenError::Io(error)) => panic!("nothing fails here: {error}"),
    }
}

/// Reads every log, from its start to its end. What is `known` is compared.
fn read(engine: &Engine, known: Option<&BTreeMap<Batch, Vec<u8>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without I/O");
    for log in LOGS {
        let Some(bounds) = engine.bounds(LogId(log)) else {
            continue;
        };
        assert!(0 <= bounds.start && bounds.start <= bounds.end, "{bounds:?}");
        let mut at = bounds.start;
        for _ in 0..READS_MAX {
            if at >= bounds.end {
                break;
            }
            match runtime.block_on(engine.read(LogId(log), at, 300)) {
                Ok(read) if read.slices.is_empty() => break,
                Ok(read) => {
                    let before = at;
                    for batch in read.slices.iter().flat_map(|slice| Batches::new(slice)) {
                        // Behind a checksum that is right, nobody looks again whether batches are whole.
                        let Ok((header, bytes)) = batch else {
                            assert!(known.is_none(), "a read gives whole batches");
                            break;
                        };
                        let key = (log, header.base_offset);
                        // Not what the engine wrote for itself in this run, nor what the first opening appended.
                        let of_this_run = log == 0 || bytes.ends_with(APPENDED);
                        if let Some(known) = known.filter(|_| !of_this_run) {
                            assert_eq!(known.get(&key).map(Vec::as_slice), Some(bytes), "{key:?}");
                        }
                        at = header.next_offset().max(at.saturating_add(1));
                    }
                    if at == before {
                        break;
                    }
                }
                Err(ReadError::Damaged { next_offset, .. }) => at = next_offset.max(at.saturating_add(1)),
                Err(ReadError::OutOfRange(_) | ReadError::UnknownLog(_)) => break,
                Err(ReadError::Io(error)) => panic!("log {log} at {at}: {error}"),
            }
        }
        engine.extents(LogId(log));
    }
}

/// How the last record of a batch ends that this target appends: its value, and no headers.
const APPENDED: &[u8] = b"goes on\0";

fn go_on(engine: &Engine) {
    let mut builder = Builder::new(Compression::None);
    builder.push(1_700_000_000_000, None, Some(b"goes on"), &[]);
    if let Ok(appended) = engine.append(Frame::batch(LogId::DEFINITIONS, builder.build())) {
        appended.commit.wait().expect("no flush fails here");
    }
}

struct Edited {
    image: Image,
    forged: bool,
}

impl Edited {
    fn edit(&mut self, edit: &[u8]) {
        let &[what, file, p0, p1, p2, ref more @ ..] = edit else {
            return;
        };
        let position = u64::from(u32::from_le_bytes([p0, p1, p2, 0]));
        let files: Vec<String> = self.image.files().map(str::to_owned).collect();
        let Some(path) = files.get(usize::from(file) % files.len().max(1)) else {
            return;
        };
        let length = self.image.len(path).unwrap_or(0);
        let at = position % length.max(1);
        let page = at / PAGE * PAGE;
        match what % EDITS {
            0 | 1 if length > 0 => self.image.flip(path, at, u32::from(more[0] % 8)),
            2 => self.image.write(path, at, more),
            3 => self.image.set_len(path, at),
            4 => self.image.remove(path),
            5 => self.image.write(path, page, &[0; PAGE as usize]),
            6 => {
                let from = &files[usize::from(more[0]) % files.len()];
                let bytes = self.image.read(from).unwrap_or_default();
                let start = (usize::from(more[1]) * PAGE as usize).min(bytes.len());
                let end = (start + PAGE as usize).min(bytes.len());
                self.image.write(path, page, &bytes[start..end]);
            }
            7 => self.forge(path, page),
            8 => self.forge_value(usize::from(file), more),
            // A file of the right name with nothing of ours in it.
            _ => self
                .image
                .insert(&format!("wal/{:08x}", more[0]), &vec![more[1]; 64 * 1024]),
        }
    }

    /// Makes the checksums of a block or of a segment right, after they or what they cover were edited.
    fn forge(&mut self, path: &str, page: u64) {
        let bytes = self.image.read(path).unwrap_or_default();
        let start = page as usize;
        if path.starts_with("wal/") {
            let forged = wal_block::forged(&bytes[start..]);
            self.image.write(path, page, &forged);
        } else if path.starts_with("segments/") {
            self.image.insert(path, &segment_open::forged(&bytes));
        } else {
            return;
        }
        self.forged = true;
    }

    /// Changes a value of the catalog, or adds one.
    fn forge_value(&mut self, which: usize, more: &[u8]) {
        let recorder = Recorder::from_image(self.image.clone());
        let Ok(catalog) = Catalog::open(&recorder) else {
            return;
        };
        let mut entries = Vec::new();
        if catalog
            .scan(b"", |key, value| entries.push((key.to_vec(), value.to_vec())))
            .is_err()
            || entries.is_empty()
        {
            return;
        }
        let (mut key, mut value) = entries.swap_remove(which % entries.len());
        let at = usize::from(more[0]);
        match at.checked_sub(128) {
            Some(at) => {
                let at = at % key.len();
                key[at] ^= more[1].max(1);
            }
            None if value.is_empty() => value.push(more[1]),
            None => {
                let at = at % value.len();
                value[at] ^= more[1];
                value.truncate(value.len() - usize::from(more[2] / 250));
            }
        }
        let applied_lsn = catalog.applied_lsn();
        let change = Change::Put {
            key: &key,
            value: &value,
        };
        if key[0] == 0 || catalog.commit(applied_lsn, &[change]).is_err() {
            return;
        }
        drop(catalog);
        self.image = recorder.image();
        self.forged = true;
    }
}
