//! The call's record: opened at admission, filled as attempts go by, closed exactly once (I6).

use super::{A_LEG, Admitted, Call};
use crate::cause::{Because, Cause, CauseCode, EndedBy};
use crate::config::{Config, Preset, StirMode, TransformScope, Trunk};
use crate::event::Happened;
use crate::id::{LegId, TrunkName};
use crate::plane::Cx;
use crate::policy::country;
use crate::policy::diversion::reason_of_cause;
use crate::policy::identity::Caller;
use crate::policy::number::{self, Number};
use crate::policy::recorded::{self, Numbers};
use crate::policy::response;
use crate::policy::session_id::Ends;
use crate::record::{
    AttemptRecord, ConversationRecord, Disposition, Growing, KeptNumbers, LegRecord, PartyRecord,
    Record, TransferKind, TransferOutcome, TransferRecord,
};
use crate::report::{name_in_contact, said_by_microsoft};
use crate::session::{Rejection, Session, printable};
use crate::sip::header::{From, Header, Reason, To, UserToUser};
use crate::sip::{HeaderName, Message, Status};
use crate::stir::{Level, Standing, level, origin_id};
use crate::time::Now;
use std::sync::Arc;
use std::time::Duration;

/// Version of the record's layout.
const VERSION: u16 = 1;

/// A record at admission. Its cause is what stays if nobody ever gives another.
pub(super) fn open(config: &Config, admitted: &Admitted, ends: &Ends, now: Now) -> Growing {
    let caller = &admitted.caller;
    let call_id = admitted.request.raw(HeaderName::CallId).unwrap_or_default();
    let (attest, origid) = standing(admitted).unzip();
    let attest = attest.flatten();
    let diversions = caller.trail.diversions();
    let diverting = caller.trail.diverting().map(|number| number.number);
    let scope = TransformScope::In(admitted.trunk.name.clone());
    let inside = diverting.as_deref();
    let inside = inside.map(|own| number::transform_redirecting(config, &scope, own).value);
    let numbers = Numbers {
        called: &admitted.called.number,
        calling: &admitted.calling,
        diverting: inside.as_deref(),
    };
    let custom = recorded::values(config, &scope, numbers);
    Growing::new(Record {
        version: VERSION,
        call: admitted.id,
        node: config.node.id.clone(),
        tenant: admitted.tenant.clone(),
        start: now.wall,
        first_progress_ms: None,
        setup_ms: None,
        duration_ms: 0,
        end: None,
        billsec: 0,
        held_ms: 0,
        numbers: KeptNumbers::Full,
        calling_raw: admitted.caller.calling.number.raw.clone(),
        calling_name: calling_name(caller),
        called_raw: admitted.called_raw.clone(),
        calling: admitted.calling.clone(),
        called: admitted.called.number.clone(),
        country_to: country::of(&admitted.called.number),
        prefix_id: prefix_id(config, &admitted.called.number),
        charged_party: charged_party(config, admitted),
        asserted: caller.asserted.first().map(|own| own.number.number.clone()),
        withheld: caller.calling.is_withheld || caller.privacy.id || caller.privacy.hides_caller(),
        screening: admitted.screening,
        verstat: None,
        signed: admitted.request.has(HeaderName::Identity),
        attest,
        origid,
        diverting,
        divert_reason: diversions.last().and_then(|own| reason_of_cause(own.cause)),
        diversions: diversions.len(),
        session_id: ends.caller.as_str().to_owned(),
        icid: icid(&admitted.request),
        user_to_user: match admitted.trunk.habits.hides_uui {
            true => None,
            false => user_to_user(&admitted.request),
        },
        custom,
        emergency: admitted.is_emergency,
        place: admitted.place.clone().map(Box::new),
        ingress: LegRecord {
            trunk: admitted.trunk.name.clone(),
            protocol: admitted.flow.protocol,
            local: admitted.flow.local,
            remote: admitted.flow.remote,
            tls: admitted.flow.tls,
            peer_names: match &admitted.flow.identity {
                Some(identity) => identity.names.clone(),
                None => Vec::new(),
            },
            call_id: String::from_utf8_lossy(&call_id).into_owned(),
            from_tag: from_tag(&admitted.request),
            to_tag: String::new(),
            user_agent: user_agent(&admitted.request),
            teams_call: match admitted.trunk.preset {
                Preset::Teams => name_in_contact(&admitted.request),
                Preset::Carrier => None,
            },
        },
        egress: Vec::new(),
        disposition: Disposition::Failed,
        cause: Cause {
            by: EndedBy::Us,
            code: CauseCode::InternalError,
            status: None,
            q850: None,
            because: Because::default(),
        },
        end_reason: None,
        route_name: admitted.route.clone(),
        route: admitted.because.clone(),
        media_captured: None,
        local_media: Vec::new(),
        media: Vec::new(),
        one_way: Vec::new(),
        transcoded: Vec::new(),
        transfers: Vec::new(),
        conversations: Vec::new(),
        answered_by: None,
        parties: Vec::new(),
    })
}

