//! Questions on the wire: `hickory-resolver`, without a memory of its own.

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use sbc_core::locate::{Answer, Kind, Question, Record};
use sbc_core::query::ResolveFault;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Wait for one server, so that a second one has its chance within the limit of a question.
const SERVER: Duration = Duration::from_millis(1200);
/// How often it is looked whether the system's files have changed.
const GLANCE: Duration = Duration::from_secs(10);
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Who answers.
pub(super) enum Upstream {
    /// These servers.
    Servers(TokioResolver),
    /// Whom the system asks.
    System(Mutex<System>),
}

/// What the system's files said when they were read.
pub(super) struct System {
    resolver: TokioResolver,
    seen: [Option<SystemTime>; 2],
    looked: Instant,
}

impl Upstream {
    /// These servers, or whom the system asks if there are none.
    pub(super) fn of(servers: &[SocketAddr]) -> Self {
        match servers {
            [] => Self::system(),
            servers => Self::servers(servers),
        }
    }

    pub(super) fn servers(servers: &[SocketAddr]) -> Self {
        let server = |at: &SocketAddr| {
            let on = |mut connection: ConnectionConfig| {
                connection.port = at.port();
                connection
            };
            let connections = vec![on(ConnectionConfig::udp()), on(ConnectionConfig::tcp())];
            NameServerConfig::new(at.ip(), true, connections)
        };
        let servers = servers.iter().map(server).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        Self::Servers(built(config, ResolverOpts::default(), ResolveHosts::Never))
    }

    pub(super) fn system() -> Self {
        Self::System(Mutex::new(System::read()))
    }

    /// The answer to a question and for how long it holds.
    pub(super) async fn ask(&self, question: &Question) -> (Answer, Duration) {
        let absent = (Answer::Absent, Duration::ZERO);
        // A name with a dot is whole: the search list would only make it somebody else's.
        let is_whole = question.name.contains('.');
        let Ok(mut name) = Name::from_utf8(&question.name) else {
            return absent;
        };
        name.set_fqdn(is_whole);
        let kind = match question.kind {
            Kind::Naptr => RecordType::NAPTR,
            Kind::Srv => RecordType::SRV,
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
        };
        match self.resolver().lookup(name, kind).await {
            Ok(found) => {
                let lifetime = found.answers().iter().map(|record| record.ttl).min();
                let records: Vec<Record> = found
                    .answers()
                    .iter()
                    .filter(|record| record.record_type() == kind)
                    .filter_map(|record| read(&record.data))
                    .collect();
                match records.is_empty() {
                    true => absent,
                    false => {
                        let seconds = u64::from(lifetime.unwrap_or(0));
                        (Answer::Records(records), Duration::from_secs(seconds))
                    }
                }
            }
            Err(fault) => (answer_of(&fault), Duration::ZERO),
        }
    }

    fn resolver(&self) -> TokioResolver {
        match self {
            Self::Servers(resolver) => resolver.clone(),
            Self::System(system) => {
                let mut system = system.lock().unwrap_or_else(PoisonError::into_inner);
                system.renew();
                system.resolver.clone()
            }
        }
    }
}

impl System {
    fn read() -> Self {
        let seen = changed();
        let (config, options) = match hickory_resolver::system_conf::read_system_conf() {
            Ok(found) => found,
            // As the C library does without this file.
            Err(_) => {
                let local = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
                (config, ResolverOpts::default())
            }
        };
        Self {
            resolver: built(config, options, ResolveHosts::Always),
            seen,
            looked: Instant::now(),
        }
    }

    /// Reads the files again if they have changed.
    fn renew(&mut self) {
        if self.looked.elapsed() < GLANCE {
            return;
        }
        self.looked = Instant::now();
        if changed() != self.seen {
            *self = Self::read();
        }
    }
}

fn changed() -> [Option<SystemTime>; 2] {
    let time = |file| Path::new(file).metadata().and_then(|at| at.modified()).ok();
    FILES.map(time)
}

fn built(config: ResolverConfig, options: ResolverOpts, hosts: ResolveHosts) -> TokioResolver {
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let own = builder.options_mut();
    *own = options;
    own.timeout = own.timeout.min(SERVER);
    own.attempts = 1;
    own.cache_size = 0;
    // The lifetime of an answer is that of its shortest record, aliases included.
    own.preserve_intermediates = true;
    // Of its own choice it would take any port for a moment, those of the media relay among them.
    own.os_port_selection = true;
    own.use_hosts_file = hosts;
    match builder.build() {
        Ok(resolver) => resolver,
        Err(fault) => unreachable!("a resolver without TLS has nothing that can fail: {fault}"),
    }
}

fn read(data: &RData) -> Option<Record> {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    Some(match data {
        RData::A(address) => Record::Address(IpAddr::V4(address.0)),
        RData::AAAA(address) => Record::Address(IpAddr::V6(address.0)),
        RData::SRV(srv) => Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii(),
        },
        RData::NAPTR(naptr) => Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            regexp: text(&naptr.regexp),
            replacement: naptr.replacement.to_ascii(),
        },
        _ => return None,
    })
}

fn answer_of(fault: &NetError) -> Answer {
    match fault {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain | ResponseCode::NoError => Answer::Absent,
            _ => Answer::Failed(ResolveFault::ServerFailure),
        },
        NetError::Timeout => Answer::Failed(ResolveFault::Timeout),
        _ => Answer::Failed(ResolveFault::ServerFailure),
    }
}
