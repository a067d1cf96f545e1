//! Who decides what a power failure leaves of that which was not durable.

/// A question about something that may or may not have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The journal's entry that it is about. The questions of one entry follow each other.
    pub entry: usize,
    pub part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A created, renamed or removed name. One that a later operation rests on is there with that one.
    Name,
    /// A new length: of a `set_len`, or of a write beyond the end, where it leaves zeros if the bytes are missing.
    Length,
    /// Sector `index`, from 0, of the `count` that a write touches.
    Sector { index: usize, count: usize },
}

impl Choice {
    pub(super) fn new(entry: usize, part: Part) -> Choice {
        Choice { entry, part }
    }
}

/// Answers whether that part is there.
pub trait Chooser {
    fn choose(&mut self, choice: Choice) -> bool;
}

impl<F: FnMut(Choice) -> bool> Chooser for F {
    fn choose(&mut self, choice: Choice) -> bool {
        self(choice)
    }
}

/// Everything issued is there, as after the end of the process alone.
pub struct All;

impl Chooser for All {
    fn choose(&mut self, _: Choice) -> bool {
        true
    }
}

/// Only what is durable is there.
pub struct Nothing;

impl Chooser for Nothing {
    fn choose(&mut self, _: Choice) -> bool {
        false
    }
}

/// Random subsets and tears, the same for the same seed.
///
/// Sectors that come and go one by one would make each large write a lace that no disk leaves, and a whole one next
/// to impossible. So each write has a fate of its own, and each seed its own share of writes that made it.
pub struct Seeded {
    random: SplitMix64,
    /// Of 8, how many names, lengths and writes are there.
    present: u64,
    write: Option<(usize, Fate)>,
}

#[derive(Clone, Copy)]
enum Fate {
    Absent,
    Whole,
    Before(usize),
    From(usize),
    AllBut(usize),
    Scattered,
}

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        let mut random = SplitMix64::new(seed);
        let present = 1 + random.below(7);
        Seeded {
            random,
            present,
            write: None,
        }
    }

    fn present(&mut self) -> bool {
        self.random.below(8) < self.present
    }

    fn fate(&mut self, entry: usize, count: usize) -> Fate {
        if let Some((of, fate)) = self.write
            && of == entry
        {
            return fate;
        }
        let sector = self.random.below(count as u64) as usize;
        let fate = match self.random.below(8) {
            0 => Fate::Before(sector),
            1 => Fate::From(sector),
            2 => Fate::AllBut(sector),
            3 => Fate::Scattered,
            _ if self.present() => Fate::Whole,
            _ => Fate::Absent,
        };
        self.write = Some((entry, fate));
        fate
    }
}

impl Chooser for Seeded {
    fn choose(&mut self, choice: Choice) -> bool {
        let Part::Sector { index, count } = choice.part else {
            return self.present();
        };
        match self.fate(choice.entry, count) {
            Fate::Absent => false,
            Fate::Whole => true,
            Fate::Before(sector) => index < sector,
            Fate::From(sector) => index >= sector,
            Fate::AllBut(sector) => index != sector,
            Fate::Scattered => self.random.below(2) == 0,
        }
    }
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): decisions that a seed
/// repeats.
#[derive(Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    pub fn new(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// In `0..bound`, which is not empty; the bias is of no matter at bounds this small.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_its_published_sequence() {
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.draw(), 6_457_827_717_110_365_317);
        assert_eq!(random.draw(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_seed_repeats_itself_and_seeds_differ() {
        let answers = |seed| {
            let mut seeded = Seeded::new(seed);
            let choice = |n: usize| Choice {
                entry: n / 8,
                part: Part::Sector {
                    index: n % 8,
                    count: 8,
                },
            };
            (0..256).map(|n| seeded.choose(choice(n))).collect::<Vec<_>>()
        };
        assert_eq!(answers(1), answers(1));
        assert_ne!(answers(1), answers(2));
    }
}
