//! What checks do to the media: where they go and where they may come from (TDR-ICE-005 to TDR-ICE-010,
//! TDR-MED-009).

use crate::common::ice::*;
use crate::common::*;
use media_api::*;
use std::net::SocketAddr;

#[test]
fn media_goes_to_the_best_who_checked_and_then_to_the_nominated_one() {
    let mut bench = bench();
    let candidates = [candidate(direct(), 2_000_000), candidate(relayed(), 1_000)];
    bench.answer(B, full(ours(), THEIRS, &candidates));
    // Nobody has shown to be anywhere, so nothing is sent (RFC 8445 §12.1.1).
    assert_eq!(voice_to_b(&mut bench, 1), Err(DropReason::NoPath));
    checked(&mut bench, relayed(), &Check::default());
    assert_eq!(voice_to_b(&mut bench, 2), Ok(relayed()));
    checked(&mut bench, direct(), &Check::default());
    assert_eq!(voice_to_b(&mut bench, 3), Ok(direct()));
    // What is better does not matter any more.
    checked(&mut bench, relayed(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 4), Ok(relayed()));
    // Who nominates several means the one with the highest priority (MED-155).
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 5), Ok(direct()));
    checked(&mut bench, relayed(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 6), Ok(direct()));
    assert_eq!(bench.out.nominated, 2, "what is repeated is no news");
}

#[test]
fn a_later_nomination_takes_the_place_of_an_earlier_one() {
    let mut bench = bench();
    let candidates = [candidate(direct(), 2_000_000), candidate(relayed(), 1_000)];
    bench.answer(B, full(ours(), THEIRS, &candidates));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
    bench.run_ms(6_000);
    checked(&mut bench, direct(), &Check::default());
    checked(&mut bench, relayed(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 2), Ok(relayed()));
    // Its consent chooses nothing.
    checked(&mut bench, direct(), &Check::default());
    assert_eq!(voice_to_b(&mut bench, 3), Ok(relayed()));
    bench.run_ms(6_000);
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 4), Ok(direct()));
}

/// Somebody who has recorded a check sends it again from elsewhere, long after.
#[test]
fn a_recorded_check_takes_no_media_away_though_its_round_is_a_later_one() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(relayed(), 1_000)]));
    checked(&mut bench, relayed(), &Check::nominating());
    assert_eq!(voice_from_b(&mut bench, relayed(), 1), Ok(peer_a()));
    bench.run_ms(6_000);
    let replayer = address("192.0.2.66:6666");
    checked(&mut bench, replayer, &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(relayed()));
    assert_eq!(voice_from_b(&mut bench, relayed(), 2), Ok(peer_a()));
}

