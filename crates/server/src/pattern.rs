//! Names with wildcards, as shells have them: `*` stands for any characters, `?` for one.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: &str) -> Pattern {
        Pattern(text.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it may stand for more than one name.
    pub(crate) fn is_wild(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut place) = (0, 0);
        // Where the last star was, and how far it reached: a longer reach is tried when what follows does not fit.
        let mut star: Option<(usize, usize)> = None;
        while place < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, place));
                    at += 1;
                }
                Some(expected) if *expected == '?' || *expected == name[place] => {
                    at += 1;
                    place += 1;
                }
                _ => match &mut star {
                    Some((star_at, reach)) => {
                        *reach += 1;
                        (at, place) = (*star_at + 1, *reach);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|rest| *rest == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c*e", "abcde", true),
            ("a*b", "aabab", true),
            ("a*b", "aaba", false),
            ("?b?", "abc", true),
            ("?", "", false),
            ("", "", true),
            ("sensors.*", "sensors.a.b", true),
            ("sensors.*", "sensors", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), matches, "{pattern} {name}");
        }
    }
}
