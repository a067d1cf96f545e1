//! librdkafka's own suite, from the sources that its package for Node brings.
//!
//! Its runner takes the number of a test; which tests there are and what they want stands in `test.c` alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{command, fill_once, run, run_within};
use super::pytest::venv;
use super::{Address, Outcome, Suite};
use crate::root;

/// The package whose sources are taken, its version, and the version of librdkafka in it.
const PACKAGE: (&str, &str, &str) = ("@confluentinc/kafka-javascript", "1.10.1", "2.15.1");
/// What a test may take; the longest takes two minutes.
const LIMIT: Duration = Duration::from_secs(240);
/// What tests ask for; the rest is only where it happens to be.
const CONFIGURE: [&str; 4] = [
    "--enable-ssl",
    "--enable-zstd",
    "--disable-gssapi",
    "--disable-curl",
];

/// Tests that end at a part which Firth cannot pass yet or that take ten minutes, and their parts, each a test of its own here:
/// what is in the runner's name of the part, and what it is called here.
const PARTS: &[(&str, &[(&str, &str)])] = &[
    (
        "0061_consumer_lag",
        &[("without transactions", "without_transactions")],
    ),
    (
        "0081_admin",
        &[
            ("do_test_AlterConfigs:", "AlterConfigs"),
            ("do_test_AlterConsumerGroupOffsets:", "AlterConsumerGroupOffsets"),
            ("do_test_CreatePartitions:", "CreatePartitions"),
            ("do_test_CreateTopics:", "CreateTopics"),
            (
                "do_test_DeleteConsumerGroupOffsets:",
                "DeleteConsumerGroupOffsets",
            ),
            ("do_test_DeleteGroups:", "DeleteGroups"),
            ("do_test_DeleteRecords:", "DeleteRecords"),
            ("do_test_DeleteTopics:", "DeleteTopics"),
            ("do_test_DescribeCluster:", "DescribeCluster"),
            ("do_test_DescribeConfigs:", "DescribeConfigs"),
            ("do_test_DescribeConfigs_groups:", "DescribeConfigs_groups"),
            ("do_test_DescribeConsumerGroups:", "DescribeConsumerGroups"),
            ("do_test_DescribeTopics:", "DescribeTopics"),
            ("do_test_IncrementalAlterConfigs:", "IncrementalAlterConfigs"),
            ("do_test_ListConsumerGroupOffsets:", "ListConsumerGroupOffsets"),
            ("do_test_ListConsumerGroups:", "ListConsumerGroups"),
            ("do_test_ListOffsets:", "ListOffsets"),
            ("do_test_unclean_destroy:", "unclean_destroy"),
            ("do_test_UserScramCredentials:", "UserScramCredentials"),
        ],
    ),
    (
        "0113_cooperative_rebalance",
        &[
            ("a_assign_tests:", "a_assign_tests"),
            ("b_subscribe_with_cb_test:", "b_subscribe_with_cb_test"),
            ("c_subscribe_no_cb_test:", "c_subscribe_no_cb_test"),
            (
                "d_change_subscription_add_topic:",
                "d_change_subscription_add_topic",
            ),
            (
                "e_change_subscription_remove_topic:",
                "e_change_subscription_remove_topic",
            ),
            ("f_assign_call_cooperative:", "f_assign_call_cooperative"),
            (
                "g_incremental_assign_call_eager:",
                "g_incremental_assign_call_eager",
            ),
            ("h_delete_topic:", "h_delete_topic"),
            ("i_delete_topic_2:", "i_delete_topic_2"),
            ("j_delete_topic_no_rb_callback:", "j_delete_topic_no_rb_callback"),
            ("k_add_partition:", "k_add_partition"),
            ("l_unsubscribe:", "l_unsubscribe"),
            ("m_unsubscribe_2:", "m_unsubscribe_2"),
            ("n_wildcard:", "n_wildcard"),
            ("o_java_interop:", "o_java_interop"),
            ("s_subscribe_when_rebalancing:", "s_subscribe_when_rebalancing"),
            ("t_max_poll_interval_exceeded:", "t_max_poll_interval_exceeded"),
            (
                "use_rebalance_cb: 0, subscription_variation: 0",
                "u_multiple_subscription_changes_0_0",
            ),
            (
                "use_rebalance_cb: 1, subscription_variation: 0",
                "u_multiple_subscription_changes_0_1",
            ),
            (
                "use_rebalance_cb: 0, subscription_variation: 1",
                "u_multiple_subscription_changes_1_0",
            ),
            (
                "use_rebalance_cb: 1, subscription_variation: 1",
                "u_multiple_subscription_changes_1_1",
            ),
            (
                "use_rebalance_cb: 0, subscription_variation: 2",
                "u_multiple_subscription_changes_2_0",
            ),
            (
                "use_rebalance_cb: 1, subscription_variation: 2",
                "u_multiple_subscription_changes_2_1",
            ),
            ("v_commit_during_rebalance:", "v_commit_during_rebalance"),
            ("x_incremental_rebalances:", "x_incremental_rebalances"),
        ],
    ),
    (
        "0137_barrier_batch_consume",
        &[
            ("do_test_consume_batch_with_seek:", "seek"),
            (
                "do_test_consume_batch_with_pause_and_resume_different_batch:",
                "pause_and_resume_different_batch",
            ),
            (
                "do_test_consume_batch_with_pause_and_resume_same_batch:",
                "pause_and_resume_same_batch",
            ),
            ("do_test_consume_batch_store_offset:", "store_offset"),
            ("Testing EOF position", "end_of_partition"),
        ],
    ),
];

