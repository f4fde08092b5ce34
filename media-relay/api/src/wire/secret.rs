//! Keys, passwords and what else only its own type may make, as octets.

use super::{Reader, Wire, WireFault, Writer};
use crate::{CryptoKey, Digit, Fingerprint, HashFunction, IceCredentials, LONGEST_LIFETIME, Suite};

/// Longest master key identifier (RFC 3711 §3.1 and RFC 4568 §6.1).
const IDENTIFIER: usize = 128;

impl Wire for CryptoKey {
    fn put(&self, out: &mut Writer) {
        self.suite().put(out);
        out.push(self.expose_key_and_salt());
        self.lifetime().put(out);
        out.length(self.identifier().len());
        out.push(self.identifier());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let suite = Suite::take(from)?;
        let key = from.octets(suite.key_and_salt_bytes())?.to_vec();
        let key = Self::new(suite, key).ok_or(WireFault::Value("key"))?;
        let lifetime = u64::take(from)?;
        if !(1..=LONGEST_LIFETIME).contains(&lifetime) {
            return Err(WireFault::Value("key lifetime"));
        }
        let key = key.with_lifetime(lifetime);
        let length = from.length()?;
        if length > IDENTIFIER {
            return Err(WireFault::Value("key identifier"));
        }
        Ok(key.with_identifier(from.octets(length)?.to_vec()))
    }
}

impl Wire for IceCredentials {
    fn put(&self, out: &mut Writer) {
        out.length(self.fragment().len());
        out.push(self.fragment().as_bytes());
        out.length(self.expose_password().len());
        out.push(self.expose_password().as_bytes());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        // What is refused is zeroised by the type, so the password is read last.
        let fragment = String::take(from)?;
        let password = String::take(from)?;
        Self::new(fragment, password).ok_or(WireFault::Value("ICE credentials"))
    }
}

impl Wire for Digit {
    fn put(&self, out: &mut Writer) {
        self.event().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Self::from_event(u8::take(from)?).ok_or(WireFault::Value("digit"))
    }
}

impl Wire for Fingerprint {
    fn put(&self, out: &mut Writer) {
        self.function().put(out);
        out.push(self.digest());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let function = HashFunction::take(from)?;
        let digest = from.octets(function.digest_bytes())?.to_vec();
        Self::new(function, digest).ok_or(WireFault::Value("fingerprint"))
    }
}
