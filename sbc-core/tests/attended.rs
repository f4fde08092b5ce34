//! Attended transfer by hand: the two calls of a transferor are joined, on one shard and across two.

mod world;

use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::record::{TransferKind, TransferOutcome};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
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
        let bye = shard.next_request(Method::Bye).message;
        assert_eq!(
            header(&bye, HeaderName::CallId),
            header(&first.invite, HeaderName::CallId)
        );
        ok(&mut shard, &bye);
        let transfer = &shard.records[1].transfers[0];
        assert_eq!(
            (transfer.kind, transfer.outcome),
            (TransferKind::Attended, TransferOutcome::Completed)
        );
        shard.settles();
    }
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
    let config = CONFIG.replace("tenant = \"*\"", "tenant = \"contoso\"");
    let route = r#"
[[route]]
name = "abroad"
match = { called = "^\\+882", from_trunk = "carrier-a" }
to = [{ trunk = "carrier-a" }]
"#;
    let mut shard = Shard::with(config_of(&format!("{config}{route}")));
    let first = up(&mut shard, "first", "y1");
    let lines =
        "Refer-To: <sip:+88216123456@192.0.2.11?Replaces=other%3Bto-tag%3Da%3Bfrom-tag%3Db>\n";
    shard.carrier_says(&refer(&first, lines));
    shard.next_response(202);
    notified(&mut shard, "100 Trying");
    let invite = shard.next_request(Method::Invite).message;
    let uri = String::from_utf8_lossy(&invite.request_uri()).into_owned();
    assert!(uri.starts_with("sip:+88216123456@198.51.100.20"), "{uri}");
    assert_eq!(
        header(&invite, HeaderName::Replaces),
        "other;to-tag=a;from-tag=b"
    );
}

#[test]
fn a_party_that_refuses_our_media_is_sent_away_and_the_old_conversation_goes_on() {
    let mut shard = Shard::new();
    let first = up(&mut shard, "first", "y1");
    let second = up(&mut shard, "second", "z1");
    shard.carrier_says(&refer(&first, &refer_to(&second, false)));
    shard.next_response(202);
    notified(&mut shard, "100 Trying");
    let bye = shard.next_request(Method::Bye).message;
    ok(&mut shard, &bye);
    let again = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&again, "488 Not Acceptable Here", "", "", ""));
    shard.next_request(Method::Ack);
    let bye = shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&second.invite, HeaderName::CallId)
    );
    ok(&mut shard, &bye);
    notified(&mut shard, "488 Not Acceptable Here");
    assert_eq!(shard.records.len(), 1);
    assert!(shard.sent.is_empty());
}

/// Two shards and the letters between them.
struct Pair([Shard; 2]);

impl Pair {
    fn new() -> Self {
        Self([0, 1].map(|n| Shard::one_of(config(), ShardId(n), 2)))
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
    let mut pair = Pair::new();
    let first = up(&mut pair.0[0], "first", "y1");
    let second = up(&mut pair.0[1], "second", "z1");
    pair.0[0].carrier_says(&refer(&first, &refer_to(&second, false)));
    pair.0[0].next_response(202);
    notified(&mut pair.0[0], "100 Trying");
    assert!(pair.0[0].sent.is_empty());
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "second");
    ok(&mut pair.0[1], &bye);
    reinvited(&mut pair.0[0], &second.invite);
    notified(&mut pair.0[0], "200 OK");

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
    let bye = pair.0[0].next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&first.invite, HeaderName::CallId)
    );
    ok(&mut pair.0[0], &bye);
    pair.post();
    for shard in &mut pair.0 {
        assert_eq!(shard.records.len(), 1);
        shard.settles();
    }
}

#[test]
fn a_shard_that_does_not_answer_is_waited_for_no_longer_than_two_seconds() {
    let mut pair = Pair::new();
    let first = up(&mut pair.0[0], "first", "y1");
    let second = up(&mut pair.0[1], "second", "z1");
    pair.0[0].carrier_says(&refer(&first, &refer_to(&second, false)));
    pair.0[0].next_response(202);
    notified(&mut pair.0[0], "100 Trying");
    pair.0[0].pass(Duration::from_millis(2_100));
    notified(&mut pair.0[0], "481 Call/Transaction Does Not Exist");
    // The party that comes too late has nobody to talk to.
    pair.post();
    let bye = pair.0[1].next_request(Method::Bye).message;
    ok(&mut pair.0[1], &bye);
    let bye = pair.0[0].next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&second.invite, HeaderName::CallId)
    );
    assert!(pair.0[0].records.is_empty());
}
