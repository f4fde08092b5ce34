//! INVITE with Replaces, by hand: what it takes over, what refuses it, and who is told what.

use crate::world;

use sbc_core::demux::shard_of_message;
use sbc_core::event::{DropCode, Happened};
use sbc_core::id::ShardId;
use sbc_core::mint::Mint;
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Limits, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

fn tag(message: &Message, name: HeaderName) -> String {
    let value = header(message, name);
    value.split(";tag=").nth(1).expect("a tag").to_owned()
}

/// Replaces as Teams writes it for the dialog of our INVITE to it.
pub(crate) fn replaces(call: &Call, extra: &str) -> String {
    format!(
        "Replaces: {};to-tag={};from-tag=x1{extra}\n",
        header(&call.invite, HeaderName::CallId),
        tag(&call.invite, HeaderName::From)
    )
}

/// An INVITE of Teams with these lines.
pub(crate) fn newcomer(lines: &str, sdp: &str) -> String {
    let plain = teams_invite("newcomer");
    let (head, _) = plain.split_once("Content-Type").expect("a body");
    with_body(&format!("{head}{lines}"), sdp)
}

fn joined(call: &Call) -> String {
    let mut commands = call.shard.media.iter().rev();
    let last = commands.find_map(|command| match command {
        media_api::Command::Update { plan, .. } => Some(format!("{:?}", plan.joined)),
        _ => None,
    });
    last.expect("a plan")
}

#[test]
fn a_confirmed_leg_is_taken_over_and_its_old_peer_sent_away() {
    let mut call = Call::new();
    let supported = header(&call.invite, HeaderName::Supported);
    assert!(supported.contains("replaces"), "{supported}");
    let invite = newcomer(&replaces(&call, ""), TEAMS_SDP);
    call.shard.teams_says(&invite);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert!(ok.body().starts_with(b"v=0"));
    let contact = header(&ok, HeaderName::Contact);
    assert!(contact.contains("sbc1.contoso.example"), "{contact}");
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&call.invite, HeaderName::CallId)
    );
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(2)))");
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKn";
    call.shard
        .teams_says(&in_dialog(&ok, "ACK", 1, &format!("{via}1")));
    assert!(call.shard.sent.is_empty(), "the caller is told nothing");
    call.shard.pass(Duration::from_secs(60));
    assert!(call.shard.records.is_empty() && call.shard.sent.is_empty());

    // The new peer ends the call of the old one.
    call.shard
        .teams_says(&in_dialog(&ok, "BYE", 2, &format!("{via}2")));
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "call");
    call.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    let record = &call.shard.records[0];
    let transfer = &record.transfers[0];
    assert_eq!(
        (transfer.kind, transfer.outcome, transfer.status),
        (
            TransferKind::Replaced,
            TransferOutcome::Completed,
            Some(200)
        )
    );
    assert_eq!(transfer.target, "+493023125456");
    let pairs: Vec<_> = record
        .conversations
        .iter()
        .map(|c| (c.a.0, c.b.0))
        .collect();
    assert_eq!(pairs, [(0, 1), (0, 2)]);
    assert_eq!(record.conversations[1].duration_ms, 60_000);
    call.shard.settles();
}

#[test]
fn an_invite_without_offer_gets_one_and_its_ack_the_answer() {
    let mut call = Call::new();
    let invite = newcomer(&replaces(&call, ""), "");
    call.shard.teams_says(&invite);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert!(ok.body().starts_with(b"v=0"));
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let ack = in_dialog(
        &ok,
        "ACK",
        1,
        "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKn1",
    );
    let ack = ack.replace("Content-Length: 0\n\n", "");
    let media = call.shard.media.len();
    call.shard.teams_says(&with_body(&ack, TEAMS_SDP));
    let agreed = format!("{:?}", call.shard.media.split_off(media));
    assert!(agreed.contains("203.0.113.9:50000"), "{agreed}");
    assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
}

#[test]
fn what_names_no_dialog_or_one_in_a_wrong_state_is_refused_and_harms_nothing() {
    let own = |call: &Call| tag(&call.invite, HeaderName::From);
    let id = |call: &Call| header(&call.invite, HeaderName::CallId);
    type Lines = Box<dyn Fn(&Call) -> String>;
    let cases: Vec<(Lines, u16)> = vec![
        (
            Box::new(|_| "Replaces: nobody;to-tag=a1;from-tag=b1\n".into()),
            481,
        ),
        (
            Box::new(move |call| {
                format!(
                    "Replaces: {};to-tag={};from-tag=other\n",
                    id(call),
                    own(call)
                )
            }),
            481,
        ),
        (
            Box::new(move |call| format!("Replaces: other;to-tag={};from-tag=x1\n", own(call))),
            481,
        ),
        (Box::new(|call| replaces(call, ";early-only")), 486),
        (Box::new(|call| replaces(call, "").repeat(2)), 400),
        (
            Box::new(|call| format!("{}Join: a;to-tag=b;from-tag=c\n", replaces(call, ""))),
            400,
        ),
        (Box::new(|_| "Replaces: nonsense\n".into()), 400),
    ];
    for (lines, code) in cases {
        let mut call = Call::new();
        let lines = lines(&call);
        call.shard.teams_says(&newcomer(&lines, TEAMS_SDP));
        call.shard.next_response(code);
        assert!(call.shard.sent.is_empty(), "{lines}");
        let ack = newcomer("", "").replace("INVITE", "ACK");
        call.shard.teams_says(&ack);
        call.lives();
    }
}

