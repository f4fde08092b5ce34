//! Offers and answers through the server: what goes out, and what the relay is told.

mod support;

use media_api::{Content, Direction, Nearby, Protection, SourcePolicy, Suite};
use serde_json::{Value, json};
use support::{Site, key};

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    a=group:BUNDLE 0\r\na=x-own:kept\r\nm=audio 4000 RTP/AVP 8 0 101\r\nb=AS:64\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:30\r\na=sendrecv\r\n\
    a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\na=ice-ufrag:abcd\r\n";
const ANSWER: &str = "v=0\r\no=- 3 4 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
    m=audio 5000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n";
/// Thirty octets of 9.
const KEY: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ";

fn sdp(answer: &Value) -> String {
    assert_eq!(answer["result"], "ok", "{answer}");
    answer["sdp"].as_str().expect("a description").to_owned()
}

fn why(answer: &Value) -> &str {
    assert_eq!(answer["result"], "error", "{answer}");
    answer["error-reason"].as_str().expect("a reason")
}

#[test]
fn a_plain_call_goes_through_with_everything_else_as_written() {
    let mut site = Site::new();
    let offer = sdp(&site.offer(OFFER, json!({})));
    assert_eq!(
        offer,
        "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
         a=x-own:kept\r\nm=audio 20100 RTP/AVP 8 0 101\r\nc=IN IP4 198.51.100.1\r\nb=AS:64\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:30\r\na=sendrecv\r\n\
         a=rtcp:20101\r\n"
    );
    let answer = sdp(&site.answer(
        ANSWER,
        json!({"replace": ["origin"], "flags": ["asymmetric"]}),
    ));
    assert_eq!(
        answer,
        "v=0\r\no=- 3 4 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 0 96\r\nc=IN IP4 198.51.100.1\r\na=rtpmap:96 telephone-event/8000\r\n"
    );
    let [a, b] = site.agreed();
    assert_eq!(a.remote_rtp.to_string(), "192.0.2.1:4000");
    assert_eq!(b.remote_rtcp.to_string(), "192.0.2.2:5001");
    assert_eq!((a.ptime_ms, b.ptime_ms), (30, 20));
    assert_eq!(
        (a.protection, b.protection),
        (Protection::None, Protection::None)
    );
    let numbers = |stream: &[media_api::PayloadBinding]| -> Vec<(u8, u8)> {
        stream.iter().map(|own| (own.receive, own.send)).collect()
    };
    // What a party was told it sends; what it has told, we send.
    assert_eq!(numbers(&a.payloads), [(0, 0), (96, 101)]);
    assert_eq!(numbers(&b.payloads), [(0, 0), (101, 96)]);
    let signalling = Some("192.0.2.9".parse().unwrap());
    assert_eq!(
        a.source,
        SourcePolicy::Restricted(Nearby {
            signalling,
            ..Nearby::default()
        })
    );
    assert_eq!(b.source, SourcePolicy::Signalled);
}

#[test]
fn srtp_is_put_on_and_taken_off() {
    let mut site = Site::new();
    let offer = sdp(&site.offer(
        OFFER,
        json!({"transport-protocol": "RTP/SAVP", "direction": ["outside", "inside"]}),
    ));
    assert!(offer.contains("c=IN IP4 203.0.113.1\r\n"), "{offer}");
    assert!(offer.contains("m=audio 20100 RTP/SAVP 8 0 101\r\n"));
    let own = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC";
    assert!(offer.contains(&format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{own}\r\n"
    )));
    assert!(offer.contains(&format!(
        "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{own}\r\n"
    )));
    assert_eq!(offer.matches("a=crypto:").count(), 8, "{offer}");
    assert!(offer.contains("a=crypto:8 AEAD_AES_256_GCM inline:"));
    let secure = |tag: u8| {
        ANSWER.replace("RTP/AVP", "RTP/SAVP")
            + &format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_32 inline:{KEY}\r\n")
    };
    let wrong = site.answer(&secure(1), json!({}));
    assert!(why(&wrong).contains("tag or suite"));
    let answer = sdp(&site.answer(&secure(2), json!({})));
    assert!(answer.contains("m=audio 20000 RTP/AVP 0 96\r\n") && !answer.contains("crypto"));
    let [a, b] = site.agreed();
    assert_eq!(a.protection, Protection::None);
    let suite = Suite::AesCm128HmacSha1_32;
    let (local, remote) = (key(suite, 2), key(suite, 9));
    assert_eq!(b.protection, Protection::Sdes { local, remote });
}

