//! REFER consumed here, by hand: what is refused, the NOTIFYs, the new leg, and who leaves when.

use crate::world;

use sbc_core::event::Happened;
use sbc_core::id::LegId;
use sbc_core::input::Input;
use sbc_core::query::Outcome;
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

/// What Teams writes: strings that mean something to it alone.
const TEAMS_TARGET: &str = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0000aaaa-1111-2222-3333-BBBB4444cccc";
const REFERRED_BY: &str = "<sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:11111111-2222-3333-4444-555555555555;x-t=22222222-0000-0000-0000-000000000000;x-ti=33333333-0000-0000-0000-00000000000a;x-tt=aHR0cHM6Ly9leGFtcGxlLmNvbS92MS9uP2RjaT0x%3D>";

const REFER: &str =
    "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";

fn teams_refer() -> String {
    format!(
        "REFER-TO: <{TEAMS_TARGET}>\nREFERRED-BY: {REFERRED_BY}\nCONTACT: <sip:api.example.com:443;x-i=1>\n"
    )
}

/// Takes the next message, which must be a NOTIFY with this in it; answers it.
fn notified(call: &mut Call, state: &str, fragment: &str) -> Message {
    let notify = call.shard.next_request(Method::Notify).message;
    assert_eq!(header(&notify, HeaderName::SubscriptionState), state);
    assert_eq!(
        header(&notify, HeaderName::ContentType),
        "message/sipfrag;version=2.0"
    );
    assert_eq!(notify.body(), format!("SIP/2.0 {fragment}\r\n"));
    notify
}

fn ok(call: &mut Call, request: &Message) {
    let ok = response(request, "200 OK", "", "", "");
    match header(request, HeaderName::Via).contains("TLS") {
        true => call.shard.teams_says(&ok),
        false => call.shard.carrier_says(&ok),
    }
}

const ACTIVE: &str = "active;expires=60";
const LAST: &str = "terminated;reason=noresource";

/// Teams has asked to transfer the carrier's caller: the call, and the INVITE to the target.
pub(crate) fn referred_by_teams() -> (Call, Message) {
    let mut call = Call::new();
    call.teams_says("REFER", 1, &teams_refer());
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let invite = call.shard.next_request(Method::Invite).message;
    (call, invite)
}

/// The carrier has asked to transfer Teams: the call, and the INVITE to the target.
pub(crate) fn referred_by_carrier() -> (Call, Message) {
    referred_by(Call::new(), REFER)
}

