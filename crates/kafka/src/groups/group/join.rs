//! JoinGroup.

use std::sync::Arc;

use bytes::Bytes;
use firth_kafka_codec::ErrorCode;

use super::{Group, State};
use crate::groups::member::{Member, Protocol, Ticket};
use crate::groups::turn::{Cause, Generation, Joined, JoinedMember, Synced, Turn, Why};

/// How long a new member may be parked. It does not know its id, so that it can send no heartbeat, and if its client is gone
/// nobody can tell.
const NEW_MEMBER_TIMEOUT_MS: i32 = 5 * 60 * 1000;

#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) ticket: Ticket,
    /// Empty for a new member.
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    /// What a new member will be called.
    pub(crate) new_id: Arc<str>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: Arc<str>,
    /// No name twice.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) reason: Option<Arc<str>>,
    /// The client joins again with the id that it is given (KIP-394).
    pub(crate) may_ask_for_id: bool,
    /// The client knows what it is to leave an assignment as it is (KIP-814).
    pub(crate) may_skip_assignment: bool,
}

impl Group {
    /// The reply comes with this turn or a later one.
    pub(crate) fn join(&mut self, join: Join, turn: &mut Turn<'_>) {
        let refused = if !self.accepts(&join, turn) {
            self.remove(&join.member_id, turn);
            Some((Arc::from(""), ErrorCode::GroupMaxSizeReached))
        } else if !self.can_share_a_protocol(&join) {
            Some((join.member_id.clone(), ErrorCode::InconsistentGroupProtocol))
        } else {
            None
        };
        if let Some((member_id, error)) = refused {
            turn.joined(join.ticket, Joined::refused(member_id, error));
        } else if join.member_id.is_empty() {
            self.join_new(join, turn);
        } else {
            self.join_again(join, turn);
        }
    }

