//! How a kind of peer writes its messages: the Direct Routing proxy and a carrier's softswitch.
//!
//! Both carry texts that must never reach the other leg (product names, private headers, addresses
//! in phrases), so that the privacy checker has something to find.

use crate::dice::Dice;
use crate::scenario::User;
use crate::topology;
use crate::wire::Wire;
use sbc_core::transport::Protocol;
use std::net::SocketAddr;

/// A kind of peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Microsoft's SIP proxy: upper-case header names, Record-Route on 5061, a Contact that must
    /// not be connected to, SRTP by SDES.
    Teams {
        /// Name of the regional proxy, for From.
        region: String,
        /// Name in Record-Route: where requests within the dialog must go.
        edge: String,
        /// Where its user is, if it says so.
        user: Option<User>,
    },
    /// A carrier's softswitch: plain RTP, addresses as hosts.
    Carrier {
        /// Its domain.
        domain: String,
        /// Whether its media have keys.
        has_keys: bool,
        /// Whether it writes headers in their short forms.
        is_terse: bool,
    },
}

impl Dialect {
    /// Host in its own From.
    pub fn domain(&self) -> String {
        match self {
            Self::Teams { region, .. } => format!("{region}:5061"),
            Self::Carrier { domain, .. } => domain.clone(),
        }
    }

    /// Contact of a call: fixed for the life of a dialog.
    pub fn contact(&self, address: SocketAddr, protocol: Protocol, dice: &mut Dice) -> String {
        match self {
            Self::Teams { .. } => format!(
                "<sip:api-du-a.pstnhub.example:443;x-i={};x-c={}/d/8/{}>",
                dice.word(16),
                dice.word(32),
                dice.word(16)
            ),
            Self::Carrier { .. } => {
                let transport = match protocol {
                    Protocol::Udp => String::new(),
                    other => format!(";transport={other}"),
                };
                format!("<sip:gw{}@{address}{transport}>", dice.word(6))
            }
        }
    }

    /// Record-Route of dialog-forming messages.
    pub fn record_route(&self) -> Option<String> {
        match self {
            Self::Teams { edge, .. } => Some(format!("<sip:{edge}:5061;transport=tls;lr>")),
            Self::Carrier { .. } => None,
        }
    }

    /// From or To text for a number of a party of this peer.
    pub fn party(&self, number: &str) -> String {
        match self {
            Self::Teams { .. } => {
                format!("John Doe<sip:{number}@{};user=phone>", self.domain())
            }
            Self::Carrier { domain, .. } => format!("\"Anna\" <sip:{number}@{domain}>"),
        }
    }

    /// The Request-URI for a called number.
    pub fn request_uri(&self, number: &str, host: &str) -> String {
        match self {
            Self::Teams { .. } => format!("sip:{number}@{host}:5061;user=phone;transport=tls"),
            Self::Carrier { .. } => format!("sip:{number}@{host}"),
        }
    }

    /// Adds what every message of this peer carries, and its manner of writing.
    pub fn finish(&self, wire: Wire) -> Wire {
        let is_request = wire.method().is_some();
        let token = if is_request { "User-Agent" } else { "Server" };
        match self {
            Self::Teams { user, .. } => placed(wire, *user)
                .with(token, "Microsoft.PSTNHub.SIPProxy v.2024.2.12.3 i.EUNO.7")
                .with("Allow", "INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY")
                .shouted(),
            Self::Carrier {
                domain, is_terse, ..
            } => {
                let wire = wire
                    .with(token, format!("softswitch.{domain}/7.3"))
                    .with("X-Trunk-Secret", format!("secret.{domain}"))
                    .with(
                        "Allow",
                        "INVITE, ACK, OPTIONS, CANCEL, BYE, UPDATE, PRACK, REFER, INFO",
                    );
                match is_terse {
                    true => wire.terse(),
                    false => wire,
                }
            }
        }
    }

    /// Adds what this peer puts into an INVITE beyond RFC 3261.
    pub fn dress_invite(&self, wire: Wire) -> Wire {
        match self {
            Self::Teams { .. } => wire
                .with("Min-SE", "300")
                .with("Supported", "timer")
                .with("Session-Expires", "3600"),
            Self::Carrier { .. } => wire.with("Supported", "timer, 100rel"),
        }
    }

    /// Phrase of a final refusal; a carrier betrays its address in it.
    pub fn phrase(&self, status: u16, address: SocketAddr) -> String {
        match self {
            Self::Teams { .. } => "Refused".to_owned(),
            Self::Carrier { .. } => format!("No {status} at {}", address.ip()),
        }
    }

    /// Whether its media have keys.
    pub fn has_keys(&self) -> bool {
        match self {
            Self::Teams { .. } => true,
            Self::Carrier { has_keys, .. } => *has_keys,
        }
    }

    /// Whether it has an ICE agent, if that may be so. Users whose media go past us are clients of Teams, others may
    /// be behind a media processor; SBCs of branches have one.
    pub fn has_agent(&self, by_chance: bool) -> bool {
        match self {
            Self::Teams { user, .. } => by_chance || user.is_some(),
            Self::Carrier { has_keys, .. } => *has_keys,
        }
    }

    /// Whether this is Teams, which speaks SRTP and knows no one-way streams.
    pub fn is_teams(&self) -> bool {
        matches!(self, Self::Teams { .. })
    }
}

/// With what Teams says of a user.
fn placed(wire: Wire, user: Option<User>) -> Wire {
    let Some(user) = user else { return wire };
    let is_within = wire.method() == Some("INVITE") && wire.tag("To").is_some();
    let (location, is_faced_by_branch) = match (user, is_within) {
        (User::InBranch, _) | (User::Leaves, false) => ("internal", true),
        (User::Inside, _) => ("internal", false),
        (User::Outside, _) | (User::Leaves, true) => ("external", false),
    };
    let branch = topology::fqdn(0);
    let path = match is_faced_by_branch {
        true => branch,
        false => format!("{}, {branch}", topology::PROXY),
    };
    wire.with("X-MS-UserLocation", location)
        .with("X-MS-MediaPath", path)
}
