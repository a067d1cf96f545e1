//! One classic group as a state machine: no clock, no lock, no task. What is parked is a ticket, what is stored goes to the
//! turn's journal, and what is to happen later is a deadline.
//!
//! ```text
//!             join                     all have joined, or in time        the leader has assigned
//!   Empty ------------> Preparing ------------------------> Completing --------------------------> Stable
//!     ^                  |    ^                                 |                                     |
//!     '- nobody joined --'    '---------- a member comes, goes, or changes ---------------------------'
//! ```
//!
//! The rules are those of Apache Kafka's `GroupMetadataManager` and `ClassicGroup`. This differs, as nothing is done in two
//! steps: an assignment is the group's as soon as the journal has taken it, and replies wait for the journal outside.

mod commit;
mod describe;
mod expire;
mod join;
mod leave;
mod rebalance;
mod replace;
mod restore;
mod sync;
mod tick;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firth_kafka_codec::ErrorCode;

pub(crate) use self::commit::{Commit, CommittedPartition};
pub(crate) use self::describe::Described;
pub(crate) use self::join::Join;
pub(crate) use self::leave::Leaving;
pub(crate) use self::sync::Sync;
use super::member::{Member, NEVER, Protocol};
use super::offsets::Offsets;
use super::record::{StoredGroup, StoredMember};
use super::subscription;
use super::turn::{Now, Turn};

/// The protocol type of consumers; all else is for its members alone to understand.
const CONSUMER: &str = "consumer";
/// What a group takes in memory beside its members and its offsets.
const GROUP_BYTES: usize = size_of::<Group>();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// As the protocol names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// How long an empty group goes on to wait for members.
#[derive(Clone, Copy, Debug)]
struct Initial {
    delay_ms: i32,
    remaining_ms: i32,
    /// Somebody came since the delay began.
    joined_meanwhile: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    id: Arc<str>,
    state: State,
    /// In milliseconds since 1970; absent while there was no change of state.
    since_ms: Option<i64>,
    generation: i32,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids by instance ids.
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Who was given an id and has not joined with it (KIP-394), and until when.
    pending: BTreeMap<Arc<str>, u64>,
    /// How many members know each protocol.
    known_protocols: BTreeMap<Arc<str>, usize>,
    /// How many members are parked in JoinGroup.
    joining: usize,
    /// Who has not asked for the assignment of this generation.
    pending_sync: BTreeSet<Arc<str>>,
    /// While this is there, the group was empty before and waits for more members.
    initial: Option<Initial>,
    join_deadline_ms: u64,
    sync_deadline_ms: u64,
    /// The topics of all members; absent where the group has no protocol, or one that is not known.
    subscribed: Option<BTreeSet<Arc<str>>>,
    offsets: Offsets,
    /// No deadline is earlier.
    wake_ms: u64,
    /// Bytes of members and pending members.
    member_bytes: usize,
    /// The log has a record of it.
    is_stored: bool,
}

impl Group {
    pub(crate) fn new(id: Arc<str>) -> Group {
        Group {
            id,
            state: State::Empty,
            since_ms: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending: BTreeMap::new(),
            known_protocols: BTreeMap::new(),
            joining: 0,
            pending_sync: BTreeSet::new(),
            initial: None,
            join_deadline_ms: NEVER,
            sync_deadline_ms: NEVER,
            subscribed: None,
            offsets: Offsets::default(),
            wake_ms: NEVER,
            member_bytes: 0,
            is_stored: false,
        }
    }

    pub(crate) fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Nothing has to be done before this time of the monotonic clock.
    pub(crate) fn wake_ms(&self) -> u64 {
        self.wake_ms
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        GROUP_BYTES
            .saturating_add(self.id.len())
            .saturating_add(self.member_bytes)
            .saturating_add(self.offsets.bytes())
    }

    /// It says no more than if it did not exist: nobody joined it, or nobody stayed, and nothing is stored of it.
    pub(crate) fn is_void(&self) -> bool {
        self.state == State::Empty && self.pending.is_empty() && self.offsets.is_empty() && !self.is_stored
    }

