//! Trunks of a route that are called all at once (SIP-314): whoever answers first has the call.

use crate::world;

use media_api::{Command, EndpointId};
use sbc_core::sip::header::MaxBreadth;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::two::{Two, two_carriers};
use world::*;

/// Calls of the carrier go to trunk b and to Teams at once; `of_b` is said of that trunk.
fn config_with(of_b: &str, of_a: &str) -> String {
    two_carriers(of_a, of_b).replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]\nring = \"at_once\"",
    )
}

/// A call that both have got; the INVITE to Teams beside it.
fn both(of_b: &str, of_a: &str, lines: &str, sdp: &str) -> (Two, Message) {
    let mut shard = Shard::with(config_of(&config_with(of_b, of_a)));
    let invite = carrier_invite("two", sdp);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let teams = shard.next_request(Method::Invite).message;
    assert!(shard.sent.is_empty());
    (Two { shard, invite }, teams)
}

fn usual() -> (Two, Message) {
    both("", "", "", CARRIER_SDP)
}

fn teams_says(two: &mut Two, invite: &Message, status: &str, sdp: &str) {
    two.shard
        .teams_says(&response(invite, status, "x1", TEAMS_CONTACT, sdp));
}

fn joined(two: &Two) -> Option<(EndpointId, EndpointId)> {
    let mut commands = two.shard.media.iter().rev();
    commands.find_map(|command| match command {
        Command::Update { plan, .. } => plan.joined,
        _ => None,
    })
}

/// The CANCEL that tells a phone that the call was answered elsewhere.
fn told_elsewhere(two: &mut Two) -> Message {
    let cancel = two.shard.next_request(Method::Cancel).message;
    let reason = header(&cancel, HeaderName::Reason);
    assert!(
        reason.contains("SIP;cause=200;text=\"Call completed elsewhere\""),
        "{reason}"
    );
    cancel
}

/// Both have said that they got it; before that nobody may be cancelled (RFC 3261 §9.1).
fn heard(two: &mut Two, teams: &Message) {
    two.says("100 Trying", "", "", "");
    teams_says(two, teams, "100 Trying", "");
    assert!(two.shard.sent.is_empty());
}

#[test]
fn whoever_answers_first_has_the_call_and_the_others_are_told_so() {
    let (mut two, teams) = usual();
    let breadth = |invite: &Message| invite.get::<MaxBreadth>().unwrap().unwrap().0;
    assert_eq!((breadth(&two.invite), breadth(&teams)), (30, 30), "SIP-404");
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    teams_says(&mut two, &teams, "180 Ringing", "");
    assert!(two.shard.sent.is_empty(), "SIP-315");
    teams_says(&mut two, &teams, "200 OK", TEAMS_SDP);
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    let cancel = told_elsewhere(&mut two);
    assert_eq!(
        header(&cancel, HeaderName::CallId),
        header(&two.invite, HeaderName::CallId)
    );
    assert_eq!(joined(&two), Some((EndpointId(0), EndpointId(2))));
    two.ack(&ok);
    two.hear(&response(&cancel, "200 OK", "", "", ""));
    two.says("487 Request Terminated", "b1", "", "");
    two.shard.next_request(Method::Ack);
    two.shard.pass(Duration::from_secs(60));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    let bye = in_dialog(&ok, "BYE", 11, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&teams, HeaderName::CallId)
    );
    two.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = &two.shard.records[0];
    let outcomes: Vec<_> = record
        .egress
        .iter()
        .map(|attempt| (attempt.status, attempt.reason.as_deref()))
        .collect();
    assert_eq!(
        outcomes,
        [(None, Some("answered elsewhere")), (Some(200), None)]
    );
    two.shard.settles();
}

