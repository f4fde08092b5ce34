//! Music of ours by hand: who hears it while it is on hold (SIP-551) or being transferred (SIP-804), and
//! that it ends with its reason.

use crate::world;

use media_api::{Beside, Command, EndpointId, Event, Playing, Sound};
use sbc_core::input::Input;
use sbc_core::sip::{Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const CARRIER_LEG: EndpointId = EndpointId(0);
const TEAMS_LEG: EndpointId = EndpointId(1);
const SDP: &str = "Content-Type: application/sdp\n";
const CONTACT: &str = "Contact: <sip:203.0.113.1:443;x-i=1>\n";

/// The usual configuration with a recording, and these keys of the carrier's and of the Teams trunk.
fn sounds(of_carrier: &str, of_teams: &str) -> String {
    let named = |text: String, name: &str, keys: &str| {
        let name = format!("name = \"{name}\"\npreset");
        assert!(text.contains(&name));
        text.replace(&name, &format!("{keys}\n{name}"))
    };
    let text = CONFIG.replace(
        "id = \"sbc1\"\n",
        "id = \"sbc1\"\nsounds = \"/var/lib/causeway/sounds\"\n",
    );
    let text = named(text, "carrier-a", of_carrier);
    // Noise in pauses is not what these tests are about.
    let of_teams = format!("fill_pauses = false\n{of_teams}");
    let text = named(text, "teams-contoso", &of_teams);
    format!("{text}\n[[sound]]\nname = \"moh\"\nfile = \"moh.wav\"\n")
}

fn held(of_carrier: &str) -> Call {
    Call::with(&sounds(of_carrier, ""))
}

/// What the relay was told to play; nothing where something ended.
fn played(call: &Call) -> Vec<(EndpointId, Option<Playing>)> {
    let commands = call.shard.media.iter().filter_map(|command| match command {
        Command::Play {
            endpoint, playing, ..
        } => Some((*endpoint, playing.clone())),
        _ => None,
    });
    commands.collect()
}

/// When music began and ended, all of it on this leg.
fn orders(call: &Call, leg: EndpointId) -> Vec<bool> {
    let played = played(call);
    assert!(played.iter().all(|(own, _)| *own == leg), "{played:?}");
    played.iter().map(|(_, own)| own.is_some()).collect()
}

fn recording(playing: &Playing) -> bool {
    matches!(playing.sound, Sound::Recording(_))
}

/// Teams offers this direction, and has its answer.
fn teams_offers(call: &mut Call, cseq: u32, direction: &str) -> Message {
    let offer = callee_request(&call.invite, "x1", "INVITE", cseq, CONTACT);
    let sdp = TEAMS_SDP.replace("sendrecv", direction);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), &sdp);
    call.shard.teams_says(&offer);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    call.teams_says("ACK", cseq, "");
    ok
}

/// The carrier is told this direction, and answers with that one.
fn carrier_is_told(call: &mut Call, direction: &str, answer: &str) {
    let told = call.shard.next_request(Method::Invite).message;
    assert!(
        body(&told).contains(&format!("a={direction}\r\n")),
        "{}",
        body(&told)
    );
    let sdp = CARRIER_SDP.replace("sendrecv", answer);
    let answer = response(&told, "200 OK", "", CARRIER_CONTACT, &sdp);
    call.shard.carrier_says(&answer);
    call.shard.next_request(Method::Ack);
}

#[test]
fn who_is_not_told_of_the_hold_hears_music_until_it_is_over() {
    let mut call = held("hold = \"hidden\"\nmusic = \"moh\"");
    teams_offers(&mut call, 1, "inactive");
    assert!(call.shard.sent.is_empty(), "the carrier is not told");
    let [(CARRIER_LEG, Some(playing))] = &played(&call)[..] else {
        panic!("{:?}", played(&call));
    };
    assert!(recording(playing) && playing.times.is_none());
    assert_eq!(playing.beside, Beside::Muted);
    teams_offers(&mut call, 2, "sendrecv");
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    call.lives();
}

