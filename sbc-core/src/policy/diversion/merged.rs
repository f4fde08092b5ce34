//! Several tellings of where a call has been, as one: what we sent with it, and what those who were asked
//! told of their own branches (RFC 7044 §10.3).

use super::{Change, MOST_STEPS, Step, Trail};
use crate::policy::number::Number;
use crate::sip::Uri;

impl Trail {
    /// The trail that an attempt was made with: the target that we were asked for, where the trunk keeps
    /// such lists also that which we asked for, and ways there that have failed.
    #[must_use]
    pub fn as_asked(&self, keeps: bool, failed: &[u16]) -> Self {
        let mut asked = self.clone();
        let called = asked.called.clone();
        match (failed.is_empty(), called) {
            (false, _) => asked.hunt(failed),
            (true, Some(called)) if keeps && asked.is_to_be_continued() => asked.forward(&called),
            (true, _) => asked.reach(),
        }
        asked
    }

    /// The last of these ways is that which has failed now.
    #[must_use]
    pub fn as_failed(&self, failed: &[u16]) -> Self {
        let mut asked = self.as_asked(false, failed);
        // That which would be tried next.
        if !failed.is_empty() && asked.ways > 1 {
            asked.steps.pop();
        }
        asked
    }

    /// Steps that whoever was asked has told of, at their places in this trail: below its last step, unless
    /// the list has that one.
    pub fn below(&self, told: &Self) -> Vec<Step> {
        let Some(last) = self.steps.last() else {
            return Vec::new();
        };
        let is_same = |step: &Step| step.index == last.index && is_same(&step.uri, &last.uri);
        let is_ours = told.steps.iter().any(is_same);
        let place = |index: &[u32]| match (is_ours, index.split_first()) {
            (true, _) => Some(index.to_vec()),
            // Its list begins with what we asked for.
            (false, Some((1, rest))) => Some([last.index.as_slice(), rest].concat()),
            (false, _) => None,
        };
        let steps = told.steps.iter().filter_map(|step| {
            let change = step.change.as_ref().and_then(|change| {
                Some(Change {
                    kind: change.kind,
                    from: place(&change.from)?,
                })
            });
            Some(Step {
                index: place(&step.index)?,
                change,
                ..step.clone()
            })
        });
        steps.collect()
    }

    /// The trail with these steps in it, in the order of the tree. What it has itself it knows better,
    /// but for how a target was left.
    #[must_use]
    pub fn with(mut self, others: &[Step]) -> Self {
        for other in others {
            let has_room = self.steps.len() < MOST_STEPS;
            match self.steps.iter_mut().find(|own| own.index == other.index) {
                Some(own) => own.left = own.left.or(other.left),
                None if has_room => self.steps.push(other.clone()),
                None => {}
            }
        }
        self.steps.sort_by(|one, other| one.index.cmp(&other.index));
        self
    }
}

fn is_same(one: &Uri, other: &Uri) -> bool {
    let number = |uri| Number::of(uri).map(|number| number.number);
    number(one).is_some() && number(one) == number(other)
}
