//! What a peer repeats where a network may lose it: requests until there is an answer, final responses
//! to INVITE until there is an ACK, and ACK whenever such a response comes again (RFC 3261 §13.3.1.4,
//! §17.1, §17.2.1).

use super::agent::Agent;
use super::flow::Flow;
use super::message::Message;
use crate::lock::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// First interval between two copies of a message.
const T1: Duration = Duration::from_millis(500);
/// Longest interval; INVITE has none.
const T2: Duration = Duration::from_secs(4);
/// After this nothing is repeated any more.
const LIMIT: Duration = Duration::from_secs(32);

/// What is under way.
#[derive(Default)]
pub(super) struct Repeats {
    /// What is repeated, by what ends it.
    running: Mutex<HashMap<String, AbortHandle>>,
    /// ACKs that we sent, by the response that each answers.
    acknowledged: Mutex<HashMap<String, Vec<u8>>>,
    /// ACKs that came, by the response that each answers.
    acknowledging: Mutex<HashMap<String, Vec<u8>>>,
}

/// What is to be done with a message that came.
pub(super) enum Came {
    /// It is news.
    New,
    /// It has come before, and needs nothing.
    Again,
    /// It has come before, and gets this once more.
    Missed(Vec<u8>),
}

impl Repeats {
    /// A message of ours leaves on a flow that may lose it.
    pub(super) fn sent(&self, agent: &Agent, flow: &Flow, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        if message.method().as_deref() == Some("ACK") {
            lock(&self.acknowledged).insert(response(&message), bytes.to_vec());
            return;
        }
        let is_request = message.method().is_some();
        let is_final = message.status().is_some_and(|status| status >= 200) && is_invite(&message);
        if !is_request && !is_final {
            return;
        }
        let (key, longest) = match is_request {
            true if is_invite(&message) => (request(&message), LIMIT),
            true => (request(&message), T2),
            false => (response(&message), T2),
        };
        let mut running = lock(&self.running);
        if running.get(&key).is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (agent, flow, bytes) = (agent.weak(), flow.clone(), bytes.to_vec());
        let task = tokio::spawn(async move {
            let (mut interval, mut waited) = (T1, Duration::ZERO);
            while waited < LIMIT {
                sleep(interval).await;
                waited += interval;
                interval = (2 * interval).min(longest);
                let Some(agent) = agent.upgrade() else { return };
                agent.leaves(&flow, bytes.clone());
            }
        });
        running.insert(key, task.abort_handle());
    }

    /// A message came on a flow that may lose messages.
    pub(super) fn came(&self, message: &Message, bytes: &[u8]) -> Came {
        let key = match (message.method().as_deref(), message.status()) {
            (Some("ACK"), _) => {
                let key = response(message);
                self.end(&key);
                let before = lock(&self.acknowledging).insert(key, bytes.to_vec());
                return match before.as_deref() == Some(bytes) {
                    true => Came::Again,
                    false => Came::New,
                };
            }
            (Some(_), _) => return Came::New,
            (None, Some(100..=199)) if !is_invite(message) => return Came::New,
            (None, _) => request(message),
        };
        self.end(&key);
        if message.status() >= Some(200)
            && is_invite(message)
            && let Some(ack) = lock(&self.acknowledged).get(&response(message))
        {
            return Came::Missed(ack.clone());
        }
        Came::New
    }

    fn end(&self, key: &str) {
        if let Some(task) = lock(&self.running).remove(key) {
            task.abort();
        }
    }
}

fn is_invite(message: &Message) -> bool {
    message.cseq().is_some_and(|(_, method)| method == "INVITE")
}

/// A request by its transaction, from itself or an answer to it.
fn request(message: &Message) -> String {
    let method = message.cseq().map_or("", |(_, method)| method);
    format!("{} {method}", message.branch().unwrap_or_default())
}

/// A response to an INVITE by its dialog, from itself or its ACK.
fn response(message: &Message) -> String {
    let (call, tag) = (message.call_id(), message.tag("To").unwrap_or_default());
    let number = message.cseq().map_or(0, |(number, _)| number);
    let from = message.tag("From").unwrap_or_default();
    format!("{call} {from} {tag} {number}")
}

#[cfg(test)]
mod tests {
    use crate::impair::{Impairment, Network};
    use crate::lock::lock;
    use crate::media::sdp;
    use crate::media::tone::Codec;
    use crate::peer::agent::{Way, Wire};
    use crate::peer::carrier::{Carrier, Place};
    use crate::peer::flow::Flow;
    use crate::peer::leg::PATIENCE;
    use crate::peer::rules::CarrierRules;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A bad network, and the ways on which it has lost something.
    #[derive(Default)]
    struct Bad(Mutex<Vec<Way>>);

    impl Wire for Bad {
        fn sent(&self, _: &str, _: &Flow, _: &[u8]) {}

        fn received(&self, _: &str, _: &Flow, bytes: &[u8]) -> Vec<(Duration, Vec<u8>)> {
            vec![(Duration::ZERO, bytes.to_vec())]
        }

        fn network(&self) -> Option<Network> {
            let impairment = Impairment::parse("loss=15,jitter=30,reorder=10").unwrap();
            Some(Network {
                impairment,
                seed: 4,
            })
        }

        fn lost(&self, _: &str, way: Way, _: &[u8]) {
            lock(&self.0).push(way);
        }
    }

    #[tokio::test]
    async fn calls_succeed_over_a_network_that_loses_messages_of_every_kind() {
        let bad = Arc::new(Bad::default());
        let rules = || CarrierRules {
            sbc: HERE,
            hidden: Vec::new(),
        };
        let near = Carrier::start(
            "near",
            Place::take(HERE).unwrap(),
            rules(),
            Some(Arc::clone(&bad) as Arc<dyn Wire>),
        );
        let far = Carrier::start("far", Place::take(HERE).unwrap(), rules(), None);
        let offer = || sdp::carrier_offer(SocketAddr::new(HERE, 40_000), &[Codec::Pcma]);
        let mut calls = far.claim("+442079460101");
        for _ in 0..6 {
            let called = near.call(far.address(), "+442079460102", "+442079460101", offer());
            let (mut caller, _) = called.unwrap();
            let mut called = far.take(calls.recv().await.unwrap());
            called.respond(180, "Ringing", None, &[]).unwrap();
            caller.hears(180, PATIENCE).await.unwrap();
            called.respond(200, "OK", Some(offer()), &[]).unwrap();
            let answer = caller.final_response().await.unwrap();
            caller.acknowledge(&answer).unwrap();
            called.acknowledged().await.unwrap();
            let (bye, ended) = tokio::join!(called.hang_up(), caller.hung_up(PATIENCE));
            bye.unwrap();
            ended.unwrap();
        }
        assert!(calls.try_recv().is_err(), "a copy was taken for a call");
        let lost = lock(&bad.0).clone();
        assert!(lost.contains(&Way::Out) && lost.contains(&Way::In));
    }
}
