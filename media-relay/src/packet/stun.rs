//! STUN on a media port: Binding of RFC 8489 as ICE uses it, read where it lies and written anew.
//!
//! Short-term credentials only. Nothing of RFC 3489 is understood, and nothing but Binding.

use super::{u16_at, u32_at};
use crate::srtp::HmacSha1;
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

/// Bytes of a STUN header.
pub const HEADER_BYTES: usize = 20;

/// Largest STUN message that is looked at, in bytes (SEC-115).
pub const MAX_MESSAGE_BYTES: usize = 1280;

/// RFC 8489 §5: the fixed value behind the length.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// Message type of a Binding request.
pub const BINDING_REQUEST: u16 = 0x0001;
/// Message type of a success response to it.
pub const BINDING_SUCCESS: u16 = 0x0101;
/// Message type of an error response to it.
pub const BINDING_ERROR: u16 = 0x0111;

/// Attribute types that are understood or written.
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    pub(super) const ICE_CONTROLLING: u16 = 0x802a;
    /// Larger types may be ignored (RFC 8489 §14).
    pub(super) const COMPREHENSION_OPTIONAL: u16 = 0x8000;
}

/// Bytes of MESSAGE-INTEGRITY with its header.
const INTEGRITY_BYTES: usize = 4 + 20;
/// Bytes of FINGERPRINT with its header.
const FINGERPRINT_BYTES: usize = 4 + 4;
/// What the checksum of FINGERPRINT is changed with (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;
/// Unknown attributes that an answer names; further ones are as unknown.
const MAX_UNKNOWN: usize = 8;

/// The header of a STUN message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StunHeader {
    /// Message type: class and method bits as on the wire.
    pub message_type: u16,
    /// Bytes of attributes behind the header, a multiple of four.
    pub attribute_bytes: u16,
    /// Transaction id.
    pub transaction: [u8; 12],
}

impl StunHeader {
    /// Reads the header if `datagram` is exactly one STUN message: cookie present, length a
    /// multiple of four and equal to what follows.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        if datagram.len() > MAX_MESSAGE_BYTES {
            return None;
        }
        let message_type = u16_at(datagram, 0).filter(|kind| kind >> 14 == 0)?;
        let attribute_bytes = u16_at(datagram, 2).filter(|bytes| bytes % 4 == 0)?;
        if u32_at(datagram, 4)? != MAGIC_COOKIE {
            return None;
        }
        let transaction = datagram.get(8..HEADER_BYTES)?.try_into().ok()?;
        (datagram.len() == HEADER_BYTES + usize::from(attribute_bytes)).then_some(Self {
            message_type,
            attribute_bytes,
            transaction,
        })
    }
}

/// A message with a right FINGERPRINT, as its attributes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// Its header.
    pub header: StunHeader,
    /// USERNAME.
    pub username: Option<&'a [u8]>,
    /// PRIORITY: of the candidate that the peer would learn of by this check.
    pub priority: Option<u32>,
    /// Whether USE-CANDIDATE is there: the pair is nominated.
    pub use_candidate: bool,
    /// Which role the sender has.
    pub role: Option<Role>,
    /// Attributes that would have to be understood and are not.
    pub unknown: Unknown,
    integrity: Option<Integrity<'a>>,
}

/// Role of an agent (RFC 8445 §6.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// It nominates.
    Controlling,
    /// It waits for a nomination.
    Controlled,
}

/// Types of attributes that are not understood, the first few.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unknown {
    types: [u16; MAX_UNKNOWN],
    count: usize,
}

impl Unknown {
    fn push(&mut self, kind: u16) {
        if let Some(free) = self.types.get_mut(self.count) {
            *free = kind;
            self.count += 1;
        }
    }

    /// The types, in the order of the message.
    pub fn types(&self) -> &[u16] {
        self.types.get(..self.count).unwrap_or_default()
    }
}

/// What MESSAGE-INTEGRITY covers and says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Integrity<'a> {
    /// The message up to the attribute, with the length that it says now.
    covered: &'a [u8],
    value: &'a [u8; 20],
}

