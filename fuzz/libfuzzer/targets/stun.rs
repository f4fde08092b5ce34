//! See `causeway_fuzz`: `fuzz/src/stun.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("stun").run)(data));
