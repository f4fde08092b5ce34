//! A party that another session hands over: its old ports are received on until it uses the new ones,
//! ten seconds at most (SIP-506).

use crate::common::{
    A, B, Bench, Rtp, SESSION, codec, endless, pcma, peer_a, peer_b, read, rtp, terms, tone,
};
use media_api::{
    Command, Dialled, Digit, DropReason, Event, FormatKind, HANDED_OVER_MS, Intake,
    NegotiatedStream, OpusWishes, SessionId, Signal,
};
use media_relay::session::{Handed, Outcome, SocketId};

/// The call in which the party goes on. The bench calls every session the same.
const NEXT: SessionId = SessionId(8);

/// The call that ends: the party at B has been handed over, and the rest is released.
fn left() -> Bench {
    let mut old = Bench::joined();
    old.voice(B, 1).unwrap();
    old.command(Command::HandOver {
        session: SESSION,
        endpoint: B,
        to: NEXT,
    });
    old.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 500,
    });
    old
}

/// The call that the party has joined, with another number for its codec.
fn joined(of_party: NegotiatedStream) -> Bench {
    let mut new = Bench::joined();
    new.answer(B, of_party);
    new.command(Command::Follow {
        session: SESSION,
        endpoint: B,
        of: (SESSION, B),
    });
    new
}

fn renumbered() -> NegotiatedStream {
    NegotiatedStream {
        payloads: vec![codec(96, 96, pcma().id.0, "PCMA", 8000)],
        ..terms(peer_b())
    }
}

/// What the old call makes of a packet that the party sends to its old port.
fn old_port(old: &mut Bench, sequence: u16) -> Outcome {
    let timestamp = u32::from(sequence) * 160;
    arrives(old, rtp(8, sequence, timestamp, 0x1001, &[0xd5; 160]))
}

fn arrives(old: &mut Bench, mut slot: Vec<u8>) -> Outcome {
    let length = slot.len();
    slot.resize(2048, 0xee);
    let (session, out) = (&mut old.session, &mut old.out);
    session.packet(SocketId(2), peer_b(), &mut slot, length, old.now, out)
}

fn handed(old: &mut Bench, sequence: u16) -> Handed {
    match old_port(old, sequence) {
        Outcome::Handed(handed) => *handed,
        other => panic!("{other:?}"),
    }
}

