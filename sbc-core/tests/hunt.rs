//! What ends the hunt for a way to the called party: the last word of all its places, unless its trunk
//! is known not to mean it so (SIP-314).

use crate::world;

use sbc_core::sip::Method;
use world::two::{Two, two_carriers};
use world::*;

/// A call whose first way fails with this status; `of_b` is said of the trunk that fails.
fn failed(of_b: &str, status: &str) -> Shard {
    let text = two_carriers("", of_b).replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
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
