//! Words, quoted strings and numbers of a script's line, and how bytes are written there.

use std::fmt::Write;

use anyhow::{Context, Result, bail};

/// What is left of a line.
#[derive(Clone)]
pub(crate) struct Line<'a> {
    rest: &'a str,
}

impl<'a> Line<'a> {
    pub(crate) fn new(text: &'a str) -> Line<'a> {
        Line { rest: text.trim() }
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes `sign` if it is next, white space aside.
    pub(crate) fn skip(&mut self, sign: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(crate) fn need(&mut self, sign: &str) -> Result<()> {
        if !self.skip(sign) {
            bail!("`{sign}` is missing before `{}`", self.rest);
        }
        Ok(())
    }

    /// A word without spaces; it may be empty.
    pub(crate) fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.adjacent_word()
    }

    /// A word that begins right here, so that `key=` followed by a space is an empty value.
    pub(crate) fn adjacent_word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !is_bare(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A quoted string, repeated if `*COUNT` follows.
    pub(crate) fn quoted(&mut self) -> Result<Vec<u8>> {
        self.need("\"")?;
        let mut bytes = Vec::new();
        let mut chars = self.rest.char_indices();
        loop {
            let (at, c) = chars.next().context("a string is not closed")?;
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    break;
                }
                '\\' => match chars.next().context("a string ends with a backslash")?.1 {
                    'n' => bytes.push(b'\n'),
                    'x' => {
                        let digits: String = (0..2).filter_map(|_| chars.next()).map(|(_, c)| c).collect();
                        bytes.push(u8::from_str_radix(&digits, 16).context("two digits follow \\x")?);
                    }
                    other => bytes.extend(other.to_string().bytes()),
                },
                other => bytes.extend(other.to_string().bytes()),
            }
        }
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            let count = self.adjacent_word().parse().context("a count follows `*`")?;
            bytes = bytes.repeat(count);
        }
        Ok(bytes)
    }
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-+/=#*:$@%&^<>".contains(c)
}

/// A string as it stands after `name=`: bare where that is not ambiguous.
pub(crate) fn written(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| is_bare(c) && c != '=') => text.to_owned(),
        _ => quoted(bytes),
    }
}

/// A string in quotes. One that is a long run of one byte is written with a count.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    const RUN_MIN: usize = 64;
    if let [first, rest @ ..] = bytes
        && bytes.len() >= RUN_MIN
        && rest.iter().all(|byte| byte == first)
    {
        return format!("{}*{}", quoted(&[*first]), bytes.len());
    }
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                c if c.is_control() => push_escaped(c.to_string().as_bytes(), &mut text),
                c => text.push(c),
            }
        }
        push_escaped(chunk.invalid(), &mut text);
    }
    text.push('"');
    text
}

fn push_escaped(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        write!(text, "\\x{byte:02x}").expect("a string takes what is written to it");
    }
}

/// Bytes as `hex` and `"quoted"` pieces, up to the end of the line.
pub(crate) fn raw_bytes(line: &mut Line) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(next) = line.peek() {
        if next == '"' {
            bytes.extend(line.quoted()?);
            continue;
        }
        let word = line.word();
        if word.is_empty() || !word.len().is_multiple_of(2) {
            bail!("`{word}{}` are no whole bytes", line.rest());
        }
        for at in (0..word.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&word[at..at + 2], 16)?);
        }
    }
    Ok(bytes)
}
