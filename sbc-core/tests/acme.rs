//! `[acme]` and `acme = true`: certificates that the daemon gets by itself (TDR-TLS-015).

use crate::config::{BASE, all, load_text, valid};
use sbc_core::config::{AcmeProof, Secret, Source, effective};

/// The base with a certificate that an authority issues, and these tables behind it.
fn issued(tls: &str, tables: &str) -> String {
    let files = "cert = \"/tls/sbc.pem\"\nkey = { file = \"/tls/sbc.key\" }\n";
    assert!(BASE.contains(files));
    format!(
        "{}\n{tables}\n",
        BASE.replacen(files, &format!("{tls}\n"), 1)
    )
}

const TLS: &str = "acme = true\nnames = [\"SBC1.contoso.example\", \"sbc1.fabrikam.example\"]";
const ACME: &str =
    "[acme]\ndirectory = \"https://acme.example.org/directory\"\nhttps_roots = \"/web\"";

/// Code and cause of everything that is found.
fn found(text: &str) -> Vec<String> {
    let found = all(load_text(text)).into_iter();
    found
        .map(|own| {
            assert!(own.help.is_some(), "{own}");
            format!("{} {}", own.code.as_str(), own.cause)
        })
        .collect()
}

#[test]
fn an_account_with_an_authority_gives_an_identity_its_certificate() {
    let text = issued(TLS, ACME);
    let loaded = valid(&text);
    let account = loaded.shell.acme.as_ref().expect("an account");
    assert_eq!(account.directory, "https://acme.example.org/directory");
    let listen = "[::]:80".parse().expect("an address");
    assert_eq!(account.proof, AcmeProof::Http { listen });
    let files = &loaded.shell.tls[&"teams".into()];
    assert_eq!(files.cert, "/var/lib/causeway/acme/teams.pem");
    assert_eq!(files.key, Secret::File(files.cert.clone()));
    let names = ["sbc1.contoso.example", "sbc1.fabrikam.example"];
    assert_eq!(
        files.issued_for.as_deref(),
        Some(&names.map(str::to_owned)[..])
    );

    let all = effective(&[Source::new("test.toml", &text)], &loaded);
    let of = |kind: &str, key: &str| {
        let own = all.iter().find(|own| own.kind == kind).expect("the table");
        let setting = own.settings.iter().find(|own| own.key == key);
        setting.map(|own| own.value.clone())
    };
    assert_eq!(
        of("acme", "folder").as_deref(),
        Some("/var/lib/causeway/acme")
    );
    assert_eq!(of("acme", "listen").as_deref(), Some("[::]:80"));
    assert_eq!(of("acme", "https_roots").as_deref(), Some("\"/web\""));
    assert_eq!(
        of("tls", "cert").as_deref(),
        Some("/var/lib/causeway/acme/teams.pem")
    );
}

#[test]
fn an_account_may_have_a_person_a_number_with_the_authority_and_records_of_dns() {
    let more = "contact = [\"noc@example.com\", \"mailto:sip@example.net\"]\n\
                external_account = { key_id = \"kid-1\", key = { file = \"/hmac\" } }\n\
                challenge = \"dns-01\"\nhook = \"/usr/local/bin/acme-dns\"\nfolder = \"/srv/acme/\"";
    let tls = "acme = true\nallow_wildcard_san = true\nnames = [\"*.contoso.example\"]";
    let loaded = valid(&issued(tls, &format!("{ACME}\n{more}")));
    let account = loaded.shell.acme.expect("an account");
    assert_eq!(account.contact, ["noc@example.com", "sip@example.net"]);
    let external = account.external.expect("a number");
    assert_eq!(external.key, Secret::File("/hmac".to_owned()));
    let hook = "/usr/local/bin/acme-dns".to_owned();
    assert_eq!(account.proof, AcmeProof::Dns { hook });
    assert_eq!(
        loaded.shell.tls[&"teams".into()].cert,
        "/srv/acme/teams.pem"
    );
}

