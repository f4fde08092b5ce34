//! The ringing tone of ours by hand: who hears it when, in which description, and what ends it
//! (SIP-561).

use crate::world;

use media_api::{Beside, Command, EndpointId, Event, Playing, Sound, StreamIndex};
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::sip::header::To;
use sbc_core::sip::{Message, Method};
use std::time::Duration;
use world::two::{Two, is_reliable, two_carriers};
use world::*;

const A: EndpointId = EndpointId(0);
const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";

fn auto(lines: &str, sdp: &str) -> Two {
    Two::with("ringback = \"auto\"", "", lines, sdp)
}

fn only(codec: &str) -> String {
    CARRIER_SDP.replace("RTP/AVP 8 0 101", &format!("RTP/AVP {codec} 101"))
}

/// Two trunks that talk G.722 rather than anything else.
fn wideband(of_a: &str, sdp: &str) -> Two {
    talking("G722", of_a, sdp)
}

/// Two trunks that talk this codec rather than G.711.
fn talking(codec: &str, of_a: &str, sdp: &str) -> Two {
    let text = two_carriers(of_a, "");
    let text = text.replace("[\"PCMA\", \"PCMU\"]", &format!("[\"{codec}\", \"PCMA\"]"));
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("two", sdp));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    Two { shard, invite }
}

/// What the relay was told to play, and to whom; nothing where something ended.
fn played(two: &Two) -> Vec<(EndpointId, Option<Playing>)> {
    let commands = two.shard.media.iter().filter_map(|command| match command {
        Command::Play {
            endpoint, playing, ..
        } => Some((*endpoint, playing.clone())),
        _ => None,
    });
    commands.collect()
}

/// How often it was begun and ended.
fn orders(two: &Two) -> Vec<bool> {
    let played = played(two);
    assert!(played.iter().all(|(endpoint, _)| *endpoint == A));
    played
        .iter()
        .map(|(_, playing)| playing.is_some())
        .collect()
}

/// What was told of it.
fn wanted(two: &Two) -> Vec<bool> {
    let told = two.shard.happened.iter().filter_map(|what| match what {
        Happened::Ringback { plays } => Some(*plays),
        _ => None,
    });
    told.collect()
}

fn relay_says(two: &mut Two, event: impl Fn(media_api::SessionId) -> Event) {
    let session = two.shard.media.iter().find_map(|command| match command {
        Command::Allocate { session, .. } => Some(*session),
        _ => None,
    });
    let event = event(session.expect("ports were asked for"));
    two.shard.apply(Input::Media(event));
}

fn first_media(two: &mut Two) {
    relay_says(two, |session| Event::FirstMedia {
        session,
        endpoint: EndpointId(1),
        stream: StreamIndex(0),
    });
}

fn audio_line(message: &Message) -> String {
    let body = String::from_utf8_lossy(&message.body()).into_owned();
    let line = body.lines().find(|line| line.starts_with("m=audio"));
    line.expect("an audio line").to_owned()
}

#[test]
fn a_caller_that_has_no_description_is_told_one_and_keeps_it() {
    let mut two = auto("", CARRIER_SDP);
    two.says("180 Ringing", "b1", "", "");
    let ringing = two.shard.next_response(180).message;
    assert!(ringing.body().is_empty());
    let ours = two.shard.next_response(183).message;
    assert!(!is_reliable(&ours));
    assert!(audio_line(&ours).ends_with(" RTP/AVP 8 101"));
    let position = |wanted: fn(&Command) -> bool| two.shard.media.iter().position(wanted);
    let agreed = position(|own| matches!(own, Command::Answer { endpoint: A, .. }));
    let begun = position(|own| matches!(own, Command::Play { .. }));
    assert!(agreed < begun && agreed.is_some(), "{:?}", two.shard.media);
    let joins = position(|own| matches!(own, Command::Update { .. }));
    assert_eq!(joins, None, "nobody talks to a phone that only rings");
    let [(A, Some(playing))] = &played(&two)[..] else {
        panic!("{:?}", played(&two));
    };
    assert_eq!(playing.times, None);
    assert_eq!(playing.beside, Beside::First { quiet_ms: 400 });
    let Sound::Tone(tone) = &playing.sound else {
        panic!("{playing:?}");
    };
    assert_eq!((tone.phases[0].hz, tone.phases[0].ms), ([425, 0], 1_000));
    // It lasts while early media come and go: the relay hears that best.
    two.shard.pass(Duration::from_secs(2));
    two.says("183 Session Progress", "b1", "", &only("0"));
    let described = two.shard.next_response(183).message;
    assert_eq!(described.body(), ours.body());
    first_media(&mut two);
    assert_eq!(orders(&two), [true]);
    let ok = two.answered("b1", &only("0"));
    assert_eq!(ok.body(), ours.body(), "SIP-312");
    assert_eq!(
        (orders(&two), wanted(&two)),
        (vec![true, false], vec![true, false])
    );
    // The codec of the answer is told after the ACK.
    two.ack(&ok);
    let told = two.shard.next_request(Method::Invite).message;
    assert!(
        audio_line(&told).contains(" RTP/AVP 0"),
        "{}",
        audio_line(&told)
    );
}

