//! Records of the beginning of calls, for whoever bills or watches while they go on (OPS-060): as an interim record, with
//! the number 0, before all others of the call.

use sbc_core::config::CdrStart;
use sbc_core::record::Record;
use serde_json::Value;

/// The record of its beginning, if what is known of a call is the first that says so: the core tells of each call once
/// when it is taken and once when it is answered, and then of what a transfer or its end has changed. What was told of a
/// call that `goes_on` was told by the process before.
pub(super) fn line(record: &Record, goes_on: bool, at: Option<CdrStart>) -> Option<Box<str>> {
    let is_answered = record.setup_ms.is_some();
    let begins = match at? {
        CdrStart::Invite => !is_answered,
        CdrStart::Answer => is_answered && record.conversations.is_empty(),
    };
    if goes_on || !begins || record.end.is_some() {
        return None;
    }
    let mut told = serde_json::to_value(record).ok()?;
    // What it has there is what would be said if nobody said anything else.
    told["disposition"] = match is_answered {
        true => "answered".into(),
        false => Value::Null,
    };
    told["cause"] = Value::Null;
    told["interim"] = 0.into();
    Some(told.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;
    use sbc_core::id::{CallId, LegId};
    use sbc_core::record::ConversationRecord;

    /// A call that goes on, and whether somebody has answered.
    fn up(is_answered: bool) -> Record {
        let mut record = fixture::record(1);
        record.end = None;
        record.duration_ms = 0;
        record.setup_ms.take_if(|_| !is_answered);
        record
    }

    fn told(record: &Record, at: CdrStart) -> Option<Value> {
        let line = line(record, false, Some(at));
        line.map(|line| serde_json::from_str(&line).unwrap())
    }

    #[test]
    fn a_call_has_one_record_of_its_beginning_and_it_is_no_whole_one() {
        let (invite, answer) = (CdrStart::Invite, CdrStart::Answer);
        let line = told(&up(false), invite).unwrap();
        assert_eq!(
            (&line["interim"], &line["cause"]),
            (&0.into(), &Value::Null)
        );
        assert_eq!(
            (&line["disposition"], &line["end"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(line["call"], CallId(1).to_string());
        assert_eq!(told(&up(true), invite), None);
        assert_eq!(told(&up(false), answer), None);
        let line = told(&up(true), answer).unwrap();
        assert_eq!(
            (&line["interim"], &line["disposition"]),
            (&0.into(), &"answered".into())
        );
        assert_eq!(line["setup_ms"], 2_000);
    }

    #[test]
    fn what_is_told_of_a_call_later_is_no_beginning() {
        let mut transferred = up(true);
        transferred.conversations.push(ConversationRecord {
            a: LegId(0),
            b: LegId(1),
            from_ms: 0,
            duration_ms: 0,
            transfer_of: None,
            transfer_type: None,
            billed_to: transferred.ingress.trunk.clone(),
        });
        let mut refused = up(false);
        refused.end = fixture::record(1).end;
        for at in [CdrStart::Invite, CdrStart::Answer] {
            assert_eq!(told(&transferred, at), None);
            assert_eq!(told(&refused, at), None);
            assert_eq!(told(&fixture::record(1), at), None);
            assert!(line(&up(at == CdrStart::Answer), true, Some(at)).is_none());
            assert!(line(&up(at == CdrStart::Answer), false, None).is_none());
        }
    }
}
