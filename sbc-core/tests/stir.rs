//! Verification of callers' signatures, by hand: what is asked, what becomes of the call, and what both
//! sides and the record are told.

use crate::world;

use bytes::Bytes;
use sbc_core::config::{Assumed, Source, load};
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::query::{Outcome, Query};
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::stir::{CredentialFault, VerifySpec};
use sbc_core::time::UnixTime;
use std::time::Duration;
use world::call::header;
use world::signed::*;
use world::*;

const VERIFY: &str = "stir = \"verify\"";
const REJECT: &str = "stir = \"verify\"\nstir_failure = \"reject\"";
const PASS: &str = "stir = \"pass\"";

/// A trunk of Teams that wants to hear of it.
const TOLD: &str = "stir = \"pass\"\nverstat = \"plain\"";

fn with_lines(invite: &str, lines: &str) -> String {
    invite.replacen("Max-Forwards", &format!("{lines}Max-Forwards"), 1)
}

/// A call of the carrier with these lines has come in.
fn calls(shard: &mut Shard, lines: &str) {
    shard.carrier_says(&with_lines(&carrier_invite("in", CARRIER_SDP), lines));
    shard.next_response(100);
}

fn line(value: &str) -> String {
    format!("Identity: {value}\n")
}

/// What the shard asks about signatures.
fn asked(shard: &mut Shard) -> (sbc_core::id::QueryId, VerifySpec) {
    match shard.queries.pop_front() {
        Some((id, Query::Verify(spec))) => (id, *spec),
        other => panic!("{other:?}"),
    }
}

fn answers(shard: &mut Shard, found: Result<(), CredentialFault>) {
    let (id, _) = asked(shard);
    shard.apply(Input::Outcome(id, Outcome::Verified(found)));
}

fn fault(shard: &Shard) -> Option<&'static str> {
    shard.happened.iter().find_map(|what| match what {
        Happened::Verified { fault, .. } => Some(fault.map_or("passed", |fault| fault.label())),
        _ => None,
    })
}

fn from(invite: &Message) -> String {
    header(invite, HeaderName::From)
}

/// Teams refuses; the record of the call.
fn record(mut shard: Shard, invite: &Message) -> sbc_core::record::Record {
    shard.teams_says(&response(invite, "486 Busy Here", "x1", "", ""));
    shard.pass(Duration::from_secs(200));
    shard.records.pop().expect("a record")
}

#[test]
fn a_call_waits_until_its_signature_is_found_to_be_good() {
    let mut shard = shard_with(VERIFY, TOLD);
    let signature = shaken();
    calls(&mut shard, &line(&signature));
    assert!(shard.sent.is_empty(), "nobody is called yet");
    assert!(shard.asked().is_empty(), "nothing is reserved either");
    let (id, spec) = asked(&mut shard);
    assert_eq!(spec.trunk.as_str(), "carrier-a");
    let [check] = &spec.checks[..] else {
        panic!("{spec:?}");
    };
    assert_eq!(
        (check.url.host(), check.url.port()),
        ("cert.example.org", 443)
    );
    assert_eq!(check.url.path(), "/shaken.cer");
    assert_eq!(check.signature, [b's'; 64]);
    let input = signature
        .split(';')
        .next()
        .and_then(|token| token.rsplit_once('.'));
    assert_eq!(check.input, input.expect("two dots").0);
    shard.apply(Input::Outcome(id, Outcome::Verified(Ok(()))));
    let invite = shard.next_request(Method::Invite).message;
    let shown = "<sip:+498999998001;verstat=TN-Validation-Passed@sbc1.contoso.example";
    assert!(from(&invite).contains(shown), "{}", from(&invite));
    assert_eq!(header(&invite, HeaderName::Identity), signature);
    assert_eq!(fault(&shard), Some("passed"));
    let record = record(shard, &invite);
    assert_eq!(record.verstat.as_deref(), Some("TN-Validation-Passed-A"));
    assert_eq!(
        (record.attest, record.origid.as_deref()),
        (Some("A"), Some(ORIGIN))
    );
}

