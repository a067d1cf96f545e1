use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::profile::{Profile, Profiles};
use crate::table::table;
use crate::target::{ProfileName, with_port};

/// A profile names a server. Commands talk to the server of --server, else of FIRTH_SERVER, else of the profile in use, else to
/// localhost:9092; the profile in use is that of --profile, else of FIRTH_PROFILE, else the one of `firth profile use`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List the profiles
    List(ListArgs),
    /// Show a profile, or the one in use
    Show(ShowArgs),
    /// Make a profile, or change what is named of it
    Set(SetArgs),
    /// Use a profile where nothing else names a server
    Use(UseArgs),
    /// Remove a profile
    Remove(RemoveArgs),
}

#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Print one JSON object for each profile
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// [default: the one in use]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    used: ProfileName,
}

#[derive(clap::Args)]
pub(crate) struct SetArgs {
    #[arg(value_parser = name)]
    name: String,
    /// Where Kafka clients connect
    #[arg(long, value_name = "HOST:PORT,...", required_unless_present = "http", value_parser = servers)]
    server: Option<String>,
    /// The address of the HTTP listener, for `firth backup`
    #[arg(long, value_name = "http://HOST:PORT")]
    http: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct UseArgs {
    #[arg(required_unless_present = "none")]
    name: Option<String>,
    /// Use no profile
    #[arg(long, conflicts_with = "name")]
    none: bool,
}

#[derive(clap::Args)]
pub(crate) struct RemoveArgs {
    name: String,
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    let profiles = Profiles::load()?;
    match command {
        Command::List(args) => list(&args, &profiles)?,
        Command::Show(args) => show(&args, &profiles)?,
        Command::Set(args) => set(args, profiles)?,
        Command::Use(args) => use_one(args, profiles)?,
        Command::Remove(args) => remove(&args, profiles)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs, profiles: &Profiles) -> Result<()> {
    let is_used = |name: &String| profiles.used.as_ref() == Some(name);
    if args.json {
        for (name, profile) in &profiles.profiles {
            writeln!(stdout(), "{}", as_json(name, profile, is_used(name)))?;
        }
        return Ok(());
    }
    let row = |(name, profile): (&String, &Profile)| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let used = if is_used(name) { "*" } else { "" };
        vec![
            name.clone(),
            text(&profile.server),
            text(&profile.http),
            used.to_owned(),
        ]
    };
    let rows: Vec<_> = profiles.profiles.iter().map(row).collect();
    write!(stdout(), "{}", table(&["name", "server", "http", "used"], &rows))?;
    Ok(())
}

fn show(args: &ShowArgs, profiles: &Profiles) -> Result<()> {
    let name = args.name.clone().or_else(|| args.used.name());
    let Some(name) = name.or_else(|| profiles.used.clone()) else {
        anyhow::bail!(
            "no profile is in use; `firth profile use NAME` uses one, `firth profile list` lists them"
        );
    };
    let profile = profiles.named(&name)?;
    if args.json {
        let is_used = profiles.used.as_ref() == Some(&name);
        writeln!(stdout(), "{}", as_json(&name, profile, is_used))?;
        return Ok(());
    }
    writeln!(stdout(), "{name} in {}", profiles.path().display())?;
    for (key, value) in [("server", &profile.server), ("http", &profile.http)] {
        writeln!(stdout(), "{key:<6}  {}", value.as_deref().unwrap_or("-"))?;
    }
    Ok(())
}

fn as_json(name: &str, profile: &Profile, is_used: bool) -> serde_json::Value {
    json!({ "name": name, "server": profile.server, "http": profile.http, "used": is_used })
}

fn set(args: SetArgs, mut profiles: Profiles) -> Result<()> {
    let profile = profiles.profiles.entry(args.name.clone()).or_default();
    profile.server = args.server.or(profile.server.take());
    profile.http = args.http.or(profile.http.take());
    profiles.save()?;
    writeln!(stdout(), "set {} in {}", args.name, profiles.path().display())?;
    Ok(())
}

fn use_one(args: UseArgs, mut profiles: Profiles) -> Result<()> {
    if let Some(name) = &args.name {
        profiles.named(name)?;
    }
    profiles.used = args.name;
    profiles.save()?;
    match &profiles.used {
        Some(name) => writeln!(stdout(), "using {name}")?,
        None => writeln!(stdout(), "using no profile")?,
    }
    Ok(())
}

fn remove(args: &RemoveArgs, mut profiles: Profiles) -> Result<()> {
    profiles.named(&args.name)?;
    profiles.profiles.remove(&args.name);
    if profiles.used.as_ref() == Some(&args.name) {
        profiles.used = None;
    }
    profiles.save()?;
    writeln!(stdout(), "removed {}", args.name)?;
    Ok(())
}

fn name(text: &str) -> Result<String> {
    ensure!(
        !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_control),
        "a profile has a name"
    );
    Ok(text.to_owned())
}

fn servers(text: &str) -> Result<String> {
    for address in text.split(',') {
        with_port(address)?;
    }
    Ok(text.to_owned())
}
