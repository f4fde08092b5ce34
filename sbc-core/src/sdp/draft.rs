//! Descriptions of our own, written from facts (RFC 8866 §5, TDR-MED-028).
//!
//! The form is fixed: CRLF, `s=-`, one session-level `c=`, every payload type with its `a=rtpmap`
//! unless its number says as much.
//! Two drafts that are equal and have the same [`OriginLine`] are equal octet by octet.

use super::attribute::{Direction, Setup};
use super::fax::Fax;
use super::lent::Lent;
use super::stream::Media;
use crate::octets::{push_address, push_number};
use bytes::Bytes;
use media_api::wire::{Reader, Wire, WireFault};
use media_api::{Fingerprint, Suite, wire_layout};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What stands in our `o=` line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OriginLine {
    /// Session id, the same for the life of a leg. Below 2^63, which some peers read as signed.
    pub session_id: u64,
    /// Session version, one more for every change (SIP-504). Below 2^63.
    pub version: u64,
    /// Address that names the host, the same for the life of a leg.
    pub address: IpAddr,
}

/// Content of a description without its `o=` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// Address of the session-level `c=` line.
    pub address: IpAddr,
    /// The `m=` lines in order.
    pub media: Vec<DraftMedia>,
}

/// One `m=` line of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DraftMedia {
    /// A stream that we offer or accept.
    Stream(DraftStream),
    /// A fax that we offer or accept.
    Fax(DraftFax),
    /// A slot that is refused or unused: port 0, everything else as its author wrote it.
    Refused(RefusedLine),
}

/// The parts of a peer's `m=` line that a refusal repeats (RFC 3264 §6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedLine {
    kind: Vec<u8>,
    transport: Vec<u8>,
    formats: Vec<Vec<u8>>,
}

impl RefusedLine {
    /// Refuses `media`.
    pub fn of(media: &Media<'_>) -> Self {
        Self {
            kind: media.kind_text().to_vec(),
            transport: media.transport_text().to_vec(),
            formats: media.formats().map(<[u8]>::to_vec).collect(),
        }
    }

    /// A fax line of ours as a later description would switch it off.
    pub fn of_fax(fax: &DraftFax) -> Self {
        Self {
            kind: b"image".to_vec(),
            transport: fax.transport.clone().into_bytes(),
            formats: vec![b"t38".to_vec()],
        }
    }

    /// A line of ours as a later description would switch it off.
    pub fn of_stream(stream: &DraftStream) -> Self {
        Self {
            kind: b"audio".to_vec(),
            transport: stream.transport.clone().into_bytes(),
            formats: stream
                .formats
                .iter()
                .map(|format| format.payload_type.to_string().into_bytes())
                .collect(),
        }
    }
}

/// One fax stream of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftFax {
    /// Transport protocol; an answer repeats what was offered.
    pub transport: String,
    /// Where we want UDPTL packets.
    pub address: SocketAddr,
    /// What is said of the fax machine, which is the other leg's.
    pub fax: Fax,
}

/// One audio stream of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftStream {
    /// Transport protocol; an answer repeats what was offered (MED-022).
    pub transport: String,
    /// Where we want RTP. Its address is written only where it differs from the session's.
    pub rtp: SocketAddr,
    /// `a=rtcp` with this address, if it must be said.
    pub rtcp: Option<SocketAddr>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// Whether `c=` is written as the unspecified address, the old form of hold (SIP-508).
    pub connection_zero: bool,
    /// Formats in order of preference.
    pub formats: Vec<DraftFormat>,
    /// Direction as we mean it.
    pub direction: Direction,
    /// `a=ptime` in milliseconds.
    pub ptime_ms: Option<u32>,
    /// `a=maxptime` in milliseconds.
    pub maxptime_ms: Option<u32>,
    /// `a=crypto` lines in order.
    pub cryptos: Vec<DraftCrypto>,
    /// DTLS lines, where keys come of a handshake.
    pub dtls: Option<Box<DraftDtls>>,
    /// ICE lines. With them the description says that its agent is lite (RFC 8839 §5.3).
    pub ice: Option<Box<DraftIce>>,
    /// The place of the other party's media, which is written instead of all that is said of ours.
    pub lent: Option<Arc<Lent>>,
}

/// One format of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftFormat {
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Encoding name.
    pub name: Cow<'static, str>,
    /// Clock rate in Hz.
    pub clock_hz: u32,
    /// Channels; written when above 1.
    pub channels: u8,
    /// `a=fmtp` parameters.
    pub fmtp: Option<Cow<'static, str>>,
    /// Whether `a=rtpmap` is written; it may be left out where the number alone says as much.
    pub is_mapped: bool,
}

