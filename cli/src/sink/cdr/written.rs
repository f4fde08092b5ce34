//! What the writer of records makes lines of.

use crate::sink::json;
use sbc_core::id::CallId;
use sbc_core::record::Record;
use sbc_core::report::KeptExplanation;

/// What is written as lines of JSON, by the writer's thread.
pub(super) trait Lines: Send + Sync {
    /// With those of pairs of legs, if they are wanted.
    fn json(&self, pairs: bool) -> serde_json::Result<Vec<String>>;

    /// The call that is over with it.
    fn call(&self) -> Option<CallId>;
}

impl Lines for Record {
    fn json(&self, pairs: bool) -> serde_json::Result<Vec<String>> {
        let mut line = json::text(self)?;
        // Behind the rest: a ladder is forgotten within the hour, and why a call failed is asked for weeks later.
        if let Some(told) = KeptExplanation::of(self)
            && line.pop() == Some('}')
        {
            line.push_str(",\"explanation\":");
            json::write(&mut line, &told)?;
            line.push('}');
        }
        let mut lines = vec![line];
        if pairs {
            for pair in self.pairs() {
                lines.push(json::text(&pair)?);
            }
        }
        Ok(lines)
    }

    fn call(&self) -> Option<CallId> {
        Some(self.call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;
    use sbc_core::cause::CauseCode;
    use serde_json::Value;

    #[test]
    fn the_record_of_a_call_that_failed_says_why_and_what_to_change_and_that_of_another_does_not() {
        let told = |record: &Record| {
            let lines = record.json(false).unwrap();
            assert_eq!(lines.len(), 1);
            serde_json::from_str::<Value>(&lines[0]).unwrap()
        };
        let mut record = fixture::record(7);
        let fine = told(&record);
        assert!(fine.get("explanation").is_none(), "{fine}");
        record.cause.code = CauseCode::NoRoute;
        record.cause.status = Some(404);
        let failed = told(&record);
        let own = &failed["explanation"];
        let name = sbc_core::report::explain(&record).name;
        assert_eq!(own["name"], name.as_str());
        assert_eq!(name.code(), CauseCode::NoRoute);
        for text in ["who", "place", "why"] {
            assert!(!own[text].as_str().unwrap().is_empty(), "{own}");
        }
        assert!(own["change"][0].as_str().is_some(), "{own}");
        // The rest is as it was.
        assert_eq!(failed["call"], fine["call"]);
        assert_eq!(failed["egress"], fine["egress"]);
    }
}
