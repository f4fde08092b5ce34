//! Offers of a party before the answer, by UPDATE, once the first exchange is made reliably: pattern 6 of
//! RFC 6337 §2.2 in an early dialog (RFC 3311 §5.1), in both roles.

use super::*;
use crate::actor::change::Wanted;
use crate::actor::voice::Wish;

/// The early offer of one call.
#[derive(Default)]
pub(super) struct Early {
    is_made: bool,
    /// What was wanted before, while the offer has no final response.
    open: Option<Wish>,
}

impl Early {
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl Agent {
    /// The first exchange of an early dialog is complete: offers once more, if this party is one that does.
    pub(super) fn offer_early(
        &mut self,
        now: Timestamp,
        index: usize,
        number: u8,
        out: &mut Vec<Say>,
    ) {
        let leg = &self.legs[index];
        let wanted = match (&leg.dial, &leg.script) {
            (Some(dial), _) => dial.early_offer,
            (None, Some(script)) if script.answers_as(number) => script.early_offer,
            (None, _) => None,
        };
        let may = !leg.is_final && !leg.cancel_wanted && !leg.view.cancelled && !leg.early.is_made;
        let Some(wanted) = wanted.filter(|_| may) else {
            return;
        };
        let media = self.next_media();
        let leg = &mut self.legs[index];
        leg.early.is_made = true;
        leg.early.open = Some(leg.voice.wish);
        leg.voice.want(wanted, media);
        let body = (wanted != Wanted::Nothing).then(|| leg.voice.offer());
        leg.cseq += 1;
        let cseq = leg.cseq;
        let (mut wire, line) = self.in_dialog(index, number, "UPDATE", cseq);
        if let Some(body) = body {
            wire = wire.with_body("application/sdp", body);
        }
        let purpose = Purpose::Early(number);
        self.start(now, &wire, line, Some(index), purpose, out);
    }

    /// A final response to it.
    pub(super) fn early_offer_ended(&mut self, index: usize, number: u8, wire: &Wire) {
        let leg = &mut self.legs[index];
        let (Some(status), Some(before)) = (wire.status(), leg.early.open.take()) else {
            return;
        };
        leg.view.early_statuses.push(status);
        if status >= 300 {
            leg.voice.wish = before;
            return;
        }
        let has_offered = leg.voice.wish != before;
        if wire.has_sdp() {
            leg.view.told = wire.body.clone();
        } else if has_offered {
            self.complaints.push(format!(
                "{} to an early offer without description",
                wire.first
            ));
        }
        let leg = &mut self.legs[index];
        leg.view.hold = leg.voice.wish.hold;
        if let (Some(target), Some(fork)) = (wire.contact(), leg.fork_mut(number)) {
            fork.target = target;
        }
    }

    /// Nobody answers it.
    pub(super) fn early_offer_unanswered(&mut self, index: usize) {
        let leg = &mut self.legs[index];
        if let Some(before) = leg.early.open.take() {
            leg.voice.wish = before;
        }
    }

    /// An UPDATE of the SBC: before the answer or after it.
    pub(super) fn updated(
        &mut self,
        now: Timestamp,
        index: usize,
        fork: usize,
        line: &Line,
        wire: &Wire,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let is_gone = leg.forks[fork].state == State::Gone;
        let response = if is_gone {
            wire.answer(481, "No Such Call", None)
        } else if wire.has_sdp() && (leg.early.is_open() || leg.talk.has_offered()) {
            wire.answer(491, "Request Pending", None)
        } else {
            let ok = |leg: &Leg| {
                wire.answer(200, "OK", None)
                    .with("Contact", leg.contact.clone())
            };
            if let Some(target) = wire.contact() {
                leg.forks[fork].target = target;
            }
            match wire.has_sdp().then(|| leg.voice.answer(&wire.body)) {
                None => ok(leg),
                Some(Some(answer)) => {
                    leg.view.told = wire.body.clone();
                    ok(leg).with_body("application/sdp", answer)
                }
                Some(None) => wire.answer(488, "Not Acceptable Here", None),
            }
        };
        self.reply(now, line, wire, response, out);
    }
}
