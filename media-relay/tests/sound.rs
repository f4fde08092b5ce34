//! Sounds of ours in the stream toward a peer: numbers, pace, and who comes first.

use crate::common::{
    A, B, Bench, Rtp, SESSION, address, codec, endless, peer_a, peer_b, read, rtp,
};
use crate::common::{terms, tone};
use media_api::*;
use media_relay::Timestamp;
use media_relay::srtp::Receiver;

const RINGING: [([u16; 2], u16); 2] = [([425, 0], 1_000), ([0, 0], 4_000)];

fn ringing(beside: Beside) -> Option<Playing> {
    Some(Playing {
        sound: tone(&RINGING),
        times: None,
        beside,
    })
}

fn counted(sound: Sound, times: u16) -> Option<Playing> {
    Some(Playing {
        sound,
        times: Some(times),
        beside: Beside::Muted,
    })
}

/// What the peer of an endpoint hears while time passes, without what is due at its very end; each
/// packet with when it came.
fn heard(bench: &mut Bench, peer: std::net::SocketAddr, ms: u64) -> Vec<(Timestamp, Rtp)> {
    let end = Timestamp(bench.now.0 + ms * 1000);
    let mut heard = Vec::new();
    while let Some(due) = bench.session.next_deadline().filter(|due| *due < end) {
        bench.now = due.max(bench.now);
        heard.extend(tick(bench, peer).into_iter().map(|rtp| (bench.now, rtp)));
        let next = bench.session.next_deadline();
        assert!(
            next.is_none_or(|next| next > bench.now),
            "what is due is done"
        );
    }
    bench.now = end;
    heard
}

/// Lets the session do what is due now; the RTP that goes to a peer.
fn tick(bench: &mut Bench, peer: std::net::SocketAddr) -> Vec<Rtp> {
    bench.session.tick(bench.now, &mut bench.out);
    let made = bench.made();
    let to_peer = made.iter().filter(|(to, _)| *to == peer);
    to_peer.map(|(_, packet)| read(packet)).collect()
}

fn told(bench: &mut Bench) -> Vec<(EndpointId, bool)> {
    let told = bench.events().into_iter().filter_map(|event| match event {
        Event::Played {
            session,
            endpoint,
            heard,
        } if session == SESSION => Some((endpoint, heard)),
        _ => None,
    });
    told.collect()
}

/// Every packet continues the one before: same source, next number, time that fits.
fn assert_continuous(packets: &[(Timestamp, Rtp)], marked: &[usize]) {
    for (at, pair) in packets.windows(2).enumerate() {
        let [(before_at, before), (after_at, after)] = pair else {
            unreachable!("windows of two")
        };
        assert_eq!(after.ssrc, before.ssrc, "packet {}", at + 1);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        let step = i64::from(after.timestamp.wrapping_sub(before.timestamp));
        let passed = after_at.since_us(*before_at) as i64 * 8 / 1000;
        assert!(step >= 1, "packet {}: {step}", at + 1);
        assert!((step - passed).abs() <= 160, "{step} after {passed}");
        assert_eq!(
            after.marker,
            marked.contains(&(at + 1)),
            "packet {}",
            at + 1
        );
    }
}

