//! Media that cannot be served are told with their reason, wherever in a call that is found out.

use crate::world;

use sbc_core::event::{Happened, MediaRefusal};
use sbc_core::media::Unusable;
use sbc_core::sip::Method;
use world::call::*;
use world::*;

/// Whose media were refused and why, in order.
fn told(shard: &Shard) -> Vec<(String, &'static str)> {
    let all = shard.happened.iter().filter_map(|what| match what {
        Happened::MediaRefused { trunk, why } => Some((trunk.to_string(), why.as_str())),
        _ => None,
    });
    all.collect()
}

#[test]
fn an_offer_that_cannot_be_served_is_told_by_its_reason() {
    let teams = |sdp: &str| {
        let mut shard = Shard::new();
        let invite = teams_invite("refused");
        let (head, _) = invite.split_once("Content-Type").expect("a body");
        shard.teams_says(&with_body(head, sdp));
        shard.next_response(100);
        shard.next_response(488);
        told(&shard)
    };
    let plain = TEAMS_SDP.replace("RTP/SAVP", "RTP/AVP");
    assert_eq!(
        teams(&plain),
        [("teams-contoso".to_owned(), "srtp_missing")]
    );
    let keyless = TEAMS_SDP.replace("a=crypto", "a=x-crypto");
    assert_eq!(
        teams(&keyless),
        [("teams-contoso".to_owned(), "no_usable_key")]
    );
    let other: Vec<&str> = TEAMS_SDP
        .lines()
        .map(|line| match line.starts_with("m=audio") {
            true => "m=audio 50010 RTP/SAVP 77",
            false => line,
        })
        .collect();
    let other = other.join("\n") + "\n";
    assert_eq!(teams(&other), [("teams-contoso".to_owned(), "no_codec")]);
}

#[test]
fn ports_that_are_not_there_are_told_too() {
    let mut shard = Shard::new();
    shard.refuse_media = true;
    shard.carrier_says(&carrier_invite("ports", CARRIER_SDP));
    shard.next_response(100);
    assert_eq!(told(&shard), [("carrier-a".to_owned(), "ports_exhausted")]);
}

#[test]
fn what_is_refused_within_a_call_is_told_and_the_call_goes_on() {
    let mut call = Call::new();
    let keyless = TEAMS_SDP.replace("a=crypto", "a=x-crypto");
    let contact = "Contact: <sip:203.0.113.1:443;x-i=1>\n";
    let offer = callee_request(&call.invite, "x1", "INVITE", 1, contact);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), &keyless);
    call.shard.teams_says(&offer);
    call.shard.next_response(100);
    call.shard.next_response(488);
    assert_eq!(
        told(&call.shard),
        [("teams-contoso".to_owned(), "no_usable_key")]
    );
    call.lives();
}

#[test]
fn an_answer_that_accepts_nothing_is_told() {
    let (mut shard, invite) = called_out("nothing");
    let none = TEAMS_SDP.replace("m=audio 50000", "m=audio 0");
    let none = match none == TEAMS_SDP {
        true => TEAMS_SDP.replace("a=crypto", "a=x-crypto"),
        false => none,
    };
    shard.teams_says(&response(
        &invite.message,
        "200 OK",
        "x1",
        TEAMS_CONTACT,
        &none,
    ));
    shard.next_request(Method::Ack);
    assert_eq!(told(&shard).len(), 1);
    assert!(told(&shard)[0].1 != MediaRefusal::from(Unusable::OutOfOrder).as_str());
}
