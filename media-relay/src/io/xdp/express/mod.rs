//! The express of an interface: a map of the directions that its program forwards by itself, written by workers as memory.
//!
//! An entry belongs to one worker. Its state is one word: armed or not, the number of the next packet, and how often it
//! was armed. The program takes a packet by exchanging that word for the one of the next number, and a worker ends the
//! express by clearing the bit in it, so either has been before the other, and how many packets were taken is what the
//! number has moved by. What the program counts besides is complete when its count has come as far; before that it takes no
//! other packet of the stream, whatever processor has that. A run of the program
//! takes less than a microsecond, so a worker waits for that, for a bounded time. It can be too short: under PREEMPT_RT a
//! thread may interrupt the program, and a hypervisor may halt its processor. Then octets and times of one packet may be
//! missing, never the packet, and the entry rests until they have come. A frame that was taken leaves with the others of its
//! poll of the interface; it counts as sent, although the driver may still drop it where it has no room.

pub(super) mod layout;
pub(super) mod program;

use super::bpf;
use super::memory::Mapping;
use super::paths::Path;
use super::program::Part;
use crate::packet::frame::Mac;
use crate::session::{Express, Passed};
use crate::time::Timestamp;
use layout::*;
use media_api::LATE_US;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Directions of all workers together; streams beyond that go by AF_XDP.
const ENTRIES: u32 = 1 << 15;
/// How long an entry is armed at least, so that its stream is seen now and then, and how much longer at most: spread, so
/// that streams that began together are not seen together.
const LEAST_US: u64 = 1_000_000;
const SPREAD_US: u64 = 1_000_000;
/// Two clocks are read at one moment if it takes less than this, and that is tried so often at most.
const APART_NS: u64 = 10_000;
const READINGS: u32 = 1_000;
/// How often it is looked whether the program has counted what it took.
const LOOKS: u32 = 100_000;
/// Headers of UDP and RTP, and those of IP.
const HEADER_BYTES: u32 = 20;
const V4_BYTES: u32 = 20;
const V6_BYTES: u32 = 40;

/// The map.
pub(super) struct Table {
    map: OwnedFd,
    memory: Mapping,
}

/// A worker's part of it.
pub(super) struct Entries {
    free: Vec<Entry>,
    /// Nanoseconds of the kernel's clock when timestamps began.
    base_ns: u64,
}

/// One entry, and what its worker knows of it.
#[derive(Debug)]
pub(super) struct Entry {
    number: u32,
    /// The state without anything armed.
    round: u32,
    /// The number that was expected first, and what had been counted then.
    first: u16,
    done: u32,
    /// Last moment of its turn, in microseconds: only a packet that its worker has seen begins another.
    until: u64,
    pub(super) is_begun: bool,
    /// Whether the program has been told so.
    is_told: bool,
}

/// What headers say, of an order that the interface can follow. All addresses are of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers {
    pub(super) from: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) send_from: SocketAddr,
    pub(super) send_to: SocketAddr,
    /// Our Ethernet address where it comes, and where it leaves.
    pub(super) our_mac: Mac,
    pub(super) send_mac: Mac,
    pub(super) path: Path,
    /// The kernel's number of the interface that it leaves by, if that is another one.
    pub(super) out: Option<u32>,
    pub(super) dscp: u8,
}

/// Source and destination as they lie in a packet; zeros of the family that they are not of.
struct Addresses {
    v4: u64,
    v6: [u64; 4],
}

impl Table {
    pub(super) fn new() -> io::Result<Self> {
        if cfg!(target_endian = "big") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let map = bpf::array(ENTRIES, BYTES as u32)?;
        let memory = Mapping::of(&map, ENTRIES as usize * BYTES, 0)?;
        Ok(Self { map, memory })
    }

    /// The part of the program that uses it.
    pub(super) fn part(&self) -> Part {
        Part {
            map: self.map.as_raw_fd(),
            put: program::put,
        }
    }

    /// The share of one of so many workers.
    pub(super) fn share(&self, worker: usize, workers: usize) -> Entries {
        let each = ENTRIES as usize / workers.max(1);
        let first = worker * each;
        let numbers = (first..first + each).rev();
        let free = numbers.map(|number| Entry {
            number: number as u32,
            round: 0,
            first: 0,
            done: 0,
            until: 0,
            is_begun: false,
            is_told: false,
        });
        Entries {
            free: free.collect(),
            base_ns: 0,
        }
    }

    fn word(&self, entry: &Entry, at: i16) -> &AtomicU32 {
        self.memory.number(place(entry, at))
    }

    fn double(&self, entry: &Entry, at: i16) -> &AtomicU64 {
        self.memory.wide_number(place(entry, at))
    }

