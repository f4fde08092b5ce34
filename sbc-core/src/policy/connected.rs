//! Who answered: the connected party's identity, for the caller (SIP-1005).

use crate::config::Config;
use crate::policy::identity::{self, Asserted, Towards, Wishes};
use crate::policy::number;
use crate::sip::header::{Header, PAssertedIdentity};
use crate::sip::{HeaderName, Message, NameAddr, Uri};
use bytes::Bytes;

/// P-Asserted-Identity and Privacy of a response of one leg, as the other leg's response says it:
/// only where both are in the trust domain, with our names and the transforms of both trunks.
/// `towards` goes from the leg that answered to the one that asked.
pub fn carried(
    message: &Message,
    config: &Config,
    towards: Towards<'_>,
) -> Vec<(HeaderName, Bytes)> {
    if !message.has(HeaderName::PAssertedIdentity) {
        return Vec::new();
    }
    let asserted = identity::asserted_by(message);
    lines(
        &asserted,
        Wishes::of(message).hides_connected(),
        config,
        towards,
    )
}

/// Who a party is, for From within the dialog of another party that reads it there (RFC 4916): in the
/// trust domain only, and not of who wants to be hidden. The host is that of the dialog.
pub fn name(
    asserted: &[Asserted],
    hides: bool,
    config: &Config,
    towards: Towards<'_>,
) -> Option<NameAddr> {
    if hides || !towards.is_within_trust() {
        return None;
    }
    let mut values = written(asserted, config, towards).into_iter();
    let value = values.find(|value| matches!(value.uri(), Uri::Sip(_)))?;
    Some(value.0.addr)
}

fn written(asserted: &[Asserted], config: &Config, towards: Towards<'_>) -> Vec<PAssertedIdentity> {
    let (from, to) = (&towards.from.name, &towards.to.name);
    let rewrite = |number: &str| number::transform_calling_through(config, from, to, number);
    identity::asserted_anew(asserted, towards, &rewrite)
}

/// As [`carried`], of what is known of a party already. `hides` says that it wants to be shown to
/// nobody outside the trust domain.
pub fn lines(
    asserted: &[Asserted],
    hides: bool,
    config: &Config,
    towards: Towards<'_>,
) -> Vec<(HeaderName, Bytes)> {
    if !(towards.is_within_trust() && towards.to.send_asserted) {
        return Vec::new();
    }
    let values = written(asserted, config, towards);
    let mut lines: Vec<(HeaderName, Bytes)> = values
        .iter()
        .map(|value| (HeaderName::PAssertedIdentity, value.to_bytes()))
        .collect();
    if hides && !lines.is_empty() {
        lines.push((HeaderName::Privacy, Bytes::from_static(b"id")));
    }
    lines
}
