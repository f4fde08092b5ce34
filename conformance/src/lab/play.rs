//! What is played in a lab: calls in both directions, calls that fail, strangers.

use super::place::{TENANTS, Tenant};
use super::world::World;
use crate::media::endpoint::{Session, Sockets};
use crate::media::figures::{Figures, Ledger};
use crate::media::sdp::{self, Media};
use crate::media::secure::{Key, Secure};
use crate::media::tone::Codec;
use crate::peer::agent::Received;
use crate::peer::fault::PeerFault;
use crate::peer::flow::connection;
use crate::peer::leg::{Leg, PATIENCE};
use crate::peer::message::{Draft, Message};
use crate::peer::teams::{TeamsProxy, connect_from};
use crate::peer::tls;
use crate::random;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Packets that each side plays: one second.
pub(super) const PACKETS: u64 = 50;
/// Tones of the caller and of the called; see [`crate::media::tone::Tone::new`].
pub(super) const TONES: (f64, f64) = (437.3, 611.7);
/// A number in the public network.
const OUTSIDE: &str = "+12025550123";
/// A number in the public network whose owner is busy.
const BUSY: &str = "+12025550186";

/// Which way a call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the carrier to a user of Teams.
    ToTeams,
    /// From a user of Teams to the carrier.
    FromTeams,
}

/// What was played and what came of it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What it shows.
    pub title: String,
    /// What the daemon says about it: the ladder and, for a failed call, the explanation.
    pub ladder: Option<String>,
    /// The daemon's identifier of the call.
    pub call: Option<String>,
    /// Call-IDs of all legs, to find out what the peers found wrong with them.
    pub call_ids: Vec<String>,
    /// Media as the peers measured it: where it was heard, and the figures.
    pub media: Vec<(&'static str, Figures)>,
    /// In a line, what happened.
    pub happened: String,
    /// What was not as it should be.
    pub problems: Vec<String>,
}

/// Plays everything.
pub async fn everything(world: &World) -> Vec<Scene> {
    let [contoso, fabrikam] = &TENANTS;
    let (a, b, c, d) = tokio::join!(
        answered(world, contoso, Direction::ToTeams, 0, Codec::Pcma, true),
        answered(world, contoso, Direction::FromTeams, 0, Codec::Pcma, false),
        answered(world, fabrikam, Direction::ToTeams, 0, Codec::Pcmu, false),
        answered(world, fabrikam, Direction::FromTeams, 1, Codec::Pcma, true),
    );
    let mut scenes = vec![a, b, c, d];
    scenes.push(echo(world, contoso).await);
    scenes.push(another_region(world, contoso).await);
    scenes.push(unknown_user(world, contoso).await);
    scenes.push(busy(world, fabrikam).await);
    scenes.push(unowned_number(world).await);
    scenes.extend(strangers(world).await);
    scenes.push(health(world).await);
    scenes.extend(super::bypass::everything(world).await);
    scenes
}

/// What an operator is told of every proxy and both directions of OPTIONS.
async fn health(world: &World) -> Scene {
    let mut scene = Scene::new("OPTIONS of every tenant and proxy, both ways".to_owned());
    let told = match world.daemon.ask("/teams").await {
        Ok(told) => told,
        Err(fault) => {
            scene.problems.push(fault.to_string());
            return scene;
        }
    };
    let rows: Vec<Value> = serde_json::from_str(&told).unwrap_or_default();
    for tenant in &TENANTS {
        for proxy in &world.proxies {
            for direction in ["to", "from"] {
                let is_it = |row: &&Value| {
                    row["fqdn"] == tenant.fqdn
                        && row["proxy"] == proxy.host()
                        && row["direction"] == direction
                };
                let verdict = rows.iter().find(is_it).map(|row| &row["verdict"]);
                if verdict.and_then(Value::as_str) != Some("active") {
                    let (name, host) = (tenant.name, proxy.host());
                    let what = format!("{name}, {direction} {host}: {verdict:?}");
                    scene.problems.push(what);
                }
            }
        }
    }
    let ways = rows.iter().filter(|row| row["direction"] != "name");
    scene.happened = format!("{} ways are active", ways.count());
    scene
}

