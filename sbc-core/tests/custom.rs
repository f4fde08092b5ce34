//! What records have for whoever bills: country and destination of the called number, who pays, and the operator's own
//! values (OPS-060), and what is left of it where no numbers are to be kept (OPS-062).

use crate::world;

use sbc_core::config::CallIn;
use sbc_core::id::TrunkName;
use sbc_core::input::Input;
use sbc_core::record::{Custom, Record};
use sbc_core::rehearsal::play;
use sbc_core::sip::Method;
use std::time::Duration;
use world::call::Call;
use world::*;

const RULES: &str = r#"
[[rate]]
prefix = "+49"
per_minute = "0.01"
[[rate]]
prefix = "+4930"
per_minute = "0.02"
name = "berlin"
[[transform]]
name = "own"
when = { trunk = "carrier-a", dir = "in" }
record = [
    { name = "account", set = "$30" },
    { name = "area", match = '^\+49(?P<area>30|40)\d', set = "0${area}-$0-$$" },
    { name = "site", of = "calling", prefix = "+4940", set = "hamburg" },
    { name = "site", of = "calling", prefix = "+4989", length = "13", set = "munich" },
    { name = "site", set = "elsewhere" },
    { name = "by", of = "diverting", number = "+493023125900", set = "reception" },
]
[[transform]]
name = "later"
when = { trunk = "carrier-a", dir = "in" }
record = [{ name = "account", number = "+493023125456", set = "30-4711" }, { name = "last", match = '456$', set = "yes" }]
[[transform]]
name = "exit"
when = { trunk = "teams-contoso", dir = "out" }
record = [{ name = "exit", match = '^\+49302312(\d)', set = "cell $1" }]
"#;

/// The record of a call of the carrier with these lines, which Teams refuses.
fn refused(config: &str, lines: &str) -> Record {
    let mut shard = Shard::with(config_of(config));
    let invite = carrier_invite("call", CARRIER_SDP);
    shard.carrier_says(&invite.replacen("Max-Forwards", &format!("{lines}Max-Forwards"), 1));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(invite.raw_named("P-Charge-Info").is_none());
    shard.teams_says(&response(&invite, "486 Busy", "b1", "", ""));
    shard.pass(Duration::from_secs(60));
    shard.records.remove(0)
}

fn values(custom: &Custom) -> Vec<(&str, &str)> {
    let all = custom.0.iter();
    all.map(|own| (own.name.as_str(), own.value.as_str()))
        .collect()
}

#[test]
fn a_record_has_country_destination_and_what_transforms_add() {
    let record = refused(&format!("{CONFIG}{RULES}"), "");
    assert_eq!(record.called, "+493023125456");
    assert_eq!(record.country_to, Some("DE"));
    assert_eq!(record.prefix_id.as_deref(), Some("berlin"));
    assert_eq!(record.charged_party, None);
    let told: Vec<(&str, &str)> = values(&record.custom);
    let wanted = [
        ("account", "30-4711"),
        ("area", "030-+49302-$"),
        ("site", "munich"),
        ("last", "yes"),
    ];
    assert_eq!(told, wanted);
    assert_eq!(values(&record.egress[0].custom), [("exit", "cell 5")]);
    let record = refused(CONFIG, "");
    assert_eq!((record.country_to, record.prefix_id), (Some("DE"), None));
    assert!(record.custom.is_empty() && record.egress[0].custom.is_empty());
    // A rate without a name is called by its prefix.
    let plain = RULES.replace("name = \"berlin\"\n", "");
    let record = refused(&format!("{CONFIG}{plain}"), "");
    assert_eq!(record.prefix_id.as_deref(), Some("+4930"));
}

#[test]
fn who_pays_is_known_from_a_trusted_peer_alone() {
    let trusted = CONFIG.replace("codecs = [\"PCMA\"", "trusted = true\ncodecs = [\"PCMA\"");
    for (line, wanted) in [
        (
            "P-Charge-Info: <sip:+15550142@example.com;user=phone>;noa=3;npi=1\n",
            Some("+15550142"),
        ),
        (
            "P-Charge-Info: \"Ada\" <tel:+1-555-0142>\n",
            Some("+15550142"),
        ),
        ("P-Charge-Info: sip:4711@example.com\n", Some("4711")),
        ("P-Charge-Info: <sip:example.com>\n", None),
        ("P-Charge-Info: none of it\n", None),
        ("", None),
    ] {
        let record = refused(&trusted, line);
        assert_eq!(record.charged_party.as_deref(), wanted, "{line}");
        assert_eq!(refused(CONFIG, line).charged_party, None, "{line}");
    }
}

