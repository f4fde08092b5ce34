//! Comfort noise of one side alone (RFC 3389, MED-057): the other side hears noise as audio.

use crate::common::{A, B, Bench, Rtp, codec, pcma, peer_a, peer_b, read, rtp, terms};
use media_api::*;
use media_relay::codec::{Coding, Decoder};
use media_relay::session::{Outcome, SocketId};

const FIRST: u16 = 7;

fn pcmu() -> PayloadBinding {
    codec(0, 0, 2, "PCMU", 8_000)
}

fn g722() -> PayloadBinding {
    codec(9, 9, 3, "G722", 8_000)
}

fn comfort() -> PayloadBinding {
    codec(13, 13, 4, "CN", 8_000)
}

fn events() -> PayloadBinding {
    codec(101, 101, 5, "telephone-event", 8_000)
}

fn joined(a: Vec<PayloadBinding>, b: Vec<PayloadBinding>, ptime_ms: u8) -> Bench {
    let mut bench = Bench::joined();
    for (endpoint, payloads, peer) in [(A, a, peer_a()), (B, b, peer_b())] {
        let agreed = NegotiatedStream {
            payloads,
            ptime_ms: if endpoint == B { ptime_ms } else { 20 },
            ..terms(peer)
        };
        bench.answer(endpoint, agreed);
    }
    bench
}

/// What A sends: at which of its numbers, of 20 ms each, and how it is called.
fn send(bench: &mut Bench, at: u16, ms: u32, payload_type: u8, payload: &[u8]) -> Vec<Rtp> {
    let packet = rtp(payload_type, FIRST + at, ms * 8, 9, payload);
    let sent = bench.send_or_end(A, peer_a(), &packet);
    let sent = sent.map(|(_, packet)| read(&packet));
    let made = bench.made().into_iter().map(|(_, packet)| read(&packet));
    sent.into_iter().chain(made).collect()
}

fn wait(bench: &mut Bench, ms: u64) -> Vec<Rtp> {
    let made = bench.run_ms(ms).into_iter();
    let to_b = made.filter(|(to, _)| *to == peer_b());
    to_b.map(|(_, packet)| read(&packet)).collect()
}

fn dbov(binding: &PayloadBinding, packets: &[Rtp]) -> f64 {
    let coding = Coding::of(&binding.format).unwrap();
    let mut decoder = Decoder::new(coding, coding.joint_rate(coding));
    let mut samples = Vec::new();
    for packet in packets {
        assert_eq!(packet.payload_type, binding.send);
        assert!(decoder.decode(&packet.payload, &mut samples));
    }
    let power: f64 = samples.iter().map(|own| f64::from(*own).powi(2)).sum();
    10.0 * (power / samples.len() as f64).log10() - 20.0 * 32_768f64.log10()
}

fn assert_numbered(packets: &[Rtp]) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((1..8_000).contains(&step), "{step}");
    }
}

