//! The headers that every layer asks for, interpreted once per message.

use std::sync::OnceLock;

use super::header::{CSeq, CallId, From, Header, To, Via};
use super::{Message, ParseFault, Rule};

type Cell<H> = OnceLock<Result<Option<H>, ParseFault>>;

/// What was read so far.
#[derive(Default)]
pub(super) struct Essentials {
    via: Cell<Via>,
    from: Cell<From>,
    to: Cell<To>,
    call_id: Cell<CallId>,
    cseq: Cell<CSeq>,
}

impl Essentials {
    /// What stays true of a message whose topmost Via is replaced.
    pub(super) fn but_via(&self) -> Self {
        Self {
            via: Cell::new(),
            from: self.from.clone(),
            to: self.to.clone(),
            call_id: self.call_id.clone(),
            cseq: self.cseq.clone(),
        }
    }
}

/// A header that a message remembers once it was read.
#[expect(
    private_interfaces,
    reason = "only the headers of this file have a cell"
)]
pub trait Essential: Header {
    /// Where it is remembered.
    #[doc(hidden)]
    fn cell(read: &Essentials) -> &Cell<Self>;
}

macro_rules! essential {
    ($($header:ident: $field:ident),+) => {
        $(
            #[expect(private_interfaces, reason = "as of the trait")]
            impl Essential for $header {
                fn cell(read: &Essentials) -> &Cell<Self> {
                    &read.$field
                }
            }
        )+
    };
}

essential!(Via: via, From: from, To: to, CallId: call_id, CSeq: cseq);

impl Message {
    /// The first value of a header that every message has: as [`Message::get`], but read only once
    /// however many ask.
    pub fn essential<H: Essential>(&self) -> Result<Option<&H>, ParseFault> {
        match H::cell(self.essentials()).get_or_init(|| self.get::<H>()) {
            Ok(header) => Ok(header.as_ref()),
            Err(fault) => Err(*fault),
        }
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Result<&Via, ParseFault> {
        self.essential::<Via>()?
            .ok_or(ParseFault::new("Via", Rule::Missing, 0))
    }

    /// The tag of To: which dialog of ours a request belongs to, if any.
    pub fn to_tag(&self) -> Option<&bytes::Bytes> {
        self.essential::<To>().ok().flatten()?.tag()
    }
}
