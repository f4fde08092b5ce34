//! `a=crypto` lines: SDES security descriptions (RFC 4568 §9, RFC 6188, RFC 7714; MED-100 on).
//!
//! The key stays where it is, as base64 text in the body; it is decoded only by
//! [`KeyParam::expose_key_and_salt`] and never printed.

use super::base64;
use super::text;
use media_api::Suite;
use nom::bytes::complete::{tag_no_case, take_while, take_while1};
use nom::character::complete::{char, digit1, space1};
use nom::combinator::{all_consuming, opt};
use nom::multi::separated_list1;
use nom::sequence::preceded;
use nom::{IResult, Parser};
use std::fmt;

/// One usable `a=crypto` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crypto<'a> {
    /// Names the line within its media section; an answer repeats it. 0 is outside the grammar,
    /// but sent by Teams (TDR-MED-003).
    pub tag: u32,
    /// The suite.
    pub suite: Suite,
    /// The suite's name as the peer spells it; an answer repeats it.
    pub name: &'static str,
    /// Keys, at least one. We use the first.
    pub keys: Vec<KeyParam<'a>>,
    /// Session parameters, all of them acceptable.
    pub session: Vec<SessionParam<'a>>,
}

/// One `inline:` key with its lifetime and key identifier.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyParam<'a> {
    inline: &'a [u8],
    /// How many packets it may protect, if stated.
    pub lifetime: Option<Lifetime>,
    /// Master key identifier, if packets carry one.
    pub mki: Option<Mki>,
}

impl KeyParam<'_> {
    /// Master key and salt. The caller zeroises what it gets.
    pub fn expose_key_and_salt(&self) -> Vec<u8> {
        base64::decode(self.inline).unwrap_or_default()
    }
}

impl fmt::Debug for KeyParam<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyParam")
            .field("inline", &format_args!("<secret>"))
            .field("lifetime", &self.lifetime)
            .field("mki", &self.mki)
            .finish()
    }
}

/// Packets that a master key may protect, 1 to 2^48 (RFC 4568 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Lifetime(pub u64);

/// Master key identifier (RFC 3711 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mki {
    /// Value.
    pub value: u128,
    /// Bytes it takes in every packet, 1–128.
    pub bytes: u8,
}

impl Mki {
    /// As it stands in the packets: the value in as many bytes as were announced.
    pub fn to_bytes(self) -> Vec<u8> {
        let value = self.value.to_be_bytes();
        let bytes = usize::from(self.bytes);
        let padding = vec![0; bytes.saturating_sub(value.len())];
        [&padding[..], &value[value.len().saturating_sub(bytes)..]].concat()
    }
}

/// A session parameter that does not make the line unusable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SessionParam<'a> {
    /// `KDR=0`: one key derivation, which is also the default.
    KeyDerivationOnce,
    /// `WSH`: replay window of at least this many packets.
    WindowSizeHint(u32),
    /// `-ext`: an extension that may be ignored (RFC 4568 §6.3.7).
    Ignorable(&'a [u8]),
}

/// Why an `a=crypto` line may not be used (MED-100, MED-105). The other lines stay usable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CryptoFault {
    /// Not `tag suite inline:key [parameters]`.
    Syntax,
    /// A suite without known key length, or `F8_128_HMAC_SHA1_80`.
    UnknownSuite,
    /// Not base64, or not the key length of the suite.
    KeyLength,
    /// Not a number of packets from 1 to 2^48.
    Lifetime,
    /// Not `value:length` with a length from 1 to 128 that holds the value.
    KeyIdentifier,
    /// The tag was used by an earlier line.
    DuplicateTag,
    /// `UNENCRYPTED_SRTP` or `UNAUTHENTICATED_SRTP`: never accepted.
    Unprotected,
    /// A session parameter that changes the packets and is not supported.
    Parameter,
}

