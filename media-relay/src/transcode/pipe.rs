//! One direction that is transcoded: packets in as they come, packets out at fixed times (MED-240).
//!
//! | the buffer holds            | what is heard                                | the hold           |
//! |-----------------------------|----------------------------------------------|--------------------|
//! | the next packet             | it                                           | as it is           |
//! | only later ones, some lost  | concealment, or the copy in the next one     | as it is           |
//! | only later ones, none lost  | noise of the pause                           | as it is           |
//! | nothing                     | concealment, then noise                      | grows by that      |
//! | more than it should         | two packets as one, in quiet moments if can be | shrinks          |
//! | much too much               | the newest; the others are never decoded     | shrinks            |
//!
//! So a clock that is too fast or too slow is followed by whole packets in either direction, and no delay grows
//! without bound.

use super::jitter::Jitter;
use super::{Job, Recipe, Recoded};
use crate::codec::{Coding, Decoder, Doubler, Encoder, Halver};
use crate::noise::{Noise, USUAL_LEVEL};
use crate::packet::rtp::HEADER_BYTES;
use crate::time::Timestamp;
use media_api::OpusWishes;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

/// Packets that are held at most.
const MOST_PACKETS: usize = 64;
/// More than this is never held.
const MOST_HELD: Duration = Duration::from_millis(400);
/// Times at which packets leave, so that many pipes share a turn of their thread.
const GRID_US: u64 = 5_000;
/// A thread that is later than this leaves packets out.
const MAX_LATE_US: u64 = 60_000;
/// How long after the last packet it is still heard that somebody is there.
const QUIET_AFTER_AUDIO: Duration = Duration::from_secs(1);
const QUIET_AFTER_NOISE: Duration = Duration::from_secs(60);
/// A timestamp that jumps further than this begins anew, in milliseconds.
const JUMP_MS: i64 = 2_000;
/// Packets between two that are drawn together, unless much too much is held.
const BETWEEN_MERGES: u32 = 10;
/// Mean magnitude of a sample below which nobody hears that a packet is missing.
const QUIET_SAMPLE: i32 = 200;

/// The state of one direction.
#[derive(Debug)]
pub struct Pipe {
    recipe: Recipe,
    wishes: Option<OpusWishes>,
    /// What is decoded; known with the first packet that is no comfort noise.
    decoder: Option<(Coding, Decoder)>,
    encoder: Encoder,
    jitter: Jitter,
    held: BTreeMap<u64, Held>,
    /// Payloads to be used again.
    spare: Vec<Vec<u8>>,
    generation: Option<u32>,
    /// Timestamp of the newest packet, without wrapping round.
    newest: i64,
    /// Number of the last packet heard, and the timestamp that follows it.
    last: Option<u64>,
    next: i64,
    /// Samples put in since without a packet of theirs.
    stretched: usize,
    /// Samples of the last packet.
    frame: usize,
    filling: bool,
    samples: Vec<i16>,
    scratch: Vec<i16>,
    /// Mean of what is held, in samples.
    mean_held: f32,
    since_merge: u32,
    noise: Noise,
    /// Whether the peer has said that it is quiet, and nothing since.
    is_quiet: bool,
    heard_at: Timestamp,
    first_at: Timestamp,
    due: Timestamp,
    epoch: u32,
    number: u64,
    /// Time that has been made, or left out.
    made_ms: u64,
    /// Packets decoded.
    #[cfg(test)]
    pub(super) decoded: usize,
}

#[derive(Debug)]
struct Held {
    timestamp: i64,
    /// What it is encoded in; `None` for comfort noise.
    coding: Option<Coding>,
    payload: Vec<u8>,
}

impl Pipe {
    /// A pipe for what a job is part of. No two of a thread have the same `epoch`.
    pub fn new(job: &Job, epoch: u32) -> Self {
        let recipe = job.recipe;
        let rate = joint_rate(recipe);
        let encoder = Encoder::wished(recipe.to, rate, job.wishes);
        let mut pipe = Self {
            recipe,
            wishes: job.wishes,
            decoder: None,
            encoder,
            jitter: Jitter::default(),
            held: BTreeMap::new(),
            spare: Vec::new(),
            generation: None,
            newest: i64::from(job.timestamp),
            last: None,
            next: 0,
            stretched: 0,
            frame: rate as usize / 50,
            filling: true,
            samples: Vec::new(),
            scratch: Vec::new(),
            mean_held: 0.0,
            since_merge: 0,
            noise: Noise::of_level(USUAL_LEVEL),
            is_quiet: false,
            heard_at: job.arrived,
            first_at: job.arrived,
            due: job.arrived,
            epoch,
            number: 0,
            made_ms: 0,
            #[cfg(test)]
            decoded: 0,
        };
        pipe.due = on_grid(job.arrived + pipe.target());
        pipe
    }

