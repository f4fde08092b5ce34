//! Digits between two legs that are told of them differently: events of RFC 4733, tones in G.711, and what
//! signalling brings and takes (MED-220 to MED-225).

use crate::common::{A, B, Bench, Rtp, codec, peer_a, peer_b, read, rtp, terms};
use media_api::*;
use media_relay::Entropy;
use media_relay::g711::Law;

const ALL: &str = "0123456789*#ABCD";

/// How a leg's peer sends digits, and is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Means {
    Events,
    Info,
    Tones,
}

const MEANS: [Means; 3] = [Means::Events, Means::Info, Means::Tones];

fn digit(symbol: char) -> Digit {
    Digit::from_char(symbol).unwrap()
}

fn events() -> PayloadBinding {
    codec(101, 97, 2, "telephone-event", 8000)
}

/// Two legs; the one of B is told by `of_b`.
fn bench(of_a: Means, of_b: Means) -> Bench {
    let mut bench = Bench::joined();
    for (endpoint, peer, means, other) in [(A, peer_a(), of_a, of_b), (B, peer_b(), of_b, of_a)] {
        let mut agreed = terms(peer);
        if means == Means::Events {
            agreed.payloads.push(events());
        }
        bench.answer(endpoint, agreed);
        let intake = match (means, other) {
            (Means::Events, Means::Info | Means::Tones) => Intake::Events,
            (Means::Tones, Means::Info | Means::Events) => Intake::Tones,
            (Means::Events, Means::Events) => Intake::Watch,
            _ => Intake::Pass,
        };
        take(&mut bench, endpoint, intake);
    }
    bench
}

fn take(bench: &mut Bench, endpoint: EndpointId, intake: Intake) {
    bench.command(Command::Take {
        session: crate::common::SESSION,
        endpoint,
        intake,
    });
}

fn dial(bench: &mut Bench, endpoint: EndpointId, symbol: char, ms: u16, signal: Signal) {
    bench.command(Command::Dial {
        session: crate::common::SESSION,
        endpoint,
        dialled: Dialled {
            digit: digit(symbol),
            duration_ms: ms,
            signal,
        },
    });
}

/// Samples of a key's two tones at −10 dBm0, or of nothing, in 20 ms of A-law.
fn audio(symbol: Option<char>, packet: u32) -> Vec<u8> {
    let sample = |at: u32| {
        let turn = std::f64::consts::TAU * f64::from(packet * 160 + at) / 8_000.0;
        let hz = symbol.map(frequencies);
        hz.map_or(0.0, |(low, high)| {
            7_200.0 * ((turn * low).sin() + (turn * high).sin())
        })
    };
    (0..160)
        .map(|at| Law::A.encode(sample(at) as i16))
        .collect()
}

fn frequencies(symbol: char) -> (f64, f64) {
    let at = "123A456B789C*0#D".find(symbol).unwrap();
    let low = [697.0, 770.0, 852.0, 941.0][at / 4];
    (low, [1_209.0, 1_336.0, 1_477.0, 1_633.0][at % 4])
}

/// The key that 20 ms of A-law sound like, by correlation with every frequency.
fn sounds_like(payload: &[u8]) -> Option<char> {
    // Nothing is heard in silence.
    if payload.iter().all(|octet| *octet == Law::A.silence()) {
        return None;
    }
    let power = |hz: f64| {
        let (mut re, mut im) = (0.0, 0.0);
        for (at, octet) in (0u32..).zip(payload) {
            let turn = std::f64::consts::TAU * hz * f64::from(at) / 8_000.0;
            let sample = f64::from(Law::A.decode(*octet));
            re += sample * turn.cos();
            im += sample * turn.sin();
        }
        (re * re + im * im).sqrt() / payload.len() as f64
    };
    let of = |symbol: char| {
        let (low, high) = frequencies(symbol);
        (power(low).min(power(high)), symbol)
    };
    let all = ALL.chars().map(of);
    let (power, best) = all.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (power > 1_000.0).then_some(best)
}

/// One packet in twenty is lost, never two in a row: of a tone of two packets nothing would be left.
struct Loss {
    dice: Entropy,
    was_lost: bool,
    lost: u32,
}

