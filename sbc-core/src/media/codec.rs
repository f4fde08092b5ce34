//! Codecs: what a payload type means, when two descriptions of one mean the same, and their
//! identities within a call (RFC 3551 §6, MED-052, MED-202).

use crate::octets::is_same_word;
use crate::sdp::{Media, STATIC_PAYLOADS, static_payload};
use media_api::{Format, FormatId, FormatKind, OpusPackets, OpusWishes, wire_layout};
use std::borrow::Cow;

/// One encoding as described in SDP.
///
/// Equality is equality of the description; whether two codecs can be joined is
/// [`Codec::common`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Codec {
    /// Encoding name; compared without case.
    pub name: Cow<'static, str>,
    /// RTP clock rate in Hz. For G.722 that is 8000 (RFC 3551 §4.5.2).
    pub clock_hz: u32,
    /// Channels, at least 1.
    pub channels: u8,
    /// `a=fmtp` parameters.
    pub fmtp: Option<Cow<'static, str>>,
}

/// What most peers write; a copy of it costs nothing.
const USUAL: [&str; 15] = [
    "PCMA",
    "PCMU",
    "telephone-event",
    "0-15",
    "0-16",
    "G722",
    "G729",
    "annexb=no",
    "annexb=yes",
    "CN",
    "SILK",
    "opus",
    "iLBC",
    "red",
    OPUS_HERE,
];

/// What the relay wants of Opus that it decodes itself (RFC 7587 §6.1): it hears no more than 16 kHz and one channel, and
/// takes what was lost from the next packet, where that repeats it.
const OPUS_HERE: &str = "maxplaybackrate=16000;useinbandfec=1";

fn word(text: &str) -> Cow<'static, str> {
    match USUAL.iter().find(|usual| **usual == text) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(text.to_owned()),
    }
}

impl Codec {
    /// A codec by the name that operators write.
    pub fn known(name: &str) -> Option<Self> {
        let mut all = CODECS.iter();
        let (name, clock_hz, channels) = all.find(|(own, ..)| own.eq_ignore_ascii_case(name))?;
        Some(Self::named(name, *clock_hz).with_channels(*channels))
    }

    /// A mono codec without parameters.
    pub fn named(name: &str, clock_hz: u32) -> Self {
        Self {
            name: word(name),
            clock_hz,
            channels: 1,
            fmtp: None,
        }
    }

    /// `telephone-event` with the events that we pass: digits, A–D and flash.
    pub fn telephone_event(clock_hz: u32) -> Self {
        Self::named("telephone-event", clock_hz).with_fmtp("0-16")
    }

    /// The same codec with these `a=fmtp` parameters.
    #[must_use]
    pub fn with_fmtp(mut self, fmtp: &str) -> Self {
        self.fmtp = Some(word(fmtp));
        self
    }

    /// The same codec with this number of channels.
    #[must_use]
    pub fn with_channels(mut self, channels: u8) -> Self {
        self.channels = channels.max(1);
        self
    }

    /// What `payload_type` means on `media`: by its `a=rtpmap`, else by the static table.
    pub fn of(media: &Media<'_>, payload_type: u8) -> Option<Self> {
        let mut codec = match media.rtpmap(payload_type) {
            Some(map) => Self {
                name: word(map.name),
                clock_hz: map.clock_hz,
                channels: map.channels,
                fmtp: None,
            },
            None => Self::of_static(payload_type)?,
        };
        codec.fmtp = media
            .fmtp_of(payload_type)
            .filter(|fmtp| !fmtp.parameters.is_empty())
            .map(|fmtp| word(&String::from_utf8_lossy(fmtp.parameters)));
        Some(codec)
    }

    /// The codec of a static payload type.
    pub fn of_static(payload_type: u8) -> Option<Self> {
        static_payload(payload_type)
            .map(|entry| Self::named(entry.name, entry.clock_hz).with_channels(entry.channels))
    }

