//! Where figures are served: `[metrics]`.

use super::RevokedFiles;
use crate::id::TlsContextName;
use std::net::SocketAddr;

/// Most series of a scrape where nothing is written.
pub const MOST_SERIES: usize = 50_000;

/// Where figures are served, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetricsListen {
    /// Where they are asked for.
    pub address: SocketAddr,
    /// The identity whose certificate is shown, with TLS 1.3; `None` serves them in clear.
    pub tls: Option<TlsContextName>,
    /// PEM file with the roots of those who may ask, who must show a certificate then; `None` answers everybody.
    pub client_ca: Option<String>,
    /// Lists of what these have revoked; `None` looks at none.
    pub revoked: Option<RevokedFiles>,
    /// Most series of a scrape; further ones are left out.
    pub max_series: usize,
}

impl MetricsListen {
    /// Whether it is served in another way than this one.
    pub(super) fn is_elsewhere(&self, other: &Self) -> bool {
        let place = |own: &Self| {
            let Self {
                address,
                tls,
                client_ca,
                revoked,
                max_series: _,
            } = own.clone();
            (address, tls, client_ca, revoked)
        };
        place(self) != place(other)
    }
}
