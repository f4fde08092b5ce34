//! A regional proxy of Direct Routing: mutual TLS, OPTIONS both ways, calls both ways.
//!
//! It behaves as the documents and traces say, and refuses what Microsoft refuses: a Contact that
//! the certificate does not carry, a name that no tenant registered, media without SRTP. Header
//! names are in capitals, Contact points where nobody may connect to, and requests within a call
//! may come on a connection of their own.

mod trouble;

use super::agent::{Agent, Received, Wire};
use super::carrier::{called_number, tagged};
use super::claims::{ANY, Claims};
use super::fault::PeerFault;
use super::flow::{Flow, connection};
use super::hello::suites_of;
use super::leg::{Leg, Manner, PATIENCE, Parties, reply};
use super::message::{Draft, Message, uri_of};
use super::rules::{TeamsRules, TeamsTrunk};
use super::tls;
use crate::ca::{CaFault, Identity};
use crate::lock::lock;
use crate::media::endpoint::Sockets;
use crate::media::sdp;
use crate::media::secure::{Key, Secure};
use crate::random;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use trouble::{Listening, OptionsAnswer};

/// Methods that the proxy knows, without a space as on the wire.
const ALLOW: &str = "INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY";
/// What it calls itself.
const PRODUCT: &str = "Microsoft.PSTNHub.SIPProxy v.2024.2.12.3 i.LAB.1";
/// An echo user hangs on for so long without hearing anything.
const SILENCE: Duration = Duration::from_secs(10);

/// A proxy that listens.
pub struct TeamsProxy {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    listening: Mutex<Listening>,
    _tasks: JoinSet<()>,
}

/// A connection that an SBC made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// The server name that it asked for.
    pub asked_for: Option<String>,
    /// Certificates that it sent.
    pub chain: usize,
    /// DNS names of the first.
    pub names: Vec<String>,
    /// TLS version.
    pub version: String,
    /// Suites that it offered.
    pub offered: Vec<u16>,
}

struct Shared {
    agent: Agent,
    /// Its name, `sip.pstnhub.example`.
    host: String,
    address: SocketAddr,
    /// Where the names of SBCs lead.
    sbc: IpAddr,
    connector: TlsConnector,
    claims: Claims,
    /// Numbers of users who answer by themselves and send back what they hear.
    echoes: BTreeSet<String>,
    connections: Mutex<BTreeMap<String, Flow>>,
    tasks: Mutex<JoinSet<()>>,
    heard: watch::Sender<BTreeSet<String>>,
    refused: Mutex<Vec<String>>,
    handshakes: Mutex<Vec<Handshake>>,
    /// Names of the certificates of connections that are open.
    open: Mutex<BTreeMap<SocketAddr, Vec<String>>>,
    options: OptionsAnswer,
}

/// A socket that waits for its proxy: its address goes into the SBC's configuration before the
/// proxy can know the SBC's port.
pub struct Place {
    listener: TcpListener,
    /// Where the proxy will be.
    pub address: SocketAddr,
}

impl Place {
    /// Takes a free port.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn take(ip: IpAddr) -> io::Result<Self> {
        Self::take_at(SocketAddr::new(ip, 0)).await
    }

    /// Takes this port.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn take_at(at: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

/// What a proxy is and whom it knows.
pub struct Setup {
    /// Its name.
    pub host: String,
    /// Its certificate.
    pub identity: Identity,
    /// Whom it trusts.
    pub roots: RootCertStore,
    /// What it insists on, and the trunks it knows.
    pub rules: TeamsRules,
    /// Address behind the names of all SBCs.
    pub sbc: IpAddr,
    /// Numbers of users who answer by themselves and send back what they hear.
    pub echoes: BTreeSet<String>,
    /// Who looks at its messages.
    pub wire: Option<Arc<dyn Wire>>,
}

