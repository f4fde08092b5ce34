//! The limits of worlds that have any: small, so that a handful of calls meets each of them.

use crate::topology::TENANTS;
use sbc_core::config::{CallLimits, Config, LimitRefusal, TrunkLimits};
use sbc_core::id::{TenantName, TrunkName};
use std::sync::Arc;

/// Few calls at the same time, and none too fast.
pub(crate) fn limited(mut config: Config) -> Config {
    let none = CallLimits::default();
    let calls = |calls| CallLimits {
        calls: Some(calls),
        ..none
    };
    config.limits.calls = 5;
    config.limits.new_calls = CallLimits {
        calls_per_second: Some(2),
        burst: Some(3),
        ..none
    };
    let of_tenants = [
        calls(3),
        CallLimits {
            calls_per_second: Some(1),
            burst: Some(1),
            calls_per_minute: Some(4),
            ..none
        },
    ];
    for (name, limits) in TENANTS.into_iter().zip(of_tenants) {
        if let Some(tenant) = config.tenants.get_mut(&TenantName::new(name)) {
            Arc::make_mut(tenant).limits = limits;
        }
    }
    let of_trunks = [
        (
            "north",
            TrunkLimits {
                both: calls(3),
                inbound: none,
                outbound: CallLimits {
                    refusal: LimitRefusal::Busy,
                    ..calls(2)
                },
            },
        ),
        (
            "south",
            TrunkLimits {
                both: calls(1),
                ..TrunkLimits::default()
            },
        ),
        (
            "contoso-teams",
            TrunkLimits {
                inbound: CallLimits {
                    setups: Some(1),
                    ..none
                },
                ..TrunkLimits::default()
            },
        ),
    ];
    for (name, limits) in of_trunks {
        if let Some(trunk) = config.trunks.get_mut(&TrunkName::new(name)) {
            Arc::make_mut(trunk).limits = limits;
        }
    }
    config
}
