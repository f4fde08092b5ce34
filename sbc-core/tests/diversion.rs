//! Earlier targets of a call: History-Info and Diversion, read in every form that peers write and
//! told in every form that a trunk can ask for.

use sbc_core::config::{Assumed, Config, Source, load};
use sbc_core::policy::diversion::{cause_of_reason, reason_of_cause};
use sbc_core::policy::identity::{self, Outgoing, Towards};
use sbc_core::policy::number::{self, Number};
use sbc_core::sip::header::Header;
use sbc_core::sip::{Limits, Message, Uri};

/// One untrusted trunk for every form, and a trusted one for some.
fn config() -> Config {
    let mut text = String::from(
        r#"
[node]
id = "sbc1"
[[realm]]
name = "r"
addresses = ["192.0.2.10"]
ports = "20000-29999"
[[listen]]
realm = "r"
transport = "udp"
[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]
"#,
    );
    for (at, (name, form, trusted)) in [
        ("source", "none", true),
        ("none", "none", false),
        ("pass", "pass", false),
        ("history-info", "history-info", false),
        ("diversion", "diversion", false),
        ("both", "both", false),
        ("history-trusted", "history-info", true),
        ("diversion-trusted", "diversion", true),
    ]
    .into_iter()
    .enumerate()
    {
        text.push_str(&format!(
            "[[trunk]]\nname = \"{name}\"\ntenant = \"*\"\nrealm = \"r\"\n\
             targets = [\"198.51.100.{}\"]\ntrusted = {trusted}\n\
             identity = {{ diversion = \"{form}\" }}\n",
            at + 20
        ));
    }
    text.push_str("[[route]]\nname = \"r\"\nto = [{ trunk = \"source\" }]\n");
    load(
        &[Source::new("c", text)],
        &Assumed::with_names(["a.example"]),
        None,
    )
    .unwrap_or_else(|findings| panic!("{}", findings.to_text()))
    .config
}

