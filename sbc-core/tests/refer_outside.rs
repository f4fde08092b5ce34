//! REFER outside of the dialog that it is about, by hand: Target-Dialog names the call, and a dialog of
//! its own tells how it goes (SIP-800, RFC 4538).

use crate::world;

use sbc_core::demux::shard_of_message;
use sbc_core::event::{DropCode, Happened};
use sbc_core::id::ShardId;
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Limits, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";
const REFER_TO: &str = "Refer-To: <sip:+493023125999@192.0.2.11>\n";

fn tag_of(ok: &Message) -> String {
    let to = header(ok, HeaderName::To);
    to.split(";tag=").nth(1).expect("a tag").to_owned()
}

fn target(call: &Call) -> String {
    let tag = tag_of(&call.ok);
    format!("Target-Dialog: call;local-tag=c1;remote-tag={tag}\n")
}

fn outside(id: &str, lines: &str) -> String {
    format!(
        "REFER sip:+493023125456@192.0.2.11:5060 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK{id};rport
Max-Forwards: 69
From: <sip:+498999998001@198.51.100.20>;tag=r1
To: <sip:+493023125456@192.0.2.11>
Call-ID: {id}
CSeq: 1 REFER
{lines}Content-Length: 0

"
    )
}

fn notified(call: &mut Call, state: &str, fragment: &str) -> Message {
    let notify = call.shard.next_request(Method::Notify).message;
    assert_eq!(header(&notify, HeaderName::SubscriptionState), state);
    assert_eq!(notify.body(), format!("SIP/2.0 {fragment}\r\n"));
    assert_eq!(header(&notify, HeaderName::CallId), "outside");
    let to = header(&notify, HeaderName::To);
    assert!(to.ends_with("tag=r1"), "{to}");
    call.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    notify
}

const ACTIVE: &str = "active;expires=60";
const LAST: &str = "terminated;reason=noresource";

/// The carrier has asked outside of its call: the call, our answer, and the INVITE to the target.
fn referred() -> (Call, Message, Message) {
    let mut call = Call::new();
    let lines = format!("{REFER_TO}{CONTACT}{}Require: tdialog\n", target(&call));
    call.shard.carrier_says(&outside("outside", &lines));
    let accepted = call.shard.next_response(202).message;
    assert!(accepted.has(HeaderName::Contact));
    notified(&mut call, ACTIVE, "100 Trying");
    let invite = call.shard.next_request(Method::Invite).message;
    (call, accepted, invite)
}

#[test]
fn whoever_names_its_call_may_transfer_it_from_outside() {
    let (mut call, _, invite) = referred();
    let answer = response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "200 OK");
    // It is the caller itself that has been replaced; it does not leave, so it is sent away.
    call.shard.pass(Duration::from_millis(3_200));
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "call");
    call.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    assert!(call.shard.records.is_empty(), "the others talk");
    call.shard
        .teams_says(&callee_request(&call.invite, "x1", "BYE", 1, ""));
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let transfer = &call.shard.records[0].transfers[0];
    assert_eq!(
        (transfer.kind, transfer.outcome, transfer.by.0),
        (TransferKind::Blind, TransferOutcome::Completed, 0)
    );
    call.shard.settles();
}

#[test]
fn its_subscription_may_be_ended_and_the_transfer_goes_on() {
    let (mut call, accepted, invite) = referred();
    let bare = in_dialog(&accepted, "SUBSCRIBE", 2, &format!("{VIA}sub"));
    let lines = format!("{CONTACT}Event: refer\nExpires: 0\n");
    let text = bare.replace("Content-Length", &format!("{lines}Content-Length"));
    call.shard.carrier_says(&text);
    call.shard.next_response(200);
    notified(&mut call, "terminated;reason=timeout", "100 Trying");
    let busy = response(&invite, "486 Busy Here", "z1", "", "");
    call.shard.teams_says(&busy);
    call.shard.next_request(Method::Ack);
    assert!(call.shard.sent.is_empty());
    // Its dialog is gone.
    let late = text
        .replace("sub", "sub2")
        .replace("2 SUBSCRIBE", "3 SUBSCRIBE");
    call.shard.carrier_says(&late);
    call.shard.next_response(481);
    call.lives();
}

#[test]
fn a_refused_target_is_told_there_and_the_call_goes_on() {
    let (mut call, _, invite) = referred();
    let busy = response(&invite, "486 Busy Here", "z1", "", "");
    call.shard.teams_says(&busy);
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "486 Busy Here");
    call.lives();
}

