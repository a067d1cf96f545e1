//! Scripts of AMQP 0-9-1 methods, and the trace of every frame that a server answers them with.
//!
//! A trace is recorded from RabbitMQ and played against Firth, so what RabbitMQ answers is the specification: method, reply code,
//! reply text, properties and body, frame by frame. How a script is written is in `tests/traces/README.md`.
//!
//! What holds here: no codec and no client library of any broker is used, so that both cannot be wrong together; nothing is slept
//! for, a player waits for the frame that the trace names. What is absent: TLS, and every decision about what is right.
#![allow(
    clippy::disallowed_methods,
    reason = "a player waits for a server that it cannot subscribe to, for as long as real time says"
)]

mod content;
mod frame;
mod inbox;
mod link;
mod method;
mod names;
mod player;
mod script;
mod spec;
mod stage;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod wire;
mod world;

pub use player::{Broker, Outcome, Player};
pub use script::Script;
