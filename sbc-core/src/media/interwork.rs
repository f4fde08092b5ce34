//! Carries offers and answers from one leg to the other.
//!
//! Call the leg that offers X and the other one Y. The usual exchange:
//!
//! 1. [`read`](super::read()) X's offer, [`needs`] says what the relay must reserve, or refuses;
//! 2. [`offer`] writes our offer to Y;
//! 3. [`answer`] takes Y's answer and writes ours to X. It may be called again for every answer
//!    that a fork or a repeated provisional brings; the answer to X stays the same as long as
//!    that is possible;
//! 4. [`MediaImage::commit`] on both legs, or [`MediaImage::rollback`] on both.
//!
//! A later offer that changes nothing for Y ([`must_ask`]) is answered by [`answer_alone`]. Where X
//! sent no offer, [`open`] offers to Y from the profiles, [`settle`] takes Y's answer, [`join`]
//! offers to X what Y accepted, and [`settle`] takes X's answer. [`join`] also serves the new leg
//! of a transfer.
//!
//! Only one audio stream is joined; every other line is answered with port 0 and keeps its place
//! (MED-026). Nothing of X's addresses, keys, candidates or feedback attributes reaches Y
//! (MED-103, SIP-507).

use super::codec::{Codec, Formats};
use super::image::{Agreement, Exchange, MediaImage, OurOffer};
use super::incompatible::{Incompatible, Unusable};
use super::profile::{HoldForm, OneWay, Profile, RtcpLine, Srtp};
use super::read::{AudioFacts, Facts, OfferedKey, Payload, Secured};
use crate::sdp::{
    self, Direction, Draft, DraftCrypto, DraftFormat, DraftMedia, DraftStream, RefusedLine,
};
use bytes::Bytes;
use media_api::{
    EndpointSpec, FormatId, LocalStream, Negotiated, NegotiatedStream, PayloadBinding, Protection,
};
use std::net::SocketAddr;

/// What the relay must reserve before an offer can be carried over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needs {
    /// For the leg that offered.
    pub x: EndpointSpec,
    /// For the other leg.
    pub y: EndpointSpec,
}

/// An answer carried over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Our answer to X.
    pub body: Bytes,
    /// For the relay: X's endpoint.
    pub x: Negotiated,
    /// For the relay: Y's endpoint.
    pub y: Negotiated,
}

/// An offer answered without asking the other leg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnsweredAlone {
    /// Our answer to X.
    pub body: Bytes,
    /// For the relay: X's endpoint.
    pub x: Negotiated,
}

/// Whether X's offer can be carried to a leg with profile `y`, before anything is reserved or
/// rings (MED-204), and what must be reserved.
pub fn needs(offer: &Facts, x: &MediaImage, y: &MediaImage) -> Result<Needs, Incompatible> {
    let (_, audio) = offer.main()?;
    carried_formats(audio, x.profile(), y.profile())?;
    Ok(Needs {
        x: x.spec(),
        y: y.spec(),
    })
}

/// Writes our offer to Y for X's offer. Both legs then have an exchange outstanding; an older one
/// that never ended is forgotten.
pub fn offer(offer: Facts, x: &mut MediaImage, y: &mut MediaImage) -> Result<Bytes, Incompatible> {
    let (_, audio) = offer.main()?;
    let mut carried = carried_formats(audio, x.profile(), y.profile())?;
    prefer_current(&mut carried, y);
    let (direction, zero) = told_to(y.profile(), audio.direction);
    let ask = Ask {
        formats: carried,
        direction,
        zero,
        ptime_ms: audio.ptime_ms,
        maxptime_ms: audio.maxptime_ms,
    };
    let body = write_offer(y, ask)?;
    x.begin(Exchange::Received(offer));
    Ok(body)
}

/// Takes Y's answer to our offer and writes our answer to X's.
pub fn answer(
    answer: &Facts,
    y: &mut MediaImage,
    x: &mut MediaImage,
    formats: &mut Formats,
) -> Result<Answered, Incompatible> {
    let agreed = take_answer(answer, y, formats)?;
    let Exchange::Received(offer) = x.exchange() else {
        return Err(Unusable::OutOfOrder.into());
    };
    let (draft, ours) = write_answer(offer, x, x.answered_stream(), &agreed, formats)?;
    let y_negotiated = agreed.negotiated.clone();
    let x_negotiated = ours.negotiated.clone();
    y.agree(agreed);
    x.agree(ours);
    Ok(Answered {
        body: x.write(draft),
        x: x_negotiated,
        y: y_negotiated,
    })
}

