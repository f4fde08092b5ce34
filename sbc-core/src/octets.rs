//! Numbers and addresses to and from octets, without the detour through text that `fmt` and
//! `FromStr` take: every message has a dozen of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Whether two words are equal without regard to case. Most peers write names as the RFCs do, Teams in
/// capitals, so neither should cost an octet at a time.
#[inline]
pub(crate) fn is_same_word(one: &[u8], other: &[u8]) -> bool {
    // Most words that are compared differ in length: that is asked without a call.
    one.len() == other.len() && is_same_of_length(one, other)
}

/// The same of two words of one length.
fn is_same_of_length(one: &[u8], other: &[u8]) -> bool {
    let is_same = |one: u64, other: u64| one == other || lower(one) == lower(other);
    if let (Some(end), Some(other_end)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        let (ones, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
        let mut pairs = ones.iter().zip(others);
        // The last eight overlap what was compared before.
        return pairs
            .all(|(one, other)| is_same(u64::from_ne_bytes(*one), u64::from_ne_bytes(*other)))
            && is_same(u64::from_ne_bytes(*end), u64::from_ne_bytes(*other_end));
    }
    is_same(short(one), short(other))
}

/// Up to seven octets in one number.
fn short(octets: &[u8]) -> u64 {
    let half = |four: Option<&[u8; 4]>| four.map(|four| u64::from(u32::from_ne_bytes(*four)));
    match (half(octets.first_chunk()), half(octets.last_chunk())) {
        (Some(first), Some(last)) => first | last << 32,
        _ => octets
            .iter()
            .fold(0, |all, &octet| all << 8 | u64::from(octet)),
    }
}

/// Where an octet stands first.
pub(crate) fn position_of(wanted: u8, octets: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let (chunks, rest) = octets.as_chunks::<8>();
    let mut at = 0;
    for chunk in chunks {
        // An octet that is the wanted one is zero now, and borrows when one is taken from it.
        let differs = u64::from_le_bytes(*chunk) ^ (EACH * u64::from(wanted));
        let found = differs.wrapping_sub(EACH) & !differs & (EACH * 0x80);
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let found = rest.iter().position(|&octet| octet == wanted)?;
    Some(at + found)
}

/// Eight octets with their capitals made small.
fn lower(octets: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    // In the highest bit of each octet: whether the lower seven are A or more, whether above Z, and
    // whether the octet itself is ASCII.
    let seven = octets & (0x7F * EACH);
    let from_a = seven + (0x80 - b'A' as u64) * EACH;
    let above_z = seven + (0x7F - b'Z' as u64) * EACH;
    let capital = (from_a ^ above_z) & !octets & (0x80 * EACH);
    octets | (capital >> 2)
}

/// Appends a decimal number.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    // Parts of addresses, payload types, statuses: nearly all of them are this small.
    if number < 1_000 {
        let digit = |unit: u64| b'0' + (number / unit % 10) as u8;
        if number >= 100 {
            out.push(digit(100));
        }
        if number >= 10 {
            out.push(digit(10));
        }
        return out.push(digit(1));
    }
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut left = number;
    // Two at a time, which halves the divisions.
    while left >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(left % 100) as usize]);
        left /= 100;
    }
    if left > 0 {
        at -= 1;
        digits[at] = b'0' + left as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// The numbers below 100 in two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

/// Appends an address; IPv6 without brackets.
pub(crate) fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (text, end) = ipv4_text(address);
            out.extend_from_slice(&text[..end]);
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// An address with its port, as it is usually written.
pub(crate) fn socket_text(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = Vec::with_capacity(21);
    push_address(&mut text, IpAddr::V4(*address.ip()));
    text.push(b':');
    push_number(&mut text, u64::from(address.port()));
    String::from_utf8(text).unwrap_or_default()
}

/// An IPv4 address in its longest room, and where it ends there: it is written at once, because there are
/// many in every message.
fn ipv4_text(address: Ipv4Addr) -> ([u8; 15], usize) {
    let mut text = [b'.'; 15];
    let mut end = 0;
    for octet in address.octets() {
        if octet >= 100 {
            text[end] = b'0' + octet / 100;
            end += 1;
        }
        if octet >= 10 {
            text[end] = b'0' + octet / 10 % 10;
            end += 1;
        }
        text[end] = b'0' + octet % 10;
        // A dot stands there already.
        end += 2;
    }
    (text, end - 1)
}

/// A number in 16 hexadecimal digits.
pub(crate) fn hexadecimal(number: u64) -> [u8; 16] {
    std::array::from_fn(|at| HEX[(number >> (60 - 4 * at)) as usize % HEX.len()])
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// An address as text; IPv6 without brackets.
pub(crate) fn address_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(_) => {
            let mut text = Vec::with_capacity("255.255.255.255".len());
            push_address(&mut text, address);
            String::from_utf8(text).unwrap_or_default()
        }
        IpAddr::V6(address) => address.to_string(),
    }
}

