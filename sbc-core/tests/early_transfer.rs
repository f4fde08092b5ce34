//! What the target of a transfer says before it answers, by hand: its early media, and its offers on early dialogs.

use crate::world;

use media_api::{Command, Direction, EndpointId};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{callee_request, header};
use world::two::{Two, version};
use world::*;

const REFER: &str =
    "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
const CONTACT: &str = "Contact: <sip:gw@198.51.100.40:5060>\n";
/// The transferor, the transferee and the target, as the relay knows them.
const TRANSFEROR: EndpointId = EndpointId(0);
const TRANSFEREE: EndpointId = EndpointId(1);
const TARGET: EndpointId = EndpointId(2);
const OLD: Option<(EndpointId, EndpointId)> = Some((TRANSFEROR, TRANSFEREE));
const NEW: Option<(EndpointId, EndpointId)> = Some((TARGET, TRANSFEREE));

fn moved(host: &str) -> String {
    CARRIER_SDP.replace("198.51.100.30", host)
}

fn only(codec: &str) -> String {
    CARRIER_SDP.replace("RTP/AVP 8 0 101", &format!("RTP/AVP {codec} 101"))
}

/// A transfer whose target has been called: what it says from now on is what `two` says.
struct Referred {
    two: Two,
    /// Our INVITE to the transferee.
    before: Message,
}

/// The caller has asked for it, and the target is called by a trunk with these keys.
fn referred(of_b: &str) -> Referred {
    let mut two = Two::with("", of_b, "", CARRIER_SDP);
    let ok = two.answered("b1", &only("8"));
    two.ack(&ok);
    two.caller_says(&ok, "REFER", 11, REFER, "");
    two.shard.next_response(202);
    let told = notified(&mut two);
    assert_eq!(told, ["100 Trying"]);
    let invite = two.shard.next_request(Method::Invite).message;
    let before = std::mem::replace(&mut two.invite, invite);
    Referred { two, before }
}

/// What the transferor is told until now; it hears it.
fn notified(two: &mut Two) -> Vec<String> {
    let mut told = Vec::new();
    let is_notify =
        |sent: &Sent| !sent.message.is_response() && *sent.message.method() == Method::Notify;
    while let Some(at) = two.shard.sent.iter().position(is_notify) {
        let notify = two.shard.sent.remove(at).expect("a NOTIFY").message;
        let body = String::from_utf8_lossy(&notify.body()).into_owned();
        told.push(body.trim().trim_start_matches("SIP/2.0 ").to_owned());
        two.shard
            .carrier_says(&response(&notify, "200 OK", "", "", ""));
    }
    told
}

/// Time goes by in which the transferor is told of progress, and nobody of anything else.
fn pause(two: &mut Two) -> Vec<String> {
    two.shard.pass(Duration::from_millis(1_100));
    let told = notified(two);
    assert!(two.shard.sent.is_empty(), "{:?}", two.shard.sent);
    told
}

fn joined(two: &Two) -> Option<(EndpointId, EndpointId)> {
    let mut commands = two.shard.media.iter().rev();
    commands.find_map(|command| match command {
        Command::Update { plan, .. } => plan.joined,
        _ => None,
    })
}

/// What the relay was told last of the target: where it is and what flows.
fn target(two: &Two) -> Option<(String, Direction)> {
    let mut commands = two.shard.media.iter().rev();
    commands.find_map(|command| match command {
        Command::Answer {
            endpoint: TARGET,
            negotiated,
            ..
        } => {
            let stream = negotiated.streams[0].as_ref()?;
            Some((stream.remote_rtp.ip().to_string(), stream.direction))
        }
        _ => None,
    })
}

fn heard_at(two: &Two, host: &str) {
    let (place, direction) = target(two).expect("a description");
    assert_eq!((place.as_str(), direction), (host, Direction::SendReceive));
}

/// A description that says something else than the one before has the next version, and no other has.
fn counts(before: &Message, after: &Message) {
    let differs = before.body() != after.body();
    assert_eq!(version(after), version(before) + u64::from(differs));
}

/// The target answers with this description, and the transfer is done.
fn answers(two: &mut Two, tag: &str, sdp: &str) {
    two.says("200 OK", tag, "", sdp);
    two.shard.next_request(Method::Ack);
    assert_eq!(notified(two), ["200 OK"]);
    assert_eq!(joined(two), NEW);
    assert!(two.shard.records.is_empty());
}

