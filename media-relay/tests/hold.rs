//! Hold, resume, silence and one-way media.

use crate::common::{A, B, Bench, address, peer_a, peer_b, rtp, terms};
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
fn silence_is_told_after_its_time_and_whenever_it_has_lasted_as_long_again() {
    let mut bench = Bench::joined();
    bench.join(20_000);
    bench.run_ms(19_900);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(200);
    assert_eq!(silences(&mut bench), [A, B]);
    bench.run_ms(19_800);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(200);
    assert_eq!(silences(&mut bench), [A, B]);
    // A sign of life begins it anew.
    bench.voice(A, 1).unwrap();
    bench.run_ms(19_800);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(5_000);
    let mut told = silences(&mut bench);
    told.sort();
    assert_eq!(told, [A, B]);
}

#[test]
fn silence_is_told_again_once_a_longer_limit_is_over() {
    let mut bench = Bench::joined();
    bench.join(30_000);
    bench.run_ms(30_100);
    assert_eq!(silences(&mut bench), [A, B]);
    bench.join(300_000);
    bench.run_ms(269_000);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(1_000);
    assert_eq!(silences(&mut bench), [A, B]);
}

#[test]
fn who_was_agreed_with_later_is_told_to_be_silent_together_with_the_other_one() {
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    bench.answer(B, terms(peer_b()));
    bench.join(30_000);
    bench.run_ms(1_000);
    // The caller's ACK has its answer.
    bench.answer(A, terms(peer_a()));
    bench.run_ms(29_900);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(200);
    assert_eq!(silences(&mut bench), [A, B]);
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

#[test]
fn a_hold_of_the_other_party_gives_no_more_time_to_who_was_heard_before() {
    let mut bench = Bench::joined();
    bench.join(10_000);
    bench.voice(A, 1).unwrap();
    bench.run_ms(6_000);
    bench.answer(B, held(peer_b()));
    bench.answer(B, terms(peer_b()));
    bench.run_ms(3_900);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(200);
    assert_eq!(silences(&mut bench), [A]);
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
        // B falls silent, as with voice activity detection, and goes on to report.
        if sequence % 200 == 150 {
            let report = [0x80, 201, 0, 1, 0, 0, 0x10, 1];
            bench.send_rtcp(B, address("198.51.100.20:6001"), &report);
        }
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

#[test]
fn what_a_peer_sends_against_hold_leaves_no_gap_after_resume() {
    let mut bench = Bench::joined();
    let before = bench.voice(A, 100).unwrap();
    bench.answer(A, held(peer_a()));
    bench.wait_ms(1_001);
    // Half a cycle of sequence numbers would upset the roll-over counter of an SRTP peer.
    let mut sequence = 100u16;
    for _ in 0..33_000 {
        bench.wait_ms(20);
        sequence = sequence.wrapping_add(1);
        assert_eq!(bench.voice(A, sequence), Err(DropReason::Direction));
    }
    bench.answer(A, terms(peer_a()));
    let after = bench.voice(A, sequence.wrapping_add(1)).unwrap();
    assert_eq!(after.sequence, before.sequence + 1);
    assert!(after.marker);
}

#[test]
fn a_clock_that_stands_still_during_hold_is_not_jitter() {
    let mut bench = Bench::joined();
    for sequence in 0..50 {
        bench.wait_ms(20);
        bench.voice(A, sequence).unwrap();
    }
    bench.answer(A, held(peer_a()));
    bench.wait_ms(60_000);
    // The first packet overtakes the signalling.
    assert_eq!(bench.voice(A, 50), Err(DropReason::Direction));
    bench.answer(A, terms(peer_a()));
    for sequence in 51..100 {
        bench.wait_ms(20);
        bench.voice(A, sequence).unwrap();
    }
    assert!(bench.stats(A).max_jitter_us < 1_000);
}

#[test]
fn a_peer_that_holds_us_may_be_silent() {
    for (remote, direction) in [
        (peer_a(), Direction::Receive),
        (address("0.0.0.0:4000"), Direction::Receive),
        (peer_a(), Direction::Inactive),
    ] {
        let mut bench = Bench::joined();
        bench.join(20_000);
        bench.answer(
            A,
            NegotiatedStream {
                direction,
                ..terms(remote)
            },
        );
        for sequence in 0..50 {
            bench.run_ms(10_000);
            let _ = bench.voice(B, sequence);
        }
        assert_eq!(silences(&mut bench), [], "{remote} {direction:?}");
        bench.answer(A, terms(peer_a()));
        for sequence in 50..52 {
            bench.run_ms(10_100);
            let _ = bench.voice(B, sequence);
        }
        assert_eq!(silences(&mut bench), [A]);
    }
}

#[test]
fn a_long_ring_with_early_media_is_not_silence_once_it_is_answered() {
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    bench.answer_as(A, terms(peer_a()), ForkId(0), Stage::Preview);
    bench.answer_as(B, terms(peer_b()), ForkId(1), Stage::Preview);
    bench.join(0);
    bench.run_ms(90_000);
    bench.answer(A, terms(peer_a()));
    bench.answer_as(B, terms(peer_b()), ForkId(1), Stage::Final);
    bench.join(20_000);
    bench.run_ms(19_900);
    assert_eq!(silences(&mut bench), []);
    bench.run_ms(200);
    assert_eq!(silences(&mut bench), [A, B]);
}

#[test]
fn hold_by_a_blank_address_does_not_forget_where_the_peer_was_found() {
    let nat = address("198.51.100.77:31000");
    let behind_nat = |remote: &str, direction| NegotiatedStream {
        direction,
        source: SourcePolicy::Restricted(Nearby {
            signalling: Some(nat.ip()),
            ..Nearby::default()
        }),
        ..terms(address(remote))
    };
    let mut bench = Bench::joined();
    bench.answer(A, behind_nat("192.168.1.5:4000", Direction::SendReceive));
    for sequence in 1..=3 {
        let _ = bench.send(A, nat, &rtp(8, sequence, 0, 1, b"x"));
    }
    bench.answer(A, behind_nat("0.0.0.0:4000", Direction::Receive));
    assert!(
        bench.send(A, nat, &rtp(8, 4, 0, 1, b"music")).is_ok(),
        "a peer that holds us may play music"
    );
    assert_eq!(bench.voice(B, 1), Err(DropReason::Direction));
    bench.answer(A, behind_nat("192.168.1.5:4000", Direction::SendReceive));
    let packet = rtp(8, 2, 320, 0x1001, b"x");
    let (to, _) = bench.send(B, peer_b(), &packet).unwrap();
    assert_eq!(to, nat);
}

#[test]
fn a_refreshed_hold_lets_nothing_through() {
    let mut bench = Bench::joined();
    bench.answer(A, held(peer_a()));
    bench.wait_ms(1_001);
    assert_eq!(bench.voice(A, 1), Err(DropReason::Direction));
    bench.answer(A, held(peer_a()));
    bench.wait_ms(20);
    assert_eq!(bench.voice(A, 2), Err(DropReason::Direction));
    // An agreement that begins held has nothing on its way either.
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    bench.answer(A, held(peer_a()));
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    assert_eq!(bench.voice(A, 1), Err(DropReason::Direction));
}