/// Whether a later offer of X changes anything for Y: its codec in use is gone, or X's wish to
/// send or receive is another one, as far as Y is told such things (SIP-544).
pub fn must_ask(offer: &Facts, x: &MediaImage, y: &MediaImage) -> bool {
    let (Ok((_, audio)), Some(before), Some(other)) = (offer.main(), x.committed(), y.committed())
    else {
        return true;
    };
    let keeps_codec = admitted(audio, x.profile())
        .any(|(_, codec)| codec.is_audio() && codec.common(&other.codec).is_some());
    let told = |wish| told_to(y.profile(), wish);
    !keeps_codec || told(audio.direction) != told(before.peer_wish)
}

/// Answers X's offer from what is in force on Y.
pub fn answer_alone(
    offer: Facts,
    x: &mut MediaImage,
    y: &MediaImage,
    formats: &mut Formats,
) -> Result<AnsweredAlone, Incompatible> {
    let other = y.latest().ok_or(Unusable::OutOfOrder)?;
    let (draft, ours) = write_answer(&offer, x, None, other, formats)?;
    let negotiated = ours.negotiated.clone();
    x.begin(Exchange::Received(offer));
    x.agree(ours);
    Ok(AnsweredAlone {
        body: x.write(draft),
        x: negotiated,
    })
}

/// Offers to Y from the profiles, because X sent no offer (SIP-510 b, TDR-SIP-004).
pub fn open(y: &mut MediaImage, x: &Profile) -> Result<Bytes, Incompatible> {
    let mut formats: Vec<(Option<u8>, Codec)> = y
        .profile()
        .codecs
        .iter()
        .filter_map(|codec| Some((None, x.admit(codec)?)))
        .collect();
    if formats.is_empty() {
        return Err(Unusable::NoCommonCodec.into());
    }
    let mut clocks: Vec<u32> = formats.iter().map(|(_, codec)| codec.clock_hz).collect();
    clocks.sort_unstable();
    clocks.dedup();
    let extras = clocks
        .into_iter()
        .map(Codec::telephone_event)
        .chain([Codec::named("CN", 8000)]);
    for extra in extras {
        if let Some(codec) = x.admit(&extra).and_then(|codec| y.profile().admit(&codec)) {
            formats.push((None, codec));
        }
    }
    let ask = Ask {
        formats,
        direction: Direction::SendRecv,
        zero: false,
        ptime_ms: None,
        maxptime_ms: None,
    };
    write_offer(y, ask)
}

/// Offers to X the formats that are agreed on Y: X sent no offer, or is a new leg that is to be
/// joined with Y. X is asked for what Y itself wants, not for a hold that X's side had asked of Y
/// (SIP-512).
pub fn join(x: &mut MediaImage, y: &MediaImage) -> Result<Bytes, Incompatible> {
    let other = y.latest().ok_or(Unusable::OutOfOrder)?;
    let formats: Vec<_> = other
        .formats
        .iter()
        .filter_map(|(_, codec)| Some((None, x.profile().admit(codec)?)))
        .collect();
    if !formats.iter().any(|(_, codec)| codec.is_audio()) {
        return Err(Unusable::NoCommonCodec.into());
    }
    let (direction, zero) = told_to(x.profile(), other.peer_wish);
    let ask = Ask {
        formats,
        direction,
        zero,
        ptime_ms: other.theirs.ptime_ms,
        maxptime_ms: other.theirs.maxptime_ms,
    };
    write_offer(x, ask)
}

/// Takes the answer to an offer that was made by [`open`] or [`join`].
pub fn settle(
    answer: &Facts,
    leg: &mut MediaImage,
    formats: &mut Formats,
) -> Result<Negotiated, Incompatible> {
    let agreed = take_answer(answer, leg, formats)?;
    let negotiated = agreed.negotiated.clone();
    leg.agree(agreed);
    Ok(negotiated)
}

/// What an offer of ours is to say.
struct Ask {
    /// Codecs in order, with the number that the other leg uses.
    formats: Vec<(Option<u8>, Codec)>,
    direction: Direction,
    zero: bool,
    ptime_ms: Option<u32>,
    maxptime_ms: Option<u32>,
}

/// The payload types of a peer that its own trunk allows, in its order.
fn admitted<'a>(
    audio: &'a AudioFacts,
    profile: &'a Profile,
) -> impl Iterator<Item = (u8, Codec)> + 'a {
    audio.payloads.iter().filter_map(|payload| {
        let codec = profile.admit(payload.codec.as_ref()?)?;
        Some((payload.number, codec))
    })
}

