//! Changes within a call, both ways: one INVITE transaction at a time, 491 and 500 for those that
//! cross, windows after a 491, and a 2xx that is repeated until its ACK (RFC 3261 §14).

use super::*;
use crate::actor::change::{By, Change, Reaction, Wanted};
use crate::actor::voice::Wish;
use std::collections::VecDeque;

/// How often a change is made again that crossed another.
const MOST_TRIES: u8 = 8;

/// State of the changes of one call.
#[derive(Default)]
pub(super) struct Talk {
    /// Changes that wait until there is room for one.
    queue: VecDeque<Change>,
    /// Our change without final response.
    open: Option<Open>,
    /// A pause after a glare lasts.
    is_pausing: bool,
    tries: u8,
    /// ACKs of our changes, by sequence number: a repeated 2xx gets its own again.
    acks: BTreeMap<u32, Vec<u8>>,
    /// The SBC's re-INVITE that waits for our answer.
    asked: Option<(Line, Wire)>,
    /// Our 2xx to the SBC's re-INVITE, until its ACK.
    ok: Option<Unacknowledged>,
    /// How many re-INVITEs have come.
    count: usize,
    /// ACKs of 2xx that got lost so far.
    lost_acks: u8,
}

struct Open {
    change: Change,
    /// What was wanted before, if the SBC refuses.
    before: Wish,
}

struct Unacknowledged {
    cseq: u32,
    bytes: Vec<u8>,
    line: Line,
    /// It offers, and the ACK brings the answer.
    offers: bool,
}

impl Talk {
    /// Whether an offer of this party, within the call, has no answer yet.
    pub(super) fn has_offered(&self) -> bool {
        self.open.is_some() || self.ok.as_ref().is_some_and(|ok| ok.offers)
    }

    fn is_free(&self) -> bool {
        self.open.is_none() && !self.is_pausing && self.asked.is_none() && self.ok.is_none()
    }
}

impl Agent {
    /// The call is answered: its changes are due so long after.
    pub(super) fn plan_changes(&mut self, now: Timestamp, index: usize, changes: &[Change]) {
        for change in changes {
            self.agenda
                .note(now + change.after, Timer::Change(index, *change));
        }
    }

    pub(super) fn change(
        &mut self,
        now: Timestamp,
        index: usize,
        change: Change,
        out: &mut Vec<Say>,
    ) {
        if let Wanted::Transfer(leave) = change.wanted {
            return self.refer(now, index, leave, out);
        }
        if let Wanted::TransferOut(leave) = change.wanted {
            return self.refer_out(now, index, leave, out);
        }
        if let Wanted::Attended(leave) = change.wanted {
            return self.refer_to_other(now, index, leave, out);
        }
        if let Wanted::Press(key) = change.wanted {
            return self.press(now, index, key, out);
        }
        self.legs[index].talk.queue.push_back(change);
        self.proceed(now, index, out);
    }

    /// Makes the next change if there is room for it.
    pub(super) fn proceed(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        let leg = &mut self.legs[index];
        let Some(fork) = leg.forks.iter().find(|f| f.state == State::Up) else {
            let is_coming = leg.forks.iter().any(|f| f.state == State::Answered);
            if is_coming && !leg.talk.queue.is_empty() {
                // Before the ACK of the INVITE nothing may be offered.
                self.agenda.note(now + T1, Timer::Proceed(index));
            }
            return;
        };
        let number = fork.number;
        if !leg.talk.is_free() || leg.early.is_open() {
            return;
        }
        let Some(change) = leg.talk.queue.pop_front() else {
            return;
        };
        let media = self.next_media();
        let leg = &mut self.legs[index];
        let before = leg.voice.wish;
        leg.voice.want(change.wanted, media);
        let body = (change.wanted != Wanted::Nothing).then(|| leg.voice.offer());
        leg.talk.open = Some(Open { change, before });
        leg.cseq += 1;
        let cseq = leg.cseq;
        let method = match change.by {
            By::Invite => "INVITE",
            By::Update => "UPDATE",
        };
        let (mut wire, line) = self.in_dialog(index, number, method, cseq);
        if let Some(body) = body {
            wire = wire.with_body("application/sdp", body);
        }
        let purpose = Purpose::Change(number);
        self.start(now, &wire, line, Some(index), purpose, out);
    }

