//! Sessions with SRTP on one or both legs: keys, re-keying, forks, forged packets.

use crate::common::{A, B, Bench, SESSION, address, peer_a, peer_b, read, rtp, terms};
use media_api::*;
use media_relay::packet::rtcp::{Compound, Packet};
use media_relay::session::Outcome;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender};
use std::net::SocketAddr;

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

fn key(seed: u8) -> CryptoKey {
    key_of(SUITE, seed)
}

fn key_of(suite: Suite, seed: u8) -> CryptoKey {
    CryptoKey::new(suite, vec![seed; suite.key_and_salt_bytes()]).unwrap()
}

/// A peer with its own SRTP contexts.
struct SecurePeer {
    sender: Sender,
    receiver: Receiver,
}

impl SecurePeer {
    fn new(own: &CryptoKey, ours: &CryptoKey) -> Self {
        Self {
            sender: Sender::new(own),
            receiver: Receiver::new(ours),
        }
    }

    fn protect(&self, plain: &[u8], index: u64) -> Vec<u8> {
        let mut packet = plain.to_vec();
        packet.resize(plain.len() + MAX_TRAILER_BYTES, 0);
        let length = self
            .sender
            .protect_rtp(&mut packet, plain.len(), index)
            .unwrap();
        packet.truncate(length);
        packet
    }

    fn voice(&self, index: u64) -> Vec<u8> {
        self.protect(
            &rtp(8, index as u16, index as u32 * 160, 0x2222, b"secret voice"),
            index,
        )
    }
}

fn secure(remote: SocketAddr, local: &CryptoKey, theirs: &CryptoKey) -> NegotiatedStream {
    let protection = Protection::Sdes {
        local: local.clone(),
        remote: theirs.clone(),
    };
    NegotiatedStream {
        protection,
        ..terms(remote)
    }
}

/// A with SRTP, B plain.
fn half_secure() -> (Bench, SecurePeer, CryptoKey) {
    half_secure_by(SUITE)
}

fn half_secure_by(suite: Suite) -> (Bench, SecurePeer, CryptoKey) {
    let wanted = ProtectionWanted::Sdes(vec![suite]);
    let mut bench = Bench::allocated([wanted, ProtectionWanted::None]);
    let ours = bench.local[0].streams[0].keys[0].clone();
    let theirs = key_of(suite, 1);
    bench.answer(A, secure(peer_a(), &ours, &theirs));
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    let peer = SecurePeer::new(&theirs, &ours);
    (bench, peer, ours)
}

#[test]
fn srtp_on_one_leg_is_plain_on_the_other_both_ways() {
    for suite in Suite::ALL {
        let (mut bench, mut peer, _) = half_secure_by(suite);
        for index in 0..100u64 {
            bench.wait_ms(20);
            let (to, packet) = bench.send(A, peer_a(), &peer.voice(index)).unwrap();
            assert_eq!(to, peer_b());
            assert_eq!(read(&packet).payload, b"secret voice");
            let plain = rtp(8, index as u16, index as u32 * 160, 5, b"plain voice");
            let (to, mut packet) = bench.send(B, peer_b(), &plain).unwrap();
            assert_eq!(to, peer_a());
            let length = peer.receiver.unprotect_rtp(&mut packet, bench.now).unwrap();
            assert_eq!(read(&packet[..length]).payload, b"plain voice");
        }
        let reports = bench.run_ms(5_000).into_iter();
        let mut reports = reports.filter(|(to, _)| to.ip() == peer_a().ip());
        let (_, mut report) = reports.next().expect("within five seconds");
        assert!(Compound::parse(&report).is_err(), "encrypted");
        let length = peer.receiver.unprotect_rtcp(&mut report).unwrap();
        assert!(Compound::parse(&report[..length]).is_ok(), "{suite:?}");
    }
}

