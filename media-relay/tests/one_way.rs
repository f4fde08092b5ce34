//! The verdict on one-way audio: each kind within its time, and no false one.

use crate::common::{A, B, Bench, address, codec, pcma, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::packet::rtcp::{ReportBlock, SenderInfo, Writer};
use media_relay::srtp::Sender;

/// Milliseconds within which a fault must be told.
const PROMISE_MS: u64 = 3_000;

/// What was told, and when: milliseconds since the bench was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Fault(EndpointId, OneWayKind, u64),
    Over(EndpointId, OneWayKind, u64),
    Unheard(EndpointId, u64),
}

/// Two parties that talk as a test says.
struct Call {
    bench: Bench,
    told: Vec<Told>,
    began_us: u64,
    sequence: u16,
    /// Where packets came from that were dropped for it, as the last fault had it.
    refused: Option<std::net::SocketAddr>,
}

/// A packet of B that is not dead air.
fn sound(sequence: u16) -> Vec<u8> {
    let payload: Vec<u8> = (0..160u16).map(|at| (at * 7 + sequence) as u8).collect();
    rtp(8, sequence, u32::from(sequence) * 160, 0x1001, &payload)
}

impl Call {
    fn of(bench: Bench) -> Self {
        let began_us = bench.now.0;
        Self {
            bench,
            told: Vec::new(),
            began_us,
            sequence: 0,
            refused: None,
        }
    }

    fn new() -> Self {
        Self::of(Bench::joined())
    }

    fn now_ms(&self) -> u64 {
        (self.bench.now.0 - self.began_us) / 1_000
    }

    /// Packets every 20 ms: A sends sound, and B what `of_b` makes of the sequence number.
    fn run_ms(&mut self, ms: u64, mut of_b: impl FnMut(&mut Bench, u16)) {
        for _ in 0..ms / 20 {
            for _ in 0..20 {
                self.bench.run_ms(1);
                self.listen();
            }
            let (bench, sequence) = (&mut self.bench, self.sequence);
            let payload: Vec<u8> = (0..160u16).map(|at| (at * 3 + sequence) as u8).collect();
            let packet = rtp(8, sequence, u32::from(sequence) * 160, 0x1000, &payload);
            let _ = bench.send(A, peer_a(), &packet);
            of_b(bench, sequence);
            self.sequence += 1;
        }
    }

    fn listen(&mut self) {
        let now_ms = self.now_ms();
        for event in self.bench.events() {
            match event {
                Event::OneWay {
                    endpoint,
                    kind,
                    refused,
                    ..
                } => {
                    self.refused = refused;
                    self.told.push(Told::Fault(endpoint, kind, now_ms));
                }
                Event::OneWayOver {
                    endpoint,
                    kind,
                    lasted_ms,
                    ..
                } => self.told.push(Told::Over(endpoint, kind, lasted_ms.into())),
                Event::Unheard { endpoint, .. } => {
                    self.told.push(Told::Unheard(endpoint, now_ms));
                }
                _ => {}
            }
        }
    }

    /// The one fault of B that was told since `since_ms`, in time.
    fn assert_told(&self, wanted: OneWayKind, since_ms: u64) {
        match self.told[..] {
            [Told::Fault(B, kind, at)] => {
                assert_eq!(kind, wanted);
                assert!((since_ms..=since_ms + PROMISE_MS).contains(&at), "{at}");
            }
            ref other => panic!("{wanted:?}: {other:?}"),
        }
    }

    fn assert_silent(&self, what: &str) {
        assert_eq!(self.told, [], "{what}");
    }
}

fn nothing(_: &mut Bench, _: u16) {}

fn speak(bench: &mut Bench, sequence: u16) {
    let _ = bench.send(B, peer_b(), &sound(sequence));
}

/// A report of B; with a count it is a sender's.
fn report(bench: &mut Bench, packets: Option<u32>) {
    let info = packets.map(|packets| SenderInfo {
        ntp: 1 << 40,
        rtp_timestamp: 0,
        packets,
        octets: packets * 160,
    });
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1001, info, None);
    let length = writer.len();
    bench.send_rtcp(B, address("198.51.100.20:6001"), &buffer[..length]);
}

