use std::time::Duration;

use super::*;
use crate::users::{NewPassword, Origin, PasswordChange, Permissions, TopicPermissions};
use crate::{Broker, Clock, Config, Environment};

async fn broker() -> Broker {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| 0),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|_| {}),
    };
    let engine = firth_log::Engine::memory(environment, firth_log::Options::default());
    let environment = Environment {
        clock: Clock::new(|| 0, || Duration::ZERO),
        random: Arc::new(|| [2; 16]),
    };
    Broker::open(engine, Config::default(), environment)
        .await
        .unwrap()
}

async fn user(broker: &Broker, name: &str) -> Principal {
    let password = PasswordChange::Set(NewPassword::new("secret"));
    broker.users().put(name, password, None).await.unwrap();
    let from = Origin::of_socket([127, 0, 0, 1].into());
    broker.users().authenticate(name, b"secret", from).await.unwrap()
}

fn permissions(user: &str, configure: &str, write: &str, read: &str) -> Permissions {
    Permissions {
        virtual_host: "/".into(),
        user: user.into(),
        configure: configure.into(),
        write: write.into(),
        read: read.into(),
    }
}

fn rule(resource: ResourceKind, pattern: Pattern, permission: Option<Permission>, effect: Effect) -> Rule {
    Rule {
        principal: Some("alice".into()),
        virtual_host: "/".into(),
        resource,
        pattern,
        permission,
        effect,
    }
}

const PASSAGE: Passage<'static> = Passage {
    exchange: "e",
    routing_key: b"k",
    is_topic: true,
};

/// An operation, with all that it needs.
type Case = (Operation<'static>, Vec<(Permission, Resource<'static>)>);

/// Every operation, with all that RabbitMQ asks for it, as its documentation has it ("Access Control", "How authorisation works").
fn operations() -> Vec<Case> {
    let mut operations = operations_on_what_is_declared();
    operations.extend(operations_on_messages_and_bindings());
    operations
}

fn operations_on_what_is_declared() -> Vec<Case> {
    use Permission::{Configure, Read, Write};
    use Resource::{Exchange, Queue, VirtualHost};
    let declare = |alternate_exchange| Operation::DeclareExchange {
        exchange: "e",
        alternate_exchange,
    };
    let create = |dead_letter_exchange| Operation::CreateQueue {
        queue: "q",
        dead_letter_exchange,
    };
    vec![
        (Operation::Open, vec![(Read, VirtualHost)]),
        (declare(None), vec![(Configure, Exchange("e"))]),
        (
            declare(Some("a")),
            vec![
                (Configure, Exchange("e")),
                (Read, Exchange("e")),
                (Write, Exchange("a")),
            ],
        ),
        (
            Operation::DeleteExchange { exchange: "e" },
            vec![(Configure, Exchange("e"))],
        ),
        (
            Operation::DeclareQueue { queue: "q" },
            vec![(Configure, Queue("q"))],
        ),
        (create(None), vec![(Configure, Queue("q"))]),
        (
            create(Some("d")),
            vec![
                (Configure, Queue("q")),
                (Read, Queue("q")),
                (Write, Exchange("d")),
            ],
        ),
        (
            Operation::DeleteQueue { queue: "q" },
            vec![(Configure, Queue("q"))],
        ),
        (Operation::PurgeQueue { queue: "q" }, vec![(Read, Queue("q"))]),
        (Operation::Consume { queue: "q" }, vec![(Read, Queue("q"))]),
        (Operation::Get { queue: "q" }, vec![(Read, Queue("q"))]),
    ]
}

fn operations_on_messages_and_bindings() -> Vec<Case> {
    use Permission::{Read, Write};
    use Resource::{Exchange, Queue, RoutingKey, Topic};
    let key = RoutingKey {
        exchange: "e",
        key: b"k",
    };
    let to_queue = Destination::Queue("q");
    let direct = Passage {
        is_topic: false,
        ..PASSAGE
    };
    let default = Passage {
        exchange: "",
        ..direct
    };
    let bind = |source, destination| Operation::Bind { source, destination };
    let unbind = |source, destination| Operation::Unbind { source, destination };
    vec![
        (
            bind(direct, to_queue),
            vec![(Write, Queue("q")), (Read, Exchange("e"))],
        ),
        (
            unbind(direct, to_queue),
            vec![(Write, Queue("q")), (Read, Exchange("e"))],
        ),
        (
            bind(PASSAGE, to_queue),
            vec![(Write, Queue("q")), (Read, Exchange("e")), (Read, key)],
        ),
        (
            unbind(PASSAGE, to_queue),
            vec![(Write, Queue("q")), (Read, Exchange("e")), (Read, key)],
        ),
        (
            bind(direct, Destination::Exchange("f")),
            vec![(Write, Exchange("f")), (Read, Exchange("e"))],
        ),
        (
            bind(direct, Destination::Topic("t")),
            vec![(Write, Topic("t")), (Read, Exchange("e"))],
        ),
        (Operation::Publish(default), vec![(Write, Exchange(""))]),
        (Operation::Publish(direct), vec![(Write, Exchange("e"))]),
        (
            Operation::Publish(PASSAGE),
            vec![(Write, Exchange("e")), (Write, key)],
        ),
    ]
}

