//! What Teams sends as it was observed, and what it must see of us: calls and transfers.

use crate::world;

use sbc_core::config::{Assumed, Source, load};
use sbc_core::id::{CommandId, FlowId};
use sbc_core::input::{Command, Input};
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::{CertificateFault, CertificateRefusal, FlowFault};
use std::time::Duration;
use world::call::*;
use world::*;

/// An INVITE of a user, as observed: an unquoted name of two words, an opaque Contact at port 443.
const INVITE: &str = "INVITE sip:+498999998001@sbc1.contoso.example:5061;user=phone;transport=tls SIP/2.0
FROM: John Doe<sip:+493023125456@sip.pstnhub.microsoft.com:5061;user=phone>;tag=0c1e2d3f
TO: <sip:+498999998001@sbc1.contoso.example:5061;user=phone>
CSEQ: 1 INVITE
CALL-ID: 9b0f5c2e7d5b5c0e8a1b2c3d4e5f6071
MAX-FORWARDS: 70
VIA: SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK58735f38
RECORD-ROUTE: <sip:203.0.113.1:5061;transport=tls;lr>
CONTACT: <sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=11111111-2222-3333-4444-555555555555;x-c=9b0f5c2e7d5b5c0e8a1b2c3d4e5f6071/d/8/0f1e2d3c>
MIN-SE: 300
SUPPORTED: timer
USER-AGENT: Microsoft.PSTNHub.SIPProxy v.2024.2.12.3 i.EUNO.7
ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY
SESSION-EXPIRES: 3600
";

/// The Contact of [`INVITE`], without its brackets.
const TEAMS_TARGET: &str = "sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=11111111-2222-3333-4444-555555555555;x-c=9b0f5c2e7d5b5c0e8a1b2c3d4e5f6071/d/8/0f1e2d3c";

/// A description of a media processor whose origin is no address of anybody.
fn processor_sdp() -> String {
    TEAMS_SDP.replace("o=- 7 1 IN IP4 203.0.113.9", "o=- 31847 0 IN IP4 127.0.0.1")
}

fn observed_invite() -> String {
    with_body(INVITE, &processor_sdp())
}

/// The same peer on another connection, from another address of its ranges.
pub(crate) fn other_machine() -> sbc_core::transport::Flow {
    sbc_core::transport::Flow {
        id: FlowId(91),
        remote: "203.0.113.88:50999".parse().expect("address"),
        ..teams_flow()
    }
}

/// A call of Teams that the carrier has answered: the shard, our 200, and our INVITE.
fn talking() -> (Shard, Message, Message) {
    let mut shard = Shard::new();
    shard.teams_says(&observed_invite());
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    assert!(shard.sent.is_empty());
    (shard, ok, invite)
}

const TLS_VIA: &str = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";

#[test]
fn an_invite_as_teams_writes_it_is_a_call_and_its_odd_contact_is_addressed_octet_by_octet() {
    let (mut shard, ok, invite) = talking();
    let from = header(&invite, HeaderName::From);
    assert!(
        from.starts_with("\"John Doe\" <sip:+493023125456@192.0.2.11>;tag="),
        "{from}"
    );
    // What every answer to Teams shows.
    assert_eq!(
        header(&ok, HeaderName::Contact),
        "<sip:+498999998001@sbc1.contoso.example:5061;transport=tls>"
    );
    let allow = header(&ok, HeaderName::Allow);
    assert!(
        allow.contains("NOTIFY") && allow.contains("REFER"),
        "{allow}"
    );
    assert!(ok.raw_named("X-MS-SBC").is_some());
    assert_eq!(header(&ok, HeaderName::Server), "Causeway");
    // Its own recorded route comes back, and nothing of ours is added.
    assert_eq!(
        header(&ok, HeaderName::RecordRoute),
        "<sip:203.0.113.1:5061;transport=tls;lr>"
    );
    // Teams shall refresh (TDR-TMR-002).
    assert_eq!(
        header(&ok, HeaderName::SessionExpires),
        "3600;refresher=uac"
    );
    assert_eq!(header(&ok, HeaderName::Require), "timer");
    let bye = callee_bye(&invite);
    shard.carrier_says(&bye);
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    assert_eq!(bye.message.request_uri(), TEAMS_TARGET);
    assert_eq!(
        header(&bye.message, HeaderName::Route),
        "<sip:203.0.113.1:5061;transport=tls;lr>"
    );
    assert_eq!(bye.hop.remote.to_string(), TEAMS, "never port 443");
}

