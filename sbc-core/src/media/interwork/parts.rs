//! What offers and answers have in common: the completed exchange, keys and single lines.

use super::super::codec::Codec;
use super::super::image::{Agreement, MediaImage};
use super::super::incompatible::{Incompatible, Unusable};
use super::super::profile::{Ice, Profile, RtcpLine};
use super::super::read::{AudioFacts, OfferedKey};
use crate::sdp::{self, Direction, DraftCrypto, DraftFormat, RefusedLine};
use media_api::{
    Content, FormatId, LocalStream, Negotiated, NegotiatedStream, PayloadBinding, Protection,
};
use std::net::SocketAddr;

/// Both sides of a completed exchange.
pub(super) struct Outcome<'a> {
    pub(super) leg: &'a MediaImage,
    pub(super) slots: Vec<RefusedLine>,
    pub(super) main: usize,
    pub(super) agreed: Vec<(FormatId, Codec)>,
    pub(super) bindings: Vec<PayloadBinding>,
    /// What our side of the exchange says.
    pub(super) ours: Direction,
    pub(super) peer_wish: Direction,
    pub(super) audio: &'a AudioFacts,
    pub(super) protection: Protection,
    pub(super) rtcp_mux: bool,
    /// The relay has no part in it: our description told of another place than its own.
    pub(super) is_past_us: bool,
}

pub(super) fn complete(outcome: Outcome<'_>) -> Result<Agreement, Incompatible> {
    let Outcome {
        leg,
        slots,
        main,
        mut agreed,
        mut bindings,
        ours,
        peer_wish,
        audio,
        protection,
        rtcp_mux,
        is_past_us,
    } = outcome;
    let first_audio = agreed
        .iter()
        .position(|(_, codec)| codec.is_audio())
        .ok_or(Unusable::AnswerMismatch)?;
    let entry = agreed.remove(first_audio);
    agreed.insert(0, entry.clone());
    let (format, codec) = entry;
    // What we send of Opus is as the peer wants it, whatever we have written ourselves.
    for binding in bindings
        .iter_mut()
        .filter(|own| own.format.clock_hz == 48_000)
    {
        let mut theirs = audio.payloads.iter();
        let theirs = theirs.find(|own| own.number == binding.send);
        if let Some(codec) = theirs.and_then(|own| own.codec.as_ref()) {
            binding.format.kind = codec.format().kind;
        }
    }
    let ptime_ms = audio
        .ptime_ms
        .unwrap_or(20)
        .min(audio.maxptime_ms.unwrap_or(u32::MAX))
        .clamp(10, 60);
    let stream = (!is_past_us).then(|| NegotiatedStream {
        content: Content::Rtp,
        remote_rtp: audio.rtp,
        remote_rtcp: if rtcp_mux && audio.rtcp.port() != 0 {
            audio.rtp
        } else {
            audio.rtcp
        },
        rtcp_mux,
        direction: media_api::Direction::from_parts(
            ours.sends() && audio.direction.receives(),
            ours.receives() && audio.direction.sends(),
        ),
        protection,
        payloads: bindings,
        source: leg.source_policy(audio.rtp.ip()),
        ice: leg
            .ice()
            .zip(audio.agent(leg.profile().ice))
            // Digits of ours may be sent before Teams has nominated (TDR-ICE-006).
            .and_then(|(own, peer)| own.terms(peer, leg.profile().ice == Ice::Bypass)),
        // 10 to 60 fits.
        ptime_ms: u8::try_from(ptime_ms).unwrap_or(20),
        reports: audio.reports,
        voip_metrics: audio.voip_metrics,
    });
    let negotiated = Negotiated {
        streams: vec![stream],
    };
    Ok(Agreement {
        slots,
        main,
        codec,
        format,
        formats: agreed,
        ours,
        peer_wish,
        theirs: audio.clone(),
        negotiated,
        dtmf: leg.profile().dtmf,
    })
}

/// The keys of both directions. Ours lives as long as its line says.
pub(super) fn sdes(
    profile: &Profile,
    local: &LocalStream,
    theirs: &OfferedKey,
) -> Result<Protection, Incompatible> {
    let ours = local
        .keys
        .iter()
        .find(|key| key.suite() == theirs.key.suite())
        .ok_or(Unusable::NoUsableKey)?;
    let ours = match profile.lifetime_exponent {
        Some(exponent) => ours.clone().with_lifetime(1 << exponent.min(48)),
        None => ours.clone(),
    };
    Ok(Protection::Sdes {
        local: ours,
        remote: theirs.key.clone(),
    })
}

pub(super) fn rtcp_line(
    profile: &Profile,
    local: &LocalStream,
    is_muxed: bool,
) -> Option<SocketAddr> {
    let rtcp = if is_muxed { local.rtp } else { local.rtcp };
    let is_usual = rtcp.ip() == local.rtp.ip()
        && (is_muxed || Some(rtcp.port()) == local.rtp.port().checked_add(1));
    match profile.rtcp_line {
        RtcpLine::WhenNeeded if is_usual => None,
        RtcpLine::WhenNeeded | RtcpLine::Always => Some(rtcp),
    }
}

/// What a description of ours says of packets' lengths, in milliseconds: `a=ptime` and `a=maxptime`. Nobody
/// repacks what goes past us.
pub(super) fn packet_time(
    profile: &Profile,
    ptime_ms: Option<u32>,
    maxptime_ms: Option<u32>,
    is_past_us: bool,
) -> (u32, Option<u32>) {
    let own = u32::from(profile.ptime_ms);
    match profile.own_ptime && !is_past_us {
        true => (own, None),
        false => (ptime_ms.unwrap_or(own), maxptime_ms),
    }
}

pub(super) fn draft_format(profile: &Profile, number: u8, codec: &Codec) -> DraftFormat {
    DraftFormat {
        is_mapped: profile.maps_static || !has_meaning(number, codec),
        payload_type: number,
        name: codec.name.clone(),
        clock_hz: codec.clock_hz,
        channels: codec.channels,
        fmtp: codec.fmtp.clone(),
    }
}

/// Whether a payload type means this codec to everybody (RFC 3551 §6).
fn has_meaning(number: u8, codec: &Codec) -> bool {
    const STATIC: [(u8, &str); 7] = [
        (0, "PCMU"),
        (3, "GSM"),
        (8, "PCMA"),
        (9, "G722"),
        (13, "CN"),
        (15, "G728"),
        (18, "G729"),
    ];
    let mut all = STATIC.iter();
    all.any(|(own, name)| *own == number && codec.is_called(name))
        && codec.clock_hz == 8_000
        && codec.channels <= 1
}

pub(super) fn draft_crypto(
    profile: &Profile,
    tag: u32,
    suite: &'static str,
    key: &media_api::CryptoKey,
) -> DraftCrypto {
    DraftCrypto {
        tag,
        suite,
        inline: sdp::base64_encode(key.expose_key_and_salt()),
        lifetime_exponent: profile.lifetime_exponent,
    }
}
