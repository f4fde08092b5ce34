//! Rules on numbers: expressions are compiled, beginnings and lengths checked, and the dialling plan
//! of a place becomes rules.

use super::Load;
use crate::config::finding::Code;
use crate::config::rules::{WrittenMatch, WrittenPlan, WrittenRule};
use crate::config::source::At;
use crate::config::value::is_number_start;
use crate::config::{NumberMatch, NumberRule};
use crate::policy::number::EXTENSION;
use std::ops::RangeInclusive;

impl Load<'_> {
    /// `may_extend` where a number may get an extension.
    pub(super) fn rules(
        &mut self,
        title: &str,
        written: &[WrittenRule],
        may_extend: bool,
    ) -> Vec<NumberRule> {
        for rule in written {
            self.extension(title, &rule.set, may_extend);
        }
        let rules = written.iter().filter_map(|rule| self.rule(title, rule));
        rules.collect()
    }

    /// `;` begins parameters, which no number has: only an extension may stand behind one, digits or what
    /// the rule puts there (TDR-SIP-011).
    fn extension(&mut self, title: &str, set: &At<String>, may_extend: bool) {
        let Some(at) = set.value.find(';') else {
            return;
        };
        let behind = set.value.get(at..).unwrap_or_default();
        let is_extension = behind.strip_prefix(EXTENSION).is_some_and(|rest| {
            rest.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '$' | '{' | '}' | '_'))
        });
        if !(may_extend && is_extension) {
            self.out.add(
                Code::BadReplacement,
                &set.span,
                format!(
                    "{title}: \"{}\" cannot stand in a number",
                    set.value.escape_debug()
                ),
                Some(
                    "only an extension may follow \";\", in rules for called numbers of dir = \"out\": \
                     set = \"+493023125000;ext=$1\""
                        .to_owned(),
                ),
            );
        }
    }

    fn rule(&mut self, title: &str, written: &WrittenRule) -> Option<NumberRule> {
        let set = &written.set;
        if set
            .value
            .chars()
            .any(|c| c.is_control() || c.is_whitespace())
        {
            self.out.add(
                Code::BadReplacement,
                &set.span,
                format!(
                    "{title}: \"{}\" cannot stand in a number",
                    set.value.escape_debug()
                ),
                Some("write it without blanks and control characters".to_owned()),
            );
        }
        if let WrittenMatch::Start { start: None, .. } = &written.when
            && set.value.is_empty()
        {
            self.out.add(
                Code::BadReplacement,
                &written.span,
                format!("{title}: the rule changes nothing"),
                Some("write what is put before the number, or a prefix".to_owned()),
            );
        }
        let when = self.number_match(title, &written.when, set)?;
        Some(NumberRule {
            when,
            set: set.value.clone(),
            is_service: written.service.as_ref().is_some_and(|at| at.value),
        })
    }

    /// Which numbers a rule is about, and whether it has what `set` refers to.
    pub(super) fn number_match(
        &mut self,
        title: &str,
        written: &WrittenMatch,
        set: &At<String>,
    ) -> Option<NumberMatch> {
        Some(match written {
            WrittenMatch::Pattern(pattern) => {
                let pattern = self.pattern(title, pattern)?;
                self.replacement(title, &pattern, set);
                NumberMatch::Pattern(pattern)
            }
            WrittenMatch::Start { start, length } => {
                if let Some(at) = start {
                    self.is_start(title, at);
                }
                NumberMatch::Start {
                    start: start
                        .as_ref()
                        .map(|at| at.value.clone())
                        .unwrap_or_default(),
                    length: self.length(title, length.as_ref()),
                    digits_only: false,
                }
            }
            WrittenMatch::Number(at) => {
                self.is_start(title, at);
                NumberMatch::Number(at.value.clone())
            }
        })
    }

    fn is_start(&mut self, title: &str, at: &At<String>) {
        if !is_number_start(&at.value) {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!(
                    "{title}: \"{}\" is no part of a number",
                    at.value.escape_debug()
                ),
                Some("write + and digits, such as \"00\"".to_owned()),
            );
        }
    }

    fn length(&mut self, title: &str, written: Option<&At<String>>) -> RangeInclusive<usize> {
        let Some(at) = written else {
            return 1..=usize::MAX;
        };
        let (least, most) = at.value.split_once('-').unwrap_or((&at.value, &at.value));
        let range = least.trim().parse().ok().zip(most.trim().parse().ok());
        match range.filter(|(least, most)| 1 <= *least && least <= most && *most <= 128) {
            Some((least, most)) => least..=most,
            None => {
                self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{title}: length \"{}\" is no range",
                        at.value.escape_debug()
                    ),
                    Some("write the characters of the whole number, \"4\" or \"4-6\"".to_owned()),
                );
                1..=usize::MAX
            }
        }
    }

    /// The rules of a plan: what is dialled becomes E.164 on the way in, and E.164 what is dialled on
    /// the way out.
    pub(super) fn plan_rules(
        &mut self,
        title: &str,
        plan: &WrittenPlan,
        is_inbound: bool,
    ) -> Vec<NumberRule> {
        let Some(country) = &plan.country else {
            return Vec::new();
        };
        for at in [
            &plan.country,
            &plan.international,
            &plan.national,
            &plan.area,
        ] {
            let Some(at) = at else { continue };
            let is_digits = (1..=8).contains(&at.value.len())
                && at.value.bytes().all(|digit| digit.is_ascii_digit());
            if !is_digits {
                self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{title}: plan: \"{}\" are no digits",
                        at.value.escape_debug()
                    ),
                    Some(
                        "write digits only, such as country = \"49\", international = \"00\""
                            .to_owned(),
                    ),
                );
            }
        }
        if let Some(base) = &plan.base {
            self.is_start(&format!("{title}: plan: base"), base);
        }
        let text = |at: &Option<At<String>>| at.as_ref().map(|at| at.value.clone());
        let country = format!("+{}", country.value);
        let start = |start: &str, set: String, length| NumberRule {
            when: NumberMatch::Start {
                start: start.to_owned(),
                length,
                digits_only: true,
            },
            set,
            is_service: false,
        };
        let any = || 1..=usize::MAX;
        let mut rules = Vec::new();
        let (area, base) = (text(&plan.area), text(&plan.base));
        let extension = plan.extension.as_ref().map_or(0, |at| at.value as usize);
        if is_inbound {
            if let Some(base) = base {
                rules.push(start("", base, extension..=extension));
            }
            if let Some(international) = text(&plan.international) {
                rules.push(start(&international, "+".to_owned(), any()));
            }
            if let Some(national) = text(&plan.national) {
                rules.push(start(&national, country.clone(), any()));
            }
            if let Some(area) = area {
                rules.push(start(
                    "",
                    format!("{country}{area}"),
                    LEAST_LOCAL..=usize::MAX,
                ));
            }
            return rules;
        }
        if let Some(base) = base {
            let whole = base.chars().count() + extension;
            rules.push(start(&base, String::new(), whole..=whole));
        }
        if let Some(national) = text(&plan.national) {
            rules.push(start(&country, national, any()));
        }
        if let Some(international) = text(&plan.international) {
            rules.push(start("+", international, any()));
        }
        rules
    }
}

/// Shortest number without prefix that is one of the area: shorter ones are services.
const LEAST_LOCAL: usize = 4;
