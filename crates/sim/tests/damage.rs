//! A disk that damages what it holds: nothing wrong is served, and nothing acknowledged is missing in silence.

use firth_log::file::recorder::{All, Image};
use firth_log::{Direct, Options};
use firth_sim::{Explorer, Random, Scale, Survey, images_per_test, record, seed};

fn tiny(direct: Direct) -> Options {
    Options {
        direct,
        wal_bytes_max: Some(512 * 1024),
        wal_file_bytes: 128 * 1024,
        segment_bytes: 32 * 1024,
        cache_bytes: 32 * 1024,
        ..Options::default()
    }
}

const SCALE: Scale = Scale {
    producers: 2,
    steps: 80,
    in_flight: 2,
    batch_bytes: 100..4000,
    readers: 0,
    compacts: false,
};

/// A run that ended in order, and what it left on the disk for the start after the next. The next one notes in the catalog
/// where the WAL ended: before that, nothing tells that its newest file is not there any more.
fn left_on_disk(options: Options, seed: u64) -> (Explorer, Image) {
    let explorer = record(options, &SCALE, seed, 1);
    let image = explorer.journal.image(explorer.journal.len(), &mut All);
    (explorer, image)
}

fn survey(explorer: &Explorer, damaged: Image, what: &str) -> Survey {
    match explorer.survey(damaged) {
        Ok(survey) => survey,
        Err(violation) => panic!("{what}: {violation}"),
    }
}

fn files(image: &Image, directory: &str) -> Vec<String> {
    let files = image.files().filter(|path| path.starts_with(directory));
    files.map(str::to_owned).collect()
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let seed = seed();
    let (explorer, image) = left_on_disk(tiny(Direct::Always), seed);
    let whole = survey(&explorer, image.clone(), "nothing is damaged");
    assert_eq!((whole.quarantined, whole.cut_off.len()), (0, 0), "{whole:?}");
    let mut random = Random::new(seed);
    let mut noticed = 0;
    for directory in ["wal/", "segments/", "catalog"] {
        let files = files(&image, directory);
        for _ in 0..images_per_test(200) {
            let path = &files[random.below(files.len() as u64) as usize];
            let length = image.len(path).expect("a file of the image");
            // Headers are few among so many bytes, so every other flip hits the first bytes of a page.
            let page = random.below(length.div_ceil(4096)) * 4096;
            let position = match random.below(2) {
                0 => random.below(length),
                _ => (page + random.below(128)).min(length - 1),
            };
            let bit = random.below(8) as u32;
            let mut damaged = image.clone();
            damaged.flip(path, position, bit);
            let survey = survey(&explorer, damaged, &format!("{path}, byte {position}, bit {bit}"));
            noticed += usize::from(survey != whole);
            if directory == "catalog" {
                assert_eq!(survey, whole, "{path}, byte {position}: a catalog loses nothing");
            }
        }
    }
    assert!(noticed > 20, "{noticed}");
}

#[test]
fn a_file_that_is_cut_emptied_zeroed_or_gone_is_noticed() {
    let seed = seed();
    let (explorer, image) = left_on_disk(tiny(Direct::Never), seed);
    let mut random = Random::new(seed);
    let all: Vec<String> = image.files().map(str::to_owned).collect();
    for path in all {
        let length = image.len(&path).expect("a file of the image");
        for damage in 0..6 {
            let mut damaged = image.clone();
            let what = match damage {
                0 => {
                    damaged.remove(&path);
                    "gone"
                }
                1 => {
                    damaged.set_len(&path, 0);
                    "emptied"
                }
                2 => {
                    damaged.set_len(&path, random.below(length + 1));
                    "cut"
                }
                3 => {
                    damaged.set_len(&path, 0);
                    damaged.set_len(&path, length);
                    "zeroed"
                }
                4 => {
                    let from = random.below(length);
                    damaged.set_len(&path, from);
                    damaged.set_len(&path, length);
                    "zeroed at its end"
                }
                _ => {
                    let zeros = vec![0; 4096.min(length as usize)];
                    damaged.write(&path, 0, &zeros);
                    "zeroed at its start"
                }
            };
            survey(&explorer, damaged, &format!("{path} is {what}"));
        }
    }
}

/// The catalog of an earlier moment, as redb gives when its last commit is damaged, beside segments and a WAL that went
/// on: files of the WAL that it still needs were written over, and segments that it does not know hold their data.
#[test]
fn a_catalog_of_an_earlier_moment_loses_nothing() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        let (explorer, image) = left_on_disk(tiny(direct), seed);
        let whole = survey(&explorer, image.clone(), "nothing is damaged");
        let mut replay = explorer.journal.replay();
        let length = explorer.journal.len();
        let stride = (length / images_per_test(60)).max(1);
        for position in (0..=length).step_by(stride) {
            replay.advance_to(position);
            let earlier = replay.image(&mut All);
            let mut damaged = image.clone();
            match earlier.read("catalog") {
                Some(catalog) => damaged.insert("catalog", &catalog),
                None => damaged.remove("catalog"),
            }
            let survey = survey(&explorer, damaged, &format!("the catalog of position {position}"));
            assert_eq!(survey, whole, "the catalog of position {position}");
        }
    }
}