    /// The static payload type of this codec, if it has one.
    pub fn static_number(&self) -> Option<u8> {
        STATIC_PAYLOADS
            .iter()
            .find(|entry| {
                self.is_called(entry.name)
                    && entry.clock_hz == self.clock_hz
                    && entry.channels == self.channels
            })
            .map(|entry| entry.number)
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        is_same_word(self.plain_name(), name.as_bytes())
    }

    /// The name without what some write into it: Annex A of G.729 is bit-compatible with the main body.
    fn plain_name(&self) -> &[u8] {
        match self.name.as_bytes() {
            own if is_same_word(own, b"G729A") => b"G729",
            own => own,
        }
    }

    /// Whether this is `telephone-event` (RFC 4733).
    pub fn is_telephone_event(&self) -> bool {
        self.is_called("telephone-event")
    }

    /// Whether this is G.711, in either law.
    pub fn is_g711(&self) -> bool {
        self.clock_hz == 8_000 && (self.is_called("PCMA") || self.is_called("PCMU"))
    }

    /// Whether this is comfort noise (RFC 3389).
    pub fn is_comfort_noise(&self) -> bool {
        self.is_called("CN")
    }

    /// Comfort noise beside codecs of the clock that G.711 has.
    pub fn comfort_noise() -> Self {
        Self::named("CN", 8_000)
    }

    /// Whether this carries speech: neither events nor comfort noise nor redundancy.
    pub fn is_audio(&self) -> bool {
        !self.is_telephone_event() && !self.is_comfort_noise() && !self.is_called("red")
    }

    /// Whether the relay can decode and encode it: whatever is free of licences and usual on telephones
    /// (MED-200).
    pub fn is_made(&self) -> bool {
        let is_plain = |name| self.is_called(name) && self.clock_hz == 8_000 && self.channels <= 1;
        is_plain("PCMA") || is_plain("PCMU") || is_plain("G722") || self.is_opus()
    }

    /// The codec as we describe it where the relay decodes it itself. What the other side of the line wants to receive, and
    /// has written beside it, is nothing that we want.
    #[must_use]
    pub fn made_here(mut self) -> Self {
        if self.is_opus() {
            self.fmtp = Some(Cow::Borrowed(OPUS_HERE));
        }
        self
    }

    /// Whether name, clock and channels agree.
    pub fn is_same_encoding(&self, other: &Self) -> bool {
        self.clock_hz == other.clock_hz
            && self.channels.max(1) == other.channels.max(1)
            && is_same_word(self.plain_name(), other.plain_name())
    }

    /// Whether packets of one mean something to the other: there is a [`Codec::common`].
    pub fn joins(&self, other: &Self) -> bool {
        self.is_same_encoding(other)
            && match self.is_telephone_event() {
                true => event_set(self.fmtp.as_deref()).meets(&event_set(other.fmtp.as_deref())),
                false => self.identity() == other.identity(),
            }
    }

    /// The codec that both descriptions can be joined with, or `None` if packets of one mean
    /// nothing to the other (MED-202). Parameters that are only wishes of the receiver (those of
    /// Opus, say) pass as `self` has them, because the packets go from end to end.
    pub fn common(&self, other: &Self) -> Option<Self> {
        if !self.is_same_encoding(other) {
            return None;
        }
        if self.fmtp.is_none() && other.fmtp.is_none() && !self.is_telephone_event() {
            // Most codecs, and then no parameter can differ.
            return Some(self.clone());
        }
        let fmtp = if self.is_called("G729") {
            self.either_refuses(other, "annexb")
        } else if self.is_called("G723") {
            self.either_refuses(other, "annexa")
        } else if self.is_telephone_event() {
            Some(common_events(self.fmtp.as_deref(), other.fmtp.as_deref())?)
        } else if self.is_called("iLBC") {
            // 30 ms frames as soon as one side wants them; they are the default (RFC 3952 §5).
            let wants_20 = |codec: &Self| codec.parameter("mode").is_some_and(|mode| mode == "20");
            (wants_20(self) && wants_20(other)).then_some(Cow::Borrowed("mode=20"))
        } else {
            if self.identity() != other.identity() {
                return None;
            }
            self.fmtp.clone()
        };
        Some(Self {
            fmtp,
            ..self.clone()
        })
    }

