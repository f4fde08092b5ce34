//! Attended transfer by hand: the two calls of a transferor are joined, on one shard and across two.

use crate::{crossing, world};

use media_api::Command as MediaCommand;
use sbc_core::demux::shard_of_message;
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Limits, Message, Method};
use std::time::Duration;
use world::call::*;
use world::two::two_carriers;
use world::*;

/// A call of the carrier that Teams has answered: our INVITE to Teams, and our 200 to the carrier.
struct Up {
    invite: Message,
    ok: Message,
}

fn up(shard: &mut Shard, call_id: &str, tag: &str) -> Up {
    shard.carrier_says(&carrier_invite(call_id, CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", tag, TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack{call_id}")));
    assert!(shard.sent.is_empty());
    Up { invite, ok }
}

/// Refer-To with the dialog that the carrier has with us in its other call.
fn refer_to(other: &Up, turned: bool) -> String {
    let to = header(&other.ok, HeaderName::To);
    let ours = to.split(";tag=").nth(1).expect("a tag");
    let (to_tag, from_tag) = if turned { ("c1", ours) } else { (ours, "c1") };
    let id = header(&other.ok, HeaderName::CallId);
    format!(
        "Refer-To: <sip:+88216123456@192.0.2.11?Replaces={id}%3Bto-tag%3D{to_tag}%3bfrom-tag%3d{from_tag}>\n"
    )
}

fn refer(call: &Up, lines: &str) -> String {
    let bare = in_dialog(&call.ok, "REFER", 11, &format!("{VIA}refer"));
    bare.replace(
        "Content-Length: 0\n\n",
        &format!("{lines}Content-Length: 0\n\n"),
    )
}

fn ok(shard: &mut Shard, request: &Message) {
    let ok = response(request, "200 OK", "", "", "");
    match header(request, HeaderName::Via).contains("TLS") {
        true => shard.teams_says(&ok),
        false => shard.carrier_says(&ok),
    }
}

fn notified(shard: &mut Shard, fragment: &str) {
    let notify = shard.next_request(Method::Notify).message;
    assert_eq!(notify.body(), format!("SIP/2.0 {fragment}\r\n"));
    ok(shard, &notify);
}

/// The transferor asks to have the parties of its two calls joined, and hears that it is tried.
fn accepted(shard: &mut Shard, first: &Up, second: &Up) {
    shard.carrier_says(&refer(first, &refer_to(second, false)));
    shard.next_response(202);
    notified(shard, "100 Trying");
}

/// The BYE that must be next, to the party of a call.
fn bye_in(shard: &mut Shard, call: &Up) -> Message {
    let bye = shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&call.invite, HeaderName::CallId)
    );
    bye
}

/// How many parties the relay is told to hear at their old ports and in the call that they join.
fn passed_on(shard: &Shard) -> usize {
    let left = shard.media.iter().filter_map(|command| match command {
        MediaCommand::HandOver {
            session,
            endpoint,
            to,
        } => Some(((*session, *endpoint), *to)),
        _ => None,
    });
    let follows = |party, joined| {
        let mut commands = shard.media.iter();
        commands.any(|command| {
            matches!(command, MediaCommand::Follow { session, of, .. }
                if *of == party && *session == joined)
        })
    };
    left.filter(|(party, to)| party.0 != *to && follows(*party, *to))
        .count()
}

/// The first command of this kind to the relay.
fn at(shard: &Shard, is_it: impl Fn(&MediaCommand) -> bool) -> Option<usize> {
    shard.media.iter().position(is_it)
}

