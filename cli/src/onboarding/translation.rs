//! Number rules of the configuration as translation rules of the tenant, for who wants the numbers changed
//! there instead of here (TDR-CMD-001, TDR-NUM-001).
//!
//! | here | there |
//! |---|---|
//! | from Teams, called | OutboundPstnNumberTranslationRules |
//! | from Teams, calling | OutboundTeamsNumberTranslationRules |
//! | to Teams, called | InboundTeamsNumberTranslationRules |
//! | to Teams, calling | InboundPstnNumberTranslationRules |
//!
//! Of a list the first rule that matches counts, here and there. Here several transforms of a trunk follow
//! each other; there is but one list, so only the rules of the first one are written, and what is left out
//! is said.

use sbc_core::config::{Config, NumberRule, Transform, TransformScope, Trunk};
use std::fmt::Write as _;

/// Longest name, pattern and translation that Teams takes, in characters.
const LONGEST: [(&str, usize); 3] = [("name", 100), ("pattern", 1_024), ("translation", 256)];

/// The commands for a trunk; nothing if it has no number rules.
pub fn script(config: &Config, trunk: &Trunk) -> String {
    let mut text = String::new();
    let mut lists = Vec::new();
    let scopes = [
        TransformScope::In(trunk.name.clone()),
        TransformScope::Out(trunk.name.clone()),
    ];
    for (index, scope) in scopes.iter().enumerate() {
        for (what, of) in [
            ("called", called as fn(&Transform) -> &[NumberRule]),
            ("calling", calling),
        ] {
            let with_rules = config.transforms.iter();
            let mut with_rules = with_rules
                .filter(|transform| transform.scope == *scope && !of(transform).is_empty());
            let Some(first) = with_rules.next() else {
                continue;
            };
            let names = rules(&mut text, first, what, of(first));
            for more in with_rules {
                let _ = writeln!(
                    text,
                    "# Left out: the {what} rules of \"{}\", which change what \"{}\" has changed; there \
                     a number is changed once",
                    more.name, first.name
                );
            }
            if !names.is_empty() {
                lists.push((LISTS[index][usize::from(what == "calling")], names));
            }
        }
    }
    if text.is_empty() {
        return text;
    }
    let gateway = trunk.fqdn.as_deref().unwrap_or("FQDN");
    let mut out = format!(
        "# Number rules of trunk \"{}\" as translation rules: remove them here once they are there, or\n\
         # numbers are changed twice\n{text}",
        trunk.name
    );
    if trunk.carrier.is_some() {
        let _ = writeln!(
            out,
            "# {gateway} is derived and no gateway of its own: rules of the carrier trunk do not apply to it,\n\
             # and Set-CsOnlinePSTNGateway finds it in no tenant. Keep these rules here."
        );
        return out;
    }
    if !lists.is_empty() {
        let _ = write!(out, "Set-CsOnlinePSTNGateway -Identity {gateway}");
        for (list, names) in lists {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            let _ = write!(out, " `\n   -{list} {}", names.join(","));
        }
        out.push('\n');
    }
    out
}

/// The lists of a gateway, by direction, for called and calling numbers.
const LISTS: [[&str; 2]; 2] = [
    [
        "OutboundPstnNumberTranslationRules",
        "OutboundTeamsNumberTranslationRules",
    ],
    [
        "InboundTeamsNumberTranslationRules",
        "InboundPstnNumberTranslationRules",
    ],
];

fn called(transform: &Transform) -> &[NumberRule] {
    &transform.called
}

fn calling(transform: &Transform) -> &[NumberRule] {
    &transform.calling
}

/// Writes the rules of one list, and gives their names.
fn rules(
    text: &mut String,
    transform: &Transform,
    what: &str,
    rules: &[NumberRule],
) -> Vec<String> {
    let mut names = Vec::new();
    for (number, rule) in (1..).zip(rules) {
        let name = format!("{}-{what}-{number}", transform.name);
        let (pattern, translation) = rule.expression();
        let parts = [&name, &pattern, &translation];
        let long = parts
            .iter()
            .zip(LONGEST)
            .find(|(part, (_, most))| part.chars().count() > *most);
        if let Some((_, (part, most))) = long {
            let _ = writeln!(
                text,
                "# Left out: {name}, because its {part} has more than {most} characters"
            );
            continue;
        }
        let _ = writeln!(
            text,
            "New-CsTeamsTranslationRule -Identity {} -Pattern {} -Translation {}",
            quoted(&name),
            quoted(&pattern),
            quoted(&translation)
        );
        if !pattern.starts_with('^') {
            let _ = writeln!(
                text,
                "# The pattern of {name} has no ^: there every place that matches is changed, here the first"
            );
        }
        names.push(name);
    }
    names
}

/// Text in single quotes, in which PowerShell reads nothing but the quote itself. Typographic ones are quotes
/// to it, too.
fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(quoted("o'clock'; x"), "'o''clock''; x'");
        assert_eq!(quoted("a\u{2019}; x"), "'a\u{2019}\u{2019}; x'");
    }
}
