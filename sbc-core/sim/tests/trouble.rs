//! What goes wrong around a call: the network, the relay, strangers, broken peers, the operator.

use crate::common::{clean, ms, secs};
use sbc_core::cause::CauseCode;
use sbc_core::event::{DropCode, Happened};
use sbc_core::query::ResolveFault;
use sbc_core::record::Disposition;
use sbc_sim::actor::{Change, Ending, Hold, Oddity, Script, Wanted};
use sbc_sim::fault::Trouble;
use sbc_sim::scenario::{Happening, PlannedCall, Scenario};
use sbc_sim::topology::{NORTH_1, STRANGER, TEAMS_1, TEAMS_2, TEAMS_3, TENANTS, fqdn};
use sbc_sim::world::Run;

type Plan = fn(usize) -> PlannedCall;

const BOTH_WAYS: [Plan; 2] = [PlannedCall::to_teams, PlannedCall::from_teams];

fn invites_to_callees(run: &Run) -> usize {
    run.sent
        .iter()
        .filter(|(_, _, wire)| wire.method() == Some("INVITE"))
        .count()
}

#[test]
fn every_first_packet_lost_in_both_directions_changes_nothing() {
    for plan in BOTH_WAYS {
        for hang_up_by_callee in [false, true] {
            let call = |n| {
                plan(n)
                    .dialing(|d| d.hang_up = (!hang_up_by_callee).then_some(secs(5)))
                    .answering(|s| s.hang_up = hang_up_by_callee.then_some(secs(5)))
            };
            let run = clean(
                &Scenario::quiet(1)
                    .call(call)
                    .fault(secs(60), Trouble::LoseFirst { actor: NORTH_1 }),
            );
            assert!(run.caller(0).was_up && run.callee(0).was_up);
            assert!(run.caller(0).ending.is_some() && run.callee(0).ending.is_some());
        }
    }
}

#[test]
fn refusals_and_cancellations_survive_the_loss_of_every_first_packet() {
    for plan in BOTH_WAYS {
        let refused = clean(
            &Scenario::quiet(2)
                .call(|n| plan(n).answering(|s| *s = Script::refusing(n, 486)))
                .fault(secs(60), Trouble::LoseFirst { actor: NORTH_1 }),
        );
        assert_eq!(refused.caller(0).final_status, Some(486));
        let cancel = sbc_sim::actor::Cancel::AfterStatus(180, ms(100));
        let cancelled = clean(
            &Scenario::quiet(3)
                .call(|n| {
                    plan(n)
                        .dialing(|d| d.cancel = Some(cancel))
                        .answering(|s| *s = Script::answering(n, secs(20)))
                })
                .fault(secs(60), Trouble::LoseFirst { actor: NORTH_1 }),
        );
        assert_eq!(cancelled.caller(0).final_status, Some(487));
    }
}

#[test]
fn duplicated_and_reordered_packets_make_no_second_call() {
    for plan in BOTH_WAYS {
        for seed in 0..10 {
            let scenario = Scenario::quiet(seed)
                .call(plan)
                .fault(
                    secs(60),
                    Trouble::Duplication {
                        actor: NORTH_1,
                        percent: 90,
                    },
                )
                .fault(
                    secs(60),
                    Trouble::Reordering {
                        actor: NORTH_1,
                        percent: 40,
                    },
                );
            let run = clean(&scenario);
            assert_eq!(run.records.len(), 1);
            assert!(run.caller(0).was_up && run.callee(0).was_up);
        }
    }
}

