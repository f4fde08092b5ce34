//! The relay in a process of its own, with both sides in this one: what passes, and how either side ends.

use crate::common::{A, B, realm, terms};
use media_api::wire::{Frames, Writer};
use media_api::*;
use media_relay::{
    FormFault, Host, HostHandle, HostOptions, Met, Realm, RealmTotals, Recordings, Remote, goes_on,
};
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SESSION: SessionId = SessionId::new(3, 7);

/// A path that nobody else uses.
pub(crate) fn path() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("causeway-{}-{number}.sock", std::process::id()))
}

/// The relay reports twice a second.
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came so");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) struct Running {
    handle: HostHandle,
    told: Receiver<String>,
    thread: JoinHandle<()>,
}

pub(crate) fn host(path: &Path) -> Running {
    patient_host(path, PATIENCE)
}

/// One where sessions of a daemon that has vanished wait for so long.
pub(crate) fn patient_host(path: &Path, patience: Duration) -> Running {
    let options = HostOptions {
        workers: 1,
        is_pinned: false,
        quarantine: Duration::from_millis(1),
        patience,
    };
    let host = Host::open(path, options).unwrap();
    let handle = host.handle();
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let thread = std::thread::spawn(move || {
        host.serve(move |words| drop(tell.lock().unwrap().send(words.to_owned())));
    });
    Running {
        handle,
        told,
        thread,
    }
}

impl Running {
    pub(crate) fn end(self) {
        self.handle.end();
        self.thread.join().unwrap();
    }

    /// Waits until the host has said something with these words in it.
    pub(crate) fn says(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let said = self.told.recv_timeout(left).expect(words);
            if said.contains(words) {
                return said;
            }
        }
    }
}

pub(crate) struct Daemon {
    pub(crate) remote: Remote,
    pub(crate) events: Receiver<Event>,
    met: Receiver<Met>,
}

pub(crate) fn daemon(path: &Path, realms: Vec<Realm>) -> Daemon {
    let (sink, events) = mpsc::channel();
    let (tell, met) = mpsc::channel();
    let sink = Box::new(move |event| drop(sink.send(event)));
    let told = move |what| drop(tell.send(what));
    let remote = Remote::start(path.to_owned(), realms, PATIENCE, sink, told).unwrap();
    assert_eq!(met.recv_timeout(PATIENCE), Ok(Met::Begun));
    Daemon {
        remote,
        events,
        met,
    }
}

impl Daemon {
    pub(crate) fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn reserve(&self, session: SessionId) -> Vec<LocalEndpoint> {
        self.remote.command(allocate(session));
        match self.next() {
            Event::Allocated {
                session: of,
                endpoints,
            } if of == session => endpoints,
            other => panic!("{other:?}"),
        }
    }
}

fn allocate(session: SessionId) -> Command {
    let suites = vec![Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_80];
    let spec = |endpoint| EndpointSpec {
        endpoint,
        realm: RealmId(0),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection: ProtectionWanted::Sdes(suites.clone()),
            ice: None,
        }],
        takes_last: true,
    };
    Command::Allocate {
        session,
        endpoints: vec![spec(A), spec(B)],
    }
}

