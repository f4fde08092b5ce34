//! Why reports of Microsoft cannot be read, with what to do about it (TDG-ENT-005).

use super::reach::Reply;
use crate::command::exit;
use sbc_core::config::{GraphAccess, GraphProof};
use sbc_core::display::shown;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// The permission that reads these reports and nothing else (TDG-ENT-006).
pub const PERMISSION: &str = "CallRecord-PstnCalls.Read.All";
/// The permission that reads presence.
pub const READ_PRESENCE: &str = "Presence.Read.All";
/// The permission that sets it, which reads it too.
pub const SET_PRESENCE: &str = "Presence.ReadWrite.All";
/// Difference of clocks at which proofs are refused, seconds.
const CLOCK_S: i64 = 300;

/// Why reports cannot be read.
#[derive(Debug)]
pub enum GraphFault {
    /// The name has no address.
    Unknown {
        /// Host.
        host: &'static str,
    },
    /// Nobody takes the connection.
    Unreachable {
        /// Host.
        host: &'static str,
        /// What the system said of the last address.
        why: String,
    },
    /// Its certificate is not believed.
    NotBelieved {
        /// Host.
        host: &'static str,
        /// What the library said.
        why: String,
    },
    /// The connection broke.
    Broken {
        /// Host.
        host: &'static str,
        /// What the library said.
        why: String,
    },
    /// No whole answer came in time.
    Silent {
        /// Host.
        host: &'static str,
        /// After so long.
        after: Duration,
    },
    /// It is too busy for too long.
    Busy {
        /// Host.
        host: &'static str,
        /// Its last status.
        status: u16,
        /// For how long it wants to be left alone.
        wait: Duration,
    },
    /// The answer is larger than any page.
    TooLarge {
        /// Host.
        host: &'static str,
    },
    /// What came is not what is documented.
    Unreadable {
        /// Host.
        host: &'static str,
    },
    /// The next page should be fetched from somebody else, with our token.
    ForeignLink {
        /// The only host that may be asked.
        host: &'static str,
        /// Where the link leads.
        link: String,
    },
    /// Pages follow each other without end.
    Endless {
        /// Of this day.
        day: String,
    },
    /// There are more calls than fit.
    TooManyRows(usize),
    /// The application's own proof cannot be read.
    Proof {
        /// Which.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Microsoft said no.
    Refused(Box<Refusal>),
}

/// A refusal of Microsoft.
#[derive(Debug)]
pub struct Refusal {
    host: &'static str,
    status: u16,
    /// `AADSTS7000215`, or the code of Graph.
    code: String,
    said: String,
    request_id: Option<String>,
    advice: String,
}

impl GraphFault {
    /// With what status Microsoft refuses, if that is what it does.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Exit code of a command that fails with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Silent { .. }
            | Self::Busy { .. } => exit::UNREACHABLE,
            Self::TooManyRows(_) => exit::USAGE,
            Self::Proof { .. } => exit::INVALID,
            Self::NotBelieved { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::ForeignLink { .. }
            | Self::Endless { .. }
            | Self::Refused(_) => exit::REFUSED,
        }
    }
}

impl GraphFault {
    /// In one word, for figures.
    pub fn result(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Refused(_) | Self::Proof { .. } => "refused",
            Self::Unknown { .. }
            | Self::Unreachable { .. }
            | Self::NotBelieved { .. }
            | Self::Broken { .. }
            | Self::Silent { .. } => "unreachable",
            Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::ForeignLink { .. }
            | Self::Endless { .. }
            | Self::TooManyRows(_) => "unusable",
        }
    }
}

