//! Requests that must arrive, BYE, NOTIFY and PRACK, are sent again when nothing takes them (SIP-126).
//!
//! A datagram is repeated for 64·T1; a connection that breaks or does not come about must not make a
//! single try of that. So long each is tried again, after pauses that double, along a way that is asked
//! for anew: what was known of the peer's addresses is what has just failed. The pauses are a little random, so
//! that what failed with one connection does not all come back at once.
//!
//! News of a transfer are told in order (TDR-XFR-014): what is out of date when its time comes is not told, and no
//! BYE of ours overtakes what it ends.

use super::link::{Link, Waiting, Wanted, patience};
use super::{LegStyle, Phase, Session};
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::sip::{HeaderName, Method};
use crate::time::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// The first pause.
const PAUSE: Duration = Duration::from_millis(500);

/// A request that could not be sent.
#[derive(Debug)]
pub(super) struct Resting {
    /// When it is tried again.
    at: Timestamp,
    pub(super) waiting: Waiting,
}

impl Waiting {
    /// Whether somebody is left hanging if nobody gets it.
    pub(super) fn must_arrive(&self) -> bool {
        match &self.wanted {
            Wanted::Bye(_) => true,
            Wanted::Request(errand) => matches!(errand.method, Method::Notify | Method::Prack),
            // The repeated 2xx asks for it.
            Wanted::Ack { .. } => false,
        }
    }
}

impl Wanted {
    fn is_bye(&self) -> bool {
        matches!(self, Self::Bye(_))
    }

    /// The subscription that a NOTIFY is of.
    pub(super) fn news_of(&self) -> Option<&Bytes> {
        let Self::Request(errand) = self else {
            return None;
        };
        let mut lines = errand.headers.iter();
        let event = lines.find(|(name, _)| *name == HeaderName::Event);
        event
            .filter(|_| errand.method == Method::Notify)
            .map(|(_, value)| value)
    }
}

impl Link {
    /// A request could not be sent. Says whether it is tried again.
    fn rest(&mut self, cx: &mut Cx<'_>, style: &LegStyle, id: TransactionId) -> bool {
        let Some(since) = self.insists_since(id) else {
            return false;
        };
        let now = cx.now.mono;
        let passed = now.since(since);
        let left = patience(style).saturating_sub(passed);
        if left.is_zero() {
            return false;
        }
        let pause = passed.max(PAUSE);
        let pause = cx.plane.mint.delay(pause, pause * 5 / 4);
        let at = now + pause.min(left);
        let Some(waiting) = self.take_back(id) else {
            return false;
        };
        self.is_cut_off |= waiting.wanted.is_bye();
        match self.news_like(&waiting.wanted) {
            // What came after it takes its place.
            Some(later) if later.waiting.since > waiting.since => {}
            Some(earlier) => *earlier = Resting { at, waiting },
            None => self.resting.push(Resting { at, waiting }),
        }
        self.put_byes_last();
        true
    }

    /// A NOTIFY or BYE that follows a NOTIFY which rests waits with it; news of one subscription take the place of
    /// what was to be told before. Hands back what goes at once.
    pub(super) fn behind_news(&mut self, now: Timestamp, wanted: Wanted) -> Option<Wanted> {
        let is_bound = wanted.is_bye() || wanted.news_of().is_some();
        let Some(at) = self.news_at().filter(|_| is_bound) else {
            return Some(wanted);
        };
        match self.news_like(&wanted) {
            Some(earlier) => {
                earlier.waiting = Waiting::first(wanted);
                earlier.waiting.since = Some(now);
            }
            None => {
                let waiting = Waiting::first(wanted);
                self.resting.push(Resting { at, waiting });
                self.put_byes_last();
            }
        }
        None
    }

    /// The NOTIFY of the same subscription that rests.
    fn news_like(&mut self, wanted: &Wanted) -> Option<&mut Resting> {
        let event = wanted.news_of()?;
        let is_like = |own: &&mut Resting| own.waiting.wanted.news_of() == Some(event);
        self.resting.iter_mut().find(is_like)
    }

