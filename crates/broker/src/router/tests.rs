//! What the router finds is what a list of all bindings says, however they change, and whether it is remembered or not.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::topology::tests::{broker, queue_named};
use crate::{Broker, Destination, NewBinding, NewExchange, NewQueue, VirtualHostSettings};

const EXCHANGES: [&str; 5] = ["a", "b", "c", "d", "e"];
const QUEUES: [&str; 4] = ["q1", "q2", "q3", "q4"];
const KEYS: [&str; 6] = ["", "x", "y", "x.y", "#", "x.*"];

#[derive(Clone, Debug)]
pub(crate) enum Change {
    DeclareExchange {
        name: usize,
        kind: usize,
        auto_delete: bool,
        alternate: Option<usize>,
    },
    DeleteExchange(usize, bool),
    DeclareQueue(usize),
    DeleteQueue(usize),
    Bind(Bound),
    Unbind(Bound),
}

/// Source, destination, key, and the header that a headers exchange asks for.
pub(crate) type Bound = (usize, Result<usize, usize>, usize, u8);

fn bound() -> impl Strategy<Value = Bound> {
    let exchange = 0..EXCHANGES.len();
    let destination = prop_oneof![
        3 => (0..QUEUES.len()).prop_map(Ok),
        2 => (0..EXCHANGES.len()).prop_map(Err),
    ];
    (exchange, destination, 0..KEYS.len(), 0..2_u8)
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let exchange = || 0..EXCHANGES.len();
    let alternate = proptest::option::weighted(0.5, exchange());
    prop_oneof![
        4 => (exchange(), 0..4_usize, any::<bool>(), alternate).prop_map(|(name, kind, auto_delete, alternate)| {
            Change::DeclareExchange { name, kind, auto_delete, alternate }
        }),
        1 => (exchange(), any::<bool>()).prop_map(|(name, if_unused)| Change::DeleteExchange(name, if_unused)),
        3 => (0..QUEUES.len()).prop_map(Change::DeclareQueue),
        1 => (0..QUEUES.len()).prop_map(Change::DeleteQueue),
        10 => bound().prop_map(Change::Bind),
        3 => bound().prop_map(Change::Unbind),
    ]
}

/// Lists, and nothing that is clever.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Kind, auto-delete, and alternate exchange.
    exchanges: BTreeMap<usize, (usize, bool, Option<usize>)>,
    queues: BTreeSet<usize>,
    bindings: BTreeSet<Bound>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::DeclareExchange {
                name,
                kind,
                auto_delete,
                alternate,
            } => {
                let declared = (*kind, *auto_delete, *alternate);
                self.exchanges.entry(*name).or_insert(declared);
            }
            Change::DeleteExchange(name, if_unused) => {
                let is_used = self.bindings.iter().any(|(source, ..)| source == name);
                if !(*if_unused && is_used) {
                    self.delete_exchange(*name);
                }
            }
            Change::DeclareQueue(name) => _ = self.queues.insert(*name),
            Change::DeleteQueue(name) => {
                self.queues.remove(name);
                self.remove_bindings(|(_, destination, ..)| *destination == Ok(*name));
            }
            Change::Bind(bound) => {
                let (source, destination, ..) = bound;
                let is_there = match destination {
                    Ok(queue) => self.queues.contains(queue),
                    Err(exchange) => self.exchanges.contains_key(exchange),
                };
                if is_there && self.exchanges.contains_key(source) {
                    self.bindings.insert(*bound);
                }
            }
            Change::Unbind(bound) => self.remove_bindings(|other| other == bound),
        }
    }

    fn delete_exchange(&mut self, name: usize) {
        if self.exchanges.remove(&name).is_some() {
            self.remove_bindings(|(source, destination, ..)| *source == name || *destination == Err(name));
        }
    }

    fn remove_bindings(&mut self, goes: impl Fn(&Bound) -> bool) {
        let (gone, left) = std::mem::take(&mut self.bindings).into_iter().partition(goes);
        self.bindings = left;
        let sources: BTreeSet<usize> = BTreeSet::iter(&gone).map(|(source, ..)| *source).collect();
        for source in sources {
            let is_auto_delete = self
                .exchanges
                .get(&source)
                .is_some_and(|(_, auto_delete, _)| *auto_delete);
            if is_auto_delete && !self.bindings.iter().any(|(other, ..)| *other == source) {
                self.delete_exchange(source);
            }
        }
    }

    /// None if there is no such exchange.
    fn route(&self, exchange: usize, keys: &[&str], header: u8) -> Option<BTreeSet<usize>> {
        self.exchanges.get(&exchange)?;
        let (mut seen, mut queues) = (vec![exchange], BTreeSet::new());
        let mut next = 0;
        while let Some(exchange) = seen.get(next).copied() {
            next += 1;
            let Some((kind, _, alternate)) = self.exchanges.get(&exchange) else {
                continue;
            };
            let from = self.bindings.iter().filter(|(source, ..)| *source == exchange);
            let matching: Vec<_> = from
                .filter(|(_, _, key, asked)| match kind {
                    0 => keys.contains(&KEYS[*key]),
                    1 => true,
                    2 => keys.iter().any(|routing_key| matches(KEYS[*key], routing_key)),
                    _ => *asked == header,
                })
                .collect();
            let alternate = alternate.iter().filter(|_| matching.is_empty());
            for exchange in matching
                .iter()
                .filter_map(|(_, to, ..)| to.err())
                .chain(alternate.copied())
            {
                if !seen.contains(&exchange) {
                    seen.push(exchange);
                }
            }
            queues.extend(matching.iter().filter_map(|(_, to, ..)| to.ok()));
        }
        Some(queues)
    }
}

