//! Whom a transfer calls: by its plan, and where the target sends it with a 3xx (SIP-900).
//!
//! A target is followed as a called party is in the set-up of a call, with the same bounds. Nobody waits here who
//! could follow by himself: where its trunk passes redirections on, whoever asked for the transfer is told of the
//! status, as of any other. So is Teams of a target of its own.

use super::Transfer;
use crate::call::places::OtherWay;
use crate::call::setup::Attempt;
use crate::call::setup::redirect::{Followed, next_target};
use crate::call::{Call, Timer};
use crate::config::{Redirect, Trunk};
use crate::event::Happened;
use crate::id::LegId;
use crate::plane::Cx;
use crate::policy::diversion::Trail;
use crate::policy::identity::Caller;
use crate::session::Rejection;
use crate::sip::{Status, Uri};
use std::collections::VecDeque;
use std::sync::Arc;

impl Transfer {
    /// What the plan says, in its order.
    pub(super) fn planned(&self, call: &Call) -> VecDeque<Attempt> {
        let way = self.way(call).map(Arc::new);
        let attempts = self.plan.trunks.iter().map(|trunk| Attempt {
            trunk: Arc::clone(trunk),
            called: self.plan.called.clone(),
            caller: self.presented(call, trunk),
            path: Vec::new(),
            asked_for: Vec::new(),
            way: way.clone(),
            untried: Vec::new(),
        });
        attempts.collect()
    }

    /// The way to the target, for the limits on it.
    fn way(&self, call: &Call) -> Option<OtherWay> {
        Some(OtherWay {
            by: call.trunk_of(self.transferor)?,
            route: self.plan.route.clone()?,
            called: self.plan.called.number.clone(),
            calling: call.party(self.transferee).selected.number.clone(),
        })
    }

    /// The transferee as the new party sees it: with who transferred it, where the trunk wants that.
    fn presented(&self, call: &Call, trunk: &Trunk) -> Arc<Caller> {
        let caller = call.party(self.transferee);
        let by = &call.party(self.transferor).selected.number;
        let uri = |number: &str| Uri::parse(format!("tel:{number}"));
        match (uri(by), uri(&self.plan.called.number)) {
            (Ok(by), Ok(to)) if trunk.transfers.is_diversion => Arc::new(Caller {
                trail: Trail::of_transfer(by, &to),
                ..Caller::clone(&caller)
            }),
            _ if !self.wish.trail().steps.is_empty() => Arc::new(Caller {
                trail: self.wish.trail(),
                ..Caller::clone(&caller)
            }),
            // What the call went through before is none of the new party's business (TDR-FWD-001); who is called now is who
            // diverts it if it goes on.
            (_, to) => Arc::new(Caller {
                trail: Trail {
                    called: to.ok().map(Box::new),
                    ..Trail::default()
                },
                ..Caller::clone(&caller)
            }),
        }
    }

    /// Puts the targets of a 3xx at the head of what is to be tried. Says whether there are any.
    pub(super) fn is_redirected(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        rejection: &Rejection,
    ) -> bool {
        let is_redirection = (300..400).contains(&rejection.status.code());
        let said = rejection.said.as_ref().filter(|_| is_redirection);
        let (Some(said), Some(attempt)) = (said, &self.current) else {
            return false;
        };
        // Whom Teams names in strings of its own it alone can find elsewhere, and it takes its call back.
        let is_its_own = self.plan.is_verbatim && attempt.path.is_empty();
        if is_its_own || attempt.trunk.redirect != Redirect::Follow {
            return false;
        }
        let redirects = &mut self.redirects;
        let (followed, because) = redirects.follow(&call.config, cx, attempt, said);
        if let Some(record) = call.record.transfers.get_mut(self.record) {
            record.because.0.extend(because.0.iter().cloned());
        }
        let Followed::To(attempts) = followed else {
            return false;
        };
        if let Some(called) = self.redirects.take_help() {
            self.plan.is_emergency = true;
            call.becomes_help(cx, call.side(self.transferee));
            call.tells_of_help(cx, leg, &called);
            // Who calls for help waits for as long as it takes.
            let limit = cx.now.mono + call.longest_setup();
            call.timers.set(Timer::Transfer as usize, limit);
        }
        for attempt in attempts.into_iter().rev() {
            self.attempts.push_front(attempt);
        }
        let trunks = self.attempts.iter().map(|own| own.trunk.name.clone());
        let what = Happened::Routed {
            trunks: trunks.collect(),
            route: None,
            because,
        };
        cx.out.emit(Some(call.id), Some(leg), what);
        true
    }

    /// The next target that a redirection has named is tried, unless who refuses speaks for all places of the callee
    /// (RFC 3261 §8.1.3.4). Says whether there is one.
    pub(super) fn turns_to_next_target(&mut self, status: Status) -> bool {
        let path = self.current.as_ref().map(|own| &own.path);
        let next = path.and_then(|path| next_target(&self.attempts, path));
        let next = next.filter(|_| status.code() < 600);
        if let Some(next) = next {
            self.attempts.drain(..next);
        }
        next.is_some()
    }
}
