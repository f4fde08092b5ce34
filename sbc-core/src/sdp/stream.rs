//! One media section: the `m=` line and what is inherited from the session (RFC 8866 §5.14).

use super::attribute::{Attributes, Direction, Fingerprint, Fmtp, Rtcp, RtpMap, Setup};
use super::candidate::Candidate;
use super::connection::{Bandwidth, Connection};
use super::crypto::{Crypto, CryptoFault};
use super::description::{Description, Section};
use super::fax::Fax;
use super::text;
use crate::octets::is_same_word;

/// Media type of an `m=` line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaKind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `image`, T.38 fax.
    Image,
    /// `application`
    Application,
    /// `text`, real-time text.
    Text,
    /// `message`, MSRP.
    Message,
    /// Any other.
    Other,
}

impl MediaKind {
    fn parse(text: &[u8]) -> Self {
        [
            (&b"audio"[..], Self::Audio),
            (b"video", Self::Video),
            (b"image", Self::Image),
            (b"application", Self::Application),
            (b"text", Self::Text),
            (b"message", Self::Message),
        ]
        .into_iter()
        .find(|(name, _)| is_same_word(text, name))
        .map_or(Self::Other, |(_, kind)| kind)
    }
}

/// Transport protocol of an `m=` line (MED-021).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// `RTP/AVP`
    RtpAvp,
    /// `RTP/AVPF`
    RtpAvpf,
    /// `RTP/SAVP`
    RtpSavp,
    /// `RTP/SAVPF`
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP`
    DtlsSavp,
    /// `UDP/TLS/RTP/SAVPF`
    DtlsSavpf,
    /// `udptl`, T.38 over UDP.
    Udptl,
    /// Anything over TCP.
    Tcp,
    /// Any other.
    Other,
}

impl Transport {
    fn parse(text: &[u8]) -> Self {
        let known = [
            (&b"RTP/AVP"[..], Self::RtpAvp),
            (b"RTP/AVPF", Self::RtpAvpf),
            (b"RTP/SAVP", Self::RtpSavp),
            (b"RTP/SAVPF", Self::RtpSavpf),
            (b"UDP/TLS/RTP/SAVP", Self::DtlsSavp),
            (b"UDP/TLS/RTP/SAVPF", Self::DtlsSavpf),
            (b"udptl", Self::Udptl),
        ]
        .into_iter()
        .find(|(name, _)| is_same_word(text, name));
        match known {
            Some((_, transport)) => transport,
            None if text.len() >= 3 && text[..3].eq_ignore_ascii_case(b"TCP") => Self::Tcp,
            None => Self::Other,
        }
    }

    /// Whether the formats of the line are RTP payload types over UDP.
    pub const fn is_rtp(self) -> bool {
        match self {
            Self::RtpAvp
            | Self::RtpAvpf
            | Self::RtpSavp
            | Self::RtpSavpf
            | Self::DtlsSavp
            | Self::DtlsSavpf => true,
            Self::Udptl | Self::Tcp | Self::Other => false,
        }
    }

    /// Whether media is SRTP, by whatever keying.
    pub const fn is_secure(self) -> bool {
        matches!(
            self,
            Self::RtpSavp | Self::RtpSavpf | Self::DtlsSavp | Self::DtlsSavpf
        )
    }

    /// Whether the profile has early feedback (RFC 4585).
    pub const fn is_feedback(self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::DtlsSavpf)
    }
}

/// One media section of a description.
#[derive(Clone, Copy)]
pub struct Media<'a> {
    pub(super) owner: &'a Description,
    pub(super) section: &'a Section,
    /// Position among the `m=` lines, from 0.
    pub(super) index: usize,
}

/// Whether the value of an attribute can be about this payload type: it begins with that number.
fn may_be_of(value: &[u8], payload_type: u8) -> bool {
    let digits = value.iter().take_while(|octet| octet.is_ascii_digit());
    let number = digits.fold(0_u32, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    number == u32::from(payload_type)
}

impl<'a> Media<'a> {
    /// Position among the `m=` lines, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether the line is beyond [`super::Limits::media`] and must be answered with port 0.
    pub fn is_over_limit(&self) -> bool {
        self.index >= self.owner.limits().media
    }

    /// Media type.
    pub fn kind(&self) -> MediaKind {
        MediaKind::parse(self.kind_text())
    }

    /// Media type as written.
    pub fn kind_text(&self) -> &'a [u8] {
        self.owner.slice(&self.section.kind)
    }

    /// Port; 0 says refused or unused.
    pub fn port(&self) -> u16 {
        self.section.port
    }

    /// Number of ports, 1 unless written as `port/count`.
    pub fn port_count(&self) -> u32 {
        self.section.port_count
    }

    /// Transport protocol.
    pub fn transport(&self) -> Transport {
        Transport::parse(self.transport_text())
    }

    /// Transport protocol as written; an answer repeats it exactly (MED-022).
    pub fn transport_text(&self) -> &'a [u8] {
        self.owner.slice(&self.section.transport)
    }

    /// Formats in order of preference, as written.
    pub fn formats(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        text::fields(self.owner.slice(&self.section.formats))
    }

    /// The formats of an RTP line as payload types; others are skipped.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.formats()
            .filter_map(|format| text::number::<u8>(format).filter(|&number| number < 128))
    }

    /// Attributes of this section only.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.owner, self.section.lines.clone())
    }

    /// Attributes at the level of the session.
    pub(super) fn session_attributes(&self) -> Attributes<'a> {
        self.owner.attributes()
    }

    /// First attribute of this name here, else at session level.
    fn inherited(&self, name: &[u8]) -> Option<super::Attribute<'a>> {
        self.attributes()
            .named(name)
            .next()
            .or_else(|| self.owner.attributes().named(name).next())
    }

    /// Connection line of this section, else the one of the session; `None` where it is missing
    /// or cannot be read.
    pub fn connection(&self) -> Option<Connection<'a>> {
        match self.own_connection() {
            Some(value) => Connection::parse(value),
            None => self.owner.connection(),
        }
    }

    /// Value of the first `c=` line of this section.
    pub fn own_connection(&self) -> Option<&'a [u8]> {
        self.owner.values(self.section.lines.clone(), b'c').next()
    }

    /// Bandwidth lines of this section.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'a>> + use<'a> {
        self.owner
            .values(self.section.lines.clone(), b'b')
            .filter_map(Bandwidth::parse)
    }

    /// Bandwidth of this modifier here, else of the session.
    pub fn bandwidth(&self, modifier: &[u8]) -> Option<u64> {
        self.bandwidths()
            .chain(self.owner.bandwidths())
            .find(|bandwidth| bandwidth.modifier.eq_ignore_ascii_case(modifier))
            .map(|bandwidth| bandwidth.value)
    }

    /// Direction here, else of the session, else `sendrecv` (RFC 8866 §6.7).
    pub fn direction(&self) -> Direction {
        self.attributes()
            .direction()
            .or_else(|| self.owner.attributes().direction())
            .unwrap_or(Direction::SendRecv)
    }

    /// The `a=rtpmap` of a payload type.
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'a>> {
        self.attributes()
            .named(b"rtpmap")
            .filter_map(|attribute| attribute.value)
            .filter(|value| may_be_of(value, payload_type))
            .filter_map(RtpMap::parse)
            .find(|map| map.payload_type == payload_type)
    }

    /// All well-formed `a=rtpmap` lines.
    pub fn rtpmaps(&self) -> impl Iterator<Item = RtpMap<'a>> + use<'a> {
        self.attributes()
            .named(b"rtpmap")
            .filter_map(|attribute| RtpMap::parse(attribute.value?))
    }

    /// The `a=fmtp` parameters of a format.
    pub fn fmtp(&self, format: &[u8]) -> Option<Fmtp<'a>> {
        self.attributes()
            .named(b"fmtp")
            .filter_map(|attribute| attribute.value)
            .filter(|value| value.starts_with(format))
            .filter_map(Fmtp::parse)
            .find(|fmtp| fmtp.format == format)
    }

    /// The `a=fmtp` parameters of a payload type.
    pub fn fmtp_of(&self, payload_type: u8) -> Option<Fmtp<'a>> {
        let digits = [100, 10, 1].map(|unit| b'0' + payload_type / unit % 10);
        let zeros = digits.iter().take(2).take_while(|digit| **digit == b'0');
        self.fmtp(digits.get(zeros.count()..)?)
    }

    /// All `a=fmtp` lines.
    pub fn fmtps(&self) -> impl Iterator<Item = Fmtp<'a>> + use<'a> {
        self.attributes()
            .named(b"fmtp")
            .filter_map(|attribute| Fmtp::parse(attribute.value?))
    }

    /// Packet time in milliseconds; fractions are cut off, nonsense is ignored.
    pub fn ptime_ms(&self) -> Option<u32> {
        milliseconds(self.attributes().value(b"ptime")?)
    }

    /// Longest packet time in milliseconds.
    pub fn maxptime_ms(&self) -> Option<u32> {
        milliseconds(self.attributes().value(b"maxptime")?)
    }

    /// `a=rtcp` (RFC 3605).
    pub fn rtcp(&self) -> Option<Rtcp<'a>> {
        Rtcp::parse(self.attributes().value(b"rtcp")?)
    }

    /// Whether RTP and RTCP may share the port (RFC 5761; `rtcp-mux-only` is RFC 8858).
    pub fn rtcp_mux(&self) -> bool {
        self.attributes().has(b"rtcp-mux") || self.attributes().has(b"rtcp-mux-only")
    }

    /// Whether VoIP metrics are asked for, here or of the session: each party says what it wants to be sent
    /// (RFC 3611 §5.2).
    pub fn wants_voip_metrics(&self) -> bool {
        let own = self.attributes().named(b"rtcp-xr");
        let all = own.chain(self.owner.attributes().named(b"rtcp-xr"));
        let mut formats = all.flat_map(|own| super::text::fields(own.value.unwrap_or_default()));
        formats.any(|format| format == b"voip-metrics")
    }

    /// `a=crypto` lines in order, at most [`super::Limits::crypto`]. A line that may not be used
    /// is an error of its own and leaves the others usable (MED-100).
    pub fn cryptos(&self) -> Vec<Result<Crypto<'a>, CryptoFault>> {
        let mut tags = Vec::new();
        self.attributes()
            .named(b"crypto")
            .take(self.owner.limits().crypto)
            .map(|attribute| {
                let crypto = Crypto::parse(attribute.value.unwrap_or_default())?;
                if tags.contains(&crypto.tag) {
                    return Err(CryptoFault::DuplicateTag);
                }
                tags.push(crypto.tag);
                Ok(crypto)
            })
            .collect()
    }

    /// Well-formed candidates in order, at most [`super::Limits::candidates`].
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        self.attributes()
            .named(b"candidate")
            .take(self.owner.limits().candidates)
            .filter_map(|attribute| Candidate::parse(attribute.value?))
    }

    /// ICE user name fragment, here or of the session.
    pub fn ice_ufrag(&self) -> Option<&'a [u8]> {
        self.inherited(b"ice-ufrag")?.value
    }

    /// ICE password, here or of the session.
    pub fn ice_pwd(&self) -> Option<&'a [u8]> {
        self.inherited(b"ice-pwd")?.value
    }

    /// Certificate fingerprints, here or, if there are none, of the session (RFC 8122).
    pub fn fingerprints(&self) -> Vec<Fingerprint<'a>> {
        let own: Vec<_> = self.attributes().fingerprints().collect();
        if own.is_empty() {
            self.owner.attributes().fingerprints().collect()
        } else {
            own
        }
    }

    /// DTLS role, here or of the session (RFC 4145, RFC 8842).
    pub fn setup(&self) -> Option<Setup> {
        Setup::parse(self.inherited(b"setup")?.value?)
    }

    /// Whether there is a line for the DTLS role, whatever it says.
    pub fn has_setup(&self) -> bool {
        self.inherited(b"setup").is_some()
    }

    /// Name of the DTLS association, here or of the session (RFC 8842 §4).
    pub fn tls_id(&self) -> Option<&'a [u8]> {
        self.inherited(b"tls-id")?.value
    }

    /// Identification of the section (RFC 5888).
    pub fn mid(&self) -> Option<&'a [u8]> {
        self.attributes().value(b"mid")
    }

    /// T.38 parameters; meaningful on `m=image` lines.
    pub fn fax(&self) -> Fax {
        Fax::read(self.attributes())
    }
}

fn milliseconds(value: &[u8]) -> Option<u32> {
    let whole = value.trim_ascii().split(|&byte| byte == b'.').next()?;
    text::number(whole).filter(|&time| time > 0)
}