/// The BYE of the carrier in the dialog of our INVITE.
fn callee_bye(invite: &Message) -> String {
    let from = header(invite, HeaderName::From);
    format!(
        "BYE sip:sbc@192.0.2.11:5060 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKbye
Max-Forwards: 70
From: <sip:+498999998001@198.51.100.20>;tag=b1
To: {from}
Call-ID: {}
CSeq: 1 BYE
Content-Length: 0

",
        header(invite, HeaderName::CallId)
    )
}

#[test]
fn a_recorded_route_with_a_name_is_resolved_by_ordinary_dns() {
    let named = observed_invite().replace(
        "RECORD-ROUTE: <sip:203.0.113.1:5061;",
        "RECORD-ROUTE: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061;",
    );
    let mut shard = Shard::new();
    shard.teams_says(&named);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    shard.carrier_says(&callee_bye(&invite));
    shard.next_response(200);
    let (id, query) = shard.queries.pop_front().expect("a question");
    let asked = format!("{query:?}");
    assert!(
        asked.contains("sip-du-a-eu.pstnhub.microsoft.com"),
        "{asked}"
    );
    let found = ["203.0.113.7:5061", "203.0.113.8:5061"];
    let found = found.map(|own| own.parse().expect("address")).to_vec();
    shard.apply(Input::Outcome(
        id,
        sbc_core::query::Outcome::Resolved(found),
    ));
    let bye = shard.next_request(Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), "203.0.113.7:5061");
    let tls = bye.hop.tls.clone().expect("TLS");
    // Not the host of the route: that of the service (TDR-TLS-011).
    assert!(
        tls.accept_names
            .contains(&"sip.pstnhub.microsoft.com".to_owned()),
        "{:?}",
        tls.accept_names
    );
    // Where no connection is made, its other address is tried (TDR-DNS-006).
    let fails = |shard: &mut Shard, sent: &Sent| {
        shard.apply(Input::SendFailed {
            transaction: sent.transaction.expect("a transaction"),
            why: FlowFault::Closed,
        });
    };
    let first = bye.message.raw(HeaderName::CSeq);
    fails(&mut shard, &bye);
    let second = shard.next_request(Method::Bye);
    assert_eq!(second.hop.remote.to_string(), "203.0.113.8:5061");
    assert_ne!(second.message.raw(HeaderName::CSeq), first);
    fails(&mut shard, &second);
    assert!(shard.sent.is_empty(), "no more are left");
    // So it is asked anew where there are some (SIP-126), after a pause of half a second and a little.
    shard.pass(Duration::from_millis(625));
    let (id, _) = shard.queries.pop_front().expect("a question");
    let found = vec!["203.0.113.9:5061".parse().expect("address")];
    let found = sbc_core::query::Outcome::Resolved(found);
    shard.apply(Input::Outcome(id, found));
    let third = shard.next_request(Method::Bye);
    assert_eq!(third.hop.remote.to_string(), "203.0.113.9:5061");
    shard.teams_says(&response(&third.message, "200 OK", "", "", ""));
    shard.settles();
}

#[test]
fn the_refresh_of_teams_gets_the_same_description_and_nothing_changes() {
    let (mut shard, ok, _) = talking();
    let media = shard.media.len();
    let refresh = in_dialog(&ok, "INVITE", 2, &format!("{TLS_VIA}refresh")).replace(
        "Content-Length: 0\n\n",
        "SUPPORTED: timer\nSESSION-EXPIRES: 3600;refresher=uac\nMIN-SE: 300\nCONTACT: <sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=2>\n",
    );
    shard.teams_says(&with_body(&refresh, &processor_sdp()));
    shard.next_response(100);
    let again = shard.next_response(200).message;
    assert_eq!(again.body(), ok.body(), "octet by octet");
    assert_eq!(
        header(&again, HeaderName::SessionExpires),
        "3600;refresher=uac"
    );
    assert!(shard.sent.is_empty(), "the carrier hears nothing of it");
    let told = &shard.media[media..];
    assert!(told.len() <= 1, "{told:?}");
}