    /// From which codec into which it goes now.
    pub(crate) fn recipe(&self) -> Recipe {
        self.recipe
    }

    /// Whether this is what has made a payload, and would make more like it.
    pub(crate) fn makes(&self, epoch: u32, coding: Coding) -> bool {
        (self.epoch, self.recipe.to) == (epoch, coding)
    }

    /// When [`Self::next`] is wanted.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// Takes a packet in.
    pub fn take(&mut self, job: &Job) {
        self.follow(job);
        if self.generation != Some(job.generation) {
            self.generation = Some(job.generation);
            self.newest = i64::from(job.timestamp);
            self.begin_anew();
            self.jitter = Jitter::default();
        }
        let step = job.timestamp.wrapping_sub(self.newest as u32) as i32;
        let mut timestamp = self.newest + i64::from(step);
        let clock_hz = self.clock_hz();
        // One timestamp that is far off must not make all that follow it seem late.
        let step_ms = i64::from(step) * 1_000 / clock_hz;
        if step_ms.abs() > JUMP_MS {
            // However often it jumps, numbers stay small.
            timestamp = i64::from(job.timestamp);
            self.newest = timestamp;
            self.jitter = Jitter::default();
        } else {
            self.newest = self.newest.max(timestamp);
        }
        let timestamp_us = timestamp * 1_000_000 / clock_hz;
        let arrived_us = i64::try_from(job.arrived.0).unwrap_or(i64::MAX);
        if !self.is_quiet || step > 0 {
            self.jitter.observe(arrived_us, timestamp_us);
        }
        self.heard_at = job.arrived;
        // Its time has passed.
        if self.last.is_some_and(|last| job.extended <= last) {
            return;
        }
        if self.held.is_empty() && self.filling {
            self.first_at = job.arrived;
        }
        if self.held.len() >= MOST_PACKETS {
            self.held.pop_first();
        }
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.clear();
        payload.extend_from_slice(job.payload());
        let held = Held {
            timestamp,
            coding: job.recipe.from,
            payload,
        };
        self.held.insert(job.extended, held);
    }

    /// Makes the packet that is due. `false` if nobody is heard any more: then the pipe is over.
    pub fn next(&mut self, now: Timestamp, job: &Job, recoded: &mut Recoded) -> bool {
        let packet_us = 1_000 * u64::from(self.recipe.packet_ms);
        let too_late_us = now.since_us(self.due).saturating_sub(MAX_LATE_US);
        let left_out = too_late_us.div_ceil(packet_us);
        if left_out > 0 {
            self.due += Duration::from_micros(left_out * packet_us);
            self.advance(left_out);
        }
        let wanted = self.encoder.rate() as usize * usize::from(self.recipe.packet_ms) / 1_000;
        while self.samples.len() < wanted {
            if !self.fill() {
                return false;
            }
        }
        let room = &mut recoded.slot[HEADER_BYTES..HEADER_BYTES + super::ENCODED_BYTES];
        recoded.length = self.encoder.encode(&self.samples[..wanted], room);
        self.samples.drain(..wanted);
        recoded.session = job.session;
        recoded.stream = job.stream;
        recoded.coding = self.recipe.to;
        recoded.epoch = self.epoch;
        recoded.number = self.number;
        recoded.timestamp = (self.made_ms * u64::from(self.recipe.to.clock_hz()) / 1_000) as u32;
        recoded.due = self.due;
        self.number += 1;
        self.advance(1);
        self.due += Duration::from_micros(packet_us);
        true
    }

    /// What has been heard of the sender, in microseconds of its clock since timestamp zero.
    #[cfg(test)]
    pub(super) fn heard_until_us(&self) -> i64 {
        let units = self.next - self.units_of(self.samples.len());
        units * 1_000_000 / self.clock_hz()
    }

    fn advance(&mut self, packets: u64) {
        self.made_ms += packets * u64::from(self.recipe.packet_ms);
    }

