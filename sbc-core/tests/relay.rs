//! REFER passed on to the other party, by hand: what it says there, the two subscriptions, and who
//! may leave when (SIP-810).

use crate::world;

use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::two::*;
use world::*;

const REFER: &str =
    "Refer-To: <sip:+4930999111@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
const ACTIVE: &str = "active;expires=60";

/// A call from the carrier to trunk b that is up, under these keys of the carrier's trunk.
struct Up {
    two: Two,
    ok: Message,
    cseq: u32,
}

impl Up {
    fn new(of_a: &str) -> Self {
        Self::of(Two::with(of_a, "", "", CARRIER_SDP))
    }

    fn of(mut two: Two) -> Self {
        let ok = two.answered("b1", CARRIER_SDP);
        two.ack(&ok);
        assert!(two.shard.sent.is_empty());
        Self { two, ok, cseq: 10 }
    }

    fn caller(&mut self, method: &str, lines: &str) {
        self.cseq += 1;
        let via = format!("{VIA}{}{method}", self.cseq);
        let bare = in_dialog(&self.ok, method, self.cseq, &via);
        let text = bare.replace("Content-Length: 0", &format!("{lines}Content-Length: 0"));
        self.two.shard.carrier_says(&text);
    }

    /// A request of B in its dialog.
    fn b(&mut self, method: &str, cseq: u32, lines: &str, body: &str) {
        let bare = callee_request(&self.two.invite, "b1", method, cseq, lines);
        let bare = bare.replace(
            "SIP/2.0/TLS 203.0.113.1:5061",
            "SIP/2.0/UDP 198.51.100.40:5060",
        );
        let bare = bare.replace(
            "sip:sbc1.contoso.example:5061;transport=tls",
            "sip:192.0.2.11:5060",
        );
        let length = body.len();
        let text = bare.replace(
            "Content-Length: 0\n\n",
            &format!("Content-Length: {length}\n\n"),
        );
        let flow = sbc_core::transport::Flow {
            remote: "198.51.100.40:5060".parse().unwrap(),
            ..carrier_flow()
        };
        let text = format!("{text}{body}");
        self.two.shard.receive(flow, &text);
    }

    /// B tells where it stands.
    fn notifies(&mut self, cseq: u32, state: &str, fragment: &str) {
        let lines = format!(
            "Event: refer\nSubscription-State: {state}\nContact: <sip:gw@198.51.100.40:5060>\n\
             Content-Type: message/sipfrag\n"
        );
        self.b("NOTIFY", cseq, &lines, &format!("SIP/2.0 {fragment}"));
    }

    /// B's NOTIFY is accepted.
    fn notified(&mut self, cseq: u32, state: &str, fragment: &str) {
        self.notifies(cseq, state, fragment);
        self.two.shard.next_response(200);
    }

    /// The caller is told this, and accepts.
    fn tells(&mut self, state: &str, fragment: &str) -> Message {
        let notify = self.two.shard.next_request(Method::Notify);
        assert_eq!(notify.hop.remote.to_string(), CARRIER);
        let notify = notify.message;
        assert_eq!(header(&notify, HeaderName::SubscriptionState), state);
        assert_eq!(notify.body(), format!("SIP/2.0 {fragment}\r\n"));
        let ok = response(&notify, "200 OK", "", "", "");
        self.two.shard.carrier_says(&ok);
        notify
    }

    /// The REFER that B got; B accepts.
    fn accepted(&mut self) -> Message {
        let refer = self.two.shard.next_request(Method::Refer);
        assert_eq!(refer.hop.remote.to_string(), "198.51.100.40:5060");
        let accepted = response(&refer.message, "202 Accepted", "", "", "");
        self.two.hear(&accepted);
        refer.message
    }

