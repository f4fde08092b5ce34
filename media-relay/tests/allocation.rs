//! Neither the packet path nor a sound allocates in steady state (invariant I11).

mod common;

use common::{A, B, Bench, endless, peer_a, peer_b, rtp, terms, tone};
use media_api::*;
use media_relay::Recordings;
use media_relay::session::{Outcome, SocketId};
use media_relay::srtp::{MAX_TRAILER_BYTES, Sender};

/// Packets after which events, reports and their memory have been seen once: ten seconds.
const WARM_UP: usize = 500;

/// Allocations while `packets` go through the session after the warm-up.
fn allocations(bench: &mut Bench, packets: &[Vec<u8>]) -> u64 {
    let mut slot = vec![0; 2048];
    let (first, rest) = packets.split_at(WARM_UP);
    forward(bench, first, &mut slot);
    allocation_counter::measure(|| forward(bench, rest, &mut slot)).count_total
}

fn forward(bench: &mut Bench, packets: &[Vec<u8>], slot: &mut [u8]) {
    for packet in packets {
        bench.now.0 += 20_000;
        slot[..packet.len()].copy_from_slice(packet);
        let outcome = bench.session.packet(
            SocketId(0),
            peer_a(),
            slot,
            packet.len(),
            bench.now,
            &mut bench.out,
        );
        assert!(matches!(outcome, Outcome::Forward(_)));
        // Reports are made meanwhile, in memory that is used again.
        bench.session.tick(bench.now, &mut bench.out);
        bench.out.clear();
    }
}

/// A minute of a sound toward B, every packet as it is due.
fn play(bench: &mut Bench) -> usize {
    let end = bench.now.0 + 60_000_000;
    let mut packets = 0;
    while let Some(due) = bench.session.next_deadline().filter(|due| due.0 < end) {
        bench.now = due;
        bench.session.tick(due, &mut bench.out);
        let generated = |made: &media_relay::session::Made<'_>| made.generated.is_some();
        packets += bench.out.packets().filter(generated).count();
        bench.out.clear();
    }
    bench.now.0 = end;
    packets
}

#[test]
fn playing_tones_and_recordings_allocates_nothing() {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    let secured = Protection::Sdes {
        local: key(1),
        remote: key(2),
    };
    let sounds = [
        tone(&[([440, 480], 2_000), ([0, 0], 4_000)]),
        Sound::Recording(SoundId(1)),
    ];
    for sound in sounds {
        for protection in [Protection::None, secured.clone()] {
            let mut bench = Bench::joined();
            bench.recordings = Recordings::new([(SoundId(1), [500; 8_001].into())]).unwrap();
            bench.answer(
                B,
                NegotiatedStream {
                    protection,
                    ..terms(peer_b())
                },
            );
            bench.play(B, endless(sound.clone()));
            play(&mut bench);
            let mut packets = 0;
            let counted = allocation_counter::measure(|| packets = play(&mut bench));
            assert_eq!((counted.count_total, packets), (0, 3_000));
        }
    }
}

#[test]
fn looking_for_digits_allocates_nothing() {
    let voice: Vec<_> = (0..2000u16)
        .map(|at| {
            let payload: Vec<u8> = (0..160u16).map(|n| (n * 7 + at * 13) as u8).collect();
            rtp(8, at, u32::from(at) * 160, 9, &payload)
        })
        .collect();
    for intake in [Intake::Watch, Intake::Listen, Intake::Events, Intake::Tones] {
        let mut bench = Bench::joined();
        bench.command(Command::Take {
            session: common::SESSION,
            endpoint: A,
            intake,
        });
        assert_eq!(allocations(&mut bench, &voice), 0, "{intake:?}");
    }
}