/// Who belongs to one customer makes no other one pay, whatever it is trusted with; numbers are as others in records.
#[test]
fn who_pays_is_a_number_of_the_customer_that_the_trunk_belongs_to() {
    let full = r#"
[[transform]]
name = "full"
when = { trunk = "carrier-a", dir = "in" }
calling = [{ match = '^0([1-9]\d+)$', set = '+49$1' }]
"#;
    let shared = CONFIG.replace("codecs = [\"PCMA\"", "trusted = true\ncodecs = [\"PCMA\"");
    let shared = format!("{shared}{full}");
    let own = shared.replace("tenant = \"*\"", "tenant = \"contoso\"");
    for (number, of_own, of_shared) in [
        ("+493023125002", Some("+493023125002"), "+493023125002"),
        ("03023125002", Some("+493023125002"), "+493023125002"),
        ("0555550142", None, "+49555550142"),
        ("+15550142", None, "+15550142"),
    ] {
        let lines = format!("P-Charge-Info: <sip:{number}@example.com>\n");
        let record = refused(&own, &lines);
        assert_eq!(record.screening, Some("foreign"));
        assert_eq!(record.charged_party.as_deref(), of_own, "{number}");
        let record = refused(&shared, &lines);
        assert_eq!(record.screening, None);
        assert_eq!(record.charged_party.as_deref(), Some(of_shared));
    }
}

#[test]
fn who_forwarded_a_call_is_looked_at_after_the_transforms_of_its_trunk() {
    let rules = r#"
[[transform]]
name = "full"
when = { trunk = "carrier-a", dir = "in" }
redirecting = [{ match = '^0([1-9]\d+)$', set = '+49$1' }]
record = [
    { name = "by", of = "diverting", number = "+493023125900", set = "reception" },
    { name = "written", of = "diverting", number = "+493023125900", set = "for +49 30 23125900" },
]
[[transform]]
name = "exit"
when = { trunk = "teams-contoso", dir = "out" }
record = [{ name = "by", of = "diverting", prefix = "+4930", set = "ours" }]
"#;
    let config = format!("{CONFIG}{rules}");
    let diversion = "<sip:03023125900@example.com>;reason=unconditional";
    let line = format!("Diversion: {diversion}\n");
    let record = refused(&config, &line);
    assert_eq!(record.diverting.as_deref(), Some("03023125900"));
    assert_eq!(record.custom.get("by"), Some("reception"));
    assert_eq!(record.custom.get("written"), Some("for +49 30 23125900"));
    assert_eq!(record.egress[0].custom.get("by"), Some("ours"));
    let played = play(
        &config_of(&config),
        &CallIn {
            trunk: Some(TrunkName::new("carrier-a")),
            from: "+498999998001".to_owned(),
            to: "+493023125456".to_owned(),
            headers: vec![("Diversion".to_owned(), diversion.to_owned())],
            ..CallIn::default()
        },
    );
    let played = played.unwrap();
    let told = |rules: &[String], wanted: &str| rules.iter().any(|rule| rule == wanted);
    let wanted = "transform \"full\" records by = \"reception\"";
    assert!(told(&played.rules, wanted), "{:?}", played.rules);
    let (wanted, rules) = (
        "transform \"exit\" records by = \"ours\"",
        &played.tries[0].rules,
    );
    assert!(told(rules, wanted), "{rules:?}");
    // The record has the number as it came alone, and what became of it is hidden all the same.
    let tenant = "numbers = [";
    let cut = config.replacen(tenant, &format!("record_numbers = \"cut\"\n{tenant}"), 1);
    let record = refused(&cut, &line);
    assert_eq!(record.custom.get("by"), Some("reception"));
    assert!(!format!("{record:?}").contains("23125900"), "{record:?}");
}

