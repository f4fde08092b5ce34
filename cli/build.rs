//! Tells the program which compiler made it, for `sbc_build_info`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(rustc).arg("--version").output();
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    // "rustc 1.95.0 (hash date)"
    let version = told
        .ok()
        .and_then(|told| Some(told.split_whitespace().nth(1)?.to_owned()));
    let version = version.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=CAUSEWAY_RUSTC={version}");
}
