//! Switches to fax over T.38 and back, by hand (SIP-570, SIP-571, SIP-573).

use crate::world;

use media_api::{Command, Content, CryptoKey, EndpointId, Event, StreamIndex, Suite};
use sbc_core::config::Config;
use sbc_core::id::TrunkName;
use sbc_core::input::Input;
use sbc_core::media::FaxMode;
use sbc_core::sip::{Message, Method};
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";
const SDP: &str = "Content-Type: application/sdp\n";

const FAX: &str = "\
v=0
o=carrier 1 2 IN IP4 198.51.100.30
s=-
c=IN IP4 198.51.100.30
t=0 0
m=image 30002 udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxFillBitRemoval:0
a=T38FaxTranscodingJBIG
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxDatagram:400
a=T38FaxUdpEC:t38UDPRedundancy
";

const THEIR_FAX: &str = "\
v=0
o=teams 1 2 IN IP4 203.0.113.5
s=-
c=IN IP4 203.0.113.5
t=0 0
m=image 50002 udptl t38
a=T38FaxVersion:3
a=T38MaxBitRate:9600
a=T38FaxRateManagement:transferredTCF
a=T38FaxUdpEC:t38UDPRedundancy
";

/// The usual configuration, but with T.38 on the second trunk too, which the loader would refuse of Teams.
fn with_t38() -> Call {
    let mut config = Config::clone(&config());
    let name = TrunkName::new("teams-contoso");
    let trunk = Arc::make_mut(config.trunks.get_mut(&name).expect("a trunk"));
    Arc::make_mut(&mut trunk.media.profile).fax = FaxMode::T38;
    Call::of(Shard::with(Arc::new(config)))
}

fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// The caller offers this; our 100 has been taken.
fn offers(call: &mut Call, sdp: &str) {
    call.says("INVITE", &format!("{CONTACT}{SDP}"), sdp);
    call.shard.next_response(100);
}

fn acknowledges(call: &mut Call) {
    let via = format!("{VIA}ack{}", call.cseq);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
    call.shard.carrier_says(&ack);
}

/// The called side accepts what it was asked, and we acknowledge that.
fn accepts(call: &mut Call, asked: &Message, sdp: &str) {
    let contact = "Contact: <sip:203.0.113.1:443;x-i=1>\n";
    let answer = response(asked, "200 OK", "", contact, sdp);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
}

/// The caller switches, and both sides agree.
fn switch(call: &mut Call, sdp: &str) -> Message {
    offers(call, sdp);
    let asked = call.shard.next_request(Method::Invite).message;
    accepts(call, &asked, THEIR_FAX);
    let ok = call.shard.next_response(200).message;
    acknowledges(call);
    ok
}

/// What the relay was told last of each side.
fn contents(call: &Call) -> Vec<Content> {
    let mut told: Vec<_> = call
        .shard
        .media
        .iter()
        .rev()
        .filter_map(|command| match command {
            Command::Answer {
                endpoint,
                negotiated,
                ..
            } => Some((*endpoint, negotiated.streams[0].as_ref()?.content)),
            _ => None,
        })
        .take(2)
        .collect();
    told.sort_by_key(|(endpoint, _)| endpoint.0);
    assert_ne!(told[0].0, told[1].0, "both sides were told");
    told.into_iter().map(|(_, content)| content).collect()
}

#[test]
fn a_switch_crosses_with_the_machines_own_words_and_our_addresses() {
    let mut call = with_t38();
    offers(&mut call, FAX);
    let asked = call.shard.next_request(Method::Invite).message;
    let offer = body(&asked);
    let line = "m=image 40004 udptl t38\r\n";
    assert!(
        offer.contains(line) && !offer.contains("m=audio"),
        "{offer}"
    );
    assert!(offer.contains("c=IN IP4 192.0.2.10\r\n") && !offer.contains("198.51.100."));
    for attribute in [
        "T38FaxVersion:0",
        "T38MaxBitRate:14400",
        "T38FaxTranscodingJBIG",
        "T38FaxRateManagement:transferredTCF",
        "T38FaxMaxDatagram:400",
        "T38FaxUdpEC:t38UDPRedundancy",
    ] {
        assert!(offer.contains(&format!("a={attribute}\r\n")), "{attribute}");
    }
    assert!(!offer.contains("FillBitRemoval"), "0 is no");
    accepts(&mut call, &asked, THEIR_FAX);
    let ok = call.shard.next_response(200).message;
    let answer = body(&ok);
    assert!(answer.contains("m=image 40002 udptl t38\r\n"), "{answer}");
    assert!(answer.contains("a=T38FaxVersion:3") && answer.contains("a=T38MaxBitRate:9600"));
    assert_eq!(contents(&call), [Content::Udptl, Content::Udptl]);
    acknowledges(&mut call);
    // And back to audio, which the other side is asked too.
    offers(&mut call, CARRIER_SDP);
    let asked = call.shard.next_request(Method::Invite).message;
    assert!(body(&asked).contains("m=audio 40004 RTP/SAVP "));
    accepts(&mut call, &asked, TEAMS_SDP);
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("m=audio 40002 RTP/AVP "));
    acknowledges(&mut call);
    assert_eq!(contents(&call), [Content::Rtp, Content::Rtp]);
    call.lives();
}

#[test]
fn a_fax_line_beside_audio_with_port_zero_is_the_same_switch() {
    let mut call = with_t38();
    let two_lines = FAX.replace("m=image", "m=audio 0 RTP/AVP 8\nm=image");
    let ok = switch(&mut call, &two_lines);
    let answer = body(&ok);
    let lines: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(lines, ["m=audio 0 RTP/AVP 8", "m=image 40002 udptl t38"]);
    // What we offer later has both lines, audio in its own.
    call.says("INVITE", CONTACT, "");
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert_eq!(body(&ok), answer, "a late offer within a fax repeats it");
}

