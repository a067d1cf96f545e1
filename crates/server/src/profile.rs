//! Profiles: names for the servers that somebody works with, in `firth/profiles.toml` below the user's configuration directory.
//!
//! ```text
//! use = "staging"
//!
//! [profile.staging]
//! server = "staging.example:9092"
//! http = "http://staging.example:15672"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::nearest::{nearest, similar};

const KEYS: [&str; 2] = ["use", "profile"];
const PROFILE_KEYS: [&str; 2] = ["server", "http"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Where Kafka clients connect.
    pub(crate) server: Option<String>,
    /// The address of the HTTP listener, for `firth backup`.
    pub(crate) http: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Profiles {
    /// The file, whether it is there or not.
    path: PathBuf,
    pub(crate) used: Option<String>,
    pub(crate) profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// What is in the file of this user; a file that is not there has none.
    pub(crate) fn load() -> Result<Profiles> {
        let Some(path) = path(&|name| std::env::var(name).ok()) else {
            return Ok(Profiles::default());
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let (used, profiles) = parse(&text).with_context(|| path.display().to_string())?;
        Ok(Profiles { path, used, profiles })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn named(&self, name: &str) -> Result<&Profile> {
        self.profiles.get(name).ok_or_else(|| {
            let hint = match similar(name, self.profiles.keys().cloned()) {
                Some(similar) => format!("did you mean {similar}?"),
                None => format!("`firth profile set {name} --server HOST:PORT` makes one"),
            };
            anyhow!("there is no profile {name} in {}: {hint}", self.path.display())
        })
    }

    /// Writes the file anew; it has the old content or the new one whatever happens meanwhile.
    pub(crate) fn save(&self) -> Result<()> {
        let shown = self.path.display();
        let Some(directory) = self.path.parent() else {
            bail!("there is no place for profiles: set HOME or XDG_CONFIG_HOME");
        };
        let written = || -> std::io::Result<()> {
            std::fs::create_dir_all(directory)?;
            let partial = self.path.with_extension("toml.partial");
            std::fs::write(&partial, self.to_toml())?;
            std::fs::rename(&partial, &self.path)
        };
        written().with_context(|| format!("cannot write {shown}"))
    }

    fn to_toml(&self) -> String {
        let mut file = toml::Table::new();
        if let Some(used) = &self.used {
            file.insert("use".to_owned(), used.clone().into());
        }
        let mut profiles = toml::Table::new();
        for (name, profile) in &self.profiles {
            let mut table = toml::Table::new();
            for (key, value) in PROFILE_KEYS.iter().zip([&profile.server, &profile.http]) {
                if let Some(value) = value {
                    table.insert((*key).to_owned(), value.clone().into());
                }
            }
            profiles.insert(name.clone(), table.into());
        }
        file.insert("profile".to_owned(), profiles.into());
        file.to_string()
    }
}

/// `firth/profiles.toml` in `XDG_CONFIG_HOME`, which is `~/.config` unless it is set to an absolute path.
fn path(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let named = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || variable("HOME").filter(|home| !home.is_empty());
    let directory = named.or_else(|| Some(Path::new(&home()?).join(".config")))?;
    Some(directory.join("firth").join("profiles.toml"))
}

type Content = (Option<String>, BTreeMap<String, Profile>);

fn parse(text: &str) -> Result<Content> {
    let table: toml::Table = text.parse().map_err(|error| anyhow!("not valid TOML: {error}"))?;
    let (mut used, mut profiles) = (None, BTreeMap::new());
    for (key, value) in table {
        match (key.as_str(), value) {
            ("use", toml::Value::String(name)) => used = Some(name),
            ("profile", toml::Value::Table(named)) => {
                for (name, value) in named {
                    let profile = parse_profile(value).with_context(|| format!("profile {name}"))?;
                    profiles.insert(name, profile);
                }
            }
            ("use" | "profile", other) => bail!("{key} cannot be a {}", other.type_str()),
            _ => bail!(
                "unknown key {key}: did you mean {}?",
                nearest(&key, KEYS.map(str::to_owned))
            ),
        }
    }
    Ok((used, profiles))
}

fn parse_profile(value: toml::Value) -> Result<Profile> {
    let toml::Value::Table(table) = value else {
        bail!("it cannot be a {}", value.type_str());
    };
    let mut profile = Profile::default();
    for (key, value) in table {
        let toml::Value::String(text) = value else {
            bail!("{key} cannot be a {}", value.type_str());
        };
        match key.as_str() {
            "server" => profile.server = Some(text),
            "http" => profile.http = Some(text),
            _ => bail!(
                "unknown key {key}: did you mean {}?",
                nearest(&key, PROFILE_KEYS.map(str::to_owned))
            ),
        }
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut profiles = Profiles {
            used: Some("a b".to_owned()),
            ..Profiles::default()
        };
        let profile = Profile {
            server: Some("[::1]:9".to_owned()),
            http: Some("http://x:1\"".to_owned()),
        };
        profiles.profiles.insert("a b".to_owned(), profile);
        profiles.profiles.insert("empty".to_owned(), Profile::default());
        let read = parse(&profiles.to_toml()).unwrap();
        assert_eq!(read, (profiles.used, profiles.profiles));
    }

    #[test]
    fn a_wrong_file_is_told_apart() {
        for (text, error) in [
            ("use", "not valid TOML"),
            ("used = 'x'", "did you mean use?"),
            ("use = 1", "use cannot be a integer"),
            (
                "[profile.x]\nsrever = 'y'",
                "profile x: unknown key srever: did you mean server?",
            ),
            ("[profile]\nx = 'y'", "profile x: it cannot be a string"),
        ] {
            let found = format!("{:#}", parse(text).unwrap_err());
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn the_file_is_where_the_user_keeps_configuration() {
        let with = |pairs: &'static [(&str, &str)]| {
            path(&move |name| {
                let found = pairs.iter().find(|(key, _)| *key == name)?;
                Some(found.1.to_owned())
            })
        };
        let home = [("HOME", "/h")];
        assert_eq!(with(&[]), None);
        assert_eq!(
            path(&|name| home
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())),
            Some("/h/.config/firth/profiles.toml".into())
        );
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]),
            Some("/x/firth/profiles.toml".into())
        );
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "relative")]),
            Some("/h/.config/firth/profiles.toml".into())
        );
    }
}
