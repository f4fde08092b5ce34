//! Reliable provisional responses (RFC 3262), each leg on its own: as a server towards the caller,
//! as a client towards the called party.

mod client;
mod server;

pub(super) use client::{Described, Early, Heard};
pub(crate) use server::Provisional;
pub(super) use server::Sending;

use super::confirmed::PeerOffer;
use super::{Phase, Session};
use crate::sip::Message;
use crate::sip::header::{OptionTag, RSeq, Require, Supported, Unsupported};

impl Session {
    /// Takes the offer that came before the answer, to be answered.
    pub(super) fn take_early_offer(&mut self) -> Option<PeerOffer> {
        match &mut self.phase {
            Phase::Incoming(incoming) => incoming.take_asked(),
            Phase::Outgoing(outgoing) => {
                let mut early = outgoing.early.values_mut();
                early.find_map(|early| early.asked.take())
            }
            Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => None,
        }
    }

    /// Whether the offer that waits for an answer came in a PRACK.
    pub(crate) fn is_asked_by_prack(&self) -> bool {
        match &self.phase {
            Phase::Incoming(incoming) => incoming.asked().is_some_and(PeerOffer::is_prack),
            Phase::Outgoing(_) | Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => false,
        }
    }
}

/// Number of a response that wants a PRACK; nothing for one that is not reliable, or cannot be
/// acknowledged because its number is unreadable.
pub(super) fn number(response: &Message) -> Option<u32> {
    requires(response).then_some(())?;
    response.get::<RSeq>().ok().flatten().map(|rseq| rseq.0)
}

fn requires(message: &Message) -> bool {
    let tags = message.list::<Require>().unwrap_or_default();
    tags.iter().any(|tag| tag.is(OptionTag::REL100))
}

fn supports(message: &Message) -> bool {
    let tags = message.list::<Supported>().unwrap_or_default();
    tags.iter().any(|tag| tag.is(OptionTag::REL100))
}

/// Whether a 420 says that our demand for reliable provisionals is the trouble.
pub(super) fn is_refused(response: &Message) -> bool {
    let tags = response.list::<Unsupported>().unwrap_or_default();
    tags.iter().any(|tag| tag.is(OptionTag::REL100))
}
