//! A packet that is dropped costs less than one that is relayed, whatever is wrong with it: who floods a port gains
//! nothing by sending nonsense.
//!
//! Times are compared, not judged: both kinds take turns, and the best turn of each counts, which what else the
//! machine does hardly changes.

use crate::common::{A, B, Bench, address, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::session::{Outcome, SocketId};
use media_relay::srtp::{MAX_TRAILER_BYTES, Sender};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const TURNS: usize = 60;
const PACKETS: usize = 100;

fn key(seed: u8) -> CryptoKey {
    CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap()
}

/// A call with keys on its first leg or on none.
fn bench(is_secure: bool) -> Bench {
    let mut bench = Bench::joined();
    if is_secure {
        let protection = Protection::Sdes {
            local: key(1),
            remote: key(2),
        };
        let terms = NegotiatedStream {
            protection,
            ..terms(peer_a())
        };
        bench.answer(A, terms);
        bench.answer(B, crate::common::terms(peer_b()));
    }
    bench
}

/// The good packet of a number.
fn good(is_secure: bool, number: u64) -> Vec<u8> {
    let (sequence, timestamp) = (number as u16, number as u32 * 160);
    let mut packet = rtp(8, sequence, timestamp, 9, &[0xd5; 160]);
    if is_secure {
        let plain_bytes = packet.len();
        packet.resize(plain_bytes + MAX_TRAILER_BYTES, 0);
        let sealed = Sender::new(&key(2)).protect_rtp(&mut packet, plain_bytes, number);
        packet.truncate(sealed.unwrap());
    }
    packet
}

/// How long the session takes with packets, 20 ms apart, which all have the same end.
fn time(
    bench: &mut Bench,
    from: SocketAddr,
    packets: &[Vec<u8>],
    why: Option<DropReason>,
) -> Duration {
    let mut slots: Vec<_> = packets
        .iter()
        .map(|packet| (packet.len(), [0; 2048]))
        .collect();
    for ((_, slot), packet) in slots.iter_mut().zip(packets) {
        slot[..packet.len()].copy_from_slice(packet);
    }
    let start = Instant::now();
    for (length, slot) in &mut slots {
        bench.now.0 += 20_000;
        let (now, out) = (bench.now, &mut bench.out);
        let outcome = bench
            .session
            .packet(SocketId(0), from, slot, *length, now, out);
        match (outcome, why) {
            (Outcome::Forward(_), None) => {}
            (Outcome::Dropped(reason), Some(why)) if reason == why => {}
            (outcome, _) => panic!("{outcome:?} instead of {why:?}"),
        }
    }
    start.elapsed()
}

/// Asserts that packets which `spoil` made of good ones cost less than the good ones.
fn assert_cheaper(
    is_secure: bool,
    from: SocketAddr,
    why: DropReason,
    mut spoil: impl FnMut(&mut Vec<u8>),
) {
    let mut bench = bench(is_secure);
    let (mut best_good, mut best_bad) = (Duration::MAX, Duration::MAX);
    let mut number = 0;
    for _ in 0..TURNS {
        let mut packets: Vec<_> = (number..number + PACKETS as u64)
            .map(|number| good(is_secure, number))
            .collect();
        number += PACKETS as u64;
        best_good = best_good.min(time(&mut bench, peer_a(), &packets, None));
        packets.iter_mut().for_each(&mut spoil);
        best_bad = best_bad.min(time(&mut bench, from, &packets, Some(why)));
    }
    let [bad, good] = [best_bad, best_good].map(|best| best.as_nanos() / PACKETS as u128);
    println!("{why:?}: {bad} ns, relayed {good} ns");
    assert!(bad < good, "{why:?}: {bad} ns, relayed {good} ns");
}

#[test]
fn a_bad_packet_costs_less_than_one_that_is_relayed() {
    let stranger = address("203.0.113.9:4000");
    for is_secure in [false, true] {
        assert_cheaper(is_secure, stranger, DropReason::Source, |_| {});
        assert_cheaper(is_secure, peer_a(), DropReason::Malformed, |packet| {
            packet[0] = 0x40
        });
        assert_cheaper(is_secure, peer_a(), DropReason::Malformed, |packet| {
            packet.truncate(11)
        });
    }
    assert_cheaper(false, peer_a(), DropReason::PayloadType, |packet| {
        packet[1] = 77
    });
    assert_cheaper(false, peer_a(), DropReason::Duplicate, |_| {});
    assert_cheaper(true, peer_a(), DropReason::Replay, |_| {});
}

#[test]
fn a_forged_packet_costs_less_than_one_that_is_relayed() {
    assert_cheaper(true, peer_a(), DropReason::Authentication, |packet| {
        let last = packet.len() - 1;
        packet[last] ^= 1;
        // Of a later time, so that it is no repetition.
        packet[2] ^= 0x20;
    });
}
