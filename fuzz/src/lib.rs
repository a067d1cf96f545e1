//! The fuzz targets: each is a module with a plain `run(&[u8])` that panics when an invariant is broken. libFuzzer calls
//! it through a file in `fuzz_targets/`; `tests/seeds.rs` calls it with the committed seeds and mutations of them.
//!
//! A new target is a module here with its line in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` in Cargo.toml and
//! seeds in `seeds/<name>/`. An input that once broke a target is added to its seeds.

pub mod amqp_content;
pub mod amqp_frames;
pub mod amqp_table;
pub mod batch_decompress;
pub mod batch_records;
pub mod batch_walk;
pub mod definitions_record;
pub mod group_record;
pub mod kafka_frames;
pub mod kafka_request;
pub mod kafka_response;
pub mod log_recover;
pub mod queue_record;
pub mod segment_open;
pub mod topology_record;
pub mod user_record;
pub mod wal_block;

pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("amqp_content", amqp_content::run),
    ("amqp_frames", amqp_frames::run),
    ("amqp_table", amqp_table::run),
    ("batch_decompress", batch_decompress::run),
    ("batch_records", batch_records::run),
    ("batch_walk", batch_walk::run),
    ("definitions_record", definitions_record::run),
    ("group_record", group_record::run),
    ("kafka_frames", kafka_frames::run),
    ("kafka_request", kafka_request::run),
    ("kafka_response", kafka_response::run),
    ("log_recover", log_recover::run),
    ("queue_record", queue_record::run),
    ("segment_open", segment_open::run),
    ("topology_record", topology_record::run),
    ("user_record", user_record::run),
    ("wal_block", wal_block::run),
];
