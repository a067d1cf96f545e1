#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firth_fuzz::queue_record::run(bytes));
