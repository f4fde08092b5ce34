//! Small readers shared by the views: fields, numbers, comparison.

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
pub(super) fn number<T: TryFrom<u128>>(digits: &[u8]) -> Option<T> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut values = digits.iter().map(|digit| digit - b'0');
    let number = match digits.len() {
        // Nearly all of them, in numbers that the machine has.
        ..=19 => u128::from(values.fold(0, |all, value| 10 * all + u64::from(value))),
        _ => values.try_fold(0_u128, |all, value| {
            all.checked_mul(10)?.checked_add(value.into())
        })?,
    };
    T::try_from(number).ok()
}

/// Text of a value, if it is UTF-8.
pub(super) fn utf8(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}
