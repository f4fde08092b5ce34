//! Who signs operators in: what `[api.oidc]` says, and what is wrong with it.

use crate::world::CONFIG;

use sbc_core::config::{
    ApiRole, Assumed, Findings, GraphProof, Loaded, MICROSOFT_ROOTS, Oidc, OidcRole, Secret,
    Source, Subject, load,
};
use std::time::Duration;

const DIRECTORY: &str = "11111111-2222-3333-4444-55555555555A";
const OTHER: &str = "99999999-2222-3333-4444-555555555555";
const ROLE: &str =
    "\n[[api.oidc.role]]\nvalue = \"Causeway.Viewer\"\nrole = \"viewer\"\nnumbers = true\n";

fn loaded(text: &str) -> Result<Loaded, Findings> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    load(&[Source::new("operators.toml", text)], &facts, None)
}

/// The usual world whose interface is served over the network, with this table and these roles.
fn with(table: &str, roles: &str) -> String {
    assert!(!CONFIG.contains("[api]"), "the table would be there twice");
    format!(
        "{CONFIG}\n[api]\nlisten = \"192.0.2.10:8443\"\ntls = \"teams\"\n\n[api.oidc]\n{table}\n{roles}"
    )
}

fn usual(more: &str) -> String {
    format!(
        "tenants = [\"{DIRECTORY}\"]\nclient_id = \"application\"\nsecret = {{ file = \"/s\" }}\n\
         url = \"https://sbc1.contoso.example:8443\"\n{more}"
    )
}

fn oidc(text: &str) -> Oidc {
    let found = loaded(text).unwrap_or_else(|findings| panic!("{}", findings.to_text()));
    found.shell.oidc.expect("a table")
}

/// TDG-ENT-003, TDG-ENT-004.
#[test]
fn a_directory_of_entra_or_any_issuer_signs_operators_in() {
    let own = DIRECTORY.to_ascii_lowercase();
    let wanted = Oidc {
        issuer: format!("https://login.microsoftonline.com/{own}/v2.0"),
        discovery: format!(
            "https://login.microsoftonline.com/{own}/v2.0/.well-known/openid-configuration"
        ),
        tenants: vec![own.clone()],
        client_id: "application".to_owned(),
        proof: GraphProof::Secret(Secret::File("/s".to_owned())),
        url: "https://sbc1.contoso.example:8443".to_owned(),
        roots: MICROSOFT_ROOTS.to_owned(),
        name: "Microsoft".to_owned(),
        claim: "roles".to_owned(),
        roles: vec![OidcRole {
            value: "Causeway.Viewer".to_owned(),
            role: ApiRole::Viewer,
            numbers: true,
            media: false,
        }],
        session: Duration::from_secs(8 * 3_600),
        idle: Duration::from_secs(1_800),
    };
    assert_eq!(oidc(&with(&usual(""), ROLE)), wanted);
    assert_eq!(
        wanted.redirect(),
        "https://sbc1.contoso.example:8443/sign-in"
    );

    let several = usual("").replace("5A\"]", &format!("5A\", \"{OTHER}\"]"));
    let several = oidc(&with(&several, ROLE));
    assert_eq!(
        several.issuer,
        "https://login.microsoftonline.com/{tenantid}/v2.0"
    );
    assert!(
        several
            .discovery
            .contains("/organizations/v2.0/.well-known/")
    );
    assert_eq!(several.tenants, [own, OTHER.to_owned()]);

    let other = usual("session = \"12h\"\nidle = \"1m\"\nclaim = \"groups\"\n").replace(
        &format!("tenants = [\"{DIRECTORY}\"]"),
        "issuer = \"https://login.example.com:5556/dex\"",
    );
    let other = oidc(&with(&other, ROLE));
    assert_eq!(
        other.discovery,
        "https://login.example.com:5556/dex/.well-known/openid-configuration"
    );
    assert_eq!(
        (other.name.as_str(), other.claim.as_str()),
        ("login.example.com:5556", "groups")
    );
    assert_eq!(other.roots, "/etc/ssl/certs/ca-certificates.crt");
    assert_eq!(other.idle, Duration::from_secs(60));
}

