//! One association with a peer: a handshake, who the peer is, and the keys that come of it.

use super::identity::{Identity, is_of};
use crate::time::Timestamp;
use dimpl::{Dtls, Output, SrtpProfile};
use media_api::{CryptoKey, DtlsRole, DtlsTerms, Suite};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Room for what one step puts out at once.
const ROOM: usize = 2_048;
/// Outputs taken in one step: a bound that no handshake comes near.
const OUTPUTS: usize = 64;

/// Octets of the header of a record: type, version, epoch, number, length (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;
/// Type of a record with an alert.
const ALERT: u8 = 21;

/// How an association ended, or that it has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The peer is who it should be, and these are the keys.
    Keys {
        /// Protects what we send.
        local: CryptoKey,
        /// Protects what the peer sends.
        remote: CryptoKey,
    },
    /// There will be no keys.
    Failed(Fault),
}

/// Why there are no keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The certificate is not the one of the description.
    Fingerprint,
    /// The peer did not answer in time.
    Timeout,
    /// The two have no protocol in common, or the peer broke its rules.
    Handshake,
    /// The peer has ended the association.
    Closed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fingerprint => {
                "the certificate is not the one whose fingerprint the description has"
            }
            Self::Timeout => "the handshake was not answered in time",
            Self::Handshake => "the handshake failed: nothing in common, or against its rules",
            Self::Closed => "the peer has ended the association",
        })
    }
}

/// An association.
pub struct Association {
    dtls: Dtls,
    terms: DtlsTerms,
    /// What a [`Timestamp`] of zero is for the library.
    epoch: Instant,
    deadline: Option<Timestamp>,
    is_verified: bool,
    /// Somebody has said that it fails.
    is_alerted: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Handshake,
    /// Keys are out; what the peer repeats is still answered.
    Keyed,
    Over,
}

impl Association {
    /// An association under these terms. Who is [`DtlsRole::Active`] begins with the first [`Self::tick`]. `epoch` is
    /// any point in time, the same one for the life of the process: the library counts in its own kind of time.
    pub fn new(identity: &Identity, terms: DtlsTerms, epoch: Instant, now: Timestamp) -> Self {
        let certificate = identity.certificate.clone();
        let start = epoch + now.since(Timestamp(0));
        let mut dtls = Dtls::new_12(Arc::clone(&identity.config), certificate, start);
        dtls.set_active(terms.role == DtlsRole::Active);
        Self {
            dtls,
            deadline: (terms.role == DtlsRole::Active).then_some(now),
            terms,
            epoch,
            is_verified: false,
            is_alerted: false,
            stage: Stage::Handshake,
        }
    }

    /// Under which terms it is.
    pub fn terms(&self) -> &DtlsTerms {
        &self.terms
    }

    /// Takes a datagram of the peer. The caller has made sure that it comes from where the peer may be.
    pub fn packet(
        &mut self,
        datagram: &[u8],
        now: Timestamp,
        send: impl FnMut(&[u8]),
    ) -> Option<Outcome> {
        self.step(Some(datagram), now, send)
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Timestamp, send: impl FnMut(&[u8])) -> Option<Outcome> {
        self.step(None, now, send)
    }

