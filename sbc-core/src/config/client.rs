//! Programs that prove who they are to the operator's interface by a certificate: `[api] client_ca`, `[[api.client]]`
//! (SEC-150).

use super::RevokedFiles;
use super::api::ApiRole;
use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use super::{IpNet, value};
use std::fmt;

/// Whose certificate lets in as whom.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ApiClients {
    /// File with the authorities that issue certificates of clients; `None` asks for no certificate.
    pub authorities: Option<String>,
    /// Lists of what they have revoked; `None` looks at none.
    pub revoked: Option<RevokedFiles>,
    /// Who is known, in the order in which they are written.
    pub known: Vec<ApiClient>,
}

impl ApiClients {
    /// Whoever has this subject.
    pub fn find(&self, subject: &Subject) -> Option<&ApiClient> {
        self.known.iter().find(|known| known.subject == *subject)
    }
}

/// Somebody with a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiClient {
    /// What the audit log calls them.
    pub name: String,
    /// The subject of their certificate.
    pub subject: Subject,
    /// What they may do.
    pub role: ApiRole,
    /// Whether a viewer sees telephone numbers; every other role does.
    pub numbers: bool,
    /// Whether they may hear what callers say: no role implies it (SEC-151).
    pub media: bool,
    /// Where it counts; none everywhere.
    pub accept_from: Vec<IpNet>,
}

/// The subject of a certificate: each of its attributes, whatever their order. RFC 4514 writes the last one first, other
/// programs do not, and no authority gives one subject to two of its clients in different orders.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Subject(Vec<(String, String)>);

impl Subject {
    /// Of what a certificate says: short names of attributes, and their values.
    pub fn new(attributes: impl IntoIterator<Item = (String, String)>) -> Self {
        let lower = |(kind, value): (String, String)| (kind.to_ascii_lowercase(), value);
        let mut all: Vec<_> = attributes.into_iter().map(lower).collect();
        all.sort();
        Self(all)
    }

    /// Reads `CN=noc,O=Contoso`, as `openssl x509 -subject -nameopt RFC2253` prints it; a comma of a value has a
    /// backslash before it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all: Vec<String> = vec![String::new()];
        let mut octets = text.chars();
        while let Some(octet) = octets.next() {
            match (octet, all.last_mut()) {
                (',' | '+', _) => all.push(String::new()),
                ('\\', Some(own)) => own.push(octets.next()?),
                (octet, Some(own)) => own.push(octet),
                (_, None) => return None,
            }
        }
        let attribute = |own: &String| {
            let (kind, value) = own.split_once('=')?;
            let (kind, value) = (kind.trim(), value.trim());
            let is_kind = kind
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'.');
            let is_one = is_kind && !kind.is_empty() && !value.is_empty();
            is_one.then(|| (kind.to_owned(), value.to_owned()))
        };
        let all: Option<Vec<_>> = all.iter().map(attribute).collect();
        all.map(Self::new)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{kind}={}", value.escape_debug())?;
        }
        Ok(())
    }
}

/// As it is written.
pub(super) struct WrittenClient {
    pub(super) span: Span,
    pub(super) name: Option<At<String>>,
    pub(super) subject: Option<At<String>>,
    pub(super) role: Option<At<ApiRole>>,
    pub(super) numbers: Option<At<bool>>,
    pub(super) media: Option<At<bool>>,
    pub(super) accept_from: Option<At<Vec<At<IpNet>>>>,
}

/// Reads the list of `[[api.client]]`.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> Vec<WrittenClient> {
    let mut clients = Vec::new();
    let list = section.list("client", out);
    for item in list.into_iter().flat_map(|list| list.value) {
        let Some(mut one) = item.section("api: client".to_owned(), out) else {
            continue;
        };
        let name = one.required_text("name", "\"automation\"", out);
        if let Some(name) = &name {
            one.title = format!("api: client \"{}\"", name.value.escape_debug());
        }
        if !one.has("role") {
            one.missing("role", "\"viewer\"", out);
        }
        one.refuse_empty("accept_from", "[\"192.0.2.0/28\"]", out);
        clients.push(WrittenClient {
            span: one.span.clone(),
            name,
            subject: one.required_text("subject", "\"CN=automation,O=Contoso\"", out),
            role: one.choice("role", &ApiRole::ALL, &[], out),
            numbers: one.boolean("numbers", out),
            media: one.boolean("media", out),
            accept_from: one.parsed_list("accept_from", value::network, out),
        });
        one.finish(&["sources"], out);
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_its_attributes_in_whatever_order_and_no_part_of_them() {
        let read = |text: &str| Subject::parse(text);
        let one = read("CN=noc,O=Contoso\\, Inc.").unwrap();
        let attributes = [("O", "Contoso, Inc."), ("CN", "noc")];
        let attributes = attributes.map(|(kind, value)| (kind.to_owned(), value.to_owned()));
        assert_eq!(one, Subject::new(attributes));
        assert_eq!(Some(one.clone()), read("o = Contoso\\, Inc. , cn=noc"));
        for other in [
            "CN=noc",
            "CN=noc,O=Contoso",
            "CN=NOC,O=Contoso\\, Inc.",
            "CN=noc,CN=noc,O=Contoso\\, Inc.",
        ] {
            assert_ne!(Some(one.clone()), read(other), "{other}");
        }
        for none in ["", "noc", "CN=", "=noc", "CN=noc,", "C N=noc", "CN=noc\\"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
