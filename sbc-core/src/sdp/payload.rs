//! Static payload types (RFC 3551 §6).

/// A static payload type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StaticPayload {
    /// Payload type.
    pub number: u8,
    /// Encoding name.
    pub name: &'static str,
    /// RTP clock rate in Hz; 8000 for G.722 although it samples at 16000 (RFC 3551 §4.5.2).
    pub clock_hz: u32,
    /// Channels.
    pub channels: u8,
}

const fn entry(number: u8, name: &'static str, clock_hz: u32, channels: u8) -> StaticPayload {
    StaticPayload {
        number,
        name,
        clock_hz,
        channels,
    }
}

/// The audio part of the table of RFC 3551.
pub const STATIC_PAYLOADS: [StaticPayload; 18] = [
    entry(0, "PCMU", 8000, 1),
    entry(3, "GSM", 8000, 1),
    entry(4, "G723", 8000, 1),
    entry(5, "DVI4", 8000, 1),
    entry(6, "DVI4", 16000, 1),
    entry(7, "LPC", 8000, 1),
    entry(8, "PCMA", 8000, 1),
    entry(9, "G722", 8000, 1),
    entry(10, "L16", 44100, 2),
    entry(11, "L16", 44100, 1),
    entry(12, "QCELP", 8000, 1),
    entry(13, "CN", 8000, 1),
    entry(14, "MPA", 90000, 1),
    entry(15, "G728", 8000, 1),
    entry(16, "DVI4", 11025, 1),
    entry(17, "DVI4", 22050, 1),
    entry(18, "G729", 8000, 1),
    // Reserved by RFC 3551 because old gateways use it as comfort noise.
    entry(19, "CN", 8000, 1),
];

/// The meaning of a static payload type, if it is one.
pub fn static_payload(number: u8) -> Option<&'static StaticPayload> {
    STATIC_PAYLOADS.iter().find(|entry| entry.number == number)
}
