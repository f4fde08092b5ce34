//! What happens, for whoever listens at this moment: bounded for each listener, and nothing is made while nobody
//! listens (OPS-001).

use sbc_core::event::{Event, Happened};
use sbc_core::record::Disposition;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Items that a listener may be behind; who is further behind misses some, and is told so.
const BACKLOG: usize = 1_024;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Item {
    /// Such as `call.start`.
    pub kind: &'static str,
    /// The rest.
    pub data: Value,
}

/// Tells listeners.
#[derive(Clone, Debug)]
pub struct News(broadcast::Sender<Arc<Item>>);

impl Default for News {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl News {
    /// Everything from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Item>> {
        self.0.subscribe()
    }

    /// Tells something that is not an event of a shard.
    pub fn tell(&self, kind: &'static str, data: Value) {
        if self.0.receiver_count() > 0 {
            // Whoever listened may have left at this moment.
            let _ = self.0.send(Arc::new(Item { kind, data }));
        }
    }

    /// Tells an event of a shard, if it is of interest.
    pub fn apply(&self, event: &Event) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let Some((kind, mut data)) = told(&event.what) else {
            return;
        };
        data["at"] = event.at.rfc3339().into();
        if let Some(call) = event.call {
            data["call"] = json!(call);
        }
        self.tell(kind, data);
    }
}

fn told(what: &Happened) -> Option<(&'static str, Value)> {
    Some(match what {
        Happened::Admitted {
            tenant,
            trunk,
            calling,
            called,
        } => (
            "call.start",
            json!({ "tenant": tenant, "trunk": trunk, "calling": calling, "called": called }),
        ),
        Happened::Answered { setup_ms } => ("call.answer", json!({ "setup_ms": setup_ms })),
        Happened::Ended(record) => (
            "call.end",
            json!({
                "disposition": record.disposition,
                "duration_ms": record.duration_ms,
                "cause": record.cause,
                "is_failure": record.disposition == Disposition::Failed,
            }),
        ),
        Happened::TargetHealth {
            target,
            state,
            because,
        } => (
            "peer.state",
            json!({
                "trunk": target.trunk,
                "peer": target.host,
                "state": state.as_str(),
                "because": because,
            }),
        ),
        Happened::Registration {
            standing,
            is_news: true,
            because,
            ..
        } => (
            "registration.state",
            json!({ "trunk": standing.trunk, "state": standing.state, "because": because }),
        ),
        Happened::Media(media_api::Event::OneWay { kind, .. }) => {
            ("media.one_way", json!({ "kind": kind.as_str() }))
        }
        Happened::Overload { .. } => ("overload.stage", json!({})),
        _ => return None,
    })
}
