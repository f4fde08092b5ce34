//! No message of one tenant goes where another one's do (I10, SIP-132).

use super::{Checker, Rules, Seen, Violation, call_of};
use crate::topology::{self, NORTH_1, SOUTH, STRANGER, TENANTS};
use crate::wire::host_of;
use sbc_core::time::Timestamp;

pub(super) struct Tenants(Rules);

impl Tenants {
    pub(super) fn new(rules: Rules) -> Self {
        Self(rules)
    }
}

impl Checker for Tenants {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let Seen::Sent {
            actor: Some(actor),
            context,
            wire: Some(wire),
            bytes,
            ..
        } = seen
        else {
            return;
        };
        let mut fail = |rule, text| out.push(Violation { at, rule, text });
        let first = &wire.first;
        if *actor == STRANGER {
            fail("stranger", format!("a stranger was sent {first}"));
        }
        let context = context.map(|context| context.as_str());
        if *actor < NORTH_1 && context.is_none() {
            fail("tenant", format!("{first}: no TLS context towards Teams"));
        }
        if *actor < NORTH_1
            && let Some(contact) = wire.contact()
        {
            let owner = (0..TENANTS.len()).find(|t| topology::fqdn(*t) == host_of(&contact).0);
            if owner.map(|owner| TENANTS[owner]) != context {
                fail(
                    "tenant",
                    format!("{first}: Contact {contact} on a connection of {context:?}"),
                );
            }
        }
        let Some(tenant) = call_of(wire).and_then(|call| self.0.tenants.get(&call)) else {
            return;
        };
        if *actor < NORTH_1 && context != Some(TENANTS[*tenant]) {
            fail(
                "tenant",
                format!(
                    "{first} of {} on a connection of {context:?}",
                    TENANTS[*tenant]
                ),
            );
        }
        if *actor == SOUTH && *tenant != 1 {
            fail(
                "tenant",
                format!(
                    "{first} of {} to a trunk of {}",
                    TENANTS[*tenant], TENANTS[1]
                ),
            );
        }
        let text = String::from_utf8_lossy(bytes);
        for other in (0..TENANTS.len()).filter(|other| other != tenant) {
            if text.contains(TENANTS[other]) {
                fail(
                    "tenant",
                    format!("{first} of {} names {}", TENANTS[*tenant], TENANTS[other]),
                );
            }
        }
    }
}
