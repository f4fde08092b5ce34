//! The stage of one case: the subject between two carriers and the proxies of Teams, all its own.

use super::asked;
use super::assertion;
use super::case::Case;
use super::evidence::Tape;
use super::ground::Ground;
use super::kit::Kit;
use super::mutation::{Mutation, Warp};
use super::nodes::{Commands, Undone};
use super::reports::takes_microsoft;
use super::setting::{self, CUSTOMERS, DERIVED, FQDN, OwnCertificate, PROXY, SECOND, Setting};
use super::subject::{Other, Subject};
use super::verdict::{Failure, gathered};
use crate::ca::{Authority, CaFault, Identity};
use crate::impair::Network;
use crate::lab::daemon::Daemon;
use crate::lab::fault::LabFault;
use crate::lab::folder::Folder;
use crate::lab::front::Front;
use crate::lab::names::{self, Names};
use crate::lab::place::{self, Addresses, DOMAIN, Ports, REGIONS};
use crate::lock::lock;
use crate::media::check::Asker;
use crate::media::voice::{Ear, Voice};
use crate::microsoft::{Change, SECRET};
use crate::peer::agent::{Agent, Received, Wire};
use crate::peer::branch::{Branch, Sbc};
use crate::peer::carrier::Carrier;
use crate::peer::claims::ANY;
use crate::peer::fault::PeerFault;
use crate::peer::rules::{CarrierRules, TeamsRules, TeamsTrunk};
use crate::peer::teams::{Handshake, Setup, TeamsProxy};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// How often the daemon is started on other ports when somebody else was faster.
const STARTS: usize = 3;

/// Everything in one case.
pub struct Stage {
    /// What was sent.
    pub tape: Tape,
    /// Our daemon; none if somebody else's SBC is certified.
    pub daemon: Option<Daemon>,
    /// The proxies in order, and one that no name leads to.
    pub proxies: Vec<TeamsProxy>,
    /// The carriers.
    pub carriers: Vec<Carrier>,
    /// The SBC of a branch, where a case has one.
    pub branch: Option<Branch>,
    /// Where the subject is towards Teams.
    pub teams_side: SocketAddr,
    /// Where the subject is towards the carriers.
    pub carrier_side: SocketAddr,
    /// Where a second trunk of the subject, or a second node, is towards Teams.
    pub second_side: SocketAddr,
    /// How the subject is configured.
    pub setting: Setting,
    /// Where everybody is; of use for subjects of ours.
    pub addresses: Addresses,
    /// Whom the subject trusts; its certificates are good for any peer.
    pub kit: Arc<Kit>,
    /// What the proxies show.
    pub identity: Identity,
    /// Whom the peers believe.
    pub(super) roots: RootCertStore,
    fqdn: String,
    calls_to_proxies: Vec<Calls>,
    calls_to_carriers: Vec<Calls>,
    calls_to_branch: Option<Calls>,
    ears: Mutex<Vec<Ear>>,
    failures: Mutex<Vec<Failure>>,
    more_names: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
    told: Option<(&'static str, &'static str)>,
    warps: (Option<Warp>, Option<Warp>),
    shaken: Option<fn(&mut Handshake)>,
    grows: bool,
    insists: bool,
    is_restless: bool,
    is_gullible: bool,
    /// How often its memory was looked at.
    looks: AtomicU64,
    /// How what Microsoft is asked, and what it answers, are changed.
    pub(super) reports: (Change, Change),
    /// Where the subject waits for Microsoft, until the case starts that.
    pub(super) microsoft_at: Mutex<Option<TcpListener>>,
    /// Where the subject is told by Microsoft, if it is.
    pub notices_side: SocketAddr,
    /// Where operators meet it over the network.
    pub(super) console: SocketAddr,
    /// Where strangers meet the subject.
    pub(super) door: SocketAddr,
    _front: Option<Front>,
    /// Who knows the proxies' names, if anybody is asked.
    pub names: Option<Names>,
    pub(super) program: Option<PathBuf>,
    /// Further nodes of ours that the case has started.
    pub(super) more_nodes: Mutex<Vec<Arc<Daemon>>>,
    /// What can be done with another SBC.
    pub(super) commands: Commands,
    /// What is to be taken back of what was done to it.
    pub(super) undone: Arc<Mutex<Undone>>,
    /// Whether there is a place of somebody whom it does not know.
    pub(super) has_stranger: bool,
    folder: Option<Folder>,
    /// Where certificates for another SBC are.
    pub(super) certificates: Option<PathBuf>,
}

