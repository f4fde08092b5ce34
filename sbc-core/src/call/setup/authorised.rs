//! P-Early-Media: which early dialog of a trusted called side may be heard (SIP-563, RFC 5009).
//!
//! Each early dialog keeps what it was last authorised to do; one that never said anything may be
//! heard, as without the header. What may be sent to it is limited too: where only the called side may
//! send, nobody talks to an announcement free of charge.

use super::Setup;
use crate::call::{A_LEG, Call};
use crate::id::LegId;
use crate::session::Said;
use crate::sip::HeaderName;
use bytes::Bytes;
use media_api::{Direction, Negotiated};
use std::collections::BTreeMap;

/// Directions, as the sender sees them: the first two let the caller hear it.
const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// Most early dialogs that are remembered.
const MOST: usize = super::MOST_FORKS;

/// What early dialogs may do, as they said last.
#[derive(Debug, Default)]
pub(super) struct Authority(BTreeMap<Bytes, &'static str>);

impl Authority {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn of(&self, early: &Bytes) -> Option<&'static str> {
        self.0.get(early).copied()
    }

    /// What the relay is told of an early dialog: nothing is sent to one that may only send.
    pub(super) fn limits(&self, early: &Bytes, mut agreed: Negotiated) -> Negotiated {
        if self.of(early) == Some("sendonly") {
            for stream in agreed.streams.iter_mut().flatten() {
                stream.direction = Direction::from_parts(false, stream.direction.receives());
            }
        }
        agreed
    }
}

impl Setup {
    /// Takes note of what a provisional of the called side says about its media. Says whether that is
    /// something new.
    pub(super) fn note_authority(
        &mut self,
        call: &Call,
        leg: LegId,
        said: &Said,
        early: &Bytes,
    ) -> bool {
        let trunk = call.legs.get(&leg).map(|leg| &leg.session.style().trunk);
        if !trunk.is_some_and(|trunk| trunk.progress.p_early_media) {
            return false;
        }
        let Some(direction) = direction(said.raw(HeaderName::PEarlyMedia)) else {
            return false;
        };
        let known = &mut self.authority.0;
        if known.len() >= MOST && !known.contains_key(early) {
            return false;
        }
        known.insert(early.clone(), direction) != Some(direction)
    }

    /// Whether an early dialog may be heard.
    pub(super) fn is_authorised(&self, early: &Bytes) -> bool {
        !matches!(self.authority.of(early), Some("recvonly" | "inactive"))
    }

    /// What the caller is told: the same, if its trunk is trusted with it and its INVITE asks.
    pub(super) fn authority_told(&self, call: &Call, early: &Bytes) -> Option<(HeaderName, Bytes)> {
        let a = call.legs.get(&A_LEG)?;
        let asks = self
            .request
            .raw(HeaderName::PEarlyMedia)
            .is_some_and(|value| {
                let mut words = value.split(|octet| *octet == b',');
                words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"supported"))
            });
        let direction = self.authority.of(early)?;
        let may = asks && a.session.style().trunk.progress.p_early_media;
        may.then(|| {
            let value = Bytes::from_static(direction.as_bytes());
            (HeaderName::PEarlyMedia, value)
        })
    }
}

/// The direction of a header value; of several media lines the first, which is the audio. `gated` says
/// who guards it and nothing about what may flow.
fn direction(value: Option<Bytes>) -> Option<&'static str> {
    let value = value?;
    let mut words = value.split(|octet| *octet == b',');
    words.find_map(|word| {
        let word = word.trim_ascii();
        let known = |name: &&&str| word.eq_ignore_ascii_case(name.as_bytes());
        DIRECTIONS.iter().find(known).copied()
    })
}
