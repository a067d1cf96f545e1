//! `cargo xtask suites`: the test suites that clients of Kafka and AMQP bring, against a Firth of their own.
//!
//! `tests/suites/<suite>.txt` has a line for each test of a suite: that it must pass, or in a sentence why it does not
//! ([`list`]). A test that must pass and does not makes the command fail, and so does one that nobody has listed; those lists
//! only grow. `docs/suites.md` is made of them ([`table`]).

mod administration;
mod amqp_python;
mod broker;
mod crates;
mod kafka_python;
mod librdkafka;
mod list;
mod process;
mod pytest;
mod slice;
mod table;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::root;
use broker::Broker;
use list::{List, Reason};
use process::{Stopwatch, command, run};
use slice::Slice;

const USAGE: &str = "\
cargo xtask suites [SUITE | SUITE/PART OF A TEST'S NAME ...] [OPTION ...]
  --list              the tests and what is expected of each; runs nothing
  --slice N/M         the tests that must pass of the Nth of M parts, which take about as long as each other
  --slice today/M     the part whose turn it is today
  --all               also those that do not pass
  --update            as --all; what passes and is not listed is added, with the seconds that everything took
  --firth BINARY      instead of one that is compiled for release
  --bootstrap ADDRESS any Kafka broker that runs already, as localhost:9092: to tell Firth's faults from a test's
  --amqp ADDRESS      any AMQP broker, as RabbitMQ at 127.0.0.1:5672, which has to pass what Firth does not pass yet;
  --http URL          and where it is administered. With --update, what passes and is not listed is added as that
  --jobs N            so many tests at once, each with its own Firth; 1 unless said";

const SUITES: [&dyn Suite; 9] = [
    &librdkafka::Librdkafka,
    &crates::RUST_RDKAFKA,
    &kafka_python::KafkaPython,
    &amqp_python::AMQPSTORM,
    &amqp_python::RABBITPY,
    &amqp_python::KOMBU,
    &amqp_python::PY_AMQP,
    &crates::LAPIN,
    &crates::AMQPRS,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Kafka,
    Amqp,
}

/// Where a broker is.
#[derive(Debug, Clone)]
struct Address {
    /// Where it listens for clients, as `localhost:9092`.
    client: String,
    /// Where it is administered, as `http://127.0.0.1:15672`; empty where it is not.
    http: String,
}

/// A suite of tests that speaks to a broker.
trait Suite: Sync {
    /// As the file in `tests/suites` is called.
    fn name(&self) -> &'static str;
    /// What is tested, for people.
    fn version(&self) -> String;
    fn protocol(&self) -> Protocol {
        Protocol::Kafka
    }
    /// Fetches and compiles it; what is there already is left alone.
    fn prepare(&self) -> Result<()>;
    /// All tests there are, in the order in which they run.
    fn tests(&self) -> Result<Vec<String>>;
    /// What Firth is started with besides the defaults.
    fn broker_arguments(&self, _test: &str) -> Vec<&'static str> {
        Vec::new()
    }
    /// Makes there what its tests expect of any broker.
    fn administer(&self, _broker: &Address) -> Result<()> {
        Ok(())
    }
    /// Runs one test against the broker; what it says goes to `log`.
    fn run(&self, test: &str, broker: &Address, directory: &std::path::Path) -> Result<Outcome>;
}

/// What came of a test.
enum Outcome {
    Passed,
    /// Failed, did not end in time, or skipped itself, and what it said of that.
    NotPassed(String),
}

struct Options {
    /// `librdkafka` or `librdkafka/0081`; none are all.
    names: Vec<String>,
    list: bool,
    slice: Option<Slice>,
    all: bool,
    update: bool,
    firth: Option<PathBuf>,
    /// A broker that is not Firth.
    elsewhere: Option<(Protocol, Address)>,
    jobs: usize,
}

/// A test that ran.
struct Ran {
    test: String,
    outcome: Outcome,
    took: Duration,
}

