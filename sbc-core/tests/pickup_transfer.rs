//! The target of a transfer rings and is picked up by another phone: INVITE with Replaces of the dialog
//! that the transfer has begun (RFC 3891 §3, SIP-806).

use crate::world;

use media_api::{Command, EndpointId};
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const REFER: &str =
    "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
const NEWCOMER_VIA: &str = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKn";

/// The carrier's caller transfers Teams to a number that rings: the call, and the INVITE to the target.
fn ringing() -> (Call, Message) {
    let mut call = Call::new();
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    notified(&mut call, "100 Trying");
    let invite = call.shard.next_request(Method::Invite).message;
    target_says(&mut call, &invite, "180 Ringing", "");
    call.shard.pass(Duration::from_secs(1));
    notified(&mut call, "180 Ringing");
    (call, invite)
}

fn notified(call: &mut Call, fragment: &str) {
    let notify = call.shard.next_request(Method::Notify).message;
    assert_eq!(notify.body(), format!("SIP/2.0 {fragment}\r\n"));
    call.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
}

fn target_says(call: &mut Call, invite: &Message, status: &str, sdp: &str) {
    let said = response(invite, status, "z1", TEAMS_CONTACT, sdp);
    call.shard.teams_says(&said);
}

/// The INVITE of another phone that picks it up.
fn newcomer(invite: &Message, sdp: &str) -> String {
    let plain = teams_invite("newcomer");
    let (head, _) = plain.split_once("Content-Type").expect("a body");
    let from = header(invite, HeaderName::From);
    let named = format!(
        "Replaces: {};to-tag={};from-tag=z1\n",
        header(invite, HeaderName::CallId),
        from.split(";tag=").nth(1).expect("a tag")
    );
    with_body(&format!("{head}{named}"), sdp)
}

fn joined(call: &Call) -> Option<(EndpointId, EndpointId)> {
    let mut commands = call.shard.media.iter().rev();
    commands.find_map(|command| match command {
        Command::Update { plan, .. } => plan.joined,
        _ => None,
    })
}

/// What follows once the newcomer has its port: its 200, the end of the ringing, and the transferor's news.
fn picked_up(call: &mut Call, invite: &Message) -> Message {
    let ok = call.shard.next_response(200).message;
    assert_eq!(header(&ok, HeaderName::CallId), "newcomer");
    let cancel = call.shard.next_request(Method::Cancel).message;
    let call_id = |message: &Message| header(message, HeaderName::CallId);
    assert_eq!(call_id(&cancel), call_id(invite));
    let reason = header(&cancel, HeaderName::Reason);
    assert!(reason.contains("Call completed elsewhere"), "{reason}");
    call.shard
        .teams_says(&response(&cancel, "200 OK", "", "", ""));
    notified(call, "200 OK");
    target_says(call, invite, "487 Request Terminated", "");
    call.shard.next_request(Method::Ack);
    // Whoever stays, and who has come: the transferor has no part in it any more.
    assert_eq!(joined(call), Some((EndpointId(3), EndpointId(1))));
    ok
}

#[test]
fn the_ringing_target_of_a_transfer_is_picked_up_by_another_phone() {
    for sdp in [TEAMS_SDP, ""] {
        let (mut call, invite) = ringing();
        call.shard.teams_says(&newcomer(&invite, sdp));
        call.shard.next_response(100);
        let ok = picked_up(&mut call, &invite);
        assert!(!ok.body().is_empty());
        let ack = in_dialog(&ok, "ACK", 1, &format!("{NEWCOMER_VIA}1"));
        match sdp {
            "" => {
                let head = ack.replace("Content-Length: 0\n\n", "");
                call.shard.teams_says(&with_body(&head, TEAMS_SDP));
            }
            _ => call.shard.teams_says(&ack),
        }
        // The transferor has its time to leave, and does not use it.
        call.shard.pass(Duration::from_millis(3_100));
        let bye = call.shard.next_request(Method::Bye).message;
        assert_eq!(header(&bye, HeaderName::CallId), "call");
        call.shard
            .carrier_says(&response(&bye, "200 OK", "", "", ""));
        call.shard.pass(Duration::from_secs(60));
        assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
        let bye = in_dialog(&ok, "BYE", 2, &format!("{NEWCOMER_VIA}2"));
        call.shard.teams_says(&bye);
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        let record = &call.shard.records[0];
        let told = record.transfers.iter();
        let told: Vec<_> = told
            .map(|line| (line.kind, line.outcome, line.leg))
            .collect();
        let newcomer = Some(sbc_core::id::LegId(3));
        assert_eq!(
            told,
            [
                (TransferKind::Blind, TransferOutcome::Completed, newcomer),
                (TransferKind::Replaced, TransferOutcome::Completed, newcomer),
            ]
        );
        call.shard.settles();
    }
}

#[test]
fn a_target_that_answers_before_the_newcomer_has_a_port_keeps_the_call() {
    let (mut call, invite) = ringing();
    call.shard.hold_media = true;
    call.shard.teams_says(&newcomer(&invite, TEAMS_SDP));
    call.shard.next_response(100);
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    call.shard.next_request(Method::Ack);
    let refused = call.shard.next_response(486).message;
    assert_eq!(header(&refused, HeaderName::CallId), "newcomer");
    notified(&mut call, "200 OK");
    assert_eq!(joined(&call), Some((EndpointId(2), EndpointId(1))));
}

#[test]
fn a_refusal_of_the_target_waits_until_nobody_picks_the_call_up() {
    let (mut call, invite) = ringing();
    call.shard.hold_media = true;
    call.shard.teams_says(&newcomer(&invite, TEAMS_SDP));
    call.shard.next_response(100);
    // A second one finds the place taken.
    let second = newcomer(&invite, TEAMS_SDP).replace("newcomer", "second");
    call.shard.teams_says(&second);
    call.shard.next_response(500);
    target_says(&mut call, &invite, "486 Busy Here", "");
    call.shard.next_request(Method::Ack);
    assert!(call.shard.sent.is_empty(), "{:?}", call.shard.sent);
    call.shard.refuses_ports();
    let refused = call.shard.next_response(503).message;
    assert_eq!(header(&refused, HeaderName::CallId), "newcomer");
    let news = call.shard.next_request(Method::Notify).message;
    assert_eq!(news.body(), "SIP/2.0 486 Busy Here\r\n");
    assert_eq!(joined(&call), Some((EndpointId(0), EndpointId(1))));
}

#[test]
fn a_newcomer_that_gives_up_or_has_no_codec_leaves_the_target_ringing() {
    let foreign = TEAMS_SDP.replace("SAVP 8 0 101", "SAVP 18 101");
    for gives_up in [true, false] {
        let (mut call, invite) = ringing();
        call.shard.hold_media = gives_up;
        let sdp = match gives_up {
            true => TEAMS_SDP,
            false => &foreign,
        };
        call.shard.teams_says(&newcomer(&invite, sdp));
        call.shard.next_response(100);
        match gives_up {
            true => {
                let cancel = newcomer(&invite, "").replace("INVITE sip", "CANCEL sip");
                call.shard
                    .teams_says(&cancel.replace("1 INVITE", "1 CANCEL"));
                call.shard.next_response(200);
                call.shard.next_response(487);
            }
            false => {
                call.shard.next_response(488);
            }
        }
        target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
        call.shard.next_request(Method::Ack);
        let news = call.shard.next_request(Method::Notify).message;
        assert_eq!(news.body(), "SIP/2.0 200 OK\r\n");
        assert_eq!(joined(&call), Some((EndpointId(2), EndpointId(1))));
    }
}
