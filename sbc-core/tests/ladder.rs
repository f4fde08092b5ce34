//! What is shown of a call: every message that came, above what it caused.

use crate::world;

use bytes::Bytes;
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::sip::{Limits, Message};
use world::*;

/// Applies a message; its first line and those that it caused, in the order in which they show.
fn shown(shard: &mut Shard, is_of_carrier: bool, text: &str) -> Vec<String> {
    let flow = if is_of_carrier {
        carrier_flow()
    } else {
        teams_flow()
    };
    let bytes = Bytes::from(text.replace('\n', "\r\n"));
    let message = Message::parse(bytes, &Limits::default()).unwrap();
    let mut out = Effects::default();
    let now = shard.now;
    shard
        .core
        .apply(now, Input::Received { flow, message }, &mut out);
    let mut lines = Vec::new();
    for effect in out.drain() {
        let (sign, bytes) = match effect {
            Effect::Emit(event) if event.call.is_some() => match event.what {
                Happened::Received { bytes, .. } => ("<", bytes),
                _ => continue,
            },
            Effect::Send {
                bytes,
                call: Some(_),
                ..
            } => (">", bytes),
            _ => continue,
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words: Vec<&str> = text.lines().next().unwrap().split(' ').collect();
        let what = if words[0] == "SIP/2.0" {
            words[1]
        } else {
            words[0]
        };
        lines.push(format!("{sign} {what}"));
    }
    lines
}

fn called() -> (Shard, Message) {
    let (shard, invite) = called_out("call1");
    (shard, invite.message)
}

#[test]
fn what_the_called_side_answers_is_shown_before_what_it_causes() {
    let (mut shard, invite) = called();
    let answer = |start: &str, sdp: &str| response(&invite, start, "x1", TEAMS_CONTACT, sdp);
    let ringing = answer("180 Ringing", "");
    assert_eq!(shown(&mut shard, false, &ringing), ["< 180", "> 180"]);
    let ok = answer("200 OK", TEAMS_SDP);
    assert_eq!(shown(&mut shard, false, &ok)[..2], ["< 200", "> ACK"]);
    // Its repetition shows as well.
    assert_eq!(shown(&mut shard, false, &ok)[..1], ["< 200"]);
}

#[test]
fn an_invite_is_shown_with_its_100() {
    let mut shard = Shard::new();
    let invite = carrier_invite("call1", CARRIER_SDP);
    assert_eq!(shown(&mut shard, true, &invite)[..2], ["< INVITE", "> 100"]);
}

#[test]
fn a_refusal_is_shown_with_its_ack() {
    let (mut shard, invite) = called();
    let busy = response(&invite, "486 Busy Here", "x1", "", "");
    assert_eq!(shown(&mut shard, false, &busy), ["< 486", "> ACK", "> 486"]);
    // The call is over, and the caller's ACK is still one of its messages.
    let ack = carrier_invite("call1", "")
        .replace("INVITE", "ACK")
        .lines()
        .filter(|line| !line.starts_with("Content-Type"))
        .map(|line| match line.starts_with("To:") {
            true => format!("{line};tag=ours\n"),
            false => format!("{line}\n"),
        })
        .collect::<String>();
    assert_eq!(shown(&mut shard, true, &ack), ["< ACK"]);
}

#[test]
fn the_callers_cancel_and_a_repeated_invite_are_shown() {
    let (mut shard, _) = called();
    let invite = carrier_invite("call1", CARRIER_SDP);
    assert_eq!(shown(&mut shard, true, &invite)[..1], ["< INVITE"]);
    let cancel = carrier_invite("call1", "")
        .replace("INVITE", "CANCEL")
        .lines()
        .filter(|line| !line.starts_with("Content-Type") && !line.starts_with("Contact"))
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let lines = shown(&mut shard, true, &cancel);
    assert_eq!(
        lines.first().map(String::as_str),
        Some("< CANCEL"),
        "{lines:?}"
    );
}