    /// `name=no` if one of both says so (RFC 4856 §2.1.9).
    fn either_refuses(&self, other: &Self, name: &str) -> Option<Cow<'static, str>> {
        let refuses = |codec: &Self| {
            codec
                .parameter(name)
                .is_some_and(|value| value.eq_ignore_ascii_case("no"))
        };
        (refuses(self) || refuses(other)).then(|| word(&format!("{name}=no")))
    }

    /// A parameter of the `a=fmtp` value, by name without case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.as_deref()?.split(';').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then_some(value.trim())
        })
    }

    /// Parameters that change the meaning of the packets themselves, in a canonical form.
    fn identity(&self) -> String {
        let names: &[&str] = if self.is_called("AMR") || self.is_called("AMR-WB") {
            &[
                "octet-align",
                "crc",
                "robust-sorting",
                "interleaving",
                "mode-set",
            ]
        } else if self.is_called("G7221") {
            &["bitrate"]
        } else {
            &[]
        };
        let mut identity = String::new();
        for name in names {
            // 0 is the default of the AMR switches (RFC 4867 §8.1).
            let value = self.parameter(name).filter(|value| *value != "0");
            if let Some(value) = value {
                identity.push_str(name);
                identity.push('=');
                identity.push_str(value);
                identity.push(';');
            }
        }
        identity
    }

    /// What the relay is told about this codec.
    pub fn format(&self) -> Format {
        Format {
            name: self.name.clone(),
            clock_hz: self.clock_hz,
            kind: if self.is_telephone_event() {
                FormatKind::Event
            } else if self.is_opus() {
                FormatKind::Opus(self.opus_wishes())
            } else {
                FormatKind::Audio
            },
        }
    }

    fn is_opus(&self) -> bool {
        self.clock_hz == 48_000 && self.is_called("opus")
    }

    /// What who has written the parameters wants of Opus (RFC 7587 §6.1). What is no number is as good as missing.
    fn opus_wishes(&self) -> OpusWishes {
        let number = |name| {
            self.parameter(name)
                .and_then(|value| value.parse::<u32>().ok())
        };
        let is_set = |name| self.parameter(name) == Some("1");
        // Other limits are ignored.
        let max_bps = number("maxaveragebitrate").filter(|bps| (6_000..=510_000).contains(bps));
        OpusWishes {
            max_kbps: max_bps
                .and_then(|bps| u16::try_from(bps / 1_000).ok())
                .unwrap_or(0),
            is_narrow: number("maxplaybackrate").is_some_and(|hz| (1..=8_000).contains(&hz)),
            packets: OpusPackets::of(is_set("useinbandfec"), is_set("cbr")),
        }
    }
}

/// Telephone events as one bit each.
#[derive(Clone, Copy)]
struct Events {
    low: u128,
    high: u128,
}

impl Events {
    /// 0–15: what a missing list means (RFC 4733 §7.1.1).
    const DEFAULT: Self = Self {
        low: 0xFFFF,
        high: 0,
    };

    fn meets(&self, other: &Self) -> bool {
        self.low & other.low != 0 || self.high & other.high != 0
    }

    fn add(&mut self, first: u8, last: u8) {
        for event in first..=last {
            match event < 128 {
                true => self.low |= 1 << event,
                false => self.high |= 1 << (event - 128),
            }
        }
    }

    fn has(&self, event: u16) -> bool {
        match event {
            0..128 => self.low >> event & 1 == 1,
            128..256 => self.high >> (event - 128) & 1 == 1,
            _ => false,
        }
    }

    /// One more than the highest event.
    fn end(&self) -> u16 {
        let bits = match self.high {
            0 => 128 - self.low.leading_zeros(),
            high => 256 - high.leading_zeros(),
        };
        u16::try_from(bits).unwrap_or(256)
    }
}

