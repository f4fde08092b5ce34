//! Faxes over UDPTL: what passes, what does not, and that audio comes back (MED-330 to MED-332).

use crate::common::{A, B, Bench, address, peer_a, peer_b, terms};
use media_api::*;
use std::net::SocketAddr;

fn fax(remote: SocketAddr) -> NegotiatedStream {
    NegotiatedStream {
        content: Content::Udptl,
        remote_rtcp: SocketAddr::new(remote.ip(), 0),
        payloads: Vec::new(),
        source: SourcePolicy::Restricted(Nearby::default()),
        ice: None,
        ptime_ms: 10,
        ..terms(remote)
    }
}

fn faxing() -> Bench {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    bench.answer(A, fax(peer_a()));
    bench.answer(B, fax(peer_b()));
    bench
}

#[test]
fn datagrams_pass_untouched_whatever_they_look_like() {
    let mut bench = faxing();
    // Beginnings that elsewhere mean STUN, DTLS, RTP and RTCP.
    for (start, length) in [(0u8, 3), (20, 40), (0x80, 120), (0xbf, 1472)] {
        bench.wait_ms(20);
        let packet = vec![start; length];
        let passed = bench.send(A, peer_a(), &packet).unwrap();
        assert_eq!(passed, (peer_b(), packet));
    }
    let stats = (bench.stats(A), bench.stats(B));
    assert_eq!((stats.0.received_packets, stats.1.sent_packets), (5, 5));
}

#[test]
fn sizes_strangers_and_floods_are_stopped() {
    let mut bench = faxing();
    let refused = |bench: &mut Bench, from, length| bench.send(A, from, &vec![1; length]);
    assert_eq!(refused(&mut bench, peer_a(), 2), Err(DropReason::Malformed));
    assert_eq!(
        refused(&mut bench, peer_a(), 1473),
        Err(DropReason::Malformed)
    );
    let stranger = address("203.0.113.99:4000");
    assert_eq!(refused(&mut bench, stranger, 50), Err(DropReason::Source));
    bench.wait_ms(2_000);
    let passed = (0..1_000)
        .filter(|_| refused(&mut bench, peer_a(), 50).is_ok())
        .count();
    assert_eq!(passed, 200, "a second's worth of the highest rate");
}

#[test]
fn numbers_of_a_fax_are_counted_and_none_keeps_a_datagram_back() {
    let mut bench = faxing();
    let send = |bench: &mut Bench, number: u16| {
        bench.wait_ms(20);
        let [high, low] = number.to_be_bytes();
        let packet = vec![high, low, 1, 2, 3];
        let passed = bench.send(A, peer_a(), &packet).unwrap();
        assert_eq!(passed, (peer_b(), packet), "{number}");
    };
    let figures = |bench: &Bench| {
        let stats = bench.stats(A);
        (
            stats.lost_packets,
            stats.reordered_packets,
            stats.repeated_packets,
        )
    };
    // 2 comes late, 4 and 5 do not come, 6 comes three times, 3 once more.
    for number in [0, 1, 3, 2, 6, 6, 3, 6] {
        send(&mut bench, number);
    }
    assert_eq!(figures(&bench), (2, 1, 3));
    // One that is far away is none of them; two in a row are a new beginning, of which nothing is lost.
    send(&mut bench, 40_000);
    send(&mut bench, 7);
    assert_eq!(figures(&bench), (2, 1, 3));
    for number in [40_000, 40_001, 40_003] {
        send(&mut bench, number);
    }
    assert_eq!(figures(&bench), (3, 1, 3));
    // Past the end, with what is left out there.
    let before = 65_534;
    for number in [before, before + 1, 1] {
        send(&mut bench, number);
    }
    assert_eq!(figures(&bench).0, 4);
    // The next fax begins at 0 again: none of its numbers was there before.
    bench.answer(A, terms(peer_a()));
    bench.answer(B, terms(peer_b()));
    bench.answer(A, fax(peer_a()));
    bench.answer(B, fax(peer_b()));
    for number in 0..5 {
        send(&mut bench, number);
    }
    assert_eq!(figures(&bench), (4, 1, 3));
}

#[test]
fn another_port_of_the_peer_is_learnt() {
    let mut bench = faxing();
    let moved = address("192.0.2.10:4100");
    for sequence in 0u8..3 {
        bench.wait_ms(20);
        let passed = bench.send(A, moved, &[0, sequence, 0, 0]);
        assert_eq!(passed.is_ok(), sequence == 2, "three in a row");
    }
    assert_eq!(bench.send(B, peer_b(), &[0, 0, 0]).unwrap().0, moved);
}

/// Behind a NAT the gateway of a fax hears nothing until it is sent to where its audio came from; neither side may wait
/// for the other to begin.
#[test]
fn a_fax_goes_at_once_to_where_the_audio_came_from() {
    let private = address("198.51.100.7:4000");
    let near = SourcePolicy::Restricted(Nearby {
        signalling: Some(peer_a().ip()),
        ..Nearby::default()
    });
    let behind_nat = |terms: NegotiatedStream| NegotiatedStream {
        source: near.clone(),
        ..terms
    };
    let mut bench = Bench::joined();
    bench.answer(A, behind_nat(terms(private)));
    for sequence in 1..4 {
        bench.wait_ms(20);
        assert_eq!(bench.voice(A, sequence).is_ok(), sequence == 3);
    }
    bench.answer(A, behind_nat(fax(private)));
    bench.answer(B, fax(peer_b()));
    bench.wait_ms(20);
    assert_eq!(bench.send(B, peer_b(), &[0, 0, 0]).unwrap().0, peer_a());
    // It is known: the first that it sends counts.
    bench.send(A, peer_a(), &[0, 0, 0]).unwrap();
    // And so the way back to audio.
    bench.answer(A, behind_nat(terms(private)));
    bench.answer(B, terms(peer_b()));
    bench.wait_ms(20);
    bench.voice(A, 4).unwrap();
}

#[test]
fn datagrams_that_are_repeated_are_learnt_as_well() {
    let mut bench = faxing();
    let moved = address("192.0.2.10:4100");
    for (sequence, is_learnt) in [(0u8, false), (0, false), (1, false), (1, false), (2, true)] {
        bench.wait_ms(20);
        let passed = bench.send(A, moved, &[0, sequence, 0, 0]);
        assert_eq!(passed.is_ok(), is_learnt, "{sequence}");
    }
}

#[test]
fn nothing_passes_while_one_side_still_has_audio() {
    let mut bench = Bench::joined();
    bench.answer(A, fax(peer_a()));
    assert_eq!(bench.send(A, peer_a(), &[0; 50]), Err(DropReason::NoPath));
    bench.wait_ms(20);
    assert_eq!(bench.voice(B, 1), Err(DropReason::NoPath));
}

#[test]
fn audio_goes_on_as_the_same_source_after_a_fax() {
    let mut bench = Bench::joined();
    let before = bench.voice(A, 1).unwrap();
    bench.answer(A, fax(peer_a()));
    bench.answer(B, fax(peer_b()));
    bench.wait_ms(20);
    bench.send(A, peer_a(), &[0; 50]).unwrap();
    bench.answer(A, terms(peer_a()));
    bench.answer(B, terms(peer_b()));
    bench.wait_ms(20);
    let after = bench.voice(A, 2).unwrap();
    assert_eq!(after.ssrc, before.ssrc);
    assert_eq!(after.sequence, before.sequence + 1);
    assert!(after.marker, "a new talk spurt");
}