#[test]
fn each_fault_from_the_answer_on_is_told_with_its_kind_in_three_seconds() {
    let elsewhere = address("198.51.100.99:6000");
    let mut call = Call::new();
    call.run_ms(20_000, nothing);
    call.assert_told(OneWayKind::NoPackets, 0);

    let mut call = Call::new();
    call.run_ms(20_000, |bench, n| {
        assert_eq!(bench.send(B, elsewhere, &sound(n)), Err(DropReason::Source));
    });
    call.assert_told(OneWayKind::WrongSource, 0);
    assert_eq!(call.refused, Some(elsewhere));

    let mut call = Call::new();
    call.run_ms(20_000, |bench, n| {
        let packet = rtp(0, n, u32::from(n) * 160, 5, &[1, 2, 3]);
        let dropped = bench.send(B, peer_b(), &packet);
        assert_eq!(dropped, Err(DropReason::PayloadType));
    });
    call.assert_told(OneWayKind::WrongPayloadType, 0);
}

/// A call whose B side is secured, and packets of B under the key that it announced or another one.
fn secured() -> (Bench, impl Fn(u16, bool) -> Vec<u8>) {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    let mut bench = Bench::joined();
    bench.answer(
        B,
        NegotiatedStream {
            protection: Protection::Sdes {
                local: key(1),
                remote: key(2),
            },
            ..terms(peer_b())
        },
    );
    let (right, wrong) = (Sender::new(&key(2)), Sender::new(&key(3)));
    let protect = move |sequence: u16, is_right: bool| {
        let mut packet = sound(sequence);
        let length = packet.len();
        packet.resize(length + 14, 0);
        let sender = if is_right { &right } else { &wrong };
        let length = sender.protect_rtp(&mut packet, length, sequence.into());
        packet.truncate(length.unwrap());
        packet
    };
    (bench, protect)
}

#[test]
fn keys_that_differ_are_told_at_the_beginning_and_in_the_middle_of_a_call_and_when_they_fit() {
    let (bench, protect) = secured();
    let mut call = Call::of(bench);
    call.run_ms(10_000, |bench, n| {
        let _ = bench.send(B, peer_b(), &protect(n, false));
    });
    call.assert_told(OneWayKind::DecryptFailures, 0);

    let (bench, protect) = secured();
    let mut call = Call::of(bench);
    call.run_ms(10_000, |bench, n| {
        bench.send(B, peer_b(), &protect(n, true)).unwrap();
    });
    call.run_ms(10_000, |bench, n| {
        let dropped = bench.send(B, peer_b(), &protect(n, false));
        assert_eq!(dropped, Err(DropReason::Authentication));
    });
    call.assert_told(OneWayKind::DecryptFailures, 10_000);
    call.told.clear();
    call.run_ms(5_000, |bench, n| {
        bench.send(B, peer_b(), &protect(n, true)).unwrap();
    });
    let [Told::Over(B, OneWayKind::DecryptFailures, lasted)] = call.told[..] else {
        panic!("{:?}", call.told);
    };
    assert!((10_000..10_500).contains(&lasted), "{lasted}");
}

#[test]
fn a_stream_of_which_most_is_forged_is_told_although_some_of_it_is_heard() {
    for (forged_of_ten, is_told) in [(4, false), (6, true)] {
        let (bench, protect) = secured();
        let mut call = Call::of(bench);
        call.run_ms(10_000, |bench, n| {
            let _ = bench.send(B, peer_b(), &protect(n, n % 10 >= forged_of_ten));
        });
        if !is_told {
            call.assert_silent("four of ten");
            continue;
        }
        call.assert_told(OneWayKind::DecryptFailures, 0);
        call.told.clear();
        call.run_ms(1_000, |bench, n| {
            bench.send(B, peer_b(), &protect(n, true)).unwrap();
        });
        let [Told::Over(B, OneWayKind::DecryptFailures, _)] = call.told[..] else {
            panic!("{:?}", call.told);
        };
    }
}

