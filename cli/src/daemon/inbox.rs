//! The way into a shard: a bounded queue with two lanes, and where the shard waits when both are empty.
//!
//! Messages of existing dialogs and transactions, and everything our own side reports, go first;
//! requests that would begin something new go second (architecture, section 16). Under overload the
//! second lane fills and is refused, so that work in progress is always finished.
//!
//! Between the two is a short lane for calls for help: they wait for work in progress and for nothing
//! else, and none is refused because others are many (SIP-1401). Anybody may claim to call for help, so
//! beyond its length they are requests like others, and what is in progress still goes first.

use crate::daemon::poller::Poller;
use sbc_core::id::{ListenerName, ShardId};
use sbc_core::input::Input;
use sbc_core::policy::emergency::HelpNumbers;
use sbc_core::sip::{Message, Method};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Inputs that may wait in the first lane; beyond it only peers' messages are refused.
const FIRST_LANE: usize = 65_536;
/// As long as more wait there, sockets are not read: nothing in them could be more urgent, and the
/// largest datagrams would take gigabytes.
const ENOUGH: usize = 1024;
/// Calls for help that may wait in a lane of their own.
const HELP_LANE: usize = 1_024;
/// New requests that may wait.
const SECOND_LANE: usize = 4_096;
/// A new request older than this has been repeated or given up by its sender: refusing the newest
/// is better than serving the oldest.
const SECOND_LANE_AGE: Duration = Duration::from_secs(2);
/// Inputs after which the sockets are looked at even though more inputs wait: what a peer sends must
/// reach its lane while others keep the shard busy, or the kernel would drop BYE and INVITE alike.
const INPUTS_PER_LOOK: u32 = 32;

/// The queue of one shard. Many writers, one reader.
pub struct Inbox {
    shard: ShardId,
    lanes: Mutex<Lanes>,
    poller: Poller,
}

#[derive(Default)]
struct Lanes {
    first: VecDeque<(Instant, Input)>,
    help: VecDeque<(Instant, Input)>,
    second: VecDeque<(Instant, Input)>,
    /// What the configuration that came last knows as calls for help.
    numbers: HelpNumbers,
    is_closed: bool,
    /// The reader waits, or is about to, and must be woken.
    is_awaited: bool,
    /// Inputs that the reader has taken since it last looked at its sockets.
    since_look: u32,
}

/// What a shard finds in its inbox.
pub enum Next {
    /// An input, and how long it waited.
    Input(Box<Input>, Duration),
    /// Nothing came in time.
    Nothing,
    /// The inbox is closed and empty.
    Closed,
}