    /// Whether there is room for the member.
    fn accepts(&self, join: &Join, turn: &Turn<'_>) -> bool {
        let known = self.members.get(&join.member_id);
        let size_max = turn.settings.size_max;
        let has_place = match self.state {
            State::Empty => true,
            // So that of a group which is too large the last to come are left out.
            State::PreparingRebalance => {
                known.is_some_and(|member| member.joining.is_some()) || self.joining < size_max
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < size_max,
        };
        let bytes = join
            .protocols
            .iter()
            .map(Protocol::bytes)
            .fold(0, usize::saturating_add);
        let fixed = size_of::<Member>().saturating_add(super::GROUP_BYTES);
        let bytes = bytes.saturating_add(fixed);
        has_place && bytes.saturating_sub(known.map_or(0, Member::bytes)) <= turn.room
    }

    fn can_share_a_protocol(&self, join: &Join) -> bool {
        match self.state {
            State::Empty => !join.protocol_type.is_empty() && !join.protocols.is_empty(),
            _ => {
                self.protocol_type.as_ref() == Some(&join.protocol_type)
                    && join
                        .protocols
                        .iter()
                        .any(|protocol| self.all_know(&protocol.name))
            }
        }
    }

    fn join_new(&mut self, join: Join, turn: &mut Turn<'_>) {
        let known = join
            .instance_id
            .as_ref()
            .and_then(|id| self.static_members.get(id));
        if let Some(known) = known.cloned() {
            self.replace_static(&known, join, turn);
        } else if join.instance_id.is_none() && join.may_ask_for_id {
            tracing::debug!(
                group = &*self.id,
                member = &*join.new_id,
                "a new member is given its id"
            );
            self.pend(join.new_id.clone(), turn.after(join.session_timeout_ms));
            let asked = Joined::refused(join.new_id, ErrorCode::MemberIdRequired);
            turn.joined(join.ticket, asked);
        } else {
            let id = join.new_id.clone();
            self.add(id, join, turn);
        }
    }

    fn join_again(&mut self, join: Join, turn: &mut Turn<'_>) {
        let id = join.member_id.clone();
        if self.pending.contains_key(&id) {
            if join.instance_id.is_some() {
                // Static members are not asked to come back with an id.
                turn.joined(join.ticket, Joined::refused(id, ErrorCode::InvalidRequest));
            } else {
                self.add(id, join, turn);
            }
            return;
        }
        if let Err(error) = self.check_member(&id, join.instance_id.as_deref()) {
            turn.joined(join.ticket, Joined::refused(id, error));
            return;
        }
        let is_unchanged = self
            .members
            .get(&id)
            .is_some_and(|member| member.protocols == join.protocols);
        match self.state {
            State::PreparingRebalance => self.update(join, Cause::MetadataChanged, turn),
            State::CompletingRebalance | State::Stable if !is_unchanged => {
                self.update(join, Cause::MetadataChanged, turn);
            }
            // It may assign anew where what it assigns has changed, and not what it says of itself.
            State::Stable if self.is_leader(&id) => self.update(join, Cause::LeaderRejoined, turn),
            // It may not have received the reply that it got before.
            State::CompletingRebalance | State::Stable => {
                let reply = self.joined(&id);
                turn.joined(join.ticket, reply);
            }
            State::Empty => turn.joined(join.ticket, Joined::refused(id, ErrorCode::UnknownMemberId)),
        }
    }

    fn add(&mut self, id: Arc<str>, join: Join, turn: &mut Turn<'_>) {
        if let Some(initial) = &mut self.initial {
            initial.joined_meanwhile = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        let member = Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            is_new: true,
            deadline_ms: turn.after(NEW_MEMBER_TIMEOUT_MS),
            joining: Some(join.ticket),
            syncing: None,
        };
        self.insert(id.clone(), member);
        let why = Why {
            cause: Cause::MemberJoined,
            member: &id,
            reason: join.reason.as_deref(),
        };
        self.rebalance_or_complete(why, turn);
    }

    fn update(&mut self, join: Join, cause: Cause, turn: &mut Turn<'_>) {
        let id = join.member_id.clone();
        let reason = join.reason.clone();
        self.park_joining(&id, join, turn);
        let why = Why {
            cause,
            member: &id,
            reason: reason.as_deref(),
        };
        self.rebalance_or_complete(why, turn);
    }

    /// A member is as it says now, and waits for the rebalance.
    pub(super) fn park_joining(&mut self, id: &str, join: Join, turn: &mut Turn<'_>) {
        self.count_protocols(&join.protocols, true);
        let before = self.change(id, |member| {
            member.session_timeout_ms = join.session_timeout_ms;
            member.rebalance_timeout_ms = join.rebalance_timeout_ms;
            let protocols = std::mem::replace(&mut member.protocols, join.protocols);
            (protocols, member.joining.replace(join.ticket))
        });
        let Some((protocols, parked)) = before else { return };
        self.count_protocols(&protocols, false);
        if let Some(ticket) = parked {
            // Its client has sent another one, on another connection. Whoever still waits may do the same.
            let refused = Joined::refused(id.into(), ErrorCode::RebalanceInProgress);
            turn.joined(ticket, refused);
        }
    }

    /// The generation as it is, for one of its members.
    pub(super) fn joined(&self, id: &Arc<str>) -> Joined {
        let members = match self.is_leader(id) {
            true => self.joined_members(),
            false => Vec::new(),
        };
        Joined {
            error: ErrorCode::None,
            member_id: id.clone(),
            generation: Some(Generation {
                id: self.generation,
                protocol_type: self.protocol_type.clone(),
                protocol: self.protocol.clone(),
                leader: self.leader.clone(),
                skip_assignment: false,
                members,
            }),
        }
    }

    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinedMember {
            id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        });
        members.collect()
    }

    /// Takes a member out and answers what it has parked: if it is still there, it joins again as a new one.
    pub(super) fn remove(&mut self, id: &str, turn: &mut Turn<'_>) {
        let Some(member) = self.take(id) else { return };
        self.answer_gone(&member, ErrorCode::UnknownMemberId, Arc::from(""), turn);
    }

    pub(super) fn answer_gone(&self, member: &Member, error: ErrorCode, id: Arc<str>, turn: &mut Turn<'_>) {
        if let Some(ticket) = member.joining {
            turn.joined(ticket, Joined::refused(id, error));
        }
        if let Some(ticket) = member.syncing {
            turn.synced(ticket, Synced::refused(error));
        }
    }
}
