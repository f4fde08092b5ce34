//! Sockets, SIP messages and TLS in figures.
//!
//! Messages are counted by listener, not by trunk: on a listener that several trunks of one peer
//! share, the trunk is known only after the message was understood, and for a response never.

use super::Maker;
use memchr::memmem::Finder;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use sbc_core::event::DropCode;
use sbc_core::id::{ListenerName, TlsContextName};
use sbc_core::sip::Method;
use sbc_core::transport::Protocol;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Which way a message or connection went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Towards us.
    In,
    /// From us.
    Out,
}

impl Direction {
    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// What a peer asks for as the name of the server (RFC 6066 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskedName {
    /// One that an identity of the listener carries.
    Known,
    /// Another one; the listener's own identity is shown.
    Unknown,
    /// None at all; the same.
    Absent,
}

impl AskedName {
    const ALL: [Self; 3] = [Self::Known, Self::Unknown, Self::Absent];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
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

/// Statuses with a label value of their own are those of RFC 3261 and its common extensions; a
/// peer that makes up codes must not make up series.
const CODES: [u16; 63] = [
    100, 180, 181, 182, 183, 199, 200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404,
    405, 406, 407, 408, 410, 412, 413, 414, 415, 416, 417, 420, 421, 422, 423, 424, 428, 429, 430,
    433, 436, 437, 438, 439, 480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 491, 493, 500, 501,
    502, 503, 504, 505, 513, 580,
];
const GLOBAL_CODES: [u16; 5] = [600, 603, 604, 606, 607];

/// All figures of sockets and messages.
pub struct NetMetrics {
    requests: IntCounterVec,
    responses: IntCounterVec,
    message_bytes: HistogramVec,
    parse_errors: IntCounterVec,
    dropped: [IntCounter; DropCode::ALL.len()],
    dropped_by: IntCounterVec,
    handshakes: IntCounterVec,
    server_names: IntCounterVec,
    connections: IntGaugeVec,
    refused: IntCounterVec,
    listeners: Mutex<BTreeMap<ListenerName, Arc<ListenerMetrics>>>,
}

/// Figures of one listener.
pub struct ListenerMetrics {
    protocol: Protocol,
    requests: [[IntCounter; METHODS.len() + 1]; 2],
    responses: ResponseCounters,
    bytes: [Histogram; 2],
    /// Finds the method of a response in its wire form.
    cseq: Finder<'static>,
    connections: [IntGauge; 2],
}

struct ResponseCounters {
    all: IntCounterVec,
    listener: String,
    known: Vec<OnceLock<IntCounter>>,
}

impl NetMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let dropped_by = maker.counters(
            "sbc_sip_dropped_total",
            "Messages and connections dropped or refused outside any call.",
            &["reason"],
        )?;
        Ok(Self {
            requests: maker.counters(
                "sbc_sip_requests_total",
                "SIP requests, repetitions included.",
                &["listener", "dir", "method", "transport"],
            )?,
            responses: maker.counters(
                "sbc_sip_responses_total",
                "SIP responses, repetitions included.",
                &["listener", "dir", "method", "code"],
            )?,
            message_bytes: maker.histograms(
                "sbc_sip_message_bytes",
                "Size of SIP messages.",
                &["dir"],
                &[
                    256.0, 512.0, 1024.0, 1300.0, 2048.0, 4096.0, 16384.0, 65536.0,
                ],
            )?,
            parse_errors: maker.counters(
                "sbc_sip_parse_errors_total",
                "Messages that are not SIP as it should be.",
                &["transport", "reason"],
            )?,
            dropped: DropCode::ALL.map(|code| dropped_by.with_label_values(&[code.as_str()])),
            dropped_by,
            handshakes: maker.counters(
                "sbc_tls_handshakes_total",
                "TLS handshakes by result; anything but ok is a connection refused.",
                &["context", "dir", "result"],
            )?,
            server_names: maker.counters(
                "sbc_tls_server_names_total",
                "What connecting peers asked for in TLS: a name that is hosted there, another one, or none.",
                &["listener", "sni"],
            )?,
            connections: maker.gauges(
                "sbc_sip_connections",
                "Open signalling connections.",
                &["transport", "dir"],
            )?,
            refused: maker.counters(
                "sbc_sip_connections_refused_total",
                "Connections closed before any message, by reason.",
                &["listener", "reason"],
            )?,
            listeners: Mutex::new(BTreeMap::new()),
        })
    }

    /// Figures of a listener; the same ones over reloads, so that counters never go back.
    pub fn listener(&self, name: &ListenerName, protocol: Protocol) -> Arc<ListenerMetrics> {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = listeners
            .entry(name.clone())
            .or_insert_with(|| Arc::new(self.make(name, protocol)));
        Arc::clone(made)
    }

    fn make(&self, name: &ListenerName, protocol: Protocol) -> ListenerMetrics {
        // A counter that appears with its first event hides that event from rate().
        for asked in AskedName::ALL.iter().filter(|_| protocol == Protocol::Tls) {
            let of = [name.as_str(), asked.as_str()];
            self.server_names.with_label_values(&of);
        }
        let both = [Direction::In, Direction::Out];
        ListenerMetrics {
            protocol,
            requests: both.map(|dir| {
                std::array::from_fn(|at| {
                    let method = METHODS.get(at).copied().unwrap_or("other");
                    self.requests.with_label_values(&[
                        name.as_str(),
                        dir.as_str(),
                        method,
                        protocol.uri_name(),
                    ])
                })
            }),
            responses: ResponseCounters {
                all: self.responses.clone(),
                listener: name.as_str().to_owned(),
                known: std::iter::repeat_with(OnceLock::new)
                    .take(2 * (METHODS.len() + 1) * (CODES.len() + GLOBAL_CODES.len() + 1))
                    .collect(),
            },
            bytes: both.map(|dir| self.message_bytes.with_label_values(&[dir.as_str()])),
            cseq: Finder::new("\r\nCSeq: "),
            connections: both.map(|dir| {
                self.connections
                    .with_label_values(&[protocol.uri_name(), dir.as_str()])
            }),
        }
    }

    /// A message or connection was dropped.
    pub fn dropped(&self, code: DropCode) {
        if let Some(at) = DropCode::ALL.iter().position(|each| *each == code)
            && let Some(counter) = self.dropped.get(at)
        {
            counter.inc();
        }
    }

    /// Drops of one reason so far.
    pub fn dropped_so_far(&self, code: DropCode) -> u64 {
        self.dropped_by.with_label_values(&[code.as_str()]).get()
    }

    /// Something arrived that is no message. `rule` is one of a closed list of the parser.
    pub fn parse_error(&self, protocol: Protocol, rule: sbc_core::sip::Rule) {
        let reason = format!("{rule:?}");
        let reason = reason.split(['(', ' ', '{']).next().unwrap_or("other");
        self.parse_errors
            .with_label_values(&[protocol.uri_name(), &snake_case(reason)])
            .inc();
    }

    /// A handshake ended; `result` comes from a closed list.
    pub fn handshake(&self, context: &TlsContextName, dir: Direction, result: &str) {
        self.handshakes
            .with_label_values(&[context.as_str(), dir.as_str(), result])
            .inc();
    }

    /// A peer has asked for a name of ours, for another one or for none.
    pub fn asked_name(&self, listener: &ListenerName, asked: AskedName) {
        let of = [listener.as_str(), asked.as_str()];
        self.server_names.with_label_values(&of).inc();
    }

    /// Handshakes of one kind so far.
    pub fn handshakes_so_far(&self, context: &str, dir: Direction, result: &str) -> u64 {
        self.handshakes
            .with_label_values(&[context, dir.as_str(), result])
            .get()
    }

    /// A connection was closed before any message; `reason` comes from a closed list.
    pub fn refused(&self, listener: &ListenerName, reason: &str) {
        self.refused
            .with_label_values(&[listener.as_str(), reason])
            .inc();
    }
}

