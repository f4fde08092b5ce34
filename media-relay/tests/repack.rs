//! Audio of a codec that both peers have, in packets as long as each asks for.

use crate::common::{A, B, Bench, codec, pcma, peer_a, peer_b, read, rtp, terms};
use media_api::*;

fn joined(payloads: Vec<PayloadBinding>, ptime_ms: u8) -> Bench {
    let mut bench = Bench::joined();
    bench.answer(
        A,
        NegotiatedStream {
            payloads: payloads.clone(),
            ..terms(peer_a())
        },
    );
    bench.answer(
        B,
        NegotiatedStream {
            payloads,
            ptime_ms,
            ..terms(peer_b())
        },
    );
    bench
}

/// What leaves for a packet of A's, in the order in which a worker sends it: what goes on first.
fn sends(bench: &mut Bench, packet: &[u8]) -> Vec<crate::common::Rtp> {
    let forwarded = bench.send_or_end(A, peer_a(), packet);
    let all = forwarded.into_iter().chain(bench.made());
    all.map(|(to, packet)| {
        assert_eq!(to, peer_b());
        read(&packet)
    })
    .collect()
}

/// Octets that all differ from their neighbours.
fn speech(from: usize, octets: usize) -> Vec<u8> {
    (from..from + octets).map(|at| (at * 7) as u8).collect()
}

#[test]
fn audio_is_cut_and_joined_as_the_peer_asks_for() {
    let g729 = || codec(18, 18, 5, "G729", 8_000);
    let g722 = || codec(9, 9, 6, "G722", 8_000);
    for (binding, per_10_ms) in [(pcma(), 80), (g722(), 80), (g729(), 10)] {
        for (from_ms, to_ms) in [
            (10, 20),
            (20, 10),
            (20, 30),
            (30, 20),
            (60, 20),
            (20, 60),
            (40, 30),
        ] {
            let mut bench = joined(vec![binding.clone()], to_ms);
            let octets = per_10_ms * from_ms / 10;
            let mut heard = Vec::new();
            for at in 0..60 {
                let payload = speech(at * octets, octets);
                let timestamp = at as u32 * from_ms as u32 * 8;
                let sent = rtp(binding.receive, 60_000 + at as u16, timestamp, 9, &payload);
                heard.extend(sends(&mut bench, &sent));
                bench.wait_ms(from_ms as u64);
            }
            let what = format!("{} {from_ms} to {to_ms}", binding.format.name);
            let wanted = per_10_ms * usize::from(to_ms) / 10;
            let all: Vec<u8> = heard.iter().flat_map(|own| own.payload.clone()).collect();
            assert_eq!(all, speech(0, all.len()), "{what}");
            assert!(60 * octets - all.len() < wanted, "{what}");
            for two in heard.windows(2) {
                assert_eq!(two[0].payload.len(), wanted, "{what}");
                assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1), "{what}");
                let step = two[1].timestamp.wrapping_sub(two[0].timestamp);
                assert_eq!(step, u32::from(to_ms) * 8, "{what}");
                assert!(!two[1].marker, "{what}");
            }
        }
    }
}

#[test]
fn a_loss_stays_a_gap_a_pause_none_and_nothing_comes_twice_or_late() {
    let mut bench = joined(vec![pcma()], 10);
    let voice = |bench: &mut Bench, sequence: u16, timestamp: u32| {
        bench.wait_ms(20);
        let packet = rtp(8, sequence, timestamp, 9, &speech(0, 160));
        sends(bench, &packet)
    };
    let first = voice(&mut bench, 1, 160);
    assert_eq!(first.len(), 2);
    // Three of 20 ms are lost, which are six of 10 ms.
    let after = voice(&mut bench, 5, 800);
    assert_eq!(after[0].sequence.wrapping_sub(first[1].sequence), 7);
    assert_eq!(after[0].timestamp.wrapping_sub(first[1].timestamp), 560);
    let late = rtp(8, 3, 480, 9, &speech(0, 160));
    assert_eq!(bench.send(A, peer_a(), &late), Err(DropReason::Sequence));
    let pause = voice(&mut bench, 6, 8_000);
    assert_eq!(pause[0].sequence.wrapping_sub(after[1].sequence), 1);
    assert_eq!(pause[0].timestamp.wrapping_sub(after[1].timestamp), 7_120);
}

