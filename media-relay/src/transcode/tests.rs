//! A pipe against time, loss and clocks that differ, without threads.

use super::{Job, Pipe, Recipe, Recoded};
use crate::codec::{Coding, Decoder, Encoder, MAX_PAYLOAD_BYTES};
use crate::g711::Law;
use crate::session::Recode;
use crate::time::Timestamp;
use media_api::SessionId;

const A_LAW: Coding = Coding::G711(Law::A);
const SESSION: SessionId = SessionId(3);

fn job(recipe: Recipe, number: u64, timestamp: u32, payload: &[u8], arrived: u64) -> Job {
    let recode = Recode {
        stream: 0,
        recipe,
        wishes: None,
        generation: 0,
        extended: number,
        timestamp,
        payload: 0..payload.len(),
    };
    Job::new(0, SESSION, &recode, payload, Timestamp(arrived)).unwrap()
}

/// Frames of 20 ms of a tone of 1 kHz.
fn tone(coding: Coding, frames: usize) -> Vec<Vec<u8>> {
    tones(coding, frames, |_| 1_000.0)
}

/// Frames of 20 ms of a tone each.
fn tones(coding: Coding, frames: usize, hz: impl Fn(usize) -> f64) -> Vec<Vec<u8>> {
    let rate = coding.joint_rate(coding);
    let mut encoder = Encoder::new(coding, rate);
    let frame = rate as usize / 50;
    let frame_of = |at: usize| {
        let samples: Vec<i16> = (at * frame..(at + 1) * frame)
            .map(|at| {
                let phase = std::f64::consts::TAU * hz(at / frame) * at as f64 / f64::from(rate);
                (8_000.0 * phase.sin()) as i16
            })
            .collect();
        let mut payload = vec![0; MAX_PAYLOAD_BYTES];
        let length = encoder.encode(&samples, &mut payload);
        payload.truncate(length);
        payload
    };
    (0..frames).map(frame_of).collect()
}

/// Share of a tone of 1 kHz in samples, 0 to 1.
fn share(samples: &[i16], rate: u32) -> f64 {
    share_of(1_000.0, samples, rate)
}

fn share_of(hz: f64, samples: &[i16], rate: u32) -> f64 {
    let (mut re, mut im, mut all) = (0.0, 0.0, 1.0);
    for (at, sample) in samples.iter().enumerate() {
        let phase = std::f64::consts::TAU * hz * at as f64 / f64::from(rate);
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
        all += f64::from(*sample).powi(2);
    }
    2.0 * (re * re + im * im) / samples.len() as f64 / all
}

/// Packets at their times of arrival, in order of these, through a pipe until it ends by itself.
fn through(jobs: &[Job]) -> Vec<(Recoded, Timestamp)> {
    let mut pipe = Pipe::new(&jobs[0], 1);
    let mut made = Vec::new();
    let mut waiting = jobs.iter().peekable();
    loop {
        while let Some(job) = waiting.next_if(|job| job.arrived <= pipe.due()) {
            pipe.take(job);
        }
        let (now, mut recoded) = (pipe.due(), Recoded::default());
        if !pipe.next(now, &jobs[0], &mut recoded) {
            assert!(waiting.peek().is_none(), "it ends before the last packet");
            return made;
        }
        made.push((recoded, now));
    }
}

fn recipe(from: Coding, to: Coding, packet_ms: u8) -> Recipe {
    Recipe {
        from: Some(from),
        to,
        packet_ms,
    }
}

fn decoded(coding: Coding, made: &[(Recoded, Timestamp)]) -> Vec<i16> {
    let mut decoder = Decoder::new(coding, coding.joint_rate(coding));
    let mut samples = Vec::new();
    for (recoded, _) in made {
        assert_eq!(recoded.coding, coding);
        assert!(decoder.decode(recoded.payload(), &mut samples));
    }
    samples
}

