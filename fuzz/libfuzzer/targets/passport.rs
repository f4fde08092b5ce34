//! See `causeway_fuzz`: `fuzz/src/passport.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("passport").run)(data));
