//! Associations with each other over a network that loses, repeats and forges.

use media_api::{CryptoKey, DtlsRole, DtlsTerms, Fingerprint, HandshakeFault, HashFunction};
use media_relay::Timestamp;
use media_relay::dtls::{Association, Identity, Outcome};
use std::collections::VecDeque;
use std::time::Duration;

struct Pair {
    parties: [Association; 2],
    /// Datagrams on their way to each.
    wires: [VecDeque<Vec<u8>>; 2],
    outcomes: [Vec<Outcome>; 2],
    now: Timestamp,
    sent: usize,
}

fn terms(role: DtlsRole, fingerprint: Fingerprint) -> DtlsTerms {
    DtlsTerms {
        role,
        fingerprints: vec![fingerprint],
        tls_id: String::new(),
    }
}

impl Pair {
    fn new(changed: impl Fn(Fingerprint) -> Fingerprint) -> Self {
        let identities = [Identity::generate().unwrap(), Identity::generate().unwrap()];
        let party = |own: usize, role| {
            let peer = changed(identities[1 - own].fingerprint().clone());
            Association::new(&identities[own], terms(role, peer), Timestamp(0))
        };
        Self {
            parties: [party(0, DtlsRole::Active), party(1, DtlsRole::Passive)],
            wires: Default::default(),
            outcomes: Default::default(),
            now: Timestamp(0),
            sent: 0,
        }
    }

    /// Plays until nothing is due within the time; `takes` says what becomes of each datagram.
    fn play(&mut self, for_ms: u64, mut takes: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>) {
        let end = self.now + Duration::from_millis(for_ms);
        loop {
            let Some(at) = (0..2).find(|at| !self.wires[*at].is_empty()) else {
                let due = self.parties.iter().filter_map(Association::deadline).min();
                let Some(due) = due.filter(|due| *due <= end) else {
                    return;
                };
                self.now = self.now.max(due);
                for at in 0..2 {
                    if self.parties[at]
                        .deadline()
                        .is_some_and(|due| due <= self.now)
                    {
                        self.step(at, None);
                    }
                }
                continue;
            };
            let datagram = self.wires[at].pop_front().unwrap();
            self.sent += 1;
            for datagram in takes(self.sent, datagram) {
                self.step(at, Some(datagram));
            }
        }
    }

    fn step(&mut self, at: usize, datagram: Option<Vec<u8>>) {
        let wire = &mut self.wires[1 - at];
        let send = |datagram: &[u8]| {
            assert!(datagram.len() <= 1_200 && (20..64).contains(&datagram[0]));
            wire.push_back(datagram.to_vec());
        };
        let outcome = match datagram {
            Some(datagram) => self.parties[at].packet(&datagram, self.now, send),
            None => self.parties[at].tick(self.now, send),
        };
        self.outcomes[at].extend(outcome);
    }

    /// Each party's outcome, once: the keys of one are those of the other, turned.
    fn assert_keyed(&self) -> CryptoKey {
        let [a, b] = &self.outcomes;
        let (
            [
                Outcome::Keys {
                    local: to_b,
                    remote: from_b,
                },
            ],
            [
                Outcome::Keys {
                    local: to_a,
                    remote: from_a,
                },
            ],
        ) = (&a[..], &b[..])
        else {
            panic!("{a:?} {b:?}")
        };
        assert_eq!((to_b, from_b), (from_a, to_a));
        assert_ne!(to_b, to_a);
        to_b.clone()
    }
}

#[test]
fn both_get_the_keys_of_each_other_and_of_no_other_association() {
    let keys = [0, 1].map(|_| {
        let mut pair = Pair::new(|own| own);
        pair.play(1_000, |_, datagram| vec![datagram]);
        let key = pair.assert_keyed();
        assert_eq!(pair.now, Timestamp(0), "nothing had to be repeated");
        assert!(pair.parties.iter().all(|own| own.deadline().is_none()));
        key
    });
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn whatever_single_datagram_is_lost_or_doubled_the_keys_come() {
    for at in 1..=8 {
        for copies in [0, 2] {
            let mut pair = Pair::new(|own| own);
            pair.play(9_000, |number, datagram| {
                vec![datagram; if number == at { copies } else { 1 }]
            });
            pair.assert_keyed();
        }
    }
}

#[test]
fn what_a_stranger_adds_disturbs_nothing() {
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    for kind in 0..4 {
        let mut pair = Pair::new(|own| own);
        let mut noise = 7_u32;
        pair.play(9_000, |_, datagram| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = noise as usize % datagram.len();
            let added = match kind {
                0 => datagram[..at].to_vec(),
                1 => vec![22; 400],
                2 => alert.to_vec(),
                _ => {
                    let mut forged = datagram.clone();
                    forged[at] ^= 0x55;
                    return vec![datagram, forged];
                }
            };
            vec![added, datagram]
        });
        pair.assert_keyed();
    }
}

