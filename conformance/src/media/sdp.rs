//! Session descriptions of the peers: written here, read with `rtc-sdp`.

use super::secure::Key;
use super::tone::Codec;
use rtc_sdp::SessionDescription;
use std::fmt::Write;
use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};

/// What the peers look at in a description.
#[derive(Clone, PartialEq, Debug)]
pub struct Media {
    /// Where RTP goes.
    pub rtp: SocketAddr,
    /// Where RTCP goes.
    pub rtcp: SocketAddr,
    /// Transport profile, `RTP/AVP` or `RTP/SAVP`.
    pub protocol: String,
    /// Payload types in order, with encoding and clock rate where they are known.
    pub formats: Vec<Format>,
    /// SDES keys in order.
    pub keys: Vec<OfferedKey>,
}

/// One payload type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// Number in RTP packets.
    pub payload_type: u8,
    /// Encoding and clock rate, `PCMA/8000`; empty if nothing says it.
    pub encoding: String,
}

/// One `a=crypto` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedKey {
    /// Its tag.
    pub tag: String,
    /// Suite.
    pub suite: String,
    /// Key, if it can be read.
    pub key: Option<Key>,
}

impl Media {
    /// The first G.711 variant of the description; G.722 only where there is none.
    pub fn codec(&self) -> Option<Codec> {
        let known = self.formats.iter();
        let mut known = known.filter_map(|format| Codec::of(&format.encoding));
        let first = known.clone().next();
        known.find(|codec| *codec != Codec::G722).or(first)
    }
}

/// Reads the first audio stream of a description.
///
/// # Errors
/// What is missing or wrong.
pub fn read(text: &str) -> Result<Media, String> {
    let description = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
        .map_err(|fault| fault.to_string())?;
    let media = description
        .media_descriptions
        .iter()
        .find(|media| media.media_name.media == "audio")
        .ok_or("no audio")?;
    let connection = media
        .connection_information
        .as_ref()
        .or(description.connection_information.as_ref())
        .and_then(|connection| connection.address.as_ref())
        .ok_or("no c= line")?;
    let ip: IpAddr = connection
        .address
        .parse()
        .map_err(|_| format!("address {} in c=", connection.address))?;
    let port = u16::try_from(media.media_name.port.value).map_err(|_| "port out of range")?;
    let attributes = || {
        media.attributes.iter().map(|attribute| {
            (
                attribute.key.as_str(),
                attribute.value.as_deref().unwrap_or(""),
            )
        })
    };
    let rtcp = attributes()
        .find(|(key, _)| *key == "rtcp")
        .and_then(|(_, value)| value.split(' ').next()?.parse().ok())
        .unwrap_or(port.saturating_add(1));
    let encoding = |payload_type: u8| {
        let number = payload_type.to_string();
        let mapped = attributes()
            .filter(|(key, _)| *key == "rtpmap")
            .filter_map(|(_, value)| value.split_once(' '))
            .find(|(of, _)| *of == number)
            .map(|(_, encoding)| encoding.trim().to_owned());
        // Static payload types need no a=rtpmap (RFC 3551 §6).
        mapped.unwrap_or_else(|| match payload_type {
            0 => "PCMU/8000".to_owned(),
            8 => "PCMA/8000".to_owned(),
            _ => String::new(),
        })
    };
    let formats = media
        .media_name
        .formats
        .iter()
        .filter_map(|format| format.parse().ok())
        .map(|payload_type| Format {
            payload_type,
            encoding: encoding(payload_type),
        })
        .collect();
    let keys = attributes()
        .filter(|(key, _)| *key == "crypto")
        .map(|(_, value)| {
            let mut words = value.split_whitespace();
            let mut next = || words.next().unwrap_or_default().to_owned();
            let (tag, suite, inline) = (next(), next(), next());
            let key = inline.strip_prefix("inline:").and_then(Key::parse);
            OfferedKey { tag, suite, key }
        })
        .collect();
    Ok(Media {
        rtp: SocketAddr::new(ip, port),
        rtcp: SocketAddr::new(ip, rtcp),
        protocol: media.media_name.protos.join("/"),
        formats,
        keys,
    })
}

