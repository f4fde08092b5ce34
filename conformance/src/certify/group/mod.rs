//! The cases, a file for each group of the catalogue.

pub mod agent;
pub mod bypass;
pub mod certificate;
pub mod codecs;
pub mod connection;
pub mod digits;
pub mod emergency;
pub mod failover;
pub mod graph;
pub mod impostor;
pub mod inbound;
pub mod interval;
pub mod media;
pub mod midcall;
pub mod notices;
pub mod number;
pub mod optimization;
pub mod options;
pub mod outbound;
pub mod packets;
pub mod pauses;
pub mod presence;
mod referred;
pub mod refusal;
pub mod replacement;
pub mod resolution;
pub mod ringing;
pub mod rtcp;
pub mod sign_in;
pub mod system;
pub mod transfer;

use super::case::Case;

/// Every case that somebody wrote, in the order of the catalogue's groups.
pub const WRITTEN: &[&[Case]] = &[
    connection::CASES,
    failover::CASES,
    impostor::CASES,
    certificate::CASES,
    resolution::CASES,
    options::CASES,
    inbound::CASES,
    ringing::CASES,
    refusal::CASES,
    outbound::CASES,
    midcall::CASES,
    interval::CASES,
    transfer::CASES,
    replacement::CASES,
    media::CASES,
    codecs::CASES,
    digits::CASES,
    packets::CASES,
    pauses::CASES,
    rtcp::CASES,
    bypass::CASES,
    agent::CASES,
    optimization::CASES,
    number::CASES,
    emergency::CASES,
    system::CASES,
    graph::CASES,
    presence::CASES,
    notices::CASES,
    sign_in::CASES,
];

/// The case with this id, if somebody wrote it.
pub fn find(id: &str) -> Option<&'static Case> {
    let all = WRITTEN.iter().flat_map(|group| group.iter());
    all.into_iter().find(|case| case.id == id)
}