#[test]
fn a_tone_between_forwarded_media_goes_on_in_their_stream() {
    let mut bench = Bench::joined();
    let mut packets = Vec::new();
    for sequence in 100..110 {
        bench.wait_ms(20);
        let now = bench.now;
        packets.push((now, bench.voice(A, sequence).unwrap()));
    }
    bench.wait_ms(3);
    bench.play(B, ringing(Beside::Muted));
    let sound = heard(&mut bench, peer_b(), 998);
    assert_eq!(sound[0].0, Timestamp(packets[9].0.0 + 20_000), "no overlap");
    assert_eq!(sound.len(), 50);
    assert!(sound.iter().all(|(_, rtp)| rtp.payload.len() == 160));
    packets.extend(sound);
    bench.play(B, None);
    bench.wait_ms(1);
    for sequence in 150..160 {
        let now = bench.now;
        packets.push((now, bench.voice(A, sequence).unwrap()));
        bench.wait_ms(20);
    }
    assert_continuous(&packets, &[10, 60]);
    // What follows the last packet of the tone does not begin within it, and does not stay late.
    assert_eq!(
        packets[60].1.timestamp,
        packets[59].1.timestamp.wrapping_add(160)
    );
    bench.wait_ms(500);
    bench.play(B, ringing(Beside::Muted));
    let again = heard(&mut bench, peer_b(), 20);
    let passed = again[0].0.since_us(packets[0].0) * 8 / 1000;
    let stamped = again[0].1.timestamp.wrapping_sub(packets[0].1.timestamp);
    assert_eq!(u64::from(stamped), passed, "by the wall clock again");
}

#[test]
fn a_secured_peer_opens_everything_with_one_context() {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    let mut bench = Bench::joined();
    let secured = NegotiatedStream {
        protection: Protection::Sdes {
            local: key(1),
            remote: key(2),
        },
        ..terms(peer_b())
    };
    bench.answer(B, secured);
    let mut peer = Receiver::new(&key(1));
    let mut packets = Vec::new();
    let mut open = |at: Timestamp, packet: &[u8]| {
        let mut packet = packet.to_vec();
        let length = peer.unprotect_rtp(&mut packet, at).unwrap();
        packets.push((at, read(&packet[..length])));
    };
    for round in 0..3u16 {
        for at in 0..5 {
            let sequence = round * 100 + at;
            let voice = rtp(8, sequence, u32::from(sequence) * 160, 0x1000, &[0xd5; 160]);
            let (_, packet) = bench.send(A, peer_a(), &voice).unwrap();
            open(bench.now, &packet);
            bench.wait_ms(20);
        }
        bench.play(B, ringing(Beside::Muted));
        let end = bench.now.0 + 99_000;
        while let Some(due) = bench.session.next_deadline().filter(|due| due.0 <= end) {
            bench.now = due;
            bench.session.tick(due, &mut bench.out);
            for (to, packet) in bench.made() {
                if to == peer_b() {
                    open(due, &packet);
                }
            }
        }
        bench.now = Timestamp(end + 1_000);
        bench.play(B, None);
    }
    assert_eq!(packets.len(), 30);
    assert_continuous(&packets, &[5, 10, 15, 20, 25]);
    let stats = bench.stats(B);
    assert_eq!((stats.sent_packets, stats.generated_packets), (30, 15));
    assert_eq!(stats.sent_bytes, 30 * 172);
}

#[test]
fn a_new_key_protects_what_is_played_from_then_on() {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    let mut bench = Bench::joined();
    let mut sequences = Vec::new();
    for round in 1..4 {
        let secured = NegotiatedStream {
            protection: Protection::Sdes {
                local: key(round),
                remote: key(9),
            },
            ..terms(peer_b())
        };
        bench.answer(B, secured);
        if round == 1 {
            bench.play(B, ringing(Beside::Muted));
        }
        let mut peer = Receiver::new(&key(round));
        for (to, mut packet) in bench.run_ms(200) {
            if to == peer_b() {
                let length = peer.unprotect_rtp(&mut packet, bench.now).unwrap();
                sequences.push(read(&packet[..length]).sequence);
            }
        }
    }
    assert!(sequences.len() >= 30);
    let is_next = |pair: &[u16]| pair[1] == pair[0].wrapping_add(1);
    assert!(sequences.windows(2).all(is_next), "{sequences:?}");
}

