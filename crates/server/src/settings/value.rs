use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::logging::LogFormat;

/// What a value must be able to do to stand in the table.
pub(super) trait Value: Sized {
    /// The error says what a value must be.
    fn parse(text: &str) -> Result<Self, String>;
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Off,
    /// All of them; those of the loopback interface share a port.
    At(Vec<SocketAddr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteCount(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Disk,
    Os,
}

/// How often something is done; absent for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(pub Option<Duration>);

/// Whether files are written past the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direct(pub firth_log::Direct);

impl Durability {
    pub(crate) fn of_engine(self) -> firth_log::Durability {
        match self {
            Durability::Disk => firth_log::Durability::Disk,
            Durability::Os => firth_log::Durability::Os,
        }
    }
}

impl Listen {
    /// The addresses that other machines may reach.
    pub(crate) fn beyond_loopback(&self) -> Option<&SocketAddr> {
        match self {
            Listen::Off => None,
            Listen::At(addresses) => addresses.iter().find(|address| !address.ip().is_loopback()),
        }
    }
}

impl Value for Listen {
    fn parse(text: &str) -> Result<Listen, String> {
        if text == "off" {
            return Ok(Listen::Off);
        }
        let HostPort { host, port } = HostPort::parse(text).map_err(|error| format!("{error}, or off"))?;
        // Looked up, it would be whatever the machine's files say; it is to be both.
        if host == "localhost" {
            let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
            return Ok(Listen::At(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec()));
        }
        let looked_up = (host.as_str(), port).to_socket_addrs();
        let addresses: Vec<_> = looked_up
            .map_err(|error| format!("{host} cannot be looked up: {error}"))?
            .collect();
        Ok(Listen::At(addresses))
    }
}

impl Value for HostPort {
    fn parse(text: &str) -> Result<HostPort, String> {
        let expected = || "must be HOST:PORT, with IPv6 addresses in brackets".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host,
            None if host.contains(':') => return Err(expected()),
            None => host,
        };
        if host.is_empty() {
            return Err(expected());
        }
        Ok(HostPort {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Value for ByteCount {
    fn parse(text: &str) -> Result<ByteCount, String> {
        let expected = || "must be a number of bytes such as 1048576, 64KiB, 256MiB or 2GiB".to_owned();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match &text[digits.len()..] {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(expected()),
        };
        let number: u64 = digits.trim_end().parse().map_err(|_| expected())?;
        number.checked_mul(unit).map(ByteCount).ok_or_else(expected)
    }
}

impl Value for Interval {
    fn parse(text: &str) -> Result<Interval, String> {
        let expected = || "must be a time such as 10s, 30m, 12h or 7d, or off".to_owned();
        if text == "off" {
            return Ok(Interval(None));
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let seconds: u64 = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return Err(expected()),
        };
        let number: u64 = digits.parse().map_err(|_| expected())?;
        let seconds = number.checked_mul(seconds).filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or_else(expected)?;
        Ok(Interval(Some(Duration::from_secs(seconds))))
    }
}

impl Value for Durability {
    fn parse(text: &str) -> Result<Durability, String> {
        match text {
            "disk" => Ok(Durability::Disk),
            "os" => Ok(Durability::Os),
            _ => Err("must be disk or os".to_owned()),
        }
    }
}

impl Value for LogFormat {
    fn parse(text: &str) -> Result<LogFormat, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be text or json".to_owned()),
        }
    }
}

impl Value for Direct {
    fn parse(text: &str) -> Result<Direct, String> {
        match text {
            "auto" => Ok(Direct(firth_log::Direct::Auto)),
            "always" => Ok(Direct(firth_log::Direct::Always)),
            "never" => Ok(Direct(firth_log::Direct::Never)),
            _ => Err("must be auto, always or never".to_owned()),
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Option<T>, String> {
        match text {
            "auto" => Ok(None),
            _ => T::parse(text)
                .map(Some)
                .map_err(|error| format!("{error}, or auto")),
        }
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() {
            Err("must be a path".to_owned())
        } else {
            Ok(text.into())
        }
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| "must be true or false".to_owned())
    }
}

impl Value for u32 {
    fn parse(text: &str) -> Result<u32, String> {
        text.parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| "must be a number from 1".to_owned())
    }
}

impl Value for i32 {
    fn parse(text: &str) -> Result<i32, String> {
        text.parse()
            .ok()
            .filter(|number| *number >= 0)
            .ok_or_else(|| "must be a number from 0 to 2147483647".to_owned())
    }
}

impl Value for u64 {
    fn parse(text: &str) -> Result<u64, String> {
        text.parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| "must be a number from 1".to_owned())
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("12B", 12),
            ("3KiB", 3072),
            ("256MiB", 1 << 28),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(ByteCount::parse(text), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "MiB", "1MB", "-1", "1.5GiB", "99999999TiB", "1 MiB x"] {
            assert!(ByteCount::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("1s", 1), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)] {
            let interval = Interval(Some(Duration::from_secs(seconds)));
            assert_eq!(Interval::parse(text), Ok(interval), "{text}");
        }
        assert_eq!(Interval::parse("off"), Ok(Interval(None)));
        for text in ["", "7", "0s", "d", "-1s", "1.5h", "7 d", "999999999999999999d"] {
            assert!(Interval::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn localhost_is_both_families() {
        let Ok(Listen::At(addresses)) = Listen::parse("localhost:9") else {
            panic!()
        };
        assert_eq!(
            addresses,
            ["127.0.0.1:9".parse().unwrap(), "[::1]:9".parse().unwrap()]
        );
        assert_eq!(
            Listen::parse("[::1]:7"),
            Ok(Listen::At(vec!["[::1]:7".parse().unwrap()]))
        );
        assert_eq!(Listen::parse("off"), Ok(Listen::Off));
        for text in [
            "",
            "9092",
            ":9092",
            "::1:9092",
            "localhost",
            "localhost:70000",
            "OFF",
        ] {
            assert!(Listen::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_off_loopback_are_told_apart() {
        for text in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            assert!(Listen::parse(text).unwrap().beyond_loopback().is_some(), "{text}");
        }
        for text in ["off", "127.0.0.2:1", "[::1]:1", "localhost:1"] {
            assert_eq!(Listen::parse(text).unwrap().beyond_loopback(), None, "{text}");
        }
    }

    #[test]
    fn a_host_and_a_port_read_back() {
        for text in ["broker.example:9092", "[2001:db8::1]:1", "10.0.0.1:65535"] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), text);
        }
    }
}
