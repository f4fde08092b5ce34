//! Calls to `sips` URIs: whoever asks for security at every hop gets it at ours, or no call (SIP-134,
//! RFC 5630 §5.3).
//!
//! Secure is a trunk all of whose listeners speak TLS: nothing can reach its peer in another way, not
//! even what DNS or a redirection says. How its URIs are written is the trunk's own matter: peers exist
//! that know TLS and no `sips`, Microsoft's among them.

use crate::cause::{Because, CauseCode};
use crate::config::{Config, Habits, Trunk, UriScheme};
use crate::policy::Refusal;
use crate::sip::{Message, Status, Uri};
use crate::transport::Protocol;
use crate::trouble::Trouble;
use std::sync::Arc;

/// The text of the Warning with code 380 that a refusal carries (RFC 5630 §6.3).
pub const WARNING: &str = "SIPS Not Allowed";

/// Whether a URI asks for security at every hop.
pub fn is_sips(uri: &Uri) -> bool {
    uri.as_sip().is_some_and(|uri| uri.is_sips)
}

/// Whether a request asks for security at every hop.
pub fn is_asked(request: &Message) -> bool {
    let uri = request.request_uri();
    let scheme = uri.get(..5);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}

/// Those of the trunks that keep a call secure.
pub fn kept(config: &Config, mut trunks: Vec<Arc<Trunk>>) -> Result<Vec<Arc<Trunk>>, Refusal> {
    trunks.retain(|trunk| is_secure(config, trunk));
    match trunks.is_empty() {
        false => Ok(trunks),
        true => Err(Refusal {
            status: Status::TEMPORARILY_UNAVAILABLE,
            cause: CauseCode::NoRoute,
            because: Because::of("the caller wants security at every hop, and no way has TLS")
                .named(Trouble::NoSecureRoute),
        }),
    }
}

/// Whether a refusal is that of [`kept`], which tells why.
pub fn is_reason(request: &Message, status: Status, cause: CauseCode) -> bool {
    (status, cause) == (Status::TEMPORARILY_UNAVAILABLE, CauseCode::NoRoute) && is_asked(request)
}

/// The trunk of who asked for security, as it is written to in this call: with `sips` alone
/// (RFC 3261 §12.1.1).
pub fn answering(trunk: &Arc<Trunk>) -> Arc<Trunk> {
    match trunk.habits.uri_scheme {
        UriScheme::Sips => Arc::clone(trunk),
        UriScheme::Sip => Arc::new(Trunk {
            habits: Habits {
                uri_scheme: UriScheme::Sips,
                ..trunk.habits.clone()
            },
            ..(**trunk).clone()
        }),
    }
}

fn is_secure(config: &Config, trunk: &Trunk) -> bool {
    let mut listeners = trunk.listeners.iter();
    listeners.all(|name| {
        let listener = config.listeners.get(name);
        listener.is_some_and(|listener| listener.protocol == Protocol::Tls)
    })
}
