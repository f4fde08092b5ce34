//! ISUP in bodies (SIP-I, RFC 3204) from one carrier to another: it passes where both trunks say so, and nowhere else.

use crate::world;

use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{VIA, header};
use world::two::{Two, two_carriers};
use world::*;

const PASS: &str = "isup = \"pass\"\ninfo = \"relay\"";
const ISUP: &str = "application/ISUP;version=itu-t92+;base=itu-t92+";

/// A part of ISUP that says this.
fn part(handling: &str, says: &str) -> String {
    format!(
        "Content-Type: {ISUP}\nContent-Disposition: signal;handling={handling}\n\n\u{1}\u{11}{says}"
    )
}

/// Lines and body of a description with a part behind it.
fn beside(sdp: &str, part: &str) -> String {
    let body = format!("--x1\nContent-Type: application/sdp\n\n{sdp}\n--x1\n{part}\n--x1--\n");
    typed("multipart/mixed;boundary=x1", "", &body)
}

fn typed(kind: &str, lines: &str, body: &str) -> String {
    let length = body.replace('\n', "\r\n").len();
    format!("Content-Type: {kind}\n{lines}Content-Length: {length}\n\n{body}")
}

/// A body of ISUP and nothing else.
fn alone(says: &str) -> String {
    typed(
        ISUP,
        "Content-Disposition: signal;handling=required\n",
        &format!("\u{1}\u{11}{says}"),
    )
}

/// A message without a body, with this one.
fn with(message: &str, body: &str) -> String {
    assert!(message.contains("Content-Length: 0\n\n"));
    message.replace("Content-Length: 0\n\n", body)
}

/// A call from one carrier to the other with this body; nothing is answered yet.
fn called(of_a: &str, of_b: &str, body: &str) -> Shard {
    let mut shard = Shard::with(config_of(&two_carriers(of_a, of_b)));
    shard.carrier_says(&with(&carrier_invite("isup", ""), body));
    shard
}

fn reaches(mut shard: Shard) -> Two {
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    Two { shard, invite }
}

/// What the called side says, with this body.
fn says(two: &mut Two, status: &str, body: &str) {
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    let text = response(&two.invite, status, "b1", contact, "");
    two.hear(&with(&text, body));
}

fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).replace("\r\n", "\n")
}

/// The description in a multipart.
fn description(message: &Message) -> String {
    let text = body(message);
    let (_, rest) = text.split_once("\n\nv=0").expect("a description");
    let (sdp, _) = rest.split_once("\n--").expect("its end");
    sdp.to_owned()
}

#[test]
fn what_each_side_says_in_isup_reaches_the_other_octet_by_octet() {
    let iam = part("required", "iam");
    let mut two = reaches(called(PASS, PASS, &beside(CARRIER_SDP, &iam)));
    let kind = header(&two.invite, HeaderName::ContentType);
    assert!(kind.starts_with("multipart/mixed;boundary="), "{kind}");
    let told = body(&two.invite);
    assert!(told.contains(&format!("\n{iam}\n--")), "{told}");
    assert!(
        told.contains("c=IN IP4 192.0.2.10"),
        "our description: {told}"
    );
    assert!(
        told.find("application/sdp") < told.find("ISUP"),
        "each in its place"
    );

    says(
        &mut two,
        "183 Session Progress",
        &beside(CARRIER_SDP, &part("optional", "acm")),
    );
    let progress = two.shard.next_response(183).message;
    assert!(body(&progress).contains(&part("optional", "acm")));
    let early = description(&progress);
    two.shard.pass(Duration::from_secs(2));
    says(&mut two, "180 Ringing", &alone("cpg"));
    let ringing = two.shard.next_response(180).message;
    assert_eq!(header(&ringing, HeaderName::ContentType), ISUP);
    assert_eq!(
        header(&ringing, HeaderName::ContentDisposition),
        "signal;handling=required"
    );
    assert_eq!(&ringing.body()[..], b"\x01\x11cpg");

    says(
        &mut two,
        "200 OK",
        &beside(CARRIER_SDP, &part("required", "anm")),
    );
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    assert!(body(&ok).contains(&part("required", "anm")));
    assert_eq!(description(&ok), early, "SIP-312");
    two.ack(&ok);

    let info = in_dialog(&ok, "INFO", 11, &format!("{VIA}info"));
    two.shard.carrier_says(&with(&info, &alone("sus")));
    let info = two.shard.next_request(Method::Info).message;
    assert_eq!(&info.body()[..], b"\x01\x11sus");
    two.hear(&response(&info, "200 OK", "", "", ""));
    two.shard.next_response(200);

    let bye = in_dialog(&ok, "BYE", 12, &format!("{VIA}bye"));
    two.shard.carrier_says(&with(&bye, &alone("rel")));
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::ContentType), ISUP);
    assert_eq!(&bye.body()[..], b"\x01\x11rel");
}

#[test]
fn what_is_told_again_to_keep_a_call_alive_is_no_event_of_the_other_network() {
    let iam = beside(CARRIER_SDP, &part("required", "iam"));
    let mut two = reaches(called(PASS, PASS, &iam));
    says(&mut two, "180 Ringing", &alone("acm"));
    let ringing = two.shard.next_response(180).message;
    assert_eq!(&ringing.body()[..], b"\x01\x11acm");
    two.shard.pass(Duration::from_secs(61));
    let again = two.shard.next_response(180).message;
    assert!(again.body().is_empty(), "{again:?}");
}

#[test]
fn a_refusal_says_in_isup_why() {
    let mut two = reaches(called(
        PASS,
        PASS,
        &beside(CARRIER_SDP, &part("required", "iam")),
    ));
    says(&mut two, "404 Not Found", &alone("rel"));
    two.shard.next_request(Method::Ack);
    let refused = two.shard.next_response(404).message;
    assert_eq!(header(&refused, HeaderName::ContentType), ISUP);
    assert_eq!(&refused.body()[..], b"\x01\x11rel");
}

#[test]
fn a_call_without_offer_brings_its_isup_along() {
    let two = reaches(called(PASS, PASS, &alone("iam")));
    assert_eq!(header(&two.invite, HeaderName::ContentType), ISUP);
    assert_eq!(&two.invite.body()[..], b"\x01\x11iam");
}

#[test]
fn it_stays_behind_where_one_of_the_two_does_not_say_that_it_speaks_it() {
    for (of_a, of_b) in [("", PASS), (PASS, ""), ("", "")] {
        let optional = beside(CARRIER_SDP, &part("optional", "iam"));
        let mut two = reaches(called(of_a, of_b, &optional));
        assert_eq!(
            header(&two.invite, HeaderName::ContentType),
            "application/sdp"
        );
        says(
            &mut two,
            "183 Session Progress",
            &beside(CARRIER_SDP, &part("optional", "acm")),
        );
        let progress = two.shard.next_response(183).message;
        assert_eq!(
            header(&progress, HeaderName::ContentType),
            "application/sdp"
        );
    }
    // Who has to be understood and is not is refused; a peer that is known to speak it is understood.
    let required = beside(CARRIER_SDP, &part("required", "iam"));
    let mut refused = called("", PASS, &required);
    let refused = refused.next_response(415).message;
    assert_eq!(
        header(&refused, HeaderName::Accept),
        "application/sdp, application/pidf+xml"
    );
    let two = reaches(called(PASS, "", &required));
    assert_eq!(
        header(&two.invite, HeaderName::ContentType),
        "application/sdp"
    );
}