/// Takes the re-INVITE to a party of Teams and answers it.
fn reinvited(shard: &mut Shard, first: &Message) -> Message {
    let again = shard.next_request(Method::Invite).message;
    assert_eq!(
        header(&again, HeaderName::CallId),
        header(first, HeaderName::CallId)
    );
    shard.teams_says(&response(&again, "200 OK", "", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    again
}

#[test]
fn the_two_calls_of_a_transferor_become_one() {
    for turned in [false, true] {
        let mut shard = Shard::new();
        let first = up(&mut shard, "first", "y1");
        let second = up(&mut shard, "second", "z1");
        shard.carrier_says(&refer(&first, &refer_to(&second, turned)));
        shard.next_response(202);
        notified(&mut shard, "100 Trying");
        // What the party sends to its old port from now on goes to the call that it joins.
        assert_eq!(passed_on(&shard), 1);
        let hands_over = |command: &MediaCommand| matches!(command, MediaCommand::HandOver { .. });
        let ends = |command: &MediaCommand| {
            matches!(command, MediaCommand::Release { endpoint: None, .. })
        };
        assert!(at(&shard, hands_over) < at(&shard, ends));
        // The other call ends for the transferor, and its party is offered our new port.
        let bye = shard.next_request(Method::Bye).message;
        assert_eq!(header(&bye, HeaderName::CallId), "second");
        ok(&mut shard, &bye);
        let again = reinvited(&mut shard, &second.invite);
        let version = |message: &Message| {
            let body = String::from_utf8_lossy(&message.body()).into_owned();
            body.lines().nth(1).expect("o=").to_owned()
        };
        let (before, after) = (version(&second.invite), version(&again));
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            words(&before)[1],
            words(&after)[1],
            "one session for the party"
        );
        assert_ne!(before, after);
        notified(&mut shard, "200 OK");
        let ended = &shard.records[0];
        assert_eq!(ended.transfers[0].kind, TransferKind::Attended);
        assert_eq!(ended.cause.code.as_str(), "normal_clearing");

        // The transferor leaves its first call too.
        shard.carrier_says(&in_dialog(&first.ok, "BYE", 12, &format!("{VIA}bye")));
        shard.next_response(200);
        assert!(shard.sent.is_empty() && shard.records.len() == 1);
        // The two parties talk: the end of one is the end of the other.
        shard.teams_says(&callee_request(&second.invite, "z1", "BYE", 1, ""));
        shard.next_response(200);
        let bye = bye_in(&mut shard, &first);
        ok(&mut shard, &bye);
        let transfer = &shard.records[1].transfers[0];
        assert_eq!(
            (transfer.kind, transfer.outcome),
            (TransferKind::Attended, TransferOutcome::Completed)
        );
        shard.settles();
    }
}

/// Silence would tell its sender that the call is over (RFC 3261 §12.2.1.2).
#[test]
fn what_a_party_said_to_who_leaves_is_answered_before_it_goes_on_elsewhere() {
    let mut shard = Shard::with(crossing::config(crossing::BY_INFO));
    let first = up(&mut shard, "first", "y1");
    let second = up(&mut shard, "second", "z1");
    let bare = callee_request(&second.invite, "z1", "INFO", 1, crossing::RELAY);
    let info = bare.replace(
        "Content-Length: 0\n\n",
        &format!(
            "Content-Length: {}\n\n{}",
            crossing::FIVE.len() + 2,
            crossing::FIVE
        ),
    );
    shard.teams_says(&info);
    shard.next_request(Method::Info);
    shard.carrier_says(&refer(&first, &refer_to(&second, false)));
    let mut answers = shard.sent.iter().filter_map(|sent| {
        let is_info = header(&sent.message, HeaderName::CSeq) == "1 INFO";
        is_info.then(|| sent.message.status().map(|status| status.code()))
    });
    assert_eq!(answers.next(), Some(Some(487)));
    assert_eq!(passed_on(&shard), 1);
}

#[test]
fn a_dialog_that_is_not_ours_ends_nothing() {
    let mut shard = Shard::new();
    let first = up(&mut shard, "first", "y1");
    let lines =
        "Refer-To: <sip:+88216123456@192.0.2.11?Replaces=other%3Bto-tag%3Da%3Bfrom-tag%3Db>\n";
    shard.carrier_says(&refer(&first, lines));
    shard.next_response(202);
    notified(&mut shard, "100 Trying");
    notified(&mut shard, "481 Call/Transaction Does Not Exist");
    assert!(shard.sent.is_empty() && shard.records.is_empty());
}

#[test]
fn a_dialog_that_only_the_target_can_know_is_named_to_it() {
    for may in [true, false] {
        named_to_its_target(may);
    }
}

fn named_to_its_target(may: bool) {
    let key = format!("tenant = \"contoso\"\npass_replaces = {may}");
    let config = CONFIG.replace("tenant = \"*\"", &key);
    let route = r#"
[[route]]
name = "abroad"
match = { called = "^\\+882", from_trunk = "carrier-a" }
to = [{ trunk = "carrier-a" }]
"#;
    let mut shard = Shard::with(config_of(&format!("{config}{route}")));
    let first = up(&mut shard, "first", "y1");
    let lines = "Refer-To: <sip:+88216123456@192.0.2.11?Replaces=other%3Bto-tag%3Da%3Bfrom-tag%3Db\
                 &Require=replaces>\n";
    shard.carrier_says(&refer(&first, lines));
    shard.next_response(202);
    notified(&mut shard, "100 Trying");
    if !may {
        return notified(&mut shard, "481 Call/Transaction Does Not Exist");
    }
    let invite = shard.next_request(Method::Invite).message;
    let uri = String::from_utf8_lossy(&invite.request_uri()).into_owned();
    assert!(uri.starts_with("sip:+88216123456@198.51.100.20"), "{uri}");
    assert_eq!(
        header(&invite, HeaderName::Replaces),
        "other;to-tag=a;from-tag=b"
    );
    assert_eq!(header(&invite, HeaderName::Require), "replaces");
}

#[test]
fn a_party_that_refuses_our_media_is_sent_away_and_the_old_conversation_goes_on() {
    let mut shard = Shard::new();
    let first = up(&mut shard, "first", "y1");
    let second = up(&mut shard, "second", "z1");
    accepted(&mut shard, &first, &second);
    let bye = shard.next_request(Method::Bye).message;
    ok(&mut shard, &bye);
    let again = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&again, "488 Not Acceptable Here", "", "", ""));
    shard.next_request(Method::Ack);
    let bye = bye_in(&mut shard, &second);
    ok(&mut shard, &bye);
    notified(&mut shard, "488 Not Acceptable Here");
    assert_eq!(shard.records.len(), 1);
    assert!(shard.sent.is_empty());
}