#[test]
fn a_call_is_carried_as_by_a_relay_in_the_same_process() {
    let path = path();
    let running = host(&path);
    let daemon = daemon(&path, vec![realm(40)]);
    let local = daemon.reserve(SESSION);
    assert_eq!((local.len(), local[0].streams[0].keys.len()), (2, 2));
    let peers = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    for (endpoint, peer) in [A, B].into_iter().zip(&peers) {
        daemon.remote.command(Command::Answer {
            session: SESSION,
            endpoint,
            fork: ForkId(0),
            negotiated: Negotiated {
                streams: vec![Some(terms(peer.local_addr().unwrap()))],
            },
            stage: Stage::Final,
        });
    }
    daemon.remote.command(Command::Update {
        session: SESSION,
        plan: BridgePlan {
            joined: Some((A, B)),
            silence_ms: 0,
        },
    });
    daemon.remote.command(Command::Stats { session: SESSION });
    assert!(
        matches!(daemon.next(), Event::Stats { .. }),
        "told in order"
    );
    peers[1].set_read_timeout(Some(PATIENCE)).unwrap();
    let packet = crate::common::rtp(8, 1, 160, 7, &[0xd5; 160]);
    peers[0].send_to(&packet, local[0].streams[0].rtp).unwrap();
    let mut heard = [0; 400];
    let length = peers[1].recv(&mut heard).unwrap();
    assert_eq!(crate::common::read(&heard[..length]).payload, [0xd5; 160]);
    assert!(matches!(
        daemon.next(),
        Event::FirstMedia { .. } | Event::SourcePinned { .. }
    ));
    // What was given before is played by the relay of the other process.
    let samples: std::sync::Arc<[i16]> = vec![7; 100_000].into();
    daemon
        .remote
        .set_recordings(Recordings::new([(SoundId(5), samples)]).unwrap());
    daemon.remote.command(Command::Play {
        session: SESSION,
        endpoint: B,
        playing: Some(Playing {
            sound: Sound::Recording(SoundId(5)),
            times: None,
            beside: Beside::Muted,
        }),
    });
    let length = peers[1].recv(&mut heard).unwrap();
    assert_eq!(crate::common::read(&heard[..length]).payload.len(), 160);
    let received = |own: &RealmTotals| own.received_packets > 0;
    wait_until(|| daemon.remote.totals().realms.first().is_some_and(received));
    assert_eq!(daemon.remote.backend().unwrap().addresses.len(), 1);
    assert_eq!(daemon.remote.trouble(), None);
    daemon.remote.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let stats = loop {
        if let Event::Released { stats, .. } = daemon.next() {
            break stats;
        }
    };
    assert_eq!(stats.endpoints[0].streams[0].received_packets, 1);
    assert_eq!(daemon.remote.totals().reports_lost, 0);
    daemon.remote.shutdown();
    running.says("its sessions have ended");
    running.end();
    assert!(!path.exists());
}

/// Plays a call of one packet to its end, copied as every call of another process can be; the reports that were told.
fn reports_of_a_call(daemon: &Daemon, session: SessionId) -> Vec<RtcpReport> {
    let local = daemon.reserve(session);
    let peers = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    for (endpoint, peer) in [A, B].into_iter().zip(&peers) {
        daemon.remote.command(Command::Answer {
            session,
            endpoint,
            fork: ForkId(0),
            negotiated: Negotiated {
                streams: vec![Some(terms(peer.local_addr().unwrap()))],
            },
            stage: Stage::Final,
        });
    }
    daemon.remote.command(Command::Update {
        session,
        plan: BridgePlan {
            joined: Some((A, B)),
            silence_ms: 0,
        },
    });
    daemon.remote.command(Command::Tap {
        session,
        tap: Some(Tap::Headers),
    });
    daemon.remote.command(Command::Stats { session });
    while !matches!(daemon.next(), Event::Stats { .. }) {}
    peers[1].set_read_timeout(Some(PATIENCE)).unwrap();
    let packet = crate::common::rtp(8, 1, 160, 7, &[0xd5; 160]);
    peers[0].send_to(&packet, local[0].streams[0].rtp).unwrap();
    peers[1].recv(&mut [0; 400]).unwrap();
    daemon.remote.command(Command::Release {
        session,
        endpoint: None,
        drain_ms: 0,
    });
    let (mut told, mut copies) = (Vec::new(), Vec::new());
    loop {
        match daemon.next() {
            Event::Reported { report, .. } => told.push(report),
            Event::Tapped { packet, .. } => copies.push((packet.octets.len(), packet.length)),
            Event::Released { .. } => {
                // In, out, and the goodbye.
                assert_eq!(copies[..2], [(12, 172); 2]);
                assert_eq!((copies.len(), copies[2].0), (3, 8));
                return told;
            }
            _ => {}
        }
    }
}

/// MED-262.
#[test]
fn reports_are_told_while_they_are_wanted_by_each_relay_that_comes() {
    let path = path();
    let running = host(&path);
    let daemon = daemon(&path, vec![realm(40)]);
    assert_eq!(reports_of_a_call(&daemon, SessionId(1)), []);
    daemon.remote.set_reports(true);
    let told = reports_of_a_call(&daemon, SessionId(2));
    // The goodbye to the one who has heard something.
    let [own] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((own.teller, own.sender.unwrap().packets), (Teller::Us, 1));
    running.end();
    let running = host(&path);
    while daemon.met.recv_timeout(PATIENCE).unwrap() != Met::Begun {}
    while daemon.met.try_recv().is_ok() {}
    assert_eq!(reports_of_a_call(&daemon, SessionId(3)).len(), 1);
    daemon.remote.set_reports(false);
    assert_eq!(reports_of_a_call(&daemon, SessionId(4)), []);
    drop(daemon);
    running.end();
}

