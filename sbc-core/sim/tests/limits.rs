//! Limits on calls (SIP-1730): what is beyond them is refused, what ends makes room, and the checker of both
//! finds what is wrong with either.

use crate::common::planted::{editing, rules, tampered_under};
use crate::common::{clean, ms, secs};
use sbc_core::config::{CallLimits, Config};
use sbc_core::id::{TenantName, TrunkName};
use sbc_sim::scenario::{PlannedCall, Scenario, Setting};
use sbc_sim::subject::Shards;
use sbc_sim::topology::{self, NORTH_1, SOUTH, TEAMS_1};
use std::sync::Arc;
use std::time::Duration;

const LIMITED: Setting = Setting {
    rings_at_once: false,
    relays_transfers: false,
    registers: false,
    plays_sounds: false,
    moves_media: false,
    past_us: None,
    has_limits: true,
    is_terse: false,
    dtmf: None,
};

/// Calls of a tenant between these, which come at these times.
fn calls(tenant: usize, [caller, callee]: [usize; 2], times: &[Duration]) -> Scenario {
    let mut scenario = Scenario::quiet(1);
    for at in times {
        scenario = scenario.call(|n| PlannedCall {
            at: *at,
            ..PlannedCall::between(n, tenant, caller, callee)
        });
    }
    scenario.setting = LIMITED;
    scenario
}

/// What each caller was told.
fn told(scenario: &Scenario) -> Vec<Option<u16>> {
    let run = clean(scenario);
    (0..scenario.calls.len())
        .map(|call| run.caller(call).final_status)
        .collect()
}

#[test]
fn a_customer_has_as_many_calls_as_it_may_and_again_when_they_have_ended() {
    let times = [1_000, 1_600, 2_200, 2_800, 12_000].map(ms);
    let scenario = calls(0, [NORTH_1, TEAMS_1], &times);
    let (ok, full) = (Some(200), Some(503));
    assert_eq!(told(&scenario), [ok, ok, ok, full, ok]);
}

#[test]
fn a_trunk_has_as_many_calls_of_a_direction_as_it_may_whoever_ends_them() {
    // Nobody may set up two calls at a time; each is answered after two seconds, and lasts five.
    let times = [1_000, 3_500, 6_000, 12_000].map(ms);
    let mut scenario = calls(0, [TEAMS_1, NORTH_1], &times);
    for call in &mut scenario.calls {
        call.dial.hang_up = None;
        call.scripts[0].1.hang_up = Some(secs(5));
    }
    let (ok, busy) = (Some(200), Some(486));
    assert_eq!(told(&scenario), [ok, ok, busy, ok]);
    let together = calls(0, [TEAMS_1, NORTH_1], &[1_000, 2_000, 3_500].map(ms));
    assert_eq!(told(&together), [ok, Some(503), ok]);
}

#[test]
fn calls_that_come_too_fast_are_refused_and_the_next_is_not() {
    let scenario = calls(1, [SOUTH, TEAMS_1], &[1_000, 1_500, 9_000].map(ms));
    let (ok, full) = (Some(200), Some(503));
    assert_eq!(told(&scenario), [ok, full, ok]);
    let minute = [1_000, 9_000, 17_000, 25_000, 33_000].map(ms);
    let scenario = calls(1, [SOUTH, TEAMS_1], &minute);
    assert_eq!(told(&scenario), [ok, ok, ok, ok, full]);
}

/// What is found where the SBC has another configuration than its operator has written.
fn found(scenario: &Scenario, change: impl FnOnce(&mut Config)) -> Vec<&'static str> {
    let mut config = topology::config(1, LIMITED);
    change(&mut config);
    rules(scenario, Shards::configured(1, 1, config))
}

fn tenant(config: &mut Config, name: &str, limits: CallLimits) {
    let tenant = config.tenants.get_mut(&TenantName::new(name));
    Arc::make_mut(tenant.expect("a tenant")).limits = limits;
}

#[test]
fn one_call_more_than_a_limit_is_found_whichever_it_is() {
    let none = CallLimits::default();
    let four = [1_000, 1_600, 2_200, 2_800].map(ms);
    let of_customer = calls(0, [NORTH_1, TEAMS_1], &four);
    let both = found(&of_customer, |config| {
        tenant(config, "contoso", none);
        let north = config.trunks.get_mut(&TrunkName::new("north"));
        Arc::make_mut(north.expect("a trunk")).limits = Default::default();
    });
    assert!(both.contains(&"limit-exceeded"), "{both:?}");

    let fast = calls(1, [SOUTH, TEAMS_1], &[1_000, 1_500].map(ms));
    let south = |config: &mut Config| {
        let south = config.trunks.get_mut(&TrunkName::new("south"));
        Arc::make_mut(south.expect("a trunk")).limits = Default::default();
    };
    let rate = found(&fast, |config| {
        tenant(config, "fabrikam", none);
        south(config);
    });
    assert!(rate.contains(&"limit-exceeded"), "{rate:?}");

    let minute = [1_000, 9_000, 17_000, 25_000, 33_000].map(ms);
    let minute = calls(1, [SOUTH, TEAMS_1], &minute);
    let rate = found(&minute, |config| tenant(config, "fabrikam", none));
    assert_eq!(rate, ["limit-exceeded"]);

    let setups = calls(0, [TEAMS_1, NORTH_1], &[1_000, 2_000].map(ms));
    let rate = found(&setups, |config| {
        let teams = config.trunks.get_mut(&TrunkName::new("contoso-teams"));
        Arc::make_mut(teams.expect("a trunk")).limits = Default::default();
    });
    assert_eq!(rate, ["limit-exceeded"]);

    let node = [1_000, 1_400, 1_800, 2_200, 2_600, 3_000].map(ms);
    let mut node = calls(0, [NORTH_1, TEAMS_1], &node);
    for call in &mut node.calls {
        call.dial.hang_up = Some(secs(9));
    }
    let many = found(&node, |config| {
        *config = topology::config(1, Setting::default())
    });
    assert!(many.contains(&"limit-exceeded"), "{many:?}");
}

#[test]
fn a_place_that_is_never_given_back_is_found() {
    // To the SBC the customer has one call fewer than it may, as if one had kept its place.
    let three = [1_000, 1_600, 2_200].map(ms);
    let of_customer = calls(0, [NORTH_1, TEAMS_1], &three);
    let fewer = CallLimits {
        calls: Some(2),
        ..CallLimits::default()
    };
    let needless = found(&of_customer, |config| tenant(config, "contoso", fewer));
    assert_eq!(needless, ["limit-needless"]);
    let late = calls(1, [SOUTH, TEAMS_1], &[1_000, 9_000].map(ms));
    let slower = CallLimits {
        calls_per_minute: Some(1),
        ..CallLimits::default()
    };
    let needless = found(&late, |config| tenant(config, "fabrikam", slower));
    assert_eq!(needless, ["limit-needless"]);
    let mut subject = tampered_under(LIMITED, editing(Some));
    subject.residue.places = 1;
    assert_eq!(rules(&late, subject), ["leak"]);
}
