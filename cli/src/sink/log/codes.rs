//! The codes that lines of the log have: a beginning of none of them finds nothing, ever.

/// All of them, by the alphabet.
pub const CODES: [&str; 159] = [
    "abandoned",
    "accept",
    "admitted",
    "api_client_ca",
    "asked_read",
    "asked_to_authenticate",
    "asked_write",
    "attempt",
    "audit",
    "authentication_failed",
    "ban",
    "banned",
    "bindings",
    "bindings_read",
    "bindings_write",
    "bug",
    "call",
    "call_lost",
    "call_restored",
    "call_unreadable",
    "calls_lost",
    "calls_recorded",
    "calls_restored",
    "calls_unrecorded",
    "capacity",
    "cdr_lost",
    "cdr_move",
    "cdr_remove",
    "cdr_removed",
    "cdr_ship",
    "cdr_ship_down",
    "cdr_ship_left",
    "cdr_ship_refused",
    "cdr_ship_secret",
    "cdr_ship_unwritten",
    "cdr_ship_up",
    "cdr_start_lost",
    "cdr_sync",
    "cdr_unread",
    "cdr_write",
    "certificate_expiry",
    "certificate_failed",
    "certificate_file",
    "certificate_issued",
    "certificate_order",
    "certificate_refused",
    "certificate_renewed",
    "certificate_revoked",
    "certificate_state",
    "certificate_unanswered",
    "certificate_untried",
    "challenged",
    "config",
    "config_awaits",
    "config_confirmed",
    "config_earlier",
    "config_fallback",
    "config_history",
    "config_reverted",
    "config_stays",
    "confinement",
    "connect_failed",
    "connection_refused",
    "crl_expiry",
    "crl_read",
    "crl_unreadable",
    "drained",
    "draining",
    "dropped",
    "elin_reused",
    "emergency",
    "flow_lost",
    "guest",
    "hep_down",
    "hep_key",
    "hep_up",
    "interface",
    "key_lost",
    "key_unusable",
    "leaving",
    "lent_read",
    "lent_restored",
    "lent_write",
    "limit_reached",
    "listener_lost",
    "location_unreadable",
    "malformed",
    "media",
    "media_backend",
    "media_refused",
    "media_relay",
    "metrics",
    "notice_refused",
    "notices",
    "offer_refused",
    "orphans",
    "overload",
    "panic",
    "preempted",
    "preemption_limited",
    "presence_heard",
    "presence_unheard",
    "presence_unset",
    "protection_read",
    "protection_write",
    "ready",
    "register_refused",
    "registered",
    "registration",
    "registration_failed",
    "registration_off",
    "reload",
    "reload_refused",
    "restart",
    "routed",
    "secrecy",
    "signature_lost",
    "sip_received",
    "sip_sent",
    "socket",
    "spend_reached",
    "spending_from_the_future",
    "spending_left_out",
    "spending_read",
    "spending_write",
    "start",
    "state",
    "stir",
    "stir_failed",
    "stopped",
    "stopping",
    "stranger",
    "stuck",
    "target_busy",
    "target_down",
    "target_failed",
    "target_gone",
    "target_refuses",
    "target_up",
    "teams_chain",
    "teams_chain_trouble",
    "teams_root_expiry",
    "teams_test_name",
    "test_names_read",
    "test_names_write",
    "tls_refused",
    "token_revoked",
    "transfer",
    "trunk_closed",
    "trunk_enabled",
    "trunks_read",
    "trunks_write",
    "udp_receive",
    "udp_serve",
    "unauthenticated",
    "unusual_calls",
    "user_attacked",
    "user_banned",
    "weak_digest",
];

/// The first word of each, once.
pub fn beginnings() -> Vec<&'static str> {
    let mut all: Vec<&str> = CODES
        .iter()
        .filter_map(|code| code.split('_').next())
        .collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// What calls that begin a line, and the table of those of the core, have before the code.
    const BEFORE: [&str; 6] = [
        ".error(",
        ".warn(",
        ".info(",
        ".debug(",
        ".message(",
        "(Level::",
    ];

    /// Codes that are written in the sources as they are.
    fn written(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                written(&path, found);
                continue;
            }
            let is_source = path.extension().is_some_and(|ending| ending == "rs");
            if !is_source || path.ends_with("tests.rs") || path.ends_with("fixture.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            for before in BEFORE {
                for part in text.split(before).skip(1) {
                    let level = |c: char| c.is_ascii_alphabetic();
                    let part = match before {
                        "(Level::" => part.trim_start_matches(level).trim_start_matches(','),
                        _ => part,
                    };
                    let Some(rest) = part.trim_start().strip_prefix('"') else {
                        continue;
                    };
                    let is_of_code = |c: char| c.is_ascii_lowercase() || c == '_';
                    let code: String = rest.chars().take_while(|c| is_of_code(*c)).collect();
                    let end = rest
                        .get(code.len()..)
                        .and_then(|rest| rest.strip_prefix('"'));
                    let behind = match before {
                        "(Level::" => ')',
                        _ => ',',
                    };
                    if !code.is_empty() && end.is_some_and(|end| end.starts_with(behind)) {
                        found.insert(code);
                    }
                }
            }
        }
    }

    #[test]
    fn every_code_of_the_sources_is_known() {
        let mut found = BTreeSet::new();
        written(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        assert!(found.len() > 100, "{}", found.len());
        let unknown: Vec<&String> = found
            .iter()
            .filter(|code| !CODES.contains(&code.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(CODES.is_sorted());
    }
}
