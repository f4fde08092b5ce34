//! One SIP endpoint: gives every message to the call it belongs to, and keeps what it found wrong.

use super::fault::{Breach, PeerFault};
use super::flow::Flow;
use super::message::{Draft, Message};
use super::post::Post;
pub use super::post::Way;
use super::repeat::{Came, Repeats};
use crate::impair::Network;
use crate::lock::lock;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// A message with the way it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// How it came, and how an answer goes.
    pub flow: Flow,
    /// Rules that it breaks.
    pub breaches: Vec<Breach>,
}

impl Received {
    /// The status with which it is to be refused, and the reason.
    pub fn refusal(&self) -> Option<(u16, &Breach)> {
        let breach = self
            .breaches
            .iter()
            .find(|breach| breach.refuse.is_some())?;
        Some((breach.refuse?, breach))
    }
}

/// What a peer insists on, asked for every message that it receives.
pub trait Rules: Send + Sync {
    /// The rules that a message breaks.
    fn breaches(&self, message: &Message, flow: &Flow) -> Vec<Breach>;
}

/// Whoever looks over a peer's shoulder: keeps what it sent and received, and may change what it
/// receives before the peer sees it. So a test makes a faulty subject of a good one.
pub trait Wire: Send + Sync {
    /// What reaches the subject instead of what a peer sends, if that is something else.
    fn instead(&self, _peer: &str, _bytes: &[u8]) -> Option<Vec<u8>> {
        None
    }
    /// What a peer sent.
    fn sent(&self, peer: &str, flow: &Flow, bytes: &[u8]);
    /// What came for a peer: what it gets instead, each after a delay.
    fn received(&self, peer: &str, flow: &Flow, bytes: &[u8]) -> Vec<(Duration, Vec<u8>)>;
    /// The network between the peers and everybody else, where it is a bad one.
    fn network(&self) -> Option<Network> {
        None
    }
    /// The network lost this message of a peer, or for it.
    fn lost(&self, _peer: &str, _way: Way, _bytes: &[u8]) {}
}

/// A breach with where it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Who found it.
    pub peer: String,
    /// Call-ID of the message; empty if it had none.
    pub call_id: String,
    /// Start line of the message.
    pub message: String,
    /// What is wrong.
    pub breach: Breach,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on \"{}\": {}", self.peer, self.message, self.breach)
    }
}

/// A SIP endpoint. Clones are the same endpoint.
#[derive(Clone)]
pub struct Agent(Arc<Inner>);

/// An endpoint that may have gone.
pub(super) struct WeakAgent(Weak<Inner>);

impl WeakAgent {
    /// The endpoint, if it is still there.
    pub(super) fn upgrade(&self) -> Option<Agent> {
        self.0.upgrade().map(Agent)
    }
}

struct Inner {
    name: String,
    shouted: bool,
    rules: Box<dyn Rules>,
    wire: Option<Arc<dyn Wire>>,
    strangers: mpsc::UnboundedSender<Received>,
    calls: Mutex<HashMap<String, mpsc::UnboundedSender<Received>>>,
    /// Last answer to each request: what a repeated request gets.
    answered: Mutex<HashMap<String, Option<Vec<u8>>>>,
    findings: Mutex<Vec<Finding>>,
    repeats: Repeats,
    post: Option<Post>,
}

impl Agent {
    /// An endpoint, and the requests that belong to none of its calls. `shouted` peers write header
    /// names in capitals.
    pub fn new(
        name: &str,
        shouted: bool,
        rules: impl Rules + 'static,
        wire: Option<Arc<dyn Wire>>,
    ) -> (Self, mpsc::UnboundedReceiver<Received>) {
        let (strangers, requests) = mpsc::unbounded_channel();
        let network = wire.as_ref().and_then(|wire| wire.network());
        let (post, sack) = network.map(|network| Post::new(&network, name)).unzip();
        let inner = Inner {
            name: name.to_owned(),
            shouted,
            rules: Box::new(rules),
            wire,
            strangers,
            calls: Mutex::default(),
            answered: Mutex::default(),
            findings: Mutex::default(),
            repeats: Repeats::default(),
            post,
        };
        let agent = Self(Arc::new(inner));
        if let Some(sack) = sack {
            tokio::spawn(sack.carry(agent.weak()));
        }
        (agent, requests)
    }

