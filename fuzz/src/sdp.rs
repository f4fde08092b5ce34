//! SDP: kept lines, bounded explanations without keys, and what is written for the other leg.

use bytes::Bytes;
use media_api::{
    CryptoKey, EndpointId, Family, Fingerprint, HashFunction, LocalEndpoint, LocalStream,
    Negotiated, RealmId, Suite,
};
use sbc_core::media::{Formats, Ice, Lends, MediaImage, Profile, Srtp, interwork, read};
use sbc_core::sdp::{Crypto, Description, KeyParam, Limits, base64_encode, explain, redact};
use std::sync::Arc;

pub(crate) fn check(data: &[u8]) {
    let shown = explain::explain(data);
    let text = shown.to_string();
    assert!(text.len() <= 64 * data.len() + 8192, "bounded explanation");
    serde_json::to_string(&shown).expect("an explanation is JSON");
    let _ = (redact(data), Crypto::parse(data));
    let body = Bytes::copy_from_slice(data);
    let Ok(seen) = Description::parse(body, &Limits::default()) else {
        return;
    };
    assert_eq!(&seen.as_bytes()[..], data, "kept octet by octet");
    viewed(&seen);
    for (x, y) in [
        (carrier(), teams()),
        (teams(), carrier()),
        (carrier(), carrier()),
        (either(), teams()),
        (carrier(), either()),
        (handshaking(), teams()),
        (carrier(), handshaking()),
    ] {
        offered(&seen, &x, &y);
        answered(&seen, &x, &y);
    }
    past_us(&seen);
}

/// Every view, and no key in what is meant for people.
fn viewed(seen: &Description) {
    let _ = (seen.origin(), seen.connection(), seen.ice_lite());
    let _ = (seen.groups().count(), seen.bandwidths().count());
    let shown = seen.redacted();
    let mut keys = Vec::new();
    for media in seen.media() {
        let _ = (media.fax(), media.setup(), media.rtcp(), media.ptime_ms());
        let _ = (media.candidates().count(), media.fingerprints());
        let _ = media.tls_id();
        let _ = (media.rtpmaps().count(), media.fmtps().count());
        keys.extend(media.cryptos().into_iter().flatten().flat_map(|crypto| {
            let text = |param: &KeyParam<'_>| base64_encode(&param.expose_key_and_salt());
            crypto.keys.iter().map(text).collect::<Vec<_>>()
        }));
    }
    let body = String::from_utf8_lossy(seen.as_bytes());
    for key in &keys {
        // A key that also stands where no key belongs was told to everybody by its owner.
        let places = keys.iter().filter(|other| *other == key).count();
        let is_told = body.matches(key.as_str()).count() > places;
        assert!(
            is_told || key.len() < 16 || !shown.contains(key.as_str()),
            "a key is shown"
        );
    }
    for profile in [teams(), carrier(), either(), handshaking()] {
        assert_eq!(read(seen, &profile).lines.len(), seen.media().len());
    }
}

