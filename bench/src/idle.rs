//! `bench idle`: what a connection costs that has said hello and then says nothing.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::{connection::Connection, process::Memory, report::Report};

#[derive(Debug, Clone)]
pub(crate) struct Idling {
    pub(crate) bootstrap: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) pid: u32,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) before: Memory,
    pub(crate) after: Memory,
    connections: usize,
}

impl Outcome {
    pub(crate) fn bytes_per_connection(&self) -> f64 {
        let grown = self
            .after
            .resident_bytes
            .saturating_sub(self.before.resident_bytes);
        grown as f64 / self.connections as f64
    }

    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        report.put("connections", self.connections);
        report.figure("rss_before_mb", self.before.resident_bytes as f64 / 1e6);
        report.figure("rss_after_mb", self.after.resident_bytes as f64 / 1e6);
        report.figure("bytes_per_connection", self.bytes_per_connection());
        report
    }
}

pub(crate) fn run(idling: &Idling) -> Result<Outcome> {
    ensure!(idling.connections > 0, "no connection has no cost");
    let before = Memory::of(idling.pid)?;
    let mut open = Vec::with_capacity(idling.connections);
    for _ in 0..idling.connections {
        let mut connection = Connection::open(idling.bootstrap)?;
        connection.api_versions()?;
        open.push(connection);
    }
    let after = Memory::of(idling.pid)?;
    Ok(Outcome {
        before,
        after,
        connections: open.len(),
    })
}
