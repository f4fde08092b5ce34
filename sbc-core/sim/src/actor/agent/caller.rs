//! The calling side of an agent: INVITE, CANCEL, and what answers bring.

use super::*;

impl Agent {
    pub(super) fn dial(&mut self, now: Timestamp, dial: Dial, out: &mut Vec<Say>) {
        let media = self.next_media();
        let mut voice = Voice::new(&self.dialect, media, &mut self.dice);
        voice.likes_last = dial.habit == Some(Habit::OwnOrder);
        let (tag, branch) = (self.dice.word(14), self.branch());
        let call_id = format!("{}@{}", self.dice.word(24), self.address.ip());
        let contact = self
            .dialect
            .contact(self.address, self.protocol, &mut self.dice);
        let uri = self.dialect.request_uri(&dial.to, &dial.host);
        let mut invite = Wire::begin(format!("INVITE {uri} SIP/2.0"))
            .with("Via", self.via(&branch))
            .with(
                "From",
                format!("{};tag={tag}", self.dialect.party(&dial.from)),
            )
            .with("To", format!("<{uri}>"))
            .with("Call-ID", call_id.clone())
            .with("CSeq", "1 INVITE")
            .with("Contact", contact.clone());
        if let Some(max_forwards) = dial.max_forwards {
            invite = invite.with("Max-Forwards", max_forwards.to_string());
        }
        if let Some(route) = self.dialect.record_route() {
            invite = invite.with("Record-Route", route);
        }
        if dial.oddity == Some(Oddity::UnknownRequire) {
            invite = invite.with("Require", "frobnicate");
        }
        if let Some(named) = self.other_dialog().filter(|_| dial.replaces) {
            invite = invite.with("Replaces", named);
        }
        if dial.requires_reliable {
            invite = invite.with("Require", "100rel");
        }
        if let Some(seconds) = dial.expires {
            invite = invite.with("Expires", seconds.to_string());
        }
        let mut invite = self.dialect.dress_invite(invite);
        if !dial.late_offer {
            invite = invite.with_body("application/sdp", voice.offer());
        }
        let line = self.line(Some(&dial.host));
        let index = self.legs.len();
        if let Some(Cancel::After(after)) = dial.cancel {
            self.agenda.note(now + after, Timer::Cancel(index));
        }
        let fork = Fork {
            number: 0,
            local_tag: tag,
            remote_tag: String::new(),
            remote_party: format!("<{uri}>"),
            target: uri,
            route: Vec::new(),
            state: State::Early,
            answer: None,
            ack: None,
        };
        let view = PartyView {
            call: dial.call,
            actor: self.name.clone(),
            is_caller: true,
            ..PartyView::default()
        };
        let merged = dial.oddity == Some(Oddity::Merged);
        self.legs.push(Leg {
            call_id,
            line: line.clone(),
            invite: invite.clone(),
            contact,
            voice,
            answer: None,
            forks: vec![fork],
            cseq: 1,
            remote_cseq: 0,
            dial: Some(dial),
            script: None,
            is_final: false,
            cancel_wanted: false,
            cancel_sent: false,
            talk: Talk::default(),
            reliable: Reliable::default(),
            counting: Counting::default(),
            early: Early::default(),
            leave: None,
            view,
        });
        self.start(
            now,
            &invite,
            line.clone(),
            Some(index),
            Purpose::Invite,
            out,
        );
        if merged {
            let (other, mut twin) = (self.branch(), invite);
            let via = self.via(&other);
            twin.headers[0].1 = via;
            self.start(now, &twin, line, Some(index), Purpose::Odd("merged"), out);
        }
    }

    pub(super) fn cancel(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        let leg = &mut self.legs[index];
        if leg.is_final || leg.cancel_sent {
            return;
        }
        leg.cancel_wanted = true;
        let key = (leg.invite.branch().to_owned(), "INVITE".to_owned());
        if !self.clients.get(&key).is_some_and(|c| c.got_provisional) {
            return;
        }
        leg.cancel_sent = true;
        leg.view.cancelled = true;
        let uri = leg.invite.request_uri();
        let get = |name: &str| leg.invite.get(name).unwrap_or_default().to_owned();
        let cancel = Wire::begin(format!("CANCEL {uri} SIP/2.0"))
            .with("Via", get("Via"))
            .with("From", get("From"))
            .with("To", get("To"))
            .with("Call-ID", get("Call-ID"))
            .with("CSeq", "1 CANCEL")
            .with("Max-Forwards", "70");
        let line = leg.line.clone();
        self.start(now, &cancel, line, Some(index), Purpose::Cancel, out);
        self.agenda.note(now + PATIENCE, Timer::GiveUp(key));
    }

