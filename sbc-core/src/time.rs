//! Time as data: given to the core with every input, never read by it (invariant I1).

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time: microseconds since the shard started. Timers live on this clock.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of the shard.
    pub const ZERO: Self = Self(0);

    /// The instant `us` microseconds after the start of the shard.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the start of the shard.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, delay: Duration) -> Self {
        let us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(us))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Wall-clock time: microseconds since 1970-01-01T00:00:00Z. For records and `Date`, never for
/// timers: it may jump.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The instant `us` microseconds after the epoch.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// RFC 3339 text in UTC with milliseconds, as records use it (OPS-061).
    pub fn rfc3339(self) -> String {
        let ms = self.0 / 1_000;
        let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil_date(days);
        let (h, m) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (s, milli) = (of_day / 1_000 % 60, of_day % 1_000);
        if year > 9_999 {
            return format!("{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{milli:03}Z");
        }
        // Each record has several of these, and each line of the log one.
        let mut text = String::with_capacity(24);
        let mut put = |value: u64, after: &str| {
            let digit = |of: u64| char::from(b'0' + (of % 10) as u8);
            text.push(digit(value / 10));
            text.push(digit(value));
            text.push_str(after);
        };
        put(year / 100, "");
        put(year, "-");
        put(month, "-");
        put(day, "T");
        put(h, ":");
        put(m, ":");
        put(s, ".");
        put(milli / 10, "");
        text.push(char::from(b'0' + (milli % 10) as u8));
        text.push('Z');
        text
    }

    /// The day, `2026-08-01`, in UTC.
    pub fn date(self) -> String {
        let (year, month, day) = civil_date(self.0 / 86_400_000_000);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// The beginning of a day, `2026-08-01`, in UTC; `None` if there is no such day.
    pub fn of_day(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let text = parts.next().filter(|text| text.len() == digits)?;
            number(text)
        };
        let days = days_before(part(4)?, part(2)?, part(2)?)?;
        let is_whole = parts.next().is_none();
        is_whole.then_some(Self(days * 86_400_000_000))
    }

    /// Reads RFC 3339 text in UTC, with as many digits behind the second as somebody has; `None` if it is no
    /// such text, or a time before 1970.
    pub fn of_rfc3339(text: &str) -> Option<Self> {
        let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut parts = time.split(':');
        let mut part = |most: u64| {
            let text = parts.next().filter(|text| text.len() == 2)?;
            number(text).filter(|value| *value <= most)
        };
        let (h, m, s) = (part(23)?, part(59)?, part(60)?);
        let is_whole = parts.next().is_none();
        // Microseconds are enough; what is finer is cut off.
        let us = number(fraction.get(..fraction.len().min(6))?)?;
        let us = us * 10_u64.pow(6 - fraction.len().min(6) as u32);
        number(fraction.get(..fraction.len().min(18))?)?;
        let seconds = h * 3_600 + m * 60 + s;
        let midnight = Self::of_day(day)?.0;
        is_whole.then_some(Self(midnight + seconds * 1_000_000 + us))
    }

    /// As [`Self::of_rfc3339`], also with an offset from UTC, such as `+01:00`.
    pub fn of_offset(text: &str) -> Option<Self> {
        if text.ends_with('Z') {
            return Self::of_rfc3339(text);
        }
        let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
        let (sign, offset) = offset.split_at_checked(1)?;
        let (hours, minutes) = offset.split_once(':')?;
        let part = |text: &str, most: u64| {
            let text = Some(text).filter(|text| text.len() == 2)?;
            number(text).filter(|value| *value <= most)
        };
        let seconds = part(hours, 23)? * 3_600 + part(minutes, 59)? * 60;
        let Self(local) = Self::of_rfc3339(&format!("{local}Z"))?;
        match sign {
            "+" => local.checked_sub(seconds * 1_000_000),
            "-" => local.checked_add(seconds * 1_000_000),
            _ => None,
        }
        .map(Self)
    }

    /// Reads a Date header (RFC 3261 §20.17); `None` if it is no time of its form. What day of the week
    /// it says it is does not matter.
    pub fn of_rfc1123(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let (_, text) = text.split_once(',')?;
        let mut words = text.split_ascii_whitespace();
        let number = |text: &str, digits: usize| {
            let is_it = text.len() == digits && text.bytes().all(|digit| digit.is_ascii_digit());
            is_it.then(|| text.parse::<u64>().ok()).flatten()
        };
        let day = number(words.next()?, 2)?;
        let month = words.next()?;
        let month = MONTHS
            .iter()
            .position(|own| own.eq_ignore_ascii_case(month))? as u64
            + 1;
        let year = number(words.next()?, 4)?;
        let mut time = words.next()?.split(':').map(|part| number(part, 2));
        let mut part = |least: u64| time.next()?.filter(|value| *value <= least);
        let (h, m, s) = (part(23)?, part(59)?, part(60)?);
        let is_whole =
            time.next().is_none() && words.next() == Some("GMT") && words.next().is_none();
        let days = days_before(year, month, day)?;
        let seconds = days * 86_400 + h * 3_600 + m * 60 + s;
        is_whole.then_some(Self(seconds * 1_000_000))
    }

    /// The form of a Date header (RFC 3261 §20.17).
    pub fn rfc1123(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        let seconds = self.0 / 1_000_000;
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_date(days);
        // 1970-01-01 was a Thursday.
        let week_day = DAYS[(days % 7) as usize];
        let month = MONTHS[(month as usize + 11) % 12];
        let (h, m, s) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        format!("{week_day}, {day:02} {month} {year:04} {h:02}:{m:02}:{s:02} GMT")
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, delay: Duration) -> Self {
        let us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(us))
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Days from 1970-01-01 to a Gregorian date; `None` if there is no such date, or it is before.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March, so that the day that not every year has is the last one.
    let year = year.checked_sub(u64::from(month <= 2))?;
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day.checked_sub(1)?;
    let days =
        (365 * year + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)?;
    let (_, found_month, found_day) = civil_date(days);
    ((found_month, found_day) == (month, day)).then_some(days)
}

