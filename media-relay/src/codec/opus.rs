//! Opus as it is spoken on a telephone: mono, at the rate of whom it is joined with (RFC 6716, RFC 7587).

use media_api::{OpusPackets, OpusWishes};
use opus_pure::{Application, Bandwidth, OpusDecoder, OpusEncoder, RateControl};

/// Bits a second: enough that speech is not the worse for it.
const WIDEBAND_BPS: i32 = 32_000;
const NARROWBAND_BPS: i32 = 20_000;
/// Who does not say what it wants: the copy of the frame before does no harm.
const USUAL: OpusWishes = OpusWishes {
    max_kbps: 0,
    is_narrow: false,
    packets: OpusPackets::Fec,
};
/// Work of the encoder, 0 to 10.
const COMPLEXITY: i32 = 5;
/// Loss that the repetition of the frame before is made for, in percent.
const EXPECTED_LOSS_PERCENT: i32 = 5;
/// Samples of the longest packet, 120 ms at 16 kHz.
const MAX_SAMPLES: usize = 1_920;

/// Turns payloads into samples.
#[derive(Debug)]
pub(super) struct Decoder {
    own: Option<OpusDecoder>,
    rate: u32,
}

impl Decoder {
    pub(super) fn new(rate: u32) -> Self {
        let own = OpusDecoder::new(rate as i32, 1).ok();
        Self { own, rate }
    }

    pub(super) fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> bool {
        let most = MAX_SAMPLES * self.rate as usize / 16_000;
        self.run(most, samples, |own, room| {
            own.decode_s16(payload, most, room).ok()
        })
    }

    /// So many samples of what may have been in payloads that are missing.
    pub(super) fn conceal(&mut self, count: usize, samples: &mut Vec<i16>) {
        let end = samples.len() + count;
        // In steps that the codec has, 2.5 ms at least.
        let step = self.rate as usize / 400;
        while samples.len() < end {
            let steps = [8, 4, 2, 1].map(|steps| steps * step);
            let fitting = steps
                .into_iter()
                .find(|size| *size <= end - samples.len())
                .unwrap_or(step);
            if !self.run(fitting, samples, |own, room| {
                own.decode_s16(&[], fitting, room).ok()
            }) {
                break;
            }
        }
        samples.resize(end, 0);
    }

    /// What was in the payload before this one.
    pub(super) fn recover(&mut self, next: &[u8], count: usize, samples: &mut Vec<i16>) {
        let is_frame = count > 0 && count.is_multiple_of(self.rate as usize / 400);
        let is_done = is_frame
            && count <= MAX_SAMPLES
            && self.run(count, samples, |own, room| {
                own.decode_fec_s16(next, count, room).ok()
            });
        if !is_done {
            self.conceal(count, samples);
        }
    }

    fn run(
        &mut self,
        most: usize,
        samples: &mut Vec<i16>,
        work: impl FnOnce(&mut OpusDecoder, &mut [i16]) -> Option<usize>,
    ) -> bool {
        let start = samples.len();
        samples.resize(start + most, 0);
        let made = self
            .own
            .as_mut()
            .and_then(|own| work(own, &mut samples[start..]));
        samples.truncate(start + made.unwrap_or(0).min(most));
        made.is_some_and(|made| made > 0)
    }
}

/// Turns samples into payloads.
#[derive(Debug)]
pub(super) struct Encoder(Option<OpusEncoder>);

impl Encoder {
    pub(super) fn new(rate: u32, wishes: Option<OpusWishes>) -> Self {
        let wishes = wishes.unwrap_or(USUAL);
        let mut own = OpusEncoder::new(rate as i32, 1, Application::Voip).ok();
        if let Some(own) = &mut own {
            own.bitrate_bps = match rate {
                ..16_000 => NARROWBAND_BPS,
                16_000.. => WIDEBAND_BPS,
            };
            if wishes.max_kbps > 0 {
                let most_bps = i32::from(wishes.max_kbps).saturating_mul(1_000);
                own.bitrate_bps = own.bitrate_bps.min(most_bps);
            }
            own.complexity = COMPLEXITY;
            if wishes.packets.has_fec() {
                own.use_inband_fec = true;
                own.packet_loss_perc = EXPECTED_LOSS_PERCENT;
            }
            if wishes.packets.is_cbr() {
                own.rate_control = RateControl::Cbr;
            }
            if wishes.is_narrow {
                own.max_bandwidth = Bandwidth::Narrowband;
            }
        }
        Self(own)
    }

    pub(super) fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> usize {
        let own = self.0.as_mut();
        let made = own.and_then(|own| own.encode_s16(samples, samples.len(), payload).ok());
        made.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the packets of two seconds of a voice.
    fn lengths(wishes: Option<OpusWishes>) -> Vec<usize> {
        let mut encoder = Encoder::new(16_000, wishes);
        let sample = |at: usize| {
            let time = at as f64 / 16_000.0;
            let waves = (1..20).map(|over| {
                let over = f64::from(over);
                (std::f64::consts::TAU * 120.0 * over * time).sin() / over
            });
            (3_000.0 * waves.sum::<f64>()) as i16
        };
        let samples: Vec<i16> = (0..32_000).map(sample).collect();
        let frames = samples.chunks_exact(320);
        frames
            .map(|frame| encoder.encode(frame, &mut [0; 480]))
            .collect()
    }

    #[test]
    fn no_more_is_sent_than_the_receiver_wants_and_all_alike_if_it_wants_that() {
        let usual: usize = lengths(None).iter().sum();
        let limited = OpusWishes {
            max_kbps: 16,
            packets: OpusPackets::Cbr,
            ..OpusWishes::default()
        };
        let alike = lengths(Some(limited));
        // 16,000 bits a second are 40 octets in 20 ms.
        assert!(alike[0] > 0 && alike[0] <= 40, "{alike:?}");
        assert!(alike.iter().all(|length| *length == alike[0]), "{alike:?}");
        assert!(alike.iter().sum::<usize>() < usual);
    }
}