impl ListenerMetrics {
    /// A request went by.
    pub fn request(&self, dir: Direction, method: &Method, bytes: usize) {
        self.requests[dir as usize][method_index(method.as_str())].inc();
        self.bytes[dir as usize].observe(bytes as f64);
    }

    /// A response went by.
    pub fn response(&self, dir: Direction, method: &Method, code: u16, bytes: usize) {
        self.responses
            .count(dir, method_index(method.as_str()), code);
        self.bytes[dir as usize].observe(bytes as f64);
    }

    /// A message in its wire form went out.
    pub fn sent(&self, bytes: &[u8]) {
        match sent_kind(bytes, &self.cseq) {
            Some(Sent::Request(method)) => {
                self.requests[Direction::Out as usize][method_index(method)].inc();
            }
            Some(Sent::Response { code, method }) => {
                self.responses
                    .count(Direction::Out, method_index(method), code);
            }
            None => return,
        }
        self.bytes[Direction::Out as usize].observe(bytes.len() as f64);
    }

    /// A connection was opened.
    pub fn opened(&self, dir: Direction) {
        self.connections[dir as usize].inc();
    }

    /// A connection is gone.
    pub fn closed(&self, dir: Direction) {
        self.connections[dir as usize].dec();
    }

    /// Protocol of the listener.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl ResponseCounters {
    fn count(&self, dir: Direction, method: usize, code: u16) {
        let code_index = code_index(code);
        let codes = CODES.len() + GLOBAL_CODES.len() + 1;
        let at = (dir as usize * (METHODS.len() + 1) + method) * codes + code_index;
        let Some(slot) = self.known.get(at) else {
            return;
        };
        slot.get_or_init(|| {
            let text = code.to_string();
            let code = if code_index == codes - 1 {
                "other"
            } else {
                &text
            };
            let method = METHODS.get(method).copied().unwrap_or("other");
            self.all
                .with_label_values(&[self.listener.as_str(), dir.as_str(), method, code])
        })
        .inc();
    }
}

