//! STUN headers: RFC 8489 §5. Enough to tell a STUN message from noise on a media port (SEC-115).

use super::{u16_at, u32_at};

/// Bytes of a STUN header.
pub const HEADER_BYTES: usize = 20;

/// Largest STUN message that is looked at, in bytes (SEC-115).
pub const MAX_MESSAGE_BYTES: usize = 1280;

/// RFC 8489 §5: the fixed value behind the length.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

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

#[cfg(test)]
mod tests {
    use super::*;

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
