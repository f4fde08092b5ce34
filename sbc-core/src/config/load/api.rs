//! The operator's interface over the network, and who may use it.

use super::Load;
use crate::config::api::{WrittenApi, WrittenUser};
use crate::config::client::WrittenClient;
use crate::config::facts::Validity;
use crate::config::finding::Code;
use crate::config::source::At;
use crate::config::value::is_object_name;
use crate::config::written::File;
use crate::config::{
    ApiClient, ApiClients, ApiListen, ApiRole, ApiUser, IpNet, Listener, MICROSOFT_ROOTS, Oidc,
    Subject, TokenHash,
};
use crate::id::TlsContextName;
use crate::transport::Protocol;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Users at most: each request is compared with all of them.
const MOST_USERS: usize = 256;
/// A token that ends within so many days is told.
const SOON: u32 = 14;
/// Days that a token may be good for (SEC-150).
const YEAR: u32 = 366;

/// The interface over the network, and who may use it.
pub(super) struct ApiAccess {
    pub(super) listen: Option<ApiListen>,
    pub(super) users: Vec<ApiUser>,
    pub(super) clients: ApiClients,
    pub(super) oidc: Option<Oidc>,
    pub(super) is_audit_mandatory: bool,
    pub(super) has_four_eyes: bool,
    pub(super) media_users: Vec<String>,
}

/// Ranges as they are written.
fn networks(written: Option<&At<Vec<At<IpNet>>>>) -> Vec<IpNet> {
    let all = written.into_iter().flat_map(|list| &list.value);
    all.map(|at| at.value).collect()
}

