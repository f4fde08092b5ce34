//! The record of a call that talks, for the process after this one. Figures of media come at the end of all and are not
//! in it yet; what records have got since form 2 stands behind the call ([`Added`]).

use super::{
    AttemptRecord, ConversationRecord, Custom, CustomValue, Disposition, GivenUp, KeptNumbers,
    LegRecord, LocalMediaRecord, OneWayRecord, PartyRecord, PlaceRecord, Record, TranscodedRecord,
    TransferKind, TransferOutcome, TransferRecord,
};
use crate::kept::known;
use crate::policy::country;
use media_api::wire::{Reader, Wire, WireFault, Writer};
use media_api::wire_layout;

/// A word of ours, if there is one.
fn word(from: &mut Reader<'_>) -> Result<Option<&'static str>, WireFault> {
    Ok(<Option<String> as Wire>::take(from)?
        .as_deref()
        .and_then(known))
}

impl Wire for Record {
    fn put(&self, out: &mut Writer) {
        let Self {
            version,
            call,
            node,
            tenant,
            numbers,
            start,
            first_progress_ms,
            setup_ms,
            duration_ms,
            end,
            billsec,
            held_ms,
            calling_raw,
            called_raw,
            calling_name,
            calling,
            called,
            country_to: _,
            prefix_id: _,
            charged_party: _,
            asserted,
            withheld,
            screening,
            verstat,
            signed,
            attest,
            origid,
            diverting,
            divert_reason,
            diversions,
            session_id,
            icid,
            user_to_user,
            custom: _,
            emergency,
            place,
            ingress,
            egress,
            disposition,
            cause,
            end_reason,
            route_name,
            route,
            local_media,
            media: _,
            media_captured,
            one_way,
            transcoded,
            transfers,
            conversations,
            answered_by,
            parties,
        } = self;
        version.put(out);
        call.put(out);
        node.put(out);
        tenant.put(out);
        numbers.put(out);
        start.put(out);
        first_progress_ms.put(out);
        setup_ms.put(out);
        duration_ms.put(out);
        end.put(out);
        billsec.put(out);
        held_ms.put(out);
        calling_raw.put(out);
        called_raw.put(out);
        calling_name.put(out);
        calling.put(out);
        called.put(out);
        asserted.put(out);
        withheld.put(out);
        screening.map(str::to_owned).put(out);
        verstat.put(out);
        signed.put(out);
        attest.map(str::to_owned).put(out);
        origid.put(out);
        diverting.put(out);
        divert_reason.map(str::to_owned).put(out);
        diversions.put(out);
        session_id.put(out);
        icid.put(out);
        user_to_user.put(out);
        emergency.put(out);
        place.put(out);
        ingress.put(out);
        egress.put(out);
        disposition.put(out);
        cause.put(out);
        end_reason.put(out);
        route_name.put(out);
        route.put(out);
        local_media.put(out);
        media_captured.map(str::to_owned).put(out);
        one_way.put(out);
        transcoded.put(out);
        transfers.put(out);
        conversations.put(out);
        answered_by.put(out);
        parties.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self {
            version: Wire::take(from)?,
            call: Wire::take(from)?,
            node: Wire::take(from)?,
            tenant: Wire::take(from)?,
            numbers: Wire::take(from)?,
            start: Wire::take(from)?,
            first_progress_ms: Wire::take(from)?,
            setup_ms: Wire::take(from)?,
            duration_ms: Wire::take(from)?,
            end: Wire::take(from)?,
            billsec: Wire::take(from)?,
            held_ms: Wire::take(from)?,
            calling_raw: Wire::take(from)?,
            called_raw: Wire::take(from)?,
            calling_name: Wire::take(from)?,
            calling: Wire::take(from)?,
            called: Wire::take(from)?,
            country_to: None,
            prefix_id: None,
            charged_party: None,
            asserted: Wire::take(from)?,
            withheld: Wire::take(from)?,
            screening: word(from)?,
            verstat: Wire::take(from)?,
            signed: Wire::take(from)?,
            attest: word(from)?,
            origid: Wire::take(from)?,
            diverting: Wire::take(from)?,
            divert_reason: word(from)?,
            diversions: Wire::take(from)?,
            session_id: Wire::take(from)?,
            icid: Wire::take(from)?,
            user_to_user: Wire::take(from)?,
            custom: Custom::default(),
            emergency: Wire::take(from)?,
            place: Wire::take(from)?,
            ingress: Wire::take(from)?,
            egress: Wire::take(from)?,
            disposition: Wire::take(from)?,
            cause: Wire::take(from)?,
            end_reason: Wire::take(from)?,
            route_name: Wire::take(from)?,
            route: Wire::take(from)?,
            local_media: Wire::take(from)?,
            media: Vec::new(),
            media_captured: word(from)?,
            one_way: Wire::take(from)?,
            transcoded: Wire::take(from)?,
            transfers: Wire::take(from)?,
            conversations: Wire::take(from)?,
            answered_by: Wire::take(from)?,
            parties: Wire::take(from)?,
        })
    }
}