#[test]
fn teams_may_not_ask_for_sessions_below_five_minutes() {
    let mut shard = Shard::new();
    let short = observed_invite()
        .replace("SESSION-EXPIRES: 3600", "SESSION-EXPIRES: 120")
        .replace("MIN-SE: 300\n", "");
    shard.teams_says(&short);
    shard.next_response(100);
    let refused = shard.next_response(422).message;
    assert_eq!(header(&refused, HeaderName::MinSe), "300");
}

/// What Teams writes into a transfer: strings that mean something to it alone.
const REFER_TO: &str = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:AAAAaaaa-bbbb-cccc-dddd-eeeeeeeeeeee;x-t=Tt%3D";

fn refer(target: &str, token: &str) -> String {
    format!(
        "REFER-TO: <{target}>\nREFERRED-BY: <sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:11111111-2222-3333-4444-555555555555;x-ti=0;x-tt={token}>\nCONTACT: <sip:api.example.com:443;x-i=1>\n"
    )
}

#[test]
fn a_refer_from_another_machine_of_teams_finds_its_call_and_its_long_strings_stay_whole() {
    let mut call = Call::new();
    let token = format!("aHR0cHM6Ly9B{}%3D", "xY0/+z".repeat(550));
    let lines = refer(REFER_TO, &token);
    let request = callee_request(&call.invite, "x1", "REFER", 1, &lines);
    call.shard.receive(other_machine(), &request);
    let accepted = call.shard.next_response(202);
    assert_eq!(accepted.hop.flow, Some(FlowId(91)));
    call.shard.next_request(Method::Notify);
    let sent = call.shard.next_request(Method::Invite);
    let invite = sent.message;
    assert_eq!(invite.request_uri(), REFER_TO);
    let referred_by = header(&invite, HeaderName::ReferredBy);
    assert!(referred_by.len() > 3_300, "{}", referred_by.len());
    assert!(lines.contains(&format!("REFERRED-BY: {referred_by}\n")));
    let raw = String::from_utf8_lossy(invite.bytes()).into_owned();
    assert!(
        !raw.contains("\r\n ") && !raw.contains("\r\n\t"),
        "no folding"
    );
    assert_eq!(sent.hop.remote.to_string(), TEAMS);
}

#[test]
fn a_transfer_to_a_number_goes_back_to_teams_and_never_to_a_carrier() {
    let mut call = Call::new();
    let target =
        "sip:+498999998777@sip.pstnhub.microsoft.com:5061;transport=tls;x-m=4:+498999998777";
    call.teams_says("REFER", 1, &refer(target, "a"));
    call.shard.next_response(202);
    call.shard.next_request(Method::Notify);
    let sent = call.shard.next_request(Method::Invite);
    assert_eq!(sent.message.request_uri(), target);
    assert_eq!(sent.hop.remote.to_string(), TEAMS);
    // What follows is an ordinary call of Teams, with three legs of this caller's up at once.
    let follow = observed_invite().replace("+498999998001", "+498999998777");
    call.shard.teams_says(&follow);
    call.shard.next_response(100);
    let onward = call.shard.next_request(Method::Invite);
    assert_eq!(onward.hop.remote.to_string(), CARRIER);
    assert!(
        onward
            .message
            .request_uri()
            .starts_with(b"sip:+498999998777@")
    );
}

#[test]
fn what_a_target_of_teams_asks_to_replace_is_not_told_to_teams() {
    let mut call = Call::new();
    let target = format!("{REFER_TO}?Replaces=abc%3Bto-tag%3D1%3Bfrom-tag%3D2");
    call.teams_says("REFER", 1, &refer(&target, "a"));
    call.shard.next_response(202);
    call.shard.next_request(Method::Notify);
    let invite = call.shard.next_request(Method::Invite).message;
    assert_eq!(invite.request_uri(), REFER_TO);
    assert!(!invite.has(HeaderName::Replaces));
}

