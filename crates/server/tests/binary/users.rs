//! `firth user`, `firth permission`, `firth queue`, `firth exchange` and `firth bind`.

use crate::broker::{Broker, Start};
use crate::commands::error;

/// The command, for the broker's HTTP listener.
fn with_server(broker: &Broker, arguments: &str) -> Vec<String> {
    let server = format!("http://{}", broker.addresses("http")[0]);
    let arguments = arguments.split(' ').chain(["--server", &server]);
    arguments.map(str::to_owned).collect()
}

fn succeed(broker: &Broker, arguments: &str, input: &str) -> String {
    let arguments = with_server(broker, arguments);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    broker.succeed(&arguments, input)
}

fn fail(broker: &Broker, arguments: &str, input: &str) -> String {
    let arguments = with_server(broker, arguments);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    error(broker, &arguments, input)
}

#[test]
fn users_are_added_listed_changed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let password = directory.path().join("password");
    let as_alice = |arguments: &str, word: &str| {
        std::fs::write(&password, format!("{word}\n")).unwrap();
        format!("{arguments} --login alice --password-file {}", password.display())
    };
    assert_eq!(
        succeed(&broker, "user add alice --tag administrator", "secret\nrest"),
        "added alice\n"
    );
    assert_eq!(succeed(&broker, "user add bob --no-password", ""), "added bob\n");
    let again = fail(&broker, "user add alice", "other\n");
    assert!(again.contains("alice exists already"), "{again}");
    let empty = fail(&broker, "user add carol", "\n");
    assert!(empty.contains("no password"), "{empty}");
    let list = succeed(&broker, "user list", "");
    let lines: Vec<Vec<_>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let expected = [
        vec!["NAME", "TAGS", "PASSWORD"],
        vec!["alice", "administrator", "yes"],
        vec!["bob", "no"],
        vec!["guest", "administrator", "yes"],
    ];
    assert_eq!(lines, expected);
    // The password is the one that came by standard input, and stays when the tags change.
    succeed(&broker, "user tag alice administrator other", "");
    let json = succeed(&broker, &as_alice("user list --json", "secret"), "");
    assert!(
        json.starts_with("{") && json.contains("[\"administrator\",\"other\"]"),
        "{json}"
    );
    assert_eq!(
        succeed(&broker, "user password alice", "new\n"),
        "changed the password of alice\n"
    );
    let refused = fail(&broker, &as_alice("user list", "secret"), "");
    assert!(refused.contains("does not let alice in"), "{refused}");
    succeed(&broker, &as_alice("user delete guest bob", "new"), "");
    let refused = fail(&broker, "user list", "");
    assert!(refused.contains("does not let guest in"), "{refused}");
    let absent = fail(&broker, &as_alice("user delete bob", "new"), "");
    assert!(absent.contains("user bob: there is no such thing"), "{absent}");
    let log = broker.stop();
    assert!(!log.contains("secret"), "{log}");

    // All of it is there after a restart.
    let broker = Start::recycling(directory.path()).succeed();
    let list = succeed(&broker, &as_alice("user list", "new"), "");
    assert_eq!(list.lines().count(), 2, "{list}");
}

#[test]
fn permissions_are_set_listed_and_cleared() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    succeed(&broker, "user add alice", "secret");
    let set = "permission set alice --configure ^a --write .* --read ^(a|b)$";
    assert_eq!(succeed(&broker, set, ""), "set the permissions of alice in /\n");
    let list = succeed(&broker, "permission list --user alice", "");
    let row: Vec<_> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["alice", "/", "^a", ".*", "^(a|b)$"]);
    assert_eq!(succeed(&broker, "permission list --vhost other --json", ""), "");
    let unsupported = fail(
        &broker,
        "permission set alice --configure (?=a) --write a --read a",
        "",
    );
    assert!(unsupported.contains("'(?=a)' is not supported"), "{unsupported}");
    let absent = fail(&broker, "permission set bob --configure a --write a --read a", "");
    assert!(absent.contains("vhost_or_user_not_found"), "{absent}");

    succeed(
        &broker,
        "permission set-topic alice amq.topic --write ^{username} --read ^a",
        "",
    );
    let json = succeed(&broker, "permission list --topic --json", "");
    assert!(
        json.contains("\"exchange\":\"amq.topic\"") && json.contains("^{username}"),
        "{json}"
    );
    succeed(&broker, "permission clear-topic alice", "");
    assert_eq!(succeed(&broker, "permission list --topic --json", ""), "");
    assert_eq!(
        succeed(&broker, "permission clear alice", ""),
        "cleared the permissions of alice in /\n"
    );
    let absent = fail(&broker, "permission clear alice", "");
    assert!(
        absent.contains("permissions of alice in /: there is no such thing"),
        "{absent}"
    );
}

