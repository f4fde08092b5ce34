//! Live totals: counted by workers as plain numbers, published for whoever scrapes.

use crate::time::Timestamp;
use crate::transcode::Transcoded;
use media_api::{DropReason, RealmId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Figures of the whole relay at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RelayTotals {
    /// In the order of the configuration.
    pub realms: Vec<RealmTotals>,
    /// Media sessions that exist.
    pub sessions: u64,
    /// Directions of streams that are transcoded, by what comes in and what goes out.
    pub transcodes: Transcoded,
    /// Panics caught; each ended one session. Must be zero.
    pub panics: u64,
    /// Reports of RTCP that a relay in a process of its own had no room to tell.
    pub reports_lost: u64,
    /// Handshakes of DTLS-SRTP that came to keys, and behind them those that failed, in the order of
    /// [`media_api::HandshakeFault`].
    pub handshakes: [u64; 5],
    /// Pairs of ICE that peers have nominated.
    pub nominated: u64,
    /// Roll-over counters of SRTP that were found anew where that was not to be expected (MED-114).
    pub resynchronised: u64,
    /// Measured turns of workers by how long their packets took, up to each of [`DELAY_US`]; the last took longer.
    pub delays: [u64; DELAY_US.len() + 1],
    /// Microseconds of all measured turns together.
    pub delay_us: u64,
}

/// Upper ends of what is told apart of the time from taking packets to having sent them, in microseconds.
pub const DELAY_US: [u64; 8] = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

impl RelayTotals {
    /// Adds what a relay has counted that has ended: counters go on, sessions and ports ended with it.
    pub(crate) fn follow(&mut self, past: &Self) {
        self.panics += past.panics;
        self.reports_lost += past.reports_lost;
        self.nominated += past.nominated;
        self.resynchronised += past.resynchronised;
        self.delay_us += past.delay_us;
        for (own, before) in self.handshakes.iter_mut().zip(past.handshakes) {
            *own += before;
        }
        for (own, before) in self.delays.iter_mut().zip(past.delays) {
            *own += before;
        }
        for before in &past.realms {
            match self.realms.iter_mut().find(|own| own.realm == before.realm) {
                Some(own) => own.follow(before),
                None => self.realms.push(RealmTotals {
                    ports_used: 0,
                    ports_total: 0,
                    ..before.clone()
                }),
            }
        }
    }
}

/// Figures of one realm. Counters since the start; workers publish them twice a second or more
/// often.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RealmTotals {
    /// The realm.
    pub realm: RealmId,
    /// RTP and RTCP packets received and used.
    pub received_packets: u64,
    /// Bytes of the RTP packets among them.
    pub received_bytes: u64,
    /// RTP and RTCP packets sent.
    pub sent_packets: u64,
    /// Bytes of the RTP packets among them.
    pub sent_bytes: u64,
    /// Packets lost on the way to us; late ones are subtracted again.
    pub lost_packets: i64,
    /// Packets dropped, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Sum of the jitter samples in microseconds, one per stream and report interval.
    pub jitter_us_sum: u64,
    /// Number of jitter samples.
    pub jitter_samples: u64,
    /// Port pairs in use.
    pub ports_used: u64,
    /// Port pairs of the realm, all addresses together.
    pub ports_total: u64,
}

impl RealmTotals {
    /// Mean jitter in microseconds over all samples.
    pub fn mean_jitter_us(&self) -> u64 {
        self.jitter_us_sum
            .checked_div(self.jitter_samples)
            .unwrap_or(0)
    }

    fn follow(&mut self, past: &Self) {
        // Without a wildcard: a counter that is added is added here as well.
        let Self {
            realm: _,
            received_packets,
            received_bytes,
            sent_packets,
            sent_bytes,
            lost_packets,
            dropped,
            jitter_us_sum,
            jitter_samples,
            ports_used: _,
            ports_total: _,
        } = past;
        self.received_packets += received_packets;
        self.received_bytes += received_bytes;
        self.sent_packets += sent_packets;
        self.sent_bytes += sent_bytes;
        self.lost_packets += lost_packets;
        for (own, before) in self.dropped.iter_mut().zip(dropped) {
            *own += before;
        }
        self.jitter_us_sum += jitter_us_sum;
        self.jitter_samples += jitter_samples;
    }
}

/// One worker's own counters of one realm.
#[derive(Clone, Debug, Default)]
pub(crate) struct RealmCounters {
    pub(crate) received_packets: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_packets: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) lost_packets: i64,
    pub(crate) dropped: [u64; DropReason::ALL.len()],
    pub(crate) jitter_us_sum: u64,
    pub(crate) jitter_samples: u64,
}

impl RealmCounters {
    /// Counts a packet of so many bytes as received, or as one that nobody had room for.
    pub(crate) fn count(&mut self, is_taken: bool, bytes: usize) {
        match is_taken {
            true => {
                self.received_packets += 1;
                self.received_bytes += bytes as u64;
            }
            false => self.dropped[DropReason::Rate as usize] += 1,
        }
    }
}

