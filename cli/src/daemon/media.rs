//! The media relay, in this process or in one of its own: its events find their shard, its totals become metrics.

use crate::daemon::Daemon;
use crate::daemon::inbox::Inboxes;
use crate::daemon::net::bind_advice;
use crate::sink::capture::Captures;
use crate::sink::hep::Hep;
use crate::sink::log::Log;
use crate::sink::metrics::{MediaFigures, RealmFigures};
use arc_swap::ArcSwap;
use media_api::{RealmId, SessionId};
use media_relay::{
    AddressReport, Backend, BackendReport, Entropy, EventSink, Kept, LocalAddress, Met, Realm,
    Recordings, RecordingsFault, Relay, RelayConfig, RelayTotals, Remote, RemoteFault, Runs,
};
use sbc_core::config::{Config, Loaded, MediaBackend};
use sbc_core::id::{RealmName, ShardId};
use sbc_core::input::Input;
use sbc_core::kept::Snapshot;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often to look whether media is served in another way.
const LOOK: Duration = Duration::from_secs(1);
/// How long a relay in a process of its own may take to be there: the two start together.
const MEETING: Duration = Duration::from_secs(10);

/// An address of a realm that cannot be used for media.
#[derive(Debug, thiserror::Error)]
#[error(
    "realm \"{realm}\": {address} cannot be bound for media: {why}{}",
    bind_advice(why)
)]
pub struct AddressFault {
    /// The realm.
    pub realm: RealmName,
    /// Its address.
    pub address: IpAddr,
    /// What the operating system said.
    pub why: io::Error,
}

/// Tries every media address; the relay itself stops at the first that it cannot have. Those of a relay in a process
/// of its own are that one's business: it need not see the same network.
pub fn unusable(loaded: &Loaded) -> Vec<AddressFault> {
    let Loaded { config, shell, .. } = loaded;
    if shell.relay.is_some() {
        return Vec::new();
    }
    let addresses = config.realms.values().flat_map(|realm| {
        let v4 = realm.v4.map(IpAddr::V4);
        let v6 = realm.v6.map(IpAddr::V6);
        v4.into_iter()
            .chain(v6)
            .map(|address| (realm.name.clone(), address))
    });
    let faults = addresses.filter_map(|(realm, address)| {
        let why = UdpSocket::bind((address, 0)).err()?;
        Some(AddressFault {
            realm,
            address,
            why,
        })
    });
    faults.collect()
}

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum MediaFault {
    /// The operating system has no random numbers.
    #[error("the operating system has no random numbers")]
    Entropy,
    /// The relay refused its realms.
    #[error("{0}")]
    Start(media_relay::StartError),
    /// The relay cannot keep all recordings.
    #[error("{0}")]
    Sounds(RecordingsFault),
    /// The relay in its own process is not there, or refuses.
    #[error("{0}")]
    Remote(RemoteFault),
}

/// Where media are relayed.
#[derive(Debug)]
pub enum Plane {
    /// In this process.
    Here(Box<Relay>),
    /// In a process of its own.
    There(Remote),
}

impl Plane {
    /// See [`Relay::command`].
    pub fn command(&self, command: media_api::Command) {
        match self {
            Self::Here(relay) => relay.command(command),
            Self::There(remote) => remote.command(command),
        }
    }

    /// Keeps what the next process needs to go on with a call; nothing if it could not. A relay in this process ends
    /// with it, and what it would keep as well.
    pub fn keep(&self, session: SessionId, kept: Option<&Snapshot>) {
        match self {
            Self::Here(_) => {}
            Self::There(remote) => remote.keep(session, kept.map_or(&[], Snapshot::octets)),
        }
    }

    /// Whether calls can outlive this process.
    pub const fn keeps(&self) -> bool {
        matches!(self, Self::There(_))
    }

    /// What the process before this one has left, once. The relay is told what becomes of each, and nothing is heard of
    /// it before [`Self::taken_up`].
    pub fn take_up(&self) -> Vec<Kept> {
        match self {
            Self::Here(_) => Vec::new(),
            Self::There(remote) => remote.take_up(),
        }
    }

    /// See [`Remote::taken_up`].
    pub fn taken_up(&self) {
        if let Self::There(remote) = self {
            remote.taken_up();
        }
    }

    /// When we end, sessions of a relay in a process of its own wait for the next one.
    pub fn leave_behind(&self) {
        if let Self::There(remote) = self {
            remote.leave_behind();
        }
    }

    /// See [`Relay::set_recordings`].
    pub fn set_recordings(&self, recordings: Recordings) {
        match self {
            Self::Here(relay) => relay.set_recordings(recordings),
            Self::There(remote) => remote.set_recordings(recordings),
        }
    }

