//! What was said in a call, in order, and between whom: what every form of a ladder is drawn from (OPS-084).
//!
//! Secrets are hidden here, so that no form shows any.

use super::{Entry, Ours, Seen};
use crate::id::LegId;
use crate::record::{MediaRecord, RatingRecord};
use crate::sdp::Description;
use crate::sip::{Limits, Message};
use crate::time::UnixTime;
use crate::transport::Protocol;
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// How much a ladder shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// One line per message, and notes.
    Lines,
    /// Every message in full below its line.
    Messages,
}

/// Everything that a ladder shows.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Exchange {
    /// The peer of each leg: that of the A leg, then the others in the order in which they came.
    pub peers: Vec<Peer>,
    /// What was seen, in order.
    pub rows: Vec<Row>,
    /// The media of each leg, in each direction.
    pub media: Vec<Stream>,
}

/// The peer of a leg.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Peer {
    /// What its column is called: `peer A` that of the A leg, `peer B` and so on the others.
    pub name: String,
    /// Leg.
    pub leg: LegId,
    /// Where its first message came from or went to.
    pub address: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// The side of us that it sees.
    pub side: Side,
    /// Our end: the address that its first message came to, else the listener by which ours left.
    pub ours: String,
}

/// A side of ours: each has a column of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Side {
    /// Towards who called first.
    #[serde(rename = "SBC-A")]
    A,
    /// Towards all others.
    #[serde(rename = "SBC-B")]
    B,
}

impl Side {
    /// What its column is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::A => "SBC-A",
            Self::B => "SBC-B",
        }
    }

    const fn of(leg: LegId) -> Self {
        match leg {
            LegId(0) => Self::A,
            LegId(_) => Self::B,
        }
    }
}

/// One thing that was seen.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: UnixTime,
    /// Microseconds since the row before; 0 for the first.
    pub after_us: u64,
    /// Whose it is; `None` for the call as a whole.
    pub leg: Option<LegId>,
    /// What it is.
    #[serde(flatten)]
    pub what: Shown,
}

/// What is shown of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Shown {
    /// A message between a peer and us.
    Message {
        /// Whether the peer sent it.
        from_peer: bool,
        /// The column that it leaves.
        from: String,
        /// The column that it comes to.
        to: String,
        /// Method, or status with its phrase.
        title: String,
        /// The description in it, in one line.
        description: Option<String>,
        /// Its lines without secrets, where they are wanted.
        lines: Option<Vec<String>>,
    },
    /// A decision or observation, in words.
    Note {
        /// The words.
        text: String,
    },
}

/// RTP of a leg in one direction, from its beginning to its end.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Stream {
    /// Leg.
    pub leg: LegId,
    /// Whether the peer sent it.
    pub from_peer: bool,
    /// Encoding.
    pub codec: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Share that was lost, in percent; of what we sent the peer's word for it, if it has told.
    pub loss_percent: Option<f64>,
    /// Mean opinion score of the listener, an estimate.
    pub mos_estimate: Option<f64>,
}

impl Exchange {
    /// Of what was kept of a call and what is known of its media.
    pub fn of(entries: &[Entry], media: &[MediaRecord], detail: Detail) -> Self {
        let mut peers: Vec<Peer> = Vec::new();
        let mut heard: Vec<LegId> = Vec::new();
        let mut rows = Vec::with_capacity(entries.len());
        let mut before: Option<UnixTime> = None;
        for entry in entries {
            let what = match &entry.what {
                Seen::Note(text) => Shown::Note {
                    text: text.chars().map(printable).collect(),
                },
                Seen::Message {
                    is_received,
                    protocol,
                    remote,
                    ours,
                    bytes,
                } => {
                    let leg = leg_of(entry.leg);
                    let place = peers.iter().position(|peer| peer.leg == leg);
                    match (place, ours) {
                        (None, _) => peers.push(Peer {
                            name: peer_name(leg, &peers),
                            leg,
                            address: *remote,
                            protocol: *protocol,
                            side: Side::of(leg),
                            ours: ours.told(),
                        }),
                        // What is known only now is where exactly its messages come to.
                        (Some(place), Ours::At(_)) if !heard.contains(&leg) => {
                            peers[place].ours = ours.told();
                        }
                        (Some(_), _) => {}
                    }
                    if matches!(ours, Ours::At(_)) && !heard.contains(&leg) {
                        heard.push(leg);
                    }
                    let peer = peers.iter().find(|peer| peer.leg == leg);
                    let peer = peer.map(|peer| peer.name.clone()).unwrap_or_default();
                    let us = Side::of(leg).name().to_owned();
                    let (from, to) = match is_received {
                        true => (peer, us),
                        false => (us, peer),
                    };
                    Shown::Message {
                        from_peer: *is_received,
                        from,
                        to,
                        title: title(bytes),
                        description: description(bytes),
                        lines: (detail == Detail::Messages).then(|| lines(bytes)),
                    }
                }
            };
            let since = before.map_or(0, |before| {
                entry.at.as_micros().saturating_sub(before.as_micros())
            });
            before = Some(entry.at);
            rows.push(Row {
                at: entry.at,
                after_us: since,
                leg: entry.leg,
                what,
            });
        }
        peers.sort_by_key(|peer| peer.leg != LegId(0));
        let media = media.iter().flat_map(streams).flatten().collect();
        Self { peers, rows, media }
    }