/// An input was refused because its lane is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl Inbox {
    /// An empty inbox.
    ///
    /// # Errors
    /// If the process has no descriptors left.
    pub fn new(shard: ShardId) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            shard,
            lanes: Mutex::new(Lanes::default()),
            poller: Poller::new()?,
        }))
    }

    /// Whose inbox it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Where the reader waits; it serves the sockets that are added there.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Adds an input.
    ///
    /// # Errors
    /// [`Full`] if it is a peer's message, or a peer's report about media, and there is no room; what our own
    /// side reports is always taken, because it is bounded by what the shard itself asked for.
    pub fn push(&self, input: Input) -> Result<(), Full> {
        let now = Instant::now();
        let mut lanes = self.lock();
        if let Input::Config(config) = &input {
            lanes.numbers = HelpNumbers::of(config);
        }
        match lane(&input) {
            Lane::New if lanes.has_room_for_help(&input) => lanes.help.push_back((now, input)),
            Lane::New => {
                let is_stale = lanes
                    .second
                    .front()
                    .is_some_and(|(since, _)| now.duration_since(*since) > SECOND_LANE_AGE);
                if lanes.second.len() >= SECOND_LANE || is_stale {
                    return Err(Full);
                }
                lanes.second.push_back((now, input));
            }
            Lane::Known if lanes.first.len() >= FIRST_LANE => return Err(Full),
            Lane::Aside if lanes.first.len() >= ENOUGH => return Err(Full),
            Lane::Known | Lane::Aside | Lane::Own => lanes.first.push_back((now, input)),
        }
        let is_awaited = std::mem::take(&mut lanes.is_awaited);
        drop(lanes);
        if is_awaited {
            self.poller.wake();
        }
        Ok(())
    }

    /// Waits for the next input, at most `wait`, and serves the sockets of this shard meanwhile.
    pub fn next(&self, wait: Duration) -> Next {
        let deadline = Instant::now() + wait;
        loop {
            let mut lanes = self.lock();
            if lanes.is_to_look() {
                drop(lanes);
                self.look(Duration::ZERO);
                lanes = self.lock();
            }
            if let Some((since, input)) = lanes.pop() {
                lanes.since_look += 1;
                return Next::Input(Box::new(input), since.elapsed());
            }
            if lanes.is_closed {
                return Next::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            lanes.is_awaited = true;
            drop(lanes);
            self.look(left);
        }
    }

    /// Waits until a socket is ready or somebody wakes, and serves what is ready.
    fn look(&self, wait: Duration) {
        let ready = self.poller.wait(wait);
        {
            let mut lanes = self.lock();
            // From here on what is pushed is seen without waking anybody.
            lanes.is_awaited = false;
            lanes.since_look = 0;
        }
        for source in ready {
            source.serve();
        }
    }

    /// Whether so much waits that who can make its peer wait should.
    pub fn is_crowded(&self) -> bool {
        let lanes = self.lock();
        let is_slow = |(since, _): &(Instant, Input)| since.elapsed() > SECOND_LANE_AGE / 2;
        lanes.second.len() >= SECOND_LANE / 2
            || lanes.first.len() >= FIRST_LANE / 2
            || lanes.second.front().is_some_and(is_slow)
    }

    /// Lets the reader finish what is there and then end.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.poller.wake();
    }

    /// Whether [`Self::next`] would come back at once with an input: not where it looks at the sockets first, which takes
    /// as long as there is to read.
    pub fn has_input(&self) -> bool {
        let lanes = self.lock();
        lanes.depth() > 0 && !lanes.is_to_look()
    }

    /// Inputs waiting in all lanes.
    pub fn depth(&self) -> usize {
        self.lock().depth()
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // The lanes are consistent between any two statements above.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn pop(&mut self) -> Option<(Instant, Input)> {
        let next = self.first.pop_front();
        let next = next.or_else(|| self.help.pop_front());
        next.or_else(|| self.second.pop_front())
    }

    fn depth(&self) -> usize {
        self.first.len() + self.help.len() + self.second.len()
    }

    /// Whether the sockets come before the next input.
    fn is_to_look(&self) -> bool {
        self.since_look >= INPUTS_PER_LOOK && self.first.len() < ENOUGH
    }

    /// Whether this is a call for help that its own lane takes.
    fn has_room_for_help(&self, input: &Input) -> bool {
        let Input::Received { message, .. } = input else {
            return false;
        };
        self.help.len() < HELP_LANE && self.numbers.are_called_by(message)
    }
}

enum Lane {
    /// Reported by our own side.
    Own,
    /// A peer's message that belongs to something we know.
    Known,
    /// What no call depends on.
    Aside,
    /// A peer's request that begins something.
    New,
}

/// Whether an input begins something, so that its turn comes after everything else.
pub fn is_new_work(input: &Input) -> bool {
    matches!(lane(input), Lane::New)
}

fn lane(input: &Input) -> Lane {
    match input {
        Input::Received { message, .. } if begins_something(message) => Lane::New,
        Input::Received { .. } | Input::Stun { .. } => Lane::Known,
        // At most it gets a refusal, and no call waits for that.
        Input::Malformed { .. } => Lane::New,
        Input::Media(media_api::Event::Reported { .. }) => Lane::Aside,
        Input::FlowLost { .. }
        | Input::SendFailed { .. }
        | Input::Returned { .. }
        | Input::Leaves { .. }
        | Input::Outcome(..)
        | Input::Media(_)
        | Input::TargetHealth { .. }
        | Input::Registration(_)
        | Input::Bindings(_)
        | Input::Restored(_)
        | Input::Presence(_)
        | Input::Command(..)
        | Input::Config(_)
        | Input::Lag(_)
        | Input::Strain(_)
        | Input::Unrecorded(_)
        | Input::Journal(_)
        | Input::Letter(_)
        | Input::Found(_)
        | Input::Tick => Lane::Own,
    }
}

