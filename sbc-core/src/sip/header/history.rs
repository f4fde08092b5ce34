//! History-Info: the targets a request has had (RFC 7044, RFC 4244).

use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::octets_as_str;
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
    let begin = memchr::memchr(b'<', text)?;
    let begin = begin + memchr::memchr(b'?', text.get(begin..)?)?;
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
