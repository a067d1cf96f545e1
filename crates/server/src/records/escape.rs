//! Escapes: how characters that cannot be typed are written in formats and separators.

use anyhow::{Result, bail};

/// What stands behind a backslash: the byte, and how many characters of `rest` it took.
pub(crate) fn escape(rest: &str) -> Result<(u8, usize)> {
    let byte = match rest.as_bytes().first() {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'0') => 0,
        Some(b'\\') => b'\\',
        Some(b'x') => {
            let digits = rest
                .get(1..3)
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            return match digits.map(|digits| u8::from_str_radix(digits, 16)) {
                Some(Ok(byte)) => Ok((byte, 3)),
                _ => bail!("\\x needs two hexadecimal digits, as in \\x1f"),
            };
        }
        _ => {
            let found: String = rest.chars().take(1).collect();
            bail!("\\{found} is no escape; there are \\n \\t \\r \\0 \\\\ and \\xHH");
        }
    };
    Ok((byte, 1))
}

/// A separator, as the command line has it.
pub(crate) fn separator(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let (taken, after) = rest.split_at(character.len_utf8());
        rest = after;
        if character == '\\' {
            let (byte, length) = escape(rest)?;
            bytes.push(byte);
            rest = &rest[length..];
        } else {
            bytes.extend_from_slice(taken.as_bytes());
        }
    }
    if bytes.is_empty() {
        bail!("a separator has one character at least");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        for (text, bytes) in [
            (":", &b":"[..]),
            (r"\t", b"\t"),
            (r"a\n\r\0\\ü", b"a\n\r\0\\\xc3\xbc"),
            (r"\x00\xFF", b"\0\xff"),
        ] {
            assert_eq!(separator(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "\\", r"\q", r"\x", r"\x1", r"\x+1", "\\xü"] {
            assert!(separator(text).is_err(), "{text}");
        }
    }
}
