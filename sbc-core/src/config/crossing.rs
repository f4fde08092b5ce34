//! Which requests of a call go from one party to the other, whether UPDATE is used, and which INVITEs
//! replace each other: keys of a
//! trunk.

use super::Isup;
use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use crate::media::Dtmf;
use crate::sip::Method;

/// What the operator wrote; without a word nothing crosses.
#[derive(Default)]
pub(super) struct WrittenCrossing {
    info: Option<At<bool>>,
    message: Option<At<bool>>,
    update: Option<At<bool>>,
    reinvite: Option<At<bool>>,
    overlap: Option<At<bool>>,
}

/// Reads the keys `info`, `message`, `update`, `reinvite` and `overlap` of a trunk.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> WrittenCrossing {
    let words = [("relay", true), ("refuse", false)];
    WrittenCrossing {
        info: section.choice("info", &words, &[], out),
        message: section.choice("message", &words, &[], out),
        update: section.boolean("update", out),
        reinvite: section.choice(
            "reinvite",
            &[("auto", false), ("always_relay", true)],
            &[],
            out,
        ),
        overlap: section.boolean("overlap", out),
    }
}

impl WrittenCrossing {
    /// Whether its callers dial while they call.
    pub(super) fn overlaps(&self) -> bool {
        self.overlap.as_ref().is_some_and(|at| at.value)
    }

    /// Whether every offer within a call crosses, whatever it changes.
    pub(super) fn relays_offers(&self) -> bool {
        self.reinvite.as_ref().is_some_and(|at| at.value)
    }

    /// Where UPDATE is asked for, if it is.
    pub(super) fn asks_update(&self) -> Option<&Span> {
        let at = self.update.as_ref().filter(|at| at.value);
        at.map(|at| &at.span)
    }

    /// Where INFO is refused, if that is what was written.
    pub(super) fn refuses_info(&self) -> Option<&At<bool>> {
        self.info.as_ref().filter(|at| !at.value)
    }

    /// Which of INFO and MESSAGE shall cross, with where that is written.
    pub(super) fn relays(&self) -> impl Iterator<Item = (&'static str, &Span)> {
        let written = [("INFO", &self.info), ("MESSAGE", &self.message)];
        written.into_iter().filter_map(|(method, at)| {
            let at = at.as_ref().filter(|at| at.value)?;
            Some((method, &at.span))
        })
    }

    /// The methods that are allowed on the trunk, those that cross included. INFO belongs to them
    /// where digits or ISUP may come in it.
    pub(super) fn allowed(&self, mut methods: Vec<Method>, dtmf: Dtmf, isup: Isup) -> Vec<Method> {
        let has_bodies = matches!(dtmf, Dtmf::Info | Dtmf::Auto) || isup == Isup::Pass;
        let has_bodies = has_bodies && self.refuses_info().is_none();
        let crosses = |written: &Option<At<bool>>| written.as_ref().is_some_and(|at| at.value);
        for (crosses, method) in [
            (crosses(&self.info) || has_bodies, Method::Info),
            (crosses(&self.message), Method::Message),
        ] {
            if crosses && !methods.contains(&method) {
                methods.push(method);
            }
        }
        match self.update.as_ref().map(|at| at.value) {
            Some(true) if !methods.contains(&Method::Update) => methods.push(Method::Update),
            Some(false) => methods.retain(|method| *method != Method::Update),
            Some(true) | None => {}
        }
        methods
    }
}