impl Loss {
    fn new(seed: u8) -> Self {
        Self {
            dice: Entropy::from_seed([seed; 32]),
            was_lost: false,
            lost: 0,
        }
    }

    fn loses(&mut self) -> bool {
        self.was_lost = !self.was_lost && self.dice.next_u32().is_multiple_of(20);
        self.lost += u32::from(self.was_lost);
        self.was_lost
    }
}

/// A peer that presses keys, 40 ms each with 40 ms between, and the audio around them.
struct Phone {
    means: Means,
    sequence: u16,
    packet: u32,
}

impl Phone {
    /// What it sends in 20 ms of the time: `phase` counts packets since the key went down.
    fn packets(&mut self, key: Option<(char, u32)>) -> Vec<Vec<u8>> {
        self.packet += 1;
        let now = self.packet * 160;
        let (payload_type, timestamp, payload) = match (self.means, key) {
            (Means::Events, Some((symbol, phase))) if phase < 4 => {
                let units = (160 * (phase + 1)).min(320) as u16;
                let end = if phase > 0 { 0x80 } else { 0 };
                let [high, low] = units.to_be_bytes();
                let event = digit(symbol).event();
                (101, now - phase * 160, vec![event, end | 10, high, low])
            }
            (Means::Tones, Some((symbol, phase))) if phase < 2 => {
                (8, now, audio(Some(symbol), phase))
            }
            _ => (8, now, audio(None, 0)),
        };
        self.sequence = self.sequence.wrapping_add(1);
        vec![rtp(payload_type, self.sequence, timestamp, 77, &payload)]
    }
}

/// A peer that is told of keys.
#[derive(Default)]
struct Display {
    keys: String,
    events: Vec<u32>,
    sounding: Option<char>,
    sequence: Option<u16>,
}

impl Display {
    fn hears(&mut self, packet: &Rtp) {
        if self
            .sequence
            .is_some_and(|last| packet.sequence.wrapping_sub(last) > 0x8000)
        {
            return;
        }
        self.sequence = Some(packet.sequence);
        if packet.payload_type == 97 {
            if !self.events.contains(&packet.timestamp) {
                self.events.push(packet.timestamp);
                let event = Digit::from_event(packet.payload[0]).unwrap();
                self.keys.push(event.symbol());
            }
            return;
        }
        let sound = sounds_like(&packet.payload);
        if sound != self.sounding {
            self.keys.extend(sound);
        }
        self.sounding = sound;
    }
}

/// Keys that reach B, told as signalling would tell them.
fn pressed(from: Means, to: Means, seed: u8) -> String {
    let mut bench = bench(from, to);
    let mut phone = Phone {
        means: from,
        sequence: 65_500,
        packet: 100,
    };
    let mut display = Display::default();
    let (mut told, mut watched) = (String::new(), String::new());
    let is_watched = (from, to) == (Means::Events, Means::Events);
    let (mut there, mut back) = (Loss::new(seed), Loss::new(seed + 100));
    // Tones that pass as they are have lost what they may on the way here.
    let is_lossy = (from, to) != (Means::Tones, Means::Tones);
    let mut keys = ALL
        .chars()
        .flat_map(|symbol| (0..4).map(move |phase| (symbol, phase)));
    for _ in 0..300 {
        let key = keys.next();
        if let (Means::Info, Some((symbol, 0))) = (from, key) {
            match to {
                Means::Events => dial(&mut bench, B, symbol, 40, Signal::Event),
                Means::Tones => dial(&mut bench, B, symbol, 40, Signal::Tone),
                Means::Info => told.push(symbol),
            }
        }
        let mut out = Vec::new();
        for packet in phone.packets(key) {
            if !there.loses() {
                out.extend(bench.send_or_end(A, peer_a(), &packet));
            }
        }
        out.extend(bench.made());
        out.extend(bench.run_ms(20));
        for event in bench.events() {
            let Event::Digit {
                endpoint, digit, ..
            } = event
            else {
                continue;
            };
            assert_eq!(endpoint, A);
            match to {
                Means::Events if is_watched => watched.push(digit.symbol()),
                Means::Events => dial(&mut bench, B, digit.symbol(), 40, Signal::Event),
                Means::Tones => dial(&mut bench, B, digit.symbol(), 40, Signal::Tone),
                Means::Info => told.push(digit.symbol()),
            }
        }
        out.extend(bench.made());
        for (to, packet) in out {
            if to == peer_b() && !(is_lossy && back.loses()) {
                display.hears(&read(&packet));
            }
        }
    }
    assert!(there.lost > 5);
    assert_eq!(watched, if is_watched { ALL } else { "" });
    // Nothing of a digit comes by any other way.
    match to {
        Means::Info => {
            assert_eq!(display.keys, "", "{from:?}");
            told
        }
        Means::Events => {
            assert_eq!(display.events.len(), display.keys.len(), "{from:?}");
            display.keys
        }
        Means::Tones => {
            assert!(display.events.is_empty());
            display.keys
        }
    }
}

