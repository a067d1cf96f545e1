//! Profiles: which broker a command is for.

use std::path::Path;
use std::process::Output;

use crate::broker::{Broker, firth};

/// Runs a command whose user keeps its configuration in `directory`.
fn run(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = firth(directory);
    command.env("XDG_CONFIG_HOME", directory).args(arguments);
    command.envs(variables.iter().copied()).output().unwrap()
}

fn succeed(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, &[], arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn fail(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = run(directory, variables, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn profiles_are_set_used_listed_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert!(fail(home, &[], &["profile", "show"]).contains("firth profile use NAME"));
    let set = ["profile", "set", "staging", "--server", "staging.example,b:1"];
    let file = home.join("firth/profiles.toml");
    assert_eq!(
        succeed(home, &set),
        format!("set staging in {}\n", file.display())
    );
    succeed(home, &["profile", "set", "staging", "--http", "http://h:1"]);
    succeed(home, &["profile", "set", "local", "--server", "localhost"]);
    assert!(fail(home, &[], &["profile", "use", "stagging"]).contains("did you mean staging?"));
    succeed(home, &["profile", "use", "staging"]);
    let list = succeed(home, &["profile", "list"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["NAME", "SERVER", "HTTP", "USED"],
            vec!["local", "localhost", "-"],
            vec!["staging", "staging.example,b:1", "http://h:1", "*"]
        ]
    );
    let shown = succeed(home, &["profile", "show", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["name"], &shown["used"]),
        (&"staging".into(), &true.into())
    );
    succeed(home, &["profile", "remove", "staging"]);
    assert!(fail(home, &[], &["profile", "show", "staging"]).contains("there is no profile staging"));
    assert!(fail(home, &[], &["profile", "show"]).contains("no profile is in use"));
    let wrong = run(home, &[], &["profile", "set", "x", "--server", "a:b:c"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_a_profile() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let server = broker.kafka().to_string();
    let http = format!("http://{}", broker.addresses("http")[0]);
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Nobody listens on port 1.
    let nobody = "127.0.0.1:1";
    succeed(
        home,
        &["profile", "set", "here", "--server", &server, "--http", &http],
    );
    succeed(home, &["profile", "set", "nowhere", "--server", nobody]);
    let list = ["topic", "list"];
    let default = fail(home, &[("FIRTH_SERVER", nobody)], &list);
    assert!(
        default.contains("is `firth serve` running there?") && default.contains("from FIRTH_SERVER"),
        "{default}"
    );
    succeed(home, &["profile", "use", "nowhere"]);
    let used = fail(home, &[], &list);
    assert!(used.contains("from profile nowhere in "), "{used}");
    let profile = ["topic", "list", "--profile", "here"];
    assert!(run(home, &[("FIRTH_SERVER", nobody)], &profile).status.success());
    assert!(run(home, &[("FIRTH_PROFILE", "here")], &list).status.success());
    let flag = ["topic", "list", "--server", &server, "--profile", "nowhere"];
    assert!(run(home, &[("FIRTH_SERVER", nobody)], &flag).status.success());
    // The first address that answers is taken.
    let several = format!("{nobody},{server}");
    assert!(run(home, &[("FIRTH_SERVER", &several)], &list).status.success());
    let unknown = fail(home, &[("FIRTH_PROFILE", "heer")], &list);
    assert!(unknown.contains("did you mean here?"), "{unknown}");
    let backup = home.join("backup");
    succeed(home, &["backup", backup.to_str().unwrap(), "--profile", "here"]);
    // A file that cannot be read is named, and does not matter to who names a server.
    std::fs::write(home.join("firth/profiles.toml"), "profiles = 1").unwrap();
    assert!(fail(home, &[], &list).contains("did you mean profile?"));
    assert!(run(home, &[("FIRTH_SERVER", &server)], &list).status.success());
}
