//! How packets leave: next hops, learnt from the kernel and asked for anew every second.
//!
//! What a worker does not know, or what is old, it asks of the thread that watches the interfaces, and
//! sends by the socket meanwhile. So the kernel sees one packet of each destination a second: it keeps
//! the neighbour alive, notices when that has another address, and follows its own routes. Whatever can
//! go wrong here costs speed, not packets.
//!
//! Where an interface forwards by itself nothing is asked while it does. Each of its streams comes back to
//! the worker two seconds after the worker saw a packet of it at the latest, and what was known then was a
//! second old at most: a next hop that moves is followed within three seconds, and what is sent to the
//! old one meanwhile may be lost.

use crate::packet::frame::Mac;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

/// How long an answer is believed.
const HOLDS: Duration = Duration::from_secs(1);
/// How long to wait with the next question where there is no path yet.
const RETRY: Duration = Duration::from_millis(100);
/// Destinations remembered at most; where there are more, all are asked for anew.
const MOST_KNOWN: usize = 20_000;

/// Our address and theirs.
pub(super) type Ends = (IpAddr, IpAddr);

/// The way to a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Path {
    /// Position of the interface among those that have the program.
    pub(super) interface: usize,
    /// The next hop.
    pub(super) mac: Mac,
    /// The longest packet without Ethernet header.
    pub(super) mtu: u32,
}

/// What a worker asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) worker: usize,
    pub(super) ends: Ends,
}

/// What it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) ends: Ends,
    pub(super) way: Way,
}

/// What became of a question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Known(Path),
    /// The kernel has not found the next hop yet.
    Unknown,
    /// It does not leave by one of our interfaces.
    Elsewhere,
}

/// What one worker knows.
pub(super) struct Paths {
    worker: usize,
    known: HashMap<Ends, Known>,
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
}

struct Known {
    path: Option<Path>,
    /// The latest that was known.
    last: Option<Path>,
    until: Instant,
}

impl Paths {
    pub(super) fn new(
        worker: usize,
        questions: SyncSender<Question>,
        answers: Receiver<Answer>,
    ) -> Self {
        Self {
            worker,
            known: HashMap::new(),
            questions,
            answers,
        }
    }

    /// The way to a destination, if it is known and fresh.
    pub(super) fn find(&mut self, ends: Ends, now: Instant) -> Option<Path> {
        if let Some(known) = self.known.get_mut(&ends) {
            if known.until > now {
                return known.path;
            }
            known.path = None;
            known.until = now + RETRY;
        } else {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            let until = now + RETRY;
            let known = Known {
                path: None,
                last: None,
                until,
            };
            self.known.insert(ends, known);
        }
        // Where too many are asked for at once, they are asked for again.
        let _ = self.questions.try_send(Question {
            worker: self.worker,
            ends,
        });
        None
    }

    /// The way to a destination, if it is known and fresh; nothing is asked.
    pub(super) fn known(&self, ends: Ends, now: Instant) -> Option<Path> {
        let known = self.known.get(&ends)?;
        known.path.filter(|_| known.until > now)
    }

    /// Takes answers that have come. Says whether a way is another than before, or gone.
    pub(super) fn learn(&mut self, now: Instant) -> bool {
        let mut has_changed = false;
        for Answer { ends, way } in self.answers.try_iter() {
            let (path, holds) = match way {
                Way::Known(path) => (Some(path), HOLDS),
                Way::Unknown => (None, RETRY),
                Way::Elsewhere => (None, HOLDS),
            };
            let until = now + holds;
            if let Some(known) = self.known.get_mut(&ends) {
                has_changed |= known.last.is_some() && known.last != path;
                let last = path;
                *known = Known { path, last, until };
            }
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_path_is_asked_for_once_believed_for_a_while_and_asked_for_again() {
        let (ask, questions) = sync_channel(10);
        let (tell, answers) = sync_channel(10);
        let mut paths = Paths::new(3, ask, answers);
        let ends = ([192, 0, 2, 1].into(), [192, 0, 2, 7].into());
        let path = Path {
            interface: 0,
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
        };
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        assert_eq!(paths.find(ends, ms(0)), None);
        assert_eq!(paths.find(ends, ms(1)), None);
        let asked = questions.try_iter().map(|one| (one.worker, one.ends));
        assert_eq!(asked.collect::<Vec<_>>(), [(3, ends)]);
        let answer = |way| Answer { ends, way };
        tell.send(answer(Way::Known(path))).unwrap();
        assert!(!paths.learn(ms(2)), "it was not known before");
        assert_eq!(paths.known(ends, ms(1001)), Some(path));
        assert_eq!(paths.known(ends, ms(1002)), None);
        assert_eq!(paths.find(ends, ms(1001)), Some(path));
        assert_eq!(questions.try_iter().count(), 0);
        // The packet that finds it old goes by the socket, as do those until the answer.
        assert_eq!(paths.find(ends, ms(1002)), None);
        assert_eq!(paths.find(ends, ms(1003)), None);
        assert_eq!(questions.try_iter().count(), 1);
        for (way, begin, end) in [(Way::Unknown, 1004, 1104), (Way::Elsewhere, 1104, 2104)] {
            tell.send(answer(way)).unwrap();
            let is_gone = matches!(way, Way::Unknown);
            assert_eq!(paths.learn(ms(begin)), is_gone, "once");
            assert_eq!(paths.find(ends, ms(end - 1)), None);
            assert_eq!(questions.try_iter().count(), 0);
            assert_eq!(paths.find(ends, ms(end)), None);
            assert_eq!(questions.try_iter().count(), 1, "{way:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (ask, _questions) = sync_channel(1);
        let (_tell, answers) = sync_channel(1);
        let mut paths = Paths::new(0, ask, answers);
        let now = Instant::now();
        for number in 0..=MOST_KNOWN as u32 {
            paths.find(([192, 0, 2, 1].into(), number.to_be_bytes().into()), now);
        }
        assert_eq!(paths.known.len(), 1);
    }
}
