//! Calls set up and ended per second over the ng protocol: `cargo bench -p media-ng --bench setup`.
//!
//! A proxy asks over a UDP socket, in bencode as the modules of Kamailio and OpenSIPS do: offer, answer, delete, with so
//! many calls under way at once. Behind the socket are the protocol and a relay that opens the ports of each call. Ports
//! rest for a moment only, so that a short range is enough; what is not in the figure is media. The proxy's own work is.

use media_api::{Event, RealmId};
use media_ng::{Input, Now, Origin, Output, Server, Settings, Side};
use media_relay::{
    Backend, EXPEDITED_FORWARDING, Entropy, LocalAddress, Realm, Relay, RelayConfig,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime};

const CALLS: u64 = 10_000;
const UNDER_WAY: u64 = 64;
const RUNS: usize = 5;
const REST: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);
const PLAIN: &str = "RTP/AVP";
const SECURE: &str = "RTP/SAVP";

/// What reaches the server.
enum Arrival {
    Datagram(SocketAddr, Vec<u8>),
    Event(Event),
    End,
}

/// A text in bencode.
fn text(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn sdp(host: u8, transport: &str) -> String {
    let key = match transport == SECURE {
        true => {
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\r\n"
        }
        false => "",
    };
    format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.{host}\r\ns=-\r\nc=IN IP4 192.0.2.{host}\r\nt=0 0\r\n\
         m=audio 4000 {transport} 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n{key}"
    )
}

/// The request of a call's step, whose cookie says which it is.
fn request(call: u64, step: u64, transport: &str) -> Vec<u8> {
    let id = text(&format!("{call}@bench.example.net"));
    let (from, to) = (text("caller"), text("called"));
    let body = match step {
        0 => {
            let sdp = text(&sdp(1, PLAIN));
            let transport = text(transport);
            format!(
                "3:sdp{sdp}7:replacel6:origine18:transport-protocol{transport}7:call-id{id}\
                 8:from-tag{from}7:command5:offer"
            )
        }
        1 => {
            let sdp = text(&sdp(2, transport));
            format!("3:sdp{sdp}7:call-id{id}8:from-tag{from}6:to-tag{to}7:command6:answer")
        }
        _ => format!("7:call-id{id}8:from-tag{from}7:command6:delete"),
    };
    format!("{call}_{step} d{body}e").into_bytes()
}

/// Serves until it is told to end.
fn serve(relay: &Relay, control: &UdpSocket, address: IpAddr, arrivals: &Receiver<Arrival>) {
    let start = Instant::now();
    let now = || Now {
        monotonic_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        unix_ms: SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0)),
    };
    let settings = Settings {
        sides: vec![Side {
            name: "default".into(),
            realm: RealmId(0),
            v4: Some(address),
            v6: None,
        }],
        silence_ms: 60_000,
        unanswered_ms: 3_600_000,
        calls: 1_000,
        media_from: media_api::AddressRanges::default(),
        secret: [7; 16],
    };
    let mut server = Server::new(settings, now());
    let mut out = Vec::new();
    while let Ok(arrival) = arrivals.recv() {
        match &arrival {
            Arrival::Datagram(from, octets) => {
                let from = Origin::Datagram(*from);
                server.handle(Input::Message { from, octets }, now(), &mut out);
            }
            Arrival::Event(event) => server.handle(Input::Event(event.clone()), now(), &mut out),
            Arrival::End => return,
        }
        for output in out.drain(..) {
            match output {
                Output::Command(command) => relay.command(command),
                Output::Answer {
                    to: Origin::Datagram(to),
                    octets,
                } => drop(control.send_to(&octets, to)),
                Output::Note(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Makes and ends so many calls.
fn run(proxy: &UdpSocket, next: &mut u64, transport: &str) {
    let (first, end) = (*next, *next + CALLS);
    let ask = |call, step| {
        let sent = proxy.send(&request(call, step, transport));
        sent.expect("loopback");
    };
    let begin = |next: &mut u64| {
        if *next < end {
            ask(*next, 0);
            *next += 1;
        }
    };
    (0..UNDER_WAY).for_each(|_| begin(next));
    let (mut over, mut buffer) = (first, vec![0; 65_536]);
    while over < end {
        let length = proxy.recv(&mut buffer).expect("an answer");
        let answer = String::from_utf8_lossy(&buffer[..length]);
        let mut words = answer.split(['_', ' ']);
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(call), Some(step)) = (number(), number()) else {
            panic!("no cookie of ours: {answer}")
        };
        assert!(answer.contains("6:result2:ok"), "{answer}");
        match step {
            0 | 1 => ask(call, step + 1),
            _ => {
                over += 1;
                begin(next);
            }
        }
    }
}

fn main() {
    // `cargo test` also starts benches; they run only when asked.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!(
        "calls set up and ended over ng, {CALLS} a run, {UNDER_WAY} under way, best of {RUNS} runs (goal >= 8000/s)"
    );
    // An address of our own, so that nobody else's ports are in the way.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = IpAddr::V4(Ipv4Addr::new(127, high | 1, low, 1));
    let realm = Realm {
        id: RealmId(0),
        v4: Some(LocalAddress::direct(address)),
        v6: None,
        first_port: 10_000,
        last_port: 59_999,
        dscp: EXPEDITED_FORWARDING,
        backend: Backend::Sockets,
    };
    let (arrive, arrivals) = mpsc::channel();
    let config = RelayConfig {
        realms: vec![realm],
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        is_pinned: false,
        quarantine: REST,
        entropy: Entropy::from_system().expect("random numbers"),
    };
    let events = arrive.clone();
    let sink = Box::new(move |event| drop(events.send(Arrival::Event(event))));
    let relay = Relay::start(config, sink).expect("loopback");
    let control = UdpSocket::bind((address, 0)).expect("loopback");
    let proxy = UdpSocket::bind((address, 0)).expect("loopback");
    proxy
        .connect(control.local_addr().expect("bound"))
        .and_then(|()| proxy.set_read_timeout(Some(PATIENCE)))
        .expect("loopback");
    let reader = control.try_clone().expect("a descriptor");
    let datagrams = arrive.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = reader.recv_from(&mut buffer) {
            let datagram = Arrival::Datagram(from, buffer[..length].to_vec());
            if datagrams.send(datagram).is_err() {
                return;
            }
        }
    });
    std::thread::scope(|scope| {
        let (relay, control) = (&relay, &control);
        let serving = scope.spawn(move || serve(relay, control, address, &arrivals));
        let mut next = 0;
        for (name, transport) in [("RTP  <-> RTP", PLAIN), ("SRTP <-> RTP", SECURE)] {
            let rates = (0..RUNS).map(|_| {
                let start = Instant::now();
                run(&proxy, &mut next, transport);
                CALLS as f64 / start.elapsed().as_secs_f64()
            });
            let rate = rates.fold(0.0, f64::max);
            println!("{name:<14} {rate:>8.0} per second");
        }
        drop(arrive.send(Arrival::End));
        serving.join().expect("the server ends");
    });
    relay.shutdown();
}
