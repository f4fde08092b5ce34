//! Announcements by hand: what a caller hears before it is refused, for how long, and who hears nothing
//! (SIP-1340).

use crate::world;

use media_api::{Beside, Command, EndpointId, Event, Playing, SessionId, Sound};
use sbc_core::cause::CauseCode;
use sbc_core::input::Input;
use sbc_core::sip::Method;
use std::time::Duration;
use world::two::{Two, two_carriers};
use world::*;

const A: EndpointId = EndpointId(0);

/// Two carriers, one of whose trunks says this, with a recording of a second.
fn text(of_a: &str) -> String {
    let text = two_carriers(of_a, "").replace(
        "id = \"sbc1\"\n",
        "id = \"sbc1\"\nsounds = \"/var/lib/causeway/sounds\"\n",
    );
    format!("{text}\n[[sound]]\nname = \"unknown\"\nfile = \"unknown.wav\"\n")
}

const ANNOUNCED: &str =
    "announce = { \"404\" = \"unknown\", \"486\" = \"busy\", \"503\" = \"congestion\" }";

fn called(text: &str, sdp: &str) -> Two {
    let mut shard = Shard::with(config_of(text));
    shard.carrier_says(&carrier_invite("two", sdp));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    Two { shard, invite }
}

fn rejected(of_a: &str, status: &str) -> Two {
    let mut two = called(&text(of_a), CARRIER_SDP);
    two.says(status, "b1", "", "");
    two.shard.next_request(Method::Ack);
    two
}

fn played(shard: &Shard) -> Vec<Option<Playing>> {
    let commands = shard.media.iter().filter_map(|command| match command {
        Command::Play {
            endpoint, playing, ..
        } => {
            assert_eq!(*endpoint, A);
            Some(playing.clone())
        }
        _ => None,
    });
    commands.collect()
}

fn session(shard: &Shard) -> SessionId {
    let session = shard.media.iter().find_map(|command| match command {
        Command::Allocate { session, .. } => Some(*session),
        _ => None,
    });
    session.expect("ports were asked for")
}

/// The relay says that it is over.
fn is_over(shard: &mut Shard, heard: bool) {
    let session = session(shard);
    let endpoint = A;
    shard.apply(Input::Media(Event::Played {
        session,
        endpoint,
        heard,
    }));
}

#[test]
fn a_caller_hears_why_before_it_is_refused() {
    let mut two = rejected(ANNOUNCED, "404 Not Found");
    let ours = two.shard.next_response(183).message;
    assert!(!ours.body().is_empty());
    assert!(two.shard.sent.is_empty(), "not before it has heard it");
    let [Some(playing)] = &played(&two.shard)[..] else {
        panic!("{:?}", played(&two.shard));
    };
    assert!(matches!(playing.sound, Sound::Recording(_)));
    assert_eq!((playing.times, playing.beside), (Some(1), Beside::Muted));
    is_over(&mut two.shard, true);
    two.shard.next_response(404);
    assert_eq!(played(&two.shard).len(), 1, "it is over already");
    two.shard.settles();
    let record = &two.shard.records[0];
    assert_eq!(record.cause.code, CauseCode::NumberUnknown);
    assert_eq!(record.cause.status, Some(404));
    assert!(record.setup_ms.is_none());
}

#[test]
fn tones_announce_as_well_and_end_by_themselves() {
    let two = rejected(ANNOUNCED, "486 Busy Here");
    let [Some(playing)] = &played(&two.shard)[..] else {
        panic!("{:?}", played(&two.shard));
    };
    // Five seconds of 500 ms on and 500 ms off.
    assert_eq!(playing.times, Some(5));
    assert!(matches!(playing.sound, Sound::Tone(_)));
    // The relay may never say that it is over.
    let mut two = rejected(ANNOUNCED, "404 Not Found");
    two.shard.next_response(183);
    two.shard.pass(Duration::from_millis(5_900));
    assert!(two.shard.sent.is_empty());
    two.shard.pass(Duration::from_millis(200));
    two.shard.next_response(404);
    assert_eq!(played(&two.shard).last(), Some(&None));
}

#[test]
fn who_has_a_description_gets_no_other() {
    let mut two = called(&text(ANNOUNCED), CARRIER_SDP);
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    let early = two.shard.next_response(183).message;
    two.says("404 Not Found", "b1", "", "");
    two.shard.next_request(Method::Ack);
    assert!(two.shard.sent.is_empty() && !early.body().is_empty());
    assert_eq!(played(&two.shard).len(), 1);
    // Early media are over: their limit does not end it, nor does anybody answer any more.
    two.says("200 OK", "b2", "", CARRIER_SDP);
    is_over(&mut two.shard, true);
    let rest = two
        .shard
        .sent
        .iter()
        .filter_map(|sent| sent.message.status());
    assert!(rest.map(|status| status.code()).eq([404]));
}

#[test]
fn a_number_that_nobody_has_is_announced_on_a_port_of_its_own() {
    let nowhere = text(ANNOUNCED).replace("called_in = \"tenant:contoso\"", "called = '^\\+1'");
    let mut shard = Shard::with(config_of(&nowhere));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    shard.next_response(183);
    let Command::Allocate { endpoints, .. } = &shard.media[0] else {
        panic!("{:?}", shard.media);
    };
    assert_eq!(endpoints.len(), 1);
    assert_eq!(played(&shard).len(), 1);
    is_over(&mut shard, true);
    shard.next_response(404);
    shard.settles();
    assert!(shard.records[0].egress.is_empty());
}

