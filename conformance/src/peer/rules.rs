//! What the peers insist on, message by message.
//!
//! Identifiers are those of the requirements (`TDR-…` for Direct Routing). A breach either is only
//! noted, or makes the peer refuse the request as the real one does.

use super::agent::Rules;
use super::fault::Breach;
use super::flow::Flow;
use super::message::{Message, param, uri_of, uri_text};
use super::tls::covers;
use crate::media::sdp;
use rsip::common::uri::Host;
use std::net::IpAddr;

/// One trunk as a Teams tenant configured it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TeamsTrunk {
    /// Name of the SBC.
    pub fqdn: String,
    /// Port of its listener.
    pub port: u16,
}

/// What a Direct Routing proxy insists on.
#[derive(Clone, Debug)]
pub struct TeamsRules {
    /// Every trunk of every tenant.
    pub trunks: Vec<TeamsTrunk>,
    /// Addresses of the other side of the SBC, which must not show here.
    pub hidden: Vec<IpAddr>,
    /// The one SBC that may stand before a trunk: its name in Record-Route is none of the trunk's own.
    pub proxy: Option<String>,
}

/// Methods that the proxy knows (TDR-SIP-001).
const METHODS: [&str; 6] = ["INVITE", "ACK", "OPTIONS", "CANCEL", "BYE", "NOTIFY"];
/// The one suite (TDR-MED-001).
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

impl Rules for TeamsRules {
    fn breaches(&self, message: &Message, flow: &Flow) -> Vec<Breach> {
        let mut out = Vec::new();
        let method = message.method();
        let answers = message
            .cseq()
            .map(|(_, method)| method.to_owned())
            .unwrap_or_default();
        if let Some(method) = &method {
            request_line(message, method, &mut out);
        }
        let forms_dialog = match (method.as_deref(), message.status()) {
            (Some("INVITE" | "OPTIONS"), _) => true,
            (None, Some(101..=299)) => answers == "INVITE",
            _ => false,
        };
        if forms_dialog {
            self.contact(message, flow, &mut out);
            allow(message, &mut out);
        }
        if method.is_some() {
            self.from(message, &mut out);
        }
        for name in ["Supported", "Require"] {
            if message
                .values(name)
                .iter()
                .any(|tag| tag.eq_ignore_ascii_case("100rel"))
            {
                out.push(Breach::noted("TDR-SIP-002", format!("{name} lists 100rel")));
            }
        }
        if message.line("Replaces").is_some() {
            out.push(Breach::refused(
                "TDR-SIP-014",
                "Replaces towards Teams",
                403,
            ));
        }
        if message.line("X-MS-SBC").is_none() && forms_dialog {
            out.push(Breach::noted("TDR-OPT-011", "X-MS-SBC is missing"));
        }
        if method.as_deref() == Some("INVITE") {
            invite(message, &mut out);
        }
        if describes(message) {
            secure_media(message, &mut out);
        }
        hidden(&self.hidden, message, &mut out);
        out
    }
}

