//! What 20 ms of speech cost each pair of codecs, decoded and encoded: `cargo bench --bench codec`.
//!
//! Of several turns the best one counts. Streams are directions of a call: a call has two.

use media_relay::codec::{Coding, Decoder, Encoder, MAX_PAYLOAD_BYTES};
use media_relay::g711::Law;
use std::hint::black_box;
use std::time::Instant;

const FRAMES: usize = 500;
const TURNS: usize = 5;
const FRAME_US: f64 = 20_000.0;

/// Payloads of something that has the overtones and pauses of a voice.
fn payloads(coding: Coding) -> Vec<Vec<u8>> {
    let rate = coding.joint_rate(coding);
    let mut encoder = Encoder::new(coding, rate);
    let frame = rate as usize / 50;
    let sample = |at: usize| {
        let time = at as f64 / f64::from(rate);
        let wave = (1..20).map(|over| {
            let over = f64::from(over);
            (std::f64::consts::TAU * 120.0 * over * time).sin() / over
        });
        let level = 1.0 + (std::f64::consts::TAU * 3.0 * time).sin();
        (2_500.0 * level * wave.sum::<f64>()) as i16
    };
    let samples: Vec<i16> = (0..FRAMES * frame).map(sample).collect();
    let encoded = |samples: &[i16]| {
        let mut payload = vec![0; MAX_PAYLOAD_BYTES];
        let length = encoder.encode(samples, &mut payload);
        payload.truncate(length);
        payload
    };
    samples.chunks_exact(frame).map(encoded).collect()
}

fn turn(from: Coding, to: Coding, payloads: &[Vec<u8>]) -> f64 {
    let rate = from.joint_rate(to);
    let mut decoder = Decoder::new(from, rate);
    let mut encoder = Encoder::new(to, rate);
    let mut samples = Vec::new();
    let mut encoded = [0; MAX_PAYLOAD_BYTES];
    let start = Instant::now();
    for payload in payloads {
        samples.clear();
        decoder.decode(payload, &mut samples);
        black_box(encoder.encode(&samples, &mut encoded));
    }
    start.elapsed().as_secs_f64() * 1e6 / payloads.len() as f64
}

fn main() {
    let all = [
        ("PCMA", Coding::G711(Law::A)),
        ("G722", Coding::G722),
        ("opus", Coding::Opus),
    ];
    for (name, from) in all {
        let payloads = payloads(from);
        for (other, to) in all {
            let turns = (0..TURNS).map(|_| turn(from, to, &payloads));
            let best = turns.fold(f64::INFINITY, f64::min);
            let streams = FRAME_US / best;
            println!(
                "{name:>4} to {other:<4} {best:7.1} us per 20 ms, {streams:6.0} streams per core"
            );
        }
    }
}
