//! See `causeway_fuzz`: `fuzz/src/codec.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("codec").run)(data));
