//! What ends the hunt for a way to the called party: the last word of all its places, unless its trunk
//! is known not to mean it so (SIP-314), and what it is told on the way.

use crate::world;

use bytes::Bytes;
use sbc_core::core::Together;
use sbc_core::id::{ShardId, TrunkName};
use sbc_core::input::Input;
use sbc_core::sip::{Message, Method};
use sbc_core::transport::{FlowFault, Protocol};
use sbc_core::trunk::{TargetId, TargetState};
use std::time::Duration;
use world::two::{Two, two_carriers};
use world::*;

/// A call on its first way, and our INVITE; `of_b` is said of the trunk.
fn under_way(of_b: &str) -> (Shard, Message) {
    let text = two_carriers("", of_b).replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// A call whose first way fails with this status; `of_b` is said of the trunk that fails.
fn failed(of_b: &str, status: &str) -> Shard {
    let (shard, invite) = under_way(of_b);
    let mut two = Two { shard, invite };
    two.says(status, "b1", "", "");
    two.shard.next_request(Method::Ack);
    two.shard
}

#[test]
fn the_last_word_of_all_places_of_the_called_party_ends_the_hunt() {
    for status in [600, 603, 604, 606] {
        let mut shard = failed("reroute_on = [404, 480, 486, 488]", &format!("{status} No"));
        shard.next_response(status);
        assert!(shard.sent.is_empty());
    }
}

/// RFC 3261 §18.4: what the network gives back is as good as a refusal, whoever names the branch (FM-52).
#[test]
fn a_request_that_the_network_gives_back_goes_elsewhere_at_once() {
    let (mut shard, invite) = under_way("");
    let bytes = invite.bytes();
    let branch = b";branch=z9hG4bK".len()
        + bytes
            .windows(15)
            .position(|own| own == b";branch=z9hG4bK")
            .unwrap();
    let mut other = bytes.to_vec();
    other[branch + 5] ^= 1;
    let of_ack = [b"ACK", &bytes["INVITE".len()..]].concat();
    // Those that are not ours, or too short to tell.
    for start in [
        Bytes::new(),
        Bytes::from(other),
        Bytes::from(of_ack),
        bytes.slice(..branch + 8),
        Bytes::from_static(b"INVITE\nVia: ;branch=;"),
        Bytes::from_static(b"\xff \nVia: x;branch=\xff\r"),
    ] {
        let why = FlowFault::Connect("refused".to_owned());
        shard.apply(Input::Returned { start, why });
        assert!(shard.sent.is_empty());
    }
    let why = FlowFault::Connect("refused".to_owned());
    let start = bytes.slice(..200);
    shard.apply(Input::Returned { start, why });
    let next = shard.next_request(Method::Invite);
    assert_eq!(next.hop.protocol, Protocol::Tls, "to the other trunk");
}

#[test]
fn where_a_trunk_is_known_not_to_mean_it_a_6xx_counts_as_the_4xx_that_says_the_same() {
    for (status, means) in [(600, 486), (603, 480), (604, 404), (606, 488), (699, 480)] {
        let keys = format!("six_xx_stops = false\nreroute_on = [{means}]");
        let mut shard = failed(&keys, &format!("{status} No"));
        shard.next_request(Method::Invite);
        // Where that leads nowhere else the caller is told so.
        let mut shard = failed("six_xx_stops = false", &format!("{status} No"));
        shard.next_response(means);
    }
}

#[test]
fn whoever_says_something_may_ring_longer_and_all_of_it_has_its_limit() {
    let (mut shard, invite) = called_out("long");
    let invite = invite.message;
    shard.teams_says(&response(&invite, "100 Trying", "", "", ""));
    for at in [30, 60, 90, 120, 150, 180, 210] {
        shard.pass(Duration::from_secs(30));
        let ringing = response(&invite, "182 Queued", "x1", TEAMS_CONTACT, "");
        shard.teams_says(&ringing);
        shard.sent.retain(|sent| sent.message.is_request());
        assert!(shard.sent.is_empty(), "after {at} s");
    }
    // The whole setup may take 240 s.
    shard.pass(Duration::from_secs(30));
    shard.sent.retain(|sent| sent.message.is_request());
    shard.next_request(Method::Cancel);
    // What is said of the INVITE by a proxy on the way alone does not count.
    let (mut shard, invite) = called_out("long");
    let invite = invite.message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.pass(Duration::from_secs(100));
    shard.teams_says(&response(&invite, "100 Trying", "", "", ""));
    shard.pass(Duration::from_secs(85));
    shard.sent.retain(|sent| sent.message.is_request());
    shard.next_request(Method::Cancel);
}

#[test]
fn what_one_shard_learns_of_an_address_all_shards_know() {
    let (config, together) = (config(), Together::default());
    let shard = |id| Shard::one_of(config.clone(), ShardId(id), 2).counting(&together);
    let mut shards = [shard(0), shard(1)];
    let calls = |shard: &mut Shard, call: &str| {
        shard.teams_says(&teams_invite(call));
        shard.next_response(100);
        shard.next_request(Method::Invite)
    };
    let fails = |shard: &mut Shard, invite: &Sent, lines: &str| {
        let refusal = response(&invite.message, "503 Unavailable", "b1", lines, "");
        shard.carrier_says(&refusal);
        shard.next_request(Method::Ack);
        shard.sent.clear();
    };
    let [first, second] = &mut shards;
    let invite = calls(first, "pause");
    assert_eq!(invite.hop.remote.to_string(), CARRIER);
    fails(first, &invite, "Retry-After: 120\n");
    let other = "198.51.100.21:5060";
    let invite = calls(second, "paused");
    assert_eq!(invite.hop.remote.to_string(), other);
    // Five failures in a row are those of all.
    let mut shards = [shard(0), shard(1)];
    for shard in &mut shards {
        shard.pass(Duration::from_secs(121));
        shard.sent.clear();
    }
    for call in 0..4 {
        let shard = &mut shards[call % 2];
        let invite = calls(shard, &format!("fails{call}"));
        assert_eq!(invite.hop.remote.to_string(), CARRIER, "{call}");
        fails(shard, &invite, "");
    }
    for shard in &mut shards {
        let invite = calls(shard, "open");
        assert_eq!(invite.hop.remote.to_string(), other);
    }
}

#[test]
fn while_all_addresses_are_down_one_call_a_second_of_the_whole_node_finds_out() {
    let (config, together) = (config(), Together::default());
    let shard = |id| Shard::one_of(config.clone(), ShardId(id), 2).counting(&together);
    let mut shards = [shard(0), shard(1)];
    for shard in &mut shards {
        for at in ["198.51.100.20:5060", "198.51.100.21:5060"] {
            let remote = at.parse().expect("an address");
            let target = TargetId {
                trunk: TrunkName::new("carrier-a"),
                host: at.split(':').next().expect("a host").to_owned(),
                protocol: Protocol::Udp,
                remote: Some(remote),
            };
            let state = TargetState::Down;
            shard.apply(Input::TargetHealth { target, state });
        }
    }
    let [first, second] = &mut shards;
    first.teams_says(&teams_invite("finds"));
    first.next_response(100);
    first.next_request(Method::Invite);
    second.teams_says(&teams_invite("waits"));
    second.next_response(100);
    second.next_response(503);
    second.pass(Duration::from_secs(1));
    second.teams_says(&teams_invite("later"));
    second.next_response(100);
    second.next_request(Method::Invite);
}
