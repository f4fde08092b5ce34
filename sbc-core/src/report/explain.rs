//! Why a call ended, in plain words: who, where, why, and what to change.

use super::{microsoft, quality};
use crate::cause::{CauseCode, EndedBy};
use crate::event::TargetFault;
use crate::id::LegId;
use crate::policy::local_media::Choice;
use crate::query::ResolveFault;
use crate::record::{
    AttemptRecord, Disposition, LocalMediaRecord, Record, TransferOutcome, TransferRecord,
};
use crate::sip::Status;
use crate::transport::FlowFault;
use serde::Serialize;
use std::fmt;

/// What an operator wants to know about a call that ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// Who ended it.
    pub who: String,
    /// On which side of us, and at which equipment.
    pub place: String,
    /// What happened.
    pub why: String,
    /// What to change, most promising first; empty when nothing is wrong.
    pub change: Vec<String>,
    /// What was tried towards the called side, one line per attempt.
    pub attempts: Vec<String>,
    /// Who transferred the call to whom, one line per transfer.
    pub transfers: Vec<String>,
    /// Where our media were and why, on legs with local media, one line per decision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// How good the media of each leg were, in each direction, and who was not heard.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<String>,
}

/// Explains a finished call.
pub fn explain(record: &Record) -> Explanation {
    let last = record.egress.last();
    Explanation {
        who: who(record),
        place: place(record, last),
        why: why(record, last),
        change: microsoft::advice(record)
            .into_iter()
            .chain(change(record, last))
            .chain(quality::changes(&record.one_way))
            .collect(),
        attempts: record.egress.iter().flat_map(attempts).collect(),
        transfers: record.transfers.iter().map(transfer).collect(),
        media: record.local_media.iter().map(local_media).collect(),
        quality: quality::quality(&record.media, &record.one_way),
    }
}

/// A decision about the address of our media, and what it was made from.
fn local_media(decision: &LocalMediaRecord) -> String {
    let Choice { told, rule, .. } = &decision.choice;
    let realm = decision.realm.as_ref();
    let realm = realm.map_or_else(String::new, |realm| format!(" in realm \"{realm}\""));
    let mut text = format!("{}{realm}: {rule}", decision.choice.address());
    let said = [
        told.location.map(|own| format!("user {own}")),
        (!told.path.is_empty()).then(|| format!("path {}", told.path.join(", "))),
        told.site.as_ref().map(|site| format!("site {site}")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if !said.is_empty() {
        text.push_str(&format!(" ({})", said.join("; ")));
    }
    if let Some(moved) = decision.moved {
        text.push_str(&format!("; {moved}"));
    }
    text
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "who:    {}", self.who)?;
        writeln!(f, "where:  {}", self.place)?;
        writeln!(f, "why:    {}", self.why)?;
        for (at, line) in self.attempts.iter().enumerate() {
            let title = if at == 0 { "tried:" } else { "" };
            writeln!(f, "{title:7} {line}")?;
        }
        for (at, line) in self.transfers.iter().enumerate() {
            let title = if at == 0 { "moved:" } else { "" };
            writeln!(f, "{title:7} {line}")?;
        }
        for (at, line) in self.media.iter().enumerate() {
            let title = if at == 0 { "media:" } else { "" };
            writeln!(f, "{title:7} {line}")?;
        }
        for (at, line) in self.quality.iter().enumerate() {
            let title = if at == 0 { "heard:" } else { "" };
            writeln!(f, "{title:7} {line}")?;
        }
        for (at, line) in self.change.iter().enumerate() {
            let title = if at == 0 { "change:" } else { "" };
            writeln!(f, "{title:7} {line}")?;
        }
        Ok(())
    }
}

fn transfer(transfer: &TransferRecord) -> String {
    let kind = transfer.kind.as_str();
    let status = transfer.status.map(|status| format!(", {status}"));
    let outcome = match transfer.outcome {
        TransferOutcome::Completed => "done",
        TransferOutcome::Failed => "failed",
        TransferOutcome::Refused => "refused",
        TransferOutcome::Abandoned => "the call ended before",
        TransferOutcome::Unknown => "how it ended was not told",
    };
    format!(
        "{kind} transfer by leg {} of trunk \"{}\" after {} s: leg {} to {}: {outcome}{} ({})",
        transfer.by.0,
        transfer.trunk,
        transfer.at_ms / 1_000,
        transfer.party.0,
        transfer.target.escape_debug(),
        status.unwrap_or_default(),
        transfer.because.0.join("; ")
    )
}

