//! Sub-codes of Microsoft in words: what Teams means by them, and what to look at first (TDR-ERR-014).
//!
//! They stand as digits, or as the phrase that belongs to them, in the text of a Reason behind a GUID
//! by which Microsoft's support finds the call: `Q.850;cause=1;text="<guid>;<phrase>"`.

use crate::record::Record;
use crate::sip::Message;
use crate::sip::header::{Contact, ReferredBy};

/// One sub-code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SubCode {
    code: u32,
    means: &'static str,
    /// What to look at here; empty where nothing here is the reason.
    look_at: &'static str,
}

const fn of(code: u32, means: &'static str, look_at: &'static str) -> SubCode {
    SubCode {
        code,
        means,
        look_at,
    }
}

/// The published sub-codes.
const TABLE: &[SubCode] = &[
    of(
        1106,
        "our 200 got no ACK that Teams saw",
        "see in the ladder where our ACK went",
    ),
    of(
        10_037,
        "no endpoint of the user is there",
        "where it is so for all, Azure Communication Services may have the trunk's name, too",
    ),
    of(10_140, "the bot is not set up", ""),
    of(10_191, "voicemail is switched off", ""),
    of(10_199, "private calls are switched off", ""),
    of(
        10_202,
        "the call that was to be replaced is gone",
        "the transfer was tried a second time",
    ),
    of(10_320, "the bot cannot be reached", ""),
    of(10_321, "the bot is busy", ""),
    of(
        10_500,
        "routing by location forbids it",
        "compare the trunk's GatewaySiteId",
    ),
    of(10_553, "the bot that records failed", ""),
    of(
        500_001,
        "no answer within FailoverTimeSeconds",
        "the carrier was slow: raise it to 20",
    ),
    of(
        510_412,
        "the called number is malformed",
        "send +E.164: see transforms of the trunk",
    ),
    of(
        510_482,
        "the call ran in circles",
        "look for a forwarding to itself",
    ),
    of(
        510_532,
        "no trunk of a tenant has the name in our Contact",
        "compare fqdn with the trunk in the tenant, whose domain must be verified and activated",
    ),
    of(510_534, "the caller is blocked in the tenant", ""),
    of(
        510_544,
        "the tenant has no trunk for it",
        "look at its voice routes and emergency policies",
    ),
    of(
        510_559,
        "the tenant has no route for it",
        "look at its voice routes",
    ),
    of(510_560, "the user may not use enterprise voice", ""),
    of(510_562, "the user may not make such calls", ""),
    of(510_563, "the user may make domestic calls only", ""),
    of(
        511_404,
        "nobody in the tenant has the number",
        "compare it with the assigned one, + and ;ext= included",
    ),
    of(
        531_000,
        "Teams accepts none of our media",
        "codecs and srtp of the trunk",
    ),
    of(
        531_004,
        "ICE found no way",
        "open the firewall for the realm's UDP ports",
    ),
    of(
        531_005,
        "the way of the media broke",
        "open the firewall for the realm's UDP ports",
    ),
    of(
        531_027,
        "the trunk has media bypass and we sent no candidates",
        "switch MediaBypass off",
    ),
    of(540_000, "a normal end", ""),
    of(540_200, "somebody else answered", ""),
    of(540_487, "the caller gave up", ""),
    of(
        549_002,
        "no TLS connection, or a start line that Teams cannot read",
        "see log and listener",
    ),
    of(
        569_002,
        "Teams could not connect to us",
        "firewall, port and certificate of the listener",
    ),
    of(
        569_003,
        "the TLS handshake failed",
        "certificate and chain of the listener",
    ),
    of(569_008, "our certificate has expired", "renew it"),
    of(
        569_009,
        "Teams does not trust our certificate's root",
        "take one of a public CA",
    ),
];

/// Phrases that were seen instead of digits, in lower case.
const PHRASES: &[(&str, u32)] = &[
    ("no callee endpoints were found", 10_037),
    ("no trunk config was found", 510_532),
    ("replacement call not found", 10_202),
    ("non-ice endpoints cannot use bypass", 531_027),
    ("srtpencryptionrequired", 531_000),
    ("iceconnectivitychecksfailed", 531_004),
    ("invalid request/response line", 549_002),
];

/// Beginning of the codes that only repeat a status of ours.
const OURS: std::ops::RangeInclusive<u32> = 560_300..=560_699;

/// What Teams said of the end of a call, for the record; nothing if it said none of this.
pub(crate) fn said(record: &Record) -> Option<String> {
    let own = of_record(record)?;
    Some(format!("Microsoft {}: {}", own.code, own.means))
}

/// The sub-code with which Teams ended or refused a call. Those that only repeat a status of ours are all one,
/// [`REPEATED`], so that there is a bounded number of them.
pub fn sub_code(record: &Record) -> Option<u32> {
    let code = of_record(record)?.code;
    Some(if OURS.contains(&code) { REPEATED } else { code })
}