#[test]
fn a_pause_is_heard_as_noise_of_its_level_until_speech_comes_back() {
    for (own, other, ptime_ms) in [
        (pcma(), pcma(), 20),
        (pcmu(), pcmu(), 30),
        (g722(), g722(), 20),
        (pcmu(), pcma(), 20),
        (pcma(), pcmu(), 60),
    ] {
        let name = format!("{} to {}", own.format.name, other.format.name);
        let mut bench = joined(vec![own.clone(), comfort()], vec![other.clone()], ptime_ms);
        let speech = [0x35; 160];
        let mut all = Vec::new();
        for at in 0..5u16 {
            all.extend(send(
                &mut bench,
                at,
                20 * u32::from(at),
                own.receive,
                &speech,
            ));
            all.extend(wait(&mut bench, 20));
        }
        assert_eq!(all.len(), 100 / usize::from(ptime_ms), "{name}");
        let loud = send(&mut bench, 5, 100, 13, &[40]);
        assert_eq!(
            loud.len(),
            1,
            "{name}: noise takes the place of what says it"
        );
        let mut loud = [loud, wait(&mut bench, 1_999)].concat();
        let wanted = 2_000 / usize::from(ptime_ms);
        assert!(loud.len().abs_diff(wanted) <= 1, "{name}: {}", loud.len());
        let octets = 8 * usize::from(ptime_ms);
        assert!(loud.iter().all(|own| own.payload.len() == octets));
        let steady = loud.windows(2);
        assert!(steady.into_iter().all(|two| {
            let step = two[1].timestamp.wrapping_sub(two[0].timestamp);
            step == octets as u32 && !two[1].marker
        }));
        let level = dbov(&other, &loud[5..]);
        assert!((level + 40.0).abs() < 2.0, "{name}: {level:.1} dBov");
        // It becomes quieter, and there is a spectrum that nobody has to follow.
        let soft = send(&mut bench, 6, 2_100, 13, &[55, 9, 9]);
        let soft = [soft, wait(&mut bench, 1_000)].concat();
        assert!(soft.len() >= 1_000 / usize::from(ptime_ms) - 1);
        let level = dbov(&other, &soft[5..]);
        assert!((level + 55.0).abs() < 3.0, "{name}: {level:.1} dBov");
        all.append(&mut loud);
        all.extend(soft);
        let again: Vec<Rtp> = (0..3)
            .flat_map(|at| {
                send(
                    &mut bench,
                    7 + at,
                    3_100 + 20 * u32::from(at),
                    own.receive,
                    &speech,
                )
            })
            .collect();
        assert!(again[0].marker, "{name}");
        let resumed = again[0].timestamp;
        all.extend(again);
        all.extend(wait(&mut bench, 20));
        all.extend(send(&mut bench, 10, 3_160, own.receive, &speech));
        let rest = wait(&mut bench, 900);
        assert_eq!(
            rest,
            [],
            "{name}: no noise beside speech, and none after it"
        );
        assert_numbered(&all);
        let passed = resumed.wrapping_sub(all[0].timestamp);
        assert!(passed.abs_diff(8 * 3_100) <= 8 * 60, "{name}: {passed}");
        assert_eq!(bench.stats(A).dropped.iter().sum::<u64>(), 0, "{name}");
    }
}

#[test]
fn who_has_comfort_noise_gets_it_as_it_is_and_everything_else_too() {
    let mut bench = joined(vec![pcma(), comfort()], vec![pcma(), comfort()], 20);
    let sent = send(&mut bench, 0, 0, 13, &[40]);
    assert_eq!(
        (sent[0].payload_type, &sent[0].payload[..]),
        (13, &[40][..])
    );
    assert_eq!(wait(&mut bench, 500).len(), 0);
    // The side without it sends on to the one that has it.
    let mut bench = joined(
        vec![pcma(), comfort(), events()],
        vec![pcma(), events()],
        20,
    );
    for (at, payload_type) in [8u8, 101, 8].into_iter().enumerate() {
        let packet = rtp(payload_type, at as u16, 160 * at as u32, 3, &[0x55; 4]);
        let (to, sent) = bench.send(B, peer_b(), &packet).unwrap();
        assert_eq!((to, read(&sent).payload_type), (peer_a(), payload_type));
    }
    // Nothing can be made of what nobody here encodes.
    let g729 = || codec(18, 18, 6, "G729", 8_000);
    let mut bench = joined(vec![g729(), comfort()], vec![g729()], 20);
    let packet = rtp(13, 1, 0, 9, &[40]);
    let refused = bench.send(A, peer_a(), &packet);
    assert_eq!(refused, Err(DropReason::PayloadType));
    assert_eq!(wait(&mut bench, 500).len(), 0);
}

#[test]
fn a_digit_in_a_pause_keeps_its_timestamp_and_noise_goes_on_behind_it() {
    let mut bench = joined(
        vec![pcma(), comfort(), events()],
        vec![pcma(), events()],
        20,
    );
    send(&mut bench, 0, 0, 8, &[0x35; 160]);
    wait(&mut bench, 20);
    send(&mut bench, 1, 20, 13, &[50]);
    wait(&mut bench, 500);
    let mut told = Vec::new();
    for at in 0..6u16 {
        let [high, low] = (160 * (at + 1)).to_be_bytes();
        let flags = if at > 2 { 0x8a } else { 10 };
        told.extend(send(&mut bench, 2 + at, 520, 101, &[5, flags, high, low]));
        told.extend(wait(&mut bench, 20));
    }
    assert_eq!(told.len(), 6, "nothing but the event");
    assert!(told.iter().all(|own| own.payload_type == 101));
    assert!(told.iter().all(|own| own.timestamp == told[0].timestamp));
    let noise = wait(&mut bench, 1_000);
    assert!(noise.len().abs_diff(46) <= 1, "{}", noise.len());
    assert!(noise.iter().all(|own| own.payload_type == 8));
    assert_eq!(noise[0].sequence, told[5].sequence.wrapping_add(1));
}