    /// A REFER that B has accepted, and the caller has heard so.
    fn relayed() -> Self {
        let mut up = Self::new("refer = \"relay\"");
        up.caller("REFER", REFER);
        assert!(up.two.shard.sent.len() == 1, "nothing but the REFER");
        up.accepted();
        up.two.shard.next_response(202);
        up.tells(ACTIVE, "100 Trying");
        up
    }

    fn ends(mut self) {
        self.caller("BYE", "");
        self.two.shard.next_response(200);
        let bye = self.two.shard.next_request(Method::Bye).message;
        self.two.hear(&response(&bye, "200 OK", "", "", ""));
        assert_eq!(self.two.shard.records.len(), 1);
        self.two.shard.settles();
    }
}

#[test]
fn the_other_party_gets_the_refer_in_its_own_terms_and_its_news_come_back() {
    let mut up = Up::new("refer = \"relay\"\ntrusted = true");
    up.caller(
        "REFER",
        &format!("{REFER}Referred-By: <sip:boss@198.51.100.20>\n"),
    );
    let refer = up.accepted();
    assert_eq!(
        header(&refer, HeaderName::ReferTo),
        "<sip:+4930999111@192.0.2.11:5060>"
    );
    assert!(!refer.has(HeaderName::ReferredBy), "b is not trusted");
    assert!(refer.has(HeaderName::Contact));
    let text = String::from_utf8_lossy(refer.bytes()).into_owned();
    for foreign in ["198.51.100.20", "Call-ID: two", "tag=c1"] {
        assert!(!text.contains(foreign), "{text}");
    }
    up.two.shard.next_response(202);
    up.tells(ACTIVE, "100 Trying");
    up.notified(1, "active;expires=100", "100 Trying");
    assert!(up.two.shard.sent.is_empty(), "no news");
    up.two.shard.pass(Duration::from_secs(2));
    up.notified(2, "active;expires=98", "180 Ringing\r\nX-Secret: 1");
    up.tells(ACTIVE, "180 Ringing");
    up.two.shard.pass(Duration::from_secs(2));
    up.notified(3, "terminated;reason=noresource", "200 OK");
    up.tells("terminated;reason=noresource", "200 OK");
    // What comes later belongs to nothing.
    up.notifies(4, "terminated;reason=noresource", "200 OK");
    up.two.shard.next_response(481);
    up.caller("BYE", "");
    up.two.shard.next_response(200);
    let bye = up.two.shard.next_request(Method::Bye).message;
    up.two.hear(&response(&bye, "200 OK", "", "", ""));
    let transfer = &up.two.shard.records[0].transfers[0];
    assert_eq!(
        (transfer.kind, transfer.outcome, transfer.status),
        (TransferKind::Relayed, TransferOutcome::Completed, Some(200))
    );
    assert_eq!(transfer.target, "+4930999111");
    up.two.shard.settles();
}

#[test]
fn whoever_refuses_it_refuses_it_for_the_sender_too() {
    let cases = [
        ("603 Decline", 603),
        ("405 Method Not Allowed", 603),
        ("481 Gone", 603),
        ("403 Forbidden", 403),
    ];
    for (said, told) in cases {
        let mut up = Up::new("refer = \"relay\"");
        up.caller("REFER", REFER);
        let refer = up.two.shard.next_request(Method::Refer).message;
        up.two.hear(&response(&refer, said, "", "", ""));
        up.two.shard.next_response(told);
        up.notifies(1, ACTIVE, "100 Trying");
        up.two.shard.next_response(481);
        up.ends();
    }
}

#[test]
fn silence_to_it_is_an_answer_in_time_and_no_subscription_is_left() {
    let mut up = Up::new("refer = \"relay\"");
    up.caller("REFER", REFER);
    up.two.shard.next_request(Method::Refer);
    up.two.shard.pass(Duration::from_secs(9));
    let is_final = |sent: &Sent| {
        sent.message
            .status()
            .is_some_and(|status| status.is_final())
    };
    up.two.shard.sent.retain(is_final);
    up.two.shard.next_response(500);
    up.two.shard.pass(Duration::from_secs(40));
    up.two.shard.sent.clear();
    up.ends();
}

