use bytes::BytesMut;
use firth_amqp_codec::{BasicProperties, Error, FieldTable, FieldValue, Table, TableWriter};
use firth_broker::dead_letter::{DeathRecord, Reason};

/// Headers that say what a message died of first.
const FIRST_DEATH: [&str; 3] = [
    "x-first-death-reason",
    "x-first-death-queue",
    "x-first-death-exchange",
];
const DEATHS: &str = "x-death";

/// Flags and list of a message that died, with headers that say of what. It does not expire any more.
///
/// # Errors
/// They cannot be read.
pub(crate) fn with_deaths(properties: &[u8], deaths: &[DeathRecord]) -> Result<BytesMut, Error> {
    let mut properties = BasicProperties::read(properties)?;
    let old = properties.headers.unwrap_or_default();
    let headers = FieldTable::build(|table| {
        for (name, value) in old {
            if !is_of_death(name) {
                table.put_bytes(name, value);
            }
        }
        table.put_array(DEATHS, |array| {
            for death in deaths {
                array.push_table(|table| put_death(table, death));
            }
        });
        // Newest first.
        if let Some(first) = deaths.last() {
            first_death(table, old, first);
        }
    })?;
    properties.headers = Some(headers.as_table());
    properties.expiration = None;
    let mut written = BytesMut::new();
    properties.write(&mut written)?;
    Ok(written)
}

fn is_of_death(name: &[u8]) -> bool {
    name == DEATHS.as_bytes() || FIRST_DEATH.iter().any(|first| name == first.as_bytes())
}

fn first_death(table: &mut TableWriter<'_>, old: Table<'_>, first: &DeathRecord) {
    let said = [reason(first.reason).as_bytes(), &first.queue, &first.exchange];
    for (name, value) in FIRST_DEATH.into_iter().zip(said) {
        // What another broker said of it before is older.
        match old.get(name) {
            Some(known) => table.put(name, known),
            None => table.put(name, FieldValue::LongStr(value)),
        };
    }
}

fn put_death(table: &mut TableWriter<'_>, death: &DeathRecord) {
    table
        .put(
            "count",
            FieldValue::I64(i64::try_from(death.count).unwrap_or(i64::MAX)),
        )
        .put("exchange", FieldValue::LongStr(&death.exchange))
        .put("queue", FieldValue::LongStr(&death.queue))
        .put_str("reason", reason(death.reason))
        .put_array("routing-keys", |keys| {
            for key in &death.routing_keys {
                keys.push(FieldValue::LongStr(key));
            }
        })
        .put(
            "time",
            FieldValue::Timestamp(u64::try_from(death.time_ms / 1000).unwrap_or(0)),
        );
    if let Some(expiration_ms) = death.expiration_ms {
        table.put_str("original-expiration", &expiration_ms.to_string());
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Rejected => "rejected",
        Reason::Expired => "expired",
        Reason::MaxLength => "maxlen",
        Reason::DeliveryLimit => "delivery_limit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_died_of_is_told() {
        let death = DeathRecord {
            reason: Reason::Expired,
            count: 2,
            time_ms: 1_700_000_000_500,
            queue: b"q".to_vec(),
            exchange: b"x".to_vec(),
            routing_keys: vec![b"k".to_vec()],
            expiration_ms: Some(60),
        };
        let mut before = BytesMut::new();
        let own = FieldTable::build(|table| {
            table.put_str("own", "kept").put_str(DEATHS, "of another broker");
        })
        .unwrap();
        let properties = BasicProperties {
            headers: Some(own.as_table()),
            expiration: Some(b"60"),
            delivery_mode: Some(2),
            ..BasicProperties::default()
        };
        properties.write(&mut before).unwrap();
        let after = with_deaths(&before, &[death]).unwrap();
        let after = BasicProperties::read(&after).unwrap();
        assert_eq!((after.expiration, after.delivery_mode), (None, Some(2)));
        assert_eq!(
            format!("{:?}", after.headers.unwrap()),
            "{\"own\": \"kept\", \"x-death\": [{\"count\": 2, \"exchange\": \"x\", \"queue\": \"q\", \
             \"reason\": \"expired\", \"routing-keys\": [\"k\"], \"time\": 1700000000 s, \
             \"original-expiration\": \"60\"}], \"x-first-death-reason\": \"expired\", \
             \"x-first-death-queue\": \"q\", \"x-first-death-exchange\": \"x\"}"
        );
    }
}
