//! Peers that prove who they are and register with us.

use super::account::address_of_record;
use super::{Load, chosen, titled};
use crate::auth::{Account, Asker, Digest};
use crate::config::finding::Code;
use crate::config::registrar::{Authenticate, Registrar, WrittenAuthenticate, WrittenRegistrar};
use crate::config::source::Span;
use crate::config::written::{File, WrittenTrunk};
use crate::config::{Preset, Trunk};
use crate::sip::header::Route;
use crate::sip::{Address, Uri};
use std::sync::Arc;
use std::time::Duration;

/// Most hops of a Service-Route that we prescribe.
const MOST_HOPS: usize = 10;

impl Load<'_> {
    pub(super) fn authentication(
        &mut self,
        title: &str,
        written: &WrittenAuthenticate,
        preset: Preset,
    ) -> Option<Authenticate> {
        let title = format!("{title}: authenticate");
        if preset == Preset::Teams {
            self.out.add(
                Code::Contradiction,
                &written.span,
                format!("{title}: Teams answers no challenges, it shows a certificate"),
                Some("remove the table".to_owned()),
            );
            return None;
        }
        let (username, realm) = (written.username.as_ref()?, written.realm.as_ref()?);
        self.check_names(&title, username, [realm]);
        let asker = match &written.challenge {
            None => Asker::Server,
            Some(at) => match at.value {
                401 => Asker::Server,
                407 => Asker::Proxy,
                other => {
                    self.out.add(
                        Code::OutOfRange,
                        &at.span,
                        format!("{title}: {other} asks for no credentials"),
                        Some("write 401, or 407 for peers that expect a proxy".to_owned()),
                    );
                    Asker::Server
                }
            },
        };
        let mut algorithms = Vec::new();
        for at in written.algorithms.iter().flatten() {
            if algorithms.contains(&at.value) {
                self.out.add(
                    Code::DuplicateName,
                    &at.span,
                    format!("{title}: an algorithm is there twice"),
                    Some("name each once, the preferred one first".to_owned()),
                );
                continue;
            }
            algorithms.push(at.value);
        }
        if written.algorithms.is_none() {
            algorithms = vec![Digest::Sha256, Digest::Md5];
        }
        let password = self.password(&title, written.password.as_ref()?)?;
        Some(Authenticate {
            account: Account {
                username: username.value.clone(),
                password,
                realms: vec![realm.value.clone()],
                allows_md5: algorithms.contains(&Digest::Md5),
            },
            algorithms,
            asker,
        })
    }

    pub(super) fn registrar(
        &mut self,
        title: &str,
        trunk: &WrittenTrunk,
        written: &WrittenRegistrar,
        preset: Preset,
    ) -> Option<Registrar> {
        let title = format!("{title}: registrar");
        let mut against = |cause: &str, help: &str| {
            self.out.add(
                Code::Contradiction,
                &written.span,
                format!("{title}: {cause}"),
                Some(help.to_owned()),
            );
        };
        if preset == Preset::Teams {
            against("Teams registers with nobody", "remove the table");
            return None;
        }
        if trunk.register.is_some() {
            against(
                "the trunk registers with its peer already",
                "keep \"register\" or \"registrar\"",
            );
        }
        if trunk.authenticate.is_none() {
            against(
                "nothing says how the peer proves who it is",
                "add authenticate = { username = \"…\", password = { file = \"…\" }, realm = \"…\" }",
            );
        }
        if trunk.targets.is_some() {
            against(
                "calls go to where the peer registers from, not to \"targets\"",
                "remove \"targets\"",
            );
        }
        let second = Duration::from_secs(1);
        let day = 86_400 * second;
        let shortest = self.bounded(
            &format!("{title}: min_expires"),
            &written.min_expires,
            // Who must come oftener than that uses another way to keep its binding open.
            10 * second..=3_600 * second,
            60 * second,
        );
        let longest = self.bounded(
            &format!("{title}: max_expires"),
            &written.max_expires,
            shortest..=day,
            (7_200 * second).max(shortest),
        );
        let usual = self.bounded(
            &format!("{title}: expires"),
            &written.expires,
            shortest..=longest,
            (3_600 * second).clamp(shortest, longest),
        );
        let service_route = self.service_route(&title, written);
        let aor = written.aor.as_ref()?;
        let Some((user, domain)) = address_of_record(&aor.value) else {
            self.out.add(
                Code::BadForm,
                &aor.span,
                format!(
                    "{title}: \"{}\" is no address of record",
                    aor.value.escape_debug()
                ),
                Some("write \"sip:\", user, \"@\" and our domain, nothing else".to_owned()),
            );
            return None;
        };
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Some(Registrar {
            user,
            domain,
            usual_s: seconds(usual),
            shortest_s: seconds(shortest),
            longest_s: seconds(longest),
            contacts: written.contacts.as_ref().map_or(5, |at| at.value as usize),
            gin: written.gin.as_ref().is_some_and(|at| at.value),
            called: chosen(&written.called, Default::default()),
            service_route,
        })
    }

    fn service_route(&mut self, title: &str, written: &WrittenRegistrar) -> Vec<Route> {
        let Some(list) = &written.service_route else {
            return Vec::new();
        };
        if list.value.len() > MOST_HOPS {
            self.out.add(
                Code::OutOfRange,
                &list.span,
                format!("{title}: service_route has more than {MOST_HOPS} hops"),
                Some("every INVITE of the peer carries them all: name the first ones".to_owned()),
            );
        }
        let mut route = Vec::new();
        for at in &list.value {
            let hop = Uri::parse(at.value.clone())
                .ok()
                .filter(|hop| hop.as_sip().is_some() && hop.params().is_some_and(|p| p.has("lr")))
                .map(|hop| Route(Address::new(hop)));
            match hop {
                Some(hop) => route.push(hop),
                None => self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{title}: service_route: \"{}\" is no hop",
                        at.value.escape_debug()
                    ),
                    Some("write \"sip:host;lr\"".to_owned()),
                ),
            }
        }
        route
    }

    /// What is asked in a realm of ours is shown to us alone.
    fn relayed_realms_of_ours(&mut self, file: &File) {
        for written in &file.trunks {
            for at in written.habits.relayed_realms() {
                let mut trunks = self.trunks.valid.values();
                let own = trunks.find_map(|(trunk, _)| {
                    let own = trunk.authenticate.as_ref()?;
                    (own.realm() == at.value).then(|| trunk.name.clone())
                });
                let Some(own) = own else {
                    continue;
                };
                self.out.add(
                    Code::Contradiction,
                    &at.span,
                    format!(
                        "{}: relay_auth: \"{}\" is our realm, in which trunk \"{own}\" proves to us who it is",
                        titled("trunk", &written.name.value),
                        at.value.escape_debug()
                    ),
                    Some("write a realm of the peer".to_owned()),
                );
            }
        }
    }

    /// Who shows which user name must be one trunk, and what is asked of a realm one question.
    pub(super) fn shared_realms(&mut self, file: &File) {
        self.relayed_realms_of_ours(file);
        let trunks: Vec<(Arc<Trunk>, Span)> = self
            .trunks
            .valid
            .values()
            .filter(|(trunk, _)| trunk.authenticate.is_some())
            .cloned()
            .collect();
        for (index, (trunk, span)) in trunks.iter().enumerate() {
            for (other, other_span) in trunks.iter().take(index) {
                let (Some(own), Some(rival)) = (&trunk.authenticate, &other.authenticate) else {
                    continue;
                };
                if own.realm() != rival.realm() {
                    continue;
                }
                // The finding belongs to the one that was written later.
                let (span, later, earlier) = match span > other_span {
                    true => (span, trunk, other),
                    false => (other_span, other, trunk),
                };
                let title = titled("trunk", later.name.as_str());
                if own.account.username == rival.account.username {
                    self.out.add(
                        Code::AmbiguousIngress,
                        span,
                        format!(
                            "{title}: authenticate: trunk \"{}\" has the same user name in the \
                             same realm",
                            earlier.name
                        ),
                        Some("give each peer a user name of its own".to_owned()),
                    );
                }
                if own.algorithms != rival.algorithms || own.asker != rival.asker {
                    self.out.add(
                        Code::Contradiction,
                        span,
                        format!(
                            "{title}: authenticate: trunk \"{}\" has the same realm with other \
                             algorithms or another challenge",
                            earlier.name
                        ),
                        Some(
                            "a challenge is written before anybody has said who he is: use the \
                             same settings, or another realm"
                                .to_owned(),
                        ),
                    );
                }
                let aor = |trunk: &Trunk| {
                    let own = trunk.registrar.as_ref();
                    own.map(|own| (own.user.clone(), own.domain.clone()))
                };
                if aor(trunk).is_some() && aor(trunk) == aor(other) {
                    self.out.add(
                        Code::DuplicateName,
                        span,
                        format!(
                            "{title}: registrar: trunk \"{}\" has the same address of record",
                            earlier.name
                        ),
                        Some("give each trunk an address of record of its own".to_owned()),
                    );
                }
            }
        }
    }
}

/// Whether a trunk's peer is where it registers from.
pub(super) fn is_reached_by_binding(written: &WrittenTrunk) -> bool {
    written.registrar.is_some()
}
