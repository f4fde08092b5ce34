//! Media that cannot be served are told with their reason, wherever in a call that is found out.

use crate::world;

use sbc_core::event::{Happened, MediaRefusal};
use sbc_core::media::Unusable;
use sbc_core::sip::Method;
use std::time::Duration;
use world::call::*;
use world::*;

/// Whose media were refused and why, in order.
fn told(shard: &Shard) -> Vec<(String, &'static str)> {
    let all = shard.happened.iter().filter_map(|what| match what {
        Happened::MediaRefused { trunk, why } => Some((trunk.to_string(), why.as_str())),
        _ => None,
    });
    all.collect()
}

#[test]
fn an_offer_that_cannot_be_served_is_told_by_its_reason() {
    let teams = |sdp: &str| {
        let mut shard = Shard::new();
        let invite = teams_invite("refused");
        let (head, _) = invite.split_once("Content-Type").expect("a body");
        shard.teams_says(&with_body(head, sdp));
        shard.next_response(100);
        shard.next_response(488);
        told(&shard)
    };
    let plain = TEAMS_SDP.replace("RTP/SAVP", "RTP/AVP");
    assert_eq!(
        teams(&plain),
        [("teams-contoso".to_owned(), "srtp_missing")]
    );
    let keyless = TEAMS_SDP.replace("a=crypto", "a=x-crypto");
    assert_eq!(
        teams(&keyless),
        [("teams-contoso".to_owned(), "no_usable_key")]
    );
    let other: Vec<&str> = TEAMS_SDP
        .lines()
        .map(|line| match line.starts_with("m=audio") {
            true => "m=audio 50010 RTP/SAVP 77",
            false => line,
        })
        .collect();
    let other = other.join("\n") + "\n";
    assert_eq!(teams(&other), [("teams-contoso".to_owned(), "no_codec")]);
}

/// MED-100, MED-105: lines that are passed over beside a good one show nowhere else.
#[test]
fn key_lines_that_are_of_no_use_are_told_also_beside_a_good_one() {
    let told = |shard: &Shard| {
        let all = shard.happened.iter().filter_map(|what| match what {
            Happened::KeyUnusable { trunk, why } => Some((trunk.to_string(), why.as_str())),
            _ => None,
        });
        all.collect::<Vec<_>>()
    };
    let good = TEAMS_SDP.lines().find(|line| line.starts_with("a=crypto:"));
    let good = good.expect("a key").trim_end();
    let odd = [
        "a=crypto:7 AES_512_OF_NOBODY inline:abcd".to_owned(),
        "a=crypto:8 AES_CM_128_HMAC_SHA1_80 inline:***".to_owned(),
        "a=crypto:9 nonsense".to_owned(),
    ];
    let all = format!("{}\n{good}", odd.join("\n"));
    let invite = teams_invite("keys");
    let (head, _) = invite.split_once("Content-Type").expect("a body");
    let mut shard = Shard::new();
    shard.teams_says(&with_body(head, &TEAMS_SDP.replace(good, &all)));
    let of_teams = |why: &'static str| ("teams-contoso".to_owned(), why);
    assert_eq!(told(&shard), ["suite", "key", "syntax"].map(of_teams));
    // As many as anybody wants to read of one description.
    let many: Vec<String> = (10..60).map(|tag| format!("a=crypto:{tag} x")).collect();
    let all = format!("{}\n{good}", many.join("\n"));
    let mut shard = Shard::new();
    shard.teams_says(&with_body(head, &TEAMS_SDP.replace(good, &all)));
    assert!((1..=8).contains(&told(&shard).len()));
}

#[test]
fn ports_that_are_not_there_are_told_too() {
    let mut shard = Shard::new();
    shard.refuse_media = true;
    shard.carrier_says(&carrier_invite("ports", CARRIER_SDP));
    shard.next_response(100);
    assert_eq!(told(&shard), [("carrier-a".to_owned(), "ports_exhausted")]);
}