#[test]
fn the_tone_is_that_of_a_country_and_g711_is_taken_for_it() {
    let mut two = wideband("ringback = \"local\"\nringback_tone = \"uk\"", &only("9 8"));
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    let ours = two.shard.next_response(183).message;
    assert!(
        audio_line(&ours).contains(" RTP/AVP 8"),
        "{}",
        audio_line(&ours)
    );
    assert!(format!("{:?}", played(&two)).contains("hz: [400, 450], ms: 400"));
}

#[test]
fn a_caller_with_wideband_alone_hears_the_tone_in_that() {
    let mut two = wideband("ringback = \"local\"", &only("9"));
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    let ours = two.shard.next_response(183).message;
    assert!(
        audio_line(&ours).contains(" RTP/AVP 9"),
        "{}",
        audio_line(&ours)
    );
    assert_eq!(orders(&two), [true]);
}

#[test]
fn nothing_is_described_that_no_tone_can_be_played_in() {
    for sdp in [only("18"), String::new()] {
        let mut two = talking("G729", "ringback = \"auto\"", &sdp);
        two.says("180 Ringing", "b1", "", "");
        two.shard.next_response(180);
        assert!(two.shard.sent.is_empty() && played(&two).is_empty());
        assert_eq!(wanted(&two), [] as [bool; 0]);
        if !sdp.is_empty() {
            // And the call goes on as if nobody had tried.
            let ok = two.answered("b1", &sdp);
            assert!(audio_line(&ok).ends_with(" 18 101"), "{}", audio_line(&ok));
        }
    }
    // Where the called side plays or the phone does it itself.
    let mut two = Two::new("");
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    assert!(two.shard.sent.is_empty() && played(&two).is_empty());
}

#[test]
fn early_media_that_are_described_are_waited_for_unless_the_trunk_does_not_want_it() {
    let mut two = auto("", CARRIER_SDP);
    two.says("180 Ringing", "b1", "", CARRIER_SDP);
    two.shard.pass(Duration::from_millis(1_900));
    assert!(played(&two).is_empty());
    two.shard.pass(Duration::from_millis(200));
    assert_eq!(orders(&two), [true]);
    two.shard.next_response(180);
    assert!(two.shard.sent.is_empty(), "it has a description");
    let mut two = Two::with("ringback = \"local\"", "", "", CARRIER_SDP);
    two.says("180 Ringing", "b1", "", CARRIER_SDP);
    assert_eq!(orders(&two), [true]);
    // Where nothing of the called side may be heard there is nothing to wait for.
    let mut two = Two::with(
        "ringback = \"auto\"",
        "early_media = \"block\"",
        "",
        CARRIER_SDP,
    );
    two.says("180 Ringing", "b1", "", CARRIER_SDP);
    assert_eq!(orders(&two), [true]);
    assert!(!format!("{:?}", two.shard.media).contains("joined: Some"));
    let trusted = "trusted = true\np_early_media = true";
    let mut two = Two::with(
        &format!("{trusted}\nringback = \"auto\""),
        trusted,
        "P-Early-Media: supported\n",
        CARRIER_SDP,
    );
    let inactive = "P-Early-Media: inactive\n";
    two.says("180 Ringing", "b1", inactive, CARRIER_SDP);
    assert_eq!(orders(&two), [true], "it says that it sends nothing");
    // A phone that was heard may fall silent: the relay goes on with the tone then.
    let mut two = auto("", CARRIER_SDP);
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    first_media(&mut two);
    two.shard.pass(Duration::from_secs(5));
    assert!(played(&two).is_empty(), "it does not ring");
    two.says("180 Ringing", "b1", "", "");
    assert_eq!(orders(&two), [true]);
}

