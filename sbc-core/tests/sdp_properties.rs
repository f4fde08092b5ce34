//! Properties of the SDP layer over generated input: no panic, byte stability, agreement with an
//! independent reader, and what must never cross from one leg to the other.

use crate::legs;

use bytes::Bytes;
use media_api::{Family, RealmId};
use proptest::prelude::*;
use sbc_core::media::{Formats, Profile, interwork, read};
use sbc_core::sdp::{Crypto, Description, Direction, Limits, explain, redact};

fn parse(body: &[u8]) -> Option<Description> {
    Description::parse(Bytes::copy_from_slice(body), &Limits::default()).ok()
}

/// Touches every view of a description.
fn look_at_everything(body: &[u8]) {
    let shown = explain::explain(body);
    let _ = (shown.to_string(), serde_json::to_string(&shown).unwrap());
    let Some(seen) = parse(body) else {
        return;
    };
    assert_eq!(&seen.as_bytes()[..], body);
    let _ = (seen.origin(), seen.connection(), seen.redacted());
    let _ = seen.groups().count();
    for media in seen.media() {
        let _ = (media.cryptos(), media.fax(), media.setup(), media.rtcp());
        let _ = (media.candidates().count(), media.fingerprints());
    }
    for profile in [
        Profile::teams(RealmId(0), Family::V4),
        Profile::carrier(RealmId(0), Family::V6),
    ] {
        let facts = read(&seen, &profile);
        assert_eq!(facts.lines.len(), seen.media().len());
    }
}