/// Two carriers for the calls of Teams, the first of them in a realm of its own that has no ports.
fn full_first(of_route: &str, keys: &str) -> Shard {
    let text = CONFIG.replace(
        "to = [{ trunk = \"carrier-a\" }]",
        &format!("to = [{{ trunk = \"full\" }}, {{ trunk = \"carrier-a\" }}]\n{of_route}"),
    );
    let text = text.replace("numbers = [", "emergency = [\"112\"]\nnumbers = [");
    let text = text
        + keys
        + r#"
[[realm]]
name = "narrow"
addresses = ["192.0.2.12"]
ports = "20000-29999"
[[listen]]
realm = "narrow"
transport = "udp"
port = 5060
[[trunk]]
name = "full"
tenant = "*"
realm = "narrow"
targets = ["198.51.100.70:5060;udp"]
[[route]]
name = "help"
match = { emergency = true }
to = [{ trunk = "full" }, { trunk = "carrier-a" }]
"#;
    let config = config_of(&text);
    let narrow = config
        .realms
        .values()
        .find(|realm| realm.name.as_str() == "narrow")
        .expect("a realm");
    let full = narrow.id;
    let mut shard = Shard::with(config);
    shard.full.push(full);
    shard
}

#[test]
fn where_one_realm_has_no_ports_trunks_in_others_are_called() {
    let mut shard = full_first("", "");
    shard.teams_says(&teams_invite("narrow"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), CARRIER);
    assert_eq!(told(&shard), [("full".to_owned(), "ports_exhausted")]);
    // What those say counts, and what was never asked for is not released.
    shard.carrier_says(&response(&invite.message, "486 Busy Here", "b", "", ""));
    shard.next_request(Method::Ack);
    shard.next_response(486);
    // Help is called there too: at once where nobody gives way, and when nobody is left who could.
    for (keys, patience) in [("[limits]\npreempt = false\n", 0), ("", 2)] {
        let mut shard = full_first("", keys);
        shard.teams_says(&teams_invite("help").replace("sip:+498999998001@", "sip:112@"));
        shard.next_response(100);
        shard.pass(Duration::from_secs(patience));
        let invite = shard.next_request(Method::Invite);
        assert_eq!(invite.hop.remote.to_string(), CARRIER);
    }
}

#[test]
fn of_several_who_are_called_at_once_those_with_ports_are_called() {
    let mut shard = full_first("ring = \"at_once\"", "");
    shard.teams_says(&teams_invite("both"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), CARRIER);
    assert!(shard.sent.is_empty());
}

#[test]
fn what_is_refused_within_a_call_is_told_and_the_call_goes_on() {
    let mut call = Call::new();
    let keyless = TEAMS_SDP.replace("a=crypto", "a=x-crypto");
    let contact = "Contact: <sip:203.0.113.1:443;x-i=1>\n";
    let offer = callee_request(&call.invite, "x1", "INVITE", 1, contact);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), &keyless);
    call.shard.teams_says(&offer);
    call.shard.next_response(100);
    call.shard.next_response(488);
    assert_eq!(
        told(&call.shard),
        [("teams-contoso".to_owned(), "no_usable_key")]
    );
    call.lives();
}

#[test]
fn an_answer_that_accepts_nothing_is_told() {
    let (mut shard, invite) = called_out("nothing");
    let none = TEAMS_SDP.replace("m=audio 50000", "m=audio 0");
    let none = match none == TEAMS_SDP {
        true => TEAMS_SDP.replace("a=crypto", "a=x-crypto"),
        false => none,
    };
    shard.teams_says(&response(
        &invite.message,
        "200 OK",
        "x1",
        TEAMS_CONTACT,
        &none,
    ));
    shard.next_request(Method::Ack);
    assert_eq!(told(&shard).len(), 1);
    assert!(told(&shard)[0].1 != MediaRefusal::from(Unusable::OutOfOrder).as_str());
}
