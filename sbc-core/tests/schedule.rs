//! Routes that take calls at certain times: which one a call takes, how it is refused when all are closed, what is told.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, CallIn, Source, load};
use sbc_core::id::TrunkName;
use sbc_core::rehearsal::{gate, play};
use sbc_core::report::explain;
use sbc_core::sip::Method;
use sbc_core::time::UnixTime;
use sbc_core::trouble::Trouble;
use world::*;

/// Weekdays from eight to six in Berlin, and the second carrier by night.
const SCHEDULES: &str = r#"
[[schedule]]
name = "business"
zone = "Europe/Berlin"
open = [{ days = ["mon-fri"], hours = ["08:00-12:00", "13:00-18:00"] }]
special = [{ dates = ["12-24"], hours = ["09:00-12:00"] }, { dates = ["12-25..12-26"] }]
"#;

/// The usual configuration where calls of the carrier reach Teams by day; with `behind`, another route takes the rest.
pub(crate) fn by_day(behind: &str) -> String {
    let rule = "name = \"to-teams\"\n";
    let text = CONFIG.replace(rule, &format!("{rule}schedule = \"business\"\n"));
    format!("{text}{SCHEDULES}{behind}")
}

/// Calls of the carrier come back by night.
const BEHIND: &str = r#"
[[route]]
name = "by-night"
match = { called_in = "tenant:contoso", from_trunk = "carrier-a" }
to = [{ trunk = "carrier-a" }]
"#;

pub(crate) fn at(text: &str) -> UnixTime {
    UnixTime::of_offset(text).expect("a time")
}

fn call(time: Option<&str>) -> CallIn {
    CallIn {
        trunk: Some(TrunkName::new("carrier-a")),
        from: "+498999998001".to_owned(),
        to: "+493023125456".to_owned(),
        time: time.map(at),
        ..CallIn::default()
    }
}

#[test]
fn a_route_takes_calls_while_its_schedule_is_open_and_the_next_one_takes_the_others() {
    let config = config_of(&by_day(BEHIND));
    let goes = |time: &str| {
        let played = play(&config, &call(Some(time))).expect("a call");
        (played.tries[0].trunk.to_string(), played.rules.join("; "))
    };
    for (time, trunk) in [
        ("2027-03-26T08:00:00+01:00", "teams-contoso"),
        ("2027-03-26T07:59:59+01:00", "carrier-a"),
        ("2027-03-26T12:30:00+01:00", "carrier-a"),
        ("2027-03-26T17:59:59+01:00", "teams-contoso"),
        // Two days later the clock has changed, and so have the hours in UTC.
        ("2027-03-29T06:00:00Z", "teams-contoso"),
        ("2027-03-29T16:00:00Z", "carrier-a"),
        ("2027-03-27T10:00:00+01:00", "carrier-a"),
        ("2027-12-24T10:00:00+01:00", "teams-contoso"),
        ("2027-12-24T14:00:00+01:00", "carrier-a"),
    ] {
        let (found, rules) = goes(time);
        assert_eq!(found, trunk, "{time}: {rules}");
    }
    let (_, rules) = goes("2027-03-27T10:00:00+01:00");
    let closed = "route \"to-teams\" matches, but schedule \"business\" is closed (Sat 2027-03-27 10:00 Europe/Berlin)";
    assert!(rules.contains(closed), "{rules}");
}

#[test]
fn a_call_is_refused_with_480_when_every_route_is_closed_and_told_so() {
    let mut shard = Shard::with(config_of(&by_day("")));
    // A Sunday.
    shard.now.wall = at("2027-03-28T10:00:00+02:00");
    shard.carrier_says(&carrier_invite("closed", CARRIER_SDP));
    shard.next_response(100);
    shard.next_response(480);
    let record = shard.records.last().expect("a record");
    assert_eq!(record.cause.code, CauseCode::NoRoute);
    let told = explain(record);
    assert_eq!(told.name, Trouble::RoutesClosed);
    assert!(
        told.why
            .contains("schedule \"business\" is closed (Sun 2027-03-28 10:00 Europe/Berlin)"),
        "{}",
        told.why
    );
    assert!(
        told.change[0].contains("causeway route test --time"),
        "{:?}",
        told.change
    );
    // On Monday the same call goes on.
    shard.now.wall = at("2027-03-29T10:00:00+02:00");
    shard.carrier_says(&carrier_invite("open", CARRIER_SDP));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_reload_changes_the_hours_for_the_next_call() {
    let mut shard = Shard::with(config_of(&by_day("")));
    shard.now.wall = at("2027-03-26T20:00:00+01:00");
    let longer = by_day("").replace("13:00-18:00", "13:00-22:00");
    shard.apply(sbc_core::input::Input::Config(config_of(&longer)));
    shard.carrier_says(&carrier_invite("later", CARRIER_SDP));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_test_says_when_it_plays_and_one_that_does_not_finds_every_route_open() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let passes = |time: &str, expect: &str| {
        let case = format!(
            "[[test]]\nname = \"by time\"\ncall = {{ trunk = \"carrier-a\", from = \"+498999998001\", to = \
             \"+493023125456\"{time} }}\nexpect = {{ {expect} }}\n"
        );
        let text = by_day("") + &case;
        let loaded = load(&[Source::new("test.toml", text)], &facts, None);
        gate(loaded.unwrap_or_else(|found| panic!("{}", found.to_text()))).is_ok()
    };
    assert!(passes(
        ", time = \"2027-03-26T10:00:00+01:00\"",
        "trunk = \"teams-contoso\""
    ));
    assert!(passes(
        ", time = \"2027-03-26T20:00:00+01:00\"",
        "status = 480, cause = \"no_route\""
    ));
    assert!(!passes(
        ", time = \"2027-03-26T20:00:00+01:00\"",
        "trunk = \"teams-contoso\""
    ));
    assert!(passes("", "trunk = \"teams-contoso\""));
    let played = play(&config_of(&by_day("")), &call(None)).expect("a call");
    assert_eq!(played.tries[0].trunk.as_str(), "teams-contoso");
}
