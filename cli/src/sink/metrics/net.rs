//! Sockets, SIP messages and TLS in figures.
//!
//! Here messages are counted by listener, whoever they are of. What they are, and of which trunk, the shards count
//! (`signalling.rs`).

use super::Maker;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use sbc_core::event::DropCode;
use sbc_core::id::{ListenerName, TlsContextName};
pub use sbc_core::tally::Direction;
use sbc_core::transport::Protocol;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// All figures of sockets and messages.
pub struct NetMetrics {
    messages: IntCounterVec,
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
    /// By direction, responses before requests.
    messages: [[IntCounter; 2]; 2],
    bytes: [Histogram; 2],
    /// By direction and state.
    connections: [[IntGauge; ConnectionState::ALL.len()]; 2],
}

/// What a connection is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionState {
    /// We open it.
    Connecting,
    /// TLS is being agreed on it.
    Handshake,
    /// Messages go over it.
    Open,
}

impl ConnectionState {
    const ALL: [Self; 3] = [Self::Connecting, Self::Handshake, Self::Open];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Open => "open",
        }
    }
}

/// A connection in one state; counted until it is dropped.
pub struct CountedConnection(IntGauge);

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl NetMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let dropped_by = maker.counters(
            "sbc_sip_dropped_total",
            "Messages and connections dropped or refused outside any call.",
            &["reason"],
        )?;
        Ok(Self {
            messages: maker.counters(
                "sbc_listener_messages_total",
                "SIP messages of a listener, those that belong to no trunk included.",
                &["listener", "dir", "kind", "transport"],
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
                "Signalling connections: those that we open and nobody has taken yet (connecting), on which TLS is being agreed \
                 (handshake), and those that messages go over (open).",
                &["transport", "dir", "state"],
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
            messages: both.map(|dir| {
                ["response", "request"].map(|kind| {
                    self.messages.with_label_values(&[
                        name.as_str(),
                        dir.as_str(),
                        kind,
                        protocol.uri_name(),
                    ])
                })
            }),
            bytes: both.map(|dir| self.message_bytes.with_label_values(&[dir.as_str()])),
            connections: both.map(|dir| {
                ConnectionState::ALL.map(|state| {
                    let of = [protocol.uri_name(), dir.as_str(), state.as_str()];
                    self.connections.with_label_values(&of)
                })
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
    /// A message came.
    pub fn received(&self, bytes: usize, is_request: bool) {
        self.went_by(Direction::In, bytes, is_request);
    }

    /// A message in its wire form went out.
    pub fn sent(&self, bytes: &[u8]) {
        let is_request = !bytes.starts_with(b"SIP/2.0 ");
        self.went_by(Direction::Out, bytes.len(), is_request);
    }

    fn went_by(&self, dir: Direction, bytes: usize, is_request: bool) {
        self.messages[dir as usize][usize::from(is_request)].inc();
        self.bytes[dir as usize].observe(bytes as f64);
    }

    /// A connection is in this state for as long as what is returned lives.
    #[must_use]
    pub fn connection(&self, dir: Direction, state: ConnectionState) -> CountedConnection {
        let gauge = self.connections[dir as usize][state as usize].clone();
        gauge.inc();
        CountedConnection(gauge)
    }

    /// Protocol of the listener.
    pub fn protocol(&self) -> Protocol {
        self.protocol
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
    fn a_connection_counts_in_one_state_until_it_leaves_it_however_that_ends() {
        let metrics = Metrics::new().unwrap();
        let listener = metrics
            .net
            .listener(&ListenerName::new("teams"), Protocol::Tls);
        let now = |state: &str| {
            let text = metrics.text();
            let of =
                format!("sbc_sip_connections{{dir=\"out\",state=\"{state}\",transport=\"tls\"}} ");
            let found = text.lines().find_map(|line| line.strip_prefix(&of));
            found.map(str::to_owned)
        };
        let first = listener.connection(Direction::Out, ConnectionState::Open);
        let fails = || {
            let _shaking = listener.connection(Direction::Out, ConnectionState::Handshake);
            assert_eq!(now("handshake").as_deref(), Some("1"));
            Err::<(), ()>(())
        };
        assert_eq!(fails(), Err(()));
        assert_eq!(now("handshake").as_deref(), Some("0"));
        assert_eq!(now("connecting").as_deref(), Some("0"));
        assert_eq!(now("open").as_deref(), Some("1"));
        drop(first);
        assert_eq!(now("open").as_deref(), Some("0"));
    }

    #[test]
    fn what_goes_over_a_listener_is_counted_whoever_it_is_of() {
        let metrics = Metrics::new().unwrap();
        let listener = metrics
            .net
            .listener(&ListenerName::new("teams"), Protocol::Tls);
        listener.received(900, true);
        listener.received(300, false);
        listener.sent(b"SIP/2.0 183 Session Progress\r\nVia: x\r\nCSeq: 7 INVITE\r\n\r\n");
        let text = metrics.text();
        for labels in [
            "dir=\"in\",kind=\"request\",listener=\"teams\",transport=\"tls\"",
            "dir=\"in\",kind=\"response\",listener=\"teams\",transport=\"tls\"",
            "dir=\"out\",kind=\"response\",listener=\"teams\",transport=\"tls\"",
        ] {
            let line = format!("sbc_listener_messages_total{{{labels}}} 1");
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }
}
