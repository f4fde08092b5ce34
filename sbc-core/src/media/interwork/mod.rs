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
//! A later offer is answered by [`answer_alone`] as long as X keeps the codec ([`keeps_codec`]).
//! Where Y is to know of a hold then ([`owes`]), [`tell`] offers that to Y. Where X sent no offer,
//! [`open`] offers to Y from the profiles, [`settle`] takes Y's answer, [`join`] offers to X what Y
//! accepted, and [`settle`] takes X's answer. [`invite`] offers to the new leg of a transfer.
//!
//! Only one audio stream is joined; every other line is answered with port 0 and keeps its place
//! (MED-026). Nothing of X's addresses, keys, candidates or feedback attributes reaches Y
//! (MED-103, SIP-507).

mod answering;
mod asking;
mod fax;
mod parts;
mod taking;

use super::codec::{Codec, Formats};
use super::image::{Agreement, Exchange, MediaImage};
use super::incompatible::{Incompatible, Unusable};
use super::profile::{HoldForm, Profile};
use super::read::Facts;
use crate::sdp::{self, Direction, Draft, DraftMedia};
use answering::write_answer;
use asking::{
    Ask, admitted, carried_formats, in_own_order, number_of, own_events, own_noise, prefer_current,
    told_to, write_offer,
};
use bytes::Bytes;
use fax::{answer_fax, offer_fax, take_fax};
use media_api::{EndpointSpec, Negotiated};
use std::fmt;
use taking::take_answer;

/// What the relay must reserve before an offer can be carried over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needs {
    /// For the leg that offered.
    pub x: EndpointSpec,
    /// For the other leg.
    pub y: EndpointSpec,
    /// Whether the two have nothing in common, so that the call will be transcoded (MED-242).
    pub transcodes: bool,
    /// Whether the other leg is offered something on top that is made of what there is, so that the call may be.
    pub may_transcode: bool,
}

/// An answer carried over.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    /// Our answer to X.
    pub body: Bytes,
    /// For the relay: X's endpoint.
    pub x: Negotiated,
    /// For the relay: Y's endpoint.
    pub y: Negotiated,
}

/// An offer answered without asking the other leg.
#[derive(Clone, PartialEq, Eq)]
pub struct AnsweredAlone {
    /// Our answer to X.
    pub body: Bytes,
    /// For the relay: X's endpoint.
    pub x: Negotiated,
}

/// Without the keys in the body.
impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("body", &sdp::redact(&self.body))
            .field("x", &self.x)
            .field("y", &self.y)
            .finish()
    }
}

/// Without the keys in the body.
impl fmt::Debug for AnsweredAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnsweredAlone")
            .field("body", &sdp::redact(&self.body))
            .field("x", &self.x)
            .finish()
    }
}

/// Whether X's offer can be carried to a leg with profile `y`, before anything is reserved or
/// rings (MED-204), and what must be reserved.
pub fn needs(offer: &Facts, x: &MediaImage, y: &MediaImage) -> Result<Needs, Incompatible> {
    let (_, audio) = offer.main()?;
    let carried = carried_formats(audio, x.profile(), y.profile())?;
    Ok(Needs {
        x: x.spec(),
        y: y.spec(),
        transcodes: !carried.iter().any(passes),
        may_transcode: carried.iter().any(|own| own.1.is_audio() && !passes(own)),
    })
}

/// Whether this is audio that one party sends and the other takes, not made of something else.
fn passes((number, codec): &(Option<u8>, Codec)) -> bool {
    number.is_some() && codec.is_audio()
}

