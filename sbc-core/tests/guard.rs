//! Who a peer must prove to be: our challenges, and what credentials are worth (SIP-1610).

use crate::registrar::{
    How, RIGHT, Register, USUAL, challenged, contacts, credentials, flow_of, invite_of_pbx,
    registers, started, status, udp, unproven, with_line, with_pbx,
};
use crate::world::Shard;
use sbc_core::auth::{Asker, Challenge, Qop, Unproven};
use sbc_core::event::{DropCode, Happened};
use sbc_core::sip::HeaderName;
use sbc_core::transport::Protocol;
use std::time::Duration;

#[test]
fn a_challenge_names_the_algorithms_in_order_and_costs_no_memory() {
    let algorithms = ", algorithms = [\"SHA-512-256\", \"SHA-256\", \"MD5\"]";
    let mut shard = started(&with_pbx(algorithms, ""));
    shard.receive(udp(), &USUAL.text());
    let refusal = shard.next_response(401).message;
    let all = Challenge::all_of(&refusal);
    let names: Vec<&str> = all.iter().map(|one| one.algorithm.name()).collect();
    assert_eq!(names, ["SHA-512-256", "SHA-256", "MD5"]);
    for one in &all {
        assert_eq!(&one.realm[..], b"sip.example.com");
        assert_eq!(one.asker, Asker::Server);
        assert!(!one.is_stale);
    }
    for line in refusal.lines(HeaderName::WwwAuthenticate) {
        let text = String::from_utf8_lossy(&line.value()).into_owned();
        assert!(text.contains("qop=\"auth,auth-int\""), "{text}");
    }
    assert_eq!(shard.core.census(), Default::default());
    assert_eq!(unproven(&shard), [Unproven::Missing]);
    assert_eq!(shard.core.deadline(), None);
}

/// SIP-219: nobody could prove anything in a CANCEL, which cannot be sent again (RFC 3261 §22.1), and an ACK gets no answer.
#[test]
fn a_cancel_and_an_ack_are_not_challenged() {
    let mut shard = started(&with_pbx("", ""));
    let invite = invite_of_pbx("gone");
    challenged(&mut shard, &udp(), &invite, 401);
    let as_method = |method: &str| {
        invite
            .replace("INVITE sip", &format!("{method} sip"))
            .replace("10 INVITE", &format!("10 {method}"))
    };
    shard.receive(udp(), &as_method("CANCEL"));
    let refusal = shard.next_response(481).message;
    assert!(!refusal.has(HeaderName::WwwAuthenticate));
    shard.receive(udp(), &as_method("ACK"));
    assert!(shard.sent.is_empty());
    assert_eq!(shard.core.census(), Default::default());
}

#[test]
fn every_algorithm_and_both_protections_prove_who_is_there() {
    let algorithms = ", algorithms = [\"SHA-512-256\", \"SHA-256\", \"MD5\"]";
    for algorithm in ["SHA-512-256", "SHA-256", "MD5"] {
        for qop in [Qop::Auth, Qop::AuthInt] {
            let mut shard = started(&with_pbx(algorithms, ""));
            let challenge = challenged(&mut shard, &udp(), &USUAL.text(), 401);
            let register = Register { cseq: 2, ..USUAL }.text();
            let how = How {
                algorithm,
                qop,
                ..RIGHT
            };
            let line = credentials(&register, &challenge, &how);
            shard.receive(udp(), &with_line(&register, &line));
            let ok = shard.next_response(200).message;
            assert_eq!(
                contacts(&ok),
                [("sip:line7@10.0.0.7:5060".to_owned(), 3_600)],
                "{algorithm} {qop:?}"
            );
        }
    }
}

