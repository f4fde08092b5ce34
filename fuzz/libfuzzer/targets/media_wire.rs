//! See `causeway_fuzz`: `fuzz/src/media_wire.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("media_wire").run)(data));
