//! Explains a description to a person: verdict, facts line by line, findings.
//!
//! A pure function of the body. Keys and ICE passwords never appear in the result.

use super::crypto::CryptoFault;
use super::description::Description;
use super::fault::Fault;
use super::limits::Limits;
use super::payload::static_payload;
use super::stream::{Media, MediaKind, Transport};
use super::text;
use bytes::Bytes;
use serde::Serialize;
use std::fmt;

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

#[derive(Default)]
struct Notes {
    media: Option<usize>,
    findings: Vec<Finding>,
}

impl Notes {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        rule: &'static str,
        text: impl Into<String>,
    ) {
        self.findings.push(Finding {
            severity,
            code,
            media: self.media,
            text: text.into(),
            rule,
        });
    }
}

fn session_findings(description: &Description, notes: &mut Notes) {
    use Severity::{Note, Warning};
    for (letter, name) in [(b'v', "v="), (b'o', "o="), (b's', "s="), (b't', "t=")] {
        if description.session_value(letter).is_none() {
            notes.add(
                Warning,
                "missing_line",
                "RFC 8866 §5",
                format!("the mandatory {name} line is missing"),
            );
        }
    }
    let raw = description.as_bytes();
    let has_bare_lf = raw
        .iter()
        .enumerate()
        .any(|(at, &byte)| byte == b'\n' && (at == 0 || raw[at - 1] != b'\r'));
    if has_bare_lf {
        notes.add(
            Warning,
            "line_end",
            "RFC 8866 §5",
            "lines end with LF alone instead of CRLF",
        );
    } else if !raw.ends_with(b"\n") {
        notes.add(
            Warning,
            "line_end",
            "RFC 8866 §9",
            "the last line has no line end",
        );
    }
    let mut unknown: Vec<u8> = description
        .lines()
        .map(|(letter, _)| letter)
        .filter(|letter| !b"vosiuepcbtrzkam".contains(letter))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        let letters = lossy(&unknown).into_owned();
        notes.add(
            Warning,
            "unknown_line",
            "RFC 8866 §5",
            format!("line types nobody defined: {letters}"),
        );
    }
    if description.media().len() == 0 {
        notes.add(
            Note,
            "no_media",
            "RFC 3264 §5",
            "there is no m= line: nothing is offered",
        );
    }
    if description.session_value(b'k').is_some() {
        notes.add(
            Warning,
            "key_line",
            "RFC 8866 §5.12",
            "k= is obsolete and ignored",
        );
    }
}

fn media_findings(media: &Media<'_>, notes: &mut Notes) {
    use Severity::{Error, Note, Warning};
    if media.is_over_limit() {
        notes.add(
            Error,
            "too_many_media",
            "SIP-507",
            "beyond the number of m= lines that are read; answered with port 0",
        );
    }
    if media.port() == 0 {
        notes.add(
            Note,
            "port_zero",
            "RFC 3264 §6",
            "port 0: the line is refused or switched off",
        );
        return;
    }
    match media.connection() {
        None => notes.add(
            Error,
            "no_address",
            "RFC 8866 §5.7",
            "no readable c= line here or in the session: nowhere to send to",
        ),
        Some(connection) if connection.address.is_unknown() => notes.add(
            Note,
            "hold_address",
            "RFC 3264 §8.4",
            "the address is unspecified: nothing may be sent, the old form of hold",
        ),
        Some(connection) if connection.address.ip().is_none() => notes.add(
            Error,
            "address_name",
            "SIP-508",
            "the address is a host name, which is not resolved for media",
        ),
        Some(_) => {}
    }
    if !media.direction().receives() {
        notes.add(
            Note,
            "hold_direction",
            "RFC 3264 §8.4",
            format!("{}: the author is not listening", media.direction().name()),
        );
    }
    if media.formats().next().is_none() {
        notes.add(
            Error,
            "no_formats",
            "RFC 8866 §5.14",
            "the m= line lists no format",
        );
    }
    if media.transport().is_rtp() {
        payload_findings(media, notes);
    }
    protection_findings(media, notes);
    if media.ice_ufrag().is_some() != media.ice_pwd().is_some() {
        notes.add(
            Error,
            "ice_credentials",
            "RFC 8839 §5.4",
            "ICE needs both a=ice-ufrag and a=ice-pwd",
        );
    }
    let written = media.attributes().named(b"candidate").count();
    let read = media.candidates().count();
    if read < written {
        notes.add(
            Warning,
            "candidate",
            "RFC 8839 §5.1",
            format!("{} of {written} candidates are left out", written - read),
        );
    }
    if media.kind() == MediaKind::Audio
        && let Some(time) = media.ptime_ms()
        && !(10..=60).contains(&time)
    {
        notes.add(
            Warning,
            "ptime",
            "MED-027",
            format!("a packet time of {time} ms is outside 10 to 60 ms"),
        );
    }
}

