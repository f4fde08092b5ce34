//! A 3xx of the called side: whether and where the call goes on (SIP-900).
//!
//! Whoever redirects a call may reach with it what he could have called himself, and nothing else:
//! a new number is routed as a call that arrives from the redirecting trunk, for the same customer.
//! The hosts that a Contact names are never called, with one exception: the same number at another
//! server of the redirecting peer, which its trunk must know by name or address. What a Contact wants replaced is a matter
//! of its own ([`super::replacing`]).

use super::super::places::OtherWay;
use super::super::teardown::Teardown;
use super::super::{A_LEG, Call, Operation, endpoint};
use super::replacing::Replacing;
use super::{Attempt, Failed, Setup};
use crate::cause::{Because, Cause, CauseCode, Decision, EndedBy};
use crate::config::{
    Config, Lookup, Preset, Redirect, TargetAddress, TransformScope, Trunk, UriScheme, UserPhone,
};
use crate::event::Happened;
use crate::id::{LegId, TenantName, TrunkName};
use crate::mint::Mint;
use crate::plane::Cx;
use crate::policy::diversion::{at, reason_of_cause};
use crate::policy::embedded::Embedded;
use crate::policy::identity::our_host;
use crate::policy::ingress::{self, Ingress, KnownBy};
use crate::policy::number::{self, Number};
use crate::policy::{emergency, route, secure};
use crate::session::{Refusal, Rejection};
use crate::sip::header::Contact;
use crate::sip::{Address, Message, SipUri, Status, Token, Uri};
use crate::time::UnixTime;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Most targets that one redirection is followed to.
const MOST_TARGETS: usize = 5;

/// Most redirections that lead to one attempt.
const MOST_LEVELS: usize = 5;

/// Most attempts of one call that redirections may cause.
const MOST_ATTEMPTS: usize = 25;

/// What one call knows of its redirections.
#[derive(Debug)]
pub(in crate::call) struct Redirects {
    /// The customer that the call belongs to.
    tenant: Option<TenantName>,
    /// Calling number after transforms, for the conditions of routes.
    calling: String,
    /// Whether the caller wants security at every hop.
    is_secure: bool,
    /// Numbers and places that the call has been sent to.
    seen: BTreeSet<String>,
    made: usize,
    /// How many targets have been followed.
    named: u16,
    /// What it leads to that calls for help.
    help: Option<Number>,
}

/// Trunks to try, and the way there where it is another one.
type Led = (Vec<Arc<Trunk>>, Option<Arc<OtherWay>>);

/// Where a redirection leads.
#[derive(Debug)]
pub(in crate::call) enum Followed {
    /// To these attempts, in order.
    To(Vec<Attempt>),
    /// Only to where the call has been already.
    Loop,
    /// Nowhere.
    Nowhere,
}

impl Redirects {
    pub(in crate::call) fn new(
        tenant: Option<TenantName>,
        calling: String,
        called: &Number,
        is_secure: bool,
    ) -> Self {
        Self {
            tenant,
            calling,
            is_secure,
            seen: BTreeSet::from([called.number.clone()]),
            made: 0,
            named: 0,
            help: None,
        }
    }

    /// What the last redirection leads to that calls for help.
    pub(in crate::call) fn take_help(&mut self) -> Option<Number> {
        self.help.take()
    }

