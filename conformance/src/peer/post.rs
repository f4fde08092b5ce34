//! The way of a peer's messages through a bad network, both ways.

use super::agent::WeakAgent;
use super::flow::Flow;
use super::message::Message;
use crate::impair::{Fate, Line, Network, Queue};
use crate::lock::lock;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// A provisional response that is lost comes so much later instead, as one that is sent again does: nothing
/// makes who sent it repeat it (RFC 3261 §17.2.1), so that a call without it would show nothing of anybody.
const SENT_AGAIN: Duration = Duration::from_millis(500);

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the peer.
    Out,
    /// To the peer.
    In,
}

/// Both directions of a peer's way.
pub(super) struct Post {
    lines: Mutex<(Line, Line)>,
    parcels: mpsc::UnboundedSender<(Instant, Parcel)>,
}

struct Parcel {
    way: Way,
    flow: Flow,
    bytes: Vec<u8>,
}

/// What is on its way, still to be carried.
pub(super) struct Sack(mpsc::UnboundedReceiver<(Instant, Parcel)>);

impl Post {
    /// The way of a peer with this name, and who carries what goes along it.
    pub(super) fn new(network: &Network, peer: &str) -> (Self, Sack) {
        let (parcels, sack) = mpsc::unbounded_channel();
        let line = |way: &str| network.line(&format!("messages {way} {peer}"));
        let lines = Mutex::new((line("from"), line("to")));
        (Self { lines, parcels }, Sack(sack))
    }

    /// Sends a message on its way. Whether it is not lost.
    pub(super) fn takes(&self, way: Way, flow: &Flow, bytes: &[u8]) -> bool {
        let now = Instant::now();
        let at = {
            let mut lines = lock(&self.lines);
            let line = match way {
                Way::Out => &mut lines.0,
                Way::In => &mut lines.1,
            };
            match flow.is_reliable() {
                true => line.stream(now),
                false => match line.datagram(now) {
                    Fate::Arrives(at) => at,
                    Fate::Lost if is_provisional(bytes) => now + SENT_AGAIN,
                    Fate::Lost => return false,
                },
            }
        };
        let (flow, bytes) = (flow.clone(), bytes.to_vec());
        // Without who carries there is nobody left to miss it.
        let _ = self.parcels.send((at, Parcel { way, flow, bytes }));
        true
    }
}

impl Sack {
    /// Carries everything until the peer is gone.
    pub(super) async fn carry(mut self, agent: WeakAgent) {
        let mut queue = Queue::default();
        loop {
            let due = queue.due();
            tokio::select! {
                got = self.0.recv() => match got {
                    Some((at, parcel)) => queue.push(at, parcel),
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            while let Some(Parcel { way, flow, bytes }) = queue.take(Instant::now()) {
                let Some(agent) = agent.upgrade() else {
                    return;
                };
                match way {
                    Way::Out => flow.send(bytes),
                    Way::In => agent.arrives(&flow, &bytes),
                }
            }
        }
    }
}

/// 101 to 199; 100 is only for the next hop, and its loss has the request repeated.
fn is_provisional(bytes: &[u8]) -> bool {
    let status = Message::parse(bytes)
        .ok()
        .and_then(|message| message.status());
    status.is_some_and(|status| (101..200).contains(&status))
}
