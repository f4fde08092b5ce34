//! Matching of messages to transactions: RFC 3261 §17.1.3 and §17.2.3, with the RFC 2543 fallback.

use crate::sip::header::{CSeq, From, Header, To, Via};
use crate::sip::{HeaderName, Host, Message, Method};
use bytes::Bytes;

/// Key of a server transaction: octets that are equal for every message of it.
pub(super) type ServerKey = Vec<u8>;

/// Key of a client transaction: our branch and the method of CSeq.
pub(super) type ClientKey = (Bytes, Method);

/// The server transaction that a request belongs to if it were of method `as_method`: an ACK is
/// matched as INVITE, and a CANCEL finds its target the same way (SIP-200).
pub(super) fn server_key(message: &Message, as_method: &Method) -> Option<ServerKey> {
    let via = message.top_via().ok()?;
    match via.transaction_branch() {
        Some(branch) => {
            let mut key = joined(&[branch, method_name(as_method)]);
            push_sent_by(&mut key, via);
            Some(key)
        }
        None => old_key(message, via, as_method),
    }
}

/// RFC 2543 matching. The To tag is left out for INVITE and its ACK, because the ACK carries the tag
/// of our response. A branch counts if there is one: old proxies tell forks apart by it.
fn old_key(message: &Message, via: &Via, as_method: &Method) -> Option<ServerKey> {
    let from = message.essential::<From>().ok()??;
    let to = message.essential::<To>().ok()??;
    let cseq = message.essential::<CSeq>().ok()??.number.to_string();
    let to_tag = match as_method {
        Method::Invite | Method::Ack => Bytes::new(),
        _ => to.tag().cloned().unwrap_or_default(),
    };
    let mut key = joined(&[
        &message.request_uri(),
        &from.tag().cloned().unwrap_or_default(),
        &to_tag,
        &message.raw(HeaderName::CallId)?,
        cseq.as_bytes(),
        &via.branch().cloned().unwrap_or_default(),
        method_name(as_method),
    ]);
    push_sent_by(&mut key, via);
    Some(key)
}

/// What two requests share that are one request on two ways (RFC 3261 §8.2.2.2); nothing for
/// requests within a dialog, and for CANCEL, which is hop by hop: a proxy that forked to two of our
/// addresses cancels both branches.
pub(super) fn merge_key(message: &Message) -> Option<ServerKey> {
    if *message.method() == Method::Cancel {
        return None;
    }
    let to = message.essential::<To>().ok()??;
    if to.tag().is_some() {
        return None;
    }
    let from = message.essential::<From>().ok()??;
    let cseq = message.essential::<CSeq>().ok()??.number.to_string();
    Some(joined(&[
        &from.tag().cloned().unwrap_or_default(),
        &message.raw(HeaderName::CallId)?,
        cseq.as_bytes(),
        method_name(message.method()),
    ]))
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
    let line = request.split(|octet| *octet == b'\n').nth(1)?;
    let value = line.strip_prefix(b"Via: ")?.strip_suffix(b"\r")?;
    let via = Via::parse(&request.slice_ref(value)).ok()?;
    let port = via.sent_by_port();
    Some(SentBy {
        host: via.host,
        port,
    })
}

/// Whether a response has come to its end with us: what still has another Via below ours was not
/// asked by us (RFC 3261 §8.1.3.3).
pub(super) fn has_one_via(response: &Message) -> bool {
    let mut lines = response.lines(HeaderName::Via);
    match (lines.next(), lines.next()) {
        (Some(line), None) => {
            let value = line.value();
            memchr::memchr(b',', &value).is_none()
                || response.list::<Via>().is_ok_and(|vias| vias.len() == 1)
        }
        _ => false,
    }
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

/// Appends `sent-by`; names are equal without regard to case. Last in a key, it needs no length.
fn push_sent_by(key: &mut ServerKey, via: &Via) {
    key.extend_from_slice(&via.sent_by_port().to_be_bytes());
    match &via.host {
        Host::Name(name) => key.extend(name.as_bytes().iter().map(u8::to_ascii_lowercase)),
        Host::V4(address) => key.extend_from_slice(&address.octets()),
        Host::V6(address) => key.extend_from_slice(&address.octets()),
    }
}

/// Parts with their lengths in front, so that no two lists of parts are one key.
fn joined(parts: &[&[u8]]) -> ServerKey {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum::<usize>() + 18);
    for part in parts {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(part);
    }
    key
}
