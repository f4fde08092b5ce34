//! The line that those who help hold after the caller for help has hung up (SIP-1405).
//!
//! Their leg stays as it is, without anybody to hear: they see that the caller has gone by the silence, know
//! who called, and end the call themselves. Nobody else is told to wait. It is the same where the caller may not
//! hang up, and its equipment is lost. Silence ends no such call: nobody but those who help does.

use super::{Call, Timer, endpoint};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::EmergencyHold;
use crate::id::LegId;
use crate::letter::Help;
use crate::plane::Cx;
use crate::time::Timestamp;
use crate::trouble::Trouble;
use std::time::Duration;

/// How long a line is held at most.
const LONGEST: Duration = Duration::from_secs(30 * 60);

impl Call {
    /// The caller for help and those who help, while they talk to each other: after a transfer either may stand on
    /// either side.
    fn helped(&self) -> Option<(LegId, LegId)> {
        let (a, b) = self.bridge.filter(|_| self.record.emergency)?;
        Some(match self.seeks_help {
            EndedBy::A => (a, b),
            EndedBy::B | EndedBy::Us => (b, a),
        })
    }

    /// What those who help want to become of the call when its caller hangs up.
    fn emergency_hold(&self) -> EmergencyHold {
        let those_who_help = self.helped().and_then(|(_, own)| self.trunk_of(own));
        those_who_help.map_or(EmergencyHold::Release, |trunk| trunk.habits.emergency_hold)
    }

    /// What a party is in a call for help.
    pub(super) fn help_of(&self, leg: LegId) -> Option<Help> {
        self.record
            .emergency
            .then(|| match self.side(leg) == self.seeks_help {
                true => Help::Seeks,
                false => Help::Gives,
            })
    }

    /// Whether nobody but those who help may end the call.
    pub(super) fn is_theirs_to_end(&self) -> bool {
        self.emergency_hold() != EmergencyHold::Release
    }

    /// Who calls for help, or has taken the caller's part, may not hang up where those who help do not want it.
    pub(super) fn keeps_caller(&mut self) {
        let is_refused = self.emergency_hold() == EmergencyHold::Refuse;
        let caller = self.helped().map(|(caller, _)| caller);
        if let Some(caller) = caller.and_then(|caller| self.leg(caller)) {
            caller.session.refuse_bye(is_refused);
        }
    }

    /// Whether the end of a leg leaves those who help on the line.
    pub(super) fn is_held_after(&self, leg: LegId) -> bool {
        let Some((caller, called)) = self.helped() else {
            return false;
        };
        let is_there = |leg| {
            self.legs
                .get(&leg)
                .is_some_and(|leg| leg.session.is_confirmed())
        };
        leg == caller && !self.is_held() && is_there(called) && self.is_theirs_to_end()
    }

    /// The caller has gone: its port is free, and nobody is missed for being silent.
    pub(super) fn hold_line(&mut self, cx: &mut Cx<'_>, caller: LegId) {
        self.held_since = Some(cx.now.mono);
        self.media.drop_endpoint(cx, endpoint(caller));
        self.timers.set(Timer::Held as usize, cx.now.mono + LONGEST);
    }

    /// Whether its caller has gone, and those who help have not.
    pub(super) fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Why the call ends, with how long its line was held.
    pub(super) fn with_hold(&self, now: Timestamp, because: Because) -> Because {
        match self.held_since {
            Some(since) => because.and(format!(
                "the caller for help had gone {} s before",
                now.since(since).as_secs()
            )),
            None => because,
        }
    }

    pub(super) fn held_too_long(&mut self, cx: &mut Cx<'_>) {
        let because =
            Because::of("those who help hold the line no longer").named(Trouble::LineHeldTooLong);
        self.end(cx, EndedBy::Us, CauseCode::LimitReached, because, &[]);
    }
}
