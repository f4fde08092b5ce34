//! Max-Forwards: how many more hops a request may take (RFC 3261 §20.22).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{number, push_number, whole};
use crate::sip::{Message, ParseFault};

/// Remaining hops, 0–255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MaxForwards(pub u8);

impl MaxForwards {
    /// What a request without the header is treated as (SIP-005, SIP-403).
    pub const DEFAULT: Self = Self(70);

    /// What a message may still do after one more hop; nothing if it may not take it (SIP-403).
    pub fn onward(message: &Message) -> Option<Self> {
        let Self(left) = message.get().ok().flatten().unwrap_or(Self::DEFAULT);
        left.checked_sub(1).map(Self)
    }
}

impl Header for MaxForwards {
    const NAME: HeaderName = HeaderName::MaxForwards;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Max-Forwards", text, |input| {
            let (rest, hops) = number(u64::from(u8::MAX)).parse(input)?;
            Ok((rest, Self(hops as u8)))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.0));
    }
}