#[test]
fn only_an_invite_may_replace_anything() {
    let mut call = Call::new();
    let options = newcomer(&replaces(&call, ""), "").replace("INVITE", "OPTIONS");
    call.shard.teams_says(&options);
    call.shard.next_response(400);
    call.lives();
}

#[test]
fn no_request_within_a_dialog_may_replace_anything() {
    let mut call = Call::new();
    let lines = replaces(&call, "");
    let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
    for method in ["UPDATE", "INFO", "MESSAGE", "INVITE"] {
        let is_invite = method == "INVITE";
        call.says(method, &format!("{contact}{lines}"), "");
        if is_invite {
            call.shard.next_response(100);
        }
        call.shard.next_response(400);
        assert!(call.shard.sent.is_empty(), "{method}");
    }
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}{}", call.cseq));
    call.shard.carrier_says(&ack);
    // A BYE ends its dialog whatever it says.
    call.says("BYE", &lines, "");
    call.shard.next_response(200);
    call.shard.next_request(Method::Bye);
}

#[test]
fn whoever_replaces_a_leg_may_not_want_shorter_sessions_than_its_trunk_has() {
    let mut call = Call::new();
    let timer = "Supported: timer\nSession-Expires: 90\n";
    let lines = format!("{}{timer}", replaces(&call, ""));
    call.shard.teams_says(&newcomer(&lines, TEAMS_SDP));
    let refused = call.shard.next_response(422).message;
    assert_eq!(header(&refused, HeaderName::MinSe), "300");
    let ack = newcomer("", "").replace("INVITE", "ACK");
    call.shard.teams_says(&ack);
    call.lives();
}

#[test]
fn another_trunk_may_not_replace_a_leg() {
    let mut call = Call::new();
    let lines = replaces(&call, "");
    let plain = carrier_invite("newcomer", "");
    let invite = plain.replace("Content-Length: 0\n\n", &lines);
    call.shard.carrier_says(&with_body(&invite, CARRIER_SDP));
    call.shard.next_response(403);
    let is_counted = |what: &Happened| matches!(what, Happened::Dropped { why, .. } if *why == DropCode::ForeignDialog);
    assert!(call.shard.happened.iter().any(is_counted));
    let ack = plain.replace("INVITE", "ACK");
    call.shard.carrier_says(&ack);
    call.lives();
}

#[test]
fn a_dialog_that_has_ended_is_declined() {
    let mut call = Call::new();
    let lines = replaces(&call, "");
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&newcomer(&lines, TEAMS_SDP));
    call.shard.next_response(603);
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let again = newcomer(&lines, TEAMS_SDP).replace("newcomer", "later");
    call.shard.teams_says(&again);
    call.shard.next_response(603);
    // Who does not name it whole means another one, which is not known (RFC 3891 §3).
    for (n, other) in ["from-tag=x2", "Replaces: other;"].into_iter().enumerate() {
        let (_, written) = lines.split_once(": ").expect("a value");
        let (id, _) = written.split_once(';').expect("tags");
        let lines = match n {
            0 => lines.replace("from-tag=x1", other),
            _ => lines.replace(&format!("Replaces: {id};"), other),
        };
        let wrong = newcomer(&lines, TEAMS_SDP).replace("newcomer", &format!("wrong{n}"));
        call.shard.teams_says(&wrong);
        call.shard.next_response(481);
    }
}

#[test]
fn a_leg_that_is_not_answered_yet_cannot_be_taken_over() {
    let (mut shard, invite) = called_out("early");
    shard.teams_says(&response(
        &invite.message,
        "180 Ringing",
        "x1",
        TEAMS_CONTACT,
        "",
    ));
    let ringing = shard.next_response(180).message;
    // The caller's own leg: nobody but we can answer it.
    let lines = format!(
        "Replaces: early;to-tag={};from-tag=c1\n",
        tag(&ringing, HeaderName::To)
    );
    let plain = carrier_invite("newcomer", "");
    let invite = plain.replace("Content-Length: 0\n\n", &lines);
    shard.carrier_says(&with_body(&invite, CARRIER_SDP));
    shard.next_response(481);
}

