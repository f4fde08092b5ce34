//! A description as it goes out: every line as its author wrote it, except what says where media go and
//! how they are protected; and codecs, where a proxy wants others.

use crate::codecs::Listed;
use sbc_core::sdp::{Description, Origin};
use std::net::{IpAddr, SocketAddr};

/// What an `m=` line becomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Placed {
    /// Port 0; with this transport, if not as its author wrote it.
    Refused(Option<String>),
    Stream(Stream),
}

/// Our side of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stream {
    pub(crate) rtp: SocketAddr,
    /// Port of `a=rtcp`, if it is written.
    pub(crate) rtcp_port: Option<u16>,
    pub(crate) is_muxed: bool,
    /// Transport protocol, if not as its author wrote it.
    pub(crate) transport: Option<String>,
    /// Values of `a=crypto`.
    pub(crate) cryptos: Vec<String>,
    /// What the party that this goes to calls the line (RFC 5888).
    pub(crate) mid: Option<String>,
    /// Lines of our agent and of our certificate.
    pub(crate) agents: String,
    /// Whether that is an agent of ICE.
    pub(crate) is_checked: bool,
    /// Its payload types, if not as its author wrote them.
    pub(crate) listed: Option<Listed>,
    /// Packet time, if not as its author wrote it.
    pub(crate) ptime_ms: Option<u8>,
}

/// Attributes of media that speak of the connection between its author and us alone. Keys among them never reach
/// another leg (MED-103), nor does a `k=` line.
const OWN: [&str; 23] = [
    "rtcp",
    // Reports end here, and feedback with them: who asks for it would wait in vain (MED-060).
    "rtcp-fb",
    "rtcp-mux",
    "rtcp-mux-only",
    "rtcp-rsize",
    "crypto",
    "candidate",
    "end-of-candidates",
    "remote-candidates",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "ice-pacing",
    "ice-mismatch",
    "fingerprint",
    "setup",
    "tls-id",
    "connection",
    "ssrc",
    "ssrc-group",
    // Each party has its own name for a line.
    "mid",
    // The relay passes no header extensions on.
    "extmap",
    "extmap-allow-mixed",
];

/// The same of the whole description.
const OWN_OF_SESSION: [&str; 10] = [
    "ice-lite",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "ice-pacing",
    "fingerprint",
    "setup",
    "tls-id",
    "group",
    "msid-semantic",
];

/// Writes the description with our address in place of its author's. `lines` has one entry for each `m=` line.
pub(crate) fn rewrite(
    description: &Description,
    address: IpAddr,
    replaces_origin: bool,
    lines: &[Placed],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(description.as_bytes().len() + 256);
    for (letter, value) in session_lines(description) {
        match letter {
            b'o' if replaces_origin => match Origin::parse(value) {
                Some(origin) => push_origin(&mut out, &origin, address),
                None => push(&mut out, letter, &[value]),
            },
            b'c' => push_connection(&mut out, address),
            // Some write there what belongs to media, and others read it there.
            b'a' if is_named(value, &OWN_OF_SESSION) || is_named(value, &OWN) => {}
            b'k' => {}
            _ => push(&mut out, letter, &[value]),
        }
    }
    let is_checked = |own: &Placed| matches!(own, Placed::Stream(own) if own.is_checked);
    if lines.iter().any(is_checked) {
        push(&mut out, b'a', &[b"ice-lite"]);
    }
    let mut sections = sections(description).into_iter();
    for (media, placed) in description.media().zip(lines) {
        let rest = sections.next().unwrap_or_default();
        let formats: Vec<&[u8]> = media.formats().collect();
        let formats = formats.join(&b' ');
        let transport = match placed {
            Placed::Refused(Some(name))
            | Placed::Stream(Stream {
                transport: Some(name),
                ..
            }) => name.as_bytes(),
            _ => media.transport_text(),
        };
        let Placed::Stream(stream) = placed else {
            let parts: [&[u8]; 5] = [media.kind_text(), b" 0 ", transport, b" ", &formats];
            push(&mut out, b'm', &parts);
            continue;
        };
        let port = format!(" {} ", stream.rtp.port());
        let numbers = stream.listed.as_ref().map(|own| numbers(&own.numbers));
        let formats = numbers.as_deref().map_or(&formats[..], str::as_bytes);
        let parts: [&[u8]; 5] = [media.kind_text(), port.as_bytes(), transport, b" ", formats];
        push(&mut out, b'm', &parts);
        let (titles, rest): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(letter, _)| *letter == b'i');
        for (letter, value) in titles {
            push(&mut out, letter, &[value]);
        }
        let is_unknown = media
            .connection()
            .is_some_and(|own| own.address.is_unknown());
        // The old form of hold passes.
        push_connection(
            &mut out,
            match (is_unknown, stream.rtp.ip()) {
                (true, IpAddr::V4(_)) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
                (true, IpAddr::V6(_)) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
                (false, ip) => ip,
            },
        );
        for (letter, value) in rest {
            let is_dropped = match letter {
                b'c' | b'k' => true,
                b'a' => is_named(value, &OWN) || is_other(value, stream),
                _ => false,
            };
            if !is_dropped {
                push(&mut out, letter, &[value]);
            }
        }
        if let Some(listed) = &stream.listed {
            out.extend_from_slice(listed.lines.as_bytes());
        }
        if let Some(ptime) = stream.ptime_ms {
            push(&mut out, b'a', &[format!("ptime:{ptime}").as_bytes()]);
        }
        if let Some(mid) = &stream.mid {
            push(&mut out, b'a', &[b"mid:", mid.as_bytes()]);
        }
        if let Some(port) = stream.rtcp_port {
            push(&mut out, b'a', &[format!("rtcp:{port}").as_bytes()]);
        }
        if stream.is_muxed {
            push(&mut out, b'a', &[b"rtcp-mux"]);
        }
        for crypto in &stream.cryptos {
            push(&mut out, b'a', &[b"crypto:", crypto.as_bytes()]);
        }
        out.extend_from_slice(stream.agents.as_bytes());
    }
    out
}

