//! `causeway media status --metrics`: a relay that serves a proxy, as it tells itself.

use super::exit;
use super::form::Output;
use super::node::SERVED;
use super::readable::{duration, plain, table};
use crate::client::{Answer, get_at};
use serde_json::Value;
use std::io::{self, Write};
use std::net::SocketAddr;

/// Prints what serves media of each address and why nothing faster, calls, and pairs of ports that are free.
///
/// # Errors
/// If the output cannot be written.
pub fn status(at: SocketAddr, output: Output, out: &mut dyn Write) -> io::Result<u8> {
    let answer = match get_at(at, "/status") {
        Ok(answer) => answer,
        Err(why) => {
            eprintln!(
                "causeway media status: no relay answers at {at}: {why}; --metrics of \"causeway media\" opens that"
            );
            return Ok(exit::UNREACHABLE);
        }
    };
    let told: Option<Value> = serde_json::from_str(&answer.body).ok();
    let Answer {
        status: 200, body, ..
    } = &answer
    else {
        let detail = told.as_ref().and_then(|told| told["detail"].as_str());
        eprintln!(
            "causeway media status: {}",
            detail.unwrap_or("this is no relay")
        );
        return Ok(exit::UNREACHABLE);
    };
    if !output.is_table() {
        output.pass(body, out)?;
        return Ok(exit::OK);
    }
    let told = told.unwrap_or_default();
    let up = told["uptime_seconds"].as_u64().unwrap_or_default();
    for (name, value) in [
        ("version", plain(&told["version"])),
        ("up for", duration(up)),
        ("calls", plain(&told["calls"])),
        ("streams", plain(&told["streams"])),
        ("media sessions", plain(&told["sessions"])),
        ("transcoded", plain(&told["transcodes"])),
    ] {
        writeln!(out, "{name:<16}{value}")?;
    }
    let rows = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    writeln!(out)?;
    // A stream has a pair of them, also where RTP and RTCP share one.
    let pairs = ["realm", "port_pairs_used", "port_pairs_free"];
    table(&rows("realms"), &pairs, out)?;
    writeln!(out)?;
    table(&rows("addresses"), &SERVED, out).map(|()| exit::OK)
}
