//! `[cdr]`: where call records are written, and for how long they are kept.

use super::super::finding::Code;
use super::super::shell::{CdrShip, CdrSpool, SYSTEM_ROOTS};
use super::super::source::At;
use super::super::value::is_https_url;
use super::super::written::{File, WrittenShip};
use super::Load;
use std::net::Ipv6Addr;
use std::time::Duration;

/// A minute and a year.
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Most octets of an address that whoever sends can use.
const LONGEST_URL: usize = 2_048;
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
        // Without its token nothing is sent; what is kept until it was stays, and all else works.
        let ship = spool.ship.as_ref().and_then(|written| {
            let (ship, _) = self.lacking(true, |load| load.ship(written));
            ship
        });
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
            ship,
            ..usual
        })
    }

    fn ship(&mut self, written: &WrittenShip) -> Option<CdrShip> {
        let url = written.url.as_ref()?;
        // An address of IPv6 has brackets.
        let place = url.value.strip_prefix("https://").unwrap_or_default();
        let place = place.split('/').next().unwrap_or_default();
        let is_bare = place.parse::<Ipv6Addr>().is_ok();
        if !is_https_url(&url.value) || is_bare || url.value.len() > LONGEST_URL {
            self.out.add(
                Code::BadForm,
                &url.span,
                format!(
                    "cdr: ship: url \"{}\" is no URL that can be asked",
                    url.value.escape_debug()
                ),
                Some(
                    "write https://, a host, a port if it is not 443, and a path, 2,048 octets at most, and nothing \
                     else; an address of IPv6 stands in brackets with its port"
                        .to_owned(),
                ),
            );
        }
        let roots = match &written.roots {
            Some(at) => at.clone(),
            None => At::new(SYSTEM_ROOTS.to_owned(), written.span.clone()),
        };
        if let Err(fault) = self.facts.roots(&roots.value) {
            self.file_fault("cdr: ship: roots", &roots, fault);
        }
        if let Some(token) = &written.token {
            // Whoever sends reads it, and says until then that it cannot.
            let _ = self.shared_secret("cdr: ship", "token", token);
        }
        let batch = written.batch.as_ref().map_or(500, |at| at.value);
        Some(CdrShip {
            url: url.value.clone(),
            token: written.token.as_ref().map(|at| at.value.clone()),
            roots: roots.value,
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Assumed, CdrShip, Code, Secret, Source, load, starter};

    fn loaded(ship: &str) -> Result<Option<CdrShip>, Vec<Code>> {
        let spool = "spool = \"/var/lib/causeway/cdr\"";
        let text = starter().replace(spool, &format!("{spool}\n{ship}"));
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let loaded = load(&[Source::new("causeway.toml", text.as_str())], &facts, None);
        loaded
            .map(|loaded| loaded.shell.cdr.unwrap().ship)
            .map_err(|found| found.errors.iter().map(|own| own.code).collect())
    }

    #[test]
    fn records_go_to_an_address_of_https_in_batches_of_a_bounded_size() {
        assert_eq!(loaded(""), Ok(None));
        let url = "url = \"https://records.example.com/cdr\"";
        let ship = loaded(&format!("ship = {{ {url} }}")).unwrap().unwrap();
        assert_eq!((ship.batch, ship.token), (500, None));
        let all = format!("ship = {{ {url}, batch = 7, token = {{ credential = \"records\" }} }}");
        let ship = loaded(&all).unwrap().unwrap();
        assert_eq!(ship.token, Some(Secret::Credential("records".to_owned())));
        assert_eq!((ship.batch, ship.url.len()), (7, 31));
        for (wrong, code) in [
            ("ship = {}".to_owned(), Code::MissingKey),
            ("ship = true".to_owned(), Code::WrongType),
            (format!("ship = {{ {url}, batch = 0 }}"), Code::OutOfRange),
            (
                format!("ship = {{ {url}, token = \"abc\" }}"),
                Code::WrongType,
            ),
            (
                format!("ship = {{ {url}, password = 1 }}"),
                Code::UnknownKey,
            ),
            (
                "ship = { url = \"http://records.example.com\" }".to_owned(),
                Code::BadForm,
            ),
            (
                "ship = { url = \"https://2001:db8::1/\" }".to_owned(),
                Code::BadForm,
            ),
            (
                format!(
                    "ship = {{ url = \"https://records.example.com/{}\" }}",
                    "x".repeat(2_048)
                ),
                Code::BadForm,
            ),
        ] {
            assert_eq!(loaded(&wrong), Err(vec![code]), "{wrong}");
        }
    }
}
