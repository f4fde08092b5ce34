//! What parts of the work cost in instructions, for `.ci/instructions`, which runs this under callgrind.
//!
//! `instructions PART ROUNDS` does one part so often where `--toggle-collect='*signalling_work*'` counts it,
//! after as much of it where nothing is counted. `instructions kinds` names the largest inputs, which are
//! parts as well: each is given to a whole core once. Without arguments it does each part once, to keep it
//! working.

#![allow(clippy::disallowed_methods, reason = "it reads its command line")]

#[path = "common/call.rs"]
mod call;
#[path = "common/invite.rs"]
mod invite;
#[path = "common/largest.rs"]
mod largest;

use bytes::Bytes;
use call::Bench;
use sbc_core::effect::{Effect, Effects};
use sbc_core::id::{CallId, FlowId, LegId, ListenerName, ShardId};
use sbc_core::mint::Mint;
use sbc_core::sip::{Limits, Message, Method, Status};
use sbc_core::time::Timestamp;
use sbc_core::transaction::{Indication, Owner, Table, TimerSet};
use sbc_core::transport::{Flow, Hop, Protocol};
use std::hint::black_box;
use std::time::Duration;

/// The one of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Does its work so many times uncounted, then so many times counted.
type Part = fn(u64);

/// Parts by name.
const PARTS: [(&str, Part); 5] = [
    ("parse", parse),
    ("emit", emit),
    ("transaction", transaction),
    ("set-up", set_up),
    ("tear-down", tear_down),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok());
    let wanted = PARTS
        .iter()
        .find(|(name, _)| arguments.first().is_some_and(|first| first == name));
    match (wanted, rounds) {
        (Some((_, part)), Some(rounds)) => part(rounds),
        (None, None) if arguments.first().is_some_and(|first| first == "kinds") => {
            kinds().for_each(|kind| println!("{kind}"));
        }
        (None, Some(_)) => largest_input(&arguments[0]),
        // Also what `cargo test` and `cargo bench` say.
        _ => PARTS.iter().for_each(|(_, part)| part(1)),
    }
}

/// Names of the largest inputs.
fn kinds() -> impl Iterator<Item = String> {
    let names = largest::messages(1_000, "")
        .into_iter()
        .map(|(name, _)| name);
    names.flat_map(|name| [name.to_owned(), format!("{name} within a call")])
}

/// One of the largest inputs to a whole core, from a peer that it knows.
fn largest_input(kind: &str) {
    let (name, is_within) = match kind.strip_suffix(" within a call") {
        Some(name) => (name, true),
        None => (kind, false),
    };
    let mut bench = Bench::new();
    bench.is_counted = false;
    let ok = bench.set_up(1);
    let head = Bench::head(if is_within { 1 } else { 2 }, is_within.then_some(&ok));
    let all = largest::messages(largest::DATAGRAM, &head);
    let found = all.iter().find(|(known, _)| *known == name);
    let (_, bytes) = found.expect("a kind by its name");
    bench.is_counted = true;
    bench.hear(bytes);
}

/// Where callgrind counts.
#[inline(never)]
fn signalling_work_of(rounds: u64, work: &mut impl FnMut()) {
    (0..rounds).for_each(|_| work());
}

fn counted(rounds: u64, mut work: impl FnMut()) {
    (0..rounds).for_each(|_| work());
    signalling_work_of(rounds, &mut work);
}

fn parse(rounds: u64) {
    let (bytes, limits) = (invite::invite(), Limits::default());
    counted(rounds, || {
        black_box(Message::parse(black_box(bytes.clone()), &limits).expect("it is valid"));
    });
}

fn emit(rounds: u64) {
    let bytes = invite::invite();
    assert_eq!(bytes.len(), invite::TARGET);
    let message = Message::parse(bytes, &Limits::default()).expect("it is valid");
    let parts = invite::Parts::of(&message);
    counted(rounds, || {
        black_box(parts.serialise());
    });
}

