//! What is not a message: every proper prefix of one is refused, and no change of bytes is worse than a refusal.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::api::{ApiKey, RequestMessage};
use crate::arbitrary::{Arbitrary, Entropy};
use crate::error::Error;
use crate::error_code::ErrorCode;
use crate::messages::*;
use crate::primitives::{ARRAY_ELEMENTS_MAX, ByteStr, Reader, TAGGED_FIELDS_MAX, Wire, Writer};

fn encode<M: Wire>(message: &M, flexible: bool, version: i16) -> Option<Vec<u8>> {
    let mut buf = BytesMut::new();
    let mut writer = Writer::new(&mut buf, flexible);
    message.encode(&mut writer, version);
    let frame: Vec<u8> = writer.finish().ok()?.into_parts().flatten().collect();
    Some(frame[4..].to_vec())
}

fn is_refused<M: Wire + Debug>(bytes: &[u8], flexible: bool, version: i16) {
    let bytes = Bytes::copy_from_slice(bytes);
    let error = M::decode(&mut Reader::new(&bytes, flexible), version).unwrap_err();
    let (Error::Incomplete { field, .. } | Error::Malformed { field, .. }) = error else {
        panic!("{error:?}")
    };
    assert_ne!(field, "", "{error:?}");
}

fn attack<M: Wire + Arbitrary + Debug>(seed: u64, flexible: bool, version: i16) {
    let entropy = &mut Entropy(seed);
    let Some(bytes) = encode(&M::arbitrary(entropy), flexible, version) else {
        return;
    };
    // All prefixes of a short message, and those of a long one that end near either end of it.
    for end in (0..bytes.len()).filter(|end| *end < 400 || bytes.len() - end < 100) {
        is_refused::<M>(&bytes[..end], flexible, version);
    }
    for _ in 0..20 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + usize::from(u8::arbitrary(entropy) % 4) {
            let place = u64::arbitrary(entropy) as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(place) {
                *byte =
                    [0, 1, 0x7f, 0x80, 0xff, u8::arbitrary(entropy)][usize::from(u8::arbitrary(entropy) % 6)];
            }
        }
        let bytes = Bytes::from(bytes);
        let _ = M::decode(&mut Reader::new(&bytes, flexible), version);
    }
}

