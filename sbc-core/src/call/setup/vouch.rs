//! Whether anybody vouches for the caller: asked before anybody is called (SIP-1106, SIP-1107).
//!
//! While it is found out, the caller has its 100 and nothing else of the call exists; it waits for a
//! bounded time only.

use super::super::{Call, Operation, Timer};
use super::{Setup, Step, refuse_with};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::{StirFailure, StirMode};
use crate::event::Happened;
use crate::id::QueryId;
use crate::plane::Cx;
use crate::policy::response;
use crate::query::Outcome;
use crate::session::Refusal;
use crate::sip::header::{Header, Reason};
use crate::sip::{HeaderName, QuotedText};
use crate::stir::{
    CredentialFault, Fault, Judged, Numbers, Signatures, Tn, Validation, Verdict, VerifySpec,
    Verstat, Vouched, judge,
};
use crate::trouble::Trouble;
use bytes::Bytes;
use std::sync::Arc;

/// A verification that is under way.
#[derive(Debug)]
pub(super) struct Verifying {
    query: QueryId,
    /// What is known if every signature is good.
    hoped: Verdict,
    signatures: Signatures,
    numbers: Numbers,
}

impl Setup {
    /// Looks into the signatures of the INVITE, where its trunk wants that, and then calls somebody.
    pub(super) fn vouched(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        called_raw: &str,
    ) -> Option<Operation> {
        let mode = self.trunk.stir.mode;
        if mode == StirMode::Off {
            return self.next_attempt(call, cx);
        }
        let signatures = Signatures::of(&self.request);
        let called = Tn::of_user(called_raw.as_bytes());
        let numbers = Numbers::of(&self.request, self.trunk.trusted, called);
        // Whoever calls for help is helped, whoever it is, and at once.
        if mode == StirMode::Pass || self.is_emergency {
            let verstat = self.said_by_peer();
            call.record.verstat = verstat.map(|own| own.text(true));
            self.vouched = Vouched::of(&signatures, numbers, verstat).map(Arc::new);
            return self.next_attempt(call, cx);
        }
        let window = call.config.stir.freshness;
        match judge(&signatures, &self.request, &numbers, cx.now.wall, window) {
            Judged::Done(verdict) => self.concluded(call, cx, &signatures, numbers, &verdict),
            Judged::Ask(checks, hoped) => {
                let spec = VerifySpec {
                    trunk: self.trunk.name.clone(),
                    checks,
                };
                let query = cx.verify(call.id, spec);
                let patience = cx.now.mono + call.config.stir.patience;
                call.timers.set(Timer::Verify as usize, patience);
                self.step = Step::Verifying(Box::new(Verifying {
                    query,
                    hoped,
                    signatures,
                    numbers,
                }));
                Some(Operation::Setup(self))
            }
        }
    }

    /// The signatures were looked into; `None` if that took too long. What comes later counts for
    /// nothing.
    pub(in crate::call) fn verified(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        answered: Option<(QueryId, &Outcome)>,
    ) -> Option<Operation> {
        let verifying = match std::mem::replace(&mut self.step, Step::Waiting) {
            Step::Verifying(own) if answered.is_none_or(|(query, _)| query == own.query) => own,
            other => {
                self.step = other;
                return Some(Operation::Setup(self));
            }
        };
        call.timers.stop(Timer::Verify as usize);
        let fault = match answered {
            Some((_, Outcome::Verified(Ok(())))) => None,
            Some((_, Outcome::Verified(Err(fault)))) => Some(*fault),
            // Nobody answers with anything else.
            Some(_) | None => Some(CredentialFault::Timeout),
        };
        let verdict = Verdict {
            fault: fault.map(Fault::Credential),
            ..verifying.hoped
        };
        let numbers = verifying.numbers;
        self.concluded(call, cx, &verifying.signatures, numbers, &verdict)
    }

    fn concluded(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        signatures: &Signatures,
        numbers: Numbers,
        verdict: &Verdict,
    ) -> Option<Operation> {
        // A trusted peer that has looked into it itself leaves nothing to look into here.
        let of_peer = match verdict.fault {
            Some(Fault::Missing) => self.said_by_peer(),
            _ => None,
        };
        let verstat = of_peer.unwrap_or_else(|| verdict.verstat());
        let is_relied_on = of_peer.is_some_and(|own| own.validation == Validation::Passed);
        let fault = verdict.fault.filter(|_| !is_relied_on);
        call.record.verstat = Some(verstat.text(true));
        if let Some(level) = verdict.attest {
            call.record.attest = Some(level.as_str());
            call.record.origid.clone_from(&verdict.origid);
        }
        let what = Happened::Verified {
            trunk: self.trunk.name.clone(),
            fault,
        };
        cx.out.emit(Some(call.id), None, what);
        self.vouched = Vouched::of(signatures, numbers, Some(verstat)).map(Arc::new);
        let Some(fault) = fault else {
            return self.next_attempt(call, cx);
        };
        // Who has not signed knows that.
        call.unvouched = Some(fault).filter(|fault| *fault != Fault::Missing);
        if self.trunk.stir.failure == StirFailure::Mark {
            return self.next_attempt(call, cx);
        }
        call.unvouched = Some(fault);
        let mapped = response::own_as(CauseCode::CallerNotAllowed, fault.status(), &self.trunk);
        let because = Because::of(fault.to_string()).named(match fault {
            Fault::Missing => Trouble::CallerUnsigned,
            _ => Trouble::CallerSignature,
        });
        let refusal = Refusal {
            // RFC 8224 §6.2.2 knows one status by its phrase alone.
            phrase: (mapped.status == fault.status()).then(|| fault.phrase()),
            ..Refusal::default()
        };
        refuse_with(call, cx, mapped, EndedBy::Us, because, refusal)
    }

    /// What a trusted peer has found out about the number of its caller.
    fn said_by_peer(&self) -> Option<Verstat> {
        use crate::sip::header::{From, PAssertedIdentity};
        if !self.trunk.trusted {
            return None;
        }
        let asserted = self.request.list::<PAssertedIdentity>().unwrap_or_default();
        let of_asserted = asserted.iter().find_map(|value| Verstat::of(value.uri()));
        let of_from = || {
            let from = self.request.essential::<From>().ok().flatten()?;
            Verstat::of(from.0.uri())
        };
        of_asserted.or_else(of_from)
    }
}

/// What a caller is told of a verification that failed, in a response that does not refuse it or that
/// does (RFC 9410 §4).
pub(super) fn told(fault: Fault) -> (HeaderName, Bytes) {
    let text = QuotedText::new(Bytes::from_static(fault.phrase().as_bytes())).ok();
    let reason = Reason::of("STIR", fault.status().code(), text);
    (HeaderName::Reason, reason.to_bytes())
}
