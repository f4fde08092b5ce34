//! Which address Teams is told for the media of a user: our internal or external one, or that of an SBC behind us
//! (TDR-LMO-010).
//!
//! Teams names the SBCs of the path, the first of which faces the client, and says whether the user is
//! inside. The address is of the first SBC; the internal one for who is inside, and then nothing else,
//! because it has no way around (TDR-LMO-011). Where the first SBC is the one behind us, media go past us. Whatever is not understood gets no internal address.

use super::Refusal;
use crate::cause::{Because, CauseCode};
use crate::config::{LocalMedia, Trunk};
use crate::media::Profile;
use crate::sip::header::{Header, MediaPath, UserLocation, UserSite};
use crate::sip::{HeaderName, Message, ParseFault, Status};
use crate::trouble::Trouble;
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;

/// Where our media is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// At the address inside the company.
    Internal,
    /// At the address that everybody reaches.
    External,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Internal => Self::External,
            Self::External => Self::Internal,
        }
    }
}

/// Whose address users are told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Faced {
    /// Ours.
    Us,
    /// That of the SBC behind us: media go past us.
    Downstream,
}

/// What Teams said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Told {
    /// X-MS-UserLocation.
    pub location: Option<&'static str>,
    /// X-MS-MediaPath.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// X-MS-UserSite.
    pub site: Option<String>,
}

/// A decision, as the record keeps it (TDR-LMO-024).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Choice {
    /// What it was made from.
    #[serde(flatten)]
    pub told: Told,
    /// Where media are.
    pub side: Side,
    /// Whose address it is.
    pub faced: Faced,
    /// Why.
    pub rule: String,
}

/// Most SBCs of a path: a proxy, and the one behind it.
const LONGEST_PATH: usize = 2;

impl Choice {
    /// Nobody knows yet where the user is: it is taken to be inside (TDR-LMO-020).
    pub fn guess() -> Self {
        Self {
            told: Told::default(),
            side: Side::Internal,
            faced: Faced::Us,
            rule: "where the user is shows in the answer: the guess is inside".to_owned(),
        }
    }

    /// As [`Self::guess`], for a call of the SBC behind us, which faces who is inside.
    pub fn guess_behind(target: &str) -> Self {
        Self {
            faced: Faced::Downstream,
            rule: format!(
                "where the user is shows in the answer: the guess is inside, at {target}"
            ),
            ..Self::guess()
        }
    }

    /// The same where media cannot go past us, for this reason.
    #[must_use]
    pub fn at_us(self, because: &str) -> Self {
        match self.faced {
            Faced::Us => self,
            Faced::Downstream => Self {
                faced: Faced::Us,
                rule: format!("{}; {because}: the address is ours", self.rule),
                ..self
            },
        }
    }

    /// The address, in words.
    pub const fn address(&self) -> &'static str {
        match (self.faced, self.side) {
            (Faced::Downstream, _) => "address of the SBC behind us",
            (Faced::Us, Side::Internal) => "internal address",
            (Faced::Us, Side::External) => "external address",
        }
    }

    /// Where nothing is said of a path, media bypass is as it is without local media.
    pub fn usual() -> Self {
        Self::external(
            "Teams names no path: the external address, as with any media bypass".to_owned(),
        )
    }

    /// What everybody reaches, for this reason.
    pub fn external(rule: String) -> Self {
        Self {
            told: Told::default(),
            side: Side::External,
            faced: Faced::Us,
            rule,
        }
    }
}

/// The media policy of a trunk on one side.
pub fn profile_on(trunk: &Trunk, side: Side) -> &Arc<Profile> {
    match (&trunk.local_media, side) {
        (Some(local), Side::Internal) => &local.internal,
        (Some(_), Side::External) | (None, _) => &trunk.media.profile,
    }
}

/// What a message of Teams decides; `None` where it says nothing of a path.
pub fn decide(trunk: &Trunk, message: &Message) -> Option<Result<Choice, Refusal>> {
    let local = trunk.local_media.as_ref()?;
    let path = match path_of(message) {
        Ok(path) if path.is_empty() => return None,
        Ok(path) => path,
        Err(fault) => {
            return Some(Err(refusal(format!(
                "X-MS-MediaPath is unreadable: {fault}"
            ))));
        }
    };
    Some(on(trunk, local, message, &path))
}

