//! How a generation ends and the next one begins.

use std::sync::Arc;

use bytes::Bytes;
use firth_kafka_codec::ErrorCode;

use super::{Group, Initial, State};
use crate::groups::member::NEVER;
use crate::groups::turn::{Synced, Turn, Why};

impl Group {
    pub(super) fn rebalance_or_complete(&mut self, why: Why<'_>, turn: &mut Turn<'_>) {
        match self.state {
            State::PreparingRebalance => self.maybe_complete_join(turn),
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(why, turn),
        }
    }

    pub(super) fn prepare_rebalance(&mut self, why: Why<'_>, turn: &mut Turn<'_>) {
        tracing::info!(
            group = &*self.id,
            generation = self.generation,
            members = self.members.len(),
            cause = why.cause.name(),
            member = why.member,
            reason = why.reason,
            "rebalancing"
        );
        turn.rebalances.push(why.cause);
        if self.state == State::CompletingRebalance {
            self.refuse_assignment(ErrorCode::RebalanceInProgress, turn);
        }
        self.pending_sync.clear();
        self.sync_deadline_ms = NEVER;
        let was_empty = self.state == State::Empty;
        self.change_state(State::PreparingRebalance, turn.now);
        if was_empty {
            let delay_ms = turn.settings.initial_rebalance_delay_ms;
            self.initial = Some(Initial {
                delay_ms,
                remaining_ms: self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0),
                joined_meanwhile: false,
            });
            self.complete_join_at(turn.after(delay_ms));
        } else if self.all_have_joined() {
            self.complete_join(turn);
        } else {
            self.complete_join_at(turn.after(self.rebalance_timeout_ms()));
        }
    }

    fn complete_join_at(&mut self, deadline_ms: u64) {
        self.join_deadline_ms = deadline_ms;
        self.wake_ms = self.wake_ms.min(deadline_ms);
    }

    pub(super) fn all_have_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending.is_empty()
    }

    /// Goes on if nobody has to be waited for.
    pub(super) fn maybe_complete_join(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && self.initial.is_none() && self.all_have_joined() {
            self.complete_join(turn);
        }
    }

    /// The time to join is over, unless it is prolonged.
    pub(super) fn join_time_is_over(&mut self, turn: &mut Turn<'_>) {
        self.join_deadline_ms = NEVER;
        if self.state != State::PreparingRebalance {
            return;
        }
        match self.initial {
            Some(initial) if initial.joined_meanwhile && initial.remaining_ms > 0 => {
                let delay_ms = turn.settings.initial_rebalance_delay_ms.min(initial.remaining_ms);
                self.initial = Some(Initial {
                    delay_ms,
                    remaining_ms: initial.remaining_ms.saturating_sub(initial.delay_ms).max(0),
                    joined_meanwhile: false,
                });
                self.complete_join_at(turn.after(delay_ms));
            }
            _ => self.complete_join(turn),
        }
    }

    /// Whoever has not joined is no member any more, but for static members. The others are the next generation.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.join_deadline_ms = NEVER;
        self.initial = None;
        let absent = self.members.iter().filter(|(_, member)| member.joining.is_none());
        let absent: Vec<_> = absent
            .filter(|(_, member)| member.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in absent {
            tracing::info!(
                group = &*self.id,
                member = &*id,
                "a member has not joined in time and is removed"
            );
            self.remove(&id, turn);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Static members alone, and none of them is there: until one is, or its session ends.
            self.complete_join_at(turn.after(self.rebalance_timeout_ms()));
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.become_empty(turn);
        } else {
            self.begin_generation(turn);
        }
    }

    /// Whether there is a leader who has joined.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &Arc<str>| {
            self.members
                .get(id)
                .is_some_and(|member| member.joining.is_some())
        };
        if !self.leader.as_ref().is_some_and(has_joined) {
            let joined = self.members.iter().find(|(_, member)| member.joining.is_some());
            let Some((id, _)) = joined else { return false };
            self.leader = Some(id.clone());
        }
        true
    }

    fn become_empty(&mut self, turn: &mut Turn<'_>) {
        self.protocol = None;
        self.leader = None;
        self.subscribed = self.subscriptions();
        self.change_state(State::Empty, turn.now);
        tracing::info!(
            group = &*self.id,
            generation = self.generation,
            "the group is empty"
        );
        if let Err(error) = self.store(turn) {
            // After a restart its last generation is there again, and its members are missed in time.
            tracing::warn!(group = &*self.id, %error, "that a group is empty is not stored");
        }
    }

    fn begin_generation(&mut self, turn: &mut Turn<'_>) {
        self.protocol = self.choose_protocol();
        self.subscribed = self.subscriptions();
        self.change_state(State::CompletingRebalance, turn.now);
        tracing::info!(
            group = &*self.id,
            generation = self.generation,
            members = self.members.len(),
            protocol = self.protocol.as_deref(),
            "all members have joined"
        );
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in &ids {
            let reply = self.joined(id);
            let parked = self.change(id, |member| {
                member.is_new = false;
                member.deadline_ms = turn.after(member.session_timeout_ms);
                member.joining.take()
            });
            if let Some(ticket) = parked.flatten() {
                turn.joined(ticket, reply);
            }
        }
        self.pending_sync = ids.into_iter().collect();
        self.sync_deadline_ms = turn.after(self.rebalance_timeout_ms());
        self.wake_ms = self.wake_ms.min(self.sync_deadline_ms);
    }

    /// Nobody gets what would have been assigned.
    pub(super) fn refuse_assignment(&mut self, error: ErrorCode, turn: &mut Turn<'_>) {
        self.change_all(|_, member| member.assignment = Bytes::new());
        let refused = Synced::refused(error);
        self.answer_syncing(|_| refused.clone(), turn);
    }

    /// Answers all who wait for their assignment.
    pub(super) fn answer_syncing(&mut self, reply: impl Fn(Bytes) -> Synced, turn: &mut Turn<'_>) {
        self.change_all(|_, member| {
            if let Some(ticket) = member.syncing.take() {
                member.deadline_ms = turn.after(member.session_timeout_ms);
                turn.synced(ticket, reply(member.assignment.clone()));
            }
        });
    }
}
