//! From a description to what would arrive: the flow and the INVITE.

use super::stage::{Scene, Stage};
use crate::auth::Asker;
use crate::config::{CallIn, Config, Listener, TargetAddress, Trunk, UserPhone};
use crate::id::{FlowId, ListenerName};
use crate::media::{CODECS, Codec, MediaImage, Profile, interwork};
use crate::policy::ingress;
use crate::sip::{Limits, Message};
use crate::transport::{Flow, PeerIdentity, Protocol};
use media_api::EndpointId;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Why no call can be made of a description.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Undescribed {
    /// Neither trunk nor source is given.
    NoOrigin,
    /// There is no such trunk.
    UnknownTrunk(String),
    /// There is no such listener, or the trunk does not use it.
    UnknownListener(String),
    /// No listener could take it.
    NoListener,
    /// The trunk does not take calls from this address.
    ForeignSource(IpAddr, String),
    /// No codec of this name.
    UnknownCodec(String),
    /// The trunk cannot write an offer with these codecs.
    NoOffer(String),
    /// What was described is no valid message; the text says why.
    NotSip(String),
}

impl fmt::Display for Undescribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrigin => f.write_str("neither a trunk nor a source is given"),
            Self::UnknownTrunk(name) => write!(f, "there is no trunk \"{name}\""),
            Self::UnknownListener(name) => {
                write!(f, "no listener \"{name}\" takes calls of this peer")
            }
            Self::NoListener => f.write_str("no listener can take a call from this address"),
            Self::ForeignSource(source, trunk) => {
                write!(f, "trunk \"{trunk}\" takes no calls from {source}")
            }
            Self::UnknownCodec(name) => {
                let all = CODECS.map(|(name, ..)| name);
                write!(
                    f,
                    "there is no codec \"{name}\"; there are {}",
                    all.join(", ")
                )
            }
            Self::NoOffer(why) => write!(f, "no offer can be written: {why}"),
            Self::NotSip(why) => write!(f, "the call is no valid INVITE: {why}"),
        }
    }
}

impl std::error::Error for Undescribed {}

/// The flow that a described call arrives on, and its INVITE.
pub(super) fn invite(stage: &mut Stage, call: &CallIn) -> Result<(Flow, Message), Undescribed> {
    let scene = &Arc::clone(stage.scene());
    let config = scene.config();
    let trunk = match &call.trunk {
        Some(name) => {
            let unknown = || Undescribed::UnknownTrunk(name.as_str().to_owned());
            Some(config.trunks.get(name).ok_or_else(unknown)?)
        }
        None => None,
    };
    let flow = match (trunk, call.source) {
        (Some(trunk), source) => of_trunk(scene, call, trunk, source)?,
        (None, Some(source)) => of_source(config, call, source)?,
        (None, None) => return Err(Undescribed::NoOrigin),
    };
    // Whose offer it is matters for its codecs alone: a stranger's is nobody's.
    let speaker = trunk.or_else(|| {
        let mut trunks = config.trunks.values();
        trunks.find(|trunk| ingress::admits_flow(config, trunk, &flow))
    });
    let body = match speaker {
        Some(trunk) => offer(stage, call, trunk)?,
        None => String::new(),
    };
    let message = written(config, call, trunk.or(speaker), &flow, &body)?;
    Ok((flow, message))
}