enum Sent<'a> {
    Request(&'a str),
    Response { code: u16, method: &'a str },
}

/// What a message of ours is; it was made by our emitter, so its first lines are in our form.
fn sent_kind<'a>(bytes: &'a [u8], cseq: &Finder<'_>) -> Option<Sent<'a>> {
    let Some(status) = bytes.strip_prefix(b"SIP/2.0 ") else {
        return Some(Sent::Request(word(bytes)?));
    };
    let code = word(status)?.parse().ok()?;
    let number = bytes.get(cseq.find(bytes)? + cseq.needle().len()..)?;
    let method = number.get(memchr::memchr(b' ', number)? + 1..)?;
    let end = memchr::memchr(b'\r', method)?;
    let method = std::str::from_utf8(method.get(..end)?).ok()?;
    Some(Sent::Response { code, method })
}

/// What stands in front of the first space.
fn word(bytes: &[u8]) -> Option<&str> {
    let end = memchr::memchr(b' ', bytes)?;
    std::str::from_utf8(bytes.get(..end)?).ok()
}

fn method_index(method: &str) -> usize {
    METHODS
        .iter()
        .position(|known| *known == method)
        .unwrap_or(METHODS.len())
}

fn code_index(code: u16) -> usize {
    if let Ok(at) = CODES.binary_search(&code) {
        return at;
    }
    match GLOBAL_CODES.binary_search(&code) {
        Ok(at) => CODES.len() + at,
        Err(_) => CODES.len() + GLOBAL_CODES.len(),
    }
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::Metrics;

    #[test]
    fn messages_count_by_method_and_code_and_invented_ones_share_a_series() {
        let metrics = Metrics::new().unwrap();
        let listener = metrics
            .net
            .listener(&ListenerName::new("teams"), Protocol::Tls);
        listener.request(Direction::In, &Method::Invite, 900);
        listener.sent(b"SIP/2.0 183 Session Progress\r\nVia: x\r\nCSeq: 7 INVITE\r\n\r\n");
        for code in [599_u16, 598, 699] {
            listener.response(Direction::In, &Method::Bye, code, 300);
        }
        let text = metrics.text();
        let wanted = [
            "sbc_sip_requests_total{dir=\"in\",listener=\"teams\",method=\"INVITE\",transport=\"tls\"} 1",
            "sbc_sip_responses_total{code=\"183\",dir=\"out\",listener=\"teams\",method=\"INVITE\"} 1",
            "sbc_sip_responses_total{code=\"other\",dir=\"in\",listener=\"teams\",method=\"BYE\"} 3",
        ];
        for line in wanted {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn code_lists_are_sorted() {
        assert!(CODES.is_sorted() && GLOBAL_CODES.is_sorted());
        assert_eq!(code_index(100), 0);
        assert_eq!(code_index(607), CODES.len() + 4);
    }
}