#[test]
fn when_the_relay_ends_its_sessions_are_lost_and_the_next_one_serves_at_once() {
    let path = path();
    let running = host(&path);
    let daemon = daemon(&path, vec![realm(40)]);
    let local = daemon.reserve(SESSION);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&[0; 40], local[0].streams[0].rtp).unwrap();
    let dropped = |daemon: &Daemon| -> u64 {
        let totals = daemon.remote.totals();
        totals.realms.iter().flat_map(|own| own.dropped).sum()
    };
    wait_until(|| dropped(&daemon) == 1);
    running.end();
    assert_eq!(daemon.next(), Event::Lost { session: SESSION });
    let ended = daemon.met.recv_timeout(PATIENCE).unwrap();
    let Met::Ended { why, sessions: 1 } = &ended else {
        panic!("{ended:?}");
    };
    assert!(why.contains("told to end"), "{why}");
    let totals = daemon.remote.totals();
    let ports = totals.realms.iter().map(|own| own.ports_total).sum::<u64>();
    assert_eq!((daemon.remote.lost(), totals.sessions, ports), (1, 0, 0));
    // Nobody waits for an answer that will not come.
    daemon.remote.command(allocate(SessionId(8)));
    let refused = Event::Refused {
        session: SessionId(8),
        endpoints: vec![A, B],
        why: AllocateError::Unavailable,
    };
    assert_eq!(daemon.next(), refused);
    let trouble = daemon.remote.trouble().unwrap();
    assert!(trouble.contains("is not there"), "{trouble}");

    let running = host(&path);
    while daemon.met.recv_timeout(PATIENCE).unwrap() != Met::Begun {}
    let local = daemon.reserve(SessionId(9));
    // Whoever reads the counters sees no step back.
    assert_eq!(dropped(&daemon), 1);
    stranger.send_to(&[0; 40], local[0].streams[0].rtp).unwrap();
    wait_until(|| dropped(&daemon) == 2);
    drop(daemon);
    running.end();
}

#[test]
fn a_daemon_that_dies_leaves_no_ports_behind() {
    let path = path();
    let running = host(&path);
    let realm = realm(3);
    let first = daemon(&path, vec![realm.clone()]);
    let local = first.reserve(SESSION);
    let port = local[0].streams[0].rtp;
    UdpSocket::bind(port).expect_err("it is the relay's");
    // A second one is told who is there, when it has waited for that one to end.
    let (patience, began) = (Duration::from_millis(200), Instant::now());
    let refused = Remote::start(
        path.clone(),
        vec![realm.clone()],
        patience,
        Box::new(|_| ()),
        |_| (),
    );
    let why = refused.unwrap_err().to_string();
    assert!(began.elapsed() >= patience);
    assert!(
        why.contains(&format!("already, process {}", std::process::id())),
        "{why}"
    );
    // One that is started in place of it waits until it is gone.
    let waiting = {
        let (path, realm) = (path.clone(), realm.clone());
        std::thread::spawn(move || daemon(&path, vec![realm]))
    };
    drop(first);
    running.says("its sessions have ended");
    // The same few ports, with nothing left of the first.
    let second = waiting.join().unwrap();
    second.reserve(SESSION);
    drop(second);
    running.end();
}

#[test]
fn what_is_no_daemon_and_what_cannot_be_served_is_refused_in_words() {
    let path = path();
    let running = host(&path);
    let answer = |octets: &[u8]| {
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(octets).unwrap();
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    };
    let framed = |text: &str| {
        let mut out = Writer::default();
        out.frame(&text.to_owned());
        out.octets().to_vec()
    };
    assert!(answer(&framed("GET / HTTP/1.1")).contains("daemon begins with"));
    running.says("daemon begins with");
    assert!(answer(&[0xff; 64]).contains("longer than"));
    running.says("longer than");
    // No such address is on this machine.
    let mut own = realm(40);
    let address = "192.0.2.77".parse().unwrap();
    own.v4 = Some(media_relay::LocalAddress::direct(address));
    let refused = Remote::start(path.clone(), vec![own], PATIENCE, Box::new(|_| ()), |_| ());
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("cannot bind 192.0.2.77"), "{why}");
    // It goes on with the next.
    drop(daemon(&path, vec![realm(40)]));
    running.end();

    let patience = Duration::from_millis(1);
    let nobody = Remote::start(
        path.clone(),
        vec![realm(40)],
        patience,
        Box::new(|_| ()),
        |_| (),
    );
    let why = nobody.unwrap_err().to_string();
    assert!(why.contains("is causeway-media running?"), "{why}");
}

