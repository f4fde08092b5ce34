//! Calls that this SBC refuses by itself: where they should go, who calls, limits, circles, operators.

use super::{Row, at_once, over, row};
use crate::closed::close;
use crate::presence::{RULE, heard, with_rule};
use crate::world;
use crate::{local_media, numbers, room, schedule, sips, spend, transcoding};
use sbc_core::input::Input;
use sbc_core::query::{Outcome, Query};
use sbc_core::record::Record;
use sbc_core::stir::CredentialFault;
use sbc_core::trouble::Trouble;
use sbc_core::trunk::Closing;
use std::time::Duration;
use world::call::Call;
use world::*;

/// A call of the carrier that is refused before anybody is called.
fn carrier_calls(config: &str, invite: &str) -> Record {
    let mut shard = Shard::with(config_of(config));
    shard.carrier_says(invite);
    at_once(shard)
}

/// A call of Teams that is.
fn teams_calls(config: &str, invite: &str) -> Record {
    let mut shard = Shard::with(config_of(config));
    shard.teams_says(invite);
    at_once(shard)
}

/// The usual call of the carrier, to another number.
fn to(number: &str) -> Record {
    let invite = carrier_invite("call", CARRIER_SDP).replace("+493023125456", number);
    carrier_calls(CONFIG, &invite)
}

/// The usual call of the carrier, with more header lines.
fn with_lines(config: &str, lines: &str) -> Record {
    let invite = carrier_invite("call", CARRIER_SDP);
    carrier_calls(
        config,
        &invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")),
    )
}

/// The configuration with a line below another one.
fn below(place: &str, line: &str) -> String {
    assert!(CONFIG.contains(place), "{place}");
    CONFIG.replacen(place, &format!("{place}\n{line}"), 1)
}

const CARRIER_TRUNK: &str = "name = \"carrier-a\"";
const TEAMS_TRUNK: &str = "name = \"teams-contoso\"";
const TENANT: &str = "name = \"contoso\"";
const ROUTE: &str = "name = \"to-teams\"";

/// Two calls of the carrier at once, of which the second is too much.
fn second_of_two(config: &str) -> Record {
    let mut shard = Shard::with(config_of(config));
    for call in ["one", "two"] {
        shard.carrier_says(&carrier_invite(call, CARRIER_SDP));
    }
    at_once(shard)
}

/// The route to the carrier only.
fn without_route() -> Record {
    let (before, _) = CONFIG.split_once("[[route]]").expect("routes");
    let (_, after) = CONFIG.split_once("name = \"to-carrier\"").expect("a route");
    let config = format!("{before}[[route]]\nname = \"to-carrier\"{after}");
    carrier_calls(&config, &carrier_invite("call", CARRIER_SDP))
}

/// A call for help, where no route is for anything.
fn help_without_route() -> Record {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let (before, _) = CONFIG.split_once("[[route]]").expect("routes");
    let config = before.replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    teams_calls(&config, &room::help("help"))
}

/// An INVITE of Teams with a body beyond all measure.
fn large_body() -> Record {
    let head = teams_invite("call");
    let (head, _) = head.split_once("Content-Type").expect("a body");
    let line = format!("a=x-long:{}\n", "b".repeat(1_000));
    teams_calls(CONFIG, &with_body(head, &line.repeat(140)))
}

fn presence(availability: &str, activity: &str) -> Record {
    let rule = RULE.replace("next", "refuse");
    let mut shard = Shard::with(config_of(&with_rule(&rule)));
    shard.apply(heard(availability, activity));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    at_once(shard)
}

/// A call of the carrier whose trunk demands a signature.
fn signed(line: Option<String>) -> Record {
    let mut shard = signed::shard_with("stir = \"verify\"\nstir_failure = \"reject\"", "");
    let invite = carrier_invite("call", CARRIER_SDP);
    let line = line.map(|value| format!("Identity: {value}\n"));
    let lines = format!("{}Max-Forwards", line.unwrap_or_default());
    shard.carrier_says(&invite.replace("Max-Forwards", &lines));
    if let Some((id, Query::Verify(_))) = shard.queries.pop_front() {
        let found = Err(CredentialFault::Untrusted);
        shard.apply(Input::Outcome(id, Outcome::Verified(found)));
    }
    at_once(shard)
}

/// The same call comes again and again, each time over two more servers.
fn in_circle() -> Record {
    let mut shard = Shard::new();
    for lap in 0..9 {
        let invite = carrier_invite(&format!("lap{lap}"), CARRIER_SDP);
        let hops = format!("Max-Forwards: {}", 69 - 2 * lap);
        shard.carrier_says(&invite.replace("Max-Forwards: 69", &hops));
    }
    at_once(shard)
}