#[test]
fn media_that_stop_in_the_middle_are_told_in_three_seconds_and_again_if_it_happens_again() {
    let mut call = Call::new();
    call.run_ms(30_000, speak);
    call.assert_silent("both are heard");
    for _ in 0..2 {
        call.told.clear();
        let since = call.now_ms();
        call.run_ms(20_000, nothing);
        call.assert_told(OneWayKind::NoPackets, since);
        call.told.clear();
        call.run_ms(10_000, speak);
        assert!(matches!(
            call.told[..],
            [Told::Over(B, OneWayKind::NoPackets, _)]
        ));
    }
}

#[test]
fn a_peer_that_counts_packets_which_do_not_come_is_told_with_its_next_report() {
    let mut call = Call::new();
    call.run_ms(20_000, |bench, n| {
        speak(bench, n);
        if n.is_multiple_of(200) {
            report(bench, Some(u32::from(n) + 1));
        }
    });
    call.assert_silent("both are heard");
    // It goes on sending, and its reports alone get through.
    call.run_ms(20_000, |bench, n| {
        if n.is_multiple_of(200) {
            report(bench, Some(u32::from(n) + 1));
        }
    });
    assert!(
        matches!(call.told[..], [Told::Fault(B, OneWayKind::NoPackets, at)] if at < 28_500),
        "{:?}",
        call.told
    );
}

#[test]
fn a_peer_of_which_neither_media_nor_reports_come_any_more_is_told_when_a_report_is_overdue() {
    let mut call = Call::new();
    call.run_ms(20_000, |bench, n| {
        speak(bench, n);
        if n.is_multiple_of(200) {
            report(bench, Some(u32::from(n) + 1));
        }
    });
    call.run_ms(20_000, nothing);
    let [
        Told::Unheard(B, unheard),
        Told::Fault(B, OneWayKind::NoPackets, at),
    ] = call.told[..]
    else {
        panic!("{:?}", call.told);
    };
    assert!(unheard <= 20_000 + PROMISE_MS, "{unheard}");
    assert!(at <= 28_000, "{at}");
}

#[test]
fn a_muted_peer_that_reports_is_no_fault_however_it_reports() {
    for is_sender in [true, false] {
        let mut call = Call::new();
        call.run_ms(16_000, |bench, n| {
            speak(bench, n);
            if n.is_multiple_of(250) {
                report(bench, Some(u32::from(n) + 1));
            }
        });
        // The next report comes in four seconds. A sender's goes on for two intervals, with the count standing still.
        call.run_ms(60_000, |bench, n| {
            if n.is_multiple_of(250) {
                report(bench, is_sender.then_some(800));
            }
        });
        // That nothing comes is true, and told once; it is no fault.
        let [Told::Unheard(B, at)] = call.told[..] else {
            panic!("{:?}", call.told);
        };
        assert!((16_000..=16_000 + PROMISE_MS).contains(&at), "{at}");
    }
}

#[test]
fn a_peer_whose_next_report_comes_in_time_to_say_that_it_is_muted_is_not_told_of() {
    let mut call = Call::new();
    let reports = |bench: &mut Bench, n: u16| {
        if n.is_multiple_of(100) {
            report(bench, None);
        }
    };
    call.run_ms(16_000, |bench, n| {
        speak(bench, n);
        reports(bench, n);
    });
    call.run_ms(60_000, reports);
    call.assert_silent("muted, and said so");
}

