//! A packet that is dropped costs less than one that is relayed, whatever is wrong with it: who floods a port gains
//! nothing by sending nonsense.
//!
//! Times are compared, not judged: both kinds take turns, and the best turn of each counts, which what else the
//! machine does hardly changes.

use crate::common::ice::{Check, full, ours};
use crate::common::{A, B, Bench, address, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::session::{Outcome, SocketId};
use media_relay::srtp::{MAX_TRAILER_BYTES, Sender};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const TURNS: usize = 60;
const PACKETS: usize = 100;
/// The sockets of the first leg.
const RTP: SocketId = SocketId(0);
const RTCP: SocketId = SocketId(1);

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
    (socket, from): (SocketId, SocketAddr),
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
        let outcome = bench.session.packet(socket, from, slot, *length, now, out);
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
    spoil: impl FnMut(&mut Vec<u8>),
) {
    let good = |number| good(is_secure, number);
    compare(bench(is_secure), good, (RTP, from), why, spoil);
}

/// The same of packets of any kind, which come to a socket of the first leg.
fn compare(
    mut bench: Bench,
    good: impl Fn(u64) -> Vec<u8>,
    (socket, from): (SocketId, SocketAddr),
    why: DropReason,
    mut spoil: impl FnMut(&mut Vec<u8>),
) {
    let (mut best_good, mut best_bad) = (Duration::MAX, Duration::MAX);
    let mut number = 0;
    for _ in 0..TURNS {
        let mut packets: Vec<_> = (number..number + PACKETS as u64).map(&good).collect();
        number += PACKETS as u64;
        best_good = best_good.min(time(&mut bench, (RTP, peer_a()), &packets, None));
        packets.iter_mut().for_each(&mut spoil);
        best_bad = best_bad.min(time(&mut bench, (socket, from), &packets, Some(why)));
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

/// Larger than anything that is relayed, and full of what looks right.
#[test]
fn a_packet_that_is_too_large_costs_less_than_one_that_is_relayed() {
    for is_secure in [false, true] {
        assert_cheaper(is_secure, peer_a(), DropReason::Malformed, |packet| {
            packet.resize(2_000, 0xd5);
        });
    }
}

/// A call whose first leg has an agent of ours.
fn with_agent() -> Bench {
    let sdes = ProtectionWanted::Sdes(vec![Suite::AesCm128HmacSha1_80]);
    let mut bench = Bench::allocated([sdes.clone(), ProtectionWanted::None]);
    let spec = StreamSpec {
        kind: StreamKind::Audio,
        protection: sdes,
        ice: Some(ours()),
    };
    bench.session.prepare(A, &[spec]);
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    let agreed = full(ours(), "h6vYk2", &[]);
    let terms = NegotiatedStream {
        remote_rtp: peer_a(),
        ..agreed
    };
    bench.answer(A, terms);
    crate::common::ice::knock(&mut bench, 0, peer_a(), &Check::nominating().bytes()).unwrap();
    bench
}

#[test]
fn a_check_that_is_not_for_us_costs_less_than_a_packet_that_is_relayed() {
    let stranger = address("203.0.113.9:4000");
    let of = |username: &str, password| Check {
        username: username.into(),
        password,
        ..Check::default()
    };
    let noise = {
        let mut noise = Check::default().bytes();
        let last = noise.len() - 1;
        noise[last] ^= 1;
        noise
    };
    let unknown = of("another:h6vYk2", "another password of 22").bytes();
    let forged = of(&Check::default().username, "another password of 22").bytes();
    for (check, why) in [
        (&noise, DropReason::Malformed),
        (&noise[..19].to_vec(), DropReason::Malformed),
        (&unknown, DropReason::CheckName),
        (&forged, DropReason::CheckIntegrity),
    ] {
        for from in [stranger, peer_a()] {
            let at = (RTP, from);
            compare(
                with_agent(),
                |number| good(true, number),
                at,
                why,
                |packet| {
                    packet.clone_from(check);
                },
            );
        }
    }
}

#[test]
fn a_record_of_a_handshake_that_nobody_wants_costs_less_than_a_packet_that_is_relayed() {
    let record = |packet: &mut Vec<u8>| {
        let body = packet.len() - 13;
        packet[..11].copy_from_slice(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet[11..13].copy_from_slice(&(body as u16).to_be_bytes());
    };
    for is_secure in [false, true] {
        for from in [address("203.0.113.9:4000"), peer_a()] {
            assert_cheaper(is_secure, from, DropReason::Malformed, record);
        }
    }
}

#[test]
fn a_report_that_nobody_believes_costs_less_than_a_packet_that_is_relayed() {
    let report = |packet: &mut Vec<u8>| {
        packet.truncate(60);
        packet[..8].copy_from_slice(&[0x81, 201, 0, 7, 0, 0, 0, 99]);
        // In front of a tag, it would say that it is encrypted.
        packet[46] |= 0x80;
    };
    let of_reports = SocketAddr::new(peer_a().ip(), peer_a().port() + 1);
    for is_secure in [false, true] {
        let good = |number| good(is_secure, number);
        let stranger = address("203.0.113.9:4001");
        let at = (RTCP, stranger);
        compare(bench(is_secure), good, at, DropReason::Source, report);
        // What is no report on the port of reports, and too short a one.
        let at = (RTCP, of_reports);
        compare(bench(is_secure), good, at, DropReason::Malformed, |_| {});
        let why = match is_secure {
            true => DropReason::Authentication,
            false => DropReason::Malformed,
        };
        compare(bench(is_secure), good, at, why, |packet| {
            report(packet);
            // It says that it is longer than it is.
            packet[3] = 200;
        });
    }
}

#[test]
fn a_datagram_that_is_no_fax_costs_less_than_one_that_is_relayed() {
    let faxing = || {
        let mut bench = Bench::joined();
        for (own, remote) in [(A, peer_a()), (B, peer_b())] {
            let fax = NegotiatedStream {
                content: Content::Udptl,
                remote_rtcp: SocketAddr::new(remote.ip(), 0),
                payloads: Vec::new(),
                ptime_ms: 10,
                ..terms(remote)
            };
            bench.answer(own, fax);
        }
        bench
    };
    let good = |number: u64| {
        let [.., high, low] = number.to_be_bytes();
        let mut datagram = vec![high, low, 1, 0xc0, 1];
        datagram.resize(120, 0x55);
        datagram
    };
    let stranger = (RTP, address("203.0.113.9:4000"));
    compare(faxing(), good, stranger, DropReason::Source, |_| {});
    let peer = (RTP, peer_a());
    compare(faxing(), good, peer, DropReason::Malformed, |packet| {
        packet.truncate(2);
    });
    compare(faxing(), good, peer, DropReason::Malformed, |packet| {
        packet.resize(2_000, 0x55);
    });
    // Nothing of a fax comes to the port of reports.
    let reports = (RTCP, peer_a());
    compare(faxing(), good, reports, DropReason::Malformed, |_| {});
}