impl fmt::Display for GraphFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { host } => write!(
                f,
                "{host} has no address here; look at [dns] of the configuration, or at /etc/resolv.conf of \
                 this host if there is none"
            ),
            Self::Unreachable { host, why } => write!(
                f,
                "{host} cannot be reached ({why}); this host must be let out to TCP port 443"
            ),
            Self::NotBelieved { host, why } => write!(
                f,
                "the certificate of {host} is not believed ({}); if a firewall looks into TLS here, \
                 name its root with --roots, and otherwise somebody is in between",
                plain(why)
            ),
            Self::Broken { host, why } => {
                write!(f, "the connection with {host} broke: {}", plain(why))
            }
            Self::Silent { host, after } => {
                write!(f, "{host} did not answer within {} s", after.as_secs())
            }
            Self::Busy { host, status, wait } => write!(
                f,
                "{host} is busy ({status}) and wants to be left alone for {} s; try again later",
                wait.as_secs()
            ),
            Self::TooLarge { host } => write!(f, "an answer of {host} is larger than any page is"),
            Self::Unreadable { host } => write!(
                f,
                "what {host} answered is not what is documented; is a proxy in between?"
            ),
            Self::ForeignLink { host, link } => write!(
                f,
                "the link to the next page leads to \"{}\" and not to {host}; the token was not sent there",
                plain(link)
            ),
            Self::Endless { day } => write!(f, "the pages of {day} do not come to an end"),
            Self::TooManyRows(most) => {
                write!(f, "there are more than {most} calls; ask for fewer days")
            }
            Self::Proof { what, why } => {
                write!(f, "the {what} of the application cannot be used: {why}")
            }
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for GraphFault {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, status) = (self.host, self.status);
        write!(f, "{host} refuses ({status}")?;
        if !self.code.is_empty() {
            write!(f, ", {}", plain(&self.code))?;
        }
        write!(f, "): {}", plain(&self.said))?;
        if let Some(id) = &self.request_id {
            write!(f, "; its request-id is {}", plain(id))?;
        }
        match self.advice.as_str() {
            "" => Ok(()),
            advice => write!(f, "\nto do: {advice}"),
        }
    }
}

impl Refusal {
    /// Whether it is about what was asked for, and another question may be answered.
    pub(super) fn is_about_one(&self) -> bool {
        matches!(self.status, 400 | 404)
    }

    /// A refusal of a token; the clock of Microsoft may be ahead of ours.
    pub(super) fn of_login(access: &GraphAccess, reply: &Reply, clock: Option<i64>) -> Self {
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let error = answer["error"].as_str().unwrap_or_default();
        let told = answer["error_description"].as_str().unwrap_or(error);
        // The first sentence; trace identifiers and times follow.
        let said = told.split(['\r', '\n']).next().unwrap_or_default();
        let said = said.split(" Trace ID").next().unwrap_or_default();
        let code = aadsts(told);
        let advice = match &code {
            Some(code) => of_code(access, code),
            None => String::new(),
        };
        let off = clock.filter(|ahead| ahead.abs() >= CLOCK_S);
        let advice = match off {
            Some(ahead) => format!(
                "the clock of this host is {} s {}; set it (timedatectl), then try again",
                ahead.abs(),
                if ahead > 0 { "behind" } else { "ahead" }
            ),
            None => advice,
        };
        Self {
            host: access.cloud.login(),
            status: reply.status.as_u16(),
            code: code.unwrap_or_else(|| error.to_owned()),
            said: said.chars().take(300).collect(),
            request_id: reply.request_id.clone(),
            advice,
        }
    }

    /// A refusal of something about presence, for which the application has this permission or lacks it.
    pub(super) fn of_presence(
        access: &GraphAccess,
        reply: &Reply,
        permission: &'static str,
    ) -> Self {
        let advice = match reply.status.as_u16() {
            401 | 403 => granted(access, permission),
            404 => {
                "a user of users is not in the directory, or not for this application: compare the \
                    object ids with Entra"
                    .to_owned()
            }
            _ => String::new(),
        };
        Self {
            advice,
            ..Self::of_graph(access, reply)
        }
    }

