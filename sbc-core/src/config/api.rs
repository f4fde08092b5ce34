//! Who may use the operator's interface over the network: `[api] listen`, `[[api.user]]` (SEC-150, SEC-151).
//!
//! A token is 256 random bits. The configuration refers to a place that holds its SHA-256, never the token.

use super::IpNet;
use super::client::{self, WrittenClient};
use super::file::secret;
use super::finding::{Code, Collector};
use super::oidc::{self, WrittenOidc};
use super::read::Section;
use super::source::{At, Span};
use super::value;
use super::written::Secret;
use crate::id::TlsContextName;
use crate::time::UnixTime;
use std::fmt;
use std::net::SocketAddr;

/// The interface over the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiListen {
    /// Where it listens, with TLS 1.3.
    pub address: SocketAddr,
    /// The identity whose certificate it shows.
    pub tls: TlsContextName,
}

/// Somebody, or something, with a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiUser {
    /// What the audit log calls them.
    pub name: String,
    /// What they may do.
    pub role: ApiRole,
    /// Whether a viewer sees telephone numbers; every other role does.
    pub numbers: bool,
    /// Whether they may hear what callers say: no role implies it (SEC-151).
    pub media: bool,
    /// SHA-256 of the token.
    pub token: TokenHash,
    /// When the token ends; `None` never.
    pub expires: Option<UnixTime>,
    /// Where it counts; none everywhere.
    pub accept_from: Vec<IpNet>,
}

/// SHA-256 of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Reads `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut octets = [0; 32];
        for (octet, at) in octets.iter_mut().zip((0..64).step_by(2)) {
            *octet = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(octets))
    }

    /// The octets, to be compared in constant time.
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// What a user may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ApiRole {
    /// Looks, without telephone numbers.
    Viewer,
    /// Looks, ends calls, drains.
    Operator,
    /// What an operator does, and takes configurations into use.
    Engineer,
    /// Looks, keeps addresses out and lets them in for a while.
    Security,
    /// Looks, and reads the audit log.
    Auditor,
    /// Everything.
    Admin,
}

impl ApiRole {
    /// As it is written.
    pub const ALL: [(&'static str, Self); 6] = [
        ("viewer", Self::Viewer),
        ("operator", Self::Operator),
        ("engineer", Self::Engineer),
        ("security", Self::Security),
        ("auditor", Self::Auditor),
        ("admin", Self::Admin),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        let written = Self::ALL.iter().find(|(_, role)| *role == self);
        written.map_or("", |(word, _)| word)
    }
}

/// The table `[api]` as it is written.
#[derive(Default)]
pub(super) struct WrittenApi {
    pub(super) unix: Option<At<String>>,
    pub(super) listen: Option<At<SocketAddr>>,
    pub(super) tls: Option<At<String>>,
    pub(super) audit_mandatory: Option<At<bool>>,
    pub(super) four_eyes: Option<At<bool>>,
    pub(super) media_users: Option<At<Vec<At<String>>>>,
    pub(super) users: Vec<WrittenUser>,
    pub(super) client_ca: Option<At<String>>,
    pub(super) crl: Option<At<String>>,
    pub(super) crl_issuers: Option<At<String>>,
    pub(super) clients: Vec<WrittenClient>,
    pub(super) oidc: Option<WrittenOidc>,
}

pub(super) struct WrittenUser {
    pub(super) span: Span,
    pub(super) name: Option<At<String>>,
    pub(super) role: Option<At<ApiRole>>,
    pub(super) numbers: Option<At<bool>>,
    pub(super) media: Option<At<bool>>,
    pub(super) token: Option<At<Secret>>,
    pub(super) expires: Option<At<UnixTime>>,
    pub(super) accept_from: Option<At<Vec<At<IpNet>>>>,
}

/// Reads the table.
pub(super) fn read(mut section: Section<'_>, out: &mut Collector) -> WrittenApi {
    let listen = section.parsed("listen", value::socket, out);
    let unix = match section.has("unix") || listen.is_some() {
        true => section.text("unix", out),
        false => section.required_text("unix", "\"/run/causeway/api.sock\"", out),
    };
    let tls = section.text("tls", out);
    let audit_mandatory = section.boolean("audit_mandatory", out);
    let four_eyes = section.boolean("four_eyes", out);
    let media_users = section.texts("media_users", out);
    let mut users = Vec::new();
    if let Some(list) = section.list("user", out) {
        for item in list.value {
            if let Some(user) = item.section("api: user".to_owned(), out) {
                users.push(read_user(user, out));
            }
        }
    }
    let client_ca = section.text("client_ca", out);
    let crl = section.text("crl", out);
    let crl_issuers = section.text("crl_issuers", out);
    let clients = client::read(&mut section, out);
    let oidc = oidc::read(&mut section, out);
    section.finish(&["mtls", "users"], out);
    WrittenApi {
        unix,
        listen,
        tls,
        audit_mandatory,
        four_eyes,
        media_users,
        users,
        client_ca,
        crl,
        crl_issuers,
        clients,
        oidc,
    }
}

fn read_user(mut section: Section<'_>, out: &mut Collector) -> WrittenUser {
    let name = section.required_text("name", "\"noc\"", out);
    if let Some(name) = &name {
        section.title = format!("api: user \"{}\"", name.value.escape_debug());
    }
    if !section.has("role") {
        section.missing("role", "\"viewer\"", out);
    }
    let role = section.choice("role", &ApiRole::ALL, &[], out);
    let token = secret(&mut section, "token", out);
    if !section.has("token") {
        section.missing("token", "{ file = \"/etc/causeway/private/api-noc\" }", out);
    }
    section.refuse_empty("accept_from", "[\"192.0.2.0/28\"]", out);
    let expires = section.text("expires", out).and_then(|at| {
        let until = UnixTime::of_day(&at.value).or_else(|| UnixTime::of_rfc3339(&at.value));
        if until.is_none() {
            let cause = format!(
                "{}: \"{}\" is no day",
                section.title,
                at.value.escape_debug()
            );
            let help = "write a day, such as expires = \"2027-01-31\", or a time in UTC, \"2027-01-31T12:00:00Z\"";
            out.add(Code::BadForm, &at.span, cause, Some(help.to_owned()));
        }
        until.map(|until| At::new(until, at.span))
    });
    let user = WrittenUser {
        span: section.span.clone(),
        name,
        role,
        numbers: section.boolean("numbers", out),
        media: section.boolean("media", out),
        token,
        expires,
        accept_from: section.parsed_list("accept_from", value::network, out),
    };
    section.finish(&["sources"], out);
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_whole_or_not_at_all_and_not_shown() {
        let digits = "00ff".repeat(16);
        let hash = TokenHash::parse(&format!("sha256:{digits}")).unwrap();
        assert_eq!(hash.octets().get(..3), Some(&[0, 255, 0][..]));
        assert!(!format!("{hash:?}").contains("255"));
        for broken in [
            digits.clone(),
            format!("sha256:{}", digits.replace('f', "g")),
            format!("sha256:{digits}0"),
            format!("sha256:{}", "é".repeat(32)),
            "sha256:".to_owned(),
        ] {
            assert_eq!(TokenHash::parse(&broken), None, "{broken}");
        }
    }
}
