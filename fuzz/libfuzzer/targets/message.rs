//! See `causeway_fuzz`: `fuzz/src/message.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("message").run)(data));
