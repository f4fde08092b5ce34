//! Calls whose media cannot be served: descriptions, ports, keys.

use super::{Row, at_once, over, row};
use crate::{dtls, transcoding, world};
use media_api::{AllocateError, Event as MediaEvent, HandshakeFault};
use sbc_core::input::Input;
use sbc_core::record::Record;
use sbc_core::sip::Method;
use sbc_core::trouble::Trouble;
use world::call::Call;
use world::*;

/// A call of the carrier with this description.
fn offered_under(config: &str, sdp: &str) -> Record {
    let mut shard = Shard::with(config_of(config));
    shard.carrier_says(&carrier_invite("call", sdp));
    at_once(shard)
}

/// The usual description of the carrier with something else in a place.
fn offered(place: &str, other: &str) -> Record {
    assert!(CARRIER_SDP.contains(place), "{place}");
    offered_under(CONFIG, &CARRIER_SDP.replace(place, other))
}

/// The same of Teams.
fn of_teams(place: &str, other: &str) -> Record {
    assert!(TEAMS_SDP.contains(place), "{place}");
    let invite = teams_invite("call");
    let (head, _) = invite.split_once("Content-Type").expect("a body");
    let mut shard = Shard::new();
    shard.teams_says(&with_body(head, &TEAMS_SDP.replace(place, other)));
    at_once(shard)
}

/// Teams answers without any description.
fn undescribed() -> Record {
    let (mut shard, invite) = called_out("call");
    let answer = response(&invite.message, "200 OK", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&answer);
    over(shard)
}

/// The carrier's trunk with another line.
fn carrier_with(line: &str) -> String {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    CONFIG.replace(codecs, &format!("{line}\n{codecs}"))
}

/// The carrier's trunk demands DTLS-SRTP, and its offer has this in place of its lines for it.
fn dtls_offered(place: &str, other: &str) -> Record {
    let sdp = dtls::carrier("actpass", "AA", dtls::ONE);
    assert!(sdp.contains(place), "{place}");
    offered_under(&carrier_with("srtp = \"dtls\""), &sdp.replace(place, other))
}

/// Keys in the description, where the trunk demands those of a handshake.
fn keys_in_the_description() -> Record {
    let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";
    let sdp = CARRIER_SDP.replace("RTP/AVP", "RTP/SAVP");
    let sdp = sdp.replace("a=sendrecv", &format!("{key}\na=sendrecv"));
    offered_under(&carrier_with("srtp = \"dtls\""), &sdp)
}

/// Keys of a handshake, where the trunk demands those in the description.
fn teams_with_dtls() -> Record {
    let print = format!(
        "a=setup:actpass\na=fingerprint:sha-256 {}",
        ["AA"; 32].join(":")
    );
    let sdp = TEAMS_SDP.replace("RTP/SAVP", "UDP/TLS/RTP/SAVP");
    let lines = sdp.lines().map(|line| match line.starts_with("a=crypto") {
        true => &print[..],
        false => line,
    });
    let sdp = lines.collect::<Vec<_>>().join("\n") + "\n";
    let invite = teams_invite("call");
    let (head, _) = invite.split_once("Content-Type").expect("a body");
    let mut shard = Shard::new();
    shard.teams_says(&with_body(head, &sdp));
    at_once(shard)
}

/// The relay has no ports, for this reason.
fn without_ports(why: AllocateError) -> Record {
    let mut shard = Shard::new();
    shard.hold_media = true;
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    let asked = shard.asked().pop().expect("ports were asked for");
    let media_api::Command::Allocate { session, endpoints } = asked else {
        panic!("{asked:?}");
    };
    let endpoints = endpoints.iter().map(|spec| spec.endpoint).collect();
    shard.apply(Input::Media(MediaEvent::Refused {
        session,
        endpoints,
        why,
    }));
    at_once(shard)
}

fn relay_lost() -> Record {
    let mut call = Call::new();
    let asked = call.shard.asked().remove(0);
    let media_api::Command::Allocate { session, .. } = asked else {
        panic!("{asked:?}");
    };
    call.shard.apply(Input::Media(MediaEvent::Lost { session }));
    over(call.shard)
}

fn handshake(why: HandshakeFault) -> Record {
    let sdp = dtls::carrier("actpass", "AA", dtls::ONE);
    let mut call = Call::offered(dtls::shard(), &sdp);
    dtls::fails(&mut call.shard, dtls::CALLER, why);
    over(call.shard)
}

/// The caller of a call whose sides have nothing in common.
fn no_common_codec() -> Record {
    let wideband = format!("{}\ntranscode = false", transcoding::WIDEBAND);
    offered_under(&transcoding::with(&wideband), CARRIER_SDP)
}

