//! Every state of every machine with every event, compared with `tests/snapshots/*.txt`.
//!
//! A line is: state, event, what is sent and told, next state with its running timers. Run with
//! `CAUSEWAY_BLESS=1` to accept a change, and review the difference like code.

use super::client::Client;
use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::server::{Server, Trying};
use super::{Counted, Owner, Sender, TimerSet, Verdict};
use crate::deadline::Timers;
use crate::effect::{Effect, Effects};
use crate::id::{ListenerName, TransactionId};
use crate::sip::{Limits, Message, Status};
use crate::tally::CountedMethod;
use crate::time::Timestamp;
use crate::transport::{Hop, Protocol};
use bytes::Bytes;
use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// What an event may be; each machine knows some of them.
#[derive(Clone, Copy, Debug)]
enum On {
    Timer(usize),
    Response(u16),
    Respond(u16),
    Cancel,
    TransportError,
    Request,
    Ack,
}

/// One machine as the table of states sees it.
trait Subject {
    fn apply(&mut self, event: On, to: &mut Sender<'_>) -> Verdict;
    fn state(&self) -> String;
    fn is_running(&self, timer: usize) -> bool;
}

fn response(code: u16) -> Message {
    let text = format!(
        "SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>;tag=b\r\nCall-ID: c\r\n\
         CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text), &Limits::default()).expect("test message")
}

fn bytes_of(code: u16) -> Bytes {
    response(code).bytes().clone()
}

fn request(method: &str) -> Bytes {
    Bytes::from(format!(
        "{method} sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn trying() -> Trying {
    let request = Message::parse(request("BYE"), &Limits::default());
    Trying {
        request: request.expect("a request"),
        lines: Vec::new(),
    }
}

fn status(code: u16) -> Status {
    response(code).status().expect("status")
}

impl Subject for InviteClient {
    fn apply(&mut self, event: On, to: &mut Sender<'_>) -> Verdict {
        match event {
            On::Timer(timer) => {
                self.timers.stop(timer);
                self.expired(NOW, timer, to)
            }
            On::Response(code) => {
                let (verdict, cancel) = self.response(NOW, &response(code), to);
                if let Some(cancel) = cancel {
                    to.send(&cancel);
                }
                verdict
            }
            On::Cancel => {
                if let Some(cancel) = self.cancel(NOW, None) {
                    to.send(&cancel);
                }
                Verdict::Quiet
            }
            On::TransportError => self.transport_failed(),
            On::Respond(_) | On::Request | On::Ack => unreachable!("events of servers"),
        }
    }

    fn state(&self) -> String {
        format!("{:?}", self.state)
    }

    fn is_running(&self, timer: usize) -> bool {
        self.timers.is_set(timer)
    }
}

impl Subject for Client {
    fn apply(&mut self, event: On, to: &mut Sender<'_>) -> Verdict {
        match event {
            On::Timer(timer) => {
                self.timers.stop(timer);
                self.expired(NOW, timer, to)
            }
            On::Response(code) => self.response(NOW, &response(code)),
            On::TransportError => self.transport_failed(),
            On::Respond(_) | On::Request | On::Ack | On::Cancel => {
                unreachable!("events of other machines")
            }
        }
    }

    fn state(&self) -> String {
        format!("{:?}", self.state)
    }

    fn is_running(&self, timer: usize) -> bool {
        self.timers.is_set(timer)
    }
}

impl Subject for InviteServer {
    fn apply(&mut self, event: On, to: &mut Sender<'_>) -> Verdict {
        match event {
            On::Timer(timer) => {
                self.timers.stop(timer);
                return self.expired(NOW, timer, to);
            }
            On::Respond(code) => self.respond(NOW, status(code), bytes_of(code), to),
            On::Request => self.repeated(to),
            On::Ack => return self.ack(NOW),
            On::Response(_) | On::Cancel | On::TransportError => {
                unreachable!("events of clients")
            }
        }
        Verdict::Quiet
    }

    fn state(&self) -> String {
        format!("{:?}", self.state)
    }

    fn is_running(&self, timer: usize) -> bool {
        self.timers.is_set(timer)
    }
}

impl Subject for Server {
    fn apply(&mut self, event: On, to: &mut Sender<'_>) -> Verdict {
        match event {
            On::Timer(timer) => {
                self.timers.stop(timer);
                self.expired(timer, to);
            }
            On::Respond(code) => self.respond(NOW, status(code), bytes_of(code), to),
            On::Request => self.repeated(to),
            On::Response(_) | On::Cancel | On::TransportError | On::Ack => {
                unreachable!("events of other machines")
            }
        }
        Verdict::Quiet
    }

    fn state(&self) -> String {
        format!("{:?}", self.state)
    }

    fn is_running(&self, timer: usize) -> bool {
        self.timers.is_set(timer)
    }
}

/// A way into a state: its name and the events that lead there from the start.
type Way = (&'static str, &'static [On]);

struct Sheet<'a> {
    timers: &'a [&'a str],
    ways: &'a [Way],
    events: &'a [(&'a str, On)],
}

