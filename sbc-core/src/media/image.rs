//! The media image of a leg: what is agreed, what is pending, what we last wrote.
//!
//! Commit and rollback are the only ways in which a pending exchange ends. Neither touches the
//! `o=` line: its version counts what was written, so that a peer never sees one version with two
//! contents, also after a refused offer (SIP-504). What is written twice without a change is equal
//! octet by octet (SIP-312).

mod kept;
mod numbers;

use super::codec::Codec;
use super::dtls::{self, OwnDtls};
use super::ice::OwnIce;
use super::keys::{OwnKeys, is_newcomer};
use super::profile::{Dtmf, Profile, Srtp, Transcode};
use super::read::{AudioFacts, Facts, FaxFacts, Secured};
use crate::sdp::{Direction, Draft, DraftMedia, DraftStream, Lent, OriginLine, RefusedLine};
use bytes::Bytes;
use media_api::{
    CryptoKey, DtlsTerms, EndpointId, EndpointSpec, FormatId, LocalEndpoint, LocalStream,
    Negotiated, NegotiatedStream, Protection, SourcePolicy,
};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use kept::KeptImage;

/// Media side of one leg, from admission to its end.
#[derive(Clone, Debug)]
pub struct MediaImage {
    profile: Arc<Profile>,
    endpoint: EndpointId,
    signalling: Option<IpAddr>,
    session_id: u64,
    local: Option<LocalStream>,
    /// The key of ours that a new one is to replace, as long as the peer has not agreed to that.
    replaced: Option<Box<CryptoKey>>,
    /// Whether that is because of the peer's offer that is outstanding.
    is_for_offer: bool,
    /// Where later keys of ours come from.
    keys: Option<Box<OwnKeys>>,
    written: Option<Written>,
    /// Every payload type that we ever bound on this leg: a binding never changes (SIP-505).
    numbers: Vec<(u8, Codec)>,
    committed: Option<Box<Agreement>>,
    /// Our description in the exchange that is in force.
    in_force: Option<Arc<Draft>>,
    exchange: Exchange,
    pending: Option<Box<Agreement>>,
    /// The fax that is in force instead of the audio in `committed`.
    fax: Option<Box<FaxAgreement>>,
    pending_fax: Option<Box<FaxAgreement>>,
    /// Our agent, where the trunk speaks ICE.
    ice: Option<Box<OwnIce>>,
    /// Our associations, where the trunk speaks DTLS-SRTP.
    dtls: Option<Box<OwnDtls>>,
    /// Whether our descriptions say where the other party's media are, not where ours would be.
    is_direct: bool,
    /// The leg at the endpoint that it moves away from, until its peer agrees to that.
    before: Option<Box<MediaImage>>,
}

/// What one completed exchange agreed for a fax.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FaxAgreement {
    /// All `m=` lines of the leg in order, as a refusal would write them.
    pub(super) slots: Vec<RefusedLine>,
    /// Position of the fax line among them.
    pub(super) main: usize,
    /// The peer's facts.
    pub(super) theirs: FaxFacts,
    /// What the relay is told.
    pub(super) negotiated: Negotiated,
}

#[derive(Clone)]
struct Written {
    draft: Arc<Draft>,
    origin: OriginLine,
    /// As it went out, while the exchange lasts: it is said again with every 18x. Afterwards it is written anew where that
    /// is wanted, which gives the same octets.
    body: Option<Bytes>,
}

impl Written {
    fn body(&self) -> Bytes {
        let body = self.body.clone();
        body.unwrap_or_else(|| self.draft.write(&self.origin))
    }
}

/// Without the body, which has our keys in it.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("draft", &self.draft)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// The offer that is outstanding on a leg.
#[derive(Clone, Debug)]
pub(super) enum Exchange {
    /// None.
    Idle,
    /// We offered.
    Offered(Box<OurOffer>),
    /// We offered a switch to T.38.
    OfferedFax(Box<OurFax>),
    /// The peer offered.
    Received(Box<Facts>),
}

/// An offer of ours.
#[derive(Clone, Debug)]
pub(super) struct OurOffer {
    /// All lines, for the order of later offers; the one at `main` is ours.
    pub(super) slots: Vec<RefusedLine>,
    /// Position of the audio line.
    pub(super) main: usize,
    pub(super) stream: DraftStream,
}

