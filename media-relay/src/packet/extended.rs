//! Extended reports, RFC 3611: of their blocks the VoIP metrics of §4.7 are read, all others skipped by their
//! length.

use super::{u16_at, u32_at};
use media_api::VoipMetrics;

/// Packet type of an extended report.
pub const EXTENDED_REPORT: u8 = 207;
/// Block type of VoIP metrics, and its length in words without the header.
const VOIP_METRICS: u8 = 7;
const VOIP_METRICS_WORDS: usize = 8;

/// The blocks of one extended report. A block that claims more than there is ends them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedBlocks<'a>(&'a [u8]);

impl<'a> ExtendedBlocks<'a> {
    /// `packet` is the whole packet, header and SSRC included.
    pub(super) fn of(packet: &'a [u8]) -> Self {
        Self(packet.get(8..).unwrap_or_default())
    }
}

impl Iterator for ExtendedBlocks<'_> {
    /// The source that the metrics are about, and the metrics.
    type Item = (u32, VoipMetrics);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let kind = *self.0.first()?;
            let words = usize::from(u16_at(self.0, 2)?);
            let (block, rest) = self.0.split_at_checked(4 + 4 * words)?;
            self.0 = rest;
            if kind == VOIP_METRICS && words == VOIP_METRICS_WORDS {
                return metrics(block);
            }
        }
    }
}

/// Bytes of an extended report with one block of VoIP metrics, behind its header.
pub(super) const METRICS_BYTES: usize = 4 + 4 + 4 * VOIP_METRICS_WORDS;

/// An extended report of `ssrc` about another source, behind its header.
pub(super) fn write(ssrc: u32, about: u32, metrics: &VoipMetrics) -> [u8; METRICS_BYTES] {
    let mut body = [0; METRICS_BYTES];
    let mut at = 0;
    let mut put = |octets: &[u8]| {
        if let Some(place) = body.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
        at += octets.len();
    };
    put(&ssrc.to_be_bytes());
    put(&[VOIP_METRICS, 0, 0, VOIP_METRICS_WORDS as u8]);
    put(&about.to_be_bytes());
    put(&[
        metrics.loss_rate,
        metrics.discard_rate,
        metrics.burst_density,
        metrics.gap_density,
    ]);
    for word in [
        metrics.burst_ms,
        metrics.gap_ms,
        metrics.round_trip_ms,
        metrics.end_system_ms,
    ] {
        put(&word.to_be_bytes());
    }
    put(&[
        metrics.signal_level as u8,
        metrics.noise_level as u8,
        metrics.echo_return_loss,
        metrics.gmin,
        metrics.r,
        metrics.external_r,
        metrics.mos_lq_10,
        metrics.mos_cq_10,
        // How we conceal, and what is reserved.
        0,
        0,
    ]);
    for word in [
        metrics.buffer_ms,
        metrics.buffer_max_ms,
        metrics.buffer_limit_ms,
    ] {
        put(&word.to_be_bytes());
    }
    body
}

fn metrics(block: &[u8]) -> Option<(u32, VoipMetrics)> {
    let octet = |at: usize| block.get(at).copied();
    let signed = |at: usize| octet(at).map(|octet| octet as i8);
    let word = |at| u16_at(block, at);
    let metrics = VoipMetrics {
        loss_rate: octet(8)?,
        discard_rate: octet(9)?,
        burst_density: octet(10)?,
        gap_density: octet(11)?,
        burst_ms: word(12)?,
        gap_ms: word(14)?,
        round_trip_ms: word(16)?,
        end_system_ms: word(18)?,
        signal_level: signed(20)?,
        noise_level: signed(21)?,
        echo_return_loss: octet(22)?,
        gmin: octet(23)?,
        r: octet(24)?,
        external_r: octet(25)?,
        mos_lq_10: octet(26)?,
        mos_cq_10: octet(27)?,
        // Octet 28 tells how the receiver conceals, octet 29 is reserved.
        buffer_ms: word(30)?,
        buffer_max_ms: word(32)?,
        buffer_limit_ms: word(34)?,
    };
    Some((u32_at(block, 4)?, metrics))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report by 0x11223344 with a reference time and the metrics of 0xdeadbeef.
    const REPORT: [u8; 56] = [
        0x80, 207, 0, 13, 0x11, 0x22, 0x33, 0x44, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 7, 0, 0, 8,
        0xde, 0xad, 0xbe, 0xef, 5, 1, 20, 2, 0, 180, 4, 210, 0, 60, 0, 80, 0xec, 0xc4, 55, 16, 85,
        127, 41, 39, 0x31, 0, 0, 40, 0, 120, 0, 200,
    ];

    #[test]
    fn voip_metrics_are_read_field_by_field() {
        let found: Vec<_> = ExtendedBlocks::of(&REPORT).collect();
        let wanted = VoipMetrics {
            loss_rate: 5,
            discard_rate: 1,
            burst_density: 20,
            gap_density: 2,
            burst_ms: 180,
            gap_ms: 1234,
            round_trip_ms: 60,
            end_system_ms: 80,
            signal_level: -20,
            noise_level: -60,
            echo_return_loss: 55,
            gmin: 16,
            r: 85,
            external_r: 127,
            mos_lq_10: 41,
            mos_cq_10: 39,
            buffer_ms: 40,
            buffer_max_ms: 120,
            buffer_limit_ms: 200,
        };
        assert_eq!(found, [(0xdead_beef, wanted)]);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let (about, metrics) = ExtendedBlocks::of(&REPORT).next().unwrap();
        let body = write(0x1122_3344, about, &metrics);
        let mut whole = vec![0x80, EXTENDED_REPORT, 0, 10];
        whole.extend(body);
        assert_eq!(
            ExtendedBlocks::of(&whole).collect::<Vec<_>>(),
            [(about, metrics)]
        );
        // Behind the reference time of the other, but for how its author conceals.
        let mut wanted = REPORT[20..].to_vec();
        wanted[28] = 0;
        assert_eq!(whole[8..], wanted);
    }

    #[test]
    fn blocks_that_are_cut_short_or_of_another_length_say_nothing() {
        for length in 0..REPORT.len() {
            assert_eq!(ExtendedBlocks::of(&REPORT[..length]).count(), 0, "{length}");
        }
        let mut other = REPORT;
        other[23] = 7;
        assert_eq!(ExtendedBlocks::of(&other).count(), 0);
    }
}
