//! The whole as a graph: what is right by itself and wrong together.

use super::Load;
use super::routing::RoutePlaces;
use crate::config::finding::Code;
use crate::config::source::{At, Span};
use crate::config::written::File;
use crate::config::{
    IpNet, Listener, NumberRange, Preset, Realm, Route, RouteMatch, Trunk, UriScheme, VerifyClient,
    is_same_name,
};
use crate::id::{ListenerName, TenantName, TrunkName};
use crate::transport::Protocol;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

impl Load<'_> {
    pub(super) fn check_graph(&mut self, file: &File, routes: &[(Route, RoutePlaces)]) {
        self.overlapping_media_ports(file);
        self.listeners_among_media_ports();
        self.metrics_port(file);
        self.overlapping_numbers(file);
        self.ambiguous_ingress();
        self.bypass_apart(file);
        self.schemes();
        self.shared_realms(file);
        self.tenant_crossings(routes);
        self.unreachable_routes(routes);
        self.unused_trunks(routes);
        self.presence_of_routes(routes);
        self.shared_listeners();
        self.downstreams_not_called(file, routes);
        self.open_transit(routes);
    }

    fn overlapping_media_ports(&mut self, file: &File) {
        let realms: Vec<(&Realm, &Span)> = file
            .realms
            .iter()
            .filter_map(|written| {
                let name = crate::id::RealmName::new(&written.name.value);
                let (realm, declared) = self.realms.valid.get(&name)?;
                // Of two realms with one name only the first is meant.
                let is_first = *declared == written.name.span;
                is_first.then_some((realm.as_ref(), &written.ports.as_ref()?.span))
            })
            .collect();
        for (index, (realm, span)) in realms.iter().enumerate() {
            let rival = realms.iter().take(index).find(|(other, _)| {
                let shares_address = (realm.v4.is_some() && realm.v4 == other.v4)
                    || (realm.v6.is_some() && realm.v6 == other.v6);
                shares_address
                    && realm.ports.start() <= other.ports.end()
                    && other.ports.start() <= realm.ports.end()
            });
            if let Some((rival, _)) = rival {
                self.out.add(
                    Code::PortConflict,
                    span,
                    format!(
                        "realm \"{}\": ports overlap those of realm \"{}\" on the same address",
                        realm.name, rival.name
                    ),
                    Some("give each realm ports of its own".to_owned()),
                );
            }
        }
    }

    fn listeners_among_media_ports(&mut self) {
        let mut found = Vec::new();
        for (listener, span) in self.listeners.valid.values() {
            if listener.protocol != Protocol::Udp {
                continue;
            }
            let realm = self
                .realms
                .valid
                .values()
                .map(|(realm, _)| realm)
                .find(|realm| {
                    let is_local = match listener.bind.ip() {
                        IpAddr::V4(address) => realm.v4 == Some(address),
                        IpAddr::V6(address) => realm.v6 == Some(address),
                    };
                    is_local && realm.ports.contains(&listener.bind.port())
                });
            if let Some(realm) = realm {
                found.push((
                    span.clone(),
                    format!(
                        "port {} lies among the media ports of realm \"{}\"",
                        listener.bind.port(),
                        realm.name
                    ),
                ));
            }
        }
        for (span, cause) in found {
            let help = Some("move the listener, or the media ports".to_owned());
            self.out.add(Code::PortConflict, &span, cause, help);
        }
    }

    fn metrics_port(&mut self, file: &File) {
        let Some(At { value, span }) = &file.metrics else {
            return;
        };
        let is_same = |listener: &Listener| {
            listener.protocol != Protocol::Udp
                && listener.bind.port() == value.port()
                && (listener.bind.ip() == value.ip() || value.ip().is_unspecified())
        };
        let rival = self
            .listeners
            .valid
            .values()
            .find(|(listener, _)| is_same(listener));
        if let Some((rival, _)) = rival {
            let cause = format!(
                "listener \"{}\" uses port {} already",
                rival.name,
                value.port()
            );
            let help = Some("serve metrics on another port".to_owned());
            self.out.add(Code::PortConflict, span, cause, help);
        }
    }

    /// No two tenants may own a number, else a call could reach the wrong customer. Local numbers may be
    /// those of several: only trunks of a customer's own lead to them (TDR-MT-011).
    fn overlapping_numbers(&mut self, file: &File) {
        let mut ranges: Vec<(&NumberRange, bool, &str, &Span)> = file
            .tenants
            .iter()
            .flat_map(|tenant| {
                let name = tenant.name.value.as_str();
                let numbers = tenant.numbers.iter().map(|at| (at, false));
                let all = numbers.chain(tenant.local_numbers.iter().map(|at| (at, true)));
                all.map(move |(at, is_local)| (&at.value, is_local, name, &at.span))
            })
            .collect();
        // Numbers of one length compare as text.
        ranges.sort_by(|(a, ..), (b, ..)| {
            (a.first.len(), &a.first, &a.last).cmp(&(b.first.len(), &b.first, &b.last))
        });
        // What reaches furthest so far: of numbers, and of local ones.
        let mut reach: [Option<(&NumberRange, &str)>; 2] = [None, None];
        for (range, is_local, tenant, span) in ranges {
            let [numbers, local] = reach;
            for (before, owner) in numbers.into_iter().chain(local.filter(|_| !is_local)) {
                if before.last.len() != range.first.len()
                    || range.first > before.last
                    || owner == tenant
                {
                    continue;
                }
                self.out.add(
                    Code::NumberOverlap,
                    span,
                    format!(
                        "tenant \"{tenant}\": {}-{} overlaps {}-{} of tenant \"{owner}\"",
                        range.first, range.last, before.first, before.last
                    ),
                    Some(
                        "a number can belong to one tenant only; numbers that a trunk of the tenant's own \
                         tells apart are written as local_numbers by each that has them"
                            .to_owned(),
                    ),
                );
            }
            let own = &mut reach[usize::from(is_local)];
            if own.is_none_or(|(before, _)| {
                before.last.len() != range.last.len() || before.last < range.last
            }) {
                *own = Some((range, tenant));
            }
        }
    }

    /// Requests of one source must belong to one trunk (SIP-1600).
    fn ambiguous_ingress(&mut self) {
        let trunks: Vec<_> = self.trunks.valid.values().collect();
        // Every two of them are compared.
        let sources: Vec<_> = trunks.iter().map(|(trunk, _)| sources(trunk)).collect();
        let mut by_listener: BTreeMap<&ListenerName, Vec<Heard<'_>>> = BTreeMap::new();
        for ((trunk, span), sources) in trunks.iter().zip(&sources) {
            for listener in &trunk.listeners {
                let all = by_listener.entry(listener).or_default();
                all.push((trunk, span, sources));
            }
        }
        let mut found: BTreeSet<(Span, TrunkName, TrunkName)> = BTreeSet::new();
        for trunks in by_listener.values() {
            for (index, (trunk, span, sources)) in trunks.iter().enumerate() {
                for (other, other_span, other_sources) in trunks.iter().take(index) {
                    if trunk.fqdn == other.fqdn
                        && share_source(sources, other_sources)
                        && self.share_identity(trunk, other)
                        // Who proves himself is known by what he proves.
                        && trunk.authenticate.is_none()
                        && other.authenticate.is_none()
                        // Each has a contact of its own, which nobody else knows.
                        && !(trunk.register.is_some() && other.register.is_some())
                        && !trunk.habits.tie_break.excludes(&other.habits.tie_break)
                    {
                        // The finding belongs to the one that was written later.
                        let (span, later, earlier) = match span > other_span {
                            true => ((*span).clone(), &trunk.name, &other.name),
                            false => ((*other_span).clone(), &other.name, &trunk.name),
                        };
                        found.insert((span, later.clone(), earlier.clone()));
                    }
                }
            }
        }
        for (span, later, earlier) in found {
            self.out.add(
                Code::AmbiguousIngress,
                &span,
                format!(
                    "trunk \"{later}\": its requests could also be those of trunk \"{earlier}\""
                ),
                Some(
                    "give them different listeners, source ranges, certificates, or names \
                     (fqdn) that the peer writes into the Request-URI, or write tie_break = \
                     { called = [\"…\"] } with numbers that are called over one of them only"
                        .to_owned(),
                ),
            );
        }
    }

    /// What promises security at every hop must be able to keep it (SIP-134).
    fn schemes(&mut self) {
        let mut found = Vec::new();
        for (trunk, span) in self.trunks.valid.values() {
            if trunk.habits.uri_scheme != UriScheme::Sips {
                continue;
            }
            let is_plain = |name: &ListenerName| {
                let listener = self.listeners.valid.get(name);
                listener.is_some_and(|(listener, _)| listener.protocol != Protocol::Tls)
            };
            let (cause, help) = if trunk.preset == Preset::Teams {
                ("Teams knows no sips URIs", "remove uri_scheme")
            } else if trunk.listeners.iter().any(is_plain) {
                (
                    "sips URIs promise TLS, and it is reached without",
                    "use targets with ;tls only, or uri_scheme = \"sip\"",
                )
            } else {
                continue;
            };
            found.push((
                span.clone(),
                format!("trunk \"{}\": {cause}", trunk.name),
                help,
            ));
        }
        for (span, cause, help) in found {
            self.out
                .add(Code::Contradiction, &span, cause, Some(help.to_owned()));
        }
    }

    fn share_identity(&self, one: &Trunk, two: &Trunk) -> bool {
        if one.tls != two.tls {
            // A connection is verified in one context; it proves nothing to the other.
            return one.tls.is_none() && two.tls.is_none();
        }
        let Some((context, _)) = one.tls.as_ref().and_then(|name| self.tls.valid.get(name)) else {
            return true;
        };
        if context.verify_client == VerifyClient::Off
            || one.accept_names.is_empty()
            || two.accept_names.is_empty()
        {
            return true;
        }
        one.accept_names.iter().any(|a| {
            two.accept_names
                .iter()
                .any(|b| is_same_name(a, b, true) || is_same_name(b, a, true))
        })
    }

    fn tenant_crossings(&mut self, routes: &[(Route, RoutePlaces)]) {
        for (route, places) in routes {
            let Some(tenant) = self.tenant_of_route(route).filter(|_| !route.any_tenant) else {
                continue;
            };
            for (target, span) in route.to.iter().zip(&places.to) {
                let owner = self
                    .trunks
                    .valid
                    .get(&target.trunk)
                    .and_then(|(trunk, _)| trunk.tenant.clone());
                let is_hosted = !self.hosting.derived(&target.trunk, &tenant).is_empty();
                let owner = owner.filter(|owner| *owner != tenant && !is_hosted);
                if let Some(owner) = owner {
                    self.out.add(
                        Code::TenantCrossing,
                        span,
                        format!(
                            "route \"{}\": trunk \"{}\" belongs to tenant \"{owner}\", the calls to \
                             tenant \"{tenant}\"",
                            route.name, target.trunk
                        ),
                        Some("use a trunk of the same tenant, or a shared one".to_owned()),
                    );
                }
            }
        }
    }

    /// Whose calls take a route, if its conditions say so.
    fn tenant_of_route(&self, route: &Route) -> Option<TenantName> {
        let when = &route.when;
        // From a carrier trunk come the calls of all customers that it hosts.
        let from = when.from_trunk.as_ref();
        let owner = from
            .filter(|name| !self.hosting.is_carrier(name))
            .and_then(|name| self.trunks.valid.get(name))
            .and_then(|(trunk, _)| trunk.tenant.clone());
        owner.or_else(|| when.tenant.clone())
    }

    fn unreachable_routes(&mut self, routes: &[(Route, RoutePlaces)]) {
        let mut found = Vec::new();
        for (index, (route, places)) in routes.iter().enumerate() {
            let owner = self.tenant_of_route(route);
            if let (Some(owner), Some(wanted)) = (&owner, &route.when.tenant)
                && owner != wanted
            {
                found.push((
                    places.name.clone(),
                    format!(
                        "route \"{}\": calls from its trunk belong to tenant \"{owner}\", never to \
                         \"{wanted}\"",
                        route.name
                    ),
                ));
                continue;
            }
            let shadow = routes.iter().take(index).find(|(earlier, _)| {
                holds_whenever(&earlier.when, &route.when)
                    && (earlier.schedule.is_none() || earlier.schedule == route.schedule)
                    && self.serves_all(earlier, owner.as_ref())
            });
            if let Some((earlier, _)) = shadow {
                found.push((
                    places.name.clone(),
                    format!(
                        "route \"{}\" is never chosen: route \"{}\" before it takes its calls",
                        route.name, earlier.name
                    ),
                ));
            }
        }
        for (span, cause) in found {
            let help = Some("put the narrower route first, or remove this one".to_owned());
            self.out.add(Code::UnreachableRoute, &span, cause, help);
        }
    }

    /// Whether a route has a trunk for every call that another route would get.
    fn serves_all(&self, route: &Route, owner: Option<&TenantName>) -> bool {
        route.to.iter().any(|target| {
            let trunk = self.trunks.valid.get(&target.trunk);
            let is_hosted =
                owner.is_some_and(|owner| !self.hosting.derived(&target.trunk, owner).is_empty());
            is_hosted
                || trunk.is_some_and(|(trunk, _)| {
                    trunk.tenant.is_none() || trunk.tenant.as_ref() == owner
                })
        })
    }

    fn unused_trunks(&mut self, routes: &[(Route, RoutePlaces)]) {
        if routes.is_empty() {
            return;
        }
        let used: BTreeSet<&TrunkName> = routes
            .iter()
            .flat_map(|(route, _)| route.to.iter().map(|target| &target.trunk))
            .collect();
        let unused: Vec<(TrunkName, Span)> = self
            .trunks
            .valid
            .iter()
            .filter(|(name, (trunk, _))| {
                let is_used = used.iter().any(|used| trunk.is_of(used));
                !is_used && !self.hosting.is_carrier(name)
            })
            .map(|(name, (_, span))| (name.clone(), span.clone()))
            .collect();
        for (name, span) in unused {
            self.out.add(
                Code::UnusedTrunk,
                &span,
                format!("no route leads to trunk \"{name}\""),
                Some(
                    "calls can only come from it; add a [[route]] if they should also go there"
                        .to_owned(),
                ),
            );
        }
    }
}

