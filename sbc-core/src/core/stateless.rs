//! Answers without a transaction, for requests that must cost next to nothing.

use crate::effect::{Effect, Effects};
use crate::sip::{HeaderName, RequestHead, ResponseBuilder, Status, Token};
use crate::transport::via::{ResponseTarget, datagram_target, note_source};
use crate::transport::{Flow, Hop, Protocol};
use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Answers a request that gets no transaction (RFC 3261 §8.2.7).
pub(super) fn answer_statelessly(
    flow: &Flow,
    status: Status,
    head: &mut RequestHead,
    out: &mut Effects,
) {
    answer_without_state(flow, status, head, None, out);
}

pub(super) fn answer_without_state(
    flow: &Flow,
    status: Status,
    head: &mut RequestHead,
    retry_after_s: Option<u64>,
    out: &mut Effects,
) {
    let line = |seconds: u64| (HeaderName::RetryAfter, Bytes::from(seconds.to_string()));
    let lines: Vec<_> = retry_after_s.map(line).into_iter().collect();
    answer_with(flow, status, head, &lines, out);
}

/// The same with lines of its own.
pub(super) fn answer_with(
    flow: &Flow,
    status: Status,
    head: &mut RequestHead,
    lines: &[(HeaderName, Bytes)],
    out: &mut Effects,
) {
    let tag = stateless_tag(head);
    let Some(via) = &mut head.via else { return };
    note_source(via, flow.remote);
    let remote = match (flow.protocol, datagram_target(via)) {
        (Protocol::Udp, ResponseTarget::Address(remote)) => remote,
        (Protocol::Udp, ResponseTarget::Resolve { .. }) | (Protocol::Tcp | Protocol::Tls, _) => {
            flow.remote
        }
    };
    let response = ResponseBuilder::to_head(head, status, Some(&tag));
    let response = lines.iter().fold(response, |response, (name, value)| {
        response.raw_if_valid(name, value)
    });
    let bytes = response.build();
    let hop = Hop {
        listener: flow.listener.clone(),
        protocol: flow.protocol,
        remote,
        tls: None,
        flow: Some(flow.id),
    };
    out.push(Effect::Send {
        hop,
        bytes,
        transaction: None,
        call: None,
    });
}

/// The tag of an answer without state: the same whenever the same request comes again. It begins as
/// no other tag of ours does.
pub(super) fn stateless_tag(head: &RequestHead) -> Token {
    let mut hasher = DefaultHasher::new();
    let branch = head.via.as_ref().and_then(|via| via.branch().cloned());
    (branch, &head.from, &head.call_id, &head.cseq).hash(&mut hasher);
    Token::from_minted(format!("0{:016x}", hasher.finish()))
}

/// Whether a tag is that of an answer without state. The ACK for such an answer has nothing to end.
pub(super) fn is_stateless_tag(tag: &[u8]) -> bool {
    tag.len() == 17 && tag.first() == Some(&b'0') && tag.iter().all(u8::is_ascii_hexdigit)
}
