//! A second pair of eyes (SEC-151): what one person asks for waits until another one who may do it has agreed, and is done
//! when it is asked for again. It is theirs once, of exactly what they have asked, and for a while. All of it is in memory:
//! a restart forgets it, and nothing is done for that.

use super::who::{Besides, Right, Who};
use super::{Access, Problem};
use crate::daemon::net::tls::random;
use crate::sink::log::wall_clock;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use sbc_core::config::Loaded;
use sbc_core::time::UnixTime;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long it waits for another person, and then for whoever has asked.
const LASTS: Duration = Duration::from_secs(900);
/// Requests that wait, of all and of one person.
const MOST: usize = 32;
const MOST_OF_ONE: usize = 8;
/// Those that are known altogether: who agrees to one that is over is told what became of it.
const KNOWN: usize = 128;

/// What both have to be allowed.
const NEEDED: [Right; 2] = [Right::Calls, Right::Media];
/// Why it is not theirs alone.
const BECAUSE: &str = "what callers say is heard";

/// Somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Person {
    /// As what they are known.
    identity: String,
    /// As the audit log calls them.
    name: String,
}

/// How it stands with one.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    Waits,
    /// Another person has agreed, and it may be done.
    Agreed(Person),
    /// It is being done.
    Used(Person),
    /// It was done.
    Done(Person),
    /// Somebody has said no.
    Refused(String),
}

#[derive(Clone, Debug)]
struct Asked {
    id: String,
    /// What for, in one line: exactly that, and nothing else.
    what: String,
    by: Person,
    at: UnixTime,
    until: (Instant, UnixTime),
    standing: Standing,
}

impl Asked {
    /// Whether its time is over before it was used.
    fn is_over(&self, now: Instant) -> bool {
        matches!(self.standing, Standing::Waits | Standing::Agreed(_)) && self.until.0 <= now
    }

    fn is_open(&self, now: Instant) -> bool {
        matches!(self.standing, Standing::Waits | Standing::Agreed(_)) && self.until.0 > now
    }

    /// The time counts from now.
    fn lasts(&mut self, now: Instant, wall: UnixTime) {
        self.until = (now + LASTS, wall + LASTS);
    }

    fn row(&self, now: Instant) -> Value {
        let (state, by) = match &self.standing {
            _ if self.is_over(now) => ("expired", None),
            Standing::Waits => ("waits", None),
            Standing::Agreed(by) => ("agreed", Some(&by.name)),
            Standing::Used(by) | Standing::Done(by) => ("used", Some(&by.name)),
            Standing::Refused(by) => ("refused", Some(by)),
        };
        json!({
            "id": self.id,
            "what": self.what,
            "because": BECAUSE,
            "asked_by": self.by.name,
            "asked": self.at.rfc3339(),
            "until": self.until.1.rfc3339(),
            "seconds_left": self.until.0.saturating_duration_since(now).as_secs(),
            "state": state,
            "by": by,
        })
    }
}

/// Those of a node.
#[derive(Default)]
pub(super) struct Approvals(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// In the order in which they were asked for.
    asked: Vec<Asked>,
    /// Who may have what the capture of this number has heard without another word.
    hears: Option<(u64, String)>,
    /// Of which configuration those were that have agreed.
    access: Option<Arc<Loaded>>,
    /// How often that has said something else of who may do what.
    changes: u64,
}

/// Leave to do something once. Dropped without having been used, it is there again; or waits again, if who may agree has
/// become another matter since.
pub(super) struct Pass {
    book: Arc<Approvals>,
    /// The one that it is of, and who has agreed; nothing where nobody had to.
    of: Option<(String, Person)>,
    /// How often the access had changed when it was taken.
    changes: u64,
}

