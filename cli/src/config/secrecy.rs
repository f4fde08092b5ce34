//! Secrets that a configuration names, looked for in what is about to be shown.
//!
//! What is shown is made without secrets in the first place. This is the second look, for what goes to somebody else as a
//! whole: whatever has got somewhere by a mistake is found by its octets.

use super::host::read_secret;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use sbc_core::config::{Source, secrets};
use sbc_core::sdp::base64_encode;
use std::collections::BTreeSet;

/// What stands in the place of a secret.
const HIDDEN: &str = "<secret>";
/// Shorter ones would be found where they are not meant.
const SHORTEST: usize = 6;

/// Texts that must not be shown, looked for all at once: there may be thousands, of megabytes of texts.
pub struct Hidden {
    /// Nothing if they are too many to be looked for: then nothing may be shown.
    all: Option<AhoCorasick>,
}

impl Hidden {
    /// Those of the secrets that these files name and that can be read. Of what has lines, such as a private key, each
    /// long line is one.
    pub fn of(sources: &[Source]) -> Self {
        let read = secrets(sources);
        let read = read.iter().filter_map(|secret| read_secret(secret).ok());
        Self::from(read)
    }

    fn from(secrets: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut all = BTreeSet::new();
        for octets in secrets {
            let whole = octets.trim_ascii();
            let text = String::from_utf8_lossy(whole);
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let is_pem = lines.iter().any(|line| line.starts_with("-----BEGIN "));
            match is_pem {
                true => all.extend(
                    lines
                        .into_iter()
                        .filter(|line| line.len() >= 16 && !line.starts_with("-----"))
                        .map(str::to_owned),
                ),
                false => {
                    all.extend(lines.into_iter().flat_map(written));
                    all.extend(written(&text));
                    all.insert(base64_encode(whole).trim_end_matches('=').to_owned());
                    all.insert(whole.iter().map(|octet| format!("{octet:02x}")).collect());
                }
            }
        }
        all.retain(|text| text.len() >= SHORTEST);
        // One may be the beginning of another: the longer one is meant. A table of all next states would take far more
        // memory than it saves time.
        let mut builder = AhoCorasick::builder();
        let builder = builder.match_kind(MatchKind::LeftmostLongest);
        let builder = builder.kind(Some(AhoCorasickKind::ContiguousNFA));
        Self {
            all: builder.build(all).ok(),
        }
    }

    /// Hides them in a text; says how often.
    pub fn hide(&self, text: &mut String) -> usize {
        let Some(all) = &self.all else {
            HIDDEN.clone_into(text);
            return 1;
        };
        let mut found = 0;
        let mut hidden = String::new();
        all.replace_all_with(text, &mut hidden, |_, _, out| {
            found += 1;
            out.push_str(HIDDEN);
            true
        });
        if found > 0 {
            *text = hidden;
        }
        found
    }
}

/// A text as it is, as JSON writes it between quotes, and as JSON writes that: a line of a log may be a text itself.
fn written(text: &str) -> [String; 3] {
    let escaped = |text: &str| {
        let quoted = serde_json::to_string(text).unwrap_or_default();
        let inside = quoted
            .strip_prefix('"')
            .and_then(|own| own.strip_suffix('"'));
        inside.unwrap_or_default().to_owned()
    };
    let once = escaped(text);
    let twice = escaped(&once);
    [text.to_owned(), once, twice]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_plain_in_base64_in_hex_and_line_by_line() {
        let key =
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\nAAAA\n-----END PRIVATE KEY-----\n";
        let secrets = [b"open sesame\n".to_vec(), b"abc".to_vec(), key.into()];
        let hidden = Hidden::from(secrets.into_iter());
        let mut text = format!(
            "open sesame; abc; {}; {}; x MIIEvQIBADANBgkqhkiG y; -----BEGIN PRIVATE KEY-----",
            base64_encode(b"open sesame"),
            "6f70656e20736573616d65"
        );
        assert_eq!(hidden.hide(&mut text), 4);
        let wanted =
            "<secret>; abc; <secret>=; <secret>; x <secret> y; -----BEGIN PRIVATE KEY-----";
        assert_eq!(text, wanted);
        assert_eq!(hidden.hide(&mut text), 0);
    }

    #[test]
    fn a_secret_is_hidden_as_json_writes_it_also_within_a_text_of_json() {
        let secret = "say \"friend\\enemy\"\ttwice";
        let hidden = Hidden::from([secret.as_bytes().to_vec()].into_iter());
        let once = serde_json::to_string(secret).unwrap();
        let twice = serde_json::to_string(&format!("log {once}")).unwrap();
        let mut text = format!("{secret} {once} {twice}");
        assert_eq!(hidden.hide(&mut text), 3);
        assert_eq!(text, "<secret> \"<secret>\" \"log \\\"<secret>\\\"\"");
    }

    #[test]
    fn of_secrets_that_begin_alike_the_longer_one_is_hidden_whole_among_thousands() {
        let all = (0..5_000).map(|number| format!("key-of-{number}").into_bytes());
        let hidden = Hidden::from(all);
        let mut text = "key-of-4 key-of-4999 key-of-x ".repeat(1_000);
        assert_eq!(hidden.hide(&mut text), 2_000);
        assert_eq!(text, "<secret> <secret> key-of-x ".repeat(1_000));
        let none = Hidden::from(std::iter::empty());
        assert_eq!(none.hide(&mut text), 0);
    }
}
