//! Why a call ended, in plain words: who, where, why, and what to change.

mod change;
mod name;
#[cfg(test)]
mod tests;
mod why;

use super::{microsoft, quality};
use crate::cause::{CauseCode, EndedBy};
use crate::id::LegId;
use crate::policy::local_media::Choice;
use crate::record::{
    AttemptRecord, Disposition, LocalMediaRecord, Record, TransferOutcome, TransferRecord,
};
use crate::sip::Status;
use crate::trouble::Trouble;
use serde::Serialize;
use std::fmt;

/// What an operator wants to know about a call that ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// What it is called.
    pub name: Trouble,
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
    let case = Case::of(record);
    Explanation {
        name: case.name,
        who: who(record),
        place: place(record, case.last),
        why: case.with_microsoft(why::why(&case)),
        change: microsoft::advice(record)
            .into_iter()
            .chain(change::change(&case))
            .chain(quality::changes(&record.one_way))
            .collect(),
        attempts: record.egress.iter().flat_map(attempts).collect(),
        transfers: record.transfers.iter().map(transfer).collect(),
        media: record.local_media.iter().map(local_media).collect(),
        quality: quality::quality(&record.media, &record.one_way),
    }
}

/// What a record keeps of its explanation, for whoever reads it when nothing else of the call is left: all that the record
/// does not say elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeptExplanation {
    /// What it is called.
    pub name: Trouble,
    /// Who ended it.
    pub who: String,
    /// On which side of us, and at which equipment.
    pub place: String,
    /// What happened.
    pub why: String,
    /// What to change, most promising first.
    pub change: Vec<String>,
}

impl KeptExplanation {
    /// Of a finished call; nothing of one that ended as it should, with nothing wrong.
    pub fn of(record: &Record) -> Option<Self> {
        if name::name(record) == Trouble::NormalEnd {
            return None;
        }
        let told = explain(record);
        Some(Self {
            name: told.name,
            who: told.who,
            place: told.place,
            why: told.why,
            change: told.change,
        })
    }
}

/// A record under the name that it is told as, with what sentences say of it.
struct Case<'a> {
    record: &'a Record,
    /// The last attempt towards the called side.
    last: Option<&'a AttemptRecord>,
    name: Trouble,
}