/// A switch to T.38 that we offered.
#[derive(Clone, Debug)]
pub(super) struct OurFax {
    /// All lines, for the order of later offers; the one at `main` is ours.
    pub(super) slots: Vec<RefusedLine>,
    /// Position of the fax line.
    pub(super) main: usize,
}

/// What one completed exchange agreed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// All `m=` lines of the leg in order, as a refusal would write them.
    pub(super) slots: Vec<RefusedLine>,
    /// Position of the audio line among them.
    pub(super) main: usize,
    /// Audio codec in use.
    pub(super) codec: Codec,
    /// Its identity in the call.
    pub(super) format: FormatId,
    /// Every format agreed, the audio codec first, as described on this leg.
    pub(super) formats: Vec<(FormatId, Codec)>,
    /// What our side of the exchange said, a blanked address counted as not receiving.
    pub(super) ours: Direction,
    /// What the peer does of its own will, apart from what our side of the exchange allowed it:
    /// receiving hold does not become a wish of the peer (SIP-552).
    pub(super) peer_wish: Direction,
    /// The peer's facts.
    pub(super) theirs: AudioFacts,
    /// What the relay is told.
    pub(super) negotiated: Negotiated,
    /// How digits travel on the leg.
    pub(super) dtmf: Dtmf,
}

impl Agreement {
    /// What the relay is to be told.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// What the relay is told of the audio stream.
    fn stream(&self) -> Option<&NegotiatedStream> {
        self.negotiated.streams.iter().flatten().next()
    }

    /// The audio codec in use.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Whether digits travel as telephone events (RFC 4733).
    pub fn has_telephone_events(&self) -> bool {
        let mut formats = self.formats.iter();
        formats.any(|(_, codec)| codec.is_telephone_event())
    }

    /// Whether comfort noise was agreed on.
    pub(super) fn has_comfort_noise(&self) -> bool {
        let mut formats = self.formats.iter();
        formats.any(|(_, codec)| codec.is_comfort_noise())
    }

    /// Whether digits can be heard in the audio, and put into it: the relay decodes and encodes it.
    pub fn has_tones(&self) -> bool {
        self.codec.is_made()
    }

    /// Whether events of the other leg reach this one although it has agreed to none.
    pub(super) fn takes_events_otherwise(&self) -> bool {
        !self.has_telephone_events()
            && match self.dtmf {
                Dtmf::Rfc4733 => false,
                Dtmf::Info => true,
                Dtmf::Inband | Dtmf::Auto => self.has_tones(),
            }
    }

    /// Whether the peer has put us on hold: it does not want to receive (SIP-550).
    pub fn is_held_by_peer(&self) -> bool {
        !self.peer_wish.receives()
    }

    /// Where the peer wants its media, and what else it said.
    pub fn peer(&self) -> &AudioFacts {
        &self.theirs
    }
}

impl MediaImage {
    /// A leg without any exchange yet. `session_id` goes into `o=` and should be random and below
    /// 2^63; `signalling` is the address that the peer's signalling comes from.
    pub fn new(
        profile: Arc<Profile>,
        endpoint: EndpointId,
        session_id: u64,
        signalling: Option<IpAddr>,
    ) -> Self {
        Self {
            profile,
            endpoint,
            signalling,
            session_id: session_id & (u64::MAX >> 1),
            local: None,
            replaced: None,
            is_for_offer: false,
            keys: None,
            written: None,
            numbers: Vec::new(),
            committed: None,
            in_force: None,
            exchange: Exchange::Idle,
            pending: None,
            fax: None,
            pending_fax: None,
            ice: None,
            dtls: None,
            is_direct: false,
            before: None,
        }
    }

    /// The same leg with an ICE agent whose credentials come from these random bytes.
    #[must_use]
    pub fn with_ice(self, secret: [u8; 16]) -> Self {
        Self {
            ice: OwnIce::new(secret).map(Box::new),
            ..self
        }
    }

    /// The same leg, whose later SRTP keys come from these random bytes.
    #[must_use]
    pub fn with_keys(self, secret: [u8; 32]) -> Self {
        Self {
            keys: Some(Box::new(OwnKeys::new(secret))),
            ..self
        }
    }

