//! The core in a simulated world. One program, or the same crates would be linked a dozen times.

mod bypass;
mod calls;
mod common;
mod digits;
mod enumerated;
mod limits;
mod lost_acks;
mod onward;
mod planted;
mod planted_transfers;
mod registering;
mod seeds;
mod settings;
mod sounds;
mod transfers;
mod trouble;

/// A file that is no module would be tests that nobody runs.
#[test]
#[expect(clippy::disallowed_methods, reason = "it looks at its own sources")]
fn every_file_is_a_module_of_this_program() {
    let own = include_str!("main.rs");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|end| end == "rs") && name != "main" {
            files += 1;
            assert!(
                own.contains(&format!("\nmod {name};\n")),
                "{name}.rs is in no program"
            );
        }
    }
    assert!(files > 5, "{files}");
}
