//! Our offers: what is carried over, in which order, under which numbers.

use super::super::codec::Codec;
use super::super::dtls::protocol_of_keys;
use super::super::image::{Exchange, MediaImage, OurOffer};
use super::super::incompatible::{Incompatible, Unusable};
use super::super::profile::{HoldForm, Ice, OneWay, Profile, Srtp};
use super::super::read::{AudioFacts, Secured};
use super::parts::{draft_crypto, draft_format, packet_time, rtcp_line};
use crate::sdp::{Direction, Draft, DraftMedia, DraftStream, Lent, RefusedLine};
use bytes::Bytes;
use std::sync::Arc;

/// What an offer of ours is to say.
pub(super) struct Ask {
    /// Codecs in order, with the number that the other leg uses.
    pub(super) formats: Vec<(Option<u8>, Codec)>,
    pub(super) direction: Direction,
    pub(super) zero: bool,
    pub(super) ptime_ms: Option<u32>,
    pub(super) maxptime_ms: Option<u32>,
    /// Where the other party's media are, where ours are to be left out.
    pub(super) lent: Option<Arc<Lent>>,
}

/// The payload types of a peer that its own trunk allows, in its order.
pub(super) fn admitted<'a>(
    audio: &'a AudioFacts,
    profile: &'a Profile,
) -> impl Iterator<Item = (u8, Codec)> + 'a {
    audio.payloads.iter().filter_map(|payload| {
        let codec = profile.admit(payload.codec.as_ref()?)?;
        Some((payload.number, codec))
    })
}

/// The number under which a peer has this codec.
pub(super) fn number_of(audio: &AudioFacts, codec: &Codec) -> Option<u8> {
    let mut payloads = audio.payloads.iter();
    let found = payloads.find(|own| own.codec.as_ref().is_some_and(|own| own.joins(codec)));
    found.map(|own| own.number)
}

/// The formats of X's offer that both trunks allow, in X's order, then those that can be made of them
/// for Y (MED-201). Events and comfort noise come along only for a clock rate that one of the codecs
/// has.
pub(super) fn carried_formats(
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
        if !carried.iter().any(|(_, known)| known.joins(&codec)) {
            carried.push((Some(number), codec));
        }
    }
    let has_common = carried.iter().any(|(_, codec)| codec.is_audio());
    let extras = transcoded(audio, x, y, has_common);
    let is_known = |codec: &Codec| carried.iter().any(|(_, known)| known.joins(codec));
    let extras: Vec<Codec> = extras.into_iter().filter(|own| !is_known(own)).collect();
    let events = events_beside(&extras, audio, x, y);
    let behind = extras.into_iter().chain(events);
    for codec in behind {
        if carried.iter().any(|(_, known)| known.joins(&codec)) {
            continue;
        }
        // Audio stands before all that goes with it.
        let last_audio = carried.iter().rposition(|(_, own)| own.is_audio());
        let at = match codec.is_audio() {
            true => last_audio.map_or(0, |at| at + 1),
            false => carried.len(),
        };
        carried.insert(at, (None, codec));
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
    if x.dtmf.converts() {
        let offered = carried.iter().map(|(_, codec)| codec);
        let events = own_events(y, offered).collect::<Vec<_>>();
        carried.extend(events.into_iter().map(|codec| (None, codec)));
    }
    Ok(carried)
}

/// Codecs that can be made for Y of what X offers, in the order of Y's trunk.
pub(super) fn transcoded(
    audio: &AudioFacts,
    x: &Profile,
    y: &Profile,
    has_common: bool,
) -> Vec<Codec> {
    if !x.may_transcode_with(y) {
        return Vec::new();
    }
    let made: Vec<Codec> = y.made_for(has_common).collect();
    // Where nothing is to be made, nobody need know whether it could.
    match !made.is_empty() && admitted(audio, x).any(|(_, codec)| codec.is_made()) {
        true => made,
        false => Vec::new(),
    }
}

/// Events under the clocks of codecs that are made: the relay brings them from one clock to another
/// (MED-220).
fn events_beside(made: &[Codec], audio: &AudioFacts, x: &Profile, y: &Profile) -> Vec<Codec> {
    if made.is_empty() || !admitted(audio, x).any(|(_, codec)| codec.is_telephone_event()) {
        return Vec::new();
    }
    let mut clocks: Vec<u32> = made.iter().map(|codec| codec.clock_hz).collect();
    clocks.sort_unstable();
    clocks.dedup();
    let events = clocks.into_iter().map(Codec::telephone_event);
    events.filter_map(|codec| y.admit(&codec)).collect()
}