impl TeamsRules {
    /// Contact names the SBC, by a name that its certificate carries and a tenant registered
    /// (TDR-OPT-002, TDR-SIP-013, TDR-TLS-007, TDR-MT-001).
    fn contact(&self, message: &Message, flow: &Flow, out: &mut Vec<Breach>) {
        let contacts = message.values("Contact");
        let &[contact] = contacts.as_slice() else {
            let what = format!("{} Contact values, wanted one", contacts.len());
            out.push(Breach::refused("TDR-MT-002", what, 403));
            return;
        };
        let uri = match uri_of(contact) {
            Ok(uri) => uri,
            Err(fault) => {
                let what = format!("Contact {contact} cannot be read: {fault}");
                out.push(Breach::refused("TDR-SIP-013", what, 400));
                return;
            }
        };
        let host = match uri.host() {
            Host::Domain(name) => name.to_string().to_ascii_lowercase(),
            Host::IpAddr(address) => {
                let what = format!("Contact holds the address {address}, wanted the SBC's name");
                out.push(Breach::refused("TDR-SIP-013", what, 403));
                return;
            }
        };
        if !covers(&flow.names, &host) {
            let what = format!(
                "Contact says {host}, the certificate says {}",
                flow.names.join(", ")
            );
            out.push(Breach::refused("TDR-TLS-007", what, 403));
        }
        let Some(trunk) = self.trunks.iter().find(|trunk| trunk.fqdn == host) else {
            let what = format!("no tenant has a trunk {host}");
            out.push(Breach::refused("TDR-MT-001", what, 403));
            return;
        };
        let port = uri.port().map(|port| *port.value());
        if port != Some(trunk.port) {
            let what = format!("Contact has port {port:?}, the trunk has {}", trunk.port);
            out.push(Breach::noted("TDR-SIP-043", what));
        }
        if !uri_text(contact)
            .to_ascii_lowercase()
            .contains(";transport=tls")
        {
            out.push(Breach::noted("TDR-SIP-013", "Contact lacks ;transport=tls"));
        }
        for route in message.values("Record-Route") {
            let is_proxy = self.proxy.as_ref().is_some_and(|name| route.contains(name));
            let own = route.contains(&host) || is_proxy || message.status().is_some();
            if !own {
                let what = format!("Record-Route {route} differs from Contact {host}");
                out.push(Breach::refused("TDR-SIP-042", what, 403));
            }
        }
    }

    /// From carries the SBC's name (TDR-SIP-012, TDR-MT-010).
    fn from(&self, message: &Message, out: &mut Vec<Breach>) {
        let Some(from) = message.line("From") else {
            return;
        };
        let host = uri_of(from)
            .map(|uri| uri.host().to_string())
            .unwrap_or_default();
        let is_ours = self
            .trunks
            .iter()
            .any(|trunk| trunk.fqdn.eq_ignore_ascii_case(&host));
        // In dialogs that Teams began, From is what Teams called To.
        if !is_ours && host != "anonymous.invalid" {
            let what = format!("From has the host {host}, wanted the SBC's name");
            out.push(Breach::noted("TDR-SIP-012", what));
        }
    }
}

/// Method, scheme and version.
fn request_line(message: &Message, method: &str, out: &mut Vec<Breach>) {
    if !METHODS.contains(&method) {
        out.push(Breach::refused(
            "TDR-SIP-001",
            format!("method {method}"),
            405,
        ));
    }
    if message.uri_text().starts_with("sips:") {
        out.push(Breach::refused("TDR-CON-006", "the scheme sips", 416));
    }
    let hops = message
        .line("Max-Forwards")
        .and_then(|value| value.parse::<u8>().ok());
    if !hops.is_some_and(|hops| (1..=70).contains(&hops)) {
        out.push(Breach::noted(
            "TDR-SIP-044",
            format!("Max-Forwards is {hops:?}"),
        ));
    }
    let via = message.line("Via").unwrap_or_default();
    if !via.starts_with("SIP/2.0/TLS ") {
        out.push(Breach::noted(
            "TDR-CON-006",
            format!("Via says {via}, wanted TLS"),
        ));
    }
}

/// Allow must list NOTIFY (TDR-SIP-003), and nothing may promise what Teams never asks.
fn allow(message: &Message, out: &mut Vec<Breach>) {
    let allowed = message.values("Allow");
    if allowed.is_empty() && message.status().is_none_or(|status| status >= 200) {
        out.push(Breach::noted("TDR-SIP-003", "Allow is missing"));
    } else if !allowed.is_empty() && !allowed.contains(&"NOTIFY") {
        out.push(Breach::noted("TDR-SIP-003", "Allow does not list NOTIFY"));
    }
}