#[test]
fn a_notify_may_be_quicker_than_the_answer() {
    let mut up = Up::new("refer = \"relay\"");
    up.caller("REFER", REFER);
    let refer = up.two.shard.next_request(Method::Refer).message;
    up.notified(1, ACTIVE, "100 Trying");
    assert!(up.two.shard.sent.is_empty(), "nothing was accepted yet");
    up.two.hear(&response(&refer, "202 Accepted", "", "", ""));
    up.two.shard.next_response(202);
    up.tells(ACTIVE, "100 Trying");
    up.two.shard.pass(Duration::from_secs(1));
    up.notified(2, "terminated;reason=noresource", "486 Busy Here");
    up.tells("terminated;reason=noresource", "486 Busy Here");
    up.ends();
}

#[test]
fn an_end_that_is_told_before_the_answer_is_the_end_for_the_sender_too() {
    let mut up = Up::new("refer = \"relay\"");
    up.caller("REFER", REFER);
    let refer = up.two.shard.next_request(Method::Refer).message;
    up.notified(1, ACTIVE, "100 Trying");
    up.notified(2, "terminated;reason=noresource", "200 OK");
    assert!(up.two.shard.sent.is_empty(), "nothing was accepted yet");
    up.two.hear(&response(&refer, "202 Accepted", "", "", ""));
    up.two.shard.next_response(202);
    up.tells(ACTIVE, "100 Trying");
    up.tells("terminated;reason=noresource", "200 OK");
    up.ends();
}

#[test]
fn whoever_accepts_it_but_tells_nothing_unasked_is_not_waited_for() {
    let mut up = Up::new("refer = \"relay\"");
    up.caller("REFER", REFER);
    let refer = up.two.shard.next_request(Method::Refer).message;
    let silent = response(&refer, "202 Accepted", "", "Refer-Sub: false\n", "");
    up.two.hear(&silent);
    up.two.shard.next_response(202);
    up.tells(ACTIVE, "100 Trying");
    up.tells("terminated;reason=noresource", "100 Trying");
    up.ends();
}

#[test]
fn both_may_leave_and_the_end_is_still_told() {
    let mut up = Up::relayed();
    up.two.shard.pass(Duration::from_millis(280));
    up.caller("BYE", "");
    up.two.shard.next_response(200);
    let bye = up.two.shard.next_request(Method::Bye).message;
    up.two.hear(&response(&bye, "200 OK", "", "", ""));
    assert!(up.two.shard.sent.is_empty());
    up.two.shard.pass(Duration::from_secs(3));
    up.notified(1, "active;expires=60", "180 Ringing");
    up.tells(ACTIVE, "180 Ringing");
    up.two.shard.pass(Duration::from_secs(3));
    up.notified(2, "terminated;reason=noresource", "200 OK");
    up.tells("terminated;reason=noresource", "200 OK");
    let record = &up.two.shard.records[0];
    assert_eq!(record.transfers[0].outcome, TransferOutcome::Completed);
    // Who names its dialog in part only means another one, also where that was told of longer than it lasted.
    let from = header(&up.two.invite, HeaderName::From);
    let ours = from.split(";tag=").nth(1).expect("a tag");
    let id = header(&up.two.invite, HeaderName::CallId);
    for (n, (tag, status)) in [("b2", 481), ("b1", 603)].into_iter().enumerate() {
        let line = format!("Replaces: {id};to-tag={ours};from-tag={tag}\nMax-Forwards");
        let flow = sbc_core::transport::Flow {
            remote: "198.51.100.40:5060".parse().unwrap(),
            ..carrier_flow()
        };
        let invite = carrier_invite(&format!("late{n}"), CARRIER_SDP);
        up.two
            .shard
            .receive(flow, &invite.replace("Max-Forwards", &line));
        up.two.shard.next_response(status);
    }
    up.two.shard.settles();
}

