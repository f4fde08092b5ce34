//! Parts of the core beside corpora, other parsers and random input.

mod acme;
mod config;
mod config_cases;
mod config_files;
mod config_records;
mod config_seeded;
mod golden_sdp;
mod legs;
mod preset;
mod sdp_corpus;
mod sdp_properties;
mod sip_properties;
mod torture;
mod torture_core;
mod transactions;
mod world;

/// A file that is no module would be tests that nobody runs.
#[test]
#[allow(clippy::disallowed_methods, reason = "tests read files")]
fn every_file_is_a_module_of_one_of_the_programs() {
    let roots = [include_str!("lib.rs"), include_str!("parts.rs")];
    let mut files = 0;
    for entry in std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|end| end != "rs") || ["lib", "parts"].contains(&name) {
            continue;
        }
        files += 1;
        let line = format!("\nmod {name};\n");
        assert!(
            roots.iter().any(|root| root.contains(&line)),
            "{name}.rs is in no program"
        );
    }
    assert!(files > 30, "{files}");
}
