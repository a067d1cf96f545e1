use std::net::{TcpListener, TcpStream};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::broker::{Broker, firth};

/// Runs a command that does not start a broker: exit code and standard error.
fn refused(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = firth(directory)
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn without_arguments_it_explains_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (code, help) = refused(directory.path(), &[], &[]);
    assert_eq!(code, Some(2));
    for word in ["serve", "topic", "produce", "consume", "doctor"] {
        assert!(help.contains(word), "{help}");
    }
}

#[test]
fn the_banner_says_where_everything_is() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    assert_eq!(broker.banner[1], "data        data");
    assert!(
        broker.banner[5].starts_with("durability  disk"),
        "{:?}",
        broker.banner
    );
    for name in ["kafka", "amqp", "http"] {
        let addresses = broker.addresses(name);
        assert!(!addresses.is_empty());
        for address in &addresses {
            assert_eq!(
                address.port(),
                addresses[0].port(),
                "IPv4 and IPv6 share the port"
            );
            TcpStream::connect(address).unwrap();
        }
    }
    assert!(broker.get("/healthz").starts_with("HTTP/1.0 200"));
    assert!(
        broker
            .get("/metrics")
            .contains("\nfirth_kafka_connections_accepted_total ")
    );
}

#[test]
fn a_file_in_the_working_directory_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("firth.toml"), "durability = 'os'\n").unwrap();
    let broker = Broker::start(directory);
    assert!(
        broker.banner[5].starts_with("durability  os"),
        "{:?}",
        broker.banner
    );
}

#[test]
fn weaker_durability_is_named_in_the_metrics_and_in_the_log() {
    for (durability, warnings) in [("disk", 0), ("os", 1)] {
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::start_with(directory.path(), &["--durability", durability]);
        let sample = format!("\nfirth_durability_info{{durability=\"{durability}\"}} 1\n");
        assert!(broker.get("/metrics").contains(&sample));
        let log = broker.stop();
        assert_eq!(log.matches("WARN").count(), warnings, "{log}");
        assert_eq!(log.matches("durability is os").count(), warnings, "{log}");
    }
}

#[test]
fn files_are_written_through_the_cache_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), &["--direct", "never"]);
    broker.succeed(&["produce", "t"], "x\n");
    let open_files = std::fs::read_dir(format!("/proc/{}/fdinfo", broker.pid())).unwrap();
    for file in open_files {
        // A descriptor may be closed in between.
        let Ok(info) = std::fs::read_to_string(file.unwrap().path()) else {
            continue;
        };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_eq!(flags & OFlags::DIRECT.bits(), 0, "{info}");
    }
    let (code, error) = refused(directory.path(), &["serve", "--direct", "yes"], &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("auto, always or never"), "{error}");
}

#[test]
fn a_second_process_is_refused_and_told_the_firsts_pid() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    // The same ports, which are taken too.
    let kafka = broker.addresses("kafka")[0].to_string();
    let arguments = [
        "serve", "--data", "data", "--kafka", &kafka, "--amqp", "off", "--http", "off",
    ];
    let (code, error) = refused(directory.path(), &arguments, &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains(&format!("(pid {})", broker.pid())), "{error}");
    assert!(!error.contains("stack backtrace"), "{error}");
    // And the first one is not disturbed.
    broker.succeed(&["topic", "create", "t"], "");
}

#[test]
fn wrong_settings_are_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("wrong.toml"), "kafak = 'off'\n").unwrap();
    let none: &[(&str, &str)] = &[];
    for (arguments, environment, code, words) in [
        (
            &["serve", "--config", "wrong.toml"][..],
            none,
            1,
            &["unknown key kafak", "did you mean kafka?"][..],
        ),
        (
            &["serve"],
            &[("FIRTH_DATE", "x")],
            1,
            &["FIRTH_DATE", "did you mean FIRTH_DATA?"],
        ),
        (
            &["serve", "--durabilty", "os"],
            none,
            2,
            &["--durabilty", "--durability"],
        ),
        (
            &["serve", "--wal-limit", "lots"],
            none,
            1,
            &["--wal-limit", "lots", "256MiB"],
        ),
        (
            &["serve", "--kafka", "0.0.0.0:0"],
            none,
            1,
            &["0.0.0.0:0", "--insecure"],
        ),
        (&["serve", "--http", "[::]:0"], none, 1, &["[::]:0", "--insecure"]),
        (&["serve", "--config", "absent.toml"], none, 1, &["absent.toml"]),
    ] {
        let (found, error) = refused(directory, arguments, environment);
        assert_eq!(found, Some(code), "{arguments:?}: {error}");
        for word in words {
            assert!(error.contains(word), "{arguments:?}: {word} is not in {error}");
        }
    }
    assert!(
        !directory.join("firth-data").exists(),
        "nothing is created for nothing"
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, error) = refused(
        directory.path(),
        &["serve", "--kafka", &address, "--amqp", "off", "--http", "off"],
        &[],
    );
    assert_eq!(code, Some(1));
    assert!(error.contains(&address) && error.contains("--kafka"), "{error}");
}

#[test]
fn the_banner_warns_when_strangers_may_connect() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), &["--insecure"]);
    assert!(broker.banner[6].contains("NONE"), "{:?}", broker.banner);
}

#[test]
fn sigterm_stops_in_order_and_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["produce", "t"], "one\ntwo\n");
    let _idle = TcpStream::connect(broker.addresses("kafka")[0]).unwrap();
    broker.signal(Signal::TERM);
    let ended = broker.end();
    assert_eq!((ended.status.code(), ended.printed.as_str()), (Some(0), ""));

    let broker = Broker::start(directory.path());
    assert_eq!(broker.succeed(&["consume", "t", "--exit"], ""), "one\ntwo\n");
    broker.signal(Signal::INT);
    assert_eq!(broker.end().status.code(), Some(0));
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let broker = Broker::start(directory.path());
        broker.succeed(&["produce", "t"], &format!("{round}\n"));
        broker.kill();
    }
    let broker = Broker::start(directory.path());
    assert_eq!(broker.succeed(&["consume", "t", "--exit"], ""), "0\n1\n2\n");
}