#[test]
fn no_excuse_outlasts_the_reports_of_a_peer_that_did_report() {
    let reports = |bench: &mut Bench, n: u16| {
        if n.is_multiple_of(200) {
            report(bench, None);
        }
    };
    let paused = |call: &mut Call| {
        call.run_ms(5_000, |bench, n| {
            speak(bench, n);
            reports(bench, n);
        });
        call.run_ms(1_000, reports);
        call.run_ms(5_000, |bench, n| {
            let packet = rtp(8, n - 50, u32::from(n) * 160, 0x1001, &[1, 2, 3, 4]);
            bench.send(B, peer_b(), &packet).unwrap();
            reports(bench, n);
        });
    };
    // It has paused before, and goes on reporting.
    let mut call = Call::new();
    paused(&mut call);
    call.run_ms(60_000, reports);
    call.assert_silent("it pauses by its own choice");
    // One report is lost.
    let mut call = Call::new();
    paused(&mut call);
    call.run_ms(60_000, |bench, n| {
        if n % 400 != 200 {
            reports(bench, n);
        }
    });
    call.assert_silent("every other report is lost");
    // The same, of a peer whose reports are as far apart as they may be (RFC 3550 §6.2).
    let mut call = Call::new();
    paused(&mut call);
    call.run_ms(60_000, |bench, n| {
        if matches!(n % 1_056, 0 | 250 | 500) {
            report(bench, None);
        }
    });
    call.assert_silent("one of three is lost");
    // Then neither comes any more: at once, or after it has said that it is muted.
    for goes_on_ms in [0, 8_000] {
        let mut call = Call::new();
        paused(&mut call);
        call.run_ms(goes_on_ms, reports);
        call.assert_silent("until here");
        let since = call.now_ms();
        call.run_ms(30_000, nothing);
        let [Told::Fault(B, OneWayKind::NoPackets, at)] = call.told[..] else {
            panic!("{goes_on_ms}: {:?}", call.told);
        };
        assert!(at <= since + 15_500, "{goes_on_ms}: {at}");
    }
}

#[test]
fn a_hold_is_no_time_in_which_reports_are_missing() {
    let reports = |bench: &mut Bench, n: u16| {
        if n.is_multiple_of(250) {
            report(bench, None);
        }
    };
    let speaks = |bench: &mut Bench, n: u16| {
        speak(bench, n);
        reports(bench, n);
    };
    let pauses = |call: &mut Call| {
        call.run_ms(1_000, reports);
        call.run_ms(5_000, |bench, n| {
            let packet = rtp(8, n - 50, u32::from(n) * 160, 0x1001, &[1, 2, 3, 4]);
            bench.send(B, peer_b(), &packet).unwrap();
            reports(bench, n);
        });
    };
    let mut call = Call::new();
    call.run_ms(20_000, speaks);
    pauses(&mut call);
    let held = NegotiatedStream {
        direction: Direction::Inactive,
        ..terms(peer_b())
    };
    call.bench.answer(B, held);
    call.run_ms(40_000, nothing);
    call.bench.answer(B, terms(peer_b()));
    call.run_ms(1_500, speak);
    call.run_ms(4_000, nothing);
    call.run_ms(20_000, speaks);
    call.assert_silent("it pauses as before, and its next report is on its way");
    // Nor is it how long its reports usually take.
    let since = call.now_ms();
    call.run_ms(40_000, nothing);
    let Some(Told::Fault(B, OneWayKind::NoPackets, at)) = call.told.last() else {
        panic!("{:?}", call.told);
    };
    assert!(*at <= since + 15_500, "{at}");
}

#[test]
fn somebody_else_in_place_of_a_peer_that_paused_has_no_excuse_of_its() {
    let mut call = Call::new();
    call.run_ms(5_000, speak);
    call.run_ms(1_000, nothing);
    call.run_ms(5_000, |bench, n| {
        let packet = rtp(8, n - 50, u32::from(n) * 160, 0x1001, &[1, 2, 3, 4]);
        bench.send(B, peer_b(), &packet).unwrap();
    });
    // Another SSRC, as after a transfer behind the peer.
    call.run_ms(5_000, |bench, n| {
        let payload: Vec<u8> = (0..160u16).map(|at| (at * 7 + n) as u8).collect();
        let packet = rtp(8, n, u32::from(n) * 160, 0x1002, &payload);
        let _ = bench.send(B, peer_b(), &packet);
    });
    call.assert_silent("all are heard");
    let since = call.now_ms();
    call.run_ms(20_000, nothing);
    call.assert_told(OneWayKind::NoPackets, since);
}

