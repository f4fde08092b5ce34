//! Registrars with several servers: who of them may call, and which one is asked where another cannot be reached.

use crate::register::{
    FIRST, grants, is_let_in, next_register, register_within, registered, says, standing, started,
    usual,
};
use crate::world;
use sbc_core::input::Input;
use sbc_core::query::Outcome;
use sbc_core::sip::{HeaderName, Method};
use sbc_core::trunk::RegistrationState;
use std::time::Duration;
use world::call::header;
use world::*;

#[test]
fn servers_that_need_not_be_asked_may_call_too_and_new_ones_are_found_with_each_renewal() {
    let text = usual()
        .replace(
            "198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp",
            "a.telco.example\", \"b.telco.example",
        )
        .replace("accept_from = [\"198.51.100.16/28\"]\n", "");
    let mut shard = started(&text);
    shard.pass(Duration::from_secs(2));
    let resolved = |shard: &mut Shard, addresses: &[&str]| {
        let (query, _) = shard.queries.back().unwrap().clone();
        let addresses = addresses.iter().map(|own| own.parse().unwrap());
        shard.apply(Input::Outcome(
            query,
            Outcome::Resolved(addresses.collect()),
        ));
    };
    let (other, new) = ("198.51.100.99:5060", "198.51.100.98:5060");
    resolved(&mut shard, &[FIRST]);
    let register = next_register(&mut shard).message;
    assert!(!is_let_in(&mut shard, other, "a"), "nobody knows it yet");
    grants(&mut shard, &register, 600, "");
    resolved(&mut shard, &[other]);
    assert!(is_let_in(&mut shard, other, "b"), "of the other name");
    assert!(!is_let_in(&mut shard, new, "c"));
    // The first one is asked again, and both names are.
    let (again, _) = register_within(&mut shard, Duration::from_secs(600)).unwrap();
    assert_eq!(again.hop.remote.to_string(), FIRST);
    grants(&mut shard, &again.message, 600, "");
    resolved(&mut shard, &[FIRST, new]);
    resolved(&mut shard, &[other]);
    assert!(
        is_let_in(&mut shard, new, "d"),
        "of the name that was asked"
    );
}

#[test]
fn a_registrar_that_the_network_does_not_reach_is_registered_with_anew() {
    let (mut shard, register) = registered(&usual(), "");
    shard.sent.clear();
    // A call goes there, and comes back.
    shard.teams_says(&teams_invite("lost"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), FIRST);
    let start = invite.message.bytes().slice(..300);
    for _ in 0..3 {
        let why = sbc_core::transport::FlowFault::Connect("refused".to_owned());
        let start = start.clone();
        shard.apply(Input::Returned { start, why });
    }
    let (again, ms) = register_within(&mut shard, Duration::from_secs(3)).unwrap();
    assert!((1_000..=2_010).contains(&ms), "{ms} ms");
    let contact = |message| header(message, HeaderName::Contact);
    assert_eq!(contact(&again.message), contact(&register));
}

#[test]
fn a_200_without_any_contact_grants_what_the_message_says() {
    let mut shard = started(&usual());
    let register = next_register(&mut shard).message;
    says(&mut shard, &register, "200 OK", "Expires: 1000\n");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
    let (_, ms) = register_within(&mut shard, Duration::from_secs(3_600)).unwrap();
    assert!((800_000..=900_100).contains(&ms), "{ms} ms");
}
