//! A new INVITE: numbers, limits and route, and the call that it becomes.

use super::{Core, Entry, arrived, dropped};
use crate::call::{Admitted, Call, Entrance, Room, room};
use crate::cause::{Because, CauseCode};
use crate::config::{DidSource, RouteMatch, TransformScope, Trunk};
use crate::effect::Effects;
use crate::event::{DropCode, Happened};
use crate::id::{CallId, LegId, TransactionId};
use crate::plane::Cx;
use crate::policy::admission::{self, Standing, Subject};
use crate::policy::circle::{self, Reach, Sign};
use crate::policy::elin::Lent;
use crate::policy::emergency::Emergency;
use crate::policy::ingress::{self, Ingress};
use crate::policy::number::{self, Number};
use crate::policy::recorded::{self, Numbers};
use crate::policy::route::{Asked, Plan};
use crate::policy::{
    Refusal, bound, dialled, emergency, identity, presence, route, screening, secure, spend,
};
use crate::record::PlaceRecord;
use crate::session::LegStyle;
use crate::sip::{HeaderName, Message, Status};
use crate::time::Now;
use crate::transport::Flow;
use crate::trunk::Closing;
use std::sync::Arc;

impl Core {
    /// More digits of a number that is being called already: what was dialled before was not all of
    /// it (SIP-580).
    fn dialled_on(&mut self, now: Now, message: &Message, trunk: &Trunk, out: &mut Effects) {
        let calls = &self.calls;
        let call = |id: &CallId| calls.get(id).map(|entry| &entry.call);
        let dialling = &mut self.plane.dialling;
        dialling.retain(|id| call(id).is_some_and(Call::is_set_up));
        let is_earlier =
            |id: &&CallId| call(id).is_some_and(|own| own.is_dialled_by(message, trunk));
        let earlier: Vec<CallId> = dialling.iter().filter(is_earlier).copied().collect();
        for id in earlier {
            self.with_call(now, id, out, |call, cx| call.is_outdialled(cx));
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one arrival, used in one place"
    )]
    pub(super) fn invited(
        &mut self,
        now: Now,
        id: TransactionId,
        flow: &Flow,
        message: Message,
        mut ingress: Ingress,
        style: &LegStyle,
        out: &mut Effects,
    ) {
        let config = Arc::clone(&self.plane.config);
        let because = ingress::because(&ingress, flow);
        let mut caller = identity::caller(&message, &ingress.trunk);
        let scope = TransformScope::In(ingress.trunk.name.clone());
        let calling = number::transform_calling(&config, &scope, &caller.selected.number);
        let help = emergency::decide(&config, &ingress, &message, &caller, &calling.value);
        let is_sent_away = self.is_unrecorded || self.sends_away(now, &ingress.trunk);
        let is_full = !is_sent_away && !self.live.enter(config.limits.calls);
        let is_taken = !is_sent_away && !is_full;
        if !is_taken && help.is_none() {
            arrived(None, None, flow, &message, out);
            let why = match self.is_unrecorded {
                true => DropCode::Unrecorded,
                false => DropCode::Overload,
            };
            dropped(why, flow, out);
            return self.reply(now, id, &message, style, Status::SERVICE_UNAVAILABLE, out);
        }
        if !is_taken {
            self.live.add();
        }
        if ingress.trunk.overlap {
            self.dialled_on(now, &message, &ingress.trunk, out);
        }
        self.ends_adrift(now, &message, &ingress.trunk, out);
        let call_id = self.plane.mint.call(now.wall);
        arrived(Some(call_id), Some(LegId(0)), flow, &message, out);
        let screened = match help.is_some() {
            true => Ok(None),
            false => screening::screen(&config, &ingress, &mut caller),
        };
        let calling = number::transform_calling(&config, &scope, &caller.selected.number);
        let mut because = because;
        because.0.extend(calling.because.0);
        let standing = self.plane.standings.get(&ingress.trunk.name);
        let own_user = standing.and_then(|standing| standing.contact_user.as_deref());
        let source = ingress.trunk.register.as_ref();
        let source = source.map_or(DidSource::RequestUri, |register| register.did_source);
        let called = |uri| number::called_of(&message, uri, source, own_user);
        let (called, nameless) = match message.uri().map(called) {
            Ok(Ok(called)) => (called, None),
            // Every Request-URI can be read here; without a number it leads nowhere.
            Ok(Err(refusal)) => (no_number(&message), Some(refusal)),
            Err(_) => (no_number(&message), None),
        };
        let (changed, is_service) = number::translate_called(&config, &scope, &called.number);
        because.0.extend(changed.because.0);
        if is_service {
            caller.trail.translate(&changed.value);
        }
        let called_raw = called.raw.clone();
        let elins = &self.plane.elins;
        let whose = match help.is_some() || elins.is_empty() {
            true => None,
            false => route::owner(&config, ingress.tenant.as_ref(), &changed.value).cloned(),
        };
        let whose = whose.filter(|own| ingress.tenant.as_ref().is_none_or(|of| of == own));
        let sought = whose.as_ref();
        let sought = sought.and_then(|own| elins.caller_of(now.mono, own, &changed.value));
        // Who only claimed a number must not have calls to the customer led there.
        let tenant = whose.as_ref().and_then(|own| config.tenants.get(own));
        let sought = sought.filter(|who| tenant.is_some_and(|own| own.has(who)));
        let is_call_back = sought.is_some();
        if is_call_back {
            // Who called for help may have a number that tells nothing without its customer.
            ingress.tenant = whose;
        }
        let called = called.changed(match sought {
            Some(caller) => {
                let lent = format!("{} is lent to {caller}, who called for help", changed.value);
                because.0.push(lent);
                caller
            }
            None => changed.value,
        });
        let from_closed = match is_call_back {
            true => None,
            false => self.plane.closed.refuses(now.mono, &ingress.trunk),
        };
        let mut reach = Reach::of(&message);
        let mut lap = None;
        let plan = match (reach.refusal(), nameless) {
            (Some(refusal), _) | (None, Some(refusal)) => Err(refusal),
            (None, None) => circle::forwarded_too_often(&caller)
                .or_else(|| reach.refusal_below(ingress.trunk.least_hops))
                .or_else(|| bound::refusal(&message, &ingress.trunk))
                .or_else(|| dialled::impossible(&called.number))
                .or_else(|| caller.privacy.refusal())
                .or_else(|| closed_to(&ingress.trunk, from_closed))
                .or_else(|| screened.as_ref().err().cloned())
                .map_or(Ok(()), Err)
                .and_then(|()| {
                    let key = circle::Key::of(&caller, &called.number, ingress.trunk.name.as_str());
                    let sign = Sign::of(&config.node.id, key);
                    sign.refusal(&message).map_or(Ok(()), Err)?;
                    reach.sign = Some(sign);
                    lap = Some(self.plane.circles.enter(key, reach.hops)?);
                    // Read only where a route asks for it: most never do.
                    let is_asked = |asks: fn(&RouteMatch) -> bool| {
                        config.routes.iter().any(|route| asks(&route.when))
                    };
                    let diverting = is_asked(|when| when.diverting.is_some());
                    let diverting = diverting.then(|| caller.trail.diverting()).flatten();
                    let diverting = diverting.map(|number| {
                        number::transform_redirecting(&config, &scope, &number.number).value
                    });
                    let ported = is_asked(|when| when.routing_number.is_some());
                    let ported = ported.then(|| message.uri().ok()).flatten();
                    let ported = ported.and_then(number::routing_number);
                    let known = (&self.plane.presences, &self.plane.talking);
                    let callee = || {
                        if help.is_some() || is_call_back {
                            return None;
                        }
                        let own = ingress.tenant.as_ref();
                        let owner = || route::owner(&config, own, &called.number);
                        let tenant = own.or_else(owner)?;
                        presence::callee(now.mono, &config, known, tenant, &called.number)
                    };
                    let asked = Asked {
                        called: &called.number,
                        calling: &calling.value,
                        diverting: diverting.as_deref(),
                        routing: ported.as_deref(),
                        wall: now.wall,
                        callee: &callee,
                        closing: &|trunk| self.plane.closed.of(trunk),
                    };
                    let (mint, explains) = (&mut self.plane.mint, self.plane.explains);
                    route::plan_for(&config, &ingress, asked, mint, explains)
                }),
        };
        let is_emergency = help.is_some();
        let is_secure = secure::is_asked(&message);
        let place = self.place(now, call_id, help.as_ref(), &ingress, &calling.value, out);
        if let Some(elin) = place.as_ref().and_then(|place| place.elin.as_ref()) {
            because
                .0
                .push(format!("its place is called back at {elin}"));
        }
        let called = help.as_ref().map_or(called, |help| help.called.clone());
        let (tenant, plan, route) = match (help, plan) {
            (Some(help), plan) => {
                because.0.extend(help.because.0);
                let plan = match (reach.refusal(), plan) {
                    // A circle helps nobody; anything else that is against the call does not count.
                    (Some(refusal), _) => Err(refusal),
                    (None, Err(refusal)) if help.attempts.is_empty() => Err(refusal),
                    // Where no new calls are wanted, help is called when nowhere else is left.
                    (None, _) => Ok({
                        let mut attempts = help.attempts;
                        attempts.sort_by_key(|trunk| self.plane.closed.of(trunk).is_some());
                        attempts
                    }),
                };
                (help.tenant, plan, None)
            }
            (None, Ok(decision)) => {
                because.0.extend(decision.because.0);
                let Plan {
                    tenant,
                    route,
                    attempts,
                } = decision.value;
                let plan = match is_secure {
                    true => secure::kept(&config, attempts),
                    false => Ok(attempts),
                };
                (Some(tenant), plan, Some(route))
            }
            (None, Err(refusal)) => {
                let owner = || route::owner(&config, None, &called.number).cloned();
                (ingress.tenant.clone().or_else(owner), Err(refusal), None)
            }
        };
        let subject = Subject {
            tenant: tenant.as_ref(),
            trunk: &ingress.trunk,
            route: route.as_ref(),
            called: &called.number,
            calling: &calling.value,
        };
        let has_priority = ingress.trunk.trusted && message.has(HeaderName::ResourcePriority);
        let standing = match (is_emergency, has_priority || is_call_back) {
            (true, _) => Standing::Help,
            (false, true) => Standing::Priority,
            (false, false) => Standing::Usual,
        };
        let route = route.as_ref();
        let mut routes = config.routes.iter();
        let at_once = routes.any(|known| known.at_once && Some(&known.name) == route);
        let mut lacking: Vec<Room> = is_full.then_some(Room::Node).into_iter().collect();
        let (plan, entrance) =
            self.take_places((now, call_id), standing, &subject, plan, &mut lacking, out);
        if is_emergency && plan.is_ok() {
            let by = (call_id, &ingress.trunk.name);
            room::ask_for(&mut self.plane, by, lacking);
        }
        if self.plane.explains && plan.is_ok() {
            let limits = match is_emergency {
                true => vec!["a call for help passes every limit".to_owned()],
                false => admission::told(&config, &subject),
            };
            because.0.extend(limits);
        }
        if self.plane.explains {
            let diverting = caller.trail.diverting();
            let diverting = diverting
                .map(|number| number::transform_redirecting(&config, &scope, &number.number).value);
            let numbers = Numbers {
                called: &called.number,
                calling: &calling.value,
                diverting: diverting.as_deref(),
            };
            because.0.extend(recorded::told(&config, &scope, numbers));
        }
        if ingress.trunk.overlap {
            self.plane.dialling.insert(call_id);
        }
        let admitted = Admitted {
            id: call_id,
            tenant,
            trunk: match is_secure {
                true => secure::answering(&ingress.trunk),
                false => ingress.trunk,
            },
            flow: flow.clone(),
            transaction: id,
            request: message,
            caller: Arc::new(caller),
            called_raw,
            called,
            calling: calling.value,
            plan,
            route: route.cloned(),
            because,
            entrance,
            at_once,
            is_emergency,
            place,
            screening: screened.ok().flatten(),
            reach,
            lap,
        };
        self.current = Some(call_id);
        let mut cx = Cx {
            now,
            plane: &mut self.plane,
            out,
        };
        let call = Call::admit(&mut cx, admitted);
        self.sessions.insert(call.media_session(), call_id);
        let entry = Entry {
            call,
            phase: None,
            kept: None,
            queued: None,
        };
        self.calls.insert(call_id, Box::new(entry));
        self.look_after(now, call_id, out);
    }

