//! Answers to our offers.

use super::super::codec::{Codec, Formats};
use super::super::image::{Agreement, Exchange, MediaImage};
use super::super::incompatible::{Incompatible, Unusable};
use super::super::read::{Facts, OfferedKey, Payload, Secured};
use super::parts::{Outcome, complete, sdes};
use crate::sdp::{Direction, DraftFormat, DraftStream};
use media_api::{PayloadBinding, Protection};

/// Compares an answer with our offer.
pub(super) fn take_answer(
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
    let mut bindings = Vec::with_capacity(audio.payloads.len());
    let mut agreed = Vec::with_capacity(audio.payloads.len());
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
    let is_past_us = offer.stream.lent.is_some();
    let has_keys = !offer.stream.cryptos.is_empty();
    let protection = match &audio.secured {
        // The answer has the transport of the offer (MED-022).
        Secured::Plain if has_keys && !is_past_us => return Err(Unusable::SrtpRequired.into()),
        Secured::Sdes(_) if !has_keys && !is_past_us => return Err(Unusable::SrtpOff.into()),
        Secured::Plain => Protection::None,
        Secured::Sdes(_) if is_past_us => Protection::None,
        Secured::Sdes(keys) => {
            let is_ours = |key: &OfferedKey, has_tag: bool| {
                offer.stream.cryptos.iter().any(|crypto| {
                    crypto.suite == key.key.suite().name() && (!has_tag || crypto.tag == key.tag)
                })
            };
            // The tag should be one of ours, and there only one line (RFC 4568 §7.1.2). Teams was seen to
            // write two, one with a key identifier, and tags of its own: then the suite alone says which
            // key of ours is meant. Of those with our tag the one without an identifier that we did not offer
            // counts (MED-106), and where none has it the first (TDR-MED-003).
            let mut good: Vec<&OfferedKey> =
                keys.iter().filter(|key| is_ours(key, false)).collect();
            good.sort_by_key(|key| match (is_ours(key, true), key.is_bare()) {
                (true, true) => 0,
                (true, false) => 1,
                (false, _) => 2,
            });
            let theirs = good.first().copied().ok_or(Unusable::NoUsableKey)?;
            sdes(leg.profile(), local, theirs)?
        }
        Secured::Dtls(peer) => peer.terms(peer.chosen()?),
    };
    let stream = &offer.stream;
    let offered = Direction::from_parts(
        stream.direction.sends(),
        stream.direction.receives() && !stream.connection_zero,
    );
    let before = leg
        .committed()
        .map_or(Direction::SendRecv, |before| before.peer_wish);
    // Whom we hold answers what it may. That it does not want our music is no hold of its own.
    let peer_wish = Direction::from_parts(
        if offered.receives() {
            audio.direction.sends()
        } else {
            before.sends()
        },
        if offered == Direction::SendRecv {
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
        is_past_us,
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
