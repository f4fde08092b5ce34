//! See `causeway_fuzz`: `fuzz/src/session.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("session").run)(data));
