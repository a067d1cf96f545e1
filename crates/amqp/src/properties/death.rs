use bytes::BytesMut;
use firth_amqp_codec::{ArrayWriter, BasicProperties, Error, FieldTable, FieldValue, Table, TableWriter};
use firth_broker::dead_letter::{DeathRecord, Reason};

use super::CC;

/// Headers that say what a message died of first.
const FIRST_DEATH: [&str; 3] = [
    "x-first-death-reason",
    "x-first-death-queue",
    "x-first-death-exchange",
];
const DEATHS: &str = "x-death";
/// How often a quorum queue got a message back.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// What a message says besides its own properties when it is delivered.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// What it died of, newest first.
    pub(crate) deaths: Vec<DeathRecord>,
    /// The queue gave it a routing key of its own when it died, so that others do not count any more.
    pub(crate) is_rekeyed: bool,
    /// How often it was given back, where the queue tells.
    pub(crate) delivery_count: Option<u32>,
}

impl Added {
    pub(crate) fn is_nothing(&self) -> bool {
        self.deaths.is_empty() && self.delivery_count.is_none()
    }
}

/// Flags and list of a message with what is added. One that died does not expire any more.
///
/// # Errors
/// They cannot be read.
pub(crate) fn with_added(properties: &[u8], added: &Added) -> Result<BytesMut, Error> {
    let mut properties = BasicProperties::read(properties)?;
    let old = properties.headers.unwrap_or_default();
    let has_died = !added.deaths.is_empty();
    let said_before = old.get(DEATHS);
    let headers = FieldTable::build(|table| {
        for (name, value) in old {
            let is_replaced = (has_died && name == DEATHS.as_bytes())
                || (added.is_rekeyed && name == CC.as_bytes())
                || (added.delivery_count.is_some() && name == DELIVERY_COUNT.as_bytes());
            if !is_replaced {
                table.put_bytes(name, value);
            }
        }
        if let Some(count) = added.delivery_count {
            table.put(DELIVERY_COUNT, FieldValue::I64(count.into()));
        }
        if has_died {
            table.put_array(DEATHS, |array| put_deaths(array, &added.deaths, said_before));
        }
        if has_died && said_before.is_none() {
            first_death(table, &added.deaths);
        }
    })?;
    properties.headers = Some(headers.as_table());
    if has_died {
        properties.expiration = None;
    }
    let mut written = BytesMut::new();
    properties.write(&mut written)?;
    Ok(written)
}

/// What it died of here, then what it said before, where that is of another queue or for another reason.
fn put_deaths(array: &mut ArrayWriter<'_>, deaths: &[DeathRecord], said_before: Option<FieldValue<'_>>) {
    let said: Vec<Table<'_>> = match said_before {
        Some(FieldValue::Array(said)) => said
            .iter()
            .filter_map(|death| match death {
                FieldValue::Table(death) => Some(death),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let is_same = |said: &Table<'_>, death: &DeathRecord| {
        said.get("queue") == Some(FieldValue::LongStr(&death.queue))
            && said.get("reason") == Some(FieldValue::LongStr(reason(death.reason).as_bytes()))
    };
    for death in deaths {
        let known = said.iter().find(|said| is_same(said, death));
        array.push_table(|table| match known {
            None => put_death(table, death),
            Some(known) => count_on(table, *known, death.count),
        });
    }
    for said in said {
        if !deaths.iter().any(|death| is_same(&said, death)) {
            array.push(FieldValue::Table(said));
        }
    }
}

/// It has died of the same before, as it says itself.
fn count_on(table: &mut TableWriter<'_>, known: Table<'_>, more: u64) {
    for (name, value) in known {
        match (name, value.as_integer()) {
            (b"count", Some(count)) => {
                let more = i64::try_from(more).unwrap_or(i64::MAX);
                table.put("count", FieldValue::I64(count.saturating_add(more)))
            }
            _ => table.put_bytes(name, value),
        };
    }
}

/// The first death is the one that is longest ago. Where two were at the same time, one that came again has moved to the front.
fn first_death(table: &mut TableWriter<'_>, deaths: &[DeathRecord]) {
    let oldest = deaths.iter().map(|death| death.time_ms).min();
    let is_oldest = |death: &&DeathRecord| Some(death.time_ms) == oldest;
    let moved = deaths
        .first()
        .filter(|newest| is_oldest(newest) && newest.count > 1);
    let Some(first) = moved.or_else(|| deaths.iter().rfind(is_oldest)) else {
        return;
    };
    let said = [reason(first.reason).as_bytes(), &first.queue, &first.exchange];
    for (name, value) in FIRST_DEATH.into_iter().zip(said) {
        table.put(name, FieldValue::LongStr(value));
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
            table.put_str("own", "kept");
        })
        .unwrap();
        let properties = BasicProperties {
            headers: Some(own.as_table()),
            expiration: Some(b"60"),
            delivery_mode: Some(2),
            ..BasicProperties::default()
        };
        properties.write(&mut before).unwrap();
        let added = Added {
            deaths: vec![death],
            ..Added::default()
        };
        let after = with_added(&before, &added).unwrap();
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
