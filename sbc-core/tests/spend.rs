//! Limits on money, by hand: what calls cost, who is refused and who is told (SIP-406).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, Source, load};
use sbc_core::core::Together;
use sbc_core::event::Happened;
use sbc_core::id::ShardId;
use sbc_core::record::TransferOutcome;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const TENANT: &str = "name = \"contoso\"";
const CARRIER_TRUNK: &str = "name = \"carrier-a\"";

/// Half a unit per minute and a quarter per call to the numbers of the customer.
const RATES: &str = "
[[rate]]
prefix = \"+4930\"
per_minute = 0.5
per_call = \"0.25\"
[[rate]]
prefix = \"+49302312599\"
per_minute = 0
";

pub(crate) fn with(place: &str, limits: &str) -> String {
    let text = CONFIG.replacen(place, &format!("{place}\nlimits = {{ {limits} }}"), 1);
    format!("{text}{RATES}")
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// What becomes of a call of the carrier: nothing if it goes on to Teams, else status and reason.
fn offered(shard: &mut Shard, call_id: &str, to: &str) -> Option<(u16, String)> {
    let invite = carrier_invite(call_id, CARRIER_SDP).replace("+493023125456", to);
    shard.carrier_says(&invite);
    shard.next_response(100);
    let status = shard.next().message.status()?;
    let record = shard.records.last().expect("a record");
    assert_eq!(record.cause.code, CauseCode::SpendReached);
    Some((status.code(), record.cause.because.0.join("; ")))
}

/// The limits that somebody was told of, with the call that did it or without one.
fn told(shard: &Shard) -> Vec<String> {
    let told = shard.happened.iter().filter_map(|what| match what {
        Happened::SpendReached(spent) => Some(format!("{}: {spent}", spent.action.as_str())),
        _ => None,
    });
    told.collect()
}

/// The caller hangs up.
fn ended(call: &mut Call) {
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    let ok = response(&bye, "200 OK", "", "", "");
    call.shard.teams_says(&ok);
    assert!(call.shard.sent.is_empty());
}

#[test]
fn what_a_running_call_costs_refuses_the_next_one_that_costs_anything() {
    let mut call = Call::with(&with(TENANT, "spend_per_hour = 1"));
    let number = "+493023125456";
    call.shard.pass(Duration::from_secs(89));
    assert_eq!(offered(&mut call.shard, "early", number), None);
    call.shard.carrier_says(&carrier_cancel("early"));
    call.shard.pass(Duration::from_secs(1));
    call.shard.sent.clear();
    let why = "tenant \"contoso\" has spent 1.00 of its 1.00 per hour";
    let refused = offered(&mut call.shard, "late", number);
    assert_eq!(refused, Some((403, why.to_owned())));
    assert_eq!(told(&call.shard), [format!("block: {why}")]);
    // A call that costs nothing goes on: to a number without a price, as to one whose price is nothing.
    call.shard.sent.clear();
    assert_eq!(offered(&mut call.shard, "free", "+493023125991"), None);
}

#[test]
fn an_ended_call_costs_no_more_and_an_hour_later_there_is_money_again() {
    let mut call = Call::with(&with(TENANT, "spend_per_hour = \"1.25\""));
    call.shard.pass(minutes(1));
    ended(&mut call);
    let number = "+493023125456";
    call.shard.pass(minutes(30));
    assert_eq!(offered(&mut call.shard, "second", number), None);
    let invite = call.shard.happened.len();
    assert!(told(&call.shard).is_empty() && invite > 0);
    let mut call = Call::with(&with(TENANT, "spend_per_hour = \"1.25\""));
    call.shard.pass(minutes(2));
    ended(&mut call);
    call.shard.pass(minutes(57));
    assert!(offered(&mut call.shard, "refused", number).is_some());
    call.shard.pass(minutes(6));
    call.shard.sent.clear();
    assert_eq!(offered(&mut call.shard, "later", number), None);
}

#[test]
fn somebody_is_told_within_half_a_minute_though_nobody_calls_and_calls_go_on_where_that_is_wanted()
{
    let limits = "spend_per_day = 1.5, spend_action = \"alert\"";
    let mut call = Call::with(&with(CARRIER_TRUNK, limits));
    call.shard.pass(Duration::from_secs(149));
    assert!(told(&call.shard).is_empty());
    call.shard.pass(Duration::from_secs(31));
    let why = told(&call.shard);
    assert_eq!(why.len(), 1);
    assert!(why[0].starts_with("alert: trunk \"carrier-a\" has spent 1."));
    assert!(why[0].ends_with(" of its 1.50 per day"), "{why:?}");
    assert_eq!(offered(&mut call.shard, "next", "+493023125456"), None);
    assert_eq!(told(&call.shard).len(), 1, "once is enough");
}

#[test]
fn money_is_that_of_the_node_whichever_shard_a_call_falls_to() {
    let (config, together) = (
        config_of(&with(TENANT, "spend_per_hour = 1")),
        Together::default(),
    );
    let [first, mut second] = [0, 1].map(|number| {
        let config = std::sync::Arc::clone(&config);
        Shard::one_of(config, ShardId(number), 2).counting(&together)
    });
    let mut call = Call::of(first);
    call.shard.pass(minutes(2));
    second.pass(minutes(2));
    assert!(offered(&mut second, "other", "+493023125456").is_some());
}

#[test]
fn a_limit_of_each_caller_is_for_itself_and_refuses_as_it_says() {
    let text = format!(
        "{CONFIG}{RATES}
[[limit]]
name = \"premium\"
match = {{ called = [\"+4930\"] }}
each = \"calling\"
spend_per_hour = \"0.25\"
refuse = \"486\"
"
    );
    let mut call = Call::with(&text);
    call.shard.pass(Duration::from_secs(1));
    let (status, why) = offered(&mut call.shard, "same", "+493023125457").expect("refused");
    let name = "limit \"premium\" for +498999998001 has spent 0.25 of its 0.25 per hour";
    assert_eq!((status, why.as_str()), (486, name));
    call.shard.sent.clear();
    let other = carrier_invite("other", CARRIER_SDP).replace("+498999998001", "+498999998002");
    call.shard.carrier_says(&other);
    call.shard.next_response(100);
    call.shard.next_request(Method::Invite);
}

#[test]
fn a_trunk_without_money_is_passed_by_and_the_next_one_carries_the_call() {
    let second = "
[[trunk]]
name = \"teams-spare\"
tenant = \"contoso\"
realm = \"carrier\"
targets = [\"198.51.100.40:5060;udp\"]
";
    let text = with("name = \"teams-contoso\"", "out = { spend_per_hour = 0 }");
    let text = text.replace(
        "to = [{ trunk = \"teams-contoso\" }]",
        "to = [{ trunk = \"teams-contoso\" }, { trunk = \"teams-spare\" }]",
    );
    let mut shard = Shard::with(config_of(&format!("{text}{second}")));
    shard.carrier_says(&carrier_invite("hunt", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), "198.51.100.40:5060");
}

#[test]
fn who_transfers_pays_and_a_transfer_beyond_the_money_is_refused() {
    let mut call = Call::with(&with(CARRIER_TRUNK, "in = { spend_per_hour = 1 }"));
    call.shard.pass(minutes(2));
    let target = "Refer-To: <sip:+493023125777@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
    call.says("REFER", target, "");
    call.shard.next_response(202);
    let mut fragments = Vec::new();
    while let Some(sent) = call.shard.sent.pop_front() {
        assert_eq!(*sent.message.method(), Method::Notify);
        fragments.push(String::from_utf8_lossy(&sent.message.body()).into_owned());
        let ok = response(&sent.message, "200 OK", "", "", "");
        call.shard.carrier_says(&ok);
    }
    assert!(
        fragments.last().expect("news").contains("SIP/2.0 403"),
        "{fragments:?}"
    );
    ended(&mut call);
    let transfer = &call.shard.records[0].transfers[0];
    assert_eq!(transfer.outcome, TransferOutcome::Failed);
    let why = transfer.because.0.join("; ");
    assert!(
        why.contains("trunk \"carrier-a\" inbound has spent 1.25"),
        "{why}"
    );
}

#[test]
fn a_call_for_help_costs_nobody_anything() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let text = with(TENANT, "spend_per_hour = 0")
        .replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    let text = format!(
        "{text}[[rate]]\nprefix = \"1\"\nper_call = 1\n[[rate]]\nprefix = \"+4989\"\nper_call = 1\n"
    );
    let text = text.replace(
        "name = \"to-carrier\"",
        "name = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier-a\" }]\n\
         [[route]]\nname = \"to-carrier\"",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.teams_says(&teams_invite("usual"));
    shard.next_response(100);
    shard.next_response(403);
    let help = teams_invite("help").replace("sip:+498999998001@", "sip:112@");
    shard.teams_says(&help);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.carrier_says(&response(
        &invite,
        "200 OK",
        "h1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    ));
    shard.next_request(Method::Ack);
    // Nothing has been spent, whoever might be told.
    assert!(told(&shard).is_empty(), "{:?}", told(&shard));
    let to = header(&invite, HeaderName::To);
    assert!(to.contains("112"), "{to}");
}

#[test]
fn contradictions_about_money_are_found() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    for (text, cause) in [
        (
            with(TENANT, "spend_action = \"alert\""),
            "spend_action without a limit on money",
        ),
        (
            with(TENANT, "spend_per_day = 1").replace(RATES, ""),
            "money is limited, but no call has a price",
        ),
        (
            with(TENANT, "spend_per_day = 1e3"),
            "spend_per_day \"1e3\" is no amount of money",
        ),
        (
            with(TENANT, "spend_per_day = true"),
            "\"spend_per_day\" must be an amount of money",
        ),
        (
            format!("{CONFIG}[[rate]]\nprefix = \"+49\"\n"),
            "\"per_minute\" is missing",
        ),
        (
            format!("{CONFIG}[[rate]]\nprefix = \"premium\"\nper_call = 1\n"),
            "is no beginning of a number",
        ),
        (
            format!("{CONFIG}{RATES}[[rate]]\nprefix = \"+4930\"\nper_call = 1\n"),
            "there is another rate for \"+4930\"",
        ),
    ] {
        let findings = load(&[Source::new("test.toml", &*text)], &facts, None).expect_err(cause);
        assert!(findings.to_text().contains(cause), "{}", findings.to_text());
    }
}