    /// What is known of the place of a call for help; a number of the place is lent to its caller.
    fn place(
        &self,
        now: Now,
        call: CallId,
        help: Option<&Emergency>,
        ingress: &Ingress,
        calling: &str,
        out: &mut Effects,
    ) -> Option<PlaceRecord> {
        let help = help?;
        if let Some(fault) = help.place.fault {
            let trunk = ingress.trunk.name.clone();
            let what = Happened::LocationUnreadable { trunk, fault };
            out.emit(Some(call), Some(LegId(0)), what);
        }
        let (pool, keep) = (&help.place.numbers, help.place.keep);
        let tenant = help.tenant.as_ref();
        let lent = tenant.and_then(|own| self.plane.elins.lend(now.mono, own, pool, calling, keep));
        if let Some(Lent {
            number,
            from: Some(from),
        }) = &lent
        {
            let what = Happened::ElinReused {
                tenant: help.tenant.clone(),
                number: number.clone(),
                from: from.clone(),
            };
            out.emit(Some(call), None, what);
        }
        let place = PlaceRecord {
            method: help.place.method.clone(),
            fault: help.place.fault.map(|fault| fault.to_string()),
            elin: lent.map(|lent| lent.number),
        };
        (place != PlaceRecord::default()).then_some(place)
    }

