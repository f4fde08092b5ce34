//! Clouds of Microsoft that Teams is served from: where each is, and what it asks of an SBC (TDR-CON-001,
//! TDR-CON-004, TDR-CON-005).
//!
//! | cloud     | names | from                         | our port | our certificate is of |
//! |-----------|-------|------------------------------|----------|-----------------------|
//! | worldwide | three | 52.112.0.0/14, 52.120.0.0/14 | any      | a public CA           |
//! | gcc-high  | one   | 52.127.88.0/21               | 5061     | two roots of DigiCert |
//! | dod       | one   | 52.127.64.0/21               | 5061     | two roots of DigiCert |

use super::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// A cloud.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Cloud {
    /// The commercial one, and GCC.
    #[default]
    Worldwide,
    /// Of the government of the United States.
    GccHigh,
    /// Of their Department of Defense.
    Dod,
}

/// What the operator calls them.
pub(super) const WORDS: [(&str, Cloud); 3] = [
    ("worldwide", Cloud::Worldwide),
    ("gcc-high", Cloud::GccHigh),
    ("dod", Cloud::Dod),
];

impl Cloud {
    /// What the operator calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worldwide => "worldwide",
            Self::GccHigh => "gcc-high",
            Self::Dod => "dod",
        }
    }

    /// Names of the service in the order in which they must be tried. Where there is one there is no
    /// second to go on to.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Worldwide => &[
                "sip.pstnhub.microsoft.com",
                "sip2.pstnhub.microsoft.com",
                "sip3.pstnhub.microsoft.com",
            ],
            Self::GccHigh => &["sip.pstnhub.gov.teams.microsoft.us"],
            Self::Dod => &["sip.pstnhub.dod.teams.microsoft.us"],
        }
    }

    /// Where its reports are asked for (TDG-CDR-001).
    pub const fn graph(self) -> &'static str {
        match self {
            Self::Worldwide => "graph.microsoft.com",
            Self::GccHigh => "graph.microsoft.us",
            Self::Dod => "dod-graph.microsoft.us",
        }
    }

    /// Where applications that ask for them sign in (TDG-ENT-001).
    pub const fn login(self) -> &'static str {
        match self {
            Self::Worldwide => "login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "login.microsoftonline.us",
        }
    }

    /// Port of the service.
    pub const PORT: u16 = 5061;

    /// From where requests come: those of a running call from any address, on a connection of their own
    /// (TDR-CON-003).
    pub fn ranges(self) -> Vec<IpNet> {
        let range = |b, c, prefix| IpNet {
            address: IpAddr::V4(Ipv4Addr::new(52, b, c, 0)),
            prefix,
        };
        match self {
            Self::Worldwide => vec![range(112, 0, 14), range(120, 0, 14)],
            Self::GccHigh => vec![range(127, 88, 21)],
            Self::Dod => vec![range(127, 64, 21)],
        }
    }

    /// The one port at which it calls SBCs; `None` calls them at whatever port the trunk says.
    pub const fn port_of_ours(self) -> Option<u16> {
        match self {
            Self::Worldwide => None,
            Self::GccHigh | Self::Dod => Some(5061),
        }
    }

    /// Roots that our certificate must lead to; `None` takes any public CA of Microsoft's programme
    /// (TDR-TLS-005).
    pub const fn roots_of_ours(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Worldwide => None,
            Self::GccHigh | Self::Dod => Some(&[
                "DigiCert Global Root CA",
                "DigiCert High Assurance EV Root CA",
            ]),
        }
    }

    /// Names at which certificates of coming authorities can be tried, OPTIONS only (TDR-TLS-014).
    pub const fn test_names(self) -> &'static [&'static str] {
        match self {
            Self::Worldwide => &[
                "sip.mspki.pstnhub.microsoft.com",
                "sip.g1.pstnhub.microsoft.com",
            ],
            Self::GccHigh => &["x.sip.pstnhub.infra.gov.teams.microsoft.us"],
            Self::Dod => &["x.sip.pstnhub.infra.dod.teams.microsoft.us"],
        }
    }
}
