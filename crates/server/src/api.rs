//! The HTTP API of a broker, for the commands that administer users and queues.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::http;
use crate::password;
use crate::target::ProfileName;

/// The user who asks where nobody is named, with its name as the password. A broker takes it over loopback.
const DEFAULT_LOGIN: &str = "guest";
/// Bytes of an answer, which may be a list of very many queues.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Where a command finds the API, and who asks.
#[derive(clap::Args)]
pub(crate) struct Server {
    /// The broker, by the address of its HTTP listener [default: the profile's, else http://localhost:15672]
    #[arg(long, value_name = "http://HOST:PORT", help_heading = "Server")]
    server: Option<String>,
    #[command(flatten)]
    profile: ProfileName,
    /// The user who asks [env: FIRTH_LOGIN] [default: guest, whom a broker takes over loopback]
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    login: Option<String>,
    /// The file whose first line is that user's password [env: FIRTH_PASSWORD_FILE] [default: it is asked for]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    password_file: Option<PathBuf>,
}

impl Server {
    pub(crate) fn api(&self) -> Result<Api> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let server = self.profile.http(self.server.as_deref())?;
        let login = self.login.clone().or_else(|| variable("FIRTH_LOGIN"));
        let file = self.password_file.clone();
        let file = file.or_else(|| variable("FIRTH_PASSWORD_FILE").map(PathBuf::from));
        let password = match (&login, file) {
            (_, Some(path)) => {
                let file = File::open(&path).with_context(|| path.display().to_string())?;
                password::first_line(&mut BufReader::new(file)).with_context(|| path.display().to_string())?
            }
            (None, None) => DEFAULT_LOGIN.to_owned(),
            (Some(login), None) => password::typed(&format!("Password of {login}: "))?,
        };
        let login = login.unwrap_or_else(|| DEFAULT_LOGIN.to_owned());
        let encoded = STANDARD.encode(format!("{login}:{password}"));
        Ok(Api {
            headers: format!("Authorization: Basic {encoded}\r\nContent-Type: application/json\r\n"),
            server,
            login,
        })
    }
}

pub(crate) struct Api {
    server: String,
    login: String,
    headers: String,
}

/// An argument of what is declared.
#[derive(Clone)]
pub(crate) struct Argument {
    name: String,
    value: Value,
}

impl Argument {
    /// `NAME=VALUE`, where what is no JSON is a text.
    pub(crate) fn parse(text: &str) -> Result<Argument> {
        let Some((name, value)) = text.split_once('=') else {
            bail!("an argument is NAME=VALUE");
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        let name = name.to_owned();
        Ok(Argument { name, value })
    }
}

pub(crate) fn arguments(given: &[Argument]) -> Value {
    let fields = given
        .iter()
        .map(|argument| (argument.name.clone(), argument.value.clone()));
    Value::Object(fields.collect())
}

/// A path, of segments that may have any characters.
pub(crate) fn path<const N: usize>(segments: [&str; N]) -> String {
    let mut path = "/api".to_owned();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => path.push(byte.into()),
                other => path.push_str(&format!("%{other:02X}")),
            }
        }
    }
    path
}

impl Api {
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let body = self.ask("GET", path, "")?;
        serde_json::from_str(&body)
            .with_context(|| format!("{} gives no answer that can be read", self.server))
    }

    /// All items of a list.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>> {
        match self.get(path)? {
            Value::Array(items) => Ok(items),
            _ => bail!("{} gives no list", self.server),
        }
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<()> {
        self.ask("PUT", path, &body.to_string()).map(|_| ())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<()> {
        self.ask("POST", path, &body.to_string()).map(|_| ())
    }

    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        self.ask("DELETE", path, "").map(|_| ())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let (status, answer) = http::ask(&self.server, &format!("{method} {path}"), &self.headers, body)?;
        let mut text = String::new();
        let read = answer.take(ANSWER_BYTES_MAX).read_to_string(&mut text);
        read.with_context(|| format!("{} gives no answer that can be read", self.server))?;
        if status.starts_with('2') {
            return Ok(text);
        }
        bail!("{}", self.refusal(&status, &text))
    }

    /// What a refusal says, in a sentence.
    fn refusal(&self, status: &str, body: &str) -> String {
        let answer: Option<Value> = serde_json::from_str(body).ok();
        let reason = answer.as_ref().and_then(|answer| answer["reason"].as_str());
        let login = &self.login;
        match (status, reason) {
            ("401", Some("Login failed")) => format!(
                "{} does not let {login} in: --login and --password-file name a user and its password",
                self.server
            ),
            ("401", Some(reason)) => format!("{login} may not do that: {reason}"),
            ("404", None | Some("Not Found")) => "there is no such thing".to_owned(),
            (_, Some(reason)) => reason.to_owned(),
            (status, None) => format!("{} refused ({status}): {}", self.server, body.trim_end()),
        }
    }
}

/// A field as people read it.
pub(crate) fn shown(item: &Value, field: &str) -> String {
    match &item[field] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .map(|item| item.as_str().unwrap_or_default())
                .collect();
            items.join(",")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_a_path_may_have_any_characters() {
        assert_eq!(
            path(["queues", "/", "a b%?#\u{fc}.-_"]),
            "/api/queues/%2F/a%20b%25%3F%23%C3%BC.-_"
        );
    }
}
