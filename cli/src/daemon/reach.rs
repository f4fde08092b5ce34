//! Whether the peers of a trunk can be reached, step by step and over connections of their own: what names lead to,
//! TLS, OPTIONS. The trunk's connections and what is held of its peers stay as they are.

use crate::daemon::Daemon;
use crate::daemon::net::tls::{Refusal, TlsContext, Verdict, random};
use crate::onboarding::Outcome;
use crate::sink::log::wall_clock;
use rustls::pki_types::ServerName;
use sbc_core::config::{
    Config, Listener, Lookup, NO_SIGN_OF_LIFE, Preset, TargetAddress, Trunk, UriScheme,
};
use sbc_core::locate::Families;
use sbc_core::query::{Outcome as Found, ResolveFault, ResolveSpec};
use sbc_core::session::LegStyle;
use sbc_core::sip::{
    HeaderName, Host, Limits, Message, Method, RequestBuilder, SipUri, Status, Uri,
};
use sbc_core::time::{Timestamp, UnixTime};
use sbc_core::transport::Protocol;
use sbc_core::transport::framer::{Frame, Framer};
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest wait for a connection, and for the handshake on it.
const REACH: Duration = Duration::from_secs(5);
/// Longest wait for an answer to OPTIONS.
const ANSWER: Duration = Duration::from_secs(8);
/// With TLS 1.3 a refusal comes when the handshake looks complete: so long it is waited for.
const SECOND_THOUGHTS: Duration = Duration::from_millis(500);
/// First pause before a datagram is sent again; each further one is twice as long.
const AGAIN: Duration = Duration::from_millis(500);
/// Most targets, and most addresses of one, that are looked at.
const MOST_TARGETS: usize = 8;
const MOST_ADDRESSES: usize = 4;
/// A certificate that ends within so many days deserves a look.
const SOON_DAYS: i64 = 21;

/// One step, and how it went.
#[derive(Clone, Debug)]
pub struct Step {
    /// The target as it is written.
    pub target: String,
    /// Where, if that is known by then.
    pub address: Option<SocketAddr>,
    /// `dns`, `connect`, `tls` or `options`.
    pub step: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Option<Duration>,
}

/// Whoever is asked from here.
struct Asker {
    style: LegStyle,
    tls: Option<Arc<TlsContext>>,
    /// Why nobody may be asked by OPTIONS, or when one of Teams may.
    silent: Option<&'static str>,
    daemon: Arc<Daemon>,
}

/// Looks at the targets of a trunk, all at the same time; what was found, in their order.
pub async fn of_trunk(daemon: &Arc<Daemon>, config: &Arc<Config>, trunk: &Arc<Trunk>) -> Vec<Step> {
    let identities = daemon.net().identities();
    let is_teams = trunk.preset == Preset::Teams;
    let is_closed = daemon.closed_trunks().closed().of(trunk).is_some();
    let silent = match trunk.options {
        None => Some("the trunk sends no OPTIONS (options = false)"),
        Some(_) if trunk.carrier.is_some() => {
            Some("Teams wants no OPTIONS of a trunk that is derived: its carrier trunk sends them")
        }
        Some(_) if is_teams && (is_closed || daemon.is_draining()) => {
            Some("Teams is not asked while it is to prefer others: the trunk or the node is closed")
        }
        Some(_) => None,
    };
    let tls = trunk.tls.as_ref().and_then(|name| identities.get(name));
    let asker = Arc::new(Asker {
        style: LegStyle {
            config: Arc::clone(config),
            trunk: Arc::clone(trunk),
            contact_user: None,
            session_id: None,
        },
        tls: tls.cloned(),
        silent,
        daemon: Arc::clone(daemon),
    });
    let mut looks = JoinSet::new();
    for (at, target) in trunk.targets.iter().take(MOST_TARGETS).enumerate() {
        let (asker, target) = (Arc::clone(&asker), target.clone());
        looks.spawn(async move { (at, asker.look(target).await) });
    }
    let mut all = looks.join_all().await;
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().flat_map(|(_, steps)| steps).collect()
}