#[test]
fn who_sends_music_of_its_own_is_heard_instead() {
    let hidden = "hold = \"hidden\"\nmusic = \"moh\"";
    let mut call = Call::with(&sounds("", hidden));
    let held = CARRIER_SDP.replace("sendrecv", "sendonly");
    call.says("INVITE", &format!("{CARRIER_CONTACT}{SDP}"), &held);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("a=recvonly"));
    assert!(played(&call).is_empty() && call.shard.sent.is_empty());
    // Teams is told "inactive" in answer to that, and is not heard then.
    let mut call = Call::with(&sounds(hidden, ""));
    let ok = teams_offers(&mut call, 1, "sendonly");
    assert!(body(&ok).contains("a=inactive"));
    assert_eq!(orders(&call, CARRIER_LEG), [true]);
}

#[test]
fn silence_is_sent_where_a_trunk_wants_packets_and_nothing_where_it_wants_nothing() {
    let mut call = held("hold = \"hidden\"\nmusic = \"silence\"");
    teams_offers(&mut call, 1, "inactive");
    let [(CARRIER_LEG, Some(playing))] = &played(&call)[..] else {
        panic!("{:?}", played(&call));
    };
    let Sound::Tone(tone) = &playing.sound else {
        panic!("{playing:?}");
    };
    assert!(tone.phases.iter().all(|phase| phase.hz == [0, 0]));
    for keys in ["hold = \"hidden\"", "hold = \"hidden\"\nmusic = \"none\""] {
        let mut call = held(keys);
        teams_offers(&mut call, 1, "inactive");
        assert!(played(&call).is_empty(), "{keys}");
    }
}

#[test]
fn who_is_told_hears_music_only_if_its_trunk_says_so_and_it_is_told_that_we_send() {
    // Told as it is: nobody sends.
    let mut call = held("music = \"moh\"");
    teams_offers(&mut call, 1, "inactive");
    carrier_is_told(&mut call, "inactive", "inactive");
    assert!(played(&call).is_empty());
    // Told that we send.
    let mut call = held("music = \"moh\"\nlocal_moh = true");
    let ok = teams_offers(&mut call, 1, "inactive");
    assert!(body(&ok).contains("a=inactive"), "TDR-HLD-003");
    carrier_is_told(&mut call, "sendonly", "recvonly");
    assert_eq!(orders(&call, CARRIER_LEG), [true]);
    teams_offers(&mut call, 2, "sendrecv");
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    carrier_is_told(&mut call, "sendrecv", "sendrecv");
    // Who wants to hear nothing hears nothing.
    let mut call = held("music = \"moh\"\nlocal_moh = true");
    teams_offers(&mut call, 1, "inactive");
    carrier_is_told(&mut call, "sendonly", "inactive");
    assert_eq!(orders(&call, CARRIER_LEG).last(), Some(&false));
}

#[test]
fn teams_hears_nothing_of_ours_unless_its_own_trunk_wants_it() {
    for (of_teams, expected) in [
        ("", vec![]),
        ("hold = \"hidden\"\nmusic = \"moh\"", vec![true]),
    ] {
        let mut call = Call::with(&sounds("music = \"moh\"", of_teams));
        let held = CARRIER_SDP.replace("sendrecv", "inactive");
        call.says("INVITE", &format!("{CARRIER_CONTACT}{SDP}"), &held);
        assert_eq!(orders(&call, TEAMS_LEG), expected, "{of_teams}");
    }
}

#[test]
fn music_ends_with_the_call_and_where_it_cannot_be_heard() {
    let keys = "hold = \"hidden\"\nmusic = \"moh\"";
    let mut call = held(keys);
    teams_offers(&mut call, 1, "inactive");
    call.says("BYE", "", "");
    let rest = &call.shard.media[call.shard.media.len() - 2..];
    assert!(
        matches!(&rest[0], Command::Play { playing: None, .. }),
        "{rest:?}"
    );
    assert!(matches!(&rest[1], Command::Release { .. }), "{rest:?}");
    // G.729, say: the relay is not asked again for every message.
    let mut call = held(keys);
    teams_offers(&mut call, 1, "inactive");
    let [Command::Allocate { session, .. }, ..] = call.shard.media[..] else {
        panic!("{:?}", call.shard.media);
    };
    call.shard.apply(Input::Media(Event::Played {
        session,
        endpoint: CARRIER_LEG,
        heard: false,
    }));
    call.says("OPTIONS", "", "");
    call.shard.next_response(200);
    assert_eq!(orders(&call, CARRIER_LEG), [true]);
    teams_offers(&mut call, 2, "sendrecv");
    assert_eq!(orders(&call, CARRIER_LEG), [true]);
    call.lives();
}

