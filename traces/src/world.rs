//! What a scenario needs beside connections, made through the HTTP API that RabbitMQ has: users, their permissions, virtual hosts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

const PATIENCE: Duration = Duration::from_secs(20);

/// What was made, to be removed when the scenario is over.
pub(crate) struct World<'a> {
    management: &'a str,
    vhost: &'a str,
    made: Vec<String>,
}

impl<'a> World<'a> {
    pub(crate) fn new(management: &'a str, vhost: &'a str) -> World<'a> {
        World {
            management,
            vhost,
            made: Vec::new(),
        }
    }

    /// `user NAME configure=REGEX write=REGEX read=REGEX`, whose password is its name, or `vhost NAME`.
    pub(crate) fn make(&mut self, directive: &str) -> Result<()> {
        let mut words = directive.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let name = words.next().context("what is made has a name")?;
        let pattern = |key: &str| {
            let found = words
                .clone()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            escaped(found.unwrap_or_default())
        };
        match kind {
            "vhost" => {
                self.put(&format!("/api/vhosts/{name}"), "{}")?;
                self.allow(name, "guest", ".*", ".*", ".*")?;
            }
            "user" => {
                let user = format!(r#"{{"password":"{name}","tags":""}}"#);
                self.put(&format!("/api/users/{name}"), &user)?;
                if words.clone().next().is_some() {
                    let (configure, write, read) = (pattern("configure"), pattern("write"), pattern("read"));
                    self.allow(self.vhost, name, &configure, &write, &read)?;
                }
            }
            "topic-permission" => {
                let body = format!(
                    r#"{{"exchange":"{}","write":"{}","read":"{}"}}"#,
                    pattern("exchange"),
                    pattern("write"),
                    pattern("read")
                );
                self.put(
                    &format!("/api/topic-permissions/{}/{name}", percent(self.vhost)),
                    &body,
                )?;
            }
            _ => bail!("there is no directive `{directive}`"),
        }
        Ok(())
    }

    fn allow(&self, vhost: &str, user: &str, configure: &str, write: &str, read: &str) -> Result<()> {
        let body = format!(r#"{{"configure":"{configure}","write":"{write}","read":"{read}"}}"#);
        self.request(
            "PUT",
            &format!("/api/permissions/{}/{user}", percent(vhost)),
            &body,
        )
    }

    fn put(&mut self, path: &str, body: &str) -> Result<()> {
        self.request("PUT", path, body)?;
        self.made.push(path.to_owned());
        Ok(())
    }

    pub(crate) fn unmake(&mut self) -> Result<()> {
        while let Some(path) = self.made.pop() {
            // With a user go its permissions.
            if !path.starts_with("/api/topic-permissions") {
                self.request("DELETE", &path, "")?;
            }
        }
        Ok(())
    }

    fn request(&self, verb: &str, path: &str, body: &str) -> Result<()> {
        let mut socket = TcpStream::connect(self.management)
            .with_context(|| format!("no HTTP API is at {}", self.management))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let credentials = BASE64_STANDARD.encode("guest:guest");
        write!(
            socket,
            "{verb} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {credentials}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.management,
            body.len()
        )?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split_whitespace().nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("{verb} {path} {body}: {answer}");
        }
        Ok(())
    }
}

fn percent(vhost: &str) -> String {
    vhost.replace('/', "%2F")
}

fn escaped(pattern: &str) -> String {
    pattern.replace('\\', "\\\\")
}