#[test]
fn every_digit_arrives_once_whatever_the_two_legs_are_told_by() {
    for seed in 1..=4 {
        for from in MEANS {
            for to in MEANS {
                assert_eq!(
                    pressed(from, to, seed),
                    ALL,
                    "{from:?} to {to:?}, seed {seed}"
                );
            }
        }
    }
}

/// An event's packet of the peer of A, or its audio where `units` is 0.
fn event_of_a(sequence: u16, timestamp: u32, event: u8, units: u16, is_end: bool) -> Vec<u8> {
    let [high, low] = units.to_be_bytes();
    let end = if is_end { 0x80 } else { 0 };
    rtp(101, sequence, timestamp, 77, &[event, end | 10, high, low])
}

fn audio_of_a(sequence: u16, timestamp: u32) -> Vec<u8> {
    rtp(8, sequence, timestamp, 77, &[0x55; 160])
}

#[test]
fn a_digit_of_ours_stands_between_what_the_source_sends() {
    let mut bench = bench(Means::Info, Means::Events);
    let mut got: Vec<Rtp> = Vec::new();
    for at in 0..20u16 {
        if at == 5 {
            dial(&mut bench, B, '#', 60, Signal::Event);
        }
        // Of what is not heard some is lost, and it leaves no gap.
        if at != 7 {
            let packet = audio_of_a(at, u32::from(at) * 160);
            let sent = bench.send_or_end(A, peer_a(), &packet);
            got.extend(sent.map(|(_, packet)| read(&packet)));
        }
        let made = bench.run_ms(20);
        got.extend(
            made.iter()
                .filter(|(to, _)| *to == peer_b())
                .map(|(_, own)| read(own)),
        );
    }
    let own: Vec<&Rtp> = got
        .iter()
        .filter(|packet| packet.payload_type == 97)
        .collect();
    let told: Vec<(u16, u8, bool)> = own
        .iter()
        .map(|own| {
            let units = u16::from_be_bytes([own.payload[2], own.payload[3]]);
            (units, own.payload[1] & 0x80, own.marker)
        })
        .collect();
    let wanted = [
        (160, 0, true),
        (320, 0, false),
        (480, 0x80, false),
        (480, 0x80, false),
        (480, 0x80, false),
    ];
    assert_eq!(told, wanted);
    assert!(
        own.iter()
            .all(|packet| packet.timestamp == own[0].timestamp)
    );
    // One source, one row of numbers.
    for pair in got.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(step < 2_000, "time goes on: {step}");
    }
    // The audio's own time goes on behind the digit as if nothing had been.
    let audio: Vec<&Rtp> = got
        .iter()
        .filter(|packet| packet.payload_type == 8)
        .collect();
    let (first, last) = (audio[0], audio[audio.len() - 1]);
    assert_eq!(last.timestamp.wrapping_sub(first.timestamp), 19 * 160);
    assert!(audio.iter().skip(1).all(|packet| !packet.marker));
}