    /// The attempts that a redirection asks for, and why not others.
    pub(in crate::call) fn follow(
        &mut self,
        config: &Config,
        cx: &mut Cx<'_>,
        attempt: &Attempt,
        response: &Message,
    ) -> (Followed, Because) {
        let trunk = &attempt.trunk;
        let mut because = Because::default();
        if attempt.path.len() >= MOST_LEVELS {
            return (
                Followed::Nowhere,
                because.and("the call has been redirected too often"),
            );
        }
        let mut attempts = Vec::new();
        let mut is_loop = false;
        self.help = None;
        for contact in targets(response) {
            let Some(uri) = contact.uri().cloned() else {
                continue;
            };
            // Nobody is led from a secure way to another (RFC 5630 §5.3).
            if self.is_secure && !secure::is_sips(&uri) {
                because =
                    because.and("not followed: the call is for a sips URI, the target is none");
                continue;
            }
            let Some(number) = Number::of(&uri) else {
                continue;
            };
            let help = self.ways_to_help(config, trunk, &number);
            let scope = TransformScope::In(trunk.name.clone());
            let inside = number::transform_called(config, &scope, &number.number).value;
            let number = match &help {
                Some(_) => Number {
                    number: emergency::bare(&number.number).to_owned(),
                    ..number
                },
                None => Number {
                    number: inside,
                    ..number
                },
            };
            if self.made + attempts.len() >= MOST_ATTEMPTS {
                because = because.and("the call has been redirected too often");
                break;
            }
            let is_same = is_same_number(config, attempt, &number);
            let may_be = |start: &String| number.number.starts_with(start.as_str());
            let all = &trunk.redirect_to;
            if !is_same && help.is_none() && !all.is_empty() && !all.iter().any(may_be) {
                because = because.and(format!(
                    "not followed: trunk \"{}\" may not redirect to {}",
                    trunk.name, number.number
                ));
                continue;
            }
            let calls_help = help.is_some();
            let is_help = !is_same && calls_help;
            let found = match (is_same, help) {
                (true, _) => {
                    same_number(attempt, &uri).map(|trunk| (vec![trunk], attempt.way.clone()))
                }
                (false, Some(trunks)) => Ok((trunks, None)),
                (false, None) => {
                    let drawn = (&mut cx.plane.mint, cx.now.wall);
                    self.other_number(config, drawn, trunk, (&uri, &number))
                }
            };
            let found = found.and_then(|(trunks, way)| {
                let replacing = match calls_help {
                    true => Replacing::nothing(trunks),
                    false => Replacing::of(cx.plane, trunk, &uri, trunks)?,
                };
                Ok((replacing, way))
            });
            let (replacing, way, place) = match found {
                Ok((replacing, way)) => match is_same {
                    true => (replacing, way, place_of(trunk, &uri)),
                    false => (replacing, way, number.number.clone()),
                },
                Err(why) => {
                    because = because.and(why);
                    continue;
                }
            };
            if !self.seen.insert(place) {
                is_loop = true;
                because = because.and(format!("{} has been tried already", number.number));
                continue;
            }
            if is_help {
                self.help.get_or_insert_with(|| number.clone());
            }
            because = because.and(format!(
                "trunk \"{}\" redirects to {}",
                trunk.name, number.number
            ));
            because.0.extend(replacing.left_out.map(str::to_owned));
            let caller = match is_same {
                true => Arc::clone(&attempt.caller),
                false => {
                    let mut caller = (*attempt.caller).clone();
                    let left = response.status().map_or(302, Status::code);
                    // Whoever is told of it gets it at our name.
                    let to = at(&number.number, &uri);
                    caller.trail.redirect(&to, left, cause(&uri));
                    Arc::new(caller)
                }
            };
            let mut asked_for = attempt.asked_for.clone();
            // Where the next redirection leads nobody has the dialog that the last one named.
            for (_, before) in asked_for.iter_mut().filter(|(_, own)| own.replaces()) {
                *before = Arc::new(Embedded::clone(before).replacing(None));
            }
            let embedded = Embedded::of(&uri).replacing(replacing.replacement);
            if !embedded.is_empty() {
                asked_for.push((Arc::clone(trunk), Arc::new(embedded)));
            }
            self.named += 1;
            let mut path = attempt.path.clone();
            path.push(self.named);
            let of_trunk = |trunk| Attempt {
                trunk,
                called: number.clone(),
                caller: Arc::clone(&caller),
                path: path.clone(),
                asked_for: asked_for.clone(),
                way: way.clone(),
                untried: Vec::new(),
            };
            let trunks = replacing.trunks.into_iter();
            attempts.extend(trunks.map(|trunk| (calls_help, of_trunk(trunk))));
        }
        // Whoever asks for help is led to help: limits and bills that do not hold for it hold for what stands beside it.
        if attempts.iter().any(|(calls_help, _)| *calls_help) {
            let before = attempts.len();
            attempts.retain(|(calls_help, _)| *calls_help);
            if attempts.len() < before {
                because = because.and("only where the redirection leads to help is followed");
            }
        }
        let mut attempts: Vec<Attempt> = attempts.into_iter().map(|(_, own)| own).collect();
        attempts.truncate(MOST_ATTEMPTS.saturating_sub(self.made));
        self.made += attempts.len();
        let followed = match (attempts.is_empty(), is_loop) {
            (false, _) => Followed::To(attempts),
            (true, true) => Followed::Loop,
            (true, false) => Followed::Nowhere,
        };
        (followed, because)
    }