/// The events in both lists, as `0-15,16`.
fn common_events(left: Option<&str>, right: Option<&str>) -> Option<Cow<'static, str>> {
    let (left, right) = (event_set(left), event_set(right));
    let both = Events {
        low: left.low & right.low,
        high: left.high & right.high,
    };
    match (both.low, both.high) {
        (0xFFFF, 0) => return Some(Cow::Borrowed("0-15")),
        (0x1_FFFF, 0) => return Some(Cow::Borrowed("0-16")),
        _ => {}
    }
    let mut text = String::new();
    let mut event = 0;
    while event < both.end() {
        if !both.has(event) {
            event += 1;
            continue;
        }
        let first = event;
        while both.has(event) {
            event += 1;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if event - 1 > first {
            text.push('-');
            text.push_str(&(event - 1).to_string());
        }
    }
    (!text.is_empty()).then_some(Cow::Owned(text))
}

fn event_set(list: Option<&str>) -> Events {
    // What nearly everybody writes need not be taken apart.
    match list {
        None | Some("0-15") => return Events::DEFAULT,
        Some("0-16") => {
            return Events {
                low: 0x1_FFFF,
                high: 0,
            };
        }
        Some(_) => {}
    }
    let mut set = Events { low: 0, high: 0 };
    let mut is_readable = false;
    for part in list.unwrap_or_default().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // `events=` is the media type parameter's name, seen in a=fmtp too.
        let first = first.trim().trim_start_matches("events=");
        if let (Ok(first), Ok(last)) = (
            first.parse::<u8>(),
            last.trim_start_matches("events=").trim().parse::<u8>(),
        ) {
            is_readable = true;
            set.add(first, last);
        }
    }
    match is_readable {
        true => set,
        false => Events::DEFAULT,
    }
}

/// Identities of the encodings of one call, shared by all its legs.
///
/// Two endpoints that bind the same [`FormatId`] exchange packets by rewriting the payload type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Formats {
    known: Vec<(Codec, String)>,
}

/// More encodings than any call needs; what comes on top is not negotiated.
const FORMATS_PER_CALL: usize = 128;

impl Formats {
    /// The identity of `codec` in this call, or `None` if the call has too many.
    pub fn id(&mut self, codec: &Codec) -> Option<FormatId> {
        let identity = codec.identity();
        let known = self
            .known
            .iter()
            .position(|(known, known_identity)| {
                known.is_same_encoding(codec) && *known_identity == identity
            })
            .or_else(|| {
                (self.known.len() < FORMATS_PER_CALL).then(|| {
                    self.known.reserve_exact(1);
                    self.known.push((codec.clone(), identity));
                    self.known.len() - 1
                })
            })?;
        u16::try_from(known).ok().map(FormatId)
    }
}

/// Codecs that can be named: encoding, clock in Hz, channels.
pub const CODECS: [(&str, u32, u8); 7] = [
    ("PCMA", 8_000, 1),
    ("PCMU", 8_000, 1),
    ("G722", 8_000, 1),
    ("G729", 8_000, 1),
    ("GSM", 8_000, 1),
    ("iLBC", 8_000, 1),
    ("opus", 48_000, 2),
];