/// The input as X's offer; Y answers our offer with what it was offered.
fn offered(offer: &Description, x: &Arc<Profile>, y: &Arc<Profile>) {
    let (mut x, mut y) = (leg(x, 1), leg(y, 2));
    let mut formats = Formats::default();
    let facts = read(offer, x.profile());
    let lines = facts.lines.len();
    if interwork::needs(&facts, &x, &y).is_err() {
        let before = (x.is_negotiating(), y.is_negotiating());
        assert!(interwork::offer(facts, &mut x, &mut y).is_err());
        assert_eq!(before, (x.is_negotiating(), y.is_negotiating()));
        return;
    }
    let Ok(told) = interwork::offer(facts.clone(), &mut x, &mut y) else {
        return;
    };
    let told = ours(&told, &y);
    let echo = read(&told, y.profile());
    let Ok(done) = interwork::answer(&echo, &mut y, &mut x, &mut formats) else {
        return;
    };
    let body = ours(&done.body, &x);
    assert_eq!(body.media().len(), lines, "every line is answered");
    for (answer, offer) in body.media().zip(offer.media()) {
        // Names of media types are the same in either case (RFC 6838 §4.2), and ours are small.
        let kinds = (answer.kind_text(), offer.kind_text());
        assert!(kinds.0.eq_ignore_ascii_case(kinds.1), "{kinds:?}");
        assert_eq!(answer.transport_text(), offer.transport_text());
        if answer.port() == 0 {
            continue;
        }
        let wanted = answer.direction().answering(offer.direction());
        assert_eq!(wanted, answer.direction(), "a direction that was offered");
        let offered: Vec<u8> = offer.payload_types().collect();
        assert!(
            answer
                .payload_types()
                .all(|number| offered.contains(&number))
        );
    }
    is_usable(&done.x);
    is_usable(&done.y);
    x.commit();
    y.commit();
    // The same offer within the call is answered alone, and asks for nothing new.
    assert!(
        interwork::keeps_codec(&facts, &x, &y),
        "nothing has changed"
    );
    assert!(!interwork::owes(&y, &x), "Y was asked just now");
    let alone = interwork::answer_alone(facts, &mut x, &y, &mut formats)
        .expect("what could be answered before");
    ours(&alone.body, &x);
    is_usable(&alone.x);
    x.rollback();
    assert!(!x.is_negotiating());
    if let Ok(join) = interwork::join(&mut x, &y) {
        ours(&join, &x);
    }
}

/// The input as X's offer, whose media go past us; Y answers with the same place. What each is told of the
/// other can be read, is of the other alone, and is no business of the relay.
fn past_us(offer: &Description) {
    let (mut x, mut y) = (leg(&teams(), 1), leg(&teams(), 2));
    x.set_direct(true);
    y.set_direct(true);
    let mut formats = Formats::default();
    let facts = read(offer, x.profile());
    let Ok((_, audio)) = facts.main() else {
        return;
    };
    let (is_lent, at) = (audio.lent.is_some(), audio.rtp);
    let Ok(told) = interwork::offer(facts, &mut x, &mut y) else {
        return;
    };
    let told = Description::parse(told, &Limits::default()).expect("what we write");
    let echo = read(&told, y.profile());
    let place = echo.main().map(|(_, audio)| audio.rtp);
    assert!(
        !is_lent || place.is_ok_and(|place| place == at),
        "its own place"
    );
    let Ok(done) = interwork::answer(&echo, &mut y, &mut x, &mut formats) else {
        return;
    };
    Description::parse(done.body, &Limits::default()).expect("what we write");
    if !is_lent {
        return;
    }
    let mut of_y = done.y.streams.iter().flatten();
    assert!(of_y.next().is_none(), "the relay has no part");
    x.commit();
    y.commit();
    assert!(x.is_sent_past_us() && y.is_sent_past_us());
    assert!(!interwork::is_misled(&y, &x), "Y was told just now");
}

/// The input as the answer to an offer of ours.
fn answered(answer: &Description, x: &Arc<Profile>, y: &Arc<Profile>) {
    let mut y = leg(y, 2);
    let Ok(offer) = interwork::open(&mut y, x) else {
        return;
    };
    ours(&offer, &y);
    let facts = read(answer, y.profile());
    if let Ok(negotiated) = interwork::settle(&facts, &mut y, &mut Formats::default()) {
        is_usable(&negotiated);
    }
}