/// The target of a transfer has another codec, and whom it is to talk to refuses that.
fn party_codec() -> Record {
    let (mut call, invite) = crate::transfer::referred_by_teams();
    let pcmu = TEAMS_SDP.replace("RTP/SAVP 8 0 101", "RTP/SAVP 0 101");
    let pcmu = pcmu.replace("a=rtpmap:8 PCMA/8000\n", "");
    let answer = response(&invite, "200 OK", "z1", TEAMS_CONTACT, &pcmu);
    call.shard.teams_says(&answer);
    let is_told = |sent: &&Sent| {
        let is_invite = *sent.message.method() == Method::Invite;
        sent.message.is_request() && is_invite && sent.hop.remote.to_string() == CARRIER
    };
    let told = call.shard.sent.iter().find(is_told);
    let told = told.expect("a re-INVITE").message.clone();
    let refusal = response(&told, "488 Not Acceptable Here", "", "", "");
    call.shard.carrier_says(&refusal);
    over(call.shard)
}

const OF_CARRIER: &str = "the description of the media (SDP) from trunk \"carrier-a\"";
const OF_TEAMS: &str = "the description of the media (SDP) from trunk \"teams-contoso\"";
const PEER: &str = "the peer of trunk \"carrier-a\"";
const AUDIO: &str = "m=audio 6000 RTP/AVP 8 0 101";
const PRINT: &str = "a=fingerprint:sha-256";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = descriptions();
    rows.extend(keys());
    rows.extend(relay());
    rows
}

fn descriptions() -> Vec<Row> {
    vec![
        row(
            Trouble::NoAudioLine,
            || offered(AUDIO, "m=video 6000 RTP/AVP 99"),
            &[OF_CARRIER, "488 "],
            &[PEER, "audio"],
        ),
        row(
            Trouble::BadDescription,
            || offered("o=- 1 1 IN IP4 198.51.100.30", "o=nonsense"),
            &[OF_CARRIER, "breaks the rules of SDP", "488 "],
            &[PEER, "causeway sdp parse"],
        ),
        row(
            Trouble::TooManyLines,
            || {
                let others = "m=video 0 RTP/AVP 99\n".repeat(40);
                offered(AUDIO, &format!("{others}{AUDIO}"))
            },
            &[OF_CARRIER, "more media lines than are read", "488 "],
            &[PEER, "one audio line"],
        ),
        row(
            Trouble::MediaOff,
            || offered("m=audio 6000", "m=audio 0"),
            &[OF_CARRIER, "port 0", "488 "],
            &[PEER, "audio"],
        ),
        row(
            Trouble::MediaTransport,
            || offered("RTP/AVP", "TCP/RTP/AVP"),
            &[OF_CARRIER, "transport", "488 "],
            &[PEER, "RTP/AVP"],
        ),
        row(
            Trouble::MediaNoAddress,
            || offered("c=IN IP4 198.51.100.30", "c=IN IP4 media.example.com"),
            &[OF_CARRIER, "no usable connection address", "488 "],
            &[PEER, "IP address", "c="],
        ),
        row(
            Trouble::MediaFamily,
            || offered("c=IN IP4 198.51.100.30", "c=IN IP6 2001:db8::30"),
            &[OF_CARRIER, "other IP family", "488 "],
            &["[[realm]] of trunk \"carrier-a\""],
        ),
        row(
            Trouble::MediaOwnPlace,
            || {
                let sdp = CARRIER_SDP.replace("c=IN IP4 198.51.100.30", "c=IN IP4 192.0.2.11");
                offered_under(CONFIG, &sdp.replace("m=audio 6000", "m=audio 5060"))
            },
            &[OF_CARRIER, "our own", "488 "],
            &[PEER, "our own address"],
        ),
        row(
            Trouble::MediaLowPort,
            || offered("m=audio 6000", "m=audio 600"),
            &[OF_CARRIER, "port below 1024", "488 "],
            &["low_media_ports = true in trunk \"carrier-a\""],
        ),
        row(
            Trouble::MediaPortCount,
            || offered("m=audio 6000", "m=audio 6000/2"),
            &[OF_CARRIER, "several ports", "488 "],
            &[PEER, "one port"],
        ),
        row(
            Trouble::NoCodec,
            || offered("RTP/AVP 8 0 101", "RTP/AVP 18 101"),
            &[OF_CARRIER, "no codec that this trunk allows", "488 "],
            &["codecs of trunk \"carrier-a\"", "PCMA"],
        ),
        row(
            Trouble::AnswerMismatch,
            undescribed,
            &[OF_TEAMS, "accepts nothing that was offered"],
            &["the peer of trunk \"teams-contoso\""],
        ),
        row(
            Trouble::NoCommonCodec,
            no_common_codec,
            &["share no codec", "trunk \"teams-contoso\"", "488 "],
            &["codecs of both trunks", "transcode = true"],
        ),
        row(
            Trouble::PartyCodec,
            party_codec,
            &["two parties of a transfer share no codec"],
            &["codecs of the trunks of all parties"],
        ),
    ]
}

