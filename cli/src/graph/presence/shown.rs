//! Whom Microsoft is to show as busy in a call: who talks over our trunks, renewed before it ends by itself, and
//! nobody else (graph-and-entra 3.3). Without requests and without a clock.

use sbc_core::config::UserId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// For how long a user is shown so if nobody renews it: the shortest that Microsoft takes, so that little is wrong
/// after a crash.
pub const EXPIRES: Duration = Duration::from_secs(300);
/// The same in the form of Microsoft.
pub const EXPIRES_TEXT: &str = "PT5M";
/// When it is renewed: it may fail once.
const RENEWED: Duration = Duration::from_secs(120);
/// When something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// Most users of a tenant who are shown at a time: renewing them takes a twelfth of the requests that the tenant
/// may make.
pub const MOST: usize = 500;

/// Users who are shown as busy.
#[derive(Default, Debug)]
pub struct Shown {
    users: BTreeMap<UserId, State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// When it is to be renewed.
    renew: Instant,
    /// Before, nothing is tried, because something has failed.
    not_before: Instant,
    /// When Microsoft forgets it by itself.
    until: Instant,
    /// Microsoft does not have such a user: nothing more is tried while the user talks.
    is_refused: bool,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Show this user as busy, or go on doing so.
    Set(UserId),
    /// Show it no more.
    Clear(UserId),
}

impl Shown {
    /// The next thing to be done now. Who hangs up comes first.
    pub fn next(&mut self, now: Instant, talking: &BTreeSet<UserId>) -> Option<Wish> {
        self.users.retain(|user, state| {
            let is_over = state.is_refused || state.until <= now;
            talking.contains(user) || !is_over
        });
        let may = |state: &State| state.not_before <= now && !state.is_refused;
        let mut over = self
            .users
            .iter()
            .filter(|(user, _)| !talking.contains(*user));
        if let Some((user, _)) = over.find(|(_, state)| may(state)) {
            return Some(Wish::Clear(*user));
        }
        let mut new = talking.iter().filter(|user| !self.users.contains_key(user));
        if self.users.len() < MOST
            && let Some(user) = new.next()
        {
            return Some(Wish::Set(*user));
        }
        let mut worn = self.users.iter();
        let worn = worn.find(|(_, state)| may(state) && state.renew <= now);
        worn.map(|(user, _)| Wish::Set(*user))
    }

    /// Everybody who is shown, for who stops.
    pub fn all(&self) -> Vec<UserId> {
        let shown = self.users.iter().filter(|(_, state)| !state.is_refused);
        shown.map(|(user, _)| *user).collect()
    }

    /// Microsoft is asked to show a user: from now on it may do so, whatever becomes of the request.
    pub fn begins(&mut self, now: Instant, user: UserId) {
        let state = self.users.entry(user).or_insert(State {
            renew: now,
            not_before: now,
            until: now + EXPIRES,
            is_refused: false,
        });
        state.until = now + EXPIRES;
    }

    /// A user is shown.
    pub fn set(&mut self, now: Instant, user: UserId) {
        if let Some(state) = self.users.get_mut(&user) {
            state.renew = now + RENEWED;
        }
    }

    /// What was tried about a user has failed for now.
    pub fn failed(&mut self, now: Instant, user: UserId) {
        if let Some(state) = self.users.get_mut(&user) {
            state.not_before = now + AGAIN;
        }
    }

    /// A user cannot be shown.
    pub fn refused(&mut self, user: UserId) {
        if let Some(state) = self.users.get_mut(&user) {
            state.is_refused = true;
        }
    }

    /// A user is not shown any more.
    pub fn cleared(&mut self, user: UserId) {
        self.users.remove(&user);
    }

    /// How many are shown.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody is shown.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(last: u16) -> UserId {
        UserId::parse(&format!("0b2f3c4d-1111-2222-3333-44445555{last:04x}")).unwrap()
    }

    fn talking(users: &[u16]) -> BTreeSet<UserId> {
        users.iter().map(|last| user(*last)).collect()
    }

    #[test]
    fn who_talks_is_shown_renewed_before_it_ends_and_cleared_afterwards() {
        let (mut shown, start) = (Shown::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let on = talking(&[1]);
        assert_eq!(shown.next(at(0), &on), Some(Wish::Set(user(1))));
        shown.begins(at(0), user(1));
        shown.set(at(0), user(1));
        assert_eq!(shown.next(at(119), &on), None);
        assert_eq!(shown.next(at(120), &on), Some(Wish::Set(user(1))));
        shown.begins(at(120), user(1));
        shown.set(at(120), user(1));
        assert_eq!(shown.next(at(239), &on), None);
        // Another one begins, and the first hangs up: that comes first.
        let other = talking(&[2]);
        assert_eq!(shown.next(at(200), &other), Some(Wish::Clear(user(1))));
        shown.cleared(user(1));
        assert_eq!(shown.next(at(200), &other), Some(Wish::Set(user(2))));
        assert_eq!(shown.next(at(200), &talking(&[])), None);
        assert!(shown.is_empty());
    }

    #[test]
    fn what_fails_is_tried_again_later_and_ends_by_itself() {
        let (mut shown, start) = (Shown::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let on = talking(&[1]);
        shown.begins(at(0), user(1));
        shown.failed(at(0), user(1));
        // It may have been heard all the same: whoever stops now clears it.
        assert_eq!(shown.all(), [user(1)]);
        assert_eq!(shown.next(at(29), &on), None);
        assert_eq!(shown.next(at(30), &on), Some(Wish::Set(user(1))));
        let nobody = talking(&[]);
        assert_eq!(shown.next(at(30), &nobody), Some(Wish::Clear(user(1))));
        shown.failed(at(30), user(1));
        assert_eq!(shown.next(at(59), &nobody), None);
        assert_eq!(shown.next(at(60), &nobody), Some(Wish::Clear(user(1))));
        // Microsoft has forgotten it by itself.
        assert_eq!(shown.next(at(300), &nobody), None);
        assert!(shown.is_empty());
        // Of a user who is none nobody asks again within the call, nor clears it.
        shown.begins(at(300), user(1));
        shown.refused(user(1));
        assert_eq!(shown.next(at(1_000), &on), None);
        assert_eq!(shown.all(), []);
        assert_eq!(shown.next(at(1_000), &nobody), None);
        assert_eq!(shown.next(at(1_001), &on), Some(Wish::Set(user(1))));
    }

    #[test]
    fn so_many_are_shown_and_no_more() {
        let (mut shown, now) = (Shown::default(), Instant::now());
        let on: BTreeSet<UserId> = (0..600).map(user).collect();
        while let Some(Wish::Set(user)) = shown.next(now, &on) {
            shown.begins(now, user);
            shown.set(now, user);
        }
        assert_eq!(shown.len(), MOST);
    }
}
