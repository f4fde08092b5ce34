//! What is left of a request that could not be parsed: enough to answer it, or nothing.

use bytes::Bytes;

use super::grammar::split_commas;
use super::header::{Header, Via};
use super::{Message, Method, Objection, ParseFault, Rule, Status};
use crate::sip::HeaderName;

/// Bytes that are not a message, and what to do about them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// What is wrong.
    pub fault: ParseFault,
    /// What an element does.
    pub reaction: Reaction,
}

/// What to do with bytes that are not a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// It was a request and says where its answer goes.
    Answer {
        /// 400, 505 or 513.
        status: Status,
        /// What the answer repeats.
        head: Box<RequestHead>,
    },
    /// A response, an ACK, not SIP at all (on a stream: close it, SIP-014), or a request that no
    /// answer can reach.
    Drop,
}

/// The headers of a request that its answer repeats (RFC 3261 §8.2.6), as far as they are there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestHead {
    /// The method, if the request line begins with a token.
    pub method: Option<Method>,
    /// The topmost Via; its broken parameters are left out. Add `received` and `rport` to it.
    pub via: Option<Via>,
    /// The other Via values in order, up to the first broken one.
    pub further_vias: Vec<Via>,
    /// Value of From, unfolded.
    pub from: Option<Bytes>,
    /// Value of To, unfolded.
    pub to: Option<Bytes>,
    /// Value of Call-ID.
    pub call_id: Option<Bytes>,
    /// Value of CSeq.
    pub cseq: Option<Bytes>,
}

impl Rejected {
    /// A request that could be indexed, but lacks what it takes to be matched to a transaction.
    pub fn unmatched(request: &Message) -> Self {
        let fault = match request.validate().map_err(|rejection| rejection.why) {
            Err(Objection::Malformed(fault)) => fault,
            Err(_) | Ok(()) => ParseFault::new("Via", Rule::Missing, 0),
        };
        let reaction = match RequestHead::of(request) {
            Some(head) => Reaction::Answer {
                status: Status::BAD_REQUEST,
                head: Box::new(head),
            },
            None => Reaction::Drop,
        };
        Self { fault, reaction }
    }

    /// The status that a request would get.
    pub fn status(&self) -> Option<Status> {
        match &self.reaction {
            Reaction::Answer { status, .. } => Some(*status),
            Reaction::Drop => None,
        }
    }
}

impl RequestHead {
    /// The head of a request that was parsed but shall be refused; nothing for responses, for ACK
    /// and without a usable Via.
    pub fn of(request: &Message) -> Option<Self> {
        if request.is_response() || *request.method() == Method::Ack {
            return None;
        }
        let mut head = Self {
            method: Some(request.method().clone()),
            from: request.raw(HeaderName::From),
            to: request.raw(HeaderName::To),
            call_id: request.raw(HeaderName::CallId),
            cseq: request.raw(HeaderName::CSeq),
            ..Self::default()
        };
        head.take_vias(request.raw_all(HeaderName::Via))
            .then_some(head)
    }

    /// Fills the Via fields; says whether the topmost could be read.
    pub(super) fn take_vias(&mut self, lines: impl IntoIterator<Item = Bytes>) -> bool {
        for line in lines {
            for part in split_commas(&line) {
                let part = line.slice_ref(part);
                if self.via.is_none() {
                    self.via = Via::salvage(&part);
                    if self.via.is_none() {
                        return false;
                    }
                    continue;
                }
                match Via::parse(&part) {
                    Ok(via) if self.further_vias.len() < 69 => self.further_vias.push(via),
                    _ => return true,
                }
            }
        }
        self.via.is_some()
    }
}