/// Numbers of an INVITE, and an offer in it.
fn invite(message: &Message, out: &mut Vec<Breach>) {
    if message.body().is_empty() {
        out.push(Breach::refused(
            "TDR-SIP-004",
            "INVITE without an offer",
            488,
        ));
    }
    if message.tag("To").is_some() {
        return;
    }
    // A transfer goes to what Teams named, and that need not be a number (TDR-XFR-011).
    let is_transfer =
        message.line("Referred-By").is_some() || param(message.uri_text(), "x-m").is_some();
    // As it is written: rsip finds no user where that has parameters of its own (TDR-SIP-011).
    let user = message.uri_text().split_once(':');
    let user = user.and_then(|(_, rest)| Some(rest.split_once('@')?.0));
    let user = user.unwrap_or_default();
    if !is_transfer && !user.starts_with('+') {
        out.push(Breach::refused(
            "TDR-SIP-010",
            format!("called number {user} has no +"),
            404,
        ));
    }
    if !is_transfer && param(message.uri_text(), "user") != Some("phone") {
        out.push(Breach::noted(
            "TDR-SIP-010",
            "the Request-URI lacks ;user=phone",
        ));
    }
}

/// Whether the body is a session description, or has one, and not a NOTIFY's news.
fn describes(message: &Message) -> bool {
    let kind = message.line("Content-Type").unwrap_or_default();
    !message.body().is_empty() && !kind.to_ascii_lowercase().starts_with("message/")
}

/// SRTP, and nothing else.
fn secure_media(message: &Message, out: &mut Vec<Breach>) {
    let body = message.body();
    let media = match sdp::read(&body) {
        Ok(media) => media,
        Err(why) => {
            out.push(Breach::refused(
                "TDR-MED-004",
                format!("session description: {why}"),
                488,
            ));
            return;
        }
    };
    if media.protocol != "RTP/SAVP" {
        let what = format!("media is {}, wanted RTP/SAVP", media.protocol);
        out.push(Breach::refused("TDR-MED-004", what, 488));
    }
    if !media.keys.iter().any(|key| key.suite == SUITE) {
        out.push(Breach::refused(
            "TDR-MED-001",
            format!("no key for {SUITE}"),
            488,
        ));
    }
    reports_at_a_candidate(&body, out);
}

/// An agent that is told of a place for RTCP which is no candidate makes no checks (RFC 8839 §4.2.5).
fn reports_at_a_candidate(body: &str, out: &mut Vec<Breach>) {
    let values = |name: &'static str| body.lines().filter_map(move |line| line.strip_prefix(name));
    let ports: Vec<_> = values("a=candidate:")
        .filter_map(|candidate| candidate.split(' ').nth(5))
        .collect();
    let told = values("a=rtcp:").filter_map(|rtcp| rtcp.split(' ').next());
    for port in told.filter(|port| !ports.is_empty() && !ports.contains(port)) {
        let what = format!("a=rtcp names port {port}, and no candidate has it");
        out.push(Breach::noted("TDR-ICE-002", what));
    }
}

/// Nothing of the other side's network may show.
fn hidden(addresses: &[IpAddr], message: &Message, out: &mut Vec<Breach>) {
    let text = message.text();
    for address in addresses {
        if mentions(text, &address.to_string()) {
            let what = format!("{address} of the other side shows in the message");
            out.push(Breach::noted("PRIVACY", what));
        }
    }
}

/// Whether an address stands in a text and is not the beginning of a longer one.
fn mentions(text: &str, address: &str) -> bool {
    text.match_indices(address).any(|(at, found)| {
        let next = text[at + found.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_digit())
    })
}

/// What a carrier insists on.
#[derive(Clone, Debug)]
pub struct CarrierRules {
    /// Address of the SBC's listener towards the carrier.
    pub sbc: IpAddr,
    /// Addresses of the other side of the SBC, which must not show here.
    pub hidden: Vec<IpAddr>,
}

