//! Calls with media bypass: the user's own client checks, nominates and talks, instead of a processor.
//!
//! The addresses that descriptions name for media are not where the clients are, as behind a NAT or a
//! relay. What arrives there would have been sent by the description instead of by the checks.

use super::place::{TENANTS, Tenant};
use super::play::{PACKETS, Scene, TONES, media_fault, next, open, session};
use super::world::World;
use crate::media::endpoint::Sockets;
use crate::media::figures::{Figures, Ledger};
use crate::media::ice::{Client, Heard, Lite};
use crate::media::sdp;
use crate::media::secure::Key;
use crate::media::tone::Codec;
use crate::peer::fault::PeerFault;
use crate::peer::leg::{Leg, PATIENCE};
use std::net::SocketAddr;
use std::sync::Arc;

const CODEC: Codec = Codec::Pcma;
/// Numbers in the public network that nobody else in the lab has.
const OUTSIDE: [&str; 2] = ["+12025550171", "+12025550172"];

/// The tenant whose trunk has media bypass.
fn tenant() -> &'static Tenant {
    &TENANTS[1]
}

/// Plays all of it.
pub async fn everything(world: &World) -> Vec<Scene> {
    let (to, from) = tokio::join!(to_teams(world), from_teams(world));
    vec![to, from]
}

/// A user's client: where it is, and where its description says it is.
struct User {
    sockets: Sockets,
    client: Client,
    heard: Arc<Heard>,
    key: Key,
    /// The default address of its description.
    elsewhere: Sockets,
    default: SocketAddr,
}

impl User {
    async fn open(world: &World) -> Result<Self, PeerFault> {
        let ip = world.addresses.proxies[0];
        let (sockets, at) = open(ip, "Teams").await?;
        let (elsewhere, default) = open(ip, "Teams").await?;
        let client = Client::new(at).map_err(|why| media_fault("Teams", why))?;
        Ok(Self {
            heard: Arc::clone(&client.heard),
            sockets,
            client,
            key: Key::random(),
            elsewhere,
            default,
        })
    }

    /// Checks the agent of a description and nominates.
    async fn meets(&mut self, description: &str) -> Result<Lite, PeerFault> {
        let fault = |why| media_fault("Teams", why);
        let other = Lite::read(description).map_err(fault)?;
        self.client.meets(&other).map_err(fault)?;
        let nominated = self.sockets.nominate(&mut self.client, PATIENCE).await;
        match nominated {
            Ok(true) => Ok(other),
            Ok(false) => Err(fault(format!("no pair is nominated, {:?}", self.heard))),
            Err(why) => Err(fault(why.to_string())),
        }
    }

    /// Talks with the carrier's side, which is at these sockets and talks to an address of its own.
    async fn talks(
        self,
        description: &str,
        carrier: (&Sockets, &str),
    ) -> Result<Vec<(&'static str, Figures)>, PeerFault> {
        let fault = |why| media_fault("Teams", why);
        let ledgers = (Ledger::default(), Ledger::default());
        let theirs = sdp::read(description).map_err(fault)?;
        let mut near = session(&theirs, CODEC, Some(&self.key), TONES)
            .map_err(fault)?
            .with(&ledgers.0, &ledgers.1);
        near.ice = Some(self.client);
        let theirs = sdp::read(carrier.1).map_err(fault)?;
        let far = session(&theirs, CODEC, None, (TONES.1, TONES.0))
            .map_err(fault)?
            .with(&ledgers.1, &ledgers.0);
        let (near, far) = tokio::join!(
            self.sockets.talk(near, PACKETS),
            carrier.0.talk(far, PACKETS)
        );
        let io = |why: std::io::Error| fault(why.to_string());
        let figures = vec![("carrier", far.map_err(io)?), ("Teams", near.map_err(io)?)];
        if self.elsewhere.has_heard() {
            return Err(fault(
                "media went to the address in the description".to_owned(),
            ));
        }
        match self.heard.checks() {
            0 => Ok(figures),
            _ => Err(fault("the lite agent made checks".to_owned())),
        }
    }
}