    /// The same leg with DTLS associations whose names come from these random bytes.
    #[must_use]
    pub fn with_dtls(self, secret: [u8; 16]) -> Self {
        Self {
            dtls: Some(Box::new(OwnDtls::new(secret))),
            ..self
        }
    }

    /// The same leg with another endpoint, which nothing is reserved for yet. What was described so
    /// far goes on: version, numbers, lines.
    pub fn moved(&self, endpoint: EndpointId) -> Self {
        self.moved_to(endpoint, Arc::clone(&self.profile))
    }

    /// As [`Self::moved`], with another media policy: that of another realm.
    pub fn moved_to(&self, endpoint: EndpointId, profile: Arc<Profile>) -> Self {
        let mut ice = self.ice.clone();
        if let Some(ice) = &mut ice {
            ice.moved();
        }
        let mut dtls = self.dtls.clone();
        if let Some(dtls) = &mut dtls {
            dtls.moved();
        }
        Self {
            profile,
            ice,
            dtls,
            endpoint,
            is_direct: false,
            local: None,
            replaced: None,
            is_for_offer: false,
            in_force: None,
            exchange: Exchange::Idle,
            pending: None,
            before: None,
            ..self.clone()
        }
    }

    /// From now on the peer is told of the endpoint of `moved`. The next exchange decides: where it comes to
    /// nothing the leg is at its present one, as if nothing had been.
    pub fn tell_of(&mut self, moved: Self) {
        let before = std::mem::replace(self, moved);
        self.before = Some(Box::new(before));
    }

    /// Goes back to the endpoint that the peer knows. What was written since was read: versions, numbers
    /// and names go on.
    fn stay(&mut self, before: Self) {
        let told = std::mem::replace(self, before);
        (self.written, self.numbers) = (told.written, told.numbers);
        self.is_direct = told.is_direct;
        if let (Some(ice), Some(told)) = (&mut self.ice, &told.ice) {
            ice.count_on(told);
        }
        if let (Some(dtls), Some(told)) = (&mut self.dtls, &told.dtls) {
            dtls.count_on(told);
        }
        self.keys = told.keys;
    }

    /// Whether media of this leg go past us: what is written from now on tells where the other party's
    /// are (MED-312). What is in force stays until then.
    pub fn set_direct(&mut self, is_direct: bool) {
        self.is_direct = is_direct;
    }

    /// Whether media of this leg go past us.
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// The place that this leg's descriptions tell of, where it is the other party's.
    pub(super) fn lent_by(&self, other: &AudioFacts) -> Option<Arc<Lent>> {
        other.lent.clone().filter(|_| self.is_direct)
    }

    /// The same leg, which is offered nothing that would be made of something else as long as there is another codec:
    /// there is no room for that (MED-242).
    #[must_use]
    pub fn without_extras(self) -> Self {
        let mut profile = Profile::clone(&self.profile);
        if let Transcode::Offered(_) = profile.transcode {
            profile.transcode = Transcode::OnDemand;
        }
        Self {
            profile: Arc::new(profile),
            ..self
        }
    }

    /// Our stream that is in force.
    pub(super) fn stream(&self) -> Option<&DraftStream> {
        let main = self.committed.as_ref()?.main;
        match self.in_force.as_ref()?.media.get(main)? {
            DraftMedia::Stream(stream) => Some(stream),
            DraftMedia::Fax(_) | DraftMedia::Refused(_) => None,
        }
    }

    /// Whether the only stream is switched off: what comes after it is another one, at another endpoint (MED-025).
    pub fn is_switched_off(&self) -> bool {
        let streams = self.committed.as_ref().map(|own| &own.negotiated.streams);
        streams.is_some_and(|all| all.iter().all(Option::is_none)) && !self.is_sent_past_us()
    }

    /// Whether the peer was told where the other party's media are.
    pub fn is_sent_past_us(&self) -> bool {
        self.stream().is_some_and(|own| own.lent.is_some())
    }

    /// Media policy of the leg's trunk.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The relay's name for the leg's media.
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// What `Allocate` must reserve for this leg.
    pub fn spec(&self) -> EndpointSpec {
        let ice = self.ice.as_ref().map(|own| own.credentials().clone());
        self.profile.endpoint(self.endpoint, ice)
    }

    /// Takes over what the relay reserved. Ignored if it is for another endpoint.
    pub fn allocated(&mut self, local: &LocalEndpoint) {
        if local.endpoint == self.endpoint {
            self.local = local.streams.first().cloned();
        }
    }