#[test]
fn strangers_that_send_to_a_muted_peers_port_are_no_fault_of_its() {
    let mut call = Call::new();
    call.run_ms(10_000, |bench, n| {
        speak(bench, n);
        if n.is_multiple_of(100) {
            report(bench, Some(u32::from(n) + 1));
        }
    });
    call.run_ms(2_000, |bench, n| {
        if n.is_multiple_of(50) {
            report(bench, None);
        }
    });
    let elsewhere = address("203.0.113.66:6000");
    call.run_ms(20_000, |bench, n| {
        let _ = bench.send(B, elsewhere, &sound(n));
        if n.is_multiple_of(100) {
            report(bench, None);
        }
    });
    call.assert_silent("somebody else");
}

#[test]
fn comfort_noise_and_short_frames_and_pauses_as_before_are_no_fault() {
    let with_noise = |remote| NegotiatedStream {
        payloads: vec![pcma(), codec(13, 13, 3, "CN", 8000)],
        ..terms(remote)
    };
    for (payload_type, payload) in [(13, &[60][..]), (8, &[1, 2])] {
        let mut call = Call::new();
        call.bench.answer(A, with_noise(peer_a()));
        call.bench.answer(B, with_noise(peer_b()));
        let noise = move |bench: &mut Bench, n: u16| {
            let packet = rtp(payload_type, n, u32::from(n) * 160, 0x1001, payload);
            bench.send(B, peer_b(), &packet).unwrap();
        };
        call.run_ms(5_000, speak);
        call.run_ms(20, noise);
        call.run_ms(30_000, nothing);
        call.assert_silent("noise goes on without packets");
    }
    // No noise and no report, but it has paused before.
    let mut call = Call::new();
    call.run_ms(5_000, speak);
    call.run_ms(1_000, nothing);
    let numbered = |bench: &mut Bench, n: u16| {
        // The numbers of what was sent, and the clock of the wall.
        let packet = rtp(8, n - 50, u32::from(n) * 160, 0x1001, &[1, 2, 3, 4]);
        bench.send(B, peer_b(), &packet).unwrap();
    };
    call.run_ms(5_000, numbered);
    call.run_ms(30_000, nothing);
    call.assert_silent("it pauses by its own choice");
}

#[test]
fn a_late_start_early_media_and_two_silent_sides_are_no_fault() {
    let mut call = Call::new();
    call.run_ms(2_200, nothing);
    call.run_ms(5_000, speak);
    call.assert_silent("a late start");

    let mut bench = Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]);
    bench.answer_as(A, terms(peer_a()), ForkId(0), Stage::Preview);
    bench.answer_as(B, terms(peer_b()), ForkId(1), Stage::Preview);
    bench.join(0);
    let mut call = Call::of(bench);
    call.run_ms(60_000, nothing);
    call.assert_silent("it rings");
    call.bench.answer(A, terms(peer_a()));
    call.bench
        .answer_as(B, terms(peer_b()), ForkId(1), Stage::Final);
    call.run_ms(2_000, nothing);
    call.run_ms(5_000, speak);
    call.assert_silent("time that passed while it rang does not count");

    let mut call = Call::new();
    call.run_ms(10_000, speak);
    // Both stop at once: that is silence, which has its own event.
    for _ in 0..30_000 {
        call.bench.run_ms(1);
        call.listen();
    }
    call.assert_silent("both sides are dead");
}

