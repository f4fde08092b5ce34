//! Early media by hand: whose may flow before the answer, for how long, and as which status ringing
//! is told.

mod world;

use media_api::Command;
use sbc_core::sip::Method;
use std::time::Duration;
use world::two::Two;
use world::*;

fn bodies(two: &mut Two) -> Vec<(u16, bool)> {
    let sent = two.shard.sent.drain(..);
    sent.filter_map(|sent| {
        let code = sent.message.status()?.code();
        Some((code, !sent.message.body().is_empty()))
    })
    .collect()
}

/// Whether the relay joins the two sides.
fn flows(two: &Two) -> bool {
    let joins = |command: &Command| matches!(command, Command::Update { plan, .. } if plan.joined.is_some());
    two.shard.media.iter().any(joins)
}

fn with(of_b: &str) -> Two {
    Two::with("", of_b, "", CARRIER_SDP)
}

fn pause(two: &mut Two) {
    two.shard.pass(Duration::from_millis(1_100));
}

#[test]
fn blocked_early_media_reach_neither_side_before_the_answer() {
    for reliably in [false, true] {
        let mut two = with("early_media = \"block\"");
        if reliably {
            two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
            two.pracks(1);
        } else {
            two.says("183 Session Progress", "b1", "", CARRIER_SDP);
        }
        assert_eq!(bodies(&mut two), [(180, false)]);
        assert!(!flows(&two), "not even forwards: nobody talks for nothing");
        let ok = two.answered("b1", CARRIER_SDP);
        assert!(!ok.body().is_empty() && flows(&two));
    }
}

#[test]
fn only_the_first_early_dialog_is_heard_where_a_trunk_says_so() {
    let mut two = with("early_media = \"first\"");
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    pause(&mut two);
    let media = two.shard.media.len();
    two.says("183 Session Progress", "b2", "", CARRIER_SDP);
    assert_eq!(two.shard.media.len(), media);
    assert_eq!(bodies(&mut two), [(183, true), (183, false)]);
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    assert!(two.shard.media.len() > media);
    two.shard.sent.clear();
    // Who answers is heard in any case.
    let ok = two.answered("b2", CARRIER_SDP);
    assert!(!ok.body().is_empty());
}

#[test]
fn early_media_wait_for_the_ringing_where_a_trunk_says_so() {
    let mut two = with("early_media = \"after_180\"");
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    assert_eq!(bodies(&mut two), [(183, false)]);
    assert!(!flows(&two));
    two.says("180 Ringing", "b1", "", "");
    assert_eq!(
        bodies(&mut two),
        [(180, true)],
        "what it said before counts now"
    );
    assert!(flows(&two));
}

#[test]
fn ringing_is_told_as_the_callers_trunk_wants_it() {
    for (key, expected) in [
        ("", [183, 180]),
        ("ringing = \"180\"", [180, 180]),
        ("ringing = \"183\"", [183, 183]),
    ] {
        let mut two = Two::with(key, "", "", CARRIER_SDP);
        two.says("183 Session Progress", "b1", "", CARRIER_SDP);
        pause(&mut two);
        two.says("180 Ringing", "b1", "", "");
        let told: Vec<u16> = bodies(&mut two).into_iter().map(|(code, _)| code).collect();
        assert_eq!(told, expected, "{key}");
    }
}

#[test]
fn early_media_do_not_last_for_ever() {
    let mut two = with("early_media_max = \"30s\"");
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    two.shard.next_response(183);
    two.shard.pass(Duration::from_secs(29));
    assert!(two.shard.sent.is_empty());
    two.shard.pass(Duration::from_secs(2));
    two.shard.next_response(487);
    two.shard.next_request(Method::Cancel);
    let mut two = with("early_media_max = \"30s\"");
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    two.shard.next_response(183);
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(60));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn an_early_dialog_that_ends_is_neither_heard_nor_spoken_to() {
    let mut two = with("");
    let moved = |host: &str| CARRIER_SDP.replace("198.51.100.30", host);
    two.says("183 Session Progress", "b1", "", &moved("198.51.100.41"));
    pause(&mut two);
    two.says("183 Session Progress", "b2", "", &moved("198.51.100.42"));
    two.shard.sent.clear();
    let media = two.shard.media.len();
    two.says("199 Early Dialog Terminated", "b2", "", "");
    assert!(two.shard.sent.is_empty(), "SIP-313");
    let said: Vec<String> = two.shard.media[media..]
        .iter()
        .map(|command| format!("{command:?}"))
        .collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("198.51.100.42") && said[0].contains("Inactive"));
    assert!(said[1].contains("198.51.100.41") && said[1].contains("SendReceive"));
    let ok = two.answered("b1", &moved("198.51.100.41"));
    assert!(!ok.body().is_empty());
}

#[test]
fn a_ringing_tone_is_wanted_while_it_rings_and_nothing_is_heard() {
    use media_api::{EndpointId, Event, StreamIndex};
    use sbc_core::event::Happened;
    use sbc_core::input::Input;
    let wanted = |two: &Two| -> Vec<bool> {
        let told = two.shard.happened.iter().filter_map(|what| match what {
            Happened::Ringback { plays } => Some(*plays),
            _ => None,
        });
        told.collect()
    };
    let heard = |two: &mut Two| {
        let session = two.shard.media.iter().find_map(|command| match command {
            Command::Allocate { session, .. } => Some(*session),
            _ => None,
        });
        two.shard.apply(Input::Media(Event::FirstMedia {
            session: session.expect("ports were asked for"),
            endpoint: EndpointId(1),
            stream: StreamIndex(0),
        }));
    };
    let auto = || Two::with("ringback = \"auto\"", "", "", CARRIER_SDP);
    let mut two = auto();
    two.says("180 Ringing", "b1", "", "");
    assert_eq!(wanted(&two), [true]);
    heard(&mut two);
    assert_eq!(wanted(&two), [true, false], "it sends something itself");
    // Early media that are only promised.
    let mut two = auto();
    two.says("180 Ringing", "b1", "", CARRIER_SDP);
    two.shard.pass(Duration::from_millis(1_900));
    assert_eq!(wanted(&two), []);
    two.shard.pass(Duration::from_millis(200));
    assert_eq!(wanted(&two), [true]);
    two.shard.sent.clear();
    two.answered("b1", CARRIER_SDP);
    assert_eq!(wanted(&two), [true, false]);
    // Early media that come, progress without ringing, and a trunk that does not ask.
    let mut two = auto();
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    heard(&mut two);
    two.says("180 Ringing", "b1", "", "");
    two.shard.pass(Duration::from_secs(5));
    assert_eq!(wanted(&two), []);
    let mut two = auto();
    two.says("183 Session Progress", "b1", "", "");
    two.shard.pass(Duration::from_secs(5));
    assert_eq!(wanted(&two), []);
    let mut two = Two::new("");
    two.says("180 Ringing", "b1", "", "");
    assert_eq!(wanted(&two), []);
}
