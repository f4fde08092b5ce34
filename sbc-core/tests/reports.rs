//! Access to Microsoft's reports: what a tenant says of it, and what is wrong with it.

use crate::world::CONFIG;

use sbc_core::config::{
    Assumed, Cloud, Findings, GraphAccess, GraphProof, Loaded, Secret, Source, effective, load,
};
use std::collections::BTreeMap;

const DIRECTORY: &str = "11111111-2222-3333-4444-55555555555A";
const APPLICATION: &str = "66666666-7777-8888-9999-000000000000";

/// The usual world whose tenant has this table.
fn with_table(table: &str) -> String {
    CONFIG.replacen("[[tenant]]\n", &format!("[[tenant]]\ngraph = {table}\n"), 1)
}

fn table(rest: &str) -> String {
    format!("{{ tenant_id = \"{DIRECTORY}\", client_id = \"{APPLICATION}\"{rest} }}")
}

fn loaded(text: &str) -> Result<Loaded, Findings> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    load(&[Source::new("reports.toml", text)], &facts, None)
}

/// TDG-ENT-001, TDG-ENT-006.
#[test]
fn a_tenant_says_how_its_reports_are_read_and_its_trunks_say_where() {
    let secret = table(", secret = { credential = \"graph\" }");
    let text = with_table(&secret);
    let found = loaded(&text).expect("a good table");
    let access = &found.shell.graph[&"contoso".into()];
    let wanted = GraphAccess {
        tenant_id: DIRECTORY.to_ascii_lowercase(),
        client_id: APPLICATION.to_owned(),
        cloud: Cloud::Worldwide,
        proof: GraphProof::Secret(Secret::Credential("graph".to_owned())),
        roots: "microsoft".to_owned(),
        connect_to: BTreeMap::new(),
        presence: None,
    };
    assert_eq!(*access, wanted);
    let shown = effective(&[Source::new("reports.toml", &*text)], &found);
    let tenant = shown
        .iter()
        .find(|one| one.kind == "tenant")
        .expect("the tenant");
    let value = |key: &str| {
        let setting = tenant.settings.iter().find(|setting| setting.key == key);
        setting.map(|setting| setting.value.as_str())
    };
    assert_eq!(value("graph.secret.credential"), Some("\"graph\""));
    assert_eq!(value("graph.cloud"), Some("worldwide"));

    let certificate = table(", certificate = \"/a.pem\", key = { file = \"/a.key\" }");
    let found = loaded(&with_table(&certificate)).expect("a good table");
    let proof = GraphProof::Certificate {
        cert: "/a.pem".to_owned(),
        key: Secret::File("/a.key".to_owned()),
    };
    assert_eq!(found.shell.graph[&"contoso".into()].proof, proof);

    for (cloud, login, graph) in [
        (
            Cloud::GccHigh,
            "login.microsoftonline.us",
            "graph.microsoft.us",
        ),
        (
            Cloud::Dod,
            "login.microsoftonline.us",
            "dod-graph.microsoft.us",
        ),
    ] {
        assert_eq!((cloud.login(), cloud.graph()), (login, graph));
    }
}

#[test]
fn what_is_wrong_with_access_to_reports_is_said_without_the_secret() {
    let secret = ", secret = { file = \"/s\" }";
    let nobody = "[[tenant]]\nname = \"nobody\"\ngraph = ";
    for (text, cause) in [
        (
            with_table(&table("")),
            "nothing says how the application proves itself",
        ),
        (
            with_table(&table(&format!("{secret}, certificate = \"/a.pem\""))),
            "proves itself in two ways",
        ),
        (
            with_table(&table(", certificate = \"/a.pem\"")),
            "a certificate and its key are needed together",
        ),
        (
            with_table(&table(", secret = \"opensesame\"")),
            "secrets are never written into the configuration",
        ),
        (
            with_table(&table(secret).replace(DIRECTORY, "contoso.example")),
            "\"contoso.example\" is no GUID",
        ),
        (
            with_table(&format!("{{ client_id = \"{APPLICATION}\"{secret} }}")),
            "\"tenant_id\" is missing",
        ),
        (
            format!("{CONFIG}\n{nobody}{}\n", table(secret)),
            "no trunk of the tenant leads to Teams",
        ),
    ] {
        let text = loaded(&text).expect_err(cause).to_text();
        assert!(text.contains(cause), "{cause}\n{text}");
        assert!(!text.contains("opensesame"), "{text}");
    }
}