    /// What the relay reserved, once it has.
    pub fn local(&self) -> Option<&LocalStream> {
        self.local.as_ref()
    }

    /// From now on descriptions of ours have this key in place of the one of its suite (MED-107). The next
    /// exchange that is agreed puts it in force.
    pub fn renew(&mut self, fresh: CryptoKey) {
        let keys = self.local.iter_mut().flat_map(|local| &mut local.keys);
        let mut of_suite = keys.filter(|key| key.suite() == fresh.suite());
        if let Some(key) = of_suite.next() {
            let before = std::mem::replace(key, fresh);
            // What is in force is the oldest of those that nobody agreed to replace.
            self.replaced.get_or_insert(Box::new(before));
        }
    }

    /// Another key of ours in place of the one that is in force with `agreed`.
    fn renew_after(&mut self, agreed: &NegotiatedStream) {
        if let (Protection::Sdes { local, .. }, Some(keys)) = (&agreed.protection, &mut self.keys)
            && let Some(fresh) = keys.after(local)
        {
            self.renew(fresh);
        }
    }

    /// An offer of somebody new is answered with a key that nobody has counted under; without the offer the
    /// key of before is ours again.
    fn begin_keys(&mut self, exchange: &Exchange) {
        if std::mem::take(&mut self.is_for_offer) {
            self.keep_key();
        }
        let Exchange::Received(offer) = exchange else {
            return;
        };
        let agreed = self
            .committed
            .as_ref()
            .and_then(|own| own.stream())
            .cloned();
        if let (Some(agreed), Ok((_, audio)), None) = (agreed, offer.main(), &self.replaced)
            && is_newcomer(&agreed, audio, self.profile.ice)
        {
            self.renew_after(&agreed);
            self.is_for_offer = self.replaced.is_some();
        }
    }

    /// Whether a key of ours waits for the peer's agreement.
    pub fn is_renewing(&self) -> bool {
        self.replaced.is_some()
    }

    /// The peer does not want a new key of ours: the old one stays (MED-116).
    pub fn keep_key(&mut self) {
        let Some(before) = self.replaced.take() else {
            return;
        };
        let keys = self.local.iter_mut().flat_map(|local| &mut local.keys);
        let mut of_suite = keys.filter(|key| key.suite() == before.suite());
        if let Some(key) = of_suite.next() {
            *key = *before;
        }
    }

    /// What is in force.
    pub fn committed(&self) -> Option<&Agreement> {
        self.committed.as_deref()
    }

    /// What the outstanding exchange has agreed so far: a preview until [`Self::commit`].
    pub fn pending(&self) -> Option<&Agreement> {
        self.pending.as_deref()
    }

    /// The pending agreement, else the one in force.
    pub fn latest(&self) -> Option<&Agreement> {
        self.pending.as_deref().or(self.committed.as_deref())
    }

    /// Whether an offer is outstanding, ours or the peer's.
    pub fn is_negotiating(&self) -> bool {
        !matches!(self.exchange, Exchange::Idle)
    }

    /// The description we wrote last, for repetition in 18x and 2xx.
    pub fn last_written(&self) -> Option<Bytes> {
        self.written.as_ref().map(Written::body)
    }

    /// Puts the pending agreement in force and ends the exchange. Returns what the relay is to be
    /// told as final, or `None` if nothing was agreed yet; the exchange then stays open.
    pub fn commit(&mut self) -> Option<&Negotiated> {
        if self.pending.is_none() && self.pending_fax.is_none() {
            return None;
        }
        self.exchange = Exchange::Idle;
        self.before = None;
        if let Some(written) = &mut self.written {
            written.body = None;
            self.in_force = Some(Arc::clone(&written.draft));
        }
        self.fax = self.pending_fax.take();
        if self.fax.is_some() {
            return self.fax.as_ref().map(|fax| &fax.negotiated);
        }
        let agreed = self.pending.take()?;
        self.replaced = None;
        self.is_for_offer = false;
        self.follow_keys(&agreed);
        if let Some(ice) = &mut self.ice {
            ice.settle(agreed.theirs.ice.as_deref());
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.settle();
        }
        Some(&self.committed.insert(agreed).negotiated)
    }