    /// Another codec was agreed on, or the peer has gone over to another one of its own.
    fn follow(&mut self, job: &Job) {
        let before = self.recipe;
        let from = job.recipe.from.or(before.from);
        let recipe = Recipe { from, ..job.recipe };
        let rate = joint_rate(recipe);
        let is_other_clock = before.clock_hz() != recipe.clock_hz();
        if is_other_clock || self.encoder.rate() != rate {
            // What has come until now is what it was.
            while let Some((number, _)) = self.first() {
                self.hear(number);
            }
        }
        self.recipe = recipe;
        if is_other_clock {
            self.newest = i64::from(job.timestamp);
            self.begin_anew();
            self.jitter = Jitter::default();
        }
        let rate_before = self.encoder.rate();
        let is_other = (before.to, self.wishes) != (recipe.to, job.wishes);
        if is_other || rate_before != rate {
            self.wishes = job.wishes;
            self.encoder = Encoder::wished(recipe.to, rate, job.wishes);
            self.stretched = self.stretched * rate as usize / rate_before as usize;
            self.frame = rate as usize / 50;
            match rate_before.cmp(&rate) {
                Ordering::Less => {
                    let mut doubler = Doubler::default();
                    let pairs = self.samples.iter().flat_map(|own| doubler.double(*own));
                    self.samples = pairs.collect();
                }
                Ordering::Greater => {
                    let mut halver = Halver::default();
                    let (pairs, _) = self.samples.as_chunks::<2>();
                    self.samples = pairs.iter().map(|pair| halver.halve(*pair)).collect();
                }
                Ordering::Equal => {}
            }
        }
    }

    fn clock_hz(&self) -> i64 {
        i64::from(self.recipe.clock_hz())
    }

    /// Samples of so many units of the sender's clock, and back.
    fn samples_of(&self, units: i64) -> i64 {
        units * i64::from(self.encoder.rate()) / self.clock_hz()
    }

    fn units_of(&self, samples: usize) -> i64 {
        samples as i64 * self.clock_hz() / i64::from(self.encoder.rate())
    }

    fn target(&self) -> Duration {
        let frame_us = 1_000_000 * self.frame as u64 / u64::from(self.encoder.rate());
        self.jitter.target(Duration::from_micros(frame_us))
    }

    fn samples_in(&self, time: Duration) -> usize {
        (time.as_micros() as u64 * u64::from(self.encoder.rate()) / 1_000_000) as usize
    }

    fn begin_anew(&mut self) {
        self.held.clear();
        self.last = None;
        self.filling = true;
        self.stretched = 0;
    }

    /// Adds samples, by a step of the table above. `false` if nobody is heard any more.
    fn fill(&mut self) -> bool {
        let target = self.target();
        if self.filling {
            let is_ready = self.due >= self.first_at + target || self.held.len() >= MOST_PACKETS;
            if self.held.is_empty() || !is_ready {
                return self.stretch(target);
            }
            self.filling = false;
            self.mean_held = self.samples_in(target) as f32;
        }
        let Some((number, timestamp)) = self.first() else {
            return self.stretch(target);
        };
        let Some(last) = self.last else {
            self.hear(number);
            return true;
        };
        let gap = timestamp - self.next;
        let is_jump = self.samples_of(gap).abs() > JUMP_MS * i64::from(self.encoder.rate()) / 1_000;
        let left = self.samples_of(gap) - self.stretched as i64;
        // Less than half a frame is a matter of rounding, or of what was put in already.
        if is_jump || left <= self.frame as i64 / 2 {
            self.hear(number);
            return true;
        }
        let count = self.frame.min(left as usize);
        let lost = number - last - 1;
        if lost == 0 {
            self.pause(count);
            self.stretched += count;
            return true;
        }
        self.conceal(count, (lost == 1).then_some(number));
        self.last = Some(last + 1);
        self.next += self.units_of(count);
        true
    }

    fn first(&self) -> Option<(u64, i64)> {
        let (number, held) = self.held.first_key_value()?;
        Some((*number, held.timestamp))
    }

    /// There is nothing: concealment, then noise, while somebody may still come.
    fn stretch(&mut self, target: Duration) -> bool {
        let quiet = match self.is_quiet {
            true => QUIET_AFTER_NOISE,
            false => QUIET_AFTER_AUDIO,
        };
        if self.due >= self.heard_at + quiet {
            return false;
        }
        match self.is_quiet {
            true => self.pause(self.frame),
            false => self.conceal(self.frame, None),
        }
        self.stretched += self.frame;
        // Who was away so long is held for the usual time again.
        self.filling |= self.stretched > self.samples_in(3 * target);
        true
    }