fn session_lines(description: &Description) -> impl Iterator<Item = (u8, &[u8])> {
    description
        .lines()
        .take_while(|(letter, _)| *letter != b'm')
}

/// The lines of each media section without its `m=`.
fn sections(description: &Description) -> Vec<Vec<(u8, &[u8])>> {
    let mut sections: Vec<Vec<(u8, &[u8])>> = Vec::new();
    for (letter, value) in description.lines() {
        match (letter, sections.last_mut()) {
            (b'm', _) => sections.push(Vec::new()),
            (_, Some(section)) => section.push((letter, value)),
            (_, None) => {}
        }
    }
    sections
}

fn numbers(all: &[u8]) -> String {
    let all: Vec<String> = all.iter().map(u8::to_string).collect();
    all.join(" ")
}

/// Whether an attribute is of a payload type that is not passed on as it was, or of another packet time than is wished.
fn is_other(attribute: &[u8], stream: &Stream) -> bool {
    let mut parts = attribute.splitn(2, |octet| *octet == b':');
    let name = parts.next().unwrap_or_default();
    let value = parts.next().unwrap_or_default().trim_ascii_start();
    let digits = value.iter().take_while(|octet| octet.is_ascii_digit());
    let number = std::str::from_utf8(&value[..digits.count()]);
    let number: Option<u32> = number.ok().and_then(|text| text.parse().ok());
    let is = |names: &[&str]| is_named(name, names);
    let is_dropped = |listed: &Listed| {
        is(&["rtpmap", "fmtp"])
            && !listed
                .kept
                .iter()
                .any(|own| Some(u32::from(*own)) == number)
    };
    let is_late = |wished: u8| {
        is(&["ptime"]) || is(&["maxptime"]) && number.is_none_or(|most| most < u32::from(wished))
    };
    stream.listed.as_ref().is_some_and(is_dropped) || stream.ptime_ms.is_some_and(is_late)
}

fn is_named(attribute: &[u8], names: &[&str]) -> bool {
    let name = attribute.split(|octet| *octet == b':').next();
    let name = name.unwrap_or_default().trim_ascii();
    names
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

fn push(out: &mut Vec<u8>, letter: u8, parts: &[&[u8]]) {
    out.extend_from_slice(&[letter, b'=']);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(b"\r\n");
}

fn push_connection(out: &mut Vec<u8>, address: IpAddr) {
    let text = format!("IN {} {address}", kind(address));
    push(out, b'c', &[text.as_bytes()]);
}

fn push_origin(out: &mut Vec<u8>, origin: &Origin<'_>, address: IpAddr) {
    let end = format!(" IN {} {address}", kind(address));
    let parts: [&[u8]; 6] = [
        origin.username,
        b" ",
        origin.session_id,
        b" ",
        origin.version,
        end.as_bytes(),
    ];
    push(out, b'o', &parts);
}

const fn kind(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}
