//! Defaults of a trunk between a provider and an enterprise that both keep to SIPconnect (1.1, 2.0).

use super::{Defaults, carrier};
use crate::config::{HistoryForm, NumberForm, UriForm, UserPhone};

/// Those of a carrier, with what SIPconnect leaves to nobody: numbers with `user=phone` in every URI, the caller
/// asserted both ways, forwarding numbers in History-Info, and From anonymous where the caller hides: who may know
/// it reads what is asserted. What is dialled, emergency numbers above all, goes as it is.
pub(in crate::config) fn defaults() -> Defaults {
    Defaults {
        trusted: true,
        uri: UriForm {
            user_phone: UserPhone::Always,
            transport_param: true,
        },
        history: HistoryForm::HistoryInfo,
        number_form: NumberForm::Digits,
        anonymous_from: true,
        ..carrier::defaults()
    }
}