/// What went wrong is a problem of the scene.
async fn finish(
    mut scene: Scene,
    world: &World,
    played: Result<Vec<(&'static str, Figures)>, PeerFault>,
) -> Scene {
    match played {
        Ok(media) => {
            for (place, figures) in &media {
                if !figures.is_perfect() {
                    let what = format!("audio heard by {place} is not what was played");
                    scene.problems.push(what);
                }
            }
            scene.media = media;
            scene.happened = "answered, audio on the nominated pair".to_owned();
        }
        Err(fault) => scene.problems.push(fault.to_string()),
    }
    scene.record(world, "answered").await;
    scene
}

async fn to_teams(world: &World) -> Scene {
    let name = tenant().name;
    let title = format!("{name}: carrier → Teams with media bypass, the client nominates");
    let mut scene = Scene::new(title);
    let proxy = &world.proxies[0];
    let number = tenant().number(7);
    let played = async {
        let mut calls = proxy.claim(&number);
        let (ours, at) = open(world.addresses.carrier, "carrier").await?;
        let offer = sdp::carrier_offer(at, &[CODEC]);
        let to = world.ports.udp;
        let (mut caller, _) = world.carrier.call(to, OUTSIDE[0], &number, offer)?;
        scene.call_ids.push(caller.call_id().to_owned());
        let mut called = proxy.take(next(&mut calls, "Teams").await?).await?;
        called.respond(100, "Trying", None, &[])?;
        called.respond(180, "Ringing", None, &[])?;
        let offer = called.offer();
        let mut user = User::open(world).await?;
        let facts = sdp::read(&offer).map_err(|why| media_fault("Teams", why))?;
        let tag = facts.keys.first().map(|key| (key.tag.as_str(), &user.key));
        let answer = sdp::answer(&facts, CODEC, user.default, tag) + &user.client.lines();
        // The checks may be over before the answer is there (TDR-ICE-005).
        user.meets(&offer).await?;
        called.respond(200, "OK", Some(answer), &[])?;
        called.acknowledged().await?;
        let ok = caller.final_response().await?;
        caller.acknowledge(&ok)?;
        let media = user.talks(&offer, (&ours, &ok.body())).await?;
        ends(&mut caller, &mut called).await?;
        Ok(media)
    };
    let played = played.await;
    finish(scene, world, played).await
}

async fn from_teams(world: &World) -> Scene {
    let name = tenant().name;
    let title = format!("{name}: Teams → carrier with media bypass, then to another client");
    let mut scene = Scene::new(title);
    let proxy = &world.proxies[0];
    let played = async {
        let mut calls = world.carrier.claim(OUTSIDE[1]);
        let mut user = User::open(world).await?;
        let offer = sdp::teams_offer(user.default, &user.key) + &user.client.lines();
        let trunk = world.trunk(tenant());
        let caller = tenant().number(8);
        let called = proxy.call(&trunk, &caller, OUTSIDE[1], offer).await;
        let (mut caller, _) = called?;
        scene.call_ids.push(caller.call_id().to_owned());
        let mut called = world.carrier.take(next(&mut calls, "carrier").await?);
        let offer = called.offer();
        let (theirs, at) = open(world.addresses.carrier, "carrier").await?;
        let facts = sdp::read(&offer).map_err(|why| media_fault("carrier", why))?;
        let answer = sdp::answer(&facts, CODEC, at, None);
        called.respond(183, "Session Progress", Some(answer.clone()), &[])?;
        // Everything is nominated before the answer, and not checked again after it (TDR-ICE-007).
        let is_early = |m: &crate::peer::message::Message| m.status() == Some(183);
        let early = caller.wait("183", PATIENCE, is_early).await?;
        let early = early.message.body();
        let first = user.meets(&early).await?;
        called.respond(200, "OK", Some(answer), &[])?;
        let (acknowledged, ok) = tokio::join!(called.acknowledged(), accepted(&mut caller));
        acknowledged?;
        let ok = ok?;
        if ok != early {
            let why = "the answer is another one than the early one".to_owned();
            return Err(media_fault("Teams", why));
        }
        let mut media = user.talks(&ok, (&theirs, &offer)).await?;

        let mut other = User::open(world).await?;
        let offered = sdp::teams_offer(other.default, &other.key) + &other.client.lines();
        let ok = caller.offer_again(offered).await?.body();
        let second = other.meets(&ok).await?;
        if second.fragment == first.fragment || second.password == first.password {
            let why = "a restart was answered with the same credentials".to_owned();
            return Err(media_fault("Teams", why));
        }
        if second.candidate != first.candidate {
            let why = "our address has changed within the call".to_owned();
            return Err(media_fault("Teams", why));
        }
        media.extend(other.talks(&ok, (&theirs, &offer)).await?);
        ends(&mut caller, &mut called).await?;
        Ok(media)
    };
    let played = played.await;
    finish(scene, world, played).await
}

/// The description in the answer to an INVITE, which is acknowledged.
async fn accepted(caller: &mut Leg) -> Result<String, PeerFault> {
    let answer = caller.final_response().await?;
    match answer.status() {
        Some(200..=299) => caller.acknowledge(&answer).map(|()| answer.body()),
        _ => Err(caller.unexpected("200 for its INVITE", &answer)),
    }
}

async fn ends(first: &mut Leg, second: &mut Leg) -> Result<(), PeerFault> {
    let (bye, ended) = tokio::join!(first.hang_up(), second.hung_up(PATIENCE));
    bye.and(ended)
}