#[test]
fn suites_are_offered_as_wished_under_the_tags_that_an_answer_is_read_by() {
    for wish in [
        json!({"SDES": ["only-AEAD_AES_256_GCM"]}),
        json!({"flags": ["SDES-only-AEAD_AES_256_GCM"]}),
    ] {
        let mut more = wish;
        more["transport-protocol"] = "RTP/SAVP".into();
        let mut site = Site::new();
        let offer = sdp(&site.offer(OFFER, more));
        assert_eq!(offer.matches("a=crypto:").count(), 1, "{offer}");
        assert!(offer.contains("a=crypto:8 AEAD_AES_256_GCM inline:"));
        let key = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
        let secure = ANSWER.replace("RTP/AVP", "RTP/SAVP")
            + &format!("a=crypto:8 AEAD_AES_256_GCM inline:{key}\r\n");
        sdp(&site.answer(&secure, json!({})));
        let [_, b] = site.agreed();
        let Protection::Sdes { remote, .. } = b.protection else {
            panic!("keys")
        };
        assert_eq!(remote.suite(), Suite::AeadAes256Gcm);
    }
    let secure = |wish: Value| json!({"transport-protocol": "RTP/SAVP", "SDES": wish});
    let mut site = Site::new();
    let wish = secure(json!([
        "no-AES_CM_128_HMAC_SHA1_32",
        "no-F8_128_HMAC_SHA1_80"
    ]));
    let offer = sdp(&site.offer(OFFER, wish));
    assert_eq!(offer.matches("a=crypto:").count(), 7, "{offer}");
    assert!(!offer.contains("AES_CM_128_HMAC_SHA1_32"));
    let mut site = Site::new();
    let none = secure(json!(["only-F8_128_HMAC_SHA1_80"]));
    assert!(why(&site.offer(OFFER, none)).contains("no suite"));
    let mut off = secure(json!("off"));
    off["DTLS"] = "off".into();
    assert!(why(&site.offer(OFFER, off)).contains("leave nothing"));
    // A key that was left out is none that an answer could take.
    let mut site = Site::new();
    let all = sdp(&site.offer(OFFER, json!({"transport-protocol": "RTP/SAVP"})));
    let mut lines = all.lines();
    let line = lines.find(|line| line.contains(" AES_CM_128_HMAC_SHA1_80 "));
    let (begin, _) = line
        .and_then(|line| line.split_once("inline:"))
        .expect("a key");
    let mut site = Site::new();
    sdp(&site.offer(OFFER, secure(json!(["no-AES_CM_128_HMAC_SHA1_80"]))));
    let taken =
        ANSWER.replace("RTP/AVP", "RTP/SAVP") + &format!("{begin}inline:{}\r\n", "CQkJ".repeat(10));
    assert!(why(&site.answer(&taken, json!({}))).contains("was not offered"));
    // What is not SRTP is not touched.
    let mut site = Site::new();
    sdp(&site.offer(OFFER, json!({"SDES": "off"})));
}

#[test]
fn an_answer_without_the_srtp_that_was_offered_is_refused() {
    let mut site = Site::new();
    sdp(&site.offer(OFFER, json!({"transport-protocol": "RTP/SAVP"})));
    site.told.clear();
    assert!(why(&site.answer(ANSWER, json!({}))).contains("without SRTP"));
    assert!(site.told.is_empty(), "nothing is sent in clear");

    let mut site = Site::new();
    sdp(&site.offer(OFFER, json!({})));
    let secure = ANSWER.replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    assert!(why(&site.answer(&secure, json!({}))).contains("not offered"));
}

#[test]
fn keys_at_odd_places_do_not_reach_the_other_party() {
    let mut site = Site::new();
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\nk=clear:{KEY}\r\n");
    let odd = OFFER.replace("a=x-own:kept\r\n", &format!("a=x-own:kept\r\n{crypto}"));
    let offer = sdp(&site.offer(&format!("{odd}k=clear:{KEY}\r\n"), json!({})));
    assert!(
        offer.contains("a=x-own:kept") && !offer.contains(KEY),
        "{offer}"
    );
}

