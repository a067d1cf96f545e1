//! Members that come, go, fall asleep and come back as somebody they are no more, in any order; the journal refuses what
//! it likes. What must hold, holds after each step.

use std::collections::HashMap;

use bytes::Bytes;
use firth_broker::{StateError, StateRecord, TopicId};
use proptest::prelude::*;

use super::*;
use crate::groups::member::Ticket;
use crate::groups::record::{self, Stored};
use crate::groups::settings::GroupSettings;
use crate::groups::turn::{Joined, Reply, Synced};

/// From here on clients are static members.
const FIRST_STATIC: usize = 4;
const CLIENTS: usize = 6;
/// Everything that is parked is answered by then: the longest timeout is that of new members.
const LONG_MS: u64 = 3_600_000;

#[derive(Clone, Debug)]
enum Step {
    /// The client says whether it forgot who it was, which protocols it knows, and which version it speaks.
    Join(usize, bool, u8, bool),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Commit(usize, i64),
    /// The client did not hear of the last generation, and does all it can in the one before.
    Zombie(usize),
    Pass(u64),
    /// The journal refuses so many times.
    Refuse(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), prop::bool::weighted(0.2), 1_u8..4, any::<bool>())
            .prop_map(|(who, forgot, protocols, old)| Step::Join(who, forgot, protocols, old)),
        6 => client.clone().prop_map(Step::Sync),
        2 => client.clone().prop_map(Step::Heartbeat),
        1 => client.clone().prop_map(Step::Leave),
        1 => client.clone().prop_map(Step::Zombie),
        2 => (client, any::<i64>()).prop_map(|(who, offset)| Step::Commit(who, offset)),
        4 => prop_oneof![Just(1), Just(500), Just(3000), Just(7000), Just(400_000)].prop_map(Step::Pass),
        1 => (1_u8..3).prop_map(Step::Refuse),
    ]
}

/// What a client believes.
#[derive(Clone, Debug, Default)]
struct Client {
    id: Option<Arc<str>>,
    generation: i32,
    /// Whom it is to assign to, by id, and who they are.
    led: Option<Vec<(Arc<str>, String)>>,
}

struct World {
    group: Group,
    settings: GroupSettings,
    clients: Vec<Client>,
    now_ms: u64,
    ids: usize,
    refuse: u8,
    log: Vec<StateRecord>,
    /// Who waits for which reply, and for a sync in which generation and as whom.
    waiting: HashMap<Ticket, (usize, i32, String)>,
    tickets: Ticket,
    leaders: HashMap<i32, Arc<str>>,
}

impl World {
    fn new(size_max: usize) -> World {
        World {
            group: Group::new("g".into()),
            settings: GroupSettings {
                size_max,
                ..GroupSettings::default()
            },
            clients: vec![Client::default(); CLIENTS],
            now_ms: 0,
            ids: 0,
            refuse: 0,
            log: Vec::new(),
            waiting: HashMap::new(),
            tickets: 0,
            leaders: HashMap::new(),
        }
    }

