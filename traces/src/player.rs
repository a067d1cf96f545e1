//! Plays scenarios and compares, or writes down what came.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::inbox::Found;
use crate::script::{Place, Scenario, Script, Step};
use crate::spec::Method;
use crate::stage::{Declared, PATIENCE, Stage};
use crate::world::World;

/// Between two questions about the same thing.
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// A broker to play against.
pub struct Broker {
    /// What `! only` may name.
    pub name: String,
    pub address: String,
    /// Where its HTTP API is; scenarios that need it are skipped without.
    pub management: Option<String>,
    pub vhost: String,
}

pub struct Player {
    pub broker: Broker,
    /// For how long nothing more comes when all has come. A recorder cannot know better; a player waits so at the end alone.
    pub quiet: Duration,
    /// Plays only those whose title has this in it.
    pub only: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

impl Player {
    /// Plays all scenarios of a script and says of each, by its title, how it went.
    pub fn play(&self, script: &Script) -> Vec<(String, Outcome)> {
        let mut outcomes = Vec::new();
        for scenario in &script.scenarios {
            let outcome = match self.skips(scenario) {
                Some(reason) => Outcome::Skipped(reason),
                None => match self.act(scenario, &mut Playing { script: &script.name }) {
                    Ok(()) => Outcome::Passed,
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                },
            };
            outcomes.push((scenario.title.clone(), outcome));
        }
        outcomes
    }

    /// The text of the script with what the broker answers, and what went wrong: such a scenario stays as it was.
    pub fn record(&self, script: &Script) -> (String, Vec<String>) {
        let mut lines = script.preamble.clone();
        let mut failures = Vec::new();
        for scenario in &script.scenarios {
            lines.push(format!("== {}", scenario.title));
            let mut recording = Recording {
                lines: Vec::new(),
                latest: Vec::new(),
                quiet: self.quiet,
            };
            let recorded = match self.skips(scenario) {
                Some(_) => false,
                None => match self.act(scenario, &mut recording) {
                    Ok(()) => true,
                    Err(error) => {
                        failures.push(format!("{}: {}: {error:#}", script.name, scenario.title));
                        false
                    }
                },
            };
            match recorded {
                true => lines.extend(recording.lines),
                false => lines.extend(scenario.lines.iter().map(|line| line.text.clone())),
            }
        }
        (lines.join("\n") + "\n", failures)
    }

    fn skips(&self, scenario: &Scenario) -> Option<String> {
        if let Some(only) = &self.only
            && !scenario.title.contains(only.as_str())
        {
            return Some("not asked for".to_owned());
        }
        scenario.lines.iter().find_map(|line| {
            let Step::Directive(directive) = &line.step else {
                return None;
            };
            match directive.strip_prefix("only ") {
                Some(name) if name != self.broker.name => Some(format!("only for {name}")),
                Some(_) => None,
                None if is_of_world(directive) && self.broker.management.is_none() => {
                    Some("needs the HTTP API".to_owned())
                }
                None => None,
            }
        })
    }

    fn act(&self, scenario: &Scenario, mode: &mut dyn Mode) -> Result<()> {
        let mut world = World::new(
            self.broker.management.as_deref().unwrap_or_default(),
            &self.broker.vhost,
        );
        let mut stage = Stage::new(&self.broker.address, &self.broker.vhost);
        let result = perform(scenario, &mut stage, &mut world, mode)
            .and_then(|()| mode.finish(&mut stage, self.quiet));
        // What a failure leaves is removed too, and the failure told first.
        let ended = stage.end();
        let cleaned = clean(&self.broker, &stage.declared);
        let unmade = world.unmake();
        result.and(ended).and(cleaned).and(unmade)
    }
}

fn is_of_world(directive: &str) -> bool {
    ["user ", "vhost ", "topic-permission "]
        .iter()
        .any(|kind| directive.starts_with(kind))
}

fn perform(scenario: &Scenario, stage: &mut Stage, world: &mut World, mode: &mut dyn Mode) -> Result<()> {
    for line in &scenario.lines {
        let acted = match &line.step {
            Step::Nothing => Ok(()),
            Step::Directive(directive) => direct(directive, stage, world),
            Step::Options(connection, text) => stage.set_options(connection, text),
            Step::Send { place, text, bare } => stage.send(place, text, *bare),
            Step::Poll { place, text, until } => poll(stage, place, text, until),
            Step::Await { place, text } => mode.wait(stage, place, text),
            Step::Expect { place, text } => mode.expect(stage, place, text),
        };
        acted
            .and_then(|()| mode.after(stage, &line.step, &line.text))
            .with_context(|| mode.at(line.number))?;
    }
    Ok(())
}

fn direct(directive: &str, stage: &mut Stage, world: &mut World) -> Result<()> {
    match directive {
        "manual-close" => stage.manual_close = true,
        "heartbeats" => stage.show_heartbeats = true,
        "may-say-why" => stage.may_say_why = true,
        other if is_of_world(other) => world.make(other)?,
        other if other.starts_with("only ") => {}
        other => bail!("there is no directive `{other}`"),
    }
    Ok(())
}

/// Asks until the answer has `until` in it, and leaves that answer to be found.
fn poll(stage: &mut Stage, place: &Place, text: &str, until: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        stage.send(place, text, false)?;
        let reply = reply(stage, place)?;
        if reply.text.contains(until) {
            stage.inbox.put_back(reply);
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the answer stays {}", reply.text);
        }
        std::thread::sleep(POLL_PAUSE);
    }
}

