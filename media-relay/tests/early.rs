//! Secured packets that come before their key or their check (TDR-MED-009): whose they are, and who must not be in
//! their way.

use crate::common::ice::*;
use crate::common::*;
use media_api::*;
use media_relay::srtp::Sender;
use std::net::SocketAddr;

/// What a phone with this key says: all phones have the same SSRC, numbers and clock.
fn said(by: u8, sequence: u16) -> Vec<u8> {
    let mut packet = rtp(8, sequence, u32::from(sequence) * 160, 2, &[by; 160]);
    let plain = packet.len();
    packet.resize(plain + 14, 0);
    let sender = Sender::new(&key(by));
    let length = sender.protect_rtp(&mut packet, plain, u64::from(sequence));
    packet.truncate(length.unwrap());
    packet
}

/// Terms of a fork without checks.
fn fork(by: u8, remote: SocketAddr) -> NegotiatedStream {
    NegotiatedStream {
        rtcp_mux: true,
        protection: Protection::Sdes {
            local: key(100),
            remote: key(by),
        },
        ..terms(remote)
    }
}

/// Who is heard of in packets that were made, with their numbers.
fn heard(made: &[(SocketAddr, Vec<u8>)]) -> Vec<(u8, u16)> {
    let read = made.iter().map(|(to, packet)| {
        assert_eq!(*to, peer_a());
        let packet = read(packet);
        (packet.payload[0], packet.sequence)
    });
    read.collect()
}

fn are_in_a_row(numbers: &[(u8, u16)]) -> bool {
    let mut pairs = numbers.windows(2);
    pairs.all(|two| two[1].1 == two[0].1.wrapping_add(1))
}

#[test]
fn forks_that_are_alike_in_all_but_their_key_are_told_apart() {
    for (second, is_final) in [
        (peer_b(), true),
        (peer_b(), false),
        (direct(), true),
        (direct(), false),
    ] {
        let mut bench = bench();
        bench.answer_as(B, fork(1, peer_b()), ForkId(1), Stage::Preview);
        for sequence in 1..=60 {
            bench.send(B, peer_b(), &said(1, sequence)).unwrap();
            bench.wait_ms(20);
        }
        // The second begins with numbers that the first has had, and the network repeats some of the first's.
        for sequence in 40..=50 {
            assert_eq!(bench.send_or_end(B, second, &said(2, sequence)), None);
            let repeated = bench.send(B, peer_b(), &said(1, sequence));
            assert_eq!(repeated, Err(DropReason::Replay));
            bench.wait_ms(20);
        }
        let stage = match is_final {
            true => Stage::Final,
            false => Stage::Preview,
        };
        bench.answer_as(B, fork(2, second), ForkId(2), stage);
        let late = heard(&bench.made());
        let is_second = late.iter().all(|(by, _)| *by == 2);
        assert!(
            is_second && late.len() == 11,
            "{second} {is_final} {late:?}"
        );
        assert!(are_in_a_row(&late));
        for sequence in 51..=100 {
            bench.wait_ms(20);
            let (_, packet) = bench.send(B, second, &said(2, sequence)).unwrap();
            assert_eq!(read(&packet).payload[0], 2);
            let again = bench.send(B, second, &said(2, sequence));
            assert!(again.is_err(), "{again:?}");
        }
        assert_eq!(bench.stats(B).lost_packets, 0);
    }
}

/// A gateway whose early description and whose answer have different tags is one party.
#[test]
fn one_party_with_two_tags_goes_on() {
    let mut bench = bench();
    bench.answer_as(B, fork(1, peer_b()), ForkId(1), Stage::Preview);
    for sequence in 1..=10 {
        bench.send(B, peer_b(), &said(1, sequence)).unwrap();
    }
    bench.answer_as(B, fork(1, peer_b()), ForkId(2), Stage::Final);
    bench.send(B, peer_b(), &said(1, 11)).unwrap();
    bench.answer_as(B, fork(7, peer_b()), ForkId(3), Stage::Final);
    bench.send(B, peer_b(), &said(7, 12)).unwrap();
    let quality = bench.stats(B).quality;
    assert_eq!(quality.ssrc_changes, 0);
}

