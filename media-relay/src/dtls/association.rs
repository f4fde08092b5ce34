//! One association with a peer: a handshake, who the peer is, and the keys that come of it.
//!
//! Whoever can write the peer's address can spoil a handshake: with records that an honest peer might have sent, and
//! so many of them that there is no room for its own. What is spoilt begins anew, a few times and within the time
//! that a handshake has (MED-135).

use super::filter::{Filter, Sifted};
use super::identity::{HANDSHAKE, Identity, is_of};
use crate::time::Timestamp;
use dimpl::{Dtls, Output, SrtpProfile};
use media_api::{CryptoKey, DtlsRole, DtlsTerms, HandshakeFault, Suite};
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// Room for what one step puts out at once.
const ROOM: usize = 2_048;
/// Outputs taken in one step: a bound that no handshake comes near.
const OUTPUTS: usize = 64;

/// How often a handshake begins anew that somebody has spoilt.
const RESTARTS: u8 = 8;
/// Datagrams that are looked at within a second: a handshake has about ten, with everything repeated.
const PER_SECOND: u32 = 64;
const SECOND: Duration = Duration::from_secs(1);

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
    Failed(HandshakeFault),
}

/// An association.
pub struct Association {
    dtls: Dtls,
    filter: Filter,
    identity: Identity,
    terms: DtlsTerms,
    deadline: Option<Timestamp>,
    /// When its time is over: counted from the first datagram of either side.
    until: Option<Timestamp>,
    is_verified: bool,
    /// Somebody has said that it fails.
    is_alerted: bool,
    /// How often it has begun anew.
    restarts: u8,
    /// When the present second began, and the datagrams since.
    second: (Timestamp, u32),
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
    /// An association under these terms. Who is [`DtlsRole::Active`] begins with the first [`Self::tick`].
    pub fn new(identity: &Identity, terms: DtlsTerms, now: Timestamp) -> Self {
        let is_active = terms.role == DtlsRole::Active;
        Self {
            dtls: begun(identity, terms.role, now),
            filter: Filter::new(terms.role),
            identity: identity.clone(),
            deadline: is_active.then_some(now),
            until: None,
            terms,
            is_verified: false,
            is_alerted: false,
            restarts: 0,
            second: (now, 0),
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
        mut send: impl FnMut(&[u8]),
    ) -> Option<Outcome> {
        if self.stage == Stage::Over || self.is_flooded(now) {
            return None;
        }
        let Sifted { taken, is_alerted } = self.filter.sift(datagram);
        self.is_alerted |= is_alerted && self.stage == Stage::Handshake;
        if taken.is_empty() {
            return None;
        }
        self.until.get_or_insert(now + HANDSHAKE);
        match self.step(Some(taken), now, &mut send) {
            Err(dimpl::Error::ReceiveQueueFull) if self.may_restart(now) => {
                self.restart(now);
                self.filter.sift(taken);
                self.step(Some(taken), now, &mut send)
                    .unwrap_or_else(|_| self.spoilt(now))
            }
            result => result.unwrap_or_else(|_| self.spoilt(now)),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Timestamp, mut send: impl FnMut(&[u8])) -> Option<Outcome> {
        if self.stage == Stage::Over {
            return None;
        }
        if self.terms.role == DtlsRole::Active {
            self.until.get_or_insert(now + HANDSHAKE);
        }
        let is_late = self.until.is_some_and(|until| until <= now);
        if is_late && self.stage == Stage::Handshake {
            return self.late();
        }
        match self.step(None, now, &mut send) {
            Ok(outcome) => outcome,
            // It has repeated itself as often as it does.
            Err(dimpl::Error::Timeout(_)) => self.late(),
            Err(_) => self.spoilt(now),
        }
    }

    /// When [`Self::tick`] is due.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Handshake => [self.deadline, self.until].into_iter().flatten().min(),
            Stage::Keyed | Stage::Over => None,
        }
    }

    /// Whether the peer has been heard of, or told something.
    pub fn has_begun(&self) -> bool {
        self.until.is_some()
    }

