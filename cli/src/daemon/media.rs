//! The media relay in this process: its events find their shard, its totals become metrics.

use crate::daemon::inbox::Inboxes;
use crate::daemon::net::bind_advice;
use crate::sink::log::Log;
use crate::sink::metrics::{MediaFigures, RealmFigures};
use media_relay::{
    Backend, Entropy, EventSink, LocalAddress, Realm, Recordings, RecordingsFault, Relay,
    RelayConfig, RelayTotals, Runs,
};
use sbc_core::config::{Config, MediaBackend};
use sbc_core::id::{RealmName, ShardId};
use sbc_core::input::Input;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often to look whether media is served in another way.
const LOOK: Duration = Duration::from_secs(1);

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

/// Tries every media address; the relay itself stops at the first that it cannot have.
pub fn unusable(config: &Config) -> Vec<AddressFault> {
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
}

/// Starts the relay for the realms of a configuration.
///
/// # Errors
/// [`MediaFault`] when no address can be bound, no ports are left to use, or no thread can be made.
pub fn start(config: &Config, inboxes: Inboxes) -> Result<Relay, MediaFault> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let relay_config = RelayConfig {
        realms: config
            .realms
            .values()
            .map(|realm| realm_of(realm))
            .collect(),
        // One core is left to signalling.
        workers: cores.saturating_sub(1).max(1),
        quarantine: RelayConfig::QUARANTINE,
        entropy: Entropy::from_system().map_err(|_| MediaFault::Entropy)?,
    };
    let sink: EventSink = Box::new(move |event| {
        let shard = ShardId(u8::try_from(event.session().shard()).unwrap_or(u8::MAX));
        if let Some(inbox) = inboxes.of(shard) {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Media(event));
        }
    });
    let recordings = recordings(config).map_err(MediaFault::Sounds)?;
    let relay = Relay::start(relay_config, sink).map_err(MediaFault::Start)?;
    relay.set_recordings(recordings);
    Ok(relay)
}

/// What can be played under a configuration.
///
/// # Errors
/// [`RecordingsFault`] if the relay cannot keep all of them.
pub fn recordings(config: &Config) -> Result<Recordings, RecordingsFault> {
    let sounds = config.sounds.values();
    Recordings::new(sounds.map(|own| (own.id, Arc::clone(&own.samples))))
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
    /// Packets that came no further than the interface; of sockets the kernel counts them.
    pub dropped: u64,
    /// Why not something faster.
    pub because: Option<String>,
}

/// How every address is served at the moment.
pub fn served(config: &Config, relay: &Relay) -> Vec<Served> {
    let name = |id| {
        let mut realms = config.realms.values();
        let realm = realms.find(|realm| realm.id == id);
        realm.map(|realm| realm.name.clone())
    };
    let addresses = relay.backend().addresses.into_iter();
    let served = addresses.filter_map(|report| {
        let (backend, zero_copy) = match report.runs {
            Runs::Sockets => ("socket", false),
            Runs::Xdp {
                is_native: true,
                is_zero_copy,
            } => ("xdp in the driver", is_zero_copy),
            Runs::Xdp { is_zero_copy, .. } => ("xdp behind the driver", is_zero_copy),
        };
        Some(Served {
            realm: name(report.realm)?,
            address: report.address,
            interface: report.interface,
            dropped: report.dropped,
            backend,
            zero_copy,
            because: report.because,
        })
    });
    served.collect()
}

/// Tells how media is served, and again whenever that changes, for as long as there is a relay.
pub async fn tell(config: Arc<Config>, relay: Weak<Relay>, log: Log) {
    let mut told: Vec<Served> = Vec::new();
    while let Some(relay) = relay.upgrade() {
        let now = served(&config, &relay);
        drop(relay);
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

/// Reads the relay's totals, with the configured names of its realms.
pub fn figures(
    config: &Config,
    relay: Arc<Relay>,
) -> impl Fn() -> MediaFigures + Send + Sync + use<> {
    let names: BTreeMap<_, RealmName> = config
        .realms
        .values()
        .map(|realm| (realm.id.0, realm.name.clone()))
        .collect();
    move || {
        let RelayTotals {
            realms,
            sessions,
            transcodes,
            panics,
        } = relay.totals();
        let realms = realms.into_iter().filter_map(|totals| {
            Some(RealmFigures {
                realm: names.get(&totals.realm.0)?.clone(),
                received: (totals.received_packets, totals.received_bytes),
                sent: (totals.sent_packets, totals.sent_bytes),
                lost: totals.lost_packets,
                dropped: totals.dropped,
                jitter_seconds: totals.mean_jitter_us() as f64 / 1e6,
                ports: (totals.ports_used, totals.ports_total),
            })
        });
        MediaFigures {
            realms: realms.collect(),
            sessions,
            transcodes,
            panics,
        }
    }
}