#[test]
fn a_minute_of_packets_has_neither_drift_nor_gaps_however_late_the_ticks() {
    for ptime_ms in [10, 20, 30, 33, 60] {
        let mut bench = Bench::joined();
        bench.answer(
            B,
            NegotiatedStream {
                ptime_ms,
                ..terms(peer_b())
            },
        );
        bench.play(B, ringing(Beside::Muted));
        let start = bench.session.next_deadline().unwrap();
        let (mut packets, mut late) = (Vec::new(), 0);
        while bench.now.0 < start.0 + 60_000_000 {
            let due = bench.session.next_deadline().unwrap();
            // A worker is up to 17 ms late, never twice the same.
            late = (late + 7_919) % 17_000;
            bench.now = Timestamp(due.0 + late);
            packets.extend(tick(&mut bench, peer_b()));
        }
        let period = u64::from(ptime_ms);
        let wanted = (bench.now.0 - start.0) / 1000 / period + 1;
        assert_eq!(packets.len() as u64, wanted, "every {period} ms");
        let first = packets[0].timestamp;
        for (at, packet) in (0u32..).zip(&packets) {
            let samples = u32::from(ptime_ms) * 8;
            assert_eq!(packet.timestamp, first.wrapping_add(at * samples));
            assert_eq!(packet.payload.len() as u32, samples);
            assert_eq!(packet.marker, at == 0);
        }
    }
}

#[test]
fn what_is_more_than_60_ms_late_is_left_out_and_not_sent_in_a_burst() {
    let mut bench = Bench::joined();
    bench.play(B, ringing(Beside::Muted));
    let before = heard(&mut bench, peer_b(), 100);
    let last = before.last().unwrap().clone();
    let due = bench.session.next_deadline().unwrap();
    // Exactly 60 ms late is not late yet.
    bench.now = Timestamp(due.0 + 60_000);
    let burst = tick(&mut bench, peer_b());
    assert_eq!(burst.len(), 4);
    assert!(burst.iter().all(|packet| !packet.marker));
    // A worker that was stuck for two seconds.
    let due = bench.session.next_deadline().unwrap();
    bench.now = Timestamp(due.0 + 2_000_000);
    let burst = tick(&mut bench, peer_b());
    assert_eq!(burst.len(), 4);
    assert!(burst[0].marker && !burst[1].marker);
    assert_eq!(burst[0].sequence, last.1.sequence.wrapping_add(5));
    // Five packets on, and the 97 that were left out.
    let passed = burst[0].timestamp.wrapping_sub(last.1.timestamp);
    assert_eq!(passed, (5 + 97) * 160);
    // Another ten years pass in one step, and no later.
    bench.now.0 += 10 * 365 * 86_400 * 1_000_000;
    assert!(tick(&mut bench, peer_b()).len() <= 4);
    assert!(bench.session.next_deadline().unwrap() > bench.now);
}

#[test]
fn muted_media_are_counted_apart_and_missed_by_nobody() {
    let mut bench = Bench::joined();
    bench.join(2_000);
    bench.play(B, endless(tone(&RINGING)));
    let mut sound = Vec::new();
    for sequence in 0..400 {
        sound.extend(heard(&mut bench, peer_b(), 20));
        assert_eq!(bench.voice(A, sequence), Err(DropReason::Muted));
        bench.voice(B, sequence).unwrap();
    }
    assert_continuous(&sound, &[]);
    assert!(
        bench
            .events()
            .iter()
            .all(|event| matches!(event, Event::FirstMedia { .. } | Event::SourcePinned { .. })),
        "neither silent nor one-way"
    );
    let (a, b) = (bench.stats(A), bench.stats(B));
    assert_eq!(
        (a.received_packets, a.dropped(DropReason::Muted)),
        (400, 400)
    );
    assert_eq!((a.sent_packets, a.generated_packets), (400, 0));
    assert_eq!((b.sent_packets, b.generated_packets), (400, 400));
    assert_eq!((b.received_packets, b.dropped_total()), (400, 0));
    bench.play(B, None);
    let after = bench.voice(A, 400).unwrap();
    assert_eq!(
        after.sequence,
        sound.last().unwrap().1.sequence.wrapping_add(1)
    );
    assert!(after.marker);
}

