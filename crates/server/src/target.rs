//! Which broker a command is for: a flag goes before the environment, that before a profile, and that before the default.

use std::fmt;

use anyhow::{Context, Result, ensure};

use crate::client::Client;
use crate::profile::{Profile, Profiles};

const SERVER_DEFAULT: &str = "localhost:9092";
const HTTP_DEFAULT: &str = "http://localhost:15672";
/// Where a server is named without a port.
const PORT_DEFAULT: u16 = 9092;

/// Where a command finds its broker.
#[derive(clap::Args)]
pub(crate) struct Server {
    /// The broker to talk to, or several addresses to be tried in turn [env: FIRTH_SERVER] [default: the profile's, else
    /// localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Server")]
    server: Option<String>,
    #[command(flatten)]
    profile: ProfileName,
}

#[derive(clap::Args)]
pub(crate) struct ProfileName {
    /// The profile that names the broker [env: FIRTH_PROFILE] [default: the one of `firth profile use`]
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    profile: Option<String>,
}

/// A broker, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    Profile { name: String, file: String },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => write!(f, "--server"),
            Origin::Environment => write!(f, "FIRTH_SERVER"),
            Origin::Profile { name, file } => write!(f, "profile {name} in {file}"),
            Origin::Default => write!(
                f,
                "the default, as neither --server, FIRTH_SERVER nor a profile names one"
            ),
        }
    }
}

impl Server {
    pub(crate) async fn connect(&self) -> Result<Client> {
        Client::connect(&self.target()?).await
    }

    pub(crate) fn target(&self) -> Result<Target> {
        let given = Given {
            server: self.server.clone(),
            server_variable: variable("FIRTH_SERVER"),
            profile: self.profile.profile.clone(),
            profile_variable: variable("FIRTH_PROFILE"),
        };
        let target = given.resolve(Profiles::load, |profile| profile.server.clone(), SERVER_DEFAULT)?;
        for address in target.address.split(',') {
            with_port(address).with_context(|| format!("{address:?}, from {}", target.origin))?;
        }
        Ok(target)
    }
}

impl ProfileName {
    /// The address of the HTTP listener: `flag`, else the profile's, else the default.
    pub(crate) fn http(&self, flag: Option<&str>) -> Result<String> {
        let given = Given {
            server: flag.map(str::to_owned),
            server_variable: None,
            profile: self.profile.clone(),
            profile_variable: variable("FIRTH_PROFILE"),
        };
        let target = given.resolve(Profiles::load, |profile| profile.http.clone(), HTTP_DEFAULT)?;
        Ok(target.address)
    }

    pub(crate) fn name(&self) -> Option<String> {
        self.profile.clone().or_else(|| variable("FIRTH_PROFILE"))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

struct Given {
    server: Option<String>,
    server_variable: Option<String>,
    profile: Option<String>,
    profile_variable: Option<String>,
}

impl Given {
    /// A profile that a flag names goes before a server that the environment names. The file is read only if it decides.
    fn resolve(
        self,
        load: impl Fn() -> Result<Profiles>,
        address: impl Fn(&Profile) -> Option<String>,
        default: &str,
    ) -> Result<Target> {
        if let Some(address) = self.server {
            let origin = Origin::Flag;
            return Ok(Target { address, origin });
        }
        if let (None, Some(address)) = (&self.profile, self.server_variable) {
            let origin = Origin::Environment;
            return Ok(Target { address, origin });
        }
        let profiles = load()?;
        let named = self.profile.or(self.profile_variable);
        let name = named.or_else(|| profiles.used.clone());
        let found = match name {
            Some(name) => address(profiles.named(&name)?).map(|address| (name, address)),
            None => None,
        };
        let Some((name, address)) = found else {
            return Ok(Target {
                address: default.to_owned(),
                origin: Origin::Default,
            });
        };
        let file = profiles.path().display().to_string();
        let origin = Origin::Profile { name, file };
        Ok(Target { address, origin })
    }
}

/// HOST:PORT, of which the port may be left out.
pub(crate) fn with_port(address: &str) -> Result<String> {
    let address = address.trim();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let port = port.map_or(Some(PORT_DEFAULT), |port| port.parse().ok());
    let is_host = !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    ensure!(
        is_host && port.is_some(),
        "a server is HOST:PORT, with IPv6 addresses in brackets"
    );
    Ok(format!("{host}:{}", port.unwrap_or(PORT_DEFAULT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(given: [Option<&str>; 4], used: Option<&str>) -> Result<Target> {
        let [server, server_variable, profile, profile_variable] = given.map(|text| text.map(str::to_owned));
        let given = Given {
            server,
            server_variable,
            profile,
            profile_variable,
        };
        let load = || {
            let mut profiles = Profiles::default();
            profiles.used = used.map(str::to_owned);
            for name in ["one", "two"] {
                let server = Some(format!("{name}:1"));
                let profile = Profile { server, http: None };
                profiles.profiles.insert(name.to_owned(), profile);
            }
            Ok(profiles)
        };
        given.resolve(load, |profile| profile.server.clone(), SERVER_DEFAULT)
    }

    #[test]
    fn a_flag_goes_before_the_environment_and_that_before_a_profile() {
        let (flag, variable) = (Some("flag:1"), Some("variable:1"));
        for (given, used, address) in [
            ([flag, variable, Some("one"), Some("two")], Some("two"), "flag:1"),
            ([None, variable, Some("one"), Some("two")], Some("two"), "one:1"),
            ([None, variable, None, Some("two")], Some("one"), "variable:1"),
            ([None, None, None, Some("two")], Some("one"), "two:1"),
            ([None; 4], Some("one"), "one:1"),
            ([None; 4], None, SERVER_DEFAULT),
        ] {
            assert_eq!(resolve(given, used).unwrap().address, address);
        }
        let error = resolve([None, None, Some("tow"), None], None)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("did you mean two?"), "{error}");
    }

    #[test]
    fn a_server_may_be_named_without_a_port() {
        for (text, address) in [
            ("a", "a:9092"),
            (" a:1", "a:1"),
            ("[::1]", "[::1]:9092"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(with_port(text).unwrap(), address);
        }
        for text in ["", ":1", "a:x", "::1", "a:70000"] {
            assert!(with_port(text).is_err(), "{text}");
        }
    }
}