#[test]
fn a_pair_that_is_checked_no_more_is_forgotten_beside_one_that_is() {
    let mut bench = bench();
    let candidates = [candidate(direct(), 2_000_000), candidate(relayed(), 1_000)];
    bench.answer(B, full(ours(), THEIRS, &candidates));
    checked(&mut bench, direct(), &Check::nominating());
    checked(&mut bench, relayed(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
    for second in 1..=29 {
        bench.run_ms(1_000);
        checked(&mut bench, relayed(), &Check::default());
        assert_eq!(voice_to_b(&mut bench, 1 + second), Ok(direct()));
    }
    bench.run_ms(1_000);
    checked(&mut bench, relayed(), &Check::default());
    assert_eq!(voice_to_b(&mut bench, 31), Ok(relayed()));
    let late = voice_from_b(&mut bench, direct(), 1);
    assert_eq!(late, Err(DropReason::Source));
}

#[test]
fn the_pair_that_media_come_from_is_kept_without_checks() {
    let mut bench = bench();
    let candidates = [candidate(direct(), 2_000_000), candidate(relayed(), 1_000)];
    bench.answer(B, full(ours(), THEIRS, &candidates));
    checked(&mut bench, direct(), &Check::nominating());
    for second in 1..=40 {
        bench.run_ms(1_000);
        assert_eq!(voice_from_b(&mut bench, direct(), second), Ok(peer_a()));
        checked(&mut bench, relayed(), &Check::default());
        assert_eq!(voice_to_b(&mut bench, second), Ok(direct()));
    }
}

#[test]
fn a_relays_check_counts_as_little_as_its_candidate_says() {
    let mut bench = bench();
    let candidates = [candidate(direct(), 2_000_000), candidate(relayed(), 1_000)];
    bench.answer(B, full(ours(), THEIRS, &candidates));
    checked(&mut bench, direct(), &Check::default());
    // Every check names the priority of a reflexive candidate, also one through a relay.
    checked(&mut bench, relayed(), &Check::default());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
}

#[test]
fn who_is_behind_a_nat_is_reached_where_its_checks_come_from() {
    let mut bench = bench();
    let private = address("10.0.0.5:50000");
    bench.answer(
        B,
        full(ours(), THEIRS, &[candidate(private, 2_130_706_431)]),
    );
    let outside = address("192.0.2.200:61234");
    checked(&mut bench, outside, &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(outside));
    assert_eq!(voice_from_b(&mut bench, outside, 1), Ok(peer_a()));
}

#[test]
fn media_is_taken_from_candidates_until_one_is_nominated_and_then_from_who_checked() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    // Who sends what only the peer can have made can be sent to.
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
    let stranger = address("192.0.2.99:4000");
    // Kept in case that a check comes from there.
    let kept = bench.send_or_end(B, stranger, &secured_voice(2));
    assert_eq!(kept, None);
    checked(&mut bench, relayed(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 2), Ok(relayed()));
    assert_eq!(
        voice_from_b(&mut bench, direct(), 3),
        Err(DropReason::Source)
    );
    assert_eq!(voice_from_b(&mut bench, relayed(), 3), Ok(peer_a()));
}

#[test]
fn what_is_nominated_before_the_answer_counts_with_it() {
    let mut bench = bench();
    checked(&mut bench, direct(), &Check::nominating());
    let agreed = full(ours(), THEIRS, &[candidate(direct(), 5)]);
    bench.answer_as(B, agreed.clone(), ForkId(0), Stage::Preview);
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
    // The 2xx says the same as the 183, and nobody checks again (TDR-ICE-007).
    bench.answer_as(B, agreed, ForkId(0), Stage::Final);
    assert_eq!(voice_to_b(&mut bench, 2), Ok(direct()));
}

#[test]
fn forks_check_side_by_side_and_only_the_winner_is_left() {
    let mut bench = bench();
    let of = |fragment: &str| Check {
        username: format!("{FRAGMENT}:{fragment}"),
        ..Check::nominating()
    };
    let (one, other) = (direct(), relayed());
    checked(&mut bench, one, &of("first"));
    checked(&mut bench, other, &of("second"));
    let agreed = |fragment, at| full(ours(), fragment, &[candidate(at, 5)]);
    bench.answer_as(B, agreed("first", one), ForkId(1), Stage::Preview);
    bench.answer_as(B, agreed("second", other), ForkId(2), Stage::Preview);
    assert_eq!(voice_to_b(&mut bench, 1), Ok(other));
    assert_eq!(voice_from_b(&mut bench, one, 1), Ok(peer_a()));
    bench.answer_as(B, agreed("first", one), ForkId(1), Stage::Final);
    assert_eq!(voice_to_b(&mut bench, 2), Ok(one));
    assert_eq!(voice_from_b(&mut bench, other, 2), Err(DropReason::Source));
    // It still gets its answer, which costs nobody anything.
    checked(&mut bench, other, &of("second"));
    assert_eq!(voice_to_b(&mut bench, 3), Ok(one));
}

/// A user with many clients: each is heard before the answer, and whoever answers talks.
#[test]
fn as_many_forks_as_teams_may_make_are_heard_before_the_answer() {
    let mut bench = bench();
    let at = |fork: u8| SocketAddr::from(([198, 51, 100, fork], 50_000));
    let agreed = |fork: u8| full(ours(), &format!("fork{fork}"), &[candidate(at(fork), 5)]);
    for fork in 1..=32 {
        let check = Check {
            username: format!("{FRAGMENT}:fork{fork}"),
            ..Check::nominating()
        };
        checked(&mut bench, at(fork), &check);
        bench.answer_as(B, agreed(fork), ForkId(fork), Stage::Preview);
    }
    for fork in 1..=32 {
        let heard = voice_from_b(&mut bench, at(fork), u16::from(fork));
        assert_eq!(heard, Ok(peer_a()), "fork {fork}");
    }
    bench.answer_as(B, agreed(7), ForkId(7), Stage::Final);
    assert_eq!(voice_to_b(&mut bench, 1), Ok(at(7)));
    assert_eq!(voice_from_b(&mut bench, at(8), 40), Err(DropReason::Source));
    assert_eq!(voice_from_b(&mut bench, at(7), 41), Ok(peer_a()));
}

#[test]
fn a_restart_keeps_the_old_pair_until_another_one_is_nominated() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));

    const NEW: &str = "b9kP2+/w";
    let new = credentials(NEW, NEW_PASSWORD);
    bench.answer(B, full(new, NEW, &[candidate(relayed(), 5)]));
    assert_eq!(voice_to_b(&mut bench, 2), Ok(direct()));
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    checked(&mut bench, direct(), &Check::default());
    checked(&mut bench, relayed(), &within(NEW, false));
    assert_eq!(voice_to_b(&mut bench, 3), Ok(direct()));
    checked(&mut bench, relayed(), &within(NEW, true));
    assert_eq!(voice_to_b(&mut bench, 4), Ok(relayed()));
    // What was on its way is heard, and draws nothing back, also when it asks for consent.
    assert_eq!(voice_from_b(&mut bench, direct(), 2), Ok(peer_a()));
    checked(&mut bench, direct(), &Check::default());
    assert_eq!(voice_from_b(&mut bench, relayed(), 4), Ok(peer_a()));
    bench.run_ms(990);
    checked(&mut bench, relayed(), &within(NEW, false));
    assert_eq!(voice_from_b(&mut bench, direct(), 3), Ok(peer_a()));
    assert_eq!(voice_to_b(&mut bench, 5), Ok(relayed()));
    bench.run_ms(10);
    assert_eq!(
        voice_from_b(&mut bench, direct(), 5),
        Err(DropReason::Source)
    );
    let old = knock(&mut bench, 2, direct(), &Check::default().bytes());
    assert_eq!(old.unwrap_err(), DropReason::CheckName);
}

