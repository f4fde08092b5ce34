//! A record that grows while others read what it was: it is copied only where somebody still reads.

use super::Record;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The record of a call in progress. To change it copies it if whoever was told of it last is not done.
#[derive(Debug)]
pub(crate) struct Growing(Arc<Record>);

impl Growing {
    /// It is nobody else's yet.
    pub(crate) fn new(record: Record) -> Self {
        Self(Arc::new(record))
    }

    /// As it stands, and stays for whoever has it.
    pub(crate) fn now(&self) -> Arc<Record> {
        Arc::clone(&self.0)
    }
}

impl Deref for Growing {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0
    }
}

impl DerefMut for Growing {
    fn deref_mut(&mut self) -> &mut Record {
        Arc::make_mut(&mut self.0)
    }
}
