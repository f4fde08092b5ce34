//! Tenants, transforms and routes.

use super::{Load, titled};
use crate::auth::Password;
use crate::config::finding::Code;
use crate::config::source::{At, Span};
use crate::config::user;
use crate::config::written::{File, WrittenHop, WrittenRoute, WrittenTenant, WrittenTransform};
use crate::config::{
    Elin, NumberRange, Preset, Route, RouteMatch, RouteTarget, Tenant, Transform, TransformScope,
    Trunk,
};
use crate::id::{RouteName, TenantName, TransformName, TrunkName};
use crate::record::{KeptNumbers, RecordNumbers};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Where the interesting keys of a route were written.
pub(super) struct RoutePlaces {
    pub(super) name: Span,
    /// One for each target.
    pub(super) to: Vec<Span>,
    pub(super) presence: Option<Span>,
}

impl Load<'_> {
    pub(super) fn build_tenants(&mut self, file: &File) {
        let key = file.cdr.as_ref().and_then(|cdr| cdr.number_key.as_ref());
        let number_key = key.map(|at| {
            // Who has none cuts numbers until it is there, and all else works.
            let (read, _) = self.lacking(true, |load| load.shared_secret("cdr", "number_key", at));
            read
        });
        for written in &file.tenants {
            let is_new = self.tenants.declare(&written.name, &mut self.out);
            if written.name.value == "*" || !is_new {
                continue;
            }
            let name = TenantName::new(&written.name.value);
            let tenant = Tenant {
                name: name.clone(),
                numbers: ranges(&written.numbers),
                local_numbers: ranges(&written.local_numbers),
                emergency: self.emergency_numbers(written),
                elins: self.elins(written),
                elin_from_location: written
                    .elin_from_location
                    .as_ref()
                    .is_some_and(|at| at.value),
                elin_callback: self.elin_callback(written),
                users: user::checked(
                    &titled("tenant", name.as_str()),
                    &written.users,
                    written.presence_every(),
                    &mut self.out,
                ),
                limits: written
                    .limits
                    .checked(&titled("tenant", name.as_str()), &mut self.out),
                record_numbers: self.record_numbers(written, number_key.as_ref()),
            };
            self.tenants
                .valid
                .insert(name, (Arc::new(tenant), written.name.span.clone()));
        }
    }

    /// How records of a customer's calls show numbers. `key` is what is to make names of them, if that is written and can
    /// be read.
    fn record_numbers(
        &mut self,
        written: &WrittenTenant,
        key: Option<&Option<Password>>,
    ) -> RecordNumbers {
        let Some(at) = &written.record_numbers else {
            return RecordNumbers::Full;
        };
        match (at.value, key) {
            (KeptNumbers::Full, _) => RecordNumbers::Full,
            (KeptNumbers::Hashed, Some(Some(key))) => RecordNumbers::Hashed(key.clone()),
            (KeptNumbers::Cut, _) | (KeptNumbers::Hashed, Some(None)) => RecordNumbers::Cut,
            (KeptNumbers::Hashed, None) => {
                let title = titled("tenant", &written.name.value);
                self.out.add(
                    Code::MissingKey,
                    &at.span,
                    format!("{title}: nothing says with which key numbers are hashed"),
                    Some(
                        "write number_key = { file = \"…\" } in [cdr], or record_numbers = \"cut\""
                            .to_owned(),
                    ),
                );
                RecordNumbers::Cut
            }
        }
    }

    fn emergency_numbers(&mut self, written: &WrittenTenant) -> Vec<String> {
        let numbers = written.emergency.as_ref();
        let numbers = numbers
            .map(|list| list.value.as_slice())
            .unwrap_or_default();
        for at in numbers {
            let is_number = (2..=15).contains(&at.value.len())
                && at.value.bytes().all(|digit| digit.is_ascii_digit());
            if !is_number {
                self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{}: emergency \"{}\" is nothing that is dialled",
                        titled("tenant", &written.name.value),
                        at.value.escape_debug()
                    ),
                    Some("write the digits as they are dialled, such as \"112\"".to_owned()),
                );
            }
        }
        numbers.iter().map(|at| at.value.clone()).collect()
    }

    /// A customer whose users are at Teams, or register with us, can call for help, and its operator should have said by
    /// which numbers, or that nobody does (TDR-EMG-001, SIP-1400).
    pub(super) fn unheard_help(&mut self, file: &File) {
        for written in file.tenants.iter().filter(|own| own.emergency.is_none()) {
            let is_its = |trunk: &Trunk| {
                let tenant = trunk.tenant.as_ref();
                let has_users = trunk.preset == Preset::Teams || trunk.registrar.is_some();
                has_users && tenant.is_some_and(|own| own.as_str() == written.name.value)
            };
            let mut trunks = self.trunks.valid.values();
            if trunks.any(|(trunk, _)| is_its(trunk)) {
                self.out.add(
                    Code::NoEmergency,
                    &written.name.span,
                    format!(
                        "{}: it has users and no numbers that call for help: their calls to 112 or 911 are like all \
                         others",
                        titled("tenant", &written.name.value)
                    ),
                    Some(
                        "write emergency = [\"112\"] with the numbers of its country, or emergency = [] if nobody \
                         there can call for help"
                            .to_owned(),
                    ),
                );
            }
        }
    }

    /// The numbers of a tenant's places. Whether their trunks are there is seen once those are known.
    fn elins(&mut self, written: &WrittenTenant) -> Vec<Elin> {
        let title = titled("tenant", &written.name.value);
        let is_own = |number: &str| {
            let mut ranges = written.numbers.iter().chain(&written.local_numbers);
            ranges.any(|range| range.value.contains(number))
        };
        for number in written.elins.iter().flat_map(|place| &place.numbers) {
            if !is_own(&number.value) {
                self.out.add(
                    Code::BadForm,
                    &number.span,
                    format!(
                        "{title}: elin \"{}\" is no number of the tenant, so nobody could call back",
                        number.value.escape_debug()
                    ),
                    Some("add it to numbers, in the form \"+493023125990\"".to_owned()),
                );
            }
        }
        let places = written.elins.iter().map(|place| Elin {
            callers: place.callers.iter().map(|at| at.value.clone()).collect(),
            trunk: place.trunk.as_ref().map(|at| TrunkName::new(&at.value)),
            numbers: place.numbers.iter().map(|at| at.value.clone()).collect(),
        });
        places.collect()
    }

    /// For how long calls back are led to who called for help.
    fn elin_callback(&mut self, written: &WrittenTenant) -> Duration {
        let Some(at) = &written.elin_callback else {
            return ELIN_CALLBACK;
        };
        if at.value > LONGEST_ELIN_CALLBACK {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!(
                    "{}: elin_callback is longer than a day, and the number would be nobody else's for so long",
                    titled("tenant", &written.name.value)
                ),
                Some("write \"45m\", or \"0s\" to lead nobody back after the call".to_owned()),
            );
        }
        at.value
    }

    /// In which ways the location of a call for help may have been found.
    fn location_methods(&mut self, written: &WrittenRoute, title: &str) -> Vec<String> {
        let Some(list) = &written.location_methods else {
            return Vec::new();
        };
        if !written.emergency.as_ref().is_some_and(|at| at.value) {
            self.out.add(
                Code::Contradiction,
                &list.span,
                format!("{title}: only calls for help have a location_method"),
                Some("add emergency = true to its match, or remove location_method".to_owned()),
            );
        }
        let is_word = |word: &str| {
            (1..=32).contains(&word.len())
                && word.bytes().all(|octet| {
                    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.')
                })
        };
        for at in list.value.iter().filter(|at| !is_word(&at.value)) {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!(
                    "{title}: location_method \"{}\" is no word",
                    at.value.escape_debug()
                ),
                Some(
                    "write such as \"LIS\", \"ASSIST\", \"CLS\" or \"MANUAL\", and \"none\" for a location that does not say"
                        .to_owned(),
                ),
            );
        }
        let words = list.value.iter().map(|at| at.value.to_ascii_uppercase());
        words.collect()
    }

    /// Whether the trunks that `elin` names are there.
    pub(super) fn check_elins(&mut self, file: &File) {
        for tenant in &file.tenants {
            let title = titled("tenant", &tenant.name.value);
            for trunk in tenant.elins.iter().filter_map(|place| place.trunk.as_ref()) {
                self.trunks.find(trunk, &title, &mut self.out);
            }
        }
    }

    pub(super) fn build_transforms(&mut self, file: &File) -> Vec<Transform> {
        let mut names = BTreeSet::new();
        self.check_recorded(&file.transforms);
        file.transforms
            .iter()
            .filter_map(|written| {
                self.once("transform", &written.name, &mut names);
                self.transform(written)
            })
            .collect()
    }

    pub(super) fn once<'f>(
        &mut self,
        kind: &str,
        name: &'f At<String>,
        names: &mut BTreeSet<&'f str>,
    ) {
        if !names.insert(&name.value) && !name.value.is_empty() {
            self.out.add(
                Code::DuplicateName,
                &name.span,
                format!("there is another {kind} \"{}\"", name.value),
                Some("give each its own name".to_owned()),
            );
        }
    }

    fn transform(&mut self, written: &WrittenTransform) -> Option<Transform> {
        let title = titled("transform", &written.name.value);
        let trunk = written.trunk.as_ref();
        if let Some(name) = trunk {
            self.trunks.find(name, &title, &mut self.out);
        }
        let is_outbound = written.is_inbound.as_ref().is_some_and(|at| !at.value);
        let mut calling = self.rules(&format!("{title}: calling"), &written.calling, false);
        let mut called = self.rules(&format!("{title}: called"), &written.called, is_outbound);
        let title_of = format!("{title}: redirecting");
        let mut redirecting = self.rules(&title_of, &written.redirecting, false);
        if let (Some(plan), Some(dir)) = (&written.plan, &written.is_inbound) {
            let rules = self.plan_rules(&title, plan, dir.value);
            if !redirecting.is_empty() {
                redirecting.extend(rules.iter().cloned());
            }
            calling.extend(rules.iter().cloned());
            called.extend(rules);
        }
        let record = self.records(&title, &written.record);
        let trunk = TrunkName::new(&trunk?.value);
        Some(Transform {
            name: TransformName::new(&written.name.value),
            scope: match written.is_inbound.as_ref()?.value {
                true => TransformScope::In(trunk),
                false => TransformScope::Out(trunk),
            },
            calling,
            called,
            redirecting,
            record,
        })
    }

    pub(super) fn pattern(&mut self, title: &str, written: &At<String>) -> Option<Regex> {
        let compiled = match written.value.len() > LONGEST_PATTERN {
            true => Err(format!("has more than {LONGEST_PATTERN} characters")),
            false => RegexBuilder::new(&written.value)
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_BYTES)
                .build()
                .map_err(|fault| match fault {
                    regex::Error::CompiledTooBig(_) => "is too large when compiled".to_owned(),
                    fault => fault
                        .to_string()
                        .lines()
                        .last()
                        .map_or_else(String::new, |line| format!("does not compile: {line}")),
                }),
        };
        match compiled {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                self.out.add(
                    Code::BadPattern,
                    &written.span,
                    format!("{title}: the pattern {why}"),
                    Some("write a regular expression such as '^0([1-9]\\d+)$'".to_owned()),
                );
                None
            }
        }
    }

    pub(super) fn replacement(&mut self, title: &str, pattern: &Regex, set: &At<String>) {
        for group in groups(&set.value) {
            let is_there = match group.parse::<usize>() {
                Ok(number) => number < pattern.captures_len(),
                Err(_) => pattern.capture_names().flatten().any(|name| name == group),
            };
            if !is_there {
                let help = match pattern.captures_len() - 1 {
                    0 => "put what it stands for into ( ) in the pattern".to_owned(),
                    1 => "write $1, or ${1} where letters or digits follow".to_owned(),
                    count => {
                        format!("write $1 to ${count}, or ${{1}} where letters or digits follow")
                    }
                };
                self.out.add(
                    Code::BadReplacement,
                    &set.span,
                    format!("{title}: the pattern has no group \"{group}\""),
                    Some(help),
                );
            }
        }
    }

    pub(super) fn build_routes(&mut self, file: &File) -> Vec<(Route, RoutePlaces)> {
        let mut names = BTreeSet::new();
        file.routes
            .iter()
            .filter_map(|written| {
                self.once("route", &written.name, &mut names);
                self.route(written)
            })
            .collect()
    }

    fn route(&mut self, written: &WrittenRoute) -> Option<(Route, RoutePlaces)> {
        let title = titled("route", &written.name.value);
        let from_trunk = written.from_trunk.as_ref().map(|name| {
            self.trunks.find(name, &title, &mut self.out);
            TrunkName::new(&name.value)
        });
        let tenant = written.tenant.as_ref().map(|name| {
            self.tenants.find(name, &title, &mut self.out);
            TenantName::new(&name.value)
        });
        let called_in = written.called_in.as_ref().and_then(|at| {
            let Some(name) = at.value.strip_prefix("tenant:") else {
                self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{title}: called_in \"{}\" names no tenant",
                        at.value.escape_debug()
                    ),
                    Some(match self.tenants.written.contains(&at.value) {
                        true => format!("write \"tenant:{}\"", at.value),
                        false => "write \"tenant:\" and the tenant's name".to_owned(),
                    }),
                );
                return None;
            };
            let name = At::new(name.to_owned(), at.span.clone());
            self.tenants.find(&name, &title, &mut self.out);
            Some(TenantName::new(&name.value))
        });
        let mut pattern = |key: &str, written: &Option<At<String>>| {
            let written = written.as_ref()?;
            self.pattern(&format!("{title}: {key}"), written)
        };
        let called = pattern("called", &written.called);
        let calling = pattern("calling", &written.calling);
        let diverting = pattern("diverting", &written.diverting);
        let routing_number = pattern("routing_number", &written.routing_number);
        let emergency = written.emergency.as_ref().is_some_and(|at| at.value);
        let location_methods = self.location_methods(written, &title);
        if let Some(at) = written
            .any_tenant
            .as_ref()
            .filter(|at| at.value && !emergency)
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: only calls for help may take trunks of other tenants"),
                Some("add emergency = true to its match, or remove any_tenant".to_owned()),
            );
        }
        let schedule = self.schedule_of(written, &title);
        let targets = written.to.as_ref()?;
        if targets.value.is_empty() {
            return None;
        }
        let mut to = Vec::new();
        let mut places = Vec::new();
        for WrittenHop { trunk, weight } in &targets.value {
            self.trunks.find(trunk, &title, &mut self.out);
            let name = TrunkName::new(&trunk.value);
            if to.iter().any(|target: &RouteTarget| target.trunk == name) {
                self.out.add(
                    Code::DuplicateName,
                    &trunk.span,
                    format!("{title}: trunk \"{name}\" is there twice"),
                    Some("a trunk tries all its targets by itself; name it once".to_owned()),
                );
            }
            to.push(RouteTarget {
                trunk: name,
                weight: weight.as_ref().map_or(100, |at| at.value as u8),
            });
            places.push(trunk.span.clone());
        }
        let route = Route {
            name: RouteName::new(&written.name.value),
            when: RouteMatch {
                from_trunk,
                tenant,
                called_in,
                called,
                calling,
                diverting,
                routing_number,
                emergency,
                location_methods,
            },
            any_tenant: written.any_tenant.as_ref().is_some_and(|at| at.value),
            to,
            max_attempts: written
                .max
                .as_ref()
                .map_or(DEFAULT_ATTEMPTS, |at| at.value as u8),
            at_once: written.at_once.as_ref().is_some_and(|at| at.value),
            presence: written.presence.as_ref().map(|at| at.value),
            schedule,
            limits: written.limits.checked(&title, &mut self.out),
        };
        let places = RoutePlaces {
            name: match written.name.value.is_empty() {
                true => written.span.clone(),
                false => written.name.span.clone(),
            },
            to: places,
            presence: written.presence.as_ref().map(|at| at.span.clone()),
        };
        Some((route, places))
    }
}

