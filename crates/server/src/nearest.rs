/// Of `names`, the one that takes the fewest edits to become `word`.
pub(crate) fn nearest(word: &str, names: impl IntoIterator<Item = String>) -> String {
    names
        .into_iter()
        .min_by_key(|name| distance(word, name))
        .unwrap_or_default()
}

/// The same where somebody may have meant nothing of the kind: only what takes few edits for its length.
pub(crate) fn similar(word: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let found = nearest(&word.to_lowercase(), names);
    let edits = distance(&word.to_lowercase(), &found.to_lowercase());
    let is_similar = !found.is_empty() && edits <= 1 + word.chars().count() / 4;
    is_similar.then_some(found)
}

/// Levenshtein's distance, where two characters that changed places are one edit.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut edits = substituted.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(before[j - 2] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("two", "tow", 1),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }

    #[test]
    fn what_nobody_can_have_meant_is_not_similar() {
        let names = || ["flights", "orders"].map(str::to_owned);
        assert_eq!(similar("flihgts", names()).as_deref(), Some("flights"));
        assert_eq!(similar("Orders", names()).as_deref(), Some("orders"));
        assert_eq!(similar("metrics", names()), None);
        assert_eq!(similar("x", []), None);
    }
}