#[test]
fn a_party_that_leaves_and_says_nothing_is_waited_for_no_longer_than_32_seconds() {
    let mut up = Up::relayed();
    up.b("BYE", 1, "", "");
    up.two.shard.next_response(200);
    let bye = up.two.shard.next_request(Method::Bye).message;
    up.two
        .shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    up.two.shard.pass(Duration::from_secs(31));
    assert!(up.two.shard.sent.is_empty() && up.two.shard.records.is_empty());
    up.two.shard.pass(Duration::from_secs(2));
    up.tells("terminated;reason=timeout", "100 Trying");
    let record = &up.two.shard.records[0];
    assert_eq!(record.transfers[0].outcome, TransferOutcome::Unknown);
    up.two.shard.settles();
}

#[test]
fn a_party_that_leaves_while_our_bye_waits_for_its_ack_is_waited_for_no_longer_either() {
    let mut two = Two::with("", "refer = \"relay\"", "", CARRIER_SDP);
    let ok = two.answered("b1", CARRIER_SDP);
    // The caller carries the transfer out, and has not acknowledged our answer.
    let mut up = Up { two, ok, cseq: 10 };
    let lines = "Refer-To: <sip:+4930999111@192.0.2.11>\nContact: <sip:gw@198.51.100.40:5060>\n";
    up.b("REFER", 1, lines, "");
    let refer = up.two.shard.next_request(Method::Refer).message;
    let accepted = response(&refer, "202 Accepted", "", "", "");
    up.two.shard.carrier_says(&accepted);
    up.two.shard.next_response(202);
    let told = |up: &mut Up, state: &str| {
        let notify = up.two.shard.next_request(Method::Notify).message;
        assert_eq!(header(&notify, HeaderName::SubscriptionState), state);
        up.two.hear(&response(&notify, "200 OK", "", "", ""));
    };
    told(&mut up, ACTIVE);
    up.b("BYE", 2, "", "");
    up.two.shard.next_response(200);
    // Ours has to wait, and the caller leaves first.
    assert!(up.two.shard.sent.is_empty());
    up.caller("BYE", "");
    up.two.shard.next_response(200);
    up.two.shard.pass(Duration::from_secs(33));
    told(&mut up, "terminated;reason=timeout");
    up.two.shard.settles();
}

#[test]
fn the_subscription_of_each_leg_is_renewed_on_its_own() {
    let mut up = Up::relayed();
    up.notified(1, "active;expires=60", "180 Ringing");
    up.two.shard.pass(Duration::from_secs(1));
    up.tells(ACTIVE, "180 Ringing");
    // Ours is told again in time, and the other one asked to last.
    up.two.shard.pass(Duration::from_secs(44));
    let subscribe = up.two.shard.next_request(Method::Subscribe);
    assert_eq!(subscribe.hop.remote.to_string(), "198.51.100.40:5060");
    assert_eq!(header(&subscribe.message, HeaderName::Event), "refer");
    up.two.hear(&response(
        &subscribe.message,
        "200 OK",
        "",
        "Expires: 60\n",
        "",
    ));
    up.two.shard.pass(Duration::from_secs(1));
    up.tells(ACTIVE, "180 Ringing");
    // Nothing follows.
    up.two.shard.pass(Duration::from_secs(31));
    up.tells("terminated;reason=timeout", "180 Ringing");
    up.ends();
}

#[test]
fn whoever_wants_no_notify_gets_none_and_neither_do_we() {
    let mut up = Up::new("refer = \"relay\"");
    up.caller("REFER", &format!("{REFER}Refer-Sub: false\n"));
    let refer = up.two.shard.next_request(Method::Refer).message;
    assert_eq!(header(&refer, HeaderName::ReferSub), "false");
    let accepted = response(&refer, "202 Accepted", "", "Refer-Sub: false\n", "");
    up.two.hear(&accepted);
    let ok = up.two.shard.next_response(202).message;
    assert_eq!(header(&ok, HeaderName::ReferSub), "false");
    assert!(up.two.shard.sent.is_empty());
    up.notifies(1, ACTIVE, "100 Trying");
    up.two.shard.next_response(481);
    up.ends();
}

