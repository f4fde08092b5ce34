//! Accounts and registrations as they are written in a trunk: `digest` and `register`.

use super::file::secret;
use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use super::trunk::{DidSource, Gin};
use super::value;
use super::written::Secret;
use std::time::Duration;

/// `digest = { username = "…", password = { … }, realms = ["…"] }`.
pub(super) struct WrittenDigest {
    pub(super) username: Option<At<String>>,
    pub(super) password: Option<At<Secret>>,
    pub(super) realms: Option<At<Vec<At<String>>>>,
    pub(super) md5: Option<At<bool>>,
}

/// `register = { aor = "sip:…", … }`.
pub(super) struct WrittenRegister {
    pub(super) span: Span,
    pub(super) aor: Option<At<String>>,
    pub(super) expires: Option<At<Duration>>,
    pub(super) require_registered: Option<At<bool>>,
    pub(super) unregister: Option<At<bool>>,
    pub(super) outbound: Option<At<bool>>,
    pub(super) gin: Option<At<Gin>>,
    pub(super) did_source: Option<At<DidSource>>,
    pub(super) hold_identities: Option<At<bool>>,
    pub(super) keep_alive: Option<At<bool>>,
}

pub(super) fn digest(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenDigest> {
    let mut table = section.table("digest", out)?;
    table.refuse_empty("realms", "[\"sip.example.com\"]", out);
    let password = secret(&mut table, "password", out);
    if !table.has("password") {
        table.missing(
            "password",
            "{ file = \"/etc/causeway/private/telco\" }",
            out,
        );
    }
    let realms = table.texts("realms", out);
    if !table.has("realms") {
        table.missing("realms", "[\"sip.example.com\"]", out);
    }
    let digest = WrittenDigest {
        username: table.required_text("username", "\"…\"", out),
        password,
        realms,
        md5: table.boolean("md5", out),
    };
    table.finish(&["server"], out);
    Some(digest)
}

pub(super) fn register(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenRegister> {
    let mut table = section.table("register", out)?;
    let register = WrittenRegister {
        span: table.span.clone(),
        keep_alive: table.boolean("keep_alive", out),
        hold_identities: table.boolean("hold_identities", out),
        aor: table.required_text("aor", "\"sip:+49301230@telco.example\"", out),
        expires: table.parsed("expires", value::duration, out),
        require_registered: table.boolean("require_registered", out),
        unregister: table.boolean("unregister", out),
        outbound: table.boolean("outbound", out),
        gin: table.choice(
            "gin",
            &[
                ("off", Gin::Off),
                ("prefer", Gin::Prefer),
                ("require", Gin::Require),
            ],
            &[],
            out,
        ),
        did_source: table.choice(
            "did_source",
            &[
                ("ruri", DidSource::RequestUri),
                ("to", DidSource::To),
                ("p-called-party-id", DidSource::CalledParty),
                ("history", DidSource::History),
            ],
            &[],
            out,
        ),
    };
    table.finish(&["registrar", "username", "password", "transport"], out);
    Some(register)
}