fn punctual(recipe: Recipe, frames: usize) -> Vec<Job> {
    let step = recipe.from.unwrap().clock_hz() / 50;
    (0u64..)
        .zip(tone(recipe.from.unwrap(), frames))
        .map(|(at, frame)| job(recipe, at + 7, at as u32 * step, &frame, 20_000 * at))
        .collect()
}

#[test]
fn every_pair_has_the_tone_its_packet_time_and_numbers_without_gaps() {
    for (from, to, packet_ms) in [
        (A_LAW, Coding::G722, 20),
        (A_LAW, Coding::G722, 30),
        (Coding::G722, A_LAW, 30),
        (Coding::G722, Coding::Opus, 20),
        (Coding::Opus, Coding::G722, 10),
        (A_LAW, Coding::Opus, 60),
        (Coding::Opus, A_LAW, 20),
    ] {
        let made = through(&punctual(recipe(from, to, packet_ms), 100));
        let heard = 2_000 / usize::from(packet_ms);
        assert!(made.len() >= heard, "{from:?} {to:?}");
        let step = to.clock_hz() * u32::from(packet_ms) / 1_000;
        for (at, (recoded, due)) in made.iter().enumerate() {
            assert_eq!(recoded.number, at as u64);
            assert_eq!(recoded.timestamp, at as u32 * step);
            // A frame is held, and nothing more.
            let us = 20_000 + at as u64 * 1_000 * u64::from(packet_ms);
            assert_eq!((due.0, recoded.due), (us, *due));
        }
        let rate = to.joint_rate(to);
        let samples = decoded(to, &made);
        let share = share(&samples[rate as usize / 2..rate as usize * 3 / 2], rate);
        assert!(share > 0.95, "{from:?} {to:?}: {share:.3}");
    }
}

#[test]
fn lost_late_and_doubled_packets_are_heard_as_little_as_can_be() {
    let mut jobs = punctual(recipe(A_LAW, Coding::G722, 20), 200);
    for lost in [30, 60, 61, 90, 120, 150] {
        jobs[lost].arrived = Timestamp(u64::MAX / 4);
    }
    // One comes when nobody waits for it any more, one twice, two in the wrong order.
    jobs[70].arrived.0 += 300_000;
    jobs[80].arrived.0 += 15_000;
    let twice = jobs[100].clone();
    jobs.push(twice);
    jobs.retain(|job| job.arrived.0 < u64::MAX / 4);
    jobs.sort_by_key(|job| job.arrived);
    let made = through(&jobs);
    let samples = decoded(Coding::G722, &made);
    let share = share(&samples[6_400..57_600], 16_000);
    assert!(share > 0.8, "{share:.3}");
    // A second of what may be a pause, at most what was held besides.
    assert!((245..=275).contains(&made.len()), "{}", made.len());
}

#[test]
fn timestamps_that_jump_cost_nothing_that_follows() {
    let recipe = recipe(A_LAW, Coding::G722, 20);
    // Nothing that concealment could guess.
    let mut state = 1u32;
    let frames: Vec<Vec<u8>> = (0..150)
        .map(|_| {
            let octet = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..160).map(octet).collect()
        })
        .collect();
    let heard = |jump: &dyn Fn(usize) -> u32| {
        let jobs = frames.iter().enumerate().map(|(at, payload)| {
            let timestamp = (at as u32 * 160).wrapping_add(jump(at));
            job(recipe, at as u64, timestamp, payload, at as u64 * 20_000)
        });
        let jobs: Vec<Job> = jobs.collect();
        decoded(Coding::G722, &through(&jobs))
    };
    let usual = heard(&|_| 0);
    // In the third second, a few frames earlier or later.
    let likeness = |other: &[i16]| {
        let dot = |a: &[i16], b: &[i16]| -> f64 {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let own = &usual[35_200..44_800];
        let shifted = (0..=12).map(|frames| &other[33_280 + frames * 320..][..9_600]);
        let alike =
            shifted.map(|other| dot(own, other) / (dot(own, own) * dot(other, other)).sqrt());
        alike.fold(-1.0, f64::max)
    };
    // The sender begins anew, a minute before; and one packet is an hour ahead.
    let back = likeness(&heard(&|at| if at < 50 { 480_000 } else { 0 }));
    assert!(back > 0.8, "{back}");
    let outlier = likeness(&heard(&|at| if at == 50 { 28_800_000 } else { 0 }));
    assert!(outlier > 0.8, "{outlier}");
}

