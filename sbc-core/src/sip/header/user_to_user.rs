//! User-to-User: data of one party's application for the other's (RFC 7433).

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{self, Step, whole};
use crate::sip::{Params, ParseFault};

/// One value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UserToUser {
    /// The data as written, with its quotation marks if it has them.
    data: Bytes,
    /// `encoding`, `purpose`, `content` and others, in order.
    pub params: Params,
}

impl UserToUser {
    /// The purpose, `isdn-uui` unless it says otherwise (RFC 7434 §7).
    pub fn purpose(&self) -> &[u8] {
        self.params
            .value("purpose")
            .map_or(b"isdn-uui".as_slice(), |own| own.as_ref())
    }

    /// Whether the data is hexadecimal: it says so, or it is for ISDN, which knows nothing else.
    pub fn is_hex(&self) -> bool {
        match self.params.value("encoding") {
            Some(encoding) => encoding.eq_ignore_ascii_case(b"hex"),
            None => self.purpose().eq_ignore_ascii_case(b"isdn-uui"),
        }
    }

    /// How many octets of data there are; nothing if it is no hexadecimal text although it should
    /// be.
    pub fn octets(&self) -> Option<usize> {
        let text = self.text();
        match self.is_hex() {
            false => Some(text.len()),
            true => {
                let is_hex = text.len().is_multiple_of(2) && text.iter().all(u8::is_ascii_hexdigit);
                is_hex.then_some(text.len() / 2)
            }
        }
    }

    /// The data without quotation marks.
    pub fn text(&self) -> &[u8] {
        let bare = self.data.strip_prefix(b"\"");
        bare.and_then(|text| text.strip_suffix(b"\""))
            .unwrap_or(&self.data)
    }
}

impl Header for UserToUser {
    const NAME: HeaderName = HeaderName::UserToUser;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("User-to-User", text, |input| {
            let (rest, data) = data(text, input)?;
            let (rest, params) = Params::parser(text, rest)?;
            Ok((rest, Self { data, params }))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.data);
        self.params.emit(out);
    }
}

/// A token, or a quoted text with its quotation marks.
fn data<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Bytes> {
    if input.first() != Some(&b'"') {
        let (rest, token) = grammar::token(source, input)?;
        return Ok((rest, token.as_bytes().clone()));
    }
    // What it means is not kept, but it must not be able to end or break a line.
    let (rest, _) = grammar::quoted(source, input)?;
    let length = input.len() - rest.len();
    let quoted = input.get(..length).unwrap_or_default();
    Ok((rest, source.slice_ref(quoted)))
}