    /// Whether these realms could be served from now on. May wait.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn try_realms(&self, wanted: &[Realm]) -> Result<(), String> {
        match self {
            Self::Here(relay) => relay.try_realms(wanted).map_err(|why| why.to_string()),
            Self::There(remote) => remote.try_realms(wanted),
        }
    }

    /// See [`Relay::set_realms`].
    pub fn set_realms(&self, wanted: Vec<Realm>) {
        match self {
            Self::Here(relay) => relay.set_realms(wanted),
            Self::There(remote) => remote.set_realms(wanted),
        }
    }

    /// See [`Relay::set_reports`].
    pub fn set_reports(&self, wanted: bool) {
        match self {
            Self::Here(relay) => relay.set_reports(wanted),
            Self::There(remote) => remote.set_reports(wanted),
        }
    }

    /// See [`Relay::longest_silence`]; of a worker in this process.
    pub fn longest_silence(&self) -> Option<Duration> {
        match self {
            Self::Here(relay) => Some(relay.longest_silence()),
            // Ending this process would not help the other.
            Self::There(_) => None,
        }
    }

    /// Why no new calls can have media.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Here(_) => None,
            Self::There(remote) => remote.trouble(),
        }
    }

    /// Relays that have ended under the daemon.
    fn lost(&self) -> u64 {
        match self {
            Self::Here(_) => 0,
            Self::There(remote) => remote.lost(),
        }
    }

    fn totals(&self) -> RelayTotals {
        match self {
            Self::Here(relay) => relay.totals(),
            Self::There(remote) => remote.totals(),
        }
    }

    pub(super) fn backend(&self) -> Option<BackendReport> {
        match self {
            Self::Here(relay) => Some(relay.backend()),
            Self::There(remote) => remote.backend(),
        }
    }
}

/// Starts the relay for the realms of a configuration, or meets the one that its process runs. Call where waiting is
/// allowed.
///
/// # Errors
/// [`MediaFault`] when no address can be bound, no ports are left to use, no thread can be made, or nobody is met.
pub fn start(
    config: &Config,
    relay: Option<&str>,
    is_pinned: bool,
    inboxes: Inboxes,
    (hep, captures): (Hep, Captures),
    log: Log,
) -> Result<Plane, MediaFault> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let realms = realms(config);
    let recordings = recordings(config).map_err(MediaFault::Sounds)?;
    let sink: EventSink = Box::new(move |event| {
        let shard = ShardId(u8::try_from(event.session().shard()).unwrap_or(u8::MAX));
        let event = match event {
            media_api::Event::Tapped {
                session, packet, ..
            } => return captures.media(session, packet),
            event => event,
        };
        let is_report = matches!(event, media_api::Event::Reported { .. });
        if is_report && !hep.takes_report() {
            return;
        }
        if let Some(inbox) = inboxes.of(shard) {
            // What calls depend on is always taken.
            let pushed = inbox.push(Input::Media(event));
            if is_report && pushed.is_err() {
                hep.lost_report();
            }
        }
    });
    if let Some(path) = relay {
        let told = path.to_owned();
        let met = move |met| tell_met(&log, &told, met);
        let remote = Remote::resume(path.into(), realms, MEETING, sink, met);
        let remote = remote.map_err(MediaFault::Remote)?;
        remote.set_recordings(recordings);
        return Ok(Plane::There(remote));
    }
    let relay_config = RelayConfig {
        realms,
        // One core is left to signalling.
        workers: cores.saturating_sub(1).max(1),
        is_pinned,
        quarantine: RelayConfig::QUARANTINE,
        entropy: Entropy::from_system().map_err(|_| MediaFault::Entropy)?,
    };
    let relay = Relay::start(relay_config, sink).map_err(MediaFault::Start)?;
    relay.set_recordings(recordings);
    Ok(Plane::Here(Box::new(relay)))
}

fn tell_met(log: &Log, path: &str, met: Met) {
    match met {
        Met::Begun => log
            .info("media_relay", "the media relay serves")
            .with("socket", path)
            .send(),
        Met::Ended { why, sessions } => log
            .error(
                "media_relay",
                "the media relay ended; calls that had media there end",
            )
            .with("socket", path)
            .with("because", why)
            .with("sessions", sessions)
            .send(),
        Met::Waiting { why } => log
            .warn(
                "media_relay",
                "no media relay: calls are refused with 503 until there is one",
            )
            .with("socket", path)
            .with("because", why)
            .send(),
    }
}