/// Shakes hands with a host as an identity of ours; what was found.
pub async fn of_host(
    daemon: &Arc<Daemon>,
    context: &TlsContext,
    host: &str,
    port: u16,
) -> Vec<Step> {
    let step = |step, address, begun: Instant, outcome| Step {
        target: host.to_owned(),
        address,
        step,
        outcome,
        took: Some(begun.elapsed()),
    };
    let begun = Instant::now();
    let config = daemon.net().config();
    let listeners = || {
        let all = config.listeners.values();
        all.filter(|listener| listener.protocol == Protocol::Tls)
    };
    let has = |is_v4: bool| listeners().any(|listener| listener.bind.is_ipv4() == is_v4);
    let families = match (has(true), has(false)) {
        (false, false) => Families::BOTH,
        (v4, v6) => Families { v4, v6 },
    };
    let found = match host.parse::<IpAddr>() {
        Ok(address) => Found::Resolved(vec![SocketAddr::new(address, port)]),
        Err(_) => {
            let spec = ResolveSpec {
                host: host.to_owned(),
                port,
                protocol: Protocol::Tls,
                families,
            };
            // Whoever names any hosts keeps none of the configuration waiting.
            daemon.resolver().foreign().resolve(&spec).await
        }
    };
    let Found::Resolved(addresses) = found else {
        let outcome = Outcome::failed(
            format!("{host} has no address here"),
            "correct the name, or look at servers of [dns] and at /etc/resolv.conf of this host",
        );
        return vec![step("dns", None, begun, outcome)];
    };
    let told = format!("{host} is at {}", listed(&addresses));
    let mut steps = vec![step("dns", None, begun, Outcome::Good(told))];
    for address in addresses.into_iter().take(MOST_ADDRESSES / 2) {
        let mut own = listeners().filter(|own| own.bind.is_ipv4() == address.is_ipv4());
        let local = own.next().map(|listener| listener.bind.ip());
        let begun = Instant::now();
        let stream = match connected(local, address).await {
            Ok(stream) => stream,
            Err(outcome) => {
                steps.push(step("connect", Some(address), begun, outcome));
                continue;
            }
        };
        let begun = Instant::now();
        let outcome = match shaken(context, vec![host.to_owned()], host, stream).await {
            Err(outcome) => outcome,
            // With TLS 1.3 whoever refuses our certificate says so now.
            Ok((mut stream, outcome)) => match answer(&mut stream, SECOND_THOUGHTS).await {
                Err(Trouble::Ended(why)) => ended(&why),
                Ok(_) | Err(Trouble::Silence) => outcome,
            },
        };
        steps.push(step("tls", Some(address), begun, outcome));
    }
    steps
}

impl Asker {
    /// Everything about one target.
    async fn look(self: Arc<Self>, target: TargetAddress) -> Vec<Step> {
        let begun = Instant::now();
        let (outcome, mut places) = self.find(&target).await;
        let mut steps = vec![Step {
            target: target.host.clone(),
            address: None,
            step: "dns",
            outcome,
            took: Some(begun.elapsed()),
        }];
        places.truncate(MOST_ADDRESSES);
        let mut visits = JoinSet::new();
        for (at, (protocol, address)) in places.into_iter().enumerate() {
            let (own, target) = (Arc::clone(&self), target.clone());
            visits.spawn(async move { (at, own.visit(&target, protocol, address).await) });
        }
        let mut all = visits.join_all().await;
        all.sort_by_key(|(at, _)| *at);
        steps.extend(all.into_iter().flat_map(|(_, steps)| steps));
        steps
    }