#[test]
fn two_digits_begin_at_two_times_though_the_clock_of_the_source_stood_still() {
    let mut bench = bench(Means::Info, Means::Events);
    let (mut sequence, mut begun) = (0, Vec::new());
    for round in 0..40 {
        // It says two packets, and is silent for 200 ms without counting them.
        for _ in 0..2 {
            let packet = audio_of_a(sequence, u32::from(sequence) * 160);
            sequence += 1;
            let _ = bench.send_or_end(A, peer_a(), &packet);
        }
        dial(&mut bench, B, '1', 100, Signal::Event);
        let length = [200, 201, 240, 219][round % 4];
        let packets = bench
            .run_ms(length)
            .into_iter()
            .filter(|(to, _)| *to == peer_b());
        let packets = packets.map(|(_, own)| read(&own));
        begun.extend(packets.filter(|own| own.payload_type == 97 && own.marker));
    }
    assert_eq!(begun.len(), 40);
    for pair in begun.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(
            (800..10_000).contains(&step),
            "{step} after {}",
            pair[0].timestamp
        );
    }
}

#[test]
fn nobody_is_heard_beside_an_event_and_what_passes_keeps_its_timestamp() {
    let mut bench = bench(Means::Events, Means::Events);
    let mut passed = Vec::new();
    let packets = [
        audio_of_a(1, 160),
        event_of_a(2, 320, 5, 160, false),
        audio_of_a(3, 480),
        event_of_a(4, 320, 5, 320, false),
        audio_of_a(5, 640),
        event_of_a(6, 320, 5, 480, true),
        event_of_a(7, 320, 5, 480, true),
        audio_of_a(8, 800),
        // Flash is no digit, but a key.
        event_of_a(9, 960, 16, 160, true),
    ];
    for packet in &packets {
        let sent = bench.send_or_end(A, peer_a(), packet);
        passed.extend(sent.map(|(_, packet)| read(&packet)));
        bench.wait_ms(20);
    }
    let types: Vec<u8> = passed.iter().map(|packet| packet.payload_type).collect();
    assert_eq!(types, [8, 97, 97, 97, 97, 8, 97]);
    for pair in passed.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    assert!(
        passed[1..5]
            .iter()
            .all(|packet| packet.timestamp == passed[1].timestamp)
    );
    assert_eq!(passed[5].timestamp.wrapping_sub(passed[0].timestamp), 640);
    // What passes is told as it begins, and at its end.
    let (session, endpoint, digit) = (crate::common::SESSION, A, digit('5'));
    let told: Vec<Event> = bench
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::DigitBegun { .. } | Event::Digit { .. }))
        .collect();
    let begun = Event::DigitBegun {
        session,
        endpoint,
        digit,
    };
    let ended = Event::Digit {
        session,
        endpoint,
        digit,
        duration_ms: 60,
    };
    assert_eq!(told, [begun, ended]);
}

/// What the relay has told of digits since it was asked last: whether one began, and which.
fn told_of_digits(bench: &mut Bench) -> Vec<(bool, char)> {
    let told = bench.events().into_iter();
    let told = told.filter_map(|event| match event {
        Event::DigitBegun { digit, .. } => Some((true, digit.symbol())),
        Event::Digit { digit, .. } => Some((false, digit.symbol())),
        _ => None,
    });
    told.collect()
}

#[test]
fn tones_that_pass_are_told_as_they_begin_and_at_their_end() {
    let mut bench = bench(Means::Tones, Means::Tones);
    take(&mut bench, A, Intake::Listen);
    let mut told = Vec::new();
    let mut heard = Vec::new();
    for (at, packet) in (0u32..24).zip(1u16..) {
        // Each of two keys for 100 ms, with 100 ms behind it.
        let key = ['7', '7', 'D'].get(at as usize / 10).copied();
        let key = key.filter(|_| at % 10 < 5);
        let payload = audio(key, at % 10);
        let packet = rtp(8, packet, u32::from(packet) * 160, 77, &payload);
        let sent = bench.send_or_end(A, peer_a(), &packet);
        let (_, sent) = sent.expect("it passes");
        heard.extend(sounds_like(&read(&sent).payload));
        bench.wait_ms(20);
        told.extend(told_of_digits(&mut bench).into_iter().map(|own| (at, own)));
    }
    assert_eq!(heard.iter().collect::<String>(), "77777".repeat(2) + "DDDD");
    let symbols: Vec<(bool, char)> = told.iter().map(|(_, own)| *own).collect();
    let wanted = [
        (true, '7'),
        (false, '7'),
        (true, '7'),
        (false, '7'),
        (true, 'D'),
    ];
    assert_eq!(symbols, wanted);
    // Soon enough for an INFO that waits for it, and not at its end only.
    assert!(told[0].0 < 3, "{told:?}");
    // From here on it is taken out: what lasts is told once, at its end.
    take(&mut bench, A, Intake::Tones);
    for at in 25u16..40 {
        let payload = audio((at < 28).then_some('D'), u32::from(at) - 21);
        let packet = rtp(8, at, u32::from(at) * 160, 77, &payload);
        if let Some((_, sent)) = bench.send_or_end(A, peer_a(), &packet) {
            assert_eq!(sounds_like(&read(&sent).payload), None);
        }
        bench.wait_ms(20);
    }
    assert_eq!(told_of_digits(&mut bench), [(false, 'D')]);
}

