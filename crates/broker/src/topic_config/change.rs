//! Changes of a configuration. They are decided on what the topic has set, one after the other, so that two who change different
//! settings at the same time do not undo each other's.

use super::{Allowed, ConfigError, TopicConfig, find, parts};

/// What is to become of a topic's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// What is not named gets its default.
    Replace(Vec<(String, Option<String>)>),
    /// What is not named stays as it is.
    Edit(Vec<(String, ConfigEdit)>),
}

/// What is to become of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigEdit {
    Set(String),
    /// It gets its default. Nothing happens to what is not set, be it unknown.
    Delete,
    /// Parts, with commas between them, are added to a list unless they are in it.
    Append(String),
    /// Parts are taken out of a list.
    Subtract(String),
}

impl TopicConfig {
    /// The configuration after a change, and a warning for each setting of it that has no effect.
    ///
    /// # Errors
    /// A name is unknown, a value is not allowed, or the values contradict each other.
    pub fn changed(&self, change: &ConfigChange) -> Result<(TopicConfig, Vec<String>), ConfigError> {
        match change {
            ConfigChange::Replace(entries) => TopicConfig::parse(
                entries
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_deref())),
            ),
            ConfigChange::Edit(edits) => self.edited(edits),
        }
    }

    fn edited(&self, edits: &[(String, ConfigEdit)]) -> Result<(TopicConfig, Vec<String>), ConfigError> {
        let mut entries: Vec<(String, String)> = self
            .overrides()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        for (name, edit) in edits {
            let value = match edit {
                ConfigEdit::Set(value) => {
                    // Looked for at once, so that what gathers here is never more than there are settings.
                    find(name)?;
                    Some(value.clone())
                }
                ConfigEdit::Delete => None,
                ConfigEdit::Append(added) => Some(with(&list(&entries, name)?, added)),
                ConfigEdit::Subtract(removed) => Some(without(&list(&entries, name)?, removed)),
            };
            entries.retain(|(other, _)| other != name);
            entries.extend(value.map(|value| (name.clone(), value)));
        }
        let entries = entries
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.as_str())));
        TopicConfig::parse(entries)
    }
}

/// The list that a setting has among `entries`, or by default.
fn list(entries: &[(String, String)], name: &str) -> Result<String, ConfigError> {
    let (_, setting) = find(name)?;
    let Allowed::ListOf(_) = setting.allowed else {
        return Err(ConfigError::NotAList { name: setting.name });
    };
    let set = entries.iter().find(|(other, _)| other == name);
    Ok(set.map_or(setting.default, |(_, value)| value).to_owned())
}

fn with(list: &str, added: &str) -> String {
    let mut joined: Vec<&str> = parts(list).collect();
    for part in parts(added) {
        if !joined.contains(&part) {
            joined.push(part);
        }
    }
    joined.join(",")
}

fn without(list: &str, removed: &str) -> String {
    let kept: Vec<&str> = parts(list)
        .filter(|part| !parts(removed).any(|removed| removed == *part))
        .collect();
    kept.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(config: &TopicConfig, name: &str, edit: ConfigEdit) -> Result<TopicConfig, ConfigError> {
        let edits = vec![(name.to_owned(), edit)];
        Ok(config.changed(&ConfigChange::Edit(edits))?.0)
    }

    fn overrides(config: &TopicConfig) -> Vec<String> {
        let overrides = config.overrides();
        overrides.map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn what_an_edit_does_not_name_stays() {
        let config = TopicConfig::default();
        let config = edit(&config, "retention.ms", ConfigEdit::Set("5".to_owned())).unwrap();
        let config = edit(&config, "retention.bytes", ConfigEdit::Set(" 6 ".to_owned())).unwrap();
        assert_eq!(overrides(&config), ["retention.ms=5", "retention.bytes=6"]);
        let config = edit(&config, "retention.ms", ConfigEdit::Delete).unwrap();
        assert_eq!(overrides(&config), ["retention.bytes=6"]);
        assert_eq!(config.retention_ms, TopicConfig::default().retention_ms);
        assert_eq!(edit(&config, "never.set", ConfigEdit::Delete), Ok(config.clone()));
        let replaced = ConfigChange::Replace(vec![("flush.ms".to_owned(), Some("7".to_owned()))]);
        let (config, warnings) = config.changed(&replaced).unwrap();
        assert_eq!(overrides(&config), ["flush.ms=7"]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn lists_grow_and_shrink() {
        let name = "cleanup.policy";
        let appended =
            |config: &TopicConfig, text: &str| edit(config, name, ConfigEdit::Append(text.to_owned()));
        let subtracted =
            |config: &TopicConfig, text: &str| edit(config, name, ConfigEdit::Subtract(text.to_owned()));
        let config = TopicConfig::default();
        let both = appended(&config, "compact").unwrap();
        assert_eq!(overrides(&both), ["cleanup.policy=delete,compact"]);
        assert_eq!(appended(&both, "compact, delete").unwrap(), both);
        let compact = subtracted(&both, "delete").unwrap();
        assert_eq!(overrides(&compact), ["cleanup.policy=compact"]);
        assert!(matches!(
            subtracted(&compact, "compact"),
            Err(ConfigError::Invalid { .. })
        ));
        assert!(matches!(
            appended(&config, "shred"),
            Err(ConfigError::Invalid { .. })
        ));
        let number = edit(&config, "retention.ms", ConfigEdit::Append("1".to_owned()));
        assert_eq!(number, Err(ConfigError::NotAList { name: "retention.ms" }));
        let unknown = edit(&config, "x", ConfigEdit::Subtract("1".to_owned()));
        assert_eq!(unknown, Err(ConfigError::Unknown("x".to_owned())));
    }

    #[test]
    fn edits_of_a_request_are_checked_together() {
        let set = |name: &str, value: &str| (name.to_owned(), ConfigEdit::Set(value.to_owned()));
        let lags = |min, max| {
            ConfigChange::Edit(vec![
                set("min.compaction.lag.ms", min),
                set("max.compaction.lag.ms", max),
            ])
        };
        let (config, _) = TopicConfig::default().changed(&lags("1", "2")).unwrap();
        assert!(config.changed(&lags("3", "4")).is_ok());
        let alone = ConfigChange::Edit(vec![set("min.compaction.lag.ms", "3")]);
        assert_eq!(
            config.changed(&alone),
            Err(ConfigError::CompactionLag { min: 3, max: 2 })
        );
    }
}
