//! `docs/kafka-apis.md`: what ApiVersions is answered with, beside what Apache Kafka answered (`cargo xtask apis --kafka` asks it
//! again). `UPDATE=1 cargo test`, or `cargo xtask apis`, writes the document.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use firth_kafka_codec::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use support::TestBroker;

const KAFKA: &str = include_str!("apis/apache-kafka-4.4.0.txt");

/// Why the versions of an API that both serve differ.
const DIFFERENCES: &[(i16, &str)] = &[
    (
        1,
        "version 18 tells a leader which high watermark a follower knows (KIP-1166); there are no followers",
    ),
    (2, OLDER),
    (8, OLDER),
    (9, OLDER),
    (
        18,
        "version 5 lets a client name the cluster and the node that it means (KIP-1242)",
    ),
    (19, OLDER),
    (29, OLDER),
    (30, OLDER),
    (31, OLDER),
    (32, OLDER),
    (
        35,
        "version 5, new in 4.4, tells which directories take no new partitions; there is one directory",
    ),
    (42, "version 3, new in 4.4, has a message beside each error"),
];

const OLDER: &str = "versions that Apache Kafka 4 dropped and older clients still send are answered";

const TRANSACTIONS: &str = "there are no transactions yet";
const AUTHENTICATION: &str = "there is no authentication yet";
const CONSUMER_GROUPS: &str = "there are no groups of KIP-848 yet; clients fall back to classic ones";
const SHARE_GROUPS: &str = "there are no share groups yet";
const STREAMS_GROUPS: &str = "there are no Streams' groups (KIP-1071); Kafka Streams uses classic ones";
const ONE_BROKER: &str = "there is one broker and no controller beside it";

/// What Apache Kafka serves and Firth does not: its name, and why.
const ABSENT: &[(i16, &str, &str)] = &[
    (17, "SaslHandshake", AUTHENTICATION),
    (24, "AddPartitionsToTxn", TRANSACTIONS),
    (25, "AddOffsetsToTxn", TRANSACTIONS),
    (26, "EndTxn", TRANSACTIONS),
    (27, "WriteTxnMarkers", TRANSACTIONS),
    (28, "TxnOffsetCommit", TRANSACTIONS),
    (34, "AlterReplicaLogDirs", "there is one directory"),
    (36, "SaslAuthenticate", AUTHENTICATION),
    (38, "CreateDelegationToken", AUTHENTICATION),
    (39, "RenewDelegationToken", AUTHENTICATION),
    (40, "ExpireDelegationToken", AUTHENTICATION),
    (41, "DescribeDelegationToken", AUTHENTICATION),
    (51, "AlterUserScramCredentials", AUTHENTICATION),
    (57, "UpdateFeatures", "features never change"),
    (64, "UnregisterBroker", ONE_BROKER),
    (68, "ConsumerGroupHeartbeat", CONSUMER_GROUPS),
    (69, "ConsumerGroupDescribe", CONSUMER_GROUPS),
    (76, "ShareGroupHeartbeat", SHARE_GROUPS),
    (77, "ShareGroupDescribe", SHARE_GROUPS),
    (78, "ShareFetch", SHARE_GROUPS),
    (79, "ShareAcknowledge", SHARE_GROUPS),
    (80, "AddRaftVoter", ONE_BROKER),
    (81, "RemoveRaftVoter", ONE_BROKER),
    (83, "InitializeShareGroupState", SHARE_GROUPS),
    (84, "ReadShareGroupState", SHARE_GROUPS),
    (85, "WriteShareGroupState", SHARE_GROUPS),
    (86, "DeleteShareGroupState", SHARE_GROUPS),
    (87, "ReadShareGroupStateSummary", SHARE_GROUPS),
    (88, "StreamsGroupHeartbeat", STREAMS_GROUPS),
    (89, "StreamsGroupDescribe", STREAMS_GROUPS),
    (90, "DescribeShareGroupOffsets", SHARE_GROUPS),
    (91, "AlterShareGroupOffsets", SHARE_GROUPS),
    (92, "DeleteShareGroupOffsets", SHARE_GROUPS),
    (93, "StreamsGroupTopologyDescriptionUpdate", STREAMS_GROUPS),
    (94, "UnregisterController", ONE_BROKER),
];

