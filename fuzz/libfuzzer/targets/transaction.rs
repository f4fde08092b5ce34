//! See `causeway_fuzz`: `fuzz/src/transaction.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (causeway_fuzz::target("transaction").run)(data));
