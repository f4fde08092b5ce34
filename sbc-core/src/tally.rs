//! What a shard has sent, received and waited for in vain, by trunk: plain counters that only ever grow.
//!
//! Each shard owns its counters and adds to them as it goes on; whoever shows them reads all shards
//! ([`Tally::figures`]) without holding any of them up. A message costs an index and an addition: the
//! counters of its trunk are looked up once for a transaction. Rows of responses are made when the first of
//! a method comes, so that a trunk takes little room.

use crate::hashed::Minted;
use crate::id::TrunkName;
use crate::sip::Method;
use crate::transport::Protocol;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

// Ordering: each number stands for itself.
const ORDER: Ordering = Ordering::Relaxed;

/// Which way a message went. Label values of metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// Towards us.
    In,
    /// From us.
    Out,
}

impl Direction {
    /// Both, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::In, Self::Out];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Methods with a label value of their own; all others share `other`.
const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "UPDATE",
    "INFO",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
    "PUBLISH",
];
const ANY_METHOD: usize = METHODS.len() + 1;

/// Statuses with a label value of their own are those that are registered; a peer that makes up codes must not make up
/// series.
const CODES: [u16; 75] = [
    100, 180, 181, 182, 183, 199, 200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404,
    405, 406, 407, 408, 410, 412, 413, 414, 415, 416, 417, 420, 421, 422, 423, 424, 425, 428, 429,
    430, 433, 436, 437, 438, 439, 440, 469, 470, 480, 481, 482, 483, 484, 485, 486, 487, 488, 489,
    491, 493, 494, 500, 501, 502, 503, 504, 505, 513, 555, 580, 600, 603, 604, 606, 607, 608,
];
const ANY_CODE: usize = CODES.len() + 1;

/// Where each status is in a row.
static PLACES: [u8; 700] = places();

const fn places() -> [u8; 700] {
    let mut places = [CODES.len() as u8; 700];
    let mut at = 0;
    while at < CODES.len() {
        places[CODES[at] as usize] = at as u8;
        at += 1;
    }
    places
}

/// A method as counters know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CountedMethod(u8);

impl CountedMethod {
    const ACK: Self = Self(1);
    const BYE: Self = Self(2);

    /// As it is written.
    pub fn named(name: &str) -> Self {
        let at = METHODS.iter().position(|known| *known == name);
        Self(at.unwrap_or(METHODS.len()) as u8)
    }

    /// Label value.
    pub fn as_str(self) -> &'static str {
        METHODS.get(usize::from(self.0)).copied().unwrap_or("other")
    }
}

impl From<&Method> for CountedMethod {
    fn from(method: &Method) -> Self {
        Self::named(method.as_str())
    }
}

/// A status as counters know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CountedCode(u8);

impl From<u16> for CountedCode {
    fn from(code: u16) -> Self {
        let place = PLACES.get(usize::from(code)).copied();
        Self(place.unwrap_or(CODES.len() as u8))
    }
}

impl fmt::Display for CountedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.get(usize::from(self.0)) {
            Some(code) => code.fmt(f),
            None => f.write_str("other"),
        }
    }
}

/// What is repeated. Label values of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Repeated {
    /// A request; also the ACK of a 2xx.
    Request,
    /// A response.
    Response,
}

impl Repeated {
    /// Both, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::Request, Self::Response];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// What did not come in time. Label values of a metric: timers of RFC 3261 §17 by their letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Missed {
    /// A response to an INVITE of ours.
    B,
    /// A final response to another request of ours.
    F,
    /// The ACK of a refusal.
    H,
    /// The PRACK of a reliable provisional response.
    Prack,
    /// The ACK of a 2xx.
    Ack,
}

impl Missed {
    /// All, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::B, Self::F, Self::H, Self::Prack, Self::Ack];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::B => "B",
            Self::F => "F",
            Self::H => "H",
            Self::Prack => "prack",
            Self::Ack => "ack",
        }
    }
}

/// Who refreshes a session (RFC 4028). Label values of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RefreshRole {
    /// We do.
    Local,
    /// The peer does.
    Peer,
}

impl RefreshRole {
    const ALL: [Self; 2] = [Self::Local, Self::Peer];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Peer => "peer",
        }
    }
}

/// What became of a refresh. Label values of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RefreshResult {
    /// The session goes on for another interval.
    Refreshed,
    /// It was refused, and is tried again.
    Failed,
    /// There was none in time, and the session has ended.
    Expired,
}

