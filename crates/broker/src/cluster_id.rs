use std::fmt;

/// Characters of URL-safe base64, by their value.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 21 characters of six bits, and one for the last two.
const TEXT_LEN: usize = 22;

/// Tells clusters apart: clients and tools refuse to take one for the other. Drawn when a broker starts for the first
/// time, and the same ever after.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// The first bit is not random, so that the text never begins with the '-' of an option of the command line.
    pub(crate) fn draw(random: [u8; 16]) -> ClusterId {
        let mut id = random;
        id[0] &= 0x7f;
        ClusterId(id)
    }
}

impl fmt::Display for ClusterId {
    /// URL-safe base64 without padding: 22 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits = u128::from_be_bytes(self.0);
        for _ in 0..TEXT_LEN {
            let first_six = (bits >> 122) as usize;
            write!(f, "{}", char::from(ALPHABET[first_six]))?;
            bits <<= 6;
        }
        Ok(())
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_url_safe_base64() {
        assert_eq!(ClusterId([0; 16]).to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(ClusterId([0xff; 16]).to_string(), "_____________________w");
        let counting = std::array::from_fn(|at| at as u8 * 17);
        assert_eq!(ClusterId(counting).to_string(), "ABEiM0RVZneImaq7zN3u_w");
    }

    #[test]
    fn an_id_is_no_option() {
        for first in 0..=255 {
            let mut random = [0xaa; 16];
            random[0] = first;
            let id = ClusterId::draw(random);
            assert!(!id.to_string().starts_with('-'), "{id}");
            assert_eq!(id.0[1..], random[1..]);
        }
    }
}