/// Without keys nothing but its checks proves who is at the pair of before.
#[test]
fn a_restart_without_keys_keeps_the_old_pair_too() {
    let mut bench = bench();
    let plain = |terms| NegotiatedStream {
        protection: Protection::None,
        ..terms
    };
    let said = |bench: &mut Bench, from, sequence: u16| {
        let packet = rtp(8, sequence, u32::from(sequence) * 160, 2, &[0xd5; 160]);
        bench.send(B, from, &packet).map(|(to, _)| to)
    };
    let agreed = full(ours(), THEIRS, &[candidate(direct(), 5)]);
    bench.answer(B, plain(agreed));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(said(&mut bench, direct(), 1), Ok(peer_a()));
    const NEW: &str = "b9kP2+/w";
    let again = full(
        credentials(NEW, NEW_PASSWORD),
        NEW,
        &[candidate(relayed(), 5)],
    );
    bench.answer(B, plain(again));
    assert_eq!(said(&mut bench, direct(), 2), Ok(peer_a()));
    checked(&mut bench, relayed(), &within(NEW, true));
    assert_eq!(said(&mut bench, direct(), 3), Ok(peer_a()));
    assert_eq!(said(&mut bench, relayed(), 4), Ok(peer_a()));
    bench.run_ms(1_000);
    assert_eq!(said(&mut bench, direct(), 5), Err(DropReason::Source));
}