/// What can be played under a configuration.
///
/// # Errors
/// [`RecordingsFault`] if the relay cannot keep all of them.
pub fn recordings(config: &Config) -> Result<Recordings, RecordingsFault> {
    let sounds = config.sounds.values();
    Recordings::new(sounds.map(|own| (own.id, Arc::clone(&own.samples))))
}

/// What the relay has to know of the realms of a configuration.
pub fn realms(config: &Config) -> Vec<Realm> {
    let realms = config.realms.values();
    realms.map(|realm| realm_of(realm)).collect()
}

fn realm_of(realm: &sbc_core::config::Realm) -> Realm {
    let local = |address: IpAddr| LocalAddress {
        bind: address,
        advertised: realm.advertised(address),
    };
    Realm {
        id: realm.id,
        v4: realm.v4.map(|address| local(IpAddr::V4(address))),
        v6: realm.v6.map(|address| local(IpAddr::V6(address))),
        first_port: *realm.ports.start(),
        last_port: *realm.ports.end(),
        dscp: realm.dscp,
        backend: match realm.media_backend {
            MediaBackend::Socket => Backend::Sockets,
            MediaBackend::Auto | MediaBackend::Xdp => Backend::Xdp,
        },
    }
}

/// How an address of a realm is served, with the realm's configured name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Served {
    /// The realm.
    pub realm: RealmName,
    /// Its address.
    pub address: IpAddr,
    /// The interface that has it, where somebody looked.
    pub interface: Option<String>,
    /// `socket`, `xdp in the driver`, `xdp behind the driver`.
    pub backend: &'static str,
    /// Packets are not copied between driver and relay.
    pub zero_copy: bool,
    /// The interface defers its interrupts, so that one wake-up serves several packets.
    pub moderated: bool,
    /// Packets that came no further than the interface; of sockets the kernel counts them.
    pub dropped: u64,
    /// `in the interface` where its program forwards plain RTP by itself, else `in the relay`.
    pub forwards: &'static str,
    /// Packets that the interface has forwarded by itself.
    pub forwarded: u64,
    /// Why it forwards none by itself, or none out of another interface, where packets go past the kernel's network stack.
    pub not_by_itself: Option<String>,
    /// Directions of streams that are forwarded in the relay nevertheless, because all entries of the table of those that
    /// interfaces forward by themselves are taken.
    pub crowded_out: u64,
    /// Why not something faster.
    pub because: Option<String>,
}

/// How every address is served at the moment.
pub fn served(config: &Config, plane: &Plane) -> Vec<Served> {
    let Some(report) = plane.backend() else {
        return unserved(config, &plane.trouble().unwrap_or_default());
    };
    let name = |id| {
        let mut realms = config.realms.values();
        let realm = realms.find(|realm| realm.id == id);
        realm.map(|realm| realm.name.clone())
    };
    let served = report.addresses.into_iter();
    served
        .filter_map(|report| Some(Served::of(name(report.realm)?, report)))
        .collect()
}

impl Served {
    /// What is told of an address of this realm.
    pub fn of(realm: RealmName, report: AddressReport) -> Self {
        let (zero_copy, moderated) = match report.runs {
            Runs::Sockets => (false, false),
            Runs::Xdp {
                is_zero_copy,
                is_moderated,
                ..
            } => (is_zero_copy, is_moderated),
        };
        Self {
            realm,
            address: report.address,
            interface: report.interface,
            dropped: report.dropped,
            forwards: match report.forwards {
                true => "in the interface",
                false => "in the relay",
            },
            forwarded: report.forwarded,
            not_by_itself: report.not_by_itself,
            crowded_out: report.crowded_out,
            backend: backend_name(report.runs),
            zero_copy,
            moderated,
            because: report.because,
        }
    }
}

/// What runs, in the words of [`Served::backend`].
pub const fn backend_name(runs: Runs) -> &'static str {
    match runs {
        Runs::Sockets => "socket",
        Runs::Xdp {
            is_native: true, ..
        } => "xdp in the driver",
        Runs::Xdp { .. } => "xdp behind the driver",
    }
}

/// What is said of every address while there is no relay.
fn unserved(config: &Config, why: &str) -> Vec<Served> {
    let of = |realm: &sbc_core::config::Realm, address| Served {
        realm: realm.name.clone(),
        address,
        interface: None,
        backend: "none",
        zero_copy: false,
        moderated: false,
        dropped: 0,
        forwards: "in the relay",
        forwarded: 0,
        not_by_itself: None,
        crowded_out: 0,
        because: Some(why.to_owned()),
    };
    let realms = config.realms.values().flat_map(|realm| {
        let v4 = realm.v4.map(IpAddr::V4).into_iter();
        v4.chain(realm.v6.map(IpAddr::V6))
            .map(move |address| of(realm, address))
    });
    realms.collect()
}