/// Events to offer to a leg with this profile beside these formats although the other leg has none:
/// its digits are made of what that one has instead (MED-225).
pub(super) fn own_events<'c>(
    profile: &Profile,
    formats: impl Iterator<Item = &'c Codec> + Clone,
) -> impl Iterator<Item = Codec> {
    let has_events = formats.clone().any(Codec::is_telephone_event);
    let wanted = profile.dtmf.negotiates_events() && !has_events;
    let audio = formats.filter(|codec| codec.is_audio());
    let mut clocks: Vec<u32> = audio.map(|codec| codec.clock_hz).collect();
    clocks.sort_unstable();
    clocks.dedup();
    clocks.truncate(if wanted { clocks.len() } else { 0 });
    clocks.into_iter().map(Codec::telephone_event)
}

/// Comfort noise to offer to a leg beside these formats although the other leg has none: audio is made of
/// it, in what that one has (MED-057). Where something is agreed, it is what was agreed.
pub(super) fn own_noise<'c>(
    leg: &MediaImage,
    mut formats: impl Iterator<Item = &'c Codec> + Clone,
) -> Option<Codec> {
    let noise = Codec::comfort_noise();
    let is_known = formats.clone().any(|codec| codec.joins(&noise));
    let is_beside = |codec: &Codec| codec.is_audio() && codec.clock_hz == noise.clock_hz;
    let is_wanted = match leg.committed() {
        Some(known) => known.has_comfort_noise(),
        None => leg.profile().offers_noise,
    };
    (is_wanted && !is_known && formats.any(is_beside)).then_some(noise)
}

/// Puts audio in the order of one of the two trunks, where it has an order of its own; the called one's
/// counts first. What passes stays before what would have to be made (MED-200).
pub(super) fn in_own_order(formats: &mut [(Option<u8>, Codec)], x: &Profile, y: &Profile) {
    let Some(own) = [y, x].into_iter().find(|profile| profile.own_order) else {
        return;
    };
    let place = |codec: &Codec| own.codecs.iter().position(|own| own.joins(codec));
    formats.sort_by_key(|(number, codec)| match codec.is_audio() {
        true => (number.is_none(), place(codec).unwrap_or(usize::MAX)),
        false => (true, usize::MAX),
    });
}

/// Moves the codec in use on the leg to the front, so that a hold does not change the codec.
pub(super) fn prefer_current(carried: &mut Vec<(Option<u8>, Codec)>, y: &MediaImage) {
    let Some(current) = y.committed() else {
        return;
    };
    if let Some(at) = carried
        .iter()
        .position(|(_, codec)| codec.joins(&current.codec))
    {
        let entry = carried.remove(at);
        carried.insert(0, entry);
    }
}

/// How a wish of the other leg is told to a leg with this profile: direction, and whether the
/// address is blanked (SIP-551, TDR-HLD-001).
pub(super) fn told_to(profile: &Profile, wish: Direction) -> (Direction, bool) {
    let wish = match wish {
        Direction::Inactive if profile.plays_music => Direction::SendOnly,
        wish => wish,
    };
    let (direction, zero) = match (wish, profile.hold) {
        (Direction::SendRecv, _) | (_, HoldForm::Hidden) => (Direction::SendRecv, false),
        // Who only listens holds nobody, and hears nothing of who is told to be silent.
        (Direction::RecvOnly, HoldForm::Inactive) => (Direction::RecvOnly, false),
        (_, HoldForm::Inactive) => (Direction::Inactive, false),
        (_, HoldForm::SendOnly) => (wish, false),
        (_, HoldForm::Zero) => (wish, !wish.receives()),
    };
    (allowed(profile, direction), zero)
}

/// One-way directions become `inactive` where the peer does not understand them.
pub(super) fn allowed(profile: &Profile, direction: Direction) -> Direction {
    match (profile.one_way, direction) {
        (OneWay::Never, Direction::SendOnly | Direction::RecvOnly) => Direction::Inactive,
        (OneWay::Never | OneWay::Understood, _) => direction,
    }
}

