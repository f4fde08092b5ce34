//! Why there is no new certificate: who, where, why, and what to change.

use instant_acme::{Error, Problem};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why an order has come to nothing.
#[derive(Debug)]
pub enum Fault {
    /// The authority's name leads nowhere, or nobody answers there.
    Unreachable {
        /// Its host.
        host: String,
        /// What was seen.
        why: String,
    },
    /// Its web server does not prove who it is.
    NotBelieved {
        /// Its host.
        host: String,
        /// What TLS says.
        why: String,
    },
    /// What it answers is no answer.
    Broken {
        /// Its host.
        host: String,
        /// What came, or did not.
        why: String,
    },
    /// It sends us to a host that the configuration does not name.
    Elsewhere {
        /// The URL.
        url: String,
    },
    /// It refuses a request.
    Refused {
        /// Its host.
        host: String,
        /// The kind of problem, behind `urn:ietf:params:acme:error:`.
        kind: String,
        /// What it says of it.
        detail: String,
        /// How long it wants to be left alone.
        wish: Option<Duration>,
    },
    /// It has looked, and what it saw does not prove that a name is ours.
    Unproven {
        /// The name.
        name: String,
        /// `http-01` or `dns-01`.
        challenge: &'static str,
        /// What it says of it.
        detail: String,
    },
    /// It does not take the proof that is configured.
    NoChallenge {
        /// The name.
        name: String,
        /// `http-01` or `dns-01`.
        challenge: &'static str,
    },
    /// It has not decided in time.
    Slow {
        /// Its host.
        host: String,
        /// How long it wants to be left alone.
        wish: Option<Duration>,
    },
    /// The page for the authority cannot be served.
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        why: io::Error,
    },
    /// The program that makes DNS records has failed.
    Hook {
        /// Its path.
        hook: String,
        /// What it said.
        why: String,
    },
    /// A file of ours.
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
    /// A file that the configuration names, or a secret.
    Setting {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// What was issued is not what was asked for.
    Unusable {
        /// What is wrong.
        why: String,
    },
    /// Proxies of Teams end the handshake when the new certificate is shown to them.
    RefusedByTeams,
    /// No proxy of Teams answers, neither by the new certificate nor by the one in use.
    Unanswered,
    /// The identity was taken out of the configuration meanwhile.
    Gone,
}

impl Fault {
    /// What the library met on the way to this host.
    pub(super) fn of(error: Error, host: &str, wish: Option<Duration>) -> Self {
        let host = host.to_owned();
        match error {
            Error::Api(problem) => {
                let (kind, detail) = said(&problem);
                Self::Refused {
                    host,
                    kind,
                    detail,
                    wish,
                }
            }
            Error::Timeout(_) => Self::Slow { host, wish },
            Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Broken {
                    host,
                    why: other.to_string(),
                },
            },
            other => Self::Broken {
                host,
                why: other.to_string(),
            },
        }
    }

    /// How long the authority wants to be left alone.
    pub fn wish(&self) -> Option<Duration> {
        match self {
            Self::Refused { wish, .. } | Self::Slow { wish, .. } => *wish,
            _ => None,
        }
    }

    /// Label value of metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::NotBelieved { .. } => "unreachable",
            Self::Broken { .. } | Self::Elsewhere { .. } => "broken",
            Self::Refused { .. } => "refused",
            Self::Unproven { .. } | Self::NoChallenge { .. } => "unproven",
            Self::Slow { .. } => "slow",
            Self::Listen { .. } | Self::Hook { .. } | Self::File { .. } | Self::Setting { .. } => {
                "local"
            }
            Self::Unusable { .. } => "unusable",
            Self::RefusedByTeams => "refused_by_teams",
            Self::Unanswered => "unanswered",
            Self::Gone => "gone",
        }
    }

    /// Whether the order is of no use any more. One that was only held up goes on: orders are counted.
    pub(super) fn ends_the_order(&self) -> bool {
        match self {
            Self::Refused { wish, .. } => wish.is_none(),
            Self::Unproven { .. } | Self::NoChallenge { .. } | Self::Unusable { .. } => true,
            Self::RefusedByTeams | Self::Unanswered | Self::Gone => true,
            Self::Unreachable { .. } | Self::NotBelieved { .. } | Self::Broken { .. } => false,
            Self::Elsewhere { .. } | Self::Slow { .. } | Self::Listen { .. } => false,
            Self::Hook { .. } | Self::File { .. } | Self::Setting { .. } => false,
        }
    }

    /// Whether the account is not known any more, so that another one has to be made.
    pub(super) fn is_account_gone(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "accountDoesNotExist")
    }

    /// What to change.
    fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "look at directory in [acme], at DNS, and whether a firewall lets HTTPS out"
            }
            Self::NotBelieved { .. } => {
                "look at https_roots in [acme]: a private authority needs its own root there"
            }
            Self::Broken { .. } => {
                "look whether directory in [acme] is that of an authority for RFC 8555, and at what is between it and us"
            }
            Self::Elsewhere { .. } => "only the host of directory in [acme] is asked",
            Self::Refused { kind, wish, .. } => match (kind.as_str(), wish) {
                ("rateLimited", _) | (_, Some(_)) => {
                    "nothing to change; it is asked again when it allows"
                }
                ("externalAccountRequired", _) => {
                    "write external_account in [acme], with what the authority's portal shows"
                }
                ("caa", _) => "let the CAA records of the name allow this authority",
                ("rejectedIdentifier" | "unsupportedIdentifier", _) => {
                    "look at names of the [[tls]]: the authority issues for public names only"
                }
                ("invalidContact" | "unsupportedContact", _) => "look at contact in [acme]",
                ("userActionRequired", _) => "open the page that it names, and agree there",
                ("unauthorized", _) => {
                    "look at external_account in [acme], and whether the authority has closed the account"
                }
                _ => "what it says tells what to change",
            },
            Self::Unproven { challenge, .. } | Self::NoChallenge { challenge, .. } => {
                match *challenge {
                    "http-01" => {
                        "let port 80 of the name lead to listen in [acme], over every address that DNS has for it, or use dns-01"
                    }
                    _ => {
                        "look whether the hook of [acme] ends only when the record is seen by everybody"
                    }
                }
            }
            Self::Slow { .. } => "nothing to change; it is asked again",
            Self::Listen { why, .. } => match why.kind() {
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need a privilege: give the service CAP_NET_BIND_SERVICE \
                     (AmbientCapabilities and CapabilityBoundingSet), or write another port and lead port 80 to it"
                }
                io::ErrorKind::AddrInUse => {
                    "another program has it (see ss -lnp): write another port in listen of [acme], and have that program pass /.well-known/acme-challenge/ on"
                }
                _ => "look at listen in [acme]",
            },
            Self::Hook { .. } => "run it by hand as the user of the daemon: PROGRAM add NAME VALUE",
            Self::File { .. } => {
                "give the folder of [acme] to the user of the daemon, and room on its disk"
            }
            Self::Setting { .. } => "correct it and reload",
            Self::Unusable { .. } => "ask the authority; the one before stays in use",
            Self::RefusedByTeams => {
                "the one before stays in use; choose an authority of Microsoft's root programme, whose whole chain is issued"
            }
            Self::Unanswered => {
                "nothing to change: the one before stays in use, and the new one, which is kept, is tried again as soon as \
                 Teams answers OPTIONS with 200; on the last day of the one before it is used without an answer"
            }
            Self::Gone => "nothing to change",
        }
    }
}