#[test]
fn a_call_that_teams_began_is_transferred_in_the_name_of_who_was_called() {
    let (mut shard, ok, _) = talking();
    let request = in_dialog(&ok, "REFER", 2, &format!("{TLS_VIA}refer"));
    let lines = refer(REFER_TO, "a");
    shard.teams_says(&request.replace(
        "Content-Length: 0\n",
        &format!("{lines}Content-Length: 0\n"),
    ));
    shard.next_response(202);
    shard.next_request(Method::Notify);
    let invite = shard.next_request(Method::Invite).message;
    let from = header(&invite, HeaderName::From);
    assert!(
        from.contains("<sip:+498999998001@sbc1.contoso.example;user=phone>"),
        "{from}"
    );
    assert_eq!(
        header(&invite, HeaderName::Contact),
        "<sip:+498999998001@sbc1.contoso.example:5061;transport=tls>"
    );
    assert_eq!(header(&invite, HeaderName::To), format!("<{REFER_TO}>"));
}

#[test]
fn a_teams_that_never_leaves_after_its_transfer_is_sent_away_after_32_seconds() {
    let mut call = Call::new();
    call.teams_says("REFER", 1, &refer(REFER_TO, "a"));
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    call.shard
        .teams_says(&response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP));
    call.shard.next_request(Method::Ack);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    call.shard.pass(Duration::from_secs(31));
    assert!(call.shard.sent.is_empty(), "it is waited for");
    call.shard.pass(Duration::from_secs(2));
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&call.invite, HeaderName::CallId)
    );
}

#[test]
fn the_target_of_a_transfer_is_called_once_unless_nobody_got_the_call() {
    let transfers = || {
        let mut call = Call::new();
        call.teams_says("REFER", 1, &refer(REFER_TO, "a"));
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        call.shard
            .teams_says(&response(&notify, "200 OK", "", "", ""));
        let invite = call.shard.next_request(Method::Invite);
        (call, invite)
    };
    let told = |call: &mut Call| body(&call.shard.next_request(Method::Notify).message);
    let (mut call, invite) = transfers();
    let busy = response(&invite.message, "503 Busy", "z", "", "");
    call.shard.teams_says(&busy);
    call.shard.next_request(Method::Ack);
    assert_eq!(told(&mut call), "SIP/2.0 503 Service Unavailable\r\n");
    assert!(call.shard.sent.is_empty(), "no other data centre");

    let (mut call, _) = transfers();
    call.shard.pass(Duration::from_secs(5));
    assert_eq!(told(&mut call), "SIP/2.0 408 Request Timeout\r\n");
    assert!(call.shard.sent.is_empty());

    let (mut call, invite) = transfers();
    call.shard.apply(Input::SendFailed {
        transaction: invite.transaction.expect("one"),
        why: sbc_core::transport::FlowFault::ConnectTimeout,
    });
    let next = call.shard.next_request(Method::Invite);
    assert_eq!(next.hop.remote.to_string(), "203.0.113.2:5061");
    assert_eq!(next.message.request_uri(), REFER_TO);
}

