//! Replays every corpus against its target, on stable Rust and with nothing else installed.

mod inputs;

use causeway_fuzz::TARGETS;
use inputs::{inputs, root};
use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;

fn replay(name: &str) {
    let target = causeway_fuzz::target(name);
    let inputs = inputs(target);
    assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
    let failed: Vec<String> = inputs
        .iter()
        .filter(|path| {
            let data = fs::read(path).unwrap();
            catch_unwind(|| (target.run)(&data)).is_err()
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(failed.is_empty(), "{name} fails on\n{}", failed.join("\n"));
}

macro_rules! replays {
    ($($name:ident)+) => {
        $(#[test] fn $name() { replay(stringify!($name)); })+

        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
    };
}

replays! { message framer header uri sdp transaction call frame packet passport location media_wire ng srtp stun session codec registrar config import notice }

/// A target that is forgotten in one of the places would look as if it had found nothing.
#[test]
fn every_target_has_a_test_a_binary_and_a_corpus() {
    let listed: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(listed, REPLAYED.iter().copied().collect());
    let manifest = fs::read_to_string(root().join("fuzz/libfuzzer/Cargo.toml")).unwrap();
    let binaries = manifest.split("[[bin]]").skip(1);
    let binaries: BTreeSet<&str> = binaries.map(|bin| bin.split('"').nth(1).unwrap()).collect();
    assert_eq!(listed, binaries);
    for entry in fs::read_dir(root().join("fuzz/corpus")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_known = name == "shared" || listed.contains(name.as_str());
        assert!(is_known, "fuzz/corpus/{name} belongs to no target");
    }
}

#[test]
fn empty_and_hostile_inputs_are_within_every_targets_reach() {
    let hostile: [Vec<u8>; 5] = [
        Vec::new(),
        vec![0; 4096],
        vec![0xff; 4096],
        b"\r\n".repeat(2048),
        (0..=255).cycle().take(4096).collect(),
    ];
    for target in TARGETS {
        for data in &hostile {
            (target.run)(data);
        }
    }
}
