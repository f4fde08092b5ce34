//! See `causeway_fuzz`: `fuzz/src/frame.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("frame").run)(data));
