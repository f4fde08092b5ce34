//! Reliable provisional responses of a party (RFC 3262), in both roles.

use super::*;

/// Reliable provisionals that a callee sends.
#[derive(Default)]
pub(super) struct Reliable {
    /// Last number by fork; each early dialog counts on its own.
    last: BTreeMap<u8, u32>,
    /// The one without PRACK.
    open: Option<Open>,
    /// Forks that have described their media reliably.
    described: Vec<u8>,
    /// PRACKs that got lost so far.
    lost: u8,
}

struct Open {
    fork: u8,
    rseq: u32,
    bytes: Vec<u8>,
}

impl Reliable {
    pub(super) fn has_described(&self, fork: u8) -> bool {
        self.described.contains(&fork)
    }
}

/// Reliable provisionals that a caller gets.
#[derive(Default)]
pub(super) struct Counting {
    last: Option<u32>,
    /// The first exchange was made in one of them.
    pub(super) is_described: bool,
    lost: u8,
}

impl Agent {
    /// Whether an act has to wait for a PRACK.
    pub(super) fn must_wait(&self, index: usize, act: Act) -> bool {
        let leg = &self.legs[index];
        let waits = matches!(act, Act::Progress { .. } | Act::Answer { .. });
        let offers = matches!(act, Act::Answer { .. }) && leg.early.is_open();
        offers || waits && leg.reliable.open.is_some()
    }

    /// Gives a provisional a number if this callee's are reliable and the SBC can confirm them.
    pub(super) fn made_reliable(
        &mut self,
        now: Timestamp,
        index: usize,
        fork: u8,
        response: Wire,
    ) -> Wire {
        let leg = &self.legs[index];
        let wants = leg.script.as_ref().is_some_and(|script| script.is_reliable);
        let can = leg
            .invite
            .values("Supported")
            .iter()
            .chain(&leg.invite.values("Require"))
            .any(|tag| tag == "100rel");
        if !wants || !can {
            return response;
        }
        let first = self.dice.below(1 << 20) as u32 + 1;
        let leg = &mut self.legs[index];
        let rseq = leg.reliable.last.get(&fork).map_or(first, |last| last + 1);
        leg.reliable.last.insert(fork, rseq);
        let response = response
            .with("Require", "100rel")
            .with("RSeq", rseq.to_string());
        if response.has_sdp() {
            leg.reliable.described.push(fork);
        }
        let bytes = self.dialect.finish(response.clone()).emit();
        leg.reliable.open = Some(Open { fork, rseq, bytes });
        let until = now + PATIENCE;
        self.agenda
            .note(now + T1, Timer::ResendReliable(index, rseq, T1, until));
        response
    }

    pub(super) fn resend_reliable(
        &mut self,
        now: Timestamp,
        index: usize,
        rseq: u32,
        interval: Duration,
        until: Timestamp,
        out: &mut Vec<Say>,
    ) {
        let leg = &self.legs[index];
        let Some(open) = leg.reliable.open.as_ref().filter(|open| open.rseq == rseq) else {
            return;
        };
        if leg.is_final {
            return;
        }
        if now >= until {
            self.legs[index].reliable.open = None;
            return self.refuse(now, index, 504, out);
        }
        let (line, bytes) = (leg.line.clone(), open.bytes.clone());
        out.push(Say { line, bytes });
        let double = interval * 2;
        let timer = Timer::ResendReliable(index, rseq, double, until);
        self.agenda.note(now + double, timer);
    }

