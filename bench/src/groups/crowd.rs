//! Many members on one thread: who has an answer reads it, and who is due sends a heartbeat.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
};

use super::member::{Event, Member};
use crate::report::latency_histogram;

const EVENTS_MAX: usize = 1024;

pub(super) struct Crowd {
    members: Vec<Member>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    interval: Duration,
    pub(super) heartbeats: Histogram<u64>,
}

impl Crowd {
    pub(super) fn new(interval: Duration) -> Result<Crowd> {
        Ok(Crowd {
            members: Vec::new(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            due: BinaryHeap::new(),
            interval,
            heartbeats: latency_histogram(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Adds a member, which begins to join. Its heartbeats will come at a moment of the interval that follows from its
    /// number, so that those of all are spread over it.
    pub(super) fn join(&mut self, mut member: Member) -> Result<()> {
        let data = epoll::EventData::new_u64(self.members.len() as u64);
        epoll::add(&self.epoll, &member, data, epoll::EventFlags::IN)?;
        member.join()?;
        self.members.push(member);
        Ok(())
    }

    /// The member that was added last leaves.
    pub(super) fn leave(&mut self) -> Result<()> {
        let Some(member) = self.members.pop() else {
            return Ok(());
        };
        epoll::delete(&self.epoll, &member)?;
        member.leave()
    }

    /// All leave.
    pub(super) fn disband(mut self) -> Result<()> {
        while !self.members.is_empty() {
            self.leave()?;
        }
        Ok(())
    }

    /// Goes on until all have their assignment of a generation after that one.
    pub(super) fn settle(&mut self, generation: i32, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let is_unsettled = |member: &&Member| !member.is_settled_after(generation);
            let unsettled = self.members.iter().filter(is_unsettled).count();
            if unsettled == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{unsettled} of {} members have no assignment after {timeout:?}",
                self.members.len()
            );
            self.turn(deadline)?;
        }
    }

    /// The generation of the first member's group.
    pub(super) fn generation(&self) -> i32 {
        self.members.first().map_or(-1, Member::generation)
    }

    pub(super) fn run(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Waits for answers, no longer than until somebody is due.
    fn turn(&mut self, deadline: Instant) -> Result<()> {
        let until = self
            .due
            .peek()
            .map_or(deadline, |Reverse((due, _))| deadline.min(*due));
        let wait = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout))?;
        let arrived: Vec<usize> = self
            .events
            .iter()
            .map(|event| event.data.u64() as usize)
            .collect();
        for nth in arrived {
            self.receive(nth)?;
        }
        let now = Instant::now();
        while let Some(Reverse((due, nth))) = self.due.peek().copied()
            && due <= now
        {
            self.due.pop();
            if let Some(member) = self.members.get_mut(nth) {
                member.act()?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, nth: usize) -> Result<()> {
        let Some(member) = self.members.get_mut(nth) else {
            return Ok(());
        };
        match member.receive()? {
            Event::Joining => {}
            Event::Retry(at) => self.due.push(Reverse((at, nth))),
            Event::Settled => {
                let phase = self.interval.mul_f64(spread(nth));
                self.due.push(Reverse((Instant::now() + phase, nth)));
            }
            Event::Beat(after) => {
                self.heartbeats.saturating_record(after.as_nanos() as u64);
                self.due
                    .push(Reverse((Instant::now() + self.interval - after, nth)));
            }
        }
        Ok(())
    }
}

/// A fraction for each number, evenly spread however many there are.
fn spread(nth: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    (nth as f64 * GOLDEN).fract()
}
