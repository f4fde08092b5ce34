//! Who wants the next call to a number: scripts claim it, the rest is answered by rote.

use super::agent::Received;
use crate::lock::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Stands for every number.
pub const ANY: &str = "*";

/// Claimed numbers. Clones are the same list.
#[derive(Clone, Default)]
pub struct Claims(Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Received>>>>);

impl Claims {
    /// From now on, calls to `number` come here; until the receiver is dropped. The number
    /// [`ANY`] stands for all that nobody else claimed.
    pub fn claim(&self, number: &str) -> mpsc::UnboundedReceiver<Received> {
        let (sender, calls) = mpsc::unbounded_channel();
        lock(&self.0).insert(number.to_owned(), sender);
        calls
    }

    /// Gives a call to whoever claimed its number; back it comes if nobody did.
    pub fn give(&self, number: &str, invite: Received) -> Option<Received> {
        let claims = lock(&self.0);
        let claimant = claims.get(number).or_else(|| claims.get(ANY)).cloned();
        drop(claims);
        match claimant {
            Some(claimant) => claimant.send(invite).err().map(|unsent| unsent.0),
            None => Some(invite),
        }
    }
}