/// The usual case without media bypass: A is a processor that talks before its answer is here (TDR-MED-009), from
/// where it will describe itself, or from behind a NAT.
#[test]
fn what_came_before_its_key_is_heard_without_checks_too() {
    let restricted = || SourcePolicy::Restricted(Nearby::default());
    let elsewhere = address("192.0.2.200:40000");
    for (policy, from, heard) in [
        (SourcePolicy::Signalled, peer_a(), 25),
        (restricted(), peer_a(), 25),
        (restricted(), elsewhere, 0),
    ] {
        let wanted = ProtectionWanted::Sdes(vec![SUITE]);
        let mut bench = Bench::allocated([wanted, ProtectionWanted::None]);
        let ours = bench.local[0].streams[0].keys[0].clone();
        bench.answer(B, terms(peer_b()));
        bench.join(0);
        let peer = SecurePeer::new(&key(1), &ours);
        for index in 1..=40 {
            assert_eq!(bench.send_or_end(A, from, &peer.voice(index)), None);
            bench.wait_ms(20);
        }
        let agreed = NegotiatedStream {
            source: policy.clone(),
            ..secure(peer_a(), &ours, &key(1))
        };
        bench.answer(A, agreed);
        let late: Vec<_> = bench.made();
        let numbers: Vec<u16> = late.iter().map(|(_, own)| read(own).sequence).collect();
        assert_eq!(numbers.len(), heard, "{policy:?} {from}");
        let is_in_order = numbers
            .windows(2)
            .all(|two| two[1] == two[0].wrapping_add(1));
        assert!(is_in_order && late.iter().all(|(to, _)| *to == peer_b()));
        // It goes on where it was.
        let (to, next) = bench.send(A, peer_a(), &peer.voice(41)).unwrap();
        assert_eq!(to, peer_b());
        let follows = numbers
            .last()
            .is_none_or(|last| read(&next).sequence == last.wrapping_add(1));
        assert!(follows);
    }
}

/// The key is unchanged, so nothing is reset (TDR-MED-007), whatever else may be new at the same time.
#[test]
fn a_key_that_gets_or_loses_an_identifier_keeps_its_counter() {
    let (mut bench, peer, ours) = half_secure();
    for index in (60_000..=200_000u64).step_by(100) {
        bench.now.0 += 2_000_000;
        bench.send(A, peer_a(), &peer.voice(index)).unwrap();
    }
    let known = peer.voice(200_000);
    for (identifier, index) in [(vec![1], 200_001), (Vec::new(), 200_101)] {
        let theirs = key(1).with_identifier(identifier.clone());
        bench.answer(A, secure(peer_a(), &ours, &theirs));
        for index in index..index + 100 {
            bench.wait_ms(20);
            let mut packet = peer.voice(index);
            let at = packet.len() - 10;
            packet.splice(at..at, identifier.iter().copied());
            bench.send(A, peer_a(), &packet).unwrap();
        }
        assert_eq!(bench.send(A, peer_a(), &known), Err(DropReason::Replay));
    }
    assert_eq!(bench.stats(A).resynchronised, 0);
}

/// A voice application has described itself early, or another phone, and whoever answers talks before its answer is
/// here (TDR-MED-009, TDR-ICE-005).
#[test]
fn what_a_second_fork_says_before_its_answer_is_heard_with_it() {
    for at in [peer_a(), address("192.0.2.200:40000")] {
        let wanted = ProtectionWanted::Sdes(vec![SUITE]);
        let mut bench = Bench::allocated([wanted, ProtectionWanted::None]);
        let ours = bench.local[0].streams[0].keys[0].clone();
        bench.answer(B, terms(peer_b()));
        bench.join(0);
        let early = secure(peer_a(), &ours, &key(1));
        bench.answer_as(A, early.clone(), ForkId(1), Stage::Preview);
        let (first, second) = (
            SecurePeer::new(&key(1), &ours),
            SecurePeer::new(&key(9), &ours),
        );
        for index in 1..=3 {
            bench.send(A, peer_a(), &first.voice(index)).unwrap();
        }
        let reason = match at == peer_a() {
            true => DropReason::Authentication,
            false => DropReason::Source,
        };
        let said = |index: u64| {
            let plain = rtp(8, index as u16, index as u32 * 160, 0x3333, b"hello");
            second.protect(&plain, index)
        };
        for index in 1..=40 {
            assert_eq!(bench.send_or_end(A, at, &said(index)), None);
            bench.wait_ms(20);
            if index == 30 {
                // Nothing of it is any younger for another description of the first.
                bench.answer_as(A, early.clone(), ForkId(1), Stage::Preview);
                assert_eq!(bench.made(), []);
            }
        }
        bench.wait_ms(100);
        // The first is heard meanwhile.
        bench.send(A, peer_a(), &first.voice(4)).unwrap();
        let answer = secure(at, &ours, &key(9));
        bench.answer_as(A, answer, ForkId(2), Stage::Final);
        let heard = bench.made();
        assert!(heard.iter().all(|(to, _)| *to == peer_b()));
        assert_eq!(heard.len(), 20, "those of the last half second");
        assert_eq!(bench.stats(A).dropped(reason), 20);
        assert_eq!(bench.send(A, at, &said(41)).map(|(to, _)| to), Ok(peer_b()));
        // Who has answered is known, and so is who has not.
        let stray = bench.send(A, peer_a(), &first.voice(5)).unwrap_err();
        assert_eq!(stray, reason);
    }
}

