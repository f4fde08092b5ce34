//! See `causeway_fuzz`: `fuzz/src/uri.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("uri").run)(data));
