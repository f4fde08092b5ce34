//! Calls set up and ended per second through the relay, in this process and over its socket: `cargo bench --bench
//! socket`.
//!
//! A call is what a shard asks for: ports and keys for two legs, what each has agreed, the bridge, and the end; and it
//! is over when the relay has told the ports and the last figures. So many calls are under way at a time as a busy node
//! has between an INVITE and the ports of its media.

use media_api::*;
use media_relay::{
    Backend, EXPEDITED_FORWARDING, Entropy, Host, HostOptions, LocalAddress, Realm, Recordings,
    Relay, RelayConfig, Remote,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

const CALLS: u64 = 40_000;
const UNDER_WAY: u64 = 256;
const SUITE: Suite = Suite::AesCm128HmacSha1_80;
const LEGS: [EndpointId; 2] = [EndpointId(0), EndpointId(1)];
const REST: Duration = Duration::from_millis(100);

fn realm() -> Realm {
    Realm {
        id: RealmId(0),
        v4: Some(LocalAddress::direct(IpAddr::V4(Ipv4Addr::new(
            127, 9, 9, 1,
        )))),
        v6: None,
        first_port: 10_000,
        last_port: 59_999,
        dscp: EXPEDITED_FORWARDING,
        backend: Backend::Sockets,
    }
}

fn begin(number: u64) -> Command {
    let spec = |endpoint| EndpointSpec {
        endpoint,
        realm: RealmId(0),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection: match endpoint {
                EndpointId(0) => ProtectionWanted::Sdes(vec![SUITE]),
                _ => ProtectionWanted::None,
            },
            ice: None,
        }],
        takes_last: true,
    };
    Command::Allocate {
        session: SessionId::new(0, number),
        endpoints: LEGS.map(spec).to_vec(),
    }
}

fn go_on(session: SessionId, local: &[LocalEndpoint], command: &dyn Fn(Command)) {
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    for own in local {
        let key = own.streams.first().and_then(|stream| stream.keys.first());
        let protection = key.map_or(Protection::None, |key| Protection::Sdes {
            local: key.clone(),
            remote: key.clone(),
        });
        let format = Format {
            name: "PCMA".into(),
            clock_hz: 8_000,
            kind: FormatKind::Audio,
        };
        let stream = NegotiatedStream {
            content: Content::Rtp,
            remote_rtp: peer,
            remote_rtcp: SocketAddr::new(peer.ip(), 0),
            rtcp_mux: false,
            direction: Direction::SendReceive,
            protection,
            payloads: vec![PayloadBinding {
                receive: 8,
                send: 8,
                id: FormatId(0),
                format,
            }],
            source: SourcePolicy::Signalled,
            ice: None,
            ptime_ms: 20,
            reports: None,
            voip_metrics: false,
        };
        command(Command::Answer {
            session,
            endpoint: own.endpoint,
            fork: ForkId(0),
            negotiated: Negotiated {
                streams: vec![Some(stream)],
            },
            stage: Stage::Final,
        });
    }
    command(Command::Update {
        session,
        plan: BridgePlan {
            joined: Some((LEGS[0], LEGS[1])),
            silence_ms: 0,
        },
    });
    command(Command::Release {
        session,
        endpoint: None,
        drain_ms: 0,
    });
}

/// Plays all calls; returns calls per second and how many were refused.
fn play(command: &dyn Fn(Command), events: &Receiver<Event>) -> (f64, u64) {
    let started = Instant::now();
    let (mut begun, mut over, mut refused) = (0, 0, 0);
    while over < CALLS {
        while begun < CALLS && begun - over < UNDER_WAY {
            command(begin(begun));
            begun += 1;
        }
        match events.recv().expect("the relay runs") {
            Event::Allocated { session, endpoints } => go_on(session, &endpoints, command),
            Event::Released { .. } => over += 1,
            Event::Refused { why, .. } => {
                if refused == 0 {
                    eprintln!("refused: {why:?}");
                }
                refused += 1;
                over += 1;
            }
            _ => {}
        }
    }
    (CALLS as f64 / started.elapsed().as_secs_f64(), refused)
}

fn told(name: &str, (rate, refused): (f64, u64)) {
    println!("{name:<20} {rate:>9.0} calls/s, {refused} refused");
}

/// Commands and events by themselves: with a relay at the other end that reserves nothing.
fn carried(path: &std::path::Path) {
    let (sink, events) = mpsc::channel();
    let sink = Box::new(move |event| drop(sink.send(event)));
    let realms = vec![realm()];
    let patience = Duration::from_secs(5);
    let remote = Remote::start(path.to_owned(), realms, patience, sink, |_| ());
    let remote = remote.expect("a relay");
    remote.set_recordings(Recordings::default());
    told(
        "over the socket",
        play(&|command| remote.command(command), &events),
    );
    let (asked, started) = (200_000, Instant::now());
    let (mut begun, mut over) = (0, 0);
    while over < asked {
        while begun < asked && begun - over < UNDER_WAY {
            let session = SessionId::new(1, begun);
            remote.command(Command::Stats { session });
            begun += 1;
        }
        let _ = events.recv().expect("an answer");
        over += 1;
    }
    let rate = asked as f64 / started.elapsed().as_secs_f64();
    println!(
        "{:<20} {rate:>9.0} questions/s answered",
        "the socket alone"
    );
}

fn main() {
    // `cargo test` also starts benches; they run only when asked.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let workers = 1;
    let entropy = || Entropy::from_system().expect("random numbers");
    {
        let (sink, events) = mpsc::channel();
        let config = RelayConfig {
            realms: vec![realm()],
            workers,
            is_pinned: false,
            quarantine: REST,
            entropy: entropy(),
        };
        let sink = Box::new(move |event| drop(sink.send(event)));
        let relay = Relay::start(config, sink).expect("loopback");
        told(
            "in this process",
            play(&|command| relay.command(command), &events),
        );
    }
    let path = std::env::temp_dir().join(format!("causeway-bench-{}.sock", std::process::id()));
    let options = HostOptions {
        workers,
        is_pinned: false,
        quarantine: REST,
        patience: HostOptions::PATIENCE,
    };
    let host = Host::open(&path, options).expect("a socket");
    let handle = host.handle();
    let serving = std::thread::spawn(move || host.serve(|_| ()));
    carried(&path);
    handle.end();
    let _ = serving.join();
}
