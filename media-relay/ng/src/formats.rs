//! Which payload types of two parties mean the same, for the life of a call.

use media_api::{Format, FormatId, FormatKind, OpusWishes};
use sbc_core::media::Codec;
use sbc_core::sdp::{Media, static_payload};

/// One payload type that a party has written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Payload {
    pub(crate) number: u8,
    /// `None` for a number of no fixed meaning without `a=rtpmap`.
    pub(crate) encoding: Option<Encoding>,
    /// What who has written it wants to receive, if it is Opus.
    pub(crate) wishes: Option<OpusWishes>,
}

/// What a payload type means. Names are in capitals.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Encoding {
    pub(crate) name: String,
    pub(crate) clock_hz: u32,
    pub(crate) channels: u8,
}

impl Payload {
    /// The payload types of a line in its order, none twice. With one port for RTP and RTCP, 64 to 95 cannot
    /// be told from RTCP (RFC 5761 §4).
    pub(crate) fn of(media: &Media<'_>) -> Vec<Self> {
        let is_muxed = media.rtcp_mux();
        let mut payloads: Vec<Self> = Vec::new();
        for number in media.payload_types() {
            let is_ambiguous = is_muxed && (64..=95).contains(&number);
            if is_ambiguous || payloads.iter().any(|known| known.number == number) {
                continue;
            }
            let encoding = media.rtpmap(number).map(|map| Encoding {
                name: map.name.to_ascii_uppercase(),
                clock_hz: map.clock_hz,
                channels: map.channels,
            });
            // All others want nothing that is read here.
            let opus = encoding.as_ref().filter(|own| own.name == "OPUS");
            let wishes = opus.and_then(|_| Codec::of(media, number)?.format().opus_wishes());
            payloads.push(Self {
                number,
                encoding: encoding.or_else(|| Encoding::of_static(number)),
                wishes,
            });
        }
        payloads
    }

    /// Whether it is `telephone-event`.
    pub(crate) fn is_event(&self) -> bool {
        let encoding = self.encoding.as_ref();
        encoding.is_some_and(|own| own.name == EVENT)
    }

    /// Whether it is speech, and nothing that goes along with that.
    pub(crate) fn is_audio(&self) -> bool {
        let encoding = self.encoding.as_ref();
        encoding.is_none_or(|own| is_audio(&own.name))
    }

    pub(crate) fn clock_hz(&self) -> Option<u32> {
        self.encoding.as_ref().map(|own| own.clock_hz)
    }

    /// The codec that it is, if it is one that the relay can decode and encode.
    pub(crate) fn made(&self) -> Option<Codec> {
        let own = self.encoding.as_ref()?;
        let known = Codec::known(&own.name)?;
        let codec = Codec::named(&known.name, own.clock_hz).with_channels(own.channels);
        codec.is_made().then_some(codec)
    }
}

const EVENT: &str = "TELEPHONE-EVENT";

fn is_audio(name: &str) -> bool {
    let others = [EVENT, "CN", "RED"];
    !others.iter().any(|own| name.eq_ignore_ascii_case(own))
}

impl Encoding {
    /// That of a codec.
    pub(crate) fn of_codec(codec: &Codec) -> Self {
        Self {
            name: codec.name.to_ascii_uppercase(),
            clock_hz: codec.clock_hz,
            channels: codec.channels,
        }
    }

    fn of_static(number: u8) -> Option<Self> {
        static_payload(number).map(|entry| Self {
            name: entry.name.to_owned(),
            clock_hz: entry.clock_hz,
            channels: entry.channels,
        })
    }

    /// A number that nobody explains still passes, and means itself.
    fn unnamed(number: u8) -> Self {
        Self {
            name: format!("PT{number}"),
            clock_hz: 8_000,
            channels: 1,
        }
    }

    fn format(&self) -> Format {
        let is_event = self.name == EVENT;
        Format {
            name: self.name.clone().into(),
            clock_hz: self.clock_hz,
            kind: match is_event {
                true => FormatKind::Event,
                false => FormatKind::Audio,
            },
        }
    }
}

/// A payload type on which both parties have agreed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Common {
    pub(crate) id: FormatId,
    pub(crate) format: Format,
    /// The number that the offerer has written, and wants to receive.
    pub(crate) offered: u8,
    /// The number that the answerer has written.
    pub(crate) answered: u8,
}

impl Common {
    pub(crate) fn is_event(&self) -> bool {
        self.format.kind == FormatKind::Event
    }

    pub(crate) fn is_audio(&self) -> bool {
        is_audio(&self.format.name)
    }
}

/// Formats that a call has had, so that each keeps its identity over its exchanges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formats(Vec<(Encoding, usize)>);

impl Formats {
    /// More than two parties could write within the limits of a description.
    const MOST: usize = 256;

