//! Limits on calls: those of `[[limit]]`, and what is kept free for calls for help.

use super::{Load, titled};
use crate::config::finding::Code;
use crate::config::limit::WrittenLimits;
use crate::config::money::{self, Rates};
use crate::config::source::At;
use crate::config::value::is_number_start;
use crate::config::written::File;
use crate::config::{NumberLimit, Route};
use crate::id::{TenantName, TrunkName};
use crate::policy::number::ANONYMOUS;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Load<'_> {
    pub(super) fn build_limits(&mut self, file: &File) -> Vec<NumberLimit> {
        let mut names = BTreeSet::new();
        let mut limits = Vec::with_capacity(file.number_limits.len());
        for written in &file.number_limits {
            self.once("limit", &written.name, &mut names);
            let title = titled("limit", &written.name.value);
            let tenant = written.tenant.as_ref().map(|name| {
                self.tenants.find(name, &title, &mut self.out);
                TenantName::new(&name.value)
            });
            let trunk = written.trunk.as_ref().map(|name| {
                self.trunks.find(name, &title, &mut self.out);
                TrunkName::new(&name.value)
            });
            limits.push(NumberLimit {
                name: written.name.value.clone(),
                tenant,
                trunk,
                called: self.beginnings(&title, "called", &written.called),
                calling: self.beginnings(&title, "calling", &written.calling),
                each: written.each.as_ref().map(|at| at.value).unwrap_or_default(),
                limits: written.limits.checked(&title, &mut self.out),
            });
        }
        limits
    }

    /// What calls cost. A limit on money is of no use where nothing has a price.
    pub(super) fn build_rates(&mut self, file: &File) -> Rates {
        let rates = money::rates(&file.rates, &mut self.out);
        let of_trunks = file.trunks.iter().flat_map(|trunk| {
            let limits = &trunk.limits;
            [&limits.both, &limits.inbound, &limits.outbound]
        });
        let all = of_trunks
            .chain(file.tenants.iter().map(|tenant| &tenant.limits))
            .chain(file.routes.iter().map(|route| &route.limits))
            .chain(file.number_limits.iter().map(|limit| &limit.limits));
        for limit in all.filter_map(WrittenLimits::spending) {
            if rates.is_empty() {
                self.out.add(
                    Code::Contradiction,
                    &limit.span,
                    "money is limited, but no call has a price",
                    Some("write [[rate]] with prefix and per_minute".to_owned()),
                );
            }
        }
        rates
    }

    pub(super) fn beginnings(
        &mut self,
        title: &str,
        key: &str,
        written: &[At<String>],
    ) -> Vec<String> {
        let is_caller = |at: &At<String>| key == "calling" && at.value == ANONYMOUS;
        for at in written
            .iter()
            .filter(|at| !is_number_start(&at.value) && !is_caller(at))
        {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!(
                    "{title}: {key} \"{}\" is no beginning of a number",
                    at.value.escape_debug()
                ),
                Some("write digits as the numbers have them after the transforms, such as \"+49900\"".to_owned()),
            );
        }
        written.iter().map(|at| at.value.clone()).collect()
    }

    /// A trunk that a route for help leads to keeps two of its calls free for them, unless the
    /// operator says otherwise or there are few (SIP-1401).
    pub(super) fn reserve_for_help<'r>(&mut self, routes: impl Iterator<Item = &'r Route>) {
        let for_help = routes.filter(|route| route.when.emergency);
        for target in for_help.flat_map(|route| &route.to) {
            let Some((trunk, _)) = self.trunks.valid.get_mut(&target.trunk) else {
                continue;
            };
            let limits = trunk.limits.both;
            let has_room = limits.calls.is_some_and(|calls| calls >= ENOUGH_TO_RESERVE);
            if has_room && limits.reserve.is_none() {
                Arc::make_mut(trunk).limits.both.reserve = Some(USUAL_RESERVE);
            }
        }
    }
}

/// Calls that are kept free for calls for help where nothing is written.
const USUAL_RESERVE: u32 = 2;

/// Fewest calls of a trunk of which some are kept free unasked.
const ENOUGH_TO_RESERVE: u32 = 10;
