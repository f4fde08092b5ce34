//! SRTP keys of ours that follow the relay's first ones (RFC 4568).
//!
//! Whoever is new at the other end knows our key from our description alone, and nothing of how far it has
//! counted: its roll-over counter begins at 0 (RFC 3711 §3.3.1). What goes on under the key of before cannot be opened
//! there once that has wrapped, so a peer that comes with another key from another place gets another key of ours.

use super::profile::Ice;
use super::read::{AudioFacts, Secured};
use hmac::{Hmac, KeyInit, Mac};
use media_api::{CryptoKey, NegotiatedStream, Protection, wire_layout};
use sha2::Sha256;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// What the later keys of one leg are drawn from.
#[derive(Clone)]
pub(super) struct OwnKeys {
    secret: [u8; 32],
    /// Keys that were ever made.
    made: u32,
}

impl Drop for OwnKeys {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Without the secret.
impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKeys")
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

impl OwnKeys {
    /// Keys that come from these random bytes.
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret, made: 0 }
    }

    /// Another key of the suite and lifetime of `before`.
    pub(super) fn after(&mut self, before: &CryptoKey) -> Option<CryptoKey> {
        self.made = self.made.checked_add(1)?;
        let suite = before.suite();
        let mut octets = Zeroizing::new(Vec::with_capacity(64));
        for block in 0..=1_u8 {
            let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
            mac.update(&self.made.to_be_bytes());
            mac.update(&[block]);
            mac.update(suite.name().as_bytes());
            octets.extend_from_slice(&mac.finalize().into_bytes());
        }
        let key = octets.get(..suite.key_and_salt_bytes())?.to_vec();
        Some(CryptoKey::new(suite, key)?.with_lifetime(before.lifetime()))
    }
}

/// Whether who describes itself so is another one than was agreed with: it has another key, and it is elsewhere.
pub(super) fn is_newcomer(agreed: &NegotiatedStream, peer: &AudioFacts, ice: Ice) -> bool {
    let (Protection::Sdes { remote, .. }, Secured::Sdes(keys)) =
        (&agreed.protection, &peer.secured)
    else {
        return false;
    };
    let is_known = keys.iter().any(|own| own.key.is_same_secret(remote));
    let is_there = match (&agreed.ice, peer.agent(ice)) {
        // With ICE the fragment says who somebody is, and the address means nothing. The relay sends with the key of
        // before towards the pair of before (TDR-ICE-009).
        (Some(before), Some(now)) => before.remote_fragment == now.fragment,
        (None, None) => agreed.remote_rtp == peer.rtp,
        (Some(_), None) | (None, Some(_)) => false,
    };
    !is_known && !is_there
}

wire_layout! {
    struct OwnKeys { secret, made }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::Suite;

    #[test]
    fn every_key_is_another_one_of_its_suite_and_lasts_as_long_as_the_one_before() {
        for suite in Suite::ALL {
            let first = CryptoKey::new(suite, vec![7; suite.key_and_salt_bytes()]).unwrap();
            let first = first.with_lifetime(1 << 20);
            let mut keys = OwnKeys::new([1; 32]);
            let second = keys.after(&first).unwrap();
            let third = keys.after(&second).unwrap();
            assert_eq!((second.suite(), second.lifetime()), (suite, 1 << 20));
            assert!(first != second && second != third, "{suite:?}");
            // The same leg says the same, another one something else.
            assert_eq!(OwnKeys::new([1; 32]).after(&first).unwrap(), second);
            assert_ne!(OwnKeys::new([2; 32]).after(&first).unwrap(), second);
            assert!(!format!("{keys:?}").contains("secret"));
        }
    }
}
