//! History-Info towards the caller: where its call has been, over all attempts (SIP-901, RFC 7044 §10.3).

use super::super::Call;
use super::{Attempt, Setup, Step};
use crate::id::LegId;
use crate::policy::diversion::{self, Been, Trail};
use crate::policy::identity::Towards;
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// Ways to one target that have failed: of another target they are none.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// The target, as in [`Attempt::path`].
    path: Vec<u16>,
    /// The statuses with which they have failed.
    statuses: Vec<u16>,
}

impl Tried {
    /// Ways to the target of this path have failed.
    fn note(&mut self, path: Vec<u16>, statuses: Vec<u16>) {
        if self.path != path {
            self.path = path;
            self.statuses.clear();
        }
        self.statuses.extend(statuses);
    }

    /// Statuses of the ways to the target of this path.
    pub(super) fn to(&self, path: &[u16]) -> &[u16] {
        match self.path == path {
            true => &self.statuses,
            false => &[],
        }
    }
}

impl Setup {
    /// As the attempt of a leg was made, if the caller wants to be told.
    pub(super) fn as_asked(&self, call: &Call, leg: LegId) -> Option<Trail> {
        let attempt = self.attempt_of(leg).filter(|_| self.is_told())?;
        let ways = &call.legs.get(&leg)?.session.facts().ways;
        let trail = &attempt.caller.trail;
        let keeps = attempt.trunk.history.is_kept();
        Some(trail.as_asked(keeps, &self.since(attempt, ways)))
    }

    /// The attempt of a leg has failed: what it told is kept for what the caller is told at last. `last` is
    /// the status that it has failed with, where its session did not note any.
    pub(super) fn note_history(
        &mut self,
        call: &Call,
        leg: LegId,
        said: Option<&Message>,
        last: u16,
    ) {
        let ways = call.legs.get(&leg).map(|own| &own.session.facts().ways);
        let ways = match ways {
            Some(ways) if !ways.is_empty() => ways.clone(),
            Some(_) | None => vec![last],
        };
        let Some(attempt) = self.attempt_of(leg) else {
            return;
        };
        let path = attempt.path.clone();
        if self.is_told() {
            let failed = attempt.caller.trail.as_failed(&self.since(attempt, &ways));
            let been = self.told_of(call, leg, |towards| {
                self.history(call, said, towards, Some(&failed))
            });
            let told = said.map(|said| diversion::told_by(said, &failed));
            self.been = been;
            self.heard.extend(told.unwrap_or_default());
            self.heard.truncate(diversion::MOST_STEPS);
        }
        self.tried.note(path, ways);
    }

    /// The lines for the caller, with what an answer told.
    pub(super) fn history(
        &self,
        call: &Call,
        said: Option<&Message>,
        towards: Towards<'_>,
        asked: Option<&Trail>,
    ) -> Vec<(HeaderName, Bytes)> {
        let Some(asked) = asked else {
            return Vec::new();
        };
        let been = Been {
            asked,
            heard: &self.heard,
        };
        diversion::told_back(&self.request, said, &call.config, towards, been)
    }

    /// Whether the caller is told at all.
    fn is_told(&self) -> bool {
        self.trunk.history.is_kept() && diversion::is_told_back(&self.request)
    }

    /// Ways that have failed and that the trail of an attempt does not have yet.
    fn since(&self, attempt: &Attempt, ways: &[u16]) -> Vec<u16> {
        match attempt.caller.trail.ways {
            0 => [self.tried.to(&attempt.path), ways].concat(),
            _ => ways.to_vec(),
        }
    }

    pub(super) fn attempt_of(&self, leg: LegId) -> Option<&Attempt> {
        match &self.step {
            Step::Inviting { leg: own, attempt } if *own == leg => Some(attempt),
            Step::Inviting { .. }
            | Step::Verifying(_)
            | Step::Waiting
            | Step::Allocating(_)
            | Step::Announcing(_)
            | Step::Acknowledging { .. } => {
                let (_, attempt) = self.beside.iter().find(|(own, _)| *own == leg)?;
                Some(attempt)
            }
        }
    }
}
