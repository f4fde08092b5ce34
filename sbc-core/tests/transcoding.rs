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
const WIDEBAND: &str = "codecs = [\"G722\", \"opus\"]";

fn with(line: &str) -> String {
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