    /// A final response to a change of ours.
    pub(super) fn change_ended(
        &mut self,
        now: Timestamp,
        index: usize,
        number: u8,
        wire: &Wire,
        was_done: bool,
        out: &mut Vec<Say>,
    ) {
        let (Some(status), Some((cseq, method))) = (wire.status(), wire.cseq()) else {
            return;
        };
        let is_invite = method == "INVITE";
        if was_done {
            let leg = &self.legs[index];
            if let Some(bytes) = leg.talk.acks.get(&cseq).filter(|_| status < 300) {
                let (line, bytes) = (leg.line.clone(), bytes.clone());
                self.acknowledge(index, line, bytes, out);
            }
            return;
        }
        let leg = &mut self.legs[index];
        leg.view.change_statuses.push(status);
        let Some(Open { change, before }) = leg.talk.open.take() else {
            return;
        };
        if status < 300 {
            leg.talk.tries = 0;
            if wire.has_sdp() {
                leg.view.told = wire.body.clone();
            } else if change.wanted != Wanted::Nothing || is_invite {
                self.complaints
                    .push(format!("{} to {method} without description", wire.first));
            }
            let leg = &mut self.legs[index];
            leg.view.hold = leg.voice.wish.hold;
            if let (Some(target), Some(fork)) = (wire.contact(), leg.fork_mut(number)) {
                fork.target = target;
            }
            if is_invite {
                self.ack_change(index, number, cseq, change, wire, out);
            }
            return self.proceed(now, index, out);
        }
        leg.voice.wish = before;
        let asked_for = wire.get("Retry-After").and_then(|v| v.parse::<u64>().ok());
        let is_glare = status == 491 || (status == 500 && asked_for.is_some());
        leg.talk.tries += 1;
        if is_glare && leg.talk.tries <= MOST_TRIES {
            leg.talk.queue.push_front(change);
            leg.talk.is_pausing = true;
            let ms = Duration::from_millis;
            // RFC 3261 §14.1: the owner of the Call-ID waits longer.
            let pause = match (status, self.legs[index].dial.is_some()) {
                (491, _) if self.legs[index].habit() == Some(Habit::Impatient) => ms(1),
                (491, true) => self.dice.between(ms(2_100), ms(4_000)),
                (491, false) => self.dice.between(ms(0), ms(2_000)),
                _ => Duration::from_secs(asked_for.unwrap_or_default()),
            };
            return self.agenda.note(now + pause, Timer::PauseOver(index));
        }
        self.legs[index].talk.tries = 0;
        if matches!(status, 408 | 481) {
            // The SBC has no such call any more (RFC 3261 §12.2.1.2).
            return self.hang_up(now, index, out);
        }
        self.proceed(now, index, out);
    }

    fn ack_change(
        &mut self,
        index: usize,
        number: u8,
        cseq: u32,
        change: Change,
        wire: &Wire,
        out: &mut Vec<Say>,
    ) {
        let (mut ack, line) = self.in_dialog(index, number, "ACK", cseq);
        if change.wanted == Wanted::Nothing {
            match self.legs[index].voice.answer(&wire.body) {
                Some(answer) => ack = ack.with_body("application/sdp", answer),
                None => self
                    .complaints
                    .push("2xx without an offer that could be answered".to_owned()),
            }
        }
        let bytes = self.dialect.finish(ack).emit();
        self.legs[index].talk.acks.insert(cseq, bytes.clone());
        self.acknowledge(index, line, bytes, out);
    }

    /// Sends an ACK of a 2xx, unless it gets lost.
    pub(super) fn acknowledge(
        &mut self,
        index: usize,
        line: Line,
        bytes: Vec<u8>,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let most = leg.dial.as_ref().map_or(0, |dial| dial.lost_acks);
        match leg.talk.lost_acks < most {
            true => leg.talk.lost_acks += 1,
            false => out.push(Say { line, bytes }),
        }
    }

    /// Nobody answered a change of ours: the call is lost.
    pub(super) fn change_unanswered(&mut self, now: Timestamp, index: usize) {
        if self.legs[index].talk.open.take().is_some() {
            self.agenda.note(now, Timer::HangUp(index));
        }
    }

    pub(super) fn pause_over(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        self.legs[index].talk.is_pausing = false;
        self.proceed(now, index, out);
    }

