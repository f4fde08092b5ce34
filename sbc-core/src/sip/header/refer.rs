//! Refer-To and Referred-By: whom to call next and who asks for it (RFC 3515, RFC 3892).
//!
//! Towards Teams both must be repeated byte for byte: take them with `Message::raw`.

use super::address_headers;
use crate::sip::header::{Header, Replaces};
use crate::sip::{ParseFault, grammar};

address_headers! {
    /// Whom the receiver of a REFER shall call.
    ReferTo, Single;
    /// Who asks for it.
    ReferredBy, Single;
}

impl ReferTo {
    /// The dialog that the new call shall replace, from the headers part of the URI (RFC 3891).
    pub fn replaces(&self) -> Result<Option<Replaces>, ParseFault> {
        let Some(sip) = self.uri().as_sip() else {
            return Ok(None);
        };
        let mut found = sip
            .headers()
            .iter()
            .filter(|(name, _)| grammar::unescape(name).eq_ignore_ascii_case(b"Replaces"));
        let Some((_, value)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(ParseFault::new("Replaces", crate::sip::Rule::Repeated, 0));
        }
        let value = grammar::unescape(value).into_owned();
        Replaces::parse(&value.into()).map(Some)
    }
}
