//! Why a call ended, told from one side to the other; and requests that we do not serve.

use crate::world;

use sbc_core::id::CommandId;
use sbc_core::input::{Command, Input};
use sbc_core::sip::{HeaderName, Method};
use world::call::{Call, header};
use world::*;

/// The Reason of our BYE to the carrier for a BYE of Teams with these lines.
fn crossed(lines: &str) -> Vec<String> {
    let mut call = Call::new();
    call.teams_says("BYE", 2, lines);
    let sent: Vec<Sent> = call.shard.sent.drain(..).collect();
    let bye = sent
        .iter()
        .find(|sent| sent.message.is_request())
        .expect("a BYE");
    assert_eq!(*bye.message.method(), Method::Bye);
    let values = bye.message.raw_all(HeaderName::Reason);
    values
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect()
}

#[test]
fn the_reason_of_a_bye_crosses_without_its_text() {
    assert_eq!(
        crossed("Reason: Q.850;cause=31;text=\"0b2f;machine-7\"\n"),
        ["Q.850;cause=31"]
    );
    assert_eq!(crossed(""), ["Q.850;cause=16"], "a normal end says so");
    let several = "Reason: SIP;cause=200;text=\"x\", Q.850;cause=26, Q.850;cause=17\n";
    assert_eq!(
        crossed(several),
        ["Q.850;cause=26, SIP;cause=200;text=\"Call completed elsewhere\""]
    );
}

/// The example of RFC 3326 §2 is `cause=600`.
#[test]
fn the_status_that_a_cancel_gives_as_its_reason_survives_it() {
    let busy = "SIP ;cause=600 ;text=\"Busy Everywhere at pbx7\"";
    for (said, told) in [
        (busy, Some("SIP;cause=600")),
        ("SIP;cause=486", Some("SIP;cause=486")),
        ("SIP;cause=700", None),
        ("SIP;cause=180", None),
    ] {
        let (mut shard, invite) = called_out("reason");
        let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
        shard.teams_says(&ringing);
        shard.next_response(180);
        let reason = format!("Reason: {said}\nMax-Forwards");
        shard.carrier_says(&carrier_cancel("reason").replace("Max-Forwards", &reason));
        let is_cancel =
            |sent: &&Sent| *sent.message.method() == Method::Cancel && sent.message.is_request();
        let cancel = shard.sent.iter().find(is_cancel).expect("a CANCEL");
        let values = cancel.message.raw_all(HeaderName::Reason);
        let values: Vec<String> = values
            .map(|own| String::from_utf8_lossy(&own).into_owned())
            .collect();
        let crossed = values
            .iter()
            .flat_map(|own| own.split(", "))
            .find(|own| own.starts_with("SIP"));
        assert_eq!(crossed, told, "{values:?}");
    }
}

#[test]
fn that_a_call_was_answered_elsewhere_survives_a_cancel() {
    let (mut shard, invite) = called_out("elsewhere");
    let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    shard.next_response(180);
    let reason = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\nMax-Forwards";
    shard.carrier_says(&carrier_cancel("elsewhere").replace("Max-Forwards", reason));
    let sent: Vec<Sent> = shard.sent.drain(..).collect();
    let cancel = sent
        .iter()
        .find(|sent| sent.message.is_request())
        .expect("a CANCEL");
    assert_eq!(*cancel.message.method(), Method::Cancel);
    let told = cancel.message.raw(HeaderName::Reason).expect("a reason");
    let told = String::from_utf8_lossy(&told).into_owned();
    // As Teams documents it, and nothing before it (TDR-SIP-022).
    assert_eq!(told, "SIP;cause=200;text=\"Call completed elsewhere\"");
}

/// A request outside any dialog.
fn outside(call_id: &str, method: &str, lines: &str) -> String {
    carrier_invite(call_id, "")
        .replace("INVITE sip", &format!("{method} sip"))
        .replace("10 INVITE", &format!("10 {method}"))
        .replacen("Max-Forwards", &format!("{lines}Max-Forwards"), 1)
}

#[test]
fn requests_that_we_do_not_serve_say_what_we_do() {
    let mut shard = Shard::new();
    for event in ["refer", "kpml", "presence", "message-summary"] {
        shard.carrier_says(&outside(event, "SUBSCRIBE", &format!("Event: {event}\n")));
        let told = shard.next_response(489).message;
        assert_eq!(told.raw(HeaderName::AllowEvents).expect("events"), "refer");
    }
    for method in ["MESSAGE", "PUBLISH", "REGISTER", "INFO"] {
        shard.carrier_says(&outside(method, method, ""));
        let told = shard.next_response(405).message;
        assert!(told.has(HeaderName::Allow), "{method}");
    }
    // We place no calls on behalf of others.
    shard.carrier_says(&outside("refer", "REFER", "Refer-To: <sip:x@h.example>\n"));
    shard.next_response(603);
    shard.settles();
}

