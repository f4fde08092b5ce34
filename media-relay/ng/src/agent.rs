//! Our ICE agent and our certificate on one line of one party, as descriptions name them.
//!
//! The agent is lite: it has one address, that of the media, answers checks and makes none (RFC 8445 §2.5). What it is
//! called is drawn from a secret, so nothing has to be kept or made again.

use crate::facts::{Line, Protection};
use crate::request::{DtlsWish, Reason};
use media_api::{DtlsRole, DtlsTerms, IceCredentials, IceTerms, LocalStream, SessionId};
use sbc_core::media::{OwnDtls, OwnIce, PeerDtls, PeerIce};
use sbc_core::sdp::Setup;
use sha2::{Digest, Sha256};

/// One agent.
#[derive(Debug)]
pub(crate) struct Agent {
    ice: OwnIce,
    dtls: OwnDtls,
    /// Whom a handshake was agreed with last.
    terms: Option<DtlsTerms>,
}

impl Agent {
    /// That of a party and a stream of a call.
    pub(crate) fn new(
        secret: [u8; 16],
        session: SessionId,
        (party, stream): (usize, usize),
    ) -> Option<Self> {
        let sum: [u8; 32] = Sha256::new()
            .chain_update(secret)
            .chain_update(format!("{session:?} {party} {stream}"))
            .finalize()
            .into();
        let (one, other) = sum.split_at(16);
        Some(Self {
            ice: OwnIce::new(one.try_into().ok()?)?,
            dtls: OwnDtls::new(other.try_into().ok()?),
            terms: None,
        })
    }

    /// Under which name and password checks are answered.
    pub(crate) fn credentials(&self) -> &IceCredentials {
        self.ice.credentials()
    }

    /// Its party offers this, or with `None` is offered to: what was outstanding is not any more.
    pub(crate) fn offered(&mut self, line: Option<&Line>) {
        self.ice.offered(line.and_then(|line| line.ice.as_ref()));
        let peer = line.and_then(|line| match &line.protection {
            Protection::Dtls(peer) => Some(peer),
            Protection::Plain | Protection::Sdes(_) => None,
        });
        self.dtls.offered(peer, self.terms.as_ref());
    }

    /// What is outstanding is agreed.
    pub(crate) fn settle(&mut self, peer: Option<&PeerIce>, protection: &media_api::Protection) {
        self.ice.settle(peer);
        self.dtls.settle();
        if let media_api::Protection::Dtls(terms) = protection {
            self.terms = Some(terms.clone());
        }
    }

    /// What the relay is told of an exchange with this peer. It is sent nothing before it has nominated a pair
    /// (RFC 8445 §12.1.1).
    pub(crate) fn terms(&self, peer: &PeerIce) -> Option<Box<IceTerms>> {
        self.ice.terms(peer, false)
    }

    /// Our role for an offer of this peer.
    pub(crate) fn role(&self, peer: &PeerDtls, wish: DtlsWish) -> DtlsRole {
        let before = self.terms.as_ref();
        let is_known = before.is_some_and(|before| {
            peer.terms(before.role) == media_api::Protection::Dtls(before.clone())
        });
        let is_ours = peer.setup == Some(Setup::ActPass) && !is_known;
        match is_ours && wish.is_passive {
            true => DtlsRole::Passive,
            false => peer.answered(before),
        }
    }

    /// The lines of ICE in a description of ours.
    pub(crate) fn checks(&self, local: &LocalStream, is_muxed: bool) -> String {
        self.ice.draft(local, is_muxed).to_text()
    }

    /// The lines of our certificate in an offer of ours.
    pub(crate) fn certificate_of_offer(&self, local: &LocalStream) -> Result<String, Reason> {
        let own = local.fingerprint.as_ref().ok_or(NO_CERTIFICATE)?;
        Ok(self.dtls.offer(own).to_text())
    }

    /// The same in an answer to this peer.
    pub(crate) fn certificate_of_answer(
        &self,
        local: &LocalStream,
        role: DtlsRole,
        peer: &PeerDtls,
    ) -> Result<String, Reason> {
        let own = local.fingerprint.as_ref().ok_or(NO_CERTIFICATE)?;
        Ok(self.dtls.answer(own, role, peer).to_text())
    }
}

const NO_CERTIFICATE: &str = "the relay has no certificate for this line";
