//! The media relay in this process: its events find their shard, its totals become metrics.

use crate::daemon::inbox::Inboxes;
use crate::daemon::net::bind_advice;
use crate::sink::metrics::{MediaFigures, RealmFigures};
use media_relay::{
    Backend, Entropy, EventSink, LocalAddress, Realm, Recordings, RecordingsFault, Relay,
    RelayConfig, RelayTotals,
};
use sbc_core::config::Config;
use sbc_core::id::{RealmName, ShardId};
use sbc_core::input::Input;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

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
        backend: Backend::Sockets,
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
            panics,
        }
    }
}
