//! Any octets as payloads of every codec: nothing panics, and nobody makes more samples than a payload can be.

use crate::reader::Reader;
use media_relay::codec::{Coding, Decoder, Encoder, MAX_PAYLOAD_BYTES, MAX_SAMPLES};
use media_relay::g711::Law;

const CODINGS: [Coding; 4] = [
    Coding::G711(Law::A),
    Coding::G711(Law::Mu),
    Coding::G722,
    Coding::Opus,
];

pub(crate) fn check(data: &[u8]) {
    let mut input = Reader::new(data);
    let choice = usize::from(input.octet());
    let coding = CODINGS[choice % CODINGS.len()];
    let rate = [8_000, 16_000][choice / CODINGS.len() % 2];
    let mut decoder = Decoder::new(coding, rate);
    let mut encoder = Encoder::new(coding, rate);
    let mut samples = Vec::new();
    for _ in 0..16 {
        if input.is_empty() {
            break;
        }
        samples.clear();
        let step = input.octet();
        let payload = input.counted();
        match step % 4 {
            0 => decoder.conceal(usize::from(step) * 8, &mut samples),
            1 => decoder.recover(payload, decoder.rate() as usize / 50, &mut samples),
            _ => {
                let is_sound = decoder.decode(payload, &mut samples);
                assert!(
                    is_sound || samples.is_empty(),
                    "what means nothing adds nothing"
                );
            }
        }
        assert!(samples.len() <= MAX_SAMPLES, "{} samples", samples.len());
        let frame = encoder.rate() as usize / 50;
        samples.resize(frame, 0);
        let mut encoded = [0; MAX_PAYLOAD_BYTES];
        assert!(encoder.encode(&samples, &mut encoded) <= MAX_PAYLOAD_BYTES);
    }
}