impl TeamsProxy {
    /// Starts to listen.
    ///
    /// # Errors
    /// [`CaFault`], when its certificate cannot be used.
    pub fn start(place: Place, setup: Setup) -> Result<Self, CaFault> {
        let acceptor = tls::acceptor(&setup.identity, setup.roots.clone())?;
        let connector = tls::connector(Some(&setup.identity), setup.roots)?;
        let (agent, strangers) = Agent::new(&setup.host, true, setup.rules, setup.wire);
        let shared = Arc::new(Shared {
            agent,
            host: setup.host,
            address: place.address,
            sbc: setup.sbc,
            connector,
            claims: Claims::default(),
            echoes: setup.echoes,
            connections: Mutex::default(),
            tasks: Mutex::default(),
            heard: watch::Sender::default(),
            refused: Mutex::default(),
            handshakes: Mutex::default(),
            open: Mutex::default(),
            options: OptionsAnswer::default(),
        });
        let mut tasks = JoinSet::new();
        let mut listening = Listening::default();
        let listen = accept(place.listener, acceptor.clone(), Arc::clone(&shared));
        listening.0.spawn(listen);
        tasks.spawn(serve(Arc::clone(&shared), strangers));
        Ok(Self {
            shared,
            acceptor,
            listening: listening.into(),
            _tasks: tasks,
        })
    }

    /// Its endpoint, with what it found wrong.
    pub fn agent(&self) -> &Agent {
        &self.shared.agent
    }

    /// Its name.
    pub fn host(&self) -> &str {
        &self.shared.host
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Connections that SBCs made.
    pub fn handshakes(&self) -> Vec<Handshake> {
        lock(&self.shared.handshakes).clone()
    }

    /// Names of the certificates of the connections that SBCs made and that are open.
    pub fn open_connections(&self) -> Vec<Vec<String>> {
        lock(&self.shared.open).values().cloned().collect()
    }

    /// Whether the connection that an SBC made from there is open.
    pub fn is_connected_from(&self, remote: SocketAddr) -> bool {
        lock(&self.shared.open).contains_key(&remote)
    }

    /// Handshakes that failed, with the reason.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.shared.refused).clone()
    }

    /// Waits until OPTIONS of all these SBC names came and were right (TDR-OPT-001).
    ///
    /// # Errors
    /// [`PeerFault::Silence`], naming those that are missing.
    pub async fn heard_from(&self, names: &[String], patience: Duration) -> Result<(), PeerFault> {
        let mut heard = self.shared.heard.subscribe();
        let has_all = |heard: &BTreeSet<String>| names.iter().all(|name| heard.contains(name));
        if let Ok(Ok(_)) = timeout(patience, heard.wait_for(has_all)).await {
            return Ok(());
        }
        let heard = self.shared.heard.borrow().clone();
        let missing: Vec<&str> = names
            .iter()
            .filter(|name| !heard.contains(*name))
            .map(String::as_str)
            .collect();
        let mut wanted = format!("OPTIONS of {}", missing.join(" and "));
        if let Some(why) = self.refused().last() {
            wanted.push_str(&format!(" (its last refused connection: {why})"));
        }
        Err(PeerFault::Silence {
            peer: self.shared.host.clone(),
            wanted,
            after: patience,
        })
    }

    /// Sends OPTIONS to an SBC on a connection of our own, and wants 200 (TDR-OPT-005).
    ///
    /// # Errors
    /// [`PeerFault`].
    pub async fn ping(&self, trunk: &TeamsTrunk) -> Result<(), PeerFault> {
        let shared = &self.shared;
        let flow = shared.connection(trunk).await?;
        let (fqdn, port) = (&trunk.fqdn, trunk.port);
        let call_id = random::word::<16>();
        let mut inbox = shared.agent.call(&call_id);
        let draft = Draft::request("OPTIONS", &format!("sip:{fqdn}:{port};transport=tls"))
            .with(
                "From",
                format!("<sip:{}:5061>;tag={}", shared.host, random::word::<6>()),
            )
            .with("To", format!("<sip:{fqdn}>"))
            .with("CSeq", "1 OPTIONS")
            .with("Call-ID", &call_id)
            .with("Max-Forwards", 70)
            .with("Via", shared.via())
            .with("Contact", format!("<sip:{}:5061>", shared.host))
            .with("User-Agent", PRODUCT)
            .with("Allow", ALLOW);
        shared.agent.send(&flow, shared.agent.write(draft)?);
        let answer = timeout(PATIENCE, inbox.recv()).await;
        shared.agent.forget(&call_id);
        match answer {
            Ok(Some(answer)) if answer.message.status() == Some(200) => Ok(()),
            Ok(Some(answer)) => Err(PeerFault::Unexpected {
                peer: shared.host.clone(),
                wanted: format!("200 for its OPTIONS to {fqdn}"),
                got: answer.message.title(),
            }),
            Ok(None) | Err(_) => Err(PeerFault::Silence {
                peer: shared.host.clone(),
                wanted: format!("an answer to its OPTIONS to {fqdn}"),
                after: PATIENCE,
            }),
        }
    }