#[test]
fn hold_in_each_form_is_no_fault_and_ends_one_that_was_told() {
    for (side, peer) in [(A, peer_a()), (B, peer_b())] {
        for direction in [Direction::Send, Direction::Receive, Direction::Inactive] {
            let mut call = Call::new();
            call.run_ms(5_000, speak);
            let held = NegotiatedStream {
                direction,
                ..terms(peer)
            };
            call.bench.answer(side, held);
            call.run_ms(30_000, nothing);
            call.assert_silent("held");
            // After the resume there is the whole time again.
            call.bench.answer(side, terms(peer));
            call.run_ms(2_200, nothing);
            call.run_ms(5_000, speak);
            call.assert_silent("resumed");
        }
    }
    let mut call = Call::new();
    call.run_ms(5_000, nothing);
    call.assert_told(OneWayKind::NoPackets, 0);
    let held = NegotiatedStream {
        direction: Direction::Inactive,
        ..terms(peer_b())
    };
    call.bench.answer(B, held);
    call.run_ms(20, nothing);
    assert!(
        matches!(
            call.told[..],
            [_, Told::Over(B, OneWayKind::NoPackets, 4_980..=5_040)]
        ),
        "{:?}",
        call.told
    );
    call.run_ms(20_000, nothing);
    assert_eq!(call.told.len(), 2);
}

#[test]
fn a_network_that_repeats_packets_does_not_make_keys_differ() {
    let (bench, protect) = secured();
    let mut call = Call::of(bench);
    call.run_ms(10_000, |bench, n| {
        bench.send(B, peer_b(), &protect(n, true)).unwrap();
        if n.is_multiple_of(25) {
            let dropped = bench.send(B, peer_b(), &protect(n, true));
            assert_eq!(dropped, Err(DropReason::Replay));
        }
    });
    call.run_ms(10_000, nothing);
    call.assert_told(OneWayKind::NoPackets, 10_000);
}

/// It cannot be told from a recording, and so is not heard; but it is told why.
#[test]
fn a_peer_that_begins_anew_as_before_under_a_used_key_is_told_as_that_until_it_passes_its_end() {
    for is_given_back in [false, true] {
        let (bench, protect) = secured();
        let mut call = Call::of(bench);
        call.run_ms(8_000, |bench, n| {
            bench.send(B, peer_b(), &protect(n, true)).unwrap();
        });
        let agree = |call: &mut Call, remote: u8| {
            let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
            let (local, remote) = (key(1), key(remote));
            let terms = NegotiatedStream {
                protection: Protection::Sdes { local, remote },
                ..terms(peer_b())
            };
            call.bench.answer(B, terms);
        };
        if is_given_back {
            // Another key for a while, and the first one again.
            agree(&mut call, 3);
            call.run_ms(8_000, |bench, n| {
                bench.send(B, peer_b(), &protect(n, false)).unwrap();
            });
            agree(&mut call, 2);
        }
        let (begins, ms) = (call.sequence, call.now_ms());
        // Its numbers and its clock are those that it began with.
        call.run_ms(8_000, |bench, n| {
            let dropped = bench.send(B, peer_b(), &protect(n - begins, true));
            assert_eq!(dropped, Err(DropReason::Replay));
        });
        call.assert_told(OneWayKind::KeyReused, ms);
        call.told.clear();
        let mut heard = 0;
        call.run_ms(1_000, |bench, n| {
            let packet = protect(n - begins, true);
            heard += u16::from(bench.send(B, peer_b(), &packet).is_ok());
        });
        // A jump back is believed when it goes on.
        assert!(heard >= 49, "{heard}");
        assert!(matches!(
            call.told[..],
            [Told::Over(B, OneWayKind::KeyReused, _)]
        ));
    }
}

#[test]
fn a_used_key_is_told_of_long_packets_too() {
    let (bench, protect) = secured();
    let mut call = Call::of(bench);
    // One of 60 ms in three turns.
    call.run_ms(8_000, |bench, n| {
        if n.is_multiple_of(3) {
            bench.send(B, peer_b(), &protect(n, true)).unwrap();
        }
    });
    let (begins, ms) = (call.sequence, call.now_ms());
    call.run_ms(8_000, |bench, n| {
        if (n - begins).is_multiple_of(3) {
            let dropped = bench.send(B, peer_b(), &protect(n - begins, true));
            assert_eq!(dropped, Err(DropReason::Replay));
        }
    });
    call.assert_told(OneWayKind::KeyReused, ms);
}

