//! Collectors of messages: what `[hep]` says of them, what is wrong with it, and what is shown to them.

use crate::world::CONFIG;

use sbc_core::config::{
    Assumed, Findings, HepCollector, HepLogs, Loaded, Secret, Source, effective, load,
};
use sbc_core::id::TrunkName;
use sbc_core::transport::Protocol;

fn sources(table: &str) -> [Source; 1] {
    [Source::new(
        "hep.toml",
        format!("{CONFIG}\n[hep]\n{table}\n"),
    )]
}

fn loaded(table: &str) -> Result<Loaded, Findings> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    load(&sources(table), &facts, None)
}

fn collector(host: &str, port: u16, protocol: Protocol) -> HepCollector {
    HepCollector {
        host: host.to_owned(),
        port,
        protocol,
    }
}

/// OPS-070.
#[test]
fn an_operator_names_collectors_and_what_they_get() {
    let found = loaded(
        "collectors = [\"192.0.2.50:9060;udp\", \"homer.example.net:9061;tls\", \"[2001:db8::5]:9060;tcp\"]\n\
         id = 2001\nkey = { file = \"/k\" }\ninclude_tls = true\nquality = false\nrtcp = false\nsample = 10\ntrunks = [\"carrier-a\"]\nlogs = \"warn\"\nroots = \"/r\"",
    )
    .expect("a good table");
    let hep = found.shell.hep.expect("it is there");
    assert_eq!(
        hep.collectors,
        [
            collector("192.0.2.50", 9_060, Protocol::Udp),
            collector("homer.example.net", 9_061, Protocol::Tls),
            collector("2001:db8::5", 9_060, Protocol::Tcp),
        ]
    );
    assert_eq!(hep.collectors[2].to_string(), "[2001:db8::5]:9060;tcp");
    assert_eq!((hep.agent, hep.roots.as_str()), (2_001, "/r"));
    assert_eq!(hep.key, Some(Secret::File("/k".to_owned())));
    assert!(hep.include_tls && !hep.quality && !hep.rtcp);
    assert_eq!((hep.sample, hep.logs), (10, Some(HepLogs::Warn)));
    assert_eq!(hep.trunks, [TrunkName::new("carrier-a")]);
}

#[test]
fn nothing_is_sent_unless_somebody_says_so_and_nothing_decrypted_either() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let without = load(&[Source::new("none.toml", CONFIG)], &facts, None).expect("a good file");
    assert_eq!(without.shell.hep, None);
    let table = "collectors = [\"192.0.2.50:9060;udp\"]";
    let found = loaded(table).expect("a good table");
    let all = effective(&sources(table), &found);
    let own = all
        .iter()
        .find(|own| own.kind == "hep")
        .expect("its object");
    let value = |key: &str| {
        let setting = own.settings.iter().find(|setting| setting.key == key);
        setting.map(|setting| setting.value.as_str())
    };
    let wanted = [
        ("id", "1"),
        ("include_tls", "false"),
        ("quality", "true"),
        ("rtcp", "true"),
        ("sample", "100"),
    ];
    for (key, wanted) in wanted {
        assert_eq!(value(key), Some(wanted), "{key}");
    }
    assert_eq!(value("roots"), None, "nobody is verified");
}

#[test]
fn what_is_wrong_with_collectors_is_said() {
    let five = "collectors = [\"a.example:1;udp\", \"b.example:1;udp\", \"c.example:1;udp\", \
                \"d.example:1;udp\", \"e.example:1;udp\"]";
    for (table, cause) in [
        ("", "\"collectors\" is missing"),
        ("collectors = []", "\"collectors\" is empty"),
        (
            "collectors = [\"192.0.2.50;udp\"]",
            "lacks its port or its transport",
        ),
        (
            "collectors = [\"192.0.2.50:9060\"]",
            "lacks its port or its transport",
        ),
        (
            "collectors = [\"0.0.0.0:9060;udp\"]",
            "is not an address to send to",
        ),
        (
            "collectors = [\"192.0.2.50:1;udp\", \"192.0.2.50:1;udp\"]",
            "is there twice",
        ),
        (five, "more than 4 collectors"),
        (
            "collectors = [\"192.0.2.50:1;udp\"]\nroots = \"/r\"",
            "there is nobody to verify",
        ),
        (
            "collectors = [\"192.0.2.50:1;udp\"]\nkey = \"secret\"",
            "secrets are never written into the configuration",
        ),
        (
            "collectors = [\"192.0.2.50:1;udp\"]\nid = 0",
            "\"id\" is out of range",
        ),
        (
            "collectors = [\"192.0.2.50:1;udp\"]\nsample = 101",
            "\"sample\" is out of range",
        ),
        (
            "collectors = [\"192.0.2.50:1;udp\"]\ntrunks = []",
            "\"trunks\" is empty",
        ),
        (
            "collectors = [\"192.0.2.50:1;udp\"]\ntrunks = [\"nobody\"]",
            "there is no trunk \"nobody\"",
        ),
    ] {
        let findings = loaded(table).expect_err(table).to_text();
        assert!(findings.contains(cause), "{table}: {findings}");
        assert!(findings.contains("help: "), "{findings}");
    }
}
