//! What a forwarded packet looks like: headers, payload types, directions, forks.

use crate::common::{A, B, Bench, address, codec, pcma, peer_a, peer_b, read, rtp, terms};
use media_api::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn the_peer_sees_one_source_of_ours_and_the_payload_untouched() {
    let mut bench = Bench::joined();
    let first = bench.voice(A, 65_533).unwrap();
    assert!(
        first.marker,
        "the first packet of a source begins a talk spurt"
    );
    assert_ne!(first.ssrc, 0x1000);
    assert!(
        first.sequence < 1 << 15,
        "room before the first roll-over (MED-113)"
    );
    for step in 1..10u16 {
        bench.wait_ms(20);
        let next = bench.voice(A, 65_533u16.wrapping_add(step)).unwrap();
        assert_eq!(next.sequence, first.sequence + step);
        assert_eq!(
            (next.ssrc, next.payload_type, next.marker),
            (first.ssrc, 8, false)
        );
        assert_eq!(next.payload, [0xd5; 160]);
    }
}

#[test]
fn extension_contributing_sources_and_padding_do_not_cross() {
    let mut bench = Bench::joined();
    // PT 8, one CSRC, a one-word extension, "voice", three octets of padding.
    let packet = hex("b1080001000000a01122334400000009bede000110ff0000766f69636500");
    let packet = [&packet[..packet.len() - 1], &[0, 0, 3]].concat();
    let (to, packet) = bench.send(A, peer_a(), &packet).unwrap();
    assert_eq!(to, peer_b());
    assert_eq!(read(&packet).payload, b"voice");
}

#[test]
fn gaps_and_reordering_of_the_source_are_seen_by_the_peer() {
    let mut bench = Bench::joined();
    let first = bench.voice(A, 100).unwrap();
    for (sequence, wanted) in [(103, 3), (101, 1), (104, 4), (102, 2)] {
        let packet = bench.voice(A, sequence).unwrap();
        assert_eq!(packet.sequence, first.sequence + wanted);
        assert_eq!(
            packet.timestamp,
            first.timestamp.wrapping_add(u32::from(wanted) * 160)
        );
    }
    assert_eq!(bench.voice(A, 103), Err(DropReason::Duplicate));
    let stats = bench.stats(A);
    assert_eq!((stats.lost_packets, stats.reordered_packets), (0, 2));
}

/// However long its packets are, and whatever was said of them (TDR-MED-025).
#[test]
fn packets_of_ten_to_sixty_milliseconds_pass_as_they_are() {
    for ms in [10_u16, 20, 30, 40, 60] {
        let mut bench = Bench::joined();
        let ptime_ms = ms as u8;
        bench.answer(
            B,
            NegotiatedStream {
                ptime_ms,
                ..terms(peer_b())
            },
        );
        let mut before: Option<crate::common::Rtp> = None;
        for sequence in 1..=20 {
            let samples = ms * 8;
            let payload = vec![0x55; usize::from(samples)];
            let timestamp = u32::from(sequence) * u32::from(samples);
            let packet = rtp(8, sequence, timestamp, 9, &payload);
            bench.wait_ms(u64::from(ms));
            let (to, packet) = bench.send(A, peer_a(), &packet).unwrap();
            assert_eq!(to, peer_b());
            let packet = read(&packet);
            assert_eq!(packet.payload, payload);
            if let Some(before) = &before {
                let step = packet.timestamp.wrapping_sub(before.timestamp);
                assert_eq!(step, u32::from(samples), "{ms} ms");
                assert_eq!(packet.sequence, before.sequence.wrapping_add(1));
            }
            before = Some(packet);
        }
    }
}