/// A call with audio both ways, ended by the caller or by the called.
async fn answered(
    world: &World,
    tenant: &Tenant,
    direction: Direction,
    region: usize,
    codec: Codec,
    caller_ends: bool,
) -> Scene {
    let (from, to) = match direction {
        Direction::ToTeams => ("carrier", "Teams"),
        Direction::FromTeams => ("Teams", "carrier"),
    };
    let ends = if caller_ends {
        "the caller"
    } else {
        "the called"
    };
    let title = format!(
        "{}: {from} → {to}, {}, {ends} hangs up",
        tenant.name,
        codec.name()
    );
    let played = converse(world, tenant, direction, region, codec, caller_ends).await;
    let mut scene = Scene::new(title);
    match played {
        Ok((call_id, media)) => {
            scene.call_ids.push(call_id);
            for (place, figures) in &media {
                if !figures.is_perfect() {
                    scene
                        .problems
                        .push(format!("audio heard by {place} is not what was played"));
                }
            }
            scene.media = media;
            scene.happened = "answered, audio both ways".to_owned();
        }
        Err((call_id, fault)) => {
            scene.call_ids.extend(call_id);
            scene.problems.push(fault.to_string());
        }
    }
    scene.record(world, "answered").await;
    scene
}

type Played = Result<(String, Vec<(&'static str, Figures)>), (Option<String>, PeerFault)>;

async fn converse(
    world: &World,
    tenant: &Tenant,
    direction: Direction,
    region: usize,
    codec: Codec,
    caller_ends: bool,
) -> Played {
    let Some(proxy) = world.proxies.get(region) else {
        return Err((None, media_fault("lab", "no such region".to_owned())));
    };
    // Each call has numbers of its own, so that calls side by side find their legs.
    let user = tenant.number(if codec == Codec::Pcmu { 2 } else { 1 });
    let outside = format!("{}{}", &OUTSIDE[..OUTSIDE.len() - 2], 20 + region);
    let ours = Caller::open(world, direction)
        .await
        .map_err(|fault| (None, fault))?;
    let (mut caller, mut calls) = match direction {
        Direction::ToTeams => {
            let calls = proxy.claim(&user);
            let offer = sdp::carrier_offer(ours.at, &[codec]);
            let called = world.carrier.call(world.ports.udp, &outside, &user, offer);
            let (leg, _) = called.map_err(|fault| (None, fault))?;
            (leg, calls)
        }
        Direction::FromTeams => {
            let calls = world.carrier.claim(&outside);
            let offer = sdp::teams_offer(ours.at, &ours.key);
            let trunk = world.trunk(tenant);
            let called = proxy.call(&trunk, &user, &outside, offer).await;
            let (leg, _) = called.map_err(|fault| (None, fault))?;
            (leg, calls)
        }
    };
    let call_id = caller.call_id().to_owned();
    let talked = async {
        let (called_side, caller_side) = tokio::join!(
            pick_up(world, proxy, direction, codec, &mut calls),
            accepted(&mut caller)
        );
        // Why the caller got no answer says more than that the called was not called.
        let answer = caller_side?;
        let (mut called, theirs, offer, key) = called_side?;
        let answer =
            sdp::read(&answer.body()).map_err(|why| media_fault(direction.caller(), why))?;
        let ledgers = (Ledger::default(), Ledger::default());
        let near = session(
            &answer,
            codec,
            ours.key_if(direction == Direction::FromTeams),
            TONES,
        )
        .map_err(|why| media_fault(direction.caller(), why))?;
        let near = near.with(&ledgers.0, &ledgers.1);
        let key = (direction == Direction::ToTeams).then_some(&key);
        let far = session(&offer, codec, key, (TONES.1, TONES.0))
            .map_err(|why| media_fault(direction.called(), why))?;
        let far = far.with(&ledgers.1, &ledgers.0);
        let (near, far) = tokio::join!(ours.sockets.talk(near, PACKETS), theirs.talk(far, PACKETS));
        let io = |who: &'static str| move |why: std::io::Error| media_fault(who, why.to_string());
        let near = near.map_err(io(direction.caller()))?;
        let far = far.map_err(io(direction.called()))?;
        let (first, second) = match caller_ends {
            true => (&mut caller, &mut called),
            false => (&mut called, &mut caller),
        };
        let (bye, ended) = tokio::join!(first.hang_up(), second.hung_up(PATIENCE));
        bye.and(ended)?;
        Ok(vec![(direction.called(), far), (direction.caller(), near)])
    };
    match talked.await {
        Ok(media) => Ok((call_id, media)),
        Err(fault) => Err((Some(call_id), fault)),
    }
}

/// Sockets and key of the calling side.
struct Caller {
    sockets: Sockets,
    at: SocketAddr,
    key: Key,
}

impl Caller {
    async fn open(world: &World, direction: Direction) -> Result<Self, PeerFault> {
        let ip = match direction {
            Direction::ToTeams => world.addresses.carrier,
            Direction::FromTeams => world.addresses.proxies[0],
        };
        let (sockets, at) = open(ip, direction.caller()).await?;
        Ok(Self {
            sockets,
            at,
            key: Key::random(),
        })
    }

    fn key_if(&self, is_secured: bool) -> Option<&Key> {
        is_secured.then_some(&self.key)
    }
}

pub(super) async fn open(
    ip: IpAddr,
    who: &'static str,
) -> Result<(Sockets, SocketAddr), PeerFault> {
    let fault = |why| PeerFault::Socket {
        peer: who.to_owned(),
        why,
    };
    let sockets = Sockets::open(ip).await.map_err(fault)?;
    let at = sockets.address().map_err(fault)?;
    Ok((sockets, at))
}

pub(super) fn media_fault(peer: &str, why: String) -> PeerFault {
    PeerFault::Media {
        peer: peer.to_owned(),
        why,
    }
}

impl Direction {
    fn caller(self) -> &'static str {
        match self {
            Self::ToTeams => "carrier",
            Self::FromTeams => "Teams",
        }
    }

    fn called(self) -> &'static str {
        match self {
            Self::ToTeams => "Teams",
            Self::FromTeams => "carrier",
        }
    }
}