#[test]
fn what_waits_for_a_check_is_heard_with_it_in_order_and_not_when_it_is_old() {
    for check in [Check::default(), Check::nominating()] {
        let mut bench = bench();
        for sequence in 1..=20 {
            assert_eq!(
                bench.send_or_end(B, direct(), &secured_voice(sequence)),
                None
            );
            bench.wait_ms(20);
        }
        // It says nothing of where it will send from.
        bench.answer(B, full(ours(), THEIRS, &[candidate(relayed(), 5)]));
        assert_eq!(bench.made(), []);
        for sequence in 21..=30 {
            assert_eq!(
                bench.send_or_end(B, direct(), &secured_voice(sequence)),
                None
            );
            bench.wait_ms(20);
        }
        // A stranger's check shows nothing.
        let forged = Check {
            password: "another password of 22",
            ..Check::nominating()
        };
        let refused = knock(&mut bench, 2, direct(), &forged.bytes());
        assert_eq!(refused.unwrap_err(), DropReason::CheckIntegrity);
        let mut slot = check.bytes();
        let length = slot.len();
        slot.resize(2048, 0);
        let (session, out) = (&mut bench.session, &mut bench.out);
        session.packet(
            media_relay::session::SocketId(2),
            direct(),
            &mut slot,
            length,
            bench.now,
            out,
        );
        let made = bench.made();
        let (answers, voice): (Vec<_>, Vec<_>) =
            made.into_iter().partition(|(to, _)| *to == direct());
        assert_eq!(answers.len(), 1);
        let late = heard(&voice);
        assert_eq!(late.len(), 25);
        assert!(are_in_a_row(&late));
        assert_eq!(bench.stats(B).dropped(DropReason::Source), 5);
        assert_eq!(voice_from_b(&mut bench, direct(), 31), Ok(peer_a()));
        assert_eq!(bench.stats(B).received_packets, 26);
    }
}

#[test]
fn once_a_pair_is_nominated_nothing_is_kept_of_strangers_and_what_is_old_is_counted() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    assert_eq!(bench.send_or_end(B, relayed(), &secured_voice(1)), None);
    bench.run_ms(10_000);
    assert_eq!(bench.stats(B).dropped(DropReason::Source), 1);
    checked(&mut bench, direct(), &Check::nominating());
    let stray = bench.send(B, relayed(), &secured_voice(2));
    assert_eq!(stray, Err(DropReason::Source));
}

/// Strangers find the port while it waits.
#[test]
fn nobody_takes_the_room_of_another_before_there_is_a_key() {
    let stranger = |n: u16| SocketAddr::from(([203, 0, 113, 66], 1024 + n));
    // As many as there is room for, more, and one from many ports; before and behind the peer.
    for (strangers, each, is_first) in [
        (3, 40, true),
        (200, 1, true),
        (200, 1, false),
        (3, 40, false),
        (50, 30, false),
    ] {
        let mut bench = bench();
        let noise = |bench: &mut Bench| {
            for n in 0..strangers {
                for sequence in 0..each {
                    let noise = rtp(8, sequence, 0, u32::from(n), &[0x55; 170]);
                    bench.send_or_end_or_drop(B, stranger(n), &noise);
                }
            }
        };
        if is_first {
            noise(&mut bench);
        }
        for sequence in 1..=20 {
            bench.send_or_end_or_drop(B, direct(), &secured_voice(sequence));
            bench.wait_ms(20);
            if !is_first {
                noise(&mut bench);
            }
        }
        bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
        let late = heard(&bench.made());
        // Of those that go on and on each has its part.
        let least = if each == 1 { 20 } else { 12 };
        let received = late.len();
        assert!(received >= least, "{received} of {strangers}, {each} each");
        assert!(are_in_a_row(&late) && late.last().is_some_and(|last| last.1 > 19));
        bench.run_ms(6_000);
        let dropped: u64 = bench.stats(B).dropped.iter().sum();
        assert_eq!(bench.stats(B).received_packets, received as u64);
        assert!(dropped >= u64::from(strangers) * u64::from(each));
    }
}

