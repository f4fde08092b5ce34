//! Targets of a transfer that send us elsewhere, by hand: they are followed as called parties are.

use crate::transfer::referred_by;
use crate::world;

use sbc_core::record::TransferOutcome;
use sbc_core::sip::{HeaderName, Message, Method};
use world::call::{Call, header};
use world::*;

/// A call that its carrier has asked to transfer, under this configuration: our INVITE to the target at Teams.
fn referred(config: &str) -> (Call, Message) {
    let refer = "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
    referred_by(Call::with(config), refer)
}

/// Whoever was called last says this to us, of its side.
fn says(call: &mut Call, invite: &Message, status: &str, lines: &str, sdp: &str) {
    let text = response(invite, status, "z1", lines, sdp);
    match header(invite, HeaderName::Via).contains("TLS") {
        true => call.shard.teams_says(&text),
        false => call.shard.carrier_says(&text),
    }
    call.shard.next_request(Method::Ack);
}

fn redirects(call: &mut Call, invite: &Message, numbers: &[&str]) {
    let contacts = numbers
        .iter()
        .map(|number| format!("<sip:{number}@example.com>"));
    let contacts = contacts.collect::<Vec<_>>().join(", ");
    let lines = format!("Contact: {contacts}\n");
    says(call, invite, "302 Moved Temporarily", &lines, "");
}

fn onward(call: &mut Call) -> (String, Message) {
    let invite = call.shard.next_request(Method::Invite).message;
    let uri = String::from_utf8_lossy(&invite.request_uri()).into_owned();
    (uri, invite)
}

/// The transferor hears how it ended, and nothing else is said.
fn ended(call: &mut Call, status: &str) {
    let notify = call.shard.next_request(Method::Notify).message;
    assert_eq!(notify.body(), format!("SIP/2.0 {status}\r\n"));
    call.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
}

/// The record of the call, once the transferee has hung up.
fn record(mut call: Call) -> sbc_core::record::Record {
    call.teams_says("BYE", 1, "");
    call.shard.pass(std::time::Duration::from_secs(120));
    call.shard.records.remove(0)
}

const AT_CARRIER: &str = "sip:+498999998777@198.51.100.20";

#[test]
fn a_target_that_has_moved_is_followed_and_takes_its_place() {
    let (mut call, invite) = referred(CONFIG);
    redirects(&mut call, &invite, &["+498999998777"]);
    let (uri, moved) = onward(&mut call);
    assert_eq!(uri, AT_CARRIER);
    says(&mut call, &moved, "200 OK", CARRIER_CONTACT, CARRIER_SDP);
    ended(&mut call, "200 OK");
    let record = record(call);
    let transfer = &record.transfers[0];
    assert_eq!(transfer.outcome, TransferOutcome::Completed);
    let because = transfer.because.0.join("; ");
    assert!(because.contains("redirects to +498999998777"), "{because}");
    let called: Vec<_> = record.egress.iter().map(|own| own.status).collect();
    assert_eq!(called, [Some(200), Some(302), Some(200)]);
}

#[test]
fn a_target_leads_only_where_its_trunk_may_call_and_only_if_that_follows() {
    let fails = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nredirect = \"fail\"",
    );
    let passes = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nredirect = \"pass\"",
    );
    let listed = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nredirect_to = [\"+4930\"]",
    );
    for config in [&fails, &passes, &listed] {
        let (mut call, invite) = referred(config);
        redirects(&mut call, &invite, &["+498999998777"]);
        ended(&mut call, "302 Moved Temporarily");
        call.lives();
    }
}

#[test]
fn the_next_target_is_called_when_one_refuses_unless_it_speaks_for_all() {
    for (status, goes_on) in [("486 Busy Here", true), ("603 Decline", false)] {
        let (mut call, invite) = referred(CONFIG);
        redirects(&mut call, &invite, &["+498999998777", "+498999998778"]);
        let (uri, first) = onward(&mut call);
        assert_eq!(uri, AT_CARRIER);
        says(&mut call, &first, status, "", "");
        if !goes_on {
            ended(&mut call, status);
            call.lives();
            continue;
        }
        let (uri, second) = onward(&mut call);
        assert_eq!(uri, "sip:+498999998778@198.51.100.20");
        says(&mut call, &second, status, "", "");
        ended(&mut call, status);
        call.lives();
    }
}

#[test]
fn a_chain_of_targets_ends_after_five_and_none_is_called_twice() {
    let (mut call, mut invite) = referred(CONFIG);
    for level in 0..5 {
        // From Teams to the carrier, and back.
        let number = match level % 2 {
            0 => format!("+49899999870{level}"),
            _ => format!("+49302312510{level}"),
        };
        redirects(&mut call, &invite, &[&number]);
        let (uri, next) = onward(&mut call);
        assert!(uri.contains(&number), "{uri}");
        invite = next;
    }
    redirects(&mut call, &invite, &["+493023125777"]);
    ended(&mut call, "302 Moved Temporarily");
    call.lives();
    let (mut call, invite) = referred(CONFIG);
    redirects(&mut call, &invite, &["+498999998777"]);
    let (_, next) = onward(&mut call);
    // Where it comes from.
    redirects(&mut call, &next, &["+493023125999"]);
    ended(&mut call, "302 Moved Temporarily");
    call.lives();
}

/// SIP-900: whoever is called by a redirection hears who has sent the call on.
#[test]
fn who_diverts_is_the_target_and_not_who_was_called_before() {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let config = CONFIG.replace(
        codecs,
        &format!("{codecs}\nidentity = {{ diversion = \"both\" }}"),
    );
    let (mut call, invite) = referred(&config);
    redirects(&mut call, &invite, &["+498999998777"]);
    let (_, moved) = onward(&mut call);
    let diversion = header(&moved, HeaderName::Diversion);
    assert!(diversion.contains("+493023125999"), "{diversion}");
    assert_eq!(diversion.matches('<').count(), 1, "{diversion}");
}

/// SIP-1400.
#[test]
fn a_target_that_leads_to_help_is_waited_for_as_long_as_a_call_for_help() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let help = "[[route]]\nname = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier-a\" }]\n";
    let config = CONFIG.replace(numbers, &format!("{numbers}\nemergency = [\"112\"]")) + help;
    let (mut call, invite) = referred(&config);
    let contact = "Contact: <sip:112@sip.pstnhub.microsoft.com:5061;user=phone>\n";
    says(&mut call, &invite, "302 Moved Temporarily", contact, "");
    let (uri, onward) = onward(&mut call);
    assert!(uri.starts_with("sip:112@198.51.100."), "{uri}");
    let rings = response(&onward, "180 Ringing", "z2", CARRIER_CONTACT, "");
    call.shard.carrier_says(&rings);
    call.shard.pass(std::time::Duration::from_secs(300));
    let is_given_up = |sent: &Sent| *sent.message.method() == Method::Cancel;
    assert!(!call.shard.sent.iter().any(is_given_up));
}
