//! Switches to T.38 and what is agreed of them (SIP-570, MED-330 to MED-333).
//!
//! The fax machines talk to each other: what one says of itself is said to the other, only the
//! addresses are ours. Nothing is encrypted, whatever the audio of the leg was.

use super::super::image::{Exchange, FaxAgreement, MediaImage, OurFax};
use super::super::incompatible::{Incompatible, Unusable};
use super::super::profile::FaxMode;
use super::super::read::{Facts, FaxFacts};
use crate::sdp::{Draft, DraftFax, DraftMedia, RefusedLine};
use bytes::Bytes;
use media_api::{Content, Direction, Negotiated, NegotiatedStream, Protection};
use std::net::SocketAddr;

/// Least packet time, which gives a stream the most packets that it may have.
const PACKET_TIME_MS: u8 = 10;

/// Our offer to Y for X's switch. It takes the place of the audio line, as most do it.
pub(super) fn offer_fax(
    fax: &FaxFacts,
    x: &MediaImage,
    y: &mut MediaImage,
) -> Result<Bytes, Incompatible> {
    if [x, &*y]
        .iter()
        .any(|leg| leg.profile().fax == FaxMode::G711)
    {
        return Err(Unusable::NoFax.into());
    }
    let address = y.local().ok_or(Unusable::OutOfOrder)?.rtp;
    let ours = DraftFax {
        transport: "udptl".to_owned(),
        address,
        fax: fax.fax,
    };
    // Media changes to fax within a call, never before there was audio.
    let (slots, main) = y.slots().ok_or(Unusable::NoFax)?;
    let mut slots = slots.to_vec();
    *slots.get_mut(main).ok_or(Unusable::OutOfOrder)? = RefusedLine::of_fax(&ours);
    let body = y.write(draft(address, &slots, main, ours));
    y.begin(Exchange::OfferedFax(Box::new(OurFax { slots, main })));
    Ok(body)
}

/// What Y's answer to our switch agrees. An audio line that it accepts besides, which we had
/// offered with port 0, is nothing that could be used (SIP-573).
pub(super) fn take_fax(answer: &Facts, leg: &MediaImage) -> Result<FaxAgreement, Incompatible> {
    let Exchange::OfferedFax(offer) = leg.exchange() else {
        return Err(Unusable::OutOfOrder.into());
    };
    let line = answer
        .lines
        .get(offer.main)
        .ok_or(Unusable::AnswerMismatch)?;
    let theirs = line.fax.clone().ok_or(Unusable::AnswerMismatch)?;
    Ok(agreement(leg, offer.slots.clone(), offer.main, theirs))
}

/// Our answer to X's switch, given what the machine behind the other leg says.
pub(super) fn answer_fax(
    offer: &Facts,
    leg: &mut MediaImage,
    other: &FaxFacts,
) -> Result<(Bytes, FaxAgreement), Incompatible> {
    let (main, fax) = offer.fax().ok_or(Unusable::NotAudio)?;
    let address = leg.local().ok_or(Unusable::OutOfOrder)?.rtp;
    let slots: Vec<RefusedLine> = offer
        .lines
        .iter()
        .map(|line| line.refused.clone())
        .collect();
    let ours = DraftFax {
        transport: fax.transport.clone(),
        address,
        fax: other.fax,
    };
    let agreed = agreement(leg, slots, main, fax.clone());
    let body = leg.write(draft(address, &agreed.slots, main, ours));
    Ok((body, agreed))
}

fn draft(address: SocketAddr, slots: &[RefusedLine], main: usize, ours: DraftFax) -> Draft {
    let mut media: Vec<DraftMedia> = slots.iter().cloned().map(DraftMedia::Refused).collect();
    media[main] = DraftMedia::Fax(ours);
    Draft {
        address: address.ip(),
        media,
    }
}

fn agreement(
    leg: &MediaImage,
    slots: Vec<RefusedLine>,
    main: usize,
    theirs: FaxFacts,
) -> FaxAgreement {
    let negotiated = Negotiated {
        streams: vec![Some(NegotiatedStream {
            content: Content::Udptl,
            remote_rtp: theirs.address,
            remote_rtcp: SocketAddr::new(theirs.address.ip(), 0),
            rtcp_mux: false,
            direction: Direction::SendReceive,
            protection: Protection::None,
            payloads: Vec::new(),
            source: leg.source_policy(theirs.address.ip()),
            ice: None,
            ptime_ms: PACKET_TIME_MS,
            reports: None,
            voip_metrics: false,
        })],
    };
    FaxAgreement {
        slots,
        main,
        theirs,
        negotiated,
    }
}
