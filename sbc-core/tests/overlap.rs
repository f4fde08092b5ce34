//! Overlap dialling, by hand: INVITEs with growing numbers replace each other where a trunk says so
//! (SIP-580).

use crate::world;

use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::sip::{HeaderName, Method};
use world::call::*;
use world::two::two_carriers;
use world::*;

/// An INVITE of the carrier with so many digits of the number.
pub(crate) fn dialled(digits: &str, cseq: u32) -> String {
    carrier_invite("overlap", CARRIER_SDP)
        .replace("+493023125456", digits)
        .replace("10 INVITE", &format!("{cseq} INVITE"))
        .replace("z9hG4bKoverlap", &format!("z9hG4bKoverlap{cseq}"))
}

fn acked(shard: &mut Shard, digits: &str, cseq: u32) {
    let text = dialled(digits, cseq);
    let head = text.split("Content-Type").next().expect("a head");
    let ack = format!("{head}Content-Length: 0\n\n")
        .replace("INVITE sip", "ACK sip")
        .replace(&format!("{cseq} INVITE"), &format!("{cseq} ACK"));
    shard.carrier_says(&ack);
}

fn to_b(request: &sbc_core::sip::Message) -> String {
    String::from_utf8_lossy(&request.request_uri()).into_owned()
}

fn from_b(shard: &mut Shard, text: &str) {
    let mut flow = carrier_flow();
    flow.remote = "198.51.100.40:5060".parse().expect("address");
    shard.receive(flow, text);
}

/// Calls of the carrier to anybody go to b.
pub(crate) fn config(keys: &str) -> String {
    let text = two_carriers(keys, "");
    let text = text.replace("called_in = \"tenant:contoso\", ", "");
    text.replacen("tenant = \"*\"", "tenant = \"contoso\"", 1)
}

#[test]
fn an_invite_with_more_digits_replaces_the_one_before() {
    let mut shard = Shard::with(config_of(&config("overlap = true")));
    shard.carrier_says(&dialled("+498912345", 10));
    shard.next_response(100);
    let first = shard.next_request(Method::Invite).message;
    assert!(to_b(&first).contains("+498912345@"));
    from_b(&mut shard, &response(&first, "100 Trying", "", "", ""));
    shard.carrier_says(&dialled("+4989123456", 11));
    // The older attempt ends on both sides, and the newer one begins.
    let refused = shard.next_response(484).message;
    assert_eq!(header(&refused, HeaderName::CSeq), "10 INVITE");
    acked(&mut shard, "+498912345", 10);
    let cancel = shard.next_request(Method::Cancel).message;
    assert!(to_b(&cancel).contains("+498912345@"));
    let trying = shard.next_response(100).message;
    assert_eq!(header(&trying, HeaderName::CSeq), "11 INVITE");
    let second = shard.next_request(Method::Invite).message;
    assert!(to_b(&second).contains("+4989123456@"));
    from_b(&mut shard, &response(&cancel, "200 OK", "", "", ""));
    let gone = response(&first, "487 Request Terminated", "b1", "", "");
    from_b(&mut shard, &gone);
    shard.next_request(Method::Ack);
    let record = &shard.records[0];
    assert_eq!(
        (record.cause.code, record.cause.by, record.cause.status),
        (CauseCode::CallerCancelled, EndedBy::A, Some(484))
    );
    // It still is not all: what b says of that reaches the caller.
    let short = response(&second, "484 Address Incomplete", "b2", "", "");
    from_b(&mut shard, &short);
    shard.next_request(Method::Ack);
    shard.next_response(484);
    acked(&mut shard, "+4989123456", 11);
    shard.settles();
}

/// A call that two trunks may carry, of which the first finds its number too short.
fn too_short(keys: &str) -> (Shard, sbc_core::sip::Message) {
    let text = config(keys);
    let text = text.replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&dialled("+498912345", 10));
    shard.next_response(100);
    let first = shard.next_request(Method::Invite).message;
    let reason = "Reason: Q.850;cause=28\n";
    let short = response(&first, "484 Address Incomplete", "b1", reason, "");
    from_b(&mut shard, &short);
    shard.next_request(Method::Ack);
    (shard, first)
}