/// SEC-150.
#[test]
fn what_is_wrong_with_signing_in_is_said() {
    let tenants = format!("tenants = [\"{DIRECTORY}\"]");
    let usual = usual("");
    let twice = format!("{ROLE}{ROLE}");
    let many: String = (0..65)
        .map(|n| ROLE.replace("Viewer", &n.to_string()))
        .collect();
    for (table, roles, cause) in [
        (
            usual.replace(&tenants, ""),
            ROLE,
            "nothing says who signs operators in",
        ),
        (
            usual.replace(DIRECTORY, "contoso.example"),
            ROLE,
            "is no GUID",
        ),
        (
            usual.replace(
                "5A\"]",
                &format!("5A\", \"{}\"]", DIRECTORY.to_ascii_lowercase()),
            ),
            ROLE,
            "twice",
        ),
        (
            usual.replace(&tenants, "issuer = \"http://login.example.com\""),
            ROLE,
            "is no issuer",
        ),
        (
            usual.replace(
                &tenants,
                "issuer = \"https://login.example.com/{tenantid}/v2.0\"",
            ),
            ROLE,
            "is that of every directory",
        ),
        (
            usual.replace("client_id = \"application\"", ""),
            ROLE,
            "\"client_id\" is missing",
        ),
        (
            usual.replace("\"application\"", "\"\""),
            ROLE,
            "client_id \"\" cannot be used",
        ),
        (
            usual.replace("secret = { file = \"/s\" }", ""),
            ROLE,
            "nothing says how the application proves itself",
        ),
        (
            usual.replace("{ file = \"/s\" }", "\"opensesame\""),
            ROLE,
            "secrets are never written into the configuration",
        ),
        (
            usual.replace(":8443\"", ":8443/console\""),
            ROLE,
            "is no place of a console",
        ),
        (
            usual.replace("https://sbc1", "http://sbc1"),
            ROLE,
            "is no place of a console",
        ),
        (
            format!("{usual}session = \"13h\"\n"),
            ROLE,
            "session is not between 5 and 720 minutes",
        ),
        (
            format!("{usual}idle = \"3h\"\n"),
            ROLE,
            "idle is not between 1 and 120 minutes",
        ),
        (format!("{usual}email = \"x\"\n"), ROLE, "email"),
        (usual.clone(), "", "lets nobody in: it has no role"),
        (usual.clone(), &twice, "is there twice"),
        (usual.clone(), &many, "more than 64 roles"),
        (
            usual.clone(),
            &ROLE.replace("\"viewer\"", "\"root\""),
            "root",
        ),
        (
            usual.clone(),
            &ROLE.replace("\"viewer\"", "\"admin\""),
            "only a viewer can be kept from seeing numbers",
        ),
    ] {
        let text = loaded(&with(&table, roles)).expect_err(cause).to_text();
        assert!(text.contains(cause), "{cause}\n{text}");
        assert!(!text.contains("opensesame"), "{text}");
    }
    let nowhere = with(&usual, ROLE).replace("listen = \"192.0.2.10:8443\"\n", "");
    let text = loaded(&nowhere).expect_err("nowhere").to_text();
    assert!(
        text.contains("is for an interface over the network, and there is none"),
        "{text}"
    );
}

fn with_clients(keys: &str, clients: &str) -> String {
    format!("{CONFIG}\n[api]\nlisten = \"192.0.2.10:8443\"\ntls = \"teams\"\n{keys}\n{clients}")
}

const CA: &str = "client_ca = \"/ca.pem\"";
const CLIENT: &str =
    "\n[[api.client]]\nname = \"noc\"\nsubject = \"CN=noc,O=Contoso\"\nrole = \"security\"\n";

/// SEC-150.
#[test]
fn a_client_is_who_the_subject_of_a_certificate_says_in_either_order() {
    let found = loaded(&with_clients(CA, CLIENT));
    let found = found.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
    let clients = found.shell.api_clients;
    assert_eq!(clients.authorities.as_deref(), Some("/ca.pem"));
    let subject = |text: &str| Subject::parse(text).unwrap();
    let noc = clients.find(&subject("O=Contoso, CN=noc")).unwrap();
    assert_eq!((noc.name.as_str(), noc.role), ("noc", ApiRole::Security));
    assert!(clients.find(&subject("CN=noc")).is_none());
}

