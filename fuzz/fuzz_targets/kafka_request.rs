#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firth_fuzz::kafka_request::run(bytes));
