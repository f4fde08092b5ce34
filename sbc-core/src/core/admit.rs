//! A new INVITE: numbers, limits and route, and the call that it becomes.

use super::{Core, Entry, arrived, dropped};
use crate::call::{Admitted, Call};
use crate::cause::{Because, CauseCode};
use crate::config::{DidSource, RouteMatch, TransformScope, Trunk};
use crate::effect::Effects;
use crate::event::DropCode;
use crate::id::{LegId, TenantName, TransactionId};
use crate::plane::Cx;
use crate::policy::admission::{self, Counted, Place};
use crate::policy::circle::{self, Reach};
use crate::policy::ingress::Ingress;
use crate::policy::number::{self, Number};
use crate::policy::route::Asked;
use crate::policy::{Refusal, dialled, emergency, identity, route, screening};
use crate::session::LegStyle;
use crate::sip::{Message, Status};
use crate::time::Now;
use crate::transport::Flow;
use std::sync::Arc;

impl Core {
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
        ingress: Ingress,
        because: Because,
        style: &LegStyle,
        out: &mut Effects,
    ) {
        let config = Arc::clone(&self.plane.config);
        let has_room = u32::try_from(self.calls.len()).is_ok_and(|n| n < config.limits.calls);
        let mut caller = identity::caller(&message, &ingress.trunk);
        let scope = TransformScope::In(ingress.trunk.name.clone());
        let calling = number::transform_calling(&config, &scope, &caller.selected.number);
        let help = emergency::decide(&config, &ingress, &message, &caller, &calling.value);
        if (self.is_draining || !has_room) && help.is_none() {
            arrived(None, None, flow, &message, out);
            dropped(DropCode::Overload, flow, out);
            return self.reply(now, id, &message, style, Status::SERVICE_UNAVAILABLE, out);
        }
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
        let called = |uri| number::called_of(&message, &uri, source, own_user);
        let (called, nameless) = match message.uri().map(called) {
            Ok(Ok(called)) => (called, None),
            // Every Request-URI can be read here; without a number it leads nowhere.
            Ok(Err(refusal)) => (no_number(&message), Some(refusal)),
            Err(_) => (no_number(&message), None),
        };
        let changed = number::transform_called(&config, &scope, &called.number);
        because.0.extend(changed.because.0);
        let called_raw = called.raw.clone();
        let called = Number {
            number: changed.value,
            ..called
        };
        let reach = Reach::of(&message);
        let mut lap = None;
        let plan = match (reach.refusal(), nameless) {
            (Some(refusal), _) | (None, Some(refusal)) => Err(refusal),
            (None, None) => circle::forwarded_too_often(&caller)
                .or_else(|| reach.refusal_below(ingress.trunk.least_hops))
                .or_else(|| dialled::impossible(&called.number))
                .or_else(|| caller.privacy.refusal())
                .or_else(|| screened.as_ref().err().cloned())
                .map_or(Ok(()), Err)
                .and_then(|()| {
                    let key = circle::key(&caller, &called.number, ingress.trunk.name.as_str());
                    lap = Some(self.plane.circles.enter(key, reach.hops)?);
                    let (mint, explains) = (&mut self.plane.mint, self.plane.explains);
                    // Read only where a route asks for it: most never do.
                    let is_asked = |asks: fn(&RouteMatch) -> bool| {
                        config.routes.iter().any(|route| asks(&route.when))
                    };
                    let diverting = is_asked(|when| when.diverting.is_some());
                    let diverting = diverting.then(|| caller.trail.diverting()).flatten();
                    let ported = is_asked(|when| when.routing_number.is_some());
                    let ported = ported.then(|| message.uri().ok()).flatten();
                    let ported = ported.as_ref().and_then(number::routing_number);
                    let asked = Asked {
                        called: &called.number,
                        calling: &calling.value,
                        diverting: diverting.as_ref().map(|number| number.number.as_str()),
                        routing: ported.as_deref(),
                    };
                    route::plan_for(&config, &ingress, asked, mint, explains)
                }),
        };
        let is_emergency = help.is_some();
        let called = help.as_ref().map_or(called, |help| help.called.clone());
        let (tenant, plan) = match (help, plan) {
            (Some(help), plan) => {
                because.0.extend(help.because.0);
                let plan = match (reach.refusal(), plan) {
                    // A circle helps nobody; anything else that is against the call does not count.
                    (Some(refusal), _) => Err(refusal),
                    (None, Err(refusal)) if help.attempts.is_empty() => Err(refusal),
                    (None, _) => Ok(help.attempts),
                };
                (help.tenant, plan)
            }
            (None, Ok(decision)) => {
                because.0.extend(decision.because.0);
                (Some(decision.value.tenant), Ok(decision.value.attempts))
            }
            (None, Err(refusal)) => {
                let owner = || route::owner(&config, &called.number).cloned();
                (ingress.tenant.clone().or_else(owner), Err(refusal))
            }
        };
        let (plan, places) = match is_emergency {
            true => (plan, Vec::new()),
            false => self.take_places(now, tenant.as_ref(), &ingress.trunk, plan),
        };
        if self.plane.explains && plan.is_ok() {
            let limits = match is_emergency {
                true => vec!["a call for help passes every limit".to_owned()],
                false => admission::told(&config, tenant.as_ref(), &ingress.trunk),
            };
            because.0.extend(limits);
        }
        let admitted = Admitted {
            id: call_id,
            tenant,
            trunk: ingress.trunk,
            flow: flow.clone(),
            transaction: id,
            request: message,
            caller,
            called_raw,
            called,
            calling: calling.value,
            plan,
            because,
            places,
            is_emergency,
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
        self.calls.insert(call_id, Entry { call, queued: None });
        self.look_after(call_id, out);
    }

    /// Counts a call on its tenant and on the trunk it came in on; a limit that is reached turns the
    /// plan into a refusal. A call that is refused anyway is not counted.
    fn take_places(
        &mut self,
        now: Now,
        tenant: Option<&TenantName>,
        trunk: &Trunk,
        plan: Result<Vec<Arc<Trunk>>, Refusal>,
    ) -> (Result<Vec<Arc<Trunk>>, Refusal>, Vec<Place>) {
        let Ok(plan) = plan else {
            return (plan, Vec::new());
        };
        let config = &self.plane.config;
        let of_tenant = tenant.map(|name| {
            let limits = config.tenants.get(name).map(|tenant| tenant.limits);
            (Counted::Tenant(name.clone()), limits.unwrap_or_default())
        });
        let of_trunk = (Counted::Trunk(trunk.name.clone()), trunk.limits);
        let mut places = Vec::with_capacity(4);
        for (counted, limits) in of_tenant.into_iter().chain([of_trunk]) {
            match self.plane.admission.take(now.mono, counted, &limits) {
                Ok(place) => places.push(place),
                Err(full) => {
                    for place in places.drain(..) {
                        self.plane.admission.give_back(place);
                    }
                    let refusal = Refusal {
                        status: Status::SERVICE_UNAVAILABLE,
                        cause: CauseCode::LimitReached,
                        because: Because::of(full.to_string()),
                    };
                    return (Err(refusal), places);
                }
            }
        }
        (Ok(plan), places)
    }
}

/// The called number of a Request-URI that has none.
fn no_number(message: &Message) -> Number {
    Number {
        raw: String::from_utf8_lossy(&message.request_uri()).into_owned(),
        number: String::new(),
        extension: None,
    }
}