/// Reads an IPv4 address: four numbers up to 255 without leading zeros, as [`Ipv4Addr`] itself does.
pub(crate) fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    ipv4_begin(text).and_then(|(address, rest)| rest.is_empty().then_some(address))
}

/// Reads the IPv4 address that a text begins with, up to the first octet that is no digit and no dot
/// behind a digit; returns what is left.
pub(crate) fn ipv4_begin(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (mut address, mut rest) = ([0_u8; 4], text);
    for (at, part) in address.iter_mut().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        (*part, rest) = ipv4_part(rest)?;
    }
    (rest.first() != Some(&b'.')).then(|| (Ipv4Addr::from(address), rest))
}

/// One number of an address, up to 255; a zero that others follow ends it.
fn ipv4_part(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |at: usize| {
        let digit = text.get(at)?.wrapping_sub(b'0');
        (digit < 10).then_some(u16::from(digit))
    };
    let mut number = digit(0)?;
    let mut length = 1;
    while let Some(next) = digit(length).filter(|_| number > 0 && length < 3) {
        number = 10 * number + next;
        length += 1;
    }
    Some((u8::try_from(number).ok()?, text.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_as_the_standard_library_compares_them() {
        for octet in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                for (before, after) in [(0, 0), (3, 4), (8, 2), (11, 13)] {
                    let word =
                        |octet| [&vec![b'x'; before][..], &[octet], &vec![b'Y'; after]].concat();
                    let (one, other) = (word(octet), word(other).to_ascii_uppercase());
                    let expected = one.eq_ignore_ascii_case(&other);
                    assert_eq!(is_same_word(&one, &other), expected, "{one:?} {other:?}");
                }
            }
        }
        assert!(!is_same_word(b"Via", b"Vi") && is_same_word(b"", b""));
    }

    #[test]
    fn words_of_every_length_that_differ_in_one_octet_are_not_the_same() {
        for length in 0..40 {
            let word = vec![b'a'; length];
            assert!(is_same_word(&word, &word.to_ascii_uppercase()));
            for at in 0..length {
                let mut other = word.clone();
                other[at] = b'b';
                assert!(!is_same_word(&word, &other), "{length} {at}");
            }
        }
    }

    #[test]
    fn an_octet_is_found_where_it_stands_first() {
        for wanted in [0, b':', 0x7F, 0x80, 0xFF] {
            for neighbour in [wanted ^ 1, wanted ^ 0x80, wanted.wrapping_sub(1), 0, 0xFF] {
                for length in 0..40 {
                    let mut octets = vec![neighbour; length];
                    for at in (0..length).rev() {
                        octets[at] = wanted;
                        let expected = octets.iter().position(|&octet| octet == wanted);
                        assert_eq!(position_of(wanted, &octets), expected, "{octets:?}");
                        octets[at] = if at % 2 == 0 { neighbour } else { wanted };
                    }
                }
            }
        }
    }

    #[test]
    fn an_address_with_its_port_reads_as_the_standard_library_writes_it() {
        for address in [
            "0.0.0.0:0",
            "203.0.113.9:5060",
            "255.255.255.255:65535",
            "[2001:db8::1]:80",
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(socket_text(address), address.to_string());
        }
    }

    #[test]
    fn addresses_are_read_as_the_standard_library_reads_them() {
        let parts = [
            "0", "1", "9", "10", "01", "00", "099", "255", "256", "1000", "", "a", "-1",
        ];
        for a in parts {
            for b in parts {
                for rest in ["1.1", "1", "1.1.1", "1.1.", ".1.1", "255.0", "1.1 "] {
                    let text = format!("{a}.{b}.{rest}");
                    assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power.wrapping_mul(7)]);
        for number in around.chain(0..1_100).chain([u64::MAX]) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for text in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "2001:db8::1"] {
            let mut out = Vec::new();
            push_address(&mut out, text.parse().unwrap());
            assert_eq!(out, text.as_bytes());
        }
    }
}
