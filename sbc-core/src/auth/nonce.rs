//! Our own nonces: no memory for a challenge, some for what was proven with one (SIP-1610).
//!
//! A nonce says when it was made and carries a keyed sum over that, the realm and the address that
//! it was made for, so that a flood of challenges leaves nothing behind and no nonce is of use to
//! anybody else. Only who has proven to know a password makes us remember how often its nonce was
//! used. A nonce belongs to the shard that made it: another one says `stale`, and the peer repeats
//! its request with the nonce that comes with that.

use crate::mint::Mint;
use crate::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// How long a nonce is good for.
const LIFE: Duration = Duration::from_secs(60);

/// Most nonces in use that are remembered. Beyond, the oldest are called stale.
const MOST: usize = 8_192;

/// Octets of the keyed sum that are shown.
const SUM: usize = 16;

/// Uses that may come out of order: an INVITE over UDP may overtake another.
const WINDOW: u32 = 64;

/// The nonces of one shard.
#[derive(Default)]
pub(super) struct OwnNonces {
    key: Option<Key>,
    serial: u32,
    used: BTreeMap<Stamp, Uses>,
    /// What is not younger than this and not remembered is stale.
    forgotten: Option<Stamp>,
}

/// When a nonce was made, and as which one of that moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Stamp {
    ms: u64,
    serial: u32,
}

/// Counts with which a nonce was used: the highest, and which of those just below.
#[derive(Clone, Copy, Debug)]
struct Uses {
    highest: u32,
    below: u64,
}

/// What a nonce is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Worth {
    /// Ours, of late, and not used with this count.
    Good,
    /// It was ours and good, or that of another shard or address.
    Stale,
    /// It was used with this count already.
    Replayed,
}

impl OwnNonces {
    /// A new nonce for an address.
    pub(super) fn make(
        &mut self,
        now: Timestamp,
        mint: &mut Mint,
        realm: &str,
        source: IpAddr,
    ) -> String {
        self.serial = self.serial.wrapping_add(1);
        let stamp = Stamp {
            ms: now.as_micros() / 1_000,
            serial: self.serial,
        };
        let key = self.key.get_or_insert_with(|| Key::new(mint));
        let sum = key.sum(stamp, realm, source);
        format!("{:012x}{:08x}{}", stamp.ms, stamp.serial, hexadecimal(&sum))
    }

    /// Whether a nonce was made here for this address and realm, and is not too old: then who shows
    /// it has got our challenge, so its address is no invention.
    pub(super) fn is_answer(
        &self,
        now: Timestamp,
        nonce: &[u8],
        realm: &str,
        source: IpAddr,
    ) -> bool {
        self.read(now, nonce, realm, source).is_some()
    }

    /// Judges a nonce whose user has proven to know the password, and takes note of the use.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        nonce: &[u8],
        realm: &str,
        source: IpAddr,
        count: u32,
    ) -> Worth {
        let Some(stamp) = self.read(now, nonce, realm, source) else {
            return Worth::Stale;
        };
        if let Some(uses) = self.used.get_mut(&stamp) {
            return uses.take(count);
        }
        if count == 0 || self.forgotten.is_some_and(|limit| stamp <= limit) {
            return Worth::Stale;
        }
        let oldest = (now.as_micros() / 1_000).saturating_sub(LIFE.as_millis() as u64);
        self.used = self.used.split_off(&Stamp {
            ms: oldest,
            serial: 0,
        });
        if self.used.len() >= MOST {
            let first = self.used.pop_first();
            self.forgotten = first.map(|(stamp, _)| stamp).max(self.forgotten);
        }
        let uses = Uses {
            highest: count,
            below: 0,
        };
        self.used.insert(stamp, uses);
        Worth::Good
    }

    fn read(&self, now: Timestamp, nonce: &[u8], realm: &str, source: IpAddr) -> Option<Stamp> {
        let text = std::str::from_utf8(nonce).ok()?;
        let is_plain = text.len() == 20 + 2 * SUM && text.bytes().all(|o| o.is_ascii_hexdigit());
        if !is_plain {
            return None;
        }
        let stamp = Stamp {
            ms: u64::from_str_radix(text.get(..12)?, 16).ok()?,
            serial: u32::from_str_radix(text.get(12..20)?, 16).ok()?,
        };
        let sum = hexadecimal(&self.key.as_ref()?.sum(stamp, realm, source));
        let is_ours: bool = sum.as_bytes().ct_eq(&text.as_bytes()[20..]).into();
        let now_ms = now.as_micros() / 1_000;
        let is_young = stamp.ms <= now_ms && now_ms - stamp.ms <= LIFE.as_millis() as u64;
        (is_ours && is_young).then_some(stamp)
    }
}

