//! What a rehearsal has around it: a relay with endless ports, names that all have an address,
//! registrars that know us, and peers that have registered.

use crate::config::{Config, TargetAddress, Trunk};
use crate::id::FlowId;
use crate::input::Input;
use crate::locate::{LocateSpec, Server, Service};
use crate::query::{Outcome, Query, Runner};
use crate::sip::header::CallId;
use crate::sip::{Address, Host, SipUri};
use crate::stir::CredentialFault;
use crate::time::{Timestamp, UnixTime};
use crate::transport::{Flow, Protocol};
use crate::trunk::{Binding, Bound, Registered, RegistrationState, Standing};
use media_api::{
    Command, CryptoKey, Event, Fingerprint, HashFunction, LocalEndpoint, LocalStream, Playing,
    SessionStats,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What all rehearsals of one configuration have in common.
pub(super) struct Scene {
    config: Arc<Config>,
    /// Invented addresses, by name; none of them is anybody's (RFC 1112 §4, RFC 6666).
    names: BTreeMap<String, u16>,
    standings: Vec<Arc<Standing>>,
    bound: Vec<Arc<Bound>>,
}

impl Scene {
    pub(super) fn new(config: Arc<Config>) -> Arc<Self> {
        // All names at once, so that an address does not depend on who is asked for first.
        let targets = config.trunks.values().flat_map(|trunk| &trunk.targets);
        let mut names = BTreeMap::new();
        for target in targets {
            let next = u16::try_from(names.len() + 1).unwrap_or(u16::MAX);
            names
                .entry(target.host.to_ascii_lowercase())
                .or_insert(next);
        }
        let mut scene = Self {
            config,
            names,
            standings: Vec::new(),
            bound: Vec::new(),
        };
        let trunks = scene.config.trunks.values();
        let registering = trunks.filter(|trunk| trunk.register.is_some());
        scene.standings = registering
            .map(|trunk| Arc::new(scene.standing(trunk)))
            .collect();
        let trunks = scene.config.trunks.values();
        scene.bound = trunks.filter_map(|trunk| scene.binding(trunk)).collect();
        Arc::new(scene)
    }

    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Every trunk that registers is registered, and so is every peer that registers with us.
    pub(super) fn registrations(&self) -> VecDeque<Input> {
        let standings = self.standings.iter();
        let standings = standings.map(|standing| Input::Registration(Arc::clone(standing)));
        let bound = self.bound.iter();
        let bound = bound.map(|bound| Input::Bindings(Arc::clone(bound)));
        standings.chain(bound).collect()
    }

    /// A contact at the first address that the trunk takes a REGISTER from.
    fn binding(&self, trunk: &Trunk) -> Option<Arc<Bound>> {
        let registrar = trunk.registrar.as_ref()?;
        let mut listeners = trunk.listeners.iter();
        let named = |name| self.config.listeners.get(name);
        let listener = listeners.find_map(named)?;
        let is_v4 = listener.bind.is_ipv4();
        let mut sources = trunk.accept_from.iter().map(|net| net.first());
        let source = sources.find(|source| source.is_ipv4() == is_v4);
        let source = source.unwrap_or_else(|| self.invented(trunk.name.as_str(), is_v4));
        let remote = SocketAddr::new(source, listener.protocol.default_port());
        let mut uri = SipUri::new(Host::from(source));
        if !registrar.gin {
            uri.set_user_text(registrar.user.as_bytes()).ok()?;
        }
        let call_id = CallId::from_minted("rehearsal".to_owned());
        let account = Arc::new(Registered::by(trunk, &call_id)?);
        let bindings = vec![Arc::new(Binding {
            id: 1,
            contact: Address::new(uri.into()),
            q_milli: 1_000,
            until: Timestamp::from_micros(u64::MAX),
            until_wall: UnixTime::from_micros(u64::MAX),
            call_id,
            cseq: 1,
            path: Vec::new(),
            flow: Flow {
                id: FlowId(2),
                protocol: listener.protocol,
                listener: listener.name.clone(),
                local: listener.bind,
                remote,
                identity: None,
                tls: None,
            },
            is_flow_alive: true,
            instance: None,
            is_bulk: registrar.gin,
            account,
        })];
        Some(Arc::new(Bound {
            trunk: trunk.name.clone(),
            bindings,
        }))
    }

    fn standing(&self, trunk: &Trunk) -> Standing {
        let server = trunk.targets.first().map(|target| {
            let address = self.address_of(trunk, target);
            (target.clone(), address)
        });
        Standing {
            trunk: trunk.name.clone(),
            state: RegistrationState::Registered,
            contact_user: None,
            sources: server.iter().map(|(_, address)| address.ip()).collect(),
            server,
            service_route: Vec::new(),
            identities: Vec::new(),
            until: None,
        }
    }

    /// An address of a target: that which is written, or an invented one.
    pub(super) fn address_of(&self, trunk: &Trunk, target: &TargetAddress) -> SocketAddr {
        if let Some(address) = target.connect_to.first() {
            return *address;
        }
        let literal = target.host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_v4 = trunk.listeners.iter().any(|name| {
            let listener = self.config.listeners.get(name);
            listener.is_some_and(|at| at.protocol == target.protocol && at.bind.is_ipv4())
        });
        let address = literal.unwrap_or_else(|_| self.invented(&target.host, is_v4));
        SocketAddr::new(address, target.port)
    }

    fn invented(&self, host: &str, is_v4: bool) -> IpAddr {
        let number = self.names.get(&host.to_ascii_lowercase());
        let number = number.copied().unwrap_or_default();
        let [high, low] = number.to_be_bytes();
        match is_v4 {
            true => Ipv4Addr::new(240, 0, high, low).into(),
            false => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, number).into(),
        }
    }
}