    fn turn<T>(&mut self, f: impl FnOnce(&mut Group, &mut Turn<'_>) -> T) -> T {
        let (log, refuse) = (&mut self.log, &mut self.refuse);
        let mut journal = |records: &[StateRecord]| {
            if *refuse > 0 {
                *refuse -= 1;
                return Err(StateError::Full);
            }
            log.extend_from_slice(records);
            Ok(())
        };
        let mut turn = Turn {
            now: now(self.now_ms),
            settings: &self.settings,
            room: usize::MAX,
            journal: &mut journal,
            replies: Vec::new(),
            rebalances: Vec::new(),
        };
        let result = f(&mut self.group, &mut turn);
        if self.group.wake_ms() <= self.now_ms {
            self.group.tick(&mut turn);
        }
        let replies = std::mem::take(&mut turn.replies);
        for (ticket, reply) in replies {
            let (who, generation, name) = self.waiting.remove(&ticket).expect("one reply for each request");
            match reply {
                Reply::Joined(joined) => self.joined(who, joined),
                Reply::Synced(synced) => self.synced(generation, &name, &synced),
            }
        }
        result
    }

    fn joined(&mut self, who: usize, joined: Joined) {
        let client = &mut self.clients[who];
        match joined.generation {
            None => {
                assert_ne!(joined.error, ErrorCode::None);
                client.id = (!joined.member_id.is_empty()).then_some(joined.member_id);
            }
            Some(generation) => {
                client.id = Some(joined.member_id.clone());
                client.generation = generation.id;
                let leads =
                    generation.leader.as_ref() == Some(&joined.member_id) && !generation.skip_assignment;
                client.led = leads.then(|| {
                    let who = |member: &crate::groups::turn::JoinedMember| {
                        let name = member.instance_id.as_ref().unwrap_or(&member.id);
                        (member.id.clone(), name.to_string())
                    };
                    generation.members.iter().map(who).collect()
                });
                if leads {
                    let leader = self
                        .leaders
                        .entry(generation.id)
                        .or_insert(joined.member_id.clone());
                    assert_eq!(
                        *leader, joined.member_id,
                        "generation {} has two leaders",
                        generation.id
                    );
                }
            }
        }
    }

    /// A member gets what the leader of its generation assigned to it, or an error.
    fn synced(&self, generation: i32, name: &str, synced: &Synced) {
        if synced.error == ErrorCode::None {
            assert_eq!(synced.assignment, format!("{generation} {name}"));
            assert_eq!(generation, self.group.generation);
        } else {
            assert!(synced.assignment.is_empty());
        }
    }

    fn ticket(&mut self, who: usize, generation: i32) -> Ticket {
        self.tickets += 1;
        let name = instance(who).or_else(|| self.clients[who].id.clone());
        let name = name.unwrap_or_default().to_string();
        self.waiting.insert(self.tickets, (who, generation, name));
        self.tickets
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(who, forgot, protocols, old) => self.join(who, forgot, protocols, old),
            Step::Sync(who) => self.sync(who),
            Step::Heartbeat(who) => self.heartbeat(who),
            Step::Leave(who) => {
                let client = &self.clients[who];
                let leaving = Leaving {
                    member_id: client.id.clone().unwrap_or_default(),
                    instance_id: instance(who),
                    reason: None,
                };
                self.turn(|group, turn| group.leave(&[leaving], turn));
            }
            Step::Commit(who, offset) => self.commit(who, offset),
            Step::Zombie(who) => self.act_as_zombie(who),
            Step::Pass(ms) => self.now_ms += ms,
            Step::Refuse(times) => self.refuse = times,
        }
        self.turn(|_, _| ());
        self.check();
    }

    fn join(&mut self, who: usize, forgot: bool, protocols: u8, old: bool) {
        if forgot {
            self.clients[who].id = None;
        }
        self.ids += 1;
        let names = ["range", "sticky"].iter().enumerate();
        let known = names.filter(|(at, _)| protocols & (1 << at) != 0);
        let known = known.map(|(_, name)| Protocol {
            name: (*name).into(),
            metadata: Bytes::from(format!("{who} {protocols}")),
        });
        let ticket = self.ticket(who, 0);
        let join = Join {
            ticket,
            member_id: self.clients[who].id.clone().unwrap_or_default(),
            instance_id: instance(who),
            new_id: format!("id{:04}", self.ids).into(),
            client_id: "client".into(),
            client_host: "host".into(),
            // Some are missed before a rebalance takes too long, some after that.
            session_timeout_ms: if who.is_multiple_of(2) { 10_000 } else { 40_000 },
            rebalance_timeout_ms: 20_000,
            protocol_type: CONSUMER.into(),
            protocols: known.collect(),
            reason: None,
            may_ask_for_id: !old,
            may_skip_assignment: !old,
        };
        self.turn(|group, turn| group.join(join, turn));
    }

    fn sync(&mut self, who: usize) {
        let client = self.clients[who].clone();
        let assigned = client.led.unwrap_or_default().into_iter();
        let generation = client.generation;
        let assigned = assigned.map(|(id, name)| (id, Bytes::from(format!("{generation} {name}"))));
        let ticket = self.ticket(who, client.generation);
        let sync = Sync {
            ticket,
            generation: client.generation,
            member_id: client.id.unwrap_or_default(),
            instance_id: instance(who),
            protocol_type: None,
            protocol: None,
            assignments: assigned.collect(),
        };
        self.turn(|group, turn| group.sync(sync, turn));
    }

