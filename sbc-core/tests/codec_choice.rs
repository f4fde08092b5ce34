//! In whose order codecs are offered, how many an answer names, and a peer that is to have one (MED-200, MED-201,
//! MED-205).

use crate::world;

use sbc_core::config::{Assumed, Code, Source, load};
use sbc_core::sip::Method;
use world::call::*;
use world::*;

const THREE: &str = "codecs = [\"G722\", \"PCMU\", \"PCMA\"]";

fn shard(lines: &str) -> Shard {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let with = format!("{THREE}\n{lines}");
    Shard::with(config_of(&CONFIG.replace(codecs, &with)))
}

/// A description of the carrier with these payload types.
fn carrier(numbers: &str) -> String {
    CARRIER_SDP.replace("8 0 101", numbers)
}

/// The payload types that the carrier is offered when Teams calls.
fn offered(lines: &str) -> String {
    let mut shard = shard(lines);
    shard.teams_says(&teams_invite("order"));
    shard.next_response(100);
    formats(&shard.next_request(Method::Invite).message)
}

#[test]
fn what_is_offered_is_in_the_order_of_the_caller_or_of_the_trunk() {
    // Teams says 8 0, and what would have to be made stands behind what passes.
    assert_eq!(offered(""), "8 0 101");
    assert_eq!(offered("codec_order = \"remote\""), "8 0 101");
    assert_eq!(offered("codec_order = \"local\""), "0 8 101");
    let made = "codec_order = \"local\"\ntranscode = [\"G722\"]";
    assert_eq!(offered(made), "0 8 9 101");
}

#[test]
fn the_order_of_a_callers_trunk_counts_where_the_called_one_has_none() {
    for (lines, wanted) in [("", "8 0 101"), ("codec_order = \"local\"", "0 8 101")] {
        let mut shard = shard(lines);
        shard.carrier_says(&carrier_invite("order", &carrier("8 0 101")));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let told = formats(&invite);
        assert!(told.starts_with(&wanted[..3]), "{lines}: {told}");
    }
}

/// A call of the carrier that Teams answers with both codecs; what the carrier is answered.
fn answer(lines: &str) -> String {
    let mut shard = shard(lines);
    shard.carrier_says(&carrier_invite("all", &carrier("0 8 101")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    formats(&shard.next_response(200).message)
}

#[test]
fn an_answer_names_one_codec_or_all_that_both_have() {
    assert_eq!(answer(""), "8 101");
    assert_eq!(answer("answer_codecs = \"one\""), "8 101");
    assert_eq!(answer("answer_codecs = \"all\""), "8 0 101");
}

/// A call of Teams that the carrier answers with two codecs, once everybody knows.
fn answered_with_two(lines: &str) -> (Shard, Option<world::Sent>) {
    let mut shard = shard(lines);
    shard.teams_says(&teams_invite("one"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let sdp = carrier("0 8 101");
    shard.carrier_says(&response(&invite, "200 OK", "b1", CARRIER_CONTACT, &sdp));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(formats(&ok), "0 101");
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack";
    shard.teams_says(&in_dialog(&ok, "ACK", 1, via));
    let offer = (!shard.sent.is_empty()).then(|| shard.next_request(Method::Invite));
    (shard, offer)
}

#[test]
fn a_peer_that_is_to_have_one_codec_is_offered_that_again_and_once() {
    let (_, offer) = answered_with_two("");
    assert!(offer.is_none());
    let (mut shard, offer) = answered_with_two("single_codec = true");
    let offer = offer.expect("a second offer").message;
    assert_eq!(formats(&offer), "0 101");
    let sdp = carrier("0 101");
    shard.carrier_says(&response(&offer, "200 OK", "", CARRIER_CONTACT, &sdp));
    shard.next_request(Method::Ack);
    assert!(shard.sent.is_empty(), "that is all");
    // Teams has had one all along, and hears nothing of it.
}

#[test]
fn a_peer_that_refuses_to_have_one_codec_keeps_its_call() {
    let (mut shard, offer) = answered_with_two("single_codec = true");
    let offer = offer.expect("a second offer").message;
    let no = response(&offer, "488 Not Acceptable Here", "", CARRIER_CONTACT, "");
    shard.carrier_says(&no);
    shard.next_request(Method::Ack);
    shard.pass(std::time::Duration::from_secs(30));
    let is_offer =
        |sent: &Sent| sent.message.is_request() && *sent.message.method() != Method::Options;
    assert!(
        !shard.sent.iter().any(is_offer),
        "neither asked again nor ended"
    );
    assert!(shard.records.is_empty());
}

#[test]
fn one_codec_and_all_of_them_contradict_each_other() {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let lines = format!("{codecs}\nsingle_codec = true\nanswer_codecs = \"all\"");
    let text = CONFIG.replace(codecs, &lines);
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let findings = load(&[Source::new("test.toml", text)], &facts, None);
    let findings = findings.expect_err("it is refused");
    let codes: Vec<Code> = findings.errors.iter().map(|own| own.code).collect();
    assert_eq!(codes, [Code::Contradiction], "{}", findings.to_text());
}