impl Load<'_> {
    /// What reaches the listener of Teams is to be Teams (TDR-SEC-002). Source, certificate and name tell others
    /// from it all the same, so this is no error.
    fn shared_listeners(&mut self) {
        let is_teams = |trunk: &Trunk| trunk.preset == Preset::Teams;
        let of_teams: BTreeMap<&ListenerName, &TrunkName> = self
            .trunks
            .valid
            .values()
            .filter(|(trunk, _)| is_teams(trunk))
            .flat_map(|(trunk, _)| trunk.listeners.iter().map(|own| (own, &trunk.name)))
            .collect();
        let mut found = Vec::new();
        for (trunk, span) in self.trunks.valid.values().filter(|(own, _)| !is_teams(own)) {
            let mut shared = trunk.listeners.iter();
            let shared = shared.find_map(|own| Some((own, of_teams.get(own)?)));
            if let Some((listener, teams)) = shared {
                let cause = format!(
                    "trunk \"{}\": its peer comes to listener \"{listener}\", which is that of Teams \
                     (trunk \"{teams}\")",
                    trunk.name
                );
                found.push((span.clone(), cause));
            }
        }
        for (span, cause) in found {
            let help = "give it a realm, or a [[listen]] with a TLS identity and port, of its own";
            self.out
                .add(Code::SharedListener, &span, cause, Some(help.to_owned()));
        }
    }

    /// A proxy sends calls on to the SBC that its media are to reach (TDR-LMO-010).
    fn downstreams_not_called(&mut self, file: &File, routes: &[(Route, RoutePlaces)]) {
        for written in &file.trunks {
            let local = written.local_media.as_ref();
            let Some(at) = local.and_then(|local| local.downstream.as_ref()) else {
                continue;
            };
            let name = TrunkName::new(&written.name.value);
            let downstream = TrunkName::new(&at.value);
            let is_led = routes.iter().any(|(route, _)| {
                let from = route.when.from_trunk.as_ref();
                from.is_none_or(|from| *from == name)
                    && route.to.iter().any(|to| to.trunk == downstream)
            });
            if !is_led && !routes.is_empty() && self.trunks.valid.contains_key(&downstream) {
                self.out.add(
                    Code::DownstreamNotCalled,
                    &at.span,
                    format!(
                        "trunk \"{name}\": local_media: no route leads its calls to \"{downstream}\", so that \
                         their media never go past us"
                    ),
                    Some(format!(
                        "write a [[route]] with match = {{ from_trunk = \"{name}\" }} and to = [{{ trunk = \
                         \"{downstream}\" }}]"
                    )),
                );
            }
        }
    }
}