/// What we write is well-formed, names our address alone, has keys only where they belong, and is
/// read to the last line by somebody else.
fn ours(body: &Bytes, leg: &MediaImage) -> Description {
    let read = Description::parse(body.clone(), &Limits::default()).expect("what we write");
    let connection = read
        .connection()
        .and_then(|connection| connection.address.ip());
    let own = leg.local().expect("ports").rtp.ip();
    assert!(connection.is_none_or(|ip| ip == own || ip.is_unspecified()));
    for media in read.media() {
        let ip = media.connection().and_then(|at| at.address.ip());
        assert!(ip.is_none_or(|ip| ip == own || ip.is_unspecified()));
    }
    // A refused line repeats what the peer wrote, which need not be text; the rest is ours.
    let Ok(text) = std::str::from_utf8(body) else {
        return read;
    };
    if *leg.profile() == *carrier() {
        // A refused line repeats the peer's formats, whatever they look like.
        let is_key = |line: &str| line.starts_with("a=crypto:");
        assert!(!text.lines().any(is_key), "a key without need");
    }
    // The oracle knows few kinds and transports, and refuses a description for a line it is not to
    // read anyway.
    let is_known = |media: sbc_core::sdp::Media<'_>| {
        media.kind_text() == b"audio" && matches!(media.transport_text(), b"RTP/AVP" | b"RTP/SAVP")
    };
    // To it any white space is a blank, and a refused line may hold such as the peer's.
    let is_odd = |letter: char| letter.is_whitespace() && !matches!(letter, ' ' | '\r' | '\n');
    if read.media().all(is_known) && !text.contains(is_odd) {
        let mut input = std::io::Cursor::new(&body[..]);
        let theirs = rtc_sdp::SessionDescription::unmarshal(&mut input);
        assert_eq!(theirs.expect("read by the oracle").marshal(), text);
    }
    read
}

/// What the relay is told can be carried out.
fn is_usable(negotiated: &Negotiated) {
    for stream in negotiated.streams.iter().flatten() {
        assert!((10..=60).contains(&stream.ptime_ms));
        assert!(!stream.payloads.is_empty());
        let mut receive: Vec<u8> = stream.payloads.iter().map(|one| one.receive).collect();
        assert!(receive.iter().all(|number| *number < 128));
        assert!(
            stream
                .payloads
                .iter()
                .all(|one| one.send < 128 && one.format.clock_hz > 0)
        );
        receive.sort_unstable();
        receive.dedup();
        assert_eq!(
            receive.len(),
            stream.payloads.len(),
            "one meaning per number"
        );
    }
}

fn carrier() -> Arc<Profile> {
    Arc::new(Profile::carrier(RealmId(0), Family::V4))
}

/// Which takes keys wherever they stand, and does without.
fn either() -> Arc<Profile> {
    Arc::new(Profile {
        srtp: Srtp::Optional,
        suites: vec![Suite::AesCm128HmacSha1_80],
        keys_on_plain: true,
        ..Profile::carrier(RealmId(0), Family::V4)
    })
}

/// With keys of DTLS handshakes.
fn handshaking() -> Arc<Profile> {
    Arc::new(Profile {
        srtp: Srtp::Dtls,
        ..Profile::carrier(RealmId(0), Family::V4)
    })
}

/// With every suite, as an operator may name them.
fn teams() -> Arc<Profile> {
    Arc::new(Profile {
        ice: Ice::Bypass,
        suites: Suite::ALL.to_vec(),
        lends: Lends::Whole,
        ..Profile::teams(RealmId(1), Family::V4)
    })
}

/// A leg with ports and keys as the relay hands them out.
fn leg(profile: &Arc<Profile>, number: u8) -> MediaImage {
    let signalling = "198.51.100.1".parse().ok();
    let image = MediaImage::new(Arc::clone(profile), EndpointId(number), 7, signalling);
    let mut image = match profile.ice {
        Ice::Off => image,
        Ice::Lite | Ice::Bypass => image.with_ice([number; 16]),
    };
    if profile.srtp == Srtp::Dtls {
        image = image.with_dtls([number; 16]);
    }
    let spec = image.spec();
    let suites = spec.streams[0].protection.suites().iter();
    let keys = suites
        .map(|suite| {
            CryptoKey::new(*suite, vec![number; suite.key_and_salt_bytes()]).expect("its length")
        })
        .collect();
    image.allocated(&LocalEndpoint {
        endpoint: EndpointId(number),
        streams: vec![LocalStream {
            rtp: ([203, 0, 113, number], 20_000).into(),
            rtcp: ([203, 0, 113, number], 20_001).into(),
            keys,
            fingerprint: Fingerprint::new(HashFunction::Sha256, vec![number; 32])
                .filter(|_| profile.srtp == Srtp::Dtls),
        }],
    });
    image
}