/// A flow of a trunk's peer.
fn of_trunk(
    scene: &Scene,
    call: &CallIn,
    trunk: &Trunk,
    source: Option<IpAddr>,
) -> Result<Flow, Undescribed> {
    let config = scene.config();
    let first = trunk.targets.first();
    let address = |target: &TargetAddress| scene.address_of(trunk, target);
    let usual = || match trunk.accept_from.first() {
        // The target, where its address is one of those that the trunk accepts.
        Some(net) => {
            let target = first.map(|target| address(target).ip());
            let target = target.filter(|ip| ingress::accepts_source(trunk, *ip));
            target.unwrap_or_else(|| net.first())
        }
        None => first.map_or(IpAddr::from([240, 0, 0, 1]), |target| address(target).ip()),
    };
    let is_known = |ip| {
        let registrar = trunk.register.is_some() && first.is_some_and(|t| address(t).ip() == ip);
        registrar || ingress::accepts_source(trunk, ip)
    };
    if let Some(source) = source.filter(|source| !is_known(*source)) {
        return Err(Undescribed::ForeignSource(
            source,
            trunk.name.as_str().to_owned(),
        ));
    }
    let source = source.unwrap_or_else(usual);
    let wanted = first.map(|target| target.protocol);
    let fits = |listener: &&Arc<Listener>| listener.bind.is_ipv4() == source.is_ipv4();
    let own = trunk.listeners.iter();
    let own: Vec<&Arc<Listener>> = own
        .filter_map(|name| config.listeners.get(name))
        .filter(fits)
        .collect();
    let listener = match &call.listener {
        Some(name) => {
            let unknown = || Undescribed::UnknownListener(name.as_str().to_owned());
            let mut own = own.iter();
            own.find(|at| at.name == *name).ok_or_else(unknown)?
        }
        None => own
            .iter()
            .find(|at| Some(at.protocol) == wanted)
            .or_else(|| own.first())
            .ok_or(Undescribed::NoListener)?,
    };
    Ok(flow(listener, source, identity(listener, trunk)))
}

/// A flow from an address, whoever that is.
fn of_source(config: &Config, call: &CallIn, source: IpAddr) -> Result<Flow, Undescribed> {
    let listeners = config.listeners.values().filter(|listener| {
        let is_named = call
            .listener
            .as_ref()
            .is_none_or(|name| *name == listener.name);
        is_named && listener.bind.is_ipv4() == source.is_ipv4()
    });
    let mut first = None;
    for listener in listeners {
        let admits = |trunk: &&Arc<Trunk>| {
            trunk.listeners.contains(&listener.name) && ingress::accepts_source(trunk, source)
        };
        if let Some(trunk) = config.trunks.values().find(admits) {
            return Ok(flow(listener, source, identity(listener, trunk)));
        }
        first = first.or(Some(listener));
    }
    let missing = || match &call.listener {
        Some(name) => Undescribed::UnknownListener(name.as_str().to_owned()),
        None => Undescribed::NoListener,
    };
    first
        .map(|listener| flow(listener, source, None))
        .ok_or_else(missing)
}

fn flow(listener: &Listener, source: IpAddr, identity: Option<PeerIdentity>) -> Flow {
    Flow {
        id: FlowId(1),
        protocol: listener.protocol,
        listener: ListenerName::clone(&listener.name),
        local: listener.bind,
        remote: SocketAddr::new(source, listener.protocol.default_port()),
        identity: identity.map(Arc::new),
        tls: None,
    }
}

/// Whom a peer of this trunk proves to be.
fn identity(listener: &Listener, trunk: &Trunk) -> Option<PeerIdentity> {
    if listener.protocol != Protocol::Tls {
        return None;
    }
    let named = trunk.accept_names.first();
    let named = named.or(trunk.targets.first().map(|target| &target.host))?;
    Some(PeerIdentity {
        context: trunk.tls.clone().or_else(|| listener.tls.clone())?,
        names: vec![named.replacen("*.", "peer.", 1).to_lowercase()],
        server_name: trunk.fqdn.clone(),
    })
}

