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
    }
}