impl<'a> Message<'a> {
    /// Reads a message whose last attribute is a right FINGERPRINT. `None` of anything else, which is
    /// no business of ICE (RFC 8445 §7.1: every check carries one).
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let header = StunHeader::parse(datagram)?;
        let covered = datagram.len().checked_sub(FINGERPRINT_BYTES)?;
        let (before, last) = datagram.split_at_checked(covered)?;
        let is_fingerprint = u16_at(last, 0)? == attribute::FINGERPRINT && u16_at(last, 2)? == 4;
        if !is_fingerprint || u32_at(last, 4)? != checksum(before) ^ FINGERPRINT_MASK {
            return None;
        }
        let mut message = Self {
            header,
            username: None,
            priority: None,
            use_candidate: false,
            role: None,
            unknown: Unknown::default(),
            integrity: None,
        };
        let mut at = HEADER_BYTES;
        // What follows the integrity is not covered by it, so it does not count (RFC 8489 §14.5).
        while at < covered && message.integrity.is_none() {
            let kind = u16_at(before, at)?;
            let length = usize::from(u16_at(before, at + 2)?);
            let value = before.get(at + 4..at + 4 + length)?;
            message.take(kind, value, before.get(..at)?)?;
            at += 4 + length.next_multiple_of(4);
        }
        Some(message)
    }

    /// Takes one attribute; `None` if it is not what its type says. The first of a type counts.
    fn take(&mut self, kind: u16, value: &'a [u8], covered: &'a [u8]) -> Option<()> {
        match kind {
            attribute::USERNAME => self.username = self.username.or(Some(value)),
            attribute::PRIORITY => {
                let priority = u32::from_be_bytes(value.try_into().ok()?);
                self.priority = self.priority.or(Some(priority));
            }
            attribute::USE_CANDIDATE => self.use_candidate = true,
            attribute::ICE_CONTROLLING => self.role = self.role.or(Some(Role::Controlling)),
            attribute::ICE_CONTROLLED => self.role = self.role.or(Some(Role::Controlled)),
            attribute::MESSAGE_INTEGRITY => {
                let value = value.try_into().ok()?;
                self.integrity = Some(Integrity { covered, value });
            }
            // Without meaning in a request, but known.
            attribute::MAPPED_ADDRESS
            | attribute::XOR_MAPPED_ADDRESS
            | attribute::ERROR_CODE
            | attribute::UNKNOWN_ATTRIBUTES => {}
            kind if kind < attribute::COMPREHENSION_OPTIONAL => self.unknown.push(kind),
            _ => {}
        }
        Some(())
    }

    /// Whether there is a MESSAGE-INTEGRITY at all.
    pub fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether its MESSAGE-INTEGRITY was made with this password, which has 64 bytes at most.
    pub fn is_proven(&self, password: &[u8]) -> bool {
        self.proves(&HmacSha1::new(password))
    }

    /// Whether its MESSAGE-INTEGRITY was made with this key.
    pub(crate) fn proves(&self, key: &HmacSha1) -> bool {
        let Some(Integrity { covered, value }) = self.integrity else {
            return false;
        };
        let mut copy = [0; MAX_MESSAGE_BYTES];
        let Some(copied) = copy.get_mut(..covered.len()) else {
            return false;
        };
        copied.copy_from_slice(covered);
        write_length(copied, covered.len() + INTEGRITY_BYTES);
        key.tag(copied, b"").ct_eq(value).into()
    }
}

/// What is wrong with a request (RFC 8489 §14.8, RFC 8445 §7.3.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorCode {
    /// 400: what every check must have is missing.
    BadRequest,
    /// 420: it has attributes that must be understood and are not.
    UnknownAttribute,
    /// 487: the sender takes itself for controlled, and so do we.
    RoleConflict,
}