/// Nothing that was kept stays for ever: forged packets and old ones are dropped with the key, and what the other
/// party has no format for, too.
#[test]
fn what_came_before_its_key_is_changed_for_a_party_with_another_codec_and_nothing_stays() {
    let wanted = ProtectionWanted::Sdes(vec![SUITE]);
    let mut bench = Bench::allocated([wanted, ProtectionWanted::None]);
    let ours = bench.local[0].streams[0].keys[0].clone();
    let pcmu = NegotiatedStream {
        payloads: vec![crate::common::codec(0, 0, 7, "PCMU", 8_000)],
        ..terms(peer_b())
    };
    bench.answer(B, pcmu);
    bench.join(0);
    let (peer, forger) = (
        SecurePeer::new(&key(1), &ours),
        SecurePeer::new(&key(2), &ours),
    );
    let voice = |index: u64| {
        let plain = rtp(8, index as u16, index as u32 * 160, 0x2222, &[0xd5; 160]);
        peer.protect(&plain, index)
    };
    bench.send_or_end(A, peer_a(), &voice(1));
    bench.wait_ms(501);
    bench.send_or_end(A, peer_a(), &voice(2));
    bench.send_or_end(A, peer_a(), &forger.voice(3));
    bench.answer(A, secure(peer_a(), &ours, &key(1)));
    let late = bench.made();
    let [(to, packet)] = &late[..] else {
        panic!("{late:?}")
    };
    let heard = read(packet);
    assert_eq!((*to, heard.payload_type), (peer_b(), 0));
    assert_eq!(heard.payload, [0xfe; 160], "the same in the other law");
    let stats = bench.stats(A);
    assert_eq!(stats.dropped(DropReason::NoPath), 1);
    assert_eq!(stats.dropped(DropReason::Authentication), 1);
    bench.wait_ms(1_000);
    bench.answer(A, secure(peer_a(), &ours, &key(1)));
    assert_eq!(bench.made(), []);
}

#[test]
fn srtp_on_both_legs_uses_four_different_keys_across_the_roll_over() {
    let wanted = || ProtectionWanted::Sdes(vec![SUITE]);
    let mut bench = Bench::allocated([wanted(), wanted()]);
    let ours = [0, 1].map(|at: usize| bench.local[at].streams[0].keys[0].clone());
    bench.answer(A, secure(peer_a(), &ours[0], &key(1)));
    bench.answer(B, secure(peer_b(), &ours[1], &key(2)));
    bench.join(0);
    let a = SecurePeer::new(&key(1), &ours[0]);
    let mut b = SecurePeer::new(&key(2), &ours[1]);
    // Long enough for both A's counter and ours toward B to roll over.
    for index in 30_000..130_000u64 {
        bench.wait_ms(20);
        let (_, mut packet) = bench.send(A, peer_a(), &a.voice(index)).unwrap();
        let length = b.receiver.unprotect_rtp(&mut packet, bench.now).unwrap();
        assert_eq!(read(&packet[..length]).payload, b"secret voice");
    }
    assert_eq!(bench.stats(A).lost_packets, 0);
}