    pub(super) fn response(&mut self, now: Timestamp, wire: &Wire, out: &mut Vec<Say>) {
        let Some(status) = wire.status() else { return };
        let method = wire.cseq().map(|(_, m)| m.to_owned()).unwrap_or_default();
        let key = (wire.branch().to_owned(), method);
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if status < 200 {
            client.got_provisional = true;
        }
        let (leg, was_done, purpose) = (client.leg, client.is_done, client.purpose.clone());
        let (line, bytes) = (client.line.clone(), client.bytes.clone());
        client.is_done |= status >= 200;
        if key.1 == "INVITE" && status >= 300 {
            let ack = non_2xx_ack(&bytes, wire);
            let bytes = self.dialect.finish(ack).emit();
            out.push(Say { line, bytes });
        }
        match (purpose, leg) {
            (Purpose::Invite, Some(leg)) => {
                self.invite_response(now, leg, status, wire, was_done, out)
            }
            (Purpose::Change(number), Some(leg)) if status >= 200 => {
                self.change_ended(now, leg, number, wire, was_done, out);
            }
            (Purpose::Prack(offers), Some(leg)) if status >= 200 && !was_done => {
                self.prack_ended(leg, offers, wire);
                if status < 300 && self.legs[leg].counting.is_described {
                    self.offer_early(now, leg, 0, out);
                }
            }
            (Purpose::Early(number), Some(leg)) if status >= 200 && !was_done => {
                self.early_offer_ended(leg, number, wire);
                self.proceed(now, leg, out);
            }
            (Purpose::Refer, Some(leg)) if status >= 200 && !was_done => {
                self.refer_answered(now, leg, status);
            }
            (Purpose::Odd(what), Some(leg)) if status >= 200 && !was_done => {
                self.legs[leg]
                    .view
                    .odd_statuses
                    .push((what.to_owned(), status));
            }
            (Purpose::Register, _) if status >= 200 && !was_done => {
                self.registered(now, Some(wire))
            }
            (Purpose::Probe, _) if status >= 200 && !was_done => self.probe_statuses.push(status),
            _ => {}
        }
    }

    pub(super) fn invite_response(
        &mut self,
        now: Timestamp,
        index: usize,
        status: u16,
        wire: &Wire,
        was_done: bool,
        out: &mut Vec<Say>,
    ) {
        if status < 200 && self.loses(index, wire) {
            return;
        }
        let leg = &mut self.legs[index];
        if wire.has_sdp() && leg.view.descriptions.last() != Some(&wire.body) {
            leg.view.descriptions.push(wire.body.clone());
        }
        let plan = leg.dial.clone();
        if status < 200 {
            self.hear_provisional(now, index, wire, out);
            let leg = &mut self.legs[index];
            if leg.view.provisionals.last() != Some(&status) {
                leg.view.provisionals.push(status);
                if let Some(Cancel::AfterStatus(on, after)) = plan.and_then(|p| p.cancel)
                    && on == status
                {
                    self.agenda.note(now + after, Timer::Cancel(index));
                }
            }
            if self.legs[index].cancel_wanted {
                self.cancel(now, index, out);
            }
            return;
        }
        if status >= 300 {
            if !was_done {
                leg.is_final = true;
                leg.view.final_status = Some(status);
                leg.view.ending = Some(Ending::Refused);
                leg.forks[0].state = State::Gone;
                self.replay(now, index);
            }
            return;
        }
        let tag = wire.tag("To").unwrap_or_default().to_owned();
        if was_done && leg.is_final && leg.forks[0].remote_tag == tag {
            if let Some(bytes) = leg.forks[0].ack.clone() {
                let line = leg.line.clone();
                self.acknowledge(index, line, bytes, out);
            }
            return;
        }
        if tag.is_empty() {
            self.complaints
                .push("2xx to INVITE without To tag".to_owned());
        }
        let Some(target) = wire.contact() else {
            self.complaints
                .push("2xx to INVITE without Contact".to_owned());
            return;
        };
        if leg.is_final && !was_done && leg.view.ending != Some(Ending::GaveUp) {
            self.complaints
                .push("2xx after another final response".to_owned());
        }
        let gave_up = leg.view.ending.is_some() || leg.cancel_sent;
        leg.is_final = true;
        leg.view.final_status = Some(status);
        let is_described = leg.counting.is_described;
        if !is_described {
            leg.view.told = wire.body.clone();
        } else if wire.has_sdp() {
            self.complaints
                .push("2xx with a description after a reliable one".to_owned());
        }
        let leg = &mut self.legs[index];
        let fork = &mut leg.forks[0];
        fork.remote_tag = tag;
        fork.remote_party = wire.get("To").unwrap_or_default().to_owned();
        fork.target = target;
        fork.state = State::Answered;
        let plan = plan.unwrap_or_else(|| unreachable!("a caller has a plan"));
        if plan.late_offer && !is_described {
            let answer = leg.voice.answer(&wire.body);
            if answer.is_none() {
                self.complaints
                    .push("2xx without an offer that could be answered".to_owned());
            }
            self.legs[index].answer = answer;
        }
        match plan.ack {
            Ack::Prompt => self.ack(index, out),
            Ack::Late(after) => self.agenda.note(now + after, Timer::Ack(index)),
            Ack::Never => {}
        }
        if gave_up {
            self.agenda.note(now, Timer::HangUp(index));
        } else {
            if let Some(after) = plan.hang_up {
                self.agenda.note(now + after, Timer::HangUp(index));
            }
            self.plan_changes(now, index, &plan.changes);
            if plan.oddity == Some(Oddity::UnknownMethod) {
                self.agenda.note(now + ODD_DELAY, Timer::Odd(index));
            }
            self.replay(now, index);
        }
    }

