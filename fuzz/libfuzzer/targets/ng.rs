//! See `causeway_fuzz`: `fuzz/src/ng.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("ng").run)(data));
