//! The lite agent of a stream: what it answers, and to whom (RFC 8445 §7.3).

use crate::common::ice::*;
use crate::common::*;
use media_api::*;
use media_relay::session::Output;
use media_relay::session::{Outcome, SocketId};
use rtc_stun::message::BINDING_SUCCESS;
use std::net::SocketAddr;

#[test]
fn a_check_is_answered_before_anything_is_agreed_and_on_both_ports() {
    let mut bench = bench();
    checked(&mut bench, direct(), &Check::default());
    let answer = knock(&mut bench, 3, direct(), &Check::default().bytes()).unwrap();
    assert_eq!(answer.typ, BINDING_SUCCESS);
    assert_eq!(bench.stats(B).answered_checks, 2);
    // The other leg speaks no ICE.
    let refused = knock(&mut bench, 0, direct(), &Check::default().bytes());
    assert_eq!(refused.unwrap_err(), DropReason::CheckName);
}

#[test]
fn what_is_not_for_us_is_dropped_and_counted_by_its_reason() {
    let mut bench = bench();
    let other_name = Check {
        username: format!("8hhZ:{THEIRS}"),
        ..Check::default()
    };
    let other_password = Check {
        password: "asd88fgpdd777uzjYhagZg02",
        ..Check::default()
    };
    let nameless = Check {
        username: FRAGMENT.to_owned(),
        ..Check::default()
    };
    let mut damaged = Check::default().bytes();
    damaged[30] ^= 1;
    let mut unfinished = Check::default().bytes();
    unfinished.truncate(unfinished.len() - 8);
    for (datagram, reason) in [
        (other_name.bytes(), DropReason::CheckName),
        (nameless.bytes(), DropReason::CheckName),
        (other_password.bytes(), DropReason::CheckIntegrity),
        (damaged, DropReason::Malformed),
        (unfinished, DropReason::Malformed),
    ] {
        let before = bench.stats(B).dropped(reason);
        assert_eq!(
            knock(&mut bench, 2, direct(), &datagram).unwrap_err(),
            reason
        );
        assert_eq!(bench.stats(B).dropped(reason), before + 1);
    }
    bench.answer(B, full(ours(), THEIRS, &[]));
    assert_eq!(voice_to_b(&mut bench, 1), Err(DropReason::NoPath));
}

#[test]
fn checks_are_refused_without_integrity_with_what_is_unknown_or_from_who_would_be_controlled() {
    let mut bench = bench();
    for (check, code) in [
        (
            Check {
                has_integrity: false,
                ..Check::default()
            },
            400,
        ),
        (
            Check {
                more: vec![(0x7fab, vec![1, 2, 3, 4])],
                ..Check::nominating()
            },
            420,
        ),
        (
            Check {
                role: Some(CONTROLLED),
                ..Check::nominating()
            },
            487,
        ),
    ] {
        let answer = knock(&mut bench, 2, direct(), &check.bytes()).unwrap();
        assert_eq!(error_code(&answer), code);
    }
    // None of them has made anything of its sender.
    bench.answer(B, full(ours(), THEIRS, &[]));
    assert_eq!(voice_to_b(&mut bench, 1), Err(DropReason::NoPath));
}

#[test]
fn attributes_that_may_be_ignored_are() {
    let mut bench = bench();
    let check = Check {
        more: vec![
            (0x8070, vec![0, 0, 0, 3]),
            (0x8054, vec![b'1', 0, 0, 0]),
            (0xc057, vec![0, 1, 0, 50]),
            (0x8055, vec![9; 8]),
        ],
        ..Check::default()
    };
    checked(&mut bench, direct(), &check);
}

#[test]
fn checks_are_answered_while_nothing_flows() {
    let mut bench = bench();
    let agreed = full(ours(), THEIRS, &[candidate(direct(), 5)]);
    bench.answer(B, agreed.clone());
    checked(&mut bench, direct(), &Check::nominating());
    bench.answer(
        B,
        NegotiatedStream {
            direction: Direction::Inactive,
            ..agreed.clone()
        },
    );
    for sequence in 1..=10 {
        bench.wait_ms(5_000);
        checked(&mut bench, direct(), &Check::default());
        let muted = voice_to_b(&mut bench, sequence);
        assert_eq!(muted, Err(DropReason::Direction));
    }
    bench.answer(B, agreed);
    assert_eq!(voice_to_b(&mut bench, 11), Ok(direct()));
}

#[test]
fn checks_alone_keep_a_call_in_which_nobody_speaks() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    bench.join(4_000);
    let is_silent = |bench: &mut Bench| {
        let silent = |event: &Event| matches!(event, Event::Silent { endpoint: B, .. });
        bench.events().iter().any(silent)
    };
    for _ in 0..20 {
        bench.run_ms(2_000);
        assert!(!is_silent(&mut bench));
        checked(&mut bench, direct(), &Check::default());
    }
    // Those of a stranger are none of its own.
    let stray = Check {
        username: format!("xxxx:{THEIRS}"),
        ..Check::default()
    };
    bench.run_ms(3_000);
    assert!(knock(&mut bench, 2, direct(), &stray.bytes()).is_err());
    bench.run_ms(2_000);
    assert!(is_silent(&mut bench));
}