/// One `a=crypto` line of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct DraftCrypto {
    /// Tag.
    pub tag: u32,
    /// Suite name.
    pub suite: &'static str,
    /// Key and salt in base64.
    pub inline: String,
    /// Lifetime as a power of two, if it is to be written.
    pub lifetime_exponent: Option<u8>,
}

/// The DTLS lines of a stream of ours (RFC 5763 §5, RFC 8842 §5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftDtls {
    /// `a=fingerprint` of our certificate.
    pub fingerprint: Fingerprint,
    /// `a=setup`.
    pub setup: Setup,
    /// `a=tls-id`, if the association has a name.
    pub tls_id: Option<String>,
}

/// The ICE lines of a stream of ours (RFC 8839 §5); without candidates it is `a=ice-mismatch` alone.
#[derive(Clone, PartialEq, Eq)]
pub struct DraftIce {
    /// `a=ice-ufrag`.
    pub fragment: String,
    /// `a=ice-pwd`.
    pub password: String,
    /// `a=candidate` lines in order.
    pub candidates: Vec<DraftCandidate>,
}

/// One host candidate of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DraftCandidate {
    /// 1 RTP, 2 RTCP.
    pub component: u8,
    /// Priority.
    pub priority: u32,
    /// Where.
    pub address: SocketAddr,
}

impl fmt::Debug for DraftIce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DraftIce({} <secret> {:?})",
            self.fragment, self.candidates
        )
    }
}

impl fmt::Debug for DraftCrypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DraftCrypto({} {} <secret>)", self.tag, self.suite)
    }
}

impl Draft {
    /// Writes the description.
    pub fn write(&self, origin: &OriginLine) -> Bytes {
        let mut out = Writer(Vec::with_capacity(512));
        out.text("v=0\r\no=- ")
            .number(origin.session_id)
            .text(" ")
            .number(origin.version)
            .text(" ")
            .network(origin.address)
            .text("\r\ns=-\r\n");
        out.connection(self.address);
        out.text("t=0 0\r\n");
        let has_ice = |media: &DraftMedia| match media {
            DraftMedia::Stream(stream) => match &stream.lent {
                Some(lent) => lent.is_lite,
                None => stream
                    .ice
                    .as_ref()
                    .is_some_and(|own| !own.candidates.is_empty()),
            },
            DraftMedia::Fax(_) | DraftMedia::Refused(_) => false,
        };
        if self.media.iter().any(has_ice) {
            out.text("a=ice-lite\r\n");
        }
        for media in &self.media {
            match media {
                DraftMedia::Stream(stream) => stream.write(self.address, &mut out),
                DraftMedia::Fax(fax) => fax.write(self.address, &mut out),
                DraftMedia::Refused(line) => line.write(&mut out),
            }
        }
        // It is kept as long as it is in force: without room to grow.
        Bytes::from(out.0.into_boxed_slice())
    }
}

impl RefusedLine {
    fn write(&self, out: &mut Writer) {
        // Octets as they came, text or not: the peer finds its line by them.
        out.text("m=").foreign(&self.kind).text(" 0 ");
        out.foreign(&self.transport);
        for format in &self.formats {
            out.text(" ").foreign(format);
        }
        if self.formats.is_empty() {
            // The grammar wants a format even where the offer had none.
            out.text(" 0");
        }
        out.end();
    }
}

impl DraftFax {
    fn write(&self, session: IpAddr, out: &mut Writer) {
        out.text("m=image ").number(self.address.port().into());
        out.text(" ").foreign(self.transport.as_bytes());
        out.text(" t38\r\n");
        if self.address.ip() != session {
            out.connection(self.address.ip());
        }
        self.fax.write(|line| {
            out.text("a=").foreign(line.to_string().as_bytes()).end();
        });
    }
}

impl DraftStream {
    fn write(&self, session: IpAddr, out: &mut Writer) {
        out.text("m=audio ").number(self.rtp.port().into());
        out.text(" ").foreign(self.transport.as_bytes());
        for format in &self.formats {
            out.text(" ").number(format.payload_type.into());
        }
        out.end();
        if self.connection_zero {
            out.connection(match self.rtp.ip() {
                IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            });
        } else if self.rtp.ip() != session {
            out.connection(self.rtp.ip());
        }
        for format in &self.formats {
            format.write(out);
        }
        for (name, time) in [
            ("a=ptime:", self.ptime_ms),
            ("a=maxptime:", self.maxptime_ms),
        ] {
            if let Some(time) = time {
                out.text(name).number(time.into()).end();
            }
        }
        match &self.lent {
            Some(lent) => lent.write(out),
            None => self.write_place(out),
        }
        out.text("a=").text(self.direction.name()).end();
    }

