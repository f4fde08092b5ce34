//! How much of a description is read (SIP-507).

/// Bounds that a parser applies to a body from a peer. All of them are ours, no RFC names any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest body in bytes; a longer one is a fault.
    pub bytes: usize,
    /// Lines; more are a fault.
    pub lines: usize,
    /// Octets of one line without its end; a longer one is a fault.
    pub line_bytes: usize,
    /// `c=` lines of one section; more are a fault.
    pub connections: usize,
    /// `m=` lines that may be used; further ones are kept and answered with port 0.
    pub media: usize,
    /// Formats on one `m=` line; more are a fault.
    pub formats: usize,
    /// Attributes of one media section or of the session section; more are a fault.
    pub attributes: usize,
    /// Candidates read from one media section; further ones are ignored.
    pub candidates: usize,
    /// `a=crypto` lines read from one media section; further ones are ignored.
    pub crypto: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            lines: 512,
            line_bytes: 2 * 1024,
            connections: 4,
            media: 16,
            formats: 64,
            attributes: 128,
            candidates: 64,
            crypto: 32,
        }
    }
}
