//! History-Info: the targets a request has had (RFC 7044, RFC 4244).

use super::address_headers;
use crate::sip::grammar::octets_as_str;

address_headers! {
    /// One entry. Reason and Privacy stand escaped in the headers part of its URI.
    HistoryInfo, List;
}

impl HistoryInfo {
    /// The place of the entry in the tree, such as `1.2.1`, as numbers; nothing if it is not one.
    pub fn index(&self) -> Option<Vec<u32>> {
        let text = octets_as_str(self.params.value("index")?);
        text.split('.').map(|number| number.parse().ok()).collect()
    }
}