/// A request outside any dialog, other than those that can only belong to one.
fn begins_something(message: &Message) -> bool {
    if message.is_response() {
        return false;
    }
    match message.method() {
        Method::Ack | Method::Cancel | Method::Bye | Method::Prack | Method::Update => false,
        _ => message.to_tag().is_none(),
    }
}

/// All inboxes, and the way from a message to its shard.
#[derive(Clone)]
pub struct Inboxes {
    shards: Arc<[Arc<Inbox>]>,
    demux: fn(&Message, u8) -> ShardId,
}

impl Inboxes {
    /// Inboxes of shards 0, 1, … and the function that finds the shard of a message.
    pub fn new(shards: Vec<Arc<Inbox>>, demux: fn(&Message, u8) -> ShardId) -> Self {
        Self {
            shards: shards.into(),
            demux,
        }
    }

    /// The inbox of one shard.
    pub fn of(&self, shard: ShardId) -> Option<&Arc<Inbox>> {
        self.shards.get(usize::from(shard.0))
    }

    /// How many there are.
    pub fn count(&self) -> u8 {
        u8::try_from(self.shards.len()).unwrap_or(u8::MAX)
    }

    /// The inbox that a message belongs into.
    pub fn of_message(&self, message: &Message) -> Option<&Arc<Inbox>> {
        self.of((self.demux)(message, self.count()))
            .or_else(|| self.shards.first())
    }

    /// Whether one of them is [crowded](Inbox::is_crowded).
    pub fn are_crowded(&self) -> bool {
        self.shards.iter().any(|inbox| inbox.is_crowded())
    }

    /// The inbox whose shard reads the datagrams of this listener.
    pub fn reader_of(&self, listener: &ListenerName) -> Option<&Arc<Inbox>> {
        let mut hasher = DefaultHasher::new();
        listener.hash(&mut hasher);
        let count = u64::try_from(self.shards.len()).unwrap_or(1).max(1);
        let at = usize::try_from(hasher.finish() % count).unwrap_or(0);
        self.shards.get(at)
    }

    /// Every inbox.
    pub fn all(&self) -> &[Arc<Inbox>] {
        &self.shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{Assumed, Source, load};
    use sbc_core::id::FlowId;
    use sbc_core::sip::Limits;
    use sbc_core::transport::{Flow, Protocol};

    fn received(text: &str) -> Input {
        let address = "192.0.2.1:5060".parse().unwrap();
        Input::Received {
            flow: Flow {
                id: FlowId(1),
                protocol: Protocol::Udp,
                listener: ListenerName::new("l"),
                local: address,
                remote: address,
                identity: None,
                tls: None,
            },
            message: Message::parse(text.to_owned().into(), &Limits::default()).unwrap(),
        }
    }

    const CONFIG: &str = r#"
[node]
id = "sbc1"
[[realm]]
name = "carrier"
addresses = ["192.0.2.11"]
ports = "20000-29999"
[[listen]]
realm = "carrier"
transport = "udp"
port = 5060
[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]
emergency = ["112"]
[[trunk]]
name = "carrier-a"
tenant = "*"
realm = "carrier"
targets = ["198.51.100.20:5060;udp"]
[[route]]
name = "help"
match = { emergency = true }
to = [{ trunk = "carrier-a" }]
"#;

    fn request(method: &str, to_tag: &str) -> Input {
        received(&text_of(method, to_tag))
    }

    fn text_of(method: &str, to_tag: &str) -> String {
        format!(
            "{method} sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>{to_tag}\r\nCall-ID: 1\r\n\
             CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn method(next: Next) -> String {
        match next {
            Next::Input(input, _) => match *input {
                Input::Received { message, .. } => message.method().as_str().to_owned(),
                other => format!("{other:?}"),
            },
            Next::Nothing => "nothing".to_owned(),
            Next::Closed => "closed".to_owned(),
        }
    }

    #[test]
    fn what_belongs_to_a_dialog_overtakes_new_work() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        inbox.push(request("INVITE", "")).unwrap();
        inbox.push(request("BYE", ";tag=2")).unwrap();
        inbox.push(request("INVITE", ";tag=2")).unwrap();
        inbox.push(Input::Tick).unwrap();
        let wait = Duration::from_millis(1);
        assert_eq!(method(inbox.next(wait)), "BYE");
        assert_eq!(method(inbox.next(wait)), "INVITE");
        assert_eq!(method(inbox.next(wait)), "Tick");
        assert_eq!(inbox.depth(), 1);
    }

    #[test]
    fn new_work_is_refused_when_its_lane_is_full_and_known_work_is_not() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let invite = request("INVITE", "");
        for _ in 0..SECOND_LANE {
            inbox.push(invite.clone()).unwrap();
        }
        assert_eq!(inbox.push(invite), Err(Full));
        assert_eq!(inbox.push(request("ACK", ";tag=2")), Ok(()));
    }

