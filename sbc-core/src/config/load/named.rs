//! Lists of what an operator names: codecs, suites of SRTP.

use super::Load;
use crate::config::finding::{Code, did_you_mean};
use crate::config::source::At;
use crate::media::{CODECS, Codec};
use media_api::Suite;

impl Load<'_> {
    /// Codecs by their names, each once.
    pub(super) fn codecs(&mut self, title: &str, list: &[At<String>]) -> Vec<Codec> {
        let names: Vec<&str> = CODECS.iter().map(|(name, ..)| *name).collect();
        let find = |text: &str| {
            let mut known = CODECS.iter();
            let known = known.find(|(name, ..)| name.eq_ignore_ascii_case(text))?;
            let (name, clock_hz, channels) = *known;
            Some((name, Codec::named(name, clock_hz).with_channels(channels)))
        };
        self.each_once((title, "codec"), list, &names, find)
    }

    /// Suites by their names in `a=crypto`, each once.
    pub(super) fn suites(&mut self, title: &str, list: &[At<String>]) -> Vec<Suite> {
        let find = |text: &str| {
            let (suite, _) = Suite::from_name(text.as_bytes())?;
            Some((suite.name(), suite))
        };
        let names = Suite::ALL.map(Suite::name);
        self.each_once((title, "SRTP suite"), list, &names, find)
    }

    /// What the names mean, each thing once.
    fn each_once<T>(
        &mut self,
        (title, kind): (&str, &str),
        list: &[At<String>],
        names: &[&str],
        find: impl Fn(&str) -> Option<(&'static str, T)>,
    ) -> Vec<T> {
        let mut found: Vec<(&str, T)> = Vec::new();
        for at in list {
            let Some((name, thing)) = find(&at.value) else {
                self.out.add(
                    Code::UnknownValue,
                    &at.span,
                    format!("{title}: {kind} \"{}\" is unknown", at.value.escape_debug()),
                    did_you_mean(&at.value, names.iter().copied())
                        .or_else(|| Some(format!("known {kind}s: {}", names.join(", ")))),
                );
                continue;
            };
            if found.iter().any(|(other, _)| *other == name) {
                self.out.add(
                    Code::DuplicateName,
                    &at.span,
                    format!("{title}: {kind} \"{name}\" is there twice"),
                    Some("name each once, preferred first".to_owned()),
                );
                continue;
            }
            found.push((name, thing));
        }
        found.into_iter().map(|(_, thing)| thing).collect()
    }
}