    fn heartbeat(&mut self, who: usize) {
        let Client { id, generation, .. } = self.clients[who].clone();
        let id = id.unwrap_or_default();
        let may = self.is_current(&id, who, generation);
        let heard = self.turn(|group, turn| group.heartbeat(&id, instance(who).as_deref(), generation, turn));
        let is_taken = matches!(heard, ErrorCode::None | ErrorCode::RebalanceInProgress);
        assert_eq!(is_taken, may, "{heard:?}");
    }

    fn act_as_zombie(&mut self, who: usize) {
        let known = self.clients[who].clone();
        self.clients[who].generation -= 1;
        self.heartbeat(who);
        self.commit(who, 7);
        self.sync(who);
        self.clients[who] = known;
    }

    /// Whether who says that is no zombie.
    fn is_current(&self, id: &str, who: usize, generation: i32) -> bool {
        let member = self.group.members.get(id);
        let is_it = member.is_some_and(|member| member.instance_id == instance(who));
        is_it && generation == self.group.generation
    }

    fn commit(&mut self, who: usize, offset: i64) {
        let Client { id, generation, .. } = self.clients[who].clone();
        let id = id.unwrap_or_default();
        // In an empty group anybody may who does not say that he belongs to a generation.
        let may =
            self.is_current(&id, who, generation) || (generation < 0 && self.group.state == State::Empty);
        let commit = Commit {
            member_id: id,
            instance_id: instance(who),
            generation,
            retention_ms: None,
            partitions: vec![CommittedPartition {
                topic: TopicId([1; 16]),
                partition: i32::try_from(who).unwrap(),
                offset,
                leader_epoch: -1,
                committed_ms: None,
                metadata: "".into(),
            }],
        };
        let before = self.group.offsets.clone();
        let result = self.turn(|group, turn| group.commit(&commit, turn));
        match result {
            Ok(_) => assert!(may, "a zombie commits"),
            Err(_) => assert!(before.iter().eq(self.group.offsets.iter())),
        }
    }

    fn check(&self) {
        let group = &self.group;
        let members = group.members.values();
        assert_eq!(
            group.joining,
            members.clone().filter(|member| member.joining.is_some()).count()
        );
        let bytes = group.members.iter().map(|(id, member)| footprint(id, member));
        let pending = group.pending.keys().map(|id| pending_bytes(id));
        assert_eq!(group.member_bytes, bytes.chain(pending).sum::<usize>());
        for name in ["range", "sticky"] {
            let known = members.clone().flat_map(|member| &member.protocols);
            let count = known.filter(|protocol| &*protocol.name == name).count();
            assert_eq!(group.known_protocols.get(name).copied().unwrap_or(0), count);
        }
        let statics = group
            .members
            .iter()
            .filter_map(|(id, member)| Some((member.instance_id.clone()?, id.clone())));
        assert_eq!(group.static_members, statics.collect());
        let deadlines = members
            .map(|member| member.deadline_ms)
            .chain(group.pending.values().copied());
        let deadlines = deadlines.chain([group.join_deadline_ms, group.sync_deadline_ms]);
        assert!(deadlines.min().unwrap() >= group.wake_ms, "a deadline is missed");
        assert!(group.wake_ms > self.now_ms, "what is due is done");
        assert!(group.pending_sync.iter().all(|id| group.members.contains_key(id)));
        match group.state {
            State::Empty => assert!(group.members.is_empty() && group.leader.is_none()),
            State::PreparingRebalance => assert_ne!(group.join_deadline_ms, NEVER),
            State::CompletingRebalance | State::Stable => {
                assert!(group.members.contains_key(group.leader.as_ref().unwrap()));
                assert!(group.all_know(group.protocol.as_ref().unwrap()));
            }
        }
        let parked = group
            .members
            .values()
            .flat_map(|member| [member.joining, member.syncing]);
        let mut parked: Vec<_> = parked.flatten().collect();
        let mut waiting: Vec<_> = self.waiting.keys().copied().collect();
        parked.sort_unstable();
        waiting.sort_unstable();
        assert_eq!(parked, waiting, "no reply is lost");
    }

    /// The group as a restart finds it.
    fn restored(&self) -> Group {
        let mut latest = HashMap::new();
        for record in &self.log {
            latest.insert(record.key.clone(), record.clone());
        }
        let mut group = Group::new("g".into());
        for record in latest.values().filter(|record| record.value.is_some()) {
            match record::decode(record).unwrap() {
                Stored::Group(_, stored) => group.restore(stored, self.now_ms),
                Stored::Offset(_, topic, partition, committed) => {
                    group.restore_offset(topic, partition, committed)
                }
            }
        }
        group
    }
}