#[test]
fn media_that_come_first_stop_the_tone_at_once_and_it_goes_on_when_they_are_quiet() {
    let mut bench = Bench::joined();
    bench.play(B, ringing(Beside::First { quiet_ms: 400 }));
    let mut packets = heard(&mut bench, peer_b(), 395);
    assert_eq!(packets.len(), 20);
    let mut last_voice = bench.now;
    for sequence in 1..=50 {
        last_voice = bench.now;
        packets.push((last_voice, bench.voice(A, sequence).unwrap()));
        assert_eq!(heard(&mut bench, peer_b(), 20), [], "only their media");
    }
    let sound = heard(&mut bench, peer_b(), 1_000);
    let pause = sound[0].0.since_us(last_voice);
    assert!((400_000..=405_000).contains(&pause), "{pause}");
    // The cadence goes on where it was: 600 ms of the tone are left.
    let loud = |rtp: &Rtp| rtp.payload.iter().any(|octet| *octet | 0x80 != 0xd5);
    assert_eq!(sound.iter().take_while(|(_, rtp)| loud(rtp)).count(), 30);
    packets.extend(sound);
    assert_continuous(&packets, &[20, 70]);
    assert_eq!(told(&mut bench), []);
}

#[test]
fn a_tone_that_comes_second_waits_for_media_that_flow_already() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    bench.wait_ms(150);
    bench.play(B, ringing(Beside::First { quiet_ms: 200 }));
    assert_eq!(heard(&mut bench, peer_b(), 49), []);
    assert_eq!(heard(&mut bench, peer_b(), 2).len(), 1);
    // However short the quiet is said to be, the tone does not come between two packets.
    bench.play(B, ringing(Beside::First { quiet_ms: 0 }));
    for sequence in 2..20 {
        bench.voice(A, sequence).unwrap();
        assert_eq!(heard(&mut bench, peer_b(), 60), []);
    }
    assert!(!heard(&mut bench, peer_b(), 60).is_empty());
}

#[test]
fn an_endpoint_that_is_joined_with_nobody_hears_its_tone() {
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    bench.answer_as(A, terms(peer_a()), ForkId(0), Stage::Preview);
    bench.play(A, ringing(Beside::First { quiet_ms: 400 }));
    let packets = heard(&mut bench, peer_a(), 2_000);
    assert_eq!(packets.len(), 100);
    assert!(packets[0].1.marker);
    assert_continuous(&packets, &[]);
    let reports = bench.run_ms(6_000);
    let counts = reports.iter().find_map(|(_, packet)| {
        let is_sender_report = packet[1] == 200;
        is_sender_report.then(|| u32::from_be_bytes(packet[20..24].try_into().unwrap()))
    });
    let sent = counts.expect("a report of what was sent");
    assert!((100..=500).contains(&sent), "{sent}");
}

#[test]
fn a_counted_sound_ends_after_its_plays_and_tells_it_once() {
    for (times, ms) in [(1, 300), (3, 900)] {
        let mut bench = Bench::joined();
        bench.play(B, counted(tone(&[([425, 0], 200), ([0, 0], 100)]), times));
        assert_eq!(heard(&mut bench, peer_b(), ms - 1).len() as u64, ms / 20);
        assert_eq!(told(&mut bench), []);
        assert_eq!(bench.voice(A, 1), Err(DropReason::Muted));
        assert_eq!(heard(&mut bench, peer_b(), 1_000), []);
        assert_eq!(told(&mut bench), [(B, true)]);
        bench.voice(A, 2).unwrap();
    }
    let mut bench = Bench::joined();
    bench.play(B, counted(tone(&RINGING), 0));
    assert_eq!(heard(&mut bench, peer_b(), 100), []);
    assert_eq!(told(&mut bench), [(B, true)]);
}