    /// What an answer has taken of an offer. A number of an answer that was not offered, and names nothing
    /// that was, is left out.
    pub(crate) fn common(&mut self, offered: &[Payload], answered: &[Payload]) -> Vec<Common> {
        let mut taken: Vec<u8> = Vec::new();
        let mut common = Vec::new();
        for answer in answered {
            let is_same = |offer: &&Payload| match (&answer.encoding, &offer.encoding) {
                (Some(answered), Some(offered)) => answered == offered,
                // An answer need not explain again what the offer has explained.
                (None, _) | (_, None) => offer.number == answer.number,
            };
            let free = || {
                let free = |offer: &&Payload| !taken.contains(&offer.number);
                offered.iter().filter(free).filter(is_same)
            };
            let by_number = free().find(|offer| offer.number == answer.number);
            let Some(offer) = by_number.or_else(|| free().next()) else {
                continue;
            };
            taken.push(offer.number);
            let encoding = offer.encoding.clone().or_else(|| answer.encoding.clone());
            let encoding = encoding.unwrap_or_else(|| Encoding::unnamed(offer.number));
            // Which of several with the same name it is: they differ in their parameters.
            let before = offered.iter().take_while(|one| one.number != offer.number);
            let ordinal = before.filter(|one| one.encoding == offer.encoding).count();
            if let Some(id) = self.id(&encoding, ordinal) {
                common.push(Common {
                    id,
                    format: encoding.format(),
                    offered: offer.number,
                    answered: answer.number,
                });
            }
        }
        common
    }

    /// A payload type that one party alone has, under one number in both directions.
    pub(crate) fn of_one(&mut self, encoding: &Encoding, number: u8) -> Option<Common> {
        Some(Common {
            id: self.id(encoding, 0)?,
            format: encoding.format(),
            offered: number,
            answered: number,
        })
    }

    fn id(&mut self, encoding: &Encoding, ordinal: usize) -> Option<FormatId> {
        let known = self.0.iter();
        let at = known
            .clone()
            .position(|(known, number)| known == encoding && *number == ordinal);
        let at = match at {
            Some(at) => at,
            None if self.0.len() < Self::MOST => {
                self.0.push((encoding.clone(), ordinal));
                self.0.len() - 1
            }
            None => return None,
        };
        u16::try_from(at).ok().map(FormatId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sbc_core::sdp::{Description, Limits};

    fn payloads(lines: &str) -> Vec<Payload> {
        let text = format!("v=0\r\n{lines}");
        let description = Description::parse(Bytes::from(text), &Limits::default()).unwrap();
        Payload::of(&description.media().next().unwrap())
    }

    fn numbers(common: &[Common]) -> Vec<(u8, u8, u16)> {
        let of = |one: &Common| (one.offered, one.answered, one.id.0);
        common.iter().map(of).collect()
    }

    #[test]
    fn the_same_format_is_found_under_other_numbers_and_keeps_its_identity() {
        let offer = payloads(
            "m=audio 4000 RTP/AVP 8 0 96 101\r\na=rtpmap:96 opus/48000/2\r\n\
             a=rtpmap:101 telephone-event/8000\r\n",
        );
        let answer = payloads(
            "m=audio 4000 RTP/AVP 111 8 100\r\na=rtpmap:111 OPUS/48000/2\r\n\
             a=rtpmap:100 telephone-event/8000\r\n",
        );
        let mut formats = Formats::default();
        let first = formats.common(&offer, &answer);
        assert_eq!(numbers(&first), [(96, 111, 0), (8, 8, 1), (101, 100, 2)]);
        assert_eq!(first[2].format.kind, FormatKind::Event);
        // The other party offers later, in another order.
        let second = formats.common(&answer, &offer);
        assert_eq!(numbers(&second), [(8, 8, 1), (111, 96, 0), (100, 101, 2)]);
    }

    #[test]
    fn of_formats_that_differ_in_parameters_the_number_decides() {
        let both = "m=audio 4000 RTP/AVP 97 98\r\na=rtpmap:97 AMR/8000\r\na=fmtp:97 octet-align=1\r\n\
                    a=rtpmap:98 AMR/8000\r\n";
        let offer = payloads(both);
        let mut formats = Formats::default();
        let second = formats.common(&offer, &offer[1..]);
        assert_eq!(numbers(&second), [(98, 98, 0)]);
        let first = formats.common(&offer, &offer[..1]);
        assert_eq!(numbers(&first), [(97, 97, 1)]);
    }

    #[test]
    fn what_was_not_offered_is_left_out_and_what_nobody_explains_means_itself() {
        let offer = payloads("m=audio 4000 RTP/AVP 0 99\r\n");
        let answer = payloads("m=audio 4000 RTP/AVP 99 8 18\r\n");
        let common = Formats::default().common(&offer, &answer);
        assert_eq!(numbers(&common), [(99, 99, 0)]);
        assert_eq!(common[0].format.name, "PT99");
        assert_eq!(
            payloads("m=audio 1 RTP/AVP 72 72 0\r\na=rtcp-mux\r\n").len(),
            1
        );
    }
}