impl Sheet<'_> {
    fn name(&self, event: On) -> String {
        match event {
            On::Timer(timer) => format!("timer {}", self.timers[timer]),
            other => self
                .events
                .iter()
                .find(|(_, event)| format!("{event:?}") == format!("{other:?}"))
                .map(|(name, _)| (*name).to_owned())
                .expect("a named event"),
        }
    }

    /// All lines of one machine over one protocol.
    fn print<S: Subject>(&self, start: impl Fn(&mut Sender<'_>) -> S) -> String {
        let timers = (0..self.timers.len()).map(On::Timer);
        let events: Vec<On> = timers
            .chain(self.events.iter().map(|(_, event)| *event))
            .collect();
        let mut text = String::new();
        for (way, path) in self.ways {
            for event in &events {
                let mut subject = with_sender(|to| start(to)).0;
                for step in *path {
                    with_sender(|to| subject.apply(*step, to));
                }
                if let On::Timer(timer) = event
                    && !subject.is_running(*timer)
                {
                    continue;
                }
                let (verdict, mut does) = with_sender(|to| subject.apply(*event, to));
                if verdict == Verdict::Tell {
                    does.push("tell".to_owned());
                }
                let running: Vec<&str> = (0..self.timers.len())
                    .filter(|timer| subject.is_running(*timer))
                    .map(|timer| self.timers[timer])
                    .collect();
                let (event, does, running) =
                    (self.name(*event), does.join(", "), running.join(" "));
                let line = format!(
                    "{way:<26} | {event:<15} | {does:<17} | {:<10} | {running}",
                    subject.state()
                );
                let _ = writeln!(text, "{}", line.trim_end());
            }
        }
        text
    }
}

fn with_sender<T>(step: impl FnOnce(&mut Sender<'_>) -> T) -> (T, Vec<String>) {
    let mut out = Effects::default();
    let hop = Hop {
        listener: ListenerName::new("l"),
        protocol: Protocol::Udp,
        remote: "192.0.2.9:5060".parse().expect("address"),
        tls: None,
        flow: None,
    };
    let counted = Counted {
        method: CountedMethod::named("INVITE"),
        tally: None,
    };
    let result = step(&mut Sender {
        id: TransactionId(1),
        owner: Owner::Nobody,
        hop: &hop,
        counted: &counted,
        out: &mut out,
    });
    let sent = out
        .drain()
        .filter_map(|effect| match effect {
            Effect::Send { bytes, .. } => Some(format!("send {}", first_word(&bytes))),
            _ => None,
        })
        .collect();
    (result, sent)
}

fn first_word(bytes: &Bytes) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split_whitespace();
    match words.next() {
        Some("SIP/2.0") => words.next().unwrap_or_default().to_owned(),
        other => other.unwrap_or_default().to_owned(),
    }
}