    /// The next call for this number comes here.
    pub fn claim(&self, number: &str) -> mpsc::UnboundedReceiver<Received> {
        self.shared.claims.claim(number)
    }

    /// A user calls `called` through a trunk.
    ///
    /// # Errors
    /// [`PeerFault`].
    pub async fn call(
        &self,
        trunk: &TeamsTrunk,
        calling: &str,
        called: &str,
        offer: String,
    ) -> Result<(Leg, Vec<u8>), PeerFault> {
        let parties = self.parties(trunk, calling, called);
        self.call_as(trunk, &parties, offer).await
    }

    /// What an ordinary INVITE of Teams says.
    pub fn parties(&self, trunk: &TeamsTrunk, calling: &str, called: &str) -> Parties {
        let (host, TeamsTrunk { fqdn, port }) = (&self.shared.host, trunk);
        Parties {
            uri: format!("sip:{called}@{fqdn}:{port};user=phone;transport=tls"),
            from: format!("John Doe<sip:{calling}@{host}:5061;user=phone>"),
            to: format!("<sip:{called}@{fqdn}:{port};user=phone>"),
            extra: Vec::new(),
            edit: None,
        }
    }

    /// A user calls with an INVITE that says exactly this.
    ///
    /// # Errors
    /// [`PeerFault`].
    pub async fn call_as(
        &self,
        trunk: &TeamsTrunk,
        parties: &Parties,
        offer: String,
    ) -> Result<(Leg, Vec<u8>), PeerFault> {
        let shared = &self.shared;
        let flow = shared.connection(trunk).await?;
        let manner = Arc::new(shared.manner());
        Leg::invite(&shared.agent, manner, flow, parties, offer)
    }

    /// Our connection to an SBC, made if there is none.
    ///
    /// # Errors
    /// [`PeerFault::Connect`].
    pub async fn connection(&self, trunk: &TeamsTrunk) -> Result<Flow, PeerFault> {
        self.shared.connection(trunk).await
    }

    /// A connection to an SBC from another machine of the data centre; what comes on it comes here.
    ///
    /// # Errors
    /// [`PeerFault::Connect`].
    pub async fn connection_from(&self, ip: IpAddr, trunk: &TeamsTrunk) -> Result<Flow, PeerFault> {
        self.shared.connect(ip, trunk).await
    }

    /// Takes a call that was claimed. Requests of ours within it go on a connection of our own, as
    /// they do when another machine of the data centre takes over (TDR-CON-003).
    ///
    /// # Errors
    /// [`PeerFault::Connect`].
    pub async fn take(&self, invite: Received) -> Result<Leg, PeerFault> {
        self.shared.take(invite).await
    }
}

impl Shared {
    fn via(&self) -> String {
        format!(
            "SIP/2.0/TLS {};branch=z9hG4bK{}",
            self.address,
            random::word::<8>()
        )
    }

    fn manner(&self) -> Manner {
        Manner {
            transport: "TLS",
            sent_by: self.address.to_string(),
            product: PRODUCT.to_owned(),
            allow: ALLOW,
            contact: format!(
                "<sip:api-du-a.{}:443;x-i={};x-c={}/d/8/{}>",
                self.host.split_once('.').map_or("", |(_, domain)| domain),
                random::word::<16>(),
                random::word::<16>(),
                random::word::<8>()
            ),
            record_route: Some(format!("<sip:{}:5061;transport=tls;lr>", self.host)),
            invite: vec![
                ("Min-SE", "300".to_owned()),
                ("Supported", "timer".to_owned()),
                ("Session-Expires", "3600".to_owned()),
            ],
            bye: vec![(
                "Reason",
                format!("Q.850;cause=16;text=\"{};540000\"", random::guid()),
            )],
        }
    }