impl Load<'_> {
    /// Where the interface listens, and whom it knows.
    pub(super) fn build_api(&mut self, file: &File) -> ApiAccess {
        let written = &file.api;
        let listen = self.api_listener(file, written);
        if written.users.len() > MOST_USERS
            && let Some(user) = written.users.get(MOST_USERS)
        {
            self.out.add(
                Code::OutOfRange,
                &user.span,
                format!("api: more than {MOST_USERS} users"),
                Some("let programs that do the same share a user".to_owned()),
            );
        }
        let mut users: BTreeMap<String, ApiUser> = BTreeMap::new();
        for user in &written.users {
            let Some(user) = self.lacking(true, |load| load.api_user(user, &users)).0 else {
                continue;
            };
            users.insert(user.name.clone(), user);
        }
        let oidc = written.oidc.as_ref().and_then(|oidc| {
            let (oidc, lacks_secret) = self.lacking(true, |load| load.oidc(oidc));
            oidc.filter(|_| !lacks_secret)
        });
        let clients = self.api_clients(written, &users);
        let is_nobody =
            written.users.is_empty() && written.clients.is_empty() && written.oidc.is_none();
        if let (Some(at), true) = (&written.listen, is_nobody) {
            self.out.add(
                Code::MissingKey,
                &at.span,
                "api: nobody may use the interface over the network: it has no user",
                Some(
                    "run causeway token NAME --role viewer, and add what it prints, or let operators sign in: [api.oidc]"
                        .to_owned(),
                ),
            );
        }
        let users = users.into_values().collect();
        ApiAccess {
            listen,
            users,
            clients,
            oidc,
            is_audit_mandatory: written.audit_mandatory.as_ref().is_some_and(|at| at.value),
            has_four_eyes: written.four_eyes.as_ref().is_some_and(|at| at.value),
            media_users: self.media_users(written.media_users.as_ref()),
        }
    }

    /// Whose certificates are good, and for what.
    fn api_clients(
        &mut self,
        written: &WrittenApi,
        users: &BTreeMap<String, ApiUser>,
    ) -> ApiClients {
        match (&written.client_ca, written.clients.first()) {
            (None, Some(first)) => self.out.add(
                Code::MissingKey,
                &first.span,
                "api: nothing says who issues certificates of clients",
                Some(
                    "write client_ca = \"/etc/causeway/tls/operators-ca.pem\", an authority of your own that issues to \
                     nobody else"
                        .to_owned(),
                ),
            ),
            (Some(at), None) => self.out.add(
                Code::Contradiction,
                &at.span,
                "api: client_ca lets nobody in: there is no client",
                Some("write [[api.client]] with name, subject and role, or remove it".to_owned()),
            ),
            (Some(at), Some(_)) if at.value == MICROSOFT_ROOTS => self.out.add(
                Code::BadForm,
                &at.span,
                "api: client_ca: a public authority issues certificates to anybody",
                Some("write the file of an authority of your own".to_owned()),
            ),
            (Some(at), Some(_)) => {
                if let Err(fault) = self.facts.roots(&at.value) {
                    self.file_fault("api: client_ca", at, fault);
                }
            }
            (None, None) => {}
        }
        let lists = (&written.crl, &written.crl_issuers);
        let revoked = self.revoked_clients("api", lists, &written.client_ca);
        if let Some(client) = written.clients.get(MOST_USERS) {
            self.out.add(
                Code::OutOfRange,
                &client.span,
                format!("api: more than {MOST_USERS} clients"),
                Some("let programs that do the same share a certificate".to_owned()),
            );
        }
        let mut known: Vec<ApiClient> = Vec::new();
        for client in &written.clients {
            let found = self.api_client(client, users, &known);
            known.extend(found);
        }
        ApiClients {
            authorities: written.client_ca.as_ref().map(|at| at.value.clone()),
            revoked,
            known,
        }
    }

    fn api_client(
        &mut self,
        written: &WrittenClient,
        users: &BTreeMap<String, ApiUser>,
        known: &[ApiClient],
    ) -> Option<ApiClient> {
        let name = written.name.as_ref()?;
        let title = format!("api: client \"{}\"", name.value.escape_debug());
        self.api_name(&title, name);
        if users.contains_key(&name.value) || known.iter().any(|own| own.name == name.value) {
            self.out.add(
                Code::DuplicateName,
                &name.span,
                format!("{title}: there is another client or user of this name"),
                Some("give each its own name, which the audit log tells".to_owned()),
            );
        }
        let at = written.subject.as_ref()?;
        let Some(subject) = Subject::parse(&at.value) else {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!("{title}: \"{}\" is no subject", at.value.escape_debug()),
                Some(
                    "write all of it, as openssl x509 -in FILE -noout -subject -nameopt RFC2253 prints it, such as \
                     \"CN=automation,O=Contoso\""
                        .to_owned(),
                ),
            );
            return None;
        };
        if let Some(twin) = known.iter().find(|own| own.subject == subject) {
            self.out.add(
                Code::DuplicateName,
                &at.span,
                format!("{title}: client \"{}\" has the same subject", twin.name),
                Some(
                    "issue a certificate to each, so that the audit log tells who it was"
                        .to_owned(),
                ),
            );
        }
        let role = written.role.as_ref()?.value;
        self.only_a_viewer(&title, role, written.numbers.as_ref());
        self.only_who_captures(&title, role, written.media.as_ref());
        Some(ApiClient {
            name: name.value.clone(),
            subject,
            role,
            numbers: written.numbers.as_ref().is_some_and(|at| at.value),
            media: written.media.as_ref().is_some_and(|at| at.value),
            accept_from: networks(written.accept_from.as_ref()),
        })
    }

    /// Whether it can be a name in the audit log.
    fn api_name(&mut self, title: &str, name: &At<String>) {
        if !is_object_name(&name.value) {
            self.out.add(
                Code::BadForm,
                &name.span,
                format!("{title}: this cannot be a name"),
                Some("use 1 to 64 letters, digits, \"-\", \"_\" and \".\"".to_owned()),
            );
        }
    }

    /// Users of this machine who may hear callers over the socket.
    fn media_users(&mut self, written: Option<&At<Vec<At<String>>>>) -> Vec<String> {
        let mut users = Vec::new();
        for at in written.into_iter().flat_map(|list| &list.value) {
            // What useradd takes, and numbers of users.
            let is_name = !at.value.is_empty()
                && at.value.len() <= 32
                && at.value.bytes().all(|octet| {
                    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'$')
                });
            match is_name {
                true => users.push(at.value.clone()),
                false => self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "api: media_users: \"{}\" is no user of this machine",
                        at.value.escape_debug()
                    ),
                    Some("write names or numbers of users of the system, such as media_users = [\"anna\"]; root need not be there".to_owned()),
                ),
            }
        }
        users
    }

    /// Whether this is said of somebody who may begin a capture at all.
    pub(super) fn only_who_captures(
        &mut self,
        title: &str,
        role: ApiRole,
        media: Option<&At<bool>>,
    ) {
        let captures = matches!(role, ApiRole::Operator | ApiRole::Engineer | ApiRole::Admin);
        if let Some(at) = media.filter(|at| at.value && !captures) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!(
                    "{title}: media = true, and nobody with the role {} captures calls",
                    role.as_str()
                ),
                Some(
                    "remove media, or write role = \"operator\", \"engineer\" or \"admin\""
                        .to_owned(),
                ),
            );
        }
    }

    fn only_a_viewer(&mut self, title: &str, role: ApiRole, numbers: Option<&At<bool>>) {
        if let Some(at) = numbers.filter(|_| role != ApiRole::Viewer) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: only a viewer can be kept from seeing numbers"),
                Some("remove numbers, or write role = \"viewer\"".to_owned()),
            );
        }
    }

    fn api_listener(&mut self, file: &File, written: &WrittenApi) -> Option<ApiListen> {
        let Some(at) = &written.listen else {
            let tls = written.tls.as_ref().map(|at| ("tls", &at.span));
            let user = written.users.first().map(|user| ("user", &user.span));
            let client = written.clients.first();
            let client = client.map(|client| ("client", &client.span));
            let oidc = written.oidc.as_ref().map(|oidc| ("oidc", &oidc.span));
            if let Some((key, span)) = tls.or(user).or(client).or(oidc) {
                self.out.add(
                    Code::Contradiction,
                    span,
                    format!("api: \"{key}\" is for an interface over the network, and there is none"),
                    Some(
                        "write listen = \"192.0.2.10:8443\", an address of the management network, or remove it"
                            .to_owned(),
                    ),
                );
            }
            return None;
        };
        self.free_port(file, "api", at);
        let Some(tls) = &written.tls else {
            self.out.add(
                Code::MissingKey,
                &at.span,
                "api: nothing says which certificate the interface shows",
                Some("write tls = \"NAME\", the name of a [[tls]]".to_owned()),
            );
            return None;
        };
        self.tls.find(tls, "api", &mut self.out)?;
        Some(ApiListen {
            address: at.value,
            tls: TlsContextName::new(&tls.value),
        })
    }

    /// Whether nobody else listens there.
    pub(super) fn free_port(&mut self, file: &File, of: &str, at: &At<SocketAddr>) {
        let meets = |other: SocketAddr| {
            other.port() == at.value.port()
                && (other.ip() == at.value.ip()
                    || at.value.ip().is_unspecified()
                    || other.ip().is_unspecified())
        };
        let is_rival = |own: &Listener| own.protocol != Protocol::Udp && meets(own.bind);
        let mut listeners = self.listeners.valid.values().map(|(own, _)| own);
        let rival = listeners.find(|own| is_rival(own));
        let rival = rival.map(|rival| format!("listener \"{}\"", rival.name));
        let api = file.api.listen.as_ref().filter(|_| of != "api");
        let tables = [("[metrics]", file.metrics.as_ref()), ("[api]", api)];
        let table = tables
            .into_iter()
            .find(|(_, other)| other.is_some_and(|other| meets(other.value)));
        if let Some(rival) = rival.or_else(|| table.map(|(name, _)| name.to_owned())) {
            let cause = format!("{of}: {rival} uses port {} already", at.value.port());
            let help = Some("listen on another port".to_owned());
            self.out.add(Code::PortConflict, &at.span, cause, help);
        }
        if at.value.port() == 0 {
            self.out.add(
                Code::OutOfRange,
                &at.span,
                format!("{of}: port 0 is another one after every start"),
                Some("write a port, such as 8443".to_owned()),
            );
        }
    }

    fn api_user(
        &mut self,
        written: &WrittenUser,
        known: &BTreeMap<String, ApiUser>,
    ) -> Option<ApiUser> {
        let name = written.name.as_ref()?;
        let title = format!("api: user \"{}\"", name.value.escape_debug());
        self.api_name(&title, name);
        if known.contains_key(&name.value) {
            self.out.add(
                Code::DuplicateName,
                &name.span,
                format!("{title}: there is another one of this name"),
                Some("give each its own name, which the audit log tells".to_owned()),
            );
        }
        let place = written.token.as_ref()?;
        self.shared_secret(&title, "token", place)?;
        let found = self.facts.password(&place.value).ok()?;
        let hash = std::str::from_utf8(found.octets.trim_ascii());
        let hash = hash.ok().and_then(TokenHash::parse);
        let Some(token) = hash else {
            self.out.add(
                Code::SecretMissing,
                &place.span,
                format!("{title}: what is in {} is no hash of a token", place.value),
                Some(
                    "write sha256: and 64 hexadecimal digits there, as causeway token prints them; the token \
                     itself is for its user alone"
                        .to_owned(),
                ),
            );
            return None;
        };
        if let Some(twin) = known.values().find(|other| other.token == token) {
            self.out.add(
                Code::DuplicateName,
                &place.span,
                format!("{title}: user \"{}\" has the same token", twin.name),
                Some("make a token for each, so that the audit log tells who it was".to_owned()),
            );
        }
        let role = written.role.as_ref()?.value;
        self.only_a_viewer(&title, role, written.numbers.as_ref());
        self.only_who_captures(&title, role, written.media.as_ref());
        let validity = written
            .expires
            .as_ref()
            .map(|at| self.facts.until(at.value));
        let cause = match validity {
            None => Some("the token never expires".to_owned()),
            Some(Validity::Expired | Validity::NotYet) => {
                Some("the token has expired and is refused".to_owned())
            }
            Some(Validity::Valid { days_left }) if days_left <= SOON => {
                Some(format!("the token expires in {days_left} days"))
            }
            Some(Validity::Valid { days_left }) if days_left > YEAR => {
                Some("the token is good for more than a year".to_owned())
            }
            Some(Validity::Valid { .. }) => None,
        };
        if let Some(cause) = cause {
            let span = written.expires.as_ref().map_or(&name.span, |at| &at.span);
            let help = format!(
                "run causeway token {} --role {}, and replace the hash and expires",
                name.value,
                role.as_str()
            );
            let cause = format!("{title}: {cause}");
            self.out.add(Code::TokenEnds, span, cause, Some(help));
        }
        Some(ApiUser {
            name: name.value.clone(),
            role,
            numbers: written.numbers.as_ref().is_some_and(|at| at.value),
            media: written.media.as_ref().is_some_and(|at| at.value),
            token,
            expires: written.expires.as_ref().map(|at| at.value),
            accept_from: networks(written.accept_from.as_ref()),
        })
    }
}
