//! Links in Markdown: relative, so that they work in a clone, and with a target that exists.

use std::path::Path;

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree, root: &Path, findings: &mut Vec<Finding>) {
    for file in tree.named(".md") {
        let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (line, target) in links(&file.text) {
            let mut report = |advice: String| {
                findings.push(Finding {
                    path: file.path.clone(),
                    line,
                    rule: "links",
                    advice,
                });
            };
            let path = target.split('#').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") || path.is_empty() {
                continue;
            }
            if path.starts_with('/') {
                report(format!("`{target}` is absolute: write it relative to this file"));
            } else if !root.join(directory).join(path).exists() {
                report(format!("`{target}` does not exist: correct or remove the link"));
            }
        }
    }
}

/// The targets of `[text](target)` outside of code, each with its line from 1.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part lies between backticks.
        for part in line.split('`').step_by(2) {
            for behind in part.split("](").skip(1) {
                let target = behind.split(')').next().unwrap_or_default();
                links.push((number + 1, target.split_whitespace().next().unwrap_or_default()));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::links;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "[a](b.md#c) and [d](e \"title\")\n```\n[f](g)\n```\n`[h](i)` [`j`](k)\n";
        assert_eq!(links(text), [(1, "b.md#c"), (1, "e"), (5, "k")]);
    }
}