    /// The place of a leg's peer: 0 for the A leg, then 1 and so on.
    pub(super) fn place(&self, leg: Option<LegId>) -> usize {
        let leg = leg_of(leg);
        let mut others = self.peers.iter().filter(|peer| peer.leg != LegId(0));
        match leg {
            LegId(0) => 0,
            leg => 1 + others.position(|peer| peer.leg == leg).unwrap_or(0),
        }
    }

    /// What the peer of a leg is called.
    pub(super) fn name(&self, leg: LegId) -> &str {
        let mut peers = self.peers.iter();
        let own = peers.find(|peer| peer.leg == leg);
        own.map_or(NAME_B, |peer| &peer.name)
    }

    /// What stands above each column, in order: the peer of the A leg, our two sides, and the peer of each other leg, at least
    /// one; with what is known of who or where that is.
    pub(super) fn columns(&self) -> Vec<Column> {
        let (a, others): (Vec<&Peer>, Vec<&Peer>) =
            self.peers.iter().partition(|peer| peer.leg == LegId(0));
        let peers = |peers: Vec<&Peer>, unknown: &str| match peers.is_empty() {
            true => vec![Column::named(unknown)],
            false => peers.into_iter().map(Column::of).collect(),
        };
        let mut columns = peers(a, NAME_A);
        columns.extend([Side::A, Side::B].map(|side| self.side(side)));
        columns.extend(peers(others, NAME_B));
        columns
    }

    /// One of our sides, with each end of it that is known.
    fn side(&self, side: Side) -> Column {
        let mut ends: Vec<&str> = Vec::new();
        for peer in self.peers.iter().filter(|peer| peer.side == side) {
            if !ends.contains(&peer.ours.as_str()) {
                ends.push(&peer.ours);
            }
        }
        Column {
            name: side.name().to_owned(),
            about: ends.join(", "),
        }
    }
}

/// What stands above a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// Who or where that is, as far as it is known.
    pub(super) about: String,
}

impl Column {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            about: String::new(),
        }
    }

    fn of(peer: &Peer) -> Self {
        let (address, protocol) = (peer.address, peer.protocol);
        let leg = match peer.leg {
            LegId(0) => String::new(),
            LegId(leg) => format!(", leg {leg}"),
        };
        Self {
            name: peer.name.clone(),
            about: format!("{address} over {protocol}{leg}"),
        }
    }
}

/// Places of the columns: those of other peers follow.
pub(super) const PEER_A: usize = 0;
pub(super) const SBC_A: usize = 1;
pub(super) const SBC_B: usize = 2;

/// The columns between which the messages of a peer go: that of our side, and its own. `place` is that of the peer among
/// the peers.
pub(super) const fn ends(place: usize) -> (usize, usize) {
    match place {
        0 => (SBC_A, PEER_A),
        place => (SBC_B, SBC_B + place),
    }
}

/// What the peer of the A leg is called, and the first of all others.
const NAME_A: &str = "peer A";
const NAME_B: &str = "peer B";

/// What the next peer is called.
fn peer_name(leg: LegId, before: &[Peer]) -> String {
    if leg == LegId(0) {
        return NAME_A.to_owned();
    }
    let others = before.iter().filter(|peer| peer.leg != LegId(0)).count();
    match u8::try_from(others).ok().filter(|others| *others < 25) {
        Some(others) => format!("peer {}", char::from(b'B' + others)),
        None => format!("peer {}", others + 2),
    }
}

/// Seconds of which nobody wants to know the thousandths.
const LONG: f64 = 10_000.0;

