//! A URI octet by octet as a peer wrote it, for peers that compare text (TDR-XFR-011).

use super::header::Header;
use super::header::ReferTo;
use super::{ParseFault, Uri};
use bytes::Bytes;

/// A URI without headers part that can be read, and its text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WrittenUri {
    uri: Uri,
    text: Bytes,
}

impl WrittenUri {
    /// The URI of a Refer-To value. Its headers part, which may not stand in a Request-URI, is left
    /// out of the text.
    pub fn of_refer_to(value: &Bytes) -> Result<Self, ParseFault> {
        let full = ReferTo::parse(value)?.0.uri().clone();
        let text = enclosed(value, &full).unwrap_or_else(|| full.to_bytes());
        let mut uri = full.clone();
        if let Uri::Sip(sip) = &mut uri {
            sip.clear_headers();
        }
        if uri == full {
            return Ok(Self { uri, text });
        }
        // A question mark may also stand in the user part.
        let cut = memchr::memchr_iter(b'?', &text)
            .map(|at| text.slice(..at))
            .find(|text| Uri::parse(text.clone()).as_ref() == Ok(&uri));
        let text = cut.unwrap_or_else(|| uri.to_bytes());
        Ok(Self { uri, text })
    }

    /// What it says.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// How it is written.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }
}

/// The text of `uri` within a header value.
fn enclosed(value: &Bytes, uri: &Uri) -> Option<Bytes> {
    let is_it = |text: &Bytes| Uri::parse(text.clone()).as_ref() == Ok(uri);
    let bracketed = memchr::memchr_iter(b'<', value).find_map(|open| {
        let rest = value.slice(open + 1..);
        let close = memchr::memchr(b'>', &rest)?;
        let text = rest.slice(..close);
        is_it(&text).then_some(text)
    });
    bracketed.or_else(|| {
        let ends = |octet: &u8| matches!(octet, b';' | b' ' | b'\t');
        let end = value.iter().position(ends).unwrap_or(value.len());
        Some(value.slice(..end)).filter(is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &'static str) -> String {
        let uri = WrittenUri::of_refer_to(&Bytes::from_static(value.as_bytes())).expect("a URI");
        String::from_utf8_lossy(uri.as_bytes()).into_owned()
    }

    #[test]
    fn a_uri_keeps_every_octet_and_loses_its_headers_part() {
        let teams =
            "SIP:sip.PSTNhub.microsoft.com:05061;transport=TLS;x-m=8:orgid:aa%3D;x-tt=Zg%3d%3D";
        assert_eq!(
            written(
                "<SIP:sip.PSTNhub.microsoft.com:05061;transport=TLS;x-m=8:orgid:aa%3D;x-tt=Zg%3d%3D>"
            ),
            teams
        );
        assert_eq!(
            written("\"a <b> c\" <sip:a?b@example.com;x=1?Replaces=1%3Bto-tag%3D2&X=?>;y=2"),
            "sip:a?b@example.com;x=1"
        );
        assert_eq!(
            written("sip:+4930@example.com;method=INVITE"),
            "sip:+4930@example.com"
        );
        assert_eq!(written("<tel:+49-30-1>"), "tel:+49-30-1");
    }

    #[test]
    fn what_cannot_be_read_is_no_uri() {
        for value in ["<sip:>", "<a b>", ""] {
            assert!(WrittenUri::of_refer_to(&Bytes::from_static(value.as_bytes())).is_err());
        }
    }
}