#[test]
fn who_held_before_the_answer_is_waited_for_with_music_after_it() {
    let text = sounds("", "hold = \"hidden\"\nmusic = \"moh\"");
    let mut shard = Shard::with(config_of(&text));
    let held = CARRIER_SDP.replace("sendrecv", "inactive");
    shard.carrier_says(&carrier_invite("call", &held));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    let plays = |shard: &Shard| {
        let is_play = |own: &&Command| matches!(own, Command::Play { .. });
        shard.media.iter().filter(is_play).count()
    };
    assert_eq!(plays(&shard), 0, "nobody has answered");
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    assert_eq!(plays(&shard), 1);
}

const TARGET: &str = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0000aaaa-1111-2222-3333-BBBB4444cccc";

/// Teams has asked to transfer the carrier's caller, which is as these keys say: the call, and the INVITE
/// to the target.
fn referred(of_carrier: &str) -> (Call, Message) {
    let mut call = held(of_carrier);
    let refer = format!(
        "Refer-To: <{TARGET}>\nReferred-By: <sip:sip.pstnhub.microsoft.com:5061>\n{CONTACT}"
    );
    call.teams_says("REFER", 1, &refer);
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    (call, invite)
}

fn target_says(call: &mut Call, invite: &Message, status: &str, sdp: &str) {
    let answer = response(invite, status, "z1", TEAMS_CONTACT, sdp);
    call.shard.teams_says(&answer);
}

#[test]
fn a_transferred_party_hears_music_while_the_target_is_called_and_no_longer() {
    let (mut call, invite) = referred("music = \"moh\"");
    let [(CARRIER_LEG, Some(playing))] = &played(&call)[..] else {
        panic!("{:?}", played(&call));
    };
    assert!(recording(playing));
    let Beside::First { .. } = playing.beside else {
        panic!("the transferor may still talk: {playing:?}");
    };
    // It goes on over the ringing and the early media of the target, which come first.
    target_says(&mut call, &invite, "180 Ringing", "");
    target_says(&mut call, &invite, "183 Session Progress", TEAMS_SDP);
    assert_eq!(orders(&call, CARRIER_LEG), [true]);
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
}

#[test]
fn a_transferred_party_hears_ringing_unless_it_hears_music() {
    let (mut call, invite) = referred("ringback = \"auto\"\nringback_tone = \"us\"");
    assert!(played(&call).is_empty(), "it does not ring yet");
    target_says(&mut call, &invite, "180 Ringing", "");
    let [(CARRIER_LEG, Some(playing))] = &played(&call)[..] else {
        panic!("{:?}", played(&call));
    };
    assert!(format!("{playing:?}").contains("hz: [440, 480], ms: 2000"));
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    // Nobody else makes a tone for who talks already, whatever is so before the answer.
    let (mut call, invite) = referred("");
    assert!(played(&call).is_empty(), "it does not ring yet");
    target_says(&mut call, &invite, "180 Ringing", "");
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    // After music, where there is some.
    let (mut call, invite) = referred("ringback = \"auto\"\nmusic = \"moh\"");
    target_says(&mut call, &invite, "180 Ringing", "");
    let heard: Vec<bool> = played(&call)
        .iter()
        .map(|(_, own)| own.as_ref().is_some_and(recording))
        .collect();
    assert_eq!(heard, [true, false]);
}

#[test]
fn a_transfer_that_fails_or_is_given_up_leaves_no_music_behind() {
    // The target is busy.
    let (mut call, invite) = referred("music = \"moh\"");
    target_says(&mut call, &invite, "486 Busy Here", "");
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    call.shard.next_request(Method::Ack);
    // It rings for too long.
    let (mut call, invite) = referred("music = \"moh\"");
    target_says(&mut call, &invite, "180 Ringing", "");
    call.shard.pass(Duration::from_secs(300));
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    // Whoever is transferred hangs up.
    let (mut call, _) = referred("music = \"moh\"");
    call.says("BYE", "", "");
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    let last = call.shard.media.last();
    assert!(matches!(last, Some(Command::Release { .. })), "{last:?}");
}

