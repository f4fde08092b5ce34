//! The ringing tone of ours in calls with Teams, by hand: Teams rings in many places, describes early media
//! in one, and another may answer (TDR-SIP-019, TDR-XFR-016).

use crate::world;

use media_api::{
    Beside, Command, EndpointId, Event, Playing, ProtectionWanted, Sound, Stage, StreamIndex,
};
use sbc_core::input::Input;
use sbc_core::sip::{Message, Method};
use std::time::Duration;
use world::call::{Call, VIA, body};
use world::*;

const CALLER: EndpointId = EndpointId(0);
const TEAMS: EndpointId = EndpointId(1);
/// A trunk whose callers hear ringing of ours.
const AUTO: &str = "ringback = \"auto\"";

/// What the relay was told to play to the caller, in order; nothing where it ended, or where noise in
/// pauses took its place.
fn played(shard: &Shard) -> Vec<Option<Playing>> {
    let commands = shard.media.iter().filter_map(|command| match command {
        Command::Play {
            endpoint, playing, ..
        } => {
            let is_noise = |own: &Playing| own.sound == Sound::Noise;
            let heard = playing.clone().filter(|own| !is_noise(own));
            assert!(heard.is_none() || *endpoint == CALLER);
            (*endpoint == CALLER).then_some(heard)
        }
        _ => None,
    });
    let mut played: Vec<_> = commands.collect();
    played.dedup_by(|later, earlier| later.is_none() && earlier.is_none());
    played
}

fn orders(shard: &Shard) -> Vec<bool> {
    played(shard).iter().map(Option::is_some).collect()
}

