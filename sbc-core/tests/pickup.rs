//! Calls that ring and are picked up by another phone: INVITE with Replaces of a dialog that we began
//! (RFC 3891 §3, SIP-806).

use crate::world;

use media_api::{Command, CryptoKey, EndpointId, Event, LocalEndpoint, LocalStream, Suite};
use sbc_core::input::Input;
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const NEWCOMER_VIA: &str = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKn";

fn tag(message: &Message, name: HeaderName) -> String {
    let value = header(message, name);
    value.split(";tag=").nth(1).expect("a tag").to_owned()
}

/// A call of the carrier that rings at Teams; `sdp` is what the caller offers.
fn ringing(sdp: &str) -> (Shard, Message) {
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("call", sdp));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    says(&mut shard, &invite, "180 Ringing", "");
    shard.next_response(180);
    (shard, invite)
}

/// What the phone that rings says.
fn says(shard: &mut Shard, invite: &Message, status: &str, sdp: &str) {
    shard.teams_says(&response(invite, status, "x1", TEAMS_CONTACT, sdp));
}

/// The INVITE of another phone that picks it up.
fn newcomer(invite: &Message, extra: &str, sdp: &str) -> String {
    let plain = teams_invite("newcomer");
    let (head, _) = plain.split_once("Content-Type").expect("a body");
    let named = format!(
        "Replaces: {};to-tag={};from-tag=x1{extra}\n",
        header(invite, HeaderName::CallId),
        tag(invite, HeaderName::From)
    );
    with_body(&format!("{head}{named}"), sdp)
}

fn joined(shard: &Shard) -> Option<(EndpointId, EndpointId)> {
    let mut commands = shard.media.iter().rev();
    commands.find_map(|command| match command {
        Command::Update { plan, .. } => plan.joined,
        _ => None,
    })
}

/// What follows once the newcomer has its port: its 200, the caller's, and the end of the ringing.
fn picked_up(shard: &mut Shard, invite: &Message) -> (Message, Message) {
    let to_newcomer = shard.next_response(200).message;
    assert_eq!(header(&to_newcomer, HeaderName::CallId), "newcomer");
    let to_caller = shard.next_response(200).message;
    assert_eq!(header(&to_caller, HeaderName::CallId), "call");
    let cancel = shard.next_request(Method::Cancel).message;
    assert_eq!(
        header(&cancel, HeaderName::CallId),
        header(invite, HeaderName::CallId)
    );
    let reason = header(&cancel, HeaderName::Reason);
    assert_eq!(
        reason, "SIP;cause=200;text=\"Call completed elsewhere\"",
        "TDR-SIP-022"
    );
    shard.teams_says(&response(&cancel, "200 OK", "", "", ""));
    says(shard, invite, "487 Request Terminated", "");
    shard.next_request(Method::Ack);
    assert_eq!(joined(shard), Some((EndpointId(0), EndpointId(2))));
    (to_newcomer, to_caller)
}

/// Both have acknowledged: the call lives until the caller hangs up.
fn lives(mut shard: Shard, to_newcomer: &Message, to_caller: &Message) {
    shard.pass(Duration::from_secs(60));
    assert!(shard.records.is_empty() && shard.sent.is_empty());
    let bye = in_dialog(to_caller, "BYE", 12, &format!("{VIA}bye"));
    shard.carrier_says(&bye);
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(to_newcomer, HeaderName::CallId)
    );
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = &shard.records[0];
    assert!(record.duration_ms > 0 && record.setup_ms.is_some());
    let line = &record.transfers[0];
    assert_eq!(
        (line.kind, line.outcome, line.status),
        (
            TransferKind::Replaced,
            TransferOutcome::Completed,
            Some(200)
        )
    );
    let attempt = &record.egress[0];
    assert_eq!(attempt.reason.as_deref(), Some("answered elsewhere"));
    shard.settles();
}

fn acknowledged(shard: &mut Shard, to_newcomer: &Message, to_caller: &Message) {
    shard.teams_says(&in_dialog(
        to_newcomer,
        "ACK",
        1,
        &format!("{NEWCOMER_VIA}1"),
    ));
    shard.carrier_says(&in_dialog(to_caller, "ACK", 10, &format!("{VIA}ack")));
    assert!(shard.sent.is_empty(), "{:?}", shard.sent);
}

#[test]
fn a_call_that_rings_is_answered_by_whoever_picks_it_up() {
    for extra in ["", ";early-only"] {
        let (mut shard, invite) = ringing(CARRIER_SDP);
        shard.teams_says(&newcomer(&invite, extra, TEAMS_SDP));
        shard.next_response(100);
        let (to_newcomer, to_caller) = picked_up(&mut shard, &invite);
        assert_eq!(formats(&to_newcomer), "8 101");
        assert_eq!(formats(&to_caller), "8 101");
        let said = format!("{:?}", shard.media);
        assert!(said.contains("198.51.100.30:6000") && said.contains("203.0.113.9:50000"));
        acknowledged(&mut shard, &to_newcomer, &to_caller);
        lives(shard, &to_newcomer, &to_caller);
    }
}

