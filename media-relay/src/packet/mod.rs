//! Views over received bytes: nothing is copied, nothing is allocated, no input makes them panic.

pub mod demux;
pub mod extended;
pub mod frame;
pub mod rtcp;
pub mod rtp;
pub mod stun;

/// Reads two bytes in network order, if they are there.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}

/// Reads four bytes in network order, if they are there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}