#[test]
fn a_caller_that_demands_it_is_told_reliably() {
    let keys = "ringback = \"auto\"\nrel100 = \"required\"";
    let mut two = Two::with(keys, "", "Supported: 100rel\n", CARRIER_SDP);
    two.says("180 Ringing", "b1", "", "");
    let ringing = two.shard.next_response(180).message;
    two.confirms(&ringing, 11);
    let ours = two.shard.next_response(183).message;
    assert!(is_reliable(&ours) && !ours.body().is_empty());
    two.confirms(&ours, 12);
    // It may hold while it rings, although the called side has described nothing.
    let held = CARRIER_SDP.replace("sendrecv", "inactive");
    two.caller_says(&ours, "UPDATE", 13, CONTACT, &held);
    let ok = two.shard.next_response(200).message;
    assert!(String::from_utf8_lossy(&ok.body()).contains("a=inactive"));
    assert!(two.shard.sent.is_empty());
    two.answered("b1", CARRIER_SDP);
    assert_eq!(orders(&two), [true, false]);
}

#[test]
fn where_every_phone_is_an_early_dialog_the_one_that_rings_describes_it() {
    let keys = "ringback = \"auto\"\nearly_dialogs = \"transparent\"";
    let mut two = Two::with(keys, "", "", CARRIER_SDP);
    let tag = |message: &Message| {
        let to = message.essential::<To>().unwrap().unwrap();
        to.tag().unwrap().clone()
    };
    two.says("183 Session Progress", "b1", "", "");
    let progress = two.shard.next_response(183).message;
    two.says("180 Ringing", "b2", "", "");
    let ringing = two.shard.next_response(180).message;
    let ours = two.shard.next_response(183).message;
    assert_eq!(tag(&ours), tag(&ringing));
    assert_ne!(tag(&ours), tag(&progress));
    // Another one answers: with what all of them are told.
    let ok = two.answered("b3", CARRIER_SDP);
    assert_eq!(ok.body(), ours.body());
    assert_eq!(orders(&two), [true, false]);
}

#[test]
fn what_the_relay_cannot_play_is_not_asked_for_again() {
    let mut two = auto("", CARRIER_SDP);
    two.says("180 Ringing", "b1", "", "");
    relay_says(&mut two, |session| Event::Played {
        session,
        endpoint: A,
        heard: false,
    });
    assert_eq!(wanted(&two), [true, false]);
    two.shard.pass(Duration::from_secs(3));
    two.says("180 Ringing", "b1", "", "");
    assert_eq!(orders(&two), [true]);
    two.shard.sent.clear();
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    assert!(two.shard.records.is_empty());
}

#[test]
fn the_tone_ends_with_the_attempt_and_with_the_call() {
    let keys = "ringback = \"auto\"";
    let text = two_carriers(keys, "").replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let mut two = Two { shard, invite };
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    let ours = two.shard.next_response(183).message;
    two.says("503 Service Unavailable", "b1", "", "");
    assert_eq!(orders(&two), [true, false], "nothing rings any more");
    two.shard.next_request(Method::Ack);
    let next = two.shard.next_request(Method::Invite).message;
    let ringing = response(&next, "180 Ringing", "t1", TEAMS_CONTACT, "");
    two.shard.teams_says(&ringing);
    two.shard.next_response(180);
    assert!(two.shard.sent.is_empty(), "it was told before");
    assert!(!ours.body().is_empty());
    assert_eq!(orders(&two), [true, false, true]);
    two.shard.carrier_says(&carrier_cancel("two"));
    assert_eq!(orders(&two), [true, false, true, false]);
    let last = two.shard.media.last();
    assert!(matches!(last, Some(Command::Release { .. })), "{last:?}");
}