#[test]
fn a_call_that_nobody_vouches_for_goes_on_and_both_sides_are_told() {
    for (found, verstat, cause) in [
        (
            CredentialFault::Signature,
            "TN-Validation-Failed",
            "STIR;cause=438;text=\"Invalid Identity Header\"",
        ),
        (
            CredentialFault::Untrusted,
            "TN-Validation-Failed",
            "STIR;cause=437;text=\"Unsupported Credential\"",
        ),
        (
            CredentialFault::Unreachable,
            "No-TN-Validation",
            "STIR;cause=436;text=\"Bad Identity Info\"",
        ),
    ] {
        let mut shard = shard_with(VERIFY, TOLD);
        calls(&mut shard, &line(&shaken()));
        answers(&mut shard, Err(found));
        let invite = shard.next_request(Method::Invite).message;
        let shown = format!("<sip:+498999998001;verstat={verstat}@");
        assert!(from(&invite).contains(&shown), "{}", from(&invite));
        assert_eq!(
            header(&invite, HeaderName::Identity),
            shaken(),
            "who comes later may judge too"
        );
        shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
        let ringing = shard.next_response(180).message;
        assert_eq!(header(&ringing, HeaderName::Reason), cause);
        shard.teams_says(&response(&invite, "486 Busy Here", "x1", "", ""));
        let refused: Vec<Sent> = shard.sent.drain(..).collect();
        let refused = refused
            .iter()
            .find(|sent| sent.message.status().is_some())
            .expect("486");
        assert_eq!(
            refused.message.status().map(|status| status.code()),
            Some(486)
        );
        let reasons: Vec<_> = refused.message.raw_all(HeaderName::Reason).collect();
        assert!(reasons.iter().any(|reason| reason == cause), "{reasons:?}");
        shard.pass(Duration::from_secs(200));
        let record = shard.records.pop().expect("a record");
        assert_eq!(record.verstat.as_deref(), Some(verstat));
    }
}

#[test]
fn a_good_signature_is_no_reason_to_say_anything_to_the_caller() {
    let mut shard = shard_with(VERIFY, PASS);
    calls(&mut shard, &line(&shaken()));
    answers(&mut shard, Ok(()));
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    assert!(!shard.next_response(180).message.has(HeaderName::Reason));
}

/// The refusal of a call with these lines, where failures are refused, and the kind of fault.
fn refused(lines: &str) -> (Message, &'static str) {
    let mut shard = shard_with(REJECT, PASS);
    calls(&mut shard, lines);
    let sent = shard.next().message;
    let fault = fault(&shard).expect("a verdict");
    assert!(
        shard.queries.is_empty(),
        "nothing is fetched for such a call"
    );
    shard.settles();
    (sent, fault)
}

#[test]
fn where_failures_are_refused_each_has_its_status() {
    let far = shaken_at(NOW - 61, "A", CALLER, CALLED);
    let elsewhere = shaken().replace(&encoded("https://cert"), "");
    let plain_http = identity(
        "shaken",
        &format!(
            r#"{{"attest":"A","dest":{{"tn":["{CALLED}"]}},"iat":{NOW},"orig":{{"tn":"{CALLER}"}},"origid":"{ORIGIN}"}}"#
        ),
    );
    let header =
        r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://127.0.0.1/p.cer"}"#;
    let inside = format!(
        "{}.{}",
        encoded(header),
        plain_http.split_once('.').expect("a dot").1
    );
    let inside = inside.replace(
        "info=<https://cert.example.org/shaken.cer>",
        "info=<https://127.0.0.1/p.cer>",
    );
    let nowhere = r#"{"alg":"ES256","ppt":"shaken","typ":"passport"}"#;
    let nowhere = format!(
        "{}.{}",
        encoded(nowhere),
        plain_http.split_once('.').expect("a dot").1
    );
    let nowhere = nowhere.replace("info=<https://cert.example.org/shaken.cer>;", "");
    for (lines, status, phrase, label) in [
        (String::new(), 428, "Use Identity Header", "missing"),
        (
            line(&identity("rph", "{}")),
            428,
            "Use Identity Header",
            "missing",
        ),
        (line(&far), 403, "Stale Date", "stale"),
        (
            line("garbage"),
            438,
            "Invalid Identity Header",
            "unreadable",
        ),
        (
            line(&shaken()).repeat(9),
            438,
            "Invalid Identity Header",
            "unreadable",
        ),
        (
            line(&elsewhere.replace("alg=ES256", "alg=RS256")),
            438,
            "Invalid Identity Header",
            "passport",
        ),
        (
            line(&format!("..{};ppt=shaken", encoded("s"))),
            438,
            "Invalid Identity Header",
            "passport",
        ),
        (
            line(&shaken_at(NOW, "A", OTHER, CALLED)),
            438,
            "Invalid Identity Header",
            "other_caller",
        ),
        (
            line(&shaken_at(NOW, "A", CALLER, OTHER)),
            438,
            "Invalid Identity Header",
            "other_called",
        ),
        (line(&inside), 436, "Bad Identity Info", "bad_address"),
        (line(&nowhere), 436, "Bad Identity Info", "bad_address"),
    ] {
        let (sent, fault) = refused(&lines);
        assert_eq!(
            sent.status().map(|status| status.code()),
            Some(status),
            "{lines}"
        );
        assert_eq!(sent.reason(), phrase, "{lines}");
        let told: Vec<_> = sent.raw_all(HeaderName::Reason).collect();
        let expected = format!("STIR;cause={status};text=\"{phrase}\"");
        assert!(told.iter().any(|reason| *reason == expected), "{told:?}");
        assert_eq!(fault, label, "{lines}");
    }
}