#[test]
fn what_cannot_come_to_a_certificate_is_found_before_anybody_is_asked() {
    for (tls, more, wanted) in [
        (TLS, "", "E0005 tls \"teams\": acme = true needs an account"),
        (
            "acme = true",
            ACME,
            "E0005 tls \"teams\": nobody says which names",
        ),
        (
            "acme = true\nnames = []",
            ACME,
            "tls \"teams\": \"names\" is empty",
        ),
        (
            "acme = true\nnames = [\"sbc1\", \"sbc1.contoso.example\"]",
            ACME,
            "E0054 tls \"teams\": \"sbc1\" is no name",
        ),
        (
            "acme = true\nnames = [\"192.0.2.1\", \"sbc1.contoso.example\"]",
            ACME,
            "E0054 tls \"teams\": \"192.0.2.1\"",
        ),
        (
            "acme = true\nnames = [\"sbc1.contoso.example\", \"sbc1.contoso.EXAMPLE\"]",
            ACME,
            "E0011",
        ),
        (
            "acme = true\nnames = [\"sbc1.fabrikam.example\"]",
            ACME,
            "E0045",
        ),
        (
            "acme = true\nallow_wildcard_san = true\nnames = [\"*.contoso.example\"]",
            ACME,
            "E0046 tls \"teams\": http-01 proves no wildcard",
        ),
        (
            "acme = true\ncert = \"/x\"\nnames = [\"sbc1.contoso.example\"]",
            ACME,
            "E0012 tls \"teams\": \"cert\" names a file",
        ),
    ] {
        let found = found(&issued(tls, more));
        assert_eq!(found.len(), 1, "{tls}\n{more}\n{found:?}");
        assert!(found[0].contains(wanted), "{tls}\n{more}\n{found:?}");
    }
    for (more, wanted) in [
        ("contact = [\"nobody\"]", "E0008 acme: contact \"nobody\""),
        (
            "contact = [\"a@example.com, b@example.com\"]",
            "E0008 acme: contact",
        ),
        ("external_account = { key_id = \"k\" }", "E0005"),
        (
            "external_account = { key_id = \"k\", key = { env = \"K\" } }",
            "W0119 acme: external_account: key in",
        ),
        (
            "external_account = { key_id = \"k\", key = { file = \"/canary\" } }",
            "E0047 acme: external_account: what is in",
        ),
        ("challenge = \"tls-alpn-01\"", "E0004"),
        (
            "challenge = \"dns-01\"",
            "E0005 acme: nothing is named that makes the records",
        ),
        (
            "challenge = \"dns-01\"\nhook = \"acme-dns\"",
            "E0008 acme: hook",
        ),
        (
            "challenge = \"dns-01\"\nhook = \"/x\"\nlisten = \"[::]:80\"",
            "E0012 acme: \"listen\" is for another",
        ),
        ("hook = \"/x\"", "E0012 acme: \"hook\" is for another"),
        ("listen = \"0.0.0.0:5061\"", "E0033 acme: listener"),
        ("listen = \"[::]:9464\"", "E0033 acme: [metrics]"),
    ] {
        let found = found(&issued(TLS, &format!("{ACME}\n{more}")));
        assert_eq!(found.len(), 1, "{more}\n{found:?}");
        assert!(found[0].contains(wanted), "{more}\n{found:?}");
    }
    let no_url = ACME.replace("https:", "http:");
    let found_url = found(&issued(TLS, &no_url));
    assert!(
        found_url[0].contains("E0008 acme: directory"),
        "{found_url:?}"
    );
    let no_roots = ACME.replace("/web", "/absent");
    let found_roots = found(&issued(TLS, &no_roots));
    assert!(
        found_roots[0].contains("E0040 acme: https_roots"),
        "{found_roots:?}"
    );
    let unused = found(&format!("{BASE}\n{ACME}\n"));
    assert!(unused[0].contains("E0012 acme: no [[tls]]"), "{unused:?}");
    let files = "cert = \"/tls/sbc.pem\"\nkey = { file = \"/tls/sbc.key\" }\nnames = [\"sbc1.contoso.example\"]";
    let names = found(&issued(files, ""));
    assert!(
        names[0].contains("E0012 tls \"teams\": the names"),
        "{names:?}"
    );
}

#[test]
fn a_proof_at_a_port_that_the_daemon_may_not_have_is_told_beforehand() {
    let at = |port: u16| found(&issued(TLS, &format!("{ACME}\nlisten = \"[::]:{port}\"")));
    assert_eq!(at(8080), Vec::<String>::new());
    let wanted = "W0122 acme: the daemon may not listen on port 81: no certificate will be issued";
    assert_eq!(at(81), [wanted]);
}
