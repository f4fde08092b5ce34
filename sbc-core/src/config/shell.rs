//! The part of the configuration that only the shell needs: files, sockets of the operator.

use super::written::{Secret, TlsVersion};
use super::{
    AcmeAccount, ApiClients, ApiListen, ApiUser, Confinement, GraphAccess, Hep, MetricsListen,
    NoticeListen, Oidc, VerifyClient,
};
use crate::id::{TenantName, TlsContextName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Settings that the core never sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shell {
    /// Files of each TLS identity.
    pub tls: BTreeMap<TlsContextName, TlsFiles>,
    /// Where call records are written; `None` writes none.
    pub cdr: Option<CdrSpool>,
    /// Bytes that ladders of recent calls may take, 1 MiB to 16 GiB; 64 MiB by default (OPS-084).
    pub ladders_bytes: u64,
    /// Where metrics and health are served; `None` serves them on the API socket only.
    pub metrics: Option<MetricsListen>,
    /// Path of the API's Unix socket.
    pub api: String,
    /// Where the API is served over the network; `None` serves it on the socket only.
    pub api_listen: Option<ApiListen>,
    /// Who may use it there, in the order of their names.
    pub api_users: Vec<ApiUser>,
    /// Whose certificate lets them in there.
    pub api_clients: ApiClients,
    /// Whether nothing is changed there or at the socket while what is done cannot be written down (SEC-154).
    pub is_audit_mandatory: bool,
    /// Whether another person has to agree, there and at the socket, before somebody hears callers (SEC-151).
    pub has_four_eyes: bool,
    /// Users of this machine, by name or number, who may hear what callers say over the socket; root may in any case.
    pub media_users: Vec<String>,
    /// Who signs operators in there; `None` nobody.
    pub oidc: Option<Oidc>,
    /// Path of the socket of a media relay in a process of its own; `None` has it in the daemon's.
    pub relay: Option<String>,
    /// Whether calls are left to the next daemon when this one is told to end. One that is killed leaves them in any
    /// case, where the relay has a process of its own.
    pub preserves_calls: bool,
    /// Whether each media worker of the daemon stays on one core.
    pub pins_workers: bool,
    /// Servers of DNS to ask instead of the system's; none asks as the system does. A site whose names mean
    /// other addresses inside has servers for them, which need not be those of the host.
    pub dns: Vec<SocketAddr>,
    /// What signatures of callers are verified with; `None` verifies none.
    pub stir: Option<StirFiles>,
    /// How the reports of Microsoft about customers' calls are read.
    pub graph: BTreeMap<TenantName, GraphAccess>,
    /// Where Microsoft tells of changes; `None` if it is only asked.
    pub notices: Option<NoticeListen>,
    /// The authority that issues certificates by itself; `None` if all are files of somebody else.
    pub acme: Option<AcmeAccount>,
    /// Who is sent every message besides; `None` nobody.
    pub hep: Option<Hep>,
    /// What the daemon takes from itself once it knows its configuration.
    pub confinement: Confinement,
    /// What has a secret that the service manager reads at the start of the daemon, as titles of findings name it: a new
    /// one counts after a restart, not after a reload.
    pub credentials: Vec<String>,
}

impl Shell {
    /// Whether the same persons may use the API in the same way and at the same places: all of `[api]`.
    pub fn has_access_of(&self, other: &Self) -> bool {
        (&self.api, &self.api_listen) == (&other.api, &other.api_listen)
            && self.api_users == other.api_users
            && self.api_clients == other.api_clients
            && self.oidc == other.oidc
            && self.is_audit_mandatory == other.is_audit_mandatory
            && self.has_four_eyes == other.has_four_eyes
            && self.media_users == other.media_users
    }
}

/// What `client_ca` says for the roots of Microsoft's certificates, which are part of the program
/// (TDR-TLS-010).
pub const MICROSOFT_ROOTS: &str = "microsoft";

/// When Microsoft announced those that this program has.
pub const MICROSOFT_ROOTS_OF: &str = "December 2025";

/// Where a TLS identity comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// PEM file with the certificate, then its intermediates.
    pub cert: String,
    /// Private key in PEM.
    pub key: Secret,
    /// PEM file with the roots that peers are verified against, in both roles, or
    /// [`MICROSOFT_ROOTS`].
    pub client_ca: Option<String>,
    /// Whether clients must present a certificate.
    pub verify_client: VerifyClient,
    /// Oldest TLS version spoken.
    pub min: TlsVersion,
    /// Whether a wildcard in a peer's certificate may stand for one label.
    pub allow_wildcard: bool,
    /// How long connections with Teams go on after the certificate that they were made with was replaced
    /// (TDR-TLS-013), if not as long as a call may ring.
    pub drain: Option<Duration>,
    /// How old a connection may be before another one takes its place; `None` lets each last.
    pub max_age: Option<Duration>,
    /// Lists of certificates of peers that were revoked; `None` looks at none.
    pub revoked: Option<RevokedFiles>,
    /// Names of the certificate that the daemon itself gets from the authority of [`Shell::acme`]; `None` if
    /// somebody else writes the files. Before the first one is issued there are none.
    pub issued_for: Option<Vec<String>>,
}

