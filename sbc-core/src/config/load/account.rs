//! Accounts and registrations of trunks.

use super::Load;
use crate::auth::{Account, Password};
use crate::config::account::{WrittenDigest, WrittenRegister};
use crate::config::facts::FileFault;
use crate::config::finding::Code;
use crate::config::source::At;
use crate::config::trunk::{DidSource, Gin, Registration};
use crate::config::written::{Secret, WrittenTrunk};
use crate::config::{Preset, value};
use crate::sip::{QuotedText, Uri};
use std::time::Duration;

/// Longest user name, realm and password, octets.
const LONGEST: usize = 255;

impl Load<'_> {
    pub(super) fn account(&mut self, title: &str, written: &WrittenDigest) -> Option<Account> {
        let title = format!("{title}: digest");
        let username = written.username.as_ref()?;
        let realms = &written.realms.as_ref()?.value;
        self.check_names(&title, username, realms);
        let password = self.password(&title, written.password.as_ref()?)?;
        Some(Account {
            username: username.value.clone(),
            password,
            realms: realms.iter().map(|at| at.value.clone()).collect(),
            allows_md5: written.md5.as_ref().is_none_or(|at| at.value),
        })
    }

    /// Findings about realms in which callers are to prove who they are to a peer.
    pub(super) fn relayed_realms(&mut self, title: &str, written: &WrittenTrunk) {
        for at in written.habits.relayed_realms() {
            self.check_sendable(&format!("{title}: relay_auth"), at);
        }
    }

    fn check_sendable(&mut self, title: &str, at: &At<String>) {
        if at.value.is_empty()
            || at.value.len() > LONGEST
            || at.value.chars().any(char::is_control)
            || QuotedText::new(at.value.clone()).is_err()
        {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!("{title}: \"{}\" cannot be sent", at.value.escape_debug()),
                Some("write 1 to 255 octets without control characters".to_owned()),
            );
        }
    }

    /// Findings about a user name and its realms that cannot be sent.
    pub(super) fn check_names<'a>(
        &mut self,
        title: &str,
        username: &'a At<String>,
        realms: impl IntoIterator<Item = &'a At<String>>,
    ) {
        for at in realms.into_iter().chain([username]) {
            self.check_sendable(title, at);
        }
        if username.value.contains(':') {
            self.out.add(
                Code::BadForm,
                &username.span,
                format!("{title}: a user name has no colon"),
                Some("write the name alone, and the password as a file or credential".to_owned()),
            );
        }
    }

    /// The password at a place, or a finding.
    pub(super) fn password(&mut self, title: &str, password: &At<Secret>) -> Option<Password> {
        self.shared_secret(title, "password", password)
    }

    /// What both sides know, by its word, or a finding.
    pub(super) fn shared_secret(
        &mut self,
        title: &str,
        word: &str,
        password: &At<Secret>,
    ) -> Option<Password> {
        self.note_credential(title, &password.value);
        let found = match self.facts.password(&password.value) {
            Ok(found) => found,
            Err(FileFault::Unusable(why)) => {
                self.out.add(
                    Code::SecretMissing,
                    &password.span,
                    format!("{title}: {word} in {}: {why}", password.value),
                    Some(format!("write the {word} there, and nothing else")),
                );
                return None;
            }
            Err(FileFault::Unreadable(why)) => {
                self.absent(
                    password,
                    format!("{title}: {word} in {}: {why}", password.value),
                    (word, &why),
                );
                return None;
            }
        };
        if let Some((cause, help)) = found.exposure.finding(word) {
            let cause = format!("{title}: {cause}");
            let help = Some(help);
            self.out
                .add(Code::SecretExposed, &password.span, cause, help);
        }
        // An editor ends the last line; no password does.
        let mut octets = found.octets.to_vec();
        while octets
            .last()
            .is_some_and(|last| matches!(last, b'\n' | b'\r'))
        {
            octets.pop();
        }
        let is_usable = !octets.is_empty()
            && octets.len() <= LONGEST
            && !octets.iter().any(u8::is_ascii_control);
        let octets = Password::new(octets);
        if !is_usable {
            self.out.add(
                Code::SecretMissing,
                &password.span,
                format!("{title}: what is in {} is no {word}", password.value),
                Some("write one line of 1 to 255 octets, and nothing else".to_owned()),
            );
        }
        Some(octets)
    }

    /// A secret cannot be read, for this reason: what needs it is out of service, or the configuration is refused.
    pub(super) fn absent(&mut self, secret: &At<Secret>, cause: String, (word, why): (&str, &str)) {
        let help = unread(word, why);
        match self.may_lack {
            true => {
                self.lacks = true;
                self.out.add(
                    Code::SecretAbsent,
                    &secret.span,
                    format!("{cause}; what needs it is out of service, and all else works"),
                    Some(format!("{help}, then reload")),
                );
            }
            false => self
                .out
                .add(Code::SecretMissing, &secret.span, cause, Some(help)),
        }
    }

    /// Reads an object that may lack its secret, if this is so; whether it does.
    pub(super) fn lacking<T>(
        &mut self,
        may_lack: bool,
        read: impl FnOnce(&mut Self) -> T,
    ) -> (T, bool) {
        (self.may_lack, self.lacks) = (may_lack, false);
        let object = read(self);
        self.may_lack = false;
        (object, std::mem::take(&mut self.lacks))
    }

    /// Takes note of what a reload does not read anew.
    pub(super) fn note_credential(&mut self, title: &str, secret: &Secret) {
        if let Secret::Credential(_) = secret {
            self.credentials.insert(title.to_owned());
        }
    }

    pub(super) fn dialog_ping(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        has_timer: bool,
    ) -> Option<Duration> {
        let at = written.dialog_ping.as_ref()?;
        if has_timer {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: session timers show already whether a call lives"),
                Some("write session_timer = false, or remove \"dialog_ping\"".to_owned()),
            );
        }
        let second = Duration::from_secs(1);
        let usual = 900 * second;
        let range = 30 * second..=3_600 * second;
        Some(self.bounded(
            &format!("{title}: dialog_ping"),
            &written.dialog_ping,
            range,
            usual,
        ))
    }

    pub(super) fn registration(
        &mut self,
        title: &str,
        written: &WrittenRegister,
        preset: Preset,
    ) -> Option<Registration> {
        let title = format!("{title}: register");
        if preset == Preset::Teams {
            self.out.add(
                Code::Contradiction,
                &written.span,
                format!("{title}: nobody registers with Teams Direct Routing"),
                Some("remove the table".to_owned()),
            );
            return None;
        }
        let second = Duration::from_secs(1);
        let expires = self.bounded(
            &format!("{title}: expires"),
            &written.expires,
            60 * second..=86_400 * second,
            3_600 * second,
        );
        let aor = written.aor.as_ref()?;
        let Some((user, domain)) = address_of_record(&aor.value) else {
            self.out.add(
                Code::BadForm,
                &aor.span,
                format!(
                    "{title}: \"{}\" is no address of record",
                    aor.value.escape_debug()
                ),
                Some(
                    "write \"sip:\", user, \"@\" and the provider's domain, nothing else"
                        .to_owned(),
                ),
            );
            return None;
        };
        let chosen = |at: &Option<At<bool>>, usual: bool| at.as_ref().map_or(usual, |at| at.value);
        Some(Registration {
            user,
            domain,
            expires,
            is_required: chosen(&written.require_registered, true),
            unregisters: chosen(&written.unregister, true),
            outbound: chosen(&written.outbound, false),
            keep_alive: written.keep_alive.as_ref().map(|at| at.value),
            // All numbers are registered as one, and most networks name that one alone.
            holds_identities: chosen(
                &written.hold_identities,
                written.gin.as_ref().is_none_or(|at| at.value == Gin::Off),
            ),
            gin: written.gin.as_ref().map_or(Gin::Off, |at| at.value),
            did_source: written
                .did_source
                .as_ref()
                .map_or(DidSource::RequestUri, |at| at.value),
        })
    }
}

