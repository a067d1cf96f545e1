//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Every rule reads the files that git knows or would add, and reports lines of the form `path:line: rule: what to do`.
//! Rust is read through [`source::Source`], which blanks out strings and comments, so a rule sees code alone where it means code.
//!
//! | rule      | what it holds                                                                                            |
//! | --------- | -------------------------------------------------------------------------------------------------------- |
//! | edges     | which crate may depend on which; codecs are free of I/O, serialization frameworks and logging            |
//! | neutral   | no identifier and no file name in `broker`, `log` and `batch` contains the name of a protocol. Comments  |
//! |           | and strings may name the format that a layout comes from; tests may name the client a vector comes from  |
//! | sizes     | files of at most 800 lines, functions of at most 70; exceptions stand in `ratchets.txt` and only shrink  |
//! | words     | no unfinished work, no names that say nothing                                                            |
//! | unsafe    | `allow(unsafe_code)` only in the modules named in `words.rs`, each with its reason                       |
//! | modules   | every Rust file is reached from a crate root                                                             |
//! | links     | links in Markdown are relative, and their targets exist                                                  |

mod edges;
mod links;
mod modules;
mod sizes;
mod source;
mod words;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::root;
use source::Source;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1.
    line: usize,
    rule: &'static str,
    advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.advice)
    }
}

/// A text file of the project, by its path from the root of the workspace.
struct File {
    path: String,
    text: String,
}

/// All that the rules read.
struct Tree {
    files: Vec<File>,
    rust: Vec<Source>,
}

pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(&root())?;
    let mut findings = Vec::new();
    edges::check(&tree, &mut findings);
    sizes::check(&tree, &mut findings);
    words::check(&tree, &mut findings);
    modules::check(&tree, &mut findings);
    links::check(&tree, &root(), &mut findings);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    println!(
        "tidy: {} files, {} of them Rust, nothing to say",
        tree.files.len(),
        tree.rust.len()
    );
    Ok(())
}

impl Tree {
    fn read(root: &Path) -> Result<Tree> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("tidy asks git which files belong to the project")?;
        if !listing.status.success() {
            bail!(
                "git ls-files failed: {}",
                String::from_utf8_lossy(&listing.stderr)
            );
        }
        let mut files = Vec::new();
        for path in String::from_utf8(listing.stdout)?.split_terminator('\0') {
            // A file that is deleted but not yet committed is still listed, and a test vector is not text.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.push(File {
                    path: path.to_owned(),
                    text,
                });
            }
        }
        Ok(Tree::of(files))
    }

    fn of(files: Vec<File>) -> Tree {
        let rust = files
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
            .map(Source::read)
            .collect();
        Tree { files, rust }
    }

    fn named<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.ends_with(suffix))
    }
}

/// Whether a file holds tests alone, by the conventions of the project.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.contains("/tests/")
        || path.contains("/benches/")
}

#[cfg(test)]
fn findings_of(check: impl Fn(&Tree, &mut Vec<Finding>), files: &[(&str, &str)]) -> Vec<String> {
    let file = |(path, text): &(&str, &str)| File {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    let mut findings = Vec::new();
    check(&Tree::of(files.iter().map(file).collect()), &mut findings);
    findings.sort();
    findings
        .iter()
        .map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.rule))
        .collect()
}
