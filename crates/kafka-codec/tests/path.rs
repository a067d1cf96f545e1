//! The path of a request through the codec, as a connection walks it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use firth_kafka_codec::*;

const FRAME_BYTES_MAX: usize = 1000;

fn joined(chain: Chain) -> Bytes {
    chain.into_parts().flatten().collect()
}

#[test]
fn frames_are_split_wherever_the_bytes_arrive() {
    let wire = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0, 0, 0, 2], b"de"].concat();
    for cut in 0..wire.len() {
        let mut received = BytesMut::new();
        let mut frames = Vec::new();
        for piece in [&wire[..cut], &wire[cut..]] {
            received.extend_from_slice(piece);
            while let Frame::Whole(frame) = split_frame(&mut received, FRAME_BYTES_MAX).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, ["abc".as_bytes(), b"", b"de"]);
        assert_eq!(
            split_frame(&mut received, FRAME_BYTES_MAX),
            Ok(Frame::Incomplete { needed: 4 })
        );
    }
}

#[test]
fn an_incomplete_frame_says_what_is_missing() {
    for (received, needed) in [
        (&[][..], 4),
        (&[0, 0, 0], 1),
        (&[0, 0, 0, 9], 9),
        (&[0, 0, 0, 9, 1, 2], 7),
    ] {
        let mut received = BytesMut::from(received);
        assert_eq!(
            split_frame(&mut received, FRAME_BYTES_MAX),
            Ok(Frame::Incomplete { needed })
        );
    }
}

#[test]
fn a_size_out_of_bounds_is_refused_as_soon_as_it_is_read() {
    for size in [-1, i32::MIN, 1001, i32::MAX] {
        let mut received = BytesMut::from(&size.to_be_bytes()[..]);
        let error = split_frame(&mut received, FRAME_BYTES_MAX).unwrap_err();
        assert_eq!(
            error,
            Error::Malformed {
                field: "frame",
                what: "size",
                value: i64::from(size)
            }
        );
    }
    assert_eq!(
        frame_size(&1000_i32.to_be_bytes(), FRAME_BYTES_MAX),
        Ok(Some(1000))
    );
}