#[test]
fn payload_types_are_translated_by_format_and_unknown_ones_dropped() {
    let mut bench = Bench::joined();
    let event = |receive, send| codec(receive, send, 2, "telephone-event", 8000);
    let g722 = codec(9, 9, 3, "G722", 8000);
    // A numbers its events 101 and wants 97; B numbers them 96 and wants 110.
    bench.answer(
        A,
        NegotiatedStream {
            payloads: vec![pcma(), event(101, 97), g722],
            ..terms(peer_a())
        },
    );
    bench.answer(
        B,
        NegotiatedStream {
            payloads: vec![codec(107, 118, 1, "PCMA", 8000), event(96, 110)],
            ..terms(peer_b())
        },
    );
    let mut forward = |to, from, payload_type, sequence| {
        let packet = rtp(
            payload_type,
            sequence,
            u32::from(sequence) * 160,
            9,
            b"1234",
        );
        bench.wait_ms(20);
        bench.send(to, from, &packet).map(|(_, packet)| {
            let packet = read(&packet);
            (packet.payload_type, packet.sequence)
        })
    };
    let (pcma_type, first) = forward(A, peer_a(), 8, 1).unwrap();
    assert_eq!(pcma_type, 118);
    assert_eq!(forward(A, peer_a(), 101, 2), Ok((110, first + 1)));
    // Agreed with A only: dropped, and B sees no gap where it was.
    assert_eq!(forward(A, peer_a(), 9, 3), Err(DropReason::PayloadType));
    assert_eq!(forward(A, peer_a(), 8, 4), Ok((118, first + 2)));
    assert_eq!(forward(A, peer_a(), 0, 5), Err(DropReason::PayloadType));
    assert_eq!(forward(B, peer_b(), 107, 1).unwrap().0, 8);
    assert_eq!(forward(B, peer_b(), 96, 2).unwrap().0, 97);
    assert_eq!(forward(B, peer_b(), 18, 3), Err(DropReason::PayloadType));
}

#[test]
fn old_payload_types_are_understood_for_a_minute_after_a_change_and_no_longer() {
    let mut bench = Bench::joined();
    let numbered = |own, events| NegotiatedStream {
        payloads: vec![
            codec(own, 8, 1, "PCMA", 8000),
            codec(events, events, 2, "telephone-event", 8000),
        ],
        ..terms(peer_a())
    };
    bench.answer(
        B,
        NegotiatedStream {
            payloads: vec![pcma(), codec(110, 110, 2, "telephone-event", 8000)],
            ..terms(peer_b())
        },
    );
    bench.answer(A, numbered(8, 101));
    let mut sequence = 0;
    let mut hears = |bench: &mut Bench, payload_type| {
        sequence += 1;
        let packet = rtp(
            payload_type,
            sequence,
            u32::from(sequence) * 160,
            9,
            b"1234",
        );
        bench.wait_ms(20);
        let sent = bench.send(A, peer_a(), &packet);
        sent.map(|(_, packet)| read(&packet).payload_type)
    };
    assert_eq!(hears(&mut bench, 101), Ok(110));
    assert_eq!(hears(&mut bench, 96), Err(DropReason::PayloadType));
    bench.answer(A, numbered(107, 96));
    // Both numbers mean the same.
    for (number, means) in [(107, 8), (8, 8), (96, 110), (101, 110)] {
        assert_eq!(hears(&mut bench, number), Ok(means));
    }
    bench.run_ms(59_000);
    assert_eq!(hears(&mut bench, 8), Ok(8));
    bench.run_ms(1_000);
    assert_eq!(hears(&mut bench, 8), Err(DropReason::PayloadType));
    assert_eq!(hears(&mut bench, 101), Err(DropReason::PayloadType));
    assert_eq!(hears(&mut bench, 107), Ok(8));
    assert_eq!(hears(&mut bench, 96), Ok(110));
}

#[test]
fn an_old_number_that_means_something_else_now_means_that() {
    let mut bench = Bench::joined();
    let pcmu = |number| codec(number, 0, 3, "PCMU", 8000);
    bench.answer(
        B,
        NegotiatedStream {
            payloads: vec![pcma(), pcmu(0)],
            ..terms(peer_b())
        },
    );
    let agree = |payloads| NegotiatedStream {
        payloads,
        ..terms(peer_a())
    };
    bench.answer(A, agree(vec![codec(96, 8, 1, "PCMA", 8000)]));
    bench.answer(A, agree(vec![pcmu(96)]));
    bench.wait_ms(20);
    let (_, packet) = bench
        .send(A, peer_a(), &rtp(96, 1, 160, 9, b"1234"))
        .unwrap();
    assert_eq!(read(&packet).payload_type, 0);
}

