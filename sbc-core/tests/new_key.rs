//! A media key that is nearly used up is replaced within the call (MED-107), and nothing else is (MED-116).

use crate::world;

use media_api::{Command, CryptoKey, EndpointId, Event, Protection, StreamIndex, Suite};
use sbc_core::input::Input;
use sbc_core::sip::{Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const TEAMS_LEG: EndpointId = EndpointId(1);
const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// 30 octets of `Z`, as an offer writes them.
const FRESH: &str = "inline:WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpa|2^31";

fn fresh() -> CryptoKey {
    CryptoKey::new(SUITE, vec![b'Z'; SUITE.key_and_salt_bytes()]).unwrap()
}

fn worn(call: &mut Call) {
    let [Command::Allocate { session, .. }, ..] = call.shard.media[..] else {
        panic!("{:?}", call.shard.media);
    };
    call.shard.apply(Input::Media(Event::KeyWorn {
        session,
        endpoint: TEAMS_LEG,
        stream: StreamIndex(0),
        fresh: fresh(),
    }));
}

/// The key of ours and that of Teams which the relay was told last.
fn in_force(call: &Call) -> (CryptoKey, CryptoKey) {
    let answers = call.shard.media.iter().rev();
    let keys = answers.filter_map(|command| match command {
        Command::Answer {
            endpoint: TEAMS_LEG,
            negotiated,
            ..
        } => match &negotiated.streams[0].as_ref().unwrap().protection {
            Protection::Sdes { local, remote } => Some((local.clone(), remote.clone())),
            Protection::None | Protection::Dtls(_) => None,
        },
        _ => None,
    });
    keys.take(1).next().expect("Teams has SRTP")
}

fn crypto_of(message: &Message) -> String {
    let text = body(message);
    let line = text.lines().find(|line| line.starts_with("a=crypto:"));
    line.expect("a key").to_owned()
}

#[test]
fn a_worn_key_is_replaced_by_an_offer_and_the_peer_may_replace_its_own() {
    let mut call = Call::new();
    let (before, theirs) = in_force(&call);
    assert_eq!(before.lifetime(), 1 << 31, "as its line says");
    assert_eq!(theirs.lifetime(), 1 << 31);
    let told = crypto_of(&call.invite);
    worn(&mut call);
    let offer = call.shard.next_request(Method::Invite).message;
    assert!(crypto_of(&offer).ends_with(FRESH), "{}", body(&offer));
    assert_ne!(crypto_of(&offer), told);
    assert_eq!(
        in_force(&call).0,
        before,
        "until the answer the old one protects"
    );
    let other = TEAMS_SDP.replace("inline:MTIz", "inline:OTIz");
    let answer = response(&offer, "200 OK", "", TEAMS_CONTACT, &other);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    let (ours, of_teams) = in_force(&call);
    assert_eq!(ours, fresh());
    assert_ne!(of_teams, theirs);
    call.shard.pass(Duration::from_secs(5));
    assert!(
        call.shard.sent.is_empty(),
        "once is enough, and the carrier need not know"
    );
    call.lives();
}

/// Each of its answers has a key that lasts for a packet or two: nobody is asked without end.
#[test]
fn a_peer_whose_keys_wear_at_once_is_not_offered_one_after_the_other() {
    let mut call = Call::new();
    for second in 0..20 {
        worn(&mut call);
        if second % 5 == 0 {
            let offer = call.shard.next_request(Method::Invite).message;
            let short = TEAMS_SDP.replace("|2^31", "|2^1");
            let short = short.replace("inline:MTIz", &format!("inline:{second:02}Iz"));
            let answer = response(&offer, "200 OK", "", TEAMS_CONTACT, &short);
            call.shard.teams_says(&answer);
            call.shard.next_request(Method::Ack);
            worn(&mut call);
        }
        assert!(call.shard.sent.is_empty(), "second {second}");
        call.shard.pass(Duration::from_secs(1));
    }
    call.lives();
}

#[test]
fn a_peer_that_refuses_a_new_key_keeps_the_old_one_and_is_asked_again_when_it_is_worn_further() {
    let mut call = Call::new();
    let before = in_force(&call);
    for _ in 0..2 {
        worn(&mut call);
        let offer = call.shard.next_request(Method::Invite).message;
        assert!(crypto_of(&offer).ends_with(FRESH));
        call.shard
            .teams_says(&response(&offer, "488 No", "", "", ""));
        call.shard.next_request(Method::Ack);
        call.shard.pass(Duration::from_secs(5));
        assert!(call.shard.sent.is_empty());
        assert_eq!(in_force(&call), before);
    }
    // What Teams offers itself is answered with the key that is in force.
    let offer = callee_request(&call.invite, "x1", "INVITE", 1, TEAMS_CONTACT);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), TEAMS_SDP);
    call.shard.teams_says(&offer);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert_eq!(crypto_of(&ok), crypto_of(&call.invite));
    call.teams_says("ACK", 1, "");
    call.lives();
}