/// However long the checks take: who is at the pair of before speaks under the key of before until then (TDR-ICE-009).
#[test]
fn the_old_pair_is_heard_under_its_own_key_until_another_one_is_nominated() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    restarts(&mut bench, "b9kP2+/w", 9);
    for sequence in 2..=1_000 {
        bench.run_ms(20);
        let heard = voice_from_b(&mut bench, direct(), sequence);
        assert_eq!(heard, Ok(peer_a()), "{sequence}");
    }
    checked(&mut bench, relayed(), &within("b9kP2+/w", true));
    // It has its end then as after any other agreement.
    assert_eq!(voice_from_b(&mut bench, relayed(), 1_001), Ok(peer_a()));
    bench.run_ms(10_000);
    assert_eq!(
        voice_from_b(&mut bench, relayed(), 1_002),
        Err(DropReason::Authentication)
    );
}

/// A restart of B with this name and key, whose media will come from the relay.
fn restarts(bench: &mut Bench, fragment: &str, by: u8) {
    let restarted = NegotiatedStream {
        protection: Protection::Sdes {
            local: key(1),
            remote: key(by),
        },
        ..full(
            credentials(fragment, NEW_PASSWORD),
            fragment,
            &[candidate(relayed(), 5)],
        )
    };
    bench.answer(B, restarted);
}

const NEW_PASSWORD: &str = "Zg01asd88fgpdd777uzjYhag";

/// A check within the restart of that name.
fn within(fragment: &str, nominates: bool) -> Check {
    Check {
        username: format!("{fragment}:{fragment}"),
        password: NEW_PASSWORD,
        nominates,
        ..Check::default()
    }
}

/// A packet of B's peer under one of its keys.
fn under(by: u8, sequence: u16) -> Vec<u8> {
    let mut packet = rtp(8, sequence, u32::from(sequence) * 160, 2, &[0xd5; 160]);
    let plain = packet.len();
    packet.resize(plain + 14, 0);
    let sender = media_relay::srtp::Sender::new(&key(by));
    let length = sender.protect_rtp(&mut packet, plain, u64::from(sequence));
    packet.truncate(length.unwrap());
    packet
}

#[test]
fn two_restarts_without_a_nomination_leave_the_old_pair_its_key() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    restarts(&mut bench, "first1", 9);
    assert_eq!(voice_from_b(&mut bench, direct(), 2), Ok(peer_a()));
    restarts(&mut bench, "second", 11);
    for sequence in 3..=500 {
        bench.run_ms(20);
        let heard = voice_from_b(&mut bench, direct(), sequence);
        assert_eq!(heard, Ok(peer_a()), "{sequence}");
    }
    checked(&mut bench, relayed(), &within("second", true));
    bench.send(B, relayed(), &under(11, 501)).unwrap();
    // The one between was never in use.
    let between = bench.send(B, relayed(), &under(9, 502));
    assert_eq!(between.unwrap_err(), DropReason::Authentication);
    bench.run_ms(10_000);
    let old = voice_from_b(&mut bench, relayed(), 503);
    assert_eq!(old, Err(DropReason::Authentication));
}

#[test]
fn what_comes_under_the_new_key_before_a_nomination_takes_nothing_from_the_old_pair() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    restarts(&mut bench, "first1", 9);
    checked(&mut bench, relayed(), &within("first1", false));
    for sequence in 2..=6 {
        bench.send(B, relayed(), &under(9, sequence)).unwrap();
    }
    for sequence in 7..=500 {
        bench.run_ms(20);
        let heard = voice_from_b(&mut bench, direct(), sequence);
        assert_eq!(heard, Ok(peer_a()), "{sequence}");
    }
    // With the nomination the new key proves itself as any other.
    checked(&mut bench, relayed(), &within("first1", true));
    for sequence in 501..=503 {
        bench.send(B, relayed(), &under(9, sequence)).unwrap();
    }
    let old = voice_from_b(&mut bench, relayed(), 504);
    assert_eq!(old, Err(DropReason::Authentication));
}

