//! Variable-length integers as records use them: zigzag, then seven bits a byte, the lowest first, the high bit set on
//! all bytes but the last. A reader takes the bytes off the front of its slice.

use crate::Error;

const CONTINUES: u8 = 0x80;
const LOW_SEVEN: u8 = 0x7f;

#[inline]
pub(crate) fn read_i32(bytes: &mut &[u8], what: &'static str) -> Result<i32, Error> {
    let value = read_i64(bytes, what)?;
    i32::try_from(value).map_err(|_| Error::Malformed { what, value })
}

#[inline]
pub(crate) fn read_i64(bytes: &mut &[u8], what: &'static str) -> Result<i64, Error> {
    // Most lengths and deltas are one byte.
    if let Some((&first, rest)) = bytes.split_first()
        && first < CONTINUES
    {
        *bytes = rest;
        return Ok(unzigzag(first.into()));
    }
    read_long(bytes, what)
}

fn read_long(bytes: &mut &[u8], what: &'static str) -> Result<i64, Error> {
    let mut value = 0u64;
    let mut rest = *bytes;
    for shift in (0..u64::BITS).step_by(7) {
        let Some((&byte, after)) = rest.split_first() else {
            return Err(Error::Malformed {
                what,
                value: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            });
        };
        rest = after;
        let bits = u64::from(byte & LOW_SEVEN);
        // The tenth byte has room for one bit.
        if bits.leading_zeros() < shift {
            break;
        }
        value |= bits.wrapping_shl(shift);
        if byte < CONTINUES {
            *bytes = rest;
            return Ok(unzigzag(value));
        }
    }
    Err(Error::Malformed {
        what,
        value: i64::MAX,
    })
}

#[inline]
pub(crate) fn write(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= CONTINUES.into() {
        out.push(rest as u8 | CONTINUES);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes that [`write`] takes for `value`.
#[inline]
pub(crate) fn len(value: i64) -> usize {
    let bits = u64::BITS.saturating_sub(zigzag(value).leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

#[inline]
fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ value.wrapping_shr(63)).cast_unsigned()
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, value);
        out
    }

    #[test]
    fn matches_known_encodings() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i32::MAX.into(), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN.into(), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (
                i64::MIN,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            ),
        ] {
            assert_eq!(written(value), bytes, "{value}");
            assert_eq!(read_i64(&mut &bytes[..], "x"), Ok(value));
        }
    }

    #[test]
    fn what_does_not_fit_or_does_not_end_is_malformed() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff; 9],
            &[0xff; 10],
            &[0xff; 11],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
        ] {
            let mut rest = bytes;
            assert!(
                matches!(read_i64(&mut rest, "x"), Err(Error::Malformed { what: "x", .. })),
                "{bytes:?}"
            );
            assert_eq!(rest, bytes, "a failed read takes nothing");
        }
        let beyond = written(i64::from(i32::MAX) + 1);
        assert!(read_i32(&mut &beyond[..], "x").is_err());
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(value: i64, tail: Vec<u8>) {
            let mut bytes = written(value);
            prop_assert_eq!(bytes.len(), len(value));
            bytes.extend(&tail);
            let mut rest = &bytes[..];
            prop_assert_eq!(read_i64(&mut rest, "x"), Ok(value));
            prop_assert_eq!(rest, &tail[..]);
        }

        #[test]
        fn no_bytes_make_a_read_panic(bytes: Vec<u8>) {
            let _ = read_i64(&mut &bytes[..], "x");
            let _ = read_i32(&mut &bytes[..], "x");
        }
    }
}