/// Writes our offer to Y for X's offer. Both legs then have an exchange outstanding; an older one
/// that never ended is forgotten.
pub fn offer(offer: Facts, x: &mut MediaImage, y: &mut MediaImage) -> Result<Bytes, Incompatible> {
    if let Some((_, fax)) = offer.fax() {
        let body = offer_fax(fax, x, y)?;
        x.begin(Exchange::Received(Box::new(offer)));
        return Ok(body);
    }
    let (_, audio) = offer.main()?;
    let mut carried = carried_formats(audio, x.profile(), y.profile())?;
    in_own_order(&mut carried, x.profile(), y.profile());
    prefer_current(&mut carried, y);
    if admitted(audio, x.profile()).any(|(_, codec)| codec.is_made()) {
        let noise = own_noise(y, carried.iter().map(|(_, codec)| codec));
        carried.extend(noise.map(|codec| (None, codec)));
    }
    let lent = y.lent_by(audio);
    // Nobody stands between the two who could transcode.
    if lent.is_some() && !carried.iter().any(passes) {
        return Err(Unusable::NoCommonCodec.into());
    }
    let (direction, zero) = told_to(y.profile(), audio.direction);
    let ask = Ask {
        formats: carried,
        direction,
        zero,
        ptime_ms: audio.ptime_ms,
        maxptime_ms: audio.maxptime_ms,
        lent,
    };
    let body = write_offer(y, ask)?;
    x.begin(Exchange::Received(Box::new(offer)));
    Ok(body)
}

/// Takes Y's answer to our offer and writes our answer to X's.
pub fn answer(
    answer: &Facts,
    y: &mut MediaImage,
    x: &mut MediaImage,
    formats: &mut Formats,
) -> Result<Answered, Incompatible> {
    if let Exchange::OfferedFax(_) = y.exchange() {
        return answer_switch(answer, y, x);
    }
    let agreed = take_answer(answer, y, formats)?;
    let Exchange::Received(offer) = x.exchange() else {
        return Err(Unusable::OutOfOrder.into());
    };
    let (draft, ours) = write_answer(
        offer,
        x,
        x.answered_stream(),
        (y.profile(), &agreed),
        formats,
    )?;
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

fn answer_switch(
    answer: &Facts,
    y: &mut MediaImage,
    x: &mut MediaImage,
) -> Result<Answered, Incompatible> {
    let agreed = take_fax(answer, y)?;
    let Exchange::Received(offer) = x.exchange().clone() else {
        return Err(Unusable::OutOfOrder.into());
    };
    let (body, ours) = answer_fax(&offer, x, &agreed.theirs)?;
    let answered = Answered {
        body,
        x: ours.negotiated.clone(),
        y: agreed.negotiated.clone(),
    };
    y.agree_fax(agreed);
    x.agree_fax(ours);
    Ok(answered)
}

/// Whether X's later offer can be answered from what is in force on Y: it still has the codec in
/// use there, or the fax. Whatever else it changes is no question to Y, at most something to be told
/// (SIP-544).
pub fn keeps_codec(offer: &Facts, x: &MediaImage, y: &MediaImage) -> bool {
    if offer.fax().is_some() || y.is_fax() {
        return offer.fax().is_some() && y.is_fax();
    }
    let (Ok((_, audio)), Some(other)) = (offer.main(), y.latest()) else {
        return false;
    };
    let mut offered = admitted(audio, x.profile());
    match x
        .latest()
        .filter(|known| are_transcoded(x, known, y, other))
    {
        Some(known) => offered.any(|(_, codec)| codec.joins(&known.codec)),
        None => offered.any(|(_, codec)| codec.joins(&other.codec)),
    }
}

/// Whether the audio of two legs is transcoded, in the agreements that are in force or about to be:
/// they have nothing in common, and both trunks allow it.
pub fn is_transcoded(x: &MediaImage, y: &MediaImage) -> bool {
    let (Some(known), Some(other)) = (x.latest(), y.latest()) else {
        return false;
    };
    !x.is_fax() && !y.is_fax() && are_transcoded(x, known, y, other)
}

/// The codecs of two legs whose audio is transcoded, as [`is_transcoded`] says.
pub fn transcoded<'i>(x: &'i MediaImage, y: &'i MediaImage) -> Option<(&'i Codec, &'i Codec)> {
    let pair = (&x.latest()?.codec, &y.latest()?.codec);
    is_transcoded(x, y).then_some(pair)
}

fn are_transcoded(x: &MediaImage, known: &Agreement, y: &MediaImage, other: &Agreement) -> bool {
    let shares = |(id, codec): &(_, Codec)| {
        codec.is_audio() && other.formats.iter().any(|(other, _)| other == id)
    };
    // Whoever has said that it has the other's codec is to be asked for it instead.
    let could_pass = || {
        admitted(&known.theirs, x.profile()).any(|(_, own)| own.joins(&other.codec))
            || admitted(&other.theirs, y.profile()).any(|(_, own)| own.joins(&known.codec))
    };
    // What costs least, and rules out most, first: it is asked after every input.
    !known.formats.iter().any(shares)
        && x.profile().may_transcode_with(y.profile())
        && known.codec.is_made()
        && other.codec.is_made()
        && !could_pass()
}

