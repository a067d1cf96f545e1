#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firth_fuzz::user_record::run(bytes));