#[test]
fn queues_and_exchanges_are_listed_and_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let list = succeed(&broker, "exchange list --vhost /", "");
    let topic = list.lines().find(|line| line.starts_with("amq.topic"));
    let row: Vec<_> = topic.unwrap_or_default().split_whitespace().collect();
    assert_eq!(row, ["amq.topic", "/", "topic", "yes", "no", "no"], "{list}");
    assert_eq!(succeed(&broker, "queue list --json", ""), "");
    for command in [
        "queue delete q",
        "queue purge q",
        "exchange delete e",
        "queue list --vhost other",
    ] {
        let absent = fail(&broker, command, "");
        assert!(absent.contains("there is no such thing"), "{command}: {absent}");
    }
    let predeclared = fail(&broker, "exchange delete amq.topic", "");
    assert!(predeclared.contains("guest may not do that"), "{predeclared}");
    succeed(&broker, "user add alice", "secret");
    let password = directory.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    let as_alice = format!("queue list --login alice --password-file {}", password.display());
    let refused = fail(&broker, &as_alice, "");
    assert!(
        refused.contains("alice may not do that: Not management user"),
        "{refused}"
    );
}

#[test]
fn queues_are_declared_bound_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let declare = "queue declare q --argument x-max-length=5 --argument x-queue-type=classic";
    assert_eq!(succeed(&broker, declare, ""), "declared q\n");
    assert_eq!(succeed(&broker, declare, ""), "declared q\n");
    let other = fail(&broker, "queue declare q --transient", "");
    assert!(
        other.contains("inequivalent arg 'durable' for queue 'q'"),
        "{other}"
    );
    let json = succeed(&broker, "queue list --json", "");
    assert!(
        json.contains("\"arguments\":{\"x-max-length\":5,\"x-queue-type\":\"classic\"}"),
        "{json}"
    );
    assert_eq!(
        succeed(&broker, "exchange declare e --type topic", ""),
        "declared e\n"
    );

    assert_eq!(succeed(&broker, "bind e a.# --queue q", ""), "bound q to e\n");
    succeed(&broker, "bind e b --exchange amq.fanout", "");
    broker.succeed(&["topic", "create", "events"], "");
    succeed(&broker, "bind e # --topic events", "");
    let absent = fail(&broker, "bind nope a --queue q", "");
    assert!(absent.contains("no exchange 'nope' in vhost '/'"), "{absent}");
    let list = succeed(&broker, "bind e", "");
    let mut rows: Vec<Vec<_>> = list
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    rows.sort();
    let expected = [
        ["e", "#", "topic", "events", "{}"],
        ["e", "a.#", "queue", "q", "{}"],
        ["e", "b", "exchange", "amq.fanout", "{}"],
    ];
    assert_eq!(rows, expected);
    assert_eq!(
        succeed(&broker, "bind --json", "").lines().count(),
        4,
        "and that of the default exchange"
    );
    let none = fail(&broker, "bind e x --queue q --delete", "");
    assert!(none.contains("q is not bound to e with the key \"x\""), "{none}");
    assert_eq!(
        succeed(&broker, "bind e a.# --queue q --delete", ""),
        "unbound q from e\n"
    );
    assert_eq!(
        succeed(&broker, "bind e # --topic events --delete", ""),
        "unbound events from e\n"
    );
    let nothing = fail(&broker, "bind --queue q", "");
    assert!(nothing.contains("--topic"), "{nothing}");

    assert_eq!(succeed(&broker, "queue purge q", ""), "purged q\n");
    assert_eq!(
        succeed(&broker, "queue delete q --if-unused --if-empty", ""),
        "deleted q\n"
    );
    let used = fail(&broker, "exchange delete e --if-unused", "");
    assert!(used.contains("in use"), "{used}");
    assert_eq!(succeed(&broker, "exchange delete e", ""), "deleted e\n");
}
