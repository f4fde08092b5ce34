//! A peer that registers with the SBC, or tries to: REGISTER with digest, refreshes, and leave now and then.

use super::*;
use crate::digest::{Challenge, Who};

/// How a peer registers.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// Names that it claims, one after the other: an honest peer has one.
    pub(crate) names: Vec<&'static str>,
    /// Passwords that it tries for them: an honest peer has one.
    pub(crate) passwords: Vec<&'static str>,
    /// The SBC's domain for a name.
    pub(crate) domain: fn(&str) -> String,
    /// Seconds that it asks for.
    pub(crate) expires_s: u64,
}

/// Where its registration stands.
pub(super) struct Registering {
    how: Membership,
    call_id: String,
    tag: String,
    cseq: u32,
    /// The challenge that it answers, and how often it has.
    challenge: Option<(Challenge, u32)>,
    /// What it says now.
    name: &'static str,
    is_leaving: bool,
    /// Answers to a challenge that were refused since the last success.
    refused: u32,
}

const PAUSE: Duration = Duration::from_secs(5);

impl Registering {
    pub(super) fn new(how: Membership, dice: &mut Dice) -> Self {
        Self {
            name: how.names.first().copied().unwrap_or_default(),
            how,
            call_id: dice.word(20),
            tag: dice.word(10),
            cseq: 0,
            challenge: None,
            is_leaving: false,
            refused: 0,
        }
    }
}

impl Agent {
    /// The next REGISTER is due.
    pub(super) fn register(&mut self, now: Timestamp, out: &mut Vec<Say>) {
        let (branch, cnonce) = (self.branch(), self.dice.word(12));
        let via = self.via(&branch);
        let (name, password) = match &self.registering {
            Some(own) => (
                *self.dice.pick(&own.how.names),
                *self.dice.pick(&own.how.passwords),
            ),
            None => return,
        };
        let leaves = self.dice.chance(10);
        let address = self.address;
        let Some(own) = &mut self.registering else {
            return;
        };
        // A conversation about one name goes on with it.
        if own.challenge.is_none() {
            own.name = name;
            own.is_leaving = leaves && own.cseq > 2;
        }
        own.cseq += 1;
        let domain = (own.how.domain)(own.name);
        let uri = format!("sip:{domain}");
        let expires = if own.is_leaving { 0 } else { own.how.expires_s };
        let aor = format!("<sip:{}@{domain}>", own.name);
        let mut wire = Wire::begin(format!("REGISTER {uri} SIP/2.0"))
            .with("Via", via)
            .with("From", format!("{aor};tag={}", own.tag))
            .with("To", aor)
            .with("Call-ID", own.call_id.clone())
            .with("CSeq", format!("{} REGISTER", own.cseq))
            .with("Max-Forwards", "70")
            .with("Contact", format!("<sip:line@{address}>;expires={expires}"));
        if let Some((challenge, count)) = &mut own.challenge {
            *count += 1;
            let who = Who {
                name: own.name,
                password,
            };
            wire = wire.with(
                "Authorization",
                challenge.answered(who, &uri, *count, &cnonce),
            );
        }
        let line = self.line(None);
        self.start(now, &wire, line, None, Purpose::Register, out);
    }

    /// The final answer to a REGISTER, or none.
    pub(super) fn registered(&mut self, now: Timestamp, wire: Option<&Wire>) {
        let Some(own) = &mut self.registering else {
            return;
        };
        let status = wire.and_then(Wire::status).unwrap_or(408);
        self.register_statuses.push(status);
        let next = match status {
            200..=299 => {
                own.refused = 0;
                match std::mem::take(&mut own.is_leaving) {
                    // It comes back after a while, and has forgotten the nonce.
                    true => {
                        own.challenge = None;
                        PAUSE
                    }
                    false => Duration::from_secs(own.how.expires_s) / 2,
                }
            }
            401 if own.refused < 2 => {
                own.refused += u32::from(own.challenge.is_some());
                own.challenge = wire.and_then(Challenge::of).map(|challenge| (challenge, 0));
                Duration::ZERO
            }
            _ => {
                own.refused = 0;
                own.challenge = None;
                PAUSE
            }
        };
        self.agenda.note(now + next, Timer::Register);
    }
}