type Calls = tokio::sync::Mutex<mpsc::UnboundedReceiver<Received>>;

/// Where the subject is.
struct Sides {
    teams: SocketAddr,
    second: SocketAddr,
    carrier: SocketAddr,
}

/// What the proxies show and whom they trust.
struct Trust {
    identities: [Identity; 4],
    branch: Identity,
    roots: RootCertStore,
    kit: Arc<Kit>,
}

impl Stage {
    /// Sets the stage for a case.
    ///
    /// # Errors
    /// [`LabFault`]; nothing runs then.
    pub async fn set(
        subject: &Subject,
        kit: &Arc<Kit>,
        case: &Case,
        mutation: Option<Mutation>,
    ) -> Result<Self, LabFault> {
        let setting = Setting::of(case);
        let network = kit.network.map(|network| network.at(case.id));
        let tape = Tape::new(mutation, network);
        match subject {
            Subject::Ours(program) => Self::set_ours(program, kit, setting, tape, mutation).await,
            Subject::Other(other) => Self::set_other(other, kit, setting, tape, mutation).await,
        }
    }

    async fn set_ours(
        program: &Path,
        kit: &Arc<Kit>,
        setting: Setting,
        tape: Tape,
        mutation: Option<Mutation>,
    ) -> Result<Self, LabFault> {
        let folder = Folder::make(false)?;
        let mut roots = kit.authority.root_pem().to_owned();
        if setting.has_anchors {
            roots.extend(kit.anchors.iter().map(Authority::root_pem));
        }
        place::write(folder.path(), "ca.pem", &roots)?;
        if setting.has_anchors {
            // For a subject that is broken: the proxies' own roots, and not those that they come to later.
            let few = [kit.authority.root_pem()].into_iter();
            let few = few.chain(
                kit.anchors
                    .iter()
                    .take(REGIONS.len())
                    .map(Authority::root_pem),
            );
            place::write(folder.path(), "few.pem", &few.collect::<String>())?;
        }
        let own = match setting.certificate {
            OwnCertificate::Both => kit.sbc.clone(),
            OwnCertificate::Servers => kit.authority.issue_for_servers(&[FQDN])?,
            OwnCertificate::Below => kit.authority.issue(&[FQDN, &format!("*.{FQDN}")])?,
            OwnCertificate::Customers => kit.authority.issue(&[FQDN, "*.cust.test.example"])?,
        };
        if setting.certificate == OwnCertificate::Customers {
            // For a subject that is broken: one that covers what a wildcard does not.
            let deep = &[FQDN, "*.cust.test.example", "a.b.cust.test.example"];
            let deep = kit.authority.issue(deep)?;
            place::write(folder.path(), "deep.pem", &deep.chain_pem)?;
            place::write(folder.path(), "deep.key", &deep.key_pem)?;
        }
        place::write(folder.path(), "sbc.pem", &own.chain_pem)?;
        place::write(folder.path(), "sbc.key", &own.key_pem)?;
        let ecdsa = kit.authority.issue_ecdsa(&[FQDN])?;
        place::write(folder.path(), "ecdsa.pem", &ecdsa.chain_pem)?;
        place::write(folder.path(), "ecdsa.key", &ecdsa.key_pem)?;
        let leaf = own
            .chain_pem
            .split_inclusive("END CERTIFICATE-----\n")
            .next();
        place::write(folder.path(), "leaf.pem", leaf.unwrap_or_default())?;
        place::write(folder.path(), "graph.secret", SECRET)?;
        let mut addresses = Addresses::choose();
        if setting.is_v6 {
            addresses = addresses.with_v6();
        }
        // Whoever asks for names finds no ports, so the usual one is theirs.
        let port = if setting.has_names { 5061 } else { 0 };
        let at = |ip| SocketAddr::new(ip, port);
        let carriers = [addresses.carrier, addresses.carrier_2].map(|ip| SocketAddr::new(ip, 0));
        let proxies = addresses.proxies.map(at);
        let elsewhere = at(addresses.elsewhere);
        let mut ground = Ground::take(addresses, proxies, elsewhere, carriers).await?;
        let names = match setting.has_names {
            false => None,
            true => Some(names::Place::take(ground.addresses.stranger).await?),
        };
        ground.peers.names = names.as_ref().map(|place| place.address);
        ground.hides = !setting.is_local();
        if setting.has_branch {
            ground.takes_branch().await?;
        }
        let mut microsoft_at = None;
        if setting.presence.is_some() {
            let (listener, at) = takes_microsoft().await?;
            ground.peers.microsoft = Some(at);
            microsoft_at = Some(listener);
        }
        // Keys take their time, and the daemon does not wait for peers that are not there yet.
        let mut identities = [
            kit.proxy.clone(),
            kit.proxy.clone(),
            kit.proxy.clone(),
            kit.elsewhere.clone(),
        ];
        if let Some((_, host)) = setting.cloud {
            identities[0] = kit.authority.issue(&[host])?;
        }
        if setting.has_anchors {
            kit.are_under_anchors(&mut identities)?;
        }
        let (ports, daemon) = start(program, &folder, &ground, &setting, mutation).await?;
        let trust = Trust {
            identities,
            branch: kit.branch.clone(),
            roots: kit.authority.roots()?,
            kit: Arc::clone(kit),
        };
        let sides = Sides {
            teams: ports.tls,
            second: ports.second_tls,
            carrier: ports.udp,
        };
        let mut stage = Self::with_peers(ground, trust, tape, FQDN, &sides)?;
        stage.console = ports.console;
        stage.setting = setting;
        stage.microsoft_at = Mutex::new(microsoft_at);
        stage.notices_side = ports.notices;
        stage.daemon = Some(daemon);
        stage.program = Some(program.to_owned());
        stage.folder = Some(folder);
        if let Some(place) = names {
            stage.knows_names(place);
        }
        stage.break_by(mutation).await?;
        Ok(stage)
    }