impl RefreshResult {
    const ALL: [Self; 3] = [Self::Refreshed, Self::Failed, Self::Expired];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// Upper ends of the buckets of answers to OPTIONS and BYE, in milliseconds.
const ANSWER_MS: [u64; 9] = [5, 10, 20, 50, 100, 200, 500, 1_000, 5_000];

type Row = Box<[AtomicU64; ANY_CODE]>;

/// The counters of one trunk in one shard.
#[derive(Default)]
pub struct TrunkTally {
    requests: [[[AtomicU64; 3]; ANY_METHOD]; 2],
    responses: [[OnceLock<Row>; ANY_METHOD]; 2],
    repeated: [[AtomicU64; 2]; 2],
    missed: [AtomicU64; Missed::ALL.len()],
    refreshes: [[AtomicU64; RefreshResult::ALL.len()]; 2],
    /// OPTIONS of ours that were answered.
    answers: Times,
    /// BYEs of ours that were answered by a 2xx.
    disconnects: Times,
}

/// How long something took.
#[derive(Default)]
struct Times {
    /// By buckets; the last is of those that took longer.
    counts: [AtomicU64; ANSWER_MS.len() + 1],
    us: AtomicU64,
}

impl Times {
    fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = ANSWER_MS.iter().position(|ms| us <= ms * 1_000);
        if let Some(counter) = self.counts.get(at.unwrap_or(ANSWER_MS.len())) {
            counter.fetch_add(1, ORDER);
        }
        self.us.fetch_add(us, ORDER);
    }
}

impl TrunkTally {
    /// A request went by.
    pub fn request(&self, direction: Direction, method: CountedMethod, protocol: Protocol) {
        let of_method = &self.requests[direction as usize][usize::from(method.0) % ANY_METHOD];
        of_method[protocol_index(protocol)].fetch_add(1, ORDER);
    }

    /// A response went by.
    pub fn response(&self, direction: Direction, method: CountedMethod, code: u16) {
        let slot = &self.responses[direction as usize][usize::from(method.0) % ANY_METHOD];
        let row = slot.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        let place = usize::from(CountedCode::from(code).0);
        if let Some(counter) = row.get(place) {
            counter.fetch_add(1, ORDER);
        }
    }

    /// A message of ours, in its wire form, of a transaction of this method.
    pub(crate) fn sent(&self, method: CountedMethod, protocol: Protocol, bytes: &[u8]) {
        match bytes.strip_prefix(b"SIP/2.0 ") {
            Some([a, b, c, ..]) => {
                let digit = |octet: u8| u16::from(octet.wrapping_sub(b'0') % 10);
                let code = 100 * digit(*a) + 10 * digit(*b) + digit(*c);
                self.response(Direction::Out, method, code);
            }
            // The ACK of a refusal is one of the INVITE's transaction.
            _ if bytes.starts_with(b"ACK ") => {
                self.request(Direction::Out, CountedMethod::ACK, protocol);
            }
            _ => self.request(Direction::Out, method, protocol),
        }
    }

    /// A message was repeated; it is counted as a message besides.
    pub fn repeated(&self, direction: Direction, what: Repeated) {
        self.repeated[direction as usize][what as usize].fetch_add(1, ORDER);
    }

    /// Something did not come in time.
    pub fn missed(&self, what: Missed) {
        self.missed[what as usize].fetch_add(1, ORDER);
    }

    /// A session was refreshed, or was not.
    pub fn refresh(&self, role: RefreshRole, result: RefreshResult) {
        self.refreshes[role as usize][result as usize].fetch_add(1, ORDER);
    }

    /// OPTIONS of ours were answered after so long.
    pub fn options_answered(&self, took: Duration) {
        self.answers.took(took);
    }

    /// A request of ours that began so long ago was answered by a 2xx: of a BYE that is the session disconnect delay
    /// (RFC 6076 §4.4).
    pub(crate) fn succeeded(&self, method: CountedMethod, took: Duration) {
        if method == CountedMethod::BYE {
            self.disconnects.took(took);
        }
    }
}

impl fmt::Debug for TrunkTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrunkTally").finish_non_exhaustive()
    }
}

const fn protocol_index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Udp => 0,
        Protocol::Tcp => 1,
        Protocol::Tls => 2,
    }
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Udp, Protocol::Tcp, Protocol::Tls];

/// How much one shard has at present.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Held {
    /// INVITEs of ours.
    pub invite_clients: u64,
    /// Other requests of ours.
    pub clients: u64,
    /// INVITEs of peers.
    pub invite_servers: u64,
    /// Other requests of peers.
    pub servers: u64,
    /// Dialogs that live.
    pub dialogs: u64,
    /// Dialogs that have ended and are remembered for half a minute.
    pub ended_dialogs: u64,
}

