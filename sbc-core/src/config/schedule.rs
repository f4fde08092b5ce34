//! When routes are open: hours of the week and of certain days, by the clock on the wall of a place.
//!
//! Pure: what time it is comes from outside, and the rules of all time zones are part of the program.
//!
//! - Hours belong to the day on which they begin; those that end before they begin end on the next day.
//! - `special` days have hours of their own, or none; what is said of a day there replaces its week.
//! - What the wall clock shows counts. An hour that a change of time skips is missing, and one that it
//!   repeats is open twice.

use super::finding::{Code, Collector};
use super::read::Section;
use super::source::{At, Span};
use super::value::Malformed;
use crate::id::ScheduleName;
use crate::time::UnixTime;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use std::ops::RangeInclusive;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Most hours and days of one kind.
const MOST: usize = 400;

/// When something is open.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    /// Configured name.
    pub name: ScheduleName,
    /// Whose clock counts.
    pub(super) zone: TimeZone,
    /// Hours of each day, from Monday on.
    pub(super) week: [Vec<Hours>; 7],
    /// Days with hours of their own; the first that a day is among counts.
    pub(super) special: Vec<(Days, Vec<Hours>)>,
}

/// A time of the day, in minutes after midnight; what ends on the next day ends after [`DAY`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hours {
    from: u16,
    until: u16,
}

/// Days of a calendar, the first and the last among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Days {
    /// Of every year, as month and day; what ends before it begins goes over the end of the year.
    Yearly((i8, i8), (i8, i8)),
    /// Of one year.
    Once(Date, Date),
}

impl Schedule {
    /// Whether it is open at a time.
    pub fn is_open(&self, at: UnixTime) -> bool {
        let Some(local) = self.local(at) else {
            return false;
        };
        let (today, minute) = (local.date(), minute_of(local));
        let begun_today = self.hours_of(today).iter();
        if begun_today
            .clone()
            .any(|own| (own.from..own.until).contains(&minute))
        {
            return true;
        }
        let Ok(yesterday) = today.yesterday() else {
            return false;
        };
        let minute = minute + DAY;
        let mut begun_yesterday = self.hours_of(yesterday).iter();
        begun_yesterday.any(|own| minute < own.until)
    }

    /// What the clock shows there: `Mon 2026-03-30 08:15 Europe/Berlin`.
    pub fn told(&self, at: UnixTime) -> String {
        let zone = self.zone.iana_name().unwrap_or_default();
        match self.local(at) {
            None => format!("a time without a date in {zone}"),
            Some(local) => {
                let day = usize::from(weekday(local.date()));
                let (day, _) = WEEKDAYS.get(day).copied().unwrap_or_default();
                let capital: String = day.get(..1).unwrap_or_default().to_uppercase();
                let rest = day.get(1..).unwrap_or_default();
                let (date, hour, minute) = (local.date(), local.hour(), local.minute());
                format!("{capital}{rest} {date} {hour:02}:{minute:02} {zone}")
            }
        }
    }

    fn local(&self, at: UnixTime) -> Option<DateTime> {
        let us = i64::try_from(at.as_micros()).ok()?;
        let at = Timestamp::from_microsecond(us).ok()?;
        Some(self.zone.to_datetime(at))
    }

    fn hours_of(&self, day: Date) -> &[Hours] {
        let mut special = self.special.iter();
        match special.find(|(days, _)| days.has(day)) {
            Some((_, hours)) => hours,
            None => self
                .week
                .get(usize::from(weekday(day)))
                .map_or(&[], Vec::as_slice),
        }
    }

    /// The last moment at which it can be open, if there is one; `Err` if there is none at all.
    pub(super) fn last_moment(&self) -> Result<Option<UnixTime>, NeverOpen> {
        let mut last = None;
        if self.week.iter().any(|hours| !hours.is_empty()) {
            return Ok(None);
        }
        for (days, hours) in self.special.iter().filter(|(_, hours)| !hours.is_empty()) {
            let Days::Once(_, end) = days else {
                return Ok(None);
            };
            let until = hours.iter().map(|own| own.until).max().unwrap_or(DAY);
            let over = i64::from(until) * 60;
            let midnight = self.zone.to_timestamp(end.at(0, 0, 0, 0));
            let seconds = midnight.map_or(0, |at| at.as_second()).saturating_add(over);
            let us = u64::try_from(seconds)
                .unwrap_or_default()
                .saturating_mul(1_000_000);
            last = last.max(Some(UnixTime::from_micros(us)));
        }
        last.map_or(Err(NeverOpen), |at| Ok(Some(at)))
    }
}

/// That nothing opens a schedule.
pub(super) struct NeverOpen;

