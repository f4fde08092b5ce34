//! Lists and texts with an end: a body of so many octets must not become many times as many in memory.

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// At most so many.
pub(crate) struct Few<T, const MOST: usize>(pub(crate) Vec<T>);

/// A text of at most so many octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Short<const MOST: usize>(pub(crate) String);

impl<'d, T: Deserialize<'d>, const MOST: usize> Deserialize<'d> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Reading(PhantomData))
    }
}

struct Reading<T, const MOST: usize>(PhantomData<T>);

impl<'d, T: Deserialize<'d>, const MOST: usize> Visitor<'d> for Reading<T, MOST> {
    type Value = Few<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut few = Vec::new();
        while let Some(one) = list.next_element()? {
            if few.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            few.push(one);
        }
        Ok(Few(few))
    }
}

impl<'d, const MOST: usize> Deserialize<'d> for Short<MOST> {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.len() <= MOST {
            true => Ok(Self(text)),
            false => Err(D::Error::custom("this is too long")),
        }
    }
}