/// The formats of X's offer that both trunks allow, in X's order (MED-201). Events and comfort
/// noise come along only for a clock rate that one of the codecs has.
fn carried_formats(
    audio: &AudioFacts,
    x: &Profile,
    y: &Profile,
) -> Result<Vec<(Option<u8>, Codec)>, Incompatible> {
    let mut carried: Vec<(Option<u8>, Codec)> = Vec::new();
    for (number, codec) in admitted(audio, x) {
        let Some(codec) = y.admit(&codec) else {
            continue;
        };
        // The same codec under two numbers would give Teams a reason to refuse (TDR-ERR-013).
        if !carried
            .iter()
            .any(|(_, known)| known.common(&codec).is_some())
        {
            carried.push((Some(number), codec));
        }
    }
    let clocks: Vec<u32> = carried
        .iter()
        .filter(|(_, codec)| codec.is_audio())
        .map(|(_, codec)| codec.clock_hz)
        .collect();
    if clocks.is_empty() {
        return Err(Unusable::NoCommonCodec.into());
    }
    carried.retain(|(_, codec)| codec.is_audio() || clocks.contains(&codec.clock_hz));
    Ok(carried)
}

/// Moves the codec in use on the leg to the front, so that a hold does not change the codec.
fn prefer_current(carried: &mut Vec<(Option<u8>, Codec)>, y: &MediaImage) {
    let Some(current) = y.committed() else {
        return;
    };
    if let Some(at) = carried
        .iter()
        .position(|(_, codec)| codec.common(&current.codec).is_some())
    {
        let entry = carried.remove(at);
        carried.insert(0, entry);
    }
}

/// How a wish of the other leg is told to a leg with this profile: direction, and whether the
/// address is blanked (SIP-551, TDR-HLD-001).
fn told_to(profile: &Profile, wish: Direction) -> (Direction, bool) {
    let (direction, zero) = match (wish, profile.hold) {
        (Direction::SendRecv, _) | (_, HoldForm::Hidden) => (Direction::SendRecv, false),
        (_, HoldForm::Inactive) => (Direction::Inactive, false),
        (_, HoldForm::SendOnly) => (wish, false),
        (_, HoldForm::Zero) => (wish, !wish.receives()),
    };
    (allowed(profile, direction), zero)
}

/// One-way directions become `inactive` where the peer does not understand them.
fn allowed(profile: &Profile, direction: Direction) -> Direction {
    match (profile.one_way, direction) {
        (OneWay::Never, Direction::SendOnly | Direction::RecvOnly) => Direction::Inactive,
        (OneWay::Never | OneWay::Understood, _) => direction,
    }
}

fn write_offer(leg: &mut MediaImage, ask: Ask) -> Result<Bytes, Incompatible> {
    let local = leg.local().ok_or(Unusable::OutOfOrder)?.clone();
    let profile = leg.profile();
    let mut taken: Vec<(u8, Codec)> = Vec::new();
    for (wanted, codec) in ask.formats {
        if let Some(number) = leg.number_for(&codec, wanted, &taken) {
            taken.push((number, codec));
        }
    }
    let before = leg.latest();
    // The line keeps its transport protocol once one is agreed, RTP/SAVPF for instance.
    let transport = before.map_or(
        match profile.srtp {
            Srtp::Off => "RTP/AVP",
            Srtp::Required => "RTP/SAVP",
        },
        |before| before.theirs.transport.as_str(),
    );
    let rtcp_mux = profile.rtcp_mux || before.is_some_and(|before| before.theirs.rtcp_mux);
    let stream = DraftStream {
        transport: transport.to_owned(),
        rtp: local.rtp,
        rtcp: rtcp_line(profile, &local, false),
        rtcp_mux,
        connection_zero: ask.zero,
        formats: taken
            .iter()
            .map(|(number, codec)| draft_format(*number, codec))
            .collect(),
        direction: ask.direction,
        ptime_ms: Some(ask.ptime_ms.unwrap_or(u32::from(profile.ptime_ms))),
        maxptime_ms: ask.maxptime_ms,
        cryptos: profile
            .suites
            .iter()
            .filter_map(|suite| local.keys.iter().find(|key| key.suite() == *suite))
            .zip(1..)
            .map(|(key, tag)| draft_crypto(profile, tag, key))
            .collect(),
    };
    let (mut slots, main) = match before {
        Some(before) => (before.slots.clone(), before.main),
        None => (Vec::new(), 0),
    };
    let mut media: Vec<DraftMedia> = slots.iter().cloned().map(DraftMedia::Refused).collect();
    let own = RefusedLine::of_stream(&stream);
    match media.get_mut(main) {
        Some(slot) => {
            *slot = DraftMedia::Stream(stream.clone());
            slots[main] = own;
        }
        None => {
            media.push(DraftMedia::Stream(stream.clone()));
            slots.push(own);
        }
    }
    let body = leg.write(Draft {
        address: local.rtp.ip(),
        media,
    });
    leg.begin(Exchange::Offered(OurOffer {
        slots,
        main,
        stream,
    }));
    Ok(body)
}

