//! What to ask DNS next, until the servers of a domain are known: RFC 3263 §4.1 and §4.2.
//!
//! | known so far                        | asks next                                     |
//! |-------------------------------------|-----------------------------------------------|
//! | a port, or nothing left but hosts   | A and AAAA of every host                      |
//! | a protocol                          | SRV of that protocol, then its hosts          |
//! | neither                             | NAPTR, then SRV of what the domain prefers    |
//! | NAPTR says nothing of use           | SRV of every protocol we speak, one by one    |
//! | no SRV records                      | A and AAAA of the domain, with default port   |
//!
//! A target `.` says that the service is not offered: then nothing is guessed (RFC 2782).

use super::{
    Answer, Kind, LocateSpec, MAX_ADDRESSES, MAX_QUESTIONS, MAX_RECORDS, Question, Record, Server,
    Service,
};
use crate::query::{Outcome, ResolveFault};
use crate::transport::Protocol;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// One search for the servers of a domain.
#[derive(Clone, Debug)]
pub struct Walk {
    spec: LocateSpec,
    stage: Stage,
    /// SRV names to ask, best first.
    services: VecDeque<(Protocol, String)>,
    answers: BTreeMap<Question, Answer>,
    left: usize,
    /// The last thing that was not known, for the case that nothing is found.
    fault: Option<ResolveFault>,
    /// A service said that it is not offered.
    is_denied: bool,
}

#[derive(Clone, Debug)]
enum Stage {
    Naptr,
    Srv,
    Hosts {
        protocol: Protocol,
        hosts: Vec<Host>,
    },
}

/// A server whose addresses are not known yet.
#[derive(Clone, Debug)]
struct Host {
    name: String,
    priority: u16,
    weight: u16,
    port: u16,
}

/// What a walk wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Answers to these questions; they may be asked at the same time.
    Ask(Vec<Question>),
    /// Nothing: this is the result.
    Done(Outcome),
}

impl Walk {
    /// Begins a search.
    pub fn new(spec: LocateSpec) -> Self {
        let domain = normal(&spec.domain);
        let own = spec.protocols.iter();
        let services = own
            .map(|p| (*p, format!("{}.{domain}", label(*p))))
            .collect();
        let stage = match (spec.port, spec.is_open) {
            (Some(port), _) => Stage::Hosts {
                protocol: usual(&spec),
                hosts: vec![plain(&domain, port)],
            },
            (None, true) => Stage::Naptr,
            (None, false) => Stage::Srv,
        };
        Self {
            spec: LocateSpec { domain, ..spec },
            stage,
            services,
            answers: BTreeMap::new(),
            left: MAX_QUESTIONS,
            fault: None,
            is_denied: false,
        }
    }

    /// Takes an answer.
    pub fn answer(&mut self, question: Question, answer: Answer) {
        self.answers.insert(question, answer);
    }

    /// What is wanted now.
    pub fn step(&mut self) -> Step {
        loop {
            let wanted = self.wanted();
            let open: Vec<Question> = wanted
                .iter()
                .filter(|question| !self.answers.contains_key(question))
                .cloned()
                .collect();
            if !open.is_empty() && self.left > 0 {
                let asked: Vec<Question> = open.into_iter().take(self.left).collect();
                self.left -= asked.len();
                return Step::Ask(asked);
            }
            if let Some(outcome) = self.advance() {
                return Step::Done(outcome);
            }
        }
    }

