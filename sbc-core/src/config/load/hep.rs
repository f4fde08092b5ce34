//! `[hep]`: collectors of messages.

use super::Load;
use crate::config::Hep;
use crate::config::finding::Code;
use crate::config::shell::SYSTEM_ROOTS;
use crate::config::source::At;
use crate::config::written::File;
use crate::id::TrunkName;
use crate::transport::Protocol;

/// Collectors that there may be: each has a queue of its own.
const MOST: usize = 4;

impl Load<'_> {
    /// Who is sent messages. Without its password nobody is, and all else works.
    pub(super) fn build_hep(&mut self, file: &File) -> Option<Hep> {
        let (hep, lacks_key) = self.lacking(true, |load| load.hep(file));
        hep.filter(|_| !lacks_key)
    }

    fn hep(&mut self, file: &File) -> Option<Hep> {
        let written = file.hep.as_ref()?;
        let collectors = written.collectors.as_ref()?;
        for (index, at) in collectors.value.iter().enumerate() {
            if index == MOST {
                self.out.add(
                    Code::OutOfRange,
                    &at.span,
                    format!("hep: more than {MOST} collectors"),
                    Some("let one of them pass on to the others".to_owned()),
                );
            }
            let mut before = collectors.value[..index].iter();
            if before.any(|other| other.value == at.value) {
                self.out.add(
                    Code::DuplicateName,
                    &at.span,
                    format!("hep: \"{}\" is there twice", at.value),
                    Some("write each collector once".to_owned()),
                );
            }
        }
        let mut all = collectors.value.iter();
        let has_tls = all.any(|at| at.value.protocol == Protocol::Tls);
        let roots = match &written.roots {
            Some(at) => at.clone(),
            None => At::new(SYSTEM_ROOTS.to_owned(), written.span.clone()),
        };
        if has_tls && let Err(fault) = self.facts.roots(&roots.value) {
            self.file_fault("hep: roots", &roots, fault);
        }
        if let (Some(at), false) = (&written.roots, has_tls) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                "hep: no collector is spoken to over TLS, so there is nobody to verify",
                Some("end a collector with \";tls\", or remove \"roots\"".to_owned()),
            );
        }
        if let Some(key) = &written.key {
            self.shared_secret("hep", "key", key)?;
        }
        let named = written.trunks.iter().flat_map(|at| &at.value);
        let trunks = named.map(|name| {
            self.trunks.find(name, "hep", &mut self.out);
            TrunkName::new(&name.value)
        });
        let trunks = trunks.collect();
        let agent = written.agent.as_ref().map_or(1, |at| at.value);
        let sample = written.sample.as_ref().map_or(100, |at| at.value);
        Some(Hep {
            collectors: collectors.value.iter().map(|at| at.value.clone()).collect(),
            agent: u32::try_from(agent).unwrap_or(u32::MAX),
            key: written.key.as_ref().map(|at| at.value.clone()),
            include_tls: super::chosen(&written.include_tls, false),
            quality: super::chosen(&written.quality, true),
            rtcp: super::chosen(&written.rtcp, true),
            sample: u8::try_from(sample).unwrap_or(100),
            trunks,
            logs: written.logs.as_ref().map(|at| at.value),
            roots: roots.value,
        })
    }
}
