//! Calls whose two sides have no codec in common: who is offered what, how many there may be, and what an
//! operator says of it (MED-200, MED-242).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, Source, load};
use sbc_core::media::Transcode;
use sbc_core::sip::Method;
use world::*;

const TEAMS_TRUNK: &str = "name = \"teams-contoso\"";
/// The carrier has G.711 and what goes with it, the proxy wideband alone.
pub(crate) const WIDEBAND: &str = "codecs = [\"G722\", \"opus\"]";

pub(crate) fn with(line: &str) -> String {
    CONFIG.replacen(TEAMS_TRUNK, &format!("{TEAMS_TRUNK}\n{line}"), 1)
}

fn offered(line: &str) -> Result<String, String> {
    let mut shard = Shard::with(config_of(&with(line)));
    shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
    shard.next_response(100);
    match shard.records.last() {
        Some(record) => Err(record.cause.because.0.join("; ")),
        None => {
            let invite = shard.next_request(Method::Invite).message;
            let body = String::from_utf8(invite.body().to_vec()).unwrap();
            let line = body.lines().find(|line| line.starts_with("m=audio"));
            Ok(line.unwrap().to_owned())
        }
    }
}

#[test]
fn a_peer_without_any_codec_of_the_caller_is_offered_its_own() {
    let offer = offered(WIDEBAND).unwrap();
    assert!(offer.contains("RTP/SAVP 9 96 "), "{offer}");
    let why = offered(&format!("{WIDEBAND}\ntranscode = false")).unwrap_err();
    assert!(
        why.contains("no codec in common, nor two that may be transcoded"),
        "{why}"
    );
    // Nothing is offered that the caller has not, as long as there is something in common.
    assert!(!offered("").unwrap().contains(" 9"), "{:?}", offered(""));
    let offer = offered("transcode = [\"opus\"]").unwrap();
    let (common, made) = offer.split_once(" 96").expect("Opus");
    assert!(common.contains(" 8"), "{offer}");
    assert!(!made.contains(" 8 "), "{offer}");
}

