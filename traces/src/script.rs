//! A file of scenarios, line by line. The grammar is told in `tests/traces/README.md`.

use anyhow::{Context, Result, bail};

/// A file, with its text as it is.
pub struct Script {
    pub(crate) name: String,
    /// What stands before the first scenario.
    pub(crate) preamble: Vec<String>,
    pub(crate) scenarios: Vec<Scenario>,
}

pub(crate) struct Scenario {
    pub title: String,
    pub lines: Vec<ScriptLine>,
}

pub(crate) struct ScriptLine {
    /// From 1.
    pub number: usize,
    pub text: String,
    pub step: Step,
}

/// Which connection, and which of its channels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub connection: String,
    pub channel: u16,
}

pub(crate) enum Step {
    /// Blank, or a comment.
    Nothing,
    /// `! ...`: something about the whole scenario.
    Directive(String),
    /// `c1: ...`: how the connection is made.
    Options(String, String),
    /// `c1.1> ...`; with `>!` nothing is opened for it.
    Send { place: Place, text: String, bare: bool },
    /// `c1.1~ ... until WHAT`: sent until the answer has WHAT in it.
    Poll {
        place: Place,
        text: String,
        until: String,
    },
    /// `c1.1? ...`: what a recorder waits for, since it cannot know that it comes.
    Await { place: Place, text: String },
    /// `c1.1< ...`
    Expect { place: Place, text: String },
}

impl Script {
    pub fn parse(name: &str, text: &str) -> Result<Script> {
        let mut script = Script {
            name: name.to_owned(),
            preamble: Vec::new(),
            scenarios: Vec::new(),
        };
        for (at, line) in text.lines().enumerate() {
            if let Some(title) = line.strip_prefix("== ") {
                script.scenarios.push(Scenario {
                    title: title.trim().to_owned(),
                    lines: Vec::new(),
                });
                continue;
            }
            let number = at + 1;
            let step = Step::parse(line).with_context(|| format!("{name}:{number}: {line}"))?;
            match script.scenarios.last_mut() {
                Some(scenario) => scenario.lines.push(ScriptLine {
                    number,
                    text: line.to_owned(),
                    step,
                }),
                None if matches!(step, Step::Nothing) => script.preamble.push(line.to_owned()),
                None => bail!("{name}:{number}: a step stands before the first scenario"),
            }
        }
        Ok(script)
    }

    pub fn titles(&self) -> Vec<&str> {
        self.scenarios
            .iter()
            .map(|scenario| scenario.title.as_str())
            .collect()
    }

    /// Scenarios that say nothing of what a server answers.
    pub fn without_answers(&self) -> Vec<&str> {
        let silent = |scenario: &&Scenario| {
            !scenario
                .lines
                .iter()
                .any(|line| matches!(line.step, Step::Expect { .. }))
        };
        self.scenarios
            .iter()
            .filter(silent)
            .map(|scenario| scenario.title.as_str())
            .collect()
    }
}

impl Step {
    fn parse(line: &str) -> Result<Step> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(Step::Nothing);
        }
        if let Some(directive) = line.strip_prefix('!') {
            return Ok(Step::Directive(directive.trim().to_owned()));
        }
        let at = line
            .find([':', '>', '<', '~', '?'])
            .context("no step begins so")?;
        let (place, rest) = line.split_at(at);
        let (sign, rest) = rest.split_at(1);
        if sign == ":" {
            return Ok(Step::Options(place.to_owned(), rest.trim().to_owned()));
        }
        let place = Place::parse(place)?;
        let text = rest.trim().to_owned();
        Ok(match sign {
            "<" => Step::Expect { place, text },
            "?" => Step::Await { place, text },
            "~" => {
                let (text, until) = text.rsplit_once(" until ").context("`until` is missing")?;
                let (text, until) = (text.to_owned(), until.trim().to_owned());
                Step::Poll { place, text, until }
            }
            _ => match text.strip_prefix('!') {
                Some(text) => Step::Send {
                    place,
                    text: text.trim().to_owned(),
                    bare: true,
                },
                None => Step::Send {
                    place,
                    text,
                    bare: false,
                },
            },
        })
    }
}

impl Place {
    fn parse(text: &str) -> Result<Place> {
        let (connection, channel) = text.split_once('.').unwrap_or((text, "0"));
        let channel = channel
            .parse()
            .with_context(|| format!("`{channel}` is no channel"))?;
        Ok(Place {
            connection: connection.to_owned(),
            channel,
        })
    }

    /// As it stands at the begin of a line.
    pub(crate) fn print(&self) -> String {
        match self.channel {
            0 => self.connection.clone(),
            channel => format!("{}.{channel}", self.connection),
        }
    }
}