/// Compares an answer with our offer.
fn take_answer(
    answer: &Facts,
    leg: &MediaImage,
    formats: &mut Formats,
) -> Result<Agreement, Incompatible> {
    let Exchange::Offered(offer) = leg.exchange() else {
        return Err(Unusable::OutOfOrder.into());
    };
    let local = leg.local().ok_or(Unusable::OutOfOrder)?;
    let audio = match answer.lines.get(offer.main).map(|line| &line.audio) {
        Some(Ok(audio)) => audio,
        Some(Err(unusable)) => return Err((*unusable).into()),
        None => return Err(Unusable::AnswerMismatch.into()),
    };
    let mut bindings = Vec::new();
    let mut agreed = Vec::new();
    for payload in &audio.payloads {
        let Some((ours, codec)) = match_offered(payload, &offer.stream) else {
            continue;
        };
        // Two numbers for one format would make the way back ambiguous; the first is preferred.
        let Some(id) = formats.id(&codec) else {
            continue;
        };
        if agreed.iter().any(|(known, _)| *known == id) {
            continue;
        }
        bindings.push(PayloadBinding {
            receive: ours,
            send: payload.number,
            id,
            format: codec.format(),
        });
        agreed.push((id, codec));
    }
    let protection = match &audio.secured {
        Secured::Plain => Protection::None,
        Secured::Sdes(keys) => {
            let ours = |key: &&OfferedKey| {
                offer
                    .stream
                    .cryptos
                    .iter()
                    .any(|crypto| crypto.suite == key.key.suite().name())
            };
            let has_tag =
                |key: &&OfferedKey| {
                    offer.stream.cryptos.iter().any(|crypto| {
                        crypto.tag == key.tag && crypto.suite == key.key.suite().name()
                    })
                };
            // The tag should be one of ours, but the suite alone says which key is meant, and
            // Teams was seen to answer with tags of its own (TDR-MED-003).
            let theirs = keys
                .iter()
                .find(has_tag)
                .or_else(|| keys.iter().find(ours))
                .ok_or(Unusable::NoUsableKey)?;
            sdes(local, theirs)?
        }
    };
    let stream = &offer.stream;
    let offered = Direction::from_parts(
        stream.direction.sends(),
        stream.direction.receives() && !stream.connection_zero,
    );
    let before = leg
        .committed()
        .map_or(Direction::SendRecv, |before| before.peer_wish);
    let peer_wish = Direction::from_parts(
        if offered.receives() {
            audio.direction.sends()
        } else {
            before.sends()
        },
        if offered.sends() {
            audio.direction.receives()
        } else {
            before.receives()
        },
    );
    complete(Outcome {
        leg,
        slots: offer.slots.clone(),
        main: offer.main,
        agreed,
        bindings,
        ours: offered,
        peer_wish,
        audio,
        protection,
        rtcp_mux: stream.rtcp_mux && audio.rtcp_mux,
    })
}

/// Our number and the agreed codec for a payload type of an answer.
fn match_offered(payload: &Payload, offered: &DraftStream) -> Option<(u8, Codec)> {
    let codec_of = |format: &DraftFormat| Codec {
        name: format.name.clone(),
        clock_hz: format.clock_hz,
        channels: format.channels,
        fmtp: format.fmtp.clone(),
    };
    match &payload.codec {
        Some(codec) => offered.formats.iter().find_map(|format| {
            let common = codec.common(&codec_of(format))?;
            Some((format.payload_type, common))
        }),
        // A dynamic number without a name: it can only mean what we said.
        None => offered
            .formats
            .iter()
            .find(|format| format.payload_type == payload.number)
            .map(|format| (format.payload_type, codec_of(format))),
    }
}

