//! DTLS-SRTP in descriptions: what a peer says of its certificate and role, and what we say of ours
//! (RFC 5763 §5, RFC 8122, RFC 8842; MED-130, MED-133, MED-134).
//!
//! | exchange                          | our `a=setup`                                            |
//! |-----------------------------------|----------------------------------------------------------|
//! | our offer, first or later         | `actpass`; the peer's answer decides                     |
//! | answer to `active`                | `passive`                                                |
//! | answer to `passive`               | `active`                                                 |
//! | answer to `actpass`, same peer    | the role that the association has                        |
//! | answer to `actpass`, another peer | `active`: it opens the way for media as well             |
//!
//! Who the peer is, is its fingerprints with its `a=tls-id`. While both and the roles stay, the association stays; another one
//! has another `a=tls-id` of ours, which is drawn from a secret of the leg, so that the same description is
//! written as often as it is needed.

use super::incompatible::Unusable;
use crate::sdp::{self, Draft, DraftDtls, DraftIce, DraftMedia, DraftStream, Media, Setup};
use media_api::{DtlsRole, DtlsTerms, Fingerprint, HashFunction, Protection, wire_layout};
use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What a usable line says of its DTLS endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerDtls {
    /// Its role, if it says one; never `holdconn`.
    pub setup: Option<Setup>,
    /// Of its certificate: SHA-256 or stronger, or SHA-1 where that is allowed; at least one.
    pub fingerprints: Vec<Fingerprint>,
    /// `a=tls-id`; empty without one.
    pub tls_id: String,
}

/// Fingerprints of one line that are read: a certificate has one for each function, and a peer a few certificates.
const MAX_FINGERPRINTS: usize = 16;
/// Characters of `a=tls-id` (RFC 8842 §4).
const TLS_ID: RangeInclusive<usize> = 20..=255;

impl PeerDtls {
    /// What a line says, here or at the level of the session.
    ///
    /// SHA-1 proves next to nothing any more: it is passed over beside a better function, and does alone only
    /// where `takes_sha1` says so. A role
    /// of `holdconn` is none (RFC 8842 §5.1). A `tls-id` that is none is as good as missing: the fingerprints say who
    /// the peer is.
    pub fn read(media: &Media<'_>, takes_sha1: bool) -> Result<Self, Unusable> {
        let written = media.fingerprints();
        let written = written.iter().take(MAX_FINGERPRINTS);
        let mut fingerprints: Vec<_> = written
            .filter_map(|own| Fingerprint::parse(own.hash, own.digest))
            .collect();
        let is_weak = |own: &Fingerprint| own.function() == HashFunction::Sha1;
        if !takes_sha1 || !fingerprints.iter().all(is_weak) {
            fingerprints.retain(|own| !is_weak(own));
        }
        if fingerprints.is_empty() {
            return Err(Unusable::NoFingerprint);
        }
        let setup = match media.setup() {
            None if media.has_setup() => return Err(Unusable::BadSetup),
            Some(Setup::HoldConn) => return Err(Unusable::BadSetup),
            setup => setup,
        };
        let is_id = |id: &&[u8]| {
            let is_char = |c: &u8| c.is_ascii_alphanumeric() || b"+/-_".contains(c);
            TLS_ID.contains(&id.len()) && id.iter().all(is_char)
        };
        let tls_id = media.tls_id().filter(is_id).unwrap_or_default();
        Ok(Self {
            setup,
            fingerprints,
            tls_id: String::from_utf8_lossy(tls_id).into_owned(),
        })
    }

    /// Our role for its offer. Without `a=setup` it begins (RFC 4145 §4).
    pub fn answered(&self, before: Option<&DtlsTerms>) -> DtlsRole {
        match self.setup {
            Some(Setup::Passive) => DtlsRole::Active,
            Some(Setup::ActPass) => before
                .filter(|before| self.is_of(before))
                .map_or(DtlsRole::Active, |before| before.role),
            // The reader leaves no `holdconn`.
            Some(Setup::Active | Setup::HoldConn) | None => DtlsRole::Passive,
        }
    }

    /// Our role for its answer, which must have chosen. Without `a=setup` it waits (RFC 4145 §4).
    pub fn chosen(&self) -> Result<DtlsRole, Unusable> {
        match self.setup {
            Some(Setup::Active) => Ok(DtlsRole::Passive),
            Some(Setup::Passive) | None => Ok(DtlsRole::Active),
            Some(Setup::ActPass | Setup::HoldConn) => Err(Unusable::BadSetup),
        }
    }

