//! What tests expect of a broker before they speak to it: users, by the HTTP API that RabbitMQ's management plugin has.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use super::Address;

/// `guest:guest` in base64.
const CREDENTIALS: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// A user who may do everything in the virtual host `/`.
pub(super) fn add_user(broker: &Address, name: &str, password: &str) -> Result<()> {
    let user = format!(r#"{{"password":"{password}","tags":""}}"#);
    put(broker, &format!("/api/users/{name}"), &user)?;
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    put(broker, &format!("/api/permissions/%2f/{name}"), all)
}

fn put(broker: &Address, path: &str, body: &str) -> Result<()> {
    let host = broker.http.strip_prefix("http://");
    let host = host.with_context(|| format!("`{}` is no address of an HTTP API: say --http", broker.http))?;
    let mut connection = TcpStream::connect(host).with_context(|| format!("nobody listens on {host}"))?;
    write!(
        connection,
        "PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {CREDENTIALS}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    ensure!(status.contains(" 20"), "PUT {path} was answered with {status}");
    Ok(())
}
