//! What happens because time passes.

use std::sync::Arc;

use super::{Group, State};
use crate::groups::member::NEVER;
use crate::groups::turn::{Cause, Turn, Why};

impl Group {
    /// Does what is due, and knows exactly when the next thing is.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        let now_ms = turn.now.monotonic_ms;
        self.expire_pending(now_ms, turn);
        self.expire_sessions(now_ms, turn);
        if self.sync_deadline_ms <= now_ms {
            self.expire_sync(turn);
        }
        if self.join_deadline_ms <= now_ms {
            self.join_time_is_over(turn);
        }
        let sessions = self.members.values().map(|member| member.deadline_ms);
        let others = [self.join_deadline_ms, self.sync_deadline_ms];
        let all = self.pending.values().copied().chain(sessions).chain(others);
        self.wake_ms = all.min().unwrap_or(NEVER);
    }

    fn expire_pending(&mut self, now_ms: u64, turn: &mut Turn<'_>) {
        let late = self
            .pending
            .iter()
            .filter(|(_, deadline_ms)| **deadline_ms <= now_ms);
        let late: Vec<Arc<str>> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            tracing::debug!(
                group = &*self.id,
                member = &*id,
                "a new member did not join with the id it was given"
            );
            self.unpend(&id);
            self.maybe_complete_join(turn);
        }
    }

    fn expire_sessions(&mut self, now_ms: u64, turn: &mut Turn<'_>) {
        let late = self
            .members
            .iter()
            .filter(|(_, member)| member.deadline_ms <= now_ms);
        let late: Vec<Arc<str>> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            // What was done for those before may have given it more time.
            let is_late = self
                .members
                .get(&id)
                .is_some_and(|member| member.deadline_ms <= now_ms);
            if !is_late {
                continue;
            }
            let is_waiting = self.change(&id, |member| {
                member.deadline_ms = NEVER;
                member.is_waiting()
            });
            if is_waiting == Some(false) {
                self.expire_session(&id, turn);
            }
        }
    }

    fn expire_session(&mut self, id: &str, turn: &mut Turn<'_>) {
        tracing::info!(
            group = &*self.id,
            member = id,
            "a member was not heard of in time and is removed"
        );
        self.remove(id, turn);
        match self.state {
            State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(Why::new(Cause::SessionExpired, id), turn);
            }
            State::PreparingRebalance => self.maybe_complete_join(turn),
            State::Empty => {}
        }
    }

    /// Some did not ask for what they are assigned.
    fn expire_sync(&mut self, turn: &mut Turn<'_>) {
        self.sync_deadline_ms = NEVER;
        let absent = std::mem::take(&mut self.pending_sync);
        for id in &absent {
            tracing::info!(
                group = &*self.id,
                member = &**id,
                "a member did not ask for its assignment in time and is removed"
            );
            self.remove(id, turn);
        }
        if let Some(first) = absent.first() {
            self.prepare_rebalance(Why::new(Cause::SyncExpired, first), turn);
        }
    }
}