/// The carrier has asked for a transfer with these lines: the call, and the INVITE to the target.
pub(crate) fn referred_by(mut call: Call, refer: &str) -> (Call, Message) {
    call.says("REFER", refer, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let invite = call.shard.next_request(Method::Invite).message;
    (call, invite)
}

fn target_answers(call: &mut Call, invite: &Message) {
    let answer = response(invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
}

/// The endpoints that the relay joins at last.
fn joined(call: &Call) -> String {
    let last = call
        .shard
        .media
        .iter()
        .rev()
        .find_map(|command| match command {
            media_api::Command::Update { plan, .. } => Some(format!("{:?}", plan.joined)),
            _ => None,
        });
    last.expect("a plan")
}

#[test]
fn a_transfer_of_teams_calls_teams_octet_by_octet_and_leaves_the_caller_alone() {
    let (mut call, invite) = referred_by_teams();
    assert_eq!(invite.request_uri(), TEAMS_TARGET);
    assert_eq!(header(&invite, HeaderName::ReferredBy), REFERRED_BY);
    assert_eq!(header(&invite, HeaderName::To), format!("<{TEAMS_TARGET}>"));
    let from = header(&invite, HeaderName::From);
    assert!(
        from.contains("sip:+498999998001@sbc1.contoso.example"),
        "{from}"
    );
    let contact = header(&invite, HeaderName::Contact);
    assert!(contact.contains("sbc1.contoso.example:5061"), "{contact}");
    assert!(!invite.has(HeaderName::Replaces));
    let allow = header(&invite, HeaderName::Allow);
    assert!(
        allow.contains("NOTIFY") && allow.contains("REFER"),
        "{allow}"
    );

    call.shard
        .teams_says(&response(&invite, "180 Ringing", "z1", TEAMS_CONTACT, ""));
    call.shard.pass(Duration::from_millis(100));
    let notify = notified(&mut call, ACTIVE, "180 Ringing");
    ok(&mut call, &notify);
    call.shard.pass(Duration::from_millis(900));
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    assert_eq!(header(&notify, HeaderName::Event), "refer");
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(2)))");
    ok(&mut call, &notify);
    assert!(
        call.shard.sent.is_empty(),
        "the caller is told nothing: nothing changes for it"
    );

    // Teams hangs up its own leg, and the conversation goes on.
    call.shard.pass(Duration::from_secs(5));
    call.teams_says("BYE", 2, "");
    call.shard.next_response(200);
    assert!(call.shard.records.is_empty() && call.shard.sent.is_empty());
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&invite, HeaderName::CallId)
    );
    ok(&mut call, &bye);
    let record = &call.shard.records[0];
    // One entry for each pair of legs (SIP-811).
    let so_far = call.shard.happened.iter().filter_map(|what| match what {
        Happened::Recorded(record) => Some(record),
        _ => None,
    });
    let told = so_far.map(|own| {
        let lengths = own.conversations.iter().map(|pair| pair.duration_ms);
        own.setup_ms.map(|_| lengths.collect::<Vec<_>>())
    });
    // When it was taken, answered, transferred and over: what a crash would leave.
    let ms = |at: usize| record.conversations[at].duration_ms;
    let some = |ms: &[u64]| Some(ms.to_vec());
    let wanted = [None, some(&[]), some(&[ms(0), 0]), some(&[ms(0), ms(1)])];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
    let [first, second] = &record.conversations[..] else {
        panic!("{:?}", record.conversations);
    };
    assert_eq!((first.a, first.b), (LegId(0), LegId(1)));
    assert_eq!((first.transfer_of, first.transfer_type), (None, None));
    assert_eq!(first.duration_ms, 1_000, "until the target answered");
    assert_eq!(first.billed_to.as_str(), "carrier-a");
    assert_eq!((second.a, second.b), (LegId(0), LegId(2)));
    assert_eq!(second.transfer_of, Some(0));
    assert_eq!(second.transfer_type, Some(TransferKind::Blind));
    assert_eq!(second.duration_ms, 5_000);
    assert_eq!(
        second.billed_to.as_str(),
        "teams-contoso",
        "who transferred it"
    );
    assert_eq!(record.duration_ms, 6_000);
    let transfer = &record.transfers[0];
    assert_eq!(
        (transfer.kind, transfer.outcome, transfer.status),
        (TransferKind::Blind, TransferOutcome::Completed, Some(200))
    );
    let name = "33333333-0000-0000-0000-00000000000a";
    assert_eq!(transfer.teams_call.as_deref(), Some(name));
    assert_eq!((transfer.by.0, transfer.party.0), (1, 0));
    assert_eq!(transfer.leg.map(|leg| leg.0), Some(2));
    call.shard.settles();
}

#[test]
fn the_transferor_may_leave_280_ms_after_the_202_and_still_hears_the_end() {
    let (mut call, invite) = referred_by_teams();
    call.shard.pass(Duration::from_millis(280));
    call.teams_says("BYE", 2, "");
    call.shard.next_response(200);
    assert!(call.shard.sent.is_empty());
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    // It has forgotten its dialog, and that harms nobody.
    let gone = response(&notify, "481 Call/Transaction Does Not Exist", "", "", "");
    call.shard.teams_says(&gone);
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(2)))");
    call.lives_on(&invite);
}

#[test]
fn a_refused_target_leaves_the_old_conversation_as_it_was() {
    let (mut call, invite) = referred_by_teams();
    call.shard
        .teams_says(&response(&invite, "486 Busy Here", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    let notify = notified(&mut call, LAST, "486 Busy Here");
    ok(&mut call, &notify);
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(1)))");
    call.shard.pass(Duration::from_secs(60));
    assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
    call.lives();
}

/// What follows in Teams is its user who takes the call back (TDR-XFR-017).
#[test]
fn teams_may_resume_the_call_that_it_held_when_the_target_refuses() {
    let mut call = Call::new();
    let contact = "Contact: <sip:api.example.com:443>\n";
    let offers = |call: &mut Call, cseq: u32, direction: &str| {
        let sdp = TEAMS_SDP.replace("sendrecv", direction);
        let request = callee_request(&call.invite, "x1", "INVITE", cseq, contact);
        let request = with_body(&request.replace("Content-Length: 0\n\n", ""), &sdp);
        call.shard.teams_says(&request);
        call.shard.next_response(100);
        let ok = call.shard.next_response(200).message;
        call.teams_says("ACK", cseq, "");
        let told = call.shard.next_request(Method::Invite).message;
        let answer = CARRIER_SDP.replace(
            "sendrecv",
            match direction {
                "inactive" => "inactive",
                _ => "sendrecv",
            },
        );
        call.shard
            .carrier_says(&response(&told, "200 OK", "", CARRIER_CONTACT, &answer));
        call.shard.next_request(Method::Ack);
        String::from_utf8_lossy(&ok.body()).into_owned()
    };
    assert!(offers(&mut call, 1, "inactive").contains("a=inactive"));
    call.teams_says("REFER", 2, &teams_refer());
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let invite = call.shard.next_request(Method::Invite).message;
    call.shard
        .teams_says(&response(&invite, "480 Gone", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    let notify = notified(&mut call, LAST, "480 Temporarily Unavailable");
    ok(&mut call, &notify);
    assert!(offers(&mut call, 3, "sendrecv").contains("a=sendrecv"));
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(1)))");
    call.lives();
}

