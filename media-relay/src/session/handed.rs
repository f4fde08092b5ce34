//! A party that goes on in another session: what it still sends to its old ports goes there (SIP-506).
//!
//! The old session judges and opens the packets, as it always has; the new one numbers them and sends
//! them on as if they had come to its own ports. So no keys and no sockets change hands, and the two may
//! live on different threads. Reports and fax are not passed on.

use super::output::{Outcome, Output};
use super::stream::Accepted;
use super::{MediaSession, Stream};
use crate::packet::rtp::RtpHeader;
use crate::time::Timestamp;
use media_api::{DropReason, EndpointId, Format, HANDED_OVER_MS, SessionId, StreamIndex};
use std::time::Duration;

/// What protection adds to a packet at most, with room to spare.
const ROOM: usize = 64;

/// Which party goes on where.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandedOver {
    /// Index of its endpoint.
    pub(super) endpoint: usize,
    to: SessionId,
    /// Until when it is received from.
    pub(super) until: Timestamp,
}

/// A packet for another session, without protection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handed {
    /// The session that it is for.
    pub to: SessionId,
    /// Where it arrived.
    from: (SessionId, EndpointId),
    stream: StreamIndex,
    format: Format,
    /// The packet, and room for protection behind it.
    slot: Vec<u8>,
    length: usize,
}

impl Handed {
    /// What [`MediaSession::handed`] has made to send on, as its outcome says where it lies.
    pub fn slot(&self) -> &[u8] {
        &self.slot
    }
}

impl MediaSession {
    /// A packet that another session hands over. On [`Outcome::Forward`] it lies in [`Handed::slot`].
    pub fn handed(&mut self, handed: &mut Handed, now: Timestamp, out: &mut Output) -> Outcome {
        let mut endpoints = self.endpoints.iter();
        let endpoint = endpoints.find(|own| !own.is_closed && own.follows == Some(handed.from));
        let streams = endpoint.map(|own| own.streams.clone());
        let Some(at) = streams.and_then(|mut own| own.nth(usize::from(handed.stream.0))) else {
            return Outcome::Dropped(DropReason::NoPath);
        };
        let stream = &mut self.streams[at];
        let path = stream.path;
        let packet = handed.slot.get(..handed.length);
        let accepted = packet
            .ok_or(DropReason::Malformed)
            .and_then(|packet| stream.accept_handed(packet, &handed.format, now));
        let outcome = accepted.and_then(|accepted| {
            if accepted.first {
                self.tell_first_media(at, out);
            }
            let slot = &mut handed.slot[..];
            let taken = self.take_digits(at, &accepted, slot, now, out);
            self.forward((at, path), &accepted, taken, slot, now, out)
        });
        outcome.unwrap_or_else(|reason| {
            self.streams[at].drop_for(reason);
            Outcome::Dropped(reason)
        })
    }

    pub(super) fn hand_over(&mut self, endpoint: EndpointId, to: SessionId, now: Timestamp) {
        if let (Some(endpoint), None) = (self.open_endpoint(endpoint), self.handed_over) {
            let until = now + Duration::from_millis(HANDED_OVER_MS);
            self.handed_over = Some(HandedOver {
                endpoint,
                to,
                until,
            });
            let streams = self.endpoints[endpoint].streams.clone();
            for stream in &mut self.streams[streams] {
                stream.digits.hand_over();
            }
        }
    }

    /// Whether the party of a stream goes on elsewhere.
    pub(super) fn hands_over(&self, stream: usize) -> Option<HandedOver> {
        let handed = self.handed_over?;
        let streams = &self.endpoints.get(handed.endpoint)?.streams;
        streams.contains(&stream).then_some(handed)
    }

    /// Makes a packet for the other session of one that was accepted.
    pub(super) fn passed_on(
        &self,
        at: usize,
        handed: HandedOver,
        accepted: &Accepted,
        slot: &[u8],
    ) -> Result<Outcome, DropReason> {
        let stream: &Stream = &self.streams[at];
        let payload = slot.get(accepted.payload.clone()).unwrap_or_default();
        if stream.digits.is_of_before(accepted, payload) {
            // The end of an event is said three times, and the other session knows nothing of it.
            return Ok(Outcome::Taken(accepted.payload.end));
        }
        // Padding has served its purpose, and would be taken for payload without its count.
        let packet = slot.get(..accepted.payload.end);
        let packet = packet.ok_or(DropReason::Malformed)?;
        let header = RtpHeader::parse(packet).map_err(|_| DropReason::Malformed)?;
        let format = stream.format_of(header.payload_type);
        let format = format.ok_or(DropReason::PayloadType)?.clone();
        let mut slot = Vec::with_capacity(packet.len() + ROOM);
        slot.extend_from_slice(packet);
        if let Some(first) = slot.first_mut() {
            *first &= !PADDED;
        }
        slot.resize(packet.len() + ROOM, 0);
        Ok(Outcome::Handed(Box::new(Handed {
            to: handed.to,
            from: (self.id, self.endpoint_of(at)),
            stream: stream.index,
            format,
            slot,
            length: accepted.payload.end,
        })))
    }

    /// Says that nothing is sent any more, and goes on receiving.
    pub(super) fn take_leave(&mut self, at: usize, now: Timestamp, out: &mut Output) {
        let endpoint = &self.endpoints[at];
        for stream in &mut self.streams[endpoint.streams.clone()] {
            stream.digits.send_no_more();
            let said = stream.say_goodbye(now, self.wall, out);
            out.tell_report((self.id, endpoint.id, stream.index), said);
            stream.rate_interval(now);
            stream.sample(out);
        }
        self.end_sounds_of(at);
    }

    pub(super) fn expire_handed_over(&mut self, now: Timestamp, out: &mut Output) {
        if self.handed_over.is_some_and(|handed| handed.until <= now) {
            self.end_handed_over(now, out);
        }
    }

    pub(super) fn end_handed_over(&mut self, now: Timestamp, out: &mut Output) {
        let Some(handed) = self.handed_over.take() else {
            return;
        };
        if self.is_released {
            self.close_endpoint(handed.endpoint, now, out);
        }
    }
}

/// The bit of the first octet that says that there is padding (RFC 3550 §5.1).
const PADDED: u8 = 0x20;
