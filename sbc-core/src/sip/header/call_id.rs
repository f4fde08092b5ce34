//! Call-ID: `word [ "@" word ]`, compared octet by octet (RFC 3261 §20.8).

use std::fmt;

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{is_token_octet, octets_as_str, trim};
use crate::sip::{ParseFault, Rule};

/// A Call-ID.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Bytes);

impl CallId {
    /// Takes text as a Call-ID.
    ///
    /// More `@` than the one of the grammar are accepted: dialogs of peers that write them exist,
    /// and the value is only ever compared and repeated.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        if text.is_empty() {
            return Err(ParseFault::new("Call-ID", Rule::Empty, 0));
        }
        match text
            .iter()
            .position(|&octet| !is_word_octet(octet) && octet != b'@')
        {
            Some(at) => Err(ParseFault::new("Call-ID", Rule::Token, at)),
            None => Ok(Self(text)),
        }
    }

    /// An identifier of [`crate::mint::Mint`]: letters and digits only.
    pub(crate) fn from_minted(text: String) -> Self {
        Self(Bytes::from(text))
    }

    /// The same, without the message that it stands in.
    pub(crate) fn detached(self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The octets, all of them visible ASCII.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The Call-ID as text.
    pub fn as_str(&self) -> &str {
        octets_as_str(&self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Header for CallId {
    const NAME: HeaderName = HeaderName::CallId;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        Self::new(text.slice_ref(trim(text)))
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

fn is_word_octet(octet: u8) -> bool {
    is_token_octet(octet)
        || matches!(
            octet,
            b'(' | b')'
                | b'<'
                | b'>'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'{'
                | b'}'
        )
}