    /// Somebody new has answered our offer, and so has got a key that we have counted under before: it is
    /// told another one (see [`Self::is_renewing`]).
    fn follow_keys(&mut self, agreed: &Agreement) {
        let before = self
            .committed
            .as_ref()
            .and_then(|own| own.stream())
            .cloned();
        let (Some(before), Some(now)) = (before, agreed.stream()) else {
            return;
        };
        let (Protection::Sdes { local: used, .. }, Protection::Sdes { local, .. }) =
            (&before.protection, &now.protection)
        else {
            return;
        };
        if used == local && is_newcomer(&before, &agreed.theirs, self.profile.ice) {
            self.renew_after(now);
        }
    }

    /// Whether a fax is in force.
    pub fn is_fax(&self) -> bool {
        self.fax.is_some()
    }

    pub(super) fn fax(&self) -> Option<&FaxAgreement> {
        self.fax.as_deref()
    }

    /// All lines that the peer knows, and the position of the one that we use.
    pub(super) fn slots(&self) -> Option<(&[RefusedLine], usize)> {
        let latest = self.latest()?;
        Some(match &self.fax {
            // Audio goes back to its own line.
            Some(fax) => (&fax.slots, latest.main),
            None => (&latest.slots, latest.main),
        })
    }

    /// Ends the exchange without effect: what was in force stays (SIP-502), and so does the endpoint.
    pub fn rollback(&mut self) {
        if let Some(before) = self.before.take() {
            self.stay(*before);
        }
        self.begin(Exchange::Idle);
    }

    /// Begins an exchange with our description that is in force.
    pub(super) fn repeat(&mut self) -> Option<Bytes> {
        let agreed = self.committed.as_ref()?;
        let draft = dtls::as_offer(Arc::clone(self.in_force.as_ref()?), agreed.main);
        let exchange = match &self.fax {
            Some(fax) => Exchange::OfferedFax(Box::new(OurFax {
                slots: fax.slots.clone(),
                main: fax.main,
            })),
            None => {
                let DraftMedia::Stream(stream) = draft.media.get(agreed.main)? else {
                    return None;
                };
                Exchange::Offered(Box::new(OurOffer {
                    slots: agreed.slots.clone(),
                    main: agreed.main,
                    stream: stream.clone(),
                }))
            }
        };
        let body = self.write_shared(draft);
        self.begin(exchange);
        Some(body)
    }

