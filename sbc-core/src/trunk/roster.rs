//! What is probed, found by what it belongs to: in a total outage every address fails once a minute, and none of these
//! failures may look at all others.

use super::asked::Pair;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Entries by number, each of one watch and, at Teams, of one pair of names.
#[derive(Debug)]
pub(super) struct Roster<T> {
    entries: BTreeMap<u32, Entry<T>>,
    of_watch: BTreeMap<u32, BTreeSet<u32>>,
    of_pair: BTreeMap<Arc<Pair>, BTreeSet<u32>>,
    /// Entries that were looked at.
    #[cfg(test)]
    pub(super) looks: std::cell::Cell<usize>,
}

#[derive(Debug)]
struct Entry<T> {
    watch: u32,
    pair: Option<Arc<Pair>>,
    own: T,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            of_watch: BTreeMap::new(),
            of_pair: BTreeMap::new(),
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        }
    }
}

impl<T> Roster<T> {
    /// Adds one under a number that is not used.
    pub(super) fn insert(&mut self, id: u32, watch: u32, pair: Option<Arc<Pair>>, own: T) {
        self.of_watch.entry(watch).or_default().insert(id);
        if let Some(pair) = &pair {
            self.of_pair.entry(Arc::clone(pair)).or_default().insert(id);
        }
        self.entries.insert(id, Entry { watch, pair, own });
    }

    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.look();
        self.entries.get(&id).map(|entry| &entry.own)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.look();
        self.entries.get_mut(&id).map(|entry| &mut entry.own)
    }

    /// The pair of names of one.
    pub(super) fn pair(&self, id: u32) -> Option<&Arc<Pair>> {
        self.look();
        self.entries.get(&id)?.pair.as_ref()
    }

    /// Those of a watch, by number.
    pub(super) fn of_watch(&self, watch: u32) -> impl Iterator<Item = &T> {
        let all = self.of_watch.get(&watch).into_iter().flatten();
        all.filter_map(|id| self.get(*id))
    }

    /// The numbers of those of a watch.
    pub(super) fn ids_of_watch(&self, watch: u32) -> Vec<u32> {
        let all = self.of_watch.get(&watch).into_iter().flatten();
        all.copied().collect()
    }

    /// Those of a pair of names, by number.
    pub(super) fn of_pair(&self, pair: &Pair) -> impl Iterator<Item = (u32, &T)> {
        let all = self.of_pair.get(pair).into_iter().flatten();
        all.filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// Takes those of a watch away that are gone, and gives them, by number.
    pub(super) fn forget(&mut self, watch: u32, is_gone: impl Fn(&T) -> bool) -> Vec<T> {
        let all = self.of_watch.get(&watch).into_iter().flatten().copied();
        let all = all.filter(|id| self.get(*id).is_some_and(&is_gone));
        let all: Vec<u32> = all.collect();
        all.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The names of a watch have changed.
    pub(super) fn rename(&mut self, watch: u32, pair: Option<&Arc<Pair>>) {
        let all = self.of_watch.get(&watch).into_iter().flatten().copied();
        for id in all.collect::<Vec<_>>() {
            if let Some(entry) = self.entries.remove(&id) {
                leave(&mut self.of_pair, entry.pair.as_deref(), id);
                self.insert(id, watch, pair.cloned(), entry.own);
            }
        }
    }

    fn remove(&mut self, id: u32) -> Option<T> {
        let entry = self.entries.remove(&id)?;
        leave(&mut self.of_watch, Some(&entry.watch), id);
        leave(&mut self.of_pair, entry.pair.as_deref(), id);
        Some(entry.own)
    }

    fn look(&self) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
    }
}

/// Takes a number out of what belongs to something, and that away with its last one.
fn leave<K, Q>(all: &mut BTreeMap<K, BTreeSet<u32>>, of: Option<&Q>, id: u32)
where
    K: Ord + std::borrow::Borrow<Q>,
    Q: Ord,
{
    if let Some(of) = of
        && let Some(own) = all.get_mut(of)
    {
        own.remove(&id);
        if own.is_empty() {
            all.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(fqdn: &str) -> Arc<Pair> {
        Arc::new((fqdn.to_owned(), "sip.example".to_owned()))
    }

    #[test]
    fn what_is_gone_or_renamed_is_found_by_nothing_old() {
        let (one, two) = (pair("one.example"), pair("two.example"));
        let mut roster = Roster::default();
        for (id, watch, own) in [(1, 7, 'a'), (2, 7, 'b'), (3, 8, 'c')] {
            roster.insert(id, watch, Some(Arc::clone(&one)), own);
        }
        let of = |roster: &Roster<char>, pair: &Pair| {
            let all = roster.of_pair(pair);
            all.map(|(_, own)| *own).collect::<String>()
        };
        assert_eq!(of(&roster, &one), "abc");
        assert_eq!(roster.forget(7, |own| *own == 'a'), ['a']);
        assert_eq!(roster.of_watch(7).collect::<String>(), "b");
        roster.rename(7, Some(&two));
        assert_eq!(
            (of(&roster, &one), of(&roster, &two)),
            ("c".into(), "b".into())
        );
        roster.rename(7, None);
        assert_eq!((of(&roster, &two), roster.pair(2)), (String::new(), None));
        assert_eq!(roster.get(2), Some(&'b'));
        roster.forget(7, |_| true);
        roster.forget(8, |_| true);
        assert!(roster.of_watch.is_empty() && roster.of_pair.is_empty());
    }
}
