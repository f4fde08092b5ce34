//! Name resolution as data, with delays and failures.

use crate::fault::{Fault, Trouble};
use crate::scenario::Zone;
use crate::topology;
use sbc_core::locate::{Answer, Families, Kind, Question, Record, Step, Walk};
use sbc_core::query::{Outcome, Query, ResolveFault, ResolveSpec, Runner};
use sbc_core::stir::CredentialFault;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Time for the answer to one or more questions that are asked at once.
const ROUND: Duration = Duration::from_millis(3);

/// Answers queries from a fixed zone.
#[derive(Debug)]
pub struct Resolver(BTreeMap<Question, Vec<Record>>);

impl Resolver {
    /// A resolver that knows the zone of the topology.
    pub fn new(form: Zone) -> Self {
        Self(topology::zone(form))
    }

    /// The answer to a query asked at `at`, and how long it takes.
    pub fn answer(&self, at: Duration, query: &Query, faults: &[Fault]) -> (Duration, Outcome) {
        let mut slowness = Duration::ZERO;
        let mut failure = None;
        for fault in faults.iter().filter(|fault| fault.is_on(at)) {
            match fault.trouble {
                Trouble::SlowResolver { by } => slowness = slowness.max(by),
                Trouble::Unresolved { fault } => failure = Some(fault),
                _ => {}
            }
        }
        let (delay, outcome) = match (failure, query) {
            // No server of this world has addresses of both families.
            (_, Query::Race(_)) => (ROUND, Outcome::Won(Runner::First)),
            (_, Query::Verify(_)) => (ROUND, Outcome::Verified(Err(CredentialFault::Unreachable))),
            (Some(fault), _) => (ROUND, Outcome::ResolveFailed(fault)),
            (None, Query::Resolve(spec)) => (ROUND, self.addresses(spec)),
            (None, Query::Locate(spec)) => self.walk(Walk::new(spec.clone())),
        };
        (delay.max(slowness), outcome)
    }

    fn walk(&self, mut walk: Walk) -> (Duration, Outcome) {
        let mut delay = Duration::ZERO;
        loop {
            match walk.step() {
                Step::Done(outcome) => return (delay, outcome),
                Step::Ask(questions) => {
                    delay += ROUND;
                    for question in questions {
                        let records = self.0.get(&question).cloned();
                        let answer = records.map_or(Answer::Absent, Answer::Records);
                        walk.answer(question, answer);
                    }
                }
            }
        }
    }

    fn addresses(&self, spec: &ResolveSpec) -> Outcome {
        let of = |kind| {
            let name = spec.host.to_ascii_lowercase();
            self.0.get(&Question { name, kind }).into_iter().flatten()
        };
        let Families { v4, v6 } = spec.families;
        let of_both = of(Kind::A).chain(of(Kind::Aaaa));
        let records = of_both.filter(|record| match record {
            Record::Address(ip) => (ip.is_ipv4() && v4) || (ip.is_ipv6() && v6),
            Record::Naptr { .. } | Record::Srv { .. } => false,
        });
        let addresses: Vec<SocketAddr> = records
            .filter_map(|record| match record {
                Record::Address(ip) => Some(SocketAddr::new(*ip, spec.port)),
                Record::Naptr { .. } | Record::Srv { .. } => None,
            })
            .collect();
        match addresses.is_empty() {
            true => Outcome::ResolveFailed(ResolveFault::NotFound),
            false => Outcome::Resolved(addresses),
        }
    }
}