fn attack_all_versions<R: RequestMessage + Arbitrary + Debug>(seed: u64)
where
    R::Response: Arbitrary + Debug,
{
    for version in (0..=20).filter(|version| R::API_KEY.serves(*version)) {
        let flexible = R::API_KEY.is_flexible(version);
        // ApiVersions of old is an empty body: nothing in it can be cut or changed.
        attack::<R>(seed, flexible, version);
        attack::<R::Response>(seed, flexible, version);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prefixes_are_refused_and_changed_bytes_do_no_harm(seed: u64) {
        attack_all_versions::<AlterClientQuotasRequest>(seed);
        attack_all_versions::<AlterConfigsRequest>(seed);
        attack_all_versions::<AlterPartitionReassignmentsRequest>(seed);
        attack_all_versions::<ApiVersionsRequest>(seed);
        attack_all_versions::<CreateAclsRequest>(seed);
        attack_all_versions::<CreatePartitionsRequest>(seed);
        attack_all_versions::<CreateTopicsRequest>(seed);
        attack_all_versions::<DeleteAclsRequest>(seed);
        attack_all_versions::<DeleteGroupsRequest>(seed);
        attack_all_versions::<DeleteRecordsRequest>(seed);
        attack_all_versions::<DeleteTopicsRequest>(seed);
        attack_all_versions::<DescribeAclsRequest>(seed);
        attack_all_versions::<DescribeClientQuotasRequest>(seed);
        attack_all_versions::<DescribeClusterRequest>(seed);
        attack_all_versions::<DescribeConfigsRequest>(seed);
        attack_all_versions::<DescribeGroupsRequest>(seed);
        attack_all_versions::<DescribeLogDirsRequest>(seed);
        attack_all_versions::<DescribeProducersRequest>(seed);
        attack_all_versions::<DescribeQuorumRequest>(seed);
        attack_all_versions::<DescribeTopicPartitionsRequest>(seed);
        attack_all_versions::<DescribeTransactionsRequest>(seed);
        attack_all_versions::<DescribeUserScramCredentialsRequest>(seed);
        attack_all_versions::<ElectLeadersRequest>(seed);
        attack_all_versions::<FetchRequest>(seed);
        attack_all_versions::<FindCoordinatorRequest>(seed);
        attack_all_versions::<HeartbeatRequest>(seed);
        attack_all_versions::<IncrementalAlterConfigsRequest>(seed);
        attack_all_versions::<InitProducerIdRequest>(seed);
        attack_all_versions::<JoinGroupRequest>(seed);
        attack_all_versions::<LeaveGroupRequest>(seed);
        attack_all_versions::<ListConfigResourcesRequest>(seed);
        attack_all_versions::<ListGroupsRequest>(seed);
        attack_all_versions::<ListOffsetsRequest>(seed);
        attack_all_versions::<ListPartitionReassignmentsRequest>(seed);
        attack_all_versions::<ListTransactionsRequest>(seed);
        attack_all_versions::<MetadataRequest>(seed);
        attack_all_versions::<OffsetCommitRequest>(seed);
        attack_all_versions::<OffsetDeleteRequest>(seed);
        attack_all_versions::<OffsetFetchRequest>(seed);
        attack_all_versions::<OffsetForLeaderEpochRequest>(seed);
        attack_all_versions::<ProduceRequest>(seed);
        attack_all_versions::<SyncGroupRequest>(seed);
    }

    #[test]
    fn any_bytes_are_a_frame_or_refused(bytes: Vec<u8>, key in 0_i16..100, version in -1_i16..18) {
        let mut frame = BytesMut::new();
        frame.extend_from_slice(&key.to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&bytes);
        if let Ok((header, body)) = crate::decode_header(&frame.freeze()) {
            let _ = crate::decode_request(&header, &body);
        }
    }
}

fn malformed<T: Debug>(result: Result<T, Error>) -> (&'static str, i64) {
    match result {
        Err(Error::Malformed { what, value, .. }) => (what, value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_count_is_not_believed_without_the_bytes() {
    for (flexible, claim) in [
        (false, vec![0x7f, 0xff, 0xff, 0xff]),
        (true, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        let bytes = Bytes::from(claim);
        let result = Vec::<i32>::decode(&mut Reader::new(&bytes, flexible), 0);
        assert!(matches!(result, Err(Error::Incomplete { .. })), "{result:?}");
    }
}

#[test]
fn all_arrays_of_a_message_together_are_bounded() {
    let half = ARRAY_ELEMENTS_MAX / 2 + 1;
    let mut bytes = Vec::new();
    for _ in 0..2 {
        bytes.extend_from_slice(&i32::try_from(half).unwrap().to_be_bytes());
        bytes.resize(bytes.len() + half, 0);
    }
    let bytes = Bytes::from(bytes);
    let mut reader = Reader::new(&bytes, false);
    assert_eq!(Vec::<i8>::decode(&mut reader, 0).unwrap().len(), half);
    assert_eq!(
        malformed(Vec::<i8>::decode(&mut reader, 0)),
        ("number of elements", half as i64)
    );
}

#[test]
fn tagged_fields_are_bounded_and_unknown_ones_skipped() {
    let read = |count: usize| {
        let mut buf = BytesMut::new();
        let mut writer = Writer::new(&mut buf, true);
        writer.unsigned_varint(u32::try_from(count).unwrap());
        let prefix = writer.finish().unwrap().into_parts().flatten().skip(4);
        let bytes: Bytes = prefix.chain((0..count).flat_map(|_| [99, 1, 42])).collect();
        let mut reader = Reader::new(&bytes, true);
        reader
            .tagged_fields(|_, _| Ok(false))
            .map(|()| reader.remaining())
    };
    assert_eq!(read(0), Ok(0));
    assert_eq!(read(TAGGED_FIELDS_MAX), Ok(0));
    assert_eq!(
        malformed(read(TAGGED_FIELDS_MAX + 1)).0,
        "number of tagged fields"
    );
}

#[test]
fn a_tagged_field_must_be_as_long_as_it_says() {
    // One field with tag 1, the finalized epoch, in 9 bytes instead of 8.
    let bytes = Bytes::from_static(&[0, 0, 1, 0, 0, 0, 0, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 7, 0]);
    let result = ApiVersionsResponse::decode(&mut Reader::new(&bytes, true), 3);
    assert_eq!(malformed(result), ("size of a tagged field", 9));
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let bytes = Bytes::from_static(&[0xff; 4]);
    assert_eq!(
        malformed(MetadataRequest::decode(&mut Reader::new(&bytes, false), 0)),
        ("null in version", 0)
    );
    assert_eq!(
        MetadataRequest::decode(&mut Reader::new(&bytes, false), 1)
            .unwrap()
            .topics,
        None
    );
    let result = ByteStr::decode(&mut Reader::new(&bytes, false), 0);
    assert_eq!(malformed(result).1, -1);
    let mut buf = BytesMut::new();
    let request = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    assert_eq!(
        crate::encode_request(&mut buf, 0, 1, None, &request).unwrap_err(),
        Error::Null {
            field: "MetadataRequest.topics"
        }
    );
}

#[test]
fn lengths_below_null_are_refused() {
    let bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe]);
    assert_eq!(
        malformed(Vec::<i8>::decode(&mut Reader::new(&bytes, false), 0)),
        ("length", -2)
    );
    let bytes = Bytes::from_static(&[0x80, 0x00]);
    assert_eq!(
        malformed(ByteStr::decode(&mut Reader::new(&bytes, false), 0)),
        ("length", -32768)
    );
}

#[test]
fn strings_are_utf_8() {
    let bytes = Bytes::from_static(&[0, 3, b'a', 0xff, b'b']);
    let result = ByteStr::decode(&mut Reader::new(&bytes, false), 0);
    assert_eq!(malformed(result), ("offset of invalid UTF-8", 1));
}

#[test]
fn varints_have_32_bits() {
    let varint = |bytes: &'static [u8]| Reader::new(&Bytes::from_static(bytes), true).unsigned_varint();
    assert_eq!(varint(&[0x00]), Ok(0));
    assert_eq!(varint(&[0x7f]), Ok(127));
    assert_eq!(varint(&[0x80, 0x01]), Ok(128));
    assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
    assert_eq!(
        malformed(varint(&[0xff, 0xff, 0xff, 0xff, 0x10])),
        ("fifth byte of a varint", 0x10)
    );
    assert_eq!(
        malformed(varint(&[0xff, 0xff, 0xff, 0xff, 0x8f])),
        ("fifth byte of a varint", 0x8f)
    );
    assert_eq!(
        varint(&[0x80]),
        Err(Error::Incomplete {
            field: "",
            missing: 1
        })
    );
}

#[test]
fn a_string_too_long_for_its_prefix_is_not_written() {
    let config = CreatableTopicConfig {
        name: "x".repeat(40_000).into(),
        value: None,
    };
    let topic = CreatableTopic {
        configs: vec![config],
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        ..Default::default()
    };
    let mut buf = BytesMut::new();
    let error = crate::encode_request(&mut buf, 4, 1, None, &request).unwrap_err();
    assert_eq!(
        error,
        Error::TooLong {
            field: "CreatableTopicConfig.name",
            length: 40_000
        }
    );
    assert!(crate::encode_request(&mut buf, 5, 1, None, &request).is_ok());
}

#[test]
fn an_error_code_without_a_name_is_an_error() {
    let bytes = Bytes::copy_from_slice(&30_000_i16.to_be_bytes());
    let code = ErrorCode::decode(&mut Reader::new(&bytes, false), 0).unwrap();
    assert_eq!(code, ErrorCode::UnknownServerError);
    assert!(code.is_error() && !code.retriable());
}

#[test]
fn error_codes_are_those_of_the_oracle() {
    use kafka_protocol::ResponseError;
    for code in ErrorCode::ALL.iter().filter(|code| code.is_error()) {
        let theirs = ResponseError::try_from_code(code.as_i16()).unwrap();
        assert_eq!(format!("{theirs:?}"), format!("{code:?}"));
        // They say that a concurrent transaction is final; Apache Kafka's exception for it is retriable.
        if *code != ErrorCode::ConcurrentTransactions {
            assert_eq!(theirs.is_retriable(), code.retriable(), "{code}");
        }
        assert_eq!(ErrorCode::from_i16(code.as_i16()), Some(*code));
    }
    assert_eq!(ErrorCode::ALL.len(), 135);
    assert_eq!(ErrorCode::from_i16(134), None);
    assert_eq!(
        ErrorCode::UnknownTopicOrPartition.to_string(),
        "UNKNOWN_TOPIC_OR_PARTITION"
    );
}

#[test]
fn the_table_is_ascending_and_matches_the_oracle() {
    use kafka_protocol::messages::ApiKey as Theirs;
    assert!(crate::SERVED.is_sorted_by_key(|served| served.api_key));
    for served in crate::SERVED {
        let key = served.api_key;
        let theirs = Theirs::try_from(key.as_i16()).unwrap();
        assert_eq!(format!("{theirs:?}"), key.name());
        assert_eq!(ApiKey::from_i16(key.as_i16()), Some(key));
        for version in served.version_min..=served.version_max {
            assert!(key.serves(version));
            assert_eq!(
                theirs.request_header_version(version) == 2,
                key.is_flexible(version),
                "{key:?} {version}"
            );
        }
        assert!(!key.serves(served.version_min - 1) && !key.serves(served.version_max + 1));
        assert_eq!(
            key.is_flexible(served.flexible_min),
            !key.is_flexible(served.flexible_min - 1)
        );
    }
}