fn payload_findings(media: &Media<'_>, notes: &mut Notes) {
    use Severity::{Error, Warning};
    let mut seen = Vec::new();
    for format in media.formats() {
        let Some(number) = text::number::<u8>(format).filter(|&number| number < 128) else {
            notes.add(
                Error,
                "payload_type",
                "RFC 8866 §5.14",
                format!("{} is not a payload type", lossy(format)),
            );
            continue;
        };
        if seen.contains(&number) {
            notes.add(
                Warning,
                "payload_repeated",
                "RFC 3264 §5.1",
                format!("payload type {number} is listed twice; Teams refuses that"),
            );
            continue;
        }
        seen.push(number);
        let has_name = media.rtpmap(number).is_some();
        if !has_name && static_payload(number).is_none() && media.kind() == MediaKind::Audio {
            notes.add(
                Warning,
                "payload_unnamed",
                "RFC 8866 §6.6",
                format!("payload type {number} has no a=rtpmap and no static meaning"),
            );
        }
        if media.rtcp_mux() && (64..=95).contains(&number) {
            notes.add(
                Warning,
                "payload_ambiguous",
                "RFC 5761 §4",
                format!("payload type {number} cannot be told from RTCP with a=rtcp-mux"),
            );
        }
    }
}

fn protection_findings(media: &Media<'_>, notes: &mut Notes) {
    use Severity::{Error, Note, Warning};
    let cryptos = media.cryptos();
    let mut usable = 0;
    for crypto in &cryptos {
        match crypto {
            Ok(crypto) => {
                usable += 1;
                if crypto.tag == 0 {
                    notes.add(
                        Note,
                        "crypto_tag_zero",
                        "RFC 4568 §9.1",
                        "crypto tag 0 is outside the grammar, but sent by Teams",
                    );
                }
                if crypto.keys.iter().any(|key| key.mki.is_some()) {
                    notes.add(
                        Note,
                        "crypto_key_identifier",
                        "MED-106",
                        format!(
                            "crypto tag {} wants a key identifier in packets",
                            crypto.tag
                        ),
                    );
                }
            }
            Err(fault) => {
                let severity = match fault {
                    CryptoFault::UnknownSuite => Note,
                    CryptoFault::Syntax
                    | CryptoFault::KeyLength
                    | CryptoFault::Lifetime
                    | CryptoFault::KeyIdentifier
                    | CryptoFault::DuplicateTag
                    | CryptoFault::Unprotected
                    | CryptoFault::Parameter => Warning,
                };
                notes.add(
                    severity,
                    "crypto_line",
                    "MED-100",
                    format!("a crypto line cannot be used: {fault}"),
                );
            }
        }
    }
    let has_fingerprint = !media.fingerprints().is_empty();
    match media.transport() {
        Transport::RtpSavp | Transport::RtpSavpf if usable == 0 && !has_fingerprint => notes.add(
            Error,
            "no_key",
            "RFC 4568 §5.1",
            "SRTP without a usable a=crypto line or a=fingerprint: nothing can be decrypted",
        ),
        Transport::DtlsSavp | Transport::DtlsSavpf if !has_fingerprint => notes.add(
            Error,
            "no_fingerprint",
            "RFC 5763 §5",
            "DTLS-SRTP without a=fingerprint",
        ),
        Transport::RtpAvp | Transport::RtpAvpf if !cryptos.is_empty() => notes.add(
            Warning,
            "crypto_on_plain_rtp",
            "MED-021",
            "a=crypto on a plain RTP line (best-effort SRTP) is ignored",
        ),
        Transport::RtpAvp
        | Transport::RtpAvpf
        | Transport::RtpSavp
        | Transport::RtpSavpf
        | Transport::DtlsSavp
        | Transport::DtlsSavpf
        | Transport::Udptl
        | Transport::Tcp
        | Transport::Other => {}
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Plain text for a terminal. Control characters of the body are shown escaped.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Valid => writeln!(f, "valid")?,
            Verdict::Tolerated => writeln!(f, "readable, with faults that are tolerated")?,
            Verdict::Invalid => writeln!(f, "invalid")?,
        }
        if let Some(fault) = &self.fault {
            writeln!(f, "  line {}: {} ({})", fault.line, fault.what, fault.rule)?;
        }
        if let Some(origin) = &self.origin {
            writeln!(f, "origin   {}", Escaped(origin))?;
        }
        for media in &self.media {
            media.fmt(f)?;
        }
        for finding in &self.findings {
            write!(f, "{}", finding.severity)?;
            if let Some(index) = finding.media {
                write!(f, " in m= line {}", index + 1)?;
            }
            writeln!(
                f,
                ": {} ({}, {})",
                Escaped(&finding.text),
                finding.rule,
                finding.code
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for MediaExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "media {}  {} {} {}",
            self.index + 1,
            Escaped(&self.kind),
            Escaped(&self.transport),
            self.direction
        )?;
        let address = self.address.as_deref().unwrap_or("(no address)");
        write!(f, "  to       {} port {}", Escaped(address), self.port)?;
        match &self.rtcp {
            Some(rtcp) => write!(f, ", RTCP {}", Escaped(rtcp))?,
            None => {}
        }
        writeln!(f, "{}", if self.rtcp_mux { ", rtcp-mux" } else { "" })?;
        for format in &self.formats {
            write!(f, "  format   {}", Escaped(&format.format))?;
            if let Some(codec) = &format.codec {
                write!(f, " {}", Escaped(codec))?;
            }
            if let Some(fmtp) = &format.fmtp {
                write!(f, "  {}", Escaped(fmtp))?;
            }
            writeln!(f)?;
        }
        if let Some(time) = self.ptime_ms {
            writeln!(f, "  ptime    {time} ms")?;
        }
        for crypto in &self.crypto {
            match (crypto.tag, crypto.suite, crypto.fault) {
                (Some(tag), Some(suite), _) => writeln!(f, "  crypto   {tag} {suite} <secret>")?,
                (_, _, fault) => {
                    writeln!(f, "  crypto   unusable: {}", fault.unwrap_or_default())?;
                }
            }
        }
        if let Some(ice) = &self.ice {
            let lite = if ice.lite { ", lite" } else { "" };
            writeln!(f, "  ice      {}{lite}", Escaped(&ice.ufrag))?;
            for candidate in &ice.candidates {
                writeln!(f, "           {}", Escaped(candidate))?;
            }
        }
        for print in &self.fingerprints {
            writeln!(f, "  dtls     {}", Escaped(print))?;
        }
        Ok(())
    }
}

/// Text from the network on a terminal.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if letter.is_control() {
                write!(f, "{}", letter.escape_default())?;
            } else {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
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