#[test]
fn the_caller_gets_a_codec_that_the_newcomer_has() {
    let (mut shard, invite) = ringing(CARRIER_SDP);
    let pcmu = TEAMS_SDP.replace("SAVP 8 0 101", "SAVP 0 101");
    shard.teams_says(&newcomer(&invite, "", &pcmu));
    shard.next_response(100);
    let (to_newcomer, to_caller) = picked_up(&mut shard, &invite);
    assert_eq!(formats(&to_newcomer), "0 101");
    assert_eq!(formats(&to_caller), "0 101");
    acknowledged(&mut shard, &to_newcomer, &to_caller);
    lives(shard, &to_newcomer, &to_caller);
}

#[test]
fn what_the_caller_was_told_early_it_is_told_in_the_answer() {
    let (mut shard, invite) = ringing(CARRIER_SDP);
    says(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    shard.teams_says(&newcomer(&invite, "", TEAMS_SDP));
    shard.next_response(100);
    let (to_newcomer, to_caller) = picked_up(&mut shard, &invite);
    assert_eq!(to_caller.body(), early.body(), "SIP-312");
    acknowledged(&mut shard, &to_newcomer, &to_caller);
    lives(shard, &to_newcomer, &to_caller);
}

#[test]
fn a_newcomer_without_offer_gets_ours_and_answers_in_its_ack() {
    let (mut shard, invite) = ringing(CARRIER_SDP);
    shard.teams_says(&newcomer(&invite, "", ""));
    shard.next_response(100);
    let (to_newcomer, to_caller) = picked_up(&mut shard, &invite);
    assert!(formats(&to_newcomer).starts_with('8'), "an offer of ours");
    let ack = in_dialog(&to_newcomer, "ACK", 1, &format!("{NEWCOMER_VIA}1"));
    let ack = ack.replace("Content-Length: 0\n\n", "");
    let media = shard.media.len();
    shard.teams_says(&with_body(&ack, TEAMS_SDP));
    let agreed = format!("{:?}", shard.media.split_off(media));
    assert!(agreed.contains("203.0.113.9:50000"), "{agreed}");
    shard.carrier_says(&in_dialog(&to_caller, "ACK", 10, &format!("{VIA}ack")));
    lives(shard, &to_newcomer, &to_caller);
}

#[test]
fn a_caller_without_offer_gets_what_the_newcomer_can_do() {
    let (mut shard, invite) = ringing("");
    let pcmu = TEAMS_SDP.replace("SAVP 8 0 101", "SAVP 0 101");
    shard.teams_says(&newcomer(&invite, "", &pcmu));
    shard.next_response(100);
    let (to_newcomer, to_caller) = picked_up(&mut shard, &invite);
    assert_eq!(formats(&to_newcomer), "0 101");
    assert_eq!(formats(&to_caller), "0 101");
    shard.teams_says(&in_dialog(
        &to_newcomer,
        "ACK",
        1,
        &format!("{NEWCOMER_VIA}1"),
    ));
    let ack = in_dialog(&to_caller, "ACK", 10, &format!("{VIA}ack"));
    let answer = CARRIER_SDP.replace("AVP 8 0 101", "AVP 0 101");
    let head = ack.replace("Content-Length: 0\n\n", "");
    let media = shard.media.len();
    shard.carrier_says(&with_body(&head, &answer));
    let agreed = format!("{:?}", &shard.media[media..]);
    assert!(agreed.contains("198.51.100.30:6000"), "{agreed}");
    lives(shard, &to_newcomer, &to_caller);
}

#[test]
fn where_neither_offers_or_nothing_fits_the_phone_goes_on_ringing() {
    let foreign = TEAMS_SDP.replace("SAVP 8 0 101", "SAVP 18 101");
    for (of_caller, of_newcomer) in [("", ""), (CARRIER_SDP, foreign.as_str())] {
        let (mut shard, invite) = ringing(of_caller);
        shard.teams_says(&newcomer(&invite, "", of_newcomer));
        shard.next_response(100);
        shard.next_response(488);
        shard.teams_says(&newcomer(&invite, "", "").replace("INVITE", "ACK"));
        assert!(shard.sent.is_empty());
        says(&mut shard, &invite, "200 OK", TEAMS_SDP);
        shard.next_request(Method::Ack);
        shard.next_response(200);
        assert_eq!(joined(&shard), Some((EndpointId(0), EndpointId(1))));
    }
}

#[test]
fn a_stranger_may_not_pick_up_and_a_wrong_name_names_nothing() {
    let (mut shard, invite) = ringing(CARRIER_SDP);
    let named = newcomer(&invite, "", "");
    let line = named.lines().find(|line| line.starts_with("Replaces"));
    let line = line.expect("Replaces");
    let plain = carrier_invite("stranger", "").replace("Content-Length: 0\n\n", "");
    let stranger = with_body(&format!("{plain}{line}\n"), CARRIER_SDP);
    shard.carrier_says(&stranger);
    shard.next_response(403);
    shard.carrier_says(&carrier_invite("stranger", "").replace("INVITE", "ACK"));
    let wrong = newcomer(&invite, "", TEAMS_SDP).replace("from-tag=x1", "from-tag=x2");
    shard.teams_says(&wrong);
    shard.next_response(481);
    assert!(shard.sent.is_empty());
}

/// The relay gives the newcomer its port after all.
fn port(shard: &mut Shard) {
    let session = shard.media.iter().find_map(|command| match command {
        Command::Allocate { session, .. } => Some(*session),
        _ => None,
    });
    let keys = CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![9; 30]);
    let local = LocalEndpoint {
        endpoint: EndpointId(2),
        streams: vec![LocalStream {
            rtp: "192.0.2.10:41000".parse().expect("address"),
            rtcp: "192.0.2.10:41001".parse().expect("address"),
            keys: keys.into_iter().collect(),
            fingerprint: None,
        }],
    };
    shard.hold_media = false;
    shard.apply(Input::Media(Event::Allocated {
        session: session.expect("ports were asked for"),
        endpoints: vec![local],
    }));
}

