//! Peers that prove with a password who they are, and that register with us: `authenticate` and
//! `registrar` of a trunk (SIP-1600, SIP-1610).

use super::file::secret;
use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use super::value;
use super::written::Secret;
use crate::auth::{Account, Asker, Digest};
use crate::sip::header::Route;
use std::time::Duration;

/// How the peer of a trunk proves who it is: nothing that begins outside a dialog is served without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authenticate {
    /// Its account; the one realm is the protection space of our challenges.
    pub account: Account,
    /// Algorithms that are offered, in order of preference.
    pub algorithms: Vec<Digest>,
    /// As whom we ask: as a server with 401, or as a proxy with 407. REGISTER always gets 401.
    pub asker: Asker,
}

impl Authenticate {
    /// The protection space.
    pub fn realm(&self) -> &str {
        self.account.realms.first().map_or("", String::as_str)
    }
}

/// What a peer may register with us (RFC 3261 §10.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registrar {
    /// User of its address of record.
    pub user: String,
    /// Our domain: host of the address of record, and of both parties in our INVITEs to it.
    pub domain: String,
    /// Life that is granted where none is asked for, in seconds.
    pub usual_s: u32,
    /// Shortest life that is granted, in seconds.
    pub shortest_s: u32,
    /// Longest life that is granted, in seconds.
    pub longest_s: u32,
    /// Most contacts at the same time.
    pub contacts: usize,
    /// Whether all numbers may be registered at once (RFC 6140).
    pub gin: bool,
    /// What the Request-URI of a call to a contact of its own says.
    pub called: CalledAs,
    /// Hops that its requests shall visit first (RFC 3608).
    pub service_route: Vec<Route>,
}

/// What the Request-URI of a call to a registered contact says. A contact that stands for all
/// numbers always gets the number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CalledAs {
    /// The contact as it was registered; the number is in To (RFC 3261 §16.5).
    #[default]
    Contact,
    /// The number at the contact's host.
    Number,
}

/// `authenticate = { username = "…", password = { … }, realm = "…" }`.
pub(super) struct WrittenAuthenticate {
    pub(super) span: Span,
    pub(super) username: Option<At<String>>,
    pub(super) password: Option<At<Secret>>,
    pub(super) realm: Option<At<String>>,
    pub(super) algorithms: Option<Vec<At<Digest>>>,
    pub(super) challenge: Option<At<u64>>,
}

/// `registrar = { aor = "sip:…", … }`.
pub(super) struct WrittenRegistrar {
    pub(super) span: Span,
    pub(super) aor: Option<At<String>>,
    pub(super) expires: Option<At<Duration>>,
    pub(super) min_expires: Option<At<Duration>>,
    pub(super) max_expires: Option<At<Duration>>,
    pub(super) contacts: Option<At<u64>>,
    pub(super) gin: Option<At<bool>>,
    pub(super) called: Option<At<CalledAs>>,
    pub(super) service_route: Option<At<Vec<At<String>>>>,
}

pub(super) fn authenticate(
    section: &mut Section<'_>,
    out: &mut Collector,
) -> Option<WrittenAuthenticate> {
    let mut table = section.table("authenticate", out)?;
    table.refuse_empty("algorithms", "[\"SHA-256\", \"MD5\"]", out);
    let password = secret(&mut table, "password", out);
    if !table.has("password") {
        table.missing("password", "{ file = \"/etc/causeway/private/pbx\" }", out);
    }
    let authenticate = WrittenAuthenticate {
        span: table.span.clone(),
        username: table.required_text("username", "\"…\"", out),
        password,
        realm: table.required_text("realm", "\"sip.example.com\"", out),
        algorithms: table.choices(
            "algorithms",
            &[
                ("SHA-512-256", Digest::Sha512_256),
                ("SHA-256", Digest::Sha256),
                ("MD5", Digest::Md5),
            ],
            out,
        ),
        challenge: table.number("challenge", 401..=407, out),
    };
    table.finish(&["users"], out);
    Some(authenticate)
}

pub(super) fn registrar(
    section: &mut Section<'_>,
    out: &mut Collector,
) -> Option<WrittenRegistrar> {
    let mut table = section.table("registrar", out)?;
    let registrar = WrittenRegistrar {
        span: table.span.clone(),
        aor: table.required_text("aor", "\"sip:pbx1@sip.example.com\"", out),
        expires: table.parsed("expires", value::duration, out),
        min_expires: table.parsed("min_expires", value::duration, out),
        max_expires: table.parsed("max_expires", value::duration, out),
        contacts: table.number("contacts", 1..=16, out),
        gin: table.boolean("gin", out),
        called: table.choice(
            "called",
            &[("contact", CalledAs::Contact), ("number", CalledAs::Number)],
            &[],
            out,
        ),
        service_route: table.texts("service_route", out),
    };
    table.finish(&["gruu"], out);
    Some(registrar)
}