/// What the patterns among the keys mean for the keys of messages.
fn matches(pattern: &str, key: &str) -> bool {
    let mut trie = topic_trie::TopicTrie::default();
    trie.add(pattern, Sink::Topic(Box::new(TopicId([0; 16]))));
    let mut is_match = false;
    trie.matching(key, |_| is_match = true);
    is_match
}

struct Header(u8);

impl Headers for Header {
    fn get(&self, name: &str) -> Option<HeaderValue<'_>> {
        (name == "h").then(|| HeaderValue::Integer(self.0.into()))
    }

    fn property(&self, _: crate::HashProperty) -> Option<std::borrow::Cow<'_, [u8]>> {
        None
    }
}

fn new_binding((source, destination, key, header): &Bound) -> NewBinding {
    NewBinding {
        source: EXCHANGES[*source].into(),
        destination: match destination {
            Ok(queue) => Destination::Queue(QUEUES[*queue].into()),
            Err(exchange) => Destination::Exchange(EXCHANGES[*exchange].into()),
        },
        key: KEYS[*key].to_owned(),
        arguments: vec![*header],
        header_match: HeaderMatch {
            mode: MatchMode::All,
            conditions: vec![("h".into(), HeaderValue::Integer((*header).into()))],
        },
    }
}

/// What is refused is what changes nothing in the model. Every second queue is durable, and so are auto-delete exchanges.
pub(crate) fn apply(virtual_host: &VirtualHost, change: &Change) {
    match change {
        Change::DeclareExchange {
            name,
            kind,
            auto_delete,
            alternate,
        } => {
            let kinds = [
                ExchangeKind::Direct,
                ExchangeKind::Fanout,
                ExchangeKind::Topic,
                ExchangeKind::Headers,
            ];
            let new = NewExchange {
                name: EXCHANGES[*name].to_owned(),
                kind: kinds[*kind].clone(),
                auto_delete: *auto_delete,
                durable: *auto_delete,
                alternate_exchange: alternate.map(|alternate| EXCHANGES[alternate].to_owned()),
                ..NewExchange::default()
            };
            virtual_host.declare_exchange(new).unwrap();
        }
        Change::DeleteExchange(name, if_unused) => {
            _ = virtual_host.delete_exchange(EXCHANGES[*name], *if_unused);
        }
        Change::DeclareQueue(name) => {
            let durable = name % 2 == 0;
            let new = NewQueue {
                durable,
                ..queue_named(QUEUES[*name])
            };
            virtual_host.declare_queue(new, None).unwrap();
        }
        Change::DeleteQueue(name) => _ = virtual_host.delete_queue(QUEUES[*name], false, false),
        Change::Bind(bound) => _ = virtual_host.bind(new_binding(bound)),
        Change::Unbind(bound) => _ = virtual_host.unbind(&new_binding(bound)).unwrap(),
    }
}

/// The names of the queues, which have to be there in the order of their ids, each once.
fn names(targets: &Targets) -> BTreeSet<usize> {
    assert!(targets.queues.is_sorted_by_key(|queue| queue.id()));
    let position = |queue: &Arc<Queue>| QUEUES.iter().position(|name| *name == queue.name()).unwrap();
    let names: BTreeSet<_> = targets.queues.iter().map(position).collect();
    assert_eq!(names.len(), targets.queues.len());
    names
}

