//! A real client library, librdkafka in kcat.

use std::path::Path;

use anyhow::Result;

use super::{Scenario, TOPIC};
use crate::{
    compare::{Comparison, figure::Figure},
    connection::Connection,
    kcat::{self, Input, Outcome},
    recycled::Durability,
    server::Server,
    table::Target,
};

impl Scenario {
    pub(super) fn client(&self, comparison: &Comparison, dir: &Path) -> Result<Vec<Figure>> {
        if !kcat::is_installed() {
            eprintln!("  kcat is not installed (Debian: apt-get install kcat)");
            return Ok(Vec::new());
        }
        let input = Input::create(&dir.join("lines"))?;
        let floor = comparison.start_floor(dir, Durability::Disk)?;
        let ideal = produce(&input, &floor)?;
        floor.stop()?;
        let broker = comparison.start_broker(dir, Durability::Disk)?;
        let outcome = broker
            .as_ref()
            .map(|broker| produce(&input, broker))
            .transpose()?;
        broker.map_or(Ok(()), Server::stop)?;
        Ok(vec![
            self.figure(
                "msg/s",
                Some(ideal.records_per_s),
                outcome.map(|outcome| outcome.records_per_s),
                Target::None,
            ),
            self.figure(
                "server CPU s per million",
                Some(ideal.server_cpu_s_per_million),
                outcome.map(|outcome| outcome.server_cpu_s_per_million),
                Target::None,
            ),
        ])
    }
}

fn produce(input: &Input, server: &Server) -> Result<Outcome> {
    Connection::open(server.address)?.create_topic(TOPIC, 1, &[])?;
    input.produce(server, TOPIC)
}
