//! Media bypass of a trunk: where it cannot work, and what goes with it.

use super::Load;
use crate::config::finding::Code;
use crate::config::transfer::Refer;
use crate::config::written::WrittenTrunk;
use crate::config::{Preset, Realm, TransferPolicy};
use crate::media::{Ice, Profile};
use crate::transport::nat::is_inside;
use media_api::Family;

impl Load<'_> {
    /// Has the trunk speak ICE where it says so, and says what stands in the way (TDR-ICE-001,
    /// TDR-ICE-002).
    pub(super) fn bypass(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        preset: Preset,
        realm: &Realm,
        profile: &mut Profile,
    ) {
        let Some(at) = written.media_bypass.as_ref().filter(|at| at.value) else {
            return;
        };
        profile.ice = Ice::Bypass;
        let mut add = |code, cause: String, help: &str| {
            let cause = format!("{title}: {cause}");
            self.out.add(code, &at.span, cause, Some(help.to_owned()));
        };
        if preset != Preset::Teams {
            add(
                Code::Contradiction,
                "media bypass is a way of Teams".to_owned(),
                "remove the key, or write preset = \"teams\"",
            );
        }
        if profile.family == Family::V6 {
            add(
                Code::TeamsRule,
                "media bypass needs IPv4, and this trunk's media is IPv6".to_owned(),
                "give the realm an IPv4 address and the trunk family = \"v4\", or remove the key",
            );
        }
        let local = realm.of(Family::V4);
        if let Some(candidate) = local.map(|local| realm.advertised(local))
            // Whoever plays on one host knows.
            && is_inside(candidate) && !candidate.is_loopback()
        {
            add(
                Code::PrivateCandidate,
                format!("Teams clients are to send their media to {candidate}, which is private"),
                "behind 1:1 NAT write advertise = { v4 = \"…\" } in the realm; clients must reach it",
            );
        }
    }

    /// Teams transfers calls of a bypass trunk by REFER alone (TDR-XFR-001).
    pub(super) fn bypass_transfers(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        transfers: &TransferPolicy,
    ) {
        if let Some(at) = written.media_bypass.as_ref().filter(|at| at.value)
            && transfers.refer == Refer::Refuse
        {
            self.out.add(
                Code::BypassWithoutRefer,
                &at.span,
                format!("{title}: with media bypass Teams transfers by REFER, which is refused"),
                Some("remove refer = \"refuse\", or nobody can transfer calls".to_owned()),
            );
        }
    }
}
