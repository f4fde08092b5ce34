//! What a call needs of a line, by its codec (SIP-1730).

use super::{Codec, Profile, Srtp};
use media_api::{Family, Suite};

/// kbit/s in one direction that a call of this profile may need, with RTP, UDP and IP headers: those
/// of its costliest codec, because which one it will be is not known before the answer.
pub fn kbits(profile: &Profile) -> u32 {
    let codecs = profile.codecs.iter().filter(|codec| codec.is_audio());
    with_headers(profile, codecs.map(bits).max().unwrap_or(UNKNOWN))
}

/// As [`kbits`], once it is known which codec it is.
pub fn agreed(profile: &Profile, codec: &Codec) -> u32 {
    with_headers(profile, bits(codec))
}

fn with_headers(profile: &Profile, bits: u32) -> u32 {
    let packets = 1_000_u32.div_ceil(u32::from(profile.ptime_ms.max(1)));
    let ip = match profile.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let tag = match profile.srtp {
        Srtp::Off => 0,
        Srtp::Optional | Srtp::Required => {
            let tags = profile.suites.iter().map(|suite| suite.rtp_tag_bytes());
            tags.max().unwrap_or(0)
        }
        // The handshake may choose the one with the longest.
        Srtp::Dtls => Suite::AeadAes256Gcm.rtp_tag_bytes(),
    };
    // A few octets each.
    let headers = (ip + UDP_AND_RTP + tag as u32) * 8 * packets;
    (bits + headers).div_ceil(1_000)
}

/// Octets of the headers of UDP and RTP.
const UDP_AND_RTP: u32 = 8 + 12;

/// bit/s where nothing better is known: what G.711 has.
const UNKNOWN: u32 = 64_000;

/// bit/s of what is encoded.
fn bits(codec: &Codec) -> u32 {
    const KNOWN: [(&str, u32); 5] = [
        ("G729", 8_000),
        ("GSM", 13_200),
        ("iLBC", 15_200),
        ("opus", 40_000),
        ("AMR-WB", 23_850),
    ];
    let known = KNOWN.iter().find(|(name, _)| codec.is_called(name));
    known.map_or(UNKNOWN, |(_, bits)| *bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::RealmId;

    #[test]
    fn the_costliest_codec_counts_with_its_headers() {
        let mut profile = Profile::carrier(RealmId(0), Family::V4);
        profile.ptime_ms = 20;
        profile.codecs = vec![Codec::named("G729", 8_000)];
        assert_eq!(kbits(&profile), 24);
        profile.codecs.push(Codec::named("PCMA", 8_000));
        assert_eq!(kbits(&profile), 80);
        assert_eq!(agreed(&profile, &profile.codecs[0]), 24);
        profile.srtp = Srtp::Required;
        profile.suites = vec![Suite::AesCm128HmacSha1_80];
        assert_eq!(kbits(&profile), 84);
        profile.suites.push(Suite::AeadAes256Gcm);
        assert_eq!(kbits(&profile), 87);
        profile.srtp = Srtp::Dtls;
        assert_eq!(kbits(&profile), 87);
        profile.srtp = Srtp::Required;
        profile.suites.pop();
        profile.family = Family::V6;
        assert_eq!(kbits(&profile), 92);
    }
}
