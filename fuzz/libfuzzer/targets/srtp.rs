//! See `causeway_fuzz`: `fuzz/src/srtp.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("srtp").run)(data));
