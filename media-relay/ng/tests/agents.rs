//! ICE and DTLS-SRTP towards one party, and none of it towards the other.

mod support;

use media_api::{Command, DtlsRole, IceComponent, Protection};
use serde_json::{Value, json};
use support::{Site, fingerprint};

const PLAIN: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8\r\n";
/// A browser hides its address behind a name.
const BROWSER: &str = "v=0\r\no=- 3 4 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 8\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\n\
    a=mid:0\r\na=rtcp-mux\r\na=ice-ufrag:thei\r\na=ice-pwd:theirpasswordof24chars00\r\n\
    a=candidate:1 1 udp 2113937151 0d2c7f5e.local 50004 typ host\r\n\
    a=candidate:2 1 udp 1677729535 192.0.2.2 50004 typ srflx raddr 0.0.0.0 rport 0\r\n\
    a=fingerprint:sha-256 09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09:09\r\n\
    a=setup:SETUP\r\na=rtcp-fb:111 transport-cc\r\n";

fn browser(setup: &str) -> String {
    BROWSER.replace("SETUP", setup)
}

fn sdp(answer: &Value) -> String {
    assert_eq!(answer["result"], "ok", "{answer}");
    answer["sdp"].as_str().expect("a description").to_owned()
}

fn why(answer: &Value) -> &str {
    assert_eq!(answer["result"], "error", "{answer}");
    answer["error-reason"].as_str().expect("a reason")
}

fn line<'s>(sdp: &'s str, start: &str) -> &'s str {
    let found = sdp.lines().find_map(|line| line.strip_prefix(start));
    found.unwrap_or_else(|| panic!("no {start} in {sdp}"))
}

#[test]
fn a_browser_is_called_with_an_agent_and_a_certificate() {
    for wish in [
        json!({"flags": ["WebRTC"]}),
        json!({"transport-protocol": "UDP/TLS/RTP/SAVPF", "ICE": "force", "rtcp-mux": ["offer"],
               "flags": ["no-rtcp-attribute"], "SDES": ["off"]}),
        json!({"rtpp_flags": "UDP/TLS/RTP/SAVPF ICE=force rtcp-mux=[offer] no-rtcp-attribute"}),
    ] {
        let mut site = Site::new();
        let offer = sdp(&site.offer(PLAIN, wish));
        assert!(
            offer.contains("m=audio 20100 UDP/TLS/RTP/SAVPF 8\r\n"),
            "{offer}"
        );
        assert!(offer.contains("\r\na=ice-lite\r\nm=audio"), "{offer}");
        assert!(offer.contains("a=setup:actpass\r\n") && !offer.contains("crypto"));
        assert_eq!(line(&offer, "a=fingerprint:"), fingerprint(2).to_string());
        assert_eq!(
            line(&offer, "a=candidate:"),
            "1 1 UDP 2130706431 198.51.100.1 20100 typ host"
        );
        let told = [line(&offer, "a=ice-ufrag:"), line(&offer, "a=ice-pwd:")];
        let undecided = site.answer(&browser("actpass"), json!({}));
        assert!(why(&undecided).contains("chooses nothing"));
        let answer = sdp(&site.answer(&browser("active"), json!({})));
        for word in [
            "ice",
            "candidate",
            "fingerprint",
            "setup",
            "rtcp-fb",
            "BUNDLE",
        ] {
            assert!(!answer.contains(word), "{word}: {answer}");
        }
        assert!(answer.contains("m=audio 20000 RTP/AVP"));
        let [a, b] = site.agreed();
        assert!(a.ice.is_none() && a.protection == Protection::None);
        let Protection::Dtls(terms) = &b.protection else {
            panic!("{:?}", b.protection)
        };
        assert_eq!(terms.role, DtlsRole::Passive);
        assert_eq!(terms.fingerprints, [fingerprint(9)]);
        let ice = b.ice.expect("an agent");
        assert_eq!([ice.local.fragment(), ice.local.expose_password()], told);
        assert_eq!(ice.remote_fragment, "thei");
        // The name says nothing of where it is.
        let [candidate] = &ice.candidates[..] else {
            panic!("{:?}", ice.candidates)
        };
        assert_eq!(candidate.component, IceComponent::Rtp);
        assert_eq!(candidate.address.to_string(), "192.0.2.2:50004");
        assert!(
            b.direction.sends() && b.direction.receives(),
            "it is found by checks"
        );
    }
}