#[test]
fn where_failures_are_refused_so_are_those_that_only_a_credential_shows() {
    let phrases = [
        (436, "Bad Identity Info"),
        (437, "Unsupported Credential"),
        (438, "Invalid Identity Header"),
    ];
    for (found, status) in [
        (CredentialFault::Unreachable, 436),
        (CredentialFault::Timeout, 436),
        (CredentialFault::Busy, 436),
        (CredentialFault::Address, 436),
        (CredentialFault::Unusable, 437),
        (CredentialFault::Untrusted, 437),
        (CredentialFault::Expired, 437),
        (CredentialFault::Revoked, 437),
        (CredentialFault::NoNumbers, 437),
        (CredentialFault::Signature, 438),
    ] {
        let mut shard = shard_with(REJECT, PASS);
        calls(&mut shard, &line(&shaken()));
        answers(&mut shard, Err(found));
        let sent = shard.next_response(status).message;
        let phrase = phrases.iter().find(|(code, _)| *code == status);
        assert_eq!(
            phrase.map(|(_, phrase)| Bytes::from(*phrase)),
            Some(sent.reason())
        );
        shard.settles();
        let record = shard.records.pop().expect("a record");
        assert_eq!(record.cause.code.as_str(), "caller_not_allowed");
        assert!(record.egress.is_empty());
    }
}

#[test]
fn what_is_signed_is_fresh_for_a_minute_in_both_directions() {
    for (iat, is_fresh) in [
        (NOW - 60, true),
        (NOW + 60, true),
        (NOW - 61, false),
        (NOW + 61, false),
    ] {
        let mut shard = shard_with(REJECT, PASS);
        calls(&mut shard, &line(&shaken_at(iat, "A", CALLER, CALLED)));
        assert_eq!(shard.queries.len(), usize::from(is_fresh), "{iat}");
    }
    // The same holds for Date, which a signature of these times has beside it.
    for (date, is_fresh) in [
        (
            UnixTime::from_micros((NOW - 60) * 1_000_000).rfc1123(),
            true,
        ),
        (
            UnixTime::from_micros((NOW + 61) * 1_000_000).rfc1123(),
            false,
        ),
        ("yesterday".to_owned(), false),
    ] {
        let mut shard = shard_with(REJECT, PASS);
        calls(&mut shard, &(line(&shaken()) + &format!("Date: {date}\n")));
        assert_eq!(shard.queries.len(), usize::from(is_fresh), "{date}");
    }
    let config = world_with(REJECT, PASS).replace("[stir]", "[stir]\nfreshness = \"5s\"");
    let mut shard = Shard::with(config_of(&config));
    calls(&mut shard, &line(&shaken_at(NOW - 6, "A", CALLER, CALLED)));
    shard.next_response(403);
}

