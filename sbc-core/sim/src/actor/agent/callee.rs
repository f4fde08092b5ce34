//! The called side of an agent: server transactions, scripts, and requests within a dialog.

use super::*;
use crate::topology;

impl Agent {
    pub(super) fn reply(
        &mut self,
        now: Timestamp,
        line: &Line,
        request: &Wire,
        response: Wire,
        out: &mut Vec<Say>,
    ) {
        let bytes = self.dialect.finish(response.clone()).emit();
        let key = server_key(request);
        let status = response.status().unwrap_or_default();
        self.servers.insert(
            key.clone(),
            Server {
                last: Some(bytes.clone()),
                line: line.clone(),
                is_acked: false,
            },
        );
        if key.1 == "INVITE" && status >= 300 && line.protocol == Protocol::Udp {
            let until = now + PATIENCE;
            self.agenda
                .note(now + T1, Timer::ResendRefusal(key, T1, until));
        }
        out.push(Say {
            line: line.clone(),
            bytes,
        });
    }

    pub(super) fn request(&mut self, now: Timestamp, line: Line, wire: Wire, out: &mut Vec<Say>) {
        let method = wire.method().unwrap_or_default().to_owned();
        if method == "ACK" {
            return self.acknowledged(now, &wire);
        }
        if let Some(server) = self.servers.get(&server_key(&wire)) {
            if let Some(bytes) = server.last.clone() {
                out.push(Say { line, bytes });
            }
            return;
        }
        match (method.as_str(), wire.tag("To")) {
            ("INVITE", None) => self.invited(now, line, wire),
            ("CANCEL", _) => self.cancelled(now, &line, &wire, out),
            ("OPTIONS", None) => {
                let ok = wire.answer(200, "OK", Some("probe"));
                self.reply(now, &line, &wire, ok, out);
            }
            (_, Some(_)) => self.in_dialog_request(now, line, wire, out),
            _ => {
                let no = wire.answer(405, "Method Not Allowed", Some("none"));
                self.reply(now, &line, &wire, no, out);
            }
        }
    }

    /// Remembers a request that will get no answer, so that its repetitions get none either.
    pub(super) fn hush(&mut self, line: &Line, wire: &Wire) {
        let server = Server {
            last: None,
            line: line.clone(),
            is_acked: false,
        };
        self.servers.insert(server_key(wire), server);
    }

    pub(super) fn find(&self, wire: &Wire) -> Option<(usize, usize)> {
        let tag = wire.tag("To")?;
        self.legs.iter().enumerate().find_map(|(index, leg)| {
            let fork = leg.forks.iter().position(|f| f.local_tag == tag)?;
            (leg.call_id == wire.call_id()).then_some((index, fork))
        })
    }

    pub(super) fn acknowledged(&mut self, now: Timestamp, wire: &Wire) {
        let key = (wire.branch().to_owned(), "INVITE".to_owned());
        if let Some(server) = self.servers.get_mut(&key) {
            server.is_acked = true;
        }
        let Some((index, fork)) = self.find(wire) else {
            return;
        };
        let leg = &mut self.legs[index];
        if leg.forks[fork].state == State::Answered {
            leg.forks[fork].state = State::Up;
            leg.view.was_up = true;
        }
        if leg.forks[fork].answer.is_some() {
            leg.forks[fork].ack = Some(Vec::new());
        }
        self.change_acknowledged(now, index, wire);
    }