    /// Where a target is.
    async fn find(&self, target: &TargetAddress) -> (Outcome, Vec<(Protocol, SocketAddr)>) {
        let fixed = self.style.fixed_addresses(target);
        let at = |address: SocketAddr| (target.protocol, address);
        if !fixed.is_empty() {
            let told = format!("no name is asked: it is written as {}", listed(&fixed));
            return (Outcome::Good(told), fixed.into_iter().map(at).collect());
        }
        let spec = self.style.locate(target);
        match self.daemon.resolver().locate(&spec).await {
            Found::Located(services) => {
                let mut places = Vec::new();
                for service in services {
                    let mut servers = service.servers;
                    servers.sort_by_key(|server| server.priority);
                    for server in servers {
                        let address = |ip: IpAddr| SocketAddr::new(ip, server.port);
                        let all = server.addresses.into_iter().map(address);
                        places.extend(all.map(|address| (service.protocol, address)));
                    }
                }
                let shown: Vec<SocketAddr> = places.iter().map(|(_, address)| *address).collect();
                let told = format!("{} is at {}", target.host, listed(&shown));
                (Outcome::Good(told), places)
            }
            Found::Resolved(addresses) => {
                let told = format!("{} is at {}", target.host, listed(&addresses));
                (Outcome::Good(told), addresses.into_iter().map(at).collect())
            }
            Found::ResolveFailed(ResolveFault::NotFound) => {
                let records = match target.lookup {
                    Lookup::Addresses | Lookup::Binding(_) => "address that a listener reaches",
                    Lookup::Servers | Lookup::Domain => "server in DNS, nor an address",
                };
                let outcome = Outcome::failed(
                    format!("{} has no {records}", target.host),
                    "correct the name in targets, or the DNS zone; with a port behind it addresses are asked for, without \
                     one SRV records",
                );
                (outcome, Vec::new())
            }
            Found::ResolveFailed(_) | Found::Won(_) | Found::Verified(_) => {
                let outcome = Outcome::failed(
                    format!("DNS gives no answer about {}", target.host),
                    "look at servers of [dns], or at /etc/resolv.conf of this host; `causeway dns show` has what is known",
                );
                (outcome, Vec::new())
            }
        }
    }

    /// Everything about one address.
    async fn visit(
        &self,
        target: &TargetAddress,
        protocol: Protocol,
        address: SocketAddr,
    ) -> Vec<Step> {
        let step = |step, begun: Instant, outcome| Step {
            target: target.host.clone(),
            address: Some(address),
            step,
            outcome,
            took: Some(begun.elapsed()),
        };
        let begun = Instant::now();
        let Some(listener) = self.style.listener(protocol, address.ip()) else {
            let outcome = Outcome::failed(
                format!(
                    "the trunk has no listener for {protocol} from which {address} can be reached"
                ),
                "add a [[listen]] of this transport and address family to the realm of the trunk",
            );
            return vec![step("connect", begun, outcome)];
        };
        if protocol == Protocol::Udp {
            return vec![match self.may_ask(target) {
                Err(why) => step("options", begun, why),
                Ok(()) => {
                    let heard = self.by_datagram(target, listener, address).await;
                    step("options", begun, self.told(target, begun, heard))
                }
            }];
        }
        let stream = match connected(Some(listener.bind.ip()), address).await {
            Ok(stream) => stream,
            Err(outcome) => return vec![step("connect", begun, outcome)],
        };
        let told = format!("connected in {} ms", begun.elapsed().as_millis());
        let mut steps = vec![step("connect", begun, Outcome::Good(told))];
        let begun = Instant::now();
        if protocol == Protocol::Tcp {
            steps.push(
                self.by_stream((target, protocol), listener, stream, step)
                    .await,
            );
            return steps;
        }
        let Some(tls) = &self.tls else {
            let outcome = Outcome::failed(
                "the trunk has no certificate of ours yet",
                "write tls = \"…\" in the trunk; `causeway cert status` tells of one that is being ordered",
            );
            steps.push(step("tls", begun, outcome));
            return steps;
        };
        let mut wanted = self.style.trunk.accept_names.clone();
        wanted.push(target.host.clone());
        match shaken(tls, wanted, &target.host, stream).await {
            Err(outcome) => steps.push(step("tls", begun, outcome)),
            Ok((stream, outcome)) => {
                steps.push(step("tls", begun, outcome));
                steps.push(
                    self.by_stream((target, protocol), listener, stream, step)
                        .await,
                );
            }
        }
        steps
    }

    /// Whether OPTIONS may be sent now (TDR-OPT-006, TDR-OPT-008).
    fn may_ask(&self, target: &TargetAddress) -> Result<(), Outcome> {
        if let Some(why) = self.silent {
            return Err(Outcome::Skipped(why.to_owned()));
        }
        let trunk = &self.style.trunk;
        if trunk.preset != Preset::Teams {
            return Ok(());
        }
        let own = trunk.fqdn.as_deref().unwrap_or(trunk.name.as_str());
        let turns = &self.daemon.turns;
        let now = Timestamp::ZERO + turns.started.elapsed();
        match turns.asked.take_turn(now, own, &target.host) {
            true => Ok(()),
            false => Err(Outcome::Skipped(
                "Teams was asked a moment ago and wants no more than one a minute: `causeway teams status` has its answer"
                    .to_owned(),
            )),
        }
    }

