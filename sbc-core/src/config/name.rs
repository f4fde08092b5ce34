//! Names in certificates: exact, or with one leading wildcard label (RFC 2818 §3.1, RFC 5922).

/// Whether a name in a peer's certificate is one that we accept.
///
/// `accepted` comes from the configuration; its leading `*.` stands for exactly one label.
/// `shown` comes from the certificate; its leading `*.` covers one label of an accepted name only
/// if `allow_wildcard` says so. Case does not matter.
pub fn is_same_name(accepted: &str, shown: &str, allow_wildcard: bool) -> bool {
    let accepted = accepted.trim_end_matches('.');
    let shown = shown.trim_end_matches('.');
    if accepted.is_empty() || shown.is_empty() {
        return false;
    }
    match (accepted.strip_prefix("*."), shown.strip_prefix("*.")) {
        (None, None) => accepted.eq_ignore_ascii_case(shown),
        (Some(parent), None) => is_one_below(shown, parent),
        (None, Some(parent)) => allow_wildcard && is_one_below(accepted, parent),
        (Some(one), Some(two)) => allow_wildcard && one.eq_ignore_ascii_case(two),
    }
}

/// Whether any of a certificate's names covers `name`, wildcards for one label included.
pub fn covers(names: &[String], name: &str) -> bool {
    names.iter().any(|shown| is_same_name(name, shown, true))
}

/// Whether the name is exact, or begins with one wildcard label above a domain of two labels or
/// more: `*.example` would stand for everybody.
pub(super) fn is_proper_pattern(name: &str) -> bool {
    match name.strip_prefix("*.") {
        None => super::value::is_host_name(name),
        Some(parent) => super::value::is_host_name(parent) && parent.contains('.'),
    }
}

fn is_one_below(name: &str, parent: &str) -> bool {
    name.split_once('.')
        .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        assert!(is_same_name(
            "*.contoso.example",
            "sbc1.contoso.example",
            false
        ));
        assert!(!is_same_name(
            "*.contoso.example",
            "a.sbc1.contoso.example",
            true
        ));
        assert!(!is_same_name("*.contoso.example", "contoso.example", true));
        assert!(is_same_name(
            "sbc1.contoso.example",
            "*.contoso.example",
            true
        ));
        assert!(!is_same_name(
            "a.sbc1.contoso.example",
            "*.contoso.example",
            true
        ));
    }

    #[test]
    fn a_wildcard_certificate_counts_only_where_it_is_allowed() {
        assert!(!is_same_name(
            "sip.contoso.example",
            "*.contoso.example",
            false
        ));
        assert!(!is_same_name(
            "*.contoso.example",
            "*.contoso.example",
            false
        ));
    }

    #[test]
    fn names_compare_without_case_and_final_dot() {
        assert!(is_same_name(
            "SIP.contoso.example.",
            "sip.Contoso.example",
            false
        ));
        assert!(!is_same_name("", "", true));
        assert!(!is_same_name(
            "evil-contoso.example",
            "contoso.example",
            true
        ));
    }

    #[test]
    fn patterns_have_one_wildcard_above_a_real_domain() {
        assert!(is_proper_pattern("*.contoso.example"));
        for wrong in [
            "*",
            "*.example",
            "*.*.contoso.example",
            "a.*.example",
            "sip*.a.example",
        ] {
            assert!(!is_proper_pattern(wrong), "{wrong}");
        }
    }
}
