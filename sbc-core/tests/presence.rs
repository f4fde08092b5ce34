//! Routing by presence: what Microsoft says of the called user, what we see ourselves, and what neither
//! stops (TDG-PRS-006).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, CallIn, Config, Source, UserId, load};
use sbc_core::core::Together;
use sbc_core::id::{CommandId, ShardId, TenantName, TrunkName};
use sbc_core::input::{Command, Heard, Input};
use sbc_core::policy::presence::Presence;
use sbc_core::rehearsal::{gate, play};
use sbc_core::sip::{HeaderName, Message, Method};
use std::sync::Arc;
use std::time::Duration;
use world::call::{Call, header};
use world::*;

const USER: &str = "0b2f3c4d-1111-2222-3333-444455556666";
const VOICEMAIL: &str = "198.51.100.40:5060";

/// The usual world with a user who has the called number, and this rule on the route to Teams.
pub(crate) fn with_rule(rule: &str) -> String {
    let graph = "graph = { tenant_id = \"11111111-2222-3333-4444-555555555555\", client_id = \
                 \"66666666-7777-8888-9999-000000000000\", secret = { credential = \"graph\" }, presence = { } }";
    let users = format!("users = {{ \"+493023125456\" = \"{USER}\" }}");
    let rule = format!(
        "to = [{{ trunk = \"teams-contoso\" }}, {{ trunk = \"voicemail\" }}]\npresence = {rule}"
    );
    CONFIG
        .replacen(
            "[[tenant]]\n",
            &format!("[[tenant]]\n{graph}\n{users}\n"),
            1,
        )
        .replacen("to = [{ trunk = \"teams-contoso\" }]", &rule, 1)
        + "[[trunk]]\nname = \"voicemail\"\npreset = \"carrier\"\ntenant = \"contoso\"\nrealm = \"carrier\"\n\
           targets = [\"198.51.100.40:5060;udp\"]\naccept_from = [\"198.51.100.40/32\"]\n"
}

pub(crate) const RULE: &str = "{ busy = \"refuse\", absent = \"next\" }";

fn user() -> UserId {
    UserId::parse(USER).expect("a GUID")
}

pub(crate) fn heard(availability: &str, activity: &str) -> Input {
    Input::Presence(Arc::new(Heard {
        tenant: TenantName::new("contoso"),
        users: vec![(user(), Arc::new(Presence::new(availability, activity)))],
    }))
}

fn after(shard: &mut Shard, wait: Duration) {
    shard.now.mono = shard.now.mono + wait;
}

/// What becomes of a call to the user: where it goes, or how it is refused.
fn becomes(shard: &mut Shard, call_id: &str) -> Result<String, Message> {
    shard.carrier_says(&carrier_invite(call_id, CARRIER_SDP));
    shard.next_response(100);
    let next = shard.next();
    if next.message.is_response() {
        return Err(next.message);
    }
    let remote = next.hop.remote.to_string();
    shard.carrier_says(&carrier_cancel(call_id));
    shard.pass(Duration::from_millis(10));
    shard.sent.clear();
    Ok(remote)
}

fn status(refusal: Result<String, Message>) -> u16 {
    let refusal = refusal.expect_err("it is refused");
    refusal.status().expect("a status").code()
}

fn goes(outcome: Result<String, Message>) -> String {
    outcome.expect("it goes out")
}

