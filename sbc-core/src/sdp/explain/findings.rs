//! What deserves attention in a description.

use super::super::crypto::CryptoFault;
use super::super::description::Description;
use super::super::fault::OWN_LIMIT;
use super::super::payload::static_payload;
use super::super::stream::{Media, MediaKind, Transport};
use super::super::text;
use super::{Finding, Severity, lossy};

/// Findings under way, and the `m=` line they are about.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) media: Option<usize>,
    pub(super) findings: Vec<Finding>,
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

pub(super) fn session_findings(description: &Description, notes: &mut Notes) {
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

pub(super) fn media_findings(media: &Media<'_>, notes: &mut Notes) {
    use Severity::{Error, Note, Warning};
    if media.is_over_limit() {
        notes.add(
            Error,
            "too_many_media",
            OWN_LIMIT,
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
            OWN_LIMIT,
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
            "RFC 8866 §6.4",
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
                        "RFC 4568 §6.1",
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
                    "RFC 4568 §9.1",
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
            "RFC 4568 §6",
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