impl ErrorCode {
    const fn number(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::UnknownAttribute => 420,
            Self::RoleConflict => 487,
        }
    }

    /// The reason phrase, of a length that needs no padding.
    const fn phrase(self) -> &'static [u8] {
        match self {
            Self::BadRequest => b"Bad Request.",
            Self::UnknownAttribute => b"Unknown Attribute...",
            Self::RoleConflict => b"Role Conflict...",
        }
    }
}

/// Room for the longest answer.
pub const MAX_ANSWER_BYTES: usize = HEADER_BYTES
    + (4 + 4 + 20)
    + (4 + 2 * MAX_UNKNOWN)
    + (4 + 20)
    + INTEGRITY_BYTES
    + FINGERPRINT_BYTES;

/// Writes one answer.
#[derive(Clone, Debug)]
pub struct Answer {
    bytes: [u8; MAX_ANSWER_BYTES],
    length: usize,
}

impl Answer {
    /// A success that tells the sender where it was seen (RFC 8489 §14.2).
    pub(crate) fn success(transaction: [u8; 12], seen: SocketAddr, key: &HmacSha1) -> Self {
        let mut answer = Self::begin(BINDING_SUCCESS, transaction);
        answer.xor_mapped_address(seen, &transaction);
        answer.integrity(key);
        answer.fingerprint();
        answer
    }

    /// A refusal. One without `key` is to a request that proved nothing.
    pub(crate) fn refusal(
        transaction: [u8; 12],
        code: ErrorCode,
        unknown: &Unknown,
        key: Option<&HmacSha1>,
    ) -> Self {
        let mut answer = Self::begin(BINDING_ERROR, transaction);
        let number = code.number();
        let phrase = code.phrase();
        answer.attribute(attribute::ERROR_CODE, 4 + phrase.len());
        answer.push(&[0, 0, (number / 100) as u8, (number % 100) as u8]);
        answer.push(phrase);
        let types = unknown.types();
        if !types.is_empty() {
            answer.attribute(attribute::UNKNOWN_ATTRIBUTES, 2 * types.len());
            types
                .iter()
                .for_each(|kind| answer.push(&kind.to_be_bytes()));
            if types.len() % 2 == 1 {
                answer.push(&[0, 0]);
            }
        }
        if let Some(key) = key {
            answer.integrity(key);
        }
        answer.fingerprint();
        answer
    }

    /// The datagram.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn begin(message_type: u16, transaction: [u8; 12]) -> Self {
        let mut answer = Self {
            bytes: [0; MAX_ANSWER_BYTES],
            length: 0,
        };
        answer.push(&message_type.to_be_bytes());
        answer.push(&[0, 0]);
        answer.push(&MAGIC_COOKIE.to_be_bytes());
        answer.push(&transaction);
        answer
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
            self.length = end;
        }
    }

    fn attribute(&mut self, kind: u16, length: usize) {
        self.push(&kind.to_be_bytes());
        self.push(&(length as u16).to_be_bytes());
    }

    fn xor_mapped_address(&mut self, seen: SocketAddr, transaction: &[u8; 12]) {
        let mut octets = [0; 16];
        let (family, count) = match seen.ip().to_canonical() {
            IpAddr::V4(ip) => {
                octets[..4].copy_from_slice(&ip.octets());
                (1, 4)
            }
            IpAddr::V6(ip) => {
                octets = ip.octets();
                (2, 16)
            }
        };
        let mask = MAGIC_COOKIE.to_be_bytes().into_iter().chain(*transaction);
        octets
            .iter_mut()
            .zip(mask)
            .for_each(|(octet, mask)| *octet ^= mask);
        let port = seen.port() ^ (MAGIC_COOKIE >> 16) as u16;
        self.attribute(attribute::XOR_MAPPED_ADDRESS, 4 + count);
        self.push(&[0, family]);
        self.push(&port.to_be_bytes());
        self.push(octets.get(..count).unwrap_or_default());
    }

    fn integrity(&mut self, key: &HmacSha1) {
        self.say_length(INTEGRITY_BYTES);
        let tag = key.tag(self.bytes(), b"");
        self.attribute(attribute::MESSAGE_INTEGRITY, tag.len());
        self.push(&tag);
    }

    fn fingerprint(&mut self) {
        self.say_length(FINGERPRINT_BYTES);
        let value = checksum(self.bytes()) ^ FINGERPRINT_MASK;
        self.attribute(attribute::FINGERPRINT, 4);
        self.push(&value.to_be_bytes());
    }

    /// Makes the header say the length that it has with `more` bytes.
    fn say_length(&mut self, more: usize) {
        let total = self.length + more;
        write_length(&mut self.bytes, total);
    }
}