#[test]
fn operations_need_what_rabbitmq_asks_for() {
    for (operation, needs) in operations() {
        assert_eq!(operation.needs().to_vec(), needs, "{operation:?}");
    }
}

/// Permissions that match this resource alone, for this permission alone.
fn exactly(permission: Permission, resource: &Resource<'_>) -> Option<Permissions> {
    let name = match resource {
        Resource::Exchange("") => "^amq\\.default$".to_owned(),
        Resource::Exchange(name) | Resource::Queue(name) | Resource::Topic(name) => format!("^{name}$"),
        Resource::VirtualHost | Resource::RoutingKey { .. } => return None,
    };
    let of = |of: Permission| if of == permission { name.as_str() } else { "^$" };
    Some(permissions(
        "alice",
        of(Permission::Configure),
        of(Permission::Write),
        of(Permission::Read),
    ))
}

/// Permissions for everything that is needed but one.
fn all_but(needs: &[(Permission, Resource<'static>)], left_out: usize) -> Permissions {
    let expression = |of: Permission| {
        let others = needs
            .iter()
            .enumerate()
            .filter(|(nth, (permission, _))| *nth != left_out && *permission == of);
        let names: Vec<String> = others
            .filter_map(|(_, (permission, resource))| {
                let of_one = exactly(*permission, resource)?;
                Some(match permission {
                    Permission::Configure => of_one.configure.to_string(),
                    Permission::Write => of_one.write.to_string(),
                    Permission::Read => of_one.read.to_string(),
                })
            })
            .collect();
        names.join("|")
    };
    permissions(
        "alice",
        &expression(Permission::Configure),
        &expression(Permission::Write),
        &expression(Permission::Read),
    )
}

/// Operations x each of what they need: with all of it they are allowed, without any one of it they are denied, and the denial names it.
#[tokio::test]
async fn an_operation_is_denied_for_each_thing_that_is_missing() {
    let broker = broker().await;
    let alice = user(&broker, "alice").await;
    let mut access = broker.users().authorizer().access(&alice, "/");
    for (operation, needs) in operations() {
        broker
            .users()
            .set_permissions(all_but(&needs, usize::MAX))
            .await
            .unwrap();
        assert_eq!(access.authorize(&operation), Ok(()), "{operation:?}");
        for (nth, (permission, resource)) in needs.iter().enumerate() {
            match resource {
                Resource::VirtualHost => _ = broker.users().clear_permissions("/", "alice").await.unwrap(),
                Resource::RoutingKey { exchange, .. } => {
                    broker
                        .users()
                        .set_permissions(all_but(&needs, nth))
                        .await
                        .unwrap();
                    let none = topic_permissions(exchange, "^$", "^$");
                    broker.users().set_topic_permissions(none).await.unwrap();
                }
                _ => {
                    _ = broker
                        .users()
                        .set_permissions(all_but(&needs, nth))
                        .await
                        .unwrap()
                }
            }
            let denied = access.authorize(&operation).unwrap_err();
            assert_eq!(
                (denied.permission, denied.resource),
                (*permission, OwnedResource::from(resource)),
                "{operation:?}"
            );
            broker
                .users()
                .clear_topic_permissions("/", "alice", None)
                .await
                .unwrap();
        }
    }
}

fn topic_permissions(exchange: &str, write: &str, read: &str) -> TopicPermissions {
    TopicPermissions {
        virtual_host: "/".into(),
        user: "alice".into(),
        exchange: exchange.into(),
        write: write.into(),
        read: read.into(),
    }
}

/// Rules: every kind of resource x pattern x permission of the rule x effect, each against a naive answer, with and without a permission
/// that allows, and with a second rule of the other effect.
#[tokio::test]
async fn rules_allow_and_deny_as_a_naive_reading_says() {
    use Permission::{Configure, Read, Write};
    let broker = broker().await;
    let alice = user(&broker, "alice").await;
    let mut access = broker.users().authorizer().access(&alice, "/");
    let resources = [
        (ResourceKind::Exchange, Resource::Exchange("name")),
        (ResourceKind::Queue, Resource::Queue("name")),
        (ResourceKind::Topic, Resource::Topic("name")),
    ];
    let patterns = [
        (Pattern::Literal("name".into()), true),
        (Pattern::Literal("nam".into()), false),
        (Pattern::Prefix("na".into()), true),
        (Pattern::Prefix("name".into()), true),
        (Pattern::Prefix("names".into()), false),
        (Pattern::Prefix("".into()), true),
        (Pattern::Any, true),
    ];
    let mut cases = 0;
    for is_permitted in [false, true] {
        let expression = if is_permitted { ".*" } else { "" };
        let all = permissions("alice", expression, expression, expression);
        broker.users().set_permissions(all).await.unwrap();
        for of in [ResourceKind::Exchange, ResourceKind::Queue, ResourceKind::Topic] {
            for (pattern, is_match) in &patterns {
                for permitted in [None, Some(Configure), Some(Write), Some(Read)] {
                    for effects in [
                        &[Effect::Allow][..],
                        &[Effect::Deny],
                        &[Effect::Allow, Effect::Deny],
                    ] {
                        let rules = effects
                            .iter()
                            .map(|effect| rule(of, pattern.clone(), permitted, *effect));
                        let rules: Vec<_> = rules.collect();
                        for rule in &rules {
                            assert!(broker.users().add_rule(rule.clone()).await.unwrap());
                        }
                        for (kind, resource) in &resources {
                            for permission in [Configure, Write, Read] {
                                let applies = *kind == of
                                    && *is_match
                                    && permitted.is_none_or(|permitted| permitted == permission);
                                let expected = match applies {
                                    true => !effects.contains(&Effect::Deny),
                                    false => is_permitted,
                                };
                                let is_allowed = access.renewed().need(permission, resource).is_ok();
                                assert_eq!(is_allowed, expected, "{rules:?} {permission:?} {resource:?}");
                                cases += 1;
                            }
                        }
                        for rule in &rules {
                            assert!(broker.users().remove_rule(rule).await.unwrap());
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 2 * 3 * 7 * 4 * 3 * 9);
}

impl Access {
    /// As a question would, before it is asked.
    fn renewed(&mut self) -> &mut Access {
        self.authorize(&Operation::Consume { queue: "" }).ok();
        self
    }
}

#[tokio::test]
async fn a_rule_for_everybody_or_for_another_host_is_that() {
    let broker = broker().await;
    let alice = user(&broker, "alice").await;
    let mut access = broker.users().authorizer().access(&alice, "/");
    let get = Operation::Get { queue: "q" };
    let allow = rule(ResourceKind::Queue, Pattern::Any, None, Effect::Allow);
    for (rule, is_allowed) in [
        (
            Rule {
                principal: None,
                ..allow.clone()
            },
            true,
        ),
        (
            Rule {
                principal: Some("bob".into()),
                ..allow.clone()
            },
            false,
        ),
        (
            Rule {
                virtual_host: "other".into(),
                ..allow.clone()
            },
            false,
        ),
    ] {
        broker.users().add_rule(rule.clone()).await.unwrap();
        assert_eq!(access.authorize(&get).is_ok(), is_allowed, "{rule:?}");
        broker.users().remove_rule(&rule).await.unwrap();
    }
    // Denial for all is stronger than what is allowed to one.
    broker.users().add_rule(allow.clone()).await.unwrap();
    let deny = Rule {
        principal: None,
        effect: Effect::Deny,
        ..allow
    };
    broker.users().add_rule(deny).await.unwrap();
    assert!(access.authorize(&get).is_err());
}

#[tokio::test]
async fn what_is_revoked_is_revoked_at_once() {
    let broker = broker().await;
    let users = broker.users();
    let alice = user(&broker, "alice").await;
    let authorizer = users.authorizer();
    let mut access = authorizer.access(&alice, "/");
    let mut changes = authorizer.changes();
    let get = Operation::Get { queue: "q" };
    users
        .set_permissions(permissions("alice", "", "", "q"))
        .await
        .unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(access.authorize(&get), Ok(()));
    assert_eq!(access.authorize(&get), Ok(()));
    users
        .set_permissions(permissions("alice", "", "", "other"))
        .await
        .unwrap();
    assert!(changes.has_changed().unwrap());
    assert!(access.authorize(&get).is_err());
    users
        .set_permissions(permissions("alice", "", "", "q"))
        .await
        .unwrap();
    assert_eq!(access.authorize(&get), Ok(()));
    users.clear_permissions("/", "alice").await.unwrap();
    assert!(access.authorize(&get).is_err());
    users
        .set_permissions(permissions("alice", "", "", "q"))
        .await
        .unwrap();
    assert_eq!(access.authorize(&get), Ok(()));
    users.forget_virtual_host("/").await.unwrap();
    assert!(access.authorize(&get).is_err());
}

#[tokio::test]
async fn who_was_deleted_may_nothing_also_if_the_name_is_given_again() {
    let broker = broker().await;
    let users = broker.users();
    let alice = user(&broker, "alice").await;
    let authorizer = users.authorizer();
    let mut access = authorizer.access(&alice, "/");
    let everything = || permissions("alice", ".*", ".*", ".*");
    users.set_permissions(everything()).await.unwrap();
    users
        .put(
            "alice",
            PasswordChange::Keep,
            Some(vec!["administrator".to_owned()]),
        )
        .await
        .unwrap();
    assert_eq!(
        access.authorize(&Operation::Open),
        Ok(()),
        "a change of the user is no other user"
    );
    assert!(authorizer.has_tag(&alice, "administrator"));
    users.delete("alice").await.unwrap();
    assert!(access.authorize(&Operation::Open).is_err() && !authorizer.is_known(&alice));
    let tags = Some(vec!["administrator".to_owned()]);
    users.put("alice", PasswordChange::Remove, tags).await.unwrap();
    users.set_permissions(everything()).await.unwrap();
    assert!(access.authorize(&Operation::Open).is_err() && !authorizer.is_known(&alice));
    assert!(!authorizer.has_tag(&alice, "administrator"));
}

#[tokio::test]
async fn routing_keys_need_topic_permissions_where_there_are_some() {
    let broker = broker().await;
    let users = broker.users();
    let alice = user(&broker, "alice").await;
    users
        .set_permissions(permissions("alice", "", ".*", ".*"))
        .await
        .unwrap();
    let with_key = |routing_key| {
        Operation::Publish(Passage {
            routing_key,
            ..PASSAGE
        })
    };
    let mut access = users.authorizer().access(&alice, "/").with_client_id(".*");
    assert_eq!(access.authorize(&with_key(b"anything")), Ok(()));
    let own = topic_permissions("e", "^{username}\\.{client_id}$", "");
    users.set_topic_permissions(own).await.unwrap();
    assert_eq!(access.authorize(&with_key(b"alice..*")), Ok(()));
    let denied = access.authorize(&with_key(b"alice.x")).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "access to topic 'alice.x' in exchange 'e' in vhost '/' refused for user 'alice'"
    );
    let other = Operation::Publish(Passage {
        exchange: "f",
        ..PASSAGE
    });
    assert_eq!(access.authorize(&other), Ok(()), "it has none for this exchange");
}

#[tokio::test]
async fn denials_have_the_words_of_rabbitmq() {
    let broker = broker().await;
    let alice = user(&broker, "alice").await;
    let mut access = broker.users().authorizer().access(&alice, "/");
    let mut words = |operation| access.authorize(&operation).unwrap_err().to_string();
    assert_eq!(
        words(Operation::Open),
        "access to vhost '/' refused for user 'alice'"
    );
    assert_eq!(
        words(Operation::Get { queue: "q" }),
        "access to queue 'q' in vhost '/' refused for user 'alice'"
    );
    assert_eq!(
        words(Operation::DeleteExchange { exchange: "e" }),
        "access to exchange 'e' in vhost '/' refused for user 'alice'"
    );
    let default = Passage {
        exchange: "",
        routing_key: b"q",
        is_topic: false,
    };
    assert_eq!(
        words(Operation::Publish(default)),
        "access to exchange 'amq.default' in vhost '/' refused for user 'alice'"
    );
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let broker = broker().await;
    let alice = user(&broker, "alice").await;
    let users = broker.users();
    users
        .set_permissions(permissions("alice", "", "", ".*"))
        .await
        .unwrap();
    let mut access = users.authorizer().access(&alice, "/");
    for nth in 0..100 {
        let queue = nth.to_string();
        assert_eq!(access.authorize(&Operation::Get { queue: &queue }), Ok(()));
    }
    assert_eq!(access.remembered.len(), REMEMBERED_MAX);
}
