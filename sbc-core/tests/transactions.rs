//! The transaction table: matching, CANCEL, ACK, merged requests, bounds and random sequences.

use bytes::Bytes;
use proptest::prelude::*;
use sbc_core::config::Merged;
use sbc_core::effect::{Effect, Effects};
use sbc_core::id::{CallId, FlowId, LegId, ListenerName, ShardId, TransactionId};
use sbc_core::mint::Mint;
use sbc_core::sip::{HeaderName, Limits, Message, Method, ResponseBuilder, Status};
use sbc_core::time::Timestamp;
use sbc_core::transaction::{Bounds, Indication, Manners, Owner, Table, TimerSet};
use sbc_core::transport::{Flow, FlowFault, Hop, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

struct Bench {
    table: Table,
    now: Timestamp,
    mint: Mint,
    up: Vec<Indication>,
    sent: Vec<(Option<TransactionId>, Hop, Message)>,
    drops: usize,
    protocol: Protocol,
    merged: Merged,
    source: SocketAddr,
}

impl Bench {
    fn over(protocol: Protocol) -> Self {
        Self {
            table: Table::new(),
            now: Timestamp::from_micros(1),
            mint: Mint::new(ShardId(0), [7; 32]),
            up: Vec::new(),
            sent: Vec::new(),
            drops: 0,
            protocol,
            merged: Merged::Refuse,
            source: "198.51.100.20:5060".parse().unwrap(),
        }
    }

    fn take(&mut self, mut out: Effects) {
        for effect in out.drain() {
            match effect {
                Effect::Send {
                    hop,
                    bytes,
                    transaction,
                    ..
                } => self.sent.push((transaction, hop, parsed(bytes))),
                Effect::Emit(_) => self.drops += 1,
                _ => {}
            }
        }
    }

    fn hop(&self) -> Hop {
        Hop {
            listener: ListenerName::new("l"),
            protocol: self.protocol,
            remote: "198.51.100.20:5060".parse().unwrap(),
            tls: None,
            flow: Some(FlowId(3)),
        }
    }

    fn receive(&mut self, text: &str) {
        let flow = Flow {
            id: FlowId(3),
            protocol: self.protocol,
            listener: ListenerName::new("l"),
            local: "192.0.2.11:5060".parse().unwrap(),
            remote: self.source,
            identity: None,
            tls: None,
        };
        let message = parsed(Bytes::from(text.replace('\n', "\r\n")));
        let mut out = Effects::default();
        self.table.received_under(
            self.now,
            &flow,
            message,
            &Manners {
                merged: self.merged,
                ..Manners::default()
            },
            &mut self.mint,
            &mut out,
            &mut self.up,
        );
        let owner = Owner::Leg(CallId(1), LegId(0));
        if let Some(Indication::Request { id, .. }) = self.up.last() {
            self.table.set_owner(*id, owner, &mut out);
        }
        self.take(out);
    }

    fn request(&mut self, method: Method, branch: &str) -> TransactionId {
        let text = format!(
            "{method} sip:b@198.51.100.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11;branch={branch}\r\n\
             Route: <sip:p1.example.com;lr>\r\nRoute: <sip:p2.example.com;lr>\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\n\
             Call-ID: c1\r\nCSeq: 42 {method}\r\nRequire: 100rel\r\nContent-Length: 0\r\n\r\n",
            method = method.as_str()
        );
        let (now, hop, mut out) = (self.now, self.hop(), Effects::default());
        let id = self.table.request(
            now,
            &method,
            branch,
            Bytes::from(text),
            hop,
            TimerSet::default(),
            Owner::Nobody,
            &mut out,
        );
        self.take(out);
        id
    }

    fn respond(&mut self, id: TransactionId, request: &Message, code: u16) {
        let status = parsed(Bytes::from(format!(
            "SIP/2.0 {code} X\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )))
        .status()
        .unwrap();
        let bytes = ResponseBuilder::to(request, status, None).build();
        let mut out = Effects::default();
        self.table.respond(self.now, id, status, bytes, &mut out);
        self.take(out);
    }

    fn cancel(&mut self, id: TransactionId, reason: Option<&[u8]>) {
        let mut out = Effects::default();
        self.table.cancel(self.now, id, reason, &mut out);
        self.take(out);
    }

    fn fail(&mut self, id: TransactionId) {
        let mut out = Effects::default();
        self.table
            .send_failed(self.now, id, FlowFault::Closed, &mut out, &mut self.up);
        self.take(out);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut rounds = 0;
        while let Some(at) = self.table.next_deadline().filter(|at| *at <= end) {
            rounds += 1;
            assert!(rounds < 100_000, "time passes");
            self.now = self.now.max(at);
            let mut out = Effects::default();
            self.table.tick(self.now, &mut out, &mut self.up);
            self.take(out);
        }
        self.now = end;
    }

    /// Start lines of what was sent since the last look: method or status code.
    fn look(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(_, _, m)| name(&m)).collect()
    }

    fn new_requests(&self) -> Vec<(TransactionId, Message)> {
        self.up
            .iter()
            .filter_map(|one| match one {
                Indication::Request { id, message, .. } => Some((*id, message.clone())),
                _ => None,
            })
            .collect()
    }

    fn cancellations(&self) -> usize {
        let is_one = |one: &&Indication| matches!(one, Indication::Cancelled { .. });
        self.up.iter().filter(is_one).count()
    }
}

fn parsed(bytes: Bytes) -> Message {
    Message::parse(bytes, &Limits::default()).unwrap()
}

fn name(message: &Message) -> String {
    match message.status() {
        Some(status) => status.code().to_string(),
        None => message.method().as_str().to_owned(),
    }
}

fn value(message: &Message, name: HeaderName) -> String {
    String::from_utf8_lossy(&message.raw(name).unwrap_or_default()).into_owned()
}

fn from_peer(method: &str, branch: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:b@192.0.2.11 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.20:5060{branch}\n\
         Max-Forwards: 70\nFrom: <sip:a@example.com>;tag=p\nTo: <sip:b@example.com>{to_tag}\n\
         Call-ID: c2\nCSeq: 7 {method}\nContent-Length: 0\n\n"
    )
}

fn answer(code: u16, method: &str, branch: &str, to_tag: &str) -> String {
    format!(
        "SIP/2.0 {code} X\nVia: SIP/2.0/UDP 192.0.2.11;branch={branch}\n\
         From: <sip:a@example.com>;tag=a\nTo: <sip:b@example.com>;tag={to_tag}\n\
         Call-ID: c1\nCSeq: 42 {method}\nContent-Length: 0\n\n"
    )
}

const ONE: &str = ";branch=z9hG4bKone";
const TWO: &str = ";branch=z9hG4bKtwo";

#[test]
fn cancel_waits_for_a_provisional_and_looks_like_its_invite() {
    let mut bench = Bench::over(Protocol::Udp);
    let id = bench.request(Method::Invite, "z9hG4bKx");
    bench.cancel(id, Some(b"SIP;cause=200"));
    assert_eq!(bench.look(), ["INVITE"]);
    // The 100 may have been lost: whoever has the INVITE says it again (RFC 3261 §17.1.1.2).
    bench.pass(Duration::from_millis(1_600));
    assert_eq!(bench.look(), ["INVITE", "INVITE"]);
    bench.receive(&answer(100, "INVITE", "z9hG4bKx", "t"));
    let cancel = bench.sent.pop().unwrap().2;
    assert_eq!(name(&cancel), "CANCEL");
    assert_eq!(cancel.request_uri(), "sip:b@198.51.100.20");
    assert_eq!(
        value(&cancel, HeaderName::Via),
        "SIP/2.0/UDP 192.0.2.11;branch=z9hG4bKx"
    );
    assert_eq!(value(&cancel, HeaderName::To), "<sip:b@example.com>");
    assert_eq!(value(&cancel, HeaderName::CSeq), "42 CANCEL");
    assert_eq!(value(&cancel, HeaderName::Reason), "SIP;cause=200");
    assert_eq!(cancel.lines(HeaderName::Route).count(), 2);
    assert!(!cancel.has(HeaderName::Require));
    bench.pass(Duration::from_secs(40));
    assert!(bench.table.is_empty(), "no final within 64·T1 after CANCEL");
}

#[test]
fn ack_of_a_failure_has_the_branch_of_the_invite_and_the_tag_of_the_response() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.request(Method::Invite, "z9hG4bKx");
    bench.receive(&answer(486, "INVITE", "z9hG4bKx", "busy"));
    let (_, hop, ack) = bench.sent.pop().unwrap();
    assert_eq!(hop, bench.hop());
    assert_eq!(name(&ack), "ACK");
    assert_eq!(
        value(&ack, HeaderName::Via),
        "SIP/2.0/UDP 192.0.2.11;branch=z9hG4bKx"
    );
    assert_eq!(value(&ack, HeaderName::To), "<sip:b@example.com>;tag=busy");
    assert_eq!(value(&ack, HeaderName::CSeq), "42 ACK");
    assert_eq!(ack.lines(HeaderName::Route).count(), 2);
    bench.receive(&answer(486, "INVITE", "z9hG4bKx", "busy"));
    assert_eq!(bench.look(), ["INVITE", "ACK"]);
    assert_eq!(bench.up.len(), 1, "told once");
}

#[test]
fn responses_that_match_nothing_are_dropped_and_counted() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.request(Method::Invite, "z9hG4bKx");
    bench.receive(&answer(200, "INVITE", "z9hG4bKy", "t"));
    bench.receive(&answer(200, "BYE", "z9hG4bKx", "t"));
    assert!(bench.up.is_empty());
    assert_eq!(bench.drops, 2);
}

