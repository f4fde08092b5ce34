//! Small words that a call carries or leaves behind, by hand: reasons, user data, alerts, packages, and
//! where it has been.

use crate::world;

use sbc_core::event::Happened;
use sbc_core::id::CommandId;
use sbc_core::input::{Command, Input};
use sbc_core::record::{KeptNumbers, Record};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{Call, callee_request, header};
use world::*;

const CODECS: &str = "codecs = [\"PCMA\", \"PCMU\"]";
const PRESET: &str = "preset = \"teams\"";

/// The usual world with other lines for the carrier's trunk and for that of Teams.
fn world(carrier: &str, teams: &str) -> String {
    CONFIG
        .replace(CODECS, &format!("{CODECS}\n{carrier}"))
        .replace(PRESET, &format!("{PRESET}\n{teams}"))
}

fn values(message: &Message, name: &str) -> Vec<String> {
    let lines = message.headers();
    let lines = lines.filter(|line| line.name().as_str().eq_ignore_ascii_case(name));
    lines
        .map(|line| String::from_utf8_lossy(&line.value()).into_owned())
        .collect()
}

/// What the carrier's caller hears for this failure of Teams, under this configuration.
fn refused(config: &str, status: &str, lines: &str) -> (u16, Vec<String>) {
    let mut shard = Shard::with(config_of(config));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, status, "b1", lines, ""));
    shard.next_request(Method::Ack);
    let refusal = shard.next().message;
    let status = refusal.status().expect("a status").code();
    (status, values(&refusal, "Reason"))
}

#[test]
fn a_warning_tells_whether_the_media_did_not_fit() {
    let told = |lines: &str| refused(CONFIG, "488 No", lines).1;
    assert_eq!(told(""), ["Q.850;cause=65"]);
    assert_eq!(
        told("Warning: 304 x.example \"Media type not available\"\n"),
        ["Q.850;cause=65"]
    );
    assert_eq!(
        told("Warning: 370 x.example \"Insufficient bandwidth\"\n"),
        ["Q.850;cause=31"]
    );
    assert_eq!(
        told("Warning: 399 x.example \"Not today\"\n"),
        ["Q.850;cause=31"]
    );
    let (status, told) = refused(CONFIG, "606 No", "Warning: 399 x.example \"Not today\"\n");
    assert_eq!((status, told), (606, vec!["Q.850;cause=31".to_owned()]));
}

#[test]
fn who_calls_and_what_a_refusal_says_is_in_the_record() {
    let (mut shard, invite) = called_out("call");
    let lines =
        "Reason: Q.850;cause=17;location=ln\nWarning: 399 x.example \"Not today\"\nServer: PBX/7\n";
    let busy = response(&invite.message, "486 Busy Here", "b1", lines, "");
    shard.teams_says(&busy);
    shard.next_request(Method::Ack);
    let refusal = shard.next_response(486).message;
    shard.pass(Duration::from_secs(40));
    let record = &shard.records[0];
    assert_eq!(record.calling_name.as_deref(), Some("Ada"));
    assert_eq!(record.end, Some(record.start));
    assert_eq!(
        (record.billsec, record.held_ms, record.diversions),
        (0, 0, 0)
    );
    assert!(record.route_name.is_some() && !record.signed);
    let own = &record.ingress;
    assert_eq!(own.from_tag.as_deref(), Some("c1"));
    let tag = refusal.to_tag().expect("a tag");
    assert_eq!(own.to_tag.as_bytes(), &tag[..]);
    assert_ne!(own.local, own.remote);
    let attempt = &record.egress[0];
    assert_eq!((attempt.started_ms, attempt.ended_ms), (0, Some(0)));
    let texts = [
        &attempt.phrase,
        &attempt.q850_location,
        &attempt.warning,
        &attempt.user_agent,
    ];
    let wanted = ["Busy Here", "LN", "399 x.example \"Not today\"", "PBX/7"];
    assert_eq!(texts.map(|text| text.as_deref()), wanted.map(Some));
}