#[test]
fn whatever_a_target_refuses_with_teams_is_told_once_and_has_its_call_back() {
    let refer_it = |call: &mut Call| {
        call.teams_says("REFER", 1, &refer(REFER_TO, "a"));
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        let ok = response(&notify, "200 OK", "", "", "");
        call.shard.teams_says(&ok);
        call.shard.next_request(Method::Invite)
    };
    let told = |call: &mut Call| {
        let notify = call.shard.next_request(Method::Notify).message;
        let state = header(&notify, HeaderName::SubscriptionState);
        assert_eq!(state, "terminated;reason=noresource");
        let ok = response(&notify, "200 OK", "", "", "");
        call.shard.teams_says(&ok);
        let text = body(&notify);
        text.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for (status, lines) in [
        (
            "302 Moved Temporarily",
            "Contact: <sip:x@sip.example.com>\n",
        ),
        ("400 Bad Request", ""),
        (
            "401 Unauthorized",
            "WWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\n",
        ),
        ("403 Forbidden", ""),
        ("404 Not Found", "X-MS: 10202\n"),
        ("408 Request Timeout", ""),
        ("480 Temporarily Unavailable", ""),
        ("486 Busy Here", ""),
        ("488 Not Acceptable Here", ""),
        ("500 Server Internal Error", ""),
        ("503 Service Unavailable", "Retry-After: 1\n"),
        ("504 Server Time-out", ""),
        ("600 Busy Everywhere", ""),
        ("603 Decline", ""),
    ] {
        let mut call = Call::new();
        let invite = refer_it(&mut call);
        let answer = response(&invite.message, status, "z", lines, "");
        call.shard.teams_says(&answer);
        call.shard.next_request(Method::Ack);
        assert_eq!(told(&mut call), status[..3], "{status}");
        call.shard.pass(Duration::from_secs(20));
        assert!(
            call.shard.sent.is_empty(),
            "nobody else is called: {status}"
        );
        call.lives();
    }
    // No data centre is reached: each is tried once, and then it is told.
    let mut call = Call::new();
    let mut invite = refer_it(&mut call);
    for tried in 1.. {
        call.shard.apply(Input::SendFailed {
            transaction: invite.transaction.expect("one"),
            why: sbc_core::transport::FlowFault::TlsCertificate(CertificateRefusal {
                fault: CertificateFault::Expired,
                text: "expired".to_owned(),
            }),
        });
        let next = call.shard.sent.front().expect("something").message.clone();
        if *next.method() == Method::Notify {
            assert_eq!(tried, 2, "both of the configuration");
            break;
        }
        invite = call.shard.next_request(Method::Invite);
    }
    assert_eq!(told(&mut call), "503");
    call.lives();
}

#[test]
fn a_replacing_invite_may_come_from_another_machine_of_teams() {
    let mut call = Call::new();
    let tag = header(&call.invite, HeaderName::From);
    let tag = tag.split(";tag=").nth(1).expect("a tag");
    let lines = format!(
        "REPLACES: {};to-tag={tag};from-tag=x1\n",
        header(&call.invite, HeaderName::CallId)
    );
    let invite = with_body(&format!("{INVITE}{lines}"), &processor_sdp());
    call.shard.receive(other_machine(), &invite);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200);
    assert_eq!(ok.hop.flow, Some(FlowId(91)));
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&call.invite, HeaderName::CallId)
    );
}

#[test]
fn the_connection_that_brought_503_with_a_pause_is_used_no_more() {
    for (lines, is_over) in [("RETRY-AFTER: 1\n", true), ("", false)] {
        let (mut shard, invite) = called_out("elsewhere");
        let answer = response(&invite.message, "503 Service Unavailable", "x", lines, "");
        let flow = sbc_core::transport::Flow {
            id: FlowId(55),
            ..teams_flow()
        };
        shard.receive(flow, &answer);
        assert_eq!(
            shard.retired,
            if is_over { vec![FlowId(55)] } else { vec![] }
        );
        shard.next_request(Method::Ack);
        let next = shard.next_request(Method::Invite);
        assert_eq!(next.hop.remote.to_string(), "203.0.113.2:5061");
    }
    // A carrier's connections are its own business.
    let (mut shard, invite) = called_in(CONFIG, "busy");
    let busy = response(&invite.message, "503 Busy", "b", "Retry-After: 1\n", "");
    shard.carrier_says(&busy);
    assert!(shard.retired.is_empty());
}

const GUID: &str = "0b2f3c4d-1111-2222-3333-444455556666";

#[test]
fn the_guid_of_a_bye_is_in_the_record_and_stays_there() {
    let mut call = Call::new();
    let reason = format!("REASON: Q.850;cause=16;text=\"{GUID};CallEndSubReason 531005\"\n");
    call.teams_says("BYE", 1, &reason);
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye);
    assert!(!text(&bye).contains(GUID), "{}", text(&bye));
    call.shard
        .carrier_says(&response(&bye.message, "200 OK", "", "", ""));
    let record = &call.shard.records[0];
    let said = format!("{GUID};CallEndSubReason 531005");
    assert_eq!(record.end_reason.as_deref(), Some(said.as_str()));
    let because = record.cause.because.0.last().expect("a fact");
    assert_eq!(because, "Microsoft 531005: the way of the media broke");
    let told = sbc_core::report::explain(record);
    assert!(told.change[0].contains("firewall"), "{told}");
}