#[test]
fn a_signature_of_another_call_does_not_help() {
    // The same signature, and another number is called: To alone is nothing to go by.
    let invite = carrier_invite("in", CARRIER_SDP).replace(
        "sip:+493023125456@192.0.2.11:5060",
        "sip:+493023125999@192.0.2.11:5060",
    );
    let mut shard = shard_with(REJECT, PASS);
    shard.carrier_says(&with_lines(&invite, &line(&shaken())));
    shard.next_response(100);
    shard.next_response(438);
    assert_eq!(fault(&shard), Some("other_called"));
    // However that number is written: what is none for a signature may lead somewhere all the same.
    let overlong = format!("00493023125999{}", "0".repeat(20));
    for written in ["%2B493023125999", "+49-30-23125999", &overlong, "reception"] {
        let invite = carrier_invite("in", CARRIER_SDP).replace(
            "sip:+493023125456@192.0.2.11:5060",
            &format!("sip:{written}@192.0.2.11:5060"),
        );
        let anywhere = world_with(REJECT, PASS)
            .replace("called_in = \"tenant:contoso\", ", "")
            .replace("tenant = \"*\"", "tenant = \"contoso\"");
        let mut shard = Shard::with(config_of(&anywhere));
        shard.carrier_says(&with_lines(&invite, &line(&shaken())));
        shard.next_response(100);
        shard.next_response(438);
        assert_eq!(fault(&shard), Some("other_called"), "{written}");
    }
    // Another caller shows itself.
    let mut shard = shard_with(REJECT, PASS);
    let invite = carrier_invite("in", CARRIER_SDP).replace("+498999998001", "+498999998002");
    shard.carrier_says(&with_lines(&invite, &line(&shaken())));
    shard.next_response(100);
    shard.next_response(438);
    assert_eq!(fault(&shard), Some("other_caller"));
    // What a peer that is not trusted asserts is nothing to go by either.
    let pai = "P-Asserted-Identity: <sip:+498999998001@198.51.100.20>\n";
    let mut shard = shard_with(REJECT, PASS);
    shard.carrier_says(&with_lines(&invite, &(line(&shaken()) + pai)));
    shard.next_response(100);
    shard.next_response(438);
    let asserts = format!("{TOLD}\nidentity = {{ egress = \"pai+from\" }}");
    let mut shard = shard_with(&format!("{REJECT}\ntrusted = true"), &asserts);
    shard.carrier_says(&with_lines(&invite, &(line(&shaken()) + pai)));
    shard.next_response(100);
    answers(&mut shard, Ok(()));
    let invite = shard.next_request(Method::Invite).message;
    // From shows another number than the one that was verified.
    assert!(!from(&invite).contains("verstat"), "{}", from(&invite));
    let asserted = header(&invite, HeaderName::PAssertedIdentity);
    assert!(
        asserted.contains("+498999998001;verstat=TN-Validation-Passed@"),
        "{asserted}"
    );
}

#[test]
fn an_anonymous_caller_has_no_number_that_could_be_vouched_for() {
    let invite = carrier_invite("in", CARRIER_SDP).replace(
        "\"Ada\" <sip:+498999998001@198.51.100.20>",
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
    );
    let mut shard = shard_with(VERIFY, PASS);
    shard.carrier_says(&with_lines(&invite, &line(&shaken())));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(fault(&shard), Some("anonymous"));
    assert!(!from(&invite).contains("verstat"));
    assert!(!invite.has(HeaderName::Identity), "it would say who calls");
}

#[test]
fn every_signature_of_a_forwarded_call_is_looked_into() {
    let lines = line(&div(OTHER, CALLED)) + &line(&shaken_at(NOW, "B", CALLER, OTHER));
    let mut shard = shard_with(VERIFY, PASS);
    let invite = carrier_invite("in", CARRIER_SDP)
        .replace("To: <sip:+493023125456@", "To: <sip:+493023125777@");
    shard.carrier_says(&with_lines(&invite, &lines));
    shard.next_response(100);
    let (id, spec) = asked(&mut shard);
    let paths: Vec<_> = spec
        .checks
        .iter()
        .map(|check| check.url.path().to_owned())
        .collect();
    assert_eq!(paths, ["/shaken.cer", "/div.cer"]);
    shard.apply(Input::Outcome(id, Outcome::Verified(Ok(()))));
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(invite.raw_all(HeaderName::Identity).count(), 2);
    let record = record(shard, &invite);
    assert_eq!(record.verstat.as_deref(), Some("TN-Validation-Passed-B"));
}

