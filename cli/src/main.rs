//! The binary `causeway`: parse arguments, run the daemon or one command.
#![forbid(unsafe_code)]

fn main() {}
