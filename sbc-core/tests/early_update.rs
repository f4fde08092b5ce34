//! UPDATE before the answer (RFC 3311) by hand: allowed once the first exchange is made reliably.

mod world;

use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::two::{Two, version};
use world::*;

const RELIABLE: &str = "Supported: 100rel\n";
const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";

fn only(codec: &str) -> String {
    CARRIER_SDP.replace("RTP/AVP 8 0 101", &format!("RTP/AVP {codec} 101"))
}

fn moved(host: &str) -> String {
    CARRIER_SDP.replace("198.51.100.30", host)
}

#[test]
fn a_caller_may_offer_again_once_it_has_confirmed_the_answer() {
    let mut two = Two::new(RELIABLE);
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    two.caller_says(&early, "UPDATE", 11, CONTACT, &moved("198.51.100.31"));
    let refused = two.shard.next_response(500).message;
    assert!(refused.has(HeaderName::RetryAfter), "not confirmed yet");
    two.confirms(&early, 12);
    let media = two.shard.media.len();
    two.caller_says(&early, "UPDATE", 13, CONTACT, &moved("198.51.100.32"));
    let ok = two.shard.next_response(200).message;
    assert!(ok.body().starts_with(b"v=0") && ok.has(HeaderName::Contact));
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.32"), "{agreed}");
    assert!(
        two.shard.sent.is_empty(),
        "the other side does not hear of it"
    );
    // What the answer commits is what is in force, not what was offered first.
    let media = two.shard.media.len();
    let ok = two.answered("b1", "");
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.32"), "{agreed}");
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty());
}

#[test]
fn an_early_offer_that_needs_another_codec_is_refused_and_changes_nothing() {
    let fqdn = "fqdn = \"sbc2.contoso.example\"";
    let mut two = Two::with(fqdn, "", RELIABLE, CARRIER_SDP);
    two.reliably("183 Session Progress", "b1", 1, &only("8"));
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    two.confirms(&early, 11);
    let media = two.shard.media.len();
    two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
    let refused = two.shard.next_response(488).message;
    assert!(refused.has(HeaderName::Warning), "SIP-532");
    two.callee_says("b1", "UPDATE", 1, &only("0"));
    two.shard.next_response(488);
    assert_eq!(two.shard.media.len(), media);
    let ok = two.answered("b1", "");
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn a_called_party_may_offer_once_its_answer_was_reliable() {
    let mut two = Two::new("");
    two.says("180 Ringing", "b1", "", CARRIER_SDP);
    two.shard.next_response(180);
    two.callee_says("b1", "UPDATE", 1, &moved("198.51.100.43"));
    two.shard.next_response(491);
    let mut two = Two::new("");
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    two.shard.next_response(183);
    let media = two.shard.media.len();
    two.callee_says("b1", "UPDATE", 1, &moved("198.51.100.43"));
    let answer = two.shard.next_response(200).message;
    assert_eq!(version(&answer), version(&two.invite) + 1, "{answer:?}");
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.43"), "{agreed}");
    let media = two.shard.media.len();
    let ok = two.answered("b1", CARRIER_SDP);
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.43"), "{agreed}");
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty());
}

#[test]
fn an_update_of_one_phone_does_not_touch_the_other() {
    let mut two = Two::new("");
    for (tag, host) in [("b1", "198.51.100.41"), ("b2", "198.51.100.42")] {
        two.reliably("183 Session Progress", tag, 1, &moved(host));
        two.pracks(1);
        two.shard.pass(Duration::from_millis(1_100));
        two.shard.sent.clear();
    }
    two.callee_says("b1", "UPDATE", 1, &moved("198.51.100.46"));
    two.shard.next_response(200);
    let media = two.shard.media.len();
    two.says("200 OK", "b2", "", "");
    two.shard.next_request(Method::Ack);
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(
        agreed.contains("198.51.100.42") && !agreed.contains("198.51.100.46"),
        "{agreed}"
    );
}
