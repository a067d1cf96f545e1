//! The regular expressions of permissions. They are matched in linear time, bounded in size, and hold no user's text but as literals.
//!
//! They are written for RabbitMQ, whose dialect is PCRE over bytes. What the linear-time dialect does not have (look-around, back
//! references) is refused when a permission is set. A brace that begins no repetition is a literal in PCRE, and so it is here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of an expression.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 4096;
/// Bytes of what it is compiled to, and of what matching it may take.
const COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Expressions that are kept compiled. It takes some 50 us to compile one again, for a decision that no connection remembers.
const COMPILED_MAX: usize = 256;

/// Why an expression cannot be a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the regular expression '{expression}' is not supported: {reason}")]
pub struct InvalidExpression {
    pub expression: String,
    pub reason: String,
}

/// What stands in braces within the expressions of topic permissions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Variables<'a> {
    pub(crate) username: &'a str,
    pub(crate) vhost: &'a str,
    pub(crate) client_id: Option<&'a str>,
}

/// Expressions that were compiled; a bounded number of them.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    compiled: Mutex<HashMap<String, Option<Arc<Regex>>>>,
}

impl Expressions {
    /// Whether an expression matches somewhere in the text. An empty one matches the empty text alone, as RabbitMQ has it.
    pub(crate) fn is_match(&self, expression: &str, variables: Option<&Variables<'_>>, text: &[u8]) -> bool {
        match expression {
            ".*" => return true,
            "" | "^$" => return text.is_empty(),
            _ => {}
        }
        let translated = translate(expression, variables);
        self.compile(translated).is_some_and(|regex| regex.is_match(text))
    }

    /// None if it cannot be compiled, be it that what was put in for a variable made it too large. It then matches nothing.
    fn compile(&self, translated: String) -> Option<Arc<Regex>> {
        if let Some(regex) = self.lock().get(&translated) {
            return regex.clone();
        }
        let regex = build(&translated).ok().map(Arc::new);
        let mut compiled = self.lock();
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(translated, regex.clone());
        regex
    }

    /// The map is whole whenever the lock is free.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<Regex>>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an expression can be a permission.
pub(crate) fn validate(expression: &str, variables: Option<&Variables<'_>>) -> Result<(), InvalidExpression> {
    let invalid = |reason: String| InvalidExpression {
        expression: expression.chars().take(256).collect(),
        reason,
    };
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(invalid(format!("it has more than {EXPRESSION_BYTES_MAX} bytes")));
    }
    match build(&translate(expression, variables)) {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => Err(invalid("it is too large".to_owned())),
        Err(error) => {
            // The last line says what is wrong; those before it draw where.
            let text = error.to_string();
            let reason = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            Err(invalid(reason.to_owned()))
        }
    }
}

fn build(translated: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(translated)
        .unicode(false)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
}

/// Puts in what variables stand for, as literals, and escapes braces that are literals in PCRE.
fn translate(expression: &str, variables: Option<&Variables<'_>>) -> String {
    let mut translated = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(at) = rest.find(['\\', '{']) {
        let (before, special) = rest.split_at(at);
        translated.push_str(before);
        let read = match special.starts_with('\\') {
            true => put_escape(special, &mut translated),
            false => put_brace(special, variables, &mut translated),
        };
        rest = special.get(read..).unwrap_or_default();
    }
    translated.push_str(rest);
    translated
}

/// Puts what is escaped as it is, with the brace that belongs to some escapes. Returns how many bytes were read.
fn put_escape(special: &str, translated: &mut String) -> usize {
    let mut chars = special.chars();
    translated.extend(chars.next());
    let Some(escaped) = chars.next() else {
        return 1;
    };
    translated.push(escaped);
    let read = escaped.len_utf8().saturating_add(1);
    let has_brace = matches!(escaped, 'p' | 'P' | 'x' | 'u' | 'U' | 'b') && chars.as_str().starts_with('{');
    if has_brace {
        translated.push('{');
    }
    read.saturating_add(usize::from(has_brace))
}

/// Returns how many bytes were read.
fn put_brace(special: &str, variables: Option<&Variables<'_>>, translated: &mut String) -> usize {
    let values = variables.map(|variables| {
        [
            ("{username}", Some(variables.username)),
            ("{vhost}", Some(variables.vhost)),
            ("{client_id}", variables.client_id),
        ]
    });
    for (name, value) in values.into_iter().flatten() {
        if let Some(value) = value
            && special.starts_with(name)
        {
            translated.push_str(&regex::escape(value));
            return name.len();
        }
    }
    translated.push_str(if is_repetition(special) { "{" } else { "\\{" });
    1
}

/// `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(special: &str) -> bool {
    let inside = special.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let Some((inside, _)) = inside else {
        return false;
    };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

#[cfg(test)]
mod tests;