pub(super) struct Librdkafka;

/// An entry of the runner's table.
struct Declared {
    name: String,
    /// How the broker has to be configured.
    scenario: &'static str,
}

impl Suite for Librdkafka {
    fn name(&self) -> &'static str {
        "librdkafka"
    }

    fn version(&self) -> String {
        let (package, version, librdkafka) = PACKAGE;
        format!("librdkafka {librdkafka} (npm, {package} {version}), its own suite")
    }

    fn prepare(&self) -> Result<()> {
        let directory = directory();
        fill_once(&directory, || {
            let (package, version, _) = PACKAGE;
            let programs = root().join("tests/clients/programs.py");
            let fetch = ["npm", "pack", "--silent"];
            run(command(venv()?)
                .arg(programs)
                .args(fetch)
                .arg(format!("{package}@{version}"))
                .current_dir(&directory)
                .stdout(std::process::Stdio::null()))?;
            let archive = format!(
                "{}-{version}.tgz",
                package.trim_start_matches('@').replace('/', "-")
            );
            run(command("tar")
                .args([
                    "--extract",
                    "--file",
                    &archive,
                    "--strip-components=3",
                    "package/deps/librdkafka",
                ])
                .current_dir(&directory))?;
            let log = directory.join("build.log");
            let build = format!(
                "(./configure {} && make -j2 libs && make -j2 -C tests build) >{} 2>&1",
                CONFIGURE.join(" "),
                log.display()
            );
            run(command("sh").args(["-c", &build]).current_dir(&directory))
                .with_context(|| format!("librdkafka was not built: see {}", log.display()))?;
            Ok(())
        })
    }

    fn tests(&self) -> Result<Vec<String>> {
        let mut tests: Vec<_> = declared()?.into_iter().map(|test| test.name).collect();
        for (test, parts) in PARTS {
            tests.extend(parts.iter().map(|(_, part)| format!("{test}/{part}")));
        }
        Ok(tests)
    }

    fn broker_arguments(&self, test: &str) -> Vec<&'static str> {
        let mut arguments = vec!["--num-partitions", "4"];
        if scenario(test) == "noautocreate" {
            arguments.extend(["--auto-create-topics", "false"]);
        }
        arguments
    }

    fn run(&self, test: &str, broker: &Address, directory: &Path) -> Result<Outcome> {
        // Machines of CI are slow.
        let conf = directory.join("test.conf");
        fs::write(
            &conf,
            format!("bootstrap.servers={}\ntest.timeout.multiplier=2\n", broker.client),
        )?;
        let (test, part) = part_of(test)?;
        let (number, _) = test
            .split_once('_')
            .context("a test's name begins with its number")?;
        let log = directory.join("log");
        let tests = self::directory().join("tests");
        // Tests of the same number that speak to no broker are left out.
        let options = ["-p1", "-L", "-s", scenario(test)];
        let mut runner = command("./test-runner");
        if let Some(part) = part {
            runner.env("SUBTESTS", part);
        }
        let status = run_within(
            runner
                .args(options)
                .env("TESTS", number)
                .env("TEST_KAFKA_VERSION", "4.2.0")
                .env("RDKAFKA_TEST_CONF", &conf)
                .env("LD_LIBRARY_PATH", "../src:../src-cpp")
                // It would have other timeouts.
                .env_remove("CI")
                .current_dir(tests),
            LIMIT,
            &log,
        )?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let ended = status.is_some();
        Ok(match ending(&said, test) {
            Some("PASSED") if ended && part.is_none_or(|part| has_passed(&said, part)) => Outcome::Passed,
            Some("SKIPPED") => Outcome::NotPassed("it skips itself".to_owned()),
            _ if ended => Outcome::NotPassed(complaint(&said).to_owned()),
            _ => Outcome::NotPassed(format!(
                "it did not end within {} s; {}",
                LIMIT.as_secs(),
                complaint(&said)
            )),
        })
    }
}