#[test]
fn the_packets_of_a_digit_keep_one_timestamp_and_the_marker_of_the_first() {
    let mut bench = Bench::joined();
    let event = codec(101, 96, 2, "telephone-event", 8000);
    for (endpoint, peer) in [(A, peer_a()), (B, peer_b())] {
        let payloads = vec![pcma(), event.clone()];
        bench.answer(
            endpoint,
            NegotiatedStream {
                payloads,
                ..terms(peer)
            },
        );
    }
    // Voice of the same source first, so that the digit does not begin an epoch.
    let voice = rtp(8, 0x03e7, 0x26_70, 0x1122_3344, &[0xd5; 160]);
    let (_, voice) = bench.send(A, peer_a(), &voice).unwrap();
    let voice = read(&voice);
    let digit: Vec<_> = [
        "80e503e80002710011223344050a00a0",
        "806503e90002710011223344050a0140",
        "806503ea0002710011223344050a01e0",
        "806503eb0002710011223344058a03c0",
        "806503ec0002710011223344058a03c0",
        "806503ed0002710011223344058a03c0",
    ]
    .iter()
    .map(|packet| {
        bench.wait_ms(20);
        read(&bench.send(A, peer_a(), &hex(packet)).unwrap().1)
    })
    .collect();
    let timestamp = voice.timestamp.wrapping_add(0x2_7100 - 0x2670);
    for (step, packet) in (0u16..).zip(&digit) {
        assert_eq!(packet.payload_type, 96);
        assert_eq!(packet.timestamp, timestamp);
        assert_eq!(packet.sequence, voice.sequence + 1 + step);
        assert_eq!(packet.marker, step == 0);
    }
    assert_eq!(digit[5].payload, hex("058a03c0"));
    assert_eq!(bench.stats(A).codec.as_deref(), Some("PCMA"));
}

#[test]
fn a_changed_source_goes_on_in_the_same_stream() {
    let mut bench = Bench::joined();
    let before = bench.voice(A, 500).unwrap();
    bench.wait_ms(120);
    let packet = rtp(8, 9, 77, 0xabcd, &[0xd5; 160]);
    let (_, packet) = bench.send(A, peer_a(), &packet).unwrap();
    let after = read(&packet);
    assert_eq!(
        (after.ssrc, after.sequence),
        (before.ssrc, before.sequence + 1)
    );
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(960));
    assert!(after.marker);
}

#[test]
fn directions_are_kept_on_both_sides() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    // A becomes recvonly: we only send to it.
    bench.answer(
        A,
        NegotiatedStream {
            direction: Direction::Send,
            ..terms(peer_a())
        },
    );
    assert!(
        bench.voice(A, 2).is_ok(),
        "what was on its way still passes for a second"
    );
    bench.wait_ms(1_001);
    assert_eq!(bench.voice(A, 3), Err(DropReason::Direction));
    assert!(bench.voice(B, 1).is_ok());
    // A becomes sendonly: we must not send to it.
    bench.answer(
        A,
        NegotiatedStream {
            direction: Direction::Receive,
            ..terms(peer_a())
        },
    );
    assert_eq!(bench.voice(B, 2), Err(DropReason::Direction));
    assert!(bench.voice(A, 4).is_ok());
}

#[test]
fn nothing_passes_before_an_answer_or_without_a_bridge() {
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    assert_eq!(bench.voice(A, 1), Err(DropReason::NoPath));
    bench.answer(A, terms(peer_a()));
    assert_eq!(bench.voice(A, 1), Err(DropReason::NoPath));
    bench.answer(B, terms(peer_b()));
    assert_eq!(bench.voice(A, 2), Err(DropReason::NoPath));
    bench.join(0);
    assert!(bench.voice(A, 3).is_ok());
    bench.command(Command::Update {
        session: crate::common::SESSION,
        plan: BridgePlan::default(),
    });
    assert_eq!(bench.voice(A, 4), Err(DropReason::NoPath));
}

