//! Times as Microsoft writes them.

use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::time::ASN1Time;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// `2026-08-01`, UTC.
pub fn date(ms: u64) -> String {
    let text = text(ms);
    text.split('T').next().unwrap_or_default().to_owned()
}

/// Reads what [`text`] writes, with or without a fraction.
pub fn read(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let numbers = |text: &str, by: char| -> Option<Vec<u64>> {
        text.split(by).map(|part| part.parse().ok()).collect()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hour, minute, second]) = (&date[..], &time[..]) else {
        return None;
    };
    // March begins the year, so the day that not every year has is its last.
    let is_early = *month <= 2;
    let (year, month) = match is_early {
        true => (year.checked_sub(1)?, month + 9),
        false => (*year, month.checked_sub(3)?),
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let days = days.checked_sub(719_469)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(seconds * 1_000 + fraction.parse::<u64>().ok()?)
}

/// `2026-08-01T00:00:05.711Z`.
pub fn text(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(0);
    let Ok(at) = ASN1Time::from_timestamp(seconds) else {
        return String::new();
    };
    let at = at.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        ms % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_microsoft_does() {
        assert_eq!(text(951_782_400_007), "2000-02-29T00:00:00.007Z");
        assert_eq!(date(1_785_542_399_999), "2026-07-31");
        for ms in [0, 951_782_400_007, 951_868_800_000, 1_785_542_399_999] {
            assert_eq!(read(&text(ms)), Some(ms));
        }
        assert_eq!(read("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(read("2000-02-29T00:00:00.0071234Z"), Some(951_782_400_007));
        assert_eq!(read("2000-02-29"), None);
    }
}