#[test]
fn an_update_of_the_target_is_answered_and_what_it_has_come_to_is_in_force() {
    let first = moved("198.51.100.41");
    let second = moved("198.51.100.46");
    let third = moved("198.51.100.47");
    for (relax, answer, place) in [
        ("", "", "198.51.100.46"),
        ("", first.as_str(), "198.51.100.46"),
        ("", second.as_str(), "198.51.100.46"),
        ("", third.as_str(), "198.51.100.46"),
        ("sdp_relax = true", second.as_str(), "198.51.100.46"),
        ("sdp_relax = true", third.as_str(), "198.51.100.47"),
    ] {
        let Referred { mut two, before } = referred(relax);
        two.reliably("183 Session Progress", "z1", 1, &first);
        two.pracks(1);
        pause(&mut two);
        heard_at(&two, "198.51.100.41");
        two.callee_says("z1", "UPDATE", 1, &second);
        let changed = two.shard.next_response(200).message;
        counts(&two.invite, &changed);
        heard_at(&two, "198.51.100.46");
        answers(&mut two, "z1", answer);
        heard_at(&two, place);
        // The transferee holds: the target hears of it as the peer of the UPDATE.
        let hold = CARRIER_SDP.replace("sendrecv", "sendonly");
        let bare = callee_request(&before, "b1", "INVITE", 1, CONTACT);
        let head = bare.replace("Content-Length: 0\n\n", "").replace(
            "SIP/2.0/TLS 203.0.113.1:5061",
            "SIP/2.0/UDP 198.51.100.40:5060",
        );
        two.hear(&with_body(&head, &hold));
        two.shard.next_response(100);
        two.shard.next_response(200);
        two.hear(&callee_request(&before, "b1", "ACK", 1, "").replace(
            "SIP/2.0/TLS 203.0.113.1:5061",
            "SIP/2.0/UDP 198.51.100.40:5060",
        ));
        let told = two.shard.next_request(Method::Invite).message;
        assert!(header(&told, HeaderName::To).contains("tag=z1"));
        assert_eq!(version(&told), version(&changed) + 1);
    }
}

#[test]
fn an_update_that_needs_another_codec_is_refused_and_the_transfer_goes_on() {
    for answer in ["", CARRIER_SDP] {
        let Referred { mut two, .. } = referred("");
        two.reliably("183 Session Progress", "z1", 1, CARRIER_SDP);
        two.pracks(1);
        pause(&mut two);
        let media = two.shard.media.len();
        two.callee_says("z1", "UPDATE", 1, &only("0"));
        two.shard.next_response(488);
        assert_eq!(two.shard.media.len(), media, "SIP-502");
        two.callee_says("z1", "UPDATE", 2, &moved("198.51.100.46"));
        let changed = two.shard.next_response(200).message;
        counts(&two.invite, &changed);
        answers(&mut two, "z1", answer);
        heard_at(&two, "198.51.100.46");
    }
}

#[test]
fn an_update_before_the_first_exchange_is_made_changes_nothing() {
    let Referred { mut two, .. } = referred("");
    two.says("183 Session Progress", "z1", "", CARRIER_SDP);
    pause(&mut two);
    two.callee_says("z1", "UPDATE", 1, &moved("198.51.100.46"));
    two.shard.next_response(491);
    answers(&mut two, "z1", CARRIER_SDP);
    heard_at(&two, "198.51.100.30");
}

#[test]
fn an_update_of_one_phone_of_the_target_does_not_touch_the_other() {
    let Referred { mut two, .. } = referred("");
    for (tag, host) in [("z1", "198.51.100.41"), ("z2", "198.51.100.42")] {
        two.reliably("183 Session Progress", tag, 1, &moved(host));
        two.pracks(1);
        pause(&mut two);
    }
    two.callee_says("z1", "UPDATE", 1, &moved("198.51.100.46"));
    two.shard.next_response(200);
    answers(&mut two, "z2", "");
    heard_at(&two, "198.51.100.42");
}

#[test]
fn blocked_early_media_of_a_target_flow_in_neither_direction() {
    for reliably in [false, true] {
        let Referred { mut two, .. } = referred("early_media = \"block\"");
        match reliably {
            true => {
                two.reliably("183 Session Progress", "z1", 1, CARRIER_SDP);
                two.pracks(1);
            }
            false => two.says("183 Session Progress", "z1", "", CARRIER_SDP),
        }
        pause(&mut two);
        assert_eq!((joined(&two), target(&two)), (OLD, None));
        if reliably {
            two.callee_says("z1", "UPDATE", 1, &moved("198.51.100.46"));
            two.shard.next_response(200);
            assert_eq!((joined(&two), target(&two)), (OLD, None));
        }
        answers(&mut two, "z1", "");
        heard_at(
            &two,
            ["198.51.100.30", "198.51.100.46"][usize::from(reliably)],
        );
    }
}