#[test]
fn a_refused_target_without_a_transferor_ends_the_call() {
    let (mut call, invite) = referred_by_teams();
    call.teams_says("BYE", 2, "");
    call.shard.next_response(200);
    call.shard
        .teams_says(&response(&invite, "480 Not here", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "480 Temporarily Unavailable");
    let bye = call.shard.next_request(Method::Bye).message;
    ok(&mut call, &bye);
    let record = &call.shard.records[..];
    assert!(record.is_empty(), "the NOTIFY has no answer yet");
    call.shard.settles();
    let record = &call.shard.records[0];
    assert_eq!(record.cause.code.as_str(), "transfer_failed");
    assert_eq!(record.transfers[0].outcome, TransferOutcome::Failed);
}

#[test]
fn the_end_of_the_transferee_ends_everything_and_the_transferor_is_told_before_its_bye() {
    let (mut call, invite) = referred_by_teams();
    call.shard
        .teams_says(&response(&invite, "180 Ringing", "z1", TEAMS_CONTACT, ""));
    call.says("BYE", "", "");
    call.shard.next_response(200);
    notified(&mut call, LAST, "487 Request Terminated");
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&call.invite, HeaderName::CallId)
    );
    ok(&mut call, &bye);
    call.shard.next_request(Method::Cancel);
    call.shard
        .teams_says(&response(&invite, "487 Request Terminated", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    call.shard.settles();
    let transfer = &call.shard.records[0].transfers[0];
    assert_eq!(transfer.outcome, TransferOutcome::Abandoned);
}

#[test]
fn a_transfer_of_the_carrier_is_routed_as_a_call_of_its_trunk() {
    let (mut call, invite) = referred_by_carrier();
    let uri = String::from_utf8_lossy(&invite.request_uri()).into_owned();
    assert!(
        uri.starts_with("sip:+493023125999@sip.pstnhub.microsoft.com"),
        "{uri}"
    );
    let from = header(&invite, HeaderName::From);
    assert!(
        from.contains("+493023125456@"),
        "the party that is transferred: {from}"
    );
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    ok(&mut call, &notify);
    assert_eq!(joined(&call), "Some((EndpointId(2), EndpointId(1)))");
    assert!(call.shard.sent.is_empty());
    // Who does not leave is sent away.
    call.shard.pass(Duration::from_secs(3));
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "call");
    ok(&mut call, &bye);
    assert!(call.shard.records.is_empty());
    call.teams_says("BYE", 1, "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    ok(&mut call, &bye);
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn what_cannot_be_or_may_not_be_called_is_refused_and_harms_nothing() {
    for (lines, code) in [
        ("", 400),
        (
            "Refer-To: <sip:+493023125999@x>\nRefer-To: <sip:+493023125998@x>\n",
            400,
        ),
        ("Refer-To: <sip:@@>\n", 400),
        ("Refer-To: <mailto:ada@example.com>\n", 416),
        ("Refer-To: <sip:+493023125999@x;method=BYE>\n", 603),
        ("Refer-To: <sip:198.51.100.77>\n", 603),
        // A number that a call of this trunk could not reach.
        ("Refer-To: <sip:+88216123456@198.51.100.20>\n", 603),
        (
            "Refer-To: <sip:+493023125999@x>\nRequire: frobnicate\n",
            420,
        ),
    ] {
        let mut call = Call::new();
        call.says("REFER", lines, "");
        call.refused(code);
        assert!(call.shard.sent.is_empty(), "{lines}");
        call.lives();
    }
}

#[test]
fn whoever_answers_a_notify_from_elsewhere_is_told_the_rest_there() {
    let mut call = Call::new();
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    assert_eq!(notify.request_uri(), "sip:gw@198.51.100.20:5060");
    let moved = "Contact: <sip:elsewhere@198.51.100.21:5060>\n";
    call.shard
        .carrier_says(&response(&notify, "200 OK", "", moved, ""));
    let invite = call.shard.next_request(Method::Invite).message;
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    assert_eq!(
        notify.request_uri(),
        "sip:elsewhere@198.51.100.21:5060",
        "SIP-303"
    );
}

#[test]
fn a_trunk_may_refuse_all_transfers() {
    let config = CONFIG.replace("codecs =", "refer = \"refuse\"\ncodecs =");
    let mut call = Call::with(&config);
    call.says("REFER", REFER, "");
    let refused = call.refused(405);
    assert!(!header(&refused, HeaderName::Allow).contains("REFER"));
    call.lives();
}

#[test]
fn only_one_transfer_at_a_time() {
    let (mut call, _) = referred_by_teams();
    call.teams_says("REFER", 2, &teams_refer());
    let refused = call.shard.next_response(500).message;
    assert!(refused.has(HeaderName::RetryAfter));
    call.says("REFER", REFER, "");
    call.shard.next_response(500);
    assert!(call.shard.sent.is_empty());
}

#[test]
fn a_later_transfer_of_one_dialog_has_a_number() {
    let (mut call, invite) = referred_by_teams();
    call.shard
        .teams_says(&response(&invite, "486 Busy Here", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    let last = notified(&mut call, LAST, "486 Busy Here");
    ok(&mut call, &last);
    call.teams_says("REFER", 7, &teams_refer());
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    assert_eq!(header(&notify, HeaderName::Event), "refer;id=7");
}

#[test]
fn whoever_wants_no_notify_gets_none() {
    for line in ["Refer-Sub: false\n", "Require: norefersub\n"] {
        let mut call = Call::new();
        call.teams_says("REFER", 1, &format!("{}{line}", teams_refer()));
        let accepted = call.shard.next_response(202).message;
        assert_eq!(header(&accepted, HeaderName::ReferSub), "false");
        let invite = call.shard.next_request(Method::Invite).message;
        target_answers(&mut call, &invite);
        assert!(call.shard.sent.is_empty());
        assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(2)))");
    }
}

#[test]
fn a_notify_that_fails_ends_the_subscription_and_not_the_transfer() {
    let mut call = Call::new();
    call.teams_says("REFER", 1, &teams_refer());
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    let invite = call.shard.next_request(Method::Invite).message;
    let gone = response(&notify, "481 Call/Transaction Does Not Exist", "", "", "");
    call.shard.teams_says(&gone);
    target_answers(&mut call, &invite);
    assert!(call.shard.sent.is_empty(), "nobody wants to hear of it");
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(2)))");
    assert!(call.shard.records.is_empty());
}