#[test]
fn a_second_answer_that_crosses_the_cancel_is_ended() {
    let (mut two, teams) = usual();
    heard(&mut two, &teams);
    teams_says(&mut two, &teams, "200 OK", TEAMS_SDP);
    two.shard.next_request(Method::Ack);
    two.shard.next_response(200);
    told_elsewhere(&mut two);
    two.says("200 OK", "b1", "", CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let bye = two.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&two.invite, HeaderName::CallId)
    );
    assert_eq!(joined(&two), Some((EndpointId(0), EndpointId(2))));
}

#[test]
fn a_refusal_waits_for_the_others_and_the_best_is_told() {
    for (of_b, of_teams, told) in [
        (486, 480, 480),
        (480, 486, 486),
        (404, 480, 480),
        (503, 486, 486),
    ] {
        let (mut two, teams) = usual();
        two.says(&format!("{of_b} No"), "b1", "", "");
        two.shard.next_request(Method::Ack);
        assert!(two.shard.sent.is_empty(), "Teams may still answer");
        teams_says(&mut two, &teams, &format!("{of_teams} No"), "");
        two.shard.next_request(Method::Ack);
        two.shard.next_response(told);
        assert!(two.shard.sent.is_empty());
    }
}

#[test]
fn whoever_is_left_may_still_answer() {
    for first in [true, false] {
        let (mut two, teams) = usual();
        if first {
            two.says("486 Busy Here", "b1", "", "");
            two.shard.next_request(Method::Ack);
            teams_says(&mut two, &teams, "200 OK", TEAMS_SDP);
        } else {
            teams_says(&mut two, &teams, "486 Busy Here", "");
            two.shard.next_request(Method::Ack);
            two.says("200 OK", "b1", "", CARRIER_SDP);
        }
        two.shard.next_request(Method::Ack);
        let ok = two.shard.next_response(200).message;
        assert!(!ok.body().is_empty() && two.shard.sent.is_empty());
        let with = if first { 2 } else { 1 };
        assert_eq!(joined(&two), Some((EndpointId(0), EndpointId(with))));
    }
}

#[test]
fn the_last_word_of_all_places_ends_it_everywhere() {
    let (mut two, teams) = usual();
    heard(&mut two, &teams);
    two.says("603 Decline", "b1", "", "");
    two.shard.next_request(Method::Ack);
    two.shard.next_response(603);
    two.shard.next_request(Method::Cancel);
    assert!(two.shard.sent.is_empty());
}

#[test]
fn a_caller_that_gives_up_ends_all_of_them() {
    let (mut two, _) = usual();
    // Nobody is cancelled that has not said anything yet.
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    two.shard.carrier_says(&carrier_cancel("two"));
    two.shard.next_response(200);
    two.shard.next_response(487);
    let first = two.shard.next_request(Method::Cancel).message;
    assert_eq!(
        header(&first, HeaderName::CallId),
        header(&two.invite, HeaderName::CallId)
    );
    two.shard.pass(Duration::from_secs(200));
    assert_eq!(two.shard.records.len(), 1);
}

#[test]
fn the_caller_hears_the_newest_that_plays_and_the_other_when_that_one_refuses() {
    let (mut two, teams) = usual();
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    let early = two.shard.next_response(183).message;
    assert_eq!(joined(&two), Some((EndpointId(0), EndpointId(1))));
    two.shard.pass(Duration::from_secs(2));
    teams_says(&mut two, &teams, "183 Session Progress", TEAMS_SDP);
    let again = two.shard.next_response(183).message;
    assert_eq!(again.body(), early.body(), "SIP-312");
    assert_eq!(joined(&two), Some((EndpointId(0), EndpointId(2))));
    teams_says(&mut two, &teams, "480 No", "");
    two.shard.next_request(Method::Ack);
    assert_eq!(joined(&two), Some((EndpointId(0), EndpointId(1))));
    let ok = two.answered("b1", CARRIER_SDP);
    assert_eq!(ok.body(), early.body());
}