    /// The stream that the pending answer to the peer's offer was written with.
    pub(super) fn answered_stream(&self) -> Option<(&Agreement, &DraftStream)> {
        let pending = self.pending.as_ref()?;
        match self.written.as_ref()?.draft.media.get(pending.main)? {
            DraftMedia::Stream(stream) => Some((pending, stream)),
            DraftMedia::Fax(_) | DraftMedia::Refused(_) => None,
        }
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    pub(super) fn begin(&mut self, exchange: Exchange) {
        if let Some(ice) = &mut self.ice {
            match &exchange {
                Exchange::Received(offer) => {
                    let audio = offer.main().ok().map(|(_, audio)| audio);
                    ice.offered(audio.and_then(|audio| audio.ice.as_deref()));
                }
                Exchange::Idle | Exchange::Offered(_) | Exchange::OfferedFax(_) => ice.roll_back(),
            }
        }
        self.begin_dtls(&exchange);
        self.begin_keys(&exchange);
        self.exchange = exchange;
        self.pending = None;
        self.pending_fax = None;
    }

    fn begin_dtls(&mut self, exchange: &Exchange) {
        let Some(mut dtls) = self.dtls.take() else {
            return;
        };
        match exchange {
            Exchange::Received(offer) => {
                let audio = offer.main().ok().map(|(_, audio)| audio);
                let peer = audio.and_then(|audio| audio.secured.dtls());
                dtls.offered(peer, self.handshaken());
            }
            Exchange::Idle | Exchange::Offered(_) | Exchange::OfferedFax(_) => dtls.roll_back(),
        }
        self.dtls = Some(dtls);
    }

    /// Whether what is in force has keys of descriptions.
    pub fn has_keys(&self) -> bool {
        let committed = self.committed.as_ref();
        committed.is_some_and(|own| matches!(own.theirs.secured, Secured::Sdes(_)))
    }

    /// Our first offer as it would be without keys, for a peer that may refuse them (MED-021).
    pub fn without_keys(&self) -> Option<Bytes> {
        self.clone().goes_without_keys()
    }

    /// The peer has refused keys, and has been offered the same without. Returns that offer; `None` where
    /// there is nothing to leave out.
    pub fn goes_without_keys(&mut self) -> Option<Bytes> {
        let Exchange::Offered(offer) = &self.exchange else {
            return None;
        };
        let is_due = self.profile.srtp == Srtp::Optional && self.committed.is_none();
        if !is_due || offer.stream.cryptos.is_empty() {
            return None;
        }
        let mut offer = offer.clone();
        offer.stream.transport = self.profile.rtp.transport(Srtp::Off).to_owned();
        offer.stream.cryptos.clear();
        *offer.slots.get_mut(offer.main)? = RefusedLine::of_stream(&offer.stream);
        let mut draft = Draft::clone(&self.written.as_ref()?.draft);
        *draft.media.get_mut(offer.main)? = DraftMedia::Stream(offer.stream.clone());
        let body = self.write(draft);
        self.begin(Exchange::Offered(offer));
        Some(body)
    }

    /// Under which terms the association is that is in force.
    pub(super) fn handshaken(&self) -> Option<&DtlsTerms> {
        let streams = &self.committed.as_ref()?.negotiated.streams;
        match &streams.first()?.as_ref()?.protection {
            Protection::Dtls(terms) => Some(terms),
            Protection::None | Protection::Sdes { .. } => None,
        }
    }

    pub(super) fn agree(&mut self, agreement: Agreement) {
        self.pending = Some(Box::new(agreement));
    }

    pub(super) fn agree_fax(&mut self, agreement: FaxAgreement) {
        self.pending_fax = Some(Box::new(agreement));
    }

    /// Our agent, where the trunk speaks ICE.
    pub(super) fn ice(&self) -> Option<&OwnIce> {
        self.ice.as_deref()
    }

    /// Our associations, where the trunk speaks DTLS-SRTP.
    pub(super) fn dtls(&self) -> Option<&OwnDtls> {
        self.dtls.as_deref()
    }

    /// The address that the peer's signalling comes from, as soon as that is known.
    pub fn is_heard_from(&mut self, signalling: IpAddr) {
        self.signalling = Some(signalling);
    }

    /// How the media of the peer are found, which describes itself at this address.
    pub(super) fn source_policy(&self, described: IpAddr) -> SourcePolicy {
        self.profile.source_policy(described, self.signalling)
    }

    /// Writes `draft`: the same octets as last time if nothing changed, else one version more.
    pub(super) fn write(&mut self, draft: Draft) -> Bytes {
        self.write_shared(Arc::new(draft))
    }

    fn write_shared(&mut self, draft: Arc<Draft>) -> Bytes {
        if let Some(written) = &self.written
            && written.draft == draft
        {
            return written.body();
        }
        for media in &draft.media {
            if let DraftMedia::Stream(stream) = media {
                self.bind(stream);
            }
        }
        let origin = match &self.written {
            Some(written) => OriginLine {
                version: written.origin.version + 1,
                ..written.origin
            },
            None => OriginLine {
                session_id: self.session_id,
                version: 1,
                address: draft.address,
            },
        };
        let body = draft.write(&origin);
        self.written = Some(Written {
            draft,
            origin,
            body: Some(body.clone()),
        });
        body
    }
}

#[cfg(test)]
mod tests {
    use super::super::interwork;
    use super::super::profile::Transcode;
    use super::super::read::read;
    use super::*;
    use crate::sdp::{Description, Limits};
    use media_api::{CryptoKey, Family, RealmId, Suite};

    fn image() -> MediaImage {
        let profile = Arc::new(Profile::teams(RealmId(0), Family::V4));
        let mut image = MediaImage::new(profile, EndpointId(1), u64::MAX, None);
        image.allocated(&LocalEndpoint {
            endpoint: EndpointId(1),
            streams: vec![LocalStream {
                rtp: "203.0.113.1:20000".parse().unwrap(),
                rtcp: "203.0.113.1:20001".parse().unwrap(),
                keys: CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![0x41; 30])
                    .into_iter()
                    .collect(),
                fingerprint: None,
            }],
        });
        image
    }

