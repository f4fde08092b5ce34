//! Transfers of a trunk: what the operator wrote, and what contradicts it.

use super::{Load, chosen};
use crate::config::finding::Code;
use crate::config::transfer::{Refer, TransferPolicy, WrittenTransfer};
use crate::config::{HistoryForm, Preset};

impl Load<'_> {
    pub(super) fn transfers(
        &mut self,
        title: &str,
        written: &WrittenTransfer,
        preset: Preset,
        history: HistoryForm,
    ) -> TransferPolicy {
        let usual = TransferPolicy::default();
        let policy = TransferPolicy {
            refer: chosen(&written.refer, usual.refer),
            accepted: chosen(&written.accepted, usual.accepted),
            names_unknown: chosen(&written.names_unknown, usual.names_unknown),
            is_diversion: chosen(&written.is_diversion, usual.is_diversion),
            most: match (&written.most, preset) {
                (Some(at), _) => at.value as usize,
                // A reception, a queue, an agent and his colleagues are one call there.
                (None, Preset::Teams) => MOST_OF_TEAMS,
                (None, Preset::Carrier) => usual.most,
            },
        };
        if let Some(at) = &written.is_diversion
            && at.value
            && history == HistoryForm::None
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: transfer_diversion has no effect where no diversion is told"),
                Some("write identity = { diversion = \"diversion\" } too".to_owned()),
            );
        }
        if let Some(at) = &written.refer
            && preset == Preset::Teams
            && at.value == Refer::Relay
        {
            // Whom it names is called by strings that mean something to itself alone (TDR-XFR-010).
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!("{title}: nobody but Teams can call the targets of its transfers"),
                Some("write refer = \"local\", or remove the key".to_owned()),
            );
        }
        if let Some(at) = &written.accepted
            && preset == Preset::Teams
            && at.value != usual.accepted
        {
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!("{title}: Teams expects 202 to its REFER"),
                Some("remove refer_status".to_owned()),
            );
        }
        if policy.refer == Refer::Refuse
            && let Some(at) = &written.accepted
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: refer_status has no effect where transfers are refused"),
                Some("remove refer_status, or write refer = \"local\"".to_owned()),
            );
        }
        policy
    }
}

/// How often Teams may transfer a call unless it is written: circles end, and a call that goes from hand to hand does not.
const MOST_OF_TEAMS: usize = 20;