wire_layout! {
    struct Codec { name, clock_hz, channels, fmtp }
    struct Formats { known }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g729_goes_without_annex_b_if_one_side_says_no() {
        let plain = Codec::named("G729", 8000);
        let refusing = Codec::named("g729a", 8000).with_fmtp("annexb=no");
        assert_eq!(plain.common(&plain).unwrap().fmtp, None);
        assert_eq!(
            plain.common(&refusing).unwrap().fmtp.as_deref(),
            Some("annexb=no")
        );
        assert_eq!(
            refusing.common(&plain).unwrap().fmtp.as_deref(),
            Some("annexb=no")
        );
    }

    #[test]
    fn events_are_those_in_both_lists() {
        let event = |fmtp: Option<&str>| Codec {
            fmtp: fmtp.map(word),
            ..Codec::named("telephone-event", 8000)
        };
        let common = |left, right| event(left).common(&event(right)).map(|c| c.fmtp.unwrap());
        assert_eq!(common(None, Some("0-16")).unwrap(), "0-15");
        assert_eq!(common(Some("0-16"), Some("0-16")).unwrap(), "0-16");
        assert_eq!(common(Some("0-11,16,66"), Some("0-16")).unwrap(), "0-11,16");
        assert_eq!(common(Some("garbage"), Some("0-16")).unwrap(), "0-15");
        assert_eq!(common(Some("32-36"), Some("0-16")), None);
        assert_eq!(common(Some("16-0"), Some("0-16")), None);
    }

    #[test]
    fn what_joins_has_something_in_common() {
        let codecs = [
            Codec::named("PCMA", 8000),
            Codec::named("G729", 8000),
            Codec::named("G729A", 8000).with_fmtp("annexb=no"),
            Codec::named("AMR", 8000),
            Codec::named("AMR", 8000).with_fmtp("octet-align=1"),
            Codec::named("opus", 48000).with_channels(2),
            Codec::named("iLBC", 8000).with_fmtp("mode=20"),
            Codec::telephone_event(8000),
            Codec::named("telephone-event", 8000).with_fmtp("32-36,200-255"),
            Codec::named("telephone-event", 8000).with_fmtp("255"),
        ];
        for one in &codecs {
            for other in &codecs {
                assert_eq!(
                    one.joins(other),
                    one.common(other).is_some(),
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn the_relay_is_told_what_a_receiver_wants_of_opus() {
        let wishes = |fmtp: &str| {
            let codec = Codec::named("OPUS", 48_000).with_channels(2);
            codec.with_fmtp(fmtp).format().opus_wishes()
        };
        let all = "maxplaybackrate=8000; maxaveragebitrate=20000;useinbandfec=1;stereo=1;cbr=1";
        let wanted = OpusWishes {
            max_kbps: 20,
            is_narrow: true,
            packets: OpusPackets::FecCbr,
        };
        assert_eq!(wishes(all), Some(wanted));
        for odd in [
            "maxaveragebitrate=-1;useinbandfec=0;cbr=yes",
            "maxaveragebitrate=100;maxplaybackrate=0",
            "maxaveragebitrate=510001;maxplaybackrate=16000",
        ] {
            assert_eq!(wishes(odd), Some(OpusWishes::default()), "{odd}");
        }
        assert_eq!(Codec::named("PCMA", 8_000).format().opus_wishes(), None);
    }

    #[test]
    fn parameters_that_change_the_packets_keep_codecs_apart() {
        let aligned = Codec::named("AMR", 8000).with_fmtp("octet-align=1");
        let packed = Codec::named("AMR", 8000).with_fmtp("mode-change-period=2");
        assert!(aligned.common(&packed).is_none());
        let mut formats = Formats::default();
        assert_ne!(formats.id(&aligned), formats.id(&packed));
        assert_eq!(formats.id(&aligned), Some(FormatId(0)));
    }

    #[test]
    fn wishes_of_the_receiver_pass_end_to_end() {
        let offered = Codec::named("opus", 48000)
            .with_channels(2)
            .with_fmtp("useinbandfec=1");
        let allowed = Codec::named("opus", 48000).with_channels(2);
        assert_eq!(offered.common(&allowed), Some(offered.clone()));
        assert!(offered.common(&Codec::named("opus", 48000)).is_none());
    }

    #[test]
    fn ilbc_uses_long_frames_unless_both_want_short_ones() {
        let short = Codec::named("iLBC", 8000).with_fmtp("mode=20");
        let long = Codec::named("iLBC", 8000);
        assert_eq!(
            short.common(&short).unwrap().fmtp.as_deref(),
            Some("mode=20")
        );
        assert_eq!(short.common(&long).unwrap().fmtp, None);
    }

    #[test]
    fn identities_do_not_grow_without_bound() {
        let mut formats = Formats::default();
        for clock in 1..=FORMATS_PER_CALL as u32 {
            assert!(formats.id(&Codec::named("x", clock)).is_some());
        }
        assert_eq!(formats.id(&Codec::named("y", 1)), None);
        assert_eq!(formats.id(&Codec::named("X", 1)), Some(FormatId(0)));
    }
}