impl CryptoFault {
    /// A stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownSuite => "suite",
            Self::KeyLength => "key",
            Self::Lifetime => "lifetime",
            Self::KeyIdentifier => "mki",
            Self::DuplicateTag => "tag",
            Self::Unprotected => "unprotected",
            Self::Parameter => "parameter",
        }
    }

    /// What is wrong in words, without a full stop.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Syntax => "not a tag, a suite and an inline key",
            Self::UnknownSuite => "unknown crypto suite",
            Self::KeyLength => "key is not base64 of the length that the suite wants",
            Self::Lifetime => "lifetime is not a number of packets from 1 to 2^48",
            Self::KeyIdentifier => "key identifier is not value:length",
            Self::DuplicateTag => "tag is used twice",
            Self::Unprotected => "asks for media without encryption or authentication",
            Self::Parameter => "unsupported session parameter",
        }
    }
}

impl fmt::Display for CryptoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<'a> Crypto<'a> {
    /// Reads the value of an `a=crypto` line.
    pub fn parse(value: &'a [u8]) -> Result<Self, CryptoFault> {
        let (_, line) = all_consuming(grammar)
            .parse(value.trim_ascii())
            .map_err(|_| CryptoFault::Syntax)?;
        let tag = match line.tag {
            [b'0', _, ..] => None,
            tag => text::number::<u32>(tag).filter(|&tag| tag <= 999_999_999),
        }
        .ok_or(CryptoFault::Syntax)?;
        let (suite, name) = Suite::from_name(line.suite).ok_or(CryptoFault::UnknownSuite)?;
        let keys = line
            .keys
            .into_iter()
            .map(|key| key.check(suite))
            .collect::<Result<_, _>>()?;
        let session = line
            .session
            .into_iter()
            .map(session_param)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tag,
            suite,
            name,
            keys,
            session,
        })
    }
}

/// The line by its grammar, nothing checked yet.
struct RawLine<'a> {
    tag: &'a [u8],
    suite: &'a [u8],
    keys: Vec<RawKey<'a>>,
    session: Vec<&'a [u8]>,
}

struct RawKey<'a> {
    inline: &'a [u8],
    /// What stands behind the key, separated by `|`.
    second: Option<&'a [u8]>,
    third: Option<&'a [u8]>,
}

fn grammar(input: &[u8]) -> IResult<&[u8], RawLine<'_>> {
    let (input, tag) = digit1(input)?;
    let (input, suite) = preceded(space1, word).parse(input)?;
    let (input, keys) = preceded(space1, separated_list1(char(';'), key)).parse(input)?;
    let (input, session) = nom::multi::many0(preceded(space1, word)).parse(input)?;
    Ok((
        input,
        RawLine {
            tag,
            suite,
            keys,
            session,
        },
    ))
}

fn word(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(|byte: u8| byte.is_ascii_graphic()).parse(input)
}

fn key(input: &[u8]) -> IResult<&[u8], RawKey<'_>> {
    let part = |input| {
        take_while(|byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'|' | b';')).parse(input)
    };
    let (input, inline) = preceded(tag_no_case("inline:"), part).parse(input)?;
    let (input, second) = opt(preceded(char('|'), part)).parse(input)?;
    let (input, third) = opt(preceded(char('|'), part)).parse(input)?;
    Ok((
        input,
        RawKey {
            inline,
            second,
            third,
        },
    ))
}

impl<'a> RawKey<'a> {
    fn check(self, suite: Suite) -> Result<KeyParam<'a>, CryptoFault> {
        if base64::decoded_bytes(self.inline) != Some(suite.key_and_salt_bytes()) {
            return Err(CryptoFault::KeyLength);
        }
        // A lifetime never contains a colon, a key identifier always does: that is how a single
        // part is told apart (RFC 4568 §9.1).
        let (lifetime, mki) = match (self.second, self.third) {
            (None, _) => (None, None),
            (Some(only), None) if only.contains(&b':') => (None, Some(only)),
            (Some(only), None) => (Some(only), None),
            (Some(lifetime), Some(mki)) => (Some(lifetime), Some(mki)),
        };
        Ok(KeyParam {
            inline: self.inline,
            lifetime: lifetime.map(read_lifetime).transpose()?,
            mki: mki.map(read_mki).transpose()?,
        })
    }
}

