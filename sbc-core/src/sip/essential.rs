//! The headers that every layer asks for, interpreted once per message.

use std::sync::OnceLock;

use super::header::{CSeq, CallId, Contact, ContentType, From, Header, HeaderName, To, Via};
use super::{Message, ParseFault, Rule, Uri};

type Cell<H> = OnceLock<Result<Option<H>, ParseFault>>;

/// What was read so far.
#[derive(Clone, Default)]
pub(super) struct Essentials {
    via: Cell<Via>,
    from: Cell<From>,
    to: Cell<To>,
    call_id: Cell<CallId>,
    cseq: Cell<CSeq>,
    contact: Cell<Contact>,
    content_type: Cell<ContentType>,
    uri: OnceLock<Result<Uri, ParseFault>>,
}

impl Essentials {
    /// Notes that the topmost Via is this one now.
    pub(super) fn set_via(&mut self, via: Via) {
        self.via = Cell::from(Ok(Some(via)));
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

essential!(
    Via: via,
    From: from,
    To: to,
    CallId: call_id,
    CSeq: cseq,
    Contact: contact,
    ContentType: content_type
);

impl Message {
    /// The first value of a header that every message has: as [`Message::get`], but read only once
    /// however many ask.
    pub fn essential<H: Essential>(&self) -> Result<Option<&H>, ParseFault> {
        match H::cell(self.essentials()).get_or_init(|| self.get::<H>()) {
            Ok(header) => Ok(header.as_ref()),
            Err(fault) => Err(*fault),
        }
    }

    /// The Request-URI, interpreted. A message that passed [`Message::validate`] has one if it is
    /// a request.
    pub fn uri(&self) -> Result<&Uri, ParseFault> {
        let read = &self.essentials().uri;
        read.get_or_init(|| self.read_uri())
            .as_ref()
            .map_err(|fault| *fault)
    }

    /// How many values of a header there are, if all of them can be read.
    pub(super) fn count<H: Essential>(&self) -> Result<usize, ParseFault> {
        if self.has_one_value(&H::NAME) {
            return Ok(self.essential::<H>()?.map_or(0, |_| 1));
        }
        Ok(self.list::<H>()?.len())
    }

    /// Whether a header has one line without a comma.
    pub(crate) fn has_one_value(&self, name: &HeaderName) -> bool {
        let mut lines = 0;
        let mut has_comma = false;
        self.each_value(name, |value| {
            lines += 1;
            has_comma |= memchr::memchr(b',', value).is_some();
        });
        lines == 1 && !has_comma
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