    pub(super) fn invited(&mut self, now: Timestamp, line: Line, wire: Wire) {
        self.compare(&wire);
        let number = user_of(wire.request_uri()).to_owned();
        let script = match self.scripts.get(&number) {
            Some(script) => script.clone(),
            None => Script::refusing(usize::MAX, 404),
        };
        let media = self.next_media();
        let mut voice = Voice::new(&self.dialect, media, &mut self.dice);
        voice.likes_last = script.habit == Some(Habit::OwnOrder);
        let index = self.legs.len();
        for (after, act) in &script.acts {
            self.agenda.note(now + *after, Timer::Act(index, *act));
        }
        self.hush(&line, &wire);
        let contact = self
            .dialect
            .contact(self.address, self.protocol, &mut self.dice);
        let view = PartyView {
            call: script.call,
            actor: self.name.clone(),
            descriptions: vec![wire.body.clone()],
            told: wire.body.clone(),
            ..PartyView::default()
        };
        self.legs.push(Leg {
            call_id: wire.call_id().to_owned(),
            line,
            remote_cseq: wire.cseq().map_or(0, |(n, _)| n),
            invite: wire,
            contact,
            voice,
            answer: None,
            forks: Vec::new(),
            cseq: 100,
            dial: None,
            script: Some(script),
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
    }

    pub(super) fn act(&mut self, now: Timestamp, index: usize, act: Act, out: &mut Vec<Say>) {
        let leg = &self.legs[index];
        let is_answered = leg.view.final_status == Some(200);
        let forked_answer = matches!(act, Act::Answer { fork } if is_answered
            && !leg.forks.iter().any(|f| f.number == fork && f.state != State::Early));
        if (leg.is_final && !forked_answer) || leg.view.cancelled {
            return;
        }
        if self.must_wait(index, act) {
            let soon = now + Duration::from_millis(50);
            return self.agenda.note(soon, Timer::Act(index, act));
        }
        match act {
            Act::Trying => {
                let trying = leg.invite.answer(100, "Trying", None);
                let (line, invite) = (leg.line.clone(), leg.invite.clone());
                self.reply(now, &line, &invite, trying, out);
            }
            Act::Progress { status, fork, sdp } => {
                let response = self.dialog_response(index, fork, status, "Progress", sdp);
                let response = self.made_reliable(now, index, fork, response);
                let leg = &mut self.legs[index];
                leg.view.provisionals.push(status);
                let (line, invite) = (leg.line.clone(), leg.invite.clone());
                self.reply(now, &line, &invite, response, out);
            }
            Act::Answer { fork } => self.answer(now, index, fork, out),
            Act::Refuse(status) => self.refuse(now, index, status, out),
            Act::Redirect => {
                let number = topology::moved_number(self.legs[index].view.call);
                let contact = format!("<sip:{number}@{}>", self.dialect.domain());
                self.refuse_with(now, index, 302, Some(contact), out);
            }
        }
    }

    pub(super) fn refuse(&mut self, now: Timestamp, index: usize, status: u16, out: &mut Vec<Say>) {
        self.refuse_with(now, index, status, None, out);
    }

    fn refuse_with(
        &mut self,
        now: Timestamp,
        index: usize,
        status: u16,
        contact: Option<String>,
        out: &mut Vec<Say>,
    ) {
        let phrase = self.dialect.phrase(status, self.address);
        let tag = self.fork_tag(index, 0);
        let leg = &mut self.legs[index];
        leg.is_final = true;
        leg.view.final_status = Some(status);
        leg.view.ending = Some(Ending::Refused);
        for fork in &mut leg.forks {
            fork.state = State::Gone;
        }
        let (line, invite) = (leg.line.clone(), leg.invite.clone());
        let oddity = leg.script.as_ref().and_then(|s| s.oddity);
        let mut response = invite.answer(status, &phrase, Some(&tag));
        if let Some(contact) = contact {
            response = response.with("Contact", contact);
        }
        self.reply(now, &line, &invite, response, out);
        let late = match oddity {
            Some(Oddity::TwoFinals) => {
                let mut other = self.dialog_response(index, 0, 200, "OK", true);
                other = self.dialect.finish(other);
                Some(other.emit())
            }
            Some(Oddity::LateProvisional) => {
                let other = self.dialog_response(index, 0, 180, "Ringing", false);
                Some(self.dialect.finish(other).emit())
            }
            _ => None,
        };
        if let Some(bytes) = late {
            let after = now + Duration::from_millis(40);
            self.agenda.note(after, Timer::Replay(bytes, line));
        }
    }

    pub(super) fn answer(&mut self, now: Timestamp, index: usize, number: u8, out: &mut Vec<Say>) {
        let is_said = self.legs[index].reliable.has_described(number);
        let response = self.dialog_response(index, number, 200, "OK", !is_said);
        if self.legs[index].answer.is_none() {
            return self.refuse(now, index, 488, out);
        }
        let leg = &mut self.legs[index];
        let is_first = !leg.is_final;
        leg.is_final = true;
        leg.view.final_status = Some(200);
        let script = leg.script.clone();
        let (line, invite) = (leg.line.clone(), leg.invite.clone());
        let oddity = script.as_ref().and_then(|s| s.oddity);
        if oddity == Some(Oddity::WrongCSeq) {
            let mut wrong = response.clone();
            for (name, value) in &mut wrong.headers {
                if name == "CSeq" {
                    *value = "9999 BYE".to_owned();
                }
            }
            let bytes = self.dialect.finish(wrong).emit();
            out.push(Say {
                line: line.clone(),
                bytes,
            });
        }
        self.reply(now, &line, &invite, response, out);
        let bytes = out.last().map(|say| say.bytes.clone());
        let leg = &mut self.legs[index];
        for fork in &mut leg.forks {
            if fork.number == number {
                fork.state = State::Answered;
                fork.answer.clone_from(&bytes);
            }
        }
        let until = now + PATIENCE;
        self.agenda
            .note(now + T1, Timer::ResendAnswer(index, number, T1, until));
        if oddity == Some(Oddity::LateProvisional) {
            let late = self.dialog_response(index, number, 180, "Ringing", false);
            let bytes = self.dialect.finish(late).emit();
            let after = now + Duration::from_millis(40);
            self.agenda.note(after, Timer::Replay(bytes, line));
        }
        if is_first && let Some(script) = script {
            if let Some(after) = script.hang_up {
                self.agenda.note(now + after, Timer::HangUp(index));
            }
            self.plan_changes(now, index, &script.changes);
        }
    }

    pub(super) fn fork_tag(&mut self, index: usize, number: u8) -> String {
        let leg = &self.legs[index];
        if let Some(fork) = leg.forks.iter().find(|f| f.number == number) {
            return fork.local_tag.clone();
        }
        let local_tag = self.dice.word(14);
        let leg = &mut self.legs[index];
        let from = leg.invite.get("From").unwrap_or_default().to_owned();
        leg.forks.push(Fork {
            number,
            local_tag: local_tag.clone(),
            remote_tag: leg.invite.tag("From").unwrap_or_default().to_owned(),
            remote_party: from,
            target: leg.invite.contact().unwrap_or_default(),
            route: leg.invite.values("Record-Route"),
            state: State::Early,
            answer: None,
            ack: None,
        });
        local_tag
    }

    pub(super) fn dialog_response(
        &mut self,
        index: usize,
        number: u8,
        status: u16,
        phrase: &str,
        sdp: bool,
    ) -> Wire {
        let tag = self.fork_tag(index, number);
        let leg = &self.legs[index];
        let mut response = leg
            .invite
            .answer(status, phrase, Some(&tag))
            .with("Contact", leg.contact.clone());
        // Each hop stands before those that the request has passed already (RFC 3261 §16.6).
        if let Some(route) = self.dialect.record_route() {
            response = response.with("Record-Route", route);
        }
        for route in leg.invite.lines("Record-Route") {
            response = response.with("Record-Route", route);
        }
        if sdp {
            if leg.answer.is_none() {
                let offer = leg.invite.body.clone();
                let leg = &mut self.legs[index];
                leg.answer = leg.voice.answer(&offer);
            }
            if let Some(answer) = self.legs[index].answer.clone() {
                response = response.with_body("application/sdp", answer);
            }
        }
        response
    }

    pub(super) fn cancelled(
        &mut self,
        now: Timestamp,
        line: &Line,
        wire: &Wire,
        out: &mut Vec<Say>,
    ) {
        let found = self
            .legs
            .iter()
            .position(|leg| leg.dial.is_none() && leg.invite.branch() == wire.branch());
        if let Some(index) = self.asked_by(wire) {
            let ok = wire.answer(200, "OK", None);
            self.reply(now, line, wire, ok, out);
            return self.drop_asked(now, index, out);
        }
        let Some(index) = found else {
            let none = wire.answer(481, "No Such Transaction", Some("none"));
            return self.reply(now, line, wire, none, out);
        };
        let is_pending = !self.legs[index].is_final;
        let answers = self.legs[index]
            .script
            .as_ref()
            .is_some_and(|s| s.answers_on_cancel);
        if is_pending && answers {
            self.answer(now, index, 0, out);
        }
        let tag = self.fork_tag(index, 0);
        let ok = wire.answer(200, "OK", Some(&tag));
        self.reply(now, line, wire, ok, out);
        if is_pending {
            self.legs[index].view.cancelled = true;
        }
        if is_pending && !answers {
            self.refuse(now, index, 487, out);
        }
    }

    pub(super) fn in_dialog_request(
        &mut self,
        now: Timestamp,
        line: Line,
        wire: Wire,
        out: &mut Vec<Say>,
    ) {
        let method = wire.method().unwrap_or_default().to_owned();
        let Some((index, fork)) = self.find(&wire) else {
            let none = wire.answer(481, "No Such Call", None);
            return self.reply(now, &line, &wire, none, out);
        };
        let cseq = wire.cseq().map_or(0, |(n, _)| n);
        let leg = &mut self.legs[index];
        // A phone that answers may have several dialogs, each with numbers of its own.
        let is_one_dialog = leg.dial.is_some();
        if cseq < leg.remote_cseq && is_one_dialog && line.protocol == Protocol::Udp {
            // It was lost and overtaken by the next one (RFC 3261 §12.2.2).
            let late = wire.answer(500, "Server Internal Error", None);
            return self.reply(now, &line, &wire, late, out);
        }
        if cseq <= leg.remote_cseq && is_one_dialog {
            self.complaints.push(format!(
                "CSeq {cseq} {method} is not above {}",
                leg.remote_cseq
            ));
        }
        leg.remote_cseq = leg.remote_cseq.max(cseq);
        let state = leg.forks[fork].state;
        match method.as_str() {
            "BYE" => {
                let oddity = leg.script.as_ref().and_then(|s| s.oddity);
                leg.forks[fork].state = State::Gone;
                // A fork that lost ends without the call.
                let lasts = |f: &Fork| matches!(f.state, State::Answered | State::Up);
                if matches!(state, State::Answered | State::Up) && !leg.forks.iter().any(lasts) {
                    leg.view.ending.get_or_insert(Ending::WasHungUp);
                }
                if oddity == Some(Oddity::DeafToBye) {
                    return;
                }
                let ok = wire.answer(200, "OK", None);
                self.reply(now, &line, &wire, ok, out);
                self.drop_asked(now, index, out);
            }
            "INVITE" => self.reinvited(now, index, fork, line, wire, out),
            "PRACK" => self.pracked(now, index, fork, &line, &wire, out),
            "UPDATE" => self.updated(now, index, fork, &line, &wire, out),
            "REFER" => self.referred(now, index, fork, &line, &wire, out),
            "NOTIFY" => {
                let ok = wire.answer(200, "OK", None);
                self.reply(now, &line, &wire, ok, out);
                self.notified(now, index, &wire);
            }
            _ => {
                let ok = wire.answer(200, "OK", None);
                self.reply(now, &line, &wire, ok, out);
            }
        }
    }

    pub(super) fn resend_answer(
        &mut self,
        now: Timestamp,
        index: usize,
        number: u8,
        interval: Duration,
        until: Timestamp,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let line = leg.line.clone();
        let is_written_anew = leg.habit() == Some(Habit::NewVersion);
        let Some(fork) = leg.forks.iter_mut().find(|f| f.number == number) else {
            return;
        };
        if fork.ack.is_some() || fork.state == State::Gone {
            return;
        }
        if now >= until {
            // Nobody wants the answer: end it (RFC 3261 §13.3.1.4).
            fork.state = State::Up;
            self.agenda.note(now, Timer::HangUp(index));
            return;
        }
        if let Some(answer) = fork.answer.as_mut().filter(|_| is_written_anew) {
            *answer = written_anew(answer, &mut leg.voice);
        }
        out.extend(fork.answer.clone().map(|bytes| Say { line, bytes }));
        let double = (interval * 2).min(T2);
        self.agenda.note(
            now + double,
            Timer::ResendAnswer(index, number, double, until),
        );
    }
}

/// An answer that is written anew, if it describes anything.
fn written_anew(answer: &[u8], voice: &mut Voice) -> Vec<u8> {
    let Some(mut wire) = Wire::read(answer).filter(Wire::has_sdp) else {
        return answer.to_vec();
    };
    wire.body = voice.written_anew(&wire.body);
    let is_length = |name: &str| name.eq_ignore_ascii_case("Content-Length");
    wire.headers.retain(|(name, _)| !is_length(name));
    wire.emit()
}

fn server_key(wire: &Wire) -> Key {
    let method = wire.method().unwrap_or_default().to_owned();
    (wire.branch().to_owned(), method)
}