/// Kind and text of a problem, and of those that are parts of it.
pub(super) fn said(problem: &Problem) -> (String, String) {
    let kind = problem.r#type.as_deref().unwrap_or("unknown");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    let mut detail = problem.detail.clone().unwrap_or_default();
    for part in problem.subproblems.iter().take(5) {
        if let Some(text) = &part.detail {
            detail.push_str("; ");
            detail.push_str(text);
        }
    }
    (shown(kind), shown(&detail))
}

/// What an authority says is text from outside: one line, and not a long one.
fn shown(text: &str) -> String {
    let plain = text.chars().map(sbc_core::display::shown);
    plain.take(300).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { host, why } => {
                write!(f, "the authority at {host} is not reached: {why}")
            }
            Self::NotBelieved { host, why } => {
                write!(f, "the server at {host} does not prove who it is: {why}")
            }
            Self::Broken { host, why } => write!(
                f,
                "the authority at {host} does not answer as it should: {why}"
            ),
            Self::Elsewhere { url } => write!(f, "the authority sends us to {url}"),
            Self::Refused {
                host,
                kind,
                detail,
                wish,
            } => {
                write!(f, "the authority at {host} refuses ({kind}): {detail}")?;
                match wish {
                    Some(wish) => write!(f, "; it wants to be left alone for {} s", wish.as_secs()),
                    None => Ok(()),
                }
            }
            Self::Unproven {
                name,
                challenge,
                detail,
            } => {
                write!(
                    f,
                    "the authority does not see by {challenge} that {name} is ours: {detail}"
                )
            }
            Self::NoChallenge { name, challenge } => {
                write!(f, "the authority takes no {challenge} for {name}")
            }
            Self::Slow { host, .. } => write!(f, "the authority at {host} has not decided in time"),
            Self::Listen { address, why } => write!(
                f,
                "the page of http-01 cannot be served at {address}: {why}"
            ),
            Self::Hook { hook, why } => write!(f, "{hook}: {why}"),
            Self::File { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Setting { what, why } => write!(f, "{what} of [acme]: {why}"),
            Self::Unusable { why } => write!(f, "what was issued cannot be used: {why}"),
            Self::RefusedByTeams => f.write_str("Teams refuses the new certificate"),
            Self::Unanswered => f.write_str(
                "Teams answers neither the new certificate nor the one in use, so the new one is not in use yet",
            ),
            Self::Gone => f.write_str("the configuration does not want it any more"),
        }?;
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for Fault {}