/// The caller waits for 200 and acknowledges it.
async fn accepted(caller: &mut Leg) -> Result<Message, PeerFault> {
    let answer = caller.final_response().await?;
    match answer.status() {
        Some(200..=299) => caller.acknowledge(&answer).map(|()| answer),
        _ => Err(caller.unexpected("200 for its INVITE", &answer)),
    }
}

/// The called side: rings, answers, and has the ACK. Gives its leg, its sockets, the offer and
/// its key.
async fn pick_up(
    world: &World,
    proxy: &TeamsProxy,
    direction: Direction,
    codec: Codec,
    calls: &mut mpsc::UnboundedReceiver<Received>,
) -> Result<(Leg, Sockets, Media, Key), PeerFault> {
    let who = direction.called();
    let (mut leg, ip) = match direction {
        Direction::ToTeams => {
            let leg = proxy.take(next(calls, who).await?).await?;
            (leg, proxy.address().ip())
        }
        Direction::FromTeams => {
            let leg = world.carrier.take(next(calls, who).await?);
            (leg, world.carrier.address().ip())
        }
    };
    leg.respond(100, "Trying", None, &[])?;
    leg.respond(180, "Ringing", None, &[])?;
    let offer = sdp::read(&leg.offer()).map_err(|why| media_fault(who, why))?;
    let (sockets, here) = open(ip, who).await?;
    let key = Key::random();
    let tag = offer
        .keys
        .first()
        .map(|offered| (offered.tag.as_str(), &key));
    let answer = sdp::answer(&offer, codec, here, tag);
    leg.respond(200, "OK", Some(answer), &[])?;
    leg.acknowledged().await?;
    Ok((leg, sockets, offer, key))
}

pub(super) async fn next(
    calls: &mut mpsc::UnboundedReceiver<Received>,
    who: &str,
) -> Result<Received, PeerFault> {
    match timeout(PATIENCE, calls.recv()).await {
        Ok(Some(invite)) => Ok(invite),
        Ok(None) | Err(_) => Err(PeerFault::Silence {
            peer: who.to_owned(),
            wanted: "an INVITE".to_owned(),
            after: PATIENCE,
        }),
    }
}

