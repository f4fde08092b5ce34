//! P-Asserted-Identity and P-Preferred-Identity: who calls, said by or to a trusted network
//! (RFC 3325); and Remote-Party-ID, which said it before there was an RFC.

use super::address_headers;

address_headers! {
    /// Who calls, asserted by a trusted element. At most one `sip` or `sips` and one `tel` URI
    /// (RFC 3325 §9.1).
    PAssertedIdentity, List;
    /// Who the user agent would like to be.
    PPreferredIdentity, List;
    /// An identity that a registrar has for us (RFC 3455 §4.1).
    PAssociatedUri, List;
    /// One party of a call with `party`, `screen` and `privacy`; calling if it does not say.
    RemotePartyId, List;
}
