//! Target-Dialog: the dialog that a request outside of it is about (RFC 4538).

use bytes::Bytes;

use super::{CallId, Header, HeaderName, Shape};
use crate::sip::grammar::{Step, stop, whole};
use crate::sip::{Params, ParseFault, Rule, Token};

/// A dialog named by who sends the request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TargetDialog {
    /// Call-ID of the dialog.
    pub call_id: CallId,
    /// Tag of the sender.
    pub local_tag: Token,
    /// Tag of the receiver.
    pub remote_tag: Token,
    /// Further parameters.
    pub params: Params,
}

impl TargetDialog {
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
            let tag = params.value(name)?;
            Token::parse(tag.clone()).ok()
        };
        let tags = (tag(&params, "local-tag"), tag(&params, "remote-tag"));
        let (Some(local_tag), Some(remote_tag)) = tags else {
            return stop(rest, Rule::Missing);
        };
        params.remove("local-tag");
        params.remove("remote-tag");
        Ok((
            after,
            Self {
                call_id,
                local_tag,
                remote_tag,
                params,
            },
        ))
    }
}

impl Header for TargetDialog {
    const NAME: HeaderName = HeaderName::TargetDialog;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Target-Dialog", text, |input| Self::parser(text, input))
    }

    fn emit(&self, out: &mut Vec<u8>) {
        self.call_id.emit(out);
        out.extend_from_slice(b";local-tag=");
        out.extend_from_slice(self.local_tag.as_bytes());
        out.extend_from_slice(b";remote-tag=");
        out.extend_from_slice(self.remote_tag.as_bytes());
        self.params.emit(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<TargetDialog, ParseFault> {
        TargetDialog::parse(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn both_tags_are_needed_and_nothing_may_follow() {
        let read = parse("a@b ; REMOTE-TAG=2;x=y;local-tag=1").expect("a dialog");
        assert_eq!(read.to_bytes(), "a@b;local-tag=1;remote-tag=2;x=y");
        for broken in [
            "",
            "a",
            "a;local-tag=1",
            "a;remote-tag=1",
            "a;local-tag=1;remote-tag=2, b",
        ] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