    fn accepted(offer: &Bytes, image: &MediaImage) -> Facts {
        let description = Description::parse(offer.clone(), &Limits::default()).unwrap();
        read(&description, image.profile())
    }

    #[test]
    fn the_same_facts_are_written_in_the_same_octets() {
        let mut image = image();
        let other = Profile::carrier(RealmId(1), Family::V4);
        let first = interwork::open(&mut image, &other).unwrap();
        image.rollback();
        let second = interwork::open(&mut image, &other).unwrap();
        assert_eq!(first, second);
        assert_eq!(image.last_written(), Some(first.clone()));
        let text = std::str::from_utf8(&first).unwrap();
        // The session id keeps clear of the sign bit.
        assert!(text.contains("o=- 9223372036854775807 1 IN IP4 203.0.113.1\r\n"));
    }

    #[test]
    fn only_what_was_agreed_can_be_committed_and_rollback_keeps_what_was() {
        let mut image = image();
        let other = Profile::carrier(RealmId(1), Family::V4);
        assert!(image.commit().is_none());
        let offer = interwork::open(&mut image, &other).unwrap();
        assert!(image.is_negotiating() && image.commit().is_none() && image.is_negotiating());
        let answer = accepted(&offer, &image);
        interwork::settle(&answer, &mut image, &mut Default::default()).unwrap();
        assert!(image.pending().is_some() && image.committed().is_none());
        assert!(image.commit().is_some() && !image.is_negotiating());

        let before = image.committed().cloned();
        interwork::open(&mut image, &other).unwrap();
        image.rollback();
        assert_eq!(image.committed(), before.as_ref());
        assert!(image.pending().is_none() && !image.is_negotiating());
    }

    #[test]
    fn nothing_is_made_of_the_codec_of_a_peer_whose_trunk_forbids_it() {
        let formats = &mut Default::default();
        let mut other = image();
        Arc::make_mut(&mut other.profile).codecs = vec![Codec::named("PCMA", 8000)];
        let g711 = Profile::carrier(RealmId(1), Family::V4);
        let offer = interwork::open(&mut other, &g711).unwrap();
        interwork::settle(&accepted(&offer, &other), &mut other, formats).unwrap();
        other.commit();
        let mut wideband = Profile::teams(RealmId(0), Family::V4);
        wideband.codecs = vec![Codec::named("G722", 8000)];
        for transcode in [Transcode::OnDemand, Transcode::Never] {
            let may = transcode == Transcode::OnDemand;
            Arc::make_mut(&mut other.profile).transcode = transcode;
            let mut leg = image();
            leg.profile = Arc::new(wideband.clone());
            let offered = interwork::join(&mut leg, &other);
            assert_eq!(offered.is_ok(), may, "a party that is asked for an offer");
            leg.rollback();
            assert_eq!(interwork::invite(&mut leg, &other).is_ok(), may);
            leg.rollback();
            assert_eq!(interwork::tell(&mut leg, &other).is_ok(), may);
            leg.rollback();
            let own = interwork::open(&mut leg, &wideband).unwrap();
            leg.rollback();
            let facts = accepted(&own, &leg);
            let answered = interwork::answer_alone(facts, &mut leg, &other, formats);
            assert_eq!(answered.is_ok(), may, "a party that offers");
        }
    }

    #[test]
    fn what_goes_past_us_is_not_transcoded() {
        use super::super::profile::Lends;
        let formats = &mut Default::default();
        let party = |codec: &str| {
            let mut party = image();
            let profile = Arc::make_mut(&mut party.profile);
            (profile.codecs, profile.lends) = (vec![Codec::named(codec, 8000)], Lends::Whole);
            party
        };
        for is_direct in [false, true] {
            let (mut caller, mut callee) = (party("PCMA"), party("G722"));
            let text = interwork::open(&mut caller, &callee.profile).unwrap();
            caller.rollback();
            callee.set_direct(is_direct);
            let offer = accepted(&text, &caller);
            let offered = interwork::offer(offer, &mut caller, &mut callee);
            assert_eq!(offered.is_ok(), !is_direct, "{offered:?}");
            caller.rollback();
            callee.rollback();
            // The same, when the caller asks again and the callee has answered meanwhile.
            let own = interwork::open(&mut callee, &caller.profile).unwrap();
            interwork::settle(&accepted(&own, &callee), &mut callee, formats).unwrap();
            callee.commit();
            caller.set_direct(is_direct);
            let offer = accepted(&text, &caller);
            let answered = interwork::answer_alone(offer, &mut caller, &callee, formats);
            assert_eq!(answered.is_ok(), !is_direct);
        }
    }

