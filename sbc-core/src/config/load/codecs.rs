//! Codecs that an operator may name.

use super::Load;
use crate::config::finding::{Code, did_you_mean};
use crate::config::source::At;
use crate::media::{CODECS, Codec};

impl Load<'_> {
    /// Codecs by their names, each once.
    pub(super) fn codecs(&mut self, title: &str, list: &[At<String>]) -> Vec<Codec> {
        let mut codecs: Vec<Codec> = Vec::new();
        for at in list {
            let known = CODECS
                .iter()
                .find(|(name, ..)| name.eq_ignore_ascii_case(&at.value));
            let Some((name, clock_hz, channels)) = known else {
                let names = || CODECS.iter().map(|(name, ..)| *name);
                self.out.add(
                    Code::UnknownValue,
                    &at.span,
                    format!("{title}: codec \"{}\" is unknown", at.value.escape_debug()),
                    did_you_mean(&at.value, names()).or_else(|| {
                        Some(format!(
                            "known codecs: {}",
                            names().collect::<Vec<_>>().join(", ")
                        ))
                    }),
                );
                continue;
            };
            if codecs.iter().any(|codec| codec.name == *name) {
                self.out.add(
                    Code::DuplicateName,
                    &at.span,
                    format!("{title}: codec \"{name}\" is there twice"),
                    Some("name each once, preferred first".to_owned()),
                );
                continue;
            }
            codecs.push(Codec::named(name, *clock_hz).with_channels(*channels));
        }
        codecs
    }
}
