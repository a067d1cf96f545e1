//! Dead files: a Rust file that no `mod` reaches is not compiled, and nobody notices that it is wrong.

use std::collections::BTreeSet;

use super::source::{Source, Token};
use super::{File, Finding, Tree};

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut waiting = Vec::new();
    for manifest in tree.named("Cargo.toml") {
        let package = manifest.path.strip_suffix("Cargo.toml").unwrap_or_default();
        let roots = tree
            .rust
            .iter()
            .filter(|source| is_root(manifest, package, &source.path));
        waiting.extend(roots.map(|source| source.path.clone()));
    }
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let roots: BTreeSet<String> = waiting.iter().cloned().collect();
    while let Some(path) = waiting.pop() {
        let Some(source) = tree.rust.iter().find(|source| source.path == path) else {
            continue;
        };
        if reached.insert(path.clone()) {
            waiting.extend(children(source, roots.contains(&path)));
        }
    }
    for source in tree.rust.iter().filter(|source| !reached.contains(&source.path)) {
        let advice = "no `mod` leads to this file: declare it or delete it".to_owned();
        findings.push(Finding {
            path: source.path.clone(),
            line: 1,
            rule: "modules",
            advice,
        });
    }
}

/// Whether cargo compiles this file of a package as the root of a crate.
fn is_root(manifest: &File, package: &str, path: &str) -> bool {
    let Some(inside) = path.strip_prefix(package) else {
        return false;
    };
    let targets = ["tests/", "benches/", "examples/", "src/bin/"];
    let in_target = targets.iter().filter_map(|target| inside.strip_prefix(target));
    let found = in_target
        .map(|rest| !rest.contains('/') || (rest.ends_with("/main.rs") && rest.matches('/').count() == 1));
    let named = format!("path = \"{inside}\"");
    matches!(inside, "src/lib.rs" | "src/main.rs" | "build.rs")
        || found.into_iter().any(|root| root)
        || manifest.text.lines().any(|line| line.trim() == named)
}

/// The paths at which the modules that a file declares may lie; those that do not exist are none.
fn children(source: &Source, is_root: bool) -> Vec<String> {
    let (directory, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let own = if is_root || stem == "mod" {
        directory.to_owned()
    } else {
        join(directory, stem)
    };

    let tokens = source.tokens();
    let mut children = Vec::new();
    let mut inline: Vec<(&str, usize)> = Vec::new();
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match (token.text, tokens.get(index + 1), tokens.get(index + 2)) {
            ("{", ..) => depth += 1,
            ("}", ..) => {
                depth = depth.saturating_sub(1);
                inline.retain(|&(_, opened_at)| opened_at < depth);
            }
            ("mod", Some(name), Some(Token { text: "{", .. })) => inline.push((name.text, depth)),
            ("mod", Some(name), Some(Token { text: ";", .. })) => {
                let within = inline
                    .iter()
                    .fold(own.clone(), |path, (module, _)| join(&path, module));
                children.push(join(&within, &format!("{}.rs", name.text)));
                children.push(join(&within, &format!("{}/mod.rs", name.text)));
            }
            ("path", Some(Token { text: "=", .. }), _) | ("include", Some(Token { text: "!", .. }), _) => {
                children.extend(literal_after(source, token.at).map(|path| join(directory, path)));
            }
            _ => {}
        }
    }
    children
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

/// The string on the same line behind an offset: the operand of `#[path = "…"]` or `include!("…")`.
fn literal_after(source: &Source, at: usize) -> Option<&str> {
    source.text.get(at..)?.lines().next()?.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::super::findings_of;
    use super::check;

    #[test]
    fn a_file_that_no_mod_reaches_is_dead() {
        let found = findings_of(
            check,
            &[
                ("c/Cargo.toml", "[[bin]]\npath = \"other/tool.rs\"\n"),
                (
                    "c/src/lib.rs",
                    "mod a;\nmod inner { pub mod b; }\n// mod dead;\n#[path = \"odd.rs\"]\nmod even;\n",
                ),
                ("c/src/a.rs", "#[cfg(test)]\nmod tests;\n"),
                ("c/src/a/tests.rs", ""),
                ("c/src/inner/b.rs", ""),
                ("c/src/dead.rs", "mod deader;\n"),
                ("c/src/odd.rs", ""),
                ("c/src/d/mod.rs", ""),
                ("c/tests/whole.rs", "mod side;\n"),
                ("c/tests/side/mod.rs", "mod inside;\n"),
                ("c/tests/side/inside.rs", ""),
                ("c/tests/crash/main.rs", ""),
                ("c/other/tool.rs", ""),
            ],
        );
        assert_eq!(found, ["c/src/d/mod.rs:1: modules", "c/src/dead.rs:1: modules"]);
    }
}
