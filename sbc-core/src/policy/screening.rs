//! Whether a caller may show the number that it shows (SIP-1002, SIP-1004, TDR-MT-015).
//!
//! Only calls from a trunk that belongs to one customer are looked at: whoever calls in through a
//! shared trunk calls from the world, and shows what the world gave him.

use crate::cause::{Because, CauseCode};
use crate::config::{Config, Preset, Screening, TransformScope};
use crate::policy::Refusal;
use crate::policy::identity::Caller;
use crate::policy::ingress::Ingress;
use crate::policy::number::{self, Number};
use crate::sip::Status;

/// What became of a caller's number, for the record.
pub type Verdict = &'static str;

/// Looks at the number of a caller and changes it where the trunk says so. `Err` is the refusal of
/// a number that is not the customer's.
pub fn screen(
    config: &Config,
    ingress: &Ingress,
    caller: &mut Caller,
) -> Result<Option<Verdict>, Refusal> {
    let Some(tenant) = ingress
        .tenant
        .as_ref()
        .and_then(|name| config.tenants.get(name))
    else {
        return Ok(None);
    };
    let trunk = &ingress.trunk;
    let scope = TransformScope::In(trunk.name.clone());
    let inside = |number: &str| number::transform_calling(config, &scope, number).value;
    let is_own = |number: &str| {
        let number = inside(number);
        tenant.has(&number)
    };
    // The rules for redirecting numbers, which are those for calling ones where there are no others.
    let is_own_diverting = |number: &str| {
        let number = number::transform_redirecting(config, &scope, number).value;
        tenant.has(&number)
    };
    let pilot = trunk.identity.pilot.as_ref();
    // A wish: it is heard if the number is the customer's, and is the main number otherwise.
    if let Some(wanted) = caller.preferred.take().filter(|_| !trunk.trusted) {
        let is_heard = is_own(&wanted.number);
        match (is_heard, pilot) {
            (true, _) => show(caller, *wanted),
            (false, Some(pilot)) => show(caller, plain(pilot)),
            (false, None) => {}
        }
        if is_heard || pilot.is_some() {
            return Ok(Some(if is_heard { "preferred" } else { "replaced" }));
        }
    }
    if caller.calling.is_withheld && caller.asserted.is_empty() {
        return Ok(Some("withheld"));
    }
    // Who forwards a call shows the number of its caller, not his own (TDR-SIP-036).
    let diverting = caller.trail.diverting();
    let is_forwarded = diverting.is_some_and(|number| is_own_diverting(&number.number));
    let shows_other = !caller.calling.is_withheld && !is_own(&caller.calling.number.number);
    if is_own(&caller.selected.number) {
        let is_screened = trunk.identity.screens_from && shows_other && !is_forwarded;
        return match trunk.identity.screening {
            Screening::Replace if is_screened => {
                caller.calling.number = caller.selected.clone();
                caller.calling.display = None;
                Ok(Some("replaced"))
            }
            Screening::Reject if is_screened => {
                Err(foreign(&caller.calling.number, tenant.name.as_str()))
            }
            Screening::Pass | Screening::Replace | Screening::Reject => Ok(Some("owned")),
        };
    }
    if is_forwarded {
        return Ok(Some("forwarded"));
    }
    // At Teams he need not have a number of the customer's: queues, attendants and users without one
    // forward and transfer, too.
    let is_teams = trunk.preset == Preset::Teams && trunk.trusted;
    if is_teams && (caller.is_referred || caller.trail.last_diversion().is_some()) {
        return Ok(Some("forwarded"));
    }
    match (trunk.identity.screening, pilot) {
        (Screening::Pass, _) | (Screening::Replace, None) => Ok(Some("foreign")),
        (Screening::Replace, Some(pilot)) => {
            show(caller, plain(pilot));
            Ok(Some("replaced"))
        }
        (Screening::Reject, _) => Err(foreign(&caller.selected, tenant.name.as_str())),
    }
}

/// The refusal of a number that is not the customer's.
fn foreign(number: &Number, tenant: &str) -> Refusal {
    Refusal {
        status: Status::FORBIDDEN,
        cause: CauseCode::CallerNotAllowed,
        because: Because::of(format!(
            "{} is no number of tenant \"{tenant}\"",
            number.number
        )),
    }
}

/// The number is shown instead of what came. What was asserted beside it would contradict it.
fn show(caller: &mut Caller, number: Number) {
    caller.asserted.clear();
    caller.selected = number.clone();
    if !caller.calling.is_withheld {
        caller.calling.number = number;
        caller.calling.display = None;
    }
}

fn plain(number: &str) -> Number {
    Number {
        raw: number.to_owned(),
        number: number.to_owned(),
        ..Number::default()
    }
}
