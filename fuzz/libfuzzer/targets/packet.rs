//! See `causeway_fuzz`: `fuzz/src/packet.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("packet").run)(data));