fn who(record: &Record) -> String {
    match (record.cause.by, record.disposition) {
        (EndedBy::Us, _) if record.cause.code == CauseCode::Operator => {
            format!("this SBC ({}), on command", record.node)
        }
        (EndedBy::A, Disposition::Answered) => "the calling side hung up".to_owned(),
        (EndedBy::A, _) => "the calling side ended the attempt".to_owned(),
        (EndedBy::B, Disposition::Answered) => "the called side hung up".to_owned(),
        (EndedBy::B, _) => "the called side refused or failed".to_owned(),
        (EndedBy::Us, _) => format!("this SBC ({})", record.node),
    }
}

fn place(record: &Record, last: Option<&AttemptRecord>) -> String {
    let a = || {
        format!(
            "A leg: trunk \"{}\", {} over {}",
            record.ingress.trunk, record.ingress.remote, record.ingress.protocol
        )
    };
    let b = |attempt: &AttemptRecord| {
        let remote = attempt
            .remote
            .map_or_else(|| "no address".to_owned(), |remote| remote.to_string());
        format!(
            "B leg: trunk \"{}\", {} ({remote}) over {}",
            attempt.trunk, attempt.host, attempt.protocol
        )
    };
    let is_of_b = match record.cause.code {
        CauseCode::PeerRejected
        | CauseCode::PeerBusy
        | CauseCode::NoAnswer
        | CauseCode::PeerUnreachable
        | CauseCode::PeerTimeout => true,
        CauseCode::CallerCancelled
        | CauseCode::BadRequest
        | CauseCode::LoopDetected
        | CauseCode::NoRoute
        | CauseCode::Presence
        | CauseCode::CallerNotAllowed
        | CauseCode::TrunkClosed
        | CauseCode::NoAck => false,
        // Without an attempt it was we who knew no owner of the number.
        CauseCode::NumberUnknown => last.is_some(),
        // The side that sent least is the one that fell silent.
        // Nothing of the side without keys counts as arrived, either.
        CauseCode::MediaTimeout | CauseCode::HandshakeFailed => record
            .media
            .iter()
            .min_by_key(|media| (media.packets_in, media.leg))
            .is_some_and(|media| media.leg != LegId(0)),
        CauseCode::NormalClearing
        | CauseCode::MediaIncompatible
        | CauseCode::MediaUnavailable
        | CauseCode::InCallFailure
        | CauseCode::TransferFailed
        | CauseCode::LimitReached
        | CauseCode::Preempted
        | CauseCode::SpendReached
        | CauseCode::Operator
        | CauseCode::RestartLost
        | CauseCode::InternalError => record.cause.by == EndedBy::B,
    };
    match last {
        Some(attempt) if is_of_b => b(attempt),
        _ => a(),
    }
}

fn why(record: &Record, last: Option<&AttemptRecord>) -> String {
    let cause = &record.cause;
    let facts = || match cause.because.0.as_slice() {
        [] => String::new(),
        facts => format!(": {}", facts.join("; ")),
    };
    let of_peer = last
        .filter(|_| cause.by == EndedBy::B)
        .and_then(|attempt| attempt.status);
    let details = || details(record, last, of_peer);
    let called = record.called.escape_debug();
    match cause.code {
        CauseCode::NormalClearing => format!(
            "the call lasted {:.1} s and ended normally",
            record.duration_ms as f64 / 1000.0
        ),
        CauseCode::CallerCancelled => "the caller gave up before anybody answered".to_owned(),
        CauseCode::PeerRejected => format!("the called side refused the call{}", details()),
        CauseCode::PeerBusy => format!("the called party is busy{}", details()),
        CauseCode::NoAnswer => match of_peer {
            Some(480) => format!("the called party cannot be reached now{}", details()),
            Some(408) => format!("the called side gave up waiting{}", details()),
            Some(_) | None => format!("nobody answered in time{}", details()),
        },
        CauseCode::NumberUnknown if last.is_none() && record.called.is_empty() => {
            format!("the request names no number to call{}", facts())
        }
        CauseCode::NumberUnknown if last.is_none() => {
            format!("the number {called} belongs to no tenant here, so nobody was called")
        }
        CauseCode::NumberUnknown if has_wrong_form(last) => format!(
            "the number {called} has not the form that the peer takes, so nobody was called{}",
            details()
        ),
        CauseCode::NumberUnknown => {
            format!(
                "the called side does not know the number {called}{}",
                details()
            )
        }
        CauseCode::Presence => {
            format!(
                "the called user takes no calls now, as Microsoft says{}",
                facts()
            )
        }
        CauseCode::CallerNotAllowed => {
            format!("the caller shows a number that is not its own{}", facts())
        }
        // Routing says so itself, and what it looked at.
        CauseCode::NoRoute if !cause.because.0.is_empty() => cause.because.0.join("; "),
        CauseCode::NoRoute => format!(
            "no route matches a call from trunk \"{}\" to {called}",
            record.ingress.trunk
        ),
        CauseCode::LoopDetected => {
            format!("the call was forwarded too often{}{}", details(), facts())
        }
        CauseCode::BadRequest => {
            format!(
                "the caller's INVITE cannot be served{}{}",
                details(),
                facts()
            )
        }
        CauseCode::MediaIncompatible => format!(
            "the two sides share no codec or media protection{}{}",
            details(),
            facts()
        ),
        CauseCode::MediaUnavailable if record.disposition == Disposition::Answered => {
            format!("the media of the call were lost{}", facts())
        }
        CauseCode::MediaUnavailable => format!("no media ports could be reserved{}", facts()),
        CauseCode::MediaTimeout => format!("no media arrived for too long{}", facts()),
        CauseCode::HandshakeFailed => format!(
            "the two ends of the media agreed on no keys, so nothing could be heard{}",
            facts()
        ),
        CauseCode::PeerUnreachable => format!(
            "no target could be reached{}",
            last.and_then(|attempt| attempt.fault.as_ref())
                .map_or_else(facts, |fault| format!("; the last one: {fault}"))
        ),
        CauseCode::PeerTimeout => "the target did not respond in time".to_owned(),
        CauseCode::NoAck => "the caller's side never acknowledged the answer (no ACK)".to_owned(),
        CauseCode::InCallFailure => {
            format!("a request within the call failed{}{}", details(), facts())
        }
        CauseCode::TransferFailed => format!("nobody was left to talk to{}", facts()),
        CauseCode::LimitReached => format!("a limit was reached{}", facts()),
        CauseCode::Preempted => format!("the call gave way to a call for help{}", facts()),
        CauseCode::SpendReached => format!("the money for such calls is spent{}", facts()),
        CauseCode::TrunkClosed => {
            format!("an operator keeps new calls away{}", facts())
        }
        CauseCode::Operator => format!("the call was ended on command{}", facts()),
        CauseCode::RestartLost => format!("the daemon ended while the call was up{}", facts()),
        CauseCode::InternalError => format!("an error in this program{}", facts()),
    }
}