/// The tag of its From; peers from before RFC 3261 have none.
fn from_tag(invite: &Message) -> Option<String> {
    let from = invite.essential::<From>().ok().flatten()?;
    from.tag().map(|tag| printable(tag))
}

/// The name of a caller, as the peer that we believe says it, else as the caller itself does.
fn calling_name(caller: &Caller) -> Option<String> {
    if caller.calling.is_withheld || caller.privacy.id || caller.privacy.hides_caller() {
        return None;
    }
    let asserted = caller.asserted.iter().find_map(|own| own.display.as_ref());
    let name = asserted.or(caller.calling.display.as_ref())?;
    let text = printable(name.as_bytes());
    (!text.is_empty()).then_some(text)
}

/// The level at which we could vouch for the caller, and the origin that we would name: where signatures
/// are looked at.
fn standing(admitted: &Admitted) -> Option<(Option<&'static str>, String)> {
    let trunk = &admitted.trunk;
    if trunk.stir.mode == StirMode::Off {
        return None;
    }
    let standing = match (&trunk.tenant, admitted.screening) {
        (Some(_), Some("owned" | "preferred" | "replaced")) => {
            Standing::Customer { owns_number: true }
        }
        // A number that is withheld is none that anybody could use.
        (Some(_), _) => Standing::Customer { owns_number: false },
        (None, _) => Standing::World {
            is_signed: admitted.request.has(HeaderName::Identity),
        },
    };
    let tenant = trunk.tenant.as_ref().map(|tenant| tenant.as_str());
    let level = level(standing).map(Level::as_str);
    Some((level, origin_id(tenant, trunk.name.as_str())))
}

/// What the rate of a number is called.
fn prefix_id(config: &Config, called: &str) -> Option<String> {
    config.rates.prefix_of(called).map(str::to_owned)
}

/// The number that pays, as a peer says that we believe (RFC 8496 §6), after its transforms. Who belongs to one customer
/// makes no other one pay.
fn charged_party(config: &Config, admitted: &Admitted) -> Option<String> {
    let said = admitted.trunk.trusted;
    let value = said.then(|| admitted.request.raw_named("P-Charge-Info"))??;
    // An address with parameters, as To is.
    let party = To::parse(&value).ok()?;
    let number = Number::of(party.0.uri())?;
    let scope = TransformScope::In(admitted.trunk.name.clone());
    let number = number::transform_calling(config, &scope, &number.number).value;
    let tenant = admitted.trunk.tenant.as_ref();
    let tenant = tenant.and_then(|name| config.tenants.get(name));
    if tenant.is_some_and(|tenant| !tenant.has(&number)) {
        return None;
    }
    let text = printable(number.as_bytes());
    (!text.is_empty()).then_some(text)
}

/// The name that charging gives the call, the first if there are several, if it is well formed (RFC 7315 §5.6).
fn icid(message: &Message) -> Option<String> {
    let value = message.raw(HeaderName::PChargingVector)?;
    let (mut is_quoted, mut is_escaped) = (false, false);
    // What is quoted may have anything in it, quotation marks behind a backslash too.
    let params = value.split(|octet| {
        let is_plain = !std::mem::take(&mut is_escaped);
        match octet {
            b'\\' if is_quoted => is_escaped = is_plain,
            b'"' if is_plain => is_quoted = !is_quoted,
            _ => {}
        }
        *octet == b';' && !is_quoted
    });
    let own = params.map(<[u8]>::trim_ascii).find_map(|param| {
        let (name, value) = param.split_at_checked(ICID.len())?;
        let value = value.trim_ascii_start().strip_prefix(b"=")?;
        name.eq_ignore_ascii_case(ICID)
            .then_some(value.trim_ascii())
    })?;
    let own = match own.strip_prefix(b"\"") {
        Some(quoted) => quoted.strip_suffix(b"\"")?,
        None => own,
    };
    let text = printable(own);
    (!text.is_empty()).then_some(text)
}