/// A call of four hours by its packets: eleven times around the sequence, with what a call does in between at each
/// wrap. Another implementation reads what we send, with a counter of its own.
#[test]
fn eleven_wraps_with_holds_and_new_offers_between_lose_nothing() {
    const CYCLE: u64 = 1 << 16;
    let wanted = || ProtectionWanted::Sdes(vec![SUITE]);
    let mut bench = Bench::allocated([wanted(), wanted()]);
    let ours = [0, 1].map(|at: usize| bench.local[at].streams[0].keys[0].clone());
    let mut theirs = key(1);
    bench.answer(A, secure(peer_a(), &ours[0], &theirs));
    bench.answer(B, secure(peer_b(), &ours[1], &key(2)));
    bench.join(0);
    let mut a = SecurePeer::new(&theirs, &ours[0]);
    let b = SecurePeer::new(&key(2), &ours[1]);
    let mut other = elsewhere(&ours[1]);
    // Where the counter of A's present key began, and what B has sent.
    let (mut base, mut of_b) = (0, 0);
    let mut opened = 0;
    for index in 65_000..65_000 + 11 * CYCLE {
        let at = index % CYCLE;
        if at == 40 {
            let agreed = secure(peer_a(), &ours[0], &theirs);
            let held = NegotiatedStream {
                direction: Direction::Inactive,
                ..agreed.clone()
            };
            match index / CYCLE % 4 {
                0 => {
                    bench.answer(A, held);
                    bench.wait_ms(60_000);
                    bench.answer(A, agreed);
                }
                1 => bench.answer(A, agreed),
                2 => {
                    // Another key counts from zero, while the sequence goes on.
                    base = index - at;
                    theirs = key(10 + (index / CYCLE) as u8);
                    a = SecurePeer {
                        sender: Sender::new(&theirs),
                        ..a
                    };
                    bench.answer(A, secure(peer_a(), &ours[0], &theirs));
                }
                _ => {
                    // B goes on for half a cycle to somebody who does not listen.
                    bench.answer(A, held);
                    for voice in 0..CYCLE / 2 {
                        if voice % 16 == 0 {
                            bench.wait_ms(320);
                        }
                        let _ = bench.send(B, peer_b(), &b.voice(of_b));
                        of_b += 1;
                    }
                    bench.answer(A, agreed);
                }
            }
        }
        // In bursts, as a network brings them now and then: the clock costs more than a packet.
        if at.is_multiple_of(16) {
            bench.wait_ms(320);
        }
        let sent = bench.send(A, peer_a(), &a.voice(index - base));
        let (_, packet) = sent.unwrap_or_else(|why| panic!("{index}: {why:?}"));
        // Often, and each near a wrap.
        if at.is_multiple_of(32) || !(100..CYCLE - 100).contains(&at) {
            let plain = other.decrypt_rtp(&packet);
            let plain = plain.unwrap_or_else(|why| panic!("{index}: {why}"));
            assert_eq!(read(&plain).payload, b"secret voice", "{index}");
            opened += 1;
        }
        if at.is_multiple_of(16) {
            let (_, mut packet) = bench.send(B, peer_b(), &b.voice(of_b)).unwrap();
            of_b += 1;
            let heard = a.receiver.unprotect_rtp(&mut packet, bench.now);
            assert!(heard.is_ok(), "{index}");
        }
    }
    assert!(opened > 11 * CYCLE / 32);
    assert_eq!(
        (bench.stats(A).lost_packets, bench.stats(B).lost_packets),
        (0, 0)
    );
    assert_eq!(bench.stats(A).dropped(DropReason::Authentication), 0);
}

/// TDR-MED-007, RFC 3711 §3.3.1: after a restart the peer may be another machine, which has our key from our
/// description alone. The pair of before may still be that of the old one.
#[test]
fn after_a_restart_our_new_key_begins_where_checks_name_another_pair_and_reports_follow() {
    use crate::common::ice::*;
    use rtc_srtp::context::Context;
    fn open_one(bench: &mut Bench, sequence: u16, at: SocketAddr, peer: &mut Context) {
        let packet = rtp(8, sequence, 1, 1, b"public voice");
        let (to, packet) = bench.send(A, peer_a(), &packet).unwrap();
        assert_eq!(to, at);
        let plain = peer.decrypt_rtp(&packet).unwrap();
        assert_eq!(read(&plain).payload, b"public voice");
    }
    // Our new key may come one exchange after the restart.
    for (rtcp_mux, is_later) in [(true, false), (false, false), (true, true)] {
        let mut bench = bench();
        let by = |own: u8, local, fragment: &str, at| {
            let protection = Protection::Sdes {
                local: key(own),
                remote: key(2),
            };
            NegotiatedStream {
                rtcp_mux,
                protection,
                ..full(local, fragment, &[candidate(at, 5)])
            }
        };
        bench.answer(B, by(1, ours(), THEIRS, direct()));
        checked(&mut bench, direct(), &Check::nominating());
        let mut old = elsewhere(&key(1));
        for sequence in (0..70_000u32).map(|sequence| sequence as u16) {
            if sequence % 16 == 0 {
                bench.wait_ms(320);
            }
            open_one(&mut bench, sequence, direct(), &mut old);
        }
        bench.run_ms(1);

        let new = credentials("b9kP2+/w", "Zg01asd88fgpdd777uzjYhag");
        let check = |nominates| Check {
            username: "b9kP2+/w:mpmpmp".to_owned(),
            password: "Zg01asd88fgpdd777uzjYhag",
            nominates,
            ..Check::default()
        };
        if is_later {
            bench.answer(B, by(1, new.clone(), "mpmpmp", relayed()));
            open_one(&mut bench, 4999, direct(), &mut old);
        }
        let restarted = by(7, new, "mpmpmp", relayed());
        bench.answer(B, restarted.clone());
        open_one(&mut bench, 5000, direct(), &mut old);
        checked(&mut bench, relayed(), &check(false));
        // The same description once more ends nothing.
        bench.answer(B, restarted);
        open_one(&mut bench, 5001, direct(), &mut old);
        let mut newcomer = elsewhere(&key(7));
        let reports = address("203.0.113.66:51001");
        if !rtcp_mux {
            knock(&mut bench, 3, reports, &check(false).bytes()).unwrap();
        }
        let to_b = |bench: &mut Bench| {
            let mut made = bench.run_ms(6_000);
            made.retain(|(to, _)| to.ip() != peer_a().ip());
            made.pop().unwrap()
        };
        let (to, report) = to_b(&mut bench);
        match rtcp_mux {
            true => assert!(to == direct() && old.decrypt_rtcp(&report).is_ok()),
            false => assert!(to == reports && newcomer.decrypt_rtcp(&report).is_ok()),
        }
        checked(&mut bench, relayed(), &check(true));
        open_one(&mut bench, 5002, relayed(), &mut newcomer);
        open_one(&mut bench, 5003, relayed(), &mut newcomer);
        let (to, report) = to_b(&mut bench);
        assert_eq!(to, if rtcp_mux { relayed() } else { reports });
        assert!(newcomer.decrypt_rtcp(&report).is_ok());
    }
}