fn instance(who: usize) -> Option<Arc<str>> {
    (who >= FIRST_STATIC).then(|| format!("static{who}").into())
}

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        wall_ms: 1_800_000_000_000 + i64::try_from(ms).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_members_do_the_group_keeps_its_word(
        size_max in prop_oneof![Just(usize::MAX), Just(3)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(size_max);
        for step in &steps {
            world.step(step);
            let restored = world.restored();
            prop_assert!(restored.offsets.iter().eq(world.group.offsets.iter()));
            if world.group.state == State::Stable {
                prop_assert_eq!(restored.generation, world.group.generation);
                let assigned = |group: &Group| -> Vec<_> {
                    group.members.iter().map(|(id, member)| (id.clone(), member.assignment.clone())).collect()
                };
                prop_assert_eq!(assigned(&restored), assigned(&world.group));
            }
        }
        // Nobody does anything any more: whoever waits is answered, and in the end nobody is left.
        let until = world.now_ms + LONG_MS;
        while world.now_ms < until {
            world.step(&Step::Pass(1000));
        }
        prop_assert!(world.waiting.is_empty());
        prop_assert_eq!(world.group.state, State::Empty);
    }
}

#[test]
fn a_group_of_members_who_come_together_is_one_generation() {
    let mut world = World::new(usize::MAX);
    for who in 0..3 {
        world.step(&Step::Join(who, false, 1, true));
        world.step(&Step::Pass(400));
    }
    assert_eq!(world.group.generation, 0);
    world.step(&Step::Pass(100));
    world.step(&Step::Pass(500));
    assert_eq!(
        (world.group.generation, world.group.state),
        (1, State::CompletingRebalance)
    );
    assert!(world.clients[..3].iter().all(|client| client.generation == 1));
}

#[test]
fn what_is_not_stored_is_not_assigned() {
    let mut world = World::new(usize::MAX);
    world.step(&Step::Join(0, false, 1, true));
    world.step(&Step::Pass(500));
    world.step(&Step::Refuse(1));
    world.step(&Step::Sync(0));
    assert_eq!(world.group.state, State::PreparingRebalance);
    assert!(world.log.is_empty() && world.waiting.is_empty());
    world.step(&Step::Join(0, false, 1, true));
    world.step(&Step::Sync(0));
    assert_eq!((world.group.generation, world.group.state), (2, State::Stable));
}

#[test]
fn members_beyond_the_memory_for_groups_are_refused() {
    let mut world = World::new(usize::MAX);
    world.step(&Step::Join(0, false, 1, true));
    let settings = GroupSettings::default();
    let mut journal = |_: &[StateRecord]| Ok(());
    let mut turn = Turn {
        now: now(0),
        settings: &settings,
        room: 10,
        journal: &mut journal,
        replies: Vec::new(),
        rebalances: Vec::new(),
    };
    let commit = |group: &mut Group, turn: &mut Turn<'_>, metadata: &str| {
        let partition = CommittedPartition {
            topic: TopicId([1; 16]),
            partition: 0,
            offset: 1,
            leader_epoch: -1,
            committed_ms: None,
            metadata: metadata.into(),
        };
        let commit = Commit {
            member_id: "".into(),
            instance_id: None,
            generation: -1,
            retention_ms: None,
            partitions: vec![partition],
        };
        group.commit(&commit, turn)
    };
    let mut group = Group::new("h".into());
    let refused = commit(&mut group, &mut turn, "");
    assert_eq!(refused, Ok(vec![ErrorCode::InvalidCommitOffsetSize]));
    turn.room = 1000;
    assert_eq!(
        commit(&mut group, &mut turn, "metadata"),
        Ok(vec![ErrorCode::None])
    );
    // What takes no more memory than before is taken all the same.
    turn.room = 0;
    assert_eq!(commit(&mut group, &mut turn, "other"), Ok(vec![ErrorCode::None]));
}

mod expiry {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const TOPIC: TopicId = TopicId([1; 16]);

    fn committed(group: &mut Group, partition: i32, committed_ms: i64, expires_ms: Option<i64>) {
        let committed = crate::groups::offsets::Committed {
            offset: 5,
            leader_epoch: -1,
            committed_ms,
            expires_ms,
            metadata: "".into(),
        };
        group.restore_offset(TOPIC, partition, committed);
    }