/// A session towards what the other side described.
pub(super) fn session(
    remote: &Media,
    codec: Codec,
    ours: Option<&Key>,
    (plays, expects): (f64, f64),
) -> Result<Session, String> {
    let secure = match ours {
        Some(ours) => {
            let theirs = remote.keys.first().and_then(|key| key.key.as_ref());
            Some(Secure::new(ours, theirs.ok_or("no usable key")?)?)
        }
        None => None,
    };
    let format = remote
        .formats
        .iter()
        .find(|f| Codec::of(&f.encoding) == Some(codec));
    let payload_type = format
        .ok_or_else(|| format!("no {}", codec.name()))?
        .payload_type;
    Ok(Session {
        remote: remote.rtp,
        remote_rtcp: remote.rtcp,
        codec,
        payload_types: (payload_type, payload_type),
        secure,
        plays,
        expects,
        sent: Ledger::default(),
        heard: Ledger::default(),
        ice: None,
    })
}

impl Session {
    pub(super) fn with(mut self, sent: &Ledger, heard: &Ledger) -> Self {
        self.sent = sent.clone();
        self.heard = heard.clone();
        self
    }
}

/// A user who sends back what he hears, as for whoever joins in: the caller hears himself.
async fn echo(world: &World, tenant: &Tenant) -> Scene {
    let title = format!(
        "{}: carrier → Teams, the called sends back what he hears",
        tenant.name
    );
    let mut scene = Scene::new(title);
    let direction = Direction::ToTeams;
    let work = async {
        let ours = Caller::open(world, direction).await?;
        let offer = sdp::carrier_offer(ours.at, &[Codec::Pcma]);
        let called = tenant.echo();
        let (mut caller, _) = world
            .carrier
            .call(world.ports.udp, OUTSIDE, &called, offer)?;
        scene.call_ids.push(caller.call_id().to_owned());
        let answer = accepted(&mut caller).await?;
        let fault = |why| media_fault(direction.caller(), why);
        let answer = sdp::read(&answer.body()).map_err(fault)?;
        let ledger = Ledger::default();
        let session = session(&answer, Codec::Pcma, None, (TONES.0, TONES.0)).map_err(fault)?;
        let session = session.with(&ledger, &ledger);
        let heard = ours.sockets.talk(session, PACKETS / 2).await;
        let heard = heard.map_err(|why| fault(why.to_string()))?;
        caller.hang_up().await.map(|()| heard)
    };
    match work.await {
        Ok(heard) => {
            if !heard.is_perfect() {
                scene
                    .problems
                    .push("the caller does not hear what he played".to_owned());
            }
            scene.happened = "answered; the delay is that of both ways together".to_owned();
            scene.media.push((direction.caller(), heard));
        }
        Err(fault) => scene.problems.push(fault.to_string()),
    }
    scene.record(world, "answered").await;
    scene
}

/// The first region is out of order; the call must go to the second without the caller noticing
/// (TDR-DNS-003).
async fn another_region(world: &World, tenant: &Tenant) -> Scene {
    let title = format!(
        "{}: carrier → Teams, sip is out of order, sip2 takes the call",
        tenant.name
    );
    let mut scene = Scene::new(title);
    let number = tenant.number(3);
    let work = async {
        let [first, second, _] = world.proxies.as_slice() else {
            return Err(media_fault("lab", "there are not three proxies".to_owned()));
        };
        let (mut failing, mut working) = (first.claim(&number), second.claim(&number));
        let ours = Caller::open(world, Direction::ToTeams).await?;
        let offer = sdp::carrier_offer(ours.at, &[Codec::Pcma]);
        let (mut caller, _) = world
            .carrier
            .call(world.ports.udp, OUTSIDE, &number, offer)?;
        scene.call_ids.push(caller.call_id().to_owned());
        let refused = async {
            let mut leg = first.take(next(&mut failing, first.host()).await?).await?;
            let later = [("Retry-After", "1".to_owned())];
            leg.respond(503, "Service Unavailable", None, &later)
        };
        let direction = Direction::ToTeams;
        let (refused, picked, answer) = tokio::join!(
            refused,
            pick_up(world, second, direction, Codec::Pcma, &mut working),
            accepted(&mut caller)
        );
        refused?;
        answer?;
        let (mut called, ..) = picked?;
        let (bye, ended) = tokio::join!(caller.hang_up(), called.hung_up(PATIENCE));
        bye.and(ended)
    };
    match work.await {
        Ok(()) => scene.happened = "answered by sip2 after 503 of sip".to_owned(),
        Err(fault) => scene.problems.push(fault.to_string()),
    }
    scene.record(world, "answered").await;
    scene
}

