//! Who forwarded a call, as it is told to Teams and by Teams (TDR-FWD-001 to 004).

use crate::world;

use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{Call, header};
use world::*;

const DIVERSION: &str = "Diversion: <sip:+4989111222@198.51.100.20>;reason=user-busy;counter=1\n";

/// All values of a header, joined.
fn all(message: &Message, name: HeaderName) -> String {
    let lines = message.headers().filter(|line| line.name() == name);
    let values = lines.map(|line| String::from_utf8_lossy(&line.value()).into_owned());
    values.collect::<Vec<_>>().join(", ")
}

/// The carrier's INVITE with the diversion.
fn forwarded(call_id: &str) -> String {
    carrier_invite(call_id, CARRIER_SDP).replacen("From: ", &format!("{DIVERSION}From: "), 1)
}

#[test]
fn a_diversion_of_the_carrier_is_history_info_for_teams() {
    let mut shard = Shard::new();
    shard.carrier_says(&forwarded("forwarded"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let history = all(&invite, HeaderName::HistoryInfo);
    assert!(history.contains("+4989111222"), "{history}");
    assert!(history.contains("cause=486"), "{history}");
    assert!(!invite.has(HeaderName::Diversion));
}

#[test]
fn who_is_called_by_a_transfer_hears_nothing_of_what_forwarded_the_call_before() {
    let mut shard = Shard::new();
    shard.carrier_says(&forwarded("call"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(
        &ok,
        "ACK",
        10,
        "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKack",
    ));
    let mut call = Call {
        shard,
        invite,
        ok,
        cseq: 10,
    };
    let target = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0000aaaa";
    let lines = format!(
        "REFER-TO: <{target}>\nREFERRED-BY: <sip:sip.pstnhub.microsoft.com:5061;x-t=1>\n\
         CONTACT: <sip:api.example.com:443;x-i=1>\n"
    );
    call.teams_says("REFER", 1, &lines);
    call.shard.next_response(202);
    call.shard.next_request(Method::Notify);
    let invite = call.shard.next_request(Method::Invite).message;
    assert!(header(&invite, HeaderName::ReferredBy).contains("x-t=1"));
    for name in [HeaderName::Diversion, HeaderName::HistoryInfo] {
        assert!(!invite.has(name.clone()), "{}", all(&invite, name));
    }
    call.shard.pass(Duration::from_millis(1));
}

#[test]
fn the_last_entry_of_teams_forwards_whether_or_not_it_says_why() {
    let asserts = CONFIG.replace(
        "name = \"carrier-a\"\n",
        "name = \"carrier-a\"\nidentity = { diversion = \"diversion\", asserted = \"diverting\" }\n",
    );
    assert_ne!(asserts, CONFIG);
    let user = "<sip:+493023125777@sip.pstnhub.microsoft.com;user=phone";
    let called = "<sip:+498999998001@sip.pstnhub.microsoft.com;user=phone>;index=1.1";
    for (history, is_told) in [
        (format!("{user}?Reason=SIP%3Bcause%3D302>;index=1"), true),
        (format!("{user}>;index=1"), true),
        (format!("{user}?Reason=SIP>;index=1"), true),
        // Who is called forwards nothing.
        (called.to_owned(), false),
    ] {
        let mut shard = Shard::with(config_of(&asserts));
        let line = format!("HISTORY-INFO: {history}\nCONTACT: ");
        shard.teams_says(&teams_invite("call").replacen("CONTACT: ", &line, 1));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        for name in [HeaderName::Diversion, HeaderName::PAssertedIdentity] {
            let told = all(&invite, name);
            assert_eq!(told.contains("+493023125777"), is_told, "{history}: {told}");
        }
    }
}