#[test]
fn feedback_is_asked_of_nobody_as_none_is_passed_on() {
    let mut site = Site::new();
    let offer = sdp(&site.offer(&browser("actpass"), json!({})));
    assert!(offer.contains("RTP/SAVPF"), "{offer}");
    assert!(!offer.contains("rtcp-fb"), "{offer}");
    let answer = sdp(&site.answer(&browser("active"), json!({})));
    assert!(answer.contains("RTP/SAVPF"), "{answer}");
    assert!(!answer.contains("rtcp-fb"), "{answer}");
}

#[test]
fn a_browser_that_calls_is_answered_as_it_has_offered() {
    for (setup, wish, ours, role) in [
        ("actpass", json!({}), "active", DtlsRole::Active),
        (
            "actpass",
            json!({"DTLS": "passive"}),
            "passive",
            DtlsRole::Passive,
        ),
        ("active", json!({}), "passive", DtlsRole::Passive),
        (
            "passive",
            json!({"DTLS": "passive"}),
            "active",
            DtlsRole::Active,
        ),
    ] {
        let mut site = Site::new();
        let offer = site.offer(
            &browser(setup),
            json!({"transport-protocol": "RTP/AVP", "ICE": "remove", "rtcp-mux": ["demux"]}),
        );
        let offer = sdp(&offer);
        assert!(offer.contains("m=audio 20100 RTP/AVP 111 8\r\n"), "{offer}");
        assert!(!offer.contains("a=ice") && !offer.contains("finger"));
        let answer = sdp(&site.answer(PLAIN, wish));
        assert!(
            answer.contains("m=audio 20000 UDP/TLS/RTP/SAVPF 8\r\n"),
            "{answer}"
        );
        assert!(answer.contains("a=ice-lite\r\n"));
        assert_eq!(line(&answer, "a=setup:"), ours);
        assert_eq!(line(&answer, "a=fingerprint:"), fingerprint(1).to_string());
        let [a, b] = site.agreed();
        assert!(b.ice.is_none() && b.protection == Protection::None);
        let Protection::Dtls(terms) = &a.protection else {
            panic!("{:?}", a.protection)
        };
        assert_eq!(terms.role, role);
        let ice = a.ice.expect("an agent");
        assert_eq!(ice.local.fragment(), line(&answer, "a=ice-ufrag:"));
    }
}

#[test]
fn ice_goes_on_where_it_was_offered_and_can_be_left_out() {
    let checked = PLAIN.to_owned()
        + "a=ice-ufrag:thei\r\na=ice-pwd:theirpasswordof24chars00\r\n\
           a=candidate:1 1 udp 1 192.0.2.1 4000 typ host\r\n";
    for (wish, is_offered) in [
        (json!({}), true),
        (json!({"ICE": "default"}), true),
        (json!({"ICE": "remove"}), false),
        (json!({"flags": ["reject ICE"]}), false),
    ] {
        let mut site = Site::new();
        let is_rejected = wish["flags"].is_array();
        let offer = sdp(&site.offer(&checked, wish));
        assert_eq!(offer.contains("a=ice-lite"), is_offered, "{offer}");
        assert_eq!(
            offer.matches("a=candidate:").count(),
            if is_offered { 2 } else { 0 }
        );
        // The other has none, and is told of none.
        let answer = sdp(&site.answer(PLAIN, json!({})));
        assert_eq!(answer.contains("a=ice-lite"), !is_rejected, "{answer}");
        let [a, b] = site.agreed();
        assert_eq!((a.ice.is_some(), b.ice.is_some()), (!is_rejected, false));
    }
    let mut site = Site::new();
    sdp(&site.offer(&checked, json!({})));
    let answer = sdp(&site.answer(PLAIN, json!({"ICE": "remove"})));
    assert!(!answer.contains("a=ice"), "{answer}");
    assert!(site.agreed()[0].ice.is_none());
}