#[test]
fn an_event_that_lasts_while_it_begins_to_be_taken_out_is_told_once() {
    let mut bench = bench(Means::Events, Means::Events);
    bench.send_or_end(A, peer_a(), &event_of_a(1, 320, 5, 160, false));
    take(&mut bench, A, Intake::Events);
    for at in 2..5 {
        let packet = event_of_a(at, 320, 5, 160 * at, at == 4);
        assert!(bench.send_or_end(A, peer_a(), &packet).is_none());
    }
    let told = bench.events().into_iter();
    let told: Vec<bool> = told
        .filter_map(|event| match event {
            Event::DigitBegun { .. } => Some(true),
            Event::Digit { duration_ms, .. } => Some(duration_ms != 80),
            _ => None,
        })
        .collect();
    assert_eq!(told, [true, false]);
}

#[test]
fn an_event_without_an_end_is_told_in_time_though_nothing_comes() {
    let mut bench = bench(Means::Events, Means::Info);
    bench.send_or_end(A, peer_a(), &audio_of_a(1, 160));
    bench.out.clear();
    bench.send_or_end(A, peer_a(), &event_of_a(2, 320, 11, 160, false));
    assert!(
        !bench.out.is_empty(),
        "whoever owns the session must look at its deadline"
    );
    assert_eq!(
        bench
            .session
            .next_deadline()
            .unwrap()
            .since(bench.now)
            .as_millis(),
        60
    );
    bench.run_ms(59);
    assert!(bench.events().is_empty());
    bench.run_ms(1);
    let wanted = Event::Digit {
        session: crate::common::SESSION,
        endpoint: A,
        digit: digit('#'),
        duration_ms: 20,
    };
    assert_eq!(bench.events(), [wanted]);
    assert_eq!(bench.stats(A).dropped_total(), 0);
}

#[test]
fn nobody_is_heard_beside_an_event_that_paused() {
    let mut bench = bench(Means::Events, Means::Info);
    bench.send_or_end(A, peer_a(), &audio_of_a(1, 160));
    bench.send_or_end(A, peer_a(), &event_of_a(2, 320, 5, 160, false));
    bench.run_ms(100);
    for at in 0..5 {
        let event = event_of_a(3 + 2 * at, 320, 5, 960 + 160 * at, at == 4);
        assert!(bench.send_or_end(A, peer_a(), &event).is_none());
        let audio = audio_of_a(4 + 2 * at, 1_120 + 160 * u32::from(at));
        let passes = bench.send_or_end(A, peer_a(), &audio).is_some();
        assert_eq!(passes, at == 4, "packet {at}");
        bench.run_ms(20);
    }
    let digits = bench.events().into_iter();
    assert_eq!(
        digits
            .filter(|event| matches!(event, Event::Digit { .. }))
            .count(),
        1
    );
}

