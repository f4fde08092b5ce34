//! Hash tables of a shard, and digests of what strangers wrote.
//!
//! The order of a hash table means nothing and must not show in an effect: whoever walks one sorts
//! what he found. Keys that strangers choose go in as a digest under a secret of the shard, so that
//! nobody can make many of them meet; keys that we mint need no secret.
#![expect(
    clippy::disallowed_types,
    reason = "the order of these is the same in every run"
)]

use foldhash::fast::FixedState;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

/// By a key that we minted: an identifier, a tag, a branch.
pub(crate) type Minted<K, V> = HashMap<K, V, FixedState>;

/// By a [`Digest`].
pub(crate) type Digested<V> = HashMap<u128, V, BuildHasherDefault<Itself>>;

/// What keys the digests of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Secret(SipHasher13);

/// A digest in the making; its parts are told apart.
pub(crate) struct Digest(SipHasher13);

impl Secret {
    /// From random octets.
    pub(crate) fn new(random: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(random))
    }

    /// Begins a digest.
    pub(crate) fn digest(self) -> Digest {
        Digest(self.0)
    }
}

impl Digest {
    /// Adds text.
    pub(crate) fn part(&mut self, text: &[u8]) {
        self.0.write_usize(text.len());
        self.0.write(text);
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u32) {
        self.0.write_u32(number);
    }

    /// Adds an address.
    pub(crate) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.0.write_u32(address.to_bits()),
            IpAddr::V6(address) => self.0.write_u128(address.to_bits()),
        }
    }

    /// The digest.
    pub(crate) fn finish(self) -> u128 {
        self.0.finish128().as_u128()
    }
}

/// A digest is as good a hash as any.
#[derive(Default)]
pub(crate) struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u128(&mut self, digest: u128) {
        // Every bit of either half depends on all the text.
        self.0 = (digest >> 64) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(secret: u8, parts: &[&str]) -> u128 {
        let mut digest = Secret::new(&[secret; 16]).digest();
        for part in parts {
            digest.part(part.as_bytes());
        }
        digest.finish()
    }

    #[test]
    fn digests_differ_by_secret_and_by_where_a_part_ends() {
        assert_eq!(digest(1, &["ab", "c"]), digest(1, &["ab", "c"]));
        assert_ne!(digest(1, &["ab", "c"]), digest(1, &["a", "bc"]));
        assert_ne!(digest(1, &["ab", "c"]), digest(2, &["ab", "c"]));
    }

    #[test]
    fn a_digest_is_found_under_itself() {
        let mut table = Digested::default();
        table.insert(digest(1, &["a"]), 1);
        table.insert(digest(1, &["b"]), 2);
        assert_eq!(table.get(&digest(1, &["b"])), Some(&2));
        assert_eq!(table.get(&digest(1, &["c"])), None);
    }
}
