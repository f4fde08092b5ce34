//! Descriptions from many hands, with the fields that a reader must find in them.

#![allow(clippy::disallowed_methods, reason = "tests read files")]

use bytes::Bytes;
use sbc_core::media::{Profile, read};
use sbc_core::sdp::{Address, CandidateKind, Description, Limits, Media, Offence, explain};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A template of RFC 5245 whose addresses and port are placeholders: not a description.
const TEMPLATE: &str = "rfc5245-02.sdp";

/// Lines that the RFCs broke for print or left incomplete, with the field that a strict reader
/// therefore does not find.
const CUT_LINES: [(&str, &str); 10] = [
    ("rfc8839-03.sdp", "candidates"),
    ("rfc8839-03.sdp", "candidate_types"),
    // "telephone-event" without clock rate.
    ("rfc3407-01.sdp", "rtpmap"),
    // A telephone number as address.
    ("rfc7195-02.sdp", "effective_c"),
    // The digest is on the next line.
    ("rfc8829-02.sdp", "fingerprint"),
    ("rfc8829-03.sdp", "fingerprint"),
    ("rfc8829-04.sdp", "fingerprint"),
    ("rfc8829-07.sdp", "fingerprint"),
    ("rfc8829-08.sdp", "fingerprint"),
    ("rfc8829-10.sdp", "fingerprint"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/sdp")
}

fn entries() -> Vec<(String, Value, Bytes)> {
    let manifest = std::fs::read(folder().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let items = manifest["items"].as_array().unwrap();
    assert_eq!(items.len(), 85);
    items
        .iter()
        .map(|item| {
            let file = item["file"].as_str().unwrap().to_owned();
            let body = std::fs::read(folder().join(&file)).unwrap();
            assert_eq!(Some(body.len() as u64), item["bytes"].as_u64(), "{file}");
            (file, item["fields"].clone(), body.into())
        })
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn optional(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| text(bytes).into())
}

/// The fields of a media section under the names of the manifest.
fn fields(media: &Media<'_>) -> BTreeMap<&'static str, Value> {
    let own = |name: &[u8]| optional(media.attributes().value(name));
    let flag = |name: &[u8]| {
        if media.attributes().has(name) {
            Value::Bool(true)
        } else {
            Value::Null
        }
    };
    let list = |items: Vec<String>| {
        if items.is_empty() {
            Value::Null
        } else {
            items.into()
        }
    };
    let address = |address: Address<'_>| Value::from(address.to_string());
    let own_c = media
        .own_connection()
        .map_or(Value::Null, |value| last_field(value).into());
    let map = |pairs: BTreeMap<String, String>| serde_json::to_value(pairs).unwrap();
    let mut kinds: Vec<String> = media
        .candidates()
        .map(|candidate| candidate.kind)
        .filter(|kind| *kind != CandidateKind::Other)
        .map(|kind| kind.name().to_owned())
        .collect();
    let candidates = kinds.len();
    kinds.sort();
    kinds.dedup();
    let rtpmap = media
        .rtpmaps()
        .map(|seen| {
            let channels = match seen.channels {
                1 => String::new(),
                channels => format!("/{channels}"),
            };
            let encoding = format!("{}/{}{channels}", seen.name, seen.clock_hz);
            (seen.payload_type.to_string(), encoding)
        })
        .collect();
    let fmtp: BTreeMap<_, _> = media
        .fmtps()
        .map(|seen| (text(seen.format), text(seen.parameters)))
        .collect();
    BTreeMap::from([
        ("type", text(media.kind_text()).into()),
        ("port", media.port().into()),
        ("proto", text(media.transport_text()).into()),
        ("fmts", media.formats().map(text).collect::<Vec<_>>().into()),
        ("c", own_c),
        (
            "effective_c",
            media
                .connection()
                .map_or(Value::Null, |seen| address(seen.address)),
        ),
        ("direction", media.direction().name().into()),
        ("ice_ufrag", own(b"ice-ufrag")),
        ("ice_pwd", own(b"ice-pwd")),
        ("mid", optional(media.mid())),
        (
            "ptime",
            media
                .ptime_ms()
                .map_or(Value::Null, |time| time.to_string().into()),
        ),
        (
            "maxptime",
            media
                .maxptime_ms()
                .map_or(Value::Null, |time| time.to_string().into()),
        ),
        ("rtcp", own(b"rtcp")),
        ("rtcp_mux", flag(b"rtcp-mux")),
        ("rtcp_rsize", flag(b"rtcp-rsize")),
        ("end_of_candidates", flag(b"end-of-candidates")),
        ("connection", own(b"connection")),
        (
            "fingerprint",
            media
                .attributes()
                .fingerprints()
                .next()
                .map_or(Value::Null, |print| {
                    format!("{} {}", text(print.hash), text(print.digest)).into()
                }),
        ),
        (
            "setup",
            if media.attributes().has(b"setup") {
                media.setup().unwrap().name().into()
            } else {
                Value::Null
            },
        ),
        (
            "candidates",
            if candidates == 0 {
                Value::Null
            } else {
                candidates.into()
            },
        ),
        ("candidate_types", list(kinds)),
        (
            "b",
            list(
                media
                    .bandwidths()
                    .map(|seen| format!("{}:{}", text(seen.modifier), seen.value))
                    .collect(),
            ),
        ),
        ("rtpmap", map(rtpmap)),
        (
            "fmtp",
            if fmtp.is_empty() {
                Value::Null
            } else {
                map(fmtp)
            },
        ),
    ])
}

fn last_field(value: &[u8]) -> String {
    let line = text(value);
    let last = line.split_whitespace().last().unwrap();
    last.split('/').next().unwrap().to_owned()
}

fn crypto(media: &Media<'_>) -> Vec<(String, &'static str, String)> {
    media
        .cryptos()
        .into_iter()
        .map(|seen| {
            let seen = seen.expect("a usable crypto line");
            let key = sbc_core::sdp::base64_encode(&seen.keys[0].expose_key_and_salt());
            (seen.tag.to_string(), seen.suite.name(), key)
        })
        .collect()
}

#[test]
fn every_listed_field_is_found_and_nothing_else() {
    let mut differing = Vec::new();
    for (file, expected, body) in entries() {
        let seen = match Description::parse(body.clone(), &Limits::default()) {
            Ok(seen) => seen,
            Err(fault) if file == TEMPLATE => {
                assert_eq!((fault.what, fault.line), (Offence::MediaLine, 8));
                continue;
            }
            Err(fault) => {
                differing.push(format!("{file}: {fault}"));
                continue;
            }
        };
        let media = expected["media"].as_array().unwrap();
        if seen.media().len() != media.len() {
            differing.push(format!("{file}: {} media", seen.media().len()));
        }
        for (seen, expected) in seen.media().zip(media) {
            for (name, value) in fields(&seen) {
                let mut wanted = expected[name].clone();
                if name == "c"
                    && let Some(address) = wanted.as_str()
                {
                    wanted = last_field(address.as_bytes()).into();
                }
                if name == "effective_c"
                    && let Some(address) = wanted.as_str()
                {
                    wanted = last_field(address.as_bytes()).into();
                }
                if name == "rtpmap"
                    && let Some(codecs) = wanted.as_object_mut()
                {
                    for codec in codecs.values_mut() {
                        // One channel is the default, written or not.
                        let short = codec
                            .as_str()
                            .unwrap()
                            .strip_suffix("/1")
                            .map(str::to_owned);
                        if let Some(short) = short {
                            *codec = short.into();
                        }
                    }
                }
                if CUT_LINES.contains(&(&file, name)) {
                    let is_missing = value.is_null() || value == Value::Object(Default::default());
                    assert!(is_missing, "{file}: {name} is {value}");
                } else if value != wanted {
                    differing.push(format!("{file}: {name} is {value}, expected {wanted}"));
                }
            }
            if let Some(wanted) = expected["crypto"].as_array() {
                let wanted: Vec<_> = wanted
                    .iter()
                    .map(|line| {
                        let word = |name: &str| line[name].as_str().unwrap().to_owned();
                        (word("tag"), word("suite"), word("key"))
                    })
                    .collect();
                let found = crypto(&seen);
                let is_equal = found.len() == wanted.len()
                    && found.iter().zip(&wanted).all(|(seen, wanted)| {
                        (&seen.0, seen.1, &seen.2) == (&wanted.0, wanted.1.as_str(), &wanted.2)
                    });
                if !is_equal {
                    differing.push(format!("{file}: crypto is {found:?}, expected {wanted:?}"));
                }
            }
        }
        if let Some(origin) = expected["origin"].as_str() {
            let line = seen.session_value(b'o').map(text);
            if line.as_deref() != Some(origin) || seen.origin().is_none() {
                differing.push(format!("{file}: origin is {line:?}"));
            }
        }
        if let Some(session) = expected["session"].as_object() {
            let lite = session.get("ice_lite").is_some();
            let ufrag = session.get("ice_ufrag").cloned().unwrap_or_default();
            let own = optional(seen.attributes().value(b"ice-ufrag"));
            if seen.ice_lite() != lite || own != ufrag {
                differing.push(format!("{file}: session is {lite} {own}"));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_body_leaves_as_it_came() {
    for (file, _, body) in entries() {
        if file == TEMPLATE {
            continue;
        }
        let seen = Description::parse(body.clone(), &Limits::default()).unwrap();
        assert_eq!(seen.as_bytes(), &body, "{file}");
        // Put together again from its lines, it is the same but for line ends.
        let mut rebuilt = Vec::new();
        for (letter, value) in seen.lines() {
            rebuilt.extend_from_slice(&[letter, b'=']);
            rebuilt.extend_from_slice(value);
            rebuilt.extend_from_slice(b"\r\n");
        }
        assert_eq!(rebuilt, &body[..], "{file}");
    }
}

#[test]
fn every_body_can_be_explained_and_read_under_both_profiles() {
    use media_api::{Family, RealmId};
    for (file, _, body) in entries() {
        if file == TEMPLATE {
            continue;
        }
        let shown = explain::explain(&body);
        assert!(shown.is_valid(), "{file}");
        assert!(!shown.to_string().is_empty());
        let seen = Description::parse(body, &Limits::default()).unwrap();
        for profile in [
            Profile::teams(RealmId(0), Family::V4),
            Profile::carrier(RealmId(0), Family::V4),
            Profile::carrier(RealmId(0), Family::V6),
        ] {
            let facts = read(&seen, &profile);
            assert_eq!(facts.lines.len(), seen.media().len());
        }
    }
}
