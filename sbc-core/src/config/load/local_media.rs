//! Local media of a trunk: the realm inside, the proxy, and where it cannot work.

use super::{Load, titled};
use crate::config::finding::Code;
use crate::config::local_media::WrittenLocalMedia;
use crate::config::source::At;
use crate::config::value::is_host_name;
use crate::config::written::File;
use crate::config::{LocalMedia, Preset, Realm, TlsContext, Trunk};
use crate::id::TrunkName;
use crate::media::{Ice, Lends, Profile};
use media_api::Family;
use std::sync::Arc;

impl Load<'_> {
    /// The trunk's local media, where it has any (TDR-LMO-010, TDR-LMO-020).
    pub(super) fn local_media(
        &mut self,
        title: &str,
        written: Option<&WrittenLocalMedia>,
        own: (&Realm, &Profile),
        fqdn: Option<&str>,
        tls: Option<&TlsContext>,
    ) -> Option<LocalMedia> {
        let (written, (external, profile)) = (written?, own);
        let title = format!("{title}: local_media");
        if profile.ice != Ice::Bypass {
            self.out.add(
                Code::Contradiction,
                &written.span,
                format!("{title}: it is a form of media bypass, which is off"),
                Some("write media_bypass = true, or remove the table".to_owned()),
            );
        }
        let proxy = written.proxy.as_ref();
        let has_downstream = written.downstream.is_some();
        let proxy = proxy.and_then(|at| self.proxy(&title, at, (fqdn, has_downstream), tls));
        let at = written.internal.as_ref()?;
        let found = self.realms.find(at, &title, &mut self.out);
        let realm = found.map(|(realm, _)| Arc::clone(realm))?;
        if realm.name == external.name {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!(
                    "{title}: \"{}\" is the trunk's own realm, which is the external side",
                    realm.name
                ),
                Some("name the realm that has the address inside the company".to_owned()),
            );
        }
        let local = realm.of(Family::V4);
        if local.is_none() {
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!(
                    "{title}: it needs IPv4, and realm \"{}\" has no such address",
                    realm.name
                ),
                Some("give the realm an IPv4 address".to_owned()),
            );
        }
        Some(LocalMedia {
            realm: realm.name.clone(),
            internal: Arc::new(Profile {
                realm: realm.id,
                local,
                ..profile.clone()
            }),
            proxy,
            // Known once all trunks are.
            downstream: None,
            site: written.site.as_ref().map(|at| at.value.clone()),
        })
    }

    /// Our name as a proxy.
    fn proxy(
        &mut self,
        title: &str,
        at: &At<String>,
        (fqdn, has_downstream): (Option<&str>, bool),
        tls: Option<&TlsContext>,
    ) -> Option<String> {
        let name = at.value.to_ascii_lowercase();
        if !is_host_name(&name) || !name.contains('.') {
            self.out.add(
                Code::BadFqdn,
                &at.span,
                format!(
                    "{title}: proxy \"{}\" is no fully qualified name",
                    at.value.escape_debug()
                ),
                Some("write it as in -ProxySbc of Set-CsOnlinePSTNGateway".to_owned()),
            );
            return None;
        }
        if fqdn == Some(name.as_str()) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: {name} would be the proxy of itself"),
                Some(
                    "write the fqdn of the downstream SBC in the trunk, or remove proxy".to_owned(),
                ),
            );
            return None;
        }
        if let Some(tls) = tls {
            self.fqdn_in_certificate(title, &name, &at.span, tls);
        }
        if !has_downstream {
            self.out.add(
                Code::BranchMediaThroughUs,
                &at.span,
                format!(
                    "{title}: media of users in the downstream SBC's branch go through this proxy"
                ),
                Some(
                    "name the trunk to the downstream SBC in local_media.downstream, or see that the \
                     branch can reach the proxy's internal address"
                        .to_owned(),
                ),
            );
        }
        Some(name)
    }

    /// Which trunks lead to an SBC behind us: media between that one and Teams may go past us (MED-312). Both
    /// have to speak the same of them, since nobody stands between.
    pub(super) fn build_downstreams(&mut self, file: &File) {
        for written in &file.trunks {
            let name = written.name.value.as_str();
            let Some(local) = &written.local_media else {
                continue;
            };
            let Some(at) = &local.downstream else {
                continue;
            };
            let title = titled("trunk", name) + ": local_media";
            if local.proxy.is_none() {
                self.out.add(
                    Code::Contradiction,
                    &at.span,
                    format!("{title}: downstream is for a proxy, and this trunk is none"),
                    Some("write proxy with our own name, or remove downstream".to_owned()),
                );
            }
            let found = self.trunks.find(at, &title, &mut self.out);
            let Some(downstream) = found.map(|(trunk, _)| Arc::clone(trunk)) else {
                continue;
            };
            let Some(teams) = self.trunks.valid.get(&TrunkName::from(name)) else {
                continue;
            };
            let teams = Arc::clone(&teams.0);
            match differences(&teams, &downstream) {
                Some((cause, help)) => self.out.add(
                    Code::Contradiction,
                    &at.span,
                    format!(
                        "{title}: media to \"{}\" cannot go past us: {cause}",
                        at.value
                    ),
                    Some(help.to_owned()),
                ),
                None => self.lend(&teams.name, &downstream.name),
            }
        }
    }

    fn lend(&mut self, teams: &TrunkName, downstream: &TrunkName) {
        for name in [teams, downstream] {
            let Some((trunk, _)) = self.trunks.valid.get_mut(name) else {
                continue;
            };
            let trunk = Arc::make_mut(trunk);
            // Who is told of a user of Teams may choose; Teams takes one address.
            let lends = match name == teams {
                true => Lends::Whole,
                false => Lends::OneAddress,
            };
            Arc::make_mut(&mut trunk.media.profile).lends = lends;
            if let Some(local) = trunk.local_media.as_mut().filter(|_| name == teams) {
                Arc::make_mut(&mut local.internal).lends = lends;
                local.downstream = Some(downstream.clone());
            }
        }
    }
}

/// Why the two trunks' media cannot do without us, and what to change.
fn differences(teams: &Trunk, downstream: &Trunk) -> Option<(&'static str, &'static str)> {
    let (own, other) = (&teams.media.profile, &downstream.media.profile);
    let is_shared = own.suites.iter().any(|suite| other.suites.contains(suite));
    let converts = own.dtmf.converts() || other.dtmf.converts();
    if downstream.preset == Preset::Teams {
        Some((
            "it leads to Teams as well",
            "name the trunk to the downstream SBC",
        ))
    } else if own.srtp != other.srtp || !is_shared {
        Some((
            "it has no SRTP of a suite that Teams has",
            "write srtp = \"required\" in that trunk",
        ))
    } else if own.family != other.family {
        Some((
            "its family of addresses is another",
            "write the same family in both trunks",
        ))
    } else if converts {
        Some((
            "digits would have to be converted",
            "write dtmf = \"rfc4733\" in both trunks",
        ))
    } else {
        None
    }
}