/// A receiver that is not ours, with a roll-over counter that begins at zero.
fn elsewhere(key: &CryptoKey) -> rtc_srtp::context::Context {
    use rtc_srtp::protection_profile::ProtectionProfile;
    let profile = match key.suite() {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        _ => ProtectionProfile::Aes128CmHmacSha1_32,
    };
    let (key, salt) = key.expose_key_and_salt().split_at(16);
    let provider = rtc_crypto::default_provider().unwrap();
    rtc_srtp::context::Context::new(key, salt, profile, None, None, provider.crypto()).unwrap()
}

#[test]
fn forged_packets_move_nothing() {
    let (mut bench, peer, _) = half_secure();
    let restricted = SourcePolicy::Restricted(Nearby::default());
    let ours = bench.local[0].streams[0].keys[0].clone();
    let secured = secure(peer_a(), &ours, &key(1));
    bench.answer(
        A,
        NegotiatedStream {
            source: restricted,
            ..secured
        },
    );
    let attacker = SecurePeer::new(&key(66), &key(67));
    let other_port = address("192.0.2.10:9999");
    for index in 0..500 {
        for from in [peer_a(), other_port] {
            let forged = bench.send(A, from, &attacker.voice(index));
            assert_eq!(forged, Err(DropReason::Authentication));
            let clear = rtp(8, index as u16, 0, 0x2222, b"clear voice");
            assert_eq!(bench.send(A, from, &clear), Err(DropReason::Authentication));
        }
    }
    // Clear RTCP on a secured stream is nothing either: no BYE, no report.
    let goodbye = [
        0x80, 201, 0, 1, 0, 0, 0x22, 0x22, 0x81, 203, 0, 1, 0, 0, 0x22, 0x22,
    ];
    let outcome = bench.send_rtcp(A, address("192.0.2.10:4001"), &goodbye);
    assert!(matches!(outcome, Outcome::Dropped(_)));
    assert_eq!(bench.events(), []);
    let stats = bench.stats(A);
    assert_eq!(
        (stats.received_packets, stats.lost_packets, stats.source),
        (0, 0, None)
    );
    assert!(bench.send(A, peer_a(), &peer.voice(5)).is_ok());
}

#[test]
fn an_authentic_packet_from_another_port_is_proof_enough_and_a_replay_is_not() {
    let (mut bench, peer, ours) = half_secure();
    let restricted = SourcePolicy::Restricted(Nearby::default());
    let secured = secure(peer_a(), &ours, &key(1));
    bench.answer(
        A,
        NegotiatedStream {
            source: restricted,
            ..secured
        },
    );
    bench.send(A, peer_a(), &peer.voice(1)).unwrap();
    let moved = address("192.0.2.10:9999");
    bench.wait_ms(2_500);
    assert_eq!(
        bench.send(A, moved, &peer.voice(1)),
        Err(DropReason::Replay)
    );
    assert!(bench.send(A, moved, &peer.voice(2)).is_ok());
    assert_eq!(bench.stats(A).source, Some(moved));
}

#[test]
fn a_new_key_works_beside_the_old_one_until_it_is_proven() {
    let (mut bench, old, ours) = half_secure();
    bench.send(A, peer_a(), &old.voice(1)).unwrap();
    bench.answer(A, secure(peer_a(), &ours, &key(9)));
    let new = SecurePeer::new(&key(9), &ours);
    // Packets under the old key are still on their way.
    assert!(bench.send(A, peer_a(), &old.voice(2)).is_ok());
    bench.wait_ms(20);
    for index in 3..6 {
        assert!(bench.send(A, peer_a(), &new.voice(index)).is_ok());
    }
    assert_eq!(
        bench.send(A, peer_a(), &old.voice(6)),
        Err(DropReason::Authentication)
    );

    // A key that is never used does not keep the old one alive for longer than five seconds.
    bench.answer(A, secure(peer_a(), &ours, &key(10)));
    assert!(bench.send(A, peer_a(), &new.voice(7)).is_ok());
    bench.run_ms(5_100);
    assert_eq!(
        bench.send(A, peer_a(), &new.voice(8)),
        Err(DropReason::Authentication)
    );
}