/// Writes our answer to an offer, given what is agreed on the other leg and what this peer was told
/// in answer to the same offer before.
fn write_answer(
    offer: &Facts,
    leg: &MediaImage,
    told: Option<(&Agreement, &DraftStream)>,
    other: &Agreement,
    formats: &mut Formats,
) -> Result<(Draft, Agreement), Incompatible> {
    let (main, audio) = offer.main()?;
    let local = leg.local().ok_or(Unusable::OutOfOrder)?;
    let profile = leg.profile();

    // What both have. The numbers are the offerer's (RFC 3264 §6.1).
    let mut common: Vec<(u8, FormatId, Codec)> = Vec::new();
    for (number, codec) in admitted(audio, profile) {
        let found = other
            .formats
            .iter()
            .find_map(|(id, theirs)| Some((*id, theirs.common(&codec)?)));
        if let Some((id, codec)) = found
            && formats.id(&codec) == Some(id)
            && !common.iter().any(|(_, known, _)| *known == id)
        {
            common.push((number, id, codec));
        }
    }
    // One audio codec (MED-201): the other leg's first, unless this peer was told another one in a
    // preview and the other leg can do that too.
    let told = told.filter(|(told, _)| other.formats.iter().any(|(id, _)| *id == told.format));
    let chosen = told
        .map(|(told, _)| told.format)
        .into_iter()
        .chain(other.formats.iter().map(|(id, _)| *id))
        .find_map(|id| {
            common
                .iter()
                .find(|(_, known, codec)| *known == id && codec.is_audio())
        })
        .cloned()
        .ok_or(Unusable::NoCommonCodec)?;
    let companions = common
        .into_iter()
        .filter(|(_, _, codec)| !codec.is_audio() && codec.clock_hz == chosen.2.clock_hz);
    let mut answered: Vec<_> = std::iter::once(chosen.clone()).chain(companions).collect();
    let mut ptime_ms = other
        .theirs
        .ptime_ms
        .or(audio.ptime_ms)
        .unwrap_or(u32::from(profile.ptime_ms));
    let mut maxptime_ms = other.theirs.maxptime_ms;
    if let Some((told, stream)) = told {
        // 18x and 2xx carry the same description (SIP-312), so what another fork would have
        // worded otherwise stays as it was told.
        answered = told
            .negotiated
            .streams
            .iter()
            .flatten()
            .flat_map(|stream| &stream.payloads)
            .zip(&told.formats)
            .map(|(binding, (id, codec))| (binding.receive, *id, codec.clone()))
            .collect();
        ptime_ms = stream.ptime_ms.unwrap_or(ptime_ms);
        maxptime_ms = stream.maxptime_ms;
    }

    let (protection, cryptos) = match &audio.secured {
        Secured::Plain => (Protection::None, Vec::new()),
        Secured::Sdes(keys) => {
            let theirs = profile
                .suites
                .iter()
                .find_map(|suite| keys.iter().find(|key| key.key.suite() == *suite))
                .ok_or(Unusable::NoUsableKey)?;
            let protection = sdes(local, theirs)?;
            let own = local
                .keys
                .iter()
                .find(|key| key.suite() == theirs.key.suite());
            let line = own.map(|key| draft_crypto(profile, theirs.tag, key));
            (protection, line.into_iter().collect())
        }
    };
    let direction = answer_direction(profile, audio.direction, other);
    let stream = DraftStream {
        transport: audio.transport.clone(),
        rtp: local.rtp,
        rtcp: rtcp_line(profile, local, audio.rtcp_mux),
        rtcp_mux: audio.rtcp_mux,
        connection_zero: false,
        formats: answered
            .iter()
            .map(|(number, _, codec)| draft_format(*number, codec))
            .collect(),
        direction,
        ptime_ms: Some(ptime_ms),
        maxptime_ms,
        cryptos,
    };
    let slots: Vec<RefusedLine> = offer
        .lines
        .iter()
        .map(|line| line.refused.clone())
        .collect();
    let mut media: Vec<DraftMedia> = slots.iter().cloned().map(DraftMedia::Refused).collect();
    media[main] = DraftMedia::Stream(stream);
    let agreement = complete(Outcome {
        leg,
        slots,
        main,
        bindings: answered
            .iter()
            .map(|(number, id, codec)| PayloadBinding {
                receive: *number,
                send: *number,
                id: *id,
                format: codec.format(),
            })
            .collect(),
        agreed: answered
            .into_iter()
            .map(|(_, id, codec)| (id, codec))
            .collect(),
        ours: direction,
        peer_wish: audio.direction,
        audio,
        protection,
        rtcp_mux: audio.rtcp_mux,
    })?;
    let draft = Draft {
        address: local.rtp.ip(),
        media,
    };
    Ok((draft, agreement))
}