    fn expire(group: &mut Group, known_ms: i64, topic: Option<&str>) -> (usize, Vec<StateRecord>) {
        let settings = GroupSettings::default();
        let mut records = Vec::new();
        let mut journal = |new: &[StateRecord]| {
            records.extend_from_slice(new);
            Ok(())
        };
        let mut turn = Turn {
            now: now(0),
            settings: &settings,
            room: 0,
            journal: &mut journal,
            replies: Vec::new(),
            rebalances: Vec::new(),
        };
        let name = |_: TopicId| topic.map(Arc::from);
        let expired = group.expire(known_ms, &name, &mut turn);
        (expired, records)
    }

    #[test]
    fn without_members_an_offset_lives_for_a_week_after_its_commit() {
        let mut group = Group::new("g".into());
        committed(&mut group, 0, 0, None);
        committed(&mut group, 1, DAY_MS, None);
        assert_eq!(expire(&mut group, 7 * DAY_MS - 1, Some("t")).0, 0);
        let (expired, records) = expire(&mut group, 7 * DAY_MS, Some("t"));
        assert_eq!((expired, records), (1, vec![record::no_offset("g", TOPIC, 0)]));
        assert_eq!(expire(&mut group, 8 * DAY_MS, Some("t")).0, 1);
        assert!(group.is_void());
    }

    #[test]
    fn a_client_may_have_said_how_long_its_offsets_live() {
        let mut group = Group::new("g".into());
        committed(&mut group, 0, 0, Some(DAY_MS));
        committed(&mut group, 1, 0, Some(30 * DAY_MS));
        assert_eq!(expire(&mut group, DAY_MS, Some("t")).0, 1);
        assert_eq!(expire(&mut group, 29 * DAY_MS, Some("t")).0, 0);
        assert_eq!(expire(&mut group, 30 * DAY_MS, Some("t")).0, 1);
    }

    fn stored(members: usize, since_ms: i64, metadata: &'static [u8]) -> StoredGroup {
        let member = |n: usize| StoredMember {
            id: format!("m{n}").into(),
            instance_id: None,
            client_id: "".into(),
            client_host: "".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            metadata: Bytes::from_static(metadata),
            assignment: Bytes::new(),
        };
        StoredGroup {
            generation: 3,
            since_ms,
            protocol_type: Some(CONSUMER.into()),
            protocol: (members > 0).then(|| "range".into()),
            leader: (members > 0).then(|| "m0".into()),
            members: (0..members).map(member).collect(),
        }
    }

    #[test]
    fn a_group_that_its_members_left_keeps_its_offsets_for_a_week_from_then_on() {
        let mut group = Group::new("g".into());
        group.restore(stored(0, 10 * DAY_MS, b""), 0);
        committed(&mut group, 0, 0, None);
        assert_eq!(expire(&mut group, 17 * DAY_MS - 1, Some("t")).0, 0);
        let (expired, records) = expire(&mut group, 17 * DAY_MS, Some("t"));
        assert_eq!(expired, 1);
        assert_eq!(records, [record::no_offset("g", TOPIC, 0), record::no_group("g")]);
        assert!(group.is_void());
    }

    #[test]
    fn offsets_of_topics_that_members_read_do_not_expire() {
        let mut group = Group::new("g".into());
        group.restore(stored(1, 0, b"\0\0\0\0\0\x01\0\x01t"), 0);
        committed(&mut group, 0, 0, None);
        assert_eq!(expire(&mut group, 100 * DAY_MS, Some("t")).0, 0);
        assert_eq!(expire(&mut group, 100 * DAY_MS, Some("another")).0, 1);
        assert_eq!(group.state, State::Stable, "its members are still there");
        // Of what cannot be read nothing is known.
        let mut group = Group::new("g".into());
        group.restore(stored(1, 0, b"\0"), 0);
        committed(&mut group, 0, 0, None);
        assert_eq!(expire(&mut group, 100 * DAY_MS, Some("another")).0, 0);
    }

    #[test]
    fn offsets_of_topics_that_are_gone_go() {
        let mut group = Group::new("g".into());
        group.restore(stored(1, 0, b"\0\0\0\0\0\x01\0\x01t"), 0);
        committed(&mut group, 0, 0, None);
        assert_eq!(expire(&mut group, 0, None).0, 1);
    }
}
