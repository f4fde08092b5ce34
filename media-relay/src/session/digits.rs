//! Digits of a stream's peer: taken out of what it sends, and put into what it is sent.

use super::MediaSession;
use super::coded::Use;
use super::digit::dial::{Dialler, LONGEST, Way};
use super::digit::heard::{Ended, Heard, News, Place, Told};
use super::digit::listen::{Found, Listener, Piece};
use super::output::Output;
use super::stream::{Accepted, Face, Stream};
use crate::codec::Coding;
use crate::g711::Law;
use crate::packet::rtp::HEADER_BYTES;
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use media_api::{Dialled, Digit, EndpointId, Event, FormatKind, Intake, Signal};
use std::time::Duration;

/// What a stream has to do with digits.
#[derive(Debug, Default)]
pub(super) struct Digits {
    intake: Intake,
    heard: Heard,
    /// Only where tones are looked for.
    listener: Option<Box<Listener>>,
    /// Only once something was dialled.
    dialler: Option<Box<Dialler>>,
}

/// How long after a tone was found in audio that others decode its sender stays unheard: until the next piece is back.
const TONE_LASTS: Duration = Duration::from_millis(80);

/// What digits make of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It goes on.
    Not,
    /// It is part of one, and ends here.
    Digit,
    /// It is audio beside one, and not heard.
    Beside,
}

impl Digits {
    /// Whether the peer is being sent a digit.
    pub(super) fn are_sent(&self) -> bool {
        self.dialler.as_ref().is_some_and(|own| own.is_busy())
    }

    /// The payload type and codec in which the peer is being sent a tone, if only those who transcode have it.
    pub(super) fn dialled_in(&self) -> Option<(u8, Coding)> {
        self.dialler.as_ref()?.coded()
    }

    /// Whether a tone that must not pass was found in audio of the peer that others decode, and may last.
    pub(super) fn are_shut(&self, now: Timestamp) -> bool {
        let listener = self.listener.as_ref();
        listener.is_some_and(|own| now < own.shut_until)
    }

    /// Looks for tones in audio of the peer that others have decoded; `None` if nobody looks any more. Where they must not
    /// pass the peer is not heard while there is one; what passed before it was found cannot be called back.
    pub(super) fn overhear(
        &mut self,
        payload: &[u8],
        piece: Piece,
        now: Timestamp,
        out: &mut Output,
    ) -> Option<Found> {
        let was_due = self.deadline().is_some();
        let intake = self.intake;
        let listener = self.listener.as_mut()?;
        let mut found = listener.hear(Law::A, payload, piece, now);
        if found.is_tone && !intake.lets_pass() {
            listener.shut_until = now + TONE_LASTS;
        }
        found.begun = found.begun.filter(|_| intake.tells_begin());
        out.is_sooner |= !was_due && self.deadline().is_some();
        Some(found)
    }

    /// Whether audio of the peer may not pass unseen: tones are looked for, or an event lasts.
    pub(super) fn look_at_audio(&self, now: Timestamp) -> bool {
        self.listener.is_some() || self.heard.is_active(now)
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        // Else nobody waits for its end.
        let heard = self.heard.deadline().filter(|_| self.tells_events());
        let tone = self.listener.as_ref().and_then(|own| own.deadline());
        let dialled = self.dialler.as_ref().and_then(|own| own.deadline());
        [heard, tone, dialled].into_iter().flatten().min()
    }

    fn set(&mut self, intake: Intake) {
        if self.intake == intake {
            return;
        }
        let told_events = self.tells_events();
        self.intake = intake;
        // One that lasts is told at its end by either of the two, and only once.
        if !told_events || !self.tells_events() {
            self.heard = Heard::default();
        }
        // Nor is a tone that lasts: what was heard of it is known.
        match intake {
            Intake::Listen | Intake::Tones => drop(self.listener.get_or_insert_default()),
            Intake::Pass | Intake::Watch | Intake::Events => self.listener = None,
        }
    }

    /// Drops what its peer would still be sent.
    pub(super) fn send_no_more(&mut self) {
        self.dialler = None;
    }

    /// Its peer goes on in another session: what lasts is told there, at its end.
    pub(super) fn hand_over(&mut self) {
        self.heard.forget_current();
        self.listener = None;
    }