/// Gregorian date of a day count since 1970-01-01, by counting 400-year eras from 0000-03-01.
fn civil_date(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// Both clocks at the moment of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic, for timers and durations.
    pub mono: Timestamp,
    /// Wall clock, for records.
    pub wall: UnixTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_prints_as_utc_with_milliseconds() {
        let text = |seconds: u64| UnixTime::from_micros(seconds * 1_000_000 + 123_456).rfc3339();
        assert_eq!(text(0), "1970-01-01T00:00:00.123Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.123Z");
        assert_eq!(text(1_798_761_599), "2026-12-31T23:59:59.123Z");
        assert_eq!(text(253_402_300_799), "9999-12-31T23:59:59.123Z");
        assert_eq!(text(253_402_300_800), "10000-01-01T00:00:00.123Z");
    }

    #[test]
    fn text_of_others_is_read_with_any_number_of_digits_behind_the_second() {
        let read = |text: &str| UnixTime::of_rfc3339(text).map(UnixTime::rfc3339);
        for (text, told) in [
            ("2026-08-01T00:00:05Z", "2026-08-01T00:00:05.000Z"),
            ("2026-08-01T00:00:05.7Z", "2026-08-01T00:00:05.700Z"),
            ("2026-08-01T23:59:59.7119999Z", "2026-08-01T23:59:59.711Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(told), "{text}");
        }
        for text in [
            "0001-01-01T00:00:00Z",
            "2026-08-01",
            "2026-02-29T00:00:00Z",
            "2026-08-01T24:00:00Z",
            "2026-08-01T00:00:00",
            "2026-08-01T00:00:00.Z",
            "2026-08-01T00:00:00.1é2345Z",
            "2026-08-01T00:00:00.12345é7Z",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let day = UnixTime::of_day("2026-08-01").map(UnixTime::rfc3339);
        assert_eq!(day.as_deref(), Some("2026-08-01T00:00:00.000Z"));
        let day = UnixTime::of_rfc3339("2026-08-01T23:59:59.999Z").map(UnixTime::date);
        assert_eq!(day.as_deref(), Some("2026-08-01"));
        for text in ["2026-8-1", "2026-13-01", "2026-08-01-", "1969-01-01"] {
            assert_eq!(UnixTime::of_day(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_header_names_the_day_of_the_week() {
        let text = |seconds: u64| UnixTime::from_micros(seconds * 1_000_000).rfc1123();
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 GMT");
    }

    #[test]
    fn what_a_date_header_says_is_read_back() {
        for seconds in [
            0,
            951_782_399,
            951_782_400,
            1_014_296_523,
            1_798_761_599,
            4_107_542_400,
        ] {
            let time = UnixTime::from_micros(seconds * 1_000_000);
            assert_eq!(UnixTime::of_rfc1123(time.rfc1123().as_bytes()), Some(time));
        }
        let of = |text: &str| UnixTime::of_rfc1123(text.as_bytes());
        assert!(of("Mon, 21 feb 2002 13:02:03 GMT").is_some());
        for text in [
            "",
            "Thu",
            "Thu, 21 Feb 2002",
            "Thu, 21 Feb 2002 13:02 GMT",
            "Thu, 21 Feb 2002 13:02:03 CET",
            "Thu, 30 Feb 2002 13:02:03 GMT",
            "Thu, 00 Feb 2002 13:02:03 GMT",
            "Thu, 21 Feb 1969 13:02:03 GMT",
            "Thu, 21 Feb 2002 24:02:03 GMT",
            "Thu, 21 Feb 2002 13:02:03 GMT x",
            "Thu, +1 Feb 2002 13:02:03 GMT",
            "Thu, 21 Feb 2002 13:02:03:04 GMT",
            "Thu, 01 Foo 2002 13:02:03 GMT",
            "Thu, 21 Feb 0000 00:00:00 GMT",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(
            UnixTime::of_rfc1123(b"\xff, 21 Feb 2002 13:02:03 GMT"),
            None
        );
    }

    #[test]
    fn time_before_the_reference_counts_as_zero() {
        let early = Timestamp::from_micros(5);
        let late = Timestamp::from_micros(9);
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late - early, Duration::from_micros(4));
    }
}
