//! Session-ID across the two legs (RFC 7989 §7): the ends are those of the parties, not ours, so
//! both legs name the same two.

use crate::config::{SessionIdForm, Trunk};
use crate::mint::Mint;
use crate::sip::Message;
use crate::sip::header::{EndId, SessionId};

/// The two ends of a call, as far as they are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The caller: what it calls itself, else a name that we gave it.
    pub caller: EndId,
    /// Whether the caller names itself.
    pub caller_says: bool,
    /// The called party, once it has said its name.
    pub called: EndId,
}

impl Ends {
    /// The ends as an INVITE tells them.
    pub fn of(message: &Message, mint: &mut Mint) -> Self {
        let said = said_by(message);
        Self {
            caller_says: said.is_some(),
            caller: said.unwrap_or_else(|| EndId::of_random(mint.number(), mint.number())),
            called: EndId::NIL,
        }
    }

    /// A response of the called party. One without the header gets a name from us where the other
    /// side's trunk wants one.
    pub fn heard(&mut self, message: &Message) {
        if let Some(called) = said_by(message) {
            self.called = called;
        }
    }

    /// The header on the called party's leg; nothing if its trunk does not want it.
    pub fn to_called(&self, trunk: &Trunk) -> Option<SessionId> {
        self.wants(trunk, self.caller_says)
            .then(|| self.header(&self.caller, &self.called))
    }

    /// The header on the caller's leg; nothing if its trunk does not want it.
    pub fn to_caller(&self, trunk: &Trunk) -> Option<SessionId> {
        self.wants(trunk, self.caller_says || !self.called.is_nil())
            .then(|| self.header(&self.called, &self.caller))
    }

    fn wants(&self, trunk: &Trunk, was_said: bool) -> bool {
        match trunk.session_id {
            SessionIdForm::None => false,
            SessionIdForm::Pass => was_said,
            SessionIdForm::Always => true,
        }
    }

    fn header(&self, local: &EndId, remote: &EndId) -> SessionId {
        SessionId {
            local: local.clone(),
            remote: Some(remote.clone()),
        }
    }
}

/// The sender's name of itself. One that says it has none says nothing.
fn said_by(message: &Message) -> Option<EndId> {
    let header: SessionId = message.get().ok().flatten()?;
    Some(header.local).filter(|local| !local.is_nil())
}