#[test]
fn who_begins_anew_is_answered_anew_and_the_other_party_is_not() {
    let mut site = Site::new();
    let to_browser = json!({"flags": ["WebRTC"]});
    let first = sdp(&site.offer(PLAIN, to_browser.clone()));
    sdp(&site.answer(&browser("active"), json!({})));
    let again = sdp(&site.offer(PLAIN, json!({"flags": ["WebRTC"], "to-tag": "b"})));
    for start in ["a=ice-ufrag:", "a=ice-pwd:", "a=tls-id:"] {
        assert_eq!(line(&first, start), line(&again, start));
    }
    sdp(&site.answer(&browser("active"), json!({})));
    let anew = browser("actpass")
        .replace("thei", "newf")
        .replace("09:09", "0A:0A");
    let back =
        json!({"from-tag": "b", "to-tag": "a", "transport-protocol": "RTP/AVP", "ICE": "remove"});
    sdp(&site.offer(&anew, back));
    let answer = sdp(&site.answer(PLAIN, json!({"from-tag": "b", "to-tag": "a"})));
    assert_ne!(line(&first, "a=ice-ufrag:"), line(&answer, "a=ice-ufrag:"));
    assert_ne!(line(&first, "a=ice-pwd:"), line(&answer, "a=ice-pwd:"));
    let [_, b] = site.agreed();
    let ice = b.ice.expect("an agent");
    assert_eq!(ice.local.fragment(), line(&answer, "a=ice-ufrag:"));
}

#[test]
fn a_handshake_that_is_not_wanted_is_refused() {
    let mut site = Site::new();
    let off = site.offer(&browser("actpass"), json!({"flags": ["DTLS-off"]}));
    assert!(why(&off).contains("a=fingerprint"));
    let out = json!({"transport-protocol": "UDP/TLS/RTP/SAVP", "DTLS": "no"});
    assert!(why(&site.offer(PLAIN, out)).contains("\"DTLS\" is off"));
    let keys = json!({"transport-protocol": "RTP/SAVP", "SDES": "off"});
    let offer = sdp(&site.offer(PLAIN, keys));
    assert!(offer.contains("m=audio 20100 RTP/SAVP 8\r\n") && offer.contains("a=fingerprint:"));
    let sdes = PLAIN.replace("RTP/AVP", "RTP/SAVP")
        + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\r\n";
    assert!(why(&site.answer(&sdes, json!({}))).contains("another kind"));
}