#[test]
fn no_more_than_fifty_checks_a_second_are_answered_and_strangers_use_none_of_them_up() {
    let mut bench = bench();
    let stray = Check {
        username: format!("xxxx:{THEIRS}"),
        ..Check::default()
    };
    let (stray, usual) = (stray.bytes(), Check::default().bytes());
    for _ in 0..50 {
        let refused = knock(&mut bench, 2, direct(), &stray);
        assert_eq!(refused.unwrap_err(), DropReason::CheckName);
    }
    for _ in 0..50 {
        knock(&mut bench, 2, direct(), &usual).unwrap();
    }
    let refused = knock(&mut bench, 2, direct(), &usual);
    assert_eq!(refused.unwrap_err(), DropReason::Rate);
    bench.wait_ms(1_000);
    knock(&mut bench, 2, direct(), &usual).unwrap();
}

/// Of 32 forks none is heard by less than 15 checks a second.
#[test]
fn each_fork_and_each_port_has_its_own_checks_up_to_a_limit_for_all() {
    let mut bench = bench();
    let by = |fork: u32| {
        let check = Check {
            username: format!("{FRAGMENT}:fork{fork}"),
            ..Check::default()
        };
        check.bytes()
    };
    for (socket, fork) in [(2, 0), (3, 0), (2, 1)] {
        for _ in 0..50 {
            knock(&mut bench, socket, direct(), &by(fork)).unwrap();
        }
        let refused = knock(&mut bench, socket, direct(), &by(fork));
        assert_eq!(refused.unwrap_err(), DropReason::Rate);
    }
    let mut more = 0;
    for fork in 2..32 {
        more += (0..50)
            .filter(|_| knock(&mut bench, 2, direct(), &by(fork)).is_ok())
            .count();
    }
    assert_eq!(more, 500 - 3 * 50);
    bench.wait_ms(1_000);
    knock(&mut bench, 2, direct(), &by(31)).unwrap();
}

/// Whoever is on the way sees our fragment in every check.
#[test]
fn who_knows_our_name_and_not_our_password_uses_up_nobodys_checks() {
    let mut bench = bench();
    let guessed = Check {
        password: "asd88fgpdd777uzjYhagZg02",
        ..Check::nominating()
    };
    let bare = Check {
        has_integrity: false,
        ..Check::nominating()
    };
    let (guessed, bare) = (guessed.bytes(), bare.bytes());
    for number in 0..100 {
        let refused = knock(&mut bench, 2, relayed(), &guessed);
        assert_eq!(refused.unwrap_err(), DropReason::CheckIntegrity);
        let answer = knock(&mut bench, 2, relayed(), &bare);
        match number < 50 {
            true => {
                assert_eq!(error_code(answer.as_ref().unwrap()), 400);
                assert!(answer.unwrap().raw.len() <= bare.len(), "no amplifier");
            }
            false => assert_eq!(answer.unwrap_err(), DropReason::Rate),
        }
    }
    checked(&mut bench, direct(), &Check::nominating());
}

#[test]
fn who_knows_the_names_of_many_calls_is_answered_no_more_for_that() {
    let bare = Check {
        has_integrity: false,
        ..Check::default()
    };
    let bare = bare.bytes();
    let mut out = Output::new();
    let mut answered = 0;
    for _ in 0..20 {
        let mut call = bench();
        // One worker has both calls.
        std::mem::swap(&mut call.out, &mut out);
        let knocks = (0..100).filter(|_| knock(&mut call, 2, direct(), &bare).is_ok());
        answered += knocks.count();
        // Who knows the password is answered all the same.
        knock(&mut call, 2, direct(), &Check::default().bytes()).unwrap();
        std::mem::swap(&mut call.out, &mut out);
    }
    assert_eq!(answered, 500);
}

/// A call on a pair that the peer has nominated and not announced, beside a better one that it has only checked; then an
/// offer of ours under other credentials, for which it has nominated a third one early. Also what nominates that.
fn offered_anew() -> (Bench, Check, NegotiatedStream) {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[]));
    checked(&mut bench, other(), &better());
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    let (fragment, password) = ("b9kP2+/w", "Zg01asd88fgpdd777uzjYhag");
    let offered = full(credentials(fragment, password), "mpmpmp", &[]);
    bench.answer_as(B, offered.clone(), ForkId(3), Stage::Preview);
    let check = Check {
        username: format!("{fragment}:mpmpmp"),
        password,
        ..Check::nominating()
    };
    checked(&mut bench, relayed(), &check);
    (bench, check, offered)
}

fn other() -> SocketAddr {
    address("198.51.100.78:50006")
}

/// A check that says more of its pair than the usual one.
fn better() -> Check {
    Check {
        priority: u32::MAX >> 1,
        ..Check::default()
    }
}