#[test]
fn the_ringing_tone_ends_with_the_last_phone_that_rings() {
    let orders = |two: &Two| -> Vec<bool> {
        let commands = two.shard.media.iter();
        let orders = commands.filter_map(|command| match command {
            Command::Play { playing, .. } => Some(playing.is_some()),
            _ => None,
        });
        orders.collect()
    };
    // The other place, which has not rung, is still called.
    let (mut two, teams) = both("", "ringback = \"auto\"", "", CARRIER_SDP);
    heard(&mut two, &teams);
    two.says("180 Ringing", "b1", "", "");
    assert_eq!(orders(&two), [true]);
    two.says("480 No", "b1", "", "");
    assert_eq!(orders(&two), [true, false]);
    teams_says(&mut two, &teams, "180 Ringing", "");
    assert_eq!(orders(&two), [true, false, true]);

    // Both ring, and one goes on.
    let (mut two, teams) = both("", "ringback = \"auto\"", "", CARRIER_SDP);
    heard(&mut two, &teams);
    two.says("180 Ringing", "b1", "", "");
    two.says("180 Ringing", "b2", "", "");
    teams_says(&mut two, &teams, "180 Ringing", "");
    two.says("480 No", "b1", "", "");
    assert_eq!(orders(&two), [true]);
    teams_says(&mut two, &teams, "486 Busy Here", "");
    assert_eq!(orders(&two), [true, false]);
}

#[test]
fn a_phone_of_several_that_rings_no_longer_takes_its_tone_with_it() {
    let (mut two, teams) = both("", "ringback = \"auto\"", "", CARRIER_SDP);
    heard(&mut two, &teams);
    two.says("180 Ringing", "b1", "", "");
    two.says("180 Ringing", "b2", "", "");
    let plays = |two: &Two| {
        let mut orders = two.shard.media.iter().rev();
        orders.find_map(|command| match command {
            Command::Play { playing, .. } => Some(playing.is_some()),
            _ => None,
        })
    };
    two.says("199 Early Dialog Terminated", "b2", "", "");
    assert_eq!(plays(&two), Some(true));
    two.says("199 Early Dialog Terminated", "b1", "", "");
    assert_eq!(plays(&two), Some(false));
}

