use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::users::credentials::COST;

fn text() -> impl Strategy<Value = Arc<str>> {
    any::<String>().prop_map(Arc::from)
}

fn scram<const N: usize>(seed: u8) -> Scram<N> {
    Scram {
        salt: [seed; SALT_BYTES],
        iterations: u32::from(seed),
        stored_key: [seed.wrapping_add(1); N],
        server_key: [seed.wrapping_add(2); N],
    }
}

fn credentials() -> impl Strategy<Value = Credentials> {
    let password = any::<[u8; 16]>().prop_map(|salt| {
        Credentials::Password(Box::new(Password {
            salt,
            cost: COST,
            hash: [salt[0]; 32],
            sha256: scram(salt[1]),
            sha512: scram(salt[2]),
        }))
    });
    let imported = prop_oneof![
        Just((ImportedDigest::Sha256, 36)),
        Just((ImportedDigest::Sha512, 68))
    ];
    let imported = (imported, any::<u8>()).prop_map(|((digest, length), byte)| {
        Credentials::Imported(Imported::new(digest, &vec![byte; length]).unwrap())
    });
    prop_oneof![
        Just(Credentials::None),
        Just(Credentials::Name),
        password,
        imported
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    use ResourceKind::{Exchange, Queue, Topic, VirtualHost};
    let resource = prop_oneof![Just(VirtualHost), Just(Exchange), Just(Queue), Just(Topic)];
    let pattern = prop_oneof![
        text().prop_map(Pattern::Literal),
        text().prop_map(Pattern::Prefix),
        Just(Pattern::Any)
    ];
    use Permission::{Configure, Read, Write};
    let permission = prop_oneof![
        Just(None),
        Just(Some(Configure)),
        Just(Some(Write)),
        Just(Some(Read))
    ];
    let effect = prop_oneof![Just(Effect::Allow), Just(Effect::Deny)];
    let principal = proptest::option::of(text());
    (principal, text(), resource, pattern, permission, effect).prop_map(
        |(principal, virtual_host, resource, pattern, permission, effect)| Rule {
            principal,
            virtual_host,
            resource,
            pattern,
            permission,
            effect,
        },
    )
}

fn any_stored() -> impl Strategy<Value = Stored> {
    let user = (text(), proptest::collection::vec(text(), 0..3), credentials()).prop_map(
        |(name, tags, credentials)| Stored::User {
            name,
            tags: tags.into(),
            credentials,
        },
    );
    let permissions =
        (text(), text(), text(), text(), text()).prop_map(|(virtual_host, user, configure, write, read)| {
            Stored::Permissions(Permissions {
                virtual_host,
                user,
                configure,
                write,
                read,
            })
        });
    let topic_permissions =
        (text(), text(), text(), text(), text()).prop_map(|(virtual_host, user, exchange, write, read)| {
            Stored::TopicPermissions(TopicPermissions {
                virtual_host,
                user,
                exchange,
                write,
                read,
            })
        });
    prop_oneof![
        user,
        permissions,
        topic_permissions,
        rule().prop_map(Stored::Rule)
    ]
}

/// What removes the record of `stored`.
fn removal(stored: &Stored) -> Removed {
    match stored.clone() {
        Stored::User { name, .. } => Removed::User(name),
        Stored::Permissions(of) => Removed::Permissions {
            virtual_host: of.virtual_host,
            user: of.user,
        },
        Stored::TopicPermissions(of) => Removed::TopicPermissions {
            virtual_host: of.virtual_host,
            user: of.user,
            exchange: of.exchange,
        },
        Stored::Rule(rule) => Removed::Rule(rule),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_stored_reads_back(given in any_stored()) {
        let record = stored(&given);
        prop_assert_eq!(decode(&record), Ok(given.clone()));
        let removal = removed(&removal(&given));
        prop_assert_eq!((removal.key, removal.value), (record.key, None));
    }

    #[test]
    fn a_record_that_is_cut_or_continued_is_malformed(given in any_stored()) {
        let record = stored(&given);
        let value = record.value.clone().unwrap();
        for end in 0..value.len() {
            let cut = StateRecord { value: Some(value.slice(..end)), ..record.clone() };
            prop_assert!(decode(&cut).is_err());
        }
        for end in 0..record.key.len() {
            let cut = StateRecord { key: record.key.slice(..end), ..record.clone() };
            prop_assert!(decode(&cut).is_err());
        }
        let longer = [&value[..], &[0]].concat();
        prop_assert_eq!(decode(&StateRecord { value: Some(longer.into()), ..record }), Err(Malformed("length")));
    }

    #[test]
    fn any_bytes_are_a_record_or_malformed(key: Vec<u8>, value: Vec<u8>) {
        let _ = decode(&StateRecord { key: key.into(), value: Some(value.into()) });
    }
}

#[test]
fn the_bytes_of_version_1_stay_what_they_are() {
    let password = Password {
        salt: [1; 16],
        cost: COST,
        hash: [2; 32],
        sha256: scram(3),
        sha512: scram(6),
    };
    let user = stored(&Stored::User {
        name: "u".into(),
        tags: ["t".into()].into(),
        credentials: Credentials::Password(Box::new(password)),
    });
    assert_eq!(user.key, Bytes::from_static(&[1, 1, 0, 0, 0, b'u']));
    let expected = [
        &[1, 1, 0, 0, 0, 1, 0, 0, 0, b't', 2][..],
        &[1; 16],
        &[0, 0x4c, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0],
        &[2; 32],
        &[3; 16],
        &[3, 0, 0, 0],
        &[4; 32],
        &[5; 32],
        &[6; 16],
        &[6, 0, 0, 0],
        &[7; 64],
        &[8; 64],
    ];
    assert_eq!(user.value.unwrap(), expected.concat());

    let permissions = stored(&Stored::Permissions(Permissions {
        virtual_host: "/".into(),
        user: "u".into(),
        configure: "c".into(),
        write: "w".into(),
        read: "r".into(),
    }));
    assert_eq!(
        permissions.key,
        Bytes::from_static(&[2, 1, 0, 0, 0, b'/', 1, 0, 0, 0, b'u'])
    );
    let value = [1, 1, 0, 0, 0, b'c', 1, 0, 0, 0, b'w', 1, 0, 0, 0, b'r'];
    assert_eq!(permissions.value.unwrap(), value[..]);

    let rule = stored(&Stored::Rule(Rule {
        principal: None,
        virtual_host: "/".into(),
        resource: ResourceKind::Queue,
        pattern: Pattern::Prefix("q".into()),
        permission: Some(Permission::Read),
        effect: Effect::Deny,
    }));
    let key = [4, 0, 1, 0, 0, 0, b'/', 3, 2, 1, 0, 0, 0, b'q', 3, 2];
    assert_eq!(
        (rule.key, rule.value),
        (key[..].to_vec().into(), Some(vec![1].into()))
    );
}

#[test]
fn a_cost_that_nobody_would_pay_is_malformed() {
    let password = Password {
        salt: [1; 16],
        cost: COST,
        hash: [2; 32],
        sha256: scram(3),
        sha512: scram(6),
    };
    let record = stored(&Stored::User {
        name: "u".into(),
        tags: Vec::new().into(),
        credentials: Credentials::Password(Box::new(password)),
    });
    let mut value = record.value.clone().unwrap().to_vec();
    let at = value
        .windows(4)
        .position(|bytes| bytes == COST.memory_kib.to_le_bytes())
        .unwrap();
    value[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let expensive = StateRecord {
        value: Some(value.into()),
        ..record
    };
    assert_eq!(decode(&expensive), Err(Malformed("cost")));
}