#[test]
fn a_call_waits_for_a_bounded_time_only() {
    for (policy, patience, code) in [
        (VERIFY, 2_000, None),
        (REJECT, 2_000, Some(436)),
        (VERIFY, 500, None),
    ] {
        let timeout = format!("[stir]\ntimeout = \"{patience}ms\"");
        let config = world_with(policy, TOLD).replace("[stir]", &timeout);
        let mut shard = Shard::with(config_of(&config));
        calls(&mut shard, &line(&shaken()));
        shard.pass(Duration::from_millis(patience - 1));
        assert!(shard.sent.is_empty());
        shard.pass(Duration::from_millis(1));
        assert_eq!(fault(&shard), Some("timeout"));
        let (id, _) = asked(&mut shard);
        match code {
            Some(code) => {
                shard.next_response(code);
            }
            None => {
                let invite = shard.next_request(Method::Invite).message;
                assert!(from(&invite).contains("verstat=No-TN-Validation"));
            }
        }
        // What comes too late counts for nothing.
        shard.apply(Input::Outcome(id, Outcome::Verified(Ok(()))));
        assert!(shard.sent.is_empty());
    }
}

#[test]
fn a_caller_may_give_up_while_it_waits() {
    let mut shard = shard_with(VERIFY, PASS);
    calls(&mut shard, &line(&shaken()));
    let (id, _) = asked(&mut shard);
    shard.carrier_says(&carrier_cancel("in"));
    shard.next_response(200);
    shard.next_response(487);
    shard.apply(Input::Outcome(id, Outcome::Verified(Ok(()))));
    assert!(
        shard.sent.is_empty(),
        "nobody is called for a call that is gone"
    );
    shard.settles();
    let record = shard.records.pop().expect("a record");
    assert_eq!(record.cause.code.as_str(), "caller_cancelled");
}

#[test]
fn a_question_that_nobody_answers_leaves_nothing_behind() {
    let mut shard = shard_with(VERIFY, PASS);
    calls(&mut shard, &line(&shaken()));
    shard.carrier_says(&carrier_cancel("in"));
    shard.pass(Duration::from_secs(1_000));
    assert_eq!(shard.core.census(), Default::default());
}

#[test]
fn what_an_untrusted_peer_says_of_its_caller_is_not_passed_on() {
    let claims = carrier_invite("in", CARRIER_SDP).replace(
        "sip:+498999998001@",
        "sip:+498999998001;verstat=TN-Validation-Passed@",
    );
    let param = carrier_invite("in", CARRIER_SDP).replace(
        "sip:+498999998001@198.51.100.20>",
        "sip:+498999998001@198.51.100.20;verstat=TN-Validation-Passed>",
    );
    for invite in [&claims, &param] {
        for (carrier, said) in [
            ("", None),
            (PASS, None),
            (VERIFY, Some("verstat=No-TN-Validation")),
        ] {
            let mut shard = shard_with(carrier, TOLD);
            shard.carrier_says(invite);
            shard.next_response(100);
            let out = shard.next_request(Method::Invite).message;
            match said {
                None => assert!(!from(&out).contains("verstat"), "{}", from(&out)),
                Some(said) => assert!(from(&out).contains(said), "{}", from(&out)),
            }
        }
        // A trusted one has looked into it; whatever its network adds to the value stays there.
        for mode in [PASS, VERIFY] {
            let mut shard = shard_with(&format!("{mode}\ntrusted = true"), TOLD);
            shard.carrier_says(&invite.replace("Validation-Passed", "Validation-Passed-Foo"));
            shard.next_response(100);
            let out = shard.next_request(Method::Invite).message;
            assert!(
                from(&out).contains(";verstat=TN-Validation-Passed@"),
                "{}",
                from(&out)
            );
        }
    }
}

#[test]
fn a_trunk_says_whether_and_how_its_peer_is_told() {
    for (teams, said) in [
        (PASS.to_owned(), None),
        (
            format!("{PASS}\nverstat = \"plain\""),
            Some("verstat=TN-Validation-Passed@"),
        ),
        (
            format!("{PASS}\nverstat = \"level\""),
            Some("verstat=TN-Validation-Passed-A@"),
        ),
        (format!("{PASS}\nverstat = \"none\""), None),
        (
            format!("{PASS}\nverstat = \"plain\"\ntrusted = false"),
            None,
        ),
        (String::new(), None),
        (
            "verstat = \"plain\"".to_owned(),
            Some("verstat=TN-Validation-Passed@"),
        ),
    ] {
        let mut shard = shard_with(VERIFY, &teams);
        calls(&mut shard, &line(&shaken()));
        answers(&mut shard, Ok(()));
        let invite = shard.next_request(Method::Invite).message;
        match said {
            Some(said) => assert!(from(&invite).contains(said), "{teams} {}", from(&invite)),
            None => assert!(!from(&invite).contains("verstat"), "{teams}"),
        }
    }
}