#[test]
fn media_that_does_not_fit_leaves_everything_as_it_was() {
    let mut call = Call::new();
    let strange = TEAMS_SDP.replace("RTP/SAVP", "RTP/AVP");
    let invite = newcomer(&replaces(&call, ""), &strange);
    call.shard.teams_says(&invite);
    call.shard.next_response(100);
    call.shard.next_response(488);
    let ack = newcomer("", "").replace("INVITE", "ACK");
    call.shard.teams_says(&ack);
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(1)))");
    call.lives();
}

#[test]
fn the_new_invite_finds_the_shard_of_the_dialog_that_it_replaces() {
    for shard in 0..4 {
        let tag = Mint::new(ShardId(shard), [3; 32]).tag();
        let lines = format!("Replaces: a;to-tag={tag};from-tag=x\n");
        let text = newcomer(&lines, TEAMS_SDP).replace('\n', "\r\n");
        let message = Message::parse(text.into(), &Limits::default()).expect("a message");
        assert_eq!(shard_of_message(&message, 4), ShardId(shard));
    }
}

#[test]
fn a_cancel_finds_the_invite_that_another_shard_has() {
    let [mut first, second] = [0, 1].map(|n| Shard::one_of(config(), ShardId(n), 2));
    // The relay does not answer yet, so the newcomer waits for its port.
    let mut call = Call::of(second);
    call.shard.hold_media = true;
    let invite = newcomer(&replaces(&call, ""), TEAMS_SDP);
    // Its Call-ID leads to shard 0, its Replaces to shard 1.
    let id = ["newcomer", "newcomer1", "newcomer2", "newcomer3"]
        .into_iter()
        .find(|id| {
            let text = invite.replace("CALL-ID: newcomer", &format!("CALL-ID: {id}"));
            let bare = text.replace("Replaces: ", "X-Not: ").replace('\n', "\r\n");
            let message = Message::parse(bare.into(), &Limits::default()).expect("an INVITE");
            shard_of_message(&message, 2) == ShardId(0)
        });
    let invite = invite.replace(
        "CALL-ID: newcomer",
        &format!("CALL-ID: {}", id.expect("one")),
    );
    call.shard.teams_says(&invite);
    let (to, letter) = call.shard.letters.pop_front().expect("a letter first");
    assert_eq!(to, ShardId(0));
    call.shard.next_response(100);
    first.apply(sbc_core::input::Input::Letter(letter));
    let head = invite.split("Replaces").next().expect("a head");
    let cancel = format!("{}Content-Length: 0\n\n", head)
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    first.teams_says(&cancel);
    assert!(first.sent.is_empty(), "it is passed on");
    let (to, letter) = first.letters.pop_front().expect("the CANCEL");
    assert_eq!(to, ShardId(1));
    call.shard.apply(sbc_core::input::Input::Letter(letter));
    call.shard.next_response(200);
    call.shard.next_response(487);
    // A CANCEL of nothing is refused where it comes.
    first.teams_says(&cancel.replace("z9hG4bK", "z9hG4bKother"));
    first.next_response(481);
    first.settles();
}

#[test]
fn newcomers_that_fail_do_so_a_bounded_number_of_times() {
    let mut call = Call::new();
    let foreign = TEAMS_SDP.replace("RTP/SAVP 8 0 101", "RTP/SAVP 18 101");
    let mut statuses = Vec::new();
    for n in 0..300 {
        let invite = newcomer(&replaces(&call, ""), &foreign);
        let invite = invite.replace("newcomer", &format!("newcomer{n}"));
        call.shard.teams_says(&invite);
        let refused = std::iter::from_fn(|| call.shard.sent.pop_front());
        let refused = refused.filter_map(|sent| sent.message.status());
        statuses.extend(
            refused
                .map(|status| status.code())
                .filter(|code| *code >= 200),
        );
    }
    assert_eq!(statuses.len(), 300);
    assert_eq!((statuses[0], statuses[299]), (488, 603));
    call.lives();
}

#[test]
fn whoever_takes_a_place_on_the_same_trunk_needs_no_other() {
    let name = "name = \"teams-contoso\"";
    let config = CONFIG.replacen(name, &format!("{name}\nlimits = {{ calls = 1 }}"), 1);
    let mut call = Call::with(&config);
    let invite = newcomer(&replaces(&call, ""), TEAMS_SDP);
    call.shard.teams_says(&invite);
    call.shard.next_response(100);
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    // The line is in use, and by one call.
    call.shard
        .carrier_says(&carrier_invite("other", CARRIER_SDP));
    call.shard.next_response(100);
    call.shard.next_response(503);
}
