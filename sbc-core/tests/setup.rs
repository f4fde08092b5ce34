//! Calls from INVITE to BYE, by hand, message by message.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::record::Disposition;
use sbc_core::sip::{HeaderName, Method};
use world::*;

#[test]
fn a_carrier_call_reaches_teams_and_ends_from_the_carrier() {
    let (mut shard, invite) = called_out("call1");
    let written = text(&invite);
    assert_eq!(invite.hop.remote.to_string(), TEAMS);
    assert!(written.starts_with("INVITE sip:+493023125456@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0\r\n") , "{written}");
    assert!(written.contains("RTP/SAVP"), "{written}");
    assert!(
        !written.contains("198.51.100"),
        "nothing of the carrier shows: {written}"
    );
    assert!(
        !written.contains("192.0.2.11"),
        "nothing of the carrier realm shows: {written}"
    );
    assert!(written.contains("Max-Forwards: 68\r\n"), "{written}");
    assert!(
        written.contains("@sbc1.contoso.example:5061;transport=tls"),
        "{written}"
    );

    shard.teams_says(&response(
        &invite.message,
        "180 Ringing",
        "x1",
        TEAMS_CONTACT,
        "",
    ));
    let ringing = shard.next_response(180);
    assert_eq!(ringing.hop.remote.to_string(), CARRIER);
    shard.teams_says(&response(
        &invite.message,
        "200 OK",
        "x1",
        TEAMS_CONTACT,
        TEAMS_SDP,
    ));
    let ack = shard.next_request(Method::Ack);
    assert!(text(&ack).contains("Route: <sip:203.0.113.1:5061;transport=tls;lr>\r\n"));
    assert_eq!(ack.hop.remote.to_string(), TEAMS);
    let ok = shard.next_response(200);
    assert!(text(&ok).contains("RTP/AVP"), "{}", text(&ok));
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKa;rport";
    shard.carrier_says(&in_dialog(&ok.message, "ACK", 10, via));
    assert!(shard.sent.is_empty());

    shard.carrier_says(&in_dialog(
        &ok.message,
        "BYE",
        11,
        &via.replace("bKa", "bKb"),
    ));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    shard.teams_says(&response(&bye.message, "200 OK", "", "", ""));
    assert_eq!(shard.records.len(), 1);
    let record = &shard.records[0];
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.cause.code, CauseCode::NormalClearing);
    shard.settles();
}