#[test]
fn a_key_that_comes_back_between_restarts_leaves_the_old_pair_its_own() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    restarts(&mut bench, "first1", 9);
    // That of `voice_from_b`.
    restarts(&mut bench, "second", 2);
    restarts(&mut bench, "third1", 11);
    for sequence in 2..=500 {
        bench.run_ms(20);
        let heard = voice_from_b(&mut bench, direct(), sequence);
        assert_eq!(heard, Ok(peer_a()), "{sequence}");
    }
}

#[test]
fn a_key_that_nothing_has_come_under_does_not_stand_for_the_old_pair() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    // Another key without a restart, and a restart that keeps it.
    let again = NegotiatedStream {
        protection: Protection::Sdes {
            local: key(1),
            remote: key(9),
        },
        ..full(ours(), THEIRS, &[candidate(direct(), 5)])
    };
    bench.answer(B, again);
    restarts(&mut bench, "first1", 9);
    bench.send(B, direct(), &under(9, 2)).unwrap();
    bench.run_ms(10_000);
    restarts(&mut bench, "second", 11);
    for sequence in 3..=500 {
        bench.run_ms(20);
        bench
            .send(B, direct(), &under(9, sequence))
            .unwrap_or_else(|why| panic!("{sequence}: {why:?}"));
    }
}

#[test]
fn a_restart_that_follows_one_in_use_leaves_its_key_the_time_that_is_on_the_way() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    restarts(&mut bench, "first1", 9);
    checked(&mut bench, relayed(), &within("first1", false));
    bench.send(B, relayed(), &under(9, 2)).unwrap();
    restarts(&mut bench, "second", 11);
    bench.run_ms(200);
    bench.send(B, direct(), &under(9, 3)).unwrap();
    assert_eq!(voice_from_b(&mut bench, direct(), 4), Ok(peer_a()));
}

#[test]
fn the_peer_may_go_over_to_one_without_checks_and_back() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    let mixer = NegotiatedStream {
        rtcp_mux: true,
        protection: secured(),
        ..terms(relayed())
    };
    bench.answer(B, mixer);
    assert_eq!(voice_to_b(&mut bench, 1), Ok(relayed()));
    assert_eq!(voice_from_b(&mut bench, relayed(), 1), Ok(peer_a()));
    let new = credentials("b9kP2+/w", NEW_PASSWORD);
    bench.answer(B, full(new, "b9kP2+/w", &[candidate(direct(), 5)]));
    assert_eq!(voice_to_b(&mut bench, 2), Ok(relayed()));
    checked(&mut bench, direct(), &within("b9kP2+/w", true));
    assert_eq!(voice_to_b(&mut bench, 3), Ok(direct()));
}

#[test]
fn another_description_with_the_same_credentials_is_no_restart() {
    let mut bench = bench();
    bench.answer(
        B,
        full(
            ours(),
            THEIRS,
            &[candidate(direct(), 5), candidate(relayed(), 3)],
        ),
    );
    checked(&mut bench, direct(), &Check::nominating());
    // The final candidate alone, and as the default address (TDR-ICE-008).
    let settled = NegotiatedStream {
        remote_rtp: direct(),
        remote_rtcp: direct(),
        ..full(ours(), THEIRS, &[candidate(direct(), 5)])
    };
    bench.answer(B, settled);
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
}

#[test]
fn reports_go_where_their_component_was_checked() {
    let mut bench = bench();
    let unmuxed = NegotiatedStream {
        rtcp_mux: false,
        ..full(ours(), THEIRS, &[candidate(direct(), 5)])
    };
    bench.answer(B, unmuxed);
    checked(&mut bench, direct(), &Check::nominating());
    let reports = address("198.51.100.77:50005");
    knock(&mut bench, 3, reports, &Check::nominating().bytes()).unwrap();
    voice_to_b(&mut bench, 1).unwrap();
    let made = bench.run_ms(10_000);
    let to_b: Vec<_> = made
        .iter()
        .filter(|(to, _)| *to != peer_a() && to.ip() != peer_a().ip())
        .collect();
    assert!(!to_b.is_empty());
    assert!(to_b.iter().all(|(to, _)| *to == reports), "{to_b:?}");
}

