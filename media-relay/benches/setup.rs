//! Media sessions set up and ended per second over the command interface: `cargo bench --bench setup`.
//!
//! A call as signalling makes one: two endpoints are allocated, both are answered, they are joined, and the call
//! ends. So many calls are under way at once. Ports rest for a moment only, so that a short range is enough; what
//! is not in the figure is media. CPU is that of the whole process, who gives the commands included.

use media_api::*;
use media_relay::{
    Backend, EXPEDITED_FORWARDING, Entropy, LocalAddress, Realm, Relay, RelayConfig,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const CALLS: u64 = 20_000;
const UNDER_WAY: u64 = 64;
const RUNS: usize = 5;
const REST: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);
const ENDPOINTS: [EndpointId; 2] = [EndpointId(0), EndpointId(1)];
const SUITE: Suite = Suite::AesCm128HmacSha1_80;

/// CPU time of the process so far, in nanoseconds.
fn cpu_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let times = tasks.filter_map(|task| {
        let times = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<u64>().ok()
    });
    times.sum()
}

fn allocate(session: SessionId, is_secure: bool) -> Command {
    let endpoints = ENDPOINTS.map(|endpoint| EndpointSpec {
        takes_last: true,
        endpoint,
        realm: RealmId(0),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection: match is_secure && endpoint == ENDPOINTS[0] {
                true => ProtectionWanted::Sdes(vec![SUITE]),
                false => ProtectionWanted::None,
            },
            ice: None,
        }],
    });
    Command::Allocate {
        session,
        endpoints: endpoints.to_vec(),
    }
}

fn answer(session: SessionId, endpoint: EndpointId, local: &LocalStream) -> Command {
    let remote = SocketAddr::from(([192, 0, 2, endpoint.0 + 1], 4000));
    let theirs = CryptoKey::new(SUITE, vec![7; 30]).expect("the suite's length");
    let ours = local.keys.first();
    let stream = NegotiatedStream {
        content: Content::Rtp,
        remote_rtp: remote,
        remote_rtcp: remote,
        rtcp_mux: true,
        direction: Direction::SendReceive,
        protection: ours.map_or(Protection::None, |ours| Protection::Sdes {
            local: ours.clone(),
            remote: theirs,
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
    };
    Command::Answer {
        session,
        endpoint,
        fork: ForkId(0),
        negotiated: Negotiated {
            streams: vec![Some(stream)],
        },
        stage: Stage::Final,
    }
}

/// Makes and ends so many calls.
fn run(relay: &Relay, events: &mpsc::Receiver<Event>, next: &mut u64, is_secure: bool) {
    let (first, end) = (*next, *next + CALLS);
    let begin = |next: &mut u64| {
        if *next < end {
            relay.command(allocate(SessionId::new(0, *next), is_secure));
            *next += 1;
        }
    };
    (0..UNDER_WAY).for_each(|_| begin(next));
    let mut over = first;
    while over < end {
        match events.recv_timeout(PATIENCE).expect("an answer") {
            Event::Allocated { session, endpoints } => {
                for local in &endpoints {
                    relay.command(answer(session, local.endpoint, &local.streams[0]));
                }
                relay.command(Command::Update {
                    session,
                    plan: BridgePlan {
                        joined: Some((ENDPOINTS[0], ENDPOINTS[1])),
                        silence_ms: 0,
                    },
                });
                relay.command(Command::Release {
                    session,
                    endpoint: None,
                    drain_ms: 0,
                });
            }
            Event::Released { .. } => {
                over += 1;
                begin(next);
            }
            Event::Refused { why, .. } => panic!("{why:?}"),
            _ => {}
        }
    }
}

fn main() {
    // `cargo test` also starts benches; they run only when asked.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!(
        "calls set up and ended, {CALLS} a run, {UNDER_WAY} under way, best of {RUNS} runs (goal >= 20000/s)"
    );
    for (name, is_secure) in [("RTP  <-> RTP", false), ("SRTP <-> RTP", true)] {
        // An address of our own, so that nobody else's ports are in the way.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high | 1, low, 1);
        let realm = Realm {
            id: RealmId(0),
            v4: Some(LocalAddress::direct(IpAddr::V4(address))),
            v6: None,
            first_port: 10_000,
            last_port: 59_999,
            dscp: EXPEDITED_FORWARDING,
            backend: Backend::Sockets,
        };
        let (events, received) = mpsc::channel();
        let config = RelayConfig {
            realms: vec![realm],
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            is_pinned: false,
            quarantine: REST,
            entropy: Entropy::from_system().expect("random numbers"),
        };
        let relay = Relay::start(config, Box::new(move |event| drop(events.send(event))))
            .expect("loopback");
        let mut next = 0;
        let runs = (0..RUNS).map(|_| {
            let (before, start) = (cpu_ns(), Instant::now());
            run(&relay, &received, &mut next, is_secure);
            let cpu_us = (cpu_ns() - before) as f64 / 1000.0 / CALLS as f64;
            (CALLS as f64 / start.elapsed().as_secs_f64(), cpu_us)
        });
        let best = runs.reduce(|one, other| (one.0.max(other.0), one.1.min(other.1)));
        let (rate, cpu_us) = best.expect("a run");
        println!("{name:<14} {rate:>8.0} per second, {cpu_us:.1} us of CPU each");
        relay.shutdown();
    }
}
