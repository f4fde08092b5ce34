//! Derived trunks: whether the trunk is there that they are derived from, and can be that.

use super::{Load, titled};
use crate::config::finding::Code;
use crate::config::source::{At, Span};
use crate::config::written::{File, WrittenTrunk};
use crate::config::{Hosting, Preset, TlsContext, Trunk};
use crate::id::TrunkName;
use std::sync::Arc;

impl Load<'_> {
    /// The carrier trunk of a trunk that is derived from one. Those are built first.
    pub(super) fn carrier(&mut self, title: &str, written: &WrittenTrunk) -> Option<Arc<Trunk>> {
        let at = written.inherits.as_ref()?;
        let found = self.trunks.find(at, title, &mut self.out);
        let carrier = found.map(|(trunk, _)| Arc::clone(trunk));
        let mut refuse = |span: &Span, cause: String, help: &str| {
            let cause = format!("{title}: {cause}");
            self.out
                .add(Code::Contradiction, span, cause, Some(help.to_owned()));
        };
        if let Some(tenant) = everybodys(written) {
            refuse(
                &tenant.span,
                "a derived trunk is that of one customer".to_owned(),
                "write the customer's name",
            );
        }
        let carrier = carrier?;
        let name = &carrier.name;
        if carrier.preset != Preset::Teams {
            refuse(
                &at.span,
                format!("\"{name}\" does not lead to Teams"),
                "only trunks with preset = \"teams\" have derived ones",
            );
        }
        Some(carrier)
    }

    /// Whether Teams finds the carrier trunk by the name of a derived one: it takes the first label away
    /// (TDR-MT-001).
    pub(super) fn below_carrier(&mut self, title: &str, written: &WrittenTrunk, carrier: &Trunk) {
        let (Some(at), Some(base)) = (&written.fqdn, &carrier.fqdn) else {
            return;
        };
        let below = at.value.split_once('.').map(|(_, below)| below);
        if !below.is_some_and(|below| below.eq_ignore_ascii_case(base)) {
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!(
                    "{title}: Teams finds \"{}\" by names that are one label below {base}",
                    carrier.name
                ),
                Some(format!("write fqdn = \"customer1.{base}\"")),
            );
        }
    }

    /// Whether a TLS identity has been checked with the carrier trunk.
    pub(super) fn is_checked(carrier: Option<&Arc<Trunk>>, tls: &TlsContext) -> bool {
        carrier.is_some_and(|carrier| carrier.tls.as_ref() == Some(&tls.name))
    }

    pub(super) fn build_hosting(&mut self, file: &File) {
        let valid = self.trunks.valid.values();
        self.hosting = Hosting::of(valid.map(|(trunk, _)| trunk));
        for written in &file.trunks {
            let name = TrunkName::new(&written.name.value);
            let trunk = self.trunks.valid.get(&name);
            // A derived one has been told.
            let is_of_teams = written.inherits.is_none()
                && trunk.is_some_and(|(trunk, _)| trunk.preset == Preset::Teams);
            let Some(at) = everybodys(written).filter(|_| is_of_teams) else {
                continue;
            };
            // Calls of Teams would belong to whoever owns the number that is called (TDR-MT-012, TDR-MT-015, TDR-MT-016).
            let title = titled("trunk", name.as_str());
            let (cause, help) = match self.hosting.is_carrier(&name) {
                true => (
                    "a trunk that others inherit from cannot be everybody's",
                    "name a [[tenant]] of your own; each customer has a derived trunk",
                ),
                false => (
                    "a trunk to Teams cannot be everybody's: its calls would belong to the tenant of the number that is \
                     called, with that one's routes, limits and records, whoever calls; and numbers of no tenant, as most \
                     are, would get 404",
                    "name the [[tenant]] whose users these are; of several customers each has a trunk with inherits = \
                     \"{name}\", its tenant and its fqdn, as causeway tenant add drafts it. A call to another \
                     customer's number then leaves by a shared trunk, as one of a carrier is, and comes back as a call of that customer",
                ),
            };
            let cause = format!("{title}: {cause}");
            self.out.add(
                Code::Contradiction,
                &at.span,
                cause,
                Some(help.replace("{name}", name.as_str())),
            );
        }
    }
}

fn everybodys(written: &WrittenTrunk) -> Option<&At<String>> {
    written.tenant.as_ref().filter(|at| at.value == "*")
}
