//! Contact: where requests of the dialog shall be sent, or `*` in REGISTER (RFC 3261 §20.10).

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{octets_as_str, trim};
use crate::sip::{Address, ParseFault, Uri};

/// One Contact value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Contact {
    /// `*`: every binding, only in REGISTER with `Expires: 0`.
    Star,
    /// An address with `q`, `expires` and further parameters.
    Address(Box<Address>),
}

impl Contact {
    /// The address, unless it is `*`.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Star => None,
            Self::Address(address) => Some(address.as_ref()),
        }
    }

    /// The URI, unless it is `*`.
    pub fn uri(&self) -> Option<&Uri> {
        self.address().map(Address::uri)
    }

    /// The `expires` parameter in seconds, if it is a number.
    pub fn expires_s(&self) -> Option<u32> {
        octets_as_str(self.address()?.params.value("expires")?)
            .parse()
            .ok()
    }

    /// Preference in thousandths, 0–1000; 1000 when absent or not a `qvalue`.
    pub fn q_milli(&self) -> u16 {
        self.address()
            .and_then(|address| address.params.value("q"))
            .and_then(|text| qvalue(octets_as_str(text)))
            .unwrap_or(1000)
    }
}

impl From<Uri> for Contact {
    fn from(uri: Uri) -> Self {
        Self::Address(Box::new(Address::new(uri)))
    }
}

impl From<Address> for Contact {
    fn from(address: Address) -> Self {
        Self::Address(Box::new(address))
    }
}

impl Header for Contact {
    const NAME: HeaderName = HeaderName::Contact;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        match trim(text) {
            b"*" => Ok(Self::Star),
            _ => Address::parse("Contact", text).map(Self::from),
        }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Star => out.push(b'*'),
            Self::Address(address) => address.emit(out),
        }
    }
}

/// `0` to `1` with up to three decimals, in thousandths.
pub(super) fn qvalue(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" | "" if !text.is_empty() => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}
