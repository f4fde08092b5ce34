//! G7 and G8, and what of G1, G2 and G6 depends on earlier messages: what was said of each dialog before.

use super::{Broken, is_answer_to_invite};
use crate::certify::setting::{CUSTOMER_NUMBERS, CUSTOMERS, DERIVED, PROXY};
use crate::media::sdp;
use crate::peer::message::{Message, param, uri_of, uri_text};
use rsip::common::uri::Host;
use std::collections::{BTreeMap, BTreeSet};

/// What was said of each dialog towards Teams, by Call-ID and the tag of Teams.
#[derive(Default)]
pub(super) struct Dialogs {
    contacts: BTreeMap<(String, String), String>,
    routes: BTreeMap<(String, String), Vec<String>>,
    media: BTreeMap<String, String>,
    refused: BTreeSet<(String, u32)>,
    /// The last description of each call: its session, its version, and the rest.
    told: BTreeMap<String, (String, u64, String)>,
    /// What a request of Teams asked for, by Call-ID, number and method.
    asked: BTreeMap<(String, u32, String), Asked>,
    /// The trunk of each call, by Call-ID: that which its INVITE was written to, or came from.
    trunks: BTreeMap<String, String>,
    /// Local media are the one reason for which media may be elsewhere within a call (TDR-HLD-005).
    may_move: bool,
}

/// What a request of Teams asked for.
struct Asked {
    /// Host of its Request-URI: the trunk that is meant.
    host: Option<String>,
    /// Routes that it recorded.
    routes: Vec<String>,
}

/// Whether a route is the subject's own, as the proxy in front of an SBC.
pub(super) fn is_of_proxy(route: &str) -> bool {
    route.to_ascii_lowercase().contains(PROXY)
}

impl Dialogs {
    /// Nothing was said yet.
    pub(super) fn new(may_move: bool) -> Self {
        Self {
            may_move,
            ..Self::default()
        }
    }

    /// A message of Teams.
    pub(super) fn sent(&mut self, message: &Message) {
        let call = message.call_id().to_owned();
        if let (Some(_), Some((number, method))) = (message.method(), message.cseq()) {
            let routes = message.values("Record-Route").into_iter();
            let asked = Asked {
                host: host_of(message.uri_text()),
                routes: routes.map(|route| uri_text(route).to_owned()).collect(),
            };
            let is_begin = method == "INVITE" && message.tag("To").is_none();
            if let Some(host) = asked.host.clone().filter(|_| is_begin) {
                self.trunks.entry(call.clone()).or_insert(host);
            }
            let key = (call.clone(), number, method.to_owned());
            self.asked.insert(key, asked);
        }
        let tag = match message.status() {
            Some(_) => message.tag("To"),
            None => message.tag("From"),
        };
        if let (Some(300..), Some((number, "INVITE"))) = (message.status(), message.cseq()) {
            self.refused.insert((call.clone(), number));
        }
        let forms_dialog = is_answer_to_invite(message) && message.status() != Some(100);
        let Some(tag) = tag.filter(|_| forms_dialog) else {
            return;
        };
        let key = (call, tag.to_owned());
        if let Some(contact) = message.line("Contact") {
            self.contacts
                .insert(key.clone(), uri_text(contact).to_owned());
        }
        let mut routes: Vec<String> = message
            .values("Record-Route")
            .into_iter()
            .map(|route| uri_text(route).to_owned())
            .filter(|route| !is_of_proxy(route))
            .collect();
        if message.status().is_some() {
            routes.reverse();
        }
        // Those of the first message count (RFC 3261 §12.2.1.2).
        self.routes.entry(key).or_insert(routes);
    }

    /// G6: a call has one session, whose version rises by one with every change and stays without
    /// (RFC 3264 §8).
    fn is_told(&mut self, message: &Message, broken: Broken<'_>) {
        let body = message.description();
        let Some(origin) = body.lines().find(|line| line.starts_with("o=")) else {
            return;
        };
        let words: Vec<&str> = origin.split(' ').collect();
        let session = words.get(1).map_or("", |word| word).to_owned();
        let version: u64 = words
            .get(2)
            .and_then(|word| word.parse().ok())
            .unwrap_or_default();
        let rest = body.replace(origin, "");
        let now = (session, version, rest);
        let before = self
            .told
            .insert(message.call_id().to_owned(), now.clone())
            .unwrap_or_else(|| now.clone());
        let step = u64::from(now.2 != before.2);
        if now.0 != before.0 || now.1 != before.1 + step {
            let (session, version, _) = before;
            broken("G6", format!("{origin} after {session} {version}"));
        }
    }