#[test]
fn a_held_party_goes_on_hearing_the_same_music_while_it_is_transferred() {
    let mut call = held("hold = \"hidden\"\nmusic = \"moh\"");
    teams_offers(&mut call, 1, "inactive");
    let refer = format!(
        "Refer-To: <{TARGET}>\nReferred-By: <sip:sip.pstnhub.microsoft.com:5061>\n{CONTACT}"
    );
    call.teams_says("REFER", 2, &refer);
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    target_says(&mut call, &invite, "180 Ringing", "");
    assert_eq!(orders(&call, CARRIER_LEG), [true], "it does not begin anew");
    call.teams_says("BYE", 3, "");
    assert_eq!(orders(&call, CARRIER_LEG), [true]);
    // The failure of the target ends the call: there is nobody to go back to.
    target_says(&mut call, &invite, "404 Not Found", "");
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    assert!(matches!(
        call.shard.media.last(),
        Some(Command::Release { .. })
    ));
}

#[test]
fn a_hold_of_the_transferor_while_its_target_rings_ends_with_the_transfer_or_outlives_its_failure()
{
    let notified = |call: &mut Call| {
        let is_notify =
            |sent: &Sent| sent.message.is_request() && *sent.message.method() == Method::Notify;
        while let Some(at) = call.shard.sent.iter().position(is_notify) {
            let notify = call.shard.sent.remove(at).expect("there").message;
            let ok = response(&notify, "200 OK", "", "", "");
            call.shard.teams_says(&ok);
        }
    };
    // The target answers: the carrier's caller is taken out of a hold that it was never told of.
    let (mut call, invite) = referred("");
    target_says(&mut call, &invite, "180 Ringing", "");
    call.shard.pass(Duration::from_secs(1));
    notified(&mut call);
    teams_offers(&mut call, 2, "inactive");
    assert_eq!(orders(&call, CARRIER_LEG), [true], "the tone goes on");
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    call.shard.next_request(Method::Ack);
    notified(&mut call);
    call.shard.pass(Duration::from_secs(2));
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    assert!(call.shard.sent.is_empty(), "and hears of nothing");
    call.teams_says("BYE", 3, "");
    call.shard.next_response(200);
    call.lives_on(&invite);
    // The target refuses: the hold is told, and the resumption as well.
    let (mut call, invite) = referred("");
    target_says(&mut call, &invite, "180 Ringing", "");
    call.shard.pass(Duration::from_secs(1));
    notified(&mut call);
    teams_offers(&mut call, 2, "inactive");
    target_says(&mut call, &invite, "486 Busy Here", "");
    call.shard.next_request(Method::Ack);
    notified(&mut call);
    carrier_is_told(&mut call, "inactive", "inactive");
    assert_eq!(orders(&call, CARRIER_LEG), [true, false]);
    teams_offers(&mut call, 3, "sendrecv");
    carrier_is_told(&mut call, "sendrecv", "sendrecv");
    call.lives();
}

