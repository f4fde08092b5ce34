//! Replaces: the dialog that a new INVITE takes over (RFC 3891).

use bytes::Bytes;

use super::{CallId, Header, HeaderName, Shape};
use crate::sip::grammar::{Step, stop, whole};
use crate::sip::{Params, ParseFault, Rule, Token};

/// A dialog named by its Call-ID and tags.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Replaces {
    /// Call-ID of the dialog.
    pub call_id: CallId,
    /// Tag on the side of the receiver of Replaces; `0` may stand for no tag (RFC 3891 §3).
    pub to_tag: Token,
    /// Tag on the other side.
    pub from_tag: Token,
    /// Whether only an early dialog may be replaced.
    pub early_only: bool,
    /// Further parameters.
    pub params: Params,
}

impl Replaces {
    fn parser<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Self> {
        let end = input
            .iter()
            .position(|octet| matches!(octet, b';' | b' ' | b'\t' | b','))
            .unwrap_or(input.len());
        let (call_id, rest) = input.split_at(end);
        let Ok(call_id) = CallId::new(source.slice_ref(call_id)) else {
            return stop(input, Rule::Token);
        };
        let (after, mut params) = Params::parser(source, rest)?;
        let tag = |params: &Params, name| {
            params
                .value(name)
                .and_then(|tag| Token::parse(tag.clone()).ok())
        };
        let (Some(to_tag), Some(from_tag)) = (tag(&params, "to-tag"), tag(&params, "from-tag"))
        else {
            return stop(rest, Rule::Missing);
        };
        let early_only = params.remove("early-only");
        params.remove("to-tag");
        params.remove("from-tag");
        Ok((
            after,
            Self {
                call_id,
                to_tag,
                from_tag,
                early_only,
                params,
            },
        ))
    }
}

impl Header for Replaces {
    const NAME: HeaderName = HeaderName::Replaces;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Replaces", text, |input| Self::parser(text, input))
    }

    fn emit(&self, out: &mut Vec<u8>) {
        self.call_id.emit(out);
        out.extend_from_slice(b";to-tag=");
        out.extend_from_slice(self.to_tag.as_bytes());
        out.extend_from_slice(b";from-tag=");
        out.extend_from_slice(self.from_tag.as_bytes());
        if self.early_only {
            out.extend_from_slice(b";early-only");
        }
        self.params.emit(out);
    }
}
