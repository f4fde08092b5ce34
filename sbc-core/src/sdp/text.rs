//! Small readers shared by the views: fields, numbers, comparison.

use std::str::FromStr;

/// The blank-separated fields of a value. RFC 8866 wants one space; several and tabs are accepted.
pub(super) fn fields(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|field| !field.is_empty())
}

/// First field and what follows it, both trimmed.
pub(super) fn split_field(value: &[u8]) -> (&[u8], &[u8]) {
    let value = value.trim_ascii();
    match value.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
        Some(at) => (&value[..at], value[at..].trim_ascii()),
        None => (value, &[]),
    }
}

/// Splits at the first `mark`.
pub(super) fn split_at_mark(value: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(mark, value)?;
    Some((&value[..at], &value[at + 1..]))
}

/// A number written in digits only, if it fits `T`.
pub(super) fn number<T: FromStr>(digits: &[u8]) -> Option<T> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Text of a value, if it is UTF-8.
pub(super) fn utf8(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}
