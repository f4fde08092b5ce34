//! The transferee: a REFER of the SBC's is accepted or not, and what is said of the new call, which this
//! peer would place by itself.

use super::*;

/// What a transferee says after its 202.
#[derive(Clone, Copy)]
pub(super) struct News {
    /// Status of the new call.
    status: u16,
    is_last: bool,
}

impl Agent {
    /// REFER of the SBC.
    pub(super) fn referred(
        &mut self,
        now: Timestamp,
        index: usize,
        fork: usize,
        line: &Line,
        wire: &Wire,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let number = leg.forks[fork].number;
        let to = wire.get("Refer-To").unwrap_or_default().to_owned();
        leg.view.referred_to.push(to);
        let ending = match self.dice.below(9) {
            0 => return self.reply(now, line, wire, wire.answer(603, "Decline", None), out),
            // It never says how that went.
            1 => None,
            2 => Some(*self.dice.pick(&[486, 503, 404])),
            _ => Some(200),
        };
        let accepted = wire.answer(202, "Accepted", None);
        let accepted = accepted.with("Contact", self.legs[index].contact.clone());
        self.reply(now, line, wire, accepted, out);
        let news = |status, is_last| Timer::News(index, number, News { status, is_last });
        self.agenda.note(now, news(100, false));
        if let Some(status) = ending {
            let talk = self
                .dice
                .between(Duration::from_millis(20), Duration::from_secs(3));
            self.agenda.note(now + talk, news(status, true));
        }
    }

    /// NOTIFY: how the new call goes.
    pub(super) fn tell(
        &mut self,
        now: Timestamp,
        index: usize,
        number: u8,
        news: News,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let is_up = |fork: &Fork| fork.number == number && fork.state == State::Up;
        if !leg.forks.iter().any(is_up) {
            return;
        }
        leg.cseq += 1;
        let cseq = leg.cseq;
        let (wire, line) = self.in_dialog(index, number, "NOTIFY", cseq);
        let state = match news.is_last {
            true => "terminated;reason=noresource",
            false => "active;expires=60",
        };
        let phrase = self.dialect.phrase(news.status, self.address);
        let wire = wire
            .with("Event", "refer")
            .with("Subscription-State", state)
            .with_body(
                "message/sipfrag;version=2.0",
                format!("SIP/2.0 {} {phrase}\r\n", news.status),
            );
        self.start(now, &wire, line, Some(index), Purpose::Notify, out);
    }
}
