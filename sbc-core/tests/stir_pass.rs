//! Signatures of callers that pass as they came, or stay behind, by hand.

use crate::world;

use sbc_core::event::Happened;
use sbc_core::sip::{HeaderName, Message, Method};
use world::signed::*;
use world::*;

const PASS: &str = "stir = \"pass\"";

/// What goes to Teams of a call of the carrier with these lines; and the shard.
fn inward(mut shard: Shard, lines: &str) -> (Shard, Message) {
    shard.carrier_says(&carrier_invite("in", CARRIER_SDP).replacen(
        "Max-Forwards",
        &format!("{lines}Max-Forwards"),
        1,
    ));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

fn line(value: &str) -> String {
    format!("Identity: {value}\n")
}

fn identities(invite: &Message) -> Vec<String> {
    let values = invite.raw_all(HeaderName::Identity);
    values
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect()
}

fn is_lost(shard: &Shard) -> bool {
    let mut happened = shard.happened.iter();
    happened.any(|what| matches!(what, Happened::SignatureLost { .. }))
}

#[test]
fn signatures_pass_as_they_came_and_in_their_order() {
    let unknown = identity("new-type", "{}");
    let compact = format!(
        "..{};info=<https://cert.example.org/c.cer>;ppt=\"x\"",
        encoded("s")
    );
    let all = [shaken(), unknown, compact, "cannot be read".to_owned()];
    // The compact name of the header, and a fold.
    let lines =
        format!("y: {}\nIdentity:\n {}\n", all[0], all[1]) + &line(&all[2]) + &line(&all[3]);
    let date = "Date: Fri, 15 Jan 2027 08:00:00 GMT\n";
    let (shard, invite) = inward(shard_with(PASS, PASS), &(lines + date));
    assert_eq!(identities(&invite), all);
    assert_eq!(
        invite.raw(HeaderName::Date).expect("Date"),
        "Fri, 15 Jan 2027 08:00:00 GMT"
    );
    assert!(!is_lost(&shard));
    assert!(
        shard.queries.is_empty(),
        "nobody asks whether they are good"
    );
}

#[test]
fn signatures_pass_only_between_trunks_that_both_want_them() {
    for (carrier, teams) in [("", ""), (PASS, ""), ("", PASS), ("stir = \"off\"", PASS)] {
        let (shard, invite) = inward(shard_with(carrier, teams), &line(&shaken()));
        assert!(identities(&invite).is_empty(), "{carrier} {teams}");
        assert!(!is_lost(&shard), "nobody wants to hear of it");
    }
    // No list of headers changes that.
    let config = world_with("", "").replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nheaders = { pass = [\"Subject\"] }",
    );
    let (_, invite) = inward(Shard::with(config_of(&config)), &line(&shaken()));
    assert!(identities(&invite).is_empty());
}

#[test]
fn signatures_stay_behind_where_other_numbers_are_shown() {
    let rule = |side: &str, rules: &str| {
        // Rules of Teams may take numbers in this form.
        let digits = format!("{PASS}\nidentity = {{ number_format = \"digits\" }}");
        world_with(PASS, &digits)
            + &format!(
                "[[transform]]\nname = \"t\"\nwhen = {{ trunk = \"teams-contoso\", dir = \"out\" }}\n{side} = [{rules}]\n"
            )
    };
    let national = "{ match = '^\\+49(\\d+)$', set = '0$1' }";
    let bare = "{ match = '^\\+(\\d+)$', set = '$1' }";
    for (config, passes) in [
        (rule("calling", national), false),
        (rule("called", national), false),
        // The plus is no part of a number (RFC 8224 §8.3).
        (rule("calling", bare), true),
        (rule("called", bare), true),
    ] {
        let (shard, invite) = inward(Shard::with(config_of(&config)), &line(&shaken()));
        assert_eq!(identities(&invite).len(), usize::from(passes), "{config}");
        assert_eq!(is_lost(&shard), !passes, "{config}");
    }
}

#[test]
fn a_signature_that_was_wrong_before_is_not_made_to_disappear() {
    // Who looks into it has to see that it is.
    let wrong = shaken_at(NOW, "A", OTHER, CALLED);
    let (_, invite) = inward(shard_with(PASS, PASS), &line(&wrong));
    assert_eq!(identities(&invite), [wrong]);
}

#[test]
fn a_forwarded_call_keeps_the_first_signature_and_that_of_who_forwarded_it() {
    let lines = line(&shaken_at(NOW, "A", CALLER, OTHER)) + &line(&div(OTHER, CALLED));
    let to = "To: <sip:+493023125456@192.0.2.11>";
    let mut shard = shard_with(PASS, PASS);
    let invite = carrier_invite("in", CARRIER_SDP)
        .replace(to, "To: <sip:+493023125777@192.0.2.11>")
        .replacen("Max-Forwards", &format!("{lines}Max-Forwards"), 1);
    shard.carrier_says(&invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(identities(&invite).len(), 2);
    // Without the signature of the diversion it would be a signature for somebody else.
    let mut shard = shard_with(PASS, PASS);
    let lines = line(&shaken_at(NOW, "A", CALLER, OTHER));
    shard.carrier_says(
        &carrier_invite("in", CARRIER_SDP)
            .replace(to, "To: <sip:+493023125777@192.0.2.11>")
            .replacen("Max-Forwards", &format!("{lines}Max-Forwards"), 1),
    );
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(identities(&invite).is_empty());
    assert!(is_lost(&shard));
}

#[test]
fn a_wish_for_privacy_removes_no_signature_but_an_anonymous_caller_has_none() {
    const PAI: &str = "P-Asserted-Identity: <sip:+498999998001@198.51.100.20>\n";
    let trusted = format!("{PASS}\ntrusted = true");
    let with = |carrier: &str, lines: &str| {
        let asserts = format!("{PASS}\nidentity = {{ egress = \"pai+from\" }}");
        let (shard, invite) = inward(shard_with(carrier, &asserts), &(line(&shaken()) + lines));
        (identities(&invite).len(), is_lost(&shard))
    };
    assert_eq!(with(&trusted, &format!("{PAI}Privacy: id\n")), (1, false));
    assert_eq!(
        with(PASS, "Privacy: id\n"),
        (1, false),
        "From shows the number"
    );
    // The asserted number is still there for a trusted peer.
    assert_eq!(
        with(&trusted, &format!("{PAI}Privacy: user;id\n")),
        (1, false)
    );
    // It would say whom From hides.
    assert_eq!(with(PASS, "Privacy: user\n"), (0, true));
    assert_eq!(with(&trusted, "Privacy: user\n"), (0, true));
}

#[test]
fn endless_signatures_are_not_passed() {
    let many = line(&shaken()).repeat(9);
    let (_, invite) = inward(shard_with(PASS, PASS), &many);
    assert!(identities(&invite).is_empty());
}