/// The SBCs that a message names; what stands between two commas and is blank names none (TDR-LMO-001).
fn path_of(message: &Message) -> Result<Vec<MediaPath>, ParseFault> {
    let lines = message.raw_all(HeaderName::MediaPath);
    let members = lines.flat_map(|line| {
        let members = line.split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
        let members = members.filter(|member| !member.is_empty());
        members.map(Bytes::copy_from_slice).collect::<Vec<_>>()
    });
    members.map(|member| MediaPath::parse(&member)).collect()
}

fn on(
    trunk: &Trunk,
    local: &LocalMedia,
    message: &Message,
    path: &[MediaPath],
) -> Result<Choice, Refusal> {
    let target = trunk.fqdn.as_deref().unwrap_or_default();
    let proxy = local.proxy.as_deref();
    let is_known =
        |own: &MediaPath| own.0.is_name(target) || proxy.is_some_and(|p| own.0.is_name(p));
    let names: Vec<String> = path.iter().map(|own| own.0.to_string()).collect();
    if let Some(stranger) = path.iter().find(|own| !is_known(own)) {
        let known = proxy.map_or(target.to_owned(), |proxy| format!("{proxy} and {target}"));
        return Err(refusal(format!(
            "X-MS-MediaPath names {}, and trunk \"{}\" knows {known}: compare fqdn and local_media.proxy \
             with Fqdn and ProxySbc in Teams",
            stranger.0, trunk.name
        )));
    }
    let is_target = |own: &MediaPath| own.0.is_name(target);
    if !path.last().is_some_and(is_target) || path.len() > LONGEST_PATH {
        return Err(refusal(format!(
            "X-MS-MediaPath is {}, which does not lead to {target}",
            names.join(", ")
        )));
    }
    // A location that is missing or no known word is none of an insider.
    let location = message.get::<UserLocation>().ok().flatten();
    let site: Option<UserSite> = message.get().ok().flatten();
    let site = site.map(|site| site.as_str().to_owned());
    let side = match location {
        Some(UserLocation::Internal) => Side::Internal,
        Some(UserLocation::External) | None => Side::External,
    };
    let user = match (location, side) {
        (None, _) => "the user is not known to be inside",
        (Some(_), Side::Internal) => "the user is inside",
        (Some(_), Side::External) => "the user is outside",
    };
    let is_alone = path.first().is_some_and(is_target);
    // Only inside is the SBC behind us reached without us.
    let faced = match (is_alone, &local.downstream, side) {
        (true, Some(_), Side::Internal) => Faced::Downstream,
        (true, Some(_), Side::External) | (true, None, _) | (false, _, _) => Faced::Us,
    };
    let faces = match (is_alone, proxy, faced) {
        (_, _, Faced::Downstream) => format!("{target} faces it and media go past us"),
        (false, _, _) => "we face it as the proxy".to_owned(),
        (true, None, _) => "we face it".to_owned(),
        (true, Some(proxy), _) => {
            format!("{target} should face it, and {proxy} does in its place")
        }
    };
    let differs = site
        .as_deref()
        .zip(local.site.as_deref())
        .filter(|(user, own)| user != own && user.eq_ignore_ascii_case(own));
    let differs =
        differs.map(|(user, own)| format!("; its site \"{user}\" is not \"{own}\": case matters"));
    Ok(Choice {
        rule: format!("{user}, {faces}{}", differs.unwrap_or_default()),
        side,
        faced,
        told: Told {
            location: location.map(UserLocation::as_str),
            path: names,
            site,
        },
    })
}

/// No address of ours is told, least of all an internal one.
fn refusal(because: String) -> Refusal {
    Refusal {
        status: Status::NOT_ACCEPTABLE_HERE,
        cause: CauseCode::MediaIncompatible,
        because: Because::of(because).named(Trouble::MediaPath),
    }
}