#[test]
fn a_party_that_was_told_of_the_hold_is_told_otherwise_as_soon_as_its_target_rings() {
    let rings = [
        ("180 Ringing", ""),
        ("183 Session Progress", ""),
        ("183 Session Progress", TEAMS_SDP),
    ];
    for (status, sdp) in rings {
        let mut call = held("");
        teams_offers(&mut call, 1, "inactive");
        carrier_is_told(&mut call, "inactive", "inactive");
        let refer = format!(
            "Refer-To: <{TARGET}>\nReferred-By: <sip:sip.pstnhub.microsoft.com:5061>\n{CONTACT}"
        );
        call.teams_says("REFER", 2, &refer);
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        call.shard
            .teams_says(&response(&notify, "200 OK", "", "", ""));
        let invite = call.shard.next_request(Method::Invite).message;
        assert!(call.shard.sent.is_empty(), "nothing to hear yet");
        target_says(&mut call, &invite, status, sdp);
        // Not that somebody talks again, but that there is something to hear.
        carrier_is_told(&mut call, "sendrecv", "sendrecv");
        assert_eq!(orders(&call, CARRIER_LEG), [true], "{status}");
        target_says(&mut call, &invite, status, sdp);
        call.shard.pass(Duration::from_secs(2));
        let notify = call.shard.next_request(Method::Notify).message;
        call.shard
            .teams_says(&response(&notify, "200 OK", "", "", ""));
        assert!(call.shard.sent.is_empty(), "{}", text(&call.shard.sent[0]));
        // Nobody comes: it is on hold as before.
        target_says(&mut call, &invite, "486 Busy Here", "");
        call.shard.next_request(Method::Ack);
        let notify = call.shard.next_request(Method::Notify).message;
        call.shard
            .teams_says(&response(&notify, "200 OK", "", "", ""));
        assert_eq!(orders(&call, CARRIER_LEG), [true, false], "{status}");
        carrier_is_told(&mut call, "inactive", "inactive");
        call.lives();
    }
}

#[test]
fn a_refusal_of_what_was_told_of_ringing_says_nothing_of_who_has_answered() {
    let mut call = held("");
    teams_offers(&mut call, 1, "inactive");
    carrier_is_told(&mut call, "inactive", "inactive");
    let refer = format!(
        "Refer-To: <{TARGET}>\nReferred-By: <sip:sip.pstnhub.microsoft.com:5061>\n{CONTACT}"
    );
    call.teams_says("REFER", 2, &refer);
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    target_says(&mut call, &invite, "180 Ringing", "");
    let told = call.shard.next_request(Method::Invite).message;
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    call.shard.next_request(Method::Ack);
    call.shard.next_request(Method::Notify);
    // The refusal was on its way when the target answered.
    let refusal = response(&told, "488 Not Acceptable Here", "", "", "");
    call.shard.carrier_says(&refusal);
    call.shard.next_request(Method::Ack);
    let told = call.shard.next_request(Method::Invite).message;
    assert!(body(&told).contains("a=sendrecv\r\n"), "{}", body(&told));
    assert!(call.shard.records.is_empty());
}

#[test]
fn a_held_party_that_hears_ringing_need_not_be_told_of_the_answer() {
    let mut call = held("");
    teams_offers(&mut call, 1, "inactive");
    carrier_is_told(&mut call, "inactive", "inactive");
    let refer = format!(
        "Refer-To: <{TARGET}>\nReferred-By: <sip:sip.pstnhub.microsoft.com:5061>\n{CONTACT}"
    );
    call.teams_says("REFER", 2, &refer);
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    target_says(&mut call, &invite, "180 Ringing", "");
    // It is answered before the one who waits has said that it listens.
    let told = call.shard.next_request(Method::Invite).message;
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    call.shard.next_request(Method::Ack);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let answer = response(&told, "200 OK", "", CARRIER_CONTACT, CARRIER_SDP);
    call.shard.carrier_says(&answer);
    call.shard.next_request(Method::Ack);
    assert!(call.shard.sent.is_empty(), "{}", text(&call.shard.sent[0]));
    // Who refuses that is told again when there is somebody.
    let mut call = held("");
    teams_offers(&mut call, 1, "inactive");
    carrier_is_told(&mut call, "inactive", "inactive");
    call.teams_says("REFER", 2, &refer);
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    target_says(&mut call, &invite, "180 Ringing", "");
    let told = call.shard.next_request(Method::Invite).message;
    let refusal = response(&told, "488 Not Acceptable Here", "", "", "");
    call.shard.carrier_says(&refusal);
    call.shard.next_request(Method::Ack);
    assert!(call.shard.sent.is_empty(), "{}", text(&call.shard.sent[0]));
    target_says(&mut call, &invite, "200 OK", TEAMS_SDP);
    call.shard.next_request(Method::Ack);
    call.shard.next_request(Method::Notify);
    let told = call.shard.next_request(Method::Invite).message;
    assert!(body(&told).contains("a=sendrecv\r\n"), "{}", body(&told));
}