/// OPS-062: values with digits of a number are as that would be, and no prefix says what is cut.
#[test]
fn where_no_numbers_are_kept_none_is_in_what_was_added() {
    let own = r#"
[[rate]]
prefix = "PREFIX"
per_minute = "0.01"
[[transform]]
name = "own"
when = { trunk = "carrier-a", dir = "in" }
record = [
    { name = "whole", match = '^(.*)$', set = "$1" },
    { name = "end", match = '(\d\d\d)$', set = "$1" },
    { name = "caller", of = "calling", match = '\d{5}$', set = "x$0" },
    { name = "named", set = "for +493023125456" },
    { name = "account", set = "1234567890" },
]
[[transform]]
name = "exit"
when = { trunk = "teams-contoso", dir = "out" }
record = [{ name = "exit", match = '\d\d$', set = "$0" }]
"#;
    let told = |numbers: &str, prefix: &str| {
        let tenant = "numbers = [";
        let config = CONFIG
            .replacen(
                tenant,
                &format!("record_numbers = \"{numbers}\"\n{tenant}"),
                1,
            )
            .replace("codecs = [\"PCMA\"", "trusted = true\ncodecs = [\"PCMA\"");
        let key = "[cdr]\nspool = \"/cdr\"\nnumber_key = { env = \"KEY\" }\n";
        let own = own.replace("PREFIX", prefix);
        let line = "P-Charge-Info: <sip:+15550142@example.com>\n";
        refused(&format!("{key}{config}{own}"), line)
    };
    let full = told("full", "+493023125456");
    assert_eq!(full.custom.get("whole"), Some("+493023125456"));
    assert_eq!(full.custom.get("end"), Some("456"));
    assert_eq!(full.custom.get("caller"), Some("x98001"));
    assert_eq!(full.prefix_id.as_deref(), Some("+493023125456"));
    assert_eq!(full.charged_party.as_deref(), Some("+15550142"));

    let cut = told("cut", "+493023125456");
    let names: Vec<&str> = cut.custom.0.iter().map(|own| own.name.as_str()).collect();
    assert_eq!(names, ["named", "account"]);
    assert_eq!(cut.custom.get("named"), Some("for +493023125xxx"));
    assert_eq!(cut.custom.get("account"), Some("1234567890"));
    assert!(cut.egress[0].custom.is_empty());
    assert_eq!(cut.prefix_id, None);
    assert_eq!(cut.charged_party.as_deref(), Some("+15550xxx"));
    assert_eq!(cut.country_to, Some("DE"));
    // A prefix that has none of the digits that are cut says nothing more than the number.
    let cut = told("cut", "+493023125");
    assert_eq!(cut.prefix_id.as_deref(), Some("+493023125"));
    assert_eq!(told("cut", "+4930231254").prefix_id, None);

    let hashed = told("hashed", "+4930");
    let text = format!("{hashed:?}");
    for secret in [
        "498999998001",
        "493023125456",
        "15550142",
        "98001",
        "\"456\"",
        "+4930",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert_eq!(hashed.prefix_id, None);
    // The same number has the same name wherever it stands.
    assert_eq!(hashed.custom.get("whole"), Some(&*hashed.called));
    assert_eq!(hashed.custom.get("end").unwrap().len(), "hmac:".len() + 32);
    assert_eq!(hashed.custom.get("account"), Some("1234567890"));
    assert!(
        hashed.egress[0]
            .custom
            .get("exit")
            .unwrap()
            .starts_with("hmac:")
    );
}

#[test]
fn what_is_added_outlives_a_restart_and_a_reload_does_not_change_it() {
    let config = format!("{CONFIG}{RULES}");
    let mut call = Call::with(&config);
    let later = config.replace("\"munich\"", "\"another\"");
    call.shard
        .restart(config_of(&later), Duration::from_millis(700), true);
    call.shard.apply(Input::Config(config_of(&later)));
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.pass(Duration::from_secs(60));
    let record = &call.shard.records[0];
    assert_eq!(
        (record.country_to, record.prefix_id.as_deref()),
        (Some("DE"), Some("berlin"))
    );
    assert_eq!(record.custom.get("site"), Some("munich"));
    assert_eq!(record.egress[0].custom.get("exit"), Some("cell 5"));
}

#[test]
fn a_rehearsal_says_what_is_added() {
    let config = config_of(&format!("{CONFIG}{RULES}"));
    let call = CallIn {
        trunk: Some(TrunkName::new("carrier-a")),
        from: "+498999998001".to_owned(),
        to: "+493023125456".to_owned(),
        ..CallIn::default()
    };
    let played = play(&config, &call).unwrap();
    let has = |rules: &[String], wanted: &str| rules.iter().any(|rule| rule == wanted);
    for wanted in [
        "transform \"own\" records area = \"030-+49302-$\"",
        "transform \"own\" records site = \"munich\"",
        "transform \"later\" records account = \"30-4711\"",
    ] {
        assert!(has(&played.rules, wanted), "{:?}", played.rules);
    }
    let exit = "transform \"exit\" records exit = \"cell 5\"";
    assert!(
        has(&played.tries[0].rules, exit),
        "{:?}",
        played.tries[0].rules
    );
}
