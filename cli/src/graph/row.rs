//! A row of Microsoft's report: one call over a Direct Routing trunk, as Microsoft saw it (TDG-CDR-002).
//!
//! What is not known is passed over, and kinds of calls that nobody has heard of are kept as they are: the
//! list grows. Years before 1970 stand for "never". Who the user is (`userId`, `userPrincipalName`,
//! `userDisplayName`) is not read: no comparison needs it, and it is nobody's business here.

use sbc_core::time::UnixTime;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Longest text that is kept of a field, characters.
const LONGEST: usize = 256;

/// One call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// Its own identifier.
    pub id: String,
    /// Identifier of the call, which support asks for; legs of one call share it.
    pub correlation_id: Option<String>,
    /// When the INVITE was sent or received.
    #[serde(serialize_with = "rfc3339")]
    pub invite: UnixTime,
    /// When it failed, if it did.
    #[serde(serialize_with = "optional_rfc3339")]
    pub failed: Option<UnixTime>,
    /// When it ended.
    #[serde(serialize_with = "optional_rfc3339")]
    pub ended: Option<UnixTime>,
    /// Seconds that it was connected.
    pub duration_s: u64,
    /// Kind, such as `ByotIn`.
    pub call_type: String,
    /// Whether it was connected.
    pub is_successful: bool,
    /// Who called, perhaps with stars.
    pub caller: String,
    /// Who was called, perhaps with stars.
    pub callee: String,
    /// Final status; Microsoft writes 0 for success, too.
    pub sip_code: u16,
    /// Sub-code of Microsoft.
    pub sub_code: u32,
    /// Its phrase.
    pub phrase: String,
    /// Name of the trunk, lower case.
    pub trunk: String,
    /// Whether the trunk had media bypass.
    pub media_bypass: Option<bool>,
    /// Data centre of the signalling.
    pub signalling: String,
    /// Data centre of the media.
    pub media: String,
}

/// Which way a call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the public network to Teams.
    In,
    /// From Teams to the public network.
    Out,
}

impl Row {
    /// Reads a row; `None` if it has no identifier or nobody knows when it was.
    pub fn read(row: &Value) -> Option<Self> {
        let text = |name: &str| -> String {
            let text = row[name].as_str().unwrap_or_default();
            text.chars().take(LONGEST).collect()
        };
        let at = |name: &str| UnixTime::of_rfc3339(row[name].as_str()?);
        let number = |name: &str| row[name].as_u64().unwrap_or(0);
        let id = Some(text("id")).filter(|id| !id.is_empty())?;
        let correlation_id = text("correlationId").to_ascii_lowercase();
        Some(Self {
            id,
            correlation_id: Some(correlation_id).filter(|id| !id.is_empty()),
            invite: at("inviteDateTime").or_else(|| at("startDateTime"))?,
            failed: at("failureDateTime"),
            ended: at("endDateTime"),
            duration_s: number("duration"),
            call_type: text("callType"),
            // A row that does not say so tells it by how long they talked.
            is_successful: row["successfulCall"]
                .as_bool()
                .unwrap_or_else(|| number("duration") > 0),
            caller: text("callerNumber"),
            callee: text("calleeNumber"),
            sip_code: number("finalSipCode").try_into().unwrap_or(0),
            sub_code: number("callEndSubReason").try_into().unwrap_or(0),
            phrase: text("finalSipCodePhrase"),
            trunk: text("trunkFullyQualifiedDomainName").to_ascii_lowercase(),
            media_bypass: row["mediaBypassEnabled"].as_bool(),
            signalling: text("signalingLocation"),
            media: text("mediaPathLocation"),
        })
    }

    /// Which way it went, if its kind is one of those whose names say so.
    pub fn way(&self) -> Option<Way> {
        let begins = |with: &str| {
            let begin = self.call_type.get(..with.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with))
        };
        match (begins("ByotIn"), begins("ByotOut")) {
            (true, _) => Some(Way::In),
            (_, true) => Some(Way::Out),
            _ => None,
        }
    }
}

fn rfc3339<S: Serializer>(at: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.rfc3339())
}

fn optional_rfc3339<S: Serializer>(at: &Option<UnixTime>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// TDG-CDR-002.
    #[test]
    fn years_that_stand_for_never_and_unknown_kinds_are_no_faults() {
        let row = json!({
            "id": "9e8bba57-dc14-533a-a7dd-f0da6575eed1",
            "correlationId": "C98E1515-a937-4b81-b8a8-3992afde64e0",
            "inviteDateTime": "2026-08-01T00:00:00Z",
            "startDateTime": "2026-08-01T00:00:05.7119999Z",
            "failureDateTime": "0001-01-01T00:00:00Z",
            "endDateTime": "2026-08-01T00:00:46Z",
            "duration": 41,
            "callType": "ByotQuantum",
            "successfulCall": true,
            "callerNumber": "+12345678***",
            "calleeNumber": null,
            "finalSipCode": 0,
            "callEndSubReason": 540_000,
            "finalSipCodePhrase": "BYE",
            "trunkFullyQualifiedDomainName": "SBC1.contoso.example",
            "mediaBypassEnabled": false,
            "somethingNew": { "x": [1] },
        });
        let read = Row::read(&row).unwrap();
        assert_eq!((read.failed, read.way()), (None, None));
        assert_eq!(read.ended.unwrap().rfc3339(), "2026-08-01T00:00:46.000Z");
        // Who does not say whether it was connected says for how long.
        for (duration, is_successful) in [(41, true), (0, false)] {
            let mut unsaid = row.clone();
            unsaid["duration"] = json!(duration);
            unsaid.as_object_mut().unwrap().remove("successfulCall");
            assert_eq!(Row::read(&unsaid).unwrap().is_successful, is_successful);
        }
        assert_eq!(read.call_type, "ByotQuantum");
        assert_eq!(read.trunk, "sbc1.contoso.example");
        assert_eq!((read.callee.as_str(), read.sub_code), ("", 540_000));
        let id = read.correlation_id.as_deref();
        assert_eq!(id, Some("c98e1515-a937-4b81-b8a8-3992afde64e0"));
        // Numbers that are none, and a time that is none, are no call.
        let odd = json!({ "id": "a", "inviteDateTime": "2026-08-01T00:00:00.1Z", "finalSipCode": -1,
                          "callEndSubReason": 1e300, "duration": "x" });
        let odd = Row::read(&odd).unwrap();
        assert_eq!((odd.sip_code, odd.sub_code, odd.duration_s), (0, 0, 0));
        for none in [
            json!({ "id": "a", "inviteDateTime": "0001-01-01T00:00:00Z" }),
            json!({ "inviteDateTime": "2026-08-01T00:00:00Z" }),
            json!([]),
            json!("x"),
        ] {
            assert_eq!(Row::read(&none), None);
        }
        for (kind, way) in [
            ("ByotIn", Some(Way::In)),
            ("byotInEmergency", Some(Way::In)),
            ("ByotOutUserForwarding", Some(Way::Out)),
            ("EmergencyOut", None),
        ] {
            let row = Row {
                call_type: kind.to_owned(),
                ..read.clone()
            };
            assert_eq!(row.way(), way, "{kind}");
        }
    }
}