/// Whether X does not know yet what it should of Y: that Y holds or has resumed, as far as X is told such things and has any choice left by its own wish (SIP-551).
pub fn owes(x: &MediaImage, y: &MediaImage) -> bool {
    if x.is_fax() || y.is_fax() {
        // Whose partner is new and knows of no fax goes back to audio.
        return x.is_fax() && !y.is_fax();
    }
    let (Some(known), Some(other)) = (x.committed(), y.committed()) else {
        return false;
    };
    let (ours, wish) = (known.ours, known.peer_wish);
    let wanted = told_of(x, other);
    let sends_other = wanted.sends() != ours.sends() && wish.receives();
    // Who holds us and plays music need not know whether anybody listens, only if it is wanted.
    let hears_other = match (ours.receives(), wanted.receives()) {
        (false, true) => wish.sends(),
        (true, false) => wish == Direction::SendRecv,
        _ => false,
    };
    sends_other || hears_other
}

/// Whether X has answered our offer with several codecs, and is to have one (MED-205).
pub fn is_loose(x: &MediaImage) -> bool {
    let audio = |own: &Agreement| own.formats.iter().filter(|own| own.1.is_audio()).count();
    x.profile().one_codec
        && !x.is_fax()
        && !x.is_sent_past_us()
        && x.committed().is_some_and(|known| audio(known) > 1)
}

/// Whether X was told of another place than the one where its media are to go now: that of Y, or ours
/// (MED-312).
pub fn is_misled(x: &MediaImage, y: &MediaImage) -> bool {
    let (Some(told), Some(other)) = (x.stream(), y.committed()) else {
        return false;
    };
    let is_fax = x.is_fax() || y.is_fax();
    !is_fax && told.lent != x.lent_by(&other.theirs)
}

/// Whether X's later offer says nothing that it has not said before.
pub fn says_nothing_new(offer: &Facts, x: &MediaImage) -> bool {
    let known = x.committed().filter(|_| !x.is_fax());
    let (Some(known), Ok((main, audio))) = (known, offer.main()) else {
        return false;
    };
    main == known.main && *audio == known.theirs
}

/// Whether X hears what we send it, as far as is agreed.
pub fn listens(x: &MediaImage) -> bool {
    let agreed = x.committed().filter(|_| !x.is_fax());
    agreed.is_some_and(|known| known.ours.sends() && known.theirs.direction.receives())
}

/// Whether X listens while Y neither sends nor listens, so that X hears nothing but what is ours: it is
/// not told of the hold, or told that we send (SIP-551). A Y that still sends has music of its own, as far
/// as it was told that it is listened to.
pub fn is_left_waiting(x: &MediaImage, y: &MediaImage) -> bool {
    let is_meant = x.profile().hold == HoldForm::Hidden || x.profile().plays_music;
    let is_idle = |other: &Agreement| {
        let wish = other.peer_wish;
        let plays = wish.sends() && other.ours.receives();
        !wish.receives() && !plays
    };
    is_meant && listens(x) && !y.is_fax() && y.committed().is_some_and(is_idle)
}

/// Whether X would listen, but was told of a hold, so that it cannot hear how somebody rings who is about to
/// take the place of who holds it (SIP-804).
pub fn misses_ringing(x: &MediaImage) -> bool {
    let agreed = x
        .committed()
        .filter(|_| !x.is_fax() && !x.is_sent_past_us());
    agreed.is_some_and(|known| !known.ours.sends() && known.peer_wish.receives())
}

/// Whether X was told another codec early than Y has in the end (SIP-312).
pub fn lacks_codec(x: &MediaImage, y: &MediaImage) -> bool {
    let (Some(known), Some(other)) = (x.committed(), y.committed()) else {
        return false;
    };
    !other.formats.iter().any(|(id, _)| *id == known.format) && !is_transcoded(x, y)
}