/// Our INVITE comes back to us as it left.
fn been_here() -> Record {
    let (mut shard, out) = called_out("call");
    let ours = world::call::header(&out.message, sbc_core::sip::HeaderName::Via);
    let again = carrier_invite("again", CARRIER_SDP);
    shard.carrier_says(&again.replace("Max-Forwards", &format!("Via: {ours}\nMax-Forwards")));
    at_once(shard)
}

fn closed(closing: Closing) -> Record {
    let mut shard = Shard::new();
    close(&mut shard, "carrier-a", Some(closing));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    at_once(shard)
}

/// A call on a Sunday.
fn routes_closed() -> Record {
    let mut shard = Shard::with(config_of(&schedule::by_day("")));
    shard.now.wall = schedule::at("2027-03-28T10:00:00+02:00");
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    at_once(shard)
}

fn route_closed() -> Record {
    let mut shard = Shard::new();
    close(&mut shard, "carrier-a", Some(Closing::Disabled));
    shard.teams_says(&teams_invite("call"));
    at_once(shard)
}

fn preempted() -> Record {
    let mut shard = Shard::with(config_of(&room::lines(2)));
    room::talks(&mut shard, "old");
    room::talks(&mut shard, "new");
    shard.teams_says(&room::help("help"));
    shard.pass(Duration::from_secs(40));
    let mut records = shard.records;
    records.remove(0)
}

fn spent() -> Record {
    let mut call = Call::with(&spend::with(TENANT, "spend_per_hour = 1"));
    call.shard.pass(Duration::from_secs(100));
    call.shard
        .carrier_says(&carrier_invite("late", CARRIER_SDP));
    at_once(call.shard)
}

fn number_form() -> Record {
    let config = numbers::towards_teams("", "");
    carrier_calls(
        &config,
        &numbers::invite_from("+498999998001", "3023125456"),
    )
}

fn unwritable() -> Record {
    let rules = "called = [{ prefix = \"+498999998001\", replace = \"\" }]";
    let config = numbers::world("", &numbers::out_rules(rules));
    teams_calls(&config, &teams_invite("call"))
}

fn numbers_full() -> Record {
    let limit = "\n[[limit]]\nname = \"hotline\"\nmatch = { called = [\"+4930\"] }\ncalls = 1\n";
    second_of_two(&format!("{CONFIG}{limit}"))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = numbers_and_routes();
    rows.extend(callers());
    rows.extend(limits());
    rows
}

fn numbers_and_routes() -> Vec<Row> {
    vec![
        row(
            Trouble::NumberOfNoTenant,
            || to("+4940123456"),
            &["+4940123456", "belongs to no tenant", "carrier-a"],
            &["add +4940123456 to numbers of the [[tenant]]", "carrier-a"],
        ),
        row(
            Trouble::NumberIncomplete,
            || to("+4930231"),
            &["did not dial to the end", "+4930231", "tenant \"contoso\""],
            &["overlap = true in trunk \"carrier-a\"", "[[tenant]]"],
        ),
        row(
            Trouble::NumberImpossible,
            || to("+49302312545678901"),
            &["cannot exist", "+49302312545678901", "15 digits"],
            &["transforms of trunk \"carrier-a\"", "+49302312545678901"],
        ),
        row(
            Trouble::NumberMissing,
            || {
                let invite = teams_invite("call").replace("sip:+498999998001@sbc1", "sip:sbc1");
                teams_calls(CONFIG, &invite)
            },
            &["names no number", "trunk \"teams-contoso\""],
            &["trunk \"teams-contoso\"", "Request-URI"],
        ),
        row(
            Trouble::LocalNumber,
            || {
                let invite = carrier_invite("call", CARRIER_SDP);
                let uri = "INVITE sip:+493023125456@192.0.2.11:5060";
                carrier_calls(CONFIG, &invite.replace(uri, "INVITE tel:5456"))
            },
            &["local number", "phone-context"],
            &["trunk \"carrier-a\"", "+E.164", "phone-context"],
        ),
        row(
            Trouble::NumberForm,
            number_form,
            &["3023125456", "form that trunk \"teams-contoso\" takes"],
            &[
                "[[transform]]",
                "trunk = \"teams-contoso\"",
                "number_format",
            ],
        ),
        row(
            Trouble::NumberUnwritable,
            unwritable,
            &["[[transform]] of trunk \"carrier-a\"", "+498999998001"],
            &[
                "[[transform]] of trunk \"carrier-a\"",
                "causeway route test",
            ],
        ),
        row(
            Trouble::NoRoute,
            without_route,
            &["no route matches", "trunk \"carrier-a\"", "+493023125456"],
            &[
                "add a [[route]]",
                "from_trunk = \"carrier-a\"",
                "+493023125456",
            ],
        ),
        row(
            Trouble::EmergencyNoRoute,
            help_without_route,
            &[
                "call for help",
                "trunk \"teams-contoso\"",
                "112",
                "no route matches",
            ],
            &["emergency = true", "causeway route test"],
        ),
        row(
            Trouble::RoutesClosed,
            routes_closed,
            &[
                "route \"to-teams\"",
                "schedule \"business\" is closed",
                "Sun 2027-03-28 10:00 Europe/Berlin",
            ],
            &["causeway route test --time", "[[route]]"],
        ),
        row(
            Trouble::NoSecureRoute,
            || {
                let config = sips::with_tls("", "{ trunk = \"carrier-a\" }");
                at_once(sips::calls(&config, "sips", "sips"))
            },
            &["trunk \"secure\"", "TLS at every hop", "+493023125456"],
            &["[[listen]]", "transport = \"tls\"", "trunk \"secure\""],
        ),
        row(
            Trouble::CalleeBusy,
            || presence("Busy", "InACall"),
            &["Microsoft", "Busy/InACall", "route \"to-teams\""],
            &["causeway teams presence"],
        ),
        row(
            Trouble::CalleeAbsent,
            || presence("Offline", "OffWork"),
            &["Microsoft", "Offline/OffWork", "route \"to-teams\""],
            &["causeway teams presence", "[[route]]"],
        ),
        row(
            Trouble::TrunkDisabled,
            || closed(Closing::Disabled),
            &["trunk \"carrier-a\" is disabled"],
            &["causeway trunk enable"],
        ),
        row(
            Trouble::TrunkDisabled,
            route_closed,
            &[
                "trunk \"carrier-a\" is disabled",
                "route \"to-carrier\" has no other trunk",
            ],
            &["causeway trunk enable"],
        ),
        row(
            Trouble::TrunkDrains,
            || closed(Closing::Draining),
            &["trunk \"carrier-a\" drains"],
            &["causeway trunk enable"],
        ),
        row(
            Trouble::MediaPath,
            || {
                let lines = local_media::lines("internal", "other.contoso.example");
                at_once(local_media::called(local_media::central(), &lines))
            },
            &["X-MS-MediaPath", "trunk \"teams-contoso\""],
            &[
                "[trunk.local_media] of trunk \"teams-contoso\"",
                "X-MS-MediaPath",
            ],
        ),
    ]
}

