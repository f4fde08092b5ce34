//! Everything the SBC writes is a message by three readers: the product's strict one, the actors'
//! and `rsip`. Beside it, what RFC 3261 §20 demands of each kind of message.

use super::{Checker, Seen, Violation, call_of};
use crate::topology::{self, NORTH_1, TENANTS};
use crate::wire::{Wire, host_of};
use sbc_core::sip::{Limits, Message};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Syntax {
    /// Max-Forwards of the INVITE of each call as it arrived.
    hops: BTreeMap<usize, u32>,
    /// Max-Forwards of the REFERs of each call: a target is called on behalf of one.
    referred: BTreeMap<usize, BTreeSet<u32>>,
}

impl Checker for Syntax {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let mut fail = |rule, text| out.push(Violation { at, rule, text });
        match seen {
            Seen::Sent {
                answers_garbage: true,
                ..
            } => {}
            Seen::Heard {
                wire: Some(wire), ..
            } if matches!(wire.method(), Some("INVITE" | "REFER")) => {
                let hops = wire
                    .get("Max-Forwards")
                    .and_then(|v| v.parse().ok())
                    .unwrap_or(70);
                if let Some(call) = call_of(wire) {
                    match wire.method() {
                        Some("REFER") => drop(self.referred.entry(call).or_default().insert(hops)),
                        _ => drop(self.hops.entry(call).or_insert(hops)),
                    }
                }
            }
            Seen::Sent {
                actor, wire, bytes, ..
            } => {
                if let Err(rejected) = Message::parse(bytes.to_vec().into(), &Limits::default()) {
                    fail(
                        "syntax",
                        format!(
                            "our own reader refuses {:?}: {}",
                            rejected.fault,
                            text(bytes)
                        ),
                    );
                }
                if let Err(error) = rsip::SipMessage::try_from(for_rsip(bytes)) {
                    let error: String = error.to_string().chars().take(80).collect();
                    fail(
                        "syntax",
                        format!("rsip refuses it: {error}: {}", text(bytes)),
                    );
                }
                let Some(wire) = wire else {
                    return fail("syntax", format!("not a message: {}", text(bytes)));
                };
                self.headers(wire, &mut fail);
                if actor.is_some_and(|actor| actor < NORTH_1) {
                    teams(wire, &mut fail);
                }
            }
            _ => {}
        }
    }
}

impl Syntax {
    fn headers(&self, wire: &Wire, fail: &mut impl FnMut(&'static str, String)) {
        let mut miss = |what: &str| fail("headers", format!("{}: {what}", wire.first));
        for name in ["Via", "From", "To", "Call-ID", "CSeq", "Content-Length"] {
            if wire.get(name).is_none() {
                miss(&format!("{name} is missing"));
            }
        }
        let length = wire.get("Content-Length").and_then(|v| v.parse().ok());
        if length != Some(wire.body.len()) {
            miss("Content-Length is not the length of the body");
        }
        if !wire.body.is_empty() && wire.get("Content-Type").is_none() {
            miss("body without Content-Type");
        }
        let (is_invite, status) = (
            wire.cseq().is_some_and(|(_, m)| m == "INVITE"),
            wire.status(),
        );
        let forms_dialog = is_invite && status.is_none_or(|s| (200..300).contains(&s));
        if forms_dialog && wire.values("Contact").len() != 1 {
            miss("needs exactly one Contact");
        }
        if forms_dialog && wire.get("Allow").is_none() {
            miss("Allow is missing");
        }
        if status.is_none() {
            if wire.values("Via").len() != 1 {
                miss("a request of ours has one Via");
            }
            let hops = wire.get("Max-Forwards").and_then(|v| v.parse::<u32>().ok());
            let is_initial = wire.method() == Some("INVITE") && wire.tag("To").is_none();
            let call = call_of(wire);
            let allowed = call.and_then(|call| self.hops.get(&call)).copied();
            let referred = call.and_then(|call| self.referred.get(&call));
            let is_referred = |hops: u32| referred.is_some_and(|all| all.contains(&(hops + 1)));
            match (hops, allowed) {
                (None, _) => miss("Max-Forwards is missing"),
                (Some(hops), Some(allowed))
                    if is_initial && hops + 1 != allowed && !is_referred(hops) =>
                {
                    miss(&format!(
                        "Max-Forwards {hops} on the way out of {allowed} (SIP-403)"
                    ));
                }
                _ => {}
            }
        }
        if wire.body.contains("0.0.0.0") || wire.headers.iter().any(|(_, v)| v.contains("0.0.0.0"))
        {
            miss("wildcard address (SIP-105)");
        }
    }
}

/// What the Teams proxies insist on (TDR-OPT-002, TDR-SIP-003, 013, 014, 042).
fn teams(wire: &Wire, fail: &mut impl FnMut(&'static str, String)) {
    let mut miss = |what: String| fail("teams-headers", format!("{}: {what}", wire.first));
    if let Some(contact) = wire.contact() {
        let (host, port) = host_of(&contact);
        let named = (0..TENANTS.len()).any(|tenant| topology::fqdn(tenant) == host);
        if !named || port.unwrap_or(5061) != 5061 {
            miss(format!("Contact {contact} is not a paired name"));
        }
    } else if wire.method() == Some("OPTIONS") {
        miss("OPTIONS needs Contact".to_owned());
    }
    let is_request = wire.status().is_none();
    // Our own name as a proxy is the one that is wanted there (TDR-LMO-020).
    let route = wire.get("Record-Route");
    let route = route.filter(|route| !route.contains(topology::PROXY));
    if is_request && (wire.get("Replaces").is_some() || route.is_some()) {
        miss("neither Replaces nor Record-Route may be sent".to_owned());
    }
    if let Some(method) = wire.method()
        && !["INVITE", "ACK", "OPTIONS", "CANCEL", "BYE", "NOTIFY"].contains(&method)
    {
        miss("not in Teams' Allow".to_owned());
    }
    if wire.method() == Some("INVITE") && !wire.has_sdp() {
        miss("Teams does not take a late offer".to_owned());
    }
    if wire.status().is_some_and(|s| (300..400).contains(&s)) {
        miss("Teams is never redirected".to_owned());
    }
}

/// The message as `rsip` can take it: it refuses `/` and `:` in URI parameters, which RFC 3261 §25.1
/// allows (`param-unreserved`) and Teams puts into its Contact and Refer-To; and of an IPv6 address in brackets it takes
/// the first group for a host and the rest for a port.
fn for_rsip(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(bytes).replace("/d/8/", "-d-8-");
    text = text.replace("8:orgid:", "8-orgid-");
    while let Some(begin) = text.find("[2001:")
        && let Some(length) = text[begin..].find(']')
    {
        text.replace_range(begin..=begin + length, "192.0.2.6");
    }
    text.into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
        .escape_debug()
        .to_string()
}
