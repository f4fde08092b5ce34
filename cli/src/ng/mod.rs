//! `causeway media`: the relay alone, told by a SIP proxy over the ng protocol what to do.

mod connection;
mod door;
mod notes;
mod sounds;

use crate::daemon::health::{Stuck, stuck_media};
use crate::daemon::net::bind_advice;
use crate::sink::log::Log;
use connection::{Connections, Heard};
use door::{Door, Question, Seen};
use media_api::{AddressRanges, Event, RealmId};
use media_ng::{Input, Now, Origin, Output, Server, Settings, Side};
use media_relay::{
    AddressReport, Backend, EXPEDITED_FORWARDING, Entropy, LocalAddress, Realm, Relay, RelayConfig,
    Runs, StartError,
};
use sounds::{Read, Sounds};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

/// Largest datagram that is read; the protocol's own bound is one octet less.
const DATAGRAM: usize = 64 * 1024 + 1;
/// Datagrams read in a row before others get their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
/// Turns of others after which somebody who asks how the relay is has one, however much there is to do.
const TURNS: usize = 64;
/// How often the server is told that time passes.
const TICK: Duration = Duration::from_secs(5);

/// A network side as the operator writes it: `[NAME/]ADDRESS[!ADVERTISED]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name in requests.
    pub name: String,
    /// Address that is bound.
    pub bind: IpAddr,
    /// Address that descriptions name.
    pub advertised: IpAddr,
}

impl Interface {
    /// Name of an interface without one.
    const DEFAULT: &'static str = "default";
}

impl std::str::FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, addresses) = text.split_once('/').unwrap_or((Self::DEFAULT, text));
        let (bind, advertised) = addresses.split_once('!').unwrap_or((addresses, addresses));
        let address = |text: &str| {
            let read = text.parse::<IpAddr>();
            read.map_err(|_| {
                format!("\"{text}\" is no IP address; write [NAME/]ADDRESS[!ADVERTISED]")
            })
        };
        let interface = Self {
            name: name.to_owned(),
            bind: address(bind)?,
            advertised: address(advertised)?,
        };
        if interface.bind.is_unspecified() {
            return Err("media ports are bound to one exact address, not to all".into());
        }
        if interface.bind.is_ipv4() != interface.advertised.is_ipv4() {
            return Err("an address and the one advertised for it are of one family".into());
        }
        Ok(interface)
    }
}

/// What `causeway media` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where proxies send their requests, over UDP and TCP.
    pub ng: SocketAddr,
    /// Network sides.
    pub interfaces: Vec<Interface>,
    /// UDP ports of media on each.
    pub ports: RangeInclusive<u16>,
    /// Media threads.
    pub workers: usize,
    /// Whether each of them stays on one core.
    pub is_pinned: bool,
    /// How packets are received and sent.
    pub backend: Backend,
    /// Whether nothing but the wanted backend will do.
    pub is_backend_needed: bool,
    /// See [`Settings::silence_ms`].
    pub silence: Duration,
    /// See [`Settings::media_from`].
    pub media_from: AddressRanges,
    /// Where figures are shown, if anywhere.
    pub metrics: Option<SocketAddr>,
}

/// Why the relay does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Interfaces that do not go together.
    #[error("{0}")]
    Interfaces(String),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Entropy,
    /// The relay does not start.
    #[error("{0}")]
    Relay(#[from] StartError),
    /// AF_XDP alone will do, and does not run.
    #[error("media of {0} would not go past the kernel: {1}")]
    Backend(IpAddr, String),
    /// The control address cannot be opened.
    #[error("cannot listen for requests on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The listener for figures cannot be opened.
    #[error("cannot show figures on {0}: {1}{advice}", advice = bind_advice(.1))]
    Metrics(SocketAddr, io::Error),
}

