//! Whether a party of a call for help is heard that answers no question (TDR-EMG-006).
//!
//! Gateways and firewalls drop OPTIONS within a dialog, and nobody is hung up on for that while he speaks. Of
//! who leaves a question without answer the relay is asked: only if it has heard nothing either from one such
//! question to the next, nobody is there.

use super::Call;
use crate::id::LegId;
use crate::plane::Cx;
use media_api::{SessionStats, StreamStats};

/// A party that leaves questions unanswered.
#[derive(Debug)]
pub(super) struct Doubt {
    leg: LegId,
    /// Packets of it when the relay was last asked.
    heard: Option<u64>,
    /// What the relay is asked for: whether enough questions had no answer.
    asked: Option<bool>,
}

impl Call {
    /// A party has left a question without answer, and enough of them if that `is_proven`.
    pub(super) fn unheard(&mut self, cx: &mut Cx<'_>, leg: LegId, is_proven: bool) {
        if self.is_direct(leg) || !self.media.is_active() {
            // The relay knows nothing of it.
            return if is_proven {
                self.is_gone(cx, leg)
            };
        }
        let at = self.doubts.iter().position(|doubt| doubt.leg == leg);
        let at = at.unwrap_or_else(|| {
            self.doubts.push(Doubt {
                leg,
                heard: None,
                asked: None,
            });
            self.doubts.len() - 1
        });
        if let Some(doubt) = self.doubts.get_mut(at) {
            doubt.asked = Some(is_proven);
        }
        self.media.ask_for_stats(cx);
    }

    /// The relay says what it has heard.
    pub(super) fn is_heard(&mut self, cx: &mut Cx<'_>, stats: &SessionStats) {
        let mut gone = Vec::new();
        for doubt in &mut self.doubts {
            let Some(is_proven) = doubt.asked.take() else {
                continue;
            };
            let endpoints = stats.endpoints.iter();
            let own = endpoints.filter(|own| self.media.leg_of(own.endpoint).0 == doubt.leg.0);
            let packets = |stream: &StreamStats| stream.received_packets + stream.received_rtcp;
            let heard = own.flat_map(|own| &own.streams).map(packets).sum();
            let before = doubt.heard.replace(heard);
            match before {
                // Less than before is heard at a new place, which counts from nothing.
                Some(before) if heard != before && heard > 0 => {
                    if let Some(leg) = self.legs.get_mut(&doubt.leg) {
                        leg.session.is_heard();
                    }
                }
                Some(_) if is_proven => gone.push(doubt.leg),
                Some(_) | None => {}
            }
        }
        for leg in gone {
            self.is_gone(cx, leg);
        }
    }

    fn is_gone(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let mut up = Vec::new();
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.session.is_given_up(cx, &mut up);
        }
        self.events.extend(up.into_iter().map(|event| (leg, event)));
    }
}