    async fn take(&self, invite: Received) -> Result<Leg, PeerFault> {
        let contact = invite
            .message
            .line("Contact")
            .unwrap_or_default()
            .to_owned();
        let mut leg = Leg::invited(&self.agent, Arc::new(self.manner()), invite);
        // The rules have seen that Contact names a trunk.
        if let Ok(uri) = uri_of(&contact) {
            let trunk = TeamsTrunk {
                fqdn: uri.host().to_string(),
                port: uri.port().map_or(5061, |port| *port.value()),
            };
            leg.flow = self.connection(&trunk).await?;
        }
        Ok(leg)
    }

    /// Our connection to an SBC, made if there is none.
    async fn connection(&self, trunk: &TeamsTrunk) -> Result<Flow, PeerFault> {
        let key = format!("{}:{}", trunk.fqdn, trunk.port);
        let known = lock(&self.connections).get(&key).cloned();
        if let Some(flow) = known.filter(Flow::is_open) {
            return Ok(flow);
        }
        // From our own address: the SBC knows its peers by it.
        let flow = self.connect(self.address.ip(), trunk).await?;
        lock(&self.connections).insert(key, flow.clone());
        Ok(flow)
    }

    async fn connect(&self, from: IpAddr, trunk: &TeamsTrunk) -> Result<Flow, PeerFault> {
        let to = SocketAddr::new(self.sbc, trunk.port);
        let fault = |why| PeerFault::Connect {
            peer: self.host.clone(),
            to,
            why,
        };
        let name =
            ServerName::try_from(trunk.fqdn.clone()).map_err(|why| fault(io::Error::other(why)))?;
        let connecting = async {
            let stream = connect_from(from, to).await?;
            self.connector.connect(name, stream).await
        };
        let stream = timeout(PATIENCE, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(fault)?;
        let names = tls::names(stream.get_ref().1.peer_certificates());
        let agent = self.agent.clone();
        let (flow, work) = connection(stream, to, names, move |flow, bytes| {
            agent.receive(flow, bytes)
        });
        lock(&self.tasks).spawn(work);
        Ok(flow)
    }

    /// Answers for a user who sends back everything he hears, until the other side hangs up.
    async fn echo(&self, invite: Received) -> Result<(), PeerFault> {
        let fault = |why: String| PeerFault::Media {
            peer: self.host.clone(),
            why,
        };
        let mut leg = self.take(invite).await?;
        leg.respond(100, "Trying", None, &[])?;
        leg.respond(180, "Ringing", None, &[])?;
        let offer = sdp::read(&leg.offer()).map_err(fault)?;
        let offered = offer
            .keys
            .first()
            .and_then(|key| Some((&key.tag, key.key.as_ref()?)));
        let (tag, theirs) = offered.ok_or_else(|| fault("no usable key".to_owned()))?;
        let codec = offer
            .codec()
            .ok_or_else(|| fault("no G.711 in the offer".to_owned()))?;
        let ours = Key::random();
        let secure = Secure::new(&ours, theirs).map_err(fault)?;
        let sockets = Sockets::open(self.address.ip()).await;
        let sockets = sockets.map_err(|why| fault(why.to_string()))?;
        let here = sockets.address().map_err(|why| fault(why.to_string()))?;
        let answer = sdp::answer(&offer, codec, here, Some((tag, &ours)));
        leg.respond(200, "OK", Some(answer), &[])?;
        leg.acknowledged().await?;
        let patience = Duration::from_secs(3600);
        tokio::select! {
            _ = sockets.echo(Some(secure), SILENCE) => leg.hang_up().await,
            ended = leg.hung_up(patience) => ended,
        }
    }
}

/// A connection from one of our addresses.
///
/// # Errors
/// What the operating system says.
pub async fn connect_from(ip: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = match ip {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(ip, 0))?;
    let stream = socket.connect(to).await?;
    // Short messages must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection that is open as long as this value lives: its task may be ended from outside.
struct Open(Arc<Shared>, SocketAddr);

impl Open {
    fn note(shared: &Arc<Shared>, remote: SocketAddr, names: Vec<String>) -> Self {
        lock(&shared.open).insert(remote, names);
        Self(Arc::clone(shared), remote)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.0.open).remove(&self.1);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // Descriptors that run out come back; a listener that is gone ends with its runtime.
        let Ok((stream, remote)) = listener.accept().await else {
            continue;
        };
        // Without it short messages wait for each other; a socket that refuses is only slower.
        let _ = stream.set_nodelay(true);
        let acceptor = acceptor.clone();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let offered = suites_of(&stream).await;
            match acceptor.accept(stream).await {
                Ok(stream) => {
                    let session = stream.get_ref().1;
                    let chain = session.peer_certificates();
                    let names = tls::names(chain);
                    lock(&shared.handshakes).push(Handshake {
                        asked_for: session.server_name().map(str::to_owned),
                        chain: chain.map_or(0, <[_]>::len),
                        names: names.clone(),
                        version: format!("{:?}", session.protocol_version()),
                        offered,
                    });
                    let agent = shared.agent.clone();
                    let receive = move |flow: &Flow, bytes: &[u8]| agent.receive(flow, bytes);
                    let _open = Open::note(&shared, remote, names.clone());
                    let (flow, work) = connection(stream, remote, names, receive);
                    work.await;
                    drop(flow);
                }
                Err(why) => lock(&shared.refused).push(format!("{remote}: {why}")),
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(shared: Arc<Shared>, mut strangers: mpsc::UnboundedReceiver<Received>) {
    let mut calls = JoinSet::new();
    while let Some(request) = strangers.recv().await {
        let answer = |status, phrase: &str, reason: Option<String>| {
            let mut draft = reply(&request.message, status, phrase, Some(&tagged(&request)))
                .with("Server", PRODUCT)
                .with("Allow", ALLOW);
            if let Some(reason) = reason {
                draft = draft.with("Reason", reason);
            }
            // A message that cannot be written shows as an answer that never came.
            let _ = shared.agent.answer(&request, draft);
        };
        let refusal = request
            .refusal()
            .map(|(status, breach)| (status, breach.to_string()));
        match (request.message.method().as_deref(), refusal) {
            (Some("ACK") | None, _) => {}
            (Some(_), Some((status, reason))) => {
                let text = format!("Q.850;cause=63;text=\"{};{reason}\"", random::guid());
                answer(status, phrase(status), Some(text));
            }
            (Some("OPTIONS"), None) => {
                match shared.options.status() {
                    Some(200) => answer(200, "OK", None),
                    Some(status) => answer(status, phrase(status), None),
                    None => {}
                }
                shared.heard.send_modify(|heard| {
                    heard.extend(contact_host(&request.message));
                });
            }
            (Some("INVITE"), None) => {
                let number = called_number(&request);
                if shared.echoes.contains(&number) || shared.echoes.contains(ANY) {
                    let shared = Arc::clone(&shared);
                    calls.spawn(async move {
                        if let Err(fault) = shared.echo(request).await {
                            lock(&shared.refused).push(fault.to_string());
                        }
                    });
                } else if let Some(request) = shared.claims.give(&number, request) {
                    let text = format!(
                        "Q.850;cause=1;text=\"{};Number not found in the tenant.\"",
                        random::guid()
                    );
                    let draft = reply(&request.message, 404, "Not Found", Some(&tagged(&request)))
                        .with("Server", PRODUCT)
                        .with("Reason", text);
                    let _ = shared.agent.answer(&request, draft);
                }
            }
            (Some("BYE" | "CANCEL"), None) => answer(481, "Call Leg Does Not Exist", None),
            (Some(_), None) => answer(405, "Method Not Allowed", None),
        }
        while calls.try_join_next().is_some() {}
    }
}

/// Phrase of a refusal.
fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Unsupported URI Scheme",
        488 => "Not Acceptable Here",
        _ => "Refused",
    }
}

fn contact_host(message: &Message) -> Option<String> {
    let uri = uri_of(message.line("Contact")?).ok()?;
    Some(uri.host().to_string().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Authority;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    async fn proxy(authority: &Authority) -> TeamsProxy {
        let setup = Setup {
            host: "sip.pstnhub.example".to_owned(),
            identity: authority.issue(&["sip.pstnhub.example"]).unwrap(),
            roots: authority.roots().unwrap(),
            rules: TeamsRules {
                trunks: vec![TeamsTrunk {
                    fqdn: "sbc.contoso.example".to_owned(),
                    port: 5061,
                }],
                hidden: Vec::new(),
                proxy: None,
            },
            sbc: HERE,
            echoes: BTreeSet::new(),
            wire: None,
        };
        TeamsProxy::start(Place::take(HERE).await.unwrap(), setup).unwrap()
    }

    /// An SBC sends OPTIONS with this Contact; the answer.
    async fn options(proxy: &TeamsProxy, authority: &Authority, contact: &str) -> Message {
        let identity = authority.issue(&["sbc.contoso.example"]).unwrap();
        let connector = tls::connector(Some(&identity), authority.roots().unwrap()).unwrap();
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        let name = ServerName::try_from("sip.pstnhub.example").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (seen, mut answers) = mpsc::unbounded_channel();
        let (flow, work) = connection(stream, proxy.address(), Vec::new(), move |_, bytes| {
            seen.send(Message::parse(bytes).unwrap()).unwrap();
        });
        let task = tokio::spawn(work);
        let request = Draft::request("OPTIONS", "sip:sip.pstnhub.example:5061;transport=tls")
            .with(
                "Via",
                format!(
                    "SIP/2.0/TLS sbc.contoso.example:5061;branch=z9hG4bK{}",
                    random::word::<8>()
                ),
            )
            .with("From", "<sip:sbc.contoso.example>;tag=1")
            .with("To", "<sip:sip.pstnhub.example>")
            .with("Call-ID", "o1")
            .with("CSeq", "1 OPTIONS")
            .with("Max-Forwards", 70)
            .with("Contact", contact)
            .with("Allow", "INVITE, NOTIFY")
            .with("X-MS-SBC", "Causeway/SBC/1")
            .build(false)
            .unwrap();
        flow.send(request);
        let answer = answers.recv().await.unwrap();
        drop(flow);
        task.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_sbc_is_known_by_its_name_and_refused_by_its_address() {
        let authority = Authority::new("Test").unwrap();
        let proxy = proxy(&authority).await;
        let answer = options(&proxy, &authority, "<sip:127.0.0.1:5061;transport=tls>").await;
        assert_eq!(answer.status(), Some(403));
        let reason = answer.line("Reason").unwrap();
        assert!(
            reason.contains("127.0.0.1") && !reason.contains("TDR-"),
            "{reason}"
        );
        assert_eq!(proxy.agent().findings().len(), 1);

        let names = ["sbc.contoso.example".to_owned()];
        let nobody = proxy.heard_from(&names, Duration::ZERO).await.unwrap_err();
        assert!(
            nobody
                .to_string()
                .contains("OPTIONS of sbc.contoso.example"),
            "{nobody}"
        );
        let contact = "<sip:sbc.contoso.example:5061;transport=tls>";
        assert_eq!(
            options(&proxy, &authority, contact).await.status(),
            Some(200)
        );
        proxy.heard_from(&names, PATIENCE).await.unwrap();
    }

    #[tokio::test]
    async fn who_goes_away_has_no_open_connections() {
        let authority = Authority::new("Test").unwrap();
        let proxy = proxy(&authority).await;
        let identity = authority.issue(&["sbc.contoso.example"]).unwrap();
        let connector = tls::connector(Some(&identity), authority.roots().unwrap()).unwrap();
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        let name = ServerName::try_from("sip.pstnhub.example").unwrap();
        let _stream = connector.connect(name, stream).await.unwrap();
        let opened = async {
            while proxy.open_connections().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, opened).await.unwrap();
        proxy.goes_away().await;
        assert_eq!(proxy.open_connections(), Vec::<Vec<String>>::new());
    }
}