#[test]
fn whatever_is_wrong_with_credentials_gets_the_same_challenge_again() {
    let cases: [(How<'static>, Unproven); 4] = [
        (
            How {
                password: "guessed",
                ..RIGHT
            },
            Unproven::Password,
        ),
        (
            How {
                username: "pbx2",
                ..RIGHT
            },
            Unproven::UnknownUser,
        ),
        (
            How {
                algorithm: "SHA-512-256",
                ..RIGHT
            },
            Unproven::Algorithm,
        ),
        (
            How {
                algorithm: "MD5-sess",
                ..RIGHT
            },
            Unproven::Algorithm,
        ),
    ];
    let mut answers = Vec::new();
    for (how, why) in cases {
        let mut shard = started(&with_pbx("", ""));
        let challenge = challenged(&mut shard, &udp(), &USUAL.text(), 401);
        let register = Register { cseq: 2, ..USUAL }.text();
        let line = credentials(&register, &challenge, &how);
        shard.receive(udp(), &with_line(&register, &line));
        let refusal = shard.next_response(401).message;
        assert_eq!(unproven(&shard), [Unproven::Missing, why]);
        let again = Challenge::all_of(&refusal);
        assert!(again.iter().all(|one| !one.is_stale));
        let lengths: Vec<usize> = again.iter().map(|one| one.nonce.len()).collect();
        answers.push((refusal.headers().count(), lengths));
        assert_eq!(shard.core.census(), Default::default());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "nobody learns which of them it was");
}

#[test]
fn credentials_for_another_request_or_of_the_old_form_prove_nothing() {
    let mut shard = started(&with_pbx("", ""));
    let challenge = challenged(&mut shard, &udp(), &USUAL.text(), 401);
    let register = Register { cseq: 2, ..USUAL }.text();
    let line = credentials(&register, &challenge, &RIGHT);
    let wrong = [
        line.replace("uri=\"sip:sip.example.com\"", "uri=\"sip:sip.example.net\""),
        line.replace("qop=auth, ", ""),
        line.replace("nc=00000001", "nc=1"),
        line.replace("cnonce=\"c0ffee\", ", ""),
        "Authorization: Digest username=\"pbx1\", realm=\"sip.example.com\"\n".to_owned(),
        "Authorization: Digest \"\n".to_owned(),
        "Authorization: Basic cGJ4MTphc3N1bWVk\n".to_owned(),
    ];
    for line in &wrong {
        shard.receive(udp(), &with_line(&register, line));
        shard.next_response(401);
    }
    let expected = [
        Unproven::Missing,
        Unproven::ForeignUri,
        Unproven::Unreadable,
        Unproven::Unreadable,
        Unproven::Unreadable,
        Unproven::Unreadable,
        Unproven::Unreadable,
        Unproven::Unreadable,
    ];
    assert_eq!(unproven(&shard), expected);
    // A body that was changed on its way.
    let how = How {
        qop: Qop::AuthInt,
        ..RIGHT
    };
    let line = credentials(&register, &challenge, &how);
    let changed = with_line(&register, &line).replace(
        "Content-Length: 0\n\n",
        "Content-Type: text/plain\nContent-Length: 3\n\nabc",
    );
    shard.receive(udp(), &changed);
    shard.next_response(401);
    assert_eq!(unproven(&shard).pop(), Some(Unproven::Password));
}

#[test]
fn a_nonce_that_is_too_old_or_of_another_address_is_stale_and_a_repeated_count_too() {
    let mut shard = started(&with_pbx("", ""));
    let challenge = challenged(&mut shard, &udp(), &USUAL.text(), 401);
    let at = |cseq: u32| Register { cseq, ..USUAL }.text();
    let proven = |cseq: u32, count: u32| {
        let how = How { count, ..RIGHT };
        with_line(&at(cseq), &credentials(&at(cseq), &challenge, &how))
    };
    shard.receive(udp(), &proven(2, 1));
    shard.next_response(200);
    // The same nonce serves again with the next count.
    shard.receive(udp(), &proven(3, 2));
    shard.next_response(200);
    // Somebody repeats what he has seen: another transaction, the same credentials.
    let replay = proven(3, 2).replace("z9hG4bKr1x3", "z9hG4bKother");
    shard.receive(udp(), &replay);
    let refusal = shard.next_response(401).message;
    assert!(Challenge::all_of(&refusal).iter().all(|one| one.is_stale));
    // The repetition of a request gets its answer again.
    shard.receive(udp(), &proven(3, 2));
    shard.next_response(200);
    let elsewhere = flow_of(31, Protocol::Udp, "198.51.100.201:5060");
    shard.receive(elsewhere, &proven(4, 3));
    let refusal = shard.next_response(401).message;
    assert!(Challenge::all_of(&refusal).iter().all(|one| one.is_stale));
    shard.pass(Duration::from_secs(61));
    shard.receive(udp(), &proven(5, 3));
    let refusal = shard.next_response(401).message;
    let fresh = Challenge::all_of(&refusal).remove(0);
    assert!(fresh.is_stale);
    let line = credentials(&at(6), &fresh, &RIGHT);
    shard.receive(udp(), &with_line(&at(6), &line));
    shard.next_response(200);
    let expected = [
        Unproven::Missing,
        Unproven::Replayed,
        Unproven::Stale,
        Unproven::Stale,
    ];
    assert_eq!(unproven(&shard), expected);
}

#[test]
fn who_guesses_gets_no_answer_any_more_but_not_who_is_only_named_as_source() {
    let mut shard = started(&with_pbx("", ""));
    let guess = How {
        password: "guessed",
        ..RIGHT
    };
    // Whoever writes a foreign address into packets never sees our nonce.
    let forged = Challenge {
        nonce: "0".repeat(52).into(),
        ..challenged(&mut shard, &udp(), &USUAL.text(), 401)
    };
    let tried = |shard: &mut Shard, cseq: u32, challenge: &Challenge, how: &How<'_>| {
        let register = Register { cseq, ..USUAL }.text();
        let line = credentials(&register, challenge, how);
        shard.receive(udp(), &with_line(&register, &line));
    };
    for cseq in 2..60 {
        tried(&mut shard, cseq, &forged, &guess);
        shard.next_response(401);
    }
    let challenge = challenged(&mut shard, &udp(), &USUAL.text(), 401);
    for cseq in 100..105 {
        tried(&mut shard, cseq, &challenge, &guess);
        shard.next_response(401);
    }
    assert_eq!(silences(&shard), [30]);
    // The right password is not looked at either, so that nobody learns it was right.
    tried(&mut shard, 105, &challenge, &RIGHT);
    assert!(shard.sent.is_empty());
    let dropped = |shard: &Shard| {
        let all = shard.happened.iter();
        let banned = all.filter(|what| {
            matches!(
                what,
                Happened::Dropped {
                    why: DropCode::Banned,
                    ..
                }
            )
        });
        banned.count()
    };
    assert_eq!(dropped(&shard), 1);
    // Half a minute later it may try again, and one more mistake costs twice as much.
    shard.pass(Duration::from_secs(30));
    tried(&mut shard, 106, &challenge, &guess);
    shard.next_response(401);
    assert_eq!(silences(&shard), [30, 60]);
    shard.pass(Duration::from_secs(60));
    let ok = registers(&mut shard, &udp(), &USUAL);
    assert_eq!(status(&ok), 200);
}

