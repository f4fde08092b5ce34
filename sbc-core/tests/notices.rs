//! Where Microsoft tells of changes: what `[notices]` says of it, and what is wrong with it.

use crate::world::CONFIG;

use sbc_core::config::{Assumed, Findings, Loaded, NoticeListen, Source, changes, load};

const ACCESS: &str = "[[tenant]]\ngraph = { tenant_id = \"11111111-2222-3333-4444-555555555555\", \
     client_id = \"66666666-7777-8888-9999-aaaaaaaaaaaa\", secret = { file = \"/s\" }, presence = {} }\nusers = { \"+4930123456\" = \"db03c14b-06eb-4189-939b-7cbf3a20ba27\" }\n";

fn loaded(text: &str) -> Result<Loaded, Findings> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    load(&[Source::new("notices.toml", text)], &facts, None)
}

/// The usual world with access to Graph and this table.
fn with_table(table: &str) -> String {
    let text = CONFIG.replacen("[[tenant]]\n", ACCESS, 1);
    format!("{text}\n[notices]\n{table}\n")
}

const GOOD: &str =
    "listen = \"192.0.2.10:8444\"\ntls = \"teams\"\nurl = \"https://sbc1.contoso.example/notices\"";

/// TDG-PRS-002.
#[test]
fn an_operator_says_where_notices_come_in_and_a_restart_moves_it() {
    let found = loaded(&with_table(GOOD)).expect("a good table");
    let wanted = NoticeListen {
        address: "192.0.2.10:8444".parse().expect("an address"),
        tls: "teams".into(),
        url: "https://sbc1.contoso.example/notices".to_owned(),
    };
    assert_eq!(found.shell.notices.as_ref(), Some(&wanted));
    let without = CONFIG.replacen("[[tenant]]\n", ACCESS, 1);
    let without = loaded(&without).expect("a good file");
    assert_eq!(without.shell.notices, None, "off unless somebody wants it");
    assert!(changes(&without, &found).notices);
    let elsewhere = GOOD.replace("/notices", "/other");
    let elsewhere = loaded(&with_table(&elsewhere)).expect("a good table");
    assert!(!changes(&found, &elsewhere).notices);
}

/// SEC-102.
#[test]
fn nobody_has_media_sent_to_where_notices_come_in() {
    let elsewhere = GOOD.replace("192.0.2.10", "203.0.113.77");
    let found = loaded(&with_table(&elsewhere)).expect("a good table");
    let mut trunks = found.config.trunks.values();
    let at = "203.0.113.77:161".parse().expect("an address");
    assert!(trunks.all(|trunk| trunk.media.profile.own.forbid(at)));
}

#[test]
fn what_is_wrong_with_the_place_for_notices_is_said() {
    for (text, cause) in [
        (with_table(""), "\"listen\" is missing"),
        (with_table(""), "\"tls\" is missing"),
        (with_table(""), "\"url\" is missing"),
        (
            with_table(&GOOD.replace("https:", "http:")),
            "is no URL that Microsoft could call",
        ),
        (
            with_table(&GOOD.replace("\"teams\"", "\"tems\"")),
            "there is no tls \"tems\"",
        ),
        (
            with_table(&GOOD.replace(":8444", ":0")),
            "is not an address with a port",
        ),
        (
            format!("[metrics]\nlisten = \"0.0.0.0:8444\"\n{}", with_table(GOOD)),
            "[metrics] uses port 8444 already",
        ),
        (
            format!("{CONFIG}\n[notices]\n{GOOD}\n"),
            "no tenant goes by presence",
        ),
        (
            with_table(&format!("{GOOD}\nkey = 1")),
            "unknown key \"key\"",
        ),
    ] {
        let told = loaded(&text).expect_err(cause).to_text();
        assert!(told.contains(cause), "{cause}\n{told}");
    }
}