    /// Takes the places of a call; a limit that is reached turns the plan into a refusal. A call that is
    /// refused anyway is not counted. A call for help also finds out what it lacks room of.
    fn take_places(
        &mut self,
        (now, call): (Now, CallId),
        standing: Standing,
        subject: &Subject<'_>,
        plan: Result<Vec<Arc<Trunk>>, Refusal>,
        lacking: &mut Vec<Room>,
        out: &mut Effects,
    ) -> (Result<Vec<Arc<Trunk>>, Refusal>, Entrance) {
        let nothing = Entrance {
            standing,
            ..Entrance::default()
        };
        if plan.is_err() {
            return (plan, nothing);
        }
        let of_call = admission::claims_of_call(&self.plane.config, subject);
        let of_caller = admission::claims_inbound(subject.trunk);
        let (counted, admission) = (of_call.len(), &mut self.plane.admission);
        let claims: Vec<_> = of_call.into_iter().chain(of_caller).collect();
        let kbits = admission::kbits(subject.trunk, &claims);
        if standing == Standing::Help {
            let of_limits = admission.lacking(&claims, kbits);
            lacking.extend(of_limits.into_iter().map(Room::Of));
        }
        let payers = match self.plane.config.rates.is_empty() {
            true => Vec::new(),
            false => spend::payers(claims.iter().cloned()),
        };
        match admission.take(now.mono, claims, kbits, standing) {
            Err(full) => {
                let refusal = full.refused();
                let what = Happened::LimitReached {
                    tenant: subject.tenant.cloned(),
                    full: Box::new(full),
                };
                out.emit(Some(call), None, what);
                (Err(refusal), nothing)
            }
            Ok(mut of_call) => {
                let of_caller = of_call.split_off(counted);
                let entrance = Entrance {
                    standing,
                    of_call,
                    of_caller,
                    payers,
                };
                (plan, entrance)
            }
        }
    }
}

/// How a new call is refused whose trunk an operator keeps them away from.
fn closed_to(trunk: &Trunk, closing: Option<Closing>) -> Option<Refusal> {
    closing.map(|closing| Refusal {
        status: Status::SERVICE_UNAVAILABLE,
        cause: CauseCode::TrunkClosed,
        because: Because::of(route::closed(trunk, closing)).named(closing),
    })
}

/// The called number of a Request-URI that has none.
fn no_number(message: &Message) -> Number {
    Number {
        raw: String::from_utf8_lossy(&message.request_uri()).into_owned(),
        number: String::new(),
        ..Number::default()
    }
}
