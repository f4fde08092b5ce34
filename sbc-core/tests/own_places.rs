//! Descriptions that name us ourselves, ports of services, or several ports at once (SEC-100, SEC-102).

use crate::world;

use sbc_core::sip::Method;
use world::call::*;
use world::*;

/// What an INVITE of the carrier is told whose description says this, under these keys of its trunk; `None` if
/// the call goes on.
fn refused(keys: &str, was: &str, says: &str) -> Option<u16> {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]\n";
    let mut shard = Shard::with(config_of(
        &CONFIG.replace(codecs, &format!("{codecs}{keys}\n")),
    ));
    let sdp = CARRIER_SDP.replace(was, says);
    assert_ne!(sdp, CARRIER_SDP);
    shard.carrier_says(&carrier_invite("own", &sdp));
    shard.next_response(100);
    let sent = shard.next().message;
    sent.status().map(|status| status.code())
}

/// Where the description of the carrier stands.
fn at(address: &str, port: u16) -> String {
    format!("c=IN IP4 {address}\nt=0 0\nm=audio {port} ")
}

const USUAL: &str = "c=IN IP4 198.51.100.30\nt=0 0\nm=audio 6000 ";

#[test]
fn nobody_has_media_sent_to_what_else_is_at_our_addresses() {
    for (address, port, status) in [
        ("192.0.2.11", 5060, Some(488)),
        ("192.0.2.11", 40_000, Some(488)),
        // The realm of the other side is ours too.
        ("192.0.2.10", 5061, Some(488)),
        ("192.0.2.10", 22_000, Some(488)),
        ("192.0.2.12", 5060, None),
        // Calls that come back to us with their media as they were.
        ("192.0.2.11", 20_000, None),
        ("192.0.2.10", 44_998, None),
    ] {
        assert_eq!(
            refused("", USUAL, &at(address, port)),
            status,
            "{address}:{port}"
        );
    }
}

#[test]
fn a_call_that_comes_back_to_us_is_joined_with_its_first_half() {
    // The carrier's exchange sends a call of Teams back to us, and leaves the media alone.
    let (mut shard, invite) = called_in(CONFIG, "first");
    let ours = String::from_utf8_lossy(&invite.message.body()).into_owned();
    assert!(ours.contains("c=IN IP4 192.0.2.10"), "{ours}");
    shard.carrier_says(&carrier_invite("second", &ours.replace("\r\n", "\n")));
    shard.next_response(100);
    let onward = shard.next_request(Method::Invite).message;
    let commands = format!("{:?}", shard.media);
    shard.teams_says(&response(&onward, "200 OK", "x2", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let now = format!("{:?}", shard.media);
    assert!(
        now.len() > commands.len() && now.contains("rtp: 192.0.2.10:"),
        "{now}"
    );
    let answer = String::from_utf8_lossy(&ok.body()).into_owned();
    // Its answer names us as well, and ends at the first half.
    let answered = response(
        &invite.message,
        "200 OK",
        "x1",
        CARRIER_CONTACT,
        &answer.replace("\r\n", "\n"),
    );
    shard.carrier_says(&answered);
    shard.next_request(Method::Ack);
    shard.next_response(200);
}

#[test]
fn a_peer_on_our_own_host_is_sent_to_where_the_trunk_says_that_it_is_there() {
    let here = CONFIG.replace(
        "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]\naccept_from = [\"198.51.100.16/28\"]",
        "targets = [\"192.0.2.11:5080;udp\"]\naccept_from = [\"198.51.100.16/28\", \"192.0.2.11/32\"]",
    );
    assert_ne!(here, CONFIG);
    let mut shard = Shard::with(config_of(&here));
    shard.carrier_says(&carrier_invite(
        "beside",
        &CARRIER_SDP.replace(USUAL, &at("192.0.2.11", 7_000)),
    ));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn ports_of_services_are_refused_unless_the_trunk_has_them() {
    let low = at("198.51.100.30", 1_023);
    assert_eq!(refused("", USUAL, &low), Some(488));
    assert_eq!(refused("", USUAL, &at("198.51.100.30", 9)), None);
    assert_eq!(refused("", USUAL, &at("0.0.0.0", 8)), None);
    assert_eq!(refused("low_media_ports = true", USUAL, &low), None);
    assert_eq!(refused("", USUAL, &at("198.51.100.30", 1_024)), None);
    // Reports are not sent there either, and the call goes on.
    let reports = "a=sendrecv\na=rtcp:53\n";
    assert_eq!(refused("", "a=sendrecv\n", reports), None);
    // Within a call, where everything stays as it was.
    let mut call = Call::new();
    let lines = format!("{CARRIER_CONTACT}Content-Type: application/sdp\n");
    call.says("INVITE", &lines, &CARRIER_SDP.replace(USUAL, &low));
    call.shard.next_response(100);
    call.refused(488);
}

#[test]
fn several_ports_on_one_line_are_refused() {
    assert_eq!(refused("", "m=audio 6000 ", "m=audio 6000/2 "), Some(488));
    assert_eq!(refused("", "m=audio 6000 ", "m=audio 6000/1 "), None);
}

#[test]
fn reports_go_to_no_place_of_ours_and_no_port_of_a_service() {
    for (line, port) in [("a=rtcp:53", 0), ("a=rtcp:6010", 6_010)] {
        let (mut shard, invite) = called_in(CONFIG, "reports");
        let sdp = CARRIER_SDP.replace("a=sendrecv\n", &format!("a=sendrecv\n{line}\n"));
        shard.carrier_says(&response(
            &invite.message,
            "200 OK",
            "x1",
            CARRIER_CONTACT,
            &sdp,
        ));
        let commands = format!("{:?}", shard.media);
        let wanted = format!("198.51.100.30:{port}");
        assert!(commands.contains(&wanted), "{line}: {commands}");
        assert!(!commands.contains("198.51.100.30:53,"), "{commands}");
    }
}

#[test]
fn nobody_has_media_sent_to_where_metrics_are_served() {
    let status = |listen: &str, address: &str, port: u16| {
        let config = format!("{CONFIG}\n[metrics]\nlisten = \"{listen}\"\n");
        let mut shard = Shard::with(config_of(&config));
        let sdp = CARRIER_SDP.replace(USUAL, &at(address, port));
        shard.carrier_says(&carrier_invite("own", &sdp));
        shard.next_response(100);
        shard.next().message.status().map(|status| status.code())
    };
    let listen = "203.0.113.77:9100";
    assert_eq!(status(listen, "203.0.113.77", 9100), Some(488));
    // Nothing at such an address is for media.
    assert_eq!(status(listen, "203.0.113.77", 20_000), Some(488));
    assert_eq!(status(listen, "203.0.113.78", 9100), None);
    // At an address of a realm its media ports are.
    let listen = "192.0.2.11:9100";
    assert_eq!(status(listen, "192.0.2.11", 9100), Some(488));
    assert_eq!(status(listen, "192.0.2.11", 20_000), None);
}
