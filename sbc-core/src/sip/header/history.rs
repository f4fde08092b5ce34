//! History-Info: the targets a request has had (RFC 7044, RFC 4244).

use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{octets_as_str, quoted_octets};
use crate::sip::{Address, ParseFault, Uri};

/// One entry. Reason and Privacy stand escaped in the headers part of its URI.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HistoryInfo(pub Address);

impl HistoryInfo {
    /// The place of the entry in the tree, such as `1.2.1`, as numbers; nothing if it is not one.
    pub fn index(&self) -> Option<Vec<u32>> {
        let text = octets_as_str(self.params.value("index")?);
        text.split('.').map(|number| number.parse().ok()).collect()
    }
}

impl Header for HistoryInfo {
    const NAME: HeaderName = HeaderName::HistoryInfo;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        let what = "History-Info";
        match escaped(text) {
            None => Address::parse(what, text),
            Some(text) => Address::parse(what, &text),
        }
        .map(Self)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        self.0.emit(out);
    }
}

/// The value with the headers part of its URI escaped as it should have been: Teams writes
/// `?Reason=SIP;cause=302;text="Moved"` (TDR-FWD-001). Nothing if there is nothing to mend.
fn escaped(text: &Bytes) -> Option<Bytes> {
    const TO_ESCAPE: [(u8, &[u8]); 4] = [
        (b';', b"%3B"),
        (b'"', b"%22"),
        (b' ', b"%20"),
        (b',', b"%2C"),
    ];
    // A display name and parameters may hold any of these octets within their quotation marks.
    let before = match quoted_octets(text) {
        Ok((rest, _)) => text.len() - rest.len(),
        Err(_) => 0,
    };
    let open = before
        + text
            .get(before..)?
            .iter()
            .position(|o| b"<:;".contains(o))?;
    if text.get(open) != Some(&b'<') {
        return None;
    }
    let begin = open + memchr::memchr2(b'?', b'>', text.get(open..)?)?;
    if text.get(begin) != Some(&b'?') {
        return None;
    }
    let end = begin + memchr::memchr(b'>', text.get(begin..)?)?;
    let part = text.get(begin..end)?;
    let escape = |octet: &u8| TO_ESCAPE.iter().find(|(own, _)| own == octet);
    part.iter().find_map(escape)?;
    let mut out = text.get(..begin)?.to_vec();
    for octet in part {
        match escape(octet) {
            Some((_, escaped)) => out.extend_from_slice(escaped),
            None => out.push(*octet),
        }
    }
    out.extend_from_slice(text.get(end..)?);
    Some(Bytes::from(out))
}

impl Deref for HistoryInfo {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.0
    }
}

impl DerefMut for HistoryInfo {
    fn deref_mut(&mut self) -> &mut Address {
        &mut self.0
    }
}

impl From<Uri> for HistoryInfo {
    fn from(uri: Uri) -> Self {
        Self(Address::new(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_headers_part_of_the_uri_is_mended() {
        let teams =
            "<sip:+493023125001@sbc1.contoso.example?Reason=SIP;cause=302;text=\"Moved\">;index=1";
        let mended = escaped(&Bytes::from(teams)).unwrap();
        assert_eq!(
            mended,
            "<sip:+493023125001@sbc1.contoso.example?Reason=SIP%3Bcause=302%3Btext=%22Moved%22>;index=1"
        );
        for right in [
            "sip:a.example;a=\"?\";b=\">\"",
            "sip:a.example;a=\"<?\";b=\">\"",
            "<sip:a.example>;a=\"?\";b=\">\"",
            "\"a <b?c d>\" <sip:a.example>;index=1",
            "<sip:a.example?Reason=SIP%3Bcause=302>;index=1",
            "<sip:a.example",
            "",
        ] {
            assert_eq!(escaped(&Bytes::from(right)), None, "{right}");
        }
    }
}
