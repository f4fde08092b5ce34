//! One line for a person about one event.

use super::dropped::dropped;
use super::handshake;
use super::one_way::{Advice, advice, whom};
use crate::auth::{Refused, Unproven};
use crate::config::SpendAction;
use crate::event::{Happened, OversizeAction, TargetFault};
use crate::overload::Stage;
use crate::record::TransferOutcome;
use crate::trunk::{Closing, TargetState};
use media_api::OneWayKind;
use std::fmt;

/// What an event means, in one line; `None` for events that a ladder shows otherwise: messages, and
/// state changes that only a developer wants.
pub fn note(what: &Happened) -> Option<String> {
    let text = match what {
        Happened::Received { .. }
        | Happened::Answered { .. }
        | Happened::Recorded(_)
        | Happened::Known(_)
        | Happened::Explained { .. }
        | Happened::Options { .. }
        | Happened::StateChanged { .. } => {
            return None;
        }
        Happened::Dropped { why, remote, .. } => {
            let (happened, change) = dropped(*why);
            format!(
                "message from {remote} dropped ({}): {happened}; {change}",
                why.as_str()
            )
        }
        Happened::Admitted {
            tenant,
            trunk,
            calling,
            called,
        } => {
            let tenant = match tenant {
                Some(tenant) => format!("tenant \"{tenant}\""),
                None => "no tenant".to_owned(),
            };
            format!(
                "call admitted: {} → {} from trunk \"{trunk}\", {tenant}",
                calling.escape_debug(),
                called.escape_debug()
            )
        }
        Happened::Emergency { trunk, called, .. } => {
            format!(
                "call for help: {} from trunk \"{trunk}\"",
                called.escape_debug()
            )
        }
        Happened::LocationUnreadable { trunk, fault } => format!(
            "the location of a call for help from trunk \"{trunk}\" cannot be read: {fault}; it passes as it came"
        ),
        Happened::ElinReused { number, from, .. } => format!(
            "every number of the place is lent: {number} goes to this caller, and calls back do not reach {} \
             any more; give the place more numbers (elin)",
            from.escape_debug()
        ),
        Happened::Preempted {
            trunk, by, room, ..
        } => format!("call from trunk \"{trunk}\" ended for call {by}, which is for help: {room}"),
        Happened::PreemptionLimited { trunk, room } => format!(
            "call for help from trunk \"{trunk}\" finds no room, and none is made any more, because it was \
             made too often in this minute (limits: preempt_per_minute): {room}"
        ),
        Happened::LimitReached { full, .. } => {
            format!("{full}: a new call is refused there, and so are all that come meanwhile")
        }
        Happened::SpendReached(spent) => {
            let (what, action) = (spent.to_string(), spent.action);
            match action {
                SpendAction::Alert => what,
                SpendAction::Block => format!("{what}: new calls that cost anything are refused"),
            }
        }
        Happened::TrunkClosing { trunk, closing } => match closing {
            Some(Closing::Disabled) => {
                format!("trunk \"{trunk}\" is disabled: it has no new calls in either direction")
            }
            Some(Closing::Draining) => format!(
                "trunk \"{trunk}\" drains: calls in progress go on, new ones go elsewhere or are refused"
            ),
            None => format!("trunk \"{trunk}\" has calls again"),
        },
        Happened::Unusual(unusual) => unusual.to_string(),
        Happened::Routed {
            trunks, because, ..
        } => {
            let trunks: Vec<_> = trunks.iter().map(ToString::to_string).collect();
            format!(
                "routed to {} ({})",
                trunks.join(", then "),
                because.0.join("; ")
            )
        }
        Happened::AttemptStarted {
            trunk,
            host,
            remote,
            protocol,
        } => format!("trying trunk \"{trunk}\": {host} at {remote} over {protocol}"),
        Happened::Oversize {
            trunk,
            octets,
            largest,
            action,
        } => {
            let way = match action {
                OversizeAction::Tcp => "goes over TCP",
                OversizeAction::Fallback => "goes over UDP after all, TCP failed",
                OversizeAction::Fragment => "goes over UDP in several packets",
                OversizeAction::Slim => "goes over UDP without what can be left out",
            };
            format!("trunk \"{trunk}\": a request of {octets} octets, more than {largest}, {way}")
        }
        Happened::TargetFailed {
            trunk,
            host,
            why,
            left,
        } => format!("trunk \"{trunk}\", {host}: {why}; {left} left to try"),
        Happened::Verified { trunk, fault } => match fault {
            None => format!("trunk \"{trunk}\": somebody vouches for the caller"),
            Some(fault) => format!("trunk \"{trunk}\": nobody vouches for the caller, {fault}"),
        },
        Happened::SignatureLost { trunk } => {
            format!("trunk \"{trunk}\": shown other numbers than are signed, so without signature")
        }
        Happened::KeyLost { trunk, most } => format!(
            "trunk \"{trunk}\": {most} keys in INFO wait for their events, and one more is told to nobody"
        ),
        Happened::Ringback { plays: true } => {
            "the caller hears ringing of ours while nothing else comes".to_owned()
        }
        Happened::Ringback { plays: false } => {
            "the caller hears no ringing of ours any more".to_owned()
        }
        Happened::HeaderLeft { trunk, name } => format!(
            "{} of trunk \"{trunk}\" stays behind: no headers = {{ pass }} of the other trunk lists it; told once per shard",
            name.escape_debug()
        ),
        Happened::LaterAnswer { trunk, is_taken } => {
            let what = match is_taken {
                true => "its media moves there",
                false => "which counts for nothing",
            };
            format!("trunk \"{trunk}\" answers otherwise than before, {what}")
        }
        Happened::MediaRefused { trunk, why } => {
            format!("media of trunk \"{trunk}\" cannot be served: {why}")
        }
        Happened::KeyUnusable { trunk, why } => {
            format!("a key line of trunk \"{trunk}\" cannot be used: {why}")
        }
        Happened::OfferRefused { status, again } => {
            let next = if *again {
                "asked again later"
            } else {
                "the call goes on as it was"
            };
            format!("change refused with {}: {next}", status.code())
        }
        Happened::Transfer {
            trunk,
            outcome,
            status,
            because,
            ..
        } => {
            let outcome = match outcome {
                TransferOutcome::Completed => "done",
                TransferOutcome::Failed => "failed",
                TransferOutcome::Refused => "refused",
                TransferOutcome::Abandoned => "abandoned, the call ends",
                TransferOutcome::Unknown => "passed on, its end is not known",
            };
            let status = status.map(|status| format!(" ({})", status.code()));
            format!(
                "transfer by trunk \"{trunk}\" {outcome}{}: {}",
                status.unwrap_or_default(),
                because.0.join("; ").escape_debug()
            )
        }
        Happened::Media(event) => return media(event),
        Happened::Restored(_) => "the call goes on after a restart".to_owned(),
        Happened::Ended(record) => format!("call ended: {}", record.cause.code),
        Happened::TargetHealth {
            target,
            state,
            because,
        } => {
            let (trunk, host) = (&target.trunk, &target.host);
            let at = target.remote.map(|remote| format!(" at {remote}"));
            let at = at.unwrap_or_default();
            let state = match state {
                TargetState::Up => "answers",
                TargetState::Refuses => "answers but does not know us",
                TargetState::Busy => "wants no new calls",
                TargetState::Down => "does not answer",
                TargetState::Gone => "is not watched any more",
            };
            format!("trunk \"{trunk}\": {host}{at} {state} ({because})")
        }
        Happened::Overload {
            shard,
            stage,
            lag_ms,
            strain,
        } => {
            let calls = match stage {
                Stage::Calm => "nothing waits",
                Stage::Busy => "all calls are taken",
                Stage::Heavy => "some new calls are refused",
                Stage::Severe => "all new calls are refused",
            };
            format!(
                "shard {} is {}: {calls} ({lag_ms} ms, {} % of the processors, {} % of the memory)",
                shard.0,
                stage.as_str(),
                strain.cpu / 10,
                strain.memory / 10
            )
        }
        Happened::Challenged {
            trunk,
            remote,
            algorithm,
            is_newly_weak,
        } => {
            let advice = match is_newly_weak {
                true => "; MD5 is broken, ask the peer for SHA-256",
                false => "",
            };
            format!("trunk \"{trunk}\": {remote} is shown credentials with {algorithm}{advice}")
        }
        Happened::Unauthenticated { trunk, remote, why } => {
            format!("trunk \"{trunk}\", {remote}: {why}")
        }
        Happened::Unproven {
            remote, refused, ..
        } => unproven(remote, refused),
        Happened::Bindings { bound, because, .. } => {
            let count = match bound.bindings.len() {
                0 => "no contact is registered".to_owned(),
                1 => "one contact is registered".to_owned(),
                more => format!("{more} contacts are registered"),
            };
            format!("trunk \"{}\": {because}, {count}", bound.trunk)
        }
        Happened::RegisterRefused {
            trunk,
            remote,
            status,
            because,
        } => format!(
            "trunk \"{trunk}\": REGISTER from {remote} refused with {}: {because}",
            status.code()
        ),
        Happened::Registration {
            standing, because, ..
        } => {
            use crate::trunk::RegistrationState;
            let state = match standing.state {
                RegistrationState::Off => "registration is off",
                RegistrationState::Registered => "registered",
                RegistrationState::Failed => "not registered",
                RegistrationState::Trying => "registration is tried",
            };
            format!("trunk \"{}\": {state} ({because})", standing.trunk)
        }
        Happened::Orphans {
            dialogs,
            sessions,
            queries,
            places,
        } => format!(
            "without a call and taken out: {dialogs} dialogs, {sessions} media sessions, {queries} \
             questions to DNS, {places} places of limits"
        ),
        Happened::Bug { invariant } => format!("internal contradiction: {invariant}"),
    };
    Some(text)
}

