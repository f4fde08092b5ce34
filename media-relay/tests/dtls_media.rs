//! Sessions whose keys come of DTLS handshakes: both roles, both kinds of ports, and everything that may go wrong.

use crate::common::{A, B, Bench, SESSION, address, peer_a, peer_b, read, rtp, terms};
use media_api::*;
use media_relay::Timestamp;
use media_relay::dtls::{Association, Identity, Outcome};
use media_relay::session::SocketId;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender};
use std::net::SocketAddr;

/// The far end of A: associations of its own, and the keys of each.
struct Peer {
    ours: Fingerprint,
    identity: Identity,
    /// At its RTP and its RTCP address.
    channels: Vec<Channel>,
    is_mux: bool,
}

struct Channel {
    at: SocketAddr,
    association: Association,
    keys: Option<(CryptoKey, CryptoKey)>,
}

impl Peer {
    fn terms(&self, role: DtlsRole) -> NegotiatedStream {
        let agreed = DtlsTerms {
            role,
            fingerprints: vec![self.identity.fingerprint().clone()],
            tls_id: String::new(),
        };
        let plain = terms(peer_a());
        NegotiatedStream {
            remote_rtcp: match self.is_mux {
                true => peer_a(),
                false => plain.remote_rtcp,
            },
            rtcp_mux: self.is_mux,
            protection: Protection::Dtls(agreed),
            ..plain
        }
    }

    /// Begins anew, in the role that ours leaves.
    fn begin(&mut self, ours: DtlsRole, now: Timestamp) {
        let role = match ours {
            DtlsRole::Active => DtlsRole::Passive,
            DtlsRole::Passive => DtlsRole::Active,
        };
        let terms = DtlsTerms {
            role,
            fingerprints: vec![self.ours.clone()],
            tls_id: String::new(),
        };
        let rtp = peer_a();
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        let all = match self.is_mux {
            true => vec![rtp],
            false => vec![rtp, rtcp],
        };
        let of = |at| Channel {
            at,
            association: Association::new(&self.identity, terms.clone(), now),
            keys: None,
        };
        self.channels = all.into_iter().map(of).collect();
    }

    /// Lets this much time pass, with handshakes; what was sent meanwhile.
    fn run(&mut self, bench: &mut Bench, for_ms: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        for _ in 0..for_ms / 10 {
            let mut arrived = bench.made();
            arrived.extend(bench.run_ms(10));
            let mut sent = Vec::new();
            for (number, channel) in self.channels.iter_mut().enumerate() {
                let mut send = |packet: &[u8]| sent.push((number, packet.to_vec()));
                let now = bench.now;
                let mut outcomes = Vec::new();
                for (_, packet) in arrived.iter().filter(|(to, _)| *to == channel.at) {
                    if (20..64).contains(&packet[0]) {
                        outcomes.extend(channel.association.packet(packet, now, &mut send));
                    }
                }
                if channel.association.deadline().is_some_and(|due| due <= now) {
                    outcomes.extend(channel.association.tick(now, &mut send));
                }
                for outcome in outcomes {
                    if let Outcome::Keys { local, remote } = outcome {
                        channel.keys = Some((local, remote));
                    }
                }
            }
            for (number, packet) in sent {
                let socket = SocketId(u32::try_from(number).unwrap());
                deliver(bench, socket, self.channels[number].at, &packet);
            }
            all.extend(arrived);
        }
        all
    }

    fn keys(&self, channel: usize) -> (Sender, Receiver) {
        let (local, remote) = self.channels[channel].keys.as_ref().expect("keys");
        (Sender::new(local), Receiver::new(remote))
    }
}

/// A with DTLS, B plain, joined; nothing is agreed with A yet.
fn half_secure(is_mux: bool) -> (Bench, Peer) {
    let mut bench = Bench::allocated([ProtectionWanted::Dtls, ProtectionWanted::None]);
    let ours = Identity::generate().unwrap();
    bench.session.identify(A, &ours);
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    let peer = Peer {
        ours: ours.fingerprint().clone(),
        identity: Identity::generate().unwrap(),
        channels: Vec::new(),
        is_mux,
    };
    (bench, peer)
}

