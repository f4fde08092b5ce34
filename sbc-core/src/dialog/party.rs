//! One side of a dialog, as every request within it names it: written once, and without the message that it came in.

use crate::sip::header::{From, Header};
use crate::sip::{Address, NameAddr};
use media_api::wire::{Reader, Wire, WireFault, Writer};
use std::ops::Range;

/// Name, URI and tag of one side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Party {
    text: Box<[u8]>,
    /// Where in it the tag is; empty without one (RFC 2543).
    tag: Range<u32>,
}

impl Party {
    /// What From or To says of it.
    pub fn of(address: Address) -> Self {
        let tag = address.params.value("tag").cloned().unwrap_or_default();
        let text = Box::from(&From(address).to_bytes()[..]);
        let found = memchr::memmem::rfind(&text, &tag);
        let begin = found.and_then(|at| u32::try_from(at).ok()).unwrap_or(0);
        let length = match found {
            Some(_) => u32::try_from(tag.len()).unwrap_or(0),
            None => 0,
        };
        Self {
            text,
            tag: begin..begin.saturating_add(length),
        }
    }

    /// The tag; empty if there is none.
    pub fn tag(&self) -> &[u8] {
        let (begin, end) = (self.tag.start as usize, self.tag.end as usize);
        self.text.get(begin..end).unwrap_or_default()
    }

    /// The value of From or To.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The same, taken apart.
    pub fn address(&self) -> Option<Address> {
        let text = bytes::Bytes::copy_from_slice(&self.text);
        Some(From::parse(&text).ok()?.0)
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: NameAddr) {
        if let Some(address) = self.address() {
            *self = Self::of(Address {
                addr: name,
                ..address
            });
        }
    }
}

/// As in any header of addresses.
impl Wire for Party {
    fn put(&self, out: &mut Writer) {
        out.length(self.text.len());
        out.push(&self.text);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Address::take(from).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn address(text: &'static str) -> Address {
        From::parse(&Bytes::from(text)).expect("an address").0
    }

    #[test]
    fn a_party_is_written_as_its_address_and_keeps_name_and_tag() {
        for (text, tag) in [
            ("\"A <b>;tag=x\" <sip:1@h;tag=y>;tag=1;x=\"tag=1;\"", "1"),
            ("<sip:1@h>;Tag=aBc", "aBc"),
            ("<sip:1@h>;x=2", ""),
        ] {
            let party = Party::of(address(text));
            assert_eq!(party.text(), text.as_bytes());
            assert_eq!(party.tag(), tag.as_bytes());
            assert_eq!(party.address(), Some(address(text)));
        }
        let mut party = Party::of(address("\"A\" <sip:1@h>;tag=7"));
        party.rename(address("\"B\" <sip:2@h>").addr);
        assert_eq!(party.text(), b"\"B\" <sip:2@h>;tag=7");
        assert_eq!(party.tag(), b"7");
    }
}
