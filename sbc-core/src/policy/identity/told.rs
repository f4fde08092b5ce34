//! Why the identity headers of an INVITE are as they are, for whoever asks.

use super::{Caller, Outgoing, Towards};
use crate::cause::Because;
use crate::config::{AssertedForm, HistoryForm, Party};

/// What was decided for each header, in the order of decision.
pub fn told(caller: &Caller, towards: &Towards<'_>, written: &Outgoing) -> Because {
    let Towards { from, to, .. } = towards;
    let mut told = Because::default();
    if caller.selected.number != caller.calling.number.number {
        told = told.and(format!(
            "the caller counts as {}, which {} says: From claims {}",
            caller.selected.number,
            match from.trusted {
                true => "its trusted peer",
                false => "screening",
            },
            caller.calling.number.number
        ));
    }
    if written.contact_user.is_some() {
        told = told.and(format!(
            "From shows {}",
            match to.identity.from {
                Party::Caller => "the caller",
                Party::Diverting => "who forwarded the call, or else the caller",
                Party::Pilot => "the pilot number of the trunk",
            }
        ));
    }
    let header = match to.identity.form {
        AssertedForm::Pai => "P-Asserted-Identity",
        AssertedForm::Ppi => "P-Preferred-Identity",
        AssertedForm::Rpid => "Remote-Party-ID",
    };
    let is_written = !written.asserted.is_empty()
        || written.preferred.is_some()
        || written.remote_party.is_some();
    told = told.and(match (is_written, to.send_asserted) {
        (true, _) => format!("{header} is written"),
        (false, false) => format!("no identity is asserted: trunk \"{}\" wants none", to.name),
        (false, true) if caller.asserted.is_empty() => {
            "no identity is asserted: none came from a peer that is trusted".to_owned()
        }
        (false, true) => "no identity is asserted: it may not leave the trust domain".to_owned(),
    });
    if let Some(privacy) = &written.privacy {
        use crate::sip::header::Header;
        let value = privacy.to_bytes();
        told = told.and(format!("Privacy says {}", String::from_utf8_lossy(&value)));
    }
    let has_history = !written.history.is_empty() || !written.diversion.is_empty();
    told.and(match (has_history, to.history) {
        (true, HistoryForm::Pass) => "earlier targets are told as they came".to_owned(),
        (true, HistoryForm::HistoryInfo) => "earlier targets are told in History-Info".to_owned(),
        (true, HistoryForm::Diversion) => "earlier targets are told in Diversion".to_owned(),
        (true, HistoryForm::Both) => {
            "earlier targets are told in History-Info and Diversion".to_owned()
        }
        (true | false, HistoryForm::None) => {
            format!(
                "earlier targets are not told: trunk \"{}\" wants none",
                to.name
            )
        }
        (false, _) => "there are no earlier targets to tell".to_owned(),
    })
}