    /// When the last of the news that rest is tried again.
    fn news_at(&self) -> Option<Timestamp> {
        let is_news = |own: &&Resting| own.waiting.wanted.news_of().is_some();
        self.resting.iter().filter(is_news).map(|own| own.at).max()
    }

    /// No BYE is tried before the news that rest.
    fn put_byes_last(&mut self) {
        if let Some(news) = self.news_at() {
            self.resting.sort_by_key(|own| own.waiting.wanted.is_bye());
            let byes = self.resting.iter_mut();
            for bye in byes.filter(|own| own.waiting.wanted.is_bye()) {
                bye.at = bye.at.max(news);
            }
        }
    }

    /// When the next of them is tried again.
    fn next_try(&self) -> Option<Timestamp> {
        self.resting.iter().map(|resting| resting.at).min()
    }

    /// Tries those again whose time has come.
    fn try_again(&mut self, cx: &mut Cx<'_>, style: &LegStyle) {
        let now = cx.now.mono;
        if self.next_try().is_none_or(|at| at > now) {
            return;
        }
        let is_due = |resting: &mut Resting| resting.at <= now;
        let due = self.resting.extract(is_due);
        let due = due.into_iter().map(|resting| resting.waiting).collect();
        self.put_anew(cx, style, due);
    }

    /// Whether it has its end for us: nothing is left to do, or its BYE has found nobody, and is only tried again in
    /// case that the peer comes back.
    fn has_parted(&self) -> bool {
        self.is_done() || (self.is_cut_off && self.open_invite().is_none())
    }

    /// The dialog has ended at the other side: no BYE is wanted there any more.
    pub(super) fn needs_no_bye(&mut self) {
        self.resting.retain(|own| !own.waiting.wanted.is_bye());
    }
}

impl Session {
    /// A request of ours could not be sent. Says whether it is tried again.
    pub(super) fn rests(&mut self, cx: &mut Cx<'_>, id: TransactionId) -> bool {
        let style = self.style.clone();
        self.links().any(|link| link.rest(cx, &style, id))
    }

    /// Whether nothing of it is left but to reach a peer that cannot be reached.
    pub(crate) fn has_parted(&self) -> bool {
        let has_phase_parted = match &self.phase {
            Phase::Over => true,
            Phase::Closing(closing) => closing.link.has_parted(),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Confirmed(_) => false,
        };
        has_phase_parted
            && self.unfinished.is_empty()
            && self.strays.iter().all(Link::has_parted)
            && self.referral.is_over()
    }

    /// When a request that could not be sent is tried again.
    pub(super) fn next_try(&self) -> Option<Timestamp> {
        let strays = self.strays.iter().filter_map(Link::next_try);
        let after = self.referral.after.as_deref().and_then(Link::next_try);
        let own = match &self.phase {
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => confirmed.link.next_try(),
            Phase::Outgoing(outgoing) => {
                let early = outgoing.early.values();
                early.filter_map(|early| early.link.next_try()).min()
            }
            Phase::Incoming(_) | Phase::Over => None,
        };
        strays.chain(after).chain(own).min()
    }

    /// Tries again what could not be sent.
    pub(super) fn try_again(&mut self, cx: &mut Cx<'_>) {
        if self.next_try().is_some_and(|at| at <= cx.now.mono) {
            let style = self.style.clone();
            for link in self.links() {
                link.try_again(cx, &style);
            }
        }
    }

    /// Every dialog of the session.
    fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        let (own, early) = match &mut self.phase {
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => {
                (Some(&mut confirmed.link), None)
            }
            Phase::Outgoing(outgoing) => (None, Some(outgoing.early.values_mut())),
            Phase::Incoming(_) | Phase::Over => (None, None),
        };
        let early = early.into_iter().flatten().map(|early| &mut early.link);
        let after = self.referral.after.as_deref_mut();
        own.into_iter()
            .chain(early)
            .chain(&mut self.strays)
            .chain(after)
    }
}