/// Strangers that keep all the room by sending on and on give way to who has the password.
#[test]
fn who_has_checked_has_room_whoever_came_before() {
    let mut bench = bench();
    let noise = |bench: &mut Bench| {
        for n in 0..6 {
            let from = SocketAddr::from(([203, 0, 113, 66], 1024 + n));
            for sequence in 0..10 {
                let noise = rtp(8, sequence, 0, 9, &[0x55; 170]);
                bench.send_or_end_or_drop(B, from, &noise);
            }
        }
    };
    noise(&mut bench);
    // Without a check there is no room for a fifth.
    let refused = bench.send(B, direct(), &secured_voice(1));
    assert_eq!(refused, Err(DropReason::NoPath));
    checked(&mut bench, direct(), &Check::default());
    for sequence in 2..=11 {
        assert_eq!(
            bench.send_or_end(B, direct(), &secured_voice(sequence)),
            None
        );
        noise(&mut bench);
        bench.wait_ms(20);
    }
    bench.answer(B, full(ours(), THEIRS, &[candidate(relayed(), 5)]));
    let late = heard(&bench.made());
    assert!(are_in_a_row(&late) && late.len() == 10, "{late:?}");
}

#[test]
fn all_strangers_together_have_the_room_of_two() {
    let mut bench = bench();
    for sequence in 0..25 {
        for n in 0..4 {
            let from = SocketAddr::from(([203, 0, 113, 66], 1024 + n));
            let noise = rtp(8, sequence, 0, 9, &[0x55; 170]);
            bench.send_or_end_or_drop(B, from, &noise);
        }
    }
    assert_eq!(bench.stats(B).dropped(DropReason::NoPath), 50);
    // Who has the password has its own.
    checked(&mut bench, direct(), &Check::default());
    for sequence in 1..=25 {
        bench.send_or_end_or_drop(B, direct(), &secured_voice(sequence));
    }
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    assert_eq!(heard(&bench.made()).len(), 25);
}

#[test]
fn what_is_kept_goes_after_half_a_second_though_nothing_comes() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    bench.run_ms(1_000);
    assert_eq!(bench.send_or_end(B, relayed(), &secured_voice(1)), None);
    bench.run_ms(499);
    assert_eq!(bench.stats(B).dropped(DropReason::Source), 0);
    let due = bench.session.next_deadline();
    assert!(due.is_some_and(|due| due.0 <= bench.now.0 + 1_001));
    bench.run_ms(2);
    assert_eq!(bench.stats(B).dropped(DropReason::Source), 1);
}

/// A restart may never come to a nomination, and its call goes on as before.
#[test]
fn after_a_restart_nothing_is_kept_of_strangers_and_of_who_has_checked_it_is() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    let (fragment, password) = ("b9kP2+/w", "Zg01asd88fgpdd777uzjYhag");
    let new = credentials(fragment, password);
    bench.answer(B, full(new, "mpmpmp", &[candidate(relayed(), 5)]));
    let stranger = SocketAddr::from(([203, 0, 113, 66], 1024));
    let stray = bench.send(B, stranger, &secured_voice(1));
    assert_eq!(stray, Err(DropReason::Source));
    // Somebody with the password, whose description is not here.
    let check = Check {
        username: format!("{fragment}:other1"),
        password,
        ..Check::default()
    };
    checked(&mut bench, stranger, &check);
    assert_eq!(bench.send_or_end(B, stranger, &secured_voice(2)), None);
    assert_eq!(voice_from_b(&mut bench, direct(), 3), Ok(peer_a()));
}

fn expect(bench: &mut Bench) {
    bench.command(Command::Expect {
        session: SESSION,
        endpoint: B,
    });
}