/// In brackets: what the peer said, why in its own words, and what the caller was told where that
/// is something else.
fn details(record: &Record, last: Option<&AttemptRecord>, of_peer: Option<u16>) -> String {
    let cause = &record.cause;
    let mut details = Vec::new();
    details.extend(of_peer.or(cause.status).map(status_text));
    if let Some(q850) = cause.q850.or(last.and_then(|attempt| attempt.q850)) {
        details.push(format!("Q.850 {q850}, {}", q850_text(q850)));
    }
    if let Some(reason) = last.and_then(|attempt| attempt.reason.as_deref()) {
        details.push(format!("\"{reason}\""));
    }
    if let (Some(theirs), Some(ours)) = (of_peer, cause.status)
        && theirs != ours
    {
        details.push(format!("the caller was told {}", status_text(ours)));
    }
    match details.is_empty() {
        true => String::new(),
        false => format!(" ({})", details.join("; ")),
    }
}

fn has_wrong_form(last: Option<&AttemptRecord>) -> bool {
    last.is_some_and(|attempt| attempt.fault == Some(TargetFault::NumberForm))
}

fn change(record: &Record, last: Option<&AttemptRecord>) -> Vec<String> {
    let trunk = last.map_or_else(String::new, |attempt| attempt.trunk.to_string());
    let advice = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    match record.cause.code {
        CauseCode::NormalClearing | CauseCode::CallerCancelled | CauseCode::PeerBusy => Vec::new(),
        CauseCode::PeerRejected => rejected(record, last, &trunk),
        CauseCode::NoAnswer => match last.and_then(|attempt| attempt.status) {
            Some(480) => advice(&[
                "nothing, if the party is only away; otherwise have the called side check that the \
                 user exists, is signed in and may be called from outside",
            ]),
            Some(_) | None => advice(&[
                "nothing, if the party did not answer; otherwise raise timers.ring_timeout of the \
                 trunk",
            ]),
        },
        CauseCode::NumberUnknown if last.is_none() => vec![
            format!(
                "add {} to numbers of the [[tenant]] it belongs to",
                record.called.escape_debug()
            ),
            match record.called == record.called_raw {
                true => format!(
                    "if the form is wrong, add a [[transform]] with when = {{ trunk = \"{}\", dir \
                     = \"in\" }} that turns it into +E.164",
                    record.ingress.trunk
                ),
                false => format!(
                    "it was received as {}: check the transforms of trunk \"{}\"",
                    record.called_raw.escape_debug(),
                    record.ingress.trunk
                ),
            },
        ],
        CauseCode::NumberUnknown if has_wrong_form(last) => {
            unreachable(&TargetFault::NumberForm, &trunk)
        }
        CauseCode::NumberUnknown => vec![
            format!(
                "check the form of the number: trunk \"{trunk}\" got {}; a transform with dir = \
                 \"out\" can change it",
                record.called.escape_debug()
            ),
            "check that the number exists at the called side".to_owned(),
        ],
        CauseCode::NoRoute => vec![
            format!(
                "add a [[route]] that matches from_trunk = \"{}\" and called {}",
                record.ingress.trunk,
                record.called.escape_debug()
            ),
            "if the number should belong to a tenant, add it to numbers of that [[tenant]]"
                .to_owned(),
        ],
        CauseCode::Presence => advice(&[
            "nothing, if the user is busy or away; `causeway teams presence` tells what Microsoft says",
            "otherwise write \"next\" or \"try\" in presence of the [[route]]",
        ]),
        CauseCode::CallerNotAllowed => vec![
            "if the number is the customer's, add it to numbers of its [[tenant]]".to_owned(),
            format!(
                "otherwise set identity.screening of trunk \"{}\" to \"replace\" or \"pass\"",
                record.ingress.trunk
            ),
        ],
        CauseCode::LoopDetected => advice(&[
            "look for a route back to the trunk the call came from, or a forwarding to itself",
        ]),
        CauseCode::BadRequest => advice(&[
            "look at the INVITE in the ladder with `causeway sip parse`; its sender must change it",
        ]),
        CauseCode::MediaIncompatible => advice(&[
            "compare codecs and srtp of both trunks with the offer in the ladder; one codec must \
             be in both lists",
            "towards Teams srtp must be \"required\"; towards a carrier usually \"off\"",
        ]),
        CauseCode::MediaUnavailable => advice(&[
            "widen ports of the [[realm]]; two ports are needed per leg, and freed ones rest for \
             10 s",
            "check that the realm has an address of the family that the peer uses",
        ]),
        CauseCode::MediaTimeout => advice(&[
            "check that the firewall lets the realm's UDP ports through in both directions",
            "behind NAT set advertise of the [[realm]] to the public address",
        ]),
        CauseCode::HandshakeFailed => advice(&[
            "compare a=fingerprint of that side's description with the certificate of its media gateway: \
             what changes descriptions on the way must leave it alone",
            "open the realm's media ports for UDP in both directions; DTLS goes over the same ports as \
             the media",
            "its media gateway must speak DTLS 1.2 with SRTP_AES128_CM_HMAC_SHA1_80 or an AES-GCM profile",
            "if it has its keys in the description instead, write srtp = \"required\" in the trunk",
        ]),
        CauseCode::PeerUnreachable => match last.and_then(|attempt| attempt.fault.as_ref()) {
            Some(fault) => unreachable(fault, &trunk),
            None => vec![format!("check targets of trunk \"{trunk}\"")],
        },
        CauseCode::PeerTimeout => vec![
            format!("check that the peer of trunk \"{trunk}\" knows our address and answers it"),
            "check that a firewall lets answers through".to_owned(),
        ],
        CauseCode::NoAck => advice(&[
            "the caller's side must be able to reach the address in our Contact: check fqdn of \
             the trunk and advertise of the realm",
        ]),
        CauseCode::InCallFailure => {
            advice(&["look at the last request in the ladder and at the answer it got"])
        }
        CauseCode::TransferFailed => advice(&[
            "see what the target of the transfer answered; whoever transfers should stay until it \
             has answered",
        ]),
        CauseCode::LimitReached => advice(&[
            "raise that limit at the trunk, the tenant or in [limits], if such calls are wanted",
        ]),
        CauseCode::Preempted => advice(&[
            "raise the limit that was reached, or reserve some of it for calls for help, so that none \
             has to be ended",
        ]),
        CauseCode::SpendReached => advice(&[
            "find out whether somebody abuses the customer's telephones before you raise \
             spend_per_hour or spend_per_day",
        ]),
        CauseCode::TrunkClosed => advice(&[
            "nothing, if that is meant; `causeway trunk list` shows which trunks are disabled or drain, and `causeway \
             trunk enable NAME` lets one have calls again",
        ]),
        CauseCode::Operator => Vec::new(),
        CauseCode::RestartLost => advice(&[
            "look in the journal of the system for what ended the daemon: a crash, the watchdog, no memory",
        ]),
        CauseCode::InternalError => {
            advice(&["report it with this ladder; no setting causes or avoids it"])
        }
    }
}