    /// What is said of our own place beside its address.
    fn write_place(&self, out: &mut Writer) {
        if let Some(rtcp) = self.rtcp {
            out.text("a=rtcp:").number(rtcp.port().into());
            if rtcp.ip() != self.rtp.ip() {
                out.text(" ").network(rtcp.ip());
            }
            out.end();
        }
        if self.rtcp_mux {
            out.text("a=rtcp-mux\r\n");
        }
        if let Some(ice) = &self.ice {
            ice.write(out);
        }
        if let Some(dtls) = &self.dtls {
            dtls.write(out);
        }
        for crypto in &self.cryptos {
            out.text("a=crypto:").number(crypto.tag.into());
            out.text(" ").text(crypto.suite).text(" inline:");
            out.foreign(crypto.inline.as_bytes());
            if let Some(exponent) = crypto.lifetime_exponent {
                out.text("|2^").number(exponent.into());
            }
            out.end();
        }
    }
}

impl Lent {
    fn write(&self, out: &mut Writer) {
        for line in &self.lines {
            out.text("a=").foreign(line).end();
        }
    }
}

impl DraftDtls {
    /// Its lines, each with its end.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "a=fingerprint:{}\r\na=setup:{}\r\n",
            self.fingerprint,
            self.setup.name()
        );
        if let Some(id) = &self.tls_id {
            text.push_str(&format!("a=tls-id:{id}\r\n"));
        }
        text
    }

    fn write(&self, out: &mut Writer) {
        out.text(&self.to_text());
    }
}

impl DraftIce {
    /// What an answer says to an agent that could not be dealt with: its description names another place than its
    /// candidates (RFC 8839 §4.2.5). Then there are no candidates, and nothing else is said of our agent.
    pub const fn mismatch() -> Self {
        Self {
            fragment: String::new(),
            password: String::new(),
            candidates: Vec::new(),
        }
    }

    /// Its lines, each with its end.
    pub fn to_text(&self) -> String {
        if self.candidates.is_empty() {
            return "a=ice-mismatch\r\n".to_owned();
        }
        let mut text = format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
            self.fragment, self.password
        );
        for own in &self.candidates {
            let (ip, port) = (own.address.ip(), own.address.port());
            text.push_str(&format!(
                "a=candidate:1 {} UDP {} {ip} {port} typ host\r\n",
                own.component, own.priority
            ));
        }
        text
    }

    fn write(&self, out: &mut Writer) {
        out.text(&self.to_text());
    }
}

impl DraftFormat {
    fn write(&self, out: &mut Writer) {
        let number = self.payload_type.into();
        if self.is_mapped {
            out.text("a=rtpmap:").number(number).text(" ");
            out.foreign(self.name.as_bytes()).text("/");
            out.number(self.clock_hz.into());
            if self.channels > 1 {
                out.text("/").number(self.channels.into());
            }
            out.end();
        }
        if let Some(fmtp) = &self.fmtp {
            out.text("a=fmtp:").number(number).text(" ");
            out.foreign(fmtp.as_bytes()).end();
        }
    }
}

/// Writes octet by octet what would cost several times as much through `fmt`.
struct Writer(Vec<u8>);

impl Writer {
    /// Text of our own.
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        push_number(&mut self.0, number);
        self
    }

    /// `IN IP4 192.0.2.1`
    fn network(&mut self, address: IpAddr) -> &mut Self {
        self.text(match address {
            IpAddr::V4(_) => "IN IP4 ",
            IpAddr::V6(_) => "IN IP6 ",
        });
        self.address(address)
    }

    fn address(&mut self, address: IpAddr) -> &mut Self {
        push_address(&mut self.0, address);
        self
    }

    fn connection(&mut self, address: IpAddr) {
        self.text("c=").network(address).end();
    }

    /// What can come from the other leg: a line end or NUL in it is dropped, so that no fact can add
    /// a line.
    fn foreign(&mut self, text: &[u8]) -> &mut Self {
        let ends = |octet: &u8| matches!(octet, b'\r' | b'\n' | 0);
        match memchr::memchr3(b'\r', b'\n', 0, text) {
            Some(_) => self
                .0
                .extend(text.iter().copied().filter(|octet| !ends(octet))),
            None => self.0.extend_from_slice(text),
        }
        self
    }

    fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }
}

wire_layout! {
    struct OriginLine { session_id, version, address }
    struct Draft { address, media }

    enum DraftMedia {
        0: Stream(stream),
        1: Fax(fax),
        2: Refused(line),
    }

    struct RefusedLine { kind, transport, formats }
    struct DraftFax { transport, address, fax }
    struct DraftStream {
        transport, rtp, rtcp, rtcp_mux, connection_zero, formats, direction, ptime_ms, maxptime_ms, cryptos, dtls, ice,
        lent,
    }
    struct DraftFormat { payload_type, name, clock_hz, channels, fmtp, is_mapped }
    struct DraftDtls { fingerprint, setup, tls_id }
    struct DraftIce { fragment, password, candidates }
    struct DraftCandidate { component, priority, address }
}

