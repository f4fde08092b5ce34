//! A key that a party presses and tells of in INFO. One in its media is the world's to tell.

use super::*;

impl Agent {
    pub(super) fn press(&mut self, now: Timestamp, index: usize, key: char, out: &mut Vec<Say>) {
        let leg = &mut self.legs[index];
        let Some(fork) = leg.forks.iter().find(|f| f.state == State::Up) else {
            return;
        };
        let number = fork.number;
        leg.cseq += 1;
        let cseq = leg.cseq;
        let (wire, line) = self.in_dialog(index, number, "INFO", cseq);
        let body = format!("Signal={key}\r\nDuration=120\r\n");
        let wire = wire.with_body("application/dtmf-relay", body);
        self.start(now, &wire, line, Some(index), Purpose::Info, out);
    }
}
