//! Floods, with time compressed (CVE-2021-41145): what they hold in memory stops growing as soon as the
//! first of it is due to be forgotten, is in proportion to what is remembered, and is gone afterwards. Slow
//! ones of five minutes show that nothing is kept for longer; a storm of 20,000 requests a second shows
//! where a table is full.

use crate::registrar::{USUAL, with_pbx};
use crate::world::*;

use bytes::Bytes;
use sbc_core::core::Core;
use sbc_core::effect::Effects;
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::mint::Mint;
use sbc_core::sip::{Limits, Message};
use sbc_core::time::{Now, Timestamp, UnixTime};
use sbc_core::transport::Flow;
use std::time::Duration;

/// Requests in a second, and so many seconds of them.
const RATE: u64 = 10;
const MINUTES: u64 = 5;
/// What is remembered of a request is remembered for so long: 64·T1 (RFC 3261 §17).
const MEMORY: u64 = 32;
/// What one request may hold while it is remembered: itself, its answer, and their places in tables.
const EACH: i64 = 6 * 1024;
/// What tables have of room without anything in them, and what counts sources.
const ROOM: i64 = 256 * 1024;

struct Flooded {
    core: Core,
    now: Now,
    out: Effects,
}

impl Flooded {
    fn new() -> Self {
        let config = config_of(&with_pbx("", ""));
        Self {
            core: Core::new(ShardId(0), config, Mint::new(ShardId(0), [3; 32])),
            now: Now {
                mono: Timestamp::from_micros(1_000_000),
                wall: UnixTime::from_micros(1_800_000_000_000_000),
            },
            out: Effects::default(),
        }
    }

    fn apply(&mut self, input: Input) {
        self.core.apply(self.now, input, &mut self.out);
        self.out.drain().for_each(drop);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.core.deadline().filter(|at| *at <= end) {
            self.now.mono = self.now.mono.max(at);
            self.apply(Input::Tick);
        }
        self.now.mono = end;
    }

    fn receive(&mut self, flow: &Flow, text: &str) {
        let bytes = Bytes::from(text.replace('\n', "\r\n"));
        let message = Message::parse(bytes, &Limits::default()).expect("sound");
        let flow = flow.clone();
        self.apply(Input::Received { flow, message });
    }
}

/// A request like this with identifiers of its own.
fn numbered(text: &str, n: u64) -> String {
    text.replace("z9hG4bK", &format!("z9hG4bK{n}x"))
        .replace("Call-ID: ", &format!("Call-ID: {n}x"))
}

/// What a flood costs.
struct Cost {
    /// Most octets held in each of its minutes.
    most: Vec<i64>,
    /// Octets that are left when all of it is forgotten, and when that has happened twice.
    left: [i64; 2],
}

fn cost(flow: &Flow, text: &str) -> Cost {
    let mut flooded = Flooded::new();
    let (mut live, mut most, mut left) = (0, Vec::new(), [0; 2]);
    let mut number = 0;
    for left in &mut left {
        most.clear();
        for _ in 0..MINUTES {
            let mut minute = 0;
            for _ in 0..60 {
                live += allocation_counter::measure(|| {
                    for _ in 0..RATE {
                        flooded.receive(flow, &numbered(text, number));
                        number += 1;
                    }
                    flooded.pass(Duration::from_secs(1));
                })
                .bytes_current;
                minute = live.max(minute);
            }
            most.push(minute);
        }
        let rest = || flooded.pass(Duration::from_secs(300));
        live += allocation_counter::measure(rest).bytes_current;
        assert_eq!(flooded.core.census(), Default::default());
        *left = live;
    }
    Cost { most, left }
}