#[test]
fn a_socket_in_use_is_not_taken_and_one_left_behind_is() {
    let path = path();
    let options = HostOptions {
        workers: 1,
        is_pinned: false,
        quarantine: Duration::ZERO,
        patience: Duration::ZERO,
    };
    std::fs::write(&path, "precious").unwrap();
    let fault = Host::open(&path, options.clone()).unwrap_err();
    assert_eq!(fault.kind(), std::io::ErrorKind::AlreadyExists);
    std::fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let running = host(&path);
    let fault = Host::open(&path, options).unwrap_err();
    assert_eq!(fault.kind(), std::io::ErrorKind::AddrInUse);
    running.end();
}

/// A cleaner of temporary files came by, or another host has the place by now.
#[test]
fn a_host_ends_whatever_has_become_of_its_path() {
    let path = path();
    let first = host(&path);
    std::fs::remove_file(&path).unwrap();
    let second = host(&path);
    first.end();
    let daemon = daemon(&path, vec![realm(50)]);
    daemon.remote.shutdown();
    second.end();
    assert!(!path.exists());
}

/// A host that greets, and then neither reads nor speaks.
#[test]
fn a_relay_that_is_stuck_holds_nobody_up() {
    let path = path();
    let listener = UnixListener::bind(&path).unwrap();
    let (done, wait) = mpsc::channel::<()>();
    let stuck = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut frames = Frames::default();
        while frames.next_frame().unwrap().is_none() {
            let read = socket.read(frames.room()).unwrap();
            frames.filled(read);
        }
        // A welcome.
        socket.write_all(&[1, 0, 0, 0, 0]).unwrap();
        let _ = wait.recv();
    });
    let daemon = daemon(&path, vec![realm(40)]);
    // Recordings are large, and no reason to refuse a call.
    let samples = vec![1_i16; 4 << 20];
    let recordings = Recordings::new([(SoundId(1), samples.into())]).unwrap();
    daemon.remote.set_recordings(recordings);
    let started = Instant::now();
    let mut number = 0;
    let refused = loop {
        number += 1;
        daemon.remote.command(allocate(SessionId(number)));
        if let Ok(event) = daemon.events.try_recv() {
            break event;
        }
        assert!(number < 1_000_000, "the queue has no bound");
    };
    assert!(number > 1_000, "it was there: {number}");
    assert!(started.elapsed() < PATIENCE, "nothing waits");
    let last = Event::Refused {
        session: SessionId(number),
        endpoints: vec![A, B],
        why: AllocateError::Unavailable,
    };
    assert_eq!(refused, last);
    // Silence is noticed, and whoever waits for an answer gets it.
    let ended = daemon.met.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(&ended, Met::Ended { why, .. } if why.contains("said nothing")),
        "{ended:?}"
    );
    let told = daemon.events.try_iter().count();
    assert_eq!(
        told as u64,
        number - 1,
        "each of the others was refused as well"
    );
    let _ = done.send(());
    stuck.join().unwrap();
    let _ = std::fs::remove_file(&path);
}

/// Stands between daemon and relay, and says something itself when it is told to.
struct Between {
    to_host: UnixStream,
    to_daemon: UnixStream,
}