#[test]
fn who_calls_for_help_waits_for_nothing() {
    let config = world_with(REJECT, PASS).replace(
        "numbers = [\"+493023125000-+493023125999\"]",
        "numbers = [\"+493023125000-+493023125999\"]\nemergency = [\"112\"]",
    ) + "[[route]]\nname = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"teams-contoso\" }]\n";
    let config = config.replace("tenant = \"*\"", "tenant = \"contoso\"");
    let mut shard = Shard::with(config_of(&config));
    let invite = carrier_invite("in", CARRIER_SDP).replace("sip:+493023125456@", "sip:112@");
    shard.carrier_says(&with_lines(&invite, &line(&shaken())));
    shard.next_response(100);
    let mut happened = shard.happened.iter();
    assert!(happened.any(|what| matches!(what, Happened::Emergency { .. })));
    shard.next_request(Method::Invite);
    assert!(shard.queries.is_empty());
}

#[test]
fn the_record_says_how_well_we_know_an_unsigned_caller() {
    let teams = |from: &str, screening: &str| {
        let invite = teams_invite("out").replace("sip:+493023125456@", from);
        let mut shard = shard_with(PASS, &format!("{PASS}\nidentity = {{ {screening} }}"));
        shard.teams_says(&invite);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        shard.carrier_says(&response(&invite, "486 Busy Here", "x1", "", ""));
        shard.pass(Duration::from_secs(200));
        let record = shard.records.pop().expect("a record");
        (record.attest, record.origid.expect("an origin"))
    };
    let (own, origin) = teams("sip:+493023125456@", "");
    assert_eq!(own, Some("A"));
    let (foreign, same) = teams("sip:+498999998777@", "");
    assert_eq!(
        (foreign, &same),
        (Some("B"), &origin),
        "a customer is one origin"
    );
    let pilot = "screening = \"replace\", number = \"+493023125000\"";
    assert_eq!(teams("sip:+498999998777@", pilot).0, Some("A"));
    let world = |carrier: &str, lines: &str| {
        let mut shard = shard_with(carrier, PASS);
        calls(&mut shard, lines);
        let invite = shard.next_request(Method::Invite).message;
        let record = record(shard, &invite);
        (record.attest, record.origid)
    };
    let (gateway, entry) = world(PASS, "");
    assert_eq!(gateway, Some("C"));
    assert_ne!(entry, Some(origin));
    assert_eq!(
        world(PASS, &line(&shaken())).0,
        None,
        "somebody else vouches for it"
    );
    assert_eq!(world(VERIFY, "").0, Some("C"));
    assert_eq!(world("", ""), (None, None), "nobody asks");
}

#[test]
fn what_cannot_work_is_found_before_it_is_loaded() {
    let errors = |text: &str| match load(
        &[Source::new("test.toml", text)],
        &Assumed::with_names(["sbc1.contoso.example"]),
        None,
    ) {
        Ok(_) => panic!("it was loaded"),
        Err(findings) => findings.to_text(),
    };
    let missing =
        world_with(VERIFY, "").replace("[stir]\nroots = \"/etc/causeway/stir/roots.pem\"\n", "");
    assert!(errors(&missing).contains("needs the roots that issue credentials"));
    let nothing = world_with("stir = \"pass\"\nstir_failure = \"reject\"", "");
    assert!(errors(&nothing).contains("nothing is verified that could fail"));
    let later = world_with("stir = \"sign\"", "");
    assert!(errors(&later).contains("not supported"));
    let patience = world_with(VERIFY, "").replace("[stir]", "[stir]\ntimeout = \"5s\"");
    assert!(errors(&patience).contains("stir: timeout is out of range"));
    let no_roots = world_with("", "").replace("roots = \"/etc/causeway/stir/roots.pem\"", "");
    assert!(errors(&no_roots).contains("\"roots\" is missing"));
}