fn callers() -> Vec<Row> {
    vec![
        row(
            Trouble::CallerNumber,
            || {
                let config = below(
                    "preset = \"teams\"",
                    "identity = { screening = \"reject\" }",
                );
                let invite =
                    teams_invite("call").replace("sip:+493023125456@sip", "sip:+15550100@sip");
                teams_calls(&config, &invite)
            },
            &["+15550100", "not its own", "tenant \"contoso\""],
            &[
                "numbers of its [[tenant]]",
                "identity.screening of trunk \"teams-contoso\"",
            ],
        ),
        row(
            Trouble::CallerUnsigned,
            || signed(None),
            &["no signature", "trunk \"carrier-a\""],
            &["stir_failure = \"mark\" in trunk \"carrier-a\""],
        ),
        row(
            Trouble::CallerSignature,
            || signed(Some(signed::shaken())),
            &["signature", "is not good"],
            &["roots", "[stir]", "trunk \"carrier-a\""],
        ),
        row(
            Trouble::PrivacyUnknown,
            || with_lines(CONFIG, "Privacy: telepathy;critical\n"),
            &["wish for privacy", "kind of privacy that is not known"],
            &["trunk \"carrier-a\"", "critical", "Privacy"],
        ),
        row(
            Trouble::ForwardedTooOften,
            || {
                let lines = (0..30).map(|n| format!("Diversion: <sip:+4989{n:04}@example.com>\n"));
                with_lines(CONFIG, &lines.collect::<String>())
            },
            &["forwarded too often", "482 ", "diverted"],
            &["Diversion or History-Info"],
        ),
        row(
            Trouble::HopsUsedUp,
            || {
                let invite = carrier_invite("call", CARRIER_SDP);
                carrier_calls(
                    CONFIG,
                    &invite.replace("Max-Forwards: 69", "Max-Forwards: 0"),
                )
            },
            &["trunk \"carrier-a\"", "483 ", "Max-Forwards has reached 0"],
            &["before trunk \"carrier-a\"", "Max-Forwards: 70"],
        ),
        row(
            Trouble::HopsTooFew,
            || {
                let config = below(CARRIER_TRUNK, "max_forwards_min = 60");
                let invite = carrier_invite("call", CARRIER_SDP);
                carrier_calls(
                    &config,
                    &invite.replace("Max-Forwards: 69", "Max-Forwards: 50"),
                )
            },
            &["trunk \"carrier-a\"", "50 hops are left", "wants 60"],
            &["max_forwards_min of trunk \"carrier-a\""],
        ),
        row(
            Trouble::BranchesUsedUp,
            || with_lines(CONFIG, "Max-Breadth: 0\n"),
            &["trunk \"carrier-a\"", "440 ", "Max-Breadth has reached 0"],
            &["trunk \"carrier-a\"", "Max-Breadth"],
        ),
        row(
            Trouble::CallInCircle,
            in_circle,
            &["circle", "again and again"],
            &["[[route]] back to trunk \"carrier-a\""],
        ),
        row(
            Trouble::CallBeenHere,
            been_here,
            &["circle", "been here before"],
            &["[[route]] back to trunk \"carrier-a\""],
        ),
        row(
            Trouble::RequestTooLarge,
            || {
                let line = format!("X-LONG: {}\nCSEQ:", "a".repeat(9 << 10));
                teams_calls(CONFIG, &teams_invite("call").replace("CSEQ:", &line))
            },
            &["too large", "9216 octets"],
            &["trunk \"teams-contoso\"", "shorter headers"],
        ),
        row(
            Trouble::RequestTooLarge,
            large_body,
            &["too large", "513 ", "Teams may send 131072"],
            &["trunk \"teams-contoso\""],
        ),
        row(
            Trouble::IntervalTooShort,
            || with_lines(CONFIG, "Supported: timer\nSession-Expires: 60\n"),
            &["refreshed too often", "422 ", "below 90 s"],
            &[
                "Session-Expires",
                "min_se in [trunk.session_timer]",
                "trunk \"carrier-a\"",
            ],
        ),
        row(
            Trouble::ReliabilityMissing,
            || with_lines(&below(CARRIER_TRUNK, "rel100 = \"required\""), ""),
            &["100rel", "421 "],
            &["rel100 = \"auto\" in trunk \"carrier-a\""],
        ),
    ]
}