#[test]
fn an_offer_that_crosses_takes_the_new_key_along() {
    let mut call = Call::new();
    worn(&mut call);
    let ours = call.shard.next_request(Method::Invite).message;
    call.shard
        .teams_says(&response(&ours, "491 Request Pending", "", "", ""));
    call.shard.next_request(Method::Ack);
    let offer = callee_request(&call.invite, "x1", "INVITE", 1, TEAMS_CONTACT);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), TEAMS_SDP);
    call.shard.teams_says(&offer);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert!(crypto_of(&ok).ends_with(FRESH));
    assert_eq!(in_force(&call).0, fresh());
    call.teams_says("ACK", 1, "");
    call.shard.pass(Duration::from_secs(6));
    assert!(call.shard.sent.is_empty(), "nothing is left to tell");
    call.lives();
}

/// Teams' description after the media went to another machine of its own, with another key.
fn of_another_machine() -> String {
    let moved = TEAMS_SDP.replace("inline:MTIz", "inline:OTIz");
    let moved = moved.replace("m=audio 50000", "m=audio 51000");
    assert!(moved.contains("OTIz") && moved.contains("51000"), "{moved}");
    moved
}

fn offer_of_teams(call: &mut Call, serial: u32, sdp: &str) -> Sent {
    let offer = callee_request(&call.invite, "x1", "INVITE", serial, TEAMS_CONTACT);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), sdp);
    call.shard.teams_says(&offer);
    call.shard.next_response(100);
    call.shard.next_response(200)
}

#[test]
fn who_comes_with_another_key_from_another_place_gets_another_key_of_ours() {
    let mut call = Call::new();
    let (before, theirs) = in_force(&call);
    // Another key at the same place, and another place with the same key, are the same machine (TDR-MED-008).
    for (serial, sdp) in [
        (1, TEAMS_SDP.replace("m=audio 50000", "m=audio 52000")),
        (
            2,
            TEAMS_SDP
                .replace("m=audio 50000", "m=audio 52000")
                .replace("inline:MTIz", "inline:ODIz"),
        ),
    ] {
        let ok = offer_of_teams(&mut call, serial, &sdp).message;
        assert_eq!(crypto_of(&ok), crypto_of(&call.invite));
        call.teams_says("ACK", serial, "");
        assert_eq!(in_force(&call).0, before);
    }
    let ok = offer_of_teams(&mut call, 3, &of_another_machine()).message;
    assert_ne!(crypto_of(&ok), crypto_of(&call.invite));
    call.teams_says("ACK", 3, "");
    let (ours, of_teams) = in_force(&call);
    assert!(ours != before && of_teams != theirs);
    assert_eq!(ours.lifetime(), before.lifetime());
    // It stays as long as the machine does.
    let again = offer_of_teams(&mut call, 4, &of_another_machine()).message;
    assert_eq!(crypto_of(&again), crypto_of(&ok));
    call.teams_says("ACK", 4, "");
    assert_eq!(in_force(&call).0, ours);
    call.shard.pass(Duration::from_secs(6));
    assert!(call.shard.sent.is_empty(), "nothing is left to tell");
    call.lives();
}

#[test]
fn who_is_found_at_another_place_by_its_answer_is_offered_another_key_once() {
    let mut call = Call::new();
    let hold = CARRIER_SDP.replace("a=sendrecv", "a=sendonly");
    let lines = "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n";
    call.says("INVITE", lines, &hold);
    call.shard.next_response(100);
    call.shard.next_response(200);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack1"));
    call.shard.carrier_says(&ack);
    // It hears our key of before from our offer, and answers from where nobody knows how far that has counted.
    let mut keys = vec![crypto_of(&call.invite)];
    for at in 0..2 {
        let offer = call.shard.next_request(Method::Invite).message;
        assert_eq!(crypto_of(&offer) == keys[0], at == 0, "{}", body(&offer));
        keys.push(crypto_of(&offer));
        let held = of_another_machine().replace("a=sendrecv", "a=inactive");
        let answer = response(&offer, "200 OK", "", TEAMS_CONTACT, &held);
        call.shard.teams_says(&answer);
        call.shard.next_request(Method::Ack);
    }
    call.shard.pass(Duration::from_secs(6));
    assert!(call.shard.sent.is_empty(), "once is enough");
    let (ours, _) = in_force(&call);
    let ours = sbc_core::sdp::base64_encode(ours.expose_key_and_salt());
    assert!(keys[2].contains(&ours), "{keys:?}");
}

#[test]
fn an_offer_of_somebody_new_that_is_refused_costs_no_key() {
    let mut call = Call::new();
    let (before, _) = in_force(&call);
    let unusable = of_another_machine().replace("RTP/SAVP 8 0 101", "RTP/SAVP 96 101");
    let offer = callee_request(&call.invite, "x1", "INVITE", 1, TEAMS_CONTACT);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), &unusable);
    call.shard.teams_says(&offer);
    call.shard.next_response(100);
    call.shard.next_response(488);
    call.teams_says("ACK", 1, "");
    call.shard.pass(Duration::from_secs(6));
    assert!(call.shard.sent.is_empty(), "there is nothing to tell");
    let ok = offer_of_teams(&mut call, 2, TEAMS_SDP).message;
    assert_eq!(crypto_of(&ok), crypto_of(&call.invite));
    call.teams_says("ACK", 2, "");
    assert_eq!(in_force(&call).0, before);
    call.lives();
}
