//! Challenges of a peer that the other party of its call answers, where the peer's trunk names their realms (`relay_auth`): they
//! reach that party as they are, and what it shows for one of these realms reaches the peer that asks in it. Nothing else does:
//! a proof for one realm is a gift to every other peer that wants to guess the password. That is so for INVITEs that make
//! calls and for what one party asks of the other within them.

use crate::auth::{Asker, Credentials};
use crate::config::{Preset, Trunk};
use crate::policy::header::is_passable;
use crate::sip::header::{
    AuthParams, Authorization, Header, ProxyAuthenticate, ProxyAuthorization, WwwAuthenticate,
};
use crate::sip::{HeaderName, Message, Status};
use bytes::Bytes;

/// Whether the peer of a trunk asks parties behind another itself.
pub fn asks(from: &Trunk, to: &Trunk) -> bool {
    !realms(from, to).is_empty()
}

/// The realms in which the peer of a trunk asks parties behind another itself. Teams answers no challenges, and where we have an
/// account it is ours that is asked for.
fn realms<'t>(from: &Trunk, to: &'t Trunk) -> &'t [String] {
    match to.digest.is_none() && from.preset == Preset::Carrier {
        true => &to.habits.relay_auth,
        false => &[],
    }
}

/// What a caller shows to the peer of a trunk.
pub fn credentials(request: &Message, from: &Trunk, to: &Trunk) -> Credentials {
    Credentials::shown(proofs(request, from, to))
}

/// The lines of a request that show something to the peer of a trunk.
pub fn proofs(request: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let names = [Asker::Server, Asker::Proxy].map(Asker::credentials);
    lines(request, names, realms(from, to))
}

/// The challenges of a response that the party behind `from` is to answer.
pub fn challenges(response: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    if !response.status().is_some_and(Status::is_challenge) {
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
        _ => return None,
    };
    let values = response.raw_all(&name);
    let values = values.filter(|value| is_passable(value)).take(MOST);
    Some(values.map(|value| (name.clone(), value)).collect())
}

/// Most lines of either kind that are passed on.
const MOST: usize = 4;