/// Whether the two legs talk in different codecs, as they may once one of them has taken another's
/// place: X has to be offered what Y talks.
pub fn differs(x: &MediaImage, y: &MediaImage) -> bool {
    let (Some(known), Some(other)) = (x.committed(), y.committed()) else {
        return false;
    };
    // What its trunk allows is asked of it before anything is transcoded.
    let is_left = x.profile().admit(&other.codec).is_none() && is_transcoded(x, y);
    !known.codec.joins(&other.codec) && !is_left
}

/// What [`join`] would say of Y to X: what X refuses if it refuses that.
pub fn wanted(x: &MediaImage, y: &MediaImage) -> Option<Direction> {
    Some(told_of(x, y.committed()?))
}

/// Direction of an offer of ours to X, a blanked address counted. It is the wish of Y itself, not
/// what is left of it by X's own: X's answer says that, and may say otherwise than before (SIP-552).
fn told_of(x: &MediaImage, other: &Agreement) -> Direction {
    let (direction, zero) = told_to(x.profile(), other.peer_wish);
    Direction::from_parts(direction.sends(), direction.receives() && !zero)
}

/// Answers an offer that must not be refused as if nothing of it could be used: every line is there,
/// with port 0. What was in force stays so.
pub fn decline(offer: &Facts, x: &mut MediaImage) -> Option<Bytes> {
    let address = x.local()?.rtp.ip();
    let lines = offer.lines.iter().map(|line| line.refused.clone());
    let media = lines.map(DraftMedia::Refused).collect();
    Some(x.write(Draft { address, media }))
}

/// As [`decline`], for the offer of X that waits for an answer.
pub fn decline_pending(x: &mut MediaImage) -> Option<Bytes> {
    let Exchange::Received(offer) = x.exchange().clone() else {
        return None;
    };
    let body = decline(&offer, x);
    x.rollback();
    body
}

/// Answers X's offer from what is in force on Y.
pub fn answer_alone(
    offer: Facts,
    x: &mut MediaImage,
    y: &MediaImage,
    formats: &mut Formats,
) -> Result<AnsweredAlone, Incompatible> {
    if let Some(other) = y.fax().filter(|_| offer.fax().is_some()) {
        let (body, ours) = answer_fax(&offer, x, &other.theirs)?;
        let negotiated = ours.negotiated.clone();
        x.begin(Exchange::Received(Box::new(offer)));
        x.agree_fax(ours);
        return Ok(AnsweredAlone {
            body,
            x: negotiated,
        });
    }
    let other = y.latest().ok_or(Unusable::OutOfOrder)?;
    x.begin(Exchange::Received(Box::new(offer)));
    let Exchange::Received(offer) = x.exchange() else {
        return Err(Unusable::OutOfOrder.into());
    };
    let (draft, ours) = write_answer(offer, x, None, (y.profile(), other), formats)?;
    let negotiated = ours.negotiated.clone();
    x.agree(ours);
    Ok(AnsweredAlone {
        body: x.write(draft),
        x: negotiated,
    })
}

/// Answers an offer of X that switches its only stream off: every line stays there with port 0, and
/// nothing flows either way until X offers the stream again (RFC 3264 §8.2). It is more than a hold, but
/// Y need not know more. `None` if it is no such offer.
pub fn switch_off(offer: &Facts, x: &mut MediaImage) -> Option<AnsweredAlone> {
    let mut ours = x.committed().filter(|_| !x.is_fax())?.clone();
    if !offer.is_switched_off(ours.main) || offer.fax().is_some() {
        return None;
    }
    ours.slots = offer
        .lines
        .iter()
        .map(|line| line.refused.clone())
        .collect();
    ours.ours = Direction::Inactive;
    ours.peer_wish = Direction::Inactive;
    // The relay ends it: no report, no key, no source of it counts any more (MED-025).
    ours.negotiated.streams.fill(None);
    let negotiated = ours.negotiated.clone();
    let body = decline(offer, x)?;
    x.begin(Exchange::Received(Box::new(offer.clone())));
    x.agree(ours);
    Some(AnsweredAlone {
        body,
        x: negotiated,
    })
}