#[test]
fn who_offers_srtp_gets_one_key_back_under_its_tag() {
    let mut site = Site::new();
    let secure = OFFER.replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 F8_128_HMAC_SHA1_80 inline:{KEY}\r\n")
        + &format!("a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let offer = sdp(&site.offer(&secure, json!({"transport-protocol": "RTP/AVP"})));
    assert!(
        offer.contains("RTP/AVP 8 0 101") && !offer.contains("crypto"),
        "{offer}"
    );
    let answer = sdp(&site.answer(ANSWER, json!({})));
    assert!(answer.contains("m=audio 20000 RTP/SAVP 0 96\r\n"));
    let own = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    assert!(answer.ends_with(&format!(
        "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{own}\r\n"
    )));
    let [a, b] = site.agreed();
    let suite = Suite::AesCm128HmacSha1_80;
    let (local, remote) = (key(suite, 1), key(suite, 9));
    assert_eq!(a.protection, Protection::Sdes { local, remote });
    assert_eq!(b.protection, Protection::None);
}

#[test]
fn one_port_for_rtp_and_rtcp_is_agreed_with_each_party_alone() {
    let muxed = format!("{OFFER}a=rtcp-mux\r\n");
    for (wish, is_offered, answers, is_agreed) in [
        (json!([]), true, true, true),
        (json!([]), true, false, false),
        (json!(["demux"]), false, false, false),
    ] {
        let mut site = Site::new();
        let offer = sdp(&site.offer(&muxed, json!({"rtcp-mux": wish})));
        assert_eq!(offer.contains("a=rtcp-mux\r\n"), is_offered);
        let line = if answers { "a=rtcp-mux\r\n" } else { "" };
        let answer = sdp(&site.answer(&format!("{ANSWER}{line}"), json!({})));
        assert!(answer.contains("a=rtcp-mux\r\n"));
        let [a, b] = site.agreed();
        assert!(a.rtcp_mux && a.remote_rtcp == a.remote_rtp);
        assert_eq!(b.rtcp_mux, is_agreed);
        assert_eq!(b.remote_rtcp.port(), if is_agreed { 5000 } else { 5001 });
    }
    let mut site = Site::new();
    let offer = sdp(&site.offer(OFFER, json!({"rtcp-mux": ["offer"]})));
    assert!(offer.contains("a=rtcp-mux\r\n"));
}

#[test]
fn reports_have_a_port_of_their_own_where_one_for_both_is_not_agreed() {
    let muxed = format!("{OFFER}a=rtcp-mux\r\n");
    // Refused to who offers it, in the offer or in the answer.
    for (offer, answer) in [
        (json!({}), json!({"rtcp-mux": ["demux"]})),
        (json!({"rtcp-mux": ["reject"]}), json!({})),
        (json!({"flags": ["rtcp-mux-reject"]}), json!({})),
    ] {
        let mut site = Site::new();
        // And offered on all the same.
        let offered = sdp(&site.offer(&muxed, offer.clone()));
        assert!(offered.contains("a=rtcp-mux\r\n"), "{offer}: {offered}");
        let told = sdp(&site.answer(ANSWER, answer));
        assert!(!told.contains("a=rtcp-mux"), "{offer}: {told}");
        let [a, _] = site.agreed();
        assert!(!a.rtcp_mux);
        assert_eq!(a.remote_rtcp.to_string(), "192.0.2.1:4001");
    }
    // Answered without having been offered.
    let mut site = Site::new();
    sdp(&site.offer(OFFER, json!({})));
    sdp(&site.answer(&format!("{ANSWER}a=rtcp-mux\r\n"), json!({})));
    let [_, b] = site.agreed();
    assert!(!b.rtcp_mux);
    assert_eq!(b.remote_rtcp.to_string(), "192.0.2.2:5001");
}

#[test]
fn packets_are_as_long_as_a_party_can_take_within_what_we_make() {
    for (lines, wanted) in [
        ("a=ptime:80\r\n", 60),
        ("a=ptime:5\r\n", 10),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:40\r\na=maxptime:30\r\n", 30),
        ("", 20),
    ] {
        let mut site = Site::new();
        sdp(&site.offer(OFFER, json!({})));
        sdp(&site.answer(&format!("{ANSWER}{lines}"), json!({})));
        assert_eq!(site.agreed()[1].ptime_ms, wanted, "{lines}");
    }
}

#[test]
fn hold_and_resume_come_from_either_party() {
    let mut site = Site::new();
    sdp(&site.offer(OFFER, json!({})));
    sdp(&site.answer(ANSWER, json!({})));
    // The one that was called holds, in the old form.
    let hold = ANSWER.replace("c=IN IP4 192.0.2.2", "c=IN IP4 0.0.0.0");
    let tags = json!({"from-tag": "b", "to-tag": "a"});
    let offer = sdp(&site.offer(&hold, tags.clone()));
    assert!(
        offer.contains("m=audio 20000 RTP/AVP 0 96\r\nc=IN IP4 0.0.0.0\r\n"),
        "{offer}"
    );
    let wrong = site.answer(OFFER, json!({"to-tag": "b"}));
    assert!(why(&wrong).contains("another party"));
    let held = OFFER.replace("a=sendrecv", "a=recvonly");
    let answer = sdp(&site.answer(&held, tags.clone()));
    assert!(answer.contains("m=audio 20100 "));
    let [a, b] = site.agreed();
    assert_eq!(
        (a.direction, b.direction),
        (Direction::Send, Direction::Receive)
    );
    assert!(b.remote_rtp.ip().is_unspecified());
    sdp(&site.offer(ANSWER, tags.clone()));
    sdp(&site.answer(OFFER, tags));
    let [a, b] = site.agreed();
    assert_eq!(
        (a.direction, b.direction),
        (Direction::SendReceive, Direction::SendReceive)
    );
}

#[test]
fn a_fax_takes_the_place_of_the_audio() {
    let mut site = Site::new();
    sdp(&site.offer(OFFER, json!({})));
    sdp(&site.answer(ANSWER, json!({})));
    let fax = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 8\r\nm=image 4100 udptl t38\r\n\
               a=T38FaxVersion:0\r\n";
    let tags = json!({"to-tag": "b"});
    let offer = sdp(&site.offer(fax, tags));
    assert!(
        offer.contains("m=audio 0 RTP/AVP 8\r\nm=image 20100 udptl t38\r\n"),
        "{offer}"
    );
    assert!(offer.ends_with("a=T38FaxVersion:0\r\n"));
    let answer = fax
        .replace("192.0.2.1", "192.0.2.2")
        .replace("4100", "5100");
    let answer = sdp(&site.answer(&answer, json!({})));
    assert!(answer.contains("m=image 20000 udptl t38\r\n"));
    let [a, b] = site.agreed();
    assert_eq!((a.content, b.content), (Content::Udptl, Content::Udptl));
    // 200 datagrams a second.
    assert_eq!((a.ptime_ms, b.ptime_ms), (10, 10));
    assert_eq!(b.remote_rtp.to_string(), "192.0.2.2:5100");
}

#[test]
fn lines_that_cannot_be_relayed_are_refused_and_the_rest_goes_on() {
    let mut site = Site::new();
    let more = format!("{OFFER}m=video 4002 RTP/AVP 31\r\nm=audio 4004 RTP/AVP 0\r\n");
    let offer = sdp(&site.offer(&more, json!({})));
    assert!(
        offer.contains("m=video 0 RTP/AVP 31\r\nm=audio 20102 RTP/AVP 0\r\n"),
        "{offer}"
    );
    let few = site.answer(ANSWER, json!({}));
    assert!(why(&few).contains("1 m= lines, the offer had 3"));
    let answer = format!("{ANSWER}m=video 0 RTP/AVP 31\r\nm=audio 0 RTP/AVP 0\r\n");
    let answer = sdp(&site.answer(&answer, json!({})));
    assert!(answer.contains("m=video 0 RTP/AVP 31\r\nm=audio 0 RTP/AVP 0\r\n"));
    let [a, _] = site.all_agreed();
    assert!(a.streams[0].is_some() && a.streams[1].is_none());

    // A line that the answer refuses has the transport that was offered.
    let mut site = Site::new();
    sdp(&site.offer(
        &format!("{OFFER}m=audio 4004 RTP/AVP 0\r\n"),
        json!({"transport-protocol": "RTP/SAVP"}),
    ));
    let answer = ANSWER.replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\nm=audio 0 RTP/SAVP 0\r\n");
    let answer = sdp(&site.answer(&answer, json!({})));
    assert!(answer.ends_with("m=audio 0 RTP/AVP 0\r\n"), "{answer}");

    let mut site = Site::new();
    let dtls = OFFER.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
    assert!(why(&site.offer(&dtls, json!({}))).contains("without an a=crypto or a=fingerprint"));
    let keyless = OFFER.replace("RTP/AVP", "RTP/SAVP");
    assert!(why(&site.offer(&keyless, json!({}))).contains("without an a=crypto"));
    let loopback = OFFER.replace("192.0.2.1", "127.0.0.1");
    assert!(why(&site.offer(&loopback, json!({}))).contains("no address"));
    assert_eq!(site.server.calls(), 0);
}

#[test]
fn addresses_of_six_octet_groups_are_bridged_and_a_missing_family_is_named() {
    let mut site = Site::new();
    let offer = sdp(&site.offer(
        OFFER,
        json!({"address family": "IP6", "direction": ["outside", "inside"]}),
    ));
    assert!(offer.contains("c=IN IP6 2001:db8::1\r\n"), "{offer}");
    let six = ANSWER.replace("IN IP4 192.0.2.2", "IN IP6 2001:db8::2");
    let answer = sdp(&site.answer(&six, json!({})));
    assert!(answer.contains("c=IN IP4 198.51.100.1\r\n") && !answer.contains("c=IN IP6"));
    let mut site = Site::new();
    let none = site.offer(OFFER, json!({"address family": "IP6"}));
    assert!(why(&none).contains("\"outside\" has no IPv6 address"));
    let wrong = site.offer(OFFER, json!({"direction": ["outside", "nowhere"]}));
    assert!(why(&wrong).contains("known: outside, inside"));
}
