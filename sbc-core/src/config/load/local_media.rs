//! Local media of a trunk: the realm inside, the proxy, and where it cannot work.

use super::Load;
use crate::config::finding::Code;
use crate::config::local_media::WrittenLocalMedia;
use crate::config::source::At;
use crate::config::value::is_host_name;
use crate::config::{LocalMedia, Realm, TlsContext};
use crate::media::{Ice, Profile};
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
        if profile.ice == Ice::Off {
            self.out.add(
                Code::Contradiction,
                &written.span,
                format!("{title}: it is a form of media bypass, which is off"),
                Some("write media_bypass = true, or remove the table".to_owned()),
            );
        }
        let proxy = written.proxy.as_ref();
        let proxy = proxy.and_then(|at| self.proxy(&title, at, fqdn, tls));
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
            site: written.site.as_ref().map(|at| at.value.clone()),
        })
    }

    /// Our name as a proxy.
    fn proxy(
        &mut self,
        title: &str,
        at: &At<String>,
        fqdn: Option<&str>,
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
        self.out.add(
            Code::BranchMediaThroughUs,
            &at.span,
            format!("{title}: media of users in the downstream SBC's branch go through this proxy"),
            Some(
                "they reach its internal address instead of the downstream SBC's; the branch must be \
                 able to"
                    .to_owned(),
            ),
        );
        Some(name)
    }
}
