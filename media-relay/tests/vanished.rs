//! Sessions of a daemon that has vanished: who goes on with them, what is heard of them, and how they end.

use crate::common::{A, B, realm, terms};
use crate::remote::{PATIENCE, Running, SESSION, host, path, patient_host};
use media_api::*;
use media_relay::{Kept, Realm, Remote};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const OTHER: SessionId = SessionId::new(3, 8);

/// A daemon that goes on with what another one has left.
struct Heir {
    remote: Remote,
    events: Receiver<Event>,
}

fn heir(path: &Path, realms: Vec<Realm>) -> Heir {
    let (sink, events) = mpsc::channel();
    let sink = Box::new(move |event| drop(sink.send(event)));
    let remote = Remote::resume(path.to_owned(), realms, PATIENCE, sink, |_| ()).unwrap();
    Heir { remote, events }
}

impl Heir {
    fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// Begins as one that finds nothing.
    fn first(path: &Path, realm: &Realm) -> Self {
        let first = heir(path, vec![realm.clone()]);
        assert!(first.remote.take_up().is_empty());
        first.remote.taken_up();
        first
    }

    /// A session between two peers, each at its socket.
    fn joined(&self, session: SessionId, peers: &[UdpSocket; 2]) -> [SocketAddr; 2] {
        let spec = |endpoint| EndpointSpec {
            endpoint,
            realm: RealmId(0),
            family: Family::V4,
            streams: vec![StreamSpec {
                kind: StreamKind::Audio,
                protection: ProtectionWanted::None,
                ice: None,
            }],
            takes_last: true,
        };
        self.remote.command(Command::Allocate {
            session,
            endpoints: vec![spec(A), spec(B)],
        });
        let Event::Allocated { endpoints, .. } = self.next() else {
            panic!("no ports")
        };
        for (endpoint, peer) in [A, B].into_iter().zip(peers) {
            self.remote.command(Command::Answer {
                session,
                endpoint,
                fork: ForkId(0),
                negotiated: Negotiated {
                    streams: vec![Some(terms(peer.local_addr().unwrap()))],
                },
                stage: Stage::Final,
            });
        }
        self.remote.command(Command::Update {
            session,
            plan: BridgePlan {
                joined: Some((A, B)),
                silence_ms: 0,
            },
        });
        // All of it is done when this is answered.
        self.remote.command(Command::Stats { session });
        assert!(matches!(self.next(), Event::Stats { .. }));
        [0, 1].map(|at| endpoints[at].streams[0].rtp)
    }

    /// The process is killed: what it had said before is still heard.
    fn vanish(self, running: &Running, words: &str) {
        self.remote.leave_behind();
        self.remote.shutdown();
        running.says(words);
    }
}

fn peers() -> [UdpSocket; 2] {
    [0, 1].map(|_| {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer
    })
}

/// One packet goes from the first peer to the second.
fn speaks(peers: &[UdpSocket; 2], to: SocketAddr, number: u16) {
    let packet = crate::common::rtp(8, number, 160 * u32::from(number), 7, &[0xd5; 160]);
    peers[0].send_to(&packet, to).unwrap();
    let mut heard = [0; 400];
    let length = peers[1].recv(&mut heard).unwrap();
    assert_eq!(crate::common::read(&heard[..length]).payload, [0xd5; 160]);
}

#[test]
fn media_go_on_without_a_daemon_and_the_next_one_gets_the_sessions_by_name() {
    let path = path();
    let running = host(&path);
    let own = realm(40);
    let first = Heir::first(&path, &own);
    let (parties, strangers) = (peers(), peers());
    let [port, _] = first.joined(SESSION, &parties);
    let [lost, _] = first.joined(OTHER, &strangers);
    speaks(&parties, port, 1);
    first.remote.keep(SESSION, b"what was");
    first.remote.keep(SESSION, b"what is");
    first.remote.keep(OTHER, b"what was");
    // That call is being ended.
    first.remote.keep(OTHER, b"");
    first.vanish(&running, "1 sessions wait");
    speaks(&parties, port, 2);
    // Nobody could go on with the other: its ports are free.
    crate::remote::wait_until(|| UdpSocket::bind(lost).is_ok());

    let second = heir(&path, vec![own.clone()]);
    let kept = second.remote.take_up();
    let told = |own: &Kept| (own.session, own.octets.clone(), own.is_live);
    let all: Vec<_> = kept.iter().map(told).collect();
    assert_eq!(all, [(SESSION, b"what is".to_vec(), true)]);
    second.remote.taken_up();
    speaks(&parties, port, 3);
    second.remote.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let stats = loop {
        if let Event::Released { stats, .. } = second.next() {
            break stats;
        }
    };
    // One session from its beginning to its end.
    assert_eq!(stats.endpoints[0].streams[0].received_packets, 3);
    // An end in order leaves nothing behind, whatever is kept.
    second.joined(OTHER, &strangers);
    second.remote.keep(OTHER, b"what is");
    second.remote.shutdown();
    running.says("gone; its sessions have ended");
    running.end();
}

