//! Peers and registrations by hand: what speaks against a peer is forgotten, registrations are renewed and taken back.

use super::node::{bindings, registrations, seen};
use super::trunks::known;
use super::who::Who;
use super::{Access, Problem};
use crate::daemon::Daemon;
use crate::daemon::stop::ANSWER;
use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use sbc_core::config::Config;
use sbc_core::display::shown;
use sbc_core::input::{Answered, Command};
use sbc_core::trunk::PeerName;
use serde_json::{Value, json};

/// Forgets what speaks against a peer.
pub(super) async fn reset(
    State(access): State<Access>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let peer = PeerName::parse(name.trim());
    let at = match &peer {
        PeerName::Host(host) => daemon.resolver().addresses_of(&host.to_ascii_lowercase()),
        PeerName::Address(_) | PeerName::Place(_) => Vec::new(),
    };
    // First: what is asked next needs a connection.
    daemon.net().forgive(&peer, &at);
    let addresses = done(&daemon, Command::ResetPeer(peer.clone())).await?;
    if addresses == 0 && !is_known(&daemon.loaded().config, &peer) {
        let name: String = name.chars().take(128).map(shown).collect();
        let detail = format!("no trunk has a peer \"{name}\": `causeway peer list` shows them");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    Ok(Json(json!({ "peer": name, "addresses": addresses })))
}

/// Whether a trunk has a target that is called so, or is written with this address.
fn is_known(config: &Config, peer: &PeerName) -> bool {
    let targets = config.trunks.values().flat_map(|trunk| &trunk.targets);
    let mut targets = targets.map(|target| {
        let literal = target.host.trim_matches(['[', ']']).parse().ok();
        let literal = literal.map(|address| std::net::SocketAddr::new(address, target.port));
        let mut written = target.connect_to.iter().copied().chain(literal);
        peer.names(target) || written.any(|at| peer.is_at(at))
    });
    targets.any(|is_it| is_it)
}

/// What the first shard has done, which probes and registers.
async fn done(daemon: &Daemon, command: Command) -> Result<usize, Problem> {
    let first = daemon.inboxes().all().first().ok_or_else(Problem::busy)?;
    match daemon.replies().ask(first, command, ANSWER).await {
        Some(Answered::Done(count)) => Ok(count),
        Some(
            Answered::Calls(_)
            | Answered::Media(_)
            | Answered::Phases(_)
            | Answered::Silenced(_)
            | Answered::Transferred { .. }
            | Answered::NoSuchCall,
        )
        | None => Err(Problem::busy()),
    }
}

/// Registrations of ours at registrars, and those of peers with us.
pub(super) async fn list(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let config = &daemon.loaded().config;
    Ok(Json(json!({
        "ours": seen(&who, registrations(&daemon, config)),
        "theirs": seen(&who, bindings(&daemon, config)),
    })))
}

/// Registers a trunk anew, whatever its registrar has said before.
pub(super) async fn refresh(
    State(access): State<Access>,
    Path(trunk): Path<String>,
) -> Result<Json<Value>, Problem> {
    register(&access, &trunk, true).await
}

/// Takes the registration of a trunk back.
pub(super) async fn unregister(
    State(access): State<Access>,
    Path(trunk): Path<String>,
) -> Result<Json<Value>, Problem> {
    register(&access, &trunk, false).await
}

async fn register(access: &Access, name: &str, is_wanted: bool) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let trunk = known(&daemon, name)?;
    if done(&daemon, Command::Register(trunk.name.clone(), is_wanted)).await? > 0 {
        let state = match is_wanted {
            true => "registering",
            false => "taken back",
        };
        return Ok(Json(json!({ "trunk": name, "state": state })));
    }
    let why = match trunk.registrar.is_some() {
        true => {
            "its peer registers with us, and renews or takes back by itself; \"causeway trunk disable\" keeps its calls away, \"causeway ban add\" its address"
        }
        false => "there is no register in its [[trunk]]",
    };
    let detail = format!("trunk \"{}\" registers with nobody: {why}", trunk.name);
    Err(Problem::new(StatusCode::CONFLICT, detail))
}