#[test]
fn a_peer_that_has_agreed_to_nothing_fitting_or_is_held_gets_no_digit() {
    let mut bench = bench(Means::Info, Means::Info);
    dial(&mut bench, B, '1', 100, Signal::Event);
    dial(&mut bench, EndpointId(9), '1', 100, Signal::Tone);
    let mut other = terms(peer_b());
    other.payloads = vec![codec(18, 18, 3, "G729", 8000)];
    bench.answer(B, other);
    dial(&mut bench, B, '2', 100, Signal::Tone);
    let mut held = terms(peer_b());
    held.direction = Direction::Receive;
    bench.answer(B, held);
    dial(&mut bench, B, '3', 100, Signal::Tone);
    let made = bench.run_ms(500);
    assert!(made.iter().all(|(to, _)| *to != peer_b()));
    // It has missed them, and gets the next one.
    bench.answer(B, terms(peer_b()));
    dial(&mut bench, B, '4', 100, Signal::Tone);
    let made = bench.run_ms(200);
    let heard = made.iter().filter(|(to, _)| *to == peer_b());
    let heard: Vec<Option<char>> = heard
        .map(|(_, own)| sounds_like(&read(own).payload))
        .collect();
    assert_eq!(heard[..6], [vec![Some('4'); 5], vec![None]].concat());
}

/// Something like speech: a pulse train through moving formants, with pauses and noise.
fn speech(seed: u8, seconds: usize) -> Vec<f64> {
    let mut dice = Entropy::from_seed([seed; 32]);
    let mut unit = move || f64::from(dice.next_u32()) / f64::from(u32::MAX);
    let mut samples = Vec::with_capacity(seconds * 8_000);
    while samples.len() < seconds * 8_000 {
        let (pitch, length) = (80.0 + 220.0 * unit(), 400 + (2_400.0 * unit()) as usize);
        let formants: Vec<[f64; 2]> = [(250.0, 800.0), (700.0, 1_500.0), (1_700.0, 1_500.0)]
            .map(|(from, width): (f64, f64)| [from + width * unit(), 1.0 + 4.0 * unit()])
            .to_vec();
        let (is_voiced, loudness) = (unit() < 0.8, 12_000.0 * unit());
        let mut phase = 0.0;
        let glide = 1.0 + 0.1 * (unit() - 0.5) / length as f64;
        let mut now = pitch;
        for _ in 0..length {
            now *= glide;
            phase += now / 8_000.0;
            let mut sample = 0.1 * (unit() - 0.5);
            let mut harmonic = 1.0;
            while is_voiced && harmonic * now < 3_600.0 {
                let gain: f64 = formants
                    .iter()
                    .map(|[at, sharp]| {
                        1.0 / (1.0 + ((harmonic * now - at) * sharp / 200.0).powi(2))
                    })
                    .sum();
                sample += gain * (std::f64::consts::TAU * phase * harmonic).sin();
                harmonic += 1.0;
            }
            samples.push(loudness * sample.clamp(-2.7, 2.7));
        }
    }
    samples
}

#[test]
fn speech_makes_no_digits_and_is_heard() {
    let (mut packets, mut changed) = (0u32, 0u32);
    for seed in 1..=3 {
        let mut bench = bench(Means::Tones, Means::Info);
        for (at, samples) in (0u16..).zip(speech(seed, 20).chunks(160)) {
            let payload: Vec<u8> = samples
                .iter()
                .map(|one| Law::A.encode(*one as i16))
                .collect();
            let packet = rtp(8, at, u32::from(at) * 160, 77, &payload);
            let (_, sent) = bench.send_or_end(A, peer_a(), &packet).unwrap();
            packets += 1;
            changed += u32::from(read(&sent).payload != payload);
            bench.run_ms(20);
        }
        let digits = bench.events().into_iter();
        let digits = digits
            .filter(|event| matches!(event, Event::Digit { .. }))
            .count();
        assert_eq!(digits, 0, "seed {seed}");
    }
    assert!(
        packets >= 3_000 && changed * 500 < packets,
        "{changed} of {packets}"
    );
}

#[test]
fn a_digit_is_broken_off_when_its_peer_agrees_to_something_else() {
    let mut other = terms(peer_b());
    other.content = Content::Udptl;
    let mut held = terms(peer_b());
    held.direction = Direction::Inactive;
    for change in [other, held, terms(peer_b())] {
        let mut bench = bench(Means::Info, Means::Events);
        dial(&mut bench, B, '1', 400, Signal::Event);
        assert_eq!(bench.made().len(), 1);
        bench.answer(B, change);
        let made = bench.run_ms(500);
        assert!(made.iter().all(|(to, _)| *to != peer_b()));
    }
}