/// TDG-CDR-004: by this name Microsoft's reports are found.
#[test]
fn what_teams_calls_a_call_in_its_contact_is_in_the_record() {
    let (mut shard, _, invite) = talking();
    shard.carrier_says(&callee_bye(&invite));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = &shard.records[0];
    let name = "11111111-2222-3333-4444-555555555555";
    assert_eq!(record.ingress.teams_call.as_deref(), Some(name));
    assert_eq!(
        record.egress[0].teams_call, None,
        "the carrier is not Teams"
    );

    // The first name counts, and what is no GUID is none.
    let contact = |name: &str| format!("CONTACT: <sip:api.example.com:443;x-i={name}>\n");
    let (mut shard, invite) = called_out("named");
    for (status, name) in [
        ("180 Ringing", "1"),
        ("183 Session Progress", GUID),
        ("404 Not Found", name),
    ] {
        shard.teams_says(&response(&invite.message, status, "x1", &contact(name), ""));
    }
    shard.pass(Duration::from_secs(40));
    let record = &shard.records[0];
    assert_eq!(record.egress[0].teams_call.as_deref(), Some(GUID));
    assert_eq!(record.ingress.teams_call, None);
}

#[test]
fn what_teams_means_by_a_refusal_is_told_in_words() {
    for (status, phrase, means, look_at) in [
        (
            "403 Forbidden",
            "No trunk config was found",
            "Microsoft 510532: no trunk of a tenant has the name in our Contact",
            "compare fqdn",
        ),
        (
            "404 Not Found",
            "Number is not assigned (511404)",
            "Microsoft 511404: nobody in the tenant has the number",
            "assigned",
        ),
    ] {
        let (mut shard, invite) = called_out("refused");
        let reason = format!("REASON: Q.850;cause=21;text=\"{GUID};{phrase}\"\n");
        shard.teams_says(&response(&invite.message, status, "x1", &reason, ""));
        shard.pass(Duration::from_secs(40));
        let record = &shard.records[0];
        let because = record.cause.because.0.last().expect("a fact");
        assert_eq!(because, means);
        let told = sbc_core::report::explain(record);
        assert!(told.change[0].contains(look_at), "{told}");
    }
}

#[test]
fn a_trunk_that_refuses_transfers_still_lists_notify() {
    let config = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nrefer = \"refuse\"",
    );
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("referee", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(
        header(&invite, HeaderName::Allow),
        "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY"
    );
}

