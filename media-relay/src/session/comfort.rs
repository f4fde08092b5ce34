//! Noise for a peer that has not agreed to comfort noise, while the other one says that it is quiet
//! (RFC 3389, MED-057).
//!
//! Audio that both have passes as it is, so nothing is decoded for it, and calls without comfort noise do not
//! know of this. A packet of comfort noise begins a run: audio takes its place at once, and more follows in
//! the peer's packet time.
//!
//! | the quiet side                                   | the run                                     |
//! |--------------------------------------------------|---------------------------------------------|
//! | says again how quiet it is                       | goes on, as loud as that                    |
//! | has sent something newer that is no noise        | is over                                     |
//! | sends an event, or a straggler of before         | waits until that is heard                   |
//! | is not heard by this peer any more               | is over                                     |
//!
//! A run is one more origin of the outgoing stream, so numbers and timestamps go on through its beginning and
//! its end (MED-050).

use super::MediaSession;
use super::output::{Outcome, Output};
use super::plan::Path;
use super::play::{MIN_QUIET, PACKET_TIMES_MS, on_grid};
use super::quality::Position;
use super::sequence::Origin;
use super::stream::{Accepted, Stream};
use crate::codec::{Coding, Encoder};
use crate::noise::{Noise, USUAL_LEVEL};
use crate::packet::rtp::HEADER_BYTES;
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use media_api::{DropReason, FormatId, PayloadBinding};
use std::time::Duration;

/// Of the origins of a stream that are its own: sounds are the other one.
const GENERATION: u32 = 1;
/// Samples and octets of the longest packet: 60 ms of G.722 and of either codec.
const MOST_SAMPLES: usize = *PACKET_TIMES_MS.end() as usize * 16;
const MOST_BYTES: usize = *PACKET_TIMES_MS.end() as usize * 8;

/// What a peer needs for noise of its own, made before the first packet that asks for it.
#[derive(Debug)]
pub(super) struct Comfort {
    noise: Noise,
    /// Where the peer has G.722.
    wide: Option<Encoder>,
    run: Option<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// Index of the quiet stream.
    from: usize,
    coding: Coding,
    due: Timestamp,
    /// Packets that had been sent to the peer once the latest of these was.
    sent: u64,
    packets: u64,
    timestamp: u32,
}

/// Whether noise can be made in a format: cheaply, and under the clock that comfort noise has.
pub(super) fn is_filled(binding: &PayloadBinding) -> bool {
    matches!(
        Coding::of(&binding.format),
        Some(Coding::G711(_) | Coding::G722)
    )
}

/// The format that noise is made in: the one that is heard, if it can be, else the first that can.
fn filled(agreed: &[PayloadBinding], heard: Option<FormatId>) -> Option<Coding> {
    let mut all = agreed.iter().filter(|own| is_filled(own));
    let first = all.clone().next();
    let same = all.find(|own| Some(own.id) == heard);
    Coding::of(&same.or(first)?.format)
}

impl MediaSession {
    /// A packet of comfort noise for a peer that has none: `at` is where it came, `to` where it is heard.
    pub(super) fn comfort_told(
        &mut self,
        (at, to): (usize, usize),
        accepted: &Accepted,
        slot: &[u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        let source = self.streams.get(at).ok_or(DropReason::NoPath)?;
        let heard = source.format();
        let is_overtaken = source.reception.newest() != Some(accepted.position);
        let target = self.streams.get_mut(to).ok_or(DropReason::NoPath)?;
        let origin = Origin {
            stream: at,
            generation: accepted.position.generation,
        };
        target
            .outgoing
            .leave_out(origin, accepted.position.extended);
        if is_overtaken {
            return Ok(Outcome::Taken(accepted.payload.end));
        }
        let agreed = target.active().map_or(&[][..], |face| &face.terms.payloads);
        let coding = filled(agreed, heard).ok_or(DropReason::PayloadType)?;
        let comfort = target.comfort.as_deref_mut();
        let comfort = comfort.ok_or(DropReason::PayloadType)?;
        let octets = slot.get(accepted.payload.clone()).unwrap_or_default();
        comfort.noise.told(octets);
        let sent = target.outgoing.packets;
        let goes_on = |run: &Run| (run.from, run.coding, run.sent) == (at, coding, sent);
        if comfort.run.as_ref().is_some_and(goes_on) {
            return Ok(Outcome::Taken(accepted.payload.end));
        }
        comfort.run = Some(Run {
            from: at,
            coding,
            due: now,
            sent,
            packets: 0,
            timestamp: 0,
        });
        target.outgoing.interrupt(to);
        out.is_sooner = true;
        self.comfort_on(to, now, out);
        Ok(Outcome::Taken(accepted.payload.end))
    }

    /// Sends the noise that is due of all streams.
    pub(super) fn comfort(&mut self, now: Timestamp, out: &mut Output) {
        for to in 0..self.streams.len() {
            if self.streams[to]
                .comfort_deadline()
                .is_some_and(|due| due <= now)
            {
                self.comfort_on(to, now, out);
            }
        }
    }

    fn comfort_on(&mut self, to: usize, now: Timestamp, out: &mut Output) {
        let Some(mut comfort) = self.streams[to].comfort.take() else {
            return;
        };
        while let Some(mut run) = comfort.run.filter(|run| run.due <= now) {
            let source = self.streams.get(run.from);
            let goes_on = source.is_some_and(|own| {
                own.is_quiet && !own.is_blocked && own.path == Path::Forward { to }
            });
            let target = &mut self.streams[to];
            let is_left = goes_on && target.send_noise(to, &mut run, &mut comfort, now, out);
            comfort.run = is_left.then_some(run);
        }
        self.streams[to].comfort = Some(comfort);
    }
}

impl Stream {
    /// Makes ready for noise toward this stream's peer, or forgets it where none can be wanted.
    pub(super) fn expect_comfort(&mut self, is_wanted: bool) {
        if !is_wanted {
            self.comfort = None;
            return;
        }
        let agreed = self.active().map_or(&[][..], |face| &face.terms.payloads);
        let is_wide = agreed
            .iter()
            .any(|own| Coding::of(&own.format) == Some(Coding::G722));
        let comfort = self.comfort.get_or_insert_with(|| {
            Box::new(Comfort {
                noise: Noise::of_level(USUAL_LEVEL),
                wide: None,
                run: None,
            })
        });
        if is_wide && comfort.wide.is_none() {
            comfort.wide = Some(Encoder::new(Coding::G722, 16_000));
        }
    }