#[test]
fn dead_air_from_the_answer_on_is_told_after_ten_seconds_and_is_over_with_the_first_sound() {
    let dead = |bench: &mut Bench, n: u16| {
        let packet = rtp(8, n, u32::from(n) * 160, 0x1001, &[0xd5; 160]);
        bench.send(B, peer_b(), &packet).unwrap();
    };
    let mut call = Call::new();
    call.run_ms(20_000, dead);
    let [Told::Fault(B, OneWayKind::Silence, at)] = call.told[..] else {
        panic!("{:?}", call.told);
    };
    assert!((10_000..=10_000 + PROMISE_MS).contains(&at), "{at}");
    call.run_ms(1_000, speak);
    assert!(matches!(
        call.told[1..],
        [Told::Over(B, OneWayKind::Silence, _)]
    ));
    // Whoever has said something may be silent.
    call.told.clear();
    call.run_ms(30_000, dead);
    call.assert_silent("muted after a word");
}

/// A report of B that has received our packets up to this number, or that tells of none.
fn hears(bench: &mut Bench, ssrc: u32, highest: Option<u32>) {
    let block = highest.map(|highest_sequence| ReportBlock {
        ssrc,
        highest_sequence,
        ..ReportBlock::default()
    });
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1001, None, block.as_ref());
    let length = writer.len();
    bench.send_rtcp(B, address("198.51.100.20:6001"), &buffer[..length]);
}

#[test]
fn a_peer_whose_reports_tell_of_nothing_of_ours_any_more_does_not_hear() {
    for leaves_out in [true, false] {
        let mut call = Call::new();
        let ssrc = call.bench.voice(A, 0).unwrap().ssrc;
        call.sequence = 1;
        let until = |n: u16| (n.is_multiple_of(200)).then(|| u32::from(n));
        call.run_ms(20_000, |bench, n| {
            speak(bench, n);
            if let Some(n) = until(n) {
                hears(bench, ssrc, Some(n));
            }
        });
        call.assert_silent("it hears");
        call.run_ms(15_000, |bench, n| {
            speak(bench, n);
            if n.is_multiple_of(200) {
                hears(bench, ssrc, (!leaves_out).then_some(1_000));
            }
        });
        let [Told::Fault(B, OneWayKind::NotReceived, at)] = call.told[..] else {
            panic!("{:?}", call.told);
        };
        assert!(at <= 30_500, "{at}");
        call.run_ms(8_000, |bench, n| {
            speak(bench, n);
            if let Some(n) = until(n) {
                hears(bench, ssrc, Some(n));
            }
        });
        assert!(matches!(
            call.told[1..],
            [Told::Over(B, OneWayKind::NotReceived, _)]
        ));
    }
    // Whoever has never told of our packets does not begin to be deaf, nor does a peer that we send nothing to.
    let mut call = Call::new();
    let ssrc = call.bench.voice(A, 0).unwrap().ssrc;
    call.sequence = 1;
    call.run_ms(30_000, |bench, n| {
        speak(bench, n);
        if n.is_multiple_of(200) {
            hears(bench, ssrc, None);
        }
    });
    call.assert_silent("it tells of nobody");
}

#[test]
fn the_end_of_a_call_tells_nothing_more() {
    let mut call = Call::new();
    call.run_ms(5_000, nothing);
    call.told.clear();
    call.bench.command(Command::Release {
        session: crate::common::SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    for _ in 0..2_000 {
        call.bench.run_ms(1);
    }
    let events = call.bench.events();
    assert!(matches!(events[..], [Event::Released { .. }]), "{events:?}");

    let mut call = Call::new();
    call.run_ms(5_000, speak);
    call.bench.command(Command::Release {
        session: crate::common::SESSION,
        endpoint: None,
        drain_ms: 5_000,
    });
    call.run_ms(10_000, nothing);
    call.assert_silent("released");
}
