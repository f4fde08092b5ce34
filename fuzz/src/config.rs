//! Configuration files: accepted or refused with findings that an operator can use.

use sbc_core::config::{Assumed, Finding, Findings, Severity, Source, changes, load};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let sources = [Source::new("causeway.toml", text)];
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    match load(&sources, &facts, None) {
        Ok(loaded) => {
            assert!(loaded.findings.errors.is_empty());
            readable(&loaded.findings, text);
            // Loading again beside what runs finds the same configuration.
            let again = load(&sources, &facts, Some(&loaded.config)).expect("as before");
            let changed = changes(&loaded, &again);
            assert!(changed.is_empty(), "{changed:?}");
        }
        Err(findings) => {
            assert!(!findings.errors.is_empty(), "a refusal says why");
            readable(&findings, text);
            assert_eq!(
                load(&sources, &facts, None),
                Err(findings),
                "the same again"
            );
        }
    }
    // Two files: the second one continues or contradicts the first.
    if let Some((one, two)) = text.split_once("\n# ---\n") {
        let sources = [Source::new("a.toml", one), Source::new("b.toml", two)];
        let (Ok(sbc_core::config::Loaded { findings, .. }) | Err(findings)) =
            load(&sources, &facts, None);
        let _ = findings.to_text();
    }
}

/// Findings are bounded, ordered by kind, lie in the file, and cannot steer a terminal.
fn readable(findings: &Findings, text: &str) {
    let lines = text.split('\n').count();
    for (list, severity) in [
        (&findings.errors, Severity::Error),
        (&findings.warnings, Severity::Warning),
    ] {
        assert!(list.len() <= Findings::MOST);
        assert!(list.iter().all(|finding| finding.severity == severity));
        list.iter().for_each(|finding| placed(finding, lines));
    }
    let shown = findings.to_text();
    let steers = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    assert!(!shown.contains(steers), "{shown:?}");
    serde_json::to_string(findings).expect("findings are JSON");
}

fn placed(finding: &Finding, lines: usize) {
    assert!(!finding.cause.is_empty());
    if let Some(place) = &finding.place {
        assert!((1..=lines).contains(&place.line), "{finding:?}");
        assert!(place.column >= 1, "{finding:?}");
        let letters = place.text.chars().count();
        assert!(place.column <= letters + 1, "{finding:?}");
    }
}