#[test]
fn a_phone_with_a_wrong_password_makes_nobody_else_behind_its_address_silent() {
    let mut shard = started(&with_pbx(", challenge = 407", ""));
    let challenge = challenged(&mut shard, &udp(), &USUAL.text(), 401);
    let broken = How {
        username: "phone7",
        password: "old",
        ..RIGHT
    };
    for cseq in 2..30 {
        let register = Register { cseq, ..USUAL }.text();
        let line = credentials(&register, &challenge, &broken);
        shard.receive(udp(), &with_line(&register, &line));
    }
    shard.sent.clear();
    assert_eq!(silences(&shard), [30]);
    // The others of the site register and call, and so does whoever shows no name yet.
    assert_eq!(status(&registers(&mut shard, &udp(), &USUAL)), 200);
    let call = invite_of_pbx("help");
    let challenge = challenged(&mut shard, &udp(), &call, 407);
    let line = credentials(&call, &challenge, &RIGHT);
    shard.receive(udp(), &with_line(&call, &line));
    shard.next_response(100);
}

#[test]
fn a_user_whom_the_world_guesses_at_is_told_and_may_still_come() {
    let mut shard = started(&with_pbx("", ""));
    let guess = How {
        password: "guessed",
        ..RIGHT
    };
    for host in 130..190 {
        let from = flow_of(host, Protocol::Udp, &format!("198.51.100.{host}:5060"));
        let challenge = challenged(&mut shard, &from, &USUAL.text(), 401);
        let register = Register { cseq: 2, ..USUAL }.text();
        let line = credentials(&register, &challenge, &guess);
        shard.receive(from, &with_line(&register, &line));
        shard.next_response(401);
    }
    let alarms = shard.happened.iter().filter(|what| match what {
        Happened::Unproven { refused, .. } => refused.is_alarming,
        _ => false,
    });
    assert_eq!(alarms.count(), 1);
    assert_eq!(status(&registers(&mut shard, &udp(), &USUAL)), 200);
}

/// For how many seconds names were made silent.
fn silences(shard: &Shard) -> Vec<u64> {
    let all = shard.happened.iter();
    let silences = all.filter_map(|what| match what {
        Happened::Unproven { refused, .. } => refused.silence,
        _ => None,
    });
    silences.map(|silence| silence.as_secs()).collect()
}

#[test]
fn nobody_learns_from_a_nonce_that_is_not_ours_whether_a_password_is_right() {
    let mut shard = started(&with_pbx("", ""));
    let challenge = challenged(&mut shard, &udp(), &USUAL.text(), 401);
    let mut answers = Vec::new();
    let nonces = [
        challenge.nonce.clone(),
        "invented".into(),
        "0".repeat(52).into(),
    ];
    // The first one is too old by now.
    shard.pass(Duration::from_secs(61));
    let passwords = ["assumed", "guessed"];
    for (cseq, (nonce, password)) in (2..).zip(
        nonces
            .iter()
            .flat_map(|nonce| passwords.map(|password| (nonce, password))),
    ) {
        let made_up = Challenge {
            nonce: nonce.clone(),
            ..challenge.clone()
        };
        let how = How { password, ..RIGHT };
        let register = Register { cseq, ..USUAL }.text();
        let line = credentials(&register, &made_up, &how);
        shard.receive(udp(), &with_line(&register, &line));
        let refusal = shard.next_response(401).message;
        let again = Challenge::all_of(&refusal);
        answers.push(again.iter().map(|one| one.is_stale).collect::<Vec<_>>());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "right and wrong look alike: {answers:?}");
}
