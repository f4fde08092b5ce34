//! A second offer of a peer while its first one waits for the other leg (RFC 3261 §14.2).

use crate::world;

use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";
const SDP: &str = "Content-Type: application/sdp\n";

fn retry_after(refusal: &Message) -> u32 {
    header(refusal, HeaderName::RetryAfter).parse().unwrap()
}

#[test]
fn a_second_offer_before_the_first_is_answered_is_asked_to_come_again() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let held = CARRIER_SDP.replace("sendrecv", "sendonly");
    for first in ["INVITE", "UPDATE"] {
        for second in ["INVITE", "UPDATE"] {
            let mut call = Call::new();
            call.says(first, &format!("{CONTACT}{SDP}"), &pcmu);
            if first == "INVITE" {
                call.shard.next_response(100);
            }
            // The codec is asked of the other side, which takes its time.
            let asked = call.shard.next_request(Method::Invite).message;
            let of_first = call.cseq;
            call.says(second, &format!("{CONTACT}{SDP}"), &held);
            if second == "INVITE" {
                call.shard.next_response(100);
            }
            let refusal = call.shard.next_response(500).message;
            assert!(retry_after(&refusal) <= 10, "{first} {second}");
            let contact = "Contact: <sip:api-du-b.pstnhub.example:443;x-i=moved>\n";
            let pcmu = TEAMS_SDP.replace("RTP/SAVP 8 0", "RTP/SAVP 0");
            let answer = response(&asked, "200 OK", "", contact, &pcmu);
            call.shard.teams_says(&answer);
            call.shard.next_request(Method::Ack);
            let ok = call.shard.next_response(200).message;
            let answered = String::from_utf8_lossy(&ok.body()).into_owned();
            assert!(answered.contains("RTP/AVP 0 101"), "the first one counts");
            assert!(answered.contains("a=sendrecv"), "the second one does not");
            if first == "INVITE" {
                let via = format!("{VIA}ack{of_first}");
                let ack = in_dialog(&call.ok, "ACK", of_first, &via);
                call.shard.carrier_says(&ack);
            }
            if second == "INVITE" {
                let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}{}", call.cseq));
                call.shard.carrier_says(&ack);
            }
            call.lives();
        }
    }
}

/// SIP-542: on the leg that called us the peer owns the Call-ID, so we wait for two seconds at most.
#[test]
fn who_does_not_own_the_call_id_makes_its_offer_again_within_two_seconds() {
    let mut call = Call::new();
    let contact = "Contact: <sip:api-du-b.pstnhub.example:443;x-i=moved>\n";
    let hold = callee_request(&call.invite, "x1", "INVITE", 1, contact);
    let held = TEAMS_SDP.replace("sendrecv", "inactive");
    let hold = with_body(&hold.replace("Content-Length: 0\n\n", ""), &held);
    call.shard.teams_says(&hold);
    call.shard.next_response(100);
    call.shard.next_response(200);
    let mut told = call.shard.next_request(Method::Invite).message;
    let ack = callee_request(&call.invite, "x1", "ACK", 1, "");
    call.shard.teams_says(&ack);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let refusal = response(&told, "491 Request Pending", "", "", "");
        call.shard.carrier_says(&refusal);
        call.shard.next_request(Method::Ack);
        let mut waited = 0;
        while call.shard.sent.is_empty() {
            call.shard.pass(Duration::from_millis(10));
            waited += 10;
            assert!(waited <= 2_010, "after {pauses:?}");
        }
        pauses.push(waited);
        told = call.shard.next_request(Method::Invite).message;
    }
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 1, "at random: {pauses:?}");
    // Five times, and no more.
    let refusal = response(&told, "491 Request Pending", "", "", "");
    call.shard.carrier_says(&refusal);
    call.shard.next_request(Method::Ack);
    call.shard.pass(Duration::from_secs(20));
    assert!(call.shard.sent.is_empty());
}
