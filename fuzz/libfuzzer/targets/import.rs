//! See `causeway_fuzz`: `fuzz/src/import.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("import").run)(data));