#[test]
fn a_long_transfer_is_told_again_before_its_subscription_ends() {
    let (mut call, invite) = referred_by_teams();
    call.shard
        .teams_says(&response(&invite, "180 Ringing", "z1", TEAMS_CONTACT, ""));
    call.shard.pass(Duration::from_secs(2));
    let notify = notified(&mut call, ACTIVE, "180 Ringing");
    ok(&mut call, &notify);
    call.shard.pass(Duration::from_secs(50));
    let notify = notified(&mut call, ACTIVE, "180 Ringing");
    ok(&mut call, &notify);
    call.teams_says("SUBSCRIBE", 2, "Event: refer\nExpires: 0\n");
    call.shard.next_response(200);
    notified(&mut call, "terminated;reason=timeout", "180 Ringing");
    target_answers(&mut call, &invite);
    assert!(call.shard.sent.is_empty(), "it wanted to hear no more");
}

#[test]
fn a_target_that_rings_too_long_is_cancelled_and_the_call_goes_on() {
    let config = format!("{CONFIG}\n[limits]\nmax_setup = \"30s\"\n");
    let mut call = Call::with(&config);
    call.teams_says("REFER", 1, &teams_refer());
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let invite = call.shard.next_request(Method::Invite).message;
    call.shard
        .teams_says(&response(&invite, "100 Trying", "", "", ""));
    call.shard.pass(Duration::from_secs(31));
    call.shard.next_request(Method::Cancel);
    let notify = notified(&mut call, LAST, "408 Request Timeout");
    ok(&mut call, &notify);
    // A 200 that crosses the CANCEL is somebody off hook.
    call.shard
        .teams_says(&response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP));
    call.shard.next_request(Method::Ack);
    let bye = call.shard.next_request(Method::Bye).message;
    ok(&mut call, &bye);
    call.lives();
}