impl Row {
    /// The time since the row before, and a sign where there is one: `+0.001 s`.
    pub(super) fn delta(&self, is_first: bool) -> String {
        let seconds = self.after_us as f64 / 1e6;
        let sign = if is_first { "" } else { "+" };
        match seconds < LONG {
            true => format!("{sign}{seconds:.3} s"),
            false => format!("{sign}{seconds:.0} s"),
        }
    }
}

impl Stream {
    /// Encoding, loss and score in few words.
    pub(super) fn title(&self) -> String {
        let mut text = match &self.codec {
            Some(codec) => codec.chars().map(printable).collect(),
            None => "RTP".to_owned(),
        };
        match self.loss_percent {
            Some(loss) => {
                let _ = write!(text, " {loss:.1} % lost");
            }
            None => {
                let _ = write!(text, " {} packets", self.packets);
            }
        }
        if let Some(mos) = self.mos_estimate {
            let _ = write!(text, " MOS {mos:.1}");
        }
        text
    }
}

fn leg_of(leg: Option<LegId>) -> LegId {
    leg.unwrap_or(LegId(0))
}

fn streams(media: &MediaRecord) -> [Option<Stream>; 2] {
    let score = |rating: &RatingRecord| rating.mos_estimate;
    let stream = |from_peer, packets, loss_percent, mos_estimate| {
        (packets > 0).then(|| Stream {
            leg: media.leg,
            from_peer,
            codec: media.codec.clone(),
            packets,
            loss_percent,
            mos_estimate,
        })
    };
    let received = &media.received;
    let reported = media.sent.as_ref();
    let lost = reported.map(|told| 100.0 * f64::from(told.lost.max(0)) / media.packets_out as f64);
    [
        stream(
            true,
            media.packets_in,
            Some(received.loss_percent),
            received.listening.as_ref().map(score),
        ),
        stream(
            false,
            media.packets_out,
            lost.map(|lost| lost.min(100.0)),
            reported.and_then(|told| told.listening.as_ref().map(score)),
        ),
    ]
}

/// Method or status with phrase, and CSeq's method where the status alone would not tell.
fn title(bytes: &[u8]) -> String {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let line: String = String::from_utf8_lossy(line)
        .chars()
        .map(printable)
        .collect();
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let method = Message::parse(bytes.to_vec().into(), &Limits::default())
                .map(|message| message.method().as_str().to_owned());
            match method {
                Ok(method) if method != "INVITE" => format!("{status} ({method})"),
                _ => status.to_owned(),
            }
        }
        None => line.split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// One line about the description in a message.
fn description(bytes: &[u8]) -> Option<String> {
    let message = Message::parse(bytes.to_vec().into(), &Limits::default()).ok()?;
    let body = message.body();
    if !body.starts_with(b"v=0") {
        return None;
    }
    let text = String::from_utf8_lossy(&body);
    Description::parse(body.clone(), &crate::sdp::Limits::default()).ok()?;
    let mut parts = Vec::new();
    let connection = text.lines().find_map(|line| line.strip_prefix("c="));
    for line in text.lines().filter_map(|line| line.strip_prefix("m=")) {
        parts.push(line.trim().to_owned());
    }
    let held = ["a=inactive", "a=sendonly", "a=recvonly"]
        .iter()
        .find(|attribute| text.lines().any(|line| line.trim() == **attribute));
    let address = connection.and_then(|c| c.split(' ').nth(2)).unwrap_or("");
    let mut summary = format!("SDP {address}: {}", parts.join(" | "));
    if let Some(direction) = held {
        let _ = write!(summary, " {}", direction.trim_start_matches("a="));
    }
    Some(summary.trim().chars().map(printable).collect())
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = crate::sdp::redact(bytes);
    let lines = text.lines().map(|line| {
        let line = without_credentials(line.trim_end_matches('\r'));
        line.chars().map(printable).collect()
    });
    lines.collect()
}

fn rfc3339<S: Serializer>(at: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&at.rfc3339())
}

/// Digest answers can be attacked off-line; nobody reading a ladder needs them.
fn without_credentials(line: &str) -> &str {
    let name = line.split_once(':').map(|(name, _)| name.trim_end());
    let is = |own: &str| name.is_some_and(|name| name.eq_ignore_ascii_case(own));
    if is("authorization") {
        "Authorization: <secret>"
    } else if is("proxy-authorization") {
        "Proxy-Authorization: <secret>"
    } else {
        line
    }
}

/// Control characters of a peer must not steer the operator's terminal.
fn printable(c: char) -> char {
    crate::display::shown(c)
}