    /// Writes what packets are expected; they pass once [`Self::tell`] has told so. False if what was begun before has not
    /// come to its end yet, or if no packet of it has just been seen and its time is over.
    pub(super) fn begin(
        &self,
        entry: &mut Entry,
        express: &Express,
        headers: &Headers,
        base_ns: u64,
        is_seen: bool,
    ) -> bool {
        if entry.is_begun || self.word(entry, DONE).load(Ordering::Acquire) != entry.done {
            return false;
        }
        let now = now_ns().saturating_sub(base_ns) / 1_000;
        if is_seen {
            let hash = entry.number.wrapping_mul(0x9e37_79b9);
            let spread = (u64::from(hash) * SPREAD_US) >> 32;
            entry.until = now + LEAST_US + spread;
        } else if entry.until < now {
            return false;
        }
        let is_v4 = headers.local.is_ipv4();
        let ip_bytes = if is_v4 { V4_BYTES } else { V6_BYTES };
        let most = headers.path.mtu.saturating_sub(ip_bytes + HEADER_BYTES);
        let late = u64::from(LATE_US) * u64::from(express.pace.clock_hz) / 1_000_000;
        let came = Addresses::of(headers.from, headers.local);
        let sent = Addresses::of(headers.send_from, headers.send_to);
        let (our, from, next) = (headers.our_mac.0, headers.send_mac.0, headers.path.mac.0);
        let [class, flags, hops] = [[0x45, headers.dscp << 2], [0x40, 0], [64, 17]];
        let class_6 = [0x60 | headers.dscp >> 2, headers.dscp << 6, 0, 0];
        let ip_sum = [class, flags, hops].map(u16::from_ne_bytes);
        let of_addresses = sent.sum();
        let ip_sum = ip_sum.into_iter().map(u32::from).sum::<u32>() + of_addresses;
        let udp_sum = of_addresses + u32::from(17u16.to_be());
        let pace = &express.pace;
        let words = [
            (BOTH_PORTS, ports(headers.from, headers.local)),
            (SSRC, express.ssrc.to_be()),
            (OUR_MAC, four(our, 0)),
            (OUR_MAC + 4, u16::from_ne_bytes([our[4], our[5]]).into()),
            (PAYLOAD_TYPE, express.payload_type.into()),
            (LEAST, express.octets.0.into()),
            (MOST, most.min(express.octets.1.into())),
            (CLOCK_HZ, pace.clock_hz),
            (LATE, u32::try_from(late).unwrap_or(u32::MAX >> 1)),
            (COST, u32::try_from(pace.credit.cost_us).unwrap_or(u32::MAX)),
            (SEQUENCE_SHIFT, express.sequence_shift.into()),
            (TIMESTAMP_SHIFT, express.timestamp_shift),
            (SEND_SSRC, express.send_ssrc.to_be()),
            (SEND_AS, express.send_as.into()),
            (
                CLASS,
                match is_v4 {
                    true => u16::from_ne_bytes(class).into(),
                    false => u32::from_ne_bytes(class_6),
                },
            ),
            (SEND_PORTS, ports(headers.send_from, headers.send_to)),
            (IP_SUM, ip_sum),
            (MACS, four(next, 0)),
            (
                MACS + 4,
                u32::from_ne_bytes([next[4], next[5], from[0], from[1]]),
            ),
            (MACS + 8, four(from, 2)),
            (UDP_SUM, udp_sum),
            (
                LEAD,
                u32::from(express.sequence.wrapping_sub(entry.done as u16)),
            ),
            (OUT, headers.out.unwrap_or(0)),
            (TIMESTAMP, pace.timestamp),
            (TRANSIT, pace.transit),
            (JITTER, pace.jitter_16),
            (MOST_JITTER, 0),
            (GAP, 0),
        ];
        let doubles = [
            (ADDRESSES, came.v4),
            (UNTIL, entry.until),
            (BASE, base_ns),
            (SEND_ADDRESSES, sent.v4),
            (OCTETS, 0),
            (HEARD, pace.heard_at.0),
            (CREDIT, pace.credit.left_us),
            (JITTER_SUM, 0),
        ];
        // Ordering: the program reads nothing of this before it has read the state, which is stored last.
        for (at, value) in words {
            self.word(entry, at).store(value, Ordering::Relaxed);
        }
        for (at, value) in doubles {
            self.double(entry, at).store(value, Ordering::Relaxed);
        }
        for (from, addresses) in [(ADDRESSES_6, came.v6), (SEND_ADDRESSES_6, sent.v6)] {
            for (at, value) in (from..).step_by(8).zip(addresses) {
                self.double(entry, at).store(value, Ordering::Relaxed);
            }
        }
        entry.round = entry.round.wrapping_add(ROUND);
        entry.first = express.sequence;
        (entry.is_begun, entry.is_told) = (true, false);
        true
    }

    /// From now on they pass.
    pub(super) fn tell(&self, entry: &mut Entry) {
        if entry.is_begun && !std::mem::replace(&mut entry.is_told, true) {
            let state = entry.round | ARMED | u32::from(entry.first);
            self.word(entry, STATE).store(state, Ordering::Release);
        }
    }

