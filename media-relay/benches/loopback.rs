//! CPU time of the worker thread per packet through real sockets: `cargo bench --bench loopback`.
//!
//! Calls of 50 packets per second and direction over loopback, in step as a busy relay sees them: on
//! most sockets one packet waits at a time. What the kernel does for the worker is in the figure,
//! what it does for the peers is not.

use media_api::*;
use media_relay::srtp::Sender;
use media_relay::{
    Backend, EXPEDITED_FORWARDING, Entropy, LocalAddress, Realm, Relay, RelayConfig,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const CALLS: usize = 100;
const ROUNDS: usize = 100;
const RUNS: usize = 5;
const SUITE: Suite = Suite::AesCm128HmacSha1_80;
const ENDPOINTS: [EndpointId; 2] = [EndpointId(0), EndpointId(1)];
const PATIENCE: Duration = Duration::from_secs(10);

struct Party {
    socket: UdpSocket,
    to: SocketAddr,
    sender: Option<Sender>,
}

/// CPU time of the relay's only worker so far, in nanoseconds.
fn worker_cpu_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let worker = tasks
        .filter_map(|task| Some(task.ok()?.path()))
        .find(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "media-0")
        });
    let times = std::fs::read_to_string(worker.expect("it runs").join("schedstat"));
    let times = times.expect("a kernel with schedstat");
    let used = times.split_whitespace().next();
    used.and_then(|used| used.parse().ok()).expect("a number")
}

fn call(relay: &Relay, events: &mpsc::Receiver<Event>, number: u64, secure: bool) -> [Party; 2] {
    let session = SessionId::new(0, number);
    let wanted = |endpoint| match (secure, endpoint) {
        (true, EndpointId(0)) => ProtectionWanted::Sdes(vec![SUITE]),
        _ => ProtectionWanted::None,
    };
    let endpoints = ENDPOINTS.map(|endpoint| EndpointSpec {
        takes_last: true,
        endpoint,
        realm: RealmId(0),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection: wanted(endpoint),
            ice: None,
        }],
    });
    relay.command(Command::Allocate {
        session,
        endpoints: endpoints.to_vec(),
    });
    let Ok(Event::Allocated { endpoints, .. }) = events.recv_timeout(PATIENCE) else {
        panic!("no ports")
    };
    let parties = ENDPOINTS.map(|endpoint| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("a socket");
        let local = &endpoints[usize::from(endpoint.0)].streams[0];
        let theirs = CryptoKey::new(SUITE, vec![7; 30]).expect("the suite's length");
        let remote = socket.local_addr().expect("bound");
        let ours = local.keys.first();
        relay.command(Command::Answer {
            session,
            endpoint,
            fork: ForkId(0),
            negotiated: Negotiated {
                streams: vec![Some(NegotiatedStream {
                    content: Content::Rtp,
                    remote_rtp: remote,
                    remote_rtcp: remote,
                    rtcp_mux: true,
                    direction: Direction::SendReceive,
                    protection: ours.map_or(Protection::None, |ours| Protection::Sdes {
                        local: ours.clone(),
                        remote: theirs.clone(),
                    }),
                    payloads: vec![PayloadBinding {
                        receive: 8,
                        send: 8,
                        id: FormatId(0),
                        format: Format {
                            name: "PCMA".into(),
                            clock_hz: 8000,
                            kind: FormatKind::Audio,
                        },
                    }],
                    source: SourcePolicy::Signalled,
                    ice: None,
                    ptime_ms: 20,
                    reports: None,
                    voip_metrics: false,
                })],
            },
            stage: Stage::Final,
        });
        Party {
            socket,
            to: local.rtp,
            sender: ours.map(|_| Sender::new(&theirs)),
        }
    });
    relay.command(Command::Update {
        session,
        plan: BridgePlan {
            joined: Some((ENDPOINTS[0], ENDPOINTS[1])),
            silence_ms: 0,
        },
    });
    parties
}

/// One packet of every party; returns how many came back since the last time.
fn round(calls: &[[Party; 2]], number: usize) -> usize {
    let mut heard = 0;
    let mut buffer = [0; 2000];
    for party in calls.iter().flatten() {
        let mut packet = [0xd5; 186];
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(number as u32 * 160).to_be_bytes());
        packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
        let length = party.sender.as_ref().map_or(172, |sender| {
            let protected = sender.protect_rtp(&mut packet, 172, number as u64);
            protected.expect("room")
        });
        party
            .socket
            .send_to(&packet[..length], party.to)
            .expect("loopback takes it");
        while party.socket.recv(&mut buffer).is_ok() {
            // Not the reports.
            heard += usize::from(buffer[1] & 0x7f == 8);
        }
    }
    heard
}

fn main() {
    // `cargo test` also starts benches; they run only when asked.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("worker's CPU per packet, {CALLS} calls, median of {RUNS} runs of {ROUNDS} rounds");
    for (name, secure) in [("RTP  <-> RTP", false), ("SRTP <-> RTP", true)] {
        // An address of our own, so that nobody else's ports are in the way.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high | 1, low, 1);
        let realm = Realm {
            id: RealmId(0),
            v4: Some(LocalAddress::direct(IpAddr::V4(address))),
            v6: None,
            first_port: 20_000,
            last_port: 29_999,
            dscp: EXPEDITED_FORWARDING,
            backend: Backend::Sockets,
        };
        let (events, received) = mpsc::channel();
        let config = RelayConfig {
            realms: vec![realm],
            workers: 1,
            is_pinned: false,
            quarantine: Duration::ZERO,
            entropy: Entropy::from_system().expect("random numbers"),
        };
        let relay = Relay::start(config, Box::new(move |event| drop(events.send(event))))
            .expect("loopback");
        let calls: Vec<_> = (0..CALLS as u64)
            .map(|number| call(&relay, &received, number, secure))
            .collect();
        let mut number = 0;
        let mut runs = Vec::new();
        let (mut sent, mut heard) = (0, 0);
        for _ in 0..=RUNS {
            let before = worker_cpu_ns();
            for _ in 0..ROUNDS {
                let start = Instant::now();
                heard += round(&calls, number);
                sent += 2 * CALLS;
                number += 1;
                std::thread::sleep(Duration::from_millis(20).saturating_sub(start.elapsed()));
            }
            let used = worker_cpu_ns() - before;
            runs.push(used as f64 / (2 * CALLS * ROUNDS) as f64);
        }
        // The first run finds nothing in any cache.
        runs.remove(0);
        runs.sort_by(f64::total_cmp);
        println!(
            "{name:<14} {:>7.0} ns  (best {:.0}, worst {:.0}; {} of {} packets came through)",
            runs[RUNS / 2],
            runs[0],
            runs[RUNS - 1],
            heard,
            sent
        );
        relay.shutdown();
    }
}