fn check(model: &Model, cache: &mut RouteCache, exchange: usize, key: usize, other: usize, header: u8) {
    let (name, keys) = (EXCHANGES[exchange], [KEYS[key], KEYS[other]]);
    let expected = model.route(exchange, &keys[..1], header);
    let routed = cache.route(name, keys[0], &Header(header));
    assert_eq!(
        routed.as_deref().map(names),
        expected,
        "{name} {:?} {header} {model:?}",
        keys[0]
    );
    let both = cache.route_keys(name, &keys, &Header(header));
    assert_eq!(both.as_deref().map(names), model.route(exchange, &keys, header));
    for (index, queue) in QUEUES.iter().enumerate() {
        let routed = cache.route(DEFAULT_EXCHANGE, queue, &NoHeaders).unwrap();
        assert_eq!(
            names(&routed).contains(&index),
            model.queues.contains(&index),
            "{queue}"
        );
    }
}

use crate::topology::ExchangeKind;

fn run(broker: &Broker, changes: &[(Change, usize, usize, usize, u8)]) {
    let created = broker
        .topology()
        .create_virtual_host("v", VirtualHostSettings::default());
    let mut cache = RouteCache::new(created.unwrap().item);
    let virtual_host = cache.virtual_host().clone();
    let mut model = Model::default();
    for (change, exchange, key, other, header) in changes {
        apply(&virtual_host, change);
        model.apply(change);
        check(&model, &mut cache, *exchange, *key, *other, *header);
        let declared: Vec<_> = virtual_host
            .exchanges()
            .iter()
            .filter(|it| !it.predeclared)
            .map(|it| it.name.clone())
            .collect();
        let expected: Vec<_> = model
            .exchanges
            .keys()
            .map(|exchange| Arc::from(EXCHANGES[*exchange]))
            .collect();
        assert_eq!(declared, expected);
        assert_eq!(virtual_host.bindings().len(), model.bindings.len());
    }
    let deleted = broker.topology().delete_virtual_host("v").unwrap();
    deleted.forget().unwrap();
}

