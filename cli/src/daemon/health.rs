//! Whether every thread that calls depend on makes progress: what the watchdog and the probes tell.

use crate::daemon::media::Plane;
use crate::daemon::shard::Heartbeat;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A thread that made no progress for this long is stuck (REL-004).
const STUCK: Duration = Duration::from_secs(3);

/// Signs of life of the shards and of the media workers.
#[derive(Clone)]
pub struct Health {
    shards: Vec<Arc<Heartbeat>>,
    /// Gone once the daemon stops.
    relay: Weak<Plane>,
}

/// A thread that makes no progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stuck {
    who: &'static str,
    /// For how long.
    pub age: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, age } = self;
        write!(f, "{who} made no progress for {} ms", age.as_millis())
    }
}

impl Health {
    pub(super) fn new(shards: Vec<Arc<Heartbeat>>, relay: &Arc<Plane>) -> Self {
        Self {
            shards,
            relay: Arc::downgrade(relay),
        }
    }

    /// Signalling threads.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Why no new calls can have media, where the relay is a process of its own.
    pub fn media_trouble(&self) -> Option<String> {
        self.relay.upgrade().and_then(|relay| relay.trouble())
    }

    /// The thread that is worst off, if it is stuck.
    pub fn stuck(&self) -> Option<Stuck> {
        let shards = self.shards.iter().map(|shard| Stuck {
            who: "a shard",
            age: shard.age(),
        });
        let relay = self.relay.upgrade();
        let silence = relay.and_then(|relay| relay.longest_silence());
        worst(shards.chain(silence.map(media)))
    }
}

/// The media worker that is worst off, if it is stuck.
pub fn stuck_media(silence: Duration) -> Option<Stuck> {
    worst(std::iter::once(media(silence)))
}

fn media(age: Duration) -> Stuck {
    Stuck {
        who: "a media worker",
        age,
    }
}

fn worst(all: impl Iterator<Item = Stuck>) -> Option<Stuck> {
    all.max_by_key(|each| each.age)
        .filter(|worst| worst.age > STUCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stuck_thread_of_either_kind_is_enough() {
        let shard = |ms| Stuck {
            who: "a shard",
            age: Duration::from_millis(ms),
        };
        let media = |ms| media(Duration::from_millis(ms));
        let told = |all: &[Stuck]| worst(all.iter().copied()).map(|stuck| stuck.to_string());
        assert_eq!(told(&[shard(500), shard(3000), media(250)]), None);
        assert_eq!(
            told(&[shard(500), media(3001)]).as_deref(),
            Some("a media worker made no progress for 3001 ms")
        );
        assert_eq!(
            told(&[shard(9000), media(3001)]).as_deref(),
            Some("a shard made no progress for 9000 ms")
        );
        assert_eq!(told(&[]), None);
    }
}
