//! Several early dialogs of one caller: where its trunk wants to see them, each of the called side's is
//! one of its own, with a tag of ours (SIP-311). All carry the same description, for the relay's port is
//! the same; one of them is confirmed by the answer, and the end of each other may be told (SIP-313).

use super::reliable::Provisional;
use super::uas::Incoming;
use super::{Phase, Session};
use crate::config::EarlyDialogs;
use crate::id::LegId;
use crate::plane::Cx;
use crate::sip::header::{CSeq, Header, OptionTag, Reason, Supported};
use crate::sip::{HeaderName, Message, Status, Token};
use crate::time::Timestamp;
use bytes::Bytes;

/// Most early dialogs of one caller; those beyond share the one that is its own in any case.
const MOST: usize = 64;

/// An early dialog of the called side: whose it is, and the peer's tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    pub(crate) leg: LegId,
    pub(crate) tag: Bytes,
}

impl Source {
    pub(crate) fn new(leg: LegId, tag: &Bytes) -> Self {
        let tag = tag.clone();
        Self { leg, tag }
    }
}

/// The caller's early dialog for one of the called side.
#[derive(Debug)]
pub(super) struct Fork {
    of: Source,
    tag: Token,
    /// Highest sequence number seen from the caller in it.
    seen: u32,
    is_over: bool,
    /// What was said last in it, and when.
    pub(super) last: Option<Provisional>,
    pub(super) told: Timestamp,
}

/// Where the caller hears of an early dialog of the called side.
pub(super) enum Seat<'a> {
    /// In one of its own.
    Fork(&'a mut Fork),
    /// In the session's own, with all others for which there is no room.
    Shared,
    /// Nowhere: it is over.
    Over,
}

impl Fork {
    pub(super) fn tag(&self) -> &Token {
        &self.tag
    }
}

/// Checks and notes the sequence number of a request of the caller in the early dialog that it names.
pub(super) fn admits(forks: &mut [Fork], incoming: &mut Incoming, request: &Message) -> bool {
    let tag = request.to_tag();
    let is_it = |fork: &&mut Fork| tag.is_some_and(|tag| fork.tag.as_bytes() == tag);
    let Some(fork) = forks.iter_mut().find(is_it) else {
        return incoming.admits(request);
    };
    let cseq = request.essential::<CSeq>().ok().flatten();
    let number = cseq.map_or(0, |cseq| cseq.number);
    let is_new = number > fork.seen;
    fork.seen = fork.seen.max(number);
    is_new
}

impl Session {
    /// Whether the caller sees the early dialogs of the called side one by one. Whoever must confirm
    /// provisionals sees one.
    pub(crate) fn sees_forks(&self) -> bool {
        let wish = self.style.trunk.progress.early_dialogs;
        wish == EarlyDialogs::Transparent && self.takes_unreliable()
    }

    /// The caller's early dialog for one of the called side. One that is new gets a tag, where there is
    /// room.
    pub(super) fn fork(&mut self, cx: &mut Cx<'_>, of: &Source) -> Seat<'_> {
        let Phase::Incoming(incoming) = &self.phase else {
            return Seat::Over;
        };
        let at = match self.forks.iter().position(|fork| fork.of == *of) {
            Some(at) => at,
            None if self.forks.len() >= MOST => return Seat::Shared,
            None => {
                let tag = Token::from_minted(cx.plane.mint.tag());
                let (call, leg) = self.owner;
                let dialogs = &mut cx.plane.dialogs;
                dialogs.insert(tag.as_bytes().clone(), call, leg);
                self.forks.push(Fork {
                    of: of.clone(),
                    tag,
                    seen: incoming.cseq(),
                    is_over: false,
                    last: None,
                    told: Timestamp::ZERO,
                });
                self.forks.len() - 1
            }
        };
        match self.forks.get_mut(at).filter(|fork| !fork.is_over) {
            Some(fork) => Seat::Fork(fork),
            None => Seat::Over,
        }
    }

    /// The latest provisional of an early dialog that is not over, to be repeated.
    pub(super) fn last_of_forks(&self) -> Option<Provisional> {
        let open = self.forks.iter().filter(|fork| !fork.is_over);
        open.max_by_key(|fork| fork.told)?.last.clone()
    }

    /// An early dialog of the called side has ended without an answer, for this status.
    pub(crate) fn fork_ends(&mut self, cx: &mut Cx<'_>, of: &Source, why: u16) {
        self.end_where(cx, |fork| fork.of == *of, why);
    }

    /// All early dialogs of a leg have ended so, and no other one of it begins: those of the next way find
    /// their place free.
    pub(crate) fn forks_end(&mut self, cx: &mut Cx<'_>, leg: LegId, why: u16) {
        self.end_where(cx, |fork| fork.of.leg == leg, why);
        for fork in self.forks.extract(|fork| fork.of.leg == leg) {
            cx.plane
                .dialog_ended(cx.now.mono, fork.tag.as_bytes(), None);
        }
    }

    /// The caller's BYE: whose of several early dialogs it has ended, if not the call.
    pub(super) fn ends_fork(&mut self, cx: &mut Cx<'_>, bye: &Message) -> Option<Source> {
        let Phase::Incoming(incoming) = &self.phase else {
            return None;
        };
        let tag = bye.to_tag();
        let is_it = |fork: &Fork| tag.is_some_and(|tag| fork.tag.as_bytes() == tag);
        let mut others = self.forks.iter().filter(|fork| !is_it(fork));
        let is_left = incoming.has_told() || others.any(|fork| !fork.is_over);
        let fork = self.forks.iter_mut().find(|fork| is_it(fork));
        let fork = fork.filter(|_| is_left)?;
        fork.is_over = true;
        cx.plane
            .dialog_ended(cx.now.mono, fork.tag.as_bytes(), None);
        Some(fork.of.clone())
    }

    /// A caller that asks for it is told with 199 (RFC 6228 §6).
    fn end_where(&mut self, cx: &mut Cx<'_>, is_it: impl Fn(&Fork) -> bool, why: u16) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        let ended = self.forks.iter_mut();
        for fork in ended.filter(|fork| !fork.is_over && is_it(fork)) {
            fork.is_over = true;
            if hears_of_ends(&incoming.request) {
                let status = Status::EARLY_DIALOG_TERMINATED;
                let reason = Reason::sip(why, None).to_bytes();
                let response = incoming
                    .begin(&self.style, &fork.tag, status)
                    .raw_if_valid(HeaderName::Reason, reason);
                incoming.respond(cx, status, response.build());
            }
        }
    }

    /// The answer confirms the caller's early dialog for this one, if there is one.
    pub(crate) fn keeps(&mut self, of: &Source) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        // None that has ended is confirmed: the answer is one in the session's own dialog then.
        let mut forks = self.forks.iter_mut().filter(|fork| !fork.is_over);
        if let Some(fork) = forks.find(|fork| fork.of == *of) {
            std::mem::swap(&mut self.local_tag, &mut fork.tag);
            incoming.swap_seen(&mut fork.seen);
        }
    }

    /// No early dialog is left but the session's own.
    pub(super) fn end_forks(&self, cx: &mut Cx<'_>) {
        for fork in &self.forks {
            cx.plane
                .dialog_ended(cx.now.mono, fork.tag.as_bytes(), None);
        }
    }
}

fn hears_of_ends(invite: &Message) -> bool {
    let tags = invite.list::<Supported>().unwrap_or_default();
    tags.iter().any(|tag| tag.is(OptionTag::EARLY_END))
}