fn deliver(bench: &mut Bench, socket: SocketId, from: SocketAddr, packet: &[u8]) {
    let mut slot = packet.to_vec();
    slot.resize(2_048, 0);
    let (now, length) = (bench.now, packet.len());
    let (session, out) = (&mut bench.session, &mut bench.out);
    session.packet(socket, from, &mut slot, length, now, out);
}

fn voice(index: u64) -> Vec<u8> {
    rtp(8, index as u16, index as u32 * 160, 0x2222, b"voice")
}

fn protected(sender: &Sender, plain: &[u8], index: u64) -> Vec<u8> {
    let mut packet = plain.to_vec();
    packet.resize(plain.len() + MAX_TRAILER_BYTES, 0);
    let length = sender.protect_rtp(&mut packet, plain.len(), index).unwrap();
    packet.truncate(length);
    packet
}

/// Voice goes through both ways, secured on A's side only.
fn assert_talks(bench: &mut Bench, peer: &Peer, first: u64) {
    let (sender, mut receiver) = peer.keys(0);
    for index in first..first + 5 {
        bench.wait_ms(20);
        let packet = protected(&sender, &voice(index), index);
        let (to, packet) = bench.send(A, peer_a(), &packet).unwrap();
        assert_eq!((to, &read(&packet).payload[..]), (peer_b(), &b"voice"[..]));
        let plain = rtp(8, index as u16, index as u32 * 160, 5, b"reply");
        let (to, mut packet) = bench.send(B, peer_b(), &plain).unwrap();
        assert_eq!(to, peer_a());
        let length = receiver.unprotect_rtp(&mut packet, bench.now).unwrap();
        assert_eq!(read(&packet[..length]).payload, b"reply");
    }
}

fn failures(bench: &Bench) -> Vec<HandshakeFault> {
    let failed = |event: &Event| match event {
        Event::HandshakeFailed { endpoint, why, .. } => {
            assert_eq!(*endpoint, A);
            Some(*why)
        }
        _ => None,
    };
    bench.out.events.iter().filter_map(failed).collect()
}

#[test]
fn media_flows_once_a_handshake_in_either_role_has_made_keys() {
    for role in [DtlsRole::Active, DtlsRole::Passive] {
        for is_mux in [true, false] {
            let (mut bench, mut peer) = half_secure(is_mux);
            bench.answer(A, peer.terms(role));
            // Before that nothing goes either way, not even in the clear (MED-136).
            let dropped = bench.send(A, peer_a(), &voice(1));
            assert_eq!(dropped, Err(DropReason::NoKey));
            assert_eq!(bench.send(B, peer_b(), &voice(1)), Err(DropReason::NoKey));
            assert_eq!(bench.stats(A).suite, None);
            peer.begin(role, bench.now);
            peer.run(&mut bench, 100);
            assert_talks(&mut bench, &peer, 1_000);
            // Whoever asks is told what the handshake chose.
            let (key, _) = peer.channels[0].keys.as_ref().expect("keys");
            assert_eq!(bench.stats(A).suite, Some(key.suite()));
            assert_eq!(bench.stats(B).suite, None);
            // Reports have the keys of their own port, where they have one.
            let (_, mut receiver) = peer.keys(usize::from(!is_mux));
            let to = peer.channels[usize::from(!is_mux)].at;
            let arrived = bench.run_ms(5_000);
            let mut reports = arrived.into_iter().filter(|(at, packet)| {
                *at == to && packet[0] >= 128 && (192..224).contains(&packet[1])
            });
            let (_, mut report) = reports.next().expect("a report");
            assert!(
                receiver.unprotect_rtcp(&mut report).is_ok(),
                "{role:?} {is_mux}"
            );
            assert!(failures(&bench).is_empty());
            let made = if is_mux { 1 } else { 2 };
            assert_eq!(bench.out.handshakes, [made, 0, 0, 0, 0]);
        }
    }
}

