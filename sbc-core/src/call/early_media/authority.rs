//! P-Early-Media: which early dialog of a trusted called side may be heard (SIP-563, RFC 5009).
//!
//! Each early dialog keeps what it was last authorised to do; one that never said anything may be
//! heard, as without the header. What may be sent to it is limited too: where only the called side may
//! send, nobody talks to an announcement free of charge. Those whose media cannot be told apart may all do
//! what the least trusted of them may.

use super::{EarlyMedia, MOST_FORKS, parse};
use crate::call::Call;
use crate::id::LegId;
use crate::media::{Secured, read};
use crate::plane::Cx;
use crate::session::Said;
use crate::sip::HeaderName;
use bytes::Bytes;
use media_api::{Direction, Negotiated};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Directions, as the sender sees them: the first two let the caller hear it.
const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// Most early dialogs that are remembered.
const MOST: usize = MOST_FORKS;

/// What early dialogs may do, as they said last.
#[derive(Debug, Default)]
pub(super) struct Authority(BTreeMap<Bytes, Entry>);

/// What is known of an early dialog.
#[derive(Debug)]
struct Entry {
    leg: LegId,
    /// What it was last authorised to do.
    direction: Option<&'static str>,
    /// Where its media come from.
    origin: Option<Origin>,
    /// Its media would flow but for what is authorised.
    is_silenced: bool,
}

/// By what media of one early dialog are told from those of another: the address that they come from,
/// whatever its port, and who is authentic under another key.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Origin {
    address: IpAddr,
    secured: Secured,
}