fn unproven(remote: &std::net::SocketAddr, refused: &Refused) -> String {
    let who = match &refused.username {
        Some(name) => format!("{remote} as \"{}\"", name.escape_debug()),
        None => remote.to_string(),
    };
    let why = match refused.why {
        Unproven::Missing => "is asked for a password",
        Unproven::Unreadable => "shows credentials that cannot be read or lack qop, nc or cnonce",
        Unproven::Algorithm => "shows credentials with an algorithm that was not offered",
        Unproven::ForeignUri => "shows credentials for another Request-URI",
        Unproven::Password => "shows a wrong password",
        Unproven::UnknownUser => "is no user of any trunk",
        Unproven::Stale => "is asked again, its nonce is too old",
        Unproven::Replayed => "is asked again, its credentials were used already",
    };
    let ban = refused.silence.map(|silence| {
        let seconds = silence.as_secs();
        format!("; under this name it gets no answer from there for {seconds} s")
    });
    let alarm = match refused.is_alarming {
        true => "; somebody guesses: wrong passwords for this user come all the time",
        false => "",
    };
    format!("{who} {why}{}{alarm}", ban.unwrap_or_default())
}

fn media(event: &media_api::Event) -> Option<String> {
    use media_api::Event;
    let text = match event {
        Event::Allocated { endpoints, .. } => {
            format!("media ports reserved for {} legs", endpoints.len())
        }
        Event::Refused { why, .. } => format!("no media ports: {why:?}"),
        Event::FirstMedia { endpoint, .. } => format!("first media from leg {}", endpoint.0),
        Event::SourcePinned {
            endpoint, source, ..
        } => format!("media of leg {} comes from {source}", endpoint.0),
        Event::Silent {
            endpoint,
            silent_ms,
            ..
        } => format!("no media from leg {} for {silent_ms} ms", endpoint.0),
        Event::HandshakeFailed { endpoint, why, .. } => {
            let (cause, fix) = handshake::advice(*why);
            format!(
                "the DTLS handshake with leg {} failed: {why}; likely {cause}; to change: {fix}",
                endpoint.0
            )
        }
        Event::OneWay {
            endpoint,
            kind,
            refused,
            ..
        } => {
            let Advice { seen, cause, fix } = advice(*kind);
            let from = refused.filter(|_| *kind == OneWayKind::WrongSource);
            let from = from.map_or_else(String::new, |from| format!(" (the last from {from})"));
            format!(
                "one-way audio: leg {} {}: {seen}{from}; likely {cause}; to change: {fix}",
                endpoint.0,
                whom(*kind, false)
            )
        }
        Event::Unheard {
            endpoint,
            silent_ms,
            ..
        } => format!(
            "nothing has come from leg {} for {silent_ms} ms: its next report, which may still come, says whether it is muted",
            endpoint.0
        ),
        Event::OneWayOver {
            endpoint,
            kind,
            lasted_ms,
            ..
        } => format!(
            "one-way audio of leg {} is over after {lasted_ms} ms ({})",
            endpoint.0,
            kind.as_str()
        ),
        Event::KeyWorn { endpoint, .. } => {
            format!("a media key of leg {} is nearly used up", endpoint.0)
        }
        Event::Played {
            endpoint,
            heard: true,
            ..
        } => format!("leg {} has heard what was played", endpoint.0),
        Event::Played { endpoint, .. } => format!(
            "leg {} could not be played anything: G.711 was not agreed, or there is no such recording",
            endpoint.0
        ),
        Event::Released { .. } => "media released".to_owned(),
        Event::Lost { .. } => "media relay ended: the ports of this call are gone".to_owned(),
        // What somebody dials is not shown (MED-226), and reports are for collectors.
        Event::DigitBegun { .. }
        | Event::Digit { .. }
        | Event::Reported { .. }
        | Event::Tapped { .. }
        | Event::Stats { .. } => return None,
    };
    Some(text)
}

impl fmt::Display for TargetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(fault) => write!(f, "{fault}"),
            Self::Resolve(fault) => write!(f, "{fault}"),
            Self::Timeout => f.write_str("no response in time"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Quarantined => f.write_str("left alone, as it asked with 503"),
            Self::Unwritable => f.write_str("a transform left a number that cannot be written"),
            Self::NumberForm => {
                f.write_str("the called number has not the form that the peer takes")
            }
            Self::Relieved => f.write_str("spared, as it asked for fewer calls"),
            Self::Down => f.write_str("every target is down, and another call tries it already"),
            Self::NoBinding => f.write_str("the peer has registered no contact with us"),
            Self::NotRegistered => f.write_str("the trunk is not registered with its provider"),
        }
    }
}
