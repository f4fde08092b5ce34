//! Contacts of a 3xx that want a dialog replaced (SIP-808, RFC 3891, RFC 3261 §19.1.5).

use crate::world;

use sbc_core::sip::{HeaderName, Message, Method};
use world::*;

const NAMED: &str = "Replaces=other%40h%3Bto-tag%3Da%3Bfrom-tag%3Db";
const REQUIRED: &str = "Require=replaces";
/// The same number at another server of the carrier.
const PLACE: &str = "sip:+498999998001@198.51.100.29:5080";

/// A call of Teams that has reached the carrier, which redirects it; and what the caller or the next place hears.
fn redirected(config: &str, headers: &str) -> (Shard, Option<Message>) {
    let (mut shard, invite) = called_in(config, "in");
    let contact = format!("Contact: <{PLACE}?{headers}>\n");
    let moved = response(&invite.message, "302 Moved", "moved", &contact, "");
    shard.carrier_says(&moved);
    shard.next_request(Method::Ack);
    let next = shard.sent.iter().any(|sent| sent.message.is_request());
    let next = next.then(|| shard.next_request(Method::Invite).message);
    (shard, next)
}

fn values(message: &Message, name: HeaderName) -> Vec<String> {
    let values = message.raw_all(name);
    values
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect()
}

fn refused(mut shard: Shard) -> String {
    shard.next_response(480);
    shard.pass(std::time::Duration::from_secs(40));
    shard.records[0].cause.because.0.join("; ")
}

#[test]
fn a_dialog_of_the_redirecting_peer_is_named_to_it_as_it_has_named_it() {
    for (headers, required) in [
        (NAMED.to_owned(), vec![]),
        (format!("{NAMED}&{REQUIRED}"), vec!["replaces".to_owned()]),
    ] {
        let (_, invite) = redirected(CONFIG, &headers);
        let invite = invite.expect("the new INVITE");
        let named = values(&invite, HeaderName::Replaces);
        assert_eq!(named, ["other@h;to-tag=a;from-tag=b"]);
        assert_eq!(values(&invite, HeaderName::Require), required);
        assert!(!invite.request_uri().contains(&b'?'));
    }
}

#[test]
fn where_the_next_redirection_leads_nobody_has_that_dialog() {
    let (mut shard, invite) = redirected(CONFIG, NAMED);
    let contact = "Contact: <sip:+498999998001@198.51.100.28:5081>\n";
    let invite = invite.expect("the new INVITE");
    shard.carrier_says(&response(&invite, "302 Moved", "again", contact, ""));
    shard.next_request(Method::Ack);
    let invite = shard.next_request(Method::Invite).message;
    assert!(!invite.has(HeaderName::Replaces));
}

#[test]
fn where_it_may_not_be_named_the_place_is_called_without_unless_that_is_not_wanted() {
    let keeps = CONFIG.replace("tenant = \"*\"", "tenant = \"*\"\npass_replaces = false");
    let (_, invite) = redirected(&keeps, NAMED);
    let invite = invite.expect("the new INVITE");
    assert!(!invite.has(HeaderName::Replaces) && !invite.has(HeaderName::Require));
    let (shard, invite) = redirected(&keeps, &format!("{NAMED}&{REQUIRED}"));
    assert!(invite.is_none());
    let because = refused(shard);
    assert!(
        because.contains("does not replace another one"),
        "{because}"
    );
}

#[test]
fn a_dialog_with_us_means_nothing_to_the_place_that_is_called() {
    for (more, goes_on) in [(String::new(), true), (format!("&{REQUIRED}"), false)] {
        for tags in [
            "to-tag%3DOURS%3Bfrom-tag%3Db",
            "to-tag%3Db%3Bfrom-tag%3DOURS",
        ] {
            let (mut shard, invite) = called_in(CONFIG, "in");
            let from = values(&invite.message, HeaderName::From);
            let (_, tag) = from[0].split_once(";tag=").expect("a tag");
            let named = format!("Replaces=c%3B{tags}{more}").replace("OURS", tag);
            let contact = format!("Contact: <{PLACE}?{named}>\n");
            let moved = response(&invite.message, "302 Moved", "moved", &contact, "");
            shard.carrier_says(&moved);
            shard.next_request(Method::Ack);
            if goes_on {
                let invite = shard.next_request(Method::Invite).message;
                assert!(!invite.has(HeaderName::Replaces));
            } else {
                assert!(refused(shard).contains("does not replace another one"));
            }
        }
    }
}

#[test]
fn a_contact_of_which_no_valid_invite_can_be_made_is_not_followed() {
    for headers in [
        format!("{NAMED}&{NAMED}"),
        format!("{NAMED}&Join=c%3Bto-tag%3Da%3Bfrom-tag%3Db"),
        "Replaces=other%40h".to_owned(),
    ] {
        let (shard, invite) = redirected(CONFIG, &headers);
        assert!(invite.is_none(), "{headers}");
        let because = refused(shard);
        assert!(because.contains("no INVITE can be made"), "{because}");
    }
}
