//! A map for a handful of large values, in the order of their keys.
//!
//! A tree would make room for eleven of them at once, and a call has two legs and one early dialog.

/// Values by key, each in its own place.
#[derive(Clone, Debug)]
pub(crate) struct Few<K, V>(Vec<(K, Box<V>)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    /// One entry, and room for another.
    pub(crate) fn one(key: K, value: V) -> Self {
        let mut entries = Vec::with_capacity(2);
        entries.push((key, Box::new(value)));
        Self(entries)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all of them out.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether there is a value under a key.
    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.iter().any(|(own, _)| own == key)
    }

    /// The value under a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let mut entries = self.0.iter();
        entries
            .find(|(own, _)| own == key)
            .map(|(_, value)| &**value)
    }

    /// The value under a key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let mut entries = self.0.iter_mut();
        entries
            .find(|(own, _)| own == key)
            .map(|(_, value)| &mut **value)
    }

    /// Enters a value, in place of the one that was under its key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.0.binary_search_by(|(own, _)| own.cmp(&key)) {
            Ok(at) => *self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, Box::new(value))),
        }
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.0.iter().position(|(own, _)| own == key)?;
        Some(*self.0.remove(at).1)
    }

    /// Keys and values.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, &**value))
    }

    /// Keys and values, which can be changed.
    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, &mut **value))
    }

    /// Keys.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Values.
    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Values, which can be changed.
    pub(crate) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_order_and_one_per_key() {
        let mut few = Few::one(2, 'b');
        few.insert(3, 'c');
        few.insert(1, 'x');
        few.insert(1, 'a');
        assert_eq!(few.values().collect::<String>(), "abc");
        assert_eq!((few.get(&2), few.get(&4)), (Some(&'b'), None));
        *few.get_mut(&2).unwrap() = 'y';
        assert_eq!((few.remove(&2), few.remove(&2)), (Some('y'), None));
        few.values_mut()
            .for_each(|value| value.make_ascii_uppercase());
        let entries: Vec<_> = few.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(entries, [(1, 'A'), (3, 'C')]);
        assert!(few.len() == 2 && few.contains_key(&3) && !few.contains_key(&2));
        few.clear();
        assert!(few.len() == 0 && few.get(&1).is_none());
    }
}