#[test]
fn early_media_of_a_target_wait_for_its_ringing_where_its_trunk_says_so() {
    let Referred { mut two, .. } = referred("early_media = \"after_180\"");
    two.says("183 Session Progress", "z1", "", CARRIER_SDP);
    pause(&mut two);
    assert_eq!((joined(&two), target(&two)), (OLD, None));
    two.says("180 Ringing", "z1", "", "");
    assert_eq!(pause(&mut two), ["180 Ringing"]);
    assert_eq!(joined(&two), NEW);
    heard_at(&two, "198.51.100.30");
    answers(&mut two, "z1", CARRIER_SDP);
}

#[test]
fn only_the_first_early_dialog_of_a_target_is_heard_where_its_trunk_says_so() {
    let Referred { mut two, .. } = referred("early_media = \"first\"");
    two.says("183 Session Progress", "z1", "", &moved("198.51.100.41"));
    pause(&mut two);
    two.says("183 Session Progress", "z2", "", &moved("198.51.100.42"));
    pause(&mut two);
    heard_at(&two, "198.51.100.41");
    answers(&mut two, "z2", "");
    heard_at(&two, "198.51.100.42");
}

#[test]
fn early_media_of_a_target_do_not_last_for_ever() {
    let Referred { mut two, .. } = referred("early_media_max = \"30s\"");
    two.says("183 Session Progress", "z1", "", CARRIER_SDP);
    pause(&mut two);
    assert_eq!(joined(&two), NEW);
    two.shard.pass(Duration::from_secs(28));
    assert!(two.shard.sent.is_empty());
    two.shard.pass(Duration::from_millis(950));
    assert_eq!(notified(&mut two), ["487 Request Terminated"]);
    two.shard.next_request(Method::Cancel);
    assert_eq!(joined(&two), OLD, "the old conversation goes on");
    assert!(two.shard.records.is_empty());
    // The time that was left for a target is none of the next one's, nor of the call's.
    let Referred { mut two, .. } = referred("early_media_max = \"30s\"");
    two.says("183 Session Progress", "z1", "", CARRIER_SDP);
    pause(&mut two);
    answers(&mut two, "z1", CARRIER_SDP);
    two.shard.pass(Duration::from_secs(40));
    assert!(two.shard.records.is_empty() && joined(&two) == NEW);
}

#[test]
fn an_early_dialog_of_a_target_that_ends_is_neither_heard_nor_spoken_to() {
    let Referred { mut two, .. } = referred("");
    two.says("183 Session Progress", "z1", "", &moved("198.51.100.41"));
    pause(&mut two);
    two.says("183 Session Progress", "z2", "", &moved("198.51.100.42"));
    pause(&mut two);
    heard_at(&two, "198.51.100.42");
    let media = two.shard.media.len();
    two.says("199 Early Dialog Terminated", "z2", "", "");
    assert!(pause(&mut two).is_empty(), "no progress");
    let said: Vec<String> = two.shard.media[media..]
        .iter()
        .map(|command| format!("{command:?}"))
        .collect();
    assert!(said[0].contains("198.51.100.42") && said[0].contains("Inactive"));
    heard_at(&two, "198.51.100.41");
    answers(&mut two, "z1", "");
}

#[test]
fn a_trusted_target_says_what_may_flow_and_any_other_says_nothing() {
    let trusted = "trusted = true\np_early_media = true";
    let say = |two: &mut Two, may: &str, sdp: &str| {
        let lines = format!("P-Early-Media: {may}\n");
        two.says("183 Session Progress", "z1", &lines, sdp);
        pause(two);
    };
    let Referred { mut two, .. } = referred(trusted);
    say(&mut two, "inactive", CARRIER_SDP);
    assert_eq!((joined(&two), target(&two)), (OLD, None));
    say(&mut two, "sendonly", "");
    assert_eq!(joined(&two), NEW);
    let direction = |two: &Two| target(two).map(|(_, direction)| direction);
    assert_eq!(direction(&two), Some(Direction::Receive), "not spoken to");
    say(&mut two, "sendrecv", "");
    heard_at(&two, "198.51.100.30");
    say(&mut two, "recvonly", "");
    assert_eq!(direction(&two), Some(Direction::Inactive));
    answers(&mut two, "z1", "");
    heard_at(&two, "198.51.100.30");
    let Referred { mut two, .. } = referred("");
    say(&mut two, "inactive", CARRIER_SDP);
    assert_eq!(joined(&two), NEW);
    heard_at(&two, "198.51.100.30");
}
