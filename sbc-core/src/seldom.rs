//! A list that is nearly always empty, in what there is much of: without entries it takes one word.

use std::ops::{Deref, DerefMut};

/// Entries in order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    clippy::box_collection,
    reason = "a word, where there is nearly always nothing"
)]
pub(crate) struct Seldom<T>(Option<Box<Vec<T>>>);

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Seldom<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |all| all)
    }
}

impl<T> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_mut().map_or(&mut [], |all| all)
    }
}

impl<T> Seldom<T> {
    /// Adds an entry behind all others.
    pub(crate) fn push(&mut self, entry: T) {
        self.0.get_or_insert_default().push(entry);
    }

    /// Keeps those entries for which this holds.
    pub(crate) fn retain(&mut self, keeps: impl FnMut(&T) -> bool) {
        if let Some(all) = &mut self.0 {
            all.retain(keeps);
        }
        self.tidy();
    }

    /// Takes those entries out for which this holds.
    pub(crate) fn extract(&mut self, goes: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let taken = match &mut self.0 {
            Some(all) => all.extract_if(.., goes).collect(),
            None => Vec::new(),
        };
        self.tidy();
        taken
    }

    /// Takes out the entry at a place that there is, and moves the others up.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let all = self.0.as_mut().filter(|all| at < all.len())?;
        let taken = all.remove(at);
        self.tidy();
        Some(taken)
    }

    /// Takes all entries out.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    fn tidy(&mut self) {
        self.0.take_if(|all| all.is_empty());
    }
}

impl<T> IntoIterator for Seldom<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map_or_else(Vec::new, |all| *all).into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Seldom<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Seldom<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_order_and_none_take_no_room() {
        let mut list = Seldom::default();
        assert!(list.is_empty() && list.remove(0).is_none());
        (1..=5).for_each(|own| list.push(own));
        assert_eq!(list.extract(|own| *own % 2 == 0), [2, 4]);
        list.retain(|own| *own != 1);
        list.iter_mut().for_each(|own| *own *= 10);
        assert_eq!(*list, [30, 50]);
        assert_eq!((list.remove(1), list.remove(1)), (Some(50), None));
        assert_eq!(list.remove(0), Some(30));
        assert_eq!(list, Seldom::default(), "nothing is left of it");
        assert_eq!(size_of::<Seldom<u8>>(), size_of::<usize>());
    }
}