    /// Who this is, for people.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn weak(&self) -> WeakAgent {
        WeakAgent(Arc::downgrade(&self.0))
    }

    /// Sends a message on its way. Over UDP it is repeated until it has been understood.
    pub fn send(&self, flow: &Flow, bytes: Vec<u8>) {
        if !flow.is_reliable() {
            self.0.repeats.sent(self, flow, &bytes);
        }
        self.leaves(flow, bytes);
    }

    /// A message, or a copy of it, leaves.
    pub(super) fn leaves(&self, flow: &Flow, bytes: Vec<u8>) {
        if let Some(wire) = &self.0.wire {
            wire.sent(&self.0.name, flow, &bytes);
        }
        let wire = self.0.wire.as_ref();
        let instead = wire.and_then(|wire| wire.instead(&self.0.name, &bytes));
        let bytes = instead.unwrap_or(bytes);
        match &self.0.post {
            Some(post) => self.posts(post, Way::Out, flow, &bytes),
            None => flow.send(bytes),
        }
    }

    /// Takes what came on a flow.
    pub fn receive(&self, flow: &Flow, bytes: &[u8]) {
        match &self.0.post {
            Some(post) => self.posts(post, Way::In, flow, bytes),
            None => self.arrives(flow, bytes),
        }
    }

    fn posts(&self, post: &Post, way: Way, flow: &Flow, bytes: &[u8]) {
        if !post.takes(way, flow, bytes)
            && let Some(wire) = &self.0.wire
        {
            wire.lost(&self.0.name, way, bytes);
        }
    }

    /// A message has arrived.
    pub(super) fn arrives(&self, flow: &Flow, bytes: &[u8]) {
        let Some(wire) = &self.0.wire else {
            return self.take(flow, bytes);
        };
        for (delay, bytes) in wire.received(&self.0.name, flow, bytes) {
            if delay.is_zero() {
                self.take(flow, &bytes);
                continue;
            }
            let (agent, flow) = (self.clone(), flow.clone());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                agent.take(&flow, &bytes);
            });
        }
    }

    fn take(&self, flow: &Flow, bytes: &[u8]) {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(fault) => {
                let line = fault.line.clone();
                self.find("", &line, vec![fault.into()]);
                return;
            }
        };
        if self.is_repeated(&message, flow) {
            return;
        }
        if !flow.is_reliable() {
            match self.0.repeats.came(&message, bytes) {
                Came::New => {}
                Came::Again => return,
                Came::Missed(ack) => return self.leaves(flow, ack),
            }
        }
        let breaches = self.0.rules.breaches(&message, flow);
        self.find(message.call_id(), &message.title(), breaches.clone());
        let call = lock(&self.0.calls).get(message.call_id()).cloned();
        let received = Received {
            message,
            flow: flow.clone(),
            breaches,
        };
        let rest = match call {
            Some(call) => call.send(received).err().map(|unsent| unsent.0),
            None => Some(received),
        };
        if let Some(received) = rest.filter(|rest| rest.message.method().is_some()) {
            // Nobody takes requests any more while the endpoint goes away.
            let _ = self.0.strangers.send(received);
        }
    }

    /// From now on, messages with this Call-ID come here.
    pub fn call(&self, call_id: &str) -> mpsc::UnboundedReceiver<Received> {
        let (sender, inbox) = mpsc::unbounded_channel();
        lock(&self.0.calls).insert(call_id.to_owned(), sender);
        inbox
    }

    /// Forgets a call.
    pub fn forget(&self, call_id: &str) {
        lock(&self.0.calls).remove(call_id);
    }

    /// Answers a request on the flow it came on. What was sent comes back.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn answer(&self, request: &Received, draft: Draft) -> Result<Vec<u8>, PeerFault> {
        let bytes = self.write(draft)?;
        if let Some(key) = key(&request.message) {
            lock(&self.0.answered).insert(key, Some(bytes.clone()));
        }
        self.send(&request.flow, bytes.clone());
        Ok(bytes)
    }

    /// Writes a message in this peer's manner.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn write(&self, draft: Draft) -> Result<Vec<u8>, PeerFault> {
        draft
            .build(self.0.shouted)
            .map_err(|fault| PeerFault::Draft {
                peer: self.0.name.clone(),
                why: fault.to_string(),
            })
    }

    /// Notes broken rules.
    pub fn find(&self, call_id: &str, message: &str, breaches: Vec<Breach>) {
        let findings = breaches.into_iter().map(|breach| Finding {
            peer: self.0.name.clone(),
            call_id: call_id.to_owned(),
            message: message.to_owned(),
            breach,
        });
        lock(&self.0.findings).extend(findings);
    }

    /// Whether a bad network is between this endpoint and others.
    pub fn is_impaired(&self) -> bool {
        self.0.post.is_some()
    }

    /// What was found wrong so far.
    pub fn findings(&self) -> Vec<Finding> {
        lock(&self.0.findings).clone()
    }

    /// A request seen before gets its last answer again, and goes nowhere else.
    fn is_repeated(&self, message: &Message, flow: &Flow) -> bool {
        let Some(key) = key(message) else {
            return false;
        };
        let mut answered = lock(&self.0.answered);
        match answered.get(&key) {
            Some(answer) => {
                if let Some(bytes) = answer {
                    self.send(flow, bytes.clone());
                }
                true
            }
            None => {
                answered.insert(key, None);
                false
            }
        }
    }
}

