//! Explains a description to a person: verdict, facts line by line, findings.
//!
//! A pure function of the body. Keys and ICE passwords never appear in the result.

mod findings;
mod render;

use super::description::Description;
use super::fault::Fault;
use super::limits::Limits;
use super::payload::static_payload;
use super::stream::Media;
use super::text;
use bytes::Bytes;
use findings::{Notes, media_findings, session_findings};
use serde::Serialize;

/// What can be said about a body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// Whether the body is a description.
    pub verdict: Verdict,
    /// Why it is not, with the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultPlace>,
    /// Value of the `o=` line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Value of the `s=` line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// One entry per `m=` line.
    pub media: Vec<MediaExplanation>,
    /// What deserves attention, most important first.
    pub findings: Vec<Finding>,
}

/// Whether a body is a description.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It follows the rules.
    Valid,
    /// It breaks rules that we do not insist on.
    Tolerated,
    /// It cannot be read; an offer like this is refused with 488.
    Invalid,
}

/// Where a body stops being a description.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FaultPlace {
    /// Line number from 1.
    pub line: usize,
    /// Byte offset of that line.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
    /// The rule that says so.
    pub rule: &'static str,
}

/// Facts of one `m=` line, inheritance applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MediaExplanation {
    /// Position from 0.
    pub index: usize,
    /// Media type.
    pub kind: String,
    /// Port.
    pub port: u16,
    /// Transport protocol.
    pub transport: String,
    /// Where media goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where RTCP goes, as `port` or `address:port`; the RTP port with `a=rtcp-mux`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtcp: Option<String>,
    /// Whether RTP and RTCP may share the port.
    pub rtcp_mux: bool,
    /// Direction.
    pub direction: &'static str,
    /// Formats in order of preference.
    pub formats: Vec<FormatExplanation>,
    /// Packet time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ptime_ms: Option<u32>,
    /// Longest packet time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxptime_ms: Option<u32>,
    /// Crypto lines without their keys.
    pub crypto: Vec<CryptoExplanation>,
    /// ICE: user name fragment and candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ice: Option<IceExplanation>,
    /// DTLS certificate fingerprints, `hash digest`.
    pub fingerprints: Vec<String>,
}

/// One format of an `m=` line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FormatExplanation {
    /// The format as written.
    pub format: String,
    /// What it means, as `name/clock` or `name/clock/channels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// `a=fmtp` parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmtp: Option<String>,
}

/// One `a=crypto` line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CryptoExplanation {
    /// Tag, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<u32>,
    /// Suite, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<&'static str>,
    /// Why the line may not be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
}

/// ICE facts of an `m=` line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IceExplanation {
    /// User name fragment.
    pub ufrag: String,
    /// Whether the author is an ICE-lite agent.
    pub lite: bool,
    /// Candidates as `type component address:port`.
    pub candidates: Vec<String>,
}

/// Something that deserves attention.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Stable name.
    pub code: &'static str,
    /// The `m=` line it is about, from 0; the session if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<usize>,
    /// What it is and what follows from it.
    pub text: String,
    /// The rule.
    pub rule: &'static str,
}

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The line or the call will not work.
    Error,
    /// A rule is broken; many implementations cope.
    Warning,
    /// Legal and worth knowing.
    Note,
}

impl Explanation {
    /// Whether the body is a description, if need be with tolerance.
    pub fn is_valid(&self) -> bool {
        self.verdict != Verdict::Invalid
    }
}

/// Explains `body`, read with the default limits.
pub fn explain(body: &[u8]) -> Explanation {
    match Description::parse(Bytes::copy_from_slice(body), &Limits::default()) {
        Ok(description) => explain_description(&description),
        Err(fault) => unreadable(fault),
    }
}

fn unreadable(fault: Fault) -> Explanation {
    Explanation {
        verdict: Verdict::Invalid,
        fault: Some(FaultPlace {
            line: fault.line,
            at: fault.at,
            what: fault.what.text(),
            rule: fault.what.rule(),
        }),
        origin: None,
        session_name: None,
        media: Vec::new(),
        findings: Vec::new(),
    }
}

