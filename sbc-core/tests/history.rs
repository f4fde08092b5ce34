//! History-Info over several attempts, by hand: every way that was tried, what each of them told, and what
//! the caller is told of all that (SIP-901, RFC 7044). Whole headers, as they are read.

use crate::world;

use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::*;

const KEEPS: &str = "identity = { diversion = \"history-info\" }";
const NUMBER: &str = "+493023125456";

/// Calls of the carrier go to `b`, which has two addresses, then to `c`; all keep such lists.
fn config() -> String {
    let name = "name = \"carrier-a\"";
    let text = CONFIG.replace(name, &format!("{name}\n{KEEPS}")).replace(
        "to = [{ trunk = \"teams-contoso\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"c\" }]",
    );
    let trunk = |name: &str, targets: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\ntenant = \"*\"\nrealm = \"carrier\"\n\
             targets = [{targets}]\ncodecs = [\"PCMA\", \"PCMU\"]\nredirect = \"follow\"\n{KEEPS}\n"
        )
    };
    let b = trunk(
        "b",
        "\"198.51.100.40:5060;udp\", \"198.51.100.41:5060;udp\"",
    );
    let c = trunk("c", "\"198.51.100.50:5060;udp\"");
    // Who redirects may reach what it could call.
    let route =
        "[[route]]\nname = \"onward\"\nmatch = { from_trunk = \"b\" }\nto = [{ trunk = \"c\" }]\n";
    format!("{text}{b}{c}{route}")
}

fn history(message: &Message) -> Vec<String> {
    let lines = message.raw_all(HeaderName::HistoryInfo);
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.collect()
}