/// What leaves the new call for a packet that the old one hands over.
fn leaves(new: &mut Bench, mut handed: Handed) -> Result<Rtp, DropReason> {
    assert_eq!(handed.to, NEXT);
    match new.session.handed(&mut handed, new.now, &mut new.out) {
        Outcome::Forward(forward) => Ok(read(&handed.slot()[forward.range])),
        Outcome::Dropped(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_party_may_want_something_else_of_its_codec_in_the_new_call() {
    let opus = |peer, max_kbps| {
        let mut binding = codec(111, 111, 4, "opus", 48_000);
        binding.format.kind = FormatKind::Opus(OpusWishes {
            max_kbps,
            ..OpusWishes::default()
        });
        NegotiatedStream {
            payloads: vec![binding],
            ..terms(peer)
        }
    };
    let mut old = Bench::joined();
    old.answer(B, opus(peer_b(), 0));
    old.command(Command::HandOver {
        session: SESSION,
        endpoint: B,
        to: NEXT,
    });
    let mut new = joined(opus(peer_b(), 20));
    new.answer(A, opus(peer_a(), 0));
    let Outcome::Handed(handed) = arrives(&mut old, rtp(111, 2, 960, 0x1001, &[7; 40])) else {
        panic!("it is handed over");
    };
    let heard = leaves(&mut new, *handed).expect("it is heard");
    assert_eq!(heard.payload, [7; 40]);
}

#[test]
fn what_comes_to_the_old_ports_is_heard_in_the_new_call_until_the_new_ones_are_used() {
    let (mut old, mut new) = (left(), joined(renumbered()));
    let first = leaves(&mut new, handed(&mut old, 2)).expect("it is heard");
    let second = leaves(&mut new, handed(&mut old, 3)).expect("it is heard");
    assert_eq!(second.sequence, first.sequence.wrapping_add(1));
    assert_eq!(second.payload, [0xd5; 160]);
    assert_eq!(first.payload_type, 8);
    // The party sends to its new port: nobody hears anything twice, and it is one stream for who listens.
    let packet = rtp(96, 4, 640, 0x1001, &[0xd5; 160]);
    let (_, packet) = new.send(B, peer_b(), &packet).unwrap();
    let third = read(&packet);
    assert_eq!(third.sequence, second.sequence.wrapping_add(1));
    assert_eq!(third.ssrc, second.ssrc);
    let late = handed(&mut old, 5);
    assert_eq!(leaves(&mut new, late), Err(DropReason::NoPath));
}

#[test]
fn a_new_ssrc_at_the_new_ports_is_heard_at_once_though_packets_still_come_to_the_old_ones() {
    let (mut old, mut new) = (left(), joined(renumbered()));
    let mut last = None;
    for sequence in 2..202 {
        old.run_ms(20);
        new.run_ms(20);
        last = Some(leaves(&mut new, handed(&mut old, sequence)).expect("it is heard"));
    }
    let packet = rtp(96, 4_711, 640, 0x2002, &[0xd5; 160]);
    let (_, packet) = new.send(B, peer_b(), &packet).expect("it is heard");
    let next = read(&packet);
    assert_eq!(next.sequence, last.expect("some").sequence.wrapping_add(1));
    // One more source is none of a new agreement.
    let packet = rtp(96, 9, 640, 0x3003, &[0xd5; 160]);
    assert_eq!(new.send(B, peer_b(), &packet), Err(DropReason::Ssrc));
}

#[test]
fn the_old_ports_stay_for_ten_seconds_and_everything_else_of_the_old_call_ends_as_usual() {
    let mut old = left();
    old.run_ms(500);
    let events = old.events();
    let is_released = |event: &Event| matches!(event, Event::Released { .. });
    assert_eq!(events.iter().filter(|event| is_released(event)).count(), 1);
    let transferor = [SocketId(0), SocketId(1)];
    assert_eq!(old.out.freed, transferor);
    assert!(old.session.is_released() && !old.session.is_over());
    old.run_ms(HANDED_OVER_MS - 501);
    handed(&mut old, 500);
    let made = old.run_ms(1);
    assert!(made.is_empty(), "nothing is sent from there any more");
    assert_eq!(old.out.freed.len(), 4);
    assert!(old.session.is_over() && !old.events().iter().any(is_released));
    assert!(matches!(old_port(&mut old, 501), Outcome::Dropped(_)));
    assert_eq!(old.session.next_deadline(), None);
}

#[test]
fn a_party_that_goes_on_elsewhere_is_sent_one_goodbye_and_nothing_after_it() {
    let mut old = Bench::joined();
    old.voice(A, 1).unwrap();
    old.voice(B, 1).unwrap();
    old.made();
    let dial = Command::Dial {
        session: SESSION,
        endpoint: B,
        dialled: Dialled {
            digit: Digit::from_char('7').unwrap(),
            duration_ms: 100,
            signal: Signal::Tone,
        },
    };
    let play = |old: &mut Bench| old.play(B, endless(tone(&[([440, 480], 2_000)])));
    play(&mut old);
    old.command(Command::HandOver {
        session: SESSION,
        endpoint: B,
        to: NEXT,
    });
    for _ in 0..3 {
        old.command(dial.clone());
    }
    old.run_ms(60);
    old.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let to_b = |made: Vec<(std::net::SocketAddr, Vec<u8>)>| {
        let made = made.into_iter().filter(|(to, _)| to.ip() == peer_b().ip());
        made.map(|(_, packet)| packet[1]).collect::<Vec<u8>>()
    };
    let last = to_b(old.made());
    assert_eq!(last, [200], "a sender report, with a goodbye behind it");
    old.command(dial);
    play(&mut old);
    let later = to_b(old.run_ms(HANDED_OVER_MS + 1_000));
    assert!(later.is_empty(), "{later:?}");
    assert!(old.session.is_over());
}

/// A packet of the event `5` that began at `timestamp`.
fn event(sequence: u16, timestamp: u32, units: u16, is_end: bool) -> Vec<u8> {
    let [high, low] = units.to_be_bytes();
    let end = if is_end { 0x80 } else { 0 };
    rtp(101, sequence, timestamp, 0x1001, &[5, end | 10, high, low])
}

fn digits(bench: &mut Bench) -> usize {
    let events = bench.events().into_iter();
    let is_digit = |event: &Event| matches!(event, Event::Digit { .. });
    events.filter(is_digit).count()
}

#[test]
fn a_digit_that_is_handed_over_while_it_lasts_is_one_and_one_that_was_over_is_none() {
    let with_events = || NegotiatedStream {
        payloads: vec![pcma(), codec(101, 101, 2, "telephone-event", 8000)],
        ..terms(peer_b())
    };
    let take = Command::Take {
        session: SESSION,
        endpoint: B,
        intake: Intake::Events,
    };
    let mut old = Bench::joined();
    old.answer(B, with_events());
    let mut new = joined(with_events());
    for bench in [&mut old, &mut new] {
        bench.command(take.clone());
    }
    let end = |sequence| event(sequence, 160, 480, true);
    for packet in [
        event(1, 160, 160, false),
        end(2),
        event(3, 1_600, 160, false),
    ] {
        assert!(matches!(arrives(&mut old, packet), Outcome::Taken(_)));
    }
    assert_eq!(digits(&mut old), 1);
    old.command(Command::HandOver {
        session: SESSION,
        endpoint: B,
        to: NEXT,
    });
    old.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    // The end of the first one again, late.
    assert!(matches!(arrives(&mut old, end(4)), Outcome::Taken(_)));
    for at in 2..6 {
        let packet = event(3 + at, 1_600, 160 * at, at >= 3);
        let Outcome::Handed(mut handed) = arrives(&mut old, packet) else {
            panic!("it is not handed over");
        };
        let taken = new.session.handed(&mut handed, new.now, &mut new.out);
        assert!(matches!(taken, Outcome::Taken(_)));
    }
    old.run_ms(1_000);
    new.run_ms(1_000);
    assert_eq!((digits(&mut old), digits(&mut new)), (0, 1));
}

#[test]
fn who_cannot_wait_ends_it_at_once() {
    let mut old = left();
    for _ in 0..2 {
        old.command(Command::Release {
            session: SESSION,
            endpoint: None,
            drain_ms: 0,
        });
    }
    assert!(old.session.is_over());
    assert_eq!(old.out.freed.len(), 4);
}

#[test]
fn a_call_that_has_not_agreed_with_the_party_yet_or_does_not_know_it_lets_nothing_through() {
    let mut old = left();
    let mut new = Bench::joined();
    assert_eq!(
        leaves(&mut new, handed(&mut old, 2)),
        Err(DropReason::NoPath)
    );
    let other = NegotiatedStream {
        payloads: vec![codec(9, 9, 7, "G722", 8000)],
        ..terms(peer_b())
    };
    let mut new = joined(other);
    assert_eq!(
        leaves(&mut new, handed(&mut old, 3)),
        Err(DropReason::PayloadType)
    );
    new.command(Command::Release {
        session: SESSION,
        endpoint: Some(A),
        drain_ms: 0,
    });
    assert!(leaves(&mut new, handed(&mut old, 4)).is_err());
}

#[test]
fn a_stranger_at_the_old_ports_is_not_heard() {
    let mut old = left();
    let packet = rtp(8, 2, 320, 0x1001, &[0xd5; 160]);
    let sent = old.send(B, crate::common::address("198.51.100.66:6000"), &packet);
    assert_eq!(sent, Err(DropReason::Source));
}
