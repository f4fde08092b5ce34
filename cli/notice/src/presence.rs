//! How somebody is, as it is sealed in a notice.

use crate::few::Short;
use serde::Deserialize;

/// Longest name of a state, octets; the longest that is known has 23.
const STATE: usize = 64;

/// How somebody is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// Who, as their directory names them, in lower case.
    pub user: String,
    /// `Available`, `Busy` and so on; names that nobody knows yet are kept.
    pub availability: String,
    /// `InACall`, `Presenting` and so on.
    pub activity: String,
}

#[derive(Deserialize)]
struct Written {
    id: Short<STATE>,
    availability: Option<Short<STATE>>,
    activity: Option<Short<STATE>>,
}

impl Presence {
    /// Reads what was sealed; `None` if nobody knows whose it is.
    pub fn read(content: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(content).ok()?;
        let text = |text: Option<Short<STATE>>| text.map_or_else(String::new, |text| text.0);
        let user = written.id.0.to_ascii_lowercase();
        (!user.is_empty()).then(|| Self {
            user,
            availability: text(written.availability),
            activity: text(written.activity),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_nobody_knows_are_kept_and_what_is_nobodys_is_not_read() {
        let content =
            br#"{"@odata.type":"x","id":"AB","availability":"Quantum","statusMessage":{"a":[1]}}"#;
        let read = Presence::read(content).unwrap();
        assert_eq!(read.user, "ab");
        assert_eq!((&*read.availability, &*read.activity), ("Quantum", ""));
        for nobody in [&b"{}"[..], b"[]", b"", br#"{"id":""}"#, br#"{"id":7}"#] {
            assert_eq!(Presence::read(nobody), None);
        }
    }
}
