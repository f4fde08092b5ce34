//! Headers that nobody here knows and no list lets pass: they stay behind, and that is told once for each name and trunk
//! (§5.4 of our requirements) by each shard, so that whoever misses one finds it, and nobody is told with every call.

use crate::config::Trunk;
use crate::id::TrunkName;
use crate::policy::emergency;
use crate::policy::header::{is_configurable, passes};
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
    /// The headers of a message, maybe of a call for help, that stay behind on their way to another trunk, and of which
    /// that was not told yet. What nobody could let pass, or somebody has said to strip, is no news.
    pub fn news(
        &mut self,
        message: &Message,
        from: &Trunk,
        to: &Trunk,
        is_help: bool,
    ) -> Vec<String> {
        let is_stripped = |name: &str| {
            let mut own = to.strip_headers.iter();
            own.any(|own| own.eq_ignore_ascii_case(name))
        };
        let helps = |name: &HeaderName| {
            let of_help = is_help.then(|| emergency::passed(message, to));
            of_help.is_some_and(|of_help| of_help.iter().any(|(own, _)| own == name))
        };
        let mut news = Vec::new();
        for line in message.headers() {
            let known = line.name();
            let HeaderName::Other(name) = &known else {
                continue;
            };
            let name = name.as_str();
            if name.len() > LONGEST || self.is_known(from, name) {
                continue;
            }
            let stays = !passes(&known, from, to)
                && is_configurable(&known)
                && !is_stripped(name)
                && !helps(&known);
            if stays && self.note(from, name) {
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
