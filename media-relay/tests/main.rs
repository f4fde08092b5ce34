//! The relay as the core and its peers see it. One program, or the same crates would be linked dozens of times;
//! `allocation` is one of its own, because it installs an allocator.

mod bad_packets;
mod blocked;
mod coded;
mod comfort;
mod common;
mod digits;
mod dtls;
mod dtls_media;
mod early;
mod fax;
mod forgotten;
mod forward;
mod handed;
mod hold;
mod ice;
mod ice_media;
mod impairment;
mod lifetime;
mod one_way;
mod quality;
mod relay;
mod remote;
mod repack;
mod rtcp;
mod secure;
mod sound;
mod source;
mod srtp;
mod tap;
mod tone;
mod transcode;
mod vanished;

/// A file that is no module would be tests that nobody runs.
#[test]
fn every_file_is_a_module_of_this_program() {
    let own = include_str!("main.rs");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_own = name == "main" || name == "allocation";
        if path.extension().is_some_and(|end| end == "rs") && !is_own {
            files += 1;
            assert!(
                own.contains(&format!("\nmod {name};\n")),
                "{name}.rs is in no program"
            );
        }
    }
    assert!(files > 5, "{files}");
}
