use firth_broker::{MatchMode, QueueKind};

use super::*;

fn table(fields: &[(&str, FieldValue<'_>)]) -> FieldTable {
    FieldTable::build(|table| {
        for (name, value) in fields {
            table.put(name, *value);
        }
    })
    .unwrap()
}

fn refused(fields: &[(&str, FieldValue<'_>)]) -> String {
    queue_options(&table(fields), "queue 'q' in vhost '/'")
        .unwrap_err()
        .to_string()
}

#[test]
fn a_quorum_queue_counts_deliveries() {
    let quorum = ("x-queue-type", FieldValue::LongStr(b"quorum"));
    let options = queue_options(&table(&[quorum]), "").unwrap();
    assert_eq!(
        (options.kind, options.delivery_limit),
        (QueueKind::Quorum, Some(20))
    );
    let limit = ("x-delivery-limit", FieldValue::I64(3));
    let options = queue_options(&table(&[quorum, limit]), "").unwrap();
    assert_eq!(options.delivery_limit, Some(3));
}

#[test]
fn what_is_wrong_is_named_as_rabbitmq_names_it() {
    let cases: [(&[(&str, FieldValue<'_>)], &str); 8] = [
        (
            &[("x-message-ttl", FieldValue::LongStr(b"1"))],
            "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': \"expected integer, got longstr\"",
        ),
        (
            &[("x-message-ttl", FieldValue::I32(-1))],
            "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}",
        ),
        (
            &[("x-expires", FieldValue::I32(0))],
            "invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}",
        ),
        (
            &[("x-max-priority", FieldValue::I32(256))],
            "invalid arg 'x-max-priority' for queue 'q' in vhost '/': {max_value_exceeded,256}",
        ),
        (
            &[("x-overflow", FieldValue::LongStr(b"other"))],
            "invalid arg 'x-overflow' for queue 'q' in vhost '/': invalid_overflow",
        ),
        (
            &[("x-dead-letter-routing-key", FieldValue::LongStr(b"k"))],
            "invalid arg 'x-dead-letter-routing-key' for queue 'q' in vhost '/': routing_key_but_no_dlx_defined",
        ),
        (
            &[("x-dead-letter-exchange", FieldValue::I32(1))],
            "invalid arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': {unacceptable_type,signedint}",
        ),
        (
            &[("x-delivery-limit", FieldValue::I32(1))],
            "invalid arg 'x-delivery-limit' for queue 'q' in vhost '/' of queue type rabbit_classic_queue",
        ),
    ];
    for (fields, text) in cases {
        assert_eq!(refused(fields), format!("PRECONDITION_FAILED - {text}"));
    }
}

#[test]
fn numbers_are_compared_by_their_values() {
    let ttl = |value| table(&[("x-message-ttl", value)]);
    let check = |new: &FieldTable, old: &FieldTable| {
        check_arguments(
            &["x-message-ttl", "x-queue-type"],
            "queue 'q' in vhost '/'",
            new,
            old,
        )
    };
    assert_eq!(check(&ttl(FieldValue::I32(5)), &ttl(FieldValue::U8(5))), Ok(()));
    let error = check(&ttl(FieldValue::I32(5)), &ttl(FieldValue::I32(6))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': \
         received '5' but current is '6'"
    );
    let error = check(&ttl(FieldValue::I32(5)), &table(&[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': \
         received the value '5' of type 'signedint' but current is none"
    );
    let classic = table(&[("x-queue-type", FieldValue::LongStr(b"classic"))]);
    assert_eq!(check(&classic, &table(&[])), Ok(()));
}

#[test]
fn ages_have_units() {
    let max_age = |age: &'static str| {
        let stream = ("x-queue-type", FieldValue::LongStr(b"stream"));
        let age = ("x-max-age", FieldValue::LongStr(age.as_bytes()));
        queue_options(&table(&[stream, age]), "").map(|options| options.max_age_ms)
    };
    assert_eq!(max_age("2h"), Ok(Some(7_200_000)));
    assert_eq!(max_age("1D"), Ok(Some(86_400_000)));
    for wrong in ["", "h", "0h", "1x", "1 h", "99999999999999999999Y"] {
        assert!(max_age(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn bindings_are_the_same_in_any_order() {
    let (a, b) = (("a", FieldValue::I32(1)), ("b", FieldValue::Void));
    assert_eq!(
        binding_arguments(&table(&[a, b])),
        binding_arguments(&table(&[b, a]))
    );
    let mode = ("x-match", FieldValue::LongStr(b"any"));
    let any = header_match(&table(&[mode, a]), true).unwrap();
    assert_eq!((any.mode, any.conditions.len()), (MatchMode::Any, 1));
    let wrong = table(&[("x-match", FieldValue::LongStr(b"some"))]);
    assert!(header_match(&wrong, true).is_err());
    assert!(header_match(&wrong, false).is_ok());
}
