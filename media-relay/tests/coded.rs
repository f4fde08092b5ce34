//! What is ours on a leg that talks in G.722 or Opus: sounds, tones of digits, and tones that are looked for there. Those who
//! transcode make and read it, here one pipe without a thread (MED-224, MED-241).

use crate::common::{
    A, B, Bench, Rtp, SESSION, codec, endless, peer_a, peer_b, read, rtp, terms, tone,
};
use media_api::*;
use media_relay::codec::{Coding, Decoder, Encoder, MAX_PAYLOAD_BYTES};
use media_relay::transcode::{Job, Pipe, Recoded};

/// The codecs, with the numbers of the peer.
fn codecs() -> [(Coding, PayloadBinding); 2] {
    [
        (Coding::G722, codec(9, 9, 3, "G722", 8_000)),
        (Coding::Opus, codec(111, 109, 4, "opus", 48_000)),
    ]
}

/// A session whose legs have this codec.
fn joined(binding: &PayloadBinding) -> Bench {
    let mut bench = Bench::joined();
    for (endpoint, peer) in [(A, peer_a()), (B, peer_b())] {
        let terms = NegotiatedStream {
            payloads: vec![binding.clone()],
            ..terms(peer)
        };
        bench.answer(endpoint, terms);
    }
    bench
}

/// The pipe that the session gives something to.
#[derive(Default)]
struct Kitchen(Option<(Job, Pipe)>);

impl Kitchen {
    /// Takes in what the session has for it, which is no packet that came.
    fn take(&mut self, bench: &Bench) {
        for (recode, realm, bytes, buffer) in bench.out.recodes() {
            assert_eq!((realm, bytes), (None, 0));
            let job = Job::new(0, SESSION, recode, buffer, bench.now).unwrap();
            let known = self
                .0
                .get_or_insert_with(|| (job.clone(), Pipe::new(&job, 1)));
            known.1.take(&job);
        }
    }

    /// Gives back what is due, until nobody hears it.
    fn give(&mut self, bench: &mut Bench) {
        let Some((job, pipe)) = &mut self.0 else {
            return;
        };
        let mut recoded = Recoded::default();
        while pipe.due() <= bench.now {
            let is_heard = pipe.next(bench.now, job, &mut recoded)
                && bench
                    .session
                    .recoded(&mut recoded, bench.now, &mut bench.out);
            if !is_heard {
                self.0 = None;
                return;
            }
        }
    }

    /// Lets time pass; what the peer of B hears.
    fn run(&mut self, bench: &mut Bench, ms: u64) -> Vec<Rtp> {
        let mut heard = Vec::new();
        for _ in 0..ms / 5 {
            bench.wait_ms(5);
            bench.session.tick(bench.now, &mut bench.out);
            self.take(bench);
            self.give(bench);
            let made = bench.made();
            let to_peer = made.iter().filter(|(to, _)| *to == peer_b());
            heard.extend(to_peer.map(|(_, packet)| read(packet)));
        }
        heard
    }
}

/// Samples of packets, 8,000 a second.
fn decoded(coding: Coding, packets: &[Rtp]) -> Vec<i16> {
    let mut decoder = Decoder::new(coding, 8_000);
    let mut samples = Vec::new();
    for packet in packets {
        assert!(decoder.decode(&packet.payload, &mut samples));
    }
    samples
}

/// Mean magnitude of one frequency in samples.
fn level(samples: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (at, sample) in (0u32..).zip(samples) {
        let turn = std::f64::consts::TAU * hz * f64::from(at) / 8_000.0;
        re += f64::from(*sample) * turn.cos();
        im += f64::from(*sample) * turn.sin();
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

fn one_after_the_other(packets: &[Rtp], step: u32) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), step);
    }
}

#[test]
fn a_sound_is_heard_to_its_end_in_a_codec_that_has_to_be_made() {
    for (coding, binding) in codecs() {
        let (mut bench, mut kitchen) = (joined(&binding), Kitchen::default());
        let second = Playing {
            sound: tone(&[([425, 0], 1_000)]),
            times: Some(1),
            beside: Beside::Muted,
        };
        bench.play(B, Some(second));
        let heard = kitchen.run(&mut bench, 2_000);
        assert!(heard.iter().all(|own| own.payload_type == binding.send));
        one_after_the_other(&heard, coding.clock_hz() / 50);
        let samples = decoded(coding, &heard);
        let loud = samples
            .chunks(160)
            .filter(|own| level(own, 425.0) > 1_500.0);
        let loud = loud.count();
        assert!((48..=52).contains(&loud), "{coding:?}: {loud} of 50");
        assert!(
            (50..=56).contains(&heard.len()),
            "{coding:?}: {}",
            heard.len()
        );
        let told = bench.events();
        let is_over = |event: &&Event| matches!(event, Event::Played { heard: true, .. });
        assert_eq!(told.iter().filter(is_over).count(), 1, "{told:?}");
        assert!(kitchen.0.is_none(), "nobody hears the pipe any more");
    }
}

