//! Answers without a transaction, for requests that must cost next to nothing.

use crate::cause::CauseCode;
use crate::config::{Config, Preset, ReasonForm, Trunk};
use crate::effect::{Effect, Effects};
use crate::policy::header::fixed;
use crate::policy::{ingress, response};
use crate::sip::header::{Header, Reason};
use crate::sip::{HeaderName, Message, Method, RequestHead, ResponseBuilder, Status, Token};
use crate::tally::TrunkTally;
use crate::transaction::Manners;
use crate::transport::via::{ResponseTarget, datagram_target, note_source};
use crate::transport::{Flow, Hop, Protocol};
use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The header that names our cause.
const CAUSE: &str = "X-SBC-Cause";

/// Answers a request that gets no transaction (RFC 3261 §8.2.7).
pub(super) fn answer_statelessly(
    config: &Config,
    flow: &Flow,
    status: Status,
    head: &mut RequestHead,
    out: &mut Effects,
) {
    // Whose it is may not be known: all that Teams uses are alike in this.
    let mut trunks = config.trunks.values();
    let teams = trunks
        .find(|trunk| trunk.preset == Preset::Teams && ingress::admits_flow(config, trunk, flow));
    let lines = teams.map(|trunk| lines_of(config, trunk, head, status));
    answer_with(flow, status, head, &lines.unwrap_or_default(), out);
}

/// The same to a trunk that is known.
pub(super) fn answer_without_state(
    (config, trunk): (&Config, &Trunk),
    flow: &Flow,
    status: Status,
    head: &mut RequestHead,
    retry_after_s: Option<u64>,
    out: &mut Effects,
) {
    let line = |seconds: u64| (HeaderName::RetryAfter, Bytes::from(seconds.to_string()));
    let mut lines: Vec<_> = retry_after_s.map(line).into_iter().collect();
    lines.extend(lines_of(config, trunk, head, status));
    let is_call = head.method == Some(Method::Invite) && trunk.habits.tells_cause;
    let cause = CauseCode::before_a_call(status).filter(|_| is_call);
    if let (Some(cause), Ok(name)) = (cause, HeaderName::parse(CAUSE)) {
        lines.push((name, Bytes::from_static(cause.as_str().as_bytes())));
    }
    answer_with(flow, status, head, &lines, out);
}

/// How a trunk's peer is answered before anybody has taken its request.
pub(super) fn manners(config: &Config, trunk: &Trunk, tally: Arc<TrunkTally>) -> Manners {
    Manners {
        merged: trunk.habits.merged,
        lines: who_we_are(config, trunk),
        says_why: says_why(trunk),
        tally: Some(tally),
    }
}

/// Who we are, for Teams, in every response (TDR-OPT-011).
fn who_we_are(config: &Config, trunk: &Trunk) -> Vec<(HeaderName, Bytes)> {
    if trunk.preset != Preset::Teams {
        return Vec::new();
    }
    let server = config.node.product(trunk);
    let server = server.map(|own| (HeaderName::Server, Bytes::from(own.to_owned())));
    let fixed = fixed(trunk).map(|(name, value)| (name, Bytes::from(value.to_owned())));
    server.into_iter().chain(fixed).collect()
}

fn says_why(trunk: &Trunk) -> bool {
    trunk.preset == Preset::Teams && trunk.habits.reason == ReasonForm::Q850
}

/// Why Teams is refused a call before it is one, in terms of Q.850 (Annex B of our Teams requirements).
pub(super) fn reasons(trunk: &Trunk, method: &Method, status: Status) -> Option<Reason> {
    let cause = response::q850_of(status)?;
    (says_why(trunk) && *method == Method::Invite).then(|| Reason::q850(cause, None))
}

/// Names our cause to a peer that is to know it, where a call is refused before it is one (OPS-002).
pub(super) fn says_cause(
    response: ResponseBuilder,
    trunk: &Trunk,
    request: &Message,
    cause: Option<CauseCode>,
) -> ResponseBuilder {
    let begins_call = *request.method() == Method::Invite && request.to_tag().is_none();
    let cause = cause.filter(|_| begins_call && trunk.habits.tells_cause);
    match (cause, HeaderName::parse(CAUSE)) {
        (Some(cause), Ok(name)) => response.raw_if_valid(name, cause.as_str()),
        _ => response,
    }
}

fn lines_of(
    config: &Config,
    trunk: &Trunk,
    head: &RequestHead,
    status: Status,
) -> Vec<(HeaderName, Bytes)> {
    let mut lines = who_we_are(config, trunk);
    let method = head.method.as_ref();
    let why = method.and_then(|method| reasons(trunk, method, status));
    lines.extend(why.map(|why| (HeaderName::Reason, why.to_bytes())));
    lines
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
