//! Who asks, what they may do, and the entry in the audit log for what they have done (SEC-150, SEC-151, SEC-154).

use super::routes::Method;
use super::{Access, Problem};
use crate::sink::audit::Deed;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Right {
    /// To look.
    Read,
    /// To end calls and to drain.
    Calls,
    /// To take configurations into use.
    Configure,
    /// To see who did what.
    Audit,
}

impl Right {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Calls => "calls",
            Self::Configure => "configure",
            Self::Audit => "audit",
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Who {
    /// Such as `root (uid 0)`.
    name: String,
    /// Where they are.
    source: String,
    /// What they may do; whoever may open the socket may do everything.
    rights: &'static [Right],
}

const EVERYTHING: &[Right] = &[Right::Read, Right::Calls, Right::Configure, Right::Audit];

impl Connected<IncomingStream<'_, UnixListener>> for Who {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let (name, source) = match stream.io().peer_cred() {
            Ok(peer) => {
                let process = peer
                    .pid()
                    .map_or_else(String::new, |pid| format!(", process {pid}"));
                (user(peer.uid()), format!("this host{process}"))
            }
            Err(_) => ("unknown".to_owned(), "this host".to_owned()),
        };
        Self {
            name,
            source,
            rights: EVERYTHING,
        }
    }
}

/// A user's name, as far as the system's own file tells it.
fn user(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    match name {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}

/// Lets through who may; and writes down what was changed, before it is answered.
pub(super) async fn guard(
    State((right, method, access)): State<(Right, Method, Access)>,
    ConnectInfo(who): ConnectInfo<Who>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let may = who.rights.contains(&right);
    if method == Method::Get && may {
        return next.run(request).await;
    }
    let is_change = right != Right::Read;
    let audit = access
        .daemon()
        .ok()
        .and_then(|daemon| daemon.sinks().audit.clone());
    let response = match may {
        true => next.run(request).await,
        false => {
            let why = format!(
                "{} may not do this: it needs the right to {}",
                who.name,
                right.as_str()
            );
            Problem::new(StatusCode::FORBIDDEN, why).into_response()
        }
    };
    if let Some(audit) = audit.filter(|_| is_change) {
        let status = response.status().as_u16();
        audit
            .write(Deed {
                who: who.name,
                source: who.source,
                what: format!("{} {path}", method.as_str()),
                status,
            })
            .await;
    }
    response
}