fn limits() -> Vec<Row> {
    vec![
        row(
            Trouble::TrunkFull,
            || second_of_two(&below(CARRIER_TRUNK, "limits = { calls = 1 }")),
            &["trunk \"carrier-a\" has its 1 calls", "503 "],
            &["limits.in or limits.out of that [[trunk]]"],
        ),
        row(
            Trouble::TrunkFull,
            || second_of_two(&below(TEAMS_TRUNK, "limits = { out = { calls = 1 } }")),
            &["trunk \"teams-contoso\" outbound has its 1 calls", "503 "],
            &["limits.in or limits.out of that [[trunk]]"],
        ),
        row(
            Trouble::TenantFull,
            || second_of_two(&below(TENANT, "limits = { calls = 1 }")),
            &["tenant \"contoso\" has its 1 calls", "503 "],
            &["limits of that [[tenant]]"],
        ),
        row(
            Trouble::RouteFull,
            || second_of_two(&below(ROUTE, "limits = { calls = 1, refuse = \"486\" }")),
            &["route \"to-teams\" has its 1 calls", "486 "],
            &["limits of that [[route]]"],
        ),
        row(
            Trouble::NumbersFull,
            numbers_full,
            &["limit \"hotline\" has its 1 calls", "503 "],
            &["calls of that [[limit]]"],
        ),
        row(
            Trouble::TranscodingFull,
            || {
                let limits = "\n[limits]\ntranscoding = 1\n";
                second_of_two(&(transcoding::with(transcoding::WIDEBAND) + limits))
            },
            &["transcoding ([limits] transcoding) has its 1 calls"],
            &["transcoding in [limits]", "codec in common"],
        ),
        row(
            Trouble::RateReached,
            || second_of_two(&below(TENANT, "limits = { cps = 1 }")),
            &["tenant \"contoso\"", "1 new calls per second"],
            &["cps", "who makes them"],
        ),
        row(
            Trouble::SetupsReached,
            || second_of_two(&below(TENANT, "limits = { setup = 1 }")),
            &["tenant \"contoso\""],
            &["setup where that limit is"],
        ),
        row(
            Trouble::BandwidthReached,
            || second_of_two(&below(TENANT, "limits = { bandwidth = 100 }")),
            &["tenant \"contoso\"", "kbit/s"],
            &["bandwidth where that limit is"],
        ),
        row(
            Trouble::Preempted,
            preempted,
            &["gave way to a call for help", "trunk \"carrier-a\""],
            &["reserve some of it"],
        ),
        row(
            Trouble::SpendReached,
            spent,
            &["tenant \"contoso\" has spent", "per hour", "403 "],
            &["abuses", "spend_per_hour"],
        ),
    ]
}

/// What was refused ends at once; what was not is still there.
#[test]
fn who_is_refused_for_a_limit_of_the_trunk_leaves_the_other_call_alone() {
    let mut shard = Shard::with(config_of(&below(CARRIER_TRUNK, "limits = { calls = 1 }")));
    shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    assert_eq!(shard.records.len(), 1);
    let record = over(shard);
    assert_eq!(record.ingress.call_id, "one");
}
