//! What an endpoint hears of ours: when the next packet is due, and how it joins the stream.
//!
//! A sound is one more origin of the outgoing stream: numbers, timestamps, keys and counters are those
//! of everything else that is sent to the peer (MED-050). Packets are due at fixed times after each
//! other, so no lateness of a tick adds up (MED-241).
//!
//! | the peer             | the joined media       | a packet is due                         |
//! |----------------------|------------------------|-----------------------------------------|
//! | takes media          | muted, or not flowing  | it is sent                              |
//! | takes media          | first, and flowing     | the sound waits until they are quiet    |
//! | takes none (hold)    | any                    | its time passes unheard                 |
//! | agreed on no format  | any                    | the sound ends, and this is told        |

use super::MediaSession;
use super::coded::{Piecewise, Use};
use super::output::Output;
use super::quality::Position;
use super::sequence::Origin;
use super::stream::{Accepted, Stream};
use crate::codec::Coding;
use crate::packet::rtp;
use crate::sound::{CLOCK_HZ, Encoding, Recordings, SAMPLES_PER_MS, Source};
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use media_api::{Beside, Content, EndpointId, Event, Playing, Sound};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Packet times that are agreed on, in milliseconds.
pub(super) const PACKET_TIMES_MS: RangeInclusive<u8> = 10..=60;
/// Samples of the longest packet.
const MOST_SAMPLES: usize = *PACKET_TIMES_MS.end() as usize * SAMPLES_PER_MS as usize;
/// Room for the largest packet.
const PACKET_BYTES: usize =
    rtp::HEADER_BYTES + MOST_SAMPLES * Encoding::MAX_BYTES + MAX_TRAILER_BYTES;

/// Packets that are later than this are left out, in microseconds (MED-241).
const MAX_LATE_US: u64 = 60_000;

/// Media that comes first has to be quiet at least so long: its packets have their own pace, and the
/// sound must not come between two of them.
pub(super) const MIN_QUIET: Duration = Duration::from_millis(100);

/// How much silence follows a sound to those who transcode, so that its end has come back when it is over.
const TAIL_US: u64 = 100_000;

/// Sounds begin at multiples of this, so that many of them are due in the same turns of a worker.
const GRID_US: u64 = 5_000;

/// A sound that an endpoint hears.
#[derive(Debug)]
pub(super) struct Playback {
    /// Index of the endpoint.
    endpoint: usize,
    source: Source,
    beside: Beside,
    /// How it is sent; `None` if nothing that was agreed on can carry it.
    outlet: Option<Outlet>,
    due: Timestamp,
    /// Packets sent, and samples whose time has passed: the numbers of the origin.
    packets: u64,
    samples: u64,
    /// Whether the packet before was left out.
    after_gap: bool,
    /// Whether what was played last was sent.
    is_heard: bool,
    /// Which run of numbers it has with those who transcode.
    generation: u32,
    /// Silence that was sent to them behind its end, in microseconds.
    tail_us: u64,
}

/// The stream of an endpoint that carries its sound, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Outlet {
    /// Index in the session.
    stream: usize,
    payload_type: u8,
    encoding: Encoding,
    packet_ms: u8,
}

/// What became of a sound.
enum Course {
    GoesOn,
    Ends { heard: bool },
}

impl MediaSession {
    /// Lets an endpoint hear something from now on, or with `None` nothing of ours any more: what
    /// [`media_api::Command::Play`] asks for.
    ///
    /// What cannot be played is answered by [`Event::Played`] at once: the endpoint has agreed on
    /// nothing that can carry it, there is no such recording, or the sound has no length.
    pub fn play(
        &mut self,
        endpoint: EndpointId,
        playing: Option<Playing>,
        recordings: &Recordings,
        now: Timestamp,
        out: &mut Output,
    ) {
        let Some(at) = self.open_endpoint(endpoint).filter(|_| !self.is_released) else {
            return;
        };
        self.sounds.retain(|sound| sound.endpoint != at);
        if let Some(playing) = playing {
            match self.begin_sound(at, &playing, recordings, now) {
                Some(sound) => self.sounds.push(sound),
                None => out.events.push(Event::Played {
                    session: self.id,
                    endpoint,
                    heard: false,
                }),
            }
        }
        self.fit_sounds();
    }

    fn begin_sound(
        &mut self,
        endpoint: usize,
        playing: &Playing,
        recordings: &Recordings,
        now: Timestamp,
    ) -> Option<Playback> {
        // Parties that have hung up hear nothing more.
        if self.drained_at.is_some() {
            return None;
        }
        let source = Source::new(&playing.sound, playing.times, recordings)?;
        let outlet = self.outlet(endpoint, &source)?;
        let outgoing = &mut self.streams.get_mut(outlet.stream)?.outgoing;
        outgoing.interrupt(outlet.stream);
        // A packet sent just now is still being heard.
        let packet = outlet.packet_time();
        let free = outgoing
            .last_at()
            .map_or(now, |last| now.max(last + packet));
        // Noise fills a pause, and nothing has paused yet that may still begin.
        let free = match (&playing.sound, playing.beside) {
            (Sound::Noise, Beside::First { quiet_ms }) => free.max(now + quiet(quiet_ms)),
            _ => free,
        };
        Some(Playback {
            endpoint,
            source,
            beside: playing.beside,
            outlet: Some(outlet),
            due: on_grid(free),
            packets: 0,
            samples: 0,
            after_gap: false,
            is_heard: true,
            generation: (now.0 / GRID_US) as u32,
            tail_us: 0,
        })
    }

