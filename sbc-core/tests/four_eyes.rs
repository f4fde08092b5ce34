//! What of a configuration one person alone may not change, where `[api] four_eyes` says so (SEC-151).

use crate::emergency::helping;

use sbc_core::config::{Assumed, Findings, FourEyes, Loaded, Source, load, sensitive_changes};

const API: &str = r#"
[api]
unix = "/run/causeway/api.sock"
four_eyes = ["media", "emergency", "media"]
"#;

fn read(text: &str) -> Result<Loaded, Findings> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    load(&[Source::new("four_eyes.toml", text)], &facts, None)
}

fn loaded(text: &str) -> Loaded {
    read(text).unwrap_or_else(|findings| panic!("{}", findings.to_text()))
}

/// What differs once this stands in the place of that.
fn changed(that: &str, this: &str) -> Vec<String> {
    let text = helping() + API;
    assert!(text.contains(that), "{that}");
    sensitive_changes(&loaded(&text), &loaded(&text.replace(that, this)))
}

#[test]
fn what_another_person_has_to_agree_to_is_a_list_of_words() {
    let all = loaded(&(helping() + API)).shell.four_eyes;
    assert_eq!(all, [FourEyes::Media, FourEyes::Emergency]);
    assert_eq!(loaded(&helping()).shell.four_eyes, []);
    let wrong = (helping() + API).replace("\"media\", \"emergency\"", "\"emergancy\"");
    let told = read(&wrong).expect_err("a word that is none").to_text();
    assert!(
        told.contains("E0007") && told.contains("emergency"),
        "{told}"
    );
}

#[test]
fn only_ways_of_calls_for_help_and_access_are_told() {
    let nothing: [&str; 0] = [];
    assert_eq!(changed("Causeway", "Another"), nothing);
    // An ordinary trunk, route and number.
    assert_eq!(changed("198.51.100.21:5060", "198.51.100.22:5060"), nothing);
    assert_eq!(changed("name = \"to-carrier\"", "name = \"out\""), nothing);
    assert_eq!(changed("+493023125999", "+493023125998"), nothing);

    assert_eq!(
        changed("198.51.100.50:5060", "198.51.100.51:5060"),
        ["trunk \"help\" is another"]
    );
    assert_eq!(
        changed("any_tenant = true", ""),
        ["route \"last-resort\" is another"]
    );
    let without = changed("name = \"help\"\nmatch", "name = \"aid\"\nmatch");
    assert_eq!(without, ["route \"aid\" is new", "route \"help\" is gone"]);
    assert_eq!(
        changed("\"112\", \"110\"", "\"112\""),
        ["tenant \"contoso\" is another"]
    );
    let out = "[[transform]]\nname = \"out\"\nwhen = { trunk = \"help\", dir = \"out\" }\n\
               called = [{ match = '^112$', set = '113' }]\n\n[api]";
    assert_eq!(
        changed("[api]", out),
        ["transforms of calls for help are others"]
    );
    assert_eq!(
        changed("[api]", "[limits]\npreempt = false\n\n[api]"),
        ["[limits]: whether calls give way to those for help"]
    );
}

#[test]
fn who_could_take_the_rule_away_is_held_by_it_as_well() {
    assert_eq!(
        changed("\"media\", \"emergency\", \"media\"", "\"media\""),
        ["[api] four_eyes is another list"]
    );
    let user = "tls = \"teams\"\nlisten = \"192.0.2.10:8443\"\n[[api.client]]\nname = \"twin\"\n\
                subject = \"CN=twin\"\nrole = \"admin\"\n";
    let text = helping() + API;
    let more = text.clone() + "client_ca = \"/ca.pem\"\n" + user;
    let told = sensitive_changes(&loaded(&text), &loaded(&more));
    assert_eq!(
        told,
        ["[[api.client]]: whose certificate counts, and for what"]
    );
}

#[test]
fn where_no_route_is_for_help_alone_every_route_may_carry_such_calls() {
    let text = helping().replace(
        "match = { emergency = true }",
        "match = { called = '^112$' }",
    );
    let text = text.replace("any_tenant = true", "");
    let other = text.replace("name = \"to-carrier\"", "name = \"out\"");
    let told = sensitive_changes(&loaded(&text), &loaded(&other));
    assert_eq!(
        told,
        ["route \"out\" is new", "route \"to-carrier\" is gone"]
    );
}