#[test]
fn who_is_ready_is_called_who_is_busy_is_not_and_who_is_unknown_is_tried() {
    let config = config_of(&with_rule(RULE));
    let mut shard = Shard::with(Arc::clone(&config));
    assert_eq!(goes(becomes(&mut shard, "nothing-known")), TEAMS);
    shard.apply(heard("Available", "Available"));
    assert_eq!(goes(becomes(&mut shard, "ready")), TEAMS);
    for (at, (availability, activity)) in [
        ("Busy", "InACall"),
        ("DONOTDISTURB", "presenting"),
        ("Available", "InAConferenceCall"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut shard = Shard::with(Arc::clone(&config));
        shard.apply(heard(availability, activity));
        let refusal = becomes(&mut shard, &format!("busy{at}")).expect_err("refused");
        assert_eq!(refusal.status().unwrap().code(), 486);
        assert_eq!(header(&refusal, HeaderName::Reason), "Q.850;cause=17");
        let record = shard.records.last().expect("a record");
        assert_eq!(record.cause.code, CauseCode::Presence);
        let because = record.cause.because.0.join("; ");
        let wanted = format!("user {USER}, who was {availability}/{activity} 0 s ago: busy");
        assert!(because.contains(&wanted), "{because}");
        assert!(because.contains("route \"to-teams\" refuses"), "{because}");
    }
    for (at, unknown) in ["PresenceUnknown", "Levitating", ""]
        .into_iter()
        .enumerate()
    {
        let mut shard = Shard::with(Arc::clone(&config));
        shard.apply(heard(unknown, unknown));
        assert_eq!(goes(becomes(&mut shard, &format!("unknown{at}"))), TEAMS);
    }
    // Somebody whom the configuration does not name leaves nothing behind.
    let mut shard = Shard::with(config);
    shard.apply(Input::Presence(Arc::new(Heard {
        tenant: TenantName::new("fabrikam"),
        users: vec![(user(), Arc::new(Presence::new("Busy", "Busy")))],
    })));
    assert_eq!(goes(becomes(&mut shard, "other")), TEAMS);
}

#[test]
fn a_call_to_who_is_absent_goes_to_the_next_trunk_or_is_refused_or_tried_as_the_route_says() {
    for (rule, wanted) in [
        ("{ absent = \"next\" }", Ok(VOICEMAIL)),
        ("{ absent = \"refuse\" }", Err(480)),
        ("{ absent = \"try\", busy = \"refuse\" }", Ok(TEAMS)),
        ("{ busy = \"next\" }", Ok(TEAMS)),
    ] {
        let mut shard = Shard::with(config_of(&with_rule(rule)));
        shard.apply(heard("Away", "OutOfOffice"));
        let outcome = becomes(&mut shard, "away");
        match wanted {
            Ok(place) => assert_eq!(goes(outcome), place, "{rule}"),
            Err(code) => assert_eq!(status(outcome), code, "{rule}"),
        }
    }
}

#[test]
fn the_answer_of_teams_goes_before_its_presence() {
    let mut shard = Shard::with(config_of(&with_rule(
        "{ busy = \"refuse\", absent = \"refuse\" }",
    )));
    shard.apply(heard("Available", "Available"));
    shard.carrier_says(&carrier_invite("really", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "486 Busy Here", "x1", "", ""));
    shard.next_request(Method::Ack);
    shard.next_response(486);
    assert_eq!(shard.records.len(), 1);
    assert_eq!(shard.records[0].cause.code, CauseCode::PeerBusy);
}

#[test]
fn what_was_said_too_long_ago_says_nothing() {
    let mut shard = Shard::with(config_of(&with_rule(RULE)));
    shard.apply(heard("Busy", "Busy"));
    after(&mut shard, Duration::from_secs(59));
    assert_eq!(status(becomes(&mut shard, "fresh")), 486);
    after(&mut shard, Duration::from_secs(2));
    assert_eq!(goes(becomes(&mut shard, "old")), TEAMS);
    // The same again makes it good for as long.
    shard.apply(heard("Busy", "Busy"));
    assert_eq!(status(becomes(&mut shard, "again")), 486);
}

#[test]
fn a_change_counts_once_it_has_lasted() {
    let mut shard = Shard::with(config_of(&with_rule(RULE)));
    shard.apply(heard("Busy", "Busy"));
    after(&mut shard, Duration::from_secs(10));
    shard.apply(heard("Available", "Available"));
    after(&mut shard, Duration::from_secs(1));
    shard.apply(heard("Away", "Away"));
    assert_eq!(status(becomes(&mut shard, "flaps")), 486);
    after(&mut shard, Duration::from_secs(1));
    shard.apply(heard("Available", "Available"));
    // The same again is no change.
    after(&mut shard, Duration::from_millis(1_400));
    shard.apply(heard("Available", "AvailableIdle"));
    assert_eq!(status(becomes(&mut shard, "not-yet")), 486);
    after(&mut shard, Duration::from_millis(1_100));
    assert_eq!(goes(becomes(&mut shard, "lasted")), TEAMS);
}

#[test]
fn our_own_calls_go_before_what_microsoft_says() {
    let together = Together::default();
    let shard = Shard::with(config_of(&with_rule(RULE))).counting(&together);
    let who = |together: &Together| together.talking().changed(None).expect("a state").1;
    let mut call = Call::of(shard);
    assert_eq!(who(&together), [(TenantName::new("contoso"), user())]);
    // Another shard knows of it too, whatever it has heard.
    let config = config_of(&with_rule(RULE));
    let mut other = Shard::one_of(config, ShardId(1), 2).counting(&together);
    other.apply(heard("Available", "Available"));
    assert_eq!(status(becomes(&mut other, "talks")), 486);
    // Microsoft has noticed the call, and it ends.
    other.apply(heard("Busy", "InACall"));
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(who(&together), []);
    assert_eq!(goes(becomes(&mut other, "hung-up")), TEAMS);
    // What is said after it is of another call, which we do not see.
    after(&mut other, Duration::from_secs(11));
    other.apply(heard("Busy", "InACall"));
    assert_eq!(status(becomes(&mut other, "elsewhere")), 486);
}

#[test]
fn who_calls_from_teams_talks_too_and_who_rings_does_not() {
    let together = Together::default();
    let mut shard = Shard::with(config_of(&with_rule(RULE))).counting(&together);
    let calls = |together: &Together| {
        together
            .talking()
            .of(&TenantName::new("contoso"), user())
            .calls
    };
    shard.teams_says(&teams_invite("out"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(calls(&together), 0);
    shard.carrier_says(&response(
        &invite,
        "200 OK",
        "x1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    ));
    shard.next_request(Method::Ack);
    shard.next_response(200);
    assert_eq!(calls(&together), 1);
    // The caller's side never acknowledges it: the call ends by itself.
    shard.pass(Duration::from_secs(70));
    assert_eq!((calls(&together), shard.records.len()), (0, 1));
}

#[test]
fn no_call_for_help_waits_for_anybodys_presence() {
    let inside = "[[route]]\nname = \"inside\"\nmatch = { from_trunk = \"teams-contoso\", called = '^\\+4930' }\n\
                  to = [{ trunk = \"teams-contoso\" }]\npresence = { busy = \"refuse\", absent = \"refuse\" }\n";
    let text = with_rule(RULE);
    let first = text.find("[[route]]").expect("a route");
    let text = format!("{}{inside}{}", &text[..first], &text[first..]);
    let plain = teams_invite("plain").replace("+498999998001@", "+493023125456@");
    let mut shard = Shard::with(config_of(&text));
    shard.apply(heard("Busy", "Busy"));
    shard.teams_says(&plain);
    shard.next_response(100);
    shard.next_response(486);
    let help = teams_invite("help")
        .replace("+498999998001@", "+493023125456@")
        .replace("MAX-FORWARDS", "PRIORITY: emergency\nMAX-FORWARDS");
    shard.teams_says(&help);
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_reload_forgets_who_is_not_named_any_more() {
    let mut shard = Shard::with(config_of(&with_rule(RULE)));
    shard.apply(heard("Busy", "Busy"));
    let other = with_rule(RULE).replace("\"+493023125456\" =", "\"+493023125457\" =");
    shard.apply(Input::Config(config_of(&other)));
    assert_eq!(goes(becomes(&mut shard, "nobody")), TEAMS);
    // The user has another number now, and is still known.
    let invite =
        carrier_invite("renumbered", CARRIER_SDP).replace("+493023125456", "+493023125457");
    shard.carrier_says(&invite);
    shard.next_response(100);
    shard.next_response(486);
    let gone = other.replace(USER, "0b2f3c4d-1111-2222-3333-000000000000");
    shard.apply(Input::Config(config_of(&gone)));
    shard.apply(Input::Config(config_of(&with_rule(RULE))));
    assert_eq!(goes(becomes(&mut shard, "forgotten")), TEAMS);
}

#[test]
fn a_rehearsal_tells_the_rule_and_a_test_states_a_presence() {
    let config: Arc<Config> = config_of(&with_rule(RULE));
    let call = |presence: Option<&str>| CallIn {
        trunk: Some(TrunkName::new("carrier-a")),
        from: "+498999998001".to_owned(),
        to: "+493023125456".to_owned(),
        presence: presence.map(str::to_owned),
        ..CallIn::default()
    };
    let away = play(&config, &call(Some("Away"))).expect("a call");
    assert_eq!(away.tries[0].trunk.as_str(), "voicemail");
    let rules = away.rules.join("; ");
    assert!(
        rules.contains("who was Away/Away 0 s ago: absent"),
        "{rules}"
    );
    assert!(
        rules.contains("route \"to-teams\" passes Teams by for who is absent"),
        "{rules}"
    );
    let unsaid = play(&config, &call(None)).expect("a call");
    assert!(
        unsaid
            .rules
            .join("; ")
            .contains("nothing is known: the call tells")
    );
    let text = |presence: &str, expect: &str| {
        let case = format!(
            "[[test]]\nname = \"by presence\"\ncall = {{ trunk = \"carrier-a\", from = \"+498999998001\", to = \
             \"+493023125456\", presence = \"{presence}\" }}\nexpect = {{ {expect} }}\n"
        );
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let text = with_rule(RULE) + &case;
        match load(&[Source::new("test.toml", &*text)], &facts, None) {
            Ok(loaded) => gate(loaded).is_ok(),
            Err(findings) => panic!("{}", findings.to_text()),
        }
    };
    assert!(text("Busy/InACall", "status = 486, cause = \"presence\""));
    assert!(text("Away", "trunk = \"voicemail\""));
    assert!(!text("Available", "status = 486"));
}

#[test]
fn what_is_wrong_with_users_and_rules_is_said() {
    let good = with_rule(RULE);
    for (text, cause) in [
        (
            good.replace("\"+493023125456\" =", "\"03023125456\" ="),
            "users \"03023125456\" is no number",
        ),
        (good.replace(USER, "ada@contoso.example"), "is no object id"),
        (
            good.replace("presence = { } }", "presence = { every = \"9s\" } }"),
            "\"every\" is out of range",
        ),
        (good.replace("users = {", "#"), "the tenant names no users"),
        (
            good.replace(", { trunk = \"voicemail\" }", ""),
            "presence \"next\" has nowhere to go",
        ),
        (
            good.replace("[{ trunk = \"teams-contoso\" }, ", "["),
            "none of its trunks leads to Teams",
        ),
        (
            good.replace(
                "match = { called_in = \"tenant:contoso\",",
                "match = { emergency = true,",
            ),
            "calls for help do not wait for anybody's presence",
        ),
        (
            CONFIG.replace(
                "to = [{ trunk = \"teams-contoso\" }]",
                "to = [{ trunk = \"teams-contoso\" }]\npresence = { busy = \"refuse\" }",
            ),
            "no tenant has users whose presence is asked for",
        ),
        (
            good.replace("busy = \"refuse\"", "busy = \"reject\""),
            "busy \"reject\" is unknown",
        ),
    ] {
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let told = match load(&[Source::new("test.toml", &*text)], &facts, None) {
            Ok(_) => panic!("it loads, although {cause}"),
            Err(findings) => findings.to_text(),
        };
        assert!(told.contains(cause), "{cause}: {told}");
    }
}

/// A number of a user is whom Teams names; its own words for users are nobody's number.
#[test]
fn who_has_transferred_the_call_talks_no_more_and_the_target_does() {
    const OTHER: &str = "0b2f3c4d-1111-2222-3333-444455557777";
    let text = with_rule(RULE).replace(
        "users = {",
        &format!("users = {{ \"+493023125457\" = \"{OTHER}\","),
    );
    let tenant = TenantName::new("contoso");
    let other = UserId::parse(OTHER).expect("a GUID");
    for (target, calls_of_target) in [
        (
            "sip:+493023125457@sip.pstnhub.microsoft.com:5061;user=phone",
            1,
        ),
        (
            "sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:0000aaaa-1111-2222-3333-bbbb4444cccc",
            0,
        ),
    ] {
        let together = Together::default();
        let calls = |user| together.talking().of(&tenant, user).calls;
        let mut call = Call::of(Shard::with(config_of(&text)).counting(&together));
        let refer = format!(
            "REFER-TO: <{target}>\nREFERRED-BY: <sip:sip.pstnhub.microsoft.com:5061;x-m=1>\n\
             CONTACT: <sip:api.example.com:443;x-i=1>\n"
        );
        call.teams_says("REFER", 1, &refer);
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        call.shard
            .teams_says(&response(&notify, "200 OK", "", "", ""));
        let invite = call.shard.next_request(Method::Invite).message;
        assert_eq!((calls(user()), calls(other)), (1, 0), "{target}");
        call.shard
            .teams_says(&response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP));
        call.shard.next_request(Method::Ack);
        assert_eq!(
            (calls(user()), calls(other)),
            (0, calls_of_target),
            "{target}"
        );
        call.shard.pass(Duration::from_secs(100));
        call.shard
            .apply(Input::Command(CommandId(1), Command::CloseAll));
        assert_eq!((calls(user()), calls(other)), (0, 0), "{target}");
    }
}

#[test]
fn who_answers_after_a_redirection_talks_and_not_who_was_dialled() {
    const OTHER: &str = "0b2f3c4d-1111-2222-3333-444455557777";
    let inside = "[[route]]\nname = \"inside\"\nmatch = { from_trunk = \"teams-contoso\", called = '^\\+4930' }\n\
                  to = [{ trunk = \"teams-contoso\" }]\n";
    let text = with_rule(RULE)
        .replace(
            "users = {",
            &format!("users = {{ \"+493023125457\" = \"{OTHER}\","),
        )
        .replacen("[[route]]\n", &format!("{inside}[[route]]\n"), 1);
    let tenant = TenantName::new("contoso");
    let other = UserId::parse(OTHER).expect("a GUID");
    let together = Together::default();
    let mut shard = Shard::with(config_of(&text)).counting(&together);
    shard.carrier_says(&carrier_invite("forwarded", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let contact = "Contact: <sip:+493023125457@sip.pstnhub.microsoft.com:5061;user=phone>\n";
    shard.teams_says(&response(
        &invite,
        "302 Moved Temporarily",
        "x1",
        contact,
        "",
    ));
    shard.next_request(Method::Ack);
    let onward = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&onward, "200 OK", "x2", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let calls = |user| together.talking().of(&tenant, user).calls;
    assert_eq!((calls(user()), calls(other)), (0, 1));
}
