//! Local media where another party takes a place in the call: the target of a transfer, and a newcomer with
//! Replaces. The table that rules the legs of a set-up rules theirs too (TDR-LMO-010, TDR-LMO-020). And the ports
//! of those who have left.

use crate::local_media::*;
use crate::world;

use media_api::EndpointId;
use sbc_core::sip::{HeaderName, Message, Method};
use std::collections::BTreeSet;
use std::time::Duration;
use world::call::*;
use world::*;

const TARGET: &str = "sbc1.contoso.example";
const REFER: &str = "REFER-TO: <sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0>\n\
                     CONTACT: <sip:api.example.com:443;x-i=1>\n";

/// A call of the carrier to a user inside, whom Teams has us transfer: the call, our first INVITE, our 200 to the
/// carrier, and our INVITE to the target.
fn referred() -> (Shard, Message, Message, Message) {
    let (mut shard, invite) = calling(central());
    let ok = teams_answers(&mut shard, &invite, OWN_ROUTE, &lines("internal", TARGET));
    shard.teams_says(&callee_request(&invite, "x1", "REFER", 1, REFER));
    shard.next_response(202);
    notified(&mut shard);
    let asked = shard.next_request(Method::Invite).message;
    (shard, invite, ok, asked)
}

fn notified(shard: &mut Shard) {
    let notify = shard.next_request(Method::Notify).message;
    shard.teams_says(&response(&notify, "200 OK", "", "", ""));
}

/// The target answers with these lines.
fn target_answers(shard: &mut Shard, asked: &Message, lines: &str) {
    let contact = format!("{TEAMS_CONTACT}{lines}");
    shard.teams_says(&response(asked, "200 OK", "z1", &contact, &ice_sdp()));
    shard.next_request(Method::Ack);
    notified(shard);
}

fn call_id(message: &Message) -> String {
    header(message, HeaderName::CallId)
}

#[test]
fn the_target_of_a_transfer_is_taken_to_be_inside_and_told_otherwise_where_it_is_not() {
    let both = format!("proxysbc.contoso.example, {TARGET}");
    for (said, wanted) in [
        (lines("internal", TARGET), None),
        (lines("external", TARGET), Some(EXTERNAL)),
        (String::new(), Some(EXTERNAL)),
        // What we do not understand gets no internal address.
        (lines("internal", &both), Some(EXTERNAL)),
    ] {
        let (mut shard, _, _, asked) = referred();
        assert_eq!(address(&asked), INTERNAL, "the guess");
        target_answers(&mut shard, &asked, &said);
        shard.pass(Duration::from_secs(1));
        let offer = next_offer(&mut shard);
        assert_eq!(offer.as_ref().map(address).as_deref(), wanted, "{said}");
        let Some(offer) = offer else { continue };
        assert_eq!(call_id(&offer), call_id(&asked), "the target is told");
        shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &ice_sdp()));
        shard.next_request(Method::Ack);
        shard.pass(Duration::from_secs(2));
        assert!(next_offer(&mut shard).is_none(), "once is enough");
    }
}

#[test]
fn what_teams_says_later_of_the_place_of_a_target_is_followed() {
    let (mut shard, _, _, asked) = referred();
    target_answers(&mut shard, &asked, &lines("internal", TARGET));
    for (cseq, location, wanted) in [(1, "external", EXTERNAL), (2, "internal", INTERNAL)] {
        let contact = format!("{TEAMS_CONTACT}{}", lines(location, TARGET));
        let head = callee_request(&asked, "z1", "INVITE", cseq, &contact);
        let head = head.split("Content-Length").next().expect("a head");
        shard.teams_says(&with_body(head, &ice_sdp()));
        shard.next_response(100);
        let answer = shard.next_response(200).message;
        assert_eq!(address(&answer), wanted, "{location}");
        shard.teams_says(&callee_request(&asked, "z1", "ACK", cseq, ""));
        shard.pass(Duration::from_secs(3));
    }
}

/// An INVITE of Teams with these lines, which takes the place of the one that we called.
fn newcomer(invite: &Message, lines: &str) -> String {
    let from = header(invite, HeaderName::From);
    let tag = from.split(";tag=").nth(1).expect("a tag");
    let plain = teams_invite("newcomer");
    let (head, _) = plain.split_once("Content-Type").expect("a body");
    let replaces = format!("Replaces: {};to-tag={tag};from-tag=x1\n", call_id(invite));
    with_body(&format!("{head}{replaces}{lines}"), &ice_sdp())
}