/// The surroundings of one rehearsal.
pub(super) struct Stage {
    scene: Arc<Scene>,
    ports: u16,
}

impl Stage {
    pub(super) fn new(scene: Arc<Scene>) -> Self {
        Self { scene, ports: 0 }
    }

    pub(super) fn scene(&self) -> &Arc<Scene> {
        &self.scene
    }

    /// What a name server would say if every name had one address.
    pub(super) fn found(&self, query: &Query) -> Outcome {
        match query {
            Query::Resolve(spec) => {
                let address = self.scene.invented(&spec.host, spec.families.v4);
                Outcome::Resolved(vec![SocketAddr::new(address, spec.port)])
            }
            Query::Locate(spec) => Outcome::Located(vec![self.service(spec)]),
            Query::Race(_) => Outcome::Won(Runner::First),
            // Nobody signs for a call that is only described.
            Query::Verify(_) => Outcome::Verified(Err(CredentialFault::Unreachable)),
        }
    }

    fn service(&self, spec: &LocateSpec) -> Service {
        let protocol = spec.protocols.first().copied().unwrap_or(Protocol::Udp);
        Service {
            protocol,
            servers: vec![Server {
                priority: 0,
                weight: 0,
                port: spec.port.unwrap_or(protocol.default_port()),
                addresses: vec![self.scene.invented(&spec.domain, spec.families.v4)],
            }],
        }
    }

    /// What the relay answers to an order.
    pub(super) fn relay(&mut self, command: &Command) -> Option<Event> {
        match command {
            Command::Allocate { session, endpoints } => {
                let endpoints = endpoints.iter().map(|spec| self.endpoint(spec));
                Some(Event::Allocated {
                    session: *session,
                    endpoints: endpoints.collect(),
                })
            }
            // Nobody waits for an announcement to be heard.
            Command::Play {
                session,
                endpoint,
                playing: Some(Playing { times: Some(_), .. }),
            } => Some(Event::Played {
                session: *session,
                endpoint: *endpoint,
                heard: true,
            }),
            Command::Release {
                session,
                endpoint: None,
                ..
            } => Some(Event::Released {
                session: *session,
                stats: SessionStats::default(),
            }),
            _ => None,
        }
    }

    /// Ports of the realm that an endpoint wants.
    pub(super) fn endpoint(&mut self, spec: &media_api::EndpointSpec) -> LocalEndpoint {
        let scene = Arc::clone(&self.scene);
        let realm = scene
            .config
            .realms
            .values()
            .find(|realm| realm.id == spec.realm);
        let address = realm.and_then(|realm| {
            let local = match spec.family {
                media_api::Family::V4 => realm.v4.map(IpAddr::V4),
                media_api::Family::V6 => realm.v6.map(IpAddr::V6),
            };
            local.map(|local| realm.advertised(local))
        });
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let first = realm.map_or(40_000, |realm| realm.ports.start().next_multiple_of(2));
        let streams = spec.streams.iter().map(|stream| {
            let port = first.saturating_add(self.ports);
            self.ports = self.ports.saturating_add(2);
            let key = |suite: &media_api::Suite| {
                let octets = suite.key_and_salt_bytes();
                CryptoKey::new(*suite, vec![0; octets])
            };
            let suites = stream.protection.suites().iter();
            let keys = suites.filter_map(key).collect();
            LocalStream {
                rtp: SocketAddr::new(address, port),
                rtcp: SocketAddr::new(address, port.saturating_add(1)),
                keys,
                fingerprint: match stream.protection.has_certificate() {
                    true => Fingerprint::new(HashFunction::Sha256, vec![0; 32]),
                    false => None,
                },
            }
        });
        LocalEndpoint {
            endpoint: spec.endpoint,
            streams: streams.collect(),
        }
    }
}
