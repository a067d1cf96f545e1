use proptest::prelude::*;

use super::*;

fn limit(key: QuotaKey, value: f64) -> QuotaLimit {
    QuotaLimit::new(key, value).unwrap()
}

fn named(name: &str) -> QuotaName {
    QuotaName::named(name).unwrap()
}

fn client<'a>(user: &'a str, client_id: &'a str) -> QuotaSubject<'a> {
    QuotaSubject::Client { user, client_id }
}

fn quotas_of(entity: QuotaEntity, key: QuotaKey, value: f64) -> Quotas {
    Quotas::new([(entity, [(key, limit(key, value))].into())].into())
}

const BYTES: QuotaKey = QuotaKey::ProducerByteRate;
const MUTATIONS: QuotaKey = QuotaKey::ControllerMutationRate;
const CONNECTIONS: QuotaKey = QuotaKey::ConnectionCreationRate;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_most_specific_limit_holds() {
    use QuotaEntity::{ClientId, User, UserClientId};
    use QuotaName::Default as Any;
    let order = [
        UserClientId(named("u"), named("c")),
        UserClientId(named("u"), Any),
        User(named("u")),
        UserClientId(Any, named("c")),
        UserClientId(Any, Any),
        User(Any),
        ClientId(named("c")),
        ClientId(Any),
    ];
    let quotas = Quotas::new(BTreeMap::new());
    assert!(!quotas.has(BYTES));
    // The limit of the first is 1, and so on. The last is added first, so that each takes the place of the one after it.
    for (at, entity) in order.iter().enumerate().rev() {
        let value = (at + 1) as f64;
        quotas.set(entity.clone(), [(BYTES, limit(BYTES, value))].into());
        assert_eq!(
            quotas.burst_max(BYTES, client("u", "c")),
            Some(value * BURST_S),
            "{entity:?}"
        );
        assert_eq!(
            quotas.burst_max(QuotaKey::ConsumerByteRate, client("u", "c")),
            None
        );
    }
    let others = [("u", "x", 2.0), ("x", "c", 4.0), ("x", "x", 5.0), ("", "", 5.0)];
    for (user, client_id, value) in others {
        assert_eq!(
            quotas.burst_max(BYTES, client(user, client_id)),
            Some(value * BURST_S)
        );
    }
    for (at, entity) in order.iter().enumerate() {
        quotas.set(entity.clone(), EntityQuotas::new());
        let next = order.get(at + 1).map(|_| (at + 2) as f64 * BURST_S);
        assert_eq!(quotas.burst_max(BYTES, client("u", "c")), next, "{entity:?}");
    }
    assert!(!quotas.has(BYTES) && quotas.entities().is_empty());
}

#[test]
fn a_limit_of_a_user_is_shared_by_its_clients_and_one_of_client_ids_is_not() {
    let wait = |entity| {
        let quotas = quotas_of(entity, BYTES, 10.0);
        assert_eq!(
            quotas.record(BYTES, client("u", "one"), 100.0, SECOND),
            Duration::ZERO
        );
        quotas.record(BYTES, client("u", "two"), 100.0, SECOND)
    };
    assert_eq!(wait(QuotaEntity::User(QuotaName::Default)), 10 * SECOND);
    assert_eq!(wait(QuotaEntity::User(named("u"))), 10 * SECOND);
    assert_eq!(wait(QuotaEntity::ClientId(QuotaName::Default)), Duration::ZERO);
    let of_each = QuotaEntity::UserClientId(named("u"), QuotaName::Default);
    assert_eq!(wait(of_each), Duration::ZERO);
    assert_eq!(wait(QuotaEntity::User(named("other"))), Duration::ZERO);
}

#[test]
fn addresses_have_quotas_of_their_own() {
    let quotas = quotas_of(QuotaEntity::Ip(None), CONNECTIONS, 1.0);
    let ours = std::net::IpAddr::from([10, 0, 0, 1]);
    quotas.set(
        QuotaEntity::Ip(Some(ours)),
        [(CONNECTIONS, limit(CONNECTIONS, 2.0))].into(),
    );
    let connections = |ip| {
        (0..100)
            .take_while(|_| quotas.take(CONNECTIONS, ip, 1.0, SECOND).is_ok())
            .count()
    };
    // Who is above the limit is told so the next time.
    assert_eq!(connections(QuotaSubject::Ip(ours)), 21);
    assert_eq!(connections(QuotaSubject::Ip([10, 0, 0, 2].into())), 11);
    let refused = quotas.take(CONNECTIONS, QuotaSubject::Ip(ours), 1.0, SECOND);
    assert_eq!(refused, Err(Duration::from_millis(500)));
    assert_eq!(quotas.take(CONNECTIONS, client("u", "c"), 1.0, SECOND), Ok(()));
}

