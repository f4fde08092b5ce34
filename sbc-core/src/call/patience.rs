//! How long a call waits for media (section 14 of the media requirements).
//!
//! | who is silent                        | for             | then                                           |
//! |--------------------------------------|-----------------|------------------------------------------------|
//! | both, since before the answer        | 30 s            | the call ends                                  |
//! | a leg that should send               | each minute     | its session is refreshed: has it the call yet? |
//! | a leg that should send               | `media_timeout` | the call ends                                  |
//!
//! The relay tells of all of them by one limit, whenever silence has lasted for it once more. It is the short one until
//! somebody has been silent for so long: most calls never hear of it, and those who only pause have parts of the long one
//! from then on.

use super::Call;
use crate::cause::{Because, CauseCode, EndedBy};
use crate::id::LegId;
use crate::plane::Cx;
use media_api::Event as MediaEvent;
use std::time::Duration;

/// How long nobody may be heard from the answer on.
pub(super) const NOBODY: Duration = Duration::from_secs(30);

/// The longest time between two questions to a party that is silent, in milliseconds.
const PAUSE_MS: u128 = 60_000;

/// The longest part of at most [`PAUSE_MS`] that this time has a whole number of, or a moment more.
fn part_of(usual: Duration) -> Duration {
    let whole = usual.as_millis();
    let part = whole.div_ceil(whole.div_ceil(PAUSE_MS).max(1));
    Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX))
}

impl Call {
    /// Silence on a leg that is reported, in milliseconds; 0 is never.
    pub(super) fn silence_ms(&self) -> u32 {
        let usual = self.config.limits.media_timeout;
        let limit = match self.media.is_patient() {
            true => part_of(usual),
            false => usual.min(NOBODY),
        };
        u32::try_from(limit.as_millis()).unwrap_or(u32::MAX)
    }

    /// Notes who is heard, and judges silence that is shorter than `media_timeout`. Says whether that is all there is to
    /// the event.
    pub(super) fn waits_for_media(&mut self, cx: &mut Cx<'_>, event: &MediaEvent) -> bool {
        let usual = self.config.limits.media_timeout;
        match event {
            MediaEvent::FirstMedia { .. } => {
                self.media.is_heard();
                false
            }
            MediaEvent::Silent {
                endpoint,
                silent_ms,
                ..
            } if Duration::from_millis((*silent_ms).into()) < usual => {
                let are_both = self.media.falls_silent(*endpoint);
                let silence_ms = self.silence_ms();
                if let Some((a, b)) = self.media.joined() {
                    self.media.join(cx, a, b, silence_ms);
                }
                if are_both && self.should_be_heard(cx, LegId(endpoint.0)) {
                    let because =
                        Because::of("neither side has sent any media in the 30 s since the answer");
                    self.end(cx, EndedBy::Us, CauseCode::MediaTimeout, because, &[]);
                } else if Duration::from_millis((*silent_ms).into()) >= part_of(usual) {
                    self.probes(LegId(endpoint.0));
                }
                true
            }
            _ => false,
        }
    }

    /// A party of which nothing is heard is asked whether it still has the call, unless that could end a call for help.
    fn probes(&mut self, leg: LegId) {
        let is_spared = self.record.emergency || self.is_theirs_to_end();
        if is_spared || self.operation.is_some() || self.is_apart(leg) {
            return;
        }
        if let Some(silent) = self.legs.get_mut(&leg) {
            silent.session.refreshes_soon();
        }
    }

    /// Whether somebody should have been heard by now in a call that could end for want of it. Those who help may hold a
    /// receiver that sends nothing; an answer without an ACK ends a call by itself, and that is its cause.
    fn should_be_heard(&self, cx: &Cx<'_>, leg: LegId) -> bool {
        let is_long_ago = |answered: crate::time::Now| cx.now.mono.since(answered.mono) >= NOBODY;
        self.operation.is_none()
            && self.answered.is_some_and(is_long_ago)
            && !self.record.emergency
            && !self.is_theirs_to_end()
            && !self.is_apart(leg)
            && !self.legs.values().any(|own| own.session.awaits_ack())
    }
}
