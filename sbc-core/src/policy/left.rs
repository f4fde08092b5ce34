//! Headers that nobody here knows and no list lets pass: they stay behind, and that is told once for each name and trunk
//! (§5.4 of our requirements), so that whoever misses one finds it, and nobody is told twice.

use crate::config::Trunk;
use crate::id::TrunkName;
use crate::policy::header::passes;
use crate::sip::{HeaderName, Message};
use std::collections::BTreeMap;

/// Names that were told, by trunk that they come from.
#[derive(Debug, Default)]
pub struct LeftBehind(BTreeMap<TrunkName, Vec<Box<str>>>);

/// Most names of one trunk that are told: a peer may make up as many as it likes.
const MOST_NAMES: usize = 64;

/// Most trunks: those of earlier configurations stay.
const MOST_TRUNKS: usize = 4_096;

/// Longest name that is told, octets.
const LONGEST: usize = 64;

impl LeftBehind {
    /// The headers of a message that stay behind on their way to another trunk, and of which that was not told yet.
    pub fn news(&mut self, message: &Message, from: &Trunk, to: &Trunk) -> Vec<String> {
        let mut news = Vec::new();
        for line in message.headers() {
            let HeaderName::Other(name) = line.name() else {
                continue;
            };
            let name = name.as_str();
            if name.len() > LONGEST || self.is_known(from, name) {
                continue;
            }
            if !passes(&line.name(), from, to) && self.note(from, name) {
                news.push(name.to_owned());
            }
        }
        news
    }

    fn is_known(&self, from: &Trunk, name: &str) -> bool {
        let known = self.0.get(&from.name);
        known.is_some_and(|known| {
            known.len() >= MOST_NAMES || known.iter().any(|own| own.eq_ignore_ascii_case(name))
        })
    }

    /// Says whether there was room.
    fn note(&mut self, from: &Trunk, name: &str) -> bool {
        if self.0.len() >= MOST_TRUNKS && !self.0.contains_key(&from.name) {
            return false;
        }
        self.0
            .entry(from.name.clone())
            .or_default()
            .push(name.into());
        true
    }
}
