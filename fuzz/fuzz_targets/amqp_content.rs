#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firth_fuzz::amqp_content::run(bytes));