#[test]
fn nothing_leaves_in_the_clear_while_a_handshake_waits() {
    let (mut bench, peer) = half_secure(true);
    bench.answer(A, peer.terms(DtlsRole::Passive));
    let sent = bench.run_ms(9_900);
    let to_a = sent.iter().filter(|(to, _)| to.ip() == peer_a().ip());
    assert_eq!(to_a.count(), 0);
    assert!(failures(&bench).is_empty());
    bench.run_ms(200);
    assert_eq!(failures(&bench), [HandshakeFault::Timeout]);
    bench.run_ms(20_000);
    assert_eq!(failures(&bench).len(), 1, "told once");
    let timeout = 1 + HandshakeFault::Timeout as usize;
    assert_eq!(bench.out.handshakes[timeout], 1);
}

#[test]
fn a_peer_whose_certificate_is_another_is_never_heard_and_told_of() {
    let (mut bench, mut peer) = half_secure(true);
    let mut terms = peer.terms(DtlsRole::Active);
    let other = Fingerprint::new(HashFunction::Sha256, vec![7; 32]).unwrap();
    if let Protection::Dtls(agreed) = &mut terms.protection {
        agreed.fingerprints = vec![other];
    }
    bench.answer(A, terms);
    peer.begin(DtlsRole::Active, bench.now);
    peer.run(&mut bench, 500);
    assert_eq!(failures(&bench), [HandshakeFault::Fingerprint]);
    assert_eq!(bench.send(B, peer_b(), &voice(1)), Err(DropReason::NoKey));
}

/// Seen from where nobody described it, so nobody but its certificate can say who it is.
#[test]
fn a_peer_behind_nat_whose_certificate_is_another_is_told_of_as_that() {
    let (mut bench, mut peer) = half_secure(true);
    let nat = address("192.0.2.99:5000");
    let mut terms = NegotiatedStream {
        source: SourcePolicy::Restricted(Nearby {
            signalling: Some(nat.ip()),
            ..Nearby::default()
        }),
        ..peer.terms(DtlsRole::Passive)
    };
    let other = Fingerprint::new(HashFunction::Sha256, vec![7; 32]).unwrap();
    if let Protection::Dtls(agreed) = &mut terms.protection {
        agreed.fingerprints = vec![other];
    }
    bench.answer(A, terms);
    peer.begin(DtlsRole::Passive, bench.now);
    peer.channels[0].at = nat;
    peer.run(&mut bench, 11_000);
    assert_eq!(failures(&bench), [HandshakeFault::Fingerprint]);
}

#[test]
fn a_peer_that_moves_keeps_the_association_that_it_has_named() {
    for name in ["", "abcdefghijklmnopqrstuvwx"] {
        let (mut bench, mut peer) = half_secure(true);
        let moved = address("192.0.2.77:5000");
        let mut terms = peer.terms(DtlsRole::Active);
        if let Protection::Dtls(agreed) = &mut terms.protection {
            agreed.tls_id = name.into();
        }
        bench.answer(A, terms.clone());
        peer.begin(DtlsRole::Active, bench.now);
        peer.run(&mut bench, 3_000);
        terms.remote_rtp = moved;
        terms.remote_rtcp = moved;
        bench.answer(A, terms);
        let (sender, _) = peer.keys(0);
        let packet = protected(&sender, &voice(1), 1);
        assert!(bench.send(A, moved, &packet).is_ok(), "the keys go on");
        bench.run_ms(11_000);
        // Who names none begins anew where it moves.
        let wanted: &[HandshakeFault] = match name {
            "" => &[HandshakeFault::Timeout],
            _ => &[],
        };
        assert_eq!(failures(&bench), wanted, "{name}");
    }
}

#[test]
fn strangers_and_early_birds_are_not_answered() {
    let (mut bench, mut peer) = half_secure(true);
    peer.begin(DtlsRole::Passive, bench.now);
    let mut hello = Vec::new();
    let association = &mut peer.channels[0].association;
    association.tick(bench.now, |packet| hello = packet.to_vec());
    // Before the description.
    assert_eq!(bench.send(A, peer_a(), &hello), Err(DropReason::NoPath));
    bench.answer(A, peer.terms(DtlsRole::Passive));
    let stranger = address("203.0.113.99:4000");
    assert_eq!(bench.send(A, stranger, &hello), Err(DropReason::Source));
    assert!(bench.run_ms(10).iter().all(|(to, _)| *to != stranger));
    // A leg without handshakes knows nothing of them.
    assert_eq!(bench.send(B, peer_b(), &hello), Err(DropReason::Malformed));
    peer.run(&mut bench, 3_000);
    assert_talks(&mut bench, &peer, 1);
}