fn read_lifetime(text: &[u8]) -> Result<Lifetime, CryptoFault> {
    let has_leading_zero = |digits: &[u8]| digits.len() > 1 && digits[0] == b'0';
    let packets = match text.strip_prefix(b"2^") {
        Some(exponent) if !has_leading_zero(exponent) => text::number::<u32>(exponent)
            .filter(|&exponent| exponent <= 48)
            .map(|exponent| 1u64 << exponent),
        None if !has_leading_zero(text) => text::number::<u64>(text),
        _ => None,
    };
    packets
        .filter(|packets| (1..=1 << 48).contains(packets))
        .map(Lifetime)
        .ok_or(CryptoFault::Lifetime)
}

fn read_mki(text: &[u8]) -> Result<Mki, CryptoFault> {
    let read = || {
        let (value, bytes) = text::split_at_mark(text, b':')?;
        let value = text::number::<u128>(value)?;
        let bytes = text::number::<u8>(bytes).filter(|bytes| (1..=128).contains(bytes))?;
        let holds = bytes >= 16 || value >> (u32::from(bytes) * 8) == 0;
        holds.then_some(Mki { value, bytes })
    };
    read().ok_or(CryptoFault::KeyIdentifier)
}

fn session_param(word: &[u8]) -> Result<SessionParam<'_>, CryptoFault> {
    match word {
        [b'-', name @ ..] if !name.is_empty() => Ok(SessionParam::Ignorable(name)),
        b"UNENCRYPTED_SRTP" | b"UNAUTHENTICATED_SRTP" => Err(CryptoFault::Unprotected),
        b"KDR=0" => Ok(SessionParam::KeyDerivationOnce),
        _ => word
            .strip_prefix(b"WSH=")
            .and_then(text::number::<u32>)
            .filter(|&packets| packets >= 64)
            .map(SessionParam::WindowSizeHint)
            // UNENCRYPTED_SRTCP, KDR above 0, FEC and whatever comes after RFC 4568.
            .ok_or(CryptoFault::Parameter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn parse(text: &str) -> Result<Crypto<'_>, CryptoFault> {
        Crypto::parse(text.as_bytes())
    }

    #[test]
    fn the_example_of_rfc_4568_is_read() {
        let line = format!("1 AES_CM_128_HMAC_SHA1_80   inline:{KEY}|2^20|1:4 KDR=0 WSH=128 -x=1");
        let seen = parse(&line).expect("crypto");
        assert_eq!((seen.tag, seen.suite), (1, Suite::AesCm128HmacSha1_80));
        assert_eq!(seen.keys[0].lifetime, Some(Lifetime(1 << 20)));
        assert_eq!(seen.keys[0].mki, Some(Mki { value: 1, bytes: 4 }));
        assert_eq!(seen.keys[0].expose_key_and_salt().len(), 30);
        assert_eq!(seen.session.len(), 3);
    }

    #[test]
    fn a_key_identifier_may_stand_without_a_lifetime() {
        let line = format!("0 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|7:1;inline:{KEY}|999");
        let seen = parse(&line).expect("crypto");
        assert_eq!(seen.tag, 0);
        assert_eq!(seen.keys[0].lifetime, None);
        assert_eq!(seen.keys[0].mki, Some(Mki { value: 7, bytes: 1 }));
        assert_eq!(seen.keys[1].lifetime, Some(Lifetime(999)));
    }

    #[test]
    fn a_key_identifier_has_the_length_that_was_announced() {
        let bytes = |value, bytes| Mki { value, bytes }.to_bytes();
        assert_eq!(bytes(1, 1), [1]);
        assert_eq!(bytes(0x0102, 4), [0, 0, 1, 2]);
        assert_eq!(bytes(u128::MAX, 16), [0xff; 16]);
        assert_eq!(bytes(5, 128)[..], [&[0; 127][..], &[5]].concat());
    }

    #[test]
    fn names_are_read_in_any_case_and_tabs_and_spaces_count_as_one() {
        for line in [
            format!("1 aes_cm_128_hmac_sha1_80 inline:{KEY}|2^31"),
            format!(" 1\tAES_CM_128_hmac_sha1_80 \t INLINE:{KEY}|2^31 \t"),
        ] {
            let seen = parse(&line).expect("crypto");
            assert_eq!(seen.suite, Suite::AesCm128HmacSha1_80);
            assert_eq!(seen.name, "AES_CM_128_HMAC_SHA1_80");
        }
    }

    #[test]
    fn every_suite_wants_its_own_key_length() {
        for suite in Suite::ALL {
            let key = base64::encode(&vec![7; suite.key_and_salt_bytes()]);
            for text in [key.as_str(), key.trim_end_matches('=')] {
                let line = format!("1 {} inline:{text}", suite.name());
                assert_eq!(parse(&line).expect("crypto").suite, suite);
            }
            let long = base64::encode(&vec![7; suite.key_and_salt_bytes() + 1]);
            let line = format!("1 {} inline:{long}", suite.name());
            assert_eq!(parse(&line), Err(CryptoFault::KeyLength));
        }
    }

    #[test]
    fn suites_are_known_by_the_names_that_are_not_registered_too() {
        for (suite, name) in [
            (Suite::AesCm192HmacSha1_80, "AES_CM_192_HMAC_SHA1_80"),
            (Suite::AesCm192HmacSha1_32, "AES_CM_192_HMAC_SHA1_32"),
            (Suite::AesCm256HmacSha1_80, "AES_CM_256_HMAC_SHA1_80"),
            (Suite::AesCm256HmacSha1_32, "AES_CM_256_HMAC_SHA1_32"),
        ] {
            for name in [name, suite.name()] {
                let key = base64::encode(&vec![7; suite.key_and_salt_bytes()]);
                let line = format!("1 {name} inline:{key}");
                let seen = parse(&line).expect("crypto");
                assert_eq!((seen.suite, seen.name), (suite, name));
            }
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        let suite = "AES_CM_128_HMAC_SHA1_80";
        for (line, fault) in [
            (format!("01 {suite} inline:{KEY}"), CryptoFault::Syntax),
            (
                format!("1234567890 {suite} inline:{KEY}"),
                CryptoFault::Syntax,
            ),
            (format!("x {suite} inline:{KEY}"), CryptoFault::Syntax),
            (format!("1 {suite}"), CryptoFault::Syntax),
            (format!("1 {suite} uri:{KEY}"), CryptoFault::Syntax),
            (
                format!("1 {suite} inline:{KEY}|2^31|1:1|x"),
                CryptoFault::Syntax,
            ),
            (
                format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
                CryptoFault::UnknownSuite,
            ),
            (
                format!("1 {suite} inline:{}", &KEY[1..]),
                CryptoFault::KeyLength,
            ),
            (format!("1 {suite} inline:"), CryptoFault::KeyLength),
            (
                format!("1 {suite} inline:{KEY}|2^49"),
                CryptoFault::Lifetime,
            ),
            (format!("1 {suite} inline:{KEY}|0"), CryptoFault::Lifetime),
            (
                format!("1 {suite} inline:{KEY}|2^031"),
                CryptoFault::Lifetime,
            ),
            (format!("1 {suite} inline:{KEY}|"), CryptoFault::Lifetime),
            (
                format!("1 {suite} inline:{KEY}|2^31|1:0"),
                CryptoFault::KeyIdentifier,
            ),
            (
                format!("1 {suite} inline:{KEY}|2^31|1:129"),
                CryptoFault::KeyIdentifier,
            ),
            (
                format!("1 {suite} inline:{KEY}|256:1"),
                CryptoFault::KeyIdentifier,
            ),
            (
                format!("1 {suite} inline:{KEY} UNENCRYPTED_SRTP"),
                CryptoFault::Unprotected,
            ),
            (
                format!("1 {suite} inline:{KEY} UNAUTHENTICATED_SRTP"),
                CryptoFault::Unprotected,
            ),
            (
                format!("1 {suite} inline:{KEY} UNENCRYPTED_SRTCP"),
                CryptoFault::Parameter,
            ),
            (
                format!("1 {suite} inline:{KEY} KDR=1"),
                CryptoFault::Parameter,
            ),
            (
                format!("1 {suite} inline:{KEY} WSH=63"),
                CryptoFault::Parameter,
            ),
            (
                format!("1 {suite} inline:{KEY} NEW"),
                CryptoFault::Parameter,
            ),
        ] {
            assert_eq!(parse(&line), Err(fault), "{line}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let shown = format!("{:?}", parse(&line).expect("crypto"));
        assert!(!shown.contains(KEY) && shown.contains("<secret>"));
    }
}