/// Direction of our answer to X. A peer that only sends hears `recvonly` (SIP-550), whether or not
/// the other leg listens. What else we promise is what the other leg does.
fn answer_direction(profile: &Profile, offered: Direction, other: &Agreement) -> Direction {
    let other_sends = other.peer_wish.sends()
        && other
            .negotiated
            .streams
            .iter()
            .flatten()
            .any(|stream| stream.direction.receives());
    let direction = match offered {
        Direction::SendRecv => Direction::from_parts(other_sends, other.peer_wish.receives()),
        Direction::SendOnly => Direction::RecvOnly,
        Direction::RecvOnly => Direction::from_parts(other_sends, false),
        Direction::Inactive => Direction::Inactive,
    };
    allowed(profile, direction)
}

/// Both sides of a completed exchange.
struct Outcome<'a> {
    leg: &'a MediaImage,
    slots: Vec<RefusedLine>,
    main: usize,
    agreed: Vec<(FormatId, Codec)>,
    bindings: Vec<PayloadBinding>,
    /// What our side of the exchange says.
    ours: Direction,
    peer_wish: Direction,
    audio: &'a AudioFacts,
    protection: Protection,
    rtcp_mux: bool,
}

fn complete(outcome: Outcome<'_>) -> Result<Agreement, Incompatible> {
    let Outcome {
        leg,
        slots,
        main,
        mut agreed,
        bindings,
        ours,
        peer_wish,
        audio,
        protection,
        rtcp_mux,
    } = outcome;
    let first_audio = agreed
        .iter()
        .position(|(_, codec)| codec.is_audio())
        .ok_or(Unusable::AnswerMismatch)?;
    let entry = agreed.remove(first_audio);
    agreed.insert(0, entry.clone());
    let (format, codec) = entry;
    let ptime_ms = audio
        .ptime_ms
        .unwrap_or(20)
        .min(audio.maxptime_ms.unwrap_or(u32::MAX))
        .clamp(10, 60);
    let negotiated = Negotiated {
        streams: vec![Some(NegotiatedStream {
            remote_rtp: audio.rtp,
            remote_rtcp: if rtcp_mux { audio.rtp } else { audio.rtcp },
            rtcp_mux,
            direction: media_api::Direction::from_parts(
                ours.sends() && audio.direction.receives(),
                ours.receives() && audio.direction.sends(),
            ),
            protection,
            payloads: bindings,
            source: leg.profile().source_policy(leg.signalling()),
            // 10 to 60 fits.
            ptime_ms: u8::try_from(ptime_ms).unwrap_or(20),
        })],
    };
    Ok(Agreement {
        slots,
        main,
        codec,
        format,
        formats: agreed,
        peer_wish,
        theirs: audio.clone(),
        negotiated,
    })
}

fn sdes(local: &LocalStream, theirs: &OfferedKey) -> Result<Protection, Incompatible> {
    let ours = local
        .keys
        .iter()
        .find(|key| key.suite() == theirs.key.suite())
        .ok_or(Unusable::NoUsableKey)?;
    Ok(Protection::Sdes {
        local: ours.clone(),
        remote: theirs.key.clone(),
    })
}

fn rtcp_line(profile: &Profile, local: &LocalStream, is_muxed: bool) -> Option<SocketAddr> {
    let rtcp = if is_muxed { local.rtp } else { local.rtcp };
    let is_usual = rtcp.ip() == local.rtp.ip()
        && (is_muxed || Some(rtcp.port()) == local.rtp.port().checked_add(1));
    match profile.rtcp_line {
        RtcpLine::WhenNeeded if is_usual => None,
        RtcpLine::WhenNeeded | RtcpLine::Always => Some(rtcp),
    }
}

fn draft_format(number: u8, codec: &Codec) -> DraftFormat {
    DraftFormat {
        payload_type: number,
        name: codec.name.clone(),
        clock_hz: codec.clock_hz,
        channels: codec.channels,
        fmtp: codec.fmtp.clone(),
    }
}

fn draft_crypto(profile: &Profile, tag: u32, key: &media_api::CryptoKey) -> DraftCrypto {
    DraftCrypto {
        tag,
        suite: key.suite().name(),
        inline: sdp::base64_encode(key.expose_key_and_salt()),
        lifetime_exponent: profile.lifetime_exponent,
    }
}
