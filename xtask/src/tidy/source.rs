//! Rust source as the rules read it: code with strings and comments blanked out, and comments by themselves.

use super::File;

/// A Rust file in three layers of equal length, so that an offset means the same place in each.
pub(super) struct Source {
    pub(super) path: String,
    /// As it is on disk.
    pub(super) text: String,
    /// Comments and the contents of strings and characters are spaces; line breaks stay.
    pub(super) code: String,
    /// Everything but comments is spaces; line breaks stay.
    pub(super) comments: String,
}

/// An identifier, keyword or number, or a single character of punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Code,
    Comment,
    Literal,
}

impl Source {
    pub(super) fn read(file: &File) -> Source {
        let bytes = file.text.as_bytes();
        let layers = layers(bytes);
        let only = |wanted: Layer| {
            let masked = bytes.iter().zip(&layers).map(|(&byte, &layer)| match byte {
                b'\n' => b'\n',
                _ if layer == wanted && byte.is_ascii() => byte,
                _ => b' ',
            });
            masked.map(char::from).collect::<String>()
        };
        Source {
            path: file.path.clone(),
            text: file.text.clone(),
            code: only(Layer::Code),
            comments: only(Layer::Comment),
        }
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = self.code.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    pub(super) fn tokens(&self) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        let mut rest = self.code.as_str();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                word_length(rest)
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push(Token {
                    text,
                    at: self.code.len() - rest.len(),
                });
            }
            rest = after;
        }
        tokens
    }
}

impl Token<'_> {
    pub(super) fn is_identifier(&self) -> bool {
        self.text
            .starts_with(|first: char| is_word(first) && !first.is_ascii_digit())
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Sorts every byte into a layer. Delimiters belong to what they delimit.
fn layers(bytes: &[u8]) -> Vec<Layer> {
    let mut layers = Vec::with_capacity(bytes.len());
    while layers.len() < bytes.len() {
        let rest = bytes.get(layers.len()..).unwrap_or_default();
        let (layer, length) = next(rest);
        layers.resize(layers.len() + length.clamp(1, rest.len()), layer);
    }
    layers
}

/// The layer and the length of what stands at the beginning.
fn next(rest: &[u8]) -> (Layer, usize) {
    match rest {
        [b'/', b'/', ..] => (
            Layer::Comment,
            rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        ),
        [b'/', b'*', ..] => (Layer::Comment, block_comment(rest)),
        [b'"', ..] => (Layer::Literal, quoted(rest, b'"')),
        [b'\'', ..] => quote(rest),
        [first, ..] if is_word(char::from(*first)) => word(rest),
        _ => (Layer::Code, 1),
    }
}

/// A word may be the prefix of a literal: `r"…"`, `br#"…"#`, `b'…'`, `c"…"`.
fn word(rest: &[u8]) -> (Layer, usize) {
    let length = rest
        .iter()
        .position(|&byte| !is_word(char::from(byte)))
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(length);
    let literal = match (word, after) {
        (b"r" | b"br" | b"cr", _) => raw(after),
        (b"b" | b"c", [b'"', ..]) => Some(quoted(after, b'"')),
        (b"b", [b'\'', ..]) => Some(quoted(after, b'\'')),
        _ => None,
    };
    literal.map_or((Layer::Code, length), |of_literal| {
        (Layer::Literal, length + of_literal)
    })
}

/// The length of `#"…"#` with any number of `#`; none if this is a raw identifier.
fn raw(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let end: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let body = rest.get(hashes + 1..)?;
    let found = body.windows(end.len()).position(|window| window == end);
    Some(found.map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character literal or a lifetime: `'x'` and `'\n'` end with a quote, `'static` does not.
fn quote(rest: &[u8]) -> (Layer, usize) {
    let text = String::from_utf8_lossy(rest.get(1..rest.len().min(8)).unwrap_or_default());
    let mut following = text.chars();
    match (following.next(), following.next()) {
        (Some('\\'), _) => (Layer::Literal, quoted(rest, b'\'')),
        (Some(inner), Some('\'')) => (Layer::Literal, inner.len_utf8() + 2),
        _ => (Layer::Code, 1),
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    loop {
        match rest.get(at..) {
            Some([b'/', b'*', ..]) => (depth, at) = (depth + 1, at + 2),
            Some([b'*', b'/', ..]) if depth == 1 => return at + 2,
            Some([b'*', b'/', ..]) => (depth, at) = (depth - 1, at + 2),
            Some([_, ..]) => at += 1,
            _ => return rest.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::read(&File {
            path: "a.rs".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        let cases = [
            (r#"let a = "fn {"; b"#, "let a = ; b"),
            (r#"let a = "\"{"; b"#, "let a = ; b"),
            (r##"let a = r#"{"{"#; b"##, "let a = ; b"),
            (r#"let a = br"\"; b"#, "let a = ; b"),
            (r#"let a = b"{"; b"#, "let a = ; b"),
            ("a /* { /* } */ */ b", "a b"),
            ("a // {\nb", "a b"),
            (r"'{' b'{' '\'' '\u{7b}' b", "b"),
            ("fn f<'a>(x: &'a str) {}", "fn f < ' a > ( x : & ' a str ) { }"),
            ("r#fn(1)", "r # fn ( 1 )"),
            ("'ü' x", "x"),
        ];
        for (text, tokens) in cases {
            let read = source(text);
            let found: Vec<_> = read.tokens().iter().map(|token| token.text).collect();
            assert_eq!(found.join(" "), tokens, "of {text}");
            assert_eq!(read.code.len(), text.len(), "an offset in {text} moved");
        }
    }

    #[test]
    fn comments_stand_at_their_place() {
        let read = source("let a = \"// no\"; // yes\n");
        assert_eq!(read.comments.trim_end(), format!("{}// yes", " ".repeat(17)));
        assert_eq!(read.text.len(), read.comments.len());
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for text in ["\"", "r#\"", "/*", "'", "'\\", "b'", "\"\\"] {
            assert_eq!(source(text).code.len(), text.len());
        }
    }

    #[test]
    fn tokens_are_words_and_single_signs() {
        let read = source("fn next_1(&self);");
        let texts: Vec<_> = read.tokens().iter().map(|token| token.text).collect();
        assert_eq!(texts, ["fn", "next_1", "(", "&", "self", ")", ";"]);
    }
}