/// Whether Y could be offered nothing by [`open`] that X has, so that the call would be transcoded (MED-242).
pub fn opens_transcoding(y: &MediaImage, x: &Profile) -> bool {
    let mut codecs = y.profile().codecs.iter();
    !codecs.any(|codec| x.admit(codec).is_some())
}

/// Whether X, a new party, has nothing of what [`invite`] would offer it of Y, so that the two would be
/// transcoded (MED-242).
pub fn invites_transcoding(x: &MediaImage, y: &MediaImage) -> bool {
    let Some(other) = y.latest() else {
        return false;
    };
    let formats = able(y.profile(), other);
    let mut audio = formats.iter().filter(|codec| codec.is_audio());
    !audio.any(|codec| x.profile().admit(codec).is_some())
}

/// What Y has agreed on, then everything else that it has said it can do.
fn able(profile: &Profile, agreement: &Agreement) -> Vec<Codec> {
    let agreed = agreement.formats.iter().map(|(_, codec)| codec.clone());
    let able = admitted(&agreement.theirs, profile).map(|(_, codec)| codec);
    let mut formats: Vec<Codec> = Vec::new();
    for codec in agreed.chain(able) {
        if !formats.iter().any(|known| known.joins(&codec)) {
            formats.push(codec);
        }
    }
    formats
}

/// Offers to Y from the profiles, because X sent no offer (SIP-510 b, TDR-SIP-004).
pub fn open(y: &mut MediaImage, x: &Profile) -> Result<Bytes, Incompatible> {
    let mut formats: Vec<(Option<u8>, Codec)> = y
        .profile()
        .codecs
        .iter()
        .filter_map(|codec| Some((None, x.admit(codec)?)))
        .collect();
    if formats.is_empty() && y.profile().may_transcode_with(x) && x.made_for(false).next().is_some()
    {
        let made = y.profile().made_for(false);
        formats.extend(made.map(|codec| (None, codec)));
    }
    if formats.is_empty() {
        return Err(Unusable::NoCommonCodec.into());
    }
    let mut clocks: Vec<u32> = formats.iter().map(|(_, codec)| codec.clock_hz).collect();
    clocks.sort_unstable();
    clocks.dedup();
    let extras = clocks
        .into_iter()
        .map(Codec::telephone_event)
        .chain([Codec::comfort_noise()]);
    for extra in extras {
        if let Some(codec) = x.admit(&extra).and_then(|codec| y.profile().admit(&codec)) {
            formats.push((None, codec));
        }
    }
    if x.dtmf.converts() {
        let offered = formats.iter().map(|(_, codec)| codec);
        let events: Vec<_> = own_events(y.profile(), offered).collect();
        formats.extend(events.into_iter().map(|codec| (None, codec)));
    }
    let ask = Ask {
        formats,
        direction: Direction::SendRecv,
        zero: false,
        ptime_ms: None,
        maxptime_ms: None,
        // Nobody has said where anything is.
        lent: None,
    };
    write_offer(y, ask)
}

/// Offers to X the formats that are agreed on Y: X sent no offer. X is asked for what Y itself wants,
/// not for a hold that X's side had asked of Y (SIP-512). A fax is offered as it is in force.
pub fn join(x: &mut MediaImage, y: &MediaImage) -> Result<Bytes, Incompatible> {
    if x.is_fax() && y.is_fax() {
        return x.repeat().ok_or(Unusable::OutOfOrder.into());
    }
    let other = y.latest().ok_or(Unusable::OutOfOrder)?;
    offer_of(
        x,
        (y.profile(), other, other.peer_wish),
        other.formats.iter().map(|(_, codec)| codec),
    )
}

/// Tells X what Y wants ([`owes`]), with the codec in use alone: there is none to choose.
pub fn tell(x: &mut MediaImage, y: &MediaImage) -> Result<Bytes, Incompatible> {
    let wish = y.latest().ok_or(Unusable::OutOfOrder)?.peer_wish;
    tell_as(x, y, wish)
}

/// Tells X that Y does not hold it any more, because somebody rings who takes Y's place
/// ([`misses_ringing`]).
pub fn tell_ringing(x: &mut MediaImage, y: &MediaImage) -> Result<Bytes, Incompatible> {
    tell_as(x, y, Direction::SendRecv)
}

