//! RTP bleed and RTP inject: strangers are neither heard nor answered (MED-030 to MED-038).

use crate::common::{A, B, Bench, SESSION, address, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::Entropy;
use media_relay::session::{Outcome, SocketId};
use std::net::{IpAddr, SocketAddr};

fn restricted(remote: SocketAddr, signalling: Option<IpAddr>) -> NegotiatedStream {
    NegotiatedStream {
        source: SourcePolicy::Restricted(Nearby {
            signalling,
            ..Nearby::default()
        }),
        ..terms(remote)
    }
}

fn sprayer() -> SocketAddr {
    address("203.0.113.66:4000")
}

#[test]
fn a_sprayer_gets_nothing_and_nothing_of_it_is_heard() {
    for policy in [
        SourcePolicy::Signalled,
        SourcePolicy::Restricted(Nearby::default()),
    ] {
        let mut bench = Bench::joined();
        bench.answer(
            A,
            NegotiatedStream {
                source: policy,
                ..terms(peer_a())
            },
        );
        for round in 0..2 {
            for sequence in 0..200u16 {
                bench.wait_ms(1);
                let voice = rtp(8, sequence, u32::from(sequence) * 160, 0x1000, b"inject");
                let packets: [&[u8]; 5] = [
                    &voice,
                    &[0, 1, 0, 0],
                    &[0x80, 200],
                    &[0x81, 201, 0, 1, 0, 0, 0, 0],
                    &[22; 40],
                ];
                for packet in packets {
                    for socket in 0..4 {
                        let mut slot = packet.to_vec();
                        slot.resize(2048, 0);
                        let outcome = bench.session.packet(
                            SocketId(socket),
                            sprayer(),
                            &mut slot,
                            packet.len(),
                            bench.now,
                            &mut bench.out,
                        );
                        assert!(matches!(outcome, Outcome::Dropped(_)), "round {round}");
                    }
                }
                // What B says keeps going to A, never to the sprayer.
                bench.wait_ms(19);
                let voice = rtp(8, round * 200 + sequence, 0, 5, b"voice");
                let (to, _) = bench.send(B, peer_b(), &voice).unwrap();
                assert_eq!(to, peer_a());
            }
            for (to, _) in bench.run_ms(10_000) {
                assert_ne!(to.ip(), sprayer().ip());
            }
            // The second round sprays a pinned stream.
            bench.voice(A, 1000 + round).unwrap();
        }
        let pins = bench
            .events()
            .into_iter()
            .filter_map(|event| match event {
                Event::SourcePinned {
                    endpoint: A,
                    source,
                    ..
                } => Some(source),
                _ => None,
            })
            .collect::<Vec<_>>();
        assert_eq!(pins, [peer_a()]);
        assert_eq!(bench.stats(A).received_packets, 2);
    }
}

#[test]
fn a_peer_behind_nat_is_found_by_three_packets_and_answered_there() {
    let mut bench = Bench::joined();
    let nat = address("198.51.100.77:31000");
    bench.answer(A, restricted(address("192.168.1.5:4000"), Some(nat.ip())));
    for sequence in 1..=2 {
        let packet = rtp(8, sequence, 0, 1, b"x");
        assert_eq!(bench.send(A, nat, &packet), Err(DropReason::Source));
        let (to, _) = bench
            .send(B, peer_b(), &rtp(8, sequence, 0, 2, b"x"))
            .unwrap();
        assert_eq!(
            to,
            address("192.168.1.5:4000"),
            "no media to an unproven source"
        );
    }
    assert!(bench.send(A, nat, &rtp(8, 3, 0, 1, b"x")).is_ok());
    let (to, _) = bench.send(B, peer_b(), &rtp(8, 3, 0, 2, b"x")).unwrap();
    assert_eq!(to, nat);
    let pinned = Event::SourcePinned {
        session: SESSION,
        endpoint: A,
        stream: StreamIndex(0),
        source: nat,
    };
    assert!(bench.events().contains(&pinned));
    assert_eq!(bench.stats(A).source, Some(nat));
}

#[test]
fn an_open_trunk_learns_a_stranger_that_comes_soon_and_nobody_else_then() {
    let mut bench = Bench::joined();
    let open = || NegotiatedStream {
        source: SourcePolicy::Open(Nearby::default()),
        ..terms(address("192.168.1.5:4000"))
    };
    bench.answer(A, open());
    let voice = |sequence| rtp(8, sequence, 0, 1, b"x");
    assert!(bench.send(A, sprayer(), &voice(1)).is_err());
    assert!(bench.send(A, sprayer(), &voice(2)).is_err());
    assert!(bench.send(A, sprayer(), &voice(3)).is_ok());
    let (to, _) = bench.send(B, peer_b(), &rtp(8, 1, 0, 2, b"x")).unwrap();
    assert_eq!(to, sprayer());
    let second = address("203.0.113.67:4000");
    for sequence in 1..9 {
        let refused = bench.send(A, second, &voice(sequence));
        assert_eq!(refused, Err(DropReason::Source));
    }
    // Another description begins anew; who comes too late is a stranger as everywhere.
    let mut bench = Bench::joined();
    bench.answer(A, open());
    bench.wait_ms(3_000);
    for sequence in 1..9 {
        let refused = bench.send(A, sprayer(), &voice(sequence));
        assert_eq!(refused, Err(DropReason::Source));
    }
    let (to, _) = bench.send(B, peer_b(), &rtp(8, 1, 0, 2, b"x")).unwrap();
    assert_eq!(to, address("192.168.1.5:4000"));
}

#[test]
fn a_new_description_opens_the_search_again_and_the_same_one_does_not() {
    let mut bench = Bench::joined();
    bench.answer(A, restricted(peer_a(), None));
    bench.voice(A, 1).unwrap();
    bench.answer(A, restricted(peer_a(), None));
    let other_port = address("192.0.2.10:4444");
    for sequence in 2..8 {
        let packet = rtp(8, sequence, 0, 0x1000, b"x");
        assert_eq!(bench.send(A, other_port, &packet), Err(DropReason::Source));
    }
    bench.answer(A, restricted(other_port, None));
    assert!(
        bench
            .send(A, other_port, &rtp(8, 9, 0, 0x1000, b"x"))
            .is_ok()
    );
    assert_eq!(
        bench.send(A, address("192.0.2.99:4444"), &rtp(8, 10, 0, 0x1000, b"x")),
        Err(DropReason::Source)
    );
}

#[test]
fn first_media_is_told_once() {
    let mut bench = Bench::joined();
    for sequence in 1..5 {
        bench.voice(A, sequence).unwrap();
    }
    bench.answer(A, terms(peer_a()));
    bench.voice(A, 6).unwrap();
    let firsts = bench
        .events()
        .iter()
        .filter(|event| matches!(event, Event::FirstMedia { endpoint: A, .. }))
        .count();
    assert_eq!(firsts, 1);
}

/// MED-038: by count, as a clock of a busy machine proves nothing.
#[test]
fn a_thousand_calls_that_are_sprayed_lose_nothing_and_give_the_sprayer_nothing() {
    const CALLS: u16 = 1_000;
    let mut calls: Vec<Bench> = (0..CALLS).map(|number| begun(number % 4)).collect();
    let mut dice = Entropy::from_seed([38; 32]);
    let voice = rtp(8, 7, 1_120, 0x1000, &[0xd5; 160]);
    let check = crate::common::ice::Check {
        username: "h1h1:h2h2".into(),
        password: "what nobody was ever told",
        ..crate::common::ice::Check::nominating()
    };
    let check = check.bytes();
    let hello = [
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 48, 1][..],
        &[0; 47],
    ]
    .concat();
    let packets: [&[u8]; 6] = [
        &voice,
        &check,
        &hello,
        &[
            0x80, 200, 0, 6, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0,
        ],
        &[0x80, 200],
        &[0xff; 40],
    ];
    let mut heard = [0u32; 2];
    // Three seconds of ten packets each millisecond: before the answer, after it, and behind the end.
    for ms in 0..3_000u16 {
        for _ in 0..10 {
            let call = &mut calls[dice.below(CALLS.into())];
            let packet = packets[dice.below(packets.len())];
            let mut slot = packet.to_vec();
            slot.resize(2048, 0);
            let socket = SocketId(dice.below(4) as u32);
            let (session, out) = (&mut call.session, &mut call.out);
            let outcome = session.packet(socket, sprayer(), &mut slot, packet.len(), call.now, out);
            assert!(
                matches!(outcome, Outcome::Dropped(_) | Outcome::Kept),
                "{outcome:?}"
            );
        }
        // Each call has its own second; a hundredth of them is looked at each time.
        for (number, call) in (0..).zip(&mut calls) {
            if number % 100 != ms % 100 {
                continue;
            }
            call.now.0 = 10_000_000 + u64::from(ms) * 1_000;
            let (session, out) = (&mut call.session, &mut call.out);
            session.tick(call.now, out);
            match ms {
                500..600 => answered(call, number % 4),
                600..2_500 => {
                    let sequence = ms / 100;
                    let secured = number % 4 >= 2;
                    let packet = match secured {
                        true => crate::common::ice::secured_voice(sequence),
                        false => rtp(8, sequence, u32::from(sequence) * 160, 2, &[0xd5; 160]),
                    };
                    let from_b = call.send(B, peer_b(), &packet).unwrap();
                    assert_eq!(from_b.0, peer_a(), "call {number} at {ms} ms");
                    let packet = rtp(8, sequence, u32::from(sequence) * 160, 1, &[0xd5; 160]);
                    let from_a = call.send(A, peer_a(), &packet).unwrap();
                    assert_eq!(from_a.0, peer_b(), "call {number} at {ms} ms");
                    heard = [heard[0] + 1, heard[1] + 1];
                }
                2_500..2_600 => call.command(Command::Release {
                    session: SESSION,
                    endpoint: None,
                    drain_ms: 0,
                }),
                _ => {}
            }
            for (to, _) in call.made() {
                assert_ne!(to.ip(), sprayer().ip(), "call {number} at {ms} ms");
            }
        }
    }
    assert_eq!(heard, [19 * u32::from(CALLS); 2]);
    for call in &mut calls {
        for endpoint in [A, B] {
            assert_eq!(call.stats(endpoint).received_packets, 19);
        }
        let pins = call.events().into_iter().filter_map(|event| match event {
            Event::SourcePinned { source, .. } => Some(source),
            _ => None,
        });
        assert!(pins.into_iter().all(|pin| pin != sprayer()));
    }
}

/// A call that has ports, and an agent of ours on its leg B where that is of the last kind.
fn begun(kind: u16) -> Bench {
    let sdes = ProtectionWanted::Sdes(vec![Suite::AesCm128HmacSha1_80]);
    let bench = match kind {
        3 => crate::common::ice::bench(),
        2 => Bench::allocated([ProtectionWanted::None, sdes]),
        _ => Bench::allocated([ProtectionWanted::None, ProtectionWanted::None]),
    };
    Bench {
        now: media_relay::Timestamp(10_000_000),
        ..bench
    }
}

/// The call is answered: where its peers say that they are, near that, with keys, or where they check from.
fn answered(call: &mut Bench, kind: u16) {
    use crate::common::ice;
    call.answer(A, terms(peer_a()));
    let of_b = match kind {
        0 => terms(peer_b()),
        1 => restricted(peer_b(), None),
        2 => NegotiatedStream {
            protection: ice::secured(),
            ..restricted(peer_b(), None)
        },
        _ => ice::full(ice::ours(), ice::THEIRS, &[ice::candidate(peer_b(), 1)]),
    };
    call.answer(B, of_b);
    call.join(0);
    if kind == 3 {
        ice::checked(call, peer_b(), &ice::Check::nominating());
    }
}