    /// What the relay is told.
    pub fn terms(&self, role: DtlsRole) -> Protection {
        Protection::Dtls(DtlsTerms {
            role,
            fingerprints: self.fingerprints.clone(),
            tls_id: self.tls_id.clone(),
        })
    }

    /// Whether it is who these terms were agreed with (RFC 8842 §3).
    fn is_of(&self, before: &DtlsTerms) -> bool {
        self.fingerprints == before.fingerprints && self.tls_id == before.tls_id
    }
}

/// The transport protocol of an offer of ours with keys, on a line that was agreed under this one.
///
/// A peer that offers a fingerprint and keys on `UDP/TLS/RTP/SAVP` is taken at its keys. Our answer keeps the protocol
/// of the line (RFC 3264 §6, MED-022) and chooses by what it has: keys and no fingerprint. That declines DTLS, as whoever
/// accepts it must name a certificate (RFC 8842 §5.3), and it is how Direct Routing mixes the two (TDR-MED-006).
///
/// An offer is different: under that protocol it would have to name a certificate (RFC 5763 §5). So it has that of
/// keys; a later offer may change the protocol of a line as it may its port (RFC 3264 §8.3.1).
pub(super) fn protocol_of_keys(agreed: &str) -> &str {
    match agreed.as_bytes().first_chunk::<8>() {
        Some(start) if start.eq_ignore_ascii_case(b"UDP/TLS/") => {
            agreed.get(start.len()..).unwrap_or(agreed)
        }
        Some(_) | None => agreed,
    }
}

/// Our description that is in force as an offer: octet by octet, but for what only an answer may say.
pub(super) fn as_offer(draft: Arc<Draft>, main: usize) -> Arc<Draft> {
    let is_mismatch = |ice: &DraftIce| ice.candidates.is_empty();
    let is_answer = |stream: &DraftStream| {
        let has_keys = !stream.cryptos.is_empty();
        has_keys && protocol_of_keys(&stream.transport) != stream.transport
            || stream.ice.as_deref().is_some_and(is_mismatch)
    };
    match draft.media.get(main) {
        Some(DraftMedia::Stream(stream)) if is_answer(stream) => {
            let mut offer = Draft::clone(&draft);
            if let Some(DraftMedia::Stream(stream)) = offer.media.get_mut(main) {
                if !stream.cryptos.is_empty() {
                    stream.transport = protocol_of_keys(&stream.transport).to_owned();
                }
                stream.ice.take_if(|own| is_mismatch(own));
            }
            Arc::new(offer)
        }
        Some(DraftMedia::Stream(_) | DraftMedia::Fax(_) | DraftMedia::Refused(_)) | None => draft,
    }
}

/// The names of our associations on one leg.
#[derive(Clone)]
pub struct OwnDtls {
    secret: [u8; 16],
    /// Names that were ever made.
    made: u32,
    in_force: u32,
    /// That of the exchange that is outstanding, where it is another association.
    pending: Option<u32>,
}

/// Without the secret.
impl fmt::Debug for OwnDtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnDtls")
            .field("in_force", &self.in_force)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl OwnDtls {
    /// Associations whose names come from these random bytes.
    pub fn new(secret: [u8; 16]) -> Self {
        Self {
            secret,
            made: 1,
            in_force: 0,
            pending: None,
        }
    }

    /// The association at other ports is another one.
    pub(super) fn moved(&mut self) {
        self.in_force = self.made;
        self.made = self.made.saturating_add(1);
        self.pending = None;
    }

    /// Never names again what was named at other ports.
    pub(super) fn count_on(&mut self, other: &Self) {
        self.made = other.made;
    }

    /// The peer offers: another association, if it is another peer than the one before, or has taken another role.
    pub fn offered(&mut self, peer: Option<&PeerDtls>, before: Option<&DtlsTerms>) {
        self.pending = None;
        if let (Some(peer), Some(before)) = (peer, before)
            && (!peer.is_of(before) || peer.answered(Some(before)) != before.role)
        {
            self.pending = Some(self.made);
            self.made = self.made.saturating_add(1);
        }
    }

    /// What is outstanding comes to nothing.
    pub fn roll_back(&mut self) {
        self.pending = None;
    }

    /// What is outstanding is agreed.
    pub fn settle(&mut self) {
        self.in_force = self.pending.take().unwrap_or(self.in_force);
    }

    /// Our lines of an offer.
    pub fn offer(&self, fingerprint: &Fingerprint) -> Box<DraftDtls> {
        self.draft(fingerprint, Setup::ActPass, true)
    }

    /// Our lines of an answer. Who offers without `a=tls-id` is answered without (RFC 8842 §5.3).
    pub fn answer(
        &self,
        fingerprint: &Fingerprint,
        role: DtlsRole,
        peer: &PeerDtls,
    ) -> Box<DraftDtls> {
        let setup = match role {
            DtlsRole::Active => Setup::Active,
            DtlsRole::Passive => Setup::Passive,
        };
        self.draft(fingerprint, setup, !peer.tls_id.is_empty())
    }

    fn draft(&self, fingerprint: &Fingerprint, setup: Setup, is_named: bool) -> Box<DraftDtls> {
        Box::new(DraftDtls {
            fingerprint: fingerprint.clone(),
            setup,
            tls_id: is_named.then(|| self.tls_id()),
        })
    }

    /// 192 bits, of which RFC 8842 §4 asks for 120. Base64 has exactly the characters that it allows.
    fn tls_id(&self) -> String {
        let number = self.pending.unwrap_or(self.in_force);
        let sum: [u8; 32] = Sha256::new()
            .chain_update(b"tls-id")
            .chain_update(self.secret)
            .chain_update(number.to_be_bytes())
            .finalize()
            .into();
        sdp::base64_encode(sum.get(..24).unwrap_or_default())
    }
}