fn rejected(record: &Record, last: Option<&AttemptRecord>, trunk: &str) -> Vec<String> {
    // What the caller was told is often a translation; the peer's own word says more.
    let of_peer = last
        .filter(|_| record.cause.by == EndedBy::B)
        .and_then(|attempt| attempt.status);
    let line = match of_peer.or(record.cause.status) {
        Some(300..=399) => format!(
            "the peer of trunk \"{trunk}\" redirects the call, which is not followed: make the new \
             address a target of the trunk, or have the peer forward the call itself"
        ),
        Some(400 | 485 | 493) => format!(
            "the peer of trunk \"{trunk}\" does not understand our INVITE: look at it with \
             `causeway call show --messages` and ask the peer what is wrong"
        ),
        Some(401 | 407) => format!(
            "the peer of trunk \"{trunk}\" wants a login: have it recognise us by our address"
        ),
        Some(403) => format!(
            "the peer of trunk \"{trunk}\" forbids it: check the caller's number, the fqdn of the \
             trunk and what the peer has on record for us"
        ),
        Some(415 | 488 | 606) => format!(
            "the peer of trunk \"{trunk}\" accepts no media we offered: compare codecs and srtp \
             with what it supports"
        ),
        Some(420 | 421) => format!(
            "the peer of trunk \"{trunk}\" wants other SIP extensions: see Unsupported or Require \
             in the ladder"
        ),
        Some(405 | 501 | 505) => {
            format!("what answers for trunk \"{trunk}\" takes no calls: check its targets")
        }
        Some(413 | 513) => format!(
            "our INVITE is too large for the peer of trunk \"{trunk}\": shorten codecs and \
             headers.pass, or use tcp or tls"
        ),
        Some(422) => {
            format!("the peer of trunk \"{trunk}\" wants longer session intervals than we offered")
        }
        Some(482 | 483) => "look for a routing loop behind the called side".to_owned(),
        Some(code @ 500..=599) => format!(
            "the peer of trunk \"{trunk}\" has a fault or is overloaded; for a second try add \
             {code} to its reroute_on and another trunk to the [[route]]"
        ),
        Some(code @ (603 | 607 | 608)) => format!(
            "the called party, or a filter on its behalf, does not want the call ({code}): check \
             the caller's number as the peer sees it"
        ),
        _ => "ask the called side why it refuses".to_owned(),
    };
    vec![line]
}

