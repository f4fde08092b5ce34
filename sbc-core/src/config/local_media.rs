//! Local media of a Teams trunk: users inside the company reach an SBC at an internal address, all others at
//! the one of the trunk's realm (TDR-LMO-010).

use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use crate::id::{RealmName, TrunkName};
use crate::media::Profile;
use std::sync::Arc;

/// How media of users inside the company is kept inside.
#[derive(Clone, PartialEq, Debug)]
pub struct LocalMedia {
    /// Realm with the internal address; the external one is that of the trunk's realm.
    pub realm: RealmName,
    /// The trunk's media policy there.
    pub internal: Arc<Profile>,
    /// Our name as the proxy in front of the SBC that the trunk's `fqdn` names. `None` where we are that
    /// SBC ourselves.
    pub proxy: Option<String>,
    /// Trunk to the SBC that the trunk's `fqdn` names, where that SBC's media may go past us.
    pub downstream: Option<TrunkName>,
    /// The network site of the SBC that the trunk's `fqdn` names, as Teams knows it; case matters.
    pub site: Option<String>,
}

impl LocalMedia {
    /// What we are.
    pub fn role(&self) -> &'static str {
        match self.proxy {
            Some(_) => "proxy",
            None => "central",
        }
    }
}

/// What the operator wrote.
pub(super) struct WrittenLocalMedia {
    pub(super) span: Span,
    pub(super) internal: Option<At<String>>,
    pub(super) proxy: Option<At<String>>,
    pub(super) downstream: Option<At<String>>,
    pub(super) site: Option<At<String>>,
}

/// Reads the table `local_media` of a trunk.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenLocalMedia> {
    let mut table = section.table("local_media", out)?;
    let internal = table.required_text("internal", "\"corporate\"", out);
    let proxy = table.text("proxy", out);
    let downstream = table.text("downstream", out);
    let site = table.text("site", out);
    let span = table.span.clone();
    table.finish(&[], out);
    Some(WrittenLocalMedia {
        span,
        internal,
        proxy,
        downstream,
        site,
    })
}