fn tell_as(x: &mut MediaImage, y: &MediaImage, wish: Direction) -> Result<Bytes, Incompatible> {
    let other = y.latest().ok_or(Unusable::OutOfOrder)?;
    if let Some(known) = x
        .committed()
        .filter(|known| are_transcoded(x, known, y, other))
    {
        let is_used = |codec: &Codec| !codec.is_audio() || codec.joins(&known.codec);
        let all = known.formats.iter().map(|(_, codec)| codec);
        let formats: Vec<Codec> = all
            .filter(|codec| !x.profile().one_codec || is_used(codec))
            .cloned()
            .collect();
        return offer_of(x, (y.profile(), other, wish), formats.iter());
    }
    let formats = other.formats.iter().map(|(_, codec)| codec);
    // The codec in use alone.
    let takes = |codec: &&Codec| !codec.is_audio() || codec.joins(&other.codec);
    offer_of(x, (y.profile(), other, wish), formats.filter(takes))
}

/// Offers to X, a new party, everything that Y has said it can do, what is in use first. If X
/// chooses something else, Y has to be told ([`differs`]).
pub fn invite(x: &mut MediaImage, y: &MediaImage) -> Result<Bytes, Incompatible> {
    let other = y.latest().ok_or(Unusable::OutOfOrder)?;
    let formats = able(y.profile(), other);
    offer_of(x, (y.profile(), other, other.peer_wish), formats.iter())
}

fn offer_of<'c>(
    x: &mut MediaImage,
    (other_profile, other, wish): (&Profile, &Agreement, Direction),
    formats: impl Iterator<Item = &'c Codec>,
) -> Result<Bytes, Incompatible> {
    let lent = x.lent_by(&other.theirs);
    let mut formats: Vec<_> = formats
        .filter_map(|codec| {
            let number = lent.as_ref().and_then(|_| number_of(&other.theirs, codec));
            Some((number, x.profile().admit(codec)?))
        })
        .collect();
    let has_audio = |(_, codec): &(Option<u8>, Codec)| codec.is_audio();
    let may_transcode = x.profile().may_transcode_with(other_profile) && other.codec.is_made();
    if !formats.iter().any(has_audio) && may_transcode && lent.is_none() {
        // Nothing in common: what X has is made of what Y has (MED-200).
        let made = x.profile().made_for(false).map(|codec| (None, codec));
        formats.splice(0..0, made.collect::<Vec<_>>());
    }
    if !formats.iter().any(has_audio) {
        return Err(Unusable::NoCommonCodec.into());
    }
    if other.takes_events_otherwise() {
        let offered = formats.iter().map(|(_, codec)| codec);
        let events: Vec<_> = own_events(x.profile(), offered).collect();
        formats.extend(events.into_iter().map(|codec| (None, codec)));
    }
    if other.codec.is_made() {
        let offered = formats.iter().map(|(_, codec)| codec);
        let noise = own_noise(x, offered);
        formats.extend(noise.map(|codec| (None, codec)));
    }
    let (direction, zero) = told_to(x.profile(), wish);
    let ask = Ask {
        formats,
        direction,
        zero,
        ptime_ms: other.theirs.ptime_ms,
        maxptime_ms: other.theirs.maxptime_ms,
        lent,
    };
    write_offer(x, ask)
}

/// Offers to X again what is in force, octet by octet; under a new version if something else was
/// offered and refused since. `None` if nothing is in force.
pub fn repeat(x: &mut MediaImage) -> Option<Bytes> {
    x.repeat()
}

/// Takes the answer to an offer that was made by [`open`] or [`join`].
pub fn settle(
    answer: &Facts,
    leg: &mut MediaImage,
    formats: &mut Formats,
) -> Result<Negotiated, Incompatible> {
    if let Exchange::OfferedFax(_) = leg.exchange() {
        let agreed = take_fax(answer, leg)?;
        let negotiated = agreed.negotiated.clone();
        leg.agree_fax(agreed);
        return Ok(negotiated);
    }
    let agreed = take_answer(answer, leg, formats)?;
    let negotiated = agreed.negotiated.clone();
    leg.agree(agreed);
    Ok(negotiated)
}
