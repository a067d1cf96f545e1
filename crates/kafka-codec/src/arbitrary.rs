//! Messages with random contents, for the tests. A message is a function of one number, which a failing test prints.

use bytes::Bytes;
use smallvec::{Array, SmallVec};

use crate::error_code::ErrorCode;
use crate::primitives::{ByteStr, Float64, Records, Uuid};

/// SplitMix64.
pub(crate) struct Entropy(pub(crate) u64);

impl Entropy {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).unwrap()
    }
}

pub(crate) trait Arbitrary {
    fn arbitrary(entropy: &mut Entropy) -> Self;
}

macro_rules! integer {
    ($($type:ident),*) => {$(
        impl Arbitrary for $type {
            fn arbitrary(entropy: &mut Entropy) -> $type {
                match entropy.below(8) {
                    0 => 0,
                    1 => (0 as $type).wrapping_sub(1),
                    2 => $type::MIN,
                    3 => $type::MAX,
                    _ => entropy.next() as $type,
                }
            }
        }
    )*};
}

integer!(i8, i16, i32, i64, u8, u16, u64);

impl Arbitrary for bool {
    fn arbitrary(entropy: &mut Entropy) -> bool {
        entropy.below(2) == 0
    }
}

impl Arbitrary for Float64 {
    fn arbitrary(entropy: &mut Entropy) -> Float64 {
        let whole = f64::from(i32::arbitrary(entropy));
        [0.0, f64::INFINITY, whole, whole / 8.0][entropy.below(4)].into()
    }
}

impl Arbitrary for Uuid {
    fn arbitrary(entropy: &mut Entropy) -> Uuid {
        let bits = (u128::from(entropy.next()) << 64) | u128::from(entropy.next());
        Uuid(bits.to_be_bytes())
    }
}

impl Arbitrary for ErrorCode {
    fn arbitrary(entropy: &mut Entropy) -> ErrorCode {
        ErrorCode::ALL[entropy.below(ErrorCode::ALL.len() as u64)]
    }
}

impl Arbitrary for ByteStr {
    fn arbitrary(entropy: &mut Entropy) -> ByteStr {
        // 126 and more need a length prefix of two bytes.
        let length = [0, 1, 5, 20, 126, 127, 128, 300][entropy.below(8)];
        (0..length)
            .map(|_| ['a', 'Z', '0', '-', '.', 'ß', '文'][entropy.below(7)])
            .collect::<String>()
            .into()
    }
}

impl Arbitrary for Bytes {
    fn arbitrary(entropy: &mut Entropy) -> Bytes {
        // On both sides of what is copied and of the longer length prefixes.
        let length = [0, 1, 61, 127, 255, 256, 257, 20_000][entropy.below(8)];
        (0..length).map(|_| entropy.next() as u8).collect()
    }
}

impl Arbitrary for Records {
    fn arbitrary(entropy: &mut Entropy) -> Records {
        (0..entropy.below(4)).map(|_| Bytes::arbitrary(entropy)).collect()
    }
}

impl<T: Arbitrary> Arbitrary for Option<T> {
    // Rarely null, because a null in a version without it makes the whole message unusable.
    fn arbitrary(entropy: &mut Entropy) -> Option<T> {
        (entropy.below(12) > 0).then(|| T::arbitrary(entropy))
    }
}

impl<T: Arbitrary> Arbitrary for Vec<T> {
    fn arbitrary(entropy: &mut Entropy) -> Vec<T> {
        (0..[0, 1, 1, 2, 3][entropy.below(5)])
            .map(|_| T::arbitrary(entropy))
            .collect()
    }
}

impl<A: Array> Arbitrary for SmallVec<A>
where
    A::Item: Arbitrary,
{
    fn arbitrary(entropy: &mut Entropy) -> SmallVec<A> {
        Vec::arbitrary(entropy).into()
    }
}
