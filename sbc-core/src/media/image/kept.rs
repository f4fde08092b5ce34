//! A [`MediaImage`] written down for the process after this one (OPS-150).

use super::super::codec::Codec;
use super::super::dtls::OwnDtls;
use super::super::ice::OwnIce;
use super::super::keys::OwnKeys;
use super::super::profile::{Profile, Transcode};
use super::{Agreement, Exchange, FaxAgreement, MediaImage, Written};
use crate::sdp::{Draft, OriginLine};
use media_api::{CryptoKey, EndpointId, LocalStream, wire_layout};
use std::net::IpAddr;
use std::sync::Arc;

wire_layout! {
    struct FaxAgreement { slots, main, theirs, negotiated }
    struct Agreement {
        slots, main, codec, format, formats, ours, peer_wish, theirs, negotiated, dtmf,
    }
    struct KeptImage {
        endpoint, signalling, session_id, local, replaced, keys, written, numbers, committed, in_force, fax, ice, dtls,
        is_plain,
    }
}

/// A [`MediaImage`] written down, for which there must be no exchange: all but the media policy, which is that of its
/// trunk.
#[derive(Clone, Debug)]
pub(crate) struct KeptImage {
    endpoint: EndpointId,
    signalling: Option<IpAddr>,
    session_id: u64,
    local: Option<LocalStream>,
    replaced: Option<CryptoKey>,
    keys: Option<Box<OwnKeys>>,
    /// What was written last, and how its origin said that.
    written: Option<(Arc<Draft>, OriginLine)>,
    numbers: Vec<(u8, Codec)>,
    committed: Option<Box<Agreement>>,
    in_force: Option<Arc<Draft>>,
    fax: Option<Box<FaxAgreement>>,
    ice: Option<Box<OwnIce>>,
    dtls: Option<Box<OwnDtls>>,
    /// See [`MediaImage::without_extras`].
    is_plain: bool,
}

impl MediaImage {
    /// Writes the leg down; nothing while anything is under way, or its media go past us.
    pub(crate) fn kept(&self) -> Option<KeptImage> {
        let is_quiet = matches!(self.exchange, Exchange::Idle) && self.before.is_none();
        if !is_quiet || self.is_direct || self.is_sent_past_us() || self.committed.is_none() {
            return None;
        }
        let written = self.written.as_ref();
        Some(KeptImage {
            endpoint: self.endpoint,
            signalling: self.signalling,
            session_id: self.session_id,
            local: self.local.clone(),
            replaced: self.replaced.as_deref().cloned(),
            keys: self.keys.clone(),
            written: written.map(|own| (Arc::clone(&own.draft), own.origin)),
            numbers: self.numbers.clone(),
            committed: self.committed.clone(),
            in_force: self.in_force.clone(),
            fax: self.fax.clone(),
            ice: self.ice.clone(),
            dtls: self.dtls.clone(),
            is_plain: !matches!(self.profile.transcode, Transcode::Offered(_)),
        })
    }

    /// Takes up a leg that was written down, under the media policy of its trunk.
    pub(crate) fn of_kept(kept: KeptImage, profile: Arc<Profile>) -> Self {
        let written = kept.written.map(|(draft, origin)| Written {
            body: None,
            draft,
            origin,
        });
        let image = Self {
            local: kept.local,
            replaced: kept.replaced.map(Box::new),
            keys: kept.keys,
            written,
            numbers: kept.numbers,
            committed: kept.committed,
            in_force: kept.in_force,
            fax: kept.fax,
            ice: kept.ice,
            dtls: kept.dtls,
            ..Self::new(profile, kept.endpoint, kept.session_id, kept.signalling)
        };
        match kept.is_plain {
            true => image.without_extras(),
            false => image,
        }
    }
}
