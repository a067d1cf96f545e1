use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::{SETTINGS, Setting, Settings};
use crate::nearest::nearest;

/// Read if it is there and nothing else is named.
const FILE_DEFAULT: &str = "firth.toml";
/// Variables with our prefix that are no settings: the file itself, and what client commands use.
const OTHER_VARIABLES: [&str; 3] = ["FIRTH_CONFIG", "FIRTH_PROFILE", "FIRTH_SERVER"];

/// Where a value came from, as a user would name it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Flag,
    Environment,
    File(PathBuf),
}

/// A value that was given for a setting.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub setting: &'static Setting,
    pub text: String,
}

/// The settings of the file, the environment and the flags, the latter over the former.
pub(crate) fn load(
    config_file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Given],
) -> Result<Settings> {
    let environment: Vec<_> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with("FIRTH_"))
        .collect();
    let named = environment
        .iter()
        .find(|(name, _)| name == "FIRTH_CONFIG")
        .map(|(_, path)| Path::new(path));
    let mut settings = Settings::default();
    match config_file.or(named) {
        Some(path) => apply_file(&mut settings, path)?,
        None if Path::new(FILE_DEFAULT).exists() => apply_file(&mut settings, Path::new(FILE_DEFAULT))?,
        None => {}
    }
    for (name, text) in &environment {
        if OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.environment_variable() == *name);
        let Some(setting) = setting else {
            let names = SETTINGS
                .iter()
                .map(Setting::environment_variable)
                .chain(OTHER_VARIABLES.map(str::to_owned));
            bail!(
                "unknown environment variable {name}: did you mean {}?",
                nearest(name, names)
            );
        };
        apply(&mut settings, setting, text, &Source::Environment)?;
    }
    for given in flags {
        apply(&mut settings, given.setting, &given.text, &Source::Flag)?;
    }
    Ok(settings)
}

fn apply_file(settings: &mut Settings, path: &Path) -> Result<()> {
    let content = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
    // The parser's message shows the line and points at the place.
    let table: toml::Table = content
        .parse()
        .map_err(|error| anyhow!("{} is not valid TOML: {error}", path.display()))?;
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            let keys = SETTINGS.iter().map(|setting| setting.key.to_owned());
            bail!(
                "unknown key {key} in {}: did you mean {}?",
                path.display(),
                nearest(&key, keys)
            );
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            other => bail!("{key} in {} cannot be a {}", path.display(), other.type_str()),
        };
        apply(settings, setting, &text, &Source::File(path.to_owned()))?;
    }
    Ok(())
}

fn apply(settings: &mut Settings, setting: &Setting, text: &str, source: &Source) -> Result<()> {
    (setting.set)(settings, text)
        .map_err(|error| anyhow!("{} is {text:?}: it {error}", Named { setting, source }))
}

struct Named<'a> {
    setting: &'a Setting,
    source: &'a Source,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Flag => write!(f, "--{}", self.setting.flag()),
            Source::Environment => f.write_str(&self.setting.environment_variable()),
            Source::File(path) => write!(f, "{} in {}", self.setting.key, path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Durability;

    fn flag(key: &str, text: &str) -> Given {
        let setting = SETTINGS.iter().find(|setting| setting.key == key).unwrap();
        Given {
            setting,
            text: text.to_owned(),
        }
    }

    fn variable(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("firth.toml");
        std::fs::write(&path, content).unwrap();
        (directory, path)
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_file() {
        let (_directory, path) =
            file("num_partitions = 2\ndurability = 'os'\nlog = 'warn'\nauto_create_topics = false");
        let environment = [
            variable("FIRTH_NUM_PARTITIONS", "3"),
            variable("FIRTH_LOG", "error"),
            variable("PATH", "x"),
        ];
        let settings = load(Some(&path), environment, &[flag("num_partitions", "4")]).unwrap();
        assert_eq!((settings.num_partitions, settings.log.as_str()), (4, "error"));
        assert_eq!(
            (settings.durability, settings.auto_create_topics),
            (Durability::Os, false)
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let (_directory, path) = file("wall_limit = '1GiB'");
        let error = load(Some(&path), [], &[]).unwrap_err().to_string();
        assert!(error.ends_with("did you mean wal_limit?"), "{error}");
        let error = load(None, [variable("FIRTH_DURABLITY", "os")], &[])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "unknown environment variable FIRTH_DURABLITY: did you mean FIRTH_DURABILITY?"
        );
    }

    #[test]
    fn a_wrong_value_names_its_place() {
        let (_directory, path) = file("data = ['x']");
        assert!(
            load(Some(&path), [], &[])
                .unwrap_err()
                .to_string()
                .contains("cannot be a array")
        );
        let error = load(None, [], &[flag("wal_limit", "much")])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--wal-limit is \"much\": it must be a number of bytes"),
            "{error}"
        );
        let error = load(None, [variable("FIRTH_KAFKA", "9092")], &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("FIRTH_KAFKA is \"9092\": it must be HOST:PORT"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let named = [variable("FIRTH_CONFIG", "/nonexistent/firth.toml")];
        let error = load(None, named, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the configuration file /nonexistent/firth.toml"
        );
    }
}
