//! Calls for help: how they are recognised, where they go, and what of them passes that of other
//! calls stays behind (SIP-1400 to SIP-1404, RFC 5031, RFC 6442).
//!
//! Whoever may place calls through us may place these: nothing but the source of a call is asked
//! for. Limits, draining and the number of attempts do not apply to them.

use crate::cause::Because;
use crate::config::{Config, Preset, Route, Tenant, Trunk};
use crate::id::TenantName;
use crate::policy::identity::Caller;
use crate::policy::ingress::Ingress;
use crate::policy::isup;
use crate::policy::number::Number;
use crate::policy::place::Place;
use crate::policy::route;
use crate::sip::body::{self, Body, Part};
use crate::sip::header::ContentType;
use crate::sip::{HeaderName, Message, Method, Uri};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A call for help and where it goes.
#[derive(Clone, Debug)]
pub struct Emergency {
    /// The customer that it comes from, if it is one's.
    pub tenant: Option<TenantName>,
    /// The number as it was dialled; that of the customer's list for a service URN.
    pub called: Number,
    /// Every trunk that may carry it, in order.
    pub attempts: Vec<Arc<Trunk>>,
    /// The place that it comes from.
    pub place: Place,
    /// How it was recognised, and which routes lead where.
    pub because: Because,
}

/// The number behind `urn:service:sos` where a customer has no list.
const USUAL: &str = "112";

/// Longest wait for the first response of a target.
const PATIENCE: Duration = Duration::from_secs(6);

/// For how long after its answer a call for help is not ended because nobody refreshes the session
/// (SIP-1405).
pub const SPARED: Duration = Duration::from_secs(30 * 60);

/// How long a call for help may ring, or wait in the queue of those who help, whatever limit other calls have:
/// both sides may have gone without a word.
pub const LONGEST_SETUP: Duration = Duration::from_secs(3_600);

/// How routes name a location that does not say how it was found, or none.
const UNSAID: &str = "NONE";

/// Most trunks that are tried.
const MOST_ATTEMPTS: usize = 32;

/// Whether an INVITE calls for help, and then where it goes. `calling` is the number after
/// transforms.
pub fn decide(
    config: &Config,
    ingress: &Ingress,
    message: &Message,
    caller: &Caller,
    calling: &str,
) -> Option<Emergency> {
    let uri = message.uri().ok()?;
    let owner = || {
        let calling = route::owner(config, None, calling);
        calling.or_else(|| route::owner(config, None, &caller.calling.number.number))
    };
    let tenant = ingress.tenant.as_ref().or_else(owner);
    let of_tenant = tenant
        .and_then(|name| config.tenants.get(name))
        .map(Arc::as_ref);
    let (called, sign) = recognise(config, uri, message, ingress, of_tenant)?;
    let mut routes = config.routes.iter();
    let is_for_help = routes.any(|route| {
        route.when.emergency
            && route::matches(route, ingress, tenant, None, &called.number, calling)
    });
    if sign == Sign::Claim && !is_for_help && ingress.trunk.preset != Preset::Teams {
        // Somebody says so, and nothing that the operator wrote agrees. Teams marks what its customer's
        // policy makes a call for help, and nothing that a user could write (TDR-EMG-003).
        return None;
    }
    let place = Place::of(of_tenant, ingress, message, calling);
    let method = place.method.as_deref();
    let (attempts, names) = plan(config, ingress, tenant, &called.number, calling, method);
    let mut because = Because::of(format!("{} calls for help: {}", called.number, sign.text()));
    if let Some(method) = method {
        because = because.and(format!("its location was found by {method}"));
    }
    if let Some(fault) = place.fault {
        because = because.and(format!("its location cannot be read: {fault}"));
    }
    because.0.extend(place.because.0.iter().cloned());
    for name in names {
        because = because.and(format!("route \"{name}\" may carry it"));
    }
    Some(Emergency {
        tenant: tenant.cloned(),
        called,
        attempts,
        place,
        because,
    })
}

/// Whether what was dialled calls for help, by the service's name or by the customer's list.
fn is_dialled(config: &Config, ingress: &Ingress, message: &Message) -> bool {
    let Ok(uri) = message.uri() else {
        return false;
    };
    if uri.is_sos() {
        return true;
    }
    let Some(called) = Number::of(uri) else {
        return false;
    };
    is_number(config, ingress.tenant.as_ref(), &called.number)
}

/// Most digits that a number for help has which dial plans put a plus before. No number of E.164 is so short, and
/// `+49112` may be one (TDR-EMG-001).
const SHORT: usize = 5;

/// A short number without the plus that a rule for all numbers has put before it; others as they are.
pub fn bare(dialled: &str) -> &str {
    match dialled.strip_prefix('+') {
        Some(digits) if (1..=SHORT).contains(&digits.len()) => digits,
        _ => dialled,
    }
}

