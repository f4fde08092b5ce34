//! See `causeway_fuzz`: `fuzz/src/config.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("config").run)(data));