    /// Whether a packet belongs to an event that was over before its peer was handed over.
    pub(super) fn is_of_before(&self, accepted: &Accepted, payload: &[u8]) -> bool {
        let told = Told::read(payload).filter(|_| accepted.is_event);
        told.is_some_and(|told| self.heard.is_over(told, accepted.place()))
    }

    fn tells_events(&self) -> bool {
        match self.intake {
            Intake::Watch | Intake::Events => true,
            Intake::Pass | Intake::Listen | Intake::Tones => false,
        }
    }

    /// A packet of events: what is new by it.
    fn event(&mut self, payload: &[u8], place: Place, now: Timestamp) -> News {
        match Told::read(payload) {
            Some(told) => self.heard.take(told, place, now),
            None => News::default(),
        }
    }
}

impl MediaSession {
    /// What becomes of an endpoint's digits from now on.
    pub(super) fn take(&mut self, endpoint: EndpointId, intake: Intake) {
        if let Some(at) = self.open_endpoint(endpoint) {
            let streams = self.endpoints[at].streams.clone();
            for stream in &mut self.streams[streams] {
                stream.digits.set(intake);
            }
        }
    }

    /// A digit for an endpoint's peer: on its first stream, which is the one that is spoken on.
    pub(super) fn dial(
        &mut self,
        endpoint: EndpointId,
        dialled: Dialled,
        now: Timestamp,
        out: &mut Output,
    ) {
        let Some(at) = self.open_endpoint(endpoint).filter(|_| !self.is_released) else {
            return;
        };
        let first = self.endpoints[at].streams.start;
        if let Some(stream) = self.streams.get_mut(first) {
            let dialler = stream.digits.dialler.get_or_insert_default();
            dialler.add(dialled);
            stream.send_digits(first, now, out);
        }
    }

    /// Does what is due.
    pub(super) fn tick_digits(&mut self, now: Timestamp, out: &mut Output) {
        for at in 0..self.streams.len() {
            let Some(stream) = self.streams.get_mut(at) else {
                return;
            };
            stream.send_digits(at, now, out);
            let digits = &mut stream.digits;
            let is_told = digits.tells_events();
            let event = digits.heard.expire(now).filter(|_| is_told);
            let tone = digits.listener.as_mut().and_then(|own| own.expire(now));
            self.report([event, tone], at, out);
        }
    }

