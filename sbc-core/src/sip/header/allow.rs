//! Allow and Accept: what a peer takes (RFC 3261 §20.1, §20.5).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{self, separator, whole};
use crate::sip::{Method, Params, ParseFault, Token};

/// One method that a peer allows. Never assume more than the list says: Teams allows neither PRACK
/// nor UPDATE.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Allow(pub Method);

/// One media range that a peer accepts; `*` stands for anything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Accept {
    /// `application`, `*`, …
    pub kind: Token,
    /// `sdp`, `*`, …
    pub subtype: Token,
    /// Parameters such as `q`.
    pub params: Params,
}

impl Accept {
    /// Whether the range covers this media type.
    pub fn covers(&self, kind: &str, subtype: &str) -> bool {
        (self.kind.as_str() == "*" || self.kind.is(kind))
            && (self.subtype.as_str() == "*" || self.subtype.is(subtype))
    }
}

impl Header for Allow {
    const NAME: HeaderName = HeaderName::Allow;
    const SHAPE: Shape = Shape::Words;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Allow", text, |input| {
            let (rest, name) = grammar::token(text, input)?;
            let method = Method::known(name.as_bytes()).unwrap_or(Method::Other(name));
            Ok((rest, Self(method)))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_str().as_bytes());
    }
}

impl Header for Accept {
    const NAME: HeaderName = HeaderName::Accept;
    const SHAPE: Shape = Shape::Words;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Accept", text, |input| {
            let (rest, kind) = grammar::token(text, input)?;
            let (rest, ()) = separator(b'/').parse(rest)?;
            let (rest, subtype) = grammar::token(text, rest)?;
            let (rest, params) = Params::parser(text, rest)?;
            Ok((
                rest,
                Self {
                    kind,
                    subtype,
                    params,
                },
            ))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.kind.as_bytes());
        out.push(b'/');
        out.extend_from_slice(self.subtype.as_bytes());
        self.params.emit(out);
    }
}