/// Nobody in the tenant has the number that was called.
async fn unknown_user(world: &World, tenant: &Tenant) -> Scene {
    let title = format!(
        "{}: carrier → Teams, a number that no user has",
        tenant.name
    );
    let mut scene = Scene::new(title);
    refused_by_sbc(world, &mut scene, &tenant.number(49), 404).await;
    scene.record(world, "rejected").await;
    scene
}

/// The number belongs to nobody: the SBC itself refuses.
async fn unowned_number(world: &World) -> Scene {
    let mut scene = Scene::new("carrier → a number of no tenant".to_owned());
    refused_by_sbc(world, &mut scene, "+13125550100", 404).await;
    scene.record(world, "rejected").await;
    scene
}

async fn refused_by_sbc(world: &World, scene: &mut Scene, number: &str, wanted: u16) {
    let work = async {
        let ours = Caller::open(world, Direction::ToTeams).await?;
        let offer = sdp::carrier_offer(ours.at, &[Codec::Pcma]);
        let (mut caller, _) = world
            .carrier
            .call(world.ports.udp, OUTSIDE, number, offer)?;
        scene.call_ids.push(caller.call_id().to_owned());
        let answer = caller.final_response().await?;
        match answer.status() == Some(wanted) {
            true => Ok(answer.title()),
            false => Err(caller.unexpected(&format!("{wanted} for its INVITE"), &answer)),
        }
    };
    match work.await {
        Ok(title) => scene.happened = format!("the carrier got {title}"),
        Err(fault) => scene.problems.push(fault.to_string()),
    }
}

/// The called subscriber is busy, and his network says so.
async fn busy(world: &World, tenant: &Tenant) -> Scene {
    let title = format!("{}: Teams → carrier, the called is busy", tenant.name);
    let mut scene = Scene::new(title);
    let work = async {
        let Some(proxy) = world.proxies.first() else {
            return Err(media_fault("lab", "there is no proxy".to_owned()));
        };
        let mut calls = world.carrier.claim(BUSY);
        let ours = Caller::open(world, Direction::FromTeams).await?;
        let offer = sdp::teams_offer(ours.at, &ours.key);
        let trunk = world.trunk(tenant);
        let (mut caller, _) = proxy.call(&trunk, &tenant.number(4), BUSY, offer).await?;
        scene.call_ids.push(caller.call_id().to_owned());
        let refuse = async {
            let mut leg = world.carrier.take(next(&mut calls, "carrier").await?);
            let reason = [("Reason", "Q.850;cause=17;text=\"User busy\"".to_owned())];
            leg.respond(486, "Busy Here", None, &reason)?;
            leg.acknowledged().await
        };
        let (refused, answer) = tokio::join!(refuse, caller.final_response());
        let answer = answer?;
        refused?;
        match answer.status() {
            Some(486) => Ok(answer.title()),
            _ => Err(caller.unexpected("486 for its INVITE", &answer)),
        }
    };
    match work.await {
        Ok(title) => scene.happened = format!("the caller got {title}"),
        Err(fault) => scene.problems.push(fault.to_string()),
    }
    scene.record(world, "busy").await;
    scene
}

/// Peers that must not get in: without certificate, of another authority, with another name.
async fn strangers(world: &World) -> Vec<Scene> {
    let mut scenes = Vec::new();
    let [contoso, _] = &TENANTS;
    let from = world.addresses.proxies[0];
    let other = crate::ca::Authority::new("Somebody else");
    let forged = other.and_then(|other| other.issue(&["sip.pstnhub.example"]));
    let named = world.authority.issue(&["sip.stranger.example"]);
    for (title, identity) in [
        ("no certificate", None),
        ("a certificate of another authority", Some(forged)),
        ("a certificate for another name", Some(named)),
    ] {
        let mut scene = Scene::new(format!("TLS peer with {title}"));
        let identity = match identity.transpose() {
            Ok(identity) => identity,
            Err(fault) => {
                scene.problems.push(fault.to_string());
                scenes.push(scene);
                continue;
            }
        };
        match knock(world, from, contoso, identity.as_ref()).await {
            Ok(happened) => scene.happened = happened,
            Err(problem) => scene.problems.push(problem),
        }
        scenes.push(scene);
    }
    scenes
}