/// A call of the carrier with these lines, and our first INVITE.
fn calls(lines: &str) -> (Shard, Sent) {
    let mut shard = Shard::with(config_of(&config()));
    let invite = carrier_invite("been", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
    shard.next_response(100);
    let invite = next_invite(&mut shard);
    (shard, invite)
}

/// The next INVITE; whatever else is sent before it has been seen.
fn next_invite(shard: &mut Shard) -> Sent {
    loop {
        let sent = shard.next();
        if *sent.message.method() == Method::Invite && sent.message.is_request() {
            return sent;
        }
    }
}

fn says(shard: &mut Shard, to: &Sent, status: &str, lines: &str, sdp: &str) {
    let contact = format!("Contact: <sip:gw@{}>\n", to.hop.remote);
    let lines = match lines.contains("Contact") {
        true => lines.to_owned(),
        false => format!("{contact}{lines}"),
    };
    let mut flow = carrier_flow();
    flow.remote = to.hop.remote;
    shard.receive(flow, &response(&to.message, status, "b1", &lines, sdp));
}

/// What the caller hears next with this status.
fn heard(shard: &mut Shard, status: u16) -> Vec<String> {
    loop {
        let sent = shard.next();
        if sent.message.status().map(|own| own.code()) == Some(status) {
            return history(&sent.message);
        }
    }
}

const ASKS: &str = "Supported: histinfo\n";

#[test]
fn every_address_of_a_trunk_is_a_way_of_its_own_and_so_is_the_next_trunk() {
    let (mut shard, first) = calls(ASKS);
    assert_eq!(history(&first.message), [""; 0]);
    says(&mut shard, &first, "503 Busy", "", "");
    let second = next_invite(&mut shard);
    assert_eq!(second.hop.remote.to_string(), "198.51.100.41:5060");
    assert_eq!(
        history(&second.message),
        [
            format!("<sip:{NUMBER}@192.0.2.11>;index=1"),
            format!("<sip:{NUMBER}@192.0.2.11?Reason=SIP%3Bcause%3D503>;index=1.1;np=1"),
            format!("<sip:{NUMBER}@192.0.2.11>;index=1.2;np=1"),
        ]
    );
    // Nobody answers there.
    shard.pass(Duration::from_secs(4));
    shard
        .sent
        .retain(|sent| sent.hop.remote != second.hop.remote);
    let third = next_invite(&mut shard);
    assert_eq!(third.hop.remote.to_string(), "198.51.100.50:5060");
    let all = [
        format!("<sip:{NUMBER}@192.0.2.11>;index=1"),
        format!("<sip:{NUMBER}@192.0.2.11?Reason=SIP%3Bcause%3D503>;index=1.1;np=1"),
        format!("<sip:{NUMBER}@192.0.2.11?Reason=SIP%3Bcause%3D408>;index=1.2;np=1"),
        format!("<sip:{NUMBER}@192.0.2.11>;index=1.3;np=1"),
    ];
    assert_eq!(history(&third.message), all);
    // The caller is told the same, though nobody but us knows it.
    says(&mut shard, &third, "180 Ringing", "", "");
    assert_eq!(heard(&mut shard, 180), all);
    says(&mut shard, &third, "486 Busy", "", "");
    let mut last = all.clone();
    last[3] = format!("<sip:{NUMBER}@192.0.2.11?Reason=SIP%3Bcause%3D486>;index=1.3;np=1");
    let refused = shard.sent.iter().find(|sent| {
        let status = sent.message.status().map(|own| own.code());
        status.is_some_and(|code| code >= 300)
    });
    assert_eq!(history(&refused.expect("a refusal").message), last);
}

#[test]
fn what_several_branches_have_told_is_one_list() {
    let (mut shard, first) = calls(ASKS);
    let forwarded = |number: &str, cause: u16| {
        format!(
            "History-Info: <sip:{NUMBER}@198.51.100.40>;index=1, \
             <sip:{number}@10.0.0.9;cause={cause}>;index=1.1;mp=1\n"
        )
    };
    // Forwarded there, where nobody was well.
    says(
        &mut shard,
        &first,
        "500 Trouble",
        &forwarded("+493023125777", 302),
        "",
    );
    let second = next_invite(&mut shard);
    assert_eq!(second.hop.remote.to_string(), "198.51.100.50:5060");
    let told = "History-Info: <sip:+493023125456@192.0.2.11>;index=1, \
                <sip:+493023125456@192.0.2.11>;index=1.1;np=1, \
                <sip:+493023125456@192.0.2.11>;index=1.2;np=1, \
                <sip:+493023125888@10.0.0.8;cause=486>;index=1.2.1;mp=1.2\n";
    says(&mut shard, &second, "180 Ringing", told, "");
    let all = [
        format!("<sip:{NUMBER}@192.0.2.11>;index=1"),
        format!("<sip:{NUMBER}@192.0.2.11?Reason=SIP%3Bcause%3D500>;index=1.1;np=1"),
        "<sip:+493023125777@192.0.2.11;cause=302>;index=1.1.1;mp=1.1".to_owned(),
        format!("<sip:{NUMBER}@192.0.2.11>;index=1.2;np=1"),
        "<sip:+493023125888@192.0.2.11;cause=486>;index=1.2.1;mp=1.2".to_owned(),
    ];
    assert_eq!(heard(&mut shard, 180), all);
    says(&mut shard, &second, "200 OK", told, CARRIER_SDP);
    assert_eq!(heard(&mut shard, 200), all);
}

/// Forwarded twice before it came to us.
const TWICE: &str = "History-Info: <sip:+493023125111@10.0.0.1>;index=1, \
    <sip:+493023125222@10.0.0.2;cause=408>;index=1.1;mp=1, \
    <sip:+493023125456@192.0.2.11;cause=486>;index=1.1.1;mp=1.1\n";

#[test]
fn a_call_that_was_forwarded_three_times_is_told_whole_in_both_directions() {
    let (mut shard, first) = calls(TWICE);
    assert_eq!(
        history(&first.message),
        [
            "<sip:+493023125111@192.0.2.11>;index=1",
            "<sip:+493023125222@192.0.2.11;cause=408>;index=1.1;mp=1",
            "<sip:+493023125456@192.0.2.11;cause=486>;index=1.1.1;mp=1.1",
            "<sip:+493023125456@192.0.2.11>;index=1.1.1.1;np=1.1.1",
        ]
    );
    // Who is asked forwards it itself, and says so in the list that it was sent.
    let told = "History-Info: <sip:+493023125111@192.0.2.11>;index=1, \
        <sip:+493023125222@192.0.2.11;cause=408>;index=1.1;mp=1, \
        <sip:+493023125456@192.0.2.11;cause=486>;index=1.1.1;mp=1.1, \
        <sip:+493023125456@198.51.100.40>;index=1.1.1.1;np=1.1.1, \
        <sip:+493023125333@10.0.0.3;cause=302>;index=1.1.1.1.1;mp=1.1.1.1\n";
    says(&mut shard, &first, "181 Forwarded", told, "");
    assert_eq!(
        heard(&mut shard, 181),
        [
            "<sip:+493023125111@192.0.2.11>;index=1",
            "<sip:+493023125222@192.0.2.11;cause=408>;index=1.1;mp=1",
            "<sip:+493023125456@192.0.2.11;cause=486>;index=1.1.1;mp=1.1",
            "<sip:+493023125456@192.0.2.11>;index=1.1.1.1;np=1.1.1",
            "<sip:+493023125333@192.0.2.11;cause=302>;index=1.1.1.1.1;mp=1.1.1.1",
        ]
    );
}

#[test]
fn a_third_forwarding_that_we_follow_is_told_whole_too() {
    let (mut shard, first) = calls(TWICE);
    let to = "Contact: <sip:+493023125333@198.51.100.40;cause=302>\n";
    says(&mut shard, &first, "302 Moved", to, "");
    let second = next_invite(&mut shard);
    let all = [
        "<sip:+493023125111@192.0.2.11>;index=1",
        "<sip:+493023125222@192.0.2.11;cause=408>;index=1.1;mp=1",
        "<sip:+493023125456@192.0.2.11;cause=486?Reason=SIP%3Bcause%3D302>;index=1.1.1;mp=1.1",
        "<sip:+493023125333@192.0.2.11;cause=302>;index=1.1.2;mp=1.1.1",
    ];
    assert_eq!(history(&second.message), all);
    says(&mut shard, &second, "180 Ringing", "", "");
    assert_eq!(heard(&mut shard, 180), all);
}

/// RFC 7044 §10.4: a branch is another way to the same target.
#[test]
fn a_way_to_one_target_that_failed_is_none_to_the_next() {
    let (mut shard, first) = calls(ASKS);
    let to =
        "Contact: <sip:+493023125331@198.51.100.40>, <sip:+493023125332@198.51.100.40>;q=0.5\n";
    says(&mut shard, &first, "300 Multiple Choices", to, "");
    let one = next_invite(&mut shard);
    let told = history(&one.message);
    assert!(told.last().is_some_and(|last| last.contains("125331")));
    // The way fails, not the target: what follows follows as another way would.
    says(&mut shard, &one, "503 Busy", "", "");
    let two = next_invite(&mut shard);
    let other: Vec<String> = told
        .iter()
        .map(|line| line.replace("125331", "125332"))
        .collect();
    assert_eq!(history(&two.message), other);
}

#[test]
fn who_does_not_ask_is_told_nothing_of_all_that() {
    let (mut shard, first) = calls("");
    says(&mut shard, &first, "503 Busy", "", "");
    let second = next_invite(&mut shard);
    says(&mut shard, &second, "180 Ringing", TWICE, "");
    assert_eq!(heard(&mut shard, 180), [""; 0]);
    says(&mut shard, &second, "486 Busy", TWICE, "");
    let refused = shard
        .sent
        .iter()
        .find(|sent| sent.message.status().is_some());
    assert_eq!(history(&refused.expect("a refusal").message), [""; 0]);
}

#[test]
fn of_a_story_that_is_too_long_the_end_is_kept() {
    let entry = |n: usize| format!("<sip:+4930{n:04}@192.0.2.99>;index=1.{n}");
    let all: Vec<String> = (1..=40).map(entry).collect();
    let (_, invite) = calls(&format!("History-Info: {}\n", all.join(", ")));
    let told = history(&invite.message);
    assert!(
        told.iter().any(|own| own.contains("+49300040@")),
        "{told:?}"
    );
    assert!(
        !told.iter().any(|own| own.contains("+49300001@")),
        "{told:?}"
    );
}
