//! Our answers to offers.

use super::super::codec::{Codec, Formats};
use super::super::image::{Agreement, MediaImage};
use super::super::incompatible::{Incompatible, Unusable};
use super::super::profile::Profile;
use super::super::read::{Facts, OfferedKey, Secured};
use super::asking::{admitted, allowed, number_of, told_to};
use super::parts::{Outcome, complete, draft_crypto, draft_format, packet_time, rtcp_line, sdes};
use crate::sdp::{Direction, Draft, DraftIce, DraftMedia, DraftStream, RefusedLine};
use media_api::{FormatId, PayloadBinding, Protection, Suite};

/// Writes our answer to an offer, given what is agreed on the other leg, under which profile, and what this
/// peer was told in answer to the same offer before.
pub(super) fn write_answer(
    offer: &Facts,
    leg: &MediaImage,
    told: Option<(&Agreement, &DraftStream)>,
    (other_profile, other): (&Profile, &Agreement),
    formats: &mut Formats,
) -> Result<(Draft, Agreement), Incompatible> {
    let (main, audio) = offer.main()?;
    let local = leg.local().ok_or(Unusable::OutOfOrder)?;
    let profile = leg.profile();
    let lent = leg.lent_by(&other.theirs);

    // What both have. The numbers are the offerer's (RFC 3264 §6.1).
    let mut common: Vec<(u8, FormatId, Codec)> = Vec::new();
    for (number, codec) in admitted(audio, profile) {
        let found = other
            .formats
            .iter()
            .find_map(|(id, theirs)| Some((*id, theirs.common(&codec)?)))
            .or_else(|| {
                // Digits go another way, and comfort noise becomes audio (MED-225, MED-057).
                let is_turned = match codec.is_comfort_noise() {
                    true => other.codec.is_made() && lent.is_none(),
                    false => codec.is_telephone_event() && other.takes_events_otherwise(),
                };
                Some((formats.id(&codec)?, codec.clone())).filter(|_| is_turned)
            });
        if let Some((id, codec)) = found
            && formats.id(&codec) == Some(id)
            && !common.iter().any(|(_, known, _)| *known == id)
        {
            common.push((number, id, codec));
        }
    }
    // Nothing in common: what this peer has is made of what the other one has (MED-200).
    let is_joined = common.iter().any(|(_, _, codec)| codec.is_audio());
    let may_transcode = lent.is_none() && profile.may_transcode_with(other_profile);
    if !is_joined && other.codec.is_made() && may_transcode {
        let has_events = common.iter().any(|(.., codec)| codec.is_telephone_event());
        let is_passed = other.has_telephone_events() && !has_events;
        for (number, codec) in admitted(audio, profile) {
            if (codec.is_made() || (is_passed && codec.is_telephone_event()))
                && let Some(id) = formats.id(&codec)
                && !common.iter().any(|(_, known, _)| *known == id)
            {
                common.push((number, id, codec.made_here()));
            }
        }
    }
    // One audio codec, or one before the others (MED-201): the other leg's first, unless this peer was told another one in a
    // preview and the other leg can do that too.
    let told = told.filter(|(told, _)| {
        let is_shared = other.formats.iter().any(|(id, _)| *id == told.format);
        is_shared || (!is_joined && common.iter().any(|(_, id, _)| *id == told.format))
    });
    let chosen = told
        .map(|(told, _)| told.format)
        .into_iter()
        .chain(other.formats.iter().map(|(id, _)| *id))
        .find_map(|id| {
            common
                .iter()
                .find(|(_, known, codec)| *known == id && codec.is_audio())
        })
        .or_else(|| {
            // The offerer's order.
            let mut made = common.iter().filter(|_| !is_joined);
            made.find(|(.., codec)| codec.is_audio())
        })
        .cloned()
        .ok_or(Unusable::NoCommonCodec)?;
    // They last as long as the call.
    let mut answered = Vec::with_capacity(common.len());
    answered.push(chosen.clone());
    if profile.answers_all {
        let others = common
            .iter()
            .filter(|own| own.2.is_audio() && own.1 != chosen.1);
        answered.extend(others.cloned());
    }
    let clocks: Vec<u32> = answered.iter().map(|own| own.2.clock_hz).collect();
    let companions = common
        .iter()
        .filter(|(_, _, codec)| !codec.is_audio() && clocks.contains(&codec.clock_hz));
    answered.extend(companions.cloned());
    if lent.is_some() {
        // Nobody stands between the two: the answer is all of the other party's, in its numbers.
        let of = |(id, _): &(FormatId, Codec)| common.iter().find(|(_, known, _)| known == id);
        let all = other.formats.iter().filter_map(of).cloned();
        let numbered = all.map(|(number, id, codec)| {
            let theirs = number_of(&other.theirs, &codec);
            (theirs.unwrap_or(number), id, codec)
        });
        answered = numbered.collect();
    }
    let mut numbered = numbered(leg, answered, lent.is_some())?;
    let wanted = other.theirs.ptime_ms.or(audio.ptime_ms);
    let most = other.theirs.maxptime_ms;
    let (mut ptime_ms, mut maxptime_ms) = packet_time(profile, wanted, most, lent.is_some());
    if let Some((told, stream)) = told {
        // 18x and 2xx carry the same description (SIP-312), so what another fork would have
        // worded otherwise stays as it was told.
        numbered = told
            .negotiated
            .streams
            .iter()
            .flatten()
            .flat_map(|stream| &stream.payloads)
            .zip(&told.formats)
            .map(|(binding, (id, codec))| Numbered {
                ours: binding.receive,
                theirs: binding.send,
                id: *id,
                codec: codec.clone(),
            })
            .collect();
        ptime_ms = stream.ptime_ms.unwrap_or(ptime_ms);
        maxptime_ms = stream.maxptime_ms;
    }

    let (protection, cryptos, dtls) = match &audio.secured {
        // Whoever has begun with keys goes on with them (MED-100).
        Secured::Plain if leg.has_keys() => return Err(Unusable::SrtpRequired.into()),
        Secured::Plain => (Protection::None, Vec::new(), None),
        Secured::Sdes(_) if lent.is_some() => (Protection::None, Vec::new(), None),
        Secured::Sdes(keys) => {
            let has_bare = keys.iter().any(OfferedKey::is_bare);
            let of = |suite: &Suite| {
                let mut good = keys.iter().filter(|key| key.is_bare() || !has_bare);
                good.find(|key| key.key.suite() == *suite)
            };
            let theirs = profile.suites.iter().find_map(of);
            let theirs = theirs.ok_or(Unusable::NoUsableKey)?;
            let protection = sdes(profile, local, theirs)?;
            let own = local
                .keys
                .iter()
                .find(|key| key.suite() == theirs.key.suite());
            let line = own.map(|key| draft_crypto(profile, theirs.tag, theirs.name, key));
            (protection, line.into_iter().collect(), None)
        }
        Secured::Dtls(peer) => {
            let own = leg.dtls().zip(local.fingerprint.as_ref());
            let (own, fingerprint) = own.ok_or(Unusable::OutOfOrder)?;
            let role = peer.answered(leg.handshaken());
            let lines = own.answer(fingerprint, role, peer);
            (peer.terms(role), Vec::new(), Some(lines))
        }
    };
    // The other leg may go over to another codec of its answer at any time (MED-203). This peer is
    // told one only, but it offered the others too, and hearing them beats silence.
    let untold = common.into_iter().filter(|(number, id, codec)| {
        let is_told =
            |own: &Numbered| own.ours == *number || own.theirs == *number || own.id == *id;
        codec.is_audio() && !numbered.iter().any(is_told)
    });
    let untold: Vec<_> = untold.map(Numbered::as_offered).collect();
    let direction = answer_direction(profile, audio.direction, other);
    let stream = DraftStream {
        // An answer has the offer's, whatever is chosen of it; an offer of ours may not (`protocol_of_keys`).
        transport: audio.transport.clone(),
        rtp: lent.as_ref().map_or(local.rtp, |lent| lent.rtp),
        rtcp: rtcp_line(profile, local, audio.rtcp_mux),
        rtcp_mux: audio.rtcp_mux,
        connection_zero: false,
        formats: numbered
            .iter()
            .map(|own| draft_format(profile, own.ours, &own.codec))
            .collect(),
        direction,
        ptime_ms: Some(ptime_ms),
        maxptime_ms,
        cryptos,
        dtls,
        // Who offers without ICE is answered without (RFC 8839 §4.2.2).
        ice: leg
            .ice()
            .filter(|_| audio.ice.is_some())
            .map(|own| match audio.agent(profile.ice) {
                Some(_) => own.draft(local, audio.rtcp_mux),
                None => Box::new(DraftIce::mismatch()),
            }),
        lent,
    };
    let (address, is_past_us) = (stream.rtp.ip(), stream.lent.is_some());
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
        bindings: numbered
            .iter()
            .chain(&untold)
            .map(Numbered::binding)
            .collect(),
        agreed: numbered
            .into_iter()
            .map(|own| (own.id, own.codec))
            .collect(),
        ours: direction,
        peer_wish: audio.direction,
        audio,
        protection,
        rtcp_mux: audio.rtcp_mux,
        is_past_us,
    })?;
    let draft = Draft { address, media };
    Ok((draft, agreement))
}