#[test]
fn a_caller_without_offer_is_offered_what_the_first_answer_has() {
    let (mut two, teams) = both("late_offer = \"pass\"", "", "", "");
    assert!(!two.invite.body().is_empty(), "one offer for each, of ours");
    assert!(!teams.body().is_empty());
    heard(&mut two, &teams);
    two.says("200 OK", "b1", "", CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    assert!(!ok.body().is_empty());
    two.shard.next_request(Method::Cancel);
}

#[test]
fn a_breadth_of_one_calls_one_after_the_other() {
    let mut shard = Shard::with(config_of(&config_with("", "")));
    let invite = carrier_invite("two", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", "Max-Breadth: 1\nMax-Forwards"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(shard.sent.is_empty());
    let mut two = Two { shard, invite };
    two.says("486 Busy Here", "b1", "", "");
    two.shard.next_request(Method::Ack);
    two.shard.next_request(Method::Invite);
}

#[test]
fn each_place_is_an_early_dialog_where_the_caller_wants_to_see_them() {
    let keys = "early_dialogs = \"transparent\"";
    let (mut two, teams) = both("", keys, "Supported: 199\n", CARRIER_SDP);
    two.says("180 Ringing", "b1", "", "");
    let first = two.shard.next_response(180).message;
    teams_says(&mut two, &teams, "180 Ringing", "");
    let second = two.shard.next_response(180).message;
    let to = |message: &Message| header(message, HeaderName::To);
    assert_ne!(to(&first), to(&second));
    two.says("486 Busy Here", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let ended = two.shard.next_response(199).message;
    assert_eq!(to(&ended), to(&first));
    assert_eq!(header(&ended, HeaderName::Reason), "SIP;cause=486");
    teams_says(&mut two, &teams, "200 OK", TEAMS_SDP);
    two.shard.next_request(Method::Ack);
    assert_eq!(to(&two.shard.next_response(200).message), to(&second));
}

#[test]
fn a_redirection_that_is_not_followed_says_less_than_that_somebody_is_busy() {
    let (mut two, teams) = usual();
    two.says("486 Busy Here", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let moved = "Contact: <sip:+493023125999@203.0.113.1>\n";
    let moved = response(&teams, "380 Alternative Service", "x1", moved, "");
    two.shard.teams_says(&moved);
    two.shard.next_request(Method::Ack);
    two.shard.next_response(486);
}

/// The places are of calls: a call needs one, whoever of those that ring has it in the end (MED-242).
#[test]
fn a_call_has_one_place_to_be_transcoded_however_many_trunks_ring() {
    let transcode = "transcode = [\"opus\"]";
    let preset = "preset = \"teams\"\n";
    let text = config_with(transcode, "").replace(preset, &format!("{preset}{transcode}\n"));
    let text = format!("{text}\n[limits]\ntranscoding = 1\n");
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    for _ in 0..2 {
        let invite = shard.next_request(Method::Invite).message;
        assert!(body(&invite).contains("opus"), "{}", body(&invite));
    }
}

/// Whoever of several is redirected is called there when nobody else has answered (SIP-900).
#[test]
fn where_several_ring_a_redirection_is_followed_after_the_others() {
    for is_last in [false, true] {
        let (mut two, teams) = both("redirect = \"follow\"", "", "", CARRIER_SDP);
        let busy = response(&teams, "486 Busy Here", "x1", "", "");
        if is_last {
            two.shard.teams_says(&busy);
            two.shard.next_request(Method::Ack);
        }
        let uri = String::from_utf8_lossy(&two.invite.request_uri()).replace("40", "40:5062");
        let moved = format!("Contact: <{uri}>\n");
        two.says("302 Moved Temporarily", "b1", &moved, "");
        two.shard.next_request(Method::Ack);
        if !is_last {
            assert!(two.shard.sent.is_empty(), "the others still ring");
            two.shard.teams_says(&busy);
            two.shard.next_request(Method::Ack);
        }
        let onward = two.shard.next_request(Method::Invite);
        assert_eq!(onward.hop.remote.to_string(), "198.51.100.40:5062");
    }
}

/// Nobody who calls for help waits for those who ring.
#[test]
fn where_several_ring_a_redirection_to_a_number_of_help_is_followed_at_once() {
    let help = "[[route]]\nname = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier-a\" }]\n";
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = config_with("redirect = \"follow\"", "");
    let config = config.replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    for is_first in [true, false] {
        let mut shard = Shard::with(config_of(&format!("{config}{help}")));
        shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let teams = shard.next_request(Method::Invite).message;
        let mut two = Two { shard, invite };
        two.says("180 Ringing", "b1", "", "");
        two.shard.next_response(180);
        teams_says(&mut two, &teams, "180 Ringing", "");
        if is_first {
            let moved = "Contact: <sip:112@198.51.100.40>\n";
            two.says("302 Moved Temporarily", "b1", moved, "");
        } else {
            let moved = "Contact: <sip:112@sip.pstnhub.microsoft.com:5061;user=phone>\n";
            let moved = response(&teams, "302 Moved Temporarily", "x1", moved, "");
            two.shard.teams_says(&moved);
        }
        two.shard.next_request(Method::Ack);
        let sent: Vec<Sent> = two.shard.sent.drain(..).collect();
        let of = |method: Method| {
            let mut sent = sent.iter();
            let found =
                sent.find(|own| *own.message.method() == method && own.message.is_request());
            &found.expect("it is sent").message
        };
        let silenced = match is_first {
            true => &teams,
            false => &two.invite,
        };
        let id = |message| header(message, HeaderName::CallId);
        assert_eq!(id(of(Method::Cancel)), id(silenced));
        let uri = String::from_utf8_lossy(&of(Method::Invite).request_uri()).into_owned();
        assert!(uri.starts_with("sip:112@198.51.100."), "{uri}");
    }
}