/// A peer nominates a pair for an offer that its side then refuses: the call goes on as it was agreed.
#[test]
fn an_offer_that_is_rolled_back_leaves_what_was_learnt_before_in_use() {
    for rolls_back_late in [false, true] {
        let (mut bench, check, _) = offered_anew();
        if rolls_back_late {
            bench.run_ms(2_000);
            checked(&mut bench, relayed(), &check);
            checked(&mut bench, direct(), &Check::default());
        }
        bench.command(Command::Rollback {
            session: SESSION,
            endpoint: B,
        });
        bench.run_ms(2_000);
        // Whatever is learnt now is learnt beside that.
        checked(&mut bench, other(), &better());
        checked(&mut bench, address("198.51.100.79:50008"), &better());
        assert_eq!(voice_to_b(&mut bench, 2), Ok(direct()));
        assert_eq!(voice_from_b(&mut bench, direct(), 2), Ok(peer_a()));
        checked(&mut bench, direct(), &Check::default());
    }
}

/// What was agreed before has served a moment after something else is agreed of which a pair is nominated, also where that
/// came first.
#[test]
fn an_offer_that_is_accepted_after_its_nomination_ends_the_credentials_of_before() {
    let (mut bench, check, offered) = offered_anew();
    bench.run_ms(2_000);
    checked(&mut bench, direct(), &Check::default());
    bench.answer(B, offered);
    bench.run_ms(900);
    checked(&mut bench, direct(), &Check::default());
    bench.run_ms(200);
    let old = knock(&mut bench, 2, direct(), &Check::default().bytes());
    assert_eq!(old.unwrap_err(), DropReason::CheckName);
    checked(&mut bench, relayed(), &check);
    assert_eq!(voice_to_b(&mut bench, 2), Ok(relayed()));
    assert_eq!(voice_from_b(&mut bench, relayed(), 2), Ok(peer_a()));
}

#[test]
fn nothing_is_answered_after_the_end() {
    let mut bench = bench();
    checked(&mut bench, direct(), &Check::default());
    bench.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    bench.made();
    let refused = knock(&mut bench, 2, direct(), &Check::default().bytes());
    assert_eq!(refused.unwrap_err(), DropReason::CheckName);
}

#[test]
fn repeated_checks_allocate_nothing() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    let datagram = Check::default().bytes();
    let mut slot = datagram.clone();
    slot.resize(2048, 0);
    let counted = allocation_counter::measure(|| {
        for _ in 0..500 {
            bench.now.0 += 100_000;
            let (session, out) = (&mut bench.session, &mut bench.out);
            let outcome = session.packet(
                SocketId(2),
                direct(),
                &mut slot,
                datagram.len(),
                bench.now,
                out,
            );
            assert_eq!(outcome, Outcome::Checked);
            bench.out.clear();
        }
    });
    assert_eq!(counted.count_total, 0);
}

/// Why B is not heard while A talks, after these datagrams have come from B's client.
fn why_unheard(datagram: Option<Vec<u8>>) -> Option<OneWayKind> {
    why_unheard_of(full(ours(), THEIRS, &[candidate(direct(), 5)]), datagram)
}

fn why_unheard_of(agreed: NegotiatedStream, datagram: Option<Vec<u8>>) -> Option<OneWayKind> {
    let mut bench = bench();
    bench.answer(B, agreed);
    for sequence in 0..400 {
        bench.run_ms(20);
        let _ = voice_to_b(&mut bench, sequence);
        if let Some(datagram) = &datagram {
            let _ = knock(&mut bench, 2, direct(), datagram);
        }
    }
    bench.events().into_iter().find_map(|event| match event {
        Event::OneWay {
            endpoint: B, kind, ..
        } => Some(kind),
        _ => None,
    })
}

#[test]
fn an_operator_is_told_that_no_check_has_come_or_none_with_the_right_password() {
    assert_eq!(why_unheard(None), Some(OneWayKind::NoChecks));
    let stray = Check {
        password: "asd88fgpdd777uzjYhagZg02",
        ..Check::default()
    };
    let refused = why_unheard(Some(stray.bytes()));
    assert_eq!(refused, Some(OneWayKind::RefusedChecks));
    let sound = why_unheard(Some(Check::default().bytes()));
    assert_eq!(sound, Some(OneWayKind::NoPackets));
}

#[test]
fn checks_that_come_where_nobody_speaks_ice_are_no_reason() {
    let stray = Check {
        username: format!("8hhZ:{THEIRS}"),
        ..Check::default()
    };
    let without = NegotiatedStream {
        ice: None,
        ..full(ours(), THEIRS, &[])
    };
    let told = why_unheard_of(without, Some(stray.bytes()));
    assert_eq!(told, Some(OneWayKind::NoPackets));
}

#[test]
fn a_fork_cannot_make_us_forget_what_another_has_shown() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    for number in 0..100 {
        let flood = Check {
            username: format!("{FRAGMENT}:flood{number}"),
            ..Check::nominating()
        };
        bench.wait_ms(100);
        checked(&mut bench, relayed(), &flood);
    }
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    assert_eq!(
        voice_from_b(&mut bench, relayed(), 2),
        Err(DropReason::Source)
    );
}