fn unreachable(fault: &TargetFault, trunk: &str) -> Vec<String> {
    let line = match fault {
        TargetFault::Resolve(ResolveFault::NotFound) => format!(
            "the host name of trunk \"{trunk}\" does not exist: correct targets, or the DNS zone"
        ),
        TargetFault::Resolve(ResolveFault::Timeout | ResolveFault::ServerFailure) => {
            "this host's DNS resolver does not work: check /etc/resolv.conf".to_owned()
        }
        TargetFault::Flow(fault) => return of_flow(fault, trunk),
        TargetFault::Timeout => format!(
            "nothing came back from the peer of trunk \"{trunk}\": check address, port and \
             firewall"
        ),
        TargetFault::Quarantined => format!(
            "the peer of trunk \"{trunk}\" is overloaded and asked for a pause: wait, or add another \
             trunk to the [[route]]"
        ),
        TargetFault::Unwritable => format!(
            "a [[transform]] of trunk \"{trunk}\" made of a number what no message can carry: \
             \"causeway route test\" shows which"
        ),
        TargetFault::NumberForm => format!(
            "the peer of trunk \"{trunk}\" takes numbers in another form, Teams with + only: add a \
             [[transform]] with when = {{ trunk = \"{trunk}\", dir = \"out\" }} that makes it, or write \
             identity = {{ number_format = \"digits\" }} if a rule of the peer's own does"
        ),
        TargetFault::Relieved => format!(
            "the peer of trunk \"{trunk}\" is overloaded and asked for fewer calls: wait, or add \
             another trunk to the [[route]]"
        ),
        TargetFault::Down => format!(
            "no target of trunk \"{trunk}\" answers: check the peer; while all are down, one call a \
             second is tried"
        ),
        TargetFault::NoBinding => format!(
            "the peer of trunk \"{trunk}\" has registered no contact: \"causeway status\" shows what \
             is registered, and the log why a REGISTER was refused"
        ),
        TargetFault::NotRegistered => format!(
            "trunk \"{trunk}\" is not registered: see \"causeway status\" and the log for what the \
             registrar says"
        ),
        TargetFault::Status(status) => format!(
            "every target of trunk \"{trunk}\" answered with a status on which the next is \
             tried, the last with {status}"
        ),
    };
    vec![line]
}