#[test]
fn the_end_of_the_call_is_the_end_of_its_transfer_and_told() {
    let (mut call, _, invite) = referred();
    call.shard
        .teams_says(&response(&invite, "180 Ringing", "z1", TEAMS_CONTACT, ""));
    call.shard
        .teams_says(&callee_request(&call.invite, "x1", "BYE", 1, ""));
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    notified(&mut call, LAST, "487 Request Terminated");
    let cancel = call.shard.next_request(Method::Cancel).message;
    call.shard
        .teams_says(&response(&cancel, "200 OK", "", "", ""));
    call.shard
        .teams_says(&response(&invite, "487 Request Terminated", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    call.shard.settles();
}

#[test]
fn whoever_names_no_call_of_its_own_transfers_nothing_and_is_told_why() {
    let mut call = Call::new();
    let tag = tag_of(&call.ok);
    let cases = [
        (String::new(), 603, "has to name it in Target-Dialog"),
        (
            "Target-Dialog: call;local-tag=c1\n".to_owned(),
            400,
            "cannot be read",
        ),
        (
            "Target-Dialog: call;local-tag=c1;remote-tag=x\n".to_owned(),
            481,
            "no call of yours",
        ),
        (
            format!("Target-Dialog: call;local-tag=c2;remote-tag={tag}\n"),
            481,
            "no call of yours",
        ),
        (
            format!("Target-Dialog: other;local-tag=c1;remote-tag={tag}\n"),
            481,
            "no call of yours",
        ),
    ];
    for (n, (lines, status, why)) in cases.iter().enumerate() {
        let lines = format!("{REFER_TO}{CONTACT}{lines}");
        call.shard.carrier_says(&outside(&format!("no{n}"), &lines));
        let refused = call.shard.next_response(*status).message;
        let warning = header(&refused, HeaderName::Warning);
        assert!(
            warning.starts_with("399 192.0.2.11 \"") && warning.contains(why),
            "{warning}"
        );
    }
    let lines = format!("{REFER_TO}{}", target(&call));
    call.shard.carrier_says(&outside("nocontact", &lines));
    call.shard.next_response(400);
    let lines = format!("Refer-To: <http://example.com>\n{CONTACT}{}", target(&call));
    call.shard.carrier_says(&outside("scheme", &lines));
    call.shard.next_response(416);
    call.lives();
}

/// Who has guessed our tag, and not that of the peer, was never in the call; it is counted, as it may be somebody who tries.
#[test]
fn whoever_knows_one_tag_of_a_call_alone_transfers_nothing_and_is_counted() {
    let mut call = Call::new();
    let tag = tag_of(&call.ok);
    let dropped = |call: &Call| {
        let all = call.shard.happened.iter();
        all.filter(
            |what| matches!(what, Happened::Dropped { why, .. } if *why == DropCode::UnknownDialog),
        )
        .count()
    };
    let before = dropped(&call);
    let text = outside("call", &format!("{REFER_TO}{CONTACT}"));
    let to = text
        .lines()
        .find(|line| line.starts_with("To: "))
        .expect("To");
    let text = text.replace(to, &format!("{to};tag={tag}"));
    call.shard.carrier_says(&text);
    call.shard.next_response(481);
    assert_eq!(dropped(&call), before + 1);
    call.lives();
}

#[test]
fn another_trunk_names_a_call_in_vain() {
    let mut call = Call::new();
    let lines = format!(
        "{REFER_TO}CONTACT: <sip:api.example.com:443>\n{}",
        target(&call)
    );
    let text = outside("stolen", &lines)
        .replace(
            "SIP/2.0/UDP 198.51.100.20:5060",
            "SIP/2.0/TLS 203.0.113.1:5061",
        )
        .replace(
            "+493023125456@192.0.2.11:5060",
            "+493023125456@sbc1.contoso.example:5061",
        );
    call.shard.teams_says(&text);
    call.shard.next_response(481);
    call.lives();
}

#[test]
fn only_one_transfer_runs_wherever_it_is_asked_for() {
    let (mut call, _, invite) = referred();
    call.says("REFER", &format!("{REFER_TO}{CONTACT}"), "");
    call.shard.next_response(500);
    let lines = format!("{REFER_TO}{CONTACT}{}", target(&call));
    call.shard.carrier_says(&outside("second", &lines));
    call.shard.next_response(500);
    let busy = response(&invite, "486 Busy Here", "z1", "", "");
    call.shard.teams_says(&busy);
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "486 Busy Here");
    call.lives();
}

#[test]
fn it_finds_the_shard_of_the_call_that_it_names() {
    for shard in 0..2 {
        let tag = sbc_core::mint::Mint::new(ShardId(shard), [3; 32]).tag();
        let lines = format!("{REFER_TO}{CONTACT}Target-Dialog: a;local-tag=c1;remote-tag={tag}\n");
        let text = outside("shard", &lines).replace('\n', "\r\n");
        let message = Message::parse(text.into(), &Limits::default()).expect("a REFER");
        assert_eq!(shard_of_message(&message, 2), ShardId(shard));
    }
}

#[test]
fn names_of_dialogs_in_an_invite_stay_on_its_leg() {
    let mut shard = Shard::new();
    let lines = "Target-Dialog: a;local-tag=b;remote-tag=c\nIn-Reply-To: old@192.0.2.1\n\
                 Join: d;to-tag=e;from-tag=f\n";
    let invite = carrier_invite("named", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    for name in ["Target-Dialog", "In-Reply-To", "Join"] {
        assert!(invite.raw_named(name).is_none(), "{name}");
    }
}

#[test]
fn any_number_of_refused_ones_uses_nothing_up() {
    let mut call = Call::new();
    let bad = format!("Refer-To: <http://example.com>\n{CONTACT}{}", target(&call));
    for n in 0..300 {
        call.shard.carrier_says(&outside(&format!("bad{n}"), &bad));
        call.shard.next_response(416);
    }
    let lines = format!("{REFER_TO}{CONTACT}{}", target(&call));
    call.shard.carrier_says(&outside("outside", &lines));
    call.shard.next_response(202);
    notified(&mut call, ACTIVE, "100 Trying");
    let invite = call.shard.next_request(Method::Invite).message;
    let busy = response(&invite, "486 Busy Here", "z1", "", "");
    call.shard.teams_says(&busy);
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "486 Busy Here");
    call.lives();
}

#[test]
fn whoever_wants_to_hear_nothing_leaves_nothing_behind() {
    for answer in ["200 OK", "486 Busy Here"] {
        let mut call = Call::new();
        let lines = format!("{REFER_TO}{CONTACT}{}Refer-Sub: false\n", target(&call));
        call.shard.carrier_says(&outside("outside", &lines));
        let accepted = call.shard.next_response(202).message;
        assert_eq!(header(&accepted, HeaderName::ReferSub), "false");
        let invite = call.shard.next_request(Method::Invite).message;
        // Early media of the target, which the other party hears.
        let early = response(&invite, "183 Progress", "z1", TEAMS_CONTACT, TEAMS_SDP);
        call.shard.teams_says(&early);
        if answer.starts_with("486") {
            call.shard
                .teams_says(&response(&invite, answer, "z1", "", ""));
            call.shard.next_request(Method::Ack);
            let joined = call
                .shard
                .media
                .iter()
                .rev()
                .find_map(|command| match command {
                    media_api::Command::Update { plan, .. } => plan.joined,
                    _ => None,
                });
            let ends = joined.map(|(a, b)| (a.0, b.0));
            assert_eq!(ends, Some((0, 1)), "the old conversation goes on");
            call.lives();
            continue;
        }
        let text = response(&invite, answer, "z1", TEAMS_CONTACT, TEAMS_SDP);
        call.shard.teams_says(&text);
        call.shard.next_request(Method::Ack);
        call.shard.pass(Duration::from_millis(3_200));
        let bye = call.shard.next_request(Method::Bye).message;
        call.shard
            .carrier_says(&response(&bye, "200 OK", "", "", ""));
        call.shard
            .teams_says(&callee_request(&call.invite, "x1", "BYE", 1, ""));
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        assert_eq!(call.shard.records.len(), 1, "the call is over");
        call.shard.settles();
    }
}

#[test]
fn one_that_can_make_no_dialog_is_refused_and_uses_nothing_up() {
    let mut call = Call::new();
    let bad = format!(
        "{REFER_TO}{CONTACT}{}Record-Route: <nonsense\n",
        target(&call)
    );
    for n in 0..300 {
        call.shard.carrier_says(&outside(&format!("bad{n}"), &bad));
        call.shard.next_response(400);
    }
    call.lives();
}
