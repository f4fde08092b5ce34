//! See `causeway_fuzz`: `fuzz/src/framer.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("framer").run)(data));
