//! An SBC in a branch, behind the one under test: TLS, SRTP, and media inside the company.

use super::agent::{Agent, Received, Rules, Wire};
use super::carrier::serve;
use super::claims::Claims;
use super::fault::{Breach, PeerFault};
use super::flow::{Flow, connection};
use super::leg::{Leg, Manner, PATIENCE, Parties};
use super::message::Message;
use super::teams::connect_from;
use super::tls;
use crate::ca::{CaFault, Identity};
use crate::lock::lock;
use crate::media::sdp;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Methods that it knows.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS";

/// An SBC of a branch that listens.
pub struct Branch {
    agent: Agent,
    address: SocketAddr,
    sbc: Sbc,
    connector: TlsConnector,
    claims: Claims,
    tasks: Mutex<JoinSet<()>>,
}

/// The SBC in front of it.
#[derive(Clone, Debug)]
pub struct Sbc {
    /// Where it listens for the branch.
    pub at: SocketAddr,
    /// A name of its certificate.
    pub name: String,
}

/// What a branch insists on: nothing of Microsoft's, and media with keys.
struct BranchRules;

impl Rules for BranchRules {
    fn breaches(&self, message: &Message, _: &Flow) -> Vec<Breach> {
        let mut out = Vec::new();
        let text = message.text();
        let head = text.lines().take_while(|line| !line.is_empty());
        for line in head.filter(|line| line.to_ascii_lowercase().starts_with("x-ms-")) {
            let what = format!("{line} is Microsoft's business");
            out.push(Breach::noted("PRIVACY", what));
        }
        if message.body().is_empty() {
            return out;
        }
        match sdp::read(&message.body()) {
            Ok(media) if media.protocol != "RTP/SAVP" || media.keys.is_empty() => {
                let what = format!("media is {}, wanted RTP/SAVP with keys", media.protocol);
                out.push(Breach::refused("RFC4568", what, 488));
            }
            Ok(_) => {}
            Err(why) => {
                let what = format!("session description: {why}");
                out.push(Breach::refused("RFC3264", what, 488));
            }
        }
        out
    }
}

impl Branch {
    /// Starts to listen.
    ///
    /// # Errors
    /// [`CaFault`], when its certificate cannot be used, and what the operating system says.
    pub fn start(
        name: &str,
        (listener, address): (TcpListener, SocketAddr),
        sbc: Sbc,
        (identity, roots): (&Identity, RootCertStore),
        wire: Option<Arc<dyn Wire>>,
    ) -> Result<Self, CaFault> {
        let acceptor = tls::acceptor(identity, roots.clone())?;
        let connector = tls::connector(Some(identity), roots)?;
        let (agent, strangers) = Agent::new(name, false, BranchRules, wire);
        let claims = Claims::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, agent.clone()));
        tasks.spawn(serve(agent.clone(), claims.clone(), strangers));
        Ok(Self {
            agent,
            address,
            sbc,
            connector,
            claims,
            tasks: tasks.into(),
        })
    }

    /// Its endpoint, with what it found wrong.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The next call for this number comes here.
    pub fn claim(&self, number: &str) -> mpsc::UnboundedReceiver<Received> {
        self.claims.claim(number)
    }

    /// Calls `called` through the SBC in front of it.
    ///
    /// # Errors
    /// [`PeerFault`].
    pub async fn call(
        &self,
        calling: &str,
        called: &str,
        offer: String,
    ) -> Result<(Leg, Vec<u8>), PeerFault> {
        let Sbc { at, name } = &self.sbc;
        let parties = Parties {
            uri: format!("sip:{called}@{at};transport=tls"),
            from: format!("<sip:{calling}@{}>", self.address),
            to: format!("<sip:{called}@{name}>"),
            extra: Vec::new(),
            edit: None,
        };
        let flow = self.connect().await?;
        let manner = Arc::new(self.manner(calling));
        Leg::invite(&self.agent, manner, flow, &parties, offer)
    }

    /// Takes a call that was claimed.
    pub fn take(&self, invite: Received) -> Leg {
        let number = super::carrier::called_number(&invite);
        Leg::invited(&self.agent, Arc::new(self.manner(&number)), invite)
    }

    fn manner(&self, user: &str) -> Manner {
        Manner {
            transport: "TLS",
            sent_by: self.address.to_string(),
            product: "Branch/1.0".to_owned(),
            allow: ALLOW,
            contact: format!("<sip:{user}@{};transport=tls>", self.address),
            record_route: None,
            invite: vec![("Supported", "timer".to_owned())],
            bye: Vec::new(),
        }
    }

    async fn connect(&self) -> Result<Flow, PeerFault> {
        let to = self.sbc.at;
        let fault = |why| PeerFault::Connect {
            peer: self.agent.name().to_owned(),
            to,
            why,
        };
        let name = ServerName::try_from(self.sbc.name.clone());
        let name = name.map_err(|why| fault(io::Error::other(why)))?;
        let connecting = async {
            let stream = connect_from(self.address.ip(), to).await?;
            self.connector.connect(name, stream).await
        };
        let stream = timeout(PATIENCE, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(fault)?;
        let names = tls::names(stream.get_ref().1.peer_certificates());
        let agent = self.agent.clone();
        let receive = move |flow: &Flow, bytes: &[u8]| agent.receive(flow, bytes);
        let (flow, work) = connection(stream, to, names, receive);
        lock(&self.tasks).spawn(work);
        Ok(flow)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, agent: Agent) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, agent) = (acceptor.clone(), agent.clone());
        connections.spawn(async move {
            // Who is not believed hears it in the handshake.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let names = tls::names(stream.get_ref().1.peer_certificates());
            let receive = move |flow: &Flow, bytes: &[u8]| agent.receive(flow, bytes);
            let (flow, work) = connection(stream, remote, names, receive);
            work.await;
            drop(flow);
        });
        while connections.try_join_next().is_some() {}
    }
}