/// A call of the carrier to Teams, with what its trunk says of ringing tones.
fn ringing_at_teams(keys: &str) -> (Shard, Message) {
    let carrier = "preset = \"carrier\"";
    let config = CONFIG.replace(carrier, &format!("{carrier}\n{keys}"));
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

fn teams_answers(shard: &mut Shard, invite: &Message, start: &str, tag: &str, sdp: &str) {
    shard.teams_says(&response(invite, start, tag, TEAMS_CONTACT, sdp));
}

/// Teams' description with another address and another key, as another of its machines has them.
fn other_machine() -> String {
    TEAMS_SDP
        .replace("203.0.113.9", "203.0.113.77")
        .replace("MTIzNDU2", "QUJDREVG")
        .replace("o=- 7 1", "o=- 8 1")
}

/// What the relay was told last of the party at Teams, and for good.
fn agreed_with_teams(shard: &Shard) -> String {
    let is_of_teams = |command: &&Command| match command {
        Command::Answer {
            endpoint, stage, ..
        } => *endpoint == TEAMS && *stage == Stage::Final,
        _ => false,
    };
    format!("{:?}", shard.media.iter().rfind(is_of_teams))
}

#[test]
fn a_caller_hears_ringing_while_teams_rings_until_early_media_and_the_answer_come() {
    let (mut shard, invite) = ringing_at_teams(AUTO);
    teams_answers(&mut shard, &invite, "180 Ringing", "x1", "");
    shard.next_response(180);
    let ours = shard.next_response(183).message;
    assert!(body(&ours).contains("RTP/AVP 8"), "{}", body(&ours));
    let [Some(playing)] = &played(&shard)[..] else {
        panic!("{:?}", played(&shard));
    };
    // What Teams sends is heard instead as long as it sends.
    assert_eq!(playing.beside, Beside::First { quiet_ms: 400 });
    // Another of its phones describes early media, and then the first one rings on.
    teams_answers(&mut shard, &invite, "183 Session Progress", "x2", TEAMS_SDP);
    assert!(shard.sent.is_empty(), "what was told once stays");
    teams_answers(&mut shard, &invite, "180 Ringing", "x1", "");
    assert_eq!(orders(&shard), [true], "the relay hears best who sends");
    // A third one answers: its address and its key count from now on.
    shard.sent.clear();
    teams_answers(&mut shard, &invite, "200 OK", "x3", &other_machine());
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(body(&ok), body(&ours), "one description for the caller");
    assert_eq!(orders(&shard), [true, false]);
    let agreed = agreed_with_teams(&shard);
    assert!(agreed.contains("203.0.113.77"), "{agreed}");
}

#[test]
fn early_media_that_teams_describes_but_does_not_send_leave_the_tone() {
    for keys in [AUTO, ""] {
        described_early_media_are_not_sent(keys);
    }
}

fn described_early_media_are_not_sent(keys: &str) {
    let (mut shard, invite) = ringing_at_teams(keys);
    teams_answers(&mut shard, &invite, "183 Session Progress", "x1", TEAMS_SDP);
    shard.next_response(183);
    assert!(orders(&shard).is_empty(), "nothing rings yet");
    teams_answers(&mut shard, &invite, "180 Ringing", "x2", "");
    shard.pass(Duration::from_millis(2_100));
    assert_eq!(orders(&shard), [true], "no packet has come");
    // The answer of the dialog that described itself repeats nothing: its early answer is the answer.
    shard.sent.clear();
    teams_answers(&mut shard, &invite, "200 OK", "x1", "");
    shard.next_request(Method::Ack);
    shard.next_response(200);
    assert_eq!(orders(&shard), [true, false]);
    let agreed = agreed_with_teams(&shard);
    assert!(agreed.contains("203.0.113.9"), "{agreed}");
    // Where packets come before anything rings, the relay has heard them and puts no tone over them.
    let (mut shard, invite) = ringing_at_teams(keys);
    teams_answers(&mut shard, &invite, "183 Session Progress", "x1", TEAMS_SDP);
    let [Command::Allocate { session, .. }, ..] = shard.media[..] else {
        panic!("{:?}", shard.media);
    };
    shard.apply(Input::Media(Event::FirstMedia {
        session,
        endpoint: TEAMS,
        stream: StreamIndex(0),
    }));
    shard.pass(Duration::from_secs(5));
    assert!(orders(&shard).is_empty());
}

/// TDR-SIP-017: 180 alone crosses, and the caller's phone rings by itself until it was told a description.
#[test]
fn without_a_word_of_it_the_tone_is_ours_once_teams_has_described_early_media() {
    for (keys, plays) in [("", true), ("ringback = \"remote\"", false)] {
        let (mut shard, invite) = ringing_at_teams(keys);
        teams_answers(&mut shard, &invite, "180 Ringing", "x1", "");
        shard.next_response(180);
        shard.pass(Duration::from_secs(5));
        assert!(shard.sent.is_empty() && orders(&shard).is_empty(), "{keys}");
        teams_answers(&mut shard, &invite, "183 Session Progress", "x2", TEAMS_SDP);
        shard.next_response(183);
        shard.pass(Duration::from_millis(2_100));
        assert_eq!(orders(&shard), vec![true; usize::from(plays)], "{keys}");
    }
}

#[test]
fn teams_as_the_caller_is_played_ringing_with_keys_where_its_trunk_wants_it() {
    let preset = "preset = \"teams\"";
    for (keys, plays) in [("ringback = \"auto\"", true), ("", false)] {
        let config = CONFIG.replace(preset, &format!("{preset}\n{keys}"));
        let (mut shard, invite) = called_in(&config, "call");
        let ringing = response(&invite.message, "180 Ringing", "y1", CARRIER_CONTACT, "");
        shard.carrier_says(&ringing);
        shard.next_response(180);
        assert_eq!(orders(&shard), vec![true; usize::from(plays)], "{keys}");
        if !plays {
            // Teams plays its own.
            assert!(shard.sent.is_empty());
            continue;
        }
        let ours = body(&shard.next_response(183).message);
        assert!(
            ours.contains("RTP/SAVP") && ours.contains("a=crypto:"),
            "{ours}"
        );
        let is_protected = shard.asked().iter().any(|command| match command {
            Command::Allocate { endpoints, .. } => endpoints.iter().any(|own| {
                let streams = &own.streams;
                own.endpoint == CALLER && matches!(streams[0].protection, ProtectionWanted::Sdes(_))
            }),
            _ => false,
        });
        assert!(is_protected);
        let answer = response(
            &invite.message,
            "200 OK",
            "y1",
            CARRIER_CONTACT,
            CARRIER_SDP,
        );
        shard.carrier_says(&answer);
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        assert_eq!(body(&ok), ours);
        assert_eq!(orders(&shard), [true, false]);
    }
}

/// Whether noise is played to Teams, each time that it changed.
fn fills(call: &Call) -> Vec<bool> {
    noise_to(TEAMS, call)
}

fn noise_to(party: EndpointId, call: &Call) -> Vec<bool> {
    let orders = call.shard.media.iter().filter_map(|command| match command {
        Command::Play {
            endpoint, playing, ..
        } if *endpoint == party => Some(
            playing
                .as_ref()
                .is_some_and(|own| own.sound == Sound::Noise),
        ),
        _ => None,
    });
    orders.collect()
}

/// TDR-MED-023: long gaps may be judged as a failure of media.
#[test]
fn teams_gets_noise_where_the_other_side_sends_nothing_unless_its_trunk_wants_none() {
    let mut call = Call::new();
    let first = call.shard.media.iter().find_map(|command| match command {
        Command::Play { playing, .. } => playing.clone(),
        _ => None,
    });
    let first = first.expect("something is played");
    assert_eq!((first.sound, first.times), (Sound::Noise, None));
    assert_eq!(first.beside, Beside::First { quiet_ms: 1_000 });
    assert_eq!(fills(&call), [true], "Teams, and nobody else");
    // A carrier that holds hears nothing, and Teams, which is told of it, gets nothing.
    let held = CARRIER_SDP.replace("sendrecv", "inactive");
    let lines = format!("{CARRIER_CONTACT}Content-Type: application/sdp\n");
    call.says("INVITE", &lines, &held);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    let ack = in_dialog(&ok, "ACK", call.cseq, &format!("{VIA}ackhold"));
    call.shard.carrier_says(&ack);
    let told = call.shard.next_request(Method::Invite).message;
    assert!(body(&told).contains("a=inactive"), "{}", body(&told));
    let held = TEAMS_SDP.replace("sendrecv", "inactive");
    let answer = response(&told, "200 OK", "", TEAMS_CONTACT, &held);
    call.shard.teams_says(&answer);
    assert_eq!(fills(&call), [true, false]);
    // Nor does it get any where its trunk wants none.
    let preset = "preset = \"teams\"";
    let call = Call::with(&CONFIG.replace(preset, &format!("{preset}\nfill_pauses = false")));
    assert!(fills(&call).is_empty());
}

/// A hold that Teams is not told of, and no music for it: noise is what is left (TDR-HLD-003).
#[test]
fn teams_gets_noise_through_a_hidden_hold_without_music() {
    let preset = "preset = \"teams\"";
    let wanted = format!("{preset}\nhold = \"hidden\"");
    let mut call = Call::with(&CONFIG.replace(preset, &wanted));
    let held = CARRIER_SDP.replace("sendrecv", "inactive");
    let lines = format!("{CARRIER_CONTACT}Content-Type: application/sdp\n");
    call.says("INVITE", &lines, &held);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    let ack = in_dialog(&ok, "ACK", call.cseq, &format!("{VIA}ackhold"));
    call.shard.carrier_says(&ack);
    assert_eq!(fills(&call), [true], "it goes on");
}

/// Nor is there music for who is transferred.
#[test]
fn a_transferred_party_gets_noise_while_it_waits_without_music() {
    let preset = "preset = \"carrier\"";
    let wanted = format!("{preset}\nfill_pauses = true");
    let mut call = Call::with(&CONFIG.replace(preset, &wanted));
    assert_eq!(noise_to(CALLER, &call), [true]);
    let refer = "REFER-TO: <sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0a>\n\
                 REFERRED-BY: <sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:0b>\n\
                 CONTACT: <sip:api.example.com:443;x-i=1>\n";
    call.teams_says("REFER", 1, refer);
    call.shard.next_response(202);
    assert_eq!(noise_to(CALLER, &call), [true], "it goes on");
}
