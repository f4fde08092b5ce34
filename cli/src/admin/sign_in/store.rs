//! Sign-ins that are under way, and sessions: in memory, of bounded number, and each with an end (SEC-150, SEC-152).

use crate::admin::rates::{Sources, source};
use crate::daemon::net::tls::random;
use sbc_core::config::{Oidc, OidcRole};
use sbc_core::sdp::base64_encode;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sign-ins under way; of one source.
const PENDING: usize = 256;
const PENDING_OF_ONE: usize = 16;
/// How long one may take: people look for their telephone.
const PATIENCE: Duration = Duration::from_secs(600);
/// Sign-ins that one source may begin at once, and in a minute.
const BEGINS: f64 = 10.0;
/// Sources that are remembered.
const SOURCES: usize = 1_024;
/// Sessions; of one person.
const SESSIONS: usize = 256;
const SESSIONS_OF_ONE: usize = 8;

/// A hash under which something is kept: who reads memory or times answers learns no token by it.
type Hash = [u8; 32];

/// All of them.
#[derive(Default)]
pub(super) struct Store(Mutex<Tables>);

struct Tables {
    pending: HashMap<Hash, Pending>,
    sources: Sources,
    sessions: HashMap<Hash, Session>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            pending: HashMap::new(),
            sources: Sources::new(BEGINS / 60.0, BEGINS, SOURCES),
            sessions: HashMap::new(),
        }
    }
}

/// A sign-in under way.
pub(super) struct Pending {
    source: IpAddr,
    begun: Instant,
    /// Hash of what the tab that began it holds.
    tab: Hash,
    /// What the token must answer.
    pub(super) nonce: String,
    /// What proves that the code was asked for here (RFC 7636).
    pub(super) verifier: String,
}

/// What is told to whoever begins one.
pub(super) struct Begun {
    pub(super) state: String,
    pub(super) tab: String,
    pub(super) nonce: String,
    pub(super) challenge: String,
}

/// Somebody whom the issuer has named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::admin) struct Person {
    /// What the audit log calls them: `oid` and `tid`, which nobody can change.
    pub(in crate::admin) name: String,
    /// What they call themselves; to be shown to them, and for nothing else.
    pub(in crate::admin) called: Option<String>,
    /// The application's roles that they have.
    pub(super) values: Vec<String>,
    /// Who has named them, and to whom.
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) tenant: Option<String>,
}

impl Person {
    /// What they may be by this configuration, which need not be that of their sign-in.
    pub(super) fn role<'a>(&self, oidc: &'a Oidc) -> Option<&'a OidcRole> {
        let tenant = self.tenant.as_ref();
        let may_come =
            oidc.tenants.is_empty() || tenant.is_some_and(|tenant| oidc.tenants.contains(tenant));
        let is_same = self.issuer == oidc.issuer && self.client_id == oidc.client_id;
        let has = |role: &&OidcRole| self.values.contains(&role.value);
        oidc.roles.iter().find(has).filter(|_| may_come && is_same)
    }
}

struct Session {
    person: Person,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, oidc: &Oidc, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        since(self.begun) >= oidc.session || since(self.used) >= oidc.idle
    }
}

impl Store {
    /// Begins a sign-in; `None`: this source has begun too many, or there are no random numbers.
    pub(super) fn begin(&self, from: IpAddr, now: Instant) -> Option<Begun> {
        let from = source(from);
        let mut tables = self.lock();
        tables.sources.take(&from, now).then_some(())?;
        let (state, tab, nonce, verifier) = (word()?, word()?, word()?, word()?);
        let challenge = url_safe(&Sha256::digest(&verifier));
        let pending = Pending {
            source: from,
            begun: now,
            tab: hash(&tab),
            nonce: nonce.clone(),
            verifier,
        };
        tables.make_room(from, now);
        tables.pending.insert(hash(&state), pending);
        Some(Begun {
            state,
            tab,
            nonce,
            challenge,
        })
    }

    /// Takes a sign-in out, which is good once and for the tab that began it.
    pub(super) fn take(&self, state: &str, tab: &str, now: Instant) -> Option<Pending> {
        let mut tables = self.lock();
        let key = hash(state);
        let pending = tables.pending.get(&key)?;
        let is_late = now.saturating_duration_since(pending.begun) >= PATIENCE;
        // Of somebody else's tab: it stays theirs.
        if pending.tab != hash(tab) {
            return None;
        }
        tables.pending.remove(&key).filter(|_| !is_late)
    }