/// A relay under a server, with its sockets open.
pub struct Service {
    server: Server,
    relay: Arc<Relay>,
    events: mpsc::UnboundedReceiver<Event>,
    datagrams: UdpSocket,
    connections: Connections,
    heard: mpsc::Receiver<Heard>,
    sounds: Sounds,
    /// Recordings that were looked for, by ticket.
    read: mpsc::UnboundedReceiver<(u64, Result<Read, String>)>,
    reads: mpsc::UnboundedSender<(u64, Result<Read, String>)>,
    started: Instant,
    log: Log,
    door: Option<Door>,
    /// Who wants to see how it is.
    questions: mpsc::Receiver<Question>,
    /// Names of the sides, by their realms.
    names: Vec<String>,
}

impl Service {
    /// Starts the relay and opens the control address. Lines about calls go to the log.
    ///
    /// # Errors
    /// [`Fault`]; nothing runs then.
    pub async fn start(options: &Options, log: &Log) -> Result<Self, Fault> {
        let (sides, realms) = sides(&options.interfaces, &options.ports, options.backend)?;
        let (sink, events) = mpsc::unbounded_channel();
        let config = RelayConfig {
            realms,
            workers: options.workers,
            is_pinned: options.is_pinned,
            quarantine: RelayConfig::QUARANTINE,
            entropy: Entropy::from_system().map_err(|_| Fault::Entropy)?,
        };
        let report = Box::new(move |event| {
            // Nobody listens any more once the service ends.
            let _ = sink.send(event);
        });
        let fault = |why| Fault::Listen(options.ng, why);
        let datagrams = UdpSocket::bind(options.ng).await.map_err(fault)?;
        // Both on one port, also where the operator leaves its choice to the system.
        let at = datagrams.local_addr().map_err(fault)?;
        let listener = TcpListener::bind(at).await.map_err(fault)?;
        let (connections, heard) = Connections::accept(listener);
        let (door, questions) = match options.metrics {
            Some(at) => {
                let opened = Door::open(at, log).await;
                let (door, questions) = opened.map_err(|why| Fault::Metrics(at, why))?;
                (Some(door), questions)
            }
            // Nobody comes.
            None => (None, mpsc::channel(1).1),
        };
        let relay = Relay::start(config, report)?;
        if options.is_backend_needed {
            let slow = |report: &&AddressReport| report.runs == Runs::Sockets;
            if let Some(slow) = relay.backend().addresses.iter().find(slow) {
                let why = slow.because.clone().unwrap_or_default();
                return Err(Fault::Backend(slow.address, why));
            }
        }
        let mut random = Entropy::from_system().map_err(|_| Fault::Entropy)?;
        let mut secret = [0; 16];
        random
            .fill_secret(&mut secret)
            .map_err(|_| Fault::Entropy)?;
        let started = Instant::now();
        let names = sides.iter().map(|side| side.name.clone()).collect();
        let settings = Settings {
            sides,
            silence_ms: u32::try_from(options.silence.as_millis()).unwrap_or(u32::MAX),
            unanswered_ms: 3_600_000,
            // What the ports allow, and a margin for calls that only begin.
            calls: 64 * 1024,
            media_from: options.media_from.clone(),
            secret,
        };
        // The server bounds how many are under way.
        let (reads, read) = mpsc::unbounded_channel();
        Ok(Self {
            server: Server::new(settings, now(started)),
            relay: Arc::new(relay),
            events,
            datagrams,
            connections,
            heard,
            sounds: Sounds::default(),
            read,
            reads,
            started,
            log: log.clone(),
            door,
            questions,
            names,
        })
    }