#[test]
fn a_version_that_is_not_served_is_distinct_and_names_the_request() {
    let header = |key: i16, version: i16| {
        let fields = [
            &key.to_be_bytes()[..],
            &version.to_be_bytes(),
            &77_i32.to_be_bytes(),
            &[0xff, 0xff],
        ];
        decode_header(&Bytes::from(fields.concat()))
    };
    let unsupported = |api_key, api_version| Error::UnsupportedVersion {
        api_key,
        api_version,
        correlation_id: 77,
    };
    assert_eq!(header(18, 9).unwrap_err(), unsupported(ApiKey::ApiVersions, 9));
    assert_eq!(header(0, 2).unwrap_err(), unsupported(ApiKey::Produce, 2));
    assert_eq!(header(3, -1).unwrap_err(), unsupported(ApiKey::Metadata, -1));
    let unknown = Error::UnsupportedApi {
        api_key: 7,
        api_version: 0,
        correlation_id: 77,
    };
    assert_eq!(header(7, 0).unwrap_err(), unknown);
    assert_eq!(header(18, 0).unwrap().0.client_id, None);
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let answer = encode_response(
        &mut BytesMut::new(),
        0,
        5,
        &ApiVersionsResponse::unsupported_version(),
    )
    .unwrap();
    let frame = joined(answer);
    let expected: &[u8] = &[0, 0, 0, 16, 0, 0, 0, 5, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    assert_eq!(frame, expected);
    // A client which asked in version 9 reads it.
    let (id, response) = decode_response::<ApiVersionsRequest>(9, &frame.slice(4..)).unwrap();
    assert_eq!((id, response.error_code), (5, ErrorCode::UnsupportedVersion));
}

#[test]
fn the_answer_to_api_versions_is_the_table_and_has_no_tagged_fields_in_its_header() {
    let served = ApiVersionsResponse::served();
    let frame = joined(encode_response(&mut BytesMut::new(), 4, 5, &served).unwrap());
    // Correlation id and then at once the error code; 42 APIs (compact: one more).
    assert_eq!(frame[4..11], [0, 0, 0, 5, 0, 0, 43]);
    let produce = served.api_keys.iter().find(|api| api.api_key == 0).unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    let (_, read) = decode_response::<ApiVersionsRequest>(4, &frame.slice(4..)).unwrap();
    assert_eq!(read, served);
}

#[test]
fn features_are_tagged_fields() {
    let response = ApiVersionsResponse {
        supported_features: vec![SupportedFeatureKey {
            name: "transaction.version".into(),
            min_version: 0,
            max_version: 2,
        }],
        finalized_features_epoch: 1,
        finalized_features: vec![FinalizedFeatureKey {
            name: "transaction.version".into(),
            max_version_level: 2,
            min_version_level: 0,
        }],
        ..ApiVersionsResponse::served()
    };
    let frame = joined(encode_response(&mut BytesMut::new(), 4, 5, &response).unwrap());
    assert_eq!(
        decode_response::<ApiVersionsRequest>(4, &frame.slice(4..))
            .unwrap()
            .1,
        response
    );
    let frame = joined(encode_response(&mut BytesMut::new(), 2, 5, &response).unwrap());
    assert_eq!(
        decode_response::<ApiVersionsRequest>(2, &frame.slice(4..))
            .unwrap()
            .1,
        ApiVersionsResponse {
            api_keys: response.api_keys,
            ..Default::default()
        }
    );
}

#[test]
fn features_that_clients_before_kafka_3_9_do_not_understand_are_not_named() {
    let served = ApiVersionsResponse::served();
    assert!(
        served
            .supported_features
            .iter()
            .all(|feature| feature.min_version > 0)
    );
    let names = served
        .finalized_features
        .iter()
        .map(|feature| feature.name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["metadata.version"],
        "the others stand for what is not served"
    );
}

#[test]
fn software_names_are_validated() {
    let valid = |name: &str, version: i16| {
        ApiVersionsRequest {
            client_software_name: name.into(),
            client_software_version: "1".into(),
        }
        .is_valid(version)
    };
    for name in ["a", "librdkafka", "apache-kafka-java", "a.b-c..d"] {
        assert!(valid(name, 3), "{name}");
    }
    for name in ["", "-a", "a-", ".a", "a b", "ß", "a\n", "a_b"] {
        assert!(!valid(name, 3), "{name}");
        assert!(valid(name, 2), "older versions do not carry it");
    }
}

#[test]
fn strings_and_records_of_a_request_are_slices_of_its_frame() {
    let records = Bytes::from(vec![7; 1000]);
    let partition = PartitionProduceData {
        index: 3,
        records: Some(records.clone()),
    };
    let topic = TopicProduceData {
        name: "t".into(),
        partition_data: [partition].into(),
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        topic_data: [topic].into(),
        ..Default::default()
    };
    let frame = joined(encode_request(&mut BytesMut::new(), 9, 1, Some("me"), &request).unwrap()).slice(4..);

    let (header, body) = decode_header(&frame).unwrap();
    let Request::Produce(read) = decode_request(&header, &body).unwrap() else {
        panic!()
    };
    assert_eq!(read, request);
    let within = |part: &[u8]| frame.as_ptr_range().contains(&part.as_ptr());
    assert!(within(header.client_id.unwrap().as_bytes()));
    assert!(within(read.topic_data[0].name.as_bytes()));
    assert!(within(
        read.topic_data[0].partition_data[0].records.as_ref().unwrap()
    ));
}

fn fetch_response(records: Records) -> FetchResponse {
    let partition = PartitionData {
        high_watermark: 9,
        records: Some(records),
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        partitions: vec![partition.clone(), partition],
        ..Default::default()
    };
    FetchResponse {
        responses: vec![topic],
        ..Default::default()
    }
}

#[test]
fn records_of_a_response_are_sent_from_where_they_lie() {
    let (long, short) = (Bytes::from(vec![1; 5000]), Bytes::from(vec![2; 10]));
    let response = fetch_response([long.clone(), short, long.clone()].into_iter().collect());
    let mut buf = BytesMut::new();
    let chain = encode_response(&mut buf, 17, 1, &response).unwrap();
    assert!(buf.is_empty());
    let spliced = chain
        .parts()
        .iter()
        .filter(|part| part.as_ptr() == long.as_ptr())
        .count();
    assert_eq!(
        (spliced, chain.parts().len()),
        (4, 9),
        "three slices per partition, what is around them, and the end"
    );
    let total = chain.len();
    let frame = joined(chain);
    assert_eq!(frame.len(), total);
    assert_eq!(frame_size(&frame, usize::MAX), Ok(Some(total - SIZE_BYTES)));
    assert_eq!(
        decode_response::<FetchRequest>(17, &frame.slice(4..)).unwrap().1,
        response
    );
}

#[test]
fn a_chain_is_written_on_from_wherever_a_write_ended() {
    let response = fetch_response(
        [Bytes::from(vec![1; 300]), Bytes::from(vec![2; 300])]
            .into_iter()
            .collect(),
    );
    let chain = encode_response(&mut BytesMut::new(), 12, 1, &response).unwrap();
    let whole = joined(chain.clone());
    for step in [1, 7, 299, 300, 301, 10_000] {
        let mut chain = chain.clone();
        let mut written = Vec::new();
        while chain.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = chain.chunks_vectored(&mut slices);
            let bytes: Vec<u8> = slices[..filled]
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .take(step)
                .collect();
            written.extend_from_slice(&bytes);
            chain.advance(bytes.len());
        }
        assert_eq!(written, whole);
        assert!(chain.is_empty() && chain.parts().is_empty());
    }
}