#[test]
fn an_event_between_keeps_its_timestamp_and_its_place() {
    let events = codec(101, 101, 2, "telephone-event", 8_000);
    let mut bench = joined(vec![pcma(), events], 30);
    let mut heard = Vec::new();
    for at in 0..12u16 {
        let timestamp = u32::from(at) * 160;
        let packet = match at {
            5..=7 => {
                let end = if at == 7 { 0x8a } else { 10 };
                rtp(101, at, 800, 9, &[5, end, 0, 160])
            }
            _ => rtp(8, at, timestamp, 9, &speech(usize::from(at) * 160, 160)),
        };
        heard.extend(sends(&mut bench, &packet));
        bench.wait_ms(20);
    }
    for two in heard.windows(2) {
        assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1));
    }
    let events: Vec<_> = heard.iter().filter(|own| own.payload_type == 101).collect();
    assert_eq!(events.len(), 3);
    assert!(
        events
            .iter()
            .all(|own| own.timestamp == events[0].timestamp)
    );
    let audio: usize = heard
        .iter()
        .filter(|own| own.payload_type == 8)
        .map(|own| own.payload.len())
        .sum();
    // 100 ms before the event, and of the 80 ms after it what fills a packet.
    assert_eq!(audio, 100 * 8 + 60 * 8);
}

#[test]
fn what_something_of_ours_was_heard_in_place_of_leaves_no_gap() {
    let mut bench = joined(vec![pcma()], 10);
    let mut heard = Vec::new();
    for at in 0..100u16 {
        match at {
            10 => bench.play(
                B,
                crate::common::endless(crate::common::tone(&[([425, 0], 0)])),
            ),
            40 => bench.play(B, None),
            _ => {}
        }
        let packet = rtp(8, at, u32::from(at) * 160, 9, &speech(0, 160));
        heard.extend(sends(&mut bench, &packet));
        heard.extend(
            bench
                .run_ms(20)
                .into_iter()
                .filter(|(to, _)| *to == peer_b())
                .map(|(_, own)| read(&own)),
        );
    }
    assert!(heard.len() > 150, "{}", heard.len());
    for two in heard.windows(2) {
        assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1));
    }
}

/// Numbers and timestamps of what is heard of the packet `at` of A's, 20 ms long.
fn hears(bench: &mut Bench, at: u32) -> Vec<crate::common::Rtp> {
    let payload = speech(at as usize * 160, 160);
    sends(bench, &rtp(8, at as u16, at * 160, 9, &payload))
}

fn wished(ptime_ms: u8, direction: Direction) -> NegotiatedStream {
    NegotiatedStream {
        ptime_ms,
        direction,
        ..terms(peer_b())
    }
}

#[test]
fn nothing_of_before_a_hold_is_heard_after_it_and_it_leaves_no_gap() {
    // The side that is held, with a source that goes on, or one that is silent; and the side that holds.
    for (held, goes_on) in [(B, true), (B, false), (A, true)] {
        let mut bench = joined(vec![pcma()], 30);
        let mut before = None;
        for at in 0..10 {
            bench.wait_ms(20);
            before = hears(&mut bench, at).pop().or(before);
        }
        let before = before.unwrap();
        let mut told = wished(30, Direction::Inactive);
        if held == A {
            told = NegotiatedStream {
                direction: Direction::Inactive,
                ..terms(peer_a())
            };
        }
        bench.answer(held, told.clone());
        bench.wait_ms(1_001);
        let (mut number, mut next) = (9, 9 + 50);
        for _ in 0..3_000 {
            bench.wait_ms(20);
            next += 1;
            if goes_on {
                number += 1;
                let packet = rtp(8, number, next * 160, 9, &speech(0, 160));
                let dropped = bench.send(A, peer_a(), &packet);
                assert_eq!(dropped, Err(DropReason::Direction));
            }
        }
        bench.answer(
            held,
            NegotiatedStream {
                direction: Direction::SendReceive,
                ..told
            },
        );
        let mut after = Vec::new();
        let mut came = None;
        while after.is_empty() {
            bench.wait_ms(20);
            next += 1;
            came = came.or(Some(next));
            number += 1;
            let payload = speech(next as usize * 160, 160);
            after = sends(&mut bench, &rtp(8, number, next * 160, 9, &payload));
        }
        let first = &after[0];
        assert_eq!(first.sequence, before.sequence.wrapping_add(1));
        assert!(first.marker);
        let came = came.unwrap() as usize;
        assert_eq!(first.payload, speech(came * 160, 240), "{held:?} {goes_on}");
        let passed = first.timestamp.wrapping_sub(before.timestamp);
        let expected = (1_001 + 3_000 * 20) * 8;
        assert!(
            passed.abs_diff(expected) < 800,
            "{held:?} {goes_on}: {passed} for {expected}"
        );
    }
}