#[test]
fn what_was_sent_under_the_old_key_passes_also_where_the_numbers_go_round() {
    let (mut bench, old, ours) = half_secure();
    for index in 65_500..65_530u64 {
        bench.send(A, peer_a(), &old.voice(index)).unwrap();
    }
    bench.answer(A, secure(peer_a(), &ours, &key(9)));
    let new = SecurePeer::new(&key(9), &ours);
    // Its numbers go on, its roll-over counter is zero.
    assert!(bench.send(A, peer_a(), &new.voice(2)).is_ok());
    for index in 65_530..65_536 {
        let heard = bench.send(A, peer_a(), &old.voice(index)).map(|_| ());
        assert_eq!(heard, Ok(()), "{index}");
    }
    let forged = SecurePeer::new(&key(66), &ours);
    assert_eq!(
        bench.send(A, peer_a(), &forged.voice(65_536)),
        Err(DropReason::Authentication)
    );
    assert_eq!(
        bench.send(A, peer_a(), &new.voice(2)),
        Err(DropReason::Replay)
    );
}

#[test]
fn a_peer_that_misses_the_first_packets_under_our_new_key_still_finds_its_counter() {
    let suites = vec![SUITE, Suite::AesCm128HmacSha1_32];
    let mut bench = Bench::allocated([ProtectionWanted::Sdes(suites), ProtectionWanted::None]);
    let keys = bench.local[0].streams[0].keys.clone();
    let theirs = keys.iter();
    let theirs: Vec<_> = theirs.map(|own| key_of(own.suite(), 1)).collect();
    bench.answer(B, terms(peer_b()));
    bench.answer(A, secure(peer_a(), &keys[0], &theirs[0]));
    bench.join(0);
    let mut sequence = 0u16;
    let mut voice = |bench: &mut Bench| {
        sequence = sequence.wrapping_add(1);
        bench.wait_ms(20);
        let timestamp = u32::from(sequence) * 160;
        let sent = bench.send(B, peer_b(), &rtp(8, sequence, timestamp, 5, b"voice"));
        sent.unwrap().1
    };
    while u16::from_be_bytes(voice(&mut bench)[2..4].try_into().unwrap()) != 65_500 {}
    bench.answer(A, secure(peer_a(), &keys[1], &theirs[1]));
    (0..60).for_each(|_| drop(voice(&mut bench)));
    // One that knows no counter but zero: ours would try another, too.
    let mut other = elsewhere(&keys[1]);
    assert!(other.decrypt_rtp(&voice(&mut bench)).is_ok());
}

#[test]
fn hold_and_resume_with_the_same_keys_keep_counters_and_windows() {
    let (mut bench, mut peer, ours) = half_secure();
    for index in 65_530..65_540u64 {
        bench.send(A, peer_a(), &peer.voice(index)).ok();
    }
    let hold = secure(peer_a(), &ours, &key(1));
    bench.answer(
        A,
        NegotiatedStream {
            direction: Direction::Inactive,
            ..hold
        },
    );
    bench.wait_ms(60_000);
    bench.answer(A, secure(peer_a(), &ours, &key(1)));
    // The roll-over counter is still one: index 65,540 opens, the replayed one does not.
    assert_eq!(
        bench.send(A, peer_a(), &peer.voice(65_539)),
        Err(DropReason::Replay)
    );
    assert!(bench.send(A, peer_a(), &peer.voice(65_540)).is_ok());
    let (_, mut packet) = bench.send(B, peer_b(), &rtp(8, 1, 160, 5, b"x")).unwrap();
    assert!(peer.receiver.unprotect_rtp(&mut packet, bench.now).is_ok());
}

#[test]
fn a_new_local_key_starts_its_counter_at_zero_and_the_old_one_is_never_reused() {
    let suites = vec![SUITE, Suite::AesCm128HmacSha1_32];
    let mut bench = Bench::allocated([ProtectionWanted::Sdes(suites), ProtectionWanted::None]);
    let keys = bench.local[0].streams[0].keys.clone();
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    let mut receivers = keys.iter().map(Receiver::new).collect::<Vec<_>>();
    let mut sequence = 0u16;
    for round in 0..6 {
        let at = round % 2;
        let theirs = CryptoKey::new(keys[at].suite(), vec![1; 30]).unwrap();
        bench.answer(A, secure(peer_a(), &keys[at], &theirs));
        for _ in 0..100 {
            sequence += 1;
            bench.wait_ms(20);
            let voice = rtp(8, sequence, u32::from(sequence) * 160, 5, b"voice");
            let (_, mut packet) = bench.send(B, peer_b(), &voice).unwrap();
            // The receiver's replay window would notice an index used twice.
            assert!(receivers[at].unprotect_rtp(&mut packet, bench.now).is_ok());
        }
    }
}

