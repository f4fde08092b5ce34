//! Whether a call became what a test says, and what to tell the operator if it did not.

use super::{Played, Tried, Undescribed};
use crate::config::{Case, Code, Finding, What, Wish};
use crate::sip::header::{From, To};
use crate::sip::{Message, Uri};

/// One finding for each wish that is not met.
pub(super) fn unmet(case: &Case, played: Result<&Played, &Undescribed>) -> Vec<Finding> {
    let title = format!("test \"{}\"", case.name.escape_debug());
    let finding = |place, cause: String, help: String| Finding {
        place,
        ..Finding::unplaced(Code::TestFailed, cause, Some(help))
    };
    let played = match played {
        Ok(played) => played,
        Err(why) => {
            let cause = format!("{title}: {why}");
            let help = "describe a call that this configuration could get".to_owned();
            return vec![finding(case.place.clone(), cause, help)];
        }
    };
    let mut findings = Vec::new();
    if let (Some(wanted), Some(trunk)) = (&case.call.trunk, &played.trunk)
        && wanted != trunk
    {
        let cause = format!(
            "{title}: the call is found to be one of trunk \"{trunk}\", not of \"{wanted}\""
        );
        let help = "name the source and the Request-URI that belong to the trunk".to_owned();
        findings.push(finding(case.place.clone(), cause, help));
    }
    for Wish { place, what } in &case.wishes {
        if let Err(Unmet { expected, came }) = holds(what, played) {
            let cause = format!("{title}: expected {expected}, but {came}");
            findings.push(finding(place.clone(), cause, help(what, played)));
        }
    }
    findings
}

/// What was expected and what came instead.
struct Unmet {
    expected: String,
    came: String,
}

fn holds(what: &What, played: &Played) -> Result<(), Unmet> {
    let first = played.tries.first();
    match what {
        What::Tenant(wanted) => {
            let tenant = played.tenant.as_ref().map(|tenant| tenant.as_str());
            is_like(
                wanted,
                tenant,
                || format!("tenant \"{wanted}\""),
                "the call is nobody's",
            )
        }
        What::Trunk(wanted) => {
            let trunk = first.map(|first| first.trunk.as_str());
            let expected = || format!("a call to trunk \"{wanted}\"");
            is_like(wanted, trunk, expected, &fate(played))
        }
        What::Trunks(wanted) => {
            let mut trunks: Vec<&str> = Vec::new();
            for tried in &played.tries {
                if trunks.last() != Some(&tried.trunk.as_str()) {
                    trunks.push(tried.trunk.as_str());
                }
            }
            let is_met = trunks.len() == wanted.len()
                && trunks
                    .iter()
                    .zip(wanted)
                    .all(|(own, wanted)| is_glob(wanted, own));
            met(
                is_met,
                || format!("trunks {}", wanted.join(", ")),
                || match first {
                    Some(_) => format!("trunks {} are tried", trunks.join(", ")),
                    None => fate(played),
                },
            )
        }
        What::Targets(wanted) => met(
            played.tries.len() == *wanted,
            || format!("{wanted} targets"),
            || match first {
                Some(_) => format!(
                    "{} are tried: {}",
                    played.tries.len(),
                    targets(&played.tries)
                ),
                None => fate(played),
            },
        ),
        What::RequestUri(wanted) => {
            let uri = first.map(|first| text(&first.message.request_uri()));
            in_uri("Request-URI", wanted, uri, played)
        }
        What::From(wanted) => {
            let uri = first.and_then(|first| {
                let from = first.message.essential::<From>().ok().flatten()?;
                Some(uri_text(from.uri()))
            });
            in_uri("From", wanted, uri, played)
        }
        What::To(wanted) => {
            let uri = first.and_then(|first| {
                let to = first.message.essential::<To>().ok().flatten()?;
                Some(uri_text(to.0.uri()))
            });
            in_uri("To", wanted, uri, played)
        }
        What::Header(name, wanted) => {
            let values = first
                .map(|first| values(&first.message, name))
                .unwrap_or_default();
            met(
                values.iter().any(|value| is_glob(wanted, value)),
                || format!("{name}: {wanted}"),
                || match (first, values.as_slice()) {
                    (None, _) => fate(played),
                    (Some(_), []) => format!("the INVITE has no {name}"),
                    (Some(_), values) => format!("the INVITE says {name}: {}", values.join(", ")),
                },
            )
        }
        What::Absent(name) => {
            let values = first
                .map(|first| values(&first.message, name))
                .unwrap_or_default();
            met(
                first.is_some() && values.is_empty(),
                || format!("an INVITE without {name}"),
                || match first {
                    None => fate(played),
                    Some(_) => format!("it says {name}: {}", values.join(", ")),
                },
            )
        }
        What::Status(wanted) => met(
            played.refusal.as_ref().and_then(|refusal| refusal.status) == Some(*wanted),
            || format!("a refusal with {wanted}"),
            || fate(played),
        ),
        What::Cause(wanted) => {
            let cause = played.refusal.as_ref().and_then(|refusal| refusal.cause);
            let is_met = cause.is_some_and(|cause| cause.as_str() == wanted);
            met(
                is_met,
                || format!("a refusal for {wanted}"),
                || fate(played),
            )
        }
        What::Dropped(wanted) => met(
            played.dropped.is_some_and(|why| why.as_str() == wanted),
            || format!("the request to be dropped as {wanted}"),
            || fate(played),
        ),
    }
}