    /// Opens a session, and gives its token.
    pub(super) fn open(&self, person: Person, oidc: &Oidc, now: Instant) -> Option<String> {
        let token = word()?;
        let mut tables = self.lock();
        let sessions = &mut tables.sessions;
        sessions.retain(|_, session| !session.is_over(oidc, now));
        let is_own = |session: &Session| session.person.name == person.name;
        let own = sessions.values().filter(|one| is_own(one)).count();
        let is_full = sessions.len() >= SESSIONS;
        if own >= SESSIONS_OF_ONE || is_full {
            // Who has many loses one of theirs first.
            let rivals = sessions
                .iter()
                .filter(|(_, one)| own < SESSIONS_OF_ONE || is_own(one));
            let oldest = rivals.min_by_key(|(_, one)| one.used).map(|(key, _)| *key);
            oldest.and_then(|key| sessions.remove(&key));
        }
        let session = Session {
            person,
            begun: now,
            used: now,
        };
        sessions.insert(hash(&token), session);
        Some(token)
    }

    /// Whose session this is, if it is not over. It was used `ago`.
    pub(super) fn find(
        &self,
        token: &[u8],
        oidc: &Oidc,
        (now, ago): (Instant, Duration),
    ) -> Option<Person> {
        let mut tables = self.lock();
        let key: Hash = Sha256::digest(token).into();
        let session = tables.sessions.get_mut(&key)?;
        if session.is_over(oidc, now) {
            tables.sessions.remove(&key);
            return None;
        }
        let used = now.checked_sub(ago).unwrap_or(session.used);
        session.used = session.used.max(used);
        Some(session.person.clone())
    }