#[test]
fn forwarding_plain_and_secured_packets_allocates_nothing() {
    let plain: Vec<_> = (0..2000u16)
        .map(|at| rtp(8, at, u32::from(at) * 160, 9, &[0xd5; 160]))
        .collect();
    assert_eq!(allocations(&mut Bench::joined(), &plain), 0);

    for suite in [
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AeadAes256Gcm,
    ] {
        let key = |seed| CryptoKey::new(suite, vec![seed; suite.key_and_salt_bytes()]).unwrap();
        let sdes = |local, remote| Protection::Sdes {
            local: key(local),
            remote: key(remote),
        };
        let mut bench = Bench::joined();
        bench.answer(
            A,
            NegotiatedStream {
                protection: sdes(1, 2),
                ..terms(peer_a())
            },
        );
        bench.answer(
            B,
            NegotiatedStream {
                protection: sdes(3, 4),
                ..terms(peer_b())
            },
        );
        let sender = Sender::new(&key(2));
        let secured: Vec<_> = (0u64..)
            .zip(&plain)
            .map(|(index, plain)| {
                let mut packet = plain.clone();
                packet.resize(plain.len() + MAX_TRAILER_BYTES, 0);
                let length = sender.protect_rtp(&mut packet, plain.len(), index).unwrap();
                packet.truncate(length);
                packet
            })
            .collect();
        assert_eq!(allocations(&mut bench, &secured), 0, "{suite:?}");
    }
}

#[test]
fn telling_reports_allocates_nothing() {
    let mut bench = Bench::joined();
    bench.out.wants_reports = true;
    let report = [0x80, 201, 0, 1, 0, 0, 0x10, 0];
    let mut slot = [0; 2048];
    let mut told = 0;
    let from = terms(peer_a()).remote_rtcp;
    let mut talk = |bench: &mut Bench, packets: std::ops::Range<u16>| {
        for at in packets {
            bench.now.0 += 20_000;
            let packet = [
                0x80,
                8,
                (at >> 8) as u8,
                at as u8,
                0,
                0,
                0,
                0,
                0,
                0,
                0x10,
                0,
            ];
            slot[..packet.len()].copy_from_slice(&packet);
            slot[packet.len()..packet.len() + 160].fill(0xd5);
            let (session, now, out) = (&mut bench.session, bench.now, &mut bench.out);
            session.packet(SocketId(0), peer_a(), &mut slot, 172, now, out);
            slot[..report.len()].copy_from_slice(&report);
            let outcome = session.packet(SocketId(1), from, &mut slot, report.len(), now, out);
            assert_eq!(outcome, Outcome::Report);
            session.tick(now, out);
            let is_told = |event: &&Event| matches!(event, Event::Reported { .. });
            told += out.events.iter().filter(is_told).count();
            out.clear();
        }
    };
    talk(&mut bench, 0..500);
    let counted = allocation_counter::measure(|| talk(&mut bench, 500..2_000));
    assert_eq!(counted.count_total, 0);
    // Twice a second those of A, and ours.
    assert!(told > 80, "{told}");
}

/// Bytes of a call that has been relayed for 20 s, everything that is known of its quality included; the worker's
/// sockets and stocks are not the call's.
fn bytes_of_call(is_secured: [bool; 2]) -> i64 {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    let terms_of = |side: usize, peer| NegotiatedStream {
        protection: match is_secured[side] {
            false => Protection::None,
            true => Protection::Sdes {
                local: key(1 + side as u8),
                remote: key(3 + side as u8),
            },
        },
        ..terms(peer)
    };
    let mut session = None;
    let counted = allocation_counter::measure(|| {
        let mut bench = Bench::joined();
        bench.answer(A, terms_of(0, peer_a()));
        bench.answer(B, terms_of(1, peer_b()));
        let sender = Sender::new(&key(3));
        for sequence in 0..1_000u16 {
            bench.run_ms(20);
            let mut packet = rtp(8, sequence, u32::from(sequence) * 160, 9, &[0xd5; 160]);
            if is_secured[0] {
                let length = packet.len();
                packet.resize(length + 14, 0);
                let length = sender.protect_rtp(&mut packet, length, sequence.into());
                packet.truncate(length.unwrap());
            }
            bench.send(A, peer_a(), &packet).unwrap();
            bench.events();
        }
        session = Some(bench.session);
    });
    assert!(session.is_some());
    size_of::<media_relay::session::MediaSession>() as i64 + counted.bytes_current
}

#[test]
fn a_relayed_call_takes_less_than_twelve_kibibytes_with_keys_on_both_legs_and_seven_without() {
    let [plain, both] = [[false; 2], [true; 2]].map(bytes_of_call);
    println!(
        "plain {plain}, one leg secured {}, both {both}",
        bytes_of_call([true, false])
    );
    assert!((1_000..7 * 1_024).contains(&plain), "{plain}");
    assert!((plain..12 * 1_024).contains(&both), "{both}");
}