#[allow(clippy::disallowed_methods, reason = "a test reads its snapshots")]
fn compare(file: &str, udp: String, reliable: String) {
    let seen = format!(
        "# {:<24} | event           | does              | next       | timers running\n\n\
         # UDP\n{udp}\n# TCP and TLS\n{reliable}",
        "state"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(file);
    if std::env::var_os("CAUSEWAY_BLESS").is_some() {
        std::fs::write(&path, &seen).expect("snapshot is writable");
    }
    let expected = std::fs::read_to_string(&path).expect("snapshot exists");
    assert_eq!(seen, expected, "{file} differs");
}

const fn response_events() -> [(&'static str, On); 4] {
    [
        ("100", On::Response(100)),
        ("180", On::Response(180)),
        ("200", On::Response(200)),
        ("486", On::Response(486)),
    ]
}

#[test]
fn invite_client_does_in_every_state_what_its_table_says() {
    let [trying, ringing, ok, busy] = response_events();
    let sheet = Sheet {
        timers: &["A", "B", "D", "M"],
        ways: &[
            ("Calling", &[]),
            ("Calling, CANCEL held", &[On::Cancel]),
            ("Proceeding", &[On::Response(180)]),
            ("Proceeding, CANCEL sent", &[On::Response(180), On::Cancel]),
            ("Accepted", &[On::Response(200)]),
            ("after a failure", &[On::Response(486)]),
            ("Terminated", &[On::TransportError]),
        ],
        events: &[
            trying,
            ringing,
            ok,
            busy,
            ("cancel", On::Cancel),
            ("transport error", On::TransportError),
        ],
    };
    let print = |is_reliable| {
        sheet.print(|to| {
            InviteClient::start(NOW, TimerSet::default(), is_reliable, request("INVITE"), to)
        })
    };
    compare("invite_client.txt", print(false), print(true));
}

#[test]
fn client_does_in_every_state_what_its_table_says() {
    let [trying, ringing, ok, busy] = response_events();
    let sheet = Sheet {
        timers: &["E", "F", "K"],
        ways: &[
            ("Trying", &[]),
            ("Proceeding", &[On::Response(100)]),
            ("after a final response", &[On::Response(200)]),
            ("Terminated", &[On::TransportError]),
        ],
        events: &[
            trying,
            ringing,
            ok,
            busy,
            ("transport error", On::TransportError),
        ],
    };
    let print = |is_reliable| {
        sheet.print(|to| Client::start(NOW, TimerSet::default(), is_reliable, request("BYE"), to))
    };
    compare("client.txt", print(false), print(true));
}

#[test]
fn invite_server_does_in_every_state_what_its_table_says() {
    let sheet = Sheet {
        timers: &["G", "H", "I", "L", "give up"],
        ways: &[
            ("Proceeding", &[]),
            ("Proceeding, after 180", &[On::Respond(180)]),
            ("Accepted", &[On::Respond(200)]),
            ("Completed", &[On::Respond(486)]),
            ("acknowledged failure", &[On::Respond(486), On::Ack]),
            ("Terminated", &[On::Timer(4)]),
        ],
        events: &[
            ("INVITE", On::Request),
            ("ACK", On::Ack),
            ("180 down", On::Respond(180)),
            ("200 down", On::Respond(200)),
            ("486 down", On::Respond(486)),
        ],
    };
    let print = |is_reliable| {
        sheet.print(|to| {
            let machine = InviteServer::start(NOW, TimerSet::default(), is_reliable, bytes_of(100));
            machine.accepted(to);
            machine
        })
    };
    compare("invite_server.txt", print(false), print(true));
}

#[test]
fn server_does_in_every_state_what_its_table_says() {
    let sheet = Sheet {
        timers: &["late", "give up", "J"],
        ways: &[
            ("Trying", &[]),
            ("Proceeding", &[On::Timer(0)]),
            ("after a final response", &[On::Respond(200)]),
            ("Terminated", &[On::Timer(1)]),
        ],
        events: &[
            ("request", On::Request),
            ("100 down", On::Respond(100)),
            ("180 down", On::Respond(180)),
            ("200 down", On::Respond(200)),
            ("408 down", On::Respond(408)),
            ("481 down", On::Respond(481)),
        ],
    };
    let print = |is_reliable| {
        sheet.print(|_| Server::start(NOW, TimerSet::default(), is_reliable, trying()))
    };
    compare("server.txt", print(false), print(true));
}

/// Seconds after the start at which a machine that nobody answers sends or ends.
fn course<const N: usize, S>(
    mut subject: S,
    timers: impl Fn(&mut S) -> &mut Timers<N>,
    expired: impl Fn(&mut S, Timestamp, usize, &mut Sender<'_>) -> Verdict,
) -> (Vec<f64>, Option<f64>) {
    let seconds = |at: Timestamp| at.since(NOW).as_secs_f64();
    let (mut sends, mut end) = (Vec::new(), None);
    while let Some(now) = timers(&mut subject).next() {
        assert!(now.since(NOW) <= Duration::from_secs(600), "it ends");
        while let Some(timer) = timers(&mut subject).expired(now) {
            let (verdict, sent) = with_sender(|to| expired(&mut subject, now, timer, to));
            sends.extend(sent.iter().map(|_| seconds(now)));
            if verdict == Verdict::Tell || timers(&mut subject).next().is_none() {
                end = Some(seconds(now));
            }
        }
    }
    (sends, end)
}

#[test]
fn timers_a_and_b_run_as_rfc_3261_says() {
    for (is_reliable, expected) in [
        (false, vec![0.5, 1.5, 3.5, 7.5, 15.5, 31.5]),
        (true, vec![]),
    ] {
        let start = |to: &mut Sender<'_>| {
            InviteClient::start(NOW, TimerSet::default(), is_reliable, request("INVITE"), to)
        };
        let run = course(
            with_sender(start).0,
            |s| &mut s.timers,
            InviteClient::expired,
        );
        assert_eq!(run, (expected, Some(32.0)));
    }
}

#[test]
fn timers_e_and_f_run_as_rfc_3261_says() {
    let mut expected = vec![0.5, 1.5, 3.5];
    expected.extend((0..7).map(|n| 7.5 + 4.0 * f64::from(n)));
    for (is_reliable, expected) in [(false, expected), (true, vec![])] {
        let start = |to: &mut Sender<'_>| {
            Client::start(NOW, TimerSet::default(), is_reliable, request("BYE"), to)
        };
        let run = course(with_sender(start).0, |s| &mut s.timers, Client::expired);
        assert_eq!(run, (expected, Some(32.0)));
    }
}

#[test]
fn timer_e_repeats_every_t2_once_a_provisional_came() {
    let start =
        |to: &mut Sender<'_>| Client::start(NOW, TimerSet::default(), false, request("BYE"), to);
    let mut client = with_sender(start).0;
    client.response(NOW, &response(100));
    let run = course(client, |s| &mut s.timers, Client::expired);
    let expected: Vec<f64> = (0..8).map(|n| 0.5 + 4.0 * f64::from(n)).collect();
    assert_eq!(run, (expected, Some(32.0)));
}

#[test]
fn timers_g_and_h_run_as_rfc_3261_says() {
    let mut expected = vec![0.5, 1.5, 3.5];
    expected.extend((0..7).map(|n| 7.5 + 4.0 * f64::from(n)));
    for (is_reliable, expected) in [(false, expected), (true, vec![])] {
        let (server, _) = with_sender(|to| {
            let mut server =
                InviteServer::start(NOW, TimerSet::default(), is_reliable, bytes_of(100));
            server.respond(NOW, status(486), bytes_of(486), to);
            server
        });
        let run = course(server, |s| &mut s.timers, InviteServer::expired);
        assert_eq!(run, (expected, Some(32.0)));
    }
}

/// When a machine that needs nothing more ends.
fn lingers(is_reliable: bool) -> [Option<f64>; 6] {
    let set = TimerSet::default();
    let invite = |code| {
        let start = |to: &mut Sender<'_>| {
            let mut machine = InviteClient::start(NOW, set, is_reliable, request("INVITE"), to);
            machine.response(NOW, &response(code), to);
            machine
        };
        course(
            with_sender(start).0,
            |s| &mut s.timers,
            InviteClient::expired,
        )
        .1
    };
    let client = |to: &mut Sender<'_>| {
        let mut machine = Client::start(NOW, set, is_reliable, request("BYE"), to);
        machine.response(NOW, &response(200));
        machine
    };
    let invited = |code: u16| {
        let start = |to: &mut Sender<'_>| {
            let mut machine = InviteServer::start(NOW, set, is_reliable, bytes_of(100));
            machine.respond(NOW, status(code), bytes_of(code), to);
            machine.ack(NOW);
            machine
        };
        course(
            with_sender(start).0,
            |s| &mut s.timers,
            InviteServer::expired,
        )
        .1
    };
    let server = |to: &mut Sender<'_>| {
        let mut machine = Server::start(NOW, set, is_reliable, trying());
        machine.respond(NOW, status(200), bytes_of(200), to);
        machine
    };
    let expired = |s: &mut Server, _: Timestamp, timer: usize, to: &mut Sender<'_>| {
        s.expired(timer, to);
        Verdict::Quiet
    };
    [
        invite(486),
        invite(200),
        course(with_sender(client).0, |s| &mut s.timers, Client::expired).1,
        invited(486),
        invited(200),
        course(with_sender(server).0, |s| &mut s.timers, expired).1,
    ]
}

#[test]
fn timers_d_m_k_i_l_and_j_last_as_long_as_the_transport_needs() {
    let [d, m, k, i, l, j] = lingers(false);
    assert_eq!([d, m, k], [Some(32.0), Some(32.0), Some(5.0)]);
    assert_eq!([i, l, j], [Some(5.0), Some(32.0), Some(32.0)]);
    let [d, m, k, i, l, j] = lingers(true);
    assert_eq!([d, m, k], [Some(0.0), Some(32.0), Some(0.0)]);
    assert_eq!([i, l, j], [Some(0.0), Some(32.0), Some(0.0)]);
}

#[test]
fn timer_d_is_never_shorter_than_32_seconds_on_udp() {
    let t1 = Duration::from_millis(100);
    let set = TimerSet {
        t1,
        ..TimerSet::default()
    };
    assert_eq!(set.absorb_failures(false), Duration::from_secs(32));
    assert_eq!(set.patience(), Duration::from_millis(6_400));
}