    /// Looks anew at how sounds are sent, and whose media is muted for them, after something was
    /// agreed.
    pub(super) fn fit_sounds(&mut self) {
        for stream in &mut self.streams {
            stream.is_muted = false;
        }
        for at in 0..self.sounds.len() {
            let outlet = self.outlet(self.sounds[at].endpoint, &self.sounds[at].source);
            let sound = &mut self.sounds[at];
            let before = std::mem::replace(&mut sound.outlet, outlet);
            let Some(outlet) = outlet else { continue };
            let stream = &mut self.streams[outlet.stream];
            stream.is_muted = sound.beside == Beside::Muted;
            if before.is_none_or(|before| before.stream != outlet.stream) {
                stream.outgoing.interrupt(outlet.stream);
            }
        }
    }

    /// The first stream of an endpoint that can carry a sound, in the first format that we can make; noise
    /// as comfort noise if that was agreed.
    fn outlet(&self, endpoint: usize, source: &Source) -> Option<Outlet> {
        let streams = self.endpoints.get(endpoint)?.streams.clone();
        streams.into_iter().find_map(|at| {
            let terms = &self.streams.get(at)?.active()?.terms;
            if terms.content != Content::Rtp {
                return None;
            }
            let (least, most) = PACKET_TIMES_MS.into_inner();
            let comfort = terms.payloads.iter().find_map(|binding| {
                Some(Outlet {
                    stream: at,
                    payload_type: binding.send,
                    encoding: Encoding::of_noise(&binding.format)?,
                    // The level does not change: more often it would say nothing.
                    packet_ms: most,
                })
            });
            let audio = terms.payloads.iter().find_map(|binding| {
                Some(Outlet {
                    stream: at,
                    payload_type: binding.send,
                    encoding: Encoding::of(&binding.format)?,
                    packet_ms: terms.ptime_ms.clamp(least, most),
                })
            });
            // What those who transcode have to make costs more.
            let coded = || {
                terms.payloads.iter().find_map(|binding| {
                    let encoding = Encoding::of_coded(&binding.format)?;
                    Some(Outlet {
                        stream: at,
                        payload_type: binding.send,
                        encoding,
                        packet_ms: encoding.packet_ms(terms.ptime_ms.clamp(least, most)),
                    })
                })
            };
            let audio = audio.or_else(coded);
            comfort.filter(|_| source.is_noise()).or(audio)
        })
    }

    /// Sends what is due of all sounds, and tells which are over.
    pub(super) fn play_on(&mut self, now: Timestamp, out: &mut Output) {
        if self.sounds.iter().all(|sound| sound.due > now) {
            return;
        }
        let mut sounds = std::mem::take(&mut self.sounds);
        let before = sounds.len();
        sounds.retain_mut(|sound| match sound.advance(&mut self.streams, now, out) {
            Course::GoesOn => true,
            Course::Ends { heard } => {
                let endpoint = self.endpoints.get(sound.endpoint);
                out.events.extend(endpoint.map(|endpoint| Event::Played {
                    session: self.id,
                    endpoint: endpoint.id,
                    heard,
                }));
                false
            }
        });
        let is_any_over = sounds.len() < before;
        self.sounds = sounds;
        if is_any_over {
            self.fit_sounds();
        }
    }

    /// Ends what an endpoint hears, without telling.
    pub(super) fn end_sounds_of(&mut self, endpoint: usize) {
        self.sounds.retain(|sound| sound.endpoint != endpoint);
    }
}

/// How long media that comes first has to be quiet.
fn quiet(ms: u16) -> Duration {
    Duration::from_millis(ms.into()).max(MIN_QUIET)
}

impl Playback {
    /// When [`MediaSession::play_on`] is next wanted for it.
    pub(super) fn due(&self) -> Timestamp {
        self.due
    }

    /// The payload type under which it goes to the peer of a stream in a codec of those who transcode.
    pub(super) fn sent_as(&self, stream: usize, coding: Coding) -> Option<u8> {
        let is_it = |own: &Outlet| own.stream == stream && own.encoding == Encoding::Coded(coding);
        Some(self.outlet.filter(is_it)?.payload_type)
    }

    /// Whether media that comes first has not been quiet for long enough.
    pub(super) fn waits(&self, stream: &Stream, now: Timestamp) -> bool {
        self.quiet_at(stream).is_some_and(|quiet_at| quiet_at > now)
    }