/// Whether a number that was dialled is in the list of this customer, or in anybody's. A plus before a short one
/// does not count.
pub fn is_number(config: &Config, tenant: Option<&TenantName>, dialled: &str) -> bool {
    let dialled = bare(dialled);
    let in_list = |tenant: &Tenant| tenant.emergency.iter().any(|own| own == dialled);
    match tenant {
        Some(name) => config.tenants.get(name).is_some_and(|own| in_list(own)),
        // Whose call it is would take long to find out; no customer has such a number otherwise.
        None => config.tenants.values().any(|own| in_list(own)),
    }
}

/// The trunks for a number that somebody is transferred or redirected to, if it calls for help: as if whoever sends
/// him there had dialled it.
pub fn ways(
    config: &Config,
    by: &Ingress,
    tenant: Option<&TenantName>,
    dialled: &str,
    calling: &str,
) -> Option<Vec<Arc<Trunk>>> {
    if !is_number(config, tenant, dialled) {
        return None;
    }
    let (trunks, _) = plan(config, by, tenant, bare(dialled), calling, None);
    (!trunks.is_empty()).then_some(trunks)
}

/// Whether a request seems to call for help, by what was dialled or by the mark of a trusted peer: cheap, for when
/// there is no time to look closer. Its parts are for whoever helps to understand.
pub fn seems(config: &Config, ingress: &Ingress, message: &Message) -> bool {
    let is_marked = || has_priority(message) || has_location(message);
    is_dialled(config, ingress, message) || (ingress.trunk.trusted && is_marked())
}

/// The numbers by which customers call for help, for a shell that sorts what it has not read yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HelpNumbers(BTreeSet<String>);

impl HelpNumbers {
    /// Those of all customers.
    pub fn of(config: &Config) -> Self {
        let lists = config.tenants.values().map(|tenant| &tenant.emergency);
        Self(lists.flatten().cloned().collect())
    }

    /// Whether this seems to be an INVITE that calls for help, by its number or by a mark: who it comes from is
    /// not known yet. It is asked of every INVITE, so numbers are compared as they are written, and of a location
    /// only its header counts.
    pub fn are_called_by(&self, message: &Message) -> bool {
        *message.method() == Method::Invite
            && (has_priority(message)
                || message.has(HeaderName::Geolocation)
                || message.uri().is_ok_and(|uri| {
                    let user = uri.user().and_then(|user| std::str::from_utf8(user).ok());
                    uri.is_sos() || user.is_some_and(|user| self.0.contains(bare(user)))
                }))
    }
}

/// What shows that a call is one for help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    /// The Request-URI names the service.
    Urn,
    /// The number is in the customer's list, or in anybody's where no customer is known.
    Number,
    /// A trusted peer marks it, by priority or by a location.
    Claim,
}

impl Sign {
    const fn text(self) -> &'static str {
        match self {
            Self::Urn => "its Request-URI is urn:service:sos",
            Self::Number => "the number is in a customer's list",
            Self::Claim => "a trusted peer marks it",
        }
    }
}

/// Before any transform: what was dialled counts (TDR-EMG-001).
fn recognise(
    config: &Config,
    uri: &Uri,
    message: &Message,
    ingress: &Ingress,
    tenant: Option<&Tenant>,
) -> Option<(Number, Sign)> {
    if uri.is_sos() {
        let number = tenant.and_then(|tenant| tenant.emergency.first());
        let number = number.map_or(USUAL, String::as_str).to_owned();
        let called = Number {
            raw: String::from_utf8_lossy(&message.request_uri()).into_owned(),
            number,
            ..Number::default()
        };
        return Some((called, Sign::Urn));
    }
    let called = Number::of(uri)?;
    // On a shared trunk a caller may be nobody's, and needs help all the same.
    let whose = tenant.map(|tenant| &tenant.name);
    if is_number(config, whose, &called.number) {
        let number = bare(&called.number).to_owned();
        let called = Number { number, ..called };
        return Some((called, Sign::Number));
    }
    let is_marked = ingress.trunk.trusted && (has_priority(message) || has_location(message));
    is_marked.then_some((called, Sign::Claim))
}

fn has_priority(message: &Message) -> bool {
    let value = message.raw(HeaderName::Priority);
    value.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"emergency"))
}

fn has_location(message: &Message) -> bool {
    body::parts(message).is_ok_and(|parts| parts.iter().any(is_location))
}

pub(super) fn is_location(part: &Part) -> bool {
    part.content_type
        .as_ref()
        .is_some_and(|kind| kind.is("application", "pidf+xml"))
}