    async fn set_other(
        other: &Other,
        kit: &Arc<Kit>,
        setting: Setting,
        tape: Tape,
        mutation: Option<Mutation>,
    ) -> Result<Self, LabFault> {
        let addresses = other.addresses();
        let second = other
            .carrier_2
            .unwrap_or(SocketAddr::new(other.carrier.ip(), 0));
        let elsewhere = other
            .elsewhere
            .unwrap_or(SocketAddr::new(addresses.elsewhere, 0));
        let carriers = [other.carrier, second];
        let mut ground = Ground::take(addresses, other.proxies, elsewhere, carriers).await?;
        ground.hides = !setting.is_local();
        if let Some(at) = other.branch.filter(|_| setting.has_branch) {
            ground.takes_branch_at(at).await?;
        }
        let names = match other.names.filter(|_| setting.has_names) {
            None => None,
            Some(at) => Some(names::Place::take_at(at).await?),
        };
        // Whoever begins anew asks the proxies at once, and where nobody listens not again for a minute.
        other.is_configured_as(&setting.words).await?;
        let read = |name: &str| {
            let path = other.certificates.join(name);
            std::fs::read_to_string(&path).map_err(|why| LabFault::Read { path, why })
        };
        let mut roots = RootCertStore::empty();
        let ca = read("ca.pem")?;
        // There may be one of the peers and one of the subject.
        for root in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let root = root.map_err(CaFault::from)?;
            roots.add(root).map_err(CaFault::from)?;
        }
        let identity = Identity {
            chain_pem: read("proxy.pem")?,
            key_pem: read("proxy.key")?,
        };
        let branch = match ground.branch.is_some() {
            false => None,
            true => Some(Identity {
                chain_pem: read("branch.pem")?,
                key_pem: read("branch.key")?,
            }),
        };
        let mut identities = [(); 4].map(|()| identity.clone());
        if setting.cloud.is_some() {
            identities[0] = Identity {
                chain_pem: read("cloud.pem")?,
                key_pem: read("cloud.key")?,
            };
        }
        if setting.has_anchors {
            kit.are_under_anchors(&mut identities)?;
        }
        let trust = Trust {
            identities,
            branch: branch.unwrap_or_else(|| kit.branch.clone()),
            roots,
            kit: Arc::clone(kit),
        };
        let sides = Sides {
            teams: other.teams_side,
            second: other.second_side.unwrap_or(other.teams_side),
            carrier: other.carrier_side,
        };
        let mut stage = Self::with_peers(ground, trust, tape, &other.fqdn, &sides)?;
        stage.setting = setting;
        if let Some(place) = names {
            stage.knows_names(place);
        }
        stage.certificates = Some(other.certificates.clone());
        stage.commands = other.commands.clone();
        stage.undone = Arc::clone(&other.undone);
        stage.has_stranger = other.stranger.is_some();
        stage.break_by(mutation).await?;
        Ok(stage)
    }

    /// From now on somebody knows where the proxies are.
    fn knows_names(&mut self, place: names::Place) {
        let names = Names::start(place);
        for proxy in &self.proxies {
            names.set(proxy.host(), proxy.address().ip());
        }
        if let Some((_, host)) = self.setting.cloud {
            names.set(host, self.proxies[0].address().ip());
        }
        self.names = Some(names);
    }

    fn with_peers(
        ground: Ground,
        trust: Trust,
        tape: Tape,
        fqdn: &str,
        &Sides {
            teams: teams_side,
            second: second_side,
            carrier: carrier_side,
        }: &Sides,
    ) -> Result<Self, LabFault> {
        let addresses = ground.addresses;
        let wire: Arc<dyn Wire> = Arc::new(tape.clone());
        let trunk = |fqdn: &str| TeamsTrunk {
            fqdn: fqdn.to_owned(),
            port: teams_side.port(),
        };
        let mut trunks: Vec<TeamsTrunk> = [fqdn, DERIVED]
            .into_iter()
            .chain(CUSTOMERS)
            .map(trunk)
            .collect();
        trunks.push(TeamsTrunk {
            fqdn: SECOND.to_owned(),
            port: second_side.port(),
        });
        let hosts = REGIONS.iter().chain(&["sip-du-a"]);
        let mut proxies = Vec::new();
        for ((region, place), identity) in hosts.zip(ground.proxies).zip(&trust.identities) {
            let setup = Setup {
                host: format!("{region}.{DOMAIN}"),
                identity: identity.clone(),
                roots: trust.roots.clone(),
                rules: TeamsRules {
                    trunks: trunks.clone(),
                    hidden: match ground.hides {
                        true => addresses.hidden_from_teams(),
                        false => Vec::new(),
                    },
                    proxy: ground.branch.is_some().then(|| PROXY.to_owned()),
                },
                sbc: teams_side.ip(),
                echoes: BTreeSet::new(),
                wire: Some(Arc::clone(&wire)),
            };
            proxies.push(TeamsProxy::start(place, setup)?);
        }
        let mut carriers = Vec::new();
        for (name, place) in ["carrier", "carrier-2"].iter().zip(ground.carriers) {
            let rules = CarrierRules {
                sbc: carrier_side.ip(),
                hidden: match ground.hides {
                    true => addresses.hidden_from_carrier(),
                    false => Vec::new(),
                },
            };
            carriers.push(Carrier::start(name, place, rules, Some(Arc::clone(&wire))));
        }
        let branch = match ground.branch {
            Some(place) => {
                let sbc = Sbc {
                    at: carrier_side,
                    name: PROXY.to_owned(),
                };
                let trust = (&trust.branch, trust.roots.clone());
                let wire = Some(Arc::clone(&wire));
                Some(Branch::start("carrier-branch", place, sbc, trust, wire)?)
            }
            None => None,
        };
        let [identity, ..] = trust.identities;
        let calls_to_proxies = proxies.iter().map(|proxy| proxy.claim(ANY).into());
        let calls_to_carriers = carriers.iter().map(|carrier| carrier.claim(ANY).into());
        Ok(Self {
            calls_to_proxies: calls_to_proxies.collect(),
            calls_to_carriers: calls_to_carriers.collect(),
            calls_to_branch: branch.as_ref().map(|branch| branch.claim(ANY).into()),
            branch,
            tape,
            daemon: None,
            proxies,
            carriers,
            teams_side,
            carrier_side,
            second_side,
            setting: Setting::default(),
            addresses,
            kit: trust.kit,
            identity,
            roots: trust.roots,
            fqdn: fqdn.to_owned(),
            ears: Mutex::default(),
            failures: Mutex::default(),
            more_names: Mutex::default(),
            notes: Mutex::default(),
            told: None,
            warps: (None, None),
            shaken: None,
            grows: false,
            insists: false,
            is_restless: false,
            is_gullible: false,
            looks: AtomicU64::new(0),
            reports: (None, None),
            microsoft_at: Mutex::default(),
            notices_side: teams_side,
            console: teams_side,
            door: teams_side,
            _front: None,
            names: None,
            program: None,
            more_nodes: Mutex::default(),
            commands: Commands::default(),
            undone: Arc::default(),
            has_stranger: true,
            folder: None,
            certificates: None,
        })
    }

    async fn break_by(&mut self, mutation: Option<Mutation>) -> Result<(), LabFault> {
        match mutation {
            Some(Mutation::Media(warp)) => self.warps.0 = Some(warp),
            Some(Mutation::CarrierMedia(warp)) => self.warps.1 = Some(warp),
            Some(Mutation::Told(from, to)) => self.told = Some((from, to)),
            Some(Mutation::Asked(from, to)) => self.reports.0 = Some((from, to)),
            Some(Mutation::Heard(from, to)) => self.reports.1 = Some((from, to)),
            Some(Mutation::Front(wrong)) => {
                let carrier = self.carriers[0].address();
                let opened = Front::open(self.teams_side.ip(), &self.kit.sbc, wrong, carrier);
                let front = opened.await;
                let front = front.map_err(|why| LabFault::System {
                    what: "open a front",
                    why,
                })?;
                self.door = front.address;
                self._front = Some(front);
            }
            Some(Mutation::Shaken(how)) => self.shaken = Some(how),
            Some(Mutation::Grows) => self.grows = true,
            Some(Mutation::Insists) => self.insists = true,
            Some(Mutation::Restless) => self.is_restless = true,
            Some(Mutation::Gullible) => self.is_gullible = true,
            Some(
                Mutation::Message(..)
                | Mutation::Configuration(..)
                | Mutation::Configured(..)
                | Mutation::Forgets
                | Mutation::Deaf(..),
            )
            | None => {}
        }
        Ok(())
    }

    /// The trunk as Teams knows it.
    pub fn trunk(&self) -> TeamsTrunk {
        self.trunk_of(&self.fqdn)
    }

    /// The trunk of a customer, as Teams knows it.
    pub fn trunk_of(&self, fqdn: &str) -> TeamsTrunk {
        TeamsTrunk {
            fqdn: fqdn.to_owned(),
            port: self.teams_side.port(),
        }
    }

    /// The second trunk, or that of a second node, as Teams knows it.
    pub fn second_trunk(&self) -> TeamsTrunk {
        TeamsTrunk {
            fqdn: SECOND.to_owned(),
            port: self.second_side.port(),
        }
    }

    /// Every name that a Contact towards Teams may have: those of the trunks that the subject has in this case.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.fqdn.clone()];
        names.extend(self.setting.more_names());
        names.extend(lock(&self.more_names).iter().cloned());
        names
    }

    /// The subject gets a trunk of this name while the case is played.
    pub fn has_name(&self, name: &str) {
        lock(&self.more_names).push(name.to_owned());
    }

    /// A certificate that another SBC believes, from its folder.
    pub(super) fn own_certificate(&self, name: &str) -> Option<Identity> {
        let folder = self.certificates.as_ref()?;
        let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}"))).ok();
        Some(Identity {
            chain_pem: read("pem")?,
            key_pem: read("key")?,
        })
    }

    /// The folder of our daemon.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// Notes a broken rule unless all is right.
    #[track_caller]
    pub fn check(&self, rule: &str, is_right: bool, found: impl FnOnce() -> String) {
        asked::note(Location::caller(), rule, is_right);
        if !is_right {
            lock(&self.failures).push(Failure::new(rule, found()));
        }
    }

    /// Notes what a reader of the report must know of how the case was played.
    pub fn note(&self, what: impl Into<String>) {
        lock(&self.notes).push(what.into());
    }

    /// What was noted.
    pub fn notes(&self) -> Vec<String> {
        lock(&self.notes).clone()
    }

    /// A size of a long case: the short one, unless all is to be played. Which one it was is noted.
    pub fn size(&self, what: &str, short: u32, full: u32) -> u32 {
        match self.kit.soaks {
            true => {
                self.note(format!("played in full: {full} {what}"));
                full
            }
            false => {
                self.note(format!(
                    "short form: {short} {what}; with --soak it is {full}"
                ));
                short
            }
        }
    }

    /// The next call that comes to a proxy.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn call_to_proxy(
        &self,
        index: usize,
        patience: Duration,
    ) -> Result<Received, PeerFault> {
        let agent = self.proxies[index].agent();
        next(&self.calls_to_proxies[index], agent, patience).await
    }

    /// The next call that comes to a carrier.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn call_to_carrier(
        &self,
        index: usize,
        patience: Duration,
    ) -> Result<Received, PeerFault> {
        let agent = self.carriers[index].agent();
        next(&self.calls_to_carriers[index], agent, patience).await
    }

    /// A voice of Teams.
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn voice_of_teams(&self) -> Result<Voice, PeerFault> {
        self.voice_of_teams_at(0).await
    }

    /// A voice of Teams that takes reports at a port of their own.
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn voice_of_teams_apart(&self) -> Result<Voice, PeerFault> {
        let (ip, network) = (self.addresses.proxies[0], self.tape.network());
        let voice = Voice::open_apart("Teams", ip, self.warps.0, network).await?;
        lock(&self.ears).push(voice.ear());
        Ok(voice)
    }

    /// A voice of Teams at a port.
    ///
    /// # Errors
    /// [`PeerFault::Socket`], where somebody else has it.
    pub async fn voice_of_teams_at(&self, port: u16) -> Result<Voice, PeerFault> {
        let at = SocketAddr::new(self.addresses.proxies[0], port);
        self.voice("Teams", at, self.tape.network()).await
    }

    /// A voice of Teams beyond a network of its own.
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn voice_of_teams_over(&self, network: Network) -> Result<Voice, PeerFault> {
        let at = SocketAddr::new(self.addresses.proxies[0], 0);
        self.voice("Teams", at, Some(network)).await
    }

    /// A voice of Teams at an address that neither signalling nor other audio has.
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn voice_of_teams_elsewhere(&self) -> Result<Voice, PeerFault> {
        let at = SocketAddr::new(self.addresses.elsewhere, 0);
        self.voice("Teams", at, self.tape.network()).await
    }

    /// The next call that comes to the SBC of the branch.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn call_to_branch(&self, patience: Duration) -> Result<Received, PeerFault> {
        match (&self.calls_to_branch, &self.branch) {
            (Some(calls), Some(branch)) => next(calls, branch.agent(), patience).await,
            _ => Err(PeerFault::Silence {
                peer: "the branch".to_owned(),
                wanted: "a branch".to_owned(),
                after: Duration::ZERO,
            }),
        }
    }

    /// A voice in the branch.
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn voice_of_branch(&self) -> Result<Voice, PeerFault> {
        let at = SocketAddr::new(self.addresses.carrier, 0);
        self.voice("branch", at, self.tape.network()).await
    }

    /// A voice of the carrier.
    ///
    /// # Errors
    /// [`PeerFault::Socket`].
    pub async fn voice_of_carrier(&self) -> Result<Voice, PeerFault> {
        let at = SocketAddr::new(self.addresses.carrier, 0);
        self.voice("carrier", at, self.tape.network()).await
    }

    /// Somebody at an address of Teams who checks and has no audio.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn asker(&self) -> Result<Asker, Failure> {
        let asker = Asker::open(self.addresses.elsewhere, self.warps.0).await;
        asker.map_err(|why| Failure::new("ladder", why.to_string()))
    }

    async fn voice(
        &self,
        name: &'static str,
        at: SocketAddr,
        network: Option<Network>,
    ) -> Result<Voice, PeerFault> {
        let warp = match name {
            "Teams" => self.warps.0,
            _ => self.warps.1,
        };
        let number = lock(&self.ears).len();
        let network = network.map(|network| network.at(&format!("{name} {number}")));
        let voice = Voice::open(name, at, warp, network).await?;
        lock(&self.ears).push(voice.ear());
        Ok(voice)
    }

    /// What all voices heard.
    pub fn ears(&self) -> Vec<Ear> {
        lock(&self.ears).clone()
    }

    /// Waits until the subject's OPTIONS came to every proxy and were right.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn greeted(&self, patience: Duration) -> Result<(), PeerFault> {
        for proxy in &self.proxies[..REGIONS.len()] {
            proxy
                .heard_from(std::slice::from_ref(&self.fqdn), patience)
                .await?;
        }
        Ok(())
    }

    /// Handshakes of the subject with a proxy.
    pub fn handshakes(&self, proxy: &TeamsProxy) -> Vec<Handshake> {
        let mut all = proxy.handshakes();
        if let Some(how) = self.shaken {
            all.iter_mut().for_each(how);
        }
        if self.is_restless {
            let times = all.len() * 5;
            return all.iter().cycle().take(times).cloned().collect();
        }
        all
    }

    /// A call with a proxy is over, and a subject that keeps no connection for the next one closes it.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn is_over_at(&self, proxy: &TeamsProxy) -> Result<(), Failure> {
        if self.is_restless {
            proxy.goes_away().await;
            let back = proxy.comes_back().await;
            back.map_err(|why| Failure::new("ladder", why.to_string()))?;
        }
        Ok(())
    }

    /// How many handshakes of the subject with a proxy went through, and how many broke off.
    pub fn shaken_hands(&self, proxy: &TeamsProxy) -> (usize, usize) {
        let (done, broken) = (proxy.handshakes().len(), proxy.refused().len());
        match self.is_gullible {
            true => (done + broken, 0),
            false => (done, broken),
        }
    }

    /// Connections of the subject that a proxy has refused.
    pub fn refused(&self, proxy: &TeamsProxy) -> Vec<String> {
        let refused = proxy.refused();
        let times = refused.len() * if self.insists { 5 } else { 1 };
        refused.iter().cycle().take(times).cloned().collect()
    }

    /// What the subject has of memory, in octets, as it looks to who looks.
    pub(super) fn looked_at(&self, octets: u64) -> u64 {
        // Ordering: the number stands for itself.
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        octets * if self.grows { looks * 16 + 1 } else { 1 }
    }

    /// Asks our daemon as an operator does.
    ///
    /// # Errors
    /// [`LabFault::Unanswered`].
    pub async fn ask(&self, path: &str) -> Result<String, LabFault> {
        let Some(daemon) = &self.daemon else {
            return Err(LabFault::Unanswered {
                path: path.to_owned(),
                why: "the subject is not ours".to_owned(),
            });
        };
        Ok(self.as_told(daemon.ask(path).await?))
    }

    /// What the subject says, with the change that is made to it.
    pub(super) fn as_told(&self, text: String) -> String {
        match self.told {
            Some((from, to)) => text.replace(from, to),
            None => text,
        }
    }

    /// Tells our daemon what to do, as an operator does.
    ///
    /// # Errors
    /// [`LabFault::Unanswered`].
    pub async fn tell(&self, path: &str) -> Result<String, LabFault> {
        match &self.daemon {
            Some(daemon) => daemon.tell(path).await,
            None => self.ask(path).await,
        }
    }

    /// Changes a text of our daemon's configuration, which is in force for calls from now on. Whether the subject
    /// is one that can be told.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn reconfigures(&self, from: &str, to: &str) -> Result<bool, Failure> {
        let Some(folder) = self.folder() else {
            return Ok(false);
        };
        let path = folder.join("causeway.toml");
        let failure = |why: io::Error| Failure::new("ladder", format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(failure)?;
        if !text.contains(from) {
            return Err(Failure::new(
                "ladder",
                format!("no configuration has {from}"),
            ));
        }
        std::fs::write(&path, text.replacen(from, to, 1)).map_err(failure)?;
        self.tell("/reload").await?;
        Ok(true)
    }

    /// Asks our daemon again and again until the answer is as wanted; gives the last one.
    pub async fn ask_until(
        &self,
        path: &str,
        patience: Duration,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.ask(path).await {
                Ok(told) if is_it(&told) => return Ok(told),
                Ok(told) if Instant::now() > deadline => return Err(told),
                Err(fault) if Instant::now() > deadline => return Err(fault.to_string()),
                Ok(_) | Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Everything that was wrong: what the case found, what the peers found, and the global
    /// assertions. `played` is how the case ended.
    pub async fn judge(&self, played: Result<(), Failure>) -> Vec<Failure> {
        let is_complete = played.is_ok();
        let mut failures = lock(&self.failures).clone();
        failures.extend(played.err());
        let proxies = self.proxies.iter().map(TeamsProxy::agent);
        let peers = proxies.chain(self.carriers.iter().map(Carrier::agent));
        let peers = peers.chain(self.branch.iter().map(Branch::agent));
        for finding in peers.flat_map(crate::peer::agent::Agent::findings) {
            failures.push(Failure::new(finding.breach.rule, finding.to_string()));
        }
        failures.extend(assertion::of_messages(self));
        failures.extend(assertion::of_media(self));
        if is_complete {
            failures.extend(assertion::of_traces(self).await);
        }
        gathered(failures)
    }

    /// Ends everything.
    pub async fn end(self) {
        let more = std::mem::take(&mut *lock(&self.more_nodes));
        for daemon in more.into_iter().filter_map(Arc::into_inner) {
            daemon.stop().await;
        }
        if let Some(daemon) = self.daemon {
            daemon.stop().await;
        }
    }
}

async fn start(
    program: &Path,
    folder: &Folder,
    ground: &Ground,
    setting: &setting::Setting,
    mutation: Option<Mutation>,
) -> Result<(Ports, Daemon), LabFault> {
    let mut attempt = 1;
    loop {
        let mut ports = Ports::choose(&ground.addresses, None)?;
        if setting.cloud.is_some() {
            // National clouds call one port alone.
            ports.tls.set_port(5061);
        }
        let mut text = setting.write(folder.path(), &ground.addresses, &ports, &ground.peers);
        match mutation {
            Some(Mutation::Configuration(from, to)) => text = text.replace(from, to),
            Some(Mutation::Configured(how)) => text = how(&text),
            _ => {}
        }
        place::write(folder.path(), "causeway.toml", &text)?;
        let state = folder.path().join("state");
        if setting.has_state {
            std::fs::create_dir_all(&state).map_err(|why| LabFault::File {
                path: state.clone(),
                why,
            })?;
        }
        let keeps = setting.has_state && !matches!(mutation, Some(Mutation::Forgets));
        let state = keeps.then_some(state.as_path());
        let started =
            Daemon::start_keeping(program, folder.path(), ports.metrics, false, state).await;
        match started {
            Ok(daemon) => return Ok((ports, daemon)),
            Err(LabFault::Ended { log, .. }) if attempt < STARTS && log.contains("in use") => {
                attempt += 1;
            }
            Err(fault) => return Err(fault),
        }
    }
}

async fn next(calls: &Calls, peer: &Agent, patience: Duration) -> Result<Received, PeerFault> {
    match timeout(patience, calls.lock().await.recv()).await {
        Ok(Some(invite)) => Ok(invite),
        Ok(None) | Err(_) => {
            let findings = peer.findings().into_iter().rev();
            let mut refused = findings.filter_map(|one| {
                let is_invite = one.message.starts_with("INVITE ");
                one.breach.refuse.filter(|_| is_invite).map(|_| one.breach)
            });
            let wanted = match refused.next() {
                Some(breach) => format!("an INVITE that it need not refuse (of one: {breach})"),
                None => "an INVITE".to_owned(),
            };
            Err(PeerFault::Silence {
                peer: peer.name().to_owned(),
                wanted,
                after: patience,
            })
        }
    }
}