#[test]
fn timestamps_that_jump_for_hours_cost_nothing() {
    let recipe = recipe(A_LAW, Coding::G722, 20);
    let jobs: Vec<Job> = (0..5_000_u64)
        .map(|at| {
            let timestamp = (at as u32).wrapping_mul(i32::MAX as u32);
            job(recipe, at, timestamp, &[0xd5; 160], at * 1_000)
        })
        .collect();
    assert!(!through(&jobs).is_empty());
}

/// How long what is heard has been held at the end, for a sender whose clock is off by so many ppm.
fn held_at_the_end(ppm: i64) -> i64 {
    let recipe = recipe(A_LAW, Coding::G711(Law::Mu), 20);
    let frames = 15_000;
    let frame = vec![0xd5; 160];
    let sent_us = |at: i64| at * 20_000 + at * 20_000 * ppm / 1_000_000;
    let jobs: Vec<Job> = (0..frames)
        .map(|at| {
            let arrived = u64::try_from(sent_us(at)).unwrap();
            job(recipe, at as u64, at as u32 * 160, &frame, arrived)
        })
        .collect();
    let mut pipe = Pipe::new(&jobs[0], 1);
    let mut waiting = jobs.iter().peekable();
    let mut heard = 0i64;
    while waiting.peek().is_some() {
        while let Some(job) = waiting.next_if(|job| job.arrived <= pipe.due()) {
            pipe.take(job);
        }
        let now = pipe.due();
        assert!(pipe.next(now, &jobs[0], &mut Recoded::default()));
        // The last sample that is heard now has come so long ago.
        heard = now.0 as i64 - sent_us(pipe.heard_until_us() / 20_000 - 1);
    }
    heard
}

#[test]
fn five_minutes_of_clocks_that_differ_by_100_ppm_add_no_delay() {
    let held = [-100, 0, 100].map(held_at_the_end);
    let is_short = |held: &i64| (0..=70_000).contains(held);
    assert!(held.iter().all(is_short), "{held:?} us");
}

#[test]
fn noise_goes_on_through_a_pause_and_a_peer_that_is_gone_ends_the_pipe() {
    let with_sound = recipe(A_LAW, Coding::G722, 20);
    let noise = Recipe {
        from: None,
        ..with_sound
    };
    let mut jobs = punctual(with_sound, 50);
    jobs.push(job(noise, 57, 50 * 160, &[40], 1_000_000));
    let speech = tone(A_LAW, 50);
    for (at, frame) in (0u64..).zip(&speech) {
        let arrived = 4_000_000 + 20_000 * at;
        let timestamp = (200 + at as u32) * 160;
        jobs.push(job(with_sound, 58 + at, timestamp, frame, arrived));
    }
    let made = through(&jobs);
    let samples = decoded(Coding::G722, &made);
    let rms = |from_ms: usize, to_ms: usize| {
        let samples = &samples[from_ms * 16..to_ms * 16];
        let power: f64 = samples.iter().map(|own| f64::from(*own).powi(2)).sum();
        (power / samples.len() as f64).sqrt()
    };
    // -40 dBov are 1 % of the largest sample.
    let pause = rms(1_500, 3_500);
    assert!((230.0..430.0).contains(&pause), "{pause}");
    assert!(share(&samples[4_200 * 16..4_900 * 16], 16_000) > 0.9);
    assert!(rms(5_200, 5_900) < 200.0);
    assert!((295..=305).contains(&made.len()), "{}", made.len());
}

