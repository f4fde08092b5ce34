//! Keeps the subscriptions of one tenant: makes them, renews them before they end, makes them anew when they are gone,
//! and ends them when nobody is to be told any more (TDG-PRS-001, TDG-PRS-005).

use super::{Act, Happens, Notices, Plan, Secret};
use crate::graph::reach::{Reach, now};
use crate::graph::{Graph, GraphFault};
use causeway_notice::Event;
use hyper::Method;
use sbc_core::config::{GraphAccess, UserId};
use sbc_core::id::TenantName;
use sbc_core::time::UnixTime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep_until, timeout};

/// Users of one subscription at most.
pub(super) const MOST_USERS: usize = 650;
/// For how long is asked: an hour is the most, and the clocks differ.
const LIFE: Duration = Duration::from_secs(59 * 60);
/// A life that is shorter is not believed: it would be renewed without pause.
const LEAST: Duration = Duration::from_secs(3);
/// How long the end of one may take.
const END: Duration = Duration::from_secs(3);
/// Pages of subscriptions that are looked through for those of an earlier run.
const PAGES: usize = 10;
const PATH: &str = "/v1.0/subscriptions";

/// Keeps them.
pub(super) struct Keeper {
    pub(super) notices: Arc<Notices>,
    pub(super) tenant: TenantName,
    pub(super) access: GraphAccess,
    pub(super) url: String,
    pub(super) news: Arc<Notify>,
    pub(super) happens: mpsc::Receiver<Happens>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// Some users, and the subscription to them.
struct Slot {
    users: Vec<UserId>,
    plan: Plan,
    /// That of the subscription that is there or is being made.
    secret: Option<Secret>,
}

/// What was said last, so that nothing is said again and again.
#[derive(Default)]
struct Said(Option<String>);

impl Keeper {
    pub(super) async fn run(mut self) {
        let reach = match self.notices.reach(&self.access) {
            Ok(reach) => reach,
            Err(why) => {
                self.warn(
                    &mut Said::default(),
                    "Microsoft cannot be asked for notices",
                    &why,
                );
                return;
            }
        };
        let access = self.access.clone();
        let mut graph = Graph::new(&access, &reach);
        let mut slots = Vec::new();
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = self.keep(&mut graph, &reach, &mut slots) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        for slot in &mut slots {
            self.end(&mut graph, slot).await;
        }
    }