#[test]
fn a_flood_is_cut_to_twice_the_agreed_rate() {
    let mut bench = Bench::joined();
    let mut passed = 0;
    for sequence in 0..5000u16 {
        bench.now.0 += 2_000; // 500 packets per second for ten seconds.
        match bench.voice(A, sequence) {
            Ok(_) => passed += 1,
            Err(reason) => assert_eq!(reason, DropReason::Rate),
        }
    }
    assert!((1000..=1150).contains(&passed), "{passed}");
}

#[test]
fn a_peer_that_was_asked_for_short_packets_may_send_them() {
    let mut bench = Bench::joined();
    // What B wants to receive is what A is asked to send.
    bench.answer(
        B,
        NegotiatedStream {
            ptime_ms: 10,
            ..terms(peer_b())
        },
    );
    for sequence in 0..12_000u16 {
        // A little more than asked for: digits, a clock that is fast.
        bench.now.0 += 9_500;
        let packet = rtp(8, sequence, u32::from(sequence) * 80, 9, &[0xd5; 80]);
        bench.send(A, peer_a(), &packet).unwrap();
    }
}

#[test]
fn foreign_and_broken_packets_are_dropped_with_their_reason() {
    let mut bench = Bench::joined();
    let mut verdict = |packet: &[u8]| bench.send(A, peer_a(), packet).map(|_| ());
    assert_eq!(verdict(&[]), Err(DropReason::Malformed));
    assert_eq!(verdict(&[0x80, 8, 0]), Err(DropReason::Malformed));
    assert_eq!(
        verdict(&rtp(8, 1, 1, 1, &[0; 1600])),
        Err(DropReason::Malformed)
    );
    assert_eq!(
        verdict(&hex("a00800010000000111223344787800")),
        Err(DropReason::Malformed)
    );
    assert_eq!(
        verdict(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]),
        Err(DropReason::Malformed)
    );
    assert_eq!(verdict(&[22, 254, 253, 0, 0]), Err(DropReason::Malformed));
    assert_eq!(bench.stats(A).dropped_total(), 6);
}

#[test]
fn our_own_stream_is_taken_back_from_the_address_in_sdp_only() {
    let mut bench = Bench::joined();
    let ours = bench.voice(B, 1).unwrap().ssrc;
    let echo = rtp(8, 1, 1, ours, b"echo");
    // An echo test sends back what it got: that is its media.
    assert!(bench.send(A, peer_a(), &echo).is_ok());
    // From anywhere else it is a loop, or somebody playing with us.
    let mut bench = Bench::joined();
    let ours = bench.voice(B, 1).unwrap().ssrc;
    let elsewhere = std::net::SocketAddr::new(peer_a().ip(), peer_a().port() + 2);
    let echo = rtp(8, 1, 1, ours, b"echo");
    assert!(bench.send(A, elsewhere, &echo).is_err());
}

#[test]
fn the_newest_early_dialog_is_sent_to_and_any_may_be_heard() {
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    let forks = [address("198.51.100.31:5000"), address("198.51.100.32:5000")];
    bench.answer(A, terms(peer_a()));
    bench.join(0);
    for (fork, remote) in (1u8..).zip(forks) {
        bench.answer_as(B, terms(remote), ForkId(fork), Stage::Preview);
    }
    let (to, _) = bench.send(A, peer_a(), &rtp(8, 1, 160, 1, b"x")).unwrap();
    assert_eq!(to, forks[1]);
    assert!(
        bench
            .send(B, forks[0], &rtp(8, 1, 160, 1, b"ringback"))
            .is_ok()
    );
    // Two at once cannot both be heard: the first one is, until it pauses.
    assert_eq!(
        bench.send(B, forks[1], &rtp(8, 1, 160, 2, b"x")),
        Err(DropReason::Ssrc)
    );
    // The first fork answers: the other is dropped, the numbers go on.
    bench.answer_as(B, terms(forks[0]), ForkId(1), Stage::Final);
    let (to, _) = bench.send(A, peer_a(), &rtp(8, 2, 320, 1, b"x")).unwrap();
    assert_eq!(to, forks[0]);
    assert_eq!(
        bench.send(B, forks[1], &rtp(8, 2, 320, 2, b"x")),
        Err(DropReason::Source)
    );
    assert!(bench.send(B, forks[0], &rtp(8, 2, 320, 1, b"x")).is_ok());
}