#[test]
fn a_connection_lost_after_the_answer_does_not_lose_the_bye() {
    for plan in BOTH_WAYS {
        for by_callee in [false, true] {
            let call = |n| {
                plan(n)
                    .dialing(|d| d.hang_up = (!by_callee).then_some(secs(6)))
                    .answering(|s| s.hang_up = by_callee.then_some(secs(6)))
            };
            // Answered after 3 s of the world, lost at 6 s, hung up at 9 s.
            let scenario = Scenario::quiet(4).call(call).fault_between(
                secs(6),
                secs(6),
                Trouble::Reset { actor: TEAMS_1 },
            );
            let run = clean(&scenario);
            let (caller, callee) = (run.caller(0), run.callee(0));
            let (left, was_left) = if by_callee {
                (callee, caller)
            } else {
                (caller, callee)
            };
            assert_eq!(left.ending, Some(Ending::HungUp));
            assert_eq!(was_left.ending, Some(Ending::WasHungUp));
        }
    }
}

#[test]
fn without_media_ports_the_caller_gets_503_before_any_invite_leaves() {
    for plan in BOTH_WAYS {
        let run = clean(
            &Scenario::quiet(5)
                .call(plan)
                .fault(secs(60), Trouble::NoPorts),
        );
        assert_eq!(run.caller(0).final_status, Some(503));
        assert_eq!(invites_to_callees(&run), 0);
        assert_eq!(run.records[0].cause.code, CauseCode::MediaUnavailable);
    }
}

#[test]
fn a_name_that_does_not_resolve_fails_the_call_with_its_cause() {
    for fault in [
        ResolveFault::NotFound,
        ResolveFault::ServerFailure,
        ResolveFault::Timeout,
    ] {
        for plan in BOTH_WAYS {
            let run = clean(
                &Scenario::quiet(6)
                    .call(plan)
                    .fault(secs(60), Trouble::Unresolved { fault }),
            );
            let told = run.caller(0).final_status.unwrap_or_default();
            assert!((500..600).contains(&told) || told == 480, "{told}");
            assert_eq!(run.records[0].cause.code, CauseCode::PeerUnreachable);
        }
    }
}

#[test]
fn a_slow_resolver_delays_the_call_and_nothing_else() {
    let run = clean(
        &Scenario::quiet(7)
            .call(PlannedCall::to_teams)
            .fault(secs(60), Trouble::SlowResolver { by: secs(2) }),
    );
    assert!(run.caller(0).was_up && run.callee(0).was_up);
}

