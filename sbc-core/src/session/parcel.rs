//! A confirmed dialog on its way to another call, on this shard or another one, or to the next process.
//!
//! Only a dialog in which nothing is under way is handed over. Its timers are not: time is counted
//! anew on every shard, and the call that takes it up begins with an offer, which starts them. For the next process
//! they are written down by the clock on the wall ([`super::kept`]).

use super::confirmed::Confirmed;
use super::news::News;
use super::offering::Offering;
use super::subscription::Referral;
use super::timer::SessionTimer;
use super::{LegStyle, Link, PeerFacts, Phase, Session, Timers};
use crate::dialog::Dialog;
use crate::id::{CallId, LegId};
use crate::plane::Cx;
use crate::seldom::Seldom;
use crate::sip::Token;
use crate::transport::Hop;
use std::collections::BTreeMap;

/// What there is to know of a dialog.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(super) style: LegStyle,
    pub(super) local_tag: Token,
    pub(super) facts: PeerFacts,
    pub(super) dialog: Dialog,
    pub(super) fallback: Hop,
    /// Where the peer was dialled before it came by a connection of its own.
    pub(super) home: Option<Hop>,
    pub(super) owns_call_id: bool,
    pub(super) timer: SessionTimer,
}

impl Parcel {
    /// Our tag.
    pub(crate) fn tag(&self) -> &Token {
        &self.local_tag
    }
}

impl Session {
    /// Whether it is confirmed and nothing of either side is under way, so that it can be handed
    /// over.
    pub(crate) fn is_quiet(&self) -> bool {
        let Phase::Confirmed(confirmed) = &self.phase else {
            return false;
        };
        let link = &confirmed.link;
        self.may_offer()
            && link.is_idle()
            && !link.has_open()
            && !self.referral.is_running()
            && self.referral.is_over()
            && self.referring.is_none()
            && self.unfinished.is_empty()
            && self.strays.is_empty()
    }

    /// Writes the dialog down; only if [`Self::is_quiet`]. This session must not be used again.
    pub(crate) fn export(&self) -> Option<Parcel> {
        let Phase::Confirmed(confirmed) = &self.phase else {
            return None;
        };
        let (_, fallback) = confirmed.link.local_party();
        Some(Parcel {
            style: self.style.clone(),
            local_tag: self.local_tag.clone(),
            facts: self.facts.clone(),
            dialog: confirmed.link.dialog.clone(),
            fallback,
            home: confirmed.link.home().cloned(),
            owns_call_id: confirmed.ours.owns_call_id(),
            timer: self.timer,
        })
    }

    /// Takes up a dialog that was written down.
    pub(crate) fn import(cx: &mut Cx<'_>, owner: (CallId, LegId), parcel: &Parcel) -> Self {
        let tag = parcel.local_tag.as_bytes().clone();
        cx.plane.dialogs.insert(tag, owner.0, owner.1);
        let link = Link::new(parcel.dialog.clone(), owner, parcel.fallback.clone());
        let link = link.at_home(parcel.home.clone());
        let offering = match parcel.owns_call_id {
            true => Offering::of_owner(),
            false => Offering::of_guest(),
        };
        Self {
            owner,
            style: parcel.style.clone(),
            local_tag: parcel.local_tag.clone(),
            asking: None,
            forks: Seldom::default(),
            facts: parcel.facts.clone(),
            phase: Phase::Confirmed(Box::new(Confirmed::new(link, offering))),
            timers: Timers::default(),
            timer: parcel.timer,
            refreshed: None,
            unfinished: BTreeMap::new(),
            strays: Seldom::default(),
            spared_until: None,
            examined: None,
            refuses_bye: false,
            crossing: super::crossing::Waiting::default(),
            referral: Referral::later(),
            unheard: 0,
            referring: None,
            news: News::default(),
            paces: super::Paces::default(),
            leaves_offer: false,
            reply_heard: None,
        }
    }

    /// Requests go to where the peer was last heard, without asking for any name.
    pub(crate) fn stays_where_heard(&mut self) {
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            confirmed.link.stays_where_heard();
        }
    }
}