impl<'a> Case<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            record,
            last: record.egress.last(),
            name: name::name(record),
        }
    }

    /// The trunk that the call came from.
    fn caller(&self) -> String {
        format!("trunk \"{}\"", self.record.ingress.trunk)
    }

    /// The trunk that it went to last.
    fn called(&self) -> String {
        match self.last {
            Some(attempt) => format!("trunk \"{}\"", attempt.trunk),
            None => "the called side".to_owned(),
        }
    }

    /// The name of that trunk.
    fn called_name(&self) -> &str {
        self.last.map_or("NAME", |attempt| attempt.trunk.as_str())
    }

    /// The target that was tried last.
    fn target(&self) -> String {
        let Some(attempt) = self.last else {
            return "none".to_owned();
        };
        let remote = attempt.remote.map(|remote| format!(" at {remote}"));
        let host = host(attempt);
        format!(
            "{host}{} over {} of trunk \"{}\"",
            remote.unwrap_or_default(),
            attempt.protocol,
            attempt.trunk
        )
    }

    fn number(&self) -> String {
        self.record.called.escape_debug().to_string()
    }

    /// The trunk whose description of the media is spoken of: whoever has answered, else the caller.
    fn describer(&self) -> String {
        match self.last.is_some_and(|attempt| attempt.status == Some(200)) {
            true => self.called(),
            false => self.caller(),
        }
    }

    /// Its peer.
    fn describer_peer(&self) -> String {
        format!("the peer of {}", self.describer())
    }

    /// The side whose media is missing.
    fn silent(&self) -> String {
        let media = self.record.media.iter();
        let least = media.min_by_key(|media| (media.packets_in, media.leg));
        match least {
            Some(media) => format!(
                "leg {} (trunk \"{}\")",
                media.leg.0,
                self.trunk_of(media.leg)
            ),
            None => "one side".to_owned(),
        }
    }

    /// The trunk of a leg.
    fn trunk_of(&self, leg: LegId) -> &'a str {
        let record = self.record;
        let attempts = record.egress.iter().map(|own| (own.leg, &own.trunk));
        let parties = record.parties.iter().map(|own| (own.leg, &own.trunk));
        let found = attempts.chain(parties).find(|(own, _)| *own == leg);
        found.map_or(record.ingress.trunk.as_str(), |(_, trunk)| trunk.as_str())
    }

    /// The trunk that asked for the last transfer.
    fn transferor(&self) -> &'a str {
        let last = self.record.transfers.last();
        last.map_or("NAME", |transfer| transfer.trunk.as_str())
    }

    /// The status that the peer gave.
    fn of_peer(&self) -> Option<u16> {
        self.last
            .filter(|_| self.record.cause.by == EndedBy::B)
            .and_then(|attempt| attempt.status)
    }

    /// The status that counts: the peer's, else ours.
    fn status(&self) -> u16 {
        let status = self.of_peer().or(self.record.cause.status);
        status.unwrap_or_default()
    }

    /// The sentence with what Teams means by its sub-code, where it gave one.
    fn with_microsoft(&self, why: String) -> String {
        match microsoft::said(self.record) {
            Some(said) if !why.contains(&said) => format!("{why}; {said}"),
            _ => why,
        }
    }

    /// Behind a colon: the facts that the decision was made from.
    fn facts(&self) -> String {
        match self.record.cause.because.0.as_slice() {
            [] => String::new(),
            facts => format!(": {}", facts.join("; ")),
        }
    }

    /// Those of them that a response does not tell by itself.
    fn onward(&self) -> String {
        let is_own = |fact: &&String| {
            let starts = ["the called side answered", "trunk \"", "its text is"];
            !starts.iter().any(|start| fact.starts_with(start))
        };
        let facts = self.record.cause.because.0.iter().filter(is_own);
        let facts: Vec<&str> = facts.map(String::as_str).collect();
        match facts.is_empty() {
            true => String::new(),
            false => format!(": {}", facts.join("; ")),
        }
    }

    /// In brackets: what the caller was told.
    fn told(&self) -> String {
        match self.record.cause.status {
            Some(status) => format!(" (the caller was told {})", status_text(status)),
            None => String::new(),
        }
    }

    /// In brackets: what the peer said, why in its own words, and what the caller was told where that
    /// is something else.
    fn details(&self) -> String {
        let (cause, last, of_peer) = (&self.record.cause, self.last, self.of_peer());
        let mut details = Vec::new();
        details.extend(of_peer.or(cause.status).map(status_text));
        if let Some(q850) = cause.q850.or(last.and_then(|attempt| attempt.q850)) {
            details.push(format!("Q.850 {q850}, {}", q850_text(q850)));
        }
        let phrase = of_peer.and_then(Status::new).map(Status::default_phrase);
        let reason = last.and_then(|attempt| attempt.reason.as_deref());
        // The phrase that belongs to the status says nothing more.
        if let Some(reason) = reason.filter(|own| Some(*own) != phrase) {
            // What we say in the peer's place has quotes of its own.
            details.push(match reason.contains('"') {
                true => reason.to_owned(),
                false => format!("\"{reason}\""),
            });
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
        writeln!(f, "name:   {}", self.name)?;
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
            attempt.trunk,
            host(attempt),
            attempt.protocol
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
        | CauseCode::NoRoute
        | CauseCode::Presence
        | CauseCode::CallerNotAllowed
        | CauseCode::TrunkClosed
        | CauseCode::NoAck => false,
        // A description that cannot be used is that of whoever has answered.
        CauseCode::MediaIncompatible => {
            record.cause.by == EndedBy::B || last.is_some_and(|attempt| attempt.status == Some(200))
        }
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
        | CauseCode::LoopDetected
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
        attempt.trunk,
        host(attempt),
        attempt.protocol
    )
}

/// The target as configured; whoever registers with us has none as long as nothing is registered.
fn host(attempt: &AttemptRecord) -> &str {
    match attempt.host.as_str() {
        "" => "no host",
        host => host,
    }
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
        2 => "no route to transit network",
        3 => "no route to destination",
        8 => "preemption",
        16 => "normal call clearing",
        17 => "user busy",
        18 => "no user responding",
        19 => "no answer from user",
        20 => "subscriber absent",
        21 => "call rejected",
        22 => "number changed",
        25 => "exchange routing error",
        26 => "non-selected user clearing",
        27 => "destination out of order",
        28 => "invalid number format",
        29 => "facility rejected",
        31 => "normal, unspecified",
        34 => "no circuit available",
        38 => "network out of order",
        41 => "temporary failure",
        42 => "switching equipment congestion",
        44 => "requested circuit not available",
        47 => "resource unavailable",
        50 => "facility not subscribed",
        55 => "incoming calls barred",
        57 => "bearer capability not authorised",
        58 => "bearer capability not available",
        63 => "service or option not available",
        65 => "bearer capability not implemented",
        79 => "service not implemented",
        87 => "user not member of closed user group",
        88 => "incompatible destination",
        102 => "timer expired",
        111 => "protocol error",
        127 => "interworking, unspecified",
        _ => "see Q.850",
    }
}