/// Explains a description that was read before.
pub fn explain_description(description: &Description) -> Explanation {
    let mut notes = Notes::default();
    session_findings(description, &mut notes);
    let media = description
        .media()
        .map(|media| {
            notes.media = Some(media.index());
            media_findings(&media, &mut notes);
            explain_media(&media, description.ice_lite())
        })
        .collect();
    let mut findings = notes.findings;
    findings.sort_by_key(|finding| finding.severity);
    let breaks_rules = findings
        .iter()
        .any(|finding| finding.severity != Severity::Note);
    let shown = |letter| {
        description
            .session_value(letter)
            .map(|value| lossy(value).into_owned())
    };
    Explanation {
        verdict: if breaks_rules {
            Verdict::Tolerated
        } else {
            Verdict::Valid
        },
        fault: None,
        origin: shown(b'o'),
        session_name: shown(b's'),
        media,
        findings,
    }
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn explain_media(media: &Media<'_>, lite: bool) -> MediaExplanation {
    let address = media
        .connection()
        .map(|connection| connection.address.to_string());
    let rtcp = if media.rtcp_mux() && media.port() != 0 {
        Some(media.port().to_string())
    } else {
        media.rtcp().map(|rtcp| match rtcp.address {
            Some(address) => format!("{address}:{}", rtcp.port),
            None => rtcp.port.to_string(),
        })
    };
    MediaExplanation {
        index: media.index(),
        kind: lossy(media.kind_text()).into_owned(),
        port: media.port(),
        transport: lossy(media.transport_text()).into_owned(),
        address,
        rtcp,
        rtcp_mux: media.rtcp_mux(),
        direction: media.direction().name(),
        formats: media
            .formats()
            .map(|format| explain_format(media, format))
            .collect(),
        ptime_ms: media.ptime_ms(),
        maxptime_ms: media.maxptime_ms(),
        crypto: media
            .cryptos()
            .into_iter()
            .map(|crypto| match crypto {
                Ok(crypto) => CryptoExplanation {
                    tag: Some(crypto.tag),
                    suite: Some(crypto.suite.name()),
                    fault: None,
                },
                Err(fault) => CryptoExplanation {
                    tag: None,
                    suite: None,
                    fault: Some(fault.text()),
                },
            })
            .collect(),
        ice: media.ice_ufrag().map(|ufrag| IceExplanation {
            ufrag: lossy(ufrag).into_owned(),
            lite,
            candidates: media
                .candidates()
                .map(|candidate| {
                    format!(
                        "{} {} {} {}",
                        candidate.kind.name(),
                        candidate.component,
                        candidate.address,
                        candidate.port
                    )
                })
                .collect(),
        }),
        fingerprints: media
            .fingerprints()
            .into_iter()
            .map(|print| format!("{} {}", lossy(print.hash), lossy(print.digest)))
            .collect(),
    }
}

fn explain_format(media: &Media<'_>, format: &[u8]) -> FormatExplanation {
    let number = text::number::<u8>(format).filter(|_| media.transport().is_rtp());
    let codec = number.and_then(|number| {
        let (name, clock_hz, channels) = match media.rtpmap(number) {
            Some(map) => (map.name, map.clock_hz, map.channels),
            None => {
                let entry = static_payload(number)?;
                (entry.name, entry.clock_hz, entry.channels)
            }
        };
        Some(match channels {
            1 => format!("{name}/{clock_hz}"),
            channels => format!("{name}/{clock_hz}/{channels}"),
        })
    });
    FormatExplanation {
        format: lossy(format).into_owned(),
        codec,
        fmtp: media
            .fmtp(format)
            .map(|fmtp| lossy(fmtp.parameters).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                        m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n\
                        a=fmtp:101 0-16\r\na=ptime:20\r\n";

    fn codes(body: &str) -> Vec<&'static str> {
        explain(body.as_bytes())
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect()
    }

    #[test]
    fn a_good_description_is_shown_without_findings() {
        let seen = explain(GOOD.as_bytes());
        assert_eq!(seen.verdict, Verdict::Valid);
        assert!(seen.findings.is_empty());
        assert_eq!(
            seen.to_string(),
            "valid\norigin   - 1 1 IN IP4 192.0.2.1\nmedia 1  audio RTP/AVP sendrecv\n  \
             to       192.0.2.1 port 4000\n  format   8 PCMA/8000\n  \
             format   101 telephone-event/8000  0-16\n  ptime    20 ms\n"
        );
    }

    #[test]
    fn an_unreadable_body_names_line_and_rule() {
        let seen = explain(b"v=0\r\nm=audio 99999 RTP/AVP 0\r\n");
        assert!(!seen.is_valid());
        let fault = seen.fault.clone().expect("fault");
        assert_eq!((fault.line, fault.rule), (2, "RFC 8866 §5.14"));
        assert!(seen.to_string().starts_with("invalid\n  line 2: "));
    }

    #[test]
    fn each_finding_has_its_code() {
        assert_eq!(
            codes("v=0\n"),
            [
                "missing_line",
                "missing_line",
                "missing_line",
                "line_end",
                "no_media"
            ]
        );
        let media = |change: (&str, &str)| codes(&GOOD.replace(change.0, change.1));
        assert_eq!(media(("c=IN IP4 192.0.2.1\r\n", "")), ["no_address"]);
        assert_eq!(
            media(("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0")),
            ["hold_address"]
        );
        assert_eq!(
            media(("c=IN IP4 192.0.2.1", "c=IN IP4 a.example.com")),
            ["address_name"]
        );
        assert_eq!(media(("RTP/AVP", "RTP/SAVP")), ["no_key"]);
        assert_eq!(media(("RTP/AVP", "UDP/TLS/RTP/SAVP")), ["no_fingerprint"]);
        assert_eq!(
            media(("8 101", "8 101 8 96 x")),
            ["payload_type", "payload_repeated", "payload_unnamed"]
        );
        assert_eq!(media(("a=ptime:20", "a=ptime:200")), ["ptime"]);
        assert_eq!(media(("a=ptime:20", "a=ice-ufrag:x")), ["ice_credentials"]);
        assert_eq!(media(("a=ptime:20", "a=inactive")), ["hold_direction"]);
        assert_eq!(media(("a=ptime:20", "a=candidate:x")), ["candidate"]);
        assert_eq!(
            media(("a=ptime:20", "a=crypto:x")),
            ["crypto_line", "crypto_on_plain_rtp"]
        );
        assert_eq!(media(("m=audio 4000", "m=audio 0")), ["port_zero"]);
        assert_eq!(
            media((
                "RTP/AVP 8 101\r\n",
                "RTP/AVP 64\r\na=rtcp-mux\r\na=rtpmap:64 x/1\r\n"
            )),
            ["payload_ambiguous"]
        );
        assert_eq!(
            media(("t=0 0", "t=0 0\r\nx=1\r\nk=prompt")),
            ["unknown_line", "key_line"]
        );
    }

    #[test]
    fn keys_and_passwords_are_in_neither_form() {
        let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let body = GOOD.replace("RTP/AVP", "RTP/SAVP").replace(
            "a=ptime:20",
            &format!(
                "a=ice-ufrag:abcd\r\na=ice-pwd:topsecrettopsecrettop\r\n\
                 a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n\
                 a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}"
            ),
        );
        let seen = explain(body.as_bytes());
        let text = format!("{seen} {seen:?}");
        assert!(!text.contains(key) && !text.contains("topsecret"));
        assert!(text.contains("crypto   1 AES_CM_128_HMAC_SHA1_80 <secret>"));
        assert!(text.contains("tag is used twice"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let body = GOOD.replace("o=- 1", "o=\x1b[2J 1");
        assert!(!explain(body.as_bytes()).to_string().contains('\x1b'));
    }
}