#[test]
fn the_transferee_is_told_where_the_target_chose_another_codec() {
    let (mut call, invite) = referred_by_teams();
    let pcmu = TEAMS_SDP.replace("RTP/SAVP 8 0 101", "RTP/SAVP 0 101");
    let pcmu = pcmu.replace("a=rtpmap:8 PCMA/8000\n", "");
    call.shard
        .teams_says(&response(&invite, "200 OK", "z1", TEAMS_CONTACT, &pcmu));
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "200 OK");
    let reinvite = call.shard.next_request(Method::Invite).message;
    assert_eq!(header(&reinvite, HeaderName::CallId), "call");
    let body = String::from_utf8_lossy(&reinvite.body()).into_owned();
    assert!(body.contains("RTP/AVP 0 101"), "{body}");
}

#[test]
fn a_held_party_is_taken_back_by_the_target() {
    let mut call = Call::new();
    let hold = TEAMS_SDP.replace("a=sendrecv", "a=inactive");
    let lines = format!(
        "Contact: <sip:api.example.com:443>\nContent-Type: application/sdp\nContent-Length: {}\n\n{hold}",
        hold.replace('\n', "\r\n").len()
    );
    let request = callee_request(&call.invite, "x1", "INVITE", 1, "");
    call.shard
        .teams_says(&request.replace("Content-Length: 0\n\n", &lines));
    call.shard.next_response(100);
    call.shard.next_response(200);
    let told = call.shard.next_request(Method::Invite).message;
    let held = CARRIER_SDP.replace("a=sendrecv", "a=recvonly");
    call.shard
        .carrier_says(&response(&told, "200 OK", "", CARRIER_CONTACT, &held));
    call.shard.next_request(Method::Ack);
    call.shard
        .teams_says(&callee_request(&call.invite, "x1", "ACK", 1, ""));
    call.teams_says("REFER", 2, &teams_refer());
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    ok(&mut call, &notify);
    let invite = call.shard.next_request(Method::Invite).message;
    let offer = String::from_utf8_lossy(&invite.body()).into_owned();
    assert!(
        offer.contains("a=sendrecv"),
        "the target is not held: {offer}"
    );
    target_answers(&mut call, &invite);
    call.shard.next_request(Method::Notify);
    let told = call.shard.next_request(Method::Invite).message;
    let body = String::from_utf8_lossy(&told.body()).into_owned();
    assert!(body.contains("a=sendrecv"), "{body}");
}

#[test]
fn early_media_of_the_target_is_heard_and_its_2xx_need_not_repeat_it() {
    let (mut call, invite) = referred_by_teams();
    call.shard.teams_says(&response(
        &invite,
        "183 Progress",
        "z1",
        TEAMS_CONTACT,
        TEAMS_SDP,
    ));
    assert_eq!(joined(&call), "Some((EndpointId(0), EndpointId(2)))");
    call.shard
        .teams_says(&response(&invite, "200 OK", "z1", TEAMS_CONTACT, ""));
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "200 OK");
}

#[test]
fn a_change_of_the_transferee_is_answered_while_the_target_rings() {
    let (mut call, invite) = referred_by_teams();
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.23");
    call.says(
        "INVITE",
        "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n",
        &moved,
    );
    call.shard.next_response(100);
    call.shard.next_response(200);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack2"));
    call.shard.carrier_says(&ack);
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    ok(&mut call, &notify);
    assert!(call.shard.sent.is_empty());
}

/// A call whose transfers all fail, as many as its trunk lets Teams ask for (TDR-CC-002).
#[test]
fn a_contact_centre_may_have_its_calls_transferred_more_often() {
    let preset = "preset = \"teams\"";
    let config = CONFIG.replace(preset, &format!("{preset}\nmax_transfers = 12"));
    transferred_at_most(Call::with(&config), 12);
}

#[test]
fn more_than_twenty_transfers_run_in_circles() {
    transferred_at_most(Call::new(), 20);
}

