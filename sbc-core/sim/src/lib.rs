//! A simulated world for Causeway's signalling: clock, network, peers, checkers.
#![forbid(unsafe_code)]
