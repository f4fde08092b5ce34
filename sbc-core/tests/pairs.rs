//! Records of pairs of legs: who talked to whom, since when, and who pays (SIP-811).

use crate::world;

use sbc_core::id::LegId;
use sbc_core::record::{PairRecord, Record};
use sbc_core::sip::Method;
use std::time::Duration;
use world::call::*;
use world::*;

const REFER: &str =
    "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";

/// What a pair says: its sides as leg, trunk and number, then the trunk that pays.
fn told<'a>(pair: &PairRecord<'a>) -> [(u8, &'a str, &'a str); 2] {
    [&pair.a, &pair.b].map(|end| {
        let trunk = end.trunk.map(|trunk| trunk.as_str());
        let unknown = "nobody";
        (
            end.leg.0,
            trunk.unwrap_or(unknown),
            end.number.unwrap_or(unknown),
        )
    })
}

const CALLER: (u8, &str, &str) = (0, "carrier-a", "+498999998001");
const CALLED: (u8, &str, &str) = (1, "teams-contoso", "+493023125456");

fn ended(call: Call) -> Record {
    let mut call = call;
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.records.remove(0)
}

#[test]
fn a_call_without_transfer_is_one_pair_and_one_that_nobody_answers_none() {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(7));
    let record = ended(call);
    let pairs = record.pairs();
    let [only] = &pairs[..] else {
        panic!("{pairs:?}");
    };
    assert_eq!(told(only), [CALLER, CALLED]);
    assert_eq!(only.pair, format!("{}-0", record.call));
    assert_eq!(only.duration_ms, 7_000);
    assert_eq!(only.billed_to.as_str(), "carrier-a");
    assert_eq!((&only.transfer_of, only.transfer_type), (&None, None));

    let (mut shard, invite) = called_out("busy");
    let busy = response(&invite.message, "486 Busy Here", "x1", "", "");
    shard.teams_says(&busy);
    assert!(shard.records[0].pairs().is_empty());
}

#[test]
fn a_transferred_call_is_two_pairs_and_the_transferor_pays_for_the_second() {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(3));
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    call.says("BYE", "", "");
    call.shard.next_response(200);
    call.shard.pass(Duration::from_secs(5));
    call.teams_says("BYE", 2, "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = &call.shard.records[0];
    let pairs = record.pairs();
    let [first, second] = &pairs[..] else {
        panic!("{pairs:?}");
    };
    assert_eq!(told(first), [CALLER, CALLED]);
    assert_eq!(first.duration_ms, 3_000);
    let target = (2, "teams-contoso", "+493023125999");
    assert_eq!(told(second), [target, CALLED]);
    assert_eq!(second.duration_ms, 5_000);
    let begins = |pair: &PairRecord<'_>| pair.start.as_micros();
    assert_eq!(begins(second) - begins(first), 3_000_000);
    assert_eq!(second.transfer_of.as_ref(), Some(&first.pair));
    assert_eq!(second.transfer_type, Some("blind"));
    assert_eq!(second.billed_to.as_str(), "carrier-a", "who transferred it");
}

#[test]
fn whoever_takes_a_partys_place_is_told_with_its_trunk_and_number() {
    let mut call = Call::new();
    let from = header(&call.invite, sbc_core::sip::HeaderName::From);
    let plain = teams_invite("newcomer").replace("+493023125456", "+493023125777");
    let (head, _) = plain.split_once("Content-Type").expect("a body");
    let replaces = format!(
        "Replaces: {};to-tag={};from-tag=x1\n",
        header(&call.invite, sbc_core::sip::HeaderName::CallId),
        from.split(";tag=").nth(1).expect("a tag")
    );
    let newcomer = with_body(&format!("{head}{replaces}"), TEAMS_SDP);
    call.shard.teams_says(&newcomer);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    let ack = in_dialog(
        &ok,
        "ACK",
        1,
        "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKn1",
    );
    call.shard.teams_says(&ack);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.sent.clear();
    let record = ended(call);
    let pairs = record.pairs();
    assert_eq!(
        told(&pairs[1]),
        [CALLER, (2, "teams-contoso", "+493023125777")]
    );
    assert_eq!(pairs[1].transfer_type, Some("attended"));
    assert_eq!(pairs[1].b.leg, LegId(2));
}