#[test]
fn a_party_that_is_handed_over_is_not_counted_twice() {
    let name = "name = \"teams-contoso\"";
    for limits in ["calls = 2", "calls = 2, cps = 1, burst = 2"] {
        let config = CONFIG.replacen(name, &format!("{name}\nlimits = {{ {limits} }}"), 1);
        let mut shard = Shard::with(config_of(&config));
        let first = up(&mut shard, "first", "y1");
        let second = up(&mut shard, "second", "z1");
        accepted(&mut shard, &first, &second);
        // The transferor's own leg is still there when its party moves.
        let bye = shard.next_request(Method::Bye).message;
        assert_eq!(header(&bye, HeaderName::CallId), "second");
        reinvited(&mut shard, &second.invite);
        notified(&mut shard, "200 OK");
        ok(&mut shard, &bye);
        assert!(shard.sent.is_empty());
    }
}

#[test]
fn a_party_that_is_handed_over_costs_on_whoever_it_talks_to() {
    let name = "name = \"teams-contoso\"";
    let limits = "out = { spend_per_hour = \"2.5\", spend_action = \"alert\" }";
    let config = CONFIG.replacen(name, &format!("{name}\nlimits = {{ {limits} }}"), 1);
    let rate = "[[rate]]\nprefix = \"+4930\"\nper_minute = 0.5\nper_call = 0.25\n";
    let mut shard = Shard::with(config_of(&format!("{config}{rate}")));
    let first = up(&mut shard, "first", "y1");
    let second = up(&mut shard, "second", "z1");
    shard.carrier_says(&refer(&first, &refer_to(&second, false)));
    shard.next_response(202);
    notified(&mut shard, "100 Trying");
    let bye = shard.next_request(Method::Bye).message;
    reinvited(&mut shard, &second.invite);
    notified(&mut shard, "200 OK");
    ok(&mut shard, &bye);
    // Two legs of Teams go on, for which two calls were paid: no third one.
    let spent = |shard: &Shard| {
        let spent = shard.happened.iter().filter_map(|what| match what {
            Happened::SpendReached(spent) => Some(spent.to_string()),
            _ => None,
        });
        spent.collect::<Vec<_>>()
    };
    shard.pass(Duration::from_secs(119));
    assert!(spent(&shard).is_empty(), "{:?}", spent(&shard));
    shard.pass(Duration::from_secs(31));
    let told = spent(&shard);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("outbound has spent 2.") && told[0].ends_with("of its 2.50 per hour"));
}