pub(crate) fn run_suites(arguments: &[String]) -> Result<()> {
    let mut options = Options::parse(arguments)?;
    for name in &options.names {
        let suite = name.split('/').next().unwrap_or(name);
        let known = SUITES.iter().any(|each| each.name() == suite);
        ensure!(known, "`{suite}` is no suite\n{USAGE}");
    }
    let mut lists = Vec::new();
    for suite in SUITES {
        lists.push(List::read(suite.name())?);
    }
    if let Some(slice) = &options.slice {
        println!("slice {} of {}", slice.number, slice.count);
        slice.restrict(&mut lists);
    }

    let mut faults = Vec::new();
    for (suite, list) in SUITES.into_iter().zip(&mut lists) {
        if !options.asks_for_any(suite) {
            continue;
        }
        faults.extend(one(suite, list, &mut options).with_context(|| suite.name().to_owned())?);
    }
    if options.list {
        return Ok(());
    }
    if options.update {
        table::write()?;
    }
    for fault in &faults {
        println!("{fault}");
    }
    ensure!(faults.is_empty(), "suites: {} faults", faults.len());
    Ok(())
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Options> {
        let mut options = Options {
            names: Vec::new(),
            list: false,
            slice: None,
            all: false,
            update: false,
            firth: None,
            elsewhere: None,
            jobs: 1,
        };
        let mut http = String::new();
        let elsewhere = |protocol, client: &String| {
            let (client, http) = (client.clone(), String::new());
            Some((protocol, Address { client, http }))
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} wants a value\n{USAGE}"))
            };
            match argument.as_str() {
                "--list" => options.list = true,
                "--all" => options.all = true,
                "--update" => options.update = true,
                "--slice" => options.slice = Some(Slice::parse(value()?)?),
                "--firth" => options.firth = Some(std::path::absolute(value()?)?),
                "--bootstrap" => options.elsewhere = elsewhere(Protocol::Kafka, value()?),
                "--amqp" => options.elsewhere = elsewhere(Protocol::Amqp, value()?),
                "--http" => http = value()?.clone(),
                "--jobs" => options.jobs = value()?.parse().context("--jobs wants a number")?,
                name if !name.starts_with('-') => options.names.push(name.to_owned()),
                _ => bail!("{USAGE}"),
            }
        }
        if let Some((_, address)) = &mut options.elsewhere {
            address.http = http;
        }
        Ok(options)
    }

    fn asks_for_any(&self, suite: &dyn Suite) -> bool {
        let spoken = self
            .elsewhere
            .as_ref()
            .is_none_or(|(protocol, _)| *protocol == suite.protocol());
        let named = |name: &String| name.split('/').next() == Some(suite.name());
        spoken && (self.names.is_empty() || self.names.iter().any(named))
    }

    /// Whether the broker that is tested has to pass what is listed so.
    fn has_to_pass(&self, reason: Reason) -> bool {
        let is_rabbitmq = matches!(self.elsewhere, Some((Protocol::Amqp, _)));
        reason == Reason::Passes || is_rabbitmq && reason == Reason::NotYet
    }

    fn asks_for(&self, suite: &str, test: &str) -> bool {
        self.names.is_empty()
            || self.names.iter().any(|name| match name.split_once('/') {
                Some((of, part)) => of == suite && test.contains(part),
                None => name == suite,
            })
    }

    /// The binary to test, compiled when the first suite needs it.
    fn firth(&mut self) -> Result<PathBuf> {
        if let Some(binary) = &self.firth {
            return Ok(binary.clone());
        }
        println!("compiling Firth");
        run(command("cargo").args(["build", "--quiet", "--release", "--locked", "--package", "firth"]))?;
        let binary = root().join("target/release/firth");
        self.firth = Some(binary.clone());
        Ok(binary)
    }
}

/// Runs what is asked for of one suite, and says what is not as it should be.
fn one(suite: &dyn Suite, list: &mut List, options: &mut Options) -> Result<Vec<String>> {
    let chosen = |list: &List, options: &Options, tests: Vec<String>| -> Vec<String> {
        let wanted = |test: &String| match list.expected(test) {
            Some(reason) if options.has_to_pass(reason) => true,
            Some(reason) => (options.all || options.update) && options.slice.is_none() && reason.can_run(),
            None => options.slice.is_none(),
        };
        let mut tests = tests;
        tests.retain(|test| options.asks_for(suite.name(), test) && wanted(test));
        tests
    };
    // A slice of which nothing is in this suite does not fetch it.
    if options.slice.is_some() && chosen(list, options, list.tests()).is_empty() {
        return Ok(Vec::new());
    }
    if options.list {
        list.print();
        return Ok(Vec::new());
    }
    println!("\n==> {}", suite.version());
    let stopwatch = Stopwatch::start();
    suite.prepare()?;
    let there = suite.tests()?;
    println!(
        "{} tests are there after {:.0} s",
        there.len(),
        stopwatch.elapsed().as_secs_f64()
    );

    let mut faults: Vec<String> = Vec::new();
    for gone in list.tests().iter().filter(|test| !there.contains(test)) {
        faults.push(format!(
            "{}: `{gone}` is listed, and there is no such test",
            suite.name()
        ));
    }
    let chosen = chosen(list, options, there);
    let firth = match options.elsewhere {
        Some(_) => PathBuf::new(),
        None => options.firth()?,
    };
    let mut ran = run_all(suite, chosen, &firth, options)?;
    // Many tests expect what they do to take so many milliseconds, and machines of CI halt now and then.
    for each in ran.iter_mut().filter(|each| must_pass(list, each, options)) {
        println!("once more: {}", each.test);
        *each = run_one(suite, each.test.clone(), &firth, options)?;
        println!("{}", each.line());
    }
    for each in &ran {
        faults.extend(judge(suite.name(), list, each, options));
    }
    if options.update {
        list.write()?;
    }
    let passed = ran
        .iter()
        .filter(|each| matches!(each.outcome, Outcome::Passed))
        .count();
    println!(
        "{}: {passed} of {} passed in {:.0} s",
        suite.name(),
        ran.len(),
        stopwatch.elapsed().as_secs_f64()
    );
    Ok(faults)
}