#[test]
fn repeated_and_moved_faxes_are_answered_without_asking() {
    let mut call = with_t38();
    switch(&mut call, FAX);
    offers(&mut call, &FAX.replace("30002", "30004"));
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("m=image 40002 udptl t38\r\n"));
    assert!(body(&ok).contains("a=T38FaxVersion:3"));
    acknowledges(&mut call);
    call.shard.pass(Duration::from_secs(20));
    assert!(call.shard.sent.is_empty(), "nobody has to be told anything");
}

#[test]
fn a_trunk_without_t38_is_not_asked_and_the_call_goes_on() {
    // The preset of Teams has faxes in the audio only.
    let mut call = Call::new();
    offers(&mut call, FAX);
    call.shard.next_response(488);
    acknowledges(&mut call);
    // The machines go on in G.711, without silence suppression (RFC 3264 has no say in that).
    offers(
        &mut call,
        &CARRIER_SDP.replace("a=sendrecv", "a=silenceSupp:off - - - -\na=sendrecv"),
    );
    call.shard.next_response(200);
    acknowledges(&mut call);
    call.lives();
}

#[test]
fn a_refused_switch_leaves_the_audio_as_it_was() {
    let mut call = with_t38();
    let told = changes(&call);
    offers(&mut call, FAX);
    let asked = call.shard.next_request(Method::Invite).message;
    let refusal = response(&asked, "488 Not Acceptable Here", "", "", "");
    call.shard.teams_says(&refusal);
    call.shard.next_request(Method::Ack);
    call.shard.next_response(488);
    acknowledges(&mut call);
    assert_eq!(changes(&call), told, "the relay hears of nothing");
    call.lives();
}

#[test]
fn answers_that_accept_too_much_or_nothing_are_survived() {
    // Audio accepted besides, under the line that we had offered: T.38 it is.
    let mut call = with_t38();
    offers(&mut call, FAX);
    let asked = call.shard.next_request(Method::Invite).message;
    let both = format!("{THEIR_FAX}m=audio 50004 RTP/AVP 8\n");
    accepts(&mut call, &asked, &both);
    call.shard.next_response(200);
    acknowledges(&mut call);
    assert_eq!(contents(&call), [Content::Udptl, Content::Udptl]);

    // Port 0, nothing at all, or audio instead: the asker is refused, and the other side, which
    // has changed something, is told the audio in force.
    for answer in [
        THEIR_FAX.replace("50002", "0"),
        THEIR_FAX[..THEIR_FAX.find("m=").unwrap()].to_owned(),
        TEAMS_SDP.to_owned(),
    ] {
        let mut call = with_t38();
        offers(&mut call, FAX);
        let asked = call.shard.next_request(Method::Invite).message;
        accepts(&mut call, &asked, &answer);
        call.shard.next_response(488);
        acknowledges(&mut call);
        let told = call.shard.next_request(Method::Invite).message;
        assert!(body(&told).contains("m=audio 40004 RTP/SAVP "));
        accepts(&mut call, &told, TEAMS_SDP);
        call.lives();
    }
}

#[test]
fn both_sides_switching_at_once_is_glare() {
    let mut call = with_t38();
    offers(&mut call, FAX);
    let asked = call.shard.next_request(Method::Invite).message;
    let length = THEIR_FAX.replace('\n', "\r\n").len();
    let lines = format!(
        "Contact: <sip:203.0.113.1:443;x-i=1>\n{SDP}Content-Length: {length}\n\n{THEIR_FAX}"
    );
    call.teams_says("INVITE", 1, &lines);
    call.shard.next_response(100);
    call.shard.next_response(491);
    accepts(&mut call, &asked, THEIR_FAX);
    call.shard.next_response(200);
    acknowledges(&mut call);
    assert_eq!(contents(&call), [Content::Udptl, Content::Udptl]);
}

#[test]
fn audio_and_fax_offered_together_stay_audio() {
    let mut call = with_t38();
    let both = format!("{CARRIER_SDP}m=image 30002 udptl t38\na=T38FaxVersion:0\n");
    offers(&mut call, &both);
    let answer = body(&call.shard.next_response(200).message);
    assert!(answer.contains("m=audio 40002 ") && answer.contains("m=image 0 udptl t38"));
    acknowledges(&mut call);
    call.lives();
}

#[test]
fn a_worn_key_does_not_end_a_fax_and_is_replaced_when_there_is_audio_again() {
    let mut call = with_t38();
    switch(&mut call, FAX);
    let [Command::Allocate { session, .. }, ..] = call.shard.media[..] else {
        panic!("{:?}", call.shard.media);
    };
    let suite = Suite::AesCm128HmacSha1_80;
    call.shard.apply(Input::Media(Event::KeyWorn {
        session,
        endpoint: EndpointId(1),
        stream: StreamIndex(0),
        fresh: CryptoKey::new(suite, vec![b'Z'; suite.key_and_salt_bytes()]).unwrap(),
    }));
    call.shard.pass(Duration::from_secs(5));
    assert!(call.shard.sent.is_empty(), "{:?}", call.shard.sent);
    offers(&mut call, CARRIER_SDP);
    let asked = call.shard.next_request(Method::Invite).message;
    accepts(&mut call, &asked, TEAMS_SDP);
    call.shard.next_response(200);
    acknowledges(&mut call);
    let renewal = call.shard.next_request(Method::Invite).message;
    assert!(
        body(&renewal).contains("inline:WlpaWlpa"),
        "{}",
        body(&renewal)
    );
    accepts(&mut call, &renewal, TEAMS_SDP);
    call.shard.pass(Duration::from_secs(5));
    call.lives();
}
