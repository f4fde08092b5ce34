//! Whether this program reads what the daemon that runs keeps of its calls (OPS-151). The form before its own it does;
//! over two changes calls would be lost, and their parties would hear nothing.

use crate::client::ask;
use sbc_core::kept::READS;
use serde_json::Value;
use std::path::Path;

/// Asks the daemon at this socket.
///
/// # Errors
/// Why it does not, in words; also where that cannot be told.
pub(super) fn is_read(socket: &Path) -> Result<(), String> {
    let at = socket.display();
    let answer = ask(socket, "GET", "/status").map_err(|why| {
        format!("the daemon does not tell at {at} in which form it keeps them: {why}")
    })?;
    judge(&answer.body).map_err(|why| format!("the daemon at {at} {why}"))
}

/// Looks for the form in its state.
fn judge(status: &str) -> Result<(), String> {
    let told: Value = serde_json::from_str(status).unwrap_or_default();
    let [older, own] = READS.map(u64::from);
    match told["kept_form"].as_u64() {
        Some(form) if form == older || form == own => Ok(()),
        Some(form) => Err(format!(
            "keeps them in form {form}, and this program reads forms {older} and {own}"
        )),
        None => Err(
            "does not tell in which form it keeps them, as versions before this one do not"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::kept::FORM;

    #[test]
    fn what_is_kept_in_the_own_form_or_the_one_before_is_read_and_no_other() {
        let of = |form: u16| judge(&format!("{{\"kept_form\":{form}}}"));
        assert_eq!(of(FORM), Ok(()));
        assert_eq!(of(FORM - 1), Ok(()));
        for other in [FORM - 2, FORM + 1] {
            let why = of(other).unwrap_err();
            let wanted = format!(
                "form {other}, and this program reads forms {} and {FORM}",
                FORM - 1
            );
            assert!(why.contains(&wanted), "{why}");
        }
        for silent in ["{}", "", "{\"kept_form\":null}"] {
            let why = judge(silent).unwrap_err();
            assert!(why.starts_with("does not tell"), "{silent}: {why}");
        }
    }
}