/// Behind a NAT there may be others as well, and an address alone proves nothing (MED-033).
#[test]
fn whoever_asks_first_does_not_shut_out_a_peer_behind_nat() {
    let (nat, neighbour) = (address("192.0.2.99:5000"), address("192.0.2.99:6000"));
    for role in [DtlsRole::Passive, DtlsRole::Active] {
        let (mut bench, mut peer) = half_secure(true);
        bench.answer(
            A,
            NegotiatedStream {
                source: SourcePolicy::Restricted(Nearby {
                    signalling: Some(nat.ip()),
                    ..Nearby::default()
                }),
                ..peer.terms(role)
            },
        );
        let mut stranger = Peer {
            ours: peer.ours.clone(),
            identity: Identity::generate().unwrap(),
            channels: Vec::new(),
            is_mux: true,
        };
        stranger.begin(DtlsRole::Passive, bench.now);
        let mut hello = Vec::new();
        let other = &mut stranger.channels[0].association;
        other.tick(bench.now, |packet| hello = packet.to_vec());
        stranger.begin(DtlsRole::Passive, bench.now);
        stranger.channels[0].at = neighbour;
        match role {
            // To the end, under a certificate that is not the peer's.
            DtlsRole::Passive => drop(stranger.run(&mut bench, 500)),
            DtlsRole::Active => deliver(&mut bench, SocketId(0), neighbour, &hello),
        }
        peer.begin(role, bench.now);
        // Who waits for us is where it says; who begins is seen behind its NAT.
        if role == DtlsRole::Passive {
            peer.channels[0].at = nat;
        }
        peer.run(&mut bench, 3_000);
        assert!(peer.channels[0].keys.is_some(), "{role:?}");
        assert!(failures(&bench).is_empty());
        // Now it is known where it is.
        let dropped = bench.send(A, neighbour, &hello);
        assert_eq!(dropped, Err(DropReason::Source), "{role:?}");
    }
}

#[test]
fn a_repeated_agreement_keeps_the_keys_and_another_certificate_makes_new_ones() {
    let (mut bench, mut peer) = half_secure(true);
    bench.answer(A, peer.terms(DtlsRole::Active));
    peer.begin(DtlsRole::Active, bench.now);
    peer.run(&mut bench, 100);
    assert_talks(&mut bench, &peer, 1);
    bench.answer(A, peer.terms(DtlsRole::Active));
    let sent = bench.run_ms(100);
    assert!(
        sent.iter()
            .all(|(_, packet)| !(20..64).contains(&packet[0]))
    );
    assert_talks(&mut bench, &peer, 100);
    // It goes on elsewhere: another certificate, and the other role.
    let before = peer.channels[0].keys.clone().unwrap();
    peer.identity = Identity::generate().unwrap();
    bench.answer(A, peer.terms(DtlsRole::Passive));
    // What it sends under the old keys is still heard (RFC 8842).
    let old = protected(&Sender::new(&before.0), &voice(200), 200);
    assert!(bench.send(A, peer_a(), &old).is_ok());
    peer.begin(DtlsRole::Passive, bench.now);
    peer.run(&mut bench, 100);
    assert_ne!(peer.channels[0].keys, Some(before));
    assert_talks(&mut bench, &peer, 300);
    assert!(failures(&bench).is_empty());
}

