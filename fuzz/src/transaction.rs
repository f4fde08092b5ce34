//! The transaction table under any order of requests, answers, failures and time.
//!
//! Four octets an act: what, which, and two that refine it.

use crate::reader::Reader;
use bytes::Bytes;
use sbc_core::effect::{Effect, Effects};
use sbc_core::id::{CallId, FlowId, LegId, ListenerName, ShardId, TransactionId};
use sbc_core::mint::Mint;
use sbc_core::sip::{Limits, Message, Method, ResponseBuilder, Status};
use sbc_core::time::Timestamp;
use sbc_core::transaction::{Indication, Owner, Table, TimerSet};
use sbc_core::transport::{Flow, FlowFault, Hop, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longest run that is played: more acts find nothing that these do not.
const ACTS: usize = 200;

pub(crate) fn check(data: &[u8]) {
    let mut input = Reader::new(data);
    let mut bench = Bench::new(input.pick(&[Protocol::Udp, Protocol::Tcp]));
    for _ in 0..ACTS {
        if input.is_empty() {
            break;
        }
        let (act, which, more, extra) =
            (input.octet(), input.octet(), input.octet(), input.octet());
        bench.act(act, which, more, extra);
        assert!(bench.table.len() <= 2 * ACTS, "bounded by what was asked");
    }
    bench.end();
}

struct Bench {
    table: Table,
    protocol: Protocol,
    now: Timestamp,
    mint: Mint,
    /// Requests of ours, and the branches that are taken.
    ours: Vec<TransactionId>,
    branches: BTreeSet<(bool, u8)>,
    /// Requests of peers that were handed up.
    theirs: Vec<(TransactionId, Message)>,
    ended: BTreeSet<TransactionId>,
    finals: BTreeMap<TransactionId, Bytes>,
}

impl Bench {
    fn new(protocol: Protocol) -> Self {
        Self {
            table: Table::new(),
            protocol,
            now: Timestamp::from_micros(1),
            mint: Mint::new(ShardId(0), [7; 32]),
            ours: Vec::new(),
            branches: BTreeSet::new(),
            theirs: Vec::new(),
            ended: BTreeSet::new(),
            finals: BTreeMap::new(),
        }
    }

    fn act(&mut self, act: u8, which: u8, more: u8, extra: u8) {
        let mut out = Effects::default();
        let mut up = Vec::new();
        let now = self.now;
        let is_invite = more & 1 == 0;
        let branch = which % 8;
        match act % 9 {
            0 => {
                if self.branches.insert((is_invite, branch)) {
                    let id = self.ask(is_invite, branch, &mut out);
                    self.ours.push(id);
                }
            }
            1 => {
                if let Some(id) = pick(&self.ours, which) {
                    let reason = (extra & 1 == 1).then_some(&b"SIP;cause=200"[..]);
                    self.table.cancel(now, id, reason, &mut out);
                }
            }
            2 => {
                let id = TransactionId(u64::from(which));
                let why = FlowFault::Closed;
                self.table.send_failed(now, id, why, &mut out, &mut up);
            }
            3 => {
                let code = CODES[usize::from(more >> 1) % CODES.len()];
                let text = answer(code, is_invite, branch, extra);
                self.receive(&text, &mut out, &mut up);
            }
            4 | 5 => {
                let method = METHODS[usize::from(more) % METHODS.len()];
                let text = request(method, branch, extra);
                self.receive(&text, &mut out, &mut up);
            }
            6 => {
                if let Some((id, request)) = pick(&self.theirs, which) {
                    let code = CODES[usize::from(more) % CODES.len()];
                    let status = Status::new(code).expect("a status");
                    let bytes = ResponseBuilder::to(&request, status, None).build();
                    self.table.respond(now, id, status, bytes, &mut out);
                }
            }
            7 => self.pass(Duration::from_millis(
                u64::from(u16::from_be_bytes([which, more])) << (extra % 4),
            )),
            _ => {
                let flow = FlowId(u64::from(which % 4));
                let why = FlowFault::Closed;
                self.table.flow_lost(now, flow, why, &mut out, &mut up);
            }
        }
        self.take(out, up);
    }

    fn ask(&mut self, is_invite: bool, branch: u8, out: &mut Effects) -> TransactionId {
        let method = if is_invite {
            Method::Invite
        } else {
            Method::Bye
        };
        let branch = format!("z9hG4bK{branch}");
        let name = method.as_str();
        let text = format!(
            "{name} sip:b@198.51.100.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11;branch={branch}\r\n\
             Route: <sip:p1.example.com;lr>\r\nMax-Forwards: 70\r\n\
             From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\n\
             Call-ID: c1\r\nCSeq: 42 {name}\r\nContent-Length: 0\r\n\r\n"
        );
        let hop = Hop {
            listener: ListenerName::new("l"),
            protocol: self.protocol,
            remote: ([198, 51, 100, 20], 5060).into(),
            tls: None,
            flow: Some(FlowId(3)),
        };
        let (timers, owner) = (TimerSet::default(), Owner::Nobody);
        let bytes = Bytes::from(text);
        self.table
            .request(self.now, &method, &branch, bytes, hop, timers, owner, out)
    }

    fn receive(&mut self, text: &str, out: &mut Effects, up: &mut Vec<Indication>) {
        let message = parsed(Bytes::from(text.to_owned()));
        let flow = Flow {
            id: FlowId(3),
            protocol: self.protocol,
            listener: ListenerName::new("l"),
            local: ([192, 0, 2, 11], 5060).into(),
            remote: ([198, 51, 100, 20], 5060).into(),
            identity: None,
            tls: None,
        };
        let (now, mint) = (self.now, &mut self.mint);
        self.table.received(now, &flow, message, mint, out, up);
        if let Some(Indication::Request { id, .. }) = up.last() {
            self.table
                .set_owner(*id, Owner::Leg(CallId(1), LegId(0)), out);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for round in 0.. {
            assert!(round < 100_000, "a tick moves its deadline");
            let Some(at) = self.table.next_deadline().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            let (mut out, mut up) = (Effects::default(), Vec::new());
            self.table.tick(self.now, &mut out, &mut up);
            self.take(out, up);
        }
        self.now = end;
    }

    /// What is sent is SIP, finals are final, and every transaction ends at most once.
    fn take(&mut self, mut out: Effects, up: Vec<Indication>) {
        assert!(out.as_slice().len() <= 64, "bounded reaction to one act");
        for effect in out.drain() {
            let Effect::Send {
                bytes, transaction, ..
            } = effect
            else {
                continue;
            };
            let message = parsed(bytes.clone());
            message.validate().expect("what we send is valid");
            let Some((id, status)) = transaction.zip(message.status()) else {
                continue;
            };
            let is_invite = *message.method() == Method::Invite;
            assert!(is_invite || status != Status::REQUEST_TIMEOUT, "RFC 4320");
            match self.finals.get(&id) {
                Some(sent) => assert_eq!(*sent, bytes, "a final is only repeated"),
                None if status.is_final() => {
                    self.finals.insert(id, bytes);
                }
                None => {}
            }
        }
        for indication in up {
            match indication {
                Indication::Request { id, message, .. } => self.theirs.push((id, message)),
                Indication::TimedOut { id, .. } | Indication::TransportFailed { id, .. } => {
                    assert!(self.ended.insert(id), "{id:?} ended twice");
                }
                _ => {}
            }
        }
    }

    /// With nobody left to speak, every transaction ends by its timers.
    fn end(mut self) {
        self.pass(Duration::from_secs(400));
        // An INVITE of ours that rings is ended by the layer above.
        for id in self.ours.clone() {
            let mut out = Effects::default();
            self.table.cancel(self.now, id, None, &mut out);
            self.take(out, Vec::new());
        }
        self.pass(Duration::from_secs(400));
        assert!(self.table.is_empty(), "{:?}", self.table.sizes());
        assert_eq!(self.table.next_deadline(), None);
    }
}

fn pick<T: Clone>(list: &[T], which: u8) -> Option<T> {
    match list.len() {
        0 => None,
        length => list.get(usize::from(which) % length).cloned(),
    }
}

fn parsed(bytes: Bytes) -> Message {
    Message::parse(bytes, &Limits::default()).expect("a message")
}

fn request(method: &str, branch: u8, extra: u8) -> String {
    // A peer of the old kind has no branch; another one merges requests.
    let branch = match branch {
        0 => String::new(),
        1 => ";branch=1".to_owned(),
        _ => format!(";branch=z9hG4bK{branch}"),
    };
    let tag = if extra & 1 == 1 { ";tag=ours" } else { "" };
    let call = extra >> 6;
    format!(
        "{method} sip:b@192.0.2.11 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.20:5060{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=p\r\nTo: <sip:b@example.com>{tag}\r\n\
         Call-ID: c{call}\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn answer(code: u16, is_invite: bool, branch: u8, extra: u8) -> String {
    let method = match (is_invite, extra & 4) {
        (_, 4) => "CANCEL",
        (true, _) => "INVITE",
        (false, _) => "BYE",
    };
    let tag = extra & 3;
    format!(
        "SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bK{branch}\r\n\
         From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>;tag={tag}\r\n\
         Call-ID: c1\r\nCSeq: 42 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

const CODES: [u16; 8] = [100, 180, 200, 302, 408, 486, 503, 603];
const METHODS: [&str; 5] = ["INVITE", "ACK", "CANCEL", "OPTIONS", "BYE"];
