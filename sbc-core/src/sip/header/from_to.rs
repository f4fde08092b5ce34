//! From and To: the two ends of a dialog and their tags (RFC 3261 §20.20, §20.39).

use bytes::Bytes;

use super::address_headers;
use crate::sip::{Address, Token};

address_headers! {
    /// Who sends the request; its tag names the caller's half of the dialog.
    From, Single;
    /// Whom the request is for; its tag names the other half, absent outside dialogs.
    To, Single;
}

impl From {
    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&Bytes> {
        self.params.value("tag")
    }

    /// The same party with this tag.
    pub fn with_tag(mut self, tag: Token) -> Self {
        set_tag(&mut self.0, tag);
        self
    }
}

impl To {
    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&Bytes> {
        self.params.value("tag")
    }

    /// The same party with this tag.
    pub fn with_tag(mut self, tag: Token) -> Self {
        set_tag(&mut self.0, tag);
        self
    }
}

fn set_tag(address: &mut Address, tag: Token) {
    address.params.set(
        Token::recognised(Bytes::from_static(b"tag")),
        Some(tag.into()),
    );
}