wire_layout! {
    struct PeerDtls { setup, fingerprints, tls_id }
    struct OwnDtls { secret, made, in_force, pending }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(setup: Option<Setup>, mark: u8, tls_id: &str) -> PeerDtls {
        let print = Fingerprint::new(HashFunction::Sha256, vec![mark; 32]);
        PeerDtls {
            setup,
            fingerprints: print.into_iter().collect(),
            tls_id: tls_id.to_owned(),
        }
    }

    fn agreed(peer: &PeerDtls, role: DtlsRole) -> DtlsTerms {
        match peer.terms(role) {
            Protection::Dtls(terms) => terms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_has_the_role_that_the_offer_leaves_and_keeps_it_with_the_same_peer() {
        use DtlsRole::{Active, Passive};
        let first = |setup| peer(setup, 1, "").answered(None);
        assert_eq!(first(Some(Setup::ActPass)), Active);
        assert_eq!(first(Some(Setup::Passive)), Active);
        assert_eq!(first(Some(Setup::Active)), Passive);
        assert_eq!(first(None), Passive);
        let known = agreed(&peer(None, 1, "one"), Passive);
        let later = |setup, mark, id: &str| peer(Some(setup), mark, id).answered(Some(&known));
        assert_eq!(later(Setup::ActPass, 1, "one"), Passive);
        assert_eq!(later(Setup::ActPass, 2, "one"), Active);
        assert_eq!(later(Setup::ActPass, 1, "two"), Active);
        assert_eq!(later(Setup::Passive, 1, "one"), Active);
    }

    #[test]
    fn an_answer_of_the_peer_must_have_chosen() {
        let chosen = |setup| peer(setup, 1, "").chosen();
        assert_eq!(chosen(Some(Setup::Active)), Ok(DtlsRole::Passive));
        assert_eq!(chosen(Some(Setup::Passive)), Ok(DtlsRole::Active));
        assert_eq!(chosen(None), Ok(DtlsRole::Active));
        assert_eq!(chosen(Some(Setup::ActPass)), Err(Unusable::BadSetup));
    }

    #[test]
    fn only_another_peer_or_other_ports_give_an_association_another_name() {
        let mut own = OwnDtls::new([7; 16]);
        let first = own.tls_id();
        assert_eq!(first.len(), 32);
        let one = peer(Some(Setup::ActPass), 1, "one");
        own.offered(Some(&one), None);
        own.settle();
        let known = agreed(&one, DtlsRole::Active);
        own.offered(Some(&one), Some(&known));
        own.settle();
        assert_eq!(own.tls_id(), first);
        own.offered(Some(&peer(Some(Setup::Passive), 1, "one")), Some(&known));
        assert_eq!(own.tls_id(), first);
        own.offered(Some(&peer(Some(Setup::Active), 1, "one")), Some(&known));
        assert_ne!(own.tls_id(), first);
        own.offered(Some(&peer(None, 2, "one")), Some(&known));
        let second = own.tls_id();
        assert_ne!(second, first);
        own.roll_back();
        assert_eq!(own.tls_id(), first);
        own.offered(Some(&peer(None, 1, "two")), Some(&known));
        let third = own.tls_id();
        assert!(third != first && third != second, "no name is told twice");
        own.settle();
        assert_eq!(own.tls_id(), third);
        own.moved();
        assert!(![first, second, third].contains(&own.tls_id()));
        assert_ne!(own.tls_id(), OwnDtls::new([8; 16]).tls_id());
    }
}
