//! Everything that runs in a lab, from start to end.

use super::Options;
use super::daemon::Daemon;
use super::fault::LabFault;
use super::folder::Folder;
use super::place::{self, Addresses, DOMAIN, Peers, Ports, REGIONS, TENANTS, Tenant};
use super::report::Report;
use crate::ca::Authority;
use crate::peer::agent::Finding;
use crate::peer::carrier::{self, Carrier};
use crate::peer::fault::PeerFault;
use crate::peer::rules::{CarrierRules, TeamsRules, TeamsTrunk};
use crate::peer::teams::{self, Setup, TeamsProxy};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How often the daemon is started on other ports when somebody else was faster.
const STARTS: usize = 3;
/// Time for OPTIONS both ways. The daemon spreads its first ones over 5 s.
const HELLO: Duration = Duration::from_secs(15);

/// A running lab.
pub struct World {
    /// Root of trust of everybody in it.
    pub authority: Authority,
    /// Addresses.
    pub addresses: Addresses,
    /// Sockets of the daemon.
    pub ports: Ports,
    /// The carrier.
    pub carrier: Carrier,
    /// The proxies, in order.
    pub proxies: Vec<TeamsProxy>,
    /// The daemon.
    pub daemon: Daemon,
    /// Token for the console and the API.
    pub token: String,
    /// Path of the binary.
    pub program: std::path::PathBuf,
    /// When it all began.
    pub began: Instant,
    folder: Folder,
}

impl World {
    /// Starts everything and waits until OPTIONS work both ways.
    ///
    /// # Errors
    /// [`LabFault`]; nothing runs then.
    pub async fn start(options: &Options, report: &mut Report<'_>) -> Result<Self, LabFault> {
        let began = Instant::now();
        let folder = Folder::make(options.keep)?;
        let authority = Authority::new("Causeway lab")?;
        place::write_certificates(folder.path(), &authority)?;
        let addresses = Addresses::choose();
        let system = |why| LabFault::System {
            what: "open a socket for a peer",
            why,
        };
        let carrier_place = carrier::Place::take(addresses.carrier).map_err(system)?;
        let mut places = Vec::new();
        for ip in addresses.proxies {
            places.push(teams::Place::take(ip).await.map_err(system)?);
        }
        let [one, two, three] = places.as_slice() else {
            return Err(system(std::io::ErrorKind::Other.into()));
        };
        let peers = Peers {
            carrier: carrier_place.address,
            proxies: [one.address, two.address, three.address],
        };
        report.peers(&peers)?;
        let token = token(&options.program, folder.path()).await?;
        let (ports, daemon) = start_daemon(options, folder.path(), &addresses, &peers).await?;
        report.daemon(&daemon, &ports, folder.path())?;

        let rules = CarrierRules {
            sbc: addresses.carrier_side,
            hidden: addresses.hidden_from_carrier(),
        };
        let carrier = Carrier::start("carrier", carrier_place, rules, None);
        let hosts: Vec<String> = REGIONS
            .iter()
            .map(|region| format!("{region}.{DOMAIN}"))
            .collect();
        let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let identity = authority.issue(&names)?;
        let trunks: Vec<TeamsTrunk> = TENANTS.iter().map(|tenant| trunk(tenant, &ports)).collect();
        let mut proxies = Vec::new();
        for (host, place) in hosts.iter().zip(places) {
            let setup = Setup {
                host: host.clone(),
                identity: identity.clone(),
                roots: authority.roots()?,
                rules: TeamsRules {
                    trunks: trunks.clone(),
                    hidden: addresses.hidden_from_teams(),
                    proxy: None,
                },
                sbc: addresses.teams_side,
                echoes: TENANTS.iter().map(Tenant::echo).collect::<BTreeSet<_>>(),
                wire: None,
            };
            proxies.push(TeamsProxy::start(place, setup)?);
        }
        let world = Self {
            authority,
            addresses,
            ports,
            carrier,
            proxies,
            daemon,
            token,
            program: options.program.clone(),
            began,
            folder,
        };
        match world.hello().await {
            Ok(()) => report.hello(&world)?,
            Err(fault) => {
                let log = world.daemon.log_tail();
                world.daemon.stop().await;
                return Err(LabFault::Peer { fault, log });
            }
        }
        Ok(world)
    }

