//! Early media by hand: whose may flow before the answer, for how long, and as which status ringing
//! is told.

use crate::world;

use media_api::Command;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::header;
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

/// What has a limit is what is heard: silence counts for nothing, and whoever begins again has what is left.
#[test]
fn the_limit_of_early_media_stands_still_while_none_flow() {
    let mut two = with("early_media_max = \"30s\"");
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    two.shard.pass(Duration::from_secs(20));
    two.says("199 Early Dialog Terminated", "b1", "", "");
    two.shard.pass(Duration::from_secs(20));
    two.says("183 Session Progress", "b2", "", CARRIER_SDP);
    two.shard.pass(Duration::from_secs(9));
    let is_over = |two: &mut Two| bodies(two).into_iter().any(|(code, _)| code == 487);
    assert!(!is_over(&mut two));
    two.shard.pass(Duration::from_secs(2));
    assert!(is_over(&mut two));
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

/// Two trunks that take part in P-Early-Media, and a caller that asks for it.
fn authorised(of_b: &str) -> Two {
    let keys = "trusted = true\np_early_media = true";
    Two::with(keys, of_b, "P-Early-Media: supported\n", CARRIER_SDP)
}

/// What the caller is told: whether it has a description, and what it may hear.
fn authority(two: &mut Two) -> (bool, String) {
    let told = two.shard.next_response(183).message;
    (
        !told.body().is_empty(),
        header(&told, HeaderName::PEarlyMedia),
    )
}

#[test]
fn whoever_is_not_authorised_is_not_heard_and_the_newest_of_the_others_is() {
    let mut two = authorised("trusted = true\np_early_media = true");
    assert_eq!(header(&two.invite, HeaderName::PEarlyMedia), "supported");
    two.says("100 Trying", "", "", "");
    let say = |two: &mut Two, tag: &str, may: &str, sdp: &str| {
        let lines = format!("P-Early-Media: {may}\n");
        two.shard.media.clear();
        two.shard.pass(Duration::from_secs(2));
        two.says("183 Session Progress", tag, &lines, sdp);
    };
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.44");
    say(&mut two, "b1", "inactive, gated", CARRIER_SDP);
    assert_eq!(authority(&mut two), (false, "inactive".to_owned()));
    assert!(two.shard.media.is_empty(), "nothing flows");
    say(&mut two, "b2", "sendonly", &moved);
    assert_eq!(authority(&mut two), (true, "sendonly".to_owned()));
    assert!(format!("{:?}", two.shard.media).contains("198.51.100.44"));
    // The first one may be heard after all, with what it said before.
    say(&mut two, "b1", "sendrecv", "");
    assert_eq!(authority(&mut two), (true, "sendrecv".to_owned()));
    assert!(format!("{:?}", two.shard.media).contains("198.51.100.30"));
    // And no longer: the other one takes over again.
    say(&mut two, "b1", "recvonly", "");
    assert_eq!(authority(&mut two).1, "recvonly");
    let said = format!("{:?}", two.shard.media);
    assert!(
        said.contains("Inactive") && said.contains("198.51.100.44"),
        "{said}"
    );
    // The answer is heard in any case.
    let ok = two.answered("b1", CARRIER_SDP);
    assert!(!ok.has(HeaderName::PEarlyMedia) && !ok.body().is_empty());
}

/// The direction that the relay is told last for the called side.
fn direction_of_b(two: &Two) -> Option<media_api::Direction> {
    let mut commands = two.shard.media.iter().rev();
    commands.find_map(|command| match command {
        Command::Answer {
            endpoint: media_api::EndpointId(1),
            negotiated,
            ..
        } => Some(negotiated.streams[0].as_ref()?.direction),
        _ => None,
    })
}

#[test]
fn nobody_talks_to_a_side_that_may_only_send() {
    use media_api::Direction;
    let mut two = authorised("trusted = true\np_early_media = true");
    two.says("100 Trying", "", "", "");
    let say = |two: &mut Two, may: &str, sdp: &str| {
        let lines = format!("P-Early-Media: {may}\n");
        two.shard.pass(Duration::from_secs(2));
        two.says("183 Session Progress", "b1", &lines, sdp);
        two.shard.next_response(183);
    };
    say(&mut two, "sendonly", CARRIER_SDP);
    assert_eq!(direction_of_b(&two), Some(Direction::Receive));
    // More, less and more again, without a description.
    say(&mut two, "sendrecv", "");
    assert_eq!(direction_of_b(&two), Some(Direction::SendReceive));
    say(&mut two, "sendonly", "");
    assert_eq!(direction_of_b(&two), Some(Direction::Receive));
    let media = two.shard.media.len();
    say(&mut two, "sendonly", "");
    assert_eq!(two.shard.media.len(), media, "nothing new");
    // The answer ends all that.
    two.answered("b1", CARRIER_SDP);
    assert_eq!(direction_of_b(&two), Some(Direction::SendReceive));
}

/// Where the relay is told last that the called side is.
fn place_of_b(two: &Two) -> Option<String> {
    let mut commands = two.shard.media.iter().rev();
    commands.find_map(|command| match command {
        Command::Answer {
            endpoint: media_api::EndpointId(1),
            negotiated,
            ..
        } => Some(negotiated.streams[0].as_ref()?.remote_rtp.ip().to_string()),
        _ => None,
    })
}

const OF_B: &str = "trusted = true\np_early_media = true";

/// A called side whose first exchange is made, with this authority.
fn settled(may: &str, of_b: &str) -> Two {
    let mut two = authorised(of_b);
    two.says("100 Trying", "", "", "");
    let lines = format!("P-Early-Media: {may}\nRequire: 100rel\nRSeq: 1\n");
    two.says("183 Session Progress", "b1", &lines, CARRIER_SDP);
    two.pracks(1);
    two.shard.next_response(183);
    two
}

/// It moves its media by UPDATE.
fn moves(two: &mut Two, cseq: u32, host: &str) {
    let sdp = CARRIER_SDP.replace("198.51.100.30", host);
    two.callee_says("b1", "UPDATE", cseq, &sdp);
    two.shard.next_response(200);
}

/// It says what may flow.
fn may(two: &mut Two, may: &str) {
    two.shard.pass(Duration::from_secs(2));
    let lines = format!("P-Early-Media: {may}\n");
    two.says("180 Ringing", "b1", &lines, "");
    two.shard.next_response(180);
}

#[test]
fn an_early_update_is_no_way_around_what_is_authorised() {
    use media_api::Direction;
    let mut two = settled("sendonly", OF_B);
    assert_eq!(direction_of_b(&two), Some(Direction::Receive));
    moves(&mut two, 1, "198.51.100.43");
    assert_eq!(direction_of_b(&two), Some(Direction::Receive));
    assert_eq!(place_of_b(&two).as_deref(), Some("198.51.100.43"));
    // What it said in the UPDATE is what is authorised from now on.
    may(&mut two, "sendrecv");
    assert_eq!(direction_of_b(&two), Some(Direction::SendReceive));
    assert_eq!(place_of_b(&two).as_deref(), Some("198.51.100.43"));
    may(&mut two, "inactive");
    assert_eq!(direction_of_b(&two), Some(Direction::Inactive));
    moves(&mut two, 2, "198.51.100.44");
    assert_eq!(direction_of_b(&two), Some(Direction::Inactive));
    may(&mut two, "sendrecv");
    assert_eq!(direction_of_b(&two), Some(Direction::SendReceive));
    assert_eq!(place_of_b(&two).as_deref(), Some("198.51.100.44"));
}

#[test]
fn an_early_update_of_who_is_not_heard_opens_nothing() {
    for (authority, of_b) in [
        ("inactive", OF_B.to_owned()),
        ("sendrecv", format!("{OF_B}\nearly_media = \"first\"")),
    ] {
        let mut two = authorised(&of_b);
        two.says("100 Trying", "", "", "");
        // Another phone is heard.
        let elsewhere = CARRIER_SDP.replace("198.51.100.30", "198.51.100.29");
        two.says("183 Session Progress", "b0", "", &elsewhere);
        two.shard.next_response(183);
        let lines = format!("P-Early-Media: {authority}\nRequire: 100rel\nRSeq: 1\n");
        pause(&mut two);
        two.says("183 Session Progress", "b1", &lines, CARRIER_SDP);
        two.pracks(1);
        two.shard.next_response(183);
        let media = two.shard.media.len();
        moves(&mut two, 1, "198.51.100.43");
        assert_eq!(two.shard.media.len(), media, "{authority}");
        // It counts as soon as it may be heard, and in any case from the answer on.
        if authority == "inactive" {
            may(&mut two, "sendrecv");
            assert_eq!(place_of_b(&two).as_deref(), Some("198.51.100.43"));
        }
        two.answered("b1", CARRIER_SDP);
        assert_eq!(place_of_b(&two).as_deref(), Some("198.51.100.43"));
    }
}

/// What the relay is told since: places of the called side and what flows there.
fn told(two: &mut Two) -> Vec<(String, media_api::Direction)> {
    let commands = two.shard.media.drain(..);
    let told = commands.filter_map(|command| match command {
        Command::Answer {
            endpoint: media_api::EndpointId(1),
            negotiated,
            ..
        } => {
            let stream = negotiated.streams[0].as_ref()?;
            Some((stream.remote_rtp.to_string(), stream.direction))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn early_dialogs_that_cannot_be_told_apart_do_what_the_least_trusted_of_them_may() {
    use media_api::Direction::{Inactive, Receive, SendReceive};
    let mut two = authorised(OF_B);
    two.says("100 Trying", "", "", "");
    let say = |two: &mut Two, tag: &str, may: &str, sdp: &str| {
        two.shard.pass(Duration::from_secs(2));
        two.says(
            "183 Session Progress",
            tag,
            &format!("P-Early-Media: {may}\n"),
            sdp,
        );
        let told = two.shard.next_response(183).message;
        header(&told, HeaderName::PEarlyMedia)
    };
    let at = |port: &str| CARRIER_SDP.replace("m=audio 6000", &format!("m=audio {port}"));
    let one = |place: &str, direction| vec![(place.to_owned(), direction)];
    assert_eq!(say(&mut two, "b1", "sendrecv", &at("6000")), "sendrecv");
    assert_eq!(told(&mut two), one("198.51.100.30:6000", SendReceive));
    // A second one at the same address: what comes from there may be either's.
    assert_eq!(say(&mut two, "b2", "sendonly", &at("6100")), "sendonly");
    let expected = [
        ("198.51.100.30:6000".to_owned(), Receive),
        ("198.51.100.30:6100".to_owned(), Receive),
    ];
    assert_eq!(told(&mut two), expected);
    // A third one may not be heard at all, and so none of them is.
    assert_eq!(say(&mut two, "b3", "inactive", &at("6200")), "inactive");
    let said = told(&mut two);
    let silent = |place: &str| said.contains(&(place.to_owned(), Inactive));
    assert!(
        silent("198.51.100.30:6000") && silent("198.51.100.30:6100"),
        "{said:?}"
    );
    assert!(!said.iter().any(|(place, _)| place.ends_with(":6200")));
    // The caller is told the same of each.
    assert_eq!(say(&mut two, "b1", "sendrecv", ""), "inactive");
    assert_eq!(told(&mut two), []);
    // Another address is another matter.
    let elsewhere = CARRIER_SDP.replace("198.51.100.30", "198.51.100.44");
    assert_eq!(say(&mut two, "b4", "sendrecv", &elsewhere), "sendrecv");
    assert_eq!(told(&mut two), one("198.51.100.44:6000", SendReceive));
    // The third is gone: the others are heard again, as far as the second may.
    two.says("199 Early Dialog Terminated", "b3", "", "");
    let said = told(&mut two);
    let hears = |place: &str| said.contains(&(place.to_owned(), Receive));
    assert!(
        hears("198.51.100.30:6000") && hears("198.51.100.30:6100"),
        "{said:?}"
    );
    // And whoever answers is heard and spoken to in any case.
    two.answered("b2", &at("6100"));
    assert_eq!(
        told(&mut two).last(),
        one("198.51.100.30:6100", SendReceive).first()
    );
}

#[test]
fn an_early_dialog_that_moves_away_is_told_from_the_others_again() {
    use media_api::Direction::{Inactive, SendReceive};
    let mut two = settled("sendrecv", OF_B);
    assert_eq!(direction_of_b(&two), Some(SendReceive));
    two.shard.pass(Duration::from_secs(2));
    let lines = "P-Early-Media: inactive\n";
    two.says("183 Session Progress", "b2", lines, CARRIER_SDP);
    two.shard.next_response(183);
    assert_eq!(direction_of_b(&two), Some(Inactive));
    moves(&mut two, 1, "198.51.100.43");
    assert_eq!(direction_of_b(&two), Some(SendReceive));
    assert_eq!(place_of_b(&two).as_deref(), Some("198.51.100.43"));
}

#[test]
fn what_a_caller_asks_of_the_called_side_flows_as_authorised() {
    let keys = "trusted = true\np_early_media = true";
    let lines = "P-Early-Media: supported\nSupported: 100rel\n";
    let mut two = Two::with(keys, OF_B, lines, CARRIER_SDP);
    let only = |codec: &str| CARRIER_SDP.replace("AVP 8 0 101", &format!("AVP {codec} 101"));
    let lines = "P-Early-Media: sendonly\nRequire: 100rel\nRSeq: 1\nAllow: PRACK, UPDATE\n";
    two.says("183 Session Progress", "b1", lines, &only("8"));
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    two.confirms(&early, 11);
    let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
    two.caller_says(&early, "UPDATE", 12, contact, &only("0"));
    let update = two.shard.next_request(Method::Update).message;
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&update, "200 OK", "", contact, &only("0")));
    two.shard.next_response(200);
    assert_eq!(direction_of_b(&two), Some(media_api::Direction::Receive));
}

#[test]
fn an_early_offer_of_the_called_side_flows_as_authorised() {
    use media_api::Direction;
    for confirms in [false, true] {
        let keys = "trusted = true\np_early_media = true";
        let of_b = format!("{OF_B}\nlate_offer = \"pass\"");
        let lines = match confirms {
            true => "P-Early-Media: supported\nSupported: 100rel\n",
            false => "P-Early-Media: supported\n",
        };
        let mut two = Two::with(keys, &of_b, lines, "");
        let lines = "P-Early-Media: sendonly\nRequire: 100rel\nRSeq: 1\n";
        two.says("183 Session Progress", "b1", lines, CARRIER_SDP);
        if confirms {
            let early = two.shard.next_response(183).message;
            let rseq = header(&early, HeaderName::RSeq);
            let rack = format!("RAck: {rseq} 10 INVITE\n");
            two.caller_says(&early, "PRACK", 11, &rack, CARRIER_SDP);
            two.shard.next_response(200);
        }
        two.pracks(1);
        assert_eq!(direction_of_b(&two), Some(Direction::Receive));
        two.shard.sent.clear();
        may(&mut two, "sendrecv");
        assert_eq!(direction_of_b(&two), Some(Direction::SendReceive));
    }
}

#[test]
fn an_untrusted_side_authorises_nothing_and_is_told_nothing() {
    let mut two = authorised("");
    assert!(!two.invite.has(HeaderName::PEarlyMedia));
    let lines = "P-Early-Media: inactive\n";
    two.says("183 Session Progress", "b1", lines, CARRIER_SDP);
    assert_eq!(authority(&mut two), (true, String::new()));
    let text = CONFIG.replace("codecs = [", "p_early_media = true\ncodecs = [");
    let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
    let source = sbc_core::config::Source::new("test.toml", &text);
    let findings = sbc_core::config::load(&[source], &facts, None).expect_err("refused");
    assert!(
        findings
            .to_text()
            .contains("believed of trusted peers alone")
    );
}