impl Pass {
    /// It is done; what the audit log says of it.
    pub(super) fn used(mut self) -> Option<String> {
        let (id, by) = self.of.take()?;
        let mut book = self.book.lock();
        if let Ok(own) = book.find(&id) {
            own.standing = Standing::Done(by.clone());
        }
        Some(format!("agreed by {}, approval {id}", by.name))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some((id, by)) = self.of.take() else {
            return;
        };
        let mut book = self.book.lock();
        let is_same = book.changes == self.changes;
        let is_own = |own: &&mut Asked| own.id == id && matches!(own.standing, Standing::Used(_));
        if let Some(own) = book.asked.iter_mut().find(is_own) {
            own.standing = match is_same {
                true => Standing::Agreed(by),
                false => Standing::Waits,
            };
        }
    }
}

impl Approvals {
    /// Leave for what nobody else has to agree to.
    pub(super) fn free(self: &Arc<Self>) -> Pass {
        Pass {
            book: Arc::clone(self),
            of: None,
            changes: 0,
        }
    }

    /// The configuration in use says who may agree. What was agreed to under one that said otherwise waits again: whoever
    /// has agreed may be nobody now.
    pub(super) fn under(&self, loaded: &Arc<Loaded>) {
        let mut book = self.lock();
        let before = book.access.replace(Arc::clone(loaded));
        if before.is_none_or(|own| own.shell.has_access_of(&loaded.shell)) {
            return;
        }
        // What is tried at this moment says itself how it stands with that, once it was in vain.
        book.changes += 1;
        for own in &mut book.asked {
            if let Standing::Agreed(_) = own.standing {
                own.standing = Standing::Waits;
            }
        }
    }

    /// Leave to do this, if another person has agreed; else it is asked for, and whoever wants it is told so.
    pub(super) fn pass(self: &Arc<Self>, who: &Who, what: String) -> Result<Pass, Problem> {
        let times = (Instant::now(), wall_clock());
        self.pass_at(who.identity(), who.name(), what, times)
    }