impl Held {
    const SIZE: usize = 6;

    fn numbers(self) -> [u64; Self::SIZE] {
        [
            self.invite_clients,
            self.clients,
            self.invite_servers,
            self.servers,
            self.dialogs,
            self.ended_dialogs,
        ]
    }
}

#[derive(Default, Debug)]
struct ShardTally {
    trunks: Mutex<Vec<(TrunkName, Arc<TrunkTally>)>>,
    held: [AtomicU64; Held::SIZE],
}

/// The counters of all shards of a node. Clones are the same.
#[derive(Clone, Default, Debug)]
pub struct Tally(Arc<Mutex<Vec<Arc<ShardTally>>>>);

/// The counters of one shard, as the shard has them.
#[derive(Default)]
pub(crate) struct OwnTally {
    trunks: Minted<TrunkName, Arc<TrunkTally>>,
    shown: Arc<ShardTally>,
}

impl OwnTally {
    /// Those of a trunk.
    pub(crate) fn of(&mut self, trunk: &TrunkName) -> Arc<TrunkTally> {
        if let Some(known) = self.trunks.get(trunk) {
            return Arc::clone(known);
        }
        let made = Arc::<TrunkTally>::default();
        self.trunks.insert(trunk.clone(), Arc::clone(&made));
        let mut shown = lock(&self.shown.trunks);
        shown.push((trunk.clone(), Arc::clone(&made)));
        made
    }

    /// The shard has so much now.
    pub(crate) fn holds(&self, held: Held) {
        for (shown, number) in self.shown.held.iter().zip(held.numbers()) {
            shown.store(number, ORDER);
        }
    }
}

impl Tally {
    /// Those of another shard.
    pub(crate) fn beside(&self) -> OwnTally {
        let own = OwnTally::default();
        lock(&self.0).push(Arc::clone(&own.shown));
        own
    }

    /// What all shards have counted so far.
    pub fn figures(&self) -> Figures {
        let shards = lock(&self.0).clone();
        let mut figures = Figures::default();
        for shard in shards {
            // A shard waits for this at most when it meets a trunk for the first time.
            let trunks = lock(&shard.trunks).clone();
            for (name, tally) in trunks {
                figures.trunks.entry(name).or_default().add(&tally);
            }
            let [a, b, c, d, e, f] = &shard.held;
            let held = &mut figures.held;
            for (sum, own) in [
                (&mut held.invite_clients, a),
                (&mut held.clients, b),
                (&mut held.invite_servers, c),
                (&mut held.servers, d),
                (&mut held.dialogs, e),
                (&mut held.ended_dialogs, f),
            ] {
                *sum += own.load(ORDER);
            }
        }
        figures
    }
}

/// What a node has counted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Figures {
    /// By trunk.
    pub trunks: BTreeMap<TrunkName, TrunkFigures>,
    /// How much there is.
    pub held: Held,
}

/// What was counted of one trunk; only what has happened is there.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TrunkFigures {
    /// Requests.
    pub requests: BTreeMap<(Direction, CountedMethod, Protocol), u64>,
    /// Responses.
    pub responses: BTreeMap<(Direction, CountedMethod, CountedCode), u64>,
    /// Messages that were repeated.
    pub repeated: BTreeMap<(Direction, Repeated), u64>,
    /// What did not come in time.
    pub missed: BTreeMap<Missed, u64>,
    /// Refreshes of sessions.
    pub refreshes: BTreeMap<(RefreshRole, RefreshResult), u64>,
    /// Answers to OPTIONS of ours by the upper end of how long they took, and those of any time.
    pub answers: Answers,
    /// The same of BYEs of ours and their 2xx.
    pub disconnects: Answers,
}

/// How long answers took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Answers {
    /// Those that took no longer than each of [`Answers::ends`], and no less than the one before.
    pub counts: [u64; ANSWER_MS.len()],
    /// All.
    pub count: u64,
    /// Microseconds of all together.
    pub sum_us: u64,
}

impl Answers {
    /// Upper ends in seconds.
    pub fn ends() -> [f64; ANSWER_MS.len()] {
        ANSWER_MS.map(|ms| ms as f64 / 1_000.0)
    }

    fn add(&mut self, own: &Times) {
        for (at, counter) in own.counts.iter().enumerate() {
            let count = counter.load(ORDER);
            self.count += count;
            if let Some(bucket) = self.counts.get_mut(at) {
                *bucket += count;
            }
        }
        self.sum_us += own.us.load(ORDER);
    }
}

