//! What the program in the interface has to do with a packet of RTP, in Rust: tests hold it against the program, and
//! sessions against both.

use super::{Express, Passed};
use crate::packet::rtp::HEADER_BYTES;
use crate::session::quality::PAUSE_US;
use crate::session::rate::BURST_US;
use crate::time::Timestamp;
use media_api::LATE_US;
use std::net::SocketAddr;

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is forwarded as it lies there now.
    Forwarded,
    /// It is the worker's, and the express goes on.
    Left,
    /// It is the worker's, and the express is over.
    Stopped,
}

/// The program's memory of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    express: Express,
    until: Timestamp,
    is_armed: bool,
    next: u16,
    pub(crate) passed: Passed,
}

impl Model {
    pub(crate) fn new(express: Express, until: Timestamp) -> Self {
        let pace = express.pace;
        Self {
            express,
            until,
            is_armed: true,
            next: express.sequence,
            passed: Passed {
                timestamp: pace.timestamp,
                transit: pace.transit,
                jitter_16: pace.jitter_16,
                heard_at: pace.heard_at,
                credit_us: pace.credit.left_us,
                ..Passed::default()
            },
        }
    }

    pub(crate) fn take(&mut self, from: SocketAddr, packet: &mut [u8], now: Timestamp) -> Verdict {
        let is_rtp =
            packet.len() >= HEADER_BYTES && packet[0] & 0xc0 == 0x80 && packet[1] & 0xe0 != 0xc0;
        if from != self.express.from || !is_rtp || !self.is_armed {
            return Verdict::Left;
        }
        match self.next(packet, now) {
            Some((passed, header)) => {
                self.passed = passed;
                self.next = self.next.wrapping_add(1);
                packet[..HEADER_BYTES].copy_from_slice(&header);
                Verdict::Forwarded
            }
            None => {
                self.is_armed = false;
                Verdict::Stopped
            }
        }
    }

    fn next(&self, packet: &[u8], now: Timestamp) -> Option<(Passed, [u8; HEADER_BYTES])> {
        let Express {
            ssrc,
            payload_type,
            octets: (least, most),
            send_ssrc,
            send_as,
            sequence_shift,
            timestamp_shift,
            pace,
            ..
        } = self.express;
        let sequence = u16::from_be_bytes(packet[2..4].try_into().ok()?);
        let timestamp = u32::from_be_bytes(packet[4..8].try_into().ok()?);
        let octets = u16::try_from(packet.len() - HEADER_BYTES).ok()?;
        let is_it = packet[0] == 0x80
            && packet[1] & 0x7f == payload_type
            && sequence == self.next
            && packet[8..12] == ssrc.to_be_bytes()
            && (least..=most).contains(&octets);
        if !is_it
            || now > self.until
            || now < self.passed.heard_at
            || timestamp == self.passed.timestamp
        {
            return None;
        }
        let gap_us = now.since_us(self.passed.heard_at);
        let credit = (self.passed.credit_us + gap_us).min(BURST_US);
        let credit_us = credit.checked_sub(pace.credit.cost_us)?;
        let arrival = (now.0.wrapping_mul(pace.clock_hz.into()) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        let later = transit.wrapping_sub(self.passed.transit) as i32;
        let late = u64::from(LATE_US) * u64::from(pace.clock_hz) / 1_000_000;
        if gap_us >= PAUSE_US || i64::from(later) > late as i64 || later < -super::MOST_EARLY {
            return None;
        }
        let decay = (self.passed.jitter_16 + 8) >> 4;
        let jitter_16 = self.passed.jitter_16 + later.unsigned_abs() - decay;
        let passed = Passed {
            packets: self.passed.packets + 1,
            octets: self.passed.octets + u64::from(octets),
            timestamp,
            transit,
            jitter_16,
            heard_at: now,
            credit_us,
            max_jitter_16: self.passed.max_jitter_16.max(jitter_16),
            jitter_sum_16: self.passed.jitter_sum_16 + u64::from(jitter_16),
            gap_us: self.passed.gap_us.max(gap_us),
        };
        let mut header = [0x80; HEADER_BYTES];
        header[1] = packet[1] & 0x80 | send_as;
        header[2..4].copy_from_slice(&sequence.wrapping_add(sequence_shift).to_be_bytes());
        header[4..8].copy_from_slice(&timestamp.wrapping_add(timestamp_shift).to_be_bytes());
        header[8..].copy_from_slice(&send_ssrc.to_be_bytes());
        Some((passed, header))
    }
}
