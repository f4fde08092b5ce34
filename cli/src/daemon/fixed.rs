//! What is only set up at the start: a reload that changes it is refused, and says what it is and what it was.

use super::confine;
use sbc_core::config::{Changes, Loaded, MediaBackend, Realm};
use std::fmt::Display;
use std::sync::Arc;

/// Settings that differ: key, value, and what it was.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    /// Adds one, if it differs.
    fn of<T: PartialEq>(&mut self, key: &str, (old, new): (&T, &T), told: impl Fn(&T) -> String) {
        if old != new {
            self.0
                .push(format!("{key} {}, was {}", told(new), told(old)));
        }
    }

    /// The same of what need not be there.
    fn of_option<T: PartialEq>(
        &mut self,
        key: &str,
        (old, new): (Option<T>, Option<T>),
        told: impl Fn(&T) -> String,
    ) {
        self.of(key, (&old, &new), |value| {
            value.as_ref().map_or_else(|| "none".to_owned(), &told)
        });
    }

    /// All of them within their table.
    fn within(self, table: &str) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("{table}: {}", self.0.join("; ")))
    }
}

/// Everything of this configuration that needs a restart, object by object.
pub(super) fn changed(running: &Loaded, loaded: &Loaded, changes: &Changes) -> Vec<String> {
    let (old, new) = (&running.shell, &loaded.shell);
    let mut all = Vec::new();
    for name in changes.realms.keys() {
        let (before, after) = (
            running.config.realms.get(name),
            loaded.config.realms.get(name),
        );
        // An interface is only set up for packets that go past the kernel at the start.
        let is_past = |realm: &Arc<Realm>| realm.media_backend != MediaBackend::Socket;
        if !before.is_some_and(is_past) && !after.is_some_and(is_past) {
            continue;
        }
        let told = match (before, after) {
            (Some(before), Some(after)) => realm(before, after),
            (None, _) => " is new, and its media go past the kernel (media_backend)".to_owned(),
            (_, None) => " is gone, and its media go past the kernel (media_backend)".to_owned(),
        };
        all.push(format!("realm \"{name}\"{told}"));
    }
    if changes.api {
        let mut own = Differences::default();
        own.of("unix", (&old.api, &new.api), quoted);
        let (before, after) = (old.api_listen.as_ref(), new.api_listen.as_ref());
        let address = (before.map(|own| own.address), after.map(|own| own.address));
        own.of_option("listen", address, quoted);
        let tls = (before.map(|own| &own.tls), after.map(|own| &own.tls));
        own.of_option("tls", tls, quoted);
        all.extend(own.within("[api]"));
    }
    if changes.notices {
        let mut own = Differences::default();
        let (before, after) = (old.notices.as_ref(), new.notices.as_ref());
        let address = (before.map(|own| own.address), after.map(|own| own.address));
        own.of_option("listen", address, quoted);
        all.extend(own.within("[notices]"));
    }
    if changes.relay {
        let mut own = Differences::default();
        let relay = (old.relay.as_ref(), new.relay.as_ref());
        own.of_option("relay", relay, quoted);
        let pinned = (&old.pins_workers, &new.pins_workers);
        own.of("pin_workers", pinned, ToString::to_string);
        all.extend(own.within("[media]"));
    }
    if changes.confinement {
        let mut own = Differences::default();
        let held = (&old.confinement, &new.confinement);
        own.of("confinement", held, |own| quoted(&own.as_str()));
        all.extend(own.within("[security]"));
    }
    // It follows from what is told already, if anything is.
    if all.is_empty() {
        let lacking = confine::in_force().and_then(|own| own.lacks(loaded));
        all.extend(lacking.map(|what| what.trim_end_matches(',').to_owned()));
    }
    all
}

/// What the relay has to know of a realm.
fn realm(before: &Realm, after: &Realm) -> String {
    let mut own = Differences::default();
    let addresses = |realm: &Realm| {
        let (v4, v6) = (
            realm.v4.map(|own| own.to_string()),
            realm.v6.map(|own| own.to_string()),
        );
        let both: Vec<String> = v4.into_iter().chain(v6).collect();
        both.join(", ")
    };
    own.of(
        "addresses",
        (&addresses(before), &addresses(after)),
        String::clone,
    );
    let v4 = (before.advertise_v4, after.advertise_v4);
    own.of_option("advertise v4", v4, ToString::to_string);
    let v6 = (before.advertise_v6, after.advertise_v6);
    own.of_option("advertise v6", v6, ToString::to_string);
    let host = (
        before.advertise_host.as_ref(),
        after.advertise_host.as_ref(),
    );
    own.of_option("advertise host", host, quoted);
    own.of("ports", (&before.ports, &after.ports), |ports| {
        format!("{}-{}", ports.start(), ports.end())
    });
    own.of("dscp", (&before.dscp, &after.dscp), ToString::to_string);
    let backends = (&before.media_backend, &after.media_backend);
    own.of("media_backend", backends, |backend| {
        let word = match backend {
            MediaBackend::Socket => "socket",
            MediaBackend::Auto => "auto",
            MediaBackend::Xdp => "xdp",
        };
        quoted(&word)
    });
    match own.0.is_empty() {
        true => " is another".to_owned(),
        false => format!(": {}", own.0.join("; ")),
    }
}

fn quoted(value: &impl Display) -> String {
    format!("\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{Assumed, Source, changes, load};

    const CONFIG: &str = r#"
[node]
id = "sbc1"

[api]
unix = "/run/causeway/api.sock"

[[realm]]
name = "outside"
addresses = ["192.0.2.11"]
ports = "20000-29999"

[[listen]]
realm = "outside"
transport = "udp"
port = 5060

[[trunk]]
name = "carrier"
preset = "carrier"
tenant = "*"
realm = "outside"
targets = ["198.51.100.20:5060;udp"]
accept_from = ["198.51.100.16/28"]
"#;

    fn loaded(text: &str, before: Option<&Loaded>) -> Loaded {
        let facts = Assumed::with_names(["sbc1.example"]);
        let before = before.map(|own| &own.config);
        let loaded = load(&[Source::new("causeway.toml", text)], &facts, before);
        loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()))
    }

    #[test]
    fn what_needs_a_restart_is_named_with_its_key_and_what_it_was() {
        let running = loaded(CONFIG, None);
        let told = |text: &str| {
            let new = loaded(text, Some(&running));
            changed(&running, &new, &changes(&running, &new))
        };
        assert_eq!(told(CONFIG), [""; 0]);
        let other = CONFIG
            .replace("20000-29999", "30000-39999")
            .replace("causeway/api.sock", "api.sock");
        let api = "[api]: unix \"/run/api.sock\", was \"/run/causeway/api.sock\"";
        let more = "\n[[realm]]\nname = \"inside\"\naddresses = [\"192.0.2.12\"]\nports = \"20000-29999\"\n";
        let elsewhere = "\n[dns]\nservers = [\"192.0.2.53:53\"]\n[cdr]\nspool = \"/tmp/cdr\"\n";
        assert_eq!(told(&format!("{other}{elsewhere}{more}")), [api]);
        let past = |text: &str| text.replace("ports =", "media_backend = \"xdp\"\nports =");
        assert_eq!(
            told(&past(&other)),
            [
                "realm \"outside\": ports 30000-39999, was 20000-29999; media_backend \"xdp\", was \"socket\"",
                api,
            ]
        );
        assert_eq!(
            told(&format!("{CONFIG}{}", past(more))),
            ["realm \"inside\" is new, and its media go past the kernel (media_backend)"]
        );
    }
}