fn told_of(lines: &str, to: &str) -> Outgoing {
    let config = config();
    let text = format!(
        "INVITE sip:+493023125001@192.0.2.10 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.9.8.7:5060;branch=z9hG4bKa\r\nFrom: <sip:+1555@10.9.8.7>;tag=1\r\n\
         To: <sip:+493023125001@192.0.2.10>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@10.9.8.7>\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(text.into(), &Limits::default()).unwrap();
    let from = &config.trunks[&"source".into()];
    let to = &config.trunks[&to.into()];
    let towards = Towards {
        from,
        to,
        target: &to.targets[0],
        listener: &config.listeners[&to.listeners[0]],
        is_emergency: false,
    };
    let calling =
        |number: &str| number::transform_calling_through(&config, &from.name, &to.name, number);
    let redirecting =
        |number: &str| number::transform_redirecting_through(&config, &from.name, &to.name, number);
    let rewrites = identity::Rewrites {
        calling: &calling,
        redirecting: &redirecting,
    };
    let called = Number::of(&Uri::parse("sip:+493023125001@h.example").unwrap()).unwrap();
    identity::outgoing(
        &identity::caller(&message, from),
        &called,
        towards,
        rewrites,
    )
    .unwrap()
    .value
}

fn values<H: Header>(headers: &[H]) -> Vec<String> {
    headers
        .iter()
        .map(|header| String::from_utf8_lossy(&header.to_bytes()).into_owned())
        .collect()
}

fn history(lines: &str, to: &str) -> Vec<String> {
    values(&told_of(lines, to).history)
}

fn diversion(lines: &str, to: &str) -> Vec<String> {
    values(&told_of(lines, to).diversion)
}

const THREE: &str = "Diversion: <sip:+493@10.9.8.7>;reason=unconditional;counter=1;privacy=off,\
     <sip:+492@10.9.8.7>;reason=user-busy;counter=1;privacy=full\r\n\
     Diversion: <sip:+491@10.9.8.7>;reason=no-answer;counter=1;privacy=off\r\n";

const HISTORY: &str = "History-Info: <sip:+491@10.9.8.7>;index=1,\
     <sip:+492@10.9.8.7;cause=408?Privacy=history>;index=1.1;mp=1,\
     <sip:+493@10.9.8.7;cause=486>;index=1.1.1;mp=1.1,\
     <sip:+493023125001@10.9.8.7;cause=302>;index=1.1.1.1;mp=1.1.1\r\n";

#[test]
fn three_diversions_become_four_targets() {
    assert_eq!(
        history(THREE, "history-trusted"),
        [
            "<sip:+491@192.0.2.10>;index=1",
            "<sip:+492@192.0.2.10;cause=408?Privacy=history>;index=1.1;mp=1",
            "<sip:+493@192.0.2.10;cause=486>;index=1.1.1;mp=1.1",
            "<sip:+493023125001@192.0.2.10;cause=302>;index=1.1.1.1;mp=1.1.1",
        ]
    );
}

#[test]
fn four_targets_become_three_diversions() {
    assert_eq!(
        diversion(HISTORY, "diversion-trusted"),
        [
            "<sip:+493@192.0.2.10>;reason=unconditional;counter=1;privacy=off",
            "<sip:+492@192.0.2.10>;reason=user-busy;counter=1;privacy=full",
            "<sip:+491@192.0.2.10>;reason=no-answer;counter=1;privacy=off",
        ]
    );
}

#[test]
fn a_target_that_was_left_for_a_reason_comes_after_how_it_was_reached() {
    let lines = "History-Info: <sip:+491@10.9.8.7>;index=1,\
         <sip:+492@10.9.8.7;cause=302?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1,\
         <sip:+493023125001@10.9.8.7>;index=1.1.1\r\n";
    assert_eq!(
        diversion(lines, "diversion-trusted"),
        [
            "<sip:+492@192.0.2.10>;reason=user-busy;counter=1;privacy=off",
            "<sip:+491@192.0.2.10>;reason=unconditional;counter=1;privacy=off",
        ]
    );
}

#[test]
fn a_private_diverting_party_is_nobody_outside_the_trust_domain() {
    assert_eq!(
        history(THREE, "history-info")[1],
        "<sip:anonymous@anonymous.invalid>;index=1.1;mp=1"
    );
    assert_eq!(
        diversion(HISTORY, "diversion")[1],
        "<sip:anonymous@anonymous.invalid>;reason=user-busy;counter=1;privacy=full"
    );
    // The caller may ask for it too, and then it concerns everybody.
    let all = format!("Privacy: history\r\n{HISTORY}");
    for value in history(&all, "history-info")
        .into_iter()
        .chain(diversion(&all, "diversion"))
    {
        assert!(value.contains("anonymous.invalid"), "{value}");
        assert!(!value.contains("Privacy"), "{value}");
    }
    for lines in [HISTORY, THREE] {
        for value in diversion(&format!("Privacy: history\r\n{lines}"), "diversion") {
            assert!(value.ends_with(";privacy=full"), "{value}");
        }
    }
    assert!(told_of(&all, "history-info").privacy.is_none());
    // Within the trust domain nothing is hidden yet, so the wish travels on.
    assert!(history(&all, "history-trusted")[0].contains("+491"));
    assert!(
        told_of(&all, "history-trusted")
            .privacy
            .is_some_and(|privacy| privacy.has("history"))
    );
    // Who is told the other way hears of the wish with each entry (RFC 7544 §6).
    for lines in [HISTORY, THREE] {
        let told = diversion(&format!("Privacy: history\r\n{lines}"), "diversion-trusted");
        assert_eq!(told.len(), 3);
        for value in told {
            let is_shown = !value.contains("anonymous") && value.ends_with(";privacy=full");
            assert!(is_shown, "{value}");
        }
    }
}

#[test]
fn every_form_tells_what_it_says_and_nothing_else() {
    for lines in [THREE, HISTORY] {
        for (form, has_history, has_diversion) in [
            ("none", false, false),
            ("history-info", true, false),
            ("diversion", false, true),
            ("both", true, true),
            ("pass", lines == HISTORY, lines == THREE),
        ] {
            let told = told_of(lines, form);
            assert_eq!(
                (!told.history.is_empty(), !told.diversion.is_empty()),
                (has_history, has_diversion),
                "{form}"
            );
            let all = values(&told.history).join(" ") + &values(&told.diversion).join(" ");
            assert!(!all.contains("10.9.8.7"), "{all}");
        }
    }
    // A call that nobody diverted has nothing to tell.
    assert!(history("", "both").is_empty() && diversion("", "both").is_empty());
}

#[test]
fn both_headers_at_once_are_one_story() {
    let both = format!("{THREE}{HISTORY}");
    assert_eq!(
        history(&both, "both").len(),
        5,
        "four, and where it goes now"
    );
    assert_eq!(diversion(&both, "both").len(), 3);
    // Without causes History-Info says less than Diversion, so Diversion is believed.
    let poor = format!("{THREE}History-Info: <sip:+499@10.9.8.7>;index=1\r\n");
    let told = history(&poor, "both");
    assert!(
        told.len() == 4 && !told.join(" ").contains("+499"),
        "{told:?}"
    );
}

#[test]
fn every_reason_has_its_cause_and_every_cause_its_reason() {
    for (reason, cause) in [
        ("unknown", 404),
        ("user-busy", 486),
        ("no-answer", 408),
        ("unavailable", 503),
        ("unconditional", 302),
        ("time-of-day", 404),
        ("do-not-disturb", 404),
        ("deflection", 480),
        ("follow-me", 404),
        ("out-of-service", 404),
        ("away", 404),
        ("User-Busy", 486),
        ("made-up", 404),
    ] {
        assert_eq!(cause_of_reason(reason), cause, "{reason}");
    }
    for cause in 0..1000 {
        let reason = match cause {
            302 => Some("unconditional"),
            404 => Some("unknown"),
            408 => Some("no-answer"),
            480 | 487 => Some("deflection"),
            486 => Some("user-busy"),
            503 => Some("unavailable"),
            _ => None,
        };
        assert_eq!(reason_of_cause(cause), reason, "{cause}");
    }
}

#[test]
fn a_counter_stands_for_parties_that_nobody_names() {
    let counted = "Diversion: <sip:+492@h.example>;reason=user-busy;counter=3,\
         <sip:+491@h.example>;reason=no-answer\r\n";
    assert_eq!(
        history(counted, "history-info"),
        [
            "<sip:+491@192.0.2.10>;index=1",
            "<sip:unknown@unknown.invalid;cause=404>;index=1.1;mp=1",
            "<sip:unknown@unknown.invalid;cause=404>;index=1.1.1;mp=1.1",
            "<sip:+492@192.0.2.10;cause=408>;index=1.1.1.1;mp=1.1.1",
            "<sip:+493023125001@192.0.2.10;cause=486>;index=1.1.1.1.1;mp=1.1.1.1",
        ]
    );
    let absurd = "Diversion: <sip:+492@h.example>;reason=user-busy;counter=4000000000\r\n";
    assert!(history(absurd, "history-info").len() <= 20);
}

#[test]
fn tel_uris_get_parameters_only_in_the_form_of_sip() {
    let tel = "Diversion: <tel:+49-30-2;ext=1>;reason=user-busy,<tel:+491>;reason=no-answer\r\n";
    let told = history(tel, "history-info");
    assert_eq!(
        told,
        [
            "<tel:+491>;index=1",
            "<sip:+49302@unknown.invalid;user=phone;cause=408>;index=1.1;mp=1",
            "<sip:+493023125001@192.0.2.10;cause=486>;index=1.1.1;mp=1.1",
        ]
    );
    // And back: that host does not make the number unknown.
    let back = format!("History-Info: {}\r\n", told.join(","));
    assert_eq!(
        diversion(&back, "diversion"),
        [
            "<sip:+49302@192.0.2.10>;reason=user-busy;counter=1;privacy=off",
            "<tel:+491>;reason=no-answer;counter=1;privacy=off",
        ]
    );
}

#[test]
fn reasons_in_every_spelling_of_teams_are_diversions() {
    for entry in [
        "<sip:+491@sip.pstnhub.microsoft.com;user=phone?Reason=SIP;cause=302;text=\"Move Temporarily\">;index=1",
        "<sip:+491@sip.pstnhub.microsoft.com:5061;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20Temporarily%22>;index=1",
    ] {
        let lines = format!("History-Info: {entry}\r\n");
        assert_eq!(
            diversion(&lines, "diversion"),
            ["<sip:+491@192.0.2.10>;reason=unconditional;counter=1;privacy=off"],
            "{entry}"
        );
    }
    // A code that the documentation prints and no table has, and others of three digits.
    for code in ["496", "200", "016", "999"] {
        let odd =
            format!("History-Info: <sip:+491@h.example?Reason=SIP%3Bcause%3D{code}>;index=1\r\n");
        assert_eq!(
            diversion(&odd, "diversion"),
            ["<sip:+491@192.0.2.10>;reason=unknown;counter=1;privacy=off"],
            "{code}"
        );
        let told = history(&odd, "history-info");
        assert!(
            told[0].contains(&format!("Reason=SIP%3Bcause%3D{code}")),
            "{told:?}"
        );
    }
}

#[test]
fn a_list_that_misses_the_target_has_a_gap_and_then_what_we_ask_for() {
    let lines = "History-Info: <sip:+491@h.example>;index=1,<sip:+492@h.example;cause=302>;index=1.1;mp=1\r\n";
    assert_eq!(
        history(lines, "history-info")[2..],
        [
            "<sip:+493023125001@192.0.2.10>;index=1.1.0",
            "<sip:+493023125001@192.0.2.10>;index=1.1.0.1;np=1.1.0",
        ]
    );
    assert_eq!(
        history(lines, "pass").len(),
        2,
        "what came, and nothing of ours"
    );
}

#[test]
fn targets_that_are_other_contacts_of_one_user_are_no_diversions() {
    let hunted = "History-Info: <sip:+491@h.example?Reason=SIP%3Bcause%3D503>;index=1,\
         <sip:+493023125001@h.example>;index=1.1;rc=1\r\n";
    assert!(diversion(hunted, "diversion").is_empty());
}

#[test]
fn broken_lists_are_read_as_far_as_they_go() {
    let deep = vec!["1"; 400].join(".");
    let lines = format!("History-Info: <sip:+491@h.example;cause=302>;index={deep};mp={deep}\r\n");
    assert!(history(&lines, "history-info").len() <= 4);
    let many = format!(
        "History-Info: {}\r\n",
        vec!["<sip:+491@h.example;cause=302>;index=1"; 60].join(",")
    );
    assert_eq!(history(&many, "history-info").len(), 20);
    assert_eq!(diversion(&many, "diversion").len(), 19);
    // One entry that cannot be read takes no other one with it, whichever header it is in.
    let odd = HISTORY.replacen("History-Info: ", "History-Info: <<>>;index,", 1);
    assert_ne!(odd, HISTORY);
    assert_eq!(
        diversion(&odd, "diversion"),
        diversion(HISTORY, "diversion")
    );
    let odd = THREE.replacen("Diversion: ", "Diversion: <:>;reason,", 1);
    assert_eq!(diversion(&odd, "diversion"), diversion(THREE, "diversion"));
}

#[test]
fn both_forms_hide_the_same_parties() {
    for (wish, is_hidden) in [
        ("history", true),
        ("header", true),
        ("user", false),
        ("id", false),
    ] {
        let told = told_of(&format!("Privacy: {wish}\r\n{HISTORY}"), "both");
        for list in [values(&told.history), values(&told.diversion)] {
            let list = list.join(" ");
            assert_eq!(list.contains("+491"), !is_hidden, "{wish}: {list}");
            assert!(!list.contains("+492"), "{wish}: {list}");
        }
    }
}

#[test]
fn a_private_entry_stays_hidden_although_the_caller_hides_nothing() {
    let open = format!("Privacy: none\r\n{HISTORY}");
    let told = told_of(&open, "both");
    let all = values(&told.history).join(" ") + &values(&told.diversion).join(" ");
    assert!(!all.contains("+492"), "{all}");
    // Of the others nothing is hidden then, whatever else the caller asks for.
    let both = format!("Privacy: none;history\r\n{HISTORY}");
    for lines in [&open, &both] {
        let told = told_of(lines, "both");
        for list in [values(&told.history), values(&told.diversion)] {
            let list = list.join(" ");
            assert!(list.contains("+491") && list.contains("+493@"), "{list}");
        }
    }
}
