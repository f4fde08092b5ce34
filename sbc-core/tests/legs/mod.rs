//! Legs with ports and keys as the relay would hand them out.

use media_api::{
    CryptoKey, EndpointId, Family, Fingerprint, HashFunction, LocalEndpoint, LocalStream,
};
use sbc_core::media::{Ice, MediaImage, Profile, Srtp};
use std::sync::Arc;

/// Leg `number` (from 1) of a call: 203.0.113.`number`, ports from `number` × 1000 + 19000, every
/// byte of the first key equal to `number` × 17.
pub(crate) fn leg(profile: Profile, number: u8) -> MediaImage {
    let family = profile.family;
    let (ice, srtp) = (profile.ice, profile.srtp);
    let signalling = "198.51.100.1".parse().ok();
    let session_id = u64::from(number) * 1_001;
    let mut image = MediaImage::new(
        Arc::new(profile),
        EndpointId(number),
        session_id,
        signalling,
    );
    if ice != Ice::Off {
        image = image.with_ice([number * 17; 16]);
    }
    if srtp == Srtp::Dtls {
        image = image.with_dtls([number * 17; 16]);
    }
    let ip = match family {
        Family::V4 => format!("203.0.113.{number}"),
        Family::V6 => format!("[2001:db8::{number}]"),
    };
    let port = 19_000 + 1_000 * u16::from(number);
    let spec = image.spec();
    let suites = spec.streams[0].protection.suites().iter();
    let keys = suites
        .zip(number..)
        .map(|(suite, fill)| {
            let octets = vec![fill * 17; suite.key_and_salt_bytes()];
            CryptoKey::new(*suite, octets).unwrap()
        })
        .collect();
    let is_dtls = srtp == Srtp::Dtls;
    let digest = is_dtls.then(|| vec![number * 17; 32]);
    image.allocated(&LocalEndpoint {
        endpoint: EndpointId(number),
        streams: vec![LocalStream {
            rtp: format!("{ip}:{port}").parse().unwrap(),
            rtcp: format!("{ip}:{}", port + 1).parse().unwrap(),
            keys,
            fingerprint: digest.and_then(|digest| Fingerprint::new(HashFunction::Sha256, digest)),
        }],
    });
    image
}
