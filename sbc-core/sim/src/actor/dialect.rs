//! How a kind of peer writes its messages: the Direct Routing proxy and a carrier's softswitch.
//!
//! Both carry texts that must never reach the other leg (product names, private headers, addresses
//! in phrases), so that the privacy checker has something to find.

use crate::dice::Dice;
use crate::wire::Wire;
use sbc_core::transport::Protocol;
use std::fmt::Write;
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
    },
    /// A carrier's softswitch: plain RTP, addresses as hosts.
    Carrier {
        /// Its domain.
        domain: String,
    },
}

impl Dialect {
    /// Host in its own From.
    pub fn domain(&self) -> String {
        match self {
            Self::Teams { region, .. } => format!("{region}:5061"),
            Self::Carrier { domain } => domain.clone(),
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
            Self::Carrier { domain } => format!("\"Anna\" <sip:{number}@{domain}>"),
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
            Self::Teams { .. } => wire
                .with(token, "Microsoft.PSTNHub.SIPProxy v.2024.2.12.3 i.EUNO.7")
                .with("Allow", "INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY")
                .shouted(),
            Self::Carrier { domain } => wire
                .with(token, format!("softswitch.{domain}/7.3"))
                .with("X-Trunk-Secret", format!("secret.{domain}"))
                .with("Allow", "INVITE, ACK, OPTIONS, CANCEL, BYE"),
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

    /// An offer of this peer.
    pub fn offer(&self, media: SocketAddr, direction: &str, dice: &mut Dice) -> String {
        let (ip, port, family) = (media.ip(), media.port(), family(media));
        let mut sdp = String::new();
        match self {
            Self::Teams { .. } => {
                let keys = (sdes_key(dice), sdes_key(dice));
                let _ = write!(
                    sdp,
                    "v=0\r\no=- {port} 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN {family} {ip}\r\n\
                     b=CT:10000000\r\nt=0 0\r\n\
                     m=audio {port} RTP/SAVP 104 9 0 8 106 13 101\r\na=rtcp:{port}\r\n\
                     a=rtcp-mux\r\na=label:main-audio\r\na={direction}\r\n\
                     a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:{}|2^31\r\n\
                     a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^31\r\n\
                     a=rtpmap:104 SILK/16000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n\
                     a=rtpmap:8 PCMA/8000\r\na=rtpmap:106 CN/16000\r\na=rtpmap:13 CN/8000\r\n\
                     a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n",
                    keys.0, keys.1
                );
            }
            Self::Carrier { .. } => {
                let _ = write!(
                    sdp,
                    "v=0\r\no=switch {port} 1 IN {family} {ip}\r\ns=call\r\nc=IN {family} {ip}\r\n\
                     t=0 0\r\nm=audio {port} RTP/AVP 8 0 96\r\na=rtpmap:8 PCMA/8000\r\n\
                     a=rtpmap:0 PCMU/8000\r\na=rtpmap:96 telephone-event/8000\r\n\
                     a=fmtp:96 0-15\r\na=ptime:20\r\na={direction}\r\n"
                );
            }
        }
        sdp
    }

    /// An answer of this peer to `offer`: PCMA and telephone-event with the offer's numbers.
    /// `None` if it has nothing in common with the offer.
    pub fn answer(&self, offer: &str, media: SocketAddr, dice: &mut Dice) -> Option<String> {
        let (ip, port, family) = (media.ip(), media.port(), family(media));
        let line = offer.lines().find(|line| line.starts_with("m=audio "))?;
        let mut words = line.split(' ').skip(2);
        let profile = words.next()?;
        let formats: Vec<&str> = words.collect();
        let wanted = match self {
            Self::Teams { .. } => "RTP/SAVP",
            Self::Carrier { .. } => "RTP/AVP",
        };
        if profile != wanted {
            return None;
        }
        let codec = formats.iter().find(|f| matches!(**f, "8" | "0"))?;
        let name = if *codec == "8" { "PCMA" } else { "PCMU" };
        let event = offer.lines().find_map(|line| {
            let (payload, encoding) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            encoding
                .starts_with("telephone-event/8000")
                .then_some(payload)
        });
        let direction = match attribute_direction(offer) {
            "sendonly" => "recvonly",
            "recvonly" => "sendonly",
            other => other,
        };
        let mut sdp = format!(
            "v=0\r\no=peer {port} 7 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} {profile} {codec}{}\r\na=rtpmap:{codec} {name}/8000\r\n",
            event.map(|e| format!(" {e}")).unwrap_or_default()
        );
        if let Some(event) = event {
            let _ = write!(
                sdp,
                "a=rtpmap:{event} telephone-event/8000\r\na=fmtp:{event} 0-15\r\n"
            );
        }
        if wanted == "RTP/SAVP" {
            let tag = offer.lines().find_map(|line| {
                let (tag, suite) = line.strip_prefix("a=crypto:")?.split_once(' ')?;
                suite.starts_with("AES_CM_128_HMAC_SHA1_80 ").then_some(tag)
            })?;
            let key = sdes_key(dice);
            let _ = write!(
                sdp,
                "a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n"
            );
        }
        let _ = write!(sdp, "a=ptime:20\r\na={direction}\r\n");
        Some(sdp)
    }
}

/// The word of SDP for an address family.
fn family(address: SocketAddr) -> &'static str {
    match address {
        SocketAddr::V4(_) => "IP4",
        SocketAddr::V6(_) => "IP6",
    }
}

/// Direction of a description with one audio line.
pub(crate) fn attribute_direction(sdp: &str) -> &str {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a="))
        .find(|a| matches!(*a, "sendrecv" | "sendonly" | "recvonly" | "inactive"))
        .unwrap_or("sendrecv")
}

/// A master key and salt in base64: 40 characters for 30 bytes.
fn sdes_key(dice: &mut Dice) -> String {
    dice.word(40)
}