pub(super) fn write_offer(leg: &mut MediaImage, ask: Ask) -> Result<Bytes, Incompatible> {
    let local = leg.local().ok_or(Unusable::OutOfOrder)?.clone();
    let profile = leg.profile();
    // Without it nobody could know our certificate, and nothing would ever be heard.
    if profile.srtp == Srtp::Dtls && local.fingerprint.is_none() {
        return Err(Unusable::OutOfOrder.into());
    }
    let mut taken: Vec<(u8, Codec)> = Vec::new();
    for (wanted, codec) in ask.formats {
        // What goes past us has the numbers of who sends it.
        let number = match ask.lent {
            Some(_) => wanted,
            None => leg.number_for(&codec, wanted, &taken),
        };
        if let Some(number) = number {
            taken.push((number, codec));
        }
    }
    let before = leg.latest();
    // The line keeps its transport protocol once one is agreed, RTP/SAVPF for instance.
    let transport = match (before, profile.srtp) {
        (Some(before), Srtp::Off | Srtp::Optional | Srtp::Required) => {
            protocol_of_keys(&before.theirs.transport)
        }
        (Some(before), Srtp::Dtls) => before.theirs.transport.as_str(),
        (None, srtp) => profile.rtp.transport(srtp),
    };
    // What is agreed stays: a leg without keys is not asked for them again.
    let has_keys = match before {
        Some(before) => matches!(before.theirs.secured, Secured::Sdes(_)),
        None => profile.srtp.is_by_description(),
    };
    let rtcp_mux = profile.rtcp_mux || before.is_some_and(|before| before.theirs.rtcp_mux);
    // Who has declined to share the port has reports at their own, whatever is asked again.
    let is_shared = rtcp_mux && before.is_none_or(|before| before.theirs.rtcp_mux);
    // Who may still decline has a candidate for each port, but for Teams, which is told of one (TDR-ICE-002).
    let is_alone = is_shared && (profile.ice != Ice::Lite || before.is_some());
    let (ptime_ms, maxptime_ms) =
        packet_time(profile, ask.ptime_ms, ask.maxptime_ms, ask.lent.is_some());
    let stream = DraftStream {
        transport: transport.to_owned(),
        rtp: ask.lent.as_ref().map_or(local.rtp, |lent| lent.rtp),
        // With ICE it is one of the candidates (RFC 8839 §4.2.1.2), and those are one where the port is shared.
        rtcp: rtcp_line(profile, &local, is_alone && leg.ice().is_some()),
        rtcp_mux,
        connection_zero: ask.zero,
        formats: taken
            .iter()
            .map(|(number, codec)| draft_format(profile, *number, codec))
            .collect(),
        direction: ask.direction,
        ptime_ms: Some(ptime_ms),
        maxptime_ms,
        cryptos: profile
            .suites
            .iter()
            .filter(|_| has_keys)
            .filter_map(|suite| local.keys.iter().find(|key| key.suite() == *suite))
            .zip(1..)
            .map(|(key, tag)| draft_crypto(profile, tag, key.suite().name(), key))
            .collect(),
        dtls: leg
            .dtls()
            .zip(local.fingerprint.as_ref())
            .map(|(own, fingerprint)| own.offer(fingerprint)),
        ice: leg.ice().map(|own| own.draft(&local, is_alone)),
        lent: ask.lent,
    };
    let (mut slots, main) = match leg.slots() {
        Some((slots, main)) => (slots.to_vec(), main),
        None => (Vec::new(), 0),
    };
    let mut media: Vec<DraftMedia> = Vec::with_capacity(slots.len().max(1));
    media.extend(slots.iter().cloned().map(DraftMedia::Refused));
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
        address: stream.rtp.ip(),
        media,
    });
    leg.begin(Exchange::Offered(Box::new(OurOffer {
        slots,
        main,
        stream,
    })));
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{Family, RealmId};

    #[test]
    fn who_only_listens_is_not_told_of_as_a_hold() {
        let carrier = Profile {
            hold: HoldForm::Inactive,
            ..Profile::carrier(RealmId(0), Family::V4)
        };
        let told = |profile, wish| told_to(profile, wish).0;
        assert_eq!(told(&carrier, Direction::RecvOnly), Direction::RecvOnly);
        for holds in [Direction::SendOnly, Direction::Inactive] {
            assert_eq!(told(&carrier, holds), Direction::Inactive);
        }
        // Teams knows nothing in between (TDR-HLD-001).
        let teams = Profile::teams(RealmId(0), Family::V4);
        assert_eq!(told(&teams, Direction::RecvOnly), Direction::Inactive);
    }
}
