//! What comes while our BYE is on its way (RFC 5407 §3.2).

use crate::world;

use sbc_core::sip::Method;
use world::call::*;
use world::*;

#[test]
fn while_our_bye_is_on_its_way_a_bye_is_answered_and_nothing_else_served() {
    let offer = format!("{CARRIER_CONTACT}Content-Type: application/sdp\n");
    let refer = format!("{CARRIER_CONTACT}Refer-To: <sip:+493023125457@192.0.2.11>\n");
    for (method, lines, body, code) in [
        ("INVITE", offer.as_str(), CARRIER_SDP, 481),
        ("UPDATE", &offer, CARRIER_SDP, 481),
        ("UPDATE", CARRIER_CONTACT, "", 481),
        ("REFER", &refer, "", 481),
        ("OPTIONS", "", "", 481),
        ("INFO", "", "", 481),
        ("BYE", "", "", 200),
    ] {
        let mut call = Call::new();
        call.teams_says("BYE", 1, "");
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        call.says(method, lines, body);
        if method == "INVITE" {
            call.shard.next_response(100);
        }
        call.shard.next_response(code);
        if method == "INVITE" {
            let via = format!("{VIA}{}", call.cseq);
            let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
            call.shard.carrier_says(&ack);
        }
        call.shard
            .carrier_says(&response(&bye, "200 OK", "", "", ""));
        assert!(call.shard.sent.is_empty(), "{method}");
        assert_eq!(call.shard.records.len(), 1, "{method}");
        call.shard.settles();
    }
}