/// Two shards and the letters between them.
struct Pair([Shard; 2]);

impl Pair {
    fn new() -> Self {
        Self([0, 1].map(|n| Shard::one_of(config(), ShardId(n), 2)))
    }

    /// Both with a call each.
    fn up() -> (Self, Up, Up) {
        let mut pair = Self::new();
        let first = up(&mut pair.0[0], "first", "y1");
        let second = up(&mut pair.0[1], "second", "z1");
        (pair, first, second)
    }

    /// Carries every letter to where it goes.
    fn post(&mut self) {
        for _ in 0..20 {
            for n in 0..2 {
                while let Some((to, letter)) = self.0[n].letters.pop_front() {
                    self.0[usize::from(to.0)].apply(Input::Letter(letter));
                }
            }
        }
    }
}

#[test]
fn calls_of_two_shards_are_joined_and_what_still_comes_to_the_old_one_is_passed_on() {
    let (mut pair, first, second) = Pair::up();
    accepted(&mut pair.0[0], &first, &second);
    assert!(pair.0[0].sent.is_empty());
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "second");
    ok(&mut pair.0[1], &bye);
    reinvited(&mut pair.0[0], &second.invite);
    notified(&mut pair.0[0], "200 OK");
    // Each shard tells the relay its half, by the same names.
    let commands = std::mem::take(&mut pair.0[1].media);
    pair.0[0].media.extend(commands);
    assert_eq!(passed_on(&pair.0[0]), 1);

    // What the party says names the old shard in our tag.
    pair.0[1].teams_says(&callee_request(&second.invite, "z1", "OPTIONS", 1, ""));
    assert!(pair.0[1].sent.is_empty());
    pair.post();
    pair.0[0].next_response(200);
    pair.0[1].teams_says(&callee_request(&second.invite, "z1", "BYE", 2, ""));
    pair.post();
    pair.0[0].next_response(200);
    // The transferor is still there, and is sent away as well.
    let bye = pair.0[0].next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "first");
    ok(&mut pair.0[0], &bye);
    let bye = bye_in(&mut pair.0[0], &first);
    ok(&mut pair.0[0], &bye);
    pair.post();
    // The old shard knows what the dialog was called.
    for (n, (tag, status)) in [("z2", 481), ("z1", 603)].into_iter().enumerate() {
        let late = replacing(&second, tag).replace("newcomer", &format!("late{n}"));
        pair.0[1].teams_says(&late);
        pair.0[1].next_response(status);
    }
    for shard in &mut pair.0 {
        assert_eq!(shard.records.len(), 1);
        shard.settles();
    }
}

/// An INVITE of Teams in the place of the party of a call that it has answered with this tag.
fn replacing(call: &Up, tag: &str) -> String {
    let from = header(&call.invite, HeaderName::From);
    let ours = from.split(";tag=").nth(1).expect("a tag");
    let id = header(&call.invite, HeaderName::CallId);
    let plain = teams_invite("newcomer");
    let (head, _) = plain.split_once("Content-Type").expect("a body");
    let line = format!("Replaces: {id};to-tag={ours};from-tag={tag}\n");
    with_body(&format!("{head}{line}"), TEAMS_SDP)
}

