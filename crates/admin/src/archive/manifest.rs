#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CHECKSUMS, Error, FORMAT, MANIFEST};

/// What an archive says of itself before its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The version of Firth that wrote it.
    pub firth: String,
    pub cluster_id: String,
    /// The wall clock when it was begun, in milliseconds since 1970.
    pub created_ms: u64,
    /// In ascending order of names.
    pub files: Vec<ArchivedFile>,
}

/// One file of the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedFile {
    /// Its path in the data directory.
    pub name: String,
    pub length: u64,
}

impl Manifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let lengths = self.files.iter().map(|file| file.length);
        lengths.fold(0, u64::saturating_add)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let file = |file: &ArchivedFile| json!({"name": file.name, "length": file.length});
        let manifest = json!({
            "format": FORMAT,
            "firth": self.firth,
            "cluster_id": self.cluster_id,
            "created_ms": self.created_ms,
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
        });
        format!("{manifest}\n").into_bytes()
    }

    /// Reads a manifest; `is_file` says which names a data directory has. Names ascend, so none is there twice.
    pub(super) fn decode(bytes: &[u8], is_file: impl Fn(&str) -> bool) -> Result<Manifest, Error> {
        let damaged = || Error::Damaged(format!("{MANIFEST} cannot be read"));
        let value: Value = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        let field = |of: &Value, key: &str| of.get(key).cloned().ok_or_else(damaged);
        let number = |of: &Value, key: &str| field(of, key)?.as_u64().ok_or_else(damaged);
        let text = |of: &Value, key: &str| field(of, key)?.as_str().map(str::to_owned).ok_or_else(damaged);
        let format = number(&value, "format")?;
        if format > FORMAT {
            return Err(Error::NewerFormat(format));
        }
        let mut files: Vec<ArchivedFile> = Vec::new();
        for file in value.get("files").and_then(Value::as_array).ok_or_else(damaged)? {
            let file = ArchivedFile {
                name: text(file, "name")?,
                length: number(file, "length")?,
            };
            if !is_file(&file.name) || files.last().is_some_and(|last| last.name >= file.name) {
                let name = file.name.escape_debug();
                return Err(Error::Damaged(format!(
                    "{MANIFEST} names \"{name}\", which has no place"
                )));
            }
            files.push(file);
        }
        Ok(Manifest {
            firth: text(&value, "firth")?,
            cluster_id: text(&value, "cluster_id")?,
            created_ms: number(&value, "created_ms")?,
            files,
        })
    }
}

/// What an archive says of itself behind its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksums {
    /// CRC32C of the manifest and of each file.
    pub(super) files: BTreeMap<String, u32>,
    /// What was found damaged while it was copied.
    pub(super) damages: Vec<String>,
}

impl Checksums {
    pub(super) fn encode(&self) -> Vec<u8> {
        let files = self.files.iter();
        let files: BTreeMap<_, _> = files.map(|(name, crc)| (name, format!("{crc:08x}"))).collect();
        let line = json!({"files": files, "damages": self.damages}).to_string();
        let crc32c = firth_batch::crc32c(line.as_bytes());
        let last = json!({"crc32c": format!("{crc32c:08x}")});
        format!("{line}\n{last}\n").into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Checksums, Error> {
        decode_checksums(bytes).ok_or_else(|| Error::Damaged(format!("{CHECKSUMS} does not hold")))
    }
}

fn decode_checksums(bytes: &[u8]) -> Option<Checksums> {
    let (line, _) = str::from_utf8(bytes).ok()?.split_once('\n')?;
    let value: Value = serde_json::from_str(line).ok()?;
    let mut checksums = Checksums::default();
    for (name, crc) in value.get("files")?.as_object()? {
        let crc = u32::from_str_radix(crc.as_str()?, 16).ok()?;
        checksums.files.insert(name.clone(), crc);
    }
    for damage in value.get("damages")?.as_array()? {
        checksums.damages.push(damage.as_str()?.to_owned());
    }
    // Both lines are the only ones that say this, so that the second needs no reading.
    (checksums.encode() == bytes).then_some(checksums)
}