impl Days {
    fn has(self, day: Date) -> bool {
        match self {
            Self::Once(first, last) => (first..=last).contains(&day),
            Self::Yearly(first, last) => {
                let day = (day.month(), day.day());
                match first <= last {
                    true => (first..=last).contains(&day),
                    false => day >= first || day <= last,
                }
            }
        }
    }
}

const fn malformed(what: &'static str, instead: &'static str) -> Malformed {
    Malformed { what, instead }
}

fn minute_of(at: DateTime) -> u16 {
    let of = |value: i8| u16::try_from(value).unwrap_or_default();
    of(at.hour()) * 60 + of(at.minute())
}

fn weekday(day: Date) -> u8 {
    u8::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default()
}

/// As [`Schedule`], with what is wrong still in it.
pub(super) struct WrittenSchedule {
    pub(super) name: At<String>,
    pub(super) span: Span,
    pub(super) zone: Option<At<String>>,
    pub(super) week: Vec<(RangesOfDays, Vec<Hours>)>,
    pub(super) special: Vec<(Vec<At<Days>>, Vec<Hours>)>,
}

type RangesOfDays = Vec<At<RangeInclusive<u8>>>;

/// Reads one `[[schedule]]`.
pub(super) fn read(
    name: At<String>,
    mut section: Section<'_>,
    out: &mut Collector,
) -> WrittenSchedule {
    let zone = section.required_text("zone", "\"Europe/Berlin\"", out);
    let mut written = WrittenSchedule {
        name,
        span: section.span.clone(),
        zone,
        week: Vec::new(),
        special: Vec::new(),
    };
    for mut open in tables(&mut section, "open", out) {
        open.refuse_empty("days", "[\"mon-fri\"]", out);
        let days = open.parsed_list("days", weekdays, out);
        if !open.has("days") {
            open.missing("days", "[\"mon-fri\"]", out);
        }
        open.refuse_empty("hours", "[\"08:00-17:30\"]", out);
        let hours = hours_of(&mut open, out);
        if !open.has("hours") {
            open.missing("hours", "[\"08:00-17:30\"]", out);
        }
        written
            .week
            .push((days.map(|list| list.value).unwrap_or_default(), hours));
        open.finish(&[], out);
    }
    for mut special in tables(&mut section, "special", out) {
        special.refuse_empty("dates", "[\"12-25..12-26\", \"2027-03-26\"]", out);
        let dates = special.parsed_list("dates", dates, out);
        if !special.has("dates") {
            special.missing("dates", "[\"12-25..12-26\", \"2027-03-26\"]", out);
        }
        let hours = hours_of(&mut special, out);
        written
            .special
            .push((dates.map(|list| list.value).unwrap_or_default(), hours));
        special.finish(&[], out);
    }
    section.finish(&[], out);
    written
}

fn tables<'t>(
    section: &mut Section<'t>,
    key: &'static str,
    out: &mut Collector,
) -> Vec<Section<'t>> {
    let Some(list) = section.list(key, out) else {
        return Vec::new();
    };
    let title = format!("{}: {key}", section.title);
    too_many(&title, list.value.len(), &list.span, out);
    let tables = list.value.iter().take(MOST);
    tables
        .filter_map(|item| item.section(title.clone(), out))
        .collect()
}

fn hours_of(section: &mut Section<'_>, out: &mut Collector) -> Vec<Hours> {
    let Some(list) = section.parsed_list("hours", hours, out) else {
        return Vec::new();
    };
    too_many(&section.title, list.value.len(), &list.span, out);
    list.value.into_iter().map(|at| at.value).collect()
}

fn too_many(title: &str, count: usize, span: &Span, out: &mut Collector) {
    if count > MOST {
        out.add(
            Code::OutOfRange,
            span,
            format!("{title}: there are more than {MOST}"),
            Some("write ranges, such as \"12-24..01-02\"".to_owned()),
        );
    }
}

/// `08:00-17:30`; `22:00-06:00` ends on the next day.
fn hours(text: &str) -> Result<Hours, Malformed> {
    const INSTEAD: &str = "write \"08:00-17:30\", \"22:00-06:00\" for one that ends on the next day, \"00:00-24:00\" for all \
         of it";
    let fault = |what| Err(malformed(what, INSTEAD));
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let number = |text: &str| {
            let is_it = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| is_it)
        };
        let (hour, minute) = (number(hour)?, number(minute)?);
        let at = hour * 60 + minute;
        (minute < 60 && at <= DAY).then_some(at)
    };
    let Some((from, until)) = text
        .split_once('-')
        .and_then(|(from, until)| Some((time(from.trim())?, time(until.trim())?)))
    else {
        return fault("is no time of the day");
    };
    match (from, until) {
        (DAY, _) => fault("begins at the end of the day"),
        (from, until) if from == until => fault("ends when it begins"),
        (from, until) if from < until => Ok(Hours { from, until }),
        (from, until) => Ok(Hours {
            from,
            until: until + DAY,
        }),
    }
}

