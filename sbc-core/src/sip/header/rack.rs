//! RSeq and RAck: numbers of reliable provisional responses (RFC 3262 §7).

use bytes::Bytes;
use nom::Parser;

use super::{CSeq, Header, HeaderName, Shape};
use crate::sip::ParseFault;
use crate::sip::grammar::{lws, number, push_number, stop, token, whole};
use crate::sip::{Method, Rule};

/// Number of a reliable provisional response, 0–2^32−1; ours begin at 1 or above.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RSeq(pub u32);

/// Which provisional response a PRACK confirms.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RAck {
    /// RSeq of the response.
    pub rseq: u32,
    /// CSeq of the response.
    pub cseq: CSeq,
}

impl Header for RSeq {
    const NAME: HeaderName = HeaderName::RSeq;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("RSeq", text, |input| {
            let (rest, value) = number(u64::from(u32::MAX)).parse(input)?;
            Ok((rest, Self(u32::try_from(value).unwrap_or(u32::MAX))))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.0));
    }
}

impl Header for RAck {
    const NAME: HeaderName = HeaderName::RAck;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("RAck", text, |input| {
            let (rest, rseq) = number(u64::from(u32::MAX)).parse(input)?;
            let (rest, ()) = gap(rest)?;
            let (rest, cseq) = number(u64::from(u32::MAX)).parse(rest)?;
            let (rest, ()) = gap(rest)?;
            let (rest, name) = token(text, rest)?;
            let method = Method::known(name.as_bytes()).unwrap_or(Method::Other(name));
            let (Ok(rseq), Ok(number)) = (u32::try_from(rseq), u32::try_from(cseq)) else {
                return stop(input, Rule::Range);
            };
            Ok((
                rest,
                Self {
                    rseq,
                    cseq: CSeq { number, method },
                },
            ))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.rseq));
        out.push(b' ');
        self.cseq.emit(out);
    }
}

/// White space that must be there.
fn gap(input: &[u8]) -> crate::sip::grammar::Step<'_, ()> {
    let (rest, ()) = lws(input)?;
    match rest.len() < input.len() {
        true => Ok((rest, ())),
        false => stop(input, Rule::Separator),
    }
}
