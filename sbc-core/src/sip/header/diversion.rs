//! Diversion: who forwarded the call before it came here (RFC 5806).

use bytes::Bytes;

use super::address_headers;
use crate::sip::grammar::octets_as_str;

address_headers! {
    /// One diversion; the topmost is the latest.
    Diversion, List;
}

impl Diversion {
    /// Why, such as `unconditional` or `user-busy`.
    pub fn reason(&self) -> Option<&Bytes> {
        self.params.value("reason")
    }

    /// How many diversions this value stands for, 1 unless it says otherwise.
    pub fn counter(&self) -> u32 {
        self.params
            .value("counter")
            .and_then(|text| octets_as_str(text).parse().ok())
            .unwrap_or(1)
    }

    /// What the diverting party wants hidden, such as `full`.
    pub fn privacy(&self) -> Option<&Bytes> {
        self.params.value("privacy")
    }
}
