//! The classes, one file each, in the words and the order of the specification and of RabbitMQ's extensions to it.

pub mod access;
pub mod basic;
pub mod channel;
pub mod confirm;
pub mod connection;
pub mod exchange;
pub mod queue;
pub mod tx;