/// `mon`, or `mon-fri`; a range may go over Sunday, and then ends behind 6.
fn weekdays(text: &str) -> Result<RangeInclusive<u8>, Malformed> {
    let known = |text: &str| {
        let text = text.trim().to_ascii_lowercase();
        let mut days = WEEKDAYS.iter();
        let at = days.position(|(short, long)| text == *short || text == *long)?;
        u8::try_from(at).ok()
    };
    let range = match text.split_once('-') {
        None => known(text).map(|day| day..=day),
        Some((first, last)) => {
            known(first)
                .zip(known(last))
                .map(|(first, last)| match first <= last {
                    true => first..=last,
                    false => first..=last + 7,
                })
        }
    };
    range.ok_or(malformed(
        "is no day of the week",
        "write \"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\" or \"sun\", or a range such as \"mon-fri\"",
    ))
}

/// `12-25` of every year, `2027-03-26`, or two of one kind with `..` between.
fn dates(text: &str) -> Result<Days, Malformed> {
    const INSTEAD: &str =
        "write \"2027-03-26\", \"12-25\" for every year, or a range such as \"12-24..01-02\"";
    enum Day {
        Yearly(i8, i8),
        Once(Date),
    }
    let day = |text: &str| {
        let parts: Option<Vec<i16>> = text
            .split('-')
            .map(|part| {
                let is_it = part.bytes().all(|digit| digit.is_ascii_digit());
                let part = Some(part).filter(|part| matches!(part.len(), 2 | 4) && is_it)?;
                part.parse().ok()
            })
            .collect();
        let small = |value: i16| i8::try_from(value).ok();
        match *parts?.as_slice() {
            // A leap year has every day that there is.
            [month, day] => {
                let day = Date::new(2024, small(month)?, small(day)?).ok()?;
                Some(Day::Yearly(day.month(), day.day()))
            }
            [year, month, day] if year >= 1970 => {
                let day = Date::new(year, small(month)?, small(day)?).ok()?;
                Some(Day::Once(day))
            }
            _ => None,
        }
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match day(first.trim()).zip(day(last.trim())) {
        None => Err(malformed("is no day of a calendar", INSTEAD)),
        Some((Day::Once(first), Day::Once(last))) if first <= last => Ok(Days::Once(first, last)),
        Some((Day::Once(_), Day::Once(_))) => Err(malformed("ends before it begins", INSTEAD)),
        Some((Day::Yearly(month, day), Day::Yearly(to_month, to_day))) => {
            Ok(Days::Yearly((month, day), (to_month, to_day)))
        }
        Some(_) => Err(malformed("has a year on one side only", INSTEAD)),
    }
}

const WEEKDAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixTime {
        UnixTime::of_rfc3339(text).unwrap()
    }

    fn schedule(zone: &str, week: &[(&str, &str)], special: &[(&str, &[&str])]) -> Schedule {
        let mut own: [Vec<Hours>; 7] = Default::default();
        for (days, text) in week {
            for day in weekdays(days).unwrap() {
                own[usize::from(day % 7)].push(hours(text).unwrap());
            }
        }
        let special = special.iter().map(|(days, texts)| {
            let texts = texts.iter().map(|text| hours(text).unwrap());
            (dates(days).unwrap(), texts.collect())
        });
        Schedule {
            name: ScheduleName::new("own"),
            zone: TimeZone::get(zone).unwrap(),
            week: own,
            special: special.collect(),
        }
    }

    #[test]
    fn hours_are_those_of_the_place_in_winter_and_in_summer() {
        let own = schedule("Europe/Berlin", &[("mon-fri", "08:00-17:30")], &[]);
        // A Monday in January is an hour ahead of UTC, one in July two.
        assert!(
            !own.is_open(at("2027-01-11T06:59:59Z")) && own.is_open(at("2027-01-11T07:00:00Z"))
        );
        assert!(
            own.is_open(at("2027-01-11T16:29:59Z")) && !own.is_open(at("2027-01-11T16:30:00Z"))
        );
        assert!(
            !own.is_open(at("2027-07-12T05:59:59Z")) && own.is_open(at("2027-07-12T06:00:00Z"))
        );
        // The next Saturday.
        assert!(!own.is_open(at("2027-07-17T10:00:00Z")));
        assert_eq!(
            own.told(at("2027-07-17T10:00:00Z")),
            "Sat 2027-07-17 12:00 Europe/Berlin"
        );
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
        let own = schedule("UTC", &[("fri", "22:00-06:00")], &[("2027-01-16", &[])]);
        assert!(
            !own.is_open(at("2027-01-15T21:59:00Z")) && own.is_open(at("2027-01-15T22:00:00Z"))
        );
        // The Saturday is closed, and what began on Friday goes on.
        assert!(
            own.is_open(at("2027-01-16T05:59:00Z")) && !own.is_open(at("2027-01-16T06:00:00Z"))
        );
        // The night from Thursday on is none.
        assert!(!own.is_open(at("2027-01-15T02:00:00Z")));
        let closed = schedule("UTC", &[("fri", "22:00-06:00")], &[("2027-01-15", &[])]);
        assert!(!closed.is_open(at("2027-01-16T02:00:00Z")));
        let over_sunday = schedule("UTC", &[("sat-mon", "00:00-24:00")], &[]);
        assert!(over_sunday.is_open(at("2027-01-18T23:59:59Z")));
        assert!(!over_sunday.is_open(at("2027-01-19T00:00:00Z")));
    }

    #[test]
    fn special_days_replace_their_week() {
        let own = schedule(
            "America/New_York",
            &[("mon-sun", "09:00-17:00")],
            &[
                ("12-24", &["09:00-12:00"]),
                ("12-24..01-02", &[]),
                ("2027-02-01..2027-02-03", &["20:00-21:00"]),
            ],
        );
        assert!(own.is_open(at("2026-12-23T15:00:00Z")));
        // The first that says something of a day counts.
        assert!(
            own.is_open(at("2026-12-24T15:00:00Z")) && !own.is_open(at("2026-12-24T18:00:00Z"))
        );
        assert!(
            !own.is_open(at("2026-12-31T15:00:00Z")) && !own.is_open(at("2027-01-02T15:00:00Z"))
        );
        assert!(own.is_open(at("2027-01-03T15:00:00Z")));
        assert!(
            !own.is_open(at("2027-02-03T15:00:00Z")) && own.is_open(at("2027-02-04T01:30:00Z"))
        );
    }

    #[test]
    fn an_hour_that_a_change_of_time_skips_is_missing_and_one_that_comes_twice_is_open_twice() {
        let own = schedule(
            "Europe/Berlin",
            &[("sun", "02:15-02:45"), ("sun", "02:30-04:00")],
            &[],
        );
        // 28 March 2027: 01:59:59 is followed by 03:00:00.
        assert!(!own.is_open(at("2027-03-28T00:59:59Z")));
        assert!(own.is_open(at("2027-03-28T01:00:00Z")) && own.is_open(at("2027-03-28T01:59:59Z")));
        assert!(!own.is_open(at("2027-03-28T02:00:00Z")));
        // 31 October 2027: 02:00 to 03:00 comes twice, from 00:00 and from 01:00 UTC.
        let twice = schedule("Europe/Berlin", &[("sun", "02:15-02:45")], &[]);
        for (time, is_open) in [
            ("00:14", false),
            ("00:15", true),
            ("00:45", false),
            ("01:15", true),
            ("01:45", false),
        ] {
            assert_eq!(
                twice.is_open(at(&format!("2027-10-31T{time}:00Z"))),
                is_open,
                "{time}"
            );
        }
    }

    #[test]
    fn texts_are_read_or_told() {
        for text in [
            "8:00-17:00",
            "08:00",
            "08:00-25:00",
            "08:60-09:00",
            "09:00-09:00",
            "24:00-08:00",
            "+8:00-09:00",
        ] {
            assert!(hours(text).is_err(), "{text}");
        }
        for text in ["moon", "mon-", "", "1-5"] {
            assert!(weekdays(text).is_err(), "{text}");
        }
        for text in [
            "02-30",
            "2027-02-29",
            "1-1",
            "2027-05-02..2027-05-01",
            "12-24..2027-01-02",
            "25.12.",
            "0027-01-01",
        ] {
            assert!(dates(text).is_err(), "{text}");
        }
        assert!(dates("02-29").is_ok() && dates("2028-02-29").is_ok());
        assert_eq!(weekdays("Friday-mon"), Ok(4..=7));
    }

    #[test]
    fn it_is_known_after_when_nothing_opens_it_any_more() {
        let weekly = schedule("UTC", &[("mon", "08:00-09:00")], &[]);
        assert!(matches!(weekly.last_moment(), Ok(None)));
        let once = schedule(
            "UTC",
            &[],
            &[("2027-05-01..2027-05-02", &["22:00-02:00"]), ("12-25", &[])],
        );
        let last = at("2027-05-03T02:00:00Z");
        assert!(matches!(once.last_moment(), Ok(Some(at)) if at == last));
        assert!(
            schedule("UTC", &[], &[("12-25", &[])])
                .last_moment()
                .is_err()
        );
    }
}