#[tokio::test]
async fn routes_are_what_the_bindings_say_whatever_changes() {
    let broker = broker().await;
    let step = (
        change(),
        0..EXCHANGES.len(),
        0..KEYS.len(),
        0..KEYS.len(),
        0..2_u8,
    );
    let config = ProptestConfig {
        failure_persistence: None,
        cases: 300,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let steps = proptest::collection::vec(step, 1..60);
    let ran = runner.run(&steps, |steps| {
        // A case that failed leaves its virtual host.
        _ = broker.topology().delete_virtual_host("v");
        run(&broker, &steps);
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

#[tokio::test]
async fn what_is_remembered_is_found_without_looking() {
    let broker = broker().await;
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    let declare = |name| virtual_host.declare_queue(queue_named(name), None).unwrap().item;
    let queue = declare("q1");
    let mut bound = NewBinding {
        source: "amq.fanout".into(),
        destination: Destination::Queue("q1".into()),
        key: String::new(),
        arguments: Vec::new(),
        header_match: HeaderMatch::default(),
    };
    virtual_host.bind(bound.clone()).unwrap();
    let mut cache = RouteCache::new(virtual_host.clone());
    let fanout = cache.route("amq.fanout", "1", &NoHeaders).unwrap();
    let direct = cache.route("", "q1", &NoHeaders).unwrap();
    assert!(Arc::ptr_eq(&direct.queues[0], &queue));
    // Queues come and go, and what is remembered stays.
    declare("q2");
    virtual_host.delete_queue("q2", false, false).unwrap();
    assert!(Arc::ptr_eq(
        &fanout,
        &cache.route("amq.fanout", "2", &NoHeaders).unwrap()
    ));
    assert!(Arc::ptr_eq(&direct, &cache.route("", "q1", &NoHeaders).unwrap()));
    // Not so where something is bound.
    bound.source = "amq.direct".into();
    virtual_host.bind(bound).unwrap();
    assert!(!Arc::ptr_eq(
        &fanout,
        &cache.route("amq.fanout", "2", &NoHeaders).unwrap()
    ));
    assert!(Arc::ptr_eq(&direct, &cache.route("", "q1", &NoHeaders).unwrap()));
    // A queue that is declared again is another one.
    virtual_host.delete_queue("q1", false, false).unwrap();
    assert!(cache.route("", "q1", &NoHeaders).unwrap().is_empty());
    let again = declare("q1");
    assert!(again.id() > queue.id());
    assert!(Arc::ptr_eq(
        &cache.route("", "q1", &NoHeaders).unwrap().queues[0],
        &again
    ));
    assert!(cache.route("amq.fanout", "1", &NoHeaders).unwrap().is_empty());
    assert!(cache.route("none", "1", &NoHeaders).is_none());
}

#[tokio::test]
async fn an_alternate_exchange_counts_from_when_it_is_declared() {
    let broker = broker().await;
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    virtual_host.declare_queue(queue_named("q1"), None).unwrap();
    let bound = NewBinding {
        source: "amq.fanout".into(),
        destination: Destination::Queue("q1".into()),
        key: String::new(),
        arguments: Vec::new(),
        header_match: HeaderMatch::default(),
    };
    virtual_host.bind(bound).unwrap();
    let declare = |name: &str, alternate: &str| {
        let new = NewExchange {
            name: name.to_owned(),
            alternate_exchange: Some(alternate.to_owned()),
            ..NewExchange::default()
        };
        virtual_host.declare_exchange(new).unwrap();
    };
    let mut cache = RouteCache::new(virtual_host.clone());
    declare("first", "second");
    assert!(cache.route("first", "k", &NoHeaders).unwrap().is_empty());
    declare("second", "amq.fanout");
    assert_eq!(cache.route("first", "k", &NoHeaders).unwrap().queues.len(), 1);
}

#[tokio::test]
async fn routes_take_a_bounded_amount_of_memory() {
    let broker = broker().await;
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    let mut cache = RouteCache::new(virtual_host.clone());
    for n in 0..20_000 {
        cache.route("amq.topic", &format!("key.{n}"), &NoHeaders).unwrap();
        let name = format!("queue-{n}");
        virtual_host.declare_queue(queue_named(&name), None).unwrap();
        assert_eq!(cache.route("", &name, &NoHeaders).unwrap().queues.len(), 1);
        assert!(cache.remembered() < 700, "{} routes", cache.remembered());
    }
}

#[tokio::test]
async fn a_delayed_exchange_keeps_what_names_a_delay() {
    struct Delay(i128);
    impl Headers for Delay {
        fn get(&self, name: &str) -> Option<HeaderValue<'_>> {
            (name == DELAY_HEADER).then_some(HeaderValue::Integer(self.0))
        }
        fn property(&self, _: crate::HashProperty) -> Option<std::borrow::Cow<'_, [u8]>> {
            None
        }
    }
    let broker = broker().await;
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    let new = NewExchange {
        name: "late".to_owned(),
        kind: ExchangeKind::Delayed(Box::new(ExchangeKind::Direct)),
        ..NewExchange::default()
    };
    virtual_host.declare_exchange(new).unwrap();
    virtual_host.declare_queue(queue_named("q1"), None).unwrap();
    let bind = |source: &str, destination| {
        let bound = NewBinding {
            source: source.into(),
            destination,
            key: "k".to_owned(),
            arguments: Vec::new(),
            header_match: HeaderMatch::default(),
        };
        virtual_host.bind(bound).unwrap();
    };
    bind("late", Destination::Queue("q1".into()));
    bind("amq.direct", Destination::Exchange("late".into()));
    let mut cache = RouteCache::new(virtual_host.clone());
    for exchange in ["late", "amq.direct"] {
        for delay in [1, i128::from(u32::MAX)] {
            let kept = cache.route(exchange, "k", &Delay(delay)).unwrap();
            assert_eq!((kept.queues.len(), kept.delayed.len()), (0, 1));
            assert_eq!(&*kept.delayed[0].name, "late");
            assert!(!kept.is_empty());
        }
        for delay in [0, -5, i128::from(u32::MAX) + 1] {
            let routed = cache.route(exchange, "k", &Delay(delay)).unwrap();
            assert_eq!((routed.queues.len(), routed.delayed.len()), (1, 0));
        }
    }
    // A delay that is over is not counted again.
    let another = NewExchange {
        name: "later".to_owned(),
        kind: ExchangeKind::Delayed(Box::new(ExchangeKind::Fanout)),
        ..NewExchange::default()
    };
    virtual_host.declare_exchange(another).unwrap();
    bind("later", Destination::Exchange("late".into()));
    let over = route_delayed(&virtual_host, "later", &["k"], &Delay(1)).unwrap();
    assert_eq!((over.queues.len(), over.delayed.len()), (1, 0));
    let over = route_delayed(&virtual_host, "late", &["k"], &Delay(1)).unwrap();
    assert_eq!((over.queues.len(), over.delayed.len()), (1, 0));
    assert!(route_delayed(&virtual_host, "gone", &["k"], &Delay(1)).is_none());
}