    /// OPTIONS over a connection. Without them it is seen whether the peer lets it stand.
    async fn by_stream<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        (target, protocol): (&TargetAddress, Protocol),
        listener: &Listener,
        mut stream: S,
        step: impl Fn(&'static str, Instant, Outcome) -> Step,
    ) -> Step {
        let begun = Instant::now();
        if let Err(why) = self.may_ask(target) {
            return match answer(&mut stream, SECOND_THOUGHTS).await {
                Err(Trouble::Ended(why)) => step("options", begun, ended(&why)),
                Ok(_) | Err(Trouble::Silence) => step("options", begun, why),
            };
        }
        let Some(request) = self.request(target, protocol, listener) else {
            return step("options", begun, unwritable());
        };
        let written = async {
            stream.write_all(&request).await?;
            stream.flush().await
        };
        let heard = match written.await {
            Err(why) => Err(Trouble::Ended(why)),
            Ok(()) => answer(&mut stream, ANSWER).await,
        };
        step("options", begun, self.told(target, begun, heard))
    }

    async fn by_datagram(
        &self,
        target: &TargetAddress,
        listener: &Listener,
        address: SocketAddr,
    ) -> Result<u16, Trouble> {
        let Some(request) = self.request(target, Protocol::Udp, listener) else {
            return Err(Trouble::Ended(io::Error::other(
                "no request can be written",
            )));
        };
        // The listener's own port is the shards': the peer sees another one, and answers to it (RFC 3581).
        let socket = UdpSocket::bind((listener.bind.ip(), 0)).await;
        let socket = socket.map_err(Trouble::Ended)?;
        socket.connect(address).await.map_err(Trouble::Ended)?;
        let until = Instant::now() + ANSWER;
        let mut pause = AGAIN;
        let mut buffer = vec![0; 65_536];
        loop {
            socket.send(&request).await.map_err(Trouble::Ended)?;
            let next = (Instant::now() + pause).min(until);
            pause *= 2;
            loop {
                let left = next.saturating_duration_since(Instant::now());
                match timeout(left, socket.recv(&mut buffer)).await {
                    Err(_) if Instant::now() >= until => return Err(Trouble::Silence),
                    Err(_) => break,
                    Ok(Err(why)) => return Err(Trouble::Ended(why)),
                    Ok(Ok(length)) => {
                        let octets = buffer.get(..length).unwrap_or_default();
                        let octets = bytes::Bytes::copy_from_slice(octets);
                        if let Some(status) = final_status(octets) {
                            return Ok(status);
                        }
                    }
                }
            }
        }
    }

    /// The OPTIONS that the trunk sends by itself, but for its identifiers.
    fn request(
        &self,
        target: &TargetAddress,
        protocol: Protocol,
        listener: &Listener,
    ) -> Option<bytes::Bytes> {
        let style = &self.style;
        let peer = Host::parse(bytes::Bytes::from(target.host.clone())).ok()?;
        let mut to = SipUri::new(peer);
        to.is_sips = style.trunk.habits.uri_scheme == UriScheme::Sips;
        to.port = (target.lookup == Lookup::Addresses).then_some(target.port);
        let mut uri = to.clone();
        style.write_transport(&mut uri, protocol);
        let contact = style.contact(listener);
        let mut from = contact.uri()?.as_sip()?.clone();
        from.params.remove("transport");
        let via = style.via(listener, &format!("z9hG4bK{}", word()))?;
        let address = |uri: SipUri| {
            let uri = Uri::from(uri).to_bytes();
            format!("<{}>", String::from_utf8_lossy(&uri))
        };
        let request = RequestBuilder::new(Method::Options, &Uri::from(uri))
            .header(&via)
            .raw_if_valid(HeaderName::MaxForwards, "70")
            .raw_if_valid(
                HeaderName::From,
                format!("{};tag={}", address(from), word()),
            )
            .raw_if_valid(HeaderName::To, address(to))
            .raw_if_valid(HeaderName::CallId, word())
            .raw_if_valid(HeaderName::CSeq, "1 OPTIONS")
            .header(&contact)
            .raw_if_valid(HeaderName::Allow, style.allow())
            .raw_if_valid(HeaderName::Accept, "application/sdp");
        Some(style.sign_request(request).build())
    }