#[test]
fn secured_packets_before_their_key_are_heard_with_it() {
    let mut bench = bench();
    for sequence in 1..=40 {
        let packet = secured_voice(sequence);
        assert_eq!(bench.send_or_end(B, direct(), &packet), None);
        bench.wait_ms(20);
    }
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    // Those of the last half second, as they came.
    let late = bench.made();
    assert_eq!(late.len(), 25);
    assert!(late.iter().all(|(to, _)| *to == peer_a()));
    let numbers: Vec<_> = late
        .iter()
        .map(|(_, packet)| read(packet).sequence)
        .collect();
    assert!(
        numbers
            .windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(1))
    );
    assert_eq!(bench.stats(B).received_packets, 25);
    assert_eq!(bench.stats(B).dropped(DropReason::NoPath), 15);
    assert_eq!(voice_from_b(&mut bench, direct(), 41), Ok(peer_a()));
}

#[test]
fn what_was_kept_too_long_or_by_whom_is_not_the_peer_is_not_heard() {
    let mut bench = bench();
    bench.send_or_end(B, direct(), &secured_voice(1));
    bench.wait_ms(501);
    let mut forged = secured_voice(2);
    forged[20] ^= 1;
    bench.send_or_end(B, direct(), &forged);
    bench.send_or_end(B, address("192.0.2.99:4000"), &secured_voice(3));
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    assert_eq!(bench.made(), []);
    // A check from there could come for half a second.
    bench.run_ms(6_000);
    let stats = bench.stats(B);
    assert_eq!(stats.dropped(DropReason::NoPath), 1);
    assert_eq!(stats.dropped(DropReason::Authentication), 1);
    assert_eq!(stats.dropped(DropReason::Source), 1);
}

fn dial(bench: &mut Bench, symbol: char) {
    bench.command(Command::Dial {
        session: SESSION,
        endpoint: B,
        dialled: Dialled {
            digit: Digit::from_char(symbol).unwrap(),
            duration_ms: 100,
            signal: Signal::Tone,
        },
    });
}

fn to_direct(made: &[(SocketAddr, Vec<u8>)]) -> usize {
    made.iter().filter(|(to, _)| *to == direct()).count()
}

#[test]
fn digits_reach_who_has_checked_before_anything_is_nominated() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::default());
    voice_to_b(&mut bench, 1).unwrap();
    dial(&mut bench, '5');
    let mut tones = bench.made();
    tones.extend(bench.run_ms(200));
    assert!(to_direct(&tones) >= 5, "{tones:?}");
}

#[test]
fn digits_that_are_dialled_before_the_first_check_wait_for_it() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    dial(&mut bench, '5');
    bench.run_ms(1_000);
    dial(&mut bench, '6');
    let nothing = bench.run_ms(3_000);
    assert_eq!(to_direct(&nothing), 0, "{nothing:?}");
    bench.session.packet(
        media_relay::session::SocketId(2),
        direct(),
        &mut padded(&Check::default().bytes()),
        Check::default().bytes().len(),
        bench.now,
        &mut bench.out,
    );
    let mut tones = bench.made();
    tones.extend(bench.run_ms(600));
    // Two digits of 100 ms, and the silence behind each.
    assert!(to_direct(&tones) >= 20, "{}", to_direct(&tones));
}

#[test]
fn digits_do_not_wait_for_ever_for_a_check() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    dial(&mut bench, '5');
    dial(&mut bench, '6');
    bench.run_ms(10_500);
    checked(&mut bench, direct(), &Check::default());
    let late = bench.run_ms(1_000);
    assert_eq!(to_direct(&late), 0, "{late:?}");
    dial(&mut bench, '7');
    let mut tones = bench.made();
    tones.extend(bench.run_ms(200));
    assert!(to_direct(&tones) >= 5, "{tones:?}");
}