impl Wire for DraftCrypto {
    fn put(&self, out: &mut media_api::wire::Writer) {
        self.tag.put(out);
        self.suite.to_owned().put(out);
        self.inline.put(out);
        self.lifetime_exponent.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let tag = u32::take(from)?;
        let name = String::take(from)?;
        let (_, suite) = Suite::from_name(name.as_bytes()).ok_or(WireFault::Value("suite"))?;
        Ok(Self {
            tag,
            suite,
            inline: String::take(from)?,
            lifetime_exponent: Wire::take(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Description, Limits};
    use super::*;

    fn stream() -> DraftStream {
        DraftStream {
            transport: "RTP/SAVP".to_owned(),
            rtp: "203.0.113.10:20000".parse().unwrap(),
            rtcp: Some("203.0.113.10:20001".parse().unwrap()),
            rtcp_mux: true,
            connection_zero: false,
            formats: vec![
                DraftFormat {
                    payload_type: 8,
                    name: "PCMA".into(),
                    clock_hz: 8000,
                    channels: 1,
                    fmtp: None,
                    is_mapped: true,
                },
                DraftFormat {
                    payload_type: 96,
                    name: "opus".into(),
                    clock_hz: 48000,
                    channels: 2,
                    fmtp: Some("useinbandfec=1\r\na=evil".into()),
                    is_mapped: true,
                },
            ],
            direction: Direction::SendRecv,
            ptime_ms: Some(20),
            maxptime_ms: None,
            cryptos: vec![DraftCrypto {
                tag: 1,
                suite: "AES_CM_128_HMAC_SHA1_80",
                inline: "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz".to_owned(),
                lifetime_exponent: Some(31),
            }],
            dtls: None,
            ice: None,
            lent: None,
        }
    }

    const ORIGIN: OriginLine = OriginLine {
        session_id: 1001,
        version: 1,
        address: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 10)),
    };

    #[test]
    fn a_draft_is_written_in_one_fixed_form() {
        let draft = Draft {
            address: ORIGIN.address,
            media: vec![DraftMedia::Stream(stream())],
        };
        let text = draft.write(&ORIGIN);
        assert_eq!(
            std::str::from_utf8(&text).unwrap(),
            "v=0\r\no=- 1001 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\nt=0 0\r\n\
             m=audio 20000 RTP/SAVP 8 96\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1a=evil\r\na=ptime:20\r\n\
             a=rtcp:20001\r\na=rtcp-mux\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31\r\n\
             a=sendrecv\r\n"
        );
        assert!(!format!("{draft:?}").contains("WVNf"));
    }

    #[test]
    fn refused_lines_repeat_the_offer_with_port_0() {
        let offer = Description::parse(
            Bytes::from_static(b"v=0\r\nm=video 5000/2 RTP/AVPF 96 97\r\nm=x 9 a/b\r\n"),
            &Limits::default(),
        )
        .unwrap();
        let draft = Draft {
            address: ORIGIN.address,
            media: offer
                .media()
                .map(|media| DraftMedia::Refused(RefusedLine::of(&media)))
                .collect(),
        };
        let text = draft.write(&ORIGIN);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.ends_with("t=0 0\r\nm=video 0 RTP/AVPF 96 97\r\nm=x 0 a/b 0\r\n"));
    }

    #[test]
    fn a_refusal_repeats_octets_that_are_no_text() {
        let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=video 9 R\xd4P 9\xff\r\n";
        let offer = Description::parse(Bytes::from_static(body), &Limits::default()).unwrap();
        let media = offer.media().next().unwrap();
        let draft = Draft {
            address: ORIGIN.address,
            media: vec![DraftMedia::Refused(RefusedLine::of(&media))],
        };
        assert!(
            draft
                .write(&ORIGIN)
                .ends_with(b"\r\nm=video 0 R\xd4P 9\xff\r\n")
        );
    }

    #[test]
    fn hold_by_zero_address_keeps_the_port() {
        let mut held = stream();
        held.connection_zero = true;
        held.rtcp = Some("203.0.113.11:7".parse().unwrap());
        let draft = Draft {
            address: ORIGIN.address,
            media: vec![DraftMedia::Stream(held)],
        };
        let text = draft.write(&ORIGIN);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains("m=audio 20000 RTP/SAVP 8 96\r\nc=IN IP4 0.0.0.0\r\n"));
        assert!(text.contains("a=rtcp:7 IN IP4 203.0.113.11\r\n"));
    }
}