/// RFC 5761 §4: with one port the packet types of RTCP cannot be told from these numbers (MED-023).
#[test]
fn numbers_that_look_like_reports_are_not_used_on_a_shared_port() {
    let numbers = |mux: &str| {
        let offer = format!(
            "v=0\r\no=- 1 1 IN IP4 198.51.100.30\r\ns=-\r\nc=IN IP4 198.51.100.30\r\nt=0 0\r\n\
             m=audio 6000 RTP/AVP 8 63 64 72 95 96\r\na=rtpmap:63 PCMU/8000\r\na=rtpmap:64 PCMU/8000\r\n\
             a=rtpmap:72 G722/8000\r\na=rtpmap:95 PCMU/8000\r\na=rtpmap:96 telephone-event/8000\r\n{mux}"
        );
        let seen = parse(offer.as_bytes()).unwrap();
        let facts = read(&seen, &Profile::carrier(RealmId(0), Family::V4));
        let audio = facts.lines[0].audio.as_ref().unwrap();
        audio
            .payloads
            .iter()
            .map(|own| own.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers("a=rtcp-mux\r\n"), [8, 63, 96]);
    assert_eq!(numbers(""), [8, 63, 64, 72, 95, 96]);
}

/// One line of SDP that is mostly sensible.
fn line() -> impl Strategy<Value = String> {
    let number = prop_oneof![0u32..130, Just(70_000), Just(49_170)];
    let address = prop_oneof![
        Just("IN IP4 192.0.2.7".to_owned()),
        Just("IN IP4 0.0.0.0".to_owned()),
        Just("IN IP6 2001:db8::1".to_owned()),
        Just("IN IP4 x.invalid".to_owned()),
        "[ -~]{0,20}",
    ];
    let transport = prop_oneof![
        Just("RTP/AVP"),
        Just("RTP/SAVP"),
        Just("RTP/SAVPF"),
        Just("UDP/TLS/RTP/SAVP"),
        Just("udptl"),
    ];
    prop_oneof![
        address.prop_map(|address| format!("c={address}")),
        (
            number.clone(),
            transport,
            proptest::collection::vec(0u8..130, 0..6)
        )
            .prop_map(|(port, transport, formats)| {
                let formats: String = formats.iter().map(|format| format!(" {format}")).collect();
                format!("m=audio {port} {transport}{formats}")
            }),
        (number.clone(), "[ -~]{0,16}")
            .prop_map(|(number, text)| format!("a=rtpmap:{number} {text}")),
        (0u8..130, 1u32..50_000)
            .prop_map(|(number, clock)| format!("a=rtpmap:{number} PCMA/{clock}")),
        (number, "[ -~]{0,16}").prop_map(|(number, text)| format!("a=fmtp:{number} {text}")),
        "[ -~]{0,60}".prop_map(|text| format!("a=crypto:{text}")),
        (0u8..4, "[A-Za-z0-9+/=]{36,44}").prop_map(|(tag, key)| format!(
            "a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31"
        )),
        "[a-z-]{1,12}(:[ -~]{0,20})?".prop_map(|text| format!("a={text}")),
        prop_oneof![
            Just("a=sendonly"),
            Just("a=recvonly"),
            Just("a=inactive"),
            Just("a=rtcp-mux"),
            Just("v=0"),
            Just("s=-"),
            Just("t=0 0"),
            Just("o=- 1 1 IN IP4 192.0.2.7"),
        ]
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        look_at_everything(&body);
        let _ = redact(&body);
        let _ = Crypto::parse(&body);
    }

    #[test]
    fn nearly_sensible_bodies_never_panic(lines in proptest::collection::vec(line(), 0..30)) {
        look_at_everything(lines.join("\r\n").as_bytes());
        look_at_everything((lines.join("\n") + "\n").as_bytes());
    }

    #[test]
    fn whatever_is_offered_our_descriptions_are_well_formed_and_our_own(
        lines in proptest::collection::vec(line(), 1..30),
        wish in 0usize..4,
        to_teams in any::<bool>(),
    ) {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
                    m=audio 49170 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
        let body = format!("{head}{}\r\n", lines.join("\r\n"));
        let Some(offer) = parse(body.as_bytes()) else { return Ok(()); };
        let profile = if to_teams {
            Profile::teams(RealmId(0), Family::V4)
        } else {
            Profile::carrier(RealmId(0), Family::V4)
        };
        let mut x = legs::leg(Profile::carrier(RealmId(1), Family::V4), 1);
        let mut y = legs::leg(profile, 2);
        let mut formats = Formats::default();
        let facts = read(&offer, x.profile());
        let lines_offered = facts.lines.len();
        let Ok(to_y) = interwork::offer(facts, &mut x, &mut y) else { return Ok(()); };
        let told = parse(&to_y).expect("well-formed");
        let text = String::from_utf8(to_y.to_vec()).unwrap();
        prop_assert!(!text.contains("192.0.2.7"), "no address of the other leg");
        prop_assert_eq!(text.contains("inline:"), to_teams);
        let oracle = rtc_sdp::SessionDescription::unmarshal(&mut std::io::Cursor::new(&to_y[..]));
        prop_assert_eq!(oracle.expect("read by the oracle").marshal(), text.clone());
        let main = told.media().next().unwrap();
        if to_teams {
            prop_assert!(matches!(main.direction(), Direction::SendRecv | Direction::Inactive));
        }
        // Y accepts everything, with a direction of its own.
        let direction = [
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::RecvOnly,
            Direction::Inactive,
        ][wish]
            .answering(main.direction());
        let answer = text
            .replace("203.0.113.2", "198.51.100.9")
            .replace(
                &format!("a={}\r\n", main.direction().name()),
                &format!("a={}\r\n", direction.name()),
            );
        let answer = read(&parse(answer.as_bytes()).unwrap(), y.profile());
        let done = interwork::answer(&answer, &mut y, &mut x, &mut formats);
        // Only unnamed or ambiguous formats can leave nothing to answer with.
        let Ok(done) = done else { return Ok(()); };
        let answered = parse(&done.body).expect("well-formed");
        prop_assert_eq!(answered.media().len(), lines_offered, "every line is answered");
        let offered: Vec<_> = offer.media().collect();
        let mut open = 0;
        for (ours, theirs) in answered.media().zip(&offered) {
            prop_assert_eq!(ours.kind_text(), theirs.kind_text());
            prop_assert_eq!(ours.transport_text(), theirs.transport_text());
            if ours.port() != 0 {
                open += 1;
                let is_legal = ours.direction().answering(theirs.direction()) == ours.direction();
                prop_assert!(is_legal, "{:?} to {:?}", ours.direction(), theirs.direction());
                let numbers: Vec<u8> = theirs.payload_types().collect();
                prop_assert!(ours.payload_types().all(|number| numbers.contains(&number)));
            }
        }
        prop_assert_eq!(open, 1);
        // The same answer again changes nothing.
        let again = interwork::answer(&answer, &mut y, &mut x, &mut formats).unwrap();
        prop_assert_eq!(&again.body, &done.body);
        prop_assert_eq!(&again.x, &done.x);
        // Both endpoints know each other's formats.
        let ids = |negotiated: &media_api::Negotiated| -> Vec<_> {
            let stream = negotiated.streams[0].as_ref().unwrap();
            stream.payloads.iter().map(|binding| binding.id).collect()
        };
        let known = ids(&done.y);
        prop_assert!(ids(&done.x).iter().all(|id| known.contains(id)));
    }
}
