//! `[cdr]`: where call records are written, and for how long they are kept.

use super::super::finding::Code;
use super::super::shell::CdrSpool;
use super::super::source::At;
use super::super::written::File;
use super::Load;
use std::time::Duration;

/// A minute and a year.
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// A day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Load<'_> {
    pub(super) fn cdr(&mut self, file: &File) -> Option<CdrSpool> {
        let spool = file.cdr.as_ref()?;
        let directory = spool.spool.as_ref()?;
        if let Err(
            super::super::facts::FileFault::Unreadable(why)
            | super::super::facts::FileFault::Unusable(why),
        ) = self.facts.directory(&directory.value)
        {
            self.out.add(
                Code::FileUnreadable,
                &directory.span,
                format!("cdr: spool {}: {why}", directory.value.escape_debug()),
                Some(
                    "make the directory and give it to the user of the daemon; \
                     \"systemd-tmpfiles --create\" does that where Causeway is installed"
                        .to_owned(),
                ),
            );
        }
        let usual = CdrSpool::at(&directory.value);
        let rotate_bytes = spool
            .rotate
            .as_ref()
            .map_or(usual.rotate_bytes, |at| at.value);
        if let Some(rotate) = &spool.rotate
            && rotate.value < 64 << 10
        {
            self.out.add(
                Code::OutOfRange,
                &rotate.span,
                "cdr: rotate is out of range",
                Some("write at least \"64KiB\"".to_owned()),
            );
        }
        if let Some(size) = &spool.retention_size
            && size.value <= rotate_bytes
        {
            self.out.add(
                Code::OutOfRange,
                &size.span,
                "cdr: retention_size has no room for a closed file beside the one that is written",
                Some("write several times what rotate says".to_owned()),
            );
        }
        let mut time = |what: &str, written: &Option<At<Duration>>, range| {
            let at = written.as_ref()?;
            Some(self.bounded(what, &Some(at.clone()), range, Duration::ZERO))
        };
        Some(CdrSpool {
            rotate_bytes,
            rotate_every: time("cdr: rotate_every", &spool.rotate_every, MINUTE..=DAY),
            retention: time("cdr: retention", &spool.retention, DAY..=YEAR),
            interim: time("cdr: interim", &spool.interim, MINUTE..=DAY),
            retention_bytes: spool.retention_size.as_ref().map(|at| at.value),
            syncs_each: spool.sync_each.as_ref().is_some_and(|at| at.value),
            is_mandatory: spool.mandatory.as_ref().is_some_and(|at| at.value),
            pairs: spool.pairs.as_ref().is_some_and(|at| at.value),
            ..usual
        })
    }
}