/// SEC-150.
#[test]
fn what_is_wrong_with_clients_is_said() {
    let other = CLIENT.replace("CN=noc,O=Contoso", "CN=other");
    let twin = CLIENT.replace("name = \"noc\"", "name = \"twin\"");
    let many: String = (0..257)
        .map(|n| CLIENT.replace("noc", &format!("noc{n}")))
        .collect();
    for (keys, clients, cause) in [
        (
            "",
            CLIENT,
            "nothing says who issues certificates of clients",
        ),
        (
            "client_ca = \"microsoft\"",
            CLIENT,
            "a public authority issues certificates to anybody",
        ),
        (
            CA,
            &CLIENT.replace("CN=noc,O=Contoso", "noc"),
            "is no subject",
        ),
        (
            CA,
            &CLIENT.replace("\"noc\"", "\"n o c\""),
            "cannot be a name",
        ),
        (
            CA,
            &format!("{CLIENT}{other}"),
            "another client or user of this name",
        ),
        (CA, &format!("{CLIENT}{twin}"), "has the same subject"),
        (CA, &many, "more than 256 clients"),
        (CA, &CLIENT.replace("\"security\"", "\"root\""), "root"),
        (
            CA,
            &CLIENT.replace("role = \"security\"\n", ""),
            "\"role\" is missing",
        ),
        (
            CA,
            &format!("{CLIENT}numbers = true\n"),
            "only a viewer can be kept from seeing numbers",
        ),
    ] {
        let text = loaded(&with_clients(keys, clients))
            .expect_err(cause)
            .to_text();
        assert!(text.contains(cause), "{cause}\n{text}");
    }
    let user = "[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/t\" }\n";
    let nobody = loaded(&with_clients(CA, user))
        .expect_err("nobody")
        .to_text();
    assert!(nobody.contains("client_ca lets nobody in"), "{nobody}");
    let nowhere =
        with_clients(CA, CLIENT).replace("listen = \"192.0.2.10:8443\"\ntls = \"teams\"\n", "");
    let nowhere = loaded(&nowhere).expect_err("nowhere").to_text();
    assert!(
        nowhere.contains("\"client\" is for an interface over the network"),
        "{nowhere}"
    );
}

/// SEC-151.
#[test]
fn only_who_captures_calls_may_be_told_to_hear_them() {
    let table = usual("");
    let hears = ROLE.replace("numbers = true", "media = true");
    let cause = "media = true, and nobody with the role viewer captures calls";
    let text = loaded(&with(&table, &hears)).expect_err(cause).to_text();
    assert!(text.contains(cause), "{text}");
    // No role has it by itself, and those that capture calls may.
    for role in ["operator", "engineer", "admin"] {
        let written = hears.replace("viewer", role);
        assert!(oidc(&with(&table, &written)).roles[0].media, "{role}");
        let bare = written.replace("media = true\n", "");
        assert!(!oidc(&with(&table, &bare)).roles[0].media, "{role}");
    }
    let client = |keys: &str, role: &str| {
        let client = CLIENT.replace("security", role);
        loaded(&with_clients(CA, &format!("{client}{keys}")))
    };
    let text = client("media = true\n", "security")
        .expect_err(cause)
        .to_text();
    assert!(
        text.contains("nobody with the role security captures calls"),
        "{text}"
    );
    let found =
        client("media = true\n", "engineer").unwrap_or_else(|found| panic!("{}", found.to_text()));
    assert!(found.shell.api_clients.known[0].media);
    let users =
        with(&table, ROLE).replace("[api]\n", "[api]\nmedia_users = [\"anna\", \"1000\"]\n");
    let found = loaded(&users).unwrap_or_else(|found| panic!("{}", found.to_text()));
    assert_eq!(found.shell.media_users, ["anna", "1000"]);
    let wrong = users.replace("\"anna\"", "\"an na\"");
    let text = loaded(&wrong).expect_err("no user").to_text();
    assert!(
        text.contains("media_users: \"an na\" is no user of this machine"),
        "{text}"
    );
}
