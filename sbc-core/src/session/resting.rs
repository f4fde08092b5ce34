//! Requests that must arrive, BYE, NOTIFY and PRACK, are sent again when nothing takes them (SIP-126).
//!
//! A datagram is repeated for 64·T1; a connection that breaks or does not come about must not make a
//! single try of that. So long each is tried again, after pauses that double, along a way that is asked
//! for anew: what was known of the peer's addresses is what has just failed.

use super::link::{Link, Waiting, Wanted, patience};
use super::{LegStyle, Phase, Session};
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::sip::Method;
use crate::time::Timestamp;
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
            Wanted::Bye { .. } => true,
            Wanted::Request(errand) => matches!(errand.method, Method::Notify | Method::Prack),
            // The repeated 2xx asks for it.
            Wanted::Ack { .. } => false,
        }
    }
}

impl Link {
    /// A request could not be sent. Says whether it is tried again.
    fn rest(&mut self, now: Timestamp, style: &LegStyle, id: TransactionId) -> bool {
        let Some(since) = self.insists_since(id) else {
            return false;
        };
        let passed = now.since(since);
        let pause = passed.max(PAUSE);
        if passed + pause > patience(style) {
            return false;
        }
        let at = now + pause;
        let waiting = self.take_back(id);
        let is_bye = |own: &Waiting| matches!(own.wanted, Wanted::Bye { .. });
        self.is_cut_off |= waiting.as_ref().is_some_and(is_bye);
        let resting = waiting.map(|waiting| Resting { at, waiting });
        self.resting.extend(resting);
        true
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
        let due = self.resting.extract_if(.., is_due);
        let due = due.map(|resting| resting.waiting).collect();
        self.put_anew(cx, style, due);
    }

    /// Whether it has its end for us: nothing is left to do, or its BYE has found nobody, and is only tried again in
    /// case that the peer comes back.
    fn has_parted(&self) -> bool {
        self.is_done() || (self.is_cut_off && self.open_invite().is_none())
    }

    /// The dialog has ended at the other side: no BYE is wanted there any more.
    pub(super) fn needs_no_bye(&mut self) {
        let is_bye = |own: &Resting| matches!(own.waiting.wanted, Wanted::Bye { .. });
        self.resting.retain(|own| !is_bye(own));
    }
}

impl Session {
    /// A request of ours could not be sent. Says whether it is tried again.
    pub(super) fn rests(&mut self, cx: &Cx<'_>, id: TransactionId) -> bool {
        let (now, style) = (cx.now.mono, self.style.clone());
        self.links().any(|link| link.rest(now, &style, id))
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
