//! Challenges of a called side that its caller answers, where the trunk to it says so (`relay_auth`): they reach the
//! caller as they are, and what the caller shows reaches whoever has asked. What is asked for in a realm of ours is shown to
//! us alone.

use crate::auth::{Asker, Credentials};
use crate::config::{Config, Preset, Trunk};
use crate::policy::header::is_passable;
use crate::sip::header::{Authorization, Header};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// Whether the peer of a trunk asks callers of another itself. Teams answers no challenges, and where we have an account
/// it is ours that is asked for.
pub(crate) fn is_relayed(from: &Trunk, to: &Trunk) -> bool {
    to.habits.relay_auth && to.digest.is_none() && from.preset == Preset::Carrier
}

/// What a caller shows to the peer of a trunk.
pub fn credentials(request: &Message, config: &Config, from: &Trunk, to: &Trunk) -> Credentials {
    if !is_relayed(from, to) {
        return Credentials::default();
    }
    let is_ours = |realm: &Bytes| {
        let mut trunks = config.trunks.values();
        trunks.any(|own| {
            let own = own.authenticate.as_ref();
            own.is_some_and(|own| own.realm().as_bytes() == realm)
        })
    };
    let lines = [Asker::Server, Asker::Proxy].map(Asker::credentials);
    let lines = lines.into_iter().flat_map(|name| {
        let values = request.lines(name.clone()).map(|line| line.value());
        let values = values.take(MOST).collect::<Vec<_>>();
        values.into_iter().map(move |value| (name.clone(), value))
    });
    let lines = lines.filter(|(_, value)| {
        let shown = Authorization::parse(value)
            .ok()
            .filter(|_| is_passable(value));
        shown.is_some_and(|shown| shown.0.value("realm").is_some_and(|realm| !is_ours(realm)))
    });
    Credentials::shown(lines.collect())
}

/// The challenges of a response that the caller is to answer.
pub fn challenges(response: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let asks = response
        .status()
        .is_some_and(|status| matches!(status.code(), 401 | 407));
    if !asks || !is_relayed(from, to) {
        return Vec::new();
    }
    let names = [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate];
    let lines = response.headers().map(|line| (line.name(), line.value()));
    let lines = lines.filter(|(name, value)| names.contains(name) && is_passable(value));
    lines.take(MOST).collect()
}

/// Most lines of either kind that are passed on.
const MOST: usize = 4;