#[test]
fn who_takes_the_place_of_a_party_finds_it_where_it_is_now() {
    for cancels in [false, true] {
        let (mut pair, first, second) = Pair::up();
        accepted(&mut pair.0[0], &first, &second);
        pair.post();
        let bye = pair.0[1].next_request(Method::Bye).message;
        ok(&mut pair.0[1], &bye);
        reinvited(&mut pair.0[0], &second.invite);
        notified(&mut pair.0[0], "200 OK");
        pair.post();
        // Our tag in the dialog names the shard that it has left.
        let invite = replacing(&second, "z1");
        pair.0[0].hold_media = cancels;
        pair.0[1].teams_says(&invite);
        assert!(pair.0[1].sent.is_empty(), "{}", text(&pair.0[1].sent[0]));
        pair.post();
        pair.0[0].next_response(100);
        if cancels {
            let head = invite.split("Replaces").next().expect("a head");
            let cancel = format!("{head}Content-Length: 0\n\n")
                .replace("INVITE sip", "CANCEL sip")
                .replace("1 INVITE", "1 CANCEL");
            let bare = cancel.replace('\n', "\r\n");
            let message = Message::parse(bare.into(), &Limits::default()).expect("a CANCEL");
            let home = usize::from(shard_of_message(&message, 2).0);
            pair.0[home].teams_says(&cancel);
            pair.post();
            pair.0[0].next_response(200);
            pair.0[0].next_response(487);
            continue;
        }
        let answer = pair.0[0].next_response(200).message;
        let bye = bye_in(&mut pair.0[0], &second);
        ok(&mut pair.0[0], &bye);
        let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKn";
        pair.0[0].teams_says(&in_dialog(&answer, "ACK", 1, &format!("{via}1")));
        pair.0[0].teams_says(&in_dialog(&answer, "BYE", 2, &format!("{via}2")));
        pair.0[0].next_response(200);
        pair.post();
        // Repeated it goes where it went, although what it names is over: nobody refuses what was accepted.
        pair.0[1].teams_says(&invite);
        assert!(pair.0[1].sent.is_empty(), "{}", text(&pair.0[1].sent[0]));
    }
}

/// What the second carrier says.
fn other_says(shard: &mut Shard, text: &str) {
    let mut flow = carrier_flow();
    flow.remote = "198.51.100.40:5060".parse().expect("an address");
    let (theirs, ours) = (
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.40:5060",
    );
    shard.receive(flow, &text.replace(theirs, ours));
}

const OTHER: &str = "Contact: <sip:gw@198.51.100.40:5060>\n";