    async fn keep(&mut self, graph: &mut Graph<'_>, reach: &Reach, slots: &mut Vec<Slot>) {
        let mut said = Said::default();
        self.clear(graph).await;
        loop {
            self.arrange(graph, slots).await;
            for slot in slots.iter_mut() {
                match slot.plan.due(Instant::now()) {
                    Some(Act::Subscribe) => self.subscribe(graph, reach, slot, &mut said).await,
                    Some(Act::Renew(id)) => self.renew(graph, reach, slot, &id, &mut said).await,
                    None => {}
                }
            }
            self.count();
            let next = slots.iter().map(|slot| slot.plan.at()).min();
            let time = async {
                match next {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = time => {}
                () = self.news.notified() => {}
                Some(happens) = self.happens.recv() => self.happened(slots, &happens),
            }
        }
    }

    /// Each user in one subscription, whoever they are now.
    async fn arrange(&self, graph: &mut Graph<'_>, slots: &mut Vec<Slot>) {
        let users = self.notices.presences.users(&self.tenant);
        let is_same = slots.iter().map(|slot| slot.users.len()).sum::<usize>() == users.len()
            && slots.iter().flat_map(|slot| &slot.users).eq(&users);
        if is_same {
            return;
        }
        // Whoever stops this on the way ends the rest.
        while let Some(slot) = slots.last_mut() {
            self.end(graph, slot).await;
            slots.pop();
        }
        let now = Instant::now();
        *slots = users
            .chunks(MOST_USERS)
            .map(|users| Slot {
                users: users.to_vec(),
                plan: Plan::new(now),
                secret: None,
            })
            .collect();
    }

    fn happened(&self, slots: &mut [Slot], happens: &Happens) {
        let now = Instant::now();
        let mut named = slots.iter_mut();
        let named = named.find(|slot| slot.plan.id() == Some(&happens.id));
        match (happens.event, named) {
            (Event::ReauthorizationRequired, Some(slot)) => slot.plan.hurry(now),
            (Event::Removed, Some(slot)) => {
                if let Some(secret) = slot.secret.take() {
                    self.notices.known.end(&secret);
                }
                slot.plan.gone(now);
            }
            (Event::Missed, Some(slot)) => self.notices.presences.want(&self.tenant, &slot.users),
            (Event::Unknown, _) | (_, None) => {}
        }
    }

    async fn subscribe(
        &self,
        graph: &mut Graph<'_>,
        reach: &Reach,
        slot: &mut Slot,
        said: &mut Said,
    ) {
        if let Some(secret) = slot.secret.take() {
            self.notices.known.end(&secret);
        }
        let Some(secret) = Secret::random() else {
            let why = "the system has no random numbers".to_owned();
            return self.failed(slot, "subscribe", &Failed::Here(why), said);
        };
        // It is the slot's before anybody is asked: whoever stops this on the way ends it.
        slot.secret = Some(secret.clone());
        self.notices.known.begin(&self.tenant, &secret);
        let made = self.made(graph, reach, &slot.users, &secret).await;
        let made = made.and_then(|answer| {
            let id = answer["id"].as_str().filter(|id| !id.is_empty());
            let id = id.map(str::to_owned);
            let id = id.ok_or_else(|| Failed::Here("the subscription has no name".to_owned()))?;
            Ok((id, life(&answer, reach)))
        });
        match made {
            Ok((id, life)) => {
                self.notices.known.is_called(&secret, &id);
                slot.plan.held(&id, life, Instant::now());
                self.asked("subscribe", "ok");
                self.tell(said);
                // What has changed before this nobody tells.
                self.notices.presences.want(&self.tenant, &slot.users);
            }
            Err(fault) => {
                self.notices.known.end(&secret);
                slot.secret = None;
                self.failed(slot, "subscribe", &fault, said);
            }
        }
    }

    async fn made(
        &self,
        graph: &mut Graph<'_>,
        reach: &Reach,
        users: &[UserId],
        secret: &Secret,
    ) -> Result<Value, Failed> {
        let key = self.notices.key().await.map_err(Failed::Here)?;
        let body = json!({
            "changeType": "updated",
            "notificationUrl": self.url,
            "lifecycleNotificationUrl": self.url,
            "resource": resource(users),
            "expirationDateTime": ends(reach),
            "includeResourceData": true,
            "encryptionCertificate": key.certificate(),
            "encryptionCertificateId": key.id(),
            "clientState": secret.shown(),
        });
        let made = graph.send(Method::POST, PATH, Some(&body)).await;
        made.map_err(Failed::There)
    }

    async fn renew(
        &self,
        graph: &mut Graph<'_>,
        reach: &Reach,
        slot: &mut Slot,
        id: &str,
        said: &mut Said,
    ) {
        let body = json!({ "expirationDateTime": ends(reach) });
        let renewed = graph.send(Method::PATCH, &path_of(id), Some(&body)).await;
        match renewed {
            Ok(answer) => {
                let now = Instant::now();
                slot.plan.held(id, life(&answer, reach), now);
                self.asked("renew", "ok");
                self.tell(said);
            }
            Err(fault) if fault.status() == Some(404) => {
                self.asked("renew", "gone");
                if let Some(secret) = slot.secret.take() {
                    self.notices.known.end(&secret);
                }
                slot.plan.gone(Instant::now());
            }
            Err(fault) => self.failed(slot, "renew", &Failed::There(fault), said),
        }
    }

    fn failed(&self, slot: &mut Slot, what: &'static str, fault: &Failed, said: &mut Said) {
        let now = Instant::now();
        if matches!(fault, Failed::There(fault) if fault.status() == Some(403)) {
            if let Some(secret) = slot.secret.take() {
                self.notices.known.end(&secret);
            }
            slot.plan.refused(now);
            self.asked(what, "refused");
            let text = "Microsoft does not let this application be told of presence: it is asked for as before, and once an \
                        hour whether that has changed. The permission that is needed is Presence.Read.All; where it is \
                        granted, the directory takes no subscriptions of applications";
            return self.warn(said, text, &fault.to_string());
        }
        slot.plan.failed(now);
        self.asked(what, "failed");
        let text = "Microsoft could not be asked to tell of presence: it is asked for as before";
        self.warn(said, text, &fault.to_string());
    }

    /// Ends a subscription; if that fails it ends by itself within the hour.
    async fn end(&self, graph: &mut Graph<'_>, slot: &mut Slot) {
        if let Some(secret) = slot.secret.take() {
            self.notices.known.end(&secret);
        }
        if let Some(id) = slot.plan.id() {
            let path = path_of(id);
            let ended = timeout(END, graph.send(Method::DELETE, &path, None)).await;
            self.asked(
                "end",
                if matches!(ended, Ok(Ok(_))) {
                    "ok"
                } else {
                    "failed"
                },
            );
        }
        self.count();
    }

    /// Ends what an earlier run has left: there may be one subscription of a user, and nobody knows its secret.
    async fn clear(&self, graph: &mut Graph<'_>) {
        let mut path = PATH.to_owned();
        let mut left = Vec::new();
        for _ in 0..PAGES {
            let Ok(page) = graph.send(Method::GET, &path, None).await else {
                break;
            };
            let all = page["value"].as_array().into_iter().flatten();
            let own = all.filter(|one| one["notificationUrl"] == self.url.as_str());
            left.extend(own.filter_map(|one| one["id"].as_str().map(path_of)));
            match page["@odata.nextLink"]
                .as_str()
                .map(|link| graph.own_path(link))
            {
                Some(Ok(next)) => path = next,
                Some(Err(_)) | None => break,
            }
        }
        for path in left {
            let _ = graph.send(Method::DELETE, &path, None).await;
        }
    }

    fn count(&self) {
        let held = self.notices.known.count(&self.tenant);
        self.notices.metrics.notices.held(&self.tenant, held);
    }

    fn asked(&self, what: &str, result: &str) {
        self.notices
            .metrics
            .notices
            .asked(&self.tenant, what, result);
    }

    fn warn(&self, said: &mut Said, text: &str, why: &str) {
        if said.0.as_deref() == Some(why) {
            return;
        }
        said.0 = Some(why.to_owned());
        let line = self.notices.log.warn("notices", text);
        line.with("tenant", &self.tenant).with("why", why).send();
    }

    /// It works, and did not before.
    fn tell(&self, said: &mut Said) {
        if said.0.as_deref() == Some("") {
            return;
        }
        said.0 = Some(String::new());
        let line = self
            .notices
            .log
            .info("notices", "Microsoft tells of presence");
        line.with("tenant", &self.tenant).send();
    }
}

/// Why something was not done.
enum Failed {
    Here(String),
    There(GraphFault),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(why) => f.write_str(why),
            Self::There(fault) => fault.fmt(f),
        }
    }
}

