//! The lite agent of a stream: checks made by others' code, and what they do to the media (RFC 8445).

mod common;

use common::*;
use media_api::*;
use media_relay::session::{Outcome, SocketId};
use rtc_stun::attributes::{ATTR_USERNAME, AttrType};
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Getter, Message, Setter, TransactionId};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;

const FRAGMENT: &str = "8hhY";
const PASSWORD: &str = "asd88fgpdd777uzjYhagZg01";
const THEIRS: &str = "h6vYk2";
const PRIORITY: AttrType = AttrType(0x0024);
const USE_CANDIDATE: AttrType = AttrType(0x0025);
const CONTROLLED: AttrType = AttrType(0x8029);
const CONTROLLING: AttrType = AttrType(0x802a);

fn credentials(fragment: &str, password: &str) -> IceCredentials {
    IceCredentials::new(fragment.to_owned(), password.to_owned()).unwrap()
}

fn ours() -> IceCredentials {
    credentials(FRAGMENT, PASSWORD)
}

fn candidate(address: SocketAddr, priority: u32) -> IceCandidate {
    IceCandidate {
        component: IceComponent::Rtp,
        address,
        priority,
    }
}

/// A key of 30 equal bytes.
fn key(seed: u8) -> CryptoKey {
    CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap()
}

fn secured() -> Protection {
    Protection::Sdes {
        local: key(1),
        remote: key(2),
    }
}

/// A peer that makes checks, muxed and secured, at a default address that nobody listens at.
fn full(local: IceCredentials, fragment: &str, candidates: &[IceCandidate]) -> NegotiatedStream {
    NegotiatedStream {
        rtcp_mux: true,
        protection: secured(),
        ice: Some(Box::new(IceTerms {
            local,
            remote_fragment: fragment.to_owned(),
            candidates: candidates.to_vec(),
        })),
        ..terms(peer_b())
    }
}

/// What a check is to look like; the usual one by default.
struct Check {
    username: String,
    password: &'static str,
    role: Option<AttrType>,
    nominates: bool,
    priority: u32,
    more: Vec<(u16, Vec<u8>)>,
    has_integrity: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            username: format!("{FRAGMENT}:{THEIRS}"),
            password: PASSWORD,
            role: Some(CONTROLLING),
            nominates: false,
            priority: 1_862_270_975,
            more: Vec::new(),
            has_integrity: true,
        }
    }
}

impl Check {
    fn nominating() -> Self {
        Self {
            nominates: true,
            ..Self::default()
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let provider = rtc_crypto::default_provider().unwrap();
        let mut message = Message::new();
        message.set_type(BINDING_REQUEST);
        message.transaction_id = TransactionId([7; 12]);
        message.write_header();
        message.add(ATTR_USERNAME, self.username.as_bytes());
        message.add(PRIORITY, &self.priority.to_be_bytes());
        if let Some(role) = self.role {
            message.add(role, &[9; 8]);
        }
        if self.nominates {
            message.add(USE_CANDIDATE, &[]);
        }
        for (kind, value) in &self.more {
            message.add(AttrType(*kind), value);
        }
        if self.has_integrity {
            let password = self.password.to_owned();
            let crypto = provider.crypto();
            MessageIntegrity::new_short_term_integrity_with_provider(password, crypto)
                .add_to(&mut message)
                .unwrap();
        }
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }
}

/// Sends a datagram to a port of B; what comes back, and what became of it.
fn knock(
    bench: &mut Bench,
    socket: u32,
    from: SocketAddr,
    datagram: &[u8],
) -> Result<Message, DropReason> {
    let mut slot = datagram.to_vec();
    slot.resize(2048, 0xee);
    let length = datagram.len();
    let socket = SocketId(socket);
    let (session, out) = (&mut bench.session, &mut bench.out);
    match session.packet(socket, from, &mut slot, length, bench.now, out) {
        Outcome::Checked => {
            let made = bench.made();
            let [(to, answer)] = &made[..] else {
                panic!("one answer: {made:?}");
            };
            assert_eq!(*to, from);
            let mut message = Message::new();
            message.unmarshal_binary(answer).unwrap();
            FINGERPRINT.check(&message).unwrap();
            Ok(message)
        }
        Outcome::Dropped(reason) => {
            assert_eq!(bench.made(), []);
            Err(reason)
        }
        other => panic!("{other:?}"),
    }
}

/// A check to the RTP port of B that is answered as it should be.
fn checked(bench: &mut Bench, from: SocketAddr, check: &Check) {
    let mut answer = knock(bench, 2, from, &check.bytes()).unwrap();
    assert_eq!(answer.typ, BINDING_SUCCESS);
    assert_eq!(answer.transaction_id, TransactionId([7; 12]));
    let provider = rtc_crypto::default_provider().unwrap();
    let password = check.password.as_bytes();
    MessageIntegrity::check(&mut answer, password, provider.crypto()).unwrap();
    let mut seen = XorMappedAddress::default();
    seen.get_from(&answer).unwrap();
    assert_eq!(SocketAddr::new(seen.ip, seen.port), from);
}

fn error_code(answer: &Message) -> u16 {
    let mut code = ErrorCodeAttribute::default();
    code.get_from(answer).unwrap();
    code.code.0
}

/// A plain leg A, and B with an agent of ours that nothing is agreed with yet.
fn bench() -> Bench {
    let sdes = ProtectionWanted::Sdes(vec![Suite::AesCm128HmacSha1_80]);
    let mut bench = Bench::allocated([ProtectionWanted::None, sdes.clone()]);
    let spec = StreamSpec {
        kind: StreamKind::Audio,
        protection: sdes,
        ice: Some(ours()),
    };
    bench.session.prepare(B, &[spec]);
    bench.answer(A, terms(peer_a()));
    bench.join(0);
    bench
}

/// What is left of A's media, and where it goes.
fn voice_to_b(bench: &mut Bench, sequence: u16) -> Result<SocketAddr, DropReason> {
    let packet = rtp(8, sequence, u32::from(sequence) * 160, 1, &[0xd5; 160]);
    bench.send(A, peer_a(), &packet).map(|(to, _)| to)
}

/// A secured packet of B's peer.
fn secured_voice(sequence: u16) -> Vec<u8> {
    let mut packet = rtp(8, sequence, u32::from(sequence) * 160, 2, &[0xd5; 160]);
    let plain = packet.len();
    packet.resize(plain + 14, 0);
    let sender = media_relay::srtp::Sender::new(&key(2));
    let length = sender.protect_rtp(&mut packet, plain, u64::from(sequence));
    packet.truncate(length.unwrap());
    packet
}

fn voice_from_b(
    bench: &mut Bench,
    from: SocketAddr,
    sequence: u16,
) -> Result<SocketAddr, DropReason> {
    let packet = secured_voice(sequence);
    bench.send(B, from, &packet).map(|(to, _)| to)
}

fn direct() -> SocketAddr {
    address("198.51.100.77:50004")
}

fn relayed() -> SocketAddr {
    address("203.0.113.66:51000")
}

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
    assert_eq!(
        voice_from_b(&mut bench, stranger, 2),
        Err(DropReason::Source)
    );
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

#[test]
fn a_restart_keeps_the_old_pair_until_another_one_is_nominated() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    checked(&mut bench, direct(), &Check::nominating());
    assert_eq!(voice_to_b(&mut bench, 1), Ok(direct()));

