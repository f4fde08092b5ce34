//! What happens, for whoever listens at this moment: bounded for each listener, and nothing is made while nobody
//! listens (OPS-001).

use sbc_core::event::{Event, Happened};
use sbc_core::id::TrunkName;
use sbc_core::record::{Disposition, Record};
use sbc_core::trunk::Closing;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Items that a listener may be behind; who is further behind misses some, and is told so.
const BACKLOG: usize = 1_024;

/// What kinds of things happen. Names are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A call was admitted: tenant, trunk, calling, called.
    CallStart,
    /// It was answered: setup_ms.
    CallAnswer,
    /// It is over: disposition, duration_ms, cause, is_failure, trunks.
    CallEnd,
    /// A target of a trunk is up, down, busy, refuses or is gone: trunk, peer, state, because.
    PeerState,
    /// An operator disables a trunk, drains it, or lets it have calls again: trunk, state.
    TrunkState,
    /// A registration of ours has another state: trunk, state, because.
    RegistrationState,
    /// Somebody is not heard in a call: leg, kind.
    MediaOneWay,
    /// A shard is loaded more or less than before: shard, stage, lag_ms, cpu_per_mille, memory_per_mille.
    OverloadStage,
    /// A configuration was taken into use: generation.
    ConfigReload,
    /// One was refused, and nothing has changed: generation, by, why, errors.
    ConfigRefused,
    /// Something is wrong with the node: alarm.
    AlarmRaised,
    /// It is not any more: alarm.
    AlarmCleared,
    /// The node drains, or takes calls again: state.
    NodeState,
    /// An authority has issued a certificate: context, until.
    CertificateIssued,
    /// An authority has not: context, why, next, result.
    CertificateFailed,
    /// A renewed certificate is in use: context.
    CertificateRenewed,
    /// A renewed certificate cannot be used: context, why.
    CertificateRefused,
    /// A renewed certificate was tried while Teams answered nobody, and waits: context, why.
    CertificateWaits,
    /// Asking Microsoft for presence works, or does not any more: tenant, state, because.
    PresenceState,
    /// An operator has banned addresses, or that has ended: address, state, until, by, reason.
    SecurityBan,
    /// An operator lets addresses in as a trunk's, or that has ended: trunk, address, state, until, by, reason.
    SecurityGuest,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::CallStart,
        Self::CallAnswer,
        Self::CallEnd,
        Self::PeerState,
        Self::TrunkState,
        Self::RegistrationState,
        Self::MediaOneWay,
        Self::OverloadStage,
        Self::ConfigReload,
        Self::ConfigRefused,
        Self::AlarmRaised,
        Self::AlarmCleared,
        Self::NodeState,
        Self::CertificateIssued,
        Self::CertificateFailed,
        Self::CertificateRenewed,
        Self::CertificateRefused,
        Self::CertificateWaits,
        Self::PresenceState,
        Self::SecurityBan,
        Self::SecurityGuest,
    ];

    /// Its name, and what it tells besides the call.
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::CallStart => (
                "call.start",
                "a call was admitted: tenant, trunk, calling, called",
            ),
            Self::CallAnswer => ("call.answer", "it was answered: setup_ms"),
            Self::CallEnd => (
                "call.end",
                "it is over: disposition, duration_ms, cause, is_failure, trunks",
            ),
            Self::PeerState => (
                "peer.state",
                "a target of a trunk is up, down, busy, refuses or is gone: trunk, peer, state, because",
            ),
            Self::TrunkState => (
                "trunk.state",
                "an operator disables a trunk, drains it, or lets it have calls again: trunk, state",
            ),
            Self::RegistrationState => (
                "registration.state",
                "a registration of ours has another state: trunk, state, because",
            ),
            Self::MediaOneWay => (
                "media.one_way",
                "somebody is not heard in a call: leg, kind",
            ),
            Self::OverloadStage => (
                "overload.stage",
                "a shard is loaded more or less than before: shard, stage, lag_ms, cpu_per_mille, memory_per_mille",
            ),
            Self::ConfigReload => (
                "config.reload",
                "a configuration was taken into use: generation",
            ),
            Self::ConfigRefused => (
                "config.refused",
                "a reload or a rollback was refused, and nothing has changed: generation, by, why, errors",
            ),
            Self::AlarmRaised => (
                "alarm.raised",
                "something is wrong with the node, as /alarms tells it: alarm",
            ),
            Self::AlarmCleared => ("alarm.cleared", "what was wrong is not any more: alarm"),
            Self::NodeState => ("node.state", "the node drains, or takes calls again: state"),
            Self::CertificateIssued => (
                "certificate.issued",
                "an authority has issued a certificate, which is in use: context, until",
            ),
            Self::CertificateFailed => (
                "certificate.failed",
                "an authority has not: context, why, next, result",
            ),
            Self::CertificateRenewed => (
                "certificate.renewed",
                "a renewed certificate was found on disk and is in use: context",
            ),
            Self::CertificateRefused => (
                "certificate.refused",
                "a renewed certificate cannot be used: context, why",
            ),
            Self::CertificateWaits => (
                "certificate.waits",
                "Teams answers neither a renewed certificate nor the one in use, which stays until it does: context, why",
            ),
            Self::PresenceState => (
                "presence.state",
                "asking Microsoft for presence works, or does not any more: tenant, state, because",
            ),
            Self::SecurityBan => (
                "security.ban",
                "an operator has banned addresses, or that has ended: address, state, until, by, reason",
            ),
            Self::SecurityGuest => (
                "security.guest",
                "an operator lets addresses in as a trunk's, or that has ended: trunk, address, state, until, by, reason",
            ),
        }
    }

    /// The name, such as `call.start`.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// When it is told, and with which fields.
    pub const fn meaning(self) -> &'static str {
        self.row().1
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which of them.
    pub kind: Kind,
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

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }

    /// Tells something that is not an event of a shard.
    pub fn tell(&self, kind: Kind, data: Value) {
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

/// The trunk that a call came from, and those that it went to.
fn trunks(record: &Record) -> Vec<&TrunkName> {
    let mut trunks = vec![&record.ingress.trunk];
    for attempt in &record.egress {
        if !trunks.contains(&&attempt.trunk) {
            trunks.push(&attempt.trunk);
        }
    }
    trunks
}

fn told(what: &Happened) -> Option<(Kind, Value)> {
    Some(match what {
        Happened::Admitted {
            tenant,
            trunk,
            calling,
            called,
        } => (
            Kind::CallStart,
            json!({ "tenant": tenant, "trunk": trunk, "calling": calling, "called": called }),
        ),
        Happened::Answered { setup_ms } => (Kind::CallAnswer, json!({ "setup_ms": setup_ms })),
        Happened::Ended(record) => (
            Kind::CallEnd,
            json!({
                "disposition": record.disposition,
                "duration_ms": record.duration_ms,
                "cause": record.cause,
                "is_failure": record.disposition == Disposition::Failed,
                "trunks": trunks(record),
            }),
        ),
        Happened::TargetHealth {
            target,
            state,
            because,
        } => (
            Kind::PeerState,
            json!({
                "trunk": target.trunk,
                "peer": target.host,
                "state": state.as_str(),
                "because": because,
            }),
        ),
        Happened::TrunkClosing { trunk, closing } => (
            Kind::TrunkState,
            json!({ "trunk": trunk, "state": closing.map_or("enabled", Closing::as_str) }),
        ),
        Happened::Registration {
            standing,
            is_news: true,
            because,
            ..
        } => (
            Kind::RegistrationState,
            json!({ "trunk": standing.trunk, "state": standing.state, "because": because }),
        ),
        Happened::Media(media_api::Event::OneWay { endpoint, kind, .. }) => (
            Kind::MediaOneWay,
            json!({ "leg": endpoint.0, "kind": kind.as_str() }),
        ),
        Happened::Overload {
            shard,
            stage,
            lag_ms,
            strain,
        } => (
            Kind::OverloadStage,
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
    fn every_kind_says_which_fields_it_has() {
        for kind in Kind::ALL {
            let fields = kind.meaning().rsplit_once(": ").map(|(_, fields)| fields);
            let is_name = |name: &str| {
                let name = name.trim_end_matches(',');
                name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            };
            let are_names = fields.is_some_and(|fields| fields.split(' ').all(is_name));
            assert!(are_names, "{}: {}", kind.as_str(), kind.meaning());
        }
    }

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
            refused: None,
        }))
        .unwrap();
        assert_eq!(
            data,
            json!({ "leg": 1, "kind": OneWayKind::NoPackets.as_str() })
        );
    }
}