fn of_flow(fault: &FlowFault, trunk: &str) -> Vec<String> {
    let line = match fault {
        FlowFault::Connect(_) => format!(
            "nobody listens at the target of trunk \"{trunk}\", or a firewall refuses: check \
             address, port and protocol"
        ),
        FlowFault::ConnectTimeout => format!(
            "packets to the target of trunk \"{trunk}\" vanish: check routing and firewalls"
        ),
        FlowFault::Handshake(_) => format!(
            "TLS with the peer of trunk \"{trunk}\" fails: check the certificate, its chain and \
             client_ca of the trunk's TLS context; the log has a line tls_refused with the exact \
             reason"
        ),
        FlowFault::TlsCertificate(_) => {
            return vec![
                format!(
                    "if it is the right peer, have it renew or complete its certificate, or add \
                     its root to client_ca of the [[tls]] of trunk \"{trunk}\", as the reason says"
                ),
                format!(
                    "if it is not, somebody else answers at this address: check targets and DNS of \
                     trunk \"{trunk}\""
                ),
            ];
        }
        FlowFault::TlsAlert(_) => {
            return vec![
                format!(
                    "the peer of trunk \"{trunk}\" does not accept our certificate: have it trust \
                     our authority, and check with `causeway check` that ours is in time, has its \
                     intermediates and carries fqdn of the trunk"
                ),
                "Microsoft accepts public authorities only".to_owned(),
            ];
        }
        FlowFault::HandshakeTimeout => format!(
            "the peer of trunk \"{trunk}\" accepts the connection but not TLS: check the port"
        ),
        FlowFault::TlsName { presented, .. } => format!(
            "if {} is the right peer, add it to accept_names of trunk \"{trunk}\"",
            presented.join(", ")
        ),
        FlowFault::Closed | FlowFault::Broken(_) => format!(
            "the peer of trunk \"{trunk}\" closes the connection: it may not accept our \
             certificate or address"
        ),
        FlowFault::QueueFull => {
            format!("the peer of trunk \"{trunk}\" does not read: it is overloaded or hangs")
        }
        FlowFault::NotSip => format!("what answers for trunk \"{trunk}\" is not a SIP server"),
        FlowFault::Idle => "nothing; an idle connection was closed at a bad moment".to_owned(),
        FlowFault::NoListener => format!(
            "trunk \"{trunk}\" has no listener of the target's protocol and address family: add \
             a [[listen]] to its realm"
        ),
    };
    vec![line]
}

/// The targets that were tried on one trunk, the last one as it ended.
fn attempts(attempt: &AttemptRecord) -> Vec<String> {
    let given_up = attempt.given_up.iter().map(|target| {
        let (trunk, host, protocol) = (&attempt.trunk, &target.host, attempt.protocol);
        format!("trunk \"{trunk}\", {host} over {protocol}: {}", target.why)
    });
    given_up.chain([last_of(attempt)]).collect()
}

fn last_of(attempt: &AttemptRecord) -> String {
    let remote = attempt
        .remote
        .map_or_else(String::new, |remote| format!(" at {remote}"));
    let result = match (attempt.status, &attempt.fault) {
        (_, Some(fault)) => fault.to_string(),
        (Some(status), None) => format!("answered {}", status_text(status)),
        (None, None) => "ended before an answer".to_owned(),
    };
    format!(
        "trunk \"{}\", {}{remote} over {}: {result}",
        attempt.trunk, attempt.host, attempt.protocol
    )
}

fn status_text(code: u16) -> String {
    match Status::new(code) {
        Some(status) => format!("{code} {}", status.default_phrase()),
        None => code.to_string(),
    }
}

