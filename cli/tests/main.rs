//! The daemon and its commands as others see them: sockets, files, processes. One program, because most of
//! it waits: for timers, for audio, for a daemon to start.

mod acme;
mod activated;
mod api;
mod audited;
mod authority;
mod bundle;
mod captures;
mod cdr;
mod certification;
mod certify;
mod check;
mod clients;
mod closed;
mod confined;
mod crash;
mod cursors;
mod daemon;
mod datagram;
mod dns;
mod draining;
mod foreign;
mod four_eyes;
mod generations;
mod guides;
mod handshake;
mod idempotency;
mod image;
mod import;
mod interface;
mod lab;
mod live;
mod logs;
mod nameserver;
mod network;
mod ng_managed;
mod notices;
mod onboarding;
mod one_way;
mod operator;
mod packaged;
mod patience;
mod presence;
mod preserved;
mod protection;
mod records;
mod relations;
mod relay;
mod renewal;
mod restart;
mod results;
mod sign_in;
mod sounds;
mod stir;
mod stream;
mod support;
mod tables;
mod tls;
mod transcoded;
mod trial;
mod vanished;
mod watched;

/// A file that is no module would be tests that nobody runs.
#[test]
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
