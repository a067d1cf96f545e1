//! Small files and small functions. What is larger stands in `ratchets.txt` with its size, which may only fall.

use super::source::{Source, Token};
use super::{File, Finding, Tree};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const RATCHETS: &str = "xtask/ratchets.txt";

/// `path` for a file, `path function` for a function, then the allowed number of lines.
struct Ratchet {
    of: String,
    lines: usize,
    line: usize,
    used: bool,
}

struct Function<'a> {
    name: &'a str,
    at: usize,
    lines: usize,
}

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut ratchets = ratchets(tree, findings);
    for file in &tree.files {
        if file.path.ends_with(".rs") || file.path.ends_with(".py") {
            let lines = file.text.lines().count();
            hold(
                &mut ratchets,
                &file.path,
                (&file.path, lines, lines),
                FILE_LINES_MAX,
                findings,
            );
        }
    }
    for source in &tree.rust {
        for function in functions(source) {
            let of = format!("{} {}", source.path, function.name);
            let line = source.line(function.at);
            hold(
                &mut ratchets,
                &of,
                (&source.path, line, function.lines),
                FUNCTION_LINES_MAX,
                findings,
            );
        }
    }
    for ratchet in ratchets.iter().filter(|ratchet| !ratchet.used) {
        let advice = format!("`{}` is within the limit or gone: remove this line", ratchet.of);
        findings.push(finding(RATCHETS, ratchet.line, advice));
    }
}

/// Compares one size with its ratchet, or with the limit where it has none.
fn hold(
    ratchets: &mut [Ratchet],
    of: &str,
    (path, line, lines): (&str, usize, usize),
    max: usize,
    findings: &mut Vec<Finding>,
) {
    if lines <= max {
        return;
    }
    let Some(ratchet) = ratchets.iter_mut().find(|ratchet| ratchet.of == of) else {
        findings.push(finding(
            path,
            line,
            format!("{lines} lines are over {max}: split it along what it does"),
        ));
        return;
    };
    ratchet.used = true;
    if lines > ratchet.lines {
        let advice = format!(
            "grew from {} to {lines} lines: a ratchet only falls, so split it",
            ratchet.lines
        );
        findings.push(finding(path, line, advice));
    } else if lines < ratchet.lines {
        let advice = format!(
            "`{of}` has {lines} lines now: lower the ratchet from {} to that",
            ratchet.lines
        );
        findings.push(finding(RATCHETS, ratchet.line, advice));
    }
}

fn finding(path: &str, line: usize, advice: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        rule: "sizes",
        advice,
    }
}

fn ratchets(tree: &Tree, findings: &mut Vec<Finding>) -> Vec<Ratchet> {
    let mut ratchets = Vec::new();
    let text = tree
        .named(RATCHETS)
        .map(|file: &File| file.text.as_str())
        .next()
        .unwrap_or_default();
    for (number, row) in text.lines().enumerate() {
        let (row, line) = (row.trim(), number + 1);
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        match row.rsplit_once(' ').map(|(of, lines)| (of.trim(), lines.parse())) {
            Some((of, Ok(lines))) => ratchets.push(Ratchet {
                of: of.to_owned(),
                lines,
                line,
                used: false,
            }),
            _ => findings.push(finding(
                RATCHETS,
                line,
                "write `path lines` or `path function lines`".to_owned(),
            )),
        }
    }
    ratchets
}

/// All functions that have a body, from the line of `fn` to that of the closing brace. Inner ones count in the outer too.
fn functions(source: &Source) -> Vec<Function<'_>> {
    let tokens = source.tokens();
    let mut functions = Vec::new();
    for (index, pair) in tokens.windows(2).enumerate() {
        let [keyword, name] = pair else { continue };
        if keyword.text == "fn"
            && name.is_identifier()
            && let Some(end) = tokens.get(index..).and_then(end_of_body)
        {
            let lines = source.line(end) + 1 - source.line(keyword.at);
            functions.push(Function {
                name: name.text,
                at: keyword.at,
                lines,
            });
        }
    }
    functions
}

/// The offset of the brace that closes the body; none for a declaration, which ends with a semicolon.
fn end_of_body(tokens: &[Token<'_>]) -> Option<usize> {
    let (mut nested, mut braces) = (0_usize, 0_usize);
    for token in tokens {
        match token.text {
            "(" | "[" => nested += 1,
            ")" | "]" => nested = nested.saturating_sub(1),
            ";" if nested == 0 && braces == 0 => return None,
            "{" if nested == 0 || braces > 0 => braces += 1,
            "}" if braces == 1 => return Some(token.at),
            "}" => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::findings_of;
    use super::*;

    fn lengths(text: &str) -> Vec<(String, usize)> {
        let source = Source::read(&File {
            path: "a.rs".to_owned(),
            text: text.to_owned(),
        });
        functions(&source)
            .iter()
            .map(|function| (function.name.to_owned(), function.lines))
            .collect()
    }

    #[test]
    fn a_function_ends_with_its_own_brace() {
        let text = "fn a(x: [u8; 4]) {\n if x { \"}\" } // }\n}\nfn b();\nfn c() where [(); 1]: Sized {\n fn d() {}\n}\n";
        let expected = [("a", 3), ("c", 3), ("d", 1)];
        assert_eq!(
            lengths(text),
            expected.map(|(name, lines)| (name.to_owned(), lines))
        );
    }

    #[test]
    fn a_function_pointer_is_no_function() {
        assert_eq!(lengths("type F = fn(u8) -> u8;\nstruct S { f: fn() }\n"), []);
    }

    #[test]
    fn a_long_function_is_found() {
        let long = format!("fn long() {{\n{}}}\n", "a();\n".repeat(69));
        assert_eq!(findings_of(check, &[("a.rs", &long)]), ["a.rs:1: sizes"]);
        let fits = format!("fn fits() {{\n{}}}\n", "a();\n".repeat(68));
        assert_eq!(findings_of(check, &[("a.rs", &fits)]), [""; 0]);
    }

    #[test]
    fn a_ratchet_holds_exactly_and_falls() {
        let file = "// line\n".repeat(900);
        let with = |ratchets: &str| findings_of(check, &[("a.rs", &file), (RATCHETS, ratchets)]);
        assert_eq!(with("# why\na.rs 900\n"), [""; 0]);
        assert_eq!(with("a.rs 899\n"), ["a.rs:900: sizes"]);
        assert_eq!(with("a.rs 901\n"), ["xtask/ratchets.txt:1: sizes"]);
        assert_eq!(with("a.rs 900\nb.rs 900\n"), ["xtask/ratchets.txt:2: sizes"]);
        assert_eq!(
            with("a.rs many\n"),
            ["a.rs:900: sizes", "xtask/ratchets.txt:1: sizes"]
        );
    }
}