fn q850_text(cause: u8) -> &'static str {
    match cause {
        1 => "unallocated number",
        3 => "no route to destination",
        16 => "normal call clearing",
        17 => "user busy",
        18 => "no user responding",
        19 => "no answer from user",
        20 => "subscriber absent",
        21 => "call rejected",
        22 => "number changed",
        27 => "destination out of order",
        28 => "invalid number format",
        31 => "normal, unspecified",
        34 => "no circuit available",
        38 => "network out of order",
        41 => "temporary failure",
        42 => "switching equipment congestion",
        47 => "resource unavailable",
        50 => "facility not subscribed",
        57 => "bearer capability not authorised",
        58 => "bearer capability not available",
        65 => "bearer capability not implemented",
        79 => "service not implemented",
        88 => "incompatible destination",
        102 => "timer expired",
        111 => "protocol error",
        127 => "interworking, unspecified",
        _ => "see Q.850",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::{Because, Cause};
    use crate::id::{CallId, RealmName, TenantName, TrunkName};
    use crate::policy::local_media::Told;
    use crate::record::OneWayRecord;
    use crate::record::{GivenUp, LegRecord};
    use crate::time::UnixTime;
    use crate::transport::Protocol;
    use media_api::OneWayKind;

    fn record(code: CauseCode, fault: Option<TargetFault>, status: Option<u16>) -> Record {
        Record {
            version: 1,
            call: CallId(1),
            node: "sbc1".to_owned(),
            tenant: Some(TenantName::new("contoso")),
            start: UnixTime::from_micros(0),
            first_progress_ms: None,
            setup_ms: None,
            duration_ms: 0,
            calling_raw: "+15550100".to_owned(),
            called_raw: "+15550199".to_owned(),
            calling: "+15550100".to_owned(),
            called: "+15550199".to_owned(),
            asserted: None,
            withheld: false,
            screening: None,
            verstat: None,
            attest: None,
            origid: None,
            diverting: None,
            session_id: "0".repeat(32),
            user_to_user: None,
            emergency: false,
            place: None,
            ingress: LegRecord {
                trunk: TrunkName::new("carrier"),
                protocol: Protocol::Udp,
                remote: "192.0.2.1:5060".parse().unwrap(),
                call_id: "x".to_owned(),
                user_agent: None,
                teams_call: None,
            },
            egress: vec![AttemptRecord {
                leg: LegId(1),
                trunk: TrunkName::new("teams"),
                called: "+15550199".to_owned(),
                host: "sip.example.com".to_owned(),
                protocol: Protocol::Tls,
                remote: None,
                call_id: "y".to_owned(),
                status,
                q850: None,
                reason: None,
                fault,
                first_response_ms: None,
                first_progress_ms: None,
                given_up: Vec::new(),
                teams_call: None,
            }],
            disposition: Disposition::Failed,
            cause: Cause {
                by: EndedBy::Us,
                code,
                status,
                q850: None,
                because: Because::of("fact"),
            },
            route: Because::default(),
            media: Vec::new(),
            one_way: Vec::new(),
            transcoded: Vec::new(),
            transfers: Vec::new(),
            media_captured: None,
            local_media: Vec::new(),
            conversations: Vec::new(),
            end_reason: None,
            answered_by: None,
            parties: Vec::new(),
        }
    }

    #[test]
    fn decisions_about_local_media_are_told_with_what_they_were_made_from() {
        let mut record = record(CauseCode::NormalClearing, None, None);
        let told = Told {
            location: Some("external"),
            path: vec!["proxy.example".to_owned(), "sbc.example".to_owned()],
            site: Some("Vietnam".to_owned()),
        };
        let decision = |choice, moved| LocalMediaRecord {
            at_ms: 0,
            leg: LegId(1),
            choice,
            realm: Some(RealmName::new("edge")),
            moved,
        };
        let choice = Choice {
            told,
            ..Choice::external("the user is outside".to_owned())
        };
        record.local_media = vec![
            decision(Choice::guess(), None),
            decision(choice, Some("re-INVITE")),
        ];
        let lines = explain(&record).media;
        assert!(lines[0].starts_with("internal address in realm \"edge\": where the user is"));
        assert_eq!(
            lines[1],
            "external address in realm \"edge\": the user is outside (user external; path proxy.example, \
             sbc.example; site Vietnam); re-INVITE"
        );
        assert!(explain(&record).to_string().contains("\nmedia:  internal"));
    }

    #[test]
    fn a_leg_that_was_not_heard_is_told_with_its_cause_and_what_to_change() {
        let mut record = record(CauseCode::NormalClearing, None, None);
        assert_eq!(explain(&record).quality, Vec::<String>::new());
        let fault = |kind, lasted_ms| OneWayRecord {
            leg: LegId(1),
            kind,
            at_ms: 12_500,
            lasted_ms,
        };
        record.one_way = vec![
            fault(OneWayKind::DecryptFailures, Some(4_200)),
            fault(OneWayKind::DecryptFailures, None),
        ];
        let told = explain(&record);
        assert!(told.quality[0].starts_with(
            "leg 1 was not heard, noticed after 12.5 s, for 4.2 s: its packets cannot be decrypted"
        ));
        assert!(
            told.quality[1].contains("from then on"),
            "{:?}",
            told.quality
        );
        let [change] = &told.change[..] else {
            panic!("told once: {:?}", told.change);
        };
        assert!(change.starts_with("for the audio of leg 1: ") && change.contains("a=crypto"));
        assert!(told.to_string().contains("\nheard:  leg 1 was not heard"));
    }

    #[test]
    fn every_target_that_was_given_up_is_told_in_order() {
        let mut record = record(CauseCode::NormalClearing, None, Some(200));
        record.egress[0].given_up = vec![GivenUp {
            host: "sip0.example.com".to_owned(),
            why: TargetFault::Status(503),
        }];
        let told = explain(&record).attempts;
        assert!(
            told[0].contains("sip0.example.com over tls: answered 503"),
            "{told:?}"
        );
        assert!(
            told[1].contains("sip.example.com over tls: answered 200"),
            "{told:?}"
        );
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn every_cause_says_who_where_and_why_and_only_normal_ends_need_no_change() {
        for code in CauseCode::ALL {
            let told = explain(&record(code, None, Some(480)));
            assert!(!told.who.is_empty() && !told.place.is_empty(), "{code}");
            assert!(!told.why.is_empty(), "{code}");
            let is_normal = matches!(
                code,
                CauseCode::NormalClearing
                    | CauseCode::CallerCancelled
                    | CauseCode::PeerBusy
                    | CauseCode::Operator
            );
            assert_eq!(told.change.is_empty(), is_normal, "{code}");
        }
    }

    #[test]
    fn a_wrong_name_says_which_setting_would_accept_it() {
        let fault = TargetFault::Flow(FlowFault::TlsName {
            wanted: "sip.example.com".to_owned(),
            presented: vec!["sip.example.net".to_owned()],
        });
        let told = explain(&record(CauseCode::PeerUnreachable, Some(fault), None));
        let text = told.to_string();
        assert!(text.contains("accept_names of trunk \"teams\""), "{text}");
        assert!(text.contains("sip.example.net"));
    }

    /// A refusal of the peer, and what the caller was told instead.
    fn refused(theirs: u16, ours: u16) -> Explanation {
        let mut record = record(CauseCode::PeerRejected, None, Some(theirs));
        record.cause.by = EndedBy::B;
        record.cause.status = Some(ours);
        explain(&record)
    }

    #[test]
    fn the_peers_own_word_counts_and_not_its_translation() {
        let told = refused(503, 500);
        let wanted = "(503 Service Unavailable; the caller was told 500 ";
        assert!(told.why.contains(wanted), "{}", told.why);
        assert!(told.change[0].contains("503 to its reroute_on"), "{told}");
        assert!(refused(401, 403).change[0].contains("wants a login"));
        assert!(refused(302, 480).change[0].contains("redirects the call"));
        assert!(refused(513, 513).change[0].contains("too large"));
        assert!(refused(603, 603).change[0].contains("does not want"));
        assert!(!refused(403, 403).why.contains("was told"));
    }

    #[test]
    fn what_a_peer_said_stands_in_one_pair_of_brackets() {
        let mut record = record(CauseCode::PeerBusy, None, Some(486));
        record.cause.by = EndedBy::B;
        assert_eq!(
            explain(&record).why,
            "the called party is busy (486 Busy Here)"
        );
        record.cause.q850 = Some(17);
        record.egress[0].reason = Some("on the phone".to_owned());
        assert_eq!(
            explain(&record).why,
            "the called party is busy (486 Busy Here; Q.850 17, user busy; \"on the phone\")"
        );
    }

    #[test]
    fn no_sentence_is_longer_than_two_lines_of_a_terminal() {
        for code in CauseCode::ALL {
            for status in [
                302, 400, 401, 403, 404, 408, 420, 480, 481, 488, 500, 501, 513, 603,
            ] {
                let mut record = record(code, None, Some(status));
                for by in [EndedBy::A, EndedBy::B, EndedBy::Us] {
                    record.cause.by = by;
                    let told = explain(&record);
                    for line in told
                        .change
                        .iter()
                        .chain([&told.who, &told.place, &told.why])
                    {
                        assert!(line.chars().count() <= 160, "{line}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_number_of_no_tenant_is_our_own_finding() {
        let mut record = record(CauseCode::NumberUnknown, None, None);
        record.egress.clear();
        record.cause.status = Some(404);
        let told = explain(&record);
        assert!(told.why.contains("belongs to no tenant"), "{told}");
        assert!(told.place.contains("trunk \"carrier\""), "{told}");
        assert!(told.change[0].contains("[[tenant]]"), "{told}");
        assert!(!told.to_string().contains("\"\""), "{told}");
        record.called_raw = "0155".to_owned();
        assert!(explain(&record).change[1].contains("received as 0155"));
    }

    #[test]
    fn a_party_that_cannot_be_reached_is_not_one_that_does_not_answer() {
        let mut record = record(CauseCode::NoAnswer, None, Some(480));
        record.cause.by = EndedBy::B;
        assert!(explain(&record).why.contains("cannot be reached"));
        record.egress[0].status = None;
        record.cause.status = Some(408);
        assert!(explain(&record).why.contains("nobody answered in time"));
    }

    #[test]
    fn whose_certificate_is_wrong_decides_what_to_change() {
        let advice = |fault: FlowFault| {
            let fault = TargetFault::Flow(fault);
            explain(&record(CauseCode::PeerUnreachable, Some(fault), None)).change
        };
        let theirs = advice(FlowFault::TlsCertificate("it has expired".to_owned()));
        assert!(theirs[0].contains("renew or complete its certificate"));
        let ours = advice(FlowFault::TlsAlert("alert UnknownCA".to_owned()));
        assert!(ours[0].contains("does not accept our certificate"));
    }

    #[test]
    fn a_refusal_names_the_status_and_the_equipment() {
        let told = explain(&record(CauseCode::PeerRejected, None, Some(403)));
        assert!(told.why.contains("403 Forbidden"), "{}", told.why);
        assert!(told.place.contains("trunk \"teams\""));
    }
}