/// The example of KIP-599: 5 in a second, of which the burst is 11 times as many here.
#[test]
fn mutations_are_taken_while_any_token_is_left() {
    let quotas = quotas_of(QuotaEntity::User(QuotaName::Default), MUTATIONS, 5.0);
    let who = client("u", "c");
    assert_eq!(quotas.take(MUTATIONS, who, 54.0, SECOND), Ok(()));
    assert_eq!(quotas.take(MUTATIONS, who, 61.0, SECOND), Ok(()), "one is left");
    assert_eq!(quotas.take(MUTATIONS, who, 1.0, SECOND), Err(12 * SECOND));
    assert_eq!(quotas.take(MUTATIONS, who, 1.0, 3 * SECOND), Err(10 * SECOND));
    assert_eq!(quotas.take(MUTATIONS, who, 10.0, 13 * SECOND), Ok(()));
    // Without being strict, what is too much is done, and waited for.
    assert_eq!(quotas.record(MUTATIONS, who, 5.0, 13 * SECOND), 3 * SECOND);
    // What was not done is given back.
    quotas.add(MUTATIONS, who, -15.0, 13 * SECOND);
    assert_eq!(quotas.take(MUTATIONS, who, 1.0, 13 * SECOND), Ok(()));
}

#[test]
fn a_burst_waits_until_the_rate_is_the_limit() {
    let quotas = quotas_of(QuotaEntity::ClientId(QuotaName::Default), BYTES, 100.0);
    let who = client("u", "c");
    assert_eq!(quotas.record(BYTES, who, 1000.0, SECOND), Duration::ZERO);
    assert_eq!(quotas.record(BYTES, who, 500.0, SECOND), 5 * SECOND);
    // The rate is that of ten seconds, so it goes down only when the burst is forgotten.
    assert_eq!(quotas.record(BYTES, who, 0.0, 2 * SECOND), 5 * SECOND);
    assert_eq!(quotas.record(BYTES, who, 0.0, 11 * SECOND), 5 * SECOND);
    assert_eq!(quotas.record(BYTES, who, 0.0, 12 * SECOND), Duration::ZERO);
    // What was not sent after all is taken back.
    assert_eq!(quotas.record(BYTES, who, 2100.0, 30 * SECOND), 11 * SECOND);
    quotas.add(BYTES, who, -2100.0, 30 * SECOND);
    assert_eq!(quotas.record(BYTES, who, 0.0, 30 * SECOND), Duration::ZERO);
}

#[test]
fn what_is_too_much_in_itself_is_used_first_or_not_at_all() {
    let quotas = quotas_of(QuotaEntity::ClientId(QuotaName::Default), BYTES, 100.0);
    let who = client("u", "c");
    assert_eq!(quotas.offer(BYTES, who, 900.0, SECOND), Ok(Duration::ZERO));
    assert_eq!(quotas.offer(BYTES, who, 200.0, SECOND), Err(SECOND));
    assert_eq!(quotas.offer(BYTES, who, 1200.0, SECOND), Err(11 * SECOND));
    assert_eq!(quotas.offer(BYTES, who, 100.0, SECOND), Ok(Duration::ZERO));
    assert_eq!(quotas.offer(BYTES, who, 1200.0, 20 * SECOND), Ok(2 * SECOND));
    assert_eq!(
        quotas.offer(BYTES, who, 1.0, 20 * SECOND),
        Err(Duration::from_millis(2010))
    );
    assert_eq!(
        quotas.offer(BYTES, QuotaSubject::Ip([10, 0, 0, 1].into()), 1e9, SECOND),
        Ok(Duration::ZERO)
    );
}