#[test]
fn what_cannot_be_read_reaches_nobody() {
    let mut up = Up::new("refer = \"relay\"");
    for (lines, status) in [
        ("", 400),
        ("Refer-To: <http://example.com/>\n", 416),
        ("Refer-To: <sip:a@example.com;method=BYE>\n", 603),
    ] {
        up.caller("REFER", lines);
        up.two.shard.next_response(status);
        assert!(up.two.shard.sent.is_empty());
    }
    up.ends();
}

#[test]
fn teams_transfers_are_never_passed_on() {
    let text = CONFIG.replace(
        "preset = \"teams\"\n",
        "preset = \"teams\"\nrefer = \"relay\"\n",
    );
    let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
    let source = sbc_core::config::Source::new("test.toml", &text);
    let findings = sbc_core::config::load(&[source], &facts, None).expect_err("refused");
    let told = findings.to_text();
    assert!(
        told.contains("nobody but Teams can call the targets of its transfers"),
        "{told}"
    );
}

/// A REFER of the caller that names its other call.
fn with_replaces(up: &mut Up, other: &Message) {
    let to = header(other, HeaderName::To);
    let ours = to.split(";tag=").nth(1).expect("a tag").to_owned();
    let id = header(other, HeaderName::CallId);
    let lines = format!(
        "Refer-To: <sip:+4930999222@192.0.2.11?Replaces={id}%3Bto-tag%3D{ours}%3Bfrom-tag%3Dc1>\n"
    );
    up.caller("REFER", &lines);
}

/// The INVITE of B that a REFER asks for.
pub(crate) fn obeyed(refer: &Message) -> String {
    let refer_to = header(refer, HeaderName::ReferTo);
    let (uri, named) = refer_to.split_once("?Replaces=").expect("a dialog");
    let uri = uri.trim_start_matches('<');
    let named = named.trim_end_matches('>').replace("%40", "@");
    let named = named.replace("%3B", ";").replace("%3D", "=");
    with_body(
        &format!(
            "INVITE {uri} SIP/2.0
Via: SIP/2.0/UDP 198.51.100.40:5060;branch=z9hG4bKobeyed;rport
Max-Forwards: 69
From: <sip:+498999998777@198.51.100.40>;tag=n1
To: <{uri}>
Call-ID: obeyed
CSeq: 1 INVITE
Contact: <sip:gw@198.51.100.40:5060>
Replaces: {named}
"
        ),
        CARRIER_SDP,
    )
}