    #[test]
    fn a_call_for_help_overtakes_new_work_and_is_never_refused_because_of_it() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let facts = Assumed::with_names([]);
        let config = match load(&[Source::new("test.toml", CONFIG)], &facts, None) {
            Ok(loaded) => loaded.config,
            Err(findings) => panic!("{}", findings.to_text()),
        };
        inbox.push(Input::Config(Arc::new(config))).unwrap();
        for _ in 0..SECOND_LANE {
            inbox.push(request("INVITE", "")).unwrap();
        }
        let to = |uri: &str| {
            let text =
                text_of("INVITE", "").replace("sip:a@example.com SIP", &format!("{uri} SIP"));
            received(&text)
        };
        assert_eq!(inbox.push(to("sip:1122@example.com")), Err(Full));
        inbox.push(to("sip:112@example.com;user=phone")).unwrap();
        inbox.push(to("urn:service:sos.fire")).unwrap();
        for mark in ["Priority: emergency", "Geolocation: <cid:1@example.com>"] {
            let text = text_of("INVITE", "").replace("Max-F", &format!("{mark}\r\nMax-F"));
            inbox.push(received(&text)).unwrap();
        }
        inbox.push(request("BYE", ";tag=2")).unwrap();
        let next = || match inbox.next(Duration::ZERO) {
            Next::Input(input, _) => match *input {
                Input::Received { message, .. } => message.request_uri().to_vec(),
                _ => Vec::new(),
            },
            Next::Nothing | Next::Closed => Vec::new(),
        };
        assert_eq!(next(), b"", "the configuration");
        assert_eq!(next(), b"sip:a@example.com", "a BYE");
        assert_eq!(next(), b"sip:112@example.com;user=phone");
        assert_eq!(next(), b"urn:service:sos.fire");
        for _ in 0..2 {
            assert_eq!(next(), b"sip:a@example.com", "a mark");
        }
        assert_eq!(inbox.depth(), SECOND_LANE);
        // Whoever claims it without end does not push everybody else aside.
        for _ in 0..HELP_LANE {
            inbox.push(to("sip:112@example.com")).unwrap();
        }
        assert_eq!(inbox.push(to("sip:112@example.com")), Err(Full));
    }

    /// A socket with a BYE in it that nobody has read yet.
    struct Unread {
        socket: std::net::UdpSocket,
        inbox: Arc<Inbox>,
    }

    impl crate::daemon::poller::Source for Unread {
        fn fd(&self) -> rustix::fd::BorrowedFd<'_> {
            std::os::fd::AsFd::as_fd(&self.socket)
        }

        fn serve(&self) {
            if self.socket.recv(&mut [0; 8]).is_ok() {
                self.inbox.push(request("BYE", ";tag=2")).unwrap();
            }
        }
    }

    fn unread(inbox: &Arc<Inbox>) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let to = socket.local_addr().unwrap();
        socket.send_to(b"x", to).unwrap();
        let inbox_of_source = Arc::clone(inbox);
        let source = Unread {
            socket,
            inbox: inbox_of_source,
        };
        inbox.poller().add(Arc::new(source)).unwrap();
    }

    #[test]
    fn a_datagram_of_a_dialog_overtakes_new_work_that_was_read_before_it() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        for _ in 0..1000 {
            inbox.push(request("INVITE", "")).unwrap();
        }
        unread(&inbox);
        let before = (0..1000).take_while(|_| method(inbox.next(Duration::ZERO)) != "BYE");
        assert!(before.count() < 100);
    }

    #[test]
    fn whoever_is_to_look_at_its_sockets_first_has_no_input_yet() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        assert!(!inbox.has_input());
        (0..INPUTS_PER_LOOK + 2).for_each(|_| inbox.push(Input::Tick).unwrap());
        for _ in 0..INPUTS_PER_LOOK {
            assert!(inbox.has_input());
            assert_eq!(method(inbox.next(Duration::ZERO)), "Tick");
        }
        assert!(!inbox.has_input());
        assert_eq!(inbox.depth(), 2);
        // It has looked.
        assert_eq!(method(inbox.next(Duration::ZERO)), "Tick");
        assert!(inbox.has_input());
    }

    #[test]
    fn datagrams_are_read_while_others_keep_the_inbox_full() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        unread(&inbox);
        let was_read = (0..1000).any(|_| {
            inbox.push(Input::Tick).unwrap();
            inbox.push(Input::Tick).unwrap();
            method(inbox.next(Duration::ZERO)) == "Tick"
                && inbox.poller().wait(Duration::ZERO).is_empty()
        });
        assert!(was_read);
    }

    #[test]
    fn nothing_more_is_read_while_much_waits_that_is_urgent() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        unread(&inbox);
        for _ in 0..ENOUGH + 100 {
            inbox.push(Input::Tick).unwrap();
        }
        for _ in 0..100 {
            inbox.next(Duration::ZERO);
        }
        assert_eq!(inbox.depth(), ENOUGH);
        let mut last = String::new();
        for _ in 0..=ENOUGH {
            last = method(inbox.next(Duration::ZERO));
        }
        assert_eq!(last, "BYE");
    }

    /// MED-262: what collectors alone hear gives way to what calls depend on.
    #[test]
    fn reports_for_collectors_find_no_room_where_much_waits() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let session = media_api::SessionId(1);
        let report = || {
            Input::Media(media_api::Event::Reported {
                session,
                endpoint: media_api::EndpointId(0),
                stream: media_api::StreamIndex(0),
                report: media_api::RtcpReport {
                    teller: media_api::Teller::Us,
                    local: "192.0.2.1:1".parse().unwrap(),
                    remote: "192.0.2.2:1".parse().unwrap(),
                    ssrc: 1,
                    sender: None,
                    reception: None,
                    extended: None,
                },
            })
        };
        for _ in 0..ENOUGH {
            assert_eq!(inbox.push(report()), Ok(()));
        }
        assert_eq!(inbox.push(report()), Err(Full));
        let lost = media_api::Event::Lost { session };
        assert_eq!(inbox.push(Input::Media(lost)), Ok(()));
    }

    #[test]
    fn broken_requests_do_not_overtake_new_calls() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        inbox.push(request("INVITE", "")).unwrap();
        let Input::Received { flow, .. } = request("INVITE", "") else {
            panic!("a message was received");
        };
        let broken = Message::parse(
            "INVITE sip:a@example.com SIP/2.0\r\nX".into(),
            &Limits::default(),
        );
        let rejected = broken.unwrap_err();
        inbox.push(Input::Malformed { flow, rejected }).unwrap();
        assert_eq!(method(inbox.next(Duration::ZERO)), "INVITE");
    }

    #[test]
    fn a_closed_inbox_is_emptied_first() {
        let inbox = Inbox::new(ShardId(0)).unwrap();
        inbox.push(Input::Tick).unwrap();
        inbox.close();
        assert_eq!(method(inbox.next(Duration::ZERO)), "Tick");
        assert_eq!(method(inbox.next(Duration::ZERO)), "closed");
    }
}