#[test]
fn another_sound_takes_the_place_of_the_first_without_a_word() {
    let mut bench = Bench::joined();
    bench.recordings = media_relay::Recordings::new([(SoundId(4), [1_000; 800].into())]).unwrap();
    bench.play(B, counted(tone(&RINGING), 1));
    let mut packets = heard(&mut bench, peer_b(), 199);
    bench.play(B, counted(Sound::Recording(SoundId(4)), 2));
    packets.extend(heard(&mut bench, peer_b(), 2_000));
    assert_eq!(packets.len(), 10 + 10);
    assert_continuous(&packets, &[10]);
    assert!(
        packets[19]
            .1
            .payload
            .iter()
            .all(|octet| *octet == packets[10].1.payload[0])
    );
    assert_eq!(told(&mut bench), [(B, true)]);
}

#[test]
fn the_first_format_that_can_be_made_is_sent_by_the_number_of_the_peer() {
    let all = [
        codec(9, 9, 1, "G722", 8_000),
        codec(101, 101, 2, "telephone-event", 8_000),
        codec(96, 97, 3, "L16", 8_000),
        codec(0, 0, 4, "PCMU", 8_000),
        codec(8, 8, 5, "pcma", 8_000),
    ];
    for (left_out, number, bytes) in [(0, 97, 320), (3, 0, 160), (4, 8, 160)] {
        let mut bench = Bench::joined();
        let payloads = all[left_out..].to_vec();
        bench.answer(
            B,
            NegotiatedStream {
                payloads,
                ..terms(peer_b())
            },
        );
        bench.play(B, endless(tone(&RINGING)));
        let packets = heard(&mut bench, peer_b(), 100);
        let is_right = |rtp: &Rtp| rtp.payload_type == number && rtp.payload.len() == bytes;
        assert!(packets.iter().all(|(_, rtp)| is_right(rtp)), "{packets:?}");
        assert!(!packets.is_empty());
    }
    let mut bench = Bench::joined();
    bench.answer(
        B,
        NegotiatedStream {
            payloads: vec![
                codec(96, 96, 1, "L16", 44_100),
                codec(18, 18, 6, "G729", 8_000),
            ],
            ..terms(peer_b())
        },
    );
    bench.play(B, endless(tone(&RINGING)));
    assert_eq!(told(&mut bench), [(B, false)], "at once");
    assert_eq!(heard(&mut bench, peer_b(), 1_000), []);
}

#[test]
fn noise_fills_what_the_other_side_leaves_empty_and_gives_way_at_once() {
    let comfort = codec(13, 13, 2, "CN", 8_000);
    let audio = codec(8, 8, 1, "PCMA", 8_000);
    let wide = codec(9, 9, 1, "G722", 8_000);
    for (payloads, number, bytes, pace_ms) in [
        (vec![audio.clone()], 8, 160, 20),
        (vec![audio.clone(), comfort.clone()], 13, 1, 60),
        (vec![wide, comfort], 13, 1, 60),
    ] {
        let mut bench = Bench::joined();
        let agreed = NegotiatedStream {
            payloads,
            ..terms(peer_b())
        };
        bench.answer(B, agreed);
        bench.voice(A, 1).unwrap();
        bench.wait_ms(20);
        bench.voice(A, 2).unwrap();
        bench.play(
            B,
            Some(Playing {
                sound: Sound::Noise,
                times: None,
                beside: Beside::First { quiet_ms: 1_000 },
            }),
        );
        assert_eq!(
            heard(&mut bench, peer_b(), 999),
            [],
            "a pause as between two words"
        );
        let packets = heard(&mut bench, peer_b(), 3_000);
        let is_right = |rtp: &Rtp| rtp.payload_type == number && rtp.payload.len() == bytes;
        assert!(packets.iter().all(|(_, rtp)| is_right(rtp)), "{packets:?}");
        let wanted = 3_000 / pace_ms;
        assert!(packets.len().abs_diff(wanted) <= 1, "{}", packets.len());
        assert_continuous(&packets[1..], &[]);
        if number == 8 {
            let same = packets
                .windows(2)
                .filter(|pair| pair[0].1.payload == pair[1].1.payload);
            assert_eq!(same.count(), 0, "noise, not a tone");
        }
        bench.voice(A, 200).unwrap();
        assert_eq!(
            heard(&mut bench, peer_b(), 900),
            [],
            "somebody speaks again"
        );
    }
}