    fn advance(&mut self, streams: &mut [Stream], now: Timestamp, out: &mut Output) -> Course {
        while self.due <= now {
            let found = self
                .outlet
                .and_then(|outlet| Some((outlet, streams.get_mut(outlet.stream)?)));
            let Some((outlet, stream)) = found else {
                return Course::Ends { heard: false };
            };
            if self.source.is_over() && (!outlet.is_coded() || self.tail_us >= TAIL_US) {
                return Course::Ends {
                    heard: self.is_heard,
                };
            }
            if let Some(quiet_at) = self.quiet_at(stream)
                && quiet_at > self.due
            {
                self.due = on_grid(quiet_at);
                continue;
            }
            let too_late_us = now.since_us(self.due).saturating_sub(MAX_LATE_US);
            match too_late_us.div_ceil(outlet.packet_us()) {
                0 if stream.sends() && !stream.digits.are_sent() => self.send(outlet, stream, out),
                // A peer that holds us, or is sent a digit, misses what is played meanwhile, for good.
                0 => self.miss(outlet, 1),
                too_late => self.miss(outlet, too_late),
            }
        }
        Course::GoesOn
    }

    /// When media that comes first will have been quiet for long enough, if there was any.
    fn quiet_at(&self, stream: &Stream) -> Option<Timestamp> {
        match self.beside {
            Beside::Muted => None,
            Beside::First { quiet_ms } => Some(stream.forwarded_at? + quiet(quiet_ms)),
        }
    }

    fn send(&mut self, outlet: Outlet, stream: &mut Stream, out: &mut Output) {
        let mut samples = [0; MOST_SAMPLES];
        let samples = &mut samples[..outlet.samples()];
        self.source.fill(samples);
        let mut slot = [0; PACKET_BYTES];
        let start = rtp::HEADER_BYTES;
        let end = start + outlet.encoding.write(samples, &mut slot[start..]);
        if let Encoding::Coded(coding) = outlet.encoding {
            let piece = Piecewise {
                generation: self.generation,
                number: self.packets,
                timestamp: self.samples as u32,
            };
            let what = (Use::Sound, outlet.stream);
            stream.have_made(
                what,
                (coding, outlet.packet_ms),
                piece,
                &slot[start..end],
                out,
            );
            return self.sent(outlet);
        }
        let packet = Accepted {
            marker: self.after_gap,
            timestamp: self.samples as u32,
            clock_hz: CLOCK_HZ,
            position: Position {
                extended: self.packets,
                generation: 0,
            },
            payload: start..end,
            send_as: Some(outlet.payload_type),
            ..Accepted::ours()
        };
        let origin = Origin {
            stream: outlet.stream,
            generation: 0,
        };
        // The time it was due, not the time we came to it: lateness is not passed on.
        let ready = stream.emit(origin, &packet, outlet.payload_type, &mut slot, self.due);
        // A key that has no index left protects nothing more.
        let Ok(ready) = ready else {
            return self.leave_out(outlet, 1);
        };
        stream.generated_packets += 1;
        stream.outgoing.covers(outlet.packet_time());
        out.push_generated(stream.sockets.realm, outlet.stream, &ready, &slot);
        self.sent(outlet);
    }

    fn sent(&mut self, outlet: Outlet) {
        self.packets += 1;
        self.is_heard = true;
        self.after_gap = false;
        self.pass(outlet, 1);
    }

    /// Lets the time of packets pass that are not sent.
    fn miss(&mut self, outlet: Outlet, packets: u64) {
        self.source
            .skip(packets.saturating_mul(outlet.samples() as u64));
        self.leave_out(outlet, packets);
    }

    fn leave_out(&mut self, outlet: Outlet, packets: u64) {
        self.is_heard = false;
        self.after_gap = true;
        self.pass(outlet, packets);
    }

    fn pass(&mut self, outlet: Outlet, packets: u64) {
        let samples = packets.saturating_mul(outlet.samples() as u64);
        self.samples = self.samples.wrapping_add(samples);
        let passed_us = packets.saturating_mul(outlet.packet_us());
        if self.source.is_over() {
            self.tail_us = self.tail_us.saturating_add(passed_us);
        }
        self.due += Duration::from_micros(passed_us);
    }
}

impl Outlet {
    fn packet_us(self) -> u64 {
        1_000 * u64::from(self.packet_ms)
    }

    fn is_coded(self) -> bool {
        matches!(self.encoding, Encoding::Coded(_))
    }

    fn packet_time(self) -> Duration {
        Duration::from_micros(self.packet_us())
    }

    fn samples(self) -> usize {
        usize::from(self.packet_ms) * SAMPLES_PER_MS as usize
    }
}

/// The next multiple of [`GRID_US`].
pub(super) fn on_grid(at: Timestamp) -> Timestamp {
    Timestamp(at.0.div_ceil(GRID_US).saturating_mul(GRID_US))
}
