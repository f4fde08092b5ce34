//! Lists of what an operator names: codecs, suites of SRTP.

use super::Load;
use crate::config::finding::{Code, did_you_mean};
use crate::config::read::TextsOrBoolean;
use crate::config::source::At;
use crate::config::written::WrittenTrunk;
use crate::media::{CODECS, Codec, Profile, Transcode};
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

    /// Whether a trunk's audio may be transcoded, and what its peer is offered for that (MED-200).
    pub(super) fn transcoding(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        profile: &mut Profile,
    ) {
        let Some(transcode) = &written.transcode else {
            return;
        };
        let list = match &transcode.value {
            TextsOrBoolean::Boolean(true) => return profile.transcode = Transcode::OnDemand,
            TextsOrBoolean::Boolean(false) => return profile.transcode = Transcode::Never,
            TextsOrBoolean::Texts(list) => list,
        };
        let offered = self.codecs(title, list);
        for (codec, at) in offered
            .iter()
            .zip(list)
            .filter(|(codec, _)| !codec.is_made())
        {
            let made = CODECS.iter().filter_map(|(name, ..)| Codec::known(name));
            let made = made.filter(Codec::is_made).map(|own| own.name.to_string());
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: {} is relayed only, never transcoded", codec.name),
                Some(format!(
                    "can be transcoded: {}",
                    made.collect::<Vec<_>>().join(", ")
                )),
            );
        }
        // What the peer is offered it may also choose.
        for codec in &offered {
            if !profile.codecs.iter().any(|own| own.joins(codec)) {
                profile.codecs.push(codec.clone());
            }
        }
        profile.transcode = Transcode::Offered(offered);
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