#[test]
fn a_caller_that_dials_while_it_calls_is_asked_for_more_at_once() {
    let (mut shard, _) = too_short("overlap = true");
    let refused = shard.next_response(484).message;
    assert_eq!(header(&refused, HeaderName::CSeq), "10 INVITE");
    assert!(shard.sent.is_empty(), "no other way is tried");
    acked(&mut shard, "+498912345", 10);
    // It goes on, in the same call as it sees it (RFC 3578 §3.1).
    shard.carrier_says(&dialled("+4989123456", 11));
    shard.next_response(100);
    let second = shard.next_request(Method::Invite).message;
    assert!(to_b(&second).contains("+4989123456@"));
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    let ok = response(&second, "200 OK", "b2", contact, CARRIER_SDP);
    from_b(&mut shard, &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(header(&ok, HeaderName::CSeq), "11 INVITE");
}

#[test]
fn for_a_caller_that_has_dialled_everything_the_next_way_is_tried() {
    // What the last one says counts as much; where nothing better comes the status stays.
    let said = [("404 Not Found", 404), ("503 Service Unavailable", 484)];
    for (status, told) in said {
        let (mut shard, _) = too_short("");
        let second = shard.next_request(Method::Invite);
        assert_eq!(second.hop.remote.to_string(), TEAMS);
        assert!(to_b(&second.message).contains("+498912345@"));
        let refused = response(&second.message, status, "x1", "", "");
        shard.teams_says(&refused);
        shard.next_request(Method::Ack);
        if told == 484 {
            // The other server of the same peer.
            let again = shard.next_request(Method::Invite).message;
            shard.teams_says(&response(&again, status, "x2", "", ""));
            shard.next_request(Method::Ack);
        }
        let told = shard.next_response(told).message;
        assert_eq!(header(&told, HeaderName::CSeq), "10 INVITE");
    }
}

#[test]
fn without_the_setting_and_for_other_callers_nothing_is_replaced() {
    for (keys, tag) in [("", "c1"), ("overlap = true", "c2")] {
        let mut shard = Shard::with(config_of(&config(keys)));
        shard.carrier_says(&dialled("+498912345", 10));
        shard.next_response(100);
        shard.next_request(Method::Invite);
        let more = dialled("+4989123456", 11).replace("tag=c1", &format!("tag={tag}"));
        shard.carrier_says(&more);
        shard.next_response(100);
        shard.next_request(Method::Invite);
        assert!(shard.sent.is_empty() && shard.records.is_empty());
    }
}

#[test]
fn an_answered_call_is_not_replaced() {
    let mut shard = Shard::with(config_of(&config("overlap = true")));
    shard.carrier_says(&dialled("+498912345", 10));
    shard.next_response(100);
    let first = shard.next_request(Method::Invite).message;
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    let ok = response(&first, "200 OK", "b1", contact, CARRIER_SDP);
    from_b(&mut shard, &ok);
    shard.next_request(Method::Ack);
    shard.next_response(200);
    shard.carrier_says(&dialled("+4989123456", 11));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    assert!(shard.records.is_empty());
}

#[test]
fn what_was_dialled_before_takes_no_place_of_the_longer_number() {
    let text = config("overlap = true").replacen(
        "name = \"contoso\"",
        "name = \"contoso\"\nlimits = { calls = 1 }",
        1,
    );
    let text = text.replacen(
        "name = \"b\"\n",
        "name = \"b\"\nlimits = { calls = 1 }\n",
        1,
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&dialled("+498912345", 10));
    shard.next_response(100);
    let first = shard.next_request(Method::Invite).message;
    from_b(&mut shard, &response(&first, "100 Trying", "", "", ""));
    shard.carrier_says(&dialled("+4989123456", 11));
    shard.next_response(484);
    let cancel = shard.next_request(Method::Cancel).message;
    shard.next_response(100);
    // Nothing is heard yet of the end of the first one.
    let second = shard.next_request(Method::Invite).message;
    acked(&mut shard, "+498912345", 10);
    from_b(&mut shard, &response(&cancel, "200 OK", "", "", ""));
    let gone = response(&first, "487 Request Terminated", "b1", "", "");
    from_b(&mut shard, &gone);
    shard.next_request(Method::Ack);
    // The place is that of the second one, and taken.
    shard.carrier_says(&carrier_invite("other", CARRIER_SDP));
    shard.next_response(100);
    shard.next_response(503);
    let short = response(&second, "484 Address Incomplete", "b2", "", "");
    from_b(&mut shard, &short);
    shard.next_request(Method::Ack);
    shard.next_response(484);
    acked(&mut shard, "+4989123456", 11);
    shard.settles();
}