/// A re-INVITE of ours is answered with another key, and media under it overtake the answer.
#[test]
fn what_comes_under_the_key_of_an_answer_to_come_is_heard_with_it_once_and_in_order() {
    // Where they were, and elsewhere; also with numbers that the old key has had.
    for (from, first) in [
        (peer_b(), 51),
        (direct(), 51),
        (peer_b(), 41),
        (direct(), 2_000),
    ] {
        let mut bench = bench();
        bench.answer(B, fork(1, peer_b()));
        for sequence in 1..=50 {
            bench.send(B, peer_b(), &said(1, sequence)).unwrap();
            bench.wait_ms(20);
        }
        let refused = bench.send(B, peer_b(), &said(2, 60));
        assert_eq!(refused, Err(DropReason::Authentication), "nothing is due");
        expect(&mut bench);
        for step in 0..10 {
            let early = bench.send_or_end(B, from, &said(2, first + step));
            assert_eq!(early, None);
            bench.wait_ms(20);
        }
        assert_eq!(bench.made(), [], "nobody has a key for it");
        // What is under the present key goes on meanwhile.
        bench.send(B, peer_b(), &said(1, 51)).unwrap();
        bench.answer(B, fork(2, from));
        let late = heard(&bench.made());
        assert!(late.iter().all(|(by, _)| *by == 2), "{late:?}");
        let is_new = match first {
            // Of one source and clock, what has been said is not said again.
            41 if from == peer_b() => 0..=10,
            _ => 9..=10,
        };
        assert!(is_new.contains(&late.len()), "{from} {first}: {late:?}");
        assert!(are_in_a_row(&late));
        let (_, packet) = bench.send(B, from, &said(2, first + 40)).unwrap();
        assert_eq!(read(&packet).payload[0], 2);
        let again = bench.send(B, from, &said(2, first + 9));
        assert!(again.is_err(), "{again:?}");
    }
}

#[test]
fn nothing_is_kept_for_an_answer_that_was_given_refused_or_never_comes() {
    type End = fn(&mut Bench);
    let ends: [End; 3] = [
        |bench| bench.answer(B, fork(1, peer_b())),
        |bench| {
            bench.command(Command::Rollback {
                session: SESSION,
                endpoint: B,
            });
        },
        |bench| drop(bench.run_ms(EXPECTED_MS)),
    ];
    for end in ends {
        let mut bench = bench();
        bench.answer(B, fork(1, peer_b()));
        bench.send(B, peer_b(), &said(1, 1)).unwrap();
        expect(&mut bench);
        bench.wait_ms(20);
        assert_eq!(bench.send_or_end(B, peer_b(), &said(2, 2)), None);
        end(&mut bench);
        let refused = bench.send(B, peer_b(), &said(2, 3));
        assert_eq!(refused, Err(DropReason::Authentication));
        let stray = bench.send(B, direct(), &said(2, 3));
        assert_eq!(stray, Err(DropReason::Source));
        // What was kept is counted by what was wrong with it.
        bench.run_ms(600);
        assert_eq!(bench.stats(B).dropped(DropReason::Authentication), 2);
        assert_eq!(bench.stats(B).received_packets, 1);
    }
}

/// Whoever floods the port while an answer is due has no more room than before the first description.
#[test]
fn a_flood_while_an_answer_is_due_takes_neither_room_nor_the_peers_place() {
    let mut bench = bench();
    bench.answer(B, fork(1, peer_b()));
    bench.send(B, peer_b(), &said(1, 1)).unwrap();
    expect(&mut bench);
    for sequence in 2..=20 {
        assert_eq!(bench.send_or_end(B, peer_b(), &said(2, sequence)), None);
        for n in 0..40 {
            let from = SocketAddr::from(([203, 0, 113, 66], 1024 + n));
            let noise = rtp(8, sequence, 0, 9, &[0x55; 170]);
            bench.send_or_end_or_drop(B, from, &noise);
        }
        bench.wait_ms(20);
    }
    // What strangers get is what two have.
    assert!(bench.stats(B).dropped(DropReason::Source) >= 19 * 40 - 50);
    bench.answer(B, fork(2, peer_b()));
    assert_eq!(heard(&bench.made()).len(), 19);
}

/// A peer that checks is found by its checks, also while an answer is due.
#[test]
fn of_a_peer_that_checks_only_what_its_key_is_missing_for_is_kept() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    expect(&mut bench);
    let stray = bench.send(B, relayed(), &secured_voice(1));
    assert_eq!(stray, Err(DropReason::Source));
    assert_eq!(bench.send_or_end(B, direct(), &said(9, 2)), None);
}