    /// The SBC's re-INVITE.
    pub(super) fn reinvited(
        &mut self,
        now: Timestamp,
        index: usize,
        fork: usize,
        line: Line,
        wire: Wire,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let waits_for_ack = leg.dial.is_none() && leg.forks[fork].state == State::Answered;
        let has_offered = leg.talk.open.is_some() || leg.early.is_open();
        let crosses = waits_for_ack || has_offered || leg.talk.ok.is_some();
        let refusal = if leg.forks[fork].state == State::Gone {
            Some(wire.answer(481, "No Such Call", None))
        } else if leg.talk.asked.is_some() {
            let busy = wire.answer(500, "One At A Time", None);
            Some(busy.with("Retry-After", self.dice.below(11).to_string()))
        } else if crosses {
            Some(wire.answer(491, "Request Pending", None))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.reply(now, &line, &wire, refusal, out);
        }
        if let Some(target) = wire.contact() {
            leg.forks[fork].target = target;
        }
        let reactions = match (&leg.dial, &leg.script) {
            (Some(dial), _) => &dial.reactions,
            (None, Some(script)) => &script.reactions,
            (None, None) => return,
        };
        let reaction = reactions
            .get(leg.talk.count)
            .copied()
            .unwrap_or(Reaction::Accept);
        leg.talk.count += 1;
        let trying = wire.answer(100, "Trying", None);
        match reaction {
            Reaction::Accept => self.accept(now, index, line, &wire, out),
            Reaction::Refuse(status) => {
                let no = wire.answer(status, &self.dialect.phrase(status, self.address), None);
                self.reply(now, &line, &wire, no, out);
            }
            Reaction::Busy(seconds) => {
                let busy = wire.answer(500, "Busy With Myself", None);
                let busy = busy.with("Retry-After", seconds.to_string());
                self.reply(now, &line, &wire, busy, out);
            }
            Reaction::Silence => self.hush(&line, &wire),
            Reaction::Late(after) => {
                self.reply(now, &line, &wire, trying, out);
                self.legs[index].talk.asked = Some((line, wire));
                self.agenda.note(now + after, Timer::AnswerLate(index));
            }
            Reaction::ProgressOnly => {
                self.reply(now, &line, &wire, trying, out);
                let progress = wire.answer(183, "Thinking", None);
                let progress = progress.with("Contact", self.legs[index].contact.clone());
                self.reply(now, &line, &wire, progress, out);
                self.legs[index].talk.asked = Some((line, wire));
            }
        }
    }

    pub(super) fn answer_late(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        if let Some((line, wire)) = self.legs[index].talk.asked.take() {
            self.accept(now, index, line, &wire, out);
        }
    }

    /// Refuses the SBC's re-INVITE that waits: it was cancelled, or the call is over.
    pub(super) fn drop_asked(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        if let Some((line, wire)) = self.legs[index].talk.asked.take() {
            let no = wire.answer(487, "Request Terminated", None);
            self.reply(now, &line, &wire, no, out);
        }
        self.legs[index].talk.ok = None;
    }

    /// The call whose waiting re-INVITE this CANCEL is for.
    pub(super) fn asked_by(&self, cancel: &Wire) -> Option<usize> {
        self.legs.iter().position(|leg| {
            let asked = leg.talk.asked.as_ref();
            asked.is_some_and(|(_, invite)| invite.branch() == cancel.branch())
        })
    }

    fn accept(
        &mut self,
        now: Timestamp,
        index: usize,
        line: Line,
        wire: &Wire,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let offers = !wire.has_sdp();
        let body = match offers {
            true => Some(leg.voice.offer()),
            false => leg.voice.answer(&wire.body),
        };
        let Some(body) = body else {
            let no = wire.answer(488, "Not Acceptable Here", None);
            return self.reply(now, &line, wire, no, out);
        };
        if !offers {
            leg.view.told = wire.body.clone();
        }
        let ok = wire
            .answer(200, "OK", None)
            .with("Contact", leg.contact.clone())
            .with_body("application/sdp", body);
        self.reply(now, &line, wire, ok, out);
        let Some(bytes) = out.last().map(|say| say.bytes.clone()) else {
            return;
        };
        let cseq = wire.cseq().map_or(0, |(number, _)| number);
        let is_datagram = line.protocol == Protocol::Udp;
        self.legs[index].talk.ok = Some(Unacknowledged {
            cseq,
            bytes,
            line,
            offers,
        });
        let until = now + PATIENCE;
        let first = if is_datagram { T1 } else { PATIENCE };
        self.agenda
            .note(now + first, Timer::ResendOk(index, cseq, first, until));
    }

    /// Repeats our 2xx over UDP until its ACK; without one the call is over.
    pub(super) fn resend_ok(
        &mut self,
        now: Timestamp,
        index: usize,
        cseq: u32,
        interval: Duration,
        until: Timestamp,
        out: &mut Vec<Say>,
    ) {
        let Some(ok) = &self.legs[index].talk.ok else {
            return;
        };
        if ok.cseq != cseq {
            return;
        }
        if now >= until {
            self.legs[index].talk.ok = None;
            return self.hang_up(now, index, out);
        }
        let (line, bytes) = (ok.line.clone(), ok.bytes.clone());
        out.push(Say { line, bytes });
        let double = (interval * 2).min(T2);
        self.agenda
            .note(now + double, Timer::ResendOk(index, cseq, double, until));
    }

    /// An ACK within the call.
    pub(super) fn change_acknowledged(&mut self, now: Timestamp, index: usize, wire: &Wire) {
        let talk = &mut self.legs[index].talk;
        let number = wire.cseq().map_or(0, |(number, _)| number);
        let Some(ok) = talk.ok.take_if(|ok| ok.cseq == number) else {
            return;
        };
        if ok.offers != wire.has_sdp() {
            self.complaints
                .push(format!("ACK {number} with a description at a wrong time"));
        } else if ok.offers {
            self.legs[index].view.told = wire.body.clone();
        }
        self.agenda.note(now, Timer::Proceed(index));
    }
}
