//! What a peer measured of the media that it received.

use super::tone::{Codec, Coder, share_at};
use crate::lock::lock;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// What one peer sent and when, for the other to compare with. Both live in one process, so one
/// clock tells the delay.
#[derive(Clone, Default, Debug)]
pub struct Ledger(Arc<Mutex<HashMap<Vec<u8>, Instant>>>);

impl Ledger {
    /// Notes a payload that is sent now.
    pub fn sent(&self, payload: &[u8], at: Instant) {
        lock(&self.0).insert(payload.to_vec(), at);
    }

    /// When exactly these octets were sent.
    pub fn when(&self, payload: &[u8]) -> Option<Instant> {
        lock(&self.0).get(payload).copied()
    }
}

/// Measurements of one direction, made where it ends.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Figures {
    /// Packets that the other peer sent.
    pub sent: u64,
    /// Packets that arrived, copies left out.
    pub received: u64,
    /// Of these, octet for octet as they were sent.
    pub exact: u64,
    /// Packets that never arrived.
    pub lost: u64,
    /// Copies of packets that had arrived already.
    pub repeated: u64,
    /// Packets that came after a later one.
    pub late: u64,
    /// Packets that could not be used: not authentic, no RTP, another payload type.
    pub refused: u64,
    /// RTCP packets that could be opened.
    pub rtcp: u64,
    /// Interarrival jitter at the end (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Mean time from one peer to the other.
    pub delay: Duration,
    /// Longest time from one peer to the other.
    pub longest: Duration,
    /// Share of the energy that lies at the tone which was played: 1 is that tone alone.
    pub tone: f64,
}

impl Figures {
    /// Whether everything arrived as it was sent, and was the tone.
    pub fn is_perfect(&self) -> bool {
        self.sent > 0
            && self.received == self.sent
            && self.exact == self.sent
            && self.lost == 0
            && self.repeated == 0
            && self.refused == 0
            && self.tone > 0.95
    }
}

/// Collects while packets arrive.
#[derive(Debug)]
pub struct Meter {
    ledger: Ledger,
    coder: Coder,
    hz: f64,
    figures: Figures,
    seen: HashSet<u16>,
    newest: Option<u16>,
    last: Option<(u32, Instant)>,
    jitter: f64,
    delays: Vec<Duration>,
    samples: Vec<i16>,
}

impl Meter {
    /// For a tone that `ledger` knows.
    pub fn new(ledger: Ledger, codec: Codec, hz: f64) -> Self {
        Self {
            ledger,
            coder: codec.coder(),
            hz,
            figures: Figures::default(),
            seen: HashSet::new(),
            newest: None,
            last: None,
            jitter: 0.0,
            delays: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// Packets so far.
    pub fn received(&self) -> u64 {
        self.figures.received
    }

    /// A packet that cannot be used.
    pub fn refuse(&mut self) {
        self.figures.refused += 1;
    }

    /// An RTCP packet.
    pub fn rtcp(&mut self) {
        self.figures.rtcp += 1;
    }

    /// An RTP packet.
    pub fn packet(&mut self, sequence: u16, timestamp: u32, payload: &[u8], at: Instant) {
        if !self.seen.insert(sequence) {
            self.figures.repeated += 1;
            return;
        }
        self.figures.received += 1;
        match self.newest {
            Some(newest) if sequence.wrapping_sub(newest) > u16::MAX / 2 => self.figures.late += 1,
            _ => self.newest = Some(sequence),
        }
        if let Some((before, then)) = self.last {
            let units = f64::from(timestamp.wrapping_sub(before) as i32);
            let transit = (at - then).as_secs_f64() * f64::from(super::tone::RATE) - units;
            self.jitter += (transit.abs() - self.jitter) / 16.0;
        }
        self.last = Some((timestamp, at));
        if let Some(sent) = self.ledger.when(payload) {
            self.figures.exact += 1;
            self.delays.push(at.saturating_duration_since(sent));
        }
        let coder = &mut self.coder;
        self.samples
            .extend(payload.iter().map(|octet| coder.decode(*octet)));
    }

    /// The result, when the other peer has sent `sent` packets.
    pub fn finish(self, sent: u64) -> Figures {
        let count = u32::try_from(self.delays.len()).unwrap_or(u32::MAX).max(1);
        Figures {
            sent,
            lost: sent.saturating_sub(self.figures.received),
            jitter: Duration::from_secs_f64(self.jitter / f64::from(super::tone::RATE)),
            delay: self.delays.iter().sum::<Duration>() / count,
            longest: self.delays.iter().max().copied().unwrap_or_default(),
            tone: share_at(self.hz, &self.samples),
            ..self.figures
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::Tone;

    #[test]
    fn losses_copies_and_late_packets_are_told_apart() {
        let ledger = Ledger::default();
        let mut tone = Tone::new(437.3);
        let mut meter = Meter::new(ledger.clone(), Codec::Pcma, 437.3);
        let start = Instant::now();
        let payloads: Vec<Vec<u8>> = (0..6).map(|_| tone.next(Codec::Pcma)).collect();
        for (index, payload) in payloads.iter().enumerate() {
            ledger.sent(payload, start + Duration::from_millis(20 * index as u64));
        }
        // The fourth is lost, the sequence numbers wrap, one packet is changed on the way.
        for index in [0_usize, 2, 1, 2, 4, 5] {
            let mut payload = payloads[index].clone();
            if index == 5 {
                payload[80] ^= 1;
            }
            let at = start + Duration::from_millis(20 * index as u64 + 3);
            let sequence = 65_534_u16.wrapping_add(index as u16);
            meter.packet(sequence, 160 * index as u32, &payload, at);
        }
        meter.refuse();
        let figures = meter.finish(6);
        assert_eq!(
            (
                figures.received,
                figures.exact,
                figures.lost,
                figures.repeated,
                figures.late
            ),
            (5, 4, 1, 1, 1)
        );
        assert_eq!(
            (figures.delay, figures.longest),
            (Duration::from_millis(3), Duration::from_millis(3))
        );
        assert_eq!(figures.refused, 1);
        assert!(!figures.is_perfect());
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_has() {
        let steady = |shake: u64| {
            let mut meter = Meter::new(Ledger::default(), Codec::Pcmu, 1.0);
            let start = Instant::now();
            for index in 0..100_u64 {
                let at = start + Duration::from_millis(20 * index + shake * (index % 2));
                meter.packet(index as u16, 160 * index as u32, &[0xFF; 160], at);
            }
            meter.finish(100).jitter
        };
        assert!(steady(0) < Duration::from_micros(1));
        let shaken = steady(4);
        assert!(shaken > Duration::from_micros(3_900) && shaken < Duration::from_micros(4_001));
    }
}