fn ranges(written: &[At<NumberRange>]) -> Vec<NumberRange> {
    written.iter().map(|at| at.value.clone()).collect()
}

/// Attempts of a call when the route does not say (SIP-1704 allows six).
const DEFAULT_ATTEMPTS: u8 = 3;

/// For how long calls back are led to who called for help, where the configuration does not say: those
/// who help call back within the hour, and the number is wanted again.
const ELIN_CALLBACK: Duration = Duration::from_secs(45 * 60);

/// Longest such time.
const LONGEST_ELIN_CALLBACK: Duration = Duration::from_secs(24 * 3_600);

/// Longest pattern, in bytes.
const LONGEST_PATTERN: usize = 1024;

/// Most memory of a compiled pattern, in bytes: a load of thousands of rules must stay small.
const PATTERN_BYTES: usize = 1 << 20;

/// Groups that a replacement refers to, by the rules of the regex crate: `$name` takes the longest
/// run of word characters, `${name}` what is between the braces, `$$` is a dollar sign.
pub(super) fn groups(set: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = set;
    while let Some(at) = rest.find('$') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((name, after)) = after.split_once('}') else {
                return groups;
            };
            groups.push(name);
            rest = after;
        } else {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if !name.is_empty() {
                groups.push(name);
            }
            rest = after;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn groups_are_found_as_the_regex_crate_reads_them() {
        assert_eq!(groups("+49$1"), ["1"]);
        assert_eq!(groups("$1a"), ["1a"]);
        assert_eq!(groups("${1}0$name$$5"), ["1", "name"]);
        assert!(groups("+$").is_empty() && groups("${x").is_empty());
    }
}
