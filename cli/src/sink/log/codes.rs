//! The codes that lines of the log have: a beginning of none of them finds nothing, ever.

/// All of them, by the alphabet, and what a line with each says.
pub(crate) const MEANINGS: [(&str, &str); 161] = [
    (
        "abandoned",
        "who started this daemon has ended, and so does it",
    ),
    (
        "accept",
        "a listener could not accept connections; it goes on trying",
    ),
    (
        "admitted",
        "a call was admitted: from which trunk and tenant",
    ),
    (
        "api_client_ca",
        "whether certificates of clients of the interface can be verified",
    ),
    (
        "asked_read",
        "when Teams was asked last is not known after a restart: it may be asked twice within a minute",
    ),
    (
        "asked_to_authenticate",
        "who registers was asked to prove who it is",
    ),
    (
        "asked_write",
        "when Teams was asked is not kept: a restart may ask it twice within a minute",
    ),
    ("attempt", "a call is tried at a trunk"),
    (
        "audit",
        "who changed what, and what became of it; or that it cannot be written down",
    ),
    (
        "authentication_failed",
        "who registers did not prove who it is",
    ),
    ("ban", "an operator has banned addresses, or that has ended"),
    (
        "banned",
        "something came from a source that an operator has banned",
    ),
    ("bindings", "what a peer has registered with us has changed"),
    (
        "bindings_read",
        "what was registered before the restart is not known any more",
    ),
    (
        "bindings_write",
        "what is registered is not kept for after a restart",
    ),
    (
        "bug",
        "the program broke a rule of its own; the call that it was about has ended",
    ),
    (
        "call",
        "a call has ended: one line for each, with numbers, trunks, status and cause",
    ),
    (
        "call_lost",
        "a crash has ended a call, which has its record now",
    ),
    (
        "call_restored",
        "a call of the process before this one goes on",
    ),
    (
        "call_unreadable",
        "a call of the process before this one cannot go on",
    ),
    ("calls_lost", "how many calls a crash has ended"),
    (
        "calls_recorded",
        "new calls are taken again, as records can be written",
    ),
    (
        "calls_restored",
        "how many calls of the process before this one go on",
    ),
    (
        "calls_unrecorded",
        "new calls are refused until records can be written, as they are mandatory",
    ),
    (
        "capacity",
        "how many calls this machine allows at the same time, and what bounds that",
    ),
    (
        "cdr_begun",
        "call records are written from now on, since a reload",
    ),
    (
        "cdr_ended",
        "no call records are written any more, since a reload",
    ),
    ("cdr_lost", "call records are lost, and why"),
    (
        "cdr_move",
        "records are still written to the old directory, as the new one cannot be used",
    ),
    (
        "cdr_remove",
        "files of the spool that were kept long enough cannot be removed",
    ),
    (
        "cdr_removed",
        "files of the spool were removed, as they were kept long enough",
    ),
    ("cdr_ship", "records are sent to nobody, and why"),
    (
        "cdr_ship_down",
        "who keeps records does not take them: they wait in the spool",
    ),
    (
        "cdr_ship_left",
        "the spool is another one now, and something of the old one was not sent",
    ),
    (
        "cdr_ship_refused",
        "who keeps records refuses one, which is kept aside",
    ),
    (
        "cdr_ship_secret",
        "the secret for who keeps records cannot be read",
    ),
    (
        "cdr_ship_unwritten",
        "what was sent, or refused, cannot be written down",
    ),
    ("cdr_ship_up", "who keeps records takes them again"),
    (
        "cdr_start_lost",
        "the beginning of a call has no record; it has one when it is over",
    ),
    (
        "cdr_sync",
        "what was written of records cannot be forced to the disk",
    ),
    (
        "cdr_unread",
        "something of the spool cannot be read or removed",
    ),
    ("cdr_write", "records cannot be written and wait in memory"),
    (
        "certificate_expiry",
        "a certificate ends soon, or has ended",
    ),
    (
        "certificate_failed",
        "an authority has not issued a certificate, and why",
    ),
    (
        "certificate_file",
        "a renewed certificate was found on disk, and is in use or not",
    ),
    (
        "certificate_issued",
        "an authority has issued a certificate, which is in use",
    ),
    (
        "certificate_order",
        "an authority is asked for a certificate",
    ),
    (
        "certificate_refused",
        "Teams refuses a renewed certificate: the old one stays in use",
    ),
    (
        "certificate_renewed",
        "connections with an old certificate end",
    ),
    (
        "certificate_revoked",
        "connections of peers end whose certificate was revoked",
    ),
    (
        "certificate_state",
        "when an authority may be asked again is not known after a restart",
    ),
    (
        "certificate_unanswered",
        "nobody answers a renewed certificate nor the one in use: it waits",
    ),
    (
        "certificate_untried",
        "a place of Teams is slow: new certificates were not tried there",
    ),
    (
        "challenged",
        "a peer asked for a password, and was answered",
    ),
    ("config", "a finding of the configuration: a line for each"),
    (
        "config_awaits",
        "a configuration is in use for a time, until it is confirmed",
    ),
    (
        "config_confirmed",
        "what waited to be confirmed was confirmed",
    ),
    (
        "config_earlier",
        "an earlier configuration is in use, not that of the files",
    ),
    (
        "config_fallback",
        "the files on disk cannot be used at the start: what was in use last is",
    ),
    (
        "config_history",
        "a configuration that was in use cannot be kept or read",
    ),
    (
        "config_reverted",
        "nobody has confirmed a configuration in time: the one before is in use again",
    ),
    (
        "config_stays",
        "nothing waits to be confirmed any more, as [api] is another",
    ),
    ("confinement", "what the daemon has taken from itself"),
    ("connect_failed", "a connection to a peer cannot be made"),
    (
        "connection_refused",
        "a connection was refused, as there are too many",
    ),
    ("crl_expiry", "a list of revoked certificates is too old"),
    (
        "crl_read",
        "a list of revoked certificates has changed and counts",
    ),
    (
        "crl_unreadable",
        "a list of revoked certificates cannot be read: the one before counts",
    ),
    (
        "drained",
        "the time of a drain is over: the calls that were left have ended",
    ),
    (
        "draining",
        "no new calls are taken; those in progress go on",
    ),
    ("dropped", "a message was dropped, and why"),
    (
        "elin_reused",
        "a number was lent to another place while a call back to the one before may come",
    ),
    ("emergency", "a call for help"),
    ("flow_lost", "a connection has ended"),
    (
        "guest",
        "an operator lets addresses in as a trunk's, or that has ended",
    ),
    ("hep_down", "a collector of HEP cannot be written to"),
    ("hep_key", "the key of a collector of HEP cannot be read"),
    ("hep_up", "a collector of HEP can be written to again"),
    (
        "interface",
        "threads of the interface have the priority of those that serve calls",
    ),
    (
        "key_lost",
        "a key that a party pressed could not be told to the other one",
    ),
    (
        "key_unusable",
        "a key of SRTP that a peer offers cannot be used",
    ),
    ("leaving", "calls that talk are left to the next process"),
    (
        "lent_read",
        "who called for help under which lent number is not known any more",
    ),
    ("lent_restored", "numbers are lent as before the restart"),
    (
        "lent_write",
        "who called for help under which lent number is not kept",
    ),
    ("limit_reached", "a call was refused, as a limit is reached"),
    (
        "listener_lost",
        "calls of a listener that a reload took away have lost its socket",
    ),
    (
        "location_unreadable",
        "the location of a call for help cannot be read",
    ),
    ("malformed", "a message breaks the rules of SIP, and how"),
    (
        "media",
        "what the relay noticed of the media of a call, such as that one party is not heard",
    ),
    (
        "media_backend",
        "how media of an address are served, and why nothing faster",
    ),
    ("media_refused", "media could not be agreed on, and why"),
    (
        "media_relay",
        "the relay in a process of its own is there, or is not",
    ),
    (
        "metrics",
        "a scrape had more series than it may: some were left out",
    ),
    ("notice_refused", "a notice of Microsoft was not believed"),
    (
        "notices",
        "whether Microsoft tells of presence without being asked",
    ),
    (
        "offer_refused",
        "a peer refused what it was offered within a call",
    ),
    (
        "orphans",
        "something was left of a call that has ended, and was cleared away",
    ),
    ("overload", "a shard is loaded more or less than before"),
    (
        "panic",
        "a part of the program failed; what it worked on has ended",
    ),
    ("preempted", "a call was ended for a call for help"),
    (
        "preemption_limited",
        "no more calls are ended for calls for help for a while",
    ),
    ("presence_heard", "presence of users is heard again"),
    ("presence_unheard", "presence of users is not heard"),
    (
        "presence_unset",
        "users who talk over our trunks are not shown as busy",
    ),
    (
        "protection_read",
        "bans, guests and revoked tokens of before the restart are not known",
    ),
    (
        "protection_write",
        "bans, guests and revoked tokens are not kept for after a restart",
    ),
    ("ready", "the daemon serves calls"),
    ("register_refused", "a registration with us was refused"),
    ("registered", "a trunk of ours has registered"),
    ("registration", "a registration of ours was refreshed"),
    (
        "registration_failed",
        "a registration of ours has failed, and why",
    ),
    (
        "registration_off",
        "a registration of ours has ended as it was meant to",
    ),
    ("reload", "a configuration is in use"),
    (
        "reload_refused",
        "a reload was refused: the configuration before stays in use",
    ),
    ("restart", "the daemon is started anew once no call is left"),
    ("routed", "which trunks a call is to be tried at, and why"),
    ("secrecy", "a core dump or a swap could show secrets"),
    (
        "signature_lost",
        "a caller's signature does not reach the other side",
    ),
    ("sip_received", "a message that came: its first line"),
    ("sip_sent", "a message that left: its first line"),
    (
        "socket",
        "the service manager has opened a socket that nobody listens on",
    ),
    ("spend_reached", "an account has spent what it may"),
    (
        "spending_from_the_future",
        "what was spent was written down later than it is now: look whether the clock is right",
    ),
    (
        "spending_left_out",
        "not all that was spent is kept: there are too many accounts",
    ),
    (
        "spending_read",
        "what was spent is not known any more: limits on money begin anew",
    ),
    ("spending_write", "what is spent is not kept"),
    ("start", "the daemon cannot start, and why"),
    ("state", "something cannot be kept over a restart"),
    ("stir", "what the signature of a caller says"),
    (
        "stir_failed",
        "the signature of a caller is not good, and why",
    ),
    ("stopped", "the daemon has ended"),
    ("stopping", "the daemon ends, and what became of its calls"),
    ("stranger", "something came from a source of no trunk"),
    (
        "stuck",
        "a thread makes no progress: the service manager will end the daemon",
    ),
    ("target_busy", "a target of a trunk is busy: it answers 503"),
    ("target_down", "a target of a trunk does not answer"),
    (
        "target_failed",
        "a target of a trunk was given up for the next one",
    ),
    (
        "target_gone",
        "a target of a trunk is not looked for any more",
    ),
    (
        "target_refuses",
        "a target of a trunk refuses OPTIONS and may take calls",
    ),
    ("target_up", "a target of a trunk answers again"),
    ("teams_chain", "what Teams presents of its authorities"),
    (
        "teams_chain_trouble",
        "what Teams presents will not be believed for long, and why",
    ),
    (
        "teams_root_expiry",
        "a root of Microsoft's that is part of this program ends soon",
    ),
    (
        "teams_test_name",
        "what a name of Microsoft for tests of coming authorities says",
    ),
    (
        "test_names_read",
        "when names of Microsoft for tests were asked last is not known",
    ),
    (
        "test_names_write",
        "when names of Microsoft for tests were asked is not kept",
    ),
    ("tls_refused", "a handshake of TLS has failed, and why"),
    ("token_revoked", "an operator has taken a token away"),
    ("transfer", "a transfer has ended, and how"),
    (
        "trunk_closed",
        "an operator keeps new calls away from a trunk",
    ),
    ("trunk_enabled", "a trunk may have calls again"),
    (
        "trunks_read",
        "which trunks were disabled before the restart is not known",
    ),
    ("trunks_write", "which trunks are disabled is not kept"),
    ("udp_receive", "datagrams cannot be received"),
    ("udp_serve", "a listener for datagrams cannot be waited for"),
    (
        "unauthenticated",
        "a peer asks for a password that we have not, or refuses ours",
    ),
    (
        "unusual_calls",
        "calls of a trunk or tenant are not as usual",
    ),
    (
        "user_attacked",
        "somebody tries passwords of a user from many places",
    ),
    (
        "user_banned",
        "somebody tried wrong passwords, and is not heard for a while",
    ),
    (
        "weak_digest",
        "a peer wants passwords by a digest that is weak",
    ),
];

/// The codes alone.
pub const CODES: [&str; MEANINGS.len()] = {
    let mut codes = [""; MEANINGS.len()];
    let mut at = 0;
    while at < MEANINGS.len() {
        codes[at] = MEANINGS[at].0;
        at += 1;
    }
    codes
};

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
        let meanings: BTreeSet<&str> = MEANINGS.iter().map(|(_, meaning)| *meaning).collect();
        assert_eq!(
            meanings.len(),
            MEANINGS.len(),
            "each has a sentence of its own"
        );
    }
}
