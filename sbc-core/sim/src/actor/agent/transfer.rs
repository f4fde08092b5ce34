//! The transferor: REFER, what it hears of the transfer, and when it leaves.

use super::*;
use crate::actor::change::Leave;
use crate::topology;

impl Agent {
    /// Asks for the other party to be transferred. Teams names itself, in strings of its own; a
    /// carrier names the number that calls it.
    pub(super) fn refer(&mut self, now: Timestamp, index: usize, leave: Leave, out: &mut Vec<Say>) {
        let leg = &self.legs[index];
        let Some(fork) = leg.forks.iter().find(|f| f.state == State::Up) else {
            return;
        };
        let number = fork.number;
        let target = match self.dialect.is_teams() {
            true => {
                let called = user_of(leg.invite.request_uri()).to_owned();
                let word = self.dice.word(20);
                let uri = format!(
                    "sip:{called}@sip.pstnhub.example:5061;transport=tls;x-m=8:orgid:{word}%3D"
                );
                // From now on the number stands for the target.
                if let Some(script) = self.scripts.get(&target_of(&called)).cloned() {
                    self.scripts.insert(called.clone(), script);
                }
                self.referred.insert(called, uri.clone());
                uri
            }
            false => {
                let party = leg.invite.get("From").unwrap_or_default();
                format!("sip:{}@sbc.example", user_of(uri_of(party)))
            }
        };
        self.send_refer(now, index, number, &target, leave, out);
    }

    /// Asks for the other party to be transferred to somebody of the public network.
    pub(super) fn refer_out(
        &mut self,
        now: Timestamp,
        index: usize,
        leave: Leave,
        out: &mut Vec<Say>,
    ) {
        let leg = &self.legs[index];
        let Some(fork) = leg.forks.iter().find(|f| f.state == State::Up) else {
            return;
        };
        let by = fork.number;
        let number = topology::further_number(leg.view.call);
        let target = format!("sip:{number}@sbc.example");
        self.send_refer(now, index, by, &target, leave, out);
    }

    /// Asks for the other party to be joined with that of another call of this peer, if there is one.
    pub(super) fn refer_to_other(
        &mut self,
        now: Timestamp,
        index: usize,
        leave: Leave,
        out: &mut Vec<Say>,
    ) {
        let up = |leg: &Leg| {
            let fork = leg.forks.iter().find(|fork| fork.state == State::Up)?;
            Some((fork.number, fork.local_tag.clone(), fork.remote_tag.clone()))
        };
        let Some((number, ..)) = up(&self.legs[index]) else {
            return;
        };
        let others = self.legs.iter().enumerate().filter(|(at, _)| *at != index);
        let other = others.filter_map(|(_, leg)| Some((leg, up(leg)?))).next();
        let Some((leg, (_, own, theirs))) = other else {
            return;
        };
        let called = user_of(leg.invite.request_uri());
        let escaped = leg.call_id.replace('@', "%40");
        let target = format!(
            "sip:{called}@sbc.example?Replaces={escaped}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{own}"
        );
        self.send_refer(now, index, number, &target, leave, out);
    }

    /// A dialog of this peer that lasts, as an INVITE names it that takes it over.
    pub(super) fn other_dialog(&self) -> Option<String> {
        let is_ringing = |leg: &Leg, fork: &Fork| fork.state == State::Early && leg.dial.is_none();
        let named = self.dialog_where(|_, fork| fork.state == State::Up);
        // A phone that rings is picked up by another.
        named.or_else(|| self.dialog_where(is_ringing))
    }

    /// Names a dialog as Replaces does.
    fn dialog_where(&self, is_it: impl Fn(&Leg, &Fork) -> bool) -> Option<String> {
        self.legs.iter().find_map(|leg| {
            let fork = leg.forks.iter().find(|fork| is_it(leg, fork))?;
            let (own, theirs) = (&fork.local_tag, &fork.remote_tag);
            let id = &leg.call_id;
            Some(format!("{id};to-tag={theirs};from-tag={own}"))
        })
    }

    fn send_refer(
        &mut self,
        now: Timestamp,
        index: usize,
        number: u8,
        target: &str,
        leave: Leave,
        out: &mut Vec<Say>,
    ) {
        self.legs[index].cseq += 1;
        let cseq = self.legs[index].cseq;
        let (wire, line) = self.in_dialog(index, number, "REFER", cseq);
        let by = format!("<sip:{}>", self.dialect.domain());
        let wire = wire
            .with("Refer-To", format!("<{target}>"))
            .with("Referred-By", by);
        self.legs[index].leave = Some(leave);
        self.start(now, &wire, line, Some(index), Purpose::Refer, out);
    }

    /// The final answer to our REFER.
    pub(super) fn refer_answered(&mut self, now: Timestamp, index: usize, status: u16) {
        let leg = &mut self.legs[index];
        leg.view.change_statuses.push(status);
        match leg.leave {
            Some(Leave::After(after)) if status < 300 => {
                self.agenda.note(now + after, Timer::HangUp(index));
            }
            Some(Leave::After(_) | Leave::WhenDone | Leave::Never) | None => {}
        }
    }

    /// NOTIFY: how the transfer goes.
    pub(super) fn notified(&mut self, now: Timestamp, index: usize, wire: &Wire) {
        let leg = &mut self.legs[index];
        let state = wire.get("Subscription-State").unwrap_or_default();
        let is_last = state.starts_with("terminated");
        let status = wire
            .body
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        let Some(status) = status else {
            let text = format!("NOTIFY without a status: {:?}", wire.body);
            return self.complaints.push(text);
        };
        leg.view.notified.push((is_last, status));
        if is_last && status == 200 && leg.leave == Some(Leave::WhenDone) {
            self.agenda.note(now, Timer::HangUp(index));
        }
    }

    /// Complains of an INVITE to a target of ours that is not written as we wrote it.
    pub(super) fn compare(&mut self, invite: &Wire) {
        let number = user_of(invite.request_uri());
        if let Some(uri) = self.referred.get(number)
            && uri != invite.request_uri()
        {
            let text = format!("{} instead of {uri}", invite.request_uri());
            self.complaints.push(text);
        }
    }
}

/// Under which name the script of a transfer's target waits for its turn.
pub(crate) fn target_of(number: &str) -> String {
    format!("target of {number}")
}