    /// What came of OPTIONS.
    fn told(&self, target: &TargetAddress, begun: Instant, heard: Result<u16, Trouble>) -> Outcome {
        let trunk = &self.style.trunk;
        let own = trunk.fqdn.as_deref().unwrap_or("our address");
        let status = match heard {
            Ok(status) => status,
            Err(Trouble::Silence) => {
                return Outcome::failed(
                    format!("no answer to OPTIONS within {} s", ANSWER.as_secs()),
                    match trunk.preset {
                        Preset::Teams => {
                            "the domain of our name may not be activated in its tenant yet; look at `causeway teams status`"
                        }
                        Preset::Carrier => {
                            "ask the peer whether it knows our address, and let its answers through the firewall; a peer that \
                             answers only to the port of our listener is judged by the state in `causeway peer list`"
                        }
                    },
                );
            }
            Err(Trouble::Ended(why)) => return ended(&why),
        };
        let told = format!("{status} after {} ms", begun.elapsed().as_millis());
        let codes = trunk
            .options
            .as_ref()
            .and_then(|options| options.ok.as_ref());
        let is_alive = match codes {
            Some(codes) => codes.contains(&status),
            None => !NO_SIGN_OF_LIFE.contains(&status),
        };
        match (status, trunk.preset) {
            (200, _) => Outcome::Good(told),
            (503, _) => Outcome::failed(
                format!("{told}: it is there and wants no new calls"),
                "wait, or ask the peer: its capacity is used up, or it drains",
            ),
            (403, Preset::Teams) => Outcome::failed(
                format!("{told}: Teams does not know {own}"),
                "our name must be that of a gateway in the tenant and stand in our certificate, its domain verified and \
                 activated",
            ),
            (_, Preset::Teams) => Outcome::failed(
                told,
                "look the status up in the documentation of Direct Routing",
            ),
            (_, Preset::Carrier) if is_alive => Outcome::Doubtful(format!(
                "{told}: not 200, but a sign of life of {}, so it has calls",
                target.host
            )),
            (_, Preset::Carrier) => Outcome::failed(
                format!("{told}: no sign of life"),
                "ask the peer whether it answers OPTIONS of ours; ok in options of the trunk lists what counts as an answer",
            ),
        }
    }
}

/// Why there is no answer.
enum Trouble {
    Silence,
    Ended(io::Error),
}

/// A connection from an address of ours.
async fn connected(local: Option<IpAddr>, address: SocketAddr) -> Result<TcpStream, Outcome> {
    let failed = |why: &str| {
        Outcome::failed(
            format!("no connection to {address}: {why}"),
            "look at the firewalls and routes between this host and there, and whether the port is the right one",
        )
    };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|why| failed(&why.to_string()))?;
    if let Some(local) = local {
        let bound = socket.bind(SocketAddr::new(local, 0));
        bound.map_err(|why| failed(&why.to_string()))?;
    }
    match timeout(REACH, socket.connect(address)).await {
        Err(_) => Err(failed(&format!("no answer within {} s", REACH.as_secs()))),
        Ok(Err(why)) if is_refused(&why) => {
            Err(nobody_at(&format!("no connection to {address}: ")))
        }
        Ok(Err(why)) => Err(failed(&why.to_string())),
        Ok(Ok(stream)) => Ok(stream),
    }
}

