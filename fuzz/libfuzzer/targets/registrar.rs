//! See `causeway_fuzz`: `fuzz/src/registrar.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("registrar").run)(data));
