//! Causeway's signalling: SIP, SDP, transactions, dialogs and calls without any I/O.
#![forbid(unsafe_code)]

pub mod sip;