/// A newcomer that waits for its port.
fn waiting() -> (Shard, Message) {
    let (mut shard, invite) = ringing(CARRIER_SDP);
    shard.hold_media = true;
    shard.teams_says(&newcomer(&invite, "", TEAMS_SDP));
    shard.next_response(100);
    assert!(shard.sent.is_empty());
    (shard, invite)
}

#[test]
fn whoever_answers_first_has_the_call() {
    let (mut shard, invite) = waiting();
    says(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    shard.next_response(486);
    let ok = shard.next_response(200).message;
    assert_eq!(header(&ok, HeaderName::CallId), "call");
    port(&mut shard);
    assert!(shard.sent.is_empty());
    assert_eq!(joined(&shard), Some((EndpointId(0), EndpointId(1))));
}

#[test]
fn a_refusal_waits_for_who_wants_the_call() {
    let (mut shard, invite) = waiting();
    says(&mut shard, &invite, "486 Busy Here", "");
    shard.next_request(Method::Ack);
    assert!(shard.sent.is_empty());
    // A second one comes too late for it.
    let second = newcomer(&invite, "", TEAMS_SDP).replace("newcomer", "second");
    shard.teams_says(&second);
    let status = shard.next().message.status().map(|status| status.code());
    assert!(matches!(status, Some(481 | 603)), "{status:?}");
    port(&mut shard);
    let ok = shard.next_response(200).message;
    assert_eq!(header(&ok, HeaderName::CallId), "newcomer");
    let ok = shard.next_response(200).message;
    assert_eq!(header(&ok, HeaderName::CallId), "call");
    assert!(shard.sent.is_empty(), "nothing rings that needs a CANCEL");
}

#[test]
fn without_a_port_the_caller_gets_what_the_called_side_said() {
    let (mut shard, invite) = waiting();
    says(&mut shard, &invite, "486 Busy Here", "");
    shard.next_request(Method::Ack);
    shard.refuses_ports();
    let refused = shard.next_response(503).message;
    assert_eq!(header(&refused, HeaderName::CallId), "newcomer");
    let refused = shard.next_response(486).message;
    assert_eq!(header(&refused, HeaderName::CallId), "call");
}

#[test]
fn a_newcomer_that_gives_up_changes_nothing() {
    let (mut shard, invite) = waiting();
    let cancel = newcomer(&invite, "", "")
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    shard.teams_says(&cancel);
    shard.next_response(200);
    shard.next_response(487);
    port(&mut shard);
    assert!(shard.sent.is_empty());
    says(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(header(&ok, HeaderName::CallId), "call");
}

#[test]
fn a_caller_that_gives_up_leaves_nobody_waiting() {
    let (mut shard, _) = waiting();
    shard.carrier_says(&carrier_cancel("call"));
    shard.next_response(200);
    let mut ended = Vec::new();
    while let Some(sent) = shard.sent.pop_front() {
        let what = match sent.message.status() {
            Some(status) => status.code().to_string(),
            None => sent.message.method().as_str().to_owned(),
        };
        let of = header(&sent.message, HeaderName::CallId);
        ended.push((what, ["call", "newcomer"].contains(&of.as_str())));
    }
    ended.sort();
    let expected = [("487", true), ("487", true), ("CANCEL", false)];
    let expected = expected.map(|(what, own)| (what.to_owned(), own));
    assert_eq!(ended, expected);
    port(&mut shard);
    assert!(shard.sent.is_empty());
}

#[test]
fn an_answer_that_crosses_the_cancel_is_ended() {
    let (mut shard, invite) = ringing(CARRIER_SDP);
    shard.teams_says(&newcomer(&invite, "", TEAMS_SDP));
    shard.next_response(100);
    shard.next_response(200);
    shard.next_response(200);
    shard.next_request(Method::Cancel);
    says(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    let bye = shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&invite, HeaderName::CallId)
    );
}