#[test]
fn time_and_connections_are_waited_for_a_second_at_most() {
    let key = QuotaKey::RequestPercentage;
    let quotas = quotas_of(QuotaEntity::ClientId(QuotaName::Default), key, 0.5);
    assert_eq!(quotas.record(key, client("u", "c"), 1e9, SECOND), SECOND);
    let quotas = quotas_of(QuotaEntity::ClientId(QuotaName::Default), BYTES, 1.0);
    let wait = quotas.record(BYTES, client("u", "c"), 1e30, SECOND);
    assert_eq!(wait.as_millis(), i32::MAX as u128, "what the protocols can say");
}

#[test]
fn what_is_remembered_of_clients_is_bounded() {
    let quotas = quotas_of(QuotaEntity::ClientId(QuotaName::Default), BYTES, 1.0);
    let usages = |quotas: &Quotas| lock(&quotas.limiter(BYTES).used).usages.len();
    for id in 0..USAGES_MAX + 1000 {
        quotas.record(BYTES, client("u", &id.to_string()), 1.0, SECOND);
    }
    assert_eq!(usages(&quotas), USAGES_MAX + 1, "one is for all others");
    for id in 0..100 {
        quotas.record(BYTES, client("u", &format!("later {id}")), 1.0, 100 * SECOND);
    }
    assert_eq!(usages(&quotas), 100);
    quotas.set(QuotaEntity::ClientId(QuotaName::Default), EntityQuotas::new());
    assert_eq!(usages(&quotas), 0);
}

#[test]
fn limits_are_positive_and_whole_where_they_count() {
    use QuotaKey::{ControllerMutationRate, ProducerByteRate, RequestPercentage};
    assert!(QuotaLimit::new(RequestPercentage, 0.5).is_ok());
    assert!(QuotaLimit::new(ControllerMutationRate, 1.5).is_ok());
    let name = "producer_byte_rate";
    for value in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
        assert_eq!(
            QuotaLimit::new(ProducerByteRate, value),
            Err(InvalidQuota::NotPositive(name))
        );
    }
    assert_eq!(
        QuotaLimit::new(ProducerByteRate, 1.5),
        Err(InvalidQuota::Fractional(name))
    );
    assert_eq!(
        QuotaLimit::new(ProducerByteRate, 1e30),
        Err(InvalidQuota::TooLarge(name))
    );
    assert!(QuotaLimit::new(CONNECTIONS, 2_147_483_648.0).is_err());
    assert!(QuotaLimit::new(RequestPercentage, f64::INFINITY).is_err());
    let user = QuotaEntity::User(QuotaName::Default);
    assert_eq!(QuotaKey::of(&user, name), Ok(ProducerByteRate));
    assert!(QuotaKey::of(&user, CONNECTIONS.name()).is_err());
    assert!(QuotaKey::of(&QuotaEntity::Ip(None), name).is_err());
    assert!(QuotaName::named(&"x".repeat(QUOTA_NAME_BYTES_MAX + 1)).is_err());
}

proptest! {
    /// Who waits as it is told sends about as much as the limit, but for the burst at the beginning. A burst that is forgotten
    /// after eleven seconds may have been up to twice what these allow, as with Apache Kafka.
    #[test]
    fn who_waits_as_told_keeps_the_limit(
        sent in proptest::collection::vec((1..5000_u32, 0..700_u64), 1..300),
        rate in 1..2000_u32,
    ) {
        let quotas = quotas_of(QuotaEntity::User(QuotaName::Default), BYTES, rate.into());
        let mut now = SECOND;
        let mut total = 0.0;
        for (bytes, pause_ms) in sent {
            now += Duration::from_millis(pause_ms);
            total += f64::from(bytes);
            now += quotas.record(BYTES, client("u", "c"), bytes.into(), now);
            let elapsed = (now - SECOND).as_secs_f64();
            let allowed = 2.0 * f64::from(rate) * (elapsed + BURST_S) + 5000.0;
            prop_assert!(total <= allowed, "{total} of {allowed} after {elapsed} s");
        }
    }

    /// Who stays below the limit never waits.
    #[test]
    fn who_keeps_the_limit_never_waits(pauses in proptest::collection::vec(1..=1000_u64, 1..300)) {
        let quotas = quotas_of(QuotaEntity::User(QuotaName::Default), BYTES, 1000.0);
        let mut now = SECOND;
        for pause_ms in pauses {
            now += Duration::from_millis(pause_ms);
            let wait = quotas.record(BYTES, client("u", "c"), pause_ms as f64 * 0.9, now);
            prop_assert_eq!(wait, Duration::ZERO);
        }
    }
}