impl Load<'_> {
    /// A route that does not say where its calls come from takes those of carriers too: whoever calls from there
    /// may be led out again on the customer's account (SEC-003). Trunks that everybody may use are no such
    /// source, because a call from there belongs to the owner of its number; nor are those whose peer proves who
    /// it is.
    fn open_transit(&mut self, routes: &[(Route, RoutePlaces)]) {
        let trunks = &self.trunks.valid;
        let mut found = Vec::new();
        for (route, places) in routes {
            let when = &route.when;
            if when.emergency || when.from_trunk.is_some() || when.called_in.is_some() {
                continue;
            }
            let is_out = |trunk: &&Trunk| {
                trunk.preset == Preset::Carrier
                    && trunk.authenticate.is_none()
                    && trunk.registrar.is_none()
            };
            let outward = route.to.iter().find_map(|target| {
                let (trunk, _) = trunks.get(&target.trunk)?;
                is_out(&&**trunk).then_some(trunk)
            });
            let Some(outward) = outward else { continue };
            let sources = trunks.values().map(|(trunk, _)| &**trunk);
            let inward = sources.filter(is_out).find(|trunk| {
                let is_served =
                    |owner: &Option<TenantName>| owner.is_none() || *owner == trunk.tenant;
                trunk.tenant.is_some() && is_served(&when.tenant) && is_served(&outward.tenant)
            });
            if let Some(inward) = inward {
                let cause = format!(
                    "route \"{}\": calls that come from trunk \"{}\" may go out by trunk \"{}\"",
                    route.name, inward.name, outward.name
                );
                found.push((places.name.clone(), cause));
            }
        }
        for (span, cause) in found {
            let help = "say whose calls it takes: match = { from_trunk = \"…\" }";
            self.out
                .add(Code::OpenTransit, &span, cause, Some(help.to_owned()));
        }
    }
}

