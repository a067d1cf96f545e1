//! Which names a topic may have. The rules are those of Kafka's `Topic.validate`, which every client knows.

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

pub(crate) fn validate(name: &str) -> Result<(), InvalidName> {
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

/// What two names must not share: metric systems write '.' as '_', so Kafka refuses names that differ in that alone.
/// None for a name that collides with no other.
pub(crate) fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a.b"), collision_key("a.bb"));
        assert_eq!(collision_key("a-b"), None);
    }
}