    /// The trunks for a number that calls for help (SIP-1400).
    fn ways_to_help(
        &self,
        config: &Config,
        by: &Arc<Trunk>,
        number: &Number,
    ) -> Option<Vec<Arc<Trunk>>> {
        let (ingress, tenant) = (as_caller(config, by), self.tenant.as_ref());
        emergency::ways(config, &ingress, tenant, &number.number, &self.calling)
    }

    /// The trunks that a call of the redirecting peer to this number takes, and the way there.
    fn other_number(
        &self,
        config: &Config,
        (mint, wall): (&mut Mint, UnixTime),
        by: &Arc<Trunk>,
        (uri, number): (&Uri, &Number),
    ) -> Result<Led, String> {
        let ingress = as_caller(config, by);
        let numbers = (number.number.as_str(), self.calling.as_str());
        let plan = route::plan(config, &ingress, numbers, wall, mint)
            .map_err(|refusal| format!("not followed: {}", refusal.because.0.join(", ")))?;
        let way = OtherWay {
            by: ingress.trunk,
            route: plan.value.route,
            called: number.number.clone(),
            calling: self.calling.clone(),
        };
        let attempts = match self.is_secure || secure::is_sips(uri) {
            true => secure::kept(config, plan.value.attempts)
                .map_err(|refusal| format!("not followed: {}", refusal.because.0.join(", ")))?,
            false => plan.value.attempts,
        };
        match Some(&plan.value.tenant) == self.tenant.as_ref() {
            true => Ok((attempts, Some(Arc::new(way)))),
            false => Err(format!(
                "not followed: {} belongs to another customer",
                number.number
            )),
        }
    }
}

/// A call that the peer of a trunk would place.
fn as_caller(config: &Config, by: &Arc<Trunk>) -> Ingress {
    let now = config.trunks.get(&by.name).unwrap_or(by);
    Ingress {
        tenant: by.tenant.clone(),
        ..Ingress::of(now, KnownBy::Dialog)
    }
}

/// What becomes of a redirection.
pub(super) enum Onward {
    /// New attempts stand at the head of the plan.
    Attempts,
    /// The caller is told where to go.
    Caller(Vec<Contact>),
    /// It leads to where the call has been.
    Loop,
    /// It is a failure like any other.
    Nowhere,
}

impl Setup {
    /// Where in the plan the next target stands that a redirection has named beside the one of this attempt.
    pub(super) fn next_target(&self, leg: LegId) -> Option<usize> {
        next_target(&self.attempts, &self.attempt_of(leg)?.path)
    }

    /// That target is next (RFC 3261 §8.1.3.4): what else would lead to the one that was not reached is left out. Says
    /// whether there is one.
    pub(super) fn turns_to_next_target(&mut self, leg: LegId) -> bool {
        let next = self.next_target(leg);
        if let Some(next) = next {
            self.attempts.drain(..next);
        }
        next.is_some()
    }

    /// What the caller is told after the last target of a redirection, if this attempt was one (SIP-314).
    pub(super) fn best_of_targets(&mut self, leg: LegId, last: Failed) -> Failed {
        let attempt = self.attempt_of(leg);
        let is_target = attempt.is_some_and(|own| !own.path.is_empty());
        let says_more = |own: &mut Failed| is_target && own.rank < last.rank;
        self.failure.take_if(says_more).unwrap_or(last)
    }

    /// The trunks that are still to be tried.
    fn planned(&self) -> Vec<TrunkName> {
        let trunks = self.attempts.iter().map(|attempt| &attempt.trunk.name);
        trunks.cloned().collect()
    }