#[test]
fn a_failed_offer_leaves_media_as_it_was() {
    let mut bench = Bench::joined();
    let before = bench.voice(A, 1).unwrap();
    let elsewhere = terms(address("198.51.100.99:7000"));
    bench.answer_as(B, elsewhere, ForkId(0), Stage::Preview);
    bench.command(Command::Rollback {
        session: crate::common::SESSION,
        endpoint: B,
    });
    bench.wait_ms(20);
    let (to, packet) = bench
        .send(A, peer_a(), &rtp(8, 2, 320, 0x1000, b"x"))
        .unwrap();
    assert_eq!(to, peer_b());
    assert_eq!(read(&packet).sequence, before.sequence + 1);
}

#[test]
fn a_removed_endpoint_frees_its_sockets_and_the_other_stays() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    bench.command(Command::Release {
        session: crate::common::SESSION,
        endpoint: Some(B),
        drain_ms: 0,
    });
    assert_eq!(bench.out.freed.len(), 2);
    assert_eq!(bench.voice(A, 2), Err(DropReason::NoPath));
    assert!(
        bench
            .events()
            .iter()
            .all(|event| !matches!(event, Event::Released { .. }))
    );
    bench.command(Command::Release {
        session: crate::common::SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    bench.command(Command::Release {
        session: crate::common::SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let released = bench
        .events()
        .iter()
        .filter(|event| matches!(event, Event::Released { .. }))
        .count();
    assert_eq!(released, 1);
    assert_eq!(
        (bench.stats(B).sent_packets, bench.stats(B).sent_rtcp),
        (1, 1)
    );
    let stats = bench.stats(A);
    assert_eq!(
        (stats.source, stats.codec.as_deref()),
        (Some(peer_a()), Some("PCMA"))
    );
}

#[test]
fn what_is_on_its_way_when_a_session_ends_is_still_let_through() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    let end = |drain_ms| Command::Release {
        session: crate::common::SESSION,
        endpoint: None,
        drain_ms,
    };
    let is_released = |bench: &mut Bench| {
        let events = bench.events();
        events
            .iter()
            .any(|event| matches!(event, Event::Released { .. }))
    };
    bench.command(end(500));
    bench.run_ms(400);
    bench.command(end(500));
    assert!(bench.voice(B, 1).is_ok());
    assert!(!is_released(&mut bench));
    assert!(bench.session.next_deadline().is_some());
    bench.run_ms(100);
    assert!(is_released(&mut bench), "the second wish adds nothing");
    assert_eq!(bench.out.freed.len(), 4);
    assert!(bench.voice(B, 2).is_err());
    // Whoever cannot wait need not.
    let mut bench = Bench::joined();
    bench.command(end(500));
    bench.command(end(0));
    assert!(is_released(&mut bench));
}

#[test]
fn every_datagram_has_exactly_one_outcome() {
    let mut bench = Bench::joined();
    bench.answer(
        A,
        NegotiatedStream {
            rtcp_mux: true,
            ..terms(peer_a())
        },
    );
    let mut seed = 1u64;
    let mut arrived = 0;
    for step in 0..20_000u32 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bench.now.0 += 15_000;
        let dice = (seed >> 33) as u32;
        let mut packet = rtp(
            (dice % 3 * 4) as u8,
            (step + dice % 5) as u16,
            step * 160,
            1,
            b"12345",
        );
        if dice.is_multiple_of(7) {
            let at = dice as usize % packet.len();
            packet[at] ^= (dice >> 8) as u8;
        }
        packet.truncate(if dice.is_multiple_of(11) {
            dice as usize % 20
        } else {
            packet.len()
        });
        let from = if dice.is_multiple_of(13) {
            address("203.0.113.66:1")
        } else {
            peer_a()
        };
        let mut slot = packet.clone();
        slot.resize(2048, 0);
        let socket = media_relay::session::SocketId(0);
        bench.session.packet(
            socket,
            from,
            &mut slot,
            packet.len(),
            bench.now,
            &mut bench.out,
        );
        arrived += 1;
    }
    let (a, b) = (bench.stats(A), bench.stats(B));
    assert_eq!(
        a.dropped_total() + a.received_rtcp + b.sent_packets,
        arrived
    );
    assert!(b.sent_packets > 1000);
}

#[test]
fn a_straggler_of_a_new_source_does_not_fill_a_hole_of_the_old_one() {
    let mut bench = Bench::joined();
    bench.voice(A, 100).unwrap();
    bench.voice(A, 103).unwrap();
    bench.wait_ms(120);
    let mut other = |sequence| {
        let packet = rtp(8, sequence, u32::from(sequence) * 160, 0xabcd, b"x");
        bench.send(A, peer_a(), &packet)
    };
    other(500).unwrap();
    // 102 and 101 were lost and stay lost.
    for sequence in [499, 498, 497] {
        assert!(other(sequence).is_err(), "{sequence}");
    }
    assert!(other(501).is_ok());
}

#[test]
fn packets_swapped_at_the_very_beginning_are_both_heard() {
    let mut bench = Bench::joined();
    let second = bench.voice(A, 2).unwrap();
    let first = bench.voice(A, 1).unwrap();
    assert_eq!(first.sequence.wrapping_add(1), second.sequence);
}

#[test]
fn a_new_agreement_lets_a_new_source_in_although_the_old_one_was_still_on_its_way() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    bench.answer(A, terms(peer_a()));
    bench.wait_ms(10);
    bench.voice(A, 2).unwrap();
    bench.wait_ms(20);
    let packet = rtp(8, 700, 0, 0xabcd, b"x");
    assert!(bench.send(A, peer_a(), &packet).is_ok());
    // Once: the old source is now the parallel one.
    assert_eq!(bench.voice(A, 3), Err(DropReason::Ssrc));
    // And not for ever.
    bench.answer(A, terms(peer_a()));
    for sequence in 701..900u16 {
        bench.wait_ms(20);
        let packet = rtp(8, sequence, u32::from(sequence) * 160, 0xabcd, b"x");
        bench.send(A, peer_a(), &packet).unwrap();
    }
    assert_eq!(bench.voice(A, 4), Err(DropReason::Ssrc));
}

#[test]
fn a_digit_with_a_clock_of_its_own_stays_one_digit_when_speech_comes_in_between() {
    let mut bench = Bench::joined();
    let payloads = vec![
        codec(111, 111, 1, "opus", 48_000),
        codec(101, 101, 2, "telephone-event", 8000),
    ];
    for (endpoint, peer) in [(A, peer_a()), (B, peer_b())] {
        bench.answer(
            endpoint,
            NegotiatedStream {
                payloads: payloads.clone(),
                ..terms(peer)
            },
        );
    }
    let mut send = |payload_type, sequence, timestamp| {
        bench.wait_ms(20);
        let packet = rtp(payload_type, sequence, timestamp, 9, b"x");
        read(&bench.send(A, peer_a(), &packet).unwrap().1).timestamp
    };
    let speech = send(111, 1, 960);
    let digit = send(101, 3, 77_000);
    // Overtaken by the digit.
    assert_eq!(send(111, 2, 1920), speech.wrapping_add(960));
    assert_eq!(send(101, 4, 77_000), digit);
    assert_eq!(send(111, 5, 4800), speech.wrapping_add(3840));
    assert_eq!(send(101, 6, 77_000), digit);
}