    /// PRACK of the SBC.
    pub(super) fn pracked(
        &mut self,
        now: Timestamp,
        index: usize,
        fork: usize,
        line: &Line,
        wire: &Wire,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let most = leg.script.as_ref().map_or(0, |script| script.lost_pracks);
        if leg.reliable.lost < most {
            leg.reliable.lost += 1;
            return;
        }
        let cseq = leg.invite.cseq().map_or(0, |(number, _)| number);
        let number = leg.forks[fork].number;
        let given = wire.get("RAck").unwrap_or_default().to_owned();
        let confirmed = leg
            .reliable
            .open
            .take_if(|open| open.fork == number && given == format!("{} {cseq} INVITE", open.rseq));
        let is_complete = confirmed.is_some() && leg.reliable.has_described(number);
        let response = match confirmed {
            Some(_) => wire.answer(200, "OK", None),
            None => {
                // One that comes after the end was on its way for long.
                if !self.legs[index].is_final {
                    self.complaints
                        .push(format!("PRACK for {given}, which is nothing"));
                }
                wire.answer(481, "No Such Provisional", None)
            }
        };
        self.reply(now, line, wire, response, out);
        if is_complete {
            self.offer_early(now, index, number, out);
        }
    }

    /// Whether a reliable provisional gets lost on its way to this caller.
    pub(super) fn loses(&mut self, index: usize, wire: &Wire) -> bool {
        let leg = &mut self.legs[index];
        let most = leg.dial.as_ref().map_or(0, |dial| dial.lost_provisionals);
        let is_lost = wire.get("RSeq").is_some() && leg.counting.lost < most;
        leg.counting.lost += u8::from(is_lost);
        is_lost
    }

    /// A provisional of the SBC: confirmed if it is the next reliable one.
    pub(super) fn hear_provisional(
        &mut self,
        now: Timestamp,
        index: usize,
        wire: &Wire,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let is_required = leg.dial.as_ref().is_some_and(|dial| dial.requires_reliable);
        let Some(rseq) = wire.get("RSeq").and_then(|value| value.parse().ok()) else {
            if is_required && wire.status() != Some(100) {
                self.complaints
                    .push(format!("{} is not reliable, which is required", wire.first));
            }
            return;
        };
        if leg.counting.last.is_some_and(|last| rseq != last + 1) {
            return;
        }
        let late = leg.dial.as_ref().is_some_and(|dial| dial.late_offer);
        let again = leg.dial.as_ref().is_some_and(|dial| dial.offers_in_prack);
        leg.counting.last = Some(rseq);
        let mut body = None;
        if wire.has_sdp() {
            if leg.counting.is_described {
                self.complaints
                    .push("a second reliable description".to_owned());
            }
            let leg = &mut self.legs[index];
            leg.counting.is_described = true;
            leg.view.told = wire.body.clone();
            body = match (late, again) {
                (true, _) => leg.voice.answer(&wire.body),
                (false, true) => Some(leg.voice.offer()),
                (false, false) => None,
            };
        }
        let leg = &mut self.legs[index];
        let target = wire.contact().unwrap_or_default();
        let mut route = wire.values("Record-Route");
        route.reverse();
        let fork = &mut leg.forks[0];
        fork.remote_tag = wire.tag("To").unwrap_or_default().to_owned();
        fork.remote_party = wire.get("To").unwrap_or_default().to_owned();
        fork.target = target;
        fork.route = route;
        leg.cseq += 1;
        let cseq = leg.cseq;
        let (prack, line) = self.in_dialog(index, 0, "PRACK", cseq);
        let mut prack = prack.with("RAck", format!("{rseq} 1 INVITE"));
        let offers = body.is_some() && !late;
        if let Some(body) = body {
            prack = prack.with_body("application/sdp", body);
        }
        let purpose = Purpose::Prack(offers);
        self.start(now, &prack, line, Some(index), purpose, out);
    }

    /// A final response to a PRACK of this caller.
    pub(super) fn prack_ended(&mut self, index: usize, offers: bool, wire: &Wire) {
        let is_over = self.legs[index].is_final;
        let status = wire.status().unwrap_or_default();
        // A call that has ended meanwhile knows nothing of it any more, and what was overtaken is stale.
        let is_late = matches!(status, 481 | 487 | 500);
        if status >= 300 && !is_over && !is_late {
            self.complaints
                .push(format!("{status} to a PRACK that fits"));
        }
        if status < 300 && wire.has_sdp() != offers {
            self.complaints
                .push("the 200 to a PRACK answers what was not asked".to_owned());
        }
        if status < 300 && offers {
            self.legs[index].view.told = wire.body.clone();
        }
    }
}