/// What records have got since form 2, which is left as it was and so can still be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Added {
    country_to: Option<String>,
    prefix_id: Option<String>,
    charged_party: Option<String>,
    custom: Custom,
    /// Of each attempt, in order.
    of_attempts: Vec<Custom>,
}

impl Record {
    /// What stands behind it.
    pub(crate) fn added(&self) -> Added {
        let attempts = self.egress.iter();
        Added {
            country_to: self.country_to.map(str::to_owned),
            prefix_id: self.prefix_id.clone(),
            charged_party: self.charged_party.clone(),
            custom: self.custom.clone(),
            of_attempts: attempts.map(|own| own.custom.clone()).collect(),
        }
    }

    /// Takes what stood behind it.
    pub(crate) fn add(&mut self, added: Added) -> Result<(), WireFault> {
        if added.of_attempts.len() != self.egress.len() {
            return Err(WireFault::Value("attempts"));
        }
        self.country_to = added.country_to.as_deref().and_then(country::named);
        self.prefix_id = added.prefix_id;
        self.charged_party = added.charged_party;
        self.custom = added.custom;
        for (own, custom) in self.egress.iter_mut().zip(added.of_attempts) {
            own.custom = custom;
        }
        Ok(())
    }
}

impl Wire for Custom {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Wire::take(from).map(Self)
    }
}

impl Wire for AttemptRecord {
    fn put(&self, out: &mut Writer) {
        let Self {
            leg,
            trunk,
            called,
            custom: _,
            host,
            protocol,
            remote,
            tls,
            call_id,
            user_agent,
            started_ms,
            ended_ms,
            status,
            phrase,
            q850,
            q850_location,
            warning,
            reason,
            fault,
            first_response_ms,
            first_progress_ms,
            given_up,
            teams_call,
        } = self;
        leg.put(out);
        trunk.put(out);
        called.put(out);
        host.put(out);
        protocol.put(out);
        remote.put(out);
        tls.put(out);
        call_id.put(out);
        user_agent.put(out);
        started_ms.put(out);
        ended_ms.put(out);
        status.put(out);
        phrase.put(out);
        q850.put(out);
        q850_location.put(out);
        warning.put(out);
        reason.put(out);
        fault.put(out);
        first_response_ms.put(out);
        first_progress_ms.put(out);
        given_up.put(out);
        teams_call.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self {
            leg: Wire::take(from)?,
            trunk: Wire::take(from)?,
            called: Wire::take(from)?,
            custom: Custom::default(),
            host: Wire::take(from)?,
            protocol: Wire::take(from)?,
            remote: Wire::take(from)?,
            tls: Wire::take(from)?,
            call_id: Wire::take(from)?,
            user_agent: Wire::take(from)?,
            started_ms: Wire::take(from)?,
            ended_ms: Wire::take(from)?,
            status: Wire::take(from)?,
            phrase: Wire::take(from)?,
            q850: Wire::take(from)?,
            q850_location: Wire::take(from)?,
            warning: Wire::take(from)?,
            reason: Wire::take(from)?,
            fault: Wire::take(from)?,
            first_response_ms: Wire::take(from)?,
            first_progress_ms: Wire::take(from)?,
            given_up: Wire::take(from)?,
            teams_call: Wire::take(from)?,
        })
    }
}

impl Wire for LocalMediaRecord {
    fn put(&self, out: &mut Writer) {
        self.at_ms.put(out);
        self.leg.put(out);
        self.choice.put(out);
        self.realm.put(out);
        self.moved.map(str::to_owned).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self {
            at_ms: Wire::take(from)?,
            leg: Wire::take(from)?,
            choice: Wire::take(from)?,
            realm: Wire::take(from)?,
            moved: word(from)?,
        })
    }
}

wire_layout! {
    struct PlaceRecord { method, fault, elin }
    struct PartyRecord { leg, trunk, number }
    struct ConversationRecord {
        a, b, from_ms, duration_ms, transfer_of, transfer_type, billed_to,
    }
    struct TransferRecord {
        at_ms, kind, by, trunk, party, target, teams_call, leg, outcome, status, because,
    }
    struct LegRecord {
        trunk, protocol, local, remote, tls, peer_names, call_id, from_tag, to_tag, user_agent, teams_call,
    }
    struct Added { country_to, prefix_id, charged_party, custom, of_attempts }
    struct CustomValue { name, value, has_digits }
    struct GivenUp { host, why }
    struct OneWayRecord { leg, kind, at_ms, lasted_ms }
    struct TranscodedRecord { leg, heard_by, from, to, at_ms }

    enum KeptNumbers {
        0: Full,
        1: Cut,
        2: Hashed,
    }

    enum TransferKind {
        0: Blind,
        1: Attended,
        2: Replaced,
        3: Relayed,
    }

    enum TransferOutcome {
        0: Completed,
        1: Failed,
        2: Refused,
        3: Abandoned,
        4: Unknown,
    }

    enum Disposition {
        0: Answered,
        1: Busy,
        2: NoAnswer,
        3: Rejected,
        4: Cancelled,
        5: Failed,
    }
}