#[test]
fn callers_of_numbers_that_nobody_has_take_a_bounded_number_of_ports() {
    let nowhere = text(ANNOUNCED).replace("called_in = \"tenant:contoso\"", "called = '^\\+1'");
    let mut shard = Shard::with(config_of(&nowhere));
    let call = |shard: &mut Shard, number: u32| {
        shard.carrier_says(&carrier_invite(&format!("call{number}"), CARRIER_SDP));
        shard.next_response(100);
        let answer = shard.sent.pop_front().expect("an answer").message;
        assert!(shard.sent.is_empty());
        answer.status().expect("a response").code()
    };
    let most = sbc_core::policy::admission::MOST_ANNOUNCED;
    for number in 0..most {
        assert_eq!(call(&mut shard, number), 183);
    }
    let ports = |shard: &Shard| {
        let allocates = |command: &&Command| matches!(command, Command::Allocate { .. });
        shard.media.iter().filter(allocates).count()
    };
    assert_eq!(call(&mut shard, most), 404);
    assert_eq!(ports(&shard), most as usize);
    let record = shard.records.last().expect("it is over");
    assert_eq!(record.cause.code, CauseCode::NoRoute);
    let because = record.cause.because.0.concat();
    assert!(
        because.contains("hear before they are refused has its 32 calls"),
        "{because}"
    );
    // Who has heard it makes room.
    is_over(&mut shard, true);
    shard.next_response(404);
    assert_eq!(call(&mut shard, most + 1), 183);
    shard.pass(Duration::from_secs(100));
    shard.sent.clear();
    shard.settles();
}

#[test]
fn who_gives_up_hears_no_more_of_it() {
    let mut two = rejected(ANNOUNCED, "404 Not Found");
    two.shard.next_response(183);
    two.shard.carrier_says(&carrier_cancel("two"));
    let codes = two
        .shard
        .sent
        .iter()
        .filter_map(|sent| sent.message.status());
    let codes: Vec<u16> = codes.map(|status| status.code()).collect();
    assert_eq!(codes, [200, 487]);
    let rest = &two.shard.media[two.shard.media.len() - 2..];
    assert!(
        matches!(&rest[0], Command::Play { playing: None, .. }),
        "{rest:?}"
    );
    assert!(matches!(&rest[1], Command::Release { .. }), "{rest:?}");
    is_over(&mut two.shard, true);
    two.shard.sent.clear();
    two.shard.settles();
    let record = &two.shard.records[0];
    assert_eq!(record.cause.code, CauseCode::CallerCancelled);
}

#[test]
fn who_cannot_hear_it_is_refused_at_once() {
    // The relay says so.
    let mut two = rejected(ANNOUNCED, "404 Not Found");
    two.shard.next_response(183);
    is_over(&mut two.shard, false);
    two.shard.next_response(404);
    // There is no codec for it, or nothing was offered.
    let relayed = text(ANNOUNCED).replace("[\"PCMA\", \"PCMU\"]", "[\"G729\", \"PCMA\"]");
    let only = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 18 101");
    for sdp in [only.as_str(), ""] {
        let mut two = called(&relayed, sdp);
        two.says("404 Not Found", "b1", "", "");
        two.shard.next_request(Method::Ack);
        two.shard.next_response(404);
        assert!(played(&two.shard).is_empty());
    }
}

#[test]
fn what_a_trunk_says_nothing_about_and_what_limits_refuse_is_not_announced() {
    for (of_a, status, code) in [
        (ANNOUNCED, "480 Temporarily Unavailable", 480),
        ("", "404 Not Found", 404),
    ] {
        let mut two = rejected(of_a, status);
        two.shard.next_response(code);
        assert!(played(&two.shard).is_empty());
    }
    // Who has no place must not take one for longer.
    let full = format!("{ANNOUNCED}\nlimits = {{ calls = 1 }}");
    let two = called(&text(&full), CARRIER_SDP);
    let mut shard = two.shard;
    shard.carrier_says(&carrier_invite("more", CARRIER_SDP));
    let codes: Vec<u16> = shard
        .sent
        .iter()
        .filter_map(|sent| sent.message.status())
        .map(|status| status.code())
        .collect();
    assert!(codes.last().is_some_and(|code| *code >= 400), "{codes:?}");
    assert!(played(&shard).is_empty());
}

#[test]
fn another_way_is_tried_before_anything_is_announced() {
    let text = text(ANNOUNCED).replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]",
    );
    let mut two = called(&text, CARRIER_SDP);
    two.says("503 Service Unavailable", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let next = two.shard.next_request(Method::Invite).message;
    assert!(played(&two.shard).is_empty());
    let busy = response(&next, "486 Busy Here", "t1", TEAMS_CONTACT, "");
    two.shard.teams_says(&busy);
    two.shard.next_request(Method::Ack);
    two.shard.next_response(183);
    assert_eq!(played(&two.shard).len(), 1);
    is_over(&mut two.shard, true);
    two.shard.next_response(486);
    two.shard.settles();
}