fn between(own: &Path, host: &Path) -> JoinHandle<Between> {
    let listener = UnixListener::bind(own).unwrap();
    let host = host.to_owned();
    std::thread::spawn(move || {
        let (to_daemon, _) = listener.accept().unwrap();
        let to_host = UnixStream::connect(host).unwrap();
        for (from, to) in [(&to_daemon, &to_host), (&to_host, &to_daemon)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
        Between { to_host, to_daemon }
    })
}

#[test]
fn what_cannot_be_read_ends_the_connection_and_its_sessions_in_words() {
    let (path, own) = (path(), path());
    let running = host(&path);
    let garbage: [(&[u8], &str); 4] = [
        (&[0xff; 8], "longer than"),
        (&[1, 0, 0, 0, 99], "there is no"),
        (&[2, 0, 0, 0, 2, 0], "behind its end"),
        (&[2, 0, 0, 0, 0, 10], "too early"),
    ];
    for (octets, words) in garbage {
        let joined = between(&own, &path);
        let daemon = daemon(&own, vec![realm(4)]);
        let mut between = joined.join().unwrap();
        let port = daemon.reserve(SESSION)[0].streams[0].rtp;
        between.to_host.write_all(octets).unwrap();
        let said = running.says("cannot be read");
        assert!(said.contains(words), "{said}");
        assert_eq!(daemon.next(), Event::Lost { session: SESSION });
        let ended = daemon.met.recv_timeout(PATIENCE).unwrap();
        let Met::Ended { why, sessions: 1 } = &ended else {
            panic!("{ended:?}");
        };
        assert!(why.contains(words), "{why}");
        UdpSocket::bind(port).expect("it is free again");
        drop(daemon);
        std::fs::remove_file(&own).unwrap();
    }
    // The other way round.
    for (octets, words) in &garbage[..2] {
        let joined = self::between(&own, &path);
        let daemon = self::daemon(&own, vec![realm(4)]);
        let mut between = joined.join().unwrap();
        daemon.reserve(SESSION);
        between.to_daemon.write_all(octets).unwrap();
        assert_eq!(daemon.next(), Event::Lost { session: SESSION });
        let ended = daemon.met.recv_timeout(PATIENCE).unwrap();
        assert!(
            matches!(&ended, Met::Ended { why, .. } if why.contains(words)),
            "{ended:?}"
        );
        drop(daemon);
        running.says("its sessions have ended");
        std::fs::remove_file(&own).unwrap();
    }
    running.end();
}

#[test]
fn whether_a_relay_speaks_our_form_is_told_beside_its_daemon_which_hears_nothing() {
    let path = path();
    let (own, other) = ([realm(60)], [realm(60)]);
    let absent = goes_on(&path, &own).unwrap_err();
    assert!(matches!(absent, FormFault::Absent(_)), "{absent}");
    let running = host(&path);
    let refuses = |realms: &[Realm], words: &str| match goes_on(&path, realms) {
        Err(FormFault::Other(why)) => assert!(why.contains(words), "{why}"),
        other => panic!("{words}: {other:?}"),
    };
    refuses(&own, "serves no daemon");
    // The place is free again once that is over.
    running.says("asked for the form");
    let daemon = daemon(&path, own.to_vec());
    daemon.reserve(SESSION);
    assert_eq!(goes_on(&path, &own), Ok(()));
    // A daemon that comes with these gets no session of this one.
    refuses(&other, "serves other realms");
    daemon.remote.command(Command::Stats { session: SESSION });
    assert!(matches!(daemon.next(), Event::Stats { .. }));
    assert!(daemon.met.try_recv().is_err(), "the daemon was disturbed");
    daemon.remote.shutdown();
    running.end();
}

#[test]
fn a_relay_of_another_form_or_of_a_version_that_tells_none_is_no_relay_of_ours() {
    let path = path();
    let answers = |frames: Vec<Vec<u8>>| {
        let listener = UnixListener::bind(&path).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            for frame in frames {
                let length = u32::try_from(frame.len()).unwrap();
                socket.write_all(&length.to_le_bytes()).unwrap();
                socket.write_all(&frame).unwrap();
            }
        });
        let told = goes_on(&path, &[]);
        answering.join().unwrap();
        std::fs::remove_file(&path).unwrap();
        told
    };
    // What a relay of ours tells, behind "no" and before its realms.
    let running = host(&path);
    let mut asks = UnixStream::connect(&path).unwrap();
    asks.write_all(b"\x08\0\0\0cwform?\n").unwrap();
    let mut told = Vec::new();
    asks.read_to_end(&mut told).unwrap();
    running.end();
    let length = usize::try_from(u32::from_le_bytes(told[..4].try_into().unwrap())).unwrap();
    let form = told[4 + length + 4..][..10].to_vec();
    // "No" with an empty text; a form of two numbers.
    let no = [&[1_u8][..], &[0; 4]].concat();
    for (frames, words) in [
        (
            vec![no.clone(), vec![0; 10]],
            "speaks form 0/0000000000000000",
        ),
        (vec![no.clone()], "does not tell"),
        (vec![no.clone(), vec![7; 3]], "does not tell"),
        // Versions between: whether it would go on is not known.
        (vec![no.clone(), form.clone()], "does not tell which realms"),
        (
            vec![no.clone(), form, vec![7]],
            "does not tell which realms",
        ),
        (vec![b"HTTP/1.1".to_vec()], "is no media relay"),
    ] {
        match answers(frames) {
            Err(FormFault::Other(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("{words}: {other:?}"),
        }
    }
}