/// A call's first words come a little after its answer.
#[test]
fn noise_waits_for_media_that_may_still_begin() {
    let noise = || Playing {
        sound: Sound::Noise,
        times: None,
        beside: Beside::First { quiet_ms: 1_000 },
    };
    let mut bench = Bench::joined();
    bench.play(B, Some(noise()));
    assert_eq!(heard(&mut bench, peer_b(), 980), []);
    bench.voice(A, 1).unwrap();
    assert_eq!(heard(&mut bench, peer_b(), 900), []);
    let mut bench = Bench::joined();
    bench.play(B, Some(noise()));
    let packets = heard(&mut bench, peer_b(), 2_000);
    assert!(packets.len().abs_diff(50) <= 1, "{}", packets.len());
}

#[test]
fn what_cannot_be_played_is_told_at_once_and_changes_nothing() {
    let mut bench = Bench::joined();
    let empty = [tone(&[]), tone(&[([425, 0], 0), ([0, 0], 0)])];
    for sound in empty.into_iter().chain([Sound::Recording(SoundId(1))]) {
        bench.play(B, endless(sound));
        assert_eq!(told(&mut bench), [(B, false)]);
    }
    bench.voice(A, 1).unwrap();
    // Nothing agreed yet, and nobody of that name.
    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    bench.play(A, endless(tone(&RINGING)));
    bench.play(EndpointId(9), endless(tone(&RINGING)));
    assert_eq!(told(&mut bench), [(A, false)]);
}

#[test]
fn a_new_agreement_keeps_the_sound_by_the_new_terms() {
    let mut bench = Bench::joined();
    bench.play(B, endless(tone(&RINGING)));
    let mut packets = heard(&mut bench, peer_b(), 199);
    let moved = address("198.51.100.21:7000");
    bench.answer(
        B,
        NegotiatedStream {
            payloads: vec![codec(0, 0, 2, "PCMU", 8_000)],
            ptime_ms: 40,
            ..terms(moved)
        },
    );
    let after = heard(&mut bench, moved, 400);
    assert_eq!(after.len(), 10);
    let is_new = |rtp: &Rtp| rtp.payload_type == 0 && rtp.payload.len() == 320;
    assert!(after.iter().all(|(_, rtp)| is_new(rtp)));
    packets.extend(after);
    assert_continuous(&packets, &[]);
    assert_eq!(bench.voice(A, 1), Err(DropReason::Muted));

    // Nothing that could carry it any more.
    bench.answer(
        B,
        NegotiatedStream {
            payloads: vec![codec(18, 18, 3, "G729", 8_000)],
            ..terms(moved)
        },
    );
    assert_eq!(heard(&mut bench, moved, 400), []);
    assert_eq!(told(&mut bench), [(B, false)]);
}