/// What the peer of a trunk offers: what we would offer it.
fn offer(stage: &mut Stage, call: &CallIn, trunk: &Trunk) -> Result<String, Undescribed> {
    let mut profile: Profile = Profile::clone(&trunk.media.profile);
    if !call.codecs.is_empty() {
        profile.codecs = call
            .codecs
            .iter()
            .map(|name| {
                let own = profile.codecs.iter().find(|codec| codec.is_called(name));
                own.cloned()
                    .or_else(|| Codec::known(name))
                    .ok_or_else(|| Undescribed::UnknownCodec(name.clone()))
            })
            .collect::<Result<Vec<Codec>, _>>()?;
    }
    let profile = Arc::new(profile);
    let mut image = MediaImage::new(Arc::clone(&profile), EndpointId(0), 1, None);
    image.allocated(&stage.endpoint(&image.spec()));
    let body = interwork::open(&mut image, &profile);
    let body = body.map_err(|why| Undescribed::NoOffer(why.because.text().into()))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn written(
    config: &Config,
    call: &CallIn,
    trunk: Option<&Arc<Trunk>>,
    flow: &Flow,
    body: &str,
) -> Result<Message, Undescribed> {
    let Flow {
        remote, protocol, ..
    } = flow;
    let listener = config.listeners.get(&flow.listener);
    let advertised = listener.map_or(flow.local, |listener| listener.advertised);
    let fqdn = trunk.and_then(|trunk| trunk.fqdn.clone());
    let common = listener.and_then(|listener| listener.host.clone());
    let our_host = fqdn
        .or(common)
        .unwrap_or_else(|| host_text(advertised.ip()));
    let peer_host = match trunk.and_then(|trunk| trunk.targets.first()) {
        Some(target) => target.host.clone(),
        None => host_text(remote.ip()),
    };
    let phone = match trunk.is_some_and(|trunk| trunk.uri.user_phone == UserPhone::Always) {
        true => ";user=phone",
        false => "",
    };
    let is_address = |text: &str| text.contains(':') || text.contains('<');
    let to = match is_address(&call.to) {
        true => call.to.clone(),
        false => format!("<sip:{}@{our_host}{phone}>", call.to),
    };
    let from = match is_address(&call.from) {
        true => call.from.clone(),
        false => format!("<sip:{}@{peer_host}{phone}>", call.from),
    };
    let from = if from.contains('<') {
        from
    } else {
        format!("<{from}>")
    };
    let to = if to.contains('<') {
        to
    } else {
        format!("<{to}>")
    };
    let request_uri = match &call.request_uri {
        Some(uri) => uri.clone(),
        None => {
            let (_, rest) = to.split_once('<').unwrap_or_default();
            let (uri, _) = rest.split_once('>').unwrap_or((rest, ""));
            uri.to_owned()
        }
    };
    let via = protocol.via_name();
    let mut head = format!(
        "INVITE {request_uri} SIP/2.0\r\n\
         Via: SIP/2.0/{via} {remote};branch=z9hG4bKrehearsal\r\n\
         From: {from};tag=rehearsal\r\n\
         To: {to}\r\n\
         Call-ID: rehearsal@{peer_host}\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:{remote};transport={}>\r\n",
        protocol.uri_name()
    );
    let has = |name: &str| {
        let mut own = call.headers.iter();
        own.any(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    if !has("Max-Forwards") {
        head.push_str("Max-Forwards: 70\r\n");
    }
    if let Some(own) = trunk.and_then(|trunk| trunk.authenticate.as_ref()) {
        // Nobody has to prove anything here; the name says which peer is meant.
        let name = match own.asker {
            Asker::Server => "Authorization",
            Asker::Proxy => "Proxy-Authorization",
        };
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let (user, realm) = (escaped(&own.account.username), escaped(own.realm()));
        let line = format!("{name}: Digest username=\"{user}\", realm=\"{realm}\"\r\n");
        head.push_str(&line);
    }
    for (name, value) in &call.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let not_sip = |why: String| Undescribed::NotSip(why);
    let message = Message::parse(text.into(), &Limits::default())
        .map_err(|rejected| not_sip(rejected.fault.to_string()))?;
    message
        .validate()
        .map_err(|rejection| not_sip(rejection.why.to_string()))?;
    Ok(message)
}

fn host_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