#[test]
fn forks_answer_with_their_own_keys_and_the_winner_keeps_its_state() {
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::Sdes(vec![SUITE])]);
    let ours = bench.local[1].streams[0].keys[0].clone();
    bench.answer(A, terms(peer_a()));
    bench.join(0);
    let remote = peer_b();
    // Both forks sit behind the same address, as with a forking proxy in front of one gateway.
    for fork in 1..=2 {
        bench.answer_as(
            B,
            secure(remote, &ours, &key(fork)),
            ForkId(fork),
            Stage::Preview,
        );
    }
    let forks = [1, 2].map(|fork| SecurePeer::new(&key(fork), &ours));
    assert!(bench.send(B, remote, &forks[0].voice(10)).is_ok());
    bench.wait_ms(200);
    let other = forks[1].protect(&rtp(8, 20, 0, 0x3333, b"x"), 20);
    assert!(bench.send(B, remote, &other).is_ok());
    bench.answer_as(B, secure(remote, &ours, &key(1)), ForkId(1), Stage::Final);
    assert_eq!(
        bench.send(B, remote, &forks[0].voice(10)),
        Err(DropReason::Replay)
    );
    assert!(bench.send(B, remote, &forks[0].voice(11)).is_ok());
    let loser = forks[1].protect(&rtp(8, 21, 0, 0x3333, b"x"), 21);
    assert_eq!(
        bench.send(B, remote, &loser),
        Err(DropReason::Authentication)
    );
}

#[test]
fn reports_to_a_secured_peer_are_encrypted_and_end_with_a_goodbye() {
    let (mut bench, mut peer, _) = half_secure();
    bench.send(A, peer_a(), &peer.voice(1)).unwrap();
    bench
        .send(B, peer_b(), &rtp(8, 1, 160, 5, b"voice"))
        .unwrap();
    let mut reports = bench.run_ms(12_000);
    bench.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    reports.extend(bench.made());
    let mut last = Vec::new();
    let mut count = 0;
    for (to, packet) in &mut reports {
        if *to == address("192.0.2.10:4001") {
            let length = peer.receiver.unprotect_rtcp(packet).unwrap();
            packet.truncate(length);
            last = packet.clone();
            count += 1;
        } else {
            assert_eq!(*to, address("198.51.100.20:6001"));
            assert!(Compound::parse(packet).is_ok(), "plain leg, plain report");
        }
    }
    assert!(count >= 2);
    let parts: Vec<_> = Compound::parse(&last).unwrap().packets().collect();
    assert!(matches!(
        parts.last(),
        Some(Packet::Goodbye { ssrc: Some(_) })
    ));
}

#[test]
fn a_peer_that_moves_with_its_key_is_heard_whether_or_not_it_restarts_its_counter() {
    for restarts in [false, true] {
        let (mut bench, peer, ours) = half_secure();
        for index in (60_000..=70_000u64).step_by(100) {
            bench.now.0 += 2_000_000;
            bench.send(A, peer_a(), &peer.voice(index)).unwrap();
        }
        let moved = address("192.0.2.11:4800");
        bench.answer(A, secure(moved, &ours, &key(1)));
        let index = if restarts { 10_000 } else { 70_001 };
        let heard = bench.send(A, moved, &peer.voice(index)).map(|_| ());
        // A jump within the same SSRC needs a second packet, as without encryption.
        let wanted = if restarts {
            Err(DropReason::Sequence)
        } else {
            Ok(())
        };
        assert_eq!(heard, wanted, "restarts: {restarts}");
        assert!(bench.send(A, moved, &peer.voice(index + 1)).is_ok());
        assert_eq!(bench.stats(A).resynchronised, u64::from(restarts));
        assert_eq!(
            bench.send(A, peer_a(), &peer.voice(index + 2)),
            Err(DropReason::Source)
        );
        // The totals have it at the end at the latest, once.
        bench.command(Command::Release {
            session: SESSION,
            endpoint: None,
            drain_ms: 0,
        });
        assert_eq!(bench.out.resynchronised, u64::from(restarts));
    }
}