    /// When [`Self::tick`] is due.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    fn step(
        &mut self,
        datagram: Option<&[u8]>,
        now: Timestamp,
        mut send: impl FnMut(&[u8]),
    ) -> Option<Outcome> {
        if self.stage == Stage::Over {
            return None;
        }
        let instant = self.epoch + now.since(Timestamp(0));
        let timed = self.dtls.handle_timeout(instant);
        let datagram = datagram.map(|own| self.without_open_alert(own));
        let taken = timed.and_then(|()| match datagram {
            Some(own) if !own.is_empty() => self.dtls.handle_packet(own),
            _ => Ok(()),
        });
        let outcome = self.drain(&mut send);
        match (outcome, taken) {
            (Some(Outcome::Failed(fault)), _) => self.fail(fault),
            (Some(keys), _) => Some(keys),
            (None, Ok(())) => None,
            (None, Err(dimpl::Error::Timeout(_))) if !self.is_alerted => self.fail(Fault::Timeout),
            (None, Err(_)) => self.fail(Fault::Handshake),
        }
    }

    /// The datagram up to an alert that nobody has signed, if there is one: anybody who can write the peer's
    /// address could end a handshake with it (MED-135). An honest one is followed by silence.
    fn without_open_alert<'d>(&mut self, datagram: &'d [u8]) -> &'d [u8] {
        let mut at = 0;
        while let Some(header) = datagram.get(at..at + RECORD_HEADER) {
            let is_open = header[3..5] == [0, 0];
            if header[0] == ALERT && is_open && self.stage == Stage::Handshake {
                self.is_alerted = true;
                return &datagram[..at];
            }
            at += RECORD_HEADER + usize::from(u16::from_be_bytes([header[11], header[12]]));
        }
        datagram
    }

    fn drain(&mut self, send: &mut impl FnMut(&[u8])) -> Option<Outcome> {
        let mut room = Zeroizing::new([0; ROOM]);
        let mut outcome = None;
        for _ in 0..OUTPUTS {
            match self.dtls.poll_output(&mut *room) {
                Output::Packet(packet) => send(packet),
                Output::Timeout(at) => {
                    let due = at.saturating_duration_since(self.epoch);
                    // Its time is finer than ours: a moment too early would be for nothing.
                    let due = Timestamp(0) + due + Duration::from_micros(1);
                    self.deadline = (self.stage == Stage::Handshake).then_some(due);
                    return outcome;
                }
                Output::PeerCert(certificate) => {
                    self.is_verified = is_of(certificate, &self.terms.fingerprints);
                    if !self.is_verified {
                        return Some(Outcome::Failed(Fault::Fingerprint));
                    }
                }
                Output::KeyingMaterial(material, profile) => {
                    let keys = keys(&material, profile, self.terms.role);
                    outcome = match keys.filter(|_| self.is_verified) {
                        Some(keys) => {
                            self.stage = Stage::Keyed;
                            Some(keys)
                        }
                        None => return Some(Outcome::Failed(Fault::Handshake)),
                    };
                }
                Output::CloseNotify => return Some(Outcome::Failed(Fault::Closed)),
                // Nobody speaks over this association but its handshake.
                Output::Connected | Output::ApplicationData(_) => {}
                Output::BufferTooSmall { .. } => return Some(Outcome::Failed(Fault::Handshake)),
                _ => {}
            }
        }
        outcome
    }

    fn fail(&mut self, fault: Fault) -> Option<Outcome> {
        self.stage = Stage::Over;
        self.deadline = None;
        Some(Outcome::Failed(fault))
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association")
            .field("terms", &self.terms)
            .field("deadline", &self.deadline)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// Takes the exported octets apart: both master keys, then both master salts, the client's first
/// (RFC 5764 §4.2).
fn keys(material: &[u8], profile: SrtpProfile, role: DtlsRole) -> Option<Outcome> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => return None,
    };
    let (key, salt) = (suite.key_bytes(), suite.salt_bytes());
    if material.len() != 2 * (key + salt) {
        return None;
    }
    let (keys, salts) = material.split_at(2 * key);
    let of = |party: usize| {
        let own = [&keys[party * key..][..key], &salts[party * salt..][..salt]];
        CryptoKey::new(suite, own.concat())
    };
    let (client, server) = (of(0)?, of(1)?);
    let (local, remote) = match role {
        DtlsRole::Active => (client, server),
        DtlsRole::Passive => (server, client),
    };
    Some(Outcome::Keys { local, remote })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_octets_are_keys_then_salts_the_clients_first() {
        let material: Vec<u8> = (0..60).collect();
        let of = |role| keys(&material, SrtpProfile::AES128_CM_SHA1_80, role);
        let Some(Outcome::Keys { local, remote }) = of(DtlsRole::Active) else {
            panic!("keys")
        };
        assert_eq!((local.expose_key()[0], local.expose_salt()[0]), (0, 32));
        assert_eq!((remote.expose_key()[0], remote.expose_salt()[0]), (16, 46));
        let turned = Outcome::Keys {
            local: remote,
            remote: local,
        };
        assert_eq!(of(DtlsRole::Passive), Some(turned));
        assert_eq!(
            keys(&material, SrtpProfile::AEAD_AES_128_GCM, DtlsRole::Active),
            None
        );
    }
}
