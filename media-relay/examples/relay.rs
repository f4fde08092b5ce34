//! The relay alone in a process, for figures: `conformance/figures/packets.py` and `media.py` run it.
//!
//! Arguments: local address, first port, last port, and `xdp` if packets are to go past the kernel; without
//! that, and where it is not possible, by sockets. Standard error tells which runs. Each line on standard input is one session, the
//! RTP addresses of its two peers and the key of the first in hexadecimal digits or `-` for plain
//! RTP. Each is answered by a line: our RTP address towards the first peer, the one towards the
//! second, and our key towards the first or `-`. The line `forwarded` is answered by the packets that the interface
//! has forwarded by itself, and why it forwards none. Ends with its input.

use media_api::{
    BridgePlan, Command, Content, CryptoKey, Direction, EndpointId, EndpointSpec, Event, Family,
    ForkId, Format, FormatId, FormatKind, LocalStream, Negotiated, NegotiatedStream,
    PayloadBinding, Protection, ProtectionWanted, RealmId, SessionId, SourcePolicy, Stage,
    StreamKind, StreamSpec, Suite,
};
use media_relay::{Backend, Entropy, LocalAddress, Realm, Relay, RelayConfig};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, first, last, backend) = match &arguments[..] {
        [address, first, last] => (address, first, last, Backend::Sockets),
        [address, first, last, backend] if backend == "xdp" => (address, first, last, Backend::Xdp),
        _ => return Err("usage: relay ADDRESS FIRST-PORT LAST-PORT [xdp]".into()),
    };
    let realm = Realm {
        id: RealmId(0),
        v4: Some(LocalAddress::direct(address.parse()?)),
        v6: None,
        first_port: first.parse()?,
        last_port: last.parse()?,
        dscp: 0,
        backend,
    };
    let config = RelayConfig {
        realms: vec![realm],
        workers: std::thread::available_parallelism()?.get(),
        is_pinned: false,
        quarantine: RelayConfig::QUARANTINE,
        entropy: Entropy::from_system().map_err(|_| "no random numbers")?,
    };
    let (events, received) = channel();
    let sink = Box::new(move |event| drop(events.send(event)));
    let relay = Relay::start(config, sink)?;
    for address in relay.backend().addresses {
        eprintln!("{address:?}");
    }
    for (number, line) in (1..).zip(std::io::stdin().lines()) {
        let line = line?;
        if line == "forwarded" {
            let backend = relay.backend();
            let forwarded: u64 = backend.addresses.iter().map(|own| own.forwarded).sum();
            let mut reasons = backend.addresses.iter();
            let why = reasons.find_map(|own| own.not_by_itself.as_deref());
            println!("{forwarded} {}", why.unwrap_or("-"));
            continue;
        }
        println!("{}", open(&relay, &received, SessionId(number), &line)?);
    }
    Ok(())
}

/// Makes one session and joins its two endpoints.
fn open(
    relay: &Relay,
    events: &Receiver<Event>,
    session: SessionId,
    line: &str,
) -> Result<String, Box<dyn Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [first, second, key] = words[..] else {
        return Err(format!("not a session: {line}").into());
    };
    let key = match key {
        "-" => None,
        digits => Some(CryptoKey::new(SUITE, octets(digits)?).ok_or("30 octets are a key")?),
    };
    let wanted = match key {
        Some(_) => ProtectionWanted::Sdes(vec![SUITE]),
        None => ProtectionWanted::None,
    };
    let endpoints = vec![spec(0, wanted), spec(1, ProtectionWanted::None)];
    relay.command(Command::Allocate { session, endpoints });
    let local = loop {
        match events.recv()? {
            Event::Allocated { endpoints, .. } => break endpoints,
            Event::Refused { why, .. } => return Err(format!("{why:?}").into()),
            _ => {}
        }
    };
    let [one, other] = [&local[0].streams[0], &local[1].streams[0]];
    answer(relay, session, 0, first.parse()?, one, key);
    answer(relay, session, 1, second.parse()?, other, None);
    relay.command(Command::Update {
        session,
        plan: BridgePlan {
            joined: Some((EndpointId(0), EndpointId(1))),
            silence_ms: 0,
        },
    });
    let ours = match one.keys.first() {
        Some(key) => digits(key.expose_key_and_salt()),
        None => "-".to_owned(),
    };
    Ok(format!("{} {} {ours}", one.rtp, other.rtp))
}

fn spec(endpoint: u8, protection: ProtectionWanted) -> EndpointSpec {
    EndpointSpec {
        takes_last: true,
        endpoint: EndpointId(endpoint),
        realm: RealmId(0),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection,
            ice: None,
        }],
    }
}

fn answer(
    relay: &Relay,
    session: SessionId,
    endpoint: u8,
    remote_rtp: SocketAddr,
    local: &LocalStream,
    remote: Option<CryptoKey>,
) {
    let protection = match (local.keys.first(), remote) {
        (Some(local), Some(remote)) => Protection::Sdes {
            local: local.clone(),
            remote,
        },
        _ => Protection::None,
    };
    let terms = NegotiatedStream {
        content: Content::Rtp,
        remote_rtp,
        remote_rtcp: SocketAddr::new(remote_rtp.ip(), remote_rtp.port() + 1),
        rtcp_mux: false,
        direction: Direction::SendReceive,
        protection,
        payloads: vec![PayloadBinding {
            receive: 8,
            send: 8,
            id: FormatId(1),
            format: Format {
                // Of a codec that is never packed anew: what comes is longer than what is agreed below.
                name: "G726-32".into(),
                clock_hz: 8000,
                kind: FormatKind::Audio,
            },
        }],
        source: SourcePolicy::Signalled,
        ice: None,
        // Figures try up to 190 packets a second and stream; twice the agreed rate is let through.
        ptime_ms: 10,
        reports: None,
        voip_metrics: false,
    };
    relay.command(Command::Answer {
        session,
        endpoint: EndpointId(endpoint),
        fork: ForkId(0),
        negotiated: Negotiated {
            streams: vec![Some(terms)],
        },
        stage: Stage::Final,
    });
}

fn octets(digits: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

fn digits(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