    /// Repeats the INVITE when everybody has long forgotten it, and shortly after the answer.
    pub(super) fn replay(&mut self, now: Timestamp, index: usize) {
        let leg = &self.legs[index];
        if leg.dial.as_ref().and_then(|d| d.oddity) != Some(Oddity::Replay) {
            return;
        }
        let bytes = self.dialect.finish(leg.invite.clone()).emit();
        let again = now + Duration::from_secs(1);
        self.agenda
            .note(again, Timer::Replay(bytes, leg.line.clone()));
    }

    pub(super) fn ack(&mut self, index: usize, out: &mut Vec<Say>) {
        let (mut ack, line) = self.in_dialog(index, 0, "ACK", 1);
        if let Some(answer) = self.legs[index].answer.clone() {
            ack = ack.with_body("application/sdp", answer);
        }
        let bytes = self.dialect.finish(ack).emit();
        let leg = &mut self.legs[index];
        let fork = &mut leg.forks[0];
        fork.ack = Some(bytes.clone());
        if fork.state == State::Answered {
            fork.state = State::Up;
        }
        leg.view.was_up = true;
        self.acknowledge(index, line, bytes, out);
    }

    pub(super) fn give_up(&mut self, now: Timestamp, key: &Key) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if !client.got_provisional {
            // Timers B and F: no more of it.
            let was_done = std::mem::replace(&mut client.is_done, true);
            if let (Purpose::Change(_), Some(leg), false) = (&client.purpose, client.leg, was_done)
            {
                return self.change_unanswered(now, leg);
            }
            if let (Purpose::Early(_), Some(leg)) = (&client.purpose, client.leg) {
                self.early_offer_unanswered(leg);
                return self.agenda.note(now, Timer::Proceed(leg));
            }
            if client.purpose == Purpose::Register && !was_done {
                return self.registered(now, None);
            }
        }
        let Some(leg) = client.leg.map(|leg| &mut self.legs[leg]) else {
            return;
        };
        let waits = client.got_provisional && !leg.cancel_sent;
        if leg.is_final || client.purpose != Purpose::Invite || waits {
            return;
        }
        leg.is_final = true;
        leg.view.ending = Some(Ending::GaveUp);
        leg.forks[0].state = State::Gone;
    }
}

/// The ACK of a refusal: same branch, To of the response (RFC 3261 §17.1.1.3).
fn non_2xx_ack(invite: &[u8], response: &Wire) -> Wire {
    let invite = Wire::read(invite).unwrap_or_default();
    let get = |name: &str| invite.get(name).unwrap_or_default().to_owned();
    let cseq = invite.cseq().map_or(0, |(n, _)| n);
    let mut ack =
        Wire::begin(format!("ACK {} SIP/2.0", invite.request_uri())).with("Via", get("Via"));
    for route in invite.lines("Route") {
        ack = ack.with("Route", route);
    }
    ack.with("From", get("From"))
        .with("To", response.get("To").unwrap_or_default())
        .with("Call-ID", get("Call-ID"))
        .with("CSeq", format!("{cseq} ACK"))
        .with("Max-Forwards", "70")
}