/// Tells how media is served, and again whenever that changes, for as long as there is a relay.
pub async fn tell(daemon: Weak<Daemon>, log: Log) {
    let mut told: Vec<Served> = Vec::new();
    while let Some(daemon) = daemon.upgrade() {
        let loaded = daemon.loaded();
        let config = &loaded.config;
        let now = daemon.media_served();
        drop(daemon);
        let told_of = |one: &&Served| {
            let same = |before: &Served| {
                (
                    &before.realm,
                    before.address,
                    before.backend,
                    &before.because,
                ) == (&one.realm, one.address, one.backend, &one.because)
            };
            told.iter().any(same)
        };
        for one in now.iter().filter(|one| !told_of(one)) {
            let is_missed = config
                .realms
                .get(&one.realm)
                .is_some_and(|realm| realm.media_backend == MediaBackend::Xdp);
            let before = told
                .iter()
                .find(|before| (&before.realm, before.address) == (&one.realm, one.address));
            let is_lost = before.is_some_and(|before| before.because.is_none());
            let line = match one.because.is_some() && (is_missed || is_lost) {
                true => log.warn("media_backend", "media does not go past the kernel"),
                false => log.info("media_backend", "how media is served"),
            };
            line.with("realm", &one.realm)
                .with("address", one.address)
                .with("interface", one.interface.as_deref().unwrap_or("-"))
                .with("backend", one.backend)
                .with("because", one.because.as_deref().unwrap_or("-"))
                .send();
        }
        told = now;
        tokio::time::sleep(LOOK).await;
    }
}

/// Names of the realms in use, by their numbers.
pub type Names = ArcSwap<BTreeMap<u16, RealmName>>;

/// The names of a configuration.
pub fn names(config: &Config) -> BTreeMap<u16, RealmName> {
    let realms = config.realms.values();
    realms
        .map(|realm| (realm.id.0, realm.name.clone()))
        .collect()
}

/// What a relay says of a realm, by the name that it has for people.
pub fn named(why: String, names: &BTreeMap<u16, RealmName>) -> String {
    let is_told = |(id, _): &(&u16, &RealmName)| why.starts_with(&format!("media realm {id} "));
    match names.iter().find(is_told) {
        Some((id, name)) => why.replacen(
            &format!("media realm {id} "),
            &format!("realm \"{name}\" "),
            1,
        ),
        None => why,
    }
}

/// Reads the relay's totals, with the configured names of its realms. Metrics may outlive the daemon's calls, and must
/// not keep the relay alive.
pub fn figures(
    names: Arc<Names>,
    relay: Weak<Plane>,
) -> impl Fn() -> MediaFigures + Send + Sync + use<> {
    move || {
        let Some(relay) = relay.upgrade() else {
            return MediaFigures::default();
        };
        let names = names.load();
        let name = |realm: RealmId| names.get(&realm.0).cloned();
        let addresses = relay.backend().map(|own| own.addresses);
        MediaFigures {
            has_relay: relay.trouble().is_none(),
            relays_lost: relay.lost(),
            ..figures_of(relay.totals(), &addresses.unwrap_or_default(), name)
        }
    }
}

/// A relay's totals, with the names of its realms.
pub fn figures_of(
    totals: RelayTotals,
    addresses: &[AddressReport],
    name: impl Fn(RealmId) -> Option<RealmName>,
) -> MediaFigures {
    let RelayTotals {
        realms,
        sessions,
        transcodes,
        panics,
        reports_lost,
        handshakes,
        nominated,
        resynchronised,
        delays,
        delay_us,
    } = totals;
    let realms = realms.into_iter().filter_map(|totals| {
        Some(RealmFigures {
            realm: name(totals.realm)?,
            received: (totals.received_packets, totals.received_bytes),
            sent: (totals.sent_packets, totals.sent_bytes),
            lost: totals.lost_packets,
            dropped: totals.dropped,
            jitter_seconds: totals.mean_jitter_us() as f64 / 1e6,
            ports: (totals.ports_used, totals.ports_total),
        })
    });
    let backends = addresses.iter();
    let backends =
        backends.filter_map(|own| Some((name(own.realm)?, own.address, backend_name(own.runs))));
    MediaFigures {
        realms: realms.collect(),
        sessions,
        transcodes,
        panics,
        reports_lost,
        handshakes,
        nominated,
        resynchronised,
        delays,
        delay_us,
        has_relay: true,
        relays_lost: 0,
        backends: backends.collect(),
    }
}