#[test]
fn a_response_to_somebody_elses_via_is_dropped_and_counted() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.request(Method::Invite, "z9hG4bKx");
    let ours = "SIP/2.0/UDP 192.0.2.11;";
    for theirs in [
        "SIP/2.0/UDP 192.0.2.12;",
        "SIP/2.0/UDP 192.0.2.11:5070;",
        "SIP/2.0/UDP sbc.example.com;",
    ] {
        let text = answer(200, "INVITE", "z9hG4bKx", "t").replace(ours, theirs);
        bench.receive(&text);
        assert!(bench.up.is_empty(), "{theirs}");
    }
    assert_eq!(bench.drops, 3);
    // The default port may be written.
    let text = answer(200, "INVITE", "z9hG4bKx", "t").replace(ours, "SIP/2.0/UDP 192.0.2.11:5060;");
    bench.receive(&text);
    assert_eq!(bench.up.len(), 1);
}

/// RFC 3261 §8.1.3.3: whoever adds no Via gets no response with two.
#[test]
fn a_response_with_a_second_via_is_dropped_and_counted() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.request(Method::Invite, "z9hG4bKx");
    let ok = answer(200, "INVITE", "z9hG4bKx", "t");
    let line = "Via: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bKx\n";
    assert!(ok.contains(line));
    let another = "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKother";
    for two in [
        format!("{line}Via: {another}\n"),
        line.replace('\n', &format!(", {another}\n")),
    ] {
        bench.receive(&ok.replace(line, &two));
        assert!(bench.up.is_empty(), "{two}");
    }
    assert_eq!(bench.drops, 2);
    bench.receive(&ok);
    assert_eq!(bench.up.len(), 1);
}