#[test]
fn a_call_goes_on_without_checks_as_long_as_it_is_heard() {
    let mut bench = bench();
    bench.join(10_000);
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    for sequence in 1..=600 {
        bench.run_ms(1_000);
        assert_eq!(voice_to_b(&mut bench, sequence), Ok(direct()));
        assert_eq!(voice_from_b(&mut bench, direct(), sequence), Ok(peer_a()));
    }
    let is_silent = |event: &Event| matches!(event, Event::Silent { .. });
    assert!(!bench.events().iter().any(is_silent));
}

/// How often the place of B's media was told.
fn places(bench: &mut Bench) -> Vec<SocketAddr> {
    let events = bench.events().into_iter();
    let places = events.filter_map(|event| match event {
        Event::SourcePinned {
            endpoint: B,
            source,
            ..
        } => Some(source),
        _ => None,
    });
    places.collect()
}

#[test]
fn a_peer_that_sends_from_two_places_is_not_news_with_every_packet() {
    let mut bench = bench();
    let both = [candidate(direct(), 5), candidate(relayed(), 3)];
    bench.answer(B, full(ours(), THEIRS, &both));
    for sequence in 1..=20 {
        let from = [relayed(), direct()][usize::from(sequence % 2)];
        assert_eq!(voice_from_b(&mut bench, from, sequence), Ok(peer_a()));
    }
    assert_eq!(places(&mut bench), [direct()]);
    checked(&mut bench, relayed(), &Check::nominating());
    checked(&mut bench, direct(), &Check::default());
    for sequence in 21..=40 {
        let from = [relayed(), direct()][usize::from(sequence % 2)];
        assert_eq!(voice_from_b(&mut bench, from, sequence), Ok(peer_a()));
    }
    assert_eq!(places(&mut bench), [relayed()]);
}

#[test]
fn of_several_forks_the_first_that_is_heard_is_spoken_to() {
    let mut bench = bench();
    let (one, other, third) = (direct(), relayed(), address("192.0.2.150:50010"));
    let agreed = |fragment, at| full(ours(), fragment, &[candidate(at, 5)]);
    let of = |fragment: &str| Check {
        username: format!("{FRAGMENT}:{fragment}"),
        ..Check::default()
    };
    for (at, fragment) in [(one, "first"), (other, "second"), (third, "third")] {
        checked(&mut bench, at, &of(fragment));
    }
    bench.answer_as(B, agreed("first", one), ForkId(1), Stage::Preview);
    bench.answer_as(B, agreed("second", other), ForkId(2), Stage::Preview);
    assert_eq!(
        voice_to_b(&mut bench, 1),
        Ok(other),
        "the newest of the silent"
    );
    assert_eq!(voice_from_b(&mut bench, one, 1), Ok(peer_a()));
    assert_eq!(voice_to_b(&mut bench, 2), Ok(one));
    // Neither who answers after it nor who is heard after it changes that.
    bench.answer_as(B, agreed("third", third), ForkId(3), Stage::Preview);
    bench.answer_as(B, agreed("second", other), ForkId(2), Stage::Preview);
    assert_eq!(voice_from_b(&mut bench, other, 2), Ok(peer_a()));
    assert_eq!(voice_to_b(&mut bench, 3), Ok(one));
    // The answer does.
    bench.answer_as(B, agreed("third", third), ForkId(3), Stage::Final);
    assert_eq!(voice_to_b(&mut bench, 4), Ok(third));
}

