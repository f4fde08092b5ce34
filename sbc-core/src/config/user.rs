//! Users of a tenant as Microsoft knows them: which number leads to whom, `users = { "+4930…" = "GUID" }`
//! of a tenant. The directory does not tell the numbers that Teams has assigned, so the operator says them.

use super::file::pairs;
use super::finding::{Code, Collector};
use super::read::Section;
use super::reference::Form;
use super::source::At;
use crate::report::is_guid;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Most numbers that one tenant has users for. Asked for every ten seconds in batches of 650 they take a
/// fiftieth of what Microsoft allows.
const MOST_USERS: usize = 20_000;

/// So many answers about presence may be missed before it is old.
const MISSED: u32 = 3;
/// For so long presence counts at least.
const LEAST_GOOD: Duration = Duration::from_secs(60);

/// Object id of a user in Entra.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(u128);

impl UserId {
    /// Reads a GUID, in whatever case.
    pub fn parse(text: &str) -> Option<Self> {
        if !is_guid(text) {
            return None;
        }
        u128::from_str_radix(&text.replace('-', ""), 16)
            .ok()
            .map(Self)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            (id >> 80) & 0xffff,
            (id >> 64) & 0xffff,
            (id >> 48) & 0xffff,
            id & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({self})")
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// The users of a tenant, at most 20,000 numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Users {
    numbers: BTreeMap<String, UserId>,
    ids: BTreeSet<UserId>,
    /// How often their presence is asked for, if it is.
    every: Option<Duration>,
}

impl Users {
    /// These, whose presence is asked for every so often, if it is.
    pub fn new(numbers: BTreeMap<String, UserId>, every: Option<Duration>) -> Self {
        let ids = numbers.values().copied().collect();
        Self {
            numbers,
            ids,
            every,
        }
    }

    /// Whether anybody asks for their presence.
    pub fn is_asked(&self) -> bool {
        self.every.is_some()
    }

    /// For how long presence counts that was heard.
    pub fn good_for(&self) -> Duration {
        let some = self.every.unwrap_or_default() * MISSED;
        some.max(LEAST_GOOD)
    }

    /// Whose number it is: `+` and digits.
    pub fn of(&self, number: &str) -> Option<UserId> {
        self.numbers.get(number).copied()
    }

    /// Whether the tenant has this user.
    pub fn has(&self, user: UserId) -> bool {
        self.ids.contains(&user)
    }

    /// All of them, each once.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = UserId> + '_ {
        self.ids.iter().copied()
    }

    /// Every number with its user.
    pub fn numbers(&self) -> impl ExactSizeIterator<Item = (&str, UserId)> {
        self.numbers
            .iter()
            .map(|(number, user)| (number.as_str(), *user))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// Each number and the text of its user.
pub(super) type WrittenUsers = Vec<(At<String>, At<String>)>;

/// Reads the table of a tenant.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> WrittenUsers {
    section.notes("users", Form::Pairs, out);
    let item = section.take("users");
    item.map(|item| pairs(&item, &section.title, "users", out))
        .unwrap_or_default()
}

/// Checks what was read.
pub(super) fn checked(
    title: &str,
    written: &WrittenUsers,
    every: Option<Duration>,
    out: &mut Collector,
) -> Users {
    let mut numbers = BTreeMap::new();
    if let Some((number, _)) = written.get(MOST_USERS) {
        out.add(
            Code::OutOfRange,
            &number.span,
            format!("{title}: users has more than {MOST_USERS} numbers"),
            Some("name those whose presence decides where calls go".to_owned()),
        );
        return Users::default();
    }
    for (number, user) in written {
        let digits = number.value.strip_prefix('+').unwrap_or_default();
        let is_number =
            (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number {
            out.add(
                Code::BadForm,
                &number.span,
                format!(
                    "{title}: users \"{}\" is no number",
                    number.value.escape_debug()
                ),
                Some("write \"+\" and digits, such as \"+493023125001\"".to_owned()),
            );
        }
        match UserId::parse(&user.value) {
            Some(user) => drop(numbers.insert(number.value.clone(), user)),
            None => out.add(
                Code::BadForm,
                &user.span,
                format!(
                    "{title}: users \"{}\" is no object id",
                    user.value.escape_debug()
                ),
                Some("copy the \"Object ID\" of the user in Entra, a GUID".to_owned()),
            ),
        }
    }
    Users::new(numbers, every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_id_is_the_same_in_whatever_case_and_nothing_else_is_one() {
        let text = "0B2f3c4d-1111-2222-3333-444455556666";
        let user = UserId::parse(text).unwrap();
        assert_eq!(user.to_string(), text.to_ascii_lowercase());
        assert_eq!(UserId::parse(&user.to_string()), Some(user));
        for none in [
            "",
            "0b2f3c4d111122223333444455556666",
            "x",
            "0b2f3c4d-1111-2222-3333-44445555666g",
        ] {
            assert_eq!(UserId::parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_user_may_have_several_numbers_and_is_one() {
        let user = UserId::parse("0b2f3c4d-1111-2222-3333-444455556666").unwrap();
        let numbers = ["+4930111", "+4930112"].map(|number| (number.to_owned(), user));
        let every = Duration::from_secs(30);
        let users = Users::new(numbers.into(), Some(every));
        assert!(users.is_asked() && !Users::new(BTreeMap::new(), None).is_asked());
        assert_eq!(users.good_for(), every * 3);
        assert_eq!(users.of("+4930112"), Some(user));
        assert_eq!((users.of("+4930113"), users.ids().len()), (None, 1));
        assert!(users.has(user) && !users.is_empty());
    }
}
