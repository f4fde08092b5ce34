//! How operators sign in by OpenID Connect: `[api.oidc]` (SEC-150, TDG-ENT-003, TDG-ENT-004).
//!
//! What somebody may do is said by the roles of the application that the directory gives them, and by nothing that they
//! can change themselves, such as a mail address.

use super::GraphProof;
use super::api::ApiRole;
use super::finding::Collector;
use super::msgraph::{WrittenProof, read_proof};
use super::read::Section;
use super::source::{At, Span};
use super::value;
use std::time::Duration;

/// In an issuer this stands for the directory of whoever signs in.
pub const ANY_TENANT: &str = "{tenantid}";

/// Who lets operators in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Oidc {
    /// Who signs tokens, maybe with [`ANY_TENANT`].
    pub issuer: String,
    /// Where its discovery document is.
    pub discovery: String,
    /// Directories of Entra from which somebody may come, GUIDs in lower case; none: it is not asked.
    pub tenants: Vec<String>,
    /// The application that is registered there.
    pub client_id: String,
    /// How it proves itself.
    pub proof: GraphProof,
    /// Where browsers find the console: `https://` and a place.
    pub url: String,
    /// Roots of the issuer's web server: a file, or `microsoft`.
    pub roots: String,
    /// What the button says.
    pub name: String,
    /// The claim that lists roles.
    pub claim: String,
    /// What each role of the application means here; the first counts that somebody has.
    pub roles: Vec<OidcRole>,
    /// Longest session, 5 min to 12 h.
    pub session: Duration,
    /// Longest pause in one, 1 min to 2 h.
    pub idle: Duration,
}

/// What a role of the application means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OidcRole {
    /// As the token says it.
    pub value: String,
    /// What it means here.
    pub role: ApiRole,
    /// Whether a viewer sees telephone numbers.
    pub numbers: bool,
    /// Whether they may hear what callers say: no role implies it (SEC-151).
    pub media: bool,
}

impl Oidc {
    /// Where the issuer sends browsers back to.
    pub fn redirect(&self) -> String {
        format!("{}/sign-in", self.url)
    }
}

/// As it is written.
pub(super) struct WrittenOidc {
    pub(super) span: Span,
    pub(super) issuer: Option<At<String>>,
    pub(super) tenants: Option<At<Vec<At<String>>>>,
    pub(super) client_id: Option<At<String>>,
    pub(super) proof: Option<WrittenProof>,
    pub(super) url: Option<At<String>>,
    pub(super) roots: Option<At<String>>,
    pub(super) name: Option<At<String>>,
    pub(super) claim: Option<At<String>>,
    pub(super) roles: Vec<WrittenOidcRole>,
    pub(super) session: Option<At<Duration>>,
    pub(super) idle: Option<At<Duration>>,
}

pub(super) struct WrittenOidcRole {
    pub(super) span: Span,
    pub(super) value: Option<At<String>>,
    pub(super) role: Option<At<ApiRole>>,
    pub(super) numbers: Option<At<bool>>,
    pub(super) media: Option<At<bool>>,
}

/// Reads the table.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenOidc> {
    let mut table = section.table("oidc", out)?;
    let mut roles = Vec::new();
    if let Some(list) = table.list("role", out) {
        for item in list.value {
            let Some(mut one) = item.section("api: oidc: role".to_owned(), out) else {
                continue;
            };
            if !one.has("role") {
                one.missing("role", "\"viewer\"", out);
            }
            roles.push(WrittenOidcRole {
                span: one.span.clone(),
                value: one.required_text("value", "\"Causeway.Operator\"", out),
                role: one.choice("role", &ApiRole::ALL, &[], out),
                numbers: one.boolean("numbers", out),
                media: one.boolean("media", out),
            });
            one.finish(&[], out);
        }
    }
    let written = WrittenOidc {
        span: table.span.clone(),
        issuer: table.text("issuer", out),
        tenants: table.texts("tenants", out),
        client_id: table.required_text("client_id", EXAMPLE, out),
        proof: read_proof(&mut table, out),
        url: table.required_text("url", "\"https://sbc1.contoso.example:8443\"", out),
        roots: table.text("roots", out),
        name: table.text("name", out),
        claim: table.text("claim", out),
        roles,
        session: table.parsed("session", value::duration, out),
        idle: table.parsed("idle", value::duration, out),
    };
    table.finish(&[], out);
    Some(written)
}

const EXAMPLE: &str = "\"11111111-2222-3333-4444-555555555555\"";