/// Routes for calls for help first, then every other that would take the call; each trunk once. How the
/// location was found says which of the former come first, never that there is no way (TDR-EMG-004).
fn plan<'c>(
    config: &'c Config,
    ingress: &Ingress,
    tenant: Option<&TenantName>,
    called: &str,
    calling: &str,
    method: Option<&str>,
) -> (Vec<Arc<Trunk>>, Vec<&'c str>) {
    let mut attempts: Vec<Arc<Trunk>> = Vec::new();
    let mut names = Vec::new();
    for (wants_help, fits) in [(true, true), (true, false), (false, true)] {
        let routes = config.routes.iter().filter(|route| {
            let mut methods = route.when.location_methods.iter();
            let is_wanted =
                methods.len() == 0 || methods.any(|own| own == method.unwrap_or(UNSAID));
            route.when.emergency == wants_help
                && is_wanted == fits
                && route::matches(route, ingress, tenant, None, called, calling)
        });
        for route in routes {
            let before = attempts.len();
            for trunk in trunks_of(config, route, tenant) {
                let is_new = !attempts.iter().any(|have| have.name == trunk.name);
                if is_new && attempts.len() < MOST_ATTEMPTS {
                    attempts.push(patient(trunk));
                }
            }
            if attempts.len() > before {
                names.push(route.name.as_str());
            }
        }
    }
    (attempts, names)
}

/// The trunks of a route that may carry calls of the customer: its own and shared ones, and those
/// of others where the operator opened a route to everybody in need.
fn trunks_of<'c>(
    config: &'c Config,
    route: &'c Route,
    tenant: Option<&'c TenantName>,
) -> impl Iterator<Item = &'c Arc<Trunk>> {
    route.to.iter().flat_map(move |target| {
        let own = config.trunks_for(&target.trunk, tenant);
        let anybodys = config.trunks.get(&target.trunk);
        let anybodys = anybodys.filter(|trunk| route.any_tenant && trunk.tenant.is_some());
        own.chain(anybodys)
    })
}

/// The trunk, with no more patience for a silent target than somebody in need has.
fn patient(trunk: &Arc<Trunk>) -> Arc<Trunk> {
    if trunk.timers.response_timeout <= PATIENCE {
        return Arc::clone(trunk);
    }
    let mut own = (**trunk).clone();
    own.timers.response_timeout = PATIENCE;
    Arc::new(own)
}

/// Header lines of a call for help that pass unchanged beside those that pass in every call.
pub fn passed(message: &Message, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    if !to.send_location {
        return Vec::new();
    }
    let values = |name: HeaderName, line: Bytes| match &name {
        HeaderName::Geolocation | HeaderName::Priority => vec![(name, line)],
        HeaderName::CallInfo => {
            let values = super::alert::values(&line).into_iter();
            let values = values.filter(|value| is_emergency_data(value));
            values.map(|value| (name.clone(), value)).collect()
        }
        own if own.as_str().eq_ignore_ascii_case("Geolocation-Routing") => vec![(name, line)],
        _ => Vec::new(),
    };
    message
        .headers()
        .flat_map(|line| values(line.name(), line.value()))
        .filter(|(_, value)| value.len() <= LONGEST_DATA && super::header::has_no_controls(value))
        .take(super::header::MOST)
        .collect()
}

/// Longest line of a call for help that passes, in octets: locations may have several long references.
const LONGEST_DATA: usize = 8 * 1_024;

/// A value of `Call-Info` with data about an emergency call (RFC 7852), not an icon to fetch.
fn is_emergency_data(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let purposes = text.split("purpose=").skip(1);
    let mut purposes = purposes.map(|purpose| purpose.trim_start_matches('"'));
    let is_wanted = |purpose: &str| {
        purpose.starts_with("emergencycalldata.")
            || purpose.starts_with("emergency-")
            || purpose.starts_with("nena-")
    };
    let mut is_any = false;
    let are_all = purposes.all(|purpose| {
        is_any = true;
        is_wanted(purpose)
    });
    is_any && are_all
}

/// Parts that pass beside our description, octet by octet with their headers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Parts {
    /// In order.
    pub sections: Vec<Bytes>,
    /// How many of them stand before the description.
    pub before: usize,
}

/// Parts of the body that pass unchanged: all but the description, because Geolocation and Call-Info refer to
/// their Content-ID, and who helps may know more of them than we do (TDR-EMG-002, RFC 7852). ISUP goes only where it is
/// spoken, as in every call: elsewhere it is understood by nobody, and may say who calls. Where the law of the trunk keeps
/// hidden who calls for help, it stays behind with what else would name him, as it does of a caller with these wishes in
/// any call (SIP-1011).
pub fn parts(message: &Message, speaker: isup::Speaker, from: &Trunk, to: &Trunk) -> Parts {
    if !to.send_location {
        return Parts::default();
    }
    let is_kept_hidden = isup::stays(message, speaker, from, to);
    let stays: fn(&ContentType) -> bool = match isup::passes(from, to) && !is_kept_hidden {
        true => |_| false,
        false => isup::is_isup,
    };
    let (sections, before) = body::beside_description(message, stays).unwrap_or_default();
    Parts { sections, before }
}

impl Parts {
    /// A body of our description, if there is one, and the parts, each in its place. Nothing if there are neither.
    pub fn with(&self, description: Option<Bytes>, boundary: &str) -> Option<Body> {
        Body::of(description, &self.sections, self.before, boundary)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }
}
