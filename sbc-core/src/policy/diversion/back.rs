//! History-Info in responses: where a call has been, for the party that asked (RFC 7044 §10.5).

use super::Trail;
use super::told::Teller;
use crate::config::{Config, HistoryForm};
use crate::policy::identity::{Rewrites, Towards, Wishes, Writer, our_host};
use crate::policy::number;
use crate::sip::header::{Header, HistoryInfo, OptionTag, Supported};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// History-Info of a response of one leg, as the other leg's response says it: to a trunk that keeps
/// such lists, if the request brought one or its sender says that it understands them. `towards` goes
/// from the leg that answers to the one that asked.
pub fn carried(
    request: &Message,
    response: &Message,
    config: &Config,
    towards: Towards<'_>,
) -> Vec<(HeaderName, Bytes)> {
    let keeps = matches!(
        towards.to.history,
        HistoryForm::HistoryInfo | HistoryForm::Both
    );
    if !keeps || !(request.has(HeaderName::HistoryInfo) || understands(request)) {
        return Vec::new();
    }
    let entries: Vec<HistoryInfo> = response.list().unwrap_or_default();
    let Ok(called) = request.uri() else {
        return Vec::new();
    };
    let trail = Trail::of(&entries, Vec::new(), called);
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
        privacy: Wishes::of(response),
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

fn understands(request: &Message) -> bool {
    let tags: Vec<Supported> = request.list().unwrap_or_default();
    tags.iter().any(|tag| tag.is(OptionTag::HISTINFO))
}
