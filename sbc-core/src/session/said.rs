//! A response of a peer as it came: what a session does not understand, policy may.

use crate::sip::Message;
use std::ops::Deref;

/// A response. Two are equal if their octets are.
#[derive(Clone, Debug)]
pub struct Said(Message);

impl Said {
    pub(super) fn new(message: &Message) -> Self {
        Self(message.clone())
    }
}

impl Deref for Said {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Said {}