    /// Nothing passes any more, until it is ended and begun again.
    pub(super) fn stop(&self, entry: &Entry) {
        if entry.is_told {
            // Ordering: as in `end`, which comes later.
            self.word(entry, STATE).fetch_and(!ARMED, Ordering::AcqRel);
        }
    }

    /// Ends it, and says what has passed.
    pub(super) fn end(&self, entry: &mut Entry) -> Option<Passed> {
        let was_told = std::mem::take(&mut entry.is_told);
        if !std::mem::take(&mut entry.is_begun) || !was_told {
            return None;
        }
        // Ordering: what the program reads after it has taken a packet is not written before this.
        let state = self.word(entry, STATE).fetch_and(!ARMED, Ordering::AcqRel);
        let packets = (state as u16).wrapping_sub(entry.first);
        entry.done = entry.done.wrapping_add(packets.into());
        for _ in 0..LOOKS {
            // Ordering: what was counted is there when this count is.
            if self.word(entry, DONE).load(Ordering::Acquire) == entry.done {
                break;
            }
            std::hint::spin_loop();
        }
        let word = |at| self.word(entry, at).load(Ordering::Relaxed);
        let double = |at| self.double(entry, at).load(Ordering::Relaxed);
        Some(Passed {
            packets: packets.into(),
            octets: double(OCTETS),
            timestamp: word(TIMESTAMP),
            transit: word(TRANSIT),
            jitter_16: word(JITTER),
            heard_at: Timestamp(double(HEARD)),
            credit_us: double(CREDIT),
            max_jitter_16: word(MOST_JITTER),
            jitter_sum_16: double(JITTER_SUM),
            gap_us: word(GAP).into(),
        })
    }

    /// Packets that have passed since it was begun, and their octets of RTP.
    pub(super) fn passing(&self, entry: &Entry) -> (u64, u64) {
        if !entry.is_told {
            return (0, 0);
        }
        let state = self.word(entry, STATE).load(Ordering::Relaxed);
        let packets = u64::from((state as u16).wrapping_sub(entry.first));
        // One that is being counted may lack its payload.
        let octets = self.double(entry, OCTETS).load(Ordering::Relaxed);
        (packets, 12 * packets + octets)
    }
}

impl Entries {
    /// Timestamps count from this moment.
    pub(super) fn keep_time(&mut self, start: Instant) {
        let mut least = u64::MAX;
        for _ in 0..READINGS {
            let before = now_ns();
            let passed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            // Whoever is interrupted in between reads two moments.
            let apart = now_ns().saturating_sub(before);
            if apart < least {
                least = apart;
                self.base_ns = before.saturating_sub(passed);
            }
            if least < APART_NS {
                break;
            }
        }
    }

    pub(super) fn base_ns(&self) -> u64 {
        self.base_ns
    }

    pub(super) fn take(&mut self) -> Option<Entry> {
        self.free.pop()
    }

    pub(super) fn give_back(&mut self, entry: Entry) {
        self.free.push(entry);
    }
}

impl Entry {
    /// Its number.
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

fn place(entry: &Entry, at: i16) -> u64 {
    u64::from(entry.number) * BYTES as u64 + u64::from(at.unsigned_abs())
}

impl Addresses {
    fn of(from: SocketAddr, to: SocketAddr) -> Self {
        let (mut v4, mut v6) = ([0; 8], [0; 32]);
        match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                v4[..4].copy_from_slice(&from.octets());
                v4[4..].copy_from_slice(&to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                v6[..16].copy_from_slice(&from.octets());
                v6[16..].copy_from_slice(&to.octets());
            }
            // Nothing comes from such a pair.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
        let mut words = [0; 4];
        for (word, octets) in words.iter_mut().zip(v6.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*octets);
        }
        Self {
            v4: u64::from_ne_bytes(v4),
            v6: words,
        }
    }

    /// Of all their sixteen bits.
    fn sum(&self) -> u32 {
        let words = self.v6.into_iter().chain([self.v4]);
        let halves = words.flat_map(|word| (0..4).map(move |half| (word >> (16 * half)) as u16));
        halves.map(u32::from).sum()
    }
}

fn ports(from: SocketAddr, to: SocketAddr) -> u32 {
    let mut octets = [0; 4];
    octets[..2].copy_from_slice(&from.port().to_be_bytes());
    octets[2..].copy_from_slice(&to.port().to_be_bytes());
    u32::from_ne_bytes(octets)
}

fn four(octets: [u8; 6], from: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&octets[from..from + 4]);
    u32::from_ne_bytes(four)
}

/// The kernel's monotonic clock, which the program reads as well.
pub(super) fn now_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // JUSTIFICATION: `Instant` does not tell what the kernel calls it.
    // SAFETY: the kernel writes the value that is given, and keeps nothing.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    match result {
        0 => Duration::new(now.tv_sec as u64, now.tv_nsec as u32).as_nanos() as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
