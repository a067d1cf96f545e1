//! Bits that flip in every structure of a data directory, one structure after the other: a reader or the start notices, the
//! scrub notices what lies in segments, nothing wrong is served, and nothing acknowledged is missing in silence.
//!
//! `FIRTH_SIM_IMAGES` bits of each structure flip, evenly spread; where it has no more than these, all of them.

mod layout;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use firth_log::file::recorder::{All, Image, Recorder};
use firth_log::{Direct, Engine, Options};
use firth_sim::{Explorer, Scale, Survey, environment, images_per_test, record, seed};
use layout::{Block, Stretch};

/// What a start needs of these follows from the rest.
const REBUILT: [&str; 1] = ["catalog"];
/// Nothing reads them.
const UNUSED: [&str; 4] = [
    "wal: behind a block",
    "wal: behind the blocks",
    "segment: behind the header",
    "segment: behind the footer",
];

fn options() -> Options {
    Options {
        direct: Direct::Always,
        wal_bytes_max: Some(512 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 24 * 1024,
        merge_segments: 2,
        cache_bytes: 16 * 1024,
        ..Options::default()
    }
}

const SCALE: Scale = Scale {
    producers: 2,
    steps: 80,
    in_flight: 2,
    batch_bytes: 100..3000,
    readers: 0,
    compacts: false,
};

/// A directory and what is known of it before more is damaged.
struct Before {
    explorer: Explorer,
    image: Image,
    /// Where something was lost before.
    earlier: Option<Survey>,
}

impl Before {
    /// Nothing is damaged, there are segments of each generation, and blocks that no segment holds: after the first seed
    /// from `seed` on that leaves some.
    fn whole(seed: u64) -> Before {
        let mut recorded = (seed..).map(|seed| record(options(), &SCALE, seed, 1));
        let explorer = recorded
            .find(|explorer| unsealed(&last_image(explorer)).len() > 3)
            .expect("seeds do not end");
        let image = last_image(&explorer);
        Before {
            explorer,
            image,
            earlier: None,
        }
    }

    /// A slice and a directory of the WAL were damaged, and all of it was sealed then: segments name what is lost.
    fn with_losses(seed: u64) -> Before {
        let Before {
            explorer, mut image, ..
        } = Before::whole(seed);
        let blocks = unsealed(&image);
        image.flip(&blocks[0].path, blocks[0].payload.start as u64, 0);
        image.flip(&blocks[2].path, blocks[2].directory.start as u64, 0);
        let surveyed = explorer.survey_again(image, None);
        let (earlier, image) =
            surveyed.unwrap_or_else(|violation| panic!("two blocks are damaged: {violation}"));
        Before {
            explorer,
            image,
            earlier: Some(earlier),
        }
    }

    fn survey(&self, damaged: Image) -> Result<Survey, String> {
        let survey = self.explorer.survey_again(damaged, self.earlier.as_ref());
        survey.map(|(survey, _)| survey)
    }
}

fn last_image(explorer: &Explorer) -> Image {
    explorer.journal.image(explorer.journal.len(), &mut All)
}

/// Blocks with batches that no segment holds.
fn unsealed(image: &Image) -> Vec<Block> {
    let sealed_lsn = layout::sealed_lsn(image);
    let blocks = layout::blocks(image).into_iter();
    blocks
        .filter(|block| block.lsn > sealed_lsn && !block.payload.is_empty())
        .collect()
}

/// The bound is for failures alone.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut left = 60_000;
    while !is_so() {
        assert!(left > 0, "waited in vain until {what}");
        left -= 1;
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// How the bits of one structure fared.
#[derive(Default)]
struct Count {
    bytes: u64,
    flipped: usize,
    /// What is served is less.
    noticed: usize,
    /// Of the others, those that a start or the scrub names, or that are of what is kept no more.
    scrubbed: usize,
}

/// Flips bits of each structure that the image has, each in an image of its own.
fn flip(before: &Before) -> BTreeMap<&'static str, Count> {
    let image = &before.image;
    let survey = |damaged: Image, what: &str| -> Survey {
        let survey = before.survey(damaged);
        survey.unwrap_or_else(|violation| panic!("{what}: {violation}"))
    };
    let whole = survey(image.clone(), "nothing more is damaged");
    let mut by_structure: BTreeMap<&'static str, Vec<Stretch>> = BTreeMap::new();
    for stretch in layout::stretches(image) {
        by_structure.entry(stretch.structure).or_default().push(stretch);
    }
    let scrub = Scrub::new(image);
    let counted = by_structure.into_iter().map(|(structure, stretches)| {
        let bytes = stretches
            .iter()
            .map(|stretch| stretch.bytes.end - stretch.bytes.start);
        let mut count = Count {
            bytes: bytes.sum(),
            ..Count::default()
        };
        for (stretch, position, bit) in bits(&stretches, count.bytes * 8) {
            let path = &stretch.path;
            let what = format!("{structure}: {path}, byte {position}, bit {bit}");
            let mut damaged = image.clone();
            damaged.flip(path, position, bit);
            let found = survey(damaged.clone(), &what);
            count.flipped += 1;
            let is_read = !UNUSED.contains(&structure);
            if found != whole {
                count.noticed += 1;
                let is_rebuilt = REBUILT.contains(&structure);
                assert!(is_read && !is_rebuilt, "{what}: {found:?} instead of {whole:?}");
            } else if is_read && structure.starts_with("segment: ") {
                let finds = scrub.finds(&damaged, stretch);
                finds.unwrap_or_else(|what_else| panic!("{what}: {what_else}"));
                count.scrubbed += 1;
            }
        }
        tell(structure, &count);
        (structure, count)
    });
    counted.collect()
}

/// Bits that are evenly spread over all that a structure has.
fn bits(stretches: &[Stretch], all: u64) -> impl Iterator<Item = (&Stretch, u64, u32)> {
    let count = (images_per_test(16) as u64).min(all);
    (0..count).map(move |nth| {
        let bit = nth * all / count;
        let mut position = bit / 8;
        for stretch in stretches {
            let length = stretch.bytes.end - stretch.bytes.start;
            if position < length {
                return (stretch, stretch.bytes.start + position, (bit % 8) as u32);
            }
            position -= length;
        }
        unreachable!("the bit is one of those that were counted")
    })
}

/// The scrub of images that differ from one in a bit.
struct Scrub {
    quarantined: u64,
}

impl Scrub {
    fn new(image: &Image) -> Scrub {
        let (engine, _) = Scrub::run(image);
        let stats = engine.stats();
        assert_eq!(stats.scrub_damages, 0, "{stats:?}");
        Scrub {
            quarantined: stats.quarantined,
        }
    }

    /// What is damaged is named at the start or by the scrub, but for what is kept no more.
    fn finds(&self, damaged: &Image, stretch: &Stretch) -> Result<(), String> {
        let (engine, recorder) = Scrub::run(damaged);
        let stats = engine.stats();
        let is_named = stats.quarantined > self.quarantined || stats.scrub_damages > 0;
        let is_removed = recorder.image().len(&stretch.path).is_none();
        let is_trimmed = stretch.extent.is_some_and(|(log, next_offset)| {
            engine
                .bounds(log)
                .is_none_or(|bounds| bounds.start >= next_offset)
        });
        match is_named || is_removed || is_trimmed {
            true => Ok(()),
            false => Err(format!("neither the start nor the scrub name it: {stats:?}")),
        }
    }

    /// An engine that was through with all segments, and has ended.
    fn run(image: &Image) -> (Engine, Recorder) {
        let recorder = Recorder::from_image(image.clone());
        let options = Options {
            scrub_interval: Some(Duration::ZERO),
            merge_segments: 0,
            ..options()
        };
        let engine = Engine::open(Arc::new(recorder.clone()), environment(), options).expect("it opens");
        // The first pass begins anywhere.
        until("it is scrubbed", || {
            let stats = engine.stats();
            stats.scrub_passes >= 2 || stats.segments == 0
        });
        engine.close();
        (engine, recorder)
    }
}

fn tell(structure: &str, count: &Count) {
    let Count {
        bytes,
        flipped,
        noticed,
        scrubbed,
    } = count;
    println!(
        "{structure:28} {bytes:7} bytes, {flipped:6} bits flipped, {noticed:6} cost records, {scrubbed:6} scrubbed"
    );
}

fn assert_there(counts: &BTreeMap<&'static str, Count>, structures: &[&str]) {
    for structure in structures {
        assert!(counts.contains_key(structure), "there is no {structure}");
    }
}

#[test]
fn a_bit_of_any_structure_is_noticed_or_harmless() {
    let counts = flip(&Before::whole(seed()));
    assert_there(
        &counts,
        &[
            "catalog",
            "wal: block header",
            "wal: block directory",
            "wal: payload",
            "segment: header",
            "segment: batches",
            "segment: EXTENTS",
            "segment: CHUNKS",
            "segment: PRODUCERS",
            "segment: SOURCE",
            "segment: GENERATION",
        ],
    );
}

#[test]
fn a_bit_of_what_names_losses_is_noticed_or_harmless() {
    let counts = flip(&Before::with_losses(seed()));
    assert_there(
        &counts,
        &["segment: HOLES", "segment: LOST_BLOCKS", "wal: block header"],
    );
}
