//! What a peer's Allow leaves out is not sent to it within the dialog, and what is done instead (SIP-300).

use crate::world;

use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::two::{Two, is_reliable};
use world::*;

const BASE: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY";
const RELAY: &str = "Content-Type: application/dtmf-relay\n";
const FIVE: &str = "Signal=5\nDuration=160\n";

/// A call from one carrier to another whose INFO and MESSAGE cross; the called one's answer has this
/// Allow.
struct Up {
    two: Two,
    ok: Message,
    cseq: u32,
}

impl Up {
    fn new(of_a: &str, allow: &str) -> Self {
        let keys = "info = \"relay\"\nmessage = \"relay\"\ndtmf = \"info\"";
        let mut two = Two::with(&format!("{keys}\n{of_a}"), keys, "", CARRIER_SDP);
        let lines = format!("Allow: {allow}\n");
        two.says("200 OK", "b1", &lines, CARRIER_SDP);
        two.shard.next_request(Method::Ack);
        let ok = two.shard.next_response(200).message;
        two.ack(&ok);
        Self { two, ok, cseq: 10 }
    }

    fn caller(&mut self, method: &str, lines: &str, body: &str) {
        self.cseq += 1;
        let via = format!("{VIA}{}{method}", self.cseq);
        let bare = in_dialog(&self.ok, method, self.cseq, &via);
        let length = body.replace('\n', "\r\n").len();
        let head = bare.replace("Content-Length: 0\n\n", lines);
        let text = format!("{head}Content-Length: {length}\n\n{body}");
        self.two.shard.carrier_says(&text);
    }
}

#[test]
fn info_and_message_reach_only_who_takes_them() {
    let text = "Content-Type: text/plain\n";
    let mut up = Up::new("", &format!("{BASE}, INFO"));
    up.caller("INFO", RELAY, FIVE);
    let info = up.two.shard.next_request(Method::Info).message;
    up.two.hear(&response(&info, "200 OK", "", "", ""));
    up.two.shard.next_response(200);
    up.caller("MESSAGE", text, "hello");
    up.two.shard.next_response(488);
    let mut up = Up::new("", &format!("{BASE}, MESSAGE"));
    up.caller("INFO", RELAY, FIVE);
    up.two.shard.next_response(488);
    up.caller("MESSAGE", text, "hello");
    up.two.shard.next_request(Method::Message);
    assert!(up.two.shard.sent.is_empty());
}

#[test]
fn what_was_refused_as_unknown_is_not_sent_again() {
    for status in ["405 Method Not Allowed", "501 Not Implemented"] {
        let mut up = Up::new("", &format!("{BASE}, INFO"));
        up.caller("INFO", RELAY, FIVE);
        let info = up.two.shard.next_request(Method::Info).message;
        up.two.hear(&response(&info, status, "", "", ""));
        up.two.shard.next_response(500);
        up.caller("INFO", RELAY, FIVE);
        up.two.shard.next_response(488);
        assert!(up.two.shard.sent.is_empty());
    }
}

#[test]
fn a_party_that_takes_no_refer_is_transferred_by_us() {
    let refer = "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
    let relay = "refer = \"relay\"";
    let mut up = Up::new(relay, &format!("{BASE}, REFER"));
    up.caller("REFER", refer, "");
    up.two.shard.next_request(Method::Refer);
    let mut up = Up::new(relay, BASE);
    up.caller("REFER", refer, "");
    up.two.shard.next_response(202);
    let notify = up.two.shard.next_request(Method::Notify).message;
    let accepted = response(&notify, "200 OK", "", "", "");
    up.two.shard.carrier_says(&accepted);
    let invite = up.two.shard.next_request(Method::Invite).message;
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    up.two
        .hear(&response(&invite, "200 OK", "z1", contact, CARRIER_SDP));
    up.two.shard.next_request(Method::Ack);
    let notify = up.two.shard.next_request(Method::Notify).message;
    assert_eq!(notify.body(), "SIP/2.0 200 OK\r\n");
    up.caller("BYE", "", "");
    up.two.shard.next_response(200);
    up.two.shard.sent.clear();
    let bye = callee_request(&invite, "z1", "BYE", 1, "").replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.40:5060",
    );
    up.two.hear(&bye);
    let told: Vec<Message> = up.two.shard.sent.drain(..).map(|own| own.message).collect();
    let bye = told
        .iter()
        .find(|own| *own.method() == Method::Bye && own.is_request());
    let ended = response(bye.expect("the call ends"), "200 OK", "", "", "");
    up.two.hear(&ended);
    let transfer = &up.two.shard.records[0].transfers[0];
    assert_eq!(
        (transfer.kind, transfer.outcome),
        (TransferKind::Blind, TransferOutcome::Completed)
    );
}

#[test]
fn a_subscription_is_renewed_only_where_subscribe_is_taken() {
    for (allow, is_renewed) in [("REFER, SUBSCRIBE", true), ("REFER", false)] {
        let mut up = Up::new("refer = \"relay\"", &format!("{BASE}, {allow}"));
        let refer = "Refer-To: <sip:+4930999111@192.0.2.11>\n";
        up.caller("REFER", refer, "");
        let refer = up.two.shard.next_request(Method::Refer).message;
        up.two.hear(&response(&refer, "202 Accepted", "", "", ""));
        up.two.shard.next_response(202);
        let notify = up.two.shard.next_request(Method::Notify).message;
        let accepted = response(&notify, "200 OK", "", "", "");
        up.two.shard.carrier_says(&accepted);
        up.two.shard.pass(Duration::from_secs(46));
        let is_one = |sent: &Sent| *sent.message.method() == Method::Subscribe;
        assert_eq!(up.two.shard.sent.iter().any(is_one), is_renewed, "{allow}");
    }
}

#[test]
fn provisionals_are_reliable_only_for_callers_that_take_prack() {
    let supported = "Supported: 100rel\n";
    for (allow, expected) in [
        (format!("Allow: {BASE}, PRACK\n"), true),
        (String::new(), true),
        (format!("Allow: {BASE}\n"), false),
    ] {
        let lines = format!("{supported}{allow}");
        let mut two = Two::with("", "", &lines, CARRIER_SDP);
        two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
        two.pracks(1);
        let early = two.shard.next_response(183).message;
        assert_eq!(is_reliable(&early), expected, "{lines}");
        assert!(!early.body().is_empty());
    }
    // Whoever requires it has to take it.
    let lines = format!("Require: 100rel\nAllow: {BASE}\n");
    let mut two = Two::with("", "", &lines, CARRIER_SDP);
    two.says("180 Ringing", "b1", "", "");
    let early = two.shard.next_response(180).message;
    assert!(is_reliable(&early) && early.has(HeaderName::RSeq));
}