    const NEW: &str = "b9kP2+/w";
    const NEW_PASSWORD: &str = "Zg01asd88fgpdd777uzjYhag";
    let new = credentials(NEW, NEW_PASSWORD);
    bench.answer(B, full(new, "mpmpmp", &[candidate(relayed(), 5)]));
    assert_eq!(voice_to_b(&mut bench, 2), Ok(direct()));
    assert_eq!(voice_from_b(&mut bench, direct(), 1), Ok(peer_a()));
    checked(&mut bench, direct(), &Check::default());
    let check = |nominates| Check {
        username: format!("{NEW}:mpmpmp"),
        password: NEW_PASSWORD,
        nominates,
        ..Check::default()
    };
    checked(&mut bench, relayed(), &check(false));
    assert_eq!(voice_to_b(&mut bench, 3), Ok(direct()));
    checked(&mut bench, relayed(), &check(true));
    assert_eq!(voice_to_b(&mut bench, 4), Ok(relayed()));
    assert_eq!(
        voice_from_b(&mut bench, direct(), 2),
        Err(DropReason::Source)
    );
    let old = knock(&mut bench, 2, direct(), &Check::default().bytes());
    assert_eq!(old.unwrap_err(), DropReason::CheckName);
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
    let new = credentials("b9kP2+/w", "Zg01asd88fgpdd777uzjYhag");
    bench.answer(B, full(new, "client", &[candidate(direct(), 5)]));
    assert_eq!(voice_to_b(&mut bench, 2), Ok(relayed()));
    let check = Check {
        username: "b9kP2+/w:client".to_owned(),
        password: "Zg01asd88fgpdd777uzjYhag",
        ..Check::nominating()
    };
    checked(&mut bench, direct(), &check);
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
    let stats = bench.stats(B);
    assert_eq!(stats.dropped(DropReason::NoPath), 1);
    assert_eq!(stats.dropped(DropReason::Authentication), 1);
    assert_eq!(stats.dropped(DropReason::Source), 1);
}

/// Why B is not heard while A talks, after these datagrams have come from B's client.
fn why_unheard(datagram: Option<Vec<u8>>) -> Option<OneWayKind> {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
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
fn digits_reach_who_has_checked_before_anything_is_nominated() {
    let mut bench = bench();
    bench.answer(B, full(ours(), THEIRS, &[candidate(direct(), 5)]));
    let dial = Command::Dial {
        session: SESSION,
        endpoint: B,
        dialled: Dialled {
            digit: Digit::from_char('5').unwrap(),
            duration_ms: 100,
            signal: Signal::Tone,
        },
    };
    checked(&mut bench, direct(), &Check::default());
    voice_to_b(&mut bench, 1).unwrap();
    bench.command(dial);
    let mut tones = bench.made();
    tones.extend(bench.run_ms(200));
    let to_b = |(to, _): &&(SocketAddr, Vec<u8>)| *to == direct();
    assert!(tones.iter().filter(to_b).count() >= 5, "{tones:?}");
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