    #[test]
    fn another_address_of_ours_comes_with_another_key() {
        let mut image = image();
        let other = Profile::carrier(RealmId(1), Family::V4);
        let first = interwork::open(&mut image, &other).unwrap();
        image.rollback();
        let mut moved = image.moved(EndpointId(2));
        // Nothing of the old port can be told at the new one.
        assert!(moved.local().is_none());
        assert!(interwork::open(&mut moved, &other).is_err());
        moved.allocated(&LocalEndpoint {
            endpoint: EndpointId(2),
            streams: vec![LocalStream {
                fingerprint: None,
                rtp: "203.0.113.1:20002".parse().unwrap(),
                rtcp: "203.0.113.1:20003".parse().unwrap(),
                keys: CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![0x42; 30])
                    .into_iter()
                    .collect(),
            }],
        });
        let second = interwork::open(&mut moved, &other).unwrap();
        let has = |body: &Bytes, text: &str| std::str::from_utf8(body).unwrap().contains(text);
        assert!(has(&first, "m=audio 20000 ") && has(&first, "inline:QUFB"));
        assert!(has(&second, "m=audio 20002 ") && has(&second, "inline:QkJC"));
        assert!(!has(&second, "inline:QUFB"));
    }

    #[test]
    fn an_answer_without_an_offer_is_refused() {
        let mut image = image();
        let offer = interwork::open(&mut image, &Profile::carrier(RealmId(1), Family::V4)).unwrap();
        image.rollback();
        let answer = accepted(&offer, &image);
        let refused = interwork::settle(&answer, &mut image, &mut Default::default());
        assert_eq!(
            refused.unwrap_err().because,
            super::super::Unusable::OutOfOrder
        );
    }

    #[test]
    fn nothing_that_is_printed_shows_a_key() {
        let mut image = image();
        let offer = interwork::open(&mut image, &Profile::carrier(RealmId(1), Family::V4)).unwrap();
        let answer = accepted(&offer, &image);
        interwork::settle(&answer, &mut image, &mut Default::default()).unwrap();
        let shown = format!("{image:?} {answer:?}");
        assert!(std::str::from_utf8(&offer).unwrap().contains("QUFBQUFB"));
        assert!(!shown.contains("QUFB") && !shown.contains("65, 65"));
    }

    #[test]
    fn numbers_are_kept_then_static_then_wanted_then_usual_then_free() {
        let image = image();
        let events = Codec::telephone_event(8000);
        let silk = Codec::named("SILK", 16000);
        let number =
            |codec: &Codec, wanted, taken: &[(u8, Codec)]| image.number_for(codec, wanted, taken);
        assert_eq!(number(&Codec::named("PCMA", 8000), Some(96), &[]), Some(8));
        assert_eq!(number(&events, Some(97), &[]), Some(97));
        assert_eq!(number(&events, None, &[]), Some(101));
        assert_eq!(number(&events, Some(8), &[(101, silk.clone())]), Some(96));
        let all: Vec<_> = (96..=127).map(|number| (number, silk.clone())).collect();
        assert_eq!(number(&events, Some(96), &all), None);
    }

    #[test]
    fn an_answer_has_the_numbers_of_the_offer_but_those_that_we_gave_to_others() {
        let mut image = image();
        let events = Codec::telephone_event(8000);
        let noise = Codec::named("CN", 16000);
        let silk = Codec::named("SILK", 16000);
        assert!(!image.has_numbers());
        assert_eq!(image.answering_number(96, &events, &[]), Some(96));
        image.numbers = vec![(96, noise.clone()), (101, events.clone())];
        let number = |offered, codec: &Codec, taken: &[(u8, Codec)]| {
            image.answering_number(offered, codec, taken)
        };
        assert_eq!(number(96, &noise, &[]), Some(96));
        assert_eq!(number(96, &events, &[]), Some(101));
        assert_eq!(number(96, &silk, &[]), Some(97));
        assert_eq!(number(101, &silk, &[(97, noise.clone())]), Some(98));
        assert_eq!(number(110, &events, &[]), Some(110));
    }
}