/// So often it comes to somebody else, and not once more.
fn transferred_at_most(mut call: Call, most: u32) {
    let mut invite: Option<Message> = None;
    for lap in 0..=most {
        let refer = teams_refer();
        match &invite {
            None => call.teams_says("REFER", 1, &refer),
            Some(invite) => {
                let request = callee_request(invite, &format!("z{lap}"), "REFER", 1, &refer);
                let request = request.replace("z9hG4bK", &format!("z9hG4bKlap{lap}"));
                call.shard.teams_says(&request);
            }
        }
        if lap == most {
            call.shard.next_response(603);
            break;
        }
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        ok(&mut call, &notify);
        let next = call.shard.next_request(Method::Invite).message;
        let tag = format!("z{}", lap + 1);
        let answer = response(&next, "200 OK", &tag, TEAMS_CONTACT, TEAMS_SDP);
        call.shard.teams_says(&answer);
        call.shard.next_request(Method::Ack);
        let notify = call.shard.next_request(Method::Notify).message;
        ok(&mut call, &notify);
        let bye = match &invite {
            None => {
                call.teams_says("BYE", 2, "");
                None
            }
            Some(invite) => Some(callee_request(invite, &format!("z{lap}"), "BYE", 2, "")),
        };
        if let Some(bye) = bye {
            let bye = bye.replace("z9hG4bK", &format!("z9hG4bKbye{lap}"));
            call.shard.teams_says(&bye);
        }
        call.shard.next_response(200);
        invite = Some(next);
    }
    assert!(call.shard.sent.is_empty());
}

#[test]
fn targets_that_refuse_do_not_use_up_the_transfers_of_a_call_but_have_an_end_too() {
    let mut call = Call::new();
    let busy = |call: &mut Call, cseq: u32| {
        call.teams_says("REFER", cseq, &teams_refer());
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        ok(call, &notify);
        let invite = call.shard.next_request(Method::Invite).message;
        call.shard
            .teams_says(&response(&invite, "486 Busy Here", "z1", "", ""));
        call.shard.next_request(Method::Ack);
        let notify = call.shard.next_request(Method::Notify).message;
        ok(call, &notify);
    };
    for cseq in 1..=32 {
        busy(&mut call, cseq);
    }
    call.teams_says("REFER", 33, &teams_refer());
    call.shard.next_response(603);
    call.lives();
    // Five colleagues are busy, and the sixth answers.
    let mut call = Call::new();
    for cseq in 1..=5 {
        busy(&mut call, cseq);
    }
    call.teams_says("REFER", 6, &teams_refer());
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    ok(&mut call, &notify);
    let invite = call.shard.next_request(Method::Invite).message;
    target_answers(&mut call, &invite);
    notified(&mut call, LAST, "200 OK");
}

#[test]
fn a_trunk_may_have_its_refer_accepted_with_200() {
    let key = "codecs = [\"PCMA\", \"PCMU\"]";
    let config = CONFIG.replace(key, &format!("{key}\nrefer_status = \"200\""));
    let mut call = Call::with(&config);
    call.says("REFER", REFER, "");
    call.shard.next_response(200);
    notified(&mut call, ACTIVE, "100 Trying");
}

#[test]
fn a_transfer_is_told_as_a_diversion_where_a_trunk_asks() {
    let teams = "preset = \"teams\"\n";
    for (form, name) in [
        ("diversion", HeaderName::Diversion),
        ("history-info", HeaderName::HistoryInfo),
    ] {
        let keys = format!("transfer_diversion = true\nidentity = {{ diversion = \"{form}\" }}\n");
        let mut call = Call::with(&CONFIG.replace(teams, &format!("{teams}{keys}")));
        call.says("REFER", REFER, "");
        call.shard.next_response(202);
        notified(&mut call, ACTIVE, "100 Trying");
        let invite = call.shard.next_request(Method::Invite).message;
        let told: Vec<String> = invite
            .headers()
            .filter(|line| line.name() == name)
            .map(|line| String::from_utf8_lossy(&line.value()).into_owned())
            .collect();
        let told = told.join(", ");
        assert!(told.contains("+498999998001"), "{told}");
        assert!(
            told.contains("deflection") || told.contains("cause=480"),
            "{told}"
        );
    }
    let (_, invite) = referred_by_carrier();
    assert!(!invite.has(HeaderName::HistoryInfo) && !invite.has(HeaderName::Diversion));
}

