//! A proxy of Teams, spoken to as a trunk of ours does: a connection with our certificate, one OPTIONS, or one
//! call that ends as soon as it is known to arrive.

use super::Outcome;
use crate::daemon::net::tls::{Refusal, TlsContext, Verdict, random};
use rustls::Error;
use rustls::pki_types::ServerName;
use sbc_core::config::{Config, Trunk};
use sbc_core::sdp::base64_encode;
use sbc_core::sip::header::ContentType;
use sbc_core::sip::{HeaderName, Limits, Message, Method, RequestBuilder, Uri};
use sbc_core::transport::Protocol;
use sbc_core::transport::framer::{Frame, Framer};
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest wait for a connection, and for the handshake on it.
const REACH: Duration = Duration::from_secs(5);
/// Longest wait for an answer to OPTIONS.
const ANSWER: Duration = Duration::from_secs(8);
/// With TLS 1.3 a refusal comes when the handshake looks complete: so long it is waited for.
const SECOND_THOUGHTS: Duration = Duration::from_millis(500);
/// Longest wait until a test call rings.
const RING: Duration = Duration::from_secs(20);

/// Who speaks.
pub struct Speaker<'a> {
    /// The configuration that the trunk belongs to.
    pub config: &'a Config,
    /// The trunk.
    pub trunk: &'a Trunk,
    /// Its TLS identity.
    pub tls: &'a TlsContext,
}

/// A proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its address.
    pub address: SocketAddr,
}

/// How far somebody gets with a proxy; more is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// It cannot be reached, or we do not believe it: that says nothing of our certificate.
    Unknown,
    /// It ends the handshake, or the connection right after it.
    Refused,
    /// It takes the certificate, and answers nothing or not as to a trunk that it knows.
    Shaken,
    /// It answers with 200 (TDR-OPT-004).
    Known,
}

/// What became of a visit to a proxy.
pub struct Visit {
    /// How far it got.
    pub standing: Standing,
    /// Whether the proxy has said so, by an answer or an alert. One that only says nothing or hangs up may be out of
    /// order, and mean nobody by it.
    pub is_told: bool,
    /// The same in words.
    pub outcome: Outcome,
}

