//! The messages of one call that are kept for its ladder, as a file of packets (OPS-085).

use super::pcapng;
use crate::sink::shown::shown;
use sbc_core::id::{CallId, LegId, ListenerName};
use sbc_core::report::{Entry, Ours, Seen};
use sbc_core::transport::Protocol;
use std::net::SocketAddr;

/// What is known of a call.
pub struct Kept<'a> {
    /// Its name.
    pub call: CallId,
    /// Its messages, among other things, in their order.
    pub entries: &'a [Entry],
}

/// A file of pcapng without secrets. `address` is where a listener is. A message leaves from where others of its leg came to, and where none came from the address of its listener.
pub fn file(kept: &Kept<'_>, address: impl Fn(&ListenerName) -> Option<SocketAddr>) -> Vec<u8> {
    let mut file = pcapng::File::new(concat!("causeway ", env!("CARGO_PKG_VERSION")));
    for entry in kept.entries {
        let Seen::Message {
            is_received,
            protocol,
            remote,
            ours,
            bytes,
        } = &entry.what
        else {
            continue;
        };
        let local = match ours {
            Ours::At(local) => Some(*local),
            Ours::By(listener) => {
                let end = came_to(kept.entries, entry.leg, *protocol, *remote);
                end.or_else(|| address(listener))
            }
        };
        let Some(local) = local else {
            continue;
        };
        let (source, target) = match is_received {
            true => (*remote, local),
            false => (local, *remote),
        };
        let text = shown(bytes);
        let comment = match entry.leg {
            Some(leg) => format!("call {} leg {}", kept.call, leg.0),
            None => format!("call {}", kept.call),
        };
        file.add(&pcapng::Packet {
            at: entry.at,
            source,
            target,
            protocol: *protocol,
            payload: text.as_bytes(),
            missing: 0,
            comment: &comment,
        });
    }
    file.end()
}

/// Where messages of a leg came to from this peer, or from another one of it over the same protocol.
fn came_to(
    entries: &[Entry],
    leg: Option<LegId>,
    over: Protocol,
    from: SocketAddr,
) -> Option<SocketAddr> {
    let heard = entries.iter().filter_map(|entry| match &entry.what {
        Seen::Message {
            protocol,
            remote,
            ours: Ours::At(local),
            ..
        } if entry.leg == leg && *protocol == over => Some((*remote == from, *local)),
        _ => None,
    });
    // The first of those that fit best.
    heard
        .min_by_key(|(is_same, _)| !is_same)
        .map(|(_, local)| local)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::time::UnixTime;

    const INVITE: &str = "INVITE sip:+14255550100@example.com SIP/2.0\r\nCall-ID: 1\r\n\r\na=crypto:1 X inline:QUJD\r\n";

    fn message(leg: u8, ours: Ours, remote: &str, text: &str) -> Entry {
        Entry {
            at: UnixTime::from_micros(1),
            leg: Some(LegId(leg)),
            what: Seen::Message {
                is_received: matches!(ours, Ours::At(_)),
                protocol: Protocol::Udp,
                remote: remote.parse().unwrap(),
                ours,
                bytes: text.to_owned().into(),
            },
        }
    }

    #[test]
    fn a_failed_call_becomes_packets_between_the_right_ends_without_secrets() {
        let at = |text: &str| Ours::At(text.parse().unwrap());
        let by = || Ours::By(ListenerName::new("udp"));
        let entries = [
            message(0, at("192.0.2.10:5060"), "198.51.100.7:5060", INVITE),
            Entry {
                what: Seen::Note("routed".to_owned()),
                ..message(0, by(), "192.0.2.1:1", "")
            },
            message(0, by(), "198.51.100.7:5060", "SIP/2.0 100 Trying\r\n\r\n"),
            // Nobody ever answers there.
            message(1, by(), "203.0.113.9:5060", INVITE),
        ];
        let kept = Kept {
            call: CallId(7),
            entries: &entries,
        };
        let listener = |_: &ListenerName| Some("192.0.2.11:5062".parse().unwrap());
        let has = |file: &[u8], part: &[u8]| file.windows(part.len()).any(|own| own == part);
        let whole = file(&kept, listener);
        assert!(has(&whole, b"+14255550100") && has(&whole, b"inline:<secret>"));
        assert!(!has(&whole, b"QUJD"));
        assert!(has(&whole, format!("call {} leg 1", CallId(7)).as_bytes()));
        // Addresses and ports: back from where it came to, and from the listener.
        let ends = |from: [u8; 4], to: [u8; 4], ports: [u16; 2]| {
            let mut all = [from, to].concat();
            all.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            all
        };
        for way in [
            ends([198, 51, 100, 7], [192, 0, 2, 10], [5060, 5060]),
            ends([192, 0, 2, 10], [198, 51, 100, 7], [5060, 5060]),
            ends([192, 0, 2, 11], [203, 0, 113, 9], [5062, 5060]),
        ] {
            assert!(has(&whole, &way), "{way:?}");
        }
    }
}
