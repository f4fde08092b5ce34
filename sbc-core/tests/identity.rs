//! Who calls and who answered, as each kind of trunk wants to be told, by hand; and the other names
//! that a call carries from end to end.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::*;

/// The usual world; the carrier's trunk has these lines.
fn carrier_with(lines: &str) -> String {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    CONFIG.replace(codecs, &format!("{codecs}\n{lines}"))
}

/// The usual world; the trunk of Teams has these lines.
fn teams_with(lines: &str) -> String {
    CONFIG.replace(
        "preset = \"teams\"",
        &format!("preset = \"teams\"\n{lines}"),
    )
}

fn with_lines(invite: &str, lines: &str) -> String {
    let at = match invite.contains("MAX-FORWARDS") {
        true => "MAX-FORWARDS",
        false => "Max-Forwards",
    };
    invite.replacen(at, &format!("{lines}{at}"), 1)
}

/// Our INVITE to the carrier for an INVITE of Teams with these lines.
fn outward(config: &str, lines: &str) -> (Shard, Message) {
    let mut shard = Shard::with(config_of(config));
    shard.teams_says(&with_lines(&teams_invite("out"), lines));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// Our INVITE to Teams for an INVITE of the carrier with these lines.
fn inward(config: &str, lines: &str) -> (Shard, Message) {
    let mut shard = Shard::with(config_of(config));
    shard.carrier_says(&with_lines(&carrier_invite("in", CARRIER_SDP), lines));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

fn value(message: &Message, name: &str) -> Option<String> {
    let value = message.raw_named(name)?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

fn from(message: &Message) -> String {
    let from = value(message, "From").expect("From");
    from.split(";tag=").next().expect("a value").to_owned()
}

const DIVERTED: &str = "History-Info: <sip:+493023125777@sip.pstnhub.microsoft.com?Reason=SIP%3Bcause%3D302>;index=1\n";

#[test]
fn a_trunk_is_shown_the_party_that_it_asks_for() {
    for (template, wanted, asserted) in [
        ("", "\"Ada\" <sip:+493023125456@192.0.2.11>", None),
        (
            "identity = { from = \"pilot\", number = \"+493023125000\" }",
            "<sip:+493023125000@192.0.2.11>",
            None,
        ),
        (
            "identity = { from = \"diverting\" }",
            "<sip:+493023125777@192.0.2.11>",
            None,
        ),
        (
            "identity = { asserted = \"diverting\" }",
            "\"Ada\" <sip:+493023125456@192.0.2.11>",
            Some("<sip:+493023125777@192.0.2.11>"),
        ),
        (
            "identity = { asserted = \"pilot\", number = \"+493023125000\", user_phone = \"always\" }",
            "\"Ada\" <sip:+493023125456@192.0.2.11;user=phone>",
            Some("<sip:+493023125000@192.0.2.11;user=phone>"),
        ),
    ] {
        let (_, invite) = outward(&carrier_with(template), DIVERTED);
        assert_eq!(from(&invite), wanted, "{template}");
        let told = value(&invite, "P-Asserted-Identity");
        assert_eq!(told.as_deref(), asserted, "{template}");
    }
    // Nobody forwarded the call: then it is the caller.
    let (_, invite) = outward(&carrier_with("identity = { from = \"diverting\" }"), "");
    assert!(from(&invite).contains("+493023125456"));
}

#[test]
fn a_private_diverting_party_is_not_shown_to_strangers_in_any_header() {
    let private = DIVERTED.replace("?Reason", "?Privacy=history&Reason");
    let asked = format!("Privacy: history\n{DIVERTED}");
    let told = |keys: &str, lines: &str| outward(&carrier_with(keys), lines).1;
    for lines in [&private, &asked] {
        let invite = told("identity = { from = \"diverting\" }", lines);
        assert!(from(&invite).contains("+493023125456"), "{lines}");
        assert!(!body_of(&invite).contains("3023125777"), "{lines}");
        // A network that asks for a number of its customer gets that of the trunk, or none.
        for (form, header) in [
            ("pai", "P-Asserted-Identity"),
            ("ppi", "P-Preferred-Identity"),
            ("rpid", "Remote-Party-ID"),
        ] {
            let keys = |number: &str| {
                format!(
                    "identity = {{ asserted = \"diverting\", egress = \"{form}+from\"{number} }}"
                )
            };
            let invite = told(&keys(", number = \"+493023125000\""), lines);
            let pilot = value(&invite, header).expect("the number of the trunk");
            assert!(
                pilot.starts_with("<sip:+493023125000@192.0.2.11>"),
                "{pilot}"
            );
            assert!(!pilot.contains("privacy=full"), "{pilot}");
            // It is no secret of anybody, and the caller hides nothing.
            assert_eq!(value(&invite, "Privacy"), None, "{form}");
            assert!(!body_of(&invite).contains("3023125777"), "{lines}");
            let invite = told(&keys(""), lines);
            assert_eq!(value(&invite, header), None, "{form}");
            assert!(!body_of(&invite).contains("3023125777"), "{lines}");
        }
        // Within the trust domain it is shown, and the wish travels on.
        let invite = told("trusted = true\nidentity = { from = \"diverting\" }", lines);
        assert!(from(&invite).contains("+493023125777"), "{lines}");
    }
    // That the caller hides nothing is no word about others.
    let none = format!("Privacy: none\n{private}");
    let invite = told(
        "identity = { from = \"diverting\", diversion = \"both\" }",
        &none,
    );
    assert!(!body_of(&invite).contains("3023125777"));
    let invite = told("identity = { asserted = \"diverting\" }", &none);
    assert!(!body_of(&invite).contains("3023125777"));
}

/// A name is no number that a network of telephones could check.
#[test]
fn only_telephone_numbers_are_asserted_of_who_forwarded_a_call() {
    let named = DIVERTED.replace("+493023125777", "UserB");
    for (number, asserted) in [
        ("", None),
        (
            ", number = \"+493023125000\"",
            Some("<sip:+493023125000@192.0.2.11>"),
        ),
    ] {
        let keys = format!("identity = {{ asserted = \"diverting\"{number} }}");
        let (_, invite) = outward(&carrier_with(&keys), &named);
        let told = value(&invite, "P-Asserted-Identity");
        assert_eq!(told.as_deref(), asserted);
    }
}

/// The whole message, to look for what must not be in it.
fn body_of(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

#[test]
fn who_transferred_a_call_is_shown_where_no_diversion_tells_a_number() {
    let keys = "identity = { from = \"diverting\", asserted = \"diverting\" }";
    let by = "Referred-By: <sip:+493023125888@sip.pstnhub.microsoft.com:5061;x-m=8:orgid:1>\n";
    let (_, invite) = outward(&carrier_with(keys), by);
    assert_eq!(from(&invite), "<sip:+493023125888@192.0.2.11>");
    let number = value(&invite, "P-Asserted-Identity").expect("a number");
    assert_eq!(number, "<sip:+493023125888@192.0.2.11>");
    // Diversions come first, and what names nobody says nothing.
    let (_, invite) = outward(&carrier_with(keys), &format!("{DIVERTED}{by}"));
    assert!(from(&invite).contains("+493023125777"));
    let nobody = "Referred-By: <sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:1>\n";
    let (_, invite) = outward(&carrier_with(keys), nobody);
    assert!(from(&invite).contains("+493023125456"));
    assert_eq!(value(&invite, "P-Asserted-Identity"), None);
    // Anybody may write it; only a trusted peer is believed.
    let text =
        carrier_with(keys).replace("preset = \"teams\"", "preset = \"teams\"\ntrusted = false");
    let (_, invite) = outward(&text, by);
    assert!(from(&invite).contains("+493023125456"));
}

#[test]
fn an_identity_is_asserted_in_the_header_that_the_trunk_knows() {
    let identity = "P-Asserted-Identity: \"Ada L\" <sip:+493023125456@contoso.example>\n";
    for (form, name, wanted) in [
        (
            "pai+from",
            "P-Asserted-Identity",
            "\"Ada L\" <sip:+493023125456@192.0.2.11>",
        ),
        (
            "ppi+from",
            "P-Preferred-Identity",
            "\"Ada L\" <sip:+493023125456@192.0.2.11>",
        ),
        (
            "rpid+from",
            "Remote-Party-ID",
            "\"Ada L\" <sip:+493023125456@192.0.2.11>;party=calling;screen=yes;privacy=off",
        ),
    ] {
        let config = carrier_with(&format!(
            "trusted = true\nidentity = {{ egress = \"{form}\" }}"
        ));
        let (_, invite) = outward(&config, identity);
        for header in [
            "P-Asserted-Identity",
            "P-Preferred-Identity",
            "Remote-Party-ID",
        ] {
            let told = value(&invite, header);
            let expected = (header == name).then(|| wanted.to_owned());
            let bare = |text: Option<String>| text.map(|text| text.replace('"', ""));
            assert_eq!(bare(told), bare(expected), "{form} {header}");
        }
    }
    let hidden = format!("Privacy: id\n{identity}");
    let config = carrier_with("trusted = true\nidentity = { egress = \"rpid+from\" }");
    let (_, invite) = outward(&config, &hidden);
    let told = value(&invite, "Remote-Party-ID").expect("told within the trust domain");
    assert!(told.ends_with(";privacy=full"), "{told}");
    // Outside nobody gets it in any header.
    let config = carrier_with("identity = { egress = \"rpid+from\" }");
    let (_, invite) = outward(&config, &hidden);
    assert_eq!(value(&invite, "Remote-Party-ID"), None);
}

#[test]
fn a_remote_party_id_of_a_trusted_peer_is_an_asserted_identity() {
    let config =
        carrier_with("trusted = true\nidentity = { source = [\"pai-tel\", \"rpid\", \"from\"] }")
            .replace(
                "preset = \"teams\"",
                "preset = \"teams\"\nidentity = { egress = \"pai+from\" }",
            );
    let rpid =
        "Remote-Party-ID: \"Bob\" <sip:+498999998555@198.51.100.20>;party=calling;screen=yes";
    let (mut shard, invite) = inward(&config, &format!("{rpid};privacy=off\n"));
    let told = value(&invite, "P-Asserted-Identity").expect("asserted");
    assert!(
        told.contains("Bob") && told.contains("+498999998555@sbc1"),
        "{told}"
    );
    shard.pass(std::time::Duration::from_secs(400));
    let record = &shard.records[0];
    assert_eq!(record.asserted.as_deref(), Some("+498999998555"));
    assert_eq!(
        record.calling, "+498999998555",
        "the order of sources decides"
    );
    assert!(!record.withheld);
    // Hidden completely, its name only, and what speaks of somebody else.
    let (_, invite) = inward(&config, &format!("{rpid};privacy=full\n"));
    assert!(from(&invite).contains("anonymous.invalid"));
    assert_eq!(value(&invite, "Privacy").as_deref(), Some("id"));
    let (_, invite) = inward(&config, &format!("{rpid};privacy=name\n"));
    let told = value(&invite, "P-Asserted-Identity").expect("asserted");
    assert!(!told.contains("Bob"), "{told}");
    let shown = from(&invite);
    assert!(!shown.contains("Ada"), "{shown}");
    let (_, invite) = inward(&config, &format!("{rpid};privacy=off\n"));
    let shown = from(&invite);
    assert!(shown.contains("Ada"), "{shown}");
    let called = rpid.replace("party=calling", "party=called");
    let (_, invite) = inward(&config, &format!("{called}\n"));
    assert_eq!(value(&invite, "P-Asserted-Identity"), None);
    // The wish counts beside another identity as well.
    let other = "P-Asserted-Identity: <sip:+498999998777@198.51.100.20>\n";
    let (_, invite) = inward(&config, &format!("{rpid};privacy=full\n{other}"));
    assert!(from(&invite).contains("anonymous.invalid"));
    assert_eq!(value(&invite, "Privacy").as_deref(), Some("id"));
    // From a peer that is not trusted it says nothing, except that the caller wants to be hidden.
    let (_, invite) = inward(CONFIG, &format!("{rpid};privacy=full\n"));
    assert!(
        from(&invite).contains("anonymous.invalid"),
        "{}",
        from(&invite)
    );
    let (mut shard, invite) = inward(CONFIG, &format!("{rpid}\n"));
    assert!(!text_of(&invite).contains("+498999998555"));
    shard.pass(std::time::Duration::from_secs(400));
    assert_eq!(shard.records[0].asserted, None);
}

fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

#[test]
fn callers_that_show_a_foreign_number_pass_show_another_or_are_refused() {
    let foreign = |lines: &str| {
        with_lines(&teams_invite("out"), lines)
            .replace("sip:+493023125456@sip", "sip:+15550100@sip")
    };
    let call = |config: &str, invite: &str| {
        let mut shard = Shard::with(config_of(config));
        shard.teams_says(invite);
        shard.next_response(100);
        shard
    };
    let shown = |shard: &mut Shard| from(&shard.next_request(Method::Invite).message);
    let mut shard = call(CONFIG, &foreign(""));
    assert!(shown(&mut shard).contains("+15550100"));
    let replacing =
        teams_with("identity = { screening = \"replace\", number = \"+493023125000\" }");
    let mut shard = call(&replacing, &foreign(""));
    assert_eq!(shown(&mut shard), "<sip:+493023125000@192.0.2.11>");
    shard.pass(std::time::Duration::from_secs(400));
    assert_eq!(shard.records[0].screening, Some("replaced"));
    let rejecting = teams_with("identity = { screening = \"reject\" }");
    let mut shard = call(&rejecting, &foreign(""));
    shard.next_response(403);
    shard.pass(std::time::Duration::from_secs(40));
    assert_eq!(shard.records[0].cause.code, CauseCode::CallerNotAllowed);
    // The customer's own numbers, forwarded calls and withheld numbers are not concerned.
    let mut shard = call(&rejecting, &teams_invite("own"));
    assert!(shown(&mut shard).contains("+493023125456"));
    let mut shard = call(&rejecting, &foreign(DIVERTED));
    assert!(shown(&mut shard).contains("+15550100"));
    // Whoever forwards or transfers need not have a number of the customer's, or any at all.
    let user = DIVERTED.replace("+493023125777", "john");
    let elsewhere = DIVERTED.replace("+493023125777", "+15550177");
    let transferred = "Referred-By: <sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:1>\n";
    assert!(user.contains("john") && elsewhere.contains("+15550177"));
    for lines in [&user, &elsewhere, transferred] {
        let mut shard = call(&rejecting, &foreign(lines));
        assert!(shown(&mut shard).contains("+15550100"), "{lines}");
        shard.pass(std::time::Duration::from_secs(400));
        assert_eq!(shard.records[0].screening, Some("forwarded"), "{lines}");
    }
    // Anybody may write such lines: only who is trusted is believed.
    let distrusted = teams_with("identity = { screening = \"reject\" }\ntrusted = false");
    for lines in [&user, &elsewhere, transferred] {
        call(&distrusted, &foreign(lines)).next_response(403);
    }
    let withheld = teams_invite("anon").replace(
        "<sip:+493023125456@sip.pstnhub.microsoft.com:5061;user=phone>",
        "<sip:anonymous@anonymous.invalid>",
    );
    let mut shard = call(&rejecting, &withheld);
    assert!(shown(&mut shard).contains("anonymous"));
}

/// Who asserts a number of its own may show another one on purpose, unless the operator looks at From as well.
#[test]
fn a_number_in_from_is_looked_at_where_the_trunk_says_so_whatever_is_asserted() {
    let own = "P-Asserted-Identity: <sip:+493023125456@sip.pstnhub.microsoft.com>\n";
    let invite = |lines: &str| {
        let invite = with_lines(&teams_invite("out"), &format!("{own}{lines}"));
        invite.replacen(
            "sip:+493023125456@sip.pstnhub.microsoft.com:5061",
            "sip:+15550100@sip.pstnhub.microsoft.com:5061",
            1,
        )
    };
    let call = |identity: &str, lines: &str| {
        let identity = format!("identity = {{ source = [\"pai-sip\", \"from\"], {identity} }}");
        let mut shard = Shard::with(config_of(&teams_with(&identity)));
        shard.teams_says(&invite(lines));
        shard.next_response(100);
        shard
    };
    let shown = |shard: &mut Shard| from(&shard.next_request(Method::Invite).message);
    let mut shard = call("screening = \"reject\"", "");
    assert!(shown(&mut shard).contains("+15550100"));
    call("screening = \"reject\", screen_from = true", "").next_response(403);
    let replace = "screening = \"replace\", number = \"+493023125000\", screen_from = true";
    let mut shard = call(replace, "");
    assert_eq!(shown(&mut shard), "<sip:+493023125456@192.0.2.11>");
    shard.pass(std::time::Duration::from_secs(400));
    assert_eq!(shard.records[0].screening, Some("replaced"));
    // A caller whose call is forwarded is not the customer.
    let mut shard = call("screening = \"reject\", screen_from = true", DIVERTED);
    assert!(shown(&mut shard).contains("+15550100"));
}

#[test]
fn a_preferred_identity_is_a_wish_for_one_of_the_customers_numbers() {
    let pbx = r#"
[[trunk]]
name = "pbx"
tenant = "contoso"
realm = "carrier"
targets = ["198.51.100.70:5060;udp"]
identity = { number = "+493023125000" }
[[route]]
name = "from-pbx"
match = { from_trunk = "pbx" }
to = [{ trunk = "carrier-a" }]
"#;
    let config = format!("{CONFIG}{pbx}");
    let flow = sbc_core::transport::Flow {
        remote: "198.51.100.70:5060".parse().expect("address"),
        ..carrier_flow()
    };
    for (wish, shown) in [
        ("+493023125888", "+493023125888"),
        ("+15550199", "+493023125000"),
    ] {
        let mut shard = Shard::with(config_of(&config));
        let invite = with_lines(
            &carrier_invite("ppi", CARRIER_SDP),
            &format!("P-Preferred-Identity: <sip:{wish}@198.51.100.70>\n"),
        )
        .replace("sip:+493023125456@192", "sip:+498999998009@192")
        .replace("198.51.100.20", "198.51.100.70");
        shard.receive(flow.clone(), &invite);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        assert!(from(&invite).contains(shown), "{}", from(&invite));
        assert_eq!(value(&invite, "P-Preferred-Identity"), None);
    }
}

#[test]
fn display_names_have_the_form_that_a_trunk_can_read() {
    let named = "FROM: \"J\u{fc}rgen \u{141}uk\" <sip:";
    for (form, wanted) in [
        ("pass", Some("J\u{fc}rgen \u{141}uk")),
        ("ascii", Some("Juergen Luk")),
        ("strip", None),
    ] {
        let config = carrier_with(&format!("identity = {{ display = \"{form}\" }}"));
        let mut shard = Shard::with(config_of(&config));
        shard.teams_says(&teams_invite("name").replace("FROM: Ada<sip:", named));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let told = from(&invite);
        let name = told
            .split('<')
            .next()
            .expect("a value")
            .trim()
            .replace('"', "");
        assert_eq!(name, wanted.unwrap_or_default(), "{form}");
    }
}

#[test]
fn wishes_for_privacy_do_what_they_ask_and_nothing_more() {
    let asserted = "P-Asserted-Identity: <tel:+493023125456>\n";
    let with = |privacy: &str| format!("Privacy: {privacy}\nSubject: x\n{asserted}");
    // `none`: nothing is hidden, not even from who is outside the trust domain.
    let (_, invite) = outward(CONFIG, &with("none"));
    assert!(value(&invite, "P-Asserted-Identity").is_some());
    assert_eq!(value(&invite, "Privacy").as_deref(), Some("none"));
    assert!(from(&invite).contains("+493023125456"));
    // `header`: From and what headers tell.
    let passing = carrier_with("headers = { pass = [\"Subject\"] }");
    let (_, invite) = outward(&passing, &with("header"));
    assert!(from(&invite).contains("anonymous.invalid"));
    assert_eq!(value(&invite, "Subject"), None);
    assert_eq!(value(&invite, "P-Asserted-Identity"), None);
    let (_, invite) = outward(&passing, &with("session"));
    assert_eq!(value(&invite, "Subject").as_deref(), Some("x"));
    assert!(from(&invite).contains("+493023125456"));
    assert_eq!(value(&invite, "Privacy"), None, "media are anchored anyway");
    // `critical` with what nobody knows.
    let refused = |privacy: &str| {
        let mut shard = Shard::with(config_of(CONFIG));
        shard.teams_says(&with_lines(&teams_invite("x"), &with(privacy)));
        shard.next_response(100);
        shard.next().message.status().map(|status| status.code())
    };
    assert_eq!(refused("teleport;critical"), Some(500));
    assert_eq!(refused("id;critical"), None, "this can be done");
    assert_eq!(refused("teleport"), None, "and this is not critical");
}

#[test]
fn who_answered_is_told_within_the_trust_domain_only() {
    let trusted = carrier_with("trusted = true");
    let connected = format!(
        "{TEAMS_CONTACT}P-Asserted-Identity: \"Bea\" <sip:+493023125999@sip.pstnhub.microsoft.com>\n"
    );
    for (config, is_told) in [(trusted.as_str(), true), (CONFIG, false)] {
        let (mut shard, invite) = inward(config, "");
        for (status, code, sdp) in [("180 Ringing", 180, ""), ("200 OK", 200, TEAMS_SDP)] {
            shard.teams_says(&response(&invite, status, "b1", &connected, sdp));
            if code == 200 {
                shard.next_request(Method::Ack);
            }
            let told = shard.next_response(code).message;
            let told = value(&told, "P-Asserted-Identity");
            assert_eq!(
                told.as_deref(),
                is_told.then_some("\"Bea\" <sip:+493023125999@192.0.2.11>"),
            );
        }
    }
    // A private one says so.
    let (mut shard, invite) = inward(&trusted, "");
    let private = format!("{connected}Privacy: id\n");
    shard.teams_says(&response(&invite, "180 Ringing", "b1", &private, ""));
    let told = shard.next_response(180).message;
    assert_eq!(value(&told, "Privacy").as_deref(), Some("id"));
}

const A: &str = "ab30317f1a784dc48ff824d0d3715d86";
const B: &str = "47755a9de7794ba387653f2099600ef2";
const NIL: &str = "00000000000000000000000000000000";

#[test]
fn both_legs_name_the_same_two_ends() {
    let (mut shard, invite) = inward(CONFIG, &format!("Session-ID: {A};remote={NIL}\n"));
    assert_eq!(
        value(&invite, "Session-ID"),
        Some(format!("{A};remote={NIL}"))
    );
    let lines = format!("{TEAMS_CONTACT}Session-ID: {B};remote={A}\n");
    shard.teams_says(&response(&invite, "200 OK", "b1", &lines, TEAMS_SDP));
    let ack = shard.next_request(Method::Ack).message;
    assert!(value(&ack, "Session-ID").is_some_and(|told| told.starts_with(A)));
    let ok = shard.next_response(200).message;
    assert_eq!(value(&ok, "Session-ID"), Some(format!("{B};remote={A}")));
    shard.carrier_says(&in_dialog(
        &ok,
        "ACK",
        10,
        "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKa",
    ));
    shard.carrier_says(&in_dialog(
        &ok,
        "BYE",
        11,
        "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKb",
    ));
    let told: Vec<(bool, String)> = shard
        .sent
        .iter()
        .map(|sent| {
            let told = value(&sent.message, "Session-ID").expect("a name");
            (sent.message.is_request(), told)
        })
        .collect();
    assert_eq!(told.len(), 2);
    for (is_bye, told) in told {
        let wanted = match is_bye {
            true => format!("{A};remote={B}"),
            false => format!("{B};remote={A}"),
        };
        assert_eq!(told, wanted);
    }
    shard.pass(std::time::Duration::from_secs(60));
    assert_eq!(shard.records[0].session_id, A);
}

#[test]
fn a_trunk_may_have_no_name_for_calls_or_always_one() {
    let (mut shard, invite) = inward(CONFIG, "");
    assert_eq!(value(&invite, "Session-ID"), None, "nobody named it");
    shard.pass(std::time::Duration::from_secs(400));
    assert_eq!(shard.records[0].session_id.len(), 32, "the record has one");
    let (_, invite) = inward(&teams_with("session_id = \"always\""), "");
    let told = value(&invite, "Session-ID").expect("a name");
    assert!(told.ends_with(&format!(";remote={NIL}")) && !told.starts_with(NIL));
    let named = format!("Session-ID: {A}\n");
    let (_, invite) = inward(&teams_with("session_id = \"none\""), &named);
    assert_eq!(value(&invite, "Session-ID"), None);
    // What is no name is not passed on as one.
    let (_, invite) = inward(CONFIG, "Session-ID: secret-call@10.9.8.7\n");
    assert_eq!(value(&invite, "Session-ID"), None);
}

#[test]
fn the_breadth_of_a_request_is_kept_and_none_is_refused() {
    for (lines, wanted) in [
        ("", "60"),
        ("Max-Breadth: 7\n", "7"),
        ("Max-Breadth: 400\n", "60"),
    ] {
        let (_, invite) = inward(CONFIG, lines);
        assert_eq!(value(&invite, "Max-Breadth").as_deref(), Some(wanted));
    }
    let mut shard = Shard::new();
    let none = with_lines(&carrier_invite("x", CARRIER_SDP), "Max-Breadth: 0\n");
    shard.carrier_says(&none);
    shard.next_response(100);
    shard.next_response(440);
    shard.settles();
}

#[test]
fn a_call_that_was_diverted_five_times_ends_here() {
    let diversions = |count: usize| {
        let list = vec!["<sip:+498999998555@198.51.100.20>;reason=user-busy"; count].join(",");
        with_lines(
            &carrier_invite("x", CARRIER_SDP),
            &format!("Diversion: {list}\n"),
        )
    };
    let mut shard = Shard::new();
    shard.carrier_says(&diversions(5));
    shard.next_response(100);
    shard.next_response(482);
    // More than are read of a list, and one that cannot be read, hide nothing.
    let odd = diversions(5).replacen("<sip:+498999998555@198.51.100.20>", "sip:@@", 1);
    let six = diversions(6).replacen("<sip:+498999998555@198.51.100.20>", "sip:@@", 1);
    for invite in [diversions(40), six] {
        let mut shard = Shard::new();
        shard.carrier_says(&invite);
        shard.next_response(100);
        shard.next_response(482);
    }
    let mut shard = Shard::new();
    shard.carrier_says(&odd);
    shard.next_response(100);
    shard.next_request(Method::Invite);
    let mut shard = Shard::new();
    shard.carrier_says(&diversions(4));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_call_that_comes_back_again_and_again_is_a_circle() {
    let mut shard = Shard::new();
    for lap in 0..6_u32 {
        let invite = carrier_invite(&format!("lap-{lap}"), CARRIER_SDP)
            .replace("Max-Forwards: 69", &format!("Max-Forwards: {}", 60 - lap));
        shard.carrier_says(&invite);
        shard.next_response(100);
        match lap < 5 {
            true => drop(shard.next_request(Method::Invite)),
            false => drop(shard.next_response(482)),
        }
    }
    shard.settles();
}

/// A hotline has many callers who withhold their number, and they come by ways of different length.
#[test]
fn callers_who_withhold_their_number_are_not_laps_of_one_circle() {
    let hidden = |lap: usize, hops: u32, asserted: &str| {
        let lines = format!("{asserted}Max-Forwards: {hops}");
        let invite = carrier_invite(&format!("hidden-{lap}"), CARRIER_SDP);
        let invite = invite.replace("Max-Forwards: 69", &lines);
        invite.replace(
            "\"Ada\" <sip:+498999998001@198.51.100.20>",
            "<sip:anonymous@anonymous.invalid>",
        )
    };
    let mut shard = Shard::new();
    for (lap, hops) in [68, 66, 65, 63, 61, 60, 64, 59].into_iter().enumerate() {
        shard.carrier_says(&hidden(lap, hops, ""));
        shard.next_response(100);
        shard.next_request(Method::Invite);
    }
    // One that comes back by the same way again and again is a circle all the same.
    let mut shard = Shard::new();
    for lap in 0..6_u32 {
        shard.carrier_says(&hidden(lap as usize, 60 - 2 * lap, ""));
        shard.next_response(100);
        match lap < 5 {
            true => drop(shard.next_request(Method::Invite)),
            false => drop(shard.next_response(482)),
        }
    }
    // Whom a trusted peer asserts is another caller, whatever From shows.
    let name = "name = \"carrier-a\"";
    let trusted = CONFIG.replace(name, &format!("{name}\ntrusted = true"));
    let mut shard = Shard::with(config_of(&trusted));
    for lap in 0..6_u32 {
        let number = 498_999_998_001_u64 + u64::from(lap);
        let asserted = format!("P-Asserted-Identity: <sip:+{number}@198.51.100.20>\nPrivacy: id\n");
        shard.carrier_says(&hidden(lap as usize, 60 - 2 * lap, &asserted));
        shard.next_response(100);
        shard.next_request(Method::Invite);
    }
}

#[test]
fn a_circle_of_calls_that_are_refused_at_once_is_one_too_and_a_later_call_is_none() {
    let mut shard = Shard::new();
    let lap = |shard: &mut Shard, lap: u32, wanted: u16| {
        let invite = carrier_invite(&format!("lap-{lap}"), CARRIER_SDP)
            .replace("Max-Forwards: 69", &format!("Max-Forwards: {}", 60 - lap));
        shard.carrier_says(&invite);
        shard.next_response(100);
        if wanted == 486 {
            let out = shard.next_request(Method::Invite).message;
            shard.teams_says(&response(&out, "486 Busy Here", "b", "", ""));
            shard.next_request(Method::Ack);
        }
        shard.next_response(wanted);
        shard.pass(Duration::from_secs(3));
        shard.sent.clear();
    };
    for number in 0..5 {
        lap(&mut shard, number, 486);
    }
    lap(&mut shard, 5, 482);
    shard.pass(Duration::from_secs(33));
    shard.sent.clear();
    lap(&mut shard, 6, 486);
    shard.settles();
}

#[test]
fn a_call_that_comes_back_as_it_went_is_a_circle_and_a_changed_one_a_spiral() {
    let mut shard = Shard::new();
    let ask = |shard: &mut Shard, call: &str, vias: &str, number: &str| {
        let invite = carrier_invite(call, CARRIER_SDP)
            .replace("Max-Forwards: 69", &format!("{vias}Max-Forwards: 60"))
            .replace("+493023125456", number);
        shard.carrier_says(&invite);
        shard.next_response(100);
        shard.next()
    };
    let out = ask(&mut shard, "first", "", "+493023125456");
    assert!(out.message.is_request());
    // A proxy kept our Via below its own, and its upstream's.
    let own = String::from_utf8_lossy(&out.message.raw(HeaderName::Via).expect("Via")).into_owned();
    let vias = format!("Via: SIP/2.0/UDP p.example.com;branch=z9hG4bKp\nVia: {own}\n");
    let spiral = ask(&mut shard, "spiral", &vias, "+493023125457");
    assert!(
        spiral.message.is_request(),
        "another number is another call"
    );
    let circle = ask(&mut shard, "circle", &vias, "+493023125456");
    assert_eq!(
        circle.message.status().map(|status| status.code()),
        Some(482)
    );
    // Two addresses of one server get the same call in transactions of their own.
    assert!(own.contains("branch=z9hG4bK"));
}

#[test]
fn what_charging_calls_a_call_is_recorded_and_stays_behind() {
    for (vector, icid) in [
        (
            "icid-value=\"1234bc98;76e\"; icid-generated-at=192.0.6.8; orig-ioi=home1.example",
            Some("1234bc98;76e"),
        ),
        ("orig-ioi=\"x;icid-value=9\";ICID-Value = abc", Some("abc")),
        ("orig-ioi=\"x\\\";icid-value=9\";icid-value=a", Some("a")),
        ("orig-ioi=\"x\\\\\";icid-value=b", Some("b")),
        ("icid-value=c;icid-value=d", Some("c")),
        ("icid-value=\"\"", None),
        ("icid-values=1", None),
        ("icid-value", None),
        ("icid-value=\"open", None),
    ] {
        let (mut shard, invite) = inward(CONFIG, &format!("P-Charging-Vector: {vector}\n"));
        assert!(!invite.has(HeaderName::PChargingVector), "{vector}");
        shard.teams_says(&response(&invite, "486 Busy", "b1", "", ""));
        shard.pass(std::time::Duration::from_secs(60));
        assert_eq!(shard.records[0].icid.as_deref(), icid, "{vector}");
    }
}

const UUI: &str =
    "User-to-User: 56a390F3d2b7310023;encoding=hex;purpose=isdn-uui;content=isdn-uui\n";

#[test]
fn user_to_user_passes_where_it_is_listed_if_it_is_sound() {
    let listed = teams_with("headers = { pass = [\"User-to-User\"] }").replace(
        "codecs = [\"PCMA\", \"PCMU\"]",
        "codecs = [\"PCMA\", \"PCMU\"]\nheaders = { pass = [\"User-to-User\"] }",
    );
    let (mut shard, invite) = inward(&listed, UUI);
    let told = value(&invite, "User-to-User");
    assert_eq!(
        told.as_deref(),
        Some("56a390F3d2b7310023;encoding=hex;purpose=isdn-uui;content=isdn-uui")
    );
    let answer = format!("{TEAMS_CONTACT}User-to-User: 04aB;encoding=hex\n");
    shard.teams_says(&response(&invite, "180 Ringing", "b1", &answer, ""));
    let ringing = shard.next_response(180).message;
    assert_eq!(
        value(&ringing, "User-to-User").as_deref(),
        Some("04aB;encoding=hex")
    );
    shard.teams_says(&response(
        &invite,
        "486 Busy",
        "b1",
        "User-to-User: 04cc;encoding=hex\n",
        "",
    ));
    shard.next_request(Method::Ack);
    let busy = shard.next_response(486).message;
    assert_eq!(
        value(&busy, "User-to-User").as_deref(),
        Some("04cc;encoding=hex")
    );
    shard.pass(std::time::Duration::from_secs(60));
    let record = &shard.records[0];
    assert_eq!(record.user_to_user.as_deref(), Some("56a390F3d2b7310023"));
    // Not listed, two of a kind, no hexadecimal text, too long.
    assert_eq!(value(&inward(CONFIG, UUI).1, "User-to-User"), None);
    for unsound in [
        format!("{UUI}{UUI}"),
        "User-to-User: 5z;encoding=hex\n".to_owned(),
        "User-to-User: 123;encoding=hex\n".to_owned(),
        format!("User-to-User: {};encoding=hex\n", "ab".repeat(257)),
    ] {
        let (_, invite) = inward(&listed, &unsound);
        assert_eq!(value(&invite, "User-to-User"), None, "{unsound}");
    }
    // Data of another kind beside it is no second one.
    let other = format!("{UUI}User-to-User: \"a b\";purpose=call-center\n");
    let (_, invite) = inward(&listed, &other);
    assert_eq!(invite.raw_all(HeaderName::UserToUser).count(), 2);
}

#[test]
fn names_with_a_blank_are_called_and_call_like_any_other() {
    let config = CONFIG.replace("codecs =", "identity = { diversion = \"both\" }\ncodecs =");
    let mut shard = Shard::with(config_of(&config));
    let history =
        "History-Info: <sip:Front%20Desk@contoso.example?Reason=SIP%3Bcause%3D302>;index=1\n";
    let invite = teams_invite("out").replacen("sip:+493023125456@", "sip:Ada%20L@", 1);
    shard.teams_says(&with_lines(&invite, history));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(from(&invite).contains("sip:Ada%20L@"), "{}", from(&invite));
    let told = value(&invite, "History-Info").expect("History-Info");
    assert!(told.contains("Front%20Desk"), "{told}");
}

#[test]
fn the_user_of_contact_is_escaped_once() {
    let invite = carrier_invite("in", CARRIER_SDP);
    let own = from_user(&invite);
    let mut shard = Shard::with(config_of(CONFIG));
    shard.carrier_says(&invite.replace(&own, "*21%23"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(from(&invite).contains("sip:*21%23@"), "{}", from(&invite));
    let contact = value(&invite, "Contact").expect("Contact");
    assert!(contact.starts_with("<sip:*21%23@"), "{contact}");

    let named = carrier_with("identity = { contact_user = \"a@b\" }");
    let (_, invite) = outward(&named, "");
    let contact = value(&invite, "Contact").expect("Contact");
    assert!(contact.starts_with("<sip:a%40b@"), "{contact}");
}

/// The user of the From of an INVITE.
fn from_user(invite: &str) -> String {
    let from = invite
        .lines()
        .find(|line| line.starts_with("From:") || line.starts_with("f:"));
    let user = from.and_then(|line| line.split("sip:").nth(1));
    user.and_then(|rest| rest.split('@').next())
        .expect("a user")
        .to_owned()
}

/// SIPconnect 1.1 and 2.0: numbers with `user=phone` everywhere, the caller asserted both ways, History-Info.
#[test]
fn a_trunk_of_sipconnect_is_told_what_its_profile_asks_for() {
    let config = CONFIG.replace("preset = \"carrier\"", "preset = \"sipconnect\"");
    let own = "P-Asserted-Identity: <sip:+493023125456@sip.pstnhub.microsoft.com>\n";
    let (_, invite) = outward(&config, &format!("{own}{DIVERTED}"));
    let number = |number: &str| format!("sip:{number}@192.0.2.11;user=phone");
    assert_eq!(
        from(&invite),
        format!("\"Ada\" <{}>", number("+493023125456"))
    );
    let asserted = value(&invite, "P-Asserted-Identity").expect("asserted");
    assert!(asserted.contains(&number("+493023125456")), "{asserted}");
    let uri = String::from_utf8_lossy(&invite.request_uri()).into_owned();
    assert_eq!(uri, "sip:+498999998001@198.51.100.20;user=phone");
    let to = value(&invite, "To").expect("To");
    assert_eq!(to, "<sip:+498999998001@198.51.100.20;user=phone>");
    let history = value(&invite, "History-Info").expect("told");
    assert!(history.contains("+493023125777"), "{history}");
    // Who hides is asserted to the provider, and to nobody else: From and Contact do not say it.
    let (_, invite) = outward(&config, &format!("Privacy: id\n{own}"));
    assert_eq!(
        from(&invite),
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>"
    );
    let contact = value(&invite, "Contact").expect("Contact");
    assert!(!contact.contains("+493023125456"), "{contact}");
    assert_eq!(value(&invite, "Privacy").as_deref(), Some("id"));
    let asserted = value(&invite, "P-Asserted-Identity").expect("asserted");
    assert!(asserted.contains(&number("+493023125456")), "{asserted}");
    // Unless the provider wants From as the caller wrote it.
    let plain = config.replace(
        "preset = \"sipconnect\"",
        "preset = \"sipconnect\"\nidentity = { anonymous_from = false }",
    );
    let (_, invite) = outward(&plain, &format!("Privacy: id\n{own}"));
    assert_eq!(
        from(&invite),
        format!("\"Ada\" <{}>", number("+493023125456"))
    );
    // And what it asserts is believed.
    let told = "P-Asserted-Identity: <sip:+498999998777@198.51.100.20;user=phone>\n";
    let (mut shard, _) = inward(&config, told);
    shard.pass(Duration::from_secs(300));
    assert_eq!(shard.records[0].asserted.as_deref(), Some("+498999998777"));
    // A key that is written counts more.
    let (_, invite) = outward(
        &config.replace(
            "preset = \"sipconnect\"",
            "preset = \"sipconnect\"\ntrusted = false\nidentity = { user_phone = \"never\" }",
        ),
        "",
    );
    assert_eq!(from(&invite), "\"Ada\" <sip:+493023125456@192.0.2.11>");
    assert_eq!(value(&invite, "P-Asserted-Identity"), None);
}
