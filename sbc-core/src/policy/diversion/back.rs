//! History-Info in responses: where a call has been, for the party that asked (RFC 7044 §10.5).

use super::told::Teller;
use super::{Step, Trail};
use crate::config::Config;
use crate::policy::identity::{Rewrites, Towards, Wishes, Writer, our_host};
use crate::policy::number;
use crate::sip::header::{Header, HistoryInfo, OptionTag, Supported};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// Where a call has been before somebody answered.
#[derive(Clone, Copy, Debug)]
pub struct Been<'a> {
    /// As who answers was asked (see [`Trail::as_asked`]).
    pub asked: &'a Trail,
    /// What others have told who were asked before.
    pub heard: &'a [Step],
}

/// History-Info of a response of one leg, as the other leg's response says it: to a trunk that keeps
/// such lists, if the request brought one or its sender says that it understands them: what we have sent
/// with the call, what this response tells, and what others have told before. `towards` goes from the leg
/// that answers to the one that asked.
pub fn carried(
    request: &Message,
    response: Option<&Message>,
    config: &Config,
    towards: Towards<'_>,
    been: Been<'_>,
) -> Vec<(HeaderName, Bytes)> {
    if !(towards.to.history.is_kept() && is_asked(request)) {
        return Vec::new();
    }
    let below = response.map_or_else(Vec::new, |response| told_by(response, been.asked));
    let trail = been.asked.clone().with(been.heard).with(&below);
    let (from, to) = (&towards.from.name, &towards.to.name);
    let rewrite = |number: &str| number::transform_redirecting_through(config, from, to, number);
    let writer = Writer {
        user_phone: towards.to.uri.user_phone,
        our_host: our_host(towards.to, towards.listener),
        params: &[],
        rewrites: Rewrites {
            calling: &rewrite,
            redirecting: &rewrite,
        },
    };
    let teller = Teller {
        privacy: response.map(Wishes::of).unwrap_or_default(),
        leaves_trust: !towards.is_within_trust() && !towards.is_emergency,
        is_trusted: towards.to.trusted || towards.is_emergency,
        writer: &writer,
    };
    let lines = teller.history(&trail);
    let lines = lines
        .iter()
        .map(|entry| (HeaderName::HistoryInfo, entry.to_bytes()));
    lines.collect()
}

/// What a response tells of where the call has been, at its places in the trail that we sent.
pub fn told_by(response: &Message, asked: &Trail) -> Vec<Step> {
    let entries: Vec<HistoryInfo> = response.list().unwrap_or_default();
    let called = asked.called.as_ref();
    let told = called.map(|called| Trail::of(&entries, Vec::new(), called));
    told.map_or_else(Vec::new, |told| asked.below(&told))
}

/// Whether who sent a request wants to be told: it brought a list, or says that it understands them.
pub fn is_asked(request: &Message) -> bool {
    if request.has(HeaderName::HistoryInfo) {
        return true;
    }
    let tags: Vec<Supported> = request.list().unwrap_or_default();
    tags.iter().any(|tag| tag.is(OptionTag::HISTINFO))
}
