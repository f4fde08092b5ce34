//! Answers of the last seconds: who asks again with the same cookie gets the same answer.

use crate::server::{Asker, Now};
use std::collections::{HashMap, VecDeque};

/// How long an answer is kept, in milliseconds: the known modules ask for some five seconds.
const KEPT_MS: u64 = 10_000;
/// Requests that are remembered at most; the oldest are forgotten first.
const MOST: usize = 16_384;

/// What has become of a request.
pub(crate) enum Known<'a> {
    New,
    /// It is being served.
    Served,
    Answered(&'a [u8]),
}

/// Requests by who asked, and under which cookie.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    /// `None` until there is an answer.
    answers: HashMap<Asker, Option<Vec<u8>>>,
    order: VecDeque<(u64, Asker)>,
}

impl Cookies {
    /// Looks a request up, and remembers it if it is new.
    pub(crate) fn ask(&mut self, asker: &Asker, now: Now) -> Known<'_> {
        self.forget(now);
        if !self.answers.contains_key(asker) {
            self.answers.insert(asker.clone(), None);
            self.order.push_back((now.monotonic_ms, asker.clone()));
            return Known::New;
        }
        match self.answers.get(asker) {
            Some(Some(answer)) => Known::Answered(answer),
            Some(None) | None => Known::Served,
        }
    }

    pub(crate) fn answered(&mut self, asker: &Asker, answer: Vec<u8>) {
        if let Some(place) = self.answers.get_mut(asker) {
            *place = Some(answer);
        }
    }

    fn forget(&mut self, now: Now) {
        while let Some((at, asker)) = self.order.front() {
            let is_old = now.monotonic_ms.saturating_sub(*at) > KEPT_MS;
            if !is_old && self.order.len() < MOST {
                return;
            }
            self.answers.remove(asker);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Form;
    use crate::server::Origin;

    fn asker(cookie: &str) -> Asker {
        Asker {
            origin: Origin::Connection(1),
            cookie: cookie.as_bytes().into(),
            form: Form::Json,
        }
    }

    fn at(monotonic_ms: u64) -> Now {
        Now {
            monotonic_ms,
            unix_ms: 0,
        }
    }

    #[test]
    fn an_answer_is_kept_for_ten_seconds_and_not_for_others() {
        let mut cookies = Cookies::default();
        assert!(matches!(cookies.ask(&asker("a"), at(0)), Known::New));
        assert!(matches!(cookies.ask(&asker("a"), at(1)), Known::Served));
        cookies.answered(&asker("a"), b"yes".to_vec());
        assert!(matches!(
            cookies.ask(&asker("a"), at(10_000)),
            Known::Answered(b"yes")
        ));
        assert!(matches!(cookies.ask(&asker("b"), at(10_000)), Known::New));
        let other = Asker {
            origin: Origin::Connection(2),
            ..asker("a")
        };
        assert!(matches!(cookies.ask(&other, at(10_000)), Known::New));
        assert!(matches!(cookies.ask(&asker("a"), at(10_001)), Known::New));
    }

    #[test]
    fn no_more_than_a_bound_are_kept() {
        let mut cookies = Cookies::default();
        for number in 0..=MOST {
            assert!(matches!(
                cookies.ask(&asker(&number.to_string()), at(0)),
                Known::New
            ));
        }
        assert!(cookies.answers.len() <= MOST && cookies.order.len() <= MOST);
        assert!(matches!(cookies.ask(&asker("0"), at(0)), Known::New));
    }
}