#[test]
fn the_memory_of_a_sent_response_is_used_again() {
    let mut buf = BytesMut::with_capacity(4096);
    let response = ProduceResponse::default();
    let first = encode_response(&mut buf, 9, 1, &response).unwrap();
    let at = first.parts()[0].as_ptr();
    drop(first);
    for id in 2..2000 {
        let chain = encode_response(&mut buf, 9, id, &response).unwrap();
        let start = chain.parts()[0].as_ptr() as usize;
        assert!((at as usize..at as usize + 4096).contains(&start));
    }
}

#[test]
fn tagged_fields_are_written_where_they_say_something() {
    let partition = |current_leader| PartitionProduceResponse {
        current_leader,
        ..Default::default()
    };
    let response = |leader, endpoints| {
        let partition_responses = [partition(leader)].into();
        let topic = TopicProduceResponse {
            name: "t".into(),
            partition_responses,
            ..Default::default()
        };
        ProduceResponse {
            responses: [topic].into(),
            node_endpoints: endpoints,
            ..Default::default()
        }
    };
    let quiet = response(LeaderIdAndEpoch::default(), Vec::new());
    let endpoint = NodeEndpoint {
        node_id: 2,
        host: "b".into(),
        port: 9092,
        rack: None,
    };
    let moved = response(
        LeaderIdAndEpoch {
            leader_id: 2,
            leader_epoch: 5,
        },
        vec![endpoint],
    );
    let size = |version, response: &ProduceResponse| {
        encode_response(&mut BytesMut::new(), version, 1, response)
            .unwrap()
            .len()
    };
    assert_eq!(size(9, &quiet), size(9, &moved), "version 9 has none");
    // Tag, size, two i32 and no tags inside; tag, size, count and an endpoint of 12 bytes.
    assert_eq!(size(10, &moved) - size(10, &quiet), 11 + 15);
    let frame = joined(encode_response(&mut BytesMut::new(), 10, 1, &moved).unwrap());
    assert_eq!(
        decode_response::<ProduceRequest>(10, &frame.slice(4..))
            .unwrap()
            .1,
        moved
    );
}

#[test]
fn uuids_print_as_kafka_prints_them() {
    // `new Uuid(1, 2).toString()` and `Uuid.METADATA_TOPIC_ID`, of Apache Kafka.
    let mut bytes = [0; 16];
    (bytes[7], bytes[15]) = (1, 2);
    assert_eq!(Uuid(bytes).to_string(), "AAAAAAAAAAEAAAAAAAAAAg");
    bytes[7] = 0;
    bytes[15] = 1;
    assert_eq!(Uuid(bytes).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
    assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
    assert_eq!("_____________________w".parse(), Ok(Uuid([0xff; 16])));
    for text in [
        "",
        "AAAAAAAAAAAAAAAAAAAAAQ=",
        "_____________________x",
        "+AAAAAAAAAAAAAAAAAAAAQ",
    ] {
        assert!(text.parse::<Uuid>().is_err(), "{text}");
    }
}

#[test]
fn a_map_of_names_is_looked_up_by_str() {
    let names = std::collections::HashMap::from([(ByteStr::from("flights"), 1)]);
    assert_eq!(names.get("flights"), Some(&1));
    assert_eq!(
        format!("{:>4}|{:?}", ByteStr::from_static("a"), ByteStr::from_static("a")),
        "   a|\"a\""
    );
}