/// The runner's name of a test, and what the name of its part contains if only that is meant.
fn part_of(test: &str) -> Result<(&str, Option<&'static str>)> {
    let Some((whole, part)) = test.split_once('/') else {
        return Ok((test, None));
    };
    let mut parts = PARTS
        .iter()
        .filter(|(of, _)| *of == whole)
        .flat_map(|(_, parts)| *parts);
    let (contains, _) = parts
        .find(|(_, name)| *name == part)
        .context("a part of a test is in the table")?;
    Ok((whole, Some(contains)))
}

/// A part that no longer exists fails nothing: it has to be said to have passed.
fn has_passed(said: &str, part: &str) -> bool {
    said.lines()
        .any(|line| line.contains(part) && line.contains(": PASS"))
}

fn directory() -> PathBuf {
    root().join("target/suites/librdkafka")
}

/// How a test ended, from `================= Test 0001_multiobj PASSED =================`. A summary follows, but not where
/// another test of the same number failed.
fn ending<'a>(said: &'a str, test: &str) -> Option<&'a str> {
    let head = format!("= Test {test} ");
    said.lines()
        .find_map(|line| line.split_once(&head)?.1.split(' ').next())
}

/// The first complaint: what follows a line as `### Test "0081_admin" failed at ... ###`.
fn complaint(said: &str) -> &str {
    let mut lines = said.lines().skip_while(|line| !line.contains("### Test \""));
    lines
        .nth(1)
        .unwrap_or("it did not say what was the matter")
        .trim()
}

/// Which scenario of the runner's a test belongs to, before it is known which tests there are.
fn scenario(test: &str) -> &'static str {
    let declared = declared().unwrap_or_default();
    declared
        .iter()
        .find(|each| Some(each.name.as_str()) == test.split('/').next())
        .map_or("default", |each| each.scenario)
}

/// The table of `test.c`: `_TEST(name, flags, ... .scenario = "noautocreate"),`.
fn declared() -> Result<Vec<Declared>> {
    let path = directory().join("tests/test.c");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (_, table) = text
        .split_once("struct test tests[] = {")
        .context("test.c has a table of tests")?;
    let (table, _) = table.split_once("{NULL}").context("the table of test.c ends")?;
    Ok(table.split("_TEST(").skip(1).map(declaration).collect())
}

fn declaration(text: &str) -> Declared {
    let name = text
        .split([',', ')'])
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let scenario = if text.contains(".scenario = \"noautocreate\"") {
        "noautocreate"
    } else {
        "default"
    };
    Declared { name, scenario }
}

#[cfg(test)]
mod tests {
    use super::{complaint, declaration, ending};

    #[test]
    fn the_runners_table_is_read() {
        let plain = declaration("0019_list_groups, 0, TEST_BRKVER(0, 9, 0, 0)),\n    ");
        assert_eq!(
            (plain.name.as_str(), plain.scenario),
            ("0019_list_groups", "default")
        );
        let other = declaration(
            "0107_topic_recreate,\n 0,\n TEST_BRKVER_TOPIC_ADMINAPI,\n .scenario = \"noautocreate\"),",
        );
        assert_eq!(
            (other.name.as_str(), other.scenario),
            ("0107_topic_recreate", "noautocreate")
        );
    }

    #[test]
    fn the_runners_words_are_read() {
        let said = "\u{1b}[36m[0001_multiobj / 0.0s] \u{1b}[32m================= Test 0001_multiobj PASSED =================\u{1b}[0m\n\
                    \u{1b}[31m### Test \"0081_admin (CreateTopics)\" failed at 0081-admin.c:236:x() at Mon: ###\n\
                    no such thing\n\
                    [0081_admin / 0.0s] ================= Test 0081_admin FAILED =================\n";
        assert_eq!(ending(said, "0001_multiobj"), Some("PASSED"));
        assert_eq!(ending(said, "0081_admin"), Some("FAILED"));
        assert_eq!(ending(said, "0081"), None);
        assert_eq!(complaint(said), "no such thing");
    }
}
