//! One record for each pair of legs that talked to each other: for billing that knows no transfers, only
//! who talked to whom, since when, for how long and at whose expense (SIP-811).

use super::{ConversationRecord, Record, TransferKind, rfc3339};
use crate::id::{CallId, LegId, TenantName, TrunkName};
use crate::time::UnixTime;
use serde::Serialize;

/// Two legs of a call that talked to each other. Serialises to one JSON object, which is told from that
/// of a call by its `pair`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PairRecord<'a> {
    /// Version of this layout.
    pub version: u16,
    /// Name of the pair: the call's and a number; also the idempotency key of the record.
    pub pair: String,
    /// Identifier of the call.
    pub call: CallId,
    /// Node that carried it.
    pub node: &'a str,
    /// Customer; nothing for a number that nobody owns.
    pub tenant: Option<&'a TenantName>,
    /// Name of the call from end to end.
    pub session_id: &'a str,
    /// When the two began to talk.
    #[serde(serialize_with = "rfc3339")]
    pub start: UnixTime,
    /// For how long, in milliseconds.
    pub duration_ms: u64,
    /// Who stood on the caller's side.
    pub a: PairEnd<'a>,
    /// Who stood on the called side.
    pub b: PairEnd<'a>,
    /// The pair that was transferred; nothing for the first of a call.
    pub transfer_of: Option<String>,
    /// `blind` or `attended`; also that of an INVITE that takes a party's place.
    pub transfer_type: Option<&'static str>,
    /// The trunk that pays: the caller's, then that of who transferred the call.
    pub billed_to: &'a TrunkName,
    /// Whether it was a call for help.
    pub emergency: bool,
}

/// One side of a pair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PairEnd<'a> {
    /// Leg.
    pub leg: LegId,
    /// Its trunk.
    pub trunk: Option<&'a TrunkName>,
    /// Its number, as the record of the call writes it.
    pub number: Option<&'a str>,
}

impl Record {
    /// The pairs of legs that talked to each other, in order; none of a call that was not answered.
    pub fn pairs(&self) -> Vec<PairRecord<'_>> {
        let Some(answered_by) = self.answered_by else {
            return Vec::new();
        };
        if self.conversations.is_empty() {
            let whole = ConversationRecord {
                a: LegId(0),
                b: answered_by,
                from_ms: self.setup_ms.unwrap_or_default(),
                duration_ms: self.duration_ms,
                transfer_of: None,
                transfer_type: None,
                billed_to: self.ingress.trunk.clone(),
            };
            let billed_to = &self.ingress.trunk;
            return vec![self.pair(0, &whole, billed_to)];
        }
        let told = self.conversations.iter().enumerate();
        told.map(|(at, own)| self.pair(at, own, &own.billed_to))
            .collect()
    }

    fn pair<'a>(
        &'a self,
        at: usize,
        own: &ConversationRecord,
        billed_to: &'a TrunkName,
    ) -> PairRecord<'a> {
        let start = self.start.as_micros();
        let since_us = own.from_ms.saturating_mul(1_000);
        PairRecord {
            version: self.version,
            pair: self.pair_name(at),
            call: self.call,
            node: &self.node,
            tenant: self.tenant.as_ref(),
            session_id: &self.session_id,
            start: UnixTime::from_micros(start.saturating_add(since_us)),
            duration_ms: own.duration_ms,
            a: self.pair_end(own.a),
            b: self.pair_end(own.b),
            transfer_of: own.transfer_of.map(|before| self.pair_name(before)),
            transfer_type: own.transfer_type.map(|kind| match kind {
                TransferKind::Blind | TransferKind::Relayed => "blind",
                TransferKind::Attended | TransferKind::Replaced => "attended",
            }),
            billed_to,
            emergency: self.emergency,
        }
    }

    fn pair_name(&self, at: usize) -> String {
        format!("{}-{at}", self.call)
    }

    fn pair_end(&self, leg: LegId) -> PairEnd<'_> {
        let called = || {
            let mut attempts = self.egress.iter();
            let own = attempts.find(|attempt| attempt.leg == leg)?;
            Some((&own.trunk, own.called.as_str()))
        };
        let came = || {
            let mut parties = self.parties.iter();
            let own = parties.find(|party| party.leg == leg)?;
            Some((&own.trunk, own.number.as_str()))
        };
        let known = match leg {
            LegId(0) => Some((&self.ingress.trunk, self.calling.as_str())),
            _ => called().or_else(came),
        };
        PairEnd {
            leg,
            trunk: known.map(|(trunk, _)| trunk),
            number: known.map(|(_, number)| number),
        }
    }
}