/// Tries to get an OPTIONS answered. Says how it was turned away.
async fn knock(
    world: &World,
    from: IpAddr,
    tenant: &Tenant,
    identity: Option<&crate::ca::Identity>,
) -> Result<String, String> {
    let roots = world.authority.roots().map_err(|fault| fault.to_string())?;
    let connector = tls::connector(identity, roots).map_err(|fault| fault.to_string())?;
    let stream = connect_from(from, world.ports.tls)
        .await
        .map_err(|why| why.to_string())?;
    let name = ServerName::try_from(tenant.fqdn).map_err(|why| why.to_string())?;
    let stream = match timeout(PATIENCE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(why)) => return Ok(format!("refused in the handshake: {why}")),
        Err(_) => return Err("the handshake does not end".to_owned()),
    };
    let (seen, mut answers) = mpsc::unbounded_channel();
    let (flow, work) = connection(stream, world.ports.tls, Vec::new(), move |_, bytes| {
        let _ = seen.send(Message::parse(bytes).map(|message| message.title()));
    });
    let fqdn = tenant.fqdn;
    let options = Draft::request("OPTIONS", &format!("sip:{fqdn}:{}", world.ports.tls.port()))
        .with(
            "Via",
            format!("SIP/2.0/TLS {from};branch=z9hG4bK{}", random::word::<8>()),
        )
        .with("From", format!("<sip:{from}>;tag={}", random::word::<6>()))
        .with("To", format!("<sip:{fqdn}>"))
        .with("Call-ID", random::word::<8>())
        .with("CSeq", "1 OPTIONS")
        .with("Max-Forwards", 70)
        .build(false)
        .map_err(|fault| fault.to_string())?;
    flow.send(options);
    tokio::select! {
        () = work => Ok("connection closed without an answer".to_owned()),
        Some(answer) = answers.recv() => Err(match answer {
            Ok(title) => format!("its OPTIONS got {title}"),
            Err(fault) => fault.to_string(),
        }),
        () = sleep(PATIENCE) => Err("its connection stays open".to_owned()),
    }
}

impl Scene {
    pub(super) fn new(title: String) -> Self {
        Self {
            title,
            ladder: None,
            call: None,
            call_ids: Vec::new(),
            media: Vec::new(),
            happened: String::new(),
            problems: Vec::new(),
        }
    }

    /// Takes over what the daemon knows about the call.
    pub(super) async fn record(&mut self, world: &World, disposition: &str) {
        let Some(ours) = self.call_ids.first().cloned() else {
            return;
        };
        let record = match find_record(world, &ours).await {
            Ok(record) => record,
            Err(why) => {
                self.problems.push(why);
                return;
            }
        };
        let text = |path: &str| {
            record
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let found = text("/disposition").unwrap_or_default();
        if found != disposition {
            self.problems
                .push(format!("the record says {found}, wanted {disposition}"));
        }
        let attempts = record.pointer("/egress").and_then(Value::as_array);
        let ids = attempts
            .into_iter()
            .flatten()
            .filter_map(|a| a.pointer("/call_id")?.as_str());
        self.call_ids.extend(ids.map(str::to_owned));
        let Some(call) = text("/call") else {
            self.problems
                .push("the record has no identifier".to_owned());
            return;
        };
        match world.daemon.ask(&format!("/calls/{call}/trace")).await {
            Ok(ladder) => self.ladder = Some(ladder),
            Err(fault) => self.problems.push(fault.to_string()),
        }
        self.call = Some(call);
    }
}

/// The daemon's record of the call with this Call-ID on the calling side.
async fn find_record(world: &World, call_id: &str) -> Result<Value, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let recent = world
            .daemon
            .ask("/calls/recent")
            .await
            .map_err(|fault| fault.to_string())?;
        let records: Value = serde_json::from_str(&recent).map_err(|why| why.to_string())?;
        let records = records.as_array().map(Vec::as_slice).unwrap_or_default();
        let is_it = |record: &&Value| {
            record.pointer("/ingress/call_id").and_then(Value::as_str) == Some(call_id)
        };
        if let Some(record) = records.iter().find(is_it) {
            return Ok(record.clone());
        }
        if Instant::now() > deadline {
            return Err("the daemon has no record of the call".to_owned());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
