//! How much of everything a message may have (SIP-001).

/// Upper bounds that hold before anything is allocated (SIP-001). All lengths are octets.
///
/// The total-size limits (`header_section`, `body`) lead to 513 for a request, the others to 400;
/// a response over any limit is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Request line or status line; default 8 KiB.
    pub start_line: usize,
    /// One header line, folds included; default 16 KiB.
    pub header_line: usize,
    /// Start line and all header lines; default 64 KiB.
    pub header_section: usize,
    /// Number of header lines; default 256.
    pub header_lines: usize,
    /// Via values over all lines; default 70.
    pub via_values: usize,
    /// Values of one list header that we act on, over all its lines; default 32.
    pub list_values: usize,
    /// Body; default 256 KiB. A datagram cannot reach it.
    pub body: usize,
}

/// Longest URI that is parsed, octets (SIP-001).
pub const MAX_URI: usize = 4 * 1024;
/// Longest display name, octets as received (SIP-001).
pub const MAX_DISPLAY_NAME: usize = 1024;
/// Most parameters of one URI or one header value, and most headers inside a URI (SIP-001).
pub const MAX_PARAMS: usize = 64;
/// Deepest nesting of multipart bodies (SIP-001).
pub const MAX_MULTIPART_DEPTH: usize = 4;
/// Most parts of a body, over all depths (SIP-001).
pub const MAX_BODY_PARTS: usize = 16;

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_line: 8 * 1024,
            header_line: 16 * 1024,
            header_section: 64 * 1024,
            header_lines: 256,
            via_values: 70,
            list_values: 32,
            body: 256 * 1024,
        }
    }
}
