//! (being written)
pub mod catalog;
pub mod file;
pub mod segment;
