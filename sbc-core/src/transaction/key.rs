//! Matching of messages to transactions: RFC 3261 §17.1.3 and §17.2.3, with the RFC 2543 fallback.

use crate::hashed::{Digest, Secret};
use crate::sip::header::{CSeq, CallId, From, To, Via};
use crate::sip::{HeaderName, Host, Message, Method};
use bytes::Bytes;
use std::net::IpAddr;

/// Key of a server transaction, equal for every message of it.
pub(super) type ServerKey = u128;

/// Key of a client transaction: our branch and the method of CSeq.
pub(super) type ClientKey = (Bytes, Method);

/// The server transaction that a request belongs to if it were of method `as_method`: an ACK is
/// matched as INVITE, and a CANCEL finds its target the same way (SIP-200).
pub(super) fn server_key(
    secret: Secret,
    message: &Message,
    as_method: &Method,
) -> Option<ServerKey> {
    let via = message.top_via().ok()?;
    match via.transaction_branch() {
        Some(branch) => {
            let mut key = secret.digest();
            key.part(branch);
            key.part(method_name(as_method));
            add_sent_by(&mut key, via);
            Some(key.finish())
        }
        None => old_key(secret, message, via, as_method),
    }
}

/// RFC 2543 matching. The To tag is left out for INVITE and its ACK, because the ACK carries the tag
/// of our response. A branch counts if there is one: old proxies tell forks apart by it.
fn old_key(secret: Secret, message: &Message, via: &Via, as_method: &Method) -> Option<ServerKey> {
    let from = message.essential::<From>().ok()??;
    let to = message.essential::<To>().ok()??;
    let to_tag = match as_method {
        Method::Invite | Method::Ack => None,
        _ => to.tag(),
    };
    let mut key = secret.digest();
    key.part(&message.request_uri());
    key.part(octets(from.tag()));
    key.part(octets(to_tag));
    key.part(&message.raw(HeaderName::CallId)?);
    key.number(message.essential::<CSeq>().ok()??.number);
    key.part(octets(via.branch()));
    key.part(method_name(as_method));
    add_sent_by(&mut key, via);
    Some(key.finish())
}

/// What two requests share that are one request on two ways (RFC 3261 §8.2.2.2); nothing for
/// requests within a dialog, and for CANCEL, which is hop by hop: a proxy that forked to two of our
/// addresses cancels both branches.
pub(super) fn merge_key(secret: Secret, message: &Message) -> Option<ServerKey> {
    if *message.method() == Method::Cancel || message.to_tag().is_some() {
        return None;
    }
    message.essential::<To>().ok()??;
    let from = message.essential::<From>().ok()??;
    let mut key = secret.digest();
    key.part(octets(from.tag()));
    key.part(message.essential::<CallId>().ok()??.as_bytes());
    key.number(message.essential::<CSeq>().ok()??.number);
    key.part(method_name(message.method()));
    Some(key.finish())
}

/// Whom a Via names as its sender.
#[derive(Clone, Debug)]
pub(super) struct SentBy {
    host: Host,
    port: u16,
}

impl SentBy {
    /// Whether a Via names the same, in whatever spelling.
    pub(super) fn is_of(&self, via: &Via) -> bool {
        let is_same_host = match (self.host.ip(), via.host.ip()) {
            (Some(one), Some(two)) => one.to_canonical() == two.to_canonical(),
            _ => self.host.is(&via.host),
        };
        is_same_host && self.port == via.sent_by_port()
    }
}

/// What a request of ours says, whose topmost Via is its first header.
pub(super) fn own_sent_by(request: &Bytes) -> Option<SentBy> {
    let value = request.get(memchr::memchr(b'\n', request)? + 1..)?;
    let value = value.strip_prefix(b"Via: ")?;
    let value = value.get(..memchr::memchr2(b';', b'\r', value)?)?;
    let via = Via::bare(&request.slice_ref(value))?;
    Some(SentBy {
        port: via.sent_by_port(),
        host: via.host,
    })
}

/// Key of a request of ours, of which only the start is known.
pub fn own_key(start: &Bytes) -> Option<(Bytes, Method)> {
    let mut lines = start.split(|octet| *octet == b'\n');
    let method = lines.next()?.split(|octet| *octet == b' ').next()?;
    let via = lines.next()?.strip_prefix(b"Via: ")?;
    // What ends at an end of ours might have gone on: then it is not known.
    let from = memchr::memmem::find(via, b";branch=")? + b";branch=".len();
    let branch = via.get(from..)?;
    let branch = branch.get(..memchr::memchr2(b';', b'\r', branch)?)?;
    let method = Method::parse(start.slice_ref(method)).ok()?;
    Some((start.slice_ref(branch), method))
}

/// Whether a response has come to its end with us: what still has another Via below ours was not
/// asked by us (RFC 3261 §8.1.3.3).
pub(super) fn has_one_via(response: &Message) -> bool {
    response.has_one_value(&HeaderName::Via)
        || response.list::<Via>().is_ok_and(|vias| vias.len() == 1)
}

/// The client transaction that a response belongs to (SIP-201).
pub(super) fn client_key(response: &Message) -> Option<ClientKey> {
    let via = response.top_via().ok()?;
    Some((via.transaction_branch()?.clone(), response.method().clone()))
}

fn method_name(method: &Method) -> &[u8] {
    match method {
        Method::Ack => Method::Invite.as_str().as_bytes(),
        other => other.as_str().as_bytes(),
    }
}

fn octets(text: Option<&Bytes>) -> &[u8] {
    text.map_or(&[], |text| text)
}

/// Adds `sent-by`; names are equal without regard to case.
fn add_sent_by(key: &mut Digest, via: &Via) {
    key.number(u32::from(via.sent_by_port()));
    match &via.host {
        Host::Name(name) if name.as_bytes().iter().any(u8::is_ascii_uppercase) => {
            key.part(&name.as_bytes().to_ascii_lowercase());
        }
        Host::Name(name) => key.part(name.as_bytes()),
        Host::V4(address) => key.address(IpAddr::V4(*address)),
        Host::V6(address) => key.address(IpAddr::V6(*address)),
    }
}
