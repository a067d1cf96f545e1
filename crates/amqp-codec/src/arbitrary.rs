//! Values of every kind from a seed: those at the ends of their ranges more often than by chance.

use bytes::Bytes;

use crate::field_table::{FieldTable, FieldValue, TableWriter};
use crate::primitives::{LongStr, ShortStr};

/// SplitMix64.
pub(crate) struct Entropy(pub(crate) u64);

impl Entropy {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> usize {
        (self.next() % bound) as usize
    }
}

pub(crate) trait Arbitrary {
    fn arbitrary(entropy: &mut Entropy) -> Self;
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Arbitrary for $type {
            fn arbitrary(entropy: &mut Entropy) -> $type {
                match entropy.below(4) {
                    0 => $type::MIN,
                    1 => $type::MAX,
                    _ => entropy.next() as $type,
                }
            }
        }
    )*};
}

integers!(u8 u16 u32 u64);

impl Arbitrary for bool {
    fn arbitrary(entropy: &mut Entropy) -> bool {
        entropy.below(2) == 0
    }
}

fn text(entropy: &mut Entropy, length: usize) -> String {
    (0..length)
        .map(|_| ['a', 'Z', '0', '-', '.', '#', '*'][entropy.below(7)])
        .collect()
}

impl Arbitrary for ShortStr {
    fn arbitrary(entropy: &mut Entropy) -> ShortStr {
        let length = [0, 1, 5, 20, 255][entropy.below(5)];
        text(entropy, length).as_str().try_into().unwrap()
    }
}

impl Arbitrary for LongStr {
    fn arbitrary(entropy: &mut Entropy) -> LongStr {
        let length = [0, 1, 255, 256, 3000][entropy.below(5)];
        Bytes::from(text(entropy, length)).try_into().unwrap()
    }
}

impl Arbitrary for FieldTable {
    fn arbitrary(entropy: &mut Entropy) -> FieldTable {
        FieldTable::build(|table| fill(table, entropy, 3)).unwrap()
    }
}

/// The names ascend, since the oracle sorts them.
fn fill(table: &mut TableWriter<'_>, entropy: &mut Entropy, depth_left: usize) {
    for index in 0..entropy.below(6) {
        let name = format!("{index}{}", text(entropy, 3));
        match entropy.below(10) {
            0 if depth_left > 0 => {
                table.put_table(&name, |table| fill(table, entropy, depth_left - 1));
            }
            1 => {
                table.put_array(&name, |array| {
                    for _ in 0..entropy.below(4) {
                        array.push(scalar(entropy, "of an array"));
                    }
                    array.push_table(|table| fill(table, entropy, depth_left.saturating_sub(1)));
                });
            }
            _ => {
                let text = text(entropy, 9);
                table.put(&name, scalar(entropy, &text));
            }
        }
    }
}

fn scalar<'a>(entropy: &mut Entropy, text: &'a str) -> FieldValue<'a> {
    let bits = entropy.next();
    match entropy.below(15) {
        0 => FieldValue::Bool(bits & 1 == 0),
        1 => FieldValue::I8(bits as i8),
        2 => FieldValue::U8(bits as u8),
        3 => FieldValue::I16(bits as i16),
        4 => FieldValue::U16(bits as u16),
        5 => FieldValue::I32(bits as i32),
        6 => FieldValue::U32(bits as u32),
        7 => FieldValue::I64(bits as i64),
        8 => FieldValue::F32(f32::from(bits as i16) / 8.0),
        9 => FieldValue::F64(f64::from(bits as i32) / 8.0),
        10 => FieldValue::Decimal {
            scale: bits as u8,
            value: (bits >> 8) as u32,
        },
        11 => FieldValue::Timestamp(bits),
        12 => FieldValue::Bytes(text.as_bytes()),
        13 => FieldValue::Void,
        _ => FieldValue::LongStr(text.as_bytes()),
    }
}