/// An early dialog that has ended (199) is told to be silent, and the newest of the others again.
#[test]
fn a_fork_that_was_heard_and_has_ended_leaves_its_place_to_the_others() {
    let mut bench = bench();
    let (one, other) = (direct(), relayed());
    let agreed = |fragment, at| full(ours(), fragment, &[candidate(at, 5)]);
    let of = |fragment: &str| Check {
        username: format!("{FRAGMENT}:{fragment}"),
        ..Check::default()
    };
    for (at, fragment) in [(one, "first"), (other, "second")] {
        checked(&mut bench, at, &of(fragment));
    }
    bench.answer_as(B, agreed("first", one), ForkId(1), Stage::Preview);
    bench.answer_as(B, agreed("second", other), ForkId(2), Stage::Preview);
    assert_eq!(voice_from_b(&mut bench, one, 1), Ok(peer_a()));
    assert_eq!(voice_to_b(&mut bench, 1), Ok(one));
    let ended = NegotiatedStream {
        direction: Direction::Inactive,
        ..agreed("first", one)
    };
    bench.answer_as(B, ended, ForkId(1), Stage::Preview);
    bench.answer_as(B, agreed("second", other), ForkId(2), Stage::Preview);
    assert_eq!(voice_to_b(&mut bench, 2), Ok(other));
}

/// A datagram in a slot as workers have them.
fn padded(datagram: &[u8]) -> Vec<u8> {
    let mut slot = datagram.to_vec();
    slot.resize(2048, 0xee);
    slot
}

#[test]
fn reports_reach_who_has_checked_though_its_description_names_no_place() {
    for default in ["0.0.0.0:6000", "198.51.100.20:6000"] {
        let mut bench = bench();
        let default = address(default);
        let blank = NegotiatedStream {
            remote_rtp: default,
            remote_rtcp: default,
            ..full(ours(), THEIRS, &[candidate(direct(), 5)])
        };
        bench.answer(B, blank.clone());
        let made = bench.run_ms(10_000);
        assert_eq!(to_direct(&made), 0, "nobody has checked");
        checked(&mut bench, direct(), &Check::nominating());
        voice_to_b(&mut bench, 1).unwrap();
        let made = bench.run_ms(10_000);
        assert!(to_direct(&made) >= 2, "{default}: {made:?}");
        // Without bandwidth there are none.
        bench.answer(
            B,
            NegotiatedStream {
                remote_rtcp: SocketAddr::new(default.ip(), 0),
                ..blank
            },
        );
        assert_eq!(to_direct(&bench.run_ms(10_000)), 0);
    }
}

/// RFC 8445 §12.1.1, where nothing else is agreed.
#[test]
fn nothing_is_sent_before_a_nomination_where_that_is_not_agreed() {
    let mut terms = full(ours(), THEIRS, &[candidate(direct(), 5)]);
    if let Some(ice) = &mut terms.ice {
        ice.is_sent_early = false;
    }
    let mut bench = bench();
    bench.answer(B, terms);
    assert_eq!(voice_to_b(&mut bench, 1), Err(DropReason::NoPath));
    checked(&mut bench, direct(), &Check::default());
    assert_eq!(voice_to_b(&mut bench, 2), Err(DropReason::NoPath));
    // What the peer says is heard, and is no nomination.
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    assert_eq!(voice_to_b(&mut bench, 3), Err(DropReason::NoPath));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 4), Ok(direct()));
    // A restart goes on towards the pair of before, and not towards one that was checked alone.
    let (fragment, password) = ("b9kP2+/w", "Zg01asd88fgpdd777uzjYhag");
    let mut again = full(credentials(fragment, password), "mpmpmp", &[]);
    if let Some(ice) = &mut again.ice {
        ice.is_sent_early = false;
    }
    bench.answer(B, again);
    let check = |nominates| Check {
        username: format!("{fragment}:mpmpmp"),
        password,
        nominates,
        ..Check::default()
    };
    checked(&mut bench, relayed(), &check(false));
    assert_eq!(voice_to_b(&mut bench, 5), Ok(direct()));
    checked(&mut bench, relayed(), &check(true));
    assert_eq!(voice_to_b(&mut bench, 6), Ok(relayed()));
}