#[test]
fn an_invite_gets_100_at_once_without_to_tag_and_its_repetition_the_same() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.receive(&from_peer("INVITE", ONE, ""));
    bench.receive(&from_peer("INVITE", ONE, ""));
    assert!(!value(&bench.sent[0].2, HeaderName::To).contains("tag"));
    assert_eq!(bench.look(), ["100", "100"]);
    assert_eq!(bench.new_requests().len(), 1);
}

#[test]
fn a_slow_request_gets_100_after_3_5_seconds_and_is_reaped_without_408() {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let mut bench = Bench::over(protocol);
        bench.receive(&from_peer("BYE", ONE, ";tag=x"));
        bench.pass(Duration::from_millis(3_499));
        assert!(bench.look().is_empty());
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.look(), ["100"]);
        let (id, request) = bench.new_requests().remove(0);
        bench.respond(id, &request, 408);
        bench.pass(Duration::from_secs(32));
        assert!(bench.look().is_empty());
        assert!(bench.table.is_empty());
    }
}

#[test]
fn an_invite_that_is_never_answered_is_reaped_but_not_while_it_makes_progress() {
    let mut bench = Bench::over(Protocol::Tcp);
    bench.receive(&from_peer("INVITE", ONE, ""));
    let (id, request) = bench.new_requests().remove(0);
    for _ in 0..10 {
        bench.pass(Duration::from_secs(60));
        bench.respond(id, &request, 180);
    }
    assert_eq!(bench.table.len(), 1);
    bench.pass(Duration::from_secs(240));
    assert!(bench.table.is_empty());
}