/// Our description tells of the same association before and after: the peer begins none anew (MED-134).
#[test]
fn audio_after_a_fax_has_the_keys_of_before() {
    for is_mux in [true, false] {
        let (mut bench, mut peer) = half_secure(is_mux);
        bench.answer(A, peer.terms(DtlsRole::Active));
        peer.begin(DtlsRole::Active, bench.now);
        peer.run(&mut bench, 100);
        assert_talks(&mut bench, &peer, 1);
        let fax = |remote: SocketAddr| NegotiatedStream {
            content: Content::Udptl,
            remote_rtcp: SocketAddr::new(remote.ip(), 0),
            payloads: Vec::new(),
            ptime_ms: 10,
            ..terms(remote)
        };
        bench.answer(A, fax(peer_a()));
        bench.answer(B, fax(peer_b()));
        bench.wait_ms(20);
        // In the clear, both ways.
        let datagram = vec![0, 0, 1, 2, 3];
        let passed = bench.send(A, peer_a(), &datagram).unwrap();
        assert_eq!(passed, (peer_b(), datagram.clone()));
        let passed = bench.send(B, peer_b(), &datagram).unwrap();
        assert_eq!(passed, (peer_a(), datagram));
        bench.answer(A, peer.terms(DtlsRole::Active));
        bench.answer(B, terms(peer_b()));
        let sent = bench.run_ms(100);
        assert!(
            sent.iter()
                .all(|(_, packet)| !(20..64).contains(&packet[0])),
            "no handshake"
        );
        assert_talks(&mut bench, &peer, 100);
        assert!(failures(&bench).is_empty());
    }
}

#[test]
fn a_preview_that_fails_is_tried_again_when_it_is_committed() {
    let (mut bench, mut peer) = half_secure(true);
    bench.answer_as(A, peer.terms(DtlsRole::Active), ForkId(1), Stage::Preview);
    bench.run_ms(15_000);
    assert!(failures(&bench).is_empty(), "it may still lose");
    peer.begin(DtlsRole::Active, bench.now);
    bench.answer_as(A, peer.terms(DtlsRole::Active), ForkId(1), Stage::Final);
    peer.run(&mut bench, 100);
    assert_talks(&mut bench, &peer, 1);
}

#[test]
fn a_released_call_ends_its_handshake() {
    let (mut bench, peer) = half_secure(true);
    bench.answer(A, peer.terms(DtlsRole::Active));
    bench.run_ms(100);
    bench.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    bench.run_ms(10);
    assert!(bench.run_ms(15_000).is_empty());
    assert!(failures(&bench).is_empty());
}

#[test]
fn digits_that_are_dialled_before_the_handshake_wait_for_it_and_not_for_ever() {
    let dial = |bench: &mut Bench| {
        bench.command(Command::Dial {
            session: SESSION,
            endpoint: A,
            dialled: Dialled {
                digit: Digit::from_char('5').unwrap(),
                duration_ms: 100,
                signal: Signal::Tone,
            },
        });
    };
    let heard = |arrived: &[(SocketAddr, Vec<u8>)]| {
        let is_media =
            |packet: &[u8]| (128..192).contains(&packet[0]) && !(192..224).contains(&packet[1]);
        let to_a = arrived.iter().filter(|(to, _)| *to == peer_a());
        to_a.filter(|(_, packet)| is_media(packet)).count()
    };
    for (waits_ms, is_heard) in [(2_000, true), (11_000, false)] {
        let (mut bench, mut peer) = half_secure(true);
        bench.answer(A, peer.terms(DtlsRole::Passive));
        dial(&mut bench);
        assert_eq!(heard(&bench.run_ms(waits_ms)), 0);
        peer.begin(DtlsRole::Passive, bench.now);
        let arrived = peer.run(&mut bench, 400);
        assert!(peer.channels[0].keys.is_some());
        assert_eq!(heard(&arrived) >= 5, is_heard, "{waits_ms}: {arrived:?}");
    }
}

#[test]
fn keys_of_handshakes_before_are_not_kept() {
    for is_mux in [true, false] {
        let (mut bench, mut peer) = half_secure(is_mux);
        for round in 0..6u64 {
            let mut agreed = peer.terms(DtlsRole::Passive);
            if let Protection::Dtls(terms) = &mut agreed.protection {
                terms.tls_id = format!("association-{round}-0123456789");
            }
            bench.answer(A, agreed);
            peer.begin(DtlsRole::Passive, bench.now);
            peer.run(&mut bench, 200);
            assert_talks(&mut bench, &peer, 1_000 * (round + 1));
        }
        // The present ones, and those before them.
        let kept = format!("{:?}", bench.session)
            .matches("SendContext(")
            .count();
        assert!(kept <= if is_mux { 2 } else { 4 }, "{kept}");
    }
}