    /// Where figures are shown, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.door.as_ref().map(Door::address)
    }

    /// Where requests are heard.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.datagrams.local_addr()
    }

    /// What serves each address of media, and why nothing faster does.
    pub fn backends(&self) -> Vec<AddressReport> {
        self.relay.backend().addresses
    }

    /// Tells of the thread that forwards or transcodes media and is stuck, as long as the relay is there.
    pub fn watch(&self) -> impl Fn() -> Option<Stuck> + use<> {
        let relay = Arc::downgrade(&self.relay);
        move || stuck_media(relay.upgrade()?.longest_silence())
    }

    /// Serves until `stop` comes; then all calls end.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut ticks = tokio::time::interval(TICK);
        let mut buffer = vec![0; DATAGRAM];
        let mut out = Vec::new();
        let mut turns = 0;
        loop {
            turns += 1;
            if turns >= TURNS {
                turns = 0;
                if let Ok(question) = self.questions.try_recv() {
                    self.show(question);
                }
            }
            tokio::select! {
                // Events first: answers wait for them.
                biased;
                () = &mut stop => break,
                Some(event) = self.events.recv() => {
                    self.input(Input::Event(event), &mut out);
                }
                Some(Heard { from, octets }) = self.heard.recv() => {
                    let from = Origin::Connection(from);
                    self.input(Input::Message { from, octets: &octets }, &mut out);
                }
                ready = self.datagrams.readable() => {
                    if ready.is_ok() {
                        self.read_datagrams(&mut buffer, &mut out);
                    }
                }
                Some((ticket, read)) = self.read.recv() => {
                    let found = read.and_then(|read| self.sounds.keep(read));
                    let found = found.map(|(found, all)| {
                        if let Some(all) = all {
                            self.relay.set_recordings(all);
                        }
                        found
                    });
                    self.input(Input::Fetched { ticket, found }, &mut out);
                }
                _ = ticks.tick() => self.input(Input::Tick, &mut out),
                // Who looks on waits for those who set up calls.
                Some(question) = self.questions.recv() => self.show(question),
            }
        }
        drop(self.door);
        // Whoever watches holds it for a moment only, and never while we are here.
        if let Some(relay) = Arc::into_inner(self.relay) {
            relay.shutdown();
        }
    }

    fn show(&self, question: Question) {
        // Who asked may be gone.
        match question {
            Question::Silence(answer) => {
                let _ = answer.send(self.relay.longest_silence());
            }
            Question::All(answer) => {
                let uptime = self.started.elapsed();
                let ng = self.server.counters();
                let _ = answer.send(Seen::of(&self.relay, &self.names, ng, uptime));
            }
        }
    }

    fn read_datagrams(&mut self, buffer: &mut [u8], out: &mut Vec<Output>) {
        for _ in 0..DATAGRAMS_AT_ONCE {
            // An ICMP error of an answer that nobody took is no reason to stop.
            let Ok((length, from)) = self.datagrams.try_recv_from(buffer) else {
                return;
            };
            let octets = &buffer[..length];
            let from = Origin::Datagram(from);
            self.input(Input::Message { from, octets }, out);
            // Most ports are at hand: what answers a request is often here already.
            while let Ok(event) = self.events.try_recv() {
                self.input(Input::Event(event), out);
            }
        }
    }

    fn input(&mut self, input: Input<'_>, out: &mut Vec<Output>) {
        self.server.handle(input, now(self.started), out);
        for output in out.drain(..) {
            match output {
                Output::Command(command) => self.relay.command(command),
                Output::Fetch { ticket, recording } => {
                    let (known, reads) = (self.sounds.marks(), self.reads.clone());
                    tokio::task::spawn_blocking(move || {
                        // Nobody waits any more once the service ends.
                        let _ = reads.send((ticket, sounds::read(&recording, &known)));
                    });
                }
                Output::Note(note) => notes::write(&self.log, &note),
                Output::Answer { to, octets } => match to {
                    // What cannot be sent at once is asked for again.
                    Origin::Datagram(to) => drop(self.datagrams.try_send_to(&octets, to)),
                    Origin::Connection(to) => self.connections.send(to, octets),
                },
            }
        }
    }
}

fn now(started: Instant) -> Now {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        monotonic_ms: ms(started.elapsed()),
        unix_ms: ms(unix.unwrap_or_default()),
    }
}

