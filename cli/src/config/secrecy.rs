//! Secrets that a configuration names, looked for in what is about to be shown.
//!
//! What is shown is made without secrets in the first place. This is the second look, for what goes to somebody else as a
//! whole: whatever has got somewhere by a mistake is found by its octets.

use super::host::read_secret;
use sbc_core::config::{Source, secrets};
use sbc_core::sdp::base64_encode;

/// What stands in the place of a secret.
const HIDDEN: &str = "<secret>";
/// Shorter ones would be found where they are not meant.
const SHORTEST: usize = 6;

/// Texts that must not be shown.
pub struct Hidden(Vec<String>);

impl Hidden {
    /// Those of the secrets that these files name and that can be read. Of what has lines, such as a private key, each
    /// long line is one.
    pub fn of(sources: &[Source]) -> Self {
        let read = secrets(sources);
        let read = read.iter().filter_map(|secret| read_secret(secret).ok());
        Self::from(read)
    }

    fn from(secrets: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut all = Vec::new();
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
                    all.extend(lines.into_iter().map(str::to_owned));
                    all.push(base64_encode(whole).trim_end_matches('=').to_owned());
                    all.push(whole.iter().map(|octet| format!("{octet:02x}")).collect());
                }
            }
        }
        all.retain(|text| text.len() >= SHORTEST);
        // The longest first: one may be the beginning of another.
        all.sort_by_key(|text| std::cmp::Reverse(text.len()));
        all.dedup();
        Self(all)
    }

    /// Hides them in a text; says how often.
    pub fn hide(&self, text: &mut String) -> usize {
        let mut found = 0;
        for secret in &self.0 {
            let times = text.matches(secret.as_str()).count();
            if times > 0 {
                *text = text.replace(secret.as_str(), HIDDEN);
                found += times;
            }
        }
        found
    }
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
}