fn reply(stage: &mut Stage, place: &Place) -> Result<crate::inbox::Shown> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(reply) = stage.inbox.take_reply(place) {
            return Ok(reply);
        }
        if !stage.pump(deadline.saturating_duration_since(Instant::now()))? {
            bail!("no answer came");
        }
    }
}

fn clean(broker: &Broker, declared: &[Declared]) -> Result<()> {
    let mut stage = Stage::new(&broker.address, &broker.vhost);
    let place = Place {
        connection: "clean".to_owned(),
        channel: 1,
    };
    for declared in declared {
        let text = match declared {
            Declared::Queue(name) => format!("queue.delete queue=\"{}\"", escaped(name)),
            Declared::Exchange(name) if name.starts_with("amq.") => continue,
            Declared::Exchange(name) => format!("exchange.delete exchange=\"{}\"", escaped(name)),
        };
        stage.send(&place, &text, false)?;
        reply(&mut stage, &place)?;
    }
    stage.end()
}

fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}

/// What playing and recording do differently.
trait Mode {
    fn expect(&mut self, stage: &mut Stage, place: &Place, text: &str) -> Result<()>;
    fn wait(&mut self, stage: &mut Stage, place: &Place, text: &str) -> Result<()>;
    fn after(&mut self, stage: &mut Stage, step: &Step, text: &str) -> Result<()>;
    fn finish(&mut self, stage: &mut Stage, quiet: Duration) -> Result<()>;
    fn at(&self, line: usize) -> String;
}

struct Playing<'a> {
    script: &'a str,
}

impl Mode for Playing<'_> {
    fn expect(&mut self, stage: &mut Stage, place: &Place, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match stage.inbox.take(place, text) {
                Found::Same => return Ok(()),
                Found::Other(other) if stage.says_why(text, &other) => return Ok(()),
                Found::Other(other) => {
                    bail!(
                        "\n    expected  {}< {text}\n    but found {}< {other}",
                        place.print(),
                        place.print()
                    )
                }
                Found::NotYet => {}
            }
            if !stage.pump(deadline.saturating_duration_since(Instant::now()))? {
                let rest = stage.inbox.drain().join("\n              ");
                bail!("\n    expected  {}< {text}\n    but found {rest}", place.print());
            }
        }
    }

    fn wait(&mut self, _: &mut Stage, _: &Place, _: &str) -> Result<()> {
        Ok(())
    }

    fn after(&mut self, _: &mut Stage, _: &Step, _: &str) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, stage: &mut Stage, quiet: Duration) -> Result<()> {
        while stage.pump(quiet)? {}
        let rest = stage.inbox.drain();
        if !rest.is_empty() {
            bail!(
                "{}: nothing more was expected, but found\n    {}",
                self.script,
                rest.join("\n    ")
            );
        }
        Ok(())
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.script)
    }
}

/// Whether a server must say something, so that a recorder waits for it however long it takes.
fn awaits_answer(text: &str) -> bool {
    // A protocol header, or what a client of another protocol says.
    if text.starts_with("raw \"") {
        return true;
    }
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let nowait = words.any(|word| word == "nowait" || word == "nowait=1");
    let answered = Method::named(name).is_some_and(|method| method.is_answered());
    answered && !nowait
}

struct Recording {
    lines: Vec<String>,
    /// What came since the script sent something.
    latest: Vec<String>,
    quiet: Duration,
}

impl Mode for Recording {
    fn expect(&mut self, _: &mut Stage, _: &Place, _: &str) -> Result<()> {
        Ok(())
    }

    fn wait(&mut self, stage: &mut Stage, place: &Place, text: &str) -> Result<()> {
        let shown = format!("{}< {text}", place.print());
        if self.latest.iter().any(|line| line.starts_with(&shown)) {
            return Ok(());
        }
        stage.wait(|stage| stage.inbox.has(place, text) || stage.is_over(place))
    }

    fn after(&mut self, stage: &mut Stage, step: &Step, text: &str) -> Result<()> {
        if matches!(step, Step::Expect { .. }) {
            return Ok(());
        }
        self.lines.push(text.to_owned());
        if let Step::Send {
            place,
            text,
            bare: false,
        } = step
            && (awaits_answer(text)
                || text.starts_with("basic.publish ") && stage.inbox.awaits_confirms(place))
        {
            stage.wait(|stage| stage.inbox.answered(place) || stage.is_over(place))?;
        }
        if matches!(step, Step::Send { .. } | Step::Poll { .. } | Step::Await { .. }) {
            while stage.pump(self.quiet)? {}
            if !matches!(step, Step::Await { .. }) {
                self.latest.clear();
            }
            let came = stage.inbox.drain();
            self.latest.extend_from_slice(&came);
            self.lines.extend(came);
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Stage, _: Duration) -> Result<()> {
        Ok(())
    }

    fn at(&self, line: usize) -> String {
        format!("line {line}")
    }
}