#[test]
fn another_codec_of_the_peer_is_followed() {
    let mut jobs = punctual(recipe(A_LAW, Coding::G722, 20), 50);
    let after = recipe(Coding::G711(Law::Mu), Coding::G722, 20);
    for (at, frame) in (50u64..).zip(tone(Coding::G711(Law::Mu), 50)) {
        jobs.push(job(after, at + 7, at as u32 * 160, &frame, 20_000 * at));
    }
    let made = through(&jobs);
    let samples = decoded(Coding::G722, &made);
    assert!(share(&samples[55 * 320..95 * 320], 16_000) > 0.95);
}

#[test]
fn what_is_held_is_decoded_as_what_it_is() {
    let a_law = recipe(A_LAW, Coding::Opus, 20);
    let mu_law = recipe(Coding::G711(Law::Mu), Coding::Opus, 20);
    // Another law; another rate of the samples; another clock, there and back.
    for (before, after) in [
        (a_law, mu_law),
        (a_law, recipe(Coding::G722, Coding::Opus, 20)),
        (
            recipe(Coding::Opus, Coding::G722, 20),
            recipe(A_LAW, Coding::G722, 20),
        ),
        (
            recipe(A_LAW, Coding::G722, 20),
            recipe(Coding::Opus, Coding::G722, 20),
        ),
    ] {
        // Each frame has a tone of its own, which no concealment can guess.
        let hz = |at: usize| 400.0 + 100.0 * (at % 16) as f64;
        let mut jobs = Vec::new();
        for (first, recipe) in [(0, before), (60, after)] {
            let from = recipe.from.unwrap();
            for (at, frame) in tones(from, 120, hz).iter().enumerate().skip(first).take(60) {
                // Five come at once, so that some are held when the codec changes.
                let arrived = at as u64 / 5 * 100_000;
                let timestamp = at as u32 * from.clock_hz() / 50;
                jobs.push(job(recipe, at as u64, timestamp, frame, arrived));
            }
        }
        let made = through(&jobs);
        let rate = before.to.joint_rate(before.to);
        let samples = decoded(before.to, &made);
        // Whatever is drawn together is one of many.
        let heard = (45..75).filter(|at| {
            let around = &samples[rate as usize * at / 50..rate as usize * (at + 15) / 50];
            let mut windows = around
                .windows(rate as usize / 50)
                .step_by(rate as usize / 400);
            windows.any(|window| share_of(hz(*at), window, rate) > 0.7)
        });
        let heard = heard.count();
        // At most two are drawn together with others while another clock is got used to.
        let least = if after == mu_law { 30 } else { 28 };
        assert!(heard >= least, "{before:?} {after:?}: {heard} of 30");
    }
}

#[test]
fn no_more_is_decoded_than_is_heard() {
    // Whoever sends Opus packets of 120 ms may send a hundred of them in a second.
    let frames = tone(Coding::Opus, 6);
    let mut packet = vec![(frames[0][0] & !3) | 3, 6 | 0x80];
    packet.extend(frames[..5].iter().map(|frame| (frame.len() - 1) as u8));
    packet.extend(frames.iter().flat_map(|frame| &frame[1..]));
    let recipe = recipe(Coding::Opus, A_LAW, 20);
    for step in [5_760, 960] {
        let mut pipe = None;
        let mut made = 0;
        for at in 0..1_000u32 {
            let arrived = u64::from(at) * 10_000;
            let job = job(recipe, at.into(), at * step, &packet, arrived);
            let pipe = pipe.get_or_insert_with(|| Pipe::new(&job, 1));
            pipe.take(&job);
            while pipe.due() <= Timestamp(arrived) {
                assert!(pipe.next(pipe.due(), &job, &mut Recoded::default()));
                made += 1;
            }
        }
        let heard_ms = made * 20;
        let decoded_ms = pipe.unwrap().decoded * 120;
        assert!(
            made > 400 && decoded_ms > heard_ms / 2,
            "{made} packets, {decoded_ms} ms"
        );
        assert!(
            decoded_ms < heard_ms * 3 / 2,
            "{decoded_ms} ms for {heard_ms} ms"
        );
    }
}
