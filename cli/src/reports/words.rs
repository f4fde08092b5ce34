//! What each side makes of a call, in a line of words, and whether they say the same.

use super::own::OwnCall;
use crate::graph::Row;
use sbc_core::report::sub_code_in_words;
use std::fmt::Write;

/// By how many seconds both may differ about how long people talked: each counts from its own messages.
const TALKED_S: u64 = 5;

/// What we make of a call.
pub fn ours(call: &OwnCall) -> String {
    let mut text = call.disposition.replace('_', " ");
    if call.disposition == "answered" {
        let _ = write!(text, ", {} s", call.talked_s);
    }
    let who = match call.by.as_str() {
        "a" => "by the caller's side",
        "b" => "by the called side",
        _ => "by this SBC",
    };
    let _ = write!(text, ", ended {who}: {}", call.cause);
    if let Some(last) = call.because.last() {
        let _ = write!(text, " ({last})");
    }
    text
}

/// What Microsoft makes of a call.
pub fn microsofts(row: &Row) -> String {
    let mut text = match row.is_successful {
        true => format!("connected, {} s", row.duration_s),
        false => "not connected".to_owned(),
    };
    if row.sip_code != 0 {
        let _ = write!(text, ", {}", row.sip_code);
    }
    if !row.phrase.is_empty() {
        let _ = write!(text, " {}", row.phrase);
    }
    if row.sub_code != 0 {
        let _ = match sub_code_in_words(row.sub_code) {
            Some((means, _)) => write!(text, ", {}: {means}", row.sub_code),
            None => write!(text, ", {}: not a published code", row.sub_code),
        };
    }
    text
}

/// What to look at here because of a row; nothing where nothing here is the reason.
pub fn advice(row: &Row) -> Option<&'static str> {
    let (_, look_at) = sub_code_in_words(row.sub_code)?;
    (!look_at.is_empty()).then_some(look_at)
}

/// In what both differ about a call, in words.
pub fn difference(call: &OwnCall, row: &Row) -> Option<String> {
    let is_answered = call.disposition == "answered";
    match (is_answered, row.is_successful) {
        (true, false) => {
            return Some("we say it was answered, Microsoft that it was not".to_owned());
        }
        (false, true) => {
            return Some("Microsoft says it was connected, we that it was not".to_owned());
        }
        (true, true) => {
            let apart = call.talked_s.abs_diff(row.duration_s);
            return (apart > TALKED_S).then(|| {
                format!("{apart} s apart in how long they talked: whose BYE was not seen?")
            });
        }
        (false, false) => {}
    }
    // What Teams answered us, and what it says it answered; of calls from Teams each notes what it got.
    let theirs = row.sip_code;
    let ours = call
        .visits
        .iter()
        .filter(|visit| visit.trunk == row.trunk)
        .find_map(|visit| visit.status)
        .filter(|status| *status >= 300);
    ours.filter(|status| theirs >= 300 && theirs != *status)
        .map(|status| format!("we have the status {status}, Microsoft {theirs}"))
}

/// What to look at because of a call that only Microsoft knows.
pub fn unknown_here(row: &Row) -> String {
    if let Some(look_at) = advice(row) {
        return format!("it never reached us: {look_at}");
    }
    match row.is_successful {
        true => "we have no record: another node with this name, or a spool that was shipped away or lost"
            .to_owned(),
        false => "it never reached us: look for refused connections and 4xx before routing in the log of \
                  that time"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::time::UnixTime;
    use serde_json::json;

    fn row(rest: serde_json::Value) -> Row {
        let mut row = json!({ "id": "r", "inviteDateTime": "2026-08-01T10:00:00Z",
                              "trunkFullyQualifiedDomainName": "sbc1.contoso.example" });
        for (name, value) in rest.as_object().unwrap() {
            row[name] = value.clone();
        }
        Row::read(&row).unwrap()
    }

    fn call(disposition: &str, talked_s: u64, status: Option<u16>) -> OwnCall {
        let at = UnixTime::from_micros(0);
        OwnCall {
            call: "a".to_owned(),
            start: at,
            start_text: String::new(),
            calling: String::new(),
            called: String::new(),
            disposition: disposition.to_owned(),
            talked_s,
            cause: "peer_rejected".to_owned(),
            by: "b".to_owned(),
            because: vec!["one".to_owned(), "two".to_owned()],
            visits: vec![super::super::own::Visit {
                trunk: "sbc1.contoso.example".to_owned(),
                is_from_teams: false,
                between: (at, at),
                calling: Vec::new(),
                called: Vec::new(),
                guids: Default::default(),
                status,
            }],
        }
    }

    #[test]
    fn both_sides_are_told_in_words() {
        let good = row(
            json!({ "successfulCall": true, "duration": 41, "callEndSubReason": 540_000,
                               "finalSipCodePhrase": "BYE" }),
        );
        assert_eq!(
            microsofts(&good),
            "connected, 41 s BYE, 540000: a normal end"
        );
        let bad = row(json!({ "finalSipCode": 504, "callEndSubReason": 569_008 }));
        assert_eq!(
            microsofts(&bad),
            "not connected, 504, 569008: our certificate has expired"
        );
        assert_eq!(unknown_here(&bad), "it never reached us: renew it");
        let odd = row(json!({ "callEndSubReason": 999_999 }));
        assert_eq!(
            microsofts(&odd),
            "not connected, 999999: not a published code"
        );
        assert!(unknown_here(&good).starts_with("we have no record"));
        assert_eq!(
            ours(&call("answered", 40, Some(200))),
            "answered, 40 s, ended by the called side: peer_rejected (two)"
        );
        assert!(ours(&call("no_answer", 0, None)).starts_with("no answer, ended"));
    }

    #[test]
    fn only_what_differs_is_called_a_difference() {
        let connected = row(json!({ "successfulCall": true, "duration": 41, "finalSipCode": 200 }));
        let refused = row(json!({ "finalSipCode": 404, "callEndSubReason": 511_404 }));
        assert_eq!(
            difference(&call("answered", 38, Some(200)), &connected),
            None
        );
        assert_eq!(difference(&call("rejected", 0, Some(404)), &refused), None);
        assert_eq!(difference(&call("cancelled", 0, None), &refused), None);
        for (call, row, words) in [
            (call("answered", 0, Some(200)), &connected, "41 s apart"),
            (
                call("answered", 3, Some(200)),
                &refused,
                "we say it was answered",
            ),
            (
                call("cancelled", 0, None),
                &connected,
                "Microsoft says it was connected",
            ),
            (
                call("rejected", 0, Some(486)),
                &refused,
                "status 486, Microsoft 404",
            ),
        ] {
            let told = difference(&call, row).unwrap();
            assert!(told.contains(words), "{told}");
        }
    }
}
