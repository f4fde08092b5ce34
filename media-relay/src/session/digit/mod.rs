//! DTMF digits in media: heard and sent, as events of RFC 4733 and as tones.

pub(super) mod dial;
pub(super) mod heard;
pub(super) mod listen;
pub(super) mod tone;