#[test]
fn no_more_calls_are_transcoded_than_there_may_be() {
    let text = with(WIDEBAND) + "\n[limits]\ntranscoding = 1\n";
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    shard.next_response(503);
    let record = shard.records.last().expect("a record");
    assert_eq!(record.cause.code, CauseCode::LimitReached);
    let why = record.cause.because.0.join("; ");
    assert_eq!(why, "transcoding ([limits] transcoding) has its 1 calls");
    // Who needs none is not held up.
    let mut shard = Shard::with(config_of(
        &(CONFIG.to_owned() + "\n[limits]\ntranscoding = 0\n"),
    ));
    shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn what_is_offered_on_top_has_a_place_before_it_rings_and_is_left_out_without_one() {
    let text = with("transcode = [\"opus\"]") + "\n[limits]\ntranscoding = 1\n";
    let mut shard = Shard::with(config_of(&text));
    let mut offered = |id: &str| {
        shard.carrier_says(&carrier_invite(id, CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let body = String::from_utf8(invite.body().to_vec()).unwrap();
        assert!(body.contains("PCMA/8000"), "{body}");
        (invite, body.contains("opus"))
    };
    let (first, has_opus) = offered("one");
    assert!(has_opus);
    assert!(
        !offered("two").1,
        "the only place is that of the first call"
    );
    // Who is called takes what passes, and the place goes back.
    answered(&mut shard, &first, TEAMS_SDP);
    let mut again = |id: &str| {
        shard.carrier_says(&carrier_invite(id, CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        String::from_utf8(invite.body().to_vec())
            .unwrap()
            .contains("opus")
    };
    assert!(again("three"));
}

#[test]
fn what_an_operator_says_of_transcoding_is_checked() {
    let transcode = |line: &str| {
        let config = config_of(&with(line));
        let (_, trunk) = config
            .trunks
            .iter()
            .find(|(name, _)| name.as_str() == "teams-contoso")
            .unwrap();
        trunk.media.profile.transcode.clone()
    };
    assert_eq!(transcode(""), Transcode::OnDemand);
    assert_eq!(transcode("transcode = true"), Transcode::OnDemand);
    assert_eq!(transcode("transcode = false"), Transcode::Never);
    let Transcode::Offered(list) = transcode("transcode = [\"opus\", \"G722\"]") else {
        panic!("a list")
    };
    assert_eq!(list.len(), 2);
    for (line, told) in [
        (
            "transcode = [\"G729\"]",
            "G729 is relayed only, never transcoded",
        ),
        ("transcode = [\"opuss\"]", "codec \"opuss\" is unknown"),
        (
            "transcode = \"opus\"",
            "\"transcode\" must be true, false or a list in [ ]",
        ),
    ] {
        let text = with(line);
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let findings = load(&[Source::new("test.toml", &text)], &facts, None).map(|_| ());
        let findings = findings.expect_err("a finding").to_text();
        assert!(findings.contains(told), "{findings}");
    }
}

/// Teams' answer with this codec alone.
fn teams_with(number: u8, map: &str) -> String {
    let sdp = TEAMS_SDP.replace("RTP/SAVP 8 0 101", &format!("RTP/SAVP {number} 101"));
    let sdp = sdp.replace("a=rtpmap:0 PCMU/8000\n", "");
    sdp.replace("rtpmap:8 PCMA/8000", &format!("rtpmap:{number} {map}"))
}

/// A number that a trunk with nothing but G.722 takes.
const WIDE: &str = "
[[trunk]]
name = \"wide\"
preset = \"carrier\"
tenant = \"*\"
realm = \"carrier\"
targets = [\"198.51.100.60:5060;udp\"]
accept_from = [\"198.51.100.60\"]
codecs = [\"G722\"]

[[route]]
name = \"wide\"
match = { called_in = \"tenant:contoso\", called = '^\\+493023125999$', from_trunk = \"carrier-a\" }
to = [{ trunk = \"wide\" }]
";

/// How many places among those that are transcoded a call has at each moment that `play` marks: those that
/// it has more where they are limited.
fn counted(config: &str, play: impl Fn(&mut Shard, &mut dyn FnMut(&Shard))) -> Vec<usize> {
    let all = ["\n[limits]\ntranscoding = 5\n", ""].map(|limits| {
        let mut shard = Shard::with(config_of(&format!("{config}{limits}")));
        let mut places = Vec::new();
        play(&mut shard, &mut |shard| {
            places.push(shard.core.census().places)
        });
        places
    });
    let pairs = all[0].iter().zip(&all[1]);
    pairs.map(|(limited, free)| limited - free).collect()
}

fn answered(
    shard: &mut Shard,
    invite: &sbc_core::sip::Message,
    sdp: &str,
) -> sbc_core::sip::Message {
    shard.teams_says(&response(invite, "200 OK", "x1", TEAMS_CONTACT, sdp));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{}ack", call::VIA)));
    ok
}

fn ends(shard: &mut Shard, ok: &sbc_core::sip::Message) {
    shard.carrier_says(&in_dialog(ok, "BYE", 12, &format!("{}bye", call::VIA)));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    shard.pass(std::time::Duration::from_secs(60));
}

#[test]
fn a_transcoded_call_counts_once_and_its_record_says_what_became_of_what() {
    let opus = teams_with(96, "opus/48000/2");
    let g722 = teams_with(9, "G722/8000");
    for (line, sdp, wanted, codec) in [
        // Nothing in common; or a codec that was offered on top, chosen by who is called.
        (WIDEBAND, &g722, [1, 1, 0], Some("G722")),
        ("transcode = [\"opus\"]", &opus, [1, 1, 0], Some("opus")),
        (
            "transcode = [\"opus\"]",
            &TEAMS_SDP.to_owned(),
            [1, 0, 0],
            None,
        ),
    ] {
        let places = counted(&with(line), |shard, mark| {
            shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
            shard.next_response(100);
            let invite = shard.next_request(Method::Invite).message;
            mark(shard);
            let ok = answered(shard, &invite, sdp);
            mark(shard);
            ends(shard, &ok);
            mark(shard);
            let record = shard.records.last().expect("a record");
            let told: Vec<_> = record
                .transcoded
                .iter()
                .map(|own| (own.leg.0, own.heard_by.0, &own.from[..], &own.to[..]))
                .collect();
            match codec {
                Some(codec) => assert_eq!(told, [(0, 1, "PCMA", codec), (1, 0, codec, "PCMA")]),
                None => assert_eq!(told, []),
            }
        });
        assert_eq!(places, wanted, "{line}");
    }
}

#[test]
fn a_call_without_an_offer_and_the_target_of_a_transfer_count_before_they_ring() {
    let late = counted(&with(WIDEBAND), |shard, mark| {
        shard.carrier_says(&carrier_invite("one", ""));
        shard.next_response(100);
        shard.next_request(Method::Invite);
        mark(shard);
        shard.carrier_says(&carrier_cancel("one"));
        shard.pass(std::time::Duration::from_secs(60));
        mark(shard);
    });
    assert_eq!(late, [1, 0]);
    let config = CONFIG.replacen("[[route]]", &format!("{WIDE}\n[[route]]"), 1);
    let transferred = counted(&config, |shard, mark| {
        shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let ok = answered(shard, &invite, TEAMS_SDP);
        mark(shard);
        let refer = in_dialog(&ok, "REFER", 11, &format!("{}refer", call::VIA));
        let lines =
            "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
        shard.carrier_says(&refer.replace("Content-Length", &format!("{lines}Content-Length")));
        shard.next_response(202);
        let notify = shard.next_request(Method::Notify).message;
        shard.carrier_says(&response(&notify, "200 OK", "", "", ""));
        let target = shard.next_request(Method::Invite).message;
        assert!(
            call::formats(&target).starts_with("9"),
            "{}",
            call::formats(&target)
        );
        mark(shard);
        shard.pass(std::time::Duration::from_secs(400));
        mark(shard);
    });
    assert_eq!(transferred, [0, 1, 0]);
}

#[test]
fn a_peer_that_prefers_what_was_offered_on_top_is_asked_for_what_passes_and_once() {
    let mut shard = Shard::with(config_of(&with("transcode = [\"opus\"]")));
    shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let both = TEAMS_SDP
        .replace("RTP/SAVP 8 0 101", "RTP/SAVP 96 8 101")
        .replace("rtpmap:0 PCMU/8000", "rtpmap:96 opus/48000/2");
    answered(&mut shard, &invite, &both);
    let again = shard.next_request(Method::Invite).message;
    let told = call::formats(&again);
    assert!(told.starts_with("8 ") && !told.contains("96"), "{told}");
    let one = teams_with(8, "PCMA/8000").replace("o=- 1 1", "o=- 1 2");
    shard.teams_says(&response(&again, "200 OK", "", TEAMS_CONTACT, &one));
    shard.next_request(Method::Ack);
    assert!(shard.sent.is_empty(), "that is all");
}

/// The last quarter of the places is for those who cannot talk otherwise.
#[test]
fn what_nobody_may_need_leaves_places_for_those_who_need_them() {
    let text =
        with("transcode = [\"opus\"]").replacen("[[route]]", &format!("{WIDE}\n[[route]]"), 1);
    let mut shard = Shard::with(config_of(&(text + "\n[limits]\ntranscoding = 4\n")));
    let mut has_opus = |id: &str| {
        shard.carrier_says(&carrier_invite(id, CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        String::from_utf8_lossy(&invite.body()).contains("opus")
    };
    assert_eq!(
        ["one", "two", "three", "four"].map(&mut has_opus),
        [true, true, true, false]
    );
    let wide = carrier_invite("wide", CARRIER_SDP).replace("+493023125456", "+493023125999");
    shard.carrier_says(&wide);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(String::from_utf8_lossy(&invite.body()).contains("G722"));
}