const HEAD: &str = "\
# APIs and versions

<!-- Written by `cargo xtask apis` of what the code answers; change crates/kafka/tests/apis.rs instead. -->

What Firth answers to ApiVersions, beside what Apache Kafka 4.4.0 answers (one node of KRaft as it is by default, asked by `cargo
xtask apis --kafka`). An API is advertised when it is whole; what differs in its answers is said [elsewhere](kafka.md). Versions 0 to 2
of Produce are advertised and refused by both: librdkafka does not compress where they are missing (KAFKA-18659).

| key | API | Firth | Apache Kafka | where they differ |
| ---: | --- | --- | --- | --- |
";

type Versions = BTreeMap<i16, (i16, i16)>;

fn kafka_s() -> Versions {
    let lines = KAFKA.lines().filter_map(|line| line.strip_prefix("api "));
    let numbers = lines.map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect());
    numbers
        .map(|numbers: Vec<i16>| (numbers[0], (numbers[1], numbers[2])))
        .collect()
}

fn shown(versions: Option<&(i16, i16)>) -> String {
    match versions {
        Some((min, max)) if min == max => min.to_string(),
        Some((min, max)) => format!("{min}–{max}"),
        None => String::new(),
    }
}

fn table(firth: &Versions, kafka: &Versions) -> String {
    let keys: BTreeSet<i16> = firth.keys().chain(kafka.keys()).copied().collect();
    let mut table = String::new();
    for key in keys {
        let (own, theirs) = (firth.get(&key), kafka.get(&key));
        let (name, why) = match (own, theirs) {
            (None, _) => {
                let absent = ABSENT.iter().find(|(known, ..)| *known == key);
                let (_, name, why) = absent.unwrap_or_else(|| panic!("API {key} is not explained"));
                (*name, *why)
            }
            (Some(_), _) => {
                let why = DIFFERENCES.iter().find(|(known, _)| *known == key);
                assert_eq!(why.is_some(), own != theirs, "the difference of API {key}");
                (
                    ApiKey::from_i16(key).unwrap().name(),
                    why.map_or("", |(_, why)| *why),
                )
            }
        };
        writeln!(
            table,
            "| {key} | {name} | {} | {} | {why} |",
            shown(own),
            shown(theirs)
        )
        .unwrap();
    }
    table
}

fn features(answer: &ApiVersionsResponse) -> String {
    let finalized = KAFKA.lines().filter_map(|line| line.strip_prefix("finalized "));
    let finalized = finalized.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        format!("`{}` {}", words[0], words[2])
    });
    let own = answer.finalized_features.iter();
    let own = own.map(|feature| format!("`{}` {}", feature.name, feature.max_version_level));
    format!(
        "\n## Features\n\nFinalized features (KIP-584):\n\n- Firth: {}\n- Apache Kafka: {}\n\nConsoles tell the release of Apache \
         Kafka by `metadata.version`: 29 is 4.2, and newer ones are not known to all of them. The others would\nhave clients use what \
         is not served.\n",
        own.collect::<Vec<_>>().join(", "),
        finalized.collect::<Vec<_>>().join(", ")
    )
}

#[tokio::test]
async fn the_table_in_the_documents_is_what_is_answered() {
    let broker = TestBroker::memory().await;
    let request = ApiVersionsRequest {
        client_software_name: "x".into(),
        client_software_version: "1".into(),
    };
    let answer = broker.connect().await.call(4, &request).await;
    let rows = answer.api_keys.iter();
    let firth: Versions = rows
        .map(|api| (api.api_key, (api.min_version, api.max_version)))
        .collect();
    let document = format!("{HEAD}{}{}", table(&firth, &kafka_s()), features(&answer));
    broker.stop().await;

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kafka-apis.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, document).unwrap();
    } else {
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == document, "run `cargo xtask apis`");
    }
}