    /// A refusal of rows.
    pub(super) fn of_graph(access: &GraphAccess, reply: &Reply) -> Self {
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |name: &str| answer["error"][name].as_str().unwrap_or_default();
        let advice = match reply.status.as_u16() {
            403 => granted(access, PERMISSION),
            401 => format!("the token was not taken; {}", granted(access, PERMISSION)),
            400 => "Microsoft keeps these rows for a limited time: ask for later days".to_owned(),
            404 => "getDirectRoutingCalls is documented for the worldwide cloud only".to_owned(),
            _ => String::new(),
        };
        Self {
            host: access.cloud.graph(),
            status: reply.status.as_u16(),
            code: text("code").to_owned(),
            said: text("message").chars().take(300).collect(),
            request_id: reply.request_id.clone(),
            advice,
        }
    }
}

/// How the permission is given.
fn granted(access: &GraphAccess, permission: &str) -> String {
    format!(
        "in Entra, open App registrations, the application {}, API permissions: add the application \
         permission {permission} of Microsoft Graph; an administrator of the directory consents at {}; it may take \
         some minutes until a token has it",
        access.client_id,
        consent(access)
    )
}

/// Where an administrator of the customer's directory consents to what the application may do (TDG-ENT-002).
pub fn consent(access: &GraphAccess) -> String {
    let (host, directory) = (access.cloud.login(), &access.tenant_id);
    format!(
        "https://{host}/{directory}/adminconsent?client_id={}",
        access.client_id
    )
}

/// `AADSTS` and digits.
fn aadsts(text: &str) -> Option<String> {
    let rest = &text[text.find("AADSTS")?..];
    let digits = rest[6..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| rest[..6 + digits].to_owned())
}

/// What to do about a code of Entra.
fn of_code(access: &GraphAccess, code: &str) -> String {
    let proof = match access.proof {
        GraphProof::Secret(_) => "secret",
        GraphProof::Certificate { .. } => "certificate",
        GraphProof::Federated(_) => "assertion of the federated credential",
    };
    let (application, directory) = (&access.client_id, &access.tenant_id);
    match code {
        "AADSTS7000215" => "write the value of the client secret, not its ID: it is shown only once, \
                            when it is made; make a new one if it is lost"
            .to_owned(),
        "AADSTS7000222" => "the client secret has expired: make a new one, or better register a certificate"
            .to_owned(),
        "AADSTS700016" => format!(
            "there is no application {application} in the directory {directory}: compare client_id and \
             tenant_id with the overview of the app registration"
        ),
        "AADSTS90002" | "AADSTS900023" | "AADSTS900021" => format!(
            "there is no directory {directory} in this cloud: compare tenant_id with \"Directory (tenant) \
             ID\", and cloud of the tenant's trunks with where it is"
        ),
        "AADSTS700027" => format!(
            "the certificate of the configuration is not among those of the application {application}: \
             upload it under Certificates & secrets, or write the one that is there"
        ),
        "AADSTS70021" | "AADSTS700211" | "AADSTS700212" | "AADSTS700213" => format!(
            "no federated credential of the application {application} fits the assertion: compare its issuer, subject \
             and audience under Certificates & secrets with iss, sub and aud of the assertion"
        ),
        "AADSTS700024" | "AADSTS700021" | "AADSTS700023" => {
            "the time of the assertion is not believed: look at the clock of this host (timedatectl)"
                .to_owned()
        }
        "AADSTS7000112" => format!("the application {application} is disabled: enable it in Entra"),
        "AADSTS53003" | "AADSTS530034" => format!(
            "a rule of conditional access keeps the application {application} out: exempt it, or let the \
             address of this host in"
        ),
        "AADSTS65001" | "AADSTS650051" | "AADSTS1003031" => granted(access, PERMISSION),
        _ => format!("look for {code} at https://login.microsoftonline.com/error; the {proof} was sent"),
    }
}

/// Text of others on one line; it must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_entra_are_found_in_what_it_says() {
        assert_eq!(
            aadsts("AADSTS7000215: Invalid client secret provided.").as_deref(),
            Some("AADSTS7000215")
        );
        assert_eq!(aadsts("x AADSTS50 y").as_deref(), Some("AADSTS50"));
        for text in ["AADSTS", "AADSTSx1", "", "aadsts50"] {
            assert_eq!(aadsts(text), None, "{text}");
        }
    }
}