const ICID: &[u8] = b"icid-value";

/// The first User-to-User value, if it is well formed.
fn user_to_user(message: &Message) -> Option<String> {
    let values: Vec<UserToUser> = message.list().ok()?;
    let text = String::from_utf8_lossy(values.first()?.text()).into_owned();
    Some(text.chars().filter(|c| !c.is_control()).take(512).collect())
}

/// A new attempt, so long after the call began.
pub(super) fn attempt(
    call: &Call,
    leg: LegId,
    called: String,
    session: &Session,
    started_ms: u64,
) -> AttemptRecord {
    let facts = session.facts();
    let trunk = &session.style().trunk.name;
    let custom = leaving(call, trunk, &called, recorded::values);
    AttemptRecord {
        leg,
        trunk: trunk.clone(),
        called,
        custom,
        host: facts.host.clone(),
        protocol: facts.protocol,
        remote: facts.remote,
        tls: facts.tls,
        call_id: facts.call_id.clone(),
        user_agent: None,
        started_ms,
        ended_ms: None,
        status: None,
        phrase: None,
        q850: None,
        q850_location: None,
        warning: None,
        reason: None,
        fault: None,
        first_response_ms: None,
        first_progress_ms: None,
        given_up: Vec::new(),
        teams_call: None,
    }
}

