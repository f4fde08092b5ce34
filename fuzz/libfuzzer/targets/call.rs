//! See `causeway_fuzz`: `fuzz/src/call.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("call").run)(data));
