//! LeaveGroup.

use std::sync::Arc;

use firth_kafka_codec::ErrorCode;

use super::{Group, State};
use crate::groups::turn::{Cause, Turn, Why};

#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    /// Empty where an administrator removes a static member.
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) reason: Option<Arc<str>>,
}

impl Group {
    /// What becomes of each of them, in their order.
    pub(crate) fn leave(&mut self, leaving: &[Leaving], turn: &mut Turn<'_>) -> Vec<ErrorCode> {
        let mut left = None;
        let mut results = Vec::with_capacity(leaving.len());
        for one in leaving {
            let result = self.leave_one(one, turn);
            if result.is_ok() {
                left = left.or(Some(one));
            }
            results.push(result.err().unwrap_or(ErrorCode::None));
        }
        let Some(first) = left else { return results };
        let why = Why {
            cause: Cause::MemberLeft,
            member: &first.member_id,
            reason: first.reason.as_deref(),
        };
        match self.state {
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(why, turn),
            State::PreparingRebalance => self.maybe_complete_join(turn),
            State::Empty => {}
        }
        results
    }

    fn leave_one(&mut self, leaving: &Leaving, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        let Leaving {
            member_id,
            instance_id,
            reason,
        } = leaving;
        let id = if member_id.is_empty() {
            let known = instance_id.as_ref().and_then(|id| self.static_members.get(id));
            known.cloned().ok_or(ErrorCode::UnknownMemberId)?
        } else {
            if !self.pending.contains_key(member_id) {
                self.check_member(member_id, instance_id.as_deref())?;
            }
            member_id.clone()
        };
        tracing::info!(
            group = &*self.id,
            member = &*id,
            instance = instance_id.as_deref(),
            reason = reason.as_deref(),
            "a member leaves"
        );
        self.remove(&id, turn);
        Ok(())
    }
}