/// Where lists of revoked certificates come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokedFiles {
    /// PEM file with the lists.
    pub lists: String,
    /// PEM file with the certificates that sign them, or [`MICROSOFT_ROOTS`].
    pub issuers: String,
}

/// What signatures of callers are verified with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StirFiles {
    /// PEM file with the roots that issue credentials.
    pub roots: String,
    /// PEM file with their lists of revoked certificates.
    pub crl: Option<String>,
    /// PEM file with the certificates that sign those; the roots by default.
    pub crl_issuers: String,
    /// PEM file with the roots of the web servers that have credentials; those of the system by
    /// default.
    pub https_roots: String,
}

/// Where call records are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrSpool {
    /// Directory.
    pub directory: String,
    /// A file is closed when it has so many bytes; 64 MiB by default.
    pub rotate_bytes: u64,
    /// A file is closed at the end of each so long, counted from midnight UTC; not by default.
    pub rotate_every: Option<Duration>,
    /// Closed files are removed when they are older; never by default (OPS-062).
    pub retention: Option<Duration>,
    /// The oldest closed files are removed while all take more bytes; never by default.
    pub retention_bytes: Option<u64>,
    /// Whether each write is forced to the disk, instead of all of a second.
    pub syncs_each: bool,
    /// How often a call that goes on has an interim record after its answer; never by default (OPS-060).
    pub interim: Option<Duration>,
    /// Whether new calls are refused while records cannot be written, and the start where the directory cannot be used
    /// (OPS-060).
    pub is_mandatory: bool,
    /// Whether each pair of legs that talked to each other has a record of its own beside that of the call
    /// (SIP-811); not by default.
    pub pairs: bool,
    /// When a call has a record of its beginning, as an interim one; never by default (OPS-060).
    pub start: Option<CdrStart>,
    /// To whom records are sent besides (OPS-060); to nobody by default.
    pub ship: Option<CdrShip>,
}

/// When a call has a record of its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CdrStart {
    /// When its INVITE was taken.
    Invite,
    /// When it is answered.
    Answer,
}

/// Who is sent call records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrShip {
    /// Where they go; there is no password in it.
    pub url: String,
    /// In which way.
    pub target: CdrTarget,
    /// PEM file with the roots that the server is verified against; those of the system by default.
    pub roots: String,
    /// Most records of one request or transaction, 1 to 10,000; 500 by default.
    pub batch: usize,
}

/// In which way call records go to whoever keeps them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CdrTarget {
    /// By POST over HTTPS.
    Https {
        /// What `Authorization: Bearer` says; `None` sends no such header.
        token: Option<Secret>,
    },
    /// As rows of a table of PostgreSQL.
    Postgres(CdrTable),
}

/// A table of PostgreSQL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrTable {
    /// Name or address of the server.
    pub host: String,
    /// Its port; 5432 by default.
    pub port: u16,
    /// As whom we log in.
    pub user: String,
    /// The password for that; `None` where the server asks for none.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// Schema, if it is not the one that the server looks into first.
    pub schema: Option<String>,
    /// Table; `causeway_records` by default.
    pub table: String,
    /// Whether the connection is without TLS; by default only to this host itself.
    pub is_plain: bool,
}

impl CdrShip {
    /// The secret by which the server knows us, and its key.
    pub fn secret(&self) -> Option<(&'static str, &Secret)> {
        match &self.target {
            CdrTarget::Https { token } => Some(("token", token.as_ref()?)),
            CdrTarget::Postgres(table) => Some(("password", table.password.as_ref()?)),
        }
    }
}

impl CdrSpool {
    /// A spool of which nothing but the directory is written.
    pub fn at(directory: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            rotate_bytes: 64 << 20,
            rotate_every: None,
            retention: None,
            retention_bytes: None,
            syncs_each: false,
            interim: None,
            is_mandatory: false,
            pairs: false,
            start: None,
            ship: None,
        }
    }
}

/// Path of the API socket when none is written.
pub(super) const DEFAULT_API: &str = "/run/causeway/api.sock";

/// Where Debian, Ubuntu, Alpine and others keep the roots of the web.
pub(super) const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
