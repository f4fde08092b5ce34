//! CSeq: the order of requests within a dialog (RFC 3261 §20.16).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{lws, number, push_number, stop, token, whole};
use crate::sip::{Method, ParseFault, Rule};

/// Number and method. Accepted up to 2^32−1; ours stay below 2^31 (SIP-006).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CSeq {
    /// Sequence number.
    pub number: u32,
    /// Method of the request, or of the request that a response answers.
    pub method: Method,
}

impl Header for CSeq {
    const NAME: HeaderName = HeaderName::CSeq;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("CSeq", text, |input| {
            let (at_gap, value) = number(u64::from(u32::MAX)).parse(input)?;
            let Ok(number) = u32::try_from(value) else {
                return stop(input, Rule::Range);
            };
            let (rest, ()) = lws(at_gap)?;
            if rest.len() == at_gap.len() {
                return stop(rest, Rule::Separator);
            }
            let (rest, name) = token(text, rest)?;
            let method = Method::known(name.as_bytes()).unwrap_or(Method::Other(name));
            Ok((rest, Self { number, method }))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.number));
        out.push(b' ');
        out.extend_from_slice(self.method.as_str().as_bytes());
    }
}
