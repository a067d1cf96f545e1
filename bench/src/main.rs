//! Load drivers for anything that speaks Kafka's protocol or AMQP 0-9-1, and the floor to compare a broker with.
//!
//! What holds here: no client library is used, and for Kafka's protocol no codec of Firth, so that neither is measured or trusted; that
//! for AMQP is Firth's, which is held against another, and drives RabbitMQ as well; a driver runs on one
//! thread, since it shares the machine with the server; every reply is checked, so that a figure is never one of errors.
//! What is absent: authentication and TLS. How to run it and what it found is in docs/benchmarks.md.
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, and waits for a process that it cannot subscribe to"
)]

mod amqp;
mod batch;
mod cli;
mod compare;
mod connection;
mod consume;
mod flush;
mod groups;
mod ideal;
mod idle;
mod kcat;
mod latency;
mod process;
mod produce;
mod protocol;
mod recycled;
mod report;
mod server;
mod steady;
mod table;
mod versus;
mod wire;

fn main() -> anyhow::Result<()> {
    cli::run()
}