    /// When noise toward this stream's peer is due.
    pub(super) fn comfort_deadline(&self) -> Option<Timestamp> {
        Some(self.comfort.as_ref()?.run.as_ref()?.due)
    }

    /// Sends the packet that is due, `at` in the session, or lets its time pass; false if there is nothing
    /// any more that it could be sent in.
    fn send_noise(
        &mut self,
        at: usize,
        run: &mut Run,
        comfort: &mut Comfort,
        now: Timestamp,
        out: &mut Output,
    ) -> bool {
        let Some(face) = self.active() else {
            return false;
        };
        let is_it = |own: &&PayloadBinding| Coding::of(&own.format) == Some(run.coding);
        let Some(payload_type) = face.terms.payloads.iter().find(is_it).map(|own| own.send) else {
            return false;
        };
        let (least, most) = PACKET_TIMES_MS.into_inner();
        let packet_ms = face.terms.ptime_ms.clamp(least, most);
        let packet = Duration::from_millis(u64::from(packet_ms));
        // Somebody else has been heard since.
        if let Some(last) = self.outgoing.last_at()
            && self.outgoing.packets != run.sent
        {
            run.sent = self.outgoing.packets;
            run.due = on_grid(run.due.max(last + MIN_QUIET));
            return true;
        }
        // Packets whose time has passed are left out.
        let late = now.since_us(run.due) / (1_000 * u64::from(packet_ms));
        if late == 0 && !self.is_muted && !self.digits.are_sent() {
            let (payload, mut slot) = comfort.packet(run.coding, packet_ms);
            let accepted = Accepted {
                timestamp: run.timestamp,
                clock_hz: run.coding.clock_hz(),
                position: Position {
                    extended: run.packets,
                    generation: GENERATION,
                },
                payload: HEADER_BYTES..HEADER_BYTES + payload,
                send_as: Some(payload_type),
                ..Accepted::ours()
            };
            let origin = Origin {
                stream: at,
                generation: GENERATION,
            };
            // A key that has no index left protects nothing more.
            if let Ok(ready) = self.emit(origin, &accepted, payload_type, &mut slot, run.due) {
                self.outgoing.covers(packet);
                self.generated_packets += 1;
                self.forwarded_at = Some(run.due);
                out.push_generated(self.sockets.realm, at, &ready, &slot);
                run.packets += 1;
            }
            run.sent = self.outgoing.packets;
        }
        let passed_ms = late.max(1) * u64::from(packet_ms);
        let units = passed_ms * u64::from(run.coding.clock_hz()) / 1_000;
        run.timestamp = run.timestamp.wrapping_add(units as u32);
        run.due = on_grid(run.due + Duration::from_millis(passed_ms));
        true
    }
}

impl Comfort {
    /// So many milliseconds of noise with room for a header and a tag, and the octets that they take.
    fn packet(
        &mut self,
        coding: Coding,
        packet_ms: u8,
    ) -> (usize, [u8; HEADER_BYTES + MOST_BYTES + MAX_TRAILER_BYTES]) {
        let mut slot = [0; HEADER_BYTES + MOST_BYTES + MAX_TRAILER_BYTES];
        let room = &mut slot[HEADER_BYTES..HEADER_BYTES + MOST_BYTES];
        let mut plain = None;
        let encoder = match &mut self.wide {
            Some(wide) if coding == Coding::G722 => wide,
            Some(_) | None => plain.insert(Encoder::new(coding, 8_000)),
        };
        let mut samples = [0; MOST_SAMPLES];
        let count = encoder.rate() as usize / 1_000 * usize::from(packet_ms);
        let samples = &mut samples[..count.min(MOST_SAMPLES)];
        samples.fill_with(|| self.noise.sample());
        (encoder.encode(samples, room), slot)
    }
}
