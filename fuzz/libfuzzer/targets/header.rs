//! See `causeway_fuzz`: `fuzz/src/header.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("header").run)(data));