#[test]
fn a_merged_request_gets_482_and_both_its_branches_can_be_cancelled() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.receive(&from_peer("INVITE", ONE, ""));
    bench.receive(&from_peer("INVITE", TWO, ""));
    assert_eq!(bench.look(), ["100", "482"]);
    bench.receive(&from_peer("CANCEL", ONE, ""));
    bench.receive(&from_peer("CANCEL", TWO, ""));
    assert_eq!(bench.look(), ["200", "200"]);
    assert_eq!(bench.cancellations(), 1);
    assert_eq!(bench.new_requests().len(), 1);
}

#[test]
fn a_peer_that_calls_two_of_our_addresses_may_have_both() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.merged = Merged::Accept;
    bench.receive(&from_peer("INVITE", ONE, ""));
    bench.receive(&from_peer("INVITE", TWO, ""));
    assert_eq!(bench.look(), ["100", "100"]);
    assert_eq!(bench.new_requests().len(), 2);
}

#[test]
fn one_source_cannot_take_all_transactions_and_gets_its_share_again() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.table = Table::bounded(Bounds {
        all: 5,
        per_source: 3,
    });
    let options = |number: usize| {
        let branch = format!(";branch=z9hG4bKflood{number}");
        from_peer("OPTIONS", &branch, "").replace("c2", &format!("flood{number}"))
    };
    for number in 0..10 {
        bench.receive(&options(number));
    }
    assert_eq!((bench.table.len(), bench.drops), (3, 7));
    bench.source = "198.51.100.21:5060".parse().unwrap();
    for number in 10..20 {
        bench.receive(&options(number));
    }
    assert_eq!((bench.table.len(), bench.drops), (5, 15));
    // Requests that nobody answers are reaped, and their places with them.
    bench.pass(Duration::from_secs(250));
    assert!(bench.table.is_empty());
    bench.receive(&options(20));
    assert_eq!((bench.table.len(), bench.drops), (1, 15));
}

#[test]
fn a_repeated_cancel_is_answered_again_and_told_once() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.receive(&from_peer("INVITE", ONE, ""));
    bench.receive(&from_peer("CANCEL", ONE, ""));
    bench.receive(&from_peer("CANCEL", ONE, ""));
    assert_eq!(bench.look(), ["100", "200", "200"]);
    assert_eq!(bench.cancellations(), 1);
}

#[test]
fn cancel_after_the_final_response_gets_200_and_changes_nothing() {
    for code in [200, 486] {
        let mut bench = Bench::over(Protocol::Tcp);
        bench.receive(&from_peer("INVITE", ONE, ""));
        let (id, request) = bench.new_requests().remove(0);
        bench.respond(id, &request, code);
        bench.look();
        bench.receive(&from_peer("CANCEL", ONE, ""));
        assert_eq!(bench.look(), ["200"]);
        assert_eq!(bench.cancellations(), 0);
    }
}

#[test]
fn cancel_of_nothing_gets_481() {
    let mut bench = Bench::over(Protocol::Udp);
    bench.receive(&from_peer("CANCEL", ONE, ""));
    assert_eq!(bench.look(), ["481"]);
}

#[test]
fn cancel_of_anything_but_an_invite_gets_200_and_changes_nothing() {
    for branch in [ONE, ";branch=1"] {
        let mut bench = Bench::over(Protocol::Udp);
        bench.receive(&from_peer("OPTIONS", branch, ""));
        let (id, request) = bench.new_requests().remove(0);
        bench.receive(&from_peer("CANCEL", branch, ""));
        assert_eq!(bench.look(), ["200"], "SIP-219");
        assert_eq!(bench.cancellations(), 0);
        bench.respond(id, &request, 405);
        assert_eq!(bench.look(), ["405"]);
        bench.receive(&from_peer("CANCEL", TWO, ""));
        assert_eq!(bench.look(), ["481"]);
    }
}