/// Shakes hands in the way of an identity of ours with whoever must be one of these names; what was shown.
async fn shaken(
    tls: &TlsContext,
    wanted: Vec<String>,
    host: &str,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, Outcome), Outcome> {
    let failed = |why: String, advice: &str| {
        let usual = "look at certificate, chain and client_ca of the [[tls]]";
        Outcome::failed(why, if advice.is_empty() { usual } else { advice })
    };
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| failed(format!("\"{host}\" is no name"), ""))?;
    let verdict = Verdict::default();
    let config = tls.connect(wanted, &verdict);
    let config = config.map_err(|why| failed(why.to_string(), ""))?;
    let shaken = TlsConnector::from(config).connect(name, stream);
    let stream = match timeout(REACH, shaken).await {
        Err(_) => {
            let refusal = Refusal::Timeout;
            return Err(failed(refusal.to_string(), refusal.advice()));
        }
        Ok(Err(why)) => {
            let refusal = match verdict.take() {
                Some(Err(refusal)) => refusal,
                Some(Ok(_)) | None => Refusal::of_io(&why),
            };
            return Err(failed(refusal.to_string(), refusal.advice()));
        }
        Ok(Ok(stream)) => stream,
    };
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS",
    };
    let mut told = version.to_owned();
    let proven = verdict.take().and_then(Result::ok);
    let names = proven.as_ref().map(|proven| proven.names.as_slice());
    if let Some(names @ [_, ..]) = names {
        let first: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
        let _ = write!(told, ", certificate for {}", first.join(", "));
    }
    let Some(chain) = proven.and_then(|proven| proven.chain) else {
        return Ok((stream, Outcome::Good(told)));
    };
    let first = chain.first_to_end();
    let seconds = u64::try_from(first.until).unwrap_or_default();
    let until = UnixTime::from_micros(seconds.saturating_mul(1_000_000));
    let days = until.since(wall_clock()).as_secs() / 86_400;
    let day = until.rfc3339();
    let day = day.split('T').next().unwrap_or_default();
    let _ = write!(
        told,
        ", believed by {}; {} ends first, on {day}, in {days} days",
        chain.root.name, first.name
    );
    let outcome = match i64::try_from(days).is_ok_and(|days| days < SOON_DAYS) {
        true => Outcome::Doubtful(told),
        false => Outcome::Good(told),
    };
    Ok((stream, outcome))
}

/// The status of the final response that comes next.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S, patience: Duration) -> Result<u16, Trouble> {
    let mut framer = Framer::new(Limits::default());
    let read = async {
        let mut buffer = [0; 8192];
        loop {
            while let Some(frame) = framer.next_frame() {
                if let Frame::Message(octets) = frame
                    && let Some(status) = final_status(octets)
                {
                    return Ok(status);
                }
            }
            match stream.read(&mut buffer).await {
                Ok(0) => return Err(Trouble::Ended(io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => framer.push(buffer.get(..length).unwrap_or_default()),
                Err(why) => return Err(Trouble::Ended(why)),
            }
        }
    };
    timeout(patience, read)
        .await
        .unwrap_or(Err(Trouble::Silence))
}

/// The status of a final response; requests of the peer are none of ours.
fn final_status(octets: bytes::Bytes) -> Option<u16> {
    let message = Message::parse(octets, &Limits::default()).ok()?;
    let status = message.status().filter(|status| status.is_final());
    status.map(Status::code)
}

/// Whether the host of the peer has said that no program has this port.
fn is_refused(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::ConnectionRefused
}

fn nobody_at(place: &str) -> Outcome {
    Outcome::failed(
        format!("{place}nothing listens there"),
        "wrong port or transport, or the peer is down; a firewall that rejects looks the same from here",
    )
}

/// The peer has ended the exchange.
fn ended(why: &io::Error) -> Outcome {
    if is_refused(why) {
        return nobody_at("");
    }
    let is_tls = why
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>());
    if is_tls {
        let refusal = Refusal::of_io(why);
        return Outcome::failed(refusal.to_string(), refusal.advice());
    }
    let told = match why.kind() {
        io::ErrorKind::UnexpectedEof => "the peer closes the connection".to_owned(),
        _ => why.to_string(),
    };
    Outcome::failed(
        told,
        "ask the peer whether it knows our address, and over TLS whether it believes our certificate with its whole chain",
    )
}

fn unwritable() -> Outcome {
    Outcome::failed(
        "no OPTIONS can be written for this target",
        "look at the host of the target and at fqdn of the trunk",
    )
}

fn listed(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn word() -> String {
    let mut octets = [0; 12];
    // Without random octets they are told apart by their transaction still: nothing else uses their socket.
    let _ = random(&mut octets);
    octets.iter().fold(String::new(), |mut word, octet| {
        let _ = write!(word, "{octet:02x}");
        word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nothing_listens_the_port_and_the_peer_are_looked_at_and_not_our_address() {
        let wanted = |outcome: Outcome, place: &str| {
            let Outcome::Failed { cause, fix } = outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!(cause, format!("{place}nothing listens there"));
            assert!(fix.starts_with("wrong port"), "{fix}");
        };
        // A port that was somebody's a moment ago.
        let listener = std::net::TcpListener::bind("127.0.0.77:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let outcome = connected(None, address).await.unwrap_err();
        wanted(outcome, &format!("no connection to {address}: "));
        wanted(ended(&io::ErrorKind::ConnectionRefused.into()), "");
    }
}