#[test]
fn a_sound_that_is_ended_leaves_nothing_in_the_pipe() {
    for (_, binding) in codecs() {
        let (mut bench, mut kitchen) = (joined(&binding), Kitchen::default());
        bench.play(B, endless(tone(&[([425, 0], 1_000)])));
        assert!(kitchen.run(&mut bench, 500).len() > 20);
        bench.play(B, None);
        assert_eq!(kitchen.run(&mut bench, 500), []);
        // And the next one is heard from its beginning.
        bench.play(B, endless(tone(&[([425, 0], 1_000)])));
        assert!(kitchen.run(&mut bench, 500).len() > 20);
    }
}

#[test]
fn a_digit_is_dialled_as_a_tone_in_a_codec_that_has_to_be_made() {
    for (coding, binding) in codecs() {
        let (mut bench, mut kitchen) = (joined(&binding), Kitchen::default());
        bench.command(Command::Dial {
            session: SESSION,
            endpoint: B,
            dialled: Dialled {
                digit: Digit::from_char('5').unwrap(),
                duration_ms: 200,
                signal: Signal::Tone,
            },
        });
        let heard = kitchen.run(&mut bench, 600);
        assert!(heard.iter().all(|own| own.payload_type == binding.send));
        one_after_the_other(&heard, coding.clock_hz() / 50);
        let samples = decoded(coding, &heard);
        let is_five = |own: &&[i16]| level(own, 770.0).min(level(own, 1_336.0)) > 3_000.0;
        let fives = samples.chunks(160).filter(is_five).count();
        assert!((8..=11).contains(&fives), "{coding:?}: {fives} of 10");
        assert!(kitchen.0.is_none(), "{coding:?}: the digit is over");
    }
}

#[test]
fn a_tone_is_found_in_a_codec_that_has_to_be_read_and_is_told_once() {
    for (coding, binding) in codecs() {
        let (mut bench, mut kitchen) = (joined(&binding), Kitchen::default());
        bench.command(Command::Take {
            session: SESSION,
            endpoint: A,
            intake: Intake::Tones,
        });
        let mut encoder = Encoder::new(coding, 16_000);
        let step = coding.clock_hz() / 50;
        let mut muted = 0;
        for at in 0..60u16 {
            let is_pressed = (10..20).contains(&at);
            let sample = |own: u32| {
                let turn = std::f64::consts::TAU * f64::from(u32::from(at) * 320 + own) / 16_000.0;
                7_200.0 * ((turn * 852.0).sin() + (turn * 1_209.0).sin())
            };
            let samples: Vec<i16> = (0..320)
                .map(|own| if is_pressed { sample(own) as i16 } else { 0 })
                .collect();
            let mut payload = [0; MAX_PAYLOAD_BYTES];
            let length = encoder.encode(&samples, &mut payload);
            let timestamp = u32::from(at) * step;
            let packet = rtp(binding.receive, at, timestamp, 9, &payload[..length]);
            muted += usize::from(bench.send_or_end(A, peer_a(), &packet).is_none());
            kitchen.take(&bench);
            bench.made();
            kitchen.run(&mut bench, 20);
        }
        let told = bench.events();
        let digits = told.iter().filter_map(|event| match event {
            Event::Digit {
                endpoint,
                digit,
                duration_ms,
                ..
            } => Some((*endpoint, digit.symbol(), *duration_ms)),
            _ => None,
        });
        let [(endpoint, symbol, duration_ms)] = digits.collect::<Vec<_>>()[..] else {
            panic!("{coding:?}: {told:?}");
        };
        assert_eq!((endpoint, symbol), (A, '7'), "{coding:?}");
        assert!(duration_ms.abs_diff(200) <= 60, "{coding:?}: {duration_ms}");
        // What was forwarded before it was found cannot be called back.
        assert!((4..=18).contains(&muted), "{coding:?}: {muted}");
    }
}