#[test]
fn a_peer_that_is_not_who_its_description_says_gives_no_keys() {
    let other = |_| Fingerprint::new(HashFunction::Sha256, vec![7; 32]).unwrap();
    let mut pair = Pair::new(other);
    pair.play(20_000, |_, datagram| vec![datagram]);
    let fails =
        |outcomes: &[Outcome]| outcomes.len() == 1 && !matches!(outcomes[0], Outcome::Keys { .. });
    assert!(
        pair.outcomes.iter().all(|own| fails(own)),
        "{:?}",
        pair.outcomes
    );
    let reason = Outcome::Failed(HandshakeFault::Fingerprint);
    assert!(pair.outcomes.iter().any(|own| own[0] == reason));
}

#[test]
fn a_peer_that_never_answers_is_given_up_within_ten_seconds() {
    let mut pair = Pair::new(|own| own);
    pair.play(20_000, |_, _| Vec::new());
    assert_eq!(pair.outcomes[0], [Outcome::Failed(HandshakeFault::Timeout)]);
    assert!(pair.outcomes[1].is_empty(), "nobody has begun with it");
    assert!(pair.now <= Timestamp(11_000_000), "{:?}", pair.now);
    assert!((4..=8).contains(&pair.sent), "{} times", pair.sent);
}

/// A record of this type and epoch with some octets.
fn record(kind: u8, epoch: u8, number: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0];
    record.extend_from_slice(&number.to_be_bytes());
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(body);
    record
}

#[test]
fn forged_records_take_no_keys_away() {
    let mut pair = Pair::new(|own| own);
    pair.play(9_000, |_, datagram| vec![datagram]);
    pair.assert_keyed();
    let hello = [&[1, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 28][..], &[5; 28]].concat();
    let later = [&[11, 0, 0, 28, 0, 200, 0, 0, 0, 0, 0, 28][..], &[5; 28]].concat();
    let bodies = [vec![], vec![1], vec![0; 40], hello, later];
    for kind in [20, 21, 22, 23, 24, 63] {
        for (epoch, body) in (0..3).flat_map(|epoch| bodies.iter().map(move |body| (epoch, body))) {
            // More than a queue holds.
            for number in 0..100 {
                for at in 0..2 {
                    pair.step(at, Some(record(kind, epoch, number, body)));
                }
            }
        }
    }
    pair.play(9_000, |_, datagram| vec![datagram]);
    pair.assert_keyed();
}

/// A message of a handshake: type, number in its order, length, offset and what is here of it.
fn message(kind: u8, sequence: u16, length: u16, offset: u16, body: &[u8]) -> Vec<u8> {
    let number = |number: u16| [&[0][..], &number.to_be_bytes()].concat();
    let here = number(u16::try_from(body.len()).unwrap());
    [
        &[kind][..],
        &number(length),
        &sequence.to_be_bytes(),
        &number(offset),
        &here,
        body,
    ]
    .concat()
}

/// Forged records of somebody who writes the peer's address: each kind more often than there is room for.
fn forged() -> Vec<Vec<Vec<u8>>> {
    let many = |record_of: &dyn Fn(u16) -> Vec<u8>| (0..60).map(record_of).collect::<Vec<_>>();
    let is_far =
        |kind: u8| many(&move |at| record(22, 0, at, &message(kind, 100 + at, 9, 0, b"x")));
    vec![
        // Without a body, and with one that is too short for a message.
        many(&|at| record(20, 0, at, &[])),
        many(&|at| record(22, 0, at, &[11; 11])),
        many(&|at| record(20, 0, at, &[1])),
        many(&|at| record(23, 0, at, b"data")),
        is_far(1),
        is_far(11),
        // As an honest peer might send them, in parts that never make a whole.
        many(&|at| record(22, 0, at, &message(11, 2, 9_000, 100 + at, b"x"))),
        many(&|at| record(22, 0, at, &message(16, 3, 9_000, 100 + at, b"x"))),
    ]
}

#[test]
fn forged_floods_do_not_take_the_room_of_the_peer() {
    for own in 0..2 {
        for flood in forged() {
            // Before the handshake, and with each of its datagrams.
            let mut pair = Pair::new(|own| own);
            pair.step(0, None);
            for datagram in &flood {
                pair.step(own, Some(datagram.clone()));
            }
            // Later than the second in which nobody is listened to any more.
            pair.now += Duration::from_millis(1_000);
            pair.play(9_000, |_, datagram| vec![datagram]);
            pair.assert_keyed();
        }
    }
    for flood in forged() {
        let mut pair = Pair::new(|own| own);
        pair.play(9_000, |number, datagram| {
            let mut all = flood[number % 40..][..4].to_vec();
            all.push(datagram);
            all
        });
        pair.assert_keyed();
    }
}
