//! A carrier's softswitch: UDP, plain RTP, numbers without much ceremony.

use super::agent::{Agent, Received, Wire};
use super::claims::Claims;
use super::fault::PeerFault;
use super::flow::Flow;
use super::leg::{Leg, Manner, Parties, reply};
use super::rules::CarrierRules;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Methods that the softswitch knows.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS";

/// A carrier that listens.
pub struct Carrier {
    agent: Agent,
    socket: Arc<std::net::UdpSocket>,
    address: SocketAddr,
    claims: Claims,
    _tasks: JoinSet<()>,
}

/// A socket that waits for its carrier: its address goes into the SBC's configuration before the
/// carrier can know the SBC.
pub struct Place {
    socket: std::net::UdpSocket,
    heard: UdpSocket,
    /// Where the carrier will be.
    pub address: SocketAddr,
}

impl Place {
    /// Takes a free port.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn take(ip: IpAddr) -> io::Result<Self> {
        Self::take_at(SocketAddr::new(ip, 0))
    }

    /// Takes this port.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn take_at(at: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(at)?;
        socket.set_nonblocking(true)?;
        let heard = UdpSocket::from_std(socket.try_clone()?)?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            heard,
            address,
        })
    }
}

impl Carrier {
    /// Starts to listen.
    pub fn start(
        name: &str,
        place: Place,
        rules: CarrierRules,
        wire: Option<Arc<dyn Wire>>,
    ) -> Self {
        let (agent, strangers) = Agent::new(name, false, rules, wire);
        let socket = Arc::new(place.socket);
        let claims = Claims::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(receive(place.heard, Arc::clone(&socket), agent.clone()));
        tasks.spawn(serve(agent.clone(), claims.clone(), strangers));
        Self {
            agent,
            socket,
            address: place.address,
            claims,
            _tasks: tasks,
        }
    }

    /// Its endpoint, with what it found wrong.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next call for this number comes here.
    pub fn claim(&self, number: &str) -> mpsc::UnboundedReceiver<Received> {
        self.claims.claim(number)
    }

    /// Calls `called` through the SBC at `sbc`.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn call(
        &self,
        sbc: SocketAddr,
        calling: &str,
        called: &str,
        offer: String,
    ) -> Result<(Leg, Vec<u8>), PeerFault> {
        self.call_as(sbc, calling, &self.parties(sbc, calling, called), offer)
    }

    /// What an ordinary INVITE of this carrier says.
    pub fn parties(&self, sbc: SocketAddr, calling: &str, called: &str) -> Parties {
        Parties {
            uri: format!("sip:{called}@{sbc}"),
            from: format!("\"Alice\" <sip:{calling}@{}>", self.address),
            to: format!("<sip:{called}@{sbc}>"),
            extra: Vec::new(),
            edit: None,
        }
    }

    /// Calls with an INVITE that says exactly this.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn call_as(
        &self,
        sbc: SocketAddr,
        calling: &str,
        parties: &Parties,
        offer: String,
    ) -> Result<(Leg, Vec<u8>), PeerFault> {
        let flow = Flow::datagrams(Arc::clone(&self.socket), sbc);
        let manner = Arc::new(self.manner(calling));
        Leg::invite(&self.agent, manner, flow, parties, offer)
    }

    /// Takes a call that was claimed.
    pub fn take(&self, invite: Received) -> Leg {
        let number = called_number(&invite);
        Leg::invited(&self.agent, Arc::new(self.manner(&number)), invite)
    }

    fn manner(&self, user: &str) -> Manner {
        Manner {
            transport: "UDP",
            sent_by: self.address.to_string(),
            product: "Softswitch/7.3".to_owned(),
            allow: ALLOW,
            contact: format!("<sip:{user}@{}>", self.address),
            record_route: None,
            invite: vec![("Supported", "timer".to_owned())],
            bye: Vec::new(),
        }
    }
}

/// The number in the Request-URI.
pub(super) fn called_number(invite: &Received) -> String {
    let uri = invite.message.uri();
    uri.and_then(|uri| uri.user())
        .unwrap_or_default()
        .to_owned()
}

async fn receive(heard: UdpSocket, socket: Arc<std::net::UdpSocket>, agent: Agent) {
    let mut buffer = vec![0; 65_536];
    loop {
        // A port that was closed at the other side is no reason to stop.
        let Ok((length, source)) = heard.recv_from(&mut buffer).await else {
            continue;
        };
        let flow = Flow::datagrams(Arc::clone(&socket), source);
        agent.receive(&flow, &buffer[..length]);
    }
}