#[test]
fn a_newcomer_is_answered_where_its_own_lines_say() {
    for (said, wanted) in [
        (lines("internal", TARGET), INTERNAL),
        (lines("external", TARGET), EXTERNAL),
        (String::new(), EXTERNAL),
    ] {
        let (mut shard, invite) = calling(central());
        teams_answers(&mut shard, &invite, OWN_ROUTE, &lines("internal", TARGET));
        shard.teams_says(&newcomer(&invite, &said));
        shard.next_response(100);
        let ok = shard.next_response(200).message;
        assert_eq!(address(&ok), wanted, "{said}");
        shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
        let bye = shard.next_request(Method::Bye).message;
        assert_eq!(call_id(&bye), call_id(&invite));
        // And it may be moved as any other.
        shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        offers(&mut shard, &ok, 2, &lines("external", TARGET));
        shard.next_response(100);
        let answer = shard.next_response(200).message;
        assert_eq!(address(&answer), EXTERNAL);
    }
}

#[test]
fn a_newcomer_by_a_strange_path_is_refused_and_the_call_goes_on() {
    let (mut shard, invite) = calling(central());
    teams_answers(&mut shard, &invite, OWN_ROUTE, &lines("internal", TARGET));
    let strange = lines("internal", "other.contoso.example");
    shard.teams_says(&newcomer(&invite, &strange));
    shard.next_response(100);
    let refused = shard.next_response(488).message;
    shard.teams_says(&response_ack(&refused));
    shard.pass(Duration::from_secs(40));
    assert!(shard.sent.is_empty() && shard.records.is_empty());
    // Not a port was asked for.
    assert_eq!(endpoints(&shard).0.len(), 2);
}

#[test]
fn the_port_of_a_transferor_is_given_back_when_it_has_left_and_every_port_once() {
    let (mut shard, invite, ok, asked) = referred();
    target_answers(&mut shard, &asked, &lines("external", TARGET));
    let offer = next_offer(&mut shard).expect("the other address");
    shard.teams_says(&callee_request(&invite, "x1", "BYE", 2, ""));
    shard.next_response(200);
    let (reserved, released) = endpoints(&shard);
    assert!(released.contains(&reserved[1]), "{reserved:?} {released:?}");
    shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &ice_sdp()));
    shard.next_request(Method::Ack);
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKbye";
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, via));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    shard.pass(Duration::from_secs(40));
    assert_eq!(shard.records.len(), 1);
    let (_, released) = endpoints(&shard);
    let once: BTreeSet<EndpointId> = released.iter().copied().collect();
    assert_eq!(once.len(), released.len(), "{released:?}");
}

#[test]
fn a_call_that_has_used_all_names_refuses_what_needs_another_and_goes_on() {
    let (mut shard, ok) = answered(central(), &lines("internal", TARGET));
    let mut refused = 0;
    for cseq in 2..260 {
        let location = if cseq % 2 == 0 {
            "external"
        } else {
            "internal"
        };
        offers(&mut shard, &ok, cseq, &lines(location, TARGET));
        shard.next_response(100);
        let answer = shard.sent.pop_front().expect("an answer").message;
        let status = answer.status().expect("a status").code();
        match status {
            // Also once all names are used: the place where media are already needs none.
            200 => {
                shard.teams_says(&in_dialog(&ok, "ACK", cseq, &format!("{TLS_VIA}ack{cseq}")));
            }
            488 => {
                shard.teams_says(&in_dialog(&ok, "ACK", cseq, &format!("{TLS_VIA}{cseq}")));
                refused += 1;
            }
            other => panic!("{other} to offer {cseq}"),
        }
        shard.pass(Duration::from_secs(3));
    }
    assert!(refused > 0);
    let (reserved, released) = endpoints(&shard);
    let names: BTreeSet<EndpointId> = reserved.iter().copied().collect();
    assert_eq!(names.len(), reserved.len(), "no name is given twice");
    assert_eq!(names.len(), 240);
    assert_eq!(released.len(), 238, "all but those of the two parties");
    // A transfer needs a name, too.
    let request = in_dialog(&ok, "REFER", 300, &format!("{TLS_VIA}refer"));
    shard.teams_says(&request.replace(
        "Content-Length: 0\n",
        &format!("{REFER}Content-Length: 0\n"),
    ));
    shard.next_response(202);
    let first = shard.next_request(Method::Notify).message;
    assert!(
        shard.sent.is_empty(),
        "the end waits for the answer to the beginning"
    );
    shard.teams_says(&response(&first, "200 OK", "", "", ""));
    let last = shard.next_request(Method::Notify).message;
    assert_eq!(body(&last), "SIP/2.0 500 Server Internal Error\r\n");
    assert!(shard.records.is_empty(), "the call goes on");
}