    /// Ends a session.
    pub(super) fn close(&self, token: &[u8]) -> Option<Person> {
        let key: Hash = Sha256::digest(token).into();
        let session = self.lock().sessions.remove(&key)?;
        Some(session.person)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Room for one more of this source: its own oldest goes if it has many, and else the oldest of who has most.
    fn make_room(&mut self, from: IpAddr, now: Instant) {
        self.pending
            .retain(|_, one| now.saturating_duration_since(one.begun) < PATIENCE);
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for one in self.pending.values() {
            *counts.entry(one.source).or_default() += 1;
        }
        let own = counts.get(&from).copied().unwrap_or_default();
        let loser = match own >= PENDING_OF_ONE {
            true => Some(from),
            false if self.pending.len() >= PENDING => {
                let most = counts.iter().max_by_key(|(_, count)| **count);
                most.map(|(source, _)| *source)
            }
            false => None,
        };
        let of_loser = self
            .pending
            .iter()
            .filter(|(_, one)| Some(one.source) == loser);
        let oldest = of_loser
            .min_by_key(|(_, one)| one.begun)
            .map(|(key, _)| *key);
        oldest.and_then(|key| self.pending.remove(&key));
    }
}

/// 256 random bits.
fn word() -> Option<String> {
    let mut octets = [0; 32];
    random(&mut octets).ok()?;
    Some(url_safe(&octets))
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

/// Base64 for URLs, without padding (RFC 4648 §5).
fn url_safe(octets: &[u8]) -> String {
    let text = base64_encode(octets);
    text.trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{ApiRole, GraphProof, Secret};

    fn oidc() -> Oidc {
        let role = |value: &str, role| OidcRole {
            value: value.to_owned(),
            role,
            numbers: false,
            media: false,
        };
        Oidc {
            issuer: "https://login.example.com/t/v2.0".to_owned(),
            discovery: String::new(),
            tenants: vec!["t".to_owned()],
            client_id: "c".to_owned(),
            proof: GraphProof::Secret(Secret::File(String::new())),
            url: "https://sbc.example.com".to_owned(),
            roots: String::new(),
            name: String::new(),
            claim: "roles".to_owned(),
            roles: vec![role("Ops", ApiRole::Operator), role("See", ApiRole::Viewer)],
            session: Duration::from_secs(3_600),
            idle: Duration::from_secs(600),
        }
    }

    fn person(name: &str) -> Person {
        Person {
            name: name.to_owned(),
            called: None,
            values: vec!["See".to_owned(), "Ops".to_owned()],
            issuer: oidc().issuer,
            client_id: "c".to_owned(),
            tenant: Some("t".to_owned()),
        }
    }

    fn host(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    #[test]
    fn a_sign_in_is_good_once_for_the_tab_that_began_it_and_for_ten_minutes() {
        let (store, now) = (Store::default(), Instant::now());
        let begun = store.begin(host(1), now).unwrap();
        assert!(store.take(&begun.state, "other", now).is_none());
        assert!(store.take("other", &begun.tab, now).is_none());
        let taken = store.take(&begun.state, &begun.tab, now).unwrap();
        assert_eq!(url_safe(&Sha256::digest(&taken.verifier)), begun.challenge);
        assert_eq!((taken.nonce.len(), taken.verifier.len()), (43, 43));
        assert!(store.take(&begun.state, &begun.tab, now).is_none());
        let late = store.begin(host(1), now).unwrap();
        assert!(store.take(&late.state, &late.tab, now + PATIENCE).is_none());
    }

    #[test]
    fn a_flood_of_sign_ins_takes_neither_memory_nor_the_place_of_others() {
        let (store, now) = (Store::default(), Instant::now());
        let own = store.begin(host(1), now).unwrap();
        let of_one = (0..100)
            .filter(|_| store.begin(host(2), now).is_some())
            .count();
        assert_eq!(of_one, BEGINS as usize);
        let mut later = now;
        for _ in 0..30 {
            later += Duration::from_secs(7);
            assert!(store.begin(host(2), later).is_some());
        }
        let held = |of| {
            store
                .lock()
                .pending
                .values()
                .filter(|one| one.source == of)
                .count()
        };
        assert_eq!(held(host(2)), PENDING_OF_ONE);
        for number in 0..10_000 {
            for _ in 0..3 {
                store.begin(host(10 + number % 200), later);
            }
        }
        let tables = store.lock();
        assert!(tables.pending.len() <= PENDING && tables.sources.len() <= SOURCES);
        drop(tables);
        assert!(store.take(&own.state, &own.tab, later).is_some());
    }

    #[test]
    fn a_session_ends_after_its_time_after_a_pause_and_by_a_sign_out() {
        let (store, now, oidc) = (Store::default(), Instant::now(), oidc());
        let at = |second| now + Duration::from_secs(second);
        let open = || store.open(person("p"), &oidc, now).unwrap();
        let find = |token: &str, second, ago| {
            let ago = Duration::from_secs(ago);
            store
                .find(token.as_bytes(), &oidc, (at(second), ago))
                .is_some()
        };
        let used = open();
        for second in (0..3_600).step_by(599) {
            assert!(find(&used, second, 0), "{second}");
        }
        assert!(!find(&used, 3_600, 0));
        let left = open();
        assert!(find(&left, 599, 0));
        assert!(!find(&left, 1_199, 0));
        // A page that asks by itself says how long nobody was there.
        let alone = open();
        for second in (0..600).step_by(10) {
            assert!(find(&alone, second, second), "{second}");
        }
        assert!(!find(&alone, 600, 600));
        let out = open();
        assert_eq!(store.close(out.as_bytes()).unwrap().name, "p");
        assert!(!find(&out, 1, 0));
        assert!(store.close(out.as_bytes()).is_none());
        assert!(!find("", 1, 0));
    }

    #[test]
    fn sessions_are_bounded_and_one_person_takes_the_place_of_nobody_else() {
        let (store, now, oidc) = (Store::default(), Instant::now(), oidc());
        let other = store.open(person("other"), &oidc, now).unwrap();
        let later = now + Duration::from_secs(1);
        let tokens: Vec<String> = (0..1_000)
            .map(|_| store.open(person("p"), &oidc, later).unwrap())
            .collect();
        assert_eq!(store.lock().sessions.len(), SESSIONS_OF_ONE + 1);
        let is_there = |token: &String| {
            let when = (later, Duration::ZERO);
            store.find(token.as_bytes(), &oidc, when).is_some()
        };
        assert!(is_there(&other));
        assert!(is_there(tokens.last().unwrap()));
        for number in 0..1_000 {
            store
                .open(person(&number.to_string()), &oidc, later)
                .unwrap();
        }
        assert_eq!(store.lock().sessions.len(), SESSIONS);
    }

    #[test]
    fn what_somebody_may_do_is_said_by_the_configuration_of_now() {
        let (mut now, person) = (oidc(), person("p"));
        assert_eq!(
            person.role(&now).map(|own| own.role),
            Some(ApiRole::Operator)
        );
        now.roles.remove(0);
        assert_eq!(person.role(&now).map(|own| own.role), Some(ApiRole::Viewer));
        now.tenants = vec!["u".to_owned()];
        assert_eq!(person.role(&now), None);
        now = oidc();
        now.client_id = "d".to_owned();
        assert_eq!(person.role(&now), None);
        now = oidc();
        now.roles.clear();
        assert_eq!(person.role(&now), None);
    }
}