    /// Decides about a 3xx of the present attempt; nothing for what is none. New attempts are put
    /// at the head of the plan, and the media of the one that ends is given back.
    pub(super) fn redirection(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        rejection: &Rejection,
    ) -> Option<Decision<Onward>> {
        let is_redirection = (300..400).contains(&rejection.status.code());
        let response = rejection.said.as_ref().filter(|_| is_redirection)?;
        let onward = self.redirected(call, cx, leg, response);
        if matches!(onward.value, Onward::Attempts) {
            if let Some(called) = self.redirects.take_help() {
                self.is_emergency = true;
                call.becomes_help(cx, EndedBy::A);
                call.tells_of_help(cx, leg, &called);
                self.calls_one(call, cx, leg);
            }
            if self.beside.is_empty() {
                if let Some(a) = call.leg(A_LEG) {
                    a.image.rollback();
                }
                call.media.drop_endpoint(cx, endpoint(leg));
            }
            let what = Happened::Routed {
                trunks: self.planned(),
                route: None,
                because: onward.because.clone(),
            };
            cx.out.emit(Some(call.id), Some(leg), what);
        }
        Some(onward)
    }

    fn redirected(
        &mut self,
        call: &Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        response: &Message,
    ) -> Decision<Onward> {
        let nothing = Decision {
            value: Onward::Nowhere,
            because: Because::default(),
        };
        let Some(attempt) = self.attempt_of(leg).cloned() else {
            return nothing;
        };
        if attempt.trunk.redirect == Redirect::Fail {
            return nothing;
        }
        // Where others are called as well nobody is sent away for one of them.
        if self.at_once && is_for_caller(&self.trunk, &attempt.trunk) {
            return nothing;
        }
        if is_for_caller(&self.trunk, &attempt.trunk) {
            let by = &attempt.trunk;
            let contacts = in_our_name(&call.config, &self.trunk, by, response);
            return match contacts.is_empty() {
                true => nothing,
                false => Decision {
                    value: Onward::Caller(contacts),
                    because: Because::default(),
                },
            };
        }
        let redirects = &mut self.redirects;
        let (followed, because) = redirects.follow(&call.config, cx, &attempt, response);
        let value = match followed {
            Followed::To(attempts) => {
                for attempt in attempts.into_iter().rev() {
                    self.attempts.push_front(attempt);
                }
                Onward::Attempts
            }
            Followed::Loop if !self.at_once => Onward::Loop,
            Followed::Loop => Onward::Nowhere,
            Followed::Nowhere => Onward::Nowhere,
        };
        Decision { value, because }
    }
}

/// Where among attempts the next target stands that a redirection has named beside the one that this path has led to.
pub(in crate::call) fn next_target(attempts: &VecDeque<Attempt>, path: &[u16]) -> Option<usize> {
    let is_other = |own: &Attempt| !path.starts_with(&own.path);
    attempts.iter().position(is_other)
}

/// Tells the caller of a redirection.
pub(super) fn tell_caller(
    call: &mut Call,
    cx: &mut Cx<'_>,
    rejection: &Rejection,
    contacts: Vec<Contact>,
    because: Because,
) -> Option<Operation> {
    let refusal = Refusal {
        status: rejection.status,
        contacts,
        ..Refusal::default()
    };
    if let Some(a) = call.leg(A_LEG) {
        a.session.refuse(cx, &refusal);
    }
    let cause = Cause {
        by: EndedBy::B,
        code: CauseCode::PeerRejected,
        status: Some(rejection.status.code()),
        q850: None,
        because: because.and("the caller is told where to go"),
    };
    let teardown = Teardown::begin(call, cx, cause, rejection.status, &[]);
    Some(Operation::Teardown(teardown))
}

/// The trunk with the one server that a redirection names for the same number.
fn same_number(attempt: &Attempt, uri: &Uri) -> Result<Arc<Trunk>, String> {
    let trunk = &attempt.trunk;
    let host = uri.host().ok_or("not followed: no host is named")?;
    let Some(usual) = trunk.targets.first() else {
        return Err("not followed: its trunk has no target".to_owned());
    };
    let known = trunk
        .targets
        .iter()
        .find(|target| host.is_name(&target.host));
    let is_own_address = host
        .ip()
        .is_some_and(|address| ingress::accepts_source(trunk, address.to_canonical()));
    if known.is_none() && !is_own_address {
        return Err(format!(
            "not followed: {} is no server of trunk \"{}\"",
            host, trunk.name
        ));
    }
    let target = TargetAddress {
        host: host.to_string(),
        port: uri.port().unwrap_or(usual.protocol.default_port()),
        // Never another protocol: a redirection must not take TLS away.
        protocol: usual.protocol,
        lookup: match uri.port() {
            Some(_) => Lookup::Addresses,
            None => known.map_or(Lookup::Servers, |known| known.lookup),
        },
        connect_to: known
            .map(|target| target.connect_to.clone())
            .unwrap_or_default(),
    };
    Ok(Arc::new(Trunk {
        targets: vec![target],
        ..(**trunk).clone()
    }))
}