/// RFC 8839 §4.2.5: somebody on the way has changed where media go, and not where the agent is.
#[test]
fn an_agent_that_is_not_where_media_go_is_told_so_and_is_spoken_to_without_checks() {
    let checked = |candidates: &str, rest: &str| {
        format!(
            "{PLAIN}{rest}a=ice-ufrag:thei\r\na=ice-pwd:theirpasswordof24chars00\r\n{candidates}"
        )
    };
    let own = "a=candidate:1 1 udp 1 192.0.2.1 4000 typ host\r\n";
    let reports = "a=candidate:1 2 udp 1 192.0.2.1 4007 typ host\r\n";
    let other = "a=candidate:1 1 udp 1 10.0.0.5 4000 typ host\r\n";
    let both = format!("{own}{other}");
    for (candidates, rest, is_right) in [
        (own.to_owned(), "", true),
        (both.clone(), "", true),
        (other.to_owned(), "", false),
        (own.replace(" 4000 ", " 4002 "), "", false),
        // The same of reports, where they have a port of their own.
        (both.clone(), "a=rtcp:4007\r\n", false),
        (both.clone() + reports, "a=rtcp:4007\r\n", true),
        (both.clone(), "a=rtcp:4007\r\na=rtcp-mux\r\n", true),
        (both, "a=rtcp:9 IN IP4 0.0.0.0\r\n", true),
    ] {
        let mut site = Site::new();
        let what = format!("{candidates} {rest}");
        let offer = sdp(&site.offer(&checked(&candidates, rest), json!({})));
        assert_eq!(offer.contains("a=ice-lite"), is_right, "{what}: {offer}");
        assert!(
            !offer.contains("ice-mismatch"),
            "it is the other one's affair"
        );
        let answer = sdp(&site.answer(PLAIN, json!({})));
        assert_eq!(
            answer.contains("a=candidate:"),
            is_right,
            "{what}: {answer}"
        );
        assert_eq!(answer.contains("a=ice-mismatch\r\n"), !is_right, "{what}");
        let [a, _] = site.agreed();
        assert_eq!(a.ice.is_some(), is_right);
        assert_eq!(a.remote_rtp.to_string(), "192.0.2.1:4000");
    }
    // Nor is one believed that answers so.
    let mut site = Site::new();
    sdp(&site.offer(PLAIN, json!({"ICE": "force"})));
    let answer = sdp(&site.answer(&checked(other, ""), json!({})));
    assert!(!answer.contains("ice"), "{answer}");
    assert!(site.agreed()[1].ice.is_none());
}

/// RFC 8829 §5.3.1: an answer calls each line as its offer did, whatever the other party calls it.
#[test]
fn each_party_has_its_own_names_for_lines_and_no_header_extensions() {
    let mut site = Site::new();
    let offered = browser("actpass") + "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
    let to_phone = json!({"transport-protocol": "RTP/AVP", "ICE": "remove"});
    let offer = sdp(&site.offer(&offered, to_phone));
    assert!(
        offer.contains("a=mid:0\r\n") && !offer.contains("extmap"),
        "{offer}"
    );
    let answer = sdp(&site.answer(PLAIN, json!({})));
    assert_eq!(line(&answer, "a=mid:"), "0");
    // The other one has a name of its own, and keeps it.
    let named = PLAIN.to_owned() + "a=mid:audio\r\n";
    let answer = sdp(&site.answer(&named, json!({})));
    assert_eq!(
        (line(&answer, "a=mid:"), answer.matches("a=mid").count()),
        ("0", 1)
    );
    let back = json!({"from-tag": "b", "to-tag": "a", "flags": ["WebRTC"]});
    let again = sdp(&site.offer(&named, back));
    assert_eq!(line(&again, "a=mid:"), "0");
    let answer = sdp(&site.answer(&browser("active"), json!({"from-tag": "b", "to-tag": "a"})));
    assert_eq!(line(&answer, "a=mid:"), "audio");
    // Nobody is given a name who has none.
    let mut site = Site::new();
    let offer = sdp(&site.offer(PLAIN, json!({"flags": ["WebRTC"]})));
    assert!(!offer.contains("a=mid"));
    let answer = sdp(&site.answer(&browser("active"), json!({})));
    assert!(!answer.contains("a=mid"), "{answer}");
}

/// What the answer to an offer within the call will say may be in use before it comes.
#[test]
fn the_relay_is_told_of_offers_within_a_call() {
    let mut site = Site::new();
    sdp(&site.offer(PLAIN, json!({})));
    let expects = |site: &Site| {
        let told = site.told.iter();
        let expected = told.filter_map(|command| match command {
            Command::Expect { endpoint, .. } => Some(endpoint.0),
            _ => None,
        });
        expected.collect::<Vec<_>>()
    };
    assert!(expects(&site).is_empty());
    sdp(&site.answer(PLAIN, json!({})));
    sdp(&site.offer(PLAIN, json!({"to-tag": "b"})));
    assert_eq!(expects(&site), [1]);
    sdp(&site.answer(PLAIN, json!({})));
    sdp(&site.offer(PLAIN, json!({"from-tag": "b", "to-tag": "a"})));
    assert_eq!(expects(&site), [1, 0]);
}
