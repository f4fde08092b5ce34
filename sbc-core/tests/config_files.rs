//! Configuration that names files and sockets of the node: recordings, lists of revoked credentials, the listener
//! of metrics.

use crate::config::{BASE, Machine, all, load_text, valid};
use sbc_core::config::{CallIn, Code, Loaded, Source, load};
use sbc_core::rehearsal::{gate, play};
use std::collections::BTreeSet;
use std::sync::Arc;

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
fn the_interface_over_the_network_makes_its_address_ours() {
    let table = "[api]\nlisten = \"203.0.113.77:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\n\
                 role = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n[metrics]\n";
    let text = BASE.replace("[metrics]\n", table);
    let is_forbidden = |text: &str| {
        let loaded = valid(text);
        let mut trunks = loaded.config.trunks.values();
        let at = "203.0.113.77:161".parse().expect("an address");
        trunks.all(|trunk| trunk.media.profile.own.forbid(at))
    };
    assert!(is_forbidden(&text));
    assert!(!is_forbidden(BASE));
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

/// The carrier has to prove who it is to us, and we to it.
fn with_digest(secret: &str) -> String {
    let own = format!(
        "digest = {{ username = \"u\", password = {secret}, realms = [\"r\"] }}\n\
         authenticate = {{ username = \"c\", password = {secret}, realm = \"r\" }}\ncodecs ="
    );
    BASE.replace("codecs =", &own).replace(
        "to = [{ trunk = \"carrier\" }]",
        "to = [{ trunk = \"carrier\" }, { trunk = \"backup\" }]",
    ) + r#"
[[trunk]]
name = "backup"
tenant = "*"
realm = "inside"
targets = ["198.51.100.30:5060;udp"]
"#
}

#[test]
fn a_secret_that_is_absent_takes_its_trunk_alone_out_of_service() {
    let loaded = valid(&with_digest("{ env = \"P\" }"));
    let found: Vec<_> = loaded
        .findings
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    for (found, key) in found.iter().zip(["digest", "authenticate"]) {
        assert!(found.contains("warning[W0119]"), "{found}");
        let cause =
            format!("trunk \"carrier\": {key}: password in environment variable P: it is not set");
        assert!(found.contains(&cause), "{found}");
    }
    let test = "[[test]]\nname = \"out\"\n\
                call = { trunk = \"teams-contoso\", from = \"+493023125001\", to = \"+498912345678\" }\n\
                expect = { trunk = \"carrier\" }\n";
    let tested = |secret: &str| gate(valid(&(with_digest(secret) + test)));
    assert!(tested("{ env = \"P\" }").is_ok() && tested("{ file = \"/p\" }").is_ok());
    let config = loaded.config;
    assert!(config.trunks[&"carrier".into()].is_out_of_service);
    // Nobody comes in where nobody can prove who they are.
    let listener = config.trunks[&"carrier".into()].listeners[0].clone();
    assert!(!config.has_peer(&listener, "198.51.100.20".parse().unwrap()));
    assert!(config.has_peer(&listener, "198.51.100.30".parse().unwrap()));

    let call = CallIn {
        trunk: Some("teams-contoso".into()),
        from: "+493023125001".to_owned(),
        to: "+498912345678".to_owned(),
        ..CallIn::default()
    };
    let played = play(&Arc::new(config), &call).unwrap();
    let tries: Vec<_> = played
        .tries
        .iter()
        .map(|tried| tried.trunk.as_str())
        .collect();
    assert_eq!(tries, ["backup"]);
}

#[test]
fn a_reload_keeps_what_works_and_is_not_held_up_by_what_is_out_of_service() {
    let load = |text: &str, before: &Loaded| {
        let sources = [Source::new("causeway.toml", text)];
        sbc_core::config::load(&sources, &Machine, Some(&before.config))
    };
    let absent = with_digest("{ env = \"P\" }");
    let works = valid(&with_digest("{ file = \"/p\" }"));
    let refused = load(&absent, &works).unwrap_err();
    let found: Vec<_> = refused.errors.iter().map(|one| one.code).collect();
    assert_eq!(found, [Code::SecretMissing; 2]);
    let lacks = valid(&absent);
    assert!(load(&absent, &lacks).unwrap().config.trunks[&"carrier".into()].is_out_of_service);
    let mended = load(&with_digest("{ file = \"/p\" }"), &lacks).unwrap();
    assert_eq!(mended.config.trunks, works.config.trunks);
}

#[test]
fn records_that_are_to_be_sent_and_cannot_for_want_of_a_token_are_still_to_be_sent() {
    let ship = "ship = { url = \"https://records.example.com/\", token = { env = \"T\" } }";
    let loaded = valid(&format!("{BASE}\n[cdr]\nspool = \"/spool\"\n{ship}\n"));
    let warnings = loaded.findings.warnings.iter();
    let found: Vec<_> = warnings.map(|one| one.code).collect();
    assert_eq!(found, [Code::SecretAbsent]);
    // Whoever removes old files asks this.
    assert!(loaded.shell.cdr.unwrap().ship.is_some());
}

#[test]
fn an_identity_whose_key_is_absent_and_a_user_without_token_keep_nobody_else_out() {
    let absent = BASE
        .replace("key = { file = \"/tls/sbc.key\" }", "key = { env = \"K\" }")
        .replace(
            "[metrics]\n",
            "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n\
         [[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { env = \"T\" }\n\
         [[api.user]]\nname = \"ops\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n\
         expires = \"2026-12-31\"\n[metrics]\n",
        );
    let loaded = valid(&absent);
    let found: Vec<_> = loaded
        .findings
        .warnings
        .iter()
        .map(|one| one.code)
        .collect();
    assert_eq!(found, [Code::SecretAbsent; 2]);
    assert!(loaded.config.tls[&"teams".into()].lacks_key);
    assert!(loaded.shell.tls.is_empty());
    let users: Vec<_> = loaded
        .shell
        .api_users
        .iter()
        .map(|user| user.name.as_str())
        .collect();
    assert_eq!(users, ["ops"]);

    let works = valid(BASE);
    let sources = [Source::new("causeway.toml", absent)];
    let refused = sbc_core::config::load(&sources, &Machine, Some(&works.config)).unwrap_err();
    assert_eq!(refused.errors[0].code, Code::SecretMissing);
}

#[test]
fn what_the_service_manager_reads_at_the_start_is_known_by_name() {
    let text = with_digest("{ credential = \"telco\" }");
    let text = text.replace(
        "key = { file = \"/tls/sbc.key\" }",
        "key = { credential = \"sbc\" }",
    );
    let wanted = [
        "tls \"teams\"",
        "trunk \"carrier\": authenticate",
        "trunk \"carrier\": digest",
    ];
    assert_eq!(valid(&text).shell.credentials, wanted);
}
