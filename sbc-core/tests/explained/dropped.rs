//! Messages that come to nothing before there is a call, each made for real, and what an operator reads of them.

use crate::{replaces, world};
use sbc_core::event::{DropCode, Happened};
use sbc_core::id::CommandId;
use sbc_core::input::{Command, Input};
use sbc_core::report::{dropped, note};
use std::sync::Arc;
use world::call::Call;
use world::*;

/// What is dropped of one message, as it is told.
struct Row {
    why: DropCode,
    scene: fn() -> Shard,
    happened: &'static str,
    change: &'static str,
}

const fn row(
    why: DropCode,
    scene: fn() -> Shard,
    happened: &'static str,
    change: &'static str,
) -> Row {
    Row {
        why,
        scene,
        happened,
        change,
    }
}

fn carrier(text: &str) -> Shard {
    let mut shard = Shard::new();
    shard.carrier_says(text);
    shard
}

/// A request of the carrier for a call that nobody knows.
fn alone(method: &str) -> String {
    carrier_invite("unknown", "")
        .replace("INVITE sip", &format!("{method} sip"))
        .replace("10 INVITE", &format!("10 {method}"))
        .replace(
            "To: <sip:+493023125456@192.0.2.11>",
            "To: <sip:+493023125456@192.0.2.11>;tag=x",
        )
}

fn stranger() -> Shard {
    let mut shard = Shard::new();
    let mut flow = carrier_flow();
    flow.remote = "203.0.113.77:5060".parse().expect("an address");
    shard.receive(flow, &carrier_invite("call", CARRIER_SDP));
    shard
}

fn wrong_identity() -> Shard {
    let mut shard = Shard::new();
    let mut flow = teams_flow();
    if let Some(identity) = &mut flow.identity {
        Arc::make_mut(identity).names = vec!["sip.example.net".to_owned()];
    }
    shard.receive(flow, &teams_invite("call"));
    shard
}

fn answer(via: &str) -> String {
    let text = "SIP/2.0 200 OK
Via: VIA
From: <sip:+493023125456@192.0.2.11>;tag=a
To: <sip:+498999998001@198.51.100.20>;tag=b
Call-ID: nothing
CSeq: 1 INVITE
Content-Length: 0

";
    text.replace("VIA", via)
}

/// Teams answers our INVITE, and says that it had gone out at another place.
fn foreign_via() -> Shard {
    let (mut shard, invite) = called_out("call");
    let text = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    let ours = text.lines().find(|line| line.starts_with("Via: "));
    let ours = ours.expect("our Via");
    let (_, branch) = ours.split_once("branch=").expect("our branch");
    let other = format!("Via: SIP/2.0/TLS 203.0.113.99:5061;branch={branch}");
    shard.teams_says(&text.replace(ours, &other));
    shard
}

fn full() -> Shard {
    let mut shard = Shard::with(config_of(&format!("{CONFIG}\n[limits]\ncalls = 1\n")));
    shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard
}

fn draining() -> Shard {
    let mut shard = Shard::new();
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard
}

fn unrecorded() -> Shard {
    let mut shard = Shard::new();
    shard.apply(Input::Unrecorded(true));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard
}

/// An INVITE of the carrier that would replace the leg of Teams.
fn foreign_dialog() -> Shard {
    let mut call = Call::new();
    let lines = replaces::replaces(&call, "");
    let invite = carrier_invite("foreign", CARRIER_SDP);
    let text = invite.replace("Max-Forwards", &format!("{lines}Max-Forwards"));
    call.shard.carrier_says(&text);
    call.shard
}

const ROWS: &[Row] = &[
    row(
        DropCode::Stranger,
        stranger,
        "no peer's of any trunk",
        "accept_from of its [[trunk]]",
    ),
    row(
        DropCode::WrongIdentity,
        wrong_identity,
        "certificate",
        "accept_names of the [[trunk]]",
    ),
    row(
        DropCode::UnknownHost,
        || {
            let mut shard = Shard::new();
            let invite = teams_invite("call");
            shard.teams_says(&invite.replacen("sbc1.contoso.example", "sbc9.contoso.example", 1));
            shard
        },
        "fqdn of no trunk",
        "compare fqdn",
    ),
    row(
        DropCode::Malformed,
        || carrier("INVITE sip:x SIP/2.0\nnonsense\n\n"),
        "no sound SIP message",
        "causeway sip parse",
    ),
    row(
        DropCode::Malformed,
        || {
            let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
            carrier(&carrier_invite("call", CARRIER_SDP).replace(contact, ""))
        },
        "without a usable Contact",
        "its sender must change it",
    ),
    row(
        DropCode::StrayResponse,
        || carrier(&answer("SIP/2.0/UDP 192.0.2.11:5060;branch=z9hG4bKnothing")),
        "answers nothing",
        "32 s",
    ),
    row(
        DropCode::StrayAck,
        || carrier(&alone("ACK")),
        "acknowledges (ACK) nothing",
        "Call-ID",
    ),
    row(
        DropCode::ForeignVia,
        foreign_via,
        "Via that is not ours",
        "changes Via",
    ),
    row(
        DropCode::UnknownDialog,
        || carrier(&alone("BYE")),
        "not known here",
        "restart",
    ),
    row(
        DropCode::ForeignDialog,
        foreign_dialog,
        "another customer",
        "tenant",
    ),
    row(
        DropCode::MethodNotAllowed,
        || carrier(&alone("PUBLISH").replace(";tag=x", "")),
        "method is not served",
        "Allow",
    ),
    row(DropCode::Overload, full, "is full", "calls in [limits]"),
    row(DropCode::Overload, draining, "drains", "causeway undrain"),
    row(
        DropCode::Unrecorded,
        unrecorded,
        "records cannot be written",
        "[cdr]",
    ),
];

#[test]
fn whatever_is_dropped_before_a_call_is_told_with_what_to_change() {
    for row in ROWS {
        let shard = (row.scene)();
        let told = shard.happened.iter().filter_map(|what| match what {
            Happened::Dropped { why, .. } => Some((*why, note(what).expect("a line"))),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        let Some((why, line)) = told.last() else {
            panic!(
                "{}: nothing was dropped: {:?}",
                row.why.as_str(),
                shard.sent
            );
        };
        assert_eq!(*why, row.why, "{line}");
        assert!(line.contains(row.happened), "{line}");
        assert!(line.contains(row.change), "{line}");
    }
}

/// A source that is kept out never gets as far as a shard: `cli/src/daemon/net/bans.rs`.
#[test]
fn every_reason_to_drop_a_message_has_a_row_and_two_sentences() {
    for why in DropCode::ALL {
        let (happened, change) = dropped(why);
        assert!(happened.len() > 20 && change.len() > 20, "{}", why.as_str());
        let has_row = ROWS.iter().any(|row| row.why == why);
        assert_eq!(has_row, why != DropCode::Banned, "{}", why.as_str());
    }
}