fn keys() -> Vec<Row> {
    vec![
        row(
            Trouble::SrtpMissing,
            || of_teams("RTP/SAVP", "RTP/AVP"),
            &[OF_TEAMS, "requires SRTP", "488 "],
            &["the peer of trunk \"teams-contoso\"", "SRTP on"],
        ),
        row(
            Trouble::SrtpOff,
            || {
                let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw\n";
                let sdp = CARRIER_SDP.replace("RTP/AVP", "RTP/SAVP");
                offered_under(
                    CONFIG,
                    &sdp.replace("a=sendrecv", &format!("{key}a=sendrecv")),
                )
            },
            &[OF_CARRIER, "SRTP switched off", "488 "],
            &["srtp = \"optional\"", "trunk \"carrier-a\""],
        ),
        row(
            Trouble::SrtpKey,
            || of_teams("a=crypto", "a=x-crypto"),
            &[OF_TEAMS, "no crypto line", "488 "],
            &["a=crypto", "srtp_suites of trunk \"teams-contoso\""],
        ),
        row(
            Trouble::DtlsOff,
            teams_with_dtls,
            &[OF_TEAMS, "DTLS-SRTP", "488 "],
            &["srtp = \"dtls\" in trunk \"teams-contoso\""],
        ),
        row(
            Trouble::DtlsMissing,
            keys_in_the_description,
            &[OF_CARRIER, "no DTLS-SRTP", "488 "],
            &["srtp = \"required\" in trunk \"carrier-a\""],
        ),
        row(
            Trouble::DtlsNoFingerprint,
            || dtls_offered(PRINT, "a=x-fingerprint:sha-256"),
            &[OF_CARRIER, "a=fingerprint", "488 "],
            &[PEER, "a=fingerprint with sha-256"],
        ),
        row(
            Trouble::DtlsSetup,
            || dtls_offered("a=setup:actpass", "a=setup:holdconn"),
            &[OF_CARRIER, "a=setup", "488 "],
            &[PEER, "a=setup:actpass"],
        ),
        row(
            Trouble::DtlsFingerprint,
            || handshake(HandshakeFault::Fingerprint),
            &["agreed on no keys", "the calling side", "certificate"],
            &["compare a=fingerprint"],
        ),
        row(
            Trouble::DtlsTimeout,
            || handshake(HandshakeFault::Timeout),
            &[
                "agreed on no keys",
                "the calling side",
                "not answered in time",
            ],
            &["UDP in both directions"],
        ),
        row(
            Trouble::DtlsHandshake,
            || handshake(HandshakeFault::Handshake),
            &["agreed on no keys", "nothing in common"],
            &["DTLS 1.2"],
        ),
        row(
            Trouble::DtlsClosed,
            || handshake(HandshakeFault::Closed),
            &["agreed on no keys", "the peer has ended it"],
            &["media gateway closed it"],
        ),
    ]
}

fn relay() -> Vec<Row> {
    vec![
        row(
            Trouble::PortsExhausted,
            || without_ports(AllocateError::PortsExhausted),
            &["no media ports are left", "trunk \"carrier-a\""],
            &["ports of the [[realm]]"],
        ),
        row(
            Trouble::RealmNoAddress,
            || without_ports(AllocateError::NoAddress),
            &["no media ports", "IP version"],
            &["addresses of the [[realm]]"],
        ),
        row(
            Trouble::SocketsRefused,
            || without_ports(AllocateError::Socket),
            &["no media ports", "operating system"],
            &["LimitNOFILE"],
        ),
        row(
            Trouble::RelayConflict,
            || without_ports(AllocateError::Conflict),
            &["no media ports", "contradict each other"],
            &["report it"],
        ),
        row(
            Trouble::RelayUnavailable,
            || without_ports(AllocateError::Unavailable),
            &["no media ports", "stops or is overloaded"],
            &["calls in [limits]"],
        ),
        row(
            Trouble::RelayLost,
            relay_lost,
            &["media of the call were lost", "media relay ended"],
            &["journal"],
        ),
    ]
}