#[test]
fn a_peer_that_takes_nothing_gets_nothing_and_the_time_of_the_sound_passes() {
    let held = [
        NegotiatedStream {
            direction: Direction::Receive,
            ..terms(peer_b())
        },
        NegotiatedStream {
            direction: Direction::Inactive,
            ..terms(peer_b())
        },
        NegotiatedStream {
            remote_rtp: address("0.0.0.0:6000"),
            ..terms(peer_b())
        },
    ];
    for held in held {
        let mut bench = Bench::joined();
        bench.play(B, counted(tone(&[([425, 0], 1_000)]), 2));
        let mut packets = heard(&mut bench, peer_b(), 499);
        bench.answer(B, held.clone());
        let end = bench.now.0 + 501_000;
        while let Some(due) = bench.session.next_deadline().filter(|due| due.0 < end) {
            bench.now = due;
            bench.session.tick(due, &mut bench.out);
            let made = bench.made();
            assert!(
                made.iter()
                    .all(|(_, packet)| packet[1] != 8 && packet[1] != 0x88)
            );
        }
        bench.now.0 = end;
        bench.answer(B, terms(peer_b()));
        packets.extend(heard(&mut bench, peer_b(), 5_000));
        assert_eq!(packets.len(), 25 + 50, "what was missed is not made up for");
        assert_continuous(&packets, &[25]);
        assert_eq!(told(&mut bench), [(B, true)]);

        bench.play(B, counted(tone(&[([425, 0], 1_000)]), 1));
        bench.answer(B, held);
        heard(&mut bench, peer_b(), 2_000);
        assert_eq!(told(&mut bench), [(B, false)], "its end was not heard");
    }
}

#[test]
fn what_a_peer_sends_against_hold_does_not_disturb_the_other_sides_sound() {
    let mut bench = Bench::joined();
    let held = NegotiatedStream {
        direction: Direction::Send,
        ..terms(peer_a())
    };
    bench.voice(A, 1).unwrap();
    bench.answer(A, held);
    bench.wait_ms(1_001);
    bench.play(B, endless(tone(&RINGING)));
    let mut packets = Vec::new();
    for sequence in 2..50 {
        packets.extend(heard(&mut bench, peer_b(), 20));
        assert_eq!(bench.voice(A, sequence), Err(DropReason::Direction));
    }
    assert_continuous(&packets, &[]);
}

#[test]
fn a_release_ends_the_sound() {
    let release = |endpoint, drain_ms| Command::Release {
        session: SESSION,
        endpoint,
        drain_ms,
    };
    for command in [release(Some(B), 0), release(None, 0), release(None, 500)] {
        let mut bench = Bench::joined();
        bench.play(B, counted(tone(&RINGING), 1));
        assert_eq!(heard(&mut bench, peer_b(), 199).len(), 10);
        bench.command(command);
        // A goodbye is said to the port of reports.
        bench.made();
        assert_eq!(heard(&mut bench, peer_b(), 10_000), []);
        assert_eq!(told(&mut bench), []);
        bench.play(B, counted(tone(&RINGING), 1));
        assert_eq!(heard(&mut bench, peer_b(), 1_000), []);
    }
}

#[test]
fn both_endpoints_may_hear_something_and_neither_mutes_the_other() {
    let mut bench = Bench::joined();
    bench.play(A, counted(tone(&[([425, 0], 100)]), 1));
    bench.play(B, endless(tone(&RINGING)));
    let to_b = heard(&mut bench, peer_b(), 200);
    assert_eq!(to_b.len(), 10);
    assert_eq!(bench.stats(A).generated_packets, 5);
    assert_eq!(told(&mut bench), [(A, true)]);
    bench.voice(B, 1).unwrap();
    assert_eq!(bench.voice(A, 1), Err(DropReason::Muted));
}

#[test]
fn a_packet_that_the_system_refuses_is_taken_back_from_what_was_sent() {
    let mut bench = Bench::joined();
    bench.play(B, endless(tone(&RINGING)));
    bench.now = bench.session.next_deadline().unwrap();
    bench.session.tick(bench.now, &mut bench.out);
    let generated = bench.out.packets().find_map(|made| made.generated);
    let generated = generated.expect("a packet of the sound");
    assert_eq!(generated.plain_bytes, 172);
    bench.session.generated_failed(generated);
    let stats = bench.stats(B);
    assert_eq!((stats.sent_packets, stats.sent_bytes), (0, 0));
    assert_eq!(
        (stats.generated_packets, stats.dropped(DropReason::Send)),
        (1, 1)
    );
}