fn is_same_number(config: &Config, attempt: &Attempt, number: &Number) -> bool {
    let scope = TransformScope::Out(attempt.trunk.name.clone());
    let dialled = number::transform_called(config, &scope, &attempt.called.number).value;
    number.number == attempt.called.number || number.number == dialled
}

/// How one server is told from another in the list of what was tried.
fn place_of(trunk: &Trunk, uri: &Uri) -> String {
    let host = uri.host().map(|host| host.to_string());
    let port = uri.port().unwrap_or_default();
    format!("{} {}:{port}", trunk.name, host.unwrap_or_default())
}

/// Targets of a redirection that can be called, by preference. 305 asks for a proxy that the peer
/// chooses, and 380 for another service: neither is a place to call.
fn targets(response: &Message) -> Vec<Contact> {
    let mut contacts = contacts(response);
    if matches!(response.status().map(Status::code), Some(305 | 380)) {
        return Vec::new();
    }
    contacts.sort_by_key(|contact| std::cmp::Reverse(contact.q_milli()));
    // What has expired is no place any more (RFC 3261 §20.10).
    let is_place = |contact: &Contact| {
        let is_called = !matches!(contact.uri(), Some(Uri::Other(_)) | None);
        is_called && contact.expires_s() != Some(0)
    };
    contacts.retain(is_place);
    contacts.truncate(MOST_TARGETS);
    contacts
}

fn contacts(response: &Message) -> Vec<Contact> {
    response.list::<Contact>().unwrap_or_default()
}

/// Why the call is redirected: the cause that the target itself carries (RFC 4458), else
/// unconditionally.
fn cause(uri: &Uri) -> u16 {
    let told = uri.params().and_then(|params| params.value("cause"));
    told.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
        .filter(|cause| reason_of_cause(*cause).is_some())
        .unwrap_or(302)
}

/// Whether the caller itself is to follow: never Teams, which does not (TDR-SIP-035).
fn is_for_caller(a: &Trunk, by: &Trunk) -> bool {
    by.redirect == Redirect::Pass && a.preset != Preset::Teams
}

/// The targets of a redirection for the caller: the same numbers at our name (SIP-420).
fn in_our_name(config: &Config, a: &Trunk, by: &Trunk, response: &Message) -> Vec<Contact> {
    let Some(listener) = a
        .listeners
        .first()
        .and_then(|name| config.listeners.get(name))
    else {
        return Vec::new();
    };
    let port = match listener.advertised.port() {
        5060 => None,
        port => Some(port),
    };
    let own = |contact: Contact| {
        let number = Number::of(contact.uri()?)?;
        let scope = TransformScope::In(by.name.clone());
        let inside = number::transform_called(config, &scope, &number.number).value;
        let mut own = SipUri::new(our_host(a, listener));
        own.is_sips = a.habits.uri_scheme == UriScheme::Sips;
        own.set_user_text(inside.as_bytes()).ok()?;
        own.port = port;
        let is_phone = match a.uri.user_phone {
            UserPhone::Always => true,
            UserPhone::Never => false,
            UserPhone::Pass => number.is_phone,
        };
        if is_phone {
            own.params
                .set("user", Some(Bytes::from_static(b"phone")))
                .ok()?;
        }
        Some(valued_as(&contact, own.into()))
    };
    targets(response).into_iter().filter_map(own).collect()
}

/// A place of ours for one that the peer has named: preferred as much among the others, and valid as long.
fn valued_as(named: &Contact, own: Uri) -> Contact {
    let mut own = Address::new(own);
    let is_number = |text: &Bytes| {
        let mut octets = text.iter();
        text.len() <= 10 && octets.all(|octet| octet.is_ascii_digit() || *octet == b'.')
    };
    for name in ["q", "expires"] {
        let value = named.address().and_then(|own| own.params.get(name));
        if let (Some(value), Ok(name)) = (value, Token::parse(name))
            && is_number(value.content())
        {
            own.params.set(name, Some(value.clone()));
        }
    }
    own.into()
}