impl Authority {
    /// What an early dialog may do: where its media cannot be told from those of others, no more than each
    /// of them (RFC 5009 §8).
    fn of(&self, early: &Bytes) -> Option<&'static str> {
        let own = self.0.get(early)?;
        let alike = self.0.values().filter(|other| other.is_like(own));
        let directions = own.direction.into_iter();
        let mut directions = directions.chain(alike.filter_map(|other| other.direction));
        let first = directions.next()?;
        Some(directions.fold(first, narrower))
    }

    fn is_silenced(&self, early: &Bytes) -> bool {
        self.0.get(early).is_some_and(|entry| entry.is_silenced)
    }

    /// Other early dialogs whose media cannot be told from those of this one, with their legs.
    fn alike(&self, early: &Bytes) -> Vec<(Bytes, LegId)> {
        let Some(own) = self.0.get(early) else {
            return Vec::new();
        };
        let others = self.0.iter();
        let others = others.filter(|(tag, other)| *tag != early && other.is_like(own));
        others
            .map(|(tag, other)| (tag.clone(), other.leg))
            .collect()
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

/// What a provisional or an offer says about the media of an early dialog.
#[derive(Debug, Default)]
pub(in crate::call) struct Noted {
    /// It may do something else now.
    pub(in crate::call) is_redirected: bool,
    /// Early dialogs that were silenced and may be heard again.
    pub(in crate::call) freed: Vec<(Bytes, LegId)>,
}

impl EarlyMedia {
    /// Takes note of what a provisional of the called side says about its media, and of where they come
    /// from.
    pub(in crate::call) fn note(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        (leg, early): (LegId, &Bytes),
        said: Option<&Said>,
        description: Option<&Bytes>,
    ) -> Noted {
        let trunk = call.legs.get(&leg).map(|leg| &leg.session.style().trunk);
        if !trunk.is_some_and(|trunk| trunk.progress.p_early_media) {
            return Noted::default();
        }
        let before = self.authority.of(early);
        let mut alike = self.authority.alike(early);
        let said = said.and_then(|said| direction(said.raw(HeaderName::PEarlyMedia)));
        let origin = description.and_then(|description| origin(call, leg, description));
        if said.is_none() && origin.is_none() {
            return Noted::default();
        }
        let known = &mut self.authority.0;
        if known.len() >= MOST && !known.contains_key(early) {
            return Noted::default();
        }
        let entry = known.entry(early.clone()).or_insert(Entry {
            leg,
            direction: None,
            origin: None,
            is_silenced: false,
        });
        let is_known = said.is_none_or(|said| entry.direction == Some(said))
            && origin
                .as_ref()
                .is_none_or(|origin| entry.origin.as_ref() == Some(origin));
        if is_known {
            return Noted::default();
        }
        entry.direction = said.or(entry.direction);
        entry.origin = origin.or(entry.origin.take());
        for other in self.authority.alike(early) {
            if !alike.contains(&other) {
                alike.push(other);
            }
        }
        let freed = self.others_follow(call, cx, alike);
        Noted {
            is_redirected: self.authority.of(early) != before,
            freed,
        }
    }

    /// An early dialog has ended: it limits no other one any more. Returns those that may be heard again.
    pub(super) fn forget(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        early: &Bytes,
    ) -> Vec<(Bytes, LegId)> {
        let alike = self.authority.alike(early);
        self.authority.0.remove(early);
        self.others_follow(call, cx, alike)
    }

    /// What one early dialog may do, or where its media come from, is not what it was: others are heard, or
    /// not, as follows from that. Returns those that may be heard again.
    fn others_follow(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        alike: Vec<(Bytes, LegId)>,
    ) -> Vec<(Bytes, LegId)> {
        let mut freed = Vec::new();
        for (early, leg) in alike {
            let may_flow = self.is_authorised(&early);
            match self.has_flowed(&early) {
                true if may_flow => self.changes(call, cx, &early),
                true => self.silences(call, cx, &early),
                false if may_flow && self.authority.is_silenced(&early) => freed.push((early, leg)),
                false => {}
            }
        }
        freed
    }

    /// An early dialog that could be heard is not authorised: the newest of the others takes over, if there
    /// is one (SIP-311).
    pub(super) fn silences(&mut self, call: &mut Call, cx: &mut Cx<'_>, early: &Bytes) {
        if let Some(entry) = self.authority.0.get_mut(early) {
            entry.is_silenced = true;
        }
        self.closes(call, cx, early);
    }

    /// The called side has moved the media of an early dialog: what that means for them and for others.
    /// Returns those that may be heard again.
    pub(in crate::call) fn moved(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        (leg, early): (LegId, &Bytes),
        description: &Bytes,
    ) -> Vec<(Bytes, LegId)> {
        let noted = self.note(call, cx, (leg, early), None, Some(description));
        let mut freed = noted.freed;
        match (self.is_authorised(early), self.has_flowed(early)) {
            (true, false) if self.authority.is_silenced(early) => freed.push((early.clone(), leg)),
            (false, true) => self.silences(call, cx, early),
            (true, _) | (false, false) => {}
        }
        freed
    }

    /// Whether an early dialog may be heard.
    pub(in crate::call) fn is_authorised(&self, early: &Bytes) -> bool {
        !matches!(self.authority.of(early), Some("recvonly" | "inactive"))
    }

    /// What an early dialog may do, if it has said so.
    pub(in crate::call) fn authorised(&self, early: &Bytes) -> Option<&'static str> {
        self.authority.of(early)
    }
}

impl Entry {
    /// Whether the media of the two cannot be told apart.
    fn is_like(&self, other: &Self) -> bool {
        self.leg == other.leg && self.origin.is_some() && self.origin == other.origin
    }
}

/// What both of two directions allow.
fn narrower(one: &'static str, other: &'static str) -> &'static str {
    let may = |direction: &str, verb: &str| direction == "sendrecv" || direction == verb;
    let both = |verb: &str| may(one, verb) && may(other, verb);
    match (both("sendonly"), both("recvonly")) {
        (true, true) => "sendrecv",
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    }
}

/// Where the media of a description come from.
fn origin(call: &Call, leg: LegId, description: &Bytes) -> Option<Origin> {
    let profile = call.legs.get(&leg)?.image.profile();
    let facts = read(&parse(description).ok()?, profile);
    let (_, audio) = facts.main().ok()?;
    Some(Origin {
        address: audio.rtp.ip(),
        secured: audio.secured.clone(),
    })
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