    /// A message of the subject.
    pub(super) fn received(&mut self, message: &Message, broken: Broken<'_>) {
        self.trunk(message, broken);
        self.recorded(message, broken);
        if let Ok(media) = sdp::read(&message.description()) {
            let at = media.rtp.to_string();
            let before = self
                .media
                .entry(message.call_id().to_owned())
                .or_insert(at.clone());
            if *before != at && !self.may_move {
                broken("G7", format!("media is at {at}, was at {before}"));
            }
        }
        self.is_told(message, broken);
        let (Some(method), Some(tag)) = (message.method(), message.tag("To")) else {
            return;
        };
        let number = message.cseq().map_or(0, |(number, _)| number);
        let is_hop = method == "CANCEL"
            || method == "ACK"
                && self
                    .refused
                    .contains(&(message.call_id().to_owned(), number));
        if is_hop {
            return;
        }
        let key = (message.call_id().to_owned(), tag.to_owned());
        let Some(contact) = self.contacts.get(&key) else {
            return broken("G8", format!("Teams has no dialog with the tag {tag}"));
        };
        if message.uri_text() != contact {
            broken(
                "G8",
                format!(
                    "Request-URI is {}, Teams' Contact is {contact}",
                    message.uri_text()
                ),
            );
        }
        let route: Vec<&str> = message.values("Route").into_iter().map(uri_text).collect();
        let wanted = self.routes.get(&key).cloned().unwrap_or_default();
        if route != wanted {
            broken(
                "G8",
                format!(
                    "Route is [{}], wanted [{}]",
                    route.join(", "),
                    wanted.join(", ")
                ),
            );
        }
        if param(message.line("From").unwrap_or_default(), "tag").is_none() {
            broken("G8", "From has no tag".to_owned());
        }
    }

    /// G1: Contact names the trunk that is meant, not merely one that there is (TDR-MT-010).
    fn trunk(&mut self, message: &Message, broken: Broken<'_>) {
        let contact = message.line("Contact").and_then(host_of);
        let Some(contact) = contact else { return };
        let is_begin = is_first_invite(message);
        let call = message.call_id().to_owned();
        let of_call = match is_begin {
            true => Some(self.trunks.entry(call).or_insert(contact.clone())),
            false => self.trunks.get_mut(&call),
        };
        let of_call = of_call.map(|host| host.clone());
        let mut wants = |what: &str, wanted: &[&str]| {
            if !wanted.contains(&contact.as_str()) {
                let wanted = wanted.join(" or ");
                broken("G1", format!("Contact is of {contact}, {what} {wanted}"));
            }
        };
        match self.asked_by(message) {
            Some(asked) => {
                if let Some(host) = &asked.host {
                    wants("Teams asked for", &[host]);
                }
            }
            None if message.method().is_some() => {
                let from = message.line("From").and_then(host_of);
                if let Some(from) = from.filter(|host| host != "anonymous.invalid") {
                    wants("From is of", &[&from]);
                }
                if let Some(owners) = owners(message) {
                    wants("the number is of", owners);
                }
                if let Some(host) = &of_call {
                    wants("the call is of", &[host]);
                }
            }
            None => {}
        }
    }

    /// G2: an answer repeats the routes that were recorded (RFC 3261 §16.6), and adds none.
    fn recorded(&self, message: &Message, broken: Broken<'_>) {
        let Some(asked) = self.asked_by(message) else {
            return;
        };
        for route in message.values("Record-Route").into_iter().map(uri_text) {
            if !asked.routes.iter().any(|own| own == route) && !is_of_proxy(route) {
                broken(
                    "G2",
                    format!("Record-Route {route}, which Teams did not record"),
                );
            }
        }
    }

    /// The request of Teams that a message answers.
    fn asked_by(&self, message: &Message) -> Option<&Asked> {
        message.status()?;
        let (number, method) = message.cseq()?;
        let key = (message.call_id().to_owned(), number, method.to_owned());
        self.asked.get(&key)
    }
}

/// The name that a URI has for its host, in small letters; none if that is an address.
fn host_of(text: &str) -> Option<String> {
    match uri_of(text).ok()?.host() {
        Host::Domain(name) => Some(name.to_string().to_ascii_lowercase()),
        Host::IpAddr(_) => None,
    }
}

fn is_first_invite(message: &Message) -> bool {
    message.method().as_deref() == Some("INVITE") && message.tag("To").is_none()
}

/// Trunks through which a number is called, where it is a customer's. Whom a transfer reaches is not decided by
/// the number: the call stays with the customer of the transferor.
fn owners(message: &Message) -> Option<&'static [&'static str]> {
    const OF_FIRST: &[&str] = &[CUSTOMERS[0], DERIVED];
    const OF_SECOND: &[&str] = &[CUSTOMERS[1]];
    if !is_first_invite(message) || message.line("Referred-By").is_some() {
        return None;
    }
    let number = message.uri_text().strip_prefix("sip:")?;
    let [first, second] = CUSTOMER_NUMBERS;
    match number {
        _ if number.starts_with(first) => Some(OF_FIRST),
        _ if number.starts_with(second) => Some(OF_SECOND),
        _ => None,
    }
}