#[test]
fn the_time_to_leave_of_one_transfer_ends_nothing_of_the_next() {
    let (mut call, invite) = referred_by_teams();
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    ok(&mut call, &notify);
    call.teams_says("BYE", 2, "");
    call.shard.next_response(200);
    // Who got the call passes it on, and the next one lets it ring.
    let request = callee_request(&invite, "z1", "REFER", 1, &teams_refer());
    call.shard
        .teams_says(&request.replace("z9hG4bK", "z9hG4bKnext"));
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let next = call.shard.next_request(Method::Invite).message;
    let ringing = response(&next, "180 Ringing", "n1", TEAMS_CONTACT, "");
    call.shard.teams_says(&ringing);
    call.shard.pass(Duration::from_secs(1));
    let notify = notified(&mut call, ACTIVE, "180 Ringing");
    ok(&mut call, &notify);
    call.shard.pass(Duration::from_secs(35));
    assert!(call.shard.sent.is_empty(), "{}", text(&call.shard.sent[0]));
    let answer = response(&next, "200 OK", "n1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    notified(&mut call, LAST, "200 OK");
}

#[test]
fn whoever_has_transferred_has_its_own_time_to_leave() {
    // Teams does not leave, and 5 s later the party that it left behind transfers who came.
    let (mut call, invite) = referred_by_teams();
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    ok(&mut call, &notify);
    call.shard.pass(Duration::from_secs(5));
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let next = call.shard.next_request(Method::Invite).message;
    let answer = response(&next, "200 OK", "n1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    let notify = notified(&mut call, LAST, "200 OK");
    ok(&mut call, &notify);
    // The carrier has 3 s.
    call.shard.pass(Duration::from_millis(3_100));
    let bye = call.shard.next_request(Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), CARRIER);
    ok(&mut call, &bye.message);
    call.shard.pass(Duration::from_secs(20));
    assert!(call.shard.sent.is_empty(), "{}", text(&call.shard.sent[0]));
    // And Teams has 32.
    call.shard.pass(Duration::from_secs(5));
    let bye = call.shard.next_request(Method::Bye);
    assert_ne!(bye.hop.remote.to_string(), CARRIER);
}

#[test]
fn a_full_trunk_lets_its_own_calls_be_transferred() {
    let name = "name = \"teams-contoso\"";
    let config = CONFIG.replacen(name, &format!("{name}\nlimits = {{ calls = 1 }}"), 1);
    let mut call = Call::with(&config);
    call.teams_says("REFER", 1, &teams_refer());
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let invite = call.shard.next_request(Method::Invite).message;
    // Others still wait for a place.
    call.shard
        .carrier_says(&carrier_invite("other", CARRIER_SDP));
    call.shard.next_response(100);
    call.shard.next_response(503);
    target_answers(&mut call, &invite);
    let notify = notified(&mut call, LAST, "200 OK");
    ok(&mut call, &notify);
    call.teams_says("BYE", 2, "");
    call.shard.next_response(200);
    // One has left, and one is there.
    let other = carrier_invite("third", CARRIER_SDP);
    call.shard.carrier_says(&other);
    call.shard.next_response(100);
    call.shard.next_response(503);
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    ok(&mut call, &bye);
    let other = carrier_invite("fourth", CARRIER_SDP);
    call.shard.carrier_says(&other);
    call.shard.next_response(100);
    call.shard.next_request(Method::Invite);
}

#[test]
fn a_transfer_that_gets_no_port_gives_its_place_back() {
    let name = "name = \"teams-contoso\"";
    let config = CONFIG.replacen(name, &format!("{name}\nlimits = {{ calls = 2 }}"), 1);
    let mut call = Call::with(&config);
    call.shard.refuse_media = true;
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let notify = notified(&mut call, LAST, "503 Service Unavailable");
    ok(&mut call, &notify);
    call.shard.refuse_media = false;
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    call.shard.next_request(Method::Invite);
}

#[test]
fn the_end_is_told_to_a_transferor_that_left_while_its_name_was_looked_for() {
    let mut call = Call::new();
    call.shard.refuse_media = true;
    // It moves behind a name: a REFER says so as an INVITE does (RFC 5057 §5.5).
    let by_name = REFER.replace("gw@198.51.100.20:5060", "gw@gw.carrier.example:5060");
    call.says("REFER", &by_name, "");
    call.shard.next_response(202);
    assert!(call.shard.sent.is_empty(), "nobody knows the way");
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    ok(&mut call, &bye);
    let (query, _) = call.shard.queries.pop_front().expect("a question");
    let found = Outcome::Resolved(vec![CARRIER.parse().expect("address")]);
    call.shard.apply(Input::Outcome(query, found));
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let notify = notified(&mut call, LAST, "503 Service Unavailable");
    ok(&mut call, &notify);
    call.shard.settles();
}

#[test]
fn a_transfer_whose_port_never_comes_gives_its_place_back() {
    let name = "name = \"teams-contoso\"";
    let config = CONFIG.replacen(name, &format!("{name}\nlimits = {{ calls = 2 }}"), 1);
    let config = format!("{config}\n[limits]\nmax_setup = \"30s\"\n");
    let mut call = Call::with(&config);
    call.shard.hold_media = true;
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    call.shard.pass(Duration::from_millis(30_200));
    let notify = notified(&mut call, LAST, "408 Request Timeout");
    ok(&mut call, &notify);
    call.shard.hold_media = false;
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    call.shard.next_request(Method::Invite);
}

#[test]
fn a_port_that_comes_too_late_is_not_that_of_the_next_transfer() {
    let config = format!("{CONFIG}\n[limits]\nmax_setup = \"30s\"\n");
    for is_refused in [false, true] {
        let mut call = Call::with(&config);
        call.shard.hold_media = true;
        for _ in 0..2 {
            call.says("REFER", REFER, "");
            call.shard.next_response(202);
            let notify = notified(&mut call, ACTIVE, "100 Trying");
            ok(&mut call, &notify);
            if call.shard.asked().len() == 2 {
                call.shard.pass(Duration::from_millis(30_200));
                let notify = notified(&mut call, LAST, "408 Request Timeout");
                ok(&mut call, &notify);
            }
        }
        // That of the call's own set-up, and those of the two transfers.
        let asked = call.shard.asked();
        assert_eq!(asked.len(), 3);
        call.shard.hold_media = false;
        call.shard.refuse_media = is_refused;
        let late = call.shard.relay(&asked[1]).expect("an answer");
        call.shard.apply(Input::Media(late));
        assert!(call.shard.sent.is_empty(), "it is of the first transfer");
        call.shard.refuse_media = false;
        let own = call.shard.relay(&asked[2]).expect("an answer");
        let media_api::Event::Allocated { endpoints, .. } = &own else {
            panic!("{own:?}");
        };
        let port = endpoints[0].streams[0].rtp.port();
        call.shard.apply(Input::Media(own));
        let invite = call.shard.next_request(Method::Invite).message;
        let body = String::from_utf8_lossy(&invite.body()).into_owned();
        assert!(body.contains(&format!("m=audio {port} ")), "{body}");
    }
}

#[test]
fn a_refusal_is_of_the_transfer_whose_port_it_names_whatever_comes_first() {
    let config = format!("{CONFIG}\n[limits]\nmax_setup = \"30s\"\n");
    let mut call = Call::with(&config);
    call.shard.hold_media = true;
    for late in [true, false] {
        call.says("REFER", REFER, "");
        call.shard.next_response(202);
        let notify = notified(&mut call, ACTIVE, "100 Trying");
        ok(&mut call, &notify);
        if late {
            call.shard.pass(Duration::from_millis(30_200));
            let notify = notified(&mut call, LAST, "408 Request Timeout");
            ok(&mut call, &notify);
        }
    }
    let first = call.shard.asked()[1].clone();
    call.shard.refuses_ports();
    let notify = notified(&mut call, LAST, "503 Service Unavailable");
    ok(&mut call, &notify);
    let late = call.shard.relay(&first).expect("an answer");
    call.shard.apply(Input::Media(late));
    assert!(call.shard.sent.is_empty(), "nobody waits for it");
    call.lives();
}

#[test]
fn limits_hold_for_where_a_transfer_leads() {
    let limit = "
[[limit]]
name = \"hotline\"
match = { called = [\"+493023125999\"] }
calls = 1
";
    let mut call = Call::with(&format!("{CONFIG}{limit}"));
    let busy = carrier_invite("busy", CARRIER_SDP).replace("+493023125456", "+493023125999");
    call.shard.carrier_says(&busy);
    call.shard.next_response(100);
    let other = call.shard.next_request(Method::Invite).message;
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    let notify = notified(&mut call, LAST, "503 Service Unavailable");
    ok(&mut call, &notify);
    call.shard
        .teams_says(&response(&other, "486 Busy Here", "o1", "", ""));
    call.shard.next_request(Method::Ack);
    call.shard.next_response(486);
    // The place is free, and the transfer takes it as a call would.
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = notified(&mut call, ACTIVE, "100 Trying");
    ok(&mut call, &notify);
    call.shard.next_request(Method::Invite);
    call.shard.carrier_says(&busy.replace("busy", "again"));
    call.shard.next_response(100);
    call.shard.next_response(503);
}

#[test]
fn teams_is_sent_no_refer_whatever_it_leaves_unsaid() {
    let relays = CONFIG.replace(
        "name = \"carrier-a\"\n",
        "name = \"carrier-a\"\nrefer = \"relay\"\n",
    );
    assert_ne!(relays, CONFIG);
    let mut call = Call::with(&relays);
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    notified(&mut call, ACTIVE, "100 Trying");
    // We carry it out ourselves.
    call.shard.next_request(Method::Invite);
}
