use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    any::<String>().prop_map(Arc::from)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    any::<Vec<u8>>().prop_map(Bytes::from)
}

prop_compose! {
    fn member()(
        id in text(), instance_id in proptest::option::of(text()), client_id in text(), client_host in text(),
        session_timeout_ms: i32, rebalance_timeout_ms: i32, metadata in bytes(), assignment in bytes(),
    ) -> StoredMember {
        StoredMember {
            id, instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, metadata, assignment,
        }
    }
}

prop_compose! {
    fn stored_group()(
        generation: i32, since_ms: i64, protocol_type in proptest::option::of(text()),
        protocol in proptest::option::of(text()), leader in proptest::option::of(text()),
        members in proptest::collection::vec(member(), 0..3),
    ) -> StoredGroup {
        StoredGroup { generation, since_ms, protocol_type, protocol, leader, members }
    }
}

prop_compose! {
    fn committed()(
        offset: i64, leader_epoch: i32, committed_ms: i64, expires_ms in proptest::option::of(0_i64..), metadata in text(),
    ) -> Committed {
        Committed { offset, leader_epoch, committed_ms, expires_ms, metadata }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_stored_reads_back(id in text(), stored in stored_group(), topic: [u8; 16], partition: i32, offset in committed()) {
        let record = group(&id, &stored);
        prop_assert_eq!(decode(&record), Ok(Stored::Group(id.clone(), stored)));
        let record = super::offset(&id, TopicId(topic), partition, &offset);
        prop_assert_eq!(decode(&record), Ok(Stored::Offset(id, TopicId(topic), partition, offset)));
    }

    #[test]
    fn a_record_that_is_cut_or_continued_is_malformed(id in text(), stored in stored_group(), offset in committed()) {
        for record in [group(&id, &stored), super::offset(&id, TopicId([7; 16]), 5, &offset)] {
            let value = record.value.clone().unwrap();
            for end in 0..value.len() {
                let cut = StateRecord { value: Some(value.slice(..end)), ..record.clone() };
                prop_assert!(decode(&cut).is_err());
            }
            let longer = StateRecord { value: Some([&value[..], &[0]].concat().into()), ..record.clone() };
            prop_assert_eq!(decode(&longer), Err(Malformed("length")));
            for end in 0..record.key.len() {
                let cut = StateRecord { key: record.key.slice(..end), ..record.clone() };
                prop_assert!(decode(&cut).is_err());
            }
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_malformed(key: Vec<u8>, value: Vec<u8>) {
        let _ = decode(&StateRecord { key: key.into(), value: Some(value.into()) });
    }
}

#[test]
fn the_bytes_of_version_1_stay_what_they_are() {
    let committed = Committed {
        offset: 258,
        leader_epoch: 3,
        committed_ms: 4,
        expires_ms: None,
        metadata: "m".into(),
    };
    let record = offset("g", TopicId([7; 16]), 5, &committed);
    assert_eq!(
        record.key,
        [&[2, 1, 0, 0, 0, b'g'][..], &[7; 16], &[5, 0, 0, 0]].concat()
    );
    let value = [
        &[1, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0][..],
        &[0xff; 8],
        &[1, 0, 0, 0, b'm'],
    ];
    assert_eq!(record.value.unwrap(), value.concat());

    let stored = StoredGroup {
        generation: 2,
        since_ms: 3,
        protocol_type: Some("c".into()),
        protocol: None,
        leader: Some("m".into()),
        members: vec![StoredMember {
            id: "m".into(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "h".into(),
            session_timeout_ms: 4,
            rebalance_timeout_ms: 5,
            metadata: Bytes::from_static(b"x"),
            assignment: Bytes::new(),
        }],
    };
    let record = group("g", &stored);
    assert_eq!(record.key, [1, 1, 0, 0, 0, b'g'].as_slice());
    let value = [
        &[1, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0][..],
        &[1, 1, 0, 0, 0, b'c', 0, 1, 1, 0, 0, 0, b'm'],
        &[
            1, 0, 0, 0, 1, 0, 0, 0, b'm', 0, 1, 0, 0, 0, b'c', 1, 0, 0, 0, b'h',
        ],
        &[4, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, b'x', 0, 0, 0, 0],
    ];
    assert_eq!(record.value.unwrap(), value.concat());
}
