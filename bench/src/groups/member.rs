//! One member of a group, on a connection of its own: it joins, syncs, and then sends heartbeats until one tells it to join again.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::{
    connection::Connection,
    protocol::groups::{
        COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, Identity, MEMBER_ID_REQUIRED,
        NOT_COORDINATOR, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID, error_code, heartbeat, join_group, joined,
        leave_group, sync_group, synced,
    },
};

/// What Java's client has by default.
const SESSION: Duration = Duration::from_secs(45);
/// How long a member waits for a coordinator that is not there yet.
const RETRY: Duration = Duration::from_millis(100);

pub(super) struct Member {
    connection: Connection,
    identity: Identity,
    awaits: Awaits,
    /// When the request was sent that is to be answered.
    asked: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Nothing,
    Join(i32),
    Sync(i32),
    Heartbeat(i32),
}

/// What an answer led to.
pub(super) enum Event {
    /// It is being assigned something; other answers follow.
    Joining,
    /// Nothing was asked in return; it is to join again a little later.
    Retry(Instant),
    /// It has its assignment.
    Settled,
    /// After so long.
    Beat(Duration),
}

impl Member {
    pub(super) fn open(bootstrap: SocketAddr, group: String) -> Result<Member> {
        Ok(Member {
            connection: Connection::open(bootstrap)?,
            identity: Identity {
                group,
                generation: -1,
                member: String::new(),
            },
            awaits: Awaits::Nothing,
            asked: Instant::now(),
        })
    }

    /// Whether it has its assignment of a generation after that one.
    pub(super) fn is_settled_after(&self, generation: i32) -> bool {
        self.identity.generation > generation && matches!(self.awaits, Awaits::Nothing | Awaits::Heartbeat(_))
    }

    pub(super) fn generation(&self) -> i32 {
        self.identity.generation
    }

    pub(super) fn join(&mut self) -> Result<()> {
        let id = self
            .connection
            .send(|id| join_group(id, &self.identity, SESSION))?;
        self.await_reply(Awaits::Join(id))
    }

    /// What is due: a heartbeat, or another try to join.
    pub(super) fn act(&mut self) -> Result<()> {
        if self.awaits != Awaits::Nothing {
            return Ok(());
        }
        if self.identity.generation < 0 {
            return self.join();
        }
        let id = self.connection.send(|id| heartbeat(id, &self.identity))?;
        self.await_reply(Awaits::Heartbeat(id))
    }

    /// Leaves the group, once nothing else is to be answered.
    pub(super) fn leave(mut self) -> Result<()> {
        if let Awaits::Heartbeat(id) = self.awaits {
            self.connection.receive(id)?;
        }
        let left = self.connection.call(|id| leave_group(id, &self.identity))?;
        let error_code = error_code(&left)?;
        ensure!(error_code == 0, "LeaveGroup failed with error {error_code}");
        Ok(())
    }

    /// Reads the answer that has arrived.
    pub(super) fn receive(&mut self) -> Result<Event> {
        match std::mem::replace(&mut self.awaits, Awaits::Nothing) {
            Awaits::Nothing => bail!("an answer to nothing, or the server closed the connection"),
            Awaits::Join(id) => self.joined(id),
            Awaits::Sync(id) => self.synced(id),
            Awaits::Heartbeat(id) => self.beat(id),
        }
    }

    fn joined(&mut self, id: i32) -> Result<Event> {
        let joined = joined(&self.connection.receive(id)?)?;
        match joined.error_code {
            0 => {
                self.identity.generation = joined.generation;
                self.identity.member = joined.member;
                let id = self
                    .connection
                    .send(|id| sync_group(id, &self.identity, &joined.members))?;
                self.await_reply(Awaits::Sync(id))?;
                Ok(Event::Joining)
            }
            MEMBER_ID_REQUIRED => {
                self.identity.member = joined.member;
                self.join()?;
                Ok(Event::Joining)
            }
            // The coordinator has moved since it gave the id.
            UNKNOWN_MEMBER_ID => {
                self.identity.member.clear();
                self.rejoin()
            }
            COORDINATOR_LOAD_IN_PROGRESS | COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR => {
                self.identity.generation = -1;
                Ok(Event::Retry(Instant::now() + RETRY))
            }
            error_code => bail!("JoinGroup failed with error {error_code}"),
        }
    }

    fn synced(&mut self, id: i32) -> Result<Event> {
        match synced(&self.connection.receive(id)?)? {
            0 => Ok(Event::Settled),
            REBALANCE_IN_PROGRESS => self.rejoin(),
            error_code => bail!("SyncGroup failed with error {error_code}"),
        }
    }

    fn beat(&mut self, id: i32) -> Result<Event> {
        match error_code(&self.connection.receive(id)?)? {
            0 => Ok(Event::Beat(self.asked.elapsed())),
            REBALANCE_IN_PROGRESS => self.rejoin(),
            error_code => bail!("a heartbeat failed with error {error_code}"),
        }
    }

    fn rejoin(&mut self) -> Result<Event> {
        self.join()?;
        Ok(Event::Joining)
    }

    fn await_reply(&mut self, awaits: Awaits) -> Result<()> {
        ensure!(self.awaits == Awaits::Nothing, "one request at a time");
        self.awaits = awaits;
        self.asked = Instant::now();
        Ok(())
    }
}

impl AsFd for Member {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