impl Rules for CarrierRules {
    fn breaches(&self, message: &Message, _: &Flow) -> Vec<Breach> {
        let mut out = Vec::new();
        let text = message.text();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let name = line
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            if name.starts_with("x-ms-") {
                out.push(Breach::noted(
                    "PRIVACY",
                    format!("{line} is Microsoft's business"),
                ));
            }
        }
        if message.method().as_deref() == Some("INVITE") {
            let contact = message.line("Contact").unwrap_or_default();
            let host = uri_of(contact)
                .map(|uri| uri.host().to_string())
                .unwrap_or_default();
            if host != self.sbc.to_string() {
                let what = format!("Contact host is {host}, wanted {}", self.sbc);
                out.push(Breach::refused("RFC3261", what, 400));
            }
        }
        if describes(message) {
            match sdp::read(&message.description()) {
                Ok(media) if media.protocol != "RTP/AVP" || !media.keys.is_empty() => {
                    let what = format!("media is {}, wanted plain RTP/AVP", media.protocol);
                    out.push(Breach::refused("RFC3264", what, 488));
                }
                Ok(_) => {}
                Err(why) => {
                    let what = format!("session description: {why}");
                    out.push(Breach::refused("RFC3264", what, 488));
                }
            }
        }
        hidden(&self.hidden, message, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::secure::Key;
    use std::net::SocketAddr;
    use std::net::UdpSocket;
    use std::sync::Arc;

    const SECRET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 9, 9, 10));

    /// An INVITE of an SBC that does everything right.
    fn good() -> String {
        let at = SocketAddr::from(([127, 9, 9, 1], 20_000));
        let body = crate::media::sdp::teams_offer(at, &Key::random());
        format!(
            "INVITE sip:+14255550101@sip.pstnhub.example:5061;user=phone;transport=tls SIP/2.0\r\n\
             Via: SIP/2.0/TLS sbc.contoso.example:5061;branch=z9hG4bK1\r\n\
             Max-Forwards: 69\r\n\
             From: <sip:+12025550123@sbc.contoso.example;user=phone>;tag=1\r\n\
             To: <sip:+14255550101@sip.pstnhub.example;user=phone>\r\n\
             Call-ID: c1\r\n\
             CSeq: 1 INVITE\r\n\
             Contact: <sip:+12025550123@sbc.contoso.example:5061;transport=tls>\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY\r\n\
             X-MS-SBC: Causeway/SBC/1\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn flow(names: &[&str]) -> Flow {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut flow = Flow::datagrams(socket, SocketAddr::from(([127, 9, 9, 1], 5061)));
        flow.names = names.iter().map(|name| (*name).to_owned()).collect();
        flow
    }

    fn rules() -> TeamsRules {
        let trunk = |fqdn: &str| TeamsTrunk {
            fqdn: fqdn.to_owned(),
            port: 5061,
        };
        TeamsRules {
            trunks: vec![trunk("sbc.contoso.example"), trunk("sbc.fabrikam.example")],
            hidden: vec![SECRET],
            proxy: None,
        }
    }

    fn broken(text: &str) -> Vec<(&'static str, Option<u16>)> {
        let message = Message::parse(text.as_bytes()).unwrap();
        let flow = flow(&["sbc.contoso.example"]);
        let breaches = rules().breaches(&message, &flow);
        breaches
            .iter()
            .map(|breach| (breach.rule, breach.refuse))
            .collect()
    }

    #[test]
    fn nothing_is_wrong_with_a_good_invite() {
        assert_eq!(broken(&good()), []);
        let extended = good().replace("sip:+14255550101@", "sip:+14255550101;ext=1001@");
        assert_eq!(broken(&extended), []);
        let local = good().replace("sip:+14255550101@", "sip:1001;phone-context=+1@");
        assert_eq!(broken(&local), [("TDR-SIP-010", Some(404))]);
    }

    #[test]
    fn each_mistake_towards_teams_is_found_alone() {
        for (right, wrong, rule, refuse) in [
            (
                "Contact: <sip:+12025550123@sbc.contoso",
                "Contact: <sip:+12025550123@sbc.fabrikam",
                "TDR-TLS-007",
                Some(403),
            ),
            (
                "Contact: <sip:+12025550123@sbc.contoso.example",
                "Contact: <sip:+12025550123@127.9.9.1",
                "TDR-SIP-013",
                Some(403),
            ),
            (
                "example:5061;transport=tls>\r\nAllow",
                "example:5062;transport=tls>\r\nAllow",
                "TDR-SIP-043",
                None,
            ),
            (
                ":5061;transport=tls>\r\nAllow",
                ":5061>\r\nAllow",
                "TDR-SIP-013",
                None,
            ),
            (
                "From: <sip:+12025550123@sbc.contoso.example",
                "From: <sip:+12025550123@127.9.9.1",
                "TDR-SIP-012",
                None,
            ),
            (
                "INVITE sip:+1425",
                "INVITE sip:1425",
                "TDR-SIP-010",
                Some(404),
            ),
            (";user=phone;transport", ";transport", "TDR-SIP-010", None),
            (", NOTIFY", "", "TDR-SIP-003", None),
            ("X-MS-SBC: Causeway/SBC/1\r\n", "", "TDR-OPT-011", None),
            ("Max-Forwards: 69", "Max-Forwards: 200", "TDR-SIP-044", None),
            ("Via: SIP/2.0/TLS", "Via: SIP/2.0/UDP", "TDR-CON-006", None),
            (
                "X-MS-SBC",
                "Supported: 100rel\r\nX-MS-SBC",
                "TDR-SIP-002",
                None,
            ),
            (
                "X-MS-SBC",
                "Replaces: a;to-tag=b;from-tag=c\r\nX-MS-SBC",
                "TDR-SIP-014",
                Some(403),
            ),
            (
                "X-MS-SBC",
                "Record-Route: <sip:127.9.9.1;lr>\r\nX-MS-SBC",
                "TDR-SIP-042",
                Some(403),
            ),
            ("X-MS-SBC: ", "X-MS-SBC: 127.9.9.10/", "PRIVACY", None),
            ("RTP/SAVP", "RTP/AVP", "TDR-MED-004", Some(488)),
            ("_80 inline", "_32 inline", "TDR-MED-001", Some(488)),
            (
                "a=crypto",
                "a=candidate:1 1 UDP 1 127.9.9.9 4000 typ host\r\na=crypto",
                "TDR-ICE-002",
                None,
            ),
        ] {
            let text = good().replacen(right, wrong, 1);
            assert_ne!(text, good(), "{right} is not there");
            assert_eq!(broken(&text), [(rule, refuse)], "{wrong}");
        }
    }

    #[test]
    fn an_invite_without_an_offer_is_found_within_a_dialog_too() {
        let good = good();
        let (head, _) = good.split_once("\r\nContent-Type").unwrap();
        let bare = format!("{head}\r\nContent-Length: 0\r\n\r\n");
        let again = bare.replace("example;user=phone>\r\nCall", "example>;tag=2\r\nCall");
        assert_ne!(again, bare);
        for text in [bare, again] {
            assert_eq!(broken(&text), [("TDR-SIP-004", Some(488))], "{text}");
        }
    }

    #[test]
    fn a_longer_address_is_not_the_hidden_one() {
        let text = good().replace("X-MS-SBC: ", "X-MS-SBC: 127.9.9.101/");
        assert_eq!(broken(&text), []);
    }

    #[test]
    fn a_carrier_sees_nothing_of_microsoft_and_no_srtp() {
        let rules = CarrierRules {
            sbc: IpAddr::from([127, 9, 9, 2]),
            hidden: vec![SECRET],
        };
        let text = good().replace("X-MS-SBC: ", "X-MS-SBC: 127.9.9.10/");
        let message = Message::parse(text.as_bytes()).unwrap();
        let breaches = rules.breaches(&message, &flow(&[]));
        let rules: Vec<_> = breaches.iter().map(|breach| breach.rule).collect();
        assert_eq!(rules, ["PRIVACY", "RFC3261", "RFC3264", "PRIVACY"]);
    }
}