/// Whether a test has to pass and did not.
fn must_pass(list: &List, ran: &Ran, options: &Options) -> bool {
    let expected = list.expected(&ran.test);
    matches!(ran.outcome, Outcome::NotPassed(_)) && expected.is_some_and(|reason| options.has_to_pass(reason))
}

/// What is wrong with an outcome, if anything is; with `update` the list learns of it.
fn judge(suite: &str, list: &mut List, ran: &Ran, options: &Options) -> Option<String> {
    let test = &ran.test;
    match (&ran.outcome, list.expected(test)) {
        (Outcome::Passed, _) if options.update && options.elsewhere.is_some() => {
            list.passed_elsewhere(test, ran.took);
        }
        (Outcome::Passed, _) if options.update => list.passed(test, ran.took),
        (Outcome::Passed, Some(reason)) if options.has_to_pass(reason) => {}
        (Outcome::Passed, _) => {
            println!("{suite}/{test} passes and is not listed: cargo xtask suites {suite}/{test} --update");
        }
        (Outcome::NotPassed(said), Some(reason)) if options.has_to_pass(reason) => {
            return Some(format!("{suite}/{test} must pass and does not: {said}"));
        }
        (Outcome::NotPassed(_), Some(_)) => {}
        (Outcome::NotPassed(said), None) => {
            return Some(format!("{suite}/{test} is not listed and does not pass: {said}"));
        }
    }
    None
}

fn run_all(
    suite: &dyn Suite,
    tests: Vec<String>,
    firth: &std::path::Path,
    options: &Options,
) -> Result<Vec<Ran>> {
    let waiting = Mutex::new(VecDeque::from(tests));
    let ran = Mutex::new(Vec::new());
    let worker = || -> Result<()> {
        loop {
            let Some(test) = lock(&waiting).pop_front() else {
                return Ok(());
            };
            let one = run_one(suite, test, firth, options)?;
            println!("{}", one.line());
            lock(&ran).push(one);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(worker)).collect();
        for each in workers {
            each.join().expect("a worker does not panic")?;
        }
        anyhow::Ok(())
    })?;
    Ok(ran.into_inner().expect("a worker does not panic"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while it is held")
}

/// A test with a broker and a directory of its own, so that no test depends on which others ran before it.
fn run_one(suite: &dyn Suite, test: String, firth: &std::path::Path, options: &Options) -> Result<Ran> {
    let directory = root()
        .join("target/suites/runs")
        .join(suite.name())
        .join(test.replace(['/', ':'], "_"));
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let (broker, address) = match &options.elsewhere {
        Some((_, address)) => (None, address.clone()),
        None => {
            let arguments = suite.broker_arguments(&test);
            let broker = Broker::start(firth, suite.protocol(), &arguments, &directory)?;
            let address = broker.address.clone();
            (Some(broker), address)
        }
    };
    suite.administer(&address)?;
    let stopwatch = Stopwatch::start();
    let mut outcome = suite.run(&test, &address, &directory)?;
    let took = stopwatch.elapsed();
    if let Some(broker) = broker
        && let Err(fault) = broker.stop()
    {
        outcome = Outcome::NotPassed(format!("{fault:#}"));
    }
    if matches!(outcome, Outcome::Passed) {
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(Ran { test, outcome, took })
}

impl Address {
    fn host_and_port(&self) -> Result<(&str, &str)> {
        let pair = self.client.rsplit_once(':');
        pair.with_context(|| format!("`{}` is not HOST:PORT", self.client))
    }
}

impl Ran {
    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        match &self.outcome {
            Outcome::Passed => format!("passed  {} ({seconds:.1} s)", self.test),
            Outcome::NotPassed(said) => format!("not     {} ({seconds:.1} s): {said}", self.test),
        }
    }
}
