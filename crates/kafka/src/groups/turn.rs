//! What a group is given to change with, and what comes out.

use std::sync::Arc;

use bytes::Bytes;
use firth_broker::{StateError, StateRecord};
use firth_kafka_codec::ErrorCode;

use super::member::Ticket;
use super::settings::GroupSettings;

/// Both clocks, read once for a turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    /// For timeouts, in milliseconds since any moment.
    pub(crate) monotonic_ms: u64,
    /// For what is stored, in milliseconds since 1970.
    pub(crate) wall_ms: i64,
}

/// Stores records whole or refuses them whole.
pub(crate) type Journal<'a> = dyn FnMut(&[StateRecord]) -> Result<(), StateError> + 'a;

/// One request, or one look at the deadlines.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a GroupSettings,
    /// Bytes that groups may take in addition to what they take.
    pub(crate) room: usize,
    pub(crate) journal: &'a mut Journal<'a>,
    /// For requests that are parked, or came with this turn.
    pub(crate) replies: Vec<(Ticket, Reply)>,
    pub(crate) rebalances: Vec<Cause>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Joined(Joined),
    Synced(Synced),
}

/// The answer to JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) error: ErrorCode,
    pub(crate) member_id: Arc<str>,
    /// Absent with most errors.
    pub(crate) generation: Option<Generation>,
}

/// What a member is told of the generation that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) id: i32,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<Arc<str>>,
    /// The leader keeps what is assigned (KIP-814).
    pub(crate) skip_assignment: bool,
    /// For the leader alone.
    pub(crate) members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) metadata: Bytes,
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) error: ErrorCode,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) assignment: Bytes,
}

impl Joined {
    pub(super) fn refused(member_id: Arc<str>, error: ErrorCode) -> Joined {
        Joined {
            error,
            member_id,
            generation: None,
        }
    }
}

impl Synced {
    pub(super) fn refused(error: ErrorCode) -> Synced {
        Synced {
            error,
            protocol_type: None,
            protocol: None,
            assignment: Bytes::new(),
        }
    }
}

impl Turn<'_> {
    pub(super) fn joined(&mut self, ticket: Ticket, joined: Joined) {
        self.replies.push((ticket, Reply::Joined(joined)));
    }

    pub(super) fn synced(&mut self, ticket: Ticket, synced: Synced) {
        self.replies.push((ticket, Reply::Synced(synced)));
    }

    /// What time it is so many milliseconds from now; none if the number is negative.
    pub(super) fn after(&self, ms: i32) -> u64 {
        let ms = u64::try_from(ms).unwrap_or(0);
        self.now.monotonic_ms.saturating_add(ms)
    }
}

macro_rules! causes {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal,)*) => {
        /// Why a group rebalances.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cause {
            $($(#[doc = $doc])* $name,)*
        }

        impl Cause {
            pub const ALL: &[Cause] = &[$(Cause::$name,)*];

            /// As metrics and logs name it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Cause::$name => $text,)*
                }
            }
        }
    };
}

causes! {
    /// A new member joined.
    MemberJoined "member_joined",
    /// Members left, or were removed by an administrator.
    MemberLeft "member_left",
    /// A member was not heard of for its session timeout.
    SessionExpired "session_expired",
    /// A member joined again with other metadata.
    MetadataChanged "metadata_changed",
    /// The leader joined again, as it does when partitions are added.
    LeaderRejoined "leader_rejoined",
    /// A static member came back in a way that the assignment does not survive.
    StaticMemberReplaced "static_member_replaced",
    /// Members did not ask for their assignment in time.
    SyncExpired "sync_expired",
    /// The assignment could not be stored.
    NotStored "not_stored",
}

/// A cause with what is logged beside it.
#[derive(Clone, Copy)]
pub(super) struct Why<'a> {
    pub(super) cause: Cause,
    pub(super) member: &'a str,
    /// What the client says.
    pub(super) reason: Option<&'a str>,
}

impl<'a> Why<'a> {
    pub(super) fn new(cause: Cause, member: &'a str) -> Why<'a> {
        Why {
            cause,
            member,
            reason: None,
        }
    }
}
