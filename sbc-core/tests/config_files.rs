//! Configuration that names files and sockets of the node: recordings, lists of revoked credentials, the listener
//! of metrics.

use crate::config::{BASE, Machine, all, load_text, valid};
use sbc_core::config::{Code, Loaded, Source, load};
use std::collections::BTreeSet;

/// With recordings of these files, and these keys of the carrier's trunk.
fn with_sounds(files: &[&str], keys: &str) -> String {
    let sounds = files.iter().enumerate();
    let sounds =
        sounds.map(|(at, file)| format!("[[sound]]\nname = \"s{at}\"\nfile = \"{file}\"\n"));
    let sounds: String = sounds.collect();
    BASE.replacen(
        "[[realm]]",
        &format!("sounds = \"/s\"\n{sounds}[[realm]]"),
        1,
    )
    .replacen("codecs =", &format!("{keys}\ncodecs ="), 1)
}

#[test]
fn an_announcement_is_short_and_music_may_be_long() {
    valid(&with_sounds(&["long.wav"], "music = \"s0\""));
    valid(&with_sounds(
        &["short.wav"],
        "announce = { \"404\" = \"s0\", \"486\" = \"busy\" }",
    ));
    let findings = all(load_text(&with_sounds(
        &["long.wav"],
        "announce = { \"404\" = \"s0\" }",
    )));
    let codes: Vec<Code> = findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, [Code::OutOfRange]);
}

#[test]
fn recordings_keep_their_number_until_something_else_is_heard() {
    let ids = |loaded: &Loaded| -> Vec<(String, u32)> {
        let sounds = loaded.config.sounds.iter();
        sounds
            .map(|(name, own)| (name.to_string(), own.id.0))
            .collect()
    };
    let again = |text: &str, before: &Loaded| {
        let sources = [Source::new("causeway.toml", text)];
        load(&sources, &Machine, Some(&before.config)).expect("valid")
    };
    let first = valid(&with_sounds(&["short.wav", "long.wav"], ""));
    let text = with_sounds(&["short.wav", "long.wav"], "music = \"s0\"");
    let second = again(&text, &first);
    assert_eq!(ids(&first), ids(&second));
    assert_ne!(ids(&first)[0].1, ids(&first)[1].1);
    let third = again(&with_sounds(&["long.wav", "long.wav"], ""), &second);
    assert_ne!(ids(&third)[0].1, ids(&second)[0].1, "it sounds otherwise");
    assert_eq!(ids(&third)[1], ids(&second)[1]);
    // What was heard in between is not heard under its number again.
    let fourth = again(&with_sounds(&["short.wav", "long.wav"], ""), &third);
    let used: BTreeSet<u32> = [&first, &third]
        .iter()
        .flat_map(|own| ids(own))
        .map(|own| own.1)
        .collect();
    assert!(!used.contains(&ids(&fourth)[0].1));
}

#[test]
fn metrics_on_every_address_make_every_address_ours() {
    let forbidden = |listen: &str, at: &str| {
        let text = BASE.replace(
            "listen = \"127.0.0.1:9464\"",
            &format!("listen = \"{listen}\""),
        );
        assert_ne!(text, BASE);
        let loaded = valid(&text);
        let mut trunks = loaded.config.trunks.values();
        let at = at.parse().expect("an address");
        trunks.all(|trunk| trunk.media.profile.own.forbid(at))
    };
    for (listen, v4, v6) in [
        ("0.0.0.0:9100", true, false),
        ("[::]:9100", true, true),
        ("127.0.0.2:9100", false, false),
    ] {
        assert_eq!(forbidden(listen, "192.0.2.77:22"), v4, "{listen}");
        assert_eq!(forbidden(listen, "[2001:db8::77]:22"), v6, "{listen}");
    }
}

#[test]
fn lists_of_revoked_credentials_are_signed_and_of_now() {
    let with = |keys: &str| {
        let text = format!("{BASE}\n[stir]\nroots = \"/roots\"\nhttps_roots = \"/web\"\n{keys}\n");
        let found = all(load_text(&text));
        let about = found
            .into_iter()
            .filter(|own| own.cause.starts_with("stir"));
        about
            .map(|own| format!("{} {}", own.code.as_str(), own.cause))
            .collect::<Vec<_>>()
    };
    assert!(with("crl = \"/crl\"").is_empty());
    assert!(with("crl = \"/crl\"\ncrl_issuers = \"/issuers\"").is_empty());
    let found = with("crl_issuers = \"/issuers\"");
    assert!(found[0].contains("crl_issuers without crl"), "{found:?}");
    let found = with("crl = \"/crl\"\ncrl_issuers = \"/absent\"");
    assert!(found[0].contains("it does not exist"), "{found:?}");
    let found = with("crl = \"/unsigned\"");
    assert!(
        found[0].starts_with('E') && found[0].contains("is not signed"),
        "{found:?}"
    );
    for path in ["/expired", "/tomorrow"] {
        let found = with(&format!("crl = \"{path}\""));
        assert!(found[0].starts_with("W0100"), "{found:?}");
        assert!(found[0].contains("what it says still counts"), "{found:?}");
    }
    // The roots sign where nobody else is named.
    let text =
        format!("{BASE}\n[stir]\nroots = \"/roots\"\nhttps_roots = \"/web\"\ncrl = \"/crl\"\n");
    let files = valid(&text).shell.stir.expect("files");
    assert_eq!(files.crl_issuers, "/roots");
}
