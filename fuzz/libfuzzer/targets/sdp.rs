//! See `causeway_fuzz`: `fuzz/src/sdp.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("sdp").run)(data));
