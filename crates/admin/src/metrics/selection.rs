//! What of topics and groups a scrape asks for: the query of its URL, as Prometheus' `params` gives it.

use crate::query::decoded;

/// Patterns of one kind in a URL at most.
const PATTERNS_MAX: usize = 64;

/// All that there is, unless it says otherwise.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Patterns of names; none are all.
    topics: Vec<String>,
    groups: Vec<String>,
    /// Samples of single partitions are left out.
    without_partitions: bool,
}

impl Selection {
    /// # Errors
    /// A sentence about what cannot be asked for.
    pub(crate) fn of_query(query: &str) -> Result<Selection, String> {
        let mut selection = Selection::default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = decoded(value).ok_or_else(|| format!("the value of {name} is no UTF-8"))?;
            match (name, value.as_ref()) {
                ("topic", _) => selection.topics.push(value.into_owned()),
                ("group", _) => selection.groups.push(value.into_owned()),
                ("partitions", "true") => selection.without_partitions = false,
                ("partitions", "false") => selection.without_partitions = true,
                ("partitions", other) => return Err(format!("partitions is true or false, not {other:?}")),
                (other, _) => {
                    return Err(format!(
                        "{other:?} cannot be asked for: there are topic=PATTERN, group=PATTERN and partitions=false"
                    ));
                }
            }
        }
        if selection.topics.len().max(selection.groups.len()) > PATTERNS_MAX {
            return Err(format!("more than {PATTERNS_MAX} patterns"));
        }
        Ok(selection)
    }

    pub(super) fn has_topic(&self, name: &str) -> bool {
        matches_any(&self.topics, name)
    }

    pub(super) fn has_group(&self, id: &str) -> bool {
        matches_any(&self.groups, id)
    }

    pub(super) fn has_partitions(&self) -> bool {
        !self.without_partitions
    }
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether a name is that of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place of each part is as good as any other, as what follows may be anywhere behind it.
    for part in middle.split('*') {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let yes = [
            ("", ""),
            ("a", "a"),
            ("*", ""),
            ("*", "a"),
            ("a*", "a"),
            ("a*", "ab"),
            ("*b", "ab"),
            ("a*c", "abbc"),
            ("a*b*c", "aabbcc"),
            ("*b*", "abc"),
            ("a**c", "ac"),
            ("*ü*", "für"),
        ];
        for (pattern, name) in yes {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        let no = [
            ("", "a"),
            ("a", "ab"),
            ("a*", "ba"),
            ("*b", "ba"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("*b*b*", "b"),
        ];
        for (pattern, name) in no {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_query_selects() {
        let all = Selection::of_query("").unwrap();
        assert!(all.has_topic("t") && all.has_group("g") && all.has_partitions());
        let some = Selection::of_query("topic=a*&topic=b%2Fc&group=g+1&partitions=false").unwrap();
        assert_eq!(
            [some.has_topic("ab"), some.has_topic("b/c"), some.has_topic("c")],
            [true, true, false]
        );
        assert_eq!(
            [some.has_group("g 1"), some.has_group("g"), some.has_partitions()],
            [true, false, false]
        );
        let error = Selection::of_query("topics=a").unwrap_err();
        assert!(error.starts_with("\"topics\" cannot be asked for"), "{error}");
        Selection::of_query("partitions=no").unwrap_err();
        Selection::of_query("topic=%ff").unwrap_err();
        assert!(Selection::of_query("topic=100%").unwrap().has_topic("100%"));
        Selection::of_query(&"group=g&".repeat(PATTERNS_MAX + 1)).unwrap_err();
    }
}
