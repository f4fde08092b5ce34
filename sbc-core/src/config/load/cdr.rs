//! `[cdr]`: where call records are written, and for how long they are kept.

use super::super::database;
use super::super::finding::Code;
use super::super::shell::{CdrShip, CdrSpool, CdrTable, CdrTarget, SYSTEM_ROOTS};
use super::super::source::{At, Span};
use super::super::value::is_https_url;
use super::super::written::{File, WrittenShip};
use super::Load;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// A minute and a year.
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Most octets of an address that whoever sends can use.
const LONGEST_URL: usize = 2_048;
/// The table that rows go to where none is named.
const USUAL_TABLE: &str = "causeway_records";
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
            start: spool.start.as_ref().map(|at| at.value),
            ship,
            ..usual
        })
    }

    fn ship(&mut self, written: &WrittenShip) -> Option<CdrShip> {
        let url = written.url.as_ref()?;
        let target = match database::is_meant(&url.value) {
            true => CdrTarget::Postgres(self.table(url, written)?),
            false => self.https(url, written),
        };
        let is_plain = matches!(&target, CdrTarget::Postgres(table) if table.is_plain);
        let roots = match &written.roots {
            Some(at) => at.clone(),
            None => At::new(SYSTEM_ROOTS.to_owned(), written.span.clone()),
        };
        if is_plain {
            let help = "write plain = false, or remove \"roots\"";
            let what = "the connection is without TLS, so there is nobody to verify";
            self.useless(written.roots.as_ref().map(|at| &at.span), what, help);
        } else if let Err(fault) = self.facts.roots(&roots.value) {
            self.file_fault("cdr: ship: roots", &roots, fault);
        }
        let batch = written.batch.as_ref().map_or(500, |at| at.value);
        let ship = CdrShip {
            url: url.value.clone(),
            target,
            roots: roots.value,
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
        };
        let secrets = [("token", &written.token), ("password", &written.password)];
        for (word, secret) in secrets {
            if let (Some(secret), Some((needed, _))) = (secret, ship.secret())
                && word == needed
            {
                // Whoever sends reads it, and says until then that it cannot.
                let _ = self.shared_secret("cdr: ship", word, secret);
            }
        }
        Some(ship)
    }

    fn https(&mut self, url: &At<String>, written: &WrittenShip) -> CdrTarget {
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
                     else; an address of IPv6 stands in brackets with its port; or write \
                     postgresql://user@host/database"
                        .to_owned(),
                ),
            );
        }
        let (password, table) = (&written.password, &written.table);
        for span in [
            password.as_ref().map(|at| &at.span),
            table.as_ref().map(|at| &at.span),
            written.plain.as_ref().map(|at| &at.span),
        ] {
            let what = "\"password\", \"table\" and \"plain\" are for a database";
            let help = "remove it, or write url = \"postgresql://user@host/database\"";
            self.useless(span, what, help);
        }
        CdrTarget::Https {
            token: written.token.as_ref().map(|at| at.value.clone()),
        }
    }

    fn table(&mut self, url: &At<String>, written: &WrittenShip) -> Option<CdrTable> {
        let place = match database::place(&url.value) {
            Ok(place) => place,
            Err(why) => {
                // It is not shown: there may be a password in it.
                let what = format!("cdr: ship: url {}", why.what);
                let help = Some(why.instead.to_owned());
                self.out.add(Code::BadForm, &url.span, what, help);
                return None;
            }
        };
        let token = written.token.as_ref().map(|at| &at.span);
        let help = "write password in its place";
        self.useless(token, "a database knows no token", help);
        let host = place.host.parse::<IpAddr>();
        let is_here = place.host == "localhost" || host.is_ok_and(|own| own.is_loopback());
        let table = written.table.as_ref().map(|at| at.value.clone());
        Some(CdrTable {
            host: place.host,
            port: place.port,
            user: place.user,
            password: written.password.as_ref().map(|at| at.value.clone()),
            database: place.database,
            schema: table.as_ref().and_then(|own| own.schema.clone()),
            table: table.map_or_else(|| USUAL_TABLE.to_owned(), |own| own.table),
            is_plain: written.plain.as_ref().map_or(is_here, |at| at.value),
        })
    }

    /// A key that nothing would act on.
    fn useless(&mut self, span: Option<&Span>, what: &str, help: &str) {
        if let Some(span) = span {
            let what = format!("cdr: ship: {what}");
            let help = Some(help.to_owned());
            self.out.add(Code::Contradiction, span, what, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Assumed, CdrShip, CdrTarget, Code, Secret, Source, load, starter};

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
        assert_eq!((ship.batch, ship.secret()), (500, None));
        let all = format!("ship = {{ {url}, batch = 7, token = {{ credential = \"records\" }} }}");
        let ship = loaded(&all).unwrap().unwrap();
        let token = Secret::Credential("records".to_owned());
        assert_eq!(ship.secret(), Some(("token", &token)));
        assert_eq!((ship.batch, ship.url.len()), (7, 31));
        for (wrong, code) in [
            ("ship = {}".to_owned(), Code::MissingKey),
            ("ship = true".to_owned(), Code::WrongType),
            (format!("ship = {{ {url}, batch = 0 }}"), Code::OutOfRange),
            (
                format!("ship = {{ {url}, token = \"abc\" }}"),
                Code::WrongType,
            ),
            (format!("ship = {{ {url}, user = 1 }}"), Code::UnknownKey),
            (
                format!("ship = {{ {url}, table = \"x\" }}"),
                Code::Contradiction,
            ),
            (
                format!("ship = {{ {url}, password = {{ env = \"P\" }} }}"),
                Code::Contradiction,
            ),
            (
                format!("ship = {{ {url}, plain = true }}"),
                Code::Contradiction,
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
    #[test]
    fn records_go_to_a_table_over_tls_unless_it_is_here_or_somebody_says_so() {
        let table = |keys: &str| {
            let ship = loaded(&format!("ship = {{ url = \"{keys} }}"))
                .unwrap()
                .unwrap();
            match ship.target {
                CdrTarget::Postgres(table) => table,
                CdrTarget::Https { .. } => panic!("{keys}"),
            }
        };
        let far = "postgresql://causeway@db.example.com/billing\"";
        let own = table(far);
        assert_eq!((own.schema, own.table.as_str()), (None, "causeway_records"));
        assert_eq!(
            (own.user.as_str(), own.database.as_str()),
            ("causeway", "billing")
        );
        assert!(!own.is_plain && own.password.is_none());
        assert!(table(&format!("{far}, plain = true")).is_plain);
        for near in ["127.0.0.1", "localhost", "[::1]"] {
            let near = format!("postgresql://causeway@{near}:5433/billing\"");
            assert!(table(&near).is_plain);
            assert!(!table(&format!("{near}, plain = false")).is_plain);
        }
        let all = format!(
            "{far}, table = \"billing.cdr\", password = {{ file = \"/etc/x\" }}, batch = 7"
        );
        let own = table(&all);
        assert_eq!(own.schema.as_deref(), Some("billing"));
        assert_eq!(own.password, Some(Secret::File("/etc/x".to_owned())));
        for (wrong, code) in [
            (format!("{far}, table = \"a; b\""), Code::BadForm),
            (
                format!("{far}, token = {{ env = \"T\" }}"),
                Code::Contradiction,
            ),
            (
                format!("{far}, plain = true, roots = \"/x\""),
                Code::Contradiction,
            ),
            (
                "postgresql://a:b@db.example.com/x\"".to_owned(),
                Code::BadForm,
            ),
            ("mysql://a@db.example.com/x\"".to_owned(), Code::BadForm),
        ] {
            let told = loaded(&format!("ship = {{ url = \"{wrong} }}"));
            assert_eq!(told, Err(vec![code]), "{wrong}");
        }
    }
}