#[test]
fn a_peer_without_magic_cookie_is_matched_by_rfc_2543() {
    for branch in ["", ";branch=1"] {
        let mut bench = Bench::over(Protocol::Udp);
        bench.receive(&from_peer("INVITE", branch, ""));
        bench.receive(&from_peer("INVITE", branch, ""));
        let (id, request) = bench.new_requests().remove(0);
        bench.respond(id, &request, 486);
        assert_eq!(bench.look(), ["100", "100", "486"]);
        bench.receive(&from_peer("ACK", branch, ";tag=ours"));
        bench.pass(Duration::from_secs(40));
        assert!(bench.look().is_empty(), "the ACK ended the repetitions");
        assert!(bench.up.len() == 1 && bench.table.is_empty());
    }
}

#[test]
fn a_lost_connection_fails_what_waits_and_leaves_what_was_answered() {
    let mut bench = Bench::over(Protocol::Tcp);
    let calling = bench.request(Method::Invite, "z9hG4bKx");
    bench.request(Method::Invite, "z9hG4bKy");
    bench.receive(&answer(180, "INVITE", "z9hG4bKy", "t"));
    bench.receive(&from_peer("INVITE", ONE, ""));
    bench.up.clear();
    let (now, mut out) = (bench.now, Effects::default());
    let (flow, why) = (FlowId(3), FlowFault::Closed);
    bench
        .table
        .flow_lost(now, flow, why, &mut out, &mut bench.up);
    bench
        .up
        .sort_by_key(|up| matches!(up, Indication::WayLost { .. }));
    let [failed, lost] = &bench.up[..] else {
        panic!("{:?}", bench.up);
    };
    assert!(matches!(failed, Indication::TransportFailed { id, .. } if *id == calling));
    // Whose INVITE came that way may want to know, and its repetition by another is not merged.
    assert!(matches!(lost, Indication::WayLost { .. }));
    assert_eq!(bench.table.len(), 2);
    bench.up.clear();
    let again = from_peer("INVITE", TWO, "");
    bench.receive(&again);
    assert_eq!(bench.new_requests().len(), 1);
}

#[test]
fn what_lost_its_connection_before_its_answer_waits_until_that_has_found_a_way() {
    for is_lost in [true, false] {
        let mut bench = Bench::over(Protocol::Tcp);
        let named = from_peer("OPTIONS", ONE, "");
        bench.receive(&named.replace("UDP 198.51.100.20:5060", "TCP pbx.example.com"));
        let (id, request) = bench.new_requests().remove(0);
        if is_lost {
            let (now, mut out) = (bench.now, Effects::default());
            let (flow, why) = (FlowId(3), FlowFault::Closed);
            let table = &mut bench.table;
            table.flow_lost(now, flow, why, &mut out, &mut bench.up);
        }
        bench.respond(id, &request, 200);
        assert_eq!(bench.look(), ["200"]);
        bench.fail(id);
        let is_asked = matches!(bench.up.last(), Some(Indication::Unreturned(_)));
        assert_eq!(is_asked, is_lost);
        let mut out = Effects::default();
        let found = ["203.0.113.70:5060".parse().unwrap()];
        bench.table.way_found(id, found.into_iter(), &mut out);
        bench.take(out);
        let seen = bench.sent.drain(..);
        let seen: Vec<String> = seen.map(|(_, hop, _)| hop.remote.to_string()).collect();
        assert_eq!(seen == ["203.0.113.70:5060"], is_lost);
        bench.pass(Duration::from_secs(40));
        assert!(bench.table.is_empty());
    }
}

#[test]
fn a_response_never_goes_into_a_private_network_that_a_peer_outside_of_it_names() {
    for (sent_by, found) in [
        ("10.0.0.5:5060", None),
        ("127.0.0.1:5060", None),
        ("pbx.example.com", Some("192.168.1.1:5060")),
    ] {
        let mut bench = Bench::over(Protocol::Tcp);
        let named = from_peer("INVITE", ONE, "");
        bench.receive(&named.replace("UDP 198.51.100.20:5060", &format!("TCP {sent_by}")));
        let (id, request) = bench.new_requests().remove(0);
        bench.respond(id, &request, 486);
        assert_eq!(bench.look(), ["100", "486"]);
        bench.fail(id);
        if let Some(found) = found {
            let mut out = Effects::default();
            let found = [found.parse().unwrap()];
            bench.table.way_found(id, found.into_iter(), &mut out);
            bench.take(out);
        }
        assert!(bench.look().is_empty(), "{sent_by}");
    }
}