    fn pass_at(
        self: &Arc<Self>,
        identity: Option<&str>,
        name: &str,
        what: String,
        (now, wall): (Instant, UnixTime),
    ) -> Result<Pass, Problem> {
        let identity = identity.ok_or_else(nameless)?;
        let mut book = self.lock();
        let changes = book.changes;
        let is_own = |own: &&mut Asked| own.by.identity == identity && own.is_open(now);
        let mut open = book.asked.iter_mut().filter(is_own);
        if let Some(own) = open.find(|own| own.what == what) {
            let Standing::Agreed(by) = &own.standing else {
                return Err(waits(own, now));
            };
            let by = by.clone();
            own.standing = Standing::Used(by.clone());
            return Ok(Pass {
                book: Arc::clone(self),
                of: Some((own.id.clone(), by)),
                changes,
            });
        }
        let all = book.asked.iter().filter(|own| own.is_open(now));
        let (all, own) = all.fold((0, 0), |(all, own), one| {
            (all + 1, own + usize::from(one.by.identity == identity))
        });
        if all >= MOST || own >= MOST_OF_ONE {
            let why = format!(
                "too many requests wait for another person ({MOST_OF_ONE} of one, {MOST} of all): have some agreed to or refused \
                 (causeway approvals list)"
            );
            return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, why));
        }
        let mut octets = [0; 4];
        random(&mut octets).map_err(|()| {
            let why = "the system has no random numbers";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)
        })?;
        let mut asked = Asked {
            id: octets.iter().map(|octet| format!("{octet:02x}")).collect(),
            what,
            by: Person {
                identity: identity.to_owned(),
                name: name.to_owned(),
            },
            at: wall,
            until: (now, wall),
            standing: Standing::Waits,
        };
        asked.lasts(now, wall);
        let told = waits(&asked, now);
        book.add(asked, now);
        Err(told)
    }

    /// Another person agrees. Says what to.
    fn agree(
        &self,
        id: &str,
        who: &Who,
        (now, wall): (Instant, UnixTime),
    ) -> Result<Value, Problem> {
        let mut book = self.lock();
        let own = book.find(id)?;
        let conflict = |why: String| Err(Problem::new(StatusCode::CONFLICT, why));
        let identity = who.identity().ok_or_else(nameless)?;
        may(who)?;
        if own.is_over(now) {
            return conflict(format!(
                "approval {id} has expired: nobody has agreed, or it was not used, within 15 minutes; who wants it asks again"
            ));
        }
        if own.by.identity == identity {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "{} has asked for this: somebody else has to agree",
                    own.by.name
                ),
            ));
        }
        match &own.standing {
            Standing::Waits => {}
            Standing::Agreed(by) => {
                return conflict(format!("{} has agreed to approval {id} already", by.name));
            }
            Standing::Used(by) | Standing::Done(by) => {
                let by = &by.name;
                return conflict(format!("approval {id}, to which {by} has agreed, was used"));
            }
            Standing::Refused(by) => {
                return conflict(format!(
                    "{by} has refused approval {id}; who wants it asks again"
                ));
            }
        }
        own.standing = Standing::Agreed(Person {
            identity: identity.to_owned(),
            name: who.name().to_owned(),
        });
        own.lasts(now, wall);
        Ok(own.row(now))
    }

    /// Somebody who could agree says no, or whoever has asked takes it back.
    fn refuse(&self, id: &str, who: &Who, now: Instant) -> Result<Value, Problem> {
        let mut book = self.lock();
        let own = book.find(id)?;
        may(who)?;
        if !own.is_open(now) {
            let why =
                format!("approval {id} waits no more: it has expired, was refused, or was used");
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
        own.standing = Standing::Refused(who.name().to_owned());
        Ok(own.row(now))
    }

    /// Latest first.
    fn rows(&self, now: Instant) -> Vec<Value> {
        let book = self.lock();
        book.asked.iter().rev().map(|own| own.row(now)).collect()
    }

    /// The token of somebody was taken away: what they have asked for or agreed to, and was not done yet, is not done.
    /// Whose word that was is told.
    pub(super) fn revoked(&self, identity: &str, by: &str) {
        let mut book = self.lock();
        for own in &mut book.asked {
            let is_theirs = match &own.standing {
                Standing::Waits => own.by.identity == identity,
                Standing::Agreed(agreed) | Standing::Used(agreed) => {
                    own.by.identity == identity || agreed.identity == identity
                }
                Standing::Done(_) | Standing::Refused(_) => false,
            };
            if is_theirs {
                own.standing = Standing::Refused(by.to_owned());
            }
        }
        book.hears.take_if(|(_, own)| own == identity);
    }

    /// Begins a capture, of whose media this person may have all that it hears, or nobody.
    pub(super) fn capturing<E>(
        &self,
        hears: Option<&str>,
        begin: impl FnOnce() -> Result<u64, E>,
    ) -> Result<(), E> {
        let mut book = self.lock();
        let number = begin()?;
        book.hears = hears.map(|own| (number, own.to_owned()));
        Ok(())
    }

    /// Whether another person has agreed that this one hears the capture of this number.
    pub(super) fn hears(&self, who: &Who, number: u64) -> bool {
        let book = self.lock();
        let own = book.hears.as_ref();
        own.is_some_and(|(of, own)| *of == number && Some(own.as_str()) == who.identity())
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn find(&mut self, id: &str) -> Result<&mut Asked, Problem> {
        let found = self.asked.iter_mut().find(|own| own.id == id);
        found.ok_or_else(|| {
            let why = "there is no such approval: causeway approvals list tells what waits, and a restart forgets it";
            Problem::new(StatusCode::NOT_FOUND, why)
        })
    }

    /// Adds one; the oldest of those that wait no more make room.
    fn add(&mut self, asked: Asked, now: Instant) {
        while self.asked.len() >= KNOWN {
            let over = self.asked.iter().position(|own| !own.is_open(now));
            let Some(over) = over else {
                break;
            };
            self.asked.remove(over);
        }
        self.asked.push(asked);
    }
}

/// Whether somebody could do it, so that they may agree that another one does.
fn may(who: &Who) -> Result<(), Problem> {
    let lacking = NEEDED.iter().find(|right| !who.may(**right));
    lacking.map_or(Ok(()), |right| {
        let why = format!(
            "{} may not decide on this: it needs the right to {}",
            who.name(),
            right.as_str()
        );
        Err(Problem::new(StatusCode::FORBIDDEN, why))
    })
}

fn nameless() -> Problem {
    let why = "another person has to agree to this, and the system does not tell who asks";
    Problem::new(StatusCode::FORBIDDEN, why)
}

/// What is told whoever has to wait for another person.
fn waits(own: &Asked, now: Instant) -> Problem {
    let id = &own.id;
    let why = format!(
        "another person has to agree to this ([api] four_eyes): {BECAUSE}; it waits as approval {id} for {} s. Have somebody type \
         causeway approvals agree {id}, then ask again",
        own.until.0.saturating_duration_since(now).as_secs(),
    );
    let besides = Besides::more(format!("(waits for another person: approval {id})"));
    Problem::new(StatusCode::FORBIDDEN, why).waiting_for(id, besides)
}

/// What waits, and what became of others.
pub(super) async fn list(State(access): State<Access>) -> Json<Vec<Value>> {
    Json(access.approvals.rows(Instant::now()))
}

/// What was decided, for the audit log.
fn decided(row: Value) -> (Extension<Besides>, Json<Value>) {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let besides = Besides::more(format!("({} of {})", text("what"), text("asked_by")));
    (Extension(besides), Json(row))
}

/// Agrees.
pub(super) async fn agree(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    access.approvals.under(&access.daemon()?.loaded());
    let times = (Instant::now(), wall_clock());
    access.approvals.agree(&id, &who, times).map(decided)
}

/// Says no.
pub(super) async fn refuse(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    let refused = access.approvals.refuse(&id, &who, Instant::now());
    refused.map(decided)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{ApiRole, ApiUser, TokenHash};

    fn who(name: &str, role: ApiRole) -> Who {
        let user = ApiUser {
            name: name.to_owned(),
            role,
            numbers: false,
            media: role == ApiRole::Admin,
            token: TokenHash::parse(&format!("sha256:{}", "00".repeat(32))).unwrap(),
            expires: None,
            accept_from: Vec::new(),
        };
        Who::of_user(&user, "127.0.0.1:4000".parse().unwrap())
    }

    fn loaded(more: &str) -> Arc<Loaded> {
        use sbc_core::config::{Assumed, Source, load};
        let text = format!(
            "[node]\nid = \"sbc1\"\n[api]\nunix = \"/run/api.sock\"\nfour_eyes = true\n{more}"
        );
        let facts = Assumed::default();
        let loaded = load(&[Source::new("a.toml", &*text)], &facts, None);
        Arc::new(loaded.unwrap_or_else(|why| panic!("{}", why.to_text())))
    }

    struct Node(Arc<Approvals>, Instant);

    impl Node {
        fn new() -> Self {
            Self(Arc::default(), Instant::now())
        }

        fn at(&self, seconds: u64) -> (Instant, UnixTime) {
            let wall = UnixTime::from_micros((1_000 + seconds) * 1_000_000);
            (self.1 + Duration::from_secs(seconds), wall)
        }

        fn ask(&self, who: &Who, what: &str, second: u64) -> Result<Pass, Problem> {
            let times = self.at(second);
            self.0
                .pass_at(who.identity(), who.name(), what.to_owned(), times)
        }

        /// Asks for something that waits then; its number.
        fn waits(&self, who: &Who, what: &str, second: u64) -> String {
            let problem = self.ask(who, what, second).err().expect("it waits");
            assert_eq!(problem.status, StatusCode::FORBIDDEN);
            problem.waits.expect("a number").approval
        }

        fn agree(&self, id: &str, who: &Who, second: u64) -> Result<Value, String> {
            let agreed = self.0.agree(id, who, self.at(second));
            agreed.map_err(|problem| problem.detail)
        }
    }

    #[test]
    fn what_one_asks_for_waits_until_another_who_may_do_it_agrees_and_is_done_once() {
        let node = Node::new();
        let (anna, ben) = (who("anna", ApiRole::Admin), who("ben", ApiRole::Admin));
        let id = node.waits(&anna, "files", 0);
        assert_eq!(node.waits(&anna, "files", 1), id, "the same");
        let own = node.agree(&id, &anna, 2).unwrap_err();
        assert!(own.contains("somebody else has to agree"), "{own}");
        let no = node
            .agree(&id, &who("olga", ApiRole::Operator), 2)
            .unwrap_err();
        assert!(no.contains("needs the right to media"), "{no}");
        let agreed = node.agree(&id, &ben, 2).unwrap();
        assert_eq!(agreed["state"], "agreed");
        let twice = node
            .agree(&id, &who("carl", ApiRole::Admin), 3)
            .unwrap_err();
        assert!(twice.contains("ben (admin) has agreed"), "{twice}");
        // Neither for somebody else nor for anything else.
        assert_ne!(node.waits(&ben, "files", 3), id);
        assert_ne!(node.waits(&anna, "other files", 3), id);
        let told = node.ask(&anna, "files", 4).ok().unwrap().used().unwrap();
        assert_eq!(told, format!("agreed by ben (admin), approval {id}"));
        let used = node.agree(&id, &ben, 5).unwrap_err();
        assert!(used.contains("was used"), "{used}");
        assert_ne!(node.waits(&anna, "files", 5), id, "once");
    }

    #[test]
    fn an_agreement_is_late_after_fifteen_minutes_and_is_kept_where_nothing_was_done() {
        let node = Node::new();
        let (anna, ben) = (who("anna", ApiRole::Admin), who("ben", ApiRole::Admin));
        let id = node.waits(&anna, "files", 0);
        let late = node.agree(&id, &ben, 900).unwrap_err();
        assert!(late.contains("has expired"), "{late}");
        let next = node.waits(&anna, "files", 900);
        assert_ne!(next, id);
        node.agree(&next, &ben, 901).unwrap();
        // What was tried in vain can be tried again.
        drop(node.ask(&anna, "files", 1_000).ok().unwrap());
        assert!(node.ask(&anna, "files", 1_800).is_ok());
        assert_ne!(node.waits(&anna, "files", 1_801), next);
        let nobody = node.agree("00", &ben, 1_801).unwrap_err();
        assert!(nobody.contains("no such approval"), "{nobody}");
    }

    #[test]
    fn who_could_agree_or_has_asked_says_no_and_nobody_agrees_after_that() {
        let node = Node::new();
        let (anna, ben) = (who("anna", ApiRole::Admin), who("ben", ApiRole::Admin));
        let id = node.waits(&anna, "files", 0);
        let viewer = node
            .0
            .refuse(&id, &who("vera", ApiRole::Viewer), node.at(1).0);
        assert_eq!(viewer.unwrap_err().status, StatusCode::FORBIDDEN);
        node.0.refuse(&id, &anna, node.at(1).0).unwrap();
        let late = node.agree(&id, &ben, 2).unwrap_err();
        assert!(late.contains("has refused"), "{late}");
        let again = node.0.refuse(&id, &ben, node.at(2).0).unwrap_err();
        assert_eq!(again.status, StatusCode::CONFLICT);
        assert_eq!(node.0.rows(node.at(2).0)[0]["state"], "refused");
    }

    #[test]
    fn another_configuration_of_access_has_what_was_agreed_to_wait_again() {
        let node = Node::new();
        let (anna, ben) = (who("anna", ApiRole::Admin), who("ben", ApiRole::Admin));
        node.0.under(&loaded(""));
        let id = node.waits(&anna, "files", 0);
        node.agree(&id, &ben, 1).unwrap();
        // Ben is there no more, as far as anybody knows.
        let other = "media_users = [\"anna\"]\n";
        node.0.under(&loaded(other));
        assert_eq!(node.waits(&anna, "files", 2), id);
        node.agree(&id, &who("carl", ApiRole::Admin), 3).unwrap();
        let more = format!("{other}[limits]\nladders = \"1MiB\"\n");
        node.0.under(&loaded(&more));
        assert!(node.ask(&anna, "files", 4).is_ok(), "nothing of access");
    }

    /// SEC-151.
    #[test]
    fn what_was_tried_in_vain_while_the_access_changed_waits_again() {
        let node = Node::new();
        let (anna, ben) = (who("anna", ApiRole::Admin), who("ben", ApiRole::Admin));
        node.0.under(&loaded(""));
        let id = node.waits(&anna, "files", 0);
        node.agree(&id, &ben, 1).unwrap();
        let tried = node.ask(&anna, "files", 2).ok().unwrap();
        // Nothing of access has changed by this.
        node.0.under(&loaded("[limits]\nladders = \"1MiB\"\n"));
        drop(tried);
        let tried = node.ask(&anna, "files", 3).ok().unwrap();
        node.0.under(&loaded("media_users = [\"anna\"]\n"));
        drop(tried);
        assert_eq!(node.waits(&anna, "files", 4), id);
        node.agree(&id, &who("carl", ApiRole::Admin), 5).unwrap();
        let told = node.ask(&anna, "files", 6).ok().unwrap().used().unwrap();
        assert_eq!(told, format!("agreed by carl (admin), approval {id}"));
    }

    #[test]
    fn what_was_done_stays_so_whoever_loses_a_token() {
        let node = Node::new();
        let (anna, ben) = (who("anna", ApiRole::Admin), who("ben", ApiRole::Admin));
        let id = node.waits(&anna, "files", 0);
        node.agree(&id, &ben, 1).unwrap();
        node.ask(&anna, "files", 2).ok().unwrap().used();
        node.0.revoked(ben.identity().unwrap(), "carl (admin)");
        let row = &node.0.rows(node.at(3).0)[0];
        assert_eq!(
            (&row["state"], &row["by"]),
            (&"used".into(), &"ben (admin)".into())
        );
    }

    #[test]
    fn what_waits_is_bounded_for_one_and_for_all() {
        let node = Node::new();
        let status = |who: &Who, exactly: &str, second| {
            let problem = node.ask(who, exactly, second).err();
            problem.map(|problem| problem.status)
        };
        let full = Some(StatusCode::INSUFFICIENT_STORAGE);
        for person in 0..6 {
            let own = who(&format!("user{person}"), ApiRole::Admin);
            for number in 0..=MOST_OF_ONE {
                let is_full = number == MOST_OF_ONE || person * MOST_OF_ONE + number >= MOST;
                let told = status(&own, &number.to_string(), 0);
                assert_eq!(told == full, is_full, "{person} {number}");
            }
        }
        // What is over makes room, and is not kept for ever.
        for round in 1..=20 {
            let own = who("anna", ApiRole::Admin);
            for number in 0..MOST_OF_ONE {
                assert_ne!(status(&own, &number.to_string(), round * 900), full);
            }
        }
        assert!(node.0.rows(node.at(0).0).len() <= KNOWN);
    }

    #[test]
    fn what_somebody_has_asked_for_or_agreed_to_is_not_done_once_their_token_is_revoked() {
        let node = Node::new();
        let (anna, ben) = (who("anna", ApiRole::Admin), who("ben", ApiRole::Admin));
        let (waits, agreed) = (node.waits(&anna, "one", 0), node.waits(&anna, "two", 0));
        let of_ben = node.waits(&ben, "three", 0);
        node.agree(&agreed, &ben, 1).unwrap();
        node.agree(&of_ben, &anna, 1).unwrap();
        let other = node.waits(&ben, "four", 1);
        let begun = node.0.capturing(Some("anna"), || Ok::<_, ()>(7));
        assert!(begun.is_ok() && node.0.hears(&anna, 7) && !node.0.hears(&anna, 8));
        // That which is tried at that moment is not tried again.
        let tried = node.ask(&anna, "two", 2).ok().unwrap();
        node.0.revoked("anna", "carl (admin)");
        drop(tried);
        assert!(!node.0.hears(&anna, 7));
        let late = node.agree(&waits, &ben, 3).unwrap_err();
        assert!(late.contains("carl (admin) has refused"), "{late}");
        assert_ne!(node.waits(&anna, "two", 3), agreed);
        assert_ne!(node.waits(&ben, "three", 3), of_ben);
        assert_eq!(node.waits(&ben, "four", 3), other, "nothing of hers");
    }
}