#[test]
fn a_stranger_gets_nothing_and_is_counted() {
    let request = |method: &str| {
        format!(
            "{method} sip:+493023125000@203.0.113.20 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 198.51.100.99:5060;rport;branch=z9hG4bKstranger{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:x@elsewhere.example>;tag=1\r\nTo: <sip:y@203.0.113.20>\r\n\
             Call-ID: stranger-{method}\r\nCSeq: 1 {method}\r\nContact: <sip:x@198.51.100.99>\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    };
    let mut scenario = Scenario::quiet(8);
    let methods = [
        "INVITE",
        "OPTIONS",
        "REGISTER",
        "BYE",
        "CANCEL",
        "ACK",
        "FROBNICATE",
    ];
    for (n, method) in methods.iter().enumerate() {
        let at = ms(100 * (n as u64 + 1));
        scenario = scenario.extra(at, Happening::Bytes(STRANGER, request(method)));
    }
    let run = clean(&scenario);
    assert!(
        run.sent
            .iter()
            .all(|(_, actor, _)| *actor != Some(STRANGER))
    );
    assert!(run.records.is_empty());
    let dropped = run.facts.iter().filter(|fact| {
        matches!(
            fact,
            Happened::Dropped {
                why: DropCode::Stranger,
                ..
            }
        )
    });
    assert_eq!(dropped.count(), methods.len());
}

#[test]
fn max_forwards_is_counted_down_and_ends_at_zero() {
    for plan in BOTH_WAYS {
        let with =
            |hops| clean(&Scenario::quiet(9).call(|n| plan(n).dialing(|d| d.max_forwards = hops)));
        let run = with(Some(0));
        assert_eq!(run.caller(0).final_status, Some(483));
        assert_eq!(invites_to_callees(&run), 0);
        assert!(with(Some(7)).caller(0).was_up);
        assert!(with(None).caller(0).was_up);
    }
}

#[test]
fn an_unknown_extension_is_refused_by_name() {
    for plan in BOTH_WAYS {
        let run = clean(
            &Scenario::quiet(10)
                .call(|n| plan(n).dialing(|d| d.oddity = Some(Oddity::UnknownRequire))),
        );
        assert_eq!(run.caller(0).final_status, Some(420));
        let named = run
            .sent
            .iter()
            .any(|(_, _, wire)| wire.get("Unsupported") == Some("frobnicate"));
        assert!(named);
    }
}

#[test]
fn a_merged_request_is_refused_and_the_first_one_lives() {
    for plan in BOTH_WAYS {
        let run = clean(
            &Scenario::quiet(11).call(|n| plan(n).dialing(|d| d.oddity = Some(Oddity::Merged))),
        );
        assert_eq!(run.caller(0).odd_statuses, [("merged".to_owned(), 482)]);
        assert!(run.caller(0).was_up);
        assert_eq!(run.records.len(), 1);
    }
}

#[test]
fn a_stale_or_forged_bye_does_not_end_a_call() {
    for plan in BOTH_WAYS {
        for (oddity, status) in [(Oddity::StaleBye, 500), (Oddity::ForgedBye, 481)] {
            let run =
                clean(&Scenario::quiet(12).call(|n| plan(n).dialing(|d| d.oddity = Some(oddity))));
            assert_eq!(
                run.caller(0).odd_statuses.first().map(|odd| odd.1),
                Some(status),
                "{oddity:?}"
            );
            let duration = run.records[0].duration_ms;
            assert!(
                duration >= 3_150,
                "{oddity:?} ended the call after {duration} ms"
            );
        }
    }
}

#[test]
fn an_unknown_method_within_a_call_is_refused_and_the_call_lives() {
    for plan in BOTH_WAYS {
        let run = clean(
            &Scenario::quiet(13)
                .call(|n| plan(n).dialing(|d| d.oddity = Some(Oddity::UnknownMethod))),
        );
        let status = run.caller(0).odd_statuses.first().map(|odd| odd.1);
        assert!(matches!(status, Some(405 | 501)), "{status:?}");
        assert_eq!(run.caller(0).ending, Some(Ending::HungUp));
    }
}

#[test]
fn a_replayed_invite_makes_no_second_call() {
    let run = clean(
        &Scenario::quiet(14)
            .call(|n| PlannedCall::to_teams(n).dialing(|d| d.oddity = Some(Oddity::Replay))),
    );
    assert_eq!(run.records.len(), 1);
    assert_eq!(run.callees(0).len(), 1);
}

#[test]
fn a_callee_that_breaks_rules_harms_only_its_own_call() {
    for plan in BOTH_WAYS {
        for oddity in [
            Oddity::TwoFinals,
            Oddity::WrongCSeq,
            Oddity::DeafToBye,
            Oddity::LateProvisional,
        ] {
            for refusing in [false, true] {
                let scenario = Scenario::quiet(15)
                    .call(|n| {
                        plan(n).answering(|s| {
                            if refusing {
                                *s = Script::refusing(n, 486);
                            }
                            s.oddity = Some(oddity);
                        })
                    })
                    .call(plan);
                let run = clean(&scenario);
                assert!(run.caller(1).was_up && run.callee(1).was_up);
                assert_eq!(run.records.len(), 2);
            }
        }
    }
}

#[test]
fn an_operator_can_end_every_call() {
    for plan in BOTH_WAYS {
        let long = |n| plan(n).dialing(|d| d.hang_up = None);
        let run = clean(
            &Scenario::quiet(16)
                .call(long)
                .call(long)
                .extra(secs(6), Happening::HangUpAll),
        );
        assert_eq!(run.records.len(), 2);
        assert!(
            run.records
                .iter()
                .all(|record| record.cause.code == CauseCode::Operator)
        );
        assert!(
            run.views
                .iter()
                .all(|view| view.ending == Some(Ending::WasHungUp))
        );
        let early = clean(
            &Scenario::quiet(17)
                .call(long)
                .extra(secs(2), Happening::HangUpAll),
        );
        assert_eq!(early.callee(0).final_status, Some(487));
        assert_ne!(early.records[0].disposition, Disposition::Answered);
    }
}

#[test]
fn a_reload_leaves_calls_alone() {
    for plan in BOTH_WAYS {
        let run = clean(
            &Scenario::quiet(18)
                .call(plan)
                .extra(secs(2), Happening::Reload)
                .extra(secs(4), Happening::Reload),
        );
        assert_eq!(run.caller(0).ending, Some(Ending::HungUp));
        assert_eq!(run.records[0].cause.code, CauseCode::NormalClearing);
    }
}

#[test]
fn a_call_without_media_is_ended() {
    for plan in BOTH_WAYS {
        let long = |n| plan(n).dialing(|d| d.hang_up = None);
        let run = clean(
            &Scenario::quiet(19)
                .call(long)
                .extra(secs(10), Happening::Silence(120)),
        );
        assert_eq!(run.records[0].cause.code, CauseCode::MediaTimeout);
        assert_eq!(run.caller(0).ending, Some(Ending::WasHungUp));
        assert_eq!(run.callee(0).ending, Some(Ending::WasHungUp));
    }
}

#[test]
fn tenants_share_the_addresses_of_teams_and_nothing_else() {
    let scenario = Scenario::quiet(20)
        .call(|n| PlannedCall::between(n, 0, NORTH_1, TEAMS_1))
        .call(|n| PlannedCall::between(n, 1, NORTH_1, TEAMS_1))
        .call(|n| PlannedCall::between(n, 0, TEAMS_2, NORTH_1))
        .call(|n| {
            PlannedCall::between(n, 1, TEAMS_2, NORTH_1)
                .or_at(sbc_sim::topology::SOUTH, Script::refusing(n, 503))
        });
    let run = clean(&scenario);
    assert!((0..4).all(|call| run.caller(call).was_up));
    let tenants: Vec<&str> = run
        .records
        .iter()
        .map(|record| record.tenant.as_ref().map_or("", |tenant| tenant.as_str()))
        .collect();
    assert_eq!(tenants.iter().filter(|t| **t == "contoso").count(), 2);
    assert_eq!(tenants.iter().filter(|t| **t == "fabrikam").count(), 2);
}

#[test]
fn options_of_teams_are_answered_for_every_tenant() {
    let run = clean(&Scenario::quiet(21));
    // Three proxies ask two tenants every minute, and each answer names the tenant that was asked (TDR-OPT-005).
    for tenant in 0..TENANTS.len() {
        let asked = fqdn(tenant);
        let contact = format!("sip:{asked}:5061;transport=tls");
        for proxy in [TEAMS_1, TEAMS_2, TEAMS_3] {
            let answers = run.sent.iter().filter(|(_, actor, wire)| {
                *actor == Some(proxy)
                    && wire.status() == Some(200)
                    && wire.cseq().is_some_and(|(_, method)| method == "OPTIONS")
                    && wire.contact().as_deref() == Some(&contact)
            });
            let count = answers.count();
            assert!(count >= 4, "{asked}: {count}");
        }
    }
}

#[test]
fn hold_by_reinvite_gets_a_final_response_and_the_call_lives_on() {
    for plan in BOTH_WAYS {
        let run = clean(&Scenario::quiet(22).call(|n| {
            plan(n)
                .dialing(|d| d.changes = vec![Change::new(secs(1), Wanted::Hold(Hold::Inactive))])
        }));
        assert_eq!(run.caller(0).change_statuses, [200]);
        assert_eq!(run.caller(0).ending, Some(Ending::HungUp));
    }
}
