//! Cursors of lists: a page that is not all has one in `Causeway-Next`, and with that the list goes on behind its last entry.
//!
//! It is made of what that entry is known by, and not of how many came before: what comes or goes meanwhile neither
//! repeats an entry nor passes one over. Whoever gets it knows nothing of what is in it.

use super::Problem;
use super::export::NEXT;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// What is said to whoever shows one that no answer had.
pub(super) fn unknown() -> Problem {
    let why = "cursor: this is none that an answer had";
    Problem::new(StatusCode::BAD_REQUEST, why)
}

/// The cursor behind an entry of this list.
pub(super) fn text(list: &str, key: &[u128]) -> String {
    key.iter()
        .fold(list.to_owned(), |text, part| format!("{text}-{part:x}"))
}

/// What stands in a cursor of this list, if there is one.
///
/// # Errors
/// [`unknown`], also for that of another list.
pub(super) fn read<const PARTS: usize>(
    list: &str,
    text: Option<&str>,
) -> Result<Option<[u128; PARTS]>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let parts = text
        .strip_prefix(list)
        .and_then(|rest| rest.strip_prefix('-'));
    let parts = parts.into_iter().flat_map(|parts| parts.split('-'));
    let parts = parts.map(|part| {
        // A sign is read, and never written.
        let is_hex = part.bytes().all(|octet| octet.is_ascii_hexdigit());
        u128::from_str_radix(part, 16).ok().filter(|_| is_hex)
    });
    let parts = parts.collect::<Option<Vec<u128>>>();
    let parts = parts.and_then(|parts| parts.try_into().ok());
    parts.map(Some).ok_or_else(unknown)
}

/// A page, with where to go on if there is more.
pub(super) fn page(body: impl IntoResponse, next: Option<String>) -> Response {
    let mut response = body.into_response();
    let next = next.and_then(|next| HeaderValue::try_from(next).ok());
    if let Some(next) = next {
        response.headers_mut().insert(NEXT, next);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_others_are_refused_by_name() {
        let written = text("calls", &[7, u128::MAX]);
        let same = read::<2>("calls", Some(&written)).unwrap();
        assert_eq!(same, Some([7, u128::MAX]));
        assert_eq!(read::<2>("calls", None).unwrap(), None);
        for bad in [
            "",
            "calls",
            "calls-",
            "calls-1",
            "calls-1-2-3",
            "calls-+1-2",
            "audit-1-2",
            "calls-1-x",
        ] {
            let why = read::<2>("calls", Some(bad)).unwrap_err();
            assert_eq!(why.status, StatusCode::BAD_REQUEST, "{bad}");
            assert!(why.detail.starts_with("cursor: "), "{bad}");
        }
    }
}
