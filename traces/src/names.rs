//! Names that a server makes up, and what else differs from run to run.

use crate::method::{Call, Field};
use crate::value::{Table, Value};

/// What a made-up name begins with. The rest of it is replaced by a number, from 1 for the first that a scenario sees.
const MADE_UP: &[&str] = &["amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to."];
/// Of what a server says about itself, the rest is its own affair.
const SERVER_PROPERTIES: &[&str] = &["capabilities", "product", "version"];

/// The made-up names of one scenario, and what stands for them in its trace.
#[derive(Default)]
pub(crate) struct Names {
    known: Vec<(String, String)>,
}

impl Names {
    /// A server's text as the trace has it.
    pub(crate) fn hide(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((at, prefix)) = first_made_up(rest) {
            let (before, found) = rest.split_at(at);
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_-+/=.".contains(c);
            let tail = &found[prefix.len()..];
            let length = tail.find(|c| !is_name(c)).unwrap_or(tail.len());
            let (name, after) = found.split_at(prefix.len() + length);
            out.push_str(before);
            if length == 0 {
                out.push_str(name);
            } else {
                out.push_str(&self.alias(prefix, name));
            }
            rest = after;
        }
        // Quotes are for what the name was made of, and that is hidden now.
        let unquoted = |text: String, alias: &String| text.replace(&format!("\"{alias}\""), alias);
        self.known
            .iter()
            .map(|(_, alias)| alias)
            .fold(out + rest, unquoted)
    }

    fn alias(&mut self, prefix: &str, name: &str) -> String {
        if let Some((_, alias)) = self.known.iter().find(|(known, _)| known == name) {
            return alias.clone();
        }
        let of_kind = self
            .known
            .iter()
            .filter(|(_, alias)| alias.starts_with(prefix))
            .count();
        let alias = format!("{prefix}{}", of_kind + 1);
        self.known.push((name.to_owned(), alias.clone()));
        alias
    }

    /// A script's text with the names that the server knows.
    pub(crate) fn reveal(&self, text: &str) -> String {
        // The latest first, so that the first is not found in the eleventh.
        let latest_first = self.known.iter().rev();
        latest_first.fold(text.to_owned(), |text, (name, alias)| {
            text.replace(alias.as_str(), name)
        })
    }
}

fn first_made_up(text: &str) -> Option<(usize, &'static str)> {
    let found = MADE_UP
        .iter()
        .filter_map(|prefix| Some((text.find(prefix)?, *prefix)));
    found.min()
}

/// Leaves of a server's properties what clients rely on.
pub(crate) fn mask_server(call: &mut Call) {
    if let Some(Field::Table(Table(entries))) = call.field_mut("server-properties") {
        entries.retain(|(key, _)| SERVER_PROPERTIES.iter().any(|kept| kept.as_bytes() == key));
        for (key, value) in entries.iter_mut() {
            if matches!(value, Value::String(_)) {
                *value = Value::String([b"<", key.as_slice(), b">"].concat());
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
    }
}