fn write_length(message: &mut [u8], total: usize) {
    let attributes = total.saturating_sub(HEADER_BYTES) as u16;
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&attributes.to_be_bytes());
    }
}

/// CRC-32 of ITU-T V.42, which FINGERPRINT is made of.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| (sum >> 8) ^ TABLE[usize::from(sum as u8 ^ byte)];
    !bytes.iter().fold(!0, step)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = match value & 1 {
                1 => (value >> 1) ^ 0xedb8_8320,
                _ => value >> 1,
            };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| (pair[0] * 16 + pair[1]) as u8)
            .collect()
    }

    /// RFC 5769 §2.1.
    const REQUEST: &str = "00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
        80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
        00 24 00 04 6e 00 01 ff 80 29 00 08 93 2f f9 b1 51 26 3b 36
        00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
        00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
        80 28 00 04 e5 7a 3b cf";
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn the_request_of_rfc_5769_is_read_and_proven() {
        let request = bytes(REQUEST);
        let message = Message::parse(&request).unwrap();
        assert_eq!(message.header.message_type, BINDING_REQUEST);
        assert_eq!(message.username, Some(&b"evtj:h6vY"[..]));
        assert_eq!(message.priority, Some(0x6e00_01ff));
        assert_eq!(message.role, Some(Role::Controlled));
        assert!(!message.use_candidate && message.unknown.types().is_empty());
        assert!(message.is_proven(PASSWORD));
        assert!(!message.is_proven(b"VOkJxbRl1RmTxUk/WvJxBu"));
    }

    #[test]
    fn a_changed_byte_anywhere_is_seen() {
        let request = bytes(REQUEST);
        for at in 0..request.len() {
            let mut changed = request.clone();
            changed[at] ^= 4;
            assert_eq!(Message::parse(&changed), None, "byte {at}");
        }
        for end in 0..request.len() {
            assert_eq!(Message::parse(&request[..end]), None);
        }
    }

    #[test]
    fn integrity_covers_what_stands_before_it_also_under_a_right_fingerprint() {
        let request = bytes(REQUEST);
        let end = request.len() - FINGERPRINT_BYTES;
        for at in HEADER_BYTES..end - 20 {
            let mut changed = request.clone();
            changed[at] ^= 4;
            let sum = checksum(&changed[..end]) ^ FINGERPRINT_MASK;
            changed[end + 4..].copy_from_slice(&sum.to_be_bytes());
            let is_proven = Message::parse(&changed).is_some_and(|one| one.is_proven(PASSWORD));
            assert!(!is_proven, "byte {at}");
        }
    }

    /// RFC 5769 §2.2 and §2.3.
    const RESPONSES: [&str; 2] = [
        "01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
        80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
        00 20 00 08 00 01 a1 47 e1 12 a6 43
        00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7
        80 28 00 04 c0 7d 4c 96",
        "01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
        80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
        00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9
        00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41
        80 28 00 04 c8 fb 0b 4c",
    ];

    #[test]
    fn the_responses_of_rfc_5769_are_read_and_proven() {
        for response in RESPONSES {
            let response = bytes(response);
            let message = Message::parse(&response).unwrap();
            assert_eq!(message.header.message_type, BINDING_SUCCESS);
            assert!(message.is_proven(PASSWORD));
        }
    }

    /// Those of RFC 5769 have a SOFTWARE attribute, which ours do not; so the mapped addresses of both
    /// are compared, and of a whole answer one that was made with another program.
    #[test]
    fn answers_say_where_the_sender_was_seen() {
        let transaction = bytes("b7e7a701bc34d686fa87dfae").try_into().unwrap();
        let key = HmacSha1::new(PASSWORD);
        let v4 = Answer::success(transaction, "192.0.2.1:32853".parse().unwrap(), &key);
        assert_eq!(
            v4.bytes()[20..32],
            bytes("00 20 00 08 00 01 a1 47 e1 12 a6 43")
        );
        let seen = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        let v6 = Answer::success(transaction, seen.parse().unwrap(), &key);
        let wanted = "00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9";
        assert_eq!(v6.bytes()[20..44], bytes(wanted));

        let whole = "0101002c2112a4420102030405060708090a0b0c002000080001e243ea12d545
            00080014855a925f3033eeb0b02b5b4e2d00ef230b5dc80a80280004af849532";
        let answer = Answer::success(
            bytes("0102030405060708090a0b0c").try_into().unwrap(),
            "203.0.113.7:50001".parse().unwrap(),
            &HmacSha1::new(b"YH75Fviy6338Vbrhrlp8Yh"),
        );
        assert_eq!(answer.bytes(), bytes(whole));
        let message = Message::parse(answer.bytes()).unwrap();
        assert_eq!(message.header.message_type, BINDING_SUCCESS);
        assert!(message.is_proven(b"YH75Fviy6338Vbrhrlp8Yh"));
    }

    #[test]
    fn refusals_are_whole_messages_and_name_what_was_not_understood() {
        let key = HmacSha1::new(PASSWORD);
        let mut unknown = Unknown::default();
        (0x7000..0x7010).for_each(|kind| unknown.push(kind));
        assert_eq!(unknown.types().len(), MAX_UNKNOWN);
        let answer = Answer::refusal([9; 12], ErrorCode::UnknownAttribute, &unknown, Some(&key));
        assert!(answer.bytes().len() <= MAX_ANSWER_BYTES);
        let message = Message::parse(answer.bytes()).unwrap();
        assert_eq!(message.header.message_type, BINDING_ERROR);
        assert!(message.is_proven(PASSWORD));
        assert_eq!(answer.bytes()[24..28], [0, 0, 4, 20]);
        let odd = Unknown {
            types: [0x7fff; MAX_UNKNOWN],
            count: 1,
        };
        for code in [ErrorCode::BadRequest, ErrorCode::RoleConflict] {
            let answer = Answer::refusal([9; 12], code, &odd, None);
            let message = Message::parse(answer.bytes()).unwrap();
            assert!(!message.has_integrity());
        }
    }

    #[test]
    fn unknown_attributes_count_by_their_type_and_only_before_the_integrity() {
        let key = HmacSha1::new(PASSWORD);
        let mut request = Answer::begin(BINDING_REQUEST, [1; 12]);
        for kind in [0x8070_u16, 0x0031, 0xc001, 0x7ffe] {
            request.attribute(kind, 3);
            request.push(&[1, 2, 3, 0]);
        }
        request.integrity(&key);
        request.attribute(0x0032, 0);
        request.fingerprint();
        let message = Message::parse(request.bytes()).unwrap();
        assert_eq!(message.unknown.types(), [0x0031, 0x7ffe]);
        assert!(message.is_proven(PASSWORD));
    }

    #[test]
    fn a_binding_request_is_recognised_and_every_prefix_of_it_is_not() {
        let mut request = vec![0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42];
        request.extend_from_slice(&[7; 12]);
        request.extend_from_slice(&[0x80, 0x28, 0, 0]);
        let header = StunHeader::parse(&request).unwrap();
        assert_eq!((header.message_type, header.attribute_bytes), (1, 4));
        assert_eq!(header.transaction, [7; 12]);
        for end in 0..request.len() {
            assert_eq!(StunHeader::parse(&request[..end]), None);
        }
    }
}