#[test]
fn names_towards_teams_stand_in_quotation_marks() {
    let mut shard = Shard::new();
    let invite = carrier_invite("named", CARRIER_SDP).replace("\"Ada\"", "Ada Lovelace");
    shard.carrier_says(&invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let from = header(&invite, HeaderName::From);
    assert!(
        from.starts_with(
            "\"Ada Lovelace\" <sip:+498999998001@sbc1.contoso.example;user=phone>;tag="
        ),
        "{from}"
    );
}

#[test]
fn a_name_of_two_hundred_characters_does_not_harm_a_call_of_teams() {
    let long = format!("FROM: {}<sip:", "N".repeat(200));
    let mut shard = Shard::new();
    shard.teams_says(&observed_invite().replace("FROM: John Doe<sip:", &long));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let from = header(&invite, HeaderName::From);
    assert!(
        from.contains("NNNNNNNN") && from.contains("+493023125456"),
        "{from}"
    );
}

#[test]
fn a_node_that_fades_takes_calls_of_teams_until_it_looks_elsewhere_and_none_of_others() {
    let mut shard = Shard::new();
    shard.apply(Input::Command(CommandId(1), Command::Fade));
    shard.carrier_says(&carrier_invite("carrier", CARRIER_SDP));
    shard.next_response(503);
    shard.sent.clear();
    // Its last OPTIONS may have left just before, and count for five minutes.
    shard.pass(Duration::from_secs(305));
    shard.sent.clear();
    shard.teams_says(&teams_invite("soon"));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    shard.pass(Duration::from_secs(26));
    shard.sent.clear();
    shard.teams_says(&teams_invite("late"));
    shard.next_response(503);
    shard.sent.clear();
    // To say it again changes nothing, unless calls were taken again meanwhile.
    shard.apply(Input::Command(CommandId(2), Command::Fade));
    shard.teams_says(&teams_invite("later"));
    shard.next_response(503);
    shard.sent.clear();
    shard.apply(Input::Command(CommandId(3), Command::Drain(false)));
    shard.apply(Input::Command(CommandId(4), Command::Fade));
    shard.teams_says(&teams_invite("again"));
    shard.next_response(100);
    // Who is never asked cannot notice.
    let silent = CONFIG.replace("preset = \"teams\"", "preset = \"teams\"\noptions = false");
    let mut shard = Shard::with(config_of(&silent));
    shard.apply(Input::Command(CommandId(1), Command::Fade));
    shard.teams_says(&teams_invite("soon"));
    shard.next_response(503);
}

/// TDR-OPT-006, TDR-CON-008.
#[test]
fn what_microsoft_would_refuse_of_a_trunk_is_refused_here_first() {
    let preset = "preset = \"teams\"";
    let name = "fqdn = \"sbc1.contoso.example\"";
    let often = |seconds: u32| {
        let pace = format!("{preset}\noptions = {{ interval = \"{seconds}s\" }}");
        CONFIG.replace(preset, &pace)
    };
    let named = |own: &str| CONFIG.replace(name, &format!("fqdn = \"{own}\""));
    let (long, longer) = (
        format!("{}.example", "a".repeat(55)),
        format!("{}.example", "a".repeat(56)),
    );
    let tenant = "contoso.onmicrosoft.com";
    let facts = Assumed::with_names(["sbc1.contoso.example", &long, &longer, tenant]);
    let is_taken = |text: String| load(&[Source::new("test.toml", &*text)], &facts, None).is_ok();
    assert!(is_taken(often(60)) && is_taken(often(180)));
    assert!(!is_taken(often(59)) && !is_taken(often(181)));
    assert!(is_taken(named(&long)), "63 characters");
    assert!(!is_taken(named(&longer)) && !is_taken(named(tenant)));
}

/// Communication Services forwards with a cause in the Request-URI, always tells the history and always has a timer
/// (TDR-ACS-001).
#[test]
fn a_call_of_communication_services_is_one_of_teams() {
    let config = CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        "codecs = [\"PCMA\", \"PCMU\"]\nidentity = { diversion = \"diversion\" }\n",
    );
    let mut shard = Shard::with(config_of(&config));
    let history = "HISTORY-INFO: <sip:+493023125111@sip.pstnhub.microsoft.com:5061;user=phone?Reason=SIP%3B\
                   cause%3D302%3Btext%3D%22Moved%20Temporarily%22>;index=1,\
                   <sip:+498999998001@sip.pstnhub.microsoft.com:5061;user=phone>;index=1.1\n";
    let invite = teams_invite("acs")
        .replace(";transport=tls SIP/2.0", ";transport=tls;cause=302 SIP/2.0")
        .replace(
            "MAX-FORWARDS",
            &format!("{history}SUPPORTED: timer\nSESSION-EXPIRES: 3600;refresher=uac\nMIN-SE: 300\nMAX-FORWARDS"),
        );
    shard.teams_says(&invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let target = String::from_utf8_lossy(invite.bytes()).into_owned();
    let target = target.lines().next().expect("a start line").to_owned();
    assert!(
        target.starts_with("INVITE sip:+498999998001@198.51.100.20"),
        "{target}"
    );
    let diversion = header(&invite, HeaderName::Diversion);
    assert!(diversion.contains("+493023125111@"), "{diversion}");
    assert!(diversion.contains("reason=unconditional"), "{diversion}");
    let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let timer = header(&ok, HeaderName::SessionExpires);
    assert!(
        timer.starts_with("3600") || timer.starts_with("1800"),
        "{timer}"
    );
    assert!(timer.ends_with("refresher=uac"), "{timer}");
}

#[test]
fn a_call_that_communication_services_forwards_goes_on() {
    let (mut shard, invite) = called_out("acs");
    let invite = invite.message;
    shard.teams_says(&response(
        &invite,
        "181 Call Is Being Forwarded",
        "x1",
        TEAMS_CONTACT,
        "",
    ));
    shard.next_response(181);
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    shard.next_response(200);
}
