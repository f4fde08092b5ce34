//! Access to the reports of Microsoft about a customer's calls: `graph = { tenant_id = "…", … }` of a tenant
//! (TDG-ENT-001, TDG-ENT-006).
//!
//! One application in each customer's directory, with the permissions that are needed. Operator commands use
//! it, and the daemon where `presence` asks it to: no call waits for Microsoft's answer.

use super::Cloud;
use super::file::{pairs, secret};
use super::finding::{Code, Collector};
use super::read::Section;
use super::reference::Form;
use super::source::{At, Span};
use super::value;
use super::written::Secret;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How a customer's reports are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GraphAccess {
    /// The customer's directory, a GUID in lower case.
    pub tenant_id: String,
    /// The application that is registered there, a GUID in lower case.
    pub client_id: String,
    /// The cloud that the customer is served from, as its trunks say.
    pub cloud: Cloud,
    /// How the application proves itself.
    pub proof: GraphProof,
    /// PEM file with the roots that Microsoft's servers are believed by, or [`super::MICROSOFT_ROOTS`]: a firewall
    /// that looks into TLS has one of its own. For presence; commands have their own option.
    pub roots: String,
    /// Hosts of Microsoft that are looked for elsewhere, as behind a gateway; what their certificates must carry
    /// stays the same.
    pub connect_to: BTreeMap<String, SocketAddr>,
    /// Whether and how it is asked for the presence of the tenant's users.
    pub presence: Option<PresenceAccess>,
}

/// How Microsoft is asked for presence, and told: `presence = { every = "20s" }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PresenceAccess {
    /// How often, 10 s to 1 h; every 20 s by default.
    pub every: Duration,
    /// Whether a user who talks over our trunks is shown as busy in a call (`set_busy`); not by default.
    pub sets_busy: bool,
}

/// How often presence is asked for where the configuration does not say.
const USUALLY: Duration = Duration::from_secs(20);
/// More often than this nobody may ask: an application has 1,500 requests in 30 s for all it does.
pub(super) const SHORTEST: Duration = Duration::from_secs(10);
/// More seldom is no presence.
pub(super) const LONGEST: Duration = Duration::from_secs(3_600);

/// How an application proves itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GraphProof {
    /// It knows a secret.
    Secret(Secret),
    /// It has the key of a certificate that is registered for it.
    Certificate {
        /// PEM file with the certificate.
        cert: String,
        /// Private key in PEM.
        key: Secret,
    },
    /// Somebody whom its directory believes says who it is, in a token that is written here anew before it ends.
    Federated(Secret),
}

/// As it is written.
pub(super) struct WrittenGraph {
    pub(super) span: Span,
    pub(super) tenant_id: Option<At<String>>,
    pub(super) client_id: Option<At<String>>,
    pub(super) proof: Option<WrittenProof>,
    pub(super) roots: Option<At<String>>,
    pub(super) connect_to: BTreeMap<String, SocketAddr>,
    pub(super) presence: Option<WrittenPresence>,
}

pub(super) struct WrittenPresence {
    pub(super) span: Span,
    pub(super) every: Option<At<Duration>>,
    pub(super) sets_busy: bool,
}

impl WrittenPresence {
    pub(super) fn access(&self) -> PresenceAccess {
        PresenceAccess {
            every: self.every.as_ref().map_or(USUALLY, |at| at.value),
            sets_busy: self.sets_busy,
        }
    }
}

pub(super) enum WrittenProof {
    Secret(At<Secret>),
    Certificate(At<String>, At<Secret>),
    Federated(At<Secret>),
}

/// Reads the table of a tenant.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenGraph> {
    let mut table = section.table("graph", out)?;
    let proof = read_proof(&mut table, out);
    let presence = table.table("presence", out).map(|mut presence| {
        let read = WrittenPresence {
            span: presence.span.clone(),
            every: presence.parsed("every", value::duration, out),
            sets_busy: presence.boolean("set_busy", out).is_some_and(|at| at.value),
        };
        presence.finish(&[], out);
        read
    });
    let graph = WrittenGraph {
        span: table.span.clone(),
        tenant_id: table.required_text("tenant_id", EXAMPLE, out),
        client_id: table.required_text("client_id", EXAMPLE, out),
        proof,
        roots: table.text("roots", out),
        connect_to: elsewhere(&mut table, out),
        presence,
    };
    table.finish(&[], out);
    Some(graph)
}

/// Reads how an application proves itself: one of three ways.
pub(super) fn read_proof(table: &mut Section<'_>, out: &mut Collector) -> Option<WrittenProof> {
    let has = [
        table.has("secret"),
        table.has("certificate"),
        table.has("key"),
        table.has("assertion"),
    ];
    let known = secret(table, "secret", out);
    let certificate = table.text("certificate", out);
    let key = secret(table, "key", out);
    let assertion = secret(table, "assertion", out);
    match has {
        // What is wrong with one of them was said.
        [true, false, false, false] => known.map(WrittenProof::Secret),
        [false, true, true, false] => {
            let both = certificate.zip(key);
            both.map(|(cert, key)| WrittenProof::Certificate(cert, key))
        }
        [false, false, false, true] => assertion.map(WrittenProof::Federated),
        _ => {
            let what = match has {
                [false, false, false, false] => "nothing says how the application proves itself",
                [true, ..] | [_, _, _, true] => "the application proves itself in two ways",
                _ => "a certificate and its key are needed together",
            };
            out.add(
                Code::Contradiction,
                &table.span,
                format!("{}: {what}", table.title),
                Some(
                    "write certificate = \"…\" and key = { file = \"…\" }, or secret = { file = \"…\" }, or \
                     assertion = { file = \"…\" }"
                        .to_owned(),
                ),
            );
            None
        }
    }
}

/// `connect_to = { "graph.microsoft.com" = "192.0.2.1:443" }`.
fn elsewhere(table: &mut Section<'_>, out: &mut Collector) -> BTreeMap<String, SocketAddr> {
    table.notes("connect_to", Form::Pairs, out);
    let item = table.take("connect_to");
    let written = item.map(|item| pairs(&item, &table.title, "connect_to", out));
    let mut places = BTreeMap::new();
    for (host, place) in written.unwrap_or_default() {
        match place.value.parse() {
            Ok(address) => drop(places.insert(host.value.to_ascii_lowercase(), address)),
            Err(_) => out.add(
                Code::BadForm,
                &place.span,
                format!(
                    "{}: connect_to \"{}\" is no address with a port",
                    table.title,
                    place.value.escape_debug()
                ),
                Some("write \"192.0.2.1:443\"".to_owned()),
            ),
        }
    }
    places
}

const EXAMPLE: &str = "\"11111111-2222-3333-4444-555555555555\"";