    /// Looks for digits in a packet that was accepted. A tone is made silent where it lies.
    pub(super) fn take_digits(
        &mut self,
        at: usize,
        accepted: &Accepted,
        slot: &mut [u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Taken {
        let Some(stream) = self.streams.get_mut(at) else {
            return Taken::Not;
        };
        let Some(payload) = slot.get_mut(accepted.payload.clone()) else {
            return Taken::Not;
        };
        let digits = &mut stream.digits;
        let intake = digits.intake;
        let was_due = digits.deadline().is_some();
        let mut found = Found::default();
        let (taken, news) = match (accepted.is_event, intake) {
            (true, _) => {
                let news = digits.event(payload, accepted.place(), now);
                match intake {
                    Intake::Watch => (Taken::Not, news),
                    // Nothing of it goes on.
                    Intake::Events => (
                        Taken::Digit,
                        News {
                            begun: None,
                            ..news
                        },
                    ),
                    Intake::Pass | Intake::Listen | Intake::Tones => (Taken::Not, News::default()),
                }
            }
            // Whoever sends both would be heard twice (MED-221).
            (false, _) if digits.heard.is_active(now) => (Taken::Beside, News::default()),
            (false, _) => match (&mut digits.listener, accepted.law) {
                (Some(listener), None) if accepted.is_noise => {
                    found = listener.hush(accepted.piece(), now);
                    (Taken::Not, News::default())
                }
                (Some(listener), Some(law)) => {
                    found = listener.hear(law, payload, accepted.piece(), now);
                    if found.is_tone && !intake.lets_pass() {
                        payload.fill(law.silence());
                    }
                    (Taken::Not, News::default())
                }
                (Some(_), None) => {
                    // Where it is in a codec of those who transcode they tell what was in it.
                    let taken = match digits.are_shut(now) {
                        true => Taken::Beside,
                        false => Taken::Not,
                    };
                    stream.overhear(at, accepted, payload, out);
                    (taken, News::default())
                }
                (None, _) => (Taken::Not, News::default()),
            },
        };
        let digits = &stream.digits;
        out.is_sooner |= !was_due && digits.deadline().is_some();
        self.report(news.ended.into_iter().chain(found.ended), at, out);
        // Flash is no digit.
        let tone = found.begun.filter(|_| intake.tells_begin());
        if let Some(digit) = news.begun.and_then(Digit::from_event).or(tone) {
            out.events.push(Event::DigitBegun {
                session: self.id(),
                endpoint: self.endpoint_of(at),
                digit,
            });
        }
        taken
    }

    pub(super) fn report(
        &self,
        ended: impl IntoIterator<Item = Option<Ended>>,
        at: usize,
        out: &mut Output,
    ) {
        for ended in ended.into_iter().flatten() {
            // Flash is no digit.
            if let Some(digit) = Digit::from_event(ended.event) {
                out.events.push(Event::Digit {
                    session: self.id(),
                    endpoint: self.endpoint_of(at),
                    digit,
                    duration_ms: ended.duration_ms,
                });
            }
        }
    }
}

impl Accepted {
    fn place(&self) -> Place {
        Place {
            generation: self.position.generation,
            timestamp: self.timestamp,
            clock_hz: self.clock_hz,
        }
    }

    fn piece(&self) -> Piece {
        Piece {
            generation: self.position.generation,
            extended: self.position.extended,
            timestamp: self.timestamp,
        }
    }
}

impl Stream {
    /// Sends what is due of the digits for its peer; `at` is its index in the session.
    pub(super) fn send_digits(&mut self, at: usize, now: Timestamp, out: &mut Output) {
        let Some(mut dialler) = self.digits.dialler.take() else {
            return;
        };
        dialler.follow(|signal| self.way(signal));
        let mut room = [0; HEADER_BYTES + LONGEST + MAX_TRAILER_BYTES];
        loop {
            if let Some(signal) = dialler.next() {
                // A client that has made no check yet is nowhere (TDR-ICE-006), and before its handshake it
                // understands nothing.
                if self.awaits_checks() || self.active().is_some_and(Face::is_shut) {
                    dialler.hold(now);
                    break;
                }
                let way = self.way(signal);
                let clock_hz = way.map_or(super::digit::tone::SAMPLES_PER_SECOND, Way::clock_hz);
                let (timestamp, _) = self.outgoing.continued(clock_hz, now);
                let packet_ms = self.active().map_or(20, |face| face.terms.ptime_ms);
                dialler.begin(way, timestamp, packet_ms, now);
            }
            let place = room
                .get_mut(HEADER_BYTES..)
                .and_then(<[u8]>::first_chunk_mut);
            match place.and_then(|place| dialler.part(place, now)) {
                Some(part) => match dialler.coded_piece() {
                    None => self.emit_own(at, &part, &mut room, out),
                    Some((to, piece)) => {
                        let payload = room.get(HEADER_BYTES..HEADER_BYTES + part.length);
                        let payload = payload.unwrap_or_default();
                        self.have_made((Use::Digit, at), to, piece, payload, out);
                    }
                },
                None if dialler.end(now) => {}
                None if dialler.next().is_some() => {}
                None => break,
            }
        }
        self.digits.dialler = Some(dialler);
    }

    /// How its peer can be told a digit.
    fn way(&self, signal: Signal) -> Option<Way> {
        let face = self.active().filter(|_| self.sends() && !self.is_fax())?;
        let payloads = &face.terms.payloads;
        let is_event = |format: &media_api::Format| format.kind == FormatKind::Event;
        match signal {
            Signal::Event => {
                // Of the audio's clock if there is one (MED-220).
                let audio = payloads.iter().find(|own| !is_event(&own.format));
                let clock_hz = audio.map(|own| own.format.clock_hz);
                let mut events = payloads.iter().filter(|own| is_event(&own.format));
                let fitting = events
                    .clone()
                    .find(|own| Some(own.format.clock_hz) == clock_hz);
                let own = fitting.or_else(|| events.next())?;
                Some(Way::Event {
                    payload_type: own.send,
                    clock_hz: own.format.clock_hz,
                })
            }
            Signal::Tone => {
                let plain = payloads.iter().find_map(|own| {
                    Some(Way::Tone {
                        payload_type: own.send,
                        law: Law::of(&own.format.name, own.format.clock_hz)?,
                    })
                });
                plain.or_else(|| {
                    payloads.iter().find_map(|own| {
                        Some(Way::Coded {
                            payload_type: own.send,
                            coding: Coding::beyond_g711(&own.format)?,
                        })
                    })
                })
            }
        }
    }
}
