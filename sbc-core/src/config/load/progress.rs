//! Progress of a trunk's calls: what the operator wrote, and what contradicts it.

use super::{Load, chosen};
use crate::config::finding::Code;
use crate::config::progress::{ProgressPolicy, Rel100, WrittenProgress};
use crate::config::{EarlyDialogs, EarlyMedia, LateOffer, Preset};
use crate::sip::Method;
use std::time::Duration;

impl Load<'_> {
    pub(super) fn progress(
        &mut self,
        title: &str,
        written: &WrittenProgress,
        preset: Preset,
        is_trusted: bool,
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
            early_media: chosen(&written.early_media, usual.early_media),
            ringing: chosen(&written.ringing, usual.ringing),
            early_media_max: self.bounded(
                &format!("{title}: early_media_max"),
                &written.early_media_max,
                Duration::from_secs(5)..=Duration::from_secs(600),
                usual.early_media_max,
            ),
            within: written.within.as_ref().map(|at| {
                self.bounded(
                    &format!("{title}: progress_within"),
                    &written.within,
                    Duration::from_secs(1)..=Duration::from_secs(60),
                    at.value,
                )
            }),
            ringback: written.ringback.as_ref().map(|at| at.value),
            tones: chosen(&written.tones, usual.tones),
            late_offer: match preset {
                Preset::Carrier => chosen(&written.late_offer, usual.late_offer),
                Preset::Teams => LateOffer::Convert,
            },
            p_early_media: chosen(&written.p_early_media, usual.p_early_media),
            early_dialogs: chosen(&written.early_dialogs, usual.early_dialogs),
            six_xx_stops: chosen(&written.six_xx_stops, usual.six_xx_stops),
        };
        if let Some(at) = &written.p_early_media
            && at.value
            && !is_trusted
        {
            // Who may say whose media flow is part of the trust domain (RFC 5009 §6).
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: P-Early-Media is believed of trusted peers alone"),
                Some("write trusted = true too, or remove p_early_media".to_owned()),
            );
        }
        if let Some(at) = &written.late_offer
            && preset == Preset::Teams
            && at.value == LateOffer::Pass
        {
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!("{title}: Teams refuses calls without an offer"),
                Some("remove the key, or write late_offer = \"convert\"".to_owned()),
            );
        }
        if let Some(at) = &written.rel100
            && preset == Preset::Teams
            && at.value != Rel100::Never
        {
            // Its Allow has no PRACK (TDR-SIP-002).
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!("{title}: Teams knows no PRACK"),
                Some("remove the key, or write rel100 = \"never\"".to_owned()),
            );
        }
        if let Some(at) = &written.six_xx_stops
            && preset == Preset::Teams
            && !at.value
        {
            // Whoever declines would be called again and again (TDR-DNS-004).
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!("{title}: a 6xx of Teams is the last word of its user"),
                Some("remove the key".to_owned()),
            );
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
        if let Some(at) = &written.early_dialogs
            && at.value == EarlyDialogs::Transparent
            && rel100 == Rel100::Required
        {
            // Confirmed one by one, several early dialogs would need a count of their own each.
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: callers that must confirm provisionals see one early dialog"),
                Some("write rel100 = \"auto\", or early_dialogs = \"single\"".to_owned()),
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
}

/// Methods of our Allow header: PRACK where it is served.
pub(super) fn methods(usual: Vec<Method>, progress: &ProgressPolicy) -> Vec<Method> {
    let mut methods = usual;
    if progress.rel100 != Rel100::Never && !methods.contains(&Method::Prack) {
        methods.push(Method::Prack);
    }
    methods
}
