//! Max-Breadth: on how many branches a request may be at once (RFC 5393 §5.3.3).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::ParseFault;
use crate::sip::grammar::{number, push_number, whole};

/// Branches, 0–255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MaxBreadth(pub u8);

impl MaxBreadth {
    /// What a request without the header has, and the most that we believe (SIP-404).
    pub const MOST: Self = Self(60);
}

impl Header for MaxBreadth {
    const NAME: HeaderName = HeaderName::MaxBreadth;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Max-Breadth", text, |input| {
            let (rest, branches) = number(u64::from(u32::MAX)).parse(input)?;
            // Whoever allows more allows everything that we ever do.
            Ok((rest, Self(u8::try_from(branches).unwrap_or(u8::MAX))))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.0));
    }
}