/// A call of the carrier that the second carrier has answered.
fn up_elsewhere(shard: &mut Shard, call_id: &str, tag: &str) -> Up {
    shard.carrier_says(&carrier_invite(call_id, CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    other_says(shard, &response(&invite, "200 OK", tag, OTHER, CARRIER_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack{call_id}")));
    Up { invite, ok }
}

#[test]
fn a_party_that_changed_its_shard_may_transfer_what_it_is_in() {
    let config = two_carriers("", "");
    let mut pair = Pair([0, 1].map(|n| Shard::one_of(config_of(&config), ShardId(n), 2)));
    let first = up_elsewhere(&mut pair.0[0], "first", "y1");
    let second = up_elsewhere(&mut pair.0[1], "second", "z1");
    // The carrier leaves, and z1 is of shard 0 now.
    accepted(&mut pair.0[0], &first, &second);
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    ok(&mut pair.0[1], &bye);
    let again = pair.0[0].next_request(Method::Invite).message;
    let answer = response(&again, "200 OK", "", OTHER, CARRIER_SDP);
    other_says(&mut pair.0[0], &answer);
    pair.0[0].next_request(Method::Ack);
    notified(&mut pair.0[0], "200 OK");
    pair.0[0].carrier_says(&in_dialog(&first.ok, "BYE", 12, &format!("{VIA}bye")));
    pair.0[0].next_response(200);
    pair.post();
    // It is called once more, on the shard that it has left, and lets that caller talk to y1 instead.
    let third = up_elsewhere(&mut pair.0[1], "third", "w1");
    let from = header(&second.invite, HeaderName::From);
    let ours = from.split(";tag=").nth(1).expect("a tag");
    let id = header(&second.invite, HeaderName::CallId);
    let lines = format!(
        "Refer-To: <sip:+493023125999@192.0.2.11?Replaces={id}%3Bto-tag%3D{ours}%3Bfrom-tag%3Dz1>\n{OTHER}"
    );
    let refer = callee_request(&third.invite, "w1", "REFER", 1, &lines);
    other_says(&mut pair.0[1], &refer);
    pair.0[1].next_response(202);
    let notify = pair.0[1].next_request(Method::Notify).message;
    other_says(&mut pair.0[1], &response(&notify, "200 OK", "", "", ""));
    pair.post();
    let bye = bye_in(&mut pair.0[0], &second);
    other_says(&mut pair.0[0], &response(&bye, "200 OK", "", "", ""));
    let again = pair.0[1].next_request(Method::Invite).message;
    assert_eq!(
        header(&again, HeaderName::CallId),
        header(&first.invite, HeaderName::CallId)
    );
    let answer = response(&again, "200 OK", "", OTHER, CARRIER_SDP);
    other_says(&mut pair.0[1], &answer);
    pair.0[1].next_request(Method::Ack);
    let notify = pair.0[1].next_request(Method::Notify).message;
    assert_eq!(notify.body(), "SIP/2.0 200 OK\r\n");
}

#[test]
fn a_refer_from_outside_finds_the_dialog_that_it_names_where_it_is_now() {
    let route = r#"
[[route]]
name = "abroad"
match = { called_in = "tenant:contoso", from_trunk = "b" }
to = [{ trunk = "carrier-a" }]
"#;
    let config = format!("{}{route}", two_carriers("", ""));
    let mut pair = Pair([0, 1].map(|n| Shard::one_of(config_of(&config), ShardId(n), 2)));
    let first = up_elsewhere(&mut pair.0[0], "first", "y1");
    let second = up_elsewhere(&mut pair.0[1], "second", "z1");
    accepted(&mut pair.0[0], &first, &second);
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    ok(&mut pair.0[1], &bye);
    let again = pair.0[0].next_request(Method::Invite).message;
    let answer = response(&again, "200 OK", "", OTHER, CARRIER_SDP);
    other_says(&mut pair.0[0], &answer);
    pair.0[0].next_request(Method::Ack);
    notified(&mut pair.0[0], "200 OK");
    pair.post();
    let from = header(&second.invite, HeaderName::From);
    let ours = from.split(";tag=").nth(1).expect("a tag");
    let id = header(&second.invite, HeaderName::CallId);
    let refer = format!(
        "REFER sip:+493023125456@192.0.2.11:5060 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.40:5060;branch=z9hG4bKoutside;rport
Max-Forwards: 69
From: <sip:+498999998001@198.51.100.40>;tag=r1
To: <sip:+493023125456@192.0.2.11>
Call-ID: outside
CSeq: 1 REFER
Refer-To: <sip:+493023125999@192.0.2.11>
Target-Dialog: {id};local-tag=z1;remote-tag={ours}
{OTHER}Content-Length: 0

"
    );
    other_says(&mut pair.0[1], &refer);
    assert!(pair.0[1].sent.is_empty(), "{}", text(&pair.0[1].sent[0]));
    pair.post();
    pair.0[0].next_response(202);
    pair.0[0].next_request(Method::Notify);
    let invite = pair.0[0].next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), CARRIER);
}

#[test]
fn a_party_that_nobody_wants_any_more_is_sent_away_without_a_name_server() {
    let mut pair = Pair::new();
    let first = up(&mut pair.0[0], "first", "y1");
    // The party of the other call names a host that has to be looked up.
    let shard = &mut pair.0[1];
    shard.carrier_says(&carrier_invite("second", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let contact = "Contact: <sip:phone.example.net:443>\n\
                   Record-Route: <sip:proxy.example.net:5061;transport=tls;lr>\n";
    shard.teams_says(&response(&invite, "200 OK", "z1", contact, TEAMS_SDP));
    let ok_of_second = shard.next_response(200).message;
    let (query, _) = shard.queries.pop_front().expect("a question");
    let address = "203.0.113.1:5061".parse().expect("an address");
    let found = sbc_core::query::Outcome::Resolved(vec![address]);
    shard.apply(Input::Outcome(query, found));
    shard.next_request(Method::Ack);
    shard.carrier_says(&in_dialog(
        &ok_of_second,
        "ACK",
        10,
        &format!("{VIA}acksecond"),
    ));
    let second = Up {
        invite,
        ok: ok_of_second,
    };
    accepted(&mut pair.0[0], &first, &second);
    // The first call ends before the other shard has answered.
    let shard = &mut pair.0[0];
    shard.teams_says(&callee_request(&first.invite, "y1", "BYE", 1, ""));
    shard.next_response(200);
    notified(shard, "487 Request Terminated");
    let bye = shard.next_request(Method::Bye).message;
    ok(shard, &bye);
    assert_eq!(shard.records.len(), 1);
    pair.post();
    bye_in(&mut pair.0[0], &second);
    assert!(pair.0[0].queries.is_empty());
}

#[test]
fn a_shard_that_does_not_answer_is_waited_for_no_longer_than_two_seconds() {
    let (mut pair, first, second) = Pair::up();
    accepted(&mut pair.0[0], &first, &second);
    pair.0[0].pass(Duration::from_millis(2_100));
    notified(&mut pair.0[0], "481 Call/Transaction Does Not Exist");
    // The party that comes too late has nobody to talk to.
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    ok(&mut pair.0[1], &bye);
    bye_in(&mut pair.0[0], &second);
    assert!(pair.0[0].records.is_empty());
}

#[test]
fn a_party_that_comes_too_late_is_not_that_of_the_next_transfer() {
    let (mut pair, first, second) = Pair::up();
    let third = up(&mut pair.0[1], "third", "w1");
    accepted(&mut pair.0[0], &first, &second);
    pair.0[0].pass(Duration::from_millis(2_100));
    notified(&mut pair.0[0], "481 Call/Transaction Does Not Exist");
    // The transferor asks for somebody else, and only then the first answer comes.
    let again = refer(&first, &refer_to(&third, false));
    let again = again.replace("CSeq: 11", "CSeq: 12");
    pair.0[0].carrier_says(&again.replace("branch=z9hG4bKrefer", "branch=z9hG4bKagain"));
    pair.0[0].next_response(202);
    notified(&mut pair.0[0], "100 Trying");
    pair.post();
    for id in ["second", "third"] {
        let bye = pair.0[1].next_request(Method::Bye).message;
        assert_eq!(header(&bye, HeaderName::CallId), id);
        ok(&mut pair.0[1], &bye);
    }
    let of = |message: &Message| header(message, HeaderName::CallId);
    let sent: Vec<_> = pair.0[0].sent.drain(..).map(|sent| sent.message).collect();
    let told: Vec<_> = sent
        .iter()
        .filter(|message| *message.method() != Method::Notify)
        .map(|message| (message.method().clone(), of(message)))
        .collect();
    let wanted = [
        (Method::Bye, of(&second.invite)),
        (Method::Invite, of(&third.invite)),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_call_that_cannot_even_be_ended_tells_the_shard_that_it_took_a_party_from() {
    let (mut pair, first, second) = Pair::up();
    accepted(&mut pair.0[0], &first, &second);
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    ok(&mut pair.0[1], &bye);
    reinvited(&mut pair.0[0], &second.invite);
    notified(&mut pair.0[0], "200 OK");
    let moved = |pair: &Pair| pair.0[1].core.census().dialogs;
    pair.0[1].pass(Duration::from_secs(100));
    assert_eq!(moved(&pair), 1, "its requests are passed on");

    let now = pair.0[0].now;
    let mut out = Effects::default();
    pair.0[0].core.abandon(now, &mut out);
    let mut letters = 0;
    for effect in out.drain() {
        if let Effect::Letter(to, letter) = effect {
            letters += 1;
            pair.0[usize::from(to.0)].apply(Input::Letter(letter));
        }
    }
    assert_eq!(letters, 1);
    pair.0[1].pass(Duration::from_secs(33));
    assert_eq!(moved(&pair), 0);
}

#[test]
fn a_target_that_still_rings_is_called_anew_for_the_other_party() {
    for (n, shards) in [(0, 1_usize), (1, 2)] {
        let mut pair = Pair::new();
        let mut single = Shard::new();
        let first = match shards {
            1 => up(&mut single, "first", "y1"),
            _ => up(&mut pair.0[0], "first", "y1"),
        };
        let home = match shards {
            1 => &mut single,
            _ => &mut pair.0[n],
        };
        home.carrier_says(&carrier_invite("second", CARRIER_SDP));
        home.next_response(100);
        let ringing = home.next_request(Method::Invite).message;
        let text = response(&ringing, "180 Ringing", "z1", TEAMS_CONTACT, "");
        home.teams_says(&text);
        let early = home.next_response(180).message;
        let to = header(&early, HeaderName::To);
        let ours = to.split(";tag=").nth(1).expect("a tag").to_owned();
        let lines = format!(
            "Refer-To: <sip:+493023125999@192.0.2.11?Replaces=second%3Bto-tag%3D{ours}%3Bfrom-tag%3Dc1>\n"
        );
        let asking = match shards {
            1 => &mut single,
            _ => &mut pair.0[0],
        };
        asking.carrier_says(&refer(&first, &lines));
        asking.next_response(202);
        notified(asking, "100 Trying");
        pair.post();
        let home = match shards {
            1 => &mut single,
            _ => &mut pair.0[n],
        };
        home.next_response(487);
        let cancel = home.next_request(Method::Cancel).message;
        home.teams_says(&response(&cancel, "200 OK", "", "", ""));
        let gone = response(&ringing, "487 Request Terminated", "z1", "", "");
        home.teams_says(&gone);
        let asking = match shards {
            1 => &mut single,
            _ => &mut pair.0[0],
        };
        let all: Vec<Sent> = asking.sent.drain(..).collect();
        let anew = all
            .iter()
            .find(|sent| *sent.message.method() == Method::Invite);
        let anew = &anew.expect("a new INVITE").message;
        let uri = String::from_utf8_lossy(&anew.request_uri()).into_owned();
        assert!(uri.contains("+493023125999"), "{uri}");
        assert!(!anew.has(HeaderName::Replaces));
        let answer = response(anew, "200 OK", "n1", TEAMS_CONTACT, TEAMS_SDP);
        asking.teams_says(&answer);
        asking.next_request(Method::Ack);
        notified(asking, "200 OK");
    }
}

/// A name that a shard has given is known where the dialog has gone.
#[test]
fn a_name_of_a_dialog_goes_with_it_to_another_shard() {
    let config = two_carriers("refer = \"relay\"", "");
    let mut pair = Pair([0, 1].map(|n| Shard::one_of(config_of(&config), ShardId(n), 2)));
    let first = up_elsewhere(&mut pair.0[0], "first", "y1");
    let second = up_elsewhere(&mut pair.0[1], "second", "z1");
    let third = up_elsewhere(&mut pair.0[0], "third", "w1");
    pair.0[0].carrier_says(&refer(&first, &refer_to(&second, false)));
    pair.post();
    let told = pair.0[0].next_request(Method::Refer).message;
    other_says(&mut pair.0[0], &response(&told, "202 Accepted", "", "", ""));
    pair.0[0].next_response(202);
    notified(&mut pair.0[0], "100 Trying");
    // Meanwhile the party that is named goes to the other shard.
    let from = header(&second.invite, HeaderName::From);
    let ours = from.split(";tag=").nth(1).expect("a tag");
    let id = header(&second.invite, HeaderName::CallId);
    let lines = format!(
        "Refer-To: <sip:+493023125999@192.0.2.11?Replaces={id}%3Bto-tag%3D{ours}%3Bfrom-tag%3Dz1>\n{OTHER}"
    );
    let moves = callee_request(&third.invite, "w1", "REFER", 1, &lines);
    other_says(&mut pair.0[0], &moves);
    pair.0[0].next_response(202);
    let notify = pair.0[0].next_request(Method::Notify).message;
    other_says(&mut pair.0[0], &response(&notify, "200 OK", "", "", ""));
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    other_says(&mut pair.0[1], &response(&bye, "200 OK", "", "", ""));
    let again = pair.0[0].next_request(Method::Invite).message;
    let answer = response(&again, "200 OK", "", CARRIER_CONTACT, CARRIER_SDP);
    pair.0[0].carrier_says(&answer);
    pair.0[0].next_request(Method::Ack);
    let notify = pair.0[0].next_request(Method::Notify).message;
    assert_eq!(notify.body(), "SIP/2.0 200 OK\r\n");
    pair.post();
    // Whoever was told the name finds the dialog by it.
    other_says(&mut pair.0[1], &crate::relay::obeyed(&told));
    assert!(pair.0[1].sent.is_empty(), "{}", text(&pair.0[1].sent[0]));
    pair.post();
    pair.0[0].next_response(100);
    pair.0[0].next_response(200);
    let bye = pair.0[0].next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "second");
}