/// OPS-062: of a customer that wants it so, no record has a number, nor has what is written ahead of one, and its caller
/// has no name.
#[test]
fn a_customer_may_want_no_numbers_kept() {
    let (calling, called) = ("+498999998001", "+493023125456");
    let told = |tenant: &str, before: &str| {
        let numbers = "numbers = [";
        let config = CONFIG.replacen(numbers, &format!("{tenant}\n{numbers}"), 1);
        let mut shard = Shard::with(config_of(&format!("{before}{config}")));
        let invite = carrier_invite("call", CARRIER_SDP);
        assert!(invite.contains(calling) && invite.contains(called));
        shard.carrier_says(&invite);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let lines = format!("Warning: 399 x.example \"{called} is not here\"\n");
        shard.teams_says(&response(&invite, "404 Not Found", "b1", &lines, ""));
        shard.pass(Duration::from_secs(40));
        let ahead = shard.happened.iter().find_map(|what| match what {
            Happened::Recorded(record) => Some(Record::clone(record)),
            _ => None,
        });
        [ahead.expect("written ahead"), shard.records.remove(0)]
    };
    let full = told("", "");
    for record in &full {
        assert_eq!((&*record.calling, &*record.called), (calling, called));
        assert_eq!(record.calling_name.as_deref(), Some("Ada"));
    }
    let key = "[cdr]\nspool = \"/cdr\"\nnumber_key = { env = \"KEY\" }\n";
    let cut = told("record_numbers = \"cut\"", "");
    let hashed = told("record_numbers = \"hashed\"", key);
    for record in cut.iter().chain(&hashed) {
        let text = format!("{record:?}");
        for secret in [&calling[1..], &called[1..], "Ada"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    let [_, cut] = cut;
    assert_eq!(cut.numbers, KeptNumbers::Cut);
    assert_eq!(
        (&*cut.calling, &*cut.called),
        ("+498999998xxx", "+493023125xxx")
    );
    let warning = cut.egress[0].warning.as_deref();
    assert_eq!(warning, Some("399 x.example \"+493023125xxx is not here\""));
    let [ahead, hashed] = hashed;
    assert_eq!(hashed.numbers, KeptNumbers::Hashed);
    assert_eq!(hashed.called.len(), "hmac:".len() + 32);
    assert_eq!(ahead.called, hashed.called, "the same name each time");
    assert_ne!(hashed.calling, hashed.called);
    assert_eq!(hashed.calling, hashed.calling_raw);
}

/// OPS-062: nor a short one, in each part of it and where it is named, nor what users tell each other.
#[test]
fn short_numbers_are_hidden_wherever_they_stand_and_user_data_are_left_out() {
    let config = CONFIG
        .replacen("numbers = [", "record_numbers = \"cut\"\nnumbers = [", 1)
        .replace(
            "match = { from_trunk = \"teams-contoso\" }",
            "match = { from_trunk = \"teams-contoso\", called = '^\\+' }",
        );
    let mut shard = Shard::with(config_of(&config));
    let invite = teams_invite("call").replace("+498999998001", "1234;ext=5678");
    let data = "User-to-User: 04aB;encoding=hex\nMAX-FORWARDS";
    shard.teams_says(&invite.replace("MAX-FORWARDS", data));
    shard.pass(Duration::from_secs(40));
    let record = &shard.records[0];
    assert_eq!(record.numbers, KeptNumbers::Cut);
    assert_eq!(
        (&*record.called, &*record.called_raw),
        ("1xxx", "1xxx;ext=5xxx")
    );
    assert_eq!(record.user_to_user, None);
    let because = record.cause.because.0.join(", ");
    assert!(because.contains("to 1xxx"), "{because}");
    assert!(!because.contains("1234"), "{because}");
}

/// OPS-062: how a customer wants it nobody knows any more, and its calls may still end.
#[test]
fn a_customer_that_a_reload_takes_away_leaves_no_numbers() {
    let cut = CONFIG.replacen("numbers = [", "record_numbers = \"cut\"\nnumbers = [", 1);
    let mut shard = Shard::with(config_of(&cut));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let renamed = CONFIG
        .replace("name = \"contoso\"", "name = \"fabrikam\"")
        .replace("tenant = \"contoso\"", "tenant = \"fabrikam\"")
        .replace("tenant:contoso", "tenant:fabrikam");
    shard.apply(Input::Config(config_of(&renamed)));
    shard.teams_says(&response(&invite, "404 Not Found", "b1", "", ""));
    shard.pass(Duration::from_secs(40));
    let record = &shard.records[0];
    assert_eq!(record.numbers, KeptNumbers::Cut);
    assert_eq!(record.called, "+493023125xxx");
}

#[test]
fn a_call_that_was_terminated_there_has_no_cause_of_its_own() {
    assert_eq!(refused(CONFIG, "487 Terminated", ""), (480, Vec::new()));
}

#[test]
fn what_other_protocols_say_of_the_call_crosses_and_what_machines_say_does_not() {
    let lines = "Reason: STIR;cause=428;text=\"node-7.inner.example\", Preemption;cause=1\n\
                 Reason: X.int;reasoncode=0x1;add-info=1.2.3, Q.850;cause=21\n";
    let (_, told) = refused(CONFIG, "403 Forbidden", lines);
    assert_eq!(told, ["Q.850;cause=21, STIR;cause=428, Preemption;cause=1"]);
}

#[test]
fn a_trunk_is_told_what_was_said_or_what_it_means_or_nothing() {
    let told = |form: &str, lines: &str| {
        let config = world(&format!("reason = \"{form}\""), "");
        refused(&config, "486 Busy", lines).1
    };
    let said = "Reason: Q.850;cause=20\n";
    assert_eq!(told("q850", ""), ["Q.850;cause=17"]);
    assert_eq!(told("q850", said), ["Q.850;cause=20"]);
    assert_eq!(told("pass", ""), [""; 0]);
    assert_eq!(told("pass", said), ["Q.850;cause=20"]);
    assert_eq!(told("none", said), [""; 0]);
    // The same holds for the end of a call.
    for (form, lines, wanted) in [
        ("pass", "", None),
        ("pass", "Reason: Q.850;cause=31\n", Some("Q.850;cause=31")),
        ("none", "Reason: Q.850;cause=31\n", None),
    ] {
        let mut call = Call::with(&world(&format!("reason = \"{form}\""), ""));
        call.teams_says("BYE", 2, lines);
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        let told = values(&bye, "Reason");
        assert_eq!(told.first().map(String::as_str), wanted, "{form} {lines}");
    }
}

#[test]
fn user_data_crosses_with_the_end_of_a_call_where_it_is_listed() {
    let bye = |teams: &str, carrier: &str, lines: &str| {
        let mut call = Call::with(&world(carrier, teams));
        call.teams_says("BYE", 2, lines);
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        values(&bye, "User-to-User")
    };
    let data = "User-to-User: 56a390F3;encoding=hex\n";
    let listed = "headers = { pass = [\"User-to-User\"] }";
    assert_eq!(bye("", listed, data), ["56a390F3;encoding=hex"]);
    assert_eq!(bye("", "", data), [""; 0]);
    let twice = format!("{data}{data}");
    assert_eq!(
        bye("", listed, &twice),
        [""; 0],
        "ISDN has one, so two are none"
    );
    let short = "headers = { pass = [\"User-to-User\"] }\nuui_max = 2";
    assert_eq!(bye("", short, data), [""; 0]);
}

#[test]
fn user_data_can_stay_out_of_the_record() {
    let record = |line: &str| {
        let mut shard = Shard::with(config_of(&world(line, "")));
        let invite = carrier_invite("call", CARRIER_SDP);
        let data = "User-to-User: 04aB;encoding=hex\nMax-Forwards";
        shard.carrier_says(&invite.replace("Max-Forwards", data));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        shard.teams_says(&response(&invite, "486 Busy", "b1", "", ""));
        shard.pass(Duration::from_secs(40));
        shard.records[0].user_to_user.clone()
    };
    assert_eq!(record("").as_deref(), Some("04aB"));
    assert_eq!(record("uui_record = false"), None);
}

#[test]
fn alerts_are_told_in_the_words_of_the_peer() {
    let map = "alert_info = { \"urn:alert:source:external\" = \"<http://127.0.0.1/ring>;info=alert-external\", \
               \"http://sounds.example.com/vip.wav\" = \"<urn:alert:priority:high>\" }";
    let told = |teams: &str, lines: &str| {
        let mut shard = Shard::with(config_of(&world("", teams)));
        let invite = carrier_invite("call", CARRIER_SDP);
        shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
        shard.next_response(100);
        values(&shard.next_request(Method::Invite).message, "Alert-Info")
    };
    let lines = "Alert-Info: <URN:alert:source:external>;x=1, <urn:alert:service:normal>\n\
                 Alert-Info: <http://sounds.example.com/vip.wav>\n\
                 Alert-Info: <http://sounds.example.com/other.wav>\n";
    let own = [
        "<http://127.0.0.1/ring>;info=alert-external",
        "<urn:alert:service:normal>",
        "<urn:alert:priority:high>",
    ];
    assert_eq!(told(map, lines), own);
    let listed = format!("{map}\nheaders = {{ pass = [\"Alert-Info\"] }}");
    let all = [&own[..], &["<http://sounds.example.com/other.wav>"]].concat();
    assert_eq!(told(&listed, lines), all);
    let stripped = format!("{map}\nheaders = {{ strip = [\"Alert-Info\"] }}");
    assert_eq!(told(&stripped, lines), [""; 0]);
}

#[test]
fn packages_are_named_where_info_is_taken_and_each_leg_for_itself() {
    let mut call = Call::with(&world("info = \"relay\"", ""));
    assert_eq!(
        values(&call.ok, "Recv-Info"),
        [""],
        "we know none, and say so"
    );
    assert!(
        !call.invite.has(HeaderName::RecvInfo),
        "Teams sends no INFO"
    );
    // What belongs to a package is refused, and ends nothing.
    call.says("INFO", "Info-Package: g.example\n", "x");
    let refusal = call.refused(469);
    assert_eq!(header(&refusal, HeaderName::RecvInfo), "");
    call.lives();
}

const SECOND: &str = "
[[trunk]]
name = \"carrier-b\"
tenant = \"*\"
realm = \"carrier\"
targets = [\"198.51.100.40:5060;udp\"]
codecs = [\"PCMA\"]
identity = { diversion = \"history-info\" }
";

fn hunting() -> String {
    CONFIG.replace(
        "to = [{ trunk = \"carrier-a\" }]",
        "to = [{ trunk = \"carrier-a\" }, { trunk = \"carrier-b\" }]",
    ) + SECOND
}

/// The History-Info of the second attempt of a call of Teams with these lines.
fn second_attempt(lines: &str, failure: &str) -> Vec<String> {
    let mut shard = Shard::with(config_of(&hunting()));
    let invite = teams_invite("hunt").replace("MAX-FORWARDS", &format!("{lines}MAX-FORWARDS"));
    shard.teams_says(&invite);
    shard.next_response(100);
    let first = shard.next_request(Method::Invite).message;
    match failure {
        "" => shard.pass(Duration::from_secs(7)),
        failure => shard.carrier_says(&response(&first, failure, "x", "", "")),
    }
    let sent = shard.sent.drain(..);
    let to_second = |sent: &Sent| sent.hop.remote.to_string() == "198.51.100.40:5060";
    let second = sent.into_iter().find(to_second).expect("a second attempt");
    values(&second.message, "History-Info")
}

#[test]
fn a_hunt_tells_which_ways_have_failed() {
    let told = second_attempt("", "500 Trouble");
    assert_eq!(
        told,
        [
            "<sip:+498999998001@192.0.2.11>;index=1",
            "<sip:+498999998001@192.0.2.11?Reason=SIP%3Bcause%3D500>;index=1.1;np=1",
            "<sip:+498999998001@192.0.2.11>;index=1.2;np=1",
        ]
    );
    let silent = second_attempt("", "");
    assert!(silent[1].contains("Reason=SIP%3Bcause%3D408"), "{silent:?}");
    let forwarded = "History-Info: <sip:+493023125900@sip.pstnhub.microsoft.com>;index=1, \
                     <sip:+498999998001@sbc1.contoso.example;cause=302>;index=1.1;mp=1\n";
    let told = second_attempt(forwarded, "504 Slow");
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[1].ends_with(";index=1.1;mp=1"), "{told:?}");
    assert!(
        told[2].ends_with("?Reason=SIP%3Bcause%3D504>;index=1.1.1;np=1.1"),
        "{told:?}"
    );
    assert!(told[3].ends_with(";index=1.1.2;np=1.1"), "{told:?}");
}

#[test]
fn a_service_number_that_was_translated_stays_one() {
    let mut shard = Shard::with(config_of(&hunting().replace(
        "to = [{ trunk = \"carrier-a\" }, { trunk = \"carrier-b\" }]",
        "to = [{ trunk = \"carrier-b\" }]",
    )));
    let lines = "History-Info: <sip:+49800123@sip.pstnhub.microsoft.com>;index=1, \
                 <sip:+498999998001@sbc1.contoso.example;cause=380>;index=1.1;mp=1\n";
    let invite = teams_invite("free").replace("MAX-FORWARDS", &format!("{lines}MAX-FORWARDS"));
    shard.teams_says(&invite);
    shard.next_response(100);
    let told = values(&shard.next_request(Method::Invite).message, "History-Info");
    assert_eq!(
        told[1],
        "<sip:+498999998001@192.0.2.11;cause=380>;index=1.1;mp=1"
    );
}

/// A rule that translates the number that Teams calls.
fn translation(trunk: &str, dir: &str) -> String {
    format!(
        "[[transform]]\nname = \"free\"\nwhen = {{ trunk = \"{trunk}\", dir = \"{dir}\" }}\n\
         called = [{{ number = \"+498999998001\", set = \"+498912345678\", service = true }}]\n"
    )
}

/// Request-URI, History-Info and Diversion of a call of Teams to a service number.
fn translated(text: &str) -> (String, Vec<String>, bool) {
    let mut shard = Shard::with(config_of(text));
    shard.teams_says(&teams_invite("free"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let uri = invite.uri().expect("a URI").to_string();
    let diverts = invite.has(HeaderName::Diversion);
    (uri, values(&invite, "History-Info"), diverts)
}

#[test]
fn a_service_number_that_we_translate_is_told_with_its_cause_and_is_no_diversion() {
    let keeps = hunting().replace(
        "to = [{ trunk = \"carrier-a\" }, { trunk = \"carrier-b\" }]",
        "to = [{ trunk = \"carrier-b\" }]",
    );
    for (trunk, dir) in [("teams-contoso", "in"), ("carrier-b", "out")] {
        let text = format!("{keeps}{}", translation(trunk, dir));
        let (uri, history, diverts) = translated(&text);
        assert_eq!(
            history,
            [
                "<sip:+498999998001@192.0.2.11>;index=1",
                "<sip:+498912345678@192.0.2.11;cause=380>;index=1.1;mp=1",
            ],
            "{trunk} {dir}"
        );
        assert!(
            uri.starts_with("sip:+498912345678@") && uri.ends_with(";cause=380"),
            "{uri}"
        );
        assert!(!diverts);
        // Without the word the number is only written in another way.
        let (uri, history, _) = translated(&text.replace(", service = true", ""));
        assert_eq!(history, [""; 0]);
        assert!(!uri.contains("cause"), "{uri}");
    }
    // Who does not keep such lists is told nothing, in no header.
    let text = format!("{CONFIG}{}", translation("teams-contoso", "in"));
    let (uri, history, diverts) = translated(&text);
    assert!(
        history.is_empty() && !diverts && !uri.contains("cause"),
        "{uri}"
    );
}

#[test]
fn where_a_call_has_been_is_told_to_who_asks_and_never_early() {
    let told = |carrier: &str, asks: &str| {
        let mut shard = Shard::with(config_of(&world(carrier, "")));
        let invite = carrier_invite("back", CARRIER_SDP);
        shard.carrier_says(&invite.replace("Max-Forwards", &format!("{asks}Max-Forwards")));
        let trying = shard.next_response(100).message;
        assert!(!trying.has(HeaderName::HistoryInfo));
        let invite = shard.next_request(Method::Invite).message;
        let been = format!(
            "{TEAMS_CONTACT}History-Info: <sip:+493023125456@sip.pstnhub.microsoft.com>;index=1, \
             <sip:+493023125777@10.0.0.9;cause=302>;index=1.1;mp=1\n"
        );
        shard.teams_says(&response(&invite, "180 Ringing", "x1", &been, ""));
        let ringing = values(&shard.next_response(180).message, "History-Info");
        shard.teams_says(&response(&invite, "200 OK", "x1", &been, TEAMS_SDP));
        shard.next_request(Method::Ack);
        assert_eq!(
            values(&shard.next_response(200).message, "History-Info"),
            ringing
        );
        ringing
    };
    let keeps = "identity = { diversion = \"history-info\" }";
    let asks = "Supported: histinfo\n";
    assert_eq!(
        told(keeps, asks),
        [
            "<sip:+493023125456@192.0.2.11>;index=1",
            "<sip:+493023125777@192.0.2.11;cause=302>;index=1.1;mp=1",
        ]
    );
    let brought = "History-Info: <sip:+493023125456@192.0.2.11>;index=1\n";
    assert_eq!(told(keeps, brought).len(), 2);
    assert_eq!(told(keeps, ""), [""; 0]);
    assert_eq!(told("", asks), [""; 0]);
}

fn options(branch: &str) -> String {
    format!(
        "OPTIONS sip:192.0.2.11:5060 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK{branch}\n\
         Max-Forwards: 70\nFrom: <sip:198.51.100.20>;tag=o\nTo: <sip:192.0.2.11>\nCall-ID: {branch}\n\
         CSeq: 1 OPTIONS\nContent-Length: 0\n\n"
    )
}

#[test]
fn options_say_what_we_support_and_how_long_to_stay_away() {
    let mut shard = Shard::with(config_of(&world("drain_retry_after = 120", "")));
    shard.carrier_says(&options("first"));
    let answer = shard.next_response(200).message;
    let supported = header(&answer, HeaderName::Supported);
    for tag in ["timer", "100rel", "replaces"] {
        assert!(supported.contains(tag), "{supported}");
    }
    assert!(!answer.has(HeaderName::RetryAfter));
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    shard.carrier_says(&options("second"));
    let answer = shard.next_response(503).message;
    assert_eq!(header(&answer, HeaderName::RetryAfter), "120");
}

#[test]
fn a_call_for_help_is_not_ended_for_want_of_a_refresh_within_half_an_hour() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = world("session_timer = false", "")
        .replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    let ended_after = |number: &str| {
        let mut shard = Shard::with(config_of(&config));
        let invite = teams_invite("help")
            .replace("sip:+498999998001@", &format!("sip:{number}@"))
            .replace(
                "MAX-FORWARDS",
                "Supported: timer\nSession-Expires: 300;refresher=uac\nMAX-FORWARDS",
            );
        shard.teams_says(&invite);
        shard.next_response(100);
        let out = shard.next_request(Method::Invite).message;
        shard.carrier_says(&response(
            &out,
            "200 OK",
            "x1",
            CARRIER_CONTACT,
            CARRIER_SDP,
        ));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        assert!(header(&ok, HeaderName::SessionExpires).starts_with("300"));
        let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack";
        shard.teams_says(&in_dialog(&ok, "ACK", 1, via));
        for minute in 1..=40 {
            shard.pass(Duration::from_secs(60));
            if shard
                .sent
                .iter()
                .any(|sent| *sent.message.method() == Method::Bye)
            {
                return minute;
            }
            shard.sent.clear();
        }
        0
    };
    assert!((4..=6).contains(&ended_after("+498999998001")));
    // Then it is asked whether it is there, twice.
    assert_eq!(ended_after("112"), 32);
    // A request of the called side is answered in its dialog all the same.
    let mut call = Call::with(&config);
    let bye = callee_request(&call.invite, "x1", "BYE", 2, "");
    call.shard.teams_says(&bye);
    call.shard.next_response(200);
}
