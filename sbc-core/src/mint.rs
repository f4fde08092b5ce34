//! The one source of identifiers and random delays. Seeded once; the same seed gives the same run.

use crate::hashed::Secret;
use crate::id::{CallId, ShardId};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::time::Duration;

/// Makes tags, branches, Call-IDs and random delays from a ChaCha12 key stream.
///
/// Production seeds it from the operating system; simulation from the scenario. Tags and branches
/// begin with a character that names the shard, so that the I/O threads find the shard of a
/// message without asking anybody; the rest is 100 random bits or more (SIP-101, SIP-400).
pub struct Mint {
    shard: ShardId,
    stream: ChaCha12Rng,
}

/// Seed of a [`Mint`].
pub type Seed = [u8; 32];

impl Mint {
    /// A mint for one shard. Two shards must not share a seed.
    pub fn new(shard: ShardId, seed: Seed) -> Self {
        Self {
            shard,
            stream: ChaCha12Rng::from_seed(seed),
        }
    }

    /// A dialog tag: shard character and 100 random bits.
    pub fn tag(&mut self) -> String {
        self.identifier("", TAG_CHARACTERS)
    }

    /// A Via branch: magic cookie, shard character and 100 random bits.
    pub fn branch(&mut self) -> String {
        self.identifier(MAGIC_COOKIE, 20)
    }

    /// A Call-ID without host part: shard character and 130 random bits (SIP-400).
    pub fn call_id(&mut self) -> String {
        self.identifier("", 26)
    }

    /// A call identifier: time-ordered like UUIDv7 (48 bits of milliseconds, version, random rest).
    pub fn call(&mut self, wall: crate::time::UnixTime) -> CallId {
        let ms = u128::from(wall.as_micros() / 1_000) & 0xffff_ffff_ffff;
        let random = (u128::from(self.number()) << 64) | u128::from(self.number());
        let version = 0x7_u128 << 76;
        let variant = 0x2_u128 << 62;
        let random_a = random & (0xfff << 64);
        let random_b = random & 0x3fff_ffff_ffff_ffff;
        CallId((ms << 80) | version | random_a | variant | random_b)
    }

    /// A secret for digests.
    pub(crate) fn secret(&mut self) -> Secret {
        let mut random = [0; 16];
        self.stream.fill_bytes(&mut random);
        Secret::new(&random)
    }

    /// A secret that a leg's ICE credentials or names of DTLS associations are drawn from.
    pub(crate) fn leg_secret(&mut self) -> [u8; 16] {
        let mut random = [0; 16];
        self.stream.fill_bytes(&mut random);
        random
    }

    /// A secret that a leg's later SRTP keys are drawn from.
    pub(crate) fn keys_secret(&mut self) -> [u8; 32] {
        let mut random = [0; 32];
        self.stream.fill_bytes(&mut random);
        random
    }

    /// 64 random bits.
    pub fn number(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A number uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        low + ((u128::from(self.number()) * span) >> 64) as u64
    }

    /// A delay uniform between two others, in steps of 10 ms.
    pub fn delay(&mut self, low: Duration, high: Duration) -> Duration {
        let steps = |d: Duration| u64::try_from(d.as_millis() / 10).unwrap_or(u64::MAX);
        Duration::from_millis(10 * self.between(steps(low), steps(high)))
    }

    fn identifier(&mut self, begin: &str, characters: usize) -> String {
        let mut random = [0_u8; LONGEST];
        let random = &mut random[..characters];
        let mut bits = 0_u32;
        let mut pool = 0_u64;
        for octet in random.iter_mut() {
            if bits < 5 {
                pool = self.number();
                bits = 64;
            }
            *octet = BASE32[(pool & 31) as usize];
            pool >>= 5;
            bits -= 5;
        }
        let mut text = String::with_capacity(begin.len() + 1 + characters);
        text.push_str(begin);
        text.push(shard_character(self.shard));
        text.push_str(std::str::from_utf8(random).unwrap_or_default());
        text
    }
}

/// Random characters of the longest identifier.
const LONGEST: usize = 26;

/// Characters of a tag behind that of its shard.
const TAG_CHARACTERS: usize = 20;

/// Characters of our identifiers: lower case only, because Call-ID and tags are compared with case
/// but some peers change it.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The start of every RFC 3261 branch.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// The character that names a shard in our tags, branches and Call-IDs.
pub fn shard_character(shard: ShardId) -> char {
    char::from(BASE32[usize::from(shard.0) % BASE32.len()])
}

/// The shard named by the first character of one of our tags, Call-IDs, or branches without the
/// cookie. Only a hint: anything a stranger sends may look like one.
pub fn shard_of(identifier: &[u8]) -> Option<ShardId> {
    let first = identifier.first()?;
    let position = BASE32.iter().position(|c| c == first)?;
    u8::try_from(position).ok().map(ShardId)
}

/// Whether this may be one of our dialog tags, of whatever shard.
pub fn may_be_tag(tag: &[u8]) -> bool {
    tag.len() == 1 + TAG_CHARACTERS && tag.iter().all(|octet| BASE32.contains(octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    #[test]
    fn identifiers_name_their_shard_and_differ() {
        let mut mint = Mint::new(ShardId(3), [7; 32]);
        let (one, two) = (mint.tag(), mint.tag());
        assert_ne!(one, two);
        assert!(may_be_tag(one.as_bytes()) && !may_be_tag(mint.call_id().as_bytes()));
        assert!(!may_be_tag(one.replace(&one[..1], "-").as_bytes()));
        assert_eq!(shard_of(one.as_bytes()), Some(ShardId(3)));
        let branch = mint.branch();
        assert_eq!(
            shard_of(&branch.as_bytes()[MAGIC_COOKIE.len()..]),
            Some(ShardId(3))
        );
        assert_eq!(mint.call_id().len(), 27);
    }

    #[test]
    fn call_identifiers_sort_by_time_and_carry_version_7() {
        let mut mint = Mint::new(ShardId(0), [7; 32]);
        let early = mint.call(UnixTime::from_micros(1_700_000_000_000_000));
        let late = mint.call(UnixTime::from_micros(1_700_000_001_000_000));
        assert!(early < late);
        assert_eq!((early.0 >> 76) & 0xf, 7);
        assert_eq!((early.0 >> 62) & 0x3, 2);
    }

    #[test]
    fn random_numbers_stay_in_their_range_and_reach_both_ends() {
        let mut mint = Mint::new(ShardId(0), [1; 32]);
        let drawn: Vec<u64> = (0..200).map(|_| mint.between(3, 6)).collect();
        assert!(drawn.iter().all(|n| (3..=6).contains(n)));
        assert!(drawn.contains(&3) && drawn.contains(&6));
    }
}