#[test]
fn what_happens_meanwhile_is_heard_as_soon_as_the_calls_are_taken_up() {
    let path = path();
    let running = host(&path);
    let own = realm(40);
    let first = Heir::first(&path, &own);
    let parties = peers();
    let [port, _] = first.joined(SESSION, &parties);
    first.remote.keep(SESSION, b"kept");
    first.vanish(&running, "1 sessions wait");
    // Its first packet, which is told once.
    speaks(&parties, port, 1);
    let second = heir(&path, vec![own.clone()]);
    assert_eq!(second.remote.take_up().len(), 1);
    // Nobody knows the call yet.
    second.remote.command(Command::Stats { session: SESSION });
    assert!(
        second
            .events
            .recv_timeout(Duration::from_millis(200))
            .is_err()
    );
    second.remote.taken_up();
    let told = [second.next(), second.next()];
    let is_first =
        |event: &Event| matches!(event, Event::FirstMedia { .. } | Event::SourcePinned { .. });
    assert!(told.iter().any(is_first), "{told:?}");
    drop(second);
    running.end();
}

#[test]
fn who_does_not_come_in_time_or_cannot_go_on_finds_nothing() {
    let path = path();
    let running = patient_host(&path, Duration::from_millis(50));
    let own = realm(40);
    let first = Heir::first(&path, &own);
    let [port, _] = first.joined(SESSION, &peers());
    first.remote.keep(SESSION, b"kept");
    first.vanish(&running, "1 sessions wait");
    running.says("nobody has come");
    UdpSocket::bind(port).expect("its ports are free");
    running.end();

    // Other realms, or somebody who begins anew.
    let running = host(&path);
    for adopts in [true, false] {
        let first = Heir::first(&path, &own);
        let [port, _] = first.joined(SESSION, &peers());
        first.remote.keep(SESSION, b"kept");
        first.vanish(&running, "1 sessions wait");
        if adopts {
            let second = heir(&path, vec![realm(44)]);
            assert!(second.remote.take_up().is_empty());
            drop(second);
        } else {
            drop(crate::remote::daemon(&path, vec![realm(40)]));
        }
        running.says("its sessions have ended");
        UdpSocket::bind(port).expect("its ports are free");
    }
    running.end();
}

#[test]
fn what_is_to_be_kept_cuts_nothing_however_much_it_is() {
    let path = path();
    let running = host(&path);
    let own = realm(40);
    let first = Heir::first(&path, &own);
    let (parties, strangers) = (peers(), peers());
    let [port, _] = first.joined(SESSION, &parties);
    first.joined(OTHER, &strangers);
    first.remote.keep(SESSION, b"what was");
    // No frame could be so long; what was is not true any more.
    first.remote.keep(SESSION, &vec![1; 2 << 20]);
    // More than other things have room for.
    for _ in 0..100 {
        first.remote.keep(OTHER, &vec![2; 250_000]);
    }
    first.remote.keep(OTHER, b"what is");
    first.remote.command(Command::Stats { session: SESSION });
    while !matches!(first.next(), Event::Stats { .. }) {}
    speaks(&parties, port, 1);
    first.vanish(&running, "1 sessions wait");
    let second = heir(&path, vec![own]);
    let kept = second.remote.take_up();
    let all: Vec<_> = kept.iter().map(|own| own.session).collect();
    assert_eq!(all, [OTHER]);
    assert_eq!(kept[0].octets, b"what is");
    drop(second);
    running.end();
}
