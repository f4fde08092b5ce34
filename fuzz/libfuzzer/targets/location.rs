//! See `causeway_fuzz`: `fuzz/src/location.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("location").run)(data));