/// An INVITE that arrives and one that leaves, each with 180 and 200, and a BYE that arrives, with
/// all their timers until nothing is left.
fn transaction(rounds: u64) {
    let mut table = Table::new();
    let mut mint = Mint::new(ShardId(0), [7; 32]);
    let (mut out, mut up) = (Effects::default(), Vec::new());
    let mut now = Timestamp::from_micros(1);
    let flow = Flow {
        id: FlowId(3),
        protocol: Protocol::Udp,
        listener: ListenerName::new("l"),
        local: "192.0.2.11:5060".parse().expect("address"),
        remote: "198.51.100.20:5060".parse().expect("address"),
        identity: None,
        tls: None,
    };
    let hop = Hop {
        listener: ListenerName::new("l"),
        protocol: Protocol::Udp,
        remote: flow.remote,
        tls: None,
        flow: Some(flow.id),
    };
    let owner = Owner::Leg(CallId(1), LegId(0));
    let mut round = 0_u64;
    let mut sent = 0_usize;
    counted(rounds, || {
        round += 1;
        for method in [Method::Invite, Method::Bye] {
            let request = request(&method, &format!("z9hG4bKin{round}"));
            table.received(now, &flow, parsed(request), &mut mint, &mut out, &mut up);
            let Some(Indication::Request { id, .. }) = up.pop() else {
                panic!("a new request is told of");
            };
            table.set_owner(id, owner, &mut out);
            if method == Method::Invite {
                table.respond(
                    now,
                    id,
                    Status::RINGING,
                    Bytes::from_static(b"180"),
                    &mut out,
                );
            }
            table.respond(now, id, Status::OK, Bytes::from_static(b"200"), &mut out);
        }
        let branch = format!("z9hG4bKout{round}");
        let bytes = request(&Method::Invite, &branch);
        let (hop, timers) = (hop.clone(), TimerSet::default());
        table.request(
            now,
            &Method::Invite,
            &branch,
            bytes,
            hop,
            timers,
            owner,
            &mut out,
        );
        for status in ["180 Ringing", "200 OK"] {
            let response = parsed(response(status, &branch));
            table.received(now, &flow, response, &mut mint, &mut out, &mut up);
        }
        while let Some(next) = table.next_deadline().filter(|_| round.is_multiple_of(8)) {
            now = next;
            table.tick(now, &mut out, &mut up);
        }
        up.clear();
        sent += out
            .drain()
            .filter(|effect| matches!(effect, Effect::Send { .. }))
            .count();
    });
    assert!(sent > 0, "messages were sent");
}

fn parsed(bytes: Bytes) -> Message {
    Message::parse(bytes, &Limits::default()).expect("it is valid")
}

fn request(method: &Method, branch: &str) -> Bytes {
    let method = method.as_str();
    Bytes::from(format!(
        "{method} sip:b@198.51.100.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11;branch={branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\n\
         Call-ID: {branch}\r\nCSeq: 42 {method}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn response(status: &str, branch: &str) -> Bytes {
    Bytes::from(format!(
        "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 192.0.2.11;branch={branch}\r\n\
         From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>;tag=b\r\nCall-ID: {branch}\r\n\
         CSeq: 42 INVITE\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn set_up(rounds: u64) {
    calls(rounds, true);
}

fn tear_down(rounds: u64) {
    calls(rounds, false);
}

/// Whole calls of which one part is counted: everything up to the ACK, or all after it with the timers of
/// the calls before.
fn calls(rounds: u64, is_set_up: bool) {
    let mut bench = Bench::new();
    for number in 0..2 * rounds {
        let is_measured = number >= rounds;
        bench.is_counted = is_measured && is_set_up;
        let ok = bench.set_up(number);
        bench.is_counted = is_measured && !is_set_up;
        bench.tear_down(number, &ok);
    }
    bench.is_counted = false;
    bench.pass(Duration::from_secs(200));
}
