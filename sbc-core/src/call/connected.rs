//! Who the other party is, told within an established call (SIP-1005): when a party says in a request
//! that somebody else is there now, and when another party takes its place.
//!
//! Told is only what a trusted peer asserted, to a peer that is trusted and wants it. It goes with the
//! next offer of ours, else by UPDATE, else by a re-INVITE that repeats the description. To Teams it
//! goes with offers alone: a request that changes nothing else is of no use to it.

use super::{Call, Leg};
use crate::config::{Preset, Trunk};
use crate::id::LegId;
use crate::policy::connected;
use crate::policy::identity::{self, Asserted, Towards, Wishes};
use crate::session::{Session, Unsaid};
use crate::sip::header::{From, Header};
use crate::sip::{Address, HeaderName, Message, Params};
use bytes::Bytes;
use std::sync::Arc;

/// Lines of a request that say who is there.
pub(super) type Lines = Vec<(HeaderName, Bytes)>;

/// What is known of one party, and what it has to be told of the other.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// What its peer asserted last within the call, or when it answered.
    asserted: Option<Box<Shown>>,
    /// What it has to be told.
    news: Lines,
    /// It is worth a request of its own.
    is_pressing: bool,
}

/// Who a party is, and whether it is to be hidden from its other party.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Shown {
    asserted: Vec<Asserted>,
    hides: bool,
}

impl Identity {
    /// Whether a request has to be sent for it, if there is no other.
    pub(super) fn is_due(&self, session: &Session) -> bool {
        self.is_pressing && !self.news.is_empty() && session.style().trunk.preset != Preset::Teams
    }

    /// What the next request says; it is said once, unless it is refused.
    pub(super) fn take(&mut self) -> Lines {
        std::mem::take(&mut self.news)
    }

    /// What was refused is still to be told, unless there is something newer.
    pub(super) fn keep(&mut self, unsaid: Unsaid) {
        if self.news.is_empty() {
            self.news = unsaid.lines;
            self.is_pressing = unsaid.again;
        }
    }
}

impl Call {
    /// A party has answered: what is asserted of it is told by the response itself.
    pub(super) fn note_identity(&mut self, leg: LegId, said: &Message) {
        if let Some(shown) = self.shown_by(leg, said)
            && let Some(own) = self.legs.get_mut(&leg)
        {
            own.identity.asserted = Some(Box::new(shown));
        }
    }

    /// A party says in a request of the call, or with an answer that nobody was told of, who is there.
    pub(super) fn hear_identity(&mut self, leg: LegId, said: &Message) {
        let Some(shown) = self.shown_by(leg, said) else {
            return;
        };
        if self.shown(leg) == shown {
            return;
        }
        if let Some(own) = self.legs.get_mut(&leg) {
            own.identity.asserted = Some(Box::new(shown));
        }
        self.introduce(leg);
    }

    /// As [`Self::hear_identity`], of requests that were accepted.
    pub(super) fn hear_requests(&mut self) {
        let heard = |(id, leg): (&LegId, &mut Leg)| Some((*id, leg.session.take_heard()?));
        let heard: Vec<(LegId, Message)> = self.legs.iter_mut().filter_map(heard).collect();
        for (leg, request) in heard {
            self.hear_identity(leg, &request);
        }
    }

    /// The other party of a leg has to be told who is there.
    pub(super) fn introduce(&mut self, leg: LegId) {
        let Some(other) = self.other(leg) else {
            return;
        };
        let shown = self.shown(leg);
        let (Some(from), Some(to)) = (self.trunk_of(leg), self.trunk_of(other)) else {
            return;
        };
        let news = self.written((leg, other), &from, &to, &shown);
        if let Some(to) = self.legs.get_mut(&other) {
            to.identity.news = news;
            to.identity.is_pressing = true;
            to.session.forget_telling();
        }
    }

    /// Who has answered is told by From too, where the caller reads it there: no response can say it.
    pub(super) fn introduce_by_name(&mut self, leg: LegId) {
        let Some(other) = self.other(leg) else {
            return;
        };
        let may = self
            .legs
            .get(&other)
            .is_some_and(|to| to.session.may_rename());
        let is_said = |own: &Leg| own.identity.asserted.is_some();
        if !may || !self.legs.get(&leg).is_some_and(is_said) {
            return;
        }
        self.introduce(leg);
        if let Some(to) = self.legs.get_mut(&other) {
            let is_named = |(name, _): &(HeaderName, Bytes)| *name == HeaderName::From;
            to.identity.is_pressing = to.identity.news.iter().any(is_named);
        }
    }

    fn written(
        &self,
        (leg, other): (LegId, LegId),
        from: &Trunk,
        to: &Trunk,
        shown: &Shown,
    ) -> Lines {
        let listener = to.listeners.first();
        let listener = listener.and_then(|name| self.config.listeners.get(name));
        let reached = || self.legs.get(&leg)?.session.facts().reached();
        let target = from.targets.first().cloned().or_else(reached);
        let (Some(listener), Some(target)) = (listener, target) else {
            return Lines::new();
        };
        let towards = Towards {
            from,
            to,
            target: &target,
            listener,
            is_emergency: false,
        };
        let mut lines = connected::lines(&shown.asserted, shown.hides, &self.config, towards);
        let session = self.legs.get(&other).map(|own| &own.session);
        if let Some(session) = session.filter(|session| session.may_rename())
            && let Some(name) = connected::name(&shown.asserted, shown.hides, &self.config, towards)
            && session.would_rename(&name)
        {
            let addr = Address {
                addr: name,
                params: Params::default(),
            };
            lines.push((HeaderName::From, From(addr).to_bytes()));
        }
        lines
    }

    /// What a message asserts of its sender, if that is to be believed.
    fn shown_by(&self, leg: LegId, said: &Message) -> Option<Shown> {
        let own = self.legs.get(&leg)?;
        if !own.session.style().trunk.trusted {
            return None;
        }
        let asserted = match said.has(HeaderName::PAssertedIdentity) {
            true => identity::asserted_by(said),
            // From of a response is that of the request.
            false if said.is_request() && own.session.may_rename() => {
                vec![identity::named_by(said)?]
            }
            false => return None,
        };
        Some(Shown {
            asserted,
            hides: Wishes::of(said).hides_connected(),
        })
    }

    /// What is known of a party.
    fn shown(&self, leg: LegId) -> Shown {
        let own = self.legs.get(&leg);
        if let Some(shown) = own.and_then(|own| own.identity.asserted.as_deref()) {
            return shown.clone();
        }
        let party = self.parties.get(&leg).map(Arc::as_ref);
        party.map_or_else(Shown::default, |party| Shown {
            asserted: party.asserted.clone(),
            hides: party.privacy.hides_connected(),
        })
    }
}