    /// What the present stage must know.
    fn wanted(&self) -> Vec<Question> {
        match &self.stage {
            Stage::Naptr => vec![question(&self.spec.domain, Kind::Naptr)],
            Stage::Srv => {
                let first = self.services.front();
                first
                    .map(|(_, name)| question(name, Kind::Srv))
                    .into_iter()
                    .collect()
            }
            Stage::Hosts { hosts, .. } => {
                let mut wanted = Vec::new();
                for host in hosts {
                    for kind in self.kinds() {
                        let question = question(&host.name, kind);
                        if !wanted.contains(&question) {
                            wanted.push(question);
                        }
                    }
                }
                wanted
            }
        }
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> + use<> {
        let families = self.spec.families;
        let v4 = families.v4.then_some(Kind::A);
        v4.into_iter().chain(families.v6.then_some(Kind::Aaaa))
    }

    /// Goes to the next stage, or ends.
    fn advance(&mut self) -> Option<Outcome> {
        match &self.stage {
            Stage::Naptr => {
                let chosen = self.chosen_services();
                if !chosen.is_empty() {
                    self.services = chosen;
                }
                self.stage = Stage::Srv;
                None
            }
            Stage::Srv => {
                let Some((protocol, name)) = self.services.pop_front() else {
                    return self.without_service();
                };
                let hosts = self.hosts_of(&name);
                if !hosts.is_empty() {
                    self.stage = Stage::Hosts { protocol, hosts };
                }
                None
            }
            Stage::Hosts { protocol, hosts } => {
                let (protocol, hosts) = (*protocol, hosts.clone());
                let servers = self.servers(&hosts);
                if !servers.is_empty() {
                    return Some(Outcome::Located(vec![Service { protocol, servers }]));
                }
                // The hosts of one service are not known; another service may have better ones.
                if self.services.is_empty() || self.spec.port.is_some() {
                    return Some(self.nothing());
                }
                self.stage = Stage::Srv;
                None
            }
        }
    }

    /// No service has SRV records.
    fn without_service(&mut self) -> Option<Outcome> {
        // What is not known must not be taken for what is not there: the hosts of a domain's name
        // may be somebody else's.
        if self.is_denied || self.fault.is_some() {
            return Some(self.nothing());
        }
        let protocol = usual(&self.spec);
        let host = plain(&self.spec.domain, protocol.default_port());
        self.stage = Stage::Hosts {
            protocol,
            hosts: vec![host],
        };
        None
    }

    fn nothing(&self) -> Outcome {
        Outcome::ResolveFailed(self.fault.unwrap_or(ResolveFault::NotFound))
    }

    /// The SRV names that NAPTR gives for what we speak, best first.
    fn chosen_services(&self) -> VecDeque<(Protocol, String)> {
        let asked = question(&self.spec.domain, Kind::Naptr);
        // Resolvers and firewalls that know no NAPTR are common: no answer is no choice.
        let Some(Answer::Records(records)) = self.answers.get(&asked) else {
            return VecDeque::new();
        };
        let mut usable: Vec<(u16, u16, Protocol, String)> = records
            .iter()
            .take(MAX_RECORDS)
            .filter_map(|record| self.usable(record))
            .collect();
        usable.sort_by_key(|(order, preference, ..)| (*order, *preference));
        let all = usable.into_iter();
        all.map(|(_, _, protocol, name)| (protocol, name)).collect()
    }

    fn usable(&self, record: &Record) -> Option<(u16, u16, Protocol, String)> {
        let Record::Naptr {
            order,
            preference,
            flags,
            service,
            regexp,
            replacement,
        } = record
        else {
            return None;
        };
        let services = [
            ("SIPS+D2T", Protocol::Tls),
            ("SIP+D2T", Protocol::Tcp),
            ("SIP+D2U", Protocol::Udp),
        ];
        let (_, protocol) = services
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(service))?;
        let name = normal(replacement);
        let is_usable = flags.eq_ignore_ascii_case("s")
            && regexp.is_empty()
            && !name.is_empty()
            && self.spec.protocols.contains(&protocol);
        is_usable.then_some((*order, *preference, protocol, name))
    }

    /// The hosts of a service; none if it has none or is not offered.
    fn hosts_of(&mut self, name: &str) -> Vec<Host> {
        let records = match self.answers.get(&question(name, Kind::Srv)) {
            Some(Answer::Records(records)) => records,
            Some(Answer::Failed(fault)) => {
                self.fault = Some(*fault);
                return Vec::new();
            }
            Some(Answer::Absent) | None => return Vec::new(),
        };
        let mut hosts = Vec::new();
        for record in records {
            let Record::Srv {
                priority,
                weight,
                port,
                target,
            } = record
            else {
                continue;
            };
            let name = normal(target);
            if name.is_empty() {
                self.is_denied = true;
            } else if *port != 0 {
                hosts.push(Host {
                    name,
                    priority: *priority,
                    weight: *weight,
                    port: *port,
                });
            }
        }
        // Those that would be tried last are left out.
        hosts.sort_by_key(|host| host.priority);
        hosts.truncate(MAX_RECORDS);
        hosts
    }

    /// The hosts whose addresses are known.
    fn servers(&mut self, hosts: &[Host]) -> Vec<Server> {
        let mut room = MAX_ADDRESSES;
        let mut servers = Vec::new();
        for host in hosts {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for kind in self.kinds() {
                match self.answers.get(&question(&host.name, kind)) {
                    Some(Answer::Records(records)) => {
                        for record in records.iter().take(MAX_RECORDS) {
                            if let Record::Address(address) = record
                                && !addresses.contains(address)
                                && is_reachable(*address)
                            {
                                addresses.push(*address);
                            }
                        }
                    }
                    Some(Answer::Failed(fault)) => self.fault = Some(*fault),
                    Some(Answer::Absent) | None => {}
                }
            }
            addresses.truncate(room);
            room -= addresses.len();
            if !addresses.is_empty() {
                servers.push(Server {
                    priority: host.priority,
                    weight: host.weight,
                    port: host.port,
                    addresses,
                });
            }
        }
        servers
    }
}

/// Addresses that no server can have: sent to, they would come back to ourselves or reach many.
fn is_reachable(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

fn question(name: &str, kind: Kind) -> Question {
    Question {
        name: name.to_owned(),
        kind,
    }
}

fn plain(name: &str, port: u16) -> Host {
    Host {
        name: name.to_owned(),
        priority: 0,
        weight: 0,
        port,
    }
}

/// What is spoken where the domain says nothing: UDP, unless it is not among what we may use.
fn usual(spec: &LocateSpec) -> Protocol {
    match spec.protocols.first() {
        Some(first) if !spec.protocols.contains(&Protocol::Udp) => *first,
        Some(_) | None => Protocol::Udp,
    }
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Service and protocol labels (RFC 3263 §4.1).
const fn label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tls => "_sips._tcp",
        Protocol::Tcp => "_sip._tcp",
        Protocol::Udp => "_sip._udp",
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
