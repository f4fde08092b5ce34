//! What transforms add to the record of a call, or of an attempt of it (OPS-060).

use crate::config::{Config, MOST_RECORDED, RecordedNumber, TransformScope};
use crate::record::{Custom, CustomValue};

/// The numbers of a call, as its record has them.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// That is called.
    pub called: &'a str,
    /// Of who calls.
    pub calling: &'a str,
    /// Of who forwarded the call last.
    pub diverting: Option<&'a str>,
}

impl Numbers<'_> {
    fn of(&self, number: RecordedNumber) -> Option<&str> {
        match number {
            RecordedNumber::Called => Some(self.called),
            RecordedNumber::Calling => Some(self.calling),
            RecordedNumber::Diverting => self.diverting,
        }
    }
}

/// What the transforms of one scope add: of each the first rule for a name that fits, and of several transforms the last.
pub fn values(config: &Config, scope: &TransformScope, numbers: Numbers<'_>) -> Custom {
    let mut custom = Custom::default();
    find(config, scope, numbers, |_, name, value| {
        let all = &mut custom.0;
        match all.iter().position(|own| own.name == name) {
            Some(at) => all[at] = value,
            None if all.len() < MOST_RECORDED => all.push(value),
            None => {}
        }
    });
    custom
}

/// The same in words, for whoever asks what becomes of a call.
pub fn told(config: &Config, scope: &TransformScope, numbers: Numbers<'_>) -> Vec<String> {
    let mut told = Vec::new();
    find(config, scope, numbers, |transform, name, own| {
        let value = own.value.escape_debug();
        told.push(format!(
            "transform \"{transform}\" records {name} = \"{value}\""
        ));
    });
    told
}

fn find<'c>(
    config: &'c Config,
    scope: &TransformScope,
    numbers: Numbers<'_>,
    mut found: impl FnMut(&'c str, &'c str, CustomValue),
) {
    let transforms = config.transforms.iter();
    for transform in transforms.filter(|own| !own.record.is_empty() && own.scope == *scope) {
        let mut names: Vec<&str> = Vec::new();
        for rule in &transform.record {
            if names.contains(&rule.name.as_str()) {
                continue;
            }
            let Some(value) = rule.value(numbers.of(rule.of)) else {
                continue;
            };
            names.push(&rule.name);
            // Records have this one as it came, and whoever hides numbers there does not know what became of it.
            let diverting = numbers
                .diverting
                .filter(|_| rule.of == RecordedNumber::Diverting);
            let has_digits = rule.takes_digits || diverting.is_some_and(|own| says(&value, own));
            let own = CustomValue {
                name: rule.name.clone(),
                value,
                has_digits,
            };
            found(transform.name.as_str(), &rule.name, own);
        }
    }
}

/// Whether a value says all digits of a number, whatever stands between them.
fn says(value: &str, number: &str) -> bool {
    let digits = |text: &str| -> String {
        let digits = text.chars().filter(char::is_ascii_digit);
        digits.collect()
    };
    let own = digits(number);
    !own.is_empty() && digits(value).contains(&own)
}
