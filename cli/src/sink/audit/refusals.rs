//! Attempts that were refused, counted until they are written down: a flood of them fills no disk (SEC-154).

use super::Deed;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Refused attempts of somebody known that are written down one by one, in a minute.
pub(super) const MOST_REFUSED: u32 = 30;
/// Sources that are counted each by itself, and those that are named.
pub(super) const SOURCES: usize = 1_024;
const NAMED: usize = 8;

/// What was refused, until it is written down.
#[derive(Default)]
pub(super) struct Refusals {
    /// Of those who are known: how many of this minute are written, and how many are not.
    known: BTreeMap<String, (u32, u64)>,
    /// The same of names beyond those that are told apart: how many are not written.
    further: u64,
    /// Of those who are not, by source.
    strangers: BTreeMap<IpAddr, u64>,
    /// The same of sources beyond those that are told apart.
    others: u64,
}

impl Refusals {
    /// Whether another one of somebody known is written down.
    pub(super) fn of(&mut self, who: &str) -> bool {
        if self.known.len() >= SOURCES && !self.known.contains_key(who) {
            self.further += 1;
            return false;
        }
        let (written, passed_over) = self.known.entry(who.to_owned()).or_default();
        let is_written = *written < MOST_REFUSED;
        match is_written {
            true => *written += 1,
            false => *passed_over += 1,
        }
        is_written
    }

    pub(super) fn pass_over(&mut self, who: &str) {
        if let Some((_, passed_over)) = self.known.get_mut(who) {
            *passed_over += 1;
        }
    }

    pub(super) fn stranger(&mut self, source: IpAddr) {
        if self.strangers.len() < SOURCES || self.strangers.contains_key(&source) {
            *self.strangers.entry(source).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// What is to be written of this minute; the next one begins.
    pub(super) fn take(&mut self) -> Vec<Deed> {
        let Self {
            known,
            further,
            strangers,
            others,
        } = std::mem::take(self);
        let passed_over = known.into_iter().filter(|(_, (_, count))| *count > 0);
        let mut all: Vec<Deed> = passed_over
            .map(|(who, (_, count))| Deed {
                what: format!(
                    "{count} more attempts of {who} were refused, not written down one by one"
                ),
                who,
                source: "several".to_owned(),
                status: 0,
                ..Deed::default()
            })
            .collect();
        if further > 0 {
            all.push(Deed {
                what: format!(
                    "{further} attempts of still others were refused, not written down one by one"
                ),
                who: "several".to_owned(),
                source: "several".to_owned(),
                status: 0,
                ..Deed::default()
            });
        }
        let mut sources: Vec<(IpAddr, u64)> = strangers.into_iter().collect();
        sources.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let count = others + sources.iter().map(|(_, count)| count).sum::<u64>();
        if count > 0 {
            let told = sources.iter().take(NAMED);
            let told: Vec<_> = told
                .map(|(source, count)| format!("{count} from {source}"))
                .collect();
            let rest = match sources.len() > NAMED || others > 0 {
                true => ", the rest from others",
                false => "",
            };
            all.push(Deed {
                who: "nobody known".to_owned(),
                source: match sources.as_slice() {
                    [(only, _)] if others == 0 => only.to_string(),
                    _ => "several".to_owned(),
                },
                what: format!(
                    "{count} requests without a good token were refused: {}{rest}",
                    told.join(", ")
                ),
                status: 401,
                ..Deed::default()
            });
        }
        all
    }
}