    fn step(
        &mut self,
        datagram: Option<&[u8]>,
        now: Timestamp,
        send: &mut impl FnMut(&[u8]),
    ) -> Result<Option<Outcome>, dimpl::Error> {
        let timed = self.dtls.handle_timeout(self.identity.instant(now));
        let taken = timed.and_then(|()| match datagram {
            Some(own) => self.dtls.handle_packet(own),
            None => Ok(()),
        });
        match self.drain(send) {
            Some(Outcome::Failed(fault)) => Ok(self.fail(fault)),
            Some(keys) => Ok(Some(keys)),
            None => taken.map(|()| None),
        }
    }

    /// Whether there are more datagrams than any peer sends.
    fn is_flooded(&mut self, now: Timestamp) -> bool {
        let (since, count) = &mut self.second;
        if now.since(*since) >= SECOND {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count > PER_SECOND
    }

    fn may_restart(&self, now: Timestamp) -> bool {
        let has_time = self.until.is_none_or(|until| now < until);
        self.stage == Stage::Handshake && self.restarts < RESTARTS && has_time
    }

    fn restart(&mut self, now: Timestamp) {
        self.restarts += 1;
        self.dtls = begun(&self.identity, self.terms.role, now);
        self.filter = Filter::new(self.terms.role);
        self.is_verified = false;
        self.deadline = (self.terms.role == DtlsRole::Active).then_some(now);
    }

    /// Something went in that must not, genuine or not.
    fn spoilt(&mut self, now: Timestamp) -> Option<Outcome> {
        match self.stage {
            Stage::Handshake if self.may_restart(now) => {
                self.restart(now);
                None
            }
            Stage::Handshake => self.fail(HandshakeFault::Handshake),
            // Those keys are out already.
            Stage::Keyed | Stage::Over => None,
        }
    }

    fn late(&mut self) -> Option<Outcome> {
        let is_refused = self.is_alerted || self.restarts > 0;
        self.fail(match is_refused {
            true => HandshakeFault::Handshake,
            false => HandshakeFault::Timeout,
        })
    }

    fn drain(&mut self, send: &mut impl FnMut(&[u8])) -> Option<Outcome> {
        let mut room = Zeroizing::new([0; ROOM]);
        let mut outcome = None;
        for _ in 0..OUTPUTS {
            match self.dtls.poll_output(&mut *room) {
                Output::Packet(packet) => send(packet),
                Output::Timeout(at) => {
                    // Its time is finer than ours: a moment too early would be for nothing.
                    let due = self.identity.timestamp(at) + Duration::from_micros(1);
                    self.deadline = (self.stage == Stage::Handshake).then_some(due);
                    return outcome;
                }
                Output::PeerCert(certificate) => {
                    self.is_verified = is_of(certificate, &self.terms.fingerprints);
                    if !self.is_verified {
                        return Some(Outcome::Failed(HandshakeFault::Fingerprint));
                    }
                }
                Output::KeyingMaterial(material, profile) => {
                    let keys = keys(&material, profile, self.terms.role);
                    outcome = match keys.filter(|_| self.is_verified) {
                        Some(keys) => {
                            self.stage = Stage::Keyed;
                            Some(keys)
                        }
                        None => return Some(Outcome::Failed(HandshakeFault::Handshake)),
                    };
                }
                Output::CloseNotify => return Some(Outcome::Failed(HandshakeFault::Closed)),
                // Nobody speaks over this association but its handshake.
                Output::Connected | Output::ApplicationData(_) => {}
                Output::BufferTooSmall { .. } => {
                    return Some(Outcome::Failed(HandshakeFault::Handshake));
                }
                _ => {}
            }
        }
        outcome
    }

    fn fail(&mut self, fault: HandshakeFault) -> Option<Outcome> {
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

/// A handshake of the library that begins now.
fn begun(identity: &Identity, role: DtlsRole, now: Timestamp) -> Dtls {
    let (config, certificate) = identity.parts();
    let mut dtls = Dtls::new_12(config, certificate, identity.instant(now));
    dtls.set_active(role == DtlsRole::Active);
    dtls
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
