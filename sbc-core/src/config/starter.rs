//! The configuration that `causeway init` writes: one Teams tenant, one carrier.

/// The commented starter configuration. It passes `causeway check` as it is, once the files that
/// it names exist and the certificate carries its name; lines to change are marked `CHANGE`.
pub const fn starter() -> &'static str {
    include_str!("starter.toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Assumed, Source, load};

    #[test]
    fn the_starter_configuration_passes_its_own_check_without_a_warning() {
        let sources = [Source::new("causeway.toml", starter())];
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let loaded = load(&sources, &facts, None).unwrap_or_else(|f| panic!("{}", f.to_text()));
        assert!(
            loaded.findings.warnings.is_empty(),
            "{}",
            loaded.findings.to_text()
        );
        assert_eq!(loaded.config.trunks.len(), 2);
        assert_eq!(loaded.config.routes.len(), 2);
    }

    #[test]
    fn every_line_to_change_is_marked() {
        assert!(starter().matches("CHANGE").count() >= 6);
        assert!(starter().lines().all(|line| line.len() <= 100));
    }
}
