//! Hold, resume, silence and one-way media.

mod common;

use common::{A, B, Bench, SESSION, address, peer_a, peer_b, rtp, terms};
use media_api::*;

fn held(peer: std::net::SocketAddr) -> NegotiatedStream {
    NegotiatedStream {
        direction: Direction::Inactive,
        ..terms(peer)
    }
}

fn silences(bench: &mut Bench) -> Vec<EndpointId> {
    bench
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Silent { endpoint, .. } => Some(endpoint),
            _ => None,
        })
        .collect()
}

#[test]
fn after_resume_the_stream_goes_on_without_a_gap_and_with_the_time_that_passed() {
    let mut bench = Bench::joined();
    let before = bench.voice(A, 100).unwrap();
    bench.answer(B, held(peer_b()));
    for sequence in 101..150 {
        bench.wait_ms(20);
        assert_eq!(bench.voice(A, sequence), Err(DropReason::Direction));
    }
    bench.answer(B, terms(peer_b()));
    bench.wait_ms(20);
    let after = bench.voice(A, 150).unwrap();
    assert_eq!(
        (after.ssrc, after.sequence),
        (before.ssrc, before.sequence + 1)
    );
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(50 * 160));
    assert!(after.marker);
}

#[test]
fn reports_go_on_during_hold_but_never_to_the_unspecified_address() {
    let mut bench = Bench::joined();
    bench.answer(B, held(peer_b()));
    let reports = bench.run_ms(30_000);
    assert!(
        reports
            .iter()
            .filter(|(to, _)| *to == address("198.51.100.20:6001"))
            .count()
            >= 4
    );
    bench.answer(
        B,
        NegotiatedStream {
            remote_rtp: address("0.0.0.0:6000"),
            ..terms(peer_b())
        },
    );
    assert_eq!(bench.voice(A, 1), Err(DropReason::Direction));
    let reports = bench.run_ms(30_000);
    assert!(reports.iter().all(|(to, _)| to.ip() == peer_a().ip()));
    assert!(!reports.is_empty());
}

#[test]
fn silence_is_told_once_after_its_time_and_again_after_a_sign_of_life() {
    let mut bench = Bench::joined();
    bench.join(20_000);
    bench.run_ms(19_900);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(200);
    assert_eq!(silences(&mut bench), [A, B]);
    bench.run_ms(100_000);
    assert_eq!(silences(&mut bench), []);
    bench.voice(A, 1).unwrap();
    bench.run_ms(30_000);
    assert_eq!(silences(&mut bench), [A]);
}

#[test]
fn reports_count_as_life_and_hold_is_not_silence() {
    let mut bench = Bench::joined();
    bench.join(10_000);
    bench.answer(B, held(peer_b()));
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    for _ in 0..10 {
        bench.run_ms(5_000);
        bench.send_rtcp(A, address("192.0.2.10:4001"), &report);
    }
    assert_eq!(silences(&mut bench), []);
    // After resume the peer has the whole time again.
    bench.answer(B, terms(peer_b()));
    bench.run_ms(9_900);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(200);
    assert!(silences(&mut bench).contains(&B));
}

fn verdict(prepare: impl Fn(&mut Bench, u16)) -> Option<(EndpointId, OneWayKind)> {
    let mut bench = Bench::joined();
    for sequence in 0..400 {
        bench.run_ms(20);
        bench.voice(A, sequence).unwrap();
        prepare(&mut bench, sequence);
    }
    let mut faults = bench.events().into_iter().filter_map(|event| match event {
        Event::OneWay {
            endpoint,
            kind,
            session,
        } if session == SESSION => Some((endpoint, kind)),
        _ => None,
    });
    let fault = faults.next();
    assert_eq!(faults.next(), None, "told once");
    fault
}

#[test]
fn one_way_media_is_told_with_the_likely_reason() {
    let elsewhere = address("198.51.100.99:6000");
    assert_eq!(verdict(|_, _| {}), Some((B, OneWayKind::NoPackets)));
    assert_eq!(
        verdict(|bench, sequence| {
            let _ = bench.send(B, elsewhere, &rtp(8, sequence, 0, 5, b"x"));
        }),
        Some((B, OneWayKind::WrongSource))
    );
    assert_eq!(
        verdict(|bench, sequence| {
            let _ = bench.send(B, peer_b(), &rtp(0, sequence, 0, 5, b"x"));
        }),
        Some((B, OneWayKind::WrongPayloadType))
    );
    assert_eq!(
        verdict(|bench, sequence| {
            let _ = bench.voice(B, sequence);
        }),
        None
    );
}

#[test]
fn a_held_call_is_not_one_way() {
    let mut bench = Bench::joined();
    bench.answer(
        B,
        NegotiatedStream {
            direction: Direction::Send,
            ..terms(peer_b())
        },
    );
    for sequence in 0..600 {
        bench.run_ms(20);
        bench.voice(A, sequence).unwrap();
    }
    assert!(
        bench
            .events()
            .iter()
            .all(|event| !matches!(event, Event::OneWay { .. }))
    );
}

#[test]
fn a_session_refresh_neither_asks_again_for_media_nor_breaks_the_stream() {
    let mut bench = Bench::joined();
    let mut last = None;
    for sequence in 0..600u16 {
        bench.run_ms(20);
        let packet = bench.voice(A, sequence).unwrap();
        // B falls silent, as with voice activity detection.
        if sequence < 300 {
            bench.voice(B, sequence).unwrap();
        }
        if sequence == 305 {
            bench.answer(A, terms(peer_a()));
            bench.answer(B, terms(peer_b()));
        }
        if let Some(before) = last.replace(packet.sequence) {
            assert_eq!(packet.sequence, before + 1);
            assert!(!packet.marker);
        }
    }
    assert!(
        bench
            .events()
            .iter()
            .all(|event| !matches!(event, Event::OneWay { .. }))
    );
}
