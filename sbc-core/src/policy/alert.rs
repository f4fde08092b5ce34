//! Alert-Info from one leg to the other: how to ring, never where to fetch a sound (SIP-1330).
//!
//! Nothing that a value names is ever fetched by us. Names of RFC 7462 (`urn:alert:`) say nothing of
//! the other side and cross; addresses cross only where the operator lists the header.

use crate::config::Trunk;
use crate::policy::header::is_passable;
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// Most values that cross.
const MOST: usize = 8;

/// The Alert-Info lines that a leg of this trunk gets although its operator does not list them.
pub fn passed(message: &Message, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let is_listed = |list: &[String]| {
        let name = HeaderName::AlertInfo;
        let mut own = list.iter();
        own.any(|own| own.eq_ignore_ascii_case(name.as_str()))
    };
    let passes_all = is_listed(&to.pass_headers);
    if (passes_all && to.habits.alerts.is_empty()) || is_listed(&to.strip_headers) {
        return Vec::new();
    }
    let lines = message.raw_all(HeaderName::AlertInfo);
    let values = lines.flat_map(|line| values(&line));
    let told = values.filter_map(|value| match mapped(&value, to) {
        Some(own) => Some(own),
        None => {
            let passes = passes_all || is_name(&value);
            (passes && is_passable(&value)).then_some(value)
        }
    });
    told.take(MOST)
        .map(|value| (HeaderName::AlertInfo, value))
        .collect()
}

/// What the peer of this trunk gets instead of a value.
fn mapped(value: &[u8], to: &Trunk) -> Option<Bytes> {
    let uri = value.strip_prefix(b"<")?;
    let uri = uri.get(..uri.iter().position(|octet| *octet == b'>')?)?;
    let mut alerts = to.habits.alerts.iter();
    let (_, own) = alerts.find(|(from, _)| from.as_bytes().eq_ignore_ascii_case(uri))?;
    Some(Bytes::from(own.clone()))
}

/// Whether a value is `<urn:alert:…>`, with parameters or without.
fn is_name(value: &[u8]) -> bool {
    const START: &[u8] = b"<urn:alert:";
    value
        .get(..START.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// The values of a line: commas within `< >` and quotes separate nothing.
pub(super) fn values(line: &Bytes) -> Vec<Bytes> {
    let mut values = Vec::new();
    let (mut begin, mut is_uri, mut is_quoted, mut is_escaped) = (0, false, false, false);
    for (at, octet) in line.iter().enumerate() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match octet {
            b'\\' if is_quoted => is_escaped = true,
            b'"' if !is_uri => is_quoted = !is_quoted,
            b'<' if !is_quoted => is_uri = true,
            b'>' if !is_quoted => is_uri = false,
            b',' if !is_uri && !is_quoted => {
                values.push(trimmed(line, begin, at));
                begin = at + 1;
            }
            _ => {}
        }
    }
    values.push(trimmed(line, begin, line.len()));
    values
}

fn trimmed(line: &Bytes, begin: usize, end: usize) -> Bytes {
    let part = line.get(begin..end).unwrap_or_default();
    Bytes::copy_from_slice(part.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart_where_commas_separate() {
        let line = Bytes::from_static(
            b"<http://h.example/a,b.wav>;x=\"1,\\\"2\" , <urn:alert:source:external>,<URN:Alert:tone>",
        );
        let values = values(&line);
        assert_eq!(values.len(), 3);
        assert_eq!(&values[1][..], b"<urn:alert:source:external>");
        assert!(is_name(&values[1]) && is_name(&values[2]) && !is_name(&values[0]));
    }
}