#[test]
fn a_subscription_within_a_call_is_refused_and_the_call_lives() {
    let mut call = Call::new();
    call.says("SUBSCRIBE", "Event: kpml\n", "");
    let told = call.refused(489);
    assert_eq!(told.raw(HeaderName::AllowEvents).expect("events"), "refer");
    call.lives();
}

#[test]
fn options_while_draining_send_peers_elsewhere() {
    let mut shard = Shard::new();
    shard.carrier_says(&outside("first", "OPTIONS", ""));
    let ok = shard.next_response(200).message;
    assert_eq!(
        header(&ok, HeaderName::Supported),
        "timer, 100rel, norefersub, tdialog, replaces"
    );
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    let again = outside("again", "OPTIONS", "");
    shard.carrier_says(&again);
    shard.next_response(503);
}

#[test]
fn a_call_that_an_operator_ends_is_no_user_that_hangs_up() {
    let mut call = Call::new();
    call.shard.sent.clear();
    call.shard
        .apply(Input::Command(CommandId(1), Command::HangUpAll));
    let byes: Vec<&Sent> = call
        .shard
        .sent
        .iter()
        .filter(|sent| sent.message.is_request() && *sent.message.method() == Method::Bye)
        .collect();
    assert_eq!(byes.len(), 2);
    for bye in byes {
        assert_eq!(header(&bye.message, HeaderName::Reason), "Q.850;cause=31");
    }
}

/// What a caller's refusal says of our cause, where its trunk has these keys.
fn told_cause(keys: &str, refuse: impl FnOnce(&mut Shard, &Sent)) -> Option<String> {
    let name = "name = \"carrier-a\"\n";
    let config = CONFIG.replacen(name, &format!("{name}{keys}"), 1);
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("cause", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    refuse(&mut shard, &invite);
    let is_refusal = |sent: &&Sent| sent.message.status().is_some_and(|s| s.code() >= 400);
    let refusal = shard.sent.iter().find(is_refusal).expect("a refusal");
    let name = HeaderName::parse("X-SBC-Cause").unwrap();
    let value = refusal.message.raw(&name)?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

/// The same of a call that is refused before it is one.
fn told_cause_at_once(
    keys: &str,
    prepare: impl FnOnce(&mut Shard),
    invite: &str,
) -> Option<String> {
    let name = "name = \"carrier-a\"\n";
    let config = CONFIG.replacen(name, &format!("{name}{keys}"), 1);
    let mut shard = Shard::with(config_of(&config));
    prepare(&mut shard);
    shard.carrier_says(invite);
    let is_refusal = |sent: &&Sent| sent.message.status().is_some_and(|s| s.code() >= 400);
    let refusal = shard.sent.iter().find(is_refusal).expect("a refusal");
    assert!(shard.records.is_empty(), "there was no call");
    let name = HeaderName::parse("X-SBC-Cause").unwrap();
    let value = refusal.message.raw(&name)?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

#[test]
fn a_trusted_peer_is_told_our_cause_also_where_there_was_no_call_yet() {
    let keys = "trusted = true\ncause_header = true\n";
    let invite = carrier_invite("cause", CARRIER_SDP);
    let without_contact: Vec<&str> = invite
        .lines()
        .filter(|line| !line.starts_with("Contact:"))
        .collect();
    let without_contact = without_contact.join("\n") + "\n";
    let drained = |shard: &mut Shard| {
        shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    };
    let told = |keys| told_cause_at_once(keys, drained, &invite);
    assert_eq!(told(keys).as_deref(), Some("operator"));
    assert_eq!(told("trusted = true\n"), None);
    let bad = told_cause_at_once(keys, |_| {}, &without_contact);
    assert_eq!(bad.as_deref(), Some("bad_request"));
    let unwanted = invite.replacen("\nMax-Forwards", "\nRequire: unheard-of\nMax-Forwards", 1);
    assert_ne!(unwanted, invite);
    let bad = told_cause_at_once(keys, |_| {}, &unwanted);
    assert_eq!(bad.as_deref(), Some("bad_request"));
}

#[test]
fn a_trusted_peer_that_is_to_know_our_cause_is_told_with_every_refusal() {
    let busy = |shard: &mut Shard, invite: &Sent| {
        shard.teams_says(&response(&invite.message, "486 Busy", "x1", "", ""));
    };
    let ends = |shard: &mut Shard, _: &Sent| {
        shard.apply(Input::Command(CommandId(1), Command::HangUpAll));
    };
    let keys = "trusted = true\ncause_header = true\n";
    assert_eq!(told_cause(keys, busy).as_deref(), Some("peer_busy"));
    assert_eq!(told_cause(keys, ends).as_deref(), Some("operator"));
    assert_eq!(told_cause("trusted = true\n", busy), None);
    assert_eq!(told_cause("", ends), None);
}