impl Uses {
    fn take(&mut self, count: u32) -> Worth {
        if count > self.highest {
            let ahead = count - self.highest;
            // The one that was the highest is the first below the new one.
            self.below = match ahead {
                ..WINDOW => self.below << ahead | 1 << (ahead - 1),
                WINDOW => 1 << (WINDOW - 1),
                _ => 0,
            };
            self.highest = count;
            return Worth::Good;
        }
        let behind = self.highest - count;
        if count == 0 || behind == 0 || behind > WINDOW {
            return Worth::Replayed;
        }
        let bit = 1 << (behind - 1);
        match self.below & bit {
            0 => {
                self.below |= bit;
                Worth::Good
            }
            _ => Worth::Replayed,
        }
    }
}

/// What makes our nonces ours: as long as a block of the digest. Never printed, wiped when dropped.
struct Key([u8; 64]);

impl Key {
    fn new(mint: &mut Mint) -> Self {
        let mut octets = [0; 64];
        for part in octets.chunks_mut(8) {
            part.copy_from_slice(&mint.number().to_be_bytes());
        }
        Self(octets)
    }

    fn sum(&self, stamp: Stamp, realm: &str, source: IpAddr) -> [u8; SUM] {
        let source = match source.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let mut mac = Hmac::<Sha256>::new((&self.0).into());
        mac.update(&stamp.ms.to_be_bytes());
        mac.update(&stamp.serial.to_be_bytes());
        mac.update(&source);
        mac.update(realm.as_bytes());
        let whole = mac.finalize().into_bytes();
        let mut sum = [0; SUM];
        sum.copy_from_slice(&whole[..SUM]);
        sum
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;

    const REALM: &str = "sip.example.com";

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, last])
    }

    fn bench() -> (OwnNonces, Mint) {
        (OwnNonces::default(), Mint::new(ShardId(0), [5; 32]))
    }

    #[test]
    fn a_nonce_is_good_for_its_address_realm_and_time_alone() {
        let (mut nonces, mut mint) = bench();
        let nonce = nonces.make(at(1_000), &mut mint, REALM, source(1));
        let nonce = nonce.as_bytes();
        assert!(nonces.is_answer(at(61_000), nonce, REALM, source(1)));
        assert!(!nonces.is_answer(at(61_001), nonce, REALM, source(1)));
        assert!(!nonces.is_answer(at(999), nonce, REALM, source(1)));
        assert!(!nonces.is_answer(at(1_000), nonce, REALM, source(2)));
        assert!(!nonces.is_answer(at(1_000), nonce, "sip.example.net", source(1)));
        for position in 0..nonce.len() {
            let mut forged = nonce.to_vec();
            forged[position] ^= 1;
            assert!(!nonces.is_answer(at(1_000), &forged, REALM, source(1)));
            assert!(!nonces.is_answer(at(1_000), &nonce[..position], REALM, source(1)));
        }
    }

    #[test]
    fn a_count_is_good_once_in_whatever_order_it_comes() {
        let (mut nonces, mut mint) = bench();
        let nonce = nonces.make(at(0), &mut mint, REALM, source(1));
        let mut take = |count| nonces.take(at(1), nonce.as_bytes(), REALM, source(1), count);
        assert_eq!(take(1), Worth::Good);
        assert_eq!(take(1), Worth::Replayed);
        assert_eq!(take(4), Worth::Good);
        assert_eq!(take(3), Worth::Good);
        assert_eq!(take(2), Worth::Good);
        for count in [0, 1, 2, 3, 4] {
            assert_eq!(take(count), Worth::Replayed, "{count}");
        }
        assert_eq!(take(4 + WINDOW), Worth::Good);
        assert_eq!(take(4), Worth::Replayed);
        assert_eq!(take(5), Worth::Good);
        assert_eq!(take(u32::MAX), Worth::Good);
        assert_eq!(take(6), Worth::Replayed, "too far behind to know");
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_is_stale() {
        let (mut nonces, mut mint) = bench();
        let all: Vec<String> = (0..=MOST as u64)
            .map(|n| nonces.make(at(n / 1_000), &mut mint, REALM, source(1)))
            .collect();
        for nonce in &all {
            let worth = nonces.take(at(10), nonce.as_bytes(), REALM, source(1), 1);
            assert_eq!(worth, Worth::Good);
        }
        assert_eq!(nonces.used.len(), MOST);
        // The first was forgotten: nobody knows whether its count was used.
        let mut again = |n: usize, count| {
            let nonce = all[n].as_bytes();
            nonces.take(at(10), nonce, REALM, source(1), count)
        };
        assert_eq!(again(0, 2), Worth::Stale);
        assert_eq!(again(1, 1), Worth::Replayed);
        assert_eq!(again(1, 2), Worth::Good);
        let late = nonces.make(at(70_000), &mut mint, REALM, source(1));
        let worth = nonces.take(at(70_000), late.as_bytes(), REALM, source(1), 1);
        assert_eq!((worth, nonces.used.len()), (Worth::Good, 1));
    }
}