#[test]
fn five_minutes_of_any_flood_hold_what_is_remembered_of_half_a_minute() {
    let stranger = Flow {
        remote: "198.51.100.99:5060".parse().unwrap(),
        ..carrier_flow()
    };
    let pbx = crate::registrar::udp();
    let invite = carrier_invite("flood", CARRIER_SDP);
    // To a number that leads nowhere, so that no call begins.
    let nowhere = invite.replace("+493023125456", "+15550100");
    let (head, _) = nowhere.split_once("Content-Type").expect("a body");
    let bare = |method: &str| {
        let text = head.replace("INVITE", method);
        format!("{text}Content-Length: 0\n\n")
    };
    let within = |method: &str| bare(method).replace("192.0.2.11>", "192.0.2.11>;tag=none");
    let answer = bare("INVITE").replacen(
        "INVITE sip:+15550100@192.0.2.11:5060 SIP/2.0",
        "SIP/2.0 200 OK",
        1,
    );
    // Whether anything is remembered of it at all.
    for (what, flow, text, is_kept) in [
        ("INVITEs of a stranger", &stranger, invite.clone(), false),
        ("OPTIONS of a peer", &carrier_flow(), bare("OPTIONS"), true),
        (
            "INVITEs that lead nowhere",
            &carrier_flow(),
            nowhere.clone(),
            true,
        ),
        ("BYEs of no call", &carrier_flow(), within("BYE"), true),
        ("ACKs of no call", &carrier_flow(), within("ACK"), false),
        (
            "methods that nobody knows",
            &carrier_flow(),
            bare("FROBNICATE"),
            true,
        ),
        ("REGISTERs without credentials", &pbx, USUAL.text(), false),
        ("answers to nothing", &carrier_flow(), answer, false),
    ] {
        let Cost { most, left } = cost(flow, &text);
        let kept = i64::try_from(RATE * (MEMORY + 4)).expect("few") * i64::from(is_kept);
        let bound = kept * EACH + ROOM;
        assert!(
            most.iter().all(|most| *most <= bound),
            "{what}: {most:?}, not {bound}"
        );
        // This is the second flood: tables have their size, and nothing grows any more.
        let (first, last) = (most[0], most[MINUTES as usize - 1]);
        assert!(last <= first + first / 20 + 4_096, "{what} grow: {most:?}");
        // What is left is the room of tables, which the first flood has made.
        let [once, twice] = left;
        assert!(
            twice <= once + once / 50 + 4_096 && once <= bound,
            "{what} leave {left:?}"
        );
    }
}

/// Requests in a second of a flood that means it.
const STORM: u64 = 20_000;
/// Transactions that one source may have.
const SHARE: usize = 200_000;
/// What one of them holds: the storm's requests are short.
const EACH_OF_STORM: i64 = 2 * 1024;

/// A storm of so many seconds; octets held after each of them, and what is left when all of it is forgotten.
fn storm(flow: &Flow, text: &str, seconds: u64) -> (Vec<i64>, i64) {
    let mut flooded = Flooded::new();
    let mut live = 0;
    let mut held = Vec::new();
    for second in 0..seconds {
        live += allocation_counter::measure(|| {
            for number in 0..STORM {
                flooded.receive(flow, &numbered(text, second * STORM + number));
            }
            flooded.pass(Duration::from_secs(1));
        })
        .bytes_current;
        assert!(flooded.core.census().transactions <= SHARE);
        held.push(live);
    }
    live += allocation_counter::measure(|| flooded.pass(Duration::from_secs(300))).bytes_current;
    assert_eq!(flooded.core.census(), Default::default());
    (held, live)
}

/// A peer's share of the table is full after ten seconds. From then on nothing can grow, however long the
/// storm is: two more seconds show as much as five minutes.
#[test]
fn twenty_thousand_requests_a_second_fill_the_share_of_one_source_and_no_more() {
    let invite = carrier_invite("storm", CARRIER_SDP);
    let (head, _) = invite.split_once("Content-Type").expect("a body");
    let options = format!("{head}Content-Length: 0\n\n").replace("INVITE", "OPTIONS");
    let (held, left) = storm(&carrier_flow(), &options, 12);
    let share = i64::try_from(SHARE).expect("few");
    let full = held[9];
    assert!(full <= share * EACH_OF_STORM + ROOM, "{held:?}");
    assert!(held[10..].iter().all(|held| *held <= full), "{held:?}");
    // Places in tables stay, for the next storm.
    assert!(left <= full / 4, "{left} of {held:?}");
    let stranger = Flow {
        remote: "198.51.100.99:5060".parse().unwrap(),
        ..carrier_flow()
    };
    let (held, left) = storm(&stranger, &invite, 2);
    assert!(held.iter().all(|held| *held <= ROOM), "{held:?}");
    assert!(left <= ROOM, "{left}");
}
