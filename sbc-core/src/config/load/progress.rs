//! Progress of a trunk's calls: what the operator wrote, and what contradicts it.

use super::Load;
use crate::config::finding::Code;
use crate::config::progress::{LateOffer, ProgressPolicy, Rel100, WrittenProgress};
use crate::config::source::At;
use crate::config::{EarlyMedia, Preset};
use crate::sip::Method;
use std::time::Duration;

impl Load<'_> {
    pub(super) fn progress(
        &mut self,
        title: &str,
        written: &WrittenProgress,
        preset: Preset,
    ) -> ProgressPolicy {
        let usual = ProgressPolicy::default();
        let rel100 = match preset {
            Preset::Carrier => chosen(&written.rel100, usual.rel100),
            Preset::Teams => Rel100::Never,
        };
        let policy = ProgressPolicy {
            rel100,
            reliable_sdp: chosen(&written.reliable_sdp, usual.reliable_sdp),
            sdp_relax: chosen(&written.sdp_relax, usual.sdp_relax),
            late_offer: match preset {
                Preset::Carrier => chosen(&written.late_offer, usual.late_offer),
                Preset::Teams => LateOffer::Convert,
            },
            early_media: chosen(&written.early_media, usual.early_media),
            ringing: chosen(&written.ringing, usual.ringing),
            early_media_max: self.bounded(
                &format!("{title}: early_media_max"),
                &written.early_media_max,
                Duration::from_secs(5)..=Duration::from_secs(600),
                usual.early_media_max,
            ),
            ringback: chosen(&written.ringback, usual.ringback),
        };
        if preset == Preset::Teams {
            self.no_extras_for_teams(title, written);
        }
        if let Some(at) = &written.reliable_sdp
            && at.value
            && rel100 == Rel100::Never
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: reliable_sdp has no effect without reliable provisionals"),
                Some("write rel100 = \"auto\", or remove the key".to_owned()),
            );
        }
        if let Some(at) = &written.early_media_max
            && policy.early_media == EarlyMedia::Block
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: early media are blocked, so no time limits them"),
                Some("remove early_media_max, or write early_media = \"pass\"".to_owned()),
            );
        }
        policy
    }

    /// Teams knows neither PRACK nor calls without an offer (TDR-SIP-002, TDR-SIP-004).
    fn no_extras_for_teams(&mut self, title: &str, written: &WrittenProgress) {
        let rel100 = written.rel100.as_ref();
        let rel100 = rel100.filter(|at| at.value != Rel100::Never);
        let late = written.late_offer.as_ref();
        let late = late.filter(|at| at.value == LateOffer::Pass);
        let faults = [
            rel100.map(|at| (&at.span, "Teams knows no PRACK", "rel100 = \"never\"")),
            late.map(|at| {
                (
                    &at.span,
                    "Teams takes no call without an offer",
                    "late_offer = \"convert\"",
                )
            }),
        ];
        for (span, cause, instead) in faults.into_iter().flatten() {
            self.out.add(
                Code::TeamsRule,
                span,
                format!("{title}: {cause}"),
                Some(format!("remove the key, or write {instead}")),
            );
        }
    }
}

/// Methods of our Allow header: PRACK where it is served.
pub(super) fn methods(usual: Vec<Method>, progress: &ProgressPolicy) -> Vec<Method> {
    let mut methods = usual;
    if progress.rel100 != Rel100::Never && !methods.contains(&Method::Prack) {
        methods.push(Method::Prack);
    }
    methods
}

fn chosen<T: Copy>(written: &Option<At<T>>, default: T) -> T {
    written.as_ref().map_or(default, |at| at.value)
}