/// What to do about a secret that is not there, or may not be read.
pub(super) fn unread(word: &str, why: &str) -> String {
    match why {
        FileFault::ABSENT | FileFault::UNSET => {
            format!("write the {word} there, readable for the user of the daemon")
        }
        FileFault::DENIED => {
            "the user of the daemon must be able to read it: root:causeway, mode 640; who is neither \
             root nor in that group sees this of every secret"
                .to_owned()
        }
        _ => format!("the {word} must be there, readable for the user of the daemon"),
    }
}

/// User and domain of `sip:user@domain` without anything else.
pub(super) fn address_of_record(text: &str) -> Option<(String, String)> {
    let uri = Uri::parse(text.to_owned()).ok()?;
    let sip = uri.as_sip()?;
    let user = String::from_utf8(sip.user()?.to_vec()).ok()?;
    let (_, domain) = text.rsplit_once('@')?;
    let is_plain = !sip.is_sips && sip.port.is_none() && value::is_host_name(domain);
    is_plain.then(|| (user, domain.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_that_is_not_there_is_to_be_written() {
        let absent = unread("key", FileFault::ABSENT);
        assert_eq!(
            absent,
            "write the key there, readable for the user of the daemon"
        );
        assert_eq!(unread("key", FileFault::UNSET), absent);
        let denied = unread("key", FileFault::DENIED);
        assert!(
            !denied.contains("write") && denied.contains("root:causeway, mode 640"),
            "{denied}"
        );
        assert!(!unread("key", "it is no file").contains("write"));
    }
}