#[test]
fn one_lost_beside_a_pause_is_one() {
    let noise = codec(13, 13, 7, "CN", 8_000);
    let events = codec(101, 101, 2, "telephone-event", 8_000);
    let mut bench = joined(vec![pcma(), noise, events], 10);
    let first = hears(&mut bench, 1).pop().unwrap();
    bench.wait_ms(20);
    let quiet = sends(&mut bench, &rtp(13, 2, 320, 9, &[40]));
    assert_eq!(quiet[0].sequence, first.sequence + 1);
    bench.wait_ms(10_000);
    // Number 3 is lost, which is two of 10 ms.
    let voice = rtp(8, 4, 320 + 80_000, 9, &speech(0, 160));
    let after = sends(&mut bench, &voice);
    assert_eq!(after[0].sequence, quiet[0].sequence + 3);
    // A digit of 200 ms, and one lost behind it.
    let digit = rtp(101, 5, 320 + 80_160, 9, &[5, 0x8a, 6, 64]);
    let digit = sends(&mut bench, &digit).pop().unwrap();
    let voice = rtp(8, 7, 320 + 80_160 + 1_600, 9, &speech(0, 160));
    let after = sends(&mut bench, &voice);
    assert_eq!(after[0].sequence, digit.sequence + 3);
    // A clock that is set back.
    let before = after.last().unwrap().sequence;
    let voice = rtp(8, 9, 160, 9, &speech(0, 160));
    assert_eq!(sends(&mut bench, &voice)[0].sequence, before + 3);
}

#[test]
fn a_stream_that_fits_again_passes_as_it_is_and_reordering_stays_reordering() {
    let mut bench = joined(vec![pcma()], 20);
    let mut heard = Vec::new();
    let mut timestamp = 0;
    let mut octets = 0;
    for at in 0..120u16 {
        let length = if at == 20 { 80 } else { 160 };
        let packet = rtp(8, at, timestamp, 9, &speech(octets, length));
        heard.extend(sends(&mut bench, &packet));
        timestamp += length as u32;
        octets += length;
        // The arrival is not even, and nobody sees it in the timestamps.
        bench.wait_ms(if at % 2 == 0 { 13 } else { 27 });
    }
    let all: Vec<u8> = heard.iter().flat_map(|own| own.payload.clone()).collect();
    assert_eq!(all, speech(0, octets), "nothing is held any more");
    for two in heard.windows(2) {
        assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1));
        let step = two[1].timestamp.wrapping_sub(two[0].timestamp);
        assert_eq!(step as usize, two[0].payload.len());
        assert!(!two[1].marker);
    }
    let last = heard.last().unwrap().sequence;
    let mut voice = |at: u16| {
        let packet = rtp(8, at, timestamp + u32::from(at - 120) * 160, 9, &[0; 160]);
        sends(&mut bench, &packet)[0].sequence.wrapping_sub(last)
    };
    assert_eq!([121, 120, 123, 122].map(&mut voice), [2, 1, 4, 3]);
}

#[test]
fn what_is_longer_than_any_packet_of_ours_is_cut_too() {
    for (from_ms, to_ms) in [(80, 20), (100, 20), (160, 40)] {
        let mut bench = joined(vec![pcma()], to_ms);
        let payload = speech(0, from_ms * 8);
        let heard = sends(&mut bench, &rtp(8, 1, 160, 9, &payload));
        let wanted = usize::from(to_ms) * 8;
        assert_eq!(heard.len(), payload.len() / wanted);
        assert!(heard.iter().all(|own| own.payload.len() == wanted));
    }
    // Nobody has to understand more.
    let mut bench = joined(vec![codec(18, 18, 5, "G729", 8_000)], 20);
    let heard = sends(&mut bench, &rtp(18, 1, 160, 9, &[0; 210]));
    assert_eq!(heard[0].payload.len(), 210);
    let heard = sends(&mut bench, &rtp(18, 2, 1_840, 9, &[0; 200]));
    assert_eq!(heard.len(), 10);
}