/// The presence of these users, as a subscription names it.
fn resource(users: &[UserId]) -> String {
    if let [user] = users {
        return format!("/communications/presences/{user}");
    }
    let users: Vec<String> = users.iter().map(|user| format!("'{user}'")).collect();
    format!(
        "/communications/presences?$filter=id in ({})",
        users.join(",")
    )
}

/// The path of one; what Microsoft calls it may be anything.
fn path_of(id: &str) -> String {
    let plain = |octet: &char| octet.is_ascii_alphanumeric() || "-_.".contains(*octet);
    let id: String = id.chars().filter(plain).take(128).collect();
    format!("{PATH}/{id}")
}

/// When one that is made now ends, by the clock of Microsoft.
fn ends(reach: &Reach) -> String {
    (there(reach) + LIFE).rfc3339()
}

/// How long it lives from now on; as long as was asked for if nobody says.
fn life(answer: &Value, reach: &Reach) -> Duration {
    let until = answer["expirationDateTime"].as_str();
    let until = until.and_then(UnixTime::of_rfc3339);
    let life = until.map_or(LIFE, |until| {
        Duration::from_micros(until.as_micros().saturating_sub(there(reach).as_micros()))
    });
    life.max(LEAST)
}

/// The time at Microsoft.
fn there(reach: &Reach) -> UnixTime {
    let ahead = reach.clock_ahead_s().unwrap_or(0);
    let us = i64::try_from(now().as_micros()).unwrap_or(i64::MAX);
    let us = us.saturating_add(ahead.saturating_mul(1_000_000));
    UnixTime::from_micros(us.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_and_several_are_named_as_documented() {
        let user =
            |last: u8| UserId::parse(&format!("db03c14b-06eb-4189-939b-7cbf3a20ba{last:02x}"));
        let users = [1, 2].map(|last| user(last).unwrap());
        assert_eq!(
            resource(&users[..1]),
            "/communications/presences/db03c14b-06eb-4189-939b-7cbf3a20ba01"
        );
        assert_eq!(
            resource(&users),
            "/communications/presences?$filter=id in \
             ('db03c14b-06eb-4189-939b-7cbf3a20ba01','db03c14b-06eb-4189-939b-7cbf3a20ba02')"
        );
        assert_eq!(path_of("a-1/../b?c"), "/v1.0/subscriptions/a-1..bc");
    }
}