    /// Checks who sends a request: a static member is who came last with its instance id.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(known) if &**known != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Where the topics of consumers are not known, it may be any.
    fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// The longest that one of the members has.
    fn rebalance_timeout_ms(&self) -> i32 {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0)
    }

    fn insert(&mut self, id: Arc<str>, member: Member) {
        self.unpend(&id);
        self.count_protocols(&member.protocols, true);
        self.joining = self.joining.saturating_add(usize::from(member.joining.is_some()));
        self.member_bytes = self.member_bytes.saturating_add(footprint(&id, &member));
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), id.clone());
        }
        self.wake_ms = self.wake_ms.min(member.deadline_ms);
        self.members.insert(id, member);
    }

    /// Takes a member out, whether it has joined or is pending. The caller answers what it has parked.
    fn take(&mut self, id: &str) -> Option<Member> {
        self.unpend(id);
        self.pending_sync.remove(id);
        let member = self.members.remove(id)?;
        self.count_protocols(&member.protocols, false);
        self.joining = self.joining.saturating_sub(usize::from(member.joining.is_some()));
        self.member_bytes = self.member_bytes.saturating_sub(footprint(id, &member));
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    fn pend(&mut self, id: Arc<str>, deadline_ms: u64) {
        self.member_bytes = self.member_bytes.saturating_add(pending_bytes(&id));
        self.wake_ms = self.wake_ms.min(deadline_ms);
        self.pending.insert(id, deadline_ms);
    }

    fn unpend(&mut self, id: &str) {
        if self.pending.remove(id).is_some() {
            self.member_bytes = self.member_bytes.saturating_sub(pending_bytes(id));
        }
    }

    /// Changes a member, and what is counted of it.
    fn change<T>(&mut self, id: &str, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let member = self.members.get_mut(id)?;
        let (bytes, joining) = (member.bytes(), member.joining.is_some());
        let result = change(member);
        self.joining = self.joining.saturating_sub(usize::from(joining));
        self.joining = self.joining.saturating_add(usize::from(member.joining.is_some()));
        self.member_bytes = self
            .member_bytes
            .saturating_sub(bytes)
            .saturating_add(member.bytes());
        self.wake_ms = self.wake_ms.min(member.deadline_ms);
        Some(result)
    }

    fn change_all(&mut self, mut change: impl FnMut(&Arc<str>, &mut Member)) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.change(&id, |member| change(&id, member));
        }
    }

    fn count_protocols(&mut self, protocols: &[Protocol], more: bool) {
        for protocol in protocols {
            let count = self.known_protocols.entry(protocol.name.clone()).or_default();
            *count = if more {
                count.saturating_add(1)
            } else {
                count.saturating_sub(1)
            };
            if *count == 0 {
                self.known_protocols.remove(&protocol.name);
            }
        }
    }

    /// Whether all members know the protocol.
    fn all_know(&self, protocol: &str) -> bool {
        let count = self.known_protocols.get(protocol).copied().unwrap_or(0);
        count == self.members.len()
    }

    /// Each member votes for the one it likes best of those that all know.
    fn choose_protocol(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .find(|protocol| self.all_know(&protocol.name));
            if let Some(protocol) = vote {
                let count = votes.entry(&protocol.name).or_default();
                *count = count.saturating_add(1);
            }
        }
        let (protocol, _) = votes.into_iter().max_by_key(|(_, count)| *count)?;
        Some(protocol.clone())
    }

    /// The topics of the members, as far as they can be known.
    fn subscriptions(&self) -> Option<BTreeSet<Arc<str>>> {
        if !self.is_of_consumers() {
            return None;
        }
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.append(&mut subscription::topics(
                &member.metadata(self.protocol.as_deref()?),
            )?);
        }
        Some(all)
    }

    fn change_state(&mut self, state: State, now: Now) {
        self.state = state;
        self.since_ms = Some(now.wall_ms);
    }

    /// What is stored of the group as it is.
    fn stored(&self, now: Now) -> StoredGroup {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| StoredMember {
            id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session_timeout_ms: member.session_timeout_ms,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            metadata: member.metadata(protocol),
            assignment: member.assignment.clone(),
        });
        StoredGroup {
            generation: self.generation,
            since_ms: self.since_ms.unwrap_or(now.wall_ms),
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        }
    }

    /// The session of a member begins anew.
    fn hear_of(&mut self, id: &str, turn: &Turn<'_>) {
        self.change(id, |member| {
            member.deadline_ms = turn.after(member.session_timeout_ms)
        });
    }
}

/// The id is in the map, in sets and with others.
fn footprint(id: &str, member: &Member) -> usize {
    member.bytes().saturating_add(pending_bytes(id))
}

fn pending_bytes(id: &str) -> usize {
    id.len().saturating_add(64)
}

#[cfg(test)]
mod tests;