#[test]
fn order_is_judged_by_numbers_and_an_end_of_media_ends_the_noise() {
    let mut bench = joined(vec![pcma(), comfort()], vec![pcma()], 20);
    send(&mut bench, 0, 0, 8, &[0x35; 160]);
    // One of before comes after the noise has begun, and does not end it.
    send(&mut bench, 2, 40, 13, &[50]);
    send(&mut bench, 1, 20, 8, &[0x35; 160]);
    assert!(wait(&mut bench, 1_000).len() > 40);
    // Noise that speech has overtaken says nothing.
    send(&mut bench, 4, 1_060, 8, &[0x35; 160]);
    assert_eq!(send(&mut bench, 3, 1_040, 13, &[50]), []);
    assert_eq!(wait(&mut bench, 1_000).len(), 0);
    send(&mut bench, 5, 2_060, 13, &[50]);
    assert!(!wait(&mut bench, 100).is_empty());
    let hold = NegotiatedStream {
        direction: Direction::Inactive,
        ..terms(peer_b())
    };
    bench.answer(B, hold);
    assert_eq!(wait(&mut bench, 500).len(), 0);
    assert_eq!(
        bench.session.next_deadline().map(|due| due > bench.now),
        Some(true)
    );
}

/// Packets after which nothing new is kept: the first interval that is rated has a place of its own.
const STEADY: u16 = 260;

#[test]
fn noise_is_protected_and_costs_no_allocation() {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    for binding in [pcma(), g722()] {
        let mut bench = joined(vec![binding.clone(), comfort()], vec![binding.clone()], 20);
        let secured = NegotiatedStream {
            payloads: vec![binding.clone()],
            protection: Protection::Sdes {
                local: key(1),
                remote: key(2),
            },
            ..terms(peer_b())
        };
        bench.answer(B, secured);
        let mut slot = [0; 2_048];
        let mut sent = 0;
        let mut round = |bench: &mut Bench, at: u16| {
            let (payload_type, payload) = match at % 50 {
                10.. => (13, &[40 + (at % 7) as u8][..]),
                _ => (binding.receive, &[0x35; 160][..]),
            };
            // A pause is told once, and once more.
            let is_sent = matches!(at % 50, 0..=10 | 30);
            if is_sent {
                let packet = rtp(
                    payload_type,
                    at / 50 * 12 + (at % 50).min(11),
                    u32::from(at) * 160,
                    9,
                    payload,
                );
                slot[..packet.len()].copy_from_slice(&packet);
                let Bench {
                    session, out, now, ..
                } = &mut *bench;
                let mut outcome = None;
                let counted = allocation_counter::measure(|| {
                    let length = packet.len();
                    outcome =
                        Some(session.packet(SocketId(0), peer_a(), &mut slot, length, *now, out));
                });
                let is_noise = matches!(outcome, Some(Outcome::Taken(_)));
                assert_eq!(is_noise, payload_type == 13, "{outcome:?}");
                if at >= STEADY {
                    assert_eq!(
                        counted.count_total, 0,
                        "{} packet {at}",
                        binding.format.name
                    );
                }
            }
            sent += bench
                .out
                .packets()
                .filter(|made| made.generated.is_some())
                .count();
            bench.out.clear();
            bench.now.0 += 20_000;
            let counted =
                allocation_counter::measure(|| bench.session.tick(bench.now, &mut bench.out));
            sent += bench
                .out
                .packets()
                .filter(|made| made.generated.is_some())
                .count();
            bench.out.clear();
            if at >= STEADY {
                assert_eq!(counted.count_total, 0, "tick {at}");
            }
        };
        for at in 0..1_000 {
            round(&mut bench, at);
        }
        // All of a second but the packets of speech, and the first while speech begins again.
        assert_eq!(sent, 820);
        assert_eq!(bench.stats(B).generated_packets, sent as u64);
    }
}