/// What Microsoft's reports show for a status that came from us: `560` and the status.
pub const REPEATED: u32 = 560_000;

/// What to look at because of it.
pub(super) fn advice(record: &Record) -> Option<String> {
    let own = of_record(record).filter(|own| !own.look_at.is_empty())?;
    Some(format!("Microsoft {}: {}", own.code, own.look_at))
}

/// The last word counts: that of the end, then that of the last attempt.
fn of_record(record: &Record) -> Option<SubCode> {
    let attempt = record.egress.last();
    let attempt = attempt.and_then(|attempt| attempt.reason.as_deref());
    let texts = [record.end_reason.as_deref(), attempt];
    texts.into_iter().flatten().find_map(read)
}

/// Reads a text of Teams. A text without GUID is somebody else's, whatever numbers are in it.
fn read(text: &str) -> Option<SubCode> {
    let (guid, phrase) = text.split_once(';')?;
    if !is_guid(guid.trim()) {
        return None;
    }
    let numbers = phrase.split(|c: char| !c.is_ascii_digit());
    let codes = numbers.filter(|digits| (4..=6).contains(&digits.len()));
    let mut codes = codes.filter_map(|digits| digits.parse::<u32>().ok());
    if let Some(found) = codes.find_map(known) {
        return Some(found);
    }
    let phrase = phrase.to_ascii_lowercase();
    let named = PHRASES.iter().find(|(words, _)| phrase.contains(words));
    named.and_then(|(_, code)| known(*code))
}

fn known(code: u32) -> Option<SubCode> {
    if OURS.contains(&code) {
        return Some(of(code, "Teams repeats the status that it got from us", ""));
    }
    TABLE.iter().find(|own| own.code == code).copied()
}

/// What a sub-code means, and what to look at here because of it; empty where nothing here is the reason.
/// `None` if it is none of those that are published.
pub fn sub_code_in_words(code: u32) -> Option<(&'static str, &'static str)> {
    known(code).map(|own| (own.means, own.look_at))
}

/// The GUID at the beginning of the text of a Reason, by which Microsoft names the call (TDR-ERR-001).
pub fn call_named_by(reason: &str) -> Option<&str> {
    let guid = reason.split(';').next().unwrap_or_default().trim();
    is_guid(guid).then_some(guid)
}

/// The GUID in the Contact of a message of Teams, by which Teams names its call (TDG-CDR-004).
pub(crate) fn name_in_contact(message: &Message) -> Option<String> {
    let contact = message.essential::<Contact>().ok()??;
    let name = contact.uri()?.params()?.value("x-i")?;
    let name = std::str::from_utf8(name).ok()?;
    is_guid(name).then(|| name.to_owned())
}

/// The GUID in the Referred-By of a REFER of Teams, by which Teams names the call of who transfers
/// (TDR-CC-002).
pub(crate) fn name_in_referred_by(refer: &Message) -> Option<String> {
    let referred_by = refer.get::<ReferredBy>().ok()??;
    let name = referred_by.uri().params()?.value("x-ti")?;
    let name = std::str::from_utf8(name).ok()?;
    is_guid(name).then(|| name.to_owned())
}

/// `8-4-4-4-12` hexadecimal digits.
pub(crate) fn is_guid(text: &str) -> bool {
    let mut parts = text.split('-');
    [8, 4, 4, 4, 12].iter().all(|length| {
        let part = parts.next().unwrap_or_default();
        part.len() == *length && part.bytes().all(|octet| octet.is_ascii_hexdigit())
    }) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "0b2f3c4d-1111-2222-3333-444455556666";

    fn code(phrase: &str) -> Option<u32> {
        read(&format!("{GUID};{phrase}")).map(|own| own.code)
    }

    #[test]
    fn digits_and_phrases_are_read_behind_a_guid_only() {
        assert_eq!(
            code("No trunk config was found for the Contact"),
            Some(510_532)
        );
        assert_eq!(code("510532"), Some(510_532));
        assert_eq!(code("CallEndSubReason=531004"), Some(531_004));
        assert_eq!(code("No callee endpoints were found."), Some(10_037));
        assert_eq!(code("560486"), Some(560_486));
        assert_eq!(code("5105321"), None);
        assert_eq!(code("Something new"), None);
        for text in ["510532", "no guid;510532", "0b2f-1;510532", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn every_code_has_a_meaning_once_and_fits_a_line() {
        assert!(TABLE.is_sorted_by(|one, next| one.code < next.code));
        for own in TABLE {
            assert!(
                !own.means.is_empty() && own.means.len() < 80,
                "{}",
                own.code
            );
            assert!(own.look_at.len() < 100, "{}", own.code);
        }
        assert!(PHRASES.iter().all(|(_, code)| known(*code).is_some()));
        assert!(
            PHRASES
                .iter()
                .all(|(words, _)| words.to_ascii_lowercase() == *words)
        );
    }
}
