//! Random numbers: a keyed generator seeded once, by the operating system or by a scenario.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use std::fmt;
use zeroize::Zeroize;

/// Source of everything that an outsider must not guess: SSRCs, sequence starts, ports, keys.
///
/// AES-256 in counter mode over a secret seed. Master keys do not come from it in production but
/// from the operating system each time, so that no state of ours ever explains an old key.
pub struct Entropy {
    cipher: Aes256,
    counter: u128,
    secrets: Secrets,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    System,
    Seeded,
}

/// The operating system has no random numbers for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoEntropy;

impl Entropy {
    /// Seeded by the operating system.
    ///
    /// # Errors
    /// [`NoEntropy`] if it has none.
    pub fn from_system() -> Result<Self, NoEntropy> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| NoEntropy)?;
        let made = Self::keyed(&seed, Secrets::System);
        seed.zeroize();
        Ok(made)
    }

    /// Seeded by a scenario: the same seed gives the same ports, SSRCs and keys.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::keyed(&seed, Secrets::Seeded)
    }

    fn keyed(seed: &[u8; 32], secrets: Secrets) -> Self {
        Self {
            cipher: Aes256::new(&(*seed).into()),
            counter: 0,
            secrets,
        }
    }

    /// An independent source of the same kind, for another owner.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        let made = Self::keyed(&seed, self.secrets);
        seed.zeroize();
        made
    }

    /// Fills `to` with numbers nobody can predict.
    pub fn fill(&mut self, to: &mut [u8]) {
        for chunk in to.chunks_mut(16) {
            let mut block = self.counter.to_be_bytes().into();
            self.counter = self.counter.wrapping_add(1);
            self.cipher.encrypt_block(&mut block);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    /// Fills `to` with key material.
    ///
    /// # Errors
    /// [`NoEntropy`] if the operating system has none.
    pub fn fill_secret(&mut self, to: &mut [u8]) -> Result<(), NoEntropy> {
        match self.secrets {
            Secrets::System => getrandom::fill(to).map_err(|_| NoEntropy),
            Secrets::Seeded => {
                self.fill(to);
                Ok(())
            }
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `limit`, evenly distributed to within 2⁻³²; 0 if `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next_u64()) * limit as u128) >> 64) as usize
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(<secret>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_forks_differ() {
        let mut one = Entropy::from_seed([7; 32]);
        let mut two = Entropy::from_seed([7; 32]);
        assert_eq!(one.next_u64(), two.next_u64());
        assert_ne!(one.fork().next_u64(), one.fork().next_u64());
        assert_ne!(one.next_u64(), one.next_u64());
    }

    #[test]
    fn numbers_stay_below_their_limit() {
        let mut entropy = Entropy::from_seed([1; 32]);
        assert_eq!(entropy.below(0), 0);
        assert!((0..1000).all(|_| entropy.below(10) < 10));
    }
}
