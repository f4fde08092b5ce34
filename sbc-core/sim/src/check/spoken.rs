//! What a description says, read without the product's parser.

use crate::wire::Wire;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Whether a message has a part in exchanges of a call: anything else says nothing of them.
pub(super) fn is_of_exchange(wire: &Wire) -> bool {
    wire.cseq()
        .is_some_and(|(_, method)| matches!(method, "INVITE" | "UPDATE" | "ACK" | "BYE"))
}

/// One description with at most one audio line that is switched on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Spoken {
    /// Whether its author sends.
    pub(super) sends: bool,
    /// Whether its author wants to receive: not at an address of zeros.
    pub(super) receives: bool,
    /// Where.
    pub(super) audio: Option<SocketAddr>,
    /// Number of `m=` lines.
    pub(super) lines: usize,
    /// Meaning of every payload type that is listed.
    pub(super) payloads: BTreeMap<String, String>,
}

impl Spoken {
    /// Reads one; `None` where nothing is said.
    pub(super) fn read(sdp: &str) -> Option<Self> {
        if sdp.is_empty() {
            return None;
        }
        let direction = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a="))
            .find(|word| matches!(*word, "sendrecv" | "sendonly" | "recvonly" | "inactive"))
            .unwrap_or("sendrecv");
        let ip: Option<IpAddr> = sdp
            .lines()
            .find_map(|line| {
                line.strip_prefix("c=IN IP4 ")
                    .or(line.strip_prefix("c=IN IP6 "))
            })
            .and_then(|ip| ip.trim().parse().ok());
        let lines = sdp.lines().filter(|line| line.starts_with("m=")).count();
        let audio = sdp.lines().find_map(|line| line.strip_prefix("m=audio "));
        let port = audio.and_then(|line| line.split(' ').next()?.parse().ok());
        let named: BTreeMap<&str, &str> = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '))
            .collect();
        let formats = audio.into_iter().flat_map(|line| line.split(' ').skip(2));
        let payloads = formats.map(|format| {
            let usual = match format {
                "0" => "PCMU/8000",
                "8" => "PCMA/8000",
                "9" => "G722/8000",
                "13" => "CN/8000",
                "18" => "G729/8000",
                _ => "nothing",
            };
            let meaning = named.get(format).copied().unwrap_or(usual);
            (format.to_owned(), meaning.to_ascii_uppercase())
        });
        Some(Self {
            sends: matches!(direction, "sendrecv" | "sendonly"),
            receives: matches!(direction, "sendrecv" | "recvonly")
                && ip.is_some_and(|ip| !ip.is_unspecified()),
            audio: ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)),
            lines,
            payloads: payloads.collect(),
        })
    }
}