/// What went wrong on the way to an answer.
enum Trouble {
    Connect(String),
    /// We do not believe the proxy.
    Unbelieved(String, &'static str),
    Tls(String, &'static str),
    /// It says by an alert that it does not like us.
    Alert(String, &'static str),
    Silence,
    Broken(String),
}

impl Trouble {
    fn standing(&self) -> Standing {
        match self {
            Self::Connect(_) | Self::Unbelieved(..) => Standing::Unknown,
            Self::Tls(..) | Self::Alert(..) | Self::Broken(_) => Standing::Refused,
            Self::Silence => Standing::Shaken,
        }
    }

    fn visit(self, proxy: &Proxy, fqdn: &str) -> Visit {
        Visit {
            standing: self.standing(),
            is_told: matches!(self, Self::Alert(..)),
            outcome: self.told(proxy, fqdn),
        }
    }

    /// What reading or writing met once hands were shaken.
    fn on_line(why: &io::Error) -> Self {
        match is_alert(why) {
            // With TLS 1.3 a refusal comes then.
            true => {
                let refusal = Refusal::of_io(why);
                Self::Alert(refusal.to_string(), refusal.advice())
            }
            false => Self::Broken(why.to_string()),
        }
    }

    fn told(self, proxy: &Proxy, fqdn: &str) -> Outcome {
        let Proxy { host, address, .. } = proxy;
        match self {
            Self::Connect(why) => Outcome::failed(
                format!("no connection to {host} at {address}: {why}"),
                "let this host reach port 5061 of the ranges of Teams: look at firewall and routes",
            ),
            Self::Unbelieved(why, advice) | Self::Tls(why, advice) | Self::Alert(why, advice) => {
                Outcome::failed(
                    format!("no TLS with {host} at {address}: {why}"),
                    match advice {
                        "" => "look at certificate, chain and client_ca of the [[tls]]",
                        advice => advice,
                    },
                )
            }
            Self::Silence => Outcome::failed(
                format!("{host} says nothing, though the connection stands"),
                format!(
                    "the domain of {fqdn} may not be activated in its tenant yet, which takes up to a day \
                     after its first licensed user"
                ),
            ),
            Self::Broken(why) => Outcome::failed(
                format!("{host} at {address} ended the connection: {why}"),
                "Teams does this to certificates that it does not believe: the whole chain must be in the \
                 file, and its authority in Microsoft's root programme",
            ),
        }
    }
}

impl Speaker<'_> {
    /// What the trunk allows: Teams reads of it how calls are transferred (TDR-XFR-001).
    fn allow(&self) -> String {
        let methods = self.trunk.allow.iter().map(Method::as_str);
        methods.collect::<Vec<_>>().join(", ")
    }

    fn fqdn(&self) -> &str {
        self.trunk.fqdn.as_deref().unwrap_or_default()
    }

    /// Port at which Teams finds us, and our address there.
    fn place(&self) -> (u16, Option<IpAddr>) {
        let listeners = self.trunk.listeners.iter();
        let mut listeners = listeners.filter_map(|name| self.config.listeners.get(name));
        let tls = listeners.find(|listener| listener.protocol == Protocol::Tls);
        tls.map_or((5061, None), |at| (at.bind.port(), Some(at.bind.ip())))
    }

    /// Asks a proxy, and says what the answer means (TDR-OPT-004).
    pub async fn options(&self, proxy: &Proxy) -> Outcome {
        self.stands_with(proxy).await.outcome
    }

    /// The same, and how far it got.
    pub async fn stands_with(&self, proxy: &Proxy) -> Visit {
        let begun = Instant::now();
        match self.ask(proxy).await {
            Ok(200) => Visit {
                standing: Standing::Known,
                is_told: true,
                outcome: Outcome::Good(format!(
                    "{} knows {}: 200 after {} ms",
                    proxy.host,
                    self.fqdn(),
                    begun.elapsed().as_millis()
                )),
            },
            Ok(status) => Visit {
                standing: Standing::Shaken,
                // Who has trouble treats everybody so.
                is_told: !matches!(status, 408 | 500..=599),
                outcome: self.refused(proxy, status),
            },
            Err(trouble) => trouble.visit(proxy, self.fqdn()),
        }
    }

    /// How far a proxy lets us come that nothing may be said to.
    pub async fn shakes_hands(&self, proxy: &Proxy) -> Visit {
        let shaken = async {
            let mut line = self.connect(proxy).await?;
            match line.answer(SECOND_THOUGHTS).await {
                Ok(_) | Err(Trouble::Silence) => Ok(()),
                Err(trouble) => Err(trouble),
            }
        };
        match shaken.await {
            Ok(()) => Visit {
                standing: Standing::Shaken,
                is_told: true,
                outcome: Outcome::Good(format!("{} takes the certificate", proxy.host)),
            },
            Err(trouble) => trouble.visit(proxy, self.fqdn()),
        }
    }

    /// What a final answer other than 200 means.
    pub(super) fn refused(&self, proxy: &Proxy, status: u16) -> Outcome {
        let (host, fqdn) = (&proxy.host, self.fqdn());
        let cause = format!("{host} answers {status}");
        match status {
            403 => Outcome::failed(
                format!("{cause}: it does not know {fqdn}"),
                format!(
                    "{fqdn} must be the trunk's name in the tenant and in our certificate, its domain verified \
                     and activated (up to a day after its first licensed user)"
                ),
            ),
            404 | 480 => Outcome::failed(
                cause,
                "the number must be assigned to a user of that tenant, with +, as PhoneNumberType \
                 DirectRouting",
            ),
            488 | 410 => Outcome::failed(
                cause,
                "codecs and SRTP of the trunk must be those of Teams; MediaBypass of the trunk must be $false",
            ),
            500..=599 => Outcome::failed(cause, "Teams has trouble there: try again later"),
            _ => Outcome::failed(
                cause,
                "look the status up in the documentation of Direct Routing",
            ),
        }
    }

    async fn ask(&self, proxy: &Proxy) -> Result<u16, Trouble> {
        let mut line = self.connect(proxy).await?;
        let (request, _) = self.request(&Method::Options, proxy, None, 1, &Dialog::new());
        line.send(request.build()).await?;
        let answer = line.answer(ANSWER).await?;
        Ok(answer.status().map_or(0, |status| status.code()))
    }

    /// Calls a number until it rings or is answered, and ends the call.
    pub async fn call(&self, proxy: &Proxy, number: &str) -> Outcome {
        match self.ring(proxy, number).await {
            Ok(status @ 180..=299) => Outcome::Good(format!(
                "a call to {number} arrives: {} says {status}; it was ended",
                proxy.host
            )),
            Ok(486 | 600 | 603) => Outcome::Good(format!(
                "a call to {number} arrives, and its user is busy or declines"
            )),
            Ok(status) => self.refused(proxy, status),
            Err(Trouble::Silence) => Outcome::failed(
                format!(
                    "a call to {number} neither rings nor is refused within {} s",
                    RING.as_secs()
                ),
                "look whether a client of that user is signed in",
            ),
            Err(trouble) => trouble.told(proxy, self.fqdn()),
        }
    }

    async fn ring(&self, proxy: &Proxy, number: &str) -> Result<u16, Trouble> {
        let mut line = self.connect(proxy).await?;
        let (_, address) = self.place();
        let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        // Nothing is sent from there, and nobody else gets what comes.
        let media = UdpSocket::bind((address, 0)).await;
        let media = media.and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (at, _media) = media.map_err(|why| Trouble::Connect(why.to_string()))?;
        let mut dialog = Dialog::new();
        let invite = &Method::Invite;
        let (request, _) = self.request(invite, proxy, Some(number), 1, &dialog);
        let offer = offer(self.advertised(at.ip()), at.port());
        line.send(request.body(&ContentType::sdp(), offer.into()).build())
            .await?;
        let until = Instant::now() + RING;
        let status = loop {
            let left = until.saturating_duration_since(Instant::now());
            let answer = line.answer(left).await;
            let status = match &answer {
                Ok(answer) => answer.status().map_or(0, |status| status.code()),
                Err(_) => 0,
            };
            match answer {
                Ok(_) if status <= 100 => {}
                Ok(answer) => {
                    dialog.hear(&answer);
                    break status;
                }
                Err(trouble) => {
                    // Nobody shall go on ringing.
                    let (cancel, _) =
                        self.request(&Method::Cancel, proxy, Some(number), 1, &dialog);
                    let _ = line.send(cancel.build()).await;
                    return Err(trouble);
                }
            }
        };
        match status {
            101..=199 => {
                let own = Dialog {
                    tag: String::new(),
                    ..dialog.clone()
                };
                let (cancel, _) = self.request(&Method::Cancel, proxy, Some(number), 1, &own);
                line.send(cancel.build()).await?;
                // 200 of the CANCEL and 487 of the call, unless somebody picked up before that arrived.
                let until = Instant::now() + ANSWER;
                let left = || until.saturating_duration_since(Instant::now());
                while !left().is_zero()
                    && let Ok(answer) = line.answer(left()).await
                {
                    let last = answer.status().filter(|status| status.is_final());
                    let Some(last) = last.filter(|_| is_of_invite(&answer)) else {
                        continue;
                    };
                    dialog.hear(&answer);
                    match last.code() {
                        200..=299 => self.leave(&mut line, proxy, number, &mut dialog).await?,
                        _ => {
                            let (ack, _) =
                                self.request(&Method::Ack, proxy, Some(number), 1, &dialog);
                            line.send(ack.build()).await?;
                        }
                    }
                    break;
                }
            }
            200..=299 => self.leave(&mut line, proxy, number, &mut dialog).await?,
            _ => {
                let (ack, _) = self.request(&Method::Ack, proxy, Some(number), 1, &dialog);
                line.send(ack.build()).await?;
            }
        }
        Ok(status)
    }

    /// Ends a call that was answered.
    async fn leave(
        &self,
        line: &mut Line,
        proxy: &Proxy,
        number: &str,
        dialog: &mut Dialog,
    ) -> Result<(), Trouble> {
        dialog.is_confirmed = true;
        for (method, number_of) in [(Method::Ack, 1), (Method::Bye, 2)] {
            let (request, _) = self.request(&method, proxy, Some(number), number_of, dialog);
            line.send(request.build()).await?;
        }
        let _ = line.answer(ANSWER).await;
        Ok(())
    }

    fn advertised(&self, local: IpAddr) -> IpAddr {
        let ours = super::name::ours(self.config, self.trunk);
        let same = |address: &&IpAddr| address.is_ipv4() == local.is_ipv4();
        ours.iter().find(same).copied().unwrap_or(local)
    }

    /// A request in the form that Teams documents (TDR-OPT-003, TDR-SIP-010 to 013). An unreadable part, which
    /// a checked configuration does not have, is left out.
    fn request(
        &self,
        method: &Method,
        proxy: &Proxy,
        number: Option<&str>,
        cseq: u32,
        dialog: &Dialog,
    ) -> (RequestBuilder, String) {
        let (fqdn, (port, _)) = (self.fqdn(), self.place());
        let Proxy { host, port: at, .. } = proxy;
        let user = number.map_or_else(String::new, |number| format!("{number}@"));
        let phone = number.map_or("", |_| ";user=phone");
        let target = match (&dialog.target, dialog.is_confirmed) {
            (Some(target), true) => target.clone(),
            _ => format!("sip:{user}{host}:{at};transport=tls{phone}"),
        };
        let branch = match (method, dialog.is_confirmed) {
            // A call and what ends it before it is one are of one transaction.
            (Method::Invite | Method::Cancel, _) | (Method::Ack, false) => dialog.branch.clone(),
            _ => format!("z9hG4bK{}", word()),
        };
        let to = match dialog.tag.is_empty() {
            true => format!("<sip:{user}{host}:{at}{phone}>"),
            false => format!("<sip:{user}{host}:{at}{phone}>;tag={}", dialog.tag),
        };
        let usual = format!("sip:{host}:{at};transport=tls");
        let uri = Uri::parse(target).or_else(|_| Uri::parse(usual));
        let uri = uri.unwrap_or_else(|_| {
            Uri::from(sbc_core::sip::SipUri::new(sbc_core::sip::Host::from(
                proxy.address.ip(),
            )))
        });
        let mut request = RequestBuilder::new(method.clone(), &uri)
            .raw_if_valid(
                HeaderName::Via,
                format!("SIP/2.0/TLS {fqdn}:{port};branch={branch}"),
            )
            .raw_if_valid(HeaderName::MaxForwards, "70")
            .raw_if_valid(
                HeaderName::From,
                format!(
                    "<sip:{}{fqdn}:{port}>;tag={}",
                    caller(number),
                    dialog.own_tag
                ),
            )
            .raw_if_valid(HeaderName::To, to)
            .raw_if_valid(HeaderName::CallId, &dialog.call_id)
            .raw_if_valid(HeaderName::CSeq, format!("{cseq} {}", method.as_str()))
            .raw_if_valid(
                HeaderName::Contact,
                format!("<sip:{}{fqdn}:{port};transport=tls>", caller(number)),
            )
            .raw_if_valid(HeaderName::Allow, self.allow());
        if let Some(token) = self.config.node.product(self.trunk) {
            request = request.raw_if_valid(HeaderName::UserAgent, token);
        }
        if dialog.is_confirmed {
            for route in &dialog.routes {
                request = request.raw_if_valid(HeaderName::Route, route);
            }
        }
        for (name, value) in &self.trunk.set_headers {
            if let Ok(name) = HeaderName::parse(name.clone()) {
                request = request.raw_if_valid(name, value);
            }
        }
        (request, branch)
    }

    async fn connect(&self, proxy: &Proxy) -> Result<Line, Trouble> {
        let failed = |why: io::Error| Trouble::Connect(why.to_string());
        let socket = match proxy.address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(failed)?;
        let (_, local) = self.place();
        if let Some(local) = local.filter(|ip| ip.is_ipv4() == proxy.address.is_ipv4()) {
            socket.bind(SocketAddr::new(local, 0)).map_err(failed)?;
        }
        let stream = match timeout(REACH, socket.connect(proxy.address)).await {
            Err(_) => return Err(Trouble::Connect("no answer in time".to_owned())),
            Ok(stream) => stream.map_err(failed)?,
        };
        let wrong = |why: String| Trouble::Tls(why, "");
        let name = ServerName::try_from(proxy.host.clone());
        let name = name.map_err(|_| wrong(format!("\"{}\" is no name", proxy.host)))?;
        let verdict = Verdict::default();
        let mut wanted = self.trunk.accept_names.clone();
        wanted.push(proxy.host.clone());
        let config = self.tls.connect(wanted, &verdict);
        let config = config.map_err(|why| wrong(why.to_string()))?;
        let shaken = TlsConnector::from(config).connect(name, stream);
        match timeout(REACH, shaken).await {
            Err(_) => Err(wrong("the handshake takes too long".to_owned())),
            Ok(Ok(stream)) => Ok(Line {
                stream,
                framer: Framer::new(Limits::default()),
            }),
            Ok(Err(why)) => Err(match verdict.take() {
                Some(Err(refusal)) => {
                    let advice = refusal.advice();
                    Trouble::Unbelieved(refusal.to_string(), advice)
                }
                Some(Ok(_)) | None => {
                    let refusal = Refusal::of_io(&why);
                    let (advice, text) = (refusal.advice(), refusal.to_string());
                    match is_alert(&why) {
                        true => Trouble::Alert(text, advice),
                        false => Trouble::Tls(text, advice),
                    }
                }
            }),
        }
    }
}

/// Identifiers of one exchange, and what the peer has said of a dialog.
#[derive(Clone)]
struct Dialog {
    call_id: String,
    own_tag: String,
    branch: String,
    tag: String,
    target: Option<String>,
    routes: Vec<String>,
    is_confirmed: bool,
}

impl Dialog {
    fn new() -> Self {
        Self {
            call_id: word(),
            own_tag: word(),
            branch: format!("z9hG4bK{}", word()),
            tag: String::new(),
            target: None,
            routes: Vec::new(),
            is_confirmed: false,
        }
    }

    fn hear(&mut self, answer: &Message) {
        let tag = answer.to_tag();
        self.tag = tag.map_or_else(String::new, |tag| String::from_utf8_lossy(tag).into_owned());
        let contact = answer.raw(HeaderName::Contact);
        let contact = contact.map(|value| String::from_utf8_lossy(&value).into_owned());
        self.target = contact.and_then(|value| {
            let inside = value.split_once('<')?.1.split_once('>')?.0;
            Some(inside.to_owned())
        });
        self.routes.clear();
        let routes = answer.headers();
        for line in routes.filter(|line| line.name() == HeaderName::RecordRoute) {
            let text = String::from_utf8_lossy(&line.value()).trim().to_owned();
            self.routes.insert(0, text);
        }
    }
}

struct Line {
    stream: TlsStream<TcpStream>,
    framer: Framer,
}

impl Line {
    async fn send(&mut self, octets: bytes::Bytes) -> Result<(), Trouble> {
        let broken = |why: io::Error| Trouble::on_line(&why);
        self.stream.write_all(&octets).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// The next response; requests of the proxy are none of ours.
    async fn answer(&mut self, patience: Duration) -> Result<Message, Trouble> {
        let read = async {
            let mut buffer = [0; 8192];
            loop {
                while let Some(frame) = self.framer.next_frame() {
                    if let Frame::Message(octets) = frame
                        && let Ok(message) = Message::parse(octets, &Limits::default())
                        && message.status().is_some()
                    {
                        return Ok(message);
                    }
                }
                match self.stream.read(&mut buffer).await {
                    Ok(0) => return Err(Trouble::Broken("it was closed".to_owned())),
                    Ok(length) => self.framer.push(&buffer[..length]),
                    Err(why) => return Err(Trouble::on_line(&why)),
                }
            }
        };
        timeout(patience, read)
            .await
            .unwrap_or(Err(Trouble::Silence))
    }
}

/// Whether the peer has said why it ends a connection.
fn is_alert(why: &io::Error) -> bool {
    let inner = why.get_ref().and_then(|own| own.downcast_ref::<Error>());
    matches!(inner, Some(Error::AlertReceived(_)))
}

fn is_of_invite(answer: &Message) -> bool {
    let cseq = answer.raw(HeaderName::CSeq).unwrap_or_default();
    cseq.ends_with(b"INVITE")
}

/// Who a test call says that calls: a number that nobody has.
fn caller(number: Option<&str>) -> &'static str {
    number.map_or("", |_| "+441632960000@")
}

/// An offer that Teams takes: SDES with the one documented suite. The key protects nothing, for nothing is sent.
fn offer(at: IpAddr, port: u16) -> String {
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    let mut key = [0; 30];
    let _ = random(&mut key);
    let key = base64_encode(&key);
    format!(
        "v=0\r\no=- 1 1 IN {family} {at}\r\ns=-\r\nc=IN {family} {at}\r\nt=0 0\r\n\
         m=audio {port} RTP/SAVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=rtcp:{}\r\na=rtcp-mux\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\na=ptime:20\r\na=sendrecv\r\n",
        port
    )
}

fn word() -> String {
    let mut octets = [0; 12];
    let _ = random(&mut octets);
    let mut word = String::new();
    for octet in octets {
        let _ = write!(word, "{octet:02x}");
    }
    word
}
