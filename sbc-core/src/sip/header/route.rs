//! Route sets: Route, Record-Route, Path and Service-Route (RFC 3261 §20.30, §20.34).

use super::address_headers;

address_headers! {
    /// A hop that the request still has to visit.
    Route, List;
    /// A hop that wants to stay on the path of the dialog.
    RecordRoute, List;
    /// A hop on the way to a registered contact (RFC 3327).
    Path, List;
    /// A hop on the way out that a registrar prescribes (RFC 3608).
    ServiceRoute, List;
}

/// Whether a hop of a route set is a loose router, `;lr` (RFC 3261 §19.1.1).
fn is_loose(address: &crate::sip::Address) -> bool {
    address
        .uri()
        .params()
        .is_some_and(|params| params.has("lr"))
}

impl Route {
    /// Whether the hop is a loose router, `;lr`.
    pub fn is_loose(&self) -> bool {
        is_loose(self)
    }
}

impl RecordRoute {
    /// Whether the hop is a loose router, `;lr`.
    pub fn is_loose(&self) -> bool {
        is_loose(self)
    }
}