/// One random act on the table.
#[derive(Clone, Debug)]
enum Act {
    Ask(bool, u8),
    Cancel(u8),
    Fail(u8),
    Answer(u16, bool, u8),
    Arrive(u8, u8),
    Respond(u16, u8),
    Pass(u16),
}

fn act() -> impl Strategy<Value = Act> {
    let code = prop::sample::select(vec![100u16, 180, 200, 408, 486, 503]);
    prop_oneof![
        (any::<bool>(), 0..6u8).prop_map(|(invite, n)| Act::Ask(invite, n)),
        (0..12u8).prop_map(Act::Cancel),
        (0..12u8).prop_map(Act::Fail),
        (code.clone(), any::<bool>(), 0..6u8).prop_map(|(c, i, n)| Act::Answer(c, i, n)),
        (0..4u8, 0..6u8).prop_map(|(method, n)| Act::Arrive(method, n)),
        (code, 0..12u8).prop_map(|(code, n)| Act::Respond(code, n)),
        (0..40_000u16).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_every_transaction_ends_and_finals_are_final(
        acts in prop::collection::vec(act(), 1..60),
        is_udp in any::<bool>(),
    ) {
        let mut bench = Bench::over(if is_udp { Protocol::Udp } else { Protocol::Tcp });
        let mut ours = Vec::new();
        let mut used = BTreeSet::new();
        for act in acts {
            let theirs = bench.new_requests();
            let method = |is_invite| if is_invite { Method::Invite } else { Method::Bye };
            match act {
                Act::Ask(is_invite, n) => {
                    if used.insert((is_invite, n)) {
                        ours.push(bench.request(method(is_invite), &format!("z9hG4bK{n}")));
                    }
                }
                Act::Cancel(n) => {
                    if let Some(id) = ours.get(usize::from(n)) {
                        bench.cancel(*id, None);
                    }
                }
                Act::Fail(n) => bench.fail(TransactionId(u64::from(n))),
                Act::Answer(code, is_invite, n) => {
                    let branch = format!("z9hG4bK{n}");
                    bench.receive(&answer(code, method(is_invite).as_str(), &branch, "t"));
                }
                Act::Arrive(kind, n) => {
                    let method = ["INVITE", "ACK", "CANCEL", "OPTIONS"][usize::from(kind)];
                    bench.receive(&from_peer(method, &format!(";branch=z9hG4bK{n}"), ""));
                }
                Act::Respond(code, n) => {
                    if let Some((id, request)) = theirs.get(usize::from(n)) {
                        bench.respond(*id, request, code);
                    }
                }
                Act::Pass(ms) => bench.pass(Duration::from_millis(u64::from(ms))),
            }
        }
        bench.pass(Duration::from_secs(400));
        // An INVITE of ours that rings is ended by the layer above.
        for id in ours {
            bench.cancel(id, None);
        }
        bench.pass(Duration::from_secs(400));
        prop_assert!(bench.table.is_empty());
        prop_assert_eq!(bench.table.next_deadline(), None);

        let mut finals: BTreeMap<TransactionId, u16> = BTreeMap::new();
        for (id, _, message) in &bench.sent {
            let (Some(id), Some(status)) = (id, message.status()) else {
                continue;
            };
            match finals.get(id) {
                Some(code) => prop_assert_eq!(*code, status.code(), "one final, only repeated"),
                None if status.is_final() => {
                    finals.insert(*id, status.code());
                }
                None => {}
            }
            let is_invite = *message.method() == Method::Invite;
            prop_assert!(is_invite || status != Status::REQUEST_TIMEOUT, "RFC 4320");
        }
        let told: Vec<TransactionId> = bench.up.iter().filter_map(|one| match one {
            Indication::TimedOut { id, .. } | Indication::TransportFailed { id, .. } => Some(*id),
            _ => None,
        }).collect();
        let unique: BTreeSet<TransactionId> = told.iter().copied().collect();
        prop_assert_eq!(unique.len(), told.len(), "one end each");
    }
}
