//! Peers that have to show a password before anything of theirs is served (SIP-1600, SIP-1610).

use super::stateless::{answer_statelessly, answer_with};
use super::{Core, dropped, to_tag};
use crate::auth::{Asker, Judged, asker_of};
use crate::config::Trunk;
use crate::dialog::Lookup;
use crate::effect::Effects;
use crate::event::{DropCode, Happened};
use crate::policy::ingress::{self, Ingress, KnownBy};
use crate::sip::header::{AuthParams, Authorization, Header};
use crate::sip::{HeaderName, Message, Method, RequestHead, Status};
use crate::time::Now;
use crate::transport::Flow;
use std::sync::Arc;

/// What is known of a request's sender by a password.
pub(super) enum Proven {
    /// Nothing has to be proven: source and certificate decide.
    ByItself,
    /// It is this peer's.
    By(Ingress),
    /// It has been answered, or dropped.
    Done,
}

impl Core {
    /// Asks a request's sender who it is, where source and certificate do not say so. Challenges
    /// cost no memory: who only sends requests leaves nothing behind (SEC-031).
    pub(super) fn prove(
        &mut self,
        now: Now,
        flow: &Flow,
        message: &Message,
        out: &mut Effects,
    ) -> Proven {
        let config = Arc::clone(&self.plane.config);
        let mut candidates = ingress::provable(&config, flow);
        if *message.method() == Method::Register {
            candidates.retain(|trunk| trunk.registrar.is_some());
        } else if !candidates.is_empty() && self.identify(flow, message).is_ok() {
            return Proven::ByItself;
        }
        let Some(first) = candidates.first().copied() else {
            return Proven::ByItself;
        };
        if let Some(tag) = to_tag(message) {
            // In a dialog nobody is asked again: its tags are known to its parties alone.
            let trunk = match self.plane.dialogs.find(&tag) {
                Lookup::Live(call, leg) => {
                    let entry = self.calls.get(&call);
                    entry.and_then(|entry| entry.call.trunk_of(leg))
                }
                Lookup::Ended(..) | Lookup::Moved(_) => None,
                Lookup::Unknown if *message.method() == Method::Ack => None,
                Lookup::Unknown => {
                    dropped(DropCode::UnknownDialog, flow, out);
                    if let Some(mut head) = RequestHead::of(message) {
                        answer_statelessly(
                            &self.plane.config,
                            flow,
                            Status::CALL_DOES_NOT_EXIST,
                            &mut head,
                            out,
                        );
                    }
                    return Proven::Done;
                }
            };
            let own = |name: &Arc<Trunk>| candidates.iter().find(|one| one.name == name.name);
            let trunk = trunk.as_ref().and_then(own).copied().unwrap_or(first);
            return Proven::By(Ingress::of(trunk, KnownBy::Dialog));
        }
        if *message.method() == Method::Ack || self.plane.transactions.knows(message) {
            return Proven::By(Ingress::of(first, KnownBy::Transaction));
        }
        if *message.method() == Method::Cancel {
            if let Some(mut head) = RequestHead::of(message) {
                answer_statelessly(
                    &self.plane.config,
                    flow,
                    Status::CALL_DOES_NOT_EXIST,
                    &mut head,
                    out,
                );
            }
            return Proven::Done;
        }
        let source = flow.remote.ip();
        let first = asked_for(message, &candidates).unwrap_or(first);
        let Some(own) = &first.authenticate else {
            return Proven::ByItself;
        };
        candidates.retain(|trunk| {
            let other = trunk.authenticate.as_ref();
            other.is_some_and(|other| other.realm() == own.realm())
        });
        if self.plane.explains {
            // Nobody has to prove anything to a rehearsal; the name says who is meant.
            let shown = shown_name(message, asker_of(message, own));
            let is_shown = |trunk: &&&Arc<Trunk>| {
                let own = trunk.authenticate.as_ref();
                own.is_some_and(|own| Some(own.account.username.as_bytes()) == shown.as_deref())
            };
            let trunk = candidates.iter().find(is_shown).copied();
            let trunk = trunk.unwrap_or(first);
            return Proven::By(Ingress::of(trunk, KnownBy::Rehearsal));
        }
        let plane = &mut self.plane;
        let mint = &mut plane.mint;
        let judged = plane
            .guard
            .judge(now.mono, mint, source, message, &candidates);
        let refused = match judged {
            Ok(trunk) => {
                let user = trunk.authenticate.as_ref();
                let user = user.map_or("", |own| own.account.username.as_str());
                let known_by = KnownBy::Password(user.to_owned());
                return Proven::By(Ingress::of(&trunk, known_by));
            }
            Err(Judged::Ignored) => {
                dropped(DropCode::Banned, flow, out);
                return Proven::Done;
            }
            Err(Judged::Refused(refused)) => refused,
        };
        let asker = asker_of(message, own);
        let is_stale = refused.why.is_stale();
        let lines = plane
            .guard
            .challenges(now.mono, mint, source, own, asker, is_stale);
        let what = Happened::Unproven {
            remote: flow.remote,
            listener: flow.listener.clone(),
            refused,
        };
        out.emit(None, None, what);
        let status = match asker {
            Asker::Server => Status::UNAUTHORIZED,
            Asker::Proxy => Status::PROXY_AUTHENTICATION_REQUIRED,
        };
        if let Some(mut head) = RequestHead::of(message) {
            answer_with(flow, status, &mut head, &lines, out);
        }
        Proven::Done
    }
}

/// The trunk whose realm is asked for: that for which credentials are shown, else that whose name
/// the Request-URI carries.
fn asked_for<'t>(message: &Message, candidates: &[&'t Arc<Trunk>]) -> Option<&'t Arc<Trunk>> {
    // Where there is one realm, nothing need be read.
    if candidates.len() == 1 {
        return None;
    }
    let names = [Asker::Server, Asker::Proxy].map(Asker::credentials);
    let shown: Vec<AuthParams> = names
        .iter()
        .flat_map(|name| message.lines(name).take(4))
        .filter_map(|line| Authorization::parse(&line.value()).ok())
        .map(|line| line.0)
        .collect();
    let is_shown = |trunk: &&&Arc<Trunk>| {
        let own = trunk.authenticate.as_ref();
        own.is_some_and(|own| {
            let mut shown = shown.iter().filter_map(|params| params.value("realm"));
            shown.any(|realm| realm == own.realm().as_bytes())
        })
    };
    let uri = message.uri().ok();
    let host = uri.as_ref().and_then(|uri| uri.host());
    let is_named = |trunk: &&&Arc<Trunk>| {
        let own = trunk.registrar.as_ref().map(|own| own.domain.as_str());
        let realm = trunk.authenticate.as_ref().map(|own| own.realm());
        let names = [trunk.fqdn.as_deref(), own, realm];
        host.is_some_and(|host| names.into_iter().flatten().any(|name| host.is_name(name)))
    };
    let found = candidates.iter().find(is_shown);
    found.or_else(|| candidates.iter().find(is_named)).copied()
}

/// The name in the first credentials.
fn shown_name(message: &Message, asker: Asker) -> Option<bytes::Bytes> {
    let name: HeaderName = asker.credentials();
    let line = message.lines(name).next()?.value();
    let params = Authorization::parse(&line).ok()?;
    params.value("username").cloned()
}