/// What the transforms of calls that leave on a trunk add to the attempt.
pub(super) fn leaving<T>(
    call: &Call,
    trunk: &TrunkName,
    called: &str,
    add: impl Fn(&Config, &TransformScope, Numbers<'_>) -> T,
) -> T {
    // The record has it as it came.
    let scope = TransformScope::In(call.record.ingress.trunk.clone());
    let inside = |own: &str| number::transform_redirecting(&call.config, &scope, own).value;
    let diverting = call.record.diverting.as_deref().map(inside);
    let numbers = Numbers {
        called,
        calling: &call.record.calling,
        diverting: diverting.as_deref(),
    };
    add(&call.config, &TransformScope::Out(trunk.clone()), numbers)
}

/// A party came for another one, or from another call.
pub(super) fn came(call: &mut Call, leg: LegId, trunk: &Trunk, caller: &Caller) {
    call.record.parties.push(PartyRecord {
        leg,
        trunk: trunk.name.clone(),
        number: caller.selected.number.clone(),
    });
}

/// The attempt was answered.
pub(super) fn attempt_answered(call: &mut Call, now: Now, leg: LegId) {
    let now_ms = call.elapsed_ms(now);
    if let Some(attempt) = refreshed(call, leg) {
        attempt.status = Some(200);
        attempt.ended_ms = Some(now_ms);
    }
}

/// Somebody else has answered in its place.
pub(super) fn attempt_elsewhere(call: &mut Call, leg: LegId) {
    if let Some(attempt) = refreshed(call, leg) {
        attempt.reason = Some("answered elsewhere".to_owned());
    }
}

/// The attempt was refused, or nobody could be reached.
pub(super) fn attempt_rejected(call: &mut Call, now: Now, leg: LegId, rejection: &Rejection) {
    let now_ms = call.elapsed_ms(now);
    if let Some(attempt) = refreshed(call, leg) {
        attempt.ended_ms = Some(now_ms);
        if let Some(said) = &rejection.said {
            let phrase = printable(&said.reason());
            attempt.phrase = (!phrase.is_empty()).then_some(phrase);
            let warning = said.raw(HeaderName::Warning);
            attempt.warning = warning.map(|text| printable(&text));
        }
        attempt.q850_location = response::location_of_reasons(&rejection.reasons);
        attempt.status = rejection.is_from_peer.then(|| rejection.status.code());
        attempt.q850 = response::q850_of_reasons(&rejection.reasons);
        attempt.reason.clone_from(&rejection.text);
        attempt.fault.clone_from(&rejection.fault);
    }
}

/// The record of a leg's attempt with what its session knows by now.
fn refreshed(call: &mut Call, leg: LegId) -> Option<&mut AttemptRecord> {
    let facts = call.legs.get(&leg)?.session.facts().clone();
    let attempt = call
        .record
        .egress
        .iter_mut()
        .find(|attempt| attempt.leg == leg)?;
    attempt.host = facts.host;
    attempt.protocol = facts.protocol;
    attempt.remote = facts.remote;
    attempt.tls = facts.tls;
    attempt.first_response_ms = facts.first_response_ms;
    attempt.first_progress_ms = facts.first_progress_ms;
    attempt.given_up = facts.given_up;
    attempt.teams_call = facts.teams_call;
    attempt.user_agent = facts.user_agent;
    Some(attempt)
}

/// A transfer was refused at once. Only the last one is kept: nothing bounds how often a peer asks.
pub(super) fn transfer_declined(
    call: &mut Call,
    now: Now,
    leg: LegId,
    target: &[u8],
    refused: (Status, &Because),
) {
    let Some(trunk) = call.trunk_of(leg).map(|trunk| trunk.name.clone()) else {
        return;
    };
    let (status, because) = refused;
    call.declined = Some(Box::new(TransferRecord {
        at_ms: call.elapsed_ms(now),
        kind: TransferKind::Blind,
        by: leg,
        trunk,
        party: call.other(leg).unwrap_or(leg),
        target: printable(target),
        teams_call: None,
        leg: None,
        outcome: TransferOutcome::Refused,
        status: Some(status.code()),
        because: because.clone(),
    }));
}

/// Tells how the call has ended, for who keeps a journal: its media drain and its peers are heard for a while, and
/// nothing of that changes when and why it was over.
pub(super) fn tell_end(call: &mut Call, cx: &mut Cx<'_>) {
    if cx.plane.keeps_journal {
        call.record.disposition = disposition(call);
        tell(call, cx);
    }
}

/// Makes the record of a call that is over the final one.
pub(super) fn close(call: &mut Call) {
    let legs: Vec<LegId> = call
        .legs
        .keys()
        .copied()
        .filter(|leg| *leg != A_LEG)
        .collect();
    for leg in legs {
        refreshed(call, leg);
    }
    if let Some(declined) = call.declined.take() {
        let all = &mut call.record.transfers;
        let at = all.partition_point(|own| own.at_ms <= declined.at_ms);
        all.insert(at, *declined);
    }
    let media = call.media.stats().map(|stats| call.media_records(stats));
    call.record.media = media.unwrap_or_default();
    call.record.disposition = disposition(call);
    let said = said_by_microsoft(&call.record);
    call.record.cause.because.0.extend(said);
}

/// Tells the record as it stands, so that something is left of the call whatever becomes of us. Where nobody
/// keeps that, it is told only when others talk to each other than at first, which is counted as well.
pub(super) fn tell(call: &mut Call, cx: &mut Cx<'_>) {
    if !cx.plane.keeps_journal && call.record.conversations.is_empty() {
        return;
    }
    let record = so_far(call, &cx.plane.config);
    cx.out.emit(Some(call.id), None, Happened::Recorded(record));
}

/// Tells the record as it stands of a call that was up before anybody kept a journal.
pub(super) fn tell_known(call: &mut Call, cx: &mut Cx<'_>) {
    // An answer that the caller does not have yet is told once it has.
    let has_untold_answer = call.record.setup_ms.is_some() && !call.is_answer_told;
    if call.is_recorded || has_untold_answer {
        return;
    }
    if !call.is_live() {
        call.record.disposition = disposition(call);
    }
    let record = so_far(call, &cx.plane.config);
    cx.out.emit(Some(call.id), None, Happened::Known(record));
}

/// The record as it stands, with what its tenant wants of it.
fn so_far(call: &mut Call, config: &Config) -> Arc<Record> {
    let legs: Vec<LegId> = call.record.egress.iter().map(|own| own.leg).collect();
    for leg in legs {
        refreshed(call, leg);
    }
    call.record.now().kept(config)
}

/// Tells that somebody has answered once the caller has that: it may wait for a PRACK, and the caller give up meanwhile.
pub(super) fn tell_answer(call: &mut Call, cx: &mut Cx<'_>) {
    if call.is_answer_told {
        return;
    }
    call.is_answer_told = call.caller_has_answer();
    if call.is_answer_told && call.record.setup_ms.is_some() {
        tell(call, cx);
    }
}

/// A peer has ended the call, with these reasons.
pub(super) fn ended_with(call: &mut Call, reasons: &[Reason]) {
    let text = reasons.iter().find_map(Reason::text);
    call.record.end_reason = text.map(|text| printable(text));
}

/// Notes that two other legs talk to each other from now on, because of a transfer: its line in the record.
/// Called before they do.
pub(super) fn transferred(call: &mut Call, now: Now, (a, b): (LegId, LegId), transfer: usize) {
    let (Some(line), Some(before), Some(answered)) = (
        call.record.transfers.get(transfer),
        call.bridge,
        call.answered,
    ) else {
        return;
    };
    let next = ConversationRecord {
        a,
        b,
        from_ms: call.elapsed_ms(now),
        duration_ms: 0,
        transfer_of: None,
        transfer_type: Some(line.kind),
        billed_to: line.trunk.clone(),
    };
    let from_ms = match call.record.setup_ms {
        Some(setup_ms) => setup_ms,
        None => call.elapsed_ms(answered),
    };
    let billed_to = call.record.ingress.trunk.clone();
    let told = &mut call.record.conversations;
    if told.is_empty() {
        told.push(ConversationRecord {
            a: before.0,
            b: before.1,
            from_ms,
            duration_ms: 0,
            transfer_of: None,
            transfer_type: None,
            billed_to,
        });
    }
    let last = told.len() - 1;
    told[last].duration_ms = next.from_ms.saturating_sub(told[last].from_ms);
    told.push(ConversationRecord {
        transfer_of: Some(last),
        ..next
    });
}

/// Notes how long the call was; called when its end begins.
pub(super) fn ended(call: &mut Call, now: Now) {
    call.hold_ends(now.mono);
    let now_ms = call.elapsed_ms(now);
    // Not what the clock says now: it may have been set.
    call.record.end = Some(call.record.start + Duration::from_millis(now_ms));
    if let Some(last) = call.record.conversations.last_mut() {
        last.duration_ms = now_ms.saturating_sub(last.from_ms);
    }
    if let Some(answered) = call.answered {
        let duration = call.before.since_answer + now.mono.since(answered.mono);
        let duration = duration.as_millis();
        call.record.duration_ms = u64::try_from(duration).unwrap_or(u64::MAX);
        call.record.billsec = call.record.duration_ms.div_ceil(1_000);
    }
}

fn disposition(call: &Call) -> Disposition {
    if call.answered.is_some() {
        return Disposition::Answered;
    }
    match call.record.cause.code {
        CauseCode::CallerCancelled => Disposition::Cancelled,
        CauseCode::Presence if call.record.cause.status == Some(486) => Disposition::Busy,
        CauseCode::PeerBusy => Disposition::Busy,
        CauseCode::NoAnswer => Disposition::NoAnswer,
        CauseCode::PeerRejected
        | CauseCode::NumberUnknown
        | CauseCode::NoRoute
        | CauseCode::Presence
        | CauseCode::CallerNotAllowed
        | CauseCode::LoopDetected
        | CauseCode::SpendReached
        | CauseCode::BadRequest => Disposition::Rejected,
        CauseCode::NormalClearing
        | CauseCode::MediaIncompatible
        | CauseCode::MediaUnavailable
        | CauseCode::MediaTimeout
        | CauseCode::HandshakeFailed
        | CauseCode::PeerUnreachable
        | CauseCode::PeerTimeout
        | CauseCode::NoAck
        | CauseCode::InCallFailure
        | CauseCode::TransferFailed
        | CauseCode::LimitReached
        | CauseCode::Preempted
        | CauseCode::TrunkClosed
        | CauseCode::Operator
        | CauseCode::RestartLost
        | CauseCode::InternalError => Disposition::Failed,
    }
}

/// The product token of a peer: User-Agent, which many write in responses as well, or Server.
pub(crate) fn user_agent(message: &Message) -> Option<String> {
    let value = message.raw(HeaderName::UserAgent);
    let value = value.or_else(|| message.raw(HeaderName::Server))?;
    let text: String = String::from_utf8_lossy(&value)
        .chars()
        .filter(|c| !c.is_control())
        .take(120)
        .collect();
    (!text.is_empty()).then_some(text)
}
