//! Every target holds for its committed seeds and for mutations of them. The mutations are the same in each run.

use std::fs;
use std::path::{Path, PathBuf};

use firth_fuzz::TARGETS;

/// Mutations of each seed: enough to catch what is coarse, few enough for each test run. libFuzzer does the rest.
const MUTATIONS: usize = 2000;
/// Fewer of a target that opens an engine for each.
const MUTATIONS_OF_ENGINE: usize = 150;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = root().join("seeds").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

#[test]
fn every_target_is_declared_for_libfuzzer() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut files: Vec<String> = fs::read_dir(root().join("fuzz_targets"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    files.sort();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        files, names,
        "fuzz_targets/ and TARGETS, in order, have the same names"
    );
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} has no [[bin]]"
        );
    }
}

#[test]
fn seeds_hold() {
    for (name, run) in TARGETS {
        run(&[]);
        for (path, seed) in seeds(name) {
            // Printed only when the test fails: the last line is the input that broke it.
            println!("{}", path.display());
            run(&seed);
        }
    }
}

#[test]
fn mutations_of_seeds_hold() {
    for (name, run) in TARGETS {
        let seeds = seeds(name);
        let mutations = match *name {
            "log_recover" => MUTATIONS_OF_ENGINE,
            _ => MUTATIONS,
        };
        for (index, (path, seed)) in seeds.iter().enumerate() {
            for mutation in 0..mutations {
                println!("{} mutation {mutation}", path.display());
                let mut random = Random::new(index, mutation);
                let (_, other) = &seeds[random.below(seeds.len())];
                run(&mutate(seed, other, &mut random));
            }
        }
    }
}

/// Changes up to eight places: a bit, a byte, a cut, an insertion, or a splice with another seed.
fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len().max(1));
        match random.below(6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 => bytes.truncate(at),
            4 => bytes.insert(at, random.below(256) as u8),
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len().max(1)).min(other.len())..]);
            }
        }
    }
    bytes
}

/// SplitMix64: the same mutation has the same bytes in every run.
struct Random(u64);

impl Random {
    fn new(seed: usize, mutation: usize) -> Random {
        Random((seed as u64) << 32 | mutation as u64)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
