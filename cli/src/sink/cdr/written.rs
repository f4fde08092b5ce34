//! What the writer of records makes lines of.

use crate::sink::json;
use sbc_core::id::CallId;
use sbc_core::record::Record;

/// What is written as lines of JSON, by the writer's thread.
pub(super) trait Lines: Send + Sync {
    /// With those of pairs of legs, if they are wanted.
    fn json(&self, pairs: bool) -> serde_json::Result<Vec<String>>;

    /// The call that is over with it.
    fn call(&self) -> Option<CallId>;
}

impl Lines for Record {
    fn json(&self, pairs: bool) -> serde_json::Result<Vec<String>> {
        let mut lines = vec![json::text(self)?];
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
