//! See `causeway_fuzz`: `fuzz/src/notice.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("notice").run)(data));