fn sides(
    interfaces: &[Interface],
    ports: &RangeInclusive<u16>,
    backend: Backend,
) -> Result<(Vec<Side>, Vec<Realm>), Fault> {
    let (mut sides, mut realms): (Vec<Side>, Vec<Realm>) = (Vec::new(), Vec::new());
    let mut bound = Vec::new();
    for own in interfaces {
        if bound.contains(&own.bind) {
            return Err(Fault::Interfaces(format!(
                "{} is given twice: each needs ports of its own",
                own.bind
            )));
        }
        bound.push(own.bind);
        let at = match sides.iter().position(|side| side.name == own.name) {
            Some(at) => at,
            None => {
                let id = u16::try_from(sides.len()).unwrap_or(u16::MAX);
                let realm = RealmId(id);
                sides.push(Side {
                    name: own.name.clone(),
                    realm,
                    v4: None,
                    v6: None,
                });
                realms.push(Realm {
                    id: realm,
                    v4: None,
                    v6: None,
                    first_port: *ports.start(),
                    last_port: *ports.end(),
                    dscp: EXPEDITED_FORWARDING,
                    backend,
                });
                sides.len() - 1
            }
        };
        let local = LocalAddress {
            bind: own.bind,
            advertised: own.advertised,
        };
        let (side, realm) = (&mut sides[at], &mut realms[at]);
        let (named, used) = match own.bind {
            IpAddr::V4(_) => (&mut side.v4, &mut realm.v4),
            IpAddr::V6(_) => (&mut side.v6, &mut realm.v6),
        };
        if named.replace(own.advertised).is_some() {
            return Err(Fault::Interfaces(format!(
                "the interface \"{}\" has two addresses of one family",
                own.name
            )));
        }
        *used = Some(local);
    }
    Ok((sides, realms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn interfaces_are_written_with_name_and_advertised_address() {
        let read = |text: &str| text.parse::<Interface>();
        let own = read("inside/192.0.2.1!203.0.113.1").unwrap();
        assert_eq!(
            (own.name.as_str(), own.bind),
            ("inside", "192.0.2.1".parse().unwrap())
        );
        assert_eq!(own.advertised.to_string(), "203.0.113.1");
        let own = read("2001:db8::1").unwrap();
        assert_eq!((own.name.as_str(), own.bind), ("default", own.advertised));
        assert!(read("eth0").unwrap_err().contains("is no IP address"));
        assert!(read("0.0.0.0").unwrap_err().contains("one exact address"));
        assert!(
            read("192.0.2.1!2001:db8::1")
                .unwrap_err()
                .contains("one family")
        );
    }

    #[test]
    fn interfaces_of_one_name_are_one_side_with_two_families() {
        let read = |texts: &[&str]| {
            let interfaces: Vec<Interface> =
                texts.iter().map(|text| text.parse().unwrap()).collect();
            sides(&interfaces, &(10_000..=10_999), Backend::Sockets)
        };
        let (sides, realms) = read(&["a/192.0.2.1", "a/2001:db8::1", "b/192.0.2.2"]).unwrap();
        assert_eq!((sides.len(), realms.len()), (2, 2));
        assert!(sides[0].v4.is_some() && sides[0].v6.is_some() && sides[1].v6.is_none());
        let twice = read(&["a/192.0.2.1", "b/192.0.2.1"]).unwrap_err();
        assert!(twice.to_string().contains("given twice"));
        let two = read(&["a/192.0.2.1", "a/192.0.2.2"]).unwrap_err();
        assert!(two.to_string().contains("two addresses"));
    }

    /// Ports that nobody has at the moment, below those that the kernel gives away, and no other test of this process.
    fn free_ports() -> RangeInclusive<u16> {
        const MOST: u16 = 40;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            // Ordering: only uniqueness matters.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = std::process::id().wrapping_mul(17).wrapping_add(number) % 250;
            let first = 20_000 + MOST * u16::try_from(number).unwrap();
            let ports = first..=first + MOST - 1;
            let is_free = |port| std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok();
            if ports.clone().all(is_free) {
                return ports;
            }
        }
    }

    /// A log that nobody reads.
    pub(super) fn quiet() -> Log {
        use crate::sink::log::{Form, Level};
        Log::waiting(Level::Info, Form::Json, io::sink()).0
    }

    pub(super) fn options() -> Options {
        Options {
            ng: "127.0.0.1:0".parse().unwrap(),
            interfaces: vec!["127.0.0.1".parse().unwrap()],
            ports: free_ports(),
            workers: 1,
            is_pinned: false,
            backend: Backend::Sockets,
            is_backend_needed: false,
            silence: Duration::from_secs(60),
            media_from: AddressRanges::default(),
            metrics: None,
        }
    }

    #[tokio::test]
    async fn both_transports_are_answered_until_the_service_stops() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let options = options();
        let service = Service::start(&options, &quiet()).await.unwrap();
        let address = service.address().unwrap();
        let taken = Options {
            ng: address,
            ..options.clone()
        };
        let taken = Service::start(&taken, &quiet()).await.err().unwrap();
        assert!(taken.to_string().contains(&address.to_string()), "{taken}");
        let fast = Options {
            backend: Backend::Xdp,
            is_backend_needed: true,
            ..options
        };
        let fast = Service::start(&fast, &quiet()).await.err().unwrap();
        assert!(fast.to_string().contains("loopback"), "{fast}");

        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(service.serve(async {
            let _ = stopped.await;
        }));
        let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        datagrams
            .send_to(b"1 d7:command4:pinge", address)
            .await
            .unwrap();
        let mut answer = [0; 64];
        let length = datagrams.recv(&mut answer).await.unwrap();
        assert_eq!(&answer[..length], b"1 d6:result4:ponge");

        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection
            .write_all(b"2 {\"command\":\"ping\"}3 d7:command4:pinge")
            .await
            .unwrap();
        let mut answers = [0; 37];
        connection.read_exact(&mut answers).await.unwrap();
        assert_eq!(&answers, b"2 {\"result\":\"pong\"}3 d6:result4:ponge");
        stop.send(()).unwrap();
        serving.await.unwrap();
        assert_eq!(connection.read(&mut answer).await.unwrap(), 0);
    }

    /// A WAV file of so many samples, none of them silent.
    fn recording(samples: u32) -> Vec<u8> {
        let data: Vec<u8> = (0..samples)
            .flat_map(|at| [8_000i16, -8_000][at as usize % 2].to_le_bytes())
            .collect();
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        file.extend(8_000u32.to_le_bytes());
        file.extend(16_000u32.to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn described(party: &UdpSocket, format: u8) -> String {
        let port = party.local_addr().unwrap().port();
        format!("v=0\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nm=audio {port} RTP/AVP {format}\r\n")
    }

    /// Asks about the call of two parties; the answer, which is no error.
    async fn ask(control: &UdpSocket, number: u32, more: Value) -> Value {
        let mut body = json!({"call-id": "1", "from-tag": "a", "to-tag": "b"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let request = format!("{number} {body}");
        control.send(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 65_536];
        let length = control.recv(&mut answer).await.unwrap();
        let start = format!("{number} ").len();
        let answer: Value = serde_json::from_slice(&answer[start..length]).unwrap();
        assert_eq!(answer["result"], "ok", "{answer}");
        answer
    }

    /// Where a description sends media.
    fn media_of(answer: &Value) -> SocketAddr {
        let sdp = answer["sdp"].as_str().unwrap();
        let port = sdp.split("m=audio ").nth(1).unwrap();
        let port = port.split(' ').next().unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[tokio::test]
    async fn parties_without_a_common_codec_hear_each_other_where_a_proxy_puts_one_in() {
        const G722: u8 = 9;
        const PCMA: u8 = 8;
        let service = Service::start(&options(), &quiet()).await.unwrap();
        let control = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        control.connect(service.address().unwrap()).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(service.serve(async {
            let _ = stopped.await;
        }));
        let caller = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let called = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut offer = json!({"command": "offer", "sdp": described(&caller, G722)});
        offer["flags"] = json!(["codec-mask-G722", "codec-transcode-PCMA"]);
        let offered = ask(&control, 1, offer).await;
        let sdp = offered["sdp"].as_str().unwrap();
        assert!(sdp.contains(" RTP/AVP 8\r\n"), "{sdp}");
        let answer = json!({"command": "answer", "sdp": described(&called, PCMA)});
        let answered = ask(&control, 2, answer).await;
        let sdp = answered["sdp"].as_str().unwrap();
        assert!(sdp.contains(" RTP/AVP 9\r\n"), "{sdp}");
        let packet = |format: u8, number: u16| {
            let mut packet = vec![0x80, format];
            packet.extend(number.to_be_bytes());
            packet.extend((u32::from(number) * 160).to_be_bytes());
            packet.extend([0, 0, 0, format]);
            packet.extend((0..160u8).map(|at| at ^ 0x55));
            packet
        };
        let (to_caller, to_called) = (media_of(&offered), media_of(&answered));
        let (mut heard, mut pace) = ([0, 0], tokio::time::interval(Duration::from_millis(20)));
        let (mut number, mut one, mut other) = (0, [0; 2_048], [0; 2_048]);
        while heard.iter().any(|count| *count < 5) {
            tokio::select! {
                _ = pace.tick() => {
                    number += 1;
                    assert!(number < 1_000, "{heard:?}");
                    caller.send_to(&packet(G722, number), to_called).await.unwrap();
                    called.send_to(&packet(PCMA, number), to_caller).await.unwrap();
                }
                length = caller.recv(&mut one) => {
                    assert_eq!((length.unwrap(), one[1] & 0x7f), (172, G722));
                    heard[0] += 1;
                }
                length = called.recv(&mut other) => {
                    assert_eq!((length.unwrap(), other[1] & 0x7f), (172, PCMA));
                    heard[1] += 1;
                }
            }
        }
        stop.send(()).unwrap();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_party_hears_a_recording_that_the_proxy_sends_or_names() {
        let service = Service::start(&options(), &quiet()).await.unwrap();
        let control = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        control.connect(service.address().unwrap()).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(service.serve(async {
            let _ = stopped.await;
        }));
        let parties = [
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        ];
        let ask = async |number, more| ask(&control, number, more).await;
        let offer = json!({"command": "offer", "sdp": described(&parties[0], 8)});
        ask(1, offer).await;
        let answer = json!({"command": "answer", "sdp": described(&parties[1], 8)});
        ask(2, answer).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hello.wav");
        std::fs::write(&file, recording(1_600)).unwrap();
        let blob = sbc_core::sdp::base64_encode(&recording(1_600));
        for (number, source) in [
            (3, json!({"blob64": blob})),
            (4, json!({"file": file})),
            // This one is kept.
            (5, json!({"file": file})),
        ] {
            let mut play = source;
            play["command"] = "play media".into();
            assert_eq!(ask(number, play).await["duration"], 200);
            for packet in 0..10 {
                let mut heard = [0; 512];
                let length = parties[0].recv(&mut heard).await.unwrap();
                assert_eq!((length, heard[1] & 0x7f), (172, 8), "packet {packet}");
                let is_loud = heard[12..length].iter().all(|octet| *octet != 0xd5);
                assert!(is_loud, "packet {packet} of {number}");
            }
        }
        let stats = ask(6, json!({"command": "delete"})).await;
        assert!(stats["totals"].is_object());
        stop.send(()).unwrap();
        serving.await.unwrap();
    }
}