/// An offer as Teams writes it: SRTP, codecs that nobody else has, `o=` with a useless address.
pub fn teams_offer(at: SocketAddr, key: &Key) -> String {
    let (ip, port) = (at.ip(), at.port());
    let rtcp = port.saturating_add(1);
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 31847 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN {family} {ip}\r\nb=CT:10000000\r\n\
         t=0 0\r\nm=audio {port} RTP/SAVP 104 9 111 18 0 8 103 97 13 118 101\r\n\
         a=rtcp:{rtcp}\r\na=label:main-audio\r\na=mid:1\r\na=sendrecv\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^31\r\n\
         a=rtpmap:104 SILK/16000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:111 SIREN/16000\r\n\
         a=fmtp:111 bitrate=16000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:103 SILK/8000\r\n\
         a=rtpmap:97 RED/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:118 CN/16000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n",
        key.text()
    )
}

/// An offer as a carrier writes it.
pub fn carrier_offer(at: SocketAddr, codecs: &[Codec]) -> String {
    let formats: Vec<Format> = codecs.iter().map(|codec| codec.format()).collect();
    describe(at, "RTP/AVP", &formats, None)
}

/// An answer with one codec and the telephone events that were offered.
pub fn answer(to: &Media, codec: Codec, at: SocketAddr, key: Option<(&str, &Key)>) -> String {
    let wanted = |format: &&Format| {
        Codec::of(&format.encoding) == Some(codec)
            || format.encoding.eq_ignore_ascii_case("telephone-event/8000")
    };
    let formats: Vec<Format> = to.formats.iter().filter(wanted).cloned().collect();
    describe(at, &to.protocol, &formats, key)
}

fn describe(
    at: SocketAddr,
    protocol: &str,
    formats: &[Format],
    key: Option<(&str, &Key)>,
) -> String {
    let (ip, port) = (at.ip(), at.port());
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let numbers: Vec<String> = formats.iter().map(|f| f.payload_type.to_string()).collect();
    let mut text = format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} {protocol} {}\r\n",
        numbers.join(" ")
    );
    if let Some((tag, key)) = key {
        let _ = write!(
            text,
            "a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{}|2^31\r\n",
            key.text()
        );
    }
    for format in formats {
        let _ = write!(
            text,
            "a=rtpmap:{} {}\r\n",
            format.payload_type, format.encoding
        );
    }
    text.push_str("a=ptime:20\r\na=sendrecv\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_of_teams_is_read_back_and_answered() {
        let at = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let (key, ours) = (Key::random(), Key::random());
        let offer = read(&teams_offer(at, &key)).unwrap();
        assert_eq!((offer.rtp, offer.rtcp.port()), (at, 40_001));
        assert_eq!(offer.protocol, "RTP/SAVP");
        assert_eq!(offer.codec(), Some(Codec::Pcmu), "the first that it has");
        assert_eq!(offer.keys[0].key.as_ref(), Some(&key));
        let text = answer(&offer, Codec::Pcma, at, Some(("1", &ours)));
        let answer = read(&text).unwrap();
        assert_eq!(answer.codec(), Some(Codec::Pcma));
        assert_eq!(answer.formats.len(), 2);
        assert_eq!(answer.keys[0].key.as_ref(), Some(&ours));
    }

    #[test]
    fn descriptions_without_audio_or_address_are_named() {
        let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
        assert_eq!(read(head), Err("no audio".to_owned()));
        let lonely = format!("{head}m=audio 4000 RTP/AVP 8\r\n");
        assert_eq!(read(&lonely), Err("no c= line".to_owned()));
        assert!(read("garbage").is_err());
    }
}