#[test]
fn a_teams_call_reaches_the_carrier_with_early_media_and_ends_from_the_carrier() {
    let (mut shard, invite) = called_in(CONFIG, "call2");
    assert!(text(&invite).contains("RTP/AVP"), "{}", text(&invite));
    assert!(!text(&invite).contains("microsoft"), "{}", text(&invite));
    shard.carrier_says(&response(
        &invite.message,
        "183 Session Progress",
        "b1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    ));
    let early = shard.next_response(183);
    assert!(
        text(&early).contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80"),
        "{}",
        text(&early)
    );
    shard.carrier_says(&response(
        &invite.message,
        "200 OK",
        "b1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    ));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200);
    assert_eq!(ok.message.body(), early.message.body(), "SIP-312");
    shard.teams_says(&in_dialog(
        &ok.message,
        "ACK",
        1,
        "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack",
    ));
    let from =
        String::from_utf8_lossy(&invite.message.raw(HeaderName::From).expect("From")).into_owned();
    let bye = format!(
        "BYE sip:sbc@192.0.2.11:5060 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKbye
Max-Forwards: 70
From: <sip:+498999998001@198.51.100.20>;tag=b1
To: {from}
Call-ID: {}
CSeq: 1 BYE
Content-Length: 0

",
        String::from_utf8_lossy(&invite.message.raw(HeaderName::CallId).expect("Call-ID"))
    );
    shard.carrier_says(&bye);
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    assert_eq!(
        bye.hop.remote.to_string(),
        TEAMS,
        "BYE follows the route set, not port 443"
    );
    shard.teams_says(&response(&bye.message, "200 OK", "", "", ""));
    assert_eq!(shard.records.len(), 1);
    shard.settles();
}

#[test]
fn a_busy_carrier_is_told_to_teams_and_acknowledged() {
    let (mut shard, invite) = called_in(CONFIG, "call3");
    shard.carrier_says(&response(&invite.message, "486 Busy Here", "b1", "", ""));
    shard.next_request(Method::Ack);
    shard.next_response(486);
    assert_eq!(shard.records.len(), 1);
    assert_eq!(shard.records[0].disposition, Disposition::Busy);
    shard.settles();
}

/// A call of the carrier that rang at Teams and was then given up.
fn rung_and_cancelled(call_id: &str) -> (Shard, Sent) {
    let (mut shard, invite) = called_out(call_id);
    let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    shard.next_response(180);
    shard.carrier_says(&carrier_cancel(call_id));
    (shard, invite)
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let (mut shard, invite) = rung_and_cancelled("call4");
    assert_eq!(*shard.next_response(200).message.method(), Method::Cancel);
    shard.next_response(487);
    let cancel = shard.next_request(Method::Cancel);
    shard.teams_says(&response(&cancel.message, "200 OK", "x1", "", ""));
    shard.teams_says(&response(
        &invite.message,
        "487 Request Terminated",
        "x1",
        "",
        "",
    ));
    shard.next_request(Method::Ack);
    assert_eq!(shard.records.len(), 1);
    assert_eq!(shard.records[0].disposition, Disposition::Cancelled);
    shard.settles();
}

#[test]
fn a_ladder_has_the_messages_of_both_sides() {
    let (mut shard, invite) = rung_and_cancelled("call4");
    shard.next_response(200);
    shard.next_response(487);
    let cancel = shard.next_request(Method::Cancel);
    shard.teams_says(&response(&cancel.message, "200 OK", "x1", "", ""));
    shard.teams_says(&response(
        &invite.message,
        "487 Request Terminated",
        "x1",
        "",
        "",
    ));
    let came: Vec<String> = shard
        .happened
        .iter()
        .filter_map(|what| match what {
            Happened::Received { remote, bytes, .. } => {
                let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
                let line = String::from_utf8_lossy(line);
                let words: Vec<&str> = line.split(' ').take(2).collect();
                Some(format!("{} {}", remote.ip(), words.join(" ")))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        came,
        [
            "198.51.100.20 INVITE sip:+493023125456@192.0.2.11:5060",
            "203.0.113.1 SIP/2.0 180",
            "198.51.100.20 CANCEL sip:+493023125456@192.0.2.11:5060",
            "203.0.113.1 SIP/2.0 200",
            "203.0.113.1 SIP/2.0 487",
        ]
    );
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let (mut shard, invite) = rung_and_cancelled("call5");
    shard.sent.clear();
    shard.teams_says(&response(
        &invite.message,
        "200 OK",
        "x1",
        TEAMS_CONTACT,
        TEAMS_SDP,
    ));
    shard.next_request(Method::Ack);
    let bye = shard.next_request(Method::Bye);
    shard.teams_says(&response(&bye.message, "200 OK", "", "", ""));
    assert_eq!(shard.records.len(), 1);
    shard.settles();
}

#[test]
fn a_silent_teams_region_is_followed_by_the_next() {
    let (mut shard, first) = called_out("call6");
    assert_eq!(first.hop.remote.to_string(), "203.0.113.1:5061");
    shard.pass(std::time::Duration::from_secs(5));
    let second = shard.next_request(Method::Invite);
    assert_eq!(second.hop.remote.to_string(), "203.0.113.2:5061");
    shard.teams_says(&response(
        &second.message,
        "200 OK",
        "y",
        TEAMS_CONTACT,
        TEAMS_SDP,
    ));
    shard.next_request(Method::Ack);
    shard.next_response(200);
}

#[test]
fn without_media_ports_no_invite_leaves() {
    let mut shard = Shard::new();
    shard.refuse_media = true;
    shard.carrier_says(&carrier_invite("call7", CARRIER_SDP));
    shard.next_response(100);
    shard.next_response(503);
    assert!(shard.sent.is_empty());
    assert_eq!(shard.records[0].cause.code, CauseCode::MediaUnavailable);
}

#[test]
fn a_call_whose_media_relay_has_ended_is_ended_and_says_so() {
    let (mut shard, invite) = called_out("lost1");
    let session = match shard.media.first() {
        Some(media_api::Command::Allocate { session, .. }) => *session,
        other => panic!("{other:?}"),
    };
    shard.teams_says(&response(
        &invite.message,
        "200 OK",
        "y",
        TEAMS_CONTACT,
        TEAMS_SDP,
    ));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(
        &ok,
        "ACK",
        10,
        &format!("{}lost1ack", world::call::VIA),
    ));
    shard.apply(Input::Media(media_api::Event::Lost { session }));
    for _ in 0..2 {
        let bye = shard.next_request(Method::Bye).message;
        let reason = bye.raw(HeaderName::Reason).expect("a reason");
        assert_eq!(reason, "Q.850;cause=41");
    }
    // The relay that comes next knows nothing of this session.
    let last = shard.media.last();
    assert!(!matches!(
        last,
        Some(media_api::Command::Release { endpoint: None, .. })
    ));
    shard.pass(std::time::Duration::from_secs(40));
    let record = &shard.records[0];
    assert_eq!(record.cause.code, CauseCode::MediaUnavailable);
    assert!(
        record
            .cause
            .because
            .0
            .contains(&"media relay ended".to_owned())
    );
    let told = sbc_core::report::explain(record);
    assert!(format!("{told:?}").contains("the media of the call were lost: media relay ended"));

    // Before the answer the caller may try another node.
    let (mut shard, _) = called_out("lost2");
    let session = match shard.media.first() {
        Some(media_api::Command::Allocate { session, .. }) => *session,
        other => panic!("{other:?}"),
    };
    shard.apply(Input::Media(media_api::Event::Lost { session }));
    shard.next_response(503);
}

#[test]
fn a_stranger_gets_nothing() {
    let mut shard = Shard::new();
    let mut flow = carrier_flow();
    flow.remote = "203.0.113.77:5060".parse().expect("address");
    shard.receive(flow, &carrier_invite("call8", CARRIER_SDP));
    assert!(shard.sent.is_empty());
    assert_eq!(shard.core.census(), Default::default());
}

#[test]
fn options_of_teams_are_answered_with_our_name() {
    let mut shard = Shard::new();
    let options = "OPTIONS sip:sbc1.contoso.example:5061;transport=tls SIP/2.0
VIA: SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKo
FROM: <sip:sip.pstnhub.microsoft.com:5061>;tag=1
TO: <sip:sbc1.contoso.example>
CALL-ID: o1
CSEQ: 1 OPTIONS
MAX-FORWARDS: 70
CONTENT-LENGTH: 0

";
    shard.teams_says(options);
    let ok = shard.next_response(200);
    assert!(
        text(&ok).contains("Contact: <sip:sbc1.contoso.example:5061;transport=tls>\r\n"),
        "{}",
        text(&ok)
    );
    assert!(text(&ok).contains("Allow: "), "{}", text(&ok));
}

#[test]
fn a_full_tenant_gets_503_and_a_record_that_says_so() {
    let text = CONFIG.replace(
        "numbers = [\"+493023125000-+493023125999\"]",
        "numbers = [\"+493023125000-+493023125999\"]\nlimits = { calls = 1 }",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("call9", CARRIER_SDP));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    shard.carrier_says(&carrier_invite("call10", CARRIER_SDP));
    shard.next_response(100);
    shard.next_response(503);
    assert_eq!(shard.records[0].cause.code, CauseCode::LimitReached);
    assert_eq!(
        shard.records[0].cause.because.0,
        ["tenant \"contoso\" has its 1 calls"]
    );
}

#[test]
fn an_answer_to_teams_can_open_a_connection_of_its_own() {
    let (mut shard, invite) = called_in(CONFIG, "call11");
    let answer = response(&invite.message, "486 Busy Here", "b1", "", "");
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let busy = shard.next_response(486);
    // The connection of the request if it lives, else one to the port that its Via names.
    assert!(busy.hop.flow.is_some());
    assert_eq!(busy.hop.remote.to_string(), TEAMS);
    let tls = busy.hop.tls.expect("names for a TLS connection");
    assert_eq!(tls.server_name, "sip.pstnhub.microsoft.com");
}