    /// Decodes a packet that is held, behind what is there.
    fn hear(&mut self, number: u64) {
        let Some(held) = self.held.remove(&number) else {
            return;
        };
        self.last = Some(number);
        self.next = held.timestamp;
        self.stretched = 0;
        let Some(coding) = held.coding else {
            self.is_quiet = true;
            self.noise.told(&held.payload);
            self.spare.push(held.payload);
            return;
        };
        self.is_quiet = false;
        let behind = self.samples_of(self.newest - held.timestamp);
        if behind > self.samples_in(MOST_HELD) as i64
            && let Some((_, next)) = self.first()
        {
            // However long a packet lasts, no more is decoded than is heard.
            self.next = next;
            self.spare.push(held.payload);
            return;
        }
        #[cfg(test)]
        {
            self.decoded += 1;
        }
        let rate = self.encoder.rate();
        let is_known = |own: &(Coding, Decoder)| own.0 == coding && own.1.rate() == rate;
        if !self.decoder.as_ref().is_some_and(is_known) {
            self.decoder = Some((coding, Decoder::new(coding, rate)));
        }
        let Some((_, decoder)) = &mut self.decoder else {
            return;
        };
        self.scratch.clear();
        let is_sound = decoder.decode(&held.payload, &mut self.scratch);
        self.spare.push(held.payload);
        if !is_sound {
            // Its place stays open, and is concealed as a loss.
            let count = self.frame;
            return self.conceal(count, None);
        }
        self.frame = self
            .scratch
            .len()
            .clamp(rate as usize / 400, rate as usize / 10);
        self.next += self.units_of(self.scratch.len());
        let held = behind.max(0) as f32 + self.scratch.len() as f32;
        self.mean_held += (held - self.mean_held) / 16.0;
        self.since_merge = self.since_merge.saturating_add(1);
        match self.is_too_much() {
            true => self.merge(),
            false => self.samples.extend_from_slice(&self.scratch),
        }
    }

    /// Whether more is held than should be, and this is a moment to hold less.
    fn is_too_much(&self) -> bool {
        let rate = self.encoder.rate() as f32;
        let usual = self.samples_in(self.target()) as f32 + self.frame as f32 + rate / 200.0;
        let excess = self.mean_held - usual;
        if excess <= 0.0 || self.since_merge < BETWEEN_MERGES {
            return false;
        }
        let sum: i32 = self.scratch.iter().map(|own| i32::from(*own).abs()).sum();
        let is_quiet = sum < QUIET_SAMPLE * self.scratch.len() as i32;
        is_quiet || excess > rate / 25.0
    }

    /// Draws this packet and what is there last together, the one growing out of the other.
    fn merge(&mut self) {
        self.since_merge = 0;
        let count = self.scratch.len();
        self.mean_held = (self.mean_held - count as f32).max(0.0);
        let Some(start) = self.samples.len().checked_sub(count) else {
            // There is nothing that it could be drawn together with: it is left out.
            return;
        };
        for (at, (own, new)) in self.samples[start..]
            .iter_mut()
            .zip(&self.scratch)
            .enumerate()
        {
            let share = (at + 1) as f32 / (count + 1) as f32;
            *own = (f32::from(*own) + (f32::from(*new) - f32::from(*own)) * share) as i16;
        }
    }

    /// What is heard in place of packets that are lost, of which the next may have a copy.
    fn conceal(&mut self, count: usize, next: Option<u64>) {
        let next = next.and_then(|number| self.held.get(&number));
        let decoded = self.decoder.as_ref().map(|(coding, _)| *coding);
        match (
            &mut self.decoder,
            next.filter(|next| next.coding == decoded),
        ) {
            (Some((_, decoder)), Some(next)) => {
                decoder.recover(&next.payload, count, &mut self.samples);
            }
            (Some((_, decoder)), None) => decoder.conceal(count, &mut self.samples),
            (None, _) => self.pause(count),
        }
    }

    /// What is heard while the peer says nothing on purpose.
    fn pause(&mut self, count: usize) {
        for _ in 0..count {
            let sample = self.noise.sample();
            self.samples.push(sample);
        }
    }
}

fn joint_rate(recipe: Recipe) -> u32 {
    recipe.to.joint_rate(recipe.from.unwrap_or(recipe.to))
}

fn on_grid(at: Timestamp) -> Timestamp {
    Timestamp(at.0.div_ceil(GRID_US).saturating_mul(GRID_US))
}
