//! Where Microsoft tells of changes.

use super::Load;
use crate::config::NoticeListen;
use crate::config::finding::Code;
use crate::config::value::is_https_url;
use crate::config::written::File;
use crate::id::TlsContextName;

impl Load<'_> {
    pub(super) fn build_notices(&mut self, file: &File) -> Option<NoticeListen> {
        let written = file.notices.as_ref()?;
        if let Some(at) = &written.listen {
            self.free_port(file, "notices", at);
        }
        if let Some(at) = written.url.as_ref().filter(|at| !is_https_url(&at.value)) {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!("notices: \"{}\" is no URL that Microsoft could call", at.value.escape_debug()),
                Some(
                    "write https://, a public host name, a port if it is not 443, and a path, and nothing else"
                        .to_owned(),
                ),
            );
        }
        let mut access = file
            .tenants
            .iter()
            .filter_map(|tenant| tenant.graph.as_ref());
        if !access.any(|access| access.presence.is_some()) {
            self.out.add(
                Code::Contradiction,
                &written.span,
                "notices: no tenant goes by presence, so nothing is subscribed to",
                Some(
                    "write graph = { …, presence = {} } in its [[tenant]], or remove [notices]"
                        .to_owned(),
                ),
            );
        }
        let tls = written.tls.as_ref()?;
        self.tls.find(tls, "notices", &mut self.out)?;
        Some(NoticeListen {
            address: written.listen.as_ref()?.value,
            tls: TlsContextName::new(&tls.value),
            url: written.url.as_ref()?.value.clone(),
        })
    }
}