    /// The trunk of a tenant as Teams knows it.
    pub fn trunk(&self, tenant: &Tenant) -> TeamsTrunk {
        trunk(tenant, &self.ports)
    }

    /// Where configuration, certificates, log and records are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What all peers found wrong so far.
    pub fn findings(&self) -> Vec<Finding> {
        let proxies = self
            .proxies
            .iter()
            .flat_map(|proxy| proxy.agent().findings());
        proxies.chain(self.carrier.agent().findings()).collect()
    }

    /// Ends everything.
    ///
    /// # Errors
    /// [`LabFault`], when the output cannot be written.
    pub async fn end(self, report: &mut Report<'_>) -> Result<(), LabFault> {
        let status = self.daemon.stop().await;
        let kept = self.folder.end()?;
        report.end(&status, kept.as_deref())
    }

    /// OPTIONS of every tenant to every proxy, and of every proxy to every tenant.
    async fn hello(&self) -> Result<(), PeerFault> {
        let names: Vec<String> = TENANTS
            .iter()
            .map(|tenant| tenant.fqdn.to_owned())
            .collect();
        for proxy in &self.proxies {
            let left = HELLO.saturating_sub(self.began.elapsed());
            proxy.heard_from(&names, left).await?;
        }
        self.pings().await
    }

    async fn pings(&self) -> Result<(), PeerFault> {
        for proxy in &self.proxies {
            for tenant in &TENANTS {
                proxy.ping(&self.trunk(tenant)).await?;
            }
        }
        Ok(())
    }

    /// What Teams does as long as somebody looks around: it asks again and again, for ever.
    pub async fn goes_on(&self) {
        let mut ticks = tokio::time::interval(super::teams::PINGS);
        loop {
            ticks.tick().await;
            // A daemon that somebody has stopped answers nothing, which its operator knows.
            let _ = self.pings().await;
        }
    }
}

fn trunk(tenant: &Tenant, ports: &Ports) -> TeamsTrunk {
    TeamsTrunk {
        fqdn: tenant.fqdn.to_owned(),
        port: ports.tls.port(),
    }
}

/// A token that may do everything in this lab, as the operator's command makes one. Its hash goes into the folder.
async fn token(program: &Path, folder: &Path) -> Result<String, LabFault> {
    let what = "make a token";
    let mut command = tokio::process::Command::new(program);
    command.args(["token", "lab", "--role", "admin", "--days", "1", "--json"]);
    let made = command.output().await;
    let made = made.map_err(|why| LabFault::System { what, why })?;
    let told: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap_or_default();
    match (told["token"].as_str(), told["hash"].as_str()) {
        (Some(token), Some(hash)) => {
            place::write(folder, "token.hash", hash)?;
            Ok(token.to_owned())
        }
        _ => Err(LabFault::System {
            what,
            why: std::io::Error::other("the command printed none"),
        }),
    }
}

/// Somebody else may take a port between our look and the daemon's; then others are tried.
async fn start_daemon(
    options: &Options,
    folder: &Path,
    addresses: &Addresses,
    peers: &Peers,
) -> Result<(Ports, Daemon), LabFault> {
    let mut attempt = 1;
    loop {
        let ports = Ports::choose(addresses, options.expose.as_ref())?;
        place::write_configuration(folder, &ports, peers)?;
        match Daemon::start(&options.program, folder, ports.metrics, options.keep).await {
            Ok(daemon) => return Ok((ports, daemon)),
            Err(LabFault::Ended { log, .. }) if attempt < STARTS && log.contains("in use") => {
                attempt += 1;
            }
            Err(fault) => return Err(fault),
        }
    }
}