/// Another call of the carrier, to another phone of b: our answer.
fn second(shard: &mut Shard) -> Message {
    shard.carrier_says(&carrier_invite("second", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let contact = "Contact: <sip:other@198.51.100.40:5060>\n";
    let answer = response(&invite, "200 OK", "z1", contact, CARRIER_SDP);
    shard.apply(from_b(&answer));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack-second")));
    assert!(shard.sent.is_empty());
    ok
}

fn from_b(text: &str) -> Input {
    let bytes = bytes::Bytes::from(text.replace('\n', "\r\n"));
    let flow = sbc_core::transport::Flow {
        remote: "198.51.100.40:5060".parse().unwrap(),
        ..carrier_flow()
    };
    let message = Message::parse(bytes, &sbc_core::sip::Limits::default()).expect("a message");
    Input::Received { flow, message }
}

#[test]
fn a_dialog_of_another_call_has_a_name_of_its_own_that_one_trunk_may_use() {
    let mut up = Up::new("refer = \"relay\"");
    let ok = second(&mut up.two.shard);
    with_replaces(&mut up, &ok);
    let refer = up.accepted();
    up.two.shard.next_response(202);
    up.tells(ACTIVE, "100 Trying");
    let refer_to = header(&refer, HeaderName::ReferTo);
    let to = header(&ok, HeaderName::To);
    let ours = to.split(";tag=").nth(1).expect("a tag");
    for foreign in ["second", "tag%3Dc1", ours] {
        assert!(!refer_to.contains(foreign), "{refer_to}");
    }

    // A stranger to the name gets nothing by it.
    let stolen = obeyed(&refer)
        .replace("198.51.100.40", "198.51.100.20")
        .replace("obeyed", "stolen");
    up.two.shard.carrier_says(&stolen);
    up.two.shard.next_response(481);
    up.two.shard.carrier_says(&stolen.replace("INVITE", "ACK"));
    assert!(up.two.shard.sent.is_empty());

    up.two.shard.apply(from_b(&obeyed(&refer)));
    up.two.shard.next_response(100);
    up.two.shard.next_response(200);
    let bye = up.two.shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "second");
    up.two
        .shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    let transfer = &up.two.shard.records;
    assert!(transfer.is_empty(), "the call goes on with another caller");
}

#[test]
fn the_name_is_asked_of_the_shard_that_has_the_dialog() {
    let config = two_carriers("refer = \"relay\"", "");
    let [mut shard, mut other] = [0, 1].map(|n| Shard::one_of(config_of(&config), ShardId(n), 2));
    let ok = second(&mut other);
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let mut up = Up::of(Two { shard, invite });
    with_replaces(&mut up, &ok);
    assert!(up.two.shard.sent.is_empty());
    let (to, letter) = up.two.shard.letters.pop_front().expect("a letter");
    assert_eq!(to, ShardId(1));
    other.apply(Input::Letter(letter));
    let (to, letter) = other.letters.pop_front().expect("its answer");
    assert_eq!(to, ShardId(0));
    up.two.shard.apply(Input::Letter(letter));
    let refer = up.two.shard.next_request(Method::Refer).message;
    let text = obeyed(&refer);
    let message = Message::parse(
        bytes::Bytes::from(text.replace('\n', "\r\n")),
        &sbc_core::sip::Limits::default(),
    );
    let home = sbc_core::demux::shard_of_message(&message.expect("an INVITE"), 2);
    assert_eq!(home, ShardId(1), "the INVITE finds it");
}

#[test]
fn a_dialog_that_is_none_of_ours_is_named_as_it_is_or_not_at_all() {
    for (keys, may) in [
        ("refer = \"relay\"", true),
        ("refer = \"relay\"\npass_replaces = false", false),
    ] {
        let mut up = Up::new(keys);
        let lines =
            "Refer-To: <sip:+4930999222@192.0.2.11?Replaces=other%3Bto-tag%3Da%3Bfrom-tag%3Db>\n";
        up.caller("REFER", lines);
        if !may {
            up.two.shard.next_response(603);
            continue;
        }
        let refer = up.two.shard.next_request(Method::Refer).message;
        assert_eq!(
            header(&refer, HeaderName::ReferTo),
            "<sip:+4930999222@192.0.2.11:5060?Replaces=other%3Bto-tag%3Da%3Bfrom-tag%3Db>"
        );
    }
}

#[test]
fn any_2xx_accepts_it_and_the_sender_gets_the_one_that_its_trunk_wants() {
    for (keys, said, told) in [
        ("refer = \"relay\"", "200 OK", 202),
        (
            "refer = \"relay\"\nrefer_status = \"200\"",
            "202 Accepted",
            200,
        ),
    ] {
        let mut up = Up::new(keys);
        up.caller("REFER", REFER);
        let refer = up.two.shard.next_request(Method::Refer).message;
        up.two.hear(&response(&refer, said, "", "", ""));
        up.two.shard.next_response(told);
        up.tells(ACTIVE, "100 Trying");
        up.notified(1, "terminated;reason=rejected", "603 Decline");
        up.tells("terminated;reason=rejected", "603 Decline");
        up.ends();
    }
}
