//! What a peer hears when it decodes our packets: the right frequencies at the right level and time.

use crate::common::{B, Bench, codec, endless, peer_b, read, terms, tone};
use media_api::*;
use media_relay::Recordings;

const RATE_HZ: f64 = 8_000.0;

/// Decoded as table 1a of G.711 has it: sixteen steps per segment, the value in their middle.
fn a_law(octet: u8) -> i16 {
    let code = octet ^ 0x55;
    let (segment, step) = (code >> 4 & 7, i32::from(code & 15));
    let value = match segment {
        0 => step * 16 + 8,
        _ => (step * 16 + 8 + 256) << (segment - 1),
    };
    (if code & 0x80 == 0 { -value } else { value }) as i16
}

/// Decoded as table 2a of G.711 has it.
fn mu_law(octet: u8) -> i16 {
    let code = !octet;
    let (segment, step) = (code >> 4 & 7, i32::from(code & 15));
    let value = ((step * 2 + 33) << segment) - 33;
    (if code & 0x80 == 0 { value } else { -value } * 4) as i16
}

fn linear(payload: &[u8]) -> Vec<i16> {
    let pairs = payload.chunks(2);
    pairs
        .map(|pair| i16::from_be_bytes(pair.try_into().unwrap()))
        .collect()
}

/// A sine that fills the samples, in hundredths of dBm0.
const FULL: f64 = 314.0;

/// Level of one frequency in dBm0 (Goertzel).
fn level(samples: &[i16], hz: f64) -> f64 {
    let turn = 2.0 * std::f64::consts::PI * hz / RATE_HZ;
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        let next = f64::from(*sample) + 2.0 * turn.cos() * last - before;
        (before, last) = (last, next);
    }
    let power = last * last + before * before - 2.0 * turn.cos() * last * before;
    let peak = 2.0 * power.max(1.0).sqrt() / samples.len() as f64;
    20.0 * (peak / 32_768.0).log10() + FULL / 100.0
}

/// What the peer decodes in so many milliseconds.
fn decoded(
    format: PayloadBinding,
    playing: Option<Playing>,
    ms: u64,
    bench: &mut Bench,
) -> Vec<i16> {
    let name = format.format.name.clone();
    bench.answer(
        B,
        NegotiatedStream {
            payloads: vec![format],
            ..terms(peer_b())
        },
    );
    bench.play(B, playing);
    let made = bench.run_ms(ms - 1);
    let to_peer = made.iter().filter(|(to, _)| *to == peer_b());
    let payloads = to_peer.map(|(_, packet)| read(packet).payload);
    payloads
        .flat_map(|payload| match &*name {
            "PCMA" => payload.into_iter().map(a_law).collect(),
            "PCMU" => payload.into_iter().map(mu_law).collect(),
            _ => linear(&payload),
        })
        .collect()
}

fn formats() -> [PayloadBinding; 3] {
    [
        codec(8, 8, 1, "PCMA", 8_000),
        codec(0, 0, 2, "PCMU", 8_000),
        codec(96, 96, 3, "L16", 8_000),
    ]
}

#[test]
fn the_frequencies_and_cadences_of_countries_are_heard() {
    // Germany, the United States, the United Kingdom: a cycle of each.
    let countries: [&[([u16; 2], u16)]; 3] = [
        &[([425, 0], 1_000), ([0, 0], 4_000)],
        &[([440, 480], 2_000), ([0, 0], 4_000)],
        &[
            ([400, 450], 400),
            ([0, 0], 200),
            ([400, 450], 400),
            ([0, 0], 2_000),
        ],
    ];
    for phases in countries {
        let cycle: u64 = phases.iter().map(|(_, ms)| u64::from(*ms)).sum();
        for format in formats() {
            let name = format.format.name.clone();
            let playing = endless(tone(phases));
            let samples = decoded(format, playing, 2 * cycle, &mut Bench::joined());
            assert_eq!(samples.len() as u64, 2 * cycle * 8);
            let mut start = 0;
            for (hz, ms) in phases.iter().chain(phases) {
                let phase = &samples[start..start + usize::from(*ms) * 8];
                start += phase.len();
                if hz == &[0, 0] {
                    let loudest = phase.iter().map(|sample| sample.unsigned_abs()).max();
                    assert!(loudest.unwrap() <= 8, "{name}: {loudest:?}");
                    continue;
                }
                // Between its swelling and its fading, over whole hundreds of milliseconds.
                let middle = &phase[400..phase.len() / 800 * 800 - 400];
                let wanted = if hz[1] == 0 { -13.0 } else { -16.0 };
                for hz in hz.iter().filter(|hz| **hz != 0) {
                    let is = level(middle, f64::from(*hz));
                    assert!((is - wanted).abs() < 0.3, "{name}, {hz} Hz: {is}");
                }
                for other in [300.0, 600.0, 850.0, 1_275.0, 2_125.0] {
                    let is = level(middle, other);
                    assert!(is < -45.0, "{name}, {other} Hz beside {hz:?}: {is}");
                }
            }
        }
    }
}

#[test]
fn a_recording_is_heard_as_it_was_given_and_again_from_its_beginning() {
    // Not a whole number of packets long.
    let samples: Vec<i16> = (0..10_007i32)
        .map(|at| ((at * 7_919) % 60_001 - 30_000) as i16)
        .collect();
    for format in formats() {
        let name = format.format.name.clone();
        let mut bench = Bench::joined();
        bench.recordings = Recordings::new([(SoundId(7), samples.clone().into())]).unwrap();
        let playing = endless(Sound::Recording(SoundId(7)));
        let heard = decoded(format, playing, 4_000, &mut bench);
        assert_eq!(heard.len(), 32_000);
        for (at, (heard, given)) in heard.iter().zip(samples.iter().cycle()).enumerate() {
            // Half a step of either law at that loudness.
            let most = match &*name {
                "L16" => 0,
                _ => given.unsigned_abs() / 30 + 8,
            };
            assert!(
                heard.abs_diff(*given) <= most,
                "{name} {at}: {heard} for {given}"
            );
        }
    }
}