/// What tells one transaction from another (RFC 3261 §17.2.3). ACKs are never answered, and each
/// is of interest.
fn key(message: &Message) -> Option<String> {
    let method = message.method().filter(|method| method != "ACK")?;
    Some(format!(
        "{} {method} {}",
        message.branch()?,
        message.call_id()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::net::UdpSocket;

    struct NoInfo;

    impl Rules for NoInfo {
        fn breaches(&self, message: &Message, _: &Flow) -> Vec<Breach> {
            match message.method().as_deref() {
                Some("INFO") => vec![Breach::refused("TEST-1", "INFO", 405)],
                _ => Vec::new(),
            }
        }
    }

    fn request(method: &str, branch: &str) -> Vec<u8> {
        Draft::request(method, "sip:a@example.com")
            .with(
                "Via",
                format!("SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK{branch}"),
            )
            .with("From", "<sip:b@example.com>;tag=1")
            .with("To", "<sip:a@example.com>")
            .with("Call-ID", "c1")
            .with("CSeq", format!("1 {method}"))
            .build(false)
            .unwrap()
    }

    #[tokio::test]
    async fn messages_reach_their_call_and_repeated_requests_get_the_same_answer() {
        let near = Arc::new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let flow = Flow::datagrams(near, far.local_addr().unwrap());
        let (agent, mut strangers) = Agent::new("peer", false, NoInfo, None);

        agent.receive(&flow, &request("OPTIONS", "a"));
        let received = strangers.recv().await.unwrap();
        agent
            .answer(&received, Draft::response(200, "Fine"))
            .unwrap();
        agent.receive(&flow, &request("OPTIONS", "a"));
        assert!(
            strangers.try_recv().is_err(),
            "a repeated request is nobody's business"
        );
        let mut buffer = [0; 1500];
        for _ in 0..2 {
            let length = far.recv(&mut buffer).await.unwrap();
            assert!(buffer[..length].starts_with(b"SIP/2.0 200 Fine\r\n"));
        }

        let mut call = agent.call("c1");
        agent.receive(&flow, &request("INFO", "b"));
        assert_eq!(call.recv().await.unwrap().refusal().unwrap().0, 405);
        agent.forget("c1");
        agent.receive(&flow, &request("BYE", "c"));
        assert_eq!(
            strangers.recv().await.unwrap().message.method().unwrap(),
            "BYE"
        );

        agent.receive(&flow, b"noise\r\n\r\n");
        let rules: Vec<_> = agent.findings().iter().map(|f| f.breach.rule).collect();
        assert_eq!(rules, ["TEST-1", "RFC3261"]);
    }
}
