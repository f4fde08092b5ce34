//! Challenges of a called side that its caller answers, where the trunk to it names their realms (`relay_auth`): they reach
//! the caller as they are, and what the caller shows for one of these realms reaches the peer that asks in it. Nothing else
//! does: a proof for one realm is a gift to every other peer that wants to guess the password.

use crate::auth::{Asker, Credentials};
use crate::config::{Preset, Trunk};
use crate::policy::header::is_passable;
use crate::sip::header::{
    AuthParams, Authorization, Header, ProxyAuthenticate, ProxyAuthorization, WwwAuthenticate,
};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// The realms in which the peer of a trunk asks callers of another itself. Teams answers no challenges, and where we have an
/// account it is ours that is asked for.
fn realms<'t>(from: &Trunk, to: &'t Trunk) -> &'t [String] {
    match to.digest.is_none() && from.preset == Preset::Carrier {
        true => &to.habits.relay_auth,
        false => &[],
    }
}

/// What a caller shows to the peer of a trunk.
pub fn credentials(request: &Message, from: &Trunk, to: &Trunk) -> Credentials {
    let names = [Asker::Server, Asker::Proxy].map(Asker::credentials);
    Credentials::shown(lines(request, names, realms(from, to)))
}

/// The challenges of a response that the caller is to answer.
pub fn challenges(response: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let asks = response
        .status()
        .is_some_and(|status| matches!(status.code(), 401 | 407));
    if !asks {
        return Vec::new();
    }
    let names = [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate];
    lines(response, names, realms(from, to))
}

/// The lines of these names that are of one of the realms, at most [`MOST`] of either.
fn lines(message: &Message, names: [HeaderName; 2], realms: &[String]) -> Vec<(HeaderName, Bytes)> {
    if realms.is_empty() {
        return Vec::new();
    }
    let is_of = |name: &HeaderName, value: &Bytes| {
        let read = params(name, value).filter(|_| is_passable(value));
        read.is_some_and(|read| {
            let realm = read.value("realm");
            realm.is_some_and(|realm| realms.iter().any(|own| own.as_bytes() == realm))
        })
    };
    let mut found = Vec::new();
    for name in names {
        let values = message.raw_all(&name);
        let values = values.filter(|value| is_of(&name, value)).take(MOST);
        found.extend(values.map(|value| (name.clone(), value)));
    }
    found
}

fn params(name: &HeaderName, value: &Bytes) -> Option<AuthParams> {
    match name {
        HeaderName::WwwAuthenticate => WwwAuthenticate::parse(value).map(|own| own.0),
        HeaderName::ProxyAuthenticate => ProxyAuthenticate::parse(value).map(|own| own.0),
        HeaderName::ProxyAuthorization => ProxyAuthorization::parse(value).map(|own| own.0),
        _ => Authorization::parse(value).map(|own| own.0),
    }
    .ok()
}

/// What of a refusal the caller needs to ask again: a proof holds for one request, so we cannot repeat it in its place
/// otherwise than it was asked. Nothing where that is no such refusal.
pub fn asked_otherwise(response: &Message) -> Option<Vec<(HeaderName, Bytes)>> {
    let name = match response.status()?.code() {
        420 => HeaderName::Unsupported,
        422 => HeaderName::MinSe,
        _ => return None,
    };
    let values = response.raw_all(&name);
    let values = values.filter(|value| is_passable(value)).take(MOST);
    Some(values.map(|value| (name.clone(), value)).collect())
}

/// Most lines of either kind that are passed on.
const MOST: usize = 4;
