//! Requests by HTTP/1.0, whose answer is what follows until the connection ends: whether all of it came is told by what it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the broker answers, which seals what it has first, and between two pieces of the answer.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
const HEAD_BYTES_MAX: u64 = 16 * 1024;
/// What is shown of the body of a refusal.
const REFUSAL_BYTES_MAX: u64 = 4 * 1024;
const READ_BYTES: usize = 256 * 1024;

/// The body of the answer to a GET that succeeds.
pub(crate) fn get(server: &str, path: &str) -> Result<impl Read + use<>> {
    let (status, answer) = ask(server, &format!("GET {path}"), "", "")?;
    if status == "200" {
        return Ok(answer);
    }
    let mut body = Vec::new();
    // Without it the status says what there is to say.
    let _ = answer.take(REFUSAL_BYTES_MAX).read_to_end(&mut body);
    bail!(
        "{server} refused ({status}): {}",
        String::from_utf8_lossy(&body).trim_end()
    )
}

/// The status of an answer, and its body. `request` is a method and a path, `headers` end with a line break each.
pub(crate) fn ask(
    server: &str,
    request: &str,
    headers: &str,
    body: &str,
) -> Result<(String, BufReader<TcpStream>)> {
    let address = server
        .strip_prefix("http://")
        .unwrap_or(server)
        .trim_end_matches('/');
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    write!(
        stream,
        "{request} HTTP/1.0\r\nHost: {address}\r\n{headers}{length}\r\n{body}"
    )
    .with_context(|| format!("cannot ask {server}"))?;
    let mut answer = BufReader::with_capacity(READ_BYTES, stream);
    let status =
        read_head(&mut answer).with_context(|| format!("{server} gives no answer that can be read"))?;
    Ok((status, answer))
}

fn connect(address: &str) -> Result<TcpStream> {
    let addresses = address.to_socket_addrs();
    let addresses = addresses.with_context(|| format!("{address} is no HOST:PORT that can be found"))?;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => {
            bail!("cannot connect to {address} ({error}): is `firth serve` running there, with HTTP?")
        }
        None => bail!("{address} has no address"),
    }
}

/// Reads the head of an answer, and gives its status.
fn read_head(answer: &mut impl BufRead) -> Result<String> {
    let mut head = answer.take(HEAD_BYTES_MAX);
    let mut status = None;
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            bail!("its head does not end");
        }
        let line = line.trim_end();
        match &status {
            None => {
                let mut words = line.split(' ');
                let version = words.next().filter(|version| version.starts_with("HTTP/1."));
                let code = words.next().filter(|code| code.len() == 3);
                match (version, code) {
                    (Some(_), Some(code)) => status = Some(code.to_owned()),
                    _ => bail!("it is not HTTP"),
                }
            }
            Some(status) if line.is_empty() => return Ok(status.clone()),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_gives_its_status_and_leaves_the_body() {
        let mut answer = &b"HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nbody"[..];
        assert_eq!(read_head(&mut answer).unwrap(), "503");
        assert_eq!(answer, b"body");
        for broken in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n",
            "HTTP/1.1\r\n\r\n",
        ] {
            assert!(read_head(&mut broken.as_bytes()).is_err(), "{broken}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(10_000));
        assert!(read_head(&mut endless.as_bytes()).is_err());
    }
}