/// Whether every call that meets `narrow` meets `wide` too, as far as equal conditions tell.
fn holds_whenever(wide: &RouteMatch, narrow: &RouteMatch) -> bool {
    fn covers<T: PartialEq>(wide: &Option<T>, narrow: &Option<T>) -> bool {
        wide.is_none() || wide == narrow
    }
    let pattern = |wide: &Option<Regex>, narrow: &Option<Regex>| {
        covers(
            &wide.as_ref().map(Regex::as_str),
            &narrow.as_ref().map(Regex::as_str),
        )
    };
    let (methods, fewer) = (&wide.location_methods, &narrow.location_methods);
    let takes_methods = methods.is_empty()
        || (!fewer.is_empty() && fewer.iter().all(|method| methods.contains(method)));
    takes_methods
        && wide.emergency == narrow.emergency
        && covers(&wide.from_trunk, &narrow.from_trunk)
        && covers(&wide.tenant, &narrow.tenant)
        && covers(&wide.called_in, &narrow.called_in)
        && pattern(&wide.called, &narrow.called)
        && pattern(&wide.calling, &narrow.calling)
        && pattern(&wide.diverting, &narrow.diverting)
        && pattern(&wide.routing_number, &narrow.routing_number)
}

/// A trunk as a listener hears it: where it was written, and the ranges it accepts.
type Heard<'a> = (&'a Arc<Trunk>, &'a Span, &'a [IpNet]);

fn share_source(one: &[IpNet], two: &[IpNet]) -> bool {
    let meets = |net: &IpNet| two.iter().any(|other| net.overlaps(other));
    one.iter().any(meets)
}

/// Ranges a trunk accepts: as written, else the addresses of its targets.
fn sources(trunk: &Trunk) -> Vec<IpNet> {
    if !trunk.accept_from.is_empty() {
        return trunk.accept_from.clone();
    }
    trunk
        .targets
        .iter()
        .flat_map(|target| {
            let literal = target.host.parse::<IpAddr>().ok();
            literal
                .into_iter()
                .chain(target.connect_to.iter().map(SocketAddr::ip))
        })
        .map(|address| IpNet {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        })
        .collect()
}