#[test]
fn a_new_key_is_followed_whether_or_not_the_peer_restarts_its_counter() {
    for restarts in [true, false] {
        let (mut bench, old, ours) = half_secure();
        for index in (60_000..=70_000u64).step_by(100) {
            bench.now.0 += 2_000_000;
            bench.send(A, peer_a(), &old.voice(index)).unwrap();
        }
        bench.answer(A, secure(peer_a(), &ours, &key(9)));
        let new = SecurePeer::new(&key(9), &ours);
        // SDES peers begin at zero (TDR-MED-007), those that take RFC 3711 §3.3.1 by the letter
        // go on counting.
        let first = if restarts { 70_001 & 0xffff } else { 70_001 };
        for index in first..first + 100 {
            bench.wait_ms(20);
            let heard = bench.send(A, peer_a(), &new.voice(index)).map(|_| ());
            assert_eq!(heard, Ok(()), "restarts: {restarts}, index {index}");
        }
        assert_eq!(
            bench.send(A, peer_a(), &new.voice(first)),
            Err(DropReason::Replay)
        );
    }
}

/// Between two phones of a user, say: the key of before may come back at once, or after the time for which it is kept
/// beside another one. The peer goes on counting or begins at zero, and what was recorded is heard in neither case.
#[test]
fn a_key_that_comes_back_goes_on_or_begins_anew_and_no_recording_is_heard() {
    for case in 0..12 {
        let away_ms = [200, 8_000, 60_000][case / 4];
        let (begins_anew, is_replayed_first) = (case % 2 == 0, case % 4 < 2);
        let (mut bench, one, ours) = half_secure();
        let two = SecurePeer::new(&key(9), &ours);
        // The clock and the numbers are the phones' common one.
        let said = |peer: &SecurePeer, index: u64, number: u64| {
            let plain = rtp(8, number as u16, number as u32 * 160, 0x2222, b"voice");
            peer.protect(&plain, index)
        };
        let replay = |bench: &mut Bench, recorded: &[Vec<u8>]| {
            for packet in recorded {
                bench.wait_ms(20);
                let fault = bench.send(A, peer_a(), packet).unwrap_err();
                let is_refused = matches!(fault, DropReason::Replay | DropReason::Authentication);
                assert!(is_refused, "case {case}: {fault:?}");
            }
        };
        let mut recorded = Vec::new();
        for number in (60_000..70_000).step_by(100) {
            bench.wait_ms(2_000);
            for number in number..number + 2 {
                recorded.push(said(&one, number, number));
                let heard = bench.send(A, peer_a(), &recorded[recorded.len() - 1]);
                heard.unwrap();
            }
        }
        let mut number = 69_902;
        bench.answer(A, secure(peer_a(), &ours, &key(9)));
        for at in 0..away_ms / 20 {
            bench.run_ms(20);
            // Two are not enough to prove the other key.
            if away_ms < 10_000 && at >= 2 {
                continue;
            }
            let packet = said(&two, number & 0xffff, number);
            bench.send(A, peer_a(), &packet).unwrap();
            number += 1;
        }
        bench.answer(A, secure(peer_a(), &ours, &key(1)));
        if is_replayed_first {
            replay(&mut bench, &recorded);
        }
        for _ in 0..200 {
            bench.wait_ms(20);
            let index = match begins_anew {
                true => number & 0xffff,
                false => number,
            };
            let packet = said(&one, index, number);
            let heard = bench.send(A, peer_a(), &packet).map(|_| ());
            assert_eq!(heard, Ok(()), "case {case}, index {index}");
            number += 1;
        }
        replay(&mut bench, &recorded);
        let index = match begins_anew {
            true => number & 0xffff,
            false => number,
        };
        let next = said(&one, index, number);
        assert!(bench.send(A, peer_a(), &next).is_ok(), "case {case}");
    }
}

#[test]
fn a_peer_that_answers_with_our_own_key_is_heard_but_our_packets_are_not_taken_back() {
    let mut bench = Bench::allocated([ProtectionWanted::Sdes(vec![SUITE]), ProtectionWanted::None]);
    let ours = bench.local[0].streams[0].keys[0].clone();
    bench.answer(A, secure(peer_a(), &ours, &ours));
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    let mut peer = SecurePeer::new(&ours, &ours);
    for index in 1..50u16 {
        bench.wait_ms(20);
        assert!(bench.send(A, peer_a(), &peer.voice(index.into())).is_ok());
        let voice = rtp(8, index, 0, 5, b"voice");
        let (_, mut packet) = bench.send(B, peer_b(), &voice).unwrap();
        let reflected = packet.clone();
        assert!(peer.receiver.unprotect_rtp(&mut packet, bench.now).is_ok());
        let elsewhere = SocketAddr::new(peer_a().ip(), peer_a().port() + 2);
        assert!(bench.send(A, elsewhere, &reflected).is_err());
    }
}