/// A format of our answer.
struct Numbered {
    /// What we call it, and the peer's packets therefore.
    ours: u8,
    /// What the offer called it, and our packets therefore.
    theirs: u8,
    id: FormatId,
    codec: Codec,
}

impl Numbered {
    fn as_offered((number, id, codec): (u8, FormatId, Codec)) -> Self {
        Self {
            ours: number,
            theirs: number,
            id,
            codec,
        }
    }

    fn binding(&self) -> PayloadBinding {
        PayloadBinding {
            receive: self.ours,
            send: self.theirs,
            id: self.id,
            format: self.codec.format(),
        }
    }
}

/// The formats of our answer by the numbers that they have in it. Where nobody stands between the two, they have them already.
fn numbered(
    leg: &MediaImage,
    answered: Vec<(u8, FormatId, Codec)>,
    is_past_us: bool,
) -> Result<Vec<Numbered>, Incompatible> {
    let mut all: Vec<Numbered> = answered.into_iter().map(Numbered::as_offered).collect();
    if is_past_us || !leg.has_numbers() {
        return Ok(all);
    }
    let mut taken: Vec<(u8, Codec)> = Vec::with_capacity(all.len());
    for own in &mut all {
        let number = leg.answering_number(own.theirs, &own.codec, &taken);
        own.ours = number.ok_or(Unusable::NoCommonCodec)?;
        taken.push((own.ours, own.codec.clone()));
    }
    Ok(all)
}

/// Direction of our answer to X. A peer that only sends hears `recvonly` (SIP-550), whether or not
/// the other leg listens. What else we say is what an offer of ours would tell: whoever is kept from
/// hearing of a hold does not hear of it in an answer either.
fn answer_direction(profile: &Profile, offered: Direction, other: &Agreement) -> Direction {
    let (told, _) = told_to(profile, other.peer_wish);
    let direction = match offered {
        Direction::SendRecv => told,
        Direction::SendOnly => Direction::RecvOnly,
        Direction::RecvOnly => Direction::from_parts(told.sends(), false),
        Direction::Inactive => Direction::Inactive,
    };
    allowed(profile, direction)
}
