//! Time tables of routes: whether their zone is one, whether anything opens them, whether a route asks.

use super::{Load, titled};
use crate::config::finding::{Code, did_you_mean};
use crate::config::schedule::NeverOpen;
use crate::config::source::At;
use crate::config::written::{File, WrittenRoute};
use crate::config::{Schedule, Validity};
use crate::id::ScheduleName;
use jiff::tz::{self, TimeZone};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Load<'_> {
    pub(super) fn build_schedules(&mut self, file: &File) {
        let used: BTreeSet<&str> = file
            .routes
            .iter()
            .filter_map(|route| route.schedule.as_ref())
            .map(|at| at.value.as_str())
            .collect();
        for written in &file.schedules {
            let title = titled("schedule", &written.name.value);
            let is_new = self.schedules.declare(&written.name, &mut self.out);
            let place = match written.name.value.is_empty() {
                true => &written.span,
                false => &written.name.span,
            };
            if is_new && !used.contains(written.name.value.as_str()) {
                self.out.add(
                    Code::UnusedSchedule,
                    place,
                    format!("no route goes by {title}"),
                    Some(format!(
                        "write schedule = \"{}\" at a [[route]], or remove it",
                        written.name.value.escape_debug()
                    )),
                );
            }
            let zone = written.zone.as_ref().and_then(|at| self.zone(&title, at));
            let mut schedule = Schedule {
                name: ScheduleName::new(&written.name.value),
                zone: zone.clone().unwrap_or(TimeZone::UTC),
                week: Default::default(),
                special: Vec::new(),
            };
            for (days, hours) in &written.week {
                for day in days.iter().flat_map(|at| at.value.clone()) {
                    if let Some(own) = schedule.week.get_mut(usize::from(day % 7)) {
                        own.extend(hours);
                    }
                }
            }
            for (dates, hours) in &written.special {
                let dates = dates.iter().map(|at| (at.value, hours.clone()));
                schedule.special.extend(dates);
            }
            let never = match schedule.last_moment() {
                Err(NeverOpen) => Some("nothing opens it"),
                Ok(Some(last)) if self.facts.until(last) == Validity::Expired => {
                    Some("the last day that opens it is over")
                }
                Ok(_) => None,
            };
            if let Some(never) = never {
                self.out.add(
                    Code::NeverOpen,
                    place,
                    format!("{title}: {never}, so that its routes take no calls"),
                    Some(
                        "write open = [{ days = [\"mon-fri\"], hours = [\"08:00-17:30\"] }]"
                            .to_owned(),
                    ),
                );
            }
            if is_new && zone.is_some() {
                let own = (Arc::new(schedule), place.clone());
                self.schedules
                    .valid
                    .insert(ScheduleName::new(&written.name.value), own);
            }
        }
    }

    /// The rules of a time zone, as the IANA names it.
    fn zone(&mut self, title: &str, at: &At<String>) -> Option<TimeZone> {
        if let Ok(zone) = TimeZone::get(&at.value) {
            return Some(zone);
        }
        let known: Vec<String> = match self.out.is_full() {
            true => Vec::new(),
            false => tz::db().available().map(|name| name.to_string()).collect(),
        };
        // Who knows the city alone, or writes a space, finds it too.
        let city = at.value.replace(' ', "_").to_lowercase();
        let mut same_city = known.iter().filter(|name| {
            let (_, end) = name.rsplit_once('/').unwrap_or_default();
            end.to_lowercase() == city
        });
        let help = match same_city.next() {
            Some(name) => Some(format!("did you mean \"{name}\"?")),
            None => did_you_mean(&at.value, known.iter().map(String::as_str)),
        };
        self.out.add(
            Code::UnknownValue,
            &at.span,
            format!(
                "{title}: zone \"{}\" is no time zone of the IANA",
                at.value.escape_debug()
            ),
            help.or_else(|| {
                Some("write its area and city, such as \"Europe/Berlin\", or \"UTC\"".to_owned())
            }),
        );
        None
    }

    /// When a route takes calls. Help is called at any time.
    pub(super) fn schedule_of(
        &mut self,
        written: &WrittenRoute,
        title: &str,
    ) -> Option<Arc<Schedule>> {
        let at = written.schedule.as_ref()?;
        if written.emergency.as_ref().is_some_and(|at| at.value) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: calls for help go out at any time"),
                Some("remove schedule from the route for emergency".to_owned()),
            );
        }
        let (schedule, _) = self.schedules.find(at, title, &mut self.out)?;
        Some(Arc::clone(schedule))
    }
}