fn met(
    is_met: bool,
    expected: impl FnOnce() -> String,
    came: impl FnOnce() -> String,
) -> Result<(), Unmet> {
    match is_met {
        true => Ok(()),
        false => Err(Unmet {
            expected: expected(),
            came: came(),
        }),
    }
}

fn is_like(
    wanted: &str,
    came: Option<&str>,
    expected: impl FnOnce() -> String,
    without: &str,
) -> Result<(), Unmet> {
    let is_met = came.is_some_and(|came| is_glob(wanted, came));
    met(is_met, expected, || match came {
        Some(came) => format!("it is \"{came}\""),
        None => without.to_owned(),
    })
}

/// A URI as a whole, or the number in it where the wish is nothing but a number.
fn in_uri(what: &str, wanted: &str, came: Option<String>, played: &Played) -> Result<(), Unmet> {
    let is_met = came
        .as_deref()
        .is_some_and(|came| match wanted.contains([':', '@']) {
            true => is_glob(wanted, came),
            false => {
                let uri = Uri::parse(came.to_owned()).ok();
                let user = uri.as_ref().and_then(|uri| uri.user());
                user.is_some_and(|user| is_glob(wanted, &text(user)))
            }
        });
    met(
        is_met,
        || format!("{what} {wanted}"),
        || match came {
            Some(came) => format!("it is {came}"),
            None => fate(played),
        },
    )
}

/// What became of a call, in a few words.
fn fate(played: &Played) -> String {
    if let Some(first) = played.tries.first() {
        return format!("the call goes to trunk \"{}\"", first.trunk);
    }
    let refusal = played.refusal.as_ref();
    let why = refusal.map(|refusal| refusal.because.0.join(", "));
    let why = why.filter(|why| !why.is_empty());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    match (refusal.and_then(|refusal| refusal.status), played.dropped) {
        (Some(status), _) => {
            let cause = refusal.and_then(|refusal| refusal.cause);
            let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
            format!("the call is refused with {status}{cause}{why}")
        }
        (None, Some(dropped)) => format!("the request is dropped as {}", dropped.as_str()),
        (None, None) => format!("nothing goes out{why}"),
    }
}

fn targets(tries: &[Tried]) -> String {
    let names: Vec<&str> = tries.iter().map(|tried| tried.host.as_str()).collect();
    names.join(", ")
}

/// What to change: the last rules that were followed say where to look.
fn help(what: &What, played: &Played) -> String {
    let rules = match (what, played.tries.first()) {
        (
            What::RequestUri(_) | What::From(_) | What::To(_) | What::Header(..) | What::Absent(_),
            Some(first),
        ) => &first.rules,
        _ => &played.rules,
    };
    let from = rules.len().saturating_sub(4);
    let last = rules.get(from..).unwrap_or_default().join("; ");
    let last = match last.is_empty() {
        true => String::new(),
        false => format!(" (it followed: {last})"),
    };
    format!("change the rule or the test; \"causeway route test\" shows every step{last}")
}

fn values(message: &Message, name: &str) -> Vec<String> {
    let lines = message.headers();
    lines
        .filter(|line| line.name().as_str().eq_ignore_ascii_case(name))
        .map(|line| text(&line.value()))
        .collect()
}

fn uri_text(uri: &Uri) -> String {
    text(&uri.to_bytes())
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Whether a text is what was written, where `*` stands for any octets. Linear but for the places
/// to which a `*` goes back.
fn is_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::is_glob;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(is_glob(
            "sip:+49*@*;user=phone",
            "sip:+4930@h.example;user=phone"
        ));
        assert!(is_glob("*", "") && is_glob("", "") && is_glob("a*a", "aba"));
        assert!(!is_glob("a*a", "a") && !is_glob("a", "ab") && !is_glob("*b*", "aaa"));
    }
}