/// What one worker has published.
#[derive(Debug)]
pub(crate) struct Published {
    /// All of a worker's at one moment.
    realms: Mutex<Vec<RealmCounters>>,
    sessions: AtomicU64,
    panics: AtomicU64,
    handshakes: [AtomicU64; 5],
    nominated: AtomicU64,
    resynchronised: AtomicU64,
    delays: [AtomicU64; DELAY_US.len() + 1],
    delay_us: AtomicU64,
    /// When the worker last came round, in microseconds of its clock.
    seen_us: AtomicU64,
}

// Ordering: every number stands for itself and is written by one worker only; a reader that sees
// some of them a moment earlier than others has the same picture as one that came a moment earlier.
const ORDER: Ordering = Ordering::Relaxed;

impl Published {
    pub(crate) fn new(realms: usize) -> Self {
        Self {
            realms: Mutex::new(vec![RealmCounters::default(); realms]),
            sessions: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            handshakes: Default::default(),
            nominated: AtomicU64::new(0),
            resynchronised: AtomicU64::new(0),
            delays: Default::default(),
            delay_us: AtomicU64::new(0),
            seen_us: AtomicU64::new(0),
        }
    }

    /// The worker comes round.
    pub(crate) fn seen(&self, now: Timestamp) {
        self.seen_us.store(now.0, ORDER);
    }

    /// When the worker last came round.
    pub(crate) fn last_seen(&self) -> Timestamp {
        Timestamp(self.seen_us.load(ORDER))
    }

    /// Packets have taken so long to be sent on.
    pub(crate) fn delayed(&self, us: u64) {
        let at = DELAY_US.iter().position(|end| us <= *end);
        self.delays[at.unwrap_or(DELAY_US.len())].fetch_add(1, ORDER);
        self.delay_us.fetch_add(us, ORDER);
    }

    /// So many handshakes have ended, and so many pairs were nominated, since the start.
    pub(crate) fn set_up(&self, handshakes: [u64; 5], nominated: u64) {
        for (to, from) in self.handshakes.iter().zip(handshakes) {
            to.store(from, ORDER);
        }
        self.nominated.store(nominated, ORDER);
    }

    /// So many roll-over counters were found anew since the start.
    pub(crate) fn resynchronised(&self, count: u64) {
        self.resynchronised.store(count, ORDER);
    }

    /// Publishes what a worker has counted. While somebody copies what was published before, that stays: packets do not
    /// wait, and a quarter of a second later all of it is there. Only the `last` time waits.
    pub(crate) fn store(&self, realms: &[RealmCounters], sessions: u64, panics: u64, last: bool) {
        let published = match self.realms.try_lock() {
            Ok(published) => Some(published),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => last.then(|| self.realms()),
        };
        if let Some(mut published) = published {
            // A reload brings others behind them.
            published.resize(realms.len(), RealmCounters::default());
            published.clone_from_slice(realms);
        }
        self.sessions.store(sessions, ORDER);
        self.panics.store(panics, ORDER);
    }

    pub(crate) fn add_to(&self, totals: &mut RelayTotals) {
        for (to, from) in totals.realms.iter_mut().zip(&*self.realms()) {
            to.received_packets += from.received_packets;
            to.received_bytes += from.received_bytes;
            to.sent_packets += from.sent_packets;
            to.sent_bytes += from.sent_bytes;
            to.jitter_us_sum += from.jitter_us_sum;
            to.jitter_samples += from.jitter_samples;
            to.lost_packets += from.lost_packets;
            to.dropped
                .iter_mut()
                .zip(from.dropped)
                .for_each(|(to, from)| *to += from);
        }
        totals.sessions += self.sessions.load(ORDER);
        totals.panics += self.panics.load(ORDER);
        totals.nominated += self.nominated.load(ORDER);
        totals.resynchronised += self.resynchronised.load(ORDER);
        totals.delay_us += self.delay_us.load(ORDER);
        for (to, from) in totals.handshakes.iter_mut().zip(&self.handshakes) {
            *to += from.load(ORDER);
        }
        for (to, from) in totals.delays.iter_mut().zip(&self.delays) {
            *to += from.load(ORDER);
        }
    }

    /// Held by whoever asks for totals, for as long as it takes to copy them.
    fn realms(&self) -> MutexGuard<'_, Vec<RealmCounters>> {
        self.realms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_waits_for_nobody_who_copies_its_totals() {
        let published = Published::new(1);
        let counted = |received_packets| {
            vec![RealmCounters {
                received_packets,
                ..RealmCounters::default()
            }]
        };
        let received = || {
            let mut totals = RelayTotals {
                realms: vec![RealmTotals::default()],
                ..RelayTotals::default()
            };
            published.add_to(&mut totals);
            (totals.realms[0].received_packets, totals.sessions)
        };
        published.store(&counted(7), 1, 0, false);
        assert_eq!(received(), (7, 1));
        let copying = published.realms();
        published.store(&counted(9), 2, 0, false);
        drop(copying);
        assert_eq!(received(), (7, 2), "the rest is told the next time");
        published.store(&counted(9), 2, 0, true);
        assert_eq!(received(), (9, 2));
    }
}
