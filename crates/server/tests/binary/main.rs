//! The real binary, as its users meet it.

mod broker;
mod commands;
mod doctor;
mod serve;
