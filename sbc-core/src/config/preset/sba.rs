//! Defaults of a trunk to a survivable branch appliance: it speaks as Teams does, from an address of the
//! branch and with a certificate of whoever the branch trusts (TDR-SBA-002).

use super::{Defaults, teams};
use crate::config::Cloud;

/// Those of Teams, without Microsoft's names and addresses: the appliance is where its targets say.
pub(in crate::config) fn defaults() -> Defaults {
    Defaults {
        targets: Vec::new(),
        accept_from: Vec::new(),
        ..teams::defaults(Cloud::default())
    }
}