/// Answers what belongs to no call.
pub(super) async fn serve(
    agent: Agent,
    claims: Claims,
    mut strangers: mpsc::UnboundedReceiver<Received>,
) {
    while let Some(request) = strangers.recv().await {
        let refusal = request
            .refusal()
            .map(|(status, breach)| (status, breach.to_string()));
        let method = request.message.method().unwrap_or_default();
        let answer = |status, phrase: &str| {
            let draft = reply(&request.message, status, phrase, Some(&tagged(&request)));
            // A message that cannot be written shows as an answer that never came.
            let _ = agent.answer(&request, draft.with("Allow", ALLOW));
        };
        match (method.as_str(), refusal) {
            ("ACK", _) => {}
            (_, Some((status, reason))) => answer(status, &reason),
            ("OPTIONS", None) => answer(200, "OK"),
            ("INVITE", None) => {
                let number = called_number(&request);
                if let Some(request) = claims.give(&number, request) {
                    let draft = reply(&request.message, 404, "Not Found", Some(&tagged(&request)));
                    let _ = agent.answer(&request, draft);
                }
            }
            ("BYE" | "CANCEL", None) => answer(481, "Call/Transaction Does Not Exist"),
            _ => answer(405, "Method Not Allowed"),
        }
    }
}

/// To of a response outside of any dialog.
pub fn tagged(request: &Received) -> String {
    let to = request.message.line("To").unwrap_or_default();
    match request.message.tag("To") {
        Some(_) => to.to_owned(),
        None => format!("{to};tag={}", crate::random::word::<6>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sdp;
    use crate::media::tone::Codec;
    use crate::peer::leg::PATIENCE;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn carrier(name: &str) -> Carrier {
        let rules = CarrierRules {
            sbc: HERE,
            hidden: Vec::new(),
        };
        Carrier::start(name, Place::take(HERE).unwrap(), rules, None)
    }

    fn offer() -> String {
        sdp::carrier_offer(SocketAddr::new(HERE, 40_000), &[Codec::Pcma])
    }

    #[tokio::test]
    async fn a_call_is_answered_and_ended_without_a_breach() {
        let (near, far) = (carrier("near").await, carrier("far").await);
        let mut calls = far.claim("+12025550101");
        let (mut caller, _) = near
            .call(far.address(), "+12025550102", "+12025550101", offer())
            .unwrap();
        let answering = async {
            let mut called = far.take(calls.recv().await.unwrap());
            called.respond(180, "Ringing", None, &[]).unwrap();
            called.respond(200, "OK", Some(offer()), &[]).unwrap();
            called.acknowledged().await.unwrap();
            called
        };
        let calling = async {
            let answer = caller.final_response().await.unwrap();
            assert_eq!(answer.status(), Some(200));
            caller.acknowledge(&answer).unwrap();
            caller
        };
        let (mut called, mut caller) = tokio::join!(answering, calling);
        let (bye, ended) = tokio::join!(called.hang_up(), caller.hung_up(PATIENCE));
        bye.unwrap();
        ended.unwrap();
        assert_eq!(near.agent().findings(), []);
        assert_eq!(far.agent().findings(), []);
    }

    #[tokio::test]
    async fn a_number_that_nobody_claims_is_not_found() {
        let (near, far) = (carrier("near").await, carrier("far").await);
        let called = near.call(far.address(), "+12025550102", "+12025550199", offer());
        let (mut caller, _) = called.unwrap();
        let answer = caller.final_response().await.unwrap();
        assert_eq!(answer.title(), "404 Not Found");
    }

    #[tokio::test]
    async fn media_that_the_carrier_cannot_do_is_refused_with_the_rule() {
        let (near, far) = (carrier("near").await, carrier("far").await);
        let secured = offer().replace("RTP/AVP", "RTP/SAVP");
        let called = near.call(far.address(), "+12025550102", "+12025550101", secured);
        let (mut caller, _) = called.unwrap();
        let answer = caller.final_response().await.unwrap();
        assert_eq!(answer.status(), Some(488));
        let [finding] = far.agent().findings().try_into().unwrap();
        assert_eq!(finding.breach.rule, "RFC3264");
        assert_eq!(finding.call_id, caller.call_id());
    }
}
