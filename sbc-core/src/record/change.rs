//! What changes in a record while its call is up: whoever keeps a journal of such calls writes the rest of it once.

use super::{
    AttemptRecord, ConversationRecord, Disposition, LegRecord, LocalMediaRecord, MediaRecord,
    OneWayRecord, Record, TranscodedRecord, TransferRecord, optional_rfc3339,
};
use crate::cause::Cause;
use crate::id::CallId;
use crate::time::UnixTime;
use serde::Serialize;
use std::hash::{BuildHasher, Hash, Hasher};

/// The part of a record that changes; its fields are those of [`Record`]. Laid over the JSON of what the record was
/// before, it makes the JSON of what it is now, as long as [`Record::beginning`] says the same of both.
#[derive(Clone, Debug, Serialize)]
pub struct Change<'a> {
    call: CallId,
    first_progress_ms: Option<u64>,
    setup_ms: Option<u64>,
    duration_ms: u64,
    #[serde(serialize_with = "optional_rfc3339")]
    end: Option<UnixTime>,
    billsec: u64,
    held_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<&'a LegRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<&'a [AttemptRecord]>,
    disposition: Disposition,
    cause: &'a Cause,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    local_media: &'a [LocalMediaRecord],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    media: &'a [MediaRecord],
    #[serde(skip_serializing_if = "Option::is_none")]
    media_captured: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    one_way: &'a [OneWayRecord],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    transcoded: &'a [TranscodedRecord],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    transfers: &'a [TransferRecord],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    conversations: &'a [ConversationRecord],
}

impl Record {
    /// What has changed, with the legs if they have.
    pub fn change(&self, has_legs: bool) -> Change<'_> {
        Change {
            call: self.call,
            first_progress_ms: self.first_progress_ms,
            setup_ms: self.setup_ms,
            duration_ms: self.duration_ms,
            end: self.end,
            billsec: self.billsec,
            held_ms: self.held_ms,
            ingress: has_legs.then_some(&self.ingress),
            egress: has_legs.then_some(&self.egress),
            disposition: self.disposition,
            cause: &self.cause,
            end_reason: self.end_reason.as_deref(),
            local_media: &self.local_media,
            media: &self.media,
            media_captured: self.media_captured,
            one_way: &self.one_way,
            transcoded: &self.transcoded,
            transfers: &self.transfers,
            conversations: &self.conversations,
        }
    }

    /// What stays as it is while the call is up, usually, as one number.
    pub fn beginning(&self, by: &impl BuildHasher) -> u64 {
        // Each field is here or in a change, but for those that no JSON has.
        let Self {
            version,
            call,
            node,
            tenant,
            start,
            first_progress_ms: _,
            setup_ms: _,
            duration_ms: _,
            end: _,
            billsec: _,
            held_ms: _,
            numbers,
            calling_raw,
            called_raw,
            calling_name,
            calling,
            called,
            country_to,
            prefix_id,
            charged_party,
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
            custom,
            emergency,
            place,
            ingress: _,
            egress: _,
            disposition: _,
            cause: _,
            end_reason: _,
            route_name,
            route,
            local_media: _,
            media: _,
            media_captured: _,
            one_way: _,
            transcoded: _,
            transfers: _,
            conversations: _,
            answered_by: _,
            parties: _,
        } = self;
        let mut all = by.build_hasher();
        (version, call, node, tenant, start, numbers).hash(&mut all);
        (calling_raw, called_raw, calling_name, calling, called).hash(&mut all);
        (asserted, withheld, screening, verstat, signed, attest).hash(&mut all);
        (origid, diverting, divert_reason, diversions).hash(&mut all);
        (country_to, prefix_id, charged_party, custom).hash(&mut all);
        (session_id, icid, user_to_user, emergency, place).hash(&mut all);
        (route_name, &route.0).hash(&mut all);
        all.finish()
    }

    /// What is known of its legs, as one number.
    pub fn legs(&self, by: &impl BuildHasher) -> u64 {
        by.hash_one((&self.ingress, &self.egress))
    }
}