impl TrunkFigures {
    fn add(&mut self, own: &TrunkTally) {
        let methods = || (0..ANY_METHOD as u8).map(CountedMethod);
        for direction in Direction::ALL {
            let requests = &own.requests[direction as usize];
            for (method, of_method) in methods().zip(requests) {
                for (protocol, counter) in PROTOCOLS.into_iter().zip(of_method) {
                    add(&mut self.requests, (direction, method, protocol), counter);
                }
            }
            let rows = &own.responses[direction as usize];
            for (method, row) in methods().zip(rows) {
                let codes = (0..ANY_CODE as u8).map(CountedCode);
                for (code, counter) in codes.zip(row.get().into_iter().flat_map(|row| row.iter())) {
                    add(&mut self.responses, (direction, method, code), counter);
                }
            }
            for (what, counter) in Repeated::ALL
                .into_iter()
                .zip(&own.repeated[direction as usize])
            {
                add(&mut self.repeated, (direction, what), counter);
            }
        }
        for (what, counter) in Missed::ALL.into_iter().zip(&own.missed) {
            add(&mut self.missed, what, counter);
        }
        for role in RefreshRole::ALL {
            let results = &own.refreshes[role as usize];
            for (result, counter) in RefreshResult::ALL.into_iter().zip(results) {
                add(&mut self.refreshes, (role, result), counter);
            }
        }
        self.answers.add(&own.answers);
        self.disconnects.add(&own.disconnects);
    }
}

fn add<K: Ord>(table: &mut BTreeMap<K, u64>, key: K, counter: &AtomicU64) {
    let count = counter.load(ORDER);
    if count > 0 {
        *table.entry(key).or_default() += count;
    }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A list is whole between any two calls.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_added_up_and_invented_methods_and_codes_share_a_counter() {
        let tally = Tally::default();
        let (mut first, mut second) = (tally.beside(), tally.beside());
        let trunk = TrunkName::new("carrier");
        let invite = CountedMethod::from(&Method::Invite);
        for own in [&mut first, &mut second] {
            let of = own.of(&trunk);
            of.request(Direction::In, invite, Protocol::Udp);
            of.sent(
                invite,
                Protocol::Udp,
                b"SIP/2.0 183 Session Progress\r\n\r\n",
            );
            of.sent(
                invite,
                Protocol::Udp,
                b"ACK sip:a@192.0.2.1 SIP/2.0\r\n\r\n",
            );
            for code in [299_u16, 599, 699, 65_535] {
                of.response(Direction::In, CountedMethod::named("FOO"), code);
            }
            of.missed(Missed::F);
        }
        first.holds(Held {
            dialogs: 2,
            ..Held::default()
        });
        second.holds(Held {
            dialogs: 3,
            ..Held::default()
        });
        let figures = tally.figures();
        assert_eq!(figures.held.dialogs, 5);
        let of = &figures.trunks[&trunk];
        let key = (Direction::In, invite, Protocol::Udp);
        assert_eq!(of.requests[&key], 2);
        let key = (Direction::Out, CountedMethod::ACK, Protocol::Udp);
        assert_eq!(of.requests[&key], 2);
        let key = (Direction::Out, invite, CountedCode::from(183));
        assert_eq!(of.responses[&key], 2);
        let other = (
            Direction::In,
            CountedMethod::named("FOO"),
            CountedCode::from(599),
        );
        assert_eq!(
            (other.1.as_str(), other.2.to_string()),
            ("other", "other".to_owned())
        );
        assert_eq!(of.responses[&other], 8);
        assert_eq!(of.missed[&Missed::F], 2);
        assert_eq!(of.missed.len(), 1, "what has not happened is not there");
    }

    #[test]
    fn every_code_has_a_place_of_its_own() {
        for code in CODES {
            assert_eq!(CountedCode::from(code).to_string(), code.to_string());
        }
        assert!(CODES.is_sorted());
    }

    #[test]
    fn answers_fall_into_the_bucket_of_their_time() {
        let tally = Tally::default();
        let mut own = tally.beside();
        let trunk = TrunkName::new("carrier");
        for ms in [5, 6, 4_999, 5_001] {
            own.of(&trunk).options_answered(Duration::from_millis(ms));
        }
        let answers = tally.figures().trunks[&trunk].answers;
        assert_eq!(answers.counts, [1, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((answers.count, answers.sum_us), (4, 10_011_000));
    }
}
