//! SIP syntax: bytes ↔ values (RFC 3261 §7, §25).
