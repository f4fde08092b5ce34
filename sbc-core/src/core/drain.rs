//! No new calls: at once, or gently for those who judge us by our silence.

use super::Core;
use crate::config::{Preset, Trunk};
use crate::effect::Effects;
use crate::input::Answered;
use crate::time::{Now, Timestamp};
use std::time::Duration;

impl Core {
    /// Takes no new calls any more, or takes them again; Teams may call until `fades_until`.
    pub(super) fn drain(
        &mut self,
        now: Now,
        is_draining: bool,
        fades_until: Option<Timestamp>,
        out: &mut Effects,
    ) -> Answered {
        // Teams has been told by the first one: a second one gives it no more time.
        self.fades_until = match self.is_draining {
            true => fades_until.and(self.fades_until),
            false => fades_until,
        };
        self.is_draining = is_draining;
        self.keep_up(now, out, |upkeep, cx| {
            upkeep.probes.drain(is_draining);
            upkeep.registrations.drain(cx, is_draining)
        });
        Answered::Done(self.calls.len())
    }

    /// Whether new calls of a trunk are refused because the node drains.
    pub(super) fn sends_away(&self, now: Now, trunk: &Trunk) -> bool {
        let fades = self.fades_until.is_some_and(|until| now.mono < until);
        self.is_draining && !(fades && notices_silence(trunk))
    }
}

/// Whether the peer of a trunk goes elsewhere by itself when it is asked no more. Who was never asked does not notice.
pub fn notices_silence(trunk: &Trunk) -> bool {
    trunk.preset == Preset::Teams && trunk.options.is_some()
}

/// Teams calls an SBC last that has not asked it for five minutes; the last OPTIONS may have left just before
/// (TDR-OPT-010).
pub const FADING: Duration = Duration::from_secs(330);
