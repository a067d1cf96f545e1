//! Which names a topic may have. The rules are those of Kafka's `Topic.validate`, which every client knows.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Kafka leaves 6 of the 255 bytes that a file name may have to its own suffixes.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Why a name is none for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("a topic name may not be empty")]
    Empty,
    #[error("a topic name may not be \".\" or \"..\"")]
    Dots,
    #[error("a topic name has at most {TOPIC_NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    #[error("a topic name consists of ASCII letters, digits, '.', '_' and '-', not of {0:?}")]
    Character(char),
}

pub fn validate(name: &str) -> Result<(), InvalidName> {
    match name {
        "" => return Err(InvalidName::Empty),
        "." | ".." => return Err(InvalidName::Dots),
        _ if name.len() > TOPIC_NAME_BYTES_MAX => return Err(InvalidName::TooLong(name.len())),
        _ => {}
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().find(|c| !legal(*c)) {
        Some(c) => Err(InvalidName::Character(c)),
        None => Ok(()),
    }
}

/// A name that may collide with others: metric systems write '.' as '_', so Kafka refuses names that differ in that
/// alone. Names that do are equal here.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Colliding(Arc<str>);

impl Colliding {
    /// None for a name that collides with no other.
    pub(crate) fn new(name: Arc<str>) -> Option<Colliding> {
        name.contains(['.', '_']).then_some(Colliding(name))
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| if byte == b'.' { b'_' } else { byte })
    }
}

impl PartialEq for Colliding {
    fn eq(&self, other: &Colliding) -> bool {
        self.folded().eq(other.folded())
    }
}

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
    }
}

impl fmt::Display for Colliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_of_files_that_a_shell_could_confuse_are_refused() {
        for name in ["a", "A-z_0.9", "...", "-", "_", "x".repeat(249).as_str()] {
            assert_eq!(validate(name), Ok(()), "{name}");
        }
        for (name, error) in [
            ("", InvalidName::Empty),
            (".", InvalidName::Dots),
            ("..", InvalidName::Dots),
            ("a b", InvalidName::Character(' ')),
            ("a/b", InvalidName::Character('/')),
            ("caf\u{e9}", InvalidName::Character('\u{e9}')),
            ("nul\0", InvalidName::Character('\0')),
        ] {
            assert_eq!(validate(name), Err(error), "{name}");
        }
        assert_eq!(validate(&"x".repeat(250)), Err(InvalidName::TooLong(250)));
    }

    #[test]
    fn only_names_that_differ_in_dots_and_underscores_collide() {
        let names: HashSet<Colliding> = ["a.b_c", "a.b"].map(colliding).into();
        assert!(names.contains(&colliding("a_b.c")));
        assert!(!names.contains(&colliding("a.bb")));
        assert_eq!(Colliding::new("a-b".into()), None);
    }

    fn colliding(name: &str) -> Colliding {
        Colliding::new(name.into()).unwrap()
    }
}
