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
        Happened::Media(media_api::Event::OneWay { endpoint, kind, .. }) => (
            "media.one_way",
            json!({ "leg": endpoint.0, "kind": kind.as_str() }),
        ),
        Happened::Overload {
            shard,
            stage,
            lag_ms,
            strain,
        } => (
            "overload.stage",
            json!({
                "shard": shard.0,
                "stage": stage,
                "lag_ms": lag_ms,
                "cpu_per_mille": strain.cpu,
                "memory_per_mille": strain.memory,
            }),
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{EndpointId, OneWayKind, SessionId};
    use sbc_core::id::ShardId;
    use sbc_core::overload::{Stage, Strain};

    #[test]
    fn what_is_told_says_which_and_how_much() {
        let (_, data) = told(&Happened::Overload {
            shard: ShardId(1),
            stage: Stage::Heavy,
            lag_ms: 120,
            strain: Strain {
                cpu: 910,
                memory: 400,
            },
        })
        .unwrap();
        let wanted = json!({
            "shard": 1, "stage": "heavy", "lag_ms": 120,
            "cpu_per_mille": 910, "memory_per_mille": 400,
        });
        assert_eq!(data, wanted);
        let (_, data) = told(&Happened::Media(media_api::Event::OneWay {
            session: SessionId(7),
            endpoint: EndpointId(1),
            kind: OneWayKind::NoPackets,
        }))
        .unwrap();
        assert_eq!(
            data,
            json!({ "leg": 1, "kind": OneWayKind::NoPackets.as_str() })
        );
    }
}
